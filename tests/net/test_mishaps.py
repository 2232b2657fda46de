"""An error of ours at one message: it is told once, that message gets SERVFAIL, all else goes on.

The errors are put where they would come from: into what reads, keeps or makes one name's answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from consulfwd.core.attempts import Attempts
from consulfwd.core.cache import Cache
from consulfwd.dns import message, replies
from consulfwd.net import driver, mmsg, relays
from consulfwd.net.answers import Answers
from consulfwd.net.timers import Timers
from consulfwd.net.upstream import SharedUdp
from tests.net.messages import Reply, parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, World, until, world

BAD = b"\x03bad"
NAMES = [f"n{number}.test" for number in range(20)]
RECORDS = {(name, "A"): ["A 192.0.2.1"] for name in [*NAMES, "bad.test", "www.test"]}
LISTENERS: dict[str, dict[str, Any]] = {
    "trusted": {},
    "each client looked at": {"access": {"allow": ["127.0.0.1"]}},
    "all addresses": {"listen": ["0.0.0.0:0"]},
}


class Mishap(Exception):
    """What nobody expects."""


@contextmanager
def heard() -> Iterator[list[BaseException]]:
    """Collect what the event loop is told of; everything must be an error of these tests."""
    told: list[BaseException] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
    try:
        yield told
    finally:
        loop.set_exception_handler(before)
    assert [type(error) for error in told] == [Mishap] * len(told)
    assert all(error.__traceback__ is not None for error in told)


def fails_for_bad(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that raises where its arguments tell of the bad name."""

    def instead(*arguments: Any, **named: Any) -> Any:
        for one in arguments:
            said = getattr(one, "name", None) or getattr(getattr(one, "ask", None), "name", None)
            lookup = getattr(getattr(one, "lookup", None), "ask", None)
            found = (one, said, getattr(lookup, "name", None))
            if any(isinstance(what, bytes) and BAD in what for what in found):
                raise Mishap
        return call(*arguments, **named)

    return instead


@asynccontextmanager
async def recursive(**how: Any) -> AsyncIterator[World]:
    async with Recursor(RECORDS) as recursor, world(recursor, **how) as here:
        # From here on the way to it is open, and queries take the short one.
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        yield here


def burst(names: list[str]) -> list[bytes]:
    """Queries for these names with the bad one in their midst; its ID is 999."""
    packets = [question(name, ident=ident) for ident, name in enumerate(names)]
    return [*packets[:10], question("bad.test", ident=999), *packets[10:]]


async def answers(client: Any, count: int) -> dict[int, Reply]:
    found = [parse(await client.receive()) for _ in range(count)]
    assert len({one.id for one in found}) == count
    return {one.id: one for one in found}


def all_but_bad(found: dict[int, Reply]) -> None:
    bad = found.pop(999)
    assert (bad.rcode, [code for code, _ in bad.ede]) == ("SERVFAIL", [0])
    assert {tuple(one.data) for one in found.values()} == {("192.0.2.1",)}


def fails_for_bad_flight(call: Callable[..., Any]) -> Callable[..., Any]:
    def instead(engine: Any, flight: Any, *more: Any) -> Any:
        if BAD in flight.ask.name:
            raise Mishap
        return call(engine, flight, *more)

    return instead


def when_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(relays, "read_reply", fails_for_bad(message.read_reply))
    patch.setattr(driver, "read_reply", fails_for_bad(message.read_reply))


def when_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Cache, "put", fails_for_bad(Cache.put))


def when_a_lookup_ends(patch: pytest.MonkeyPatch) -> None:
    def decide(self: Any, relay: Any, data: bytes, now: float) -> None:
        self._decide(relay, message.read_reply(data, relay.ask.question), False, now)

    patch.setattr(relays.Relays, "_learn", decide)
    patch.setattr(Answers, "keep", fails_for_bad_flight(Answers.keep))


@pytest.mark.parametrize("way", ["many per call", "one by one", "off the host"])
@pytest.mark.parametrize("where", [when_read, when_kept, when_a_lookup_ends])
async def test_at_one_reply_of_many(
    where: Callable[[pytest.MonkeyPatch], None], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without recvmmsg there is no short way: lookups ask.
    monkeypatch.setattr(mmsg, "available", way != "one by one")
    async with recursive() as here, here.udp() as client:
        if way == "off the host":
            here.engine.channels.retain(set())
            for upstream in here.engine.upstreams():
                upstream.on_host = False
        with heard() as told, monkeypatch.context() as patch:
            where(patch)
            for packet in burst(NAMES):
                client.send(packet)
            all_but_bad(await answers(client, 21))
            assert len(told) == 1
        assert not here.engine.driver.batching
        assert here.engine.flights == {}
        assert (await here.ask("bad.test")).data == ["192.0.2.1"]


async def test_at_a_reply_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those behind it in the same batch are taken in the same turn, and what they ask is sent."""
    async with recursive() as here, here.udp() as client:
        batches: list[int] = []
        taken = SharedUdp._take

        def take(self: SharedUdp, received: Any) -> Any:
            batches.append(len(received))
            # As if no time had passed: there is likely to be more.
            setattr(self._batch, "looked", 1 << 62)  # noqa: B010 - one twin has no such
            return taken(self, received)

        monkeypatch.setattr(SharedUdp, "_take", take)
        of = here.engine.driver
        monkeypatch.setattr(of, "on_relayed", fails_for_bad(of.on_relayed))
        with heard() as told:
            for packet in burst(NAMES):
                client.send(packet)
            all_but_bad(await answers(client, 21))
            assert (len(told), max(batches) > 1) == (1, True)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("where", ["joined", "first"])
async def test_at_one_of_those_who_asked_the_same(
    where: str, transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client's reply is made by itself; it fails for that spelling of the name alone."""
    async with recursive() as here:
        respond = replies.respond

        def fails(query: Any, ident: bytes, said: Any, *more: Any, **how: Any) -> bytes:
            if b"\x03BAD" in query.question and said.rcode == 0:
                raise Mishap
            return respond(query, ident, said, *more, **how)

        monkeypatch.setattr("consulfwd.dns.replies.respond", fails)
        names = ["bad.test", "BAD.test", "Bad.test", "bAd.test"]
        if where == "first":
            names = [names[1], names[0], *names[2:]]
        async with here.tcp() if transport == "tcp" else here.udp() as client:
            with heard() as told:
                for ident, name in enumerate(names):
                    client.send(question(name, ident=ident))
                found = await answers(client, 4)
                assert len(told) == 1
            told_of = {names[ident]: one.rcode for ident, one in found.items()}
            assert told_of.pop("BAD.test") == "SERVFAIL"
            assert set(told_of.values()) == {"NOERROR"}
            client.send(question("www.test", ident=7))
            assert parse(await client.receive()).data == ["192.0.2.1"]
        assert here.engine.flights == {}


@pytest.mark.parametrize("known", [False, True], ids=["new", "asked before"])
@pytest.mark.parametrize("kind", [*LISTENERS, "over TCP"])
async def test_at_one_query_of_many(
    kind: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        recursive(**LISTENERS.get(kind, {})) as here,
        here.tcp() if kind == "over TCP" else here.udp() as client,
    ):
        if known:
            for packet in burst(NAMES):
                client.send(packet)
            await answers(client, 21)
            here.skip(301)
            # The compiled lane would not come by there.
            for udp, _ in here.server._listening.listeners.values():
                if udp._lane is not None:
                    udp._lane.taker = None
        for where in ("submit",) if known else ("submit", "prepare"):
            if not known:
                here.engine.asks.clear()
            with heard() as told, monkeypatch.context() as patch:
                of = here.engine.table if where == "submit" else here.engine.front.questions
                patch.setattr(of, where, fails_for_bad(getattr(of, where)))
                for packet in burst(NAMES):
                    client.send(packet)
                all_but_bad(await answers(client, 21))
                assert len(told) == 1
        for packet in burst(NAMES):
            client.send(packet)
        assert (await answers(client, 21))[999].data == ["192.0.2.1"]


async def test_at_a_query_that_is_half_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits nowhere any more: who asks the same later is not left waiting with it."""
    async with recursive() as here:
        monkeypatch.setattr(here.engine.channels, "direct", lambda _: None)
        send = here.engine.channels.send

        def fails(attempt: Any, tail: bytes) -> str | None:
            if BAD in tail:
                raise Mishap
            return send(attempt, tail)

        with heard() as told, monkeypatch.context() as patch:
            patch.setattr(here.engine.channels, "send", fails)
            assert (await here.ask("bad.test")).rcode == "SERVFAIL"
            assert len(told) == 1
        assert here.engine.flights == {}
        assert (await here.ask("bad.test")).data == ["192.0.2.1"]


async def test_a_query_that_is_sent_after_all_is_answered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with recursive() as here, here.tcp() as client:
        flush = SharedUdp.flush

        def fails_once(self: SharedUdp) -> None:
            if self._outbox and not told:
                raise Mishap
            flush(self)

        with heard() as told:
            monkeypatch.setattr(SharedUdp, "flush", fails_once)
            client.send(question("bad.test", ident=1))
            assert parse(await client.receive()).rcode == "SERVFAIL"
            # It goes out with this one, and its reply comes with that one's.
            client.send(question("www.test", "AAAA", ident=2))
            client.send(question("n1.test", ident=3))
            assert set(await answers(client, 2)) == {2, 3}
            assert len(told) == 1
        (_, tcp), *_ = here.server._listening.listeners.values()
        assert [one._pending for one in tcp.connections] == [0]


async def test_over_a_stream_to_an_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    async with recursive() as here, here.udp() as client:
        for upstream in here.engine.upstreams():
            if not upstream.is_agent:
                upstream.transport = "tcp"
        monkeypatch.setattr(here.engine.channels, "direct", lambda _: None)
        of = here.engine.driver
        monkeypatch.setattr(of, "_on_reply", fails_for_bad(of._on_reply))
        with heard() as told:
            for packet in burst(NAMES):
                client.send(packet)
            all_but_bad(await answers(client, 21))
            assert len(told) == 1
            (stream,) = here.engine.channels._stream.values()
            assert len(stream._all) == 1


async def test_behind_an_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    async with recursive() as here:
        here.cluster.catalog.register("ext", node="ext", node_address="bad.test")
        with heard() as told, monkeypatch.context() as patch:
            patch.setattr(Answers, "keep", fails_for_bad_flight(Answers.keep))
            monkeypatch.setattr(here.engine.channels, "direct", lambda _: None)
            assert (await here.ask("ext.service.consul")).rcode == "SERVFAIL"
            assert len(told) == 1
        assert here.engine.flights == {}
        assert "192.0.2.1" in (await here.ask("ext.service.consul")).data


async def test_what_is_done_each_second_is_done_the_next_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.01)
    async with world() as here:
        with heard() as told, monkeypatch.context() as patch:

            def fails(now: float) -> None:
                raise Mishap

            patch.setattr(here.engine.channels, "sweep", fails)
            await until(lambda: len(told) >= 2)
        before = here.engine.warmth.epoch
        await until(lambda: here.engine.warmth.epoch > before)


async def test_one_that_is_down_is_probed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        await here.agents[0].stop()
        while here.states()[0] != "down":
            assert (await here.ask("galeradb.service.consul")).data == GALERA
        with heard() as told, monkeypatch.context() as patch:

            def fails(upstream: Any, **how: Any) -> None:
                raise Mishap

            patch.setattr(here.engine.prober, "probe", fails)
            await until(lambda: len(told) >= 2)
        await here.agents[0].start()
        await here.until("up", "up", "up")


async def test_one_that_is_woken_in_vain_leaves_nobody_asleep() -> None:
    class Sleeper:
        outcome = None

        def __init__(self, wake_at: float) -> None:
            self.wake_at = wake_at

    loop = asyncio.get_running_loop()
    woken: list[Attempts] = []

    def wake(lookup: Attempts, now: float) -> None:
        woken.append(lookup)
        if len(woken) % 2:
            raise Mishap

    timers = Timers(loop, loop.time, wake)
    sleepers: list[Any] = [Sleeper(loop.time() + number % 3 / 100) for number in range(9)]
    with heard() as told:
        for one in sleepers:
            timers.add(one)
        await until(lambda: len(woken) == 9)
    assert len(told) == 5
    assert set(woken) == set(sleepers)


async def test_it_is_logged_with_where_it_happened(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world() as here:
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        logger = logging.getLogger("asyncio")
        monkeypatch.setattr(logger, "propagate", False)
        logger.addHandler(caplog.handler)
        with monkeypatch.context() as patch:
            loop.set_exception_handler(None)
            of = here.engine.table
            patch.setattr(of, "submit", fails_for_bad(of.submit))
            assert (await here.ask("bad.service.consul", edns=None)).rcode == "SERVFAIL"
        loop.set_exception_handler(before)
        logger.removeHandler(caplog.handler)
    (record,) = [one for one in caplog.records if one.name == "asyncio" and one.levelno >= 40]
    assert record.exc_info is not None
    assert record.exc_info[0] is Mishap
    assert "a query failed" in record.getMessage()


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_a_stranger_fills_nothing_that_is_kept_for_clients(tcp: bool) -> None:
    async with world(access={"allow": ["127.0.0.1"]}) as here:
        await here.ask("galeradb.service.consul")
        kept = dict(here.engine.asks)
        for number in range(5):
            reply = await here.ask(f"n{number}.test", source="127.0.0.2", tcp=tcp)
            assert (reply.rcode, [code for code, _ in reply.ede]) == ("REFUSED", [18])
        assert (await here.ask("x.test", source="127.0.0.2", edns=None)).rcode == "REFUSED"
        assert here.engine.asks == kept
        assert here.counters.queries == 7
