/*
 * vnx: congestion control "bic" - binary search for the right window
 *
 * Xu, Harfoush, Rhee: Binary Increase Congestion Control for Fast, Long Distance
 * Networks, INFOCOM 2004.  A loss tells that its window was too large, and the reduced
 * one is taken to be right; the window in between is searched for in halves, one step
 * in each round trip without loss.
 *
 *       loss at W        round trips after it
 *     |--------------|-----------------------|------------------------------|--->
 *     cwnd = 7/8 W   + S_max each            halves of what is left, to W   1, 2, 4 ...
 *                    additive increase       binary search                  max probing
 *
 *  - binary search: half the way to max_win, but not less than S_min and not more than
 *    S_max (additive increase) in a round trip;
 *  - max probing: there is no known maximum, so 1, 2, 4 ... S_max segments, as cautious
 *    near the old maximum as the search was;
 *  - loss: max_win = W, cwnd = (1 - beta) W; fast convergence: if W is below the last
 *    max_win, the middle between both, W (1 - beta / 2), is the new one;
 *  - low window, below 14 segments: Reno's 1 segment, and Reno's half on loss;
 *  - slow start: HyStart++ (hystart.h; the paper is older).
 *
 * W is cwnd, or FlightSize where that is less (RFC 5681 equation 4): a window nobody used
 * has not been tested.  The paper says nothing of timeouts: here they cut ssthresh
 * and max_win like any loss, and restart from one SMSS.
 *
 * Configuration: the additive increase scales S_max, max probing and Reno's segment; the
 * decrease factor takes the place of 1 - beta, and of Reno's half.
 *
 * A step is spread evenly over the window's worth of bytes that a round trip
 * acknowledges, exactly: after it cwnd is begin + step.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"
#include "hystart.h"

/* The paper's parameters, of its section V */
#define LOW_WINDOW_SEGMENTS 14u
#define S_MAX_SEGMENTS      32u
#define S_MIN_DEN           100u        /* S_min = 1/100 segment */
#define BETA_DEN            8u          /* beta = 1/8 */

typedef struct BicState {
    VnxSlowStart slow_start;
    uint32_t max_win;           /* where the last loss was; 0: none to search for */
    uint32_t last_max;          /* as the last loss set max_win; kept when it is passed */
    uint32_t probe;             /* segments of the next step of max probing */
    uint32_t begin;             /* cwnd as this round trip began, 0: none has */
    uint32_t step;              /* by which it grows in this round trip */
    uint32_t acked;             /* of begin */
    bool rto_unanswered;        /* nothing new acknowledged since the last timeout */
} BicState;

static BicState *bic(VnxCc *cc)
{
    return cc->state;
}

static void bic_init(VnxCc *cc, int64_t now_ns)
{
    vnx_slow_start_init(&bic(cc)->slow_start, cc, true);
    bic(cc)->probe = 1;
}

/* By how much cwnd is to grow in the round trip that begins. */
static uint32_t bic_step(BicState *s, const VnxCc *cc)
{
    uint32_t s_max = vnx_cc_increase(cc, S_MAX_SEGMENTS * cc->mss);
    uint32_t s_min = MAX(cc->mss / S_MIN_DEN, 1u);
    uint32_t step;

    if (cc->cwnd < LOW_WINDOW_SEGMENTS * cc->mss) {
        return vnx_cc_increase(cc, cc->mss);
    }
    if (cc->cwnd < s->max_win) {
        return CLAMP((s->max_win - cc->cwnd) / 2, s_min, MAX(s_min, s_max));
    }
    s->max_win = 0;
    step = vnx_cc_increase(cc, s->probe * cc->mss);
    s->probe = MIN(2 * s->probe, S_MAX_SEGMENTS);
    return step;
}

/* A round trip begins, of whose bytes @acked are acknowledged already. */
static void bic_round(BicState *s, const VnxCc *cc, uint32_t acked)
{
    s->begin = cc->cwnd;
    s->step = bic_step(s, cc);
    s->acked = acked;
}

static void bic_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    BicState *s = bic(cc);

    s->rto_unanswered = false;
    if (vnx_slow_start_on_ack(&s->slow_start, cc, ack)) {
        s->begin = 0;
        return;
    }
    if (!ack->cwnd_limited) {
        return;
    }
    if (!s->begin) {
        bic_round(s, cc, 0);
    }
    s->acked += MIN(ack->acked, cc->cwnd);      /* no ACK is worth two round trips */
    if (s->acked < s->begin) {
        cc->cwnd = vnx_cc_add(s->begin, (uint64_t)s->step * s->acked / s->begin);
    } else {
        cc->cwnd = vnx_cc_add(s->begin, s->step);
        bic_round(s, cc, s->acked - s->begin);
    }
}

static void bic_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    BicState *s = bic(cc);
    bool rto = kind == VNX_CC_LOSS_RTO;

    if (!rto || !s->rto_unanswered) {
        uint32_t w = MIN(cc->cwnd, in_flight), reduced;

        if (w < LOW_WINDOW_SEGMENTS * cc->mss) {
            reduced = (uint64_t)w * vnx_cc_decrease_percent(cc, 50) / 100;
            s->max_win = 0;
        } else {
            reduced = cc->params.decrease_percent ?
                      (uint64_t)w * cc->params.decrease_percent / 100 : w - w / BETA_DEN;
            s->max_win = w < s->last_max ? reduced + (w - reduced) / 2 : w;
        }
        s->last_max = s->max_win;
        cc->ssthresh = MAX(reduced, 2 * cc->mss);
    }
    vnx_slow_start_on_loss(&s->slow_start);
    s->probe = 1;
    s->begin = 0;
    s->rto_unanswered = rto;
    cc->cwnd = rto ? cc->mss : cc->ssthresh;
}

static void bic_on_idle(VnxCc *cc, int64_t idle_ns, int64_t unused_ns, int64_t now_ns)
{
    if (vnx_cc_unused(cc, unused_ns)) {
        bic(cc)->begin = 0;
    }
}

const VnxCcOps vnx_cc_bic = {
    .name = "bic",
    .state_size = sizeof(BicState),
    .init = bic_init,
    .on_ack = bic_on_ack,
    .on_loss = bic_on_loss,
    .on_idle = bic_on_idle,
};
