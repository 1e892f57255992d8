/*
 * vnx: parsing of frames
 *
 * The frame lies in an iovec that may be split at any byte and was made by
 * somebody who may be hostile.  Bytes are read only from VnxPacket.head, after
 * need() has copied them there, so that "is it there?" is asked in one place;
 * need() copies no byte twice and no more than the headers want.
 *
 * Three ends bound every header, in this order: the frame (else TRUNCATED), the
 * length in the IP header (else MALFORMED: it contradicts what it encloses), and
 * VNX_HEAD_MAX (else TOO_LONG).  The IP length is held against the frame before
 * anything inside it is read.
 *
 * A priority tag (VLAN id 0) names no VLAN and takes no place in the key.  An
 * IPv6 routing header that still has segments to visit makes the packet OTHER:
 * its destination is not yet the one in the TCP checksum (RFC 8200 8.1).  An
 * IPv6 fragment header always makes a FRAGMENT, also an atomic one (RFC 6946).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/packet/packet-private.h"

/* First copy: what most segments need, IPv4 with TCP timestamps. */
#define HEAD_GUESS (ETH_HEADER_LEN + IPV4_HEADER_LEN + TCP_HEADER_LEN + 12)

typedef struct Parser {
    VnxPacket *p;
    uint32_t have;              /* bytes of the frame in p->head */
    uint32_t ip_end;            /* first byte behind the IP packet */
    unsigned i;                 /* where the frame goes on: iov[i], byte off */
    size_t off;
} Parser;

/* Copy the frame to p->head up to @upto, which is in the frame and in head. */
static void gather(Parser *s, uint32_t upto)
{
    VnxPacket *p = s->p;

    while (s->have < upto) {
        const struct iovec *v = &p->iov[s->i];
        size_t n = v->iov_len - s->off;

        if (n > upto - s->have) {
            n = upto - s->have;
        }
        if (n) {
            memcpy(p->head + s->have, (const uint8_t *)v->iov_base + s->off, n);
            s->have += n;
            s->off += n;
        }
        if (s->off == v->iov_len) {
            s->i++;
            s->off = 0;
        }
    }
}

/* Make the first @upto bytes of the frame readable in p->head.  Returns
 * VNX_PARSE_TCP if they are, else TRUNCATED or TOO_LONG. */
static inline VnxParse need(Parser *s, uint32_t upto)
{
    if (upto <= s->have) {
        return VNX_PARSE_TCP;
    }
    if (upto > s->p->size) {
        return VNX_PARSE_TRUNCATED;
    }
    if (upto > VNX_HEAD_MAX) {
        return VNX_PARSE_TOO_LONG;
    }
    gather(s, upto);
    return VNX_PARSE_TCP;
}

/* need() for a header inside the IP packet. */
static inline VnxParse need_in_ip(Parser *s, uint32_t upto)
{
    return upto > s->ip_end ? VNX_PARSE_MALFORMED : need(s, upto);
}

static bool gso_is_tcp(const VnxPacket *p)
{
    uint8_t type = p->vnet.gso_type & ~VNX_VNET_GSO_ECN;

    return type == VNX_VNET_GSO_TCPV4 || type == VNX_VNET_GSO_TCPV6;
}

static void parse_vnet(VnxPacket *p)
{
    const uint8_t *h = p->head;

    p->vnet.flags = h[0];
    p->vnet.gso_type = h[1];
    p->vnet.hdr_len = load_le16(h + 2);
    p->vnet.gso_size = load_le16(h + 4);
    p->vnet.csum_start = load_le16(h + 6);
    p->vnet.csum_offset = load_le16(h + 8);
}

/* What the virtio-net header says must fit the TCP segment that was found. */
static bool vnet_fits(const VnxPacket *p)
{
    if (p->vnet.flags & VNX_VNET_F_NEEDS_CSUM &&
        (p->vnet.csum_start != p->l4_off - p->vnet_len ||
         p->vnet.csum_offset != TCP_CHECKSUM)) {
        return false;
    }
    if (p->vnet.gso_type == VNX_VNET_GSO_NONE) {
        return true;
    }
    return p->vnet.gso_size != 0 &&
           (p->vnet.gso_type & ~VNX_VNET_GSO_ECN) ==
           (p->ip_version == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6);
}

/* Ethernet and VLAN tags.  Sets l3_off; @type is what lies there. */
static VnxParse parse_l2(Parser *s, uint16_t *type)
{
    VnxPacket *p = s->p;
    uint32_t off = p->vnet_len + ETH_HEADER_LEN;
    unsigned tags, vlans = 0;
    VnxParse r;

    p->key.vlan[0] = p->key.vlan[1] = VNX_VLAN_NONE;
    r = need(s, off);
    if (r != VNX_PARSE_TCP) {
        return r;
    }
    *type = load_be16(p->head + off - 2);
    for (tags = 0; *type == ETH_TYPE_VLAN || *type == ETH_TYPE_QINQ ||
                   *type == ETH_TYPE_QINQ_OLD; tags++) {
        uint16_t vid;

        if (tags == 2) {
            return VNX_PARSE_OTHER;
        }
        r = need(s, off + VLAN_TAG_LEN);
        if (r != VNX_PARSE_TCP) {
            return r;
        }
        vid = load_be16(p->head + off) & 0xfff;
        if (vid) {
            p->key.vlan[vlans++] = vid;
        }
        *type = load_be16(p->head + off + 2);
        off += VLAN_TAG_LEN;
    }
    p->l3_off = off;
    return VNX_PARSE_TCP;
}

/* IPv4.  Sets l4_off and s->ip_end when the packet is TCP. */
static VnxParse parse_ipv4(Parser *s, VnxDir dir)
{
    VnxPacket *p = s->p;
    const uint8_t *ip = p->head + p->l3_off;
    uint32_t header_len, total_len;
    VnxParse r;

    r = need(s, p->l3_off + IPV4_HEADER_LEN);
    if (r != VNX_PARSE_TCP) {
        return r;
    }
    header_len = (ip[0] & 0xf) * 4;
    total_len = load_be16(ip + 2);
    if (ip[0] >> 4 != 4 || header_len < IPV4_HEADER_LEN) {
        return VNX_PARSE_MALFORMED;
    }
    if (total_len == 0 && gso_is_tcp(p)) {
        total_len = p->size - p->l3_off;
    }
    if (total_len < header_len) {
        return VNX_PARSE_MALFORMED;
    }
    s->ip_end = p->l3_off + total_len;
    if (s->ip_end > p->size) {
        return VNX_PARSE_TRUNCATED;
    }
    r = need_in_ip(s, p->l3_off + header_len);
    if (r != VNX_PARSE_TCP) {
        return r;
    }

    p->ip_version = p->key.ip_version = 4;
    p->dscp_ecn = ip[1];
    p->key.proto = ip[9];
    memcpy(p->key.addr[!dir], ip + 12, 4);
    memcpy(p->key.addr[dir], ip + 16, 4);
    if (load_be16(ip + 6) & 0x3fff) {       /* more fragments, or an offset */
        return VNX_PARSE_FRAGMENT;
    }
    p->l4_off = p->l3_off + header_len;
    return ip[9] == IPPROTO_TCP ? VNX_PARSE_TCP : VNX_PARSE_OTHER;
}

/*
 * Find the jumbo payload option (RFC 2675) in the hop-by-hop header at
 * [@off, @end), all of which is in head.  @jumbo is its length field, 0 without
 * one.  Returns MALFORMED if the options do not fit the header.
 */
static VnxParse parse_hop_by_hop(const VnxPacket *p, uint32_t off, uint32_t end,
                                 uint32_t *jumbo)
{
    *jumbo = 0;
    for (off += 2; off < end; ) {
        const uint8_t *o = p->head + off;

        if (o[0] == IPV6_OPT_PAD1) {
            off++;
            continue;
        }
        if (end - off < 2 || end - off < 2u + o[1]) {
            return VNX_PARSE_MALFORMED;
        }
        if (o[0] == IPV6_OPT_JUMBO) {
            if (o[1] != 4 || *jumbo) {
                return VNX_PARSE_MALFORMED;
            }
            *jumbo = load_be32(o + 2);
            if (*jumbo <= 0xffff) {
                return VNX_PARSE_MALFORMED;
            }
        }
        off += 2 + o[1];
    }
    return VNX_PARSE_TCP;
}

/* IPv6 with extension headers.  Sets l4_off and s->ip_end when it is TCP. */
static VnxParse parse_ipv6(Parser *s, VnxDir dir)
{
    VnxPacket *p = s->p;
    const uint8_t *ip = p->head + p->l3_off;
    uint32_t off = p->l3_off + IPV6_HEADER_LEN;
    bool length_in_frame;
    uint8_t next;
    VnxParse r;

    r = need(s, off);
    if (r != VNX_PARSE_TCP) {
        return r;
    }
    if (ip[0] >> 4 != 6) {
        return VNX_PARSE_MALFORMED;
    }
    s->ip_end = off + load_be16(ip + 4);
    length_in_frame = s->ip_end == off && gso_is_tcp(p);
    if (length_in_frame) {
        s->ip_end = p->size;
    }
    if (s->ip_end > p->size) {
        return VNX_PARSE_TRUNCATED;
    }

    p->ip_version = p->key.ip_version = 6;
    p->dscp_ecn = (ip[0] & 0xf) << 4 | ip[1] >> 4;
    memcpy(p->key.addr[!dir], ip + 8, 16);
    memcpy(p->key.addr[dir], ip + 24, 16);
    next = p->key.proto = ip[6];

    for (bool first = true; next != IPPROTO_TCP; first = false) {
        const uint8_t *ext = p->head + off;
        uint32_t end, jumbo;

        if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
            next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT) {
            return VNX_PARSE_OTHER;
        }
        r = need_in_ip(s, off + 8);
        if (r != VNX_PARSE_TCP) {
            return r;
        }
        if (next == IPPROTO_FRAGMENT) {
            p->key.proto = ext[0];
            return VNX_PARSE_FRAGMENT;
        }
        end = off + (ext[1] + 1) * 8;
        r = need_in_ip(s, end);
        if (r != VNX_PARSE_TCP) {
            return r;
        }
        if (next == IPPROTO_ROUTING && ext[3] != 0) {
            return VNX_PARSE_OTHER;
        }
        if (next == IPPROTO_HOPOPTS) {
            if (!first) {
                return VNX_PARSE_MALFORMED;
            }
            r = parse_hop_by_hop(p, off, end, &jumbo);
            if (r != VNX_PARSE_TCP || (jumbo && !length_in_frame)) {
                return VNX_PARSE_MALFORMED;
            }
            if (jumbo) {
                if (jumbo > p->size - p->l3_off - IPV6_HEADER_LEN) {
                    return VNX_PARSE_TRUNCATED;
                }
                s->ip_end = p->l3_off + IPV6_HEADER_LEN + jumbo;
            }
        }
        next = p->key.proto = ext[0];
        off = end;
    }
    p->l4_off = off;
    return VNX_PARSE_TCP;
}

/* TCP options at head [@off, @end).  Nothing here makes a packet bad: what is
 * wrong shows in p->options. */
static void parse_tcp_options(VnxPacket *p, uint32_t off, uint32_t end)
{
    while (off < end) {
        const uint8_t *o = p->head + off;
        unsigned len;

        if (o[0] == TCP_KIND_EOL) {
            return;
        }
        if (o[0] == TCP_KIND_NOP) {
            off++;
            continue;
        }
        if (end - off < 2 || o[1] < 2 || o[1] > end - off) {
            goto malformed;
        }
        len = o[1];
        switch (o[0]) {
        case TCP_KIND_MSS:
            if (len != 4) {
                goto malformed;
            }
            p->options |= VNX_OPT_MSS;
            p->mss = load_be16(o + 2);
            break;
        case TCP_KIND_WSCALE:
            if (len != 3) {
                goto malformed;
            }
            p->options |= VNX_OPT_WSCALE;
            p->wscale = o[2] > 14 ? 14 : o[2];
            break;
        case TCP_KIND_SACK_PERMITTED:
            if (len != 2) {
                goto malformed;
            }
            p->options |= VNX_OPT_SACK_PERMITTED;
            break;
        case TCP_KIND_SACK:
            /* Twice: a rewrite would miss the other one. */
            if (len < 10 || (len - 2) % 8 || p->sack_off) {
                goto malformed;
            }
            p->options |= VNX_OPT_SACK;
            p->sack_off = off;
            p->n_sack = (len - 2) / 8;
            for (unsigned i = 0; i < p->n_sack; i++) {
                p->sack[i].start = load_be32(o + 2 + 8 * i);
                p->sack[i].end = load_be32(o + 6 + 8 * i);
            }
            break;
        case TCP_KIND_TIMESTAMP:
            if (len != 10 || p->ts_off) {
                goto malformed;
            }
            p->options |= VNX_OPT_TIMESTAMP;
            p->ts_off = off + 2;
            p->tsval = load_be32(o + 2);
            p->tsecr = load_be32(o + 6);
            break;
        case 19:
            p->options |= VNX_OPT_MD5;
            break;
        case 29:
            p->options |= VNX_OPT_AO;
            break;
        case 30:
            p->options |= VNX_OPT_MPTCP;
            break;
        case 34:
            p->options |= VNX_OPT_FASTOPEN;
            break;
        case 172:
        case 174:
            p->options |= VNX_OPT_ACCECN;
            break;
        default:
            p->options |= VNX_OPT_UNKNOWN;
            break;
        }
        off += len;
    }
    return;

malformed:
    p->options |= VNX_OPT_MALFORMED;
}

static VnxParse parse_tcp(Parser *s, VnxDir dir)
{
    VnxPacket *p = s->p;
    const uint8_t *tcp = p->head + p->l4_off;
    uint32_t header_len;
    VnxParse r;

    if (p->l4_off - p->vnet_len > VNX_TEMPLATE_MAX) {
        return VNX_PARSE_TOO_LONG;
    }
    r = need_in_ip(s, p->l4_off + TCP_HEADER_LEN);
    if (r != VNX_PARSE_TCP) {
        return r;
    }
    header_len = (tcp[TCP_OFFSET_FLAGS] >> 4) * 4;
    if (header_len < TCP_HEADER_LEN) {
        return VNX_PARSE_MALFORMED;
    }
    r = need_in_ip(s, p->l4_off + header_len);
    if (r != VNX_PARSE_TCP) {
        return r;
    }
    if (!vnet_fits(p)) {
        return VNX_PARSE_MALFORMED;
    }

    p->payload_off = p->l4_off + header_len;
    p->payload_len = s->ip_end - p->payload_off;
    p->key.port[!dir] = load_be16(tcp);
    p->key.port[dir] = load_be16(tcp + 2);
    p->seq = load_be32(tcp + TCP_SEQ);
    p->ack = load_be32(tcp + TCP_ACK);
    p->flags = load_be16(tcp + TCP_OFFSET_FLAGS) & 0x1ff;
    p->window = load_be16(tcp + TCP_WINDOW);
    p->urgent = load_be16(tcp + TCP_URGENT);
    parse_tcp_options(p, p->l4_off + TCP_HEADER_LEN, p->payload_off);
    return VNX_PARSE_TCP;
}

VnxParse vnx_packet_parse(VnxPacket *p, const struct iovec *iov, unsigned iovcnt,
                          size_t vnet_len, VnxDir dir)
{
    Parser s = { .p = p };
    uint16_t type;
    VnxParse r;

    memset(p, 0, offsetof(VnxPacket, head));
    p->iov = iov;
    p->iovcnt = iovcnt;
    for (unsigned i = 0; i < iovcnt; i++) {
        p->size += iov[i].iov_len;
    }
    if (vnet_len != 0 && vnet_len != 10 && vnet_len != 12 && vnet_len != 20) {
        return VNX_PARSE_MALFORMED;
    }
    if (p->size > INT32_MAX) {
        return VNX_PARSE_TOO_LONG;
    }
    p->vnet_len = vnet_len;
    gather(&s, p->size < vnet_len + HEAD_GUESS ? p->size : vnet_len + HEAD_GUESS);
    if (vnet_len) {
        r = need(&s, vnet_len);
        if (r != VNX_PARSE_TCP) {
            return r;
        }
        parse_vnet(p);
    }

    r = parse_l2(&s, &type);
    if (r != VNX_PARSE_TCP) {
        return r;
    }
    switch (type) {
    case ETH_TYPE_IPV4:
        r = parse_ipv4(&s, dir);
        break;
    case ETH_TYPE_IPV6:
        r = parse_ipv6(&s, dir);
        break;
    default:
        return VNX_PARSE_OTHER;
    }
    return r == VNX_PARSE_TCP ? parse_tcp(&s, dir) : r;
}

uint32_t vnx_packet_seq_len(const VnxPacket *p)
{
    return p->payload_len + !!(p->flags & VNX_TCP_SYN) + !!(p->flags & VNX_TCP_FIN);
}

bool vnx_packet_csum_ok(const VnxPacket *p)
{
    uint32_t header_len = p->payload_off - p->l4_off;
    uint32_t sum;

    if (p->vnet.flags & (VNX_VNET_F_NEEDS_CSUM | VNX_VNET_F_DATA_VALID)) {
        return true;
    }
    if (p->vnet.gso_type != VNX_VNET_GSO_NONE) {
        return false;
    }
    sum = csum_pseudo(p->head + p->l3_off, p->ip_version, header_len + p->payload_len);
    sum = vnx_csum_partial(p->head + p->l4_off, header_len, sum);
    sum = vnx_csum_iov(p->iov, p->iovcnt, p->payload_off, p->payload_len, sum);
    return vnx_csum_fold(sum) == 0;
}

bool vnx_packet_ip_csum_ok(const VnxPacket *p)
{
    return p->ip_version != 4 ||
           vnx_csum_fold(vnx_csum_partial(p->head + p->l3_off,
                                          p->l4_off - p->l3_off, 0)) == 0;
}

void vnx_packet_copy_payload(const VnxPacket *p, size_t off, size_t len, void *dst)
{
    uint8_t *out = dst;

    off += p->payload_off;
    for (unsigned i = 0; len; i++) {
        size_t n = p->iov[i].iov_len;

        if (off >= n) {
            off -= n;
            continue;
        }
        n -= off;
        if (n > len) {
            n = len;
        }
        memcpy(out, (const uint8_t *)p->iov[i].iov_base + off, n);
        out += n;
        len -= n;
        off = 0;
    }
}
