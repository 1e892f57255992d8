/*
 * vnx: input - what a segment of an established connection does
 *
 * A segment from X is checked (rule 1), its ACK goes to the half whose receiver X
 * is, its payload to the half whose sender X is, and then it is decided
 * whether something of it is still to be forwarded:
 *
 *   payload, fast path      copied; what leaves is built by output.c
 *   payload, otherwise      forwarded as conn_forward() rewrites it, or dropped
 *                           unacknowledged while older bytes wait in the buffer
 *   empty                   consumed if vTCP has said the same to S already (T4)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/vtcp-private.h"

/* Options whose meaning a rebuilt segment would lose. */
#define OPTIONS_OPAQUE (VNX_OPT_MD5 | VNX_OPT_AO | VNX_OPT_MPTCP | VNX_OPT_ACCECN | \
                        VNX_OPT_UNKNOWN | VNX_OPT_MALFORMED)

/* RFC 5961 7 proposes these. */
#define CHALLENGE_MAX 10
#define CHALLENGE_PERIOD_NS (5 * 1000 * VNX_MS_NS)

/*
 * A challenge ACK to S of @h: is what came really S's?  Not more than a few, whoever asks
 * for them (RFC 5961 7); counted per connection, so that one tells nothing of another.
 */
static void half_challenge(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;

    if (v->now - h->challenge_ns >= CHALLENGE_PERIOD_NS) {
        h->challenge_ns = v->now;
        h->n_challenges = 0;
    }
    if (h->n_challenges < CHALLENGE_MAX) {
        h->n_challenges++;
        v->stats.challenge_acks++;
        half_ack_soon(h);
    }
}

static bool half_fast(const VnxHalf *h)
{
    return h->state == VNX_HALF_ACCELERATING || h->state == VNX_HALF_DRAINING;
}

/*
 * @ack, from R, is for bytes that S may have sent in a frame that we could not read, an IP
 * fragment for one.  Without such a frame it is for what was never sent (RFC 5961 5).
 */
static bool acks_unseen(const VnxHalf *h, uint32_t ack)
{
    return half_conn((VnxHalf *)h)->v->unread[h->dir] && seq_gt(ack, h->max) &&
           seq_ge(ack, h->rcv_nxt) && seq_le(ack, h->adv_edge + 1);
}

/* RFC 9293 3.10.7.4, RFC 5961 5.2, RFC 7323 5.3 */
static bool segment_acceptable(const VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    const VnxHalf *d = &c->half[dir], *r = &c->half[!dir];

    if (!(p->flags & VNX_TCP_ACK) ||
        (seq_gt(p->ack, r->max) && !acks_unseen(r, p->ack)) ||
        seq_lt(p->ack, r->una - MAX(r->r_wnd_max, 65535u))) {
        return false;
    }
    /* the byte of a window probe counts for its sender, though not for us: an ACK behind
     * it is good (the allowance of 3.10.7.4 for a zero window) */
    if (seq_gt(p->seq, d->adv_edge + !p->payload_len) ||
        seq_lt(p->seq, d->una - 1 - MAX(d->r_wnd_max, 65535u))) {
        return false;
    }
    if (c->end[0].ts && (!(p->options & VNX_OPT_TIMESTAMP) ||
                         (seq_lt(p->tsval, d->ts_recent) && !d->ts_outdated))) {
        return false;
    }
    return true;
}

/* Remember what X says of itself. */
static void learn_end(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    VnxEnd *from = &c->end[!dir];
    VnxHalf *d = &c->half[dir];

    vnx_headers_learn(&from->headers, p);
    from->ece = c->ecn && p->flags & VNX_TCP_ECE;
    if (p->options & VNX_OPT_TIMESTAMP) {
        if (d->ts_outdated) {
            from->tsval = d->ts_recent = p->tsval;
            d->ts_outdated = false;
        }
        from->tsval = seq_max(from->tsval, p->tsval);
        from->tsecr = p->tsecr;
        if (seq_ge(p->tsval, d->ts_recent) && seq_le(p->seq, d->last_ack)) {
            d->ts_recent = p->tsval;
        }
    }
}

/* The acknowledgement in @p, which comes from R of @r. */
static void input_ack(VnxHalf *r, const VnxPacket *p, bool pure)
{
    VnxConn *c = half_conn(r);
    uint32_t window = (uint32_t)p->window << c->end[r->dir].wscale;
    uint32_t old_edge = r->r_edge;
    bool moved = seq_gt(p->ack, r->una), duplicate = false;

    if (seq_lt(p->ack, r->una)) {
        return;
    }
    if (acks_unseen(r, p->ack)) {
        /* we are not the witness that we have to be: leave the ends alone, for good */
        half_drop_queue(r);
        r->s_max = r->max = p->ack;
        half_leave(r, VNX_REASON_NOT_SEEN);
        half_leave(&c->half[!r->dir], VNX_REASON_NOT_SEEN);
    }
    ecn_ack(r, p);
    if (seq_gt(p->ack, r->una) || seq_lt(r->wl1, p->seq) ||
        (r->wl1 == p->seq && seq_le(r->wl2, p->ack))) {
        r->r_edge = p->ack + window;
        half_learn_window(r, window);
        r->wl1 = p->seq;
        r->wl2 = p->ack;
        if (r->persisting && seq_gt(r->r_edge, seq_max(r->una, p->ack))) {
            r->backoff = 0;                     /* the probing is over */
        }
    }
    if (!moved && half_fast(r) && pure) {
        if (r->persisting && c->state != VNX_FLOW_RESET) {
            r->progress_ns = c->v->now;         /* R answers, it is only full */
            r->answered = true;
        }
        duplicate = half_holds(r) && seq_gt(r->max, r->una) && !r->persisting &&
                    (r->r_edge == old_edge || p->n_sack) && !c->new_syn && !r->probe_passed;
    }
    if (moved || duplicate || (p->n_sack && half_fast(r))) {
        half_acknowledged(r, p, duplicate);
    }
    if (moved && r->state == VNX_HALF_JOINING && seq_ge(r->una, r->buf_seq)) {
        half_joined(r);
    }
    if (r->state == VNX_HALF_ACCELERATING) {
        half_reserve(r);
    }
}

/* Payload that S has sent before, and that is held or delivered (T5). */
static VnxVerdict input_duplicate(VnxHalf *d, const VnxPacket *p)
{
    uint32_t end = p->seq + p->payload_len;

    half_count_duplicate(d, p->payload_len);
    if (p->payload_len && seq_le(end, half_ack(d)) && half_dsack(d, p->seq, end)) {
        half_ack_now(d);
    } else {
        half_ack_soon(d);
    }
    return VNX_VERDICT_CONSUMED;
}

/*
 * DRAINING, and S was told of data behind a hole: take what fills it, in order behind the
 * rest and unacknowledged.  Nothing is taken beyond, S will repeat it.  False: the queue is no more.
 */
static bool input_repair(VnxHalf *d, const VnxPacket *p)
{
    uint32_t behind = d->rcv_nxt - p->seq, fresh;

    if (p->flags & VNX_TCP_URG && p->urgent <= p->payload_len) {
        /* the urgent byte cannot lose its mark: RFC 2018 8 lets us go back on SACK */
        half_drop_queue(d);
        return false;
    }
    if (seq_gt(p->seq, d->rcv_nxt)) {
        half_receive_ahead(d, p, d->rcv_nxt + d->buf.ahead, false);
        return true;
    }
    fresh = MIN(seq_ahead(p->seq + p->payload_len, d->rcv_nxt), d->buf.ahead);
    if (!fresh) {
        input_duplicate(d, p);
        return true;
    }
    half_count_duplicate(d, behind);
    if (half_store(d, p, behind, fresh)) {      /* there is memory for the hole */
        half_absorb_queue(d);
        half_output(d);
    }
    return true;
}

/* Payload or FIN while the half is not on the fast path. */
static VnxVerdict input_passing(VnxConn *c, VnxHalf *d, VnxPacket *p)
{
    uint32_t end = p->seq + p->payload_len;
    bool fin = p->flags & VNX_TCP_FIN;
    uint32_t fresh = seq_ahead(end, seq_max(p->seq, d->s_max));

    if (d->state == VNX_HALF_DRAINING) {
        bool holds = half_holds(d);

        if (half_has_hole(d) && input_repair(d, p)) {
            return VNX_VERDICT_CONSUMED;
        }
        if (holds && seq_lt(p->seq, d->rcv_nxt)) {
            return input_duplicate(d, p);
        }
        if (!(p->options & OPTIONS_OPAQUE) && half_queue(d, p)) {
            return VNX_VERDICT_CONSUMED;
        }
        /* never ahead of the buffer, never beyond R's window: S will repeat it */
        if ((holds && seq_lt(d->nxt, d->rcv_nxt)) ||
            (seq_gt(end, d->r_edge) && (p->payload_len > 1 || holds))) {
            return VNX_VERDICT_CONSUMED;
        }
    }
    if (p->seq != d->s_max) {
        d->trouble = seq_max(d->s_max, end);
        if (!half_holds(d)) {
            vnx_txq_clear(&d->txq, &c->v->txpool);      /* Karn */
        }
        if (seq_gt(p->seq, d->s_max)) {
            c->v->stats.out_of_order++;
            d->out_of_order++;
        }
    } else if (vnx_txq_empty(&d->txq) && end != p->seq) {
        vnx_txq_sent(&d->txq, &c->v->txpool, p->seq, end, c->v->now); /* one at a time */
    }
    d->bytes += fresh;
    if (fin) {
        d->fin_seen = true;
        d->fin_seq = end;
    }
    d->s_max = seq_max(d->s_max, end + fin);
    d->max = seq_max(d->max, d->s_max);
    if (d->state == VNX_HALF_OBSERVING) {
        d->rcv_nxt = d->nxt = d->s_max;
    }
    return conn_forward(c, d->dir, p);
}

/* Payload or FIN on the fast path; p->seq <= rcv_nxt. */
static VnxVerdict input_fast(VnxConn *c, VnxHalf *d, VnxPacket *p)
{
    VnxVtcp *v = c->v;
    uint32_t end = p->seq + p->payload_len;
    uint32_t fresh = d->fin_seen ? 0 : seq_ahead(end, d->rcv_nxt);
    uint32_t window = seq_ahead(d->adv_edge, d->rcv_nxt), start = d->rcv_nxt;
    bool fin = p->flags & VNX_TCP_FIN && !d->fin_seen && seq_ge(end, d->rcv_nxt);
    bool hole = d->ooo, repeats;
    VnxSackBlock again = { p->seq, start };

    if (fresh > window) {
        fresh = window;
        fin = false;
    }
    if (!fresh && !fin) {
        /* seen before, or a probe beyond the window */
        bool probe = p->payload_len <= 1 && !(p->flags & VNX_TCP_FIN);

        if (probe && !half_holds(d) && seq_le(end, d->rcv_nxt)) {
            d->probe_passed = true;
            return conn_forward(c, d->dir, p);
        }
        if (!probe) {
            return input_duplicate(d, p);
        }
        v->stats.probes_answered++;
        half_ack_soon(d);
        return VNX_VERDICT_CONSUMED;
    }
    if (hole && again.start == start) {
        vnx_ooo_overlap(d->ooo, start, start + fresh, &again);
    }
    if (fresh && !half_store(d, p, start - p->seq, fresh)) {
        /* the hole has its memory, whatever the pool says */
        fresh = hole ? MIN(fresh, vnx_segbuf_allocated(&d->buf)) : 0;
        fin = false;
        if (!fresh || !half_store(d, p, start - p->seq, fresh)) {
            v->stats.buffer_full++;
            half_leave(d, VNX_REASON_BUFFER_FULL);
            return input_passing(c, d, p);
        }
    }
    half_count_duplicate(d, again.end - again.start);
    half_learn_segment_size(d, p);
    if (p->flags & VNX_TCP_PSH) {
        d->psh_seen = true;
        d->psh_seq = d->rcv_nxt;
    }
    if (fin) {
        half_drop_queue(d);             /* behind its FIN S has nothing to say */
        half_take_fin(d);
    } else if (hole) {
        half_absorb_queue(d);
    }
    if (fresh) {
        v->stats.early_ack_bytes += d->rcv_nxt - start;
        d->early_acked_bytes += d->rcv_nxt - start;
        half_set_early(d, d->rcv_nxt);
        half_ack_soon(d);
    }
    half_output(d);
    repeats = again.start != again.end && half_dsack(d, again.start, again.end);
    if (hole || repeats) {
        half_ack_now(d);                /* RFC 5681 4.2 */
    }
    return VNX_VERDICT_CONSUMED;
}

/* A copy of what is passed on, until R has acknowledged what went before. */
static VnxVerdict input_joining(VnxConn *c, VnxHalf *d, VnxPacket *p)
{
    half_learn_segment_size(d, p);
    d->nxt = d->max = d->rcv_nxt;
    vnx_txq_sent(&d->txq, &c->v->txpool, p->seq, d->nxt, c->v->now);
    return conn_forward(c, d->dir, p);
}

static VnxVerdict input_data(VnxConn *c, VnxHalf *d, VnxPacket *p)
{
    ecn_data(d, p);
    if (p->flags & VNX_TCP_URG) {
        half_urgent(d, p);
        return input_passing(c, d, p);
    }
    switch (d->state) {
    case VNX_HALF_ACCELERATING:
        if (seq_le(p->seq, d->rcv_nxt)) {
            return input_fast(c, d, p);
        }
        if (half_cfg(d)->out_of_order == VNX_OOO_QUEUE) {
            half_receive_ahead(d, p, d->adv_edge, true);
            return VNX_VERDICT_CONSUMED;
        }
        half_leave(d, VNX_REASON_OUT_OF_ORDER);
        break;
    case VNX_HALF_JOINING:
        if (p->seq == d->rcv_nxt && seq_le(p->seq + p->payload_len, d->r_edge) &&
            !(p->flags & VNX_TCP_FIN) && half_store(d, p, 0, p->payload_len)) {
            return input_joining(c, d, p);
        }
        half_abort_join(d);
        break;
    default:
        if (half_try_join(d, p)) {
            if (d->state == VNX_HALF_ACCELERATING) {
                return input_fast(c, d, p);
            }
            if (half_store(d, p, 0, p->payload_len)) {
                return input_joining(c, d, p);
            }
            half_abort_join(d);
        }
        break;
    }
    return input_passing(c, d, p);
}

/* A segment without payload, FIN, SYN or RST. */
static VnxVerdict input_empty(VnxConn *c, VnxHalf *d, VnxHalf *r, VnxPacket *p)
{
    if (p->flags & VNX_TCP_URG) {       /* urgent data is on its way: news for R */
        half_urgent(d, p);
        return conn_forward(c, d->dir, p);
    }
    if (half_fast(d) && seq_lt(p->seq, d->rcv_nxt) && p->seq + 1 == d->rcv_nxt) {
        /* a keepalive or a window probe (RFC 9293 3.8.4) */
        if (half_holds(d) || d->ooo || d->adv_edge == d->rcv_nxt) {
            c->v->stats.probes_answered++;
            half_ack_soon(d);
            return VNX_VERDICT_CONSUMED;
        }
        d->probe_passed = true;
        return conn_forward(c, d->dir, p);
    }
    if (c->new_syn && d->dir == c->syn_dir_answer) {
        return VNX_VERDICT_PASS;                /* the answer to the SYN (rule 7) */
    }
    if (!half_fast(r)) {
        return conn_forward(c, d->dir, p);
    }
    if (seq_ge(p->ack, half_ack(r))) {
        if (r->probe_passed) {
            r->probe_passed = false;
            return conn_forward(c, d->dir, p);
        }
        if (seq_gt(half_ack(r), r->last_ack) || r->state == VNX_HALF_DRAINING) {
            return conn_forward(c, d->dir, p);
        }
    }
    c->v->stats.acks_consumed++;
    r->acks_consumed++;
    return VNX_VERDICT_CONSUMED;
}

/* The connection is over for X, side !@dir: deliver what it sent, then reset Y. */
static VnxVerdict input_rst_valid(VnxConn *c, VnxHalf *d, VnxHalf *r)
{
    half_discard(r);
    half_drop_queue(d);
    d->ack_due = false;
    if (!half_holds(d)) {
        conn_free(c);
        return VNX_VERDICT_PASS;
    }
    conn_set_state(c, VNX_FLOW_RESET);
    return VNX_VERDICT_CONSUMED;
}

/* RFC 5961 3.2 */
static VnxVerdict input_rst(VnxConn *c, VnxHalf *d, VnxHalf *r, VnxPacket *p)
{
    uint32_t next = d->fin_seen && half_fast(d) ? d->fin_seq + 1 : d->rcv_nxt;

    if (p->seq == next || p->seq == d->s_max || (c->new_syn && p->seq == d->una) ||
        (!half_fast(d) && p->seq == d->una)) {
        return input_rst_valid(c, d, r);
    }
    if (half_fast(d) && seq_ge(p->seq, d->una) && seq_lt(p->seq, d->adv_edge)) {
        half_challenge(d);
        return VNX_VERDICT_CONSUMED;
    }
    c->v->stats.unacceptable++;
    return VNX_VERDICT_PASS;
}

/* A SYN or SYN-ACK on a live connection: the ends settle that (rule 7). */
static VnxVerdict input_syn(VnxConn *c, VnxDir dir, VnxPacket *p)
{
    if (p->flags & VNX_TCP_ACK) {
        if (c->new_syn && p->ack == c->syn->seq + 1 && dir == c->syn_dir_answer) {
            VnxPacket *syn = g_steal_pointer(&c->syn);
            VnxVtcp *v = c->v;

            conn_free(c);
            c = conn_open(v, !dir, syn);
            if (c) {
                conn_handshake(c, dir, p);
            }
            g_free(syn);
            return VNX_VERDICT_PASS;
        }
        /* the third ACK was lost: let its repetition pass */
        c->half[dir].probe_passed = true;
    } else if (p->seq != c->end[!dir].iss) {
        g_free(c->syn);
        c->syn = g_memdup2(p, sizeof(*p));
        c->syn_dir_answer = !dir;
        c->new_syn = true;
    }
    return VNX_VERDICT_PASS;
}

/* X has reset the connection; the other side still gets what it is owed. */
static VnxVerdict input_resetting(VnxConn *c, VnxDir dir, VnxPacket *p)
{
    VnxHalf *r = &c->half[!dir];

    if (conn_gone(c)) {
        if (p->flags & VNX_TCP_RST) {
            return VNX_VERDICT_PASS;
        }
        if (p->flags & VNX_TCP_ACK) {
            conn_answer_rst(c, dir, p);
        }
        return VNX_VERDICT_CONSUMED;
    }
    if (!c->rst_due[0] && !c->rst_due[1] && half_holds(r)) {
        if (p->flags & VNX_TCP_RST) {
            if (seq_ge(p->seq, c->half[dir].una) &&
                seq_le(p->seq, c->half[dir].adv_edge)) {
                conn_free(c);
            }
        } else if (segment_acceptable(c, dir, p)) {
            learn_end(c, dir, p);
            input_ack(r, p, !p->payload_len && !(p->flags & VNX_TCP_FIN));
            half_output(r);
            if (!half_holds(r) && c->state == VNX_FLOW_RESET) {
                c->rst_due[r->dir] = true;
                conn_queue(c, r->dir);
            }
        }
    }
    return VNX_VERDICT_CONSUMED;
}

/*
 * On the fast path vTCP is the receiver of record and does what RFC 9293 3.10.7.4 asks of
 * one: drop, and answer what occupies sequence space, or acknowledges what was never sent
 * (RFC 5961 5).  Passed on, such a segment could
 * fit R's window, overtake the buffer and show R's own ACK number.
 */
static VnxVerdict input_unacceptable(VnxConn *c, VnxHalf *d, VnxHalf *r,
                                     const VnxPacket *p, bool pure)
{
    c->v->stats.unacceptable++;
    if (!half_fast(d) && !half_fast(r)) {
        return VNX_VERDICT_PASS;
    }
    if (!pure && half_fast(d)) {
        half_ack_soon(d);
    } else if (p->flags & VNX_TCP_ACK && seq_gt(p->ack, r->max) && half_fast(d)) {
        half_challenge(d);
    }
    return VNX_VERDICT_CONSUMED;
}

/* A segment with a good checksum, of a connection that was established. */
VnxVerdict conn_input(VnxConn *c, VnxDir dir, VnxPacket *p)
{
    VnxHalf *d = &c->half[dir], *r = &c->half[!dir];
    bool pure = !p->payload_len && !(p->flags & VNX_TCP_FIN);
    VnxVerdict verdict;

    if (c->state == VNX_FLOW_RESET) {
        return input_resetting(c, dir, p);
    }
    if (p->flags & VNX_TCP_RST) {
        return input_rst(c, d, r, p);
    }
    if (p->flags & VNX_TCP_SYN) {
        return input_syn(c, dir, p);
    }
    if (!segment_acceptable(c, dir, p)) {
        return input_unacceptable(c, d, r, p, pure);
    }
    if (p->options & OPTIONS_OPAQUE) {
        half_leave(d, VNX_REASON_OPTIONS);
        half_leave(r, VNX_REASON_OPTIONS);
    }
    if (c->new_syn && dir != c->syn_dir_answer && p->seq == d->rcv_nxt) {
        c->new_syn = false;             /* the old connection lives on */
    }
    learn_end(c, dir, p);
    input_ack(r, p, pure);
    verdict = pure ? input_empty(c, d, r, p) : input_data(c, d, p);

    if (verdict == VNX_VERDICT_CONSUMED &&
        (seq_gt(half_ack(r), r->last_ack) ||
         (!half_fast(r) && seq_gt(r->r_edge, r->adv_edge)))) {
        half_ack_soon(r);               /* the news in @p has not gone on */
    }
    half_output(r);
    half_check_drained(r);
    if (half_window_update_due(r)) {
        half_ack_soon(r);
    }
    conn_check_closed(c);
    return verdict;
}
