/*
 * vnx: Explicit Congestion Notification (RFC 3168, rule 8)
 *
 * A connection that negotiated ECN has two congestion loops where it had one, and
 * vTCP is an end of each:
 *
 *   S ──CE──▶ vTCP ──ECT(0)──▶ R       marks end here: the copy leaves unmarked
 *   S ◀─ECE── vTCP ◀──ECE───── R       h->ece; R's own ECE is for vTCP's sender,
 *   S ──CWR─▶ vTCP ──CWR─────▶ R       which answers it: cwr_due
 *
 * No mark is lost when a half comes or goes.  Marks on S's data are noted in every
 * state, so that S hears of them from whoever acknowledges next.  R's ECE goes on to S
 * whenever vTCP has nothing to send toward R, because then it is S that has to slow
 * down; and S's CWR with it.
 *
 * Only first transmissions of payload are ECN-capable (6.1.4 to 6.1.6).  The answer to ECE
 * is one per window (6.1.2): h->cwr_seq is where the window of the last one ends.
 *
 * With an algorithm that counts marks (DCTCP) both ends are declared to use it, and ECE
 * says for each segment whether it was marked (RFC 8257 3.2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "engine/tcp/vtcp-private.h"

#define ECN_FLAGS (VNX_TCP_ECE | VNX_TCP_CWR)

/* A SYN or SYN-ACK is there again, @again, with other ECN bits than before. */
bool ecn_varies(uint16_t before, uint16_t again)
{
    return (before ^ again) & ECN_FLAGS;
}

/*
 * What SYN and SYN-ACK, whose flags these are, agree on (6.1.1); false if that cannot be told.  A
 * host that repeats either without the bits, because something on the path may
 * dislike them, leaves it open which one the other has taken.
 */
bool ecn_negotiated(uint16_t syn, uint16_t synack, bool varied, bool *ecn)
{
    bool offered = (syn & ECN_FLAGS) == ECN_FLAGS;

    *ecn = offered && (synack & ECN_FLAGS) == VNX_TCP_ECE;
    return !varied || !offered || !(synack & VNX_TCP_ECE);
}

/* ECE tells of each segment alone. */
static bool ecn_exact(const VnxConn *c)
{
    return c->profile->cc[VNX_TO_NET]->counts_marks;
}

/* vTCP is the sender of record toward R. */
static bool ecn_is_sender(const VnxHalf *h)
{
    return h->state == VNX_HALF_ACCELERATING ||
           (h->state == VNX_HALF_DRAINING && half_holds(h));
}

/* vTCP begins to send toward R, from an empty buffer. */
void ecn_start(VnxHalf *h)
{
    h->cwr_due = false;
    h->cwr_seq = h->una - 1;
}

/* @p is S's, with payload, and acceptable. */
void ecn_data(VnxHalf *h, const VnxPacket *p)
{
    VnxConn *c = half_conn(h);
    bool ce = vnx_packet_ecn(p) == VNX_ECN_CE;

    if (!c->ecn || seq_le(p->seq + p->payload_len, h->rcv_nxt)) {
        return;                 /* repeated data carries no news (6.1.5) */
    }
    c->v->stats.ce_segments += ce;
    if (ecn_exact(c)) {
        if (ce != h->ece && ecn_is_sender(h) && seq_gt(half_ack(h), h->last_ack)) {
            half_send_ack(h, false);    /* for what came before, with the mark of that */
        }
        h->ece = ce;
        return;
    }
    if (p->flags & VNX_TCP_CWR) {
        h->ece = false;
    }
    h->ece |= ce;
}

/* cwnd toward R has just been lowered, for whatever reason: R is told. */
void ecn_reduced(VnxHalf *h)
{
    h->cwr_due = half_conn(h)->ecn;
    h->cwr_seq = h->max;
}

/* @p is R's and acknowledges at least una, which is not moved yet. */
void ecn_ack(VnxHalf *h, const VnxPacket *p)
{
    VnxConn *c = half_conn(h);
    uint32_t flight = MIN(seq_ahead(h->max, h->una), h->cc.cwnd);

    h->marked = c->ecn && p->flags & VNX_TCP_ECE && ecn_is_sender(h);
    if (!h->marked || seq_le(p->ack, h->cwr_seq)) {
        return;
    }
    ecn_reduced(h);
    if (h->recovery || h->rto_recovery) {
        return;                 /* this window was lowered for a loss already */
    }
    h->cc.mss = h->smss;
    /* of a batch of ACKs this may not be the first: what those freed is not yet sent */
    h->cc.ops->on_loss(&h->cc, VNX_CC_LOSS_ECN, h->cwnd_limited ? h->cc.cwnd : flight,
                       c->v->now);
    c->v->stats.ecn_responses++;
}

/*
 * The ECN bits of a segment in direction @dir that has @flags of its end's own: ECE of who
 * acknowledges to whom it goes, CWR of who sends its payload.
 */
uint16_t ecn_flags(const VnxConn *c, VnxDir dir, uint16_t flags)
{
    const VnxHalf *data = &c->half[dir], *acks = &c->half[!dir];
    bool fast = ecn_is_sender(acks), ece = flags & VNX_TCP_ECE;

    if (!c->ecn || flags & VNX_TCP_RST) {
        return flags;
    }
    flags &= ~VNX_TCP_ECE;
    if (ecn_exact(c) ? (fast ? acks->ece : ece)
                     : (acks->ece && acks->early_acked_bytes) || (ece && !fast)) {
        flags |= VNX_TCP_ECE;
    }
    if (ecn_is_sender(data)) {
        flags &= ~VNX_TCP_CWR;
    }
    return flags;
}
