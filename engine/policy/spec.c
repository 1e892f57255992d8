/*
 * vnx: policies - checking one as it was written, and compiling it to a pattern
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/policy/policy-private.h"

static const char *const end_name[2] = { "source", "destination" };

void vnx_policy_spec_init(VnxPolicySpec *spec)
{
    memset(spec, 0, sizeof(*spec));
    spec->vlan = spec->inner_vlan = spec->vni = VNX_POLICY_ANY;
    spec->ip_version = spec->protocol = spec->opener = spec->dscp = VNX_POLICY_ANY;
    spec->scope_bytes = spec->scope_ms = VNX_POLICY_ANY;
    for (int e = 0; e < 2; e++) {
        spec->port[e][0] = spec->port[e][1] = VNX_POLICY_ANY;
    }
}

static bool wrong(GError **err, const char *member, const char *value, const char *must)
{
    g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE, "%s is '%.100s', but must be %s",
                member, value, must);
    return false;
}

static bool range_check(const char *member, int64_t value, int64_t min, int64_t max,
                        GError **err)
{
    if (value == VNX_POLICY_ANY || (value >= min && value <= max)) {
        return true;
    }
    g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                "%s is %" G_GINT64_FORMAT ", but must be from %" G_GINT64_FORMAT " to %"
                G_GINT64_FORMAT, member, value, min, max);
    return false;
}

static bool id_check(const char *id, GError **err)
{
    size_t len = id ? strlen(id) : 0;

    if (!len || len > VNX_POLICY_ID_MAX ||
        strspn(id, G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS "-._") != len) {
        return wrong(err, "id", id ? id : "",
                     "1 to 64 letters, digits, '-', '.' and '_'");
    }
    return true;
}

static bool numbers_check(const VnxPolicySpec *s, GError **err)
{
    const struct {
        const char *member;
        int64_t value, min, max;
    } numbers[] = {
        { "vlan", s->vlan, 0, 4094 },
        { "inner-vlan", s->inner_vlan, 0, 4094 },
        { "vni", s->vni, 0, (1 << 24) - 1 },
        { "protocol", s->protocol, 0, 255 },
        { "dscp", s->dscp, 0, 63 },
        { "scope bytes", s->scope_bytes, 1, VNX_SCOPE_BYTES_MAX },
        { "scope ms", s->scope_ms, 1, VNX_SCOPE_MS_MAX },
    };

    if (s->priority < 0 || s->priority > VNX_PRIORITY_MAX) {
        /* there is no leaving it out, unlike the others */
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "priority is %" G_GINT64_FORMAT ", but must be from 0 to %u",
                    s->priority, VNX_PRIORITY_MAX);
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (!range_check(numbers[i].member, numbers[i].value, numbers[i].min,
                         numbers[i].max, err)) {
            return false;
        }
    }
    if (s->ip_version != VNX_POLICY_ANY && s->ip_version != 4 && s->ip_version != 6) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "ip-version is %" G_GINT64_FORMAT ", but must be 4 or 6",
                    s->ip_version);
        return false;
    }
    return range_check("opener", s->opener, VNX_TO_GUEST, VNX_TO_NET, err);
}

static bool prefix_compile(const VnxPolicySpec *s, int e, VnxPattern *pat, GError **err)
{
    uint8_t *addr = pat->value.addr[e], *mask = pat->mask.addr[e];
    const char *text = s->prefix[e];
    unsigned version;
    char must[40];

    if (!text) {
        return true;
    }
    version = vnx_policy_parse_prefix(text, addr, mask);
    if (!version) {
        return wrong(err, end_name[e], text, "an IPv4 or IPv6 address, or such an address, "
                     "'/' and a prefix length up to 32 or 128");
    }
    for (int i = 0; i < 16; i++) {
        if (addr[i] & ~mask[i]) {
            return wrong(err, end_name[e], text,
                         "a prefix with no bits set behind its length");
        }
    }
    if (pat->value.ip_version && pat->value.ip_version != version) {
        g_snprintf(must, sizeof(must), "of IPv%u, as the rest of it",
                   pat->value.ip_version);
        return wrong(err, end_name[e], text, must);
    }
    pat->value.ip_version = version;
    pat->mask.ip_version = 0xff;
    return true;
}

static bool ports_compile(const VnxPolicySpec *s, int e, VnxPattern *pat, GError **err)
{
    int64_t from = s->port[e][0], to = s->port[e][1];
    uint32_t size;
    char member[40];

    if (from == VNX_POLICY_ANY && to == VNX_POLICY_ANY) {
        pat->port[e][0] = 0;
        pat->port[e][1] = UINT16_MAX;
        return true;
    }
    if (from == VNX_POLICY_ANY || to == VNX_POLICY_ANY) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "%s-ports has no %s, but must have both, from 0 to %u", end_name[e],
                    from == VNX_POLICY_ANY ? "from" : "to", UINT16_MAX);
        return false;
    }
    g_snprintf(member, sizeof(member), "%s-ports from", end_name[e]);
    if (!range_check(member, from, 0, UINT16_MAX, err)) {
        return false;
    }
    g_snprintf(member, sizeof(member), "%s-ports to", end_name[e]);
    if (!range_check(member, to, from, UINT16_MAX, err)) {
        return false;
    }
    pat->port[e][0] = from;
    pat->port[e][1] = to;
    size = to - from + 1;
    if (!(size & (size - 1)) && !(from & (size - 1))) {
        pat->value.port[e] = from;
        pat->mask.port[e] = ~(size - 1);
    }
    return true;
}

bool vnx_policy_compile(const VnxPolicySpec *s, VnxPattern *pat, GError **err)
{
    VnxTuple *value = &pat->value, *mask = &pat->mask;

    memset(pat, 0, sizeof(*pat));
    if (!id_check(s->id, err) || !numbers_check(s, err)) {
        return false;
    }
#define ASK(member, given, all) \
    if ((given) != VNX_POLICY_ANY) { \
        value->member = (given); \
        mask->member = (all); \
    }
    ASK(vlan[0], s->vlan, UINT16_MAX)
    ASK(vlan[1], s->inner_vlan, UINT16_MAX)
    ASK(vni, s->vni, UINT32_MAX)
    ASK(ip_version, s->ip_version, UINT8_MAX)
    ASK(protocol, s->protocol, UINT8_MAX)
    ASK(opener, s->opener, UINT8_MAX)
    ASK(dscp, s->dscp, UINT8_MAX)
#undef ASK
    for (int e = 0; e < 2; e++) {
        if (!prefix_compile(s, e, pat, err) || !ports_compile(s, e, pat, err)) {
            return false;
        }
    }
    if ((s->scope_bytes != VNX_POLICY_ANY || s->scope_ms != VNX_POLICY_ANY) &&
        vnx_flow_override_has(&s->override, "mode") &&
        s->override.config.mode == VNX_MODE_OFF) {
        return wrong(err, "mode", "off", "'accelerate' or 'observe' with a scope: a flow that "
                     "is not followed never comes to its end");
    }
    return true;
}
