/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256: the compression function twice, in plain C and with x86's SHA instructions,
 * chosen once by CPUID.
 */
#include "sha256.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
};

static uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void compress_plain(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    for (; blocks > 0; blocks--, data += SHA256_BLOCK_BYTES) {
        uint32_t w[64];
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

        for (int i = 0; i < 16; i++) {
            memcpy(&w[i], data + 4 * i, 4);
            w[i] = __builtin_bswap32(w[i]);
        }
        for (int i = 16; i < 64; i++) {
            uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^
                          w[i - 15] >> 3;
            uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^
                          w[i - 2] >> 10;

            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        for (int i = 0; i < 64; i++) {
            uint32_t s1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
            uint32_t s0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
            uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[i] + w[i];
            uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));

            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

/* The instructions want the state as (a b e f) and (c d g h), highest lane first. */
__attribute__((target("sha,sse4.1")))
static void compress_sha_ni(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11,
                                            4, 5, 6, 7, 0, 1, 2, 3);
    __m128i abef = _mm_set_epi32(state[0], state[1], state[4], state[5]);
    __m128i cdgh = _mm_set_epi32(state[2], state[3], state[6], state[7]);

    for (; blocks > 0; blocks--, data += SHA256_BLOCK_BYTES) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];

#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i *now = &w[i % 4];
            __m128i sum;

            if (i < 4) {
                __m128i bytes = _mm_loadu_si128((const __m128i *)(data + 16 * i));

                *now = _mm_shuffle_epi8(bytes, big_endian);
            } else {
                __m128i last = w[(i + 3) % 4];

                *now = _mm_sha256msg1_epu32(*now, w[(i + 1) % 4]);
                *now = _mm_add_epi32(*now, _mm_alignr_epi8(last, w[(i + 2) % 4], 4));
                *now = _mm_sha256msg2_epu32(*now, last);
            }
            sum = _mm_add_epi32(*now, *(const __m128i *)&round_constants[4 * i]);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    state[0] = _mm_extract_epi32(abef, 3);
    state[1] = _mm_extract_epi32(abef, 2);
    state[2] = _mm_extract_epi32(cdgh, 3);
    state[3] = _mm_extract_epi32(cdgh, 2);
    state[4] = _mm_extract_epi32(abef, 1);
    state[5] = _mm_extract_epi32(abef, 0);
    state[6] = _mm_extract_epi32(cdgh, 1);
    state[7] = _mm_extract_epi32(cdgh, 0);
}

static bool cpu_has_sha_ni(void)
{
    unsigned eax, ebx, ecx, edx;

    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || !(ebx & 1u << 29)) {
        return false;
    }
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_SSE4_1) &&
           (ecx & bit_SSSE3);
}

static void compress(uint32_t state[8], const uint8_t *data, size_t blocks)
{
    static int use_sha_ni = -1;     /* racing threads compute the same value */

    if (use_sha_ni < 0) {
        use_sha_ni = cpu_has_sha_ni();
    }
    if (use_sha_ni) {
        compress_sha_ni(state, data, blocks);
    } else {
        compress_plain(state, data, blocks);
    }
}

void sha256_init(Sha256 *s)
{
    static const uint32_t initial[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };

    memcpy(s->state, initial, sizeof(initial));
    s->total_bytes = 0;
}

void sha256_update(Sha256 *s, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    size_t held = s->total_bytes % SHA256_BLOCK_BYTES;

    s->total_bytes += bytes;
    if (held > 0) {
        size_t fill = SHA256_BLOCK_BYTES - held;

        if (bytes < fill) {
            memcpy(s->pending + held, p, bytes);
            return;
        }
        memcpy(s->pending + held, p, fill);
        compress(s->state, s->pending, 1);
        p += fill;
        bytes -= fill;
    }
    compress(s->state, p, bytes / SHA256_BLOCK_BYTES);
    held = bytes % SHA256_BLOCK_BYTES;
    memcpy(s->pending, p + bytes - held, held);
}

void sha256_hex(Sha256 *s, char hex[SHA256_HEX_BYTES])
{
    static const uint8_t padding[SHA256_BLOCK_BYTES] = { 0x80 };
    uint64_t bits = __builtin_bswap64(s->total_bytes * 8);

    sha256_update(s, padding, 1 + (119 - s->total_bytes % 64) % 64);
    sha256_update(s, &bits, sizeof(bits));
    for (int i = 0; i < 8; i++) {
        snprintf(hex + 8 * i, 9, "%08x", s->state[i]);
    }
}
