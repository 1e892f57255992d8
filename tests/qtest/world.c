/*
 * vnx: what the qtests need: see world.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "world.h"
#include "libqos/malloc-pc.h"
#include "libqos/pci-pc.h"
#include "qemu/bswap.h"
#include "qemu/cutils.h"
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>

#define LIMIT_US (20 * G_USEC_PER_SEC)
#define MARKER_TYPE 0x88b5      /* IEEE 802, local experimental */

static const uint8_t mac[2][6] = {
    [GUEST] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
    [REMOTE] = { 0x52, 0x54, 0, 0x65, 0x43, 0x21 },
};
static const uint8_t ip[2][4] = { [GUEST] = { 10, 0, 0, 2 }, [REMOTE] = { 10, 0, 0, 1 } };
#define REMOTE_PORT 2000

/* ---- QEMU ---- */

static void set_option(int fd, int level, int name, const void *value, socklen_t size)
{
    g_assert_cmpint(setsockopt(fd, level, name, value, size), ==, 0);
}

static World *start(int wire, bool tap, unsigned queues, const char *netdev,
                    const char *args)
{
    World *w = g_new0(World, 1);
    struct timeval limit = { .tv_sec = LIMIT_US / G_USEC_PER_SEC };

    w->wire = wire;
    w->tap = tap;
    w->pairs = queues;
    w->at = w->pair;
    set_option(wire, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    w->qts = qtest_initf("-nodefaults -M pc -netdev %s "
                         "-device virtio-net-pci,id=nic0,netdev=n0,addr=4,"
                         "mac=52:54:00:12:34:56,romfile=,disable-legacy=on,mq=%s %s",
                         netdev, queues > 1 ? "on" : "off", args);
    pc_alloc_init(&w->alloc, w->qts, 0);
    w->pci = qpci_new_pc(w->qts, &w->alloc);
    return w;
}

World *world_new(const char *args)
{
    int pair[2];
    g_autofree char *netdev = NULL;
    World *w;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), ==, 0);
    netdev = g_strdup_printf("dgram,id=n0,local.type=fd,local.str=%d", pair[1]);
    w = start(pair[0], false, 1, netdev, args);
    close(pair[1]);
    return w;
}

/* Interfaces made from now on in this namespace say nothing of their own. */
static void silence_ipv6(void)
{
    FILE *f = fopen("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w");

    if (f) {
        g_assert_cmpint(fputs("1", f), >=, 0);
        g_assert_cmpint(fclose(f), ==, 0);
    }
}

World *world_new_tap(unsigned queues, const char *args)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    struct sockaddr_ll addr = { .sll_family = AF_PACKET };
    g_autoptr(GString) netdev = g_string_new("tap,id=n0,");
    int tap[PAIRS_MAX], wire, one = 1;
    World *w;

    if (unshare(CLONE_NEWNET) < 0) {
        g_test_skip("cannot make a network namespace");
        return NULL;
    }
    silence_ipv6();
    pstrcpy(ifr.ifr_name, sizeof(ifr.ifr_name), "vnxtap0");
    if (queues > 1) {
        ifr.ifr_flags |= IFF_MULTI_QUEUE;
    }
    for (unsigned i = 0; i < queues; i++) {
        tap[i] = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
        if (tap[i] < 0) {
            g_test_skip("cannot open /dev/net/tun");
            return NULL;
        }
        g_assert_cmpint(ioctl(tap[i], TUNSETIFF, &ifr), ==, 0);
        g_string_append_printf(netdev, "%s%d", i ? ":" : queues > 1 ? "fds=" : "fd=",
                               tap[i]);
    }

    /* Only our packet socket speaks here. */
    wire = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
    g_assert_cmpint(wire, >=, 0);
    set_option(wire, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one));
    ifr.ifr_flags = IFF_UP | IFF_NOARP;
    g_assert_cmpint(ioctl(wire, SIOCSIFFLAGS, &ifr), ==, 0);
    g_assert_cmpint(ioctl(wire, SIOCGIFINDEX, &ifr), ==, 0);
    addr.sll_ifindex = ifr.ifr_ifindex;
    addr.sll_protocol = htons(ETH_P_ALL);
    g_assert_cmpint(bind(wire, (void *)&addr, sizeof(addr)), ==, 0);
    set_option(wire, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));

    w = start(wire, true, queues, netdev->str, args);
    for (unsigned i = 0; i < queues; i++) {
        close(tap[i]);
    }
    return w;
}

void world_end(World *w)
{
    g_free(w->dev);
    qpci_free_pc(w->pci);
    alloc_destroy(&w->alloc);
    qtest_quit(w->qts);
    w->qts = NULL;
}

void world_free(World *w)
{
    if (w->qts) {
        world_end(w);
    }
    close(w->wire);
    g_free(w);
}

/* ---- the guest's driver ---- */

static void pair_start(World *w, unsigned i)
{
    w->at = &w->pair[i];
    w->at->rx = qvirtqueue_setup(&w->dev->vdev, &w->alloc, 2 * i);
    w->at->tx = qvirtqueue_setup(&w->dev->vdev, &w->alloc, 2 * i + 1);
    w->at->rx_posted = w->at->rx_seen = w->at->tx_sent = 0;
}

void guest_start(World *w, uint64_t features, unsigned buffers)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(4, 0) };

    if (!w->dev) {
        w->dev = virtio_pci_new(w->pci, &addr);
        qvirtio_pci_device_enable(w->dev);
        for (unsigned i = 0; i < w->pairs; i++) {
            w->pair[i].rx_mem = guest_alloc(&w->alloc, RX_BUFFERS * RX_BUFFER_SIZE);
            w->pair[i].tx_mem = guest_alloc(&w->alloc, FRAME_MAX);
        }
        w->ctrl_mem = guest_alloc(&w->alloc, 16);
    }
    qvirtio_start_device(&w->dev->vdev);
    w->features = qvirtio_get_features(&w->dev->vdev) &
                  (features | 1ull << VIRTIO_F_VERSION_1);
    qvirtio_set_features(&w->dev->vdev, w->features);
    w->guest_hdr_len = sizeof(struct virtio_net_hdr_v1);
    for (unsigned i = 0; i < w->pairs; i++) {
        pair_start(w, i);
    }
    if (w->pairs > 1) {
        w->ctrl = qvirtqueue_setup(&w->dev->vdev, &w->alloc, 2 * w->pairs);
        w->ctrl_sent = 0;
    }
    qvirtio_set_driver_ok(&w->dev->vdev);
    for (unsigned i = w->pairs; i-- > 0; ) {
        w->at = &w->pair[i];
        guest_post(w, buffers);
    }
}

void guest_reset(World *w)
{
    qvirtio_reset(&w->dev->vdev);
    for (unsigned i = 0; i < w->pairs; i++) {
        qvirtqueue_cleanup(w->dev->vdev.bus, w->pair[i].rx, &w->alloc);
        qvirtqueue_cleanup(w->dev->vdev.bus, w->pair[i].tx, &w->alloc);
    }
    if (w->ctrl) {
        qvirtqueue_cleanup(w->dev->vdev.bus, w->ctrl, &w->alloc);
        w->ctrl = NULL;
    }
}

static QVirtQueue *queue_move(QVirtQueue *from, World *to)
{
    QVirtQueuePCI *q = g_memdup2(container_of(from, QVirtQueuePCI, vq),
                                 sizeof(QVirtQueuePCI));

    q->vq.vdev = &to->dev->vdev;
    return &q->vq;
}

void guest_move(World *from, World *to)
{
    QPCIAddress addr = { .devfn = QPCI_DEVFN(4, 0) };

    to->dev = virtio_pci_new(to->pci, &addr);
    qvirtio_pci_device_enable(to->dev);
    for (unsigned i = 0; i < from->pairs; i++) {
        to->pair[i] = from->pair[i];
        to->pair[i].rx = queue_move(from->pair[i].rx, to);
        to->pair[i].tx = queue_move(from->pair[i].tx, to);
    }
    to->at = &to->pair[from->at - from->pair];
    to->guest_hdr_len = from->guest_hdr_len;
    to->features = from->features;
}

/* Descriptor @i of @q describes @len bytes at @mem; make it available. */
static void offer(World *w, QVirtQueue *q, uint16_t i, uint64_t mem, uint32_t len,
                  uint16_t flags, uint16_t *avail_idx)
{
    uint64_t desc = q->desc + i * sizeof(struct vring_desc);

    qtest_writeq(w->qts, desc, mem);
    qtest_writel(w->qts, desc + 8, len);
    qtest_writew(w->qts, desc + 12, flags);
    qtest_writew(w->qts, q->avail + 4 + 2 * (*avail_idx % q->size), i);
    qtest_writew(w->qts, q->avail + 2, ++*avail_idx);
}

void guest_post(World *w, unsigned buffers)
{
    while (buffers--) {
        uint16_t i = w->at->rx_posted % RX_BUFFERS;

        offer(w, w->at->rx, i, w->at->rx_mem + i * RX_BUFFER_SIZE, RX_BUFFER_SIZE,
              VRING_DESC_F_WRITE, &w->at->rx_posted);
    }
    w->dev->vdev.bus->virtqueue_kick(&w->dev->vdev, w->at->rx);
}

static uint16_t used_idx(World *w, QVirtQueue *q)
{
    return qtest_readw(w->qts, q->used + 2);
}

void guest_looked(World *w)
{
    QVirtQueue *rx = w->at->rx;

    qtest_writew(w->qts, rx->avail + 4 + 2 * rx->size, used_idx(w, rx));
}

static void wait_used(World *w, QVirtQueue *q, uint16_t idx)
{
    int64_t limit = g_get_monotonic_time() + LIMIT_US;

    while (used_idx(w, q) != idx) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
}

/* VIRTIO 1.2, 5.1.6.5.5 */
void guest_use_pairs(World *w, uint16_t pairs)
{
    const uint8_t command[] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
                                pairs, pairs >> 8 };
    const uint64_t ack = w->ctrl_mem + sizeof(command);
    uint64_t desc = w->ctrl->desc;

    qtest_memwrite(w->qts, w->ctrl_mem, command, sizeof(command));
    qtest_writeb(w->qts, ack, VIRTIO_NET_ERR);
    qtest_writeq(w->qts, desc + 16, ack);
    qtest_writel(w->qts, desc + 24, 1);
    qtest_writew(w->qts, desc + 28, VRING_DESC_F_WRITE);
    qtest_writew(w->qts, desc + 14, 1);         /* next of the first, which comes now */
    offer(w, w->ctrl, 0, w->ctrl_mem, sizeof(command), VRING_DESC_F_NEXT, &w->ctrl_sent);
    w->dev->vdev.bus->virtqueue_kick(&w->dev->vdev, w->ctrl);
    wait_used(w, w->ctrl, w->ctrl_sent);
    g_assert_cmpint(qtest_readb(w->qts, ack), ==, VIRTIO_NET_OK);
}

/* ---- frames ---- */

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? p[i] : p[i] << 8;
    }
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return ~sum;
}

static uint16_t tcp_checksum(const uint8_t *ip_header, size_t tcp_len)
{
    return fold(sum16(ip_header + 20, tcp_len,
                      sum16(ip_header + 12, 8, IPPROTO_TCP + tcp_len)));
}

static void transmit(World *w, Side from, const uint8_t *frame, size_t len)
{
    static const struct virtio_net_hdr_v1 hdr;

    if (from == REMOTE) {
        struct iovec iov[] = {
            { (void *)&hdr, w->tap ? sizeof(struct virtio_net_hdr) : 0 },
            { (void *)frame, len },
        };

        g_assert_cmpint(writev(w->wire, iov, 2), ==, iov[0].iov_len + len);
        return;
    }
    qtest_memwrite(w->qts, w->at->tx_mem, &hdr, w->guest_hdr_len);
    qtest_memwrite(w->qts, w->at->tx_mem + w->guest_hdr_len, frame, len);
    offer(w, w->at->tx, 0, w->at->tx_mem, w->guest_hdr_len + len, 0, &w->at->tx_sent);
    w->dev->vdev.bus->virtqueue_kick(&w->dev->vdev, w->at->tx);
    wait_used(w, w->at->tx, w->at->tx_sent);
}

void send_segment(World *w, Side from, Segment s)
{
    uint8_t f[2000] = { 0 };
    uint8_t *i = f + 14, *t = f + 34;
    size_t tcp_len = 20 + (s.mss ? 4 : 0) + s.len;
    size_t len = 34 + tcp_len;

    memcpy(f, mac[!from], 6);
    memcpy(f + 6, mac[from], 6);
    stw_be_p(f + 12, ETH_P_IP);
    i[0] = 0x45;
    stw_be_p(i + 2, 20 + tcp_len);
    i[8] = 64;
    i[9] = IPPROTO_TCP;
    memcpy(i + 12, ip[from], 4);
    memcpy(i + 16, ip[!from], 4);
    stw_be_p(i + 10, fold(sum16(i, 20, 0)));
    stw_be_p(t, from == GUEST ? s.guest_port : REMOTE_PORT);
    stw_be_p(t + 2, from == GUEST ? REMOTE_PORT : s.guest_port);
    stl_be_p(t + 4, s.seq);
    stl_be_p(t + 8, s.ack);
    t[12] = (s.mss ? 24 : 20) << 2;
    t[13] = s.flags;
    stw_be_p(t + 14, s.window);
    if (s.mss) {
        t[20] = 2;
        t[21] = 4;
        stw_be_p(t + 22, s.mss);
    }
    if (s.len) {
        memcpy(t + tcp_len - s.len, s.payload, s.len);
    }
    stw_be_p(t + 16, tcp_checksum(i, tcp_len));
    transmit(w, from, f, MAX(len, 60));
}

void send_marker(World *w, Side from)
{
    uint8_t f[60] = { 0 };

    memcpy(f, mac[!from], 6);
    memcpy(f + 6, mac[from], 6);
    stw_be_p(f + 12, MARKER_TYPE);
    f[14] = ++w->markers;
    transmit(w, from, f, sizeof(f));
}

bool arrived(World *w, Side at)
{
    struct pollfd p = { .fd = w->wire, .events = POLLIN };

    return at == GUEST ? used_idx(w, w->at->rx) != w->at->rx_seen : poll(&p, 1, 0) == 1;
}

size_t take(World *w, Side at, struct virtio_net_hdr *vnet)
{
    int64_t limit = g_get_monotonic_time() + LIMIT_US;
    uint64_t elem;
    uint32_t id, len;

    if (at == REMOTE) {
        struct iovec iov[] = {
            { vnet, w->tap ? sizeof(*vnet) : 0 },
            { w->frame, sizeof(w->frame) },
        };
        ssize_t n = readv(w->wire, iov, 2);

        g_assert_cmpint(n, >=, iov[0].iov_len + 14);
        return n - iov[0].iov_len;
    }
    while (!arrived(w, GUEST)) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
    elem = w->at->rx->used + 4 +
           (w->at->rx_seen++ % w->at->rx->size) * sizeof(struct vring_used_elem);
    id = qtest_readl(w->qts, elem);
    len = qtest_readl(w->qts, elem + 4);
    g_assert_cmpint(id, <, RX_BUFFERS);
    g_assert_cmpint(len, >=, w->guest_hdr_len + 14);
    qtest_memread(w->qts, w->at->rx_mem + id * RX_BUFFER_SIZE, vnet, sizeof(*vnet));
    qtest_memread(w->qts, w->at->rx_mem + id * RX_BUFFER_SIZE + w->guest_hdr_len,
                  w->frame, len - w->guest_hdr_len);
    return len - w->guest_hdr_len;
}

Segment receive(World *w, Side at)
{
    Segment s = { 0 };
    size_t len = take(w, at, &s.vnet), tcp_len;
    const uint8_t *i = w->frame + 14, *t = w->frame + 34;

    if (lduw_be_p(w->frame + 12) == MARKER_TYPE) {
        g_assert_cmpint(w->frame[14], ==, w->markers);
        s.marker = true;
        return s;
    }
    g_assert_cmphex(lduw_be_p(w->frame + 12), ==, ETH_P_IP);
    g_assert_cmpmem(w->frame, 6, mac[at], 6);
    g_assert_cmpmem(w->frame + 6, 6, mac[!at], 6);
    g_assert_cmphex(i[0], ==, 0x45);
    g_assert_cmpint(lduw_be_p(i + 2), <=, len - 14);
    g_assert_cmphex(fold(sum16(i, 20, 0)), ==, 0);
    tcp_len = lduw_be_p(i + 2) - 20;
    if (s.vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        g_assert_cmpint(s.vnet.csum_start, ==, 34);
        g_assert_cmpint(s.vnet.csum_offset, ==, 16);
    } else {
        g_assert_cmphex(tcp_checksum(i, tcp_len), ==, 0);
    }
    s.guest_port = lduw_be_p(at == GUEST ? t + 2 : t);
    s.seq = ldl_be_p(t + 4);
    s.ack = ldl_be_p(t + 8);
    s.flags = t[13];
    s.window = lduw_be_p(t + 14);
    s.payload = t + (t[12] >> 4) * 4;
    s.len = tcp_len - (t[12] >> 4) * 4;
    return s;
}

void expect_nothing(World *w, Side at)
{
    send_marker(w, !at);
    g_assert_true(receive(w, at).marker);
}

int64_t step_until(World *w, Side at, int64_t limit_ms)
{
    const int step_ms = 10;
    int64_t ms = 0;

    while (!arrived(w, at) && ms < limit_ms) {
        qtest_clock_step(w->qts, step_ms * SCALE_MS);
        ms += step_ms;
    }
    return ms;
}

/* ---- one connection ---- */

static uint32_t isn(Side side)
{
    return side == GUEST ? ISN_GUEST : ISN_REMOTE;
}

void say(World *w, Side from, uint16_t guest_port, uint8_t flags, uint32_t seq,
         uint32_t ack, const char *payload)
{
    send_segment(w, from, (Segment) {
        .guest_port = guest_port,
        .flags = flags,
        .seq = isn(from) + seq,
        .ack = flags & ACK ? isn(!from) + ack : 0,
        .window = 60000,
        .mss = flags & SYN ? 1460 : 0,
        .payload = (const uint8_t *)payload,
        .len = payload ? strlen(payload) : 0,
    });
}

uint16_t hear(World *w, Side at, uint16_t guest_port, uint8_t flags, uint32_t seq,
              uint32_t ack, const char *payload)
{
    Segment s = receive(w, at);

    g_assert_false(s.marker);
    g_assert_cmpint(s.guest_port, ==, guest_port);
    g_assert_cmphex(s.flags & ~PSH, ==, flags);
    g_assert_cmpint(s.seq - isn(!at), ==, seq);
    if (flags & ACK) {
        g_assert_cmpint(s.ack - isn(at), ==, ack);
    }
    g_assert_cmpmem(s.payload, s.len, payload ?: "", payload ? strlen(payload) : 0);
    return s.window;
}

void connect_guest(World *w, uint16_t guest_port)
{
    say(w, GUEST, guest_port, SYN, 0, 0, NULL);
    hear(w, REMOTE, guest_port, SYN, 0, 0, NULL);
    say(w, REMOTE, guest_port, SYN | ACK, 0, 1, NULL);
    hear(w, GUEST, guest_port, SYN | ACK, 0, 1, NULL);
    say(w, GUEST, guest_port, ACK, 1, 1, NULL);
    hear(w, REMOTE, guest_port, ACK, 1, 1, NULL);
}

/* ---- QMP ---- */

QDict *vtcp_stats(World *w)
{
    QDict *r = qtest_qmp(w->qts, "{ 'execute': 'query-vnx-vtcp-stats',"
                                 "  'arguments': { 'id': 'f0' } }");
    QDict *stats;

    g_assert_true(qdict_haskey(r, "return"));
    stats = qobject_to(QDict, qlist_peek(qdict_get_qlist(r, "return")));
    g_assert_nonnull(stats);
    qobject_ref(stats);
    qobject_unref(r);
    return stats;
}

uint64_t vtcp_stat(World *w, const char *name)
{
    QDict *stats = vtcp_stats(w);
    uint64_t value;

    g_assert_true(qdict_haskey(stats, name));
    value = qdict_get_int(stats, name);
    qobject_unref(stats);
    return value;
}

void vtcp_wait_stat(World *w, const char *name, uint64_t value)
{
    int64_t limit = g_get_monotonic_time() + LIMIT_US;

    while (vtcp_stat(w, name) < value) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
    g_assert_cmpint(vtcp_stat(w, name), ==, value);
}

void vtcp_wait_status(World *w, const char *status)
{
    int64_t limit = g_get_monotonic_time() + LIMIT_US;

    for (;;) {
        QDict *stats = vtcp_stats(w);
        bool there = g_str_equal(qdict_get_str(stats, "status"), status);

        qobject_unref(stats);
        if (there) {
            return;
        }
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
    }
}

static QDict *only_flow(World *w)
{
    QDict *r = qtest_qmp(w->qts, "{ 'execute': 'query-vnx-vtcp-flows',"
                                 "  'arguments': { 'id': 'f0' } }");
    QDict *flow = qobject_to(QDict, qlist_peek(qdict_get_qlist(r, "return")));

    g_assert_nonnull(flow);
    qobject_ref(flow);
    qobject_unref(r);
    return flow;
}

char *flow_text(World *w, const char *half, const char *name)
{
    QDict *flow = only_flow(w);
    char *text = g_strdup(qdict_get_str(half ? qdict_get_qdict(flow, half) : flow, name));

    qobject_unref(flow);
    return text;
}

int64_t flow_number(World *w, const char *name)
{
    QDict *flow = only_flow(w);
    int64_t number = qdict_get_int(flow, name);

    qobject_unref(flow);
    return number;
}
