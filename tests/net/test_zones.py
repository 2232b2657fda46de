"""Thousands of conditional zones: what happens regularly costs what it would cost with ten.

Work is counted in lines of Python that run, so that no machine is too slow for it.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from consulfwd.config import Recursor as Configured
from consulfwd.core import pulse
from consulfwd.core.health import Health
from consulfwd.core.routes import MOST_SHOWN, Kind
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.net.routing import build_routes
from tests.loopback import OWN
from tests.net.conftest import TLS_NAME
from tests.net.recursor import Recursor
from tests.net.world import World, settings, until, world

FEW, MANY, MOST = 10, 2_000, 3_000
THREE = ["10.9.0.1", "10.9.0.2", "10.9.0.3"]


def zones(count: int, shared: bool) -> dict[str, list[str]]:
    """Zones over the same three servers, or each over one of its own."""
    if shared:
        return {f"z{number}.example": THREE for number in range(count)}
    return {f"z{number}.example": [f"10.8.{number >> 8}.{number & 255}"] for number in range(count)}


def lines(work: Callable[[], object]) -> int:
    """Return how many lines run, turns of comprehensions included, while this is done."""
    ran = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal ran
        ran += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return ran


def tick(here: World) -> None:
    here.skip(1)


def status(here: World) -> None:
    assert "of 3 agents up" in here.watched.line()


def one_falls_and_is_probed(here: World) -> None:
    """Told, tested for a loop, and asked again: all that follows from one change of health."""
    engine = here.engine
    upstream = forwarder(here)
    now = engine.clock.now()
    # So sure a refusal is on the host; from off it, it is a sign among others.
    upstream.on_host = True
    engine.health.refused(upstream, now, "connection refused")
    engine.prober.look(now)
    engine.prober._probe_again(upstream)
    assert upstream.state is State.DOWN
    upstream.probe_at = now + 3600


def one_is_doubted(here: World) -> None:
    upstream = forwarder(here)
    here.engine.health.doubt(upstream, here.engine.clock.now())
    sent = upstream.sent
    here.skip(1)
    assert upstream.sent == sent + 1


def forwarder(here: World) -> Upstream:
    return next(one for one in here.engine.upstreams() if not one.is_agent and one.up)


async def begun(here: World) -> None:
    """What is done at the start is over, whoever took longer for it.

    Nobody is to be woken any more, and what those that are shown took was noted just now.
    """
    await until(lambda: all(one.srtt for one in here.engine.upstreams() if one.is_agent))
    here.skip(max(here.engine.table.deadline, pulse.EVERY) + 1)
    here.engine.driver._timers._due()
    assert here.engine.driver._timers._handle is None


@pytest.mark.parametrize("shared", [True, False], ids=["the same servers", "servers of their own"])
async def test_what_happens_regularly_costs_the_same(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs: dict[int, dict[str, int]] = {}
    for count in (FEW, MANY):
        async with world(forward=zones(count, shared)) as here:
            await begun(here)
            # Nothing is sent: nobody is there.
            monkeypatch.setattr(here.engine.channels, "send", lambda *_: None)
            here.skip(1)
            done = (tick, status, one_is_doubted, one_falls_and_is_probed)
            costs[count] = {what.__name__: lines(lambda: what(here)) for what in done}  # noqa: B023
    few, many = costs[FEW], costs[MANY]
    assert all(0 < many[what] <= few[what] + 50 for what in few), costs


@pytest.mark.usefixtures("trusted")
async def test_only_channels_with_something_under_way_are_looked_at(tls: ssl.SSLContext) -> None:
    zone = {("www.z7.example", "A"): ["A 192.0.2.1"], ("www.z8.example", "A"): ["A 192.0.2.2"]}
    async with Recursor(zone, tls=tls) as server:
        over_tls = f"tls://{OWN}:{server.tls_port}#{TLS_NAME}"
        forward = {"z7.example": [f"{OWN}:{server.port}"], "z8.example": [over_tls]}
        async with world(forward=forward) as here:
            channels = here.engine.channels
            for upstream in here.engine.upstreams():
                upstream.on_host = upstream.is_agent
            before = len(channels._busy)
            for number in (7, 8):
                assert (await here.ask(f"www.z{number}.example")).rcode == "NOERROR"
            assert (len(channels._busy), len(channels._datagram)) == (before + 2, before + 1)
            here.skip(30)
            assert len(channels._busy) == before


@pytest.mark.parametrize("shared", [True, False], ids=["the same servers", "servers of their own"])
def test_zones_with_the_same_servers_have_one_group(shared: bool) -> None:
    health = Health()
    found = settings(None, consul={"agents": ["10.9.0.1"]}, forward=zones(MOST, shared))
    routes = build_routes(found, [Configured(address="10.9.0.4")], health)
    assert sum(route.kind is Kind.FORWARD for route in routes) == MOST
    assert len(routes.groups) == 2 + (1 if shared else MOST)
    assert [group.label for group in routes.measured] == ["agents"]
    assert len(routes.upstreams) == 2 + (3 if shared else MOST)
    labels = [group.label for group in routes.groups[1:3]]
    assert labels[0] == "forwarders of z0.example" + (" and 2999 more" if shared else "")
    (last,) = {one.groups[0] for one in routes if one.zone == b"\x05z2999\x07example\0"}
    assert [one.address for one in last.members] == (THREE if shared else ["10.8.11.183"])
    # Of all the zones that ask a server, one is enough to know how.
    assert len(list(routes.asking(last.members[0]))) == 1


def test_zones_whose_servers_come_in_another_order_have_another_group() -> None:
    forward = {"a.example": THREE, "b.example": THREE[::-1], "c.example": THREE[:2]}
    routes = build_routes(settings(None, forward=forward), [], Health())
    assert [group.label for group in routes.groups if not group.members[0].is_agent] == [
        "forwarders of a.example", "forwarders of b.example", "forwarders of c.example",
    ]  # fmt: skip


async def test_a_picture_shows_some_of_thousands_and_whoever_is_not_well() -> None:
    forward = zones(MOST, shared=False)
    async with Recursor() as recursor, world(recursor, forward=forward) as here:
        last = here.engine.upstreams()[-1 if here.engine.upstreams()[-1].port == 53 else -2]
        last.on_host = True
        here.engine.health.refused(last, here.engine.clock.now(), "connection refused")
        # What is shown, and one look at each of the others: a few milliseconds.
        assert lines(here.watched.snapshot) < 20 * MOST
        seen = here.watched.snapshot().resolver
        assert seen is not None
        assert seen.upstreams_in_all == MOST + 4
        assert len(seen.upstreams) == MOST_SHOWN + 1
        assert [one.kind for one in seen.upstreams[:3]] == ["agent"] * 3
        # Who all names go to comes before who a zone goes to.
        assert seen.upstreams[3].port == recursor.port
        assert (seen.upstreams[-1].name, seen.upstreams[-1].state) == (last.name, "down")
        assert len(seen.groups) == len(seen.upstreams) - 2
