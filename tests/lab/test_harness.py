# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's instruments, where a fault would make other tests pass or fail wrongly."""

import hashlib
import socket

import pytest
from lablib.net import Namespace
from lablib.peer import HostPeer, mismatches
from topology import Relay, transfer


@pytest.fixture
def peer():
    one = HostPeer("host")
    yield one
    one.close()


@pytest.mark.parametrize("size", [1, 55, 56, 63, 64, 65, 1000003])
def test_sent_hash_is_sha256_of_what_arrives(peer, seed, size):
    job = peer.start(role="listen", addr="127.0.0.1", flow="send", bytes=size, seed=seed,
                     block=1000)
    got = b""
    with socket.create_connection(("127.0.0.1", job.port)) as connection:
        while data := connection.recv(65536):
            got += data
    (result,) = job.wait_ended()
    assert len(got) == size
    assert result["sent-sha256"] == hashlib.sha256(got).hexdigest()


def test_received_hash_is_sha256_of_what_was_sent(peer, seed):
    data = seed.to_bytes(8, "big") * 12345 + b"odd"
    job = peer.start(role="listen", addr="127.0.0.1", flow="recv", block=999)
    with socket.create_connection(("127.0.0.1", job.port)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    (result,) = job.wait_ended()
    assert result["received"] == len(data)
    assert result["received-sha256"] == hashlib.sha256(data).hexdigest()


def test_guest_hashes_like_the_host(bed):
    bed.guest.peer.shell("dd if=/dev/urandom of=/tmp/random bs=1000 count=50 2>/dev/null")
    expected = bed.guest.peer.shell("sha256sum < /tmp/random").split()[0]
    job = bed.guest.peer.start(role="listen", addr="127.0.0.1", flow="recv")
    bed.guest.peer.shell(f"nc 127.0.0.1 {job.port} < /tmp/random")
    (result,) = job.wait_ended()
    assert result["received-sha256"] == expected


def result_of(**changes):
    """Results of one end of one connection; the other end mirrors it."""
    return {"local": 1, "peer": 2, "sent": 3, "received": 4, "sent-sha256": "aa",
            "received-sha256": "bb", **changes}


def test_mismatches_notices_every_difference():
    one = result_of()
    other = result_of(local=2, peer=1, sent=4, received=3, **{
        "sent-sha256": "bb", "received-sha256": "aa"})
    assert mismatches([one], [other]) == []
    for key, value in [("sent", 5), ("received", 2), ("sent-sha256", "cc"),
                       ("received-sha256", "")]:
        assert mismatches([one], [{**other, key: value}]), key
    second, its_other = result_of(local=7), {**other, "peer": 7}
    assert mismatches([one, second], [its_other, other]) == []
    assert mismatches([one, second], [{**its_other, "peer": 9}, other])
    assert mismatches([one], [])
    assert mismatches([], [other])


def test_streams_differ(peer, seed):
    """Bytes of one connection or direction cannot pass for those of another."""
    both = transfer(peer, peer, "127.0.0.1", None, seed, size=5000, count=4)
    hashes = set()
    for job in both.jobs:
        hashes |= {result["sent-sha256"] for result in job.wait_ended()}
    assert len(hashes) == 8


def test_relay_loses_doubles_and_delays(seed):
    """Two stacks talk through a bad relay; it says what it did, TCP copes."""
    near, far = Namespace("near"), Namespace("far")
    peers = []
    try:
        relay = Relay(near, "tap-near", "tap-far", seed=seed, loss=20, dup=20, reorder=20,
                      delay=500, jitter=500)
        near.ip("link", "set", "tap-far", "netns", far.name)
        near.up("tap-near", "10.97.0.1/24")
        far.up("tap-far", "10.97.0.2/24")
        peers = [HostPeer("near", near.name), HostPeer("far", far.name)]
        moved = transfer(peers[1], peers[0], "10.97.0.2", peers[0], seed, size=2 << 20)
        moved.check()
        lines = relay.close().splitlines()
    finally:
        for one in [*peers, near, far]:
            one.close()
    for line in lines:
        counters = dict(word.split("=") for word in line.split()[1:])
        for what in ("carried", "lost", "duplicated", "reordered"):
            assert int(counters[what]) > 0, line
