"""One agent fails in every way there is: the client gets the right answer, and who was asked.

The transcripts say which agents were asked over what, until the answer was there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
from collections.abc import Awaitable, Callable

import pytest

from consulfwd.config.sections import QuerySettings
from consulfwd.core.order import Budget
from consulfwd.core.upstreams import AGENT, RECURSOR
from consulfwd.dev import DevAgent, Faults
from consulfwd.net.table import MAX_REFRESHING
from tests.coreless import our_time
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, TcpClient, UdpClient, World, settings, until, world

NAME = "galeradb.service.consul"
AT_ONCE = ["1 udp", "2 udp"]
TO_TCP = ["1 udp", "1 tcp"]


def short_of_edns(faults: Faults) -> None:
    """Something on the way drops EDNS: Consul then gives three answers, and does not say so."""
    faults.udp.no_edns.on()
    faults.udp.silent_cut.on(3)


def cut(then: Callable[[Faults], None]) -> Callable[[Faults], None]:
    """Replies over UDP are cut, so that TCP is asked, where something else is wrong."""

    def both(faults: Faults) -> None:
        faults.udp.truncate.on()
        then(faults)

    return both


# What is wrong with the first agent, and who is asked. Errors lead to the next agent at once,
# what cannot be trusted to TCP; silence, to the next one when the first is slower than usual.
FAULTS: dict[str, tuple[Callable[[Faults], None], list[str]]] = {
    "nothing": (lambda it: None, ["1 udp"]),
    "SERVFAIL": (lambda it: it.any.servfail.on(), AT_ONCE),
    "REFUSED": (lambda it: it.any.refused.on(), AT_ONCE),
    "FORMERR": (lambda it: it.any.formerr.on(), ["1 udp", *AT_ONCE]),
    "wrong ID": (lambda it: it.any.wrong_id.on(), AT_ONCE),
    "wrong question": (lambda it: it.any.wrong_question.on(), AT_ONCE),
    "garbage": (lambda it: it.any.garbage.on(), AT_ONCE),
    "drop": (lambda it: it.any.drop.on(), AT_ONCE),
    "delay": (lambda it: it.any.delay.on(0.5), AT_ONCE),
    "frozen": (lambda it: setattr(it, "frozen", True), ["2 udp"]),
    "truncation": (lambda it: it.udp.truncate.on(), TO_TCP),
    "silent cut": (short_of_edns, TO_TCP),
    "TCP refused": (cut(lambda it: it.tcp.refuse.on()), AT_ONCE),
    "TCP broken off": (cut(lambda it: it.tcp.half_close.on()), [*TO_TCP, "1 tcp", "2 udp"]),
    "TCP stalled": (cut(lambda it: it.tcp.stall.on()), [*TO_TCP, "2 udp"]),
    "TCP octet by octet": (cut(lambda it: it.tcp.slow.on(0.005)), [*TO_TCP, "2 udp"]),
    "TCP wrong ID": (cut(lambda it: it.tcp.wrong_id.on()), [*TO_TCP, "2 udp"]),
    "TCP wrong question": (cut(lambda it: it.tcp.wrong_question.on()), [*TO_TCP, "2 udp"]),
    "TCP SERVFAIL": (cut(lambda it: it.tcp.servfail.on()), [*TO_TCP, "2 udp"]),
}


@pytest.mark.parametrize("what", FAULTS)
async def test_the_first_agent_fails(what: str) -> None:
    break_it, asked = FAULTS[what]
    async with world() as here:
        many = [f"10.1.0.{number}" for number in range(1, 6)]
        for address in many:
            here.cluster.catalog.register("many", id=address, node=address, node_address=address)
        break_it(here.agents[0].faults)
        began = our_time()
        reply = await here.ask("many.service.consul")
        assert (reply.rcode, reply.data, here.asked()) == ("NOERROR", many, asked)
        # Nobody waited for half the deadline or more, even if the machine stalled.
        assert our_time() - began < 0.9
        assert (here.counters.failed, here.counters.stale) == (0, 0)


@pytest.mark.parametrize("what", ["SERVFAIL", "wrong ID", "garbage", "drop", "TCP refused"])
async def test_two_agents_fail(what: str) -> None:
    break_it, _ = FAULTS[what]
    async with world() as here:
        for agent in here.agents[:2]:
            break_it(agent.faults)
        reply = await here.ask(NAME)
        assert (reply.data, here.asked()) == (GALERA, ["1 udp", "2 udp", "3 udp"])


async def test_a_reply_that_comes_octet_by_octet_is_put_together() -> None:
    async with world(patience=1.0) as here:
        cut(lambda it: it.tcp.slow.on(0.0001))(here.agents[0].faults)
        assert (await here.ask(NAME)).data == GALERA
        assert here.asked() == TO_TCP


async def test_a_part_of_an_answer_is_marked_and_not_kept() -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 60
        many = [f"10.1.0.{number}" for number in range(1, 6)]
        for address in many:
            here.cluster.catalog.register("many", id=address, node=address, node_address=address)
        for agent in here.agents:
            short_of_edns(agent.faults)
            agent.faults.tcp.refuse.on()
        part = await here.ask("many.service.consul")
        assert (part.rcode, len(part.answers), "tc" in part.flags) == ("NOERROR", 3, True)
        for agent in here.agents:
            agent.faults.clear()
        whole = await here.ask("many.service.consul")
        assert (whole.data, "tc" in whole.flags) == (many, False)


async def test_whatever_the_kernel_says_of_a_socket_its_queries_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with world(patience=10.0) as here, here.udp() as client:
        here.agents[0].faults.any.drop.on()
        client.send(question(NAME))
        await until(lambda: here.asked() == ["1 udp"])
        (channel, *_) = here.engine.channels._direct.values()

        def fails() -> tuple[list[bytes], OSError]:
            return [], OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))

        with monkeypatch.context() as patched:
            patched.setattr(channel, "_received", fails)
            channel._readable()
        assert parse(await client.receive()).data == GALERA
        assert here.asked() == AT_ONCE


async def kill(agent: DevAgent) -> None:
    await agent.stop()


async def freeze(agent: DevAgent) -> None:
    agent.faults.frozen = True


async def start(agent: DevAgent) -> None:
    agent.faults.frozen = False
    await agent.start()


@pytest.mark.parametrize("end", [kill, freeze])
async def test_a_dead_agent_is_noticed_once_and_returns_by_itself(
    end: Callable[[DevAgent], Awaitable[None]],
) -> None:
    async with world() as here:
        first, second, third = here.agents
        await end(first)
        while here.states()[0] != "down":
            reply = await here.ask(NAME)
            assert (reply.data, reply.ede) == (GALERA, [])
        await until(lambda: here.states()[1:] == ["up", "up"])
        before = len(third.queries), len(second.queries)
        for _ in range(5):
            assert (await here.ask(NAME)).data == GALERA
        assert (len(third.queries), len(second.queries) - before[1]) == (before[0], 5)
        await start(first)
        await here.until("up", "up", "up")
        asked = len(first.queries)
        assert (await here.ask(NAME)).data == GALERA
        assert len(first.queries) == asked + 1


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_the_answer_of_who_was_too_slow_is_not_sent_too(tcp: bool) -> None:
    async with world() as here, here.tcp() if tcp else here.udp() as client:
        (slow, *_) = here.engine.upstreams()
        heard = slow.last_reply
        # Far later than the next one is asked, even if the machine stalls meanwhile.
        here.agents[0].faults.any.delay.on(0.6, count=1)
        client.send(question(NAME, ident=1))
        assert parse(await client.receive()).data == GALERA
        assert here.asked() == AT_ONCE
        await until(lambda: slow.last_reply > heard)
        client.send(question("localhost", ident=2))
        assert parse(await client.receive()).id == 2


async def test_an_agent_that_dies_again_returns_again_though_nobody_asks() -> None:
    async with world() as here:
        for _ in range(2):
            await here.agents[0].stop()
            while here.states()[0] != "down":
                await here.ask(NAME)
            await here.agents[0].start()
            await here.until("up", "up", "up")
            # It is well for so long that its probes end, and that the fall is forgotten.
            await asyncio.sleep(3 * AGENT.probe_first)
            here.skip(AGENT.steady + 1)


def elsewhere(here: World) -> None:
    """Take every server for one off this host."""
    for upstream in here.engine.upstreams():
        upstream.on_host = False
    here.engine.channels.retain(set())


async def test_an_agent_elsewhere_that_refuses_a_query_is_not_down_for_that() -> None:
    """Anybody may have sent the ICMP message, and an agent may be in the middle of a restart."""
    async with world(agents=2, patience=5.0) as here:
        elsewhere(here)
        await here.agents[0].stop()
        for number in range(AGENT.fall):
            # The other one is asked at once.
            assert here.states() == ["up", "up"]
            assert (await here.ask(NAME)).data == GALERA
            assert len(here.asked()) == number + 1
        assert here.states()[0] == "suspect"
        # From here on it is probed.
        await here.until("down", "up")
        await here.agents[0].start()
        await here.until("up", "up")


# Consul of 1.8 keeps the OPT of what it cuts, that of 1.19 drops it.
@pytest.mark.parametrize("generation", ["debian", "modern"])
@pytest.mark.parametrize(
    ("qtype", "meta", "udp"),
    [
        ("A", {}, 71),  # 1,184 octets; one more, and it may have been cut
        ("AAAA", {}, 40),
        # With metadata beside them all that is whole proves it: 12 take 1,221 octets.
        ("SRV", {"rack": "r1-of-the-first-row"}, 12),
        # Without, nothing does.
        ("SRV", {}, 0),
    ],
)
async def test_agents_elsewhere_cut_what_does_not_fit_and_nobody_is_told_less(
    generation: str, qtype: str, meta: dict[str, str], udp: int
) -> None:
    """TCP is used for that, and for what may have been cut, but for nothing else."""
    async with world(agents=1, patience=5.0) as here:
        elsewhere(here)
        here.cluster.dns.opt_when_cut = generation == "debian"
        network = "fd00::" if qtype == "AAAA" else "10.7.0."
        for number in range(1, udp + 12):
            name, ip = f"n{number:02}", f"{network}{number}"
            here.cluster.catalog.register(
                "many", id=name, node=name, node_address=ip, node_meta=meta, port=80
            )
            if number < udp - 12:
                continue
            before = len(here.asked())
            reply = await here.ask("many.service.consul", qtype, tcp=True)
            assert len(reply.answers) == number
            assert here.asked()[before:] == (["1 udp"] if number <= udp else TO_TCP), number


async def test_the_only_recursor_elsewhere_restarts() -> None:
    records = {("www.test", "A"): ["A 192.0.2.1"]}
    async with Recursor(records) as recursor, world(recursor) as here, here.udp() as client:
        elsewhere(here)
        await recursor.stop()
        (upstream,) = [one for one in here.engine.upstreams() if not one.is_agent]
        client.send(question("www.test"))
        await until(lambda: upstream.bad == 1)
        await recursor.start()
        assert parse(await client.receive()).data == ["192.0.2.1"]
        assert (upstream.state.value, here.counters.failed) == ("up", 0)


def left(budget: Budget) -> int:
    """Return how many more may be asked besides, and take them."""
    return sum(iter(budget.spend, False))


async def test_hedges_are_paid_by_queries_that_need_none_and_by_their_own_kind() -> None:
    records = {("www.test", "A"): ["A 192.0.2.1"]}
    async with (
        Recursor(records) as silent,
        Recursor(records) as other,
        world(silent, other, patience=1.0) as here,
    ):
        agents, recursors = here.engine.table.budgets[True], here.engine.table.budgets[False]
        full = left(agents)
        assert full in (100, 50, 25)  # less with each second in which little is asked
        for _ in range(25):
            await here.ask(NAME)
        assert left(agents) == 2
        left(recursors)
        for _ in range(10):
            recursors.earn()
        silent.silent = True
        for upstream in here.engine.upstreams():
            if not upstream.is_agent:
                quick = dataclasses.replace(RECURSOR, hedge_floor=0.02, hedge_initial=0.02)
                upstream.tuning = quick
        for _ in range(10):
            await here.ask(NAME)
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        assert other.names == ["www.test."]
        # Earned by its own queries, the last of them among these, and one was paid.
        assert (left(agents), left(recursors)) == (1, 0)


async def test_everything_asked_while_an_agent_dies_is_answered() -> None:
    # By the wall it may take longer than a query has, where others are on all cores.
    async with world(query={"deadline": 15.0}) as here, here.udp() as client:
        began = our_time()
        for turn in range(30):
            for ident in range(20):
                client.send(question(f"n{turn}-{ident}.{NAME}", ident=turn * 20 + ident))
            if turn == 10:
                await here.agents[0].stop()
            if turn == 15:
                here.agents[1].faults.frozen = True
            if turn == 20:
                await here.agents[0].start()
            await asyncio.sleep(0.002)
        replies = [await client.receive() for _ in range(600)]
        assert sorted(int.from_bytes(one[:2], "big") for one in replies) == list(range(600))
        assert {one[3] & 15 for one in replies} == {3}
        assert here.counters.failed == 0
        assert our_time() - began < QuerySettings().deadline


async def forget(here: World, *numbers: int) -> None:
    """The agents come back from a pause, not knowing their services for a while."""
    for number in numbers:
        here.agents[number].faults.frozen = True
        here.agents[number].faults.resume(nxdomain_for=60)


async def test_a_sudden_denial_needs_a_second_opinion() -> None:
    async with world() as here:
        assert (await here.ask(NAME)).data == GALERA
        await forget(here, 0)
        assert (await here.ask(NAME)).data == GALERA
        assert here.asked() == ["1 udp", "1 udp", "2 udp"]
        assert (here.counters.second_opinions, here.states()) == (1, ["suspect", "up", "up"])
        # The one that was wrong is not asked first any more.
        assert (await here.ask("web.service.consul")).rcode == "NOERROR"
        assert here.asked().count("1 udp") == 2


async def test_a_denial_two_agents_agree_on_is_believed() -> None:
    async with world() as here:
        assert (await here.ask(NAME)).data == GALERA
        for number in (1, 2, 3):
            here.cluster.catalog.deregister(f"galera{number}")
        assert (await here.ask(NAME)).rcode == "NXDOMAIN"
        assert here.asked() == ["1 udp", "1 udp", "2 udp"]
        # Now it is known not to exist: no second opinion any more.
        assert (await here.ask(NAME)).rcode == "NXDOMAIN"
        assert here.asked() == ["1 udp", "1 udp", "1 udp", "2 udp"]
        assert here.states() == ["up", "up", "up"]


async def test_a_list_that_lost_most_of_its_members_when_an_agent_came_back() -> None:
    async with world() as here:
        assert (await here.ask(NAME)).data == GALERA
        await here.agents[0].stop()
        assert (await here.ask(NAME)).data == GALERA
        await here.agents[0].start()
        await here.until("up", "up", "up")
        here.agents[0].faults.udp.silent_cut.on(1)
        assert (await here.ask(NAME)).data == GALERA
        counters = here.counters
        assert (counters.second_opinions, counters.overruled) == (1, 1)
        assert 0 < counters.opinion_seconds < 1
        assert here.states() == ["suspect", "up", "up"]


async def test_a_stale_answer_names_who_gave_it_last() -> None:
    async with world() as here:
        for _ in range(3):
            assert (await here.ask(NAME)).data == GALERA
        await here.agents[0].stop()
        for _ in range(3):
            # The same bytes as from the first one.
            assert (await here.ask(NAME)).data == GALERA
            here.skip(1)
        for agent in here.agents:
            await agent.stop()
        second = here.agents[1]
        reply = await here.ask(NAME)
        assert reply.ede == [
            (3, f"{second.address}:{second.dns_port} answered this; no upstream does now")
        ]


async def test_a_list_may_lose_most_of_its_members() -> None:
    async with world() as here:
        assert (await here.ask(NAME)).data == GALERA
        await here.agents[0].stop()
        assert (await here.ask(NAME)).data == GALERA
        await here.agents[0].start()
        await here.until("up", "up", "up")
        for number in (1, 2):
            here.cluster.catalog.deregister(f"galera{number}")
        assert (await here.ask(NAME)).data == GALERA[2:]
        assert (here.counters.second_opinions, here.counters.overruled) == (1, 0)
        assert here.states() == ["up", "up", "up"]
        # It is known now: asking again costs one query.
        before = len(here.asked())
        assert (await here.ask(NAME)).data == GALERA[2:]
        assert len(here.asked()) == before + 1


async def test_while_all_are_down_only_some_stale_answers_are_refreshed() -> None:
    names = [f"s{number}.service.consul" for number in range(MAX_REFRESHING + 40)]
    async with world(patience=0.25) as here:
        for number, name in enumerate(names):
            here.cluster.catalog.register(f"s{number}", address="10.9.0.1")
            assert (await here.ask(name)).rcode == "NOERROR"
        for agent in here.agents:
            agent.faults.frozen = True
        for upstream in here.engine.upstreams():
            here.engine.health.refused(upstream, here.engine.clock.now(), "connection refused")
        before = here.counters.forwarded
        replies = await asyncio.gather(*(here.ask(name) for name in names))
        assert {reply.ede[0][0] for reply in replies} == {3}
        assert MAX_REFRESHING <= here.counters.forwarded - before < len(names)
        for agent in here.agents:
            agent.faults.resume()
        await here.until("up", "up", "up")
        assert not (await here.ask(names[-1])).ede
        await until(lambda: not here.engine.flights)


async def test_a_denial_of_what_was_never_answered_is_believed() -> None:
    async with world() as here:
        assert (await here.ask("nope.service.consul")).rcode == "NXDOMAIN"
        assert (here.asked(), here.counters.second_opinions) == (["1 udp"], 0)


async def test_a_denial_is_taken_when_nobody_else_answers() -> None:
    async with world() as here:
        assert (await here.ask(NAME)).data == GALERA
        for agent in here.agents[1:]:
            await agent.stop()
        await forget(here, 0)
        assert (await here.ask(NAME)).rcode == "NXDOMAIN"


@pytest.mark.parametrize(
    ("policy", "asked"),
    [("ordered", {1: 6}), ("round_robin", {1: 2, 2: 2, 3: 2})],
)
async def test_policies(policy: str, asked: dict[int, int]) -> None:
    async with world(consul={"policy": policy}) as here:
        for _ in range(6):
            assert (await here.ask(NAME)).data == GALERA
        counted = {number: here.asked().count(f"{number} udp") for number in (1, 2, 3)}
        assert {number: count for number, count in counted.items() if count} == asked


async def test_the_fastest_agent_is_asked() -> None:
    async with world(consul={"policy": "fastest"}, patience=0.2) as here:
        for agent in here.agents[:2]:
            agent.faults.any.delay.on(0.03)
        for _ in range(40):
            assert (await here.ask(NAME)).data == GALERA
            if here.asked().count("3 udp") == 4:
                break
        # Once the first two are known to be slow, all goes to the third.
        before = [len(agent.queries) for agent in here.agents]
        for _ in range(6):
            await here.ask(NAME)
        after = [len(agent.queries) for agent in here.agents]
        assert [b - a for a, b in zip(before, after, strict=True)] == [0, 0, 6]


@pytest.mark.parametrize("tcp", [False, True])
async def test_an_agent_goes_between_two_queries(tcp: bool) -> None:
    """That it is gone shows while the second is sent: each has one reply, and nothing is left."""
    names = [NAME, "web.service.consul", "web.service.consul", "nothing.service.consul"]
    async with world(agents=2, patience=None) as here, here.tcp() if tcp else here.udp() as client:
        for name in dict.fromkeys(names):
            await here.ask(name)
        here.skip(60.0)
        await here.agents[0].stop()
        for turn in range(3):
            packets = [question(name, ident=10 * turn + n) for n, name in enumerate(names)]
            if isinstance(client, TcpClient):
                client.send(*packets)
            else:
                for packet in packets:
                    client.send(packet)
            idents = {parse(await client.receive()).id for _ in packets}
            assert idents == {10 * turn + n for n in range(len(names))}
        assert here.engine.flights == {}
        # What was left there would be asked once more, and answered twice.
        await here.server.reload(settings(here.cluster, log={"queries": False}))
        last = question(NAME, ident=99)
        client.send(last)
        assert parse(await client.receive()).id == 99
        await asyncio.sleep(0.05)
        if isinstance(client, UdpClient):
            assert client.waiting == 0
