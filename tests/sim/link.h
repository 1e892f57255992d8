/*
 * vnx simulation: links - one direction of one leg, and what goes wrong on it
 *
 * A link is a bounded queue, a serialiser and a channel: frames wait in the queue, leave
 * it one at a time (at the rate, if there is one), and then may be lost, doubled, held
 * back behind their successors or have a bit flipped before they arrive.
 *
 *   sim_link_send() -> queue -> serialiser -> channel -> deliver()
 *
 * A held link (its receiver does not run) keeps its queue; what is in the channel
 * already arrives.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_LINK_H
#define SIM_LINK_H

#include "clock.h"
#include "rng.h"

/* Knobs of a link: name, what it is.  All are doubles; 0 means never or none. */
#define SIM_LINK_KNOBS(X) \
    X(loss, "probability that a frame is lost") \
    X(ack_loss, "probability that an empty ACK is lost") \
    X(tail_loss, "probability that a frame with PSH or FIN, the end of a write, is lost") \
    X(burst, "probability that a burst of losses starts") \
    X(burst_len, "mean length of such a burst, frames") \
    X(dup, "probability that a frame arrives twice") \
    X(reorder, "probability that a frame is held back") \
    X(reorder_ms, "for up to how long") \
    X(reorder_frames, "... or, if not 0, behind up to so many successors") \
    X(ce, "probability that a frame with ECT is marked CE") \
    X(corrupt, "probability of a flipped bit") \
    X(delay_ms, "propagation time") \
    X(rate, "Mbit/s; 0: at once") \
    X(queue, "frames that the queue takes")

typedef struct SimLinkConf {
#define SIM_X(name, text) double name;
    SIM_LINK_KNOBS(SIM_X)
#undef SIM_X
} SimLinkConf;

typedef struct SimLink SimLink;

typedef struct SimFrame {
    SimTimer timer;
    SimLink *link;
    unsigned behind;            /* so many successors go first */
    bool corrupted;             /* once is enough: two flips may cancel in the sum */
    size_t len;                 /* virtio-net header included */
    uint8_t data[];
} SimFrame;

struct SimLink {
    SimClock *clock;
    const char *name;
    const SimLinkConf *conf;
    SimRng rng;
    size_t vnet_len;
    int64_t heal_at;            /* from then on nothing goes wrong any more */
    bool held;
    bool cut;                   /* everything is lost */
    size_t mtu;                 /* longer packets do not fit; 0: all do */
    GQueue late;                /* held back behind others */
    SimTimer late_timer;        /* no more others come */
    GQueue queue;
    SimTimer timer;             /* the serialiser is busy */
    int64_t last_arrival;
    int burst_left;
    int64_t burst_until;
    unsigned in_channel;

    /* Takes over the frame. */
    void (*deliver)(void *opaque, SimFrame *f);
    /* There is room in the queue again after a refusal. */
    void (*room)(void *opaque);
    /* For tracing; may be NULL. */
    void (*mishap)(const SimLink *l, const char *what, const SimFrame *f);
    /* @f was marked CE; does not fit.  May be NULL. */
    void (*marked)(const SimLink *l, const SimFrame *f);
    void (*too_big)(const SimLink *l, const SimFrame *f);
    void *opaque;
    bool refused;
};

SimFrame *sim_frame_new(size_t len);

void sim_link_init(SimLink *l, SimClock *clock, const char *name, const SimLinkConf *conf,
                   uint64_t seed, size_t vnet_len, int64_t heal_at);
void sim_link_destroy(SimLink *l);
bool sim_link_full(const SimLink *l);
/* Takes over @f, and drops it if the queue holds twice of what it should. */
void sim_link_send(SimLink *l, SimFrame *f);
void sim_link_hold(SimLink *l, bool held);
/* At the end: free what is in any channel. */
void sim_link_drop_channel(SimClock *clock);

#endif /* SIM_LINK_H */
