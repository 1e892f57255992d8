/*
 * vnx: what vTCP sends, passes and forwards in the fuzz target: checked, then received
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "world-private.h"

void cover_init(Cover *c, uint32_t nxt)
{
    memset(c, 0, sizeof(*c));
    c->nxt = nxt;
}

void cover_add(Cover *c, uint32_t seq, uint32_t len, bool fin)
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
        CoverPiece all = { seq, end };

        for (unsigned i = 0; i < c->n; i++) {
            if (!after(c->piece[i].start, all.end) && !after(all.start, c->piece[i].end)) {
                all.start = after(all.start, c->piece[i].start) ? c->piece[i].start : all.start;
                all.end = after(c->piece[i].end, all.end) ? c->piece[i].end : all.end;
                c->piece[i--] = c->piece[--c->n];
            }
        }
        if (c->n == COVER_MAX) {
            c->overflow = true;
            return;
        }
        c->piece[c->n++] = all;
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

uint32_t cover_end(const Cover *c, uint32_t seq)
{
    uint32_t end = after(c->nxt, seq) ? c->nxt : seq;

    for (unsigned i = 0; i < c->n; i++) {
        if (!after(c->piece[i].start, end) && after(c->piece[i].end, end)) {
            end = c->piece[i].end;
        }
    }
    return end;
}

uint32_t cover_next(const Cover *c, uint32_t seq, uint32_t limit)
{
    for (unsigned i = 0; i < c->n; i++) {
        if (after(c->piece[i].start, seq) && after(limit, c->piece[i].start)) {
            limit = c->piece[i].start;
        }
    }
    return limit;
}

/* ---- Delivery ---- */

/* Sequence numbers as distances from the ISS of who counts them. */
void trace_segment(const World *w, const Conn *c, unsigned dir, const VnxPacket *p,
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
    world_trace(w, "%s to %s conn %d: %s seq %u len %u ack %u win %u gso %u%s",
                what[origin], dir ? "net" : "guest", (int)(c - w->conn), flags,
                rel(&c->host[!dir], p->seq), p->payload_len, rel(&c->host[dir], p->ack),
                p->window, p->vnet.gso_size,
                w->lossy[dir] && origin != PUSHED ? " (lost)" : "");
}

Conn *find_conn(World *w, const VnxFlowKey *key)
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
        CHECK((p->vnet.gso_type & ~VNX_VNET_GSO_ECN) ==
                  (p->ip_version == 4 ? VNX_VNET_GSO_TCPV4 : VNX_VNET_GSO_TCPV6),
              "GSO type %u", p->vnet.gso_type);
        CHECK(!(p->vnet.gso_type & VNX_VNET_GSO_ECN) == !(p->flags & VNX_TCP_CWR),
              "GSO type %u, flags %#x", p->vnet.gso_type, p->flags);
        CHECK(o->ecn || !(p->flags & VNX_TCP_CWR), "GSO with CWR not offered");
        CHECK(o->csum && (p->ip_version == 4 ? o->tso4 : o->tso6), "GSO not offered");
        CHECK(p->vnet.gso_size > 0, "GSO without a size");
    }
    if (c && c->open && !c->wild) {
        uint32_t len = p->vnet.gso_type ? p->vnet.gso_size : p->payload_len;

        CHECK(!vnx_packet_ecn(p) || (c->ecn && vnx_packet_ecn(p) == VNX_ECN_ECT0),
              "ECN field %u", vnx_packet_ecn(p));
        /* (what was forged went by and counts, too, though vTCP did not take it) */
        CHECK(!c->clean || (!vnx_packet_ecn(p) && !(p->flags & VNX_TCP_CWR)) ||
                  (p->payload_len && !(c->host[dir].out &&
                                       after(c->host[dir].out_max, p->seq))),
              "ECT or CWR on what is not new payload");
        /* RFC 6691: the MSS option does not count options, the segment does. */
        CHECK(len + options <= c->host[dir].mss || len == 0,
              "segment of %u + %u bytes, MSS %u", len, options, c->host[dir].mss);
    }
}

/*
 * SACK blocks of vTCP's own for the host @r: RFC 2018 and RFC 2883.  Only what vTCP has seen of
 * @r's; the first block is a D-SACK, or has the segment that triggered the ACK if any has.
 */
static void check_sack(World *w, Conn *c, const Host *r, const VnxPacket *p)
{
    const VnxSackBlock *b = p->sack;
    bool again = p->n_sack && (!after(b[0].end, p->ack) ||
                               (p->n_sack > 1 && !after(b[1].start, b[0].start) &&
                                !after(b[0].end, b[1].end)));
    unsigned side = r - c->host;

    CHECK(c->sack || !p->n_sack, "SACK that was not permitted");
    for (unsigned i = 0; i < p->n_sack; i++) {
        CHECK(after(b[i].end, b[i].start), "SACK block %u is empty", i);
        CHECK(r->pushed.overflow || !after(b[i].end, cover_end(&r->pushed, b[i].start)),
              "SACK of %u to %u, which did not arrive", rel(r, b[i].start),
              rel(r, b[i].end));
        CHECK(i < again || after(b[i].start, p->ack), "SACK block %u is not ahead", i);
        for (unsigned k = again; k < i; k++) {
            CHECK(after(b[k].start, b[i].end) || after(b[i].start, b[k].end),
                  "SACK blocks %u and %u touch", k, i);
        }
        if (w->under_way && w->under_way_conn == c && w->under_way_side == side &&
            w->under_way->len && after(w->under_way->seq, p->ack) &&
            !after(b[i].start, w->under_way->seq) && after(b[i].end, w->under_way->seq)) {
            CHECK(i <= again, "SACK block %u has the newest segment", i);
        }
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

        CHECK(good == p->payload_len, "payload at seq %u differs at offset %u of %u",
              p->seq, good, p->payload_len);
    }
    if (!c->open || c->wild) {
        return;
    }
    r = &c->host[dir]; /* the receiver of this segment; as a sender, it gets the ACK */
    s = &c->host[!dir];
    if (p->flags & VNX_TCP_ACK && !(p->flags & VNX_TCP_RST)) {
        uint32_t bound = r->sent_max;

        if (origin == EMITTED && !r->pushed.overflow) {
            /* nothing that vTCP has not seen, unless the receiver itself said it has it
             */
            bound = r->pushed.nxt;
            raise_to(r, &bound, s->ack_max);
        }
        CHECK(rel(r, p->ack) >= 1u << 31 || rel(r, p->ack) <= rel(r, bound),
              "ACK %u beyond what was sent (%u)", p->ack, bound);
    }
    if (origin == EMITTED && c->clean) {
        check_sack(w, c, r, p);
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
bool evicted(const World *w)
{
    VnxVtcpStats stats;

    vnx_vtcp_stats(w->v, &stats);
    return w->evicted || stats.flows_evicted;
}

/* The host takes the ACK and window of @p. */
static void host_take_ack(World *w, Conn *c, unsigned side, const VnxPacket *p,
                          Origin origin)
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
        /* after its FIN no window means anything to h */
        if (newest && !after(h->snd_una, p->ack) && !c->reordered && !evicted(w) &&
            !(h->fin_sent && p->ack == h->snd_nxt)) {
            CHECK(!after(h->snd_edge, edge), "window moved left by %u",
                  h->snd_edge - edge);
        }
    }
    if (after(p->ack, h->snd_una) && !after(p->ack, h->snd_nxt)) {
        h->snd_una = p->ack;
        cover_add(&h->sacked, h->sacked.nxt, p->ack - h->sacked.nxt, false);
    }
    for (unsigned i = 0; i < p->n_sack && c->clean; i++) {
        if (after(p->sack[i].start, p->ack)) {
            cover_add(&h->sacked, p->sack[i].start, p->sack[i].end - p->sack[i].start, false);
        }
    }
    if (newest && !after(h->snd_una, p->ack)) {
        h->wl1 = p->seq;
        h->wl2 = p->ack;
        if (after(edge, h->snd_edge)) {
            h->snd_edge = edge;
        }
    }
}

/* ECN at the host @h (RFC 3168 6.1). */
static void host_take_ecn(Conn *c, Host *h, const VnxPacket *p)
{
    const Host *peer = &c->host[h == c->host];

    if (p->flags & VNX_TCP_CWR) {
        h->echo = false;
    }
    if (p->payload_len && vnx_packet_ecn(p) == VNX_ECN_CE) {
        h->echo = h->echoed = true;
    }
    if (p->flags & VNX_TCP_ECE) {
        CHECK(!c->clean || h->marked || peer->echoed, "ECE that nobody had to say");
        h->cwr = true;
    }
}

static void host_receive(World *w, Conn *c, unsigned side, const VnxPacket *p,
                         Origin origin)
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
    if (c->ecn) {
        host_take_ecn(c, h, p);
    }
    /* What is wholly old is not acceptable: its ACK and window do not count (RFC 9293
     * 3.10.7.4). */
    if (p->flags & VNX_TCP_ACK && (p->payload_len || p->flags & VNX_TCP_FIN
                                       ? after(p->seq + vnx_packet_seq_len(p), h->got.nxt)
                                       : !after(h->got.nxt, p->seq))) {
        host_take_ack(w, c, side, p, origin);
    }
    cover_add(&h->got, p->seq, p->payload_len, p->flags & VNX_TCP_FIN);
}

void deliver(World *w, unsigned dir, const struct iovec *iov, unsigned iovcnt,
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
        if (c && p.payload_len && (!c->host[dir].out ||
                                   after(p.seq + p.payload_len, c->host[dir].out_max))) {
            c->host[dir].out = true;
            c->host[dir].out_max = p.seq + p.payload_len;
        }
        if (c && !w->lossy[dir] && vnx_packet_csum_ok(&p)) {
            host_receive(w, c, dir, &p, origin);
        }
    } else {
        CHECK(origin == PASSED, "vTCP sent a frame that is not sound");
    }
    g_free(flat);
}
