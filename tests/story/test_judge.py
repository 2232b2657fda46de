"""That the scenarios' judge sees what is wrong, on recordings made by hand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.e2e.client import Done
from tests.e2e.judge import LEFT, judge
from tests.e2e.record import Recorder
from tests.e2e.site import ADDRESSES, GALERA, OUTSIDE_ADDRESS, Site
from tests.e2e.story import WAYS, Connected, Mark, Story

FIRST, BAD, THIRD = NODES = tuple(ADDRESSES[name] for name in GALERA)
SECONDS = 100


@pytest.fixture(autouse=True)
def _content_icinga(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.e2e.judge.outside_checks", lambda *_: [])


def story(**changes: Any) -> Story:
    """All is well for 100 s: one node is bad at 20, not given after 30, mended at 50."""
    times = [n / 10 for n in range(SECONDS * 10)]
    done = [
        one
        for at in times
        for one in (
            Done("name", at, 0.01, answer=NODES if at < 30 or at > 55 else (THIRD, FIRST)),
            Done("outside", at, 0.01, answer=(OUTSIDE_ADDRESS,)),
            Done("row", at, 0.01, row=int(at * 10), node=FIRST),
        )
    ]
    made = Story(
        name="made",
        title="Made",
        begin=0.0,
        end=float(SECONDS),
        bad=BAD,
        harmed=20.0,
        mended=50.0,
        marks=[Mark(30.0, LEFT)],
        done={way: list(done) for way in WAYS},
        icinga=[Connected(at, "icinga1", True, True) for at in times],
        lost=dict.fromkeys(WAYS, 0),
    )
    return replace(made, **changes)


def with_one(one: Done) -> Story:
    """The same, with something of the same kind in the place of what was done then."""
    made = story()
    ours = made.done["consulfwd"]
    kept = [other for other in ours if (other.what, other.at) != (one.what, one.at)]
    made.done["consulfwd"] = [*kept, one]
    return made


def judged(made: Story) -> None:
    judge(made, cast(Site, None))


def test_what_is_well_passes() -> None:
    judged(story())


@pytest.mark.parametrize(
    "one",
    [
        Done("name", 10.0, 0.1, "no name"),
        Done("outside", 10.0, 0.1, "no name"),
        Done("name", 10.0, 2.0, answer=NODES),
        Done("outside", 10.0, 2.0, answer=(OUTSIDE_ADDRESS,)),
        Done("name", 10.0, 0.1),
        Done("name", 10.0, 0.1, answer=(*NODES, "192.168.56.21")),
        Done("name", 25.0, 0.1, answer=(BAD,)),
        Done("name", 40.0, 0.1, answer=NODES),
        Done("outside", 10.0, 0.1, answer=(OUTSIDE_ADDRESS, "198.51.100.81")),
        Done("outside", 10.0, 0.1),
    ],
    ids=str,
)
def test_one_look_up_is_enough(one: Done) -> None:
    with pytest.raises(AssertionError):
        judged(with_one(one))


def test_a_client_that_was_on_no_core_waits_for_that_long() -> None:
    made = with_one(Done("name", 10.0, 2.0, answer=NODES))
    made.done["consulfwd"].append(Done("late", 10.5, 1.0))
    judged(made)
    made.done["consulfwd"][-1] = Done("late", 12.0, 1.0)
    with pytest.raises(AssertionError):
        judged(made)


@pytest.mark.parametrize(
    "changes",
    [
        {"lost": {**dict.fromkeys(WAYS, 0), "bind": 1}},
        {"icinga": []},
        {"icinga": [Connected(float(at), "icinga1", True, False) for at in range(SECONDS)]},
    ],
    ids=["a row is lost", "Icinga is not asked", "Icinga does not write"],
)
def test_what_else_is_not_well(changes: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        judged(story(**changes))


@pytest.mark.parametrize("kinds", [("row",), ("name", "outside"), ("name", "outside", "row")])
def test_nothing_is_done_for_half_the_time(kinds: tuple[str, ...]) -> None:
    made = story()
    made.done["consulfwd"] = [
        one for one in made.done["consulfwd"] if one.what not in kinds or one.at < 15.0
    ]
    with pytest.raises(AssertionError):
        judged(made)


def test_a_row_that_one_node_lacks_is_lost() -> None:
    has = dict.fromkeys(GALERA, "1\n2\n3")
    asked = []

    def sql(name: str, query: str) -> str:
        asked.append(query)
        return has[name]

    recorder = Recorder(cast(Site, SimpleNamespace(sql=sql)), [])
    recorder.done["bind"] = [Done("row", 1.0, 0.1, row=row) for row in (1, 2, 3)]
    recorder.done["bind"].append(Done("row", 1.0, 0.1, "refused", row=4))
    assert recorder.lost("bind") == 0
    has[GALERA[1]] = "1\n3\n4"
    assert recorder.lost("bind") == 1
    has[GALERA[2]] = ""
    assert recorder.lost("bind") == 3
    # A node that has yet to apply what others wrote is waited for.
    assert all("wsrep_sync_wait = 1" in query and "'bind'" in query for query in asked)
