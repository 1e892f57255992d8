# SPDX-License-Identifier: GPL-2.0-or-later
"""The two test beds.

GuestBed: a guest with a NIC of every kind, each on a netdev of its own kind, and one
vnx-peer on the host's side of all of them.  Booted once per session and shared by tests.

    guest nic0  virtio-net  tap, vnet_hdr=on   ---------------------\\
          nic1  virtio-net  tap, vnet_hdr=off  ----------------------\\
          nic2  virtio-net  user (slirp)       -----------------------  namespace "host"
          nic3  vmxnet3     tap                ----------------------/   with vnx-peer
          nic4  virtio-net  stream  --- QEMU   - hub - tap ---------/
          nic5  virtio-net  dgram   --- "far", - hub - tap --------/
          nic6  virtio-net  socket  --- no VM  - hub - tap -------/

MiddleboxBed: two Linux stacks in namespaces A and B with a QEMU between them that runs no
machine, only netdevs and their filters; each leg may lead through a relay (relay.c).

    A --- [relay, bridge] --- tap a - hub - tap b --- [bridge, relay] --- B
"""

import itertools
from dataclasses import dataclass

from lablib.net import Namespace
from lablib.peer import HostPeer, mismatches
from lablib.qmp import QmpError
from lablib.tools import Relay, Tool
from lablib.util import BUILD, PATIENCE_SECONDS, LabError
from lablib.vm import Guest, Qemu

LAB = BUILD / "lab"
FILTER = "vtcp0"

_serial = itertools.count()


@dataclass(frozen=True)
class Nic:
    """A NIC of the guest: netdev id, and who is who on its wire."""
    name: str
    index: int
    device: str = "virtio-net-pci"

    @property
    def netdev(self):
        return f"n{self.index}"

    @property
    def interface(self):
        return f"nic{self.index}"

    @property
    def mac(self):
        return f"52:54:00:99:00:{self.index:02x}"

    def guest_address(self, family=4):
        if self.name == "user":
            return "10.0.2.15"
        return f"fd99:{self.index + 1}::2" if family == 6 else f"10.99.{self.index}.2"

    def host_address(self, family=4):
        if self.name == "user":
            return "10.0.2.2"
        return f"fd99:{self.index + 1}::1" if family == 6 else f"10.99.{self.index}.1"


NICS = {nic.name: nic for nic in [
    Nic("tap", 0), Nic("tap-plain", 1), Nic("user", 2), Nic("vmxnet3", 3, "vmxnet3"),
    Nic("stream", 4), Nic("dgram", 5), Nic("socket", 6)]}


class Transfer:
    """Jobs of one kind at both ends of some connections."""

    def __init__(self, listener, connector, listener_job, connector_job):
        self.jobs = [listener_job, connector_job]
        self._owners = [listener, connector]

    def __getitem__(self, peer):
        return self.jobs[self._owners.index(peer)]

    def finish(self):
        """Let open-ended senders end."""
        for job in self.jobs:
            job.finish()

    def check(self, timeout=PATIENCE_SECONDS):
        """Wait for both ends, compare every byte, and return bytes moved per sender."""
        results = [job.wait_ended(timeout) for job in self.jobs]
        complaints = mismatches(*results)
        assert not complaints, complaints[:5]
        for job in self.jobs:
            job.drop()
        return {peer: sum(result["sent"] for result in one)
                for peer, one in zip(self._owners, results)}


def transfer(listener, connector, address, sender, seed, size=0, count=1, checked=False,
             **words):
    """Start connections from one Peer to another; see guest/init/job.h for words.

    sender: the Peer that sends, or None for both; size: bytes per connection and
    direction, 0 for "until finish()"; checked: compare what arrives as it does, so that the
    part of a stream that breaks off is, too (one connection).
    """
    def flow(peer):
        return "both" if sender is None else "send" if sender is peer else "recv"

    words = {"bytes": size, "count": count, "cc": "cubic", **words}
    expect = [{"expect": seed + 1}, {"expect": seed}] if checked else [{}, {}]
    listening = listener.start(role="listen", addr=words.pop("listen", address),
                               port=words.pop("port", 0), flow=flow(listener), seed=seed,
                               **expect[0], **words)
    connecting = connector.start(role="connect", addr=address, port=listening.port,
                                 flow=flow(connector), seed=seed + 1, **expect[1], **words)
    return Transfer(listener, connector, listening, connecting)


class Vtcp:
    """A filter-vtcp of a test, with captures on both of its sides."""

    def __init__(self, qemu, netdev, directory, filter_id=FILTER, **options):
        self.qemu = qemu
        self.netdev = netdev
        self.filter_id = filter_id
        self.options = options
        # Toward the NIC a frame meets the filters in list order.
        self.dumps = [self._dump(directory, "wire")]
        self.add()
        self.dumps.append(self._dump(directory, "nic"))

    def _dump(self, directory, side):
        dump = f"{self.filter_id}-{side}"
        self.qemu.add_filter(dump, self.netdev, qom_type="filter-dump", maxlen=120,
                             file=str(directory / f"{dump}.pcap"))
        return dump

    def add(self):
        """(Again) add it behind the capture on the wire's side."""
        self.qemu.add_filter(self.filter_id, self.netdev, position=f"id={self.dumps[0]}",
                             insert="behind", **self.options)

    def remove(self):
        """Take it away in order."""
        self.qemu.remove_filter(self.filter_id)

    def set(self, **properties):
        self.qemu.set(self.filter_id, **properties)

    def stats(self):
        """Counters by their QMP names."""
        return self.qemu.vtcp_stats(self.filter_id)

    def flows(self):
        return self.qemu.vtcp_flows(self.filter_id)

    def close(self):
        for name in [self.filter_id, *self.dumps]:
            if name in self.qemu.objects():
                if name == self.filter_id:
                    self.remove()
                else:
                    self.qemu.delete(name)


class GuestBed:
    """See the module's drawing.  close() and make a new one if broken() says so."""

    def __init__(self):
        self.directory = LAB / f"guest-{next(_serial)}"
        self._owned = []
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self):
        self.netns = Namespace("host")
        self._owned.append(self.netns)
        sockets = self.directory.relative_to(BUILD.parent)    # short: 108 bytes
        self.directory.mkdir(parents=True, exist_ok=True)
        for leftover in self.directory.glob("*.sock"):
            leftover.unlink()

        def tap(identity, name, vnet_hdr="on"):
            return (f"tap,id={identity},ifname={name},vnet_hdr={vnet_hdr},"
                    "script=no,downscript=no")

        def unix(member, name):
            return f"{member}.type=unix,{member}.path={sockets}/{name}.sock"

        backends = {
            "tap": tap("n0", "tap0"),
            "tap-plain": tap("n1", "tap1", "off"),
            "user": "user,id=n2",
            "vmxnet3": tap("n3", "tap3"),
            "stream": f"stream,id=n4,server=off,{unix('addr', 'stream')}",
            "dgram": f"dgram,id=n5,{unix('local', 'here')},{unix('remote', 'far')}",
            "socket": "socket,id=n6,connect=127.0.0.1:7006",
        }
        far_backends = [
            f"stream,id=f4,server=on,{unix('addr', 'stream')}",
            f"dgram,id=f5,{unix('local', 'far')},{unix('remote', 'here')}",
            "socket,id=f6,listen=127.0.0.1:7006",
        ]
        far_args = ["-machine", "none"]
        for index, backend in zip((4, 5, 6), far_backends):
            for netdev in (backend, tap(f"t{index}", f"tap{index}"),
                           f"hubport,id=hf{index},hubid={index},netdev=f{index}",
                           f"hubport,id=ht{index},hubid={index},netdev=t{index}"):
                far_args += ["-netdev", netdev]
        self.far = Qemu(self.directory / "far", far_args, netns=self.netns.name)
        self._owned.append(self.far)

        net_args = []
        for nic in NICS.values():
            net_args += ["-netdev", backends[nic.name], "-device",
                         f"{nic.device},netdev={nic.netdev},romfile=,mac={nic.mac}"]
        self.guest = Guest(self.directory, net_args, netns=self.netns.name)
        self._owned.append(self.guest)
        self.host = HostPeer("host", self.netns.name)
        self._owned.append(self.host)

        for setting in ("arp_ignore", "rp_filter"):     # see /init
            self.netns.run("sysctl", "-qw", f"net.ipv4.conf.all.{setting}=1")
        for nic in NICS.values():
            self.guest.name(nic.mac, nic.interface)
            if nic.name == "user":
                self.guest.up(nic.interface, f"{nic.guest_address()}/24")
                continue
            self.netns.up(f"tap{nic.index}", f"{nic.host_address()}/24",
                          f"{nic.host_address(6)}/64")
            self.guest.up(nic.interface, f"{nic.guest_address()}/24",
                          f"{nic.guest_address(6)}/64")

    def restore_addresses(self, nic):
        """IPv6 addresses do not survive an interface that goes down."""
        for netns_ip, interface, address in (
                (self.netns.ip, f"tap{nic.index}", f"{nic.host_address(6)}/64"),
                (self._guest_ip, nic.interface, f"{nic.guest_address(6)}/64")):
            if address not in netns_ip("-6", "addr", "show", "dev", interface):
                netns_ip("-6", "addr", "add", address, "dev", interface)

    def _guest_ip(self, *words):
        return self.guest.peer.shell("ip " + " ".join(words))

    def transfer(self, nic, direction, seed, size=0, family=4, connect="guest", **words):
        """Start connections over a NIC; direction: guest-to-host, host-to-guest, both."""
        sender = {"guest-to-host": self.guest.peer, "host-to-guest": self.host,
                  "both": None}[direction]
        if connect == "guest":
            if nic.name == "user":
                words["listen"] = "127.0.0.1"
            return transfer(self.host, self.guest.peer, nic.host_address(family), sender,
                            seed, size, **words)
        return transfer(self.guest.peer, self.host, nic.guest_address(family), sender,
                        seed, size, **words)

    def restore(self):
        """Undo what a test may have left; LabError if that fails."""
        self.guest.qmp.execute("cont")
        for peer in (self.guest.peer, self.host):
            peer.drop_jobs()

    def broken(self):
        """True if the bed cannot serve another test."""
        try:
            self.guest.peer.request("ping", timeout=10)
            self.host.request("ping", timeout=10)
            self.far.qmp.execute("query-status")
            return False
        except (LabError, QmpError):
            return True

    def logs(self):
        """Files worth a look when a test failed."""
        return [self.guest.serial_log, self.directory / "qmp.log",
                self.directory / "stderr.log", self.directory / "far" / "qmp.log"]

    def close(self):
        while self._owned:
            self._owned.pop().close()


class MiddleboxBed:
    """See the module's drawing.  relays: {"a": words, "b": words}, none: a bare leg."""

    ADDRESSES = {"a": ("10.98.0.1/24", "fd98::1/64"), "b": ("10.98.0.2/24", "fd98::2/64")}

    def __init__(self, directory, relays=None):
        self.directory = directory
        self._owned = []
        self._relays = relays or {}
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _own(self, thing):
        self._owned.append(thing)
        return thing

    def _build(self):
        middle = self._own(Namespace("middle"))
        args = ["-machine", "none"]
        for side in "ab":
            args += ["-netdev",
                     f"tap,id={side},ifname=tap-{side},script=no,downscript=no",
                     "-netdev", f"hubport,id=h{side},hubid=0,netdev={side}"]
        self.qemu = self._own(Qemu(self.directory / "middlebox", args, netns=middle.name))
        self.relays = []
        self.stacks = []
        self.peers = {}
        for side in "ab":
            stack = self._own(Namespace(f"stack-{side}"))
            self.stacks.append(stack)
            interface = f"tap-{side}"
            if side in self._relays:
                interface = f"relay-{side}"
                self.relays.append(self._own(Relay(middle, f"near-{side}", interface,
                                                   **self._relays[side])))
                middle.ip("link", "add", f"br-{side}", "type", "bridge")
                middle.run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0",
                           check=False)     # without the module there is no such thing
                for port in (f"tap-{side}", f"near-{side}"):
                    middle.ip("link", "set", port, "master", f"br-{side}", "up")
                middle.ip("link", "set", f"br-{side}", "up")
            middle.ip("link", "set", interface, "netns", stack.name)
            stack.up(interface, *self.ADDRESSES[side])
            self.peers[side] = self._own(HostPeer(side, stack.name))

    def sysctl(self, **settings):
        """Set net.ipv4.KEY=VALUE in both stacks, for connections to come."""
        for stack in self.stacks:
            for key, value in settings.items():
                stack.run("sysctl", "-qw", f"net.ipv4.{key}={value}")

    def transfer(self, direction, seed, size=0, family=4, **words):
        """Start connections from A to B; direction: a-to-b, b-to-a, both."""
        a, b = self.peers["a"], self.peers["b"]
        sender = {"a-to-b": a, "b-to-a": b, "both": None}[direction]
        address = self.ADDRESSES["b"][0 if family == 4 else 1].split("/", maxsplit=1)[0]
        return transfer(b, a, address, sender, seed, size, **words)

    def flood(self, syns, rate):
        """Send SYNs of ends that nobody knows from A to B, rate of them a second."""
        interface = "relay-a" if "a" in self._relays else "tap-a"
        target = self.ADDRESSES["b"][0].split("/", maxsplit=1)[0]
        link = self.stacks[1].ip("-br", "link", "show", "up", "type", "tun")
        tool = Tool("tests/bench/chatter.c", "syn", interface, "10.100.0.1", target, 80,
                    link.split()[2], rate, syns, netns=self.stacks[0])
        tool.line(10 * syns / rate + PATIENCE_SECONDS)
        tool.close()

    def logs(self):
        """Files worth a look when a test failed."""
        return [self.directory / "middlebox" / "qmp.log",
                self.directory / "middlebox" / "stderr.log"]

    def close(self):
        while self._owned:
            self._owned.pop().close()
