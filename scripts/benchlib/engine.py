# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine alone costs, per segment.

    engine.CASE                 instructions by callgrind: exact and repeatable
    engine.CASE.time            nanoseconds: as noisy as the machine
    engine.flows-N.memory       bytes that an established, idle connection takes

The baseline is a copy of the same payload (of vtcp-*), or the same on one connection (of
flows-*).  tests/bench/engine-bench.c tells what its cases are; it needs a build of the
engine without sanitizers, in build/bench.
"""

import json
import os
import re
import subprocess

from lablib.util import BUILD, TOP, LabError, run

from .report import result

ENGINE_BUILD = BUILD / "bench"
ENGINE_BENCH = ENGINE_BUILD / "tests" / "bench" / "engine-bench"
SEGMENTS, TIMED_SEGMENTS = 2000, 200_000
ROUNDS = int(os.environ.get("VNX_BENCH_ROUNDS", 5))
BASELINES = {"vtcp-1500": "memcpy-1500", "vtcp-64k": "memcpy-64k",
             "flows-1000": "flows-1", "flows-100000": "flows-1"}
TARGETS = {"engine.flows-100000": "ratio <= 1.2", "engine.flows-100000.time": "ratio <= 4"}


class Engine:
    """Cases as the module tells."""

    prefix = "engine."
    needs_guest = False

    def __init__(self):
        self._cases = []
        self._instructions = {}

    def names(self):
        """Build it; its cases."""
        if not (ENGINE_BUILD / "build.ninja").exists():
            run("meson", "setup", "--buildtype=release", ENGINE_BUILD, TOP)
        run("ninja", "-C", ENGINE_BUILD, "tests/bench/engine-bench")
        self._cases = run(ENGINE_BENCH, "--list").split()
        names = []
        for case in self._cases:
            names += [f"engine.{case}", f"engine.{case}.time"]
            if case.startswith("flows-"):
                names.append(f"engine.{case}.memory")
        return names

    def measure(self, wanted):
        """Run the cases that are wanted; yield results."""
        cases = [case for case in self._cases
                 if any(name.split(".")[1] == case for name in wanted)]
        for case in cases:
            if f"engine.{case}" in wanted:
                yield self._counted(case)
        runs = self._timed(cases) if any("." in name[7:] for name in wanted) else {}
        for case in cases:
            base = BASELINES.get(case)
            conditions = {"segments": TIMED_SEGMENTS, "baseline": base}
            if f"engine.{case}.time" in wanted:
                yield result(f"engine.{case}.time", conditions,
                             [one["ns-per-segment"] for one in runs[base]] if base else None,
                             [one["ns-per-segment"] for one in runs[case]], "ns/segment",
                             TARGETS.get(f"engine.{case}.time"))
            if f"engine.{case}.memory" in wanted:
                yield result(f"engine.{case}.memory", conditions, None,
                             [runs[case][0]["bytes-per-flow"]], "bytes/flow")

    def _counted(self, case):
        base = BASELINES.get(case)
        return result(f"engine.{case}",
                      {"tool": "callgrind", "segments": SEGMENTS, "baseline": base},
                      [self._count(base)] if base else None, [self._count(case)],
                      "instructions/segment", TARGETS.get(f"engine.{case}"))

    def _count(self, case):
        if case not in self._instructions:
            self._instructions[case] = self._callgrind(case) / SEGMENTS
        return self._instructions[case]

    @staticmethod
    def _timed(cases):
        """Runs of the cases and their baselines, taking turns."""
        cases = sorted({*cases, *(BASELINES[case] for case in cases if case in BASELINES)})
        runs = {case: [] for case in cases}
        for _ in range(ROUNDS):
            for case in cases:
                runs[case].append(json.loads(run(ENGINE_BENCH, "--case", case,
                                                 "--segments", TIMED_SEGMENTS)))
        return runs

    @staticmethod
    def _callgrind(case):
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
             "--toggle-collect=bench_measured", str(ENGINE_BENCH), "--case", case,
             "--segments", str(SEGMENTS)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        match = re.search(r"Collected : (\d+)", done.stdout)
        if done.returncode != 0 or not match:
            raise LabError(f"engine-bench {case} failed under callgrind: "
                           + done.stdout[-500:])
        return int(match[1])
