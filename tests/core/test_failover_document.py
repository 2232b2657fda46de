"""docs/failover.md says what the code does: the diagram, the thresholds, the reasons in the log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from consulfwd.core import attempts, order, query
from consulfwd.core.health import MAX_PENALTY, Health
from consulfwd.core.probe import Probe
from consulfwd.core.states import TRANSITIONS, State
from consulfwd.core.upstreams import AGENT, RECURSOR, Tuning
from tests.core.play import EPOCH, Play, denial, upstream


@pytest.fixture(scope="module")
def document(project: Path) -> Path:
    return project / "docs" / "failover.md"


def draw(project: Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(project / "scripts" / "draw-states"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_diagram_is_current(project: Path) -> None:
    done = draw(project, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_diagram_has_an_arrow_for_every_change(document: Path) -> None:
    arrows = {
        (old.value, event.value, new.value)
        for (old, event), new in TRANSITIONS.items()
        if old is not new
    }
    drawn = set()
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("    ") and "-->" in line and "[*]" not in line:
            states, _, events = line.strip().partition(": ")
            old, new = states.split(" --> ")
            drawn |= {(old, event, new) for event in events.split(", ")}
    assert drawn == arrows


def test_an_outdated_diagram_is_noticed_and_drawn_anew(
    project: Path, document: Path, tmp_path: Path
) -> None:
    text = document.read_text(encoding="utf-8")
    copy = tmp_path / "copy.md"
    copy.write_text(text.replace("probing --> up", "probing --> down"), encoding="utf-8")
    done = draw(project, "--check", copy)
    assert done.returncode == 1
    assert "not current" in done.stderr
    assert draw(project, copy).returncode == 0
    assert copy.read_text(encoding="utf-8") == text
    copy.write_text("no markers", encoding="utf-8")
    assert draw(project, copy).returncode == 1
    assert copy.read_text(encoding="utf-8") == "no markers"


def value(cell: str) -> float:
    number, _, unit = cell.strip().partition(" ")
    return float(number) / (1000 if unit == "ms" else 1)


def test_the_thresholds_are_those_of_the_code(document: Path) -> None:
    told: dict[str, list[float]] = {}
    for line in document.read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split("|")
        name = cells[0].partition("(`")[2].partition("`)")[0]
        if line.startswith("|") and name in Tuning.__dataclass_fields__:
            told[name] = [value(cell) for cell in cells[1:]]
    assert told == {
        name: [getattr(AGENT, name), getattr(RECURSOR, name)]
        for name in Tuning.__dataclass_fields__
    }


def test_the_other_figures_are_those_of_the_code(document: Path) -> None:
    text = " ".join(document.read_text(encoding="utf-8").split())
    for sentence in (
        f"at most {attempts.MAX_ATTEMPTS} per lookup",
        f"nobody more than {attempts.MAX_TRIES} times over one transport".replace("3", "three"),
        f"the next one after {query.RETRY_PAUSE * 1000:.0f} ms",
        f"asked after {query.UNHEDGED + 1:.0f} times the usual".replace("5", "five"),
        f"{attempts.MOST_STRAYS} such replies to one question".replace("5", "five"),
        f"nobody has heard of for {order.MEASURE_AGAIN:.0f} s",
        f"up to {MAX_PENALTY * AGENT.rise} "
        f"({MAX_PENALTY * RECURSOR.rise} for a recursor)",
    ):
        assert sentence in text


def test_the_reasons_are_those_of_the_code(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    health, one = Health(), upstream("A")
    for _ in range(3):
        health.silent(one, 100.0, 99.0)
    for turn in range(3):
        health.good(one, 101.0 + turn / 10, 0.001)
    health.lied(one, 102.0)
    health.refused(one, 103.0, "connection refused")
    health.good(one, 104.0, 0.001)
    play = Play("A", kind=Probe, A=State.PROBING)
    play.plan[0].knows_itself = True
    play.lookup.on_reply(play.lookup.start(EPOCH)[0], denial(), False, EPOCH)
    reasons = [why for *_, why in health.changes + play.health.changes]
    assert reasons == [
        "does not answer",
        "3 good replies in a row",
        "denied what another agent answers",
        "connection refused",
        "answers again",
        "denies Consul's own service",
    ]
    assert [reason for reason in reasons if f"`{reason}`" not in text] == []
