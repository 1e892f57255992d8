/*
 * vnx simulation: one TCP/IP stack as the harness sees it
 *
 * Each stack is a copy of lwIP in a shared library of its own, whose only exported
 * symbol is one SimStackOps.  A copy has one set of globals, hence is one
 * host; several copies live in one process.  The library has no clock, no I/O and no
 * randomness of its own: time and seeds come by calls, packets and events leave
 * by SimStackHost.
 *
 * Callbacks come from inside the calls below (input, poll, write ...).  From
 * inside a callback only now(), consume() and abort() of another connection's
 * handle are forbidden: the harness defers its reactions instead.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_STACK_H
#define SIM_STACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct SimStackConf {
    uint32_t seed;              /* of lwIP's random numbers */
    uint32_t isn;               /* initial sequence numbers start about here */
    uint32_t now_ms;            /* the clock at start (it may soon wrap) */
    uint16_t mtu;               /* of the IP packets, 1280 .. 9000 */
    uint8_t host_id;            /* last byte of its addresses: 10.0.0.ID, fd00::ID */
} SimStackConf;

typedef enum SimGone {
    SIM_GONE_CLOSED,            /* in order: both FINs exchanged */
    SIM_GONE_RESET,             /* by the peer's RST */
    SIM_GONE_ABORTED,           /* given up by this stack itself */
} SimGone;

typedef struct SimStackHost {
    void *opaque;
    void (*output)(void *opaque, const uint8_t *packet, size_t len);
    /* A connection came to a listener: @user is the listener's; conn is its handle. */
    void (*accepted)(void *user, void *conn);
    void (*connected)(void *user);
    void (*received)(void *user, const uint8_t *data, size_t len);
    void (*eof)(void *user);
    void (*sent)(void *user);   /* there is more room to write */
    void (*gone)(void *user, SimGone how);      /* the handle is dead */
} SimStackHost;

typedef struct SimStackOps {
    const char *name;
    const char *version;        /* of lwIP */
    bool timestamps;            /* it offers them */
    void (*init)(const SimStackConf *conf, const SimStackHost *host);
    void (*now)(uint32_t ms);   /* set the clock; call before anything else */
    void (*input)(const uint8_t *packet, size_t len);
    void (*poll)(void);         /* run expired timers */
    /* ms until poll() has something to do; UINT32_MAX: never */
    uint32_t (*next_ms)(void);
    bool (*listen)(uint16_t port, int ip_version, bool nagle, void *user);
    /* Returns the handle, NULL if there is no memory. */
    void *(*connect)(uint16_t sport, uint16_t dport, uint8_t peer_id, int ip_version,
                     bool nagle, void *user);
    size_t (*room)(void *conn);
    /* Queues up to @len bytes (copied); returns how many. */
    size_t (*write)(void *conn, const void *data, size_t len);
    void (*flush)(void *conn);  /* send what was queued */
    void (*consume)(void *conn, size_t len);    /* the application read @len bytes */
    bool (*shutdown)(void *conn);       /* no more data: FIN.  False: try again */
    /* Callbacks of @conn go to @user from now on. */
    void (*adopt)(void *conn, void *user);
    void (*abort)(void *conn);  /* RST; gone() is not called */
    void (*release)(void *conn);        /* both ways are closed: forget the handle */
    /* Ask for keepalives after @idle_ms without traffic. */
    void (*keepalive)(void *conn, uint32_t idle_ms);
    unsigned (*active)(void);   /* connections that are not over (TIME-WAIT is) */
    void (*stop)(void);         /* abort everything, free everything */
} SimStackOps;

extern const SimStackOps sim_wide_a, sim_wide_b, sim_plain_a, sim_plain_b, sim_small_a,
    sim_small_b;

#endif /* SIM_STACK_H */
