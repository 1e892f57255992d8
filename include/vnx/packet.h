/*
 * vnx: packets - parse once, keep offsets, rewrite and build headers
 *
 * A frame is an iovec list that somebody else owns: an optional virtio-net
 * header (0, 10, 12 or 20 bytes), an Ethernet header with up to two VLAN tags,
 * IPv4 or IPv6, TCP, payload.  vnx_packet_parse() checks every length once and
 * copies the headers, never the payload, into VnxPacket.head; from then on
 * nobody casts raw bytes.  Everything in VnxPacket is in host byte order.
 *
 * Rewriting changes only the copy in VnxPacket.head and keeps the TCP checksum
 * right (RFC 1624 for a full checksum; a partial one, VNX_VNET_F_NEEDS_CSUM,
 * covers only the pseudo header and does not change).  The changed frame is
 * then head + the untouched rest of the frame: vnx_packet_out_iov().
 *
 * Not here: reassembly of IP fragments (they are reported, and passed on by
 * the callers), tunnels, UDP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_PACKET_H
#define VNX_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vnx/flow-key.h>

/* virtio_net_hdr, VIRTIO 1.2 section 5.1.6 */
#define VNX_VNET_F_NEEDS_CSUM   1
#define VNX_VNET_F_DATA_VALID   2
#define VNX_VNET_GSO_NONE       0
#define VNX_VNET_GSO_TCPV4      1
#define VNX_VNET_GSO_UDP        3
#define VNX_VNET_GSO_TCPV6      4
#define VNX_VNET_GSO_UDP_L4     5
#define VNX_VNET_GSO_ECN        0x80

#define VNX_TCP_FIN 0x01
#define VNX_TCP_SYN 0x02
#define VNX_TCP_RST 0x04
#define VNX_TCP_PSH 0x08
#define VNX_TCP_ACK 0x10
#define VNX_TCP_URG 0x20
#define VNX_TCP_ECE 0x40
#define VNX_TCP_CWR 0x80
#define VNX_TCP_AE  0x100       /* the former NS bit, AccECN */

/* ECN field of the IP header, RFC 3168 5 */
#define VNX_ECN_NOT_ECT 0
#define VNX_ECN_ECT1 1
#define VNX_ECN_ECT0 2
#define VNX_ECN_CE 3

/* Headers longer than this (virtio-net header included) are not parsed. */
#define VNX_HEAD_MAX 320
/* The longest L2 + L3 header a template can hold. */
#define VNX_TEMPLATE_MAX 160
/* The longest output of vnx_headers_build(): vnet 20 + template + TCP 60. */
#define VNX_BUILD_MAX (20 + VNX_TEMPLATE_MAX + 60)
#define VNX_SACK_MAX 4

/* What travels where.  A direction is named after its destination, and has
 * the number of the side that receives: data of direction d goes to side d. */
typedef enum VnxDir {
    VNX_TO_GUEST = 0,
    VNX_TO_NET = 1,
} VnxDir;

typedef struct VnxVnetHdr {
    uint8_t flags;              /* VNX_VNET_F_* */
    uint8_t gso_type;           /* VNX_VNET_GSO_* */
    uint16_t hdr_len;
    uint16_t gso_size;
    uint16_t csum_start;        /* from the start of the Ethernet header */
    uint16_t csum_offset;
} VnxVnetHdr;

typedef struct VnxSackBlock {
    uint32_t start;             /* first sequence number of the block */
    uint32_t end;               /* the one after its last */
} VnxSackBlock;

/* TCP options that make a flow unfit for acceleration, or that are of note. */
typedef enum VnxTcpOptionFlags {
    VNX_OPT_MSS = 1 << 0,
    VNX_OPT_WSCALE = 1 << 1,
    VNX_OPT_SACK_PERMITTED = 1 << 2,
    VNX_OPT_TIMESTAMP = 1 << 3,
    VNX_OPT_SACK = 1 << 4,
    VNX_OPT_MD5 = 1 << 5,       /* kind 19 */
    VNX_OPT_AO = 1 << 6,        /* kind 29 */
    VNX_OPT_MPTCP = 1 << 7,     /* kind 30 */
    VNX_OPT_FASTOPEN = 1 << 8,  /* kind 34 */
    VNX_OPT_ACCECN = 1 << 9,    /* kinds 172, 174 */
    VNX_OPT_UNKNOWN = 1 << 10,  /* any kind not listed here (EOL, NOP aside) */
    VNX_OPT_MALFORMED = 1 << 11 /* a length that does not fit; parsing stopped */
} VnxTcpOptionFlags;

typedef enum VnxParse {
    VNX_PARSE_TCP,              /* a whole TCP segment (or GSO super-segment) */
    VNX_PARSE_OTHER,            /* sound as far as looked at, but not TCP */
    VNX_PARSE_FRAGMENT,         /* an IP fragment; the L4 fields are not set */
    VNX_PARSE_TRUNCATED,        /* the frame ends before a header or length says */
    VNX_PARSE_MALFORMED,        /* a field contradicts another */
    VNX_PARSE_TOO_LONG          /* headers beyond VNX_HEAD_MAX or VNX_TEMPLATE_MAX */
} VnxParse;

typedef struct VnxPacket {
    /* the frame, borrowed from the caller of vnx_packet_parse() */
    const struct iovec *iov;
    unsigned iovcnt;
    size_t size;                /* bytes in iov, virtio-net header included */

    uint16_t vnet_len;          /* 0, 10, 12 or 20 */
    /* offsets into head (and into the frame), virtio-net header included */
    uint16_t l3_off;
    uint16_t l4_off;
    uint16_t payload_off;
    uint8_t ip_version;         /* 4 or 6 */
    uint8_t dscp_ecn;           /* the TOS byte or traffic class */
    uint32_t payload_len;       /* TCP payload by the IP length (padding excluded) */

    VnxVnetHdr vnet;            /* all zero when vnet_len is 0 */
    VnxFlowKey key;             /* sides by the direction given to parse */

    /* TCP */
    uint32_t seq;
    uint32_t ack;
    uint16_t flags;             /* VNX_TCP_* */
    uint16_t window;            /* as on the wire, unscaled */
    uint16_t urgent;
    uint16_t options;           /* VNX_OPT_* */
    uint16_t mss;               /* valid with VNX_OPT_MSS */
    uint8_t wscale;             /* valid with VNX_OPT_WSCALE; capped to 14 (RFC 7323 2.3) */
    uint8_t n_sack;
    uint16_t ts_off;            /* offset of TSval in head; 0 without timestamps */
    uint16_t sack_off;          /* offset of the SACK option's kind byte; 0 without */
    uint32_t tsval;
    uint32_t tsecr;
    VnxSackBlock sack[VNX_SACK_MAX];

    uint8_t head[VNX_HEAD_MAX]; /* copy of everything before the payload */
} VnxPacket;

/*
 * Parse a frame.
 * @iov, @iovcnt: the frame with its virtio-net header; borrowed while @p lives.
 * @vnet_len: length of the virtio-net header: 0, 10, 12 or 20 (fields little endian).
 * @dir: where the frame goes, which decides what side of the key is the guest.
 * Returns VNX_PARSE_TCP with all of @p valid; otherwise why not, with @p's
 * fields valid up to the layer that parsed (ip_version is 0 if none did).
 * Lengths: an IPv4 total length or IPv6 payload length of 0 is taken from the
 * frame only when vnet.gso_type is a TCP one (BIG TCP); a GSO type
 * that contradicts the IP version, or NEEDS_CSUM whose csum_start/csum_offset is
 * not the TCP checksum, is MALFORMED.
 */
VnxParse vnx_packet_parse(VnxPacket *p, const struct iovec *iov, unsigned iovcnt,
                          size_t vnet_len, VnxDir dir);

/* An ICMP message that a TCP segment was too big for a link on its way. */
typedef struct VnxTooBig {
    VnxFlowKey key;             /* of the segment */
    uint32_t seq;               /* where it began */
    uint32_t mtu;               /* of the link, for the IP packet */
} VnxTooBig;

/*
 * @p: a packet of direction @dir that is VNX_PARSE_OTHER.
 * Returns true, with @too_big filled in, if it is an ICMP "fragmentation needed" (RFC 1191)
 * or ICMPv6 "packet too big" (RFC 8201) that quotes a TCP segment; that one went
 * in the other direction.  Nothing but its checksum is verified here: see RFC 5927.
 */
bool vnx_packet_too_big(const VnxPacket *p, VnxDir dir, VnxTooBig *too_big);

/* The ECN field, VNX_ECN_*. */
static inline uint8_t vnx_packet_ecn(const VnxPacket *p)
{
    return p->dscp_ecn & 3;
}

/* Sequence space that the segment takes: payload + SYN + FIN. */
uint32_t vnx_packet_seq_len(const VnxPacket *p);

/*
 * True when the TCP checksum is right, or when the virtio-net header vouches
 * for it (NEEDS_CSUM or DATA_VALID).  Reads the whole payload otherwise.
 * A GSO packet without either flag is not vouched for: false.
 */
bool vnx_packet_csum_ok(const VnxPacket *p);

/* True when the IPv4 header checksum is right; always true for IPv6. */
bool vnx_packet_ip_csum_ok(const VnxPacket *p);

/* Copy @len payload bytes, from payload offset @off, to @dst.  The caller keeps
 * off + len <= payload_len. */
void vnx_packet_copy_payload(const VnxPacket *p, size_t off, size_t len, void *dst);

/* Rewrites, in head and in the field of @p; the checksum follows. */
void vnx_packet_set_seq(VnxPacket *p, uint32_t seq);
void vnx_packet_set_ack(VnxPacket *p, uint32_t ack);
void vnx_packet_set_window(VnxPacket *p, uint16_t window);
/* VNX_TCP_*; CWR may only be taken away, and GSO_ECN of the virtio-net header with it. */
void vnx_packet_set_flags(VnxPacket *p, uint16_t flags);
/* Only with VNX_OPT_TIMESTAMP; no effect otherwise. */
void vnx_packet_set_ts(VnxPacket *p, uint32_t tsval, uint32_t tsecr);
/* Overwrites the SACK option, if there is one, with NOPs; clears n_sack, sack_off and
 * VNX_OPT_SACK. */
void vnx_packet_clear_sack(VnxPacket *p);

/*
 * The packet as it is now: head up to the payload, then the rest of the frame
 * (the payload, and the padding of a short frame).
 * @out: room for at least p->iovcnt + 1 entries.
 * Returns the entries used; the memory stays that of @p and of its frame.
 */
unsigned vnx_packet_out_iov(const VnxPacket *p, struct iovec *out);

/* ---- Checksums (RFC 1071, 1624).  Sums are unfolded, in network byte order. ---- */

/* Add @len bytes to @sum (start with 0).  The bytes are taken to start at an even
 * offset of the summed data. */
uint32_t vnx_csum_partial(const void *buf, size_t len, uint32_t sum);
/* Same over an iovec, from byte @off on; odd piece lengths are handled. */
uint32_t vnx_csum_iov(const struct iovec *iov, unsigned iovcnt, size_t off, size_t len,
                      uint32_t sum);
/* Fold and complement: the value to store (already in network byte order as memory). */
uint16_t vnx_csum_fold(uint32_t sum);
/* RFC 1624 eqn. 3: @csum, and old and new value, as in memory (network order). */
uint16_t vnx_csum_update16(uint16_t csum, uint16_t old_val, uint16_t new_val);
uint16_t vnx_csum_update32(uint16_t csum, uint32_t old_val, uint32_t new_val);

/* ---- Building ---- */

/* L2 and L3 headers, and the ports, of the newest frame of one direction. */
typedef struct VnxHeaders {
    uint8_t bytes[VNX_TEMPLATE_MAX]; /* Ethernet .. end of L3 */
    uint8_t l3_off;
    uint8_t len;                /* L2 + L3; 0 = nothing learnt yet */
    uint8_t ip_version;
    uint16_t sport;
    uint16_t dport;
} VnxHeaders;

/* Take the headers of @p (a VNX_PARSE_TCP packet).  ECN bits are learnt as zero. */
void vnx_headers_learn(VnxHeaders *h, const VnxPacket *p);

typedef struct VnxBuild {
    uint32_t seq;
    uint32_t ack;
    uint16_t flags;             /* VNX_TCP_* */
    uint16_t window;            /* as on the wire */
    bool timestamp;             /* put a timestamp option (NOP NOP TS, 12 bytes) */
    uint32_t tsval;
    uint32_t tsecr;
    uint8_t n_sack;             /* SACK blocks: at most 3 with a timestamp, else 4 */
    VnxSackBlock sack[VNX_SACK_MAX];

    uint8_t vnet_len;           /* virtio-net header to write: 0, 10, 12 or 20 */
    bool csum_partial;          /* leave the TCP checksum to the receiver (needs vnet_len) */
    uint16_t gso_size;          /* not 0: a GSO frame of this MSS (needs csum_partial) */
    uint16_t ip_id;             /* IPv4 identification */
    uint8_t ecn;                /* VNX_ECN_* */
    const struct iovec *payload; /* summed unless csum_partial */
    unsigned payload_cnt;
    uint32_t payload_len;
} VnxBuild;

/* Bytes that vnx_headers_build() will write for @b, vnet header included. */
size_t vnx_headers_build_len(const VnxHeaders *h, const VnxBuild *b);

/*
 * Write virtio-net header, L2, L3 and TCP header for @b to @out, lengths and
 * checksums right for b->payload behind it.  An IPv4 total length or IPv6
 * payload length that does not fit 16 bits is written as 0.
 * @out: VNX_BUILD_MAX bytes of room.
 * Returns the bytes written.
 */
size_t vnx_headers_build(const VnxHeaders *h, const VnxBuild *b, uint8_t *out);

#endif /* VNX_PACKET_H */
