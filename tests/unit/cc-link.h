/*
 * vnx: unit tests of congestion control - flows over one bottleneck, in virtual time
 *
 * A link serves segments in order at its rate, out of a buffer that drops what does not fit, and
 * marks what comes while more than a threshold waits (ECN).  Acknowledgements of single
 * segments come back after a constant time.  The senders are as the engine's: its queue
 * (txq.h) and rate samples (rate.h) are used, and cwnd and the pacing rate are obeyed; nothing is
 * reordered, so that a gap in what comes back is a loss.
 *
 *     flow ──▶ [ buffer ]──rate──▶ receiver
 *       ▲                             │
 *       └────────── delay_ns ─────────┘
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef CC_LINK_H
#define CC_LINK_H

#include "engine/tcp/rate.h"
#include "engine/tcp/rtt.h"
#include "engine/tcp/txq.h"

#include "cc-path.h"

#define LINK_FLOWS 4

typedef struct Flow {
    VnxCc cc;
    VnxTxq q;
    VnxRtt rtt;
    GQueue sent;                /* Segment, in the order of transmission */
    uint32_t nxt;
    uint32_t recover;
    bool recovery;
    int64_t next_send_ns;       /* pacing */
    uint64_t backlog;           /* bytes that wait to be sent */
    uint64_t max_rate;          /* bytes per second; 0: no limit */
    uint32_t lost;              /* bytes, since the last ACK */
    uint64_t delivered, delivered_mark;
    uint64_t lost_bytes, lost_mark;
    unsigned rtos;
} Flow;

typedef struct Segment {
    Flow *f;
    uint32_t begin, end;
    int64_t at_ns;              /* when its ACK is there */
    bool ce, dropped;
} Segment;

typedef struct Link {
    uint64_t rate;              /* bytes per second */
    int64_t delay_ns;           /* round trip without waiting */
    uint32_t buffer;            /* bytes */
    uint32_t ce_above;          /* bytes; 0: no marks */
    double loss;                /* of segments, at random */
    int64_t now_ns;
    int64_t free_ns;            /* when the link has sent all that waits */
    GQueue acks;                /* Segment, by at_ns: one link, one delay */
    VnxTxPool pool;
    GRand *rand;
    unsigned n;
    Flow flow[LINK_FLOWS];
    double queue_sum;           /* over segments: waiting, in bytes */
    uint64_t queue_n, marked;
    void (*on_ack)(struct Link *l, Flow *f, const VnxCcAck *ack);   /* for the test to look */
} Link;

static inline void link_init(Link *l, uint64_t rate, int64_t delay_ns, uint32_t buffer)
{
    memset(l, 0, sizeof(*l));
    l->rate = rate;
    l->delay_ns = delay_ns;
    l->buffer = buffer;
    l->rand = g_rand_new_with_seed(1);
    vnx_txpool_init(&l->pool);
}

static inline Flow *link_flow(Link *l, const char *cc)
{
    Flow *f = &l->flow[l->n++];

    g_assert_cmpuint(l->n, <=, LINK_FLOWS);
    cc_begin_at(&f->cc, cc, 10, l->now_ns);
    f->backlog = UINT64_MAX / 2;
    f->nxt = f->recover = 0xfff00000u;
    return f;
}

static inline void link_end(Link *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        vnx_cc_stop(&l->flow[i].cc);
        g_queue_clear_full(&l->flow[i].sent, g_free);
        vnx_txq_clear(&l->flow[i].q, &l->pool);
    }
    g_queue_clear(&l->acks);
    vnx_txpool_destroy(&l->pool);
    g_rand_free(l->rand);
}

/* Bytes that wait at the bottleneck. */
static inline double link_queue(const Link *l)
{
    return l->free_ns > l->now_ns ? (l->free_ns - l->now_ns) * 1e-9 * l->rate : 0;
}

static inline void link_enter(Link *l, Flow *f, uint32_t begin, uint32_t end)
{
    Segment *s = g_new0(Segment, 1);
    double queue = link_queue(l);

    *s = (Segment) { .f = f, .begin = begin, .end = end };
    g_queue_push_tail(&f->sent, s);
    l->queue_sum += queue;
    l->queue_n++;
    if (queue + (end - begin) > l->buffer ||
        (l->loss > 0 && g_rand_double(l->rand) < l->loss)) {
        s->dropped = true;
        return;
    }
    s->ce = l->ce_above && queue > l->ce_above;
    l->marked += s->ce;
    l->free_ns = MAX(l->free_ns, l->now_ns) + (int64_t)((end - begin) * 1e9 / l->rate);
    s->at_ns = l->free_ns + l->delay_ns;
    g_queue_push_tail(&l->acks, s);
}

static inline uint64_t flow_rate(const Flow *f)
{
    uint64_t rate = f->cc.ops->pacing_rate ?
                    f->cc.ops->pacing_rate(&f->cc, f->rtt.srtt_ns) : 0;

    return !rate || (f->max_rate && f->max_rate < rate) ? f->max_rate : rate;
}

/* Send what cwnd and pacing allow.  Returns when pacing allows more, INT64_MAX: never. */
static inline int64_t flow_send(Link *l, Flow *f)
{
    bool more = true;

    while (vnx_txq_pipe(&f->q) + MSS <= f->cc.cwnd) {
        uint32_t begin, end;
        uint64_t rate = flow_rate(f);

        if (rate && f->next_send_ns > l->now_ns) {
            return f->next_send_ns;
        }
        if (vnx_txq_next_lost(&f->q, &begin, &end)) {
            end = MIN(end - begin, MSS) + begin;
            vnx_txq_resent(&f->q, &l->pool, begin, end, l->now_ns);
        } else if (f->backlog) {
            begin = f->nxt;
            end = begin + MIN(MSS, f->backlog);
            f->backlog -= end - begin;
            vnx_txq_sent(&f->q, &l->pool, begin, end, l->now_ns);
            f->nxt = end;
        } else {
            more = false;
            break;
        }
        if (rate) {
            f->next_send_ns = MAX(f->next_send_ns, l->now_ns) +
                              (int64_t)((end - begin) * 1e9 / rate);
        }
        link_enter(l, f, begin, end);
    }
    if (!more) {
        vnx_rate_app_limited(&f->q);
    }
    return INT64_MAX;
}

/* @s, the oldest transmission but those before it, which are lost, has got there. */
static inline void flow_acked(Link *l, Segment *s)
{
    Flow *f = s->f;
    uint32_t flight = vnx_txq_pipe(&f->q);
    bool limited = flight + 2 * MSS > f->cc.cwnd || flow_rate(f), was = f->recovery;
    uint64_t delivered = f->q.delivered;
    VnxTxAck a = { .min_rtt_ns = l->delay_ns };
    VnxCcAck ack = { 0 };
    Segment *head;

    while ((head = g_queue_pop_head(&f->sent)) != s) {
        vnx_txq_lose_range(&f->q, &l->pool, head->begin, head->end);
        f->lost += head->end - head->begin;
        f->lost_bytes += head->end - head->begin;
        g_free(head);
    }
    vnx_txq_sacked(&f->q, &l->pool, s->begin, s->end, l->now_ns, &a);
    while (vnx_txq_head_sacked(&f->q)) {
        vnx_txq_acked(&f->q, &l->pool, f->q.slot[f->q.first]->end, l->now_ns, &a);
    }
    f->delivered += f->q.delivered - delivered;
    if (a.once) {
        ack.rtt_ns = l->now_ns - a.once_last_ns;
        vnx_rtt_sample(&f->rtt, ack.rtt_ns);
        f->rtt.min_ns = f->rtt.min_ns ? MIN(f->rtt.min_ns, ack.rtt_ns) : ack.rtt_ns;
    }
    if (f->recovery && (vnx_txq_empty(&f->q) ||
                        (int32_t)(vnx_txq_begin(&f->q) - f->recover) >= 0)) {
        f->recovery = false;
    }
    if (f->lost && !f->recovery) {
        f->recovery = true;
        f->recover = f->nxt;
        f->cc.ops->on_loss(&f->cc, VNX_CC_LOSS_FAST, flight, l->now_ns);
        was = true;
    }
    ack.now_ns = l->now_ns;
    ack.acked = ack.delivered = f->q.delivered - delivered;
    ack.lost = f->lost;
    ack.marked = s->ce ? ack.delivered : 0;
    ack.in_flight = flight;
    ack.srtt_ns = f->rtt.srtt_ns;
    ack.min_rtt_ns = f->rtt.min_ns;
    ack.cwnd_limited = limited;
    ack.recovery = f->recovery;
    f->lost = 0;
    vnx_rate_sample(&f->q, &a, f->rtt.min_ns, &ack.rate);
    if (was && !f->recovery && f->cc.ops->on_recovered) {
        f->cc.ops->on_recovered(&f->cc, l->now_ns);
    }
    vnx_cc_ack(&f->cc, &ack);
    if (l->on_ack) {
        l->on_ack(l, f, &ack);
    }
    g_free(s);
}

/* Nothing comes back any more: a timeout. */
static inline void flow_timeout(Link *l, Flow *f)
{
    uint32_t flight = vnx_txq_pipe(&f->q);

    l->now_ns += vnx_rtt_rto(&f->rtt, 0, 200 * MS, 60000 * MS);
    f->rtos++;
    g_queue_clear_full(&f->sent, g_free);
    f->lost = flight;
    f->lost_bytes += flight;
    vnx_txq_lose_range(&f->q, &l->pool, vnx_txq_begin(&f->q), vnx_txq_end(&f->q));
    f->cc.ops->on_loss(&f->cc, VNX_CC_LOSS_RTO, flight, l->now_ns);
    f->recover = f->nxt;
    f->recovery = false;
    f->next_send_ns = l->now_ns;
}

/* Let time pass until @until_ns. */
static inline void link_run(Link *l, int64_t until_ns)
{
    while (l->now_ns < until_ns) {
        int64_t next = INT64_MAX;
        Segment *s;

        for (unsigned i = 0; i < l->n; i++) {
            next = MIN(next, flow_send(l, &l->flow[i]));
        }
        s = g_queue_peek_head(&l->acks);
        if (!s && next == INT64_MAX) {
            bool idle = true;

            for (unsigned i = 0; i < l->n; i++) {
                if (!vnx_txq_empty(&l->flow[i].q)) {
                    flow_timeout(l, &l->flow[i]);
                    idle = false;
                }
            }
            if (idle) {
                l->now_ns = until_ns;
            }
        } else if (s && s->at_ns <= MIN(next, until_ns)) {
            l->now_ns = MAX(l->now_ns, s->at_ns);
            g_queue_pop_head(&l->acks);
            flow_acked(l, s);
        } else {
            l->now_ns = MIN(next, until_ns);
        }
    }
}

/* Begin to measure. */
static inline void link_mark(Link *l)
{
    l->queue_sum = l->queue_n = l->marked = 0;
    for (unsigned i = 0; i < l->n; i++) {
        l->flow[i].delivered_mark = l->flow[i].delivered;
        l->flow[i].lost_mark = l->flow[i].lost_bytes;
    }
}

/* Mean bytes that a segment found waiting. */
static inline double link_mean_queue(const Link *l)
{
    return l->queue_n ? l->queue_sum / l->queue_n : 0;
}

/* Bytes per second that @f got through since the mark, @seconds ago. */
static inline double flow_goodput(const Flow *f, double seconds)
{
    return (f->delivered - f->delivered_mark) / seconds;
}

#endif /* CC_LINK_H */
