"""A machine that was paused with every clock: nothing from before is given as fresh after it."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from consulfwd.core.leaps import LEAP
from consulfwd.net import loop as own_loop
from consulfwd.net import resolver
from consulfwd.net.clock import ClockSet
from consulfwd.net.flight import Flight
from tests.net.messages import parse, question
from tests.net.world import GALERA, World, until, world

NAME = "galeradb.service.consul"
LEFT = GALERA[1:]


async def cached(here: World) -> None:
    """Have an answer in the cache and in the hot table; it changes at the agents then."""
    here.cluster.dns.service_ttl = 60
    async with here.udp() as client:
        for _ in range(4):
            client.send(question(NAME, ident=7))
            assert parse(await client.receive()).data == GALERA
    assert here.counters.hot > 0
    here.cluster.catalog.set_check("galera1", "critical")


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("seen", ["each second", "after a gap", "as it is set"])
async def test_nothing_from_before_a_pause_is_fresh(
    seen: str, tcp: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "consulfwd.resolver")
    # The kernel would say so when the time is set; here it does at a moment of ours.
    made: list[ClockSet] = []

    def clock_set() -> ClockSet:
        made.append(ClockSet())
        return made[-1]

    monkeypatch.setattr(resolver, "ClockSet", clock_set)
    async with world() as here:
        await cached(here)
        here.engine.ticks.cancel()
        here.leap(3600)
        if seen == "each second":
            here.tick()
        elif seen == "after a gap":
            here._clock.offset += 2
        else:
            (clock,) = made
            clock._at = time.time() + 0.01
            clock._arm()
            await until(lambda: "stopped for 1 h" in caplog.text)
        assert (await here.ask(NAME, tcp=tcp, ident=7)).data == LEFT
        here.tick()
    told = [one.getMessage() for one in caplog.records if "stopped" in one.getMessage()]
    assert told == [
        "this host was stopped for 1 h 0 min, or its clock is right now:"
        " answers are that much older"
    ]


def test_that_the_clock_was_set_is_heard_before_what_clients_ask() -> None:
    """Both may be there at once when a machine goes on."""
    loop = own_loop.ServerLoop()
    clock, (client, server) = ClockSet(time.time() - 1), socket.socketpair()
    heard: list[str] = []

    def asked() -> None:
        server.recv(8)
        heard.append("a query")
        loop.call_soon(loop.stop)

    def was_set() -> None:
        clock.again()
        heard.append("the clock")

    try:
        client.send(b"query")
        own_loop.watch(loop, server, asked)
        own_loop.watch(loop, clock, was_set, first=True)
        loop.run_forever()
        assert heard == ["the clock", "a query"]
        own_loop.unwatch(loop, server)
        own_loop.unwatch(loop, clock)
    finally:
        for one in (client, server, clock, loop):
            one.close()


@pytest.mark.parametrize("steps", [(LEAP - 0.1,), (-3600,), (-3600, LEAP - 0.1)])
async def test_a_clock_that_is_set_a_little_or_back_changes_nothing(steps: tuple[float]) -> None:
    async with world() as here:
        await cached(here)
        asked = len(here.asked())
        for step in steps:
            here.leap(step)
            here.tick()
        assert (await here.ask(NAME, ident=7)).data == GALERA
        assert len(here.asked()) == asked


async def test_a_wrong_clock_that_is_set_right_at_the_start_changes_nothing() -> None:
    async with world() as here:
        here.leap(-here._clock.wall())  # 1970
        here.tick()
        await cached(here)
        asked = len(here.asked())
        here.leap(time.time())
        here.tick()
        assert (await here.ask(NAME, ident=7)).data == GALERA
        assert len(here.asked()) == asked


@pytest.mark.parametrize(("leap", "rcode"), [(3600, "NOERROR"), (86_400 + 3600, "SERVFAIL")])
async def test_what_may_be_given_as_stale_ages_too(leap: float, rcode: str) -> None:
    async with world(query={"deadline": 0.3}) as here:
        await cached(here)
        here.leap(leap)
        here.tick()
        for agent in here.agents:
            await agent.stop()
        reply = await here.ask(NAME)
        assert (reply.rcode, reply.data) == (rcode, GALERA if rcode == "NOERROR" else [])
        assert [code for code, _ in reply.ede] == [3 if rcode == "NOERROR" else 23]


async def test_what_is_in_flight_goes_on() -> None:
    async with world(patience=2.0) as here:
        here.agents[0].faults.any.delay.on(0.1)
        asking = asyncio.ensure_future(here.ask(NAME))
        await until(lambda: here.asked() == ["1 udp"])
        here.leap(3600)
        here.tick()
        assert (await asking).data == GALERA
        assert (here.states(), here.counters.failed) == (["up"] * 3, 0)


@pytest.mark.parametrize("seen", ["as time leaps", "by the clock that goes on"])
@pytest.mark.parametrize("relayed", [True, False])
async def test_what_was_asked_before_is_given_and_not_kept(relayed: bool, seen: str) -> None:
    patience = 2.0 if relayed else 0.02
    async with world(agents=1, patience=patience, query={"deadline": 5.0}) as here:
        here.cluster.dns.service_ttl = 60
        agent = here.agents[0]
        agent.faults.any.delay.on(0.3)
        asking = asyncio.ensure_future(here.ask(NAME, ident=7))
        await until(lambda: "1 udp" in here.asked())
        if not relayed:
            await until(lambda: isinstance(next(iter(here.engine.flights.values())), Flight))
        # The reply is read when all goes on; it may have come at any time since.
        if seen == "as time leaps":
            here.leap(3600)
            here.tick()
        else:
            here._clock.offset += 4
        assert (await asking).data == GALERA
        agent.faults.any.delay.off()
        here.cluster.catalog.set_check("galera1", "critical")
        assert (await here.ask(NAME, ident=7)).data == LEFT
        asked = len(here.asked())
        assert (await here.ask(NAME, ident=7)).data == LEFT
        assert len(here.asked()) == asked
