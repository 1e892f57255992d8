/*
 * vnx: filter-vtcp between a virtio-net guest and a remote (T, U)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "world.h"
#include "libqos/libqos.h"

#define VTCP "-object filter-vtcp,id=f0,netdev=n0"
#define PORT 1000

static World *connected(const char *args)
{
    World *w = world_new(args);

    guest_start(w, 0, 32);
    connect_guest(w, PORT);
    return w;
}

static void set(World *w, const char *property, const char *value)
{
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'qom-set', 'arguments': {"
                             " 'path': '/objects/f0', 'property': %s, 'value': %s } }",
                             property, value);
}

/* The remote's "hello", acknowledged early, and delivered to a guest that is silent. */
static void hello_to_guest(World *w)
{
    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    hear(w, REMOTE, PORT, ACK, 1, 6, NULL);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 5);
}

/* ---- T1, T3, T4: acknowledged early, delivered, the receiver's ACK consumed ---- */

static void test_to_guest(void)
{
    World *w = connected(VTCP);
    g_autofree char *state = flow_text(w, "to-guest", "state");

    g_assert_cmpstr(state, ==, "accelerating");
    hello_to_guest(w);

    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "acks-consumed", 1);
    expect_nothing(w, REMOTE);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 0);
    g_assert_cmpint(vtcp_stat(w, "early-acked-bytes"), ==, 5);
    world_free(w);
}

static void test_to_net(void)
{
    World *w = connected(VTCP);

    say(w, GUEST, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, REMOTE, PORT, ACK, 1, 1, "hello");
    hear(w, GUEST, PORT, ACK, 1, 6, NULL);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 5);

    say(w, REMOTE, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "acks-consumed", 1);
    expect_nothing(w, GUEST);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 0);
    world_free(w);
}

/* T4: on timeout, again and again with doubled intervals */
static void retransmit(Side receiver)
{
    World *w = connected(VTCP);
    Side sender = !receiver;
    int64_t first, second;

    say(w, sender, PORT, ACK | PSH, 1, 1, "hello");
    hear(w, receiver, PORT, ACK, 1, 1, "hello");
    hear(w, sender, PORT, ACK, 1, 6, NULL);

    first = step_until(w, receiver, 5000);
    hear(w, receiver, PORT, ACK, 1, 1, "hello");
    g_assert_cmpint(first, >=, 200);
    second = step_until(w, receiver, 10000);
    hear(w, receiver, PORT, ACK, 1, 1, "hello");
    g_assert_cmpint(ABS(second - 2 * first), <=, 20);
    g_assert_cmpint(vtcp_stat(w, "rto-retransmits"), ==, 2);

    say(w, receiver, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    g_assert_cmpint(step_until(w, receiver, 10000), ==, 10000);
    world_free(w);
}

static void test_retransmit_to_guest(void)
{
    retransmit(GUEST);
}

static void test_retransmit_to_net(void)
{
    retransmit(REMOTE);
}

/* T4, rule 9: a guest that has not looked at its ring has not lost anything */
static void test_stalled_guest(void)
{
    World *w = world_new(VTCP);
    uint64_t was;

    guest_start(w, 1ull << VIRTIO_RING_F_EVENT_IDX, 32);
    g_assert_true(w->features & 1ull << VIRTIO_RING_F_EVENT_IDX);
    connect_guest(w, PORT);
    guest_looked(w);
    /* this program has read the ring, but the driver says that it has not */
    hello_to_guest(w);
    was = vtcp_stat(w, "rto-retransmits");
    g_assert_cmpint(step_until(w, GUEST, 3000), ==, 3000);
    g_assert_cmpint(vtcp_stat(w, "rto-retransmits"), ==, was);
    guest_looked(w);
    g_assert_cmpint(step_until(w, GUEST, 3000), <, 3000);
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    world_free(w);
}

/* ---- T9: nothing acknowledged is lost ---- */

/*
 * A guest without receive buffers: everything toward it waits, in order, and the filter
 * neither goes blind nor lets frames pass one another (rule 12).
 */
static void test_guest_does_not_read(void)
{
    World *w = world_new(VTCP);

    guest_start(w, 0, 1);
    say(w, GUEST, PORT, SYN, 0, 0, NULL);
    hear(w, REMOTE, PORT, SYN, 0, 0, NULL);
    say(w, REMOTE, PORT, SYN | ACK, 0, 1, NULL);
    hear(w, GUEST, PORT, SYN | ACK, 0, 1, NULL);
    say(w, GUEST, PORT, ACK, 1, 1, NULL);
    hear(w, REMOTE, PORT, ACK, 1, 1, NULL);

    say(w, REMOTE, PORT, ACK | PSH, 1, 1, "one");
    hear(w, REMOTE, PORT, ACK, 1, 4, NULL);
    say(w, REMOTE, PORT, ACK | PSH, 4, 1, "two");
    hear(w, REMOTE, PORT, ACK, 1, 7, NULL);
    send_marker(w, REMOTE);
    vtcp_wait_stat(w, "not-tcp", 1);
    g_assert_false(arrived(w, GUEST));
    /* the frame in hand is not retransmitted */
    g_assert_cmpint(step_until(w, GUEST, 5000), ==, 5000);
    g_assert_cmpint(vtcp_stat(w, "retransmits"), ==, 0);

    guest_post(w, 16);
    hear(w, GUEST, PORT, ACK, 1, 1, "one");
    g_assert_true(receive(w, GUEST).marker);
    hear(w, GUEST, PORT, ACK, 4, 1, "two");
    say(w, GUEST, PORT, ACK, 1, 7, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

/* What waits for such a guest is bounded, and the oldest is what it gets. */
static void test_bounded_queue(void)
{
    const int limit = 4096;
    World *w = world_new(VTCP);
    QDict *stats, *out;

    guest_start(w, 0, 0);
    for (int i = 0; i < limit + 100; i++) {
        send_marker(w, REMOTE);
    }
    vtcp_wait_stat(w, "not-tcp", limit + 100);
    stats = vtcp_stats(w);
    out = qdict_get_qdict(stats, "to-guest");
    g_assert_true(qdict_get_bool(out, "blocked"));
    g_assert_cmpint(qdict_get_int(out, "waiting"), ==, limit);
    g_assert_cmpint(qdict_get_int(out, "waiting-bytes"), ==, limit * 60);
    g_assert_cmpint(qdict_get_int(out, "queued"), ==, limit);
    g_assert_cmpint(qdict_get_int(out, "dropped"), ==, 99);     /* one is parked */
    qobject_unref(stats);

    w->markers = 0;
    for (int i = 0; i < RX_BUFFERS / 2; i++) {
        guest_post(w, 1);
        w->markers++;
        g_assert_true(receive(w, GUEST).marker);
    }
    world_free(w);
}

static void test_stop_cont(void)
{
    World *w = connected(VTCP);
    QDict *stats;

    hello_to_guest(w);
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'stop' }");
    stats = vtcp_stats(w);
    g_assert_true(qdict_get_bool(stats, "paused"));
    qobject_unref(stats);
    say(w, REMOTE, PORT, ACK | PSH, 6, 1, "dropped");
    vtcp_wait_stat(w, "paused-drops", 1);
    g_assert_false(arrived(w, REMOTE));

    qtest_qmp_assert_success(w->qts, "{ 'execute': 'cont' }");
    say(w, REMOTE, PORT, ACK | PSH, 6, 1, "again");
    hear(w, GUEST, PORT, ACK, 6, 1, "again");
    hear(w, REMOTE, PORT, ACK, 1, 11, NULL);
    say(w, GUEST, PORT, ACK, 1, 11, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

/* The retry limit does not count while a link is down. */
static void test_link(gconstpointer name)
{
    World *w = connected(VTCP ",retry-limit=2000");

    hello_to_guest(w);
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'set_link',"
                             "  'arguments': { 'name': %s, 'up': false } }",
                             (const char *)name);
    qtest_clock_step(w->qts, 60 * NANOSECONDS_PER_SECOND);
    g_assert_false(arrived(w, GUEST));
    g_assert_false(arrived(w, REMOTE));
    g_assert_cmpint(vtcp_stat(w, "flows-reset"), ==, 0);

    qtest_qmp_assert_success(w->qts, "{ 'execute': 'set_link',"
                             "  'arguments': { 'name': %s, 'up': true } }",
                             (const char *)name);
    g_assert_cmpint(step_until(w, GUEST, 1900), <, 1900);
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

static void test_retry_limit(void)
{
    World *w = connected(VTCP ",retry-limit=2000");
    QDict *event, *data;

    hello_to_guest(w);
    qtest_clock_step(w->qts, 100 * NANOSECONDS_PER_SECOND);
    event = qtest_qmp_eventwait_ref(w->qts, "VNX_VTCP_FLOW_RESET");
    data = qdict_get_qdict(event, "data");
    g_assert_cmpstr(qdict_get_str(data, "filter"), ==, "f0");
    g_assert_cmpstr(qdict_get_str(data, "guest-address"), ==, "10.0.0.2");
    g_assert_cmpint(qdict_get_int(data, "guest-port"), ==, PORT);
    g_assert_cmpstr(qdict_get_str(data, "remote-address"), ==, "10.0.0.1");
    g_assert_cmpint(qdict_get_int(data, "remote-port"), ==, 2000);
    g_assert_cmpint(qdict_get_int(data, "suppressed"), ==, 0);
    qobject_unref(event);
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    g_assert_cmpint(vtcp_stat(w, "flows-reset"), ==, 1);
    world_free(w);
}

static void test_object_del(void)
{
    World *w = connected(VTCP);
    QDict *r;

    hello_to_guest(w);
    r = qtest_qmp_assert_failure_ref(w->qts, "{ 'execute': 'object-del',"
                                             "  'arguments': { 'id': 'f0' } }");
    g_assert_nonnull(strstr(qdict_get_str(r, "desc"), "in use"));
    qobject_unref(r);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 5);

    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'object-del',"
                                     "  'arguments': { 'id': 'f0' } }");
    /* the end hosts go on by themselves, and a new filter leaves them alone */
    say(w, REMOTE, PORT, ACK | PSH, 6, 1, "more");
    hear(w, GUEST, PORT, ACK, 6, 1, "more");
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'object-add', 'arguments': {"
        "  'qom-type': 'filter-vtcp', 'id': 'f0', 'netdev': 'n0' } }");
    say(w, GUEST, PORT, ACK, 1, 10, NULL);
    hear(w, REMOTE, PORT, ACK, 1, 10, NULL);
    say(w, REMOTE, PORT, ACK | PSH, 10, 1, "passed");
    hear(w, GUEST, PORT, ACK, 10, 1, "passed");
    expect_nothing(w, REMOTE);
    /* ... but not the next connection */
    connect_guest(w, PORT + 1);
    say(w, REMOTE, PORT + 1, ACK | PSH, 1, 1, "new");
    hear(w, GUEST, PORT + 1, ACK, 1, 1, "new");
    hear(w, REMOTE, PORT + 1, ACK, 1, 4, NULL);
    world_free(w);
}

static void test_status(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    set(w, "status", "off");
    vtcp_wait_status(w, "draining");
    /*
     * not acknowledged early any more, only kept for a window that was promised; what was
     * acknowledged is still delivered
     */
    say(w, REMOTE, PORT, ACK | PSH, 6, 1, "more");
    hear(w, GUEST, PORT, ACK, 6, 1, "more");
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, PORT, ACK, 1, 1, "hellomore");
    g_assert_false(arrived(w, REMOTE));
    say(w, GUEST, PORT, ACK, 1, 10, NULL);
    hear(w, REMOTE, PORT, ACK, 1, 10, NULL);
    vtcp_wait_status(w, "off");

    /* it only watches */
    say(w, REMOTE, PORT, ACK | PSH, 10, 1, "bare");
    hear(w, GUEST, PORT, ACK, 10, 1, "bare");
    say(w, GUEST, PORT, ACK, 1, 14, NULL);
    hear(w, REMOTE, PORT, ACK, 1, 14, NULL);
    connect_guest(w, PORT + 1);

    /* connections that lived, or began, while it was off are accelerated (again) */
    set(w, "status", "on");
    vtcp_wait_status(w, "on");
    say(w, REMOTE, PORT, ACK | PSH, 14, 1, "again");
    hear(w, GUEST, PORT, ACK, 14, 1, "again");
    hear(w, REMOTE, PORT, ACK, 1, 19, NULL);
    say(w, REMOTE, PORT + 1, ACK | PSH, 1, 1, "new");
    hear(w, GUEST, PORT + 1, ACK, 1, 1, "new");
    hear(w, REMOTE, PORT + 1, ACK, 1, 4, NULL);
    g_assert_cmpint(vtcp_stat(w, "flows-created"), ==, 2);
    world_free(w);
}

/* Switched on again before it had drained: it never left the path. */
static void test_status_back(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    set(w, "status", "off");
    vtcp_wait_status(w, "draining");
    set(w, "status", "on");
    vtcp_wait_status(w, "on");
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    g_assert_cmpint(vtcp_stat(w, "flows"), ==, 1);
    world_free(w);
}

static void test_drain_timeout(void)
{
    World *w = connected(VTCP ",drain-timeout=3000");
    bool rst = false;

    hello_to_guest(w);
    set(w, "status", "off");
    vtcp_wait_status(w, "draining");
    qtest_clock_step(w->qts, 2900LL * SCALE_MS);
    vtcp_wait_status(w, "draining");
    g_assert_false(arrived(w, REMOTE));
    qtest_clock_step(w->qts, 200LL * SCALE_MS);
    qtest_qmp_eventwait(w->qts, "VNX_VTCP_FLOW_RESET");
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    while (!rst) {
        rst = receive(w, GUEST).flags & RST;    /* retransmissions come before it */
    }
    vtcp_wait_status(w, "off");
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 0);
    world_free(w);
}

/* netdev_del does not ask: both sides hear of it. */
static void test_netdev_del(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'netdev_del',"
                                     "  'arguments': { 'id': 'n0' } }");
    qtest_qmp_eventwait(w->qts, "VNX_VTCP_FLOW_RESET");
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    world_free(w);
}

/* The same while the stand-in for a filter that is switched off is in the path. */
static void test_netdev_del_draining(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    set(w, "status", "off");
    vtcp_wait_status(w, "draining");
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'netdev_del',"
                                     "  'arguments': { 'id': 'n0' } }");
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    world_free(w);
}

static void test_nic_gone(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'device_del',"
                                     "  'arguments': { 'id': 'nic0' } }");
    qtest_outl(w->qts, 0xae08, 1 << 4);     /* ACPI: eject slot 4 */
    qtest_qmp_eventwait(w->qts, "DEVICE_DELETED");
    qtest_clock_step(w->qts, NANOSECONDS_PER_SECOND);
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    g_assert_cmpint(vtcp_stat(w, "flows-reset"), ==, 1);
    world_free(w);
}

/* ---- U3: migration takes along what was acknowledged ---- */

static void migrate_to(World *w, const char *path)
{
    g_autofree char *uri = g_strdup_printf("exec:cat >%s", path);

    qtest_qmp_assert_success(w->qts, "{ 'execute': 'migrate',"
                                     "  'arguments': { 'uri': %s } }", uri);
    for (;;) {
        QDict *r = qtest_qmp_assert_success_ref(w->qts, "{ 'execute': 'query-migrate' }");
        const char *status = qdict_get_str(r, "status");
        bool completed = g_str_equal(status, "completed");

        g_assert_cmpstr(status, !=, "failed");
        qobject_unref(r);
        if (completed) {
            return;
        }
    }
}

static void test_migration(void)
{
    g_autofree char *path = NULL;
    g_autofree char *incoming = NULL;
    World *from = connected(VTCP), *to;
    int fd = g_file_open_tmp("vnx-migration-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    hello_to_guest(from);
    migrate_to(from, path);

    incoming = g_strdup_printf(VTCP " -incoming 'exec:cat %s'", path);
    to = world_new(incoming);
    qtest_qmp_eventwait(to->qts, "RESUME");
    guest_move(from, to);
    g_assert_cmpint(vtcp_stat(to, "undelivered"), ==, 5);
    g_assert_cmpint(vtcp_stat(to, "flows"), ==, 1);

    /* the destination delivers what the source has acknowledged */
    g_assert_cmpint(step_until(to, GUEST, 5000), <, 5000);
    hear(to, GUEST, PORT, ACK, 1, 1, "hello");
    say(to, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(to, "undelivered", 0);
    /* and goes on */
    say(to, REMOTE, PORT, ACK | PSH, 6, 1, "more");
    hear(to, GUEST, PORT, ACK, 6, 1, "more");

    /* the source has no say in the connection any more, not even when it ends */
    world_end(from);
    g_assert_false(arrived(from, REMOTE));
    world_free(from);
    world_free(to);
    unlink(path);
}

/* A source that goes on after its state was saved has lost nothing either. */
static void test_saved_and_resumed(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    migrate_to(w, "/dev/null");
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'cont' }");
    vtcp_wait_status(w, "on");
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

static void snapshot(World *w, const char *command)
{
    g_autofree char *said = qtest_hmp(w->qts, "%s vnx", command);

    g_assert_cmpstr(said, ==, "");
}

/* What the filter owed when the snapshot was taken is owed again. */
static void test_snapshot(void)
{
    g_autofree char *path = NULL;
    g_autofree char *args = NULL;
    World *w, then;
    int fd;

    if (!have_qemu_img()) {
        g_test_skip("no qemu-img");
        return;
    }
    fd = g_file_open_tmp("vnx-snapshot-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    mkqcow2(path, 16);
    args = g_strdup_printf(VTCP " -drive if=none,format=qcow2,file=%s", path);
    w = connected(args);
    hello_to_guest(w);
    snapshot(w, "savevm");
    then = *w;
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    connect_guest(w, PORT + 1);

    snapshot(w, "loadvm");
    w->pair[0] = then.pair[0];          /* the guest's memory is that of the snapshot */
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 5);
    g_assert_cmpint(vtcp_stat(w, "flows"), ==, 1);
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, PORT, ACK, 1, 1, "hello");
    say(w, GUEST, PORT, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
    unlink(path);
}

/*
 * U5: the filter's part of a snapshot, its length and its content, in hundreds of ways
 * not what was saved.  It is refused, or what came of it can be lived with; then the
 * right one is loaded.  (What QEMU saves lies in the image as it is.)
 */
static void test_malformed_state(void)
{
    const char *section = "filter-vtcp/f0/filter-vtcp";
    const size_t head = strlen(section) + 4 + 4;    /* instance and version */
    const int tries = g_test_slow() ? 3000 : 500;
    g_autofree char *path = NULL;
    g_autofree char *args = NULL;
    g_autofree char *image = NULL;
    g_autofree uint8_t *bad = NULL;
    const uint8_t *good;
    gsize size;
    off_t at;
    int refused = 0, fd;
    World *w;

    if (!have_qemu_img()) {
        g_test_skip("no qemu-img");
        return;
    }
    fd = g_file_open_tmp("vnx-snapshot-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    mkqcow2(path, 16);
    args = g_strdup_printf(VTCP " -m 16 -drive if=none,format=qcow2,file=%s", path);
    w = connected(args);
    hello_to_guest(w);
    say(w, GUEST, PORT, ACK | PSH, 1, 1, "answer");
    hear(w, REMOTE, PORT, ACK, 1, 6, "answer");
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'stop' }");
    snapshot(w, "savevm");

    g_assert_true(g_file_get_contents(path, &image, &size, NULL));
    good = memmem(image, size, section, strlen(section));
    g_assert_nonnull(good);
    good += head;
    at = (const char *)good - image;
    size = 4 + ldl_be_p(good);
    g_assert_cmpint(size, >, 100);
    g_assert_cmpint(size, <, 10000);
    close(fd);
    fd = open(path, O_RDWR);        /* mkqcow2() may have replaced it */
    g_assert_cmpint(fd, >=, 0);

    bad = g_malloc(size);
    for (int i = 0; i < tries; i++) {
        g_autofree char *said = NULL;

        memcpy(bad, good, size);
        for (int n = g_test_rand_int_range(1, 4); n--; ) {
            bad[g_test_rand_int_range(0, size)] ^= g_test_rand_int_range(1, 256);
        }
        g_assert_cmpint(pwrite(fd, bad, size, at), ==, size);
        said = qtest_hmp(w->qts, "loadvm vnx");
        if (*said) {
            refused++;
        } else {
            qtest_qmp_assert_success(w->qts, "{ 'execute': 'cont' }");
            qtest_clock_step(w->qts, 3 * NANOSECONDS_PER_SECOND);
            qtest_qmp_assert_success(w->qts, "{ 'execute': 'stop' }");
        }
    }
    g_test_message("%d of %d refused", refused, tries);
    g_assert_cmpint(refused, >, tries / 4);
    g_assert_cmpint(refused, <, tries);
    g_assert_cmpint(pwrite(fd, good, size, at), ==, size);
    snapshot(w, "loadvm");
    g_assert_cmpint(vtcp_stat(w, "flows"), ==, 1);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 11);
    close(fd);
    world_free(w);
    unlink(path);
}

/* A QEMU that ends with data in hand does not end in silence. */
static void test_quit(void)
{
    World *w = connected(VTCP);

    hello_to_guest(w);
    world_end(w);
    g_assert_cmphex(receive(w, REMOTE).flags & RST, ==, RST);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vnx/vtcp/T1-T3-T4/to-guest", test_to_guest);
    qtest_add_func("/vnx/vtcp/T1-T3-T4/to-net", test_to_net);
    qtest_add_func("/vnx/vtcp/T4/retransmit-to-guest", test_retransmit_to_guest);
    qtest_add_func("/vnx/vtcp/T4/retransmit-to-net", test_retransmit_to_net);
    qtest_add_func("/vnx/vtcp/T4/stalled-guest", test_stalled_guest);
    qtest_add_func("/vnx/vtcp/T9/guest-does-not-read", test_guest_does_not_read);
    qtest_add_func("/vnx/vtcp/T8/bounded-queue", test_bounded_queue);
    qtest_add_func("/vnx/vtcp/T9/stop-cont", test_stop_cont);
    qtest_add_data_func("/vnx/vtcp/T9/link-nic", "nic0", test_link);
    qtest_add_data_func("/vnx/vtcp/T9/link-netdev", "n0", test_link);
    qtest_add_func("/vnx/vtcp/T9/retry-limit", test_retry_limit);
    qtest_add_func("/vnx/vtcp/T9/object-del", test_object_del);
    qtest_add_func("/vnx/vtcp/T9/status", test_status);
    qtest_add_func("/vnx/vtcp/T9/status-back", test_status_back);
    qtest_add_func("/vnx/vtcp/T9/drain-timeout", test_drain_timeout);
    qtest_add_func("/vnx/vtcp/T9/netdev-del", test_netdev_del);
    qtest_add_func("/vnx/vtcp/T9/netdev-del-draining", test_netdev_del_draining);
    qtest_add_func("/vnx/vtcp/T9/nic-gone", test_nic_gone);
    qtest_add_func("/vnx/vtcp/T9/quit", test_quit);
    qtest_add_func("/vnx/vtcp/T9-U3/migration", test_migration);
    qtest_add_func("/vnx/vtcp/T9-U3/saved-and-resumed", test_saved_and_resumed);
    qtest_add_func("/vnx/vtcp/T9-U3/snapshot", test_snapshot);
    qtest_add_func("/vnx/vtcp/U3-U5/malformed-state", test_malformed_state);
    return g_test_run();
}
