/*
 * vnx: vTCP - the instance: dispatch, work, queries
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <netinet/in.h>
#include <string.h>

#include "engine/tcp/vtcp-private.h"

const char *vnx_half_state_name(VnxHalfState state)
{
    static const char *const names[VNX_HALF__MAX] = {
        [VNX_HALF_OBSERVING] = "observing",
        [VNX_HALF_JOINING] = "joining",
        [VNX_HALF_ACCELERATING] = "accelerating",
        [VNX_HALF_DRAINING] = "draining",
    };

    return state < VNX_HALF__MAX ? names[state] : "?";
}

const char *vnx_reason_name(VnxReason reason)
{
    static const char *const names[VNX_REASON__MAX] = {
        [VNX_REASON_NONE] = "none",
        [VNX_REASON_HANDSHAKE] = "handshake",
        [VNX_REASON_NOT_SEEN] = "not-seen",
        [VNX_REASON_OPTIONS] = "options",
        [VNX_REASON_ECN] = "ecn",
        [VNX_REASON_MODE] = "mode",
        [VNX_REASON_STATUS] = "status",
        [VNX_REASON_OUT_OF_ORDER] = "out-of-order",
        [VNX_REASON_BUFFER_FULL] = "buffer-full",
        [VNX_REASON_URGENT] = "urgent",
        [VNX_REASON_CLOSED] = "closed",
        [VNX_REASON_WEIGHT] = "weight",
    };

    return reason < VNX_REASON__MAX ? names[reason] : "?";
}

const char *vnx_flow_state_name(VnxFlowState state)
{
    static const char *const names[VNX_FLOW_STATE__MAX] = {
        [VNX_FLOW_SYN_SENT] = "syn-sent",
        [VNX_FLOW_SYN_RECEIVED] = "syn-received",
        [VNX_FLOW_ESTABLISHED] = "established",
        [VNX_FLOW_CLOSED] = "closed",
        [VNX_FLOW_RESET] = "reset",
        [VNX_FLOW_UNTRACKED] = "untracked",
    };

    return state < VNX_FLOW_STATE__MAX ? names[state] : "?";
}

/* ---- life ---- */

static void vtcp_apply_config(VnxVtcp *v, const VnxVtcpConfig *cfg)
{
    g_clear_pointer(&v->profile, vnx_flow_profile_unref);
    v->cfg = *cfg;
    v->profile = vnx_flow_profile_new(&cfg->flow, NULL);
    v->pool.cap = cfg->buffer_size;
    vnx_flow_table_set_max(v->flows, cfg->max_flows);
}

VnxVtcp *vnx_vtcp_new(const VnxVtcpConfig *cfg, const VnxVtcpOps *ops, void *opaque,
                      const uint8_t seed[16])
{
    VnxVtcp *v = g_new0(VnxVtcp, 1);

    v->ops = ops;
    v->opaque = opaque;
    v->enabled = true;
    v->flows = vnx_flow_table_new(seed, cfg->max_flows);
    v->next_ip_id = seed[0] | seed[15] << 8;
    vnx_vtcp_set_queues(v, 1);
    vnx_timers_init(&v->timers);
    vnx_timers_init(&v->scopes);
    vnx_pool_init(&v->pool, cfg->buffer_size);
    vnx_txpool_init(&v->txpool);
    vtcp_apply_config(v, cfg);
    return v;
}

void vnx_vtcp_free(VnxVtcp *v)
{
    if (!v) {
        return;
    }
    while (v->all.head) {
        conn_free(v->all.head->data);
    }
    vnx_pool_destroy(&v->pool);
    vnx_txpool_destroy(&v->txpool);
    vnx_timers_destroy(&v->timers);
    vnx_timers_destroy(&v->scopes);
    vnx_flow_table_free(v->flows);
    vnx_flow_profile_unref(v->profile);
    g_free(v->lane[0]);
    g_free(v->lane[1]);
    g_free(v);
}

/* The host's time without the pauses. */
static void vtcp_clock(VnxVtcp *v, int64_t now_ns)
{
    v->now = now_ns - v->paused_ns;
}

static void vtcp_reconsider(VnxVtcp *v)
{
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        if (c->state == VNX_FLOW_ESTABLISHED) {
            half_reconsider(&c->half[0]);
            half_reconsider(&c->half[1]);
        }
    }
}

/* Live flows get the profile that they should have now, and what it changes. */
static void vtcp_reclassify(VnxVtcp *v)
{
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        conn_change_profile(c, c->own_profile ? c->profile : NULL);
    }
}

bool vnx_vtcp_set_config(VnxVtcp *v, const VnxVtcpConfig *cfg, int64_t now_ns, GError **err)
{
    if (!vnx_vtcp_config_check(cfg, err)) {
        return false;
    }
    vtcp_clock(v, v->paused ? v->paused_at : now_ns);
    vtcp_apply_config(v, cfg);
    vtcp_reclassify(v);
    return true;
}

const VnxVtcpConfig *vnx_vtcp_config(const VnxVtcp *v)
{
    return &v->cfg;
}

bool vnx_vtcp_set_flow_profile(VnxVtcp *v, const VnxFlowKey *key, VnxFlowProfile *profile,
                               int64_t now_ns)
{
    VnxConn *c = (VnxConn *)vnx_flow_table_lookup(v->flows, key);

    if (!c) {
        return false;
    }
    vtcp_clock(v, v->paused ? v->paused_at : now_ns);
    conn_change_profile(c, profile);
    return true;
}

void vnx_vtcp_set_policies(VnxVtcp *v, VnxPolicies *policies, int64_t now_ns)
{
    v->policies = policies;
    vtcp_clock(v, v->paused ? v->paused_at : now_ns);
    vtcp_reclassify(v);
}

void vnx_vtcp_set_offload(VnxVtcp *v, VnxDir dir, const VnxOffload *offload)
{
    v->offload[dir] = *offload;
}

void vnx_vtcp_set_queues(VnxVtcp *v, unsigned n)
{
    g_assert(n > 0 && n <= UINT16_MAX);
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        if (c->queue >= n) {
            conn_set_queue(c, 0);
        }
    }
    for (int d = 0; d < 2; d++) {
        v->lane[d] = g_renew(VnxLane, v->lane[d], n);
        for (unsigned q = v->n_queues; q < n; q++) {
            v->lane[d][q] = (VnxLane) { .work = G_QUEUE_INIT };
        }
    }
    v->n_queues = n;
}

void vnx_vtcp_set_enabled(VnxVtcp *v, bool enabled, int64_t now_ns)
{
    vtcp_clock(v, v->paused ? v->paused_at : now_ns);
    if (v->enabled != enabled) {
        v->enabled = enabled;
        vtcp_reconsider(v);
    }
}

void vnx_vtcp_set_paused(VnxVtcp *v, bool paused, int64_t now_ns)
{
    if (v->paused == paused) {
        return;
    }
    v->paused = paused;
    if (paused) {
        v->paused_at = now_ns;
        vtcp_clock(v, now_ns);
        return;
    }
    v->paused_ns += now_ns - v->paused_at;
    vtcp_clock(v, now_ns);
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        /* a round trip that spans a stop says nothing (rule 13) */
        vnx_txq_forget_times(&c->half[0].txq);
        vnx_txq_forget_times(&c->half[1].txq);
    }
}

bool vnx_vtcp_drained(const VnxVtcp *v)
{
    return v->undelivered == 0 && v->ooo_queues == 0;
}

void vnx_vtcp_reset_undrained(VnxVtcp *v, int64_t now_ns)
{
    vtcp_clock(v, v->paused ? v->paused_at : now_ns);
    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;

        if (half_owes(&c->half[0]) || half_owes(&c->half[1])) {
            conn_reset(c);
        }
    }
}

/* ---- packets ---- */

static VnxVerdict vtcp_push_new(VnxVtcp *v, VnxDir dir, unsigned queue, VnxPacket *p)
{
    VnxConn *c;

    if ((p->flags & (VNX_TCP_SYN | VNX_TCP_ACK | VNX_TCP_RST | VNX_TCP_FIN)) !=
        VNX_TCP_SYN) {
        return VNX_VERDICT_PASS;
    }
    if (!vnx_packet_csum_ok(p)) {
        v->stats.bad_checksum++;
        return VNX_VERDICT_PASS;
    }
    c = conn_open(v, dir, p);
    if (c && dir == VNX_TO_NET) {
        conn_set_queue(c, queue);
    }
    return VNX_VERDICT_PASS;
}

/* Not TCP, but perhaps a router's word on a segment of ours; S hears it, too. */
static void vtcp_too_big(VnxVtcp *v, VnxDir dir, const VnxPacket *p, int64_t now_ns)
{
    VnxTooBig too_big;
    VnxConn *c;

    if (v->paused || !vnx_packet_too_big(p, dir, &too_big)) {
        return;
    }
    vtcp_clock(v, now_ns);
    c = (VnxConn *)vnx_flow_table_lookup(v->flows, &too_big.key);
    if (c && (c->state == VNX_FLOW_ESTABLISHED || c->state == VNX_FLOW_RESET)) {
        half_too_big(&c->half[!dir], &too_big);
    }
}

VnxVerdict vnx_vtcp_push(VnxVtcp *v, VnxDir dir, unsigned queue, const struct iovec *iov,
                         unsigned iovcnt, size_t vnet_len, int64_t now_ns)
{
    VnxPacket p;
    VnxConn *c;

    v->stats.packets++;
    queue = queue < v->n_queues ? queue : 0;
    switch (vnx_packet_parse(&p, iov, iovcnt, vnet_len, dir)) {
    case VNX_PARSE_TCP:
        break;
    case VNX_PARSE_TRUNCATED:
    case VNX_PARSE_MALFORMED:
    case VNX_PARSE_TOO_LONG:
        v->stats.malformed++;
        v->unread[dir] = true;
        return VNX_VERDICT_PASS;
    case VNX_PARSE_FRAGMENT:
        v->stats.not_tcp++;
        v->unread[dir] = true;
        return VNX_VERDICT_PASS;
    default:
        v->stats.not_tcp++;
        /* TCP, for all we know, behind a routing header with hops to go */
        v->unread[dir] |= p.ip_version == 6 && p.key.proto == IPPROTO_ROUTING;
        vtcp_too_big(v, dir, &p, now_ns);
        return VNX_VERDICT_PASS;
    }
    v->stats.tcp_packets++;
    if (v->paused) {
        v->stats.paused_drops++;
        return VNX_VERDICT_CONSUMED;
    }
    vtcp_clock(v, now_ns);
    c = (VnxConn *)vnx_flow_table_lookup(v->flows, &p.key);
    if (!c) {
        return vtcp_push_new(v, dir, queue, &p);
    }
    conn_prefetch(c);
    if (!vnx_packet_csum_ok(&p) || !vnx_packet_ip_csum_ok(&p)) {
        v->stats.bad_checksum++;
        return VNX_VERDICT_PASS;
    }
    if (v->now - c->node.touched_ns > VNX_PAWS_IDLE_NS) {
        c->half[0].ts_outdated = c->half[1].ts_outdated = true;
    }
    vnx_flow_table_touch(v->flows, &c->node, c->node.age_class, v->now);
    if ((p.flags & (VNX_TCP_SYN | VNX_TCP_ACK | VNX_TCP_RST)) == VNX_TCP_SYN &&
        (c->state == VNX_FLOW_CLOSED || c->state == VNX_FLOW_UNTRACKED || conn_gone(c) ||
         (c->state == VNX_FLOW_RESET && conn_makes_way(c, dir)))) {
        conn_free(c);           /* over, or never ours: the SYN begins anew */
        return vtcp_push_new(v, dir, queue, &p);
    }
    if (dir == VNX_TO_NET) {
        conn_set_queue(c, queue);
    }
    conn_check_scope(c);
    switch (c->state) {
    case VNX_FLOW_ESTABLISHED:
    case VNX_FLOW_RESET:
        return conn_input(c, dir, &p);
    case VNX_FLOW_SYN_SENT:
    case VNX_FLOW_SYN_RECEIVED:
        return conn_handshake(c, dir, &p);
    default:
        return VNX_VERDICT_PASS;
    }
}

/* ---- work and time ---- */

void vnx_vtcp_writable(VnxVtcp *v, VnxDir dir, unsigned queue)
{
    if (queue < v->n_queues) {
        v->lane[dir][queue].busy = false;
    }
}

/* Send what connection @c has for direction @dir. May free @c. */
static void vtcp_serve(VnxVtcp *v, VnxConn *c, VnxDir dir)
{
    VnxHalf *acks = &c->half[!dir];

    if (c->rst_due[dir]) {
        if (!conn_send_rst(c, dir)) {
            conn_queue(c, dir);
            return;
        }
        c->rst_due[dir] = false;
        if (c->rst_due[!dir]) {
            return;
        }
        if (c->given_up) {
            conn_linger(c);
        } else {
            conn_free(c);
        }
        return;
    }
    half_output(&c->half[dir]);
    if (acks->ack_due && !half_send_ack(acks, false)) {
        conn_queue(c, dir);
    }
}

static void vtcp_serve_lane(VnxVtcp *v, VnxLane *lane, VnxDir dir)
{
    unsigned n = lane->work.length;         /* what is queued meanwhile waits */

    while (n-- && lane->work.head && !lane->busy) {
        GList *link = g_queue_pop_head_link(&lane->work);
        VnxConn *c = link->data;

        link->data = NULL;
        vtcp_serve(v, c, dir);
    }
}

static void vtcp_age(VnxVtcp *v)
{
    static const struct {
        VnxAge age;
        int64_t timeout_ns;
    } lists[] = {
        { VNX_AGE_HALF_OPEN, VNX_HALF_OPEN_TIMEOUT_NS },
        { VNX_AGE_ENDED, VNX_ENDED_TIMEOUT_NS },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(lists); i++) {
        VnxFlowNode *node;

        while ((node = vnx_flow_table_oldest(v->flows, lists[i].age)) &&
               v->now - node->touched_ns >= lists[i].timeout_ns) {
            conn_free((VnxConn *)node);
        }
    }
}

void vnx_vtcp_run(VnxVtcp *v, int64_t now_ns)
{
    VnxTimer *t;

    if (v->paused) {
        return;
    }
    vtcp_clock(v, now_ns);
    while ((t = vnx_timers_pop(&v->scopes, v->now))) {
        conn_change_profile((VnxConn *)((char *)t - offsetof(VnxConn, scope_timer)), NULL);
    }
    while ((t = vnx_timers_pop(&v->timers, v->now))) {
        half_timeout((VnxHalf *)((char *)t - offsetof(VnxHalf, timer)));
    }
    for (int d = 0; d < 2; d++) {
        for (unsigned q = 0; q < v->n_queues; q++) {
            vtcp_serve_lane(v, &v->lane[d][q], d);
        }
    }
    vtcp_age(v);
}

bool vnx_vtcp_has_work(const VnxVtcp *v)
{
    if (v->paused) {
        return false;
    }
    for (int d = 0; d < 2; d++) {
        for (unsigned q = 0; q < v->n_queues; q++) {
            if (v->lane[d][q].work.length && !v->lane[d][q].busy) {
                return true;
            }
        }
    }
    return false;
}

int64_t vnx_vtcp_next_deadline(const VnxVtcp *v)
{
    VnxFlowNode *half_open = vnx_flow_table_oldest(v->flows, VNX_AGE_HALF_OPEN);
    VnxFlowNode *ended = vnx_flow_table_oldest(v->flows, VNX_AGE_ENDED);
    int64_t next = MIN(vnx_timers_next(&v->timers), vnx_timers_next(&v->scopes));

    if (v->paused) {
        return VNX_NEVER;
    }
    if (half_open) {
        next = MIN(next, half_open->touched_ns + VNX_HALF_OPEN_TIMEOUT_NS);
    }
    if (ended) {
        next = MIN(next, ended->touched_ns + VNX_ENDED_TIMEOUT_NS);
    }
    return next == VNX_NEVER ? VNX_NEVER : next + v->paused_ns;
}

/* ---- queries ---- */

void vnx_vtcp_stats(const VnxVtcp *v, VnxVtcpStats *stats)
{
    *stats = v->stats;
    stats->flows = vnx_flow_table_count(v->flows);
    stats->half_open = vnx_flow_table_class_count(v->flows, VNX_AGE_HALF_OPEN);
    stats->buffer_used = v->pool.used;
    stats->buffer_reserved = v->pool.reserved;
    stats->undelivered = v->undelivered;
    stats->ooo_queues = v->ooo_queues;
}

static void half_info(VnxHalf *h, VnxVtcpHalfInfo *info)
{
    bool sending = h->cc.ops && (h->state == VNX_HALF_ACCELERATING ||
                                 h->state == VNX_HALF_DRAINING);

    memset(info, 0, sizeof(*info));
    info->state = h->state;
    info->reason = h->reason;
    info->bytes = h->bytes;
    info->early_acked_bytes = h->early_acked_bytes;
    info->acks_consumed = h->acks_consumed;
    info->retransmits = h->retransmits;
    info->rto_retransmits = h->rto_retransmits;
    info->fast_retransmits = h->fast_retransmits;
    info->dupacks = h->n_dupacks;
    info->out_of_order = h->out_of_order;
    info->duplicate_bytes = h->duplicate_bytes;
    info->undelivered = half_undelivered(h);
    info->out_of_order_queued = h->ooo ? vnx_ooo_bytes(h->ooo) : 0;
    info->buffer_used = h->buf.real;
    info->una = h->una;
    info->nxt = h->nxt;
    info->early = half_ack(h);
    info->advertised_window = seq_ahead(h->adv_edge, half_ack(h));
    info->receiver_window = seq_ahead(h->r_edge, h->una);
    info->cwnd = sending ? h->cc.cwnd : VNX_CC_UNLIMITED;
    info->ssthresh = sending ? h->cc.ssthresh : VNX_CC_UNLIMITED;
    info->mss = h->smss;
    info->srtt_ns = h->rtt.srtt_ns;
    info->rttvar_ns = h->rtt.rttvar_ns;
    info->min_rtt_ns = h->rtt.min_ns;
    info->rto_ns = half_rto(h);
    g_strlcpy(info->congestion_control, sending ? h->cc.ops->name : "",
              sizeof(info->congestion_control));
}

void vnx_vtcp_foreach_flow(VnxVtcp *v, uint64_t after_id, int64_t now_ns,
                           bool (*fn)(const VnxVtcpFlowInfo *info, void *opaque),
                           void *opaque)
{
    int64_t now = (v->paused ? v->paused_at : now_ns) - v->paused_ns;

    for (GList *l = v->all.head; l; l = l->next) {
        VnxConn *c = l->data;
        VnxVtcpFlowInfo info;

        if (c->id <= after_id) {
            continue;
        }
        info.key = c->node.key;
        info.id = c->id;
        info.state = c->state;
        info.queue = c->queue;
        info.policy = c->policy ? vnx_policy_spec(c->policy)->id : NULL;
        info.age_ns = now - c->created_ns;
        info.idle_ns = now - c->node.touched_ns;
        half_info(&c->half[0], &info.half[0]);
        half_info(&c->half[1], &info.half[1]);
        if (!fn(&info, opaque)) {
            return;
        }
    }
}
