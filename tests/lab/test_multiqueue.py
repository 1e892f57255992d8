# SPDX-License-Identifier: GPL-2.0-or-later
"""One filter-vtcp on a tap with two queues, and a guest with two processors (rule 13).

Eight connections both ways; the guest's scheduler moves their threads between processors and
with that their packets between queues.
"""

import pytest
from lablib.util import wait_until
from moving import OneNicBed

MIB = 1 << 20
ON_IT_GOES = 8 * MIB


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    one = OneNicBed(tmp_path_factory.mktemp("multiqueue"), queues=2, vcpus=2)
    yield one
    one.close()


@pytest.fixture
def going(bed, seed):
    """Connections both ways, which end when the test does; then every byte is compared."""
    jobs = bed.transfer("both", seed, count=8)
    wait_on(jobs)
    yield jobs
    wait_on(jobs)
    jobs.finish()
    jobs.check(timeout=120)
    bed.wait_drained()


def wait_on(jobs):
    for job in jobs.jobs:
        job.wait_moved("received", ON_IT_GOES)


def wait_accelerated(bed):
    before = bed.stats()["early-acked-bytes"]
    wait_until(lambda: bed.stats()["early-acked-bytes"] > before + ON_IT_GOES,
               lambda: f"the fast path: {bed.stats()}")


def test_t1_both_queues_are_used(bed, going):
    """The guest sends by both queues, and the filter, one engine, follows it."""
    assert bed.stats()["queues"] == bed.stats()["active-queues"] == 2
    assert bed.stats()["flows"] >= 8
    seen = set()
    wait_until(lambda: seen.update(flow["queue"] for flow in bed.flows()) or len(seen) == 2,
               lambda: f"connections on both queues, they are on {seen}")
    wait_accelerated(bed)


def test_t9_queues_fewer_and_more_in_mid_transfer(bed, going):
    """ethtool -L: VIRTIO_NET_CTRL_MQ under load."""
    for queues in (1, 2, 1, 2):
        bed.guest.peer.shell(f"ethtool -L nic0 combined {queues}")
        wait_on(going)
        wait_until(lambda: bed.stats()["active-queues"] == queues,
                   lambda: f"{queues} queues: {bed.stats()}")
        if queues == 1:
            assert {flow["queue"] for flow in bed.flows()} == {0}
    wait_accelerated(bed)


def test_t9_off_and_on_removed_and_added(bed, going):
    """status, object-del and object-add act on all queues."""
    for _ in range(2):
        bed.guest.set("vtcp0", status="off")
        bed.wait_drained()
        early = bed.stats()["early-acked-bytes"]
        wait_on(going)
        assert bed.stats()["early-acked-bytes"] == early
        bed.guest.set("vtcp0", status="on")
        wait_accelerated(bed)
    bed.guest.remove_filter("vtcp0")
    wait_on(going)
    bed.guest.add_filter("vtcp0", "n0", status="off")
    more = bed.transfer("both", 1, count=4)
    wait_on(more)
    bed.guest.set("vtcp0", status="on")
    wait_accelerated(bed)
    more.finish()
    more.check()


@pytest.mark.parametrize("name", ["n0", "nic0"])
def test_t9_link_down_and_up(bed, going, name):
    """set_link by either end's name, under load."""
    bed.guest.qmp.execute("set_link", name=name, up=False)
    for job in going.jobs:
        job.wait_stalled()
    bed.guest.qmp.execute("set_link", name=name, up=True)
    wait_on(going)


def test_t9_stop_and_cont(bed, going):
    for _ in range(3):
        bed.guest.qmp.execute("stop")
        going[bed.host].wait_stalled()
        bed.guest.qmp.execute("cont")
        wait_on(going)


def test_t9_nic_and_netdev_go(bed, seed):
    """Unplugged, plugged again, and at last the netdev deleted, under load."""
    jobs = bed.transfer("both", seed, count=8)
    wait_on(jobs)
    bed.unplug_nic()
    wait_until(lambda: jobs[bed.host].status()["failed"] == 8,
               lambda: f"resets: {jobs[bed.host].status()}")
    for job in jobs.jobs:
        job.drop()
    bed.plug_nic()
    jobs = bed.transfer("both", seed, count=8)
    wait_on(jobs)
    bed.let_owe(jobs)
    bed.guest.qmp.execute("netdev_del", id="n0")
    for job in jobs.jobs:
        job.resume()
    for job in jobs.jobs:
        wait_until(lambda: job.status()["failed"] == 8, lambda: f"resets: {job.status()}")
