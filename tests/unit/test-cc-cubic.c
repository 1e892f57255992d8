/*
 * vnx: unit test of CUBIC (T7, RFC 9438)
 *
 * The window against the RFC's own formulas in floating point, in virtual time, for
 * round trips from 10 to 300 ms and windows from 100 to 20,000 segments.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "cc-path.h"

#define C 0.4
#define BETA 0.7

/* W_cubic(t) in segments, equation 1; K by equation 2 */
static double w_cubic(double t, double w_max, double k)
{
    return C * pow(t - k, 3) + w_max;
}

static double k_of(double w_max, double begin)
{
    return cbrt((w_max - begin) / C);
}

static void lose(VnxCc *cc, VnxCcLoss kind, int64_t now)
{
    cc->ops->on_loss(cc, kind, cc->cwnd, now);
}

/* @segments of window and a loss there: congestion avoidance begins at 0.7 of it. */
static void after_loss(VnxCc *cc, uint32_t segments, int64_t now)
{
    cc_begin(cc, "cubic", segments);
    lose(cc, VNX_CC_LOSS_FAST, now);
}

/*
 * 4.2, 4.4, 4.5: the whole curve, concave and convex, until 1.6 W_max.  The window aims
 * at W_cubic(t + RTT) and gets there in a round trip, so at t it is W_cubic(t)
 * or up to one round trip ahead.
 */
static void test_curve(void)
{
    static const struct {
        uint32_t w_max;
        int64_t rtt;
    } paths[] = {
        { 400, 100 * MS }, { 2000, 50 * MS }, { 2000, 300 * MS }, { 20000, 100 * MS },
        { 20000, 200 * MS }, { 100, 300 * MS },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        double w = paths[i].w_max, k = k_of(w, w * BETA), rtt = paths[i].rtt / 1e9;
        int64_t now = 0, begun = 0;
        bool concave = false, convex = false;
        g_auto(VnxCc) cc = { 0 };

        after_loss(&cc, paths[i].w_max, now);
        assert_near(cc.cwnd, BETA * w * MSS, 0.1);
        while (cc.cwnd < 1.6 * w * MSS) {
            double t, cwnd;

            cc_round(&cc, 2, &now, paths[i].rtt);
            if (!begun) {
                begun = paths[i].rtt * 2 / (int64_t)(w * BETA);     /* the first ACK */
            }
            t = (now - begun) / 1e9;
            cwnd = (double)cc.cwnd / MSS;
            g_assert_cmpfloat(cwnd, >=, w_cubic(t, w, k) * 0.99);
            g_assert_cmpfloat(cwnd, <=, w_cubic(t + rtt, w, k) * 1.01);
            concave |= t > k / 4 && t < k * 3 / 4;
            convex |= t > k * 5 / 4;
        }
        g_assert_true(concave && convex);
    }
}

/* Equation 2: the loss window is reached again after K = cbrt(0.3 W_max / C), and the
 * window hardly moves around it: this is the plateau. */
static void test_k(void)
{
    for (uint32_t w = 1000; w <= 16000; w *= 2) {
        double k = k_of(w, w * BETA);
        int64_t rtt = 50 * MS, now = 0, half = 0;
        g_auto(VnxCc) cc = { 0 };

        after_loss(&cc, w, now);
        while (cc.cwnd < 0.9999 * w * MSS) {
            cc_round(&cc, 2, &now, rtt);
            if (!half && cc.cwnd >= (w - 0.3 * w / 8) * MSS) {
                half = now;                     /* (K / 2)^3 = K^3 / 8 is left */
            }
        }
        assert_near(half / 1e9 + 0.05, k / 2, 3);
        /* 1e-4 W below W_max: C (K - t)^3 = 1e-4 W */
        assert_near(now / 1e9 + 0.05, k - cbrt(0.0001 * w / C), 3);
    }
}

/* Growth depends on time: at equal times, windows of 50 ms and 200 ms of round trip are
 * equal, where Reno's would be 4 to 1 (RFC 9438 3.3). */
static void test_rtt_independent(void)
{
    g_auto(VnxCc) a = { 0 };
    g_auto(VnxCc) b = { 0 };
    int64_t now_a = 0, now_b = 0;

    after_loss(&a, 8000, 0);
    after_loss(&b, 8000, 0);
    for (unsigned i = 0; i < 150; i++) {
        for (unsigned j = 0; j < 4; j++) {
            cc_round(&a, 2, &now_a, 50 * MS);
        }
        cc_round(&b, 2, &now_b, 200 * MS);
        g_assert_cmpint(now_a, ==, now_b);
        assert_near(a.cwnd, b.cwnd, 2.5);
    }
    g_assert_cmpuint(a.cwnd, >, 8000 * MSS);
}

/*
 * 4.3: on a short path the window goes by W_est: alpha = 9/17 segments in a round trip
 * up to cwnd_prior, one segment beyond.
 */
static void test_reno_friendly(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;
    double begin;
    unsigned n = 0;

    after_loss(&cc, 100, now);
    begin = (double)cc.cwnd / MSS;
    assert_near(begin, 70, 0.1);
    while (cc.cwnd < 100 * MSS) {
        cc_round(&cc, 2, &now, 1 * MS);
        n++;
        assert_near((double)cc.cwnd / MSS, begin + n * 9.0 / 17, 1);
    }
    assert_near(n, 30 * 17.0 / 9, 4);
    begin = (double)cc.cwnd / MSS;
    for (n = 1; n <= 60; n++) {
        cc_round(&cc, 2, &now, 1 * MS);
        assert_near((double)cc.cwnd / MSS, begin + n, 1);
    }
}

/* 4.3: with equal loss rates AIMD(9/17, 0.7) carries what AIMD(1, 0.5) does: sawtooths
 * with the average window that RFC 9438's equation 3 is made for, 1.2 / sqrt(p). */
static void test_friendly_sawtooth(void)
{
    const char *names[] = { "cubic", "reno" };
    enum { LOSS_EVERY = 5000 };         /* segments: p = 0.0002, average 86 */
    double mean[2];

    for (unsigned i = 0; i < 2; i++) {
        uint64_t sent = 0, rounds = 0, losses = 0, total = 0;
        int64_t now = 0;
        g_auto(VnxCc) cc = { 0 };

        cc_begin(&cc, names[i], 80);
        lose(&cc, VNX_CC_LOSS_FAST, now);
        while (losses < 60) {
            total += cc.cwnd / MSS;
            sent += cc.cwnd / MSS;
            rounds++;
            cc_round(&cc, 1, &now, 1 * MS);
            if (sent >= LOSS_EVERY) {
                lose(&cc, VNX_CC_LOSS_FAST, now);
                sent = 0;
                losses++;
            }
        }
        mean[i] = (double)total / rounds;
    }
    assert_near(mean[1], 1.22 * sqrt(LOSS_EVERY), 3);
    assert_near(mean[0], mean[1], 8);
}

/* 4.7: a loss below the last W_max releases room: the plateau is at (1 + beta) / 2. */
static void test_fast_convergence(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0, rtt = 100 * MS, begun;
    double second, w, k;

    after_loss(&cc, 4000, now);
    while (cc.cwnd < 3600 * MSS) {
        cc_round(&cc, 2, &now, rtt);
    }
    second = (double)cc.cwnd / MSS;
    lose(&cc, VNX_CC_LOSS_FAST, now);
    assert_near(cc.cwnd, BETA * second * MSS, 0.1);
    w = second * (1 + BETA) / 2;
    k = k_of(w, BETA * second);
    for (begun = now; now - begun < k * 1e9; ) {
        double t;

        cc_round(&cc, 2, &now, rtt);
        t = (now - begun) / 1e9;
        g_assert_cmpfloat((double)cc.cwnd / MSS, >=, w_cubic(t, w, k) * 0.99);
        g_assert_cmpfloat((double)cc.cwnd / MSS, <=, w_cubic(t + 0.1, w, k) * 1.01);
    }
    assert_near((double)cc.cwnd / MSS, w, 1);       /* and not 3600 */

    /* A loss above it: no release */
    while (cc.cwnd < 4500 * MSS) {
        cc_round(&cc, 2, &now, rtt);
    }
    second = (double)cc.cwnd / MSS;
    lose(&cc, VNX_CC_LOSS_FAST, now);
    k = k_of(second, BETA * second);
    for (begun = now; now - begun < k * 1e9; ) {
        cc_round(&cc, 2, &now, rtt);
    }
    assert_near((double)cc.cwnd / MSS, second, 1);
}

/* 4.6: beta of FlightSize, not below two segments. */
static void test_decrease(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "cubic", 100);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 60 * MSS, 0);
    g_assert_cmpuint(cc.ssthresh, ==, 42 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, 42 * MSS);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_ECN, 20 * MSS, 0);
    g_assert_cmpuint(cc.ssthresh, ==, 14 * MSS);
    g_assert_cmpuint(cc.cwnd, ==, 14 * MSS);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 2 * MSS, 0);
    g_assert_cmpuint(cc.ssthresh, ==, 2 * MSS);
}

/* 4.8: slow start to beta of what it was, then K = 0 and W_max = cwnd: convex at once. */
static void test_timeout(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0, rtt = 100 * MS, begun;

    cc_begin(&cc, "cubic", 1000);
    lose(&cc, VNX_CC_LOSS_RTO, now);
    g_assert_cmpuint(cc.cwnd, ==, MSS);
    g_assert_cmpuint(cc.ssthresh, ==, 700 * MSS);
    lose(&cc, VNX_CC_LOSS_RTO, now);            /* of the same data */
    g_assert_cmpuint(cc.ssthresh, ==, 700 * MSS);
    while (cc.cwnd < cc.ssthresh) {
        cc_ack(&cc, MSS, cc.cwnd, now, rtt);
    }
    g_assert_cmpuint(cc.cwnd, ==, 700 * MSS);
    for (begun = now; cc.cwnd < 1200 * MSS; ) {
        double t, cwnd;

        cc_round(&cc, 2, &now, rtt);
        t = (now - begun) / 1e9;
        cwnd = (double)cc.cwnd / MSS;
        g_assert_cmpfloat(cwnd, >=, MAX(w_cubic(t, 700, 0), 700) * 0.99);
        /* or Reno's estimate, which is ahead of a curve that begins flat */
        g_assert_cmpfloat(cwnd, <=, MAX(w_cubic(t + 0.1, 700, 0),
                                        700 + t * 10 + 1) * 1.01);
    }
    g_assert_cmpfloat((now - begun) / 1e9, <, 1.05 * cbrt(500 / C));
}

/* 5.8: while something else limits, the curve stands still; and so does it when idle. */
static void test_not_limited(void)
{
    g_auto(VnxCc) cc = { 0 };
    g_auto(VnxCc) other = { 0 };
    int64_t now = 0, there = 0, rtt = 100 * MS;
    uint32_t before;

    after_loss(&cc, 2000, 0);
    after_loss(&other, 2000, 0);
    for (unsigned i = 0; i < 20; i++) {
        cc_round(&cc, 2, &now, rtt);
        cc_round(&other, 2, &there, rtt);
    }
    before = cc.cwnd;
    for (unsigned i = 0; i < 600; i++) {        /* a minute of it */
        VnxCcAck a = { .now_ns = now += rtt, .acked = MSS, .delivered = MSS, .in_flight = MSS,
                       .rtt_ns = rtt, .srtt_ns = rtt, .min_rtt_ns = rtt };

        vnx_cc_ack(&cc, &a);
    }
    g_assert_cmpuint(cc.cwnd, ==, before);
    for (unsigned i = 0; i < 40; i++) {
        cc_round(&cc, 2, &now, rtt);
        cc_round(&other, 2, &there, rtt);
        assert_near(cc.cwnd, other.cwnd, 0.5);
    }

    before = cc.cwnd;
    now += 60 * 1000 * MS;
    cc.ops->on_idle(&cc, 60 * 1000 * MS, 60 * 1000 * MS, now);
    g_assert_cmpuint(cc.cwnd, ==, before);      /* the initial window is larger */
    cc_round(&cc, 2, &now, rtt);
    cc_round(&other, 2, &there, rtt);
    assert_near(cc.cwnd, other.cwnd, 0.5);
}

/* The target is at most 1.5 cwnd (4.2): half more in a round trip, however late it is. */
static void test_target_clamp(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;

    after_loss(&cc, 100, now);
    cc_ack(&cc, MSS, cc.cwnd, now, 100 * MS);
    now += 60000 * MS;
    for (unsigned i = 0; i < 5; i++) {
        uint32_t before = cc.cwnd;

        cc_ack(&cc, before, before, now, 100 * MS);
        g_assert_cmpuint(cc.cwnd, <=, before + before / 2);
        g_assert_cmpuint(cc.cwnd, >=, before + before / 2 - 1);
    }

    /* also so late that t^2 in microseconds would wrap, to 0 */
    cc_begin(&cc, "cubic", 10);
    cc.ssthresh = cc.cwnd;
    vnx_cc_ack(&cc, &(VnxCcAck) { .acked = MSS, .delivered = MSS, .in_flight = MSS });  /* t = 0 */
    g_assert_cmpuint(cc.cwnd, ==, 10 * MSS);
    cc_ack(&cc, cc.cwnd, cc.cwnd, (1ll << 32) * 1000, 0);
    g_assert_cmpuint(cc.cwnd, ==, 15 * MSS);
}

/* Any segment size and any time: no overflow, no wrap, growth up to the ceiling. */
static void test_ceiling(void)
{
    static const uint32_t sizes[] = { 36, 536, 1460, 9000, 65495 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_auto(VnxCc) cc = { 0 };
        int64_t now = 0;

        vnx_cc_start(&cc, vnx_cc_find("cubic"), sizes[i], &(VnxCcParams) {
            .initial_window = 10,
            .increase_percent = 100,
        }, 0);
        cc.cwnd = 1u << 30;
        cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, cc.cwnd, now);
        for (unsigned k = 0; k < 4000; k++) {
            uint32_t before = cc.cwnd;

            now += 500 * MS;
            cc_ack(&cc, before, before, now, 500 * MS);
            g_assert_cmpuint(cc.cwnd, >=, before);
            g_assert_cmpuint(cc.cwnd, <=, 1u << 30);
        }
        g_assert_cmpuint(cc.cwnd, ==, 1u << 30);
        now += 400ll * 86400 * 1000 * MS;       /* a year later */
        cc_ack(&cc, MSS, cc.cwnd, now, 500 * MS);
        g_assert_cmpuint(cc.cwnd, ==, 1u << 30);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cc-cubic/curve", test_curve);
    g_test_add_func("/cc-cubic/k", test_k);
    g_test_add_func("/cc-cubic/rtt-independent", test_rtt_independent);
    g_test_add_func("/cc-cubic/reno-friendly", test_reno_friendly);
    g_test_add_func("/cc-cubic/friendly-sawtooth", test_friendly_sawtooth);
    g_test_add_func("/cc-cubic/fast-convergence", test_fast_convergence);
    g_test_add_func("/cc-cubic/decrease", test_decrease);
    g_test_add_func("/cc-cubic/timeout", test_timeout);
    g_test_add_func("/cc-cubic/not-limited", test_not_limited);
    g_test_add_func("/cc-cubic/target-clamp", test_target_clamp);
    g_test_add_func("/cc-cubic/ceiling", test_ceiling);
    return g_test_run();
}
