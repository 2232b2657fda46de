"""The table of faults that neighbours are known for names tests that exist, for every target."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from consulfwd.zones.publish.making import KINDS

HERE = Path(__file__).parent
TESTS = HERE.parent
COLUMNS = ("core", *KINDS)


class Fault(NamedTuple):
    """A row: `tests` has the names of tests by column, `why` those columns that have none."""

    what: str
    right: str
    tests: dict[str, list[str]]
    why: str


def table() -> list[Fault]:
    text = (HERE / "known_faults.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    head, _, *rest = rows
    # In the order of the text.
    columns = head[2:-1]
    assert sorted(columns) == sorted(COLUMNS)
    return [
        Fault(what, right, {one: [] if cell == "-" else cell.split()
                            for one, cell in zip(columns, cells, strict=True)}, why)
        for what, right, *cells, why in rest
    ]  # fmt: skip


@cache
def those_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(one.name for one in tree.body if isinstance(one, kinds))


@pytest.mark.parametrize("fault", table(), ids=lambda fault: fault.what[:60])
def test_each_fault_has_tests_that_exist(fault: Fault) -> None:
    assert fault.right
    named = [one for each in fault.tests.values() for one in each]
    assert named
    for one in named:
        path, _, name = one.partition("::")
        assert name in those_in(path), one
    # Where there is none the table says why.
    assert bool(fault.why) is any(not each for each in fault.tests.values())


def test_no_fault_is_there_twice() -> None:
    whats = [one.what for one in table()]
    assert len(whats) == len(set(whats)) >= 20
