/*
 * vnx: filter-vtcp, what its parts share (private to net-backend)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_NET_FILTER_VTCP_H
#define VNX_NET_FILTER_VTCP_H

#include "net/filter.h"
#include "outlet.h"
#include "hw/net/vnx/nic-services.h"
#include "migration/misc.h"
#include "qemu/timer.h"
#include "qapi/qapi-types-vnx-object.h"
#include <vnx/policy.h>
#include <vnx/vtcp.h>

#define TYPE_FILTER_VTCP "filter-vtcp"
OBJECT_DECLARE_SIMPLE_TYPE(FilterVtcp, FILTER_VTCP)

/* A queue of the netdev. */
typedef struct VtcpQueue {
    NetClientState *netdev;         /* its net client */
    NetFilterState *stand_in;       /* ours, see filter-vtcp-place.c; or NULL */
    VnxOutlet out[2];               /* by VnxDir */
    bool refused[2];                /* emit() said false since the last _writable() */
    VnxRxMark rx_mark;
} VtcpQueue;

typedef struct VtcpDeferred VtcpDeferred;

struct FilterVtcp {
    NetFilterState parent_obj;

    char *id;                       /* kept: at cleanup the object has none any more */
    VnxVtcp *vtcp;                  /* NULL until the object is complete */
    VnxVtcpStats past;              /* counters of engines that vtcp has replaced */
    VtcpQueue *queue;               /* n_queues of them */
    unsigned n_queues;
    unsigned active_queues;         /* those that the guest uses, as told to the engine */
    VnxOffload offload[2];          /* as told to the engine */
    unsigned push_queue;            /* of the frame being pushed */
    unsigned push_flags;            /* of the frame being pushed */

    /* inside the engine; what arrives meanwhile waits */
    bool busy;
    bool again;                     /* vtcp_service() was asked for meanwhile */
    bool netdev_sends;              /* we are called by the netdev: give it nothing */
    QSIMPLEQ_HEAD(, VtcpDeferred) deferred;
    size_t deferred_bytes;

    QEMUBH *bh;
    QEMUTimer *timer;
    int64_t armed;                  /* INT64_MAX: it is not */

    /* What the engine shall be told, and was. */
    VnxVtcpConfig config;
    bool config_changed;
    VnxPolicies *policies;          /* NULL until the object is complete */
    VnxVtcpPolicyList *wanted;      /* ... and these are to be its policies */
    bool policies_changed;
    bool running;
    bool migrating;
    bool closing;
    bool saved;                     /* and the VM has not run since */
    bool paused;
    bool enabled;

    uint32_t drain_timeout_ms;      /* 0: none */
    int64_t drain_deadline;         /* INT64_MAX: none */

    uint8_t *state;                 /* while it is saved or loaded */
    uint32_t state_size;
    VMChangeStateEntry *run_state;
    NotifierWithReturn migration;

    int64_t event_second;           /* rate limit of VNX_VTCP_FLOW_RESET */
    unsigned events;
    uint64_t events_suppressed;
};

/* Now, on the clock that the engine knows. */
int64_t vtcp_now(void);

/* Tell the engine that s->policies is not what it was. */
void vtcp_policies_changed(FilterVtcp *s);

/* Counters since the object was created, and gauges. */
void vtcp_stats(FilterVtcp *s, VnxVtcpStats *stats);

/*
 * A frame on its way from @sender in @queue, as a filter's receive_iov().  Returns 0 if
 * QEMU shall forward it, else its size.
 */
ssize_t vtcp_receive(FilterVtcp *s, unsigned queue, NetClientState *sender,
                     unsigned flags, const struct iovec *iov, int iovcnt);

/* ---- filter-vtcp-place.c: where in QEMU's lists of filters we stand ---- */

/*
 * Find the netdev and the filter that 'position' names (*@position, else NULL); makes
 * s->queue.  Returns false and sets @errp, and changes nothing, if there is no such.
 */
bool vtcp_find_place(FilterVtcp *s, NetFilterState **position, Error **errp);
/* Enter the lists, there. */
void vtcp_take_place(FilterVtcp *s, NetFilterState *position);
/* As the status says; not from inside the engine, if the status is on. */
void vtcp_update_place(FilterVtcp *s);
/* Leave the lists, but for our own entry. */
void vtcp_leave_place(FilterVtcp *s);
/* From where in the list of @queue the engine's frames go on. */
NetFilterState *vtcp_place(FilterVtcp *s, unsigned queue);
/* From the class's init: properties that tell the place are fixed once it is taken. */
void vtcp_fix_place(ObjectClass *oc);

/* ---- filter-vtcp-policy.c: policies in QOM and QMP ---- */

/*
 * The object becomes complete: make its list.  Returns false and sets @errp, and there is
 * no list, if what is wanted cannot be.
 */
bool vtcp_policies_start(FilterVtcp *s, Error **errp);
/* From the class's init: the property. */
void vtcp_policies_class_init(ObjectClass *oc);

/*
 * filter-vtcp-qmp.c: all filters in order of their ids, or the one with @id.
 * Returns NULL and sets @errp when there is none with @id.
 */
GPtrArray *vtcp_find_filters(const char *id, Error **errp);
/* filter-vtcp-qmp.c: the engine has reset a connection. */
void vtcp_qmp_flow_reset(FilterVtcp *s, const VnxVtcpEvent *ev);
/* filter-vtcp-qmp.c: the schema's enumerations are the engine's. */
void vtcp_qmp_check_enums(void);

#endif /* VNX_NET_FILTER_VTCP_H */
