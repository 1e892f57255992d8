/*
 * vnx: filter-vtcp's place in QEMU's lists of filters
 *
 * QEMU has a list of filters per net client, and a netdev with several queues is as many
 * net clients.  filter-vtcp itself stands in the list of queue 0, like any filter:
 * netdev_del looks there.  In that of each other queue a stand-in of ours
 * (TYPE_FILTER_VTCP_QUEUE) takes the frames for it.  As netfilter_complete() refuses such
 * netdevs, we find our place ourselves, by the same rules.
 *
 * QEMU skips a filter whose status is off, but we want to see the frames: to deliver what
 * we owe, and to follow connections, so that they are accelerated when we are on again.
 * So queue 0 has a stand-in, too, right before us, as long as we are off.
 *
 *      netdev queue 0:   ... [stand-in while off] filter-vtcp ...
 *             queue 1:   ... stand-in ...
 *
 * A place is final: properties that tell it are refused once the object is complete.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "filter-vtcp.h"
#include "net/vhost_net.h"
#include "qapi/error.h"
#include "qemu/cutils.h"
#include "qom/object_interfaces.h"

#define TYPE_FILTER_VTCP_QUEUE "filter-vtcp-queue"
OBJECT_DECLARE_SIMPLE_TYPE(FilterVtcpQueue, FILTER_VTCP_QUEUE)

struct FilterVtcpQueue {
    NetFilterState parent_obj;

    FilterVtcp *owner;
    unsigned queue;
};

/* ---- Finding it ---- */

/*
 * The filter that 'position' names; NULL without a name.  Returns false and sets @errp if
 * it does not fit.
 */
static bool find_position(NetFilterState *nf, const NetClientState *netdev,
                          NetFilterState **position, Error **errp)
{
    const char *id;
    Object *obj;

    *position = NULL;
    if (!strcmp(nf->position, "head") || !strcmp(nf->position, "tail")) {
        return true;
    }
    if (!strstart(nf->position, "id=", &id)) {
        error_setg(errp, "Parameter 'position' expects 'head', 'tail' or 'id=<id>'");
        return false;
    }
    obj = object_resolve_path_component(object_get_objects_root(), id);
    *position = (NetFilterState *)object_dynamic_cast(obj, TYPE_NETFILTER);
    if (!*position) {
        error_setg(errp, "filter '%s' not found", id);
        return false;
    }
    if ((*position)->netdev != netdev) {
        error_setg(errp, "filter '%s' belongs to a different netdev", id);
        return false;
    }
    return true;
}

bool vtcp_find_place(FilterVtcp *s, NetFilterState **position, Error **errp)
{
    NetFilterState *nf = NETFILTER(s);
    NetClientState *ncs[MAX_QUEUE_NUM];
    int n;

    if (!nf->netdev_id) {
        error_setg(errp, "Parameter 'netdev' is required");
        return false;
    }
    n = qemu_find_net_clients_except(nf->netdev_id, ncs, NET_CLIENT_DRIVER_NIC,
                                     MAX_QUEUE_NUM);
    n = MIN(n, MAX_QUEUE_NUM);
    if (n < 1) {
        error_setg(errp, "Parameter 'netdev' expects a network backend id");
        return false;
    }
    for (int i = 0; i < n; i++) {
        if (get_vhost_net(ncs[i])) {
            error_setg(errp, "Vhost is not supported");
            return false;
        }
    }
    if (!find_position(nf, ncs[0], position, errp)) {
        return false;
    }
    nf->netdev = ncs[0];
    s->n_queues = n;
    s->queue = g_new0(VtcpQueue, n);
    for (int i = 0; i < n; i++) {
        s->queue[i].netdev = ncs[i];
    }
    return true;
}

/* ---- Standing there ---- */

NetFilterState *vtcp_place(FilterVtcp *s, unsigned queue)
{
    NetFilterState *nf = NETFILTER(s), *stand_in = s->queue[queue].stand_in;

    return stand_in && !(queue == 0 && nf->on) ? stand_in : nf;
}

static NetFilterState *stand_in_new(FilterVtcp *s, unsigned queue)
{
    FilterVtcpQueue *q = FILTER_VTCP_QUEUE(object_new(TYPE_FILTER_VTCP_QUEUE));
    NetFilterState *nf = NETFILTER(q);
    g_autofree char *name = g_strdup_printf("queue%u", queue);

    q->owner = s;
    q->queue = queue;
    nf->netdev = s->queue[queue].netdev;
    nf->netdev_id = g_strdup(NETFILTER(s)->netdev_id);
    s->queue[queue].stand_in = nf;
    object_property_add_child(OBJECT(s), name, OBJECT(q));
    object_unref(OBJECT(q));
    return nf;
}

static void insert(NetFilterState *nf, const NetFilterState *how,
                   NetFilterState *position)
{
    if (position && how->insert_before_flag) {
        QTAILQ_INSERT_BEFORE(position, nf, next);
    } else if (position) {
        QTAILQ_INSERT_AFTER(&nf->netdev->filters, position, nf, next);
    } else if (!strcmp(how->position, "head")) {
        QTAILQ_INSERT_HEAD(&nf->netdev->filters, nf, next);
    } else {
        QTAILQ_INSERT_TAIL(&nf->netdev->filters, nf, next);
    }
}

/* What stands for @position, a filter of queue 0, in the list of @queue; NULL: none. */
static NetFilterState *position_in(NetFilterState *position, unsigned queue)
{
    FilterVtcp *s = (FilterVtcp *)object_dynamic_cast(OBJECT(position), TYPE_FILTER_VTCP);

    return queue == 0 ? position : s ? s->queue[queue].stand_in : NULL;
}

void vtcp_take_place(FilterVtcp *s, NetFilterState *position)
{
    NetFilterState *nf = NETFILTER(s);

    for (unsigned i = 0; i < s->n_queues; i++) {
        insert(i == 0 ? nf : stand_in_new(s, i), nf,
               position ? position_in(position, i) : NULL);
    }
    vtcp_update_place(s);
}

void vtcp_update_place(FilterVtcp *s)
{
    NetFilterState *nf = NETFILTER(s), *stand_in = s->queue[0].stand_in;

    if (nf->on && stand_in) {
        object_unparent(OBJECT(stand_in));
    } else if (!nf->on && !stand_in) {
        /* Before us: netdev_del walks on from there to us, after it has gone. */
        stand_in = stand_in_new(s, 0);
        QTAILQ_INSERT_BEFORE(nf, stand_in, next);
    }
}

void vtcp_leave_place(FilterVtcp *s)
{
    for (unsigned i = 0; i < s->n_queues; i++) {
        if (s->queue[i].stand_in) {
            object_unparent(OBJECT(s->queue[i].stand_in));
        }
    }
}

/* ---- The stand-in ---- */

static ssize_t stand_in_receive_iov(NetFilterState *nf, NetClientState *sender,
                                    unsigned flags, const struct iovec *iov, int iovcnt,
                                    NetPacketSent *sent_cb)
{
    FilterVtcpQueue *q = FILTER_VTCP_QUEUE(nf);

    /* Not if the owner, which comes next in the list, takes the frame itself (again). */
    return q->queue == 0 && NETFILTER(q->owner)->on ?
           0 : vtcp_receive(q->owner, q->queue, sender, flags, iov, iovcnt);
}

static void stand_in_cleanup(NetFilterState *nf)
{
    FilterVtcpQueue *q = FILTER_VTCP_QUEUE(nf);

    if (q->owner) {
        q->owner->queue[q->queue].stand_in = NULL;
    }
}

static void stand_in_handle_event(NetFilterState *nf, int event, Error **errp)
{
    /* COLO's events are the owner's affair. */
}

static void filter_vtcp_queue_class_init(ObjectClass *oc, void *data)
{
    NetFilterClass *nfc = NETFILTER_CLASS(oc);

    nfc->cleanup = stand_in_cleanup;
    nfc->receive_iov = stand_in_receive_iov;
    nfc->handle_event = stand_in_handle_event;
}

/* ---- Properties that tell the place ---- */

static struct {
    const char *name;
    ObjectPropertyAccessor *set;    /* QEMU's */
} vtcp_fixed[] = {
    { "netdev" }, { "queue" }, { "position" }, { "insert" }, { "status" },
};

/*
 * Netfilters take such a value at any time and without an error, although it comes too
 * late.  Ours refuse it.  (A class cannot override a property of its parent, hence this
 * detour, which leaves all other filters as they are.)
 */
static void set_fixed(Object *obj, Visitor *v, const char *name, void *opaque,
                      Error **errp)
{
    FilterVtcp *s = (FilterVtcp *)object_dynamic_cast(obj, TYPE_FILTER_VTCP);

    if (object_dynamic_cast(obj, TYPE_FILTER_VTCP_QUEUE) ||
        (s && s->vtcp && strcmp(name, "status"))) {
        error_setg(errp, "filter-vtcp: %s cannot be changed any more", name);
        return;
    }
    for (int i = 0; i < ARRAY_SIZE(vtcp_fixed); i++) {
        if (!strcmp(name, vtcp_fixed[i].name)) {
            vtcp_fixed[i].set(obj, v, name, opaque, errp);
        }
    }
}

void vtcp_fix_place(ObjectClass *oc)
{
    for (int i = 0; i < ARRAY_SIZE(vtcp_fixed); i++) {
        ObjectProperty *p = object_class_property_find(oc, vtcp_fixed[i].name);

        vtcp_fixed[i].set = p->set;
        p->set = set_fixed;
    }
}

static const TypeInfo filter_vtcp_queue_type = {
    .name = TYPE_FILTER_VTCP_QUEUE,
    .parent = TYPE_NETFILTER,
    .instance_size = sizeof(FilterVtcpQueue),
    .class_init = filter_vtcp_queue_class_init,
};

static void register_type(void)
{
    type_register_static(&filter_vtcp_queue_type);
}

type_init(register_type)
