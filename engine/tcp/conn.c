/*
 * vnx: a connection - birth, handshake, end
 *
 * A flow is accelerated only if its handshake was seen whole (T2), and what counts
 * is the SYN-ACK that the third ACK acknowledges: retransmitted SYN-ACKs and SYN
 * cookies may differ, so the two newest are kept.  Where both ends open at once (RFC
 * 9293 3.5), what counts is that each has acknowledged the other's SYN.  All handshake
 * segments pass untouched.
 *
 * Ageing: half-open flows and ended ones go after a time or when room is
 * needed, oldest first; established ones only when room is needed, and never
 * while something that was acknowledged early is undelivered.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/tcp/vtcp-private.h"

#define OPTIONS_UNFIT (VNX_OPT_MD5 | VNX_OPT_AO | VNX_OPT_MPTCP | VNX_OPT_FASTOPEN | \
                       VNX_OPT_ACCECN | VNX_OPT_UNKNOWN | VNX_OPT_MALFORMED)

void conn_event(VnxConn *c, VnxVtcpEvent *ev)
{
    VnxVtcp *v = c->v;

    if (v->ops->event) {
        ev->key = &c->node.key;
        ev->flow_id = c->id;
        ev->flow_state = c->state;
        ev->half_state = c->half[ev->dir].state;
        ev->reason = c->half[ev->dir].reason;
        v->ops->event(v->opaque, ev);
    }
}

static VnxAge conn_age(const VnxConn *c)
{
    switch (c->state) {
    case VNX_FLOW_SYN_SENT:
    case VNX_FLOW_SYN_RECEIVED:
        return VNX_AGE_HALF_OPEN;
    case VNX_FLOW_ESTABLISHED:
        return VNX_AGE_ESTABLISHED;
    case VNX_FLOW_RESET:
        return conn_gone(c) ? VNX_AGE_ENDED : VNX_AGE_ESTABLISHED;
    default:
        return VNX_AGE_ENDED;
    }
}

void conn_set_state(VnxConn *c, VnxFlowState state)
{
    if (c->state != state) {
        c->state = state;
        vnx_flow_table_touch(c->v->flows, &c->node, conn_age(c), c->v->now);
        conn_event(c, &(VnxVtcpEvent) { .type = VNX_EVENT_FLOW_STATE });
    }
}

/* Not a word for so long that who left a hole has long given up to fill it. */
static bool conn_abandoned(const VnxConn *c)
{
    return c->v->now - c->node.touched_ns > c->v->cfg.retry_limit_ms * VNX_MS_NS;
}

static bool conn_evictable(const VnxConn *c)
{
    return conn_age(c) == VNX_AGE_ENDED ||
           (c->state != VNX_FLOW_RESET && !half_undelivered(&c->half[0]) &&
            !half_undelivered(&c->half[1]) &&
            ((!c->half[0].ooo && !c->half[1].ooo) || conn_abandoned(c)));
}

/* Make room for one more flow; false if nothing may go. */
static bool conn_make_room(VnxVtcp *v)
{
    static const VnxAge order[] = {
        VNX_AGE_ENDED, VNX_AGE_HALF_OPEN, VNX_AGE_ESTABLISHED
    };
    enum { LOOK = 16 };         /* undrained ones to step over, at most */
    uint32_t half_open = vnx_flow_table_class_count(v->flows, VNX_AGE_HALF_OPEN);

    if (half_open && half_open >= v->cfg.max_flows >> VNX_HALF_OPEN_SHIFT) {
        conn_free((VnxConn *)vnx_flow_table_oldest(v->flows, VNX_AGE_HALF_OPEN));
        v->stats.flows_evicted++;
    }
    for (unsigned i = 0; vnx_flow_table_full(v->flows) && i < G_N_ELEMENTS(order); i++) {
        VnxFlowNode *node = vnx_flow_table_oldest(v->flows, order[i]);

        for (int n = 0; node && n < LOOK; n++) {
            VnxConn *c = (VnxConn *)node;

            node = vnx_flow_table_newer(v->flows, node);
            if (conn_evictable(c)) {
                conn_free(c);
                v->stats.flows_evicted++;
                break;
            }
        }
    }
    return !vnx_flow_table_full(v->flows);
}

/* A flow that is not there yet; NULL if there is no room. */
VnxConn *conn_new(VnxVtcp *v, const VnxFlowKey *key, VnxFlowProfile *profile)
{
    VnxConn *c;

    if (!conn_make_room(v)) {
        v->stats.flows_refused++;
        return NULL;
    }
    c = g_slice_new0(VnxConn);
    c->v = v;
    c->profile = vnx_flow_profile_ref(profile);
    c->node.key = *key;
    c->id = ++v->next_id;
    c->created_ns = v->now;
    c->established_ns = VNX_NEVER;
    c->policy_bytes = UINT64_MAX;
    vnx_timer_init(&c->scope_timer);
    c->state = VNX_FLOW_SYN_SENT;
    half_init(&c->half[0], 0);
    half_init(&c->half[1], 1);
    c->all.data = c;
    g_queue_push_tail_link(&v->all, &c->all);
    if (!vnx_flow_table_insert(v->flows, &c->node, VNX_AGE_HALF_OPEN, v->now)) {
        g_assert_not_reached();
    }
    v->stats.flows_created++;
    return c;
}

static void conn_drop_state(VnxConn *c)
{
    VnxVtcp *v = c->v;

    for (int d = 0; d < 2; d++) {
        VnxHalf *h = &c->half[d];

        half_drop_queue(h);
        v->undelivered -= half_undelivered(h);
        v->pool.reserved -= h->reserved;
        h->reserved = 0;
        h->early = h->una;
        vnx_segbuf_clear(&h->buf, &v->pool);
        half_sender_stop(h);
        vnx_cc_stop(&h->cc);
        vnx_timer_remove(&v->timers, &h->timer);
        c->rst_due[d] = false;
        if (c->work[d].data) {
            g_queue_unlink(&conn_lane(c, d)->work, &c->work[d]);
            c->work[d].data = NULL;
        }
    }
    g_clear_pointer(&c->syn, g_free);
    c->new_syn = false;
}

void conn_free(VnxConn *c)
{
    VnxVtcp *v = c->v;

    conn_drop_state(c);
    vnx_flow_table_remove(v->flows, &c->node);
    g_queue_unlink(&v->all, &c->all);
    conn_set_policy(c, NULL);
    vnx_timer_remove(&v->scopes, &c->scope_timer);
    vnx_flow_profile_unref(c->profile);
    g_slice_free(VnxConn, c);
}

void conn_queue(VnxConn *c, VnxDir dir)
{
    if (!c->work[dir].data) {
        c->work[dir].data = c;
        g_queue_push_tail_link(&conn_lane(c, dir)->work, &c->work[dir]);
    }
}

void conn_set_queue(VnxConn *c, unsigned queue)
{
    bool waits[2] = { c->work[0].data, c->work[1].data };

    if (queue == c->queue) {
        return;
    }
    for (int d = 0; d < 2; d++) {
        if (waits[d]) {
            g_queue_unlink(&conn_lane(c, d)->work, &c->work[d]);
            c->work[d].data = NULL;
        }
    }
    c->queue = queue;
    for (int d = 0; d < 2; d++) {
        if (waits[d]) {
            conn_queue(c, d);
        }
    }
}

/* From now on only pass its segments. Nothing may be undelivered. */
void conn_untrack(VnxConn *c, VnxReason reason)
{
    c->reason = reason;
    conn_drop_state(c);
    for (int d = 0; d < 2; d++) {
        half_init(&c->half[d], d);
        c->half[d].reason = reason;
    }
    conn_set_state(c, VNX_FLOW_UNTRACKED);
}

static bool syn_fit(const VnxPacket *p)
{
    return !p->payload_len && !(p->options & OPTIONS_UNFIT) &&
           !(p->flags & (VNX_TCP_AE | VNX_TCP_FIN | VNX_TCP_RST | VNX_TCP_URG));
}

static uint16_t syn_mss(const VnxPacket *p)
{
    uint16_t mss = p->ip_version == 4 ? VNX_MSS_DEFAULT_IP4 : VNX_MSS_DEFAULT_IP6;

    if (p->options & VNX_OPT_MSS && p->mss) {
        mss = p->mss;
    }
    return MAX(mss, VNX_MSS_MIN);
}

/* A SYN without ACK from end[!dir]; the connection is new or starts over. */
bool conn_start(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    VnxEnd *end = &c->end[!dir];

    conn_drop_state(c);
    memset(c->end, 0, sizeof(c->end));
    half_init(&c->half[0], 0);
    half_init(&c->half[1], 1);
    c->n_synack = 0;
    c->crossed = c->syn_acked[0] = c->syn_acked[1] = false;
    c->opener = !dir;
    c->dscp = p->dscp_ecn >> 2;
    c->syn_flags = p->flags;
    c->ecn = c->ecn_varied = false;
    c->syn_window = p->window;
    c->syn_wscale = p->wscale;
    end->iss = p->seq;
    end->mss = syn_mss(p);
    end->options = p->options;
    end->tsval = p->tsval;
    vnx_headers_learn(&end->headers, p);
    conn_set_state(c, VNX_FLOW_SYN_SENT);
    if (!syn_fit(p)) {
        conn_untrack(c, VNX_REASON_OPTIONS);
        return false;
    }
    return true;
}

/* The connection that @syn, of direction @dir, opens; NULL: it is not to be followed. */
VnxConn *conn_open(VnxVtcp *v, VnxDir dir, const VnxPacket *syn)
{
    VnxPolicy *policy = vtcp_policy(v, &(VnxFlowOpening) {
        .key = &syn->key,
        .opener = !dir,
        .dscp = syn->dscp_ecn >> 2,
    });
    VnxFlowProfile *profile = policy ? vnx_policy_profile(policy) : v->profile;
    VnxConn *c = NULL;

    if (profile->cfg.mode != VNX_MODE_OFF) {
        c = conn_new(v, &syn->key, profile);
    }
    if (!c) {
        return NULL;
    }
    conn_set_policy(c, policy);
    return conn_start(c, dir, syn) ? c : NULL;
}

/* What the end that did not open says of itself, in its SYN-ACK or SYN. */
static void conn_note_synack(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    if (!c->n_synack || c->synack[0].iss != p->seq) {
        c->synack[1] = c->synack[0];
        c->n_synack = MIN(c->n_synack + 1, 2);
        c->synack[0].flags = p->flags;
    }
    c->ecn_varied |= ecn_varies(c->synack[0].flags, p->flags);
    c->synack[0].iss = p->seq;
    c->synack[0].window = p->window;
    c->synack[0].options = p->options;
    c->synack[0].mss = syn_mss(p);
    c->synack[0].flags |= p->flags;
    c->synack[0].wscale = p->wscale;
    c->synack[0].tsval = p->tsval;
    c->synack[0].tsecr = p->tsecr;
    vnx_headers_learn(&c->end[!dir].headers, p);
    conn_set_state(c, VNX_FLOW_SYN_RECEIVED);
}

static void conn_synack(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    if (p->ack != c->end[c->opener].iss + 1) {
        c->v->stats.unacceptable++;
    } else if (!syn_fit(p)) {
        conn_untrack(c, VNX_REASON_OPTIONS);
    } else {
        conn_note_synack(c, dir, p);
    }
}

/* The third ACK acknowledges SYN-ACK number @i: both halves begin. */
static void conn_establish(VnxConn *c, unsigned i)
{
    VnxEnd *a = &c->end[c->opener], *b = &c->end[!c->opener];
    uint16_t both;

    b->iss = c->synack[i].iss;
    b->mss = c->synack[i].mss;
    b->options = c->synack[i].options;
    b->tsval = c->synack[i].tsval;
    b->tsecr = c->synack[i].tsecr;
    both = a->options & b->options;
    if (both & VNX_OPT_WSCALE) {        /* RFC 7323 2.2: only if both did */
        a->wscale = c->syn_wscale;
        b->wscale = c->synack[i].wscale;
    }
    a->ts = b->ts = both & VNX_OPT_TIMESTAMP;
    if (!ecn_negotiated(c->syn_flags, c->synack[i].flags, c->ecn_varied, &c->ecn) ||
        (c->ecn && !c->profile->cfg.ecn)) {
        conn_untrack(c, VNX_REASON_ECN);
        return;
    }
    a->ip_id = c->v->next_ip_id;
    b->ip_id = a->ip_id + 0x8000;
    c->v->next_ip_id += 4099;           /* odd: all values come up */
    c->established_ns = c->v->now;
    conn_watch_scope(c);
    conn_set_state(c, VNX_FLOW_ESTABLISHED);
    for (int d = 0; d < 2; d++) {
        VnxHalf *h = &c->half[d];
        VnxEnd *s = &c->end[!d];
        /* windows in SYN and SYN-ACK are not scaled (RFC 7323 2.2) */
        uint16_t window = d == c->opener ? c->syn_window : c->synack[i].window;

        h->una = h->early = h->last_ack = h->rcv_nxt = h->s_max = s->iss + 1;
        h->trouble = h->una;
        h->r_edge = h->adv_edge = h->una + window;
        h->r_wnd_max = window;
        h->wl1 = c->end[d].iss;
        h->wl2 = h->una;
        h->ts_recent = s->tsval;
        h->smss = half_mss(h);
        half_establish(h);
    }
}

/* ... and @p, the third ACK or what stood in for it, goes on: the SYN-ACK asked for it. */
static VnxVerdict conn_establish_by(VnxConn *c, unsigned i, VnxDir dir, VnxPacket *p)
{
    conn_establish(c, i);
    if (c->state != VNX_FLOW_ESTABLISHED || p->flags & VNX_TCP_SYN) {
        return VNX_VERDICT_PASS;
    }
    c->half[!dir].probe_passed = true;
    return conn_input(c, dir, p);
}

/* The SYN of the other end crosses that of the opener: @p, from end[!dir]. */
static void conn_cross(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    if (!syn_fit(p)) {
        conn_untrack(c, VNX_REASON_OPTIONS);
    } else if (c->n_synack && (!c->crossed || p->seq != c->synack[0].iss)) {
        conn_untrack(c, VNX_REASON_HANDSHAKE);  /* it has said something else before */
    } else {
        conn_note_synack(c, dir, p);
        c->crossed = true;
        /* RFC 3168 has no words for two that offer at once */
        c->ecn_varied |= (c->syn_flags | p->flags) & VNX_TCP_ECE;
    }
}

/*
 * Both ends opened, and @p, a SYN-ACK or ACK, is from end[!dir].  True if with it each has
 * acknowledged the other's SYN.  The windows of SYN-ACKs are news.
 */
static bool conn_crossed(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    VnxDir from = !dir;
    bool syn = p->flags & VNX_TCP_SYN, opener = from == c->opener;
    uint32_t mine = opener ? c->end[from].iss : c->synack[0].iss;
    uint32_t other = opener ? c->synack[0].iss : c->end[c->opener].iss;

    if (p->ack != other + 1 || p->seq != mine + !syn || (syn && !syn_fit(p))) {
        return false;
    }
    if (syn && opener) {
        c->syn_window = p->window;
        c->syn_flags |= p->flags;
    } else if (syn) {
        conn_note_synack(c, dir, p);
    }
    c->syn_acked[from] = true;
    return c->syn_acked[dir];
}

/* A sound segment of a connection that is not established. Always passes. */
VnxVerdict conn_handshake(VnxConn *c, VnxDir dir, VnxPacket *p)
{
    VnxDir from = !dir;
    uint16_t kind = p->flags & (VNX_TCP_SYN | VNX_TCP_ACK | VNX_TCP_RST);

    if (p->flags & VNX_TCP_RST) {
        bool ends = from == c->opener ? p->seq == c->end[from].iss + 1 ||
                                        p->seq == c->end[from].iss :
                    p->flags & VNX_TCP_ACK && p->ack == c->end[!from].iss + 1;

        if (ends) {
            conn_free(c);
        }
        return VNX_VERDICT_PASS;
    }
    if (kind == VNX_TCP_SYN) {
        if (from == c->opener) {
            uint16_t before = p->seq == c->end[from].iss ? c->syn_flags : p->flags;
            bool varied = c->ecn_varied || ecn_varies(before, p->flags);

            if (p->seq != c->end[from].iss || c->state == VNX_FLOW_SYN_SENT) {
                conn_start(c, dir, p);
                conn_change_profile(c, c->own_profile ? c->profile : NULL);
            }
            c->syn_flags |= before;
            c->ecn_varied = varied;
        } else {
            conn_cross(c, dir, p);
        }
    } else if (c->crossed && kind & VNX_TCP_ACK) {
        if (conn_crossed(c, dir, p)) {
            return conn_establish_by(c, 0, dir, p);
        }
    } else if (kind == (VNX_TCP_SYN | VNX_TCP_ACK)) {
        if (from != c->opener) {
            conn_synack(c, dir, p);
        } else {
            conn_untrack(c, VNX_REASON_OPTIONS);
        }
    } else if (kind == VNX_TCP_ACK && from == c->opener &&
               c->state == VNX_FLOW_SYN_RECEIVED &&
               seq_gt(p->seq, c->end[from].iss)) {
        /* usually the third ACK; where that was lost, any later segment is as good */
        for (unsigned i = 0; i < c->n_synack; i++) {
            if (p->ack == c->synack[i].iss + 1 &&
                p->seq - c->end[from].iss - 1 <= c->synack[i].window) {
                return conn_establish_by(c, i, dir, p);
            }
        }
    }
    if (!(p->flags & (VNX_TCP_SYN | VNX_TCP_RST)) &&
        (p->payload_len || p->flags & VNX_TCP_FIN)) {
        /* the ends are further than we know: their handshake was not seen whole */
        conn_untrack(c, VNX_REASON_HANDSHAKE);
    }
    return VNX_VERDICT_PASS;
}

/* Both FINs are acknowledged: what still comes (a lost last ACK) is the ends' own. */
void conn_check_closed(VnxConn *c)
{
    if (c->state == VNX_FLOW_ESTABLISHED && half_finished(&c->half[0]) &&
        half_finished(&c->half[1])) {
        for (int d = 0; d < 2; d++) {
            half_discard(&c->half[d]);
            c->half[d].reason = VNX_REASON_CLOSED;
        }
        conn_set_state(c, VNX_FLOW_CLOSED);
    }
}

void conn_reset(VnxConn *c)
{
    c->v->stats.flows_reset++;
    conn_event(c, &(VnxVtcpEvent) { .type = VNX_EVENT_RESET });
    c->given_up = true;
    conn_set_state(c, VNX_FLOW_RESET);
    for (int d = 0; d < 2; d++) {
        vnx_timer_stop(&c->half[d].timer);
        c->half[d].ack_due = false;
        c->rst_due[d] = true;
        conn_queue(c, d);
    }
}

/*
 * Both RSTs are out.  What an end has received of the other may not be what vTCP knew, and
 * then it only challenges the RST (RFC 5961 3.2): that gets its answer for a while.
 */
void conn_linger(VnxConn *c)
{
    for (int d = 0; d < 2; d++) {
        half_discard(&c->half[d]);
        c->half[d].adv_edge = half_ack(&c->half[d]);    /* promises are over */
    }
    conn_drop_state(c);
    vnx_flow_table_touch(c->v->flows, &c->node, conn_age(c), c->v->now);
}

/* Between one SYN and its repetition is a second (RFC 6298 2.1), if it is no double of the network. */
#define REOPENING_NS (VNX_RTO_INITIAL_NS / 2)

/*
 * S has reset the connection, R is still being given what S was told is delivered, and now S opens a
 * new connection with the same ports.  While R takes what is its own the SYN has to wait.  If it took
 * nothing between one SYN and the next, the old connection is over for R, too: what is left, S
 * itself has given up.
 */
bool conn_makes_way(VnxConn *c, VnxDir dir)
{
    VnxHalf *h = &c->half[dir];
    VnxVtcp *v = c->v;

    if (c->rst_due[0] || c->rst_due[1] || !half_holds(h)) {
        return false;
    }
    if (!c->reopening || c->reopening_una != h->una) {
        c->reopening = true;
        c->reopening_una = h->una;
        c->reopening_ns = v->now;
    }
    if (v->now - c->reopening_ns < REOPENING_NS || !conn_send_rst(c, dir)) {
        return false;
    }
    v->stats.flows_reset++;
    conn_event(c, &(VnxVtcpEvent) { .type = VNX_EVENT_RESET, .dir = dir });
    return true;
}
