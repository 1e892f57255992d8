/*
 * vnx: congestion control - the list of algorithms, and the start of one
 *
 * The list is constant: there is nothing to register at run time and no order
 * of initialisation.  It is also the order in which vnx_cc_get() counts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include <vnx/vtcp.h>

#include "cc-private.h"

static const VnxCcOps *const algorithms[] = {
    &vnx_cc_reno,
    &vnx_cc_reno_hystart,
    &vnx_cc_cubic,
    &vnx_cc_bic,
    &vnx_cc_none,
    &vnx_cc_dctcp,
    &vnx_cc_bbr,
};

const VnxCcOps *vnx_cc_get(unsigned i)
{
    return i < G_N_ELEMENTS(algorithms) ? algorithms[i] : NULL;
}

const VnxCcOps *vnx_cc_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(algorithms); i++) {
        if (strcmp(algorithms[i]->name, name) == 0) {
            return algorithms[i];
        }
    }
    return NULL;
}

bool vnx_cc_ops_valid(const VnxCcOps *ops)
{
    return ops->name && ops->name[0] &&
           strlen(ops->name) < sizeof(((VnxFlowConfig *)0)->congestion_control) &&
           ops->state_size <= VNX_CC_STATE_MAX &&
           ops->init && ops->on_loss && (ops->own_recovery ? ops->on_sample : ops->on_ack);
}

void vnx_cc_start(VnxCc *cc, const VnxCcOps *ops, uint32_t mss, const VnxCcParams *params,
                  int64_t now_ns)
{
    g_assert(mss > 0 && params->initial_window > 0 && params->increase_percent > 0);
    if (!cc->ops || cc->ops->state_size != ops->state_size) {
        vnx_cc_stop(cc);
        cc->state = ops->state_size ? g_slice_alloc(ops->state_size) : NULL;
    }
    if (cc->state) {
        memset(cc->state, 0, ops->state_size);
    }
    cc->ops = ops;
    cc->mss = mss;
    cc->params = *params;
    ops->init(cc, now_ns);
}

void vnx_cc_stop(VnxCc *cc)
{
    if (cc->ops && cc->state) {
        g_slice_free1(cc->ops->state_size, cc->state);
    }
    memset(cc, 0, sizeof(*cc));
}

void vnx_cc_ack(VnxCc *cc, const VnxCcAck *ack)
{
    if (cc->ops->on_sample) {
        cc->ops->on_sample(cc, ack);
    }
    if (cc->ops->on_ack && ack->acked && !ack->recovery) {
        cc->ops->on_ack(cc, ack);
    }
}

uint32_t vnx_cc_quantum(uint64_t rate, uint32_t mss)
{
    return MAX(MIN(rate / 1000, 65536), 2 * mss);
}
