"""docs/lint.md has every code with its severity, and its example is what is printed."""

from __future__ import annotations

import re
from pathlib import Path

from consulfwd.lint import Wanted, check, codes

ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (error|warning) \| ", re.MULTILINE)


def page(project: Path) -> str:
    return (project / "docs" / "lint.md").read_text()


def test_every_code_is_in_the_table_once_and_no_other(project: Path) -> None:
    rows = ROW.findall(page(project))
    assert sorted(rows) == sorted((code, rule.severity) for code, rule in codes().items())


def test_the_example_is_what_is_printed(project: Path, tmp_path: Path) -> None:
    text = page(project)
    example = re.search(r"```\n(options \{.*?)```", text, re.DOTALL)
    assert example
    path = tmp_path / "named.conf"
    path.write_text(example[1])
    report = check(path, Wanted(version="9.18"), lambda _: {}, lambda _: None)
    for one in report.findings:
        place = f"named.conf:{one.line}: {one.severity}: {one.code}: {one.what}"
        assert f"{place}\n    why:  {one.why}\n    mend: {one.mend}\n" in text
    assert f"named.conf: BIND 9.18 (given): {len(report.findings)} findings\n" in text


def test_the_mended_example_has_no_findings(project: Path, tmp_path: Path) -> None:
    _, mended = re.findall(r"```\n(options \{.*?)```", page(project), re.DOTALL)
    path = tmp_path / "named.conf"
    path.write_text(mended)
    report = check(path, Wanted(version="9.18"), lambda _: {}, lambda _: None)
    assert (report.findings, report.notes) == ((), ())
