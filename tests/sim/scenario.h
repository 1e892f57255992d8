/*
 * vnx simulation: scenarios - what a seed means
 *
 * A seed chooses a theme and, with it, every knob; each can be set by hand
 * (--set NAME=VALUE), the others stay what the seed made them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "link.h"

/* The four links, named after the leg and the side that the frames come from. */
typedef enum SimLinkId {
    SIM_GUEST_TX,               /* guest -> vTCP */
    SIM_GUEST_RX,               /* vTCP -> guest */
    SIM_NET_TX,                 /* vTCP -> net */
    SIM_NET_RX,                 /* net -> vTCP */
    SIM_LINKS
} SimLinkId;

#define SIM_THEMES(X) \
    X(CLEAN, "clean") X(LOSSY, "lossy") X(BURST, "burst") X(BOTH, "both") \
    X(STALL, "stall") X(PAUSE, "pause") X(TOGGLE, "toggle") X(REMOVE, "remove") \
    X(MEMORY, "memory") X(ABORT, "abort") X(CORRUPT, "corrupt") X(SLOW, "slow") \
    X(CHAOS, "chaos") X(BLACKHOLE, "blackhole") X(CONFIG, "config") \
    X(OFFLOAD, "offload") X(REUSE, "reuse") X(IDLE, "idle") X(FORCE, "force") \
    X(MIGRATE, "migrate") X(ECN, "ecn") X(ACKS, "acks") X(TAIL, "tail") \
    X(REORDER, "reorder") X(PMTU, "pmtu")

typedef enum SimTheme {
#define SIM_X(name, text) SIM_THEME_##name,
    SIM_THEMES(SIM_X)
#undef SIM_X
    SIM_THEME__MAX
} SimTheme;

extern const char *const sim_theme_names[SIM_THEME__MAX];

/* Knobs of a run.  All are doubles, so that one table serves them all. */
#define SIM_KNOBS(X) \
    X(vtcp, "vTCP stands between the stacks") \
    X(sabotage, "make vTCP look broken: 1 wrong byte, 2 lost for good, 3 lying ACK") \
    X(forget, "vTCP must have forgotten all flows in the end") \
    X(strict, "the other end's windows count as promises too") \
    X(conns, "connections") \
    X(kbytes, "KiB that each end of a connection sends at most") \
    X(guest_stack, "0 wide, 1 plain, 2 small: see lwip/lwipopts.h") \
    X(net_stack, "the same") \
    X(guest_isn, "initial sequence numbers are near this") \
    X(net_isn, "the same") \
    X(guest_clock, "ms; near 2^32: timestamps wrap") \
    X(net_clock, "the same") \
    X(guest_mtu, "of the guest's leg") \
    X(net_mtu, "of the net's leg") \
    X(vlans, "VLAN tags on frames, 0 .. 2") \
    X(pad, "short frames are padded") \
    X(vnet_len, "virtio-net header: 0, 10, 12 or 20") \
    X(guest_csum, "the guest takes partial checksums") \
    X(guest_tso4, "it takes TCPv4 GSO frames") \
    X(guest_tso6, "... TCPv6") \
    X(net_csum, "the net side takes partial checksums, the guest makes them") \
    X(net_tso4, "the same, TCPv4 GSO") \
    X(net_tso6, "... TCPv6") \
    X(guest_gso_ecn, "the guest takes GSO frames with CWR") \
    X(net_gso_ecn, "the same of the net side") \
    X(gso_max, "bytes of a GSO frame that the stacks make") \
    X(v6, "probability that a connection is IPv6") \
    X(ecn, "probability that a connection negotiates ECN") \
    X(ce_told, "an end must hear of each mark on its own leg") \
    X(corrupting, "a flipped bit may look like a mark") \
    X(guest_opens, "probability that the guest opens it") \
    X(nagle, "probability of Nagle's algorithm") \
    X(spread_ms, "connections start within this time") \
    X(think, "probability of a pause between two writes") \
    X(think_ms, "mean length of such a pause") \
    X(late_close, "probability that an end closes only after the other") \
    X(read_stall, "probability, per connection end, that it stops reading once") \
    X(read_stall_ms, "for up to so long") \
    X(slow_reader, "probability that an end reads slowly, a bit every 10 ms") \
    X(abort, "probability that a connection is aborted by an end") \
    X(reuse, "probability that an end that aborted opens again, from the same port") \
    X(keepalive, "probability that an end sends keepalives") \
    X(guest_freezes, "times the guest is held off the CPU") \
    X(net_freezes, "times the remote host is") \
    X(freeze_ms, "for up to so long") \
    X(pauses, "times the VM is stopped") \
    X(pause_ms, "for up to so long") \
    X(clock_stops, "vTCP's clock stands still in a pause") \
    X(migrate, "probability that a stopped VM is resumed elsewhere: saved and loaded") \
    X(toggles, "times vTCP is switched off and on") \
    X(removals, "times it is drained, removed, and later added anew") \
    X(forced_ms, "then what is not drained is reset, and vTCP switched off; 0: never") \
    X(reconfigs, "times its configuration changes") \
    X(modes, "these changes touch the mode too") \
    X(actions_ms, "all that happens within this time") \
    X(reoffers, "times that what the guest takes changes (as its driver restarts)") \
    X(blackhole_ms, "the remote host vanishes then; 0: never") \
    X(pmtu, "the path beyond the net side of vTCP takes no more than this ...") \
    X(pmtu_ms, "... from then on") \
    X(pmtu_for_ms, "... for so long") \
    X(busy, "probability that a frame of vTCP's is refused although there is room") \
    X(bh_us, "the bottom half runs within this time") \
    X(heal_s, "from then on nothing goes wrong any more") \
    X(bound_s, "and so much later all must be over") \
    X(buffer_kb, "vTCP's buffer-size") \
    X(flow_buffer_kb, "vTCP's flow-buffer-size") \
    X(max_flows, "vTCP's max-flows") \
    X(cc, "vTCP's congestion-control: the how manieth that it has, modulo") \
    X(dupack, "vTCP's dupack-threshold") \
    X(pass_through, "vTCP's out-of-order=pass-through instead of queue") \
    X(initial_window, "vTCP's initial-window") \
    X(min_rto_ms, "vTCP's min-rto") \
    X(max_rto_ms, "vTCP's max-rto") \
    X(retry_s, "vTCP's retry limit")

typedef struct SimScenario {
    uint64_t seed;
    SimTheme theme;
    SimLinkConf link[SIM_LINKS];
#define SIM_X(name, text) double name;
    SIM_KNOBS(SIM_X)
#undef SIM_X
} SimScenario;

/* @theme: one of SimTheme, or -1: the seed's own. */
void sim_scenario_from_seed(SimScenario *s, uint64_t seed, int theme);
/* "NAME=VALUE", "LINK.NAME=VALUE"; false if there is no such knob. */
bool sim_scenario_set(SimScenario *s, const char *assignment);
void sim_scenario_print(const SimScenario *s);
void sim_scenario_help(void);
extern const char *const sim_link_names[SIM_LINKS];

#endif /* SIM_SCENARIO_H */
