/*
 * vnx: unit test of delivery rate samples (T7; draft-ietf-ccwg-bbr 4.1)
 *
 * Against a bottleneck of known rate, in virtual time: what a sample says must be the path's
 * rate if the path is full, and what the sender sends if it is not.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "cc-link.h"

#define RATE 1250000u           /* 10 Mbit/s */
#define RTT (40 * MS)
#define BDP (RATE / 1000 * 40)

typedef struct Seen {
    double least, most;         /* bytes per second */
    unsigned n, limited;
} Seen;

static Seen seen;

static void look(Link *l, Flow *f, const VnxCcAck *ack)
{
    double rate;

    if (!ack->rate.interval_ns) {
        return;
    }
    g_assert_cmpuint(ack->rate.total - ack->rate.prior, ==, ack->rate.delivered);
    rate = ack->rate.delivered * 1e9 / ack->rate.interval_ns;
    seen.least = seen.n ? MIN(seen.least, rate) : rate;
    seen.most = MAX(seen.most, rate);
    seen.n++;
    seen.limited += ack->rate.app_limited;
}

static void fixed_init(VnxCc *cc, int64_t now_ns)
{
}

static void fixed_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
}

static void fixed_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
}

static const VnxCcOps fixed = {
    .name = "fixed",
    .init = fixed_init,
    .on_ack = fixed_on_ack,
    .on_loss = fixed_on_loss,
};

/* A fixed window: more than the path holds, or a part of it, per round trip. */
static void test_window(void)
{
    static const uint32_t windows[] = { 70, 40, 20, 8, 2 };     /* segments; BDP: 34 */

    for (unsigned i = 0; i < G_N_ELEMENTS(windows); i++) {
        double trip = RTT / 1e9 + (double)MSS / RATE;
        double rate = MIN(windows[i] * MSS / trip, RATE);
        Link l;
        Flow *f;

        link_init(&l, RATE, RTT, 10 * BDP);
        f = link_flow(&l, "none");
        f->cc.ops = &fixed;
        f->cc.cwnd = windows[i] * MSS;
        link_run(&l, 1000 * MS);
        memset(&seen, 0, sizeof(seen));
        l.on_ack = look;
        link_run(&l, 2000 * MS);
        g_assert_cmpuint(seen.n, >, 40);
        assert_near(seen.most, rate, 1);
        assert_near(seen.least, rate, 1);
        g_assert_cmpuint(seen.limited, ==, 0);
        link_end(&l);
    }
}

/* Nobody is faster than the path, however the window grows. */
static void test_never_above(void)
{
    Link l;
    Flow *f;

    memset(&seen, 0, sizeof(seen));
    link_init(&l, RATE, RTT, 3 * BDP);
    f = link_flow(&l, "cubic");
    l.on_ack = look;
    link_run(&l, 20000 * MS);
    g_assert_cmpuint(f->lost_bytes, >, 0);
    g_assert_cmpfloat(seen.most, <=, RATE * 1.001);
    link_end(&l);
}

/* ACKs that are held back and come at once are no fast path: the send times say so. */
static void test_held_acks(void)
{
    VnxTxPool pool;
    VnxTxq q = { 0 };
    VnxCcRate rate;
    uint32_t nxt = 0, una = 0;
    double most = 0;

    vnx_txpool_init(&pool);
    for (unsigned i = 0; i < 2000; i++) {       /* one segment in each 1 ms */
        int64_t now = i * MS + 1;

        vnx_txq_sent(&q, &pool, nxt, nxt + 1000, now);
        nxt += 1000;
        if (i % 20 == 19 && i > 40) {           /* all older than 20 ms, one by one */
            while (nxt - una > 20000) {
                VnxTxAck a = { .min_rtt_ns = 20 * MS };

                una += 1000;
                vnx_txq_acked(&q, &pool, una, now, &a);
                vnx_rate_sample(&q, &a, 20 * MS, &rate);
                if (rate.interval_ns) {
                    most = MAX(most, rate.delivered * 1e9 / rate.interval_ns);
                }
            }
        }
    }
    g_assert_cmpfloat(most, >, 0);
    g_assert_cmpfloat(most, <=, 2000000);       /* within a factor of two, not of twenty */
    vnx_txq_clear(&q, &pool);
    vnx_txpool_destroy(&pool);
}

/* Out of data: the samples of that flight and of the next say so, and none after it. */
static void test_app_limited(void)
{
    VnxTxPool pool;
    VnxTxq q = { 0 };
    VnxTxAck a = { 0 };
    VnxCcRate rate;

    vnx_txpool_init(&pool);
    vnx_txq_sent(&q, &pool, 0, 1000, 1 * MS);
    vnx_rate_app_limited(&q);
    vnx_txq_sent(&q, &pool, 1000, 2000, 5 * MS);        /* behind the gap */
    vnx_txq_acked(&q, &pool, 1000, 11 * MS, &a);
    vnx_rate_sample(&q, &a, 0, &rate);
    g_assert_false(rate.app_limited);           /* it left before */
    g_assert_cmpuint(rate.delivered, ==, 1000);
    g_assert_cmpint(rate.interval_ns, ==, 10 * MS);
    vnx_txq_sent(&q, &pool, 2000, 3000, 11 * MS);       /* the gap is still under way */
    a = (VnxTxAck) { 0 };
    vnx_txq_acked(&q, &pool, 2000, 15 * MS, &a);
    vnx_rate_sample(&q, &a, 0, &rate);
    g_assert_true(rate.app_limited);
    vnx_txq_sent(&q, &pool, 3000, 4000, 15 * MS);       /* now it is through */
    a = (VnxTxAck) { 0 };
    vnx_txq_acked(&q, &pool, 3000, 21 * MS, &a);
    vnx_rate_sample(&q, &a, 0, &rate);
    g_assert_true(rate.app_limited);
    a = (VnxTxAck) { 0 };
    vnx_txq_acked(&q, &pool, 4000, 25 * MS, &a);
    vnx_rate_sample(&q, &a, 0, &rate);
    g_assert_false(rate.app_limited);
    vnx_txq_clear(&q, &pool);
    vnx_txpool_destroy(&pool);
}

/* What was under way, and what was lost since, for those who look at losses per flight. */
static void test_losses(void)
{
    VnxTxPool pool;
    VnxTxq q = { 0 };
    VnxTxAck a = { 0 };
    VnxCcRate rate;

    vnx_txpool_init(&pool);
    for (uint32_t i = 0; i < 10; i++) {
        vnx_txq_sent(&q, &pool, i * 1000, i * 1000 + 1000, (i + 1) * MS);
    }
    vnx_txq_lose_range(&q, &pool, 0, 2000);
    vnx_txq_sacked(&q, &pool, 2000, 3000, 20 * MS, &a);
    vnx_rate_sample(&q, &a, 0, &rate);
    g_assert_cmpuint(rate.in_flight, ==, 3000);
    g_assert_cmpuint(rate.lost, ==, 2000);
    vnx_txq_resent(&q, &pool, 0, 1000, 21 * MS);        /* 2000 .. 9000 under way, too */
    vnx_txq_lose_range(&q, &pool, 3000, 4000);
    a = (VnxTxAck) { 0 };
    vnx_txq_acked(&q, &pool, 1000, 40 * MS, &a);
    vnx_rate_sample(&q, &a, 0, &rate);
    g_assert_cmpuint(rate.in_flight, ==, 8000);
    g_assert_cmpuint(rate.lost, ==, 1000);
    g_assert_cmpuint(rate.delivered, ==, 1000);
    /* faster than a round trip can be: the answer is to the first transmission */
    vnx_txq_resent(&q, &pool, 1000, 2000, 41 * MS);
    a = (VnxTxAck) { .min_rtt_ns = 10 * MS };
    vnx_txq_acked(&q, &pool, 2000, 42 * MS, &a);
    vnx_rate_sample(&q, &a, 10 * MS, &rate);
    g_assert_cmpint(rate.interval_ns, ==, 0);
    g_assert_cmpuint(rate.total, ==, 3000);
    vnx_txq_clear(&q, &pool);
    vnx_txpool_destroy(&pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rate/window", test_window);
    g_test_add_func("/rate/never-above", test_never_above);
    g_test_add_func("/rate/held-acks", test_held_acks);
    g_test_add_func("/rate/app-limited", test_app_limited);
    g_test_add_func("/rate/losses", test_losses);
    return g_test_run();
}
