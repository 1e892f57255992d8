/*
 * vnx: the transmission queue - what was sent toward R and is not acknowledged yet
 *
 * One queue per half: the SACK scoreboard of RFC 6675, the transmission times of RACK
 * (RFC 8985), and what a delivery rate sampler wants to know of each transmission.
 * A record is a range of sequence numbers (S's FIN counts as one) that left at one
 * time, so a 64 KiB GSO frame is one record until a SACK or a loss tears it apart:
 *
 *     una                                                              nxt
 *      | AGAIN | LOST | SACKED      | in flight | SACKED |   in flight  |
 *      \_______________ in order of sequence, without gaps _____________/
 *
 *     oldest -> ... -> newest: those in flight (neither SACKED nor LOST) once more, in
 *     the order in which they left last
 *
 * Order of sequence is an array of pointers, found by bisection; order of time a list.  An
 * acknowledgement pops at the head.  SACKED neighbours become one record, so that
 * a block which is reported again and again costs a bisection, and every byte is
 * accounted once when it is SACKED and once when it is acknowledged.  A sender that
 * only appends and pops touches one record per transmission.
 *
 * The queue is advice: it decides what is sent again and when, never what is kept.  A
 * receiver may lie in its SACK blocks, or take them back: the bytes stay in
 * the segment buffer until the cumulative ACK covers them.
 *
 * Limit: VNX_TXQ_MAX records.  Beyond it ranges are merged, or not torn apart, so that
 * less counts as SACKED or LOST than is, and later; timeouts remain.
 *
 * Records come from a pool of the instance; the queue owns its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_TXQ_H
#define VNX_TXQ_H

#include <stdbool.h>
#include <stdint.h>

#define VNX_TXQ_MAX 4096u

typedef enum VnxTxFlags {
    VNX_TX_SACKED = 1 << 0,     /* R has it, by its own account */
    VNX_TX_LOST = 1 << 1,       /* taken to be lost, and not sent again since */
    VNX_TX_AGAIN = 1 << 2,      /* sent more than once: no sample (Karn), no proof */
} VnxTxFlags;

/* Taken at each transmission (draft-cheng-iccrg-delivery-rate-estimation 3.2): for rate.h. */
typedef struct VnxTxStamp {
    int64_t sent_ns;
    int64_t flight_ns;          /* when the flight began that this belongs to */
    int64_t delivered_ns;       /* the queue's, at that time */
    uint64_t delivered;
    uint32_t lost;              /* the queue's lost_ever, its low half */
    uint32_t in_flight : 31;    /* under way then, this included */
    uint32_t app_limited : 1;
} VnxTxStamp;

typedef struct VnxTx {
    uint32_t begin, end;
    uint8_t flags;              /* VnxTxFlags */
    VnxTxStamp stamp;           /* of the last transmission */
    struct VnxTx *earlier, *later;
} VnxTx;

/* Spare records of an instance. */
typedef struct VnxTxPool {
    VnxTx *spare;
    unsigned n;
} VnxTxPool;

typedef struct VnxTxq {
    VnxTx **slot;               /* room for @room; in use: n from first on */
    uint32_t first, n, room;
    uint32_t sacked;            /* bytes */
    uint32_t lost;              /* bytes */
    uint32_t lost_from;         /* nothing before it is LOST */
    VnxTx *oldest, *newest;
    uint64_t delivered;         /* bytes, acknowledged or SACKED, ever */
    int64_t delivered_ns;       /* when it last grew */
    int64_t flight_ns;          /* when the newest delivered transmission left */
    uint64_t app_limited;       /* until so much is delivered, samples say what the
                                 * sender had, not what the path can; 0: they do not */
    uint32_t lost_ever;         /* bytes that were taken to be lost; wraps */
} VnxTxq;

/*
 * What an ACK brought.  The caller zeroes it, sets min_rtt_ns, and hands it to
 * vnx_txq_acked() and then vnx_txq_sacked() for each block.
 */
typedef struct VnxTxAck {
    int64_t min_rtt_ns;         /* a repetition answered faster: the answer is to the original */
    uint32_t acked;             /* bytes that are below the ACK now, and were not SACKED */
    uint32_t sacked;            /* bytes that are SACKED now, and were not */
    bool newest_known;
    bool newest_again;          /* ... and was it a repetition */
    uint32_t newest_end;
    VnxTxStamp newest;          /* of what left last among the delivered (RACK, rate sample) */
    bool once;                  /* bytes sent only once are among the delivered ... */
    uint32_t once_begin;        /* ... the lowest of them are in a record that */
    uint32_t once_end;          /* begins and ends here ... */
    uint32_t once_high;         /* ... and the highest end here */
    int64_t once_first_ns;      /* when the first of them left */
    int64_t once_last_ns;       /* ... and the last */
} VnxTxAck;

void vnx_txpool_init(VnxTxPool *pool);
void vnx_txpool_destroy(VnxTxPool *pool);

/* An all-zero queue is an empty one.  Forget all records, and release the memory. */
void vnx_txq_clear(VnxTxq *q, VnxTxPool *pool);

static inline bool vnx_txq_empty(const VnxTxq *q)
{
    return !q->n;
}

/* Where the records begin and end; not for an empty queue. */
static inline uint32_t vnx_txq_begin(const VnxTxq *q)
{
    return q->slot[q->first]->begin;
}

static inline uint32_t vnx_txq_end(const VnxTxq *q)
{
    return q->slot[q->first + q->n - 1]->end;
}

/* Bytes believed to be under way: RFC 6675's pipe. */
static inline uint32_t vnx_txq_pipe(const VnxTxq *q)
{
    return q->n ? vnx_txq_end(q) - vnx_txq_begin(q) - q->sacked - q->lost : 0;
}

/* [@begin, @end) leaves for the first time.  @begin is where the queue ends. */
void vnx_txq_sent(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end, int64_t now_ns);

/* [@begin, @end), within the queue, leaves again. */
void vnx_txq_resent(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end,
                    int64_t now_ns);

/* R's cumulative ACK: what is before @ack goes. */
void vnx_txq_acked(VnxTxq *q, VnxTxPool *pool, uint32_t ack, int64_t now_ns, VnxTxAck *a);

/* A SACK block.  What of it is outside of the queue is ignored. */
void vnx_txq_sacked(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end,
                    int64_t now_ns, VnxTxAck *a);

/* @tx, of this queue and in flight, is lost. */
void vnx_txq_lose(VnxTxq *q, VnxTx *tx);

/* What is in flight of [@begin, @end) is lost; what is outside of the queue is ignored. */
void vnx_txq_lose_range(VnxTxq *q, VnxTxPool *pool, uint32_t begin, uint32_t end);

/* The first range that is LOST, as far as it goes in one piece; false: there is none. */
bool vnx_txq_next_lost(VnxTxq *q, uint32_t *begin, uint32_t *end);

/* Nothing is LOST: all that was is in flight, as it left. */
void vnx_txq_unlose(VnxTxq *q);

/* R has taken its SACKs back: nothing is SACKED, all that was is LOST. */
void vnx_txq_renege(VnxTxq *q);

/* No time of what is under way is good for a sample (the clock stood still). */
void vnx_txq_forget_times(VnxTxq *q);

/* True if the first record is SACKED: its receiver does not know its own mind. */
static inline bool vnx_txq_head_sacked(const VnxTxq *q)
{
    return q->n && q->slot[q->first]->flags & VNX_TX_SACKED;
}

#endif /* VNX_TXQ_H */
