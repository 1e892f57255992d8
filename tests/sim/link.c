/*
 * vnx simulation: links; see link.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "link.h"
#include "vnet.h"

/* A burst of losses is over then, even if there was little to lose. */
#define BURST_NS (3 * SIM_S)

SimFrame *sim_frame_new(size_t len)
{
    SimFrame *f = g_malloc(sizeof(*f) + len);

    memset(f, 0, sizeof(*f));
    f->len = len;
    return f;
}

static void mishap(SimLink *l, const char *what, const SimFrame *f)
{
    if (l->mishap) {
        l->mishap(l, what, f);
    }
}

static void arrive(void *opaque)
{
    SimFrame *f = opaque;
    SimLink *l = f->link;

    l->in_channel--;
    l->deliver(l->opaque, f);
}

static void into_channel(SimLink *l, SimFrame *f, bool held_back)
{
    int64_t when = l->clock->now + (int64_t)(l->conf->delay_ms * SIM_MS);

    if (held_back) {
        mishap(l, "held back", f);
        when += sim_uniform(&l->rng) * l->conf->reorder_ms * SIM_MS;
    } else {
        when = l->last_arrival = MAX(when, l->last_arrival);
    }
    f->link = l;
    f->timer = (SimTimer) { .fn = arrive, .opaque = f };
    l->in_channel++;
    sim_timer_set(l->clock, &f->timer, when);
}

/* None may come for a while: then those that were to wait for them go on. */
#define LATE_NS (300 * SIM_MS)

static void release_late(void *opaque)
{
    SimLink *l = opaque;

    while (!g_queue_is_empty(&l->late)) {
        into_channel(l, g_queue_pop_head(&l->late), false);
    }
}

/* One more has gone by those that are held back. */
static void overtaken(SimLink *l)
{
    for (GList *i = l->late.head, *next; i; i = next) {
        SimFrame *f = i->data;

        next = i->next;
        if (--f->behind == 0) {
            g_queue_delete_link(&l->late, i);
            into_channel(l, f, false);
        }
    }
}

static void hold_back(SimLink *l, SimFrame *f)
{
    mishap(l, "held back behind others", f);
    f->behind = sim_int(&l->rng, 1, l->conf->reorder_frames);
    g_queue_push_tail(&l->late, f);
    sim_timer_set(l->clock, &l->late_timer, l->clock->now + LATE_NS);
}

/* Would @f be missed: an empty ACK, or the end of a write? */
static bool lost_as(SimLink *l, const SimFrame *f)
{
    size_t l3 = sim_vnet_l3(f->data, f->len, l->vnet_len);
    SimTcp t = { 0 };

    if (!(l->conf->ack_loss > 0 || l->conf->tail_loss > 0) || f->len <= l3) {
        return false;
    }
    t = sim_tcp_read(f->data + l3, f->len - l3);
    if (!t.valid || t.flags & 6) {
        return false;
    }
    return sim_chance(&l->rng, t.flags & 9 ? l->conf->tail_loss :
                               t.payload_len ? 0 : l->conf->ack_loss);
}

static void mark(SimLink *l, SimFrame *f)
{
    size_t l3 = sim_vnet_l3(f->data, f->len, l->vnet_len);

    if (f->len > l3 + 20 && sim_ecn_field(f->data + l3) && !f->corrupted) {
        sim_ecn_mark(f->data + l3, 3);
        mishap(l, "marked", f);
        if (l->marked) {
            l->marked(l, f);
        }
    }
}

/* Flip one bit, which every checksum notices, of what a checksum covers. */
static bool corrupt(SimLink *l, SimFrame *f)
{
    size_t l3 = sim_vnet_l3(f->data, f->len, l->vnet_len);

    if (sim_vnet_vouched(f->data, l->vnet_len) || f->len <= l3 || f->corrupted) {
        return false;           /* in memory: nobody would notice */
    }
    f->corrupted = true;
    f->data[sim_int(&l->rng, l3, f->len - 1)] ^= 1 << sim_int(&l->rng, 0, 7);
    return true;
}

static void through_channel(SimLink *l, SimFrame *f)
{
    const SimLinkConf *c = l->conf;

    if (l->cut) {
        mishap(l, "cut off", f);
        g_free(f);
        return;
    }
    if (l->mtu && sim_wire_len(f, l->vnet_len) > l->mtu) {
        mishap(l, "too big for the path", f);
        l->too_big(l, f);
        g_free(f);
        return;
    }
    if (l->clock->now >= l->heal_at) {
        into_channel(l, f, false);
        return;
    }
    if (l->burst_left > 0 && l->clock->now < l->burst_until) {
        l->burst_left--;
        mishap(l, "lost in a burst", f);
        g_free(f);
        return;
    }
    if (sim_chance(&l->rng, c->burst)) {
        l->burst_left = sim_int(&l->rng, 1, (int64_t)MAX(1, 2 * c->burst_len - 1)) - 1;
        l->burst_until = l->clock->now + BURST_NS;
        mishap(l, "lost in a burst", f);
        g_free(f);
        return;
    }
    if (sim_chance(&l->rng, c->loss) || lost_as(l, f)) {
        mishap(l, "lost", f);
        g_free(f);
        return;
    }
    if (sim_chance(&l->rng, c->ce)) {
        mark(l, f);
    }
    if (sim_chance(&l->rng, c->dup)) {
        SimFrame *copy = sim_frame_new(f->len);

        memcpy(copy->data, f->data, f->len);
        copy->corrupted = f->corrupted;
        mishap(l, "doubled", f);
        into_channel(l, copy, sim_chance(&l->rng, 0.5));
    }
    if (sim_chance(&l->rng, c->corrupt) && corrupt(l, f)) {
        mishap(l, "corrupted", f);
    }
    if (c->reorder_frames > 0 && sim_chance(&l->rng, c->reorder)) {
        hold_back(l, f);
        return;
    }
    into_channel(l, f, c->reorder_frames > 0 ? false : sim_chance(&l->rng, c->reorder));
    overtaken(l);
}

static void serve(SimLink *l)
{
    while (!l->held && !l->timer.slot && !g_queue_is_empty(&l->queue)) {
        SimFrame *f = g_queue_pop_head(&l->queue);
        size_t len = f->len;

        through_channel(l, f);
        if (l->conf->rate > 0) {
            sim_timer_set(l->clock, &l->timer,
                          l->clock->now + (int64_t)(len * 8e3 / l->conf->rate));
        }
    }
    if (l->refused && !sim_link_full(l)) {
        l->refused = false;
        l->room(l->opaque);
    }
}

static void serialised(void *opaque)
{
    serve(opaque);
}

void sim_link_init(SimLink *l, SimClock *clock, const char *name, const SimLinkConf *conf,
                   uint64_t seed, size_t vnet_len, int64_t heal_at)
{
    *l = (SimLink) {
        .clock = clock, .name = name, .conf = conf, .rng = sim_rng(seed, name),
        .vnet_len = vnet_len, .heal_at = heal_at,
        .timer = { .fn = serialised }, .late_timer = { .fn = release_late },
    };
    l->timer.opaque = l->late_timer.opaque = l;
    g_queue_init(&l->queue);
    g_queue_init(&l->late);
}

void sim_link_destroy(SimLink *l)
{
    g_queue_clear_full(&l->queue, g_free);
    g_queue_clear_full(&l->late, g_free);
    sim_timer_cancel(l->clock, &l->late_timer);
    sim_timer_cancel(l->clock, &l->timer);
    /* Frames in the channel are the clock's: the owner runs or drops them. */
}

bool sim_link_full(const SimLink *l)
{
    return l->conf->queue > 0 && l->queue.length >= l->conf->queue;
}

void sim_link_send(SimLink *l, SimFrame *f)
{
    if (l->conf->queue > 0 && l->queue.length >= 2 * l->conf->queue) {
        mishap(l, "dropped by a full queue", f);
        g_free(f);
        return;
    }
    g_queue_push_tail(&l->queue, f);
    serve(l);
}

void sim_link_hold(SimLink *l, bool held)
{
    l->held = held;
    serve(l);
}

void sim_link_drop_channel(SimClock *clock)
{
    for (unsigned i = 0; i < clock->heap->len;) {
        SimTimer *t = clock->heap->pdata[i];

        if (t->fn == arrive) {
            sim_timer_cancel(clock, t);
            g_free(t->opaque);
            i = 0;
        } else {
            i++;
        }
    }
}
