/*
 * vnx: policies of filter-vtcp, by QMP and as a property (P1, P2, P5, U1, U5)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "world.h"
#include "qapi/error.h"
#include "qobject/qjson.h"

#define HUB "-nodefaults -M none -netdev hubport,id=n0,hubid=0 "
#define FILTER "-object filter-vtcp,id=f0,netdev=n0"

static QDict *command(QTestState *qts, const char *name, const char *arguments)
{
    g_autofree char *text = g_strdup_printf(
        "{ 'execute': '%s', 'arguments': { %s } }", name, arguments);
    QDict *r, *request = qobject_to(QDict, qobject_from_json(text, &error_abort));

    g_autoptr(GString) json = qobject_to_json(QOBJECT(request));

    /* not a format: what is to be sent may hold anything */
    qtest_qmp_send_raw(qts, "%s\n", json->str);
    qobject_unref(request);
    while ((r = qtest_qmp_receive_dict(qts)) && qdict_haskey(r, "event")) {
        qobject_unref(r);
    }
    return r;
}

static void good(QTestState *qts, const char *name, const char *arguments)
{
    QDict *r = command(qts, name, arguments);

    if (qdict_haskey(r, "error")) {
        g_error("%s %s: %s", name, arguments,
                qdict_get_str(qdict_get_qdict(r, "error"), "desc"));
    }
    qobject_unref(r);
}

/* The error's text has @why in it. */
static void bad(QTestState *qts, const char *name, const char *arguments, const char *why)
{
    QDict *r = command(qts, name, arguments);
    const char *desc;

    if (!qdict_haskey(r, "error")) {
        g_error("%s %s: no error", name, arguments);
    }
    desc = qdict_get_str(qdict_get_qdict(r, "error"), "desc");
    g_test_message("%s %s: %s", name, arguments, desc);
    if (!strstr(desc, why)) {
        g_error("'%s' does not say '%s'", desc, why);
    }
    qobject_unref(r);
}

static QList *policies(QTestState *qts, const char *arguments)
{
    QDict *r = command(qts, "query-vnx-vtcp-policies", arguments);
    QList *list = qdict_get_qlist(r, "return");

    g_assert_nonnull(list);
    qobject_ref(list);
    qobject_unref(r);
    return list;
}

/* The policies of f0 are these, "id id ..." in the order in which they are asked. */
static void expect_ids(QTestState *qts, const char *ids)
{
    QList *list = policies(qts, "'id': 'f0'");
    g_autoptr(GString) got = g_string_new(NULL);
    QListEntry *e;

    QLIST_FOREACH_ENTRY(list, e) {
        QDict *p = qobject_to(QDict, qlist_entry_obj(e));

        g_string_append_printf(got, "%s%s", got->len ? " " : "", qdict_get_str(p, "id"));
    }
    g_assert_cmpstr(got->str, ==, ids);
    qobject_unref(list);
}

#define ADD "vnx-vtcp-policy-add"
#define SET "vnx-vtcp-policy-set"
#define DEL "vnx-vtcp-policy-del"
#define REPLACE "vnx-vtcp-policy-replace"

/* Everything that there is, comes back as it was given. */
#define FULL "{ 'id': 'full', 'priority': 65535," \
    " 'match': { 'vlan': 4094, 'inner-vlan': 0, 'vni': 16777215, 'ip-version': 6," \
    "   'protocol': 6, 'source': 'fe80::/10'," \
    "   'source-ports': { 'from': 0, 'to': 65535 }," \
    "   'destination': 'fd00::1', 'destination-ports': { 'from': 80, 'to': 81 }," \
    "   'opener': 'remote', 'dscp': 63 }," \
    " 'config': { 'mode': 'observe', 'out-of-order': 'pass-through'," \
    "   'flow-buffer-size': 65536, 'weight': 0, 'max-window': 1073741824," \
    "   'dupack-threshold': 255, 'initial-window': 1000, 'slow-start-threshold': 1," \
    "   'additive-increase': 10000, 'decrease-factor': 99, 'min-rto': 1, 'max-rto': 2," \
    "   'max-pacing-rate': 125000," \
    "   'ecn': false, 'congestion-control': 'cubic'," \
    "   'guest-congestion-control': 'reno' }," \
    " 'scope': { 'bytes': 4611686018427387904, 'ms': 31536000000 } }"

static void expect_full(QObject *got)
{
    QDict *wanted = qobject_to(QDict, qobject_from_json(FULL, &error_abort));

    g_assert_true(qobject_is_equal(got, QOBJECT(wanted)));
    qobject_unref(wanted);
}

static void test_round_trip(void)
{
    QTestState *qts = qtest_init(HUB FILTER);
    QList *list;
    QDict *info, *r;

    good(qts, ADD, "'filter': 'f0', 'policy': " FULL);
    list = policies(qts, "");
    info = qobject_to(QDict, qlist_peek(list));
    g_assert_cmpstr(qdict_get_str(info, "filter"), ==, "f0");
    g_assert_cmpint(qdict_get_int(info, "hits"), ==, 0);
    g_assert_cmpint(qdict_get_int(info, "flows"), ==, 0);
    qdict_del(info, "filter");
    qdict_del(info, "hits");
    qdict_del(info, "flows");
    expect_full(QOBJECT(info));
    qobject_unref(list);

    r = command(qts, "qom-get", "'path': '/objects/f0', 'property': 'policies'");
    expect_full(qlist_peek(qdict_get_qlist(r, "return")));
    qobject_unref(r);
    qtest_quit(qts);
}

static void test_order(void)
{
    QTestState *qts = qtest_init(HUB FILTER);

    expect_ids(qts, "");
    good(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'a' }");
    good(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'b', 'priority': 5 }");
    good(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'c' }");
    expect_ids(qts, "b a c");
    good(qts, SET, "'filter': 'f0', 'policy': { 'id': 'c', 'priority': 9 }");
    expect_ids(qts, "c b a");
    good(qts, SET, "'filter': 'f0', 'policy': { 'id': 'c' }");
    expect_ids(qts, "b a c");
    good(qts, DEL, "'filter': 'f0', 'id': 'a'");
    expect_ids(qts, "b c");
    good(qts, REPLACE, "'filter': 'f0', 'policies': [ { 'id': 'c' }, { 'id': 'a' } ]");
    expect_ids(qts, "c a");
    good(qts, "qom-set", "'path': '/objects/f0', 'property': 'policies',"
                         "'value': [ { 'id': 'x' } ]");
    expect_ids(qts, "x");
    good(qts, REPLACE, "'filter': 'f0', 'policies': []");
    expect_ids(qts, "");
    qtest_quit(qts);
}

typedef struct Bad {
    const char *policy, *why;
} Bad;

static const Bad bad_policies[] = {
    { "{}", "id" },
    { "{ 'id': 1 }", "id" },
    { "{ 'id': '' }", "id is ''" },
    { "{ 'id': 'a b' }", "1 to 64 letters" },
    { "{ 'id': 'p', 'bogus': 1 }", "bogus" },
    { "{ 'id': 'p', 'priority': -1 }", "policy 'p': priority is -1, but must be from 0" },
    { "{ 'id': 'p', 'priority': 65536 }", "to 65535" },
    { "{ 'id': 'p', 'priority': '1' }", "priority" },
    { "{ 'id': 'p', 'priority': -9223372036854775808 }",
      "priority is -9223372036854775808" },
    { "{ 'id': 'p', 'match': [] }", "match" },
    { "{ 'id': 'p', 'match': { 'bogus': 1 } }", "bogus" },
    { "{ 'id': 'p', 'match': { 'vlan': 4095 } }",
      "vlan is 4095, but must be from 0 to 4094" },
    { "{ 'id': 'p', 'match': { 'vlan': -9223372036854775808 } }",
      "vlan is -92233720368547" },
    { "{ 'id': 'p', 'match': { 'inner-vlan': -1 } }", "inner-vlan is -1" },
    { "{ 'id': 'p', 'match': { 'vni': 16777216 } }", "to 16777215" },
    { "{ 'id': 'p', 'match': { 'ip-version': 5 } }", "must be 4 or 6" },
    { "{ 'id': 'p', 'match': { 'protocol': 256 } }", "from 0 to 255" },
    { "{ 'id': 'p', 'match': { 'dscp': 64 } }", "from 0 to 63" },
    { "{ 'id': 'p', 'match': { 'opener': 'host' } }", "opener" },
    { "{ 'id': 'p', 'match': { 'source': 'localhost' } }",
      "source is 'localhost', but must" },
    { "{ 'id': 'p', 'match': { 'source': '10.0.0.1/8' } }",
      "no bits set behind its length" },
    { "{ 'id': 'p', 'match': { 'destination': '::/129' } }", "destination is '::/129'" },
    { "{ 'id': 'p', 'match': { 'source': '::', 'destination': '0.0.0.0' } }",
      "must be of IPv6" },
    { "{ 'id': 'p', 'match': { 'source': 5 } }", "source" },
    { "{ 'id': 'p', 'match': { 'source-ports': {} } }", "from" },
    { "{ 'id': 'p', 'match': { 'source-ports': { 'from': 65536 } } }",
      "source-ports from is 65536, but must be from 0 to 65535" },
    { "{ 'id': 'p', 'match': { 'destination-ports': { 'from': 2, 'to': 1 } } }",
      "destination-ports to is 1, but must be from 2 to 65535" },
    { "{ 'id': 'p', 'match': { 'source-ports': { 'from': -9223372036854775808 } } }",
      "source-ports from is -92233720" },
    { "{ 'id': 'p', 'config': { 'mode': 'fast' } }", "mode" },
    { "{ 'id': 'p', 'config': { 'weight': 10001 } }",
      "policy 'p': weight is 10001, but must be from 0 to 10000" },
    { "{ 'id': 'p', 'config': { 'weight': -1 } }", "weight is -1" },
    { "{ 'id': 'p', 'config': { 'weight': 4294967296 } }", "weight is 4294967296" },
    { "{ 'id': 'p', 'config': { 'flow-buffer-size': 65535 } }",
      "from 65536 to 536870912" },
    { "{ 'id': 'p', 'config': { 'flow-buffer-size': 18446744073709551615 } }",
      "flow-buffer-size is 9223372036854775807" },
    { "{ 'id': 'p', 'config': { 'max-window': 1073741825 } }", "max-window" },
    { "{ 'id': 'p', 'config': { 'dupack-threshold': 1 } }", "from 2 to 255" },
    { "{ 'id': 'p', 'config': { 'initial-window': 0 } }", "from 1 to 1000" },
    { "{ 'id': 'p', 'config': { 'slow-start-threshold': 1073741825 } }", "slow-start" },
    { "{ 'id': 'p', 'config': { 'additive-increase': 0 } }", "additive-increase is 0" },
    { "{ 'id': 'p', 'config': { 'decrease-factor': 100 } }", "decrease-factor is 100" },
    { "{ 'id': 'p', 'config': { 'min-rto': 0 } }", "min-rto is 0" },
    { "{ 'id': 'p', 'config': { 'min-rto': 60001 } }", "to max-rto, which is 60000" },
    { "{ 'id': 'p', 'config': { 'max-rto': 600001 } }", "max-rto is 600001" },
    { "{ 'id': 'p', 'config': { 'max-rto': 199 } }", "min-rto is 200" },
    { "{ 'id': 'p', 'config': { 'ecn': 1 } }", "ecn" },
    { "{ 'id': 'p', 'config': { 'max-pacing-rate': 1 } }", "max-pacing-rate is 1, but" },
    { "{ 'id': 'p', 'config': { 'out-of-order': 'drop' } }", "drop" },
    { "{ 'id': 'p', 'config': { 'congestion-control': 'x' } }",
      "congestion-control is 'x', but must be one of" },
    { "{ 'id': 'p', 'config': { 'guest-congestion-control': '' } }",
      "guest-congestion-" },
    { "{ 'id': 'p', 'scope': { 'bytes': 0 } }", "scope bytes is 0, but must be from 1" },
    { "{ 'id': 'p', 'scope': { 'bytes': -1 } }", "to 4611686018427387904" },
    { "{ 'id': 'p', 'scope': { 'ms': 0 } }", "scope ms is 0, but must be from 1" },
    { "{ 'id': 'p', 'scope': { 'ms': 31536000001 } }", "to 31536000000" },
    { "{ 'id': 'p', 'scope': { 'ms': 1 }, 'config': { 'mode': 'off' } }",
      "mode is 'off'" },
};

/* Each is refused in each way that there is, and nothing is changed by it. */
static void test_bad(void)
{
    QTestState *qts = qtest_init(HUB FILTER);

    good(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'p', 'priority': 3 }");
    for (int i = 0; i < ARRAY_SIZE(bad_policies); i++) {
        const Bad *b = &bad_policies[i];
        g_autofree char *one = g_strdup_printf("'filter': 'f0', 'policy': %s", b->policy);
        g_autofree char *two = g_strdup_printf(
            "'filter': 'f0', 'policies': [ { 'id': 'ok' }, %s ]", b->policy);
        g_autofree char *property = g_strdup_printf(
            "'path': '/objects/f0', 'property': 'policies', 'value': [ %s ]", b->policy);
        g_autofree char *object = g_strdup_printf(
            "'qom-type': 'filter-vtcp', 'id': 'f1', 'netdev': 'n0', 'policies': [ %s ]",
            b->policy);

        bad(qts, ADD, one, b->why);
        bad(qts, SET, one, strstr(b->why, "id is") || strstr(b->why, "letters") ?
                           "no policy with id" : b->why);
        bad(qts, REPLACE, two, b->why);
        bad(qts, "qom-set", property, b->why);
        bad(qts, "object-add", object, b->why);
        expect_ids(qts, "p");
    }
    bad(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'p' }", "id 'p' is that of another");
    bad(qts, SET, "'filter': 'f0', 'policy': { 'id': 'q' }", "no policy with id 'q'");
    bad(qts, DEL, "'filter': 'f0', 'id': 'q'", "no policy with id 'q'");
    bad(qts, REPLACE, "'filter': 'f0', 'policies': [ { 'id': 'q' }, { 'id': 'q' } ]",
        "id 'q' is that of another");
    bad(qts, ADD, "'filter': 'f9', 'policy': { 'id': 'q' }", "no filter-vtcp with id");
    bad(qts, SET, "'filter': 'f9', 'policy': { 'id': 'p' }", "f9");
    bad(qts, DEL, "'filter': 'n0', 'id': 'p'", "n0");
    bad(qts, REPLACE, "'filter': '', 'policies': []", "''");
    bad(qts, REPLACE, "'filter': 'f0'", "policies");
    bad(qts, "query-vnx-vtcp-policies", "'id': 'f9'", "f9");
    expect_ids(qts, "p");
    /* a default that a policy does not fit to */
    good(qts, SET, "'filter': 'f0', 'policy': { 'id': 'p',"
                   "  'config': { 'min-rto': 900 } }");
    bad(qts, "qom-set", "'path': '/objects/f0', 'property': 'max-rto', 'value': 899",
        "policy 'p': min-rto is 900");
    good(qts, "qom-set", "'path': '/objects/f0', 'property': 'max-rto', 'value': 900");
    qtest_quit(qts);
}

/* As JSON; also before other properties that they depend on. */
static void test_property(void)
{
    QTestState *qts = qtest_init(HUB
        "-object '{\"qom-type\":\"filter-vtcp\",\"id\":\"f0\","
        "\"policies\":[{\"id\":\"a\",\"config\":{\"min-rto\":70000}},"
        "{\"id\":\"b\",\"priority\":2,\"scope\":{\"bytes\":1048576}}],"
        "\"netdev\":\"n0\",\"max-rto\":80000}'");

    expect_ids(qts, "b a");
    good(qts, "object-add", "'qom-type': 'filter-vtcp', 'id': 'f1', 'netdev': 'n0',"
                            "'policies': [ { 'id': 'x' } ]");
    good(qts, "object-del", "'id': 'f1'");
    expect_ids(qts, "b a");
    qtest_quit(qts);
}

static QList *no_policies(QTestState *qts)
{
    QList *list = policies(qts, "");

    g_assert_true(qlist_empty(list));
    return list;
}

static void test_no_filter(void)
{
    QTestState *qts = qtest_init(HUB);

    qobject_unref(no_policies(qts));
    bad(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'p' }", "f0");
    qtest_quit(qts);
}

#define MANY 10000

/* No longer than they must be: QEMU reads QMP byte by byte, 5 to 10 us for each. */
static char *many(int n)
{
    GString *s = g_string_new("'filter': 'f0', 'policies': [ ");

    for (int i = 0; i < n; i++) {
        g_string_append_printf(s, "%s{'id':'p%d','match':{'source':'203.%d.%d.0/24'}}",
                               i ? "," : "", i, i / 256, i % 256);
    }
    g_string_append(s, " ]");
    return g_string_free(s, false);
}

/* 10,000 at once; and, one fault in the last of them, none. */
static void test_many(void)
{
    QTestState *qts = qtest_init(HUB FILTER);
    g_autofree char *all = many(MANY);
    g_autofree char *wrong = g_strdup_printf("%.*s, { 'id': 'p0' } ]",
                                             (int)strlen(all) - 2, all);
    QList *list;
    QDict *first;

    bad(qts, REPLACE, wrong, "id 'p0' is that of another");
    qobject_unref(no_policies(qts));
    good(qts, REPLACE, all);
    good(qts, DEL, "'filter': 'f0', 'id': 'p9999'");
    good(qts, ADD, "'filter': 'f0', 'policy': { 'id': 'p9999', 'priority': 65535 }");
    list = policies(qts, "'id': 'f0'");
    g_assert_cmpint(qlist_size(list), ==, MANY);
    first = qobject_to(QDict, qlist_peek(list));
    g_assert_cmpstr(qdict_get_str(first, "id"), ==, "p9999");
    qobject_unref(list);
    qtest_quit(qts);
}

static QDict *flow(World *w)
{
    QDict *r = command(w->qts, "query-vnx-vtcp-flows", "");
    QDict *f = qobject_to(QDict, qlist_peek(qdict_get_qlist(r, "return")));

    qobject_ref(f);
    qobject_unref(r);
    return f;
}

static void expect_policy(World *w, const char *id)
{
    QDict *f = flow(w);

    g_assert_cmpstr(qdict_get_try_str(f, "policy"), ==, id);
    qobject_unref(f);
}

static void expect_counts(World *w, int64_t hits, int64_t flows)
{
    QList *list = policies(w->qts, "");
    QDict *p = qobject_to(QDict, qlist_peek(list));

    g_assert_cmpint(qdict_get_int(p, "hits"), ==, hits);
    g_assert_cmpint(qdict_get_int(p, "flows"), ==, flows);
    qobject_unref(list);
}

/* A policy holds for a live connection from the moment of the command, among others. */
static void test_live(void)
{
    World *w = world_new("-object filter-vtcp,id=f0,netdev=n0");
    g_autofree char *all = many(1000);

    guest_start(w, 0, 16);
    good(w->qts, REPLACE, all);
    connect_guest(w, 1000);
    expect_policy(w, NULL);
    good(w->qts, ADD, "'filter': 'f0', 'policy': { 'id': 'watch', 'priority': 65535,"
                      "  'match': { 'opener': 'guest',"
                      "             'source-ports': { 'from': 1000 } },"
                      "  'config': { 'mode': 'observe' } }");
    expect_policy(w, "watch");
    expect_counts(w, 1, 1);
    say(w, REMOTE, 1000, ACK | PSH, 1, 1, "slow");
    hear(w, GUEST, 1000, ACK, 1, 1, "slow");
    expect_nothing(w, REMOTE);
    say(w, GUEST, 1000, ACK, 1, 5, NULL);
    hear(w, REMOTE, 1000, ACK, 1, 5, NULL);

    good(w->qts, SET, "'filter': 'f0', 'policy': { 'id': 'watch', 'priority': 65535,"
                      "  'match': { 'opener': 'guest' } }");
    expect_counts(w, 1, 1);
    say(w, REMOTE, 1000, ACK | PSH, 5, 1, "fast");
    hear(w, GUEST, 1000, ACK, 5, 1, "fast");
    hear(w, REMOTE, 1000, ACK, 1, 9, NULL);
    good(w->qts, SET, "'filter': 'f0', 'policy': { 'id': 'watch', 'priority': 65535,"
                      "  'match': { 'opener': 'remote' } }");
    expect_policy(w, NULL);
    expect_counts(w, 1, 0);
    good(w->qts, REPLACE, "'filter': 'f0', 'policies': []");
    expect_policy(w, NULL);
    world_free(w);
}

/* Scopes chain, by bytes and by the VM's time. */
static void test_scopes(void)
{
    World *w = world_new("-object '{\"qom-type\":\"filter-vtcp\",\"id\":\"f0\","
        "\"netdev\":\"n0\",\"policies\":["
        "{\"id\":\"bytes\",\"priority\":2,\"scope\":{\"bytes\":4}},"
        "{\"id\":\"time\",\"scope\":{\"ms\":3000}}]}'");

    QDict *r;

    /* HMP shows every property of a filter */
    r = command(w->qts, "human-monitor-command", "'command-line': 'info network'");
    g_assert_nonnull(strstr(qdict_get_str(r, "return"), "policies="));
    qobject_unref(r);
    guest_start(w, 0, 16);
    connect_guest(w, 1000);
    expect_policy(w, "bytes");
    say(w, REMOTE, 1000, ACK | PSH, 1, 1, "1234");
    hear(w, GUEST, 1000, ACK, 1, 1, "1234");
    hear(w, REMOTE, 1000, ACK, 1, 5, NULL);
    expect_policy(w, "bytes");
    say(w, GUEST, 1000, ACK, 1, 5, NULL);
    expect_nothing(w, REMOTE);
    expect_policy(w, "time");
    qtest_clock_step(w->qts, 2999ll * SCALE_MS);
    expect_policy(w, "time");
    qtest_clock_step(w->qts, SCALE_MS);
    expect_policy(w, NULL);
    world_free(w);
}

/* ---- what nobody would write ---- */

static void random_value(GRand *r, GString *s, int depth)
{
    static const char *const values[] = {
        "0", "1", "-1", "4", "6", "80", "65535", "65536", "4294967296", "true", "false",
        "null", "9223372036854775807", "-9223372036854775808", "18446744073709551615",
        "1.5", "1e400", "''", "'p'", "'q'", "'guest'", "'remote'", "'observe'", "'off'",
        "'10.0.0.0/8'", "'fd00::/8'", "'0.0.0.0/0'", "'1.2.3.4'", "'::/200'", "'reno'",
        "'cubic'", "[]", "{}", "'10.0.0.0/8/'", "'\xc3\xa9'", "'queue'",
    };
    static const char *const names[] = {
        "id", "priority", "match", "config", "scope", "vlan", "vni", "source",
        "destination", "source-ports", "destination-ports", "from", "to", "opener",
        "dscp",
        "bytes", "ms", "mode", "weight", "min-rto", "max-rto", "congestion-control",
        "ip-version", "ecn", "initial-window", "flow-buffer-size", "bogus",
    };
    int n = depth ? g_rand_int_range(r, 0, 5) : 0;

    if (!depth || g_rand_int_range(r, 0, 3) == 0) {
        g_string_append(s, values[g_rand_int_range(r, 0, ARRAY_SIZE(values))]);
        return;
    }
    g_string_append(s, "{ ");
    for (int i = 0; i < n; i++) {
        const char *name = names[g_rand_int_range(r, 0, ARRAY_SIZE(names))];

        g_string_append_printf(s, "%s'%s': ", i ? ", " : "", name);
        random_value(r, s, !strcmp(name, "match") || !strcmp(name, "config") ||
                           !strcmp(name, "scope") || g_str_has_suffix(name, "-ports") ?
                           depth - 1 : 0);
    }
    g_string_append(s, " }");
}

/* Whatever comes: an answer, and a list that is as it was, or has what was said. */
static void test_random(void)
{
    static const char *const commands[] = { ADD, SET, REPLACE };
    QTestState *qts = qtest_init(HUB FILTER);
    GRand *r = g_rand_new_with_seed(1);
    int taken = 0;

    for (int i = 0; i < 1000; i++) {
        g_autoptr(GString) s = g_string_new("'filter': 'f0', ");
        int c = g_rand_int_range(r, 0, 3);
        QList *before = policies(qts, ""), *after;
        QObject *arguments;
        g_autofree char *text = NULL;
        QDict *answer;

        g_string_append(s, c == 2 ? "'policies': [ " : "'policy': ");
        if (g_rand_boolean(r)) {
            static const char *const members[] = {
                "'priority': ", "'match': { 'vlan': ", "'match': { 'source': ",
                "'match': { 'dscp': ", "'match': { 'opener': ", "'config': { 'mode': ",
                "'config': { 'min-rto': ", "'config': { 'weight': ", "'scope': { 'ms': ",
                "'config': { 'ecn': ", "'scope': { 'bytes': ",
                "'match': { 'destination': ",
                "'match': { 'source-ports': { 'from': ", "'config': { 'max-window': ",
            };
            const char *m = members[g_rand_int_range(r, 0, ARRAY_SIZE(members))];

            /* one thing that may be wrong */
            g_string_append_printf(s, "{ 'id': 'p', %s", m);
            random_value(r, s, 0);
            for (; (m = strchr(m, '{')); m++) {
                g_string_append(s, " }");
            }
            g_string_append(s, " }");
        } else {
            random_value(r, s, 3);
        }
        g_string_append(s, c == 2 ? " ]" : "");
        text = g_strdup_printf("{ %s }", s->str);
        arguments = qobject_from_json(text, NULL);
        if (arguments) {
            answer = command(qts, commands[c], s->str);
            after = policies(qts, "");
            if (qdict_haskey(answer, "error")) {
                g_assert_true(qobject_is_equal(QOBJECT(before), QOBJECT(after)));
            } else {
                taken++;
            }
            qobject_unref(answer);
            qobject_unref(after);
        }
        qobject_unref(before);
        qobject_unref(arguments);
    }
    g_test_message("%d were taken", taken);
    g_assert_cmpint(taken, >, 20);
    g_rand_free(r);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vnx/policy/U1/round-trip", test_round_trip);
    qtest_add_func("/vnx/policy/P2/order", test_order);
    qtest_add_func("/vnx/policy/U5/bad", test_bad);
    qtest_add_func("/vnx/policy/U1/property", test_property);
    qtest_add_func("/vnx/policy/U5/no-filter", test_no_filter);
    qtest_add_func("/vnx/policy/P1/many", test_many);
    qtest_add_func("/vnx/policy/P2/live", test_live);
    qtest_add_func("/vnx/policy/P2/scopes", test_scopes);
    qtest_add_func("/vnx/policy/U5/random", test_random);
    return g_test_run();
}
