# SPDX-License-Identifier: GPL-2.0-or-later
"""filter-vtcp on a real guest's NICs: every byte arrives, whatever happens meanwhile.

Each test moves hashed random data (topology.Transfer.check compares every byte) and
asserts from the filter's counters that it did act, or did not where it should not.
"""

import time

import pytest
from lablib.qmp import QmpError
from lablib.util import wait_until
from topology import NICS

MIB = 1 << 20
DIRECTIONS = ["guest-to-host", "host-to-guest"]
TAP = NICS["tap"]

# How much an open-ended transfer must move to count as going on after a change.
ON_IT_GOES = 16 * MIB


def assert_accelerated(vtcp, size):
    """Most of `size` bytes were acknowledged early."""
    stats = vtcp.stats()
    assert stats["early-acked-bytes"] > 0.5 * size, stats
    return stats


def wait_drained(vtcp):
    """Wait until the filter holds nothing and has promised nothing to anybody."""
    wait_until(lambda: vtcp.stats()["drained"],
               lambda: f"the filter to drain: {vtcp.stats()}")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_t1_t3_t4_bulk_over_tap(bed, vtcp_on, seed, direction):
    """T1 T3 T4 T9: 256 MiB through a tap, acknowledged early, all bytes arrive."""
    vtcp = vtcp_on(TAP)
    bed.transfer(TAP, direction, seed, size=256 * MIB).check(timeout=240)
    stats = assert_accelerated(vtcp, 256 * MIB)
    assert stats["acks-consumed"] > 0, stats
    wait_drained(vtcp)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_t10_bulk_over_ipv6(bed, vtcp_on, seed, direction):
    """T10: the same over IPv6."""
    vtcp = vtcp_on(TAP)
    bed.transfer(TAP, direction, seed, size=64 * MIB, family=6).check(timeout=120)
    assert_accelerated(vtcp, 64 * MIB)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_t6_ecn(bed, vtcp_on, seed, direction):
    """T6: connections that negotiate ECN are accelerated, in super-segments marked ECT."""
    vtcp = vtcp_on(TAP)
    old = bed.guest.peer.shell("cat /proc/sys/net/ipv4/tcp_ecn").strip()
    bed.guest.peer.shell("echo 1 > /proc/sys/net/ipv4/tcp_ecn")
    try:
        bed.transfer(TAP, direction, seed, size=64 * MIB).check(timeout=120)
    finally:
        bed.guest.peer.shell(f"echo {old} > /proc/sys/net/ipv4/tcp_ecn")
    assert_accelerated(vtcp, 64 * MIB)


@pytest.mark.parametrize("nic", [name for name in NICS if name != "tap"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_t1_every_netdev(bed, vtcp_on, seed, nic, direction):
    """T1 T3 U2: netdevs and NICs of every kind, with and without virtio-net headers."""
    vtcp = vtcp_on(NICS[nic])
    size = 16 * MIB
    bed.transfer(NICS[nic], direction, seed, size=size).check(timeout=120)
    # A hub in front of a full datagram socket reorders at will, so most may pass through.
    assert_accelerated(vtcp, 0 if nic == "dgram" else size)


@pytest.mark.parametrize("connect", ["guest", "host"])
def test_t2_many_short_connections(bed, vtcp_on, seed, connect):
    """T2 T9: 200 short connections at once, data both ways on each."""
    vtcp = vtcp_on(TAP)
    bed.transfer(TAP, "both", seed, size=30000, count=200, connect=connect).check(120)
    stats = vtcp.stats()
    assert stats["flows-created"] >= 200, stats
    assert stats["early-acked-bytes"] > 0, stats
    wait_drained(vtcp)


def test_t9_filter_switched_off_and_on_in_mid_transfer(bed, vtcp_on, seed):
    """T9: status=off drains and hands over to the end hosts; on again is harmless."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    for status in ["off", "on"] * 3:
        for job in going.jobs:
            job.wait_moved("received", ON_IT_GOES)
        vtcp.set(status=status)
        if status == "off":
            wait_drained(vtcp)
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    going.finish()
    going.check()
    assert vtcp.stats()["early-acked-bytes"] > 0


def test_t9_off_means_hands_off(bed, vtcp_on, seed):
    """T9: while off and drained, nothing is acknowledged early."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    vtcp.set(status="off")
    wait_drained(vtcp)
    before = vtcp.stats()["early-acked-bytes"]
    assert before > 0
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    going.finish()
    going.check()
    assert vtcp.stats()["early-acked-bytes"] == before


def test_t9_filter_removed_and_added_in_mid_transfer(bed, vtcp_on, seed):
    """T9: object-del is refused until drained, then succeeds; no byte is lost."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    for _ in range(3):
        for job in going.jobs:
            job.wait_moved("received", ON_IT_GOES)
        vtcp.remove()
        assert vtcp.filter_id not in bed.guest.objects()
        for job in going.jobs:
            job.wait_moved("received", ON_IT_GOES)
        vtcp.add()
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    going.finish()
    going.check()
    # Its handshake was not seen by the filter that stands there now (rule 2).
    assert vtcp.stats()["early-acked-bytes"] == 0


def test_t9_filter_that_was_off_takes_up_connections(bed, vtcp_on, seed):
    """T1 T9: added with status=off it watches; switched on, it accelerates what it saw begin."""
    vtcp = vtcp_on(TAP, status="off")
    going = bed.transfer(TAP, "both", seed)
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    stats = vtcp.stats()
    assert (stats["status"], stats["early-acked-bytes"]) == ("off", 0), stats
    assert stats["acks-rewritten"] == 0, stats
    vtcp.set(status="on")
    wait_until(lambda: vtcp.stats()["early-acked-bytes"] > ON_IT_GOES,
               lambda: f"the fast path: {vtcp.stats()}")
    going.finish()
    going.check()
    wait_drained(vtcp)


def test_t9_object_del_is_refused_while_data_is_undelivered(bed, vtcp_on, seed):
    """T9 U5: a stopped reader leaves acknowledged data in the filter: it must stay."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "host-to-guest", seed)
    reader = going[bed.guest.peer]
    reader.wait_moved("received", ON_IT_GOES)
    reader.pause()
    wait_until(lambda: vtcp.stats()["undelivered"] > 0,
               lambda: f"acknowledged data in the filter: {vtcp.stats()}")
    with pytest.raises(QmpError) as refusal:
        bed.guest.delete(vtcp.filter_id)
    assert vtcp.filter_id in refusal.value.description
    vtcp.set(status="off")
    with pytest.raises(QmpError):
        bed.guest.delete(vtcp.filter_id)
    reader.resume()
    going.finish()
    going.check()
    wait_drained(vtcp)


@pytest.mark.parametrize("side", ["guest", "host"])
def test_t9_reader_that_stops_for_10_s(bed, vtcp_on, seed, side):
    """T6 T8 T9: the window holds the sender, memory is bounded, it all goes on after."""
    limit = 2 * MIB
    vtcp = vtcp_on(TAP, flow_buffer_size=limit)
    direction = "host-to-guest" if side == "guest" else "guest-to-host"
    going = bed.transfer(TAP, direction, seed, rcvbuf=256 * 1024, sndbuf=256 * 1024)
    reader = going[bed.guest.peer if side == "guest" else bed.host]
    sender = going[bed.host if side == "guest" else bed.guest.peer]
    reader.wait_moved("received", ON_IT_GOES)
    reader.pause()
    # The 10 s are what is tested; meanwhile the filter must keep within its limits.
    end = time.monotonic() + 10
    while time.monotonic() < end:
        stats = vtcp.stats()
        assert stats["undelivered"] <= limit, stats
        assert stats["buffer-used"] <= 2 * limit, stats
    held = sender.status()["sent"] - reader.status()["received"]
    assert held < limit + 4 * MIB, "the sender was not held back"
    reader.resume()
    reader.wait_moved("received", ON_IT_GOES)
    going.finish()
    going.check()
    wait_drained(vtcp)


@pytest.mark.parametrize("nic", ["user", "stream", "vmxnet3"])
@pytest.mark.parametrize("side", ["guest", "host"])
def test_t9_reader_that_stops_and_goes_on(bed, vtcp_on, seed, nic, side):
    """T4 T6 T9: after a closed window it goes on, at a pace worth the name (32 MiB)."""
    vtcp = vtcp_on(NICS[nic])
    direction = "host-to-guest" if side == "guest" else "guest-to-host"
    going = bed.transfer(NICS[nic], direction, seed)
    reader = going[bed.guest.peer if side == "guest" else bed.host]
    for _ in range(2):
        reader.wait_moved("received", ON_IT_GOES)
        reader.pause()
        for job in going.jobs:
            job.wait_stalled()
        reader.resume()
        reader.wait_moved("received", 2 * ON_IT_GOES)
    going.finish()
    going.check()
    wait_drained(vtcp)


@pytest.mark.parametrize("direction", [*DIRECTIONS, "both"])
def test_t9_stop_and_cont_in_mid_transfer(bed, vtcp_on, seed, direction):
    """T9 rule 11: a stopped VM loses nothing and gets no data acknowledged for it."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, direction, seed)
    receivers = [job for job in going.jobs
                 if direction == "both" or job is not going[
                     bed.guest.peer if direction == "guest-to-host" else bed.host]]
    for _ in range(3):
        for job in receivers:
            job.wait_moved("received", ON_IT_GOES)
        bed.guest.qmp.execute("stop")
        early = vtcp.stats()["early-acked-bytes"]
        # Stopped long enough for the host's stack to time out and try again (RTO 200 ms).
        end = time.monotonic() + 1
        while time.monotonic() < end:
            assert vtcp.stats()["early-acked-bytes"] == early
        bed.guest.qmp.execute("cont")
    for job in receivers:
        job.wait_moved("received", ON_IT_GOES)
    going.finish()
    going.check()
    assert vtcp.stats()["early-acked-bytes"] > 0
    wait_drained(vtcp)


def break_link(bed, what, up):
    """Take a part of TAP's link down, or up again."""
    state = "up" if up else "down"
    if what == "guest-driver":          # the guest no longer takes frames from its ring
        bed.guest.peer.shell(f"ip link set {TAP.interface} {state}")
    elif what == "virtual-cable":
        bed.guest.qmp.execute("set_link", name=TAP.netdev, up=up)
    elif what == "nic":
        bed.guest.qmp.execute("set_link", name="virtio-net-pci.0", up=up)
    else:
        bed.netns.ip("link", "set", f"tap{TAP.index}", state)


@pytest.mark.parametrize("what", ["guest-driver", "virtual-cable", "nic",
                                  "host-interface"])
def test_t9_link_down_and_up_in_mid_transfer(bed, vtcp_on, seed, what):
    """T9 rule 11, rule 12: nothing gets through for a while; then everything does."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    try:
        for _ in range(2):
            for job in going.jobs:
                job.wait_moved("received", ON_IT_GOES)
            break_link(bed, what, up=False)
            for job in going.jobs:
                job.wait_stalled()
            break_link(bed, what, up=True)
        for job in going.jobs:
            job.wait_moved("received", ON_IT_GOES, timeout=120)
    finally:
        break_link(bed, what, up=True)
    going.finish()
    going.check()
    assert vtcp.stats()["early-acked-bytes"] > 0
    wait_drained(vtcp)
    bed.restore_addresses(TAP)


def test_observe_changes_nothing(bed, vtcp_on, seed):
    """T1 P2: mode=observe follows flows and acknowledges nothing."""
    vtcp = vtcp_on(TAP, mode="observe")
    bed.transfer(TAP, "both", seed, size=32 * MIB).check()
    stats = vtcp.stats()
    assert stats["flows-created"] >= 1, stats
    assert stats["early-acked-bytes"] == 0, stats
    assert stats["acks-consumed"] == 0, stats


def test_p2_mode_changes_in_mid_transfer(bed, vtcp_on, seed):
    """P2 T9: accelerate and observe in turn on a live connection."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    for mode in ["observe", "accelerate"] * 3:
        for job in going.jobs:
            job.wait_moved("received", ON_IT_GOES)
        vtcp.set(mode=mode)
    early = vtcp.stats()["early-acked-bytes"]
    wait_until(lambda: vtcp.stats()["early-acked-bytes"] > early,
               lambda: f"the fast path to be back: {vtcp.stats()}")
    going.finish()
    going.check()


def test_t8_small_buffers(bed, vtcp_on, seed):
    """T6 T8: with the smallest buffers the flows share them, pass through, and arrive."""
    vtcp = vtcp_on(TAP, buffer_size=256 * 1024, flow_buffer_size=64 * 1024)
    bed.transfer(TAP, "both", seed, size=4 * MIB, count=8).check()
    assert vtcp.stats()["early-acked-bytes"] > 0
    wait_drained(vtcp)


def test_t8_t9_options_change_in_mid_transfer(bed, vtcp_on, seed):
    """T8 T9 U1: every option that bears on a live connection, up and down, under load."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed, count=4)
    for change in ({"flow_buffer_size": 64 << 10}, {"buffer_size": 256 << 10},
                   {"congestion_control": "cubic", "initial_window": 1},
                   {"buffer_size": 64 << 20, "flow_buffer_size": 16 << 20},
                   {"congestion_control": "bic", "min_rto": 1000, "dupack_threshold": 2},
                   {"max_flows": 1, "retry_limit": 1000}, {"max_flows": 65536},
                   {"congestion_control": "reno", "min_rto": 5, "initial_window": 10}):
        vtcp.set(**change)
        for job in going.jobs:
            job.wait_moved("received", ON_IT_GOES)
    early = vtcp.stats()["early-acked-bytes"]
    wait_until(lambda: vtcp.stats()["early-acked-bytes"] > early,
               lambda: f"the fast path: {vtcp.stats()}")
    going.finish()
    going.check()
    assert vtcp.stats()["flows-reset"] == 0


def test_t8_t9_more_connections_than_the_table_holds(bed, vtcp_on, seed):
    """T8 T9: what finds no place passes; nobody who is owed something is put out."""
    vtcp = vtcp_on(TAP, max_flows=4)
    bed.transfer(TAP, "both", seed, size=MIB, count=40).check()
    stats = vtcp.stats()
    assert stats["flows"] <= 4, stats
    assert stats["flows-refused"] > 0, stats
    assert stats["early-acked-bytes"] > 0, stats
    wait_drained(vtcp)


@pytest.mark.parametrize("side", ["guest", "host"])
def test_t9_an_end_that_goes_away_is_noticed(bed, vtcp_on, seed, side):
    """T9 rule 6: when one end drops a connection in mid-transfer the other end learns."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    leaver = bed.guest.peer if side == "guest" else bed.host
    stayer = bed.host if side == "guest" else bed.guest.peer
    going[leaver].drop()
    wait_until(lambda: going[stayer].status()["failed"] == 1,
               lambda: f"the other end to learn: {going[stayer].status()}")
    wait_drained(vtcp)


def test_query_tells_about_a_live_flow(bed, vtcp_on, seed):
    """P5: the flow table names the connection and tells what each half is doing."""
    vtcp = vtcp_on(TAP)
    going = bed.transfer(TAP, "both", seed)
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    (flow,) = [one for one in vtcp.flows() if one["remote-port"] == going.jobs[0].port]
    assert flow["state"] == "established"
    assert flow["guest-address"] == TAP.guest_address()
    assert flow["remote-address"] == TAP.host_address()
    for half in (flow["to-guest"], flow["to-net"]):
        assert half["bytes"] >= half["early-acked-bytes"] > 0
        assert half["acks-consumed"] > 0
        assert half["srtt-us"] >= half["min-rtt-us"] > 0
    going.finish()
    going.check()
