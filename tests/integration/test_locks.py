"""Locks of real Consul: contenders beside `consul lock`, holders that are killed and cut off."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.consul import kv
from consulfwd.consul.client import Client
from consulfwd.consul.lock import Lock
from consulfwd.consul.session import Session, boot_time
from consulfwd.consul.several import Several
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from consulfwd.errors import ConsulError
from tests.coreless import HeldUp
from tests.integration.conftest import NEWEST
from tests.integration.elections import TRIES, term
from tests.integration.places import addresses
from tests.net.world import until

NETWORK = 62
# Consul allows no less than 10 s, unless it is told to: so short is the session of who is to lose
# it. Of all others it is one that no machine outlasts which stands still for some seconds.
TTL, DELAY, LASTING = 3.0, 1.0, 30.0
# No session is lost to less than half of it, for which there was no core or no disk.
LATE_S = 1.0
# It may take twice the time to end a session, and is not exact about it.
PATIENCE_S = 4 * TTL + DELAY + 30
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
    # A machine that has much to do may take longer than so short a session lasts.
    while True:
        session = Session(
            client, ttl=float(ttl), lock_delay=float(delay),
            renewed=lambda: print("until", session.until, flush=True),
        )
        with contextlib.suppress(ConsulError):
            await session.begin()
            lock = Lock(client, session, prefix, value=b"a process")
            print(await lock.acquire(), flush=True)
            await lock.lost.wait()
        print("lost", flush=True)
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
    """One who wants the lock of a prefix, with a session of its own: LASTING, or as is said."""
    client = Client(
        Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
    )
    session = Session(client, **{"ttl": LASTING, "lock_delay": DELAY, **more})
    try:
        await session.begin()
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
        _begun_again(lockable, lambda: _two_contenders(one, other)),
        _killed(one, other, guard, tmp_path),
        _begun_again(lockable, lambda: _cut_off(lockable, cut, one)),
    )


class Early(Exception):
    """Who has a short session lost it before its turn had come."""


def _still(one: Lock) -> None:
    if one.held is None:
        raise Early(one.missing)


async def _begun_again(cluster: RealCluster, play: Callable[[], Awaitable[None]]) -> None:
    """Play it; again, though not without end, where a machine that stood still spoiled it.

    That takes a short session, or has the servers elect a leader meanwhile. On a machine that goes
    on there is but one try.
    """
    first = cluster.servers[0]
    for _ in range(TRIES):
        held = HeldUp(*(one.pid for one in cluster.servers), disk=True)
        begun = await asyncio.to_thread(term, first)
        try:
            await play()
        except (Early, ConsulError, AssertionError) as error:
            late = held.seconds() > LATE_S and not isinstance(error, AssertionError)
            if not late and await asyncio.to_thread(term, first) == begun:
                raise
        else:
            return
    await play()


async def _two_contenders(one_at: RealAgent, other_at: RealAgent) -> None:
    async with (
        contender(one_at, "two", b"one", ttl=TTL) as one,
        contender(other_at, "two", b"other") as other,
    ):
        first = await one.acquire()
        assert first is not None
        early = await other.acquire(0.3)
        _still(one)
        assert early is None
        waits = asyncio.ensure_future(other.acquire())
        try:
            # For longer than a session lasts that is not renewed.
            await asyncio.sleep(2.5 * TTL)
            _still(one)
            assert (one.held, waits.done()) == (first, False)
            held = HeldUp(one_at.pid, other_at.pid, disk=True)
            begin = time.monotonic()
            await one.release()
            second = await waits
        finally:
            waits.cancel()
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
    said = tmp_path / "holder.log"
    holder = Child("holder", command, said, guard)

    def until_then() -> float:
        """Until when it knows its session to be there."""
        return float(re.findall(r"^until (.+)$", said.read_text(), re.MULTILINE)[-1])

    def renewed() -> bool:
        """Whether it holds the lock, and its session was renewed half a TTL ago at the latest."""
        holds = "Held(" in said.read_text().rpartition("lost")[2]
        return holds and until_then() - boot_time() > TTL / 2

    try:
        holder.start()
        async with contender(other_at, "killed") as other:
            await until(renewed, PATIENCE_S)
            holder.kill()
            assert await asyncio.wait_for(other.acquire(), PATIENCE_S) is not None
            # For as long as it might have gone by it, and then there is the delay.
            assert boot_time() > until_then() + DELAY
    finally:
        holder.kill()


async def _cut_off(lockable: RealCluster, cut: RealAgent, well: RealAgent) -> None:
    async with (
        contender(cut, "cut", ttl=TTL) as one,
        contender(well, "cut") as other,
    ):
        session = one._session
        assert await one.acquire() is not None
        # Just now, and so half a TTL ago at the latest.
        await until(lambda: session.until - boot_time() > TTL / 2 or not session.there, PATIENCE_S)
        _still(one)
        held = HeldUp(disk=True)
        cut.freeze()
        try:
            begin = boot_time()
            waits = asyncio.ensure_future(other.acquire())
            await until(lambda: one.held is None, PATIENCE_S)
            stopped, ends = boot_time(), session.until
            assert ends < begin + TTL
            assert ends <= stopped < ends + 0.5 + held.seconds()
            await until(one.lost.is_set, PATIENCE_S)
            assert boot_time() < ends + 2.0 + held.seconds()
            assert one.why.startswith(f"the session is lost: it was not renewed for {TTL:g} s")
            assert await asyncio.wait_for(waits, PATIENCE_S) is not None
            # It stopped long before anybody else may begin.
            assert boot_time() > ends + DELAY
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
    session = Session(several, ttl=LASTING, lock_delay=DELAY)
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
        held = HeldUp(*(each.pid for each in lockable.servers), disk=True)
        await asyncio.to_thread(lockable.http, "PUT", f"/v1/session/destroy/{one._session.id}")
        begin = time.monotonic()
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
        assert (found[0]["TTL"], found[0]["Behavior"]) == (f"{LASTING * 1000:.0f}ms", "release")


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
