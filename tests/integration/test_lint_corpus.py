"""What the corpus of `lint` says of its files is what the servers' own checkers say of them."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from consulfwd.lint import SERVERS, installed_version
from consulfwd.lint.versions import read_version
from consulfwd.servers.target import Version
from tests.lint.corpus import CASES, Case

CHECKERS = {
    "bind": ("named-checkconf",),
    "unbound": ("unbound-checkconf",),
    "dnsmasq": ("dnsmasq", "--test", "-C"),
}
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
    assert shutil.which(CHECKERS[server][0], path=PATH), "run scripts/install-test-tools"
    assert installed_version(SERVERS[server])
    said = {case.checker for case in CHECKED if case.server == server}
    assert said == {"accepts", "refuses"}


@pytest.mark.parametrize("case", CHECKED, ids=lambda case: case.name)
def test_the_checker_agrees(case: Case) -> None:
    program, *options = CHECKERS[case.server]
    ended = subprocess.run(
        [shutil.which(program, path=PATH) or program, *options, str(case.path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = "accepts" if ended.returncode == 0 else "refuses"
    assert said == case.checker, ended.stdout + ended.stderr
