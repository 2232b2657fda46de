"""Answers that may not be reused, of many instances: recognised in whatever order Consul gives."""

from __future__ import annotations

import random
from socket import inet_ntoa

import pytest

from consulfwd.dns.message import Message, read_reply
from consulfwd.net import relays
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.world import until, world

BIG = "big.service.consul"
HERE = [f"10.1.0.{number}" for number in range(12)]


def addresses(records: bytes) -> list[str]:
    return [inet_ntoa(records[at + 12 : at + 16]) for at in range(0, len(records), 16)]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_each_order_is_passed_on_and_read_twice_at_most(
    transport: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    begin = len(question(BIG, edns=None))
    records = slice(begin, begin + 16 * len(HERE))

    def reading(data: bytes, asked: bytes) -> Message:
        read.append(data)
        return read_reply(data, asked)

    rng = random.Random(1)
    async with Recursor({(BIG, "A"): [f"A {one}" for one in HERE]}, ttl=0) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=1.0) as here:
            await until(lambda: agent.asked != [])
            monkeypatch.setattr(relays, "read_reply", reading)
            orders = set()
            async with here.udp() if transport == "udp" else here.tcp() as client:
                for turn in range(20):
                    rng.shuffle(agent.records[f"{BIG}.", "A"])
                    client.send(question(BIG, ident=turn))
                    reply = await client.receive()
                    found = parse(reply)
                    assert (found.id, found.data, found.ttls) == (turn, sorted(HERE), {0})
                    orders.add(reply[records])
                    came = [one[2:] for one in agent.records[f"{BIG}.", "A"]]
                    assert turn < 2 or addresses(reply[records]) == came
            # No order came twice.
            assert (len(read), len(orders)) == (2, 20)
            # One less is another answer.
            gone = agent.records[f"{BIG}.", "A"].pop()
            left = sorted({*HERE} - {gone[2:]})
            assert (await here.ask(BIG, tcp=transport == "tcp")).data == left
            assert len(read) == 3


async def test_what_is_remembered_is_bounded_in_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"n{number}.service.consul" for number in range(20)]
    monkeypatch.setattr(relays, "MAX_OCTETS", 40_000)
    records = {(name, "A"): [f"A {one}" for one in HERE] for name in names}
    async with Recursor(records, ttl=0) as agent:
        consul = {"agents": [{"address": agent.host, "dns_port": agent.port}]}
        async with world(consul=consul, agents=1, patience=1.0) as here:
            await until(lambda: agent.asked != [])
            for name in names:
                for _ in range(3):
                    assert len((await here.ask(name)).data) == len(HERE)
                kept = [one for ask in here.engine.asks.values() for one in ask.alike]
                assert sum(one.octets for one in kept) <= 40_000
            assert kept
