/*
 * vnx: ICMP "too big" messages, as far as TCP needs them (RFC 1191, RFC 8201)
 *
 * Such a message quotes the head of the packet that did not fit: enough for
 * the flow key and the sequence number, by which the receiver of the message can tell that it
 * did send such a packet (RFC 5927 4.1).  Of extension headers in the quotation those are
 * known that the parser lets pass.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/packet/packet-private.h"

#define ICMP4_UNREACHABLE 3
#define ICMP4_FRAG_NEEDED 4
#define ICMP6_TOO_BIG 2
#define ICMP_HEADER_LEN 8
/* the quoted ports and sequence number */
#define QUOTED_TCP_LEN 8
/* ICMP header, L3 headers quoted, ports and sequence number */
#define LOOK_LEN (ICMP_HEADER_LEN + VNX_TEMPLATE_MAX + QUOTED_TCP_LEN)
/* a router that is older than RFC 1191 tells no MTU: what every host takes (RFC 791) */
#define MTU_UNTOLD 576

/* Copy up to @len bytes of the frame from @off on; returns how many there are. */
static size_t copy_frame(const VnxPacket *p, size_t off, size_t len, uint8_t *dst)
{
    size_t done = 0;

    for (unsigned i = 0; i < p->iovcnt && done < len; i++) {
        size_t n = p->iov[i].iov_len;

        if (off >= n) {
            off -= n;
            continue;
        }
        n = n - off < len - done ? n - off : len - done;
        memcpy(dst + done, (const uint8_t *)p->iov[i].iov_base + off, n);
        done += n;
        off = 0;
    }
    return done;
}

/* The message, which begins at @off, has the checksum that it should have. */
static bool icmp_csum_ok(const VnxPacket *p, uint32_t off)
{
    const uint8_t *l3 = p->head + p->l3_off;
    uint32_t sum = 0, len;

    if (p->ip_version == 4) {
        len = load_be16(l3 + 2) - (off - p->l3_off);
    } else {
        len = load_be16(l3 + 4);
        sum = csum_add(htons(IPPROTO_ICMPV6), htonl(len));
        sum = vnx_csum_partial(l3 + 8, 32, sum);
    }
    return len <= p->size - off &&      /* a length of 0, as GSO frames may have */
           vnx_csum_fold(vnx_csum_iov(p->iov, p->iovcnt, off, len, sum)) == 0;
}

/* How long the IPv6 headers before TCP at @ip are; 0 if TCP is not found in @len bytes. */
static size_t quoted_ip6_len(const uint8_t *ip, size_t len)
{
    size_t off = IPV6_HEADER_LEN;
    uint8_t next = ip[6];

    while (next != IPPROTO_TCP) {
        if (off + 8 > len || (next != IPPROTO_HOPOPTS && next != IPPROTO_DSTOPTS &&
                              (next != IPPROTO_ROUTING || ip[off + 3]))) {
            return 0;
        }
        next = ip[off];
        off += (ip[off + 1] + 1) * 8;
    }
    return off;
}

bool vnx_packet_too_big(const VnxPacket *p, VnxDir dir, VnxTooBig *too_big)
{
    uint8_t bytes[LOOK_LEN] = { 0 };
    const uint8_t *ip = bytes + ICMP_HEADER_LEN, *tcp;
    VnxFlowKey *key = &too_big->key;
    size_t have, header_len;
    uint32_t off;

    memset(too_big, 0, sizeof(*too_big));
    if (p->ip_version == 4 && p->key.proto == IPPROTO_ICMP) {
        off = p->l4_off;
        have = copy_frame(p, off, sizeof(bytes), bytes);
        header_len = (ip[0] & 0xf) * 4;
        if (have < ICMP_HEADER_LEN + IPV4_HEADER_LEN || bytes[0] != ICMP4_UNREACHABLE ||
            bytes[1] != ICMP4_FRAG_NEEDED || ip[0] >> 4 != 4 || ip[9] != IPPROTO_TCP ||
            header_len < IPV4_HEADER_LEN ||
            have < ICMP_HEADER_LEN + header_len + QUOTED_TCP_LEN) {
            return false;
        }
        too_big->mtu = load_be16(bytes + 6) ? load_be16(bytes + 6) : MTU_UNTOLD;
        memcpy(key->addr[dir], ip + 12, 4);
        memcpy(key->addr[!dir], ip + 16, 4);
    } else if (p->ip_version == 6 && p->key.proto == IPPROTO_ICMPV6) {
        off = p->l3_off + IPV6_HEADER_LEN;
        have = copy_frame(p, off, sizeof(bytes), bytes);
        if (have < ICMP_HEADER_LEN + IPV6_HEADER_LEN + QUOTED_TCP_LEN ||
            bytes[0] != ICMP6_TOO_BIG || ip[0] >> 4 != 6) {
            return false;
        }
        header_len = quoted_ip6_len(ip, have - ICMP_HEADER_LEN);
        if (!header_len || have < ICMP_HEADER_LEN + header_len + QUOTED_TCP_LEN) {
            return false;
        }
        too_big->mtu = load_be32(bytes + 4);
        memcpy(key->addr[dir], ip + 8, 16);
        memcpy(key->addr[!dir], ip + 24, 16);
    } else {
        return false;
    }
    if (!icmp_csum_ok(p, off)) {
        return false;
    }
    tcp = ip + header_len;
    key->ip_version = p->ip_version;
    key->proto = IPPROTO_TCP;
    key->vlan[0] = p->key.vlan[0];
    key->vlan[1] = p->key.vlan[1];
    key->vni = p->key.vni;
    key->port[dir] = load_be16(tcp);
    key->port[!dir] = load_be16(tcp + 2);
    too_big->seq = load_be32(tcp + TCP_SEQ);
    return true;
}
