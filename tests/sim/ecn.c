/*
 * vnx simulation: ECN for stacks that know none
 *
 * lwIP ignores ECE, CWR and the ECN field.  Between it and its link this plays an RFC
 * 3168 host in its place: it negotiates, marks first transmissions of payload ECT(0), echoes
 * CE until CWR comes, and answers ECE by CWR, once per window.  (That the window shrinks is
 * left out: nothing here depends on it.)
 *
 * What must hold: nobody hears of congestion that no link has marked; and where nothing is
 * lost or reordered, a mark on an end's own leg reaches that end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <string.h>

#include "sim.h"

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16, ECE = 64, CWR = 128 };
enum { ECT0 = 2, CE = 3 };

static bool after(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}

/* The connection of a packet that goes from @side, and that end of it; or NULL. */
static SimApp *find(Sim *sim, int side, const SimTcp *t)
{
    for (unsigned i = sim->n_conns; i-- > 0;) {
        SimConn *c = &sim->conns[i];
        bool opener = side == c->opener;
        uint16_t port = opener ? t->sport : t->dport;
        uint16_t server = opener ? t->dport : t->sport;

        if (c->attempts && server == c->dport && c->ip_version == t->ip_version &&
            port == c->sport + c->attempts - 1) {
            return &c->app[side];
        }
    }
    return NULL;
}

void sim_ecn_output(SimNode *n, uint8_t *packet, size_t len)
{
    SimTcp t = sim_tcp_read(packet, len);
    SimApp *a = t.valid ? find(n->sim, n->side, &t) : NULL;
    SimEcn *e = a ? &a->ecn : NULL;
    uint8_t flags = 0, field = 0;
    uint32_t end = t.seq + t.payload_len;

    if (!a || !a->conn->ecn) {
        return;
    }
    if (t.flags & SYN) {
        if (t.flags & ACK) {
            flags = e->on ? ECE : 0;
        } else {
            *e = (SimEcn) { .marked = e->marked };
            flags = ECE | CWR;
        }
        e->max = e->reacted = t.seq + 1;
    } else if (e->on && !(t.flags & RST)) {
        flags = e->echo ? ECE : 0;
        if (t.payload_len && !after(e->max, t.seq)) {
            field = ECT0;
            flags |= e->cwr ? CWR : 0;
            e->cwr = false;
        }
        e->max = after(end, e->max) ? end : e->max;
    }
    if (flags || field) {
        sim_tcp_mark(packet, &t, flags, field);
    }
}

void sim_ecn_input(SimNode *n, const uint8_t *packet, size_t len)
{
    SimTcp t = sim_tcp_read(packet, len);
    SimApp *a = t.valid && sim_tcp_checksum_ok(packet, &t) ? find(n->sim, !n->side, &t) : NULL;
    SimEcn *e;

    if (!a || !a->conn->ecn) {
        return;
    }
    a = &a->conn->app[n->side];
    e = &a->ecn;
    if (t.flags & SYN) {
        if (t.flags & ACK) {
            e->on |= (t.flags & (ECE | CWR)) == ECE;
        } else {
            *e = (SimEcn) { .on = (t.flags & (ECE | CWR)) == (ECE | CWR), .marked = e->marked };
        }
        return;
    }
    if (!e->on) {
        return;
    }
    if (t.flags & CWR) {
        e->echo = false;
    }
    if (t.payload_len && sim_ecn_field(packet) == CE) {
        e->echo = true;
    }
    if (t.flags & ECE) {
        if (!e->marked && !n->sim->sc.corrupting) {
            sim_fail(n->sim, "connection %u: the %s hears of congestion that was not there",
                     a->conn->id, n->side == SIM_GUEST ? "guest" : "net");
        }
        e->pending = false;
        if (after(t.ack, e->reacted)) {
            e->cwr = true;
            e->reacted = e->max;
        }
    }
}

/* A link has marked @f, which goes from @side; on that side's own leg or on the other's. */
void sim_ecn_marked(Sim *sim, int side, bool own_leg, const SimFrame *f)
{
    size_t l3 = sim_vnet_l3(f->data, f->len, sim->sc.vnet_len);
    SimTcp t = sim_tcp_read(f->data + l3, f->len - l3);
    SimApp *a = t.valid ? find(sim, side, &t) : NULL;

    if (a && a->conn->ecn && a->ecn.on) {
        a->ecn.marked = true;
        a->ecn.pending |= own_leg && t.payload_len;
    }
}

void sim_ecn_final(Sim *sim)
{
    for (unsigned i = 0; i < sim->n_conns && sim->sc.ce_told; i++) {
        for (int side = 0; side < 2; side++) {
            const SimApp *a = &sim->conns[i].app[side];

            if (a->ecn.pending && !a->reset && !a->conn->app[!side].reset) {
                sim_fail(sim, "connection %u: the %s was not told of a mark on its data", i,
                         side == SIM_GUEST ? "guest" : "net");
            }
        }
    }
}
