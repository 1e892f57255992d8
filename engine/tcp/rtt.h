/*
 * vnx: round-trip time estimation and retransmission timeout (RFC 6298)
 *
 * Samples come from the sender's own send times (txq.h), which keep Karn's rule (RFC
 * 6298 section 3): only what was sent once has one.
 *
 * The RTO takes one sample in a round trip: with more, its filters would forget
 * too soon (RFC 7323 appendix G).  The least of all, and congestion control (HyStart++, RFC
 * 9406, wants eight in a round trip), take every one.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_RTT_H
#define VNX_RTT_H

#include <stdint.h>

#define VNX_MS_NS INT64_C(1000000)
#define VNX_S_NS INT64_C(1000000000)

/* Before the first sample: RFC 6298 (2.1) */
#define VNX_RTO_INITIAL_NS (1000 * VNX_MS_NS)

typedef struct VnxRtt {
    int64_t srtt_ns;            /* 0: no sample yet */
    int64_t rttvar_ns;
    int64_t min_ns;
} VnxRtt;

/* @r_ns is a round trip: the least of all? */
static inline void vnx_rtt_least(VnxRtt *rtt, int64_t r_ns)
{
    if (!rtt->min_ns || r_ns < rtt->min_ns) {
        rtt->min_ns = r_ns > 0 ? r_ns : 1;
    }
}

/* The round trip's one sample for the RTO. */
static inline void vnx_rtt_sample(VnxRtt *rtt, int64_t r_ns)
{
    int64_t err;

    if (r_ns < 1) {
        r_ns = 1;
    }
    if (!rtt->srtt_ns) {        /* (2.2) */
        rtt->srtt_ns = r_ns;
        rtt->rttvar_ns = r_ns / 2;
        return;
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
