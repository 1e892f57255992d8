/*
 * vnx: unit test of the out-of-order queue (T6; rules 3 and 10 of the design)
 *
 * Random segments go to the queue and to a naive oracle, one flag and one time per byte;
 * after each step ranges, SACK blocks and overlaps must be those of the oracle.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include "engine/tcp/ooo.h"

#define SPACE 1000u             /* sequence numbers that the oracle knows */

typedef struct Oracle {
    uint32_t base;              /* sequence number of byte 0 */
    unsigned nxt;               /* bytes that are in order */
    bool there[SPACE + 1];      /* the last one never is */
    uint32_t time[SPACE + 1];   /* when a segment last fell on it */
} Oracle;

/* The range that byte @at is in: its end. */
static unsigned run_end(const Oracle *o, unsigned at)
{
    while (o->there[at]) {
        at++;
    }
    return at;
}

static unsigned count_ranges(const Oracle *o)
{
    unsigned n = 0;

    for (unsigned i = o->nxt; i < SPACE; i++) {
        n += o->there[i] && (i == o->nxt || !o->there[i - 1]);
    }
    return n;
}

static void check_ranges(const VnxOoo *q, const Oracle *o)
{
    unsigned n = 0, bytes = 0;

    for (unsigned i = o->nxt; i < SPACE; i++) {
        if (o->there[i]) {
            g_assert_cmpuint(n, <, q->n);
            g_assert_cmpuint(q->range[n].start - o->base, ==, i);
            bytes += run_end(o, i) - i;
            i = run_end(o, i);
            g_assert_cmpuint(q->range[n].end - o->base, ==, i);
            n++;
        }
    }
    g_assert_cmpuint(n, ==, q->n);
    g_assert_cmpuint(bytes, ==, vnx_ooo_bytes(q));
}

/* Blocks are ranges, those with the newest byte first. */
static void check_sack(const VnxOoo *q, const Oracle *o)
{
    VnxSackBlock block[VNX_SACK_MAX];
    unsigned max = 1 + o->nxt % VNX_SACK_MAX, n = vnx_ooo_sack(q, block, max);
    uint32_t limit = UINT32_MAX;

    g_assert_cmpuint(n, ==, MIN(max, q->n));
    for (unsigned k = 0; k < n; k++) {
        uint32_t newest = 0;
        unsigned at = 0;

        for (unsigned i = o->nxt; i < SPACE; i++) {
            if (o->there[i] && o->time[i] > newest && o->time[i] < limit) {
                newest = o->time[i];
                at = i;
            }
        }
        g_assert_cmpuint(block[k].start - o->base, <=, at);
        g_assert_cmpuint(block[k].end - o->base, ==, run_end(o, at));
        limit = 0;
        for (unsigned i = block[k].start - o->base; o->there[i]; i++) {
            limit = MAX(limit, o->time[i]);
        }
        /* what is older than the newest of this range, in this range, is not next */
        g_assert_cmpuint(newest, ==, limit);
    }
}

static void add(VnxOoo *q, Oracle *o, unsigned start, unsigned end, uint32_t now)
{
    unsigned first = start, last, i, j;
    VnxSackBlock part;
    Oracle after = *o;
    bool overlaps;

    while (first < end && !o->there[first]) {
        first++;
    }
    last = MIN(run_end(o, first), end);
    overlaps = vnx_ooo_overlap(q, o->base + start, o->base + end, &part);
    g_assert_true(overlaps == (first < end));
    if (overlaps) {
        g_assert_cmpuint(part.start - o->base, ==, first);
        g_assert_cmpuint(part.end - o->base, ==, last);
    }
    memset(after.there + start, true, end - start);
    if (count_ranges(&after) > VNX_OOO_MAX) {
        g_assert_false(vnx_ooo_fits(q, o->base + start, o->base + end));
        g_assert_false(vnx_ooo_add(q, o->base + start, o->base + end));
        return;
    }
    g_assert_true(vnx_ooo_fits(q, o->base + start, o->base + end));
    g_assert_true(vnx_ooo_add(q, o->base + start, o->base + end));
    *o = after;
    /* all of the range that it is in now is news */
    for (i = start; i > o->nxt && o->there[i - 1]; i--) {
    }
    for (j = i; o->there[j]; j++) {
        o->time[j] = now;
    }
}

static void advance(VnxOoo *q, Oracle *o, unsigned to)
{
    uint32_t nxt = vnx_ooo_advance(q, o->base + to);

    o->nxt = run_end(o, to);
    g_assert_cmpuint(nxt - o->base, ==, o->nxt);
    if (o->nxt > SPACE / 2) {           /* start over */
        memset(q, 0, sizeof(*q));
        memset(o->there, 0, sizeof(o->there));
        memset(o->time, 0, sizeof(o->time));
        o->base += o->nxt;
        o->nxt = 0;
    }
}

static void test_oracle(gconstpointer opaque)
{
    unsigned longest = GPOINTER_TO_UINT(opaque);
    g_autoptr(GRand) rand = g_rand_new_with_seed(longest);
    Oracle *o = g_new0(Oracle, 1);
    VnxOoo *q = g_new0(VnxOoo, 1);
    unsigned most = 0;

    o->base = UINT32_MAX - 20000;       /* wraps soon */
    for (uint32_t now = 1; now < 40000; now++) {
        if (g_rand_int_range(rand, 0, 100) < 97) {
            unsigned start = g_rand_int_range(rand, o->nxt + 1, SPACE);
            unsigned end = start + g_rand_int_range(rand, 1, longest + 1);

            add(q, o, start, MIN(end, SPACE), now);
        } else {
            advance(q, o, g_rand_int_range(rand, o->nxt, o->nxt + 30));
        }
        check_ranges(q, o);
        check_sack(q, o);
        most = MAX(most, q->n);
    }
    g_assert_cmpuint(most, >=, longest < 5 ? VNX_OOO_MAX : 3);
    g_free(q);
    g_free(o);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/ooo/T6/oracle/short", GUINT_TO_POINTER(3), test_oracle);
    g_test_add_data_func("/ooo/T6/oracle/medium", GUINT_TO_POINTER(30), test_oracle);
    g_test_add_data_func("/ooo/T6/oracle/long", GUINT_TO_POINTER(300), test_oracle);
    return g_test_run();
}
