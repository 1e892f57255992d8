/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SHA-256 (FIPS 180-4), for vnx-peer: no library to link, and fast enough under TCG
 * (which emulates the SHA instructions by native helpers) to hash hundreds of MiB in a
 * test.
 */
#ifndef VNX_PEER_SHA256_H
#define VNX_PEER_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_BLOCK_BYTES = 64, SHA256_HEX_BYTES = 65 };

typedef struct Sha256 {
    uint32_t state[8];
    uint64_t total_bytes;
    uint8_t pending[SHA256_BLOCK_BYTES];   /* total_bytes % 64 of them are valid */
} Sha256;

void sha256_init(Sha256 *s);
void sha256_update(Sha256 *s, const void *data, size_t bytes);

/* Ends the hash; writes 64 hex digits and a NUL. */
void sha256_hex(Sha256 *s, char hex[SHA256_HEX_BYTES]);

#endif
