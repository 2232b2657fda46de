"""Which changes of an upstream are told, and which counted; for how long, and who takes over."""

from __future__ import annotations

import pytest

from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.states import State
from consulfwd.core.telling import LINES, WINDOW, History, Telling
from consulfwd.core.upstreams import Upstream
from consulfwd.words import duration
from tests.core.play import upstream

UP, SUSPECT, DOWN, PROBING = State


def told(telling: Telling, start: float, changes: int) -> int:
    return sum(telling.tell(start + number / 1000) for number in range(changes))


@pytest.mark.parametrize("changes", [1, LINES])
def test_what_happens_now_and_then_is_told(changes: int) -> None:
    telling = Telling()
    for start in (0, WINDOW, 2 * WINDOW + 1):
        assert told(telling, start, changes) == changes


def test_a_window_ends_when_it_ends() -> None:
    telling = Telling()
    assert told(telling, 0, LINES) == LINES
    assert telling.ends_at == WINDOW
    assert told(telling, WINDOW, 1) == 1
    telling = Telling()
    told(telling, 0, LINES)
    assert not telling.tell(WINDOW - 0.001)


def test_what_is_held_back_is_counted_and_told_when_the_window_ends() -> None:
    telling = Telling()
    assert told(telling, 0, LINES) == LINES
    waits = []
    for number in range(3):
        assert not telling.tell(1 + number)
        waits.append(telling.waits)
    assert waits == [True, False, False]
    assert not telling.tell(WINDOW + 0.5), "the end is the caller's to see"
    assert telling.held(WINDOW + 1) == 4
    assert told(telling, WINDOW + 2, LINES + 1) == LINES


def test_what_goes_on_has_a_line_for_each_window() -> None:
    telling = Telling()
    told(telling, 0, 5 * LINES)
    for window in (1, 2, 3):
        start = window * WINDOW
        assert telling.held(start) == (4 if window == 1 else 5) * LINES
        assert told(telling, start, 5 * LINES) == 0
    assert telling.held(4 * WINDOW) == 5 * LINES
    assert told(telling, 4 * WINDOW, 1) == 0
    assert telling.held(5 * WINDOW) == 1
    assert told(telling, 5 * WINDOW, LINES + 1) == LINES


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-0.1, "0 ms"),
        (0.0004, "0 ms"),
        (0.34, "340 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (5.2, "5.2 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3599.4, "59 min"),
        (3600, "1 h 0 min"),
        (11520, "3 h 12 min"),
        (86399, "23 h 59 min"),
        (4 * 86400 + 3 * 3600, "4 d 3 h"),
    ],
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Groups:
    """Groups of upstreams, their health, and what is told of each change."""

    def __init__(self, *groups: str) -> None:
        """Groups are given as `label policy members`."""
        self.health = Health()
        self.history = History()
        self.members: dict[str, Upstream] = {}
        self.groups = []
        for label, policy, names in (one.split() for one in groups):
            found = [self.members.setdefault(name, upstream(name)) for name in names]
            self.groups.append(Group(label, found, policy, self.health))
        self.history.use(self.groups, 1000.0)

    def change(self, now: float, what: str, name: str) -> list[str]:
        """Let something happen, and return `was ...; who takes over` of each change."""
        health, one = self.health, self.members[name]
        if what == "up":
            for _ in range(3):
                one.counted_at = 0.0
                health.good(one, now, 0.0)
        elif what == "poor":
            health.rank(one, "knows no leader")
        elif what == "rich":
            health.rank(one, "")
        elif what == "looped":
            health.looped(one, now)
        elif what == "refused":
            health.refused(one, now, "connection refused")
        else:
            health.lied(one, now)
        changes, health.changes = health.changes, []
        told = []
        for changed, old, new, _ in changes:
            was = self.history.was(changed, old, new, now) if old is not new else "ranked"
            then = self.history.succession(changed, new)
            told.append(f"{was}; {then}" if then else was)
        return told


def test_who_takes_over_and_is_first_again() -> None:
    here = Groups("agents ordered ABC")
    assert here.change(1012.5, "refused", "A") == ["up for 12 s; B takes over"]
    assert here.change(1013, "refused", "C") == ["up for 13 s"]
    assert here.change(1014, "refused", "B") == ["up for 14 s; no other is up"]
    assert here.change(1017.7, "up", "A") == [
        "down for 5.2 s", "probing (away for 5.2 s); first again",
    ]  # fmt: skip
    assert here.change(1018, "up", "C") == ["down for 5.0 s", "probing (away for 5.0 s)"]
    assert 1020.0 - here.history.since(here.members["A"], 1020.0) == pytest.approx(2.3)


def test_one_that_is_alone() -> None:
    here = Groups("agents ordered A")
    assert here.change(1001, "lied", "A") == ["up for 1.0 s; no other is up"]
    assert here.change(1002, "refused", "A") == ["suspect for 1.0 s"]
    told = here.change(1003, "up", "A")
    assert told == ["down for 1.0 s", "probing (away for 2.0 s)"]


def test_of_those_that_take_turns_nobody_takes_over() -> None:
    here = Groups("agents round_robin AB")
    assert here.change(1001, "refused", "A") == ["up for 1.0 s"]
    assert here.change(1002, "refused", "B") == ["up for 2.0 s; no other is up"]
    assert here.change(1003, "up", "A")[-1] == "probing (away for 2.0 s)"


def test_the_fastest_of_the_others_takes_over() -> None:
    here = Groups("agents fastest ABC")
    for name, rtt in (("A", 0.001), ("B", 0.1), ("C", 0.01)):
        here.members[name].srtt = rtt
    assert here.change(1001, "lied", "A") == ["up for 1.0 s; C takes over"]
    assert here.change(1002, "lied", "B") == ["up for 2.0 s"]


def test_in_several_groups() -> None:
    here = Groups("agents ordered ABC", "of-dc2 ordered AC")
    told = here.change(1001, "refused", "A")
    assert told == ["up for 1.0 s; B takes over (agents), C takes over (of-dc2)"]
    here = Groups("agents ordered BA", "of-dc2 ordered AC")
    assert here.change(1001, "refused", "A") == ["up for 1.0 s; C takes over"]
    # The same group once more, for another spelling of the domain.
    here = Groups("agents ordered AB", "agents ordered AB")
    assert here.change(1001, "refused", "A") == ["up for 1.0 s; B takes over"]


def test_ranked_behind_the_others_and_back() -> None:
    here = Groups("agents ordered ABC")
    assert here.change(1001, "poor", "A") == ["ranked; B takes over"]
    assert here.change(1001, "poor", "C") == ["ranked"]
    # One whose data is old is better than none.
    assert here.change(1002, "refused", "B") == ["up for 2.0 s; A takes over"]
    assert here.change(1003, "rich", "C") == ["ranked; first again"]


def test_one_that_leads_back() -> None:
    here = Groups("recursors ordered RST")
    assert here.change(1001, "looped", "R") == ["up for 1.0 s; S takes over"]
    here.health.unlooped(here.members["R"], 1002.0)
    ((one, old, new, _),) = here.health.changes
    assert here.history.was(one, old, new, 1002.0) == "down for 1.0 s"
    assert here.history.succession(one, new) == ""


def test_what_is_known_of_those_that_stay_is_kept() -> None:
    here = Groups("agents ordered AB")
    here.change(1001, "refused", "A")
    here.history.use(here.groups[:1], 1005.0)
    assert 1006.0 - here.history.since(here.members["A"], 1006.0) == pytest.approx(5.0)
    assert here.change(1007, "up", "A")[-1] == "probing (away for 6.0 s); first again"
    other = Group("agents", [upstream("D")], "ordered", here.health)
    here.history.use([other], 1010.0)
    assert 1011.0 - here.history.since(other.members[0], 1011.0) == pytest.approx(1.0)
    assert 1011.0 - here.history.since(here.members["A"], 1011.0) == pytest.approx(0)
