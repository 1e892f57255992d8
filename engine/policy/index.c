/*
 * vnx: policies - the classifier
 *
 * Tuple space search: policies that ask for the same bits of a flow (mask) have one shape.
 * Under a shape's mask a flow has one value, and its policies of that value are one
 * run of the entries, which are sorted by hash and then by precedence.  What is
 * left to compare in a run are port ranges that are no mask, and these lie side by side.
 *
 * So a lookup costs a binary search for each shape, and a shape is left out when what was found
 * precedes all of it: shapes are in the order of their first policies.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdlib.h>
#include <string.h>

#include "engine/policy/policy-private.h"

typedef struct Shape {
    VnxTuple mask;
    uint32_t first;             /* precedence of its first policy */
    unsigned number;
} Shape;

typedef struct Entry {
    uint64_t hash;              /* of shape and value */
    uint32_t order;             /* index in policies: precedence */
    uint16_t port[2][2];
} Entry;

struct VnxPolicyIndex {
    VnxPolicy *const *policies;
    GPtrArray *shapes;
    Entry *entries;
    size_t n;
};

static uint64_t tuple_hash(const VnxTuple *flow, const VnxTuple *mask, uint64_t h)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(flow->word); i++) {
        h = (h ^ (flow->word[i] & mask->word[i])) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    return h;
}

static guint mask_hash(gconstpointer mask)
{
    return tuple_hash(mask, mask, 0);
}

static gboolean mask_equal(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(VnxTuple));
}

static int entry_compare(const void *x, const void *y)
{
    const Entry *a = x, *b = y;

    return a->hash != b->hash ? (a->hash < b->hash ? -1 : 1) :
           a->order < b->order ? -1 : a->order > b->order;
}

VnxPolicyIndex *vnx_policy_index_new(VnxPolicy *const *policies, size_t n)
{
    VnxPolicyIndex *index = g_new0(VnxPolicyIndex, 1);
    GHashTable *known = g_hash_table_new(mask_hash, mask_equal);

    index->policies = policies;
    index->shapes = g_ptr_array_new_with_free_func(g_free);
    index->entries = g_new(Entry, n);
    index->n = n;
    for (size_t i = 0; i < n; i++) {
        const VnxPattern *pat = &policies[i]->pattern;
        Shape *shape = g_hash_table_lookup(known, &pat->mask);

        if (!shape) {
            shape = g_new(Shape, 1);
            *shape = (Shape) { pat->mask, i, index->shapes->len };
            g_ptr_array_add(index->shapes, shape);
            g_hash_table_insert(known, &shape->mask, shape);
        }
        index->entries[i].hash = tuple_hash(&pat->value, &pat->mask, shape->number);
        index->entries[i].order = i;
        memcpy(index->entries[i].port, pat->port, sizeof(pat->port));
    }
    qsort(index->entries, n, sizeof(Entry), entry_compare);
    g_hash_table_unref(known);
    return index;
}

void vnx_policy_index_free(VnxPolicyIndex *index)
{
    if (index) {
        g_ptr_array_unref(index->shapes);
        g_free(index->entries);
        g_free(index);
    }
}

/* The first entry with this hash, or where it would stand. */
static size_t run_start(const VnxPolicyIndex *index, uint64_t hash)
{
    size_t low = 0, high = index->n;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (index->entries[mid].hash < hash) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static inline bool ports_match(const uint16_t range[2][2], const uint16_t port[2])
{
    return port[0] >= range[0][0] && port[0] <= range[0][1] &&
           port[1] >= range[1][0] && port[1] <= range[1][1];
}

static bool tuple_matches(const VnxPattern *pat, const VnxTuple *flow)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(flow->word); i++) {
        if ((flow->word[i] & pat->mask.word[i]) != pat->value.word[i]) {
            return false;
        }
    }
    return true;
}

static bool in_scope(const VnxPolicy *p, uint64_t bytes, int64_t age_ns)
{
    return bytes < vnx_policy_bytes(p) && age_ns < vnx_policy_duration_ns(p);
}

VnxPolicy *vnx_policy_index_find(const VnxPolicyIndex *index, const VnxTuple *flow,
                                 uint64_t bytes, int64_t age_ns)
{
    uint32_t best = UINT32_MAX;

    for (unsigned s = 0; s < index->shapes->len; s++) {
        const Shape *shape = g_ptr_array_index(index->shapes, s);
        uint64_t hash;
        size_t i;

        if (shape->first > best) {
            break;
        }
        hash = tuple_hash(flow, &shape->mask, shape->number);
        i = run_start(index, hash);
        for (; i < index->n && index->entries[i].hash == hash; i++) {
            const Entry *e = &index->entries[i];

            if (e->order >= best) {
                break;
            }
            if (ports_match(e->port, flow->port) &&
                tuple_matches(&index->policies[e->order]->pattern, flow) &&
                in_scope(index->policies[e->order], bytes, age_ns)) {
                best = e->order;
                break;
            }
        }
    }
    return best == UINT32_MAX ? NULL : index->policies[best];
}

VnxPolicy *vnx_policy_scan(VnxPolicy *const *policies, size_t n, const VnxTuple *flow,
                           uint64_t bytes, int64_t age_ns)
{
    for (size_t i = 0; i < n; i++) {
        VnxPolicy *p = policies[i];

        if (tuple_matches(&p->pattern, flow) && ports_match(p->pattern.port, flow->port) &&
            in_scope(p, bytes, age_ns)) {
            return p;
        }
    }
    return NULL;
}
