/*
 * vnx: vTCP - configuration: defaults, ranges, and profiles of flows (P1)
 *
 * A profile is one VnxFlowConfig that was checked, with the names in it looked up. It never
 * changes: whoever wants something else makes another one and gives it to the flows. So
 * 100,000 flows share what they have in common, and the packet path follows one pointer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/tcp/vtcp-private.h"

G_DEFINE_QUARK(vnx-vtcp-error-quark, vnx_vtcp_error)

typedef struct Range {
    const char *name;
    uint64_t value, min, max;
} Range;

void vnx_flow_config_init(VnxFlowConfig *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->mode = VNX_MODE_ACCELERATE;
    cfg->out_of_order = VNX_OOO_QUEUE;
    cfg->flow_buffer_size = VNX_FLOW_BUFFER_SIZE_DEFAULT;
    cfg->weight = VNX_WEIGHT_DEFAULT;
    cfg->dupack_threshold = VNX_DUPACK_THRESHOLD_DEFAULT;
    cfg->initial_window = VNX_INITIAL_WINDOW_DEFAULT;
    cfg->additive_increase = VNX_ADDITIVE_INCREASE_DEFAULT;
    cfg->min_rto_ms = VNX_MIN_RTO_DEFAULT_MS;
    cfg->max_rto_ms = VNX_MAX_RTO_DEFAULT_MS;
    cfg->ecn = true;
    strcpy(cfg->congestion_control, "reno");
    strcpy(cfg->guest_congestion_control, "none");
}

void vnx_vtcp_config_init(VnxVtcpConfig *cfg)
{
    memset(cfg, 0, sizeof(*cfg));
    cfg->buffer_size = VNX_BUFFER_SIZE_DEFAULT;
    cfg->max_flows = VNX_MAX_FLOWS_DEFAULT;
    cfg->retry_limit_ms = VNX_RETRY_LIMIT_DEFAULT_MS;
    vnx_flow_config_init(&cfg->flow);
}

static bool ranges_check(const Range *range, unsigned n, GError **err)
{
    for (unsigned i = 0; i < n; i++) {
        if (range[i].value < range[i].min || range[i].value > range[i].max) {
            g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                        "%s is %" G_GUINT64_FORMAT ", but must be from %" G_GUINT64_FORMAT
                        " to %" G_GUINT64_FORMAT, range[i].name, range[i].value,
                        range[i].min, range[i].max);
            return false;
        }
    }
    return true;
}

/* @value, @size bytes long, is the name of an algorithm. */
static bool cc_name_check(const char *member, const char *value, size_t size, GError **err)
{
    const VnxCcOps *ops;
    GString *known;

    if (memchr(value, 0, size) && vnx_cc_find(value)) {
        return true;
    }
    known = g_string_new(NULL);
    for (unsigned i = 0; (ops = vnx_cc_get(i)); i++) {
        g_string_append_printf(known, "%s%s", i ? ", " : "", ops->name);
    }
    g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                "%s is '%.*s', but must be one of: %s", member, (int)size, value,
                known->str);
    g_string_free(known, TRUE);
    return false;
}

#define MEMBER(name, type, member, ...) \
    { name, VNX_MEMBER_##type, offsetof(VnxFlowConfig, member), \
      sizeof(((VnxFlowConfig *)0)->member), __VA_ARGS__ }

static const VnxFlowMember members[] = {
    MEMBER("mode", ENUM, mode, VNX_MODE_ACCELERATE, VNX_MODE_OFF),
    MEMBER("out-of-order", ENUM, out_of_order, VNX_OOO_QUEUE, VNX_OOO_PASS_THROUGH),
    MEMBER("flow-buffer-size", NUMBER, flow_buffer_size, VNX_FLOW_BUFFER_SIZE_MIN,
           VNX_FLOW_BUFFER_SIZE_MAX),
    MEMBER("weight", NUMBER, weight, 0, VNX_WEIGHT_MAX),
    MEMBER("max-window", NUMBER, max_window, 0, VNX_MAX_WINDOW_MAX),
    MEMBER("dupack-threshold", NUMBER, dupack_threshold, VNX_DUPACK_THRESHOLD_MIN,
           VNX_DUPACK_THRESHOLD_MAX),
    MEMBER("initial-window", NUMBER, initial_window, VNX_INITIAL_WINDOW_MIN,
           VNX_INITIAL_WINDOW_MAX),
    MEMBER("slow-start-threshold", NUMBER, slow_start_threshold, 0,
           VNX_SLOW_START_THRESHOLD_MAX),
    MEMBER("additive-increase", NUMBER, additive_increase, VNX_ADDITIVE_INCREASE_MIN,
           VNX_ADDITIVE_INCREASE_MAX),
    MEMBER("decrease-factor", NUMBER, decrease_factor, 0, VNX_DECREASE_FACTOR_MAX),
    MEMBER("min-rto", NUMBER, min_rto_ms, VNX_RTO_MIN_MS, VNX_RTO_MAX_MS),
    MEMBER("max-rto", NUMBER, max_rto_ms, VNX_RTO_MIN_MS, VNX_RTO_MAX_MS),
    MEMBER("max-pacing-rate", NUMBER, max_pacing_rate, 0, VNX_PACING_RATE_MAX),
    MEMBER("ecn", BOOL, ecn, 0, 1),
    MEMBER("congestion-control", NAME, congestion_control),
    MEMBER("guest-congestion-control", NAME, guest_congestion_control),
};

G_STATIC_ASSERT(G_N_ELEMENTS(members) <= 8 * sizeof(uint32_t));     /* VnxFlowOverride.set */

const VnxFlowMember *vnx_flow_member(unsigned i)
{
    return i < G_N_ELEMENTS(members) ? &members[i] : NULL;
}

const VnxFlowMember *vnx_flow_member_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!strcmp(members[i].name, name)) {
            return &members[i];
        }
    }
    return NULL;
}

static bool member_range_check(const VnxFlowMember *m, int64_t value, GError **err)
{
    if (value >= 0 && (uint64_t)value >= m->min && (uint64_t)value <= m->max) {
        return true;
    }
    g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                "%s is %" G_GINT64_FORMAT ", but must be from %" G_GUINT64_FORMAT " to %"
                G_GUINT64_FORMAT, m->name, value, m->min, m->max);
    return false;
}

bool vnx_flow_override_number(VnxFlowOverride *o, const char *name, int64_t value,
                              GError **err)
{
    const VnxFlowMember *m = vnx_flow_member_find(name);
    char *at = (char *)&o->config + m->offset;

    g_assert(m->type != VNX_MEMBER_NAME);
    if (!member_range_check(m, value, err)) {
        return false;
    }
    switch (m->size) {
    case sizeof(bool):
        *(bool *)at = value;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)at = value;
        break;
    case sizeof(uint64_t):
        *(uint64_t *)at = value;
        break;
    default:
        g_assert_not_reached();
    }
    o->set |= 1u << (m - members);
    return true;
}

bool vnx_flow_override_name(VnxFlowOverride *o, const char *name, const char *value,
                            GError **err)
{
    const VnxFlowMember *m = vnx_flow_member_find(name);

    g_assert(m->type == VNX_MEMBER_NAME);
    if (!cc_name_check(name, value, strlen(value) + 1, err)) {
        return false;
    }
    g_strlcpy((char *)&o->config + m->offset, value, m->size);
    o->set |= 1u << (m - members);
    return true;
}

bool vnx_flow_override_has(const VnxFlowOverride *o, const char *name)
{
    return o->set >> (vnx_flow_member_find(name) - members) & 1;
}

VnxFlowConfig vnx_flow_override_apply(const VnxFlowOverride *o, const VnxFlowConfig *base)
{
    VnxFlowConfig cfg = *base;

    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (o->set >> i & 1) {
            memcpy((char *)&cfg + members[i].offset,
                   (const char *)&o->config + members[i].offset, members[i].size);
        }
    }
    return cfg;
}

static bool member_check(const VnxFlowMember *m, const VnxFlowConfig *cfg, GError **err)
{
    const char *at = (const char *)cfg + m->offset;

    switch (m->type) {
    case VNX_MEMBER_NAME:
        return cc_name_check(m->name, at, m->size, err);
    case VNX_MEMBER_BOOL:
        return true;
    default:
        return member_range_check(m, m->size == sizeof(uint64_t) ? *(const uint64_t *)at
                                                                 : *(const uint32_t *)at,
                                  err);
    }
}

bool vnx_flow_config_check(const VnxFlowConfig *cfg, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!member_check(&members[i], cfg, err)) {
            return false;
        }
    }
    if (cfg->max_pacing_rate && cfg->max_pacing_rate < VNX_PACING_RATE_MIN) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "max-pacing-rate is %" G_GUINT64_FORMAT ", but must be 0, or from %llu "
                    "to %llu", cfg->max_pacing_rate, VNX_PACING_RATE_MIN,
                    VNX_PACING_RATE_MAX);
        return false;
    }
    if (cfg->min_rto_ms > cfg->max_rto_ms) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "min-rto is %u, but must be from %u to max-rto, which is %u",
                    cfg->min_rto_ms, VNX_RTO_MIN_MS, cfg->max_rto_ms);
        return false;
    }
    return true;
}

bool vnx_vtcp_config_check(const VnxVtcpConfig *cfg, GError **err)
{
    const Range range[] = {
        { "buffer-size", cfg->buffer_size, VNX_BUFFER_SIZE_MIN, VNX_BUFFER_SIZE_MAX },
        { "max-flows", cfg->max_flows, 1, VNX_MAX_FLOWS_MAX },
        { "retry-limit", cfg->retry_limit_ms, VNX_RETRY_LIMIT_MIN_MS,
          VNX_RETRY_LIMIT_MAX_MS },
    };

    return ranges_check(range, G_N_ELEMENTS(range), err) &&
           vnx_flow_config_check(&cfg->flow, err);
}

VnxFlowProfile *vnx_flow_profile_new(const VnxFlowConfig *cfg, GError **err)
{
    VnxFlowProfile *p;

    if (!vnx_flow_config_check(cfg, err)) {
        return NULL;
    }
    p = g_new0(VnxFlowProfile, 1);
    p->refs = 1;
    p->cfg = *cfg;
    p->cc[VNX_TO_NET] = vnx_cc_find(cfg->congestion_control);
    p->cc[VNX_TO_GUEST] = vnx_cc_find(cfg->guest_congestion_control);
    p->cc_params.initial_window = cfg->initial_window;
    p->cc_params.initial_ssthresh = cfg->slow_start_threshold;
    p->cc_params.increase_percent = cfg->additive_increase;
    p->cc_params.decrease_percent = cfg->decrease_factor;
    return p;
}

VnxFlowProfile *vnx_flow_profile_ref(VnxFlowProfile *p)
{
    p->refs++;
    return p;
}

void vnx_flow_profile_unref(VnxFlowProfile *p)
{
    if (--p->refs == 0) {
        g_free(p);
    }
}

const VnxFlowConfig *vnx_flow_profile_config(const VnxFlowProfile *p)
{
    return &p->cfg;
}
