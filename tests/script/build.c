/*
 * vnx script runner: the frame of a segment, byte by byte
 *
 * Nothing of the engine is used: what the engine parses and sums here was built and
 * summed by somebody else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "script.h"

uint8_t payload_byte(Side from, uint32_t rel)
{
    uint32_t x = (rel + 1) * 2654435761u ^ (from ? 0x9e3779b9u : 0);

    return x >> 24 ^ x >> 13;
}

uint16_t slow_sum(const uint8_t *p, size_t n, uint32_t sum)
{
    for (size_t i = 0; i < n; i++) {
        sum += i & 1 ? p[i] : p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (sum & 0xffff) + (sum >> 16);
}

uint32_t pseudo_sum(int family, const uint8_t *l3, uint32_t l4_len, uint8_t proto)
{
    const uint8_t *addrs = family == 4 ? l3 + 12 : l3 + 8;

    return slow_sum(addrs, family == 4 ? 8 : 32, 0) +
           slow_sum((uint8_t[]) { l4_len >> 24, l4_len >> 16, l4_len >> 8, l4_len,
                                  0, proto }, 6, 0);
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
    return p + 2;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    return put16(put16(p, v >> 16), v);
}

static void put16le(uint8_t *p, uint16_t v)
{
    p[0] = v;
    p[1] = v >> 8;
}

static uint8_t protocol(const Seg *s)
{
    return s->proto ? s->proto : s->udp ? 17 : 6;
}

static uint8_t *put_address(uint8_t *p, int family, Side side)
{
    static const uint8_t v6[2][16] = {
        { 0x20, 1, 0xd, 0xb8, [15] = 0x10 }, { 0x20, 1, 0xd, 0xb8, 0, 1, [15] = 0x20 },
    };

    if (family == 6) {
        memcpy(p, v6[side], 16);
        return p + 16;
    }
    return put32(p, side == GUEST ? 0xc0000210 : 0xc6336420);  /* RFC 5737 */
}

void host_address(World *w, Side side, uint8_t addr[16])
{
    memset(addr, 0, 16);
    put_address(addr, w->family, side);
}

static uint8_t *put_ethernet(uint8_t *p, int family, Side from, const Seg *s)
{
    memcpy(p, (uint8_t[]) { 0x52, 0x54, 0, 0, from == GUEST ? 2 : 1, 0 }, 6);
    memcpy(p + 6, (uint8_t[]) { 0x52, 0x54, 0, 0, from == GUEST ? 1 : 2, s->mac }, 6);
    p += 12;
    if (s->vlan[1] != VNX_VLAN_NONE) {
        p = put16(put16(p, 0x88a8), s->vlan[0]);
        p = put16(put16(p, 0x8100), s->vlan[1]);
    } else if (s->vlan[0] != VNX_VLAN_NONE) {
        p = put16(put16(p, 0x8100), s->vlan[0]);
    }
    return put16(p, family == 4 ? 0x0800 : 0x86dd);
}

static uint8_t *put_ipv4(uint8_t *p, Side from, const Seg *s, uint32_t l4_len)
{
    unsigned hlen = s->ip_opt ? 24 : 20;
    uint8_t *ip = p;
    uint32_t total = hlen + l4_len;

    p = put16(p, (0x40 | hlen / 4) << 8 | s->dscp << 2 | s->ecn);
    p = put16(p, total > 0xffff ? 0 : total);
    p = put16(put16(p, 0x1234 + s->seq), s->frag ? 0x2000 : 0x4000);
    p = put16(put16(p, s->ttl << 8 | protocol(s)), 0);
    p = put_address(put_address(p, 4, from), 4, !from);
    if (s->ip_opt) {
        p = put32(p, 0x01010100);       /* NOP NOP NOP EOL */
    }
    put16(ip + 10, ~slow_sum(ip, hlen, 0) ^ (s->bad_ip_csum ? 0x55 : 0));
    return p;
}

static uint8_t *put_ipv6(uint8_t *p, Side from, const Seg *s, uint32_t l4_len)
{
    static const struct { uint8_t bit, number; } exts[] = {
        { EXT_JUMBO, 0 }, { EXT_HBH, 0 }, { EXT_DSTOPT, 60 }, { EXT_ROUTING, 43 }, { EXT_FRAGMENT, 44 },
    };
    uint8_t bits = s->ext | (s->frag ? EXT_FRAGMENT : 0);
    uint32_t len = l4_len + 8 * __builtin_popcount(bits);
    uint8_t *next;

    p = put32(p, 6u << 28 | s->dscp << 22 | s->ecn << 20 | 0x54321);
    p = put16(p, len > 0xffff || s->ext & EXT_JUMBO ? 0 : len);
    next = p++;
    *p++ = s->ttl;
    p = put_address(put_address(p, 6, from), 6, !from);
    for (unsigned i = 0; i < G_N_ELEMENTS(exts); i++) {
        if (bits & exts[i].bit) {
            *next = exts[i].number;
            next = p;
            switch (exts[i].bit) {
            case EXT_JUMBO:             /* RFC 2675: all that follows the IPv6 header */
                put32(put32(p, 0xc204), len);
                break;
            case EXT_ROUTING:           /* type 253 (RFC 4727), no segments left */
                memcpy(p, (uint8_t[]) { 0, 0, 253, s->hops, 0, 0, 0, 0 }, 8);
                break;
            case EXT_FRAGMENT:          /* offset 0, more fragments */
                memcpy(p, (uint8_t[]) { 0, 0, 0, 1, 0, 0, 0, 7 }, 8);
                break;
            default:                    /* PadN of 4 */
                memcpy(p, (uint8_t[]) { 0, 0, 1, 4, 0, 0, 0, 0 }, 8);
            }
            p += 8;
        }
    }
    *next = protocol(s);
    return p;
}

/* Ethernet and IP headers; returns their length. */
unsigned build_l2_l3(World *w, Side from, const Seg *s, uint32_t l4_len, uint8_t *out,
                     unsigned *l3_off)
{
    uint8_t *p = put_ethernet(out, w->family, from, s);

    *l3_off = p - out;
    return (w->family == 4 ? put_ipv4 : put_ipv6)(p, from, s, l4_len) - out;
}

static unsigned put_tcp_options(World *w, Side from, const Seg *s, uint8_t *out)
{
    const Host *other = &w->conn->host[!from];
    uint8_t *p = out;

    if (s->mss.op) {
        p = put16(put16(p, 2 << 8 | 4), s->mss.v);
    }
    if (s->sack_ok) {
        p = put32(p, 1 << 24 | 1 << 16 | 4 << 8 | 2);
    }
    if (s->ts) {
        p = put32(p, 1 << 24 | 1 << 16 | 8 << 8 | 10);
        p = put32(put32(p, s->tsval.v), s->tsecr.v);
    }
    if (s->wscale.op) {
        p = put32(p, 1 << 24 | 3 << 16 | 3 << 8 | s->wscale.v);
    }
    if (s->n_sack) {
        p = put32(p, 1 << 24 | 1 << 16 | 5 << 8 | (2 + 8 * s->n_sack));
        for (unsigned i = 0; i < s->n_sack; i++) {
            p = put32(put32(p, other->isn + s->sack[i].start),
                      other->isn + s->sack[i].end);
        }
    }
    if (p - out + s->raw_opt_len > 40) {
        fail(w, "script: more than 40 bytes of TCP options");
    }
    memcpy(p, s->raw_opt, s->raw_opt_len);
    p += s->raw_opt_len;
    while ((p - out) & 3) {
        *p++ = 1;
    }
    return p - out;
}

static void put_vnet(World *w, uint8_t *p, const Seg *s, unsigned l4_off,
                     unsigned tcp_len)
{
    memset(p, 0, w->vnet_len);
    if (s->data_valid) {
        p[0] = VNX_VNET_F_DATA_VALID;
    }
    if (s->partial || s->gso) {
        p[0] |= VNX_VNET_F_NEEDS_CSUM;
        put16le(p + 6, l4_off);
        put16le(p + 8, 16);
    }
    if (s->gso) {
        p[1] = (w->family == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6) |
               (s->flags & VNX_TCP_CWR ? VNX_VNET_GSO_ECN : 0);
        put16le(p + 2, l4_off + tcp_len);
        put16le(p + 4, s->gso);
    }
}

/*
 * What a router beyond @from says about @s, which it got from the other side: the IP header
 * of that and the first 8 bytes of TCP (RFC 792, RFC 4443).
 */
static uint8_t *build_icmp(World *w, Side from, const Seg *s, size_t *size)
{
    static const uint8_t types[2][4][2] = {
        { { 3, 4 }, { 3, 1 }, { 11, 0 }, { 4, 0 } },    /* v4 */
        { { 2, 0 }, { 1, 0 }, { 3, 0 }, { 100, 0 } },   /* v6 knows no quench */
    };
    uint8_t *frame = g_malloc0(FRAME_MAX), quoted[256], *icmp, *p;
    unsigned guest_port = 10000 + w->conn->number, net_port = 80, l3_off, outer_l3, len;
    Seg outer = w->base;

    len = build_l2_l3(w, !from, s, 20 + s->end - s->seq, quoted, &l3_off);
    p = put16(quoted + len, from == NET ? guest_port : net_port);
    p = put16(p, from == NET ? net_port : guest_port);
    p = put32(p, w->conn->host[!from].isn + s->seq);
    len = p - quoted - l3_off;

    memcpy(outer.vlan, s->vlan, sizeof(outer.vlan));
    outer.ext = 0;
    outer.proto = w->family == 4 ? 1 : 58;
    icmp = frame + w->vnet_len;
    icmp += build_l2_l3(w, from, &outer, 8 + len, icmp, &outer_l3);
    memcpy(icmp, types[w->family == 6][s->icmp - 1], 2);
    p = put32(icmp + 4, s->mtu);
    memcpy(p, quoted + l3_off, len);
    p += len;
    put16(icmp + 2, ~slow_sum(icmp, p - icmp, w->family == 4 ? 0 :
                              pseudo_sum(6, frame + w->vnet_len + outer_l3, p - icmp, 58)) ^
                    (s->bad_csum ? 0x5555 : 0));
    *size = p - frame - MIN(s->cut, p - frame);
    return frame;
}

static uint8_t *build_segment(World *w, Side from, const Seg *s, size_t *size)
{
    const Host *me = &w->conn->host[from], *other = &w->conn->host[!from];
    uint8_t *frame = g_malloc0(FRAME_MAX), *l2 = frame + w->vnet_len, *tcp, *p;
    uint8_t opts[44];
    unsigned opt_len = put_tcp_options(w, from, s, opts), tcp_len = 20 + opt_len;
    uint32_t payload_len = s->end - s->seq, l4_len = tcp_len + payload_len;
    unsigned l3_off, l4_off = build_l2_l3(w, from, s, l4_len, l2, &l3_off);
    bool syn = s->flags & VNX_TCP_SYN, ack = s->flags & VNX_TCP_ACK;
    unsigned guest_port = 10000 + w->conn->number, net_port = 80;

    if ((s->partial || s->gso || s->data_valid) && !w->vnet_len) {
        g_free(frame);
        fail(w, "script: that needs a virtio-net header: say vnet first");
    }
    if (w->vnet_len) {
        put_vnet(w, frame, s, l4_off, tcp_len);
    }
    tcp = p = l2 + l4_off;
    p = put16(p, from == GUEST ? guest_port : net_port);
    p = put16(p, from == GUEST ? net_port : guest_port);
    p = put32(p, me->isn + s->seq);
    p = put32(p, ack ? other->isn + (uint32_t)s->ack.v : 0);
    p = put16(p, (tcp_len / 4) << 12 | s->flags);
    p = put16(p, s->win.v >> (syn ? 0 : me->shift));
    p = put16(put16(p, 0), s->urgent);
    memcpy(p, opts, opt_len);
    p += opt_len;
    for (uint32_t i = 0; i < payload_len; i++) {
        *p++ = payload_byte(from, s->seq + i) ^ (s->corrupt ? 0xff : 0);
    }
    if (s->partial || s->gso) {
        put16(tcp + 16, slow_sum(NULL, 0, pseudo_sum(w->family, l2 + l3_off, l4_len, 6)));
    } else {
        uint16_t sum = ~slow_sum(tcp, l4_len, pseudo_sum(w->family, l2 + l3_off, l4_len,
                                                         protocol(s)));

        put16(tcp + 16, sum ^ (s->bad_csum || s->data_valid ? 0x5555 : 0));
    }
    p += s->pad;
    *size = p - frame - MIN(s->cut, p - frame);
    return frame;
}

uint8_t *build_frame(World *w, Side from, const Seg *s, size_t *size)
{
    if (s->icmp) {
        return build_icmp(w, from, s, size);
    }
    return build_segment(w, from, s, size);
}
