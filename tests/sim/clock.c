/*
 * vnx simulation: virtual time; see clock.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "clock.h"

static bool before(const SimTimer *a, const SimTimer *b)
{
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static void place(SimClock *c, unsigned i, SimTimer *t)
{
    c->heap->pdata[i] = t;
    t->slot = i + 1;
}

static void sift(SimClock *c, unsigned i)
{
    SimTimer *t = c->heap->pdata[i];

    for (; i > 0 && before(t, c->heap->pdata[(i - 1) / 2]); i = (i - 1) / 2) {
        place(c, i, c->heap->pdata[(i - 1) / 2]);
    }
    for (;;) {
        unsigned child = 2 * i + 1;

        if (child + 1 < c->heap->len &&
            before(c->heap->pdata[child + 1], c->heap->pdata[child])) {
            child++;
        }
        if (child >= c->heap->len || !before(c->heap->pdata[child], t)) {
            break;
        }
        place(c, i, c->heap->pdata[child]);
        i = child;
    }
    place(c, i, t);
}

void sim_clock_init(SimClock *c)
{
    c->now = 0;
    c->order = 0;
    c->heap = g_ptr_array_new();
}

void sim_clock_destroy(SimClock *c)
{
    g_ptr_array_free(c->heap, true);
}

void sim_timer_cancel(SimClock *c, SimTimer *t)
{
    unsigned i = t->slot - 1;
    SimTimer *last;

    if (!t->slot) {
        return;
    }
    t->slot = 0;
    last = c->heap->pdata[c->heap->len - 1];
    g_ptr_array_set_size(c->heap, c->heap->len - 1);
    if (last != t) {
        place(c, i, last);
        sift(c, i);
    }
}

void sim_timer_set(SimClock *c, SimTimer *t, int64_t when)
{
    sim_timer_cancel(c, t);
    t->when = MAX(when, c->now);
    t->order = c->order++;
    g_ptr_array_add(c->heap, t);
    sift(c, c->heap->len - 1);
}

bool sim_clock_step(SimClock *c, int64_t limit)
{
    SimTimer *t = c->heap->len ? c->heap->pdata[0] : NULL;

    if (!t || t->when > limit) {
        c->now = MAX(c->now, limit);
        return false;
    }
    c->now = t->when;
    sim_timer_cancel(c, t);
    t->fn(t->opaque);
    return true;
}
