/*
 * vnx: unit test of sequence arithmetic, RTT estimation and the timer heap (T4)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "engine/tcp/rtt.h"
#include "engine/tcp/seq.h"
#include "engine/tcp/timers.h"

/* RFC 9293 3.4: comparisons hold across the wrap */
static void test_seq(void)
{
    static const uint32_t bases[] = { 0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff };

    for (unsigned i = 0; i < G_N_ELEMENTS(bases); i++) {
        for (uint32_t d = 1; d < 0x7fffffff; d = d * 3 + 1) {
            uint32_t a = bases[i], b = a + d;

            g_assert_true(seq_lt(a, b) && seq_le(a, b) && seq_gt(b, a) && seq_ge(b, a));
            g_assert_false(seq_lt(b, a) || seq_le(b, a) || seq_gt(a, b) || seq_ge(a, b));
            g_assert_cmpuint(seq_max(a, b), ==, b);
            g_assert_cmpuint(seq_ahead(b, a), ==, d);
            g_assert_cmpuint(seq_ahead(a, b), ==, 0);
        }
        g_assert_true(seq_le(bases[i], bases[i]) && seq_ge(bases[i], bases[i]));
        g_assert_false(seq_lt(bases[i], bases[i]) || seq_gt(bases[i], bases[i]));
    }
}

/* RFC 6298 section 2, computed by hand: R = 100 ms, then 60 ms */
static void test_rtt(void)
{
    VnxRtt rtt = { 0 };

    g_assert_cmpint(vnx_rtt_rto(&rtt, 0, VNX_MS_NS, 60000 * VNX_MS_NS), ==,
                    1000 * VNX_MS_NS);
    vnx_rtt_sample(&rtt, 100 * VNX_MS_NS);
    g_assert_cmpint(rtt.srtt_ns, ==, 100 * VNX_MS_NS);
    g_assert_cmpint(rtt.rttvar_ns, ==, 50 * VNX_MS_NS);
    g_assert_cmpint(vnx_rtt_rto(&rtt, 0, VNX_MS_NS, 60000 * VNX_MS_NS), ==,
                    300 * VNX_MS_NS);
    vnx_rtt_sample(&rtt, 60 * VNX_MS_NS);
    g_assert_cmpint(rtt.rttvar_ns, ==, 47500000);       /* 3/4 * 50 + 1/4 * 40 */
    g_assert_cmpint(rtt.srtt_ns, ==, 95 * VNX_MS_NS);   /* 7/8 * 100 + 1/8 * 60 */
    /* 95 + 4 * 47.5 = 285 ms; doubling (5.5) and both bounds (2.4, 2.5) */
    g_assert_cmpint(vnx_rtt_rto(&rtt, 0, VNX_MS_NS, 60000 * VNX_MS_NS), ==,
                    285 * VNX_MS_NS);
    g_assert_cmpint(vnx_rtt_rto(&rtt, 3, VNX_MS_NS, 60000 * VNX_MS_NS), ==,
                    2280 * VNX_MS_NS);
    g_assert_cmpint(vnx_rtt_rto(&rtt, 60, VNX_MS_NS, 60000 * VNX_MS_NS), ==,
                    60000 * VNX_MS_NS);
    g_assert_cmpint(vnx_rtt_rto(&rtt, 0, 1000 * VNX_MS_NS, 60000 * VNX_MS_NS), ==,
                    1000 * VNX_MS_NS);
}

/* The heap against a plain array: the same timers expire at the same times. */
static void test_heap(void)
{
    enum { N = 200 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(4711);
    VnxTimers timers;
    VnxTimer t[N];
    int64_t want[N], now = 0;
    unsigned expired = 0;

    vnx_timers_init(&timers);
    for (int i = 0; i < N; i++) {
        vnx_timer_init(&t[i]);
        want[i] = VNX_NEVER;
    }
    for (int step = 0; step < 50000; step++) {
        int i = g_rand_int_range(rand, 0, N);
        int64_t earliest = VNX_NEVER;
        VnxTimer *hit;

        switch (g_rand_int_range(rand, 0, 5)) {
        case 0:
        case 1:
            want[i] = now + g_rand_int_range(rand, 1, 1000);
            vnx_timer_set(&timers, &t[i], want[i]);
            break;
        case 2:
            want[i] = VNX_NEVER;
            vnx_timer_stop(&t[i]);
            break;
        case 3:
            want[i] = VNX_NEVER;
            vnx_timer_remove(&timers, &t[i]);
            g_assert_cmpuint(t[i].slot, ==, 0);
            break;
        default:
            now += g_rand_int_range(rand, 0, 30);
            while ((hit = vnx_timers_pop(&timers, now))) {
                g_assert_cmpint(want[hit - t], <=, now);
                g_assert_false(vnx_timer_running(hit));
                want[hit - t] = VNX_NEVER;
                expired++;
            }
            break;
        }
        for (int k = 0; k < N; k++) {
            g_assert_true(vnx_timer_running(&t[k]) == (want[k] != VNX_NEVER));
            earliest = MIN(earliest, want[k]);
        }
        if (earliest != VNX_NEVER) {
            g_assert_cmpint(vnx_timers_next(&timers), <=, earliest);    /* never late */
        }
    }
    g_assert_cmpuint(expired, >, 1000);
    vnx_timers_destroy(&timers);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/tcp/T2/seq", test_seq);
    g_test_add_func("/tcp/T4/rtt", test_rtt);
    g_test_add_func("/tcp/T4/timers", test_heap);
    return g_test_run();
}
