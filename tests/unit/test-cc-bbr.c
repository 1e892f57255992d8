/*
 * vnx: unit test of BBR (T7, draft-ietf-ccwg-bbr)
 *
 * Over a bottleneck of known rate, round trip and buffer: what it measures, sends at and lets wait
 * must be the path's, to a few percent, on paths from 1 Mbit/s to 10 Gbit/s, with deep and shallow
 * buffers and with random loss; and what the draft says of its phases must be seen.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "cc-link.h"

static double pacing(const Flow *f)
{
    return f->cc.ops->pacing_rate(&f->cc, f->rtt.srtt_ns);
}

typedef struct Path {
    uint64_t rate;              /* bytes per second */
    int64_t rtt;
} Path;

static const Path paths[] = {
    { 125000, 100 * MS }, { 1250000, 40 * MS }, { 12500000, 10 * MS },
    { 12500000, 100 * MS }, { 125000000, 1 * MS }, { 1250000000, MS / 5 },
};

static double bdp_of(const Path *p)
{
    return p->rate * (p->rtt / 1e9);
}

/* How long to run: at least so many round trips, and bounded for the fast ones. */
static int64_t length_of(const Path *p, int64_t least)
{
    double segments = p->rate / (double)MSS * (least / 1e9);

    return segments > 400000 ? (int64_t)(least * 400000 / segments) : least;
}

/* The link is full, and hardly anything waits: deep buffers stay empty. */
static void test_throughput(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        const Path *p = &paths[i];
        int64_t warm = length_of(p, 2000 * MS), all = warm + length_of(p, 8000 * MS);
        double quantum = 3 * vnx_cc_quantum(p->rate, MSS);
        Link l;
        Flow *f;

        link_init(&l, p->rate, p->rtt, 10 * bdp_of(p) + 100 * MSS);
        f = link_flow(&l, "bbr");
        link_run(&l, warm);
        link_mark(&l);
        link_run(&l, all);
        g_test_message("%.1f Mbit/s, %.1f ms: %.1f %% of the rate, queue %.2f BDP",
                       p->rate / 125e3, p->rtt / 1e6,
                       flow_goodput(f, (all - warm) / 1e9) / p->rate * 100,
                       link_mean_queue(&l) / bdp_of(p));
        g_assert_cmpfloat(flow_goodput(f, (all - warm) / 1e9), >=, 0.95 * p->rate);
        g_assert_cmpfloat(link_mean_queue(&l), <=, 0.25 * bdp_of(p) + quantum);
        g_assert_cmpuint(f->lost_bytes, ==, 0);
        g_assert_cmpuint(f->rtos, ==, 0);
        link_end(&l);
    }
}

/* In cruise it paces at 99 % of the rate, within a few percent, and the window is twice
 * what the path holds; startup doubles each round trip. */
static void test_model(void)
{
    for (unsigned i = 0; i < 4; i++) {
        const Path *p = &paths[i];
        double least = 1e18, most = 0, sum = 0;
        unsigned n = 0, rounds = 0;
        Link l;
        Flow *f;

        link_init(&l, p->rate, p->rtt, 10 * bdp_of(p) + 100 * MSS);
        f = link_flow(&l, "bbr");
        while (f->delivered < bdp_of(p)) {
            link_run(&l, l.now_ns + p->rtt);
            rounds++;
        }
        /* 10 segments, and twice as many each round trip */
        g_assert_cmpfloat(rounds, <=, 3 + log2(bdp_of(p) / (10 * MSS) + 1) * 1.5);
        link_run(&l, 3000 * MS);
        for (; l.now_ns < 9500 * MS; n++) {
            double rate = pacing(f);

            link_run(&l, l.now_ns + p->rtt / 4);
            least = MIN(least, rate);
            most = MAX(most, rate);
            sum += rate;
        }
        assert_near(sum / n, 0.99 * p->rate, 4);
        assert_near(most, 0.99 * 1.25 * p->rate, 3);    /* UP */
        assert_near(least, 0.99 * 0.90 * p->rate, 3);   /* DOWN */
        assert_near(f->rtt.min_ns, p->rtt + MSS * 1e9 / p->rate, 1);
        link_end(&l);
    }
}

/* The least RTT is looked for every ten seconds: the queue is gone for 200 ms. */
static void test_probe_rtt(void)
{
    const Path *p = &paths[1];
    double half = bdp_of(p) / 2;
    int64_t low_since = 0, low = 0;
    unsigned episodes = 0;
    Link l;
    Flow *f;

    link_init(&l, p->rate, p->rtt, 10 * bdp_of(p));
    f = link_flow(&l, "bbr");
    link_run(&l, 5000 * MS);
    while (l.now_ns < 45000 * MS) {
        link_run(&l, l.now_ns + MS);
        if (vnx_txq_pipe(&f->q) <= half * 1.05 + MSS) {
            if (!low_since) {
                low_since = l.now_ns;
            }
        } else if (low_since) {
            if (l.now_ns - low_since > 150 * MS) {
                low = MAX(low, l.now_ns - low_since);
                episodes++;
            }
            low_since = 0;
        }
    }
    /* once in ten seconds, unless DOWN has emptied the queue before */
    g_assert_cmpuint(episodes, >=, 1);
    g_assert_cmpuint(episodes, <=, 5);
    g_assert_cmpint(low, <=, 200 * MS + 4 * p->rtt);
    link_end(&l);
}

/* A longer way, or a slower link: the model follows within two probing cycles and ten seconds. */
static void test_change(void)
{
    const Path *p = &paths[1];
    Link l;
    Flow *f;

    link_init(&l, p->rate, p->rtt, 20 * bdp_of(p));
    f = link_flow(&l, "bbr");
    link_run(&l, 8000 * MS);
    l.rate = p->rate / 3;
    link_run(&l, 25000 * MS);
    link_mark(&l);
    link_run(&l, 30000 * MS);
    g_assert_cmpfloat(flow_goodput(f, 5), >=, 0.9 * l.rate);
    g_assert_cmpfloat(link_mean_queue(&l), <=, bdp_of(p) / 3 + 8 * MSS);
    l.rate = p->rate * 2;
    link_run(&l, 45000 * MS);
    link_mark(&l);
    link_run(&l, 50000 * MS);
    g_assert_cmpfloat(flow_goodput(f, 5), >=, 0.9 * l.rate);
    link_end(&l);
}

/* Where CUBIC is left with a small part: 1 % of random loss hardly costs. */
static void test_random_loss(void)
{
    const Path *p = &paths[3];
    double goodput[2];
    static const char *const names[] = { "bbr", "cubic" };

    for (unsigned i = 0; i < 2; i++) {
        Link l;
        Flow *f;

        link_init(&l, p->rate, p->rtt, bdp_of(p));
        l.loss = 0.01;
        f = link_flow(&l, names[i]);
        link_run(&l, 5000 * MS);
        link_mark(&l);
        link_run(&l, 20000 * MS);
        goodput[i] = flow_goodput(f, 15) / p->rate;
        link_end(&l);
    }
    g_test_message("1 %% loss: bbr %.1f %%, cubic %.1f %% of the link", goodput[0] * 100,
                   goodput[1] * 100);
    g_assert_cmpfloat(goodput[0], >=, 0.75);
    g_assert_cmpfloat(goodput[0], >=, 5 * goodput[1]);
}

/* A buffer of a fifth of the BDP: the link is full, and losses stay about the threshold of 2 %. */
static void test_shallow(void)
{
    const Path *p = &paths[2];
    Link l;
    Flow *f;

    link_init(&l, p->rate, p->rtt, bdp_of(p) / 5);
    f = link_flow(&l, "bbr");
    link_run(&l, 3000 * MS);
    link_mark(&l);
    link_run(&l, 13000 * MS);
    g_test_message("shallow: %.1f %% of the link, %.2f %% lost", flow_goodput(f, 10) /
                   p->rate * 100, (f->lost_bytes - f->lost_mark) / 10.0 / p->rate * 100);
    g_assert_cmpfloat(flow_goodput(f, 10), >=, 0.85 * p->rate);
    g_assert_cmpfloat((f->lost_bytes - f->lost_mark) / 10.0, <=, 0.03 * p->rate);
    link_end(&l);
}

/* Two flows, the second later: both fill the link, and neither starves. */
static void test_sharing(void)
{
    const Path *p = &paths[1];
    double one, other;
    Link l;

    link_init(&l, p->rate, p->rtt, 4 * bdp_of(p));
    link_flow(&l, "bbr");
    link_run(&l, 5000 * MS);
    link_flow(&l, "bbr");
    link_run(&l, 40000 * MS);
    link_mark(&l);
    link_run(&l, 80000 * MS);
    one = flow_goodput(&l.flow[0], 40);
    other = flow_goodput(&l.flow[1], 40);
    g_test_message("two flows: %.1f and %.1f %%", one / p->rate * 100, other / p->rate * 100);
    g_assert_cmpfloat(one + other, >=, 0.95 * p->rate);
    g_assert_cmpfloat(MIN(one, other), >=, 0.3 * p->rate);
    link_end(&l);
}

/* An application that sends little teaches nothing wrong: then all of the link is used. */
static void test_app_limited(void)
{
    const Path *p = &paths[2];
    double before;
    Link l;
    Flow *f;

    link_init(&l, p->rate, p->rtt, 4 * bdp_of(p));
    f = link_flow(&l, "bbr");
    link_run(&l, 2000 * MS);
    before = pacing(f);
    f->backlog = 0;
    for (unsigned i = 0; i < 400; i++) {        /* a tenth of the rate */
        f->backlog += p->rate / 1000;
        link_run(&l, l.now_ns + 10 * MS);
    }
    g_assert_cmpfloat(pacing(f), >=, 0.85 * before);
    f->backlog = UINT64_MAX / 2;
    link_run(&l, l.now_ns + 10 * p->rtt);
    link_mark(&l);
    link_run(&l, l.now_ns + 1000 * MS);
    g_assert_cmpfloat(flow_goodput(f, 1), >=, 0.9 * p->rate);
    link_end(&l);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cc-bbr/throughput", test_throughput);
    g_test_add_func("/cc-bbr/model", test_model);
    g_test_add_func("/cc-bbr/probe-rtt", test_probe_rtt);
    g_test_add_func("/cc-bbr/change", test_change);
    g_test_add_func("/cc-bbr/random-loss", test_random_loss);
    g_test_add_func("/cc-bbr/shallow", test_shallow);
    g_test_add_func("/cc-bbr/sharing", test_sharing);
    g_test_add_func("/cc-bbr/app-limited", test_app_limited);
    return g_test_run();
}
