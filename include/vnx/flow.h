/*
 * vnx: flow table - keyed hash table with ageing lists and a hard limit
 *
 * The table links nodes that the user embeds in a structure of its own; it
 * never allocates per flow nor frees a node.  Hashing is SipHash-2-4 under a
 * 128-bit key from the host, so that a guest that chooses addresses and ports
 * cannot build long chains.  The bucket array grows by doubling, a few
 * buckets a call, so that no single insertion stalls (rule 14).
 *
 * Each node is on one ageing list, chosen by its user (class), ordered by last
 * touch: the head is the oldest.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_FLOW_H
#define VNX_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vnx/flow-key.h>

#define VNX_FLOW_CLASSES 4

typedef struct VnxFlowTable VnxFlowTable;

/* Embedded in the user's flow; all but @key is the table's. */
typedef struct VnxFlowNode {
    VnxFlowKey key;
    uint64_t hash;
    struct VnxFlowNode *next;           /* chain */
    struct VnxFlowNode *older;          /* ageing list */
    struct VnxFlowNode *newer;
    int64_t touched_ns;
    uint64_t serial;                    /* ever growing; orders iteration and paging */
    uint8_t age_class;
} VnxFlowNode;

/* @hash_key: 16 random bytes.  @max_flows: hard limit, at least 1. */
VnxFlowTable *vnx_flow_table_new(const uint8_t hash_key[16], uint32_t max_flows);
/* The table must be empty: flows belong to the user. */
void vnx_flow_table_free(VnxFlowTable *t);

/* A lower limit than the present count evicts nothing; it refuses insertions. */
void vnx_flow_table_set_max(VnxFlowTable *t, uint32_t max_flows);
uint32_t vnx_flow_table_count(const VnxFlowTable *t);
/* Number of nodes on one ageing list. */
uint32_t vnx_flow_table_class_count(const VnxFlowTable *t, unsigned age_class);
bool vnx_flow_table_full(const VnxFlowTable *t);

/* NULL if there is none. */
VnxFlowNode *vnx_flow_table_lookup(VnxFlowTable *t, const VnxFlowKey *key);

/*
 * Insert @node (its key filled in) into @age_class as the newest.
 * Returns false and changes nothing if the table is full or the key is there.
 */
bool vnx_flow_table_insert(VnxFlowTable *t, VnxFlowNode *node, unsigned age_class,
                           int64_t now_ns);
void vnx_flow_table_remove(VnxFlowTable *t, VnxFlowNode *node);

/* Move to the newest end of @age_class's list.  O(1). */
void vnx_flow_table_touch(VnxFlowTable *t, VnxFlowNode *node, unsigned age_class,
                          int64_t now_ns);
/* The node touched longest ago in @age_class, or NULL. */
VnxFlowNode *vnx_flow_table_oldest(const VnxFlowTable *t, unsigned age_class);
/* The next newer node of the same list, or NULL. */
VnxFlowNode *vnx_flow_table_newer(const VnxFlowTable *t, const VnxFlowNode *node);

/*
 * Call @fn for every node (order: by class, oldest first) until it returns false.
 * @fn may remove and free the node it is given, no other.
 */
void vnx_flow_table_foreach(VnxFlowTable *t, bool (*fn)(VnxFlowNode *node, void *opaque),
                            void *opaque);

/* SipHash-2-4 of @len bytes (Aumasson and Bernstein, 2012). */
uint64_t vnx_siphash(const uint8_t key[16], const void *data, size_t len);

#endif /* VNX_FLOW_H */
