/*
 * vnx: filter-vtcp's options and QMP, good and bad (U1, U5)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "world.h"
#include "qapi/error.h"
#include "qobject/qjson.h"

#define HUB "-nodefaults -M none -netdev hubport,id=n0,hubid=0 " \
            "-netdev hubport,id=n1,hubid=0"

static QDict *get(QTestState *qts, const char *property)
{
    return qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': {"
                          "  'path': '/objects/f0', 'property': %s } }", property);
}

static char *get_json(QTestState *qts, const char *property)
{
    QDict *r = get(qts, property);
    g_autoptr(GString) json = NULL;

    g_assert_true(qdict_haskey(r, "return"));
    json = qobject_to_json(qdict_get(r, "return"));
    qobject_unref(r);
    return g_strdup(json->str);
}

static QDict *set_json(QTestState *qts, const char *property, const char *json)
{
    g_autofree char *command = g_strdup_printf(
        "{ 'execute': 'qom-set', 'arguments': { 'path': '/objects/f0',"
        "  'property': '%s', 'value': %s } }", property, json);

    return qtest_qmp(qts, command, NULL);
}

typedef struct Property {
    const char *name;
    const char *good, *bad;             /* JSON */
    const char *named, *range;          /* parts of the error's text */
} Property;

static const Property properties[] = {
    { "buffer-size", "1048576", "1000", "buffer-size", "262144" },
    { "flow-buffer-size", "131072", "4294967296000", "flow-buffer-size", "536870912" },
    { "flow-buffer-size", "65536", "65535", "flow-buffer-size", "65536" },
    { "max-flows", "7", "0", "max-flows", "16777216" },
    { "dupack-threshold", "2", "1", "dupack-threshold", "255" },
    { "initial-window", "1000", "1001", "initial-window", "1000" },
    { "weight", "0", "10001", "weight", "10000" },
    { "weight", "10000", "-1", "weight", "uint32" },
    { "max-window", "65536", "1073741825", "max-window", "1073741824" },
    { "max-window", "0", "4294967296", "max-window", "1073741824" },
    { "slow-start-threshold", "1", "1073741825", "slow-start-threshold", "1073741824" },
    { "additive-increase", "10000", "0", "additive-increase", "10000" },
    { "decrease-factor", "75", "100", "decrease-factor", "99" },
    { "min-rto", "5", "700000", "min-rto", "600000" },
    { "max-rto", "600000", "600001", "max-rto", "600000" },
    { "max-rto", "5000", "-1", "max-rto", "uint32" },
    { "min-rto", "5000", "5001", "min-rto", "5000" },
    { "max-pacing-rate", "1000", "999", "max-pacing-rate", "1099511627776" },
    { "max-pacing-rate", "0", "1099511627777", "max-pacing-rate", "1099511627776" },
    { "retry-limit", "1000", "999", "retry-limit", "86400000" },
    { "congestion-control", "'reno'", "'bogus'", "bogus", "reno" },
    { "congestion-control", "'reno'", "'a name that is far too long'",
      "congestion-control", "reno" },
    { "guest-congestion-control", "'cubic'", "'bogus'", "guest-congestion-control",
      "none" },
    { "mode", "'observe'", "'fast'", "mode", "fast" },
    { "mode", "'off'", "1", "mode", "string" },
    { "mode", "'accelerate'", "''", "mode", "" },
    { "out-of-order", "'pass-through'", "'drop'", "out-of-order", "drop" },
    { "out-of-order", "'queue'", "0", "out-of-order", "string" },
    { "ecn", "false", "'maybe'", "ecn", "boolean" },
    { "drain-timeout", "12", "-1", "drain-timeout", "uint32" },
    { "drain-timeout", "12", "4294967296", "drain-timeout", "uint32" },
    { "status", "'off'", "'maybe'", "status", "'on' or 'off'" },
    { "status", "'on'", "'maybe'", "status", "'on' or 'off'" },
};

/* Each is taken at run time; a bad value is refused by name and range, to no effect. */
static void test_properties(void)
{
    QTestState *qts = qtest_initf(HUB " -object filter-vtcp,id=f0,netdev=n0");

    for (int i = 0; i < ARRAY_SIZE(properties); i++) {
        const Property *p = &properties[i];
        QDict *r = set_json(qts, p->name, p->good);
        g_autofree char *taken = NULL;
        g_autofree char *kept = NULL;
        g_autoptr(GString) wanted = NULL;
        QObject *good = qobject_from_json(p->good, &error_abort);
        const char *desc;

        wanted = qobject_to_json(good);
        g_assert_false(qdict_haskey(r, "error"));
        qobject_unref(r);
        taken = get_json(qts, p->name);
        g_assert_cmpstr(taken, ==, wanted->str);

        r = set_json(qts, p->name, p->bad);
        g_assert_true(qdict_haskey(r, "error"));
        desc = qdict_get_str(qdict_get_qdict(r, "error"), "desc");
        g_test_message("%s=%s: %s", p->name, p->bad, desc);
        g_assert_nonnull(strstr(desc, p->named));
        g_assert_nonnull(strstr(desc, p->range));
        qobject_unref(r);
        kept = get_json(qts, p->name);
        g_assert_cmpstr(kept, ==, wanted->str);
        qobject_unref(good);
    }
    qtest_quit(qts);
}

/* Its place in the list of filters is final: told so, and nothing has changed. */
static void test_place_is_final(void)
{
    static const struct {
        const char *name, *value, *is;
    } tries[] = {
        { "netdev", "'n1'", "\"n0\"" }, { "queue", "'rx'", "\"all\"" },
        { "position", "'head'", "\"tail\"" }, { "insert", "'before'", "\"behind\"" },
    };
    QTestState *qts = qtest_initf(HUB " -object filter-vtcp,id=f0,netdev=n0"
                                  " -object filter-buffer,id=f1,netdev=n0,interval=1000");
    QDict *r;

    for (int i = 0; i < ARRAY_SIZE(tries); i++) {
        g_autofree char *is = NULL;

        r = set_json(qts, tries[i].name, tries[i].value);
        g_assert_nonnull(strstr(qdict_get_str(qdict_get_qdict(r, "error"), "desc"),
                                tries[i].name));
        qobject_unref(r);
        is = get_json(qts, tries[i].name);
        g_assert_cmpstr(is, ==, tries[i].is);
    }
    /* QEMU's own filters are as they were */
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': {"
        " 'path': '/objects/f1', 'property': 'queue', 'value': 'rx' } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'qom-set', 'arguments': {"
        " 'path': '/objects/f1', 'property': 'position', 'value': 'head' } }");
    qtest_quit(qts);
}

static void refused(QTestState *qts, const char *options, const char *why)
{
    g_autofree char *command = g_strdup_printf(
        "{ 'execute': 'object-add', 'arguments': { 'qom-type': 'filter-vtcp', %s } }",
        options);
    QDict *r = qtest_qmp(qts, command, NULL);
    const char *desc;

    g_assert_true(qdict_haskey(r, "error"));
    desc = qdict_get_str(qdict_get_qdict(r, "error"), "desc");
    g_test_message("%s: %s", options, desc);
    g_assert_nonnull(strstr(desc, why));
    qobject_unref(r);
    r = qtest_qmp_assert_success_ref(qts, "{ 'execute': 'query-status' }");
    qobject_unref(r);
    r = get(qts, "status");
    g_assert_true(qdict_haskey(r, "error"));    /* there is no such object */
    qobject_unref(r);
}

static void test_object_add(void)
{
    QTestState *qts = qtest_initf(HUB);

    refused(qts, "'id': 'f0'", "netdev");
    refused(qts, "'id': 'f0', 'netdev': 'none'", "netdev");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'queue': 'rx'", "queue");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'bogus': 1", "bogus");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'min-rto': 0", "min-rto");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'min-rto': 70000", "max-rto");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'max-flows': -1", "max-flows");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'max-flows': 4294967296", "max-flows");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'mode': 'x'", "mode");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'congestion-control': 'x'",
            "congestion-control");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'position': 'id=f9'", "f9");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'position': 'middle'", "position");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': {"
        " 'qom-type': 'filter-buffer', 'id': 'f8', 'netdev': 'n1', 'interval': 1000 } }");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'position': 'id=f8'", "different netdev");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': {"
        " 'qom-type': 'secret', 'id': 'f7', 'data': 'x' } }");
    refused(qts, "'id': 'f0', 'netdev': 'n0', 'position': 'id=f7'", "f7");
    /* members that only fit together, in either order */
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': {"
        " 'qom-type': 'filter-vtcp', 'id': 'f0', 'netdev': 'n0',"
        " 'min-rto': 100000, 'max-rto': 200000 } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': {"
        " 'qom-type': 'filter-vtcp', 'id': 'f1', 'netdev': 'n0',"
        " 'max-rto': 20, 'min-rto': 10 } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del',"
                                  "  'arguments': { 'id': 'f0' } }");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del',"
                                  "  'arguments': { 'id': 'f1' } }");
    qtest_quit(qts);
}

static void test_queries_without_filter(void)
{
    static const char *const commands[] = {
        "query-vnx-vtcp-stats", "query-vnx-vtcp-flows",
    };
    QTestState *qts = qtest_initf(HUB);

    for (int i = 0; i < ARRAY_SIZE(commands); i++) {
        QDict *r = qtest_qmp(qts, "{ 'execute': %s }", commands[i]);

        g_assert_true(qlist_empty(qdict_get_qlist(r, "return")));
        qobject_unref(r);
        r = qtest_qmp(qts, "{ 'execute': %s, 'arguments': { 'id': 'f0' } }", commands[i]);
        g_assert_cmpstr(qdict_get_str(qdict_get_qdict(r, "error"), "class"), ==,
                        "DeviceNotFound");
        qobject_unref(r);
    }
    /* an object of another type is not a filter */
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': {"
        " 'qom-type': 'filter-buffer', 'id': 'f0', 'netdev': 'n0', 'interval': 1000 } }");
    for (int i = 0; i < ARRAY_SIZE(commands); i++) {
        QDict *r = qtest_qmp(qts, "{ 'execute': %s, 'arguments': { 'id': 'f0' } }",
                             commands[i]);

        g_assert_cmpstr(qdict_get_str(qdict_get_qdict(r, "error"), "class"), ==,
                        "DeviceNotFound");
        qobject_unref(r);
    }
    qtest_quit(qts);
}

static QList *flows(World *w, const char *arguments)
{
    g_autofree char *command = g_strdup_printf(
        "{ 'execute': 'query-vnx-vtcp-flows', 'arguments': { %s } }", arguments);
    QDict *r = qtest_qmp(w->qts, command, NULL);
    QList *list = qdict_get_qlist(r, "return");

    g_assert_nonnull(list);
    qobject_ref(list);
    qobject_unref(r);
    return list;
}

static void test_paging(void)
{
    const int n = 25, page = 10;
    World *w = world_new("-object filter-vtcp,id=f1,netdev=n0,mode=observe "
                         "-object filter-vtcp,id=f0,netdev=n0");
    uint64_t after = 0;
    int seen = 0;
    QList *all;
    QDict *r;

    guest_start(w, 0, 64);
    for (int i = 0; i < n; i++) {
        connect_guest(w, 3000 + i);
    }
    for (;;) {
        g_autofree char *arguments = g_strdup_printf(
            "'id': 'f0', 'after': %" PRIu64 ", 'limit': %d", after, page);
        QList *list = flows(w, arguments);
        QListEntry *e;

        g_assert_cmpint(qlist_size(list), ==, MIN(page, n - seen));
        QLIST_FOREACH_ENTRY(list, e) {
            QDict *flow = qobject_to(QDict, qlist_entry_obj(e));

            g_assert_cmpint(qdict_get_int(flow, "id"), >, after);
            after = qdict_get_int(flow, "id");
            g_assert_cmpint(qdict_get_int(flow, "guest-port"), ==, 3000 + seen);
            g_assert_cmpstr(qdict_get_str(flow, "state"), ==, "established");
            g_assert_cmpstr(qdict_get_str(flow, "filter"), ==, "f0");
            seen++;
        }
        qobject_unref(list);
        if (seen == n) {
            break;
        }
    }
    all = flows(w, "");
    g_assert_cmpint(qlist_size(all), ==, 2 * n);        /* both filters, by id */
    g_assert_cmpstr(qdict_get_str(qobject_to(QDict, qlist_peek(all)), "filter"),
                    ==, "f0");
    qobject_unref(all);

    r = qtest_qmp_assert_failure_ref(w->qts, "{ 'execute': 'query-vnx-vtcp-flows',"
                                             "  'arguments': { 'after': 1 } }");
    g_assert_nonnull(strstr(qdict_get_str(r, "desc"), "'id'"));
    qobject_unref(r);
    r = qtest_qmp_assert_failure_ref(w->qts, "{ 'execute': 'query-vnx-vtcp-flows',"
                                             "  'arguments': { 'limit': 0 } }");
    g_assert_nonnull(strstr(qdict_get_str(r, "desc"), "'limit'"));
    qobject_unref(r);
    r = qtest_qmp_assert_failure_ref(w->qts, "{ 'execute': 'query-vnx-vtcp-flows',"
                                             "  'arguments': { 'limit': 65537 } }");
    g_assert_nonnull(strstr(qdict_get_str(r, "desc"), "65536"));
    qobject_unref(r);
    world_free(w);
}

/* A policy change takes effect on live connections (U1). */
static void test_mode_live(void)
{
    World *w = world_new("-object filter-vtcp,id=f0,netdev=n0");
    g_autofree char *slow = NULL;
    g_autofree char *fast = NULL;
    QDict *r;

    guest_start(w, 0, 16);
    connect_guest(w, 1000);
    r = set_json(w->qts, "mode", "'observe'");
    qobject_unref(r);
    say(w, REMOTE, 1000, ACK | PSH, 1, 1, "slow");
    hear(w, GUEST, 1000, ACK, 1, 1, "slow");
    expect_nothing(w, REMOTE);
    slow = flow_text(w, "to-guest", "state");
    g_assert_cmpstr(slow, !=, "accelerating");
    say(w, GUEST, 1000, ACK, 1, 5, NULL);
    hear(w, REMOTE, 1000, ACK, 1, 5, NULL);

    r = set_json(w->qts, "mode", "'accelerate'");
    qobject_unref(r);
    say(w, REMOTE, 1000, ACK | PSH, 5, 1, "fast");
    hear(w, GUEST, 1000, ACK, 5, 1, "fast");
    hear(w, REMOTE, 1000, ACK, 1, 9, NULL);
    fast = flow_text(w, "to-guest", "state");
    g_assert_cmpstr(fast, ==, "accelerating");
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vnx/vtcp/U1-U5/properties", test_properties);
    qtest_add_func("/vnx/vtcp/U5/place-is-final", test_place_is_final);
    qtest_add_func("/vnx/vtcp/U5/object-add", test_object_add);
    qtest_add_func("/vnx/vtcp/U5/queries-without-filter", test_queries_without_filter);
    qtest_add_func("/vnx/vtcp/P5/paging", test_paging);
    qtest_add_func("/vnx/vtcp/U1/mode-live", test_mode_live);
    return g_test_run();
}
