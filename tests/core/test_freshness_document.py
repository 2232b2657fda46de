"""docs/freshness.md has the bounds the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from consulfwd.consul import blocking, proving, watch
from consulfwd.core import carriers, departures, freshness, interest, proofs, watches, worth
from tests.core.test_freshness import plays


@pytest.fixture(scope="module")
def text(project: Path) -> str:
    return (project / "docs" / "freshness.md").read_text(encoding="utf-8")


def test_the_bounds(text: str) -> None:
    rows = re.findall(r"^\| .*\(`([A-Z_]+)`\) \| (\d+)( s)? \|$", text, re.MULTILINE)
    told = {name: float(number) for name, number, _ in rows}
    names = (
        "LIFE", "REUSE", "REUSE_NEGATIVE", "REUSE_UNSURE", "REUSE_NODE",
        "PROVE_FOR", "ADMIT_WITHIN", "HALF", "BETTER", "IDLE", "REST", "BEHIND", "CONNECTIONS",
        "MOST_CARRIED", "MOST_FAR", "MOVE_WITHIN", "ROOM_AGAIN", "MAX_KEYS", "MAX_DENIED",
    )  # fmt: skip
    known = {"MOVE_WITHIN": watch.MOVE_WITHIN, "HOLD": blocking.HOLD}
    for module in (freshness, watches, interest, departures, carriers, proofs):
        known |= vars(module)
    assert told == {name: known[name] for name in (*names, "HOLD")}
    counts = [name for name, _, unit in rows if not unit]
    assert counts == ["BETTER", "CONNECTIONS", "MOST_CARRIED", "MOST_FAR", "MAX_KEYS", "MAX_DENIED"]


def test_what_is_told_in_passing(text: str) -> None:
    text = " ".join(text.split())
    assert proving.PROVE_EVERY == 1
    assert "is asked once a second for something small" in text
    assert (worth.LEAST, worth.OVER, worth.MANY, worth.SOON) == (2, 15, 10, 5)
    assert "fewer than 2 queries a second, over 15 s, are asked at an agent each" in text
    assert "10 questions within 5 s begin proofs again" in text
    assert freshness.PROVE_FOR == 15
    assert "15 seconds after the last question proofs end" in text
    assert (watch.WAIT_HERE, watch.WAIT, watch.SPREAD) == (300, 60, 1)
    waits = "which Consul answers after 300 to 600 s, an agent on another host after 60 to 120 s"
    assert f"{waits}, each at a time of its own" in text
    assert 3 * carriers.CONNECTIONS <= 200
    assert "Consul allows one host 200 connections" in text
    assert freshness.NEGATIVE_SHARE == 4
    assert "Watches of what does not exist are a quarter at most" in text
    assert carriers.WatchLimits().settle == 0.5
    assert proofs.LIFE == 2
    assert "no answer outlives the change by more than 2 seconds" in text


def test_the_picture() -> None:
    """What docs/pictures/freshness.svg shows, with its times."""
    plays("""
        0     yes web       | ...
        0.1   yes web       | web at A; ttl
        0.2   armed web 3   | drop web
        0.3   proved A      | ...
        0.8   yes web       | 10 s
        1.3   proved A      | ...
        1.9   changed web 2 | drop web
        2     yes web       | 0 s
        2.3   proved A      | ...
        2.39  yes web       | 0 s
        2.41  yes web       | 10 s
    """)
