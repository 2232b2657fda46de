"""What each instance counts as: transcripts of what Consul says, and what holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.config.zones import DampingSettings
from consulfwd.zones import steady as steady_module
from consulfwd.zones.penalties import Penalty
from consulfwd.zones.seen import Whose
from consulfwd.zones.steady import UNDECIDED, Penalised, Steady
from tests.zones.made import instance, service, settings

DAMPING = DampingSettings(enabled=True, half_life=100, longest=400, suppress=2_000, reuse=500)


class Play:
    """One service, called web, as it goes on."""

    def __init__(self, penalised: tuple[Penalised, ...] = (), **values: Any) -> None:
        self.steady = Steady(settings(**{"removal_delay": 5, **values}), 0, penalised)

    def see(self, now: float, *instances: str, doubt: str = "") -> str:
        """Take what Consul says; return what holds, ... for nothing new."""
        changed = self.steady.see(service("web", *instances, doubt=doubt), now)
        return self.told() if changed else "..."

    def wake(self, now: float) -> str:
        return self.told() if self.steady.wake(now) else "..."

    def told(self) -> str:
        """Return who is offered with which address, and what others count as."""
        return ", ".join(
            f"{member.whose.node} {member.offer.own}:{member.offer.port}"
            if grade.name == "UP"
            else f"{member.whose.node} {grade.name}"
            for member, grade, _ in self.steady.standings("", "web")
        )

    def whys(self) -> list[str]:
        return [one.why for one in self.steady.standings("", "web") if one.why]


def test_healthy_ones_are_offered_at_once_in_a_stable_order() -> None:
    play = Play()
    assert play.see(0, "b 2:2", "a 1:1") == "a 1:1, b 2:2"
    assert play.see(1, "a 1:1", "b 2:2") == "..."
    assert play.see(2, "a 1:1", "b 2:2", "c 3:3") == "a 1:1, b 2:2, c 3:3"
    assert play.steady.due() is None


def test_an_unhealthy_one_goes_after_the_delay() -> None:
    play = Play()
    play.see(0, "a 1:1", "b 2:2")
    assert play.see(10, "!a 1:1", "b 2:2") == "a 1:1, b 2:2"
    assert play.whys() == ["unhealthy: that must last for removal_delay"]
    assert play.steady.due() == 15
    assert play.wake(14.999) == "..."
    assert play.wake(15) == "a DOWN, b 2:2"
    assert play.see(16, "a 1:1", "b 2:2") == "a 1:1, b 2:2"


def test_one_that_recovers_within_the_delay_never_went() -> None:
    play = Play()
    play.see(0, "a 1:1")
    play.see(10, "!a 1:1")
    assert play.see(14.999, "a 1:1") == "a 1:1"
    assert play.whys() == []
    assert play.wake(15) == "..."
    play.see(16, "!a 1:1")
    assert play.wake(20.999) == "..."
    assert play.wake(21) == "a DOWN"


def test_the_delay_is_from_the_first_word_of_it() -> None:
    play = Play()
    play.see(0, "a 1:1")
    play.see(10, "!a 1:1")
    assert play.see(14, "!a 1:1 v1") == "a 1:1"
    assert play.see(15, "!a 1:1 v1") == "a DOWN"


def test_without_a_delay_it_goes_at_once() -> None:
    play = Play(removal_delay=0)
    play.see(0, "a 1:1")
    assert play.see(1, "!a 1:1") == "a DOWN"


@pytest.mark.parametrize("how", ["-a 1:1", None])
def test_gone_or_in_maintenance_it_goes_at_once(how: str | None) -> None:
    play = Play()
    play.see(0, "a 1:1", "b 2:2")
    left = "b 2:2" if how is None else "a MAINTENANCE, b 2:2"
    assert play.see(1, *([how] if how else []), "b 2:2") == left


def test_in_maintenance_while_it_was_unhealthy() -> None:
    play = Play()
    play.see(0, "a 1:1")
    play.see(1, "!a 1:1")
    assert play.see(2, "-a 1:1") == "a MAINTENANCE"
    assert play.see(3, "!a 1:1") == "a DOWN"


@pytest.mark.parametrize(("warning", "told"), [("publish", "..."), ("withdraw", "a DOWN")])
def test_warnings(warning: str, told: str) -> None:
    play = Play(warning=warning)
    play.see(0, "a 1:1")
    play.see(1, "~a 1:1")
    assert play.wake(6) == told


@pytest.mark.parametrize("how", ["!a 1:1", "-a 1:1", None])
def test_in_doubt_nobody_goes(how: str | None) -> None:
    play = Play()
    play.see(0, "a 1:1", "b 2:2")
    given = [how] if how else []
    told = play.see(1, *given, "c 3:3", doubt="stale")
    assert told == "a 1:1, b 2:2, c 3:3"
    assert play.steady.doubt("", "web") == "stale"
    assert list(play.steady.doubts()) == [("", "web")]
    assert play.wake(100) == "..."
    assert play.see(101, *given, "c 3:3") == {
        "!a 1:1": "a DOWN, c 3:3", "-a 1:1": "a MAINTENANCE, c 3:3", None: "c 3:3",
    }[how]  # fmt: skip
    assert play.steady.doubt("", "web") == ""


def test_a_doubt_within_the_delay() -> None:
    play = Play()
    play.see(0, "a 1:1")
    play.see(1, "!a 1:1")
    play.see(2, "!a 1:1", doubt="stale")
    assert play.wake(6) == "..."
    play2 = Play()
    play2.see(0, "a 1:1")
    play2.see(1, "!a 1:1", doubt="stale")
    play2.see(2, "!a 1:1")
    assert play2.wake(5.999) == "..."
    assert play2.wake(6) == "a DOWN"


def test_another_offer_is_taken() -> None:
    play = Play()
    play.see(0, "a 1:1")
    assert play.see(1, "a 2:1") == "a 2:1"
    play.see(2, "!a 2:1")
    assert play.see(3, "!a 3:1") == "a 3:1"


def test_what_is_unhealthy_when_first_seen_is_not_decided_yet() -> None:
    play = Play()
    assert play.see(10, "a 1:1", "!b 2:2") == "a 1:1, b DOWN"
    assert play.steady.doubt("", "web") == UNDECIDED
    assert list(play.steady.doubts()) == [("", "web")]
    assert play.steady.due() == 15
    assert play.wake(14.999) == "..."
    assert play.steady.doubt("", "web") == UNDECIDED
    assert play.wake(15) == "a 1:1, b DOWN"
    assert play.steady.doubt("", "web") == ""
    play.see(16, "a 1:1", "!b 2:2", "!c 3:3")
    assert play.steady.doubt("", "web") == ""


def test_what_is_gone_is_no_doubt() -> None:
    play = Play()
    play.see(10, "!b 2:2")
    play.see(11)
    assert play.steady.doubt("", "web") == ""
    assert play.wake(15) == "..."
    none = Play(removal_delay=0)
    none.see(0, "!b 2:2")
    assert none.steady.doubt("", "web") == ""


def flap(play: Play, now: float) -> str:
    play.see(now, "!a 1:1")
    return play.see(now, "a 1:1")


def test_one_that_comes_and_goes_is_held_back() -> None:
    play = Play(removal_delay=0, damping=DAMPING)
    play.see(0, "a 1:1")
    assert flap(play, 0) == "a 1:1"
    assert flap(play, 0) == "a SUPPRESSED"
    assert play.steady.due() == 200
    assert play.wake(199.999) == "..."
    assert play.wake(200) == "a 1:1"
    assert play.whys() == []


def test_it_is_let_go_with_what_it_offers_then() -> None:
    play = Play(removal_delay=0, damping=DAMPING)
    play.see(0, "a 1:1")
    flap(play, 0)
    flap(play, 0)
    play.see(1, "a 9:9")
    assert "a 9:9" in (play.wake(1_000), play.told())


def test_unhealthy_it_is_not_let_back() -> None:
    play = Play(removal_delay=0, damping=DAMPING)
    play.see(0, "a 1:1")
    flap(play, 0)
    flap(play, 0)
    play.see(1, "!a 1:1")
    play.wake(10_000)
    assert play.told() == "a DOWN"


def test_being_told_later_than_it_was_let_go() -> None:
    play = Play(removal_delay=0, damping=DAMPING)
    play.see(0, "a 1:1")
    flap(play, 0)
    flap(play, 0)
    assert play.see(200, "a 1:1", "b 2:2") == "a 1:1, b 2:2"


def test_changes_count_half_and_later_ones_wait() -> None:
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1 t0")
    for at in range(1, 5):
        play.see(0, f"a 1:1 t{at}")
    (standing,) = play.steady.standings("", "web")
    assert standing.member.offer.tags == ("t4",)
    play.see(0, "a 1:1 t5")
    (standing,) = play.steady.standings("", "web")
    assert standing.member.offer.tags == ("t4",)
    assert standing.why == "it changes again and again: held by damping"
    play.wake(1_000)
    (standing,) = play.steady.standings("", "web")
    assert standing.member.offer.tags == ("t5",)


def test_an_address_that_changes_again_and_again_is_not_held() -> None:
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1")
    for at in range(2, 6):
        play.see(0, f"a {at}:1")
    assert play.told() == "a 5:1"
    assert play.see(0, "a 6:1") == "a SUPPRESSED"


def test_held_changes_do_not_keep_one_that_fails() -> None:
    play = Play(damping=DAMPING, removal_delay=0)
    play.see(0, "a 1:1 t0")
    for at in range(1, 6):
        play.see(0, f"a 1:1 t{at}")
    assert play.see(1, "!a 1:1 t5") == "a DOWN"


def test_maintenance_is_no_flap() -> None:
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1")
    for _ in range(9):
        play.see(0, "-a 1:1")
        assert play.see(0, "a 1:1") == "a 1:1"
    play.see(0, "-a 1:1")
    play.see(0)
    assert play.steady.penalised(0) == []


def test_maintenance_in_doubt_is_no_flap_either() -> None:
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1")
    assert play.see(0, "-a 1:1", doubt="stale") == "..."
    play.see(0)
    assert play.steady.penalised(0) == []


def test_registered_again_and_again_is_a_flap() -> None:
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1")
    play.see(0)
    assert play.see(0, "a 1:1") == "a 1:1"
    play.see(0)
    assert play.see(0, "a 1:1") == "a SUPPRESSED"


def test_penalties_of_what_is_gone_are_forgotten_in_time() -> None:
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1")
    play.see(0)
    (gone,) = play.steady.penalised(0)
    assert gone == Penalised(Whose("", "web", "a", "web-a"), 1_000, False)
    assert play.steady.due() == 200
    play.wake(199.999)
    assert len(play.steady.penalised(199.999)) == 1
    play.wake(200)
    assert play.steady.penalised(200) == []
    assert play.steady.due() is None


def test_only_so_many_of_what_is_gone_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady_module, "MOST_GONE", 2)
    play = Play(damping=DAMPING)
    play.see(0, "a 1:1", "b 2:2", "c 3:3")
    play.see(0)
    assert [one.whose.node for one in play.steady.penalised(0)] == ["b", "c"]


def test_penalties_cost_what_there_is_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What must be remembered is looked at with each push, however many instances there are."""
    play = Play(damping=DAMPING, removal_delay=0)
    many = [f"n{at} {at}:1" for at in range(1_000)]
    play.see(0, *many)
    play.see(1, f"!{many[0]}", *many[1:])
    looked: list[Penalty] = []
    forgotten_at = Penalty.forgotten_at

    def counted(self: Penalty) -> float:
        looked.append(self)
        return forgotten_at(self)

    monkeypatch.setattr(Penalty, "forgotten_at", counted)
    assert [one.whose.node for one in play.steady.penalised(1)] == ["n0"]
    # It is remembered where its instance is gone, and back, too.
    play.see(2, *many[1:])
    assert [one.whose.node for one in play.steady.penalised(2)] == ["n0"]
    play.see(3, *many)
    assert [one.whose.node for one in play.steady.penalised(3)] == ["n0"]
    assert play.steady.penalised(500) == []
    assert len(looked) < 20


def test_penalties_go_on_in_another_process() -> None:
    first = Play(damping=DAMPING, removal_delay=0)
    first.see(0, "a 1:1")
    flap(first, 0)
    flap(first, 0)
    assert first.steady.penalised(100) == [Penalised(Whose("", "web", "a", "web-a"), 1_000, True)]
    second = Play(tuple(first.steady.penalised(100)), damping=DAMPING)
    assert second.see(0, "a 1:1") == "a SUPPRESSED"
    assert second.steady.due() == 100
    assert second.wake(100) == "a 1:1"
    off = Play(tuple(first.steady.penalised(100)))
    assert off.see(0, "a 1:1") == "a 1:1"
    assert off.steady.penalised(0) == []


def test_who_flaps_for_long_takes_up_no_room() -> None:
    play = Play(damping=DAMPING, removal_delay=1)
    play.see(0, "a 1:1")
    for now in range(3, 3_000, 3):
        play.see(now, "!a 1:1")
        play.wake(now + 1)
        play.see(now + 2, "a 1:1")
        assert len(play.steady._due._heap) <= 2
    assert play.told() == "a SUPPRESSED"
    assert play.steady.wake(1e9) == {("", "web")}


def test_services_are_kept_apart() -> None:
    steady = Steady(settings(removal_delay=5), 0)
    steady.see(service("web", "a 1:1", datacenter="dc1"), 0)
    steady.see(service("web", "a 1:1", datacenter="dc2"), 0)
    steady.see(service("app", "a 1:1", datacenter="dc1"), 0)
    steady.see(service("web", "!a 1:1", datacenter="dc1"), 1)
    steady.see(service("app", "!a 1:1", datacenter="dc1"), 2)
    assert steady.wake(6) == {("dc1", "web")}
    assert steady.wake(7) == {("dc1", "app")}
    assert steady.standings("dc3", "web") == ()


_EVENTS = st.lists(
    st.tuples(
        st.floats(0, 10), st.sampled_from(["a 1:1", "!a 1:1", "-a 1:1", "a 2:1", "", "wake"]),
        st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@given(_EVENTS, st.booleans())
def test_whatever_happens(events: list[tuple[float, str, bool]], damping: bool) -> None:
    given_ = DAMPING if damping else DampingSettings()
    play = Play(damping=given_)
    now = 0.0
    healthy_at: float | None = None
    for passed, what, doubt in events:
        now += passed
        before = play.told()
        if what == "wake":
            play.wake(now)
        else:
            play.see(now, *([what] if what else []), doubt="doubt" if doubt else "")
            if what[:1] == "a":
                healthy_at = now
                if not damping:
                    assert play.told() == instance("web", what).whose.node + what[1:]
        due = play.steady.due()
        assert due is None or due > now or what != "wake"
        offered = play.told() not in ("", "a DOWN", "a SUPPRESSED", "a MAINTENANCE")
        # Nobody is offered who was not healthy once, nor comes (back) by anything but health.
        assert not offered or healthy_at is not None
        if offered and before in ("a DOWN", "a MAINTENANCE", ""):
            assert what[:1] == "a"
    # Left alone, all that was held is let go.
    play.see(now, "a 3:3")
    play.wake(now + 10_000)
    assert play.told() == "a 3:3"
    assert play.steady.due() is None
    play.see(now + 10_000, "!a 3:3")
    play.wake(now + 10_005)
    assert play.told() == "a DOWN"
