"""What a recording comes to, on one made by hand."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.e2e.chart import draw
from tests.e2e.client import Done
from tests.e2e.story import WAYS, Connected, Figures, Mark, Story, figures, outage, table

BAD, GOOD = "192.168.56.12", "192.168.56.11"


def made() -> Story:
    """A story of 20 s from 100 on: harmed at 105, mended at 112."""
    both, one = (GOOD, BAD), (GOOD,)
    done = [
        Done("name", 99.0, 0.1, "before the story"),
        Done("name", 101.0, 0.1, answer=both),
        Done("name", 108.0, 0.5, answer=both),
        Done("name", 110.0, 2.0, answer=one),
        Done("name", 115.0, 0.5, answer=both),
        Done("outside", 106.0, 5.0, "no name"),
        Done("row", 101.0, 1.0, row=1, node=GOOD),
        Done("row", 106.0, 1.0, "refused", row=2),
        Done("row", 109.0, 1.0, row=2, node=GOOD),
    ]
    return Story(
        name="made",
        title="Made & up",
        begin=100.0,
        end=120.0,
        bad=BAD,
        harmed=105.0,
        mended=112.0,
        marks=[Mark(105.0, "harmed"), Mark(112.0, "mended")],
        done={way: list(done) for way in WAYS},
        icinga=[
            Connected(101.0, "icinga1", True, True),
            Connected(106.0, "icinga1", True, False),
            Connected(108.0, "icinga2", False, False),
            Connected(109.0, "icinga2", True, True),
            Connected(119.0, "icinga2", True, True),
        ],
        lost={"consulfwd": 1},
    )


def test_figures() -> None:
    assert figures(made(), "consulfwd") == Figures(
        lookups=5,
        errors=1,
        slow=2,
        slowest=5.0,
        left=3.5,
        back=3.5,
        rows=2,
        refused=1,
        pause=10.0,
        lost=1,
    )


def test_a_node_that_never_left_was_given_to_the_end() -> None:
    story = made()
    story.mended = 0.0
    found = figures(story, "agent")
    assert (found.left, found.back) == (10.5, None)


def test_the_outage_is_the_longest_time_without_a_master_that_writes() -> None:
    assert outage(made()) == 10.0


def test_a_story_survives_its_file(tmp_path: Path) -> None:
    story = made()
    story.write(tmp_path)
    found = Story.read(tmp_path / "made.json")
    assert (found.begin, found.end, found.harmed, found.mended) == (0.0, 20.0, 5.0, 12.0)
    assert [figures(found, way) for way in WAYS] == [figures(story, way) for way in WAYS]
    assert (found.marks[1].at, outage(found)) == (12.0, 10.0)


def test_the_table_has_a_line_for_each_way() -> None:
    lines = table([made()]).splitlines()
    assert len(lines) == 2 + len(WAYS)
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| Made & up | resolv.conf, one agent | 5 | 1 | 2 | 5.00 s |")


def test_the_picture_shows_what_failed() -> None:
    root = ET.fromstring(draw(made()))
    space = "{http://www.w3.org/2000/svg}"
    colours = [one.get("fill") for one in root.iter(f"{space}rect")]
    # For each way a look-up and a row; and Icinga's link for three seconds.
    assert colours.count("#c0392b") == 2 * len(WAYS) + 1
    assert colours.count("#d9a441") == len(WAYS)
    texts = [one.text for one in root.iter(f"{space}text")]
    assert {"harmed", "mended", "20 s", *WAYS.values()} <= set(texts)
