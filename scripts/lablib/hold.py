# SPDX-License-Identifier: GPL-2.0-or-later
"""Hold a VM off the CPU, as busy neighbours on its core would.

The kernel's freezer (cgroup version 1) stops single threads: that of the vCPU, while QEMU's
main loop and everybody else go on.  tests/bench/hold.c switches it to the millisecond.
"""

import itertools
import os
import pathlib

from .peer import parse_words
from .tools import Tool
from .util import BUILD, LabError, run

_OWN_MOUNT = BUILD / "lab" / "freezer"
_serial = itertools.count()


def _mounted():
    for line in pathlib.Path("/proc/mounts").read_text(encoding="ascii").splitlines():
        _, path, kind, options = line.split()[:4]
        if kind == "cgroup" and "freezer" in options.split(","):
            return pathlib.Path(path)
    return None


def freezer():
    """The freezer hierarchy; mounted in a place of our own if it is nowhere."""
    root = _mounted()
    if not root:
        _OWN_MOUNT.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "cgroup", "-o", "freezer", "vnx-freezer", _OWN_MOUNT)
        root = _OWN_MOUNT
    return root


def _group_of(thread):
    """The freezer cgroup that a thread is in, relative to the hierarchy."""
    path = pathlib.Path(f"/proc/{thread}/cgroup")
    for line in path.read_text(encoding="ascii").splitlines():
        _, controllers, group = line.split(":", 2)
        if "freezer" in controllers.split(","):
            return group.lstrip("/")
    return ""


def why_impossible():
    """Say why threads cannot be held here; None if they can."""
    if os.geteuid() != 0:
        return "holding a thread off the CPU needs root"
    try:
        group = freezer() / f"vnx-{os.getpid()}-probe"
        group.mkdir()
        group.rmdir()
    except (LabError, OSError) as error:
        return f"no cgroup freezer (version 1) here: {error}"
    return None


class Hold:
    """From here to close() the vCPU of a Guest, on core cpu, is frozen_ms frozen, running_ms
    free, and so on."""

    def __init__(self, guest, frozen_ms, running_ms, cpu):
        root = freezer()
        self._tool = None
        self._thread = guest.vcpu_thread()
        self._home = root / _group_of(self._thread)
        self._group = root / f"vnx-{os.getpid()}-{next(_serial)}"
        self._group.mkdir()
        try:
            self._move(self._group)
            self._tool = Tool("tests/bench/hold.c", self._group, frozen_ms * 1000,
                              running_ms * 1000, guest.pid, cpu, cpu=cpu)
        except BaseException:
            self.close()
            raise

    def _move(self, group):
        (group / "tasks").write_text(str(self._thread), encoding="ascii")

    def close(self):
        """Let it run; returns hold.c's counters (periods, late, stuck) as numbers."""
        words = parse_words(self._tool.close()) if self._tool else {}
        (self._group / "freezer.state").write_text("THAWED", encoding="ascii")
        try:
            self._move(self._home)
        except ProcessLookupError:
            pass                        # it has ended with its QEMU
        self._group.rmdir()
        return {key: int(value) for key, value in words.items()}
