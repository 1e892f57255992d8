/*
 * vnx: congestion control - the contract between the sender and an algorithm
 *
 * The sender (engine/tcp) detects losses, counts, retransmits and does the
 * window arithmetic of recovery that is the same for all (RFC 5681, 6582);
 * an algorithm decides how cwnd grows and how far it falls.  Algorithms are
 * static ops, registered by name; the sender never asks which one it has.
 * State beyond cwnd and ssthresh is behind VnxCc.state: the ops say how much.
 *
 * Units: bytes and nanoseconds.  An algorithm has no clock: times come in.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_CC_H
#define VNX_CC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VNX_CC_STATE_MAX 256            /* bytes of private state, per half */
#define VNX_CC_UNLIMITED UINT32_MAX     /* a cwnd or ssthresh that does not limit */

typedef struct VnxCcOps VnxCcOps;

/* What the configuration wants of it.  An algorithm heeds what means something to it. */
typedef struct VnxCcParams {
    uint32_t initial_ssthresh;          /* bytes; 0: none */
    uint16_t initial_window;            /* segments */
    uint16_t increase_percent;          /* of its own additive increase */
    uint8_t decrease_percent;           /* of the window that a loss leaves; 0: its own */
} VnxCcParams;

typedef struct VnxCc {
    const VnxCcOps *ops;
    uint32_t cwnd;
    uint32_t ssthresh;
    uint32_t mss;                       /* SMSS, RFC 5681: kept current by the sender */
    VnxCcParams params;
    void *state;                        /* the algorithm's own; NULL if it needs none */
} VnxCc;

/*
 * A delivery rate sample: what the path did between the transmission of what was delivered
 * last and its acknowledgement (engine/tcp/rate.h).
 */
typedef struct VnxCcRate {
    int64_t interval_ns;                /* 0: no sample */
    uint64_t delivered;                 /* bytes, in the interval */
    uint64_t total;                     /* bytes delivered, ever */
    uint64_t prior;                     /* ... and when the sampled transmission left */
    uint32_t in_flight;                 /* ... and what was under way then, with it */
    uint32_t lost;                      /* bytes taken to be lost in the interval */
    bool app_limited;                   /* there was no data to send for a part of it */
} VnxCcRate;

/* An ACK that tells something new. */
typedef struct VnxCcAck {
    int64_t now_ns;
    uint32_t acked;                     /* bytes it acknowledges that R had not SACKed: by
                                         * these a window may grow (RFC 3465) */
    uint32_t delivered;                 /* ... and those that it SACKs for the first time */
    uint32_t lost;                      /* bytes that are taken to be lost since the last */
    uint32_t marked;                    /* of acked: those that ECN-Echo counts
                                         * (counts_marks) */
    uint32_t in_flight;                 /* before this ACK; without what is SACKed or lost */
    int64_t rtt_ns;                     /* of what it acknowledges last, 0: not known;
                                         * also many in a round trip */
    int64_t srtt_ns;
    int64_t min_rtt_ns;
    bool cwnd_limited;                  /* the sender had more to send than cwnd let it */
    bool recovery;                      /* in fast recovery, or this ACK has ended it */
    VnxCcRate rate;
} VnxCcAck;

typedef enum VnxCcLoss {
    VNX_CC_LOSS_FAST,                   /* duplicate ACKs, SACK, RACK: recovery begins */
    VNX_CC_LOSS_RTO,                    /* retransmission timeout */
    VNX_CC_LOSS_ECN,                    /* ECN-Echo (RFC 3168), once per window of data */
} VnxCcLoss;

struct VnxCcOps {
    const char *name;
    size_t state_size;                  /* at most VNX_CC_STATE_MAX; zeroed before init */
    bool counts_marks;                  /* both ends tell marks exactly (RFC 8257); it also
                                         * hears of ACKs with ECN-Echo, which others do not */
    /* cwnd is the algorithm's in fast recovery, too: the sender neither reduces it in
     * proportion (PRR) nor inflates it. */
    bool own_recovery;
    /* Mandatory: a new connection; set cwnd and ssthresh. */
    void (*init)(VnxCc *cc, int64_t now_ns);
    /* Optional: each ACK that delivers something or tells of a loss, in recovery or not:
     * to measure, and with own_recovery to set cwnd. */
    void (*on_sample)(VnxCc *cc, const VnxCcAck *ack);
    /* Mandatory without own_recovery: an ACK of new data, outside of recovery: grow cwnd. */
    void (*on_ack)(VnxCc *cc, const VnxCcAck *ack);
    /* Mandatory: set ssthresh, and cwnd as it shall be after recovery has ended;
     * for RTO: as the sender shall restart. */
    void (*on_loss)(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns);
    /* Optional: recovery is over (cwnd set by the sender before). */
    void (*on_recovered)(VnxCc *cc, int64_t now_ns);
    /* Optional: the last loss was none (the sender has set cwnd and ssthresh back). */
    void (*on_undo)(VnxCc *cc, int64_t now_ns);
    /* Optional: sending goes on after nothing was under way for @idle_ns, and cwnd
     * has not limited the sender for @unused_ns, which is no less. */
    void (*on_idle)(VnxCc *cc, int64_t idle_ns, int64_t unused_ns, int64_t now_ns);
    /* Optional: bytes per second at which to send; 0: as fast as cwnd allows. */
    uint64_t (*pacing_rate)(const VnxCc *cc, int64_t srtt_ns);
};

/* By name, or NULL.  "reno", "reno-hystart", "cubic", "bic", "dctcp", "bbr", and "none"
 * (never limits, but for what follows a timeout). */
const VnxCcOps *vnx_cc_find(const char *name);
/* The @i-th algorithm, or NULL past the last one. */
const VnxCcOps *vnx_cc_get(unsigned i);
/* Mandatory members are present and the state fits; the unit test asks it of each. */
bool vnx_cc_ops_valid(const VnxCcOps *ops);

/* Start @cc with @ops.  @cc is all zero, or was started before. */
void vnx_cc_start(VnxCc *cc, const VnxCcOps *ops, uint32_t mss, const VnxCcParams *params,
                  int64_t now_ns);
/* Release what vnx_cc_start() took; @cc is all zero then. */
void vnx_cc_stop(VnxCc *cc);
/* Hand an ACK to whom it concerns. */
void vnx_cc_ack(VnxCc *cc, const VnxCcAck *ack);
/*
 * How many bytes to send at a time at @rate bytes per second: what takes a millisecond, so
 * that frames stay large where it is fast; 2 segments to 64 KiB.
 */
uint32_t vnx_cc_quantum(uint64_t rate, uint32_t mss);

#endif /* VNX_CC_H */
