# SPDX-License-Identifier: GPL-2.0-or-later
"""filter-vtcp in a QEMU without a guest, between two Linux stacks, on all sorts of wires.

The stacks are the kernel's own, with SACK, timestamps and PAWS; the relay loses, doubles,
delays and reorders.  vTCP acknowledges early in both directions at once.
"""

import os

import pytest
from lablib.util import wait_until
from topology import Vtcp

MIB = 1 << 20
ROUNDS = 20 if os.environ.get("VNX_LONG") else 1
BAD = {"loss": 10, "dup": 5, "reorder": 5, "delay": 1000, "jitter": 200}
AWFUL = {"loss": 50, "dup": 20, "reorder": 50, "hold": 5000, "delay": 2000, "jitter": 2000}
# What the stacks do without, or with: name -> (sysctls, family, words of both relays)
STACKS = {
    "no-sack": ({"tcp_sack": 0}, 4, BAD),
    "no-timestamps": ({"tcp_timestamps": 0}, 6, BAD),
    "bare": ({"tcp_sack": 0, "tcp_timestamps": 0, "tcp_window_scaling": 0}, 4, BAD),
    "awful": ({}, 6, AWFUL),
    "far": ({}, 4, {"loss": 2, "delay": 20000, "jitter": 3000, "reorder": 20, "hold": 30000}),
    "ecn": ({"tcp_ecn": 1}, 4, {"delay": 1000, "ce": 20}),
    "ecn-lossy": ({"tcp_ecn": 1}, 6, {**BAD, "ce": 20}),
    "ecn-no-timestamps": ({"tcp_ecn": 1, "tcp_timestamps": 0}, 4, {**BAD, "ce": 50}),
}


@pytest.fixture
def vtcp_between(artefacts):
    """A function that puts a filter-vtcp on one of the middlebox's netdevs."""
    filters = []

    def put(box, netdev, **options):
        filters.append(Vtcp(box.qemu, netdev, artefacts.directory,
                            filter_id=f"vtcp-{netdev}", **options))
        return filters[-1]

    return put


def assert_done(vtcp, size):
    stats = vtcp.stats()
    assert stats["early-acked-bytes"] > size, stats
    assert stats["acks-consumed"] > 0, stats
    wait_until(lambda: vtcp.stats()["drained"],
               lambda: f"the filter to drain: {vtcp.stats()}")


@pytest.mark.parametrize("family", [4, 6])
def test_t1_t3_good_wires(middlebox, vtcp_between, seed, family):
    """T1 T3 T10: early acknowledgement in both directions of one connection at once."""
    box = middlebox()
    vtcp = vtcp_between(box, "a")
    box.transfer("both", seed, size=64 * MIB, family=family).check()
    assert_done(vtcp, 64 * MIB)


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("bad", ["a", "b", "ab"])
def test_t4_t5_lossy_wires(middlebox, vtcp_between, seed, bad, number):
    """T4 T5 T6 T9: vTCP makes good what is lost behind it, copes with it before it."""
    box = middlebox(**{side: {**BAD, "seed": seed + 2 * number + index}
                       for index, side in enumerate(bad)})
    vtcp = vtcp_between(box, "a")
    box.transfer("both", seed, size=8 * MIB).check(timeout=120)
    assert_done(vtcp, 1)
    stats = vtcp.stats()
    assert stats["retransmits"] > 0, stats
    assert stats["fast-retransmits"] > 0, stats


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("name", STACKS)
def test_t6_t10_kinds_of_stacks(middlebox, vtcp_between, seed, name, number):
    """T4 T6 T9 T10: all options that two stacks may agree on, through bad wires on either side."""
    sysctls, family, words = STACKS[name]
    box = middlebox(**{side: {**words, "seed": seed + 2 * number + index}
                       for index, side in enumerate("ab")})
    vtcp = vtcp_between(box, "a")
    box.sysctl(**sysctls)
    size = MIB if name in ("awful", "far") else 2 * MIB
    for _ in range(4):
        box.transfer("both", seed, size=size * (4 if ROUNDS > 1 else 1),
                     family=family).check(timeout=240)
        if vtcp.stats()["early-acked-bytes"]:
            break       # else a SYN was lost and repeated without ECN (RFC 3168 6.1.1.1): only observed
    assert_done(vtcp, 1)
    stats = vtcp.stats()
    if "ce" in words:
        assert stats["ce-segments"] > 0, stats      # from one side they came to vTCP
        assert stats["ecn-responses"] > 0, stats    # and from the other their echo
        marked = [int(word.split("=")[1]) for relay in box.relays
                  for word in relay.close().split() if word.startswith("marked=")]
        assert all(marked), marked
    else:
        assert stats["ce-segments"] == stats["ecn-responses"] == 0, stats


def test_t9_two_filters_in_a_row(middlebox, vtcp_between, seed):
    """T9: each of two vTCPs takes the other for an end host."""
    box = middlebox(b={**BAD, "seed": seed})
    first, second = vtcp_between(box, "a"), vtcp_between(box, "b")
    box.transfer("both", seed, size=8 * MIB).check(timeout=120)
    for vtcp in (first, second):
        assert_done(vtcp, 1)


def test_t2_many_short_connections_on_lossy_wires(middlebox, vtcp_between, seed):
    """T2 T9: handshakes and closes that lose packets too."""
    box = middlebox(a={**BAD, "seed": seed}, b={**BAD, "seed": seed + 1})
    vtcp = vtcp_between(box, "a")
    box.transfer("both", seed, size=20000, count=50).check(timeout=120)
    assert_done(vtcp, 1)


def test_t9_syn_flood(middlebox, vtcp_between, seed):
    """T9, rule 10: a SYN flood costs bounded memory, and no byte of a connection."""
    max_flows, buffer_size, syns = 2000, 8 * MIB, 60000
    box = middlebox()
    vtcp = vtcp_between(box, "a", max_flows=max_flows, buffer_size=buffer_size)
    moving = box.transfer("a-to-b", seed)
    moving[box.peers["b"]].wait_moved("received", 1)
    before = box.qemu.resident_mib()
    box.flood(syns, rate=20000)
    stats = vtcp.stats()
    # 4 KiB are more than a flow takes; the rest is what a process may find to do meanwhile
    assert (box.qemu.resident_mib() - before) * MIB < buffer_size + max_flows * 4096 + 4 * MIB
    assert stats["flows-created"] > syns / 2, stats
    assert stats["flows-evicted"] > syns / 2 - max_flows, stats
    assert stats["flows"] <= max_flows, stats
    moving.finish()
    moving.check()
    assert_done(vtcp, 1)
