/*
 * vnx: unit test of BIC (T7; Xu, Harfoush, Rhee, INFOCOM 2004)
 *
 * Its increments, round trip by round trip, against the paper's rules; a round trip is
 * a window's worth of acknowledged bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "cc-path.h"

#define S_MAX (32 * MSS)
#define S_MIN (MSS / 100)
#define LOW_WINDOW 14
#define RTT (100 * MS)

static void lose(VnxCc *cc, VnxCcLoss kind)
{
    cc->ops->on_loss(cc, kind, cc->cwnd, 0);
}

static void after_loss(VnxCc *cc, uint32_t segments)
{
    cc_begin(cc, "bic", segments);
    lose(cc, VNX_CC_LOSS_FAST);
}

/* By how much one round trip lets cwnd grow. */
static uint32_t grow(VnxCc *cc)
{
    uint32_t before = cc->cwnd;
    int64_t now = 0;

    cc_round(cc, 2, &now, RTT);
    return cc->cwnd - before;
}

/* All of it: additive increase, binary search, max probing. */
static void test_search(void)
{
    enum { W = 2048 };
    uint32_t max = W * MSS, n = 0, gap;
    g_auto(VnxCc) cc = { 0 };

    after_loss(&cc, W);
    g_assert_cmpuint(cc.cwnd, ==, max / 8 * 7);
    g_assert_cmpuint(cc.ssthresh, ==, max / 8 * 7);

    /* 256 segments to go: S_max each round trip while half of what is left is more */
    while ((max - cc.cwnd) / 2 > S_MAX) {
        g_assert_cmpuint(grow(&cc), ==, S_MAX);
        n++;
    }
    g_assert_cmpuint(n, ==, (256 - 64) / 32);

    /* 64: the gap halves until the half is S_min */
    g_assert_cmpuint(max - cc.cwnd, ==, 64 * MSS);
    for (n = 0; (max - cc.cwnd) / 2 > S_MIN; n++) {
        gap = max - cc.cwnd;
        g_assert_cmpuint(grow(&cc), ==, gap / 2);
    }
    g_assert_cmpuint(n, ==, (unsigned)ceil(log2(64.0 * MSS / S_MIN) - 1));

    /* S_min steps to the maximum */
    while (cc.cwnd < max) {
        g_assert_cmpuint(grow(&cc), ==, S_MIN);
    }
    g_assert_cmpuint(cc.cwnd, <, max + S_MIN);

    /* and beyond: 1, 2, 4, 8, 16, 32, 32 ... */
    for (n = 1; n < 10; n++) {
        g_assert_cmpuint(grow(&cc), ==, MIN(1u << (n - 1), 32u) * MSS);
    }

    /* after the next loss it begins at 1 again */
    max = cc.cwnd;
    lose(&cc, VNX_CC_LOSS_FAST);
    while (cc.cwnd < max) {
        grow(&cc);
    }
    g_assert_cmpuint(grow(&cc), ==, MSS);
    g_assert_cmpuint(grow(&cc), ==, 2 * MSS);
}

/* The same steps whatever one ACK acknowledges. */
static void test_ack_sizes(void)
{
    g_auto(VnxCc) a = { 0 };
    g_auto(VnxCc) b = { 0 };
    g_auto(VnxCc) c = { 0 };
    int64_t now = 0;

    after_loss(&a, 1000);
    after_loss(&b, 1000);
    after_loss(&c, 1000);
    for (unsigned i = 0; i < 30; i++) {
        cc_round(&a, 1, &now, RTT);
        cc_round(&b, 7, &now, RTT);
        cc_ack(&c, c.cwnd, c.cwnd, now, RTT);
        g_assert_cmpuint(a.cwnd, ==, b.cwnd);
        g_assert_cmpuint(a.cwnd, ==, c.cwnd);
    }
}

/* Within a round trip a step is spread evenly. */
static void test_spread(void)
{
    g_auto(VnxCc) cc = { 0 };
    uint32_t begin;

    after_loss(&cc, 1600);              /* 1400, and 32 in the first round trip */
    begin = cc.cwnd;
    for (unsigned i = 1; i <= 1400; i++) {
        cc_ack(&cc, MSS, begin, 0, RTT);
        g_assert_cmpuint(cc.cwnd - begin, ==, (uint64_t)S_MAX * i / 1400);
    }
    g_assert_cmpuint(cc.cwnd, ==, begin + S_MAX);

    /* what an ACK has beyond its round trip counts for the next: 1400 + 1432 = 944 * 3 */
    after_loss(&cc, 1600);
    for (unsigned i = 1; i <= 944; i++) {
        cc_ack(&cc, 3 * MSS, begin, 0, RTT);
    }
    g_assert_cmpuint(cc.cwnd, ==, begin + 2 * S_MAX);

    /* but not for more than that one */
    after_loss(&cc, 1600);
    cc_ack(&cc, 10 * cc.cwnd, cc.cwnd, 0, RTT);
    g_assert_cmpuint(cc.cwnd, ==, begin + S_MAX);
    cc_ack(&cc, MSS, cc.cwnd, 0, RTT);
    g_assert_cmpuint(cc.cwnd, ==, begin + S_MAX + S_MAX / 1432);
}

/* Fast convergence: a loss below the last maximum makes the middle the new maximum. */
static void test_fast_convergence(void)
{
    g_auto(VnxCc) cc = { 0 };
    uint32_t w;

    after_loss(&cc, 2048);
    for (unsigned i = 0; i < 3; i++) {
        grow(&cc);
    }
    w = cc.cwnd;
    g_assert_cmpuint(w, <, 2048 * MSS);
    lose(&cc, VNX_CC_LOSS_FAST);
    g_assert_cmpuint(cc.cwnd, ==, w - w / 8);
    /* to the middle of both: W (1 - beta / 2) = W 15 / 16 */
    while (grow(&cc) != S_MIN) {
        g_assert_cmpuint(cc.cwnd, <, w / 16.0 * 15);
    }
    assert_near(cc.cwnd, w / 16.0 * 15, 0.01);

    /* and one above it: no release */
    while (cc.cwnd < w) {
        grow(&cc);
    }
    w = cc.cwnd;
    lose(&cc, VNX_CC_LOSS_FAST);
    while (grow(&cc) != S_MIN) {
        g_assert_cmpuint(cc.cwnd, <, w);
    }
    assert_near(cc.cwnd, w, 0.01);

    /* nor for one that is the same */
    after_loss(&cc, 2048);
    cc.cwnd = 2048 * MSS;
    lose(&cc, VNX_CC_LOSS_FAST);
    while (grow(&cc) != S_MIN) {
        g_assert_cmpuint(cc.cwnd, <, 2048 * MSS);
    }
    assert_near(cc.cwnd, 2048 * MSS, 0.01);
}

/* Low window: Reno. */
static void test_low_window(void)
{
    g_auto(VnxCc) cc = { 0 };

    after_loss(&cc, LOW_WINDOW - 1);
    g_assert_cmpuint(cc.cwnd, ==, (LOW_WINDOW - 1) * MSS / 2);
    while (cc.cwnd < LOW_WINDOW * MSS) {
        g_assert_cmpuint(grow(&cc), ==, MSS);
    }
    after_loss(&cc, LOW_WINDOW);
    g_assert_cmpuint(cc.cwnd, ==, LOW_WINDOW * MSS / 8 * 7);
    g_assert_cmpuint(grow(&cc), ==, MSS);
    after_loss(&cc, 2);
    g_assert_cmpuint(cc.cwnd, ==, 2 * MSS);
}

/* FlightSize where it is less than cwnd: what was not used has not been tested. */
static void test_flight(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "bic", 1000);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_ECN, 160 * MSS, 0);
    g_assert_cmpuint(cc.cwnd, ==, 140 * MSS);
    g_assert_cmpuint(grow(&cc), ==, 10 * MSS);
}

static void test_timeout(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "bic", 800);
    lose(&cc, VNX_CC_LOSS_RTO);
    g_assert_cmpuint(cc.cwnd, ==, MSS);
    g_assert_cmpuint(cc.ssthresh, ==, 700 * MSS);
    lose(&cc, VNX_CC_LOSS_RTO);         /* of the same data */
    g_assert_cmpuint(cc.ssthresh, ==, 700 * MSS);
    while (cc.cwnd < 700 * MSS) {
        cc_ack(&cc, MSS, cc.cwnd, 0, RTT);
    }
    g_assert_cmpuint(grow(&cc), ==, S_MAX);     /* 100 to go */
    g_assert_cmpuint(grow(&cc), ==, S_MAX);
    g_assert_cmpuint(grow(&cc), ==, 18 * MSS);
}

/*
 * The sawtooth of a path that loses at W: from 7/8 W additively until 2 S_max are left,
 * then by halves; it is flat at the top, and the average stays near W, where
 * Reno's is 3/4 W.
 */
static void test_sawtooth(void)
{
    enum { W = 4000 };
    uint64_t sum = 0;
    unsigned rounds = 0;
    g_auto(VnxCc) cc = { 0 };

    after_loss(&cc, W);
    while (cc.cwnd < W * MSS) {
        sum += cc.cwnd / MSS;
        rounds++;
        grow(&cc);
    }
    /* (W / 8 - 64) / 32 steps of S_max, log2(64 / S_min) - 1 of halves, 2 of S_min */
    assert_near(rounds, (W / 8 - 64) / 32.0 + log2(6400) - 1 + 2, 5);
    g_assert_cmpfloat((double)sum / rounds, >, 0.95 * W);
}

static void test_ceiling(void)
{
    g_auto(VnxCc) cc = { 0 };

    after_loss(&cc, 20);
    cc.cwnd = (1u << 30) - 10 * MSS;
    for (unsigned i = 0; i < 20; i++) {
        cc_ack(&cc, cc.cwnd, cc.cwnd, 0, RTT);
    }
    g_assert_cmpuint(cc.cwnd, ==, 1u << 30);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cc-bic/search", test_search);
    g_test_add_func("/cc-bic/ack-sizes", test_ack_sizes);
    g_test_add_func("/cc-bic/spread", test_spread);
    g_test_add_func("/cc-bic/fast-convergence", test_fast_convergence);
    g_test_add_func("/cc-bic/low-window", test_low_window);
    g_test_add_func("/cc-bic/flight", test_flight);
    g_test_add_func("/cc-bic/timeout", test_timeout);
    g_test_add_func("/cc-bic/sawtooth", test_sawtooth);
    g_test_add_func("/cc-bic/ceiling", test_ceiling);
    return g_test_run();
}
