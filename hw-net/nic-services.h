/*
 * vnx: what the net side may ask a NIC
 *
 * Netfilters see frames and net clients, not devices.  These functions look
 * behind a net client of type NIC when it belongs to a virtio-net device; of any other
 * model nothing is known, and they say so.  They only read, keep no pointer, and are
 * called under the big lock.
 *
 * Not here: anything that changes a device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_HW_NET_NIC_SERVICES_H
#define VNX_HW_NET_NIC_SERVICES_H

#include "net/net.h"

typedef struct VnxNicOffloads {
    bool csum;                  /* the driver completes partial checksums */
    bool tso4;                  /* it takes TCP GSO frames */
    bool tso6;
    bool ecn;                   /* ... also with CWR in the first segment */
} VnxNicOffloads;

/*
 * Offloads that the guest's driver has enabled for frames that it receives
 * (VIRTIO 1.2, 5.1.6.5.6).
 * @nic: a net client, of whatever type, or NULL.
 * All false unless it is a virtio-net NIC.
 */
VnxNicOffloads vnx_nic_guest_offloads(NetClientState *nic);

/*
 * How many queue pairs of a virtio-net NIC the guest uses now, the first ones
 * (VIRTIO 1.2, 5.1.6.5.5).
 * @nic: as above.  0 unless it is a virtio-net NIC.
 */
unsigned vnx_nic_queues(NetClientState *nic);

/* Remembered between two questions about one NIC; zero at first. */
typedef struct VnxRxMark {
    bool set;
    uint16_t used;              /* used index of the ring at the first question */
} VnxRxMark;

/*
 * True while the guest has received frames in its ring that it has not looked at: it is
 * not scheduled, or busy.  Once it has looked at all that was there at the first
 * question the answer is false, even if more has come since, so that a busy guest does
 * not look like a stalled one for ever. Known of split rings with VIRTIO_F_EVENT_IDX
 * (VIRTIO 1.2, 2.7.7): used_event tells what the driver has seen, and the index of the
 * available ring, less the ring's size, what it must have recycled.  False where that
 * is not known.
 * @nic: as above.
 */
bool vnx_nic_rx_unconsumed(NetClientState *nic, VnxRxMark *mark);

#endif /* VNX_HW_NET_NIC_SERVICES_H */
