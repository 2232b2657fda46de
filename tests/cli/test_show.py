"""What `--compare` says of agents that answer, differ, or do not answer."""

from __future__ import annotations

import click
import pytest

from consulfwd.api import Answer, Record
from consulfwd.cli.show import compare_text


def answer(rcode: str, *data: str) -> Answer:
    name = "web.service.consul."
    return Answer(
        name=name,
        type="A",
        rcode=rcode,
        records=tuple(Record(name, "A", 0, one) for one in data),
        authority=(),
        additional=(),
        ttl=0,
        source="",
        rule="",
        order=(),
        attempts=(),
        elapsed=0.001,
    )


BOTH = answer("NOERROR", "10.0.0.1", "10.0.0.2")
ONE = answer("NOERROR", "10.0.0.1")
NAME_ERROR = answer("NXDOMAIN")
SILENT = answer("SERVFAIL")


@pytest.mark.parametrize(
    ("answers", "cells", "verdict"),
    [
        ({"a": BOTH, "b": BOTH}, ["yes yes", "yes yes"], "They agree."),
        ({"a": BOTH, "b": ONE}, ["yes yes", "yes NO"], "They differ."),
        ({"a": ONE, "b": NAME_ERROR}, ["yes NO"], "They differ."),
        ({"a": ONE, "b": SILENT, "c": ONE}, ["yes - yes"], "Not to be had from b."),
        ({"a": BOTH, "b": SILENT, "c": ONE}, ["yes - yes", "yes - NO"], "They differ."),
        ({"a": SILENT, "b": SILENT}, [], "None of them answers."),
        ({"a": ONE}, ["yes"], "There is no other agent to compare with."),
    ],
)
def test_compare(answers: dict[str, Answer], cells: list[str], verdict: str) -> None:
    head, _, _, _, *rows = click.unstyle(compare_text(answers)).splitlines()
    assert head == f"web.service.consul. A at {len(answers)} agent{'s' * (len(answers) > 1)}"
    silent = [f"{name}: SERVFAIL" for name, one in answers.items() if one is SILENT]
    end = ["", *silent, verdict]
    assert [" ".join(row.split()[1:]) for row in rows[: -len(end)]] == cells
    assert rows[-len(end) :] == end
