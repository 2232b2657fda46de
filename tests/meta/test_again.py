"""Tests on real parts are run again when the machine was stopped, and only then."""

from __future__ import annotations

import pytest

from tests.integration import again

HOOK = """
from tests.integration import again
from tests.integration.again import pytest_runtest_protocol

def pytest_configure(config):
    again.judge_run(config)
"""
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function"
TESTS = """
import pytest

tries = []

@pytest.fixture
def opened():
    tries.append("open")
    yield
    tries.append("closed")

def test_fails_at_first(opened):
    assert tries.count("closed") >= {fine_after}

def test_other():
    assert len(tries) == 2 * tries.count("closed")
"""


@pytest.mark.parametrize(
    ("stolen_each", "fine_after", "passed", "failed", "runs"),
    [(0.0, 0, 2, 0, 0), (0.0, 1, 1, 1, 0), (9.0, 1, 2, 0, 1), (9.0, 2, 1, 1, 1)],
)
def test_what_is_run_again(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    stolen_each: float,
    fine_after: int,
    passed: int,
    failed: int,
    runs: int,
) -> None:
    _steal(monkeypatch, stolen_each)
    pytester.makeconftest(HOOK)
    pytester.makeini(INI)
    pytester.makepyfile(TESTS.format(fine_after=fine_after))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=passed, failed=failed)
    named = [line for line in result.outlines if "test_fails_at_first: 9.0 s of" in line]
    assert len(named) == runs


@pytest.mark.parametrize(("many", "code"), [(5, 0), (6, 1)])
def test_too_many_fail_the_run_and_are_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, many: int, code: int
) -> None:
    _steal(monkeypatch, 9.0)
    pytester.makeconftest(HOOK)
    pytester.makeini(INI)
    pytester.makepyfile(
        f"""
import pytest

seen = set()

@pytest.mark.parametrize("number", range({many}))
def test_fails_once(number):
    fresh = number not in seen
    seen.add(number)
    assert not fresh
"""
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=many)
    assert result.ret == code
    text = str(result.stdout)
    assert ("THE RUN FAILS" in text) == bool(code)
    assert all(f"test_fails_once[{number}]" in text for number in range(many))


def _steal(monkeypatch: pytest.MonkeyPatch, each: float) -> None:
    """Each look at what the host took shows so many seconds more."""
    clock = [0.0]

    def stolen() -> float:
        clock[0] += each
        return clock[0]

    monkeypatch.setattr(again, "stolen_s", stolen)
    monkeypatch.setattr(again, "PATIENCE_S", 0.0)
