/*
 * vnx: vTCP, private - instance, connection, half
 *
 * A connection has two ends (what each host announced) and two halves, one per
 * data direction, both arrays indexed by VnxDir: half[d] is the data that
 * travels in direction d, from its sender S = end[!d] to its receiver
 * R = end[d].  A frame from X therefore is data of half[dir] and acknowledges
 * half[!dir].  There is no code for one direction only.
 *
 *           S ──data──▶ [rcv_nxt ... buffer ... nxt ... una] ──data──▶ R
 *           S ◀──ACK─── early, adv_edge        una, r_edge ◀──ACK───── R
 *
 *   una <= nxt <= max <= rcv_nxt <= s_max       una <= early <= rcv_nxt
 *   the buffer holds [buf_seq, rcv_nxt) in order, and buf_seq <= una while
 *   something was acknowledged early (in JOINING una may still be below it)
 *   beyond a hole at rcv_nxt it may hold the ranges of ooo, all below s_max and
 *   adv_edge; only ACCELERATING and DRAINING have such a queue (receiver.c)
 *
 * States of a half (half.c, half_set_state() is the only writer):
 *
 *   OBSERVING ──in order, nothing in trouble──▶ JOINING ──una reaches buf_seq──▶
 *       ▲  ▲                                      │                  ACCELERATING
 *       │  └────────── any trouble (buffer dropped, nothing owed)        │
 *       └── una >= early and r_edge >= adv_edge ── DRAINING ◀── trouble ─┘
 *
 * (JOINING may also begin in DRAINING, when all is delivered but an edge is still promised,
 * and then falls back to it.)
 *
 * Time is the host's less what it spent paused, in v->now.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_VTCP_PRIVATE_H
#define VNX_VTCP_PRIVATE_H

#include <glib.h>

#include <vnx/cc.h>
#include <vnx/flow.h>
#include <vnx/policy.h>
#include <vnx/vtcp.h>

#include "engine/tcp/buffer.h"
#include "engine/tcp/ooo.h"
#include "engine/tcp/rtt.h"
#include "engine/tcp/seq.h"
#include "engine/tcp/timers.h"
#include "engine/tcp/txq.h"

/* Ageing lists of the flow table, and how long an idle flow stays on them. */
typedef enum VnxAge {
    VNX_AGE_HALF_OPEN,
    VNX_AGE_ESTABLISHED,
    VNX_AGE_ENDED,              /* closed, untracked */
} VnxAge;

#define VNX_HALF_OPEN_TIMEOUT_NS (60 * 1000 * VNX_MS_NS)
#define VNX_ENDED_TIMEOUT_NS (60 * 1000 * VNX_MS_NS)  /* about TIME-WAIT's 2 MSL */
/* After so long a TSval of 1 kHz may have wrapped (RFC 7323 5.5). */
#define VNX_PAWS_IDLE_NS (24 * 86400 * 1000 * VNX_MS_NS)
/* At most this part of the table may be half open: 1 / 2^n. */
#define VNX_HALF_OPEN_SHIFT 2

/* RFC 9293 3.7.1: the MSS of an end that announced none; every path carries it */
#define VNX_MSS_DEFAULT_IP4 536
#define VNX_MSS_DEFAULT_IP6 1220
/* Path MTUs below these are not believed: IPv6's minimum (RFC 8200 5), and for IPv4 what no link
 * of today falls below; it limits what a forged report can do. */
#define VNX_MTU_MIN_IP4 552
#define VNX_MTU_MIN_IP6 1280
/* An announced MSS below this would cost more headers than payload; it counts as this. */
#define VNX_MSS_MIN 48

/* iovec entries of an emitted frame: header + the chunks of 64 KiB. */
#define VNX_EMIT_IOV 24

typedef struct VnxConn VnxConn;
typedef struct VnxHalf VnxHalf;

/* config.c */
struct VnxFlowProfile {
    VnxFlowConfig cfg;
    const VnxCcOps *cc[2];      /* by VnxDir */
    VnxCcParams cc_params;
    unsigned refs;
};

/* What a host announced and sent last. */
typedef struct VnxEnd {
    uint32_t iss;
    uint16_t mss;               /* of its SYN; RFC 9293's default without */
    uint8_t wscale;             /* 0 unless both ends scale */
    uint16_t options;           /* VNX_OPT_* of its SYN */
    bool ts;                    /* timestamps are in use (both ends) */
    bool ece;                   /* its newest segment had ECE */
    uint16_t ip_id;
    uint32_t tsval;             /* newest TSval that it sent */
    uint32_t tsecr;             /* TSecr with its newest ACK */
    VnxHeaders headers;         /* of its newest frame */
} VnxEnd;

/* After a timeout: was it spurious?  RFC 5682. */
typedef enum VnxFrto {
    VNX_FRTO_NONE,
    VNX_FRTO_REPEATED,          /* the first segment was repeated */
    VNX_FRTO_NEW_DATA,          /* that was acknowledged; new data goes next */
} VnxFrto;

/* RFC 8985 5.3.  What left last among what has got to R: */
typedef struct VnxRack {
    int64_t sent_ns;
    int64_t rtt_ns;
    uint32_t end;
    uint32_t fack;              /* highest byte + 1 that has got to R */
    bool reordering;            /* has been seen */
    bool dsack_round;           /* the window has grown in the round trip ... */
    uint32_t dsack_round_end;   /* ... that ends here */
    uint8_t mult;               /* reordering window, in quarters of the least RTT */
    uint8_t persist;            /* recoveries until mult is 1 again */
} VnxRack;

/* Proportional rate reduction, RFC 9937: bytes of this recovery. */
typedef struct VnxPrr {
    uint32_t flight;            /* RecoverFS */
    uint32_t delivered;
    uint32_t out;
    uint32_t quota;             /* that may leave now */
} VnxPrr;

/* RFC 8985 7.1: a probe is out */
typedef struct VnxTailProbe {
    bool out;
    bool again;                 /* it repeated a segment */
    uint32_t end;
} VnxTailProbe;

/* What to go back to if a reduction proves needless. */
typedef struct VnxUndo {
    bool valid;
    uint32_t begin;             /* una when it began */
    uint32_t again;             /* bytes repeated since, not reported as duplicates */
    uint32_t cwnd;
    uint32_t ssthresh;
} VnxUndo;

struct VnxHalf {
    VnxDir dir;
    VnxHalfState state;
    VnxReason reason;

    /* toward S */
    uint32_t rcv_nxt;           /* next byte expected in order */
    uint32_t s_max;             /* end of all that S was seen to send, FIN included */
    uint32_t early;             /* highest ACK number that vTCP gave S */
    uint32_t adv_edge;          /* rightmost edge that S was given */
    uint32_t last_ack;          /* ACK number S was given last (TS.Recent's rule) */
    uint32_t ts_recent;         /* RFC 7323 4.3 */
    bool ts_outdated;           /* idle too long: any TSval is good once */
    uint32_t trouble;           /* no rejoining before R has acknowledged up to here */
    uint32_t fin_seq;
    bool fin_seen;              /* S's FIN is at fin_seq */
    bool ack_due;               /* S is to get an ACK in the next run */
    bool ece;                   /* S's data was marked: ACKs to S say so (ecn.c) */
    int64_t challenge_ns;       /* when the first of the last few challenge ACKs was due */
    unsigned n_challenges;
    bool probe_passed;          /* S asked R something end to end: let the answer pass */
    uint32_t demand;            /* window that S has shown to use */
    uint32_t demand_mark;
    uint32_t reserved;          /* of the pool, for the window */
    uint32_t kept_cap;          /* real bytes promised by an earlier configuration */
    VnxOoo *ooo;                /* what is ahead of rcv_nxt; NULL: nothing */
    VnxSackBlock dsack;         /* to be reported with the next ACK; empty: nothing */

    /* toward R */
    VnxSegBuf buf;
    uint32_t buf_seq;           /* sequence number of buf's first byte */
    uint32_t una;
    uint32_t nxt;
    uint32_t max;               /* highest ever sent + 1 */
    uint32_t r_edge;            /* R's right edge */
    uint32_t r_wnd_max;         /* largest window R offered */
    uint32_t wl1, wl2;          /* RFC 9293: segment of the last window update */
    uint32_t smss;              /* payload of one wire segment toward R */
    uint32_t path_mss;          /* what the path carries, by ICMP; 0: nothing was told */
    uint32_t seg_seen;          /* largest wire segment seen from S */
    uint32_t psh_seq;           /* end of the last segment that S pushed */
    bool psh_seen;
    VnxTxq txq;                 /* [una, nxt) as it was sent */
    uint32_t dupacks;           /* with SACK: ACKs in a row that brought only SACKs */
    uint32_t recover;           /* RFC 6582; RFC 6675's RecoveryPoint */
    uint32_t una_step;          /* by how much una moved last */
    bool recovery;              /* in fast recovery */
    bool rto_recovery;          /* repeating after a timeout, up to recover */
    bool partial;               /* this fast recovery has seen a partial ACK */
    bool at_once;               /* the first lost segment leaves whatever cwnd says */
    VnxFrto frto;
    uint32_t inflate;           /* RFC 6582's artificial inflation of cwnd (no SACK) */
    bool cwnd_limited;
    bool cwr_due;               /* the next new segment tells R that cwnd was lowered */
    uint32_t cwr_seq;           /* R's ECE up to here has been answered */
    bool marked;                /* the ACK in hand has ECE, and vTCP is its sender */
    bool persisting;            /* rto_at_ns is the persist timer's ... */
    bool answered;              /* ... and R has answered since the last probe */
    bool restarting;            /* an idle time is over, and nothing acknowledged since */
    unsigned backoff;
    VnxTimer timer;             /* the first of the three: */
    int64_t rto_at_ns;          /* retransmission or persist timeout; VNX_NEVER: none */
    int64_t reorder_at_ns;      /* RACK: what is only late may be lost by then */
    int64_t probe_at_ns;        /* TLP: time for a tail loss probe */
    int64_t progress_ns;        /* when R last moved, or data first waited for it */
    int64_t used_ns;            /* when cwnd was used up, or lowered for want of it */
    int64_t pace_next_ns;       /* pacing: when the next frame may leave ... */
    int64_t pace_wake_ns;       /* ... and it waits for that; VNX_NEVER: it does not */
    uint32_t rtt_mark;          /* the next RTT sample is of data from here on */
    VnxRack rack;
    VnxPrr prr;
    VnxTailProbe tail_probe;
    VnxUndo undo;
    uint32_t lost_told;         /* txq.lost_ever when congestion control was told last */
    VnxRtt rtt;
    VnxCc cc;

    uint64_t bytes;
    uint64_t early_acked_bytes;
    uint64_t acks_consumed;
    uint64_t retransmits;
    uint64_t rto_retransmits;
    uint64_t fast_retransmits;
    uint64_t n_dupacks;
    uint64_t out_of_order;
    uint64_t duplicate_bytes;
};

struct VnxConn {
    VnxFlowNode node;           /* first member */
    VnxVtcp *v;
    VnxFlowProfile *profile;
    uint64_t policy_bytes;      /* where the policy's scope ends; UINT64_MAX: nowhere */
    VnxPolicy *policy;          /* held; NULL: the common configuration, or its own */
    uint64_t id;
    VnxFlowState state;
    VnxReason reason;           /* why it is untracked */
    VnxDir opener;              /* side that sent the SYN */
    bool new_syn;               /* a SYN came on the live connection ... */
    VnxDir syn_dir_answer;      /* ... whose answer goes this way ... */
    VnxPacket *syn;             /* ... and this it was */
    bool rst_due[2];            /* an RST is to go in this direction; state RESET */
    bool own_profile;           /* its profile is by no policy */
    bool given_up;              /* vTCP reset both ends; what they still say gets an RST */
    bool reopening;             /* S, which reset it, sends SYNs, the first one at ... */
    uint32_t reopening_una;     /* ... this una */
    int64_t reopening_ns;
    bool ecn;                   /* negotiated */
    bool ecn_varied;            /* a repeated SYN or SYN-ACK had other ECN bits */
    int64_t created_ns;
    int64_t established_ns;     /* VNX_NEVER: not yet */
    VnxTimer scope_timer;       /* in v->scopes */
    uint8_t dscp;               /* of the SYN */
    uint16_t syn_flags;
    unsigned n_synack;
    bool crossed;               /* both ends opened at once: synack[0] began as a SYN */
    bool syn_acked[2];          /* ... and this end has acknowledged the other's */
    struct {
        uint32_t iss;
        uint16_t window, options, mss, flags;
        uint8_t wscale;
        uint32_t tsval, tsecr;
    } synack[2];                /* the newest first */
    uint16_t syn_window;
    uint8_t syn_wscale;
    VnxEnd end[2];
    VnxHalf half[2];
    uint16_t queue;             /* below v->n_queues: where the guest's side last sent */
    GList work[2];              /* membership in conn_lane(c, d); data != NULL: linked */
    GList all;
};

/* A queue of the host, in one direction. */
typedef struct VnxLane {
    GQueue work;                /* connections with something to send */
    bool busy;                  /* emit said no; wait for writable */
} VnxLane;

struct VnxVtcp {
    VnxVtcpConfig cfg;
    const VnxVtcpOps *ops;
    void *opaque;
    VnxFlowProfile *profile;    /* cfg.flow */
    VnxFlowTable *flows;
    VnxPolicies *policies;      /* the host's; NULL: none */
    VnxTimers timers;
    VnxTimers scopes;           /* of policies */
    VnxPool pool;
    VnxTxPool txpool;
    VnxOffload offload[2];
    VnxLane *lane[2];           /* n_queues each */
    unsigned n_queues;
    bool unread[2];             /* a frame that may have been TCP went by unread */
    GQueue all;                 /* connections by age */
    uint64_t next_id;
    uint16_t next_ip_id;
    int64_t now;                /* time of the call, pauses taken off */
    int64_t paused_ns;          /* sum of all pauses */
    int64_t paused_at;
    bool paused;
    bool enabled;
    uint64_t undelivered;       /* sum over halves, early - una */
    uint32_t ooo_queues;        /* halves that have one */
    VnxVtcpStats stats;         /* counters only */
};

static inline VnxConn *half_conn(VnxHalf *h)
{
    return (VnxConn *)((char *)(h - h->dir) - offsetof(VnxConn, half));
}

static inline const VnxFlowConfig *half_cfg(const VnxHalf *h)
{
    return &half_conn((VnxHalf *)h)->profile->cfg;
}

/*
 * Of many connections most are in no cache, and would be fetched a line at a time as they are
 * come to: ask for all lines at once.
 */
static inline void conn_prefetch(const VnxConn *c)
{
    for (size_t i = 0; i < sizeof(*c); i += 64) {
        __builtin_prefetch((const char *)c + i);
    }
}

/* vTCP has reset both ends, and only lingers. */
static inline bool conn_gone(const VnxConn *c)
{
    return c->given_up && !c->rst_due[0] && !c->rst_due[1];
}

/* By where vTCP sends for @c. */
static inline VnxLane *conn_lane(const VnxConn *c, VnxDir dir)
{
    return &c->v->lane[dir][c->queue];
}

/* The ACK number that S gets: R's own, or the early point. */
static inline uint32_t half_ack(const VnxHalf *h)
{
    return seq_max(h->una, h->early);
}

/* vTCP owes R bytes that S was told are delivered. */
static inline uint32_t half_undelivered(const VnxHalf *h)
{
    return seq_ahead(h->early, h->una);
}

/* vTCP holds bytes for R (acknowledged or not). */
static inline bool half_holds(const VnxHalf *h)
{
    return (h->state == VNX_HALF_ACCELERATING || h->state == VNX_HALF_DRAINING) &&
           seq_lt(h->una, h->rcv_nxt);
}

/* Bytes wait behind a hole. */
static inline bool half_has_hole(const VnxHalf *h)
{
    return h->ooo && h->ooo->n;
}

/* There is something to tell S by SACK, if it understands. */
static inline bool half_has_sack(const VnxHalf *h)
{
    return h->ooo || h->dsack.start != h->dsack.end;
}

/* S was told that vTCP has bytes of it that R has not acknowledged. */
static inline bool half_owes(const VnxHalf *h)
{
    return half_undelivered(h) || h->ooo;
}

/* S's FIN follows what the buffer holds, and is to be sent (again) behind it.  A FIN
 * that was passed on ahead of a hole is S's own affair. */
static inline bool half_fin_to_send(const VnxHalf *h)
{
    return h->fin_seen && h->fin_seq == h->rcv_nxt && seq_le(h->nxt, h->fin_seq);
}

/* Bytes that vTCP has sent and that are under way: RFC 6675's pipe. */
static inline uint32_t half_pipe(const VnxHalf *h)
{
    return seq_ahead(h->nxt, h->una) - h->txq.sacked - h->txq.lost;
}

/* Both ends permitted SACK. */
static inline bool half_uses_sack(const VnxHalf *h)
{
    const VnxConn *c = half_conn((VnxHalf *)h);

    return c->end[0].options & c->end[1].options & VNX_OPT_SACK_PERMITTED;
}

/* All of S's data and its FIN have been acknowledged by R. */
static inline bool half_finished(const VnxHalf *h)
{
    return h->fin_seen && seq_gt(h->una, h->fin_seq);
}

/* conn.c: life of a connection */
VnxConn *conn_new(VnxVtcp *v, const VnxFlowKey *key, VnxFlowProfile *profile);
VnxConn *conn_open(VnxVtcp *v, VnxDir dir, const VnxPacket *syn);
void conn_free(VnxConn *c);
void conn_set_state(VnxConn *c, VnxFlowState state);
void conn_untrack(VnxConn *c, VnxReason reason);
VnxVerdict conn_handshake(VnxConn *c, VnxDir dir, VnxPacket *p);
bool conn_start(VnxConn *c, VnxDir dir, const VnxPacket *syn);
void conn_check_closed(VnxConn *c);
/* Give up: RST to both sides as soon as they take it; then it lingers. */
void conn_reset(VnxConn *c);
void conn_linger(VnxConn *c);
/* A SYN of direction @dir comes on a connection in state RESET.  True: it is over, by an RST for R. */
bool conn_makes_way(VnxConn *c, VnxDir dir);
/* Queue the connection for service of direction @dir in vnx_vtcp_run(). */
void conn_queue(VnxConn *c, VnxDir dir);
/* Send by @queue from now on. */
void conn_set_queue(VnxConn *c, unsigned queue);
void conn_event(VnxConn *c, VnxVtcpEvent *ev);

/* classify.c: which policy holds */
VnxPolicy *vtcp_policy(const VnxVtcp *v, const VnxFlowOpening *opening);
void conn_set_policy(VnxConn *c, VnxPolicy *policy);
/* See to it that the scope's end is noticed. */
void conn_watch_scope(VnxConn *c);
/* Give it the policy and profile that are meant for it, before its halves begin. */
void conn_classify(VnxConn *c);
/* The same, and apply it; @own: or this profile, whatever policies say. */
void conn_change_profile(VnxConn *c, VnxFlowProfile *own);
/* To be asked before each segment. */
void conn_check_scope(VnxConn *c);

/* half.c: the state machine of a half, windows and memory toward S */
void half_init(VnxHalf *h, VnxDir dir);
void half_establish(VnxHalf *h);
void half_start_cc(VnxHalf *h);
void half_leave(VnxHalf *h, VnxReason reason);
void half_urgent(VnxHalf *h, const VnxPacket *p);
void half_check_drained(VnxHalf *h);
bool half_try_join(VnxHalf *h, const VnxPacket *p);
bool half_queue(VnxHalf *h, const VnxPacket *p);
void half_joined(VnxHalf *h);
void half_abort_join(VnxHalf *h);
bool half_store(VnxHalf *h, const VnxPacket *p, uint32_t off, uint32_t len);
void half_discard(VnxHalf *h);
void half_set_una(VnxHalf *h, uint32_t una);
void half_set_early(VnxHalf *h, uint32_t early);
void half_take_fin(VnxHalf *h);
uint32_t half_grant(const VnxHalf *h);
void half_reserve(VnxHalf *h);
uint32_t half_window(VnxHalf *h, uint32_t ack);
uint32_t half_window_told(const VnxHalf *h, uint32_t ack);
void half_told(VnxHalf *h, uint32_t ack, uint16_t field);
bool half_window_update_due(VnxHalf *h);
void half_reconsider(VnxHalf *h);
uint32_t half_cap(const VnxHalf *h);
void half_change_profile(VnxHalf *h, uint32_t old_cap);

/* ecn.c: congestion marks on either side of vTCP */
bool ecn_varies(uint16_t before, uint16_t again);
bool ecn_negotiated(uint16_t syn, uint16_t synack, bool varied, bool *ecn);
void ecn_start(VnxHalf *h);
void ecn_data(VnxHalf *h, const VnxPacket *p);
void ecn_ack(VnxHalf *h, const VnxPacket *p);
void ecn_reduced(VnxHalf *h);
uint16_t ecn_flags(const VnxConn *c, VnxDir dir, uint16_t flags);

/* receiver.c: the receiver toward S: data ahead of sequence, duplicate ACKs, SACK */
void half_ack_soon(VnxHalf *h);
void half_ack_now(VnxHalf *h);
void half_count_duplicate(VnxHalf *h, uint32_t bytes);
bool half_dsack(VnxHalf *h, uint32_t start, uint32_t end);
void half_dsack_told(VnxHalf *h);
unsigned half_sack(const VnxHalf *h, VnxSackBlock *block, unsigned max);
void half_receive_ahead(VnxHalf *h, const VnxPacket *p, uint32_t edge, bool take_fin);
void half_absorb_queue(VnxHalf *h);
void half_settle_queue(VnxHalf *h);
void half_drop_queue(VnxHalf *h);
void half_load_queue(VnxHalf *h, const VnxOoo *o);

/* input.c */
VnxVerdict conn_input(VnxConn *c, VnxDir dir, VnxPacket *p);

/* output.c: everything that leaves */
void half_output(VnxHalf *h);
bool half_send_ack(VnxHalf *h, bool again);
bool half_send_probe(VnxHalf *h);
bool half_send_segment(VnxHalf *h, uint32_t seq, uint32_t len);
bool conn_send_rst(VnxConn *c, VnxDir dir);
void conn_answer_rst(VnxConn *c, VnxDir dir, const VnxPacket *p);
VnxVerdict conn_forward(VnxConn *c, VnxDir dir, VnxPacket *p);

/* sender.c: what may be sent toward R, segment sizes, timers */
void half_sender_start(VnxHalf *h, uint32_t seq);
void half_sender_stop(VnxHalf *h);
void half_sent(VnxHalf *h, uint32_t begin, uint32_t end);
void half_schedule_probe(VnxHalf *h);
void half_arm(VnxHalf *h);
void half_rearm(VnxHalf *h);
void half_timeout(VnxHalf *h);
uint32_t half_room(const VnxHalf *h);
uint32_t half_pace(VnxHalf *h);
uint32_t half_mss(const VnxHalf *h);
void half_learn_segment_size(VnxHalf *h, const VnxPacket *p);
void half_learn_window(VnxHalf *h, uint32_t window);
void half_too_big(VnxHalf *h, const VnxTooBig *too_big);
int64_t half_rto(const VnxHalf *h);

/* recovery.c: R's acknowledgements, and what they tell of losses */
void half_acknowledged(VnxHalf *h, const VnxPacket *p, bool duplicate);
void half_detect_losses(VnxHalf *h, uint32_t flight, uint32_t delivered);
void half_lose_on_timeout(VnxHalf *h);

#endif /* VNX_VTCP_PRIVATE_H */
