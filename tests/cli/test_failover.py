"""A failover in one line, for every way a lookup can need more than one upstream."""

from __future__ import annotations

import json

import pytest

from consulfwd.api import Answer, AttemptReport
from consulfwd.cli.failover import failover
from consulfwd.cli.show import to_json, trace_text
from tests.cli.test_show import answer

# upstream, sent at ms, took ms (None: no result), result, what was decided
Row = tuple[str, float, float | None, str, str]
NEXT = "failed: the next one is asked"
SLOW = "slower than its usual: the next one is asked too"
DENIES = "denies what was answered moments ago: a second agent is asked"


def attempt(row: Row, why: str) -> AttemptReport:
    upstream, at, took, result, decided = row
    replied = result not in ("no reply", "connection refused")
    return AttemptReport(
        upstream=upstream,
        transport="udp",
        why=why,
        at=at / 1000,
        took=None if took is None else took / 1000,
        result=result,
        size=79 if replied else 0,
        decided=decided,
    )


def traced(*rows: Row, source: str = "", elapsed: float = 2.0) -> Answer:
    """An answer with these attempts; a row for A begins a new question."""
    reports = [
        attempt(row, "first in order" if row[0] == "A" and not row[1] else "the next")
        for row in rows
    ]
    plain = answer("NOERROR" if source else "SERVFAIL", "10.0.0.1")
    return Answer(
        **{**vars(plain), "attempts": tuple(reports), "source": source, "elapsed": elapsed}
    )


LINES: dict[str, tuple[list[Row], str]] = {
    "silence": (
        [("A", 0, None, "no reply", SLOW), ("B", 20.1, 1.3, "NOERROR", "taken")],
        "A did not answer in 20.1 ms, B answered 1.3 ms later (21.4 ms in all)",
    ),
    "silence of two": (
        [
            ("A", 0, None, "no reply", SLOW),
            ("B", 20, None, "no reply", SLOW),
            ("C", 41, 1, "NOERROR", "taken"),
        ],
        "A did not answer in 20.0 ms, B did not answer in 21.0 ms, "
        "C answered 1.0 ms later (42.0 ms in all)",
    ),
    "an error": (
        [("A", 0, 0.6, "SERVFAIL", NEXT), ("B", 0.6, 0.7, "NOERROR", "taken")],
        "A said SERVFAIL after 0.6 ms, B answered 0.7 ms later (1.3 ms in all)",
    ),
    "nothing listens": (
        [("A", 0, 0.3, "connection refused", NEXT), ("B", 0.3, 0.7, "NXDOMAIN", "taken")],
        "A failed after 0.3 ms (connection refused), B said NXDOMAIN 0.7 ms later (1.0 ms in all)",
    ),
    "late": (
        [("A", 0, 25, "NOERROR", f"{SLOW}; taken after all"), ("B", 20, None, "no reply", "")],
        "A answered after 25.0 ms, before B did",
    ),
    "an error, late": (
        [("A", 0, 20.5, "SERVFAIL", NEXT), ("B", 20, 1, "NOERROR", "taken")],
        "A did not answer in 20.0 ms, B answered 1.0 ms later (21.0 ms in all)",
    ),
    "a second opinion that differs": (
        [
            ("A", 0, 1, "NXDOMAIN", DENIES),
            ("B", 1, 1.5, "NOERROR", "taken: A was wrong to deny the name"),
        ],
        "A denied it after 1.0 ms, B answered 1.5 ms later (2.5 ms in all)",
    ),
    "a second opinion that agrees": (
        [
            ("A", 0, 1, "NXDOMAIN", DENIES),
            ("B", 1, 1.5, "NXDOMAIN", "the second opinion agrees: taken"),
        ],
        "A denied it after 1.0 ms, B agreed 1.5 ms later (2.5 ms in all)",
    ),
    "a list that lost most": (
        [
            ("A", 0, 1, "NOERROR", "has 1 of 5 records what was answered moments ago: a second"),
            ("B", 1, 1, "NOERROR", "taken: A was wrong to leave out most of it"),
        ],
        "A had 1 of 5 records after 1.0 ms, B answered 1.0 ms later (2.0 ms in all)",
    ),
    "no second opinion": (
        [
            ("A", 0, 1, "NXDOMAIN", "taken: no other agent gave an opinion in time"),
            ("B", 1, None, "no reply", ""),
        ],
        "A said NXDOMAIN after 1.0 ms; B gave no opinion",
    ),
    "a second opinion that has less": (
        [
            ("A", 0, 1, "NOERROR", "taken: the second opinion has even less"),
            ("B", 1, 1, "NXDOMAIN", ""),
        ],
        "A answered after 1.0 ms; B had no more",
    ),
    "a part, and more of another": (
        [
            ("A", 0, 1, "NOERROR", "cut by the sender, or may be: asked again over TCP"),
            ("A", 1, 0.2, "connection refused", NEXT),
            ("B", 1.2, 1, "NOERROR", "taken"),
        ],
        "A failed after 0.2 ms (connection refused), B answered 1.0 ms later (2.2 ms in all)",
    ),
    "nobody": (
        [
            ("A", 0, 0.3, "connection refused", NEXT),
            ("B", 0.3, None, "no reply", ""),
            ("A", 50, 0.1, "connection refused", NEXT),
        ],
        "nobody answered in 2000.0 ms: A connection refused, B no reply",
    ),
}


@pytest.mark.parametrize("what", LINES)
def test_one_line(what: str) -> None:
    rows, line = LINES[what]
    told = traced(*rows, source="" if what == "nobody" else rows[-1][0])
    assert failover(told) == line
    assert trace_text(told).splitlines()[-1] == f"  failover: {line}"
    assert json.loads(to_json(told))["failover"] == line


ONE_EACH: dict[str, list[Row]] = {
    "nobody was asked": [],
    "the first answered": [("A", 0, 1, "NOERROR", "taken")],
    "the same one over TCP": [
        ("A", 0, 1, "NOERROR", "cut by the sender, or may be: asked again over TCP"),
        ("A", 1, 1, "NOERROR", "taken"),
    ],
}


@pytest.mark.parametrize("what", ONE_EACH)
def test_no_line_where_nobody_took_over(what: str) -> None:
    told = traced(*ONE_EACH[what], source="A")
    assert failover(told) is None
    assert "failover" not in trace_text(told)
    assert json.loads(to_json(told))["failover"] is None


def test_a_reverse_lookup_that_goes_on_to_the_recursors_is_no_failover() -> None:
    first = attempt(("A", 0, 1, "NXDOMAIN", "taken"), "first in order")
    then = attempt(("R", 1, 1, "NOERROR", "taken"), "first in order")
    plain = traced(source="R")
    assert failover(Answer(**{**vars(plain), "attempts": (first, then)})) is None


def test_what_was_cut_and_could_not_be_had_whole() -> None:
    cut = ("A", 0.0, 1.0, "NOERROR", "cut by the sender, or may be: asked again over TCP")
    refused = ("B", 1.0, 0.2, "connection refused", "failed: nobody is left to be asked")
    assert failover(traced(cut, refused, source="A")) == "A answered after 1.0 ms; B had no more"
