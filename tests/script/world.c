/*
 * vnx script runner: the filter's host
 *
 * What QEMU is to vTCP: takes frames of both sides, keeps a clock, calls
 * vnx_vtcp_run() after each push and at each deadline, queues what comes out.  Outputs
 * wait in order per side until a line claims them; invariants are checked when the
 * call into vTCP has returned, never inside an op.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include <vnx/policy.h>

#include "script.h"

void trace(World *w, const char *fmt, ...)
{
    va_list ap;

    g_string_append_printf(w->trace, "# %11.6f ", (w->now_ns - START_NS) / 1e9);
    va_start(ap, fmt);
    g_string_append_vprintf(w->trace, fmt, ap);
    va_end(ap);
    g_string_append_c(w->trace, '\n');
}

void fail(World *w, const char *fmt, ...)
{
    if (fmt) {
        va_list ap;

        va_start(ap, fmt);
        w->failure = g_strdup_vprintf(fmt, ap);
        va_end(ap);
    }
    longjmp(w->failed, 1);
}

static void add_out(World *w, Side to, How how, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size, uint16_t vnet_len)
{
    static const char *const hows[] = { "passed", "forwarded", "emitted" };
    Out *o = g_new0(Out, 1);
    size_t at = 0;
    char *text;

    for (unsigned i = 0; i < iovcnt; i++) {
        at += iov[i].iov_len;
    }
    g_assert_cmpuint(at, ==, size);     /* the contract of the ops */
    o->frame = g_malloc(size);
    for (unsigned i = 0, off = 0; i < iovcnt; off += iov[i++].iov_len) {
        memcpy(o->frame + off, iov[i].iov_base, iov[i].iov_len);
    }
    o->size = size;
    o->queue = queue;
    o->vnet_len = vnet_len;
    o->how = how;
    o->at_ns = w->now_ns;
    g_queue_push_tail(&w->out[to], o);
    text = describe_frame(w, to, o->frame, size, vnet_len);
    trace(w, "%s < %s  (%s)", to == GUEST ? "guest" : "net  ", text, hows[how]);
    g_free(text);
}

void out_free(Out *o)
{
    if (o) {
        g_free(o->frame);
        g_free(o);
    }
}

static bool op_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size)
{
    World *w = opaque;

    g_assert_true(w->in_call);
    g_assert_cmpuint(queue, <, w->n_queues);
    if (w->busy[dir] & 1u << queue) {
        trace(w, "%s takes nothing now", dir == VNX_TO_GUEST ? "guest" : "net  ");
        return false;
    }
    add_out(w, (Side)dir, EMITTED, queue, iov, iovcnt, size, w->offload[dir].vnet_len);
    return true;
}

static void op_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
    World *w = opaque;

    g_assert_true(w->in_call);
    add_out(w, (Side)dir, FORWARDED, w->push_queue, iov, iovcnt, size, w->push_vnet_len);
}

static bool op_receiver_stalled(void *opaque, VnxDir dir, unsigned queue)
{
    World *w = opaque;

    return w->stalled[dir];
}

static void op_event(void *opaque, const VnxVtcpEvent *ev)
{
    World *w = opaque;
    static const char *const dirs[] = { "to-guest", "to-net" };

    Told told = { ev->key->port[GUEST] - 10000, *ev };

    w->events[ev->type]++;
    g_array_append_val(w->told, told);
    switch (ev->type) {
    case VNX_EVENT_FLOW_STATE:
        trace(w, "flow %s", vnx_flow_state_name(ev->flow_state));
        break;
    case VNX_EVENT_HALF_STATE:
        trace(w, "half %s %s (%s)", dirs[ev->dir], vnx_half_state_name(ev->half_state),
              vnx_reason_name(ev->reason));
        break;
    case VNX_EVENT_RETRANSMIT:
        trace(w, "retransmit %s %u+%u%s", dirs[ev->dir],
              ev->seq - w->conn->host[!ev->dir].isn, ev->len, ev->by_rto ? " (rto)" : "");
        break;
    case VNX_EVENT_RESET:
        trace(w, "reset by vTCP");
        break;
    }
}

static const VnxVtcpOps ops = {
    .emit = op_emit,
    .forward = op_forward,
    .receiver_stalled = op_receiver_stalled,
    .event = op_event,
};

static VnxVtcp *new_vtcp(World *w)
{
    static const uint8_t seed[16] = "vnx script seed";
    VnxVtcp *v = vnx_vtcp_new(&w->cfg, &ops, w, seed);

    vnx_vtcp_set_offload(v, VNX_TO_GUEST, &w->offload[GUEST]);
    vnx_vtcp_set_offload(v, VNX_TO_NET, &w->offload[NET]);
    vnx_vtcp_set_queues(v, w->n_queues);
    vnx_vtcp_set_policies(v, w->policies, w->now_ns);
    return v;
}

void world_start(World *w)
{
    GError *err = NULL;

    if (w->vtcp) {
        return;
    }
    if (!vnx_vtcp_config_check(&w->cfg, &err)) {
        w->failure = g_strdup(err->message);
        g_error_free(err);
        fail(w, NULL);
    }
    w->policies = vnx_policies_new(&w->cfg.flow);
    w->vtcp = new_vtcp(w);
}

void world_free(World *w)
{
    for (int side = GUEST; side <= NET; side++) {
        Out *o;

        while ((o = g_queue_pop_head(&w->out[side]))) {
            out_free(o);
        }
    }
    if (w->vtcp) {
        vnx_vtcp_free(w->vtcp);
    }
    vnx_policies_free(w->policies);
    g_array_free(w->told, TRUE);
    g_hash_table_unref(w->conns);
    g_string_free(w->trace, TRUE);
    g_free(w->failure);
    g_free(w->fail_text);
    g_strfreev(w->words.v);
}

Conn *conn_get(World *w, unsigned number)
{
    Conn *c = g_hash_table_lookup(w->conns, GUINT_TO_POINTER(number));

    if (!c) {
        c = g_new0(Conn, 1);
        c->number = number;
        /* Sequence numbers wrap early, and cross the sign, in one family or the other. */
        c->host[GUEST].isn = w->family == 4 ? 0xfffff000 : 0x7ffff000;
        c->host[NET].isn = w->family == 4 ? 0x7fffff00 : 0xffffff00;
        g_hash_table_insert(w->conns, GUINT_TO_POINTER(number), c);
    }
    return c;
}

typedef struct Find {
    unsigned guest_port;
    VnxVtcpFlowInfo *info;
    bool found;
} Find;

static bool find_flow(const VnxVtcpFlowInfo *info, void *opaque)
{
    Find *f = opaque;

    if (info->key.port[GUEST] == f->guest_port) {
        *f->info = *info;
        f->found = true;
    }
    return true;                        /* the newest, if there are several */
}

bool flow_info(World *w, VnxVtcpFlowInfo *info)
{
    Find f = { 10000 + w->conn->number, info, false };

    vnx_vtcp_foreach_flow(w->vtcp, 0, w->now_ns, find_flow, &f);
    return f.found;
}

static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

typedef struct Sums {
    uint64_t undelivered, used, promised;
    unsigned flows;
} Sums;

static bool sum_flow(const VnxVtcpFlowInfo *info, void *opaque)
{
    Sums *sums = opaque;

    sums->flows++;
    for (int d = 0; d < 2; d++) {
        const VnxVtcpHalfInfo *h = &info->half[d];
        uint32_t known = h->una + h->receiver_window;       /* R's own edge */

        sums->undelivered += h->undelivered;
        sums->used += h->buffer_used;
        if (after(h->early, known)) {
            known = h->early;
        }
        if (info->state == VNX_FLOW_ESTABLISHED && h->state == VNX_HALF_ACCELERATING &&
            after(h->early + h->advertised_window, known)) {
            sums->promised += h->early + h->advertised_window - known;
        }
    }
    return true;
}

/* Sums over the flows are those of the instance; what is promised is reserved, or there already:
 * room in chunks that hold less than they could. */
static void check_accounts(World *w, const VnxVtcpStats *stats)
{
    Sums sums = { 0 };

    vnx_vtcp_foreach_flow(w->vtcp, 0, w->now_ns, sum_flow, &sums);
    if (sums.flows != stats->flows) {
        fail(w, "invariant: %u flows listed, %u counted", sums.flows, stats->flows);
    }
    if (sums.undelivered != stats->undelivered) {
        fail(w, "invariant: undelivered %" PRIu64 " in flows, %" PRIu64 " counted",
             sums.undelivered, stats->undelivered);
    }
    if (sums.used != stats->buffer_used) {
        fail(w, "invariant: buffer bytes %" PRIu64 " in flows, %" PRIu64 " counted",
             sums.used, stats->buffer_used);
    }
    if (sums.promised > stats->buffer_reserved + (sums.used - sums.undelivered)) {
        fail(w, "invariant: %" PRIu64 " bytes promised, %" PRIu64 " reserved, %" PRIu64
             " allocated for %" PRIu64, sums.promised, stats->buffer_reserved, sums.used,
             sums.undelivered);
    }
}

/* The last event about a flow, or half, tells the state that it is in. */
static const char *wrong_event(World *w, unsigned i, const VnxVtcpFlowInfo *info)
{
    const Told *told = &g_array_index(w->told, Told, i);
    const VnxVtcpEvent *ev = &told->ev;

    if (ev->flow_id != info->id) {
        return NULL;                    /* about one that is gone */
    }
    for (unsigned k = i + 1; k < w->told->len; k++) {
        const Told *later = &g_array_index(w->told, Told, k);

        if (later->number == told->number && later->ev.type == ev->type &&
            (ev->type != VNX_EVENT_HALF_STATE || later->ev.dir == ev->dir)) {
            return NULL;
        }
    }
    if (ev->type == VNX_EVENT_FLOW_STATE && ev->flow_state != info->state) {
        return "flow state";
    }
    if (ev->type == VNX_EVENT_HALF_STATE &&
        (ev->half_state != info->half[ev->dir].state ||
         ev->reason != info->half[ev->dir].reason)) {
        return "state or reason of a half";
    }
    return NULL;
}

static void check_events(World *w)
{
    Conn *was = w->conn;
    const char *problem = NULL;

    for (unsigned i = 0; i < w->told->len && !problem; i++) {
        const Told *told = &g_array_index(w->told, Told, i);
        VnxVtcpFlowInfo info;

        w->conn = conn_get(w, told->number);
        if (!told->ev.flow_id) {
            problem = "flow id";
        } else if (flow_info(w, &info)) {
            problem = wrong_event(w, i, &info);
        }
    }
    w->conn = was;
    g_array_set_size(w->told, 0);
    if (problem) {
        fail(w, "invariant: an event tells another %s", problem);
    }
}

/* After every call into vTCP. */
static void settle(World *w)
{
    VnxVtcpStats stats;

    w->in_call = false;
    for (int side = GUEST; side <= NET; side++) {
        for (GList *l = w->out[side].head; l; l = l->next) {
            Out *o = l->data;

            if (!o->checked) {
                o->checked = true;
                check_invariants(w, side, o);
            }
        }
    }
    check_events(w);
    vnx_vtcp_stats(w->vtcp, &stats);
    if (stats.buffer_used > w->cfg.buffer_size) {
        fail(w, "invariant: %" PRIu64 " buffer bytes, over the cap", stats.buffer_used);
    }
    if (stats.flows < 100) {            /* to stay quick */
        check_accounts(w, &stats);
    }
}

/* A host that obeys has_work() and next_deadline() must not spin, busy side or not. */
static void run_now(World *w)
{
    w->in_call = true;
    vnx_vtcp_run(w->vtcp, w->now_ns);
    settle(w);
    if (vnx_vtcp_has_work(w->vtcp)) {
        fail(w, "invariant: vTCP has work left right after vnx_vtcp_run()");
    }
    if (vnx_vtcp_next_deadline(w->vtcp) <= w->now_ns) {
        fail(w, "invariant: a deadline in the past right after vnx_vtcp_run()");
    }
}

void after_push(World *w)
{
    if (!w->in_batch) {
        run_now(w);
    }
}

/* As a seed of the fuzz target "state": control bytes, no magic number, no version. */
static void write_state(World *w, const GByteArray *state)
{
    static const uint8_t control[] = { 2, 0, 1 };
    GByteArray *seed;
    char *base, *name;

    if (!w->states) {
        return;
    }
    seed = g_byte_array_new();
    base = g_path_get_basename(w->file);
    base[strcspn(base, ".")] = 0;
    name = g_strdup_printf("%s/%s-%u", w->states, base, w->n_states++);
    g_byte_array_append(seed, control, sizeof(control));
    g_byte_array_append(seed, state->data + 8, state->len - 8);
    if (!g_file_set_contents(name, (char *)seed->data, seed->len, NULL)) {
        fail(w, "cannot write %s", name);
    }
    g_byte_array_free(seed, TRUE);
    g_free(base);
    g_free(name);
}

void migrate(World *w)
{
    GByteArray *state;
    GError *err = NULL;
    VnxVtcp *dest;

    world_start(w);
    dest = new_vtcp(w);
    w->in_call = true;
    vnx_vtcp_set_paused(w->vtcp, true, w->now_ns);
    state = vnx_vtcp_save(w->vtcp, w->now_ns);
    write_state(w, state);
    vnx_vtcp_free(w->vtcp);
    w->vtcp = dest;
    vnx_vtcp_set_paused(dest, true, w->now_ns);
    vnx_vtcp_set_enabled(dest, !w->disabled, w->now_ns);
    if (!vnx_vtcp_load(dest, state->data, state->len, w->now_ns, &err)) {
        w->failure = g_strdup_printf("its own state is refused: %s", err->message);
        g_error_free(err);
    }
    g_byte_array_free(state, TRUE);
    if (w->failure) {
        fail(w, NULL);
    }
    vnx_vtcp_set_paused(dest, false, w->now_ns);
    g_array_set_size(w->told, 0);       /* flows have new numbers */
    settle(w);
    after_push(w);
}

/* Pieces of odd sizes in one family, so that no header is contiguous by luck. */
static unsigned split_frame(World *w, uint8_t *frame, size_t size, struct iovec *iov)
{
    static const size_t pieces[] = { 13, 9, 31, 8, 27, 100 };
    unsigned n = 0;

    for (unsigned i = 0; w->family == 6 && i < G_N_ELEMENTS(pieces) && size > pieces[i];
         i++) {
        iov[n++] = (struct iovec) { frame, pieces[i] };
        frame += pieces[i];
        size -= pieces[i];
    }
    iov[n++] = (struct iovec) { frame, size };
    return n;
}

/* What the end hosts know once @s is on its way. */
static void note_sent(World *w, Side from, const Seg *s)
{
    Host *me = &w->conn->host[from], *other = &w->conn->host[!from];
    uint32_t end = s->end + !!(s->flags & VNX_TCP_SYN) + !!(s->flags & VNX_TCP_FIN);

    if (s->flags & VNX_TCP_SYN) {
        me->mss = s->mss.op ? s->mss.v : 536;           /* RFC 9293 3.7.1 */
        me->ts_offered = s->ts;
        me->ws_offered = s->wscale.op;
        me->ws = s->wscale.v;
        me->ts_on = other->ts_on = me->ts_offered && other->ts_offered;
        me->shift = me->ws_offered && other->ws_offered ? me->ws : 0;
        other->shift = me->ws_offered && other->ws_offered ? other->ws : 0;
        me->last_win = s->win.v;
    }
    me->sent_end = after(end, me->sent_end) ? end : me->sent_end;
    if ((s->flags & VNX_TCP_ACK) && !(s->flags & VNX_TCP_RST)) {
        uint32_t edge = s->ack.v + s->win.v;

        me->edge = me->edge_known && after(me->edge, edge) ? me->edge : edge;
        me->edge_known = true;
        me->last_ack = s->ack.v;
        me->last_win = s->win.v;
    }
}

bool inject(World *w, Side from, const Seg *s)
{
    struct iovec iov[8];
    size_t size;
    uint8_t *built, *frame, *copy;
    bool stray = s->stray || s->bad_csum || s->udp || s->frag || s->cut ||
                 s->icmp;
    unsigned iovcnt;
    VnxVerdict verdict;
    char *text;

    world_start(w);
    built = build_frame(w, from, s, &size);
    frame = g_malloc(size);                     /* exactly: ASan sees each overread */
    copy = g_malloc(size);
    memcpy(frame, built, size);
    memcpy(copy, built, size);
    g_free(built);
    if (!stray) {
        note_sent(w, from, s);
    }
    text = describe_frame(w, !from, frame, size, w->vnet_len);
    trace(w, "%s > %s%s", from == GUEST ? "guest" : "net  ", text,
          s->bad_csum ? " badcsum" : "");
    g_free(text);

    iovcnt = split_frame(w, frame, size, iov);
    w->push_vnet_len = w->vnet_len;
    w->push_queue = s->queue;
    w->in_call = true;
    verdict = vnx_vtcp_push(w->vtcp, (VnxDir)!from, s->queue, iov, iovcnt, w->vnet_len,
                            w->now_ns);
    w->frames++;
    if (memcmp(frame, copy, size)) {
        fail(w, "vnx_vtcp_push() wrote to the frame, which is not its own");
    }
    if (verdict == VNX_VERDICT_PASS) {
        add_out(w, !from, PASSED, s->queue, iov, iovcnt, size, w->vnet_len);
        ((Out *)w->out[!from].tail->data)->stray = stray;
    }
    g_free(frame);
    g_free(copy);
    settle(w);
    after_push(w);
    return verdict == VNX_VERDICT_PASS;
}

void advance(World *w, int64_t to_ns)
{
    int64_t deadline;

    world_start(w);
    while ((deadline = vnx_vtcp_next_deadline(w->vtcp)) <= to_ns) {
        w->now_ns = MAX(w->now_ns, deadline);
        run_now(w);
    }
    w->now_ns = to_ns;
}

void advance_until_output(World *w, int64_t min_ns, int64_t max_ns)
{
    int64_t start = w->now_ns, deadline;

    world_start(w);
    while (!w->out[GUEST].length && !w->out[NET].length) {
        deadline = vnx_vtcp_next_deadline(w->vtcp);
        if (deadline > start + max_ns) {
            w->now_ns = start + max_ns;
            fail(w, "nothing came out in this time");
        }
        w->now_ns = MAX(w->now_ns, deadline);
        run_now(w);
    }
    if (w->now_ns - start < min_ns) {
        fail(w, "something came out after %.6f s already", (w->now_ns - start) / 1e9);
    }
}

Out *take_out(World *w, Side side)
{
    return g_queue_pop_head(&w->out[side]);
}

void no_output(World *w, Side side)
{
    Out *o = g_queue_peek_head(&w->out[side]);

    if (o) {
        char *text = describe_frame(w, side, o->frame, o->size, o->vnet_len);

        w->failure = g_strdup_printf("nothing wanted at %s, got: %s",
                                     side == GUEST ? "guest" : "net", text);
        g_free(text);
        fail(w, NULL);
    }
}
