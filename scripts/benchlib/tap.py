# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest throughput and the main loop's CPU time over a tap, nothing in the way."""

import os
import sys

from lablib.net import Namespace
from lablib.peer import HostPeer
from lablib.util import BUILD, LabError
from lablib.vm import Guest

from . import machine
from .report import result

ROUNDS = int(os.environ.get("VNX_BENCH_ROUNDS", 5))
TRANSFER_BYTES = 256 << 20
BASELINE = "none"
MODES = ["observe", "accelerate"]
DIRECTIONS = {"guest-to-host": ("send", "recv"), "host-to-guest": ("recv", "send")}
RATE_TARGET, COST_TARGET = "ratio >= 0.95", "ratio <= 1.15"


class Tap:
    """tap.DIRECTION.MODE and tap.DIRECTION.MODE.cpu"""

    prefix = "tap."
    needs_guest = True

    def names(self):
        """Its cases."""
        return [f"tap.{direction}.{mode}{suffix}" for direction in DIRECTIONS
                for mode in MODES for suffix in ("", ".cpu")]

    def measure(self, wanted):
        """Run the cases that are wanted; yield results."""
        directions = [one for one in DIRECTIONS
                      if any(name.startswith(f"tap.{one}.") for name in wanted)]
        modes = [one for one in MODES if any(f".{one}" in name for name in wanted)]
        rates = {(way, mode): [] for way in directions for mode in [BASELINE, *modes]}
        costs = {key: [] for key in rates}
        netns = Namespace("bench")
        try:
            guest = Guest(BUILD / "lab" / "bench", [
                "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
                "-device", "virtio-net-pci,netdev=n0,romfile="], netns=netns.name)
            try:
                host = HostPeer("host", netns.name, cpu=machine.LOOP_CORE)
                try:
                    netns.up("tap0", "10.99.0.1/24")
                    guest.up("eth0", "10.99.0.2/24")
                    machine.pin(guest)
                    for pid in (guest.pid, host.process.pid):
                        machine.prefer(pid)
                    order = [BASELINE, *modes]
                    for way in directions:      # warm up: page in code, translate it
                        self._run(guest, host, way, BASELINE)
                    for number in range(ROUNDS):
                        for mode in order:
                            for way in directions:
                                rate, cost = self._run(guest, host, way, mode)
                                rates[way, mode].append(rate)
                                costs[way, mode].append(cost)
                        order = order[1:] + order[:1]
                        print(f"bench: tap round {number + 1} of {ROUNDS} done",
                              file=sys.stderr)
                    accel = guest.accel
                finally:
                    host.close()
            finally:
                guest.close()
        finally:
            netns.close()
        conditions = {"accel": accel, "netdev": "tap", "bytes": TRANSFER_BYTES,
                      "baseline": "no filter",
                      "pinned": machine.LOOP_CORE != machine.VCPU_CORE}
        for way in directions:
            for mode in modes:
                name = f"tap.{way}.{mode}"
                yield result(name, conditions, rates[way, BASELINE], rates[way, mode],
                             "Mbit/s", RATE_TARGET)
                yield result(f"{name}.cpu", conditions, costs[way, BASELINE],
                             costs[way, mode], "CPU s/GB of the main thread", COST_TARGET)

    @staticmethod
    def _run(guest, host, way, mode):
        """One transfer; returns Mbit/s and main thread CPU seconds per GB."""
        guest_flow, host_flow = DIRECTIONS[way]
        words = {"bytes": TRANSFER_BYTES, "hash": "no", "block": 128 << 10, "cc": "cubic"}
        if mode != BASELINE:
            guest.add_filter("vtcp0", "n0", mode=mode)
        server = host.start(role="listen", addr="10.99.0.1", flow=host_flow, **words)
        before = guest.thread_seconds()
        client = guest.peer.start(role="connect", addr="10.99.0.1", port=server.port,
                                  flow=guest_flow, **words)
        results = [job.wait_ended(600)[0] for job in (server, client)]
        used = guest.thread_seconds() - before
        for job in (server, client):
            job.drop()
        if mode != BASELINE:
            guest.remove_filter("vtcp0")
        received = [one for one in results if one["received"]]
        if len(received) != 1 or received[0]["received"] != TRANSFER_BYTES:
            raise LabError(f"{way} {mode}: not all bytes arrived: {results}")
        rate = TRANSFER_BYTES * 8 / received[0]["received-seconds"] / 1e6
        return rate, used / (TRANSFER_BYTES / 1e9)
