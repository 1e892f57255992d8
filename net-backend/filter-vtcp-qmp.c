/*
 * vnx: filter-vtcp in QMP (P5, U4)
 *
 * The schema, qapi/vnx.json, says what there is.  Counters are not listed here a second
 * time: an input visitor takes them by the names of VNX_VTCP_COUNTERS, and fails if
 * engine and schema do not have the same ones.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "filter-vtcp.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-vnx.h"
#include "qapi/qapi-events-vnx.h"
#include "qapi/qapi-visit-vnx.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/util.h"
#include "qobject/qdict.h"
#include "qobject/qnum.h"
#include "qom/object_interfaces.h"

#define FLOWS_LIMIT_DEFAULT 1000
#define FLOWS_LIMIT_MAX 65536
#define EVENTS_PER_SECOND 10

/* ---- Which filters ---- */

static int collect_filter(Object *obj, void *opaque)
{
    FilterVtcp *s = (FilterVtcp *)object_dynamic_cast(obj, TYPE_FILTER_VTCP);

    if (s && s->vtcp) {
        g_ptr_array_add(opaque, s);
    }
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp((*(FilterVtcp **)a)->id, (*(FilterVtcp **)b)->id);
}

GPtrArray *vtcp_find_filters(const char *id, Error **errp)
{
    GPtrArray *filters = g_ptr_array_new();

    if (id) {
        Object *obj = object_resolve_path_component(object_get_objects_root(), id);

        if (!obj || (collect_filter(obj, filters), filters->len == 0)) {
            error_set(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                      "There is no filter-vtcp with id '%s'", id);
            g_ptr_array_free(filters, true);
            return NULL;
        }
    } else {
        object_child_foreach(object_get_objects_root(), collect_filter, filters);
        g_ptr_array_sort(filters, compare_ids);
    }
    return filters;
}

/* ---- Flows ---- */

static char *address(const VnxFlowKey *key, int side)
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(key->ip_version == 4 ? AF_INET : AF_INET6, key->addr[side],
              text, sizeof(text));
    return g_strdup(text);
}

static VnxVtcpHalf *half(const VnxVtcpHalfInfo *i)
{
    VnxVtcpHalf *h = g_new0(VnxVtcpHalf, 1);

    h->state = (VnxVtcpHalfState)i->state;
    h->reason = (VnxVtcpReason)i->reason;
    h->bytes = i->bytes;
    h->early_acked_bytes = i->early_acked_bytes;
    h->acks_consumed = i->acks_consumed;
    h->retransmits = i->retransmits;
    h->rto_retransmits = i->rto_retransmits;
    h->fast_retransmits = i->fast_retransmits;
    h->duplicate_acks = i->dupacks;
    h->out_of_order = i->out_of_order;
    h->duplicate_bytes = i->duplicate_bytes;
    h->undelivered = i->undelivered;
    h->out_of_order_queued = i->out_of_order_queued;
    h->buffer_used = i->buffer_used;
    h->snd_una = i->una;
    h->snd_nxt = i->nxt;
    h->early_ack = i->early;
    h->advertised_window = i->advertised_window;
    h->receiver_window = i->receiver_window;
    h->has_cwnd = i->cwnd != UINT32_MAX;
    h->cwnd = i->cwnd;
    h->has_slow_start_threshold = i->ssthresh != UINT32_MAX;
    h->slow_start_threshold = i->ssthresh;
    h->mss = i->mss;
    h->has_srtt_us = h->has_rttvar_us = i->srtt_ns > 0;
    h->srtt_us = i->srtt_ns / SCALE_US;
    h->rttvar_us = i->rttvar_ns / SCALE_US;
    h->has_min_rtt_us = i->min_rtt_ns > 0;
    h->min_rtt_us = i->min_rtt_ns / SCALE_US;
    h->rto_us = i->rto_ns / SCALE_US;
    if (*i->congestion_control) {
        h->congestion_control = g_strdup(i->congestion_control);
    }
    return h;
}

typedef struct FlowList {
    FilterVtcp *filter;
    VnxVtcpFlowList **tail;
    uint32_t room;
} FlowList;

static bool list_flow(const VnxVtcpFlowInfo *info, void *opaque)
{
    FlowList *list = opaque;
    const VnxFlowKey *key = &info->key;
    VnxVtcpFlow *flow;

    if (!list->room) {
        return false;
    }
    list->room--;
    flow = g_new0(VnxVtcpFlow, 1);
    flow->filter = g_strdup(list->filter->id);
    flow->id = info->id;
    flow->state = (VnxVtcpFlowState)info->state;
    flow->guest_address = address(key, VNX_TO_GUEST);
    flow->guest_port = key->port[VNX_TO_GUEST];
    flow->remote_address = address(key, VNX_TO_NET);
    flow->remote_port = key->port[VNX_TO_NET];
    flow->has_vlan = key->vlan[0] != VNX_VLAN_NONE;
    flow->vlan = key->vlan[0];
    flow->has_inner_vlan = key->vlan[1] != VNX_VLAN_NONE;
    flow->inner_vlan = key->vlan[1];
    flow->queue = info->queue;
    flow->policy = g_strdup(info->policy);
    flow->age_ms = info->age_ns / SCALE_MS;
    flow->idle_ms = info->idle_ns / SCALE_MS;
    flow->to_guest = half(&info->half[VNX_TO_GUEST]);
    flow->to_net = half(&info->half[VNX_TO_NET]);
    QAPI_LIST_APPEND(list->tail, flow);
    return true;
}

VnxVtcpFlowList *qmp_query_vnx_vtcp_flows(const char *id, bool has_after, uint64_t after,
                                          bool has_limit, uint32_t limit, Error **errp)
{
    VnxVtcpFlowList *flows = NULL;
    FlowList list = { .tail = &flows, .room = has_limit ? limit : FLOWS_LIMIT_DEFAULT };
    GPtrArray *filters;

    if (has_after && !id) {
        error_setg(errp, "Parameter 'after' needs parameter 'id'");
        return NULL;
    }
    if (has_limit && (limit < 1 || limit > FLOWS_LIMIT_MAX)) {
        error_setg(errp, "Parameter 'limit' expects a value from 1 to %d",
                   FLOWS_LIMIT_MAX);
        return NULL;
    }
    filters = vtcp_find_filters(id, errp);
    if (!filters) {
        return NULL;
    }
    for (guint i = 0; i < filters->len; i++) {
        list.filter = g_ptr_array_index(filters, i);
        vnx_vtcp_foreach_flow(list.filter->vtcp, has_after ? after : 0, vtcp_now(),
                              list_flow, &list);
    }
    g_ptr_array_free(filters, true);
    return flows;
}

/* ---- Statistics ---- */

static VnxVtcpCounters *counters(const VnxVtcpStats *stats, Error **errp)
{
    g_autoptr(QDict) dict = qdict_new();
    VnxVtcpCounters *c = NULL;
    Visitor *v;

#define VNX_X(name, qmp, text) qdict_put(dict, qmp, qnum_from_uint(stats->name));
    VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
    v = qobject_input_visitor_new(QOBJECT(dict));
    visit_type_VnxVtcpCounters(v, NULL, &c, errp);
    visit_free(v);
    return c;
}

/* The sum over all queues. */
static VnxOutletStatistics *outlets(const FilterVtcp *s, VnxDir dir)
{
    VnxOutletStatistics *sum = g_new0(VnxOutletStatistics, 1);

    for (unsigned i = 0; i < s->n_queues; i++) {
        const VnxOutlet *o = &s->queue[i].out[dir];

        sum->sent += o->sent;
        sum->queued += o->queued;
        sum->dropped += o->dropped;
        sum->waiting += o->waiting;
        sum->waiting_bytes += o->waiting_bytes;
        sum->blocked |= o->parked;
    }
    return sum;
}

static VnxVtcpStatus status(const FilterVtcp *s)
{
    if (NETFILTER(s)->on && !s->migrating) {
        return VNX_VTCP_STATUS_ON;
    }
    return NETFILTER(s)->on || !vnx_vtcp_drained(s->vtcp) ?
           VNX_VTCP_STATUS_DRAINING : VNX_VTCP_STATUS_OFF;
}

static VnxVtcpStatistics *statistics(FilterVtcp *s, Error **errp)
{
    VnxVtcpStats stats;
    VnxVtcpCounters *c;
    VnxVtcpStatistics *r;

    vtcp_stats(s, &stats);
    c = counters(&stats, errp);
    if (!c) {
        return NULL;
    }
    r = g_new0(VnxVtcpStatistics, 1);
    *qapi_VnxVtcpStatistics_base(r) = *c;
    qapi_free_VnxVtcpCounters(c);
    r->id = g_strdup(s->id);
    r->netdev = g_strdup(NETFILTER(s)->netdev->name);
    r->status = status(s);
    r->mode = (VnxVtcpMode)s->config.flow.mode;
    r->paused = s->paused;
    r->drained = vnx_vtcp_drained(s->vtcp);
    r->flows = stats.flows;
    r->half_open = stats.half_open;
    r->buffer_used = stats.buffer_used;
    r->buffer_reserved = stats.buffer_reserved;
    r->undelivered = stats.undelivered;
    r->out_of_order_queues = stats.ooo_queues;
    r->queues = s->n_queues;
    r->active_queues = s->active_queues;
    r->to_guest = outlets(s, VNX_TO_GUEST);
    r->to_net = outlets(s, VNX_TO_NET);
    return r;
}

VnxVtcpStatisticsList *qmp_query_vnx_vtcp_stats(const char *id, Error **errp)
{
    VnxVtcpStatisticsList *list = NULL, **tail = &list;
    GPtrArray *filters = vtcp_find_filters(id, errp);

    if (!filters) {
        return NULL;
    }
    for (guint i = 0; i < filters->len; i++) {
        VnxVtcpStatistics *s = statistics(g_ptr_array_index(filters, i), errp);

        if (!s) {
            qapi_free_VnxVtcpStatisticsList(list);
            list = NULL;
            break;
        }
        QAPI_LIST_APPEND(tail, s);
    }
    g_ptr_array_free(filters, true);
    return list;
}

/* ---- Events ---- */

void vtcp_qmp_flow_reset(FilterVtcp *s, const VnxVtcpEvent *ev)
{
    int64_t second = vtcp_now() / NANOSECONDS_PER_SECOND;
    g_autofree char *guest = NULL;
    g_autofree char *remote = NULL;

    if (second != s->event_second) {
        s->event_second = second;
        s->events = 0;
    }
    if (s->events >= EVENTS_PER_SECOND) {
        s->events_suppressed++;
        return;
    }
    s->events++;
    guest = address(ev->key, VNX_TO_GUEST);
    remote = address(ev->key, VNX_TO_NET);
    qapi_event_send_vnx_vtcp_flow_reset(s->id, ev->flow_id,
                                        guest, ev->key->port[VNX_TO_GUEST],
                                        remote, ev->key->port[VNX_TO_NET],
                                        s->events_suppressed);
    s->events_suppressed = 0;
}

/* ---- Enumerations ---- */

QEMU_BUILD_BUG_ON((int)VNX_VTCP_FLOW_STATE__MAX != (int)VNX_FLOW_STATE__MAX);
QEMU_BUILD_BUG_ON((int)VNX_VTCP_HALF_STATE__MAX != (int)VNX_HALF__MAX);
QEMU_BUILD_BUG_ON((int)VNX_VTCP_REASON__MAX != (int)VNX_REASON__MAX);

void vtcp_qmp_check_enums(void)
{
    for (int i = 0; i < VNX_FLOW_STATE__MAX; i++) {
        assert(!strcmp(VnxVtcpFlowState_str(i), vnx_flow_state_name(i)));
    }
    for (int i = 0; i < VNX_HALF__MAX; i++) {
        assert(!strcmp(VnxVtcpHalfState_str(i), vnx_half_state_name(i)));
    }
    for (int i = 0; i < VNX_REASON__MAX; i++) {
        assert(!strcmp(VnxVtcpReason_str(i), vnx_reason_name(i)));
    }
}
