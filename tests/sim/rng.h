/*
 * vnx simulation: seeded random numbers (splitmix64)
 *
 * Every consumer has a stream of its own, derived from the seed and a name, so that
 * a knob changed by hand disturbs only what it is about.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

typedef struct SimRng {
    uint64_t state;
} SimRng;

static inline uint64_t sim_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline uint64_t sim_rand(SimRng *r)
{
    r->state += 0x9e3779b97f4a7c15ull;
    return sim_mix(r->state);
}

static inline SimRng sim_rng(uint64_t seed, const char *name)
{
    SimRng r = { sim_mix(seed + 0x9e3779b97f4a7c15ull) };

    for (; *name; name++) {
        r.state = sim_mix(r.state ^ (uint8_t)*name);
    }
    return r;
}

/* 0 .. 1, 1 excluded */
static inline double sim_uniform(SimRng *r)
{
    return (sim_rand(r) >> 11) * 0x1.0p-53;
}

static inline double sim_between(SimRng *r, double lo, double hi)
{
    return lo + (hi - lo) * sim_uniform(r);
}

/* lo .. hi, both included */
static inline int64_t sim_int(SimRng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(sim_rand(r) % (uint64_t)(hi - lo + 1));
}

/* No draw when @p is 0: a knob at rest leaves its stream alone. */
static inline bool sim_chance(SimRng *r, double p)
{
    return p > 0 && sim_uniform(r) < p;
}

#endif /* SIM_RNG_H */
