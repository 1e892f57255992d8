/*
 * vnx: flow table, for the module itself and for its unit test
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_FLOW_TABLE_PRIVATE_H
#define VNX_FLOW_TABLE_PRIVATE_H

#include <vnx/flow.h>

/* Buckets of a new table; a power of two. */
#define VNX_FLOW_BUCKETS_MIN 64u
/* Buckets split per insertion while growing.  A doubling of n buckets begins at n
 * flows and must be over before 2n: one a call would do, two leave slack. */
#define VNX_FLOW_SPLITS_PER_CALL 2u

typedef struct VnxFlowList {
    VnxFlowNode *oldest;
    VnxFlowNode *newest;
    uint32_t count;
} VnxFlowList;

struct VnxFlowTable {
    uint8_t hash_key[16];
    uint32_t max_flows;
    uint32_t count;
    uint64_t last_serial;

    /* Buckets [0, n_buckets); only those from @split on while growing. */
    VnxFlowNode **buckets;
    uint32_t n_buckets;
    /* While growing: twice n_buckets entries, of which only [0, split) and
     * [n_buckets, n_buckets + split) are initialised.  NULL otherwise. */
    VnxFlowNode **grown;
    uint32_t split;

    VnxFlowList list[VNX_FLOW_CLASSES];
};

/* Nodes in the longest chain.  Walks the whole table: for tests. */
uint32_t vnx_flow_table_longest_chain(const VnxFlowTable *t);

#endif /* VNX_FLOW_TABLE_PRIVATE_H */
