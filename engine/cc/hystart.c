/*
 * vnx: congestion control - slow start, with HyStart++ (RFC 9406) or without
 *
 * hystart.h tells what it is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"
#include "hystart.h"

/* RFC 9406 4.3, all as recommended there */
#define MIN_RTT_THRESH_NS       INT64_C(4000000)
#define MAX_RTT_THRESH_NS       INT64_C(16000000)
#define MIN_RTT_DIVISOR         8
#define N_RTT_SAMPLE            8u
#define CSS_GROWTH_DIVISOR      4u
#define CSS_ROUNDS              5u

void vnx_slow_start_init(VnxSlowStart *s, VnxCc *cc, bool hystart)
{
    s->hystart = hystart;
    cc->cwnd = vnx_cc_initial_window(cc);
    cc->ssthresh = vnx_cc_initial_ssthresh(cc);
}

static void begin_css(VnxSlowStart *s)
{
    s->css_baseline_ns = s->round_min_ns;
    s->css_rounds = 0;
    s->css_credit = 0;
}

/* All that was in flight as the round began is acknowledged.  True: CSS is through. */
static bool end_round(VnxSlowStart *s)
{
    s->last_min_ns = s->round_min_ns;
    s->round_min_ns = 0;
    s->samples = 0;
    /* the round in which CSS began counts, however little was left of it */
    return s->css_baseline_ns && ++s->css_rounds == CSS_ROUNDS;
}

/* RFC 9406 4.2: rounds, their least RTT, and what follows.  True: slow start is over. */
static bool observe(VnxSlowStart *s, const VnxCcAck *ack)
{
    if (!s->round_left) {               /* the first ACK after the last round's end */
        s->round_left = ack->in_flight;
    }
    if (ack->rtt_ns > 0) {
        s->round_min_ns = s->round_min_ns ? MIN(s->round_min_ns, ack->rtt_ns)
                                          : ack->rtt_ns;
        s->samples = MIN(s->samples + 1u, N_RTT_SAMPLE);
    }
    if (s->samples == N_RTT_SAMPLE) {
        if (s->css_baseline_ns) {
            if (s->round_min_ns < s->css_baseline_ns) {
                s->css_baseline_ns = 0;         /* it was jitter */
            }
        } else if (s->last_min_ns) {
            int64_t thresh = CLAMP(s->last_min_ns / MIN_RTT_DIVISOR, MIN_RTT_THRESH_NS,
                                   MAX_RTT_THRESH_NS);

            if (s->round_min_ns >= s->last_min_ns + thresh) {
                begin_css(s);
            }
        }
    }
    if (s->round_left > ack->acked) {
        s->round_left -= ack->acked;
        return false;
    }
    s->round_left = 0;
    return end_round(s);
}

/* Bytes by which an ACK of @acked lets cwnd grow. */
static uint32_t growth(VnxSlowStart *s, uint32_t acked)
{
    if (vnx_slow_start_css(s)) {
        acked += s->css_credit;
        s->css_credit = acked % CSS_GROWTH_DIVISOR;
        acked /= CSS_GROWTH_DIVISOR;
    }
    return acked;
}

bool vnx_slow_start_on_ack(VnxSlowStart *s, VnxCc *cc, const VnxCcAck *ack)
{
    bool over;

    if (cc->cwnd >= cc->ssthresh) {
        return false;
    }
    over = s->hystart && observe(s, ack);
    if (ack->cwnd_limited) {
        uint32_t step = growth(s, ack->acked);

        cc->cwnd = vnx_cc_add(cc->cwnd, MIN(step, cc->ssthresh - cc->cwnd));
    }
    if (over) {
        s->hystart = false;
        s->css_baseline_ns = 0;
        cc->ssthresh = MAX(cc->cwnd, 2 * cc->mss);
    }
    return true;
}

void vnx_slow_start_on_loss(VnxSlowStart *s)
{
    s->hystart = false;
    s->css_baseline_ns = 0;
}
