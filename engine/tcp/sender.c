/*
 * vnx: the sender toward R - what may leave, in which pieces, and the timers
 *
 * What may leave is what congestion control (<vnx/cc.h>; toward the guest "none") lets
 * be under way, less RFC 6675's pipe.  Which losses there are is recovery.c's to find: it
 * marks them in the transmission queue, and output.c sends what is marked before
 * anything new.
 *
 * Pacing spreads it out, if the algorithm has a rate, the configuration a highest one
 * (max-pacing-rate, payload in bytes per second), or an idle time is over: then a window that was
 * measured long ago leaves within half a round trip, but for the initial window, instead of at
 * once (RFC 7661 4.4.2).  A frame is what the rate carries in a millisecond, so that fast flows
 * keep large ones (vnx_cc_quantum()); and the next one is due when this one's time is over.
 * One frame's time may be made up for, lest late timers lower the rate.
 *
 * Each half has one timer, for the first of four times:
 *   rto       RFC 6298's timeout, or the persist timeout (RFC 9293 3.8.6.1) while R's
 *             closed window is all that holds the sender;
 *   reorder   RACK's: what is missing by then is lost, not late (RFC 8985 6.2);
 *   probe     TLP's: R is silent, one more segment makes it speak (RFC 8985 7);
 *   pace      the next frame may leave.
 * While R cannot look at what it was sent (a guest off the CPU, a busy queue) none of them but the
 * last means anything, and those are put off (rule 9).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/vtcp-private.h"

/* RFC 8985 7.2 leaves a floor to the implementation.  So long a wait costs a fast path little,
 * and timers that expire less often cost less. */
#define PTO_MIN_NS (10 * VNX_MS_NS)
/* WCDelAckT of RFC 8985 7.2: so long may R keep the ACK of a single segment. */
#define DELAYED_ACK_MAX_NS (200 * VNX_MS_NS)
/* A window up to this is used whole; RFC 9293 3.7.1's default MSS */
#define HALVED_WINDOW_MIN 536u

/* What R's MSS option leaves for payload (RFC 6691: options come off). */
uint32_t half_mss(const VnxHalf *h)
{
    const VnxConn *c = half_conn((VnxHalf *)h);
    uint32_t mss = c->end[h->dir].mss - (c->end[0].ts ? 12 : 0);

    if (h->path_mss) {
        mss = MIN(mss, h->path_mss);
    }
    if (h->seg_seen) {
        mss = MIN(mss, h->seg_seen);
    }
    /* Two segments fit every window that R offered, or its delayed ACK would stop the
     * sender for as long (RFC 9293 3.8.6.3: one ACK for two segments) */
    if (h->r_wnd_max > HALVED_WINDOW_MIN) {
        mss = MIN(mss, MAX(h->r_wnd_max / 2, VNX_MSS_MIN));
    }
    return mss;
}

/* R offers @window bytes. */
void half_learn_window(VnxHalf *h, uint32_t window)
{
    if (window > h->r_wnd_max) {
        bool small = h->r_wnd_max / 2 <= h->smss;

        h->r_wnd_max = window;
        if (small) {
            h->smss = half_mss(h);
        }
    }
}

/* The size of S's wire segments, which is what the path to R is known to carry. */
void half_learn_segment_size(VnxHalf *h, const VnxPacket *p)
{
    uint32_t size = p->vnet.gso_size ? p->vnet.gso_size : p->payload_len;

    size = MAX(size, p->ip_version == 4 ? VNX_MSS_DEFAULT_IP4 : VNX_MSS_DEFAULT_IP6);
    if (size > h->seg_seen) {
        h->seg_seen = size;
        h->smss = half_mss(h);
    }
}

/*
 * A router on the way to R reports that a segment is too big (RFC 1191, RFC 8201).  S may well
 * ignore it, as below its own una: what vTCP holds, vTCP has to cut.  Believed only for data under
 * way (RFC 5927 4.1), and not below what every path carries.
 */
void half_too_big(VnxHalf *h, const VnxTooBig *too_big)
{
    VnxConn *c = half_conn(h);
    const VnxHeaders *headers = &c->end[!h->dir].headers;
    uint32_t mtu = MAX(too_big->mtu, headers->ip_version == 4 ? VNX_MTU_MIN_IP4 :
                                                                VNX_MTU_MIN_IP6);
    uint32_t header_len = headers->len - headers->l3_off + 20 + (c->end[0].ts ? 12 : 0);
    uint32_t mss = mtu > header_len + VNX_MSS_MIN ? mtu - header_len : VNX_MSS_MIN;

    if (seq_lt(too_big->seq, h->una) || seq_ge(too_big->seq, h->max) || mss >= h->smss) {
        return;
    }
    h->path_mss = mss;
    h->smss = half_mss(h);
    c->v->stats.too_big++;
    if (!half_holds(h)) {
        return;                 /* S's to repeat, but vTCP's to know for what comes */
    }
    /* again, in smaller pieces; no sign of congestion */
    vnx_txq_lose_range(&h->txq, &c->v->txpool, h->una, h->nxt);
    half_output(h);
}

/* Bytes that may be under way. */
static uint32_t half_cwnd(const VnxHalf *h)
{
    uint32_t extra = h->inflate;

    if (h->cc.cwnd == VNX_CC_UNLIMITED) {
        return VNX_CC_UNLIMITED;
    }
    if (h->cc.ops->own_recovery) {
        extra = 0;
    } else if (!h->recovery && !h->rto_recovery && !half_uses_sack(h)) {
        extra = MIN(h->dupacks, 2u) * h->smss;          /* limited transmit, RFC 3042 */
    }
    /* smss may have grown since: one segment may always be under way */
    return MAX(h->cc.cwnd, h->smss) + extra;
}

/* Bytes that congestion control lets leave now; VNX_CC_UNLIMITED: as many as there are. */
uint32_t half_room(const VnxHalf *h)
{
    uint32_t cwnd = half_cwnd(h), pipe = half_pipe(h), room;

    if (cwnd == VNX_CC_UNLIMITED) {
        return VNX_CC_UNLIMITED;
    }
    if (h->recovery && half_uses_sack(h) && !h->cc.ops->own_recovery) {
        room = h->prr.quota;
    } else {
        room = cwnd > pipe ? cwnd - pipe : 0;
    }
    return pipe ? room : MAX(room, h->smss);
}

/* Bytes per second at which to send; 0: at once. */
static uint64_t half_pacing_rate(const VnxHalf *h)
{
    const VnxCcOps *ops = h->cc.ops;
    uint64_t max = half_cfg(h)->max_pacing_rate, rate = 0;

    if (ops->pacing_rate) {
        rate = ops->pacing_rate(&h->cc, h->rtt.srtt_ns);
    } else if (h->restarting && h->cc.cwnd != VNX_CC_UNLIMITED) {
        rate = (uint64_t)h->cc.cwnd * 2 * VNX_S_NS / MAX(h->rtt.srtt_ns, 1);
    }
    return rate && (!max || rate < max) ? rate : max;
}

/* The time that @bytes take at @rate. */
static int64_t pacing_time(uint64_t bytes, uint64_t rate)
{
    return bytes * VNX_S_NS / rate;
}

/*
 * How many bytes pacing lets leave now, in one frame: whole segments; UINT32_MAX: any number, 0:
 * none, the timer will tell.
 */
uint32_t half_pace(VnxHalf *h)
{
    int64_t now = half_conn(h)->v->now;
    uint64_t rate = half_pacing_rate(h);
    uint32_t quantum, burst;

    if (!rate) {
        return UINT32_MAX;
    }
    burst = quantum = vnx_cc_quantum(rate, h->smss);
    if (h->restarting) {
        burst += h->cc.params.initial_window * h->smss;
    }
    h->pace_next_ns = MAX(h->pace_next_ns, now - pacing_time(burst, rate));
    if (h->pace_next_ns > now) {
        h->pace_wake_ns = h->pace_next_ns;
        if (h->nxt == h->una) {
            h->progress_ns = now;       /* it is not R's turn */
        }
        return 0;
    }
    return quantum - quantum % h->smss;
}

int64_t half_rto(const VnxHalf *h)
{
    const VnxFlowConfig *cfg = half_cfg(h);

    return vnx_rtt_rto(&h->rtt, h->backoff, cfg->min_rto_ms * VNX_MS_NS,
                       cfg->max_rto_ms * VNX_MS_NS);
}

/* S's FIN is vTCP's to deliver, and R has not acknowledged it. */
static bool half_owes_fin(const VnxHalf *h)
{
    return h->state == VNX_HALF_ACCELERATING && h->fin_seen && h->fin_seq == h->rcv_nxt &&
           seq_le(h->una, h->fin_seq);
}

/* Sending begins at @seq: nothing is under way, and nothing is known of losses. */
void half_sender_start(VnxHalf *h, uint32_t seq)
{
    half_sender_stop(h);
    h->recover = seq - 1;
    h->rtt_mark = seq;
    h->backoff = 0;
    h->rack = (VnxRack) { .fack = seq, .mult = 1 };
}

/* Nothing is to be sent, or repeated, any more. */
void half_sender_stop(VnxHalf *h)
{
    vnx_txq_clear(&h->txq, &half_conn(h)->v->txpool);
    vnx_timer_stop(&h->timer);
    h->rto_at_ns = h->reorder_at_ns = h->probe_at_ns = h->pace_wake_ns = VNX_NEVER;
    h->persisting = h->at_once = h->restarting = false;
    h->recovery = h->rto_recovery = false;
    h->inflate = h->dupacks = 0;
    h->frto = VNX_FRTO_NONE;
    h->tail_probe.out = h->undo.valid = false;
}

/* How long to wait for R.  Several probes fit in the retry limit: one may be lost. */
static int64_t half_patience(const VnxHalf *h)
{
    int64_t limit = half_conn((VnxHalf *)h)->v->cfg.retry_limit_ms * VNX_MS_NS;

    return h->persisting ? MIN(half_rto(h), limit / 4) : half_rto(h);
}

/* Let rto_at_ns be as it has to.  False: there is nothing to wait for. */
static bool half_wait(VnxHalf *h)
{
    /* all SACKED, and still not acknowledged: it needs the timeout, too (reneging) */
    bool outstanding = half_pipe(h) || (h->txq.sacked && !h->txq.lost);

    if (!half_holds(h) && !half_owes_fin(h)) {
        h->rto_at_ns = h->reorder_at_ns = h->probe_at_ns = h->pace_wake_ns = VNX_NEVER;
        vnx_timer_stop(&h->timer);
        return false;
    }
    if (outstanding == h->persisting || h->rto_at_ns == VNX_NEVER) {
        int64_t now = half_conn(h)->v->now;

        if (!outstanding && !h->persisting) {
            h->progress_ns = now;
            h->answered = true;
        }
        h->persisting = !outstanding;
        h->rto_at_ns = now + half_patience(h);
    }
    return true;
}

static void half_set_timer(VnxHalf *h)
{
    vnx_timer_set(&half_conn(h)->v->timers, &h->timer,
                  MIN(MIN(h->rto_at_ns, h->reorder_at_ns),
                      MIN(h->probe_at_ns, h->pace_wake_ns)));
}

/*
 * RFC 8985 7.2: R has been heard, or sent something new: when to probe if nothing follows.
 * (Or when the retransmission timer expires, if that is sooner: half_timeout().)
 */
void half_schedule_probe(VnxHalf *h)
{
    uint32_t pipe = half_pipe(h);
    int64_t pto = 2 * h->rtt.srtt_ns;

    if (!half_uses_sack(h) || !pipe || h->txq.sacked || h->recovery || h->rto_recovery ||
        h->tail_probe.out || h->pace_wake_ns != VNX_NEVER) {
        h->probe_at_ns = VNX_NEVER;
        return;
    }
    if (!pto) {
        pto = VNX_RTO_INITIAL_NS;
    } else if (pipe <= h->smss) {
        pto += DELAYED_ACK_MAX_NS;
    }
    /* A guest that is off the CPU for some of its neighbours' slices has lost nothing. */
    pto = MAX(pto, h->dir == VNX_TO_GUEST ? half_cfg(h)->min_rto_ms * VNX_MS_NS / 2
                                          : PTO_MIN_NS);
    h->probe_at_ns = half_conn(h)->v->now + pto;
}

/* Start the timers that this half needs, if they do not run yet; stop needless ones. */
void half_arm(VnxHalf *h)
{
    if (half_wait(h)) {
        half_set_timer(h);
    }
}

/* The same, but from now on (RFC 6298 5.3). */
void half_rearm(VnxHalf *h)
{
    h->rto_at_ns = VNX_NEVER;
    if (half_wait(h)) {
        half_schedule_probe(h);
        half_set_timer(h);
    }
}

/* [@begin, @end) has left: what was sent before, or what is next, or both.  The timers are the
 * caller's to see to. */
void half_sent(VnxHalf *h, uint32_t begin, uint32_t end)
{
    VnxVtcp *v = half_conn(h)->v;
    uint64_t rate = half_pacing_rate(h);
    uint32_t nxt = h->nxt;

    if (rate) {
        h->pace_next_ns += pacing_time(end - begin, rate);
    }
    if (seq_lt(begin, nxt)) {
        uint32_t again = seq_lt(end, nxt) ? end : nxt;

        vnx_txq_resent(&h->txq, &v->txpool, begin, again, v->now);
        h->undo.again += again - begin;
        if (begin == h->una && half_uses_sack(h)) {     /* RFC 6675 6 */
            h->rto_at_ns = VNX_NEVER;
        }
    }
    if (seq_gt(end, nxt)) {
        vnx_txq_sent(&h->txq, &v->txpool, nxt, end, v->now);
        if (nxt == h->una) {
            h->progress_ns = v->now;    /* R's turn begins; not by repeating */
        }
        h->nxt = end;
        h->max = seq_max(h->max, end);
    }
    if (h->recovery) {
        h->prr.out += end - begin;
        h->prr.quota -= MIN(h->prr.quota, end - begin);
    }
}

/*
 * R could not answer so far (rule 9): all times begin anew, and what is under way gives no
 * sample.
 */
static void half_put_off(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;

    h->rtt_mark = h->nxt;
    if (h->reorder_at_ns <= v->now) {
        h->reorder_at_ns = v->now + MAX(h->rtt.srtt_ns, VNX_MS_NS);
    }
    half_rearm(h);
}

/* R's window is closed, or too small to be worth a segment: use what there is, or ask. */
static void half_persist(VnxHalf *h)
{
    uint32_t seq = h->nxt, end, len;

    vnx_txq_next_lost(&h->txq, &seq, &end);
    len = MIN(seq_ahead(h->r_edge, seq), seq_ahead(h->rcv_nxt, seq));
    if (len) {
        half_send_segment(h, seq, MIN(len, h->smss));
    } else {
        half_send_probe(h);
    }
    if (h->answered) {
        h->answered = false;
        h->progress_ns = half_conn(h)->v->now;  /* R's silence may begin now, not before */
    }
    half_rearm(h);
}

/* RFC 8985 7.3: something new if there is, else the last segment again. */
static void half_probe_tail(VnxHalf *h)
{
    bool fin = half_fin_to_send(h);
    uint32_t seq = h->nxt, len = seq_ahead(h->rcv_nxt, seq), window;
    bool again = (!len || seq_ge(seq, h->r_edge)) && !(fin && !len);

    h->probe_at_ns = VNX_NEVER;
    if (again) {
        seq = seq_max(h->nxt - h->smss, h->una);
        fin = h->fin_seen && seq_gt(h->nxt, h->fin_seq);
        len = h->nxt - seq - fin;
    }
    window = seq_ahead(h->r_edge, seq);
    if ((len && !window) || !half_send_segment(h, seq, MIN(MIN(len, h->smss), window))) {
        half_arm(h);            /* R took its window back, or is busy: to the timeout with it */
        return;
    }
    h->tail_probe = (VnxTailProbe) { .out = true, .again = again, .end = h->nxt };
    half_conn(h)->v->stats.tail_loss_probes++;
    half_rearm(h);
}

/* RFC 6298 5.4 to 5.7 */
static void half_retransmission_timeout(VnxHalf *h)
{
    VnxConn *c = half_conn(h);
    VnxVtcp *v = c->v;

    v->stats.rto_retransmits++;
    h->rto_retransmits++;
    half_lose_on_timeout(h);
    h->rto_at_ns = VNX_NEVER;
    half_output(h);
    if (!half_pipe(h)) {
        /* R's window is closed over data that was sent */
        half_send_probe(h);
    }
    half_arm(h);
}

/* The timer of @h has expired. */
void half_timeout(VnxHalf *h)
{
    VnxConn *c = half_conn(h);
    VnxVtcp *v = c->v;
    bool asked = !h->persisting || !h->answered;

    if (asked && v->now - h->progress_ns >= v->cfg.retry_limit_ms * VNX_MS_NS) {
        conn_reset(c);
    } else if (h->pace_wake_ns <= v->now) {
        half_output(h);
    } else if (conn_lane(c, h->dir)->busy ||
               (v->ops->receiver_stalled &&
                v->ops->receiver_stalled(v->opaque, h->dir, c->queue))) {
        half_put_off(h);
    } else if (h->reorder_at_ns <= v->now) {
        half_detect_losses(h, seq_ahead(h->nxt, h->una), 0);
        half_output(h);
    } else if (h->probe_at_ns != VNX_NEVER && !h->persisting) {
        half_probe_tail(h);
    } else if (h->persisting && h->pace_wake_ns != VNX_NEVER) {
        half_rearm(h);          /* it is not R that holds the sender */
    } else {
        h->backoff = MIN(h->backoff + 1, 32u);
        if (h->persisting) {
            half_persist(h);
        } else {
            half_retransmission_timeout(h);
        }
    }
}
