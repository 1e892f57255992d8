# SPDX-License-Identifier: GPL-2.0-or-later
"""The small C programs of the lab and the benchmark: compiled when needed, run, ended."""

import select
import subprocess
import time

from .util import BUILD, PATIENCE_SECONDS, TOP, LabError, run


def program(source):
    """Compile one C file of the repository if it is newer; the path of the program."""
    source = TOP / source
    target = BUILD / "lab" / source.stem
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        run("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread", "-o",
            target, source)
    return target


class Tool:
    """A running program that says "ready" and ends with its input, or by itself.

    netns: the Namespace it runs in; cpu: its core.
    """

    def __init__(self, source, *words, netns=None, cpu=None):
        command = [str(program(source)), *map(str, words)]
        if cpu is not None:
            command = ["taskset", "-c", str(cpu)] + command
        if netns:
            command = ["ip", "netns", "exec", netns.name] + command
        self._command = " ".join(command)
        self._pending = b""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)
        try:
            if self.line() != "ready":
                raise LabError(f"{self._command} does not start")
        except LabError:
            self.process.kill()
            self.close()
            raise

    @property
    def pid(self):
        return self.process.pid

    def say(self, line):
        """Give it a line of input."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            raise LabError(f"{self._command}: it has ended") from None

    def line(self, timeout=PATIENCE_SECONDS):
        """The next line that it writes; LabError if none comes."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise LabError(f"{self._command}: silent for {timeout:.0f} s")
            data = self.process.stdout.read(65536)
            if not data:
                raise LabError(f"{self._command}: it has ended, {self.process.wait()}")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode().strip()

    def close(self):
        """End its input; return what it has written and nobody has read."""
        rest, _ = self.process.communicate()
        return (self._pending + rest).decode()


class Relay(Tool):
    """A running tests/lab/relay.c, between two taps that it makes; words: its own."""

    def __init__(self, netns, tap, other_tap, cpu=None, **words):
        super().__init__("tests/lab/relay.c", tap, other_tap,
                         *(f"{key}={value}" for key, value in words.items()),
                         netns=netns, cpu=cpu)
