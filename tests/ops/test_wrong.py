"""What is wrong is decided once: each view of the picture says the same."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from consulfwd.checks.agents import Wanted, judge, read
from consulfwd.notify import Notifier
from consulfwd.ops import wrong
from consulfwd.ops.metrics import exposition
from consulfwd.ops.snapshot import TargetSeen, ZoneSeen, to_json
from consulfwd.ops.text import logged
from consulfwd.ops.text.status import is_well
from consulfwd.upkeep import Upkeep
from consulfwd.zones.publish.seeing import zone_seen
from consulfwd.zones.publish.status import OfTarget, Status
from tests.cli.admin import AGENTS, resolver, running, upstream
from tests.net.recursor import Recursor
from tests.net.world import world

ZONE = ZoneSeen("svc.example.com", "", "active", "db1")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, ""),
        ({"state": "suspect"}, "agent 10.0.0.11:8600 is suspect"),
        ({"state": "probing"}, "agent 10.0.0.11:8600 is probing"),
        ({"state": "down"}, "agent 10.0.0.11:8600 is down"),
        ({"state": "down", "loops": True}, "agent 10.0.0.11:8600 leads back here"),
        ({"behind": "old data"}, ""),
        ({"drained": True}, ""),
        ({"drained": True, "state": "down"}, ""),
    ],
)
def test_a_server(values: dict[str, object], fault: str) -> None:
    assert wrong.with_server(upstream(AGENTS[0], **values)) == fault


def test_where_none_is_up_it_is_told_once() -> None:
    down = tuple(upstream(one, state="down") for one in AGENTS)
    alone = upstream("10.0.0.53:53", kind="recursor", state="suspect")
    seen = resolver(upstreams=(*down, alone), missing=("[::1]:53",))
    assert wrong.with_resolver(seen) == [
        "not listening on [::1]:53", "no agent is up", "no recursor is up",
    ]  # fmt: skip
    assert not wrong.is_ready(seen)
    assert logged.status(seen, ("that",)) == (
        "listening on 127.0.0.1:53, not on [::1]:53; 0 of 2 agents up; no recursor is up; that"
    )


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, []),
        ({"state": "backup"}, []),
        ({"state": "backup", "holder": ""}, ["svc.example.com: nobody publishes it"]),
        ({"state": "gone"}, ["svc.example.com: the publisher on this host is gone"]),
        ({"paused": "paused by me"}, ["svc.example.com: paused by me"]),
        (
            {"view": "dmz", "doubt": "no leader"},
            ["svc.example.com (view dmz): nothing is withdrawn: no leader"],
        ),
        ({"faults": ("svc.example.com: REFUSED",)}, ["svc.example.com: REFUSED"]),
    ],
)
def test_a_zone(values: dict[str, object], faults: list[str]) -> None:
    assert wrong.with_zone(replace(ZONE, **values)) == faults  # type: ignore[arg-type]


async def test_a_fallen_server_is_in_every_view() -> None:
    async with Recursor() as recursor, world(recursor) as here:
        first = here.engine.upstreams()[0]
        await here.agents[0].stop()
        here.engine.prober.probe(first)
        await here.until("down", "up", "up")
        seen = here.watched.snapshot()
        fault = f"agent {first.name} is down"
        assert seen.faults == (fault,)
        assert seen.ready
        assert seen.line.endswith(f"; 2 of 3 agents up; {fault}")
        assert seen.line == here.watched.line()
        assert f"wrong now: {fault}" in logged.report(seen)
        assert not is_well(seen)
        assert b"\nconsulfwd_faults 1.0\n" in exposition(seen)


def test_a_plugin_says_what_servers_are_worth_by_its_thresholds() -> None:
    fallen = upstream(AGENTS[0], state="down")
    seen = resolver(upstreams=(fallen, upstream(AGENTS[1])))
    told = running(seen, faults=("agent 10.0.0.11:8600 is down", "no token"))
    said = json.loads(json.dumps(to_json(told)))
    outcome = judge(Wanted(), read(said, "there"))
    assert outcome.summary == "1 of 2 agents up; not up: 10.0.0.11:8600; no token"
    assert [*outcome.lines] == ["agent 10.0.0.11:8600: down (0.4 ms)", "no token"]


async def test_a_zone_is_told_of_once_and_its_pause_is_a_fault() -> None:
    target = TargetSeen("ns2", fault="ns2: REFUSED", failing_since=1.0)
    fault = "svc.example.com: ns2: REFUSED"
    upkeep = Upkeep(Notifier(), "publishing", verb="zone")
    upkeep.zones = lambda: (
        replace(ZONE, targets=(target,), faults=(fault,), paused="paused by me"),
    )
    upkeep.round([fault])
    seen = upkeep.snapshot()
    assert seen.faults == (fault, "svc.example.com: paused by me")
    assert not is_well(seen)


def test_what_fails_at_a_target_does_not_say_again_whose_it_is() -> None:
    targets = (OfTarget("ns2", fault="ns2: REFUSED"), OfTarget("ns3", fault="no route"))
    seen = zone_seen(Status("svc.example.com", "", "active", "db1", targets=targets))
    assert [one.fault for one in seen.targets] == ["REFUSED", "no route"]
