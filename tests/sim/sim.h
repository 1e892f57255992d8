/*
 * vnx simulation: the whole run
 *
 *      guest                    host                     net
 *    SimNode  --GUEST_TX-->            --NET_TX-->     SimNode
 *    stack,                   SimHost                  stack,
 *    apps     <--GUEST_RX--   (vTCP)   <--NET_RX--     apps
 *
 * A node is a stack with the applications at its ends of the connections.  The host
 * is what QEMU's filter is around vTCP: it pushes frames, forwards what passes,
 * runs the bottom half and the timers, switches, pauses, removes.  All of it is single
 * threaded, driven by one SimClock, random only by the seed.
 *
 * What must hold, whatever happens on the links:
 *  - each byte arrives once and in order (a generator knows every byte by its position);
 *  - each connection ends in order, or by a reset that the scenario asked for;
 *  - vTCP has nothing left to deliver afterwards, and forgets the flows;
 *  - what vTCP emits is well formed, uses only offloads that were offered, stays within
 *    the receiver's window, never takes a promised window back (check.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <vnx/policy.h>
#include <vnx/vtcp.h>

#include "clock.h"
#include "link.h"
#include "scenario.h"
#include "stack.h"
#include "vnet.h"

#define SIM_GUEST 0             /* sides have the numbers of VnxDir */
#define SIM_NET 1
#define SIM_MAX_CONNS 64

typedef struct Sim Sim;
typedef struct SimNode SimNode;
typedef struct SimConn SimConn;

/* ECN at one end of one connection; see ecn.c. */
typedef struct SimEcn {
    bool on;
    bool echo;                  /* CE came: ECE until CWR */
    bool cwr;                   /* ECE came: CWR with the next new data */
    uint32_t max, reacted;
    bool marked;                /* some of its data was marked, anywhere */
    bool pending;               /* ... on its own leg, and it has not heard of it */
} SimEcn;

/* One end of one connection. */
typedef struct SimApp {
    SimConn *conn;
    SimNode *node;
    SimRng rng;
    void *handle;               /* of the stack; NULL: none (yet, or any more) */
    bool opened;
    bool eof;                   /* the peer's FIN was read */
    bool fin_sent;
    bool over;                  /* ended, in order or not */
    bool reset;                 /* not in order */
    uint64_t tx_total, tx_done;
    uint64_t rx_done;
    uint64_t unread;            /* received, window not yet opened again */

    size_t chunk;               /* bytes of a write, at most */
    bool late_close;
    bool slow_reader;
    bool keepalive;
    bool stall_pending;
    uint64_t stall_at;          /* bytes received when reading stops */
    int64_t stall_until;
    int64_t think_until;
    int64_t read_next;
    double reuse;               /* probability of a new life after an abort */
    uint64_t abort_at;          /* bytes sent and received; UINT64_MAX: never */
    SimTimer timer;
    SimEcn ecn;
} SimApp;

struct SimConn {
    Sim *sim;
    unsigned id;
    int ip_version;
    int opener;                 /* side */
    bool nagle, ecn;
    unsigned attempts;
    uint16_t sport, dport;
    SimConn *successor;         /* of the same ports, after an abort */
    bool may_reset;             /* the scenario asked for it, or vTCP had to */
    int64_t reset_at;           /* when an end vanished; INT64_MAX: none did */
    SimApp app[2];
    SimTimer start;
};

struct SimNode {
    Sim *sim;
    int side;
    const SimStackOps *stack;
    SimLink *out;
    SimMerger merger;
    uint32_t clock_base;
    int frozen;                 /* not running, so many times over */
    bool inside;                /* the stack, or an application, is running */
    GQueue input;               /* frames that arrived while frozen */
    SimTimer timer;
    SimL2 l2_in;                /* Ethernet header of the frames that are for it */
};

typedef struct SimHost {
    Sim *sim;
    VnxVtcp *vtcp;              /* NULL: frames go straight through */
    VnxPolicies *policies;      /* NULL until there was a vTCP */
    bool enabled;
    bool paused;
    bool remove_wanted;
    int64_t stopped;            /* by which vTCP's clock lags ... */
    int64_t skew;               /* ... or is ahead, after a migration */
    int64_t paused_since;
    SimOffload offload[2];      /* what vTCP may emit, by direction */
    bool refused[2];            /* by the knob "busy" */
    bool link_refused[2];
    unsigned runs_at_once;
    int64_t last_run;
    SimTimer bh, deadline, unbusy;
    SimRng rng;
    VnxVtcpStats total;         /* counters of instances that were removed */
    unsigned removals, migrations;
    unsigned emitted;           /* for sabotage, both */
    bool sabotaged;
} SimHost;

struct Sim {
    SimScenario sc;
    bool verbose;
    SimRng rng;
    SimClock clock;
    SimLink link[SIM_LINKS];
    SimNode node[2];            /* by side */
    SimHost host;
    SimConn conns[SIM_MAX_CONNS];
    unsigned n_conns;
    uint64_t payload;           /* bytes that reached applications */
    bool blackholed;
    bool forced;
    int64_t over_at;
    int64_t last_action;
    char *failure;
    GHashTable *watch;          /* check.c */
    GSList *actions;
};

/* The first failure counts. */
void sim_fail(Sim *sim, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* node.c */
void sim_node_init(SimNode *n, Sim *sim, int side, const SimStackOps *stack,
                   SimLink *out);
void sim_node_freeze(SimNode *n, bool freeze);
/* The frame arrived. */
void sim_node_input(SimNode *n, SimFrame *f);
/* Give up connection @c at this end, with an RST. */
void sim_node_abort(SimNode *n, SimConn *c);
void sim_node_destroy(SimNode *n);
void sim_conn_init(SimConn *c, Sim *sim, unsigned id, SimConn *predecessor);
bool sim_conn_over(const SimConn *c);

/* ecn.c */
void sim_ecn_output(SimNode *n, uint8_t *packet, size_t len);
void sim_ecn_input(SimNode *n, const uint8_t *packet, size_t len);
void sim_ecn_marked(Sim *sim, int side, bool own_leg, const SimFrame *f);
void sim_ecn_final(Sim *sim);

/* host.c */
void sim_host_init(SimHost *h, Sim *sim);
void sim_host_input(SimHost *h, int dir, SimFrame *f);
void sim_host_room(SimHost *h, int dir);
void sim_host_pause(SimHost *h, bool pause);
void sim_host_enable(SimHost *h, bool enable);
void sim_host_remove(SimHost *h);
/* While paused: save, free, and load into another instance, on another clock. */
void sim_host_migrate(SimHost *h);
/* Switch off, and give up what is not drained. */
void sim_host_force(SimHost *h);
void sim_host_add(SimHost *h);
void sim_host_reconfigure(SimHost *h);
/* The guest takes other offloads from now on: some of those of the scenario. */
void sim_host_reoffer(SimHost *h);
/* Counters of all instances, gauges of the present one. */
void sim_host_stats(const SimHost *h, VnxVtcpStats *stats);
void sim_host_destroy(SimHost *h);

/* check.c: what vTCP may and may not do, seen from the wire. */
void sim_check_init(Sim *sim);
void sim_check_destroy(Sim *sim);
/* A frame of the end hosts enters vTCP in direction @dir. */
void sim_check_input(Sim *sim, int dir, const SimFrame *f);
/* A frame leaves in direction @dir. */
typedef enum SimHow {
    SIM_PASSED,                 /* as it came */
    SIM_FORWARDED,              /* rewritten */
    SIM_EMITTED,                /* of vTCP's own making */
} SimHow;
void sim_check_output(Sim *sim, int dir, const SimFrame *f, SimHow how);

/* trace.c: one line per frame with --verbose. */
void sim_trace(Sim *sim, const char *where, const SimFrame *f, const char *note);
void sim_note(Sim *sim, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* main loop; see run.c */
typedef struct SimResult {
    bool failed;
    char failure[400];
    uint64_t payload;
    double seconds;             /* virtual, until the last connection was over */
    VnxVtcpStats stats;
} SimResult;

void sim_run(const SimScenario *sc, bool verbose, SimResult *result);

#endif /* SIM_SIM_H */
