"""Documents have the charts and the figures that the decisions about zones come to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest


@pytest.fixture(params=["damping", "budget"])
def chart(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def draw(project: Path, chart: str, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "scripts" / f"draw-{chart}"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_chart_is_current(project: Path, chart: str) -> None:
    done = draw(project, chart, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_chart_that_is_not_current_is_told_and_mended(
    project: Path, tmp_path: Path, chart: str
) -> None:
    picture = tmp_path / "picture.svg"
    picture.write_text("<svg/>")
    told = draw(project, chart, picture, "--check").stderr
    assert f"it is not current; run scripts/draw-{chart}" in told
    assert draw(project, chart, picture).returncode == 0
    root = ElementTree.parse(picture).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    # Readable on dark paper, too.
    assert "@media (prefers-color-scheme: dark)" in picture.read_text()


def test_the_figures_in_the_text(project: Path) -> None:
    chart = (project / "docs" / "pictures" / "damping.svg").read_text(encoding="utf-8")
    found = re.search(r"Pushes: (\d+) without damping, (\d+) with it", chart)
    assert found is not None
    minutes = re.search(r"held back for (\d+) minutes", chart)
    assert minutes is not None
    text = " ".join((project / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    pushes, damped = int(found[1]), int(found[2])
    assert f"costs {damped - 1} pushes in half an hour and one when it is offered again" in text
    assert f"where there were {pushes}" in text
    page = " ".join((project / "docs" / "publish.md").read_text(encoding="utf-8").split())
    assert f"{pushes} pushes become {damped}, and it is held back for {minutes[1]} minutes" in page
    budget = (project / "docs" / "pictures" / "budget.svg").read_text(encoding="utf-8")
    found = re.search(r"it stops at (\d+)<.*an hour later: (\d+)<", budget, re.DOTALL)
    assert found is not None
    assert f"is left with {found[1]} names, and an hour later with {found[2]}" in page
