# SPDX-License-Identifier: GPL-2.0-or-later
"""What befalls a guest, its NIC and its QEMU in mid-transfer (T9; rule 11).

No connection ends with a wrong byte (the streams are compared up to where they break off), and
none ends in silence but when QEMU is killed: then its peers hear of it from who comes next.
"""

import pytest
from lablib.qmp import QmpError
from lablib.util import wait_until
from moving import FILTER, OneNicBed

MIB = 1 << 20
ON_IT_GOES = 8 * MIB
GUEST_PORT, HOST_PORT = 7007, 7008


class _Shared:
    bed = None


@pytest.fixture(scope="module")
def _shared():
    shared = _Shared()
    yield shared
    if shared.bed:
        shared.bed.close()


@pytest.fixture
def bed(_shared, artefacts):
    """A OneNicBed whose guest may reboot; another one if an earlier test broke it."""
    if _shared.bed is None:
        _shared.bed = OneNicBed(artefacts.directory)
    bed = _shared.bed
    bed.guest.qmp.execute("set-action", reboot="reset")
    artefacts.logs += bed.logs()
    try:
        yield bed
        for peer in (bed.guest.peer, bed.host):
            peer.drop_jobs()
    finally:
        artefacts.logs += [path for path in bed.logs() if path not in artefacts.logs]
        if bed.broken():
            _shared.bed = None
            bed.close()


def begin(bed, seed, size=0):
    """A transfer both ways, always between the same ports."""
    return bed.transfer("both", seed, size, checked=True, port=HOST_PORT,
                        bind=bed.GUEST[0], **{"from": GUEST_PORT})


def running(bed, seed):
    """One that has come to speed."""
    going = begin(bed, seed)
    for job in going.jobs:
        job.wait_moved("received", ON_IT_GOES)
    return going


def assert_works_again(bed, seed):
    """The same ports do, accelerated."""
    for peer in (bed.guest.peer, bed.host):
        peer.drop_jobs()
    before = bed.stats()["early-acked-bytes"]
    begin(bed, seed + 1000, size=ON_IT_GOES).check()
    assert bed.stats()["early-acked-bytes"] > before
    bed.wait_drained()


def wait_reset(job, timeout=60):
    """The connection ends by a reset, and what came before it is what was sent."""
    wait_until(lambda: job.status()["ended"], lambda: f"the end: {job.status()}", timeout)
    (result,) = job.results()
    assert result["state"] == "failed", result
    assert "reset" in result["error"] or "Broken pipe" in result["error"], result


def assert_event(bed):
    """An event tells of the reset."""
    (event,) = bed.guest.qmp.take_events("VNX_VTCP_FLOW_RESET")
    assert event["filter"] == FILTER
    assert (event["guest-port"], event["remote-port"]) == (GUEST_PORT, HOST_PORT), event


def test_t9_guest_reboots(bed, seed):
    """The remote hears a reset from the new guest, and the same ports work again."""
    going = running(bed, seed)
    bed.guest.qmp.execute("system_reset")
    bed.guest.peer.forget_jobs()
    bed.guest.wait_booted()
    bed.configure()
    wait_reset(going[bed.host])
    assert_works_again(bed, seed)


def test_t9_nic_is_unplugged(bed, seed):
    """Both ends of what was owed are reset, with an event; another NIC serves as well."""
    going = running(bed, seed)
    bed.unplug_nic()
    wait_reset(going[bed.host])
    assert bed.stats()["flows-reset"] >= 1
    assert_event(bed)
    bed.plug_nic()
    assert_works_again(bed, seed)


def test_t9_netdev_is_deleted(bed, seed):
    """Both ends are reset; the filter goes with the netdev."""
    going = running(bed, seed)
    bed.let_owe(going)
    bed.guest.qmp.execute("netdev_del", id="n0")
    for job in going.jobs:
        job.resume()
    wait_reset(going[bed.host])
    wait_reset(going[bed.guest.peer])
    assert_event(bed)
    with pytest.raises(QmpError):
        bed.stats()
    bed.unplug_nic()
    bed.plug_netdev()
    bed.plug_nic()
    assert_works_again(bed, seed)


def test_t9_qemu_is_killed(bed, seed):
    """No word, but no wrong one either; whoever comes in its place sends resets."""
    going = running(bed, seed)
    bed.kill()
    bed.boot_again()
    wait_reset(going[bed.host])
    assert_works_again(bed, seed)
