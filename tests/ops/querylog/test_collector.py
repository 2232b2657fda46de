"""The way to a collector: what is said on it, and what happens where the other side does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from consulfwd.ops.querylog import collector as collectors
from consulfwd.ops.querylog import dnstap, frames
from consulfwd.ops.querylog.collector import FIRST, LONGEST, Collector
from tests.ops.querylog.collectors import Collecting
from tests.ops.querylog.notes import noted

ENCODER = dnstap.Encoder(dnstap.form(), "ns1", "consulfwd 1")
STOPS = (frames.READY, frames.START, frames.STOP)


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dnstap.sock"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def collector(path: Path, clock: Clock) -> Iterator[Collector]:
    made = Collector(path, ENCODER, clock)
    yield made
    made.close()


def test_all_that_is_noted_comes_and_the_end_is_said(path: Path, collector: Collector) -> None:
    notes = [noted(f"{number}.consul") for number in range(3)]
    with Collecting(path) as there:
        assert collector.ready()
        assert collector.write(notes[:1]) == 0
        assert collector.ready()
        assert collector.write(notes[1:]) == 0
        collector.close()
    assert tuple(there.kinds) == STOPS
    assert there.frames == [octets for one in notes for octets in ENCODER.messages(one)]
    assert not collector.connected


def test_one_that_comes_later_is_found(
    path: Path, collector: Collector, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert not collector.ready()
    assert collector.fault == f"dnstap: the collector at {path}: No such file or directory"
    with Collecting(path) as there:
        clock.now = FIRST - 0.01
        assert not collector.ready()  # not all the time
        clock.now = FIRST
        assert collector.ready()
        assert collector.fault == ""
        collector.close()
    assert tuple(there.kinds) == STOPS
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_pauses_grow_and_it_is_told_once(
    collector: Collector, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    tries = []
    for tenth in range(0, 1200):
        clock.now = tenth / 10
        before = collector._again_at
        assert not collector.ready()
        if collector._again_at != before:
            tries.append(clock.now)
    assert tries[:5] == [0.0, 0.5, 1.5, 3.5, 7.5]
    assert max(b - a for a, b in pairwise(tries)) == LONGEST
    assert len(caplog.records) == 2  # at once, and a minute later


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no control frame"),
        (frames.control(frames.ACCEPT, b"protobuf:other"), "it does not accept dnstap"),
        (frames.control(frames.FINISH), "it does not accept dnstap"),
        (b"", "it closed the connection"),
        (frames.control(frames.ACCEPT)[:5], "it closed the connection"),
    ],
)
def test_one_that_speaks_nonsense_is_left(
    said: bytes, why: str, path: Path, collector: Collector
) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(said)

    with Collecting(path, serve):
        assert not collector.ready()
    assert collector.fault.endswith(f": {why}")


def test_one_that_never_greets_is_left(
    path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "GREETING", 0.05)
    done = threading.Event()
    with Collecting(path, lambda sock: void(done.wait(5))):
        assert not collector.ready()
        done.set()
    assert collector.fault.endswith(": it does not answer")


def void(what: object) -> None:
    """Nothing comes of it."""


def test_one_that_reads_no_more_is_left_and_what_it_had_is_lost(
    path: Path, collector: Collector, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "READING", 0.05)
    done = threading.Event()

    def serve(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(frames.control(frames.ACCEPT))
        done.wait(5)

    many = [noted(reply=bytes(30_000))] * 200
    with Collecting(path, serve):
        assert collector.ready()
        assert collector.write(many) == 200
        assert not collector.connected
        done.set()
    assert collector.fault.endswith(": it does not read what it is sent")
    path.unlink()
    with Collecting(path) as there:
        clock.now = FIRST
        assert collector.ready()
        assert collector.write([noted()]) == 0
        collector.close()
    assert tuple(there.kinds) == STOPS
    assert len(there.frames) == 2


def test_one_that_dies_is_noticed_and_another_is_found(
    path: Path, collector: Collector, clock: Clock
) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(frames.control(frames.ACCEPT))
        sock.recv(100)

    with Collecting(path, serve):
        assert collector.ready()
    assert not collector.ready()  # nothing was sent, and nothing is lost
    assert collector.fault.endswith(": it closed the connection")
    path.unlink()
    with Collecting(path) as there:
        clock.now = FIRST
        assert collector.ready()
        collector.close()
    assert tuple(there.kinds) == STOPS


def test_one_that_greets_and_dies_again_and_again_is_tried_rarely(
    path: Path, collector: Collector, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(frames.control(frames.ACCEPT))
        sock.recv(100)

    tries = []
    with Collecting(path, serve), caplog.at_level("INFO"):
        for half in range(240):
            clock.now = half / 2
            if collector.ready():
                tries.append(clock.now)
                # It closes at once.
                assert collector._sock is not None
                assert not collector._sock.recv(1)
    assert len(tries) < 12
    assert len(caplog.records) < 8


def test_the_end_waits_for_nobody(
    path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collectors, "PARTING", 0.05)
    done = threading.Event()

    def serve(sock: socket.socket) -> None:
        sock.recv(100)
        sock.sendall(frames.control(frames.ACCEPT))
        done.wait(5)

    with Collecting(path, serve):
        assert collector.ready()
        collector.close()
        done.set()
    assert not collector.connected
