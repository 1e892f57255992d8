/*
 * vnx script runner: what its files share
 *
 *   vnx-script.c  command line, the families a script runs in, TAP output
 *   parse.c       words of a line: numbers, times, segments
 *   build.c       segments to frames
 *   check.c       frames told (tcpdump-like), checked, compared with what a line asks for
 *   world.c       the filter's host: ops, virtual clock, pushing, the output queue
 *   steps.c       what each line of a script does: packets, time, blocks
 *   setup.c       the lines that set up the filter and its host
 *   policy.c      the lines about policies
 *   state.c       the lines that ask for counters and for the state of a flow
 *
 * The language is told in README.md beside this file.  A Seg is a segment as
 * a script writes it: sequence numbers relative to the SYN of the side that they
 * number, windows in bytes.  The same struct tells what to inject and what to expect.
 *
 * Frames to inject are built here by hand, and checksums verified by a slow sum of
 * the runner's own, so that the engine is not its own judge.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_SCRIPT_H
#define VNX_SCRIPT_H

#include <glib.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include <vnx/packet.h>
#include <vnx/vtcp.h>

#define FRAME_MAX (256 * 1024)
#define START_NS 1000000000     /* the clock does not start at 0 */

/* A side has the number of the direction toward it. */
typedef enum Side { GUEST = VNX_TO_GUEST, NET = VNX_TO_NET } Side;

/* A value asked for: op 0 (not asked), '=', '<' (at most), '>' (at least), '!'. */
typedef struct Want {
    char op;
    int64_t v;
} Want;

typedef enum ExtHdr {           /* IPv6 */
    EXT_HBH = 1, EXT_DSTOPT = 2, EXT_ROUTING = 4, EXT_FRAGMENT = 8, EXT_JUMBO = 16,
} ExtHdr;

typedef struct Seg {
    uint16_t flags;             /* VNX_TCP_*; PSH is compared only if asked for */
    uint32_t seq, end;
    Want ack, win, edge;
    Want tsval, tsecr;
    bool ts, no_ts;             /* the word "ts"; the word "nots" */
    unsigned n_sack;
    VnxSackBlock sack[VNX_SACK_MAX];
    bool any_sack;              /* expected: whatever blocks there are */
    Want mss, wscale;
    bool sack_ok;
    uint8_t raw_opt[40];
    unsigned raw_opt_len;
    uint16_t urgent;
    bool seq_at_edge, end_at_edge; /* the right edge that this side was given */
    uint32_t by;                /* inject in pieces of so many bytes */

    bool bad_csum, bad_ip_csum, data_valid, partial, full, corrupt, stray;
    uint32_t gso;
    unsigned cut, pad;          /* bytes off, or added to, the frame's end */
    uint16_t vlan[2];           /* outer, inner; VNX_VLAN_NONE */
    uint8_t ttl, mac, dscp, ecn;
    unsigned queue;             /* where it comes in, or goes out */
    uint8_t ext;                /* ExtHdr bits */
    bool ip_opt, udp, frag;
    bool hops;                  /* the routing header is not done yet */
    unsigned icmp;              /* 1 + index of the kind: a report on this segment, */
    uint32_t mtu;               /* and what it says */
    uint8_t proto;              /* of IP; 0: as the rest says */
} Seg;

typedef enum How { PASSED, FORWARDED, EMITTED } How;

/* A frame that reached a side and no line has claimed yet. */
typedef struct Out {
    uint8_t *frame;
    size_t size;
    unsigned queue;
    uint16_t vnet_len;
    How how;
    int64_t at_ns;
    bool stray;                 /* passed, and the script said that it means nothing */
    bool checked;               /* check_invariants() has seen it */
} Out;

/* What the runner knows of one end host of one connection. */
typedef struct Host {
    uint32_t isn;
    bool ts_offered, ts_on;
    bool ws_offered;
    uint8_t ws, shift;
    uint16_t mss;
    uint32_t last_ack, last_win; /* of its own segments, relative, bytes */
    uint32_t sent_end;          /* highest sequence number that it used, relative */
    bool edge_known;
    uint32_t edge;              /* right edge that it gave, relative to the other's SYN */
    /* of what reached it */
    bool got_any, got_ts;
    uint32_t got_ack, got_edge; /* relative to its own SYN */
    uint32_t got_end;           /* relative to the other's SYN */
    uint32_t got_tsval;
    int64_t got_ts_ns;          /* when */
} Host;

typedef struct Conn {
    unsigned number;
    Host host[2];
} Conn;

/* A line, split. */
typedef struct Words {
    char **v;
    unsigned n, i;
} Words;
/* An event, to be compared with the flow when the call is over. */
typedef struct Told {
    unsigned number;            /* of the connection */
    VnxVtcpEvent ev;
} Told;

typedef struct World {
    const char *file;
    char **lines;               /* NULL-terminated */
    int line;                   /* now, from 1 */
    Words words;                /* its words */
    int family;                 /* 4 or 6 */
    bool mirrored;              /* guest and net have changed places */
    bool migrating;             /* before each segment */
    bool disabled;

    jmp_buf failed;
    char *failure;
    const char *states;         /* directory for saved states; NULL: none */
    unsigned n_states;
    int fail_line;              /* expect-failure; 0: none */
    char *fail_text;

    VnxVtcp *vtcp;
    VnxPolicies *policies;
    VnxVtcpConfig cfg;
    VnxOffload offload[2];
    uint16_t vnet_len;
    int64_t now_ns;
    bool in_batch, in_call;
    unsigned n_queues;
    unsigned busy[2];           /* bit per queue */
    bool stalled[2];
    unsigned push_queue;
    uint16_t push_vnet_len;
    uint64_t frames;            /* pushed */
    uint64_t loop_i;            /* of the repeat that runs */

    Seg base;                   /* what "wire" said */
    GHashTable *conns;          /* number -> Conn */
    Conn *conn;                 /* the one that lines speak of */
    GQueue out[2];              /* of Out */
    unsigned events[4];         /* by VnxVtcpEventType */
    GArray *told;               /* Told: events of the call that runs */
    GString *trace;
} World;

/* Ends the script.  @fmt NULL: w->failure is set already. */
void fail(World *w, const char *fmt, ...) G_GNUC_PRINTF(2, 3) G_GNUC_NORETURN;

/* parse.c */
const char *word(Words *ws);                    /* NULL at the end of the line */
const char *need_word(World *w, Words *ws, const char *what);
int64_t parse_number(World *w, const char *s);
int64_t parse_time(World *w, const char *s);
bool parse_on_off(World *w, const char *s);
Side parse_side(World *w, const char *s);
/* "to-guest", "to-net" */
VnxDir parse_dir(World *w, const char *s);
/* "==" "<=" ">=" "!=" then a value; @value reads the value. */
Want parse_op(World *w, Words *ws);
bool want_ok(Want want, int64_t got);
void parse_seg(World *w, Words *ws, Seg *s, bool expect);
void seg_init(Seg *s);
void parse_offload(World *w, const char *s, VnxOffload *o);

/* build.c */
uint8_t payload_byte(Side from, uint32_t rel);
/* One's complement sum of big-endian 16-bit words, folded. */
uint16_t slow_sum(const uint8_t *p, size_t n, uint32_t sum);
/* Of the pseudo header; @l3: the IP header. */
uint32_t pseudo_sum(int family, const uint8_t *l3, uint32_t l4_len, uint8_t proto);
/* Ethernet and IP headers for @l4_len bytes behind them; returns their length. */
unsigned build_l2_l3(World *w, Side from, const Seg *s, uint32_t l4_len, uint8_t *out,
                     unsigned *l3_off);
/* Of @side in the family that runs; IPv4 in the first four bytes. */
void host_address(World *w, Side side, uint8_t addr[16]);
/* The frame of @s sent by @from; g_free() it. */
uint8_t *build_frame(World *w, Side from, const Seg *s, size_t *size);

/* check.c */
/* One line about a frame that goes to @to; g_free() it. */
char *describe_frame(World *w, Side to, const uint8_t *frame, size_t size,
                     uint16_t vnet_len);
/* As a script would write it; g_free() it. */
char *describe_seg(const Seg *s);
/* Fails unless @o, which reached @to, is what @want says and sound in every respect. */
void check_out(World *w, Side to, const Out *o, const Seg *want);
/* Fails when a frame that vTCP made or changed breaks what must hold at all times; notes
 * what @to got. */
void check_invariants(World *w, Side to, const Out *o);

/* world.c */
void world_start(World *w);     /* make the filter, if it is not there */
void world_free(World *w);
Conn *conn_get(World *w, unsigned number);
bool inject(World *w, Side from, const Seg *s);         /* true: passed */
void after_push(World *w);
/* Save, and go on in another instance. */
void migrate(World *w);
void advance(World *w, int64_t to_ns);
/* Until something comes out; fails if not within [min_ns, max_ns]. */
void advance_until_output(World *w, int64_t min_ns, int64_t max_ns);
void no_output(World *w, Side side);
Out *take_out(World *w, Side side);
void out_free(Out *o);
void trace(World *w, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
bool flow_info(World *w, VnxVtcpFlowInfo *info);

/* steps.c */
void run_lines(World *w, int from, int to);
/* Fails if an output was not claimed. */
void nothing_unclaimed(World *w);

/* setup.c, policy.c, state.c: false if @verb is not theirs. */
bool step_setup(World *w, const char *verb, Words *ws);
bool step_policy(World *w, const char *verb, Words *ws);
bool step_state(World *w, const char *verb, Words *ws);

#endif /* VNX_SCRIPT_H */
