/*
 * vnx: filter-vtcp - vTCP on a netdev (T, U)
 *
 *      -object filter-vtcp,id=ID,netdev=NETDEV[,option=value...]
 *
 * A netfilter that pushes every frame of both directions into the engine
 * (vnx/vtcp.h), and gives the engine what it has not: the clock, timers, offloads,
 * a way out in each direction (outlet.h).  What TCP is, only the engine knows.
 *
 * Directions: frames that the netdev sends go to the guest, all others to the
 * network.  With a hubport there need not be a guest at all.
 *
 * One thing at a time: the engine's ops send frames, and what they reach may answer
 * before it returns (user-mode networking does), or poll for events (filter-mirror
 * does).  So while @busy frames are put aside and pushed afterwards; everything else that
 * wants to change the engine only writes down what it wants, and vtcp_sync() tells
 * the engine at the next entry.
 *
 * Nor does the engine send to a netdev that is handing us a frame: the bottom half does.
 * User-mode networking would take data in the middle of its own output, and keep its ACKs
 * for later, one for each turn of the main loop.
 *
 *      frame -> vtcp_enter() -> push -> vtcp_leave() -> bottom half, timer
 *      bottom half, timer, QMP, run state, migration -> vtcp_service()
 *
 * Frames toward the guest all leave by our outlet, also those that the engine passes:
 * one frame that the guest does not take would otherwise make the backend stop reading,
 * and us blind for that long.  Frames toward the network that pass are left to QEMU, so
 * that the NIC feels the backend's backpressure.
 *
 * A netdev with several queues has one engine: the two directions of a connection need
 * not use the same queue.  There is a way out per queue and direction.
 *
 * Status off: the engine delivers what it owes, then it only watches, and all frames go
 * QEMU's way.  object-del is refused as long as the engine is not drained; netdev_del
 * does not ask, then connections are reset.
 *
 * Migration: the engine's flows travel with what they owe (vnx_vtcp_save()).  When one
 * begins the engine drains, so that this is little.  Once all was saved, and until the VM
 * runs again, the connections may live on elsewhere: then we say no more to them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "filter-vtcp.h"
#include "migration/vmstate.h"
#include "hw/vmstate-if.h"
#include "net/eth.h"
#include "qapi/error.h"
#include "qapi/qapi-types-vnx-object.h"
#include "qapi/visitor.h"
#include "qemu/cutils.h"
#include "qemu/error-report.h"
#include "qemu/guest-random.h"
#include "qemu/iov.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qom/object_interfaces.h"
#include "system/runstate.h"
#include "trace.h"

/* Pieces of a frame so short that it has to be padded: headers and less than 7 bytes. */
#define VTCP_PAD_IOV 8
/* Frames that arrive while the engine is busy. */
#define DEFERRED_BYTES_MAX (4u << 20)
/* Nobody sends more state than this; a stream that says so is not ours. */
#define VTCP_STATE_MAX INT32_MAX
/* Nobody tells a filter that a link is up again. */
#define LINK_POLL_NS (100 * SCALE_MS)

struct VtcpDeferred {
    QSIMPLEQ_ENTRY(VtcpDeferred) next;
    VnxDir dir;
    unsigned queue;
    unsigned flags;
    size_t vnet_len;
    size_t size;
    uint8_t data[];
};

static void vtcp_service(FilterVtcp *s);

int64_t vtcp_now(void)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

/* ---- What the engine asks of us ---- */

static bool vtcp_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                      unsigned iovcnt, size_t size)
{
    static uint8_t zeros[ETH_ZLEN];
    FilterVtcp *s = opaque;
    VtcpQueue *q = &s->queue[queue];
    VnxOutlet *o = &q->out[dir];
    struct iovec padded[VTCP_PAD_IOV + 1];
    bool taken = true;

    /* backends pad for NICs that want it; so must who stands in for one */
    if (dir == VNX_TO_GUEST && size < ETH_ZLEN && iovcnt <= VTCP_PAD_IOV &&
        net_peer_needs_padding(q->netdev)) {
        memcpy(padded, iov, iovcnt * sizeof(*iov));
        padded[iovcnt] = (struct iovec) { zeros, ETH_ZLEN - size };
        iov = padded;
        iovcnt++;
        size = ETH_ZLEN;
    }
    if (s->closing || !q->netdev->peer) {
        vnx_outlet_send_last(o, q->netdev, iov, iovcnt);
    } else if (vnx_outlet_blocked(o)) {
        q->refused[dir] = true;
        taken = false;
    } else if (dir == VNX_TO_NET && s->netdev_sends) {
        q->refused[dir] = true;
        s->again = true;
        taken = false;
    } else {
        vnx_outlet_send(o, vtcp_place(s, queue), QEMU_NET_PACKET_FLAG_NONE, iov, iovcnt);
    }
    trace_vnx_vtcp_emit(s->id, dir, queue, size, taken);
    return taken;
}

static void vtcp_forward(void *opaque, VnxDir dir, const struct iovec *iov,
                         unsigned iovcnt, size_t size)
{
    FilterVtcp *s = opaque;
    NetFilterState *nf = NETFILTER(s);

    vnx_outlet_put(&s->queue[s->push_queue].out[dir], vtcp_place(s, s->push_queue),
                   s->push_flags, nf->netdev->vnet_hdr_len, iov, iovcnt);
}

static bool vtcp_receiver_stalled(void *opaque, VnxDir dir, unsigned queue)
{
    FilterVtcp *s = opaque;
    VtcpQueue *q = &s->queue[queue];

    return vnx_outlet_blocked(&q->out[dir]) ||
           (dir == VNX_TO_GUEST && vnx_nic_rx_unconsumed(q->netdev->peer, &q->rx_mark));
}

static void vtcp_event(void *opaque, const VnxVtcpEvent *ev)
{
    FilterVtcp *s = opaque;

    switch (ev->type) {
    case VNX_EVENT_FLOW_STATE:
        trace_vnx_vtcp_flow_state(s->id, ev->flow_id,
                                  vnx_flow_state_name(ev->flow_state));
        break;
    case VNX_EVENT_HALF_STATE:
        trace_vnx_vtcp_half_state(s->id, ev->flow_id, ev->dir,
                                  vnx_half_state_name(ev->half_state),
                                  vnx_reason_name(ev->reason));
        break;
    case VNX_EVENT_RETRANSMIT:
        trace_vnx_vtcp_retransmit(s->id, ev->flow_id, ev->dir, ev->seq, ev->len,
                                  ev->by_rto);
        break;
    case VNX_EVENT_RESET:
        trace_vnx_vtcp_reset(s->id, ev->flow_id);
        vtcp_qmp_flow_reset(s, ev);
        break;
    }
}

static const VnxVtcpOps vtcp_ops = {
    .emit = vtcp_emit,
    .forward = vtcp_forward,
    .receiver_stalled = vtcp_receiver_stalled,
    .event = vtcp_event,
};

/* ---- What we tell the engine ---- */

static void vtcp_new_engine(FilterVtcp *s)
{
    uint8_t seed[16];

    qemu_guest_getrandom_nofail(seed, sizeof(seed));
    s->vtcp = vnx_vtcp_new(&s->config, &vtcp_ops, s, seed);
    vnx_vtcp_set_policies(s->vtcp, s->policies, vtcp_now());
    s->config_changed = s->policies_changed = false;
    s->paused = false;
    s->enabled = true;
    s->active_queues = s->n_queues;     /* until the NIC tells */
    vnx_vtcp_set_queues(s->vtcp, s->n_queues);
    for (int d = 0; d < 2; d++) {
        s->offload[d].vnet_len = UINT8_MAX;     /* not told yet */
        for (unsigned i = 0; i < s->n_queues; i++) {
            s->queue[i].refused[d] = false;
        }
    }
}

/* A new engine that knows nothing of the connections there are. */
static void vtcp_replace_engine(FilterVtcp *s)
{
    vtcp_stats(s, &s->past);
    vnx_vtcp_free(s->vtcp);
    vtcp_new_engine(s);
}

void vtcp_stats(FilterVtcp *s, VnxVtcpStats *stats)
{
    const VnxVtcpStats past = s->past;

    vnx_vtcp_stats(s->vtcp, stats);
#define VNX_X(name, qmp, text) stats->name += past.name;
    VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
}

static void vtcp_tell_offload(FilterVtcp *s, VnxDir dir, VnxOffload o)
{
    VnxOffload *told = &s->offload[dir];

    if (o.vnet_len != told->vnet_len || o.csum != told->csum ||
        o.tso4 != told->tso4 || o.tso6 != told->tso6 || o.ecn != told->ecn) {
        *told = o;
        vnx_vtcp_set_offload(s->vtcp, dir, told);
        trace_vnx_vtcp_offload(s->id, dir, o.vnet_len, o.csum, o.tso4, o.tso6);
    }
}

/* The guest uses @n queues now: what waits for one that is no more goes by the first. */
static void vtcp_tell_queues(FilterVtcp *s, unsigned n)
{
    for (unsigned i = n; i < s->active_queues; i++) {
        for (int d = 0; d < 2; d++) {
            vnx_outlet_move(&s->queue[0].out[d], &s->queue[i].out[d]);
        }
    }
    s->active_queues = n;
    vnx_vtcp_set_queues(s->vtcp, n);
    trace_vnx_vtcp_queues(s->id, n, s->n_queues);
    s->again = true;
}

/* Tell the engine whatever has changed since it was told. */
static void vtcp_sync(FilterVtcp *s, int64_t now)
{
    NetFilterState *nf = NETFILTER(s);
    NetClientState *netdev = nf->netdev, *peer = netdev->peer;
    VnxNicOffloads nic = vnx_nic_guest_offloads(peer);
    uint8_t vnet_len = netdev->vnet_hdr_len;
    bool link_down = netdev->link_down || (peer && peer->link_down);
    bool paused = !s->running || link_down;
    bool enabled = nf->on && !s->migrating;
    unsigned queues = vnx_nic_queues(peer);

    if (s->config_changed) {
        s->config_changed = false;
        vnx_vtcp_set_config(s->vtcp, &s->config, now, NULL);   /* checked before */
    }
    if (s->policies_changed) {
        s->policies_changed = false;
        vnx_vtcp_set_policies(s->vtcp, s->policies, now);
    }
    vtcp_tell_offload(s, VNX_TO_GUEST, (VnxOffload) {
        .vnet_len = vnet_len,
        .csum = vnet_len && nic.csum,
        .tso4 = vnet_len && nic.csum && nic.tso4,
        .tso6 = vnet_len && nic.csum && nic.tso6,
        .ecn = vnet_len && nic.csum && nic.ecn,
    });
    vtcp_tell_offload(s, VNX_TO_NET, (VnxOffload) {
        .vnet_len = vnet_len,
        .csum = vnet_len,
        .tso4 = vnet_len,
        .tso6 = vnet_len,
        .ecn = vnet_len,
    });
    queues = queues ? MIN(queues, s->n_queues) : s->n_queues;
    if (queues != s->active_queues && s->running) {
        vtcp_tell_queues(s, queues);
    }
    if (paused != s->paused) {
        s->paused = paused;
        trace_vnx_vtcp_paused(s->id, s->running, link_down);
        vnx_vtcp_set_paused(s->vtcp, paused, now);
    }
    if (enabled != s->enabled) {
        s->enabled = enabled;
        trace_vnx_vtcp_status(s->id, enabled ? "on" : "draining");
        vnx_vtcp_set_enabled(s->vtcp, enabled, now);
    }
}

/* ---- In and out of the engine ---- */

static void vtcp_arm_timer(FilterVtcp *s, int64_t now)
{
    int64_t deadline = MIN(s->drain_deadline, vnx_vtcp_next_deadline(s->vtcp));

    if (!s->running) {
        return;     /* the clock stands still */
    }
    if (s->paused) {
        deadline = vnx_vtcp_drained(s->vtcp) ? INT64_MAX : now + LINK_POLL_NS;
    }
    /* A deadline that moves away is met when the timer fires: cheaper, per frame. */
    if (deadline < s->armed) {
        s->armed = deadline;
        timer_mod_ns(s->timer, deadline);
        trace_vnx_vtcp_timer(s->id, deadline);
    }
}

static int64_t vtcp_enter(FilterVtcp *s)
{
    int64_t now = vtcp_now();

    assert(!s->busy);
    s->busy = true;
    vtcp_sync(s, now);
    return now;
}

/* Switched off, and nothing is owed. */
static bool vtcp_only_watches(const FilterVtcp *s)
{
    return !s->enabled && vnx_vtcp_drained(s->vtcp);
}

/*
 * Push a frame.
 * @ours: QEMU will not forward it any more, even if it passes.
 * Returns true if it shall not be forwarded by QEMU.
 */
static bool vtcp_push(FilterVtcp *s, VnxDir dir, unsigned queue, unsigned flags,
                      size_t vnet_len, const struct iovec *iov, int iovcnt, bool ours,
                      int64_t now)
{
    VnxOutlet *o = &s->queue[queue].out[dir];
    VnxVerdict verdict;

    s->push_queue = queue;
    s->push_flags = flags;
    verdict = vnx_vtcp_push(s->vtcp, dir, queue, iov, iovcnt, vnet_len, now);
    s->push_flags = QEMU_NET_PACKET_FLAG_NONE;
    trace_vnx_vtcp_frame(s->id, dir, queue, iov_size(iov, iovcnt), vnet_len,
                         verdict == VNX_VERDICT_PASS ? "passed" : "consumed");

    if (verdict == VNX_VERDICT_CONSUMED) {
        return true;
    }
    if (!ours && !o->waiting && (dir == VNX_TO_NET || vtcp_only_watches(s))) {
        return false;
    }
    vnx_outlet_put(o, vtcp_place(s, queue), flags, vnet_len, iov, iovcnt);
    return true;
}

static void vtcp_defer(FilterVtcp *s, VnxDir dir, unsigned queue, unsigned flags,
                       size_t vnet_len, const struct iovec *iov, int iovcnt)
{
    size_t size = iov_size(iov, iovcnt);
    VtcpDeferred *f;

    if (s->deferred_bytes + size > DEFERRED_BYTES_MAX) {
        s->queue[queue].out[dir].dropped++;
        return;
    }
    f = g_malloc(sizeof(*f) + size);
    *f = (VtcpDeferred) {
        .dir = dir, .queue = queue, .flags = flags, .vnet_len = vnet_len, .size = size,
    };
    iov_to_buf(iov, iovcnt, 0, f->data, size);
    QSIMPLEQ_INSERT_TAIL(&s->deferred, f, next);
    s->deferred_bytes += size;
}

static void vtcp_leave(FilterVtcp *s, int64_t now)
{
    VtcpDeferred *f;

    while ((f = QSIMPLEQ_FIRST(&s->deferred))) {
        struct iovec iov = { .iov_base = f->data, .iov_len = f->size };

        QSIMPLEQ_REMOVE_HEAD(&s->deferred, next);
        s->deferred_bytes -= f->size;
        vtcp_push(s, f->dir, f->queue, f->flags, f->vnet_len, &iov, 1, true, now);
        g_free(f);
    }
    s->busy = false;

    if (s->again || (!s->paused && vnx_vtcp_has_work(s->vtcp))) {
        s->again = false;
        qemu_bh_schedule(s->bh);
    }
    vtcp_arm_timer(s, now);
}

ssize_t vtcp_receive(FilterVtcp *s, unsigned queue, NetClientState *sender,
                     unsigned flags, const struct iovec *iov, int iovcnt)
{
    NetClientState *netdev = s->queue[queue].netdev;
    VnxDir dir = sender == netdev ? VNX_TO_GUEST : VNX_TO_NET;
    size_t vnet_len = flags & QEMU_NET_PACKET_FLAG_RAW ? 0 : netdev->vnet_hdr_len;
    bool taken = true;

    if (s->busy) {
        vtcp_defer(s, dir, queue, flags, vnet_len, iov, iovcnt);
    } else {
        int64_t now = vtcp_enter(s);

        s->netdev_sends = dir == VNX_TO_GUEST;
        taken = vtcp_push(s, dir, queue, flags, vnet_len, iov, iovcnt, false, now);
        vtcp_leave(s, now);
        s->netdev_sends = false;
    }
    return taken ? MAX(iov_size(iov, iovcnt), 1) : 0;
}

static ssize_t filter_vtcp_receive_iov(NetFilterState *nf, NetClientState *sender,
                                       unsigned flags, const struct iovec *iov,
                                       int iovcnt, NetPacketSent *sent_cb)
{
    return vtcp_receive(FILTER_VTCP(nf), 0, sender, flags, iov, iovcnt);
}

/* Send what waits in @q, and tell the engine if it takes frames again. */
static void vtcp_pump(FilterVtcp *s, unsigned queue, VnxDir dir)
{
    VtcpQueue *q = &s->queue[queue];

    vnx_outlet_pump(&q->out[dir], vtcp_place(s, queue), q->netdev->vnet_hdr_len);
    if (q->refused[dir] && !vnx_outlet_blocked(&q->out[dir])) {
        q->refused[dir] = false;
        vnx_vtcp_writable(s->vtcp, dir, queue);
    }
}

/* Do what is due, and what has become possible. */
static void vtcp_service(FilterVtcp *s)
{
    NetFilterState *nf = NETFILTER(s);
    int64_t now;

    if (s->busy) {
        s->again = true;
        return;
    }
    now = vtcp_enter(s);
    if (!s->paused) {
        for (unsigned i = 0; i < s->n_queues; i++) {
            vtcp_pump(s, i, VNX_TO_GUEST);
            vtcp_pump(s, i, VNX_TO_NET);
        }
        if (now >= s->drain_deadline) {
            s->drain_deadline = INT64_MAX;
            vnx_vtcp_reset_undrained(s->vtcp, now);
        }
        if (!nf->netdev->peer && !vnx_vtcp_drained(s->vtcp)) {
            vnx_vtcp_reset_undrained(s->vtcp, now);     /* the NIC is gone */
        }
        vnx_vtcp_run(s->vtcp, now);
    }
    vtcp_leave(s, now);
    vtcp_update_place(s);
}

static void vtcp_bh(void *opaque)
{
    vtcp_service(opaque);
}

static void vtcp_timer(void *opaque)
{
    FilterVtcp *s = opaque;

    s->armed = INT64_MAX;
    vtcp_service(s);
}

/* From inside a receiver's flush: not now. */
static void vtcp_resume(void *opaque)
{
    FilterVtcp *s = opaque;

    qemu_bh_schedule(s->bh);
}

static void vtcp_run_state(void *opaque, bool running, RunState state)
{
    FilterVtcp *s = opaque;

    s->running = running;
    s->saved &= !running;
    vtcp_service(s);
}

/* ---- Status ---- */

static void filter_vtcp_status_changed(NetFilterState *nf, Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(nf);

    s->drain_deadline = INT64_MAX;
    if (!nf->on) {
        vtcp_update_place(s);
        if (s->drain_timeout_ms) {
            s->drain_deadline = vtcp_now() + s->drain_timeout_ms * (int64_t)SCALE_MS;
        }
    }
    vtcp_service(s);
}

/* ---- Migration ---- */

static int vtcp_migration_event(NotifierWithReturn *notifier, MigrationEvent *e,
                                Error **errp)
{
    FilterVtcp *s = container_of(notifier, FilterVtcp, migration);

    s->migrating = e->type == MIG_EVENT_PRECOPY_SETUP;
    vtcp_service(s);
    return 0;
}

static void vtcp_free_state(FilterVtcp *s)
{
    g_clear_pointer(&s->state, g_free);
    s->state_size = 0;
}

static int vtcp_pre_save(void *opaque)
{
    FilterVtcp *s = opaque;
    GByteArray *bytes;

    vtcp_service(s);                    /* the engine knows that the VM stands still */
    bytes = vnx_vtcp_save(s->vtcp, vtcp_now());
    if (bytes->len > VTCP_STATE_MAX) {
        error_report("filter-vtcp '%s' has %u bytes of state, more than can be saved: "
                     "set its status to off, and try again when query-vnx-vtcp-stats "
                     "says that it is drained", s->id, bytes->len);
        g_byte_array_free(bytes, TRUE);
        return -EFBIG;
    }
    vtcp_free_state(s);
    s->state_size = bytes->len;
    s->state = g_byte_array_free(bytes, FALSE);
    return 0;
}

static int vtcp_post_save(void *opaque)
{
    FilterVtcp *s = opaque;

    vtcp_free_state(s);
    s->saved = !s->running;
    return 0;
}

static int vtcp_pre_load(void *opaque)
{
    vtcp_free_state(opaque);
    return 0;
}

static bool vtcp_state_size_ok(void *opaque, int version_id)
{
    FilterVtcp *s = opaque;

    return s->state_size <= VTCP_STATE_MAX;
}

/* Into an engine of its own: what this one knew is of another past. */
static int vtcp_post_load(void *opaque, int version_id)
{
    FilterVtcp *s = opaque;
    g_autoptr(GError) err = NULL;
    int64_t now = vtcp_now();
    bool ok;

    vtcp_replace_engine(s);
    vnx_vtcp_set_paused(s->vtcp, true, now);    /* until the run state handler's call */
    s->paused = true;
    ok = vnx_vtcp_load(s->vtcp, s->state, s->state_size, now, &err);
    vtcp_free_state(s);
    if (!ok) {
        error_report("filter-vtcp '%s': %s", s->id, err->message);
        return -EINVAL;
    }
    return 0;
}

static const VMStateDescription vtcp_vmstate = {
    .name = "filter-vtcp",
    .version_id = 1,
    .minimum_version_id = 1,
    .pre_save = vtcp_pre_save,
    .post_save = vtcp_post_save,
    .pre_load = vtcp_pre_load,
    .post_load = vtcp_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_UINT32(state_size, FilterVtcp),
        VMSTATE_VALIDATE("state_size", vtcp_state_size_ok),
        VMSTATE_VBUFFER_ALLOC_UINT32(state, FilterVtcp, 1, NULL, state_size),
        VMSTATE_END_OF_LIST()
    },
};

static char *vtcp_vmstate_id(VMStateIf *obj)
{
    return g_strdup_printf("filter-vtcp/%s", FILTER_VTCP(obj)->id);
}

/* ---- Properties ---- */

typedef struct VtcpNumber {
    const char *name;
    size_t offset;              /* in VnxVtcpConfig */
    bool is_size;               /* takes suffixes; else a plain uint32_t */
    bool is_64;                 /* a size of 64 bits */
    const char *text;
    uint32_t min, max;          /* of a size of 32 bits */
} VtcpNumber;

static const VtcpNumber vtcp_numbers[] = {
    { "buffer-size", offsetof(VnxVtcpConfig, buffer_size), true, true,
      "bytes that all flows together may keep" },
    { "flow-buffer-size", offsetof(VnxVtcpConfig, flow.flow_buffer_size), true, false,
      "bytes that one direction of a flow may keep", VNX_FLOW_BUFFER_SIZE_MIN,
      VNX_FLOW_BUFFER_SIZE_MAX },
    { "weight", offsetof(VnxVtcpConfig, flow.weight), false, false,
      "share of the buffers, relative to others; 0: none" },
    { "max-window", offsetof(VnxVtcpConfig, flow.max_window), true, false,
      "largest window to advertise, in bytes; 0: no limit", 0, VNX_MAX_WINDOW_MAX },
    { "max-flows", offsetof(VnxVtcpConfig, max_flows), false, false,
      "number of flows followed at a time" },
    { "dupack-threshold", offsetof(VnxVtcpConfig, flow.dupack_threshold), false, false,
      "duplicate ACKs that start a retransmission" },
    { "initial-window", offsetof(VnxVtcpConfig, flow.initial_window), false, false,
      "congestion window of a new flow, in segments" },
    { "slow-start-threshold", offsetof(VnxVtcpConfig, flow.slow_start_threshold), true,
      false, "where a new flow's slow start ends, in bytes; 0: no limit", 0,
      VNX_SLOW_START_THRESHOLD_MAX },
    { "additive-increase", offsetof(VnxVtcpConfig, flow.additive_increase), false, false,
      "additive increase, in percent of the algorithm's own" },
    { "decrease-factor", offsetof(VnxVtcpConfig, flow.decrease_factor), false, false,
      "percent of the window that a loss leaves; 0: the algorithm's own" },
    { "min-rto", offsetof(VnxVtcpConfig, flow.min_rto_ms), false, false,
      "smallest retransmission timeout, in ms" },
    { "max-rto", offsetof(VnxVtcpConfig, flow.max_rto_ms), false, false,
      "largest retransmission timeout, in ms" },
    { "max-pacing-rate", offsetof(VnxVtcpConfig, flow.max_pacing_rate), true, true,
      "payload to send in each direction, in bytes per second; 0: no limit" },
    { "retry-limit", offsetof(VnxVtcpConfig, retry_limit_ms), false, false,
      "time without a sign of life from a receiver, in ms" },
};

static bool vtcp_check_config(const VnxVtcpConfig *config, Error **errp)
{
    g_autoptr(GError) err = NULL;

    if (!vnx_vtcp_config_check(config, &err)) {
        error_setg(errp, "filter-vtcp: %s", err->message);
        return false;
    }
    return true;
}

/*
 * Take a changed configuration.  Before the object is complete members depend on
 * each other in any order, so the check comes with filter_vtcp_complete().
 */
static void vtcp_change_config(FilterVtcp *s, const VnxVtcpConfig *config, Error **errp)
{
    g_autoptr(GError) err = NULL;

    if (s->vtcp && !vtcp_check_config(config, errp)) {
        return;
    }
    if (s->vtcp && !vnx_policies_set_defaults(s->policies, &config->flow, &err)) {
        error_setg(errp, "filter-vtcp: %s", err->message);
        return;
    }
    s->config = *config;
    if (s->vtcp) {
        s->config_changed = true;
        vtcp_service(s);
    }
}

void vtcp_policies_changed(FilterVtcp *s)
{
    s->policies_changed = true;
    vtcp_service(s);
}

static void vtcp_get_number(Object *obj, Visitor *v, const char *name, void *opaque,
                            Error **errp)
{
    const VtcpNumber *n = opaque;
    void *member = (uint8_t *)&FILTER_VTCP(obj)->config + n->offset;

    if (n->is_size) {
        uint64_t size = n->is_64 ? *(uint64_t *)member : *(uint32_t *)member;

        visit_type_size(v, name, &size, errp);
    } else {
        visit_type_uint32(v, name, member, errp);
    }
}

static void vtcp_set_number(Object *obj, Visitor *v, const char *name, void *opaque,
                            Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    const VtcpNumber *n = opaque;
    VnxVtcpConfig config = s->config;
    void *member = (uint8_t *)&config + n->offset;
    uint64_t size;

    if (!n->is_size) {
        if (!visit_type_uint32(v, name, member, errp)) {
            return;
        }
    } else if (!visit_type_size(v, name, &size, errp)) {
        return;
    } else if (n->is_64) {
        *(uint64_t *)member = size;
    } else if (size > UINT32_MAX) {
        error_setg(errp, "filter-vtcp: %s is %" PRIu64 ", but must be from %u to %u",
                   name, size, n->min, n->max);
        return;
    } else {
        *(uint32_t *)member = size;
    }
    vtcp_change_config(s, &config, errp);
}

static char *vtcp_get_congestion_control(Object *obj, Error **errp)
{
    return g_strdup(FILTER_VTCP(obj)->config.flow.congestion_control);
}

static void vtcp_set_congestion_control(Object *obj, const char *value, Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpConfig config = s->config;

    /* a name too long for it is unknown, cut off or not */
    pstrcpy(config.flow.congestion_control, sizeof(config.flow.congestion_control),
            value);
    vtcp_change_config(s, &config, errp);
}

static char *vtcp_get_guest_congestion_control(Object *obj, Error **errp)
{
    return g_strdup(FILTER_VTCP(obj)->config.flow.guest_congestion_control);
}

static void vtcp_set_guest_congestion_control(Object *obj, const char *value,
                                              Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpConfig config = s->config;

    pstrcpy(config.flow.guest_congestion_control,
            sizeof(config.flow.guest_congestion_control), value);
    vtcp_change_config(s, &config, errp);
}

static bool vtcp_get_ecn(Object *obj, Error **errp)
{
    return FILTER_VTCP(obj)->config.flow.ecn;
}

static void vtcp_set_ecn(Object *obj, bool value, Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpConfig config = s->config;

    config.flow.ecn = value;
    vtcp_change_config(s, &config, errp);
}

QEMU_BUILD_BUG_ON((int)VNX_VTCP_MODE_ACCELERATE != (int)VNX_MODE_ACCELERATE);
QEMU_BUILD_BUG_ON((int)VNX_VTCP_MODE_OBSERVE != (int)VNX_MODE_OBSERVE);
QEMU_BUILD_BUG_ON((int)VNX_VTCP_MODE_OFF != (int)VNX_MODE_OFF);

static int vtcp_get_mode(Object *obj, Error **errp)
{
    return FILTER_VTCP(obj)->config.flow.mode;
}

static void vtcp_set_mode(Object *obj, int value, Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpConfig config = s->config;

    config.flow.mode = value;
    vtcp_change_config(s, &config, errp);
}

QEMU_BUILD_BUG_ON((int)VNX_VTCP_OUT_OF_ORDER_QUEUE != (int)VNX_OOO_QUEUE);
QEMU_BUILD_BUG_ON((int)VNX_VTCP_OUT_OF_ORDER_PASS_THROUGH != (int)VNX_OOO_PASS_THROUGH);

static int vtcp_get_out_of_order(Object *obj, Error **errp)
{
    return FILTER_VTCP(obj)->config.flow.out_of_order;
}

static void vtcp_set_out_of_order(Object *obj, int value, Error **errp)
{
    FilterVtcp *s = FILTER_VTCP(obj);
    VnxVtcpConfig config = s->config;

    config.flow.out_of_order = value;
    vtcp_change_config(s, &config, errp);
}

static void vtcp_get_drain_timeout(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    visit_type_uint32(v, name, &FILTER_VTCP(obj)->drain_timeout_ms, errp);
}

static void vtcp_set_drain_timeout(Object *obj, Visitor *v, const char *name,
                                   void *opaque, Error **errp)
{
    uint32_t value;

    if (visit_type_uint32(v, name, &value, errp)) {
        FILTER_VTCP(obj)->drain_timeout_ms = value;
    }
}

/* ---- Life ---- */

static void filter_vtcp_init(Object *obj)
{
    FilterVtcp *s = FILTER_VTCP(obj);

    vnx_vtcp_config_init(&s->config);
    s->drain_deadline = s->armed = INT64_MAX;
    QSIMPLEQ_INIT(&s->deferred);
}

static void filter_vtcp_complete(UserCreatable *uc, Error **errp)
{
    NetFilterState *nf = NETFILTER(uc), *position;
    FilterVtcp *s = FILTER_VTCP(uc);

    if (nf->direction != NET_FILTER_DIRECTION_ALL) {
        error_setg(errp, "filter-vtcp: queue must be 'all': TCP needs both directions");
        return;
    }
    if (!vtcp_check_config(&s->config, errp) || !vtcp_policies_start(s, errp)) {
        return;
    }
    if (!vtcp_find_place(s, &position, errp)) {
        g_clear_pointer(&s->policies, vnx_policies_free);
        return;
    }
    for (unsigned i = 0; i < s->n_queues; i++) {
        for (int d = 0; d < 2; d++) {
            vnx_outlet_init(&s->queue[i].out[d], d, vtcp_resume, s);
        }
    }
    s->id = g_strdup(object_get_canonical_path_component(OBJECT(s)));
    vtcp_new_engine(s);
    s->running = runstate_is_running();
    s->bh = qemu_bh_new(vtcp_bh, s);
    s->timer = timer_new_full(NULL, QEMU_CLOCK_VIRTUAL, SCALE_NS,
                              QEMU_TIMER_ATTR_EXTERNAL, vtcp_timer, s);
    s->run_state = qemu_add_vm_change_state_handler(vtcp_run_state, s);
    migration_add_notifier(&s->migration, vtcp_migration_event);
    vmstate_register_any(VMSTATE_IF(s), &vtcp_vmstate, s);
    vtcp_take_place(s, position);
}

static void filter_vtcp_cleanup(NetFilterState *nf)
{
    FilterVtcp *s = FILTER_VTCP(nf);
    VtcpDeferred *f;

    if (!s->vtcp) {
        return;
    }
    vmstate_unregister(VMSTATE_IF(s), &vtcp_vmstate, s);
    vtcp_free_state(s);
    migration_remove_notifier(&s->migration);
    qemu_del_vm_change_state_handler(s->run_state);

    /* Only when the netdev is going away, or QEMU: object-del waits. */
    if (!vnx_vtcp_drained(s->vtcp) && !s->saved) {
        int64_t now = vtcp_now();

        s->busy = s->closing = true;
        vnx_vtcp_set_paused(s->vtcp, false, now);
        vnx_vtcp_reset_undrained(s->vtcp, now);
        for (unsigned i = 0; i < s->n_queues; i++) {
            vnx_vtcp_writable(s->vtcp, VNX_TO_GUEST, i);
            vnx_vtcp_writable(s->vtcp, VNX_TO_NET, i);
        }
        vnx_vtcp_run(s->vtcp, now);
    }
    for (unsigned i = 0; i < s->n_queues; i++) {
        vnx_outlet_destroy(&s->queue[i].out[VNX_TO_GUEST], s->queue[i].netdev);
        vnx_outlet_destroy(&s->queue[i].out[VNX_TO_NET], s->queue[i].netdev);
    }
    vtcp_leave_place(s);
    while ((f = QSIMPLEQ_FIRST(&s->deferred))) {
        QSIMPLEQ_REMOVE_HEAD(&s->deferred, next);
        g_free(f);
    }
    timer_free(s->timer);
    qemu_bh_delete(s->bh);
    vnx_vtcp_free(s->vtcp);
    s->vtcp = NULL;
    g_clear_pointer(&s->policies, vnx_policies_free);
    g_free(s->queue);
    g_free(s->id);
}

static void filter_vtcp_finalize(Object *obj)
{
    qapi_free_VnxVtcpPolicyList(FILTER_VTCP(obj)->wanted);
}

static bool filter_vtcp_can_be_deleted(UserCreatable *uc)
{
    FilterVtcp *s = FILTER_VTCP(uc);

    if (s->vtcp && (s->busy || !vnx_vtcp_drained(s->vtcp))) {
        warn_report("filter-vtcp '%s' holds data that it has acknowledged and not "
                    "delivered: set its status to off, and delete it when "
                    "query-vnx-vtcp-stats says that it is drained", s->id);
        return false;
    }
    return true;
}

static void filter_vtcp_class_init(ObjectClass *oc, void *data)
{
    NetFilterClass *nfc = NETFILTER_CLASS(oc);
    UserCreatableClass *ucc = USER_CREATABLE_CLASS(oc);
    VMStateIfClass *vc = VMSTATE_IF_CLASS(oc);

    vtcp_qmp_check_enums();
    vc->get_id = vtcp_vmstate_id;
    nfc->cleanup = filter_vtcp_cleanup;
    nfc->status_changed = filter_vtcp_status_changed;
    nfc->receive_iov = filter_vtcp_receive_iov;
    ucc->complete = filter_vtcp_complete;
    ucc->can_be_deleted = filter_vtcp_can_be_deleted;
    vtcp_fix_place(oc);
    vtcp_policies_class_init(oc);

    for (int i = 0; i < ARRAY_SIZE(vtcp_numbers); i++) {
        const VtcpNumber *n = &vtcp_numbers[i];

        object_class_property_add(oc, n->name, n->is_size ? "size" : "uint32",
                                  vtcp_get_number, vtcp_set_number, NULL, (void *)n);
        object_class_property_set_description(oc, n->name, n->text);
    }
    object_class_property_add_str(oc, "congestion-control", vtcp_get_congestion_control,
                                  vtcp_set_congestion_control);
    object_class_property_set_description(oc, "congestion-control",
                                          "algorithm toward the network");
    object_class_property_add_str(oc, "guest-congestion-control",
                                  vtcp_get_guest_congestion_control,
                                  vtcp_set_guest_congestion_control);
    object_class_property_set_description(oc, "guest-congestion-control",
                                          "algorithm toward the guest");
    object_class_property_add_bool(oc, "ecn", vtcp_get_ecn, vtcp_set_ecn);
    object_class_property_set_description(oc, "ecn",
                                          "accelerate connections that negotiate ECN");
    object_class_property_add_enum(oc, "mode", "VnxVtcpMode", &VnxVtcpMode_lookup,
                                   vtcp_get_mode, vtcp_set_mode);
    object_class_property_set_description(oc, "mode", "what to do with TCP flows");
    object_class_property_add_enum(oc, "out-of-order", "VnxVtcpOutOfOrder",
                                   &VnxVtcpOutOfOrder_lookup,
                                   vtcp_get_out_of_order, vtcp_set_out_of_order);
    object_class_property_set_description(oc, "out-of-order",
                                          "what to do with data ahead of its sequence");
    object_class_property_add(oc, "drain-timeout", "uint32", vtcp_get_drain_timeout,
                              vtcp_set_drain_timeout, NULL, NULL);
    object_class_property_set_description(oc, "drain-timeout",
        "after status=off, reset what is not delivered after so many ms (0: never)");
}

static const TypeInfo filter_vtcp_types[] = {
    {
        .name = TYPE_FILTER_VTCP,
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(FilterVtcp),
        .instance_init = filter_vtcp_init,
        .instance_finalize = filter_vtcp_finalize,
        .class_init = filter_vtcp_class_init,
        .interfaces = (InterfaceInfo[]) {
            { TYPE_VMSTATE_IF },
            { }
        },
    },
};

DEFINE_TYPES(filter_vtcp_types)
