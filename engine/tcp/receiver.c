/*
 * vnx: the receiver toward S - data ahead of sequence, duplicate ACKs, SACK and D-SACK
 *
 * What vTCP acknowledges early S takes as received, so loss on the way from S is vTCP's to
 * report: each segment ahead of rcv_nxt is answered at once by a duplicate ACK (RFC 5681
 * 4.2), with SACK blocks where both ends permitted them (RFC 2018), and one that repeats
 * what is there by a D-SACK (RFC 2883).  R sees none of it: its data comes in order.
 *
 *   - The bytes lie in the segment buffer where they belong; the memory of the holes is
 *     taken with them.  So a hole can be filled whatever becomes of the pool, and what was
 *     reported by SACK is never dropped while S may count on it.
 *   - What finds no room is dropped, not reported, and answered all the same.
 *   - The window field stays the same over a run of duplicate ACKs, or a sender
 *     without SACK would not count them (RFC 5681 2).
 *   - A FIN ahead of sequence is remembered, not reported.  Data beyond it speak
 *     against it: then it is forgotten.
 *   - Off the fast path (DRAINING) what fills a hole is still taken, unacknowledged: S hears of
 *     it by R's own ACK.  Nothing beyond the queue is taken any more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/vtcp-private.h"

/* An ACK to S of @h shall leave in the next run. */
void half_ack_soon(VnxHalf *h)
{
    h->ack_due = true;
    conn_queue(half_conn(h), !h->dir);
}

/* An ACK to S now: it is not to be merged with others. */
void half_ack_now(VnxHalf *h)
{
    if (!half_send_ack(h, false)) {
        half_ack_soon(h);
    }
}

/* One that repeats the last.  What is due goes first, or S would count one less. */
static void half_ack_again(VnxHalf *h)
{
    if ((h->ack_due && !half_send_ack(h, false)) || !half_send_ack(h, true)) {
        half_ack_soon(h);
        return;
    }
    half_conn(h)->v->stats.duplicate_acks++;
}

/* Report [@start, @end) to S as received twice, if S understands. False: it does not. */
bool half_dsack(VnxHalf *h, uint32_t start, uint32_t end)
{
    const VnxConn *c = half_conn(h);

    if (!(c->end[0].options & c->end[1].options & VNX_OPT_SACK_PERMITTED)) {
        return false;
    }
    h->dsack = (VnxSackBlock) { start, end };
    return true;
}

/* It has been reported, which is done once. */
void half_dsack_told(VnxHalf *h)
{
    if (h->dsack.start != h->dsack.end) {
        h->dsack.end = h->dsack.start;
        half_conn(h)->v->stats.dsacks_sent++;
    }
}

/* The SACK blocks that an ACK to S has to carry, up to @max of them. */
unsigned half_sack(const VnxHalf *h, VnxSackBlock *block, unsigned max)
{
    const VnxConn *c = half_conn((VnxHalf *)h);
    unsigned n = 0;

    if (h->dsack.start != h->dsack.end) {
        block[n++] = h->dsack;
    }
    if (h->ooo && c->end[0].options & c->end[1].options & VNX_OPT_SACK_PERMITTED) {
        n += vnx_ooo_sack(h->ooo, block + n, max - n);
    }
    return n;
}

void half_count_duplicate(VnxHalf *h, uint32_t bytes)
{
    half_conn(h)->v->stats.duplicate_bytes += bytes;
    h->duplicate_bytes += bytes;
}

static VnxOoo *half_need_queue(VnxHalf *h)
{
    if (!h->ooo) {
        h->ooo = g_slice_new0(VnxOoo);
        half_conn(h)->v->ooo_queues++;
    }
    return h->ooo;
}

/* A queue that comes from elsewhere, its bytes are in the buffer. */
void half_load_queue(VnxHalf *h, const VnxOoo *o)
{
    *half_need_queue(h) = *o;
}

/* Nothing is in it any more. */
static void half_free_queue(VnxHalf *h)
{
    g_slice_free(VnxOoo, h->ooo);
    h->ooo = NULL;
    half_conn(h)->v->ooo_queues--;
}

/* Forget what is ahead of sequence: S does not count on it. */
void half_drop_queue(VnxHalf *h)
{
    if (h->ooo) {
        half_free_queue(h);
        vnx_segbuf_drop_ahead(&h->buf, &half_conn(h)->v->pool);
    }
}

/*
 * On the way off the fast path, at its end, and back: a queue without ranges is over.  A FIN ahead
 * of sequence was not promised to anybody, S will repeat it.
 */
void half_settle_queue(VnxHalf *h)
{
    if (h->ooo) {
        h->ooo->fin = false;
        if (!h->ooo->n) {
            half_free_queue(h);
        }
    }
}

/* rcv_nxt has moved: take in what follows of the queue. */
void half_absorb_queue(VnxHalf *h)
{
    VnxOoo *o = h->ooo;
    uint32_t n;

    n = vnx_ooo_advance(o, h->rcv_nxt) - h->rcv_nxt;
    vnx_segbuf_extend(&h->buf, n);
    h->rcv_nxt += n;
    h->bytes += n;
    if (o->fin && seq_le(o->fin_seq, h->rcv_nxt)) {
        o->fin = false;
        if (o->fin_seq == h->rcv_nxt) {
            half_take_fin(h);
        }
    }
    if (!o->n && !o->fin && h->state == VNX_HALF_ACCELERATING) {
        half_free_queue(h);     /* DRAINING: S knows these bytes by SACK until R has them */
    }
    half_reserve(h);
}

/* Bytes [@seq, @end) of @p to where they belong.  False: no room, or too many holes. */
static bool half_store_ahead(VnxHalf *h, const VnxPacket *p, uint32_t seq, uint32_t end)
{
    VnxVtcp *v = half_conn(h)->v;
    uint32_t there = h->rcv_nxt + vnx_segbuf_allocated(&h->buf);
    uint32_t more = seq_ahead(end, there);
    /* up to R's edge nothing is reserved: others' promises come first */
    bool unreserved = more && (h->reserved < more || seq_lt(there, h->r_edge));

    if ((h->ooo && !vnx_ooo_fits(h->ooo, seq, end)) ||
        (unreserved && end - h->rcv_nxt > half_grant(h)) ||
        !vnx_segbuf_write(&h->buf, &v->pool, half_cap(h), unreserved, p, seq - p->seq,
                          end - seq, seq - h->rcv_nxt)) {
        return false;
    }
    vnx_ooo_add(half_need_queue(h), seq, end);
    if (h->ooo->fin && seq_gt(end, h->ooo->fin_seq)) {
        h->ooo->fin = false;
    }
    h->s_max = seq_max(h->s_max, end);
    v->stats.buffered_bytes += end - seq;
    v->stats.out_of_order_bytes += end - seq;
    half_reserve(h);
    half_learn_segment_size(h, p);
    if (p->flags & VNX_TCP_PSH && !(h->psh_seen && seq_gt(h->psh_seq, end))) {
        h->psh_seen = true;
        h->psh_seq = end;
    }
    return true;
}

/*
 * @p begins ahead of rcv_nxt: keep what of it lies before @edge, its FIN only if
 * @take_fin, and tell S.
 */
void half_receive_ahead(VnxHalf *h, const VnxPacket *p, uint32_t edge, bool take_fin)
{
    VnxVtcp *v = half_conn(h)->v;
    uint32_t seq = p->seq, end = seq + p->payload_len;
    VnxSackBlock again = { seq, seq };

    v->stats.out_of_order++;
    h->out_of_order++;
    if (seq_gt(end, edge)) {
        end = edge;
        take_fin = false;
    }
    if (h->fin_seen) {
        end = seq;              /* behind its FIN S has nothing to say */
        take_fin = false;
    }
    if (seq_lt(seq, end)) {
        if (h->ooo && vnx_ooo_overlap(h->ooo, seq, end, &again)) {
            half_count_duplicate(h, again.end - again.start);
            half_dsack(h, again.start, again.end);
        }
        if (again.start == seq && again.end == end) {
            vnx_ooo_add(h->ooo, seq, end);      /* all there, and news of it */
        } else if (!half_store_ahead(h, p, seq, end)) {
            v->stats.out_of_order_dropped++;
            take_fin = false;
        }
    }
    if (take_fin && p->flags & VNX_TCP_FIN) {
        VnxOoo *o = half_need_queue(h);

        if (!o->n || seq_ge(end, o->range[o->n - 1].end)) {
            o->fin = true;
            o->fin_seq = end;
        }
    }
    half_ack_again(h);
}
