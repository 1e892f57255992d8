# SPDX-License-Identifier: GPL-2.0-or-later
"""Transfers of a VM that is held off the CPU most of the time.

The peer is in a network namespace, on the guest's own tap or behind a relay that delays
frames both ways (with their offloads: a network whose NICs coalesce).  Each transfer has a
connection of its own that was established while the VM ran freely, and begins at a random
time of the VM's period; no metrics are saved from one connection to the next.

    receive    the peer sends a request of SIZE, the guest answers with one byte.
               .sender: until all of it is acknowledged (SIOCOUTQ, asked every 200 us);
               .application: until the answer is there
    transmit   the peer asks with 16 bytes, the guest answers with SIZE; until it is there
    operations CLIENTS clients ask for SIZE as fast as they are answered

Baseline and filter take turns in blocks of PER_BLOCK transfers of each kind.
"""

import os
import sys
from dataclasses import dataclass

from lablib import hold
from lablib.hold import Hold
from lablib.net import Namespace
from lablib.peer import parse_words
from lablib.tools import Relay, Tool
from lablib.util import BUILD
from lablib.vm import Guest

from . import machine
from .report import result

BLOCKS = int(os.environ.get("VNX_BENCH_ROUNDS", 8))
PER_BLOCK = 5
WARM_UP = 20
SIZES = {"100k": 100_000, "2m": 2_000_000, "10k": 10_000}
CLIENTS, OPERATIONS = 2, 20
NOISE_RATE = 20            # more than a guest can take in its turns starves it
HOST, GUEST = "10.99.0.1", "10.99.0.2"
FILTER = {"congestion_control": "cubic", "flow_buffer_size": 4 << 20}
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class Scene:
    """The conditions of a group of cases, and the targets that its cases have."""

    held: tuple         # ms frozen, ms running
    rtt_ms: int
    noise: bool
    targets: dict       # case without the scene's name -> target or None


_NEAR = {
    "receive.100k.sender": "value >= 24",
    "receive.100k.application": "ratio >= 0.9",
    "receive.2m.sender": "value >= 54",
    "receive.2m.application": "ratio >= 0.9",
    "transmit.100k": "ratio >= 0.9",
    "transmit.2m": "ratio >= 0.9",
}
SCENES = {
    "near": Scene((60, 1), 0, False, _NEAR),
    "noise": Scene((60, 1), 0, True, _NEAR),
    "rtt2": Scene((60, 1), 2, False, {
        "receive.100k.sender": None,
        "receive.100k.application": "ratio >= 1.5",
        "receive.2m.sender": None,
        "receive.2m.application": "ratio >= 3",
        "transmit.100k": "ratio >= 1.5",
        "transmit.2m": "ratio >= 2.5",
        "operations.100k": "ratio >= 1.33",
        "operations.10k": "ratio >= 0.95",
    }),
    "rtt10": Scene((60, 30), 10, False, {
        "receive.2m.sender": None,
        "receive.2m.application": "ratio >= 3",
        "transmit.2m": "ratio >= 3",
    }),
}


class Bed:
    """A guest on a tap, its peer's namespace, perhaps a relay between them, which gets the
    words, too."""

    def __init__(self, directory, rtt_ms=0, noise=False, **words):
        self.noise = noise
        self._owned = []
        try:
            self._build(directory, rtt_ms, {"offload": 1, **words})
        except BaseException:
            self.close()
            raise

    def _own(self, thing):
        self._owned.append(thing)
        return thing

    def _build(self, directory, rtt_ms, words):
        near = self._own(Namespace("vm"))
        self.guest = self._own(Guest(directory, [
            "-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=n0,romfile="], netns=near.name))
        self.netns, self.interface = near, "tap0"
        if rtt_ms:
            self.netns, self.interface = self._own(Namespace("peer")), "far0"
            relay = self._own(Relay(near, "near0", "far0", cpu=machine.LOOP_CORE,
                                    delay=rtt_ms * 500, **words))
            machine.prefer(relay.pid)
            near.ip("link", "add", "br0", "type", "bridge")
            near.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0",
                     check=False)       # without the module there is no such thing
            for port in ("tap0", "near0"):
                near.ip("link", "set", port, "master", "br0", "up")
            near.ip("link", "set", "br0", "up")
            near.ip("link", "set", "far0", "netns", self.netns.name)
        self.netns.up(self.interface, f"{HOST}/24")
        self.guest.up("eth0", f"{GUEST}/24")
        self.netns.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1")
        self.guest.peer.shell("echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save")
        machine.pin(self.guest)
        machine.prefer(self.guest.pid)

    def exchange(self, port, **words):
        """A running exchange.c on the peer's side."""
        tool = Tool("tests/bench/exchange.c", GUEST, port,
                    *(f"{key}={value}" for key, value in words.items()),
                    netns=self.netns, cpu=machine.LOOP_CORE)
        machine.prefer(tool.pid)
        return tool

    def start_noise(self):
        """ARP and UDP of other hosts, for as long as it is not closed."""
        return Tool("tests/bench/chatter.c", "noise", self.interface, HOST, GUEST,
                    NOISE_RATE, netns=self.netns, cpu=machine.LOOP_CORE)

    def warm_up(self):
        """Let a TCG guest translate what it will run, freely."""
        kinds = {size: (size, size) for size in SIZES.values()}
        self.series(kinds, WARM_UP, None, 0)

    def series(self, kinds, per_kind, held, seed):
        """Transfers while the VM is held (frozen ms, running ms), or None: is not.

        kinds: name -> (bytes of the request, bytes of the answer); returns name -> list of
        (seconds until acknowledged, seconds until answered), and hold.c's counters.
        """
        server = self.guest.peer.start(role="listen", addr=GUEST, flow="answer",
                                       count=per_kind * len(kinds), cc="cubic",
                                       block=256 << 10)
        tools, times = {}, {}
        gap = sum(held or ()) * 1000
        counters = {}
        try:
            for number, (kind, (send, answer)) in enumerate(kinds.items()):
                tools[kind] = self.exchange(server.port, count=per_kind, send=send,
                                            answer=answer, gap=gap, seed=seed + number)
            with_noise = self.start_noise() if self.noise else None
            hold_ = Hold(self.guest, *held, cpu=machine.VCPU_CORE) if held else None
            try:
                for kind, tool in tools.items():
                    tool.say("go")
                    lines = [parse_words(tool.line(ANSWER_SECONDS))
                             for _ in range(per_kind)]
                    times[kind] = [(float(words["acked"]), float(words["answered"]))
                                   for words in lines]
            finally:
                if hold_:
                    counters = hold_.close()
                if with_noise:
                    with_noise.close()
        finally:
            for tool in tools.values():
                tool.close()
        server.wait_ended()
        server.drop()
        return times, counters

    def load(self, size, held):
        """Operations a second while the VM is held."""
        server = self.guest.peer.start(role="listen", addr=GUEST, flow="answer",
                                       count=OPERATIONS, cc="cubic", block=256 << 10)
        tool = self.exchange(server.port, count=OPERATIONS, clients=CLIENTS, answer=size)
        try:
            hold_ = Hold(self.guest, *held, cpu=machine.VCPU_CORE)
            try:
                tool.say("go")
                words = parse_words(tool.line(ANSWER_SECONDS))
            finally:
                counters = hold_.close()
        finally:
            tool.close()
        server.wait_ended()
        server.drop()
        return int(words["done"]) / float(words["seconds"]), counters

    def close(self):
        """End it all."""
        while self._owned:
            self._owned.pop().close()


class Contention:
    """contention.SCENE.KIND.SIZE[.WHO]"""

    prefix = "contention."
    needs_guest = True

    def names(self):
        """Its cases."""
        return [f"contention.{name}.{case}" for name, scene in SCENES.items()
                for case in scene.targets]

    def measure(self, wanted):
        """Run the cases that are wanted; yield results."""
        reason = hold.why_impossible()
        if reason:
            print(f"bench: contention: skipped: {reason}", file=sys.stderr)
            return
        for name, scene in SCENES.items():
            start = f"contention.{name}."
            cases = [one[len(start):] for one in wanted if one.startswith(start)]
            if cases:
                yield from self._measure_scene(name, scene, cases)

    def _measure_scene(self, name, scene, cases):
        kinds, loads = {}, []
        for case in cases:
            what, size = case.split(".")[:2]
            if what == "receive":
                kinds[f"{what}.{size}"] = (SIZES[size], 1)
            elif what == "transmit":
                kinds[f"{what}.{size}"] = (0, SIZES[size])
            else:
                loads.append(case)
        runs = {(case, filtered): [] for case in cases for filtered in (False, True)}
        stuck, late = [0, 0], 0
        bed = Bed(BUILD / "lab" / "bench", scene.rtt_ms, scene.noise)
        try:
            accel = bed.guest.accel
            bed.warm_up()
            for block in range(BLOCKS):
                for filtered in (False, True) if block % 2 else (True, False):
                    measured, counters = self._block(bed, scene, kinds, loads, filtered,
                                                     block)
                    for case, values in measured.items():
                        if (case, filtered) in runs:
                            runs[case, filtered] += values
                    stuck[filtered] += counters["stuck"]
                    late = max(late, counters["late"])
                print(f"bench: {name} block {block + 1} of {BLOCKS} done",
                      file=sys.stderr)
        finally:
            bed.close()
        conditions = {
            "vCPU": f"frozen {scene.held[0]} ms, running {scene.held[1]} ms",
            "RTT": f"{scene.rtt_ms} ms" if scene.rtt_ms else "that of a tap",
            "noise": f"{NOISE_RATE} ARP and UDP a second" if scene.noise else "none",
            "accel": accel, "senders": "CUBIC", "baseline": "no filter",
            "filter": " ".join(f"{key.replace('_', '-')}={value}"
                               for key, value in FILTER.items()),
            "n": f"{BLOCKS * PER_BLOCK} each; loads {BLOCKS}, of {OPERATIONS} operations",
            "switches late": f"{late} us at most", "main loop stuck": f"{stuck[0]} times "
            f"without, {stuck[1]} times with the filter"}
        for case in cases:
            unit = "operations/s" if case.startswith("operations") else "MB/s"
            yield result(f"contention.{name}.{case}", conditions, runs[case, False],
                         runs[case, True], unit, scene.targets[case])

    @staticmethod
    def _block(bed, scene, kinds, loads, filtered, block):
        """One turn of one side: case -> values, and the sum of hold.c's counters."""
        times, measured = {}, {}
        total = {"stuck": 0, "late": 0}

        def count(counters):
            total["stuck"] += counters["stuck"]
            total["late"] = max(total["late"], counters["late"])

        if filtered:
            bed.guest.add_filter("vtcp0", "n0", **FILTER)
        if kinds:
            times, counters = bed.series(kinds, PER_BLOCK, scene.held, block * 100)
            count(counters)
        for case in loads:
            rate, counters = bed.load(SIZES[case.split(".")[1]], scene.held)
            measured[case] = [rate]
            count(counters)
        if filtered:
            bed.guest.remove_filter("vtcp0")
        for kind, pairs in times.items():
            size = SIZES[kind.split(".")[1]] / 1e6
            if kind.startswith("receive"):
                measured[f"{kind}.sender"] = [size / acked for acked, _ in pairs]
                measured[f"{kind}.application"] = [size / answered for _, answered in pairs]
            else:
                measured[kind] = [size / answered for _, answered in pairs]
        return measured, total
