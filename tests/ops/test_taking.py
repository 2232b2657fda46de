"""The picture of a running resolver: what is in it, and that looking changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from consulfwd.core import pulse, timeline
from consulfwd.core.pulse import EVERY, Pulse
from consulfwd.core.timeline import MOST, Changed, Timeline
from consulfwd.ops.snapshot import to_json
from consulfwd.ops.taking import WatchedServer
from consulfwd.server import Server
from tests.core.play import upstream
from tests.net.recursor import Recursor
from tests.net.world import GALERA, settings, until, world

NAME = "galeradb.service.consul"


async def test_what_is_seen_of_a_resolver() -> None:
    async with Recursor() as recursor, world(recursor) as here:
        for _ in range(2):
            assert (await here.ask(NAME)).data == GALERA
        await here.ask("nothing.example.test")
        seen = here.watched.snapshot()
        assert seen.ready
        assert not seen.faults
        assert (seen.verb, seen.phase) == ("serve", "running")
        assert abs(seen.taken - time.time()) < 1 >= seen.taken - seen.started
        assert seen.line == f"listening on {here.at}; 3 of 3 agents up"
        of = seen.resolver
        assert of is not None
        assert of.listening == (str(here.at),)
        assert (of.domain, of.missing, of.watches, of.changes) == ("consul", (), (), ())
        assert (of.counters["queries"], of.counters["cached"], of.in_flight) == (3, 0, 0)
        assert (of.cache.entries, of.cache.denials, of.cache.size) == (2, 1, 10_000)
        *agents, outside = of.upstreams
        names = [one.name for one in agents]
        assert [(one.kind, one.state, one.drained) for one in agents] == [
            ("agent", "up", False)
        ] * 3
        assert (outside.kind, outside.port) == ("recursor", recursor.port)
        assert agents[0].rtt is not None
        assert 0 < agents[0].rtt < 1
        assert all(abs(one.since - time.time()) < 5 for one in agents)
        assert [(one.label, one.policy, one.members, one.first, one.why) for one in of.groups] == [
            ("agents", "ordered", tuple(names), names[0], "the first in order, and up"),
            ("recursors", "ordered", (outside.name,), outside.name, "the only one, and up"),
        ]


async def test_who_is_in_reserve_is_asked_how_it_is_while_somebody_looks() -> None:
    async with world() as here:
        await here.ask(NAME)
        reserve = here.agents[2]
        await reserve.stop()
        before = here.engine.upstreams()[2].sent
        for _ in range(3):
            here.skip(1)
        assert here.engine.upstreams()[2].sent == before
        assert here.states() == ["up"] * 3
        here.watched.snapshot()
        here.skip(1)
        await until(lambda: here.states()[2] == "down")
        (fault,) = here.watched.snapshot().faults
        assert fault == f"agent {here.engine.upstreams()[2].name} is down"


async def test_who_is_taken_out_is_not_asked_how_it_is() -> None:
    async with world() as here:
        drained = here.engine.upstreams()[2]
        here.watched.order("drain", {"server": drained.name})
        sent = drained.sent
        here.watched.snapshot()
        here.skip(1)
        here.skip(1)
        assert drained.sent == sent


async def test_who_fell_and_who_took_over_is_told_by_the_time_of_day() -> None:
    async with world() as here:
        first, second, _ = here.engine.upstreams()
        await here.agents[0].stop()
        here.engine.prober.probe(first)
        await here.until("down", "up", "up")
        here.engine.health.rank(second, "knows no leader")
        here.engine.prober.look(here.engine.clock.now())
        seen = here.watched.snapshot()
        assert seen.resolver is not None
        (group,) = seen.resolver.groups
        assert group.first == here.engine.upstreams()[2].name
        assert group.why == (
            f"the first in order that is up: {first.name} is down;"
            f" {second.name} is behind the others (knows no leader)"
        )
        fell, behind = seen.resolver.changes
        assert (fell.server, fell.kind, fell.before, fell.after) == (
            first.name, "agent", "up", "down",
        )  # fmt: skip
        assert fell.why.endswith(f"; {second.name} takes over")
        assert (behind.before, behind.after) == ("up", "up")
        assert abs(fell.at - time.time()) < 2
        assert seen.resolver.upstreams[0].since == pytest.approx(fell.at, abs=0.1)
        assert seen.line.endswith(f"2 of 3 agents up; agent {first.name} is down")
        # It is what the next one begins with, whatever the settings are by then.
        await here.server.reload(here.server.settings)
        again = here.watched.snapshot().resolver
        assert again is not None
        assert again.changes == (fell, behind)
        assert again.upstreams[0].since == seen.resolver.upstreams[0].since


async def test_what_did_not_change_looks_the_same() -> None:
    async with world(consul={"policy": "round_robin"}) as here:
        assert (await here.ask(NAME)).data == GALERA
        first = here.watched.snapshot()
        asked = [one.name for one in here.engine.table.routes.groups[0].order()]
        for _ in range(2):
            assert replace(here.watched.snapshot(), taken=first.taken) == first
        # Nor is it anybody's turn because somebody looked.
        after = [one.name for one in here.engine.table.routes.groups[0].order()]
        assert after == [*asked[1:], asked[0]]
        assert first.resolver is not None
        names = ", ".join(one.name for one in here.engine.upstreams())
        assert first.resolver.groups[0].why == f"they take turns: {names}"


async def test_when_nobody_is_up() -> None:
    async with world(agents=2) as here:
        for number, upstream in enumerate(here.engine.upstreams()):
            await here.agents[number].stop()
            here.engine.prober.probe(upstream)
        await here.until("down", "down")
        seen = here.watched.snapshot()
        assert not seen.ready
        assert seen.faults == ("no agent is up",)
        assert seen.resolver is not None
        (group,) = seen.resolver.groups
        assert group.why == "none is up: this one is down, and asked all the same"


async def test_round_trips_of_the_last_minutes() -> None:
    async with world() as here:
        for _ in range(3):
            await here.ask(NAME)
            here.skip(EVERY)
        seen = here.watched.snapshot().resolver
        assert seen is not None
        first, second, third = (one.rtts for one in seen.upstreams)
        assert len(first) == 3
        assert all(first)
        # Those were asked once, at the start.
        assert second[1:] == third[1:] == (None, None)


def test_a_pulse_is_bounded_and_forgets_who_is_gone() -> None:
    one, other = upstream("one"), upstream("other")
    kept = Pulse()
    for number in range(pulse.MOST + 5):
        now = number * EVERY
        one.last_reply, one.srtt = now, 0.001
        kept.look([one, other], now)
        kept.look([one, other], now + 1)
    assert kept.of(one) == (0.001,) * pulse.MOST
    assert kept.of(other) == (None,) * pulse.MOST
    kept.look([one], now + EVERY)
    assert kept.of(one)[-1] is None
    assert kept.of(other) == ()


def test_a_timeline_is_bounded() -> None:
    kept = Timeline()
    for number in range(MOST + 10):
        kept.add(Changed(float(number), "one", "agent", "up", "down", "does not answer"))
    assert timeline.MOST == 200 == len(list(kept))
    assert next(iter(kept)).at == 10


async def test_a_server_that_has_not_started_and_one_that_ends() -> None:
    server = Server(settings(None))
    watched = WatchedServer(server)
    seen = watched.snapshot()
    assert (seen.phase, seen.ready, seen.resolver, seen.line) == (
        "starting", False, None, "starting",
    )  # fmt: skip
    await server.start()
    assert watched.snapshot().phase == "running"
    await server.stop()
    seen = watched.snapshot()
    assert (seen.phase, seen.ready, seen.line) == ("stopping", False, "stopping")


async def test_it_is_json() -> None:
    async with world() as here:
        await here.ask(NAME)
        found = json.loads(json.dumps(to_json(here.watched.snapshot())))
        assert found["format"] == 1
        assert found["resolver"]["counters"]["queries"] == 1


def test_what_orders_need_is_not_loaded_before_the_first() -> None:
    """It takes time that a server is to answer in already."""
    code = "import sys, consulfwd.daemon as d; print('consulfwd.ops.orders' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
