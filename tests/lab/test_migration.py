# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest moves with its connections: not one byte lost or repeated (T9, U3; rule 11).

Every transfer goes on for as long as the test wants, in mid-transfer of everything that
happens; at its end both ends' hashes are compared.
"""

import pytest
from lablib.util import wait_until
from moving import OneNicBed

MIB = 1 << 20
ON_IT_GOES = 8 * MIB
WINDOW = 4 * MIB        # the default flow-buffer-size


@pytest.fixture
def bed(artefacts):
    """A function that makes the test's OneNicBed."""
    beds = []

    def make(**words):
        beds.append(OneNicBed(artefacts.directory, **words))
        artefacts.logs += beds[-1].logs()
        return beds[-1]

    yield make
    for one in beds:
        artefacts.logs += one.logs()
        one.close()


def owed(bed):
    """Undelivered bytes of each half of each connection that has any."""
    halves = [flow[way] for flow in bed.flows() for way in ("to-guest", "to-net")]
    return [half["undelivered"] for half in halves if half["undelivered"]]


def start(bed, seed):
    """A transfer each way, another that goes both ways over IPv6, and one that stands still."""
    jobs = [bed.transfer("guest-to-host", seed),
            bed.transfer("host-to-guest", seed + 10, connect="host"),
            bed.transfer("both", seed + 20, family=6)]
    still = bed.transfer("host-to-guest", seed + 30, sndbuf=256 * 1024, rcvbuf=64 * 1024)
    still[bed.guest.peer].pause()
    move_on(bed, jobs)
    still[bed.host].wait_stalled()
    return jobs, still


def move_on(bed, jobs):
    """Wait until every direction has moved a good deal more."""
    for job, directions in zip(jobs, (("received",), ("sent",), ("received", "sent"))):
        for direction in directions:
            job[bed.host].wait_moved(direction, ON_IT_GOES)


def finish(bed, jobs, still):
    still[bed.guest.peer].resume()
    for job in [*jobs, still]:
        job.finish()
    for job in [*jobs, still]:
        job.check(timeout=120)
    bed.wait_drained()


def test_t9_u3_there_and_back_between_unequal_buffers(bed, seed):
    """To smaller buffers, to larger ones, and back, with data owed all the time."""
    home = bed(flow_buffer_size=WINDOW)
    jobs, still = start(home, seed)
    assert home.stats()["early-acked-bytes"] > 0
    for options in ({"flow_buffer_size": 128 * 1024, "buffer_size": 512 * 1024},
                    {"flow_buffer_size": 4 * WINDOW, "buffer_size": 256 * MIB},
                    {}):
        began, ended = home.migrate(**options)
        # No new early ACK from the beginning on: what is owed can only become less.
        assert ended["early-acked-bytes"] == began["early-acked-bytes"], (began, ended)
        assert 0 < ended["undelivered"] <= began["undelivered"], (began, ended)
        move_on(home, jobs)
        # What is owed outranks a limit, and leaves no room for more.
        full = options.get("buffer_size", 64 * MIB) < home.stats()["buffer-used"]
        assert full == (home.stats()["early-acked-bytes"] == 0), home.stats()
    finish(home, jobs, still)


def test_t9_u3_migration_cancelled_failed_and_done(bed, seed):
    """The source goes on as if nothing had been, and is free to try again."""
    home = bed()
    jobs, still = start(home, seed)
    slow = {"max_bandwidth": 1 << 20}
    for accident in ("cancelled", "killed"):
        target = home.place(arrives=("-incoming", "defer"))
        home.start_migration(target, **slow)
        home.wait_migration("active")
        assert home.stats()["status"] == "draining"
        # Nothing is owed any more, but to the reader that stands still.
        wait_until(lambda: len(owed(home)) == 1, lambda: f"others to drain: {owed(home)}")
        move_on(home, jobs[:1])
        assert len(owed(home)) == 1
        if accident == "cancelled":
            home.guest.qmp.execute("migrate_cancel")
            home.wait_migration("cancelled")
        else:
            target.process.kill()
            home.wait_migration("failed")
        assert home.stats()["status"] == "on"
        before = home.stats()["early-acked-bytes"]
        move_on(home, jobs)
        assert home.stats()["early-acked-bytes"] > before
    home.guest.qmp.execute("migrate-set-parameters", max_bandwidth=1 << 30)
    home.migrate()
    move_on(home, jobs)
    finish(home, jobs, still)


def test_t9_u3_migration_of_several_queues(bed, seed):
    """A guest with two queues moves, and its connections with it."""
    home = bed(queues=2, vcpus=2)
    jobs, still = start(home, seed)
    assert home.stats()["active-queues"] == 2
    home.migrate()
    assert home.stats()["active-queues"] == 2
    move_on(home, jobs)
    finish(home, jobs, still)


@pytest.mark.xfail(reason="about one run in five stalls after loadvm, cause not found yet",
                   strict=False)
def test_t9_u3_snapshot_goes_on_in_another_process(bed, seed):
    """Stopped in mid-transfer, saved, and started from there by another QEMU."""
    home = bed()
    jobs, still = start(home, seed)
    home.save()
    assert home.stats()["undelivered"] > 0
    home.go_on_elsewhere(flow_buffer_size=128 * 1024)
    move_on(home, jobs)
    finish(home, jobs, still)


def test_t9_u3_snapshot_taken_while_it_goes_on(bed, seed):
    """savevm alone disturbs nothing; nor does loadvm what nobody has touched since."""
    home = bed()
    still = home.transfer("host-to-guest", seed, sndbuf=256 * 1024, rcvbuf=64 * 1024)
    still[home.guest.peer].pause()
    still[home.host].wait_stalled()
    before = home.stats()["undelivered"]
    assert before > 0
    home.save()
    home.guest.qmp.execute("human-monitor-command", command_line="loadvm here")
    home.guest.qmp.execute("cont")
    assert home.stats()["undelivered"] >= before
    still[home.guest.peer].resume()
    still[home.host].wait_moved("sent", ON_IT_GOES)
    still.finish()
    still.check()
    home.wait_drained()
