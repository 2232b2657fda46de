"""Log lines for people and for machines, and where they go."""

from __future__ import annotations

import json
import logging
import re

import pytest

from consulfwd.cli import logs


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
