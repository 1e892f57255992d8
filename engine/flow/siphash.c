/*
 * vnx: SipHash-2-4, a keyed hash for short inputs
 *
 * Written from J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input
 * PRF" (2012).  Who does not know the key cannot find colliding inputs, and so a
 * guest that is free to choose its addresses and ports cannot make the flow
 * table slow.  It is no hash for anything but tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include <vnx/flow.h>

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return GUINT64_FROM_LE(x);
}

static inline uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

/* SipRound, section 2.3 and figure 2.1 of the paper. */
static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] = rotl(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] = rotl(v[2], 32);
}

/* Compression: c = 2 rounds for each 64-bit word. */
static inline void sip_word(uint64_t v[4], uint64_t m)
{
    v[3] ^= m;
    sip_round(v);
    sip_round(v);
    v[0] ^= m;
}

uint64_t vnx_siphash(const uint8_t key[16], const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    /* The four constants spell "somepseudorandomlygeneratedbytes". */
    uint64_t v[4] = {
        k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
        k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull,
    };
    /* The last word: what is left over, and the length in its top byte. */
    uint64_t last = (uint64_t)len << 56;
    size_t left;

    for (left = len; left >= 8; left -= 8, p += 8) {
        sip_word(v, load_le64(p));
    }
    for (size_t i = 0; i < left; i++) {
        last |= (uint64_t)p[i] << (8 * i);
    }
    sip_word(v, last);

    /* Finalization: d = 4 rounds. */
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
