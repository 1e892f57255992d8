/*
 * vnx: frames and payload of the vTCP fuzz target
 *
 * Written without engine/packet, so that it is checked by something else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <netinet/in.h>
#include <string.h>

#include "world-private.h"

/* The loops over payload: nothing to learn in there for a fuzzer, but they take its time.
 */
#ifdef __clang__
#define FAST __attribute__((noinline, no_sanitize("address", "undefined", "coverage")))
#else
#define FAST
#endif

/* The byte of connection @c that goes toward side @dir at @seq. */
#define PAYLOAD_BYTE(c, dir, seq) \
    ((uint8_t)(((seq) * 0x9e3779b1u >> 24) ^ ((seq) >> 3) ^ ((c) * 2 + (dir)) * 37))

FAST static void fill_payload(uint8_t *p, uint32_t len, unsigned c, unsigned dir,
                              uint32_t seq)
{
    for (uint32_t i = 0; i < len; i++) {
        p[i] = PAYLOAD_BYTE(c, dir, seq + i);
    }
}

/* The offset of the first byte that is not the sender's; @len if there is none. */
FAST uint32_t compare_payload(const uint8_t *p, uint32_t len, unsigned c, unsigned dir,
                                     uint32_t seq)
{
    uint32_t i = 0;

    while (i < len && p[i] == PAYLOAD_BYTE(c, dir, seq + i)) {
        i++;
    }
    return i;
}

void put16(uint8_t *p, uint32_t x)
{
    p[0] = x >> 8;
    p[1] = x;
}

static void put32(uint8_t *p, uint32_t x)
{
    put16(p, x >> 16);
    put16(p + 2, x);
}

uint32_t get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* RFC 1071, the slow and obvious way: its own check of engine/packet. */
FAST uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
    uint64_t wide = sum;

    for (size_t i = 0; i < len; i++) {
        wide += i % 2 ? p[i] : p[i] << 8;
    }
    while (wide >> 16) {
        wide = (wide & 0xffff) + (wide >> 16);
    }
    return wide;
}

uint32_t pseudo_sum(const VnxFlowKey *key, unsigned from, uint32_t l4_len)
{
    size_t n = key->ip_version == 4 ? 4 : 16;
    uint32_t sum = sum16(key->addr[from], n, 0);

    sum = sum16(key->addr[!from], n, sum);
    sum += IPPROTO_TCP + (l4_len >> 16) + (l4_len & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

static size_t put_options(const Segment *s, uint8_t *p)
{
    size_t n = 0;

    if (s->ts) {
        memcpy(p, "\1\1\10\12", 4);
        put32(p + 4, s->tsval);
        put32(p + 8, s->tsecr);
        n = 12;
    }
    if (s->options_len) {
        memcpy(p + n, s->options, s->options_len);
        n += s->options_len;
    }
    if (s->n_sack && n + 4 + 8 * s->n_sack <= 40) {
        memset(p + n, 1, 2);
        p[n + 2] = 5;
        p[n + 3] = 2 + 8 * s->n_sack;
        n += 4;
        for (unsigned i = 0; i < s->n_sack; i++, n += 8) {
            put32(p + n, s->sack[i].start);
            put32(p + n + 4, s->sack[i].end);
        }
    }
    while (n % 4) {
        p[n++] = 1;
    }
    return n;
}

/* Write the frame of @s from @side of @c to @f; returns its size. */
size_t make_frame(const World *w, unsigned c, unsigned side, const Segment *s, uint8_t *f)
{
    const VnxFlowKey *key = &w->conn[c].key;
    uint8_t options[64], *p = f + w->vnet_len, *ip, *tcp;
    size_t n_options = put_options(s, options);
    uint32_t l4_len = 20 + n_options + s->len;
    unsigned kind = w->vnet_len ? s->csum_kind : 0;
    uint32_t sum;

    memset(f, 0, w->vnet_len);
    memset(p, 0x02, 12);
    p[5] = !side;
    p[11] = side;
    p += 12;
    if (key->vlan[0] != VNX_VLAN_NONE) {
        put16(p, 0x8100);
        put16(p + 2, key->vlan[0]);
        p += 4;
    }
    put16(p, key->ip_version == 4 ? 0x0800 : 0x86dd);
    ip = p + 2;
    if (key->ip_version == 4) {
        memset(ip, 0, 20);
        ip[0] = 0x45;
        ip[1] = s->ecn;
        put16(ip + 2, 20 + l4_len);
        put16(ip + 6, 0x4000);
        ip[8] = 64;
        ip[9] = IPPROTO_TCP;
        memcpy(ip + 12, key->addr[side], 4);
        memcpy(ip + 16, key->addr[!side], 4);
        put16(ip + 10, ~sum16(ip, 20, 0));
        tcp = ip + 20;
    } else {
        memset(ip, 0, 8);
        ip[0] = 0x60;
        ip[1] = s->ecn << 4;
        put16(ip + 4, l4_len);
        ip[6] = IPPROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, key->addr[side], 16);
        memcpy(ip + 24, key->addr[!side], 16);
        tcp = ip + 40;
    }
    memset(tcp, 0, 20);
    put16(tcp, key->port[side]);
    put16(tcp + 2, key->port[!side]);
    put32(tcp + 4, s->seq);
    put32(tcp + 8, s->ack);
    put16(tcp + 12, (20 + n_options) / 4 << 12 | (s->flags & 0x1ff));
    put16(tcp + 14, s->window);
    put16(tcp + 18, s->urgent);
    memcpy(tcp + 20, options, n_options);
    p = tcp + 20 + n_options;
    fill_payload(p, s->len, c, !side, s->seq);
    p += s->len;
    sum = pseudo_sum(key, side, l4_len);
    if (kind == 1) {
        put16(tcp + 16, sum);
        f[0] = VNX_VNET_F_NEEDS_CSUM;
        if (s->gso_size) {
            f[1] = (key->ip_version == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6) |
                   (s->flags & VNX_TCP_CWR ? VNX_VNET_GSO_ECN : 0);
            f[2] = tcp + 20 + n_options - (f + w->vnet_len);
            f[4] = s->gso_size;
            f[5] = s->gso_size >> 8;
        }
        f[6] = tcp - (f + w->vnet_len);
        f[8] = 16;
    } else {
        put16(tcp + 16, ~sum16(tcp, l4_len, sum) ^ s->bad_csum);
        if (kind == 2) {
            f[0] = VNX_VNET_F_DATA_VALID;
        }
    }
    return p - f;
}

/* Write the report on @s of @side, as it comes back from a router, to @f; returns its size. */
size_t make_report(const World *w, unsigned c, unsigned side, const Segment *s, uint16_t mtu,
                   uint8_t *f)
{
    const VnxFlowKey *key = &w->conn[c].key;
    bool v4 = key->ip_version == 4;
    size_t l2_len = 14 + (key->vlan[0] != VNX_VLAN_NONE ? 4 : 0), ip_len = v4 ? 20 : 40;
    uint8_t quoted[200], *ip = f + w->vnet_len + l2_len, *icmp = ip + ip_len;
    uint32_t size = 8 + ip_len + 8, sum = 0;

    make_frame(w, c, side, s, quoted);
    memcpy(f, quoted, w->vnet_len + l2_len + ip_len);
    memset(f, 0, w->vnet_len);
    memset(icmp, 0, 8);
    put16(icmp + 6, mtu);
    memcpy(icmp + 8, quoted + w->vnet_len + l2_len, ip_len + 8);
    if (v4) {
        put16(ip + 2, ip_len + size);
        ip[9] = 1;
        memcpy(ip + 12, key->addr[!side], 4);
        memcpy(ip + 16, key->addr[side], 4);
        put16(ip + 10, 0);
        put16(ip + 10, ~sum16(ip, 20, 0));
        put16(icmp, 3 << 8 | 4);
    } else {
        put16(ip + 4, size);
        ip[6] = 58;
        memcpy(ip + 8, key->addr[!side], 16);
        memcpy(ip + 24, key->addr[side], 16);
        put16(icmp, 2 << 8);
        sum = sum16(ip + 8, 32, size + 58);
    }
    put16(icmp + 2, ~sum16(icmp, size, sum));
    return icmp + size - f;
}
