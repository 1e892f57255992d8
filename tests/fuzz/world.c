/*
 * vnx: a small world around one vTCP for fuzzing; see world.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world-private.h"

void world_fail(const char *file, int line, const char *cond, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s:%d: not true: %s: ", file, line, cond);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

void world_trace(const World *w, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%" G_GINT64_FORMAT " us: ", w->now / 1000);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- Ops ---- */

static bool op_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size)
{
    World *w = opaque;

    CHECK(w->calls == 1, "emit from outside of a call");
    if (w->busy[dir]) {
        return false;
    }
    deliver(w, dir, iov, iovcnt, size, w->offload[dir].vnet_len, EMITTED);
    return true;
}

static void op_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
    World *w = opaque;

    CHECK(w->calls == 1, "forward from outside of a call");
    deliver(w, dir, iov, iovcnt, size, w->vnet_len, FORWARDED);
}

static bool op_receiver_stalled(void *opaque, VnxDir dir, unsigned queue)
{
    World *w = opaque;

    return w->stalled[dir];
}

static void op_event(void *opaque, const VnxVtcpEvent *ev)
{
    World *w = opaque;
    Conn *c = find_conn(w, ev->key);

    CHECK(w->calls == 1, "event from outside of a call");
    CHECK(c || w->forged, "event of a connection that does not exist");
    if (w->trace && ev->type == VNX_EVENT_HALF_STATE) {
        world_trace(w, "  half to %s: %s (%s)", ev->dir ? "net" : "guest",
                    vnx_half_state_name(ev->half_state), vnx_reason_name(ev->reason));
    }
    if (c && ev->type == VNX_EVENT_RESET) {
        /* the RSTs may get lost: what the hosts know from now on differs */
        c->clean = false;
    }
}

static const VnxVtcpOps world_ops = {
    .emit = op_emit,
    .forward = op_forward,
    .receiver_stalled = op_receiver_stalled,
    .event = op_event,
};

/* ---- The world ---- */

void world_init(World *w, const VnxVtcpConfig *cfg, uint8_t vnet_len,
                const uint8_t seed[16])
{
    memset(w, 0, sizeof(*w));
    w->cfg = *cfg;
    w->now = 1000 * MS;
    w->trace = getenv("VNX_FUZZ_TRACE");
    w->vnet_len = vnet_len;
    w->buffer_size_max = cfg->buffer_size;
    w->flow_buffer_max = cfg->flow.flow_buffer_size;
    w->flows_max = cfg->max_flows;
    w->enabled = true;
    memcpy(w->seed, seed, sizeof(w->seed));
    w->v = vnx_vtcp_new(cfg, &world_ops, w, seed);
    for (unsigned dir = 0; dir < 2; dir++) {
        world_set_offload(w, dir, (VnxOffload) { .vnet_len = vnet_len });
    }
    for (unsigned c = 0; c < CONNS; c++) {
        VnxFlowKey *key = &w->conn[c].key;

        key->ip_version = c % 3 == 2 ? 6 : 4;
        key->proto = IPPROTO_TCP;
        key->vlan[0] = c % 4 == 1 ? 7 : VNX_VLAN_NONE;
        key->vlan[1] = VNX_VLAN_NONE;
        for (unsigned side = 0; side < 2; side++) {
            key->addr[side][0] = key->ip_version == 4 ? 10 : 0xfd;
            key->addr[side][key->ip_version == 4 ? 3 : 15] = 1 + side;
            key->port[side] = side ? 80 : 40000 + c;
        }
    }
}

void world_free(World *w)
{
    vnx_vtcp_free(w->v);
}

void world_set_config(World *w, const VnxVtcpConfig *cfg)
{
    GError *err = NULL;
    bool good = vnx_vtcp_config_check(cfg, NULL);

    w->calls++;
    CHECK(vnx_vtcp_set_config(w->v, cfg, w->now, &err) == good,
          "set_config and check differ");
    w->calls--;
    CHECK(!err == good, "error and result differ");
    if (good) {
        w->cfg = *cfg;
        w->buffer_size_max = MAX(w->buffer_size_max, cfg->buffer_size);
        w->flow_buffer_max = MAX(w->flow_buffer_max, cfg->flow.flow_buffer_size);
        w->flows_max = MAX(w->flows_max, cfg->max_flows);
    }
    g_clear_error(&err);
    CHECK(memcmp(vnx_vtcp_config(w->v), &w->cfg, sizeof(w->cfg)) == 0,
          "configuration is not what was set");
}

void world_set_offload(World *w, VnxDir dir, VnxOffload offload)
{
    w->offload[dir] = offload;
    vnx_vtcp_set_offload(w->v, dir, &offload);
}

void world_set_paused(World *w, bool paused)
{
    w->calls++;
    vnx_vtcp_set_paused(w->v, paused, w->now);
    w->calls--;
    w->paused = paused;
}

void world_set_enabled(World *w, bool enabled)
{
    w->enabled = enabled;
    w->calls++;
    vnx_vtcp_set_enabled(w->v, enabled, w->now);
    w->calls--;
}

static bool note_buffers(const VnxVtcpFlowInfo *info, void *opaque)
{
    World *w = opaque;

    for (unsigned d = 0; d < 2; d++) {
        w->flow_buffer_max = MAX(w->flow_buffer_max, info->half[d].buffer_used);
    }
    return true;
}

void world_migrate(World *w)
{
    bool paused = w->paused;
    uint64_t owed;
    VnxVtcpStats stats;
    GByteArray *state;
    GError *err = NULL;

    world_set_paused(w, true);
    vnx_vtcp_stats(w->v, &stats);
    owed = stats.undelivered;
    w->evicted = evicted(w);
    w->calls++;
    state = vnx_vtcp_save(w->v, w->now);
    vnx_vtcp_free(w->v);
    w->v = vnx_vtcp_new(&w->cfg, &world_ops, w, w->seed);
    w->calls--;
    for (unsigned dir = 0; dir < 2; dir++) {
        vnx_vtcp_set_offload(w->v, dir, &w->offload[dir]);
    }
    w->paused = false;
    world_set_paused(w, true);
    w->calls++;
    CHECK(vnx_vtcp_load(w->v, state->data, state->len, w->now, &err), "%s", err->message);
    w->calls--;
    g_byte_array_unref(state);
    vnx_vtcp_stats(w->v, &stats);
    CHECK(stats.undelivered == owed, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
          " owed bytes arrived", stats.undelivered, owed);
    /* What is owed outranks the limits, and may lie in chunks of other sizes now. */
    w->buffer_size_max = MAX(w->buffer_size_max, stats.buffer_used);
    vnx_vtcp_foreach_flow(w->v, 0, w->now, note_buffers, w);
    world_set_enabled(w, w->enabled);
    world_set_paused(w, paused);
}

static bool swallow_emit(void *opaque, VnxDir dir, unsigned queue,
                         const struct iovec *iov, unsigned iovcnt, size_t size)
{
    return true;
}

static void swallow_forward(void *opaque, VnxDir dir, const struct iovec *iov,
                            unsigned iovcnt, size_t size)
{
}

void world_load_bent(World *w, const Bend *bends, unsigned n)
{
    static const VnxVtcpOps ops = { .emit = swallow_emit, .forward = swallow_forward };
    VnxVtcp *v = vnx_vtcp_new(&w->cfg, &ops, NULL, w->seed);
    GByteArray *state;
    uint8_t *exact;
    GError *err = NULL;
    VnxVtcpStats stats;
    size_t size;
    bool loaded;

    w->calls++;
    state = vnx_vtcp_save(w->v, w->now);
    w->calls--;
    size = state->len;
    for (unsigned i = 0; i < n; i++) {
        if (!bends[i].with) {
            size = bends[i].at % (size + 1);
        } else if (size) {
            state->data[bends[i].at % size] ^= bends[i].with;
        }
    }
    exact = g_memdup2(state->data, size);
    loaded = vnx_vtcp_load(v, exact, size, w->now, &err);
    CHECK(loaded == !err, "error and result differ");
    vnx_vtcp_stats(v, &stats);
    CHECK(loaded || !stats.flows, "%u flows of a malformed state", stats.flows);
    for (unsigned i = 0; loaded && i < 8; i++) {
        uint8_t *frame = g_malloc(MAX_FRAME);
        struct iovec iov = { .iov_base = frame };
        unsigned c = i / 2 % CONNS;

        if (w->conn[c].open) {
            Segment s = world_segment(w, c, i % 2);

            s.len = 10 * i;
            iov.iov_len = make_frame(w, c, i % 2, &s, frame);
            vnx_vtcp_push(v, !(i % 2), 0, &iov, 1, w->vnet_len, w->now + i * 1000 * MS);
        }
        vnx_vtcp_run(v, w->now + i * 1000 * MS);
        g_free(frame);
    }
    g_clear_error(&err);
    g_free(exact);
    g_byte_array_unref(state);
    vnx_vtcp_free(v);
}

void world_run(World *w)
{
    w->calls++;
    vnx_vtcp_run(w->v, w->now);
    w->calls--;
    if (!w->paused) {
        CHECK(vnx_vtcp_next_deadline(w->v) > w->now,
              "a deadline that has come after run()");
        CHECK(!vnx_vtcp_has_work(w->v) || w->busy[0] || w->busy[1],
              "work left after run()");
    }
}

static void push(World *w, VnxDir dir, const uint8_t *frame, size_t size, size_t vnet_len,
                 unsigned split)
{
    struct iovec iov[4];
    unsigned n = 1 + split % 4;
    size_t at = 0;
    VnxVerdict verdict;

    for (unsigned i = 0; i < n; i++) {
        size_t len =
            i == n - 1 ? size - at : MIN(size - at, 1 + split / 4 % 64 * (i + 1));

        /* blocks of their own, so that a read beyond a piece is seen */
        iov[i].iov_base = g_memdup2(frame + at, len);
        iov[i].iov_len = len;
        at += len;
    }
    if (w->trace) {
        VnxPacket p;
        Conn *c = vnx_packet_parse(&p, iov, n, vnet_len, dir) == VNX_PARSE_TCP ?
                  find_conn(w, &p.key) : NULL;

        if (c) {
            trace_segment(w, c, dir, &p, PUSHED);
        }
    }
    w->calls++;
    verdict = vnx_vtcp_push(w->v, dir, 0, iov, n, vnet_len, w->now);
    w->calls--;
    if (verdict == VNX_VERDICT_PASS) {
        deliver(w, dir, iov, n, size, vnet_len, PASSED);
    }
    for (unsigned i = 0; i < n; i++) {
        g_free(iov[i].iov_base);
    }
}

/* Keep the record of what @side of @c has said, true or not. */
static void note_sent(World *w, unsigned c, unsigned side, const Segment *s)
{
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side], *peer = &conn->host[!side];
    uint32_t end = s->seq + s->len + !!(s->flags & VNX_TCP_FIN);

    raise_to(h, &h->sent_max, end);
    cover_add(&h->pushed, s->seq, s->len, s->flags & VNX_TCP_FIN);
    if (s->flags & VNX_TCP_ACK) {
        raise_to(peer, &h->ack_max, s->ack);
        raise_to(peer, &h->rcv_edge_max, s->ack + ((uint32_t)s->window << h->wscale));
    }
    if (s->ts && (int32_t)(s->tsval - h->ts_now) > 0) {
        h->ts_now = s->tsval;
    }
    if (s->flags & VNX_TCP_RST) {
        h->dead = true;
    }
}

void world_send(World *w, unsigned c, unsigned side, const Segment *s)
{
    uint8_t *frame = g_malloc(MAX_FRAME);
    size_t size = make_frame(w, c, side, s, frame);

    if (s->flip_at >= 0) {
        frame[s->flip_at % size] ^= s->flip_with;
        w->forged = true;
        for (unsigned i = 0; i < CONNS; i++) {
            w->conn[i].clean = false;
            w->conn[i].wild = true;
        }
    }
    note_sent(w, c, side, s);
    w->under_way = s;
    w->under_way_side = side;
    w->under_way_conn = &w->conn[c];
    push(w, !side, frame, size, w->vnet_len, s->split);
    w->under_way = NULL;
    g_free(frame);
}

void world_report(World *w, unsigned c, unsigned side, uint32_t seq, uint16_t mtu)
{
    Segment s = world_segment(w, c, side);
    uint8_t frame[300];

    s.seq = seq;
    push(w, side, frame, make_report(w, c, side, &s, mtu, frame), w->vnet_len, 0);
}

void world_send_raw(World *w, VnxDir dir, const uint8_t *frame, size_t size,
                    size_t vnet_len, unsigned split)
{
    w->forged = true;
    for (unsigned i = 0; i < CONNS; i++) {
        w->conn[i].clean = false;
        w->conn[i].wild = true;
    }
    push(w, dir, frame, size, vnet_len, split);
}

/* ---- Checks ---- */

typedef struct Sum {
    World *w;
    uint64_t buffer_used, undelivered;
    uint32_t flows, queues;
    uint64_t last_id;
} Sum;

static bool check_flow(const VnxVtcpFlowInfo *info, void *opaque)
{
    Sum *sum = opaque;

    CHECK(info->id > sum->last_id, "flows out of order");
    CHECK(vnx_flow_state_name(info->state), "flow state %d", info->state);
    CHECK(info->age_ns >= 0 && info->idle_ns >= 0 && info->idle_ns <= info->age_ns,
          "age %" G_GINT64_FORMAT ", idle %" G_GINT64_FORMAT, info->age_ns,
          info->idle_ns);
    sum->last_id = info->id;
    sum->flows++;
    for (unsigned d = 0; d < 2; d++) {
        const VnxVtcpHalfInfo *h = &info->half[d];

        CHECK(vnx_half_state_name(h->state) && vnx_reason_name(h->reason),
              "state %d, reason %d", h->state, h->reason);
        CHECK(h->buffer_used <= sum->w->flow_buffer_max, "buffer of %u bytes",
              h->buffer_used);
        CHECK(h->undelivered <= sum->w->flow_buffer_max, "owes %u bytes", h->undelivered);
        CHECK(!h->undelivered || h->undelivered <= h->buffer_used,
              "owes %u bytes, has %u", h->undelivered, h->buffer_used);
        if (info->state == VNX_FLOW_ESTABLISHED && h->state == VNX_HALF_ACCELERATING) {
            CHECK(!after(h->una, h->nxt), "una %u > nxt %u", h->una, h->nxt);
            CHECK(!h->undelivered || h->undelivered == h->early - h->una,
                  "owes %u bytes, una %u, early %u", h->undelivered, h->una, h->early);
            CHECK(h->cwnd > 0 && h->mss > 0, "cwnd %u, mss %u", h->cwnd, h->mss);
        }
        CHECK(h->out_of_order_queued <= h->buffer_used, "queue of %u bytes in %u",
              h->out_of_order_queued, h->buffer_used);
        CHECK(!h->out_of_order_queued || h->state == VNX_HALF_ACCELERATING ||
              h->state == VNX_HALF_DRAINING, "a queue while %s",
              vnx_half_state_name(h->state));
        sum->queues += h->out_of_order_queued > 0;
        sum->buffer_used += h->buffer_used;
        sum->undelivered += h->undelivered;
    }
    return true;
}

void world_check(World *w)
{
    Sum sum = { .w = w };
    VnxVtcpStats stats;

    vnx_vtcp_foreach_flow(w->v, 0, w->now, check_flow, &sum);
    vnx_vtcp_stats(w->v, &stats);
    CHECK(stats.flows == sum.flows, "%u flows, counted %u", stats.flows, sum.flows);
    CHECK(stats.flows <= w->flows_max, "%u flows", stats.flows);
    CHECK(stats.half_open <= stats.flows, "%u half open", stats.half_open);
    CHECK(stats.buffer_used == sum.buffer_used,
          "buffers hold %" G_GUINT64_FORMAT ", counted %" G_GUINT64_FORMAT,
          stats.buffer_used, sum.buffer_used);
    CHECK(stats.undelivered == sum.undelivered, "owes %" G_GUINT64_FORMAT ", counted %"
          G_GUINT64_FORMAT, stats.undelivered, sum.undelivered);
    CHECK(stats.buffer_used <= w->buffer_size_max, "buffers hold %" G_GUINT64_FORMAT,
          stats.buffer_used);
    CHECK(stats.ooo_queues >= sum.queues, "%u queues, counted %u", sum.queues,
          stats.ooo_queues);
    CHECK((!stats.undelivered && !sum.queues) || !vnx_vtcp_drained(w->v),
          "drained, but owes data");
}

typedef struct Owed {
    World *w;
    uint64_t bytes;
} Owed;

static bool add_owed(const VnxVtcpFlowInfo *info, void *opaque)
{
    Owed *owed = opaque;
    Conn *c = find_conn(owed->w, &info->key);

    for (unsigned dir = 0; dir < 2; dir++) {
        if (c && c->clean && !c->host[dir].dead) {
            owed->bytes += info->half[dir].undelivered;
        }
    }
    return true;
}

/* What vTCP owes to honest hosts.  Forged segments can close a window for good. */
static uint64_t undelivered(World *w)
{
    Owed owed = { .w = w };

    vnx_vtcp_foreach_flow(w->v, 0, w->now, add_owed, &owed);
    return owed.bytes;
}

/* Receivers acknowledge, time goes on; @done tells when it is enough. */
static void settle(World *w, bool (*done)(World *w), bool resend)
{
    const Segment plain = { .flip_at = -1 };

    for (unsigned i = 0; i < 3000 && !done(w); i++) {
        int64_t deadline;

        world_run(w);
        for (unsigned c = 0; c < CONNS; c++) {
            for (unsigned side = 0; side < 2; side++) {
                if (w->conn[c].open) {
                    if (resend && i % 4 == 0 && w->conn[c].clean) {
                        world_resend(w, c, side, 0, 65535, plain);
                    }
                    world_ack(w, c, side);
                }
            }
        }
        world_run(w);
        deadline = vnx_vtcp_next_deadline(w->v);
        w->now =
            i % 2 && deadline != INT64_MAX ? MAX(w->now, deadline) : w->now + 10 * MS;
    }
}

static bool owes_nothing(World *w)
{
    return undelivered(w) == 0;
}

static bool drained(World *w)
{
    return vnx_vtcp_drained(w->v);
}

static bool all_arrived(World *w)
{
    for (unsigned c = 0; c < CONNS; c++) {
        Conn *conn = &w->conn[c];

        for (unsigned side = 0; side < 2; side++) {
            if (conn->open && conn->clean && !conn->host[0].dead && !conn->host[1].dead &&
                conn->host[side].snd_una != conn->host[side].snd_nxt) {
                return false;
            }
        }
    }
    return true;
}

void world_finish(World *w)
{
    bool all_clean = !w->forged;
    VnxVtcpConfig patient = w->cfg;

    /* From now on nobody is silent: no connection may be given up. */
    patient.retry_limit_ms = VNX_RETRY_LIMIT_MAX_MS;
    world_set_config(w, &patient);
    for (unsigned dir = 0; dir < 2; dir++) {
        w->busy[dir] = w->lossy[dir] = w->stalled[dir] = false;
        vnx_vtcp_writable(w->v, dir, 0);
    }
    world_set_paused(w, false);
    for (unsigned c = 0; c < CONNS; c++) {
        Conn *conn = &w->conn[c];

        all_clean &= conn->clean ? !conn->host[0].dead && !conn->host[1].dead
                                 : !conn->open && !conn->wild;
        for (unsigned side = 0; side < 2; side++) {
            world_window(w, c, side, UINT32_MAX);
        }
    }
    settle(w, owes_nothing, false);
    CHECK(owes_nothing(w), "%" G_GUINT64_FORMAT " bytes are never delivered",
          undelivered(w));
    settle(w, all_arrived, true);
    CHECK(all_arrived(w), "a connection is stuck");
    settle(w, owes_nothing, false);
    CHECK(owes_nothing(w), "%" G_GUINT64_FORMAT " bytes are never delivered",
          undelivered(w));
    world_set_enabled(w, false);
    if (all_clean) {
        settle(w, drained, false);
        CHECK(drained(w), "never drained");
    }
    for (unsigned c = 0; c < CONNS; c++) {
        Conn *conn = &w->conn[c];

        for (unsigned side = 0; side < 2; side++) {
            Host *s = &conn->host[side], *r = &conn->host[!side];

            CHECK(!conn->open || !conn->clean || r->dead || r->got.overflow ||
                  !after(s->snd_una, r->got.nxt),
                  "acknowledged up to %u, received up to %u", s->snd_una, r->got.nxt);
        }
    }
    world_check(w);
}
