"""Locks of real Consul: contenders beside `consul lock`, holders that are killed and cut off."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.consul import kv
from consulfwd.consul.client import Client
from consulfwd.consul.lock import Lock
from consulfwd.consul.session import Session
from consulfwd.consul.several import Several
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.coreless import HeldUp
from tests.integration.conftest import NEWEST
from tests.integration.places import addresses
from tests.net.world import until

NETWORK = 62
# Consul allows no less than 10 s, unless it is told to.
TTL, DELAY = 3.0, 1.0
# It may take twice the time to end a session, and is not exact about it.
PATIENCE_S = 4 * TTL + DELAY + 10
HOLDER = """
import asyncio, contextlib, sys
from consulfwd.config import Agent
from consulfwd.consul.client import Client
from consulfwd.consul.lock import Lock
from consulfwd.consul.session import Session
from consulfwd.errors import ConsulError
async def main():
    address, port, prefix, ttl, delay = sys.argv[1:]
    client = Client(Agent(address=address, http_port=int(port)))
    for _ in range(5):
        # A machine that has much to do may take longer than so short a session lasts.
        session = Session(client, ttl=float(ttl), lock_delay=float(delay))
        with contextlib.suppress(ConsulError):
            await session.begin()
            break
    lock = Lock(client, session, prefix, value=b"a process")
    print(await lock.acquire(), flush=True)
    await lock.lost.wait()
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def lockable(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """Three servers, and sessions as short as tests need them."""
    with RealCluster(
        consul_binary,
        addresses(NETWORK, 11, 12, 13),
        workdir=tmp_path_factory.mktemp("lockable"),
        extra={"session_ttl_min": "1s"},
    ) as cluster:
        yield cluster


@asynccontextmanager
async def contender(
    agent: RealAgent, prefix: str, value: bytes = b"", **more: Any
) -> AsyncIterator[Lock]:
    """One who wants the lock of a prefix, with a session of its own."""
    client = Client(
        Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
    )
    session = Session(client, **{"ttl": TTL, "lock_delay": DELAY, **more})
    await session.begin()
    try:
        yield Lock(client, session, prefix, value=value)
    finally:
        await session.end()
        await client.close()


def follower(cluster: RealCluster) -> RealAgent:
    leader = cluster.leader()
    return next(one for one in cluster.servers if one is not leader)


@NEWEST
async def test_one_is_released_one_killed_and_one_cut_off(
    lockable: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    """Side by side, as Consul takes its time; and one is cut off."""
    cut = follower(lockable)
    one, other = (each for each in lockable.servers if each is not cut)
    await asyncio.gather(
        _two_contenders(one, other),
        _killed(one, other, guard, tmp_path),
        _cut_off(lockable, cut, one),
    )


async def _two_contenders(one_at: RealAgent, other_at: RealAgent) -> None:
    async with (
        contender(one_at, "two", b"one") as one,
        contender(other_at, "two", b"other") as other,
    ):
        first = await one.acquire()
        assert first is not None
        assert await other.acquire(0.3) is None
        waits = asyncio.ensure_future(other.acquire())
        # For longer than a session lasts that is not renewed.
        await asyncio.sleep(2.5 * TTL)
        assert (one.held, waits.done()) == (first, False)
        held, begin = HeldUp(disk=True), time.monotonic()
        await one.release()
        second = await waits
        # What was given up is had at once, lock-delay or not.
        assert time.monotonic() - begin < DELAY + held.seconds()
        assert second is not None
        assert (second.number, second.modify_index > first.modify_index) == (first.number + 1, True)
        assert one.held is None
        entry = (await kv.read(other._connection, other.key)).entry
        assert entry is not None
        assert (entry.value, entry.session) == (b"other", other._session.id)


async def _killed(agent: RealAgent, other_at: RealAgent, guard: Guard, tmp_path: Path) -> None:
    words = [agent.address, agent.http_port, "killed", TTL, DELAY]
    command = [sys.executable, "-X", "dev", "-c", HOLDER, *map(str, words)]
    holder = Child("holder", command, tmp_path / "holder.log", guard)

    async def taken_over() -> float:
        async with contender(other_at, "killed") as other:
            begin = time.monotonic()
            holder.kill()
            assert await asyncio.wait_for(other.acquire(), PATIENCE_S) is not None
            return time.monotonic() - begin

    try:
        holder.start()
        held = "Held(number=1, "
        await until(lambda: held in (tmp_path / "holder.log").read_text(), PATIENCE_S)
        # Its session was renewed half a TTL ago at the latest; then there is the delay.
        assert await taken_over() > TTL / 2 + DELAY
    finally:
        holder.kill()


async def _cut_off(lockable: RealCluster, cut: RealAgent, well: RealAgent) -> None:
    async with contender(cut, "cut") as one, contender(well, "cut") as other:
        assert await one.acquire() is not None
        begin = time.monotonic()
        cut.freeze()
        try:
            waits = asyncio.ensure_future(other.acquire())
            await until(lambda: one.held is None, 2 * TTL)
            stopped = time.monotonic()
            assert TTL / 2 - 0.2 < stopped - begin < TTL + 0.5
            await until(one.lost.is_set, 2.0)
            assert one.why.startswith(f"the session is lost: it was not renewed for {TTL:g} s")
            assert not waits.done()
            assert await asyncio.wait_for(waits, PATIENCE_S) is not None
            # Long before anybody else may begin.
            assert time.monotonic() - stopped > DELAY
        finally:
            cut.thaw()
            lockable.wait_ready()


async def test_where_the_first_agent_hangs_the_next_makes_the_session(
    lockable: RealCluster,
) -> None:
    """What the first was asked for may be done, too, once it goes on: that holds nothing."""
    hangs = follower(lockable)
    well = [one for one in lockable.servers if one is not hangs]
    several = Several(
        [Agent(address=one.address, http_port=one.http_port) for one in (hangs, *well)]
    )
    session = Session(several, ttl=10.0, lock_delay=DELAY)
    hangs.freeze()
    try:
        await session.begin()
        assert await Lock(several, session, "hangs").acquire() is not None
    finally:
        hangs.thaw()
        await session.end()
        await several.close()
        lockable.wait_ready()


async def test_a_session_that_is_destroyed_leaves_a_delay(lockable: RealCluster) -> None:
    agent = lockable.servers[0]
    async with contender(agent, "delayed") as one, contender(agent, "delayed") as other:
        assert await one.acquire() is not None
        await asyncio.to_thread(agent.http, "PUT", f"/v1/session/destroy/{one._session.id}")
        held, begin = HeldUp(disk=True), time.monotonic()
        await until(one.lost.is_set, PATIENCE_S)
        assert time.monotonic() - begin < 1.0 + held.seconds()
        assert one.held is None
        assert await asyncio.wait_for(other.acquire(), PATIENCE_S) is not None
        assert DELAY - 0.2 < time.monotonic() - begin < DELAY + 3.0 + held.seconds()


async def test_checks_end_a_session(lockable: RealCluster) -> None:
    agent = lockable.servers[0]
    async with contender(agent, "checked", checks=["serfHealth"]) as one:
        found = await asyncio.to_thread(agent.http, "GET", f"/v1/session/info/{one._session.id}")
        assert found[0]["Checks" if "Checks" in found[0] else "NodeChecks"] == ["serfHealth"]
        assert await one.acquire() is not None
    async with contender(agent, "unchecked") as one:
        found = await asyncio.to_thread(agent.http, "GET", f"/v1/session/info/{one._session.id}")
        assert not found[0].get("Checks")
        assert not found[0].get("NodeChecks")
        assert (found[0]["TTL"], found[0]["Behavior"]) == (f"{TTL * 1000:.0f}ms", "release")


async def test_what_is_compared_and_set(lockable: RealCluster) -> None:
    async with contender(lockable.servers[1], "cas") as one:
        client, key = one._connection, "published/serial number"
        assert await kv.write(client, key, b"1", cas=0, flags=7)
        assert not await kv.write(client, key, b"other", cas=0)
        entry = (await kv.read(client, key)).entry
        assert entry is not None
        assert (entry.value, entry.flags, entry.lock_index, entry.session) == (b"1", 7, 0, "")
        assert await kv.write(client, key, b"2", cas=entry.modify_index)
        assert not await kv.write(client, key, b"3", cas=entry.modify_index)
        assert not await kv.remove(client, key, cas=entry.modify_index)
        entry = (await kv.read(client, key)).entry
        assert entry is not None
        assert entry.value == b"2"
        assert await kv.remove(client, key, cas=entry.modify_index)
        assert (await kv.read(client, key)).entry is None
