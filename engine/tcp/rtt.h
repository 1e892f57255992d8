/*
 * vnx: round-trip time estimation and retransmission timeout (RFC 6298)
 *
 * Samples come from the sender's own send times; the sender keeps Karn's rule
 * (RFC 6298 section 3) by timing only what it has sent once.
 *
 * The RTO takes one sample in a round trip: with more, its filters would forget
 * too soon (RFC 7323 appendix G).  Congestion control wants many (HyStart++, RFC 9406:
 * eight at least), and has them from VnxSendTimes: when the last few pieces left
 * that are not acknowledged yet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_RTT_H
#define VNX_RTT_H

#include <stdint.h>

#include "engine/tcp/seq.h"

#define VNX_MS_NS INT64_C(1000000)

/* Before the first sample: RFC 6298 (2.1) */
#define VNX_RTO_INITIAL_NS (1000 * VNX_MS_NS)

/* RFC 9406's eight samples, twice: two pieces may share an ACK */
#define VNX_SEND_TIMES 16

/* A ring of pieces [begin, end), ascending, each sent at one time.  What leaves while it
 * is full has no time; in steady state each ACK makes room for what it releases. */
typedef struct VnxSendTimes {
    struct {
        uint32_t begin, end;
        int64_t at_ns;
    } piece[VNX_SEND_TIMES];
    unsigned first, n;
} VnxSendTimes;

typedef struct VnxRtt {
    int64_t srtt_ns;            /* 0: no sample yet */
    int64_t rttvar_ns;
    int64_t min_ns;
    VnxSendTimes sent;
} VnxRtt;

/* [@begin, @end) leaves, for the first time. */
static inline void vnx_rtt_sent(VnxRtt *rtt, uint32_t begin, uint32_t end, int64_t now_ns)
{
    VnxSendTimes *s = &rtt->sent;
    unsigned last = (s->first + s->n + VNX_SEND_TIMES - 1) % VNX_SEND_TIMES;

    if (s->n && s->piece[last].end == begin && s->piece[last].at_ns == now_ns) {
        s->piece[last].end = end;
    } else if (s->n < VNX_SEND_TIMES) {
        last = (last + 1) % VNX_SEND_TIMES;
        s->piece[last].begin = begin;
        s->piece[last].end = end;
        s->piece[last].at_ns = now_ns;
        s->n++;
    }
}

/* Something was repeated, or time stood still: no send time is good any more. */
static inline void vnx_rtt_forget(VnxRtt *rtt)
{
    rtt->sent.n = 0;
}

/* How long ago the last byte before @ack left; 0 if that is not known.  Pieces that
 * are acknowledged go.  At least 1 if it is known. */
static inline int64_t vnx_rtt_acked(VnxRtt *rtt, uint32_t ack, int64_t now_ns)
{
    VnxSendTimes *s = &rtt->sent;
    int64_t rtt_ns = 0;

    while (s->n && !rtt_ns && seq_lt(s->piece[s->first].begin, ack)) {
        uint32_t end = s->piece[s->first].end;

        if (seq_ge(end, ack)) {
            rtt_ns = now_ns - s->piece[s->first].at_ns;
            rtt_ns = rtt_ns > 0 ? rtt_ns : 1;
        }
        if (seq_le(end, ack)) {
            s->first = (s->first + 1) % VNX_SEND_TIMES;
            s->n--;
        }
    }
    return rtt_ns;
}

static inline void vnx_rtt_sample(VnxRtt *rtt, int64_t r_ns)
{
    int64_t err;

    if (r_ns < 1) {
        r_ns = 1;
    }
    if (!rtt->srtt_ns) {        /* (2.2) */
        rtt->srtt_ns = r_ns;
        rtt->rttvar_ns = r_ns / 2;
        rtt->min_ns = r_ns;
        return;
    }
    if (r_ns < rtt->min_ns) {
        rtt->min_ns = r_ns;
    }
    err = rtt->srtt_ns - r_ns;  /* (2.3), alpha 1/8, beta 1/4 */
    if (err < 0) {
        err = -err;
    }
    rtt->rttvar_ns += (err - rtt->rttvar_ns) / 4;
    rtt->srtt_ns += (r_ns - rtt->srtt_ns) / 8;
    if (rtt->srtt_ns < 1) {
        rtt->srtt_ns = 1;
    }
}

/* RTO with @backoff doublings, bounded (2.3, 2.4, 2.5, 5.5). */
static inline int64_t vnx_rtt_rto(const VnxRtt *rtt, unsigned backoff, int64_t min_ns,
                                  int64_t max_ns)
{
    int64_t rto = rtt->srtt_ns ? rtt->srtt_ns + 4 * rtt->rttvar_ns : VNX_RTO_INITIAL_NS;

    if (rto < min_ns) {
        rto = min_ns;
    }
    while (backoff-- && rto < max_ns) {
        rto *= 2;
    }
    return rto < max_ns ? rto : max_ns;
}

#endif /* VNX_RTT_H */
