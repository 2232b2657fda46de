"""Every planted fault of the corpus is found where it stands, and nothing else is."""

from __future__ import annotations

import pytest

from consulfwd.lint import SERVERS, Wanted, check, codes
from consulfwd.lint.kinds import guess
from tests.lint.corpus import CASES, Case

# Found by asking agents: tests/lint/test_lint_agents.py.
BY_ASKING = {"agent-silent", "agent-error", "dnsmasq-no-ra"}
# Found by asking the servers' own checkers: tests/servers/test_checking.py.
BY_CHECKERS = {"checker-refuses", "checker-warns"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_expected_is_found(case: Case) -> None:
    wanted = Wanted(version=case.version)
    report = check(case.path, wanted, lambda _: {}, lambda _: None)
    found = [
        (line, one.code)
        for one in report.findings
        for line in (one.line, *(place.line for place in one.also))
    ]
    assert sorted(found) == case.expected
    assert report.notes == ()
    for one in report.findings:
        assert {one.file, *(place.file for place in one.also)} == {str(case.path)}
        assert one.what
        assert one.why
        assert one.mend


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_files_are_told_apart_by_what_stands_in_them(case: Case) -> None:
    assert guess(case.path.read_text()) == case.server == case.path.parent.name


def test_the_corpus_has_every_server_and_every_code() -> None:
    assert len(CASES) >= 80
    assert {case.server for case in CASES} == set(SERVERS)
    seen = {code for case in CASES for _, code in case.expected}
    assert set(codes()) - BY_ASKING - BY_CHECKERS == seen
    clean = [case for case in CASES if not case.expected]
    assert {case.server for case in clean} == set(SERVERS)
    assert all(case.path.stem.startswith("good") for case in clean)
