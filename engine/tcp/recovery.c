/*
 * vnx: loss recovery toward R - what its acknowledgements tell (T4)
 *
 * With SACK (both ends permitted it): the transmission queue is RFC 6675's scoreboard.
 * RACK (RFC 8985) marks as lost what left a reordering window before something that has
 * got to R; the dupack threshold and DSACKs shape that window.  In recovery, proportional
 * rate reduction (RFC 9937) says how much may leave.
 *
 * Without: NewReno (RFC 6582), careful about duplicate ACKs that its own repetitions
 * cause, with limited transmit (RFC 3042).
 *
 * Both: after a timeout F-RTO (RFC 5682) finds out if it was spurious; and a reduction
 * whose every repetition R reports as a duplicate (RFC 2883, 3708) was needless.  What
 * was reduced needlessly is undone.
 *
 *        losses found                          timeout
 *     OPEN ----------> recovery ------------------+
 *       \                                         v
 *        +---------------------------------> rto_recovery
 *     and back to OPEN as una reaches recover, or as the reduction is undone
 *
 * Nothing here sends.  Lost ranges are marked, and half_output() follows every ACK and
 * every timeout.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/rate.h"
#include "engine/tcp/vtcp-private.h"

/* RFC 8985 6.2: DSACK-free recoveries until the window is small again */
#define DSACK_PERSIST 16
#define REO_MULT_MAX 64
/* Neither the host's timers nor the batches in which ACKs come are finer. */
#define REO_WINDOW_MIN_NS (VNX_MS_NS / 10)

static uint32_t segments(const VnxHalf *h, uint32_t bytes)
{
    return (bytes + h->smss - 1) / h->smss;
}

/* ---- reductions and their undoing ---- */

/*
 * @flight bytes are outstanding.  They are what RFC 5681 3.1 reduces, for cwnd may be larger than
 * anybody used.  If it is cwnd that limits the sender it is cwnd: less may be outstanding because
 * the ACK of half a window has just come, more by limited transmit.
 */
static void reduce(VnxHalf *h, VnxCcLoss kind, uint32_t flight)
{
    h->cc.mss = h->smss;
    h->cc.ops->on_loss(&h->cc, kind, h->cwnd_limited ? h->cc.cwnd : MIN(flight, h->cc.cwnd),
                       half_conn(h)->v->now);
    ecn_reduced(h);
}

/* Recovery begins in OPEN: remember what it may turn out not to need. */
static void remember(VnxHalf *h)
{
    h->undo = (VnxUndo) {
        .valid = true,
        .begin = h->una,
        .cwnd = h->cc.cwnd,
        .ssthresh = h->cc.ssthresh,
    };
}

/* No more recovery of either kind. */
static void recovered(VnxHalf *h)
{
    h->recovery = h->rto_recovery = h->at_once = false;
    h->frto = VNX_FRTO_NONE;
    h->inflate = h->dupacks = 0;
    if (h->rack.persist && --h->rack.persist == 0) {
        h->rack.mult = 1;
    }
    if (h->cc.ops->on_recovered) {
        h->cc.ops->on_recovered(&h->cc, half_conn(h)->v->now);
    }
}

/* Nothing was lost: go on as before. */
static void undo(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;

    if (h->recovery || h->rto_recovery) {
        recovered(h);
    }
    h->cc.cwnd = MAX(h->cc.cwnd, h->undo.cwnd);
    h->cc.ssthresh = MAX(h->cc.ssthresh, h->undo.ssthresh);
    if (h->cc.ops->on_undo) {
        h->cc.ops->on_undo(&h->cc, v->now);
    }
    vnx_txq_unlose(&h->txq);
    h->backoff = 0;
    h->undo.valid = false;
    v->stats.recoveries_undone++;
}

/* ---- RACK, RFC 8985 6.2 ---- */

static bool rack_sent_after(const VnxRack *rack, const VnxTx *tx)
{
    return rack->sent_ns > tx->stamp.sent_ns ||
           (rack->sent_ns == tx->stamp.sent_ns && seq_gt(rack->end, tx->end));
}

/* Steps 1 to 3: @a is what an ACK brought, up to @high. */
static void rack_update(VnxHalf *h, const VnxTxAck *a, uint32_t high)
{
    VnxRack *rack = &h->rack;

    if (a->newest_known) {
        rack->rtt_ns = half_conn(h)->v->now - a->newest.sent_ns;
        if (a->newest.sent_ns > rack->sent_ns ||
            (a->newest.sent_ns == rack->sent_ns && seq_gt(a->newest_end, rack->end))) {
            rack->sent_ns = a->newest.sent_ns;
            rack->end = a->newest_end;
        }
    }
    if (a->once && seq_lt(a->once_end, rack->fack)) {
        rack->reordering = true;
    }
    rack->fack = seq_max(rack->fack, high);
}

/* Step 4, its part about DSACKs */
static void rack_dsack(VnxHalf *h)
{
    VnxRack *rack = &h->rack;

    if (rack->dsack_round && seq_ge(h->una, rack->dsack_round_end)) {
        rack->dsack_round = false;
    }
    if (!rack->dsack_round) {
        rack->dsack_round = true;
        rack->dsack_round_end = h->nxt;
        rack->mult = MIN(rack->mult + 1, REO_MULT_MAX);
        rack->persist = DSACK_PERSIST;
    }
}

/* RFC 6675 5 (A), (B): enough has got there behind the first hole. */
static bool enough_sacked(const VnxHalf *h)
{
    uint32_t threshold = half_cfg(h)->dupack_threshold;

    return h->dupacks >= threshold || h->txq.sacked > (threshold - 1) * h->smss;
}

/* Step 4: how long to wait for what may only be late */
static int64_t rack_window(const VnxHalf *h)
{
    if (!h->rack.reordering && (h->recovery || h->rto_recovery || enough_sacked(h))) {
        return 0;
    }
    return MAX(MIN(h->rack.mult * h->rtt.min_ns / 4, h->rtt.srtt_ns), REO_WINDOW_MIN_NS);
}

/* Step 5 */
static void rack_detect(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;
    int64_t wait = h->rack.rtt_ns + rack_window(h);
    uint32_t lost = h->txq.lost;
    VnxTx *tx;

    h->reorder_at_ns = VNX_NEVER;
    while ((tx = h->txq.oldest) && rack_sent_after(&h->rack, tx)) {
        if (tx->stamp.sent_ns + wait > v->now) {
            h->reorder_at_ns = tx->stamp.sent_ns + wait;
            break;
        }
        vnx_txq_lose(&h->txq, tx);
    }
    v->stats.segments_lost += segments(h, h->txq.lost - lost);
}

/* ---- fast recovery ---- */

/* @flight: bytes outstanding before the ACK that begins it, which brought @delivered to light. */
static void enter_recovery(VnxHalf *h, uint32_t flight, uint32_t delivered)
{
    uint32_t outstanding = seq_ahead(h->nxt, h->una) - h->txq.sacked + delivered;

    remember(h);
    reduce(h, VNX_CC_LOSS_FAST, flight);
    h->recovery = h->at_once = true;
    h->partial = false;
    h->recover = h->max;
    h->prr = (VnxPrr) { .flight = MAX(outstanding, 1u) };
    h->probe_at_ns = VNX_NEVER;
    half_conn(h)->v->stats.fast_retransmits++;
    h->fast_retransmits++;
}

/* An ACK in recovery brought @delivered bytes to light.  RFC 9937 5. @safe: una moved,
 * and nothing more is lost. */
static void prr_acked(VnxHalf *h, uint32_t delivered, bool safe)
{
    VnxPrr *prr = &h->prr;
    uint32_t pipe = half_pipe(h), target = h->cc.cwnd;

    if (!delivered || target == VNX_CC_UNLIMITED) {
        return;
    }
    prr->delivered += delivered;
    if (pipe > target) {
        uint64_t due = ((uint64_t)prr->delivered * target + prr->flight - 1) / prr->flight;

        prr->quota = due > prr->out ? due - prr->out : 0;
    } else {
        uint32_t behind = prr->delivered > prr->out ? prr->delivered - prr->out : 0;

        prr->quota = MAX(behind, delivered) + (safe ? h->smss : 0);
        prr->quota = MIN(prr->quota, target - pipe);
    }
}

/*
 * SACK, or the reordering timer: mark what is lost, and begin recovery if that is news.
 * @flight, @delivered: as enter_recovery() wants them.
 */
void half_detect_losses(VnxHalf *h, uint32_t flight, uint32_t delivered)
{
    uint32_t lost = h->txq.lost;

    rack_detect(h);
    if (h->txq.lost > lost && !h->recovery && !h->rto_recovery) {
        enter_recovery(h, flight, delivered);
    }
}

/* ---- NewReno, RFC 6582 ---- */

static void lose_first_segment(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;
    uint32_t lost = h->txq.lost;

    vnx_txq_lose_range(&h->txq, &v->txpool, h->una, h->una + h->smss);
    v->stats.segments_lost += segments(h, h->txq.lost - lost);
    h->at_once = true;
}

/*
 * Duplicate ACKs for exactly recover may come from what was repeated needlessly up to there
 * (3.2 step 1), unless una was near it before: then no three repetitions can have been
 * (4.1, the ACK heuristic).
 */
static bool newreno_credible(const VnxHalf *h)
{
    return seq_gt(h->una, h->recover) ||
           (h->una == h->recover && h->cc.cwnd > h->smss && h->una_step <= 4 * h->smss);
}

static void newreno_duplicate(VnxHalf *h)
{
    h->dupacks++;
    if (h->recovery) {
        h->inflate += h->smss;
    } else if (h->dupacks >= half_cfg(h)->dupack_threshold && !h->rto_recovery &&
               newreno_credible(h)) {
        enter_recovery(h, seq_ahead(h->nxt, h->una), 0);
        lose_first_segment(h);
        h->inflate = h->cc.cwnd == VNX_CC_UNLIMITED ? 0 : h->dupacks * h->smss;
    }
}

/* 3.2 step 3: una moved by @n, but not to recover.  True: the timer begins anew. */
static bool newreno_partial(VnxHalf *h, uint32_t n)
{
    bool first = !h->partial;

    h->inflate -= MIN(h->inflate, n);
    if (n >= h->smss) {
        h->inflate += h->smss;
    }
    h->partial = true;
    lose_first_segment(h);
    return first;
}

/* ---- timeouts ---- */

/* RFC 6298 5.4; which segments are lost: RFC 8985 6.3 */
void half_lose_on_timeout(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;
    VnxTxq *q = &h->txq;
    bool open = !h->recovery && !h->rto_recovery;
    uint32_t flight = seq_ahead(h->nxt, h->una), lost = q->lost;
    int64_t wait = h->rack.rtt_ns + rack_window(h);

    if (open) {
        remember(h);
    }
    if (open || h->backoff == 1) {      /* ssthresh not again for the same segment, RFC 5681 3.1 */
        reduce(h, VNX_CC_LOSS_RTO, flight);
    } else {
        h->cc.cwnd = MIN(h->cc.cwnd, h->smss);
    }
    if (vnx_txq_head_sacked(q)) {
        vnx_txq_renege(q);
    }
    if (half_uses_sack(h)) {
        vnx_txq_lose_range(q, &v->txpool, h->una, h->una + h->smss);
        while (q->oldest && q->oldest->stamp.sent_ns + wait <= v->now) {
            vnx_txq_lose(q, q->oldest);
        }
    } else {
        vnx_txq_lose_range(q, &v->txpool, h->una, h->nxt);
    }
    v->stats.segments_lost += segments(h, q->lost - lost);
    h->recovery = false;
    h->rto_recovery = h->at_once = true;
    h->recover = h->max;
    h->inflate = h->dupacks = 0;
    h->tail_probe.out = false;
    h->reorder_at_ns = h->probe_at_ns = VNX_NEVER;
    h->frto = open ? VNX_FRTO_REPEATED : VNX_FRTO_NONE;
}

/* Something new could go to R now. */
static bool new_data_fits(const VnxHalf *h)
{
    return seq_gt(h->rcv_nxt, h->nxt) && seq_gt(h->r_edge, h->nxt);
}

/*
 * RFC 5682 2.1, and 3.1 with SACK: the answer to the first segment repeated is followed by
 * new data instead of more repetitions; if R then acknowledges what was sent before the timeout, and
 * once, that was only late.  @moved: una has.
 */
static void frto_acked(VnxHalf *h, const VnxTxAck *a, bool moved, bool duplicate)
{
    bool sack = half_uses_sack(h);

    if (h->frto == VNX_FRTO_REPEATED) {
        if (moved) {
            h->frto = new_data_fits(h) ? VNX_FRTO_NEW_DATA : VNX_FRTO_NONE;
        } else if (duplicate && !sack) {
            h->frto = VNX_FRTO_NONE;
        }
    } else if (sack ? a->once && seq_lt(a->once_begin, h->recover) : moved) {
        undo(h);
    } else if (moved || duplicate || a->sacked) {
        h->frto = VNX_FRTO_NONE;
    }
}

/* ---- tail loss probes, RFC 8985 7.4 ---- */

/* @flight: outstanding before this ACK.  @dsack: R had the probe's bytes already. */
static void tail_probe_acked(VnxHalf *h, const VnxPacket *p, uint32_t flight, bool duplicate,
                             bool dsack)
{
    VnxTailProbe *probe = &h->tail_probe;

    if (seq_lt(p->ack, probe->end)) {
        return;
    }
    if (!probe->again || dsack || (duplicate && !p->n_sack)) {
        probe->out = false;             /* nothing was lost, or RACK finds out */
    } else if (seq_gt(p->ack, probe->end)) {
        probe->out = false;             /* the probe repaired a loss: that is congestion */
        if (!h->recovery && !h->rto_recovery) {
            reduce(h, VNX_CC_LOSS_FAST, flight);
            recovered(h);
        }
    }
}

/* ---- acknowledgements ---- */

/* RFC 2883 4: the first block is a DSACK if it is below the ACK or within the second. */
static bool first_is_dsack(const VnxPacket *p)
{
    const VnxSackBlock *b = p->sack;

    return seq_lt(b[0].start, p->ack) ||
           (p->n_sack > 1 && seq_ge(b[0].start, b[1].start) && seq_le(b[0].end, b[1].end));
}

/* The SACK blocks in @p, up to @high.  Returns the DSACK, NULL: there is none to believe. */
static const VnxSackBlock *take_sacks(VnxHalf *h, const VnxPacket *p, VnxTxAck *a,
                                      uint32_t *high)
{
    VnxVtcp *v = half_conn(h)->v;
    const VnxSackBlock *dsack = NULL;

    for (unsigned i = 0; i < p->n_sack; i++) {
        const VnxSackBlock *b = &p->sack[i];

        if (seq_ge(b->start, b->end) || seq_gt(b->end, h->nxt)) {
            continue;                           /* never sent */
        }
        if (i == 0 && first_is_dsack(p)) {
            dsack = seq_ge(b->start, p->ack - MAX(h->r_wnd_max, 65535u)) ? b : NULL;
            continue;
        }
        vnx_txq_sacked(&h->txq, &v->txpool, b->start, b->end, v->now, a);
        *high = seq_max(*high, b->end);
    }
    return dsack;
}

/* R has got @dsack twice. */
static void take_dsack(VnxHalf *h, const VnxSackBlock *dsack)
{
    VnxUndo *u = &h->undo;

    half_conn(h)->v->stats.dsacks_received++;
    if (!h->tail_probe.out || dsack->end != h->tail_probe.end) {
        rack_dsack(h);
    }
    if (u->valid && u->again && seq_ge(dsack->start, u->begin)) {
        u->again -= MIN(u->again, dsack->end - dsack->start);
        if (!u->again) {
            undo(h);
        }
    }
}

/* Samples of round trips; returns one for congestion control, 0 if there is none. */
static int64_t take_samples(VnxHalf *h, const VnxTxAck *a)
{
    int64_t now = half_conn(h)->v->now;

    if (!a->once) {
        return 0;
    }
    vnx_rtt_least(&h->rtt, now - a->once_last_ns);
    if (seq_gt(a->once_high, h->rtt_mark)) {
        vnx_rtt_sample(&h->rtt, now - a->once_first_ns);
        h->rtt_mark = h->nxt;
    }
    return MAX(now - a->once_last_ns, 1);
}

/* una moves to @ack; R needs nothing before it any more. */
static void move_una(VnxHalf *h, uint32_t ack)
{
    if (h->state != VNX_HALF_OBSERVING) {
        uint32_t held = MIN(seq_ahead(ack, h->buf_seq), h->buf.len);

        vnx_segbuf_consume(&h->buf, &half_conn(h)->v->pool, held);
        h->buf_seq += held;
    }
    h->una_step = ack - h->una;
    h->restarting = false;
    half_set_una(h, ack);
    h->probe_passed = false;
    if (seq_lt(h->nxt, ack)) {
        h->nxt = ack;
    }
    h->max = seq_max(h->max, ack);
    if (seq_lt(h->rcv_nxt, ack) && h->state != VNX_HALF_OBSERVING && !h->buf.len &&
        !half_finished(h)) {
        h->rcv_nxt = h->buf_seq = ack;  /* passed on while draining */
    }
    h->progress_ns = half_conn(h)->v->now;
}

/* @ack is what @a means. */
static void tell_congestion_control(VnxHalf *h, const VnxTxAck *a, VnxCcAck *ack)
{
    ack->lost = h->txq.lost_ever - h->lost_told;
    h->lost_told = h->txq.lost_ever;
    h->cc.mss = h->smss;
    if (!ack->acked && !ack->delivered && !ack->lost) {
        return;
    }
    if (h->cc.ops->on_sample) {
        vnx_rate_sample(&h->txq, a, h->rtt.min_ns, &ack->rate);
    }
    vnx_cc_ack(&h->cc, ack);
}

/*
 * Bytes by which an ACK of @n lets cwnd grow.  @sacked: those of them that R had SACKed.  In the
 * repetition after a timeout an R without SACK may acknowledge what it had before: one segment
 * counts (RFC 3465 2.3).  One with ECE counts nothing (RFC 3168 6.1.2).
 */
static uint32_t growth(const VnxHalf *h, uint32_t n, uint32_t sacked)
{
    if (h->marked && !h->cc.ops->counts_marks) {
        return 0;
    }
    n -= MIN(n, sacked);
    return h->rto_recovery && !half_uses_sack(h) ? MIN(n, h->smss) : n;
}

/*
 * @p, from R, acknowledges: its ACK number is not below una.
 * @duplicate: and it says nothing else, and not the first time (RFC 5681 2).
 */
void half_acknowledged(VnxHalf *h, const VnxPacket *p, bool duplicate)
{
    VnxVtcp *v = half_conn(h)->v;
    uint32_t n = p->ack - h->una, in_flight = half_pipe(h), high = p->ack, lost;
    uint32_t flight = seq_ahead(h->nxt, h->una);
    VnxTxAck a = { .min_rtt_ns = h->rtt.min_ns };
    const VnxSackBlock *dsack = NULL;
    bool fast = h->state == VNX_HALF_ACCELERATING || h->state == VNX_HALF_DRAINING;
    bool sack = half_uses_sack(h), rearm = n, was_recovery = h->recovery;
    uint32_t acked = 0;
    int64_t rtt_ns;

    if (n) {
        uint32_t sacked = h->txq.sacked;

        vnx_txq_acked(&h->txq, &v->txpool, p->ack, v->now, &a);
        acked = growth(h, n, sacked - h->txq.sacked);
        move_una(h, p->ack);
    }
    if (fast && sack && p->n_sack) {
        dsack = take_sacks(h, p, &a, &high);
    }
    rtt_ns = take_samples(h, &a);
    if (n && (a.once || seq_gt(p->ack, h->recover))) {
        h->backoff = 0;         /* new data got there: RFC 6298 5.7, RFC 8961 4 (4) */
    }
    if (!fast) {
        return;
    }
    h->n_dupacks += duplicate;
    if (dsack) {
        take_dsack(h, dsack);
    }
    if (h->tail_probe.out) {
        tail_probe_acked(h, p, flight, duplicate,
                         dsack && dsack->end == h->tail_probe.end);
    }
    if (sack) {
        rack_update(h, &a, high);
        h->dupacks = n ? 0 : h->dupacks + !!a.sacked;
    } else if (duplicate) {
        newreno_duplicate(h);
    } else if (n && !h->recovery) {
        h->dupacks = 0;
    }
    if (h->frto) {
        frto_acked(h, &a, n, duplicate);
    }
    if ((h->recovery || h->rto_recovery) && seq_ge(p->ack, h->recover)) {
        recovered(h);
    } else if (h->recovery && !sack && n) {
        rearm = newreno_partial(h, n);
    }
    lost = h->txq.lost;
    if (sack && (h->txq.sacked || lost || h->recovery || h->rto_recovery)) {
        half_detect_losses(h, flight, a.acked + a.sacked);
    } else {
        h->reorder_at_ns = VNX_NEVER;
    }
    if (h->recovery && sack) {
        prr_acked(h, a.acked + a.sacked, n && h->txq.lost <= lost);
    }
    tell_congestion_control(h, &a, &(VnxCcAck) {
        .now_ns = v->now,
        .acked = acked,
        .delivered = a.acked + a.sacked,
        .marked = h->marked ? acked : 0,
        .in_flight = in_flight,
        .rtt_ns = rtt_ns,
        .srtt_ns = h->rtt.srtt_ns,
        .min_rtt_ns = h->rtt.min_ns,
        .cwnd_limited = h->cwnd_limited,
        .recovery = was_recovery || h->recovery,
    });
    if (h->txq.sacked) {
        h->probe_at_ns = VNX_NEVER;             /* RACK sees to it */
    }
    if (rearm) {
        half_rearm(h);
    } else {
        half_arm(h);
    }
}
