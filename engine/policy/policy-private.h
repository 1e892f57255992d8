/*
 * vnx: policies, private - what spec.c, index.c and policy.c share
 *
 *   address.c prefixes as text
 *   spec.c    a policy as written -> checked, and compiled to a pattern
 *   index.c   which policy matches: the classifier
 *   policy.c  the list and its life
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_POLICY_PRIVATE_H
#define VNX_POLICY_PRIVATE_H

#include <vnx/policy.h>

/*
 * What a flow is known by, or a mask of it.  Compared and hashed as words: no padding.
 */
typedef union VnxTuple {
    struct {
        uint8_t addr[2][16];    /* source, destination; IPv4 in the first four bytes */
        uint32_t vni;
        uint16_t vlan[2];
        uint8_t ip_version;
        uint8_t protocol;
        uint8_t opener;
        uint8_t dscp;
        uint16_t port[2];       /* source, destination */
    };
    uint64_t word[6];
} VnxTuple;

G_STATIC_ASSERT(sizeof(VnxTuple) == 48);

/*
 * Flows match whose tuple under the mask is the value, and whose ports are in range.  A range
 * that a mask can tell (one port, an aligned power of two of them) is in the mask, too.
 */
typedef struct VnxPattern {
    VnxTuple value, mask;
    uint16_t port[2][2];
} VnxPattern;

struct VnxPolicy {
    unsigned refs;              /* the list's, and one per flow */
    VnxPolicySpec spec;         /* strings are the policy's own */
    VnxPattern pattern;
    VnxFlowProfile *profile;
    uint64_t serial;            /* age: the lower, the older */
    uint64_t hits;
    uint64_t flows;
};

/* spec.c: false and @err: something is not as it must be; all but the override. */
bool vnx_policy_compile(const VnxPolicySpec *spec, VnxPattern *pattern, GError **err);

/*
 * address.c: "ADDRESS" or "ADDRESS/LENGTH" to @addr and its mask, IPv4 in the first four
 * bytes.  Returns the IP version; 0: it is neither, and what was written is not defined.
 */
unsigned vnx_policy_parse_prefix(const char *text, uint8_t addr[16], uint8_t mask[16]);

/* index.c */
typedef struct VnxPolicyIndex VnxPolicyIndex;
/* @policies: in order of precedence; borrowed, as are the policies, while it lives. */
VnxPolicyIndex *vnx_policy_index_new(VnxPolicy *const *policies, size_t n);
void vnx_policy_index_free(VnxPolicyIndex *index);
VnxPolicy *vnx_policy_index_find(const VnxPolicyIndex *index, const VnxTuple *flow,
                                 uint64_t bytes, int64_t age_ns);
/* The same without an index. */
VnxPolicy *vnx_policy_scan(VnxPolicy *const *policies, size_t n, const VnxTuple *flow,
                           uint64_t bytes, int64_t age_ns);

#endif /* VNX_POLICY_PRIVATE_H */
