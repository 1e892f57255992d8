/*
 * vnx: congestion control "reno" - slow start and congestion avoidance (T7)
 *
 * RFC 5681, with appropriate byte counting (RFC 3465) in place of counting ACKs,
 * as vTCP's receivers merge and split ACKs as they like.  The arithmetic
 * of NewReno's recovery (RFC 6582) is the sender's; what is here is how cwnd
 * grows outside of it and how far it falls.
 *
 *  - slow start, cwnd < ssthresh (hystart.c): an ACK adds what it acknowledges,
 *    at most L = 2 SMSS of it (RFC 3465 2.2), and L = 1 SMSS in the slow start that
 *    follows a timeout (RFC 3465 2.3);
 *  - congestion avoidance: one SMSS for each whole cwnd acknowledged, that is,
 *    for each round trip (RFC 5681 3.1, RFC 3465 2.1);
 *  - no growth while it is not cwnd that holds the sender (the point of RFC 7661);
 *  - loss: ssthresh = max(FlightSize / 2, 2 SMSS), RFC 5681 equation 4; a timeout
 *    of what had timed out before keeps ssthresh (RFC 5681 3.1);
 *  - idle for longer than an RTO: no more than the initial window (RFC 5681 4.1);
 *  - configuration: the additive increase scales the SMSS per round trip, the decrease
 *    factor takes the place of 1/2.
 *
 * "reno-hystart" is the same, but the first slow start is HyStart++'s (RFC 9406).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"
#include "hystart.h"

typedef struct RenoState {
    VnxSlowStart slow_start;
    uint32_t avoidance_bytes;       /* acknowledged since cwnd last grew by an SMSS */
    bool rto_unanswered;            /* nothing new acknowledged since the last timeout */
} RenoState;

static RenoState *reno(VnxCc *cc)
{
    return (RenoState *)cc->state;
}

static void reno_init(VnxCc *cc, int64_t now_ns)
{
    vnx_slow_start_init(&reno(cc)->slow_start, cc, false);
}

static void reno_hystart_init(VnxCc *cc, int64_t now_ns)
{
    vnx_slow_start_init(&reno(cc)->slow_start, cc, true);
}

static void reno_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    RenoState *s = reno(cc);

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

static void reno_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    RenoState *s = reno(cc);
    bool again = kind == VNX_CC_LOSS_RTO && s->rto_unanswered;

    if (!again) {
        uint64_t left = (uint64_t)in_flight * vnx_cc_decrease_percent(cc, 50) / 100;

        cc->ssthresh = MAX(left, 2 * cc->mss);
    }
    vnx_slow_start_on_loss(&s->slow_start, kind);
    s->avoidance_bytes = 0;
    s->rto_unanswered = kind == VNX_CC_LOSS_RTO;
    /* The loss window is one SMSS (RFC 5681 3.1); ECN is answered as a fast
     * retransmit is (RFC 3168 6.1.2). */
    cc->cwnd = kind == VNX_CC_LOSS_RTO ? cc->mss : cc->ssthresh;
}

static void reno_on_idle(VnxCc *cc, int64_t idle_ns, int64_t rto_ns)
{
    if (idle_ns > rto_ns) {
        cc->cwnd = MIN(cc->cwnd, vnx_cc_initial_window(cc));
    }
}

G_STATIC_ASSERT(sizeof(RenoState) <= VNX_CC_STATE_MAX);

const VnxCcOps vnx_cc_reno = {
    .name = "reno",
    .state_size = sizeof(RenoState),
    .init = reno_init,
    .on_ack = reno_on_ack,
    .on_loss = reno_on_loss,
    .on_idle = reno_on_idle,
};

const VnxCcOps vnx_cc_reno_hystart = {
    .name = "reno-hystart",
    .state_size = sizeof(RenoState),
    .init = reno_hystart_init,
    .on_ack = reno_on_ack,
    .on_loss = reno_on_loss,
    .on_idle = reno_on_idle,
};
