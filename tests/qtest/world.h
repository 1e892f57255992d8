/*
 * vnx: what the qtests need - QEMU with a virtio-net NIC, its driver, and both TCP ends
 * by hand
 *
 * A World is a QEMU under qtest (machine pc, no firmware: only this program moves the
 * clock) with one netdev and one virtio-net NIC.  This program is the guest's driver,
 * by libqos, and the remote: one end of a datagram socket pair, one frame per datagram,
 * or a packet socket on a tap in a network namespace of its own.  Segments are built
 * and checked byte by byte; there is no TCP stack.
 *
 * Waiting is for conditions, with a limit that only a failure reaches.  "Nothing came" is
 * shown by a marker frame sent behind: it must be the next to arrive.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_QTEST_WORLD_H
#define VNX_QTEST_WORLD_H

#include "libqtest.h"
#include "libqos/virtio-pci.h"
#include "standard-headers/linux/virtio_net.h"
#include "standard-headers/linux/virtio_config.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "qemu/timer.h"

#define FRAME_MAX 70000
#define RX_BUFFERS 64
#define RX_BUFFER_SIZE 2048
#define PAIRS_MAX 2

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

typedef enum Side { GUEST, REMOTE } Side;

typedef struct Segment {
    uint16_t guest_port;        /* the connection: it has only one variable part */
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    uint16_t mss;               /* option; 0: none */
    const uint8_t *payload;
    size_t len;
    bool marker;                /* received only: not TCP but a marker */
    struct virtio_net_hdr vnet; /* received only; zero on a datagram wire */
} Segment;

/* Two rings of the guest's NIC. */
typedef struct Pair {
    QVirtQueue *rx, *tx;
    uint64_t rx_mem, tx_mem;
    uint16_t rx_posted;         /* avail index */
    uint16_t rx_seen;           /* used index up to which the guest has looked */
    uint16_t tx_sent;
} Pair;

typedef struct World {
    QTestState *qts;
    int wire;                   /* the remote's socket */
    bool tap;
    unsigned pairs;             /* of the NIC, as many as its netdev has queues */

    QGuestAllocator alloc;
    QPCIBus *pci;
    QVirtioPCIDevice *dev;
    Pair pair[PAIRS_MAX];
    Pair *at;                   /* where the guest sends and looks; pair[0] at first */
    QVirtQueue *ctrl;           /* with several pairs */
    uint64_t ctrl_mem;
    uint16_t ctrl_sent;
    size_t guest_hdr_len;
    uint64_t features;
    uint8_t markers;

    uint8_t frame[FRAME_MAX];   /* of the segment received last */
} World;

/* Start QEMU with "-netdev dgram,id=n0" and the NIC "nic0" on it, and @args. */
World *world_new(const char *args);
/* The same with a tap and its vnet header; NULL, the test skipped, where it cannot be. */
World *world_new_tap(unsigned queues, const char *args);
/* End QEMU, and check that it ends well; the wire stays open. */
void world_end(World *w);
void world_free(World *w);

/* Guest driver: negotiate what is offered of @features; post @buffers in each pair. */
void guest_start(World *w, uint64_t features, unsigned buffers);
void guest_reset(World *w);
/* Use so many pairs from now on; the driver has negotiated VIRTIO_NET_F_MQ. */
void guest_use_pairs(World *w, uint16_t pairs);
/* The guest has migrated: its driver goes on, with all it knows, in @to. */
void guest_move(World *from, World *to);
void guest_post(World *w, unsigned buffers);     /* in w->at, as all that follows */
/* Say that the driver has looked at every received frame (used_event). */
void guest_looked(World *w);

/* ---- frames ---- */
/* The next frame at @at, without its virtio-net header, to w->frame; its length. */
size_t take(World *w, Side at, struct virtio_net_hdr *vnet);
void send_segment(World *w, Side from, Segment s);
void send_marker(World *w, Side from);
/* The next frame that arrives at @at; payload is borrowed until the next call. */
Segment receive(World *w, Side at);
/* True if one is there now. */
bool arrived(World *w, Side at);
/* Nothing but the marker arrives at @at. */
void expect_nothing(World *w, Side at);
/* Step the clock until a frame is there for @at, at most @limit_ms; returns the ms. */
int64_t step_until(World *w, Side at, int64_t limit_ms);

/* ---- one connection, numbers relative to each side's initial sequence number ---- */
#define ISN_GUEST 1000000u
#define ISN_REMOTE 4294967000u      /* wraps */

void connect_guest(World *w, uint16_t guest_port);
void say(World *w, Side from, uint16_t guest_port, uint8_t flags, uint32_t seq,
         uint32_t ack, const char *payload);
/* The next frame at @at is this segment; window is returned. */
uint16_t hear(World *w, Side at, uint16_t guest_port, uint8_t flags, uint32_t seq,
              uint32_t ack, const char *payload);

/* ---- QMP ---- */
QDict *vtcp_stats(World *w);                        /* of filter f0 */
uint64_t vtcp_stat(World *w, const char *name);
void vtcp_wait_stat(World *w, const char *name, uint64_t value);
void vtcp_wait_status(World *w, const char *status);
/* A member of a half of the only flow of f0, as text of a "state", or as a number. */
char *flow_text(World *w, const char *half, const char *name);
int64_t flow_number(World *w, const char *name);

#endif /* VNX_QTEST_WORLD_H */
