/*
 * vnx: vTCP - TCP acceleration in band, without the end hosts' cooperation (T, P)
 *
 * One VnxVtcp per filter.  Its host pushes every frame of both directions into
 * it; vTCP says PASS (the host forwards the frame as it is) or CONSUMED (vTCP
 * has dropped it, kept its payload, or sent something in its place).  What vTCP
 * sends leaves by the ops.  There is no clock, no timer, no I/O and no
 * global in here: time is an argument, and the host calls vnx_vtcp_run() when
 * vnx_vtcp_next_deadline() has come, after pushes, and when a direction that
 * was busy takes frames again.
 *
 * Rules: nothing that was acknowledged early is dropped before its receiver's
 * cumulative ACK covers it; every rule is told in engine/tcp/ beside the code
 * that keeps it.  The ops never re-enter: calling any vnx_vtcp_* function from
 * inside an op is an error.
 *
 * Not thread-safe; one thread at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef VNX_VTCP_H
#define VNX_VTCP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <vnx/flow-key.h>
#include <vnx/packet.h>

typedef struct VnxVtcp VnxVtcp;
typedef struct VnxPolicies VnxPolicies;         /* vnx/policy.h */

typedef enum VnxVerdict {
    VNX_VERDICT_PASS,           /* forward the frame unchanged */
    VNX_VERDICT_CONSUMED,       /* the frame is vTCP's affair; do not forward */
} VnxVerdict;

typedef enum VnxMode {
    VNX_MODE_ACCELERATE,
    VNX_MODE_OBSERVE,           /* follow flows, change nothing */
    VNX_MODE_OFF,               /* not even follow new flows */
} VnxMode;

/* What becomes of data that arrives ahead of sequence. */
typedef enum VnxOooPolicy {
    VNX_OOO_QUEUE,              /* kept, and reported by duplicate ACKs and SACK */
    VNX_OOO_PASS_THROUGH,       /* the half leaves the fast path; the ends repair it */
} VnxOooPolicy;

/* State of one half, i.e. of one data direction, of a connection. */
typedef enum VnxHalfState {
    VNX_HALF_OBSERVING,         /* packets pass end to end */
    VNX_HALF_JOINING,           /* copies are kept; older bytes are not acknowledged yet */
    VNX_HALF_ACCELERATING,      /* early acknowledgement */
    VNX_HALF_DRAINING,          /* no new early ACK; what was acknowledged is delivered */
    VNX_HALF__MAX
} VnxHalfState;

/* Why a half is not on the fast path (or left it last). */
typedef enum VnxReason {
    VNX_REASON_NONE,
    VNX_REASON_HANDSHAKE,       /* not established yet, or not seen whole */
    VNX_REASON_NOT_SEEN,        /* R acknowledged bytes that went by unseen */
    VNX_REASON_OPTIONS,         /* MD5, AO, MPTCP, AccECN, data on SYN ... */
    VNX_REASON_ECN,             /* ECN negotiated and config ecn=off, or it cannot be told */
    VNX_REASON_MODE,            /* mode is not accelerate */
    VNX_REASON_STATUS,          /* filter switched off */
    VNX_REASON_OUT_OF_ORDER,
    VNX_REASON_BUFFER_FULL,
    VNX_REASON_URGENT,
    VNX_REASON_CLOSED,          /* both sides done */
    VNX_REASON_WEIGHT,          /* its weight is 0: no share of the buffers */
    VNX_REASON__MAX
} VnxReason;

typedef enum VnxFlowState {
    VNX_FLOW_SYN_SENT,
    VNX_FLOW_SYN_RECEIVED,
    VNX_FLOW_ESTABLISHED,
    VNX_FLOW_CLOSED,            /* FINs of both sides acknowledged; lingers */
    VNX_FLOW_RESET,             /* a reset, or its delivery, ends it */
    VNX_FLOW_UNTRACKED,         /* observe only, for good */
    VNX_FLOW_STATE__MAX
} VnxFlowState;

const char *vnx_half_state_name(VnxHalfState state);
const char *vnx_reason_name(VnxReason reason);
const char *vnx_flow_state_name(VnxFlowState state);

/* What frames toward a side may look like. */
typedef struct VnxOffload {
    uint8_t vnet_len;           /* virtio-net header on frames: 0, 10, 12 or 20 */
    bool csum;                  /* the receiver completes partial checksums */
    bool tso4;                  /* it takes TCPv4 GSO frames (needs csum) */
    bool tso6;
    bool ecn;                   /* ... also with CWR in the first segment (GSO_ECN) */
} VnxOffload;

/*
 * What applies to one flow (P1).  vTCP never changes what a host does; it changes what
 * vTCP does in its place.  Both halves of a flow share one configuration.
 */
typedef struct VnxFlowConfig {
    VnxMode mode;
    VnxOooPolicy out_of_order;
    uint32_t flow_buffer_size;  /* cap on the real buffer bytes of each half */
    uint32_t weight;            /* share of the buffers when they are short, relative to
                                 * other flows; 0: none, the flow passes end to end */
    uint32_t max_window;        /* no larger window is advertised, but for one segment;
                                 * 0: as much as there is room */
    uint32_t dupack_threshold;
    uint32_t initial_window;    /* of the congestion window, in segments */
    uint32_t slow_start_threshold; /* the first one, in bytes; 0: none */
    uint32_t additive_increase; /* of congestion avoidance, in percent of the algorithm's */
    uint32_t decrease_factor;   /* percent of the window that a loss leaves; 0: the
                                 * algorithm's own */
    uint32_t min_rto_ms;
    uint32_t max_rto_ms;
    uint64_t max_pacing_rate;   /* payload, bytes per second, in each direction; 0: no limit */
    bool ecn;                   /* accelerate it if it negotiates ECN (else observe) */
    char congestion_control[16];        /* toward the network, by name */
    char guest_congestion_control[16];  /* toward the guest */
} VnxFlowConfig;

/* A member of VnxFlowConfig. */
typedef enum VnxMemberType {
    VNX_MEMBER_NUMBER,
    VNX_MEMBER_ENUM,
    VNX_MEMBER_BOOL,
    VNX_MEMBER_NAME,            /* of a congestion control */
} VnxMemberType;

typedef struct VnxFlowMember {
    const char *name;           /* as the options spell it */
    VnxMemberType type;
    size_t offset, size;
    uint64_t min, max;          /* what it may be; not of a name */
} VnxFlowMember;

/* Some members of a configuration; the others stay what they are. */
typedef struct VnxFlowOverride {
    uint32_t set;               /* bit i: vnx_flow_member(i) counts */
    VnxFlowConfig config;
} VnxFlowOverride;

typedef struct VnxVtcpConfig {
    uint64_t buffer_size;       /* cap on real buffer bytes of all flows */
    uint32_t max_flows;
    uint32_t retry_limit_ms;    /* no sign of life from a receiver for so long: reset */
    VnxFlowConfig flow;         /* of flows for which nobody wants something else */
} VnxVtcpConfig;

#define VNX_BUFFER_SIZE_MIN        (256 * 1024ull)
#define VNX_BUFFER_SIZE_MAX        (1ull << 40)
#define VNX_BUFFER_SIZE_DEFAULT    (64ull << 20)
#define VNX_MAX_FLOWS_MAX          (1u << 24)
#define VNX_MAX_FLOWS_DEFAULT      65536u
#define VNX_RETRY_LIMIT_MIN_MS     1000u
#define VNX_RETRY_LIMIT_MAX_MS     86400000u
#define VNX_RETRY_LIMIT_DEFAULT_MS 120000u          /* RFC 1122 4.2.3.5: at least 100 s */

#define VNX_FLOW_BUFFER_SIZE_MIN   (64 * 1024u)
#define VNX_FLOW_BUFFER_SIZE_MAX   (512u << 20)     /* half of RFC 7323's window limit */
#define VNX_FLOW_BUFFER_SIZE_DEFAULT (4u << 20)
#define VNX_WEIGHT_MAX             10000u
#define VNX_WEIGHT_DEFAULT         100u
#define VNX_MAX_WINDOW_MAX         (1u << 30)       /* RFC 7323 2.3 */
#define VNX_DUPACK_THRESHOLD_MIN   2u
#define VNX_DUPACK_THRESHOLD_MAX   255u
#define VNX_DUPACK_THRESHOLD_DEFAULT 3u             /* RFC 5681 3.2 */
#define VNX_INITIAL_WINDOW_MIN     1u
#define VNX_INITIAL_WINDOW_MAX     1000u
#define VNX_INITIAL_WINDOW_DEFAULT 10u              /* RFC 6928 */
#define VNX_SLOW_START_THRESHOLD_MAX (1u << 30)     /* no window is larger */
#define VNX_ADDITIVE_INCREASE_MIN  1u
#define VNX_ADDITIVE_INCREASE_MAX  10000u
#define VNX_ADDITIVE_INCREASE_DEFAULT 100u
#define VNX_DECREASE_FACTOR_MAX    99u
#define VNX_PACING_RATE_MIN        1000ull
#define VNX_PACING_RATE_MAX        (1ull << 40)
#define VNX_RTO_MIN_MS             1u
#define VNX_RTO_MAX_MS             600000u
#define VNX_MIN_RTO_DEFAULT_MS     200u
#define VNX_MAX_RTO_DEFAULT_MS     60000u           /* RFC 6298 2.5 */

/* Fill in the defaults above, mode accelerate, "reno" and, toward the guest, "none". */
void vnx_vtcp_config_init(VnxVtcpConfig *cfg);
void vnx_flow_config_init(VnxFlowConfig *cfg);
/*
 * Return false and set @err when a member is out of its range; the message names
 * the member as the options spell it (flow-buffer-size ...), the value and the range.
 */
bool vnx_vtcp_config_check(const VnxVtcpConfig *cfg, GError **err);
bool vnx_flow_config_check(const VnxFlowConfig *cfg, GError **err);

/* Every member of VnxFlowConfig, from 0 on; NULL behind the last. */
const VnxFlowMember *vnx_flow_member(unsigned i);
/* NULL: there is none of that name. */
const VnxFlowMember *vnx_flow_member_find(const char *name);
/*
 * Put a member, which must exist, into @o.  False, with @err set and @o as it was: the value
 * is not in its range.  Ranges that depend on other members are not looked at.
 */
bool vnx_flow_override_number(VnxFlowOverride *o, const char *name, int64_t value,
                              GError **err);
bool vnx_flow_override_name(VnxFlowOverride *o, const char *name, const char *value,
                            GError **err);
bool vnx_flow_override_has(const VnxFlowOverride *o, const char *name);
/* @base, but for the members that @o has. Not checked. */
VnxFlowConfig vnx_flow_override_apply(const VnxFlowOverride *o, const VnxFlowConfig *base);

/*
 * A configuration in use: checked, never changed, counted, shared by the flows that have it.
 * Whoever keeps a pointer to it holds a reference; the engine takes its own.
 */
typedef struct VnxFlowProfile VnxFlowProfile;
/* NULL, and @err set, as _check(). */
VnxFlowProfile *vnx_flow_profile_new(const VnxFlowConfig *cfg, GError **err);
VnxFlowProfile *vnx_flow_profile_ref(VnxFlowProfile *p);
void vnx_flow_profile_unref(VnxFlowProfile *p);
const VnxFlowConfig *vnx_flow_profile_config(const VnxFlowProfile *p);

#define VNX_VTCP_ERROR (vnx_vtcp_error_quark())
GQuark vnx_vtcp_error_quark(void);
typedef enum {
    VNX_VTCP_ERROR_RANGE,       /* a configuration member is out of its range */
    VNX_VTCP_ERROR_STATE,       /* saved state cannot be loaded */
    VNX_VTCP_ERROR_POLICY,      /* no policy of that id, or another one */
} VnxVtcpErrorCode;

/* Counters of an instance: listed once, everything else is generated from here.
 * X(C name, QMP name, meaning) */
#define VNX_VTCP_COUNTERS(X) \
    X(packets, "packets", "frames pushed") \
    X(tcp_packets, "tcp-packets", "TCP segments among them") \
    X(not_tcp, "not-tcp", "frames passed as not TCP, fragments among them") \
    X(malformed, "malformed", "frames passed untouched: truncated or contradictory") \
    X(bad_checksum, "bad-checksum", "TCP segments passed untouched for their checksum") \
    X(unacceptable, "unacceptable", "segments outside window or sequence, or too old (PAWS)") \
    X(paused_drops, "paused-drops", "segments dropped while the VM does not run") \
    X(flows_created, "flows-created", "connections followed since their SYN") \
    X(flows_evicted, "flows-evicted", "connections forgotten to make room") \
    X(flows_refused, "flows-refused", "connections not followed: table full") \
    X(flows_reset, "flows-reset", "connections that vTCP reset: retry limit or drain timeout") \
    X(early_ack_bytes, "early-acked-bytes", "payload acknowledged before its receiver did") \
    X(early_acks, "early-acks", "ACK segments generated toward senders") \
    X(acks_consumed, "acks-consumed", "receivers' ACKs not forwarded") \
    X(acks_rewritten, "acks-rewritten", "forwarded segments whose ACK or window was replaced") \
    X(buffered_bytes, "buffered-bytes", "payload copied to segment buffers") \
    X(duplicate_bytes, "duplicate-bytes", "payload dropped as already buffered or delivered") \
    X(out_of_order, "out-of-order", "segments that arrived ahead of sequence") \
    X(out_of_order_bytes, "out-of-order-bytes", "payload kept that arrived ahead of sequence") \
    X(out_of_order_dropped, "out-of-order-dropped", "segments ahead of sequence without room") \
    X(duplicate_acks, "duplicate-acks-sent", "duplicate ACKs generated toward senders") \
    X(dsacks_sent, "d-sacks-sent", "duplicates reported to senders by D-SACK (RFC 2883)") \
    X(buffer_full, "buffer-full", "segments that found no room") \
    X(retransmits, "retransmits", "segments retransmitted by vTCP, any cause") \
    X(rto_retransmits, "rto-retransmits", "retransmission timeouts") \
    X(fast_retransmits, "fast-retransmits", "recoveries entered by duplicate ACKs") \
    X(tail_loss_probes, "tail-loss-probes", "segments sent to make a silent receiver answer") \
    X(segments_lost, "segments-lost", "segments taken to be lost, in units of the MSS") \
    X(recoveries_undone, "recoveries-undone", "recoveries and timeouts that proved needless") \
    X(dsacks_received, "dsacks-received", "receivers' reports of duplicates") \
    X(window_probes, "window-probes", "probes of zero windows sent") \
    X(probes_answered, "probes-answered", "keepalives and window probes answered for the receiver") \
    X(challenge_acks, "challenge-acks", "ACKs sent for doubtful RSTs and ACKs (RFC 5961)") \
    X(drains, "drains", "times a half left the fast path") \
    X(rejoins, "rejoins", "times a half returned to it") \
    X(ce_segments, "ce-segments", "segments of ECN flows that arrived marked (CE)") \
    X(ecn_responses, "ecn-responses", "congestion windows lowered for a receiver's ECN-Echo") \
    X(too_big, "too-big", "ICMP reports of a path MTU that made segments smaller") \
    X(payload_passed, "payload-passed-bytes", "payload forwarded by the end hosts' own means") \
    X(alloc_failures, "no-memory", "segments for which the total buffer cap had no room")

typedef struct VnxVtcpStats {
#define VNX_X(name, qmp, text) uint64_t name;
    VNX_VTCP_COUNTERS(VNX_X)
#undef VNX_X
    /* gauges */
    uint32_t flows;
    uint32_t half_open;
    uint64_t buffer_used;       /* real bytes of segment buffers */
    uint64_t buffer_reserved;   /* promised by advertised windows */
    uint64_t undelivered;       /* acknowledged early, not yet by the receiver */
    uint32_t ooo_queues;        /* halves with data ahead of a hole */
} VnxVtcpStats;

typedef struct VnxVtcpHalfInfo {    /* indexed by VnxDir */
    VnxHalfState state;
    VnxReason reason;
    uint64_t bytes;                 /* payload of S seen in order */
    uint64_t early_acked_bytes;
    uint64_t acks_consumed;
    uint64_t retransmits;
    uint64_t rto_retransmits;
    uint64_t fast_retransmits;
    uint64_t dupacks;               /* from R */
    uint64_t out_of_order;
    uint64_t duplicate_bytes;
    uint32_t undelivered;           /* acknowledged early, not yet by R */
    uint32_t out_of_order_queued;   /* bytes held that are ahead of a hole */
    uint32_t buffer_used;           /* real bytes */
    uint32_t una, nxt;              /* send side toward R */
    uint32_t early;                 /* highest ACK given to S */
    uint32_t advertised_window;     /* toward S, bytes */
    uint32_t receiver_window;       /* R's, bytes beyond una */
    uint32_t cwnd, ssthresh;        /* bytes; UINT32_MAX: not limited */
    uint32_t mss;
    int64_t srtt_ns, rttvar_ns, rto_ns, min_rtt_ns;  /* to R; 0: no sample yet */
    char congestion_control[16];
} VnxVtcpHalfInfo;

typedef struct VnxVtcpFlowInfo {
    VnxFlowKey key;
    uint64_t id;                    /* grows with age of the instance, never reused */
    VnxFlowState state;
    uint16_t queue;                 /* where the guest's side last sent */
    const char *policy;             /* id of the one that holds; NULL: none */
    int64_t age_ns;                 /* since the first SYN */
    int64_t idle_ns;                /* since the last frame */
    VnxVtcpHalfInfo half[2];        /* by VnxDir */
} VnxVtcpFlowInfo;

typedef enum VnxVtcpEventType {
    VNX_EVENT_FLOW_STATE,           /* flow_state changed */
    VNX_EVENT_HALF_STATE,           /* state of half[dir] changed (reason) */
    VNX_EVENT_RETRANSMIT,           /* seq, len; by_rto */
    VNX_EVENT_RESET,                /* vTCP gave the connection up: RST to both sides */
} VnxVtcpEventType;

/* For tracing and QMP events; only valid during the call. */
typedef struct VnxVtcpEvent {
    VnxVtcpEventType type;
    const VnxFlowKey *key;
    uint64_t flow_id;
    VnxDir dir;
    VnxFlowState flow_state;
    VnxHalfState half_state;
    VnxReason reason;
    bool by_rto;
    uint32_t seq;
    uint32_t len;
} VnxVtcpEvent;

typedef struct VnxVtcpOps {
    /*
     * Send a frame that vTCP built (virtio-net header of the length that
     * vnx_vtcp_set_offload() gave for @dir included) by @queue of direction @dir.  Mandatory.
     * Returns true if the frame went out, or was lost as a network may lose it;
     * false if @queue takes nothing now: vTCP keeps what it needs and tries again
     * in vnx_vtcp_run() after vnx_vtcp_writable().  @iov is only valid during the call.
     */
    bool (*emit)(void *opaque, VnxDir dir, unsigned queue, const struct iovec *iov,
                 unsigned iovcnt, size_t size);
    /*
     * Forward a frame of the end hosts that vTCP has rewritten, in order with
     * what PASS verdicts forward; the host queues or drops it.  Its queue and virtio-net
     * header are those of the frame pushed.  Mandatory.
     */
    void (*forward)(void *opaque, VnxDir dir, const struct iovec *iov, unsigned iovcnt,
                    size_t size);
    /*
     * Optional.  True while the receiver of @dir has frames of @queue in hand that it has
     * not looked at (a descheduled guest): timeouts toward it are put off (rule 9).
     */
    bool (*receiver_stalled)(void *opaque, VnxDir dir, unsigned queue);
    /* Optional. */
    void (*event)(void *opaque, const VnxVtcpEvent *ev);
} VnxVtcpOps;

/*
 * @cfg: checked already (vnx_vtcp_config_check()).
 * @seed: 16 random bytes (flow hash key, IP identification).
 * @ops: static; @opaque is given back to each op.
 */
VnxVtcp *vnx_vtcp_new(const VnxVtcpConfig *cfg, const VnxVtcpOps *ops, void *opaque,
                      const uint8_t seed[16]);
/* Frees all flows, delivered or not: see vnx_vtcp_drained(). */
void vnx_vtcp_free(VnxVtcp *v);

/*
 * Apply a configuration to new and live flows, at once.  Nothing that was acknowledged or
 * promised is taken back: lower limits let edges stand still until they are met.  Another
 * congestion control goes on from the window that there is.
 * False and @err as _check().
 */
bool vnx_vtcp_set_config(VnxVtcp *v, const VnxVtcpConfig *cfg, int64_t now_ns, GError **err);
const VnxVtcpConfig *vnx_vtcp_config(const VnxVtcp *v);
/*
 * The same for one flow, whatever the others have; NULL: as it is classified, again.
 * False: there is no such flow.
 */
bool vnx_vtcp_set_flow_profile(VnxVtcp *v, const VnxFlowKey *key, VnxFlowProfile *profile,
                               int64_t now_ns);
/*
 * @policies decide what flows have (vnx/policy.h); NULL: all have the common configuration.
 * The list stays the caller's, and stays until the instance has another one or is gone.  To
 * be called again whenever the list has changed: every flow is looked up anew.  Its
 * defaults are to be the common configuration.
 */
void vnx_vtcp_set_policies(VnxVtcp *v, VnxPolicies *policies, int64_t now_ns);

/* How frames toward @dir may look from now on. */
void vnx_vtcp_set_offload(VnxVtcp *v, VnxDir dir, const VnxOffload *offload);

/*
 * The host has @n queues in each direction now, 0 to @n - 1 (1 unless told; a multiqueue
 * device).  What vTCP sends for a connection, in either direction, leaves by the queue where
 * the guest's side last sent: there the guest expects it.  If that is no more, by queue 0.
 */
void vnx_vtcp_set_queues(VnxVtcp *v, unsigned n);

/*
 * A frame on its way in direction @dir, in @queue (one that there is not counts as 0).
 * @iov: borrowed for the call.  @vnet_len: its virtio-net header: 0, 10, 12, 20.
 * Hostile input of any kind is at worst passed or dropped, and counted.
 */
VnxVerdict vnx_vtcp_push(VnxVtcp *v, VnxDir dir, unsigned queue, const struct iovec *iov,
                         unsigned iovcnt, size_t vnet_len, int64_t now_ns);

/* A queue for which emit said false takes frames again. */
void vnx_vtcp_writable(VnxVtcp *v, VnxDir dir, unsigned queue);

/* Send due ACKs, run expired timers, resume what waited for _writable(). */
void vnx_vtcp_run(VnxVtcp *v, int64_t now_ns);
/* True if vnx_vtcp_run() has something to do at once. */
bool vnx_vtcp_has_work(const VnxVtcp *v);
/* When to call vnx_vtcp_run() next; INT64_MAX: no timer. */
int64_t vnx_vtcp_next_deadline(const VnxVtcp *v);

/* Paused (the VM does not run): TCP is dropped unacknowledged, no state changes.
 * @now_ns: durations do not count the pause if the clock stood still or not. */
void vnx_vtcp_set_paused(VnxVtcp *v, bool paused, int64_t now_ns);

/* Switched off: halves drain and the end hosts take over; flows are still followed, so
 * that they are accelerated when it is on again. */
void vnx_vtcp_set_enabled(VnxVtcp *v, bool enabled, int64_t now_ns);
/* Nothing acknowledged early is undelivered, and no sender was told by SACK of data behind a
 * hole: removing vTCP now loses nothing.  (A sender
 * may still hold a larger window than its receiver's own; what it sends
 * beyond that the receiver drops and the sender repeats.) */
bool vnx_vtcp_drained(const VnxVtcp *v);
/* Give up every flow that is not drained: RST to both sides, counted. */
void vnx_vtcp_reset_undrained(VnxVtcp *v, int64_t now_ns);

/*
 * All established flows, with what they owe, as bytes for a migration stream or a
 * snapshot.  The instance should be paused, and goes on from there if it is resumed.
 * Never fails; the caller frees it.
 */
GByteArray *vnx_vtcp_save(VnxVtcp *v, int64_t now_ns);
/*
 * Take over what vnx_vtcp_save() gave, into an instance without flows.  Limits smaller than those
 * at the origin lose nothing: what is owed is kept, new promises wait.
 * Returns false, with @err set (VNX_VTCP_ERROR_STATE) and no flow loaded, if
 * @data is malformed in any way.
 */
bool vnx_vtcp_load(VnxVtcp *v, const uint8_t *data, size_t size, int64_t now_ns,
                   GError **err);

void vnx_vtcp_stats(const VnxVtcp *v, VnxVtcpStats *stats);
/*
 * Visit flows in order of age, oldest first, from the first whose id is above
 * @after_id on (0: all), until @fn returns false.
 */
void vnx_vtcp_foreach_flow(VnxVtcp *v, uint64_t after_id, int64_t now_ns,
                           bool (*fn)(const VnxVtcpFlowInfo *info, void *opaque),
                           void *opaque);

#endif /* VNX_VTCP_H */
