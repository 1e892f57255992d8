/*
 * vnx: delivery rate samples - see rate.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "engine/tcp/rate.h"

void vnx_rate_app_limited(VnxTxq *q)
{
    q->app_limited = MAX(q->delivered + vnx_txq_pipe(q), 1);
}

void vnx_rate_sample(VnxTxq *q, const VnxTxAck *a, int64_t min_rtt_ns, VnxCcRate *rate)
{
    const VnxTxStamp *s = &a->newest;
    int64_t sending, acking;

    *rate = (VnxCcRate) { .total = q->delivered };
    if (q->delivered > q->app_limited) {
        q->app_limited = 0;     /* the gap has left the path */
    }
    if (!a->newest_known) {
        return;
    }
    sending = s->sent_ns - s->flight_ns;
    acking = q->delivered_ns - s->delivered_ns;
    rate->delivered = q->delivered - s->delivered;
    rate->prior = s->delivered;
    rate->in_flight = s->in_flight;
    rate->lost = q->lost_ever - s->lost;
    rate->app_limited = s->app_limited;
    rate->interval_ns = MAX(sending, acking);
    if (rate->interval_ns < min_rtt_ns) {
        rate->interval_ns = 0;  /* the answer to an earlier transmission of the same */
    }
}
