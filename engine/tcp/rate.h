/*
 * vnx: delivery rate samples - how fast the path delivers
 *
 * draft-ietf-ccwg-bbr 4.1 (formerly draft-cheng-iccrg-delivery-rate-estimation).  The queue
 * (txq.h) stamps each transmission with what was delivered until then, and when.  Once
 * it is acknowledged, the bytes delivered since, over the time since, are a rate:
 *
 *     rate = bytes / max(time between the ACKs, time between the transmissions)
 *
 * The second time keeps ACKs that were held back and come at once from looking like a fast path.
 *
 * A rate is app-limited if the sender ran out of data while it was measured: it tells what
 * S had, and not what the path can.  Who runs out calls vnx_rate_app_limited(); it
 * holds until all that was under way then, and so the gap behind it, has been delivered.
 *
 * Nothing is kept here but in the queue.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_RATE_H
#define VNX_RATE_H

#include <vnx/cc.h>

#include "engine/tcp/txq.h"

/* There is nothing to send, though it might be. */
void vnx_rate_app_limited(VnxTxq *q);

/*
 * The sample that an ACK brought.
 * @a: as vnx_txq_acked() and vnx_txq_sacked() have left it; @q after them, and after the ACK's
 * losses.
 * @min_rtt_ns: no sample can be of less time than that, 0: not known.
 * @rate: all zero but for the totals if there is none.
 */
void vnx_rate_sample(VnxTxq *q, const VnxTxAck *a, int64_t min_rtt_ns, VnxCcRate *rate);

#endif /* VNX_RATE_H */
