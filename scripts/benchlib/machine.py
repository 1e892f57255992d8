# SPDX-License-Identifier: GPL-2.0-or-later
"""Who runs where while something is measured: the vCPU on a core, all else on another."""

import os
import pathlib

VCPU_CORE = 0
LOOP_CORE = 1 if os.cpu_count() > 1 else 0


def pin(guest):
    """The vCPU on its core, every other thread of QEMU on the other."""
    vcpu = guest.vcpu_thread()
    for task in pathlib.Path(f"/proc/{guest.pid}/task").iterdir():
        thread = int(task.name)
        os.sched_setaffinity(thread, {VCPU_CORE if thread == vcpu else LOOP_CORE})


def prefer(pid):
    """Let a process go before whatever else this machine is doing, if we may."""
    try:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(task.name), -15)
        # With autogroups, priorities count within a session; this is the session's own.
        autogroup = pathlib.Path(f"/proc/{pid}/autogroup")
        if autogroup.exists():
            autogroup.write_text("-15", encoding="ascii")
    except PermissionError:
        pass
