# SPDX-License-Identifier: GPL-2.0-or-later
"""Network namespaces of our own."""

import itertools
import os
import pathlib
import re

from .util import LabError, run

_serial = itertools.count()


class Namespace:
    """A network namespace with a name nobody else has; deleted by close()."""

    def __init__(self, purpose):
        self.name = f"vnx-{os.getpid()}-{next(_serial)}-{purpose}"
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")

    def ip(self, *words):
        """Run `ip` in it."""
        return run("ip", "-n", self.name, *words)

    def run(self, *command, check=True):
        """Run a command in it to its end."""
        return run("ip", "netns", "exec", self.name, *command, check=check)

    def up(self, interface, *addresses):
        """Bring an interface up with addresses (ADDRESS/LENGTH, either family)."""
        for address in addresses:
            extra = ["nodad"] if ":" in address else []
            self.ip("addr", "add", address, "dev", interface, *extra)
        self.ip("link", "set", interface, "up")

    def close(self):
        run("ip", "netns", "del", self.name, check=False)


def sweep():
    """Delete namespaces that a killed run of ours has left."""
    for line in run("ip", "netns", "list", check=False).splitlines():
        match = re.match(r"(vnx-(\d+)-\S+)", line)
        if match and not pathlib.Path("/proc", match[2]).exists():
            run("ip", "netns", "del", match[1], check=False)


def why_impossible():
    """Say why this machine cannot have namespaces and taps; None if it can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not pathlib.Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    sweep()
    try:
        namespace = Namespace("probe")
    except LabError as error:
        return f"network namespaces are impossible here: {error}"
    try:
        namespace.ip("tuntap", "add", "probe0", "mode", "tap")
    except LabError as error:
        return f"taps are impossible here: {error}"
    finally:
        namespace.close()
    return None
