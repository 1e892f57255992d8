/*
 * vnx: congestion control - the algorithms there are
 *
 * To add one: a file of its own in this folder, a line here, one in cc.c's list, one
 * in meson.build.  CONTRIBUTING.md tells more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_CC_PRIVATE_H
#define VNX_CC_PRIVATE_H

#include <glib.h>

#include <vnx/cc.h>

/* No congestion window grows beyond this: RFC 7323's largest window. */
#define VNX_CC_CWND_MAX (1u << 30)

extern const VnxCcOps vnx_cc_reno;
extern const VnxCcOps vnx_cc_reno_hystart;
extern const VnxCcOps vnx_cc_cubic;
extern const VnxCcOps vnx_cc_bic;
extern const VnxCcOps vnx_cc_none;
extern const VnxCcOps vnx_cc_dctcp;
extern const VnxCcOps vnx_cc_bbr;

static inline uint32_t vnx_cc_initial_window(const VnxCc *cc)
{
    return MIN((uint64_t)cc->params.initial_window * cc->mss, VNX_CC_CWND_MAX);
}

/* The first ssthresh: "arbitrarily high" (RFC 5681 3.1) unless somebody knows better. */
static inline uint32_t vnx_cc_initial_ssthresh(const VnxCc *cc)
{
    return cc->params.initial_ssthresh ? MAX(cc->params.initial_ssthresh, 2 * cc->mss)
                                       : VNX_CC_UNLIMITED;
}

/* What a loss leaves of a window, in percent, where the algorithm's own is @own. */
static inline uint32_t vnx_cc_decrease_percent(const VnxCc *cc, uint32_t own)
{
    return cc->params.decrease_percent ? cc->params.decrease_percent : own;
}

/* An additive increase of @own bytes, as configured; at least one. */
static inline uint32_t vnx_cc_increase(const VnxCc *cc, uint32_t own)
{
    return MAX((uint64_t)own * cc->params.increase_percent / 100, 1);
}

/* RFC 7661 4.4.3: a window that nobody has used for so long is worth half. */
#define VNX_CC_UNUSED_MAX_NS (300 * INT64_C(1000000000))

/* Returns true if cwnd was lowered. */
static inline bool vnx_cc_unused(VnxCc *cc, int64_t unused_ns)
{
    uint32_t least = vnx_cc_initial_window(cc), before = cc->cwnd;

    for (; unused_ns >= VNX_CC_UNUSED_MAX_NS && cc->cwnd > least;
         unused_ns -= VNX_CC_UNUSED_MAX_NS) {
        cc->ssthresh = MAX(cc->ssthresh, cc->cwnd - cc->cwnd / 4);
        cc->cwnd = MAX(cc->cwnd / 2, least);
    }
    return cc->cwnd != before;
}

/* @cwnd + @bytes, at most VNX_CC_CWND_MAX. */
static inline uint32_t vnx_cc_add(uint32_t cwnd, uint32_t bytes)
{
    uint64_t sum = (uint64_t)cwnd + bytes;

    return sum < VNX_CC_CWND_MAX ? sum : VNX_CC_CWND_MAX;
}

#endif /* VNX_CC_PRIVATE_H */
