/*
 * vnx simulation: scenarios; see scenario.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

const char *const sim_link_names[SIM_LINKS] = {
    [SIM_GUEST_TX] = "guest-tx", [SIM_GUEST_RX] = "guest-rx",
    [SIM_NET_TX] = "net-tx", [SIM_NET_RX] = "net-rx",
};

const char *const sim_theme_names[SIM_THEME__MAX] = {
#define SIM_X(name, text) [SIM_THEME_##name] = text,
    SIM_THEMES(SIM_X)
#undef SIM_X
};

typedef struct Knob {
    const char *name;
    size_t offset;
    const char *text;
} Knob;

static const Knob knobs[] = {
#define SIM_X(name, text) { #name, offsetof(SimScenario, name), text },
    SIM_KNOBS(SIM_X)
#undef SIM_X
};

static const Knob link_knobs[] = {
#define SIM_X(name, text) { #name, offsetof(SimLinkConf, name), text },
    SIM_LINK_KNOBS(SIM_X)
#undef SIM_X
};

static double log_between(SimRng *r, double lo, double hi)
{
    return exp(sim_between(r, log(lo), log(hi)));
}

static double one_of(SimRng *r, unsigned n, const double *of)
{
    return of[sim_rand(r) % n];
}
#define ONE_OF(r, ...) \
    one_of(r, G_N_ELEMENTS(((double[]) { __VA_ARGS__ })), (double[]) { __VA_ARGS__ })

static void rough(SimRng *r, SimLinkConf *l, double scale)
{
    l->loss = sim_uniform(r) < 0.8 ? log_between(r, 0.001, 0.15) * scale : 0;
    l->dup = sim_uniform(r) < 0.5 ? log_between(r, 0.001, 0.1) * scale : 0;
    l->reorder = sim_uniform(r) < 0.5 ? log_between(r, 0.001, 0.2) * scale : 0;
    l->reorder_ms = log_between(r, 0.1, 50);
}

static void bursty(SimRng *r, SimLinkConf *l)
{
    l->burst = log_between(r, 0.0005, 0.02);
    l->burst_len = sim_int(r, 2, 25);
}

static void slow(SimRng *r, SimLinkConf *l)
{
    l->rate = log_between(r, 2, 200);
    l->queue = sim_int(r, 4, 64);
}

void sim_scenario_from_seed(SimScenario *s, uint64_t seed, int theme)
{
    SimRng rng = sim_rng(seed, "scenario"), *r = &rng;
    SimLinkConf *guest_tx = &s->link[SIM_GUEST_TX], *guest_rx = &s->link[SIM_GUEST_RX];
    SimLinkConf *net_tx = &s->link[SIM_NET_TX], *net_rx = &s->link[SIM_NET_RX];

    memset(s, 0, sizeof(*s));
    s->seed = seed;
    s->theme = theme >= 0 ? theme : seed % SIM_THEME__MAX;

    s->vtcp = 1;
    s->forget = s->strict = 1;
    s->conns = sim_uniform(r) < 0.3 ? 1 : sim_int(r, 1, 6);
    s->kbytes = log_between(r, 1, 600);
    s->guest_stack = ONE_OF(r, 0, 0, 0, 0, 1, 2);
    s->net_stack = ONE_OF(r, 0, 0, 0, 0, 1, 2);
    s->guest_isn = sim_uniform(r) < 0.4 ? 4294967295.0 - sim_int(r, 0, 300000)
                                        : sim_int(r, 0, UINT32_MAX);
    s->net_isn = sim_uniform(r) < 0.4 ? 4294967295.0 - sim_int(r, 0, 300000)
                                      : sim_int(r, 0, UINT32_MAX);
    s->guest_clock = sim_uniform(r) < 0.3 ? 4294967295.0 - sim_int(r, 0, 5000)
                                          : sim_int(r, 0, UINT32_MAX);
    s->net_clock = sim_uniform(r) < 0.3 ? 4294967295.0 - sim_int(r, 0, 5000)
                                        : sim_int(r, 0, UINT32_MAX);
    s->guest_mtu = ONE_OF(r, 1500, 1500, 1500, 1500, 1280, 9000);
    s->net_mtu = sim_uniform(r) < 0.6 ? s->guest_mtu : ONE_OF(r, 1500, 1400, 9000);
    s->vlans = ONE_OF(r, 0, 0, 0, 1, 2);
    s->pad = sim_uniform(r) < 0.5;
    s->vnet_len = ONE_OF(r, 0, 0, 10, 12, 12, 20);
    if (s->theme == SIM_THEME_OFFLOAD) {
        s->vnet_len = ONE_OF(r, 10, 12, 20);
    }
    if (s->vnet_len > 0) {
        s->guest_csum = sim_uniform(r) < 0.8;
        s->guest_tso4 = s->guest_csum && sim_uniform(r) < 0.8;
        s->guest_tso6 = s->guest_csum && sim_uniform(r) < 0.8;
        s->net_csum = sim_uniform(r) < 0.8;
        s->net_tso4 = s->net_csum && sim_uniform(r) < 0.8;
        s->net_tso6 = s->net_csum && sim_uniform(r) < 0.8;
    }
    s->gso_max = ONE_OF(r, 65535, 65535, 16000, 5000);
    s->v6 = ONE_OF(r, 0, 0.5, 0.5, 1);
    s->guest_opens = 0.5;
    s->nagle = ONE_OF(r, 0, 0.5, 1);
    s->spread_ms = log_between(r, 1, 300);
    s->think = sim_uniform(r) < 0.3 ? log_between(r, 0.001, 0.2) : 0;
    s->think_ms = log_between(r, 0.1, 100);
    s->late_close = 0.3;
    s->bh_us = log_between(r, 0.1, 200);
    s->heal_s = 120;
    s->bound_s = 1500;
    s->actions_ms = log_between(r, 20, 3000);
    s->buffer_kb = 65536;
    s->flow_buffer_kb = ONE_OF(r, 4096, 4096, 1024, 256, 64);
    s->max_flows = 65536;
    s->cc = sim_uniform(r) < 0.5 ? 0 : sim_int(r, 1, 100);
    s->dupack = ONE_OF(r, 3, 3, 3, 2, 5, 255);
    s->initial_window = ONE_OF(r, 10, 10, 1, 2, 100);
    s->pass_through = sim_uniform(r) < 0.2;
    s->min_rto_ms = ONE_OF(r, 200, 200, 10, 1000);
    s->max_rto_ms = ONE_OF(r, 60000, 2000, 5000);
    s->retry_s = 2000;          /* more than heal_s + bound_s: no reset without cause */
    for (int i = 0; i < SIM_LINKS; i++) {
        s->link[i].burst_len = 5;
        s->link[i].reorder_ms = 5;
        s->link[i].queue = 10000;
    }
    if (s->vnet_len > 0) {
        s->guest_gso_ecn = sim_uniform(r) < 0.5;
        s->net_gso_ecn = sim_uniform(r) < 0.5;
    }
    s->ecn = ONE_OF(r, 0, 0, 0.5, 1);
    guest_tx->delay_ms = guest_rx->delay_ms = log_between(r, 0.001, 1);
    net_tx->delay_ms = net_rx->delay_ms = log_between(r, 0.01, 60);
    if (sim_uniform(r) < 0.2) {
        net_rx->delay_ms = log_between(r, 0.01, 60);
    }

    switch (s->theme) {
    case SIM_THEME_CLEAN:
        s->flow_buffer_kb = 4096;
        break;
    case SIM_THEME_OFFLOAD:
        s->reoffers = sim_int(r, 0, 5);
        rough(r, net_tx, 0.3);
        rough(r, net_rx, 0.3);
        break;
    case SIM_THEME_LOSSY:
        rough(r, net_tx, 1);
        rough(r, net_rx, 1);
        break;
    case SIM_THEME_BURST:
        bursty(r, net_tx);
        bursty(r, net_rx);
        break;
    case SIM_THEME_BOTH:
        for (int i = 0; i < SIM_LINKS; i++) {
            rough(r, &s->link[i], 0.7);
        }
        break;
    case SIM_THEME_STALL:
        s->read_stall = 0.6;
        s->read_stall_ms = log_between(r, 50, 10000);
        s->slow_reader = 0.2;
        s->guest_freezes = sim_int(r, 0, 8);
        s->net_freezes = sim_int(r, 0, 3);
        s->freeze_ms = log_between(r, 1, 5000);
        guest_rx->queue = log_between(r, 2, 256);
        s->keepalive = 0.3;
        if (sim_uniform(r) < 0.3) {
            rough(r, net_tx, 0.2);
            rough(r, net_rx, 0.2);
        }
        break;
    case SIM_THEME_PAUSE:
        s->pauses = sim_int(r, 1, 4);
        s->pause_ms = log_between(r, 1, 20000);
        s->clock_stops = sim_uniform(r) < 0.5;
        guest_rx->queue = log_between(r, 4, 256);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_TOGGLE:
        s->toggles = sim_int(r, 1, 6);
        s->read_stall = 0.2;
        s->read_stall_ms = 1000;
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_REMOVE:
        s->removals = sim_int(r, 1, 3);
        s->flow_buffer_kb = ONE_OF(r, 4096, 64);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_MEMORY:
        s->buffer_kb = log_between(r, 256, 1024);
        s->flow_buffer_kb = ONE_OF(r, 64, 256, 4096);
        s->conns = sim_int(r, 4, 16);
        s->kbytes = log_between(r, 30, 300);
        s->max_flows = ONE_OF(r, 65536, 4, 8);
        if (sim_uniform(r) < 0.7) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_ABORT:
        s->abort = 0.6;
        s->conns = sim_int(r, 2, 8);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_CORRUPT:
        for (int i = 0; i < SIM_LINKS; i++) {
            s->link[i].corrupt = log_between(r, 0.001, 0.1);
        }
        break;
    case SIM_THEME_SLOW:
        slow(r, net_tx);
        slow(r, net_rx);
        slow(r, guest_rx);
        s->busy = sim_uniform(r) < 0.5 ? log_between(r, 0.01, 0.5) : 0;
        s->slow_reader = 0.2;
        break;
    case SIM_THEME_CHAOS:
        for (int i = 0; i < SIM_LINKS; i++) {
            rough(r, &s->link[i], 0.7);
            s->link[i].corrupt = log_between(r, 0.0001, 0.01);
        }
        bursty(r, net_tx);
        slow(r, guest_rx);
        s->busy = 0.02;
        s->read_stall = 0.2;
        s->read_stall_ms = log_between(r, 50, 5000);
        s->slow_reader = 0.1;
        s->guest_freezes = sim_int(r, 0, 3);
        s->freeze_ms = log_between(r, 1, 500);
        s->pauses = sim_int(r, 0, 2);
        s->pause_ms = log_between(r, 1, 2000);
        s->clock_stops = sim_uniform(r) < 0.5;
        s->migrate = 0.2;
        s->toggles = sim_int(r, 0, 3);
        s->reconfigs = sim_int(r, 0, 4);
        s->modes = sim_uniform(r) < 0.5;
        s->removals = sim_int(r, 0, 1);
        s->buffer_kb = log_between(r, 256, 65536);
        s->abort = 0.1;
        s->keepalive = 0.2;
        break;
    case SIM_THEME_BLACKHOLE:
        s->blackhole_ms = log_between(r, 5, 500);
        s->retry_s = sim_int(r, 5, 60);
        s->kbytes = log_between(r, 100, 600);
        s->max_rto_ms = 2000;
        break;
    case SIM_THEME_CONFIG:
        s->reconfigs = sim_int(r, 1, 10);
        s->modes = sim_uniform(r) < 0.5;
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_REUSE:
        s->abort = 0.8;
        s->reuse = 0.9;
        s->conns = sim_int(r, 2, 6);
        s->kbytes = log_between(r, 1, 100);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_IDLE:
        s->keepalive = 0.8;
        s->think = log_between(r, 0.02, 0.3);
        s->think_ms = log_between(r, 500, 5000);
        s->kbytes = log_between(r, 1, 200);
        s->read_stall = 0.5;
        s->read_stall_ms = log_between(r, 1000, 20000);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.5);
            rough(r, net_rx, 0.5);
        }
        break;
    case SIM_THEME_FORCE:
        s->forced_ms = log_between(r, 5, 500);
        s->read_stall = 0.3;
        s->read_stall_ms = 5000;
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_MIGRATE:
        s->pauses = sim_int(r, 1, 4);
        s->pause_ms = log_between(r, 1, 2000);
        s->clock_stops = sim_uniform(r) < 0.5;
        s->migrate = 0.8;
        s->actions_ms = log_between(r, 5, 500);
        s->kbytes = log_between(r, 20, 600);
        guest_rx->queue = log_between(r, 4, 256);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME_ECN:
        s->ecn = 1;
        s->kbytes = log_between(r, 20, 600);
        for (int i = 0; i < SIM_LINKS; i++) {
            s->link[i].ce = sim_uniform(r) < 0.7 ? log_between(r, 0.001, 0.5) : 0;
        }
        if (sim_uniform(r) < 0.5) {
            s->ce_told = 1;
        } else {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
            s->toggles = sim_int(r, 0, 3);
            s->reconfigs = sim_int(r, 0, 4);
            s->modes = 1;
            s->pauses = sim_int(r, 0, 2);
            s->pause_ms = 100;
            s->migrate = 0.5;
        }
        break;
    case SIM_THEME_ACKS:
        for (int i = 0; i < SIM_LINKS; i++) {
            s->link[i].ack_loss = sim_uniform(r) < 0.6 ? log_between(r, 0.01, 0.7) : 0;
        }
        break;
    case SIM_THEME_TAIL:
        s->nagle = 0;
        s->think = log_between(r, 0.01, 0.3);
        s->think_ms = log_between(r, 0.1, 300);
        for (int i = 0; i < SIM_LINKS; i++) {
            s->link[i].tail_loss = sim_uniform(r) < 0.6 ? log_between(r, 0.01, 0.5) : 0;
        }
        break;
    case SIM_THEME_REORDER:
        for (int i = 0; i < SIM_LINKS; i++) {
            s->link[i].reorder = sim_uniform(r) < 0.6 ? log_between(r, 0.001, 0.3) : 0;
            s->link[i].reorder_frames = sim_int(r, 1, 64);
        }
        if (sim_uniform(r) < 0.5) {
            net_tx->loss = net_rx->loss = log_between(r, 0.001, 0.05);
        }
        break;
    case SIM_THEME_PMTU:
        s->v6 = ONE_OF(r, 0, 0.5);
        s->pmtu = s->v6 > 0 ? sim_int(r, 1280, 1450) : sim_int(r, 600, 1450);
        s->pmtu_ms = log_between(r, 1, 1000);
        s->pmtu_for_ms = log_between(r, 100, 100000);
        s->kbytes = log_between(r, 50, 600);
        if (sim_uniform(r) < 0.5) {
            rough(r, net_tx, 0.3);
            rough(r, net_rx, 0.3);
        }
        break;
    case SIM_THEME__MAX:
        g_assert_not_reached();
    }
    for (int i = 0; i < SIM_LINKS; i++) {
        if (s->ecn > 0 && s->link[i].ce == 0 && sim_uniform(r) < 0.3) {
            s->link[i].ce = log_between(r, 0.001, 0.2);
        }
        s->corrupting = s->corrupting || s->link[i].corrupt > 0;
    }
}

bool sim_scenario_set(SimScenario *s, const char *assignment)
{
    const char *value = strchr(assignment, '=');
    size_t len = value ? value - assignment : 0;
    bool found = false;

    if (!value) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(knobs); i++) {
        if (strlen(knobs[i].name) == len && !memcmp(knobs[i].name, assignment, len)) {
            *(double *)((char *)s + knobs[i].offset) = strtod(value + 1, NULL);
            found = true;
        }
    }
    /* LINK.NAME, or *.NAME for all four */
    for (int l = 0; l < SIM_LINKS; l++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(link_knobs); i++) {
            char name[64], any[64];

            snprintf(name, sizeof(name), "%s.%s", sim_link_names[l], link_knobs[i].name);
            snprintf(any, sizeof(any), "*.%s", link_knobs[i].name);
            if ((strlen(name) == len && !memcmp(name, assignment, len)) ||
                (strlen(any) == len && !memcmp(any, assignment, len))) {
                *(double *)((char *)&s->link[l] + link_knobs[i].offset) =
                    strtod(value + 1, NULL);
                found = true;
            }
        }
    }
    return found;
}

void sim_scenario_print(const SimScenario *s)
{
    printf("seed %" PRIu64 ", theme %s\n", s->seed, sim_theme_names[s->theme]);
    for (unsigned i = 0; i < G_N_ELEMENTS(knobs); i++) {
        double v = *(const double *)((const char *)s + knobs[i].offset);

        if (v != 0) {
            printf("  %s=%.10g", knobs[i].name, v);
        }
    }
    printf("\n");
    for (int l = 0; l < SIM_LINKS; l++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(link_knobs); i++) {
            double v =
                *(const double *)((const char *)&s->link[l] + link_knobs[i].offset);

            if (v != 0) {
                printf("  %s.%s=%.4g", sim_link_names[l], link_knobs[i].name, v);
            }
        }
        printf("\n");
    }
}

void sim_scenario_help(void)
{
    printf("Themes (--theme; seed modulo %d by default):", SIM_THEME__MAX);
    for (int i = 0; i < SIM_THEME__MAX; i++) {
        printf(" %s", sim_theme_names[i]);
    }
    printf("\n\nKnobs (--set NAME=VALUE):\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(knobs); i++) {
        printf("  %-16s %s\n", knobs[i].name, knobs[i].text);
    }
    printf("\nKnobs of a link (--set LINK.NAME=VALUE; LINK is guest-tx, guest-rx,\n"
           "net-tx, net-rx, or * for all four):\n");
    for (unsigned i = 0; i < G_N_ELEMENTS(link_knobs); i++) {
        printf("  %-16s %s\n", link_knobs[i].name, link_knobs[i].text);
    }
}
