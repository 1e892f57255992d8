/*
 * vnx simulation: virtual time - a heap of timers
 *
 * Timers that expire at one instant run in the order in which they were armed, so a
 * run depends on nothing but its seed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SIM_US 1000ll
#define SIM_MS 1000000ll
#define SIM_S 1000000000ll

typedef struct SimClock {
    int64_t now;                /* ns since the start */
    uint64_t order;
    GPtrArray *heap;
} SimClock;

typedef struct SimTimer {
    int64_t when;
    uint64_t order;
    int slot;                   /* in the heap, + 1; 0: not armed */
    void (*fn)(void *opaque);
    void *opaque;
} SimTimer;

void sim_clock_init(SimClock *c);
void sim_clock_destroy(SimClock *c);
/* (Re)arm; an instant in the past means now. */
void sim_timer_set(SimClock *c, SimTimer *t, int64_t when);
void sim_timer_cancel(SimClock *c, SimTimer *t);
/* Advance to the next timer and run it.  False if there is none up to @limit;
 * the clock then stands at @limit. */
bool sim_clock_step(SimClock *c, int64_t limit);

#endif /* SIM_CLOCK_H */
