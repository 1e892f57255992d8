/*
 * vnx: what the end hosts of the vTCP fuzz target do
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "world-private.h"

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
        .flags = VNX_TCP_ACK | (h->echo ? VNX_TCP_ECE : 0),
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
    conn->ecn = hs->ecn;
    w->lossy[0] = w->lossy[1] = false;
    for (unsigned side = 0; side < 2; side++) {
        Host *h = &conn->host[side];

        h->iss = hs->iss[side];
        h->mss = hs->mss[side] ? hs->mss[side] : conn->key.ip_version == 4 ? 536 : 1220;
        h->wscale = scaled ? hs->wscale[side] : 0;
        h->snd_una = h->snd_nxt = h->sent_max = h->iss + 1;
        h->snd_edge = h->iss + 1 + 65535;
        cover_init(&h->pushed, h->iss + 1);
        cover_init(&h->sacked, h->iss + 1);
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
            .flags = (step && side == a ? 0 : VNX_TCP_SYN) | (step ? VNX_TCP_ACK : 0) |
                     (!hs->ecn || (step && side == a) ? 0 : VNX_TCP_ECE) |
                     (!hs->ecn || step ? 0 : VNX_TCP_CWR),
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

uint32_t world_data(World *w, unsigned c, unsigned side, uint32_t len, Segment style,
                    bool lost)
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
        if (conn->ecn) {
            s.ecn = style.ecn == VNX_ECN_CE ? VNX_ECN_CE : VNX_ECN_ECT0;
            s.flags |= h->cwr ? VNX_TCP_CWR : 0;
            h->cwr = false;
            h->marked |= s.ecn == VNX_ECN_CE && !lost;
        }
        if (style.flags & VNX_TCP_URG) {
            s.flags |= VNX_TCP_URG;
            s.urgent = s.len;
        }
        h->snd_nxt += s.len;
        done += s.len;
        if (!lost) {
            world_send(w, c, side, &s);
        }
    }
    return done;
}

void world_resend(World *w, unsigned c, unsigned side, uint32_t skip, uint32_t len,
                  Segment style)
{
    Conn *conn = &w->conn[c];
    Host *h = &conn->host[side], *peer = &conn->host[!side];
    uint32_t mss = segment_size(conn, peer);
    uint32_t seq = h->snd_una + skip, end = h->snd_nxt - h->fin_sent;
    uint32_t stop;

    if (h->dead) {
        return;
    }
    do {
        Segment s = world_segment(w, c, side);

        if (after(h->snd_una, seq)) {
            seq = h->snd_una;           /* acknowledged meanwhile */
        }
        stop = end;
        if (conn->clean && !evicted(w)) {       /* only what vTCP has not taken */
            uint32_t known = cover_end(&h->sacked, seq) - seq;

            if (known >= len) {
                return;
            }
            seq += known;
            len -= known;
            stop = cover_next(&h->sacked, seq, end);
        }
        if (!after(h->snd_nxt, seq)) {
            return;
        }
        s.seq = seq;
        s.len = MIN(MIN(stop - seq, mss), len);
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
