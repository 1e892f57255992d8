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

bool vnx_flow_config_check(const VnxFlowConfig *cfg, GError **err)
{
    const Range range[] = {
        { "mode", cfg->mode, VNX_MODE_ACCELERATE, VNX_MODE_OFF },
        { "out-of-order", cfg->out_of_order, VNX_OOO_QUEUE, VNX_OOO_PASS_THROUGH },
        { "flow-buffer-size", cfg->flow_buffer_size, VNX_FLOW_BUFFER_SIZE_MIN,
          VNX_FLOW_BUFFER_SIZE_MAX },
        { "weight", cfg->weight, 0, VNX_WEIGHT_MAX },
        { "max-window", cfg->max_window, 0, VNX_MAX_WINDOW_MAX },
        { "dupack-threshold", cfg->dupack_threshold, VNX_DUPACK_THRESHOLD_MIN,
          VNX_DUPACK_THRESHOLD_MAX },
        { "initial-window", cfg->initial_window, VNX_INITIAL_WINDOW_MIN,
          VNX_INITIAL_WINDOW_MAX },
        { "slow-start-threshold", cfg->slow_start_threshold, 0,
          VNX_SLOW_START_THRESHOLD_MAX },
        { "additive-increase", cfg->additive_increase, VNX_ADDITIVE_INCREASE_MIN,
          VNX_ADDITIVE_INCREASE_MAX },
        { "decrease-factor", cfg->decrease_factor, 0, VNX_DECREASE_FACTOR_MAX },
        { "min-rto", cfg->min_rto_ms, VNX_RTO_MIN_MS, VNX_RTO_MAX_MS },
        { "max-rto", cfg->max_rto_ms, VNX_RTO_MIN_MS, VNX_RTO_MAX_MS },
    };

    if (!ranges_check(range, G_N_ELEMENTS(range), err)) {
        return false;
    }
    if (cfg->min_rto_ms > cfg->max_rto_ms) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_RANGE,
                    "min-rto is %u, but must be from %u to max-rto, which is %u",
                    cfg->min_rto_ms, VNX_RTO_MIN_MS, cfg->max_rto_ms);
        return false;
    }
    return cc_name_check("congestion-control", cfg->congestion_control,
                         sizeof(cfg->congestion_control), err) &&
           cc_name_check("guest-congestion-control", cfg->guest_congestion_control,
                         sizeof(cfg->guest_congestion_control), err);
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
