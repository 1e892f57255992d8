/*
 * vnx: a small world around one vTCP for fuzzing; see world.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* The loops over payload: nothing to learn in there for a fuzzer, but they take its time. */
#ifdef __clang__
#define FAST __attribute__((noinline, no_sanitize("address", "undefined", "coverage")))
#else
#define FAST
#endif

#define MAX_FRAME (20 + 18 + 4 + 40 + 60 + 65536)

void world_fail(const char *file, int line, const char *cond, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s:%d: not true: %s: ", file, line, cond);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    abort();
}

void world_trace(const World *w, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%" G_GINT64_FORMAT " us: ", w->now / 1000);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- Sequence numbers: distances from a host's ISS, below 2^31 in any run ---- */

static uint32_t rel(const Host *h, uint32_t seq)
{
    return seq - h->iss;
}

/* Raise *@max to @seq; what is "behind" @h's ISS, or beyond belief, does not count. */
static void raise_to(const Host *h, uint32_t *max, uint32_t seq)
{
    if (rel(h, seq) < 1u << 31 && rel(h, seq) > rel(h, *max)) {
        *max = seq;
    }
}

static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static void cover_init(Cover *c, uint32_t nxt)
{
    memset(c, 0, sizeof(*c));
    c->nxt = nxt;
}

static void cover_add(Cover *c, uint32_t seq, uint32_t len, bool fin)
{
    uint32_t end = seq + len;

    if (after(seq, c->nxt + (1u << 30)) || after(c->nxt, end)) {
        return;
    }
    if (fin) {
        c->overflow |= c->has_fin && c->fin != end;
        c->has_fin = true;
        c->fin = end;
    }
    if (after(seq, c->nxt) && len) {
        if (c->n == COVER_MAX) {
            c->overflow = true;
            return;
        }
        c->piece[c->n].start = seq;
        c->piece[c->n++].end = end;
    } else if (!after(seq, c->nxt) && after(end, c->nxt)) {
        c->nxt = end;
    }
    for (unsigned i = 0; i < c->n; i++) {
        if (!after(c->piece[i].start, c->nxt)) {
            if (after(c->piece[i].end, c->nxt)) {
                c->nxt = c->piece[i].end;
            }
            c->piece[i] = c->piece[--c->n];
            i = -1u;                    /* once more from the start */
        }
    }
    if (c->has_fin && c->nxt == c->fin) {
        c->nxt++;
    }
}

/* ---- Frames ---- */

/* The byte of connection @c that goes toward side @dir at @seq. */
#define PAYLOAD_BYTE(c, dir, seq) \
    ((uint8_t)(((seq) * 0x9e3779b1u >> 24) ^ ((seq) >> 3) ^ ((c) * 2 + (dir)) * 37))

FAST static void fill_payload(uint8_t *p, uint32_t len, unsigned c, unsigned dir, uint32_t seq)
{
    for (uint32_t i = 0; i < len; i++) {
        p[i] = PAYLOAD_BYTE(c, dir, seq + i);
    }
}

/* The offset of the first byte that is not the sender's; @len if there is none. */
FAST static uint32_t compare_payload(const uint8_t *p, uint32_t len, unsigned c, unsigned dir,
                                     uint32_t seq)
{
    uint32_t i = 0;

    while (i < len && p[i] == PAYLOAD_BYTE(c, dir, seq + i)) {
        i++;
    }
    return i;
}

static void put16(uint8_t *p, uint32_t x)
{
    p[0] = x >> 8;
    p[1] = x;
}

static void put32(uint8_t *p, uint32_t x)
{
    put16(p, x >> 16);
    put16(p + 2, x);
}

static uint32_t get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

/* RFC 1071, the slow and obvious way: its own check of engine/packet. */
FAST static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
    uint64_t wide = sum;

    for (size_t i = 0; i < len; i++) {
        wide += i % 2 ? p[i] : p[i] << 8;
    }
    while (wide >> 16) {
        wide = (wide & 0xffff) + (wide >> 16);
    }
    return wide;
}

static uint32_t pseudo_sum(const VnxFlowKey *key, unsigned from, uint32_t l4_len)
{
    size_t n = key->ip_version == 4 ? 4 : 16;
    uint32_t sum = sum16(key->addr[from], n, 0);

    sum = sum16(key->addr[!from], n, sum);
    sum += IPPROTO_TCP + (l4_len >> 16) + (l4_len & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

static size_t put_options(const Segment *s, uint8_t *p)
{
    size_t n = 0;

    if (s->ts) {
        memcpy(p, "\1\1\10\12", 4);
        put32(p + 4, s->tsval);
        put32(p + 8, s->tsecr);
        n = 12;
    }
    if (s->options_len) {
        memcpy(p + n, s->options, s->options_len);
        n += s->options_len;
    }
    if (s->n_sack && n + 4 + 8 * s->n_sack <= 40) {
        memset(p + n, 1, 2);
        p[n + 2] = 5;
        p[n + 3] = 2 + 8 * s->n_sack;
        n += 4;
        for (unsigned i = 0; i < s->n_sack; i++, n += 8) {
            put32(p + n, s->sack[i].start);
            put32(p + n + 4, s->sack[i].end);
        }
    }
    while (n % 4) {
        p[n++] = 1;
    }
    return n;
}

/* Write the frame of @s from @side of @c to @f; returns its size. */
static size_t make_frame(const World *w, unsigned c, unsigned side, const Segment *s, uint8_t *f)
{
    const VnxFlowKey *key = &w->conn[c].key;
    uint8_t options[64], *p = f + w->vnet_len, *ip, *tcp;
    size_t n_options = put_options(s, options);
    uint32_t l4_len = 20 + n_options + s->len;
    unsigned kind = w->vnet_len ? s->csum_kind : 0;
    uint32_t sum;

    memset(f, 0, w->vnet_len);
    memset(p, 0x02, 12);
    p[5] = !side;
    p[11] = side;
    p += 12;
    if (key->vlan[0] != VNX_VLAN_NONE) {
        put16(p, 0x8100);
        put16(p + 2, key->vlan[0]);
        p += 4;
    }
    put16(p, key->ip_version == 4 ? 0x0800 : 0x86dd);
    ip = p + 2;
    if (key->ip_version == 4) {
        memset(ip, 0, 20);
        ip[0] = 0x45;
        put16(ip + 2, 20 + l4_len);
        put16(ip + 6, 0x4000);
        ip[8] = 64;
        ip[9] = IPPROTO_TCP;
        memcpy(ip + 12, key->addr[side], 4);
        memcpy(ip + 16, key->addr[!side], 4);
        put16(ip + 10, ~sum16(ip, 20, 0));
        tcp = ip + 20;
    } else {
        memset(ip, 0, 8);
        ip[0] = 0x60;
        put16(ip + 4, l4_len);
        ip[6] = IPPROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, key->addr[side], 16);
        memcpy(ip + 24, key->addr[!side], 16);
        tcp = ip + 40;
    }
    memset(tcp, 0, 20);
    put16(tcp, key->port[side]);
    put16(tcp + 2, key->port[!side]);
    put32(tcp + 4, s->seq);
    put32(tcp + 8, s->ack);
    put16(tcp + 12, (20 + n_options) / 4 << 12 | (s->flags & 0x1ff));
    put16(tcp + 14, s->window);
    put16(tcp + 18, s->urgent);
    memcpy(tcp + 20, options, n_options);
    p = tcp + 20 + n_options;
    fill_payload(p, s->len, c, !side, s->seq);
    p += s->len;
    sum = pseudo_sum(key, side, l4_len);
    if (kind == 1) {
        put16(tcp + 16, sum);
        f[0] = VNX_VNET_F_NEEDS_CSUM;
        if (s->gso_size) {
            f[1] = key->ip_version == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6;
            f[2] = tcp + 20 + n_options - (f + w->vnet_len);
            f[4] = s->gso_size;
            f[5] = s->gso_size >> 8;
        }
        f[6] = tcp - (f + w->vnet_len);
        f[8] = 16;
    } else {
        put16(tcp + 16, ~sum16(tcp, l4_len, sum) ^ s->bad_csum);
        if (kind == 2) {
            f[0] = VNX_VNET_F_DATA_VALID;
        }
    }
    return p - f;
}

/* ---- Delivery ---- */

typedef enum Origin { PUSHED, PASSED, FORWARDED, EMITTED } Origin;

/* Sequence numbers as distances from the ISS of who counts them. */
static void trace_segment(const World *w, const Conn *c, unsigned dir, const VnxPacket *p,
                          Origin origin)
{
    static const char *const what[] = { "push", "  passed", "  forwarded", "  emitted" };
    static const char letters[] = "FSRPAUEC";
    char flags[sizeof(letters)] = "", *f = flags;

    for (unsigned i = 0; i < 8; i++) {
        if (p->flags >> i & 1) {
            *f++ = letters[i];
        }
    }
    *f = '\0';
    world_trace(w, "%s to %s conn %d: %s seq %u len %u ack %u win %u gso %u%s", what[origin],
                dir ? "net" : "guest", (int)(c - w->conn), flags, rel(&c->host[!dir], p->seq),
                p->payload_len, rel(&c->host[dir], p->ack), p->window, p->vnet.gso_size,
                w->lossy[dir] && origin != PUSHED ? " (lost)" : "");
}

static Conn *find_conn(World *w, const VnxFlowKey *key)
{
    for (unsigned c = 0; c < CONNS; c++) {
        if (memcmp(&w->conn[c].key, key, sizeof(*key)) == 0) {
            return &w->conn[c];
        }
    }
    return NULL;
}

/* What any frame must be that vTCP has built. */
static void check_built(World *w, unsigned dir, const VnxPacket *p, const uint8_t *f)
{
    const VnxOffload *o = &w->offload[dir];
    Conn *c = find_conn(w, &p->key);
    const uint8_t *tcp = f + p->l4_off;
    uint32_t l4_len = p->size - p->l4_off;
    uint32_t options = p->payload_off - p->l4_off - 20;
    uint32_t sum = pseudo_sum(&p->key, !dir, l4_len);

    CHECK(p->size == p->payload_off + p->payload_len, "frame of %zu bytes", p->size);
    CHECK(vnx_packet_ip_csum_ok(p), "IPv4 header checksum");
    if (p->vnet.flags & VNX_VNET_F_NEEDS_CSUM) {
        CHECK(o->csum, "partial checksum to a side that takes none");
        CHECK(get16(tcp + 16) == sum, "pseudo header sum %#x, expected %#x",
              get16(tcp + 16), sum);
    } else {
        CHECK(sum16(tcp, l4_len, sum) == 0xffff, "TCP checksum");
    }
    if (p->vnet.gso_type != VNX_VNET_GSO_NONE) {
        CHECK(p->vnet.gso_type == (p->ip_version == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6),
              "GSO type %u", p->vnet.gso_type);
        CHECK(o->csum && (p->ip_version == 4 ? o->tso4 : o->tso6), "GSO not offered");
        CHECK(p->vnet.gso_size > 0, "GSO without a size");
    }
    if (c && c->open && !c->wild) {
        uint32_t len = p->vnet.gso_type ? p->vnet.gso_size : p->payload_len;

        /* RFC 6691: the MSS option does not count options, the segment does. */
        CHECK(len + options <= c->host[dir].mss || len == 0,
              "segment of %u + %u bytes, MSS %u", len, options, c->host[dir].mss);
    }
}

/* What holds for every segment that vTCP has built or changed. */
static void check_segment(World *w, unsigned dir, const VnxPacket *p, const uint8_t *f,
                          Origin origin)
{
    Conn *c = find_conn(w, &p->key);
    Host *r, *s;

    if (!c) {
        CHECK(w->forged, "segment of a connection that does not exist");
        return;
    }
    if (!w->forged) {
        uint32_t good = compare_payload(f + p->payload_off, p->payload_len, c - w->conn,
                                        dir, p->seq);

        CHECK(good == p->payload_len, "payload at seq %u differs at offset %u of %u", p->seq,
              good, p->payload_len);
    }
    if (!c->open || c->wild) {
        return;
    }
    r = &c->host[dir];          /* the receiver of this segment; as a sender, it gets the ACK */
    s = &c->host[!dir];
    if (p->flags & VNX_TCP_ACK && !(p->flags & VNX_TCP_RST)) {
        uint32_t bound = r->sent_max;

        if (origin == EMITTED && !r->pushed.overflow) {
            /* nothing that vTCP has not seen, unless the receiver itself said it has it */
            bound = r->pushed.nxt;
            raise_to(r, &bound, s->ack_max);
        }
        CHECK(rel(r, p->ack) >= 1u << 31 || rel(r, p->ack) <= rel(r, bound),
              "ACK %u beyond what was sent (%u)", p->ack, bound);
    }
    if (p->flags & VNX_TCP_FIN && c->clean) {
        CHECK(s->fin_sent && p->seq + p->payload_len + 1 == s->snd_nxt,
              "FIN at %u, the sender's data end at %u", p->seq + p->payload_len,
              s->snd_nxt - s->fin_sent);
    }
    if (p->payload_len && (origin == EMITTED || c->clean)) {
        uint32_t edge = c->clean ? r->rcv_edge : r->rcv_edge_max;
        uint32_t end = p->seq + p->payload_len;

        CHECK(rel(s, end) >= 1u << 31 || rel(s, end) <= rel(s, edge),
              "data up to %u, the receiver's window ends at %u", end, edge);
    }
}

/* An evicted flow owes no data, but R's window may be less than what vTCP promised. */
static bool evicted(const World *w)
{
    VnxVtcpStats stats;

    vnx_vtcp_stats(w->v, &stats);
    return w->evicted || stats.flows_evicted;
}

/* The host takes the ACK and window of @p. */
static void host_take_ack(World *w, Conn *c, unsigned side, const VnxPacket *p, Origin origin)
{
    Host *h = &c->host[side], *peer = &c->host[!side];
    uint32_t edge = p->ack + ((uint32_t)p->window << peer->wscale);
    bool newest = after(p->seq, h->wl1) || (p->seq == h->wl1 && !after(h->wl2, p->ack));

    if (c->clean && !peer->dead) {
        CHECK(!after(p->ack, h->snd_nxt), "ACK %u of what was not sent (%u)", p->ack,
              h->snd_nxt);
        if (h->fin_sent && p->ack == h->snd_nxt) {
            CHECK(peer->got.has_fin && after(peer->got.nxt, peer->got.fin),
                  "FIN acknowledged that was not received");
        }
        if (newest && !after(h->snd_una, p->ack) && !c->reordered && !evicted(w)) {
            CHECK(!after(h->snd_edge, edge), "window moved left by %u",
                  h->snd_edge - edge);
        }
    }
    if (after(p->ack, h->snd_una) && !after(p->ack, h->snd_nxt)) {
        h->snd_una = p->ack;
    }
    if (newest && !after(h->snd_una, p->ack)) {
        h->wl1 = p->seq;
        h->wl2 = p->ack;
        if (after(edge, h->snd_edge)) {
            h->snd_edge = edge;
        }
    }
}

static void host_receive(World *w, Conn *c, unsigned side, const VnxPacket *p, Origin origin)
{
    Host *h = &c->host[side];

    if (p->flags & VNX_TCP_RST) {
        h->dead |= p->seq == h->got.nxt || !c->open;    /* RFC 5961 3.2 */
        return;
    }
    if (!c->open || h->dead || p->flags & VNX_TCP_SYN) {
        return;
    }
    if (p->options & VNX_OPT_TIMESTAMP) {
        if (c->clean) {
            CHECK(!after(p->tsecr, h->ts_now), "TSecr %u was never sent", p->tsecr);
            CHECK(!after(h->ts_recent, p->tsval) || origin == PASSED,
                  "TSval %u is older than %u: PAWS drops it", p->tsval, h->ts_recent);
        }
        if (after(p->tsval, h->ts_recent)) {
            h->ts_recent = p->tsval;
        }
    } else {
        CHECK(!c->clean || !c->ts, "no timestamps where they were negotiated");
    }
    /* What is wholly old is not acceptable: its ACK and window do not count (RFC 9293
     * 3.10.7.4). */
    if (p->flags & VNX_TCP_ACK &&
        (p->payload_len || p->flags & VNX_TCP_FIN ?
         after(p->seq + vnx_packet_seq_len(p), h->got.nxt) : !after(h->got.nxt, p->seq))) {
        host_take_ack(w, c, side, p, origin);
    }
    cover_add(&h->got, p->seq, p->payload_len, p->flags & VNX_TCP_FIN);
}

static void deliver(World *w, unsigned dir, const struct iovec *iov, unsigned iovcnt,
                    size_t size, size_t vnet_len, Origin origin)
{
    uint8_t *flat = g_malloc(size);
    struct iovec one = { .iov_base = flat, .iov_len = size };
    size_t n = 0;
    VnxPacket p;

    for (unsigned i = 0; i < iovcnt; i++) {
        CHECK(n + iov[i].iov_len <= size, "frame is longer than told");
        if (!iov[i].iov_len) {
            continue;
        }
        memcpy(flat + n, iov[i].iov_base, iov[i].iov_len);
        n += iov[i].iov_len;
    }
    CHECK(n == size, "%zu bytes in the iovec, told %zu", n, size);
    if (vnx_packet_parse(&p, &one, 1, vnet_len, dir) == VNX_PARSE_TCP) {
        Conn *c = find_conn(w, &p.key);

        if (w->trace && c) {
            trace_segment(w, c, dir, &p, origin);
        }
        if (origin == EMITTED) {
            check_built(w, dir, &p, flat);
        }
        if (origin != PASSED) {
            check_segment(w, dir, &p, flat, origin);
        }
        if (c && !w->lossy[dir] && vnx_packet_csum_ok(&p)) {
            host_receive(w, c, dir, &p, origin);
        }
    } else {
        CHECK(origin == PASSED, "vTCP sent a frame that is not sound");
    }
    g_free(flat);
}

/* ---- Ops ---- */

static bool op_emit(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                    size_t size)
{
    World *w = opaque;

    CHECK(w->calls == 1, "emit from outside of a call");
    if (w->busy[dir]) {
        return false;
    }
    deliver(w, dir, iov, iovcnt, size, w->offload[dir].vnet_len, EMITTED);
    return true;
}

static void op_forward(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                       size_t size)
{
    World *w = opaque;

    CHECK(w->calls == 1, "forward from outside of a call");
    deliver(w, dir, iov, iovcnt, size, w->vnet_len, FORWARDED);
}

static bool op_receiver_stalled(void *opaque, VnxDir dir)
{
    World *w = opaque;

    return w->stalled[dir];
}

static void op_event(void *opaque, const VnxVtcpEvent *ev)
{
    World *w = opaque;
    Conn *c = find_conn(w, ev->key);

    CHECK(w->calls == 1, "event from outside of a call");
    CHECK(c || w->forged, "event of a connection that does not exist");
    if (w->trace && ev->type == VNX_EVENT_HALF_STATE) {
        world_trace(w, "  half to %s: %s (%s)", ev->dir ? "net" : "guest",
                    vnx_half_state_name(ev->half_state), vnx_reason_name(ev->reason));
    }
    if (c && ev->type == VNX_EVENT_RESET) {
        /* the RSTs may get lost: what the hosts know from now on differs */
        c->clean = false;
    }
}

static const VnxVtcpOps world_ops = {
    .emit = op_emit,
    .forward = op_forward,
    .receiver_stalled = op_receiver_stalled,
    .event = op_event,
};

/* ---- The world ---- */

void world_init(World *w, const VnxVtcpConfig *cfg, uint8_t vnet_len, const uint8_t seed[16])
{
    memset(w, 0, sizeof(*w));
    w->cfg = *cfg;
    w->now = 1000 * MS;
    w->trace = getenv("VNX_FUZZ_TRACE");
    w->vnet_len = vnet_len;
    w->buffer_size_max = cfg->buffer_size;
    w->flow_buffer_max = cfg->flow_buffer_size;
    w->flows_max = cfg->max_flows;
    w->enabled = true;
    memcpy(w->seed, seed, sizeof(w->seed));
    w->v = vnx_vtcp_new(cfg, &world_ops, w, seed);
    for (unsigned dir = 0; dir < 2; dir++) {
        world_set_offload(w, dir, (VnxOffload) { .vnet_len = vnet_len });
    }
    for (unsigned c = 0; c < CONNS; c++) {
        VnxFlowKey *key = &w->conn[c].key;

        key->ip_version = c % 3 == 2 ? 6 : 4;
        key->proto = IPPROTO_TCP;
        key->vlan[0] = c % 4 == 1 ? 7 : VNX_VLAN_NONE;
        key->vlan[1] = VNX_VLAN_NONE;
        for (unsigned side = 0; side < 2; side++) {
            key->addr[side][0] = key->ip_version == 4 ? 10 : 0xfd;
            key->addr[side][key->ip_version == 4 ? 3 : 15] = 1 + side;
            key->port[side] = side ? 80 : 40000 + c;
        }
    }
}

void world_free(World *w)
{
    vnx_vtcp_free(w->v);
}

void world_set_config(World *w, const VnxVtcpConfig *cfg)
{
    GError *err = NULL;
    bool good = vnx_vtcp_config_check(cfg, NULL);

    w->calls++;
    CHECK(vnx_vtcp_set_config(w->v, cfg, w->now, &err) == good, "set_config and check differ");
    w->calls--;
    CHECK(!err == good, "error and result differ");
    if (good) {
        w->cfg = *cfg;
        w->buffer_size_max = MAX(w->buffer_size_max, cfg->buffer_size);
        w->flow_buffer_max = MAX(w->flow_buffer_max, cfg->flow_buffer_size);
        w->flows_max = MAX(w->flows_max, cfg->max_flows);
    }
    g_clear_error(&err);
    CHECK(memcmp(vnx_vtcp_config(w->v), &w->cfg, sizeof(w->cfg)) == 0,
          "configuration is not what was set");
}

void world_set_offload(World *w, VnxDir dir, VnxOffload offload)
{
    w->offload[dir] = offload;
    vnx_vtcp_set_offload(w->v, dir, &offload);
}

void world_set_paused(World *w, bool paused)
{
    w->calls++;
    vnx_vtcp_set_paused(w->v, paused, w->now);
    w->calls--;
    w->paused = paused;
}

void world_set_enabled(World *w, bool enabled)
{
    w->enabled = enabled;
    w->calls++;
    vnx_vtcp_set_enabled(w->v, enabled, w->now);
    w->calls--;
}

void world_migrate(World *w)
{
    bool paused = w->paused;
    uint64_t owed;
    VnxVtcpStats stats;
    GByteArray *state;
    GError *err = NULL;

    world_set_paused(w, true);
    vnx_vtcp_stats(w->v, &stats);
    owed = stats.undelivered;
    w->evicted = evicted(w);
    w->calls++;
    state = vnx_vtcp_save(w->v, w->now);
    vnx_vtcp_free(w->v);
    w->v = vnx_vtcp_new(&w->cfg, &world_ops, w, w->seed);
    w->calls--;
    for (unsigned dir = 0; dir < 2; dir++) {
        vnx_vtcp_set_offload(w->v, dir, &w->offload[dir]);
    }
    w->paused = false;
    world_set_paused(w, true);
    w->calls++;
    CHECK(vnx_vtcp_load(w->v, state->data, state->len, w->now, &err), "%s", err->message);
    w->calls--;
    g_byte_array_unref(state);
    vnx_vtcp_stats(w->v, &stats);
    CHECK(stats.undelivered == owed, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT
          " owed bytes arrived", stats.undelivered, owed);
    world_set_enabled(w, w->enabled);
    world_set_paused(w, paused);
}

static bool swallow_emit(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                         size_t size)
{
    return true;
}

static void swallow_forward(void *opaque, VnxDir dir, const struct iovec *iov,
                            unsigned iovcnt, size_t size)
{
}

void world_load_bent(World *w, uint32_t at, uint8_t with)
{
    static const VnxVtcpOps ops = { .emit = swallow_emit, .forward = swallow_forward };
    VnxVtcp *v = vnx_vtcp_new(&w->cfg, &ops, NULL, w->seed);
    GByteArray *state;
    uint8_t *exact;
    GError *err = NULL;
    VnxVtcpStats stats;
    size_t size;
    bool loaded;

    w->calls++;
    state = vnx_vtcp_save(w->v, w->now);
    w->calls--;
    size = with ? state->len : at % (state->len + 1);           /* 0: cut it off */
    exact = g_memdup2(state->data, size);
    if (with && size) {
        exact[at % size] ^= with;
    }
    loaded = vnx_vtcp_load(v, exact, size, w->now, &err);
    CHECK(loaded == !err, "error and result differ");
    vnx_vtcp_stats(v, &stats);
    CHECK(loaded || !stats.flows, "%u flows of a malformed state", stats.flows);
    for (unsigned i = 0; loaded && i < 8; i++) {
        uint8_t *frame = g_malloc(MAX_FRAME);
        struct iovec iov = { .iov_base = frame };
        unsigned c = i / 2 % CONNS;

        if (w->conn[c].open) {
            Segment s = world_segment(w, c, i % 2);

            s.len = 10 * i;
            iov.iov_len = make_frame(w, c, i % 2, &s, frame);
            vnx_vtcp_push(v, !(i % 2), &iov, 1, w->vnet_len, w->now + i * 1000 * MS);
        }
        vnx_vtcp_run(v, w->now + i * 1000 * MS);
        g_free(frame);
    }
    g_clear_error(&err);
    g_free(exact);
    g_byte_array_unref(state);
    vnx_vtcp_free(v);
}

void world_run(World *w)
{
    w->calls++;
    vnx_vtcp_run(w->v, w->now);
    w->calls--;
    if (!w->paused) {
        CHECK(vnx_vtcp_next_deadline(w->v) > w->now, "a deadline that has come after run()");
        CHECK(!vnx_vtcp_has_work(w->v) || w->busy[0] || w->busy[1], "work left after run()");
    }
}

static void push(World *w, VnxDir dir, const uint8_t *frame, size_t size, size_t vnet_len,
                 unsigned split)
{
    struct iovec iov[4];
    unsigned n = 1 + split % 4;
    size_t at = 0;
    VnxVerdict verdict;

    for (unsigned i = 0; i < n; i++) {
        size_t len = i == n - 1 ? size - at : MIN(size - at, 1 + split / 4 % 64 * (i + 1));

        /* blocks of their own, so that a read beyond a piece is seen */
        iov[i].iov_base = g_memdup2(frame + at, len);
        iov[i].iov_len = len;
        at += len;
    }
    if (w->trace) {
        VnxPacket p;
        Conn *c = vnx_packet_parse(&p, iov, n, vnet_len, dir) == VNX_PARSE_TCP ?
                  find_conn(w, &p.key) : NULL;

        if (c) {
            trace_segment(w, c, dir, &p, PUSHED);
        }
    }
    w->calls++;
    verdict = vnx_vtcp_push(w->v, dir, iov, n, vnet_len, w->now);
    w->calls--;
    if (verdict == VNX_VERDICT_PASS) {
        deliver(w, dir, iov, n, size, vnet_len, PASSED);
    }
    for (unsigned i = 0; i < n; i++) {
        g_free(iov[i].iov_base);
    }
}

/* Keep the record of what @side of @c has said, true or not. */
static void note_sent(World *w, unsigned c, unsigned side, const Segment *s)
{
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side], *peer = &conn->host[!side];
    uint32_t end = s->seq + s->len + !!(s->flags & VNX_TCP_FIN);

    raise_to(h, &h->sent_max, end);
    cover_add(&h->pushed, s->seq, s->len, s->flags & VNX_TCP_FIN);
    if (s->flags & VNX_TCP_ACK) {
        raise_to(peer, &h->ack_max, s->ack);
        raise_to(peer, &h->rcv_edge_max, s->ack + ((uint32_t)s->window << h->wscale));
    }
    if (s->ts && (int32_t)(s->tsval - h->ts_now) > 0) {
        h->ts_now = s->tsval;
    }
    if (s->flags & VNX_TCP_RST) {
        h->dead = true;
    }
}

void world_send(World *w, unsigned c, unsigned side, const Segment *s)
{
    uint8_t *frame = g_malloc(MAX_FRAME);
    size_t size = make_frame(w, c, side, s, frame);

    if (s->flip_at >= 0) {
        frame[s->flip_at % size] ^= s->flip_with;
        w->forged = true;
        for (unsigned i = 0; i < CONNS; i++) {
            w->conn[i].clean = false;
            w->conn[i].wild = true;
        }
    }
    note_sent(w, c, side, s);
    push(w, !side, frame, size, w->vnet_len, s->split);
    g_free(frame);
}

void world_send_raw(World *w, VnxDir dir, const uint8_t *frame, size_t size, size_t vnet_len,
                    unsigned split)
{
    w->forged = true;
    for (unsigned i = 0; i < CONNS; i++) {
        w->conn[i].clean = false;
        w->conn[i].wild = true;
    }
    push(w, dir, frame, size, vnet_len, split);
}

/* ---- End hosts ---- */

/* The window field for what @h promises now; its edge never moves left. */
static uint16_t window_field(Host *h, uint32_t wnd)
{
    uint32_t nxt = h->got.nxt, edge = nxt + wnd, field;

    if (after(h->rcv_edge, edge)) {
        edge = h->rcv_edge;
    }
    /* Rounded up, or the scaled edge could move left. */
    field = (edge - nxt + (1u << h->wscale) - 1) >> h->wscale;
    field = MIN(field, 65535u);
    edge = nxt + (field << h->wscale);
    if (after(edge, h->rcv_edge)) {
        h->rcv_edge = edge;
    }
    return field;
}

static uint32_t ts_clock(const World *w, Host *h)
{
    uint32_t t = h->iss * 2654435761u + w->now / MS;

    return after(t, h->ts_now) ? t : h->ts_now;
}

Segment world_segment(World *w, unsigned c, unsigned side)
{
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side];
    Segment s = {
        .seq = h->snd_nxt,
        .ack = h->got.nxt,
        .flags = VNX_TCP_ACK,
        .window = window_field(h, h->wnd),
        .ts = conn->ts,
        .tsval = ts_clock(w, h),
        .tsecr = h->ts_recent,
        .flip_at = -1,
    };

    return s;
}

void world_open(World *w, unsigned c, const Handshake *hs)
{
    Conn *conn = &w->conn[c];
    bool used = conn->open || conn->wild || conn->host[0].iss || conn->host[1].iss;
    bool scaled = hs->wscale[0] >= 0 && hs->wscale[1] >= 0;
    bool lossy[2] = { w->lossy[0], w->lossy[1] };
    unsigned a = hs->client, b = !a;

    memset(conn->host, 0, sizeof(conn->host));
    conn->open = false;
    conn->clean = !used && !w->forged;
    conn->wild = used || w->forged;
    conn->reordered = false;
    conn->ts = hs->ts;
    conn->sack = hs->sack;
    w->lossy[0] = w->lossy[1] = false;
    for (unsigned side = 0; side < 2; side++) {
        Host *h = &conn->host[side];

        h->iss = hs->iss[side];
        h->mss = hs->mss[side] ? hs->mss[side] : conn->key.ip_version == 4 ? 536 : 1220;
        h->wscale = scaled ? hs->wscale[side] : 0;
        h->snd_una = h->snd_nxt = h->sent_max = h->iss + 1;
        h->snd_edge = h->iss + 1 + 65535;
        cover_init(&h->pushed, h->iss + 1);
        h->wnd = 65535;
        h->ts_now = h->iss * 2654435761u + w->now / MS;
    }
    for (unsigned side = 0; side < 2; side++) {
        Host *h = &conn->host[side], *peer = &conn->host[!side];

        cover_init(&h->got, peer->iss + 1);
        h->wl1 = peer->iss;
        h->wl2 = h->iss + 1;
        h->ack_max = peer->iss + 1;
        h->rcv_edge = h->rcv_edge_max = peer->iss + 1 + 65535;
        h->ts_recent = peer->ts_now;
    }
    for (unsigned step = 0; step < 3u + hs->syn_ack_twice; step++) {
        unsigned side = step == 0 || step == 2u + hs->syn_ack_twice ? a : b;
        Host *h = &conn->host[side], *peer = &conn->host[!side];
        uint8_t options[20];
        Segment s = {
            .seq = h->iss + (step && side == a),
            .ack = step ? peer->iss + 1 : 0,
            .flags = (step && side == a ? 0 : VNX_TCP_SYN) | (step ? VNX_TCP_ACK : 0),
            .window = side == a && step ? window_field(h, h->wnd) : 65535,
            .ts = hs->ts,
            .tsval = h->ts_now,
            .tsecr = step ? peer->ts_now : 0,
            .options = options,
            .flip_at = -1,
        };

        if (s.flags & VNX_TCP_SYN) {
            if (hs->mss[side]) {
                memcpy(options, "\2\4", 2);
                put16(options + 2, hs->mss[side]);
                s.options_len = 4;
            }
            if (hs->wscale[side] >= 0 && (side == a || hs->wscale[a] >= 0)) {
                memcpy(options + s.options_len, "\1\3\3", 3);
                options[s.options_len + 3] = hs->wscale[side];
                s.options_len += 4;
            }
            if (hs->sack) {
                memcpy(options + s.options_len, "\1\1\4\2", 4);
                s.options_len += 4;
            }
        }
        world_send(w, c, side, &s);
    }
    w->lossy[0] = lossy[0];
    w->lossy[1] = lossy[1];
    conn->host[0].dead = conn->host[1].dead = false;
    conn->open = !w->paused;
    conn->clean = conn->clean && conn->open;
}

/* Payload of one segment to @peer; IP has a limit of its own. */
static uint32_t segment_size(const Conn *conn, const Host *peer)
{
    return MIN(peer->mss, 65000u) - (conn->ts ? 12 : 0);
}

uint32_t world_data(World *w, unsigned c, unsigned side, uint32_t len, Segment style, bool lost)
{
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side], *peer = &conn->host[!side];
    uint32_t mss = segment_size(conn, peer), done = 0;

    if (h->fin_sent || h->dead) {
        return 0;
    }
    len = after(h->snd_edge, h->snd_nxt) ? MIN(len, h->snd_edge - h->snd_nxt) : 0;
    while (done < len) {
        Segment s = world_segment(w, c, side);
        bool gso = w->vnet_len && style.csum_kind == 1;

        s.len = MIN(len - done, gso ? 65000 : mss);
        s.flags |= done + s.len == len ? VNX_TCP_PSH : 0;
        s.csum_kind = style.csum_kind;
        s.gso_size = gso && s.len > mss ? mss : 0;
        s.split = style.split;
        h->snd_nxt += s.len;
        done += s.len;
        if (!lost) {
            world_send(w, c, side, &s);
        }
    }
    return done;
}

void world_resend(World *w, unsigned c, unsigned side, uint32_t skip, uint32_t len, Segment style)
{
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side], *peer = &conn->host[!side];
    uint32_t mss = segment_size(conn, peer);
    uint32_t seq = h->snd_una + skip, end = h->snd_nxt - h->fin_sent;

    if (h->dead) {
        return;
    }
    do {
        Segment s = world_segment(w, c, side);

        if (after(h->snd_una, seq)) {
            seq = h->snd_una;           /* acknowledged meanwhile */
        }
        if (!after(h->snd_nxt, seq)) {
            return;
        }
        s.seq = seq;
        s.len = MIN(MIN(end - seq, mss), len);
        s.flags |= h->fin_sent && seq + s.len == end ? VNX_TCP_FIN : 0;
        s.csum_kind = style.csum_kind;
        s.split = style.split;
        world_send(w, c, side, &s);
        seq += s.len + !!(s.flags & VNX_TCP_FIN);
        len -= s.len;
    } while (len);
}

void world_fin(World *w, unsigned c, unsigned side)
{
    Host *h = &w->conn[c].host[side];

    if (!h->fin_sent && !h->dead) {
        Segment s = world_segment(w, c, side);

        s.flags |= VNX_TCP_FIN;
        h->fin_sent = true;
        h->snd_nxt++;
        world_send(w, c, side, &s);
    }
}

void world_ack(World *w, unsigned c, unsigned side)
{
    Conn *conn = &w->conn[c];
    Cover *got = &conn->host[side].got;
    Segment s = world_segment(w, c, side);

    if (conn->host[side].dead) {
        return;
    }
    if (conn->sack) {
        for (unsigned i = 0; i < got->n && s.n_sack < 3; i++, s.n_sack++) {
            s.sack[i].start = got->piece[i].start;
            s.sack[i].end = got->piece[i].end;
        }
    }
    world_send(w, c, side, &s);
}

void world_ack_hold(World *w, unsigned c, unsigned side)
{
    Host *h = &w->conn[c].host[side];

    h->held = world_segment(w, c, side);
    h->holds = true;
}

void world_ack_late(World *w, unsigned c, unsigned side)
{
    Host *h = &w->conn[c].host[side];

    if (h->holds && !h->dead) {
        h->holds = false;
        w->conn[c].reordered = true;
        world_send(w, c, side, &h->held);
    }
}

void world_window(World *w, unsigned c, unsigned side, uint32_t bytes)
{
    Host *h = &w->conn[c].host[side];

    h->wnd = MIN(bytes, 65535u << h->wscale);
}

/* ---- Checks ---- */

typedef struct Sum {
    World *w;
    uint64_t buffer_used, undelivered;
    uint32_t flows;
    uint64_t last_id;
} Sum;

static bool check_flow(const VnxVtcpFlowInfo *info, void *opaque)
{
    Sum *sum = opaque;

    CHECK(info->id > sum->last_id, "flows out of order");
    CHECK(vnx_flow_state_name(info->state), "flow state %d", info->state);
    CHECK(info->age_ns >= 0 && info->idle_ns >= 0 && info->idle_ns <= info->age_ns,
          "age %" G_GINT64_FORMAT ", idle %" G_GINT64_FORMAT, info->age_ns, info->idle_ns);
    sum->last_id = info->id;
    sum->flows++;
    for (unsigned d = 0; d < 2; d++) {
        const VnxVtcpHalfInfo *h = &info->half[d];

        CHECK(vnx_half_state_name(h->state) && vnx_reason_name(h->reason),
              "state %d, reason %d", h->state, h->reason);
        CHECK(h->buffer_used <= sum->w->flow_buffer_max, "buffer of %u bytes", h->buffer_used);
        CHECK(h->undelivered <= sum->w->flow_buffer_max, "owes %u bytes", h->undelivered);
        CHECK(!h->undelivered || h->undelivered <= h->buffer_used, "owes %u bytes, has %u",
              h->undelivered, h->buffer_used);
        if (info->state == VNX_FLOW_ESTABLISHED && h->state == VNX_HALF_ACCELERATING) {
            CHECK(!after(h->una, h->nxt), "una %u > nxt %u", h->una, h->nxt);
            CHECK(!h->undelivered || h->undelivered == h->early - h->una,
                  "owes %u bytes, una %u, early %u", h->undelivered, h->una, h->early);
            CHECK(h->cwnd > 0 && h->mss > 0, "cwnd %u, mss %u", h->cwnd, h->mss);
        }
        sum->buffer_used += h->buffer_used;
        sum->undelivered += h->undelivered;
    }
    return true;
}

void world_check(World *w)
{
    Sum sum = { .w = w };
    VnxVtcpStats stats;

    vnx_vtcp_foreach_flow(w->v, 0, w->now, check_flow, &sum);
    vnx_vtcp_stats(w->v, &stats);
    CHECK(stats.flows == sum.flows, "%u flows, counted %u", stats.flows, sum.flows);
    CHECK(stats.flows <= w->flows_max, "%u flows", stats.flows);
    CHECK(stats.half_open <= stats.flows, "%u half open", stats.half_open);
    CHECK(stats.buffer_used == sum.buffer_used, "buffers hold %" G_GUINT64_FORMAT ", counted %"
          G_GUINT64_FORMAT, stats.buffer_used, sum.buffer_used);
    CHECK(stats.undelivered == sum.undelivered, "owes %" G_GUINT64_FORMAT ", counted %"
          G_GUINT64_FORMAT, stats.undelivered, sum.undelivered);
    CHECK(stats.buffer_used <= w->buffer_size_max, "buffers hold %" G_GUINT64_FORMAT,
          stats.buffer_used);
    CHECK(!stats.undelivered || !vnx_vtcp_drained(w->v), "drained, but owes data");
}

typedef struct Owed {
    World *w;
    uint64_t bytes;
} Owed;

static bool add_owed(const VnxVtcpFlowInfo *info, void *opaque)
{
    Owed *owed = opaque;
    Conn *c = find_conn(owed->w, &info->key);

    for (unsigned dir = 0; dir < 2; dir++) {
        if (c && c->clean && !c->host[dir].dead) {
            owed->bytes += info->half[dir].undelivered;
        }
    }
    return true;
}

/* What vTCP owes to honest hosts that live.  Forged segments can close a window for good. */
static uint64_t undelivered(World *w)
{
    Owed owed = { .w = w };

    vnx_vtcp_foreach_flow(w->v, 0, w->now, add_owed, &owed);
    return owed.bytes;
}

/* Receivers acknowledge, time goes on; @done tells when it is enough. */
static void settle(World *w, bool (*done)(World *w), bool resend)
{
    const Segment plain = { .flip_at = -1 };

    for (unsigned i = 0; i < 3000 && !done(w); i++) {
        int64_t deadline;

        world_run(w);
        for (unsigned c = 0; c < CONNS; c++) {
            for (unsigned side = 0; side < 2; side++) {
                if (w->conn[c].open) {
                    if (resend && i % 4 == 0 && w->conn[c].clean) {
                        world_resend(w, c, side, 0, 65535, plain);
                    }
                    world_ack(w, c, side);
                }
            }
        }
        world_run(w);
        deadline = vnx_vtcp_next_deadline(w->v);
        w->now = i % 2 && deadline != INT64_MAX ? MAX(w->now, deadline) : w->now + 10 * MS;
    }
}

static bool owes_nothing(World *w)
{
    return undelivered(w) == 0;
}

static bool drained(World *w)
{
    return vnx_vtcp_drained(w->v);
}

static bool all_arrived(World *w)
{
    for (unsigned c = 0; c < CONNS; c++) {
        Conn *conn = &w->conn[c];

        for (unsigned side = 0; side < 2; side++) {
            if (conn->open && conn->clean && !conn->host[0].dead && !conn->host[1].dead &&
                conn->host[side].snd_una != conn->host[side].snd_nxt) {
                return false;
            }
        }
    }
    return true;
}

void world_finish(World *w)
{
    bool all_clean = !w->forged;
    VnxVtcpConfig patient = w->cfg;

    /* From now on nobody is silent: no connection may be given up. */
    patient.retry_limit_ms = VNX_RETRY_LIMIT_MAX_MS;
    world_set_config(w, &patient);
    for (unsigned dir = 0; dir < 2; dir++) {
        w->busy[dir] = w->lossy[dir] = w->stalled[dir] = false;
        vnx_vtcp_writable(w->v, dir);
    }
    world_set_paused(w, false);
    for (unsigned c = 0; c < CONNS; c++) {
        Conn *conn = &w->conn[c];

        all_clean &= conn->clean ? !conn->host[0].dead && !conn->host[1].dead
                                 : !conn->open && !conn->wild;
        for (unsigned side = 0; side < 2; side++) {
            world_window(w, c, side, UINT32_MAX);
        }
    }
    settle(w, owes_nothing, false);
    CHECK(owes_nothing(w), "%" G_GUINT64_FORMAT " bytes are never delivered", undelivered(w));
    settle(w, all_arrived, true);
    CHECK(all_arrived(w), "a connection is stuck");
    settle(w, owes_nothing, false);
    CHECK(owes_nothing(w), "%" G_GUINT64_FORMAT " bytes are never delivered", undelivered(w));
    world_set_enabled(w, false);
    if (all_clean) {
        settle(w, drained, false);
        CHECK(drained(w), "never drained");
    }
    for (unsigned c = 0; c < CONNS; c++) {
        Conn *conn = &w->conn[c];

        for (unsigned side = 0; side < 2; side++) {
            Host *s = &conn->host[side], *r = &conn->host[!side];

            CHECK(!conn->open || !conn->clean || r->dead || r->got.overflow ||
                  !after(s->snd_una, r->got.nxt),
                  "acknowledged up to %u, received up to %u", s->snd_una, r->got.nxt);
        }
    }
    world_check(w);
}
