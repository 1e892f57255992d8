# SPDX-License-Identifier: GPL-2.0-or-later
"""A SYN flood toward a guest that has a connection to care for.

Without and with filter-vtcp, in turns, each time SYNS_EACH SYNs of different ends at RATE a
second to a port that listens, while one connection moves data to the guest.
"""

import os
import sys

from lablib.tools import Tool
from lablib.util import BUILD
from lablib.peer import HostPeer, parse_words

from . import machine
from .contention import GUEST, HOST, Bed
from .report import result

ROUNDS = int(os.environ.get("VNX_BENCH_ROUNDS", 5))
SYNS_EACH, RATE = 200_000, 20_000       # a million through the filter
SOURCE = "10.100.0.1"
MAX_FLOWS, BUFFER_MIB = 20_000, 16
FLOW_BYTES = 2560           # of a flow, in round numbers and upward: docs/operator.md
CAP_MIB = BUFFER_MIB + MAX_FLOWS * FLOW_BYTES / (1 << 20)


class Flood:
    """flood.syn.throughput, flood.syn.memory"""

    prefix = "flood."
    needs_guest = True

    def names(self):
        """Its cases."""
        return ["flood.syn.throughput", "flood.syn.memory"]

    def measure(self, wanted):
        """Run it; yield results."""
        rates, memory, kept = {False: [], True: []}, {False: [], True: []}, []
        bed = Bed(BUILD / "lab" / "bench")
        try:
            accel = bed.guest.accel
            bed.guest.peer.shell(f"ip route add default via {HOST}")
            self._run(bed, False, RATE)                     # warm up
            for number in range(ROUNDS):
                for filtered in (False, True) if number % 2 else (True, False):
                    rate, grown, half_open = self._run(bed, filtered, SYNS_EACH)
                    rates[filtered].append(rate)
                    memory[filtered].append(grown)
                    kept += half_open
                print(f"bench: flood round {number + 1} of {ROUNDS} done",
                      file=sys.stderr)
        finally:
            bed.close()
        conditions = {"flood": f"{ROUNDS} x {SYNS_EACH} SYNs at {RATE} a second",
                      "accel": accel, "baseline": "no filter",
                      "filter": f"max-flows={MAX_FLOWS} buffer-size={BUFFER_MIB}M",
                      "half open at the end": max(kept)}
        yield result("flood.syn.throughput", conditions, rates[False], rates[True],
                     "Mbit/s of the connection", "ratio >= 0.9")
        yield result("flood.syn.memory", conditions, memory[False], memory[True],
                     "MiB of growth (RSS)", f"value <= {CAP_MIB:.0f}")

    @staticmethod
    def _run(bed, filtered, syns):
        """One flood; the connection's Mbit/s, MiB of growth, half-open flows (a list)."""
        guest, half_open = bed.guest, []
        before = guest.resident_mib()
        if filtered:
            guest.add_filter("vtcp0", "n0", max_flows=MAX_FLOWS,
                             buffer_size=BUFFER_MIB << 20)
        host = HostPeer("host", bed.netns.name, cpu=machine.LOOP_CORE)
        machine.prefer(host.process.pid)
        try:
            words = {"hash": "no", "block": 128 << 10, "cc": "cubic"}
            server = guest.peer.start(role="listen", addr=GUEST, flow="recv", **words)
            client = host.start(role="connect", addr=GUEST, port=server.port, flow="send",
                                **words)
            server.wait_moved("received", 1)
            mac = guest.peer.shell("cat /sys/class/net/eth0/address")
            flood = Tool("tests/bench/chatter.c", "syn", bed.interface, SOURCE, GUEST,
                         server.port, mac, RATE, syns, netns=bed.netns,
                         cpu=machine.LOOP_CORE)
            moved = server.status()["received"]
            seconds = float(parse_words(flood.line(10 * syns / RATE))["seconds"])
            rate = (server.status()["received"] - moved) * 8 / seconds / 1e6
            flood.close()
            grown = guest.resident_mib() - before
            if filtered:
                half_open = [guest.vtcp_stats("vtcp0")["half-open"]]
            client.finish()
            for job in (server, client):
                job.wait_ended()
                job.drop()
        finally:
            host.close()
        if filtered:
            guest.remove_filter("vtcp0")
        return rate, grown, half_open
