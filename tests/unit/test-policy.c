/*
 * vnx: unit tests of policies (P1, P2, U5)
 *
 * The oracle reads a policy as a person does, member by member, bit by bit, and looks at all
 * of them; lists are small worlds in which much collides.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "../policy-check.h"
#include "engine/policy/policy-private.h"

#define S 1000000000ll

static VnxPolicySpec make(const char *id, int64_t priority)
{
    VnxPolicySpec spec;

    vnx_policy_spec_init(&spec);
    spec.id = id;
    spec.priority = priority;
    return spec;
}

static VnxPolicies *list_new(void)
{
    VnxFlowConfig defaults;

    vnx_flow_config_init(&defaults);
    return vnx_policies_new(&defaults);
}

static void add(VnxPolicies *list, VnxPolicySpec spec)
{
    GError *err = NULL;

    vnx_policies_add(list, &spec, &err);
    g_assert_no_error(err);
}

/* TCP from SOURCE:1000 to DESTINATION:80, untagged, opened by the guest. */
static VnxFlowKey make_key(const char *source, const char *destination)
{
    VnxFlowKey key = {
        .port = { 1000, 80 }, .vlan = { VNX_VLAN_NONE, VNX_VLAN_NONE }, .proto = 6,
    };

    key.ip_version = strchr(source, ':') ? 6 : 4;
    for (int side = 0; side < 2; side++) {
        g_assert_cmpint(inet_pton(key.ip_version == 4 ? AF_INET : AF_INET6,
                                  side ? destination : source, key.addr[side]), ==, 1);
    }
    return key;
}

static const char *find(VnxPolicies *list, const VnxFlowKey *key, VnxDir opener,
                        uint8_t dscp, uint64_t bytes, int64_t age_ns)
{
    VnxFlowOpening opening = { .key = key, .opener = opener, .dscp = dscp };
    VnxPolicy *p = vnx_policies_lookup(list, &opening, bytes, age_ns);

    return p ? vnx_policy_spec(p)->id : NULL;
}

/* ---- the oracle ---- */

/* Of @specs, in order of age. */
static const char *oracle_find(GPtrArray *specs, const VnxFlowOpening *o, uint64_t bytes,
                               int64_t age_ns)
{
    const VnxPolicySpec *best = NULL;

    for (guint i = 0; i < specs->len; i++) {
        const VnxPolicySpec *s = g_ptr_array_index(specs, i);

        if (oracle_matches(s, o, bytes, age_ns) &&
            (!best || s->priority > best->priority)) {
            best = s;
        }
    }
    return best ? best->id : NULL;
}

static int64_t pick(GRand *r, int64_t max)
{
    return g_rand_int_range(r, 0, max);
}

static bool chance(GRand *r)
{
    return pick(r, 3) == 0;
}

static const char *const prefixes[2][8] = {
    { "0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.1.1", "10.1.1.0/31", "128.0.0.0/1",
      "10.1.1.0/24", "255.255.255.255/32" },
    { "::/0", "fd00::/8", "fd00:1::/33", "fd00:1::1", "fd00:1::/127", "8000::/1",
      "fd00:1::/64", "::ffff:10.0.0.0/104" },
};
static const char *const addresses[2][8] = {
    { "10.1.1.1", "10.1.1.0", "10.1.2.3", "10.2.0.1", "192.168.0.1", "0.0.0.1",
      "255.255.255.255", "9.255.255.255" },
    { "fd00:1::1", "fd00:1::", "fd00:1:8000::1", "fd01::1", "ff02::1", "::1",
      "::ffff:10.1.1.1", "fd00:1:0:1::1" },
};

static VnxPolicySpec random_spec(GRand *r, char *id)
{
    VnxPolicySpec s = make(id, pick(r, 4));
    int family = pick(r, 2);

    for (int e = 0; e < 2; e++) {
        if (chance(r)) {
            s.prefix[e] = prefixes[family][pick(r, 8)];
        }
        if (chance(r)) {
            s.port[e][0] = 998 + pick(r, 6);
            s.port[e][1] = s.port[e][0] + (chance(r) ? pick(r, 9) : 0);
        }
    }
    s.vlan = chance(r) ? pick(r, 2) : VNX_POLICY_ANY;
    s.inner_vlan = chance(r) && chance(r) ? pick(r, 2) : VNX_POLICY_ANY;
    s.vni = chance(r) && chance(r) ? pick(r, 2) : VNX_POLICY_ANY;
    s.ip_version = chance(r) ? (family ? 6 : 4) : VNX_POLICY_ANY;
    s.protocol = chance(r) && chance(r) ? 6 : VNX_POLICY_ANY;
    s.opener = chance(r) ? pick(r, 2) : VNX_POLICY_ANY;
    s.dscp = chance(r) ? pick(r, 2) * 46 : VNX_POLICY_ANY;
    s.scope_bytes = chance(r) ? 1 + pick(r, 3) : VNX_POLICY_ANY;
    s.scope_ms = chance(r) ? 1 + pick(r, 3) : VNX_POLICY_ANY;
    return s;
}

static void check_random_flow(GRand *r, VnxPolicies *list, GPtrArray *specs)
{
    int family = pick(r, 2);
    VnxFlowKey key = make_key(addresses[family][pick(r, 8)], addresses[family][pick(r, 8)]);
    VnxFlowOpening o = { .key = &key, .opener = pick(r, 2), .dscp = pick(r, 2) * 46 };
    uint64_t bytes = pick(r, 5);
    int64_t age_ns = pick(r, 50) * 100000;

    for (int side = 0; side < 2; side++) {
        key.port[side] = 995 + pick(r, 12);
        key.vlan[side] = pick(r, 3) ? pick(r, 2) : VNX_VLAN_NONE;
    }
    key.vni = pick(r, 2);
    g_assert_cmpstr(find(list, &key, o.opener, o.dscp, bytes, age_ns), ==,
                    oracle_find(specs, &o, bytes, age_ns));
}

/* Lists that change, one that is looked up now and then, and often enough for an index. */
static void test_oracle(void)
{
    for (unsigned seed = 0; seed < 60; seed++) {
        GRand *r = g_rand_new_with_seed(seed);
        VnxPolicies *list = list_new();
        GPtrArray *specs = g_ptr_array_new_with_free_func(g_free);
        char ids[200][8];
        unsigned named = 0;

        for (unsigned step = 0; step < 150; step++) {
            unsigned what = pick(r, 4);

            if (what < 2 || !specs->len) {
                VnxPolicySpec s;

                g_snprintf(ids[named], sizeof(ids[0]), "p%u", named);
                s = random_spec(r, ids[named++]);
                add(list, s);
                g_ptr_array_add(specs, g_memdup2(&s, sizeof(s)));
            } else if (what == 2) {
                VnxPolicySpec *s = g_ptr_array_index(specs, pick(r, specs->len));

                *s = random_spec(r, (char *)s->id);
                g_assert_true(vnx_policies_set(list, s, NULL));
            } else if (chance(r)) {
                guint i = pick(r, specs->len);
                VnxPolicySpec *s = g_ptr_array_index(specs, i);

                g_assert_true(vnx_policies_del(list, s->id, NULL));
                g_ptr_array_remove_index(specs, i);
            }
            g_assert_cmpuint(vnx_policies_count(list), ==, specs->len);
            for (unsigned n = step % 8 ? 5 : 100; n; n--) {
                check_random_flow(r, list, specs);
            }
        }
        g_ptr_array_unref(specs);
        vnx_policies_free(list);
        g_rand_free(r);
    }
}

/* ---- precedence ---- */

static void test_precedence(void)
{
    VnxPolicies *list = list_new();
    VnxFlowKey key = make_key("10.0.0.1", "10.0.0.2");
    VnxPolicySpec s = make("third", 5);

    g_assert_null(find(list, &key, 0, 0, 0, 0));
    add(list, make("low", 1));
    add(list, make("second", 5));
    add(list, s);
    add(list, make("first", 65535));
    g_assert_cmpstr(find(list, &key, 0, 0, 0, 0), ==, "first");
    g_assert_cmpstr(vnx_policy_spec(vnx_policies_get(list, 3))->id, ==, "low");
    g_assert_true(vnx_policies_del(list, "first", NULL));
    g_assert_cmpstr(find(list, &key, 0, 0, 0, 0), ==, "second");    /* the older one */
    s.priority = 6;
    g_assert_true(vnx_policies_set(list, &s, NULL));
    g_assert_cmpstr(find(list, &key, 0, 0, 0, 0), ==, "third");
    s.priority = 5;             /* where it was: it keeps its age */
    g_assert_true(vnx_policies_set(list, &s, NULL));
    g_assert_cmpstr(find(list, &key, 0, 0, 0, 0), ==, "second");
    g_assert_true(vnx_policies_del(list, "second", NULL));
    g_assert_cmpstr(find(list, &key, 0, 0, 0, 0), ==, "third");
    vnx_policies_free(list);
}

/* ---- prefixes ---- */

typedef struct PrefixCase {
    const char *prefix, *address;
    bool matches;
} PrefixCase;

static void test_prefixes(void)
{
    static const PrefixCase cases[] = {
        { "0.0.0.0/0", "255.255.255.255", true },
        { "0.0.0.0/0", "::", false },
        { "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true },
        { "::/0", "0.0.0.0", false },
        { "0.0.0.0/1", "127.255.255.255", true },
        { "0.0.0.0/1", "128.0.0.0", false },
        { "10.1.1.2/31", "10.1.1.3", true },
        { "10.1.1.2/31", "10.1.1.4", false },
        { "10.1.1.2/32", "10.1.1.2", true },
        { "10.1.1.2", "10.1.1.3", false },
        { "10.1.128.0/17", "10.1.128.1", true },
        { "10.1.128.0/17", "10.1.127.255", false },
        { "2001:db8::/32", "2001:db8:ffff::1", true },
        { "2001:db8::/32", "2001:db9::", false },
        { "2001:db8::/127", "2001:db8::1", true },
        { "2001:db8::/127", "2001:db8::2", false },
        { "2001:db8::1/128", "2001:db8::1", true },
        { "2001:db8::1", "2001:db8::", false },
        { "2001:db8:0:0:8000::/65", "2001:db8::8000:0:0:1", true },
        { "2001:db8:0:0:8000::/65", "2001:db8::7fff:0:0:1", false },
        { "::ffff:10.0.0.0/104", "::ffff:10.1.2.3", true },
        { "::ffff:10.0.0.0/104", "10.1.2.3", false },   /* another version, another flow */
        { "0.0.0.0/0", "::ffff:10.1.2.3", false },
    };

    for (unsigned i = 0; i < 4 * G_N_ELEMENTS(cases); i++) {
        const PrefixCase *t = &cases[i / 4];
        const char *other = strchr(t->address, ':') ? "fe80::1" : "169.254.0.1";
        int end = i & 1, opener = i >> 1 & 1;
        /* the address belongs to the guest when the guest is that end */
        bool guest = (opener == VNX_TO_GUEST) == (end == VNX_SOURCE);
        VnxFlowKey key = make_key(guest ? t->address : other, guest ? other : t->address);
        VnxPolicies *list = list_new();
        VnxPolicySpec s = make("p", 0);

        s.prefix[end] = t->prefix;
        add(list, s);
        for (int n = 0; n < 64; n++) {          /* by scan and by index */
            g_assert_cmpint(find(list, &key, opener, 0, 0, 0) != NULL, ==, t->matches);
        }
        vnx_policies_free(list);
    }
}

/* Whatever is an address to inet_pton() is one here, the same one, and nothing else is. */
static void check_address(const char *text)
{
    uint8_t addr[16], mask[16], wanted[16] = { 0 };
    unsigned version = inet_pton(AF_INET, text, wanted) == 1 ? 4 : 0;

    if (!version) {
        memset(wanted, 0, 16);
        version = inet_pton(AF_INET6, text, wanted) == 1 ? 6 : 0;
    }
    if (vnx_policy_parse_prefix(text, addr, mask) != version ||
        (version && memcmp(addr, wanted, 16))) {
        g_error("'%s' is read wrong", text);
    }
}

static void test_addresses(void)
{
    static const char *const texts[] = {
        "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
        "1:2:3:4:5:6:7:8::", "1::2::3", ":1::2", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7",
        "1:", ":", ":::", "::1:", "12345::", "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4",
        "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "1.2.3.4::", "1.2.3.4", "01.2.3.4", "1.2.3.04",
        "1..2.3", "1.2.3.4.", "256.1.1.1", "0.0.0.0", "::g", "FE80::aBcD", "",
        "1:2:3:4:5:6:7:", "::1.2.3.4:5", "1:2:3::4:5:6:7:8", "1::3:4:5:6:7:8",
    };
    static const char alphabet[] = "01259afF:::..";
    GRand *r = g_rand_new_with_seed(7);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        check_address(texts[i]);
        for (unsigned n = 0; n < 2000; n++) {   /* and what is not far from it */
            char *bent = g_strdup_printf("%s ", texts[i]);
            size_t len = strlen(bent) - 1;

            bent[len] = n & 1 ? alphabet[g_rand_int_range(r, 0, sizeof(alphabet) - 1)] : 0;
            for (unsigned k = n % 3; k && *bent; k--) {
                bent[g_rand_int_range(r, 0, strlen(bent))] =
                    alphabet[g_rand_int_range(r, 0, sizeof(alphabet) - 1)];
            }
            check_address(bent);
            g_free(bent);
        }
    }
    g_rand_free(r);
}

/* ---- scopes ---- */

static void test_scopes(void)
{
    VnxPolicies *list = list_new();
    VnxFlowKey key = make_key("10.0.0.1", "10.0.0.2");
    VnxPolicySpec first = make("first", 9), second = make("second", 8);

    first.scope_bytes = 1000;
    first.scope_ms = 3000;
    second.scope_bytes = 5000;
    add(list, first);
    add(list, second);
    add(list, make("rest", 1));
    for (int n = 0; n < 64; n++) {
        g_assert_cmpstr(find(list, &key, 0, 0, 0, 0), ==, "first");
        g_assert_cmpstr(find(list, &key, 0, 0, 999, 3 * S - 1), ==, "first");
        g_assert_cmpstr(find(list, &key, 0, 0, 1000, 0), ==, "second");
        g_assert_cmpstr(find(list, &key, 0, 0, 0, 3 * S), ==, "second");
        g_assert_cmpstr(find(list, &key, 0, 0, 5000, 0), ==, "rest");
        g_assert_cmpstr(find(list, &key, 0, 0, UINT64_MAX - 1, INT64_MAX - 1), ==, "rest");
    }
    g_assert_true(vnx_policies_del(list, "rest", NULL));
    g_assert_null(find(list, &key, 0, 0, 5000, 0));
    vnx_policies_free(list);
}

/* ---- bad policies ---- */

static VnxPolicySpec bad;       /* the good one, but for what a line says */

#define BAD(text, ...) \
    do { \
        bad = make("p", 0); \
        __VA_ARGS__; \
        expect_refused(list, text); \
    } while (0)

/* Add, set and replace say so in the same words, and change nothing. */
static void expect_refused(VnxPolicies *list, const char *text)
{
    VnxPolicySpec two[2] = { make("good", 7), bad };
    size_t before = vnx_policies_count(list);

    for (int how = 0; how < 3; how++) {
        GError *err = NULL;
        bool ok = how == 0 ? vnx_policies_add(list, &bad, &err) :
                  how == 1 ? vnx_policies_set(list, &bad, &err) :
                  vnx_policies_replace(list, two, 2, &err);

        g_assert_false(ok);
        g_assert_nonnull(err);
        if (!(how == 1 && err->code == VNX_VTCP_ERROR_POLICY) && !strstr(err->message, text)) {
            g_error("'%s' does not say '%s'", err->message, text);
        }
        g_error_free(err);
        g_assert_cmpuint(vnx_policies_count(list), ==, before);
        g_assert_cmpint(vnx_policy_spec(vnx_policies_get(list, 0))->priority, ==, 3);
    }
}

static void test_bad(void)
{
    static const char *const not_prefixes[] = {
        "", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8",
        "10.0.0.0/8 ", "10.0.0.0/0x8", "10.0.0.0/08888", "10.0.0/8", "10.0.0.256", "::/129",
        "::/", ":::", "fe80::1%eth0", "localhost", "10.0.0.0/8/8", "1.2.3.4.5", "/8",
        "::ffff:10.0.0.0/8888888888888888888888888888888888888888888888888",
        "1111111111111111111111111111111111111111111111111111111111111111111111/8",
    };
    VnxPolicies *list = list_new();
    char long_id[VNX_POLICY_ID_MAX + 2] = "";
    GError *err = NULL;

    add(list, make("p", 3));
    memset(long_id, 'x', sizeof(long_id) - 1);
    BAD("id is ''", bad.id = "");
    BAD("id is ''", bad.id = NULL);
    BAD("id is 'a b', but must be 1 to 64 letters", bad.id = "a b");
    BAD("id is 'xxx", bad.id = long_id);
    BAD("policy 'p': priority is -1, but must be from 0 to 65535", bad.priority = -1);
    BAD("priority is 65536", bad.priority = 65536);
    BAD("priority is -9223372036854775808", bad.priority = INT64_MIN);
    BAD("vlan is 4095, but must be from 0 to 4094", bad.vlan = 4095);
    BAD("vlan is -1", bad.vlan = -1);
    BAD("inner-vlan is 65535", bad.inner_vlan = 65535);
    BAD("vni is 16777216, but must be from 0 to 16777215", bad.vni = 1 << 24);
    BAD("ip-version is 5, but must be 4 or 6", bad.ip_version = 5);
    BAD("protocol is 256, but must be from 0 to 255", bad.protocol = 256);
    BAD("opener is 2", bad.opener = 2);
    BAD("dscp is 64, but must be from 0 to 63", bad.dscp = 64);
    BAD("source-ports from is 65536", bad.port[0][0] = 65536, bad.port[0][1] = 65536);
    BAD("destination-ports to is 79, but must be from 80 to 65535",
        bad.port[1][0] = 80, bad.port[1][1] = 79);
    BAD("source-ports has no to, but must have both, from 0 to 65535", bad.port[0][0] = 4);
    BAD("destination-ports has no from", bad.port[1][1] = 4);
    BAD("bytes is 0, but must be from 1 to 4611686018427387904", bad.scope_bytes = 0);
    BAD("ms is 0, but must be from 1 to 31536000000", bad.scope_ms = 0);
    BAD("ms is 31536000001", bad.scope_ms = VNX_SCOPE_MS_MAX + 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(not_prefixes); i++) {
        BAD("but must be an IPv4 or IPv6 address", bad.prefix[i & 1] = not_prefixes[i]);
    }
    BAD("source is '10.0.0.1/8', but must be a prefix with no bits set behind",
        bad.prefix[0] = "10.0.0.1/8");
    BAD("no bits set", bad.prefix[1] = "0.0.0.1/0");
    BAD("no bits set", bad.prefix[1] = "fe80::1/127");
    BAD("destination is '::/0', but must be of IPv4",
        bad.prefix[0] = "10.0.0.0/8", bad.prefix[1] = "::/0");
    BAD("source is '10.0.0.0/8', but must be of IPv6",
        bad.ip_version = 6, bad.prefix[0] = "10.0.0.0/8");
    BAD("mode is 'off', but must be 'accelerate' or 'observe'", bad.scope_ms = 1,
        vnx_flow_override_number(&bad.override, "mode", VNX_MODE_OFF, NULL));
    BAD("min-rto is 1000, but must be from 1 to max-rto, which is 999",
        vnx_flow_override_number(&bad.override, "min-rto", 1000, NULL),
        vnx_flow_override_number(&bad.override, "max-rto", 999, NULL));

    /* only add, only set, only replace */
    bad = make("p", 4);
    g_assert_false(vnx_policies_add(list, &bad, &err));
    g_assert_nonnull(strstr(err->message, "id 'p' is that of another policy"));
    g_clear_error(&err);
    bad.id = "q";
    g_assert_false(vnx_policies_set(list, &bad, &err));
    g_assert_nonnull(strstr(err->message, "no policy with id 'q'"));
    g_clear_error(&err);
    g_assert_false(vnx_policies_del(list, "q", &err));
    g_assert_nonnull(strstr(err->message, "no policy with id 'q'"));
    g_clear_error(&err);
    g_assert_false(vnx_policies_replace(list, (VnxPolicySpec[2]) { bad, bad }, 2, &err));
    g_assert_nonnull(strstr(err->message, "id 'q' is that of another policy"));
    g_clear_error(&err);
    g_assert_false(vnx_policies_replace(list, &bad, VNX_POLICIES_MAX + 1, &err));
    g_assert_nonnull(strstr(err->message, "from 0 to 65536"));
    g_clear_error(&err);
    g_assert_cmpuint(vnx_policies_count(list), ==, 1);
    g_assert_true(vnx_policies_replace(list, NULL, 0, NULL));
    g_assert_cmpuint(vnx_policies_count(list), ==, 0);
    vnx_policies_free(list);
}

/* ---- configurations ---- */

/* Each member alone, by its name, overrides itself and nothing else; none is forgotten. */
static void test_override(void)
{
    const VnxFlowMember *m;
    size_t bytes = 0;

    for (unsigned i = 0; (m = vnx_flow_member(i)); i++) {
        VnxFlowOverride o = { 0 };
        VnxFlowConfig base, cfg;

        g_assert_true(vnx_flow_member_find(m->name) == m);
        bytes += m->size;
        memset(&base, 0xa5, sizeof(base));
        if (m->type == VNX_MEMBER_NAME) {
            g_assert_false(vnx_flow_override_name(&o, m->name, "tachyon", NULL));
            g_assert_true(vnx_flow_override_name(&o, m->name, "cubic", NULL));
        } else {
            g_assert_false(vnx_flow_override_number(&o, m->name, (int64_t)m->max + 1, NULL));
            g_assert_false(vnx_flow_override_number(&o, m->name, (int64_t)m->min - 1, NULL));
            g_assert_false(vnx_flow_override_number(&o, m->name, INT64_MIN, NULL));
            g_assert_cmpuint(o.set, ==, 0);
            g_assert_true(vnx_flow_override_number(&o, m->name, m->max, NULL));
        }
        g_assert_cmpuint(o.set, ==, 1u << i);
        g_assert_true(vnx_flow_override_has(&o, m->name));
        cfg = vnx_flow_override_apply(&o, &base);
        g_assert_cmpmem((char *)&cfg + m->offset, m->size,
                        (char *)&o.config + m->offset, m->size);
        g_assert_cmpint(memcmp((char *)&cfg + m->offset, (char *)&base + m->offset, m->size),
                        !=, 0);
        memcpy((char *)&cfg + m->offset, (char *)&base + m->offset, m->size);
        g_assert_cmpmem(&cfg, sizeof(cfg), &base, sizeof(base));
    }
    /* what is left of the struct is padding */
    g_assert_cmpuint(sizeof(VnxFlowConfig) - bytes, <, G_ALIGNOF(VnxFlowConfig));
    g_assert_null(vnx_flow_member_find("bogus"));
}

static VnxFlowConfig config_of(VnxPolicies *list, const char *id)
{
    for (size_t i = 0; i < vnx_policies_count(list); i++) {
        const VnxPolicy *p = vnx_policies_get(list, i);

        if (!strcmp(vnx_policy_spec(p)->id, id)) {
            return *vnx_flow_profile_config(vnx_policy_profile(p));
        }
    }
    g_assert_not_reached();
}

/* Policies stand on the defaults, also on those that come later; all or nothing. */
static void test_defaults(void)
{
    VnxPolicies *list = list_new();
    VnxPolicySpec s = make("p", 0);
    VnxFlowConfig defaults;
    GError *err = NULL;

    vnx_flow_config_init(&defaults);
    g_assert_true(vnx_flow_override_number(&s.override, "min-rto", 5000, NULL));
    add(list, s);
    add(list, make("q", 0));
    g_assert_cmpuint(config_of(list, "p").min_rto_ms, ==, 5000);
    g_assert_cmpuint(config_of(list, "q").min_rto_ms, ==, VNX_MIN_RTO_DEFAULT_MS);
    defaults.initial_window = 33;
    g_assert_true(vnx_policies_set_defaults(list, &defaults, NULL));
    g_assert_cmpuint(config_of(list, "p").initial_window, ==, 33);
    g_assert_cmpuint(config_of(list, "q").initial_window, ==, 33);
    defaults.initial_window = 34;
    defaults.max_rto_ms = 4999;
    g_assert_false(vnx_policies_set_defaults(list, &defaults, &err));
    g_assert_nonnull(strstr(err->message, "policy 'p': min-rto is 5000"));
    g_clear_error(&err);
    g_assert_cmpuint(config_of(list, "q").initial_window, ==, 33);
    g_assert_cmpuint(config_of(list, "q").max_rto_ms, ==, VNX_MAX_RTO_DEFAULT_MS);
    vnx_policies_free(list);
}

/* ---- flows that hold them ---- */

static void test_counts(void)
{
    VnxPolicies *list = list_new();
    VnxFlowKey key = make_key("10.0.0.1", "10.0.0.2");
    VnxFlowOpening o = { .key = &key };
    VnxPolicySpec s = make("p", 0);
    VnxPolicy *p;

    add(list, s);
    p = vnx_policies_lookup(list, &o, 0, 0);
    vnx_policy_hold(p);
    vnx_policy_hold(p);
    vnx_policy_release(p);
    g_assert_cmpuint(vnx_policy_hits(p), ==, 2);
    g_assert_cmpuint(vnx_policy_flows(p), ==, 1);
    s.priority = 9;
    g_assert_true(vnx_policies_set(list, &s, NULL));
    g_assert_true(vnx_policies_lookup(list, &o, 0, 0) == p);    /* still the same one */
    g_assert_cmpuint(vnx_policy_hits(p), ==, 2);
    g_assert_true(vnx_policies_replace(list, &s, 1, NULL));
    g_assert_cmpuint(vnx_policy_hits(vnx_policies_get(list, 0)), ==, 0);
    vnx_policies_free(list);
    g_assert_cmpuint(vnx_policy_flows(p), ==, 1);               /* the flow keeps it */
    g_assert_cmpstr(vnx_policy_spec(p)->id, ==, "p");
    vnx_policy_release(p);
}

/* ---- many ---- */

/* Seconds for one lookup, on average, that ends at the list's last policy. */
static double lookup_time(VnxPolicies *list, const VnxFlowKey *key)
{
    enum { N = 2000 };
    double best = 1;

    for (int round = 0; round < 7; round++) {
        gint64 start = g_get_monotonic_time();

        for (int i = 0; i < N; i++) {
            g_assert_cmpstr(find(list, key, 0, 0, 0, 0), ==, "last");
        }
        best = MIN(best, (g_get_monotonic_time() - start) / 1e6 / N);
    }
    return best;
}

/* 10,000 policies: what a lookup costs does not depend on their number. */
static void test_many(void)
{
    static const unsigned numbers[] = { 10, 10000 };
    static const char *const kinds[] = { "addresses", "ports", "port ranges" };
    VnxFlowKey key = make_key("10.0.0.1", "192.168.1.1");

    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        double time[G_N_ELEMENTS(numbers)];

        for (unsigned n = 0; n < G_N_ELEMENTS(numbers); n++) {
            VnxPolicies *list = list_new();
            VnxPolicySpec last = make("last", 0);

            for (unsigned i = 0; i < numbers[n]; i++) {
                char id[16], prefix[20];
                VnxPolicySpec s;

                g_snprintf(id, sizeof(id), "p%u", i);
                g_snprintf(prefix, sizeof(prefix), "172.16.%u.%u", i / 256, i % 256);
                s = make(id, 1 + i % 1000);
                if (kind == 0) {
                    s.prefix[VNX_DESTINATION] = prefix;
                } else {
                    s.port[VNX_DESTINATION][0] = 1000 + i;
                    s.port[VNX_DESTINATION][1] = kind == 1 ? 1000 + i : 60000;
                }
                add(list, s);
            }
            add(list, last);
            time[n] = lookup_time(list, &key);
            vnx_policies_free(list);
        }
        g_test_message("%s: %.0f ns among %u policies, %.0f ns among %u", kinds[kind],
                       time[0] * 1e9, numbers[0], time[1] * 1e9, numbers[1]);
        if (kind < 2) {         /* a scan would take 500 times as long, and more */
            g_assert_cmpfloat(time[1], <, time[0] * 10);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/P1/oracle", test_oracle);
    g_test_add_func("/policy/P2/precedence", test_precedence);
    g_test_add_func("/policy/P1/prefixes", test_prefixes);
    g_test_add_func("/policy/P1/addresses", test_addresses);
    g_test_add_func("/policy/P2/scopes", test_scopes);
    g_test_add_func("/policy/U5/bad", test_bad);
    g_test_add_func("/policy/P1/override", test_override);
    g_test_add_func("/policy/P2/defaults", test_defaults);
    g_test_add_func("/policy/P5/counts", test_counts);
    g_test_add_func("/policy/P1/many", test_many);
    return g_test_run();
}
