/*
 * vnx: the state of an instance as bytes, for migration and snapshots (T9, U3)
 *
 * What travels is what no one can find out anew: every established flow, and for each half
 * the sequence variables, what was promised, and the bytes that were
 * acknowledged early.  Half-open and ended flows stay behind: their segments pass.  A JOINING
 * half gives up joining first: nothing is owed.
 *
 * Durations travel, not instants.  Congestion state does not: another host may have
 * another path, so the sender begins again in slow start (rule 11), with its RTT
 * estimate.
 *
 * Format: big endian; a magic number, a version, what went by unread, the number of flows,
 * and the flows, each as field after field in the order of xfer_conn(), which is reader and
 * writer in one, so that they cannot differ.  A reader trusts nothing: lengths are checked
 * before use, header templates go through the parser, and sequence variables must
 * be in the order that vtcp-private.h tells.  A stream that fails loads nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/tcp/vtcp-private.h"

#define STATE_MAGIC 0x766e7854u         /* "vnxT" */
#define STATE_VERSION 2
/* Sequence variables further apart than any window cannot be true (RFC 7323 2.3). */
#define SPAN_MAX (1u << 30)

/* A cursor: it writes to @out, or reads from @in; the first fault sticks. */
typedef struct Xfer {
    GByteArray *out;
    const uint8_t *in;
    size_t left;
    const char *fault;          /* what was wrong; NULL: nothing */
} Xfer;

static void xfer_fail(Xfer *x, const char *fault)
{
    if (!x->fault) {
        x->fault = fault;
    }
}

/* @size bytes of @value, 1 to 8, most significant first. */
static uint64_t xfer_uint(Xfer *x, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    if (x->out) {
        for (unsigned i = 0; i < size; i++) {
            bytes[i] = value >> (8 * (size - 1 - i));
        }
        g_byte_array_append(x->out, bytes, size);
        return value;
    }
    if (x->left < size) {
        xfer_fail(x, "it ends early");
        x->left = 0;
        return 0;
    }
    value = 0;
    for (unsigned i = 0; i < size; i++) {
        value = value << 8 | x->in[i];
    }
    x->in += size;
    x->left -= size;
    return value;
}

#define XFER(x, member) ((member) = xfer_uint(x, (uint64_t)(member), sizeof(member)))

static void xfer_bool(Xfer *x, bool *b)
{
    uint64_t value = xfer_uint(x, *b, 1);

    if (value > 1) {
        xfer_fail(x, "a flag is neither 0 nor 1");
    }
    *b = value & 1;
}

/* An enumeration below @max. */
static unsigned xfer_enum(Xfer *x, unsigned value, unsigned max)
{
    value = xfer_uint(x, value, 1);
    if (value >= max) {
        xfer_fail(x, "a state or reason is unknown");
        return 0;
    }
    return value;
}

static void xfer_bytes(Xfer *x, void *bytes, size_t len)
{
    if (x->out) {
        g_byte_array_append(x->out, bytes, len);
    } else if (x->left < len) {
        xfer_fail(x, "it ends early");
        x->left = 0;
    } else {
        memcpy(bytes, x->in, len);
        x->in += len;
        x->left -= len;
    }
}

static void xfer_key(Xfer *x, VnxFlowKey *key)
{
    xfer_bytes(x, key->addr, sizeof(key->addr));
    XFER(x, key->vni);
    for (int i = 0; i < 2; i++) {
        XFER(x, key->port[i]);
        XFER(x, key->vlan[i]);
    }
    XFER(x, key->ip_version);
    XFER(x, key->proto);
}

/* A template is good if what it builds parses, as a segment of this flow. */
static bool headers_sound(const VnxHeaders *h, const VnxFlowKey *key, VnxDir dir)
{
    uint8_t frame[VNX_BUILD_MAX];
    VnxBuild build = { .flags = VNX_TCP_ACK };
    struct iovec iov = { frame, 0 };
    VnxPacket p;

    if (h->len > VNX_TEMPLATE_MAX || h->l3_off >= h->len ||
        h->len - h->l3_off < (h->ip_version == 4 ? 20 : 40) ||
        (h->ip_version != 4 && h->ip_version != 6) ||
        h->bytes[h->l3_off] >> 4 != h->ip_version ||
        (h->ip_version == 4 && (h->bytes[h->l3_off] & 15) * 4 != h->len - h->l3_off)) {
        return false;
    }
    iov.iov_len = vnx_headers_build(h, &build, frame);
    return vnx_packet_parse(&p, &iov, 1, 0, dir) == VNX_PARSE_TCP &&
           p.l3_off == h->l3_off && p.l4_off == h->len &&
           !memcmp(&p.key, key, sizeof(*key));
}

static void xfer_end(Xfer *x, VnxEnd *e, const VnxFlowKey *key, VnxDir dir)
{
    VnxHeaders *h = &e->headers;

    XFER(x, e->iss);
    XFER(x, e->mss);
    XFER(x, e->wscale);
    XFER(x, e->options);
    xfer_bool(x, &e->ts);
    xfer_bool(x, &e->ece);
    XFER(x, e->ip_id);
    XFER(x, e->tsval);
    XFER(x, e->tsecr);
    XFER(x, h->l3_off);
    XFER(x, h->len);
    XFER(x, h->ip_version);
    XFER(x, h->sport);
    XFER(x, h->dport);
    if (h->len > VNX_TEMPLATE_MAX) {
        xfer_fail(x, "a header template is too long");
        return;
    }
    xfer_bytes(x, h->bytes, h->len);
    if (!x->out && !x->fault && (e->wscale > 14 || e->mss < VNX_MSS_MIN ||
                                 !headers_sound(h, key, dir))) {
        xfer_fail(x, "an end's MSS, window scale or headers are not possible");
    }
}

/* @len bytes that lie @ahead of those in order are to come. */
static void load_buffer(Xfer *x, VnxHalf *h, uint32_t len, uint32_t ahead)
{
    VnxVtcp *v = half_conn(h)->v;
    struct iovec iov = { (void *)x->in, len };
    VnxPacket p = { .iov = &iov, .iovcnt = 1, .size = len, .payload_len = len };
    uint64_t cap = v->pool.cap;

    if (x->left < len) {
        xfer_fail(x, "it ends early");
        return;
    }
    /* what was acknowledged has to be kept, whatever the limits are here */
    v->pool.cap = UINT64_MAX;
    if (!vnx_segbuf_write(&h->buf, &v->pool, UINT32_MAX, false, &p, 0, len, ahead)) {
        xfer_fail(x, "a buffer is too large");
    }
    v->pool.cap = cap;
    x->in += len;
    x->left -= len;
}

static void save_buffer(Xfer *x, VnxHalf *h, uint32_t off, uint32_t len)
{
    struct iovec iov[VNX_EMIT_IOV];
    uint32_t got;

    while (len) {
        unsigned n = vnx_segbuf_iov(&h->buf, off, len, iov, VNX_EMIT_IOV, &got);

        for (unsigned i = 0; i < n; i++) {
            g_byte_array_append(x->out, iov[i].iov_base, iov[i].iov_len);
        }
        off += got;
        len -= got;
    }
}

static bool ordered(uint32_t a, uint32_t b)
{
    return b - a <= SPAN_MAX;
}

static bool half_sound(const VnxHalf *h, uint32_t len)
{
    bool fast = h->state == VNX_HALF_ACCELERATING || h->state == VNX_HALF_DRAINING;
    /* as far as vTCP can have sent */
    uint32_t end = h->rcv_nxt + (h->fin_seen && h->fin_seq == h->rcv_nxt);

    if (!ordered(h->una, h->early) || !ordered(h->una, h->s_max) || !ordered(h->una, h->max) ||
        !ordered(h->una, h->nxt) || !ordered(h->nxt, h->max) ||
        h->r_wnd_max > SPAN_MAX || (h->path_mss && h->path_mss < VNX_MSS_MIN)) {
        return false;
    }
    if (h->state == VNX_HALF_ACCELERATING &&
        ((!ordered(h->una, h->rcv_nxt) &&
          !(half_finished(h) && h->rcv_nxt == h->fin_seq)) ||
         !ordered(h->nxt, end) || h->buf_seq != h->rcv_nxt - len)) {
        return false;
    }
    if (!len) {
        /* nothing held, so nothing owed */
        return h->early == h->una && (!fast || seq_le(h->rcv_nxt, h->una));
    }
    return fast && len <= SPAN_MAX && h->buf_seq == h->una &&
           h->rcv_nxt == h->buf_seq + len && seq_le(h->early, h->rcv_nxt) &&
           ordered(h->nxt, end) && seq_le(h->rcv_nxt, h->s_max);
}

/* Ranges are in order, apart, ahead of sequence, and within what S was allowed to send. */
static bool queue_sound(const VnxHalf *h, const VnxOoo *o)
{
    uint32_t behind = h->rcv_nxt;

    if (!o->n && !o->fin) {     /* all of it is in order, but not R's yet */
        return h->state == VNX_HALF_DRAINING;
    }
    if ((h->state != VNX_HALF_ACCELERATING && h->state != VNX_HALF_DRAINING) ||
        h->fin_seen || h->buf_seq + h->buf.len != h->rcv_nxt ||
        (!h->buf.len && h->una != h->rcv_nxt) || !ordered(h->una, h->adv_edge) ||
        h->adv_edge - h->rcv_nxt > VNX_FLOW_BUFFER_SIZE_MAX) {
        return false;
    }
    for (unsigned i = 0; i < o->n; i++) {
        if (seq_le(o->range[i].start, behind) || seq_le(o->range[i].end, o->range[i].start)) {
            return false;
        }
        behind = o->range[i].end;
    }
    return seq_le(behind, h->adv_edge) && (!o->n || seq_le(behind, h->s_max)) &&
           (!o->fin || (seq_ge(o->fin_seq, behind) && seq_le(o->fin_seq, h->adv_edge)));
}

/* The queue of what is ahead of sequence: FIN, ranges, and the bytes of each. */
static void xfer_queue(Xfer *x, VnxHalf *h)
{
    VnxOoo o = { 0 };
    VnxPool *pool = &half_conn(h)->v->pool;
    bool room = true, some = h->ooo;

    if (h->ooo) {
        o = *h->ooo;
    }
    xfer_bool(x, &some);
    o.n = xfer_uint(x, o.n, 1);
    if (o.n > VNX_OOO_MAX) {
        xfer_fail(x, "a queue has too many ranges");
        return;
    }
    xfer_bool(x, &o.fin);
    XFER(x, o.fin_seq);
    XFER(x, o.clock);
    for (unsigned i = 0; i < o.n; i++) {
        XFER(x, o.range[i].start);
        XFER(x, o.range[i].end);
        XFER(x, o.range[i].stamp);
    }
    if (x->out) {
        for (unsigned i = 0; i < o.n; i++) {
            save_buffer(x, h, o.range[i].start - h->buf_seq,
                        o.range[i].end - o.range[i].start);
        }
        return;
    }
    if (x->fault || !some) {
        return;
    }
    if (!queue_sound(h, &o)) {
        xfer_fail(x, "what is ahead of sequence in a flow cannot be");
        return;
    }
    /* Holes cost memory that the stream does not prove: where there is not that much, what S
     * was told by SACK is dropped, and S sends it again (RFC 2018 8). */
    if (o.n) {
        room = pool->used + (o.range[o.n - 1].end - h->rcv_nxt) <= 2 * pool->cap;
    }
    for (unsigned i = 0; i < o.n && !x->fault; i++) {
        uint32_t len = o.range[i].end - o.range[i].start;

        if (room) {
            load_buffer(x, h, len, o.range[i].start - h->rcv_nxt);
        } else if (x->left < len) {
            xfer_fail(x, "it ends early");
        } else {
            x->in += len;
            x->left -= len;
        }
    }
    if (room && !x->fault) {
        half_load_queue(h, &o);
    }
}

static void xfer_half(Xfer *x, VnxHalf *h)
{
    uint32_t len = h->buf.len;

    h->state = xfer_enum(x, h->state, VNX_HALF__MAX);
    h->reason = xfer_enum(x, h->reason, VNX_REASON__MAX);
    XFER(x, h->rcv_nxt);
    XFER(x, h->s_max);
    XFER(x, h->early);
    XFER(x, h->adv_edge);
    XFER(x, h->last_ack);
    XFER(x, h->ts_recent);
    XFER(x, h->trouble);
    XFER(x, h->fin_seq);
    xfer_bool(x, &h->fin_seen);
    xfer_bool(x, &h->ack_due);
    xfer_bool(x, &h->ece);
    xfer_bool(x, &h->cwr_due);
    xfer_bool(x, &h->probe_passed);
    XFER(x, h->buf_seq);
    XFER(x, h->una);
    XFER(x, h->nxt);
    XFER(x, h->max);
    XFER(x, h->r_edge);
    XFER(x, h->r_wnd_max);
    XFER(x, h->wl1);
    XFER(x, h->wl2);
    XFER(x, h->path_mss);
    XFER(x, h->seg_seen);
    XFER(x, h->psh_seq);
    xfer_bool(x, &h->psh_seen);
    XFER(x, h->rtt.srtt_ns);
    XFER(x, h->rtt.rttvar_ns);
    XFER(x, h->rtt.min_ns);
    XFER(x, h->bytes);
    XFER(x, h->early_acked_bytes);
    XFER(x, h->acks_consumed);
    XFER(x, h->retransmits);
    XFER(x, h->rto_retransmits);
    XFER(x, h->fast_retransmits);
    XFER(x, h->n_dupacks);
    XFER(x, h->out_of_order);
    XFER(x, h->duplicate_bytes);
    XFER(x, len);
    if (x->fault) {
        return;
    }
    if (x->out) {
        save_buffer(x, h, 0, len);
        xfer_queue(x, h);
        return;
    }
    if (h->state == VNX_HALF_JOINING || !half_sound(h, len) || h->rtt.srtt_ns < 0 ||
        h->rtt.rttvar_ns < 0 || h->rtt.min_ns < 0 ||
        MAX(h->rtt.srtt_ns, h->rtt.rttvar_ns) > INT64_MAX / 16) {
        xfer_fail(x, "sequence numbers of a flow contradict each other");
    } else {
        if (len) {
            load_buffer(x, h, len, 0);
        }
        xfer_queue(x, h);
    }
}

/* The one description of a flow, for both ways.  @idle_ns: since its last segment. */
static void xfer_conn(Xfer *x, VnxConn *c, int64_t *age_ns, int64_t *established_ns,
                      int64_t *idle_ns)
{
    c->state = xfer_enum(x, c->state, VNX_FLOW_STATE__MAX);
    c->opener = xfer_enum(x, c->opener, 2);
    xfer_bool(x, &c->given_up);
    xfer_bool(x, &c->ecn);
    XFER(x, c->queue);
    c->queue = c->queue < c->v->n_queues ? c->queue : 0;
    XFER(x, *age_ns);
    XFER(x, *established_ns);
    XFER(x, *idle_ns);
    XFER(x, c->dscp);
    for (int d = 0; d < 2 && !x->fault; d++) {
        xfer_bool(x, &c->rst_due[d]);
        /* end[!d] speaks in direction d */
        xfer_end(x, &c->end[!d], &c->node.key, d);
    }
    for (int d = 0; d < 2 && !x->fault; d++) {
        xfer_half(x, &c->half[d]);
    }
}

static bool conn_travels(const VnxConn *c)
{
    return (c->state == VNX_FLOW_ESTABLISHED || c->state == VNX_FLOW_RESET) &&
           !conn_gone(c);
}

GByteArray *vnx_vtcp_save(VnxVtcp *v, int64_t now_ns)
{
    Xfer x = { .out = g_byte_array_new() };
    int64_t now = (v->paused ? v->paused_at : now_ns) - v->paused_ns;
    uint32_t n = 0;

    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        n += conn_travels(c);
        for (int d = 0; d < 2; d++) {
            if (c->half[d].state == VNX_HALF_JOINING) {
                half_abort_join(&c->half[d]);
            }
        }
    }
    xfer_uint(&x, STATE_MAGIC, 4);
    xfer_uint(&x, STATE_VERSION, 4);
    xfer_bool(&x, &v->unread[0]);
    xfer_bool(&x, &v->unread[1]);
    xfer_uint(&x, n, 4);
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        if (conn_travels(c)) {
            int64_t age = now - c->created_ns, idle = now - c->node.touched_ns;
            int64_t established = now - c->established_ns;

            xfer_key(&x, &c->node.key);
            xfer_conn(&x, c, &age, &established, &idle);
        }
    }
    return x.out;
}

/* Set what is derived, and what starts afresh on this host. */
static void half_resume(VnxHalf *h)
{
    VnxConn *c = half_conn(h);
    VnxVtcp *v = c->v;

    h->smss = half_mss(h);
    h->cwr_seq = h->cwr_due ? h->max : h->una - 1;
    half_sender_start(h, h->una);
    if ((half_holds(h) || h->state == VNX_HALF_ACCELERATING) && seq_gt(h->nxt, h->una)) {
        /* under way, since when is not known */
        vnx_txq_sent(&h->txq, &v->txpool, h->una, h->nxt, v->now);
        vnx_txq_forget_times(&h->txq);
        /* R has taken its window back over this, or will not have room: again, once it has */
        vnx_txq_lose_range(&h->txq, &v->txpool, seq_max(h->una, h->r_edge), h->nxt);
    }
    if (!ordered(h->una, h->adv_edge)) {
        h->adv_edge = h->una;
    }
    h->demand_mark = h->rcv_nxt;
    h->progress_ns = v->now;
    half_start_cc(h);
    v->undelivered += half_undelivered(h);
    half_reserve(h);
    half_arm(h);
    conn_queue(c, h->dir);
    conn_queue(c, !h->dir);
    if (c->state == VNX_FLOW_ESTABLISHED) {
        half_reconsider(h);
    }
}

static VnxConn *load_conn(VnxVtcp *v, Xfer *x)
{
    VnxFlowKey key = { 0 };
    int64_t age = 0, established = 0, idle = 0;
    VnxConn *c;

    xfer_key(x, &key);
    if (x->fault || vnx_flow_table_lookup(v->flows, &key)) {
        xfer_fail(x, "a flow is there twice");
        return NULL;
    }
    if (vnx_flow_table_full(v->flows)) {        /* what is owed outranks the limit */
        vnx_flow_table_set_max(v->flows, vnx_flow_table_count(v->flows) + 1);
    }
    c = conn_new(v, &key, v->profile);
    g_assert(c);
    xfer_conn(x, c, &age, &established, &idle);
    if (!x->fault && (!conn_travels(c) || age < 0 || idle < 0 || idle > age ||
                      established < 0 || established > age || c->dscp > 63)) {
        xfer_fail(x, "a flow has an impossible state or age");
    }
    if (x->fault) {
        /* nothing of it was counted yet */
        c->half[0].early = c->half[0].una;
        c->half[1].early = c->half[1].una;
        conn_free(c);
        return NULL;
    }
    c->created_ns = v->now - age;
    c->established_ns = v->now - established;
    /* not half open any more, or the next one would evict it */
    vnx_flow_table_touch(v->flows, &c->node, VNX_AGE_ESTABLISHED, v->now);
    return c;
}

bool vnx_vtcp_load(VnxVtcp *v, const uint8_t *data, size_t size, int64_t now_ns,
                   GError **err)
{
    Xfer x = { .in = data, .left = size };
    uint32_t n;

    g_assert(!v->all.head);
    v->now = (v->paused ? v->paused_at : now_ns) - v->paused_ns;
    if (xfer_uint(&x, 0, 4) != STATE_MAGIC) {
        xfer_fail(&x, "it is none");
    } else if (xfer_uint(&x, 0, 4) != STATE_VERSION) {
        xfer_fail(&x, "its version is unknown");
    }
    xfer_bool(&x, &v->unread[0]);
    xfer_bool(&x, &v->unread[1]);
    n = xfer_uint(&x, 0, 4);
    for (uint32_t i = 0; i < n && !x.fault; i++) {
        load_conn(v, &x);
    }
    if (!x.fault && x.left) {
        xfer_fail(&x, "more follows than it says");
    }
    if (x.fault) {
        for (GList *l = v->all.head; l; l = l->next) {
            VnxConn *c = l->data;

            c->half[0].early = c->half[0].una;
            c->half[1].early = c->half[1].una;
        }
        while (v->all.head) {
            conn_free(v->all.head->data);
        }
    }
    vnx_flow_table_set_max(v->flows, v->cfg.max_flows);
    if (x.fault) {
        g_set_error(err, VNX_VTCP_ERROR, VNX_VTCP_ERROR_STATE,
                    "vTCP state of %zu bytes cannot be loaded: %s", size, x.fault);
        return false;
    }
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        conn_classify(c);
        half_resume(&c->half[0]);
        half_resume(&c->half[1]);
    }
    return true;
}
