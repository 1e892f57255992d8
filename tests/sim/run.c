/*
 * vnx simulation: one run of one scenario.
 *
 * Sets the stage, lets time pass until every connection is over, then until vTCP has
 * nothing left to do, and says what was wrong if anything was.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim.h"

/* An end whose peer vanished may wait for ever; so long we let it (RST lost). */
#define ORPHAN_NS (300 * SIM_S)
/* vTCP lets closed flows linger for 60 s; retransmissions of a FIN may add to it. */
#define DRAIN_NS (400 * SIM_S)
#define FORGET_NS (400 * SIM_S)

void sim_fail(Sim *sim, const char *fmt, ...)
{
    va_list ap;

    if (!sim->failure) {
        va_start(ap, fmt);
        sim->failure = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        sim_note(sim, "FAILED: %s", sim->failure);
    }
}

/* ---- links to nodes and host ---- */

static void from_guest(void *opaque, SimFrame *f)
{
    sim_host_input(&((Sim *)opaque)->host, VNX_TO_NET, f);
}

static void from_net(void *opaque, SimFrame *f)
{
    sim_host_input(&((Sim *)opaque)->host, VNX_TO_GUEST, f);
}

static void to_guest(void *opaque, SimFrame *f)
{
    sim_node_input(&((Sim *)opaque)->node[SIM_GUEST], f);
}

static void to_net(void *opaque, SimFrame *f)
{
    sim_node_input(&((Sim *)opaque)->node[SIM_NET], f);
}

static void room_to_guest(void *opaque)
{
    sim_host_room(&((Sim *)opaque)->host, VNX_TO_GUEST);
}

static void room_to_net(void *opaque)
{
    sim_host_room(&((Sim *)opaque)->host, VNX_TO_NET);
}

static void marked(const SimLink *l, const SimFrame *f)
{
    Sim *sim = l->opaque;
    int link = l - sim->link;
    bool to_net = link == SIM_GUEST_TX || link == SIM_NET_TX;

    sim_ecn_marked(sim, to_net ? SIM_GUEST : SIM_NET,
                   link == SIM_GUEST_TX || link == SIM_NET_RX, f);
}

/* The router beyond vTCP tells the guest, by way of vTCP. */
static void too_big(const SimLink *l, const SimFrame *f)
{
    Sim *sim = l->opaque;
    SimL2 l2 = sim_l2(false, sim->sc.vlans);

    sim_link_send(&sim->link[SIM_NET_RX],
                  sim_too_big(f, sim->sc.vnet_len, &l2, l->mtu));
}

static void mishap(const SimLink *l, const char *what, const SimFrame *f)
{
    sim_trace(l->opaque, l->name, f, what);
}

/* ---- planned disturbances ---- */

typedef enum What {
    FREEZE_GUEST, THAW_GUEST, FREEZE_NET, THAW_NET, PAUSE, RESUME, MIGRATE, SWITCH_OFF,
    SWITCH_ON, REMOVE, ADD, FORCE, REOFFER, RECONFIGURE, BLACKHOLE, PATH_SHRINKS,
    PATH_WIDENS
} What;

static void plan_at(Sim *sim, What what, int64_t when);

typedef struct Action {
    SimTimer timer;
    Sim *sim;
    What what;
} Action;

static void act(void *opaque)
{
    Action *a = opaque;
    Sim *sim = a->sim;

    switch (a->what) {
    case FREEZE_GUEST:
    case THAW_GUEST:
        sim_note(sim, "the guest is %s the CPU",
                 a->what == FREEZE_GUEST ? "held off" : "back on");
        sim_node_freeze(&sim->node[SIM_GUEST], a->what == FREEZE_GUEST);
        sim_link_hold(&sim->link[SIM_GUEST_RX], sim->node[SIM_GUEST].frozen > 0);
        break;
    case FREEZE_NET:
    case THAW_NET:
        sim_note(sim, "the remote is %s the CPU",
                 a->what == FREEZE_NET ? "held off" : "back on");
        sim_node_freeze(&sim->node[SIM_NET], a->what == FREEZE_NET);
        break;
    case PAUSE:
        sim_host_pause(&sim->host, true);
        if (sim_chance(&sim->rng, sim->sc.migrate)) {
            plan_at(sim, MIGRATE, sim->clock.now + sim_int(&sim->rng, 0, 5 * SIM_MS));
        }
        break;
    case RESUME:
        sim_host_pause(&sim->host, false);
        break;
    case MIGRATE:
        sim_host_migrate(&sim->host);
        break;
    case SWITCH_OFF:
    case SWITCH_ON:
        sim_host_enable(&sim->host, a->what == SWITCH_ON);
        break;
    case REMOVE:
        sim_host_remove(&sim->host);
        break;
    case ADD:
        if (sim->sc.vtcp) {
            sim_host_add(&sim->host);
        }
        break;
    case FORCE:
        sim_host_force(&sim->host);
        break;
    case REOFFER:
        sim_host_reoffer(&sim->host);
        break;
    case RECONFIGURE:
        sim_host_reconfigure(&sim->host);
        break;
    case PATH_SHRINKS:
    case PATH_WIDENS:
        sim->link[SIM_NET_TX].mtu = a->what == PATH_SHRINKS ? sim->sc.pmtu : 0;
        sim_note(sim, "the path's MTU is now %zu", sim->link[SIM_NET_TX].mtu);
        break;
    case BLACKHOLE:
        sim_note(sim, "the remote host is gone");
        sim->blackholed = true;
        sim->link[SIM_NET_TX].cut = sim->link[SIM_NET_RX].cut = true;
        sim_node_freeze(&sim->node[SIM_NET], true);
        break;
    }
}

static void plan_at(Sim *sim, What what, int64_t when)
{
    Action *a = g_new0(Action, 1);

    *a = (Action) { .timer = { .fn = act, .opaque = a }, .sim = sim, .what = what };
    sim->actions = g_slist_prepend(sim->actions, a);
    sim_timer_set(&sim->clock, &a->timer, when);
    sim->last_action = MAX(sim->last_action, when);
}

/* Each of @n spans has a start and an end, and they do not overlap. */
static void plan(Sim *sim, SimRng *r, int n, double max_ms, What begin, What end)
{
    int64_t at = 0, slot = n ? sim->sc.actions_ms * SIM_MS / n : 0;

    for (int i = 0; i < n; i++) {
        int64_t start = at + sim_uniform(r) * slot;
        int64_t length = sim_uniform(r) * max_ms * SIM_MS;

        plan_at(sim, begin, start);
        plan_at(sim, end, start + length);
        at = start + length + 1;
    }
}

static void plan_all(Sim *sim)
{
    const SimScenario *sc = &sim->sc;
    SimRng r = sim_rng(sc->seed, "actions");
    double span = sc->actions_ms;

    plan(sim, &r, sc->guest_freezes, sc->freeze_ms, FREEZE_GUEST, THAW_GUEST);
    plan(sim, &r, sc->net_freezes, sc->freeze_ms, FREEZE_NET, THAW_NET);
    plan(sim, &r, sc->pauses, sc->pause_ms, PAUSE, RESUME);
    plan(sim, &r, sc->toggles, span, SWITCH_OFF, SWITCH_ON);
    plan(sim, &r, sc->removals, span, REMOVE, ADD);
    for (int i = 0; i < sc->reconfigs; i++) {
        plan_at(sim, RECONFIGURE, sim_uniform(&r) * span * SIM_MS);
    }
    for (int i = 0; i < sc->reoffers; i++) {
        plan_at(sim, REOFFER, sim_uniform(&r) * span * SIM_MS);
    }
    if (sc->forced_ms > 0) {
        plan_at(sim, FORCE, sc->forced_ms * SIM_MS);
        /* it stays a while, for those who doubt the RST (RFC 5961) */
        plan_at(sim, REMOVE, (sc->forced_ms + 5000) * SIM_MS);
        plan_at(sim, ADD, (sc->forced_ms + 5100) * SIM_MS);
    }
    if (sc->pmtu > 0) {
        plan_at(sim, PATH_SHRINKS, sc->pmtu_ms * SIM_MS);
        plan_at(sim, PATH_WIDENS, (sc->pmtu_ms + sc->pmtu_for_ms) * SIM_MS);
    }
    if (sc->blackhole_ms > 0) {
        plan_at(sim, BLACKHOLE, sc->blackhole_ms * SIM_MS);
    }
}

/* ---- the run ---- */

static bool all_over(const Sim *sim)
{
    for (unsigned i = 0; i < sim->n_conns; i++) {
        if (!sim_conn_over(&sim->conns[i])) {
            return false;
        }
    }
    return sim->clock.now >= sim->last_action;
}

static void report_unfinished(Sim *sim)
{
    for (unsigned i = 0; i < sim->n_conns; i++) {
        const SimConn *c = &sim->conns[i];
        const SimApp *g = &c->app[SIM_GUEST], *n = &c->app[SIM_NET];

        if (!sim_conn_over(c)) {
            sim_fail(sim, "connection %u hangs: guest sent %" PRIu64 "/%" PRIu64
                     " (remote got %" PRIu64 "), remote sent %" PRIu64 "/%" PRIu64
                     " (guest got %" PRIu64 "), FINs sent %d %d, read %d %d", c->id,
                     g->tx_done, g->tx_total, n->rx_done, n->tx_done, n->tx_total,
                     g->rx_done, g->fin_sent, n->fin_sent, g->eof, n->eof);
        }
    }
}

/* An end whose peer vanished without it being told is taken off the stage. */
static void orphans(Sim *sim)
{
    for (unsigned i = 0; i < sim->n_conns; i++) {
        SimConn *c = &sim->conns[i];

        for (int side = 0; side < 2; side++) {
            bool reset = c->app[!side].reset && sim->clock.now > c->reset_at + ORPHAN_NS;
            /* the other end was done, and its stack forgot the connection by an RST */
            bool forced = sim->forced && c->app[!side].over &&
                          sim->node[!side].stack->active() == 0 &&
                          sim->clock.now > sim->last_action + ORPHAN_NS;

            if (!c->app[side].over && (reset || forced)) {
                sim_node_abort(&sim->node[side], c);
            }
        }
    }
}

static bool host_drained(const Sim *sim)
{
    return !sim->host.vtcp || vnx_vtcp_drained(sim->host.vtcp);
}

static bool host_forgot(const Sim *sim)
{
    VnxVtcpStats s;

    sim_host_stats(&sim->host, &s);
    return s.flows == 0;
}

static bool stacks_idle(const Sim *sim)
{
    return sim->node[0].stack->active() == 0 && sim->node[1].stack->active() == 0;
}

/* Let time pass until @done, for at most @limit. */
static bool wait_for(Sim *sim, bool (*done)(const Sim *), int64_t limit)
{
    int64_t end = sim->clock.now + limit;
    int64_t tick = 0;

    while (!sim->failure && !done(sim)) {
        if (sim->clock.now >= end) {
            return false;
        }
        sim_clock_step(&sim->clock, end);
        if (sim->clock.now >= tick) {
            orphans(sim);
            tick = sim->clock.now + SIM_S;
        }
    }
    return !sim->failure;
}

static bool never(const Sim *sim)
{
    return false;
}

/* The remote host vanished: within the retry limit vTCP must have let go. */
static void after_blackhole(Sim *sim)
{
    int64_t limit = (sim->sc.retry_s + 3 * sim->sc.max_rto_ms / 1000 + 30) * SIM_S;

    wait_for(sim, never, sim->sc.blackhole_ms * SIM_MS + 1 - sim->clock.now);
    wait_for(sim, never, limit);
    if (!host_drained(sim)) {
        sim_fail(sim,
                 "the remote vanished, and vTCP still holds data after the retry limit");
    }
    for (unsigned i = 0; i < sim->n_conns; i++) {
        for (int side = 0; side < 2; side++) {
            SimConn *c = &sim->conns[i];

            if (!c->app[side].over) {
                sim->node[side].frozen = 0;
                sim_node_abort(&sim->node[side], c);
            }
        }
    }
}

static void final_checks(Sim *sim)
{
    VnxVtcpStats s;

    sim_host_stats(&sim->host, &s);
    if (!wait_for(sim, host_drained, DRAIN_NS) && !sim->failure) {
        sim_fail(sim, "vTCP is not drained: %" PRIu64 " bytes undelivered",
                 s.undelivered);
    }
    if (!sim->blackholed && !wait_for(sim, stacks_idle, DRAIN_NS) && !sim->failure) {
        sim_fail(sim, "a stack waits for the end of a connection (FIN or its ACK lost)");
    }
    sim_ecn_final(sim);
    if (!sim->host.vtcp) {
        return;
    }
    sim_host_stats(&sim->host, &s);
    if (s.undelivered) {
        sim_fail(sim, "drained, but %" PRIu64 " bytes undelivered", s.undelivered);
    }
    /* Flows that ended in order are forgotten soon; others when memory wants it. */
    if (sim->sc.forget) {
        if (!wait_for(sim, host_forgot, FORGET_NS) && !sim->failure) {
            sim_fail(sim, "all connections ended, and vTCP still knows %u flows",
                     s.flows);
        }
        sim_host_stats(&sim->host, &s);
        if (!sim->failure && (s.buffer_used || s.buffer_reserved)) {
            sim_fail(sim, "no flows, but buffer used %" PRIu64 ", reserved %" PRIu64,
                     s.buffer_used, s.buffer_reserved);
        }
    }
    if (s.flows_reset && !sim->blackholed && !sim->forced) {
        sim_fail(sim, "vTCP reset %" PRIu64 " connections without cause", s.flows_reset);
    }
    if (sim->sc.theme == SIM_THEME_CLEAN && sim->payload > 20000 &&
        s.early_ack_bytes < sim->payload * 9 / 10) {
        sim_fail(sim, "nothing disturbs, but only %" PRIu64 " of %" PRIu64
                 " bytes were acknowledged early", s.early_ack_bytes, sim->payload);
    }
}

static const SimStackOps *pick(double which, int side)
{
    static const SimStackOps *const table[3][2] = {
        { &sim_wide_a, &sim_wide_b },
        { &sim_plain_a, &sim_plain_b },
        { &sim_small_a, &sim_small_b },
    };

    return table[(int)CLAMP(which, 0, 2)][side];
}

void sim_run(const SimScenario *sc, bool verbose, SimResult *result)
{
    static void (*const deliver[SIM_LINKS])(void *, SimFrame *) = {
        from_guest, to_guest, to_net, from_net
    };
    Sim *sim = g_new0(Sim, 1);

    sim->sc = *sc;
    sim->verbose = verbose;
    sim->rng = sim_rng(sc->seed, "run");
    sim_clock_init(&sim->clock);
    sim_check_init(sim);
    for (int i = 0; i < SIM_LINKS; i++) {
        SimLink *l = &sim->link[i];

        sim_link_init(l, &sim->clock, sim_link_names[i], &sim->sc.link[i], sc->seed,
                      sc->vnet_len, sc->heal_s * SIM_S);
        l->opaque = sim;
        l->deliver = deliver[i];
        l->room = i == SIM_GUEST_RX ? room_to_guest : room_to_net;
        l->mishap = mishap;
        l->marked = marked;
        l->too_big = too_big;
    }
    sim_node_init(&sim->node[SIM_GUEST], sim, SIM_GUEST, pick(sc->guest_stack, 0),
                  &sim->link[SIM_GUEST_TX]);
    sim_node_init(&sim->node[SIM_NET], sim, SIM_NET, pick(sc->net_stack, 1),
                  &sim->link[SIM_NET_RX]);
    sim_host_init(&sim->host, sim);
    sim->n_conns = CLAMP(sc->conns, 1, SIM_MAX_CONNS);
    for (unsigned i = 0; i < sim->n_conns; i++) {
        sim_conn_init(&sim->conns[i], sim, i, NULL);
    }
    plan_all(sim);

    if (sc->blackhole_ms > 0) {
        after_blackhole(sim);
    } else if (!wait_for(sim, all_over, (sc->heal_s + sc->bound_s) * SIM_S)) {
        report_unfinished(sim);
    }
    sim->over_at = sim->clock.now;
    if (!sim->failure) {
        final_checks(sim);
    }

    *result = (SimResult) {
        .failed = sim->failure != NULL, .payload = sim->payload,
        .seconds = (sim->over_at ? sim->over_at : sim->clock.now) / 1e9,
    };
    sim_host_stats(&sim->host, &result->stats);
    if (sim->failure) {
        g_strlcpy(result->failure, sim->failure, sizeof(result->failure));
    }

    sim_host_destroy(&sim->host);
    sim_node_destroy(&sim->node[SIM_GUEST]);
    sim_node_destroy(&sim->node[SIM_NET]);
    for (int i = 0; i < SIM_LINKS; i++) {
        sim_link_destroy(&sim->link[i]);
    }
    sim_link_drop_channel(&sim->clock);
    sim_check_destroy(sim);
    g_slist_free_full(sim->actions, g_free);
    sim_clock_destroy(&sim->clock);
    g_free(sim->failure);
    g_free(sim);
}
