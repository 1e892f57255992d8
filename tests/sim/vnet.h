/*
 * vnx simulation: frames - Ethernet, virtio-net header, cutting and merging
 *
 * What a guest's stack with TSO, and a tap, do around vTCP.  Written apart
 * from engine/packet and sharing nothing with it, so that each checks the other.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_VNET_H
#define SIM_VNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"

typedef struct SimL2 {
    uint8_t bytes[22];          /* up to two VLAN tags; the EtherType comes behind */
    size_t len;                 /* without the EtherType */
} SimL2;

/* What the receiver of a direction takes, or the sender may hand out. */
typedef struct SimOffload {
    bool csum, tso4, tso6;
    bool ecn;                   /* GSO frames with CWR in the first segment */
} SimOffload;

/* Offset of the IP header of a frame that the harness made. */
size_t sim_vnet_l3(const uint8_t *frame, size_t len, size_t vnet_len);
/* True when the virtio-net header says that no checksum needs to be looked at. */
bool sim_vnet_vouched(const uint8_t *frame, size_t vnet_len);

/*
 * IP packets, as a stack put them out in one go, to frames: consecutive segments become
 * one GSO frame where @offload lets them (as TSO would), and checksums are left partial
 * or vouched for.
 */
typedef struct SimMerger {
    SimL2 l2;
    size_t vnet_len;
    SimOffload offload;
    bool received;              /* as a tap's frames look, not a guest's */
    bool pad;                   /* short frames to Ethernet's minimum */
    size_t max;                 /* bytes of a GSO frame's IP packet, <= 65535 */
    void (*send)(void *opaque, SimFrame *f);
    void *opaque;
    /* the packet that grows */
    uint8_t *packet;
    size_t len;
    unsigned segments;
    size_t gso_size;
} SimMerger;

void sim_merge(SimMerger *m, const uint8_t *packet, size_t len);
void sim_merge_flush(SimMerger *m);

/*
 * A frame to the IP packets that it stands for, checksums complete.
 * @l2: the frame's Ethernet header must be this one, else nothing is delivered.
 * Returns NULL, or what is wrong with the frame: a partial checksum that is none, GSO
 * fields that contradict the packet, an offload that was not in @offload, a
 * packet above @mtu.
 */
const char *sim_cut(const SimFrame *f, size_t vnet_len, const SimL2 *l2,
                    SimOffload offload, size_t mtu,
                    void (*deliver)(void *opaque, const uint8_t *packet, size_t len),
                    void *opaque);

/* Ethernet header between the guest and the net, seen in direction @to_net. */
SimL2 sim_l2(bool to_net, unsigned n_vlans);

/* RFC 1071 over @len bytes; the result is what belongs into the field. */
uint16_t sim_checksum(const uint8_t *data, size_t len, uint32_t sum);

/* ---- reading TCP, for cutting, merging, tracing and checking ---- */
typedef struct SimTcp {
    bool valid;                 /* TCP, unfragmented, lengths consistent */
    uint8_t ip_version;
    size_t l4;                  /* offsets into the packet */
    size_t payload;
    size_t payload_len;
    size_t ip_len;
    uint16_t sport, dport;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    bool has_ts;
    uint32_t tsval, tsecr;
    int wscale;                 /* -1: none */
    int mss;                    /* -1: none */
    unsigned n_sack;
    uint32_t sack[4][2];
} SimTcp;

SimTcp sim_tcp_read(const uint8_t *packet, size_t len);
/* The ECN field of an IP packet. */
uint8_t sim_ecn_field(const uint8_t *packet);
/* Add to the ECN field; the IPv4 checksum follows. */
void sim_ecn_mark(uint8_t *packet, uint8_t field);
/* The same, and TCP flags, with all checksums. */
void sim_tcp_mark(uint8_t *packet, const SimTcp *t, uint8_t flags, uint8_t field);
/*
 * A router's word that the packet in @f does not fit a link of @mtu, as a frame with @l2
 * (RFC 1191, RFC 8201).
 */
SimFrame *sim_too_big(const SimFrame *f, size_t vnet_len, const SimL2 *l2, uint32_t mtu);
/* Bytes of IP that the largest segment of @f makes on the wire. */
size_t sim_wire_len(const SimFrame *f, size_t vnet_len);
uint32_t sim_pseudo_sum(const uint8_t *packet, size_t l4_len);
bool sim_tcp_checksum_ok(const uint8_t *packet, const SimTcp *t);

#endif /* SIM_VNET_H */
