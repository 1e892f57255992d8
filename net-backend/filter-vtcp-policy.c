/*
 * vnx: filter-vtcp - policies in QOM and QMP (P1, P2, U1, U5)
 *
 * The list is the engine's (vnx/policy.h), and so are all checks; here the schema's
 * structures become specifications, and the other way round.  Members that the schema has
 * and the engine has not, or the other way round, end QEMU at its start.
 *
 * Before the object is complete its other properties may not be what they will be, so
 * the property's value is only kept; it becomes the list when all is known.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "filter-vtcp.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-vnx.h"
#include "qapi/qapi-visit-vnx-object.h"

/* X(name, member of the schema's struct, member of VnxFlowConfig) */
#define POLICY_NUMBERS(X) \
    X("mode", mode, mode) \
    X("out-of-order", out_of_order, out_of_order) \
    X("flow-buffer-size", flow_buffer_size, flow_buffer_size) \
    X("weight", weight, weight) \
    X("max-window", max_window, max_window) \
    X("dupack-threshold", dupack_threshold, dupack_threshold) \
    X("initial-window", initial_window, initial_window) \
    X("slow-start-threshold", slow_start_threshold, slow_start_threshold) \
    X("additive-increase", additive_increase, additive_increase) \
    X("decrease-factor", decrease_factor, decrease_factor) \
    X("min-rto", min_rto, min_rto_ms) \
    X("max-rto", max_rto, max_rto_ms) \
    X("max-pacing-rate", max_pacing_rate, max_pacing_rate) \
    X("ecn", ecn, ecn)

#define POLICY_NAMES(X) \
    X("congestion-control", congestion_control) \
    X("guest-congestion-control", guest_congestion_control)

QEMU_BUILD_BUG_ON((int)VNX_VTCP_SIDE_GUEST != (int)VNX_TO_GUEST);
QEMU_BUILD_BUG_ON((int)VNX_VTCP_SIDE_REMOTE != (int)VNX_TO_NET);

/* ---- from the schema's structures ---- */

/* A number of any integral type; those beyond what any member may be are all the same. */
static int64_t clamped(bool negative, uint64_t value)
{
    return negative ? (int64_t)value : MIN(value, INT64_MAX);
}

#define NUMBER(x) clamped((x) < (__typeof__(x))1 && (x) != 0, (x))
/* What is given is not left out, whatever it is. */
#define GIVEN(x) MAX((x), VNX_POLICY_ANY + 1)

static bool to_override(const VnxVtcpPolicyConfig *c, VnxFlowOverride *o, GError **err)
{
#define X(name, q, e) \
    if (c->has_##q && !vnx_flow_override_number(o, name, NUMBER(c->q), err)) { \
        return false; \
    }
    POLICY_NUMBERS(X)
#undef X
#define X(name, q) \
    if (c->q && !vnx_flow_override_name(o, name, c->q, err)) { \
        return false; \
    }
    POLICY_NAMES(X)
#undef X
    return true;
}

static void to_ports(const VnxVtcpPortRange *range, int64_t port[2])
{
    if (range) {
        port[0] = GIVEN(range->from);
        port[1] = range->has_to ? GIVEN(range->to) : port[0];
    }
}

static void to_match(const VnxVtcpPolicyMatch *m, VnxPolicySpec *spec)
{
#define X(q) \
    if (m->has_##q) { \
        spec->q = GIVEN((int64_t)m->q); \
    }
    X(vlan) X(inner_vlan) X(vni) X(ip_version) X(protocol) X(opener) X(dscp)
#undef X
    spec->prefix[VNX_SOURCE] = m->source;
    spec->prefix[VNX_DESTINATION] = m->destination;
    to_ports(m->source_ports, spec->port[VNX_SOURCE]);
    to_ports(m->destination_ports, spec->port[VNX_DESTINATION]);
}

/* @spec borrows @p's strings. */
static bool to_spec(const VnxVtcpPolicy *p, VnxPolicySpec *spec, GError **err)
{
    vnx_policy_spec_init(spec);
    spec->id = p->id;
    spec->priority = p->has_priority ? p->priority : 0;
    if (p->match) {
        to_match(p->match, spec);
    }
    if (p->scope && p->scope->has_bytes) {
        spec->scope_bytes = NUMBER(p->scope->bytes);
    }
    if (p->scope && p->scope->has_ms) {
        spec->scope_ms = GIVEN(p->scope->ms);
    }
    if (p->config && !to_override(p->config, &spec->override, err)) {
        g_prefix_error(err, "policy '%.100s': ", p->id);
        return false;
    }
    return true;
}

static bool replace(VnxPolicies *list, const VnxVtcpPolicyList *policies, GError **err)
{
    g_autoptr(GArray) specs = g_array_new(false, false, sizeof(VnxPolicySpec));

    for (; policies; policies = policies->next) {
        VnxPolicySpec spec;

        if (!to_spec(policies->value, &spec, err)) {
            return false;
        }
        g_array_append_val(specs, spec);
    }
    return vnx_policies_replace(list, (VnxPolicySpec *)specs->data, specs->len, err);
}

/* ---- to them ---- */

static VnxVtcpPolicyConfig *from_override(const VnxFlowOverride *o)
{
    VnxVtcpPolicyConfig *c;

    if (!o->set) {
        return NULL;
    }
    c = g_new0(VnxVtcpPolicyConfig, 1);
#define X(name, q, e) \
    if (vnx_flow_override_has(o, name)) { \
        c->has_##q = true; \
        c->q = o->config.e; \
    }
    POLICY_NUMBERS(X)
#undef X
#define X(name, q) \
    if (vnx_flow_override_has(o, name)) { \
        c->q = g_strdup(o->config.q); \
    }
    POLICY_NAMES(X)
#undef X
    return c;
}

static VnxVtcpPortRange *from_ports(const int64_t port[2])
{
    VnxVtcpPortRange *range;

    if (port[0] == VNX_POLICY_ANY) {
        return NULL;
    }
    range = g_new0(VnxVtcpPortRange, 1);
    range->from = port[0];
    range->has_to = true;
    range->to = port[1];
    return range;
}

static VnxVtcpPolicyMatch *from_match(const VnxPolicySpec *spec)
{
    VnxVtcpPolicyMatch *m = g_new0(VnxVtcpPolicyMatch, 1);
    bool any = false;

#define X(q) \
    if (spec->q != VNX_POLICY_ANY) { \
        any = m->has_##q = true; \
        m->q = spec->q; \
    }
    X(vlan) X(inner_vlan) X(vni) X(ip_version) X(protocol) X(opener) X(dscp)
#undef X
    m->source = g_strdup(spec->prefix[VNX_SOURCE]);
    m->destination = g_strdup(spec->prefix[VNX_DESTINATION]);
    m->source_ports = from_ports(spec->port[VNX_SOURCE]);
    m->destination_ports = from_ports(spec->port[VNX_DESTINATION]);
    if (!any && !m->source && !m->destination && !m->source_ports &&
        !m->destination_ports) {
        g_clear_pointer(&m, qapi_free_VnxVtcpPolicyMatch);
    }
    return m;
}

static VnxVtcpPolicy *from_spec(const VnxPolicySpec *spec)
{
    VnxVtcpPolicy *p = g_new0(VnxVtcpPolicy, 1);

    p->id = g_strdup(spec->id);
    p->has_priority = true;
    p->priority = spec->priority;
    p->match = from_match(spec);
    p->config = from_override(&spec->override);
    if (spec->scope_bytes != VNX_POLICY_ANY || spec->scope_ms != VNX_POLICY_ANY) {
        p->scope = g_new0(VnxVtcpPolicyScope, 1);
        p->scope->has_bytes = spec->scope_bytes != VNX_POLICY_ANY;
        p->scope->bytes = p->scope->has_bytes ? spec->scope_bytes : 0;
        p->scope->has_ms = spec->scope_ms != VNX_POLICY_ANY;
        p->scope->ms = p->scope->has_ms ? spec->scope_ms : 0;
    }
    return p;
}

/* ---- the property ---- */

static void get_policies(Object *obj, Visitor *v, const char *name, void *opaque,
                         Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpPolicyList *list = NULL, **tail = &list;

    if (!s->policies) {
        visit_type_VnxVtcpPolicyList(v, name, &s->wanted, errp);
        return;
    }
    for (size_t i = 0; i < vnx_policies_count(s->policies); i++) {
        const VnxPolicy *p = vnx_policies_get(s->policies, i);

        QAPI_LIST_APPEND(tail, from_spec(vnx_policy_spec(p)));
    }
    visit_type_VnxVtcpPolicyList(v, name, &list, errp);
    qapi_free_VnxVtcpPolicyList(list);
}

/* What came of a change to the list, in QEMU's terms; the engine is told. */
static void done(FilterVtcp *s, bool changed, GError **err, Error **errp)
{
    if (changed) {
        vtcp_policies_changed(s);
    } else {
        error_setg(errp, "filter-vtcp: %s", (*err)->message);
        g_clear_error(err);
    }
}

static void set_policies(Object *obj, Visitor *v, const char *name, void *opaque,
                         Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpPolicyList *list;
    GError *err = NULL;

    if (!visit_type_VnxVtcpPolicyList(v, name, &list, errp)) {
        return;
    }
    if (!s->policies) {
        qapi_free_VnxVtcpPolicyList(s->wanted);
        s->wanted = list;
        return;
    }
    done(s, replace(s->policies, list, &err), &err, errp);
    qapi_free_VnxVtcpPolicyList(list);
}

bool vtcp_policies_start(FilterVtcp *s, Error **errp)
{
    g_autoptr(GError) err = NULL;

    s->policies = vnx_policies_new(&s->config.flow);
    if (!replace(s->policies, s->wanted, &err)) {
        error_setg(errp, "filter-vtcp: %s", err->message);
        g_clear_pointer(&s->policies, vnx_policies_free);
        return false;
    }
    return true;
}

void vtcp_policies_class_init(ObjectClass *oc)
{
    unsigned known = 0;

#define X(name, ...) known += vnx_flow_member_find(name) != NULL;
    POLICY_NUMBERS(X)
    POLICY_NAMES(X)
#undef X
    assert(vnx_flow_member(known - 1) && !vnx_flow_member(known));
    object_class_property_add(oc, "policies", "VnxVtcpPolicyList", get_policies,
                              set_policies, NULL, NULL);
    object_class_property_set_description(oc, "policies",
                                          "what certain connections have instead");
}

/* ---- QMP ---- */

static FilterVtcp *find_filter(const char *id, Error **errp)
{
    g_autoptr(GPtrArray) filters = vtcp_find_filters(id, errp);

    return filters ? g_ptr_array_index(filters, 0) : NULL;
}

void qmp_vnx_vtcp_policy_add(const char *filter, VnxVtcpPolicy *policy, Error **errp)
{
    FilterVtcp *s = find_filter(filter, errp);
    GError *err = NULL;
    VnxPolicySpec spec;

    if (s) {
        done(s, to_spec(policy, &spec, &err) &&
                vnx_policies_add(s->policies, &spec, &err), &err, errp);
    }
}

void qmp_vnx_vtcp_policy_set(const char *filter, VnxVtcpPolicy *policy, Error **errp)
{
    FilterVtcp *s = find_filter(filter, errp);
    GError *err = NULL;
    VnxPolicySpec spec;

    if (s) {
        done(s, to_spec(policy, &spec, &err) &&
                vnx_policies_set(s->policies, &spec, &err), &err, errp);
    }
}

void qmp_vnx_vtcp_policy_del(const char *filter, const char *id, Error **errp)
{
    FilterVtcp *s = find_filter(filter, errp);
    GError *err = NULL;

    if (s) {
        done(s, vnx_policies_del(s->policies, id, &err), &err, errp);
    }
}

void qmp_vnx_vtcp_policy_replace(const char *filter, VnxVtcpPolicyList *policies,
                                 Error **errp)
{
    FilterVtcp *s = find_filter(filter, errp);
    GError *err = NULL;

    if (s) {
        done(s, replace(s->policies, policies, &err), &err, errp);
    }
}

VnxVtcpPolicyInfoList *qmp_query_vnx_vtcp_policies(const char *id, Error **errp)
{
    g_autoptr(GPtrArray) filters = vtcp_find_filters(id, errp);
    VnxVtcpPolicyInfoList *list = NULL, **tail = &list;

    for (guint i = 0; filters && i < filters->len; i++) {
        FilterVtcp *s = g_ptr_array_index(filters, i);

        for (size_t k = 0; k < vnx_policies_count(s->policies); k++) {
            const VnxPolicy *p = vnx_policies_get(s->policies, k);
            g_autofree VnxVtcpPolicy *policy = from_spec(vnx_policy_spec(p));
            VnxVtcpPolicyInfo *info = g_new0(VnxVtcpPolicyInfo, 1);

            *qapi_VnxVtcpPolicyInfo_base(info) = *policy;   /* what is in it moves */
            info->filter = g_strdup(s->id);
            info->hits = vnx_policy_hits(p);
            info->flows = vnx_policy_flows(p);
            QAPI_LIST_APPEND(tail, info);
        }
    }
    return list;
}
