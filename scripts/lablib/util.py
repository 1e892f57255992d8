# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths, and waiting for conditions."""

import os
import pathlib
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
GUEST = BUILD / "guest"
QEMU = pathlib.Path(os.environ.get("VNX_QEMU", BUILD / "qemu" / "qemu-system-x86_64"))

# Everything under test runs on two shared cores, under TCG, perhaps beside a build: a
# condition that has not come true after this long never will.
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.02


class LabError(Exception):
    """The lab itself could not do something, with enough text to see why."""


def run(*command, check=True):
    """Run a command to its end; return its standard output, LabError if it fails."""
    command = [str(word) for word in command]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(command)}: exit {done.returncode}: "
                       f"{(done.stderr or done.stdout).strip()}")
    return done.stdout


def wait_until(condition, what, timeout=PATIENCE_SECONDS):
    """Poll condition() until it returns something true, and return that.

    what: the condition in words, or a function that tells them; LabError says them after
    timeout seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            words = what() if callable(what) else what
            raise LabError(f"waited {timeout:.0f} s in vain for: {words}")
        time.sleep(POLL_SECONDS)
