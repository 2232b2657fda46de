"""Who is offered under each name, and that it does not become empty."""

from __future__ import annotations

from typing import Any

from consulfwd.zones.claims import Group, Member
from consulfwd.zones.lasting import Kept, Lasting
from consulfwd.zones.naming import Naming
from consulfwd.zones.seen import Whose
from consulfwd.zones.steady import Grade, Standing
from tests.zones.made import instance, settings

GRADES = {"+": Grade.UP, "!": Grade.DOWN, "-": Grade.MAINTENANCE, "?": Grade.SUPPRESSED}


class Play:
    """One service, called web: "+a primary" is an instance that is up."""

    def __init__(self, kept: Kept | None = None, **values: Any) -> None:
        naming = Naming(settings(tags=["*"], **values))
        last = values.get("last", "keep")
        self.lasting = Lasting(last, lambda one: naming.groups(one.whose, one.offer), kept)

    def see(self, *instances: str) -> dict[str, str]:
        """Return who is offered under each tag, "" being the service's own name."""
        self.standings = []
        for one in instances:
            node, *tags = one[1:].split()
            seen = instance("web", " ".join([node, "10.0.0.1", *tags]))
            self.standings.append(Standing(Member(seen.whose, seen.offer), GRADES[one[0]]))
        found = self.lasting.offered("web", self.standings)
        assert self.lasting.now("web") == found
        return {
            group.tag: " ".join(one.whose.node for one in members)
            for group, members in found.items()
        }


def test_those_who_are_up() -> None:
    play = Play()
    assert play.see("+a x", "!b x", "+c") == {"": "a c", "x": "a"}
    assert play.lasting.kept("web") == {}


def test_those_who_were_last_stay() -> None:
    play = Play()
    play.see("+a", "+b", "+c")
    assert play.see("!a", "+b", "+c") == {"": "b c"}
    assert play.see("!a", "!b", "!c") == {"": "b c"}
    assert play.see("!a", "!b", "!c") == {"": "b c"}
    kept = {Group("web"): frozenset(Whose("", "web", one, f"web-{one}") for one in "bc")}
    assert play.lasting.kept("web") == kept
    assert dict(play.lasting.all_kept()) == kept
    assert play.see("!a", "!b", "+c") == {"": "c"}
    assert play.lasting.kept("web") == {}


def test_the_last_under_a_tag_stays_there_alone() -> None:
    play = Play()
    play.see("+a primary", "+b")
    assert play.see("!a primary", "+b") == {"": "b", "primary": "a"}
    assert play.see("!a", "+b") == {"": "b"}


def test_what_nobody_goes_by_is_gone() -> None:
    play = Play()
    play.see("+a x")
    assert play.see() == {}
    assert play.see("!a x") == {}


def test_one_that_was_never_up_is_not_offered() -> None:
    assert Play().see("!a", "-b", "?c") == {}


def test_where_the_last_ones_are_gone_whoever_there_is() -> None:
    play = Play()
    play.see("!a", "-b", "+c")
    assert play.see("!a", "-b", "!c") == {"": "c"}
    assert play.see("!a", "-b") == {"": "a"}
    assert play.see("-b") == {"": "b"}
    assert play.see() == {}


def test_the_last_in_maintenance_stays() -> None:
    play = Play()
    play.see("+a", "+b")
    play.see("-a", "+b")
    assert play.see("-a", "-b") == {"": "b"}


def test_some_of_the_last_ones_may_go_for_good() -> None:
    play = Play()
    play.see("+a", "+b")
    assert play.see("!a", "!b") == {"": "a b"}
    assert play.see("!b") == {"": "b"}


def test_the_last_may_go_where_that_is_wanted() -> None:
    play = Play(last="remove")
    play.see("+a")
    assert play.see("!a") == {}
    assert play.lasting.kept("web") == {}


def test_what_was_kept_is_kept_on_in_another_process() -> None:
    kept = {Group("web"): frozenset((Whose("", "web", "a", "web-a"),))}
    assert Play(kept).see("!a", "!b") == {"": "a"}
    assert Play(kept).see("+b", "!a") == {"": "b"}
    assert Play(kept, last="remove").see("!a") == {}


def test_who_goes_by_a_name_at_all() -> None:
    play = Play()
    play.see("!a x", "-b")
    assert play.lasting.has(Group("web"), play.standings)
    assert play.lasting.has(Group("web", "x"), play.standings)
    assert not play.lasting.has(Group("web", "y"), play.standings)
    assert not play.lasting.has(Group("web"), [])
