/*
 * vnx fuzz target: saved state, loaded and lived with (U3, U5, T9)
 *
 * Input: three control bytes and the state without its first 8 bytes, magic number and version,
 * which are added here, so that inputs survive a new version.  Control: the limits of the
 * instance that loads (bits 0-1 buffers, bit 2 flows), how it is treated (bit 3 off, bit 4 reset,
 * bit 5 busy now and then), virtio-net header and offloads (next byte), seconds that pass
 * between frames (last byte).
 *
 * A state is refused, with an error and no flow, or it is one to live with: frames of its
 * connections, in and out of sequence, time, other limits and another migration must find
 * nothing to stumble over, and what the instance makes of its state it also loads.
 *
 * Seeds are written by "vnx-script --write-states DIR SCRIPT...".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vnx/vtcp.h>

#include "fuzz.h"

#define CONTROL_BYTES 3
#define HEAD_BYTES 8
#define FLOWS_MAX 6             /* to send frames for */
#define FRAME_MAX 4096
#define SECOND_NS 1000000000ll

typedef struct Host {
    bool busy, moody;
    unsigned emitted;
} Host;

static bool on_emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                    unsigned iovcnt, size_t size)
{
    Host *h = opaque;
    size_t sum = 0;

    for (unsigned i = 0; i < iovcnt; i++) {
        sum += iov[i].iov_len;
    }
    g_assert_cmpuint(sum, ==, size);
    h->emitted++;
    return !(h->moody && h->emitted % 5 == 0);
}

static void on_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
}

static VnxVtcp *make(const VnxVtcpConfig *cfg, const uint8_t *control, Host *host)
{
    static const VnxVtcpOps ops = { .emit = on_emit, .forward = on_forward };
    static const uint8_t vnet_lens[] = { 0, 10, 12, 20 };
    static const uint8_t seed[16] = "fuzz-state";
    VnxVtcp *v = vnx_vtcp_new(cfg, &ops, host, seed);
    bool vnet = control[1] & 3;

    for (VnxDir d = 0; d < 2; d++) {
        bool csum = vnet && control[1] & 4 << 3 * d;
        VnxOffload o = { vnet_lens[control[1] & 3], csum, csum && control[1] & 8 << 3 * d,
                         csum && control[1] & 16 << 3 * d };

        vnx_vtcp_set_offload(v, d, &o);
    }
    vnx_vtcp_set_queues(v, 2);
    return v;
}

/* L2 and L3 of a frame of @key in direction @dir. */
static void headers(const VnxFlowKey *key, VnxDir dir, VnxHeaders *h)
{
    uint8_t *p = h->bytes + 12;
    unsigned bytes = key->ip_version == 4 ? 4 : 16;

    memset(h, 0, sizeof(*h));
    for (unsigned i = 0; i < 2; i++) {
        if (key->vlan[i] != VNX_VLAN_NONE) {
            *p++ = 0x81;
            *p++ = 0;
            *p++ = key->vlan[i] >> 8;
            *p++ = key->vlan[i];
        }
    }
    *p++ = bytes == 4 ? 0x08 : 0x86;
    *p++ = bytes == 4 ? 0x00 : 0xdd;
    h->l3_off = p - h->bytes;
    h->len = h->l3_off + (bytes == 4 ? 20 : 40);
    h->ip_version = key->ip_version;
    h->sport = key->port[!dir];
    h->dport = key->port[dir];
    p[0] = bytes == 4 ? 0x45 : 0x60;
    p[bytes == 4 ? 8 : 7] = 64;
    p[bytes == 4 ? 9 : 6] = key->proto;
    memcpy(p + (bytes == 4 ? 12 : 8), key->addr[!dir], bytes);
    memcpy(p + (bytes == 4 ? 16 : 24), key->addr[dir], bytes);
}

typedef struct Flows {
    VnxVtcpFlowInfo info[FLOWS_MAX];
    unsigned n;
} Flows;

static bool note(const VnxVtcpFlowInfo *info, void *opaque)
{
    Flows *flows = opaque;

    flows->info[flows->n++] = *info;
    return flows->n < FLOWS_MAX;
}

/* A segment that says it is @off beyond what S's data has come to. */
static void push(VnxVtcp *v, const VnxVtcpFlowInfo *f, VnxDir dir, int32_t off, uint32_t len,
                 uint16_t flags, int64_t now)
{
    static uint8_t zeros[FRAME_MAX];
    const VnxVtcpHalfInfo *data = &f->half[dir], *acks = &f->half[!dir];
    struct iovec payload = { zeros, len }, frame[2];
    VnxBuild b = { .seq = data->early + off, .ack = acks->nxt, .flags = flags | VNX_TCP_ACK,
                   .window = 0x4000, .timestamp = off & 1, .tsval = UINT32_MAX / 2,
                   .payload = &payload, .payload_cnt = 1, .payload_len = len };
    uint8_t head[VNX_BUILD_MAX];
    VnxHeaders h;

    headers(&f->key, dir, &h);
    frame[0] = (struct iovec) { head, vnx_headers_build(&h, &b, head) };
    frame[1] = payload;
    vnx_vtcp_push(v, dir, off & 1, frame, 2, 0, now);
}

static void live(VnxVtcp *v, const VnxVtcpConfig *cfg, const uint8_t *control, Host *host)
{
    static const struct {
        int32_t off;
        uint32_t len;
        uint16_t flags;
    } segments[] = {
        { 0, 0, 0 }, { 0, 100, VNX_TCP_PSH }, { 1460, 1460, 0 }, { -1, 1, 0 },
        { 100, 1360, 0 }, { 0, 10, VNX_TCP_FIN }, { 0, 0, VNX_TCP_SYN }, { 5, 0, VNX_TCP_RST },
        { 0, 0, VNX_TCP_RST },
    };
    int64_t now = SECOND_NS;
    VnxVtcpConfig small = *cfg;

    host->moody = control[0] & 32;
    vnx_vtcp_set_paused(v, false, now);
    for (unsigned i = 0; i < G_N_ELEMENTS(segments); i++) {
        Flows flows = { .n = 0 };

        vnx_vtcp_foreach_flow(v, 0, now, note, &flows);
        for (unsigned k = 0; k < flows.n; k++) {
            VnxDir dir = (k + i) % 2;

            push(v, &flows.info[k], dir, segments[i].off, segments[i].len,
                 segments[i].flags, now);
            push(v, &flows.info[k], !dir, 0, 0, 0, now);
        }
        for (unsigned k = 0; k < 4; k++) {
            int64_t deadline = vnx_vtcp_next_deadline(v);

            vnx_vtcp_run(v, now);
            for (unsigned q = 0; q < 2; q++) {
                vnx_vtcp_writable(v, 0, q);
                vnx_vtcp_writable(v, 1, q);
            }
            now = MAX(now, MIN(deadline, now + control[2] * SECOND_NS));
        }
        if (i == 2) {
            small.flow.flow_buffer_size = VNX_FLOW_BUFFER_SIZE_MIN;
            small.buffer_size = VNX_BUFFER_SIZE_MIN;
            g_assert_true(vnx_vtcp_set_config(v, &small, now, NULL));
            vnx_vtcp_set_queues(v, 1);
        }
        if (i == 3 && control[0] & 8) {
            vnx_vtcp_set_enabled(v, false, now);
        }
        if (i == 4 && control[0] & 16) {
            vnx_vtcp_reset_undrained(v, now);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t flow_buffer_sizes[] = { 64 << 10, 1 << 20, 4 << 20, 512 << 20 };
    VnxVtcpConfig cfg;
    VnxVtcp *v, *again;
    GByteArray *empty, *state = g_byte_array_new();
    Host host = { 0 };
    GError *err = NULL;
    VnxVtcpStats stats, stats_again;
    uint8_t *exact;
    bool loaded;

    if (size < CONTROL_BYTES) {
        g_byte_array_free(state, TRUE);
        return 0;
    }
    vnx_vtcp_config_init(&cfg);
    cfg.flow.flow_buffer_size = flow_buffer_sizes[data[0] & 3];
    cfg.buffer_size = MAX(cfg.flow.flow_buffer_size, VNX_BUFFER_SIZE_MIN);
    cfg.max_flows = data[0] & 4 ? 1 : 100;
    v = make(&cfg, data, &host);
    vnx_vtcp_set_paused(v, true, 0);
    empty = vnx_vtcp_save(v, 0);
    g_byte_array_append(state, empty->data, HEAD_BYTES);
    g_byte_array_append(state, data + CONTROL_BYTES, size - CONTROL_BYTES);
    g_byte_array_free(empty, TRUE);
    exact = g_memdup2(state->data, state->len);     /* so that an overread is seen */

    loaded = vnx_vtcp_load(v, exact, state->len, 0, &err);
    g_assert_true(loaded == !err);
    vnx_vtcp_stats(v, &stats);
    if (loaded) {
        live(v, &cfg, data, &host);
        vnx_vtcp_stats(v, &stats);
        g_byte_array_free(state, TRUE);
        vnx_vtcp_set_paused(v, true, 100 * SECOND_NS);
        state = vnx_vtcp_save(v, 100 * SECOND_NS);
        again = make(&cfg, data, &host);
        vnx_vtcp_set_paused(again, true, 0);
        if (!vnx_vtcp_load(again, state->data, state->len, 0, &err)) {
            fprintf(stderr, "its own state is refused: %s\n", err->message);
            abort();            /* g_error()'s SIGTRAP is nothing that libFuzzer notices */
        }
        vnx_vtcp_stats(again, &stats_again);
        g_assert_cmpuint(stats_again.undelivered, ==, stats.undelivered);
        vnx_vtcp_free(again);
    } else {
        g_assert_cmpuint(stats.flows, ==, 0);
        g_assert_cmpuint(stats.undelivered, ==, 0);
        g_assert_cmpuint(stats.buffer_used, ==, 0);
    }
    g_clear_error(&err);
    g_free(exact);
    g_byte_array_free(state, TRUE);
    vnx_vtcp_free(v);
    return 0;
}
