/*
 * vnx: the flow key (T10)
 *
 * Canonical: side VNX_TO_GUEST (0) is the guest, side VNX_TO_NET (1) the remote,
 * whichever way the packet went, so that both directions of a connection have
 * one key.  The struct has no padding and unused bytes are zero: it is compared
 * with memcmp() and hashed as bytes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_FLOW_KEY_H
#define VNX_FLOW_KEY_H

#include <stdint.h>

#define VNX_VLAN_NONE 0xffff

typedef struct VnxFlowKey {
    uint8_t addr[2][16];        /* by side; IPv4 in the first four bytes */
    uint32_t vni;               /* virtual network id; 0 = none */
    uint16_t port[2];           /* by side, host byte order */
    uint16_t vlan[2];           /* outer, inner VLAN id; VNX_VLAN_NONE */
    uint8_t ip_version;         /* 4 or 6 */
    uint8_t proto;              /* IPPROTO_TCP */
    uint16_t zero;
} VnxFlowKey;

_Static_assert(sizeof(VnxFlowKey) == 48, "the flow key has no padding");

#endif /* VNX_FLOW_KEY_H */
