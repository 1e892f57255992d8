/*
 * vnx: the transmission queue - see txq.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tcp/seq.h"
#include "engine/tcp/txq.h"

#define ROOM_MIN 8u
#define SPARE_MAX 1024u         /* records that the pool keeps */

/* ---- records ---- */

void vnx_txpool_init(VnxTxPool *pool)
{
    pool->spare = NULL;
    pool->n = 0;
}

void vnx_txpool_destroy(VnxTxPool *pool)
{
    while (pool->spare) {
        VnxTx *tx = pool->spare;

        pool->spare = tx->later;
        g_free(tx);
    }
    pool->n = 0;
}

static VnxTx *record_new(VnxTxPool *pool)
{
    VnxTx *tx = pool->spare;

    if (!tx) {
        return g_new(VnxTx, 1);
    }
    pool->spare = tx->later;
    pool->n--;
    return tx;
}

static void record_free(VnxTxPool *pool, VnxTx *tx)
{
    if (pool->n == SPARE_MAX) {
        g_free(tx);
        return;
    }
    tx->later = pool->spare;
    pool->spare = tx;
    pool->n++;
}

static VnxTx *at(const VnxTxq *q, uint32_t i)
{
    return q->slot[q->first + i];
}

static uint32_t length(const VnxTx *tx)
{
    return tx->end - tx->begin;
}

/* ---- order of time ---- */

static bool in_flight(const VnxTx *tx)
{
    return !(tx->flags & (VNX_TX_SACKED | VNX_TX_LOST));
}

/* @tx comes behind @after; NULL: first. */
static void time_link(VnxTxq *q, VnxTx *tx, VnxTx *after)
{
    VnxTx *later = after ? after->later : q->oldest;

    tx->earlier = after;
    tx->later = later;
    *(after ? &after->later : &q->oldest) = tx;
    *(later ? &later->earlier : &q->newest) = tx;
}

static void time_unlink(VnxTxq *q, VnxTx *tx)
{
    *(tx->earlier ? &tx->earlier->later : &q->oldest) = tx->later;
    *(tx->later ? &tx->later->earlier : &q->newest) = tx->earlier;
}

static int by_time(const void *a, const void *b)
{
    const VnxTx *x = *(VnxTx *const *)a, *y = *(VnxTx *const *)b;

    if (x->stamp.sent_ns != y->stamp.sent_ns) {
        return x->stamp.sent_ns < y->stamp.sent_ns ? -1 : 1;
    }
    return x->begin == y->begin ? 0 : seq_lt(x->begin, y->begin) ? -1 : 1;
}

/* Much has come back into flight: sort it in.  Rare. */
static void time_rebuild(VnxTxq *q)
{
    g_autofree VnxTx **order = g_new(VnxTx *, MAX(q->n, 1u));
    uint32_t n = 0;

    for (uint32_t i = 0; i < q->n; i++) {
        if (in_flight(at(q, i))) {
            order[n++] = at(q, i);
        }
    }
    qsort(order, n, sizeof(*order), by_time);
    q->oldest = q->newest = NULL;
    for (uint32_t i = 0; i < n; i++) {
        time_link(q, order[i], q->newest);
    }
}

/* ---- order of sequence ---- */

/* Index of the first record that ends after @seq; q->n if there is none. */
static uint32_t find(const VnxTxq *q, uint32_t seq)
{
    uint32_t low = 0, high = q->n;

    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (seq_gt(at(q, mid)->end, seq)) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return low;
}

/* Make room for one more slot behind the last. */
static void make_room(VnxTxq *q)
{
    if (q->first + q->n < q->room) {
        return;
    }
    if (2 * q->first <= q->room) {              /* at least half of it is in use */
        q->room = MAX(2 * q->room, ROOM_MIN);
        q->slot = g_renew(VnxTx *, q->slot, q->room);
    }
    memmove(q->slot, q->slot + q->first, q->n * sizeof(*q->slot));
    q->first = 0;
}

static void insert(VnxTxq *q, uint32_t i, VnxTx *tx)
{
    make_room(q);
    memmove(q->slot + q->first + i + 1, q->slot + q->first + i,
            (q->n - i) * sizeof(*q->slot));
    q->slot[q->first + i] = tx;
    q->n++;
}

/* Take the slots [@i, @j) out; the records are gone already. */
static void take_out(VnxTxq *q, uint32_t i, uint32_t j)
{
    memmove(q->slot + q->first + i, q->slot + q->first + j, (q->n - j) * sizeof(*q->slot));
    q->n -= j - i;
}

/* All records are gone: no idle queue holds much memory. */
static void emptied(VnxTxq *q)
{
    q->first = 0;
    if (q->room > ROOM_MIN) {
        g_clear_pointer(&q->slot, g_free);
        q->room = 0;
    }
}

/*
 * Let a record begin at @seq, if one spans it.  Returns the index of the first record
 * that begins at @seq or behind it.  One that spans @seq and cannot be torn apart counts
 * as behind if @whole is set.
 */
static uint32_t split(VnxTxq *q, VnxTxPool *pool, uint32_t seq, bool whole)
{
    uint32_t i = find(q, seq);
    VnxTx *tx, *rest;

    if (i == q->n || seq_ge(at(q, i)->begin, seq)) {
        return i;
    }
    if (q->n == VNX_TXQ_MAX) {
        return whole ? i : i + 1;
    }
    tx = at(q, i);
    rest = record_new(pool);
    *rest = *tx;
    tx->end = rest->begin = seq;
    if (in_flight(tx)) {
        time_link(q, rest, tx);
    }
    insert(q, i + 1, rest);
    return i + 1;
}

void vnx_txq_clear(VnxTxq *q, VnxTxPool *pool)
{
    for (uint32_t i = 0; i < q->n; i++) {
        record_free(pool, at(q, i));
    }
    g_free(q->slot);
    q->slot = NULL;
    q->first = q->n = q->room = 0;
    q->sacked = q->lost = 0;
    q->oldest = q->newest = NULL;
}

/* ---- sending ---- */

static void stamp(VnxTxq *q, VnxTx *tx, int64_t now_ns)
{
    if (!q->oldest) {           /* nothing in flight: a flight begins */
        q->flight_ns = q->delivered_ns = now_ns;
    }
    tx->stamp = (VnxTxStamp) {
        .sent_ns = now_ns,
        .flight_ns = q->flight_ns,
        .delivered_ns = q->delivered_ns,
        .delivered = q->delivered,
        .lost = q->lost_ever,
        .in_flight = vnx_txq_pipe(q),
        .app_limited = q->app_limited != 0,
    };
}

void vnx_txq_sent(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end, int64_t now_ns)
{
    VnxTx *tx = q->n ? at(q, q->n - 1) : NULL;

    if (tx && tx == q->newest && (q->n == VNX_TXQ_MAX ||
                                  (tx->stamp.sent_ns == now_ns && !tx->flags))) {
        tx->end = end;
        if (tx->stamp.sent_ns != now_ns) {      /* the later time, and no samples */
            stamp(q, tx, now_ns);
            tx->flags |= VNX_TX_AGAIN;
        }
        tx->stamp.in_flight = vnx_txq_pipe(q);
        return;
    }
    if (tx && q->n == VNX_TXQ_MAX) {
        /* The last one is not the newest, or not in flight: it is, with this.  So less is
         * SACKED or LOST than was. */
        if (tx->flags & VNX_TX_SACKED) {
            q->sacked -= length(tx);
        } else if (tx->flags & VNX_TX_LOST) {
            q->lost -= length(tx);
        } else {
            time_unlink(q, tx);
        }
        tx->flags = VNX_TX_AGAIN;
    } else {
        tx = record_new(pool);
        tx->begin = begin;
        tx->flags = 0;
        make_room(q);
        q->slot[q->first + q->n++] = tx;
    }
    tx->end = end;
    stamp(q, tx, now_ns);
    time_link(q, tx, q->newest);
}

void vnx_txq_resent(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end,
                    int64_t now_ns)
{
    uint32_t i = split(q, pool, begin, true);
    uint32_t j = split(q, pool, end, false), keep;
    VnxTx *whole = NULL;

    /* j counts from before the split at @end, which is behind i */
    for (keep = i; i < j; i++) {
        VnxTx *tx = at(q, i);

        if (tx->flags & VNX_TX_SACKED) {
            q->slot[q->first + keep++] = tx;
            whole = NULL;
            continue;
        }
        if (tx->flags & VNX_TX_LOST) {
            q->lost -= length(tx);
        } else {
            time_unlink(q, tx);
        }
        if (whole) {                            /* one piece of one frame */
            whole->end = tx->end;
            record_free(pool, tx);
            continue;
        }
        whole = tx;
        tx->flags = VNX_TX_AGAIN;
        stamp(q, tx, now_ns);
        time_link(q, tx, q->newest);
        q->slot[q->first + keep++] = tx;
    }
    take_out(q, keep, i);
}

/* ---- acknowledgements ---- */

/* The bytes of @tx before @end have got to R. */
static void deliver(VnxTxq *q, const VnxTx *tx, uint32_t end, int64_t now_ns, VnxTxAck *a)
{
    const VnxTxStamp *s = &tx->stamp;
    bool again = tx->flags & VNX_TX_AGAIN;

    q->delivered += end - tx->begin;
    q->delivered_ns = now_ns;
    if (!again) {
        if (!a->once || seq_lt(tx->begin, a->once_begin)) {
            a->once_begin = tx->begin;
            a->once_end = end;
        }
        if (!a->once || s->sent_ns < a->once_first_ns) {
            a->once_first_ns = s->sent_ns;
        }
        if (!a->once || s->sent_ns > a->once_last_ns) {
            a->once_last_ns = s->sent_ns;
        }
        a->once_high = a->once ? seq_max(a->once_high, end) : end;
        a->once = true;
    } else if (now_ns - s->sent_ns < a->min_rtt_ns) {
        return;
    }
    if (!a->newest_known || s->sent_ns > a->newest.sent_ns ||
        (s->sent_ns == a->newest.sent_ns && seq_gt(end, a->newest_end))) {
        a->newest_known = true;
        a->newest_again = again;
        a->newest_end = end;
        a->newest = *s;
        q->flight_ns = MAX(q->flight_ns, s->sent_ns);
    }
}

/* @tx leaves the time order, or what is LOST; so far it was not SACKED. */
static void got_there(VnxTxq *q, VnxTx *tx)
{
    if (tx->flags & VNX_TX_LOST) {
        q->lost -= length(tx);
    } else {
        time_unlink(q, tx);
    }
}

void vnx_txq_acked(VnxTxq *q, VnxTxPool *pool, uint32_t ack, int64_t now_ns, VnxTxAck *a)
{
    while (q->n && seq_lt(at(q, 0)->begin, ack)) {
        VnxTx *tx = at(q, 0);
        uint32_t end = seq_lt(tx->end, ack) ? tx->end : ack, len = end - tx->begin;

        if (tx->flags & VNX_TX_SACKED) {
            q->sacked -= len;
        } else {
            deliver(q, tx, end, now_ns, a);
            a->acked += len;
            if (tx->flags & VNX_TX_LOST) {
                q->lost -= len;
            } else if (end == tx->end) {
                time_unlink(q, tx);
            }
        }
        if (end != tx->end) {
            tx->begin = end;
            return;
        }
        record_free(pool, tx);
        q->first++;
        q->n--;
    }
    if (!q->n) {
        emptied(q);
    }
}

void vnx_txq_sacked(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end,
                    int64_t now_ns, VnxTxAck *a)
{
    uint32_t i, j;
    VnxTx *whole;

    if (!q->n || seq_ge(begin, end)) {
        return;
    }
    begin = seq_max(begin, vnx_txq_begin(q));
    if (seq_gt(end, vnx_txq_end(q))) {
        end = vnx_txq_end(q);
    }
    if (seq_ge(begin, end)) {
        return;
    }
    i = find(q, begin);
    if (at(q, i)->flags & VNX_TX_SACKED) {      /* known, at least its beginning */
        begin = at(q, i)->end;
        if (seq_ge(begin, end)) {
            return;
        }
        i++;
    } else {
        i = split(q, pool, begin, false);
    }
    j = find(q, end);
    if (j < q->n && seq_lt(at(q, j)->begin, end) && !(at(q, j)->flags & VNX_TX_SACKED)) {
        j = split(q, pool, end, true);
    }
    for (uint32_t k = i; k < j; k++) {
        VnxTx *tx = at(q, k);

        if (!(tx->flags & VNX_TX_SACKED)) {
            deliver(q, tx, tx->end, now_ns, a);
            a->sacked += length(tx);
            q->sacked += length(tx);
            got_there(q, tx);
            tx->flags = VNX_TX_SACKED;
        }
    }
    if (i >= j) {
        return;
    }
    /* one record, with its neighbours */
    if (i > 0 && at(q, i - 1)->flags & VNX_TX_SACKED) {
        i--;
    }
    if (j < q->n && at(q, j)->flags & VNX_TX_SACKED) {
        j++;
    }
    whole = at(q, i);
    whole->end = at(q, j - 1)->end;
    for (uint32_t k = i + 1; k < j; k++) {
        record_free(pool, at(q, k));
    }
    take_out(q, i + 1, j);
}

/* ---- losses ---- */

static void lose(VnxTxq *q, VnxTx *tx)
{
    if (!q->lost || seq_lt(tx->begin, q->lost_from)) {
        q->lost_from = tx->begin;
    }
    tx->flags |= VNX_TX_LOST;
    q->lost += length(tx);
    q->lost_ever += length(tx);
}

void vnx_txq_lose(VnxTxq *q, VnxTx *tx)
{
    time_unlink(q, tx);
    lose(q, tx);
}

void vnx_txq_lose_range(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end)
{
    uint32_t i, j;

    if (!q->n || seq_ge(begin, end)) {
        return;
    }
    i = split(q, pool, begin, false);
    j = split(q, pool, end, true);
    for (; i < j; i++) {
        if (in_flight(at(q, i))) {
            vnx_txq_lose(q, at(q, i));
        }
    }
}

bool vnx_txq_next_lost(VnxTxq *q, uint32_t *begin, uint32_t *end)
{
    uint32_t i;

    if (!q->lost) {
        return false;
    }
    i = find(q, q->lost_from);
    while (!(at(q, i)->flags & VNX_TX_LOST)) {
        i++;
    }
    q->lost_from = *begin = at(q, i)->begin;
    do {
        *end = at(q, i++)->end;
    } while (i < q->n && at(q, i)->flags & VNX_TX_LOST);
    return true;
}

void vnx_txq_unlose(VnxTxq *q)
{
    if (!q->lost) {
        return;
    }
    for (uint32_t i = 0; i < q->n; i++) {
        at(q, i)->flags &= ~VNX_TX_LOST;
    }
    q->lost = 0;
    time_rebuild(q);
}

void vnx_txq_renege(VnxTxq *q)
{
    for (uint32_t i = 0; i < q->n; i++) {
        VnxTx *tx = at(q, i);

        if (tx->flags & VNX_TX_SACKED) {
            tx->flags = VNX_TX_AGAIN;
            lose(q, tx);
        }
    }
    q->sacked = 0;
}

void vnx_txq_forget_times(VnxTxq *q)
{
    for (uint32_t i = 0; i < q->n; i++) {
        at(q, i)->flags |= VNX_TX_AGAIN;
    }
}
