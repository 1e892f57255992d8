/*
 * vnx: the sender toward R - loss recovery and timers
 *
 * NewReno (RFC 6582) on duplicate ACKs, RFC 6298 on silence, a persist timer (RFC
 * 9293 3.8.6.1) on a closed window.  Congestion control is behind <vnx/cc.h>; toward
 * the guest it is "none", which only restricts what follows a timeout.
 *
 * After a timeout the half goes back to una and repeats from there as ACKs let
 * it (RFC 5681 3.1 restart), in segments of one MSS or as many as cwnd has.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/vtcp-private.h"

/* What R's MSS option leaves for payload (RFC 6691: options come off). */
uint32_t half_mss(const VnxHalf *h)
{
    const VnxConn *c = half_conn((VnxHalf *)h);
    uint32_t mss = c->end[h->dir].mss - (c->end[0].ts ? 12 : 0);

    if (h->path_mss) {
        mss = MIN(mss, h->path_mss);
    }
    return h->seg_seen ? MIN(mss, h->seg_seen) : mss;
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

    if (!half_holds(h) || seq_lt(too_big->seq, h->una) || seq_ge(too_big->seq, h->max) ||
        mss >= h->smss) {
        return;
    }
    h->path_mss = mss;
    h->smss = half_mss(h);
    c->v->stats.too_big++;
    h->timing = false;
    vnx_rtt_forget(&h->rtt);
    h->nxt = h->una;            /* again, in smaller pieces; no sign of congestion */
    half_output(h);
}

uint32_t half_cwnd(const VnxHalf *h)
{
    if (h->cc.cwnd == VNX_CC_UNLIMITED) {
        return VNX_CC_UNLIMITED;
    }
    /* smss may have grown since: one segment may always be under way */
    return MAX(h->cc.cwnd, h->smss) + h->inflate;
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

/* Start the timer that this half needs, if it does not run yet; stop a needless one. */
void half_arm(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;
    bool outstanding = seq_gt(h->nxt, h->una);

    if (!half_holds(h) && !half_owes_fin(h)) {
        vnx_timer_stop(&h->timer);
        return;
    }
    if (outstanding == h->persisting || !vnx_timer_running(&h->timer)) {
        if (!outstanding && !h->persisting) {
            h->progress_ns = v->now;
        }
        h->persisting = !outstanding;
        vnx_timer_set(&v->timers, &h->timer, v->now + half_rto(h));
    }
}

/* Restart the timer from now (RFC 6298 5.3). */
static void half_rearm(VnxHalf *h)
{
    vnx_timer_stop(&h->timer);
    half_arm(h);
}

/* Repeat the first segment that R misses. */
static void half_retransmit(VnxHalf *h)
{
    uint32_t len = MIN(seq_ahead(h->rcv_nxt, h->una), h->smss);

    len = MIN(len, seq_ahead(h->max, h->una));
    if (len && seq_ge(h->una, h->r_edge)) {
        half_send_probe(h);             /* R took its window back */
        return;
    }
    half_send_segment(h, h->una, MIN(len, seq_ahead(h->r_edge, h->una)), true);
}

/*
 * R's cumulative ACK has moved to @ack; una is still the old one.
 * @in_flight: before this ACK.
 */
void half_ack_advanced(VnxHalf *h, uint32_t ack, uint32_t in_flight)
{
    VnxVtcp *v = half_conn(h)->v;
    uint32_t n = ack - h->una;
    int64_t sample = 0, rtt_ns = vnx_rtt_acked(&h->rtt, ack, v->now);
    bool was_recovering = h->recovery || h->rto_recovery;

    if (h->timing && seq_ge(ack, h->timed_seq)) {
        sample = v->now - h->timed_ns;
        vnx_rtt_sample(&h->rtt, sample);
        h->timing = false;
    }
    if (h->state == VNX_HALF_ACCELERATING || h->state == VNX_HALF_DRAINING ||
        h->state == VNX_HALF_JOINING) {
        uint32_t held = MIN(seq_ahead(ack, h->buf_seq), h->buf.len);

        vnx_segbuf_consume(&h->buf, &v->pool, held);
        h->buf_seq += held;
    }
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
    if (sample || seq_gt(ack, h->recover)) {
        h->backoff = 0;         /* new data got there: RFC 6298 5.7, RFC 8961 4 (4) */
    }
    h->progress_ns = v->now;
    if (h->state != VNX_HALF_ACCELERATING && h->state != VNX_HALF_DRAINING) {
        return;
    }
    if (h->recovery) {
        if (seq_ge(ack, h->recover)) {          /* full ACK, RFC 6582 3.2 (3) */
            h->recovery = false;
            h->inflate = 0;
            h->dupacks = 0;
        } else {                                /* partial ACK */
            h->inflate -= MIN(h->inflate, n);
            if (n >= h->smss) {
                h->inflate += h->smss;
            }
            half_retransmit(h);
        }
    } else {
        h->dupacks = 0;
        if (h->rto_recovery && seq_ge(ack, h->recover)) {
            h->rto_recovery = false;
        }
        h->cc.mss = h->smss;
        if (!h->marked || h->cc.ops->counts_marks) {
            h->cc.ops->on_ack(&h->cc, &(VnxCcAck) {
                .now_ns = v->now,
                .acked = n,
                .marked = h->marked ? n : 0,
                .in_flight = in_flight,
                .rtt_ns = rtt_ns,
                .srtt_ns = h->rtt.srtt_ns,
                .min_rtt_ns = h->rtt.min_ns,
                .cwnd_limited = h->cwnd_limited,
            });
        }
    }
    if (was_recovering && !h->recovery && !h->rto_recovery && h->cc.ops->on_recovered) {
        h->cc.ops->on_recovered(&h->cc, v->now);
    }
    half_rearm(h);
}

/* R repeated its ACK: something behind una got there before una (RFC 5681 3.2). */
void half_dupack(VnxHalf *h)
{
    VnxVtcp *v = half_conn(h)->v;

    h->dupacks++;
    h->n_dupacks++;
    if (h->recovery) {
        h->inflate += h->smss;
        return;
    }
    if (h->dupacks < half_cfg(h)->dupack_threshold || seq_lt(h->una, h->recover)) {
        return;
    }
    h->cc.mss = h->smss;
    h->cc.ops->on_loss(&h->cc, VNX_CC_LOSS_FAST, seq_ahead(h->max, h->una), v->now);
    ecn_reduced(h);
    h->recovery = true;
    h->recover = h->max;
    h->inflate = h->cc.cwnd == VNX_CC_UNLIMITED ? 0 : h->dupacks * h->smss;
    h->timing = false;
    v->stats.fast_retransmits++;
    h->fast_retransmits++;
    half_retransmit(h);
    half_rearm(h);
}

/* The timer of @h has expired. */
void half_timeout(VnxHalf *h)
{
    VnxConn *c = half_conn(h);
    VnxVtcp *v = c->v;

    if (v->now - h->progress_ns >= v->cfg.retry_limit_ms * VNX_MS_NS) {
        conn_reset(c);
        return;
    }
    if (conn_lane(c, h->dir)->busy ||
        (v->ops->receiver_stalled &&
         v->ops->receiver_stalled(v->opaque, h->dir, c->queue))) {
        /* R has not had the chance to answer (rule 9) */
        h->timing = false;
        half_rearm(h);
        return;
    }
    h->backoff = MIN(h->backoff + 1, 32u);
    if (h->persisting) {
        /* a window too small for a segment (SWS) but not closed: use it */
        uint32_t len = MIN(seq_ahead(h->r_edge, h->nxt), seq_ahead(h->rcv_nxt, h->nxt));

        if (len && half_cwnd(h) >= h->smss) {
            half_send_segment(h, h->nxt, MIN(len, h->smss), false);
        } else if (seq_ge(h->nxt, h->r_edge) || !len) {
            half_send_probe(h);
        }
        half_rearm(h);
        return;
    }
    v->stats.rto_retransmits++;
    h->rto_retransmits++;
    h->cc.mss = h->smss;
    if (h->backoff == 1) {      /* RFC 5681 3.1: ssthresh not again for the same segment */
        h->cc.ops->on_loss(&h->cc, VNX_CC_LOSS_RTO, seq_ahead(h->max, h->una), v->now);
    } else {
        h->cc.cwnd = MIN(h->cc.cwnd, h->smss);
    }
    ecn_reduced(h);
    h->recovery = false;
    h->rto_recovery = true;
    h->recover = h->max;
    h->inflate = h->dupacks = 0;
    h->timing = false;
    h->nxt = h->una;
    vnx_timer_stop(&h->timer);
    half_output(h);
    if (h->nxt == h->una) {
        /* R's window is closed over data that was sent: repeat one segment, it
         * serves as the probe */
        half_retransmit(h);
        vnx_timer_set(&v->timers, &h->timer, v->now + half_rto(h));
    }
}
