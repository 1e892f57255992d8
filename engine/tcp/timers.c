/*
 * vnx: timers - see timers.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/timers.h"

static VnxTimer *heap_at(const VnxTimers *timers, uint32_t i)
{
    return g_ptr_array_index(timers->heap, i);
}

static void heap_put(VnxTimers *timers, uint32_t i, VnxTimer *t)
{
    timers->heap->pdata[i] = t;
    t->slot = i + 1;
}

static void sift_up(VnxTimers *timers, VnxTimer *t)
{
    uint32_t i = t->slot - 1;

    while (i > 0) {
        uint32_t parent = (i - 1) / 2;

        if (heap_at(timers, parent)->key_ns <= t->key_ns) {
            break;
        }
        heap_put(timers, i, heap_at(timers, parent));
        i = parent;
    }
    heap_put(timers, i, t);
}

static void sift_down(VnxTimers *timers, VnxTimer *t)
{
    uint32_t n = timers->heap->len;
    uint32_t i = t->slot - 1;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= n) {
            break;
        }
        if (child + 1 < n &&
            heap_at(timers, child + 1)->key_ns < heap_at(timers, child)->key_ns) {
            child++;
        }
        if (heap_at(timers, child)->key_ns >= t->key_ns) {
            break;
        }
        heap_put(timers, i, heap_at(timers, child));
        i = child;
    }
    heap_put(timers, i, t);
}

void vnx_timers_init(VnxTimers *timers)
{
    timers->heap = g_ptr_array_new();
}

void vnx_timers_destroy(VnxTimers *timers)
{
    g_ptr_array_free(timers->heap, TRUE);
    timers->heap = NULL;
}

void vnx_timer_set_anew(VnxTimers *timers, VnxTimer *t, int64_t deadline_ns)
{
    t->deadline_ns = t->key_ns = deadline_ns;
    if (!t->slot) {
        g_ptr_array_add(timers->heap, t);
        t->slot = timers->heap->len;
    }
    sift_up(timers, t);
}

void vnx_timer_remove(VnxTimers *timers, VnxTimer *t)
{
    uint32_t i = t->slot;
    VnxTimer *last;

    vnx_timer_stop(t);
    if (!i) {
        return;
    }
    t->slot = 0;
    last = g_ptr_array_index(timers->heap, timers->heap->len - 1);
    g_ptr_array_set_size(timers->heap, timers->heap->len - 1);
    if (last != t) {
        heap_put(timers, i - 1, last);
        sift_up(timers, last);
        sift_down(timers, last);
    }
}

int64_t vnx_timers_next(const VnxTimers *timers)
{
    return timers->heap->len ? heap_at(timers, 0)->key_ns : VNX_NEVER;
}

VnxTimer *vnx_timers_pop(VnxTimers *timers, int64_t now_ns)
{
    while (timers->heap->len) {
        VnxTimer *t = heap_at(timers, 0);

        if (t->key_ns > now_ns) {
            return NULL;
        }
        if (t->deadline_ns <= now_ns) {
            vnx_timer_remove(timers, t);
            return t;
        }
        if (t->deadline_ns == VNX_NEVER) {
            vnx_timer_remove(timers, t);
        } else {
            t->key_ns = t->deadline_ns;
            sift_down(timers, t);
        }
    }
    return NULL;
}
