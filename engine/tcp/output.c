/*
 * vnx: output - everything that vTCP sends
 *
 * Each frame of direction d carries data of half[d] and acknowledges half[!d]:
 * whatever leaves, first or repeated, data or not, has the current ACK number,
 * window, TSecr and ECE of half[!d], the newest TSval of the end it speaks for, and that
 * end's newest L2/L3 headers (rule 5).
 *
 * Payload leaves straight from the segment buffer; nothing is copied here.  When
 * the host's emit says no, the connection queues for the direction and
 * vnx_vtcp_run() comes back.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/tcp/rate.h"
#include "engine/tcp/vtcp-private.h"

/* Headers for a segment in direction @dir, with the ACK and window of now. */
static void build_init(VnxConn *c, VnxDir dir, VnxBuild *b)
{
    VnxHalf *acks = &c->half[!dir];
    VnxEnd *from = &c->end[!dir];
    const VnxOffload *offload = &c->v->offload[dir];

    b->ack = half_ack(acks);
    b->window = half_window(acks, b->ack);
    b->timestamp = from->ts;
    b->tsval = from->tsval;
    b->tsecr = acks->state == VNX_HALF_ACCELERATING || acks->state == VNX_HALF_DRAINING ?
               acks->ts_recent : from->tsecr;
    b->vnet_len = offload->vnet_len;
    b->csum_partial = offload->csum && offload->vnet_len;
    b->ip_id = from->ip_id++;
    b->flags |= ecn_flags(c, dir, (b->flags & VNX_TCP_RST) | (from->ece ? VNX_TCP_ECE : 0));
    if (half_has_sack(acks) && !b->payload_len && !(b->flags & VNX_TCP_RST)) {
        /* with payload it would not fit */
        b->n_sack = half_sack(acks, b->sack, b->timestamp ? 3 : VNX_SACK_MAX);
    }
}

/* True if the frame went out: S of the half that it acknowledges knows ACK and window. */
static bool build_emit(VnxConn *c, VnxDir dir, const VnxBuild *b)
{
    VnxVtcp *v = c->v;
    VnxLane *lane = conn_lane(c, dir);
    uint8_t head[VNX_BUILD_MAX];
    struct iovec iov[VNX_EMIT_IOV + 1];

    if (lane->busy) {
        return false;
    }
    iov[0].iov_base = head;
    iov[0].iov_len = vnx_headers_build(&c->end[!dir].headers, b, head);
    if (b->payload_cnt) {
        memcpy(iov + 1, b->payload, b->payload_cnt * sizeof(iov[0]));
    }
    if (!v->ops->emit(v->opaque, dir, c->queue, iov, b->payload_cnt + 1,
                      iov[0].iov_len + b->payload_len)) {
        lane->busy = true;
        return false;
    }
    half_told(&c->half[!dir], b->ack, b->window);
    if (b->n_sack) {
        half_dsack_told(&c->half[!dir]);
    }
    return true;
}

static unsigned tcp_header_len(const VnxConn *c)
{
    return 20 + (c->end[0].ts ? 12 : 0);
}

/* Payload that one frame toward R may carry: with segmentation offload many segments. */
static uint32_t frame_max(const VnxHalf *h)
{
    const VnxConn *c = half_conn((VnxHalf *)h);
    const VnxOffload *offload = &c->v->offload[h->dir];
    const VnxHeaders *headers = &c->end[!h->dir].headers;
    bool tso = headers->ip_version == 4 ? offload->tso4 : offload->tso6;
    uint32_t l3 = headers->len - headers->l3_off - (headers->ip_version == 6 ? 40 : 0);
    uint32_t max = UINT16_MAX - l3 - tcp_header_len(c);

    if (max <= h->smss) {
        return max;             /* a huge MTU, and headers that have grown */
    }
    return tso && offload->csum && offload->vnet_len ? max - max % h->smss : h->smss;
}

/* half_send_segment(), for a @len that one frame can carry. */
static bool send_frame(VnxHalf *h, uint32_t seq, uint32_t len)
{
    VnxConn *c = half_conn(h);
    VnxVtcp *v = c->v;
    struct iovec iov[VNX_EMIT_IOV];
    VnxBuild b = { .seq = seq, .flags = VNX_TCP_ACK };
    uint32_t got = 0, end;
    bool fin, fresh = seq_ge(seq, h->max), cwr = h->cwr_due && fresh;

    if (conn_lane(c, h->dir)->busy) {
        conn_queue(c, h->dir);
        return false;
    }
    if (cwr && !v->offload[h->dir].ecn) {
        len = MIN(len, h->smss);
    }
    if (len) {
        b.payload_cnt = vnx_segbuf_iov(&h->buf, seq - h->buf_seq, len, iov, VNX_EMIT_IOV,
                                       &got);
        b.payload = iov;
        b.payload_len = got;
    }
    end = seq + got;
    fin = h->fin_seen && end == h->fin_seq && end == h->rcv_nxt;
    if (fin) {
        b.flags |= VNX_TCP_FIN;
    }
    if (got && (end == h->rcv_nxt || (h->psh_seen && seq_ge(h->psh_seq, seq) &&
                                      seq_le(h->psh_seq, end)))) {
        b.flags |= VNX_TCP_PSH;
    }
    if (got && c->ecn && fresh) {
        b.ecn = VNX_ECN_ECT0;
        b.flags |= cwr ? VNX_TCP_CWR : 0;
    }
    build_init(c, h->dir, &b);
    if (got > h->smss) {
        b.gso_size = h->smss;
        c->end[!h->dir].ip_id += (got - 1) / h->smss;
    }
    if (!build_emit(c, h->dir, &b)) {
        conn_queue(c, h->dir);
        return false;
    }
    if (b.flags & VNX_TCP_CWR) {
        h->cwr_due = false;
    }
    if (seq_lt(seq, h->nxt)) {
        uint32_t n = MAX((got + h->smss - 1) / h->smss, 1);

        v->stats.retransmits += n;
        h->retransmits += n;
        conn_event(c, &(VnxVtcpEvent) {
            .type = VNX_EVENT_RETRANSMIT,
            .dir = h->dir,
            .seq = seq,
            .len = got,
            .by_rto = h->rto_recovery,
        });
    }
    half_sent(h, seq, end + fin);
    return true;
}

/*
 * Send [@seq, @seq + @len) from the buffer, and S's FIN if that follows; less where the buffer is
 * too scattered for one frame, or a frame cannot carry it (h->nxt, or the queue, tells).
 * Returns false if the direction is busy: the connection is queued for it.
 */
bool half_send_segment(VnxHalf *h, uint32_t seq, uint32_t len)
{
    return send_frame(h, seq, MIN(len, frame_max(h)));
}

/* Congestion state grows stale while cwnd does not limit what is under way (RFC 7661). */
static void half_idle_check(VnxHalf *h)
{
    int64_t now = half_conn(h)->v->now;
    int64_t idle = now - h->progress_ns;
    uint32_t cwnd = h->cc.cwnd;

    if (h->nxt != h->una || h->rcv_nxt == h->nxt || idle <= half_rto(h)) {
        return;
    }
    if (h->cc.ops->on_idle) {
        h->cc.ops->on_idle(&h->cc, idle, now - h->used_ns, now);
        if (h->cc.cwnd < cwnd) {
            h->used_ns = now;
        }
    }
    h->restarting = true;
}

/*
 * @len bytes could go in one frame, if it were not for congestion control and pacing: how many
 * may.  Whole segments only.
 */
static uint32_t half_allowed(VnxHalf *h, uint32_t len)
{
    uint32_t room = half_room(h), pace;

    if (room < len) {
        len = room < MIN(len, h->smss) ? 0 : room - room % h->smss;
        if (!len) {
            h->cwnd_limited = true;
            h->used_ns = half_conn(h)->v->now;
            return 0;
        }
    }
    pace = len ? half_pace(h) : 0;
    return MIN(len, pace);
}

/*
 * Send again what is lost, in frames of at most @max.  False: some of it has to wait, and so
 * has what is new.
 */
static bool half_repeat(VnxHalf *h, uint32_t max)
{
    uint32_t begin, end;

    while (vnx_txq_next_lost(&h->txq, &begin, &end)) {
        uint32_t data = seq_ahead(h->rcv_nxt, begin), len, allowed;

        data = MIN(data, end - begin);
        len = MIN(MIN(data, max), seq_ahead(h->r_edge, begin));
        if (!len && !(h->fin_seen && begin == h->fin_seq && begin == h->rcv_nxt)) {
            return false;               /* R took its window back */
        }
        allowed = half_allowed(h, len);
        if (!allowed && len) {
            if (!h->at_once) {
                return false;
            }
            allowed = MIN(len, h->smss);
        }
        if (!send_frame(h, begin, allowed)) {
            return false;
        }
        h->at_once = false;
    }
    h->at_once = false;
    return true;
}

/* Send what is new, likewise, as far as R's window and congestion control go. */
static void half_send_new(VnxHalf *h, uint32_t max)
{
    for (;;) {
        uint32_t avail = seq_ahead(h->rcv_nxt, h->nxt);
        bool fin = half_fin_to_send(h);
        uint32_t window = seq_ahead(h->r_edge, h->nxt);
        uint32_t len = MIN(MIN(avail, max), window), allowed;

        if (!avail && !fin) {
            break;
        }
        allowed = half_allowed(h, len);
        if (len ? !allowed : avail || !half_room(h)) {
            break;
        }
        /* RFC 9293 3.8.6.2.1: no silly window; the persist timer overrides */
        if (allowed < h->smss && allowed < avail && allowed < h->r_wnd_max / 2 &&
            h->nxt != h->una) {
            break;
        }
        if (!send_frame(h, h->nxt, allowed)) {
            break;
        }
    }
}

/* Send what there is to send, and is allowed. */
void half_output(VnxHalf *h)
{
    bool limited = h->cwnd_limited;

    if (h->state != VNX_HALF_ACCELERATING && h->state != VNX_HALF_DRAINING) {
        return;
    }
    h->cwnd_limited = false;
    h->pace_wake_ns = VNX_NEVER;
    if (h->txq.lost || seq_gt(h->rcv_nxt, h->nxt) || half_fin_to_send(h)) {
        uint32_t max = frame_max(h), nxt = h->nxt;

        half_idle_check(h);
        if (h->frto == VNX_FRTO_NEW_DATA || half_repeat(h, max)) {
            half_send_new(h, max);
        }
        if (h->nxt != nxt || h->pace_wake_ns != VNX_NEVER) {
            half_schedule_probe(h);
        }
    }
    if (conn_lane(half_conn(h), h->dir)->busy) {
        h->cwnd_limited |= limited;     /* no news: many ACKs may come before it is over */
    }
    if (h->cc.ops->on_sample && h->nxt == h->rcv_nxt && !h->txq.lost) {
        vnx_rate_app_limited(&h->txq);
    }
    half_arm(h);
}

/*
 * An ACK to S of half @h, in the other direction and in R's name.
 * @again: a duplicate ACK; it leaves the window as it is.
 */
bool half_send_ack(VnxHalf *h, bool again)
{
    VnxConn *c = half_conn(h);
    VnxDir dir = !h->dir;
    VnxHalf *data = &c->half[dir];
    VnxBuild b = { .seq = data->max, .flags = VNX_TCP_ACK };

    build_init(c, dir, &b);
    if (again) {
        b.window = half_window_told(h, b.ack);
    }
    if (!build_emit(c, dir, &b)) {
        return false;
    }
    c->v->stats.early_acks++;
    return true;
}

/* An empty segment that R has to answer (zero window, rule 4). */
bool half_send_probe(VnxHalf *h)
{
    VnxConn *c = half_conn(h);
    VnxBuild b = { .seq = h->una - 1, .flags = VNX_TCP_ACK };

    build_init(c, h->dir, &b);
    if (!build_emit(c, h->dir, &b)) {
        return false;
    }
    c->v->stats.window_probes++;
    return true;
}

/*
 * RST toward side @dir in the other end's name, at the one sequence number that
 * it must accept (RFC 5961 3.2): what it has acknowledged; and where it may
 * have received more, there, too.
 */
bool conn_send_rst(VnxConn *c, VnxDir dir)
{
    VnxHalf *h = &c->half[dir];
    VnxBuild b = { .seq = h->una, .flags = VNX_TCP_RST | VNX_TCP_ACK };

    build_init(c, dir, &b);
    if (!build_emit(c, dir, &b)) {
        return false;
    }
    if (h->max != h->una) {
        b.seq = h->max;
        build_emit(c, dir, &b);
    }
    return true;
}

/* RFC 9293 3.10.7.1: @p, of direction @dir, belongs to a connection that is no more. */
void conn_answer_rst(VnxConn *c, VnxDir dir, const VnxPacket *p)
{
    VnxBuild b = { .seq = p->ack, .flags = VNX_TCP_RST };

    build_init(c, !dir, &b);
    build_emit(c, !dir, &b);    /* if busy: @p's sender will repeat itself */
}

/*
 * Forward @p, a segment of the end hosts in direction @dir, with what this
 * connection's halves require of it (rules 3, 5).  PASS if nothing had to change.
 */
VnxVerdict conn_forward(VnxConn *c, VnxDir dir, VnxPacket *p)
{
    VnxVtcp *v = c->v;
    VnxHalf *data = &c->half[dir], *acks = &c->half[!dir];
    struct iovec iov[64], *out = iov;
    bool changed = false;
    uint32_t ack = half_ack(acks);
    uint16_t window, flags = ecn_flags(c, dir, p->flags);
    unsigned n;

    v->stats.payload_passed += p->payload_len;
    if (acks->state != VNX_HALF_OBSERVING ||
        (acks->early_acked_bytes && seq_lt(p->ack, ack))) {
        window = half_window(acks, ack);
        if (p->sack_off && (p->ack != ack || acks->state == VNX_HALF_ACCELERATING)) {
            vnx_packet_clear_sack(p);   /* vTCP's affair, not S's */
            changed = true;
        }
        if (p->ack != ack) {
            vnx_packet_set_ack(p, ack);
            vnx_packet_set_ts(p, p->tsval, acks->ts_recent);
            changed = true;
        }
        if (p->window != window) {
            vnx_packet_set_window(p, window);
            changed = true;
        }
    }
    if (p->flags != flags) {
        vnx_packet_set_flags(p, flags);
        changed = true;
    }
    half_told(acks, p->ack, p->window);
    if (data->state == VNX_HALF_ACCELERATING || data->state == VNX_HALF_DRAINING) {
        /* an empty segment ahead of the data would be beyond R's window */
        if (!p->payload_len && !(p->flags & (VNX_TCP_FIN | VNX_TCP_RST)) &&
            seq_gt(p->seq, data->max)) {
            vnx_packet_set_seq(p, data->max);
            changed = true;
        }
        if (c->end[!dir].ts && p->options & VNX_OPT_TIMESTAMP &&
            seq_lt(p->tsval, c->end[!dir].tsval)) {
            vnx_packet_set_ts(p, c->end[!dir].tsval, p->tsecr);
            changed = true;
        }
    }
    if (!changed) {
        return VNX_VERDICT_PASS;
    }
    v->stats.acks_rewritten++;
    if (p->iovcnt + 1 > G_N_ELEMENTS(iov)) {
        out = g_new(struct iovec, p->iovcnt + 1);   /* a pathologically scattered frame */
    }
    n = vnx_packet_out_iov(p, out);
    v->ops->forward(v->opaque, dir, out, n, p->size);
    if (out != iov) {
        g_free(out);
    }
    return VNX_VERDICT_CONSUMED;
}
