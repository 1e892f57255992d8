/*
 * vnx tests: packets (T1, T2, T10, U5; the ground under every rewrite of T3 to T6)
 *
 * Frames are made here byte by byte from a Spec, with a checksum written as
 * RFC 1071 states it, so that nothing under test makes its own test data.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <netinet/in.h>

#include "../packet-check.h"

/* ---- Oracles ---- */

/* RFC 1071 section 1, word by word; big endian in and out. */
static uint16_t naive_sum(const uint8_t *b, size_t len, uint16_t start)
{
    uint32_t sum = start;

    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? b[i] : b[i] << 8;
        if (sum > 0xffff) {
            sum -= 0xffff;
        }
    }
    return sum;
}

static void fill_random(uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        b[i] = g_test_rand_int();
    }
}

/* @n ascending offsets up to @size, steps below @max_step: odd and empty pieces. */
static void random_cuts(size_t *cut, unsigned n, size_t size, int max_step)
{
    size_t at = 0;

    for (unsigned k = 0; k < n; k++) {
        at += g_test_rand_int_range(0, max_step);
        cut[k] = MIN(size, at);
    }
}

/* ---- Frames ---- */

/* SPEC() states defaults and lets its user override them. */
#pragma GCC diagnostic ignored "-Woverride-init"

typedef struct Bytes {
    const uint8_t *b;
    size_t len;
} Bytes;

#define BYTES(...) ((Bytes) { (const uint8_t[]) { __VA_ARGS__ }, \
                              sizeof((uint8_t[]) { __VA_ARGS__ }) })

typedef struct Spec {
    size_t vnet_len;
    VnxVnetHdr vnet;            /* csum_start, csum_offset: set with NEEDS_CSUM */
    unsigned n_tags;
    uint16_t tpid[3];
    uint16_t tci[3];
    uint16_t ethertype;         /* 0: by ip_version */
    int ip_version;
    uint8_t tos;
    uint16_t frag;              /* IPv4 flags and offset */
    uint8_t proto;              /* 0: TCP */
    Bytes ip_options;           /* IPv4 */
    unsigned n_ext;             /* IPv6: kind, and its bytes (next header is filled in) */
    uint8_t ext_kind[4];
    Bytes ext[4];
    long ip_len;                /* -1: right; else what the header says */
    uint32_t seq, ack;
    uint16_t flags, window, urgent;
    Bytes tcp_options;
    size_t payload_len;
    size_t padding;
} Spec;

#define SPEC(v, ...) ((Spec) { .ip_version = (v), .ip_len = -1, .seq = 0x11223344, \
                               .ack = 0x55667788, .flags = VNX_TCP_ACK, \
                               .window = 0x9abc, .payload_len = 100, __VA_ARGS__ })

static void put8(GByteArray *a, uint8_t v)
{
    g_byte_array_append(a, &v, 1);
}

static void put16(GByteArray *a, uint16_t v)
{
    put8(a, v >> 8);
    put8(a, v);
}

static void put32(GByteArray *a, uint32_t v)
{
    put16(a, v >> 16);
    put16(a, v);
}

static void put_le16(GByteArray *a, uint16_t v)
{
    put8(a, v);
    put8(a, v >> 8);
}

static void put(GByteArray *a, Bytes b)
{
    if (b.len) {
        g_byte_array_append(a, b.b, b.len);
    }
}

static void poke16(GByteArray *a, size_t off, uint16_t v)
{
    a->data[off] = v >> 8;
    a->data[off + 1] = v;
}

#define SRC_PORT 0x1234
#define DST_PORT 0xfedc

/* The address of the source (0) or destination (1), in @b. */
static size_t spec_addr(const Spec *s, int which, uint8_t *b)
{
    size_t len = s->ip_version == 4 ? 4 : 16;

    memset(b, 0, 16);
    for (size_t i = 0; i < len; i++) {
        b[i] = (which ? 0xa0 : 0x20) + i;
    }
    return len;
}

static GByteArray *make_frame(const Spec *s)
{
    GByteArray *a = g_byte_array_new();
    uint8_t proto = s->proto ? s->proto : IPPROTO_TCP;
    uint8_t addr[2][16];
    size_t alen = spec_addr(s, 0, addr[0]), l3, l4, ext_len = 0;
    size_t tcp_len = 20 + s->tcp_options.len + s->payload_len;
    uint16_t sum;

    spec_addr(s, 1, addr[1]);
    for (unsigned i = 0; i < s->n_ext; i++) {
        ext_len += s->ext[i].len;
    }
    l3 = 14 + 4 * s->n_tags;
    l4 = l3 + (s->ip_version == 4 ? 20 + s->ip_options.len : 40 + ext_len);

    if (s->vnet_len) {
        bool partial = s->vnet.flags & VNX_VNET_F_NEEDS_CSUM;

        put8(a, s->vnet.flags);
        put8(a, s->vnet.gso_type);
        put_le16(a, s->vnet.hdr_len);
        put_le16(a, s->vnet.gso_size);
        put_le16(a, partial ? l4 : s->vnet.csum_start);
        put_le16(a, partial ? 16 : s->vnet.csum_offset);
        while (a->len < s->vnet_len) {
            put8(a, 0xee);
        }
    }
    for (int i = 0; i < 12; i++) {
        put8(a, 0x50 + i);
    }
    for (unsigned i = 0; i < s->n_tags; i++) {
        put16(a, s->tpid[i]);
        put16(a, s->tci[i]);
    }
    put16(a, s->ethertype ? s->ethertype : s->ip_version == 4 ? 0x0800 : 0x86dd);

    if (s->ip_version == 4) {
        size_t header_len = 20 + s->ip_options.len, ip = a->len;

        put8(a, 0x40 | header_len / 4);
        put8(a, s->tos);
        put16(a, s->ip_len >= 0 ? s->ip_len : header_len + tcp_len);
        put16(a, 0x4242);
        put16(a, s->frag);
        put8(a, 64);
        put8(a, proto);
        put16(a, 0);
        put(a, (Bytes) { addr[0], alen });
        put(a, (Bytes) { addr[1], alen });
        put(a, s->ip_options);
        poke16(a, ip + 10, ~naive_sum(a->data + ip, header_len, 0));
    } else {
        put32(a, 0x60012345 | s->tos << 20);
        put16(a, s->ip_len >= 0 ? s->ip_len : ext_len + tcp_len);
        put8(a, s->n_ext ? s->ext_kind[0] : proto);
        put8(a, 64);
        put(a, (Bytes) { addr[0], alen });
        put(a, (Bytes) { addr[1], alen });
        for (unsigned i = 0; i < s->n_ext; i++) {
            size_t at = a->len;

            put(a, s->ext[i]);
            a->data[at] = i + 1 < s->n_ext ? s->ext_kind[i + 1] : proto;
        }
    }

    l4 = a->len;
    put16(a, SRC_PORT);
    put16(a, DST_PORT);
    put32(a, s->seq);
    put32(a, s->ack);
    put16(a, (20 + s->tcp_options.len) / 4 << 12 | s->flags);
    put16(a, s->window);
    put16(a, 0);
    put16(a, s->urgent);
    put(a, s->tcp_options);
    for (size_t i = 0; i < s->payload_len; i++) {
        put8(a, i * 7 + (i >> 8));
    }
    sum = naive_sum(addr[0], alen, 0);
    sum = naive_sum(addr[1], alen, sum);
    sum = naive_sum((uint8_t[]) { 0, proto, tcp_len >> 24, tcp_len >> 16, tcp_len >> 8,
                                  tcp_len }, 6, sum);
    if (s->vnet_len && s->vnet.flags & VNX_VNET_F_NEEDS_CSUM) {
        poke16(a, l4 + 16, sum);
    } else {
        poke16(a, l4 + 16, ~naive_sum(a->data + l4, tcp_len, sum));
    }
    for (size_t i = 0; i < s->padding; i++) {
        put8(a, 0xdd);
    }
    return a;
}

/* Parse a frame made of @s, all in one piece. */
static VnxParse parse_spec(VnxPacket *p, const Spec *s, GByteArray **frame,
                           struct iovec *iov, VnxDir dir)
{
    *frame = make_frame(s);
    iov->iov_base = (*frame)->data;
    iov->iov_len = (*frame)->len;
    return vnx_packet_parse(p, iov, 1, s->vnet_len, dir);
}

static VnxParse verdict(Spec s)
{
    GByteArray *frame;
    struct iovec iov;
    VnxPacket p;
    VnxParse r = parse_spec(&p, &s, &frame, &iov, VNX_TO_GUEST);

    g_byte_array_unref(frame);
    return r;
}

#define assert_verdict(want, ...) \
    g_assert_cmpint(verdict(SPEC(__VA_ARGS__)), ==, VNX_PARSE_##want)

/* The frame of @s parses, to exactly what @s says, in both directions. */
static void assert_parses(Spec s)
{
    for (int dir = 0; dir < 2; dir++) {
        GByteArray *frame;
        struct iovec iov;
        VnxPacket p;
        uint8_t addr[16];
        uint8_t *payload;

        g_assert_cmpint(parse_spec(&p, &s, &frame, &iov, dir), ==, VNX_PARSE_TCP);
        g_assert_true(p.iov == &iov);
        g_assert_cmpuint(p.size, ==, frame->len);
        g_assert_cmpuint(p.vnet_len, ==, s.vnet_len);
        g_assert_cmpuint(p.l3_off, ==, s.vnet_len + 14 + 4 * s.n_tags);
        g_assert_cmpuint(p.payload_off, ==, p.l4_off + 20 + s.tcp_options.len);
        g_assert_cmpuint(p.payload_off, ==, frame->len - s.padding - s.payload_len);
        g_assert_cmpuint(p.payload_len, ==, s.payload_len);
        g_assert_cmpuint(p.ip_version, ==, s.ip_version);
        g_assert_cmphex(p.dscp_ecn, ==, s.tos);
        g_assert_cmphex(p.seq, ==, s.seq);
        g_assert_cmphex(p.ack, ==, s.ack);
        g_assert_cmphex(p.flags, ==, s.flags);
        g_assert_cmphex(p.window, ==, s.window);
        g_assert_cmphex(p.urgent, ==, s.urgent);
        g_assert_cmpuint(vnx_packet_seq_len(&p), ==, s.payload_len +
                         !!(s.flags & VNX_TCP_SYN) + !!(s.flags & VNX_TCP_FIN));
        g_assert_true(vnx_packet_ip_csum_ok(&p));
        g_assert_true(vnx_packet_csum_ok(&p));

        /* T10: the destination's side has the direction's number */
        g_assert_cmpuint(p.key.ip_version, ==, s.ip_version);
        g_assert_cmpuint(p.key.proto, ==, IPPROTO_TCP);
        g_assert_cmpuint(p.key.vni, ==, 0);
        g_assert_cmpuint(p.key.zero, ==, 0);
        g_assert_cmphex(p.key.port[dir], ==, DST_PORT);
        g_assert_cmphex(p.key.port[!dir], ==, SRC_PORT);
        spec_addr(&s, 1, addr);
        g_assert_cmpmem(p.key.addr[dir], 16, addr, 16);
        spec_addr(&s, 0, addr);
        g_assert_cmpmem(p.key.addr[!dir], 16, addr, 16);

        payload = g_malloc(s.payload_len + 1);
        for (size_t off = 0; off <= s.payload_len; off += 1 + s.payload_len / 3) {
            size_t len = s.payload_len - off;

            vnx_packet_copy_payload(&p, off, len, payload);
            g_assert_cmpmem(payload, len, frame->data + p.payload_off + off, len);
        }
        g_free(payload);
        g_byte_array_unref(frame);
    }
}

/* ---- Checksums ---- */

static void test_csum_partial(void)
{
    uint8_t *buf = g_malloc(70000);

    fill_random(buf, 70000);
    for (size_t len = 0; len < 300; len++) {
        for (size_t align = 0; align < 16; align++) {
            uint8_t *exact = g_malloc(align + len + 1);
            uint16_t start = g_test_rand_int(), want, got;

            exact++;            /* its end is the end of the allocation */
            memcpy(exact + align, buf + align, len);
            want = ~naive_sum(exact + align, len, start);
            got = vnx_csum_fold(vnx_csum_partial(exact + align, len, htons(start)));
            g_assert_cmphex(ntohs(got), ==, want);
            g_free(exact - 1);
        }
    }
    for (int i = 0; i < 200; i++) {
        size_t off = g_test_rand_int_range(0, 4000), len = g_test_rand_int_range(0, 66000);

        g_assert_cmphex(ntohs(vnx_csum_fold(vnx_csum_partial(buf + off, len, 0))), ==,
                        (uint16_t)~naive_sum(buf + off, len, 0));
    }
    /* every carry there is */
    memset(buf, 0xff, 70000);
    g_assert_cmphex(vnx_csum_fold(vnx_csum_partial(buf, 70000, 0xffffffff)), ==, 0);
    memset(buf, 0, 70000);
    g_assert_cmphex(vnx_csum_fold(vnx_csum_partial(buf, 70000, 0)), ==, 0xffff);
    g_free(buf);
}

static void test_csum_iov(void)
{
    uint8_t buf[2000];

    fill_random(buf, sizeof(buf));
    for (int i = 0; i < 3000; i++) {
        size_t cut[12], size = g_test_rand_int_range(0, sizeof(buf));
        unsigned n = g_test_rand_int_range(0, G_N_ELEMENTS(cut));
        size_t off = g_test_rand_int_range(0, size + 1);
        size_t len = g_test_rand_int_range(0, size - off + 1);
        uint16_t start = g_test_rand_int(), got;
        SplitFrame f;

        random_cuts(cut, n, size, i % 2 ? 5 : 400);
        split_frame(&f, buf, size, cut, n);
        got = vnx_csum_fold(vnx_csum_iov(f.iov, f.iovcnt, off, len, htons(start)));
        g_assert_cmphex(ntohs(got), ==, (uint16_t)~naive_sum(buf + off, len, start));
        split_free(&f);
    }
}

/* RFC 1624: the incremental result is the one of a full recomputation. */
static void test_csum_update(void)
{
    for (int i = 0; i < 20000; i++) {
        uint8_t b[12];
        uint16_t csum, old16, new16;
        uint32_t old32, new32;

        fill_random(b, sizeof(b));
        if (i % 4 == 0) {
            /* extremes: 0 and 0xffff words */
            memset(b, i % 8 ? 0 : 0xff, 8);
            b[11] = 1;          /* as in any real header, not all is zero */
        }
        csum = htons(~naive_sum(b, sizeof(b), 0));
        memcpy(&old16, b + 4, 2);
        new16 = i % 3 ? g_test_rand_int() : i % 2 ? 0 : 0xffff;
        memcpy(b + 4, &new16, 2);
        csum = vnx_csum_update16(csum, old16, new16);
        g_assert_cmphex(ntohs(csum), ==, (uint16_t)~naive_sum(b, sizeof(b), 0));

        memcpy(&old32, b, 4);
        new32 = i % 5 ? g_test_rand_int() : i % 2 ? 0 : 0xffffffff;
        memcpy(b, &new32, 4);
        csum = vnx_csum_update32(csum, old32, new32);
        g_assert_cmphex(ntohs(csum), ==, (uint16_t)~naive_sum(b, sizeof(b), 0));
    }
}

/* ---- Parsing what is right ---- */

/* T1, T10: Ethernet, IPv4 with options, every virtio-net header length, padding. */
static void test_ipv4(void)
{
    static const size_t vnet_lens[] = { 0, 10, 12, 20 };

    for (unsigned i = 0; i < G_N_ELEMENTS(vnet_lens); i++) {
        size_t n = vnet_lens[i];

        assert_parses(SPEC(4, .vnet_len = n));
        assert_parses(SPEC(4, .vnet_len = n, .payload_len = 0));
        assert_parses(SPEC(4, .vnet_len = n, .payload_len = 1, .padding = 5));
        assert_parses(SPEC(4, .vnet_len = n, .payload_len = 65495));
        assert_parses(SPEC(4, .vnet_len = n, .tos = 0xff, .frag = 0x4000));
        assert_parses(SPEC(4, .vnet_len = n, .flags = 0x1ff, .urgent = 0x1357));
        assert_parses(SPEC(4, .vnet_len = n, .flags = VNX_TCP_SYN, .payload_len = 0));
        assert_parses(SPEC(4, .vnet_len = n, .flags = VNX_TCP_FIN | VNX_TCP_ACK));
        assert_parses(SPEC(4, .vnet_len = n, .ip_options = BYTES(0x94, 4, 0, 0)));
        assert_parses(SPEC(4, .vnet_len = n,
                           .ip_options = BYTES(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                               1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0)));
    }
}

#define HBH_PADN BYTES(0, 0, 1, 4, 0, 0, 0, 0)
#define DST_16 BYTES(0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
#define ROUTE(left) BYTES(0, 2, 0, left, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, \
                          9, 10, 11, 12, 13, 14, 15, 16)
#define FRAG_HEADER(a, b) BYTES(0, 0, a, b, 1, 2, 3, 4)

/* T10: IPv6 and its extension headers. */
static void test_ipv6(void)
{
    assert_parses(SPEC(6));
    assert_parses(SPEC(6, .payload_len = 0, .tos = 0xb9));
    assert_parses(SPEC(6, .payload_len = 65515, .vnet_len = 12));
    assert_parses(SPEC(6, .n_ext = 1, .ext_kind = { 0 }, .ext = { HBH_PADN }));
    assert_parses(SPEC(6, .n_ext = 1, .ext_kind = { 60 }, .ext = { DST_16 }));
    assert_parses(SPEC(6, .n_ext = 1, .ext_kind = { 43 }, .ext = { ROUTE(0) }));
    assert_parses(SPEC(6, .n_ext = 4, .ext_kind = { 0, 60, 43, 60 }, .vnet_len = 20,
                       .ext = { HBH_PADN, DST_16, ROUTE(0), DST_16 }));

    assert_verdict(OTHER, 6, .n_ext = 1, .ext_kind = { 43 }, .ext = { ROUTE(1) });
    assert_verdict(OTHER, 6, .n_ext = 1, .ext_kind = { 51 }, .ext = { DST_16 });
    assert_verdict(OTHER, 6, .n_ext = 1, .ext_kind = { 50 }, .ext = { DST_16 });
    assert_verdict(OTHER, 6, .n_ext = 2, .ext_kind = { 60, 135 },
                   .ext = { DST_16, DST_16 });
    assert_verdict(OTHER, 6, .proto = 59);
    assert_verdict(MALFORMED, 6, .n_ext = 2, .ext_kind = { 60, 0 },
                   .ext = { DST_16, HBH_PADN });
    assert_verdict(MALFORMED, 6, .n_ext = 1, .ext_kind = { 0 },
                   .ext = { BYTES(0, 0, 1, 5, 0, 0, 0, 0) });
    assert_verdict(MALFORMED, 6, .n_ext = 1, .ext_kind = { 0 },
                   .ext = { BYTES(0, 0, 1, 3, 0, 0, 0, 5) });
}

/* T10: the key tells VLANs apart, and not directions; a priority tag is no VLAN. */
static void test_vlan(void)
{
    static const uint16_t tpids[] = { 0x8100, 0x88a8, 0x9100 };
    struct iovec iov;
    GByteArray *frame;
    VnxPacket p;
    Spec s;

    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 3; k++) {
            s = SPEC(i % 2 ? 4 : 6, .n_tags = 2, .tpid = { tpids[i], tpids[k] },
                     .tci = { 0xf123, 0x5fff }, .vnet_len = 12);
            assert_parses(s);
            parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
            g_assert_cmphex(p.key.vlan[0], ==, 0x123);
            g_assert_cmphex(p.key.vlan[1], ==, 0xfff);
            g_byte_array_unref(frame);
        }
        s = SPEC(4, .n_tags = 1, .tpid = { tpids[i] }, .tci = { 0xe001 });
        assert_parses(s);
        parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
        g_assert_cmphex(p.key.vlan[0], ==, 1);
        g_assert_cmphex(p.key.vlan[1], ==, VNX_VLAN_NONE);
        g_byte_array_unref(frame);
    }
    s = SPEC(4, .n_tags = 2, .tpid = { 0x8100, 0x8100 }, .tci = { 0xe000, 7 });
    assert_parses(s);
    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    g_assert_cmphex(p.key.vlan[0], ==, 7);
    g_assert_cmphex(p.key.vlan[1], ==, VNX_VLAN_NONE);
    g_byte_array_unref(frame);

    s = SPEC(4);
    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    g_assert_cmphex(p.key.vlan[0], ==, VNX_VLAN_NONE);
    g_assert_cmphex(p.key.vlan[1], ==, VNX_VLAN_NONE);
    g_byte_array_unref(frame);

    assert_verdict(OTHER, 4, .n_tags = 3, .tpid = { 0x8100, 0x8100, 0x8100 });
}

static void swap_bytes(uint8_t *a, uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t c = a[i];

        a[i] = b[i];
        b[i] = c;
    }
}

/* T10: a frame and its answer have one key, whatever else they differ in. */
static void test_key(void)
{
    for (int v = 4; v <= 6; v += 2) {
        Spec s = SPEC(v, .vnet_len = 12, .n_tags = 1, .tpid = { 0x8100 }, .tci = { 5 });
        struct iovec iov;
        GByteArray *frame;
        VnxPacket there, back;
        uint8_t *addr;

        parse_spec(&there, &s, &frame, &iov, VNX_TO_GUEST);
        g_byte_array_unref(frame);
        s.payload_len = 3;
        s.tos = 0x28;
        s.tci[0] |= 0x6000;
        frame = make_frame(&s);
        addr = frame->data + there.l3_off + (v == 4 ? 12 : 8);
        swap_bytes(addr, addr + (v == 4 ? 4 : 16), v == 4 ? 4 : 16);
        swap_bytes(frame->data + there.l4_off, frame->data + there.l4_off + 2, 2);
        iov = (struct iovec) { frame->data, frame->len };
        g_assert_cmpint(vnx_packet_parse(&back, &iov, 1, 12, VNX_TO_NET), ==,
                        VNX_PARSE_TCP);
        g_assert_cmpmem(&there.key, sizeof(there.key), &back.key, sizeof(back.key));
        /* and the same frame the other way is another flow */
        vnx_packet_parse(&back, &iov, 1, 12, VNX_TO_GUEST);
        g_assert_true(memcmp(&there.key, &back.key, sizeof(back.key)) != 0);
        g_byte_array_unref(frame);
    }
}

/* T2, T6: every option; what a flow must not be accelerated with is seen. */
static void test_tcp_options(void)
{
    const struct {
        Bytes options;
        unsigned flags;
    } cases[] = {
#define CASE(flags, ...) { { (const uint8_t[]) { __VA_ARGS__ }, \
                             sizeof((const uint8_t[]) { __VA_ARGS__ }) }, flags }
        CASE(0, 1, 1, 1, 1),
        CASE(0, 0, 2, 9, 9),                        /* behind EOL nothing counts */
        CASE(VNX_OPT_MSS, 2, 4, 5, 0xb4),
        CASE(VNX_OPT_WSCALE, 1, 3, 3, 7),
        CASE(VNX_OPT_SACK_PERMITTED, 4, 2, 0, 0),
        CASE(VNX_OPT_TIMESTAMP, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8),
        CASE(VNX_OPT_MSS | VNX_OPT_SACK_PERMITTED | VNX_OPT_TIMESTAMP | VNX_OPT_WSCALE,
             2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7),
        CASE(VNX_OPT_SACK, 1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2),
        CASE(VNX_OPT_MD5, 19, 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1),
        CASE(VNX_OPT_AO, 29, 8, 0, 0, 0, 0, 0, 0),
        CASE(VNX_OPT_MPTCP, 30, 4, 0, 0),
        CASE(VNX_OPT_FASTOPEN, 34, 2, 1, 1),
        CASE(VNX_OPT_ACCECN, 172, 5, 0, 0, 0, 1, 1, 1),
        CASE(VNX_OPT_ACCECN, 174, 2, 1, 1),
        CASE(VNX_OPT_UNKNOWN, 253, 4, 0xf9, 0x89),
        CASE(VNX_OPT_UNKNOWN, 28, 4, 0, 0),
        /* lengths that do not fit, at the end and in the middle */
        CASE(VNX_OPT_MALFORMED, 1, 1, 1, 2),
        CASE(VNX_OPT_MALFORMED, 2, 0, 1, 1),
        CASE(VNX_OPT_MALFORMED, 2, 1, 1, 1),
        CASE(VNX_OPT_MALFORMED, 200, 5, 1, 1),
        CASE(VNX_OPT_MALFORMED, 2, 3, 1, 1),
        CASE(VNX_OPT_MALFORMED, 3, 4, 1, 1),
        CASE(VNX_OPT_MALFORMED, 4, 3, 1, 1),
        CASE(VNX_OPT_MALFORMED, 5, 2, 1, 1),
        CASE(VNX_OPT_MALFORMED, 5, 8, 0, 0, 0, 1, 0, 0),
        CASE(VNX_OPT_MALFORMED, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        CASE(VNX_OPT_MALFORMED | VNX_OPT_TIMESTAMP, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0,
             8, 10, 0, 0, 0, 0, 0, 0, 0, 0),
        CASE(VNX_OPT_MALFORMED | VNX_OPT_SACK, 5, 10, 0, 0, 0, 0, 0, 0, 0, 0,
             5, 10, 0, 0, 0, 0, 0, 0, 0, 0),
#undef CASE
    };
    struct iovec iov;
    GByteArray *frame;
    VnxPacket p;
    Spec s;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        s = SPEC(4, .tcp_options = cases[i].options);
        assert_parses(s);
        g_assert_cmpint(parse_spec(&p, &s, &frame, &iov, VNX_TO_NET), ==, VNX_PARSE_TCP);
        g_assert_cmphex(p.options, ==, cases[i].flags);
        g_assert_cmpuint(p.ts_off != 0, ==, !!(p.options & VNX_OPT_TIMESTAMP));
        g_assert_cmpuint(p.sack_off != 0, ==, !!(p.options & VNX_OPT_SACK));
        g_byte_array_unref(frame);
    }

    s = SPEC(6, .flags = VNX_TCP_SYN,
             .tcp_options = BYTES(2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8,
                                  1, 3, 3, 15));
    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    g_assert_cmpuint(p.mss, ==, 1460);
    g_assert_cmpuint(p.wscale, ==, 14);         /* RFC 7323 2.3 */
    g_assert_cmphex(p.tsval, ==, 0x01020304);
    g_assert_cmphex(p.tsecr, ==, 0x05060708);
    g_assert_cmpuint(p.ts_off, ==, p.l4_off + 28);
    g_byte_array_unref(frame);

    s = SPEC(4, .tcp_options = BYTES(1, 1, 5, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0,
                                     0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0xff, 0, 0, 7, 1, 0, 0,
                                     8));
    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    g_assert_cmpuint(p.n_sack, ==, 4);
    g_assert_cmpuint(p.sack_off, ==, p.l4_off + 22);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpuint(p.sack[i].start, ==, 2 * i + 1);
        g_assert_cmpuint(p.sack[i].end, ==, 2 * i + 2);
    }
    g_assert_cmphex(p.sack[3].start, ==, 0xff000007);
    g_assert_cmphex(p.sack[3].end, ==, 0x01000008);
    g_byte_array_unref(frame);
}

#define GSO(type_, ...) .vnet_len = 12, \
    .vnet = { .flags = VNX_VNET_F_NEEDS_CSUM, .gso_type = (type_), .gso_size = 1448, \
              __VA_ARGS__ }
#define JUMBO(n) BYTES(0, 0, 0xc2, 4, (uint8_t)((n) >> 24), (uint8_t)((n) >> 16), \
                       (uint8_t)((n) >> 8), (uint8_t)(n))

/* T3: virtio-net headers: partial checksums, GSO frames, also beyond 64 KiB. */
static void test_vnet(void)
{
    struct iovec iov;
    GByteArray *frame;
    VnxPacket p;
    Spec s;

    s = SPEC(4, GSO(VNX_VNET_GSO_TCPV4 | VNX_VNET_GSO_ECN, .hdr_len = 54),
             .payload_len = 60000);
    assert_parses(s);
    parse_spec(&p, &s, &frame, &iov, VNX_TO_GUEST);
    g_assert_cmphex(p.vnet.flags, ==, VNX_VNET_F_NEEDS_CSUM);
    g_assert_cmphex(p.vnet.gso_type, ==, VNX_VNET_GSO_TCPV4 | VNX_VNET_GSO_ECN);
    g_assert_cmpuint(p.vnet.gso_size, ==, 1448);
    g_assert_cmpuint(p.vnet.hdr_len, ==, 54);
    g_assert_cmpuint(p.vnet.csum_start, ==, 34);
    g_assert_cmpuint(p.vnet.csum_offset, ==, 16);
    g_byte_array_unref(frame);

    /* BIG TCP: the length is the frame's */
    assert_parses(SPEC(4, GSO(VNX_VNET_GSO_TCPV4), .payload_len = 200000, .ip_len = 0));
    assert_parses(SPEC(6, GSO(VNX_VNET_GSO_TCPV6), .payload_len = 200000, .ip_len = 0));
    assert_parses(SPEC(6, GSO(VNX_VNET_GSO_TCPV6), .payload_len = 200000, .ip_len = 0,
                       .padding = 3, .n_ext = 1, .ext_kind = { 0 },
                       .ext = { JUMBO(200000 + 20 + 8) }));
    assert_verdict(MALFORMED, 4, .ip_len = 0);
    assert_verdict(MALFORMED, 6, .ip_len = 0);
    assert_verdict(TRUNCATED, 6, GSO(VNX_VNET_GSO_TCPV6), .payload_len = 200000,
                   .ip_len = 0, .n_ext = 1, .ext_kind = { 0 },
                   .ext = { JUMBO(200000 + 20 + 8 + 1) });
    assert_verdict(MALFORMED, 6, .payload_len = 70000, .ip_len = 0, .n_ext = 1,
                   .ext_kind = { 0 }, .ext = { JUMBO(70000 + 28) });
    assert_verdict(MALFORMED, 6, GSO(VNX_VNET_GSO_TCPV6), .payload_len = 70000,
                   .ip_len = 9000, .n_ext = 1, .ext_kind = { 0 },
                   .ext = { JUMBO(70000 + 28) });
    assert_verdict(MALFORMED, 6, GSO(VNX_VNET_GSO_TCPV6), .payload_len = 9000,
                   .n_ext = 1, .ext_kind = { 0 }, .ext = { JUMBO(9000 + 28) });
    assert_verdict(MALFORMED, 6, GSO(VNX_VNET_GSO_TCPV6), .payload_len = 9000,
                   .ip_len = 0, .n_ext = 1, .ext_kind = { 0 },
                   .ext = { JUMBO(9000 + 28) });

    /* contradictions */
    assert_verdict(MALFORMED, 4, GSO(VNX_VNET_GSO_TCPV6));
    assert_verdict(MALFORMED, 6, GSO(VNX_VNET_GSO_TCPV4));
    assert_verdict(MALFORMED, 4, GSO(VNX_VNET_GSO_UDP));
    assert_verdict(MALFORMED, 4, GSO(VNX_VNET_GSO_UDP_L4));
    assert_verdict(MALFORMED, 4, GSO(2));
    assert_verdict(MALFORMED, 4, GSO(VNX_VNET_GSO_ECN));
    assert_verdict(MALFORMED, 4, .vnet_len = 10,
                   .vnet = { .gso_type = VNX_VNET_GSO_TCPV4 });      /* gso_size 0 */
    for (int off = 6; off < 10; off++) {
        s = SPEC(4, GSO(VNX_VNET_GSO_TCPV4));
        frame = make_frame(&s);
        frame->data[off] ^= 1;          /* csum_start, then csum_offset */
        iov = (struct iovec) { frame->data, frame->len };
        g_assert_cmpint(vnx_packet_parse(&p, &iov, 1, 12, VNX_TO_NET), ==,
                        VNX_PARSE_MALFORMED);
        g_byte_array_unref(frame);
    }

    /* who vouches for the checksum */
    for (unsigned flags = 0; flags < 3; flags++) {
        for (unsigned gso = 0; gso < 2; gso++) {
            s = SPEC(4, .vnet_len = 10, .vnet = { .flags = flags, .gso_size = 100,
                     .gso_type = gso ? VNX_VNET_GSO_TCPV4 : 0 });
            parse_spec(&p, &s, &frame, &iov, VNX_TO_GUEST);
            g_assert_true(vnx_packet_csum_ok(&p) == (flags || !gso));
            frame->data[frame->len - 1] ^= 1;
            g_assert_true(vnx_packet_csum_ok(&p) == !!flags);
            g_byte_array_unref(frame);
        }
    }
    s = SPEC(4);
    frame = make_frame(&s);
    iov = (struct iovec) { frame->data, frame->len };
    for (size_t len = 1; len < 30; len++) {
        bool legal = len == 10 || len == 12 || len == 20;

        g_assert_true(legal || vnx_packet_parse(&p, &iov, 1, len, VNX_TO_NET) ==
                      VNX_PARSE_MALFORMED);
    }
    g_byte_array_unref(frame);
}

/* ---- Parsing what is not ---- */

static void test_verdicts(void)
{
    assert_verdict(OTHER, 4, .ethertype = 0x0806);
    assert_verdict(OTHER, 4, .ethertype = 100);
    assert_verdict(OTHER, 4, .proto = IPPROTO_UDP);
    assert_verdict(OTHER, 6, .proto = IPPROTO_UDP);
    assert_verdict(MALFORMED, 4, .ethertype = 0x86dd);
    assert_verdict(MALFORMED, 6, .ethertype = 0x0800);
    assert_verdict(FRAGMENT, 4, .frag = 0x2000);
    assert_verdict(FRAGMENT, 4, .frag = 0x0001);
    assert_verdict(FRAGMENT, 4, .frag = 0x1fff, .proto = IPPROTO_UDP);
    assert_verdict(FRAGMENT, 6, .n_ext = 1, .ext_kind = { 44 },
                   .ext = { FRAG_HEADER(0, 1) });
    assert_verdict(FRAGMENT, 6, .n_ext = 2, .ext_kind = { 60, 44 },
                   .ext = { DST_16, FRAG_HEADER(0, 0) });

    /* IP lengths against the frame and against what they hold */
    assert_verdict(TRUNCATED, 4, .ip_len = 141);
    assert_verdict(TRUNCATED, 6, .ip_len = 121);
    assert_verdict(MALFORMED, 4, .ip_len = 19);
    assert_verdict(MALFORMED, 4, .ip_len = 20);
    assert_verdict(MALFORMED, 4, .ip_len = 39);
    assert_verdict(TCP, 4, .ip_len = 40);
    assert_verdict(MALFORMED, 6, .ip_len = 19);
    assert_verdict(TCP, 6, .ip_len = 20);
    assert_verdict(MALFORMED, 4, .ip_len = 43, .tcp_options = BYTES(1, 1, 1, 1));
    assert_verdict(MALFORMED, 6, .ip_len = 7, .n_ext = 1, .ext_kind = { 60 },
                   .ext = { DST_16 });
    assert_verdict(MALFORMED, 6, .ip_len = 15, .n_ext = 1, .ext_kind = { 60 },
                   .ext = { DST_16 });
}

/* Headers beyond what a template can hold. */
static void test_too_long(void)
{
    static const uint8_t ext[256] = { 0, 31, 1, 252 };
    Bytes b = { ext, 0 };
    struct iovec iov;
    GByteArray *frame;
    VnxPacket p;

    for (unsigned units = 1; units <= 32; units++) {
        uint8_t copy[256] = { 0, units - 1, 1, units * 8 - 4 };
        Spec s;

        b = (Bytes) { copy, units * 8 };
        s = SPEC(6, .vnet_len = 12, .n_ext = 1, .ext_kind = { 60 }, .ext = { b },
                 .tcp_options = BYTES(1, 1, 1, 1));
        g_assert_cmpint(parse_spec(&p, &s, &frame, &iov, VNX_TO_NET), ==,
                        14 + 40 + units * 8 <= VNX_TEMPLATE_MAX ? VNX_PARSE_TCP
                                                                : VNX_PARSE_TOO_LONG);
        g_byte_array_unref(frame);
    }
}

static const Spec *sample(unsigned i)
{
    static const uint8_t ts[] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 };
    static const uint8_t ts_sack[] = { 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 18, 1, 2, 3, 4,
                                       5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 1, 1 };
    static const uint8_t ts_even[] = { 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 10, 1, 2, 3, 4,
                                       5, 6, 7, 8 };
    static const uint8_t hbh[] = { 0, 0, 1, 4, 0, 0, 0, 0 };
    static const uint8_t dst[] = { 0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    static const uint8_t jumbo[] = { 0, 0, 0xc2, 4, 0, 1, 0x11, 0x70 + 28 };
    static const uint8_t jumbo_pad[] = { 0, 1, 0, 1, 1, 0, 0xc2, 4, 0, 1, 0x11, 0x70 + 36,
                                         1, 2, 0, 0 };
    static const uint8_t ip_options[] = { 0x94, 4, 0, 0, 1, 1, 1, 0 };
    static const Spec samples[] = {
#define BASE(v) .ip_version = (v), .ip_len = -1, .seq = 0xfffffff0, .ack = 0x12345678, \
                .flags = VNX_TCP_ACK | VNX_TCP_PSH, .window = 0xfffe, .tos = 0xba
#define B(a) { a, sizeof(a) }
        { BASE(4), .payload_len = 6 },
        { BASE(4), .payload_len = 0, .padding = 6, .n_tags = 1, .tpid = { 0x8100 },
          .tci = { 0x1005 } },
        { BASE(4), .vnet_len = 12, .tcp_options = B(ts), .payload_len = 333 },
        { BASE(4), .vnet_len = 20, .tcp_options = B(ts_sack), .payload_len = 1,
          .ip_options = B(ip_options), .n_tags = 2, .tpid = { 0x88a8, 0x8100 },
          .tci = { 3, 0x2004 } },
        { BASE(6), .tcp_options = B(ts_even), .payload_len = 77 },
        { BASE(6), .vnet_len = 10, .vnet = { .flags = VNX_VNET_F_NEEDS_CSUM },
          .tcp_options = B(ts), .payload_len = 600, .n_ext = 2, .ext_kind = { 0, 60 },
          .ext = { B(hbh), B(dst) } },
        { BASE(4), .vnet_len = 12, .tcp_options = B(ts_sack), .payload_len = 3000,
          .vnet = { .flags = VNX_VNET_F_NEEDS_CSUM, .gso_size = 1000,
                    .gso_type = VNX_VNET_GSO_TCPV4 } },
        { BASE(6), .vnet_len = 12, .payload_len = 70000, .ip_len = 0,
          .n_ext = 1, .ext = { B(jumbo) },
          .vnet = { .flags = VNX_VNET_F_NEEDS_CSUM, .gso_size = 1000,
                    .gso_type = VNX_VNET_GSO_TCPV6 } },
        { BASE(6), .vnet_len = 12, .payload_len = 70000, .ip_len = 0,
          .n_ext = 2, .ext_kind = { 0, 60 }, .ext = { B(jumbo_pad), B(dst) },
          .vnet = { .flags = VNX_VNET_F_NEEDS_CSUM, .gso_size = 1000,
                    .gso_type = VNX_VNET_GSO_TCPV6 } },
        { BASE(4), .vnet_len = 12, .payload_len = 70000, .ip_len = 0,
          .vnet = { .flags = VNX_VNET_F_NEEDS_CSUM, .gso_size = 1000,
                    .gso_type = VNX_VNET_GSO_TCPV4 } },
#undef B
#undef BASE
    };

    return i < G_N_ELEMENTS(samples) ? &samples[i] : NULL;
}

/* U5: a frame cut at any byte is TRUNCATED, and nothing beyond the cut is read. */
static void test_truncation(void)
{
    for (unsigned i = 0; sample(i); i++) {
        Spec s = *sample(i);
        GByteArray *frame;
        size_t step = s.payload_len > 5000 ? 997 : 1;

        s.padding = 0;
        frame = make_frame(&s);
        for (size_t len = 0; len < frame->len; len += len < 400 ? 1 : step) {
            VnxParse r = check_packet(frame->data, len, NULL, 0, s.vnet_len, VNX_TO_GUEST);

            if (s.ip_len == 0 && !s.n_ext && len >= s.vnet_len + 54) {
                g_assert_cmpint(r, ==, VNX_PARSE_TCP);  /* no length but the frame's */
            } else if (s.ip_len == 0) {
                /* BIG TCP: early cuts contradict the frame's own length */
                g_assert_true(r == VNX_PARSE_TRUNCATED || r == VNX_PARSE_MALFORMED);
            } else {
                g_assert_cmpint(r, ==, VNX_PARSE_TRUNCATED);
            }
        }
        g_byte_array_unref(frame);
    }
}

/* T1: the pieces a frame comes in make no difference. */
static void test_split(void)
{
    for (unsigned i = 0; sample(i); i++) {
        const Spec *s = sample(i);
        GByteArray *frame;
        struct iovec iov;
        VnxPacket whole, p;

        g_assert_cmpint(parse_spec(&whole, s, &frame, &iov, VNX_TO_NET), ==,
                        VNX_PARSE_TCP);
        for (size_t at = 0; at <= frame->len + 200; at++) {
            size_t cut[64];
            unsigned n = 1;
            SplitFrame f;

            cut[0] = at;
            if (at > MIN(frame->len, 400)) {
                /* many small pieces */
                n = g_test_rand_int_range(2, G_N_ELEMENTS(cut));
                random_cuts(cut, n, frame->len, 9);
                at += frame->len / 300;
            }
            split_frame(&f, frame->data, frame->len, cut, n);
            g_assert_cmpint(vnx_packet_parse(&p, f.iov, f.iovcnt, s->vnet_len, VNX_TO_NET),
                            ==, VNX_PARSE_TCP);
            g_assert_true(vnx_packet_csum_ok(&p));
            p.iov = whole.iov;
            p.iovcnt = whole.iovcnt;
            g_assert_cmpmem(&p, offsetof(VnxPacket, head), &whole,
                            offsetof(VnxPacket, head));
            g_assert_cmpmem(p.head, p.payload_off, whole.head, whole.payload_off);
            split_free(&f);
        }
        g_byte_array_unref(frame);
    }
}

/* T3, T4: rewriting and building keep checksums right, on every sample. */
static void test_rewrite_and_build(void)
{
    for (unsigned i = 0; sample(i); i++) {
        GByteArray *frame = make_frame(sample(i));
        size_t cut[3] = { 20, 57, 71 };

        for (int dir = 0; dir < 2; dir++) {
            g_assert_cmpint(check_packet(frame->data, frame->len, NULL, 0,
                                         sample(i)->vnet_len, dir), ==, VNX_PARSE_TCP);
        }
        /* a wrong checksum stays wrong */
        frame->data[frame->len - 1 - sample(i)->padding] ^= 0x40;
        g_assert_cmpint(check_packet(frame->data, frame->len, cut, 3, sample(i)->vnet_len,
                                     VNX_TO_NET), ==, VNX_PARSE_TCP);
        g_byte_array_unref(frame);
    }
}

/* With a partial checksum a rewrite must not touch the pseudo header's sum. */
static void test_rewrite_partial(void)
{
    Spec s = SPEC(4, GSO(VNX_VNET_GSO_NONE),
                  .tcp_options = BYTES(1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8));
    struct iovec iov;
    GByteArray *frame;
    VnxPacket p;

    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    vnx_packet_set_seq(&p, 1);
    vnx_packet_set_ack(&p, 2);
    vnx_packet_set_window(&p, 3);
    vnx_packet_set_ts(&p, 4, 5);
    g_assert_cmpmem(p.head + p.l4_off + 16, 2, frame->data + p.l4_off + 16, 2);
    /* borrowed frames are never written to */
    g_byte_array_unref(frame);
    frame = make_frame(&s);
    g_assert_cmpmem(p.head, p.l4_off + 4, frame->data, p.l4_off + 4);
    g_byte_array_unref(frame);
}

/* Build from random values: parse gives them back, checksums by the oracle. */
static void test_build_random(void)
{
    static const uint8_t vnet_lens[] = { 0, 10, 12, 20 };
    uint8_t payload[3000], out[VNX_BUILD_MAX], *whole;

    for (int i = 0; i < 3000; i++) {
        const Spec *s = sample(g_test_rand_int_range(0, 6));
        size_t cut[4] = { 0, 1, 1, 2 };
        struct iovec iov, frame[6];
        uint16_t sum, tcp_len;
        size_t n, off;
        GByteArray *taught;
        SplitFrame f;
        VnxHeaders h;
        VnxPacket p;
        VnxBuild b = {
            .seq = g_test_rand_int(), .ack = g_test_rand_int(),
            .flags = g_test_rand_int() & 0x1ff, .window = g_test_rand_int(),
            .timestamp = g_test_rand_bit(), .tsval = g_test_rand_int(),
            .tsecr = g_test_rand_int(), .n_sack = g_test_rand_int_range(0, 5),
            .vnet_len = vnet_lens[i % 4], .ip_id = g_test_rand_int(),
            .payload_len = g_test_rand_int_range(3, sizeof(payload)),
        };

        fill_random(payload, sizeof(payload));
        fill_random((uint8_t *)b.sack, sizeof(b.sack));
        cut[3] = g_test_rand_int_range(2, b.payload_len);
        split_frame(&f, payload, b.payload_len, cut, 4);
        b.payload = f.iov;
        b.payload_cnt = f.iovcnt;

        parse_spec(&p, s, &taught, &iov, VNX_TO_GUEST);
        vnx_headers_learn(&h, &p);
        g_byte_array_unref(taught);
        n = vnx_headers_build(&h, &b, out);
        frame[0] = (struct iovec) { out, n };
        memcpy(frame + 1, f.iov, f.iovcnt * sizeof(*f.iov));
        g_assert_cmpint(vnx_packet_parse(&p, frame, 1 + f.iovcnt, b.vnet_len,
                                         VNX_TO_GUEST), ==, VNX_PARSE_TCP);
        g_assert_cmphex(p.seq, ==, b.seq);
        g_assert_cmphex(p.ack, ==, b.ack);
        g_assert_cmphex(p.flags, ==, b.flags);
        g_assert_cmphex(p.window, ==, b.window);
        g_assert_cmpuint(p.payload_len, ==, b.payload_len);
        g_assert_cmpuint(p.n_sack, ==, MIN(b.n_sack, b.timestamp ? 3 : 4));
        g_assert_cmpmem(p.sack, p.n_sack * 8, b.sack, p.n_sack * 8);
        if (s->ip_version == 4) {
            g_assert_cmphex(out[p.l3_off + 4] << 8 | out[p.l3_off + 5], ==, b.ip_id);
            g_assert_cmphex(naive_sum(out + p.l3_off, p.l4_off - p.l3_off, 0), ==, 0xffff);
        }

        whole = g_malloc(n + b.payload_len);
        memcpy(whole, out, n);
        memcpy(whole + n, payload, b.payload_len);
        off = p.l4_off;
        tcp_len = n - off + b.payload_len;
        sum = s->ip_version == 4 ? naive_sum(whole + p.l3_off + 12, 8, 0)
                                 : naive_sum(whole + p.l3_off + 8, 32, 0);
        sum = naive_sum((uint8_t[]) { 0, 6, tcp_len >> 8, tcp_len }, 4, sum);
        g_assert_cmphex(naive_sum(whole + off, tcp_len, sum), ==, 0xffff);
        g_free(whole);
        split_free(&f);
    }
}

/* What is learnt is the frame's L2 and L3 header, less what was its own alone. */
static void test_learn(void)
{
    struct iovec iov;
    GByteArray *frame;
    VnxHeaders h;
    VnxPacket p;
    Spec s = SPEC(4, .vnet_len = 12, .tos = 0xbb, .n_tags = 1, .tpid = { 0x8100 },
                  .tci = { 9 }, .ip_options = BYTES(0x94, 4, 0, 0));

    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    vnx_headers_learn(&h, &p);
    g_assert_cmpuint(h.l3_off, ==, 18);
    g_assert_cmpuint(h.len, ==, 42);
    g_assert_cmpuint(h.ip_version, ==, 4);
    g_assert_cmphex(h.sport, ==, SRC_PORT);
    g_assert_cmphex(h.dport, ==, DST_PORT);
    g_assert_cmpmem(h.bytes, 19, frame->data + 12, 19);
    g_assert_cmphex(h.bytes[19], ==, 0xb8);
    g_assert_cmpmem(h.bytes + 20, 22, frame->data + 12 + 20, 22);
    g_byte_array_unref(frame);

    /* the jumbo option of a BIG TCP frame: the header goes ... */
    s = *sample(7);
    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    vnx_headers_learn(&h, &p);
    g_assert_cmpuint(h.len, ==, 14 + 40);
    g_assert_cmpuint(h.bytes[14 + 6], ==, IPPROTO_TCP);
    g_byte_array_unref(frame);

    /* ... or, among other options, becomes padding */
    s = *sample(8);
    parse_spec(&p, &s, &frame, &iov, VNX_TO_NET);
    vnx_headers_learn(&h, &p);
    g_assert_cmpuint(h.len, ==, 14 + 40 + 16 + 16);
    g_assert_cmpuint(h.bytes[14 + 6], ==, 0);
    g_assert_cmpmem(h.bytes + 14 + 40 + 6, 6, ((uint8_t[]) { 1, 4, 0, 0, 0, 0 }), 6);
    g_byte_array_unref(frame);
}

/* U5: seeded mutations of every sample; the rules of packet-check.h hold. */
static void test_mutation(void)
{
    unsigned verdicts[VNX_PARSE_TOO_LONG + 1] = { 0 };

    for (int round = 0; round < 20000; round++) {
        const Spec *s = sample(round % 7);
        GByteArray *frame = make_frame(s);
        size_t cut[3];
        unsigned n = g_test_rand_int_range(0, G_N_ELEMENTS(cut) + 1);
        unsigned changes = g_test_rand_int_range(1, 5);

        for (unsigned k = 0; k < changes; k++) {
            size_t at = g_test_rand_int_range(0, MIN(frame->len, 120));

            frame->data[at] = g_test_rand_bit() ? g_test_rand_int()
                              : frame->data[at] ^ 1 << g_test_rand_int_range(0, 8);
        }
        if (g_test_rand_int_range(0, 4) == 0) {
            g_byte_array_set_size(frame, g_test_rand_int_range(0, frame->len));
        }
        random_cuts(cut, n, frame->len, 70);
        verdicts[check_packet(frame->data, frame->len, cut, n, s->vnet_len, round & 1)]++;
        g_byte_array_unref(frame);
    }
    /* the mutations reach everything */
    for (unsigned i = 0; i < G_N_ELEMENTS(verdicts); i++) {
        g_test_message("verdict %u: %u times", i, verdicts[i]);
        g_assert_cmpuint(verdicts[i], >, 0);
    }
}

/* Inputs for the fuzz target, tests/fuzz/fuzz-packet.c: the samples but the largest,
 * at two cuts and in both directions. */
static void write_seeds(const char *folder)
{
    for (unsigned i = 0; sample(i) && sample(i)->payload_len < 5000; i++) {
        GByteArray *frame = make_frame(sample(i));
        unsigned vnet = sample(i)->vnet_len, code = vnet ? vnet == 10 ? 1 : vnet == 12 ? 2 : 3
                                                         : 0;
        uint8_t control[] = { code | (i & 1) << 2 | 2 << 3, 33, 21 };
        g_autofree char *path = g_strdup_printf("%s/sample-%u", folder, i);

        g_byte_array_prepend(frame, control, sizeof(control));
        if (!g_file_set_contents(path, (char *)frame->data, frame->len, NULL)) {
            g_error("cannot write %s", path);
        }
        g_byte_array_unref(frame);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--write-seeds")) {
        write_seeds(argv[2]);
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/packet/checksum/partial", test_csum_partial);
    g_test_add_func("/packet/checksum/iov", test_csum_iov);
    g_test_add_func("/packet/checksum/update", test_csum_update);
    g_test_add_func("/packet/parse/ipv4", test_ipv4);
    g_test_add_func("/packet/parse/ipv6", test_ipv6);
    g_test_add_func("/packet/parse/vlan", test_vlan);
    g_test_add_func("/packet/parse/key", test_key);
    g_test_add_func("/packet/parse/tcp-options", test_tcp_options);
    g_test_add_func("/packet/parse/vnet", test_vnet);
    g_test_add_func("/packet/parse/verdicts", test_verdicts);
    g_test_add_func("/packet/parse/too-long", test_too_long);
    g_test_add_func("/packet/parse/truncation", test_truncation);
    g_test_add_func("/packet/parse/split", test_split);
    g_test_add_func("/packet/parse/mutation", test_mutation);
    g_test_add_func("/packet/rewrite/samples", test_rewrite_and_build);
    g_test_add_func("/packet/rewrite/partial-checksum", test_rewrite_partial);
    g_test_add_func("/packet/build/random", test_build_random);
    g_test_add_func("/packet/build/learn", test_learn);
    return g_test_run();
}
