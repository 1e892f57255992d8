/*
 * vnx: sequence number arithmetic (RFC 9293 3.4): modulo 2^32, valid while two
 * numbers are less than 2^31 apart.  Nobody compares sequence numbers otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_SEQ_H
#define VNX_SEQ_H

#include <stdbool.h>
#include <stdint.h>

static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}

static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static inline bool seq_ge(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}

static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_gt(a, b) ? a : b;
}

/* How far @a is ahead of @b; 0 if it is not. */
static inline uint32_t seq_ahead(uint32_t a, uint32_t b)
{
    return seq_gt(a, b) ? a - b : 0;
}

#endif /* VNX_SEQ_H */
