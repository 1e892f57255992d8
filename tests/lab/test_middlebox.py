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
