/*
 * vnx: packets, what the files of this folder share
 *
 * Wire constants, big-endian loads and stores at any alignment, and the pseudo
 * header of the TCP checksum.  Nobody outside engine/packet includes this.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef ENGINE_PACKET_PACKET_PRIVATE_H
#define ENGINE_PACKET_PACKET_PRIVATE_H

#include <string.h>
#include <netinet/in.h>

#include <vnx/packet.h>

#define ETH_HEADER_LEN      14
#define ETH_TYPE_OFF        12
#define ETH_TYPE_IPV4       0x0800
#define ETH_TYPE_IPV6       0x86dd
#define ETH_TYPE_VLAN       0x8100
#define ETH_TYPE_QINQ       0x88a8
#define ETH_TYPE_QINQ_OLD   0x9100
#define VLAN_TAG_LEN        4

#define IPV4_HEADER_LEN     20
#define IPV6_HEADER_LEN     40
#define IPV6_OPT_PAD1       0
#define IPV6_OPT_PADN       1
#define IPV6_OPT_JUMBO      0xc2    /* RFC 2675, 4 bytes of length */

#define TCP_HEADER_LEN      20
/* offsets of fields in the TCP header */
#define TCP_SEQ             4
#define TCP_ACK             8
#define TCP_OFFSET_FLAGS    12
#define TCP_WINDOW          14
#define TCP_CHECKSUM        16
#define TCP_URGENT          18

#define TCP_KIND_EOL        0
#define TCP_KIND_NOP        1
#define TCP_KIND_MSS        2
#define TCP_KIND_WSCALE     3
#define TCP_KIND_SACK_PERMITTED 4
#define TCP_KIND_SACK       5
#define TCP_KIND_TIMESTAMP  8

static inline uint16_t load_be16(const uint8_t *b)
{
    return b[0] << 8 | b[1];
}

static inline uint32_t load_be32(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

static inline void store_be16(uint8_t *b, uint16_t v)
{
    b[0] = v >> 8;
    b[1] = v;
}

static inline void store_be32(uint8_t *b, uint32_t v)
{
    store_be16(b, v >> 16);
    store_be16(b + 2, v);
}

static inline uint16_t load_le16(const uint8_t *b)
{
    return b[1] << 8 | b[0];
}

static inline void store_le16(uint8_t *b, uint16_t v)
{
    b[0] = v;
    b[1] = v >> 8;
}

/* One's complement addition: the carry comes back in at the bottom. */
static inline uint32_t csum_add(uint32_t a, uint32_t b)
{
    a += b;
    return a + (a < b);
}

/*
 * Sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1).
 * @l3: the IP header; its destination is the final one (the parser hands on no
 * packet with an unfinished routing header).
 * @tcp_len: TCP header and payload, bytes; may exceed 65535 (BIG TCP).
 */
static inline uint32_t csum_pseudo(const uint8_t *l3, uint8_t ip_version,
                                   uint32_t tcp_len)
{
    uint32_t sum = csum_add(htons(IPPROTO_TCP), htonl(tcp_len));

    return ip_version == 4 ? vnx_csum_partial(l3 + 12, 8, sum)
                           : vnx_csum_partial(l3 + 8, 32, sum);
}

#endif /* ENGINE_PACKET_PACKET_PRIVATE_H */
