/*
 * vnx: a small world around one vTCP for fuzzing: end hosts, their frames, the checks
 *
 * A few connections, each with two hosts that keep what a TCP must: what they sent,
 * what was acknowledged, what arrived, which window they promised.  Payload is a
 * function of (connection, direction, sequence number), so every byte that vTCP
 * sends can be checked by itself, whatever happened before.
 *
 * A connection is `clean` as long as its hosts have only done what a TCP may do on
 * a network that loses, repeats and delays.  For a clean one much more is
 * checked (nothing acknowledged that has not been received in the end, windows
 * respected); one with forged segments must merely not break vTCP or bend payload.
 * All checks abort.  Requirements: T1 - T6, T9, T10; rules 1 - 7, 10, 11.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_FUZZ_WORLD_H
#define VNX_FUZZ_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include <vnx/vtcp.h>

#define CONNS 6
#define COVER_MAX 32
#define MS 1000000ll

/* Aborts with a message; for properties that must hold whatever the input is. */
#define CHECK(cond, ...) \
    do { \
        if (!(cond)) { \
            world_fail(__FILE__, __LINE__, #cond, __VA_ARGS__); \
        } \
    } while (0)
G_NORETURN void world_fail(const char *file, int line, const char *cond, const char *fmt,
                           ...) G_GNUC_PRINTF(4, 5);

struct World;
void world_trace(const struct World *w, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

typedef struct CoverPiece {
    uint32_t start, end;
} CoverPiece;

/* What of a sequence space has been seen: all below nxt, and pieces beyond. */
typedef struct Cover {
    uint32_t nxt;
    unsigned n;
    bool overflow;              /* pieces were forgotten: nxt may be too low */
    bool has_fin;
    uint32_t fin;               /* sequence number of the FIN */
    CoverPiece piece[COVER_MAX];
} Cover;

/* A TCP segment to be made into a frame. */
typedef struct Segment {
    uint32_t seq, ack;
    uint16_t flags, window, urgent;
    uint8_t ecn;                /* the field of the IP header */
    uint32_t len;               /* payload */
    bool ts;
    uint32_t tsval, tsecr;
    unsigned n_sack;
    VnxSackBlock sack[VNX_SACK_MAX];
    const uint8_t *options;     /* more options, raw; padded with NOPs */
    unsigned options_len;       /* 0 .. 20 */
    /* frame */
    unsigned csum_kind;         /* 0 full, 1 NEEDS_CSUM, 2 DATA_VALID */
    uint16_t bad_csum;          /* XORed into the checksum */
    uint16_t gso_size;          /* with NEEDS_CSUM */
    unsigned split;             /* how the frame is cut into iovecs */
    int flip_at;                /* >= 0: XOR flip_with into the frame's byte there */
    uint8_t flip_with;
} Segment;

typedef struct Host {
    bool dead;                  /* sent or received an RST */
    uint32_t mss;               /* of its MSS option */
    uint8_t wscale;
    /* as a sender */
    uint32_t iss, snd_nxt, snd_una, snd_edge;
    uint32_t wl1, wl2;          /* RFC 9293 3.10.7.4: segment of the last window update */
    bool fin_sent;
    uint32_t sent_max;          /* end of the highest segment pushed, forged or not */
    Cover pushed;               /* what vTCP could have seen of it */
    Cover sacked;               /* reported by SACK: it is never sent again */
    uint32_t ts_now;            /* newest TSval used */
    bool cwr;                   /* ECE came: CWR is due */
    bool marked;                /* some of its data was marked CE, on its way to vTCP */
    bool out;                   /* payload left vTCP for it, up to out_max */
    uint32_t out_max;
    /* as a receiver */
    Cover got;
    uint32_t rcv_edge;          /* window promised, right edge */
    uint32_t rcv_edge_max;      /* of all its segments, forged ones included */
    uint32_t ack_max;           /* likewise its ACK numbers */
    uint32_t wnd;               /* what it wants to offer now */
    uint32_t ts_recent;         /* newest TSval delivered */
    bool echo, echoed;          /* it says ECE, it ever did */
    bool holds;
    Segment held;               /* an ACK that is still under way */
} Host;

typedef struct Conn {
    VnxFlowKey key;
    bool open;                  /* handshake done through vTCP */
    bool clean;                 /* only legitimate segments so far */
    bool wild;                  /* forged SYNs, frames: what was negotiated is unknown */
    bool reordered;             /* an old ACK was overtaken by newer segments */
    bool ts, sack, ecn;         /* negotiated */
    Host host[2];               /* by side */
} Conn;

typedef struct World {
    VnxVtcp *v;
    VnxVtcpConfig cfg;
    int64_t now;
    bool trace;
    uint8_t vnet_len;
    VnxOffload offload[2];
    bool busy[2];               /* emit says false */
    bool lossy[2];              /* what goes there is lost */
    bool stalled[2];
    unsigned calls;             /* of vnx_vtcp_*, now running: at most one */
    bool paused, enabled;
    bool evicted;               /* by an instance before the present one */
    uint8_t seed[16];
    const Segment *under_way;   /* what is being pushed ... */
    unsigned under_way_side;    /* ... by whom, in which connection */
    Conn *under_way_conn;
    bool forged;                /* frames of any bytes were pushed: payload may be bent */
    /* limits: the highest that were ever in force */
    uint64_t buffer_size_max;
    uint32_t flow_buffer_max, flows_max;
    Conn conn[CONNS];
} World;

void world_init(World *w, const VnxVtcpConfig *cfg, uint8_t vnet_len,
                const uint8_t seed[16]);
void world_free(World *w);

/* Change settings; both keep the world's own record in step. */
void world_set_config(World *w, const VnxVtcpConfig *cfg);
void world_set_offload(World *w, VnxDir dir, VnxOffload offload);
void world_set_paused(World *w, bool paused);
void world_set_enabled(World *w, bool enabled);
/* Save all flows, and go on with them in a new instance. */
void world_migrate(World *w);
/* A byte of saved state, at @at (modulo size), XORed by @with; 0: it ends there. */
typedef struct Bend {
    uint32_t at;
    uint8_t with;
} Bend;
/* Load what was saved, bent in @n places, into another instance, use that a little, and
 * forget it. */
void world_load_bent(World *w, const Bend *bends, unsigned n);
void world_run(World *w);

/* A segment of the host on @side of connection @c, through vTCP to the other one. */
void world_send(World *w, unsigned c, unsigned side, const Segment *s);
/* A router beyond the other side reports that a segment of @side at @seq did not fit @mtu. */
void world_report(World *w, unsigned c, unsigned side, uint32_t seq, uint16_t mtu);
/* A frame of any bytes. */
void world_send_raw(World *w, VnxDir dir, const uint8_t *frame, size_t size,
                    size_t vnet_len, unsigned split);

typedef struct Handshake {
    unsigned client;            /* side */
    uint32_t iss[2];
    uint16_t mss[2];            /* 0: no option */
    int wscale[2];              /* < 0: no option */
    bool ts, sack, ecn;
    bool syn_ack_twice;
} Handshake;
/* Three-way handshake of @c.  If vTCP drops a part of it, @c stays not open. */
void world_open(World *w, unsigned c, const Handshake *h);

/* A segment with what the host would put there now: seq, ack, window, timestamps. */
Segment world_segment(World *w, unsigned c, unsigned side);
/* New data, as far as the peer's window allows; returns the bytes.  @lost: never arrives
 * at vTCP. */
uint32_t world_data(World *w, unsigned c, unsigned side, uint32_t len, Segment style,
                    bool lost);
/* What is neither acknowledged nor reported by SACK once more, from @skip bytes behind snd_una on. */
void world_resend(World *w, unsigned c, unsigned side, uint32_t skip, uint32_t len,
                  Segment style);
void world_fin(World *w, unsigned c, unsigned side);
/* A pure ACK with SACK blocks where there are holes. */
void world_ack(World *w, unsigned c, unsigned side);
/* An ACK that takes long: made now, sent by world_ack_late(). */
void world_ack_hold(World *w, unsigned c, unsigned side);
void world_ack_late(World *w, unsigned c, unsigned side);
/* What the receiver offers from now on; does not send. */
void world_window(World *w, unsigned c, unsigned side, uint32_t bytes);

/* Check all that vTCP tells about itself. */
void world_check(World *w);
/* All impediments end, receivers acknowledge what they get: vTCP must get rid of
 * everything it owes. */
void world_finish(World *w);

#endif /* VNX_FUZZ_WORLD_H */
