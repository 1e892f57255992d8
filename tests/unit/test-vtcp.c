/*
 * vnx: unit test of vTCP and path MTU reports (G4, T9; rule 7 of the design)
 *
 * What script tests cannot say: ICMP messages that quote a segment.  A guest sends one segment, which
 * vTCP acknowledges early and sends on; then a router's report comes back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <netinet/in.h>
#include <string.h>

#include <vnx/vtcp.h>

#define GUEST_ISS 1000u
#define NET_ISS 50000u
#define PAYLOAD 1400u
#define MSS 1440

typedef struct Sent {
    VnxDir dir;
    uint32_t seq, len;
} Sent;

typedef struct Fixture {
    VnxVtcp *v;
    GArray *sent;               /* Sent, with payload or not */
    int family;
    uint8_t payload[PAYLOAD];
} Fixture;

static bool on_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size)
{
    Fixture *f = opaque;
    g_autofree VnxPacket *p = g_new(VnxPacket, 1);
    Sent sent = { .dir = dir };
    uint8_t bytes[PAYLOAD];

    g_assert_cmpint(vnx_packet_parse(p, iov, iovcnt, 0, dir), ==, VNX_PARSE_TCP);
    g_assert_true(vnx_packet_csum_ok(p));
    sent.seq = p->seq;
    sent.len = p->payload_len;
    if (sent.len) {
        vnx_packet_copy_payload(p, 0, sent.len, bytes);
        g_assert_cmpmem(bytes, sent.len, f->payload + (p->seq - GUEST_ISS - 1), sent.len);
    }
    g_array_append_val(f->sent, sent);
    return true;
}

static void on_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
    on_emit(opaque, dir, 0, iov, iovcnt, size);
}

static const VnxVtcpOps ops = { .emit = on_emit, .forward = on_forward };

/* Ethernet and IP headers of a segment in direction @dir. */
static void headers(const Fixture *f, VnxDir dir, VnxHeaders *h)
{
    uint8_t *ip = h->bytes + 14;

    memset(h, 0, sizeof(*h));
    h->l3_off = 14;
    h->ip_version = f->family;
    h->sport = dir == VNX_TO_NET ? 40000 : 80;
    h->dport = dir == VNX_TO_NET ? 80 : 40000;
    h->bytes[5] = dir;
    h->bytes[11] = !dir;
    if (f->family == 4) {
        h->bytes[12] = 8;
        h->len = 34;
        ip[0] = 0x45;
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = IPPROTO_TCP;
        ip[12] = ip[16] = 10;
        ip[15] = dir == VNX_TO_NET ? 1 : 2;
        ip[19] = dir == VNX_TO_NET ? 2 : 1;
    } else {
        h->bytes[12] = 0x86;
        h->bytes[13] = 0xdd;
        h->len = 54;
        ip[0] = 0x60;
        ip[6] = IPPROTO_TCP;
        ip[7] = 64;
        ip[8] = ip[24] = 0xfd;
        ip[23] = dir == VNX_TO_NET ? 1 : 2;
        ip[39] = dir == VNX_TO_NET ? 2 : 1;
    }
}

/*
 * Nothing in the engine makes a SYN, so that VnxBuild knows no MSS option: put it in place of a
 * timestamp option, which ends @head, and mend the checksum.
 */
static void option_mss(uint8_t *head, size_t len)
{
    static const uint8_t mss[12] = { 2, 4, MSS >> 8, MSS & 0xff, 1, 1, 1, 1, 1, 1, 1, 1 };
    uint8_t *option = head + len - 12, *tcp = option - 20;
    uint16_t csum;

    memcpy(&csum, tcp + 16, 2);
    for (unsigned i = 0; i < 12; i += 4) {
        uint32_t old, new;

        memcpy(&old, option + i, 4);
        memcpy(&new, mss + i, 4);
        csum = vnx_csum_update32(csum, old, new);
    }
    memcpy(tcp + 16, &csum, 2);
    memcpy(option, mss, 12);
}

static VnxVerdict push(Fixture *f, VnxDir dir, uint16_t flags, uint32_t seq, uint32_t ack,
                       uint32_t len)
{
    struct iovec payload = { f->payload, len }, frame[2];
    VnxBuild b = { .seq = seq, .ack = ack, .flags = flags, .window = 60000,
                   .payload = &payload, .payload_cnt = 1, .payload_len = len,
                   .timestamp = flags & VNX_TCP_SYN };
    uint8_t head[VNX_BUILD_MAX];
    VnxHeaders h;

    headers(f, dir, &h);
    frame[0].iov_base = head;
    frame[0].iov_len = vnx_headers_build(&h, &b, head);
    if (flags & VNX_TCP_SYN) {
        option_mss(head, frame[0].iov_len);
    }
    frame[1] = payload;
    return vnx_vtcp_push(f->v, dir, 0, frame, 2, 0, 1000000);
}

/* A report, to the guest, on its segment at @seq. Returns the frame's length. */
static size_t report(const Fixture *f, uint8_t *frame, uint32_t seq, uint32_t mtu)
{
    uint8_t quoted[VNX_BUILD_MAX];
    VnxBuild b = { .seq = seq, .flags = VNX_TCP_ACK };
    unsigned ip_len = f->family == 4 ? 20 : 40, size;
    uint8_t *ip = frame + 14, *icmp = ip + ip_len;
    VnxHeaders h;
    uint16_t sum;

    headers(f, VNX_TO_NET, &h);
    vnx_headers_build(&h, &b, quoted);
    headers(f, VNX_TO_GUEST, &h);       /* from a router: any source will do */
    memcpy(frame, h.bytes, h.len);
    memset(icmp, 0, 8);
    memcpy(icmp + 8, quoted + 14, ip_len + 8);
    size = 8 + ip_len + 8;
    if (f->family == 4) {
        icmp[0] = 3;
        icmp[1] = 4;
        icmp[6] = mtu >> 8;
        icmp[7] = mtu;
        ip[9] = IPPROTO_ICMP;
        ip[3] = ip_len + size;
        sum = vnx_csum_fold(vnx_csum_partial(ip, 20, 0));
        memcpy(ip + 10, &sum, 2);
        sum = vnx_csum_fold(vnx_csum_partial(icmp, size, 0));
    } else {
        uint32_t pseudo = vnx_csum_partial(ip + 8, 32, htons(58) + htons(size));

        icmp[0] = 2;
        icmp[6] = mtu >> 8;
        icmp[7] = mtu;
        ip[6] = IPPROTO_ICMPV6;
        ip[5] = size;
        sum = vnx_csum_fold(vnx_csum_partial(icmp, size, pseudo));
    }
    memcpy(icmp + 2, &sum, 2);
    return 14 + ip_len + size;
}

static VnxVerdict push_report(Fixture *f, uint32_t seq, uint32_t mtu)
{
    uint8_t frame[300];
    struct iovec iov = { frame, report(f, frame, seq, mtu) };

    g_array_set_size(f->sent, 0);
    return vnx_vtcp_push(f->v, VNX_TO_GUEST, 0, &iov, 1, 0, 2000000);
}

static uint64_t reports_used(Fixture *f)
{
    VnxVtcpStats stats;

    vnx_vtcp_stats(f->v, &stats);
    return stats.too_big;
}

/* One segment of PAYLOAD bytes from the guest is on its way, acknowledged early. */
static void set_up(Fixture *f, gconstpointer family)
{
    static const uint8_t seed[16] = { 1 };
    VnxVtcpConfig cfg;
    VnxVtcpStats stats;

    vnx_vtcp_config_init(&cfg);
    f->family = GPOINTER_TO_INT(family);
    f->sent = g_array_new(FALSE, FALSE, sizeof(Sent));
    f->v = vnx_vtcp_new(&cfg, &ops, f, seed);
    for (unsigned i = 0; i < PAYLOAD; i++) {
        f->payload[i] = i * 31 + 7;
    }
    push(f, VNX_TO_NET, VNX_TCP_SYN, GUEST_ISS, 0, 0);
    push(f, VNX_TO_GUEST, VNX_TCP_SYN | VNX_TCP_ACK, NET_ISS, GUEST_ISS + 1, 0);
    push(f, VNX_TO_NET, VNX_TCP_ACK, GUEST_ISS + 1, NET_ISS + 1, 0);
    g_assert_cmpint(push(f, VNX_TO_NET, VNX_TCP_ACK, GUEST_ISS + 1, NET_ISS + 1, PAYLOAD),
                    ==, VNX_VERDICT_CONSUMED);
    vnx_vtcp_run(f->v, 1000000);
    vnx_vtcp_stats(f->v, &stats);
    g_assert_cmpuint(stats.undelivered, ==, PAYLOAD);
}

static void tear_down(Fixture *f, gconstpointer family)
{
    vnx_vtcp_free(f->v);
    g_array_free(f->sent, TRUE);
}

/* Everything under way is sent again, in pieces of @mss at most. */
static void assert_cut(Fixture *f, uint32_t mss)
{
    uint32_t next = GUEST_ISS + 1;

    g_assert_cmpuint(f->sent->len, >, 0);
    for (unsigned i = 0; i < f->sent->len; i++) {
        Sent *sent = &g_array_index(f->sent, Sent, i);

        g_assert_cmpint(sent->dir, ==, VNX_TO_NET);
        g_assert_cmpuint(sent->seq, ==, next);
        g_assert_cmpuint(sent->len, <=, mss);
        next += sent->len;
    }
    g_assert_cmpuint(g_array_index(f->sent, Sent, 0).len, ==, MIN(mss, PAYLOAD));
    g_assert_cmpuint(next, ==, GUEST_ISS + 1 + PAYLOAD);
}

static void test_cut(Fixture *f, gconstpointer family)
{
    uint32_t header_len = f->family == 4 ? 40 : 60;

    /* the report goes on to the guest, too */
    g_assert_cmpint(push_report(f, GUEST_ISS + 1, 1300), ==, VNX_VERDICT_PASS);
    g_assert_cmpuint(reports_used(f), ==, 1);
    assert_cut(f, 1300 - header_len);
    /* the same again, or more, says nothing new */
    push_report(f, GUEST_ISS + 1, 1300);
    push_report(f, GUEST_ISS + 1, 1400);
    g_assert_cmpuint(reports_used(f), ==, 1);
    g_assert_cmpuint(f->sent->len, ==, 0);
    /* a narrower link behind that one; another segment of those under way */
    push_report(f, GUEST_ISS + 1 + (1300 - header_len), 1290);
    g_assert_cmpuint(reports_used(f), ==, 2);
    assert_cut(f, 1290 - header_len);
}

/* RFC 5927 4.1: what is not under way is no reason; and nobody makes segments tiny */
static void test_forged(Fixture *f, gconstpointer family)
{
    push_report(f, GUEST_ISS, 1300);
    push_report(f, GUEST_ISS + 1 + PAYLOAD, 1300);
    push_report(f, GUEST_ISS + 1 - 100000, 1300);
    g_assert_cmpuint(reports_used(f), ==, 0);
    g_assert_cmpuint(f->sent->len, ==, 0);
    push_report(f, GUEST_ISS + 100, 80);
    g_assert_cmpuint(reports_used(f), ==, 1);
    assert_cut(f, f->family == 4 ? 552 - 40 : 1280 - 60);
}

/* All is delivered: no report counts any more. */
static void test_late(Fixture *f, gconstpointer family)
{
    push(f, VNX_TO_GUEST, VNX_TCP_ACK, NET_ISS + 1, GUEST_ISS + 1 + PAYLOAD, 0);
    push_report(f, GUEST_ISS + 1, 1300);
    g_assert_cmpuint(reports_used(f), ==, 0);
    g_assert_cmpuint(f->sent->len, ==, 0);
}

/* Cut short anywhere, or split anywhere, a report is read within its bounds. */
static void test_truncated(Fixture *f, gconstpointer family)
{
    uint8_t frame[300];
    size_t size = report(f, frame, GUEST_ISS + 1, 700);

    for (size_t n = 0; n <= size; n++) {
        g_autofree uint8_t *exact = g_memdup2(frame, n);
        g_autofree uint8_t *rest = g_memdup2(frame + n, size - n);
        struct iovec whole = { exact, n }, split[2] = { { exact, n }, { rest, size - n } };
        g_autofree VnxPacket *p = g_new(VnxPacket, 1);
        VnxTooBig too_big;

        vnx_vtcp_push(f->v, VNX_TO_GUEST, 0, &whole, 1, 0, 3000000);
        g_assert_cmpint(vnx_packet_parse(p, split, 2, 0, VNX_TO_GUEST), ==,
                        VNX_PARSE_OTHER);
        g_assert_true(vnx_packet_too_big(p, VNX_TO_GUEST, &too_big));
        g_assert_cmpuint(too_big.mtu, ==, 700);
        g_assert_cmpuint(too_big.seq, ==, GUEST_ISS + 1);
        g_assert_cmpuint(too_big.key.port[VNX_TO_GUEST], ==, 40000);
        g_assert_cmpuint(too_big.key.port[VNX_TO_NET], ==, 80);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (intptr_t family = 4; family <= 6; family += 2) {
        g_autofree char *cut = g_strdup_printf("/vtcp/G4-T9/too-big/cut/ip%d", (int)family);
        g_autofree char *forged = g_strdup_printf("/vtcp/G4-T9/too-big/forged/ip%d",
                                                  (int)family);
        g_autofree char *late = g_strdup_printf("/vtcp/G4-T9/too-big/late/ip%d", (int)family);
        g_autofree char *truncated = g_strdup_printf("/vtcp/G4-T9/too-big/truncated/ip%d",
                                                     (int)family);

        g_test_add(cut, Fixture, (gpointer)family, set_up, test_cut, tear_down);
        g_test_add(forged, Fixture, (gpointer)family, set_up, test_forged, tear_down);
        g_test_add(late, Fixture, (gpointer)family, set_up, test_late, tear_down);
        g_test_add(truncated, Fixture, (gpointer)family, set_up, test_truncated, tear_down);
    }
    return g_test_run();
}
