"""What the corpus of `lint` says of its files is what the servers' own checkers say of them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from consulfwd.lint import SERVERS, checked_by, installed_version
from consulfwd.lint.versions import read_version
from consulfwd.servers.target import Version
from tests.lint.corpus import CASES, Case

CHECKERS = ("bind", "unbound", "dnsmasq", "dnsdist", "kresd")
PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def about(case: Case, installed: Version | None) -> bool:
    """Does the file say something of the version that is installed?"""
    if case.version is None or installed is None:
        return True
    return read_version(case.version) == installed[:2]


CHECKED = [
    case for case in CASES if case.checker and about(case, installed_version(SERVERS[case.server]))
]


@pytest.mark.parametrize("server", CHECKERS)
def test_the_checker_is_installed(server: str) -> None:
    program = SERVERS[server].target.check[0]
    assert shutil.which(program, path=PATH), "run scripts/install-test-tools"
    assert installed_version(SERVERS[server])
    said = {case.checker for case in CHECKED if case.server == server}
    assert said == {"accepts", "refuses"}


@pytest.mark.parametrize("case", CHECKED, ids=lambda case: case.name)
def test_the_checker_agrees(case: Case) -> None:
    program, *words = SERVERS[case.server].target.check
    words = [one.replace("{file}", str(case.path)) for one in words]
    ended = subprocess.run(
        [shutil.which(program, path=PATH) or program, *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = "accepts" if ended.returncode == 0 else "refuses"
    assert said == case.checker, ended.stdout + ended.stderr


@pytest.mark.parametrize("server", CHECKERS)
def test_what_the_checker_says_is_found_at_its_line(server: str) -> None:
    cases = [case for case in CHECKED if case.server == server]
    for case in cases:
        found = checked_by(SERVERS[server], case.path, str(case.path))
        codes = {one.code for one in found}
        assert ("checker-refuses" in codes) == (case.checker == "refuses"), (case.name, found)
        lines = case.path.read_text().count("\n") + 1
        assert all(1 <= one.line <= lines for one in found), (case.name, found)
