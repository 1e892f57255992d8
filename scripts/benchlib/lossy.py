# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that sends over a path with loss: its own CUBIC against Reno in the guest and
CUBIC in filter-vtcp.

The relay delays each frame by half of the round trip and loses some, both ways, the same
ones for both sides of the comparison as far as their frames are the same.
"""

import os
import sys

from lablib.peer import HostPeer
from lablib.util import BUILD, LabError

from . import machine
from .contention import HOST, Bed
from .report import result

ROUNDS = int(os.environ.get("VNX_BENCH_ROUNDS", 6))
RTT_MS = 20
LOSSES = {"0.1": 1, "1": 10}                # percent -> the relay's permille
BYTES = {"0.1": 32 << 20, "1": 4 << 20}
TRANSFER_SECONDS = 120


class Lossy:
    """lossy.PERCENT"""

    prefix = "lossy."
    needs_guest = True

    def names(self):
        """Its cases."""
        return [f"lossy.{percent}" for percent in LOSSES]

    def measure(self, wanted):
        """Run the cases that are wanted; yield results."""
        for percent, permille in LOSSES.items():
            if f"lossy.{percent}" in wanted:
                yield self._measure(percent, permille)

    def _measure(self, percent, permille):
        runs = {False: [], True: []}
        for number in range(ROUNDS):
            bed = Bed(BUILD / "lab" / "bench", RTT_MS, offload=0, loss=permille,
                      seed=number)
            try:
                for filtered in (False, True) if number % 2 else (True, False):
                    runs[filtered].append(self._run(bed, filtered, BYTES[percent]))
                accel = bed.guest.accel
            finally:
                bed.close()
            print(f"bench: lossy {percent} % round {number + 1} of {ROUNDS} done",
                  file=sys.stderr)
        conditions = {"RTT": f"{RTT_MS} ms", "loss": f"{percent} % of frames each way",
                      "accel": accel, "bytes": BYTES[percent],
                      "baseline": "CUBIC in the guest, no filter",
                      "measured": "Reno in the guest, CUBIC in filter-vtcp"}
        return result(f"lossy.{percent}", conditions, runs[False], runs[True], "Mbit/s",
                      "ratio >= 1")

    @staticmethod
    def _run(bed, filtered, size):
        """One transfer from the guest; its Mbit/s at the receiver."""
        host = HostPeer("host", bed.netns.name, cpu=machine.LOOP_CORE)
        try:
            if filtered:
                bed.guest.add_filter("vtcp0", "n0", congestion_control="cubic")
            words = {"bytes": size, "hash": "no", "block": 128 << 10}
            server = host.start(role="listen", addr=HOST, flow="recv", **words)
            client = bed.guest.peer.start(role="connect", addr=HOST, port=server.port,
                                          flow="send", cc="reno" if filtered else "cubic",
                                          **words)
            (received,) = server.wait_ended(TRANSFER_SECONDS)
            client.wait_ended(TRANSFER_SECONDS)
            client.drop()
            if filtered:
                bed.guest.remove_filter("vtcp0")
        finally:
            host.close()
        if received["received"] != size:
            raise LabError(f"lossy path: not all bytes arrived: {received}")
        return size * 8 / received["received-seconds"] / 1e6
