"""What a publisher writes down for people and machines: status, audit log, text."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones.model import Key
from consulfwd.zones.publish import audit, showing, status
from consulfwd.zones.target import Base
from consulfwd.zones.zone import Zone
from tests.zones.made import catalog, records, service, settings


def made(doubt: str = "") -> Zone:
    zone = Zone(settings(ns=["ns.example.com"]), 0.0)
    zone.see(catalog(service("web", "n1 10.0.0.1", "n2 10.0.0.2"), doubt=doubt), 0.0)
    return zone


BEFORE = records({"web A": "10.0.0.1 10.0.0.3", "old A": "10.0.0.9"})


def test_a_status_is_read_back_as_it_was() -> None:
    plan = made("no leader").plan(Base("7", BEFORE, serial=7), 0.0, "there")
    seen = status.Status(
        zone="svc.example.com",
        view="",
        state="active",
        holder="consulfwd at here",
        number=4,
        since=1_900_000_000.0,
        faults=("there: away",),
        targets=(status.of_plan("there", plan, 7, what="1 name changed", pushed=1.9e9),),
        objections=("web: two of them",),
        objections_in_all=1,
    )
    back = status.load(status.write(status.at(seen, 1.0)), "status.json")
    assert back == seen
    assert back.written == 1.0
    assert back.targets[0].withheld == ("old.svc.example.com. A: no leader",)


def test_a_status_as_people_see_it() -> None:
    def lines(state: str, *targets: status.OfTarget) -> list[str]:
        seen = status.Status("svc.example.com", "", state, "", targets=targets)
        return [text for _, text in showing.status_lines(seen)]

    held = status.OfTarget("there", serial=7, mark="7", names=2, addresses=3)
    assert lines("backup", held) == [
        "  this host: backup", "  there: 2 names, 3 addresses, serial 7",
    ]  # fmt: skip
    # One that could not be read is not empty.
    away = status.OfTarget("there", fault="there: away")
    assert lines("active", away)[1] == "  there: it is not known here what it holds"
    assert lines("backup", status.OfTarget("there"))[1] == lines("active", away)[1]
    assert lines("active", status.OfTarget("there"))[1] == "  there: 0 names, 0 addresses"
    stopped = lines("stopped", held)[0]
    assert stopped.startswith("  this host: no publisher runs (it stopped); this is of ")


def test_a_status_that_somebody_wrote_is_refused_with_its_name() -> None:
    for text in (b"", b"[]", b"{}", b'{"format": 9}', b"\xff", b'{"format": 1, "zone": 3}'):
        with pytest.raises(ApplyError, match=r"^status\.json"):
            status.load(text, "status.json")


def test_a_line_of_the_audit_log_has_it_all() -> None:
    plan = made().plan(Base("7", BEFORE, serial=7), 0.0, "there")
    text = audit.line(
        plan,
        audit.Who("consulfwd at here", 4),
        frozenset({"Consul: web", "an order"}),
        1_900_000_000.0625,
        serial=8,
        mark="8",
        seconds=0.25,
    )
    said = json.loads(text)
    assert "\n" not in text
    assert said["time"] == "2030-03-17T17:46:40.062Z"
    assert said["why"] == ["Consul: web", "an order"]
    assert said["acts"] == [
        {
            "name": "old.svc.example.com.",
            "type": "A",
            "before": {"ttl": 30, "data": ["10.0.0.9"]},
            "after": None,
        },
        {
            "name": "web.svc.example.com.",
            "type": "A",
            "before": {"ttl": 30, "data": ["10.0.0.1", "10.0.0.3"]},
            "after": {"ttl": 30, "data": ["10.0.0.1", "10.0.0.2"]},
        },
    ]
    assert (said["before"], said["after"], said["serial"]) == ("7", "8", 8)
    assert "error" not in said


def test_lines_are_added_and_a_full_file_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = audit.Audit(tmp_path / "audit.jsonl")
    log.write("one")
    log.write("two")
    assert log.path.read_text() == "one\ntwo\n"
    assert log.path.stat().st_mode & 0o777 == 0o640 & ~_umask()
    monkeypatch.setattr(audit, "LARGEST", 10)
    log.write("three")
    assert (tmp_path / "audit.jsonl.1").read_text() == "one\ntwo\nthree\n"
    log.write("four")
    assert log.path.read_text() == "four\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ApplyError, match="cannot be written"):
        audit.Audit(tmp_path / "none" / "audit.jsonl").write("x")
    # Nobody's link leads elsewhere.
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(ApplyError, match="cannot be written"):
        audit.Audit(tmp_path / "audit.jsonl").write("x")


def test_a_plan_as_people_see_it() -> None:
    plan = made("no leader").plan(Base("7", BEFORE, serial=7), 0.0, "there")
    assert [text for _, text in showing.plan_lines(plan)] == [
        "there: 1 name changed, 1 name withheld",
        "  ~ web.svc.example.com. A",
        "      - 10.0.0.3",
        "      + 10.0.0.2",
        "  withheld: no leader",
        "    ! old.svc.example.com. A",
    ]


def test_a_zone_as_a_file() -> None:
    zone = made()
    assert list(showing.zone_file(zone.settings, 5, zone.wanted)) == [
        "svc.example.com. 30 IN SOA ns.example.com. hostmaster.svc.example.com. 5 300 60 604800 30",
        "svc.example.com. 30 IN NS ns.example.com.",
        "web.svc.example.com. 30 IN A 10.0.0.1",
        "web.svc.example.com. 30 IN A 10.0.0.2",
    ]
    assert showing.as_json(zone.wanted) == [
        {"name": "web.svc.example.com.", "type": "A", "ttl": 30, "data": ["10.0.0.1", "10.0.0.2"]}
    ]
    assert sorted(zone.wanted, key=Key.order)
