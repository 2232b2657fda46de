"""Octets behind a reply: ignored, counted, told now and then."""

from __future__ import annotations

import dns.message
import dns.rrset
import pytest

from tests.net.recursor import Recursor
from tests.net.world import until, world

RECORDS = {(f"n{number}.service.consul", "A"): ["A 192.0.2.1"] for number in range(4)}


def with_more(query: dns.message.Message) -> list[bytes]:
    """The true reply, with four octets behind it."""
    reply = dns.message.make_response(query)
    reply.answer = [dns.rrset.from_text(str(query.question[0].name), 0, "IN", "A", "192.0.2.7")]
    return [reply.to_wire() + b"more"]


@pytest.mark.parametrize("where", ["on the host", "off the host"])
async def test_octets_behind_a_reply(where: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "consulfwd.resolver")
    async with Recursor(RECORDS) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=1.0) as here:
            await until(lambda: agent.asked != [])
            (upstream,) = here.engine.upstreams()
            upstream.on_host = where == "on the host"
            here.engine.channels.retain({upstream.key} if upstream.on_host else set())
            agent.forge = with_more
            for number in range(3):
                assert (await here.ask(f"n{number}.service.consul")).data == ["192.0.2.7"]
            assert here.counters.trailing == 3
            here.skip(61)
            assert (await here.ask("n3.service.consul")).data == ["192.0.2.7"]
            name = upstream.name
    told = [one.getMessage() for one in caplog.records if "octets" in one.getMessage()]
    # Once a minute, and nothing of what was asked.
    assert told == [
        f"agent {name}: 4 octets behind a reply are ignored ({count} such replies so far)"
        for count in (1, 4)
    ]
