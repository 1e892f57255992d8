/*
 * vnx: unit test of the flow table (T10; rules 10 and 14 of the design)
 *
 * The table is run against a naive oracle, an array kept in order of last touch, on
 * random sequences of operations; the rest are the properties that the oracle
 * cannot see: SipHash's published values, growth in fixed steps, and that chosen
 * keys do not build long chains.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include <vnx/flow.h>

#include "engine/flow/table-private.h"

static const uint8_t hash_key[16] = {
    0x3c, 0x91, 0x07, 0xee, 0x52, 0xa8, 0x6d, 0x14,
    0xf0, 0x2b, 0x99, 0xc3, 0x71, 0x5e, 0xd4, 0x88,
};

/* A key of its own for each @n. */
static VnxFlowKey key_of(uint32_t n)
{
    VnxFlowKey key = {
        .vni = 0,
        .vlan = { VNX_VLAN_NONE, VNX_VLAN_NONE },
        .ip_version = 4,
        .proto = 6,
        .port = { 1024 + n % 60000, 80 },
    };
    uint32_t addr = g_htonl(0x0a000000 + n / 60000);

    memcpy(key.addr[1], &addr, 4);
    return key;
}

/* ---- SipHash ---- */

static void test_siphash_vectors(void)
{
    /* Key 00..0f, input 00..len-1.  Length 15 is the example that appendix A of
     * the paper works out; the others are of the authors' published list. */
    static const struct { size_t len; uint64_t hash; } vectors[] = {
        { 0, 0x726fdb47dd0e0e31ull },
        { 1, 0x74f839c593dc67fdull },
        { 2, 0x0d6c8009d9a94f5aull },
        { 7, 0xab0200f58b01d137ull },
        { 8, 0x93f5f5799a932462ull },
        { 15, 0xa129ca6149be45e5ull },
        { 16, 0x3f2acc7f57c29bdbull },
        { 48, 0xe612a3cb9ecba951ull },
        { 63, 0x958a324ceb064572ull },
    };
    uint8_t key[16], in[64 + 1];

    for (unsigned i = 0; i < 16; i++) {
        key[i] = i;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(vectors); i++) {
        /* at an odd address too: the input need not be aligned */
        for (unsigned shift = 0; shift < 2; shift++) {
            for (unsigned j = 0; j < vectors[i].len; j++) {
                in[shift + j] = j;
            }
            g_assert_cmphex(vnx_siphash(key, in + shift, vectors[i].len), ==,
                            vectors[i].hash);
        }
    }
}

/* ---- Against the oracle ---- */

typedef struct Flow {
    uint64_t marker;            /* the node is not at the start of its structure */
    VnxFlowNode node;
} Flow;

static Flow *flow_of(VnxFlowNode *node)
{
    return (Flow *)((char *)node - offsetof(Flow, node));
}

/* All flows, oldest touch first, whatever their class. */
typedef struct Oracle {
    GPtrArray *flows;           /* Flow * */
    uint32_t max;
    uint64_t last_serial;
} Oracle;

static Flow *oracle_find(Oracle *o, const VnxFlowKey *key, guint *index)
{
    for (guint i = 0; i < o->flows->len; i++) {
        Flow *f = o->flows->pdata[i];

        if (memcmp(&f->node.key, key, sizeof(*key)) == 0) {
            if (index) {
                *index = i;
            }
            return f;
        }
    }
    return NULL;
}

/* The whole of the table's content and order against the oracle's. */
static void compare(VnxFlowTable *t, Oracle *o)
{
    uint32_t total = 0;

    g_assert_cmpuint(vnx_flow_table_count(t), ==, o->flows->len);
    g_assert_cmpint(vnx_flow_table_full(t), ==, o->flows->len >= o->max);
    for (unsigned c = 0; c < VNX_FLOW_CLASSES; c++) {
        VnxFlowNode *node = vnx_flow_table_oldest(t, c);
        VnxFlowNode *older = NULL;
        uint32_t n = 0;

        for (guint i = 0; i < o->flows->len; i++) {
            Flow *f = o->flows->pdata[i];

            if (f->node.age_class != c) {
                continue;
            }
            g_assert_true(node == &f->node);
            g_assert_true(node->older == older);
            g_assert_cmphex(flow_of(node)->marker, ==, 0xfeedface);
            older = node;
            node = vnx_flow_table_newer(t, node);
            n++;
        }
        g_assert_null(node);
        g_assert_cmpuint(vnx_flow_table_class_count(t, c), ==, n);
        total += n;
    }
    g_assert_cmpuint(total, ==, o->flows->len);
}

/* Invariants of the buckets that need a look inside. */
static void check_inside(const VnxFlowTable *t)
{
    if (t->grown) {
        g_assert_cmpuint(t->split, <, t->n_buckets);
    }
    /* A doubling is over before the next one is due: chains stay short. */
    g_assert_cmpuint(t->count, <=, 2 * (uint64_t)t->n_buckets);
}

static void oracle_round(guint32 seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    uint32_t max = g_rand_int_range(rand, 1, 700);
    uint32_t keys = g_rand_int_range(rand, 1, 1000);
    Oracle o = { .flows = g_ptr_array_new(), .max = max };
    VnxFlowTable *t = vnx_flow_table_new(hash_key, max);
    int64_t now = 0;

    for (unsigned step = 0; step < 4000; step++) {
        VnxFlowKey key = key_of(g_rand_int_range(rand, 0, keys));
        unsigned c = g_rand_int_range(rand, 0, VNX_FLOW_CLASSES);
        guint at = 0;
        Flow *known = oracle_find(&o, &key, &at);
        VnxFlowNode *got = vnx_flow_table_lookup(t, &key);
        unsigned dice = g_rand_int_range(rand, 0, 100);

        now += g_rand_int_range(rand, 0, 3);
        g_assert_true(got == (known ? &known->node : NULL));
        if (dice < 50) {
            Flow *f = g_new0(Flow, 1);
            bool room = o.flows->len < o.max;

            f->marker = 0xfeedface;
            f->node.key = key;
            if (vnx_flow_table_insert(t, &f->node, c, now)) {
                g_assert_true(room && !known);
                g_assert_cmpuint(f->node.age_class, ==, c);
                g_assert_cmpint(f->node.touched_ns, ==, now);
                g_assert_cmpuint(f->node.serial, >, o.last_serial);
                o.last_serial = f->node.serial;
                g_ptr_array_add(o.flows, f);
            } else {
                g_assert_true(!room || known);
                g_free(f);
            }
        } else if (dice < 75 && known) {
            vnx_flow_table_touch(t, &known->node, c, now);
            g_assert_cmpuint(known->node.age_class, ==, c);
            g_assert_cmpint(known->node.touched_ns, ==, now);
            g_ptr_array_remove_index(o.flows, at);
            g_ptr_array_add(o.flows, known);
        } else if (dice < 98 && known) {
            vnx_flow_table_remove(t, &known->node);
            g_ptr_array_remove_index(o.flows, at);
            memset(known, 0xdb, sizeof(*known));
            g_free(known);
        } else if (dice >= 98) {
            o.max = g_rand_int_range(rand, 1, 700);
            vnx_flow_table_set_max(t, o.max);
        }
        check_inside(t);
        if (step % 64 == 0) {
            compare(t, &o);
        }
    }
    compare(t, &o);
    while (o.flows->len) {
        Flow *f = g_ptr_array_steal_index(o.flows, o.flows->len - 1);

        vnx_flow_table_remove(t, &f->node);
        g_free(f);
    }
    compare(t, &o);
    vnx_flow_table_free(t);
    g_ptr_array_free(o.flows, true);
    g_rand_free(rand);
}

static void test_oracle(void)
{
    for (guint32 seed = 1; seed <= 40; seed++) {
        oracle_round(seed);
    }
}

/* ---- Growth and chains ---- */

static void remove_all(VnxFlowTable *t, VnxFlowNode *nodes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        vnx_flow_table_remove(t, &nodes[i]);
    }
}

/* Rule 14: no insertion splits more than a fixed number of buckets, and every flow
 * is found at every moment of growing. */
static void test_growth_is_incremental(void)
{
    enum { N = 20000 };
    VnxFlowTable *t = vnx_flow_table_new(hash_key, N);
    VnxFlowNode *nodes = g_new0(VnxFlowNode, N);
    GRand *rand = g_rand_new_with_seed(7);
    unsigned doublings = 0;

    for (uint32_t i = 0; i < N; i++) {
        uint32_t before_n = t->n_buckets, before_split = t->grown ? t->split : 0;
        uint64_t before = before_split, after;

        nodes[i].key = key_of(i);
        g_assert_true(vnx_flow_table_insert(t, &nodes[i], 0, i));
        after = t->n_buckets != before_n ? before_n : t->grown ? t->split : 0;
        g_assert_cmpuint(after - before, <=, VNX_FLOW_SPLITS_PER_CALL);
        doublings += t->n_buckets != before_n;
        check_inside(t);
        for (unsigned k = 0; k < 4; k++) {
            uint32_t j = g_rand_int_range(rand, 0, i + 1);

            g_assert_true(vnx_flow_table_lookup(t, &nodes[j].key) == &nodes[j]);
        }
    }
    /* From 64 buckets on: 64 * 2^8 is the first size at or above half of N. */
    g_assert_cmpuint(doublings, >=, 8);
    for (uint32_t i = 0; i < N; i++) {
        g_assert_true(vnx_flow_table_lookup(t, &nodes[i].key) == &nodes[i]);
    }
    remove_all(t, nodes, N);
    vnx_flow_table_free(t);
    g_free(nodes);
    g_rand_free(rand);
}

/* Insert @n keys made by @make and return the longest chain. */
static uint32_t chain_with(const uint8_t key[16], VnxFlowKey (*make)(uint32_t), uint32_t n)
{
    VnxFlowTable *t = vnx_flow_table_new(key, n);
    VnxFlowNode *nodes = g_new0(VnxFlowNode, n);
    uint32_t longest;

    for (uint32_t i = 0; i < n; i++) {
        nodes[i].key = make(i);
        g_assert_true(vnx_flow_table_insert(t, &nodes[i], 0, 0));
    }
    longest = vnx_flow_table_longest_chain(t);
    remove_all(t, nodes, n);
    vnx_flow_table_free(t);
    g_free(nodes);
    return longest;
}

static VnxFlowKey key_low_bits_equal(uint32_t n)
{
    VnxFlowKey key = key_of(0);
    uint32_t addr = n << 12;        /* the low bits, which a masking hash would take, are 0 */

    memcpy(key.addr[1], &addr, 4);
    return key;
}

static VnxFlowKey key_xor_cancels(uint32_t n)
{
    VnxFlowKey key = key_of(0);

    /* Address and port cancel out in a hash that XORs the words. */
    memcpy(key.addr[0], &n, 4);
    memcpy(key.addr[1], &n, 4);
    return key;
}

static VnxFlowKey key_ports_swap(uint32_t n)
{
    VnxFlowKey key = key_of(0);

    key.port[0] = n;
    key.port[1] = 0xffff - n;       /* the sum of the ports is constant */
    return key;
}

/* Guest-chosen patterns.  32768 keys in at least as many buckets: chance gives a
 * longest chain of about 7, and 16 less than once in 10^9 tables. */
static void test_patterns_do_not_degrade(void)
{
    g_assert_cmpuint(chain_with(hash_key, key_of, 32768), <=, 16);
    g_assert_cmpuint(chain_with(hash_key, key_low_bits_equal, 32768), <=, 16);
    g_assert_cmpuint(chain_with(hash_key, key_xor_cancels, 32768), <=, 16);
    g_assert_cmpuint(chain_with(hash_key, key_ports_swap, 32768), <=, 16);
}

#define COLLIDING 300u
static VnxFlowKey colliding[COLLIDING];

static VnxFlowKey key_colliding(uint32_t n)
{
    return colliding[n];
}

/* Keys that all collide under one hash key do not under another: knowing
 * the function is of no use without the key. */
static void test_collisions_need_the_key(void)
{
    uint8_t other[16];
    uint32_t found = 0;

    memcpy(other, hash_key, sizeof(other));
    other[0] ^= 1;
    for (uint32_t n = 0; found < COLLIDING; n++) {
        VnxFlowKey key = key_of(n);

        if ((vnx_siphash(hash_key, &key, sizeof(key)) & 0x3ff) == 0) {
            colliding[found++] = key;
        }
    }
    g_assert_cmpuint(chain_with(hash_key, key_colliding, COLLIDING), ==, COLLIDING);
    g_assert_cmpuint(chain_with(other, key_colliding, COLLIDING), <=, 12);
}

/* ---- Limits, ageing, iteration ---- */

static void test_limits(void)
{
    VnxFlowTable *t = vnx_flow_table_new(hash_key, 2);
    VnxFlowNode a = { .key = key_of(1) }, b = { .key = key_of(2) };
    VnxFlowNode c = { .key = key_of(3) }, again = { .key = key_of(1) };

    g_assert_null(vnx_flow_table_oldest(t, 0));
    g_assert_false(vnx_flow_table_full(t));
    g_assert_true(vnx_flow_table_insert(t, &a, 0, 10));
    g_assert_false(vnx_flow_table_insert(t, &again, 1, 11));
    g_assert_cmpuint(vnx_flow_table_count(t), ==, 1);
    g_assert_true(vnx_flow_table_insert(t, &b, 0, 12));
    g_assert_true(vnx_flow_table_full(t));
    g_assert_false(vnx_flow_table_insert(t, &c, 0, 13));
    g_assert_null(vnx_flow_table_lookup(t, &c.key));

    /* A lower limit evicts nothing, but nobody gets in. */
    vnx_flow_table_set_max(t, 1);
    g_assert_cmpuint(vnx_flow_table_count(t), ==, 2);
    vnx_flow_table_remove(t, &a);
    g_assert_true(vnx_flow_table_full(t));
    g_assert_false(vnx_flow_table_insert(t, &c, 0, 14));
    vnx_flow_table_set_max(t, 2);
    g_assert_true(vnx_flow_table_insert(t, &c, 0, 15));

    vnx_flow_table_remove(t, &b);
    vnx_flow_table_remove(t, &c);
    g_assert_cmpuint(vnx_flow_table_count(t), ==, 0);
    vnx_flow_table_free(t);
    vnx_flow_table_free(NULL);
}

/* T10: each member of the key tells flows apart. */
static void test_key_members(void)
{
    VnxFlowTable *t = vnx_flow_table_new(hash_key, 100);
    VnxFlowNode nodes[11] = { 0 };
    unsigned n = G_N_ELEMENTS(nodes);

    for (unsigned i = 0; i < n; i++) {
        nodes[i].key = key_of(5);
    }
    nodes[1].key.addr[0][0] ^= 1;
    nodes[2].key.addr[0][15] ^= 0x80;
    nodes[3].key.addr[1][3] ^= 1;
    nodes[4].key.vni = 1;
    nodes[5].key.port[0] ^= 1;
    nodes[6].key.port[1] ^= 0x8000;
    nodes[7].key.vlan[0] = 1;
    nodes[8].key.vlan[1] = 1;
    nodes[9].key.ip_version = 6;
    nodes[10].key.proto = 17;
    for (unsigned i = 0; i < n; i++) {
        g_assert_true(vnx_flow_table_insert(t, &nodes[i], 0, 0));
    }
    for (unsigned i = 0; i < n; i++) {
        g_assert_true(vnx_flow_table_lookup(t, &nodes[i].key) == &nodes[i]);
    }
    remove_all(t, nodes, n);
    vnx_flow_table_free(t);
}

static void test_ageing(void)
{
    VnxFlowTable *t = vnx_flow_table_new(hash_key, 100);
    VnxFlowNode a = { .key = key_of(1) }, b = { .key = key_of(2) };
    VnxFlowNode c = { .key = key_of(3) };

    vnx_flow_table_insert(t, &a, 1, 10);
    vnx_flow_table_insert(t, &b, 1, 20);
    vnx_flow_table_insert(t, &c, 1, 30);
    g_assert_true(vnx_flow_table_oldest(t, 1) == &a);
    g_assert_true(vnx_flow_table_newer(t, &a) == &b);

    vnx_flow_table_touch(t, &a, 1, 40);         /* b c a */
    g_assert_true(vnx_flow_table_oldest(t, 1) == &b);
    g_assert_true(vnx_flow_table_newer(t, &c) == &a);
    g_assert_null(vnx_flow_table_newer(t, &a));

    vnx_flow_table_touch(t, &a, 1, 50);         /* of the newest: time only */
    g_assert_cmpint(a.touched_ns, ==, 50);
    g_assert_true(vnx_flow_table_oldest(t, 1) == &b);

    vnx_flow_table_touch(t, &c, 2, 60);         /* from the middle to another class */
    g_assert_true(vnx_flow_table_newer(t, &b) == &a);
    g_assert_true(vnx_flow_table_oldest(t, 2) == &c);
    g_assert_cmpuint(vnx_flow_table_class_count(t, 1), ==, 2);
    g_assert_cmpuint(vnx_flow_table_class_count(t, 2), ==, 1);

    vnx_flow_table_remove(t, &b);
    g_assert_true(vnx_flow_table_oldest(t, 1) == &a);
    vnx_flow_table_remove(t, &a);
    g_assert_null(vnx_flow_table_oldest(t, 1));
    vnx_flow_table_remove(t, &c);
    vnx_flow_table_free(t);
}

typedef struct Visit {
    VnxFlowTable *t;
    GArray *serials;
    unsigned stop_after;        /* 0: never */
    bool remove_even;
} Visit;

static bool visit(VnxFlowNode *node, void *opaque)
{
    Visit *v = opaque;
    uint64_t serial = node->serial;

    g_array_append_val(v->serials, serial);
    if (v->remove_even && serial % 2 == 0) {
        Flow *f = flow_of(node);

        vnx_flow_table_remove(v->t, node);
        memset(f, 0xdb, sizeof(*f));
        g_free(f);
    }
    return v->serials->len != v->stop_after;
}

/* The visitor frees what it is given; order is by class, then by age. */
static void test_foreach_removal(void)
{
    enum { N = 40 };
    VnxFlowTable *t = vnx_flow_table_new(hash_key, N);
    Visit v = { .t = t, .serials = g_array_new(false, false, sizeof(uint64_t)) };
    uint64_t *s;

    for (unsigned i = 0; i < N; i++) {
        Flow *f = g_new0(Flow, 1);

        f->node.key = key_of(i);
        g_assert_true(vnx_flow_table_insert(t, &f->node, i % 2 ? 0 : 3, i));
        g_assert_cmpuint(f->node.serial, ==, i + 1);
    }

    v.stop_after = 3;
    vnx_flow_table_foreach(t, visit, &v);
    g_assert_cmpuint(v.serials->len, ==, 3);

    g_array_set_size(v.serials, 0);
    v.stop_after = 0;
    v.remove_even = true;
    vnx_flow_table_foreach(t, visit, &v);
    g_assert_cmpuint(v.serials->len, ==, N);
    s = (uint64_t *)v.serials->data;
    for (unsigned i = 0; i < N / 2; i++) {
        g_assert_cmpuint(s[i], ==, 2 * i + 2);          /* class 0: odd i, even serials */
        g_assert_cmpuint(s[N / 2 + i], ==, 2 * i + 1);  /* class 3 */
    }
    g_assert_cmpuint(vnx_flow_table_count(t), ==, N / 2);
    g_assert_cmpuint(vnx_flow_table_class_count(t, 0), ==, 0);

    for (VnxFlowNode *node; (node = vnx_flow_table_oldest(t, 3)); ) {
        g_assert_cmpuint(node->serial % 2, ==, 1);
        vnx_flow_table_remove(t, node);
        g_free(flow_of(node));
    }
    vnx_flow_table_free(t);
    g_array_free(v.serials, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/flow/siphash/vectors", test_siphash_vectors);
    g_test_add_func("/flow/oracle", test_oracle);
    g_test_add_func("/flow/growth-is-incremental", test_growth_is_incremental);
    g_test_add_func("/flow/patterns-do-not-degrade", test_patterns_do_not_degrade);
    g_test_add_func("/flow/collisions-need-the-key", test_collisions_need_the_key);
    g_test_add_func("/flow/limits", test_limits);
    g_test_add_func("/flow/key-members", test_key_members);
    g_test_add_func("/flow/ageing", test_ageing);
    g_test_add_func("/flow/foreach-removal", test_foreach_removal);
    return g_test_run();
}
