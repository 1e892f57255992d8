/*
 * vnx: unit test of DCTCP (T7, RFC 8257)
 *
 * alpha against the RFC's own recursion, what marks take off the window, and the whole against
 * its published behaviour at a bottleneck that marks: a full link and a queue that stays near the
 * threshold, where Reno fills the buffer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "cc-link.h"

/* One window of data, of which @marked percent of the segments are marked. */
static void window(VnxCc *cc, unsigned marked, int64_t *now)
{
    uint32_t flight = cc->cwnd / MSS * MSS;

    for (uint32_t done = 0; done < flight; done += MSS) {
        bool ce = (done / MSS + 1) * marked / 100 != done / MSS * marked / 100;

        *now += MS / 10;
        vnx_cc_ack(cc, &(VnxCcAck) {
            .now_ns = *now,
            .acked = MSS,
            .delivered = MSS,
            .marked = ce ? MSS : 0,
            .in_flight = flight - done,
            .srtt_ns = MS,
        });
    }
}

/* The part of cwnd that a mark takes now: alpha / 2. */
static double alpha_of(const VnxCc *cc)
{
    g_auto(VnxCc) copy = { 0 };

    vnx_cc_start(&copy, cc->ops, MSS, &cc->params, 0);
    memcpy(copy.state, cc->state, cc->ops->state_size);
    copy.cwnd = 1000000 * 100;
    copy.ssthresh = 2 * MSS;
    copy.ops->on_loss(&copy, VNX_CC_LOSS_ECN, copy.cwnd, 0);
    return 2 * (1 - copy.cwnd / 1e8);
}

/* 3.3: alpha = (1 - g) alpha + g M, for every M, from 1 on, over hundreds of windows. */
static void test_alpha(void)
{
    for (unsigned marked = 0; marked <= 100; marked += 10) {
        g_auto(VnxCc) cc = { 0 };
        double alpha = 1, g = 1 / 16.0;
        int64_t now = 0;

        cc_begin(&cc, "dctcp", 100);
        cc.ssthresh = cc.cwnd;
        g_assert_cmpfloat(fabs(alpha_of(&cc) - 1), <, 1e-4);
        for (unsigned n = 0; n < 200; n++) {
            window(&cc, marked, &now);
            alpha = (1 - g) * alpha + g * marked / 100;
            g_assert_cmpfloat(fabs(alpha_of(&cc) - alpha), <, 1e-3);
        }
        g_assert_cmpfloat(fabs(alpha_of(&cc) - marked / 100.0), <, 2e-3);
    }
}

/* 3.3: cwnd (1 - alpha / 2); 3.5: a loss halves, whatever alpha is; slow start ends. */
static void test_reduction(void)
{
    g_auto(VnxCc) cc = { 0 };
    int64_t now = 0;

    cc_begin(&cc, "dctcp", 100);
    g_assert_cmpuint(cc.ssthresh, ==, VNX_CC_UNLIMITED);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_ECN, 100 * MSS, now);
    g_assert_cmpuint(cc.cwnd, ==, 50 * MSS);
    g_assert_cmpuint(cc.ssthresh, ==, 50 * MSS);
    cc.cwnd = 100 * MSS;
    for (unsigned n = 0; n < 100; n++) {
        window(&cc, 20, &now);
    }
    cc.ops->on_loss(&cc, VNX_CC_LOSS_ECN, cc.cwnd, now);
    assert_near(cc.cwnd, 90 * MSS, 0.2);
    cc.ops->on_loss(&cc, VNX_CC_LOSS_FAST, 80 * MSS, now);
    g_assert_cmpuint(cc.cwnd, ==, 40 * MSS);
}

/*
 * A link that marks above K = BDP / 4.  All flows fill it; DCTCP holds the queue near K, and Reno,
 * which hears of no marks, fills the buffer.
 */
static void test_queue(void)
{
    const uint64_t rate = 125000000;            /* 1 Gbit/s */
    const int64_t rtt = MS / 2;
    const uint32_t bdp = 62500, k = bdp / 4;

    for (unsigned flows = 1; flows <= 2; flows++) {
        double goodput = 0, least = 1e18;
        int64_t due[2] = { 0 };
        Link l;

        link_init(&l, rate, rtt, 8 * bdp);
        l.ce_above = k;
        for (unsigned i = 0; i < flows; i++) {
            link_flow(&l, "dctcp");
        }
        /* a mark counts once in a round trip, as the engine's ecn.c does */
        for (int64_t t = 0; t < 3000 * MS; t += MS / 20) {
            uint64_t before = l.marked;

            link_run(&l, t);
            for (unsigned i = 0; i < flows && l.marked != before; i++) {
                Flow *f = &l.flow[i];

                if (t >= due[i]) {
                    f->cc.ops->on_loss(&f->cc, VNX_CC_LOSS_ECN, vnx_txq_pipe(&f->q), t);
                    due[i] = t + f->rtt.srtt_ns;
                }
            }
            if (t == 1000 * MS) {
                link_mark(&l);
            }
        }
        for (unsigned i = 0; i < flows; i++) {
            double one = flow_goodput(&l.flow[i], 2);

            goodput += one;
            least = MIN(least, one);
            g_assert_cmpuint(l.flow[i].lost_bytes - l.flow[i].lost_mark, ==, 0);
        }
        g_test_message("%u flows: %.1f %% of the link, queue %.2f K", flows,
                       goodput / rate * 100, link_mean_queue(&l) / k);
        g_assert_cmpfloat(goodput, >=, 0.97 * rate);
        g_assert_cmpfloat(link_mean_queue(&l), <, 1.5 * k);
        g_assert_cmpfloat(link_mean_queue(&l), >, 0.3 * k);
        g_assert_cmpfloat(least, >=, 0.8 * goodput / flows);
        link_end(&l);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cc-dctcp/alpha", test_alpha);
    g_test_add_func("/cc-dctcp/reduction", test_reduction);
    g_test_add_func("/cc-dctcp/queue", test_queue);
    return g_test_run();
}
