/*
 * vnx: segment buffer - see buffer.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include "engine/tcp/buffer.h"

#define CHUNK_DATA(class) (VNX_CHUNK_REAL(class) - (uint32_t)sizeof(VnxChunk))
/* Chunks kept for reuse, per class: at most 2 MiB of the largest. */
#define SPARE_MAX 32

static uint32_t chunk_real(const VnxChunk *c)
{
    return c->size + sizeof(VnxChunk);
}

static unsigned chunk_class(const VnxChunk *c)
{
    unsigned class = 0;

    while (chunk_real(c) != VNX_CHUNK_REAL(class)) {
        class++;
    }
    return class;
}

void vnx_pool_init(VnxPool *pool, uint64_t cap)
{
    memset(pool, 0, sizeof(*pool));
    pool->cap = cap;
}

void vnx_pool_destroy(VnxPool *pool)
{
    for (unsigned i = 0; i < VNX_CHUNK_CLASSES; i++) {
        while (pool->spare[i]) {
            VnxChunk *c = pool->spare[i];

            pool->spare[i] = c->next;
            g_free(c);
        }
    }
    g_assert(pool->used == 0);
}

static VnxChunk *chunk_new(VnxPool *pool, unsigned class)
{
    VnxChunk *c = pool->spare[class];

    if (c) {
        pool->spare[class] = c->next;
        pool->n_spare[class]--;
    } else {
        c = g_malloc(VNX_CHUNK_REAL(class));
        c->size = CHUNK_DATA(class);
    }
    c->next = NULL;
    c->len = 0;
    pool->used += VNX_CHUNK_REAL(class);
    return c;
}

static void chunk_free(VnxPool *pool, VnxChunk *c)
{
    unsigned class = chunk_class(c);

    pool->used -= VNX_CHUNK_REAL(class);
    if (pool->n_spare[class] < SPARE_MAX) {
        c->next = pool->spare[class];
        pool->spare[class] = c;
        pool->n_spare[class]++;
    } else {
        g_free(c);
    }
}

static unsigned max_class(uint32_t cap)
{
    unsigned class = VNX_CHUNK_CLASSES - 1;

    while (class > 0 && VNX_CHUNK_REAL(class) > cap / 8) {
        class--;
    }
    return class;
}

uint32_t vnx_segbuf_max_chunk(uint32_t cap)
{
    return VNX_CHUNK_REAL(max_class(cap));
}

static uint32_t tail_room(const VnxSegBuf *b)
{
    return b->tail ? b->tail->size - b->tail->len : 0;
}

uint32_t vnx_segbuf_room(const VnxSegBuf *b, uint32_t cap)
{
    /* What is left is filled with chunks of any class, so headers may take one
     * part in (smallest chunk / header); and the last chunk may not fit. */
    uint64_t taken = (uint64_t)b->real + vnx_segbuf_max_chunk(cap);
    uint64_t left = cap > taken ? cap - taken : 0;

    left -= left * sizeof(VnxChunk) / VNX_CHUNK_REAL(0);
    return left + tail_room(b);
}

/* The class of the next chunk when @more bytes are to be appended. */
static unsigned next_class(const VnxSegBuf *b, uint32_t more, uint32_t cap)
{
    uint32_t want = MAX(more, b->len);
    unsigned limit = max_class(cap);
    unsigned class = 0;

    while (class < limit && want > CHUNK_DATA(class)) {
        class++;
    }
    return class;
}

bool vnx_segbuf_append(VnxSegBuf *b, VnxPool *pool, uint32_t cap, bool unreserved,
                       const VnxPacket *p, uint32_t off, uint32_t len)
{
    uint32_t fits = tail_room(b);
    VnxChunk *fresh = NULL, **link = &fresh;
    uint64_t real = b->real;

    /* first the memory for all of it, then the bytes */
    while (fits < len) {
        unsigned class = next_class(b, len - fits, cap);
        uint64_t others = unreserved ? pool->reserved : 0;

        real += VNX_CHUNK_REAL(class);
        if (real > cap || pool->used + VNX_CHUNK_REAL(class) + others > pool->cap) {
            while (fresh) {
                VnxChunk *c = fresh;

                fresh = c->next;
                chunk_free(pool, c);
            }
            return false;
        }
        *link = chunk_new(pool, class);
        fits += (*link)->size;
        link = &(*link)->next;
    }
    b->real = real;
    if (fresh) {
        if (b->tail) {
            b->tail->next = fresh;
        } else {
            b->head = fresh;
            fresh->pos = b->start;
            b->tail = fresh;
        }
    }
    while (len) {
        VnxChunk *c = b->tail;
        uint32_t n = MIN(len, c->size - c->len);

        vnx_packet_copy_payload(p, off, n, c->data + c->len);
        c->len += n;
        b->len += n;
        off += n;
        len -= n;
        if (len) {
            c->next->pos = c->pos + c->len;
            b->tail = c->next;
        }
    }
    return true;
}

void vnx_segbuf_consume(VnxSegBuf *b, VnxPool *pool, uint32_t n)
{
    g_assert(n <= b->len);
    b->start += n;
    b->len -= n;
    while (b->head && b->head->pos + b->head->len <= b->start) {
        VnxChunk *c = b->head;

        b->head = c->next;
        if (b->cursor == c) {
            b->cursor = NULL;
        }
        if (!b->head) {
            b->tail = NULL;
        }
        b->real -= chunk_real(c);
        chunk_free(pool, c);
    }
}

void vnx_segbuf_clear(VnxSegBuf *b, VnxPool *pool)
{
    vnx_segbuf_consume(b, pool, b->len);
}

unsigned vnx_segbuf_iov(VnxSegBuf *b, uint32_t off, uint32_t len, struct iovec *iov,
                        unsigned max, uint32_t *got)
{
    uint64_t pos = b->start + off;
    VnxChunk *c = b->cursor && b->cursor->pos <= pos ? b->cursor : b->head;
    unsigned n = 0;

    *got = 0;
    if (off >= b->len) {
        return 0;
    }
    len = MIN(len, b->len - off);
    while (c->pos + c->len <= pos) {
        c = c->next;
    }
    while (len && n < max) {
        uint32_t at = pos - c->pos;
        uint32_t part = MIN(len, c->len - at);

        b->cursor = c;
        iov[n].iov_base = c->data + at;
        iov[n].iov_len = part;
        n++;
        *got += part;
        pos += part;
        len -= part;
        c = c->next;
    }
    return n;
}
