/*
 * vnx: congestion control "none" - the receiver's window alone limits
 *
 * For the way to the guest (rule 9): between vTCP and a guest on the same host there
 * is no network to congest, only a guest that reads or does not.  Duplicate
 * ACKs do not slow the sender down.  After a timeout it begins with one SMSS and
 * doubles each round trip, so that a guest which lost its ring's content (a
 * reset) is not flooded before it answers; once recovered there is no limit again.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"

static void none_init(VnxCc *cc, int64_t now_ns)
{
    cc->cwnd = VNX_CC_UNLIMITED;
    cc->ssthresh = VNX_CC_UNLIMITED;
}

static void none_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    if (cc->cwnd != VNX_CC_UNLIMITED) {
        cc->cwnd = vnx_cc_add(cc->cwnd, ack->acked);
    }
}

static void none_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    if (kind == VNX_CC_LOSS_RTO) {
        cc->cwnd = cc->mss;
    }
}

static void none_on_recovered(VnxCc *cc, int64_t now_ns)
{
    cc->cwnd = VNX_CC_UNLIMITED;
}

const VnxCcOps vnx_cc_none = {
    .name = "none",
    .init = none_init,
    .on_ack = none_on_ack,
    .on_loss = none_on_loss,
    .on_recovered = none_on_recovered,
};
