/*
 * vnx: the world of the vTCP fuzz target, for its own parts
 *
 *   world.c     the instance, settings, sending into it, checks of the whole
 *   hosts.c     what end hosts do
 *   deliver.c   what arrives at them, and the checks of each segment
 *   frame.c     frames and payload
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_FUZZ_WORLD_PRIVATE_H
#define VNX_FUZZ_WORLD_PRIVATE_H

#include "world.h"

#define MAX_FRAME (20 + 18 + 4 + 40 + 60 + 65536)

/* Where a frame comes from: a host, or vTCP in one of three ways. */
typedef enum Origin { PUSHED, PASSED, FORWARDED, EMITTED } Origin;

/* Sequence numbers as distances from a host's ISS: below 2^31 in any run. */
static inline uint32_t rel(const Host *h, uint32_t seq)
{
    return seq - h->iss;
}

/* Raise *@max to @seq; what is "behind" @h's ISS, or beyond belief, does not count. */
static inline void raise_to(const Host *h, uint32_t *max, uint32_t seq)
{
    if (rel(h, seq) < 1u << 31 && rel(h, seq) > rel(h, *max)) {
        *max = seq;
    }
}

static inline bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

void cover_init(Cover *c, uint32_t nxt);
/* The end of what has been seen from @seq on; @seq if it has not. */
uint32_t cover_end(const Cover *c, uint32_t seq);
/* The start of what has been seen next behind @seq; @limit if that comes first. */
uint32_t cover_next(const Cover *c, uint32_t seq, uint32_t limit);
/* A segment of @len bytes, and a FIN behind them, was seen. */
void cover_add(Cover *c, uint32_t seq, uint32_t len, bool fin);

void put16(uint8_t *p, uint32_t x);
uint32_t get16(const uint8_t *p);
uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum);
uint32_t pseudo_sum(const VnxFlowKey *key, unsigned from, uint32_t l4_len);
/* The offset of the first byte that is not the sender's; @len if there is none. */
uint32_t compare_payload(const uint8_t *p, uint32_t len, unsigned c, unsigned dir,
                         uint32_t seq);
/* Write the frame of @s from @side of @c to @f, MAX_FRAME bytes; returns its size. */
size_t make_frame(const World *w, unsigned c, unsigned side, const Segment *s,
                  uint8_t *f);

/* The same of a router's report on @s, as world_report() tells. */
size_t make_report(const World *w, unsigned c, unsigned side, const Segment *s, uint16_t mtu,
                   uint8_t *f);

Conn *find_conn(World *w, const VnxFlowKey *key);
bool evicted(const World *w);
void trace_segment(const World *w, const Conn *c, unsigned dir, const VnxPacket *p,
                   Origin origin);
/* A frame on its way to the host on side @dir: check it, and let the host take it. */
void deliver(World *w, unsigned dir, const struct iovec *iov, unsigned iovcnt,
             size_t size, size_t vnet_len, Origin origin);

#endif /* VNX_FUZZ_WORLD_PRIVATE_H */
