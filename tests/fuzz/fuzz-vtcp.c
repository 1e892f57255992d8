/*
 * vnx: fuzz target of vTCP (T1 - T6, T9, T10)
 *
 * The input is a program for the world of world.h: a header (configuration, shape of
 * the frames), then operations, one byte each with its arguments behind it; what is
 * missing at the end reads as 0.  Every input is a valid program, and after each
 * operation the world checks vTCP.  When the program ends the world calms
 * down, and vTCP must deliver what it owes.
 *
 * Most operations are those of honest hosts on a bad network, which is what reaches
 * deep; OP_FORGE and OP_RAW are the attackers.
 *
 * VNX_FUZZ_TRACE=1 in the environment prints operations, segments and events.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <vnx/cc.h>

#include "fuzz.h"
#include "world.h"

#define OPS_MAX 400             /* more is only slower */

typedef struct Input {
    const uint8_t *data;
    size_t left;
} Input;

static uint32_t u8(Input *in)
{
    if (!in->left) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

static uint32_t u16(Input *in)
{
    uint32_t hi = u8(in);

    return hi << 8 | u8(in);
}

static uint32_t u32(Input *in)
{
    uint32_t hi = u16(in);

    return hi << 16 | u16(in);
}

/* Lengths that matter: around segments, buffers, GSO frames. */
static uint32_t length(Input *in)
{
    static const uint32_t table[] = {
        0, 1, 2, 100, 535, 536, 1000, 1447,
        1448, 1460, 2896, 5000, 14480, 30000, 65000, 200000,
    };
    uint32_t b = u8(in);

    return b < 128 ? table[b % G_N_ELEMENTS(table)] : b;
}

/* Steps in time: from nothing to beyond the retry limit. */
static int64_t duration(Input *in)
{
    static const int64_t table[] = {
        0, 1, 1000, 100000, MS, 5 * MS, 40 * MS, 100 * MS, 200 * MS, 500 * MS,
        1000 * MS, 3000 * MS, 10000 * MS, 61000 * MS, 130000 * MS, 600000 * MS,
    };

    return table[u8(in) % G_N_ELEMENTS(table)];
}

/* Distances for forged numbers: mostly near, rarely anywhere. */
static uint32_t distance(Input *in)
{
    static const int32_t table[] = {
        0, 0, 0, 0, 1, -1, 2, -2, 536, -536, 1448, -1448, 3000, -3000, 65535, -65535,
        70000, -70000, 1 << 20, -(1 << 20), 1 << 30, -(1 << 30), INT32_MAX, INT32_MIN,
    };
    uint32_t b = u8(in);

    return b == 255 ? u32(in) : (uint32_t)table[b % G_N_ELEMENTS(table)];
}

static Segment style(Input *in)
{
    uint32_t b = u8(in);

    return (Segment) { .csum_kind = b % 3, .split = b / 3, .flip_at = -1 };
}

static VnxVtcpConfig config(Input *in, const VnxVtcpConfig *base)
{
    VnxVtcpConfig cfg = *base;
    uint32_t b = u8(in);
    const VnxCcOps *cc = vnx_cc_get(b % 8);

    g_strlcpy(cfg.flow.congestion_control, cc ? cc->name : "reno",
              sizeof(cfg.flow.congestion_control));
    cfg.flow.mode = b % 8 < 6 ? VNX_MODE_ACCELERATE :
               b % 8 == 6 ? VNX_MODE_OBSERVE : VNX_MODE_OFF;
    cfg.flow.flow_buffer_size = VNX_FLOW_BUFFER_SIZE_MIN << b / 8 % 4;
    cfg.buffer_size = VNX_BUFFER_SIZE_MIN << b / 32 % 4;
    cfg.flow.out_of_order = b & 128 ? VNX_OOO_PASS_THROUGH : VNX_OOO_QUEUE;
    b = u8(in);
    cfg.max_flows = 1 + b % 8;
    cfg.flow.dupack_threshold = 2 + b / 8 % 4;
    cfg.flow.initial_window = 1 + b / 32 * 3;
    b = u8(in);
    cfg.flow.min_rto_ms = 1 + b % 16 * 40;
    cfg.flow.max_rto_ms = 1000 + b / 16 % 4 * 20000;
    cfg.retry_limit_ms = 5000 + b / 64 * 40000;
    if (b >= 240) {
        b = u8(in);
        cfg.flow.weight = b % 4 * 50;
        cfg.flow.max_window = b / 4 % 4 * 3000;
        cfg.flow.slow_start_threshold = b / 16 % 4 * 7000;
        cfg.flow.additive_increase = 1 + b / 64 * 250;
        cfg.flow.decrease_factor = b / 32 * 14;
        cfg.flow.max_pacing_rate = b % 3 ? 0 : 1000ull << b / 3 % 16;
        cc = vnx_cc_get(b % 32);
        g_strlcpy(cfg.flow.guest_congestion_control, cc ? cc->name : "none",
                  sizeof(cfg.flow.guest_congestion_control));
    }
    if (b == 255) {
        cfg.flow.dupack_threshold = u8(in);      /* may be out of range: to be refused */
        cfg.flow.min_rto_ms = u32(in);
    }
    return cfg;
}

static VnxOffload offload(Input *in, uint8_t vnet_len)
{
    uint32_t b = u8(in);
    bool csum = vnet_len && b & 1;

    return (VnxOffload) {
        .vnet_len = vnet_len, .csum = csum, .tso4 = csum && b & 2, .tso6 = csum && b & 4,
        .ecn = csum && b & 8,
    };
}

static void open_conn(World *w, Input *in, unsigned c)
{
    static const uint16_t mss[] = { 1460, 1460, 0, 536, 1448, 9000, 100, 65535 };
    uint32_t b = u8(in), d = u8(in);
    Handshake hs = {
        .client = b & 1,
        .ts = b & 2,
        .sack = b & 4,
        .syn_ack_twice = b & 8,
        .ecn = d & 128,
        .iss = { 0x1000, 0x80001000 },
        .mss = { mss[b / 16 % 8], mss[d % 8] },
        .wscale = { d / 8 % 4 == 3 ? -1 : d / 8 % 4 * 3,
                    d / 32 % 4 == 3 ? -1 : d / 32 % 4 * 7 },
    };

    if (b & 128) {
        hs.iss[0] = UINT32_MAX - 20000;     /* wraps soon */
        hs.iss[1] = INT32_MAX - 1000;
    }
    world_open(w, c, &hs);
}

/* A segment that a host would send, bent in some places. */
static void forge(World *w, Input *in, unsigned c, unsigned side)
{
    static const uint16_t flags[] = {
        VNX_TCP_ACK,
        VNX_TCP_ACK | VNX_TCP_PSH,
        VNX_TCP_ACK | VNX_TCP_FIN,
        VNX_TCP_RST,
        VNX_TCP_RST | VNX_TCP_ACK,
        VNX_TCP_SYN,
        VNX_TCP_SYN | VNX_TCP_ACK,
        VNX_TCP_ACK | VNX_TCP_URG,
        VNX_TCP_ACK | VNX_TCP_ECE,
        VNX_TCP_ACK | VNX_TCP_CWR,
        0,
        VNX_TCP_FIN,
        VNX_TCP_SYN | VNX_TCP_ECE | VNX_TCP_CWR,
        VNX_TCP_ACK | VNX_TCP_AE,
        0x1ff,
        VNX_TCP_ACK | VNX_TCP_FIN | VNX_TCP_URG,
    };
    Conn *conn = &w->conn[c];
    Segment s = world_segment(w, c, side);
    uint8_t options[20];
    uint32_t what = u8(in), b;

    s.flags = flags[u8(in) % G_N_ELEMENTS(flags)];
    s.seq += distance(in);
    s.ack += distance(in);
    s.len = length(in) % 65001;
    if (what & 1) {
        s.window = u16(in);
    }
    if (what & 2) {
        s.ts = !s.ts;
    }
    if (what & 4) {
        s.tsval += (int8_t)u8(in) * 16;
        s.tsecr += (int8_t)u8(in);
    }
    if (what & 8) {
        s.n_sack = 1 + u8(in) % (s.ts ? 3 : 4);
        for (unsigned i = 0; i < s.n_sack; i++) {
            s.sack[i].start = s.ack + distance(in);
            s.sack[i].end = s.sack[i].start + distance(in);
        }
    }
    if (what & 16) {
        s.options_len = 1 + u8(in) % sizeof(options);
        s.options = options;
        for (unsigned i = 0; i < s.options_len; i++) {
            options[i] = u8(in);
        }
    }
    if (what & 32) {
        s.bad_csum = u16(in);
    }
    b = u8(in);
    s.csum_kind = b % 3;
    s.split = b / 3;
    s.ecn = b / 64;
    if (w->vnet_len && s.csum_kind == 1 && what & 64) {
        s.gso_size = u16(in);
    }
    if (what & 128) {
        s.flip_at = u8(in);
        s.flip_with = u8(in);
    }
    s.urgent = !(s.flags & VNX_TCP_URG) ? 0 : what & 1 ? s.window : s.len;

    conn->clean = false;
    conn->wild |= s.flags & VNX_TCP_SYN || s.options_len;
    world_send(w, c, side, &s);
}

static void raw(World *w, Input *in)
{
    static const uint8_t vnet_len[] = { 0, 10, 12, 20 };
    uint8_t frame[256];
    size_t size = u8(in);
    uint32_t b = u8(in);

    for (size_t i = 0; i < size; i++) {
        frame[i] = u8(in);
    }
    world_send_raw(w, b & 1, frame, size, vnet_len[b / 2 % 4], b / 8);
}

static bool first_only(const VnxVtcpFlowInfo *info, void *opaque)
{
    *(uint64_t *)opaque = info->id;
    return false;
}

/* Page through the flows one by one: each once, ids rising. */
static void page(World *w)
{
    uint64_t after = 0, id;
    VnxVtcpStats stats;
    uint32_t n = 0;

    for (;;) {
        id = 0;
        vnx_vtcp_foreach_flow(w->v, after, w->now, first_only, &id);
        if (!id) {
            break;
        }
        CHECK(id > after, "flow %" G_GUINT64_FORMAT " again", id);
        after = id;
        n++;
    }
    vnx_vtcp_stats(w->v, &stats);
    CHECK(n == stats.flows, "paged %u of %u flows", n, stats.flows);
}

/* Several round trips as a calm network does them: deep states cheaply. */
static void exchange(World *w, Input *in, unsigned c, unsigned side)
{
    unsigned rounds = 1 + u8(in) % 8;
    Segment how = style(in);

    for (unsigned n = 0; n < rounds && w->conn[c].open; n++) {
        world_data(w, c, side, 14480, how, false);
        world_run(w);
        w->now += 5 * MS;
        world_ack(w, c, !side);
        world_run(w);
        w->now += 5 * MS;
    }
}

#define OPS(X) \
    X(OPEN) X(DATA) X(DATA_LOST) X(RESEND) X(ACK) X(DUPACKS) X(WINDOW) X(FIN) \
    X(KEEPALIVE) X(TIME) X(TIMER) X(RUN) X(BUSY) X(LOSSY) X(STALLED) X(CONFIG) \
    X(ENABLED) X(PAUSED) X(OFFLOAD) X(VNET_LEN) X(RESET_UNDRAINED) X(RST) X(PAGE) \
    X(EXCHANGE) X(FORGE) X(RAW) X(ACK_HOLD) X(ACK_LATE) X(MIGRATE) X(LOAD_BENT)

enum {
#define X(name) OP_##name,
    OPS(X)
#undef X
    OP__MAX
};

static const char *const op_names[] = {
#define X(name) #name,
    OPS(X)
#undef X
};

static void operation(World *w, Input *in)
{
    static const uint8_t vnet_len[] = { 0, 10, 12, 20 };
    unsigned op = u8(in) % OP__MAX, b = u8(in);
    unsigned c = b % CONNS, side = b / 8 & 1;
    unsigned how = b / 32;              /* a variant of some operations */
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side];

    if (w->trace) {
        world_trace(w, "%s conn %u side %u", op_names[op], c, side);
    }
    if (!conn->open && ((op >= OP_DATA && op <= OP_KEEPALIVE) || op == OP_ACK_HOLD ||
                        op == OP_ACK_LATE)) {
        return;
    }
    switch (op) {
    case OP_OPEN:
        open_conn(w, in, c);
        break;
    case OP_DATA:
    case OP_DATA_LOST: {
        uint32_t len = length(in);
        Segment s = style(in);

        s.ecn = how & 1 ? VNX_ECN_CE : VNX_ECN_ECT0;
        s.flags = how == 6 ? VNX_TCP_URG : 0;
        world_data(w, c, side, len, s, op == OP_DATA_LOST);
        break;
    }
    case OP_RESEND: {
        uint32_t skip = length(in), len = length(in);

        world_resend(w, c, side, skip, len, style(in));
        break;
    }
    case OP_ACK:
        if (how & 1 && conn->ecn) {     /* a mark beyond vTCP */
            h->echo = h->echoed = true;
        }
        world_ack(w, c, side);
        break;
    case OP_DUPACKS:
        for (unsigned n = 1 + u8(in) % 8; n; n--) {
            world_ack(w, c, side);
        }
        break;
    case OP_WINDOW:
        world_window(w, c, side, length(in) * (1 + u8(in)));
        world_ack(w, c, side);
        break;
    case OP_FIN:
        world_fin(w, c, side);
        break;
    case OP_KEEPALIVE:
        if (how & 1) {
            uint32_t seq = h->snd_una + distance(in);

            world_report(w, c, side, seq, u16(in));
        } else if (h->snd_una == h->snd_nxt && !h->dead) {
            Segment s = world_segment(w, c, side);

            s.seq--;
            world_send(w, c, side, &s);
        }
        break;
    case OP_TIME:
        w->now += duration(in);
        break;
    case OP_TIMER: {
        int64_t deadline = vnx_vtcp_next_deadline(w->v);

        if (deadline != INT64_MAX) {
            w->now = MAX(w->now, deadline);
            world_run(w);
        }
        break;
    }
    case OP_RUN:
        world_run(w);
        break;
    case OP_BUSY:
        w->busy[side] = !w->busy[side];
        if (!w->busy[side]) {
            vnx_vtcp_writable(w->v, side, 0);
        }
        break;
    case OP_LOSSY:
        w->lossy[side] = !w->lossy[side];
        break;
    case OP_STALLED:
        w->stalled[side] = !w->stalled[side];
        break;
    case OP_CONFIG: {
        VnxVtcpConfig cfg = config(in, &w->cfg);

        world_set_config(w, &cfg);
        break;
    }
    case OP_ENABLED:
        world_set_enabled(w, b & 16);
        break;
    case OP_PAUSED:
        world_set_paused(w, b & 16);
        break;
    case OP_OFFLOAD:
        world_set_offload(w, side, offload(in, w->vnet_len));
        break;
    case OP_VNET_LEN:
        w->vnet_len = vnet_len[u8(in) % 4];
        world_set_offload(w, 0, offload(in, w->vnet_len));
        world_set_offload(w, 1, offload(in, w->vnet_len));
        break;
    case OP_RESET_UNDRAINED:
        w->calls++;
        vnx_vtcp_reset_undrained(w->v, w->now);
        w->calls--;
        break;
    case OP_RST:
        if (conn->open) {
            Segment s = world_segment(w, c, side);

            s.flags = VNX_TCP_RST | VNX_TCP_ACK;
            world_send(w, c, side, &s);
        }
        break;
    case OP_PAGE:
        page(w);
        break;
    case OP_EXCHANGE:
        exchange(w, in, c, side);
        break;
    case OP_FORGE:
        forge(w, in, c, side);
        break;
    case OP_RAW:
        raw(w, in);
        break;
    case OP_ACK_HOLD:
        world_ack_hold(w, c, side);
        break;
    case OP_ACK_LATE:
        world_ack_late(w, c, side);
        break;
    case OP_MIGRATE:
        world_migrate(w);
        break;
    case OP_LOAD_BENT: {
        Bend bends[8];

        for (unsigned i = 0; i <= how; i++) {
            bends[i].at = u16(in);
            bends[i].with = u8(in);
        }
        world_load_bent(w, bends, how + 1);
        break;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t vnet_len[] = { 0, 10, 12, 20 };
    static const uint8_t seed[16] = { 1, 2, 3 };
    Input in = { .data = data, .left = size };
    VnxVtcpConfig cfg;
    World w;

    vnx_vtcp_config_init(&cfg);
    cfg = config(&in, &cfg);
    if (!vnx_vtcp_config_check(&cfg, NULL)) {
        return 0;
    }
    world_init(&w, &cfg, vnet_len[u8(&in) % 4], seed);
    world_set_offload(&w, 0, offload(&in, w.vnet_len));
    world_set_offload(&w, 1, offload(&in, w.vnet_len));
    for (unsigned n = 0; in.left && n < OPS_MAX; n++) {
        operation(&w, &in);
        world_check(&w);
    }
    if (w.trace) {
        world_trace(&w, "the end");
    }
    world_finish(&w);
    world_free(&w);
    return 0;
}
