/*
 * vnx: congestion control "cubic" - the window as a cubic function of time (RFC 9438)
 *
 * After a loss at window W_max, cwnd falls to beta of it and then follows
 *
 *     W_cubic(t) = C (t - K)^3 + W_max,   K such that W_cubic(0) is where it begins
 *
 * steep at first, flat around W_max (reached at t = K), steep again beyond it:
 * growth that depends on time and hardly on the round-trip time.  Where Reno
 * would be faster (short round trips, small windows) it goes as Reno does.
 *
 *  - slow start: HyStart++ (hystart.h), as RFC 9438 4.10 recommends;
 *  - congestion avoidance: the window aims at W_cubic(t + SRTT), within
 *    cwnd ... 1.5 cwnd, and gets there within a round trip (4.2, 4.4, 4.5);
 *  - Reno-friendly region (4.3): never below W_est, an estimate of what AIMD
 *    with the same beta would have, and with Reno's own slope above cwnd_prior;
 *  - loss: ssthresh = max(beta * FlightSize, 2 SMSS); W_max = cwnd, or less of it
 *    (fast convergence, 4.7) if not even the last W_max was reached again;
 *  - an epoch that no loss began (after a timeout, 4.8, HyStart++, 4.10) has
 *    K = 0 and W_max = cwnd;
 *  - t counts while cwnd limits the sender, only (5.8): a window that nobody uses
 *    is not worth growing.
 *
 * Configuration: the decrease factor takes the place of beta; the additive increase scales
 * the slope of W_est, and leaves the curve as it is.
 *
 * A loss that proves to be none (4.9) puts the curve back where it was.
 *
 * Arithmetic is in integers: bytes, microseconds.  C (t - K)^3 is exact to
 * 1e-5 s^2 * |t - K| * C + 1e-6 segments (4e-5 segments 10 s away from K), and
 * |t - K| ends at 400 s, where the curve is beyond the largest window of RFC 7323 for
 * any MSS of 42 bytes or more.  W_est and cwnd lose less than 1/4096 byte per ACK.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"
#include "hystart.h"

#define NS_PER_US       1000
#define CURVE_MAX_US    INT64_C(400000000)

/* beta = 0.7 (RFC 9438 4.6); C = 0.4 (5) is in cubic_curve() */
#define BETA_PERCENT 70u
/* fractional bits of W_est */
#define EST_SHIFT 12

typedef struct CubicCurve {
    int64_t epoch_ns;           /* t = 0; later by the time that does not count */
    int64_t k_us;
    uint64_t w_est;             /* bytes << EST_SHIFT */
    uint32_t w_max;
    uint32_t cwnd_prior;        /* before the last reduction */
    bool epoch;                 /* epoch_ns, k_us and w_est are valid */
} CubicCurve;

typedef struct CubicState {
    VnxSlowStart slow_start;
    CubicCurve curve;
    CubicCurve before;          /* the last loss, if that was none */
    int64_t loss_ns;
    int64_t last_ack_ns;
    uint64_t credit;            /* growth of less than a byte, times cwnd */
    bool flat;                  /* this epoch begins at its W_max */
    bool rto_unanswered;        /* nothing new acknowledged since the last timeout */
} CubicState;

static CubicState *cubic(VnxCc *cc)
{
    return cc->state;
}

/*
 * C * t^3 in bytes, for t >= 0 in microseconds.  Each product fits 63 bits:
 * t^2 is taken in 1e-5 s^2 (34 bits), t^3 in 1e-11 s^3 (63), C t^3 in 1e-6
 * segments (45).
 */
static uint64_t cubic_curve(int64_t t_us, uint32_t mss)
{
    uint64_t t = MIN(t_us, CURVE_MAX_US);
    uint64_t cube = t * t / 10000000 * t;
    uint64_t microsegments = cube / 250000;     /* 0.4 * 1e-11 / 1e-6 = 1 / 250000 */

    return microsegments * mss / 1000000;
}

/* K (equation 2): the time in which the curve climbs @bytes.  It is the curve's own
 * inverse, found by bisection; once in an epoch. */
static int64_t cubic_k_us(uint32_t bytes, uint32_t mss)
{
    int64_t low = 0, high = CURVE_MAX_US;

    while (low < high) {
        int64_t mid = (low + high) / 2;

        if (cubic_curve(mid, mss) < bytes) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

/* W_cubic(t) (equation 1), in bytes, 0 to VNX_CC_CWND_MAX. */
static uint32_t cubic_window(const CubicCurve *s, int64_t t_us, uint32_t mss)
{
    int64_t dt = t_us - s->k_us;
    uint64_t step = cubic_curve(ABS(dt), mss);

    if (dt < 0) {
        return step < s->w_max ? s->w_max - step : 0;
    }
    return MIN(s->w_max + step, VNX_CC_CWND_MAX);
}

static void cubic_init(VnxCc *cc, int64_t now_ns)
{
    vnx_slow_start_init(&cubic(cc)->slow_start, cc, true);
    cubic(cc)->last_ack_ns = now_ns;
}

/* Congestion avoidance begins. */
static void cubic_epoch(CubicState *s, const VnxCc *cc, int64_t now_ns)
{
    CubicCurve *c = &s->curve;

    c->epoch = true;
    c->epoch_ns = now_ns;
    if (s->flat || c->w_max <= cc->cwnd) {      /* 4.8, 4.10; or grown past it since */
        c->w_max = cc->cwnd;
        c->cwnd_prior = MAX(c->cwnd_prior, cc->cwnd);
    }
    c->k_us = cubic_k_us(c->w_max - cc->cwnd, cc->mss);
    c->w_est = (uint64_t)cc->cwnd << EST_SHIFT;
    s->credit = 0;
}

/* Equation 4: what Reno's increase would have made of the window. */
static void cubic_estimate(CubicCurve *s, const VnxCc *cc, uint32_t acked)
{
    uint64_t per_window = ((uint64_t)acked * cc->mss << EST_SHIFT) / cc->cwnd;

    if (s->w_est < (uint64_t)s->cwnd_prior << EST_SHIFT) {
        uint32_t beta = vnx_cc_decrease_percent(cc, BETA_PERCENT);

        per_window = per_window * 3 * (100 - beta) / (100 + beta);
    }                                           /* else alpha = 1 */
    per_window = per_window * cc->params.increase_percent / 100;
    s->w_est = MIN(s->w_est + per_window, (uint64_t)VNX_CC_CWND_MAX << EST_SHIFT);
}

static void cubic_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    CubicState *s = cubic(cc);
    int64_t since = ack->now_ns - s->last_ack_ns;
    uint32_t acked, target, est, step;
    int64_t t_us;

    s->last_ack_ns = ack->now_ns;
    s->rto_unanswered = false;
    if (vnx_slow_start_on_ack(&s->slow_start, cc, ack)) {
        s->curve.epoch = false;
        return;
    }
    if (!s->curve.epoch) {
        cubic_epoch(s, cc, ack->now_ns);
    }
    if (!ack->cwnd_limited) {
        s->curve.epoch_ns = MIN(s->curve.epoch_ns + since, ack->now_ns);
        return;
    }
    acked = MIN(ack->acked, cc->cwnd);
    cubic_estimate(&s->curve, cc, acked);

    t_us = (ack->now_ns - s->curve.epoch_ns) / NS_PER_US;
    est = s->curve.w_est >> EST_SHIFT;
    if (cubic_window(&s->curve, t_us, cc->mss) < est) { /* 4.3: Reno-friendly region */
        cc->cwnd = MAX(cc->cwnd, est);
        return;
    }
    target = cubic_window(&s->curve, t_us + ack->srtt_ns / NS_PER_US, cc->mss);
    target = CLAMP(target, cc->cwnd, MIN(cc->cwnd + cc->cwnd / 2, VNX_CC_CWND_MAX));
    s->credit += (uint64_t)(target - cc->cwnd) * acked;
    step = s->credit / cc->cwnd;                /* not beyond target, as acked <= cwnd */
    s->credit %= cc->cwnd;
    cc->cwnd += step;
}

static void cubic_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    CubicState *s = cubic(cc);
    bool rto = kind == VNX_CC_LOSS_RTO;

    if (!rto || !s->rto_unanswered) {
        CubicCurve *c = &s->curve;
        uint32_t beta = vnx_cc_decrease_percent(cc, BETA_PERCENT);
        uint64_t reduced = (uint64_t)in_flight * beta / 100;

        s->before = *c;
        s->loss_ns = now_ns;
        c->cwnd_prior = cc->cwnd;
        /* 4.7: release room for others if the window shrinks from loss to loss */
        c->w_max = cc->cwnd < c->w_max ?
                   (uint64_t)cc->cwnd * (100 + beta) / 200 : cc->cwnd;
        cc->ssthresh = MAX(reduced, 2 * cc->mss);
    }
    vnx_slow_start_on_loss(&s->slow_start);
    s->curve.epoch = false;
    s->flat = rto;
    s->rto_unanswered = rto;
    cc->cwnd = rto ? cc->mss : cc->ssthresh;
}

/* 4.9: the loss was none; the curve goes on as if the time since had not been. */
static void cubic_on_undo(VnxCc *cc, int64_t now_ns)
{
    CubicState *s = cubic(cc);
    const CubicCurve *before = &s->before;

    s->curve = *before;
    s->curve.epoch_ns += now_ns - s->loss_ns;
    s->flat = false;
    s->rto_unanswered = false;
}

/* The idle time is not to count (5.8): the next ACK begins an epoch where cwnd is. */
static void cubic_on_idle(VnxCc *cc, int64_t idle_ns, int64_t unused_ns, int64_t now_ns)
{
    CubicState *s = cubic(cc);

    if (vnx_cc_unused(cc, unused_ns)) {
        s->curve.epoch = false;
    } else if (s->curve.epoch) {
        s->curve.epoch_ns = MIN(s->curve.epoch_ns + now_ns - s->last_ack_ns, now_ns);
    }
    s->last_ack_ns = now_ns;
}

const VnxCcOps vnx_cc_cubic = {
    .name = "cubic",
    .state_size = sizeof(CubicState),
    .init = cubic_init,
    .on_ack = cubic_on_ack,
    .on_loss = cubic_on_loss,
    .on_undo = cubic_on_undo,
    .on_idle = cubic_on_idle,
};
