/*
 * vnx: the way out of a filter, in one direction: see outlet.h
 *
 * A NetQueue's callback gets the packet's sender and nothing else.  So all outlets
 * with a parked frame stand in one list, in the order of parking: NetQueues are
 * first in, first out, and one sender's frames have one destination, hence
 * the first outlet of that sender is the one meant.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "outlet.h"
#include "qemu/iov.h"
#include "trace.h"

struct VnxOutletFrame {
    QSIMPLEQ_ENTRY(VnxOutletFrame) next;
    unsigned flags;
    size_t vnet_len;
    size_t size;
    uint8_t data[];
};

static QTAILQ_HEAD(, VnxOutlet) parked_outlets = QTAILQ_HEAD_INITIALIZER(parked_outlets);

void vnx_outlet_init(VnxOutlet *o, VnxDir dir, void (*resume)(void *opaque), void *opaque)
{
    *o = (VnxOutlet) { .dir = dir, .resume = resume, .opaque = opaque };
    QSIMPLEQ_INIT(&o->queue);
}

static void unpark(VnxOutlet *o)
{
    QTAILQ_REMOVE(&parked_outlets, o, next_parked);
    o->parked = false;
    o->parked_by = NULL;
}

/*
 * The parked frame was delivered (its size), lost (negative) or purged (0).  @sender may
 * be a NIC that is gone.
 */
static void parked_frame_left(NetClientState *sender, ssize_t ret)
{
    VnxOutlet *o;

    QTAILQ_FOREACH(o, &parked_outlets, next_parked) {
        if (o->parked_by == sender) {
            trace_vnx_outlet_resumed(o, o->dir, ret);
            unpark(o);
            if (o->resume) {
                o->resume(o->opaque);
            }
            return;
        }
    }
}

void vnx_outlet_send_last(VnxOutlet *o, NetClientState *netdev,
                          const struct iovec *iov, int iovcnt)
{
    NetClientState *receiver = o->dir == VNX_TO_GUEST ? netdev->peer : netdev;
    size_t size = iov_size(iov, iovcnt);
    g_autofree uint8_t *buf = g_malloc(size);

    if (receiver) {
        iov_to_buf(iov, iovcnt, 0, buf, size);
        qemu_receive_packet(receiver, buf, size);
        o->sent++;
    }
}

/*
 * What qemu_netfilter_pass_to_next() does, with the filters of the other client, and a
 * callback.
 */
static ssize_t deliver(VnxOutlet *o, NetFilterState *place, unsigned flags,
                       const struct iovec *iov, int iovcnt)
{
    NetClientState *netdev = place->netdev;
    NetClientState *sender = o->dir == VNX_TO_GUEST ? netdev : netdev->peer;
    NetFilterState *nf = place;
    ssize_t ret;

    if (!netdev->peer) {
        return -1;
    }
    if (o->dir == VNX_TO_GUEST) {
        while ((nf = QTAILQ_NEXT(nf, next))) {
            ret = qemu_netfilter_receive(nf, NET_FILTER_DIRECTION_TX, sender, flags,
                                         iov, iovcnt, NULL);
            if (ret) {
                return ret;
            }
        }
        QTAILQ_FOREACH_REVERSE(nf, &netdev->peer->filters, next) {
            ret = qemu_netfilter_receive(nf, NET_FILTER_DIRECTION_RX, sender, flags,
                                         iov, iovcnt, NULL);
            if (ret) {
                return ret;
            }
        }
    } else {
        while ((nf = QTAILQ_PREV(nf, next))) {
            ret = qemu_netfilter_receive(nf, NET_FILTER_DIRECTION_RX, sender, flags,
                                         iov, iovcnt, NULL);
            if (ret) {
                return ret;
            }
        }
    }
    if (!sender->peer) {
        return -1;      /* gone while the filters ran */
    }
    return qemu_net_queue_send_iov(sender->peer->incoming_queue, sender, flags,
                                   iov, iovcnt, parked_frame_left);
}

void vnx_outlet_send(VnxOutlet *o, NetFilterState *place, unsigned flags,
                     const struct iovec *iov, int iovcnt)
{
    const NetClientState *sender =
        o->dir == VNX_TO_GUEST ? place->netdev : place->netdev->peer;

    assert(!o->parked);
    o->sent++;
    if (deliver(o, place, flags, iov, iovcnt) == 0) {
        trace_vnx_outlet_blocked(o, o->dir, iov_size(iov, iovcnt));
        o->parked = true;
        o->parked_by = sender;
        QTAILQ_INSERT_TAIL(&parked_outlets, o, next_parked);
    }
}

void vnx_outlet_put(VnxOutlet *o, NetFilterState *place, unsigned flags, size_t vnet_len,
                    const struct iovec *iov, int iovcnt)
{
    size_t size = iov_size(iov, iovcnt);
    VnxOutletFrame *f;

    if (!vnx_outlet_blocked(o)) {
        vnx_outlet_send(o, place, flags, iov, iovcnt);
        return;
    }
    if (o->waiting >= VNX_OUTLET_FRAMES_MAX ||
        o->waiting_bytes + size > VNX_OUTLET_BYTES_MAX) {
        o->dropped++;
        trace_vnx_outlet_dropped(o, o->dir, size);
        return;
    }
    f = g_malloc(sizeof(*f) + size);
    f->flags = flags;
    f->vnet_len = vnet_len;
    f->size = size;
    iov_to_buf(iov, iovcnt, 0, f->data, size);
    QSIMPLEQ_INSERT_TAIL(&o->queue, f, next);
    o->waiting++;
    o->waiting_bytes += size;
    o->queued++;
    trace_vnx_outlet_queued(o, o->dir, size, o->waiting);
}

static VnxOutletFrame *pop(VnxOutlet *o)
{
    VnxOutletFrame *f = QSIMPLEQ_FIRST(&o->queue);

    if (f) {
        QSIMPLEQ_REMOVE_HEAD(&o->queue, next);
        o->waiting--;
        o->waiting_bytes -= f->size;
    }
    return f;
}

void vnx_outlet_pump(VnxOutlet *o, NetFilterState *place, size_t vnet_len)
{
    while (!o->parked && o->waiting) {
        g_autofree VnxOutletFrame *f = pop(o);
        struct iovec iov = { .iov_base = f->data, .iov_len = f->size };

        if (f->vnet_len != vnet_len && !(f->flags & QEMU_NET_PACKET_FLAG_RAW)) {
            o->dropped++;
            trace_vnx_outlet_dropped(o, o->dir, f->size);
        } else {
            vnx_outlet_send(o, place, f->flags, &iov, 1);
        }
    }
}

void vnx_outlet_move(VnxOutlet *o, VnxOutlet *from)
{
    QSIMPLEQ_CONCAT(&o->queue, &from->queue);
    o->waiting += from->waiting;
    o->waiting_bytes += from->waiting_bytes;
    from->waiting = 0;
    from->waiting_bytes = 0;
}

void vnx_outlet_destroy(VnxOutlet *o, NetClientState *netdev)
{
    VnxOutletFrame *f;

    o->resume = NULL;
    while ((f = pop(o))) {
        g_free(f);
    }
    if (o->parked && netdev->peer) {
        NetClientState *sender = o->dir == VNX_TO_GUEST ? netdev : netdev->peer;

        /* Not the frames of a NIC that is gone: their callbacks would touch it. */
        if (o->parked_by == sender) {
            qemu_net_queue_purge(sender->peer->incoming_queue, sender);
        }
    }
    if (o->parked) {
        unpark(o);
    }
}
