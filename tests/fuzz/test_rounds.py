"""Rounds of the property tests: others each time, and an end with the first that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.rounds import command, files, rounds


@pytest.mark.parametrize(("seconds", "expected"), [(0, 1), (9, 1), (10, 1), (11, 2), (25, 3)])
def test_rounds_begin_until_the_time_is_up(seconds: float, expected: int) -> None:
    ran: list[list[str]] = []

    def run(words: list[str]) -> int:
        ran.append(words)
        return 0

    assert rounds(seconds, run, lambda: 10.0 * len(ran)) == 0
    assert len(ran) == len({tuple(words) for words in ran}) == expected


def test_the_first_that_fails_is_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    codes = iter([0, 0, 2, 0])
    seeds: list[str] = []

    def run(words: list[str]) -> int:
        seeds.extend(word for word in words if "seed" in word)
        return next(codes)

    assert rounds(1000, run, lambda: 0.0) == 2
    assert f"round 3 failed; again: HYPOTHESIS_PROFILE=random pytest {seeds[2]} " in (
        capsys.readouterr().out
    )


def test_all_property_tests_belong_to_a_round() -> None:
    found = files()
    assert {"tests/config/test_fuzz.py", "tests/fuzz/test_properties.py"} <= {*found}
    assert not [file for file in found if "integration" in file]
    assert command(5)[-len(found) :] == found


# By these Hypothesis sees that it is run by a CI system, and has other defaults.
CI = {"CI": "true", "GITHUB_ACTIONS": "true", "TF_BUILD": "true"}
FAILS = """
from hypothesis import given, settings, strategies as st
import os

def test_profile():
    assert (settings().derandomize, settings().database is None) == (%s, %s)

@given(st.integers())
def test_small(number):
    assert number < 1000
"""


@pytest.mark.parametrize("ci", [False, True])
@pytest.mark.parametrize("profile", [None, "random"])
def test_only_asked_for_it_is_random(
    tmp_path: Path, project: Path, profile: str | None, ci: bool
) -> None:
    (tmp_path / "test_one.py").write_text(FAILS % ((profile is None,) * 2))
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    environ = {**os.environ, "PYTHONPATH": str(project)}
    for name in ("HYPOTHESIS_PROFILE", *CI):
        environ.pop(name, None)
    if ci:
        environ.update(CI)
    if profile:
        environ["HYPOTHESIS_PROFILE"] = profile
    words = ("-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        capture_output=True, text=True, cwd=tmp_path, env=environ,
    )  # fmt: skip
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "number=1000" in ended.stdout
    assert ("@reproduce_failure" in ended.stdout) == (profile is not None)
