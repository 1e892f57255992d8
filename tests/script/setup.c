/*
 * vnx script runner: lines that set up the filter and its host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include <vnx/policy.h>

#include "script.h"

static bool config_member(VnxVtcpConfig *cfg, const char *name, const char *value)
{
    static const struct { const char *name; size_t off; } members[] = {
        { "flow-buffer-size", G_STRUCT_OFFSET(VnxVtcpConfig, flow.flow_buffer_size) },
        { "weight", G_STRUCT_OFFSET(VnxVtcpConfig, flow.weight) },
        { "max-window", G_STRUCT_OFFSET(VnxVtcpConfig, flow.max_window) },
        { "slow-start-threshold",
          G_STRUCT_OFFSET(VnxVtcpConfig, flow.slow_start_threshold) },
        { "additive-increase", G_STRUCT_OFFSET(VnxVtcpConfig, flow.additive_increase) },
        { "decrease-factor", G_STRUCT_OFFSET(VnxVtcpConfig, flow.decrease_factor) },
        { "max-flows", G_STRUCT_OFFSET(VnxVtcpConfig, max_flows) },
        { "dupack-threshold", G_STRUCT_OFFSET(VnxVtcpConfig, flow.dupack_threshold) },
        { "initial-window", G_STRUCT_OFFSET(VnxVtcpConfig, flow.initial_window) },
        { "min-rto", G_STRUCT_OFFSET(VnxVtcpConfig, flow.min_rto_ms) },
        { "max-rto", G_STRUCT_OFFSET(VnxVtcpConfig, flow.max_rto_ms) },
        { "retry-limit", G_STRUCT_OFFSET(VnxVtcpConfig, retry_limit_ms) },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!strcmp(name, members[i].name)) {
            *(uint32_t *)((char *)cfg + members[i].off) =
                g_ascii_strtoull(value, NULL, 0);
            return true;
        }
    }
    if (!strcmp(name, "buffer-size")) {
        cfg->buffer_size = g_ascii_strtoull(value, NULL, 0);
    } else if (!strcmp(name, "ecn")) {
        cfg->flow.ecn = !strcmp(value, "on");
    } else if (!strcmp(name, "max-pacing-rate")) {
        cfg->flow.max_pacing_rate = g_ascii_strtoull(value, NULL, 0);
    } else if (!strcmp(name, "congestion-control")) {
        g_strlcpy(cfg->flow.congestion_control, value,
                  sizeof(cfg->flow.congestion_control));
    } else if (!strcmp(name, "guest-congestion-control")) {
        g_strlcpy(cfg->flow.guest_congestion_control, value,
                  sizeof(cfg->flow.guest_congestion_control));
    } else if (!strcmp(name, "out-of-order")) {
        cfg->flow.out_of_order = !strcmp(value, "pass-through") ? VNX_OOO_PASS_THROUGH
                                 : VNX_OOO_QUEUE;
    } else if (!strcmp(name, "mode")) {
        cfg->flow.mode = !strcmp(value, "off") ? VNX_MODE_OFF
                    : !strcmp(value, "observe") ? VNX_MODE_OBSERVE : VNX_MODE_ACCELERATE;
    } else {
        return false;
    }
    return true;
}

/* "config NAME=VALUE...", before or after the start; "refuses NAME=VALUE...". */
static void config_step(World *w, Words *ws, bool refused)
{
    VnxVtcpConfig cfg = w->cfg;
    GError *err = NULL;
    const char *t, *last = "";

    while ((t = word(ws))) {
        char **kv = g_strsplit(t, "=", 2);
        bool known = kv[1] && config_member(&cfg, kv[0], kv[1]);

        g_strfreev(kv);
        if (!known) {
            fail(w, "script: no config member '%s'", t);
        }
        last = t;
    }
    nothing_unclaimed(w);
    if (w->vtcp) {
        w->in_call = true;
    }
    if (vnx_vtcp_config_check(&cfg, &err) &&
        (!w->vtcp || (vnx_policies_set_defaults(w->policies, &cfg.flow, &err) &&
                      vnx_vtcp_set_config(w->vtcp, &cfg, w->now_ns, &err)))) {
        if (refused) {
            fail(w, "the configuration was accepted");
        }
        w->cfg = cfg;
        if (w->vtcp) {
            after_push(w);
        }
        return;
    }
    if (refused) {
        char *name = g_strndup(last, strcspn(last, "="));
        bool named = strstr(err->message, name) &&
                     strstr(err->message, last + strlen(name) + 1);

        g_free(name);
        if (named) {
            g_error_free(err);
            return;
        }
    }
    w->failure = g_strdup_printf("refused with: %s", err->message);
    g_error_free(err);
    fail(w, NULL);
}

/* "flow-config NAME=V...": a profile for this connection; without words: the common one. */
static void flow_config_step(World *w, Words *ws)
{
    VnxVtcpConfig cfg = w->cfg;
    VnxFlowProfile *profile = NULL;
    VnxVtcpFlowInfo info;
    GError *err = NULL;
    const char *t;
    bool any = false;

    while ((t = word(ws))) {
        char **kv = g_strsplit(t, "=", 2);

        if (!kv[1] || !config_member(&cfg, kv[0], kv[1])) {
            fail(w, "script: no config member '%s'", t);
        }
        g_strfreev(kv);
        any = true;
    }
    nothing_unclaimed(w);
    if (any) {
        profile = vnx_flow_profile_new(&cfg.flow, &err);
        if (!profile) {
            w->failure = g_strdup_printf("refused with: %s", err->message);
            g_error_free(err);
            fail(w, NULL);
        }
    }
    if (!w->vtcp || !flow_info(w, &info)) {
        fail(w, "there is no such flow");
    }
    w->in_call = true;
    vnx_vtcp_set_flow_profile(w->vtcp, &info.key, profile, w->now_ns);
    if (profile) {
        vnx_flow_profile_unref(profile);
    }
    after_push(w);
}

static void offload_step(World *w, Words *ws)
{
    Side side = parse_side(w, need_word(w, ws, "a side"));

    parse_offload(w, need_word(w, ws, "offloads"), &w->offload[side]);
    if (w->vtcp) {
        vnx_vtcp_set_offload(w->vtcp, (VnxDir)side, &w->offload[side]);
    }
}

static void vnet_step(World *w, Words *ws)
{
    w->vnet_len = parse_number(w, need_word(w, ws, "a virtio-net header length"));
    for (int side = GUEST; side <= NET; side++) {
        w->offload[side].vnet_len = w->vnet_len;
        if (w->vtcp) {
            vnx_vtcp_set_offload(w->vtcp, (VnxDir)side, &w->offload[side]);
        }
    }
}

static unsigned parse_queue(World *w, Words *ws)
{
    return ws->i < ws->n ? parse_number(w, word(ws)) : 0;
}

/* Switches of the filter and of its host. */
static bool switch_step(World *w, const char *verb, Words *ws)
{
    world_start(w);
    nothing_unclaimed(w);
    w->in_call = true;
    if (!strcmp(verb, "pause") || !strcmp(verb, "resume")) {
        vnx_vtcp_set_paused(w->vtcp, !strcmp(verb, "pause"), w->now_ns);
    } else if (!strcmp(verb, "enable") || !strcmp(verb, "disable")) {
        w->disabled = !strcmp(verb, "disable");
        vnx_vtcp_set_enabled(w->vtcp, !w->disabled, w->now_ns);
    } else if (!strcmp(verb, "reset-undrained")) {
        vnx_vtcp_reset_undrained(w->vtcp, w->now_ns);
    } else if (!strcmp(verb, "busy")) {
        Side side = parse_side(w, need_word(w, ws, "a side"));

        w->busy[side] |= 1u << parse_queue(w, ws);
    } else if (!strcmp(verb, "writable")) {
        Side side = parse_side(w, need_word(w, ws, "a side"));

        unsigned queue = parse_queue(w, ws);

        w->busy[side] &= ~(1u << queue);
        vnx_vtcp_writable(w->vtcp, (VnxDir)side, queue);
    } else if (!strcmp(verb, "queues")) {
        w->n_queues = parse_number(w, need_word(w, ws, "a number of queues"));
        vnx_vtcp_set_queues(w->vtcp, w->n_queues);
    } else if (!strcmp(verb, "stalled")) {
        Side side = parse_side(w, need_word(w, ws, "a side"));

        w->stalled[side] = parse_on_off(w, need_word(w, ws, "on or off"));
    } else {
        w->in_call = false;
        return false;
    }
    after_push(w);
    return true;
}

static void wire_step(World *w, Words *ws)
{
    /* A segment's words, of which only what is not TCP's is kept. */
    char **v = g_new0(char *, ws->n + 2);
    Words seg = { v, 0, 0 };

    v[seg.n++] = (char *)"0";
    while (ws->i < ws->n) {
        v[seg.n++] = ws->v[ws->i++];
    }
    seg_init(&w->base);
    parse_seg(w, &seg, &w->base, false);
    g_free(v);
}

/* "pretend SIDE WHAT N": falsify a note of the runner; do its invariants bite? */
static void pretend_step(World *w, Words *ws)
{
    static const struct { const char *name; size_t off; } notes[] = {
        { "got-ack", G_STRUCT_OFFSET(Host, got_ack) },
        { "got-edge", G_STRUCT_OFFSET(Host, got_edge) },
        { "got-tsval", G_STRUCT_OFFSET(Host, got_tsval) },
        { "got-end", G_STRUCT_OFFSET(Host, got_end) },
        { "sent-end", G_STRUCT_OFFSET(Host, sent_end) },
        { "edge", G_STRUCT_OFFSET(Host, edge) },
        { "mss", G_STRUCT_OFFSET(Host, mss) },
    };
    Host *h = &w->conn->host[parse_side(w, need_word(w, ws, "a side"))];
    const char *what = need_word(w, ws, "a note");
    uint32_t v = parse_number(w, need_word(w, ws, "a value"));

    for (unsigned i = 0; i < G_N_ELEMENTS(notes); i++) {
        if (!strcmp(what, notes[i].name)) {
            if (!strcmp(what, "mss")) {
                h->mss = v;
            } else {
                *(uint32_t *)((char *)h + notes[i].off) = v;
            }
            return;
        }
    }
    fail(w, "script: the runner does not note '%s'", what);
}

static void expect_failure_step(World *w, Words *ws)
{
    char *text = NULL;

    w->fail_line = parse_number(w, need_word(w, ws, "a line number"));
    while (ws->i < ws->n) {
        char *more = g_strjoin(text ? " " : "", text ? text : "", word(ws), NULL);

        g_free(text);
        text = more;
    }
    g_free(w->fail_text);
    w->fail_text = text;
}

bool step_setup(World *w, const char *verb, Words *ws)
{
    if (!strcmp(verb, "config")) {
        config_step(w, ws, false);
    } else if (!strcmp(verb, "refuses")) {
        config_step(w, ws, true);
    } else if (!strcmp(verb, "flow-config")) {
        flow_config_step(w, ws);
    } else if (!strcmp(verb, "vnet")) {
        vnet_step(w, ws);
    } else if (!strcmp(verb, "offload")) {
        offload_step(w, ws);
    } else if (!strcmp(verb, "wire")) {
        wire_step(w, ws);
    } else if (!strcmp(verb, "migrate")) {
        nothing_unclaimed(w);
        migrate(w);
    } else if (!strcmp(verb, "pretend")) {
        pretend_step(w, ws);
    } else if (!strcmp(verb, "expect-failure")) {
        expect_failure_step(w, ws);
    } else {
        return switch_step(w, verb, ws);
    }
    return true;
}
