/*
 * vnx script runner: frames that came out
 *
 * Three layers of checks.  Soundness: lengths, checksums, offloads, payload bytes.
 * Invariants of what vTCP made, changed or let pass where it speaks for the sender,
 * whatever a script asks for: neither the ACK number nor the right edge given to a
 * host ever moves left, TSval neither, no payload beyond the receiver's edge, no empty
 * segment ahead of the data (DESIGN 3, rules 3 to 5).  And the fields that the line
 * names.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "script.h"

static VnxParse parse_frame(VnxPacket *p, struct iovec *iov, Side to,
                            const uint8_t *frame, size_t size, uint16_t vnet_len)
{
    *iov = (struct iovec) { (void *)frame, size };
    return vnx_packet_parse(p, iov, 1, vnet_len, (VnxDir)to);
}

static void put_flags(GString *g, uint16_t flags)
{
    static const char letters[] = "FSRP.UEWN";

    for (unsigned i = 0; letters[i]; i++) {
        if (flags & 1 << i) {
            g_string_append_c(g, letters[i]);
        }
    }
    if (!flags) {
        g_string_append(g, "none");
    }
}

static uint32_t window_bytes(const World *w, Side from, const VnxPacket *p)
{
    return (uint32_t)p->window << (p->flags & VNX_TCP_SYN ? 0
                                   : w->conn->host[from].shift);
}

char *describe_frame(World *w, Side to, const uint8_t *frame, size_t size,
                     uint16_t vnet_len)
{
    static const char *const ecn[] = { "", " ect1", " ect", " ce" };
    static const char *const whats[] = { "TCP", "not TCP", "IP fragment", "truncated",
                                         "malformed", "too long" };
    const Host *from = &w->conn->host[!to], *dest = &w->conn->host[to];
    GString *g = g_string_new(NULL);
    struct iovec iov;
    VnxPacket *p = g_new0(VnxPacket, 1);
    VnxParse what = parse_frame(p, &iov, to, frame, size, vnet_len);

    if (what != VNX_PARSE_TCP) {
        g_string_append_printf(g, "(%s, %zu bytes)", whats[what], size);
        g_free(p);
        return g_string_free(g, FALSE);
    }
    put_flags(g, p->flags);
    g_string_append_printf(g, " %u", p->seq - from->isn);
    if (p->payload_len) {
        g_string_append_printf(g, ":%u (%u)", p->seq - from->isn + p->payload_len,
                               p->payload_len);
    }
    if (p->flags & VNX_TCP_ACK) {
        g_string_append_printf(g, " ack %u", p->ack - dest->isn);
    }
    g_string_append_printf(g, " win %u", window_bytes(w, !to, p));
    if (p->options & VNX_OPT_MSS) {
        g_string_append_printf(g, " mss %u", p->mss);
    }
    if (p->options & VNX_OPT_WSCALE) {
        g_string_append_printf(g, " wscale %u", p->wscale);
    }
    if (p->options & VNX_OPT_SACK_PERMITTED) {
        g_string_append(g, " sackok");
    }
    if (p->ts_off) {
        g_string_append_printf(g, " ts %u/%u", p->tsval, p->tsecr);
    }
    for (unsigned i = 0; i < p->n_sack; i++) {
        g_string_append_printf(g, "%s%u:%u", i ? "," : " sack ",
                               p->sack[i].start - dest->isn, p->sack[i].end - dest->isn);
    }
    if (p->flags & VNX_TCP_URG) {
        g_string_append_printf(g, " urg %u", p->urgent);
    }
    if (p->vnet.flags & VNX_VNET_F_NEEDS_CSUM) {
        g_string_append(g, " partial");
    }
    if (p->vnet.gso_size) {
        g_string_append_printf(g, " gso %u", p->vnet.gso_size);
    }
    g_string_append(g, ecn[p->dscp_ecn & 3]);
    g_free(p);
    return g_string_free(g, FALSE);
}

static void put_want(GString *g, const char *name, Want want)
{
    if (want.op == '=') {
        g_string_append_printf(g, " %s %" PRId64, name, want.v);
    } else if (want.op) {
        g_string_append_printf(g, " %s%c=%" PRId64, name, want.op, want.v);
    }
}

char *describe_seg(const Seg *s)
{
    GString *g = g_string_new(NULL);

    put_flags(g, s->flags);
    g_string_append_printf(g, " %u", s->seq);
    if (s->end != s->seq) {
        g_string_append_printf(g, ":%u", s->end);
    }
    put_want(g, "ack", s->ack);
    put_want(g, "win", s->win);
    put_want(g, "edge", s->edge);
    put_want(g, "mss", s->mss);
    put_want(g, "wscale", s->wscale);
    put_want(g, "tsval", s->tsval);
    put_want(g, "tsecr", s->tsecr);
    for (unsigned i = 0; i < s->n_sack; i++) {
        g_string_append_printf(g, "%s%u:%u", i ? "," : " sack ", s->sack[i].start,
                               s->sack[i].end);
    }
    return g_string_free(g, FALSE);
}

/* Checksums and lengths of IP and TCP, by the runner's own sums. */
static const char *unsound(World *w, const VnxPacket *p, const uint8_t *frame,
                           const Out *o, const Seg *want)
{
    const uint8_t *l3 = frame + p->l3_off, *l4 = frame + p->l4_off;
    uint32_t l4_len = p->payload_off - p->l4_off + p->payload_len;
    size_t end = p->payload_off + p->payload_len;
    uint16_t field = l4[16] << 8 | l4[17];

    if (o->how == PASSED ? end > o->size : end != o->size) {    /* padding may pass */
        return "the frame's length and the IP length differ";
    }
    if (p->ip_version == 4) {
        unsigned hlen = (l3[0] & 15) * 4;
        uint32_t total = l3[2] << 8 | l3[3];

        if ((slow_sum(l3, hlen, 0) != 0xffff) != want->bad_ip_csum) {
            return "IPv4 header checksum";
        }
        if (total != (hlen + l4_len > 0xffff ? 0 : hlen + l4_len)) {
            return "IPv4 total length";
        }
    } else if ((l3[4] << 8 | l3[5]) != (end - p->l3_off - 40 > 0xffff ? 0
                                        : end - p->l3_off - 40)) {
        return "IPv6 payload length";
    }
    if (p->vnet.flags & VNX_VNET_F_NEEDS_CSUM) {
        if (field != slow_sum(NULL, 0, pseudo_sum(w->family, l3, l4_len, 6))) {
            return "partial checksum: not the pseudo header's sum";
        }
        if (p->vnet.csum_start != p->l4_off - p->vnet_len || p->vnet.csum_offset != 16) {
            return "csum_start or csum_offset";
        }
        if (want->full) {
            return "the checksum is partial, a full one was wanted";
        }
    } else {
        bool good = slow_sum(l4, l4_len, pseudo_sum(w->family, l3, l4_len, 6)) == 0xffff;

        if (!want->data_valid && good == want->bad_csum) {
            return good ? "the TCP checksum is right, a wrong one was wanted"
                        : "TCP checksum";
        }
        if (want->partial) {
            return "the checksum is full, a partial one was wanted";
        }
    }
    return NULL;
}

/* What vTCP made must fit what its receiver takes. */
static const char *too_much(World *w, Side to, const VnxPacket *p, const Out *o)
{
    const VnxOffload *off = &w->offload[to];
    const Host *dest = &w->conn->host[to];
    unsigned opts = p->payload_off - p->l4_off - 20;
    uint32_t mss = dest->mss ? dest->mss : 536;

    if (o->how != EMITTED) {
        return NULL;
    }
    if ((p->vnet.flags & VNX_VNET_F_NEEDS_CSUM) && !off->csum) {
        return "partial checksum toward a side without that offload";
    }
    if (p->vnet.flags & ~VNX_VNET_F_NEEDS_CSUM) {
        return "virtio-net header flags that a built frame has no use for";
    }
    if (!p->vnet.gso_type) {
        return p->payload_len + opts > mss ? "longer than the receiver's MSS" : NULL;
    }
    if (!(p->vnet.flags & VNX_VNET_F_NEEDS_CSUM)) {
        return "GSO without a partial checksum";
    }
    if (!(w->family == 4 ? off->tso4 : off->tso6)) {
        return "GSO toward a side without that offload";
    }
    if ((p->vnet.gso_type & ~VNX_VNET_GSO_ECN) !=
        (w->family == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6)) {
        return "GSO type";
    }
    if (!(p->vnet.gso_type & VNX_VNET_GSO_ECN) != !(p->flags & VNX_TCP_CWR)) {
        return "GSO_ECN is for CWR, and CWR needs it";
    }
    if (p->flags & VNX_TCP_CWR && !off->ecn) {
        return "GSO with CWR toward a side without that offload";
    }
    if (p->vnet.hdr_len != p->payload_off - p->vnet_len) {
        return "GSO header length";
    }
    if (!p->vnet.gso_size || p->vnet.gso_size + opts > mss) {
        return "GSO size beyond the receiver's MSS";
    }
    if (o->size - p->l3_off > 0xffff) {
        return "a GSO frame longer than 65535 bytes of IP";
    }
    return NULL;
}

/* Ethernet and IP headers are those of the direction, lengths and ids aside. */
static const char *wrong_headers(World *w, Side to, const VnxPacket *p,
                                 const uint8_t *frame, const Seg *want)
{
    uint8_t mine[256], theirs[256];
    unsigned l3, len = build_l2_l3(w, !to, want, 20, mine, &l3);

    if (len != p->l4_off - p->vnet_len || l3 != p->l3_off - p->vnet_len) {
        return "length of the Ethernet and IP headers";
    }
    memcpy(theirs, frame + p->vnet_len, len);
    if (w->family == 4) {
        memset(mine + l3 + 2, 0, 4);    /* total length, identification */
        memset(theirs + l3 + 2, 0, 4);
        memset(mine + l3 + 10, 0, 2);   /* checksum */
        memset(theirs + l3 + 10, 0, 2);
    } else {
        memset(mine + l3 + 4, 0, 2);    /* payload length */
        memset(theirs + l3 + 4, 0, 2);
    }
    if (memcmp(mine, theirs, l3)) {
        return "Ethernet header (MAC addresses, VLAN tags)";
    }
    return memcmp(mine + l3, theirs + l3, len - l3) ? "IP header" : NULL;
}

static const char *wrong_payload(Side to, const Host *from, const VnxPacket *p,
                                 const uint8_t *frame, const Seg *want)
{
    const uint8_t *b = frame + p->payload_off;
    uint32_t rel = p->seq - from->isn;

    for (uint32_t i = 0; i < p->payload_len; i++) {
        if (b[i] != (payload_byte(!to, rel + i) ^ (want->corrupt ? 0xff : 0))) {
            return "payload bytes";
        }
    }
    return NULL;
}

static const char *wrong_fields(World *w, Side to, const VnxPacket *p, const Seg *want)
{
    const Host *from = &w->conn->host[!to], *dest = &w->conn->host[to];
    uint32_t seq = p->seq - from->isn, ack = p->ack - dest->isn;
    uint32_t win = window_bytes(w, !to, p);
    uint16_t psh = want->flags & VNX_TCP_PSH ? 0 : VNX_TCP_PSH;
    bool syn = want->flags & VNX_TCP_SYN, rst = want->flags & VNX_TCP_RST;

    if ((p->flags & ~psh) != want->flags) {
        return "flags";
    }
    if (seq != want->seq || p->payload_len != want->end - want->seq) {
        return "sequence number or length";
    }
    if (!want_ok(want->ack, ack)) {
        return "ack";
    }
    if (!want_ok(want->win, win) || !want_ok(want->edge, (int64_t)ack + win)) {
        return "window";
    }
    if (want->flags & VNX_TCP_URG && p->urgent != want->urgent) {
        return "urgent pointer";
    }
    if ((want->mss.op && !(p->options & VNX_OPT_MSS)) || !want_ok(want->mss, p->mss) ||
        (want->wscale.op && !(p->options & VNX_OPT_WSCALE)) ||
        !want_ok(want->wscale, p->wscale)) {
        return "MSS or window scale option";
    }
    if (want->ts ? !p->ts_off : want->no_ts && p->ts_off) {
        return "timestamp option";
    }
    if (!syn && !rst && !want->no_ts && from->ts_on != (p->ts_off != 0)) {
        return "timestamp option: RFC 7323 wants all segments or none to have it";
    }
    if (p->ts_off &&
        (!want_ok(want->tsval, p->tsval) || !want_ok(want->tsecr, p->tsecr))) {
        return "timestamps";
    }
    if (p->n_sack != want->n_sack && !want->any_sack) {
        return "number of SACK blocks";
    }
    for (unsigned i = 0; !want->any_sack && i < want->n_sack; i++) {
        if (p->sack[i].start - dest->isn != want->sack[i].start ||
            p->sack[i].end - dest->isn != want->sack[i].end) {
            return "SACK blocks";
        }
    }
    if (want->gso && p->vnet.gso_size != want->gso) {
        return "GSO size";
    }
    return NULL;
}

static const char *out_problem(World *w, Side to, const Out *o, const Seg *want,
                               VnxPacket *p)
{
    unsigned guest_port = 10000 + w->conn->number;
    struct iovec iov;
    const char *problem;

    if (parse_frame(p, &iov, to, o->frame, o->size, o->vnet_len) != VNX_PARSE_TCP) {
        return "not TCP";
    }
    if (o->queue != want->queue) {
        return "it left by another queue";
    }
    if (p->key.port[GUEST] != guest_port || p->key.port[NET] != 80) {
        return "ports: another connection";
    }
    if ((problem = wrong_fields(w, to, p, want)) ||
        (problem = wrong_headers(w, to, p, o->frame, want)) ||
        (problem = unsound(w, p, o->frame, o, want)) ||
        (problem = too_much(w, to, p, o)) ||
        (problem = wrong_payload(to, &w->conn->host[!to], p, o->frame, want))) {
        return problem;
    }
    return NULL;
}

void check_out(World *w, Side to, const Out *o, const Seg *want)
{
    VnxPacket *p = g_new0(VnxPacket, 1);
    const char *problem = out_problem(w, to, o, want, p);

    g_free(p);
    if (problem) {
        char *wanted = describe_seg(want);
        char *got = describe_frame(w, to, o->frame, o->size, o->vnet_len);

        w->failure = g_strdup_printf("%s\n  wanted: %s\n  got:    %s", problem, wanted,
                                     got);
        g_free(wanted);
        g_free(got);
        fail(w, NULL);
    }
}

static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* Older than the newest TSval that @dest got, not 24 days ago (RFC 7323 5.5). */
static bool ts_older(const World *w, const Host *dest, const VnxPacket *p)
{
    return dest->got_ts && after(dest->got_tsval, p->tsval) &&
           w->now_ns - dest->got_ts_ns < INT64_C(24) * 86400 * 1000000000;
}

/* The runner notes ACK number, edge, timestamps and end of data given to @to. */
static void note_got(World *w, Side to, const VnxPacket *p, const Out *o)
{
    Host *from = &w->conn->host[!to], *dest = &w->conn->host[to];
    uint32_t ack = p->ack - dest->isn, edge = ack + window_bytes(w, !to, p);
    uint32_t end = p->seq - from->isn + p->payload_len +
                   !!(p->flags & VNX_TCP_FIN) + !!(p->flags & VNX_TCP_SYN);

    if ((p->flags & VNX_TCP_ACK) && !(p->flags & VNX_TCP_RST)) {
        if (!dest->got_any || after(ack, dest->got_ack)) {
            dest->got_ack = ack;
        }
        if (!dest->got_any || after(edge, dest->got_edge)) {
            dest->got_edge = edge;
        }
        dest->got_any = true;
    }
    if (p->payload_len || (p->flags & (VNX_TCP_FIN | VNX_TCP_SYN))) {
        dest->got_end = after(end, dest->got_end) ? end : dest->got_end;
    }
    if (p->ts_off && !ts_older(w, dest, p)) {
        dest->got_tsval = p->tsval;
        dest->got_ts = true;
        dest->got_ts_ns = o->at_ns;
    }
}

/* A frame that passed goes by the rules, too, if vTCP speaks for its sender. */
static bool acks_are_vtcps(World *w, Side to)
{
    VnxVtcpFlowInfo info;
    VnxHalfState state;

    if (!flow_info(w, &info)) {
        return false;
    }
    state = info.half[!to].state;
    return state == VNX_HALF_ACCELERATING || state == VNX_HALF_DRAINING;
}

/* Only the first block may repeat what is known (RFC 2883); the others, RFC 2018 3. */
static const char *bad_sack(const Host *dest, const VnxPacket *p)
{
    const VnxSackBlock *b = p->sack;
    bool again = p->n_sack && (!after(b[0].end, p->ack) ||
                               (p->n_sack > 1 && !after(b[1].start, b[0].start) &&
                                !after(b[0].end, b[1].end)));

    for (unsigned i = 0; i < p->n_sack; i++) {
        if (!after(b[i].end, b[i].start)) {
            return "a SACK block without bytes";
        }
        if (after(b[i].end - dest->isn, dest->sent_end)) {
            return "a SACK block of what this side never sent";
        }
        if (i >= again && !after(b[i].start, p->ack)) {
            return "a SACK block that is not ahead of the ACK number";
        }
        for (unsigned k = again; k < i; k++) {
            if (!after(b[k].start, b[i].end) && !after(b[i].start, b[k].end)) {
                return "SACK blocks that touch";
            }
        }
    }
    return NULL;
}

static const char *broken(World *w, Side to, const VnxPacket *p, const Out *o)
{
    const Host *from = &w->conn->host[!to], *dest = &w->conn->host[to];
    uint32_t ack = p->ack - dest->isn, seq = p->seq - from->isn;
    uint32_t edge = ack + window_bytes(w, !to, p);
    VnxVtcpFlowInfo info;

    if ((p->flags & VNX_TCP_RST) || (o->how == PASSED && !acks_are_vtcps(w, to))) {
        return NULL;
    }
    if (o->how == PASSED && (p->flags & VNX_TCP_SYN)) {
        return NULL;
    }
    if (!(p->flags & VNX_TCP_ACK)) {
        return "a built or changed segment without ACK";
    }
    if (dest->got_any && after(dest->got_ack, ack)) {
        return "the ACK number given to this side moved left";
    }
    if (dest->got_any && after(dest->got_edge, edge)) {
        return "the right edge given to this side moved left";
    }
    if (after(ack, dest->sent_end)) {
        return "acknowledges what this side never sent";
    }
    if (o->how == EMITTED && bad_sack(dest, p)) {
        return bad_sack(dest, p);
    }
    if (o->how == EMITTED && (p->dscp_ecn & 3 || p->flags & VNX_TCP_CWR) &&
        ((p->dscp_ecn & 3) != VNX_ECN_ECT0 || !p->payload_len ||
         after(dest->got_end, seq))) {
        return "ECT or CWR on what is not the first transmission of payload";
    }
    if (p->ts_off && ts_older(w, dest, p)) {
        return "TSval is older than the newest sent to this side";
    }
    if (p->payload_len && dest->edge_known && after(seq + p->payload_len, dest->edge)) {
        return "payload beyond the receiver's window";
    }
    if (!p->payload_len && !(p->flags & VNX_TCP_FIN) && after(seq, dest->got_end) &&
        flow_info(w, &info) && (info.half[to].state == VNX_HALF_ACCELERATING ||
                                info.half[to].state == VNX_HALF_JOINING)) {
        return "an empty segment with a SEQ ahead of the data sent to this side";
    }
    return NULL;
}

void check_invariants(World *w, Side to, const Out *o)
{
    VnxPacket *p = g_new0(VnxPacket, 1);
    Conn *was = w->conn;
    const char *problem = NULL;
    struct iovec iov;

    if (o->stray) {
        g_free(p);
        return;
    }
    if (parse_frame(p, &iov, to, o->frame, o->size, o->vnet_len) == VNX_PARSE_TCP) {
        w->conn = conn_get(w, p->key.port[GUEST] - 10000);
        problem = broken(w, to, p, o);
        if (!problem) {
            note_got(w, to, p, o);
        }
    } else if (o->how != PASSED) {
        problem = "vTCP sent what is not TCP";
    }
    g_free(p);
    if (problem) {
        char *got = describe_frame(w, to, o->frame, o->size, o->vnet_len);

        w->failure = g_strdup_printf("invariant: %s\n  got: %s", problem, got);
        g_free(got);
        fail(w, NULL);
    }
    w->conn = was;
}
