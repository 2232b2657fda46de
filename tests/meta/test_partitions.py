"""The table of who is cut from whom: each row names a test that is there, and is of this row."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "publish-one-writer.md"
FILES = ("test_one_writer.py", "test_one_writer_cut.py")


def rows() -> dict[int, list[str]]:
    """The tests that each row names, by its number."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].isdigit():
            assert all(cells[:3]), line
            found[int(cells[0])] = re.findall(r"`(test_\w+)`", cells[4])
    return found


@functools.cache
def functions() -> dict[str, str]:
    """Every test of the two files, with what it says."""
    found = {}
    for name in FILES:
        text = (PROJECT / "tests" / "integration" / name).read_text()
        for node in ast.parse(text).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found[node.name] = "\n".join(text.splitlines()[node.lineno : node.end_lineno])
    return found


def test_there_are_as_many_as_it_says() -> None:
    assert list(rows()) == list(range(1, len(rows()) + 1))
    assert len(rows()) >= 12
    (said,) = re.findall(r"table of (\d+) rows", (PROJECT / "docs" / "publish.md").read_text()
                         .replace("\n  ", " "))  # fmt: skip
    assert int(said) == len(rows())


@pytest.mark.parametrize("row", rows())
def test_each_row_has_a_test_that_holds_it_to_its_bound(row: int) -> None:
    named = rows()[row]
    assert named
    for test in named:
        text = functions()[test]
        assert f"({row}, " in text, f"{test} does not hold row {row} to anything"
        assert "bounded(" in text
