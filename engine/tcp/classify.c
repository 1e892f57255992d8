/*
 * vnx: a connection and its policy - which one holds, and until when (P2)
 *
 * Looked up when the connection begins or was loaded, when the list or the common
 * configuration changes, and when a scope ends; what holds in between is in the
 * connection, so that a packet costs one comparison, whatever policies there are.
 *
 * A scope in bytes ends between two segments: the one that brings the payload of both
 * directions, in order and without repetitions, to N bytes is the last one that the policy
 * applies to.  A scope in time begins with the third ACK, and ends by a timer; a VM that
 * stands still does not use it up.  Both counts travel with the connection.
 *
 * The change is that of any configuration: nothing that was acknowledged or promised is
 * taken back (half_change_profile()).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/vtcp-private.h"

/* The policy for a connection that begins; NULL: the instance's own configuration. */
VnxPolicy *vtcp_policy(const VnxVtcp *v, const VnxFlowOpening *opening)
{
    return v->policies ? vnx_policies_lookup(v->policies, opening, 0, 0) : NULL;
}

static uint64_t conn_bytes(const VnxConn *c)
{
    return c->half[0].bytes + c->half[1].bytes;
}

/* Since it was established; 0 before. */
static int64_t conn_established_age(const VnxConn *c)
{
    return c->established_ns == VNX_NEVER ? 0 : c->v->now - c->established_ns;
}

void conn_watch_scope(VnxConn *c)
{
    int64_t duration = c->policy ? vnx_policy_duration_ns(c->policy) : VNX_NEVER;

    c->policy_bytes = c->policy ? vnx_policy_bytes(c->policy) : UINT64_MAX;
    if (duration == VNX_NEVER || c->established_ns == VNX_NEVER) {
        vnx_timer_stop(&c->scope_timer);
    } else {
        vnx_timer_set(&c->v->scopes, &c->scope_timer, c->established_ns + duration);
    }
}

void conn_set_policy(VnxConn *c, VnxPolicy *policy)
{
    VnxPolicy *old = c->policy;

    if (policy != old) {
        if (policy) {
            vnx_policy_hold(policy);
        }
        c->policy = policy;
        if (old) {
            vnx_policy_release(old);
        }
    }
    conn_watch_scope(c);
}

static void conn_set_profile(VnxConn *c, VnxFlowProfile *profile)
{
    VnxFlowProfile *old = c->profile;

    c->profile = vnx_flow_profile_ref(profile);
    vnx_flow_profile_unref(old);
}

void conn_classify(VnxConn *c)
{
    VnxFlowOpening opening = {
        .key = &c->node.key,
        .opener = c->opener,
        .dscp = c->dscp,
    };
    VnxPolicy *policy = NULL;

    if (c->v->policies) {
        policy = vnx_policies_lookup(c->v->policies, &opening, conn_bytes(c),
                                     conn_established_age(c));
    }
    conn_set_policy(c, policy);
    conn_set_profile(c, policy ? vnx_policy_profile(policy) : c->v->profile);
}

void conn_change_profile(VnxConn *c, VnxFlowProfile *own)
{
    uint32_t cap[2] = { half_cap(&c->half[0]), half_cap(&c->half[1]) };

    c->own_profile = own;
    if (own) {
        conn_set_policy(c, NULL);
        conn_set_profile(c, own);
    } else {
        conn_classify(c);
    }
    half_change_profile(&c->half[0], cap[0]);
    half_change_profile(&c->half[1], cap[1]);
}

void conn_check_scope(VnxConn *c)
{
    if (c->policy_bytes != UINT64_MAX && conn_bytes(c) >= c->policy_bytes) {
        conn_change_profile(c, NULL);
    }
}
