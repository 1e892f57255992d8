/*
 * vnx simulation: frames; see vnet.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "vnet.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, ECE = 64, CWR = 128 };
enum { F_NEEDS_CSUM = 1, F_DATA_VALID = 2, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_ECN = 0x80 };

static uint16_t be16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)be16(p) << 16 | be16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = v >> 8;
    p[1] = v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v);
}

static uint16_t le16(const uint8_t *p)
{
    return p[1] << 8 | p[0];
}

static void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = v;
    p[1] = v >> 8;
}

static uint32_t sum16(const uint8_t *data, size_t len, uint32_t sum)
{
    for (size_t i = 0; i + 1 < len; i += 2) {
        sum += be16(data + i);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    if (len & 1) {
        sum += data[len - 1] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

uint16_t sim_checksum(const uint8_t *data, size_t len, uint32_t sum)
{
    return ~sum16(data, len, sum);
}

uint32_t sim_pseudo_sum(const uint8_t *packet, size_t l4_len)
{
    uint32_t sum =
        packet[0] >> 4 == 4 ? sum16(packet + 12, 8, 0) : sum16(packet + 8, 32, 0);

    sum += (l4_len >> 16) + (l4_len & 0xffff) + 6;
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

SimTcp sim_tcp_read(const uint8_t *packet, size_t len)
{
    SimTcp t = { .wscale = -1, .mss = -1 };
    size_t offset;

    if (len >= 20 && packet[0] >> 4 == 4) {
        t.l4 = (packet[0] & 15) * 4;
        t.ip_len = be16(packet + 2);
        if (t.l4 < 20 || packet[9] != 6 || (be16(packet + 6) & 0x3fff)) {
            return t;
        }
    } else if (len >= 40 && packet[0] >> 4 == 6) {
        t.l4 = 40;
        t.ip_len = 40 + be16(packet + 4);
        if (packet[6] != 6) {
            return t;
        }
    } else {
        return t;
    }
    t.ip_version = packet[0] >> 4;
    if (t.ip_len > len || t.l4 + 20 > t.ip_len) {
        return t;
    }
    packet += t.l4;
    t.payload = t.l4 + (packet[12] >> 4) * 4;
    if (t.payload < t.l4 + 20 || t.payload > t.ip_len) {
        return t;
    }
    t.valid = true;
    t.payload_len = t.ip_len - t.payload;
    t.sport = be16(packet);
    t.dport = be16(packet + 2);
    t.seq = be32(packet + 4);
    t.ack = be32(packet + 8);
    t.flags = packet[13];
    t.window = be16(packet + 14);
    for (offset = 20; offset < t.payload - t.l4 && packet[offset] != 0;) {
        const uint8_t *o = packet + offset;
        size_t room = t.payload - t.l4 - offset;

        if (o[0] == 1) {
            offset++;
            continue;
        }
        if (room < 2 || o[1] < 2 || o[1] > room) {
            break;
        }
        if (o[0] == 2 && o[1] == 4) {
            t.mss = be16(o + 2);
        } else if (o[0] == 3 && o[1] == 3) {
            t.wscale = o[2];
        } else if (o[0] == 8 && o[1] == 10) {
            t.has_ts = true;
            t.tsval = be32(o + 2);
            t.tsecr = be32(o + 6);
        } else if (o[0] == 5) {
            for (size_t i = 2; i + 8 <= o[1] && t.n_sack < 4; i += 8) {
                t.sack[t.n_sack][0] = be32(o + i);
                t.sack[t.n_sack++][1] = be32(o + i + 4);
            }
        }
        offset += o[1];
    }
    return t;
}

bool sim_tcp_checksum_ok(const uint8_t *packet, const SimTcp *t)
{
    size_t l4_len = t->ip_len - t->l4;

    return sim_checksum(packet + t->l4, l4_len, sim_pseudo_sum(packet, l4_len)) == 0;
}

uint8_t sim_ecn_field(const uint8_t *packet)
{
    return packet[0] >> 4 == 4 ? packet[1] & 3 : packet[1] >> 4 & 3;
}

void sim_ecn_mark(uint8_t *packet, uint8_t field)
{
    if (packet[0] >> 4 == 6) {
        packet[1] |= field << 4;
        return;
    }
    packet[1] |= field;
    put16(packet + 10, 0);
    put16(packet + 10, sim_checksum(packet, (packet[0] & 15) * 4, 0));
}

void sim_tcp_mark(uint8_t *packet, const SimTcp *t, uint8_t flags, uint8_t field)
{
    uint8_t *tcp = packet + t->l4;
    size_t l4_len = t->ip_len - t->l4;

    sim_ecn_mark(packet, field);
    tcp[13] |= flags;
    put16(tcp + 16, 0);
    put16(tcp + 16, sim_checksum(tcp, l4_len, sim_pseudo_sum(packet, l4_len)));
}

size_t sim_wire_len(const SimFrame *f, size_t vnet_len)
{
    const uint8_t *packet = f->data + sim_vnet_l3(f->data, f->len, vnet_len);
    SimTcp t = sim_tcp_read(packet, f->data + f->len - packet);

    if (!t.valid) {
        return 0;
    }
    return vnet_len && f->data[1] ? t.payload + le16(f->data + 4) : t.ip_len;
}

SimFrame *sim_too_big(const SimFrame *f, size_t vnet_len, const SimL2 *l2, uint32_t mtu)
{
    const uint8_t *packet = f->data + sim_vnet_l3(f->data, f->len, vnet_len);
    bool v4 = packet[0] >> 4 == 4;
    size_t ip = v4 ? 20 : 40, quoted = ip + 8, header = vnet_len + l2->len + 2;
    SimFrame *report = sim_frame_new(header + ip + 8 + quoted);
    uint8_t *out = report->data + header, *icmp = out + ip;

    memset(report->data, 0, report->len);
    memcpy(report->data + vnet_len, l2->bytes, l2->len);
    put16(out - 2, v4 ? 0x0800 : 0x86dd);
    out[0] = v4 ? 0x45 : 0x60;
    put32(icmp + 4, mtu);
    memcpy(icmp + 8, packet, quoted);
    if (v4) {
        out[8] = 60;
        out[9] = 1;
        put32(out + 12, 0x0afe0001);            /* the router */
        memcpy(out + 16, packet + 12, 4);
        put16(out + 2, ip + 8 + quoted);
        put16(out + 10, sim_checksum(out, 20, 0));
        icmp[0] = 3;
        icmp[1] = 4;
        put16(icmp + 2, sim_checksum(icmp, 8 + quoted, 0));
    } else {
        put16(out + 4, 8 + quoted);
        out[6] = 58;
        out[7] = 60;
        memcpy(out + 8, packet + 24, 16);       /* any address will do */
        memcpy(out + 24, packet + 8, 16);
        icmp[0] = 2;
        put16(icmp + 2, sim_checksum(icmp, 8 + quoted,
                                     sum16(out + 8, 32, 8 + quoted + 58)));
    }
    return report;
}

SimL2 sim_l2(bool to_net, unsigned n_vlans)
{
    static const uint8_t guest[6] = { 0x52, 0x54, 0, 1, 2, 3 };
    static const uint8_t net[6] = { 0x52, 0x54, 0, 4, 5, 6 };
    SimL2 l2 = { .len = 12 };

    memcpy(l2.bytes, to_net ? net : guest, 6);
    memcpy(l2.bytes + 6, to_net ? guest : net, 6);
    for (unsigned i = 0; i < n_vlans; i++) {
        put16(l2.bytes + l2.len, n_vlans == 2 && i == 0 ? 0x88a8 : 0x8100);
        put16(l2.bytes + l2.len + 2, 100 + i);
        l2.len += 4;
    }
    return l2;
}

size_t sim_vnet_l3(const uint8_t *frame, size_t len, size_t vnet_len)
{
    size_t at = vnet_len + 12;

    while (at + 2 <= len && (be16(frame + at) == 0x8100 || be16(frame + at) == 0x88a8)) {
        at += 4;
    }
    return at + 2;
}

bool sim_vnet_vouched(const uint8_t *frame, size_t vnet_len)
{
    return vnet_len && (frame[0] & (F_NEEDS_CSUM | F_DATA_VALID));
}

/* ---- merging ---- */

static void set_ip_len(uint8_t *packet, size_t len)
{
    if (packet[0] >> 4 == 4) {
        size_t header = (packet[0] & 15) * 4;

        put16(packet + 2, len);
        put16(packet + 10, 0);
        put16(packet + 10, sim_checksum(packet, header, 0));
    } else {
        put16(packet + 4, len - 40);
    }
}

void sim_merge_flush(SimMerger *m)
{
    size_t header = m->vnet_len + m->l2.len + 2;
    SimTcp t;
    SimFrame *f;
    uint8_t *packet;
    size_t size;

    if (!m->packet) {
        return;
    }
    size = header + m->len;
    f = sim_frame_new(m->pad ? MAX(size, m->vnet_len + 60) : size);
    memset(f->data, 0, m->vnet_len);
    memset(f->data + size, 0, f->len - size);
    memcpy(f->data + m->vnet_len, m->l2.bytes, m->l2.len);
    put16(f->data + header - 2, m->packet[0] >> 4 == 4 ? 0x0800 : 0x86dd);
    packet = f->data + header;
    memcpy(packet, m->packet, m->len);
    g_free(m->packet);
    m->packet = NULL;

    if (m->segments > 1) {
        set_ip_len(packet, m->len);
    }
    t = sim_tcp_read(packet, m->len);
    if (t.valid && m->vnet_len && m->offload.csum) {
        if (m->received && m->segments == 1) {
            f->data[0] = F_DATA_VALID;
        } else {
            f->data[0] = F_NEEDS_CSUM;
            put_le16(f->data + 6, header - m->vnet_len + t.l4);
            put_le16(f->data + 8, 16);
            put16(packet + t.l4 + 16, sim_pseudo_sum(packet, m->len - t.l4));
        }
    }
    if (m->segments > 1) {
        f->data[1] = (t.ip_version == 4 ? GSO_TCPV4 : GSO_TCPV6) |
                     (t.flags & CWR ? GSO_ECN : 0);
        put_le16(f->data + 2, header - m->vnet_len + t.payload);
        put_le16(f->data + 4, m->gso_size);
    }
    m->send(m->opaque, f);
}

static bool mergeable(const SimMerger *m, const SimTcp *t)
{
    return m->vnet_len && m->offload.csum && t->valid &&
           (t->ip_version == 4 ? m->offload.tso4 : m->offload.tso6) &&
           t->payload_len > 0 && !(t->flags & (SYN | RST | 0x20)) &&
           (m->offload.ecn || !(t->flags & CWR));
}

static bool fits_behind(const SimMerger *m, const uint8_t *packet, const SimTcp *t)
{
    SimTcp head = sim_tcp_read(m->packet, m->len);
    size_t header = t->payload;

    if (m->segments > 1) {
        /* the length field of a packet that grows is stale */
        head.payload_len = m->len - head.payload;
    }
    return mergeable(m, &head) && mergeable(m, t) && head.payload == header &&
           head.sport == t->sport && head.dport == t->dport &&
           head.ip_version == t->ip_version && head.seq + head.payload_len == t->seq &&
           head.ack == t->ack && head.window == t->window &&
           !(head.flags & (PSH | FIN)) && !(t->flags & CWR) &&
           !((head.flags ^ t->flags) & ECE) &&
           sim_ecn_field(m->packet) == sim_ecn_field(packet) && t->payload_len <= m->gso_size &&
           head.payload_len % m->gso_size == 0 && m->len + t->payload_len <= m->max &&
           memcmp(m->packet + head.l4 + 20, packet + t->l4 + 20, header - t->l4 - 20) ==
               0 &&
           memcmp(m->packet + (t->ip_version == 4 ? 12 : 8),
                  packet + (t->ip_version == 4 ? 12 : 8),
                  t->ip_version == 4 ? 8 : 32) == 0;
}

void sim_merge(SimMerger *m, const uint8_t *packet, size_t len)
{
    SimTcp t = sim_tcp_read(packet, len);

    if (m->packet && fits_behind(m, packet, &t)) {
        m->packet = g_realloc(m->packet, m->len + t.payload_len);
        memcpy(m->packet + m->len, packet + t.payload, t.payload_len);
        m->packet[t.l4 + 13] |= t.flags & (PSH | FIN);
        m->len += t.payload_len;
        m->segments++;
        return;
    }
    sim_merge_flush(m);
    m->packet = g_memdup2(packet, len);
    m->len = len;
    m->segments = 1;
    m->gso_size = MAX(1, t.payload_len);
}

/* ---- cutting ---- */

static const char *cut_gso(const uint8_t *packet, const SimTcp *t, size_t gso_size,
                           size_t mtu, void (*deliver)(void *, const uint8_t *, size_t),
                           void *opaque)
{
    uint8_t *out = g_malloc(t->payload + gso_size);
    unsigned i = 0;

    if (t->payload + gso_size > mtu) {
        g_free(out);
        return "GSO size above the MTU";
    }
    for (size_t at = 0; at < t->payload_len; at += gso_size, i++) {
        size_t n = MIN(gso_size, t->payload_len - at);
        size_t l4_len = t->payload - t->l4 + n;
        bool last = at + n == t->payload_len;
        uint8_t *tcp = out + t->l4;

        memcpy(out, packet, t->payload);
        memcpy(out + t->payload, packet + t->payload + at, n);
        if (t->ip_version == 4) {
            put16(out + 4, be16(out + 4) + i);
        }
        set_ip_len(out, t->payload + n);
        put32(tcp + 4, t->seq + at);
        tcp[13] = t->flags & ~((last ? 0 : PSH | FIN) | (i ? CWR : 0));
        put16(tcp + 16, 0);
        put16(tcp + 16, sim_checksum(tcp, l4_len, sim_pseudo_sum(out, l4_len)));
        deliver(opaque, out, t->payload + n);
    }
    g_free(out);
    return NULL;
}

const char *sim_cut(const SimFrame *f, size_t vnet_len, const SimL2 *l2,
                    SimOffload offload, size_t mtu,
                    void (*deliver)(void *opaque, const uint8_t *packet, size_t len),
                    void *opaque)
{
    size_t header = vnet_len + l2->len + 2;
    uint8_t flags = vnet_len ? f->data[0] : 0;
    uint8_t gso_type = vnet_len ? f->data[1] : 0;
    const uint8_t *packet = f->data + header;
    size_t len = f->len - header;
    const char *error = NULL;
    uint8_t *copy;
    size_t l4_len;
    SimTcp t;

    if (f->len < header + 20 || memcmp(f->data + vnet_len, l2->bytes, l2->len) != 0) {
        return "not the Ethernet header of this link";
    }
    if (be16(packet - 2) != (packet[0] >> 4 == 4 ? 0x0800 : 0x86dd)) {
        return NULL;            /* the version was flipped on the way */
    }
    t = sim_tcp_read(packet, len);
    if (gso_type == 0 && t.valid && t.ip_len > mtu) {
        return "packet above the MTU";
    }
    if (!(flags & F_NEEDS_CSUM)) {
        if (gso_type) {
            return "GSO without NEEDS_CSUM";
        }
        deliver(opaque, packet, len);
        return NULL;
    }
    if (!offload.csum) {
        return "partial checksum not offered";
    }
    if (!t.valid) {
        return "partial checksum on what is not TCP";
    }
    l4_len = t.ip_len - t.l4;
    if (le16(f->data + 6) != l2->len + 2 + t.l4 || le16(f->data + 8) != 16) {
        return "csum_start or csum_offset wrong";
    }
    if (be16(packet + t.l4 + 16) != sim_pseudo_sum(packet, l4_len)) {
        return "partial checksum wrong";
    }
    if (gso_type) {
        size_t gso_size = le16(f->data + 4);

        if (!(gso_type & GSO_ECN) != !(t.flags & CWR) ||
            (gso_type & GSO_ECN && !offload.ecn)) {
            return "GSO with CWR, but not GSO_ECN, or that not offered";
        }
        if ((gso_type & ~GSO_ECN) != (t.ip_version == 4 ? GSO_TCPV4 : GSO_TCPV6) ||
            !(t.ip_version == 4 ? offload.tso4 : offload.tso6)) {
            return "GSO type wrong or not offered";
        }
        if (le16(f->data + 2) != l2->len + 2 + t.payload) {
            return "hdr_len wrong";
        }
        if (gso_size == 0) {
            return "GSO size 0";
        }
        return cut_gso(packet, &t, gso_size, mtu, deliver, opaque);
    }
    copy = g_memdup2(packet, t.ip_len);
    put16(copy + t.l4 + 16, 0);
    put16(copy + t.l4 + 16,
          sim_checksum(copy + t.l4, l4_len, sim_pseudo_sum(copy, l4_len)));
    deliver(opaque, copy, t.ip_len);
    g_free(copy);
    return error;
}
