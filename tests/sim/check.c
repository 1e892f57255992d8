/*
 * vnx simulation: what vTCP may and may not do, seen from the wire.
 *
 * Both ends' stacks would hide many a mistake by dropping what they do not like and
 * recovering.  So every frame that vTCP makes or rewrites is held against what the
 * end hosts themselves have said so far:
 *  - the frame parses, and its checksum is right (unless it is left to the receiver);
 *  - payload it sends lies within the window that the receiver has offered, and was sent
 *    by the sender;
 *  - no ACK covers what its receiver has not sent, nor a FIN that the other end has not
 *    acknowledged itself;
 *  - the right edge of the window never moves left;
 *  - SACK blocks are sound (RFC 2018, RFC 2883), of what vTCP has got, and what was reported
 *    once is reported as long as there is room for it.
 * Frames that pass are the end hosts' own and are only remembered.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "sim.h"

enum { SEEN = 1, SACKED = 2 };  /* by vTCP; by vTCP's own ACKs */
enum { FIN = 1, SYN = 2, RST = 4, ACK = 16, CWR = 128 };

/* What one side of a connection has said; numbers are in sequence space. */
typedef struct Side {
    bool known;                 /* its SYN was seen */
    bool acked;                 /* it has sent an ACK */
    bool edge_known;
    bool fin;
    bool rst;
    int wscale;                 /* -1: none offered */
    uint32_t isn;
    uint32_t snd_max;           /* beyond the last it has sent */
    uint32_t fin_end;           /* beyond its FIN */
    uint32_t ack;               /* the highest it has sent */
    uint32_t edge;              /* of the window it has offered, the rightmost */
    /* the rightmost edge it was told: the other end's [0], vTCP's own [1] */
    bool told_known[2];
    uint32_t told_edge[2];
    bool out;                   /* payload of it has left vTCP, up to ... */
    uint32_t out_max;
    GByteArray *bytes;          /* flags of each byte of its sequence space */
    uint32_t wl1; /* the highest SEQ that came with a window, RFC 9293 3.3.1 */
} Side;

typedef struct Watch {
    Side side[2];
    bool reused;                /* a second connection of these ports: no more checks,
                                 * as vTCP may still have to deliver of the first */
    /* ACK and window field of the newest frame that came in, by direction */
    uint32_t in_ack[2];
    uint16_t in_window[2];
} Watch;

static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

static void watch_free(gpointer opaque)
{
    Watch *w = opaque;

    for (int side = 0; side < 2; side++) {
        if (w->side[side].bytes) {
            g_byte_array_unref(w->side[side].bytes);
        }
    }
    g_free(w);
}

void sim_check_init(Sim *sim)
{
    sim->watch = g_hash_table_new_full(NULL, NULL, NULL, watch_free);
}

void sim_check_destroy(Sim *sim)
{
    g_hash_table_destroy(sim->watch);
}

static Watch *lookup(Sim *sim, int dir, const SimTcp *t)
{
    uint32_t guest = dir == VNX_TO_NET ? t->sport : t->dport;
    uint32_t net = dir == VNX_TO_NET ? t->dport : t->sport;
    gpointer key = GUINT_TO_POINTER(guest << 16 | net);
    Watch *w = g_hash_table_lookup(sim->watch, key);

    if (!w) {
        w = g_new0(Watch, 1);
        w->side[0].wscale = w->side[1].wscale = -1;
        g_hash_table_insert(sim->watch, key, w);
    }
    return w;
}

static void mark(Side *s, uint32_t start, uint32_t end, uint8_t flag)
{
    uint32_t to = end - s->isn, old;

    if (to > 1u << 26) {
        return;                 /* of another connection of these ports */
    }
    if (!s->bytes) {
        s->bytes = g_byte_array_new();
    }
    old = s->bytes->len;
    if (to > old) {
        g_byte_array_set_size(s->bytes, to);
        memset(s->bytes->data + old, 0, to - old);
    }
    for (uint32_t i = MIN(start - s->isn, to); i < to; i++) {
        s->bytes->data[i] |= flag;
    }
}

/* The end of the bytes marked with @flag from @seq on; @seq if that is not one. */
static uint32_t run_end(const Side *s, uint32_t seq, uint8_t flag)
{
    while (s->bytes && seq - s->isn < s->bytes->len && s->bytes->data[seq - s->isn] & flag) {
        seq++;
    }
    return seq;
}

static uint32_t window(const Watch *w, int from, const SimTcp *t)
{
    bool scaled = !(t->flags & SYN) && w->side[0].wscale >= 0 && w->side[1].wscale >= 0;

    return (uint32_t)t->window << (scaled ? w->side[from].wscale : 0);
}

static bool read_frame(Sim *sim, const SimFrame *f, SimTcp *t, const uint8_t **packet)
{
    size_t l3 = sim_vnet_l3(f->data, f->len, sim->sc.vnet_len);

    if (l3 >= f->len) {
        return false;
    }
    *packet = f->data + l3;
    *t = sim_tcp_read(*packet, f->len - l3);
    return t->valid;
}

/*
 * What vTCP makes is ECN-capable, and says CWR, only where payload leaves for the first time
 * (RFC 3168 6.1.4, 6.1.5).  Frames that pass count, too.
 */
static void check_ecn(Sim *sim, Side *from, int dir, const uint8_t *packet, const SimTcp *t,
                      SimHow how)
{
    uint8_t field = sim_ecn_field(packet);
    uint32_t end = t->seq + t->payload_len;

    if (how == SIM_EMITTED && (field || t->flags & CWR) &&
        (field != 2 || !t->payload_len || (from->out && after(from->out_max, t->seq)))) {
        sim_fail(sim, "vTCP sent the %s ECN field %u, flags %02x on what is not new payload",
                 dir == VNX_TO_GUEST ? "guest" : "net", field, t->flags);
    }
    if (t->payload_len && (!from->out || after(end, from->out_max))) {
        from->out = true;
        from->out_max = end;
    }
}

static bool sound(Sim *sim, const SimFrame *f, const uint8_t *packet, const SimTcp *t)
{
    size_t header = (packet[0] & 15) * 4;

    return (sim_vnet_vouched(f->data, sim->sc.vnet_len) ||
            sim_tcp_checksum_ok(packet, t)) &&
           (t->ip_version == 6 || sim_checksum(packet, header, 0) == 0);
}

static uint32_t end_of(const SimTcp *t)
{
    return t->seq + t->payload_len + !!(t->flags & SYN) + !!(t->flags & FIN);
}

static void told(Watch *w, int dir, const SimTcp *t)
{
    const Side *from = &w->side[!dir];
    Side *to = &w->side[dir];
    uint32_t edge = t->ack + window(w, !dir, t);
    /* whose promise it is: beyond what the other end has offered, vTCP's own */
    bool by_vtcp = from->edge_known && after(edge, from->edge);

    if (!(t->flags & ACK) || (t->flags & RST) ||
        (to->told_known[0] && after(to->wl1, t->seq)) ||
        (!by_vtcp && after(from->snd_max, end_of(t)))) {
        return;                 /* the window of an old segment is not believed */
    }
    to->wl1 = t->seq;
    if ((!to->told_known[by_vtcp] || after(edge, to->told_edge[by_vtcp]))) {
        to->told_known[by_vtcp] = true;
        to->told_edge[by_vtcp] = edge;
    }
}

/*
 * Its own promises vTCP keeps to the byte, until the other end's offers have
 * overtaken them.  Those it may round down to the scale when it repeats them with another
 * ACK number, as the other end itself does (RFC 7323 section 2.4), and what
 * it forwards as the other end has written it may be old.  After a FIN windows mean
 * nothing, nor does the window of an end that has reset the connection.
 */
static void check_edge(Sim *sim, const Watch *w, int dir, const SimTcp *t)
{
    const Side *from = &w->side[!dir], *to = &w->side[dir];
    int scale = w->side[0].wscale >= 0 && w->side[1].wscale >= 0 ? from->wscale : 0;
    uint32_t edge = t->ack + window(w, !dir, t);
    bool old = to->told_known[0] && after(to->wl1, t->seq);
    bool own_words = w->in_ack[dir] == t->ack && w->in_window[dir] == t->window;
    bool pending = to->told_known[1] && after(to->told_edge[1], from->edge);

    if ((to->fin && !after(to->fin_end, t->ack)) || from->rst || !from->edge_known ||
        old) {
        return;
    }
    if (pending && after(to->told_edge[1], edge)) {
        sim_fail(sim, "vTCP took back window from the %s: edge %u, had promised %u",
                 dir == VNX_TO_GUEST ? "guest" : "net", edge, to->told_edge[1]);
    } else if (!pending && !own_words && sim->sc.strict && to->told_known[0] &&
               after(to->told_edge[0], edge + (1u << scale) - 1)) {
        sim_fail(sim,
                 "vTCP took back the other end's window from the %s: edge %u, was %u",
                 dir == VNX_TO_GUEST ? "guest" : "net", edge, to->told_edge[0]);
    }
}

/* The SACK blocks of an ACK that vTCP has made for @to. */
static void check_sack(Sim *sim, Side *to, const SimTcp *t)
{
    const uint32_t (*b)[2] = t->sack;
    bool again = t->n_sack && (!after(b[0][1], t->ack) ||
                               (t->n_sack > 1 && !after(b[1][0], b[0][0]) &&
                                !after(b[0][1], b[1][1])));

    for (unsigned i = 0; i < t->n_sack; i++) {
        if (!after(b[i][1], b[i][0]) || (i >= again && !after(b[i][0], t->ack)) ||
            after(b[i][1], to->snd_max)) {
            sim_fail(sim, "SACK block %u:%u with ACK %u of %u", b[i][0], b[i][1], t->ack,
                     to->snd_max);
            return;
        }
        if (after(b[i][1], run_end(to, b[i][0], SEEN))) {
            sim_fail(sim, "SACK block %u:%u of what did not arrive", b[i][0], b[i][1]);
        }
        for (unsigned k = again; k < i; k++) {
            if (!after(b[k][0], b[i][1]) && !after(b[i][0], b[k][1])) {
                sim_fail(sim, "SACK blocks %u:%u and %u:%u touch", b[k][0], b[k][1],
                         b[i][0], b[i][1]);
            }
        }
        mark(to, b[i][0], b[i][1], SACKED);
    }
    if (t->payload_len || t->n_sack >= (t->has_ts ? 3 : 4) || !to->bytes) {
        return;
    }
    /* what follows the ACK without a hole is held, unacknowledged, while a half drains */
    for (uint32_t i = run_end(to, t->ack, SEEN) - to->isn; i < to->bytes->len; i++) {
        bool told = !(to->bytes->data[i] & SACKED);

        for (unsigned k = again; k < t->n_sack && !told; k++) {
            told = i >= b[k][0] - to->isn && i < b[k][1] - to->isn;
        }
        if (!told) {
            sim_fail(sim, "vTCP does not know any more what it had reported by SACK: %u",
                     i + to->isn);
            return;
        }
    }
}

void sim_check_input(Sim *sim, int dir, const SimFrame *f)
{
    const uint8_t *packet;
    Side *from;
    uint32_t edge;
    Watch *w;
    SimTcp t;

    if (!read_frame(sim, f, &t, &packet) || !sound(sim, f, packet, &t)) {
        return;                 /* flipped on the way: nobody may believe it */
    }
    w = lookup(sim, dir, &t);
    from = &w->side[!dir];
    if ((t.flags & SYN) && !(from->known && from->isn == t.seq)) {
        w->reused |= from->known;
        *from = (Side) { .known = true, .isn = t.seq, .wscale = t.wscale };
        from->snd_max = end_of(&t);
    } else if (from->known && !(t.flags & RST) && after(end_of(&t), from->snd_max)) {
        from->snd_max = end_of(&t);
    }
    if (from->known && t.payload_len && !w->reused) {
        mark(from, t.seq, t.seq + t.payload_len, SEEN);
    }
    if ((t.flags & FIN) && from->known) {
        from->fin = true;
        from->fin_end = end_of(&t);
    }
    from->rst |= !!(t.flags & RST);
    w->in_ack[dir] = t.ack;
    w->in_window[dir] = t.window;
    if ((t.flags & ACK) && !(t.flags & RST)) {
        edge = t.ack + window(w, !dir, &t);
        if (!from->acked || after(t.ack, from->ack)) {
            from->ack = t.ack;
            from->acked = true;
        }
        if (!from->edge_known || after(edge, from->edge)) {
            from->edge = edge;
            from->edge_known = true;
        }
    }
}

void sim_check_output(Sim *sim, int dir, const SimFrame *f, SimHow how)
{
    const char *to_name = dir == VNX_TO_GUEST ? "guest" : "net";
    const uint8_t *packet;
    Side *from, *to;
    bool own_idea;
    Watch *w;
    SimTcp t;

    if (!read_frame(sim, f, &t, &packet)) {
        if (how != SIM_PASSED) {
            sim_fail(sim, "vTCP sent the %s a frame that is no sound TCP packet",
                     to_name);
        }
        return;
    }
    w = lookup(sim, dir, &t);
    from = &w->side[!dir];
    to = &w->side[dir];
    if (how == SIM_PASSED) {
        if (sound(sim, f, packet, &t)) {
            told(w, dir, &t);
            check_ecn(sim, from, dir, packet, &t, how);
        }
        return;
    }
    if (!sound(sim, f, packet, &t)) {
        sim_fail(sim, "vTCP sent the %s a frame with a wrong checksum", to_name);
        return;
    }
    if (!from->known || !to->known || w->reused || (t.flags & (RST | SYN))) {
        return;
    }
    check_ecn(sim, from, dir, packet, &t, how);
    if (t.payload_len > 0 && after(t.seq + t.payload_len, from->snd_max)) {
        sim_fail(sim, "vTCP sent the %s data that nobody sent: up to %u, sender is at %u",
                 to_name, t.seq + (uint32_t)t.payload_len, from->snd_max);
    }
    /*
     * A forwarded byte beyond the window is a sender's own probe; and a sender that takes
     * an ACK but not the window from a segment with an old SEQ may send too much by
     * itself, if it was not vTCP that promised it more.
     */
    own_idea = how == SIM_FORWARDED &&
               (t.payload_len == 1 || !from->told_known[1] ||
                !after(from->told_edge[1], to->edge));
    if (t.payload_len && !own_idea && to->edge_known &&
        after(t.seq + t.payload_len, to->edge)) {
        sim_fail(
            sim, "vTCP sent the %s data beyond its window: %u bytes up to %u, edge %u",
            to_name, (unsigned)t.payload_len, t.seq + (uint32_t)t.payload_len, to->edge);
    }
    if ((t.flags & ACK) && after(t.ack, to->snd_max)) {
        sim_fail(sim, "vTCP acknowledged to the %s what it has not sent: %u, it is at %u",
                 to_name, t.ack, to->snd_max);
    }
    if ((t.flags & ACK) && to->fin && !after(to->fin_end, t.ack) &&
        (!from->acked || after(to->fin_end, from->ack))) {
        sim_fail(sim, "vTCP acknowledged the FIN of the %s before the other end did",
                 to_name);
    }
    if (t.flags & ACK) {
        check_edge(sim, w, dir, &t);
    }
    if (how == SIM_EMITTED) {
        check_sack(sim, to, &t);
    }
    told(w, dir, &t);
}
