/*
 * vnx: congestion control - slow start, with HyStart++ (RFC 9406) or without
 *
 * What algorithms share: each keeps a VnxSlowStart in its state, hands it every
 * ACK and every loss, and does congestion avoidance with the ACKs that it
 * returns.  Plain slow start is RFC 5681's with byte counting (RFC 3465).
 *
 * An ACK adds all bytes that it newly acknowledges.  RFC 3465 2.2 wants no more than two segments
 * for each, RFC 9406 4.2 eight, or no limit with pacing, so that an ACK releases no burst.  But
 * receivers with GRO acknowledge what came as one 64 KiB frame with one ACK, 44 segments, and
 * with such a limit the window would grow by a few percent in a round trip where it is to double;
 * vTCP's own frames are as large as what the ACK releases.  What R had SACKed, or (without SACK)
 * had before a timeout, is not among the bytes (VnxCcAck.acked), which is the point of 2.3.
 *
 * HyStart++ leaves slow start before it overshoots.  In each round trip it takes the
 * least RTT; one that is an eighth above the round before (at least 4 ms, at most
 * 16 ms) starts Conservative Slow Start, CSS, which grows at a quarter of the
 * speed.  If the RTT then falls below what began CSS it was jitter, and slow start goes
 * on; after five rounds it was a queue, and ssthresh = cwnd.
 *
 *                 RTT grew          5 rounds
 *     SLOW START ----------> CSS ------------> congestion avoidance
 *         ^                   |
 *         +---- RTT fell -----+                (a loss ends either)
 *
 * Rounds: RFC 9406 begins one by noting SND.NXT and ends it when that is acknowledged.
 * An algorithm sees no sequence numbers; counting down the bytes that are in flight
 * when a round's first ACK comes is the same, as every ACK passes here until
 * there is a loss, and then HyStart++ is over: it is for the first slow start of a
 * connection only (RFC 9406 4.3), later ones have an ssthresh to go by.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_HYSTART_H
#define VNX_HYSTART_H

#include <vnx/cc.h>

typedef struct VnxSlowStart {
    int64_t round_min_ns;           /* least RTT of this round, 0: no sample */
    int64_t last_min_ns;            /* of the round before */
    int64_t css_baseline_ns;        /* RTT that began CSS; 0: not in CSS */
    uint32_t round_left;            /* bytes that end this round once acknowledged */
    uint32_t css_credit;            /* acknowledged in CSS, less than one divisor */
    uint8_t samples;                /* of this round, stops at N_RTT_SAMPLE */
    uint8_t css_rounds;
    bool hystart;
} VnxSlowStart;

/* A new connection: sets cwnd and ssthresh.  @s is zeroed. */
void vnx_slow_start_init(VnxSlowStart *s, VnxCc *cc, bool hystart);

/*
 * An ACK outside of recovery.  Grows cwnd if that is below ssthresh and limits the
 * sender; sets ssthresh when HyStart++ is through.
 * Returns true if it was slow start's; false: congestion avoidance's.
 */
bool vnx_slow_start_on_ack(VnxSlowStart *s, VnxCc *cc, const VnxCcAck *ack);

/* A loss: what @s needs to know.  The window is the algorithm's. */
void vnx_slow_start_on_loss(VnxSlowStart *s);

/* In Conservative Slow Start. */
static inline bool vnx_slow_start_css(const VnxSlowStart *s)
{
    return s->css_baseline_ns != 0;
}

#endif /* VNX_HYSTART_H */
