"""The summary of a whole run: parts, failures, the slowest, without the waiting for a turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slowest import summary


def test_parts_and_the_slowest(pytester: pytest.Pytester, tmp_path: Path) -> None:
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\njunit_family = xunit1"
    )
    pytester.makepyfile(
        """
import time

def test_slow(record_property):
    time.sleep(0.3)
    record_property("waited", 0.29)

def test_slower():
    time.sleep(0.25)

def test_fails():
    assert False
"""
    )
    file = tmp_path / "fast.xml"
    pytester.runpytest_inprocess("-p", "no:cacheprovider", f"--junitxml={file}")
    part, title, first, second = summary([file], many=2)
    assert part.startswith("fast             3 tests in")
    assert part.endswith("s, 1 failed")
    assert title == "the slowest 2:"
    # A busy machine sleeps longer.
    assert float(first.split()[0]) >= 0.2
    assert first.endswith("::test_slower")
    assert float(second.split()[0]) < float(first.split()[0])
    assert second.endswith("::test_slow")
