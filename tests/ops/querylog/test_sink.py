"""Queues and threads: bounded, counted, and nobody is kept waiting."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from pathlib import Path

import pytest

from consulfwd.cli.logs import JsonFormatter
from consulfwd.net.noting import Noted
from consulfwd.ops.querylog import sink as sinks
from consulfwd.ops.querylog.intake import EACH, Intake
from consulfwd.ops.querylog.sink import AT_ONCE, Sink
from consulfwd.ops.querylog.tail import Tail
from consulfwd.ops.querylog.to_log import ToLog, _Room
from tests.ops.querylog.notes import noted


class Kept:
    """Keeps what it is told, while `open` is set; `wrong` is raised once."""

    def __init__(self) -> None:
        self.fault = ""
        self.notes: list[Noted] = []
        self.closed = False
        self.open = True
        self.wrong: Exception | None = None
        self.hangs: threading.Event | None = None

    def ready(self) -> bool:
        return self.open

    def write(self, notes: list[Noted]) -> int:
        if self.hangs is not None:
            self.hangs.wait()
        if self.wrong is not None:
            raise self.wrong
        self.notes += notes
        return 0

    def close(self) -> None:
        self.closed = True


def test_an_intake_holds_so_many_and_no_more() -> None:
    intake, one = Intake(most=3), noted()
    for _ in range(5):
        intake.put(one)
    assert (len(intake), intake.dropped) == (3, 2)
    assert intake.give(2) == [one, one]
    intake.put(one)
    assert (len(intake.give(9)), intake.dropped) == (2, 2)


def test_an_intake_holds_so_many_octets() -> None:
    large = noted(reply=bytes(60_000))
    intake = Intake(octets=2 * (EACH + len(large.data) + 60_000))
    for _ in range(3):
        intake.put(large)
    assert (len(intake), intake.dropped) == (2, 1)
    intake.give(1)
    intake.put(large)
    assert (len(intake), intake.dropped) == (2, 1)


def test_an_intake_says_whether_it_is_full() -> None:
    intake = Intake(most=4)
    seen = []
    for _ in range(4):
        seen.append((intake.full, intake.filling))
        intake.put(noted())
    assert seen == [(False, False), (False, False), (False, False), (False, True)]
    assert intake.full
    intake.give(1)
    assert not intake.full


def test_what_waits_is_written_before_the_end() -> None:
    work = Kept()
    sink = Sink("test", 1.0, work)
    for _ in range(AT_ONCE + 1):
        sink.intake.put(noted())
    sink.start()
    sink.end()
    sink.wait()
    assert not sink.alive
    assert (len(work.notes), sink.given, sink.dropped) == (AT_ONCE + 1, AT_ONCE + 1, 0)
    assert work.closed


def test_notes_wait_while_they_cannot_be_dealt_with() -> None:
    work = Kept()
    sink = Sink("test", 1.0, work)
    sink.intake.put(noted())
    work.open = False
    assert sink.turn() is False
    assert len(sink.intake) == 1
    work.open = True
    sink.turn()
    assert len(work.notes) == 1


def test_one_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "PARTING", 0.01)
    work = Kept()
    work.hangs = threading.Event()
    sink = Sink("test", 1.0, work)
    sink.start()
    for _ in range(20_000):
        sink.intake.put(noted())
    assert sink.dropped >= 20_000 - 10_000 - AT_ONCE
    sink.end()
    sink.wait()
    assert sink.alive
    work.hangs.set()
    monkeypatch.setattr(sinks, "PARTING", 5)
    sink.wait()
    assert not sink.alive


def test_an_error_of_ours_costs_the_notes_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work = Kept()
    work.wrong = RuntimeError("ours")
    sink = Sink("test", 1.0, work)
    for _ in range(3):
        sink.intake.put(noted())
        sink.turn()
    assert len(caplog.records) == 1
    assert (sink.given, sink.dropped) == (0, 3)


def test_one_who_looks_on_is_told_what_there_was_no_room_for() -> None:
    lines: list[bytes] = []
    dropped = 0
    tail = Tail(lines.append, lambda: dropped)
    tail.write([noted("one.consul")])
    dropped = 7
    tail.write([])
    tail.write([noted("two.consul")])
    read = [json.loads(line) for line in lines]
    told = [one.get("name", one.get("dropped")) for one in read]
    assert told == ["one.consul.", 7, "two.consul."]


def test_a_line_in_the_log_as_json_has_its_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="consulfwd.query")
    ToLog().write([noted("one.consul")])
    (record,) = caplog.records
    made = json.loads(JsonFormatter().format(record))
    assert made["message"].startswith("one.consul. A from 10.0.0.7 over udp: ")
    assert (made["logger"], made["name"], made["rcode"], made["server"]) == (
        "consulfwd.query", "one.consul.", "REFUSED", "dc1-a",
    )  # fmt: skip


def test_nothing_is_made_of_notes_that_the_log_does_not_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("consulfwd.query"), "level", logging.ERROR)
    monkeypatch.setattr("consulfwd.ops.querylog.to_log.fields", lambda one: 1 / 0)
    assert ToLog().write([noted()]) == 0


def test_half_of_a_pipe_is_for_other_lines() -> None:
    read, write = os.pipe()
    try:
        size = fcntl.fcntl(write, 1032)
        os.write(write, bytes(size // 2 - 1))
        assert _Room(write).some()
        os.write(write, b"x")
        assert not _Room(write).some()
        os.read(read, 1)
        assert _Room(write).some()
    finally:
        os.close(read)
        os.close(write)


def test_there_is_always_room_in_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as opened:
        assert _Room(opened.fileno()).some()
