/*
 * vnx script runner: lines about policies
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <arpa/inet.h>
#include <string.h>

#include <vnx/policy.h>

#include "script.h"

/* "guest", "net", or with "/LENGTH", which counts four times in IPv6; else as it is. */
static char *prefix_text(World *w, const char *s)
{
    char **part = g_strsplit(s, "/", 2), text[INET6_ADDRSTRLEN];
    bool symbol = !strcmp(part[0], "guest") || !strcmp(part[0], "net");
    unsigned len = w->family == 4 ? 32 : 128;
    uint8_t addr[16];

    if (!symbol) {
        g_strfreev(part);
        return g_strdup(s);
    }
    host_address(w, parse_side(w, part[0]), addr);
    if (part[1]) {
        len = parse_number(w, part[1]) * (w->family == 4 ? 1 : 4);
    }
    g_strfreev(part);
    for (unsigned bit = len; bit < 128; bit++) {
        addr[bit / 8] &= ~(0x80 >> bit % 8);
    }
    inet_ntop(w->family == 4 ? AF_INET : AF_INET6, addr, text, sizeof(text));
    return g_strdup_printf("%s/%u", text, len);
}

/* A member of the configuration; false: there is none of this name. */
static bool override_member(World *w, VnxFlowOverride *o, const char *name, const char *value,
                            GError **err)
{
    static const char *const modes[] = { "accelerate", "observe", "off" };
    static const char *const ooo[] = { "queue", "pass-through" };
    const VnxFlowMember *m = vnx_flow_member_find(name);
    int64_t number = -1;

    if (!m) {
        return false;
    }
    switch (m->type) {
    case VNX_MEMBER_NAME:
        vnx_flow_override_name(o, name, value, err);
        return true;
    case VNX_MEMBER_BOOL:
        number = parse_on_off(w, value);
        break;
    case VNX_MEMBER_ENUM:
        for (uint64_t i = 0; i <= m->max; i++) {
            if (!strcmp(value, (!strcmp(name, "mode") ? modes : ooo)[i])) {
                number = i;
            }
        }
        break;
    default:
        number = parse_number(w, value);
    }
    vnx_flow_override_number(o, name, number, err);
    return true;
}

static void parse_member(World *w, VnxPolicySpec *s, const char *name, const char *value,
                         GError **err)
{
    const struct { const char *name; int64_t *number; } numbers[] = {
        { "priority", &s->priority }, { "vlan", &s->vlan },
        { "inner-vlan", &s->inner_vlan }, { "vni", &s->vni },
        { "ip-version", &s->ip_version }, { "protocol", &s->protocol },
        { "dscp", &s->dscp }, { "bytes", &s->scope_bytes },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        if (!strcmp(name, numbers[i].name)) {
            *numbers[i].number = parse_number(w, value);
            return;
        }
    }
    if (!strcmp(name, "time")) {
        s->scope_ms = parse_time(w, value) / 1000000;
    } else if (!strcmp(name, "opener")) {
        s->opener = parse_side(w, value);
    } else if (!strcmp(name, "source") || !strcmp(name, "destination")) {
        s->prefix[*name == 'd'] = prefix_text(w, value);
    } else if (!strcmp(name, "source-ports") || !strcmp(name, "destination-ports")) {
        char **part = g_strsplit(value, "-", 2);
        int64_t *port = s->port[*name == 'd'];

        port[0] = parse_number(w, part[0]);
        port[1] = part[1] ? parse_number(w, part[1]) : port[0];
        g_strfreev(part);
    } else if (!override_member(w, &s->override, name, value, err)) {
        fail(w, "script: a policy has no '%s'", name);
    }
}

static VnxPolicySpec parse_policy(World *w, Words *ws, GError **err)
{
    VnxPolicySpec s;
    const char *t;

    vnx_policy_spec_init(&s);
    s.id = need_word(w, ws, "the policy's id");
    while (!*err && (t = word(ws))) {
        char **kv = g_strsplit(t, "=", 2);

        if (!kv[1]) {
            fail(w, "script: '%s' is not NAME=VALUE", t);
        }
        parse_member(w, &s, kv[0], kv[1], err);
        g_strfreev(kv);
    }
    return s;
}

static const VnxPolicy *find_policy(World *w, const char *id)
{
    for (size_t i = 0; i < vnx_policies_count(w->policies); i++) {
        const VnxPolicy *p = vnx_policies_get(w->policies, i);

        if (!strcmp(vnx_policy_spec(p)->id, id)) {
            return p;
        }
    }
    return NULL;
}

/* "policy ID NAME=VALUE...": added, or set if it is there; "refuses-policy ..." */
static void policy_step(World *w, Words *ws, bool refused)
{
    GError *err = NULL;
    VnxPolicySpec s = parse_policy(w, ws, &err);

    if (!err) {
        if (find_policy(w, s.id)) {
            vnx_policies_set(w->policies, &s, &err);
        } else {
            vnx_policies_add(w->policies, &s, &err);
        }
    }
    g_free((char *)s.prefix[0]);
    g_free((char *)s.prefix[1]);
    if (!err && refused) {
        fail(w, "the policy was accepted");
    }
    if (err && !refused) {
        w->failure = g_strdup_printf("refused with: %s", err->message);
    }
    g_clear_error(&err);
    if (w->failure) {
        fail(w, NULL);
    }
}

static void count_step(World *w, Words *ws, uint64_t (*count)(const VnxPolicy *p))
{
    const char *id = need_word(w, ws, "the policy's id");
    const VnxPolicy *p = find_policy(w, id);
    Want want = parse_op(w, ws);

    want.v = parse_number(w, need_word(w, ws, "a value"));
    if (!p) {
        fail(w, "there is no policy '%s'", id);
    }
    if (!want_ok(want, count(p))) {
        fail(w, "policy '%s' has %" PRIu64, id, count(p));
    }
}

static void flow_policy_step(World *w, Words *ws)
{
    const char *id = need_word(w, ws, "a policy's id");
    VnxVtcpFlowInfo info;
    const char *got;

    if (!flow_info(w, &info)) {
        fail(w, "there is no such flow");
    }
    got = info.policy ? info.policy : "none";
    if (strcmp(got, id)) {
        fail(w, "the flow's policy is %s", got);
    }
}

bool step_policy(World *w, const char *verb, Words *ws)
{
    bool changes = !strcmp(verb, "policy") || !strcmp(verb, "no-policy") ||
                   !strcmp(verb, "no-policies") || !strcmp(verb, "refuses-policy");

    if (!changes && strcmp(verb, "policy-hits") && strcmp(verb, "policy-flows") &&
        strcmp(verb, "flow-policy")) {
        return false;
    }
    world_start(w);
    if (!strcmp(verb, "policy-hits")) {
        count_step(w, ws, vnx_policy_hits);
    } else if (!strcmp(verb, "policy-flows")) {
        count_step(w, ws, vnx_policy_flows);
    } else if (!strcmp(verb, "flow-policy")) {
        flow_policy_step(w, ws);
    } else {
        nothing_unclaimed(w);
        if (!strcmp(verb, "no-policies")) {
            vnx_policies_replace(w->policies, NULL, 0, NULL);
        } else if (strcmp(verb, "no-policy")) {
            policy_step(w, ws, *verb == 'r');
        } else if (!vnx_policies_del(w->policies, need_word(w, ws, "an id"), NULL)) {
            fail(w, "there is no such policy");
        }
        w->in_call = true;
        vnx_vtcp_set_policies(w->vtcp, w->policies, w->now_ns);
        after_push(w);
    }
    return true;
}
