"""Names that move with health: as they are seen, what is wrong with them, and as text."""

from __future__ import annotations

import dataclasses
from ipaddress import ip_address
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.config.failover import CheckerSettings
from consulfwd.failover.book import Book
from consulfwd.failover.model import (
    Address,
    AddressState,
    Force,
    Given,
    Outcome,
    RecordState,
    Result,
)
from consulfwd.ops import failover, wrong
from consulfwd.ops.snapshot import RecordSeen
from consulfwd.ops.text.changed import changed_lines
from consulfwd.ops.text.failover import explained, record_lines
from tests.cli.admin import running

NOW = 1_700_000_000.0
FIRST = Address(ip_address("192.0.2.1"), 0)
OTHER = Address(ip_address("192.0.2.2"), 1, 3)
FINE = Outcome(Result.OK, "200 OK", 0.012)
GONE = Outcome(Result.FAIL, "connection refused", 0.001)


def address(
    which: Address, up: bool | None, outcome: Outcome = FINE, forced: str = ""
) -> AddressState:
    return AddressState(which, up, NOW - 300, outcome, NOW - 2, 0, 3, forced)


def record(
    given: Given | None = None,
    first: AddressState | None = None,
    other: AddressState | None = None,
) -> RecordState:
    return RecordState(
        "www.example.com", given, NOW - 300, ("primary", "secondary"),
        (first or address(FIRST, True), other or address(OTHER, True)), "because",
    )  # fmt: skip


WELL = record(Given((FIRST,), 30, 0, "well"))
DOWN = address(FIRST, False, GONE)
MOVED = record(Given((OTHER,), 30, 1, "moved"), DOWN)


def test_what_is_seen() -> None:
    seen = failover.record(MOVED)
    assert seen.known
    assert (seen.pool, seen.place, seen.answer) == ("secondary", 1, ("192.0.2.2",))
    down, up = seen.addresses
    assert (down.up, down.result, down.reason, down.given) == (
        False, "fail", "connection refused", False,
    )  # fmt: skip
    assert (up.address, up.pool, up.weight, up.given) == ("192.0.2.2", "secondary", 3, True)


@pytest.mark.parametrize(
    ("state", "faults"),
    [
        (WELL, []),
        (record(None), ["www.example.com is not answered yet: because"]),
        (
            MOVED,
            [
                "www.example.com is answered by secondary: because",
                "192.0.2.1 (primary of www.example.com) is down: connection refused",
            ],
        ),
        # Done on purpose.
        (record(MOVED.given, address(FIRST, False, GONE, "down")), []),
        (
            dataclasses.replace(record(MOVED.given), preferred=0),
            ["www.example.com is answered by secondary: primary is well and waits for an order"],
        ),
        (dataclasses.replace(record(MOVED.given), preferred=0, back_at=NOW + 60), []),
        (
            record(Given((), 30, None, "")),
            ["www.example.com has no pool that is well, and is answered with no address"],
        ),
    ],
)
def test_what_is_wrong(state: RecordState, faults: list[str]) -> None:
    assert wrong.with_records([failover.record(state)]) == faults


def test_that_states_are_held_is_said_once() -> None:
    held = [dataclasses.replace(WELL, name=f"{at}.example.com", held="cut off") for at in range(30)]
    assert wrong.with_records(map(failover.record, held)) == ["failover: states are held: cut off"]


def test_of_many_faults_some_are_told() -> None:
    many = [dataclasses.replace(MOVED, name=f"{at}.example.com") for at in range(30)]
    faults = wrong.with_records(map(failover.record, many))
    assert len(faults) == wrong.MOST_OF_RECORDS
    assert faults[-1] == "failover: 41 more things are wrong"


def test_of_hundreds_those_are_seen_that_are_not_well() -> None:
    check: Any = {"tcp": {"port": 80}}
    made: Any = {
        f"{name}.example.com": {"pools": [{"addresses": ["192.0.2.1"]}], "check": check}
        for name in (*(f"a{at}" for at in range(failover.MOST + 50)), "www")
    }
    records = Settings(failover=made).failover
    book = Book(records, CheckerSettings(), clock=lambda: 1.0, wall=lambda: NOW)
    for name, one in [*book.targets()]:
        book.noted(name, one, GONE if name.startswith("www") else FINE)
    seen = failover.see(book)
    assert len(seen) == failover.MOST
    assert [one.name for one in seen if not one.well] == ["www.example.com"]


def lines(seen: RecordSeen) -> list[str]:
    return [text for _, text in record_lines([seen], 1, NOW, whole=False)]


def test_as_text() -> None:
    forced = dataclasses.replace(
        MOVED, held="cut off", preferred=0, back_at=NOW + 60,
        forces=(Force("www.*", "down", None, "work", "anna", NOW),),
    )  # fmt: skip
    assert lines(failover.record(forced)) == [
        "  failover www.example.com: secondary, 192.0.2.2 (TTL 30) for 5 min",
        "    because",
        "    states are held: cut off",
        "    primary is well, and takes over in 1 min",
        "    www.* is down by order of anna: work",
        "    address      pool       state  for    checked    took     last check",
        "    192.0.2.1    primary    down   5 min  2.0 s ago  1.0 ms   fail: connection refused",
        "    192.0.2.2 *  secondary  up     5 min  2.0 s ago  12.0 ms  ok: 200 OK",
    ]
    told = [text for _, text in explained(failover.record(forced), NOW)]
    assert "      not in answers" in told
    nothing, *_ = lines(failover.record(record(None)))
    assert nothing.endswith("SERVFAIL, nothing is known yet for 5 min")


def test_of_many_that_are_well_it_is_said_how_many() -> None:
    many = [dataclasses.replace(WELL, name=f"a{at}.example.com") for at in range(20)]
    seen = [failover.record(one) for one in (*many, MOVED)]
    told = [text for _, text in record_lines(seen, 21, NOW, whole=False)]
    assert told[0].startswith("  failover www.example.com:")
    assert told[-1] == "  (and 20 failover records more)"
    whole = [text for _, text in record_lines(seen, 21, NOW, whole=True) if "failover" in text]
    assert len(whole) == 21


def test_what_changed_is_told_once_and_without_ttls() -> None:
    before, after = failover.record(WELL), failover.record(MOVED)
    told = dataclasses.replace(running(), failover=(before,))
    counted = dataclasses.replace(before, ttl=3)
    assert list(changed_lines(dataclasses.replace(told, failover=(counted,)), told)) == []
    moved = dataclasses.replace(told, failover=(after,))
    (line,) = changed_lines(moved, told)
    assert line == (
        "bad", "  failover www.example.com: secondary, 192.0.2.2 (TTL 30), because",
    )  # fmt: skip
    assert list(changed_lines(moved, moved)) == []
