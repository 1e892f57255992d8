# SPDX-License-Identifier: GPL-2.0-or-later
"""The end host of a test: drives one vnx-peer (guest/init/peer.c), wherever it runs."""

import itertools
import select
import socket
import subprocess
import time

from .util import GUEST, PATIENCE_SECONDS, LabError, wait_until


class PeerSilent(LabError):
    """No answer in time; it may still come."""


class Peer:
    """A vnx-peer at the other end of a connected socket, which this object takes over."""

    def __init__(self, name, sock):
        self.name = name
        self._socket = sock
        self._pending = b""
        self._tags = itertools.count(1)
        self._job_names = itertools.count(1)
        self._jobs = []

    def request(self, text, timeout=PATIENCE_SECONDS):
        """Send one request; return (the "." lines, the words of "ok" as a dictionary)."""
        tag = str(next(self._tags))
        self._send(f"{tag} {text}\n")
        return self._answer(tag, text, timeout)

    def shell(self, command, timeout=PATIENCE_SECONDS, check=True):
        """Run a shell command there and return its output, LabError if it fails."""
        lines, words = self.request(f"exec ({command}) 2>&1", timeout)
        if check and words["status"] != "0":
            raise LabError(f"{self.name}: {command}: exit {words['status']}: "
                           + "\n".join(lines))
        return "\n".join(lines)

    def start(self, **words):
        """Start a job; the words are those of guest/init/job.h."""
        job = Job(self, f"j{next(self._job_names)}", words)
        self._jobs.append(job)
        return job

    def drop_jobs(self):
        """End whatever this peer still runs."""
        for job in list(self._jobs):
            job.drop()

    def forget(self, job):
        self._jobs.remove(job)

    def forget_jobs(self):
        """They are gone with the machine that they ran on."""
        self._jobs.clear()

    def moved(self, sock):
        """The program goes on behind another socket, which this object takes over."""
        self._socket.close()
        self._socket = sock
        self._pending = b""

    def close(self):
        self._socket.close()

    def _send(self, text):
        try:
            self._socket.sendall(text.encode())
        except OSError as error:
            raise LabError(f"{self.name}: vnx-peer is gone ({error})") from error

    def _answer(self, tag, text, timeout):
        deadline = time.monotonic() + timeout
        lines = []
        while True:
            head, _, rest = self._read_line(deadline, text).partition(" ")
            kind, _, rest = rest.partition(" ")
            if head != tag:
                continue            # the answer to a request that we gave up on
            if kind == ".":
                lines.append(rest)
            elif kind == "ok":
                return lines, parse_words(rest)
            else:
                raise LabError(f"{self.name}: {text}: {rest}")

    def _read_line(self, deadline, text):
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left < 0 or not select.select([self._socket], [], [], left)[0]:
                raise PeerSilent(f"{self.name}: no answer to: {text}")
            data = self._socket.recv(65536)
            if not data:
                raise LabError(f"{self.name}: vnx-peer is gone")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()


class HostPeer(Peer):
    """A vnx-peer of our own on this machine, in a network namespace or none."""

    def __init__(self, name, netns=None, cpu=None):
        ours, theirs = socket.socketpair()
        command = [str(GUEST / "vnx-peer")]
        if cpu is not None:
            command = ["taskset", "-c", str(cpu)] + command
        if netns:
            command = ["ip", "netns", "exec", netns] + command
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs)
        theirs.close()
        super().__init__(name, ours)
        self.request("ping")

    def close(self):
        super().close()             # end of input ends the program
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Job:
    """Connections that a peer runs (guest/init/job.h)."""

    def __init__(self, peer, name, words):
        self.peer = peer
        self.name = name
        text = " ".join(f"{key}={value}" for key, value in words.items())
        self.port = int(peer.request(f"run {name} {text}")[1]["port"])

    def status(self):
        """Numbers: port, sent, received (bytes so far), open, done, failed, ended."""
        return {key: int(value) for key, value in
                self.peer.request(f"status {self.name}")[1].items()}

    def finish(self):
        """Let senders without a size come to their end."""
        self.peer.request(f"finish {self.name}")

    def pause(self):
        """Stop reading."""
        self.peer.request(f"pause {self.name}")

    def resume(self):
        self.peer.request(f"resume {self.name}")

    def wait_moved(self, direction, more, timeout=PATIENCE_SECONDS):
        """Wait until `more` bytes beyond those of now were "sent" or "received"."""
        goal = self.status()[direction] + more
        wait_until(lambda: self.status()[direction] >= goal,
                   lambda: f"{self.peer.name} to have {direction} {goal} bytes, "
                           f"it is at {self.status()}", timeout)

    def wait_stalled(self, timeout=PATIENCE_SECONDS):
        """Wait until nothing has moved for half a second."""
        last = [None, 0.0]

        def stalled():
            moved = {key: self.status()[key] for key in ("sent", "received")}
            if moved != last[0]:
                last[:] = [moved, time.monotonic()]
            return time.monotonic() - last[1] > 0.5

        wait_until(stalled, f"{self.peer.name} to stall", timeout)

    def wait_ended(self, timeout=PATIENCE_SECONDS):
        """Wait for the end of all connections, LabError if one failed; their results."""
        wait_until(lambda: self.status()["ended"],
                   lambda: f"the end of {self.peer.name}'s connections, "
                           f"it is at {self.status()}", timeout)
        results = self.results()
        failed = [f"{result['conn']}: {result['error']}" for result in results
                  if result["state"] != "done"]
        if failed:
            raise LabError(f"{self.peer.name}: {len(failed)} of {len(results)} "
                           f"connections failed: {'; '.join(failed[:5])}")
        return results

    def results(self):
        """One dictionary per connection, see job_results() in job.c."""
        results = []
        for line in self.peer.request(f"results {self.name}")[0]:
            line, _, error = line.partition(" error=")
            words = parse_words(line)
            words["error"] = error
            for key in ("conn", "local", "peer", "sent", "received", "retransmits"):
                words[key] = int(words[key])
            for key in ("sent-seconds", "received-seconds"):
                words[key] = float(words[key])
            results.append(words)
        return results

    def drop(self):
        """Shut down what is left of it."""
        self.peer.forget(self)
        self.peer.request(f"drop {self.name}")


def parse_words(text):
    """"a=1 b=2" as a dictionary of strings."""
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def mismatches(one_results, other_results):
    """Compare what one end of a set of connections sent with what the other received.

    Connections are matched by their ports; a single one need not be (NAT changes them).
    Returns a list of complaints, empty when every byte that either end sent is what the
    other end received, by count and SHA-256.
    """
    complaints = []
    single = len(one_results) == len(other_results) == 1
    others = {0 if single else (result["peer"], result["local"]): result
              for result in other_results}
    for one in one_results:
        ports = 0 if single else (one["local"], one["peer"])
        other = others.pop(ports, None)
        if other is None:
            complaints.append(f"{ports}: only one end knows it")
            continue
        for sender, receiver, way in ((one, other, "->"), (other, one, "<-")):
            sent, received = sender["sent-sha256"], receiver["received-sha256"]
            if sender["sent"] != receiver["received"]:
                complaints.append(f"{ports} {way}: sent {sender['sent']} bytes, "
                                  f"received {receiver['received']}")
            elif sender["sent"] and (not sent or sent != received):
                complaints.append(f"{ports} {way}: SHA-256 sent {sent}, "
                                  f"received {received}")
    complaints += [f"{ports}: only the other end knows it" for ports in others]
    return complaints
