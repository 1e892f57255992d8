/*
 * vnx: congestion control "dctcp" - as much less as was marked (RFC 8257)
 *
 * For data centers whose switches mark (ECN) above a low threshold and whose hosts echo
 * each mark exactly.  In each window of data the marked part of the bytes, M, goes into an
 * average (3.3):
 *
 *     alpha = (1 - g) alpha + g M,    g = 1/16, alpha = 1 at first
 *
 * and marks reduce cwnd, once in a window, by alpha / 2: by half where all is marked, as
 * Reno would, by hardly anything where little is.  Growth, losses (3.5) and idle times are
 * Reno's.
 *
 * A window of data is what is under way as its first ACK comes; see hystart.h on
 * counting rounds in bytes.
 *
 * Configuration: the additive increase as Reno's; the decrease factor is that of losses only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>

#include "cc-private.h"
#include "reno.h"

#define ALPHA_ONE (1u << 20)
#define G_SHIFT 4u                  /* g = 1 / 16 (3.3, 4.2) */

typedef struct DctcpState {
    VnxReno reno;
    uint32_t alpha;                 /* in 1 / ALPHA_ONE */
    uint32_t window_left;           /* bytes that end this window once acknowledged */
    uint32_t acked;                 /* in this window */
    uint32_t marked;                /* of them */
} DctcpState;

static void dctcp_init(VnxCc *cc, int64_t now_ns)
{
    DctcpState *s = cc->state;

    vnx_reno_init(&s->reno, cc, false);
    s->alpha = ALPHA_ONE;           /* 3.3: cautious until it is known better */
}

static void dctcp_on_sample(VnxCc *cc, const VnxCcAck *ack)
{
    DctcpState *s = cc->state;
    uint32_t part;

    if (!ack->acked) {
        return;
    }
    if (!s->window_left) {
        s->window_left = MAX(ack->in_flight, 1);
    }
    s->acked += ack->acked;
    s->marked += ack->marked;
    if (s->window_left > ack->acked) {
        s->window_left -= ack->acked;
        return;
    }
    part = (uint64_t)s->marked * ALPHA_ONE / s->acked;
    s->alpha += (part >> G_SHIFT) - (s->alpha >> G_SHIFT);
    s->window_left = s->acked = s->marked = 0;
}

static void dctcp_on_ack(VnxCc *cc, const VnxCcAck *ack)
{
    DctcpState *s = cc->state;

    vnx_reno_grow(&s->reno, cc, ack);
}

static void dctcp_on_loss(VnxCc *cc, VnxCcLoss kind, uint32_t in_flight, int64_t now_ns)
{
    DctcpState *s = cc->state;
    uint64_t left = (uint64_t)in_flight * vnx_cc_decrease_percent(cc, 50) / 100;

    if (kind == VNX_CC_LOSS_ECN) {
        left = cc->cwnd - (uint64_t)cc->cwnd * s->alpha / ALPHA_ONE / 2;
    }
    vnx_reno_reduce(&s->reno, cc, kind, left);
}

static void dctcp_on_idle(VnxCc *cc, int64_t idle_ns, int64_t unused_ns, int64_t now_ns)
{
    DctcpState *s = cc->state;

    vnx_reno_idle(&s->reno, cc, unused_ns);
}

const VnxCcOps vnx_cc_dctcp = {
    .name = "dctcp",
    .state_size = sizeof(DctcpState),
    .counts_marks = true,
    .init = dctcp_init,
    .on_sample = dctcp_on_sample,
    .on_ack = dctcp_on_ack,
    .on_loss = dctcp_on_loss,
    .on_idle = dctcp_on_idle,
};
