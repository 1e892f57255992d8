/*
 * vnx: policies - the list
 *
 * Policies stand in order of precedence.  The list holds a reference to each, flows hold
 * others; a policy that is changed stays the same object, so that flows that it
 * still applies to do not notice.
 *
 * The index is made when it pays: after a change a few lookups go without, so that adding
 * one policy after the other while few flows are there does not make it each time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/policy/policy-private.h"

/* Making an index costs about as much as so many scans of the list. */
#define SCANS_BEFORE_INDEX 32

struct VnxPolicies {
    VnxFlowConfig defaults;
    GPtrArray *order;           /* of VnxPolicy, first the one that is asked first */
    GHashTable *by_id;
    uint64_t next_serial;
    VnxPolicyIndex *index;      /* NULL: none since the last change */
    unsigned scans;             /* since then */
};

/* ---- one policy ---- */

static void policy_unref(VnxPolicy *p)
{
    if (--p->refs == 0) {
        vnx_flow_profile_unref(p->profile);
        g_free((char *)p->spec.id);
        g_free((char *)p->spec.prefix[0]);
        g_free((char *)p->spec.prefix[1]);
        g_free(p);
    }
}

static void policy_unref_cb(gpointer p)
{
    policy_unref(p);
}

static VnxFlowProfile *make_profile(const VnxFlowConfig *defaults, const VnxPolicySpec *spec,
                                    GError **err)
{
    VnxFlowConfig cfg = vnx_flow_override_apply(&spec->override, defaults);

    return vnx_flow_profile_new(&cfg, err);
}

/* NULL and @err: @spec is not as it must be. */
static VnxPolicy *policy_new(const VnxFlowConfig *defaults, const VnxPolicySpec *spec,
                             GError **err)
{
    VnxPolicy *p = g_new0(VnxPolicy, 1);

    if (!vnx_policy_compile(spec, &p->pattern, err) ||
        !(p->profile = make_profile(defaults, spec, err))) {
        g_prefix_error(err, "policy '%.100s': ", spec->id ? spec->id : "");
        g_free(p);
        return NULL;
    }
    p->refs = 1;
    p->spec = *spec;
    p->spec.id = g_strdup(spec->id);
    p->spec.prefix[0] = g_strdup(spec->prefix[0]);
    p->spec.prefix[1] = g_strdup(spec->prefix[1]);
    return p;
}

const VnxPolicySpec *vnx_policy_spec(const VnxPolicy *p)
{
    return &p->spec;
}

VnxFlowProfile *vnx_policy_profile(const VnxPolicy *p)
{
    return p->profile;
}

uint64_t vnx_policy_bytes(const VnxPolicy *p)
{
    return p->spec.scope_bytes == VNX_POLICY_ANY ? UINT64_MAX : p->spec.scope_bytes;
}

int64_t vnx_policy_duration_ns(const VnxPolicy *p)
{
    return p->spec.scope_ms == VNX_POLICY_ANY ? INT64_MAX : p->spec.scope_ms * 1000000;
}

void vnx_policy_hold(VnxPolicy *p)
{
    p->refs++;
    p->hits++;
    p->flows++;
}

void vnx_policy_release(VnxPolicy *p)
{
    p->flows--;
    policy_unref(p);
}

uint64_t vnx_policy_hits(const VnxPolicy *p)
{
    return p->hits;
}

uint64_t vnx_policy_flows(const VnxPolicy *p)
{
    return p->flows;
}

/* ---- the list ---- */

static GPtrArray *order_new(void)
{
    return g_ptr_array_new_with_free_func(policy_unref_cb);
}

VnxPolicies *vnx_policies_new(const VnxFlowConfig *defaults)
{
    VnxPolicies *list = g_new0(VnxPolicies, 1);

    list->defaults = *defaults;
    list->order = order_new();
    list->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    return list;
}

static void list_changed(VnxPolicies *list)
{
    g_clear_pointer(&list->index, vnx_policy_index_free);
    list->scans = 0;
}

void vnx_policies_free(VnxPolicies *list)
{
    if (list) {
        list_changed(list);
        g_hash_table_unref(list->by_id);
        g_ptr_array_unref(list->order);
        g_free(list);
    }
}

static int precedence(const VnxPolicy *a, const VnxPolicy *b)
{
    return a->spec.priority != b->spec.priority ?
           (a->spec.priority > b->spec.priority ? -1 : 1) :
           a->serial < b->serial ? -1 : a->serial > b->serial;
}

static int precedence_cb(gconstpointer a, gconstpointer b)
{
    return precedence(*(VnxPolicy *const *)a, *(VnxPolicy *const *)b);
}

/* Where @p stands, or is to stand. */
static unsigned list_place(const VnxPolicies *list, const VnxPolicy *p)
{
    unsigned low = 0, high = list->order->len;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (precedence(g_ptr_array_index(list->order, mid), p) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static VnxPolicy *list_find(const VnxPolicies *list, const char *id, GError **err)
{
    VnxPolicy *p = id ? g_hash_table_lookup(list->by_id, id) : NULL;

    if (!p) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_POLICY,
                    "there is no policy with id '%.100s'", id ? id : "");
    }
    return p;
}

static bool count_check(size_t n, GError **err)
{
    if (n > VNX_POLICIES_MAX) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "the number of policies is %zu, but must be from 0 to %u", n,
                    VNX_POLICIES_MAX);
        return false;
    }
    return true;
}

static bool unique_check(GHashTable *by_id, const char *id, GError **err)
{
    if (g_hash_table_contains(by_id, id)) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_POLICY,
                    "id '%s' is that of another policy already", id);
        return false;
    }
    return true;
}

bool vnx_policies_add(VnxPolicies *list, const VnxPolicySpec *spec, GError **err)
{
    VnxPolicy *p = policy_new(&list->defaults, spec, err);

    if (!p) {
        return false;
    }
    if (!unique_check(list->by_id, p->spec.id, err) ||
        !count_check(list->order->len + 1, err)) {
        policy_unref(p);
        return false;
    }
    p->serial = list->next_serial++;
    g_ptr_array_insert(list->order, list_place(list, p), p);
    g_hash_table_insert(list->by_id, (gpointer)p->spec.id, p);
    list_changed(list);
    return true;
}

/* @p becomes what @other is, and the other way round, but for counts and age. */
static void policy_swap(VnxPolicy *p, VnxPolicy *other)
{
    VnxPolicy was = *p;

    p->spec = other->spec;
    p->pattern = other->pattern;
    p->profile = other->profile;
    other->spec = was.spec;
    other->pattern = was.pattern;
    other->profile = was.profile;
}

bool vnx_policies_set(VnxPolicies *list, const VnxPolicySpec *spec, GError **err)
{
    VnxPolicy *p = list_find(list, spec->id, err), *other;

    if (!p || !(other = policy_new(&list->defaults, spec, err))) {
        return false;
    }
    g_ptr_array_steal_index(list->order, list_place(list, p));
    g_hash_table_remove(list->by_id, p->spec.id);
    list_changed(list);
    policy_swap(p, other);
    policy_unref(other);
    g_ptr_array_insert(list->order, list_place(list, p), p);
    g_hash_table_insert(list->by_id, (gpointer)p->spec.id, p);
    return true;
}

bool vnx_policies_del(VnxPolicies *list, const char *id, GError **err)
{
    VnxPolicy *p = list_find(list, id, err);

    if (!p) {
        return false;
    }
    list_changed(list);
    g_hash_table_remove(list->by_id, id);
    g_ptr_array_remove_index(list->order, list_place(list, p));
    return true;
}

bool vnx_policies_replace(VnxPolicies *list, const VnxPolicySpec *specs, size_t n,
                          GError **err)
{
    GHashTable *by_id;
    GPtrArray *order;

    if (!count_check(n, err)) {
        return false;
    }
    by_id = g_hash_table_new(g_str_hash, g_str_equal);
    order = order_new();
    for (size_t i = 0; i < n; i++) {
        VnxPolicy *p = policy_new(&list->defaults, &specs[i], err);

        if (p) {
            p->serial = i;
            g_ptr_array_add(order, p);
        }
        if (!p || !unique_check(by_id, p->spec.id, err)) {
            g_hash_table_unref(by_id);
            g_ptr_array_unref(order);
            return false;
        }
        g_hash_table_insert(by_id, (gpointer)p->spec.id, p);
    }
    g_ptr_array_sort(order, precedence_cb);
    list_changed(list);
    g_hash_table_unref(list->by_id);
    g_ptr_array_unref(list->order);
    list->by_id = by_id;
    list->order = order;
    list->next_serial = n;
    return true;
}

bool vnx_policies_set_defaults(VnxPolicies *list, const VnxFlowConfig *defaults, GError **err)
{
    VnxFlowProfile **profiles;
    unsigned n = list->order->len, i;

    if (!vnx_flow_config_check(defaults, err)) {
        return false;
    }
    profiles = g_new0(VnxFlowProfile *, n);
    for (i = 0; i < n; i++) {
        VnxPolicy *p = g_ptr_array_index(list->order, i);

        profiles[i] = make_profile(defaults, &p->spec, err);
        if (!profiles[i]) {
            g_prefix_error(err, "policy '%s': ", p->spec.id);
            break;
        }
    }
    if (i < n) {
        while (i) {
            vnx_flow_profile_unref(profiles[--i]);
        }
        g_free(profiles);
        return false;
    }
    for (i = 0; i < n; i++) {
        VnxPolicy *p = g_ptr_array_index(list->order, i);

        vnx_flow_profile_unref(p->profile);
        p->profile = profiles[i];
    }
    g_free(profiles);
    list->defaults = *defaults;
    return true;
}

size_t vnx_policies_count(const VnxPolicies *list)
{
    return list->order->len;
}

const VnxPolicy *vnx_policies_get(const VnxPolicies *list, size_t i)
{
    return g_ptr_array_index(list->order, i);
}

VnxPolicy *vnx_policies_lookup(VnxPolicies *list, const VnxFlowOpening *opening,
                               uint64_t bytes, int64_t age_ns)
{
    VnxPolicy *const *policies = (VnxPolicy *const *)list->order->pdata;
    const VnxFlowKey *key = opening->key;
    int end[2] = { opening->opener, !opening->opener };
    VnxTuple flow = {
        .vni = key->vni,
        .vlan = { key->vlan[0], key->vlan[1] },
        .ip_version = key->ip_version,
        .protocol = key->proto,
        .opener = opening->opener,
        .dscp = opening->dscp,
        .port = { key->port[end[0]], key->port[end[1]] },
    };

    if (!list->order->len) {
        return NULL;
    }
    memcpy(flow.addr[VNX_SOURCE], key->addr[end[0]], 16);
    memcpy(flow.addr[VNX_DESTINATION], key->addr[end[1]], 16);
    if (!list->index) {
        if (list->scans++ < SCANS_BEFORE_INDEX) {
            return vnx_policy_scan(policies, list->order->len, &flow, bytes, age_ns);
        }
        list->index = vnx_policy_index_new(policies, list->order->len);
    }
    return vnx_policy_index_find(list->index, &flow, bytes, age_ns);
}
