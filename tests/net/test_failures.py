"""What failed a moment ago is not asked again at once: RFC 9520, and RFC 8767 section 5."""

from __future__ import annotations

import asyncio

import dns.rcode

from tests.coreless import our_time
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, settings, until, world

NAME = "galeradb.service.consul"
WWW = {("www.test", "A"): ["A 192.0.2.1"]}


async def test_a_zone_that_fails_is_asked_once_in_a_while() -> None:
    async with Recursor(WWW) as recursor, world(recursor) as here:
        recursor.rcodes["www.test."] = dns.rcode.SERVFAIL
        first = await here.ask("www.test")
        asked = len(recursor.asked)
        for _ in range(20):
            reply = await here.ask("www.test")
            assert (reply.rcode, reply.ede) == (first.rcode, first.ede)
        assert len(recursor.asked) == asked
        recursor.rcodes.clear()
        here.skip(1.1)
        assert (await here.ask("www.test")).data == ["192.0.2.1"]


async def test_whoever_comes_back_is_asked_at_once() -> None:
    async with world(query={"deadline": 0.2}) as here:
        for agent in here.agents:
            agent.faults.frozen = True
        assert (await here.ask(NAME)).rcode == "SERVFAIL"
        began = our_time()
        assert (await here.ask(NAME)).rcode == "SERVFAIL"
        assert our_time() - began < 0.1
        for number in range(20):
            if set(here.states()) != {"down"}:
                await here.ask(f"n{number}.service.consul")
        await here.until("down", "down", "down")
        for agent in here.agents:
            agent.faults.frozen = False
        here.skip(1.0)
        await until(lambda: "up" in here.states())
        assert (await here.ask(NAME)).data == GALERA


async def test_a_stale_answer_comes_at_once_while_it_is_asked_behind() -> None:
    async with (
        Recursor(WWW, ttl=60) as recursor,
        world(recursor, query={"deadline": 0.3}) as here,
        here.udp() as client,
    ):
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        here.skip(61.0)
        recursor.rcodes["www.test."] = dns.rcode.SERVFAIL
        assert [code for code, _ in (await here.ask("www.test")).ede] == [3]
        # A recursor that does not even say so any more costs nobody time.
        recursor.silent = True
        here.skip(2.0)
        for ident in range(20):
            client.send(question("www.test", ident=ident))
        began = our_time()
        replies = [parse(await client.receive()) for _ in range(20)]
        assert our_time() - began < 0.3
        assert {tuple(code for code, _ in one.ede) for one in replies} == {(3,)}
        await until(lambda: not here.engine.flights)
        recursor.silent = False
        recursor.rcodes.clear()
        here.skip(2.0)
        asked = len(recursor.asked)
        await here.ask("www.test")
        await until(lambda: len(recursor.asked) > asked and not here.engine.flights)
        reply = await here.ask("www.test")
        assert (reply.data, reply.ede) == (["192.0.2.1"], [])


async def test_a_failure_counts_no_longer_when_the_stale_answer_is_gone() -> None:
    async with Recursor(WWW, ttl=60) as recursor, world(recursor) as here:
        assert (await here.ask("www.test")).data == ["192.0.2.1"]
        here.skip(61.0)
        recursor.rcodes["www.test."] = dns.rcode.SERVFAIL
        assert [code for code, _ in (await here.ask("www.test")).ede] == [3]
        here.engine.cache.clear()
        recursor.rcodes.clear()
        here.skip(1.1)
        assert (await here.ask("www.test")).data == ["192.0.2.1"]


async def test_other_servers_are_asked_at_once() -> None:
    async with Recursor() as dead, Recursor(WWW) as good, world(dead) as here:
        dead.rcodes["www.test."] = dns.rcode.SERVFAIL
        assert (await here.ask("www.test")).rcode == "SERVFAIL"
        await here.server.reload(settings(here.cluster, good, dead))
        assert (await here.ask("www.test")).data == ["192.0.2.1"]


async def test_an_error_that_comes_late_does_not_undo_it() -> None:
    query = {"deadline": 0.1, "recursor_deadline": 0.1}
    async with Recursor(WWW) as recursor, world(recursor, query=query) as here:
        recursor.slow_labels = {"www": 0.3}
        recursor.rcodes["www.test."] = dns.rcode.SERVFAIL
        assert (await here.ask("www.test")).rcode == "SERVFAIL"
        asked = len(recursor.asked)
        await asyncio.sleep(0.35)
        assert (await here.ask("www.test")).rcode == "SERVFAIL"
        assert len(recursor.asked) == asked


async def test_what_is_asked_behind_stale_answers_is_counted_once() -> None:
    """Reverse names too, which others are asked for when Consul cannot be."""
    name = "11.10.0.10.in-addr.arpa"
    consul = {"reverse": ["10.0.0.0/8"]}
    async with (
        Recursor() as recursor,
        world(recursor, consul=consul, query={"deadline": 0.2}) as here,
    ):
        assert (await here.ask(name, "PTR")).rcode == "NOERROR"
        for agent in here.agents:
            agent.faults.frozen = True
        await recursor.stop()
        for _ in range(6):
            assert [code for code, _ in (await here.ask(name, "PTR")).ede] == [3]
            await until(lambda: not here.engine.flights)
            here.skip(2.0)
        assert here.engine.table._refreshing == 0
