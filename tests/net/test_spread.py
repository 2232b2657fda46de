"""The load of clients that take the first instance: every instance comes first equally often.

Whether an answer is ready as bytes, comes from the cache, or was passed on from an agent; over UDP
and TCP; and also when it is cut, as not every client asks again over TCP. All with watches on:
without them each answer is in the order the agent gave it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.net.messages import parse, question
from tests.net.test_reuse import Hand, by_hand
from tests.net.world import World

NAME = "many.service.consul"
# Answers looked at per instance: enough for one that is left out, or comes twice as often, to show.
PER_INSTANCE = 20
# Of many instances, where no single one shows: enough for a quarter of them that is left out.
MANY, PER_INSTANCE_OF_MANY = 20, 8
# Hot answers are made anew each second; so many are taken of each.
PER_SECOND = 20


def chi_squared(counts: Counter[bytes], instances: int) -> float:
    """How far from equal the counts are."""
    expected = sum(counts.values()) / instances
    assert len(counts) <= instances
    squares = sum((count - expected) ** 2 for count in counts.values())
    return (squares + (instances - len(counts)) * expected**2) / expected


def enough(instances: int) -> int:
    """How many answers are looked at."""
    return instances * (PER_INSTANCE if instances < MANY else PER_INSTANCE_OF_MANY)


def critical(degrees: int) -> float:
    """What `chi_squared` exceeds by chance once in a thousand times (Wilson and Hilferty)."""
    part = 2 / (9 * degrees)
    return float(degrees * (1 - part + 3.0902 * part**0.5) ** 3)


def first(packet: bytes) -> bytes:
    """The data of the first record, read by hand: there are many replies to look at."""
    at = packet.index(b"\0", 12) + 5
    assert packet[at : at + 2] == b"\xc0\x0c", "records are those of the question"
    length = int.from_bytes(packet[at + 10 : at + 12], "big")
    return packet[at + 12 : at + 12 + length]


def test_the_measure() -> None:
    # From the tables: 16.27 and 149.4.
    assert abs(critical(3) - 16.27) < 0.3
    assert abs(critical(100) - 149.4) < 0.3
    even = Counter({bytes([number]): 30 for number in range(10)})
    assert chi_squared(even, 10) == 0
    # One gets nothing; one gets more than twice as much; all go to one.
    assert chi_squared(even - Counter({b"\0": 30}), 10) > critical(9)
    assert chi_squared(even + Counter({b"\0": 40}), 10) > critical(9)
    assert chi_squared(Counter({b"\0": 300}), 10) > critical(9)
    for many in (MANY, 40, 75):
        each = enough(many) * 4 // (3 * many)
        rest = Counter({bytes([number]): each for number in range(many * 3 // 4)})
        assert chi_squared(rest, many) > critical(many - 1)


@asynccontextmanager
async def many(instances: int, qtype: str, **how: Any) -> AsyncIterator[tuple[World, Hand]]:
    """A service of so many instances that is watched, and its answer reused."""
    async with by_hand(agents=1, patience=1.0, **how) as (here, hand):
        for number in range(instances):
            address = f"10.{number // 250}.9.{number % 250 + 1}"
            here.cluster.catalog.register(
                "many",
                id=f"many{number}",
                node=f"node{number}",
                node_address=address,
                address=f"fd00::{number + 1:x}" if qtype == "AAAA" else address,
                port=80,
            )
        await hand.cover(NAME, qtype, size=instances)
        yield here, hand


def spellings() -> Iterator[str]:
    """The name in ever other spelling: datagrams that were never seen before."""
    label = NAME.partition(".")[0]
    places = [at for at in range(len(NAME)) if NAME[at].isalpha()]
    assert len(label) < len(places)
    for number in range(1, 1 << len(places)):
        upper = {at for bit, at in enumerate(places) if number >> bit & 1}
        yield "".join(one.upper() if at in upper else one for at, one in enumerate(NAME))


CASES = pytest.mark.parametrize(
    ("qtype", "instances", "edns", "cut"),
    [
        ("A", 3, None, False),
        ("A", 7, 1232, False),
        ("A", 40, None, True),
        ("A", 40, 1232, False),
        ("A", 75, 1232, True),
        ("AAAA", 7, 1232, False),
        ("AAAA", 45, 1232, True),
        ("SRV", 3, 1232, False),
        # The addresses behind such a list fill the reply: names spelled out would not fit.
        ("SRV", 17, 1232, False),
        ("SRV", 40, 1232, True),
        ("SRV", 12, None, True),
    ],
)


def check(packets: list[bytes], instances: int, *, cut: bool) -> None:
    """Hold it against what is fair; one of the replies is looked at whole."""
    assert {bool(packet[2] & 2) for packet in packets} == {cut}
    if not cut:
        assert {int.from_bytes(packet[6:8], "big") for packet in packets} == {instances}
    whole = parse(packets[0])
    assert (len(whole.answers) < instances) == cut
    assert ("tc" in whole.flags) == cut
    assert chi_squared(Counter(map(first, packets)), instances) < critical(instances - 1)


@CASES
@pytest.mark.usefixtures("twin")
async def test_hot(qtype: str, instances: int, edns: int | None, cut: bool) -> None:
    async with many(instances, qtype) as (here, hand), here.udp() as client:
        replies: list[bytes] = []
        packet = question(NAME, qtype, edns=edns)
        hot = here.counters.hot
        asked = len(here.asked())
        while len(replies) < enough(instances):
            hand.skip(1)
            # What is asked for twice in a second is made ready.
            for _ in range(3):
                client.send(packet)
                await client.receive()
            for _ in range(PER_SECOND):
                client.send(packet)
            replies += [await client.receive() for _ in range(PER_SECOND)]
        # The last second of an answer, and the first of the next, are not of that kind.
        assert here.counters.hot - hot > 0.7 * len(replies)
        assert len(here.asked()) - asked < len(replies) / 20
        check(replies, instances, cut=cut)


@CASES
async def test_from_the_cache(qtype: str, instances: int, edns: int | None, cut: bool) -> None:
    async with many(instances, qtype) as (here, hand), here.udp() as client:
        names = spellings()
        replies: list[bytes] = []
        asked = len(here.asked())
        for _ in range(enough(instances)):
            hand.prove()
            client.send(question(next(names), qtype, edns=edns))
            replies.append(await client.receive())
        assert here.counters.hot == 0
        assert len(here.asked()) - asked < len(replies) / 20
        check(replies, instances, cut=cut)


@pytest.mark.parametrize(("qtype", "instances"), [("A", 3), ("AAAA", 40), ("SRV", 17), ("SRV", 40)])
async def test_from_the_cache_over_tcp(qtype: str, instances: int) -> None:
    async with many(instances, qtype) as (here, hand), here.tcp() as client:
        replies: list[bytes] = []
        asked = len(here.asked())
        for _ in range(enough(instances)):
            hand.prove()
            client.send(question(NAME, qtype))
            replies.append(await client.receive())
        assert len(here.asked()) - asked < len(replies) / 20
        check(replies, instances, cut=False)


@CASES
async def test_passed_on(qtype: str, instances: int, edns: int | None, cut: bool) -> None:
    """Before a name is watched, and while a change settles: what the agent says, each time."""
    async with many(instances, qtype) as (here, hand), here.udp() as client:
        (subject,) = hand.freshness.watches
        replies: list[bytes] = []
        asked = len(here.asked())
        for _ in range(enough(instances)):
            hand.prove()
            hand.change(subject, instances, instances)
            client.send(question(NAME, qtype, edns=edns))
            replies.append(await client.receive())
        assert len(here.asked()) == asked + len(replies)
        check(replies, instances, cut=cut)


async def test_the_rest_is_in_any_order_too() -> None:
    """Who goes to the second when the first is dead must not always go to the same one."""
    async with many(5, "A") as (here, _), here.tcp() as client:
        second: dict[str, set[str]] = {}
        for _ in range(200):
            client.send(question(NAME))
            reply = parse(await client.receive())
            second.setdefault(reply.answers[0], set()).add(reply.answers[1])
        assert {len(one) for one in second.values()} == {4}
