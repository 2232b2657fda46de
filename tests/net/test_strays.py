"""Replies that are none: waited past, counted, and not waited past for ever."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rrset
import pytest

from tests.coreless import our_time
from tests.net.recursor import Recursor
from tests.net.world import GALERA, World, until, world

NAMES = [f"n{number}.service.consul" for number in range(3)]
RECORDS = {(name, "A"): ["A 192.0.2.1"] for name in NAMES}


def another_question(query: dns.message.Message) -> bytes:
    """A reply to what was not asked."""
    other = dns.message.make_query("other.service.consul", "A", id=query.id)
    reply = dns.message.make_response(other)
    reply.answer = [dns.rrset.from_text("other.service.consul.", 0, "IN", "A", "192.0.2.66")]
    return reply.to_wire()


def another_id(query: dns.message.Message) -> bytes:
    """A reply to what was asked, under an ID that was not."""
    reply = dns.message.make_response(query)
    reply.answer = [dns.rrset.from_text(str(query.question[0].name), 0, "IN", "A", "192.0.2.66")]
    reply.id = query.id ^ 1
    return reply.to_wire()


FALSE = {
    "another question": another_question,
    "the query itself (QR=0)": lambda query: query.to_wire(),
    "too short": lambda query: query.to_wire()[:3],
    "a header alone": lambda query: query.to_wire()[:2] + b"\x81\x80\0\1\0\1\0\0\0\0",
    "malformed": lambda query: another_id(dns.message.from_wire(_other_id(query)))[:-2],
    "another ID": another_id,
}


def _other_id(query: dns.message.Message) -> bytes:
    wire = query.to_wire()
    return (query.id ^ 1).to_bytes(2, "big") + wire[2:]


def elsewhere(here: World) -> None:
    """Take every server for one off this host."""
    for upstream in here.engine.upstreams():
        upstream.on_host = False
    here.engine.channels.retain(set())


@pytest.mark.parametrize("where", ["on the host", "off the host"])
@pytest.mark.parametrize("what", FALSE)
async def test_the_only_server_gives_a_false_reply_first(what: str, where: str) -> None:
    async with Recursor(RECORDS) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=1.0) as here:
            await until(lambda: agent.asked != [])
            if where == "off the host":
                elsewhere(here)
            agent.forge = lambda query: [FALSE[what](query)]
            agent.asked.clear()
            # The first by a relay or a lookup, as it comes; an alias or a type makes no difference.
            for name in NAMES:
                assert (await here.ask(name)).data == ["192.0.2.1"]
            # The reply that was waited for was that to the only query.
            assert agent.names == [f"{name}." for name in NAMES]
            counters = here.counters
            assert (counters.failed, counters.evaded) == (0, 0)
            told = (counters.false_replies, counters.stray_replies)
            assert told == ((0, 3) if what == "another ID" else (3, 0))
            # The true ones count for more.
            assert [one.state.value for one in here.engine.upstreams()] == ["up"]


@pytest.mark.parametrize("where", ["on the host", "off the host"])
async def test_a_server_that_gives_only_false_replies_is_noticed(where: str) -> None:
    async with world(agents=2, patience=0.5) as here:
        if where == "off the host":
            elsewhere(here)
        here.agents[0].faults.any.wrong_question.on()
        began = our_time()
        for number in range(4):
            name = "galeradb.service.consul" if number % 2 else f"a{number}.galeradb.service.consul"
            assert (await here.ask(name)).rcode in ("NOERROR", "NXDOMAIN")
        # The next is asked at once, nobody's usual time is over.
        assert our_time() - began < 0.5
        assert here.asked()[-1] == "2 udp"
        assert here.asked().count("1 udp") == 3
        assert here.states()[0] != "up"


async def test_the_only_server_gives_nothing_but_false_replies() -> None:
    async with world(agents=1, query={"deadline": 0.3}) as here:
        here.agents[0].faults.any.wrong_question.on()
        reply = await here.ask("galeradb.service.consul")
        assert reply.rcode == "SERVFAIL"
        assert "a false reply" in reply.ede[0][1] or "only false replies" in reply.ede[0][1]
        await here.until("down")
        here.agents[0].faults.clear()
        await here.until("up")
        here.skip(2)
        assert (await here.ask("galeradb.service.consul")).data == GALERA


@pytest.mark.parametrize("what", ["another ID", "another question"])
async def test_too_many_false_replies_lead_to_tcp(what: str) -> None:
    """Somebody tries IDs: over TCP that is in vain (RFC 5452 section 9.3)."""
    async with Recursor(RECORDS) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=2.0) as here:
            await until(lambda: agent.asked != [])
            elsewhere(here)
            agent.asked.clear()
            agent.forge = lambda query: [FALSE[what](query)] * 60
            assert (await here.ask(NAMES[0])).data == ["192.0.2.1"]
            assert [one.transport for one in agent.asked] == ["udp", "tcp"]
            counters = here.counters
            assert (counters.evaded, counters.failed) == (1, 0)
            # What comes after the fifth finds no socket any more.
            assert counters.false_replies + counters.stray_replies == 5


async def test_where_tcp_does_not_work_either_another_port_is_tried() -> None:
    async with Recursor(RECORDS) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=0.2) as here:
            await until(lambda: agent.asked != [])
            elsewhere(here)
            for server in agent._servers:
                server.close()
            agent.asked.clear()
            agent.forge = lambda query: [another_id(query)] * (9 if len(agent.asked) < 2 else 0)
            assert (await here.ask(NAMES[0])).data == ["192.0.2.1"]
            assert [one.transport for one in agent.asked] == ["udp", "udp"]
            assert len({one.port for one in agent.asked}) == 2
