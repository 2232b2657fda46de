"""A takeover begins with what secondaries have."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import dns.name
import dns.rrset
import pytest

from consulfwd.config import Endpoint
from consulfwd.zones.primary import fetching, tsig
from consulfwd.zones.primary.serving import Server
from consulfwd.zones.primary.sockets import Sockets
from consulfwd.zones.primary.target import Primary
from consulfwd.zones.primary.versions import Versions, Whole
from tests.loopback import OWN
from tests.zones.made import records
from tests.zones.primary.pulled import APEX, KEY, WIRE, Site, some_records, version, versions
from tests.zones.primary.test_target import Held

CONTENT = some_records(random.Random(1), 50)


@asynccontextmanager
async def secondaries(
    *held: Versions, key: tsig.Key = KEY, allow: str = "127.0.0.0/8"
) -> AsyncIterator[list[Endpoint]]:
    """Servers that have the zone like this."""
    servers = []
    for one in held:
        sockets = Sockets(Endpoint(host=OWN, port=0))
        server = Server(sockets, {WIRE: Site(one, key, allow=allow).served})
        await server.start()
        servers.append(server)
    yield [Endpoint(host=OWN, port=one.sockets.port) for one in servers]
    for server in servers:
        await server.close()


async def fetched(serial: int, where: list[Endpoint]) -> Whole | None:
    return await asyncio.to_thread(fetching.fetch, WIRE, version(serial), where, KEY)


async def test_the_first_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SERIAL", 0.1)
    old, good = versions({}, 6), versions(CONTENT, 7)
    nobody = Endpoint(host=OWN, port=1)
    async with secondaries(old, good) as where:
        found = await fetched(7, [nobody, *where])
        assert found == Whole(version(7), CONTENT)
        assert await fetched(8, where) is None
        # One that was given out after the last that is remembered.
        assert await fetched(6, where[::-1]) == found


async def test_nobody_waits_for_one_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SERIAL", 0.2)
    silent = Sockets(Endpoint(host=OWN, port=0))
    silent.tcp.listen()
    first = Endpoint(host=OWN, port=silent.port)
    async with secondaries(versions(CONTENT, 7)) as where:
        assert await fetched(7, [first, *where]) == Whole(version(7), CONTENT)
        with pytest.raises(BlockingIOError):
            silent.tcp.accept()
    silent.close()


async def test_they_are_asked_from_where_they_know_us() -> None:
    here = [Endpoint(host="127.0.0.9", port=53)]
    async with secondaries(versions(CONTENT, 7), allow="127.0.0.9/32") as where:
        assert await fetched(7, where) is None
        found = await asyncio.to_thread(fetching.fetch, WIRE, version(7), where, KEY, here)
        assert found == Whole(version(7), CONTENT)
        assert await asyncio.to_thread(fetching.newest, WIRE, where, KEY, here) == 7


async def test_its_apex_is_the_one_published() -> None:
    held = Versions(WIRE)
    other = APEX._replace(refresh=1, servers=APEX.servers[:1])
    swapped = APEX._replace(servers=APEX.servers[::-1])
    for given, then in ((other, other), (swapped, APEX)):
        held.begin(Whole(version(7, given), CONTENT))
        async with secondaries(held) as where:
            assert await fetched(7, where) == Whole(version(7, then), CONTENT)


async def test_one_that_does_not_give_it() -> None:
    async with secondaries(versions(CONTENT, 7), key=KEY._replace(secret=b"other")) as where:
        assert await fetched(7, where) is None


async def test_the_newest_serial_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SERIAL", 0.2)
    nobody = Endpoint(host=OWN, port=1)
    async with secondaries(versions({}, 6), versions({}, 8), Versions(WIRE)) as where:
        for asked, newest in ((where, 8), ([nobody, *where[:1]], 6), (where[2:], None), ([], None)):
            assert await asyncio.to_thread(fetching.newest, WIRE, asked, KEY) == newest
        # What is not signed with the key says nothing.
        other = KEY._replace(secret=b"other")
        assert await asyncio.to_thread(fetching.newest, WIRE, where, other) is None


async def test_a_serial_that_anybody_may_have_said_is_none() -> None:
    """A reply without a signature to a query that had one (RFC 8945 section 5.3)."""
    with socket.socket(type=socket.SOCK_DGRAM) as forger:
        forger.bind((OWN, 0))
        forger.settimeout(5)

        def forges() -> None:
            data, sender = forger.recvfrom(4096)
            query = dns.message.make_query(dns.name.from_wire(WIRE, 0)[0], "SOA")
            query.id = int.from_bytes(data[:2], "big")
            reply = dns.message.make_response(query)
            soa = dns.rrset.from_text(query.question[0].name, 30, "IN", "SOA", "a. b. 9 1 1 1 1")
            reply.answer.append(soa)
            forger.sendto(reply.to_wire(), sender)

        forging = asyncio.ensure_future(asyncio.to_thread(forges))
        where = [Endpoint(host=OWN, port=forger.getsockname()[1])]
        assert await asyncio.to_thread(fetching.newest, WIRE, where, KEY) is None
        await forging


def test_what_nobody_remembers_and_secondaries_have(tmp_path: Path) -> None:
    """The one before was gone before it had said what it gave out."""
    held = Held(tmp_path / "svc.journal")
    held.push(records({"old A": "10.0.0.1"}))
    held.primary.newest = lambda: 7_000
    held.primary.fetch = lambda _: Whole(version(7_000), CONTENT)
    # It is looked for once in each turn.
    assert held.primary.read().serial == 1000
    held.primary.lead()
    assert held.primary.read().ours == CONTENT
    held.push({})
    assert held.primary.read().serial == 7_100
    held.primary.close()


def test_a_zone_that_was_another_ones_before_is_none_of_ours(tmp_path: Path) -> None:
    """Secondaries have a zone of that name from elsewhere: what comes first is later than that."""
    held = Held(tmp_path / "svc.journal")
    held.primary.newest = lambda: 2026_11_29_01
    held.primary.fetch = lambda _: Whole(version(2026_11_29_01), CONTENT)
    assert held.primary.read().ours == {}
    held.push(records({"web A": "10.0.0.1"}))
    assert held.primary.read().serial == 2026_11_30_01
    held.primary.close()


def taken_over(held: Held, fetch: Callable[[object], Whole | None]) -> Primary:
    held.push(records({"old A": "10.0.0.1"}))
    held.primary.fetch = fetch
    held.primary.given(5_000)
    return held.primary


def test_a_takeover_without_a_change_writes_nothing_new(tmp_path: Path) -> None:
    held = Held(tmp_path / "svc.journal")
    primary = taken_over(held, lambda _: Whole(version(5_001), CONTENT))
    base = primary.read()
    assert (base.ours, base.serial) == (CONTENT, 5_001)
    assert not held.store.versions.behind
    assert held.push(CONTENT).places == ()
    # The one before may have given out some that this secondary does not have.
    held.push({})
    assert primary.read().serial == 5_101
    assert held.store.versions.since(5_001) is not None
    primary.close()
    again = Held(tmp_path / "svc.journal")
    assert again.primary.read().serial == 5_101
    again.primary.close()


def test_where_nobody_says_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(tmp_path / "svc.journal")
    asked: list[object] = []
    primary = taken_over(held, asked.append)
    for _ in range(3):
        assert primary.read().ours == records({"old A": "10.0.0.1"})
    # Not at each look: it may take long.
    assert len(asked) == 1
    monkeypatch.setattr("consulfwd.zones.primary.target.monotonic", lambda: 1e9)
    primary.read()
    assert len(asked) == 2
    held.push({})
    assert primary.read().serial == 5_100
    primary.close()


def test_an_apex_that_was_another_one_is_a_change(tmp_path: Path) -> None:
    held = Held(tmp_path / "svc.journal")
    other = version(5_000, APEX._replace(refresh=1))
    primary = taken_over(held, lambda _: Whole(other, CONTENT))
    primary.read()
    assert held.push(CONTENT).places != ()
    assert held.push(CONTENT).places == ()
    primary.close()
