"""The light agents answer as Consul does: any number of records, shuffled, cut to what has room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import pytest

from benchmarks.upstream import Upstream, stub

RECORDS = (3, 40, 500)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folder: Path = tmp_path_factory.mktemp("stub")
    core = min(os.sched_getaffinity(0))
    with stub(folder, folder, core, names=6, ttl=7, records=RECORDS) as started:
        yield started


def asked(agents: Upstream, number: int, payload: int, *, tcp: bool = False) -> dns.message.Message:
    name = agents.services[number]
    query = dns.message.make_query(name, "A", use_edns=payload > 0, payload=payload)
    agent = agents.agents[0]
    ask = dns.query.tcp if tcp else dns.query.udp
    return ask(query, agent.address, 5.0, agent.port)


def test_names_have_their_numbers_of_records(agents: Upstream) -> None:
    for number in range(6):
        count = RECORDS[number % 3]
        (rrset,) = asked(agents, number, 0, tcp=True).answer
        assert (len(rrset), rrset.ttl) == (count, 7)
    (small,) = asked(agents, 0, 0).answer
    (large,) = asked(agents, 1, 1232).answer
    assert (len(small), len(large)) == (3, 40)


def test_over_udp_what_finds_no_room_is_cut(agents: Upstream) -> None:
    plain, wide = asked(agents, 1, 0), asked(agents, 2, 1232)
    for reply, room in ((plain, 512), (wide, 1232)):
        assert reply.flags & dns.flags.TC
        size = len(reply.to_wire())
        assert room - 16 < size <= room
    assert not asked(agents, 2, 0, tcp=True).flags & dns.flags.TC


def test_the_order_is_by_chance(agents: Upstream) -> None:
    orders = {tuple(map(str, asked(agents, 0, 0).answer[0])) for _ in range(100)}
    # Rotation alone would make three.
    assert len(orders) == 6
