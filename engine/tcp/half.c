/*
 * vnx: a half - its state machine, the window and the memory toward S
 *
 * The edge that S is given never moves left.  What lies beyond R's own edge is
 * room that vTCP reserves in the pool (up to R's edge R has made the promise, and
 * if the pool is short the half passes segments through instead).  Memory is shared by
 * dynamic thresholds (Choudhury and Hahne, 1998): no half may hold more than its weight's
 * part of what is free, so that a few greedy ones leave room for the next.  Those that want
 * more than they get have shares in proportion to their weights.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/tcp/vtcp-private.h"

/* The window a sender gets before it has shown to use it. */
#define DEMAND_INITIAL (64 * 1024u)

static bool half_transition_ok(VnxHalfState from, VnxHalfState to)
{
    static const uint8_t allowed[VNX_HALF__MAX] = {
        [VNX_HALF_OBSERVING] = 1 << VNX_HALF_JOINING | 1 << VNX_HALF_ACCELERATING,
        [VNX_HALF_JOINING] = 1 << VNX_HALF_OBSERVING | 1 << VNX_HALF_ACCELERATING |
                             1 << VNX_HALF_DRAINING,
        [VNX_HALF_ACCELERATING] = 1 << VNX_HALF_DRAINING | 1 << VNX_HALF_OBSERVING,
        [VNX_HALF_DRAINING] = 1 << VNX_HALF_OBSERVING | 1 << VNX_HALF_JOINING |
                              1 << VNX_HALF_ACCELERATING,
    };

    return allowed[from] & 1 << to;
}

static void half_set_state(VnxHalf *h, VnxHalfState state, VnxReason reason)
{
    VnxHalfState old = h->state;

    h->reason = reason;
    if (old == state) {
        return;
    }
    g_assert(half_transition_ok(old, state));
    h->state = state;
    conn_event(half_conn(h), &(VnxVtcpEvent) {
        .type = VNX_EVENT_HALF_STATE,
        .dir = h->dir,
    });
}

void half_init(VnxHalf *h, VnxDir dir)
{
    memset(h, 0, sizeof(*h));
    h->dir = dir;
    h->state = VNX_HALF_OBSERVING;
    h->reason = VNX_REASON_HANDSHAKE;
    h->demand = DEMAND_INITIAL;
    vnx_timer_init(&h->timer);
    h->rto_at_ns = h->reorder_at_ns = h->probe_at_ns = VNX_NEVER;
}

void half_set_una(VnxHalf *h, uint32_t una)
{
    half_conn(h)->v->undelivered -= half_undelivered(h);
    h->una = una;
    /* what una has passed is history, and would look like the future after 2 GiB */
    h->early = seq_max(h->early, una);
    h->trouble = seq_max(h->trouble, una);
    half_conn(h)->v->undelivered += half_undelivered(h);
}

void half_set_early(VnxHalf *h, uint32_t early)
{
    half_conn(h)->v->undelivered -= half_undelivered(h);
    h->early = early;
    half_conn(h)->v->undelivered += half_undelivered(h);
}

/* The buffer starts at @seq, empty; all before it has been sent. */
static void half_start_buffer(VnxHalf *h, uint32_t seq)
{
    h->buf_seq = seq;
    h->rcv_nxt = seq;
    h->nxt = seq;
    h->max = seq;
    h->demand_mark = seq;
    half_sender_start(h, seq);
    ecn_start(h);
}

/* What the configuration and the instance allow this half, now. */
static VnxReason half_forbidden(const VnxHalf *h)
{
    VnxConn *c = half_conn((VnxHalf *)h);
    VnxVtcp *v = c->v;

    if (!v->enabled) {
        return VNX_REASON_STATUS;
    }
    if (half_cfg(h)->mode != VNX_MODE_ACCELERATE) {
        return VNX_REASON_MODE;
    }
    if (!half_cfg(h)->weight) {
        return VNX_REASON_WEIGHT;
    }
    return VNX_REASON_NONE;
}

/* Reasons that can pass; the others are for good. */
static bool half_reason_transient(VnxReason reason)
{
    switch (reason) {
    case VNX_REASON_NONE:
    case VNX_REASON_OUT_OF_ORDER:
    case VNX_REASON_BUFFER_FULL:
    case VNX_REASON_URGENT:
    case VNX_REASON_MODE:
    case VNX_REASON_STATUS:
    case VNX_REASON_WEIGHT:
        return true;
    default:
        return false;
    }
}

/* Congestion control as for a new connection. */
void half_start_cc(VnxHalf *h)
{
    const VnxFlowProfile *profile = half_conn(h)->profile;

    vnx_cc_start(&h->cc, profile->cc[h->dir], half_mss(h), &profile->cc_params,
                 half_conn(h)->v->now);
    h->undo.valid = false;
    h->used_ns = half_conn(h)->v->now;
}

/* The handshake is complete and all of it is acknowledged. */
void half_establish(VnxHalf *h)
{
    VnxReason no = half_forbidden(h);

    half_start_buffer(h, h->una);
    half_start_cc(h);
    if (no == VNX_REASON_NONE) {
        half_joined(h);
    } else {
        half_set_state(h, VNX_HALF_OBSERVING, no);
    }
}

/*
 * Real bytes that this half may have now, by its weight: no more than weight / 100 of what is left
 * free, which is weight / (100 + weight) of what the others leave.
 */
static uint32_t half_share(const VnxHalf *h)
{
    VnxPool *pool = &half_conn((VnxHalf *)h)->v->pool;
    uint64_t held = pool->used + pool->reserved;
    uint64_t others = held - MIN(held, (uint64_t)h->buf.real + h->reserved);
    uint64_t left = pool->cap > others ? pool->cap - others : 0;
    uint32_t weight = half_cfg(h)->weight;

    left = left * weight / (VNX_WEIGHT_DEFAULT + weight);
    return MIN(half_cfg(h)->flow_buffer_size, left);
}

/* Room in real memory for bytes that S may still send. */
uint32_t half_grant(const VnxHalf *h)
{
    return vnx_segbuf_room(&h->buf, half_share(h));
}

/* Real bytes that S may fill, by what it was promised if the limit has been lowered since. */
uint32_t half_cap(const VnxHalf *h)
{
    return MAX(half_cfg(h)->flow_buffer_size, h->kept_cap);
}

/* Real bytes to reserve for @want payload bytes, and a chunk, the last, which may be needed for one. */
static uint32_t half_need(VnxHalf *h, uint32_t want, uint32_t tight)
{
    h->buf.tight = tight;
    return want + vnx_segbuf_overhead(&h->buf, want);
}

/*
 * Bring the reservation in line with adv_edge, r_edge and what chunks are there for.  The smaller
 * the share the smaller are the chunks; they grow only where the share has room for that.
 */
void half_reserve(VnxHalf *h)
{
    VnxPool *pool = &half_conn(h)->v->pool;
    uint32_t need = 0;

    if (h->state == VNX_HALF_ACCELERATING) {
        uint32_t want = seq_ahead(h->adv_edge, seq_max(h->r_edge, h->rcv_nxt +
                                                       vnx_segbuf_allocated(&h->buf)));

        if (want) {
            uint32_t share = half_share(h), tight = h->buf.tight;

            need = half_need(h, want, share);
            if (tight && share > tight && h->buf.real + need > share) {
                need = half_need(h, want, tight);
            }
        }
    }
    pool->reserved += need;
    pool->reserved -= h->reserved;
    h->reserved = need;
}

/* Where S's window should end, if nothing had been promised. */
static uint32_t half_target_edge(VnxHalf *h)
{
    const VnxFlowConfig *cfg = half_cfg(h);
    uint32_t want;

    if (h->state != VNX_HALF_ACCELERATING || h->fin_seen) {
        return h->r_edge;
    }
    if (h->rcv_nxt - h->demand_mark >= h->demand) {
        h->demand = MIN(h->demand * 2, cfg->flow_buffer_size);
        h->demand_mark = h->rcv_nxt;
    }
    want = MAX(h->demand, h->r_wnd_max);
    if (cfg->max_window) {
        want = MIN(want, MAX(cfg->max_window, h->smss));
    }
    return h->rcv_nxt + MIN(want, half_grant(h));
}

/* What of the window S has been given, ACK @ack taken off. */
static inline uint32_t promised_field(const VnxHalf *h, uint32_t ack, unsigned shift)
{
    return (seq_ahead(h->adv_edge, ack) + (1u << shift) - 1) >> shift;
}

/*
 * The window field for an ACK of @ack to S.  Rounding up to the scale may promise
 * less than one unit more than there is: vnx_segbuf_room() leaves a chunk.
 */
uint32_t half_window(VnxHalf *h, uint32_t ack)
{
    unsigned shift = half_conn(h)->end[h->dir].wscale;
    uint32_t target = half_target_edge(h);
    uint32_t field = seq_ahead(target, ack) >> shift;

    if (h->state != VNX_HALF_OBSERVING || half_conn(h)->state == VNX_FLOW_RESET) {
        field = MAX(field, promised_field(h, ack, shift));
    }
    return MIN(field, UINT16_MAX);
}

/* The window field for an ACK of @ack that leaves the edge where it is. */
uint32_t half_window_told(const VnxHalf *h, uint32_t ack)
{
    unsigned shift = half_conn((VnxHalf *)h)->end[h->dir].wscale;

    return MIN(promised_field(h, ack, shift), UINT16_MAX);
}

/* A segment with this ACK number and window field is on its way to S. */
void half_told(VnxHalf *h, uint32_t ack, uint16_t field)
{
    unsigned shift = half_conn(h)->end[h->dir].wscale;

    h->adv_edge = seq_max(h->adv_edge, ack + ((uint32_t)field << shift));
    h->last_ack = seq_max(h->last_ack, ack);
    h->ack_due = false;
    half_reserve(h);
}

/* RFC 9293 3.8.6.2.2: offer more only if it is worth a segment. */
bool half_window_update_due(VnxHalf *h)
{
    unsigned shift = half_conn(h)->end[h->dir].wscale;
    uint32_t ack, edge, gain, left;

    if (h->state != VNX_HALF_ACCELERATING || h->fin_seen) {
        return false;
    }
    ack = half_ack(h);
    edge = ack + (half_window(h, ack) << shift);
    gain = seq_ahead(edge, h->adv_edge);
    left = seq_ahead(h->adv_edge, ack);
    /* either S is about to run dry, or twice the window opened up */
    return gain >= 2 * h->smss && (gain >= left || left <= 2 * h->smss);
}

/* Leave the fast path: deliver what S was told is delivered, promise no more. */
void half_leave(VnxHalf *h, VnxReason reason)
{
    VnxConn *c = half_conn(h);

    switch (h->state) {
    case VNX_HALF_OBSERVING:
        h->reason = reason;
        break;
    case VNX_HALF_JOINING:
        h->reason = reason;
        half_abort_join(h);
        break;
    case VNX_HALF_DRAINING:
        h->reason = reason;
        half_check_drained(h);
        break;
    case VNX_HALF_ACCELERATING:
        c->v->stats.drains++;
        half_settle_queue(h);
        half_set_state(h, VNX_HALF_DRAINING, reason);
        half_reserve(h);
        half_check_drained(h);
        break;
    default:
        g_assert_not_reached();
    }
    h->trouble = seq_max(h->s_max, h->trouble);
}

/*
 * S has urgent data for R, in @p or announced by it (RFC 9293 3.8.5): the segments that tell of it go
 * end to end, until R has acknowledged up to where the urgent pointer says.
 */
void half_urgent(VnxHalf *h, const VnxPacket *p)
{
    uint32_t end = p->seq + MAX(p->payload_len, p->urgent);

    if (half_reason_transient(h->reason)) {
        half_leave(h, VNX_REASON_URGENT);
    }
    h->trouble = seq_max(h->trouble, end);
}

/* DRAINING ends when R has everything, holes are filled, and S's window is R's again. */
void half_check_drained(VnxHalf *h)
{
    if (h->state != VNX_HALF_DRAINING || seq_lt(h->una, half_ack(h)) ||
        seq_lt(h->una, h->rcv_nxt) || half_has_hole(h)) {
        return;
    }
    half_settle_queue(h);
    half_sender_stop(h);
    h->nxt = h->max = seq_max(h->max, h->s_max);
    if (seq_ge(h->r_edge, h->adv_edge) || half_finished(h)) {
        half_set_state(h, VNX_HALF_OBSERVING, h->reason);
        if (seq_gt(h->r_edge, h->adv_edge) || seq_gt(half_ack(h), h->last_ack)) {
            h->ack_due = true;  /* one window update: from now on R's own */
            conn_queue(half_conn(h), !h->dir);
        }
    }
}

/*
 * @p is S's next segment in order while packets pass end to end: take the half
 * (back) to the fast path if nothing speaks against it.  True if it has JOINING or
 * ACCELERATING state now.
 */
bool half_try_join(VnxHalf *h, const VnxPacket *p)
{
    VnxConn *c = half_conn(h);
    VnxVtcp *v = c->v;
    bool queued = half_holds(h), at_once = queued || h->una == p->seq;

    if (c->state != VNX_FLOW_ESTABLISHED || !half_reason_transient(h->reason) ||
        half_forbidden(h) != VNX_REASON_NONE || p->seq != h->s_max ||
        !p->payload_len || p->flags & VNX_TCP_FIN || h->fin_seen ||
        seq_lt(h->una, h->trouble) || seq_lt(h->una, half_ack(h)) ||
        (queued && h->rcv_nxt != h->s_max) ||
        (!at_once && seq_gt(p->seq + p->payload_len, h->r_edge)) ||
        half_grant(h) < p->payload_len) {
        return false;
    }
    if (!queued) {
        half_start_buffer(h, p->seq);
    }
    if (at_once) {
        half_joined(h);
    } else {
        half_set_state(h, VNX_HALF_JOINING, h->reason);
    }
    v->stats.rejoins++;
    return true;
}

/*
 * DRAINING, and S was promised more than R's window: @p is S's next segment in order, and R has
 * seen all before it or will from the buffer.  Keep it behind what is held, unacknowledged,
 * and let it go as R's window allows.  False: not so.  (Without such a promise it is passed,
 * so that the draining comes to an end.)
 */
bool half_queue(VnxHalf *h, const VnxPacket *p)
{
    bool fin = p->flags & VNX_TCP_FIN;

    if (seq_ge(h->r_edge, h->adv_edge) || p->flags & VNX_TCP_URG || h->fin_seen ||
        p->seq != h->s_max ||
        (half_holds(h) ? h->rcv_nxt != h->s_max : h->una != h->s_max) ||
        seq_gt(p->seq + p->payload_len, h->adv_edge) || (!p->payload_len && !half_holds(h))) {
        return false;
    }
    if (!half_holds(h)) {
        half_start_buffer(h, p->seq);
    }
    if (p->payload_len && !half_store(h, p, 0, p->payload_len)) {
        return false;
    }
    half_learn_segment_size(h, p);
    if (p->flags & VNX_TCP_PSH) {
        h->psh_seen = true;
        h->psh_seq = h->rcv_nxt;
    }
    if (fin) {
        half_take_fin(h);
    }
    half_output(h);
    return true;
}

/* S's FIN has come in order. */
void half_take_fin(VnxHalf *h)
{
    h->fin_seen = true;
    h->fin_seq = h->rcv_nxt;
    h->s_max = h->fin_seq + 1;
}

/* R has everything that went by before the buffer: acknowledge early from here on. */
void half_joined(VnxHalf *h)
{
    VnxConn *c = half_conn(h);
    uint32_t flight = seq_ahead(h->max, h->una);

    half_settle_queue(h);
    half_set_state(h, VNX_HALF_ACCELERATING, VNX_REASON_NONE);
    half_start_cc(h);
    if (h->cc.cwnd < flight) {  /* already under way, at S's pace */
        h->cc.cwnd = flight;
    }
    h->progress_ns = c->v->now;
    if (seq_gt(h->rcv_nxt, h->una)) {
        c->v->stats.early_ack_bytes += h->rcv_nxt - half_ack(h);
        h->early_acked_bytes += h->rcv_nxt - half_ack(h);
        half_set_early(h, h->rcv_nxt);
        h->ack_due = true;
        conn_queue(c, !h->dir);
        half_arm(h);
    }
}

/* Nothing was acknowledged early yet: the copies can go. */
void half_abort_join(VnxHalf *h)
{
    bool promised;

    vnx_segbuf_clear(&h->buf, &half_conn(h)->v->pool);
    half_sender_stop(h);
    h->nxt = h->max = h->s_max;
    h->trouble = h->s_max;
    promised = seq_lt(h->r_edge, h->adv_edge);
    h->rcv_nxt = promised ? h->una : h->s_max;
    half_set_state(h, promised ? VNX_HALF_DRAINING : VNX_HALF_OBSERVING,
                   h->reason == VNX_REASON_NONE ? VNX_REASON_OUT_OF_ORDER : h->reason);
}

/* Put bytes of @p behind the buffer.  False: no room. */
bool half_store(VnxHalf *h, const VnxPacket *p, uint32_t off, uint32_t len)
{
    VnxVtcp *v = half_conn(h)->v;
    /* up to R's edge nothing is: others' promises come first */
    bool unreserved = h->reserved < len ||
                      seq_lt(h->rcv_nxt + vnx_segbuf_allocated(&h->buf), h->r_edge);

    if (!vnx_segbuf_write(&h->buf, &v->pool, half_cap(h), unreserved, p, off, len, 0)) {
        if (h->buf.real + (uint64_t)len < half_cfg(h)->flow_buffer_size / 2) {
            v->stats.alloc_failures++;
        }
        return false;
    }
    h->rcv_nxt += len;
    h->s_max = seq_max(h->s_max, h->rcv_nxt);
    v->stats.buffered_bytes += len;
    h->bytes += len;
    half_reserve(h);
    return true;
}

/* R is no more: what was for it has no receiver. */
void half_discard(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;

    half_drop_queue(h);
    vnx_segbuf_clear(&h->buf, &v->pool);
    half_sender_stop(h);
    half_set_early(h, h->una);
    if (h->state == VNX_HALF_ACCELERATING || h->state == VNX_HALF_DRAINING ||
        h->state == VNX_HALF_JOINING) {
        half_set_una(h, seq_max(h->una, h->rcv_nxt));
        half_set_early(h, h->una);
        h->max = seq_max(h->max, h->una);
        h->nxt = h->max;
        half_set_state(h, VNX_HALF_OBSERVING, VNX_REASON_CLOSED);
    }
    h->ack_due = false;
    half_reserve(h);
}

/* The configuration or the switch has changed. */
void half_reconsider(VnxHalf *h)
{
    VnxReason no = half_forbidden(h);

    if (no != VNX_REASON_NONE && half_reason_transient(h->reason)) {
        half_leave(h, no);
    } else if (h->state == VNX_HALF_ACCELERATING) {
        half_reserve(h);
        h->ack_due |= half_window_update_due(h);
        if (h->ack_due) {
            conn_queue(half_conn(h), !h->dir);
        }
    }
}

/* Another algorithm goes on from the window there is. */
static void half_change_cc(VnxHalf *h)
{
    const VnxFlowProfile *profile = half_conn(h)->profile;
    uint32_t cwnd = h->cc.cwnd, ssthresh = h->cc.ssthresh;

    if (!h->cc.ops) {
        return;                 /* not started yet */
    }
    h->cc.params = profile->cc_params;
    if (h->cc.ops == profile->cc[h->dir]) {
        return;
    }
    half_start_cc(h);
    if (cwnd == VNX_CC_UNLIMITED) {
        h->cc.cwnd = MAX(h->cc.cwnd, seq_ahead(h->max, h->una));
    } else if (h->cc.cwnd != VNX_CC_UNLIMITED || h->rto_recovery) {
        h->cc.cwnd = cwnd;
        h->cc.ssthresh = ssthresh;
    }
}

/* The profile has changed, or the instance.  @old_cap: half_cap() before that. */
void half_change_profile(VnxHalf *h, uint32_t old_cap)
{
    int64_t deadline = half_conn(h)->v->now + half_rto(h);

    h->kept_cap = h->buf.real + h->reserved > half_cfg(h)->flow_buffer_size ? old_cap : 0;
    half_change_cc(h);
    if (h->rto_at_ns != VNX_NEVER && h->rto_at_ns > deadline) {
        h->rto_at_ns = deadline;
        half_arm(h);
    }
    if (half_conn(h)->state == VNX_FLOW_ESTABLISHED) {
        half_reconsider(h);
    }
}
