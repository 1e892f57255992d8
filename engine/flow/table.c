/*
 * vnx: flow table - chained hash table with ageing lists (T10, rules 10 and 14)
 *
 * A node is on two lists: its bucket's chain, and the ageing list of its class,
 * whose order is that of the last touch.  Nodes belong to the user of the
 * table; the table owns only its buckets.
 *
 * Growth.  When there are as many nodes as buckets, an array of twice the size
 * is allocated, and every insertion from then on splits a few buckets: the chain
 * of old bucket i goes to new buckets i and i + n, which differ in one bit of
 * the hash.  Buckets below `split` live in the new array, the others in the
 * old one, so a lookup looks at exactly one chain at any time.  A split
 * writes both of its new buckets, hence the new array is never cleared as a
 * whole: growing costs the same small amount in each call, however big the
 * table is.  The table never shrinks: its size is bounded by max_flows.
 *
 * Invariants: a node is in the bucket that its hash selects; the chains hold
 * `count` nodes in all, and so do the ageing lists; the doubling that began at n
 * nodes is over before there are 2n.
 *
 * Not here: time-outs and eviction policy (the user looks at the oldest), and
 * locking.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include "table-private.h"

VnxFlowTable *vnx_flow_table_new(const uint8_t hash_key[16], uint32_t max_flows)
{
    VnxFlowTable *t = g_new0(VnxFlowTable, 1);

    g_assert(max_flows >= 1);
    memcpy(t->hash_key, hash_key, sizeof(t->hash_key));
    t->max_flows = max_flows;
    t->n_buckets = VNX_FLOW_BUCKETS_MIN;
    t->buckets = g_new0(VnxFlowNode *, t->n_buckets);
    return t;
}

void vnx_flow_table_free(VnxFlowTable *t)
{
    if (!t) {
        return;
    }
    g_assert(t->count == 0);
    g_free(t->grown);
    g_free(t->buckets);
    g_free(t);
}

void vnx_flow_table_set_max(VnxFlowTable *t, uint32_t max_flows)
{
    g_assert(max_flows >= 1);
    t->max_flows = max_flows;
}

uint32_t vnx_flow_table_count(const VnxFlowTable *t)
{
    return t->count;
}

uint32_t vnx_flow_table_class_count(const VnxFlowTable *t, unsigned age_class)
{
    g_assert(age_class < VNX_FLOW_CLASSES);
    return t->list[age_class].count;
}

bool vnx_flow_table_full(const VnxFlowTable *t)
{
    return t->count >= t->max_flows;
}

/* ---- Buckets ---- */

/* The head of the one chain on which a node of this hash can be. */
static VnxFlowNode **bucket_of(const VnxFlowTable *t, uint64_t hash)
{
    uint32_t i = hash & (t->n_buckets - 1);

    if (t->grown && i < t->split) {
        return &t->grown[hash & (2 * (uint64_t)t->n_buckets - 1)];
    }
    return &t->buckets[i];
}

static void split_one(VnxFlowTable *t)
{
    VnxFlowNode **low = &t->grown[t->split];
    VnxFlowNode **high = &t->grown[(size_t)t->split + t->n_buckets];
    VnxFlowNode *node = t->buckets[t->split];

    *low = NULL;
    *high = NULL;
    while (node) {
        VnxFlowNode *next = node->next;
        VnxFlowNode **to = node->hash & t->n_buckets ? high : low;

        node->next = *to;
        *to = node;
        node = next;
    }
    t->split++;
}

/* A fixed share of the work of growing. */
static void grow_a_little(VnxFlowTable *t)
{
    if (!t->grown) {
        if (t->count < t->n_buckets || t->n_buckets > UINT32_MAX / 2) {
            return;
        }
        t->grown = g_new(VnxFlowNode *, 2 * (size_t)t->n_buckets);
        t->split = 0;
    }
    for (unsigned i = 0; i < VNX_FLOW_SPLITS_PER_CALL && t->split < t->n_buckets; i++) {
        split_one(t);
    }
    if (t->split == t->n_buckets) {
        g_free(t->buckets);
        t->buckets = t->grown;
        t->grown = NULL;
        t->n_buckets *= 2;
    }
}

static VnxFlowNode *chain_find(VnxFlowNode *head, uint64_t hash, const VnxFlowKey *key)
{
    for (VnxFlowNode *node = head; node; node = node->next) {
        if (node->hash == hash && memcmp(&node->key, key, sizeof(*key)) == 0) {
            return node;
        }
    }
    return NULL;
}

static uint64_t hash_of(const VnxFlowTable *t, const VnxFlowKey *key)
{
    return vnx_siphash(t->hash_key, key, sizeof(*key));
}

uint32_t vnx_flow_table_longest_chain(const VnxFlowTable *t)
{
    uint32_t longest = 0;

    for (uint64_t i = 0; i < 2 * (uint64_t)t->n_buckets; i++) {
        /* As a hash, i visits every live chain: some of them twice. */
        uint32_t n = 0;

        for (VnxFlowNode *node = *bucket_of(t, i); node; node = node->next) {
            n++;
        }
        longest = MAX(longest, n);
    }
    return longest;
}

/* ---- Ageing lists ---- */

static void list_append(VnxFlowTable *t, VnxFlowNode *node, unsigned age_class,
                        int64_t now_ns)
{
    VnxFlowList *list = &t->list[age_class];

    node->age_class = age_class;
    node->touched_ns = now_ns;
    node->older = list->newest;
    node->newer = NULL;
    if (list->newest) {
        list->newest->newer = node;
    } else {
        list->oldest = node;
    }
    list->newest = node;
    list->count++;
}

static void list_unlink(VnxFlowTable *t, VnxFlowNode *node)
{
    VnxFlowList *list = &t->list[node->age_class];

    if (node->older) {
        node->older->newer = node->newer;
    } else {
        list->oldest = node->newer;
    }
    if (node->newer) {
        node->newer->older = node->older;
    } else {
        list->newest = node->older;
    }
    node->older = NULL;
    node->newer = NULL;
    list->count--;
}

/* ---- Public ---- */

VnxFlowNode *vnx_flow_table_lookup(VnxFlowTable *t, const VnxFlowKey *key)
{
    uint64_t hash = hash_of(t, key);

    return chain_find(*bucket_of(t, hash), hash, key);
}

bool vnx_flow_table_insert(VnxFlowTable *t, VnxFlowNode *node, unsigned age_class,
                           int64_t now_ns)
{
    uint64_t hash;
    VnxFlowNode **bucket;

    g_assert(age_class < VNX_FLOW_CLASSES);
    if (vnx_flow_table_full(t)) {
        return false;
    }
    hash = hash_of(t, &node->key);
    if (chain_find(*bucket_of(t, hash), hash, &node->key)) {
        return false;
    }
    grow_a_little(t);
    bucket = bucket_of(t, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    node->serial = ++t->last_serial;
    list_append(t, node, age_class, now_ns);
    t->count++;
    return true;
}

void vnx_flow_table_remove(VnxFlowTable *t, VnxFlowNode *node)
{
    VnxFlowNode **link = bucket_of(t, node->hash);

    while (*link != node) {
        g_assert(*link);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    list_unlink(t, node);
    t->count--;
}

void vnx_flow_table_touch(VnxFlowTable *t, VnxFlowNode *node, unsigned age_class,
                          int64_t now_ns)
{
    g_assert(age_class < VNX_FLOW_CLASSES);
    if (node->age_class == age_class && !node->newer) {
        node->touched_ns = now_ns;      /* the newest already */
        return;
    }
    list_unlink(t, node);
    list_append(t, node, age_class, now_ns);
}

VnxFlowNode *vnx_flow_table_oldest(const VnxFlowTable *t, unsigned age_class)
{
    g_assert(age_class < VNX_FLOW_CLASSES);
    return t->list[age_class].oldest;
}

VnxFlowNode *vnx_flow_table_newer(const VnxFlowTable *t, const VnxFlowNode *node)
{
    (void)t;
    return node->newer;
}

void vnx_flow_table_foreach(VnxFlowTable *t, bool (*fn)(VnxFlowNode *node, void *opaque),
                            void *opaque)
{
    for (unsigned c = 0; c < VNX_FLOW_CLASSES; c++) {
        VnxFlowNode *node = t->list[c].oldest;

        while (node) {
            VnxFlowNode *newer = node->newer;   /* @fn may free the node */

            if (!fn(node, opaque)) {
                return;
            }
            node = newer;
        }
    }
}
