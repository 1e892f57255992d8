# SPDX-License-Identifier: GPL-2.0-or-later
"""Instructions per segment of the engine alone, by callgrind: exact and repeatable.

tests/bench/engine-bench.c tells what its cases are; it needs a build of the engine
without sanitizers, in build/bench.
"""

import re
import subprocess

from lablib.util import BUILD, TOP, LabError, run

from .report import result

ENGINE_BUILD = BUILD / "bench"
ENGINE_BENCH = ENGINE_BUILD / "tests" / "bench" / "engine-bench"
SEGMENTS = 2000


class Engine:
    """engine.CASE"""

    prefix = "engine."
    needs_guest = False

    def names(self):
        """Build it; its cases."""
        if not (ENGINE_BUILD / "build.ninja").exists():
            run("meson", "setup", "--buildtype=release", ENGINE_BUILD, TOP)
        run("ninja", "-C", ENGINE_BUILD, "tests/bench/engine-bench")
        return [f"engine.{case}" for case in run(ENGINE_BENCH, "--list").split()]

    def measure(self, wanted):
        """Run the cases that are wanted; yield results."""
        for name in wanted:
            instructions = self._instructions(name.split(".", 1)[1])
            yield result(name, {"tool": "callgrind", "segments": SEGMENTS}, None,
                         [instructions / SEGMENTS], "instructions/segment")

    @staticmethod
    def _instructions(case):
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
