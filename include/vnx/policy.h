/*
 * vnx: policies - what applies to which flow, and for how long (P1, P2)
 *
 * A list of policies, each of them: what flows it is for (any combination of members; one that is
 * left out matches all), which members of the common configuration it overrides, and
 * its scope: a whole life, the first N bytes, the first N ms, or what ends sooner of both.
 *
 * First match: of the policies that match and whose scope is not over the one of highest
 * priority holds, among equals the one that was added first.  It overrides the
 * list's defaults, alone: policies do not add up.  Scopes only ever end, so a
 * flow falls from one policy to the next, and at last to the defaults.
 *
 * The cost of a lookup depends on the number of shapes among the policies (which members
 * they ask for, and prefix lengths), and on how many differ in nothing but port
 * ranges; not on their number.  Lookups are rare: when a flow begins, when a scope
 * ends, when the list changes.  Packets cost nothing.
 *
 * Changes take all or nothing: when a function says no, the list is as it was.
 * Messages name the policy, the member, its value and what it may be.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_POLICY_H
#define VNX_POLICY_H

#include <vnx/vtcp.h>

#define VNX_POLICIES_MAX 65536u
#define VNX_POLICY_ID_MAX 64u
#define VNX_PRIORITY_MAX 65535u
#define VNX_SCOPE_MS_MAX 31536000000    /* a year */
#define VNX_SCOPE_BYTES_MAX (INT64_C(1) << 62)

/* A member of VnxPolicySpec that is left out. */
#define VNX_POLICY_ANY INT64_MIN

/* The ends of a flow as policies see them: who opened it, and the other one. */
enum { VNX_SOURCE, VNX_DESTINATION };

/* A policy as its owner writes it.  Values of any size: they are checked. */
typedef struct VnxPolicySpec {
    const char *id;             /* 1 to 64 letters, digits, '-', '.', '_' */
    int64_t priority;           /* 0 to 65535; the higher one is asked first */
    /* match; VNX_POLICY_ANY, or NULL: any */
    int64_t vlan, inner_vlan;   /* 0 to 4094: the VLAN id of the outer, the inner tag */
    int64_t vni;                /* virtual network id, 0 (none) to 2^24 - 1 */
    int64_t ip_version;         /* 4 or 6 */
    int64_t protocol;           /* 0 to 255; vTCP has 6, TCP, only */
    int64_t opener;             /* VnxDir: the side that sent the SYN */
    int64_t dscp;               /* 0 to 63, of the opener's SYN */
    const char *prefix[2];      /* "ADDRESS" or "ADDRESS/LENGTH", no bits set behind it */
    int64_t port[2][2];         /* first and last, 0 to 65535; both or neither */
    /* scope; VNX_POLICY_ANY: no such end */
    int64_t scope_bytes;        /* payload of both directions, in order; 1 to 2^62 */
    int64_t scope_ms;           /* since the flow is established; 1 to VNX_SCOPE_MS_MAX */
    VnxFlowOverride override;
} VnxPolicySpec;

typedef struct VnxPolicy VnxPolicy;

/* What a flow may be classified by. */
typedef struct VnxFlowOpening {
    const VnxFlowKey *key;
    VnxDir opener;                  /* the side that sent the SYN */
    uint8_t dscp;                   /* of that SYN */
} VnxFlowOpening;

/* Matches every flow, for its whole life, overrides nothing, priority 0; no id yet. */
void vnx_policy_spec_init(VnxPolicySpec *spec);

/* @defaults: checked; what flows have to which no policy applies, and policies override. */
VnxPolicies *vnx_policies_new(const VnxFlowConfig *defaults);
/* Policies that are held live on. */
void vnx_policies_free(VnxPolicies *list);

/* Refused if a policy's overrides do not fit to them (min-rto above max-rto). */
bool vnx_policies_set_defaults(VnxPolicies *list, const VnxFlowConfig *defaults,
                               GError **err);
bool vnx_policies_add(VnxPolicies *list, const VnxPolicySpec *spec, GError **err);
/* The policy of this id becomes @spec; it keeps its age, its hits and its flows. */
bool vnx_policies_set(VnxPolicies *list, const VnxPolicySpec *spec, GError **err);
bool vnx_policies_del(VnxPolicies *list, const char *id, GError **err);
/* The list becomes @specs, in this order of age; counts begin anew. */
bool vnx_policies_replace(VnxPolicies *list, const VnxPolicySpec *specs, size_t n,
                          GError **err);

size_t vnx_policies_count(const VnxPolicies *list);
/* In the order in which they are asked; borrowed until the list changes. */
const VnxPolicy *vnx_policies_get(const VnxPolicies *list, size_t i);

/*
 * The policy for a flow that has had so many bytes, and is so old since it was
 * established; NULL: the defaults.  Borrowed until the list changes: see vnx_policy_hold().
 */
VnxPolicy *vnx_policies_lookup(VnxPolicies *list, const VnxFlowOpening *opening,
                               uint64_t bytes, int64_t age_ns);

/* As it was given; borrowed. */
const VnxPolicySpec *vnx_policy_spec(const VnxPolicy *p);
/* The list's defaults with the policy's overrides; borrowed. */
VnxFlowProfile *vnx_policy_profile(const VnxPolicy *p);
/* Ends of its scope; UINT64_MAX, INT64_MAX: none. */
uint64_t vnx_policy_bytes(const VnxPolicy *p);
int64_t vnx_policy_duration_ns(const VnxPolicy *p);

/* A flow is under it: counted, and kept while it is so. */
void vnx_policy_hold(VnxPolicy *p);
void vnx_policy_release(VnxPolicy *p);
uint64_t vnx_policy_hits(const VnxPolicy *p);   /* times that it was held */
uint64_t vnx_policy_flows(const VnxPolicy *p);  /* that hold it now */

#endif /* VNX_POLICY_H */
