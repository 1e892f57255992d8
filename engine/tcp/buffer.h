/*
 * vnx: segment buffer - the bytes of one half that vTCP holds (T8)
 *
 * A stream of bytes in a chain of chunks.  Contiguous data merge: a chunk is
 * filled before the next one is taken, and chunks are sized by what is buffered
 * already, so that the real memory stays below twice the payload plus one
 * chunk.  Chunks come from a pool that keeps some for reuse and holds the
 * total cap; everything counts in real bytes, chunk headers included.
 *
 *      start          start + len              + ahead       end of the chunks
 *        |─── in order ───|── hole ──|▒ written ▒|─ free ─────────|
 *
 * Bytes may be written ahead of the end: straight to their final place, with the memory of
 * the hole before them taken at once, so that whatever fills it later finds room.  Closing
 * a hole copies nothing.  Which bytes of the hole are there is the owner's to know.
 *
 * Positions are stream offsets (64 bit, from the first byte ever appended);
 * the owner maps sequence numbers to them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_BUFFER_H
#define VNX_BUFFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vnx/packet.h>

typedef struct VnxChunk {
    struct VnxChunk *next;
    uint64_t pos;               /* stream position of data[0] */
    size_t size;                /* room in data: the next chunk's begins behind it */
    uint8_t data[];
} VnxChunk;

#define VNX_CHUNK_CLASSES 3
/* Real bytes of a chunk of each class, header included. */
#define VNX_CHUNK_REAL(class) (4096u << (2 * (class)))

typedef struct VnxPool {
    uint64_t cap;
    uint64_t used;              /* real bytes in buffers */
    uint64_t reserved;          /* promised to halves by advertised windows */
    VnxChunk *spare[VNX_CHUNK_CLASSES];
    uint32_t n_spare[VNX_CHUNK_CLASSES];
} VnxPool;

typedef struct VnxSegBuf {
    VnxChunk *head;
    VnxChunk *tail;
    VnxChunk *fill;             /* where the last byte in order is */
    VnxChunk *far;              /* where bytes were written ahead last */
    VnxChunk *cursor;           /* where the last lookup ended */
    uint64_t start;             /* position of the first byte held */
    uint32_t len;               /* in order */
    uint32_t ahead;             /* behind those, hole included; 0: nothing was written ahead */
    uint32_t real;              /* real bytes of its chunks */
    uint32_t tight;             /* chunks as small as a buffer of so many real bytes should
                                 * have, set by the owner; 0: as its cap allows */
} VnxSegBuf;

void vnx_pool_init(VnxPool *pool, uint64_t cap);
/* All buffers must be empty. */
void vnx_pool_destroy(VnxPool *pool);

/* Real bytes that @more payload bytes may take beyond themselves, with chunks for b->tight. */
uint32_t vnx_segbuf_overhead(const VnxSegBuf *b, uint32_t more);

/* The largest chunk a half with @cap real bytes may take, real bytes. */
uint32_t vnx_segbuf_max_chunk(uint32_t cap);

/*
 * Payload bytes behind those in order that surely fit, however they arrive, before @cap
 * real bytes are reached; the total cap aside.
 */
uint32_t vnx_segbuf_room(const VnxSegBuf *b, uint32_t cap);

/* The part of it for which there is memory already. */
static inline uint32_t vnx_segbuf_allocated(const VnxSegBuf *b)
{
    return b->tail ? b->tail->pos + b->tail->size - b->start - b->len : 0;
}

/*
 * Write @len payload bytes of @p from payload offset @off: behind those in order, which
 * then are so many more (@ahead 0), or @ahead bytes further on.
 * @cap: real bytes that this buffer may take.
 * @unreserved: the total cap less what is reserved for others must hold, too.
 * Returns false, with nothing changed, when @cap or the pool's cap is in the way; never
 * within vnx_segbuf_allocated().
 */
bool vnx_segbuf_write(VnxSegBuf *b, VnxPool *pool, uint32_t cap, bool unreserved,
                      const VnxPacket *p, uint32_t off, uint32_t len, uint32_t ahead);

/* The next @n bytes (at most b->ahead) have all been written: they are in order. */
void vnx_segbuf_extend(VnxSegBuf *b, uint32_t n);
/* Drop what was written ahead. */
void vnx_segbuf_drop_ahead(VnxSegBuf *b, VnxPool *pool);

/* Drop the first @n bytes (at most b->len). */
void vnx_segbuf_consume(VnxSegBuf *b, VnxPool *pool, uint32_t n);
/* Drop everything, what was written ahead, too. */
void vnx_segbuf_clear(VnxSegBuf *b, VnxPool *pool);

/*
 * Point @iov (at most @max entries) at up to @len bytes from @off bytes behind
 * the start on: bytes in order; with @off beyond those, what was written ahead there.  Returns the entries used; *@got is how many bytes they cover
 * (less than @len if @max was too few).  Valid until the buffer changes.
 */
unsigned vnx_segbuf_iov(VnxSegBuf *b, uint32_t off, uint32_t len, struct iovec *iov,
                        unsigned max, uint32_t *got);

#endif /* VNX_BUFFER_H */
