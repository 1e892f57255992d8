/*
 * vnx: out-of-order queue - see ooo.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "engine/tcp/ooo.h"
#include "engine/tcp/seq.h"

/* The first range that ends behind @seq, or at it; o->n: none. */
static unsigned first_from(const VnxOoo *o, uint32_t seq)
{
    unsigned i = o->n;

    while (i && seq_ge(o->range[i - 1].end, seq)) {     /* mostly the last, or none */
        i--;
    }
    return i;
}

bool vnx_ooo_overlap(const VnxOoo *o, uint32_t start, uint32_t end, VnxSackBlock *part)
{
    for (unsigned i = first_from(o, start); i < o->n && seq_lt(o->range[i].start, end); i++) {
        part->start = seq_max(o->range[i].start, start);
        part->end = seq_lt(o->range[i].end, end) ? o->range[i].end : end;
        if (seq_lt(part->start, part->end)) {
            return true;
        }
    }
    return false;
}

bool vnx_ooo_fits(const VnxOoo *o, uint32_t start, uint32_t end)
{
    unsigned i = first_from(o, start);

    return o->n < VNX_OOO_MAX || (i < o->n && seq_le(o->range[i].start, end));
}

bool vnx_ooo_add(VnxOoo *o, uint32_t start, uint32_t end)
{
    unsigned i = first_from(o, start), j = i;
    VnxOooRange *r = o->range + i;

    while (j < o->n && seq_le(o->range[j].start, end)) {
        j++;
    }
    if (i == j) {
        if (o->n == VNX_OOO_MAX) {
            return false;
        }
        memmove(r + 1, r, (o->n - i) * sizeof(*r));
        o->n++;
        r->start = start;
        r->end = end;
    } else {                    /* one out of ranges i to j - 1 */
        r->start = seq_lt(start, r->start) ? start : r->start;
        r->end = seq_max(o->range[j - 1].end, end);
        memmove(r + 1, &o->range[j], (o->n - j) * sizeof(*r));
        o->n -= j - i - 1;
    }
    r->stamp = ++o->clock;
    return true;
}

uint32_t vnx_ooo_advance(VnxOoo *o, uint32_t seq)
{
    unsigned i = 0;

    while (i < o->n && seq_le(o->range[i].start, seq)) {
        seq = seq_max(o->range[i].end, seq);
        i++;
    }
    if (i) {
        o->n -= i;
        memmove(o->range, o->range + i, o->n * sizeof(o->range[0]));
    }
    return seq;
}

unsigned vnx_ooo_sack(const VnxOoo *o, VnxSackBlock *block, unsigned max)
{
    uint32_t newest[VNX_SACK_MAX] = { 0 };
    unsigned n = 0;

    /* insertion into a list of at most four */
    for (unsigned i = 0; i < o->n; i++) {
        const VnxOooRange *r = &o->range[i];
        unsigned at = n;

        while (at && newest[at - 1] < r->stamp) {
            at--;
        }
        if (at == max) {
            continue;
        }
        n += n < max;
        for (unsigned k = n - 1; k > at; k--) {
            newest[k] = newest[k - 1];
            block[k] = block[k - 1];
        }
        newest[at] = r->stamp;
        block[at] = (VnxSackBlock) { r->start, r->end };
    }
    return n;
}

uint32_t vnx_ooo_bytes(const VnxOoo *o)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < o->n; i++) {
        sum += o->range[i].end - o->range[i].start;
    }
    return sum;
}
