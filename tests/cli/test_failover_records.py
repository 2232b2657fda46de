"""`consulfwd failover`: what is asked of the running resolver, and how it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consulfwd.ops.snapshot import AddressSeen, RecordSeen
from tests.cli.admin import NOW, Admin, reply, running
from tests.cli.conftest import Run

FIRST = AddressSeen(
    "192.0.2.1", "primary", 1, True, NOW - 60, NOW - 2, "ok", "200 OK", 0.01, 0, 3, given=True
)
WELL = RecordSeen(
    "www.example.com", True, "primary", 0, ("192.0.2.1",), 30, NOW - 60, "primary is well",
    addresses=(FIRST,),
)  # fmt: skip
ILL = replace(WELL, name="b.example.com", known=False, well=False, answer=(), pool="", place=-1)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Admin]:
    seen = replace(running(), failover=(ILL, WELL), failover_in_all=2)
    with Admin(tmp_path / "serve.sock", seen) as found:
        yield found


@pytest.fixture
def at(run: Run, process: Admin) -> Run:
    """Run a command that asks the process."""

    def consulfwd(*words: str) -> Any:
        return run("failover", *words, "--socket", str(process.path))

    return consulfwd


def orders(process: Admin) -> list[tuple[str, Any]]:
    return [(what[13:], body) for what, body in process.asked if what.startswith("POST")]


def test_show(at: Run) -> None:
    ended = at("show")
    assert ended.code == 1
    assert "failover b.example.com: SERVFAIL, nothing is known yet" in ended.out
    assert "failover www.example.com: primary, 192.0.2.1 (TTL 30) for 1 min" in ended.out
    ended = at("show", "WWW.*")
    assert ended.code == 0
    assert "b.example.com" not in ended.out
    assert at("show", "nobody").code == 1
    (told,) = json.loads(at("show", "www*", "--json").out)
    assert told["addresses"][0]["reason"] == "200 OK"


def test_explain(at: Run) -> None:
    ended = at("explain", "www.example.com.")
    assert (ended.code, ended.err) == (0, "")
    assert "200 OK" in ended.out
    assert "in answers" in ended.out
    assert at("explain", "b.example.com").code == 1
    assert "there are b.example.com, www.example.com" in at("explain", "nobody").out


def test_force(at: Run, process: Admin) -> None:
    process.says["POST /orders/force"] = reply({"records": ["www.example.com"], "until": None})
    ended = at("force", "WWW.example.com./Site-B", "down", "--for", "2h", "--reason", "work")
    assert (ended.code, ended.err) == (0, "")
    assert "which is of www.example.com" in ended.out
    ((name, values),) = orders(process)
    by = values.pop("by")
    assert "@" in by
    assert (name, values) == (
        "force",
        {"glob": "www.example.com/Site-B", "to": "down", "reason": "work", "seconds": 7200},
    )


@pytest.mark.parametrize("time", ["0", "", "1w", "-5", "1.5h", "soon"])
def test_times_that_are_none(at: Run, process: Admin, time: str) -> None:
    ended = at("force", "www.example.com", "down", "--for", time)
    assert ended.code == 2
    assert "is no time" in ended.err
    assert orders(process) == []


def test_unforce_and_back(at: Run, process: Admin) -> None:
    process.says["POST /orders/unforce"] = reply({"forces": [{"glob": "www*", "to": "down"}]})
    ended = at("unforce", "*")
    assert (ended.code, ended.out) == (0, "www* is no longer down by order\n")
    process.says["POST /orders/failback"] = reply({"records": []})
    ended = at("back")
    assert (ended.code, ended.out) == (1, "*: no better pool is well and waits\n")
    process.says["POST /orders/failback"] = reply({"records": ["www.example.com"]})
    assert at("back", "www*").out == "moved back: www.example.com\n"
    assert [name for name, _ in orders(process)] == ["unforce", "failback", "failback"]


def test_what_is_refused_is_said(at: Run, process: Admin) -> None:
    process.says["POST /orders/unforce"] = reply({"error": "nothing is forced by '*'"}, 409)
    ended = at("unforce", "*")
    assert ended.code == 1
    assert "nothing is forced" in ended.err


def test_a_resolver_without_such_names(run: Run, tmp_path: Path) -> None:
    with Admin(tmp_path / "serve.sock", running()) as process:
        ended = run("failover", "show", "--socket", str(process.path))
    assert ended.code == 1
    assert "no names that move" in ended.out
