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

#include <vnx/cc.h>

/* No congestion window grows beyond this: RFC 7323's largest window. */
#define VNX_CC_CWND_MAX (1u << 30)

extern const VnxCcOps vnx_cc_reno;
extern const VnxCcOps vnx_cc_reno_hystart;
extern const VnxCcOps vnx_cc_cubic;
extern const VnxCcOps vnx_cc_bic;
extern const VnxCcOps vnx_cc_none;

/* @cwnd + @bytes, at most VNX_CC_CWND_MAX. */
static inline uint32_t vnx_cc_add(uint32_t cwnd, uint32_t bytes)
{
    uint64_t sum = (uint64_t)cwnd + bytes;

    return sum < VNX_CC_CWND_MAX ? sum : VNX_CC_CWND_MAX;
}

#endif /* VNX_CC_PRIVATE_H */
