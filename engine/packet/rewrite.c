/*
 * vnx: rewriting of TCP headers
 *
 * Changes VnxPacket.head and the field of VnxPacket together, and the TCP
 * checksum with them.  With NEEDS_CSUM the checksum field holds only the sum of
 * the pseudo header, which no rewrite here touches; otherwise it is updated
 * incrementally, so that a checksum that was wrong stays wrong.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/packet/packet-private.h"

/*
 * Replace @len bytes at @off of head, inside the TCP header but clear of its
 * checksum.  Options may start at odd offsets: the sums are taken from the word
 * that holds the first byte.
 */
static void replace(VnxPacket *p, unsigned off, const uint8_t *bytes, unsigned len)
{
    unsigned start = off - ((off - p->l4_off) & 1);
    unsigned n = off + len - start;
    uint8_t *field = p->head + p->l4_off + TCP_CHECKSUM;
    uint32_t old_sum = vnx_csum_partial(p->head + start, n, 0);
    uint16_t csum;

    memcpy(p->head + off, bytes, len);
    if (!(p->vnet.flags & VNX_VNET_F_NEEDS_CSUM)) {
        memcpy(&csum, field, 2);
        csum = vnx_csum_update32(csum, old_sum, vnx_csum_partial(p->head + start, n, 0));
        memcpy(field, &csum, 2);
    }
}

void vnx_packet_set_seq(VnxPacket *p, uint32_t seq)
{
    uint8_t b[4];

    store_be32(b, seq);
    replace(p, p->l4_off + TCP_SEQ, b, sizeof(b));
    p->seq = seq;
}

void vnx_packet_set_ack(VnxPacket *p, uint32_t ack)
{
    uint8_t b[4];

    store_be32(b, ack);
    replace(p, p->l4_off + TCP_ACK, b, sizeof(b));
    p->ack = ack;
}

void vnx_packet_set_window(VnxPacket *p, uint16_t window)
{
    uint8_t b[2];

    store_be16(b, window);
    replace(p, p->l4_off + TCP_WINDOW, b, sizeof(b));
    p->window = window;
}

void vnx_packet_set_flags(VnxPacket *p, uint16_t flags)
{
    unsigned off = p->l4_off + TCP_OFFSET_FLAGS;
    uint8_t b[2];

    store_be16(b, (load_be16(p->head + off) & ~0x1ff) | flags);
    replace(p, off, b, sizeof(b));
    if (!(flags & VNX_TCP_CWR) && p->vnet.gso_type & VNX_VNET_GSO_ECN) {
        p->vnet.gso_type &= ~VNX_VNET_GSO_ECN;
        p->head[1] = p->vnet.gso_type;
    }
    p->flags = flags;
}

void vnx_packet_set_ts(VnxPacket *p, uint32_t tsval, uint32_t tsecr)
{
    uint8_t b[8];

    if (!p->ts_off) {
        return;
    }
    store_be32(b, tsval);
    store_be32(b + 4, tsecr);
    replace(p, p->ts_off, b, sizeof(b));
    p->tsval = tsval;
    p->tsecr = tsecr;
}

void vnx_packet_clear_sack(VnxPacket *p)
{
    uint8_t nops[2 + 8 * VNX_SACK_MAX];

    if (!p->sack_off) {
        return;
    }
    memset(nops, TCP_KIND_NOP, sizeof(nops));
    replace(p, p->sack_off, nops, 2 + 8 * p->n_sack);
    p->n_sack = 0;
    p->sack_off = 0;
    p->options &= ~VNX_OPT_SACK;
}

unsigned vnx_packet_out_iov(const VnxPacket *p, struct iovec *out)
{
    size_t off = p->payload_off;
    unsigned n = 1;

    out[0].iov_base = (void *)p->head;
    out[0].iov_len = p->payload_off;
    for (unsigned i = 0; i < p->iovcnt; i++) {
        size_t len = p->iov[i].iov_len;

        if (off >= len) {
            off -= len;
            continue;
        }
        out[n].iov_base = (uint8_t *)p->iov[i].iov_base + off;
        out[n].iov_len = len - off;
        n++;
        off = 0;
    }
    return n;
}
