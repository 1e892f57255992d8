# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU processes: any (Qemu), and those that run the small guest (Guest)."""

import ctypes
import os
import pathlib
import signal
import socket
import subprocess

from .peer import Peer, PeerSilent
from .qmp import Qmp, QmpError
from .util import GUEST, QEMU, LabError, wait_until

BOOT_SECONDS = 90
KVM_PROBE_SECONDS = 10


PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Qemu:
    """A QEMU process with a QMP connection and its logs in a directory of its own.

    args: the command line but for firmware paths, display and QMP; netns: the network
    namespace it runs in; pass_fds: file descriptors that args names.
    """

    def __init__(self, directory, args, netns=None, pass_fds=()):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.qmp = None
        ours, theirs = socket.socketpair()
        command = [str(QEMU), "-L", "/usr/share/seabios", "-L", "/usr/share/qemu",
                   "-nodefaults", "-display", "none",
                   "-chardev", f"socket,id=qmp,fd={theirs.fileno()}",
                   "-mon", "chardev=qmp,mode=control"] + [str(word) for word in args]
        if netns:
            command = ["ip", "netns", "exec", netns] + command
        (self.directory / "command").write_text(" ".join(command) + "\n",
                                                encoding="utf-8")
        self._stderr_path = self.directory / "stderr.log"
        with open(self._stderr_path, "w", encoding="utf-8") as stderr:
            # In a session of its own: ctrl-C is for us, who then close it in order.
            # Should we be killed, it must not stay behind.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr,
                pass_fds=(theirs.fileno(), *pass_fds), start_new_session=True,
                preexec_fn=_die_with_parent)
        theirs.close()
        try:
            self.qmp = Qmp(ours, self.directory / "qmp.log")
        except LabError as error:
            ours.close()
            self.close()
            raise LabError(f"QEMU does not start: {self.complaint() or error}") from error

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def complaint(self):
        """What it wrote to standard error."""
        return self._stderr_path.read_text(encoding="utf-8", errors="replace").strip()

    def add_filter(self, filter_id, netdev, qom_type="filter-vtcp", **options):
        """object-add a netfilter; options: _ stands for -."""
        self.qmp.execute("object-add", qom_type=qom_type, id=filter_id, netdev=netdev,
                         **options)

    def delete(self, object_id):
        self.qmp.execute("object-del", id=object_id)

    def set(self, object_id, **properties):
        """qom-set properties of a user-created object."""
        for name, value in properties.items():
            self.qmp.execute("qom-set", path=f"/objects/{object_id}",
                             property=name.replace("_", "-"), value=value)

    def get(self, object_id, name):
        return self.qmp.execute("qom-get", path=f"/objects/{object_id}", property=name)

    def objects(self):
        """The ids of the user-created objects."""
        return [item["name"] for item in self.qmp.execute("qom-list", path="/objects")
                if item["type"].startswith("child<")]

    def remove_filter(self, filter_id):
        """Take a filter away as operators do: status=off, then object-del until it goes.

        object-del is refused while the filter holds data that it acknowledged; with
        status=off it hands that over, and can go.
        """
        def gone():
            try:
                self.delete(filter_id)
            except QmpError:
                return False
            return True

        self.set(filter_id, status="off")
        wait_until(gone, f"{filter_id} to drain and go")

    def vtcp_stats(self, filter_id):
        """The counters of one filter-vtcp by their QMP names."""
        (stats,) = self.qmp.execute("query-vnx-vtcp-stats", id=filter_id)
        return stats

    def vtcp_flows(self, filter_id):
        """The flow table of one filter-vtcp."""
        return self.qmp.execute("query-vnx-vtcp-flows", id=filter_id)

    def thread_seconds(self):
        """CPU seconds that the main thread (the main loop) has used."""
        path = f"/proc/{self.pid}/task/{self.pid}/schedstat"
        with open(path, encoding="ascii") as schedstat:
            return int(schedstat.read().split()[0]) / 1e9

    def resident_mib(self):
        """MiB of memory that the process has, its guest's included."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def close(self):
        """End the process: by QMP if it listens, by force if it does not."""
        if self.qmp:
            try:
                self.qmp.execute("quit", timeout=5)
            except (LabError, QmpError):
                pass
            self.qmp.close()
            self.qmp = None
        else:
            self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Guest(Qemu):
    """A QEMU that has booted the small guest; peer is the vnx-peer in it.

    net_args: -netdev and -device options.  The guest names its interfaces as their drivers
    come; name() gives one with a known MAC address the name that the caller wants.

    arrives: options by which a guest that runs elsewhere, or was saved, comes here (-incoming,
    -loadvm); then nothing is booted, and there is no peer until take_over().
    """

    def __init__(self, directory, net_args, netns=None, accel=None, memory_mib=512,
                 boot_seconds=BOOT_SECONDS, vcpus=1, arrives=()):
        for name in ("vmlinux", "initrd.gz", "vnx-peer"):
            if not (GUEST / name).exists():
                raise LabError(f"{GUEST / name} is missing: run scripts/guest")
        self.peer = self._port = None
        self.accel = accel or best_accel()
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        self.serial_log = directory / "serial.log"
        ours, theirs = socket.socketpair()
        try:
            super().__init__(directory, [
                "-accel", "kvm" if self.accel == "kvm" else "tcg,thread=multi",
                # TCG emulates the SHA instructions natively, vnx-peer uses them; but string
                # instructions, by which a guest would copy, byte by byte.
                "-cpu", "host" if self.accel == "kvm" else "max,erms=off,fsrm=off",
                "-machine", "q35", "-vga", "none", "-m", memory_mib, "-no-reboot",
                "-smp", vcpus,
                "-serial", f"file:{self.serial_log}",
                "-kernel", GUEST / "vmlinux", "-initrd", GUEST / "initrd.gz",
                # tsc=reliable: a guest that is held off the CPU between readings of two
                # clocks would come to doubt this one.
                "-append", "console=ttyS0 quiet panic=-1 tsc=reliable",
                *net_args, *arrives,
                "-chardev", f"socket,id=peer,fd={theirs.fileno()}",
                "-device", "virtio-serial-pci,max_ports=2",
                "-device", "virtserialport,chardev=peer,name=vnx.peer",
            ], netns=netns, pass_fds=(theirs.fileno(),))
        finally:
            theirs.close()
        self._port = ours
        if not arrives:
            self.peer = Peer("guest", ours)
            try:
                self.wait_booted(boot_seconds)
            except LabError as error:
                self.close()
                raise LabError(f"the guest does not boot, see {self.serial_log} "
                               f"({error}) {self.complaint()}") from error

    def wait_booted(self, seconds=BOOT_SECONDS):
        """Wait until its vnx-peer answers (again)."""
        wait_until(self._booted, "the guest to boot", seconds)

    def take_over(self, source):
        """The guest has come here from another QEMU, and its peer with it."""
        self.peer, source.peer = source.peer, None
        self.peer.moved(self._port)

    def _booted(self):
        try:
            self.peer.request("ping", timeout=1)
        except PeerSilent:
            status = self.qmp.execute("query-status")["status"]
            if status == "internal-error":
                raise LabError("the accelerator gave up") from None
            return False
        return True

    def name(self, mac, name):
        """Rename the interface with this MAC address (lower case)."""
        self.peer.shell(f"grep -l {mac} /sys/class/net/eth*/address | cut -d/ -f5 | "
                        f"xargs -I {{}} ip link set {{}} name {name}")

    def up(self, interface, *addresses):
        """Give a guest's interface addresses (ADDRESS/LENGTH, either family)."""
        for address in addresses:
            self.peer.shell(f"ip addr add {address} dev {interface}")
        self.peer.shell(f"ip link set {interface} up")

    def vcpu_thread(self):
        """The thread id of the first vCPU."""
        return self.qmp.execute("query-cpus-fast")[0]["thread-id"]

    def close(self):
        if self.peer:
            self.peer.close()
            self.peer = None
        if self._port:
            self._port.close()
        super().close()


def best_accel():
    """"kvm" if a guest really boots under it here, else "tcg"; VNX_ACCEL overrules.

    /dev/kvm may exist and yet fail guests in the middle of their boot, so only a booted
    probe guest counts.  The verdict is kept beside the guest until the machine boots
    again.
    """
    wanted = os.environ.get("VNX_ACCEL")
    if wanted in ("kvm", "tcg"):
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot_id = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    key = boot_id.strip()
    verdict_path = GUEST / "accel"
    if verdict_path.exists():
        verdict, _, verdict_key = verdict_path.read_text(encoding="ascii").partition(" ")
        if verdict_key == key:
            return verdict
    try:
        Guest(GUEST / "kvm-probe", [], accel="kvm",
              boot_seconds=KVM_PROBE_SECONDS).close()
        verdict = "kvm"
    except (LabError, QmpError):
        verdict = "tcg"
    verdict_path.write_text(f"{verdict} {key}", encoding="ascii")
    return verdict
