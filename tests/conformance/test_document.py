"""Each test names a section of an RFC, and docs/conformance.md those that the tests name."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "conformance.md"
NUMBER = r"\d+(?:\.\d+)*"
NAMED = re.compile(rf"RFC (\d+)(?:\s+sections?\s+({NUMBER}(?:(?:,|\s+and)\s+{NUMBER})*))?")
ROW = re.compile(r"^\| \[?RFC (\d+)\]?[^|]*\| ([^|]*) \|", re.MULTILINE)
MODULES = sorted(HERE.glob("test_*.py"))
Found = dict[int, set[str]]


def sections(text: str) -> Found:
    """Return the sections named in a text by RFC."""
    found: Found = defaultdict(set)
    for rfc, named in NAMED.findall(text):
        found[int(rfc)].update(re.findall(NUMBER, named))
    return found


def docstrings(module: Path) -> dict[str, str]:
    """Return the tests of a module with their docstrings."""
    return {
        node.name: ast.get_docstring(node) or ""
        for node in ast.parse(module.read_text()).body
        if isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef))
        and node.name.startswith("test_")
    }


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_every_test_names_a_section(module: Path) -> None:
    if module.name == Path(__file__).name:
        return
    found = docstrings(module)
    nameless = [name for name, text in found.items() if not any(sections(text).values())]
    assert (nameless, len(found) > 0) == ([], True)


def test_the_table_is_that_of_the_tests() -> None:
    named: Found = defaultdict(set)
    for module in MODULES:
        for text in docstrings(module).values():
            for rfc, found in sections(text).items():
                named[rfc] |= found
    shown = {int(rfc): set(re.findall(NUMBER, row)) for rfc, row in ROW.findall(PAGE.read_text())}
    assert shown == dict(named)


def test_sections_are_read() -> None:
    text = """RFC 1035 sections 3.1 and 4.1.4, RFC 2308 sections 3, 4 and 5: what. (RFC 8914
    section 4.4), RFC 7873 section 5.2"""
    assert sections(text) == {
        1035: {"3.1", "4.1.4"}, 2308: {"3", "4", "5"}, 8914: {"4.4"}, 7873: {"5.2"},
    }  # fmt: skip
