# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the lab: shared guest, artefacts, seeds.

Each test has a directory build/lab/TEST for its captures; a failing test's output names
it and the logs of the QEMUs that took part.  Captures of passed tests are deleted.

    make check-lab                    everything here
    /usr/bin/python3 -m pytest tests/lab -k bulk      some of it
    VNX_LAB_SEED=N ...                with the random data of an earlier run
"""

import os
import pathlib
import random
import re
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
os.chdir(pathlib.Path(__file__).resolve().parents[2])

from lablib import net                                  # noqa: E402
from lablib.util import QEMU, run                       # noqa: E402
from topology import LAB, GuestBed, MiddleboxBed, Vtcp  # noqa: E402

SEED = int(os.environ.get("VNX_LAB_SEED", random.SystemRandom().randrange(1 << 32)))


def pytest_report_header():
    return f"lab: QEMU {QEMU}, seed {SEED}"


def pytest_collection_modifyitems(items):
    reason = net.why_impossible()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _guest_is_built():
    run("scripts/guest")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    item.failed_so_far = getattr(item, "failed_so_far", False) or report.failed
    artefacts = getattr(item, "artefacts", None)
    if artefacts and report.failed:
        report.sections.append(("lab artefacts", "\n".join(artefacts.paths())))


class Artefacts:
    """The files of one test: its own directory, and logs of what it shares."""

    def __init__(self, name):
        self.directory = LAB / re.sub(r"[^\w.-]+", "-", name).strip("-")
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.logs = []

    def paths(self):
        """What there is to look at."""
        own = [path for path in sorted(self.directory.rglob("*")) if path.is_file()]
        shared = [path for path in self.logs if path.exists() and path not in own]
        return [f"seed: VNX_LAB_SEED={SEED}"] + [str(path) for path in own + shared]

    def thin_out(self):
        """The test passed: keep the logs, not the captures."""
        for capture in self.directory.rglob("*.pcap"):
            capture.unlink()


@pytest.fixture
def artefacts(request):
    """The test's Artefacts; listed in its output if it fails."""
    files = Artefacts(request.node.name)
    request.node.artefacts = files
    yield files
    if not getattr(request.node, "failed_so_far", False):
        files.thin_out()


@pytest.fixture
def seed(request):
    """Random data's seed: of the run and the test, so that a test repeats alone."""
    return random.Random(f"{SEED} {request.node.name}").randrange(1 << 48)


class _Shared:
    bed = None


@pytest.fixture(scope="session")
def _shared_bed():
    shared = _Shared()
    yield shared
    if shared.bed:
        shared.bed.close()


@pytest.fixture
def bed(_shared_bed, artefacts):
    """The GuestBed, booted again if an earlier test broke it."""
    if _shared_bed.bed is None:
        _shared_bed.bed = GuestBed()
    bed = _shared_bed.bed
    artefacts.logs += bed.logs()
    try:
        yield bed
        bed.restore()
    finally:
        if bed.broken():
            _shared_bed.bed = None
            bed.close()


@pytest.fixture
def vtcp_on(bed, artefacts):
    """A function that puts a filter-vtcp on a NIC's netdev for the test's time."""
    filters = []

    def put(nic, **options):
        filters.append(Vtcp(bed.guest, nic.netdev, artefacts.directory, **options))
        return filters[-1]

    yield put
    bed.restore()
    for one in filters:
        one.close()


@pytest.fixture
def middlebox(artefacts):
    """A function that makes the test's MiddleboxBed."""
    beds = []

    def make(**relays):
        beds.append(MiddleboxBed(artefacts.directory, relays))
        artefacts.logs += beds[-1].logs()
        return beds[-1]

    yield make
    for one in beds:
        one.close()
