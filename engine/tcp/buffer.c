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

static uint64_t chunk_end(const VnxChunk *c)
{
    return c->pos + c->size;
}

uint32_t vnx_segbuf_room(const VnxSegBuf *b, uint32_t cap)
{
    /* What is left is filled with chunks of any class, so headers may take one
     * part in (smallest chunk / header); and the last chunk may not fit. */
    uint64_t taken = (uint64_t)b->real + vnx_segbuf_max_chunk(cap);
    uint64_t left = cap > taken ? cap - taken : 0;

    left -= left * sizeof(VnxChunk) / VNX_CHUNK_REAL(0);
    return left + vnx_segbuf_allocated(b);
}

uint32_t vnx_segbuf_overhead(const VnxSegBuf *b, uint32_t more)
{
    return (uint64_t)more * sizeof(VnxChunk) / VNX_CHUNK_REAL(0) +
           vnx_segbuf_max_chunk(b->tight);
}

/* The class of the next chunk when @more bytes are to be appended. */
static unsigned next_class(const VnxSegBuf *b, uint32_t more, uint32_t cap)
{
    uint32_t want = MAX(more, b->len);
    unsigned limit = max_class(b->tight ? MIN(b->tight, cap) : cap);
    unsigned class = 0;

    while (class < limit && want > CHUNK_DATA(class)) {
        class++;
    }
    return class;
}

/* Chunks for @more bytes, at least one, behind the last one. */
static bool segbuf_grow(VnxSegBuf *b, VnxPool *pool, uint32_t cap, bool unreserved,
                        uint32_t more)
{
    VnxChunk *fresh = NULL, **link = &fresh, *last = b->tail;
    uint64_t real = b->real, end = last ? chunk_end(last) : b->start, want = end + more;

    do {
        unsigned class = next_class(b, want - end, cap);
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
        last = *link = chunk_new(pool, class);
        last->pos = end;
        end += last->size;
        link = &last->next;
    } while (end < want);
    b->real = real;
    if (b->tail) {
        b->tail->next = fresh;
    } else {
        b->head = b->fill = fresh;
    }
    b->tail = last;
    return true;
}

bool vnx_segbuf_write(VnxSegBuf *b, VnxPool *pool, uint32_t cap, bool unreserved,
                      const VnxPacket *p, uint32_t off, uint32_t len, uint32_t ahead)
{
    uint32_t room = vnx_segbuf_allocated(b);
    uint64_t pos = b->start + b->len + ahead, need = (uint64_t)ahead + len;
    VnxChunk *c;

    /* first the memory for all of it, then the bytes */
    if (need > room && !segbuf_grow(b, pool, cap, unreserved, need - room)) {
        return false;
    }
    c = b->fill;
    if (ahead && b->far && b->far->pos > c->pos && b->far->pos <= pos) {
        c = b->far;
    }
    while (len) {
        uint32_t n;

        while (c->next && chunk_end(c) <= pos) {
            c = c->next;
        }
        n = MIN(len, chunk_end(c) - pos);
        vnx_packet_copy_payload(p, off, n, c->data + (pos - c->pos));
        pos += n;
        off += n;
        len -= n;
    }
    if (ahead) {
        b->far = c;
        b->ahead = MAX(b->ahead, need);
    } else {
        b->fill = c;
        b->len += need;
        b->ahead -= MIN(b->ahead, need);
    }
    return true;
}

void vnx_segbuf_extend(VnxSegBuf *b, uint32_t n)
{
    g_assert(n <= b->ahead);
    b->len += n;
    b->ahead -= n;
    while (chunk_end(b->fill) < b->start + b->len) {
        b->fill = b->fill->next;
    }
}

static void segbuf_free_chunk(VnxSegBuf *b, VnxPool *pool, VnxChunk *c)
{
    if (b->cursor == c) {
        b->cursor = NULL;
    }
    if (b->far == c) {
        b->far = NULL;
    }
    b->real -= chunk_real(c);
    chunk_free(pool, c);
}

void vnx_segbuf_consume(VnxSegBuf *b, VnxPool *pool, uint32_t n)
{
    g_assert(n <= b->len);
    b->start += n;
    b->len -= n;
    while (b->head && (chunk_end(b->head) <= b->start || (!b->len && !b->ahead))) {
        VnxChunk *c = b->head;

        b->head = c->next;
        if (b->fill == c) {
            b->fill = c->next;
        }
        segbuf_free_chunk(b, pool, c);
    }
    if (!b->head) {
        b->tail = NULL;
    }
}

void vnx_segbuf_drop_ahead(VnxSegBuf *b, VnxPool *pool)
{
    b->ahead = 0;
    if (!b->len) {
        vnx_segbuf_consume(b, pool, 0);
        return;
    }
    b->tail = b->fill;
    while (b->tail->next) {
        VnxChunk *c = b->tail->next;

        b->tail->next = c->next;
        segbuf_free_chunk(b, pool, c);
    }
}

void vnx_segbuf_clear(VnxSegBuf *b, VnxPool *pool)
{
    b->ahead = 0;
    vnx_segbuf_consume(b, pool, b->len);
}

unsigned vnx_segbuf_iov(VnxSegBuf *b, uint32_t off, uint32_t len, struct iovec *iov,
                        unsigned max, uint32_t *got)
{
    uint64_t pos = b->start + off;
    VnxChunk *c = b->cursor && b->cursor->pos <= pos ? b->cursor : b->head;
    uint32_t limit = off < b->len ? b->len : b->len + b->ahead;
    unsigned n = 0;

    *got = 0;
    if (off >= limit) {
        return 0;
    }
    len = MIN(len, limit - off);
    while (chunk_end(c) <= pos) {
        c = c->next;
    }
    while (len && n < max) {
        uint32_t at = pos - c->pos;
        uint32_t part = MIN(len, c->size - at);

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
