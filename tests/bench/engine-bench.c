/*
 * vnx bench: what one segment costs in the engine
 *
 * usage: engine-bench --list
 *        engine-bench --case NAME [--segments N]        (default 20000)
 *
 * --list prints the names of the cases, one a line:
 *   parse-1500    vnx_packet_parse() + vnx_packet_csum_ok(): Ethernet frame, 1448 bytes
 *                 of payload, timestamps, full checksum (so that it is summed)
 *   parse-64k     the same on a GSO frame of 45 such segments, partial checksum
 *   vtcp-1500     vTCP, data toward the guest on its fast path: a data segment pushed
 *                 (parsed, verified, buffered, emitted, acknowledged early), its share of
 *                 the receiver's ACKs (one for two segments, consumed) and of
 *                 vnx_vtcp_run() (one for 16 segments)
 *   vtcp-64k      the same with GSO frames; one ACK for each
 *   flows-1, flows-1000, flows-100000
 *                 as vtcp-1500 but on so many connections in random order, and each
 *                 segment followed by its early ACK and the receiver's ACK, so that the
 *                 work does not depend on how many segments in a row have one connection
 *   memcpy-1500   copying the payload alone: the floor, since vTCP has to copy it once
 *   memcpy-64k
 *
 * Prints one line of JSON:
 *   {"case": "vtcp-1500", "segments": 20000, "payload": 1448, "ns-per-segment": 451.2}
 * for flows-* also "bytes-per-flow": memory that an established, idle connection takes.
 *
 * Everything that is measured, and nothing else, happens inside the function
 * bench_measured(), so instructions per segment are
 *   valgrind --tool=callgrind --callgrind-out-file=/dev/null
 *            --toggle-collect=bench_measured engine-bench --case NAME --segments N
 * where N divides the "Collected" figure that callgrind prints to stderr.  All frames
 * are made before.  Build without sanitizers, optimised.  callgrind counts "rep movsb",
 * by which the C library may copy large blocks, as an instruction for each byte: compare
 * *-64k with memcpy-64k, not with *-1500.
 *
 * The exit status is 0 only if every segment went the way it was meant to: parsed as
 * TCP with a good checksum, or acknowledged early, delivered whole and its ACK consumed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <arpa/inet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vnx/vtcp.h>

#define VNET_LEN 12
#define L2_LEN 14
#define L3_LEN 20
#define TS_LEN 12
#define MSS 1448u                       /* 1500 less IPv4, TCP, timestamps */
#define GSO_SEGMENTS 45                 /* the most that fit a 65535-byte IP packet */
#define FRAME_HEAD (VNET_LEN + L2_LEN + L3_LEN + 20 + TS_LEN)
#define BATCH 16                        /* frames that a busy ring gives at once */
#define SERVER_ISS 1000000u             /* the sender: the side of the network */
#define GUEST_ISS 5000000u
#define STEP_NS 1000                    /* virtual time between segments */
#define FLOW_WINDOW (1ull << 20)        /* memory for the window of each of many flows */

typedef enum Work { WORK_PARSE, WORK_VTCP, WORK_FLOWS, WORK_MEMCPY } Work;

typedef struct Case {
    const char *name;
    Work work;
    unsigned segments_each;             /* MSS units in one frame */
    unsigned ack_every;                 /* frames for one ACK of the receiver */
    unsigned flows;                     /* WORK_FLOWS */
} Case;

static const Case cases[] = {
    { "parse-1500", WORK_PARSE, 1, 0, 1 },
    { "parse-64k", WORK_PARSE, GSO_SEGMENTS, 0, 1 },
    { "vtcp-1500", WORK_VTCP, 1, 2, 1 },
    { "vtcp-64k", WORK_VTCP, GSO_SEGMENTS, 1, 1 },
    { "flows-1", WORK_FLOWS, 1, 1, 1 },
    { "flows-1000", WORK_FLOWS, 1, 1, 1000 },
    { "flows-100000", WORK_FLOWS, 1, 1, 100000 },
    { "memcpy-1500", WORK_MEMCPY, 1, 0, 1 },
    { "memcpy-64k", WORK_MEMCPY, GSO_SEGMENTS, 0, 1 },
};

typedef struct Frame {
    uint8_t head[FRAME_HEAD + 8];       /* + 8: the options of a SYN */
    struct iovec iov[2];
} Frame;

typedef struct Bench {
    const Case *c;
    unsigned n;
    uint32_t payload_len;
    uint8_t *payload;
    uint8_t *copy;                      /* where memcpy-* puts it */
    Frame *data;                        /* n frames toward the guest */
    Frame *acks;                        /* the guest's, n / ack_every */
    VnxVtcp *vtcp;
    int64_t now_ns;
    uint64_t good;                      /* outcomes as they should be */
    uint64_t emitted;                   /* bytes toward the guest, headers included */
    uint64_t early_acks;                /* frames toward the network */
    uint64_t warm_bytes, warm_acks;     /* of what went by before the measurement */
    double bytes_per_flow;
} Bench;

static uint8_t *put16(uint8_t *b, uint16_t v)
{
    b[0] = v >> 8;
    b[1] = v;
    return b + 2;
}

static uint8_t *put32(uint8_t *b, uint32_t v)
{
    return put16(put16(b, v >> 16), v);
}

/* One frame of a flow; @payload_len bytes of b->payload follow the headers. */
static void make_frame(Bench *b, Frame *f, unsigned flow, VnxDir dir, uint16_t flags,
                       uint32_t seq, uint32_t ack, uint32_t tsval, uint32_t tsecr,
                       uint32_t payload_len)
{
    bool syn = flags & VNX_TCP_SYN, gso = payload_len > MSS;
    unsigned tcp_len = 20 + TS_LEN + (syn ? 8 : 0);
    uint8_t *eth = f->head + VNET_LEN, *ip = eth + L2_LEN, *tcp = ip + L3_LEN, *o;
    uint32_t sum;
    uint16_t csum;

    memset(f, 0, sizeof(*f));
    if (gso) {
        f->head[0] = VNX_VNET_F_NEEDS_CSUM;
        f->head[1] = VNX_VNET_GSO_TCPV4;
        f->head[2] = L2_LEN + L3_LEN + tcp_len;         /* little endian, all of them */
        f->head[4] = MSS & 0xff;
        f->head[5] = MSS >> 8;
        f->head[6] = L2_LEN + L3_LEN;
        f->head[8] = 16;
    }
    memset(eth, 0x52, 12);
    eth[5] = dir;
    put16(eth + 12, 0x0800);

    ip[0] = 0x45;
    put16(ip + 2, L3_LEN + tcp_len + payload_len);
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    put32(ip + 12, dir == VNX_TO_GUEST ? 0x0b000001 + flow : 0x0a000001);
    put32(ip + 16, dir == VNX_TO_GUEST ? 0x0a000001 : 0x0b000001 + flow);
    csum = vnx_csum_fold(vnx_csum_partial(ip, L3_LEN, 0));
    memcpy(ip + 10, &csum, 2);

    o = put16(tcp, dir == VNX_TO_GUEST ? 80 : 40000);
    o = put16(o, dir == VNX_TO_GUEST ? 40000 : 80);
    o = put32(put32(o, seq), ack);
    o = put16(o, tcp_len / 4 << 12 | flags);
    o = put16(o, 0xffff) + 4;
    if (syn) {
        o = put32(o, 0x02040000 | (MSS + TS_LEN));      /* MSS */
        o = put32(o, 0x01030307);                       /* NOP, window scale 7 */
        o = put32(o, 0x0402080a);                       /* SACK permitted, timestamps */
    } else {
        o = put32(o, 0x0101080a);
    }
    put32(put32(o, tsval), tsecr);

    sum = vnx_csum_partial(ip + 12, 8, htonl(IPPROTO_TCP));
    sum = vnx_csum_iov(&(struct iovec) { (uint8_t[]) {
                           (tcp_len + payload_len) >> 8, tcp_len + payload_len }, 2 },
                       1, 0, 2, sum);
    if (gso) {
        csum = ~vnx_csum_fold(sum);
    } else {
        sum = vnx_csum_partial(tcp, tcp_len, sum);
        csum = vnx_csum_fold(vnx_csum_partial(b->payload, payload_len, sum));
    }
    memcpy(tcp + 16, &csum, 2);
    f->iov[0] = (struct iovec) { f->head, tcp + tcp_len - f->head };
    f->iov[1] = (struct iovec) { b->payload, payload_len };
}

static bool emit(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                 unsigned iovcnt, size_t size)
{
    Bench *b = opaque;

    if (dir == VNX_TO_GUEST) {
        b->emitted += size;
    } else {
        b->early_acks++;
    }
    return true;
}

static void forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                    size_t size)
{
    /* Only the handshake's last ACK, which carries vTCP's window: what the fast path
     * should have consumed, bench_check() finds missing. */
}

static void push_handshake(Bench *b, unsigned flow, VnxDir dir, uint16_t flags,
                           uint32_t seq, uint32_t ack)
{
    Frame f;

    make_frame(b, &f, flow, dir, flags, seq, ack, 1, flags & VNX_TCP_ACK ? 1 : 0, 0);
    b->now_ns += STEP_NS;
    vnx_vtcp_push(b->vtcp, dir, 0, f.iov, 2, VNET_LEN, b->now_ns);
}

/* A data segment, vTCP's ACK for it, the guest's ACK. */
static bool push_exchange(Bench *b, const Frame *data, const Frame *ack)
{
    bool good;

    b->now_ns += STEP_NS;
    good = vnx_vtcp_push(b->vtcp, VNX_TO_GUEST, 0, data->iov, 2, VNET_LEN, b->now_ns) ==
           VNX_VERDICT_CONSUMED;
    vnx_vtcp_run(b->vtcp, b->now_ns);
    vnx_vtcp_push(b->vtcp, VNX_TO_NET, 0, ack->iov, 1, VNET_LEN, b->now_ns);
    return good;
}

/* Segment @i of a flow, and the guest's ACK for it and those before it. */
static void make_exchange(Bench *b, unsigned flow, unsigned i, Frame *data, Frame *ack)
{
    uint32_t seq = SERVER_ISS + 1 + i * b->payload_len, tsval = 2 + i / 1000;

    make_frame(b, data, flow, VNX_TO_GUEST, VNX_TCP_ACK, seq, GUEST_ISS + 1, tsval, 1,
               b->payload_len);
    make_frame(b, ack, flow, VNX_TO_NET, VNX_TCP_ACK, GUEST_ISS + 1, seq + b->payload_len,
               tsval, tsval, 0);
}

static size_t memory_used(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* Connections, each with one segment behind it, and frames for them in random order. */
static void setup_flows(Bench *b)
{
    g_autofree unsigned *segments = g_new0(unsigned, b->c->flows);
    uint64_t random = 1;

    for (unsigned flow = 0; flow < b->c->flows; flow++) {
        Frame data, ack;

        make_exchange(b, flow, segments[flow]++, &data, &ack);
        push_exchange(b, &data, &ack);
    }
    b->warm_bytes = (uint64_t)b->c->flows * b->payload_len;
    b->warm_acks = b->c->flows;
    for (unsigned i = 0; i < b->n; i++) {
        unsigned flow;

        random = random * 6364136223846793005u + 1442695040888963407u;
        flow = (random >> 33) % b->c->flows;
        make_exchange(b, flow, segments[flow]++, &b->data[i], &b->acks[i]);
    }
}

static void setup_vtcp(Bench *b)
{
    static const VnxVtcpOps ops = { .emit = emit, .forward = forward };
    static const VnxOffload offload = { VNET_LEN, true, true, true };
    static const uint8_t seed[16] = "engine-bench";
    VnxVtcpConfig cfg;
    size_t before;

    vnx_vtcp_config_init(&cfg);
    cfg.max_flows = MAX(cfg.max_flows, b->c->flows);
    cfg.buffer_size = MAX(cfg.buffer_size, b->c->flows * FLOW_WINDOW);
    b->vtcp = vnx_vtcp_new(&cfg, &ops, b, seed);
    vnx_vtcp_set_offload(b->vtcp, VNX_TO_GUEST, &offload);
    vnx_vtcp_set_offload(b->vtcp, VNX_TO_NET, &offload);
    before = memory_used();
    for (unsigned flow = 0; flow < b->c->flows; flow++) {
        push_handshake(b, flow, VNX_TO_NET, VNX_TCP_SYN, GUEST_ISS, 0);
        push_handshake(b, flow, VNX_TO_GUEST, VNX_TCP_SYN | VNX_TCP_ACK, SERVER_ISS,
                       GUEST_ISS + 1);
        push_handshake(b, flow, VNX_TO_NET, VNX_TCP_ACK, GUEST_ISS + 1, SERVER_ISS + 1);
    }
    vnx_vtcp_run(b->vtcp, b->now_ns);
    b->bytes_per_flow = (double)(memory_used() - before) / b->c->flows;
}

static void bench_setup(Bench *b)
{
    b->payload_len = b->c->segments_each * MSS;
    b->payload = g_malloc(b->payload_len);
    b->copy = g_malloc(b->payload_len);
    for (uint32_t i = 0; i < b->payload_len; i++) {
        b->payload[i] = i * 2654435761u >> 24;
    }
    b->data = g_new(Frame, b->n);
    if (b->c->ack_every) {
        b->acks = g_new(Frame, b->n / b->c->ack_every);
        setup_vtcp(b);
    }
    if (b->c->work == WORK_FLOWS) {
        setup_flows(b);
        return;
    }
    for (unsigned i = 0; i < b->n; i++) {
        Frame unused;
        bool last = b->c->ack_every && i % b->c->ack_every == b->c->ack_every - 1;

        make_exchange(b, 0, i, &b->data[i], last ? &b->acks[i / b->c->ack_every] : &unused);
    }
}

static void measure_parse(Bench *b)
{
    VnxPacket p;

    for (unsigned i = 0; i < b->n; i++) {
        b->good += vnx_packet_parse(&p, b->data[i].iov, 2, VNET_LEN, VNX_TO_GUEST) ==
                   VNX_PARSE_TCP && vnx_packet_csum_ok(&p);
    }
}

/* As a busy receiver sees it: a batch of frames, vTCP's ACKs for them, then the
 * guest's. */
static void measure_vtcp(Bench *b)
{
    unsigned every = b->c->ack_every, acked = 0;

    for (unsigned i = 0; i < b->n; ) {
        unsigned end = MIN(i + BATCH, b->n);

        for (; i < end; i++) {
            b->now_ns += STEP_NS;
            b->good += vnx_vtcp_push(b->vtcp, VNX_TO_GUEST, 0, b->data[i].iov, 2, VNET_LEN,
                                     b->now_ns) == VNX_VERDICT_CONSUMED;
        }
        vnx_vtcp_run(b->vtcp, b->now_ns);
        for (; (acked + 1) * every <= end; acked++) {
            vnx_vtcp_push(b->vtcp, VNX_TO_NET, 0, b->acks[acked].iov, 1, VNET_LEN, b->now_ns);
        }
    }
}

static void measure_flows(Bench *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        b->good += push_exchange(b, &b->data[i], &b->acks[i]);
    }
}

static void measure_memcpy(Bench *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        memcpy(b->copy, b->data[i].iov[1].iov_base, b->data[i].iov[1].iov_len);
        __asm__ volatile ("" : : "r" (b->copy) : "memory");
        b->good++;
    }
}

void bench_measured(Bench *b);

__attribute__((noinline)) void bench_measured(Bench *b)
{
    switch (b->c->work) {
    case WORK_PARSE:
        measure_parse(b);
        break;
    case WORK_VTCP:
        measure_vtcp(b);
        break;
    case WORK_FLOWS:
        measure_flows(b);
        break;
    case WORK_MEMCPY:
        measure_memcpy(b);
        break;
    }
}

/* Every segment went the way that was to be measured. */
static bool bench_check(Bench *b)
{
    VnxVtcpStats s;
    uint64_t bytes = (uint64_t)b->n * b->payload_len + b->warm_bytes;

    if (b->good != b->n) {
        fprintf(stderr, "engine-bench: %" G_GUINT64_FORMAT " of %u segments as meant\n",
                b->good, b->n);
        return false;
    }
    if (!b->vtcp) {
        return true;
    }
    vnx_vtcp_run(b->vtcp, b->now_ns);
    vnx_vtcp_stats(b->vtcp, &s);
    if (s.early_ack_bytes != bytes || s.acks_consumed != b->n / b->c->ack_every + b->warm_acks ||
        s.undelivered || s.retransmits || s.payload_passed || b->emitted <= bytes ||
        !b->early_acks) {
        fprintf(stderr, "engine-bench: not the fast path: %" G_GUINT64_FORMAT " of %"
                G_GUINT64_FORMAT " bytes acknowledged early, %" G_GUINT64_FORMAT
                " ACKs consumed, %" G_GUINT64_FORMAT " bytes undelivered, %"
                G_GUINT64_FORMAT " retransmits, %" G_GUINT64_FORMAT " bytes passed, %"
                G_GUINT64_FORMAT " emitted\n", s.early_ack_bytes, bytes, s.acks_consumed,
                s.undelivered, s.retransmits, s.payload_passed, b->emitted);
        return false;
    }
    return true;
}

static int usage(void)
{
    fprintf(stderr, "usage: engine-bench --list | --case NAME [--segments N]\n");
    return 2;
}

int main(int argc, char **argv)
{
    Bench b = { .n = 20000 };
    struct timespec start, end;
    bool ok;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--list")) {
            for (unsigned k = 0; k < G_N_ELEMENTS(cases); k++) {
                puts(cases[k].name);
            }
            return 0;
        } else if (!strcmp(argv[i], "--case") && i + 1 < argc) {
            i++;
            for (unsigned k = 0; k < G_N_ELEMENTS(cases); k++) {
                if (!strcmp(cases[k].name, argv[i])) {
                    b.c = &cases[k];
                }
            }
        } else if (!strcmp(argv[i], "--segments") && i + 1 < argc) {
            b.n = strtoul(argv[++i], NULL, 10);
        } else {
            return usage();
        }
    }
    if (!b.c || b.n == 0 || b.n > 10000000 || (b.c->ack_every && b.n % b.c->ack_every)) {
        return usage();
    }

    bench_setup(&b);
    clock_gettime(CLOCK_MONOTONIC, &start);
    bench_measured(&b);
    clock_gettime(CLOCK_MONOTONIC, &end);
    ok = bench_check(&b);
    if (ok) {
        double ns = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);

        printf("{\"case\": \"%s\", \"segments\": %u, \"payload\": %u, "
               "\"ns-per-segment\": %.1f", b.c->name, b.n, b.payload_len, ns / b.n);
        if (b.c->work == WORK_FLOWS) {
            printf(", \"bytes-per-flow\": %.0f", b.bytes_per_flow);
        }
        puts("}");
    }
    if (b.vtcp) {
        vnx_vtcp_free(b.vtcp);
    }
    g_free(b.payload);
    g_free(b.copy);
    g_free(b.data);
    g_free(b.acks);
    return !ok;
}
