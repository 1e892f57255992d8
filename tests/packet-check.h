/*
 * vnx tests: what must hold for any bytes given to the packet module
 *
 * Shared by tests/unit/test-packet.c (seeded mutations) and by the fuzz target
 * of the parser.  Works for every input; a violated rule aborts.  The frame is
 * laid out by the caller in pieces of exactly their size, so that the sanitizer
 * sees a read beyond any of them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_PACKET_CHECK_H
#define TESTS_PACKET_CHECK_H

#include <glib.h>
#include <string.h>

#include <vnx/packet.h>

/* The frame @data in pieces that end at the ascending offsets @cut[], or at its end. */
typedef struct SplitFrame {
    struct iovec *iov;
    unsigned iovcnt;
} SplitFrame;

static inline void split_frame(SplitFrame *f, const uint8_t *data, size_t size,
                               const size_t *cut, unsigned n_cut)
{
    size_t start = 0;

    f->iov = g_new0(struct iovec, n_cut + 1);
    f->iovcnt = n_cut + 1;
    for (unsigned i = 0; i <= n_cut; i++) {
        size_t end = i < n_cut ? MIN(cut[i], size) : size;

        f->iov[i].iov_len = end - start;
        f->iov[i].iov_base = end > start ? g_memdup2(data + start, end - start) : NULL;
        start = end;
    }
}

static inline void split_free(SplitFrame *f)
{
    for (unsigned i = 0; i < f->iovcnt; i++) {
        g_free(f->iov[i].iov_base);
    }
    g_free(f->iov);
}

/* Build a segment from what @p teaches and parse it: everything comes back. */
static inline void check_build(const VnxPacket *p, const uint8_t *payload, VnxDir dir)
{
    static const uint8_t vnet_lens[] = { 0, 10, 12, 20 };
    uint8_t out[VNX_BUILD_MAX];
    struct iovec data = { (void *)payload, p->payload_len };
    struct iovec frame[2] = { { out, 0 }, data };
    VnxHeaders h;
    VnxPacket q;

    vnx_headers_learn(&h, p);
    for (unsigned variant = 0; variant < 8; variant++) {
        VnxBuild b = {
            .seq = p->seq, .ack = p->ack, .flags = p->flags, .window = p->window,
            .timestamp = variant & 1, .tsval = p->tsval ^ 0x01020304, .tsecr = ~p->tsecr,
            .n_sack = p->n_sack, .ip_id = p->seq,
            .vnet_len = vnet_lens[variant >> 1 & 3],
            .payload = &data, .payload_cnt = 1, .payload_len = p->payload_len,
        };
        unsigned n_sack = b.timestamp ? MIN(p->n_sack, 3) : p->n_sack;

        memcpy(b.sack, p->sack, sizeof(b.sack));
        b.csum_partial = b.vnet_len && variant != 6;
        /* A frame beyond 64 KiB has no length in its IP header without GSO. */
        if (p->payload_len + VNX_BUILD_MAX > 0xffff && !b.csum_partial) {
            continue;
        }
        if (b.csum_partial && (p->payload_len > 1400 || variant == 4)) {
            b.gso_size = 1400;
        }
        frame[0].iov_len = vnx_headers_build(&h, &b, out);
        g_assert_cmpuint(frame[0].iov_len, ==, vnx_headers_build_len(&h, &b));
        g_assert_cmpuint(frame[0].iov_len, <=, sizeof(out));
        g_assert_cmpint(vnx_packet_parse(&q, frame, 2, b.vnet_len, dir), ==,
                        VNX_PARSE_TCP);
        g_assert_true(vnx_packet_ip_csum_ok(&q));
        g_assert_true(vnx_packet_csum_ok(&q));
        g_assert_true(!memcmp(&q.key, &p->key, sizeof(q.key)));
        g_assert_cmpuint(q.payload_off, ==, frame[0].iov_len);
        g_assert_cmpuint(q.payload_len, ==, p->payload_len);
        g_assert_cmpuint(q.vnet.gso_size, ==, b.gso_size);
        g_assert_cmpuint(q.vnet.hdr_len, ==,
                         b.gso_size ? q.payload_off - b.vnet_len : 0);
        g_assert_cmphex(q.vnet.gso_type & VNX_VNET_GSO_ECN, ==,
                        b.gso_size && b.flags & VNX_TCP_CWR ? VNX_VNET_GSO_ECN : 0);
        g_assert_cmphex(q.seq, ==, b.seq);
        g_assert_cmphex(q.ack, ==, b.ack);
        g_assert_cmphex(q.flags, ==, b.flags);
        g_assert_cmphex(q.window, ==, b.window);
        g_assert_cmphex(q.urgent, ==, 0);
        g_assert_cmphex(q.dscp_ecn, ==, p->dscp_ecn & ~3);
        g_assert_cmphex(q.options, ==, (b.timestamp ? VNX_OPT_TIMESTAMP : 0) |
                                       (n_sack ? VNX_OPT_SACK : 0));
        if (b.timestamp) {
            g_assert_cmphex(q.tsval, ==, b.tsval);
            g_assert_cmphex(q.tsecr, ==, b.tsecr);
        }
        g_assert_cmpuint(q.n_sack, ==, n_sack);
        g_assert_true(!memcmp(q.sack, p->sack, n_sack * sizeof(q.sack[0])));

        /* And with a full checksum where it was left to the receiver. */
        if (b.csum_partial && !b.gso_size) {
            uint16_t csum;
            uint32_t sum = vnx_csum_partial(out + q.l4_off, q.payload_off - q.l4_off, 0);

            csum = vnx_csum_fold(vnx_csum_iov(&data, 1, 0, data.iov_len, sum));
            memcpy(out + q.l4_off + 16, &csum, 2);
            out[0] = 0;
            g_assert_cmpint(vnx_packet_parse(&q, frame, 2, b.vnet_len, dir), ==,
                            VNX_PARSE_TCP);
            g_assert_true(vnx_packet_csum_ok(&q));
        }
    }
}

/* Every rewrite: the frame that comes out parses to what was asked for, with a
 * checksum as good or as bad as before. */
static inline void check_rewrite(VnxPacket *p, VnxDir dir)
{
    bool good = vnx_packet_csum_ok(p);
    uint32_t seq = p->seq * 3 + 1, ack = ~p->ack, tsval = p->tsval - 1, tsecr = p->tsecr + 7;
    uint16_t window = p->window ^ 0x5aa5, options = p->options & ~VNX_OPT_SACK;
    struct iovec *out = g_new(struct iovec, p->iovcnt + 1);
    size_t size = 0;
    unsigned n;
    VnxPacket q;

    vnx_packet_set_seq(p, seq);
    vnx_packet_set_ack(p, ack);
    vnx_packet_set_window(p, window);
    vnx_packet_set_ts(p, tsval, tsecr);
    vnx_packet_clear_sack(p);
    g_assert_true(vnx_packet_csum_ok(p) == good);

    n = vnx_packet_out_iov(p, out);
    g_assert_cmpuint(n, <=, p->iovcnt + 1);
    for (unsigned i = 0; i < n; i++) {
        size += out[i].iov_len;
    }
    g_assert_cmpuint(size, ==, p->size);
    g_assert_cmpint(vnx_packet_parse(&q, out, n, p->vnet_len, dir), ==, VNX_PARSE_TCP);
    g_assert_true(vnx_packet_csum_ok(&q) == good);
    g_assert_cmphex(q.seq, ==, seq);
    g_assert_cmphex(q.ack, ==, ack);
    g_assert_cmphex(q.window, ==, window);
    g_assert_cmphex(q.flags, ==, p->flags);
    if (!(p->options & VNX_OPT_MALFORMED)) {    /* else more may be readable now */
        g_assert_cmphex(q.options, ==, options);
        g_assert_cmpuint(q.n_sack, ==, 0);
    }
    if (p->ts_off) {
        g_assert_cmphex(q.tsval, ==, tsval);
        g_assert_cmphex(q.tsecr, ==, tsecr);
    }
    g_free(out);
}

/* Parse @data, cut into pieces as said, and hold the result against the rules. */
static inline VnxParse check_packet(const uint8_t *data, size_t size, const size_t *cut,
                                    unsigned n_cut, size_t vnet_len, VnxDir dir)
{
    SplitFrame f;
    VnxPacket p;
    VnxParse r;

    split_frame(&f, data, size, cut, n_cut);
    r = vnx_packet_parse(&p, f.iov, f.iovcnt, vnet_len, dir);
    g_assert_cmpuint(p.size, ==, size);
    g_assert_true(p.ip_version == 0 || p.ip_version == 4 || p.ip_version == 6);
    if (p.ip_version) {
        g_assert_cmpuint(p.l3_off, >=, vnet_len + 14);
        g_assert_cmpuint(p.l3_off, <=, vnet_len + 22);
    }
    if (r == VNX_PARSE_TCP) {
        uint8_t *payload;

        g_assert_true(p.ip_version != 0);
        g_assert_cmpuint(p.l4_off, >=, p.l3_off + 20);
        g_assert_cmpuint(p.l4_off, <=, vnet_len + VNX_TEMPLATE_MAX);
        g_assert_cmpuint(p.payload_off, >=, p.l4_off + 20);
        g_assert_cmpuint(p.payload_off, <=, p.l4_off + 60);
        g_assert_cmpuint(p.payload_off, <=, VNX_HEAD_MAX);
        g_assert_cmpuint((size_t)p.payload_off + p.payload_len, <=, size);
        g_assert_true(!memcmp(p.head, data, p.payload_off));
        g_assert_cmpuint(p.n_sack, <=, VNX_SACK_MAX);

        payload = g_malloc(p.payload_len);
        vnx_packet_copy_payload(&p, 0, p.payload_len, payload);
        g_assert_true(!p.payload_len ||
                      !memcmp(payload, data + p.payload_off, p.payload_len));
        check_build(&p, payload, dir);
        check_rewrite(&p, dir);
        g_free(payload);
    }
    split_free(&f);
    return r;
}

#endif /* TESTS_PACKET_CHECK_H */
