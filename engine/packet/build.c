/*
 * vnx: building of headers
 *
 * vTCP's own segments wear the Ethernet and IP headers of the newest frame of
 * their direction (VnxHeaders), never a swapped copy of the other direction's:
 * routes need not be symmetric.  What belongs to one frame alone does not enter
 * the template: ECN marks (vTCP's segments are Not-ECT unless somebody decides
 * otherwise), and the IPv6 jumbo payload option of a BIG TCP frame, which would
 * be an error in a smaller one (RFC 2675 section 3).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/packet/packet-private.h"

#define TCP_TIMESTAMP_LEN   12      /* NOP NOP and the option */
#define TCP_SACK_LEN(n)     (4 + 8 * (n))
#define HOP_BY_HOP_JUMBO_LEN 8      /* a header with nothing but the option */

/* Remove the jumbo payload option: the header if it holds nothing else, as with
 * Linux' BIG TCP, else padding in its place. */
static void forget_jumbo(VnxHeaders *h)
{
    uint8_t *ip = h->bytes + h->l3_off;
    uint8_t *ext = ip + IPV6_HEADER_LEN;
    unsigned len, off;

    if (ip[6] != IPPROTO_HOPOPTS) {
        return;
    }
    len = (ext[1] + 1) * 8;
    if (len == HOP_BY_HOP_JUMBO_LEN && ext[2] == IPV6_OPT_JUMBO) {
        ip[6] = ext[0];
        h->len -= len;
        memmove(ext, ext + len, h->bytes + h->len - ext);
        return;
    }
    /* The parser has checked that the options fit. */
    for (off = 2; off < len; off += ext[off] == IPV6_OPT_PAD1 ? 1 : 2 + ext[off + 1]) {
        if (ext[off] == IPV6_OPT_JUMBO) {
            ext[off] = IPV6_OPT_PADN;
            memset(ext + off + 2, 0, ext[off + 1]);
        }
    }
}

void vnx_headers_learn(VnxHeaders *h, const VnxPacket *p)
{
    const uint8_t *tcp = p->head + p->l4_off;
    uint8_t *ip;

    h->l3_off = p->l3_off - p->vnet_len;
    h->len = p->l4_off - p->vnet_len;
    h->ip_version = p->ip_version;
    h->sport = load_be16(tcp);
    h->dport = load_be16(tcp + 2);
    memcpy(h->bytes, p->head + p->vnet_len, h->len);
    ip = h->bytes + h->l3_off;
    if (h->ip_version == 4) {
        ip[1] &= ~0x03;
    } else {
        ip[1] &= ~0x30;
        forget_jumbo(h);
    }
}

static unsigned n_sack_blocks(const VnxBuild *b)
{
    unsigned max = b->timestamp ? 3 : VNX_SACK_MAX;

    return b->n_sack < max ? b->n_sack : max;
}

static unsigned tcp_header_len(const VnxBuild *b)
{
    unsigned n = n_sack_blocks(b);

    return TCP_HEADER_LEN + (b->timestamp ? TCP_TIMESTAMP_LEN : 0) +
           (n ? TCP_SACK_LEN(n) : 0);
}

size_t vnx_headers_build_len(const VnxHeaders *h, const VnxBuild *b)
{
    return b->vnet_len + h->len + tcp_header_len(b);
}

static void build_vnet(const VnxHeaders *h, const VnxBuild *b, uint8_t *out)
{
    if (!b->vnet_len) {
        return;
    }
    memset(out, 0, b->vnet_len);
    if (b->csum_partial) {
        out[0] = VNX_VNET_F_NEEDS_CSUM;
        store_le16(out + 6, h->len);
        store_le16(out + 8, TCP_CHECKSUM);
    }
    if (b->gso_size) {
        out[1] = h->ip_version == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6;
        if (b->flags & VNX_TCP_CWR) {
            out[1] |= VNX_VNET_GSO_ECN;     /* CWR on the first segment only */
        }
        store_le16(out + 2, h->len + tcp_header_len(b));
        store_le16(out + 4, b->gso_size);
    }
}

static void build_ip(const VnxHeaders *h, const VnxBuild *b, uint8_t *ip)
{
    uint32_t header_len = h->len - h->l3_off;
    uint32_t total_len = header_len + tcp_header_len(b) + b->payload_len;
    uint16_t csum;

    ip[1] |= h->ip_version == 4 ? b->ecn : b->ecn << 4;
    if (h->ip_version == 4) {
        store_be16(ip + 2, total_len > 0xffff ? 0 : total_len);
        store_be16(ip + 4, b->ip_id);
        store_be16(ip + 10, 0);
        csum = vnx_csum_fold(vnx_csum_partial(ip, header_len, 0));
        memcpy(ip + 10, &csum, 2);
    } else {
        uint32_t payload_len = total_len - IPV6_HEADER_LEN;

        store_be16(ip + 4, payload_len > 0xffff ? 0 : payload_len);
    }
}

static void build_tcp(const VnxHeaders *h, const VnxBuild *b, const uint8_t *ip,
                      uint8_t *tcp)
{
    unsigned len = tcp_header_len(b), n = n_sack_blocks(b);
    uint8_t *o = tcp + TCP_HEADER_LEN;
    uint32_t sum;
    uint16_t csum;

    store_be16(tcp, h->sport);
    store_be16(tcp + 2, h->dport);
    store_be32(tcp + TCP_SEQ, b->seq);
    store_be32(tcp + TCP_ACK, b->ack);
    store_be16(tcp + TCP_OFFSET_FLAGS, len / 4 << 12 | (b->flags & 0x1ff));
    store_be16(tcp + TCP_WINDOW, b->window);
    store_be16(tcp + TCP_CHECKSUM, 0);
    store_be16(tcp + TCP_URGENT, 0);
    if (b->timestamp) {
        o[0] = o[1] = TCP_KIND_NOP;
        o[2] = TCP_KIND_TIMESTAMP;
        o[3] = 10;
        store_be32(o + 4, b->tsval);
        store_be32(o + 8, b->tsecr);
        o += TCP_TIMESTAMP_LEN;
    }
    if (n) {
        o[0] = o[1] = TCP_KIND_NOP;
        o[2] = TCP_KIND_SACK;
        o[3] = 2 + 8 * n;
        for (unsigned i = 0; i < n; i++) {
            store_be32(o + 4 + 8 * i, b->sack[i].start);
            store_be32(o + 8 + 8 * i, b->sack[i].end);
        }
    }

    sum = csum_pseudo(ip, h->ip_version, len + b->payload_len);
    if (b->csum_partial) {
        csum = ~vnx_csum_fold(sum);
    } else {
        sum = vnx_csum_partial(tcp, len, sum);
        sum = vnx_csum_iov(b->payload, b->payload_cnt, 0, b->payload_len, sum);
        csum = vnx_csum_fold(sum);
    }
    memcpy(tcp + TCP_CHECKSUM, &csum, 2);
}

size_t vnx_headers_build(const VnxHeaders *h, const VnxBuild *b, uint8_t *out)
{
    uint8_t *eth = out + b->vnet_len;
    uint8_t *ip = eth + h->l3_off;
    uint8_t *tcp = eth + h->len;

    build_vnet(h, b, out);
    memcpy(eth, h->bytes, h->len);
    build_ip(h, b, ip);
    build_tcp(h, b, ip, tcp);
    return vnx_headers_build_len(h, b);
}
