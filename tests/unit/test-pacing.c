/*
 * vnx: unit test of pacing and of shared memory (T7, T8, P1)
 *
 * The engine as a whole, in virtual time: S always has data, R acknowledges after a round trip, and
 * frames are counted as they leave. And thousands of flows over one small memory.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <math.h>
#include <netinet/in.h>
#include <string.h>

#include <vnx/vtcp.h>

#define MS 1000000ll
#define ISS 1000u
#define IRS 50000u
#define WSCALE 10u
#define MSS 1448u
#define CHUNK 28960u            /* what S sends at a time */

typedef struct Flow {
    unsigned number;
    VnxDir dir;                 /* of the data */
    uint32_t sent;              /* by S */
    uint32_t edge;              /* S may send up to here */
    uint32_t got;               /* by R */
    uint32_t acked;             /* by R */
} Flow;

typedef struct Ack {
    Flow *flow;
    uint32_t ack;
    int64_t at_ns;
} Ack;

typedef struct World {
    VnxVtcp *v;
    int64_t now_ns;
    int64_t rtt_ns;
    int64_t late_ns;            /* timers come so much later, at most */
    uint16_t window;            /* of R, scaled */
    bool silent;                /* R acknowledges when the test says so */
    GPtrArray *flows;
    GQueue acks;
    GRand *rand;
    uint64_t bytes, frames;
    uint32_t largest;
    uint8_t payload[CHUNK];
} World;

static void headers(VnxDir dir, unsigned number, VnxHeaders *h)
{
    uint8_t *ip = h->bytes + 14;

    memset(h, 0, sizeof(*h));
    h->l3_off = 14;
    h->ip_version = 4;
    h->len = 34;
    h->sport = dir == VNX_TO_NET ? 10000 + number : 80;
    h->dport = dir == VNX_TO_NET ? 80 : 10000 + number;
    h->bytes[12] = 8;
    ip[0] = 0x45;
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    ip[12] = ip[16] = 10;
    ip[15] = dir == VNX_TO_NET ? 1 : 2;
    ip[19] = dir == VNX_TO_NET ? 2 : 1;
}

/* SYNs and SYN-ACKs need options that VnxBuild does not write: in place of its timestamps. */
static void syn_options(uint8_t *head, size_t len)
{
    const uint8_t options[12] = { 2, 4, MSS >> 8, MSS & 0xff, 1, 3, 3, WSCALE, 1, 1, 1, 1 };
    uint8_t *at = head + len - 12, *csum_at = at - 4;
    uint16_t csum;

    memcpy(&csum, csum_at, 2);
    for (unsigned i = 0; i < 12; i += 4) {
        uint32_t old, new;

        memcpy(&old, at + i, 4);
        memcpy(&new, options + i, 4);
        csum = vnx_csum_update32(csum, old, new);
    }
    memcpy(csum_at, &csum, 2);
    memcpy(at, options, 12);
}

static VnxVerdict push(World *w, const Flow *f, VnxDir dir, uint16_t flags, uint32_t seq,
                       uint32_t ack, uint32_t len)
{
    struct iovec payload = { w->payload, len }, frame[2];
    VnxBuild b = { .seq = seq, .ack = ack, .flags = flags,
                   .window = flags & VNX_TCP_SYN ? 65535 : w->window,
                   .payload = &payload, .payload_cnt = 1, .payload_len = len,
                   .timestamp = flags & VNX_TCP_SYN, .vnet_len = 12, .csum_partial = true,
                   .gso_size = len > MSS ? MSS : 0 };
    uint8_t head[VNX_BUILD_MAX];
    VnxHeaders h;

    b.csum_partial = !(flags & VNX_TCP_SYN);
    headers(dir, f->number, &h);
    frame[0].iov_base = head;
    frame[0].iov_len = vnx_headers_build(&h, &b, head);
    if (flags & VNX_TCP_SYN) {
        syn_options(head, frame[0].iov_len);
    }
    frame[1] = payload;
    return vnx_vtcp_push(w->v, dir, 0, frame, 2, 12, w->now_ns);
}

/* A frame has left vTCP. */
static bool on_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size)
{
    World *w = opaque;
    g_autofree VnxPacket *p = g_new(VnxPacket, 1);
    Flow *f;

    g_assert_cmpint(vnx_packet_parse(p, iov, iovcnt, 12, dir), ==, VNX_PARSE_TCP);
    f = g_ptr_array_index(w->flows, p->key.port[VNX_TO_GUEST] - 10000);
    if (dir != f->dir) {
        f->edge = MAX(f->edge, p->ack - ISS - 1 + ((uint32_t)p->window << WSCALE));
        return true;
    }
    w->bytes += p->payload_len;
    w->frames++;
    w->largest = MAX(w->largest, p->payload_len);
    f->got = MAX(f->got, p->seq + p->payload_len - ISS - 1);
    if (!w->silent) {
        Ack *a = g_new(Ack, 1);

        *a = (Ack) { f, f->got, w->now_ns + w->rtt_ns };
        g_queue_push_tail(&w->acks, a);
    }
    return true;
}

static void on_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
    World *w = opaque;
    g_autofree VnxPacket *p = g_new(VnxPacket, 1);
    Flow *f;

    g_assert_cmpint(vnx_packet_parse(p, iov, iovcnt, 12, dir), ==, VNX_PARSE_TCP);
    f = g_ptr_array_index(w->flows, p->key.port[VNX_TO_GUEST] - 10000);
    if (dir != f->dir) {
        f->edge = MAX(f->edge, p->ack - ISS - 1 + ((uint32_t)p->window << WSCALE));
    }
}

static const VnxVtcpOps ops = { .emit = on_emit, .forward = on_forward };

static Flow *open_flow(World *w, VnxDir dir)
{
    Flow *f = g_new0(Flow, 1);

    f->number = w->flows->len;
    f->dir = dir;
    g_ptr_array_add(w->flows, f);
    push(w, f, dir, VNX_TCP_SYN, ISS, 0, 0);
    push(w, f, !dir, VNX_TCP_SYN | VNX_TCP_ACK, IRS, ISS + 1, 0);
    push(w, f, dir, VNX_TCP_ACK, ISS + 1, IRS + 1, 0);
    f->edge = 65535;
    return f;
}

static void world_init(World *w, const VnxVtcpConfig *cfg)
{
    static const uint8_t seed[16] = { 1 };
    const VnxOffload offload = { .vnet_len = 12, .csum = true, .tso4 = true };

    memset(w, 0, sizeof(*w));
    w->rtt_ns = 10 * MS;
    w->now_ns = MS;
    w->window = 65535;
    w->flows = g_ptr_array_new_with_free_func(g_free);
    w->rand = g_rand_new_with_seed(7);
    w->v = vnx_vtcp_new(cfg, &ops, w, seed);
    vnx_vtcp_set_offload(w->v, VNX_TO_GUEST, &offload);
    vnx_vtcp_set_offload(w->v, VNX_TO_NET, &offload);
}

static void world_end(World *w)
{
    vnx_vtcp_free(w->v);
    g_ptr_array_free(w->flows, TRUE);
    g_queue_clear_full(&w->acks, g_free);
    g_rand_free(w->rand);
}

/* S sends all that it may. */
static void feed(World *w, Flow *f)
{
    while (f->sent + CHUNK <= f->edge) {
        if (push(w, f, f->dir, VNX_TCP_ACK, ISS + 1 + f->sent, IRS + 1, CHUNK) ==
            VNX_VERDICT_PASS) {
            f->got = MAX(f->got, f->sent + CHUNK);
        }
        f->sent += CHUNK;
    }
}

static void run_until(World *w, int64_t until_ns)
{
    while (w->now_ns < until_ns) {
        int64_t timer = vnx_vtcp_next_deadline(w->v), next = until_ns;
        Ack *a = g_queue_peek_head(&w->acks);

        if (timer != INT64_MAX) {
            timer += w->late_ns ? g_rand_int_range(w->rand, 0, w->late_ns) : 0;
            next = MIN(next, timer);
        }
        if (a && a->at_ns <= next) {
            w->now_ns = MAX(w->now_ns, a->at_ns);
            g_queue_pop_head(&w->acks);
            if (a->ack > a->flow->acked) {
                a->flow->acked = a->ack;
                push(w, a->flow, !a->flow->dir, VNX_TCP_ACK, IRS + 1, ISS + 1 + a->ack, 0);
            }
            g_free(a);
        } else {
            w->now_ns = MAX(w->now_ns, next);
        }
        vnx_vtcp_run(w->v, w->now_ns);
        for (unsigned i = 0; i < w->flows->len; i++) {
            feed(w, g_ptr_array_index(w->flows, i));
        }
        vnx_vtcp_run(w->v, w->now_ns);
    }
}

/*
 * max-pacing-rate holds to 5 %, in both directions, with algorithms that pace and that do not, also
 * when timers come up to half a millisecond late; and where it is fast frames stay large.
 */
static void test_exact(void)
{
    static const uint64_t rates[] = { 20000, 125000, 1250000, 12500000, 125000000 };
    static const char *const names[] = { "cubic", "none", "bbr" };

    for (unsigned i = 0; i < G_N_ELEMENTS(rates) * 12; i++) {
        uint64_t rate = rates[i / 12];
        VnxDir dir = i & 1;
        bool late = i & 2;
        const char *cc = names[i / 4 % 3];
        int64_t span = rate < 1000000 ? 20000 * MS : rate < 100000000 ? 1000 * MS : 200 * MS;
        VnxVtcpConfig cfg;
        double got;
        World w;

        vnx_vtcp_config_init(&cfg);
        cfg.flow.max_pacing_rate = rate;
        cfg.flow.initial_window = 1000;
        strcpy(cfg.flow.congestion_control, cc);
        strcpy(cfg.flow.guest_congestion_control, cc);
        world_init(&w, &cfg);
        w.rtt_ns = 2 * MS;
        w.late_ns = late ? MS / 2 : 0;
        open_flow(&w, dir);
        run_until(&w, span / 4);                /* BBR has to find out */
        w.bytes = w.frames = w.largest = 0;
        run_until(&w, span / 4 + span);
        got = w.bytes * 1e9 / span;
        g_test_message("%s to %s%s: %.0f of %" G_GUINT64_FORMAT " bytes/s, frames of %.0f", cc,
                       dir == VNX_TO_NET ? "network" : "guest", late ? ", late timers" : "",
                       got, rate, (double)w.bytes / w.frames);
        g_assert_cmpfloat(got, <=, 1.05 * rate + 2 * MSS);
        g_assert_cmpfloat(got, >=, 0.95 * rate - 2 * MSS);
        g_assert_cmpuint(w.largest, <=, MAX(rate / 1000, 2 * MSS));
        if (rate >= 125000000) {
            g_assert_cmpfloat((double)w.bytes / w.frames, >=, 30000);
        }
        world_end(&w);
    }
}

/* The rate changes while data waits: at once, and without a burst. */
static void test_live(void)
{
    VnxVtcpConfig cfg;
    uint64_t before;
    World w;

    vnx_vtcp_config_init(&cfg);
    cfg.flow.max_pacing_rate = 1000000;
    world_init(&w, &cfg);
    open_flow(&w, VNX_TO_NET);
    run_until(&w, 1000 * MS);
    cfg.flow.max_pacing_rate = 10000000;
    g_assert_true(vnx_vtcp_set_config(w.v, &cfg, w.now_ns, NULL));
    before = w.bytes;
    run_until(&w, 2000 * MS);
    g_assert_cmpfloat(fabs(w.bytes - before - 1e7), <=, 5e5);
    cfg.flow.max_pacing_rate = 100000;
    g_assert_true(vnx_vtcp_set_config(w.v, &cfg, w.now_ns, NULL));
    before = w.bytes;
    run_until(&w, 12000 * MS);
    g_assert_cmpfloat(fabs(w.bytes - before - 1e6), <=, 5e4);
    world_end(&w);
}

static VnxFlowProfile *heavy;

/* Every fourth flow is. */
static bool make_heavy(const VnxVtcpFlowInfo *info, void *opaque)
{
    World *w = opaque;

    if (info->key.port[VNX_TO_GUEST] % 4 == 0) {
        g_assert_true(vnx_vtcp_set_flow_profile(w->v, &info->key, heavy, w->now_ns));
    }
    return true;
}

typedef struct Use {
    uint64_t heavy, light;
    unsigned n_heavy, n_light;
} Use;

static bool add_use(const VnxVtcpFlowInfo *info, void *opaque)
{
    Use *use = opaque;
    const VnxVtcpHalfInfo *half = &info->half[VNX_TO_NET];
    uint64_t held = half->buffer_used;

    if (info->key.port[VNX_TO_GUEST] % 4 == 0) {
        use->heavy += held;
        use->n_heavy++;
    } else {
        use->light += held;
        use->n_light++;
    }
    return true;
}

/*
 * S fills whatever it is offered, and R is slow: the total cap holds at each moment, promises
 * included, and those of triple weight hold three times as much as the others, unless the
 * others' windows are R's own already.
 */
static void test_shares(void)
{
    for (unsigned n = 4; n <= 4000; n *= 10) {
        VnxVtcpConfig cfg;
        VnxVtcpStats stats;
        Use use = { 0 };
        World w;

        vnx_vtcp_config_init(&cfg);
        cfg.buffer_size = 64 << 20;
        cfg.flow.flow_buffer_size = 64 << 20;
        strcpy(cfg.flow.congestion_control, "none");
        world_init(&w, &cfg);
        w.silent = true;
        w.window = 64;                  /* 64 KiB: what is held beyond that is vTCP's */
        for (unsigned i = 0; i < n; i++) {
            open_flow(&w, VNX_TO_NET);
        }
        cfg.flow.weight = 300;
        heavy = vnx_flow_profile_new(&cfg.flow, NULL);
        vnx_vtcp_foreach_flow(w.v, 0, w.now_ns, make_heavy, &w);
        vnx_flow_profile_unref(heavy);
        for (unsigned round = 0; round < 40 + 12000 / n; round++) {
            unsigned begin = g_rand_int_range(w.rand, 0, n);

            for (unsigned i = 0; i < n; i++) {
                Flow *f = g_ptr_array_index(w.flows, (begin + i) % n);

                feed(&w, f);
                f->acked += (f->got - f->acked) / 8;
                push(&w, f, VNX_TO_GUEST, VNX_TCP_ACK, IRS + 1, ISS + 1 + f->acked, 0);
                vnx_vtcp_run(w.v, w.now_ns);
                vnx_vtcp_stats(w.v, &stats);
                g_assert_cmpuint(stats.buffer_used, <=, cfg.buffer_size);
                /* an edge that stands still is rounded up to the window's unit */
                g_assert_cmpuint(stats.buffer_used + stats.buffer_reserved, <=,
                                 cfg.buffer_size + (n << WSCALE));
            }
        }
        vnx_vtcp_foreach_flow(w.v, 0, w.now_ns, add_use, &use);
        g_test_message("%u flows: %.0f and %.0f bytes each, %.0f %% of the cap in use", n,
                       (double)use.heavy / use.n_heavy, (double)use.light / use.n_light,
                       (stats.buffer_used + stats.buffer_reserved) * 100.0 / cfg.buffer_size);
        g_assert_cmpuint(stats.buffer_used + stats.buffer_reserved, >=,
                         cfg.buffer_size / 10 * 7);
        if (n <= 400) {
            double ratio = (double)use.heavy / use.n_heavy / ((double)use.light / use.n_light);

            g_assert_cmpfloat(ratio, >=, 2.4);
            if (n <= 40) {              /* R's own window is less than a share, and counts little */
                g_assert_cmpfloat(ratio, <=, 3.6);
            }
        }
        world_end(&w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pacing/P1/exact", test_exact);
    g_test_add_func("/pacing/P1/live", test_live);
    g_test_add_func("/pacing/T8/shares", test_shares);
    return g_test_run();
}
