/*
 * vnx: congestion control "reno" - slow start and congestion avoidance (T7)
 *
 * RFC 5681, with appropriate byte counting (RFC 3465) in place of counting ACKs,
 * as vTCP's receivers merge and split ACKs as they like.  The arithmetic
 * of NewReno's recovery (RFC 6582) is the sender's; what is here is how cwnd
 * grows outside of it and how far it falls.
 *
 *  - slow start, cwnd < ssthresh (hystart.c): an ACK adds what it acknowledges;
 *  - congestion avoidance: one SMSS for each whole cwnd acknowledged, that is,
 *    for each round trip (RFC 5681 3.1, RFC 3465 2.1);
 *  - no growth while it is not cwnd that holds the sender (the point of RFC 7661);
 *  - loss: ssthresh = max(FlightSize / 2, 2 SMSS), RFC 5681 equation 4; a timeout
 *    of what had timed out before keeps ssthresh (RFC 5681 3.1);
 *  - idle, or using less than cwnd: cwnd stays for five minutes, then half of it goes (RFC
 *    7661 4.4.3).  A loss meanwhile counts FlightSize, which is what was used;
 *  - configuration: the additive increase scales the SMSS per round trip, the decrease
 *    factor takes the place of 1/2.
 *
 * "reno-hystart" is the same, but the first slow start is HyStart++'s (RFC 9406).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"
#include "reno.h"

void vnx_reno_init(VnxReno *s, VnxCc *cc, bool hystart)
{
    vnx_slow_start_init(&s->slow_start, cc, hystart);
}

void vnx_reno_grow(VnxReno *s, VnxCc *cc, const VnxCcAck *ack)
{
    s->rto_unanswered = false;
    if (vnx_slow_start_on_ack(&s->slow_start, cc, ack)) {
        s->avoidance_bytes = 0;
        return;
    }
    if (!ack->cwnd_limited) {
        return;
    }
    /* RFC 3465 2.1.  No ACK is worth more than one SMSS, not even one of a whole
     * window and more: so what it counts is capped at a window. */
    s->avoidance_bytes += MIN(ack->acked, cc->cwnd);
    if (s->avoidance_bytes >= cc->cwnd) {
        s->avoidance_bytes -= cc->cwnd;
        cc->cwnd = vnx_cc_add(cc->cwnd, vnx_cc_increase(cc, cc->mss));
    }
}

void vnx_reno_reduce(VnxReno *s, VnxCc *cc, VnxCcLoss kind, uint64_t left)
{
    bool rto = kind == VNX_CC_LOSS_RTO;

    if (!rto || !s->rto_unanswered) {
        cc->ssthresh = MAX(left, 2 * cc->mss);
    }
    vnx_slow_start_on_loss(&s->slow_start);
    s->avoidance_bytes = 0;
    s->rto_unanswered = rto;
    /* The loss window is one SMSS (RFC 5681 3.1); ECN is answered as a fast
     * retransmit is (RFC 3168 6.1.2). */
    cc->cwnd = rto ? cc->mss : cc->ssthresh;
}

void vnx_reno_idle(VnxReno *s, VnxCc *cc, int64_t unused_ns)
{
    if (vnx_cc_unused(cc, unused_ns)) {
        s->avoidance_bytes = 0;
    }
}

static void reno_init(VnxCc *cc, int64_t now_ns)
{
    vnx_reno_init(cc->state, cc, false);
}

static void reno_hystart_init(VnxCc *cc, int64_t now_ns)
{
    vnx_reno_init(cc->state, cc, true);
}

static void reno_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    vnx_reno_grow(cc->state, cc, ack);
}

static void reno_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    vnx_reno_reduce(cc->state, cc, kind,
                    (uint64_t)in_flight * vnx_cc_decrease_percent(cc, 50) / 100);
}

static void reno_on_idle(VnxCc *cc, int64_t idle_ns, int64_t unused_ns, int64_t now_ns)
{
    vnx_reno_idle(cc->state, cc, unused_ns);
}

const VnxCcOps vnx_cc_reno = {
    .name = "reno",
    .state_size = sizeof(VnxReno),
    .init = reno_init,
    .on_ack = reno_on_ack,
    .on_loss = reno_on_loss,
    .on_idle = reno_on_idle,
};

const VnxCcOps vnx_cc_reno_hystart = {
    .name = "reno-hystart",
    .state_size = sizeof(VnxReno),
    .init = reno_hystart_init,
    .on_ack = reno_on_ack,
    .on_loss = reno_on_loss,
    .on_idle = reno_on_idle,
};
