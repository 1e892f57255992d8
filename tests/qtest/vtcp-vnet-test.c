/*
 * vnx: filter-vtcp and the virtio-net header of a tap (T1)
 *
 * The header has no length until the driver has negotiated, then 10 or 12 bytes, and
 * changes with every reset.  Frames that vTCP builds itself use only what their
 * receiver has enabled.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "world.h"

#define VTCP "-object filter-vtcp,id=f0,netdev=n0"

#define CSUM (1ull << VIRTIO_NET_F_CSUM)
#define GUEST_CSUM (1ull << VIRTIO_NET_F_GUEST_CSUM)
#define MRG_RXBUF (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define GUEST_TSO4 (1ull << VIRTIO_NET_F_GUEST_TSO4)

/* One connection in both directions, and a retransmission toward the guest. */
static void converse(World *w, uint16_t port, bool partial)
{
    Segment s;

    connect_guest(w, port);
    say(w, REMOTE, port, ACK | PSH, 1, 1, "to the guest");
    s = receive(w, GUEST);
    g_assert_cmpmem(s.payload, s.len, "to the guest", 12);
    hear(w, REMOTE, port, ACK, 1, 13, NULL);

    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    s = receive(w, GUEST);
    g_assert_cmpmem(s.payload, s.len, "to the guest", 12);
    g_assert_cmpint(!!(s.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM), ==, partial);
    g_assert_cmpint(s.vnet.gso_type, ==, VIRTIO_NET_HDR_GSO_NONE);

    say(w, GUEST, port, ACK | PSH, 1, 13, "to the remote");
    hear(w, REMOTE, port, ACK, 1, 13, "to the remote");
    s = receive(w, GUEST);
    g_assert_cmpint(s.len, ==, 0);
    g_assert_cmpint(s.ack - ISN_GUEST, ==, 14);
    say(w, REMOTE, port, ACK, 13, 14, NULL);
    expect_nothing(w, GUEST);
    g_assert_cmpint(vtcp_stat(w, "undelivered"), ==, 0);
    g_assert_cmpint(vtcp_stat(w, "malformed"), ==, 0);
    g_assert_cmpint(vtcp_stat(w, "bad-checksum"), ==, 0);
}

static void test_lengths(void)
{
    static const struct {
        uint64_t features;
        bool partial;
    } drivers[] = {
        { 0, false },
        { MRG_RXBUF, false },
        { CSUM | GUEST_CSUM, true },
        { CSUM | GUEST_CSUM | GUEST_TSO4 | MRG_RXBUF, true },
        { 0, false },
    };
    World *w = world_new_tap(1, VTCP);

    if (!w) {
        return;
    }
    for (int i = 0; i < ARRAY_SIZE(drivers); i++) {
        guest_start(w, drivers[i].features, 48);
        g_assert_cmphex(w->features & drivers[i].features, ==, drivers[i].features);
        converse(w, 1000 + i, drivers[i].partial);
        guest_reset(w);
    }
    world_free(w);
}

/*
 * What arrived before there was a driver was made for another header: it is dropped, not
 * delivered skewed; and the filter goes on.
 */
static void test_before_driver(void)
{
    World *w = world_new_tap(1, VTCP);

    if (!w) {
        return;
    }
    for (int i = 0; i < 20; i++) {
        send_marker(w, REMOTE);
    }
    vtcp_wait_stat(w, "not-tcp", 20);
    guest_start(w, MRG_RXBUF, 48);
    expect_nothing(w, GUEST);
    converse(w, 1000, false);
    world_free(w);
}

/* The guest's driver starts anew: what vTCP still holds comes with the new header. */
static void test_reset(void)
{
    World *w = world_new_tap(1, VTCP);

    if (!w) {
        return;
    }
    guest_start(w, MRG_RXBUF | CSUM | GUEST_CSUM, 48);
    connect_guest(w, 1000);
    say(w, REMOTE, 1000, ACK | PSH, 1, 1, "hello");
    hear(w, GUEST, 1000, ACK, 1, 1, "hello");
    hear(w, REMOTE, 1000, ACK, 1, 6, NULL);
    guest_reset(w);
    guest_start(w, 0, 48);
    g_assert_cmpint(step_until(w, GUEST, 5000), <, 5000);
    hear(w, GUEST, 1000, ACK, 1, 1, "hello");
    say(w, GUEST, 1000, ACK, 1, 6, NULL);
    vtcp_wait_stat(w, "undelivered", 0);
    world_free(w);
}

/* announce-self sends frames without any header, whatever the NIC has negotiated. */
static void test_raw(void)
{
    World *w = world_new_tap(1, VTCP);
    struct virtio_net_hdr vnet;

    if (!w) {
        return;
    }
    guest_start(w, MRG_RXBUF, 48);
    qtest_qmp_assert_success(w->qts, "{ 'execute': 'announce-self', 'arguments': {"
                             " 'initial': 50, 'max': 50, 'rounds': 1, 'step': 0 } }");
    g_assert_cmpint(take(w, REMOTE, &vnet), ==, 60);
    g_assert_cmphex(w->frame[12] << 8 | w->frame[13], ==, 0x8035);      /* RARP */
    g_assert_cmpint(vtcp_stat(w, "malformed"), ==, 0);
    world_free(w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    qtest_add_func("/vnx/vtcp/T1/vnet-lengths", test_lengths);
    qtest_add_func("/vnx/vtcp/T1/vnet-before-driver", test_before_driver);
    qtest_add_func("/vnx/vtcp/T9/vnet-reset", test_reset);
    qtest_add_func("/vnx/vtcp/T1/vnet-raw", test_raw);
    return g_test_run();
}
