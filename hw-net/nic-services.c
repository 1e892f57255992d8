/*
 * vnx: what the net side may ask a virtio-net NIC
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "hw/net/vnx/nic-services.h"
#include "hw/virtio/virtio-access.h"
#include "hw/virtio/virtio-net.h"
#include "standard-headers/linux/virtio_ring.h"

/*
 * The device behind @nic.  The model's name is that of the proxy ("virtio-net-pci",
 * "virtio-net-ccw" ...) or of the device itself; no other NIC model begins so.
 */
static VirtIONet *virtio_net_of(NetClientState *nic)
{
    if (!nic || nic->info->type != NET_CLIENT_DRIVER_NIC ||
        !nic->model || !g_str_has_prefix(nic->model, "virtio-net-")) {
        return NULL;
    }
    return VIRTIO_NET(qemu_get_nic_opaque(nic));
}

VnxNicOffloads vnx_nic_guest_offloads(NetClientState *nic)
{
    VirtIONet *n = virtio_net_of(nic);
    uint64_t on = n ? n->curr_guest_offloads : 0;

    return (VnxNicOffloads) {
        .csum = on & (1ULL << VIRTIO_NET_F_GUEST_CSUM),
        .tso4 = on & (1ULL << VIRTIO_NET_F_GUEST_TSO4),
        .tso6 = on & (1ULL << VIRTIO_NET_F_GUEST_TSO6),
        .ecn = on & (1ULL << VIRTIO_NET_F_GUEST_ECN),
    };
}

unsigned vnx_nic_queues(NetClientState *nic)
{
    VirtIONet *n = virtio_net_of(nic);

    return n ? n->curr_queue_pairs : 0;
}

/* Is index @a of a ring at or beyond @b?  They are at most a ring (2^15) apart. */
static bool at_or_beyond(uint16_t a, uint16_t b)
{
    return (uint16_t)(a - b) < 0x8000;
}

bool vnx_nic_rx_unconsumed(NetClientState *nic, VnxRxMark *mark)
{
    VirtIONet *n = virtio_net_of(nic);
    VirtIODevice *vdev;
    hwaddr avail_ring, used_ring;
    uint16_t used, used_event, avail, num;
    int queue;

    if (!n || !virtio_vdev_has_feature(VIRTIO_DEVICE(n), VIRTIO_RING_F_EVENT_IDX) ||
        virtio_vdev_has_feature(VIRTIO_DEVICE(n), VIRTIO_F_RING_PACKED)) {
        mark->set = false;
        return false;
    }
    vdev = VIRTIO_DEVICE(n);
    queue = virtio_get_queue_index(n->vqs[nic->queue_index].rx_vq);
    avail_ring = virtio_queue_get_avail_addr(vdev, queue);
    used_ring = virtio_queue_get_used_addr(vdev, queue);
    num = virtio_queue_get_num(vdev, queue);
    if (!avail_ring || !used_ring || !num) {
        mark->set = false;
        return false;
    }
    used = virtio_lduw_phys(vdev, used_ring + offsetof(vring_used_t, idx));
    avail = virtio_lduw_phys(vdev, avail_ring + offsetof(vring_avail_t, idx));
    used_event = virtio_lduw_phys(vdev, avail_ring + offsetof(vring_avail_t, ring) +
                                        num * sizeof(uint16_t));
    if (used_event == used) {
        mark->set = false;
        return false;
    }
    if (!mark->set) {
        mark->set = true;
        mark->used = used;
        return true;
    }
    if (at_or_beyond(used_event, mark->used) || at_or_beyond(avail - num, mark->used)) {
        mark->set = false;
        return false;
    }
    return true;
}
