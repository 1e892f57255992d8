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
#include <vnx/vtcp.h>

#define TYPE_FILTER_VTCP "filter-vtcp"
OBJECT_DECLARE_SIMPLE_TYPE(FilterVtcp, FILTER_VTCP)

#define TYPE_FILTER_VTCP_DRAIN "filter-vtcp-drain"
OBJECT_DECLARE_SIMPLE_TYPE(FilterVtcpDrain, FILTER_VTCP_DRAIN)

/* Stands in the list of filters for a filter-vtcp that is off and not drained. */
struct FilterVtcpDrain {
    NetFilterState parent_obj;

    FilterVtcp *owner;
};

typedef struct VtcpDeferred VtcpDeferred;

struct FilterVtcp {
    NetFilterState parent_obj;

    char *id;                       /* kept: at cleanup the object has none any more */
    VnxVtcp *vtcp;                  /* NULL until the object is complete */
    VnxVtcpStats past;              /* counters of engines that vtcp has replaced */
    VnxOutlet out[2];               /* by VnxDir */
    bool refused[2];                /* emit() said false since the last _writable() */
    VnxOffload offload[2];          /* as told to the engine */
    VnxRxMark rx_mark;
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
    bool running;
    bool migrating;
    bool closing;
    bool paused;
    bool enabled;

    FilterVtcpDrain *drain;         /* NULL unless it stands in the list for us */
    bool bypassed;                  /* frames have passed without us */
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

/* Counters since the object was created, and gauges. */
void vtcp_stats(FilterVtcp *s, VnxVtcpStats *stats);

/* filter-vtcp-qmp.c: the engine has reset a connection. */
void vtcp_qmp_flow_reset(FilterVtcp *s, const VnxVtcpEvent *ev);
/* filter-vtcp-qmp.c: the schema's enumerations are the engine's. */
void vtcp_qmp_check_enums(void);

#endif /* VNX_NET_FILTER_VTCP_H */
