/*
 * vnx: the way out of a filter, in one direction
 *
 * QEMU's netfilters can inject frames with qemu_netfilter_pass_to_next(), but then a
 * receiver that takes nothing makes the frames pile up, unnoticed, in its NetQueue.  An
 * outlet hands a frame on in the same way (the filters that follow, then the receiver's
 * queue), with a callback: a frame that the receiver does not take is parked in the
 * NetQueue, and until it has left nothing else is handed over.  What must keep its
 * order waits in a queue of the outlet, bounded in frames and bytes; beyond that it is
 * dropped, as a network may.
 *
 *      vnx_outlet_put() ---+--> [ queue ] --vnx_outlet_pump()--+
 *                          |                                   v
 *      vnx_outlet_send() --+----------> next filters -> NetQueue -> receiver
 *                                                      (one parked frame)
 *
 * Invariants: at most one frame of an outlet is in the NetQueue; frames leave in the
 * order in which they came; while nothing is parked and nothing queued, nothing is
 * copied. When the parked frame has left, resume() is called: from inside the
 * receiver's flush, so it should only schedule.
 *
 * An outlet keeps no pointer to the NIC: it knows its direction, and the place
 * (a filter) in the backend's list of filters from where frames go on.
 *
 * Not here: what a frame means.  Under the big lock only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_NET_OUTLET_H
#define VNX_NET_OUTLET_H

#include "net/filter.h"
#include "net/net.h"
#include "qemu/queue.h"
#include <vnx/packet.h>

/* Bounds of the queue: what a tap with its default txqueuelen would hold, four times. */
#define VNX_OUTLET_FRAMES_MAX 4096
#define VNX_OUTLET_BYTES_MAX (4u << 20)

typedef struct VnxOutletFrame VnxOutletFrame;

typedef struct VnxOutlet {
    VnxDir dir;
    void (*resume)(void *opaque);
    void *opaque;

    bool parked;                        /* one of our frames is in the NetQueue */
    const NetClientState *parked_by;    /* its sender: for comparing only */
    QTAILQ_ENTRY(VnxOutlet) next_parked;

    QSIMPLEQ_HEAD(, VnxOutletFrame) queue;
    unsigned waiting;                   /* frames in queue */
    size_t waiting_bytes;

    uint64_t sent;
    uint64_t queued;
    uint64_t dropped;
} VnxOutlet;

void vnx_outlet_init(VnxOutlet *o, VnxDir dir, void (*resume)(void *opaque),
                     void *opaque);

/* Drop what waits, and the parked frame, too.  resume() is not called any more. */
void vnx_outlet_destroy(VnxOutlet *o, NetClientState *netdev);

/* True when vnx_outlet_send() may not be called. */
static inline bool vnx_outlet_blocked(const VnxOutlet *o)
{
    return o->parked || o->waiting;
}

/*
 * Hand a frame on from @place: it goes, or is parked, or is lost as the
 * receiver or a later filter decides.  Only while !vnx_outlet_blocked().
 * @flags: QEMU_NET_PACKET_FLAG_*.  @iov: borrowed for the call.
 */
void vnx_outlet_send(VnxOutlet *o, NetFilterState *place, unsigned flags,
                     const struct iovec *iov, int iovcnt);

/*
 * A last word: to the receiver itself, past the filters, and even while the VM does not
 * run; lost if it takes nothing.
 */
void vnx_outlet_send_last(VnxOutlet *o, NetClientState *netdev,
                          const struct iovec *iov, int iovcnt);

/*
 * As vnx_outlet_send(), but in order with what waits: sent, or queued (copied), or
 * dropped.  @vnet_len: of its virtio-net header.
 */
void vnx_outlet_put(VnxOutlet *o, NetFilterState *place, unsigned flags, size_t vnet_len,
                    const struct iovec *iov, int iovcnt);

/* What waits in @from waits in @o, behind what waits there. */
void vnx_outlet_move(VnxOutlet *o, VnxOutlet *from);

/*
 * Send what waits until a frame is parked.
 * @vnet_len: of virtio-net headers now; frames that wait with another one are dropped.
 */
void vnx_outlet_pump(VnxOutlet *o, NetFilterState *place, size_t vnet_len);

#endif /* VNX_NET_OUTLET_H */
