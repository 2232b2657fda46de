"""Tests on real parts are run again when the machine was stopped, and only then."""

from __future__ import annotations

import pytest

from tests.integration import again

HOOK = "from tests.integration.again import pytest_runtest_protocol\n"
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
    [(0.0, 0, 2, 0, 0), (0.0, 1, 1, 1, 0), (9.0, 1, 2, 0, 1), (9.0, 4, 2, 0, 4), (9.0, 5, 1, 1, 4)],
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
    told: list[str] = []
    clock = [0.0]

    def stolen() -> float:
        clock[0] += stolen_each
        return clock[0]

    monkeypatch.setattr(again, "stolen_s", stolen)
    monkeypatch.setattr(again, "_told", told)
    monkeypatch.setattr(again, "PATIENCE_S", 0.0)
    pytester.makeconftest(HOOK)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(TESTS.format(fine_after=fine_after))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=passed, failed=failed)
    assert len(told) == runs
