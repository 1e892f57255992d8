/*
 * vnx: congestion control - what Reno does, for those who do it with a difference
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_RENO_H
#define VNX_RENO_H

#include "hystart.h"

typedef struct VnxReno {
    VnxSlowStart slow_start;
    uint32_t avoidance_bytes;       /* acknowledged since cwnd last grew by an SMSS */
    bool rto_unanswered;            /* nothing new acknowledged since the last timeout */
} VnxReno;

/* A new connection: sets cwnd and ssthresh.  @s is zeroed. */
void vnx_reno_init(VnxReno *s, VnxCc *cc, bool hystart);
/* An ACK outside of recovery: slow start, or an SMSS for each cwnd. */
void vnx_reno_grow(VnxReno *s, VnxCc *cc, const VnxCcAck *ack);
/* A loss that leaves @left bytes of the window (RFC 5681 equation 4 and 3.1). */
void vnx_reno_reduce(VnxReno *s, VnxCc *cc, VnxCcLoss kind, uint64_t left);
/* Sending goes on (RFC 7661). */
void vnx_reno_idle(VnxReno *s, VnxCc *cc, int64_t unused_ns);

#endif /* VNX_RENO_H */
