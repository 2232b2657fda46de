"""The tables of docs/metrics.md are those that the code and the alerts come to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops.promql import LABELS, metrics_of


def write_metrics(project: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "scripts" / "write-metrics"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    return (project / "docs" / "metrics.md").read_text()


def test_the_tables_are_as_the_code_has_them(project: Path) -> None:
    done = write_metrics(project, "--check")
    assert done.returncode == 0, "run scripts/write-metrics"


def test_a_table_that_differs_is_seen_and_mended(
    project: Path, page: str, tmp_path: Path
) -> None:
    copy = tmp_path / "metrics.md"
    copy.write_text(page.replace("| `consulfwd_ready` |", "| `consulfwd_readiness` |"))
    assert write_metrics(project, "--check", copy).returncode == 1
    assert write_metrics(project, copy).returncode == 0
    assert copy.read_text() == page
    copy.write_text("nothing")
    assert write_metrics(project, copy).returncode == 2


def test_the_page_names_no_metric_that_is_not_there(page: str) -> None:
    # Of a histogram the table has the name that its series begin with.
    there = LABELS.keys() | {name.removesuffix("_bucket") for name in LABELS}
    assert metrics_of(page) <= there


def test_no_page_names_one_that_is_not_there(project: Path) -> None:
    there = LABELS.keys() | {name.removesuffix("_bucket") for name in LABELS}
    # Icinga's variables begin alike.
    plug_ins = metrics_of((project / "packaging" / "icinga2" / "consulfwd.conf").read_text())
    for page in [*project.glob("*.md"), *(project / "docs").glob("*.md")]:
        assert metrics_of(page.read_text()) <= there | plug_ins, page.name
