"""Locks at a development agent, over real HTTP: contenders, holders that are lost, lost replies."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.consul import kv
from consulfwd.consul.client import Client
from consulfwd.consul.lock import FLAGS, FRESH, RETRY, Lock
from consulfwd.consul.reply import Reply
from consulfwd.consul.session import Session
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.errors import ConsulError, UnknownOutcome
from tests.coreless import our_time
from tests.net.world import nothing_left_behind, until

PREFIX, KEY = "service/publisher", "service/publisher/.lock"
# A test of what happens in time has a shorter one, all others time for a slow machine.
TTL, SHORT_TTL = 5.0, 0.5


class Site:
    """An agent, and those who contend there; each has a client and a session of its own."""

    def __init__(self, agent: DevAgent, cluster: DevCluster) -> None:
        self.agent = agent
        self.store = cluster.catalog.kv
        self._made: list[tuple[Client, Session]] = []

    async def contender(
        self, value: bytes = b"", *, client: Client | None = None, **more: Any
    ) -> Lock:
        client = client or Client(self.settings)
        session = Session(client, **{"ttl": TTL, "lock_delay": 0.0, **more})
        await session.begin()
        self._made.append((client, session))
        return Lock(client, session, PREFIX, value=value, sleep=short, rng=random.Random(1))

    @property
    def settings(self) -> Agent:
        return Agent(
            address=self.agent.address,
            dns_port=self.agent.dns_port,
            http_port=self.agent.http_port,
        )

    async def close(self) -> None:
        for client, session in self._made:
            await session.end()
            await client.close()


async def short(seconds: float) -> None:
    """Seconds become hundredths: an agent's are as long as they are."""
    await asyncio.sleep(seconds / 100)


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    async with nothing_left_behind(), DevCluster(agents=1) as cluster:
        found = Site(cluster.agents[0], cluster)
        try:
            yield found
        finally:
            await found.close()


async def test_one_holds_it_and_the_other_waits() -> None:
    async with site() as here:
        one, other = await here.contender(b"one"), await here.contender(b"other")
        first = await one.acquire()
        assert (one.held, one.why) == (first, "")
        assert first is not None
        entry = here.store.entries[KEY]
        assert (entry.value, entry.flags, entry.session) == (b"one", FLAGS, one._session.id)
        assert (first.number, first.modify_index) == (entry.locked, entry.index) == (1, entry.index)
        assert await other.acquire(0.05) is None
        waits = asyncio.ensure_future(other.acquire())
        await asyncio.sleep(0.1)
        # It is told at once, and not asked after again and again.
        asked = len(here.agent.requests)
        await asyncio.sleep(0.1)
        renewals = sum("renew" in one for one in list(here.agent.requests)[asked:])
        assert len(here.agent.requests) - asked - renewals <= 1
        begin = our_time()
        await one.release()
        second = await waits
        assert our_time() - begin < 0.5
        assert second is not None
        assert (second.number, second.modify_index > first.modify_index) == (2, True)
        assert (one.held, one.lost.is_set(), one.why) == (None, True, "it was released")
        assert (other.held, other.lost.is_set()) == (second, False)
        await other.release()
        # The same one may have it again.
        assert (await one.acquire()) is not None
        assert (await one.acquire()) == one.held


async def test_a_holder_that_ends_gives_it_up() -> None:
    async with site() as here:
        one, other = await here.contender(), await here.contender()
        await one.acquire()
        waits = asyncio.ensure_future(other.acquire())
        await asyncio.sleep(0.05)
        await one._session.end()
        assert one.held is None
        assert await waits is not None
        await until(lambda: one.lost.is_set())
        assert one.why in ("the session is lost: it was ended", "another one holds it")


async def test_a_holder_that_is_cut_off_stops_before_another_begins() -> None:
    async with site() as here:
        cut = CutOff(here.settings)
        one, other = await here.contender(client=cut, ttl=SHORT_TTL), await here.contender()
        await one.acquire()
        cut.off = True
        waits = asyncio.ensure_future(other.acquire())
        stopped = began = 0.0

        def over() -> bool:
            nonlocal stopped, began
            if one.held is None:
                stopped = stopped or time.monotonic()
            if waits.done():
                began = began or time.monotonic()
            return bool(began)

        await until(over)
        assert stopped
        # Consul allows for twice the time.
        assert began - stopped > SHORT_TTL / 2
        await until(lambda: one.lost.is_set())
        assert one.why == "the session is lost: it was not renewed for 0.5 s: cut: off"
        with pytest.raises(ConsulError, match="no session: it was not renewed"):
            await one.acquire()
        cut.off = False


async def test_after_a_holder_was_lost_nobody_gets_it_for_a_while() -> None:
    async with site() as here:
        one = await here.contender(lock_delay=0.5)
        other = await here.contender()
        await one.acquire()
        here.store.destroy(one._session.id)
        begin, ours = time.monotonic(), our_time()
        await until(lambda: one.lost.is_set())
        assert one.why == "Consul took it away"
        assert our_time() - ours < 0.3
        assert await other.acquire() is not None
        assert time.monotonic() - begin > 0.4
        assert our_time() - ours < 1.5
        # It is tried now and then meanwhile.
        tries = sum("acquire=" in one for one in here.agent.requests)
        assert 4 < tries < 200


async def test_who_takes_it_away_is_seen_at_once() -> None:
    async with site() as here:
        one, other = await here.contender(), await here.contender()
        await one.acquire()
        entry = here.store.entries[KEY]
        here.store.release(KEY, b"", FLAGS, one._session.id)
        here.store.acquire(KEY, entry.value, FLAGS, other._session.id)
        await until(lambda: one.lost.is_set())
        assert (one.held, one.why) == (None, "another one holds it")


async def test_right_before_something_is_done_the_leader_is_asked() -> None:
    async with site() as here:
        cut = CutOff(here.settings)
        one, other = await here.contender(client=cut), await here.contender()
        assert await one.check() == one.missing == "it was not acquired"
        await one.acquire()
        assert (await one.check(), one.missing) == ("", "")
        # That it cannot be asked now is no loss, but no word either.
        cut.off = True
        assert "Consul cannot be asked whether it is held: cut: off" in await one.check()
        assert one.missing == ""
        cut.off = False
        here.store.release(KEY, b"", FLAGS, one._session.id)
        here.store.acquire(KEY, b"", FLAGS, other._session.id)
        assert await one.check() == one.missing == "another one holds it"


async def test_a_reply_that_comes_late_says_nothing_of_now() -> None:
    """The host was held up between the question and what follows from the reply."""
    async with site() as here:
        one = await here.contender(ttl=3600.0)
        await one.acquire()
        passed = iter([0.0, FRESH + 0.001])
        clock = one._clock
        one._clock = lambda: clock() + next(passed, FRESH + 0.001)
        assert await one.check() == "this host was held up while it asked whether the lock is held"
        one._clock = clock
        assert await one.check() == ""


async def test_a_session_that_is_over_by_the_clock_is_one_lost() -> None:
    async with site() as here:
        one = await here.contender()
        await one.acquire()
        asked = len(here.agent.requests)
        one._session._lease.until = 0.0
        missing = "the session is lost: it was not renewed for 5 s"
        assert await one.check() == one.missing == missing
        assert len(here.agent.requests) == asked


async def test_what_was_lost_unseen_by_others_may_be_given_back() -> None:
    async with site() as here:
        one, other = await here.contender(), await here.contender()
        await one.acquire()
        one._lose("as by the clock")
        assert here.store.entries[KEY].session == one._session.id
        await one.give_back()
        assert here.store.entries[KEY].session == ""
        await other.acquire()
        # What is another one's by now stays so.
        await one.give_back()
        assert here.store.entries[KEY].session == other._session.id


async def test_who_waits_sees_who_has_it() -> None:
    async with site() as here:
        one = await here.contender(b"one")
        seen: list[str] = []

        def note(entry: kv.Entry | None) -> None:
            seen.append("" if entry is None else entry.session)

        other = await here.contender()
        other._seen = note
        await one.acquire()
        assert await other.acquire(0.05) is None
        assert set(seen) == {one._session.id}
        waits = asyncio.ensure_future(other.acquire())
        await asyncio.sleep(0.05)
        await one.release()
        await waits
        assert seen[-1] == ""


async def test_keys_below_a_prefix() -> None:
    async with site() as here:
        client = (await here.contender())._connection
        found, index = await kv.read_below(client, "zones/a/orders/")
        assert found == {}
        changed = asyncio.ensure_future(
            kv.read_below(client, "zones/a/orders/", index=index, wait=5.0)
        )
        await asyncio.sleep(0.02)
        assert not changed.done()
        here.store.put("zones/a/orders/pause", b"1", 0)
        here.store.put("zones/a/memory", b"2", 0)
        found, _ = await changed
        assert {key: entry.value for key, entry in found.items()} == {"pause": b"1"}


async def test_a_key_that_is_no_lock_is_left_alone() -> None:
    async with site() as here:
        here.store.put(KEY, b"a semaphore of somebody's", 1)
        one = await here.contender()
        with pytest.raises(ConsulError, match=f"{KEY} is there, and is not a lock"):
            await one.acquire()
        assert here.store.entries[KEY].value == b"a semaphore of somebody's"


class CutOff(Client):
    """A client whose way to the agent can be cut; or the replies to what it writes are lost."""

    off = hanging = False
    losing = 0

    async def get(self, *arguments: Any, **more: Any) -> Reply:
        if self.off:
            raise ConsulError("cut", 0, "off")
        return await super().get(*arguments, **more)

    async def put(
        self, path: str, params: Mapping[str, str] | None = None, **more: Any
    ) -> Reply:
        if self.off:
            raise ConsulError("cut", 0, "off")
        reply = await super().put(path, params, **more)
        if params and self.hanging:
            await asyncio.get_running_loop().create_future()
        if params and self.losing:
            self.losing -= 1
            raise UnknownOutcome("cut", 0, "lost")
        return reply


async def test_a_reply_that_is_lost_is_no_lock_lost() -> None:
    async with site() as here:
        cut = CutOff(here.settings)
        one = await here.contender(client=cut)
        cut.losing = 1
        held = await one.acquire()
        assert held is not None
        assert (held.number, here.store.entries[KEY].session) == (1, one._session.id)
        # It was done once: whether it was is read, not tried again.
        assert sum("acquire=" in one for one in here.agent.requests) == 1
        cut.losing = 1
        with pytest.raises(UnknownOutcome):
            await one.release()
        assert one.held is None


@pytest.mark.parametrize("ended", ["in time", "cancelled"])
async def test_what_may_be_held_unseen_is_given_back(ended: str) -> None:
    async with site() as here:
        cut = CutOff(here.settings)
        one, other = await here.contender(client=cut), await here.contender()
        if ended == "in time":
            cut.losing = 1
            with pytest.raises(UnknownOutcome):
                await one.acquire(0.0)
        else:
            cut.hanging = True
            waits = asyncio.ensure_future(one.acquire())
            await until(lambda: KEY in here.store.entries)
            waits.cancel()
            cut.hanging = False
            await asyncio.gather(waits, return_exceptions=True)
        assert one.held is None
        assert here.store.entries[KEY].session == ""
        assert await other.acquire(1.0) is not None


async def test_an_agent_that_is_away_is_waited_for() -> None:
    async with site() as here:
        one = await here.contender(ttl=10.0)
        here.agent.faults.http.status.on(500)
        waits = asyncio.ensure_future(one.acquire())
        await until(lambda: sum("/v1/kv/" in one for one in here.agent.requests) > 2)
        here.agent.faults.clear()
        assert await waits is not None
        # Watching goes on through errors, too; how long, the session says.
        here.agent.faults.http.status.on(500)
        asked = len(here.agent.requests)
        here.store.put("elsewhere", b"", 0)
        here.store.put(KEY, b"", FLAGS)
        await until(lambda: len(here.agent.requests) > asked + 2)
        assert one.held is not None
        here.agent.faults.clear()


async def test_a_refusal_is_not_waited_out() -> None:
    async with site() as here:
        one = await here.contender(ttl=10.0)
        here.agent.faults.http.status.on(403)
        with pytest.raises(ConsulError, match="HTTP 403"):
            await one.acquire()
        here.agent.faults.http.status.on(500)
        with pytest.raises(ConsulError, match="HTTP 500"):
            await one.acquire(0.05)
        here.agent.faults.clear()


async def test_an_entry_is_written_only_where_it_is_as_it_was_known() -> None:
    async with site() as here:
        client = (await here.contender())._connection
        key = "zones/a b/serial"
        assert (await kv.read(client, key)).entry is None
        assert await kv.write(client, key, b"1", cas=0, flags=7)
        assert not await kv.write(client, key, b"other", cas=0)
        entry, index = await kv.read(client, key)
        assert entry is not None
        assert (entry.value, entry.flags, entry.session, entry.lock_index) == (b"1", 7, "", 0)
        assert index == entry.modify_index
        assert await kv.write(client, key, b"2", cas=entry.modify_index)
        assert not await kv.write(client, key, b"3", cas=entry.modify_index)
        assert not await kv.remove(client, key, cas=entry.modify_index)
        assert here.store.entries[key].value == b"2"
        assert await kv.write(client, key, b"")
        changed = asyncio.ensure_future(kv.read(client, key, index=index + 2, wait=5.0))
        await asyncio.sleep(0.02)
        assert not changed.done()
        assert await kv.remove(client, key)
        assert (await changed).entry is None


@pytest.mark.parametrize("key", ["", "/a", "a/../../acl/tokens", "./a", "a/.."])
async def test_what_leads_elsewhere_is_no_key(key: str) -> None:
    async with site() as here:
        client = (await here.contender())._connection
        with pytest.raises(ValueError, match="not a key"):
            await kv.write(client, key, b"")


def test_how_often_it_is_tried() -> None:
    assert RETRY == 1.0
