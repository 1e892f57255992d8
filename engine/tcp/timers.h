/*
 * vnx: timers - a binary heap of deadlines
 *
 * A timer is embedded in what it times.  Moving a deadline back, which is what every
 * ACK does to a retransmission timer, costs a store: the heap keeps the old,
 * earlier key and looks again when that has come.  So vnx_timers_next() may be
 * early, never late.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_TIMERS_H
#define VNX_TIMERS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define VNX_NEVER INT64_MAX

typedef struct VnxTimer {
    int64_t deadline_ns;        /* VNX_NEVER: not running */
    int64_t key_ns;             /* place in the heap, <= deadline_ns */
    uint32_t slot;              /* index in the heap + 1; 0: not in it */
} VnxTimer;

typedef struct VnxTimers {
    GPtrArray *heap;
} VnxTimers;

void vnx_timers_init(VnxTimers *timers);
/* The heap must be empty or its timers about to go. */
void vnx_timers_destroy(VnxTimers *timers);

static inline void vnx_timer_init(VnxTimer *t)
{
    t->deadline_ns = VNX_NEVER;
    t->key_ns = VNX_NEVER;
    t->slot = 0;
}

static inline bool vnx_timer_running(const VnxTimer *t)
{
    return t->deadline_ns != VNX_NEVER;
}

/* vnx_timer_set(), where the heap may have to be put in order. */
void vnx_timer_set_anew(VnxTimers *timers, VnxTimer *t, int64_t deadline_ns);
static inline void vnx_timer_set(VnxTimers *timers, VnxTimer *t, int64_t deadline_ns)
{
    if (t->slot && deadline_ns >= t->key_ns) {
        t->deadline_ns = deadline_ns;
    } else {
        vnx_timer_set_anew(timers, t, deadline_ns);
    }
}
/* Stop; the timer stays in the heap until its key has come. */
static inline void vnx_timer_stop(VnxTimer *t)
{
    t->deadline_ns = VNX_NEVER;
}
/* Stop and take out of the heap, before its memory goes. */
void vnx_timer_remove(VnxTimers *timers, VnxTimer *t);

/* A time before which no timer expires; VNX_NEVER if there is none. */
int64_t vnx_timers_next(const VnxTimers *timers);
/* Take out and stop one timer that has expired at @now_ns; NULL if none has. */
VnxTimer *vnx_timers_pop(VnxTimers *timers, int64_t now_ns);

#endif /* VNX_TIMERS_H */
