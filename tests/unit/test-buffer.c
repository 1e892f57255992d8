/*
 * vnx: unit test of the segment buffer (T8, T9; rule 10 of the design)
 *
 * The buffer is run against a naive oracle, one flat byte array, on random sequences
 * of appends, lookups and consumptions, with the memory bounds of its essay
 * checked after each step.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <string.h>

#include "engine/tcp/buffer.h"

/* A packet whose payload is @len bytes at @data, as far as copying goes. */
static void payload_packet(VnxPacket *p, struct iovec *iov, const uint8_t *data, uint32_t len)
{
    iov->iov_base = (void *)data;
    iov->iov_len = len;
    p->iov = iov;
    p->iovcnt = 1;
    p->size = len;
    p->payload_off = 0;
    p->payload_len = len;
}

static bool append(VnxSegBuf *b, VnxPool *pool, uint32_t cap, bool unreserved,
                   const uint8_t *data, uint32_t len)
{
    g_autofree VnxPacket *p = g_new0(VnxPacket, 1);
    struct iovec iov;

    payload_packet(p, &iov, data, len);
    return vnx_segbuf_write(b, pool, cap, unreserved, p, 0, len, 0);
}

/* Every byte of @b from @off on is what @want has, through however many entries. */
static void check_bytes(VnxSegBuf *b, uint32_t off, uint32_t len, unsigned max,
                        const uint8_t *want)
{
    struct iovec iov[8];
    uint32_t got, done = 0;

    while (done < len) {
        unsigned n = vnx_segbuf_iov(b, off + done, len - done, iov, max, &got);
        uint32_t sum = 0;

        g_assert_cmpuint(n, >=, 1);
        g_assert_cmpuint(n, <=, max);
        for (unsigned i = 0; i < n; i++) {
            g_assert_cmpmem(iov[i].iov_base, iov[i].iov_len, want + off + done + sum,
                            iov[i].iov_len);
            sum += iov[i].iov_len;
        }
        g_assert_cmpuint(sum, ==, got);
        done += got;
    }
}

static void test_oracle(gconstpointer opaque)
{
    uint32_t cap = GPOINTER_TO_UINT(opaque);
    g_autoptr(GRand) rand = g_rand_new_with_seed(cap);
    g_autoptr(GByteArray) oracle = g_byte_array_new();
    g_autofree uint8_t *data = g_malloc(128 * 1024);
    VnxSegBuf b = { 0 };
    VnxPool pool;
    uint8_t value = 0;
    unsigned refused = 0;

    vnx_pool_init(&pool, 1ull << 30);
    for (int step = 0; step < 6000; step++) {
        /* by turns filling up and running empty */
        if (g_rand_int_range(rand, 0, 100) < (step / 300 % 2 ? 25 : 92)) {
            uint32_t len = g_rand_boolean(rand) ? g_rand_int_range(rand, 1, 1500) :
                           g_rand_int_range(rand, 1, 128 * 1024);
            uint32_t room = vnx_segbuf_room(&b, cap);
            uint32_t real = b.real;

            for (uint32_t i = 0; i < len; i++) {
                data[i] = value++;
            }
            if (append(&b, &pool, cap, false, data, len)) {
                g_byte_array_append(oracle, data, len);
            } else {
                refused++;
                value -= len;
                g_assert_cmpuint(len, >, room);     /* what room promised fits */
                g_assert_cmpuint(b.real, ==, real);
            }
        } else if (oracle->len) {
            uint32_t n = g_rand_int_range(rand, 0, MIN(oracle->len, 200000) + 1);

            vnx_segbuf_consume(&b, &pool, n);
            g_byte_array_remove_range(oracle, 0, n);
        }
        g_assert_cmpuint(b.len, ==, oracle->len);
        g_assert_cmpuint(b.real, <=, cap);
        g_assert_cmpuint(b.real, ==, pool.used);
        /* at most twice the payload, and a chunk at either end */
        g_assert_cmpuint(b.real, <=, 2 * (uint64_t)b.len + 2 * vnx_segbuf_max_chunk(cap));
        if (!b.len) {
            g_assert_cmpuint(b.real, ==, 0);
        } else {
            uint32_t off = g_rand_int_range(rand, 0, b.len);
            uint32_t len = g_rand_int_range(rand, 0, b.len - off + 1);

            check_bytes(&b, off, len, g_rand_int_range(rand, 1, 9), oracle->data);
        }
    }
    g_assert_cmpuint(refused, >, 0);
    vnx_segbuf_clear(&b, &pool);
    g_assert_cmpuint(pool.used, ==, 0);
    vnx_pool_destroy(&pool);
}

/*
 * Bytes written ahead of the end, holes and all, against a flat array: they are where they
 * belong when the holes are closed; what has memory never finds the pool full.
 */
static void test_ahead(void)
{
    enum { SPAN = 200000, CAP = 1 << 20 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    g_autofree uint8_t *bytes = g_malloc(2 * SPAN);
    VnxSegBuf b = { 0 };
    VnxPool pool;

    for (int i = 0; i < 2 * SPAN; i++) {
        bytes[i] = i * 7 + i / 251;
    }
    vnx_pool_init(&pool, 2 << 20);
    for (int round = 0; round < 300; round++) {
        uint32_t start = g_rand_int_range(rand, 0, SPAN), len = 1 + start % 3000, end = 0;
        g_autofree VnxPacket *p = g_new0(VnxPacket, 1);
        struct iovec iov;
        VnxSegBuf was;

        payload_packet(p, &iov, bytes + start, len);
        g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, len, 0));
        /* pieces in any order, apart; then the holes, with the pool full */
        for (int n = 0; n < 8; n++) {
            uint32_t ahead = 1 + g_rand_int_range(rand, 0, SPAN / 2);
            uint32_t size = g_rand_int_range(rand, 1, 5000);

            payload_packet(p, &iov, bytes + start + len + ahead, size);
            g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, size, ahead));
            end = MAX(end, ahead + size);
            g_assert_cmpuint(b.len, ==, len);
            g_assert_cmpuint(b.ahead, ==, end);
            g_assert_cmpuint(vnx_segbuf_allocated(&b), >=, end);
            check_bytes(&b, len + ahead, size, 3, bytes + start);
        }
        pool.reserved = pool.cap;
        was = b;
        if (round % 3 == 0) {
            vnx_segbuf_drop_ahead(&b, &pool);
            g_assert_cmpuint(b.ahead, ==, 0);
            g_assert_cmpuint(b.real, <=, 2 * b.len + vnx_segbuf_max_chunk(CAP));
            pool.reserved = 0;
            payload_packet(p, &iov, bytes + start + len, end);
            g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, end, 0));
        } else if (round % 3 == 1) {    /* all of the gap in pieces, over what is there */
            for (uint32_t done = 0; done < end; ) {
                uint32_t size = MIN(1460, end - done);

                payload_packet(p, &iov, bytes + start + len + done, size);
                g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, size, 0));
                done += size;
            }
            g_assert_cmpuint(b.real, ==, was.real);
        } else {                        /* one long piece ahead, then the rest of the hole */
            payload_packet(p, &iov, bytes + start + len + 1, end - 1);
            g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, end - 1, 1));
            vnx_segbuf_consume(&b, &pool, len);     /* nothing in order is left */
            start += len;
            len = 0;
            payload_packet(p, &iov, bytes + start, 1);
            g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, 1, 0));
            vnx_segbuf_extend(&b, end - 1);
        }
        pool.reserved = 0;
        g_assert_cmpuint(b.len, ==, len + end);
        g_assert_cmpuint(b.ahead, ==, 0);
        check_bytes(&b, 0, b.len, 4, bytes + start);
        g_assert_cmpuint(b.real, ==, pool.used);
        /* and it goes on as before */
        payload_packet(p, &iov, bytes + start + b.len, 1000);
        g_assert_true(vnx_segbuf_write(&b, &pool, CAP, true, p, 0, 1000, 0));
        check_bytes(&b, 0, b.len, 4, bytes + start);
        vnx_segbuf_consume(&b, &pool, b.len / 2);
        check_bytes(&b, 0, b.len, 4, bytes + start + (len + end + 1000) / 2);
        vnx_segbuf_clear(&b, &pool);
        g_assert_cmpuint(pool.used, ==, 0);
    }
    vnx_pool_destroy(&pool);
}

/* Written ahead as well: refused at the cap with nothing changed, and whole. */
static void test_ahead_cap(void)
{
    g_autofree uint8_t *data = g_malloc0(70000);
    g_autofree VnxPacket *p = g_new0(VnxPacket, 1);
    struct iovec iov;
    VnxSegBuf b = { 0 };
    VnxPool pool;

    vnx_pool_init(&pool, 128 * 1024);
    payload_packet(p, &iov, data, 1000);
    g_assert_false(vnx_segbuf_write(&b, &pool, 1 << 20, true, p, 0, 1000, 200000));
    g_assert_false(vnx_segbuf_write(&b, &pool, 65536, true, p, 0, 1000, 65000));
    g_assert_cmpuint(b.real, ==, 0);
    g_assert_cmpuint(b.ahead, ==, 0);
    g_assert_true(vnx_segbuf_write(&b, &pool, 65536, true, p, 0, 1000, 40000));
    g_assert_cmpuint(b.real, <=, 41000 + vnx_segbuf_max_chunk(65536));
    vnx_segbuf_drop_ahead(&b, &pool);
    g_assert_cmpuint(pool.used, ==, 0);
    vnx_pool_destroy(&pool);
}

/* Small segments merge: a thousand bytes, one by one, take one small chunk. */
static void test_merge(void)
{
    VnxSegBuf b = { 0 };
    VnxPool pool;
    uint8_t bytes[1000];

    vnx_pool_init(&pool, 1 << 20);
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = i * 7;
        g_assert_true(append(&b, &pool, 1 << 20, false, &bytes[i], 1));
    }
    g_assert_cmpuint(b.real, ==, VNX_CHUNK_REAL(0));
    check_bytes(&b, 0, sizeof(bytes), 1, bytes);
    vnx_segbuf_clear(&b, &pool);
    vnx_pool_destroy(&pool);
}

/* The total cap holds, and what is reserved for others is not taken (T8). */
static void test_total_cap(void)
{
    g_autofree uint8_t *data = g_malloc0(65536);
    VnxSegBuf a = { 0 }, b = { 0 };
    VnxPool pool;

    vnx_pool_init(&pool, 256 * 1024);
    g_assert_true(append(&a, &pool, 1 << 20, true, data, 65536));
    g_assert_true(append(&a, &pool, 1 << 20, true, data, 32768));
    pool.reserved = pool.cap - pool.used - VNX_CHUNK_REAL(0);
    g_assert_true(append(&b, &pool, 1 << 20, true, data, 100));
    g_assert_false(append(&b, &pool, 1 << 20, true, data, 65536));
    g_assert_cmpuint(b.len, ==, 100);
    g_assert_true(append(&b, &pool, 1 << 20, false, data, 60000));  /* its reservation */
    pool.reserved = 0;
    while (append(&b, &pool, 1 << 20, true, data, 5000)) {
        g_assert_cmpuint(pool.used, <=, pool.cap);
    }
    g_assert_cmpuint(pool.used, >, pool.cap / 2);
    vnx_segbuf_clear(&a, &pool);
    g_assert_true(append(&b, &pool, 1 << 20, true, data, 5000));
    vnx_segbuf_clear(&b, &pool);
    vnx_pool_destroy(&pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/buffer/T8/oracle/64K", GUINT_TO_POINTER(64 * 1024), test_oracle);
    g_test_add_data_func("/buffer/T8/oracle/300K", GUINT_TO_POINTER(300 * 1000),
                         test_oracle);
    g_test_add_data_func("/buffer/T8/oracle/4M", GUINT_TO_POINTER(4 << 20), test_oracle);
    g_test_add_func("/buffer/T6/ahead", test_ahead);
    g_test_add_func("/buffer/T8/ahead-cap", test_ahead_cap);
    g_test_add_func("/buffer/T8/merge", test_merge);
    g_test_add_func("/buffer/T8/total-cap", test_total_cap);
    return g_test_run();
}
