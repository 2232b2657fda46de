"""The files beside an audit: who needs whom, what is ignored, what was known."""

from __future__ import annotations

from pathlib import Path

import pytest

from consulfwd.audit import files
from consulfwd.audit.site import Need
from consulfwd.errors import UsageError
from tests.audit.sites import node, report, service, site


def test_needs(tmp_path: Path) -> None:
    path = tmp_path / "needs.yml"
    path.write_text("dashboard: [crowd, db]\nportal: dashboard  # by its login\n'7': 8\n")
    assert files.needs(path) == (
        Need("7", "8", "file"),
        Need("dashboard", "crowd", "file"),
        Need("dashboard", "db", "file"),
        Need("portal", "dashboard", "file"),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: {b: c}", "a: must be a service, or a list of them"),
        ("a: true", "must be a service"),
        ("a: [[b]]", "must be a service"),
        ("- a", ""),
        ("a: [", ""),
        ("a: &x [b]\nc: *x", ""),
        ("a: ''", "the name of no service"),
        (f"a: {'x' * 600}", "the name of no service"),
    ],
)
def test_needs_that_are_none(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "needs.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"needs.yml.*{why}"):
        files.needs(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for read in (files.needs, files.ignored, files.baseline):
        with pytest.raises(UsageError, match="no such file"):
            read(tmp_path / "none")


def test_ignored(tmp_path: Path) -> None:
    path = tmp_path / "ignored.yml"
    path.write_text('"one-instance:batch": it runs at night\nhidden-dependency:*: known\n')
    reasons = {"one-instance:batch": "it runs at night", "hidden-dependency:*": "known"}
    assert files.ignored(path) == reasons
    for text, why in (
        ("one-instance:batch:", "say why"),
        ("one-instance: x", "is not ID:SUBJECT"),
        ("no-such-rule:batch: x", "there is no rule"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=why):
            files.ignored(path)


def test_a_baseline_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    made = report(site(service("web\n|", node("a", "10.1.0.1")), nodes=()))
    files.write_baseline(path, made)
    assert files.baseline(path) == ["one-instance:web\n|"]
    assert list(tmp_path.iterdir()) == [path]
    for text in ("", "[]", "{}", '{"findings": [1]}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(UsageError, match="is no baseline"):
            files.baseline(path)


def test_what_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written: no such file"):
        files.write(tmp_path / "none" / "report.html", "x")
    files.write(Path("/dev/null"), "x")
    assert not Path("/dev/null").is_file()
