/*
 * vnx simulation: packet trace.
 *
 * One line a frame: time, where, connection, flags, sequence numbers as offsets from the
 * connection's first, ACK the same, window as on the wire, options, what became of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <stdarg.h>
#include <stdio.h>

#include "sim.h"

/* Initial sequence numbers by ports; only the trace uses them. */
static GHashTable *isn_table;

static uint32_t *isn(const SimTcp *t, bool reverse)
{
    gpointer key = GUINT_TO_POINTER(reverse ? (uint32_t)t->dport << 16 | t->sport
                                            : (uint32_t)t->sport << 16 | t->dport);
    uint32_t *base;

    if (!isn_table) {
        isn_table = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    }
    base = g_hash_table_lookup(isn_table, key);
    if (!base) {
        base = g_new0(uint32_t, 1);
        g_hash_table_insert(isn_table, key, base);
    }
    return base;
}

void sim_note(Sim *sim, const char *fmt, ...)
{
    va_list ap;

    if (!sim->verbose) {
        return;
    }
    printf("%12.6f *** ", sim->clock.now / 1e9);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void sim_trace(Sim *sim, const char *where, const SimFrame *f, const char *note)
{
    size_t vnet_len = sim->sc.vnet_len;
    size_t l3 = sim_vnet_l3(f->data, f->len, vnet_len);
    char flags[9], *p = flags;
    uint32_t base, ack_base;
    SimTcp t;

    if (!sim->verbose) {
        return;
    }
    t = sim_tcp_read(f->data + l3, f->len - l3);
    printf("%12.6f %-9s ", sim->clock.now / 1e9, where);
    if (!t.valid) {
        printf("not TCP, %zu bytes  %s\n", f->len, note);
        return;
    }
    if (t.flags & 2) {
        *isn(&t, false) = t.seq;
    }
    base = *isn(&t, false);
    ack_base = *isn(&t, true);
    for (int i = 0; i < 8; i++) {
        if (t.flags & (1 << i)) {
            *p++ = "FSRPAUEC"[i];
        }
    }
    *p = 0;
    printf("%5u>%-5u %-3s %u:%u(%zu)", t.sport, t.dport, flags, t.seq - base,
           t.seq - base + (unsigned)t.payload_len, t.payload_len);
    if (t.flags & 16) {
        printf(" ack %u", t.ack - ack_base);
    }
    printf(" win %u", t.window);
    if (t.has_ts) {
        printf(" ts %u,%u", t.tsval, t.tsecr);
    }
    if (t.mss >= 0) {
        printf(" mss %d", t.mss);
    }
    if (t.wscale >= 0) {
        printf(" ws %d", t.wscale);
    }
    for (unsigned i = 0; i < t.n_sack; i++) {
        printf(" sack %u-%u", t.sack[i][0] - ack_base, t.sack[i][1] - ack_base);
    }
    if (vnet_len && f->data[1]) {
        printf(" gso %d", f->data[4] | f->data[5] << 8);
    }
    printf("  %s\n", note);
}
