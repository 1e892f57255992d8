/*
 * vnx: unit test of congestion control (T7)
 *
 * Each algorithm against the contract of include/vnx/cc.h, under random calls; Reno
 * against closed forms, in virtual time: a round trip is a loop that acknowledges
 * one congestion window.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include <vnx/vtcp.h>

#include "cc-path.h"

#define RTT_NS (50 * MS)

static void ack(VnxCc *cc, uint32_t bytes, int64_t now_ns)
{
    cc_ack(cc, bytes, MIN(cc->cwnd, 1u << 30), now_ns, RTT_NS);
}

/* One round trip: all that cwnd allowed at its start is acknowledged, @segments at a
 * time.  Returns the segments that were sent in it. */
static uint32_t round_trip(VnxCc *cc, uint32_t segments, int64_t *now_ns)
{
    uint32_t left = cc->cwnd / MSS, sent = left;

    *now_ns += RTT_NS;
    while (left) {
        uint32_t n = MIN(left, segments);

        ack(cc, n * MSS, *now_ns);
        left -= n;
    }
    return sent;
}

/* ---- The contract ---- */

static void test_registry(void)
{
    const VnxCcOps *ops;
    unsigned n;

    for (n = 0; (ops = vnx_cc_get(n)); n++) {
        g_assert_true(vnx_cc_ops_valid(ops));
        g_assert_true(vnx_cc_find(ops->name) == ops);   /* so names are unique */
    }
    g_assert_cmpuint(n, >=, 2);
    g_assert_null(vnx_cc_get(n));
    g_assert_null(vnx_cc_get(UINT_MAX));
    g_assert_nonnull(vnx_cc_find("reno"));
    g_assert_nonnull(vnx_cc_find("none"));
    g_assert_null(vnx_cc_find("Reno"));
    g_assert_null(vnx_cc_find(""));
    g_assert_null(vnx_cc_find("reno "));
}

static void test_validity(void)
{
    VnxCcOps good = *vnx_cc_find("reno"), bad;

    g_assert_true(vnx_cc_ops_valid(&good));
    bad = good, bad.name = NULL;
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.name = "";
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.name = "a-name-of-sixteen";     /* does not fit VnxVtcpConfig */
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.state_size = VNX_CC_STATE_MAX + 1;
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.init = NULL;
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.on_ack = NULL;
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.on_loss = NULL;
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.own_recovery = true;            /* and no on_sample */
    g_assert_false(vnx_cc_ops_valid(&bad));
    bad = good, bad.state_size = VNX_CC_STATE_MAX;
    bad.on_recovered = NULL, bad.on_idle = NULL, bad.pacing_rate = NULL;
    g_assert_true(vnx_cc_ops_valid(&bad));
}

/* What the sender relies on, whatever happens: it can always send a segment, a timeout
 * leaves no more than it may restart with, and ssthresh keeps RFC 5681's floor. */
static void random_calls(const VnxCcOps *ops, guint32 seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;
    uint64_t total = 0;

    /* start() must not depend on what was there */
    vnx_cc_start(&cc, vnx_cc_get(seed % 7), MSS, &(VnxCcParams) {
        .initial_window = 1, .increase_percent = 1,
    }, now);
    if (cc.state) {
        memset(cc.state, 0xa5, cc.ops->state_size);
    }
    vnx_cc_start(&cc, ops, MSS, &(VnxCcParams) {
        .initial_window = g_rand_int_range(rand, 1, 100),
        .increase_percent = g_rand_int_range(rand, 1, 10001),
        .decrease_percent = g_rand_int_range(rand, 0, 100),
    }, now);
    g_assert_true(cc.ops == ops);
    for (unsigned i = 0; i < 3000; i++) {
        uint32_t in_flight = g_rand_int_range(rand, 0, MIN(cc.cwnd, 1u << 30) + 1);
        unsigned dice = g_rand_int_range(rand, 0, 100);
        uint32_t before = cc.cwnd;

        now += g_rand_int_range(rand, 0, RTT_NS);
        if (dice < 90) {
            uint32_t acked = in_flight ? g_rand_int_range(rand, 1, in_flight + 1) : 0;
            uint32_t delivered = acked + (dice % 7 ? 0 : (in_flight - acked) / 2);
            VnxCcAck a = {
                .now_ns = now,
                .acked = acked,
                .delivered = delivered,
                .lost = dice % 11 ? 0 : in_flight - delivered,
                .marked = dice % 5 ? 0 : acked,
                .in_flight = in_flight,
                .rtt_ns = dice % 2 ? RTT_NS : 0,
                .srtt_ns = RTT_NS,
                .min_rtt_ns = RTT_NS,
                .cwnd_limited = dice % 3 != 0,
                .recovery = dice % 4 == 0,
            };

            total += delivered;
            a.rate = (VnxCcRate) {
                .interval_ns = dice % 6 ? g_rand_int_range(rand, 1, RTT_NS) : 0,
                .delivered = delivered,
                .total = total,
                .prior = total - delivered,
                .in_flight = in_flight,
                .lost = a.lost,
                .app_limited = dice % 8 == 0,
            };
            vnx_cc_ack(&cc, &a);
            if (!ops->own_recovery) {
                g_assert_cmpuint(cc.cwnd, >=, before);
                if (a.recovery) {
                    g_assert_cmpuint(cc.cwnd, ==, before);
                }
            }
        } else if (dice < 96) {
            VnxCcLoss kind = g_rand_int_range(rand, VNX_CC_LOSS_FAST, VNX_CC_LOSS_ECN + 1);
            uint32_t ssthresh = cc.ssthresh;

            ops->on_loss(&cc, kind, in_flight, now);
            if (kind == VNX_CC_LOSS_RTO) {
                g_assert_cmpuint(cc.cwnd, <=, MSS);     /* RFC 5681 3.1: LW */
            }
            if (dice % 2 && ops->on_undo) {
                cc.cwnd = before;
                cc.ssthresh = ssthresh;
                ops->on_undo(&cc, now);
                g_assert_cmpuint(cc.cwnd, >=, before);
            }
        } else if (dice < 98 && ops->on_recovered) {
            ops->on_recovered(&cc, now);
        } else if (ops->on_idle) {
            int64_t idle = g_rand_int_range(rand, 0, 2 * RTT_NS);

            ops->on_idle(&cc, idle, idle + g_rand_int_range(rand, 0, 400) * 1000 * MS, now);
            if (!ops->own_recovery) {       /* BBR may have ended PROBE_RTT with it */
                g_assert_cmpuint(cc.cwnd, <=, before);
            }
        }
        g_assert_cmpuint(cc.cwnd, >=, MSS);
        g_assert_true(cc.cwnd == VNX_CC_UNLIMITED || cc.cwnd <= 1u << 30);
        g_assert_cmpuint(cc.ssthresh, >=, 2 * MSS);
        if (ops->pacing_rate) {
            g_assert_cmpuint(ops->pacing_rate(&cc, dice % 2 ? RTT_NS : 0), >, 0);
        }
    }
    g_rand_free(rand);
}

static void test_contract(void)
{
    const VnxCcOps *ops;

    for (unsigned i = 0; (ops = vnx_cc_get(i)); i++) {
        for (guint32 seed = 1; seed <= 20; seed++) {
            random_calls(ops, seed);
        }
    }
}

/* ---- Reno ---- */

/* RFC 5681 3.1, RFC 3465 2: cwnd doubles each round trip, with an ACK for every segment,
 * delayed ACKs, and such as GRO makes alike. */
static void test_reno_slow_start(void)
{
    for (uint32_t per_ack = 1; per_ack <= 64; per_ack *= 2) {
        g_auto(VnxCc) cc = { 0 };
        int64_t now = 0;

        cc_begin(&cc, "reno", 10);
        g_assert_cmpuint(cc.cwnd, ==, 10 * MSS);
        g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
        for (uint32_t k = 1; k <= 8; k++) {
            round_trip(&cc, per_ack, &now);
            g_assert_cmpuint(cc.cwnd, ==, (10u << k) * MSS);
        }
    }
}

/* RFC 3465: bytes are counted, not ACKs; and all of them, also of an ACK for many segments, as
 * receivers with GRO send (hystart.h). */
static void test_reno_byte_counting(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "reno", 10);
    ack(&cc, 10 * MSS, RTT_NS);
    g_assert_cmpuint(cc.cwnd, ==, 20 * MSS);
    ack(&cc, 700, RTT_NS);
    g_assert_cmpuint(cc.cwnd, ==, 20 * MSS + 700);
}

/* cwnd may not grow unused: the sender was not held by it. */
static void test_reno_not_limited(void)
{
    VnxCcAck a = { .now_ns = RTT_NS, .acked = MSS, .delivered = MSS, .in_flight = MSS };
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "reno", 10);
    for (unsigned i = 0; i < 100; i++) {
        vnx_cc_ack(&cc, &a);
    }
    g_assert_cmpuint(cc.cwnd, ==, 10 * MSS);
}

/* RFC 5681 3.1, RFC 3465 2.1: one SMSS per round trip. */
static void test_reno_avoidance(void)
{
    for (uint32_t per_ack = 1; per_ack <= 64; per_ack *= 2) {
        g_auto(VnxCc) cc = { 0 };
        int64_t now = 0;

        cc_begin(&cc, "reno", 10);
        cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 40 * MSS, now);
        g_assert_cmpuint(cc.cwnd, ==, 20 * MSS);
        for (uint32_t k = 1; k <= 100; k++) {
            round_trip(&cc, per_ack, &now);
            g_assert_cmpuint(cc.cwnd, ==, (20 + k) * MSS);
        }
    }
}

/* Slow start ends exactly at ssthresh, then growth is linear. */
static void test_reno_threshold(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;

    cc_begin(&cc, "reno", 10);
    cc.ssthresh = 33 * MSS;
    round_trip(&cc, 1, &now);
    g_assert_cmpuint(cc.cwnd, ==, 20 * MSS);
    for (unsigned i = 0; i < 13; i++) {
        ack(&cc, MSS, now);
    }
    g_assert_cmpuint(cc.cwnd, ==, 33 * MSS);
    round_trip(&cc, 1, &now);
    g_assert_cmpuint(cc.cwnd, ==, 34 * MSS);
}

/* RFC 5681 equation 4, with its floor; FlightSize counts, not cwnd. */
static void test_reno_loss(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "reno", 100);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 60 * MSS, 0);
    g_assert_cmpuint(cc.ssthresh, ==, 30 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, 30 * MSS);

    cc.ops->on_loss(&cc, VNX_CC_LOSS_ECN, 20 * MSS, 0);     /* RFC 3168 6.1.2 */
    g_assert_cmpuint(cc.ssthresh, ==, 10 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, 10 * MSS);

    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 3 * MSS, 0);
    g_assert_cmpuint(cc.ssthresh, ==, 2 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, 2 * MSS);
}

/* RFC 5681 3.1: a timeout restarts with one segment, and a second one of the
 * same data keeps ssthresh. */
static void test_reno_timeout(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;

    cc_begin(&cc, "reno", 100);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_RTO, 60 * MSS, now);
    g_assert_cmpuint(cc.ssthresh, ==, 30 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, MSS);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_RTO, MSS, now);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_RTO, MSS, now);
    g_assert_cmpuint(cc.ssthresh, ==, 30 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, MSS);

    ack(&cc, MSS, now);
    g_assert_cmpuint(cc.cwnd, ==, 2 * MSS);
    ack(&cc, 2 * MSS, now);
    g_assert_cmpuint(cc.cwnd, ==, 4 * MSS);
    while (cc.cwnd < 30 * MSS) {
        ack(&cc, 4 * MSS, now);
    }
    g_assert_cmpuint(cc.cwnd, ==, 30 * MSS);
    round_trip(&cc, 2, &now);
    g_assert_cmpuint(cc.cwnd, ==, 31 * MSS);

    /* New data was acknowledged since: the next timeout halves anew. */
    cc.ops->on_loss(&cc, VNX_CC_LOSS_RTO, 31 * MSS, now);
    g_assert_cmpuint(cc.ssthresh, ==, 31 * MSS / 2);
}

/* RFC 7661 4.4.3: a window that is not used stays for five minutes; then half of it goes, and
 * ssthresh remembers three quarters, down to the initial window. */
static void test_unused(void)
{
    static const char *const names[] = { "reno", "cubic", "bic", "dctcp" };
    const int64_t nvp = 300 * 1000 * MS;

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(VnxCc) cc = { 0 };
        int64_t now = 0;

        cc_begin(&cc, names[i], 10);
        for (unsigned k = 0; k < 3; k++) {
            cc_round(&cc, 2, &now, 10 * MS);
        }
        g_assert_cmpuint(cc.cwnd, ==, 80 * MSS);
        cc.ssthresh = 40 * MSS;
        cc.ops->on_idle(&cc, nvp - 1, nvp - 1, now);
        g_assert_cmpuint(cc.cwnd, ==, 80 * MSS);
        cc.ops->on_idle(&cc, 1000 * MS, nvp, now);
        g_assert_cmpuint(cc.cwnd, ==, 40 * MSS);
        g_assert_cmpuint(cc.ssthresh, ==, 60 * MSS);
        cc.ops->on_idle(&cc, 100 * nvp, 100 * nvp, now);
        g_assert_cmpuint(cc.cwnd, ==, 10 * MSS);
        g_assert_cmpuint(cc.ssthresh, ==, 60 * MSS);
        cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 4 * MSS, now);
        cc.ops->on_idle(&cc, nvp, nvp, now);
        g_assert_cmpuint(cc.cwnd, <, 4 * MSS);      /* never raised */
    }
}

/*
 * The sawtooth: a path that loses one segment as soon as W are in flight.  Each cycle
 * climbs from W/2 to W, in W/2 round trips, and carries the sum of W/2 ... W-1 =
 * 3 W^2 / 8 - W / 4 segments (Mathis et al., 1997).
 */
static void test_reno_sawtooth(void)
{
    enum { W = 64, CYCLES = 5 };
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;
    unsigned cycles = 0;

    cc_begin(&cc, "reno", 10);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, W * MSS, now);
    while (cycles < CYCLES) {
        int64_t begun = now;
        uint32_t sent = 0;

        g_assert_cmpuint(cc.cwnd, ==, W / 2 * MSS);
        while (cc.cwnd < W * MSS) {
            sent += round_trip(&cc, 2, &now);
        }
        g_assert_cmpint((now - begun) / RTT_NS, ==, W / 2);
        g_assert_cmpuint(sent, ==, 3 * W * W / 8 - W / 4);
        cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, cc.cwnd, now);
        cycles++;
    }
}

/* Growth ends at RFC 7323's largest window: it cannot wrap or mean "unlimited". */
static void test_reno_ceiling(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "reno", 10);
    cc.cwnd = (1u << 30) - MSS;
    for (unsigned i = 0; i < 10; i++) {
        ack(&cc, 2 * MSS, 0);
    }
    g_assert_cmpuint(cc.cwnd, ==, 1u << 30);
}

/* ---- None ---- */

static void test_none(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;

    cc_begin(&cc, "none", 1);
    g_assert_cmpuint(cc.cwnd, ==, VNX_CC_UNLIMITED);
    ack(&cc, 100 * MSS, now);
    g_assert_cmpuint(cc.cwnd, ==, VNX_CC_UNLIMITED);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 100 * MSS, now);
    g_assert_cmpuint(cc.cwnd, ==, VNX_CC_UNLIMITED);

    cc.ops->on_loss(&cc, VNX_CC_LOSS_RTO, 100 * MSS, now);
    for (uint32_t k = 0; k <= 10; k++) {
        g_assert_cmpuint(cc.cwnd, ==, (1u << k) * MSS);
        round_trip(&cc, 44, &now);
    }
    cc.ops->on_recovered(&cc, now);
    g_assert_cmpuint(cc.cwnd, ==, VNX_CC_UNLIMITED);
    g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cc/registry", test_registry);
    g_test_add_func("/cc/validity", test_validity);
    g_test_add_func("/cc/contract", test_contract);
    g_test_add_func("/cc/reno/slow-start", test_reno_slow_start);
    g_test_add_func("/cc/reno/byte-counting", test_reno_byte_counting);
    g_test_add_func("/cc/reno/not-limited", test_reno_not_limited);
    g_test_add_func("/cc/reno/avoidance", test_reno_avoidance);
    g_test_add_func("/cc/reno/threshold", test_reno_threshold);
    g_test_add_func("/cc/reno/loss", test_reno_loss);
    g_test_add_func("/cc/reno/timeout", test_reno_timeout);
    g_test_add_func("/cc/unused", test_unused);
    g_test_add_func("/cc/reno/sawtooth", test_reno_sawtooth);
    g_test_add_func("/cc/reno/ceiling", test_reno_ceiling);
    g_test_add_func("/cc/none", test_none);
    return g_test_run();
}
