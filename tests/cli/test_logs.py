"""Log lines for people and for machines, and where they go."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator

import pytest

from consulfwd.cli import logs
from consulfwd.cli.streams import is_journal


def test_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", "text")
    logging.getLogger("consulfwd.x").info("%s happened", "it")
    logging.getLogger("consulfwd.x").debug("not this")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} INFO it happened\n", err)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("debug", "json")
    log = logging.getLogger("consulfwd.x")
    log.debug('it\'s "%s"\nin two lines', "bücher")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line.pop("time"))
    assert "ValueError: why" in lines[1].pop("exception")
    assert lines == [
        {"level": "debug", "logger": "consulfwd.x", "message": 'it\'s "bücher"\nin two lines'},
        {"level": "error", "logger": "consulfwd.x", "message": "failed"},
    ]


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_would_not_show_is_escaped(capsys: pytest.CaptureFixture[str], form: str) -> None:
    logs.set_up("debug", form)
    # As strangers may call what they register.
    log = logging.getLogger("consulfwd.x")
    log.warning("service %s", "b\u00fccher\u202e\u2028\x1b[2J\x85\r.")
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["message"] == "service b\u00fccher\u202e\u2028\x1b[2J\x85\r."
    else:
        assert line.endswith(r"service bücher\u202e\u2028\x1b[2J\x85\r.")


@pytest.mark.parametrize(
    ("level", "shown"),
    [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)],
)
def test_levels(capsys: pytest.CaptureFixture[str], level: str, shown: int) -> None:
    for _ in range(2):  # a second time, as after a reload: no line comes twice
        logs.set_up(level, "text")
    for call in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("consulfwd"), call)(call)
    assert len(capsys.readouterr().err.splitlines()) == shown


def test_asyncio_does_not_repeat_what_is_told_already(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("debug", "text")
    logging.getLogger("asyncio").info("Using selector")
    logging.getLogger("asyncio").error("a task failed")
    assert capsys.readouterr().err.endswith("ERROR a task failed\n")


@contextlib.contextmanager
def journal(form: str) -> Iterator[Callable[[], str]]:
    """Logs to a stderr that is the journal's stream; what was written there."""
    with tempfile.TemporaryFile("w+") as stream, pytest.MonkeyPatch.context() as patched:
        status = os.fstat(stream.fileno())
        patched.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        patched.setattr(sys, "stderr", stream)
        logs.set_up("debug", form)

        def written() -> str:
            stream.seek(0)
            return stream.read()

        yield written


def test_the_journal_is_told_priorities_and_no_times() -> None:
    with journal("text") as written:
        log = logging.getLogger("consulfwd.x")
        for level in ("debug", "info", "warning", "error", "critical"):
            getattr(log, level)("%s", level)
        log.error("not reloaded:\none\n\ntwo")
        lines = written().splitlines()
    assert lines == [
        "<7>DEBUG debug", "<6>INFO info", "<4>WARNING warning", "<3>ERROR error",
        "<2>CRITICAL critical", "<3>ERROR not reloaded:", "<3>one", "<3>", "<3>two",
    ]  # fmt: skip


def test_each_line_of_a_traceback_has_its_priority() -> None:
    with journal("text") as written:
        try:
            raise ValueError("why")
        except ValueError:
            logging.getLogger("consulfwd").exception("failed")
        lines = written().splitlines()
    assert (lines[0], lines[-1]) == ("<3>ERROR failed", "<3>ValueError: why")
    assert all(line.startswith("<3>") for line in lines)


def test_json_has_priorities_too() -> None:
    with journal("json") as written:
        logging.getLogger("consulfwd").warning("one\ntwo\u2028")
        (line,) = written().removesuffix("\n").split("\n")
    assert line[:3] == "<4>"
    entry = json.loads(line[3:])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["time"])
    assert entry["message"] == "one\ntwo\u2028"


def test_only_the_very_stream_is_the_journal() -> None:
    with tempfile.TemporaryFile("w+") as one, tempfile.TemporaryFile("w+") as other:
        status = os.fstat(one.fileno())
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert is_journal(one, named)
        # As under a shell that sends it elsewhere: the variable is inherited.
        for stream in (other, sys.__stderr__, None):
            assert not is_journal(stream, named)
        for useless in ("", ":", "1", f"{status.st_dev}:", f"{status.st_dev}:x"):
            assert not is_journal(one, {"JOURNAL_STREAM": useless})
        assert not is_journal(one, {})
    assert not is_journal(io.StringIO(), named)


def test_a_socket_is_the_journal_as_under_systemd() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w") as stream:
        status = os.fstat(ours.fileno())
        assert is_journal(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
