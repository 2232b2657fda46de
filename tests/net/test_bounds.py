"""Every table that strangers can make grow has a bound: found by flooding a server, not by a list.

What is reachable from a running server is walked before and after a flood of made-up names and
clients. Whatever grew with it must be in TABLES, with its bound, and within it.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import inspect
import pkgutil
from collections import deque
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

import pytest
from dns.edns import GenericOption, OptionType

import consulfwd.core
import consulfwd.dns
import consulfwd.net
from consulfwd.core import access, cookies, failures, interest, limits
from consulfwd.net import (
    channels,
    collecting,
    questions,
    relays,
    speller,
    table,
    timers,
    udp_base,
    upstream,
)
from tests.net.messages import question
from tests.net.test_strays import elsewhere
from tests.net.world import World, until, world

# Small bounds, and a flood that exceeds each of them several times.
SIZE, FLOOD = 60, 400
# A table that grew by less than this did not grow with the flood.
FEW = 15
# What may grow with a flood: "Class.attribute", and to how much at most.
TABLES: Mapping[str, int] = {
    "Access.seen": SIZE,
    "UdpListener.waiting": SIZE,
    "Buckets._full_at": SIZE,
    "Cache.entries": SIZE,
    "Cookies._known": SIZE,
    "Cache._negative": SIZE // 4,
    # The same as Questions.asks and Table.flights.
    "Engine.asks": SIZE,
    "Engine.flights": SIZE,
    "Failures.by_key": SIZE,
    # Where the letters are in what is asked of one server off the host.
    "Speller._letters": SIZE,
    "PortPool._lent": 2 * SIZE,
    "PortPool._idle": 2 * SIZE,
    "Room.firm": SIZE,
    "Room.loose": SIZE,
    "HotTable.answers": SIZE,
    "Limiter._not_free": SIZE,
    "Seen.interests": SIZE,
    "SharedUdp._pending": 2 * SIZE,
    "Timers._heap": 2 * SIZE,
    "_Zone.asked": 2 * SIZE,
    "_Zone.each": 2 * SIZE,
}
# Bounds that are twice as large.
DOUBLE = {"WINDOW", "MAX_SOCKETS"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (access, "MAX_SEEN"),
        (channels, "MAX_SOCKETS"),
        (cookies, "MAX_KNOWN"),
        (failures, "MAX_FAILURES"),
        (interest, "MAX_SEEN"),
        (limits, "MAX_BUCKETS"),
        (limits, "MAX_KNOWN"),
        (questions, "MAX_ASKS"),
        (relays, "MAX_KNOWN"),
        (speller, "MAX_LETTERS"),
        (table, "MAX_FLIGHTS"),
        (timers, "CLEAR_OUT"),
        (udp_base, "MAX_PER_CLIENT"),
        (upstream, "WINDOW"),
    ):
        monkeypatch.setattr(module, name, 2 * SIZE if name in DOUBLE else SIZE)


def attributes(one: object) -> Iterator[tuple[str, str, Any]]:
    """The attributes of an object, with its class."""
    for kind in type(one).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(one, name):
                yield type(one).__name__, name, getattr(one, name)
    for name, value in getattr(one, "__dict__", {}).items():
        yield type(one).__name__, name, value


def tables(server: object) -> dict[str, int]:
    """How large each table is that can be reached from a server: the largest of its kind."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    left: deque[tuple[str, Any]] = deque([("", server)])
    while left:
        name, one = left.popleft()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, (dict, set, frozenset, list, deque, tuple)):
            found[name] = max(found.get(name, 0), len(one))
            inside = [*one, *one.values()] if isinstance(one, dict) else list(one)
            left.extend((name, each) for each in inside)
        elif type(one).__module__.startswith("consulfwd."):
            left.extend((f"{owner}.{key}", value) for owner, key, value in attributes(one))
        elif isinstance(one, functools.partial):
            left.extend((name, each) for each in (one.func, *one.args))
        elif getattr(one, "__self__", None) is not None:
            left.append((name, one.__self__))
    return found


class Grown:
    """What grew with a flood, and how large it was when it was largest.

    Some tables are cleared when they are full: how large one is in the end says little.
    """

    def __init__(self, here: World) -> None:
        self._here = here
        self._before = tables(here.server)
        self.found: dict[str, int] = {}

    def look(self) -> None:
        for name, size in tables(self._here.server).items():
            if size - self._before.get(name, 0) >= FEW:
                self.found[name] = max(size, self.found.get(name, 0))


async def flood(here: World, grown: Grown) -> None:
    """Have many clients ask for many names, in the way a listener hears them."""
    ((listener, _),) = here.server._listening.listeners.values()
    listener.on_host = False
    listener.choose_way()
    listener.send = lambda reply, peer: None  # type: ignore[method-assign]
    listener.address = lambda peer: peer  # type: ignore[method-assign]
    limiter = here.server._access.limiter
    for number in range(FLOOD):
        client = IPv4Address(0x0A000000 + number)
        now = here.engine.clock.now()
        for _ in range(3):
            limiter.over(client.packed, now)
            limiter.over_new(client.packed, now)
        limiter.may_be_told(client.packed, now)
        wall = here.engine.clock.wall()
        cookie = here.engine.jar._cookies.reply(client.packed, bytes(8), wall) or b""
        options = [GenericOption(OptionType.COOKIE, cookie)]
        asked = question(f"x{number}.service.consul", options=options)
        listener.query(asked, client.packed, str(client))
        if number % 50 == 0:
            grown.look()
            # Answers come, and what is asked again at once becomes hot.
            await until(lambda: len(here.engine.flights) < SIZE // 2)
    grown.look()


@pytest.mark.parametrize("where", ["on the host", "off the host"])
@pytest.mark.parametrize("silent", [False, True], ids=["answered", "not answered"])
async def test_what_grows_with_a_flood_is_bounded(small: None, silent: bool, where: str) -> None:
    rules = {"per_client": 1, "burst": 1.0, "per_network": 1, "unknown": SIZE}
    how: dict[str, Any] = {"query": {"deadline": 0.1}} if silent else {}
    networks = {"allow": ["10.0.0.0/8", "127.0.0.0/8"]}
    cache = {"size": SIZE}
    async with world(limits=rules, access=networks, cache=cache, **how) as here:
        if where == "off the host":
            elsewhere(here)
            # So that the way there is known, and the tables on it are.
            await here.ask("galeradb.service.consul")
        grown = Grown(here)
        for agent in here.agents:
            agent.faults.frozen = silent
        await flood(here, grown)
        found = grown.found
        assert {name for name in found if name not in TABLES} == set()
        assert {name: size for name, size in found.items() if size > TABLES[name]} == {}
        # Or nothing would be said by that.
        if where == "off the host" and not silent:
            assert "Speller._letters" in found
        most = {"Engine.asks", "Buckets._full_at", "Access.seen", "Cookies._known"}
        assert most <= found.keys()
        await until(lambda: not here.engine.flights)


def test_a_table_without_a_bound_is_seen() -> None:
    class Hoard:
        __module__ = "consulfwd.test"

        def __init__(self) -> None:
            self.names: dict[int, set[int]] = {0: set()}

    hoard = Hoard()
    assert tables(hoard) == {"Hoard.names": 1}
    hoard.names[0].update(range(77))
    assert tables(hoard) == {"Hoard.names": 77}


def test_what_is_remembered_of_calls_is_bounded() -> None:
    found = {}
    for package in (consulfwd.core, consulfwd.dns, consulfwd.net):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, one in vars(importlib.import_module(info.name)).items():
                # What takes no argument has one result.
                if hasattr(one, "cache_info") and inspect.signature(one).parameters:
                    found[f"{info.name}.{name}"] = one.cache_info().maxsize
    assert found
    assert {name for name, most in found.items() if most is None or most > 10_000} == set()


class Sleeper:
    """A lookup that wants to be woken in an hour."""

    wake_at = 3600.0
    outcome: object = None


async def test_what_is_answered_is_not_kept_to_its_deadline() -> None:
    made = timers.Timers(asyncio.get_running_loop(), lambda: 0.0, lambda lookup, now: None)
    waits = [Sleeper() for _ in range(10)]
    for number in range(5 * timers.CLEAR_OUT):
        ended: Any = waits[number] if number < len(waits) else Sleeper()
        made.add(ended)
        if number >= len(waits):
            ended.outcome = "answered"
        assert len(made._heap) <= timers.CLEAR_OUT
    assert set(waits) <= {one for _, _, one in made._heap}
    made.cancel()


async def test_lookups_that_lasted_are_collected_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "MOST_LASTING", 20)
    collected: list[None] = []
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 0))
    monkeypatch.setattr(gc, "collect", lambda which=2: collected.append(None))
    async with world(query={"deadline": 0.3}) as here, here.udp() as client:
        for agent in here.agents:
            agent.faults.frozen = True
        for count in (19, 1):
            for number in range(count):
                client.send(question(f"y{number}.service.consul", ident=number))
            for _ in range(count):
                await client.receive()
            assert collected == []
            here.skip(10.0)
        assert (collected, here.engine.table.lasting) == ([None], 0)
