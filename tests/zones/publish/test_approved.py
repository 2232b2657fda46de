"""A plan that was written down and approved: exactly that is done, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from consulfwd.errors import ApplyError
from consulfwd.zones import plan_file
from consulfwd.zones.plan import Plan
from consulfwd.zones.zone import Zone
from tests.zones.made import records, service, settings
from tests.zones.publish.world import Consul, Published, Target, now, play

ZONE = settings(quiescence=1, interval=5)
A, B = "n1 10.0.0.1:80", "n2 10.0.0.2:80"
BEFORE = {"web A": "10.0.0.1 10.0.0.9", "old A": "10.0.0.8"}
AFTER = {"web A": "10.0.0.1 10.0.0.2"}


def made(consul: Consul, target: Target) -> dict[str, Any]:
    """What `zone plan -o` writes down."""
    zone = Zone(ZONE, now())
    zone.see(consul.catalog(), now())
    found: dict[str, Any] = json.loads(plan_file.write(zone.plan(target.read(), now(), "there")))
    return found


def read(text: dict[str, Any]) -> Plan:
    return plan_file.load(json.dumps(text).encode(), "plan.json")


def scene() -> tuple[Consul, Target]:
    target = Target()
    target.put_by_others(records(BEFORE))
    return Consul(service("web", A, B)), target


def test_what_was_approved_is_done_once() -> None:
    async def main() -> None:
        consul, target = scene()
        plan = read(made(consul, target))
        assert await Published(ZONE, consul, target).once(plan) == []
        assert target.holds == AFTER
        # The same once more is for something that is not there any more.
        (fault,) = await Published(ZONE, consul, target).once(plan)
        assert "the zone was changed meanwhile (1 is 2 now), at old.svc.example.com." in fault
        assert len(target.pushes) == 1

    play(main)


def others(consul: Consul, target: Target) -> None:
    target.put_by_others(records({**BEFORE, "old A": "10.0.0.7"}))


def elsewhere(consul: Consul, target: Target) -> None:
    target.put_by_others(records({**BEFORE, "more A": "10.0.0.7"}))


def news(consul: Consul, target: Target) -> None:
    consul.says(service("web", A, B, "n3 10.0.0.3"))


def doubts(consul: Consul, target: Target) -> None:
    consul.says(service("web", A, B), doubt="no leader")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (others, "the zone was changed meanwhile (1 is 2 now), at old.svc.example.com."),
        (elsewhere, "the zone was changed meanwhile (1 is 2 now), at names it leaves alone"),
        (news, "what Consul says of the services is another thing now"),
        (doubts, "time has passed: planned anew it is another plan"),
    ],
)
def test_what_changed_meanwhile_is_told_and_nothing_is_done(
    change: Callable[[Consul, Target], None], why: str
) -> None:
    async def main() -> None:
        consul, target = scene()
        plan = read(made(consul, target))
        change(consul, target)
        held = target.holds
        (fault,) = await Published(ZONE, consul, target).once(plan)
        assert why in fault
        assert (target.holds, target.pushes) == (held, [])

    play(main)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"view": "inside"}, "it is for the view inside, not that"),
        ({"catalog": "0"}, "what Consul says of the services is another thing now"),
        ({"acts": []}, "planned anew it is another plan"),
    ],
)
def test_a_plan_that_was_altered_by_hand_is_not_done(changed: dict[str, Any], why: str) -> None:
    async def main() -> None:
        consul, target = scene()
        text = made(consul, target)
        altered = {**text, **changed, "vanish": [], "appear": []}
        (fault,) = await Published(ZONE, consul, target).once(read(altered))
        assert why in fault
        text["acts"][0]["after"] = {"ttl": 30, "data": ["192.0.2.66"]}
        (fault,) = await Published(ZONE, consul, target).once(read({**text, "vanish": []}))
        assert "planned anew it is another plan" in fault
        assert target.pushes == []

    play(main)


def test_a_plan_of_another_zone_target_or_version_is_not_done() -> None:
    async def main() -> None:
        consul, target = scene()
        text = made(consul, target)
        with pytest.raises(ApplyError, match="the plan is for elsewhere, which is none of its"):
            await Published(ZONE, consul, target).once(read({**text, "target": "elsewhere"}))
        with pytest.raises(ApplyError, match=r"acts\[0\]\.name: it is not in the zone"):
            read({**text, "zone": "other.example.com"})
        with pytest.raises(ApplyError, match="a plan of another version of this program"):
            read({**text, "format": 2})
        for empty in ({"acts": [], "vanish": [], "appear": [], "zone": "other.example.com"},):
            (fault,) = await Published(ZONE, consul, target).once(read({**text, **empty}))
            assert "it is for the zone other.example.com, not svc.example.com" in fault
        assert target.pushes == []

    play(main)


def test_of_several_targets_only_that_which_was_approved_is_changed() -> None:
    async def main() -> None:
        consul, target = scene()
        other = Target("other")
        plan = read(made(consul, target))
        assert await Published(ZONE, consul, other, target).once(plan) == []
        assert (target.holds, other.pushes) == (AFTER, [])
        # And without one, each of them, whatever is the matter with another.
        third = Target("third")
        third.fault = ApplyError("third", "away")
        (fault,) = await Published(ZONE, consul, third, other, target).once()
        assert "away" in fault
        assert other.holds == AFTER

    play(main)
