/*
 * vnx: unit test of HyStart++ (T7, RFC 9406), for each algorithm that has it
 *
 * A path with a bottleneck: RTT grows as soon as cwnd exceeds what the path holds, which
 * is where slow start ought to end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "cc-path.h"
#include "engine/cc/hystart.h"

static const char *const names[] = { "reno-hystart", "cubic", "bic" };

#define FOR_EACH_NAME(i) for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)

/* The sender fills cwnd after each ACK, in whole segments: that is in flight when
 * the next one comes. */
static void ack(VnxCc *cc, int64_t rtt_ns)
{
    cc_ack(cc, MSS, cc->cwnd / MSS * MSS, 0, rtt_ns);
}

/* One round trip of @rtt_ns without a queue, an ACK for each segment, @jitter_ns added to
 * every ACK but each 16th. */
static void quiet_round(VnxCc *cc, int64_t rtt_ns, int64_t jitter_ns)
{
    uint32_t flight = cc->cwnd / MSS;

    for (uint32_t n = 0; n < flight; n++) {
        ack(cc, rtt_ns + (n % 16 == 15 ? 0 : jitter_ns));
    }
}

/*
 * A slow start over a path of @base_ns that holds @pipe segments.  What is in flight
 * beyond those stands in the queue all the round, and waits for its turn.
 * @css_cwnd: cwnd as CSS began.  Returns the round trips to the end of slow start.
 */
static unsigned bottleneck(VnxCc *cc, int64_t base_ns, uint32_t pipe, uint32_t *css_cwnd)
{
    const VnxSlowStart *s = (const VnxSlowStart *)cc->state;
    int64_t per_segment = base_ns / pipe;
    unsigned rounds = 0;

    *css_cwnd = 0;
    while (cc->cwnd < cc->ssthresh) {
        uint32_t flight = cc->cwnd / MSS;
        int64_t standing = flight > pipe ? (flight - pipe) * per_segment : 0;

        rounds++;
        g_assert_cmpuint(rounds, <, 100);
        for (uint32_t n = 0; n < flight && cc->cwnd < cc->ssthresh; n++) {
            ack(cc, base_ns + standing);
            if (!*css_cwnd && vnx_slow_start_css(s)) {
                *css_cwnd = cc->cwnd;
            }
        }
    }
    return rounds;
}

/* 4.2: constant RTT doubles cwnd in each round trip, for ever. */
static void test_no_exit(void)
{
    FOR_EACH_NAME(i) {
        g_auto(VnxCc) cc = { 0 };

        cc_begin(&cc, names[i], 10);
        for (uint32_t k = 1; k <= 12; k++) {
            quiet_round(&cc, 50 * MS, 0);
            g_assert_cmpuint(cc.cwnd, ==, (10u << k) * MSS);
        }
        g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
    }
}

/*
 * 4.2: a queue ends it.  CSS begins in the first round whose RTT shows the queue, and
 * grows by a quarter: within five rounds at most 1.25^5 = 3 times; without it, 2^5 = 32.
 */
static void test_exit_on_queue(void)
{
    static const struct {
        int64_t base;
        uint32_t pipe;
    } paths[] = { { 40 * MS, 200 }, { 100 * MS, 1000 }, { 200 * MS, 333 },
                  { 10 * MS, 64 } };

    for (unsigned p = 0; p < G_N_ELEMENTS(paths); p++) {
        FOR_EACH_NAME(i) {
            uint32_t pipe = paths[p].pipe, css;
            unsigned rounds;
            g_auto(VnxCc) cc = { 0 };

            cc_begin(&cc, names[i], 10);
            rounds = bottleneck(&cc, paths[p].base, pipe, &css);
            /* not before there is a queue, and in the round that finds it */
            g_assert_cmpuint(css, >, pipe * MSS);
            g_assert_cmpuint(css, <=, 2 * (pipe + pipe * 16 / (paths[p].base / MS) + 1)
                                      * MSS + 8 * MSS);
            /* the round that begins CSS counts: 4 and the rest of it */
            g_assert_cmpfloat(cc.ssthresh, >=, css * pow(1.25, 4) * 0.97);
            g_assert_cmpfloat(cc.ssthresh, <=, css * pow(1.25, 5) * 1.01);
            g_assert_cmpuint(cc.cwnd, ==, cc.ssthresh);
            g_assert_cmpuint(rounds, <=, (unsigned)log2(pipe / 10.0) + 1 + 2 + 5);
        }
    }
}

/* The least RTT of eight counts: delay of some ACKs is no queue. */
static void test_jitter_within_round(void)
{
    FOR_EACH_NAME(i) {
        g_auto(VnxCc) cc = { 0 };

        cc_begin(&cc, names[i], 16);
        for (uint32_t k = 1; k <= 10; k++) {
            /* only each 16th ACK is not late, by more than the round trip itself */
            quiet_round(&cc, 30 * MS, k % 2 ? 0 : 60 * MS);
            if (k == 10) {
                break;
            }
            g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
        }
        /* it cost some of the growth, but not slow start */
        g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
        g_assert_cmpuint(cc.cwnd, >, 16 * 500 * MSS);
    }
}

/* 4.2: a burst of delay, all of one round long, begins CSS; when the RTT is back slow
 * start goes on at its full speed. */
static void test_jitter_ends_css(void)
{
    FOR_EACH_NAME(i) {
        g_auto(VnxCc) cc = { 0 };
        const VnxSlowStart *s;
        uint32_t before;

        cc_begin(&cc, names[i], 32);
        s = cc.state;
        quiet_round(&cc, 40 * MS, 0);
        quiet_round(&cc, 40 * MS, 0);
        before = cc.cwnd;
        g_assert_cmpuint(before, ==, 128 * MSS);
        quiet_round(&cc, 50 * MS, 0);
        g_assert_true(vnx_slow_start_css(s));
        /* eight samples at full speed, but the eighth, then a quarter */
        g_assert_cmpuint(cc.cwnd - before, ==, 7 * MSS + 121 * MSS / 4);
        quiet_round(&cc, 40 * MS, 0);
        g_assert_false(vnx_slow_start_css(s));
        g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
        before = cc.cwnd / MSS;
        quiet_round(&cc, 40 * MS, 0);
        assert_near(cc.cwnd / MSS, 2 * before, 1);
    }
}

/* RttThresh = RTT / 8, within 4 and 16 ms (4.2, 4.3). */
static void test_threshold(void)
{
    static const struct {
        int64_t rtt, thresh;
    } t[] = {
        { 1 * MS, 4 * MS }, { 32 * MS, 4 * MS }, { 64 * MS, 8 * MS },
        { 128 * MS, 16 * MS }, { 400 * MS, 16 * MS },
    };

    for (unsigned k = 0; k < G_N_ELEMENTS(t); k++) {
        for (int below = 0; below <= 1; below++) {
            g_auto(VnxCc) cc = { 0 };

            cc_begin(&cc, "cubic", 10);
            quiet_round(&cc, t[k].rtt, 0);
            quiet_round(&cc, t[k].rtt + t[k].thresh - below, 0);
            g_assert_true(vnx_slow_start_css(cc.state) == !below);
        }
    }
}

/* N_RTT_SAMPLE: fewer than eight samples in a round decide nothing. */
static void test_samples(void)
{
    for (uint32_t n = 7; n <= 8; n++) {
        g_auto(VnxCc) cc = { 0 };

        cc_begin(&cc, "cubic", 10);
        quiet_round(&cc, 20 * MS, 0);
        for (uint32_t k = 0; k < 20; k++) {
            ack(&cc, k < n ? 100 * MS : 0);
        }
        g_assert_true(vnx_slow_start_css(cc.state) == (n == 8));
    }
}

/* Five rounds of CSS, the one that begins it included. */
static void test_rounds(void)
{
    FOR_EACH_NAME(i) {
        g_auto(VnxCc) cc = { 0 };

        cc_begin(&cc, names[i], 100);
        quiet_round(&cc, 20 * MS, 0);
        for (unsigned k = 1; k <= 5; k++) {
            g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
            quiet_round(&cc, 40 * MS, 0);
        }
        g_assert_cmpuint(cc.ssthresh, !=, VNX_CC_UNLIMITED);
        g_assert_false(vnx_slow_start_css(cc.state));
    }
}

/* A quarter of each byte: none is lost, however few an ACK acknowledges. */
static void test_css_bytes(void)
{
    FOR_EACH_NAME(i) {
        g_auto(VnxCc) cc = { 0 };
        uint32_t before;

        cc_begin(&cc, names[i], 100);
        quiet_round(&cc, 20 * MS, 0);
        quiet_round(&cc, 40 * MS, 0);
        before = cc.cwnd;
        for (unsigned n = 1; n <= 400; n++) {
            cc_ack(&cc, 1, cc.cwnd, 0, 40 * MS);
            g_assert_cmpuint(cc.cwnd - before, ==, n / 4);
        }
    }
}

/* No limit per ACK (4.2 has eight segments without pacing): receivers with GRO send
 * one ACK for dozens of segments, see hystart.h. */
static void test_merged_acks(void)
{
    FOR_EACH_NAME(i) {
        g_auto(VnxCc) cc = { 0 };

        cc_begin(&cc, names[i], 100);
        cc_ack(&cc, 100 * MSS, 100 * MSS, 0, 20 * MS);
        g_assert_cmpuint(cc.cwnd, ==, 200 * MSS);
    }
}

/* A loss ends it, and it is not for later slow starts (4.3). */
static void test_loss(void)
{
    FOR_EACH_NAME(i) {
        for (unsigned css = 0; css <= 1; css++) {
            g_auto(VnxCc) cc = { 0 };
            uint32_t at;

            cc_begin(&cc, names[i], 100);
            quiet_round(&cc, 20 * MS, 0);
            quiet_round(&cc, css ? 40 * MS : 20 * MS, 0);
            g_assert_true(vnx_slow_start_css(cc.state) == css);
            at = cc.cwnd;
            cc.ops->on_loss(&cc, VNX_CC_LOSS_RTO, cc.cwnd, 0);
            g_assert_false(vnx_slow_start_css(cc.state));
            g_assert_cmpuint(cc.ssthresh, >=, at / 2);
            g_assert_cmpuint(cc.ssthresh, <=, at / 8 * 7 + MSS);
            /* RTT grows in each of these rounds, as much as it likes */
            for (unsigned k = 1; cc.cwnd < cc.ssthresh; k++) {
                uint32_t want = MIN(2 * cc.cwnd, cc.ssthresh);

                quiet_round(&cc, 40 * MS * k, 0);
                g_assert_cmpuint(cc.cwnd, >=, want - MSS);
            }
        }
    }
}

/* Rounds without a sample, with all in one ACK, and while not limited by cwnd. */
static void test_odd_rounds(void)
{
    g_auto(VnxCc) cc = { 0 };

    cc_begin(&cc, "cubic", 10);
    for (unsigned k = 0; k < 12; k++) {
        VnxCcAck a = { .acked = 10 * MSS, .in_flight = 10 * MSS };

        vnx_cc_ack(&cc, &a);
        cc_ack(&cc, cc.cwnd, cc.cwnd, 0, 0);
        cc_ack(&cc, 1, 1, 0, (k + 1) * 100 * MS);
    }
    g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
    g_assert_cmpuint(cc.cwnd, ==, (10u << 12) * MSS + (1u << 12) - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cc-hystart/no-exit", test_no_exit);
    g_test_add_func("/cc-hystart/exit-on-queue", test_exit_on_queue);
    g_test_add_func("/cc-hystart/jitter-within-round", test_jitter_within_round);
    g_test_add_func("/cc-hystart/jitter-ends-css", test_jitter_ends_css);
    g_test_add_func("/cc-hystart/threshold", test_threshold);
    g_test_add_func("/cc-hystart/samples", test_samples);
    g_test_add_func("/cc-hystart/rounds", test_rounds);
    g_test_add_func("/cc-hystart/css-bytes", test_css_bytes);
    g_test_add_func("/cc-hystart/merged-acks", test_merged_acks);
    g_test_add_func("/cc-hystart/loss", test_loss);
    g_test_add_func("/cc-hystart/odd-rounds", test_odd_rounds);
    return g_test_run();
}
