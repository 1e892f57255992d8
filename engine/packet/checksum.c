/*
 * vnx: Internet checksums (RFC 1071) and their incremental update (RFC 1624)
 *
 * A sum is any 32-bit number that is congruent, modulo 0xffff, to the sum of
 * the data's 16-bit words as they lie in memory: byte order does not matter
 * until the result is stored (RFC 1071 section 2), and because 2^16 is 1 modulo
 * 0xffff, wide words may be added as long as every carry comes back in.  So the
 * inner loop adds 32-bit halves to 64-bit lanes, where nothing can overflow
 * below 2^32 words, and folds once at the end.  A sum is 0 only when every byte
 * summed is 0.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/packet/packet-private.h"

/* Two lanes: SSE2 or NEON registers where there are such, plain code elsewhere. */
typedef uint64_t Lanes __attribute__((vector_size(16)));

static inline uint32_t fold_to_32(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    return (sum & 0xffffffff) + (sum >> 32);
}

static inline uint32_t fold_to_16(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

uint32_t vnx_csum_partial(const void *buf, size_t len, uint32_t sum)
{
    const uint8_t *b = buf;
    uint64_t acc = sum;

    if (len >= 64) {
        const Lanes low_half = { 0xffffffff, 0xffffffff };
        Lanes even = { 0, 0 }, odd = { 0, 0 }, w[4];

        for (; len >= sizeof(w); b += sizeof(w), len -= sizeof(w)) {
            memcpy(w, b, sizeof(w));
            for (unsigned i = 0; i < 4; i++) {
                even += w[i] & low_half;
                odd += w[i] >> 32;
            }
        }
        even += odd;
        acc += (uint64_t)fold_to_32(even[0]) + fold_to_32(even[1]);
    }
    for (; len >= 8; b += 8, len -= 8) {
        uint64_t w;

        memcpy(&w, b, 8);
        acc += (w & 0xffffffff) + (w >> 32);
    }
    if (len) {
        uint64_t w = 0;

        memcpy(&w, b, len);
        acc += (w & 0xffffffff) + (w >> 32);
    }
    return fold_to_32(acc);
}

uint32_t vnx_csum_iov(const struct iovec *iov, unsigned iovcnt, size_t off, size_t len,
                      uint32_t sum)
{
    bool odd = false;       /* the next byte is the second one of its word */

    for (unsigned i = 0; i < iovcnt && len; i++) {
        size_t n;
        uint32_t piece;

        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        n = iov[i].iov_len - off;
        if (n > len) {
            n = len;
        }
        piece = vnx_csum_partial((const uint8_t *)iov[i].iov_base + off, n, 0);
        if (odd) {
            /* every byte stands in the other half of its word: RFC 1071 2(B) */
            piece = piece >> 8 | piece << 24;
        }
        sum = csum_add(sum, piece);
        odd ^= n & 1;
        len -= n;
        off = 0;
    }
    return sum;
}

uint16_t vnx_csum_fold(uint32_t sum)
{
    return ~fold_to_16(sum);
}

uint16_t vnx_csum_update16(uint16_t csum, uint16_t old_val, uint16_t new_val)
{
    return vnx_csum_fold((uint32_t)(uint16_t)~csum + (uint16_t)~old_val + new_val);
}

uint16_t vnx_csum_update32(uint16_t csum, uint32_t old_val, uint32_t new_val)
{
    return vnx_csum_fold(csum_add(csum_add((uint16_t)~csum, ~old_val), new_val));
}
