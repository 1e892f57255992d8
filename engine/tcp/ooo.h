/*
 * vnx: out-of-order queue - which bytes beyond rcv_nxt of a half are there
 *
 * Only the book-keeping: the bytes are in the half's segment buffer, in their final
 * place (buffer.h).  A sorted array of disjoint ranges that do not touch, each with the
 * time, in segments, when it was last added to: SACK reports the newest first (RFC 2018 4).
 * A queue exists only while there is something in it (or R has yet to get what was).
 *
 * Sequence numbers of one queue lie within one window, so seq.h orders them.
 * At most VNX_OOO_MAX ranges: a fixed cost for whoever makes holes on purpose.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_OOO_H
#define VNX_OOO_H

#include <stdbool.h>
#include <stdint.h>

#include <vnx/packet.h>

#define VNX_OOO_MAX 64

typedef struct VnxOooRange {
    uint32_t start;
    uint32_t end;               /* behind its last byte */
    uint32_t stamp;             /* when a segment last fell into it */
} VnxOooRange;

typedef struct VnxOoo {
    uint32_t n;                 /* ranges */
    uint32_t clock;             /* the newest stamp */
    bool fin;                   /* S's FIN was seen ahead of sequence ... */
    uint32_t fin_seq;           /* ... here, behind all ranges */
    VnxOooRange range[VNX_OOO_MAX];
} VnxOoo;

/* The first part of [@start, @end) that is there already; false: none of it is. */
bool vnx_ooo_overlap(const VnxOoo *o, uint32_t start, uint32_t end, VnxSackBlock *part);

/* Add [@start, @end), not empty.  False, with nothing changed: no range is free. */
bool vnx_ooo_add(VnxOoo *o, uint32_t start, uint32_t end);
/* Whether vnx_ooo_add() would find a range for it. */
bool vnx_ooo_fits(const VnxOoo *o, uint32_t start, uint32_t end);

/* All before @seq has come in order: forget it.  Returns the next byte that misses. */
uint32_t vnx_ooo_advance(VnxOoo *o, uint32_t seq);

/* Up to @max ranges to @block, the newest first; how many there are. */
unsigned vnx_ooo_sack(const VnxOoo *o, VnxSackBlock *block, unsigned max);

/* Sum of all ranges. */
uint32_t vnx_ooo_bytes(const VnxOoo *o);

#endif /* VNX_OOO_H */
