# SPDX-License-Identifier: GPL-2.0-or-later
"""What demo, bench and the lab tests share: QEMU processes, guests, end hosts, networks.

Layers, each ignorant of the next: util (paths, waiting), qmp (one QMP connection), peer
(one vnx-peer, the end host of a test), net (network namespaces), vm (QEMU processes and
guests).

Everything that runs is owned by an object with close(); nothing is left behind by a
close(), whatever failed before.  Nothing here sleeps to let something happen:
util.wait_until() waits for a condition.
"""
