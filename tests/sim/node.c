/*
 * vnx simulation: nodes - a stack, and the applications at its ends of connections.
 *
 * Whatever makes a node run (a frame, a timer, an application's own plan) is
 * enter(), work, leave(); leave() lets every application do what it can, and sends what
 * the stack put out in one go.  A frozen node does nothing until it thaws; then all that
 * waited happens at once, as in a VM that was off the CPU.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "sim.h"

#define SERVER_PORT 5000
#define CLIENT_PORT 20000
#define MAX_ATTEMPTS 20

/* ---- the generator: a byte is known by seed, connection, direction, position ---- */

static void generate(const SimConn *c, int side, uint64_t at, uint8_t *out, size_t len)
{
    uint64_t key = sim_mix(c->sim->sc.seed * 64 + c->id) ^ side;
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++) {
        if (i == 0 || ((at + i) & 7) == 0) {
            word = sim_mix(key + ((at + i) >> 3) * 0x9e3779b97f4a7c15ull);
        }
        out[i] = word >> (((at + i) & 7) * 8);
    }
}

static SimApp *peer(SimApp *a)
{
    return &a->conn->app[!a->node->side];
}

bool sim_conn_over(const SimConn *c)
{
    return c->app[0].over && c->app[1].over;
}

/* ---- running a node ---- */

static void set_clock(SimNode *n)
{
    n->stack->now(n->clock_base + (uint32_t)(n->sim->clock.now / SIM_MS));
}

static void arm(SimNode *n)
{
    uint32_t ms = n->stack->next_ms();

    if (ms != UINT32_MAX) {
        sim_timer_set(&n->sim->clock, &n->timer,
                      (n->sim->clock.now / SIM_MS + MAX(ms, 1)) * SIM_MS);
    } else {
        sim_timer_cancel(&n->sim->clock, &n->timer);
    }
}

static void wake_at(SimApp *a, int64_t when)
{
    if (!a->timer.slot || a->timer.when > when) {
        sim_timer_set(&a->node->sim->clock, &a->timer, when);
    }
}

static void app_end(SimApp *a, bool reset)
{
    Sim *sim = a->node->sim;

    a->handle = NULL;
    a->over = true;
    a->reset = reset;
    sim_timer_cancel(&sim->clock, &a->timer);
    if (reset && a->conn->reset_at == INT64_MAX) {
        a->conn->reset_at = sim->clock.now;
    }
}

static void app_read(SimApp *a)
{
    Sim *sim = a->node->sim;
    uint64_t n = a->unread;

    if (a->stall_pending && a->rx_done >= a->stall_at) {
        a->stall_pending = false;
        a->stall_until = sim->clock.now +
            (int64_t)(sim_uniform(&a->rng) * sim->sc.read_stall_ms * SIM_MS);
        sim_note(sim, "connection %u: the %s stops reading until %.3f", a->conn->id,
                 a->node->side == SIM_GUEST ? "guest" : "remote", a->stall_until / 1e9);
    }
    if (n == 0) {
        return;
    }
    if (sim->clock.now < a->stall_until) {
        wake_at(a, a->stall_until);
        return;
    }
    if (a->slow_reader && sim->clock.now < a->read_next) {
        wake_at(a, a->read_next);
        return;
    }
    if (a->slow_reader) {
        n = MIN(n, 500 + peer(a)->tx_total / 200);
        a->read_next = sim->clock.now + 10 * SIM_MS;
        wake_at(a, a->read_next);
    }
    a->unread -= n;
    a->node->stack->consume(a->handle, n);
}

static void app_write(SimApp *a)
{
    Sim *sim = a->node->sim;
    bool wrote = false;

    while (a->handle && a->tx_done < a->tx_total && sim->clock.now >= a->think_until) {
        uint8_t data[65536];
        size_t room = a->node->stack->room(a->handle);
        size_t want = sim_int(&a->rng, 1, a->chunk);
        size_t n = MIN(MIN(want, room), a->tx_total - a->tx_done);
        size_t done;

        if (n == 0) {
            break;
        }
        generate(a->conn, a->node->side, a->tx_done, data, n);
        done = a->node->stack->write(a->handle, data, n);
        a->tx_done += done;
        wrote |= done > 0;
        if (done < n) {
            break;
        }
        if (sim->clock.now < sim->sc.heal_s * SIM_S &&
            sim_chance(&a->rng, sim->sc.think)) {
            a->think_until = sim->clock.now +
                (int64_t)(-log(1 - sim_uniform(&a->rng)) * sim->sc.think_ms * SIM_MS);
        }
    }
    if (sim->clock.now < a->think_until) {
        wake_at(a, a->think_until);
    }
    if (wrote && a->handle) {
        a->node->stack->flush(a->handle);
    }
}

/* The opener has aborted: the same ports again, while the other end may not know yet. */
static void reopen(SimConn *c)
{
    Sim *sim = c->sim;

    /* Not into the other end's TIME-WAIT: lwIP refuses that until it is over. */
    if (sim->n_conns < SIM_MAX_CONNS && c->app[!c->opener].opened &&
        !c->app[0].fin_sent && !c->app[1].fin_sent) {
        c->successor = &sim->conns[sim->n_conns++];
        sim_conn_init(c->successor, sim, sim->n_conns - 1, c);
    }
}

static void app_pump(SimApp *a)
{
    const SimStackOps *stack = a->node->stack;

    if (!a->handle || !a->opened || a->over) {
        return;
    }
    app_read(a);
    if (a->handle) {
        app_write(a);
    }
    if (a->handle && a->tx_done + a->rx_done >= a->abort_at) {
        sim_note(a->node->sim, "connection %u: the %s aborts", a->conn->id,
                 a->node->side == SIM_GUEST ? "guest" : "remote");
        stack->abort(a->handle);
        a->conn->may_reset = true;
        app_end(a, true);
        if (a->node->side == a->conn->opener && sim_chance(&a->rng, a->reuse)) {
            reopen(a->conn);
        }
        return;
    }
    if (a->handle && a->tx_done == a->tx_total && !a->fin_sent &&
        (!a->late_close || a->eof)) {
        a->fin_sent = stack->shutdown(a->handle);
        if (!a->fin_sent) {
            wake_at(a, a->node->sim->clock.now + 10 * SIM_MS);
        }
    }
    if (a->handle && a->fin_sent && a->eof && a->unread == 0) {
        void *handle = a->handle;

        app_end(a, false);
        stack->release(handle);
    }
}

static bool enter(SimNode *n)
{
    if (n->frozen || n->inside) {
        return false;
    }
    n->inside = true;
    set_clock(n);
    return true;
}

static void leave(SimNode *n)
{
    for (unsigned i = 0; i < n->sim->n_conns; i++) {
        app_pump(&n->sim->conns[i].app[n->side]);
    }
    n->inside = false;
    sim_merge_flush(&n->merger);
    arm(n);
}

static void on_timer(void *opaque)
{
    SimNode *n = opaque;

    if (enter(n)) {
        n->stack->poll();
        leave(n);
    }
}

static void on_app_timer(void *opaque)
{
    SimApp *a = opaque;

    if (enter(a->node)) {
        leave(a->node);
    }
}

/* ---- frames ---- */

static void deliver_packet(void *opaque, const uint8_t *packet, size_t len)
{
    SimNode *n = opaque;

    sim_ecn_input(n, packet, len);
    n->stack->input(packet, len);
}

static void take_frame(SimNode *n, SimFrame *f)
{
    const SimScenario *sc = &n->sim->sc;
    SimOffload offload = n->side == SIM_GUEST
        ? (SimOffload) { sc->guest_csum, sc->guest_tso4, sc->guest_tso6, sc->guest_gso_ecn }
        : (SimOffload) { sc->net_csum, sc->net_tso4, sc->net_tso6, sc->net_gso_ecn };
    const char *wrong;

    if (f->len < sc->vnet_len + n->l2_in.len + 2 + 20) {
        g_free(f);
        return;
    }
    wrong = sim_cut(f, sc->vnet_len, &n->l2_in, offload,
                    n->side == SIM_GUEST ? sc->guest_mtu : sc->net_mtu,
                    deliver_packet, n);
    if (wrong) {
        sim_trace(n->sim, n->side == SIM_GUEST ? "guest" : "net", f, wrong);
        sim_fail(n->sim, "a frame to the %s is unfit: %s",
                 n->side == SIM_GUEST ? "guest" : "net", wrong);
    }
    g_free(f);
}

void sim_node_input(SimNode *n, SimFrame *f)
{
    if (!enter(n)) {
        g_queue_push_tail(&n->input, f);
        return;
    }
    take_frame(n, f);
    leave(n);
}

void sim_node_freeze(SimNode *n, bool freeze)
{
    n->frozen += freeze ? 1 : -1;
    if (n->frozen) {
        return;
    }
    enter(n);
    while (!g_queue_is_empty(&n->input)) {
        take_frame(n, g_queue_pop_head(&n->input));
    }
    n->stack->poll();
    leave(n);
}

static void send_frame(void *opaque, SimFrame *f)
{
    SimNode *n = opaque;

    sim_link_send(n->out, f);
}

/* ---- what the stack calls ---- */

static void output(void *opaque, const uint8_t *packet, size_t len)
{
    SimNode *n = opaque;
    g_autofree uint8_t *copy = g_memdup2(packet, len);

    sim_ecn_output(n, copy, len);
    sim_merge(&n->merger, copy, len);
}

static void open_connection(void *opaque)
{
    SimConn *c = opaque;
    SimApp *a = &c->app[c->opener];
    SimNode *n = a->node;

    if (!enter(n)) {
        sim_timer_set(&c->sim->clock, &c->start, c->sim->clock.now + SIM_MS);
        return;
    }
    c->attempts++;
    a->handle = n->stack->connect(c->sport + c->attempts - 1, c->dport, 2 - n->side,
                                  c->ip_version, c->nagle, a);
    if (!a->handle) {
        sim_fail(c->sim, "connection %u: connect failed", c->id);
    }
    leave(n);
}

static void open_now(SimApp *a)
{
    a->opened = true;
    if (a->keepalive) {
        a->node->stack->keepalive(a->handle, 700);
    }
}

static void accepted(void *user, void *handle)
{
    SimApp *a = user;

    /* The listener is the first one's; each life of the ports ends the one before. */
    while (a->opened && a->conn->successor) {
        a = &a->conn->successor->app[a->node->side];
    }
    a->node->stack->adopt(handle, a);
    if (a->opened) {
        sim_fail(a->node->sim, "connection %u was accepted twice", a->conn->id);
        return;
    }
    a->handle = handle;
    open_now(a);
}

static void connected(void *user)
{
    open_now(user);
}

static void received(void *user, const uint8_t *data, size_t len)
{
    SimApp *a = user;
    Sim *sim = a->node->sim;
    uint8_t expected[2048];

    if (a->rx_done + len > peer(a)->tx_done) {
        sim_fail(sim,
                 "connection %u: the %s got %zu bytes at %" PRIu64 ", but only %" PRIu64
                 " were sent",
                 a->conn->id, a->node->side == SIM_GUEST ? "guest" : "remote", len,
                 a->rx_done, peer(a)->tx_done);
    }
    for (size_t at = 0; at < len; at += sizeof(expected)) {
        size_t n = MIN(sizeof(expected), len - at);

        generate(a->conn, !a->node->side, a->rx_done + at, expected, n);
        if (memcmp(data + at, expected, n) != 0) {
            sim_fail(sim, "connection %u: wrong data at the %s, near offset %" PRIu64,
                     a->conn->id, a->node->side == SIM_GUEST ? "guest" : "remote",
                     a->rx_done + at);
        }
    }
    a->rx_done += len;
    a->unread += len;
    sim->payload += len;
}

static void eof(void *user)
{
    SimApp *a = user;

    a->eof = true;
    if (a->rx_done != peer(a)->tx_total) {
        sim_fail(a->node->sim,
                 "connection %u: FIN at the %s after %" PRIu64 " of %" PRIu64 " bytes",
                 a->conn->id, a->node->side == SIM_GUEST ? "guest" : "remote", a->rx_done,
                 peer(a)->tx_total);
    }
}

static void sent(void *user)
{
}

static void gone(void *user, SimGone how)
{
    SimApp *a = user;
    SimConn *c = a->conn;
    Sim *sim = a->node->sim;
    bool complete = a->eof && a->fin_sent && a->rx_done == peer(a)->tx_total;

    if (how == SIM_GONE_CLOSED || complete) {
        app_end(a, false);
        return;
    }
    if (a->node->side == c->opener && !peer(a)->opened && c->attempts < MAX_ATTEMPTS &&
        !sim->blackholed && !sim->forced) {
        /* lwIP gives a half-open connection up after 20 s: the handshake failed */
        sim_note(sim, "connection %u: not accepted, again", c->id);
        a->handle = NULL;
        a->opened = a->eof = a->fin_sent = false;
        a->tx_done = a->rx_done = a->unread = 0;
        sim_timer_set(&sim->clock, &c->start, sim->clock.now + SIM_MS);
        return;
    }
    sim_note(sim, "connection %u: the %s's end was %s", c->id,
             a->node->side == SIM_GUEST ? "guest" : "remote",
             how == SIM_GONE_RESET ? "reset" : "given up by its stack");
    if (!c->may_reset && !sim->blackholed && !sim->forced) {
        sim_fail(sim, "connection %u: %s at the %s without cause, %" PRIu64 " of %" PRIu64
                 " bytes sent, %" PRIu64 " of %" PRIu64 " received", c->id,
                 how == SIM_GONE_RESET ? "reset" : "given up",
                 a->node->side == SIM_GUEST ? "guest" : "remote", a->tx_done, a->tx_total,
                 a->rx_done, peer(a)->tx_total);
    }
    app_end(a, true);
}

void sim_node_abort(SimNode *n, SimConn *c)
{
    SimApp *a = &c->app[n->side];

    c->may_reset = true;
    if (a->handle && enter(n)) {
        n->stack->abort(a->handle);
        app_end(a, true);
        leave(n);
    } else if (!a->handle) {
        app_end(a, true);
    }
}

/* ---- life ---- */

void sim_conn_init(SimConn *c, Sim *sim, unsigned id, SimConn *predecessor)
{
    const SimScenario *sc = &sim->sc;
    char name[32];
    SimRng r;

    g_snprintf(name, sizeof(name), "connection %u", id);
    r = sim_rng(sc->seed, name);
    c->sim = sim;
    c->id = id;
    c->ip_version = sim_chance(&r, sc->v6) ? 6 : 4;
    c->opener = sim_chance(&r, sc->guest_opens) ? SIM_GUEST : SIM_NET;
    c->nagle = sim_chance(&r, sc->nagle);
    c->reset_at = INT64_MAX;
    c->sport = CLIENT_PORT + id * MAX_ATTEMPTS;
    c->dport = SERVER_PORT + id;
    if (predecessor) {
        c->opener = predecessor->opener;
        c->ip_version = predecessor->ip_version;
        c->sport = predecessor->sport + predecessor->attempts - 1;
        c->dport = predecessor->dport;
    }
    for (int side = 0; side < 2; side++) {
        SimApp *a = &c->app[side];

        *a = (SimApp) {
            .conn = c, .node = &sim->node[side],
            .timer = { .fn = on_app_timer, .opaque = a }, .abort_at = UINT64_MAX,
        };
        a->tx_total = sim_chance(&r, 0.15) ? 0
            : sim_chance(&r, 0.3) ? sim_int(&r, 1, 3000)
            : (uint64_t)(sim_uniform(&r) * sc->kbytes * 1024);
        a->chunk = CLAMP(exp(sim_between(&r, log(50), log(65536))),
                         MAX(1, a->tx_total / 400), 65536);
        a->slow_reader = sim_chance(&r, sc->slow_reader);
        a->keepalive = sim_chance(&r, sc->keepalive);
        a->stall_pending = sim_chance(&r, sc->read_stall);
        g_snprintf(name, sizeof(name), "application %u.%d", id, side);
        a->rng = sim_rng(sc->seed, name);
    }
    for (int side = 0; side < 2; side++) {
        c->app[side].stall_at = sim_uniform(&r) * c->app[!side].tx_total;
    }
    if (sim_chance(&r, sc->late_close)) {
        c->app[sim_int(&r, 0, 1)].late_close = true;
    }
    if (sim_chance(&r, sc->abort)) {
        uint64_t bytes = c->app[0].tx_total + c->app[1].tx_total;

        SimApp *a = &c->app[sim_chance(&r, sc->reuse) ? c->opener : sim_int(&r, 0, 1)];

        a->abort_at = sim_uniform(&r) * bytes;
        a->reuse = sc->reuse;
    }
    c->ecn = predecessor ? predecessor->ecn : sim_chance(&r, sc->ecn);
    if (!predecessor) {
        sim->node[!c->opener].stack->listen(c->dport, c->ip_version, c->nagle,
                                            &c->app[!c->opener]);
    }
    c->start = (SimTimer) { .fn = open_connection, .opaque = c };
    sim_timer_set(&sim->clock, &c->start, sim->clock.now +
                  (int64_t)(sim_uniform(&r) * sc->spread_ms * SIM_MS));
}

void sim_node_init(SimNode *n, Sim *sim, int side, const SimStackOps *stack, SimLink *out)
{
    const SimScenario *sc = &sim->sc;
    SimStackConf conf = {
        .seed = sim_mix(sc->seed * 2 + side),
        .isn = side == SIM_GUEST ? sc->guest_isn : sc->net_isn,
        .now_ms = side == SIM_GUEST ? sc->guest_clock : sc->net_clock,
        .mtu = side == SIM_GUEST ? sc->guest_mtu : sc->net_mtu,
        .host_id = 1 + side,
    };
    SimStackHost host = {
        .opaque = n, .output = output, .accepted = accepted, .connected = connected,
        .received = received, .eof = eof, .sent = sent, .gone = gone,
    };

    *n = (SimNode) {
        .sim = sim, .side = side, .stack = stack, .out = out,
        .clock_base = conf.now_ms,
        .l2_in = sim_l2(side == SIM_NET, sc->vlans),
        .timer = { .fn = on_timer, .opaque = n },
        .merger = {
            .l2 = sim_l2(side == SIM_GUEST, sc->vlans), .vnet_len = sc->vnet_len,
            /* A sender uses what the other side of vTCP takes. */
            .offload = side == SIM_GUEST
                ? (SimOffload) { sc->net_csum, sc->net_tso4, sc->net_tso6,
                                 sc->net_gso_ecn }
                : (SimOffload) { sc->guest_csum, sc->guest_tso4, sc->guest_tso6,
                                 sc->guest_gso_ecn },
            .received = side == SIM_NET, .pad = sc->pad, .max = sc->gso_max,
            .send = send_frame, .opaque = n,
        },
    };
    g_queue_init(&n->input);
    stack->init(&conf, &host);
    arm(n);
}

void sim_node_destroy(SimNode *n)
{
    n->stack->stop();
    g_queue_clear_full(&n->input, g_free);
    g_free(n->merger.packet);
    sim_timer_cancel(&n->sim->clock, &n->timer);
}
