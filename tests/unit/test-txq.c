/*
 * vnx: unit test of the transmission queue (T4; RFC 6675's scoreboard, RFC 8985's times)
 *
 * The queue is run against a naive oracle, an array with one entry per byte, on random
 * sequences of transmissions, repetitions, ACKs, SACK blocks (also senseless ones), losses
 * and their undoing; after each step both must agree on every byte, on all sums, and
 * the queue's own orders must hold.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include "engine/tcp/seq.h"
#include "engine/tcp/txq.h"

#define SPACE 3000u             /* bytes of the oracle, in all */
#define ISN 0xfffffc00u         /* wraps on the way */

typedef struct Byte {
    uint8_t flags;
    int64_t sent_ns;
} Byte;

typedef struct World {
    VnxTxPool pool;
    VnxTxq q;
    Byte byte[SPACE];
    uint32_t una, nxt;          /* offsets */
    int64_t now;
    GRand *rand;
} World;

static void world_init(World *w, uint32_t seed)
{
    memset(w, 0, sizeof(*w));
    vnx_txpool_init(&w->pool);
    w->rand = g_rand_new_with_seed(seed);
    w->now = 1000;
}

static void world_end(World *w)
{
    vnx_txq_clear(&w->q, &w->pool);
    vnx_txpool_destroy(&w->pool);
    g_rand_free(w->rand);
}

static uint32_t below(World *w, uint32_t n)
{
    return n ? g_rand_int_range(w->rand, 0, n) : 0;
}

/* A range of sequence numbers, mostly within what is under way. */
static void range(World *w, uint32_t *begin, uint32_t *end)
{
    uint32_t len = w->nxt - w->una;

    *begin = w->una + below(w, len);
    *end = *begin + 1 + below(w, MIN(len, 60));
    *end = MIN(*end, w->nxt);
}

/* Queue and oracle agree. */
static void check(World *w)
{
    uint32_t sacked = 0, lost = 0, off = w->una, linked = 0, flying = 0, begin, end;
    uint32_t first_lost = w->nxt;
    const VnxTx *last = NULL;

    g_assert_cmpuint(w->q.n, <=, VNX_TXQ_MAX);
    for (uint32_t i = 0; i < w->q.n; i++) {
        const VnxTx *tx = w->q.slot[w->q.first + i];

        g_assert_cmphex(tx->begin, ==, ISN + off);
        g_assert_true(seq_gt(tx->end, tx->begin));
        for (; ISN + off != tx->end; off++) {
            g_assert_cmphex(tx->flags, ==, w->byte[off].flags);
            if (!(tx->flags & VNX_TX_SACKED)) {
                g_assert_cmpint(tx->stamp.sent_ns, ==, w->byte[off].sent_ns);
            }
        }
        flying += !(tx->flags & (VNX_TX_SACKED | VNX_TX_LOST));
    }
    g_assert_cmpuint(off, ==, w->nxt);
    for (off = w->nxt; off-- > w->una; ) {
        sacked += !!(w->byte[off].flags & VNX_TX_SACKED);
        if (w->byte[off].flags & VNX_TX_LOST) {
            lost++;
            first_lost = off;
        }
    }
    g_assert_cmpuint(w->q.sacked, ==, sacked);
    g_assert_cmpuint(w->q.lost, ==, lost);
    g_assert_cmpuint(vnx_txq_pipe(&w->q), ==, w->nxt - w->una - sacked - lost);
    g_assert_cmpint(vnx_txq_next_lost(&w->q, &begin, &end), ==, lost > 0);
    if (lost) {
        g_assert_cmphex(begin, ==, ISN + first_lost);
        for (off = first_lost; ISN + off != end; off++) {
            g_assert_true(w->byte[off].flags & VNX_TX_LOST);
        }
        g_assert_true(off == w->nxt || !(w->byte[off].flags & VNX_TX_LOST));
    }
    for (const VnxTx *tx = w->q.oldest; tx; last = tx, tx = tx->later, linked++) {
        g_assert_true(tx->earlier == last);
        g_assert_false(tx->flags & (VNX_TX_SACKED | VNX_TX_LOST));
        g_assert_true(!last || last->stamp.sent_ns <= tx->stamp.sent_ns);
    }
    g_assert_true(w->q.newest == last);
    g_assert_cmpuint(linked, ==, flying);
}

static void send(World *w, uint32_t len)
{
    len = MIN(len, SPACE - w->nxt);
    if (!len) {
        return;
    }
    vnx_txq_sent(&w->q, &w->pool, ISN + w->nxt, ISN + w->nxt + len, w->now);
    for (; len--; w->nxt++) {
        w->byte[w->nxt].flags = 0;
        w->byte[w->nxt].sent_ns = w->now;
    }
}

static void resend(World *w, uint32_t begin, uint32_t end)
{
    vnx_txq_resent(&w->q, &w->pool, ISN + begin, ISN + end, w->now);
    for (uint32_t i = begin; i < end; i++) {
        if (!(w->byte[i].flags & VNX_TX_SACKED)) {
            w->byte[i].flags = VNX_TX_AGAIN;
            w->byte[i].sent_ns = w->now;
        }
    }
}

/* The bytes of [@begin, @end) get there; what the ACK should tell of that goes to @a. */
static void oracle_deliver(World *w, uint32_t begin, uint32_t end, VnxTxAck *a,
                           uint32_t *fresh)
{
    for (uint32_t i = begin; i < end; i++) {
        const Byte *b = &w->byte[i];

        if (b->flags & VNX_TX_SACKED) {
            continue;
        }
        ++*fresh;
        if (!(b->flags & VNX_TX_AGAIN)) {
            a->once_begin = a->once && seq_lt(a->once_begin, ISN + i) ? a->once_begin
                                                                     : ISN + i;
            a->once_first_ns = a->once ? MIN(a->once_first_ns, b->sent_ns) : b->sent_ns;
            a->once_last_ns = a->once ? MAX(a->once_last_ns, b->sent_ns) : b->sent_ns;
            a->once = true;
        } else if (w->now - b->sent_ns < a->min_rtt_ns) {
            continue;
        }
        if (!a->newest_known || b->sent_ns > a->newest.sent_ns ||
            (b->sent_ns == a->newest.sent_ns && seq_gt(ISN + i + 1, a->newest_end))) {
            a->newest_known = true;
            a->newest.sent_ns = b->sent_ns;
            a->newest_end = ISN + i + 1;
        }
    }
}

static void check_ack(const VnxTxAck *a, const VnxTxAck *want)
{
    g_assert_cmpuint(a->acked, ==, want->acked);
    g_assert_cmpuint(a->sacked, ==, want->sacked);
    g_assert_cmpint(a->newest_known, ==, want->newest_known);
    if (want->newest_known) {
        g_assert_cmpint(a->newest.sent_ns, ==, want->newest.sent_ns);
        g_assert_cmphex(a->newest_end, ==, want->newest_end);
    }
    g_assert_cmpint(a->once, ==, want->once);
    if (want->once) {
        g_assert_cmphex(a->once_begin, ==, want->once_begin);
        g_assert_cmpint(a->once_first_ns, ==, want->once_first_ns);
        g_assert_cmpint(a->once_last_ns, ==, want->once_last_ns);
    }
}

static void acknowledge(World *w)
{
    VnxTxAck a = { .min_rtt_ns = below(w, 20) }, want = a;
    uint32_t to = w->una + below(w, MIN(w->nxt - w->una, 40) + 1);
    uint64_t delivered = w->q.delivered;

    vnx_txq_acked(&w->q, &w->pool, ISN + to, w->now, &a);
    oracle_deliver(w, w->una, to, &want, &want.acked);
    w->una = to;
    check_ack(&a, &want);
    check(w);
    for (uint32_t n = below(w, 4); n--; ) {
        uint32_t begin, end;

        range(w, &begin, &end);
        if (!below(w, 8)) {                     /* beyond either end, or inverted */
            begin -= below(w, 100);
            end += below(w, 100) - 50;
        }
        vnx_txq_sacked(&w->q, &w->pool, ISN + begin, ISN + end, w->now, &a);
        if (seq_lt(ISN + begin, ISN + end)) {
            begin = seq_lt(ISN + begin, ISN + w->una) ? w->una : begin;
            end = seq_gt(ISN + end, ISN + w->nxt) ? w->nxt : end;
            end = seq_lt(ISN + end, ISN + w->una) ? w->una : end;
            oracle_deliver(w, begin, end, &want, &want.sacked);
            for (uint32_t i = begin; i < end; i++) {
                w->byte[i].flags = VNX_TX_SACKED;
            }
        }
        check_ack(&a, &want);
        check(w);
    }
    g_assert_cmpuint(w->q.delivered - delivered, ==, a.acked + a.sacked);
}

static void step(World *w)
{
    uint32_t begin, end;

    range(w, &begin, &end);
    switch (below(w, 16)) {
    case 0 ... 4:
        send(w, 1 + below(w, 50));
        break;
    case 5 ... 6:
        if (begin < end) {
            resend(w, begin, end);
        }
        break;
    case 7 ... 10:
        acknowledge(w);
        break;
    case 11 ... 12:
        vnx_txq_lose_range(&w->q, &w->pool, ISN + begin, ISN + end);
        for (; begin < end; begin++) {
            w->byte[begin].flags |= w->byte[begin].flags & VNX_TX_SACKED ? 0 : VNX_TX_LOST;
        }
        break;
    case 13:
        if (w->q.oldest) {
            VnxTx *tx = w->q.oldest;

            for (uint32_t i = tx->begin - ISN; i != tx->end - ISN; i++) {
                w->byte[i].flags |= VNX_TX_LOST;
            }
            vnx_txq_lose(&w->q, tx);
        }
        break;
    case 14:
        if (!below(w, 4)) {
            vnx_txq_unlose(&w->q);
            for (uint32_t i = w->una; i < w->nxt; i++) {
                w->byte[i].flags &= ~VNX_TX_LOST;
            }
        } else if (!below(w, 4)) {
            /* the time a SACKED record left last is not kept per byte */
            for (uint32_t i = 0; i < w->q.n; i++) {
                VnxTx *tx = w->q.slot[w->q.first + i];

                for (uint32_t b = tx->begin - ISN; b != tx->end - ISN; b++) {
                    if (tx->flags & VNX_TX_SACKED) {
                        w->byte[b].flags = VNX_TX_AGAIN | VNX_TX_LOST;
                        w->byte[b].sent_ns = tx->stamp.sent_ns;
                    }
                }
            }
            vnx_txq_renege(&w->q);
        }
        break;
    default:
        w->now += below(w, 30);
        break;
    }
    check(w);
}

static void test_random(void)
{
    for (uint32_t seed = 0; seed < 300; seed++) {
        World w;

        world_init(&w, seed);
        while (w.nxt < SPACE || w.una < w.nxt) {
            step(&w);
        }
        g_assert_true(vnx_txq_empty(&w.q));
        world_end(&w);
    }
}

/* What leaves at one time is one record, whatever the frames were. */
static void test_one_record(void)
{
    World w;

    world_init(&w, 0);
    for (int i = 0; i < 20; i++) {
        send(&w, 100);
    }
    check(&w);
    g_assert_cmpuint(w.q.n, ==, 1);
    w.now++;
    send(&w, 100);
    check(&w);
    g_assert_cmpuint(w.q.n, ==, 2);
    world_end(&w);
}

/* SACKED neighbours are one record, and what is repeated as one frame is one. */
static void test_merge(void)
{
    World w;
    VnxTxAck a = { 0 };

    world_init(&w, 0);
    for (int i = 0; i < 20; i++, w.now++) {
        send(&w, 100);
    }
    for (int i = 9; i > 1; i--) {
        vnx_txq_sacked(&w.q, &w.pool, ISN + i * 100, ISN + i * 100 + 100, w.now, &a);
    }
    g_assert_cmpuint(a.sacked, ==, 800);
    g_assert_cmpuint(w.q.n, ==, 2 + 1 + 10);
    vnx_txq_lose_range(&w.q, &w.pool, ISN, ISN + 200);
    vnx_txq_resent(&w.q, &w.pool, ISN, ISN + 200, w.now);
    g_assert_cmpuint(w.q.n, ==, 1 + 1 + 10);
    g_assert_cmpuint(vnx_txq_pipe(&w.q), ==, 1200);
    world_end(&w);
}

/* A receiver that tears the queue into single bytes gets a bounded queue, and only what it
 * said counts as SACKED; all of it can still be acknowledged. */
static void test_bounded(void)
{
    VnxTxPool pool;
    VnxTxq q = { 0 };
    VnxTxAck a = { 0 };
    const uint32_t len = 4 * VNX_TXQ_MAX;
    uint32_t begin, end;

    vnx_txpool_init(&pool);
    vnx_txq_sent(&q, &pool, ISN, ISN + len, 1);
    for (uint32_t i = 1; i < len; i += 2) {
        vnx_txq_sacked(&q, &pool, ISN + i, ISN + i + 1, 2, &a);
    }
    g_assert_cmpuint(q.n, ==, VNX_TXQ_MAX);
    g_assert_cmpuint(q.sacked, ==, a.sacked);
    g_assert_cmpuint(q.sacked, >, VNX_TXQ_MAX / 2 - 2);
    g_assert_cmpuint(q.sacked, <=, len / 2);

    /* full: more leaves, again and for the first time; nothing is lost sight of */
    for (uint32_t i = 0; i < 100; i++) {
        vnx_txq_sent(&q, &pool, ISN + len + i, ISN + len + i + 1, 3 + i);
        g_assert_cmpuint(q.n, ==, VNX_TXQ_MAX);
    }
    vnx_txq_lose_range(&q, &pool, ISN, ISN + len);
    g_assert_true(vnx_txq_next_lost(&q, &begin, &end));
    g_assert_cmphex(begin, ==, ISN);
    vnx_txq_resent(&q, &pool, begin, end, 200);
    vnx_txq_resent(&q, &pool, ISN + len - 11, ISN + len - 7, 201);
    g_assert_cmpuint(vnx_txq_pipe(&q) + q.lost + q.sacked, ==, len + 100);
    vnx_txq_acked(&q, &pool, ISN + len + 100, 300, &a);
    g_assert_true(vnx_txq_empty(&q));
    g_assert_cmpuint(q.sacked + q.lost, ==, 0);
    g_assert_null(q.oldest);
    g_assert_cmpuint(q.delivered, ==, len + 100);
    vnx_txq_clear(&q, &pool);
    vnx_txpool_destroy(&pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/txq/random", test_random);
    g_test_add_func("/txq/one-record", test_one_record);
    g_test_add_func("/txq/merge", test_merge);
    g_test_add_func("/txq/bounded", test_bounded);
    return g_test_run();
}
