/*
 * vnx: fuzz target of policies (P1, P2, U5)
 *
 * The input is a program: operations of one byte with their arguments behind; what is missing
 * at the end reads as 0.  Policies are made of any numbers and any text.  What is
 * refused changes nothing and says why; what is taken is found as the oracle finds it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../policy-check.h"
#include "fuzz.h"

#define OPS_MAX 300
#define TEXT_MAX 64

#define CHECK(condition, text) \
    do { \
        if (!(condition)) { \
            g_error("%s", text); \
        } \
    } while (0)

typedef struct Input {
    const uint8_t *data;
    size_t left;
} Input;

static uint8_t u8(Input *in)
{
    if (!in->left) {
        return 0;
    }
    in->left--;
    return *in->data++;
}

static uint64_t u64(Input *in)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++) {
        v = v << 8 | u8(in);
    }
    return v;
}

/* Mostly left out or small; sometimes anything. */
static int64_t number(Input *in)
{
    uint8_t b = u8(in);

    return b < 128 ? VNX_POLICY_ANY : b < 240 ? b - 128 : (int64_t)u64(in);
}

/* Out of a table, or anything; NULL: left out.  @room: TEXT_MAX + 1 bytes. */
static const char *text(Input *in, const char *const *table, unsigned n, char *room)
{
    uint8_t b = u8(in);
    unsigned len;

    if (b < 128) {
        return b % (n + 1) ? table[b % (n + 1) - 1] : NULL;
    }
    len = b % (TEXT_MAX + 1);
    for (unsigned i = 0; i < len; i++) {
        room[i] = u8(in);
    }
    room[len] = 0;
    return room;
}

typedef struct Spec {
    VnxPolicySpec spec;
    char id[TEXT_MAX + 1], prefix[2][TEXT_MAX + 1];
} Spec;

static void read_override(Input *in, VnxFlowOverride *o)
{
    static const char *const names[] = { "reno", "cubic", "bic", "none", "bogus" };
    char room[TEXT_MAX + 1];

    for (unsigned n = u8(in) % 4; n; n--) {
        const VnxFlowMember *m = vnx_flow_member(u8(in) % 20);
        uint32_t before = o->set;
        GError *err = NULL;
        const char *value;
        bool ok;

        if (!m) {
            continue;
        }
        if (m->type == VNX_MEMBER_NAME) {
            value = text(in, names, G_N_ELEMENTS(names), room);
            ok = vnx_flow_override_name(o, m->name, value ? value : "", &err);
        } else {
            ok = vnx_flow_override_number(o, m->name, number(in), &err);
        }
        CHECK(ok == !err, "error and result of a member differ");
        CHECK(ok ? vnx_flow_override_has(o, m->name) : o->set == before,
              "a member was refused and set, or taken and not");
        CHECK(ok || strstr(err->message, m->name), "a refusal does not name the member");
        g_clear_error(&err);
    }
}

static const char *const ids[] = { "a", "b", "c", "d", "e", "f", "g" };

static void read_spec(Input *in, Spec *s)
{
    static const char *const prefixes[] = {
        "10.0.0.0/8", "10.0.0.0/30", "10.0.0.1", "0.0.0.0/0", "fd00::/8", "fd00::1", "::/0",
        "10.0.0.1/8", "fd00::1/65", "128.0.0.0/1",
    };
    VnxPolicySpec *p = &s->spec;

    vnx_policy_spec_init(p);
    p->id = text(in, ids, G_N_ELEMENTS(ids), s->id);
    p->priority = MAX(number(in), 0);
    p->vlan = number(in);
    p->inner_vlan = number(in);
    p->vni = number(in);
    p->ip_version = number(in);
    p->protocol = number(in);
    p->opener = number(in);
    p->dscp = number(in);
    p->scope_bytes = number(in);
    p->scope_ms = number(in);
    for (int e = 0; e < 2; e++) {
        p->prefix[e] = text(in, prefixes, G_N_ELEMENTS(prefixes), s->prefix[e]);
        p->port[e][0] = number(in);
        p->port[e][1] = number(in);
    }
    read_override(in, &p->override);
}

/* The list as it is: what a refusal must not change. */
static uint64_t digest(const VnxPolicies *list)
{
    uint64_t sum = vnx_policies_count(list);

    for (size_t i = 0; i < vnx_policies_count(list); i++) {
        const VnxPolicy *p = vnx_policies_get(list, i);

        sum = sum * 31 + g_str_hash(vnx_policy_spec(p)->id);
        sum = sum * 31 + (uintptr_t)vnx_policy_profile(p);
        sum = sum * 31 + vnx_policy_spec(p)->priority;
    }
    return sum;
}

static void look_up(Input *in, VnxPolicies *list)
{
    VnxFlowKey key = { .proto = 6 };
    VnxFlowOpening opening = { .key = &key };
    const VnxPolicySpec *wanted = NULL;
    uint64_t bytes;
    int64_t age_ns;
    VnxPolicy *got;
    uint8_t b = u8(in);

    key.ip_version = b & 1 ? 6 : 4;
    opening.opener = b >> 1 & 1;
    for (int side = 0; side < 2; side++) {
        unsigned len = b & 1 ? 16 : 4;

        key.addr[side][0] = b & 1 ? 0xfd : 10;
        key.addr[side][len - 1] = u8(in);
        key.port[side] = u8(in);
        key.vlan[side] = b & (4 << side) ? u8(in) : VNX_VLAN_NONE;
    }
    key.vni = u8(in) % 4;
    opening.dscp = u8(in) % 64;
    bytes = u8(in);
    age_ns = u8(in) * 500000ll;

    got = vnx_policies_lookup(list, &opening, bytes, age_ns);
    for (size_t i = 0; i < vnx_policies_count(list) && !wanted; i++) {
        const VnxPolicySpec *s = vnx_policy_spec(vnx_policies_get(list, i));

        wanted = oracle_matches(s, &opening, bytes, age_ns) ? s : NULL;
    }
    CHECK((got ? vnx_policy_spec(got) : NULL) == wanted, "another policy than expected");
}

static void operation(Input *in, VnxPolicies *list)
{
    enum { ADD, SET, DEL, REPLACE, DEFAULTS, LOOK_UP, OPS };
    unsigned op = u8(in) % OPS;
    uint64_t before = digest(list);
    Spec specs[4];
    VnxPolicySpec copies[4];
    VnxFlowOverride o = { 0 };
    VnxFlowConfig cfg;
    GError *err = NULL;
    char room[TEXT_MAX + 1];
    unsigned n;
    bool ok;

    switch (op) {
    case ADD:
    case SET:
        read_spec(in, &specs[0]);
        ok = op == ADD ? vnx_policies_add(list, &specs[0].spec, &err) :
             vnx_policies_set(list, &specs[0].spec, &err);
        break;
    case DEL:
        ok = vnx_policies_del(list, text(in, ids, G_N_ELEMENTS(ids), room), &err);
        break;
    case REPLACE:
        n = u8(in) % 5;
        for (unsigned i = 0; i < n; i++) {
            read_spec(in, &specs[i]);
            copies[i] = specs[i].spec;
        }
        ok = vnx_policies_replace(list, copies, n, &err);
        break;
    case DEFAULTS:
        vnx_flow_config_init(&cfg);
        read_override(in, &o);
        cfg = vnx_flow_override_apply(&o, &cfg);
        ok = vnx_policies_set_defaults(list, &cfg, &err);
        break;
    default:
        for (unsigned i = 1 + u8(in) % 64; i; i--) {    /* by scan, then by index */
            look_up(in, list);
        }
        return;
    }
    CHECK(ok == !err, "error and result differ");
    CHECK(ok || digest(list) == before, "what was refused has changed something");
    CHECK(ok || g_utf8_strlen(err->message, -1) > 10, "a refusal says nothing");
    g_clear_error(&err);
    for (size_t i = 1; i < vnx_policies_count(list); i++) {
        CHECK(vnx_policy_spec(vnx_policies_get(list, i - 1))->priority >=
              vnx_policy_spec(vnx_policies_get(list, i))->priority, "out of order");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input in = { .data = data, .left = size };
    VnxFlowConfig defaults;
    VnxPolicies *list;

    vnx_flow_config_init(&defaults);
    list = vnx_policies_new(&defaults);
    for (unsigned n = 0; in.left && n < OPS_MAX; n++) {
        operation(&in, list);
    }
    vnx_policies_free(list);
    return 0;
}
