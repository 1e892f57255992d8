# SPDX-License-Identifier: GPL-2.0-or-later
"""A bed for one guest with one NIC, which can be replaced, reset, killed, and moved.

    guest nic0 --- [vtcp0] tap1  of the first QEMU  ---\\
                   [vtcp0] tap2  of the second QEMU ----  bridge br0, namespace "host",
                   ...                                    with vnx-peer

The guest moves by live migration through a unix socket, or by a snapshot in a qcow2 image
that another QEMU starts from; its vnx-peer goes with it, and with that all jobs.
"""

import itertools
import subprocess

from lablib.net import Namespace
from lablib.peer import HostPeer
from lablib.util import BUILD, LabError, run, wait_until
from lablib.vm import Guest
from topology import transfer

MAC = "52:54:00:97:00:01"
FILTER = "vtcp0"
SNAPSHOT = "here"
MEMORY_MIB = 256


class OneNicBed:
    """See the module's drawing.  options: of filter-vtcp, _ stands for -."""

    HOST = ("10.97.0.1", "fd97::1")
    GUEST = ("10.97.0.2", "fd97::2")

    def __init__(self, directory, queues=1, vcpus=1, **options):
        self.directory = directory
        self.queues = queues
        self.vcpus = vcpus
        self.guest = None
        self._serial = itertools.count(1)
        self._owned = []
        try:
            self.netns = self._own(Namespace("host"))
            self.netns.ip("link", "add", "br0", "type", "bridge")
            self.netns.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0",
                           check=False)     # without the module there is no such thing
            self.netns.up("br0", f"{self.HOST[0]}/24", f"{self.HOST[1]}/64")
            self.host = self._own(HostPeer("host", self.netns.name))
            self.disk = directory / "disk.qcow2"
            run(BUILD / "qemu" / "qemu-img", "create", "-q", "-f", "qcow2", self.disk, "1M")
            self.guest = self.place(**options)
            self.configure()
        except BaseException:
            self.close()
            raise

    def _own(self, thing):
        self._owned.append(thing)
        return thing

    def place(self, arrives=(), **options):
        """One more QEMU for the guest, on the bridge."""
        serial = next(self._serial)
        words = "".join(f",{name.replace('_', '-')}={value}"
                        for name, value in options.items())
        guest = self._own(Guest(self.directory / f"qemu-{serial}", [
            "-device", "pcie-root-port,id=port0",
            "-netdev", self.backend(serial),
            "-device", f"virtio-net-pci,{self.nic_options()}",
            "-object", f"filter-vtcp,id={FILTER},netdev=n0{words}",
            "-drive", f"if=none,id=disk,format=qcow2,file={self.disk}",
        ], netns=self.netns.name, memory_mib=MEMORY_MIB, vcpus=self.vcpus, arrives=arrives))
        self.netns.ip("link", "set", f"tap{serial}", "master", "br0", "up")
        return guest

    def backend(self, serial):
        many = f",queues={self.queues}" if self.queues > 1 else ""
        return f"tap,id=n0,ifname=tap{serial},script=no,downscript=no{many}"

    def nic_options(self):
        many = ",mq=on" if self.queues > 1 else ""
        return f"id=nic0,bus=port0,netdev=n0,mac={MAC},romfile={many}"

    def configure(self):
        """Give the guest's NIC, new to it, its name and addresses."""
        self.guest.name(MAC, "nic0")
        self.guest.up("nic0", f"{self.GUEST[0]}/24", f"{self.GUEST[1]}/64")

    # ---- the filter of the guest's QEMU now ----

    def stats(self):
        return self.guest.vtcp_stats(FILTER)

    def flows(self):
        return self.guest.vtcp_flows(FILTER)

    def wait_drained(self):
        wait_until(lambda: self.stats()["drained"],
                   lambda: f"the filter to drain: {self.stats()}")

    def let_owe(self, going):
        """Stop the readers, until the filter owes data to both ends of each connection.

        Whoever is owed nothing when a netdev goes is not told either.
        """
        def owed():
            ports = {job.port for job in going.jobs}
            return [flow[way]["undelivered"] > 0 for flow in self.flows()
                    if flow["remote-port"] in ports or flow["guest-port"] in ports
                    for way in ("to-guest", "to-net")]

        for job in going.jobs:
            job.pause()
        wait_until(lambda: owed() and all(owed()), lambda: f"data to be owed: {owed()}")

    # ---- jobs ----

    def transfer(self, direction, seed, size=0, connect="guest", family=4, **words):
        """Start connections; direction: guest-to-host, host-to-guest, both."""
        guest, host = self.guest.peer, self.host
        sender = {"guest-to-host": guest, "host-to-guest": host, "both": None}[direction]
        index = 0 if family == 4 else 1
        if connect == "guest":
            return transfer(host, guest, self.HOST[index], sender, seed, size, **words)
        return transfer(guest, host, self.GUEST[index], sender, seed, size, **words)

    # ---- moving ----

    def start_migration(self, target, **parameters):
        """Begin to move the guest to a place that was made with -incoming defer."""
        uri = f"unix:{(self.directory / 'migration.sock').relative_to(BUILD.parent)}"
        target.qmp.execute("migrate-incoming", uri=uri)
        if parameters:
            self.guest.qmp.execute("migrate-set-parameters", **parameters)
        self.guest.qmp.execute("migrate", uri=uri)

    def migration_status(self):
        return self.guest.qmp.execute("query-migrate").get("status")

    def wait_migration(self, *wanted):
        """Wait until the migration has come to one of these states."""
        wait_until(lambda: self.migration_status() in wanted,
                   lambda: f"migration to be {wanted}, it is {self.migration_status()}")

    def arrive(self, target):
        """The guest has come to another place: end the old one."""
        wait_until(lambda: target.qmp.execute("query-status")["running"],
                   "the guest to run at its destination")
        source, self.guest = self.guest, target
        target.take_over(source)
        self._end(source)

    def migrate(self, **options):
        """Move the guest to a new QEMU whose filter has these options.

        Returns the filter's counters at the source when the migration had begun, and those
        when it was over.
        """
        target = self.place(arrives=("-incoming", "defer"), **options)
        self.start_migration(target)
        self.wait_migration("active", "device", "completed")
        began = self.stats()
        self.wait_migration("completed", "failed")
        if self.migration_status() != "completed":
            raise LabError(f"migration failed: {self.guest.complaint()} "
                           f"{target.complaint()}")
        ended = self.stats()
        self.arrive(target)
        return began, ended

    def save(self):
        """Stop the guest and save it to the disk."""
        self.guest.qmp.execute("stop")
        said = self.guest.qmp.execute("human-monitor-command",
                                      command_line=f"savevm {SNAPSHOT}")
        assert not said, said

    def go_on_elsewhere(self, **options):
        """End the QEMU whose guest was saved, and start another from there."""
        source = self.guest
        peer, source.peer = source.peer, None
        self._end(source)
        source.peer = peer
        self.guest = self.place(arrives=("-loadvm", SNAPSHOT), **options)
        self.guest.take_over(source)

    def _end(self, qemu):
        qemu.close()
        self._owned.remove(qemu)

    # ---- accidents ----

    def kill(self):
        """End the guest's QEMU without a word."""
        self.guest.process.kill()
        self.guest.process.wait()
        self._end(self.guest)

    def boot_again(self):
        """Another guest like the one that was killed."""
        self.guest = self.place()
        self.configure()

    def unplug_nic(self):
        """Take the guest's NIC away, with its consent."""
        self.guest.qmp.execute("device_del", id="nic0")
        wait_until(lambda: any(event.get("device") == "nic0" for event in
                               self.guest.qmp.take_events("DEVICE_DELETED")),
                   "the guest to give up its NIC")

    def plug_nic(self):
        """Give the guest a NIC in place of the one that was unplugged."""
        said = self.guest.qmp.execute(
            "human-monitor-command",
            command_line=f"device_add virtio-net-pci,{self.nic_options()}")
        assert not said, said
        wait_until(lambda: MAC in self.guest.peer.shell(
            "cat /sys/class/net/eth*/address", check=False), "the guest to see its NIC")
        self.configure()

    def plug_netdev(self):
        """And a netdev with a filter, in place of what was deleted."""
        serial = next(self._serial)
        self.guest.qmp.execute("netdev_add", type="tap", id="n0", ifname=f"tap{serial}",
                               script="no", downscript="no")
        self.netns.ip("link", "set", f"tap{serial}", "master", "br0", "up")
        self.guest.add_filter(FILTER, "n0")

    # ---- the end ----

    def broken(self):
        """True if the bed cannot serve another test."""
        try:
            self.guest.peer.request("ping", timeout=10)
            self.host.request("ping", timeout=10)
            return False
        except LabError:
            return True

    def logs(self):
        """Files worth a look when a test failed."""
        return sorted(path for path in self.directory.glob("qemu-*/*")
                      if path.suffix == ".log")

    def close(self):
        while self._owned:
            try:
                self._owned.pop().close()
            except (LabError, OSError, subprocess.SubprocessError):
                pass            # killed, on purpose
