"""Clients that ask too much over UDP, and questions about names nobody knows, at a whole server."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any

import dns.flags
import dns.message
import pytest

from consulfwd.config import Endpoint
from consulfwd.core.limits import Limiter
from consulfwd.net import limited, mmsg, questions, table, udp, udp_base
from consulfwd.net.udp import UdpListener
from tests.net.messages import parse, question
from tests.net.world import UdpClient, World, ask, settings, until, world

NAME = "galeradb.service.consul"
GALERA = ["10.0.10.11", "10.0.10.12", "10.0.10.13"]
# Three queries at once, and one more after twenty seconds.
FEW = {"per_client": 1, "per_network": 1000, "burst": 3.0, "own_host": True}


async def told(client: UdpClient, packet: bytes, count: int) -> list[bytes]:
    """What comes back when a query is asked so often."""
    for _ in range(count):
        client.send(packet)
    replies: list[bytes] = []
    with contextlib.suppress(AssertionError):
        while len(replies) < count:
            replies.append(await client.receive(0.2))
    return replies


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"])
@pytest.mark.parametrize("edns", [1232, None], ids=["EDNS", "plain"])
async def test_who_is_over_is_told_to_come_by_tcp(listen: str, edns: int | None) -> None:
    allow = {"allow": ["127.0.0.0/8", "::1"]}
    async with world(listen=[listen], access=allow, limits=FEW) as here:
        at = here.at
        if at.host == "0.0.0.0":
            at = Endpoint(host="127.0.0.1", port=at.port)
        packet = question(NAME, edns=edns)
        async with UdpClient(at) as client:
            replies = await told(client, packet, 10)
        # What had to be asked for comes last.
        cut, full = replies[:7], replies[7:]
        assert [sorted(parse(one).data) for one in full] == [GALERA] * 3
        for one in cut:
            reply = dns.message.from_wire(one)
            assert (reply.flags & dns.flags.TC > 0, reply.answer) == (True, [])
            assert dns.message.from_wire(packet).is_response(reply)
            assert (reply.edns >= 0) is (edns is not None)
            # Nobody gains anything by asking in another's name.
            assert len(one) <= len(packet)
        assert (here.counters.queries, here.counters.limited, here.counters.slipped) == (10, 7, 7)
        # Whoever comes by TCP is where it says.
        over_tcp = [await ask(at, NAME, tcp=True) for _ in range(5)]
        assert [sorted(one.data) for one in over_tcp] == [GALERA] * 5


async def test_another_client_has_limits_of_its_own_and_a_network_has_some() -> None:
    rules = {**FEW, "per_network": 2, "burst": 3.0}
    async with world(limits=rules) as here:
        expected = {"127.0.0.2": 3, "127.0.0.3": 3, "127.0.0.4": 0, "127.0.1.4": 3}
        for source, full in expected.items():
            async with UdpClient(here.at, source) as client:
                replies = await told(client, question(NAME), 5)
            assert len([one for one in replies if parse(one).data]) == full, source


@pytest.mark.parametrize(("slip", "cut"), [(2, 5), (0, 0)])
async def test_of_those_over_each_so_manyth_is_told(slip: int, cut: int) -> None:
    async with world(limits={**FEW, "slip": slip}) as here, here.udp() as client:
        assert len(await told(client, question(NAME), 13)) == 3 + cut
        assert (here.counters.limited, here.counters.slipped) == (10, cut)


async def test_this_host_is_not_limited_unless_that_is_asked_for() -> None:
    async with world(limits={**FEW, "own_host": False}) as here, here.udp() as client:
        replies = await told(client, question(NAME), 50)
        assert [sorted(parse(one).data) for one in replies] == [GALERA] * 50
        # Not even looked at, where nobody else can send.
        ((listener, _),) = here.server._listening.listeners.values()
        assert isinstance(listener, UdpListener)
        assert listener._trusted()


async def test_what_is_no_query_is_not_answered_when_it_is_too_much() -> None:
    packet = question(NAME)
    response = packet[:2] + b"\x81\x80" + packet[4:]
    async with world(limits=FEW) as here, here.udp() as client:
        await told(client, packet, 3)
        update = packet[:2] + b"\x28\0" + packet[4:]
        for rubbish in (response, packet[:20], b"", update, b"\xff" * 60):
            client.send(rubbish)
        assert await told(client, packet[:12], 1) == []
        assert here.counters.slipped == 0
        # The empty datagram counts, too.
        assert here.counters.limited == 6


async def test_who_proves_where_it_is_may_ask_on() -> None:
    asked: list[tuple[bytes, bytes]] = []

    def proves(address: bytes, query: bytes) -> bool:
        asked.append((address, query))
        return query[:2] == b"\0\7"

    async with world(limits=FEW) as here, here.udp() as client:
        here.server._access.proves = proves
        await told(client, question(NAME, ident=1), 3)
        replies = await told(client, question(NAME, ident=7), 2)
        replies += await told(client, question(NAME, ident=8), 2)
        assert [len(parse(one).data) for one in replies] == [3, 3, 0, 0]
        assert asked[0] == (b"\x7f\0\0\1", question(NAME, ident=7))
        assert len(asked) == 4


async def test_queries_that_are_noted_are_limited_as_others() -> None:
    async with world(limits=FEW, log={"queries": True}) as here, here.udp() as client:
        replies = await told(client, question(NAME), 10)
        assert sorted(len(parse(one).data) for one in replies) == [0] * 7 + [3] * 3


async def test_a_reload_changes_the_limits_and_the_same_ones_stay_as_full_as_they_were() -> None:
    async with world(limits=FEW) as here, here.udp() as client:
        await told(client, question(NAME), 3)

        async def full_after(**rules: Any) -> int:
            await here.server.reload(settings(here.cluster, limits={**FEW, **rules}))
            return sum(bool(parse(one).data) for one in await told(client, question(NAME), 5))

        assert await full_after() == 0
        assert await full_after(burst=4.0) == 4
        assert await full_after(exempt=["127.0.0.0/8"]) == 5
        assert await full_after(per_client=0, per_network=0) == 5


def off_host(
    here: World, host: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Callable[[bytes], None], list[bytes]]:
    """Return what lets the listener hear a query of another host, and what it sends."""
    ((listener, _),) = here.server._listening.listeners.values()
    listener.on_host = False
    sent: list[bytes] = []
    monkeypatch.setattr(listener, "send", lambda reply, peer: sent.append(reply))
    return lambda packet: listener.query(packet, None, host), sent


async def test_any_of_other_hosts_is_answered_over_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(access={"allow": ["192.0.2.0/24", "127.0.0.1"]}) as here:
        assert sorted((await here.ask(NAME, "ANY")).data) == GALERA
        hear, sent = off_host(here, "192.0.2.7", monkeypatch)
        hear(question(NAME, "ANY"))
        (reply,) = map(parse, sent)
        assert (reply.data, "tc" in reply.flags) == ([], True)
        assert sorted((await ask(here.at, NAME, "ANY", tcp=True)).data) == GALERA


async def test_who_may_not_ask_is_not_told_so_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        hear, sent = off_host(here, "192.0.2.7", monkeypatch)
        for _ in range(100):
            hear(question(NAME))
        assert {parse(reply).rcode for reply in sent} == {"REFUSED"}
        assert 20 <= len(sent) <= 25
        assert here.counters.limited == 100 - len(sent)


# -- unknown names ------------------------------------------------------------------------------


def unknown(number: int) -> str:
    return f"x{number}.service.consul"


async def test_unknown_names_take_so_many_places_and_known_ones_none() -> None:
    async with world(limits={"unknown": 10}, query={"deadline": 0.6}) as here:
        assert sorted((await here.ask(NAME)).data) == GALERA
        here.skip(1)
        for agent in here.agents:
            agent.faults.frozen = True
            agent.queries.clear()
        async with UdpClient(here.at) as client, UdpClient(here.at, "127.0.0.2") as other:
            for number in range(40):
                client.send(question(unknown(number), ident=number))
            replies = [parse(await client.receive(0.3)) for _ in range(25)]
            assert {(one.rcode, one.ede[0][0]) for one in replies} == {("SERVFAIL", 0)}
            assert "unknown names" in replies[0].ede[0][1]
            await until(lambda: len(here.engine.flights) == 15)
            # Another client has its turn.
            for number in range(5):
                other.send(question(unknown(100 + number), ident=number))
            await until(lambda: len(here.engine.flights) == 20)
            # What was answered a while ago is asked for, whoever wants it.
            client.send(question(NAME, ident=99))
            await until(lambda: len(here.engine.flights) == 21)
            left = [parse(await client.receive()) for _ in range(16)]
            assert {one.rcode for one in left} == {"SERVFAIL", "NOERROR"}
            assert [sorted(one.data) for one in left if one.id == 99] == [GALERA]
            for _ in range(5):
                await other.receive()
        assert here.counters.shielded == 25
        await until(lambda: not here.engine.flights)
        here.tick()
        assert len(here.engine.table.shield) == 0


async def test_the_other_family_of_a_known_name_is_known() -> None:
    async with world(limits={"unknown": 2}, query={"deadline": 0.3}) as here, here.udp() as client:
        await here.ask(NAME)
        for agent in here.agents:
            agent.faults.frozen = True
        for number in range(9):
            client.send(question(unknown(number), ident=number))
        await until(lambda: here.counters.shielded == 6)
        client.send(question(NAME, "AAAA", ident=77))
        await until(lambda: len(here.engine.flights) == 4)
        assert here.counters.shielded == 6


async def test_who_waits_in_all_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_WAITERS_IN_ALL", 6)
    async with world(query={"deadline": 0.3}) as here, here.udp() as client:
        here.tick()
        for agent in here.agents:
            agent.faults.frozen = True
        for number in range(12):
            client.send(question(unknown(number % 3), ident=number))
        refused = [parse(await client.receive(0.25)) for _ in range(3)]
        assert {one.ede[0][1] for one in refused} == {"too many queries in flight"}
        for _ in range(9):
            await client.receive()
        here.tick()
        client.send(question(unknown(1), ident=50))
        client.send(question(unknown(1), ident=51))
        assert {parse(await client.receive()).id for _ in range(2)} == {50, 51}


def test_what_the_log_says(caplog: pytest.LogCaptureFixture) -> None:
    limiter = Limiter()
    log = limited.Limited(limiter)
    caplog.set_level(logging.WARNING, "consulfwd.limits")
    log.look(0, 0.0)
    assert caplog.messages == []
    limiter.over_in_all, limiter.last = 7, b"\x0a\0\0\1"
    log.look(0, 1.0)
    log.look(0, 70.0)
    # Told again no sooner than after a while, with all that came meanwhile, if it lasts.
    limiter.over_in_all = 10
    log.look(3, 71.0)
    limiter.over_in_all = 12
    log.look(9, 72.0)
    over = "queries over the limits of their clients: {}, the last one from 10.0.0.1 ({})"
    keys = "limits.per_client, limits.per_network"
    shielded = "questions about unknown names not asked, as too many are in flight: {}"
    assert caplog.messages == [
        over.format(7, keys),
        over.format(3, keys),
        shielded.format(3) + " (limits.unknown)",
    ]


# -- more than can be answered --------------------------------------------------------------------

PLENTY = {"own_host": True, "per_client": 100_000, "per_network": 1_000_000}


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0"])
async def test_unknown_names_are_taken_in_turns_while_more_comes_than_can_be_answered(
    listen: str,
) -> None:
    allow = {"allow": ["127.0.0.0/8"]}
    async with world(listen=[listen], access=allow, limits=PLENTY) as here:
        at = Endpoint(host="127.0.0.1", port=here.at.port)
        ((listener, _),) = here.server._listening.listeners.values()
        assert (await ask(at, NAME)).rcode == (await ask(at, NAME, "AAAA")).rcode == "NOERROR"
        listener._behind(here.engine.clock.now())
        async with UdpClient(at, "127.0.0.2") as client, UdpClient(at, "127.0.0.3") as other:
            for number in range(60):
                client.send(question(unknown(number), ident=number))
            replies = [parse(await client.receive()) for _ in range(60)]
            told = [one for one in replies if "tc" in one.flags]
            assert len(told) == here.counters.slipped
            assert 30 <= len(told) <= 40
            # Another one has its turn, and what is known is answered whoever asks.
            other.send(question(unknown(99), ident=99))
            assert "tc" not in parse(await other.receive()).flags
            for qtype in ("A", "AAAA"):
                client.send(question(NAME, qtype))
                reply = parse(await client.receive())
                assert ("tc" in reply.flags, reply.rcode) == (False, "NOERROR")
            # A second later nobody is held up any more.
            here.skip(udp_base.PRESSED_S + 0.1)
            for number in range(60):
                client.send(question(unknown(number), ident=number))
            replies = [parse(await client.receive()) for _ in range(60)]
            assert not any("tc" in one.flags for one in replies)


async def test_what_does_not_come_to_an_end_is_noticed() -> None:
    async with world(limits=PLENTY) as here, here.udp() as client:
        ((listener, _),) = here.server._listening.listeners.values()
        packet, before = question(NAME), here.engine.clock.now()
        few = (udp.ROUNDS - 1) * mmsg.BATCH + udp.WORTH_ANOTHER
        for _ in range(few - 1):
            client.send(packet)
        await client.receive()
        assert listener.pressed_until == 0.0
        for _ in range(few):
            client.send(packet)
        await client.receive()
        await until(lambda: listener.pressed_until >= before + udp_base.PRESSED_S)


async def test_questions_asked_again_are_not_pushed_out_by_made_up_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(questions, "MAX_ASKS", 20)
    async with world() as here:
        ready = here.engine.front.questions
        for _ in range(3):
            await here.ask(NAME)
        asked = {raw for raw, ask in ready.asks.items() if ask.known}
        assert len(asked) == 1
        for number in range(100):
            ready.prepare(question(unknown(number)))
            assert len(ready.asks) <= 20
            assert asked <= ready.asks.keys()
        # Where nearly all were asked again there is no telling them apart.
        for ask in ready.asks.values():
            ask.warm = 1
        for number in range(100, 130):
            ready.prepare(question(unknown(number)))
            assert len(ready.asks) <= 20
