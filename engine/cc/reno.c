/*
 * vnx: congestion control "reno" - slow start and congestion avoidance (T7)
 *
 * RFC 5681, with appropriate byte counting (RFC 3465) in place of counting ACKs,
 * as vTCP's receivers merge and split ACKs as they like.  The arithmetic
 * of NewReno's recovery (RFC 6582) is the sender's; what is here is how cwnd
 * grows outside of it and how far it falls.
 *
 *  - slow start, cwnd < ssthresh: an ACK adds what it acknowledges, at most
 *    L = 2 SMSS of it (RFC 3465 2.2), and L = 1 SMSS in the slow start that
 *    follows a timeout (RFC 3465 2.3);
 *  - congestion avoidance: one SMSS for each whole cwnd acknowledged, that is,
 *    for each round trip (RFC 5681 3.1, RFC 3465 2.1);
 *  - no growth while it is not cwnd that holds the sender (the point of RFC 7661);
 *  - loss: ssthresh = max(FlightSize / 2, 2 SMSS), RFC 5681 equation 4; a timeout
 *    of what had timed out before keeps ssthresh (RFC 5681 3.1);
 *  - idle for longer than an RTO: no more than the initial window (RFC 5681 4.1).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"

#define ABC_LIMIT_SEGMENTS           2u     /* RFC 3465 2.2 */
#define ABC_LIMIT_AFTER_RTO_SEGMENTS 1u     /* RFC 3465 2.3 */

typedef struct RenoState {
    uint32_t avoidance_bytes;       /* acknowledged since cwnd last grew by an SMSS */
    bool after_rto;                 /* this slow start follows a timeout */
    bool rto_unanswered;            /* nothing new acknowledged since the last timeout */
} RenoState;

static RenoState *reno(VnxCc *cc)
{
    return (RenoState *)cc->state;
}

static void reno_init(VnxCc *cc, int64_t now_ns)
{
    cc->cwnd = cc->initial_window;
    cc->ssthresh = VNX_CC_UNLIMITED;    /* "arbitrarily high", RFC 5681 3.1 */
}

static void reno_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    RenoState *s = reno(cc);
    uint32_t acked = ack->acked;

    s->rto_unanswered = false;
    if (!ack->cwnd_limited) {
        return;
    }
    if (cc->cwnd < cc->ssthresh) {
        uint32_t limit = (s->after_rto ? ABC_LIMIT_AFTER_RTO_SEGMENTS
                                       : ABC_LIMIT_SEGMENTS) * cc->mss;
        uint32_t step = MIN(MIN(acked, limit), cc->ssthresh - cc->cwnd);

        cc->cwnd = vnx_cc_add(cc->cwnd, step);
        s->avoidance_bytes = 0;
        return;
    }
    s->after_rto = false;
    /* RFC 3465 2.1.  No ACK is worth more than one SMSS, not even one of a whole
     * window and more: so what it counts is capped at a window. */
    s->avoidance_bytes += MIN(acked, cc->cwnd);
    if (s->avoidance_bytes >= cc->cwnd) {
        s->avoidance_bytes -= cc->cwnd;
        cc->cwnd = vnx_cc_add(cc->cwnd, cc->mss);
    }
}

static void reno_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    RenoState *s = reno(cc);
    bool again = kind == VNX_CC_LOSS_RTO && s->rto_unanswered;

    if (!again) {
        cc->ssthresh = MAX(in_flight / 2, 2 * cc->mss);
    }
    s->avoidance_bytes = 0;
    s->after_rto = kind == VNX_CC_LOSS_RTO;
    s->rto_unanswered = kind == VNX_CC_LOSS_RTO;
    /* The loss window is one SMSS (RFC 5681 3.1); ECN is answered as a fast
     * retransmit is (RFC 3168 6.1.2). */
    cc->cwnd = kind == VNX_CC_LOSS_RTO ? cc->mss : cc->ssthresh;
}

static void reno_on_idle(VnxCc *cc, int64_t idle_ns, int64_t rto_ns)
{
    if (idle_ns > rto_ns) {
        cc->cwnd = MIN(cc->cwnd, cc->initial_window);
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
