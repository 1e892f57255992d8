/*
 * vnx simulation: the host - what QEMU's filter-vtcp is around vTCP, and its operator.
 *
 * Pushes each frame, forwards what passes, runs the bottom half soon after a batch and
 * the timers when they are due, refuses frames when the queue toward a side is full,
 * and tells when there is room.  With no vTCP the frames go straight through.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <inttypes.h>
#include <string.h>

#include <vnx/cc.h>

#include "sim.h"

#define QUEUES 3

static SimLink *link_to(SimHost *h, int dir)
{
    return &h->sim->link[dir == VNX_TO_GUEST ? SIM_GUEST_RX : SIM_NET_TX];
}

static int64_t host_now(const SimHost *h)
{
    return (h->paused && h->sim->sc.clock_stops ? h->paused_since : h->sim->clock.now) -
           h->stopped + h->skew;
}

static void count(SimHost *h)
{
    VnxVtcpStats s;

    vnx_vtcp_stats(h->vtcp, &s);
#define VNX_X(name, qmp, text) h->total.name += s.name;
    VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
}

void sim_host_stats(const SimHost *h, VnxVtcpStats *stats)
{
    *stats = (VnxVtcpStats) { 0 };
    if (h->vtcp) {
        vnx_vtcp_stats(h->vtcp, stats);
    }
#define VNX_X(name, qmp, text) stats->name += h->total.name;
    VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
}

static void schedule(SimHost *h)
{
    if (h->vtcp && !h->bh.slot) {
        int64_t us = h->sim->sc.bh_us * sim_uniform(&h->rng) * SIM_US;

        sim_timer_set(&h->sim->clock, &h->bh, h->sim->clock.now + us);
    }
}

static void arm(SimHost *h)
{
    int64_t deadline = vnx_vtcp_next_deadline(h->vtcp);

    if (deadline == INT64_MAX || (h->paused && h->sim->sc.clock_stops)) {
        sim_timer_cancel(&h->sim->clock, &h->deadline);
    } else {
        sim_timer_set(&h->sim->clock, &h->deadline, deadline + h->stopped - h->skew);
    }
}

static void try_remove(SimHost *h)
{
    if (h->remove_wanted && vnx_vtcp_drained(h->vtcp)) {
        sim_note(h->sim, "vTCP is drained and removed");
        count(h);
        vnx_vtcp_free(h->vtcp);
        h->vtcp = NULL;
        h->remove_wanted = false;
        h->removals++;
        h->refused[0] = h->refused[1] = false;
        sim_timer_cancel(&h->sim->clock, &h->bh);
        sim_timer_cancel(&h->sim->clock, &h->deadline);
    }
}

static void run(void *opaque)
{
    SimHost *h = opaque;
    int64_t now = h->sim->clock.now;

    if (!h->vtcp) {
        return;
    }
    if (h->paused && h->sim->sc.clock_stops) {
        return;                 /* timers stand still; resuming arms them */
    }
    vnx_vtcp_run(h->vtcp, host_now(h));
    h->runs_at_once = now == h->last_run ? h->runs_at_once + 1 : 0;
    h->last_run = now;
    if (h->runs_at_once > 10000) {
        sim_fail(h->sim, "vnx_vtcp_run() is called again and again at one instant: "
                 "deadline %" PRId64 ", now %" PRId64 ", work %d",
                 vnx_vtcp_next_deadline(h->vtcp), host_now(h),
                 vnx_vtcp_has_work(h->vtcp));
        return;
    }
    if (vnx_vtcp_has_work(h->vtcp) && !h->link_refused[0] && !h->link_refused[1] &&
        !h->refused[0] && !h->refused[1]) {
        schedule(h);
    }
    arm(h);
    try_remove(h);
}

/* ---- ops ---- */

static SimFrame *gather(const struct iovec *iov, unsigned iovcnt, size_t size)
{
    SimFrame *f = sim_frame_new(size);
    size_t at = 0;

    for (unsigned i = 0; i < iovcnt; i++) {
        g_assert(at + iov[i].iov_len <= size);
        memcpy(f->data + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    g_assert(at == size);
    return f;
}

/*
 * The tests' test: what a broken vTCP might do once it runs well.  Each must be noticed.
 * Returns false if the frame is to vanish.
 */
static bool sabotage(SimHost *h, int dir, SimFrame *f)
{
    size_t l3 = sim_vnet_l3(f->data, f->len, h->sim->sc.vnet_len);
    uint8_t *packet = f->data + l3;
    SimTcp t = sim_tcp_read(packet, f->len - l3);
    unsigned serial = h->emitted++;

    if (h->sim->sc.sabotage == 2) {
        return serial < 30 || dir == VNX_TO_GUEST;
    }
    if (serial < 10 || h->sabotaged || (t.flags & 7) || !t.payload_len) {
        return true;
    }
    h->sabotaged = true;
    if (h->sim->sc.sabotage == 1) {
        packet[t.payload] ^= 1;
    } else {
        packet[t.l4 + 9] += 1;          /* 64 KiB more */
    }
    if (!sim_vnet_vouched(f->data, h->sim->sc.vnet_len)) {
        uint16_t csum;

        packet[t.l4 + 16] = packet[t.l4 + 17] = 0;
        csum = sim_checksum(packet + t.l4, t.ip_len - t.l4,
                            sim_pseudo_sum(packet, t.ip_len - t.l4));
        packet[t.l4 + 16] = csum >> 8;
        packet[t.l4 + 17] = csum;
    }
    return true;
}

static void output(SimHost *h, int dir, SimFrame *f, SimHow how)
{
    static const char *const notes[] = { "PASS", "forwarded", "emitted" };

    if (h->sim->sc.sabotage && !sabotage(h, dir, f)) {
        g_free(f);
        return;
    }
    sim_trace(h->sim, dir == VNX_TO_GUEST ? "> guest" : "> net", f, notes[how]);
    if (h->paused && how != SIM_PASSED) {
        sim_fail(h->sim, "vTCP sent a frame while paused");
    }
    if (how == SIM_EMITTED && h->sim->sc.vnet_len) {
        SimOffload o = h->offload[dir];

        if ((f->data[0] && !o.csum) || ((f->data[1] & ~VNX_VNET_GSO_ECN) == VNX_VNET_GSO_TCPV4 && !o.tso4) ||
            ((f->data[1] & ~VNX_VNET_GSO_ECN) == VNX_VNET_GSO_TCPV6 && !o.tso6)) {
            sim_fail(h->sim, "vTCP used an offload that side %d does not take now", dir);
        }
    }
    sim_check_output(h->sim, dir, f, how);
    sim_link_send(link_to(h, dir), f);
}

static bool op_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size)
{
    SimHost *h = opaque;

    if (sim_link_full(link_to(h, dir))) {
        link_to(h, dir)->refused = true;
        h->link_refused[dir] = true;
        return false;
    }
    if (h->refused[dir]) {
        return false;
    }
    if (h->sim->clock.now < h->sim->sc.heal_s * SIM_S &&
        sim_chance(&h->rng, h->sim->sc.busy)) {
        h->refused[dir] = true;
        sim_timer_set(&h->sim->clock, &h->unbusy,
                      h->sim->clock.now + sim_int(&h->rng, 0, 2 * SIM_MS));
        return false;
    }
    output(h, dir, gather(iov, iovcnt, size), SIM_EMITTED);
    return true;
}

static void op_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
    SimHost *h = opaque;

    output(h, dir, gather(iov, iovcnt, size), SIM_FORWARDED);
}

/* The guest's ring tells; nothing tells about the remote. */
static unsigned not_looked_at(SimHost *h, VnxDir dir)
{
    const SimNode *n = &h->sim->node[dir];
    const SimLink *l = link_to(h, dir);

    return dir == VNX_TO_GUEST && n->frozen
        ? l->queue.length + l->in_channel + n->input.length : 0;
}

static bool op_stalled(void *opaque, VnxDir dir, unsigned queue)
{
    return not_looked_at(opaque, dir) > 0;
}

static void op_event(void *opaque, const VnxVtcpEvent *ev)
{
    static const char *const types[] = { "flow", "half", "retransmit", "reset" };
    SimHost *h = opaque;

    /* the retransmission itself is one of them by now */
    if (ev->type == VNX_EVENT_RETRANSMIT && ev->by_rto && not_looked_at(h, ev->dir) > 1) {
        sim_fail(h->sim, "a timeout, while the guest has frames it has not looked at");
    }

    sim_note(h->sim, "event %s: ports %u %u, %s, flow %s, half %s (%s)%s len %u",
             types[ev->type], ev->key->port[0], ev->key->port[1],
             ev->dir == VNX_TO_GUEST ? "to guest" : "to net",
             vnx_flow_state_name(ev->flow_state), vnx_half_state_name(ev->half_state),
             vnx_reason_name(ev->reason), ev->by_rto ? " by RTO" : "", ev->len);
}

static const VnxVtcpOps ops = {
    .emit = op_emit, .forward = op_forward, .receiver_stalled = op_stalled,
    .event = op_event,
};

/* ---- what the links call ---- */

void sim_host_input(SimHost *h, int dir, SimFrame *f)
{
    size_t vnet_len = h->sim->sc.vnet_len;
    const char *from = dir == VNX_TO_NET ? "guest >" : "net >";
    struct iovec iov[3];
    unsigned iovcnt = 1;
    VnxVerdict verdict;

    if (!h->vtcp) {
        sim_trace(h->sim, from, f, "through");
        sim_link_send(link_to(h, dir), f);
        return;
    }
    sim_trace(h->sim, from, f, "");
    sim_check_input(h->sim, dir, f);
    /* However the frame lies in memory must not matter. */
    iov[0] = (struct iovec) { f->data, f->len };
    while (iovcnt < 3 && sim_chance(&h->rng, 0.3)) {
        struct iovec *last = &iov[iovcnt - 1];
        size_t first = sim_int(&h->rng, 0, last->iov_len);

        iov[iovcnt++] = (struct iovec) {
            (uint8_t *)last->iov_base + first, last->iov_len - first };
        last->iov_len = first;
    }
    /* any queue will do: also one that there is not */
    verdict = vnx_vtcp_push(h->vtcp, dir, f->len % (QUEUES + 1), iov, iovcnt, vnet_len,
                            host_now(h));
    if (verdict == VNX_VERDICT_PASS) {
        output(h, dir, f, SIM_PASSED);
    } else {
        g_free(f);
    }
    schedule(h);
    if (!h->paused || !h->sim->sc.clock_stops) {
        arm(h);
    }
}

void sim_host_room(SimHost *h, int dir)
{
    h->link_refused[dir] = false;
    if (h->vtcp) {
        for (unsigned q = 0; q < QUEUES; q++) {
            vnx_vtcp_writable(h->vtcp, dir, q);
        }
        schedule(h);
    }
}

static void unbusy(void *opaque)
{
    SimHost *h = opaque;

    for (int dir = 0; dir < 2; dir++) {
        if (h->refused[dir]) {
            h->refused[dir] = false;
            sim_host_room(h, dir);
        }
    }
}

/* ---- what the operator does ---- */

static VnxVtcpConfig config(const SimHost *h)
{
    const SimScenario *sc = &h->sim->sc;
    unsigned n_cc = 0;
    VnxVtcpConfig cfg;

    vnx_vtcp_config_init(&cfg);
    cfg.buffer_size = sc->buffer_kb * 1024;
    cfg.flow.flow_buffer_size = sc->flow_buffer_kb * 1024;
    cfg.max_flows = sc->max_flows;
    while (vnx_cc_get(n_cc)) {
        n_cc++;
    }
    g_strlcpy(cfg.flow.congestion_control, vnx_cc_get((unsigned)sc->cc % n_cc)->name,
              sizeof(cfg.flow.congestion_control));
    cfg.flow.dupack_threshold = sc->dupack;
    cfg.flow.initial_window = sc->initial_window;
    cfg.flow.min_rto_ms = sc->min_rto_ms;
    cfg.flow.max_rto_ms = MAX(sc->max_rto_ms, sc->min_rto_ms);
    cfg.flow.out_of_order = sc->pass_through ? VNX_OOO_PASS_THROUGH : VNX_OOO_QUEUE;
    cfg.retry_limit_ms = sc->retry_s * 1000;
    return cfg;
}

void sim_host_pause(SimHost *h, bool pause)
{
    if (h->paused == pause) {
        return;
    }
    sim_note(h->sim, "the VM is %s", pause ? "stopped" : "resumed");
    if (pause) {
        if (h->vtcp) {
            vnx_vtcp_set_paused(h->vtcp, true, host_now(h));
        }
        h->paused_since = h->sim->clock.now;
        h->paused = true;
        sim_node_freeze(&h->sim->node[SIM_GUEST], true);
        sim_link_hold(&h->sim->link[SIM_GUEST_RX], true);
    } else {
        if (h->sim->sc.clock_stops) {
            h->stopped += h->sim->clock.now - h->paused_since;
        }
        h->paused = false;
        if (h->vtcp) {
            vnx_vtcp_set_paused(h->vtcp, false, host_now(h));
            schedule(h);
            arm(h);
        }
        sim_node_freeze(&h->sim->node[SIM_GUEST], false);
        sim_link_hold(&h->sim->link[SIM_GUEST_RX],
                      h->sim->node[SIM_GUEST].frozen > 0);
    }
}

void sim_host_enable(SimHost *h, bool enable)
{
    if (h->vtcp && !h->remove_wanted) {
        sim_note(h->sim, "vTCP is switched %s", enable ? "on" : "off");
        h->enabled = enable;
        vnx_vtcp_set_enabled(h->vtcp, enable, host_now(h));
        schedule(h);
        arm(h);
    }
}

void sim_host_remove(SimHost *h)
{
    if (h->vtcp && !h->remove_wanted) {
        sim_host_enable(h, false);
        h->remove_wanted = true;
        try_remove(h);
    }
}

void sim_host_force(SimHost *h)
{
    if (!h->vtcp) {
        return;
    }
    sim_note(h->sim, "what vTCP has not drained is reset");
    h->sim->forced = true;
    h->enabled = false;
    vnx_vtcp_set_enabled(h->vtcp, false, host_now(h));
    vnx_vtcp_reset_undrained(h->vtcp, host_now(h));
    schedule(h);
    arm(h);
}

static void offer(SimHost *h)
{
    for (int dir = 0; h->vtcp && dir < 2; dir++) {
        VnxOffload o = {
            .vnet_len = h->sim->sc.vnet_len, .csum = h->offload[dir].csum,
            .tso4 = h->offload[dir].tso4, .tso6 = h->offload[dir].tso6,
            .ecn = h->offload[dir].ecn,
        };

        vnx_vtcp_set_offload(h->vtcp, dir, &o);
    }
}

void sim_host_reoffer(SimHost *h)
{
    const SimScenario *sc = &h->sim->sc;
    SimOffload *o = &h->offload[VNX_TO_GUEST];

    o->csum = sc->guest_csum && sim_chance(&h->rng, 0.7);
    o->tso4 = o->csum && sc->guest_tso4 && sim_chance(&h->rng, 0.6);
    o->tso6 = o->csum && sc->guest_tso6 && sim_chance(&h->rng, 0.6);
    sim_note(h->sim, "the guest takes partial checksums: %d, TSO: %d %d", o->csum,
             o->tso4, o->tso6);
    offer(h);
}

static void create(SimHost *h, const VnxVtcpConfig *cfg)
{
    uint8_t seed[16];
    GError *err = NULL;

    for (unsigned i = 0; i < sizeof(seed); i++) {
        seed[i] = sim_rand(&h->rng);
    }
    h->vtcp = vnx_vtcp_new(cfg, &ops, h, seed);
    vnx_vtcp_set_queues(h->vtcp, QUEUES);
    if (!h->policies) {
        h->policies = vnx_policies_new(&cfg->flow);
    } else if (!vnx_policies_set_defaults(h->policies, &cfg->flow, &err)) {
        sim_fail(h->sim, "defaults refused: %s", err->message);
        g_error_free(err);
    }
    vnx_vtcp_set_policies(h->vtcp, h->policies, host_now(h));
    offer(h);
    vnx_vtcp_set_enabled(h->vtcp, h->enabled, host_now(h));
    if (h->paused) {
        vnx_vtcp_set_paused(h->vtcp, true, host_now(h));
    }
}

void sim_host_add(SimHost *h)
{
    VnxVtcpConfig cfg = config(h);
    GError *err = NULL;

    if (h->vtcp) {
        return;
    }
    if (!vnx_vtcp_config_check(&cfg, &err)) {
        sim_fail(h->sim, "configuration refused: %s", err->message);
        g_error_free(err);
        return;
    }
    sim_note(h->sim, "vTCP is added");
    h->enabled = true;
    create(h, &cfg);
}

void sim_host_migrate(SimHost *h)
{
    VnxVtcpStats before, after;
    VnxVtcpConfig cfg;
    GByteArray *state;
    GError *err = NULL;

    if (!h->vtcp || !h->paused) {
        return;
    }
    vnx_vtcp_stats(h->vtcp, &before);
    state = vnx_vtcp_save(h->vtcp, host_now(h));
    cfg = *vnx_vtcp_config(h->vtcp);
    count(h);
    vnx_vtcp_free(h->vtcp);
    h->migrations++;
    /* another host: another clock, perhaps less memory */
    h->skew = sim_int(&h->rng, -(host_now(h) - h->skew), 1000 * SIM_S);
    if (sim_chance(&h->rng, 0.3)) {
        cfg.buffer_size = VNX_BUFFER_SIZE_MIN;
        cfg.flow.flow_buffer_size = VNX_FLOW_BUFFER_SIZE_MIN;
    }
    create(h, &cfg);
    if (!vnx_vtcp_load(h->vtcp, state->data, state->len, host_now(h), &err)) {
        sim_fail(h->sim, "saved state refused: %s", err->message);
        g_error_free(err);
    }
    vnx_vtcp_stats(h->vtcp, &after);
    sim_note(h->sim, "migrated: %u bytes of state, %" PRIu64 " bytes undelivered",
             state->len, after.undelivered);
    if (after.undelivered != before.undelivered) {
        sim_fail(h->sim, "%" PRIu64 " bytes undelivered before a migration, %" PRIu64
                 " after it", before.undelivered, after.undelivered);
    }
    g_byte_array_unref(state);
}

/* A policy for some of the connections, for some time, that changes something. */
static VnxPolicySpec random_policy(SimHost *h, const char *id)
{
    SimRng *r = &h->rng;
    VnxPolicySpec s;

    vnx_policy_spec_init(&s);
    s.id = id;
    s.priority = sim_int(r, 0, 3);
    if (sim_chance(r, 0.3)) {
        s.opener = sim_int(r, 0, 1);
    }
    if (sim_chance(r, 0.3)) {
        s.ip_version = sim_chance(r, 0.5) ? 4 : 6;
    }
    if (sim_chance(r, 0.3)) {
        s.port[VNX_SOURCE][0] = 0;
        s.port[VNX_SOURCE][1] = sim_int(r, 0, 65535);
    }
    if (sim_chance(r, 0.5)) {
        s.scope_bytes = sim_int(r, 1, 300000);
    }
    if (sim_chance(r, 0.3)) {
        s.scope_ms = sim_int(r, 1, 3000);
    }
    vnx_flow_override_number(&s.override, "dupack-threshold", sim_int(r, 2, 10), NULL);
    vnx_flow_override_number(&s.override, "flow-buffer-size", 65536ll << sim_int(r, 0, 6),
                             NULL);
    if (sim_chance(r, 0.5)) {
        vnx_flow_override_number(&s.override, "max-window", sim_int(r, 1, 200000), NULL);
    }
    if (sim_chance(r, 0.5)) {
        vnx_flow_override_name(&s.override, "congestion-control",
                               vnx_cc_get(sim_int(r, 0, 2))->name, NULL);
    }
    if (h->sim->sc.modes && sim_chance(r, 0.3)) {
        vnx_flow_override_number(&s.override, "mode", VNX_MODE_OBSERVE, NULL);
    }
    if (sim_chance(r, 0.2)) {
        vnx_flow_override_number(&s.override, "weight", sim_int(r, 0, 300), NULL);
    }
    return s;
}

/* Other policies, in mid-flight. */
static void change_policies(SimHost *h)
{
    static const char *const ids[] = { "a", "b", "c", "d", "e" };
    VnxPolicySpec specs[G_N_ELEMENTS(ids)];
    int n = sim_int(&h->rng, 0, G_N_ELEMENTS(ids));
    GError *err = NULL;

    for (int i = 0; i < n; i++) {
        specs[i] = random_policy(h, ids[i]);
    }
    if (!vnx_policies_replace(h->policies, specs, n, &err)) {
        sim_fail(h->sim, "policies refused: %s", err->message);
        g_error_free(err);
    }
    sim_note(h->sim, "vTCP has %d policies", n);
    vnx_vtcp_set_policies(h->vtcp, h->policies, host_now(h));
}

void sim_host_reconfigure(SimHost *h)
{
    VnxVtcpConfig cfg = config(h);
    GError *err = NULL;
    SimRng *r = &h->rng;

    cfg.flow.flow_buffer_size = 65536ll << sim_int(r, 0, 6);
    cfg.buffer_size = (256ll << sim_int(r, 0, 8)) * 1024;
    cfg.flow.dupack_threshold = sim_int(r, 2, 10);
    cfg.flow.initial_window = sim_int(r, 1, 50);
    cfg.flow.out_of_order = sim_uniform(r) < 0.8 ? VNX_OOO_QUEUE : VNX_OOO_PASS_THROUGH;
    cfg.flow.min_rto_ms = sim_int(r, 10, 500);
    cfg.flow.max_rto_ms = sim_int(r, 500, 10000);
    cfg.flow.mode = h->sim->sc.modes ? sim_int(r, VNX_MODE_ACCELERATE, VNX_MODE_OFF)
                                : VNX_MODE_ACCELERATE;
    g_strlcpy(cfg.flow.congestion_control, vnx_cc_get(sim_int(r, 0, 6))->name,
              sizeof(cfg.flow.congestion_control));
    cfg.flow.weight = sim_uniform(r) < 0.1 ? 0 : sim_int(r, 1, 1000);
    cfg.flow.max_window = sim_uniform(r) < 0.2 ? sim_int(r, 1, 100000) : 0;
    cfg.flow.slow_start_threshold = sim_uniform(r) < 0.2 ? sim_int(r, 1, 100000) : 0;
    cfg.flow.additive_increase = sim_int(r, 1, 500);
    cfg.flow.decrease_factor = sim_uniform(r) < 0.5 ? sim_int(r, 0, 99) : 0;
    cfg.flow.max_pacing_rate = sim_uniform(r) < 0.2 ? sim_int(r, 100000, 5000000) : 0;
    if (!h->vtcp) {
        return;
    }
    sim_note(h->sim, "vTCP is configured: mode %d, flow buffer %u, buffer %" PRIu64,
             cfg.flow.mode, cfg.flow.flow_buffer_size, cfg.buffer_size);
    if (!vnx_policies_set_defaults(h->policies, &cfg.flow, &err) ||
        !vnx_vtcp_set_config(h->vtcp, &cfg, host_now(h), &err)) {
        sim_fail(h->sim, "configuration refused: %s", err->message);
        g_error_free(err);
    }
    change_policies(h);
    schedule(h);
    arm(h);
}

void sim_host_init(SimHost *h, Sim *sim)
{
    *h = (SimHost) {
        .sim = sim, .rng = sim_rng(sim->sc.seed, "host"), .last_run = -1,
        .bh = { .fn = run, .opaque = h }, .deadline = { .fn = run, .opaque = h },
        .unbusy = { .fn = unbusy, .opaque = h },
    };
    h->offload[VNX_TO_GUEST] = (SimOffload) { sim->sc.guest_csum, sim->sc.guest_tso4,
                                              sim->sc.guest_tso6, sim->sc.guest_gso_ecn };
    h->offload[VNX_TO_NET] = (SimOffload) { sim->sc.net_csum, sim->sc.net_tso4,
                                            sim->sc.net_tso6, sim->sc.net_gso_ecn };
    if (sim->sc.vtcp) {
        sim_host_add(h);
    }
}

void sim_host_destroy(SimHost *h)
{
    if (h->vtcp) {
        vnx_vtcp_free(h->vtcp);
    }
    vnx_policies_free(h->policies);
    sim_timer_cancel(&h->sim->clock, &h->bh);
    sim_timer_cancel(&h->sim->clock, &h->deadline);
    sim_timer_cancel(&h->sim->clock, &h->unbusy);
}
