/*
 * vnx: ICMP "too big" messages, as far as TCP needs them (RFC 1191, RFC 8201)
 *
 * Such a message quotes the head of the packet that did not fit: enough for
 * the flow key and the sequence number, by which the receiver of the message can tell that it
 * did send such a packet (RFC 5927 4.1).
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

bool vnx_packet_too_big(const VnxPacket *p, VnxDir dir, VnxTooBig *too_big)
{
    uint8_t bytes[ICMP_HEADER_LEN + 60 + QUOTED_TCP_LEN] = { 0 };
    const uint8_t *ip = bytes + ICMP_HEADER_LEN, *tcp;
    VnxFlowKey *key = &too_big->key;
    size_t have, header_len;

    memset(too_big, 0, sizeof(*too_big));
    if (p->ip_version == 4 && p->key.proto == IPPROTO_ICMP) {
        have = copy_frame(p, p->l4_off, sizeof(bytes), bytes);
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
        header_len = IPV6_HEADER_LEN;
        have = copy_frame(p, p->l3_off + IPV6_HEADER_LEN, sizeof(bytes), bytes);
        if (have < ICMP_HEADER_LEN + IPV6_HEADER_LEN + QUOTED_TCP_LEN ||
            bytes[0] != ICMP6_TOO_BIG || ip[0] >> 4 != 6 || ip[6] != IPPROTO_TCP) {
            return false;
        }
        too_big->mtu = load_be32(bytes + 4);
        memcpy(key->addr[dir], ip + 8, 16);
        memcpy(key->addr[!dir], ip + 24, 16);
    } else {
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
