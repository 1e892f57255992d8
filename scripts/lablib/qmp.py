# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP connection over a connected socket: synchronous, every line logged."""

import json
import select
import time

from .util import PATIENCE_SECONDS, LabError


class QmpError(Exception):
    """QEMU's own answer that a command failed."""

    def __init__(self, command, error):
        super().__init__(f"{command}: {error['desc']}")
        self.error_class = error["class"]
        self.description = error["desc"]


class Qmp:
    """Takes over the socket; log_path gets both directions, one JSON text a line."""

    def __init__(self, sock, log_path):
        self._socket = sock
        self._pending = b""
        self._log = open(log_path, "w", encoding="utf-8")
        self._started = time.monotonic()
        self.events = []
        self._read_until(lambda message: "QMP" in message, "QMP greeting")
        self.execute("qmp_capabilities")

    def execute(self, command, timeout=PATIENCE_SECONDS, **arguments):
        """Run one command and return its result; arguments: _ stands for -."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value
                                    for name, value in arguments.items()}
        text = json.dumps(request)
        self._note("->", text)
        try:
            self._socket.sendall(text.encode() + b"\n")
        except OSError as error:
            raise LabError(f"QEMU is gone (QMP {command}: {error})") from error
        answer = self._read_until(lambda message: message.keys() & {"return", "error"},
                                  command, timeout)
        if "error" in answer:
            raise QmpError(command, answer["error"])
        return answer["return"]

    def take_events(self, name):
        """Return the data of the events of this name seen so far, and forget them."""
        while self._readable(0):
            self._dispatch(self._read_message("events"))
        found = [event.get("data", {}) for event in self.events if event["event"] == name]
        self.events = [event for event in self.events if event["event"] != name]
        return found

    def close(self):
        self._socket.close()
        self._log.close()

    def _note(self, arrow, text):
        self._log.write(f"{time.monotonic() - self._started:9.3f} {arrow} {text}\n")
        self._log.flush()

    def _readable(self, timeout):
        if b"\n" in self._pending:
            return True
        return bool(select.select([self._socket], [], [], timeout)[0])

    def _read_message(self, what, timeout=PATIENCE_SECONDS):
        deadline = time.monotonic() + timeout
        while b"\n" not in self._pending:
            if not self._readable(max(0, deadline - time.monotonic())):
                raise LabError(f"QEMU did not answer QMP {what} in {timeout:.0f} s")
            try:
                data = self._socket.recv(65536)
            except OSError as error:
                raise LabError(f"QEMU is gone (QMP {what}: {error})") from error
            if not data:
                raise LabError(f"QEMU is gone (QMP {what})")
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        self._note("<-", line.decode().strip())
        return json.loads(line)

    def _dispatch(self, message):
        if "event" in message:
            self.events.append(message)
            return None
        return message

    def _read_until(self, wanted, what, timeout=PATIENCE_SECONDS):
        while True:
            message = self._dispatch(self._read_message(what, timeout))
            if message is not None and wanted(message):
                return message
