/*
 * vnx: filter-vtcp on a netdev with two queues (T1, T9; DESIGN 3 rule 13)
 *
 * A tap and a virtio-net NIC with two pairs of rings.  The kernel steers what the remote
 * sends to the queue where the guest last sent for the connection; so must the filter.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "world.h"

#define VTCP "-object filter-vtcp,id=f0,netdev=n0"
#define PORT 1000
#define FEATURES (1ull << VIRTIO_NET_F_MQ | 1ull << VIRTIO_NET_F_CTRL_VQ)

static void use(World *w, unsigned pair)
{
    w->at = &w->pair[pair];
}

/* A guest that uses both pairs and has connected from the second; NULL: skip. */
static World *connected(const char *args)
{
    World *w = world_new_tap(2, args);

    if (!w) {
        return NULL;
    }
    guest_start(w, FEATURES, 24);
    g_assert_cmphex(w->features & FEATURES, ==, FEATURES);
    g_assert_cmpint(vtcp_stat(w, "queues"), ==, 2);
    guest_use_pairs(w, 2);
    use(w, 1);
    connect_guest(w, PORT);
    g_assert_cmpint(vtcp_stat(w, "active-queues"), ==, 2);
    return w;
}

static void set(World *w, const char *property, const char *value)
{
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': '/objects/f0', 'property': %s, 'value': %s } }",
                             property, value);
}

static void no_frame(World *w, unsigned pair)
{
    Pair *at = w->at;

    use(w, pair);
    g_assert_false(arrived(w, GUEST));
    w->at = at;
}

/* Acknowledged early in both directions, and repeated, by the queue the guest uses. */
static void test_steering(void)
{
    World *w = connected(VTCP);

    if (!w) {
        return;
    }
    g_assert_cmpint(flow_number(w, "queue"), ==, 1);
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    hear(w, REMOTE, PORT, ACK, 1, 6, NULL);
    say(w, GUEST, PORT, ACK | PSH, 1, 6, "answer");
    hear(w, REMOTE, PORT, ACK, 1, 6, "answer");
    hear(w, GUEST, PORT, ACK, 6, 7, NULL);
    no_frame(w, 0);

    /* the guest's application moves to another processor */
    use(w, 0);
    say(w, GUEST, PORT, ACK | PSH, 7, 6, "moved");
    hear(w, REMOTE, PORT, ACK, 7, 6, "moved");
    hear(w, GUEST, PORT, ACK, 6, 12, NULL);
    g_assert_cmpint(flow_number(w, "queue"), ==, 0);
    say(w, REMOTE, PORT, ACK | PSH, 6, 12, "more");
    hear(w, GUEST, PORT, ACK, 6, 12, "more");
    hear(w, REMOTE, PORT, ACK, 12, 10, NULL);
    /* not in hand: the frame that the guest's ring took was lost, say */
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, PORT, ACK, 6, 12, "more");
    no_frame(w, 1);
    say(w, GUEST, PORT, ACK, 12, 10, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    g_assert_cmpint(vtcp_stat(w, "flows-created"), ==, 1);
    world_free(w);
}

/* A pair that the guest does not serve holds up its own connections alone. */
static void test_blocked_pair(void)
{
    World *w = world_new_tap(2, VTCP);

    if (!w) {
        return;
    }
    guest_start(w, FEATURES, 0);
    guest_use_pairs(w, 2);
    guest_post(w, 32);
    connect_guest(w, PORT);
    use(w, 1);
    guest_post(w, 1);
    connect_guest(w, PORT + 1);

    say(w, REMOTE, PORT + 1, ACK | PSH, 1, 1, "waits");
    hear(w, REMOTE, PORT + 1, ACK, 1, 6, NULL);
    say(w, REMOTE, PORT + 1, ACK | PSH, 6, 1, "too");
    hear(w, REMOTE, PORT + 1, ACK, 1, 9, NULL);
    use(w, 0);
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "goes");
    hear(w, GUEST, PORT, ACK, 1, 1, "goes");
    hear(w, REMOTE, PORT, ACK, 1, 5, NULL);
    say(w, GUEST, PORT, ACK, 1, 5, NULL);
    vtcp_wait_stat(w, "undelivered", 8);
    g_assert_cmpint(vtcp_stat(w, "retransmits"), ==, 0);

    use(w, 1);
    g_assert_false(arrived(w, GUEST));
    guest_post(w, 16);
    hear(w, GUEST, PORT + 1, ACK, 1, 1, "waits");
    hear(w, GUEST, PORT + 1, ACK, 6, 1, "too");
    say(w, GUEST, PORT + 1, ACK, 1, 9, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

/* VIRTIO_NET_CTRL_MQ with data in hand: it goes by a pair that the guest still uses. */
static void test_fewer_pairs(void)
{
    World *w = world_new_tap(2, VTCP);

    if (!w) {
        return;
    }
    guest_start(w, FEATURES, 0);
    guest_use_pairs(w, 2);
    guest_post(w, 32);
    use(w, 1);
    guest_post(w, 1);
    connect_guest(w, PORT);
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "one");
    hear(w, REMOTE, PORT, ACK, 1, 4, NULL);
    say(w, REMOTE, PORT, ACK | PSH, 4, 1, "two");
    hear(w, REMOTE, PORT, ACK, 1, 7, NULL);

    guest_use_pairs(w, 1);
    use(w, 0);
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    g_assert_cmpint(vtcp_stat(w, "active-queues"), ==, 1);
    hear(w, GUEST, PORT, ACK, 4, 1, "two");         /* it waited behind the first */
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, PORT, ACK, 1, 1, "onetwo");
    say(w, GUEST, PORT, ACK, 1, 7, NULL);
    vtcp_wait_stat(w, "undelivered", 0);

    /* and back to two */
    guest_use_pairs(w, 2);
    use(w, 1);
    guest_post(w, 16);
    say(w, GUEST, PORT, ACK | PSH, 1, 7, "again");
    hear(w, REMOTE, PORT, ACK, 1, 7, "again");
    hear(w, GUEST, PORT, ACK, 7, 6, NULL);
    g_assert_cmpint(vtcp_stat(w, "active-queues"), ==, 2);
    g_assert_cmpint(flow_number(w, "queue"), ==, 1);
    world_free(w);
}

/* Switched off and on, removed, added: on all queues at once. */
static void test_life(void)
{
    World *w = connected(VTCP);

    if (!w) {
        return;
    }
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    hear(w, REMOTE, PORT, ACK, 1, 6, NULL);
    set(w, "status", "off");
    vtcp_wait_status(w, "draining");
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    hear(w, REMOTE, PORT, ACK, 1, 6, NULL);
    vtcp_wait_status(w, "off");
    say(w, REMOTE, PORT, ACK | PSH, 6, 1, "bare");
    hear(w, GUEST, PORT, ACK, 6, 1, "bare");
    g_assert_false(arrived(w, REMOTE));
    say(w, GUEST, PORT, ACK, 1, 10, NULL);
    hear(w, REMOTE, PORT, ACK, 1, 10, NULL);
    set(w, "status", "on");
    say(w, REMOTE, PORT, ACK | PSH, 10, 1, "on");
    hear(w, GUEST, PORT, ACK, 10, 1, "on");
    hear(w, REMOTE, PORT, ACK, 1, 12, NULL);
    say(w, GUEST, PORT, ACK, 1, 12, NULL);
    vtcp_wait_stat(w, "undelivered", 0);

    qtest_qmp_assert_success(w->qts, "{ 'execute': 'object-del',"
                                     "  'arguments': { 'id': 'f0' } }");
    say(w, REMOTE, PORT, ACK | PSH, 12, 1, "alone");
    hear(w, GUEST, PORT, ACK, 12, 1, "alone");
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'object-add', 'arguments': {"
        "  'qom-type': 'filter-vtcp', 'id': 'f1', 'netdev': 'n0' } }");
    /* relative to another, on every queue */
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'object-add', 'arguments': {"
        "  'qom-type': 'filter-vtcp', 'id': 'f0', 'netdev': 'n0', 'mode': 'observe',"
        "  'position': 'id=f1', 'insert': 'before' } }");
    connect_guest(w, PORT + 1);
    say(w, REMOTE, PORT + 1, ACK | PSH, 1, 1, "new");
    hear(w, GUEST, PORT + 1, ACK, 1, 1, "new");
    hear(w, REMOTE, PORT + 1, ACK, 1, 4, NULL);
    g_assert_cmpint(vtcp_stat(w, "flows"), ==, 1);
    g_assert_cmpint(vtcp_stat(w, "early-acked-bytes"), ==, 0);
    world_free(w);
}

static void test_link(void)
{
    World *w = connected(VTCP);

    if (!w) {
        return;
    }
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    hear(w, REMOTE, PORT, ACK, 1, 6, NULL);
    for (int up = 0; up < 2; up++) {
        qtest_qmp_assert_success(w->qts, "{ 'execute': 'set_link', 'arguments': {"
                                 " 'name': 'n0', 'up': %i } }", up);
    }
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

/* netdev_del and device_del with data in hand on the second queue: the remote hears. */
static void test_gone(gconstpointer command)
{
    World *w = connected(VTCP);

    if (!w) {
        return;
    }
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    hear(w, REMOTE, PORT, ACK, 1, 6, NULL);
    if (g_str_equal(command, "netdev_del")) {
        qtest_qmp_assert_success(w->qts, "{ 'execute': 'netdev_del',"
                                         "  'arguments': { 'id': 'n0' } }");
    } else {
        qtest_qmp_assert_success(w->qts, "{ 'execute': 'device_del',"
                                         "  'arguments': { 'id': 'nic0' } }");
        qtest_outl(w->qts, 0xae08, 1 << 4);     /* ACPI: eject slot 4 */
        qtest_qmp_eventwait(w->qts, "DEVICE_DELETED");
        qtest_clock_step(w->qts, NANOSECONDS_PER_SECOND);
    }
    qtest_qmp_eventwait(w->qts, "VNX_VTCP_FLOW_RESET");
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vnx/vtcp/T1/mq-steering", test_steering);
    qtest_add_func("/vnx/vtcp/T9/mq-blocked-pair", test_blocked_pair);
    qtest_add_func("/vnx/vtcp/T9/mq-fewer-pairs", test_fewer_pairs);
    qtest_add_func("/vnx/vtcp/T9/mq-life", test_life);
    qtest_add_func("/vnx/vtcp/T9/mq-link", test_link);
    qtest_add_data_func("/vnx/vtcp/T9/mq-netdev-del", "netdev_del", test_gone);
    qtest_add_data_func("/vnx/vtcp/T9/mq-device-del", "device_del", test_gone);
    return g_test_run();
}
