"""Sets as programs hold them, at development agents: kept current, shared, forked, closed."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import selectors
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from consulfwd.api import Change, ConsulError, SyncBackends, UsageError, backends, sync_backends
from consulfwd.backends.cell import FORKED
from consulfwd.backends.hub import HUB, THREAD
from consulfwd.config import Settings
from consulfwd.dev import DevCluster
from tests.net.world import EXAMPLES, settings

GALERA = ["10.0.10.11:3306", "10.0.10.12:3306", "10.0.10.13:3306"]
PATIENCE_S = 20.0


@pytest.fixture
async def cluster() -> AsyncIterator[DevCluster]:
    async with DevCluster(EXAMPLES) as one:
        yield one
    assert threads() == 0
    assert HUB._runner is None


def threads() -> int:
    return [one.name for one in threading.enumerate()].count(THREAD)


async def soon(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.005)


async def next_of(changes: AsyncIterator[Change]) -> Change:
    return await asyncio.wait_for(anext(changes), PATIENCE_S)


def texts(change: Any) -> list[str]:
    return sorted(map(str, change))


async def test_changes_are_told_as_they_come(cluster: DevCluster) -> None:
    async with backends("galeradb", settings=settings(cluster)) as galera:
        assert texts(await galera.ready()) == GALERA
        changes = aiter(galera)
        first = await next_of(changes)
        assert (texts(first.added), first.removed, first.stale) == (GALERA, (), "")
        cluster.catalog.set_check("galera1", "critical")
        change = await next_of(changes)
        assert (texts(change.removed), texts(change.backends)) == (GALERA[:1], GALERA[1:])
        assert galera.current == change.backends
        cluster.catalog.set_check("galera1", "warning")
        assert texts((await next_of(changes)).added) == GALERA[:1]
        # Another iterator begins with all there are.
        assert texts((await next_of(aiter(galera))).added) == GALERA


async def test_whoever_is_slow_is_told_several_changes_as_one(cluster: DevCluster) -> None:
    async with backends("galeradb", settings=settings(cluster)) as galera:
        changes = aiter(galera)
        await next_of(changes)
        cluster.catalog.set_check("galera1", "critical")
        await soon(lambda: len(galera.current) == 2)
        cluster.catalog.set_check("galera2", "critical")
        cluster.catalog.set_check("galera1", "passing")
        await soon(lambda: texts(galera.current) == [GALERA[0], GALERA[2]])
        change = await next_of(changes)
        assert (texts(change.added), texts(change.removed)) == ([], [GALERA[1]])


async def test_what_is_known_stays_while_agents_are_away(cluster: DevCluster) -> None:
    async with backends("galeradb", settings=settings(cluster)) as galera:
        changes = aiter(galera)
        await next_of(changes)
        for agent in cluster.agents:
            await agent.stop()
        away = await next_of(changes)
        assert (bool(away), texts(away.backends), texts(galera.current)) == (False, GALERA, GALERA)
        assert "connection refused" in away.stale
        assert galera.stale == away.stale
        assert str(galera.pick()) in GALERA
        cluster.catalog.set_check("galera1", "critical")
        await cluster.agents[2].start()
        back = await next_of(changes)
        assert (back.stale, texts(back.removed)) == ("", GALERA[:1])


async def test_nobody_answers_at_first(cluster: DevCluster) -> None:
    for agent in cluster.agents:
        await agent.stop()
    async with backends("galeradb", settings=settings(cluster)) as galera:
        with pytest.raises(ConsulError, match="connection refused"):
            await galera.ready(2.0)
        assert (galera.known, galera.current, galera.pick(), galera.stale) == (False, (), None, "")
        await cluster.agents[1].start()
        assert texts(await galera.ready()) == GALERA
    with sync_backends("galeradb", settings=settings(cluster)) as galera_here:
        await cluster.agents[1].stop()
        with pytest.raises(ConsulError):
            await asyncio.to_thread(galera_here.ready, 0.0)


async def test_threads_iterate_pick_and_are_let_go(cluster: DevCluster) -> None:
    galera = sync_backends("galeradb", settings=settings(cluster))
    assert texts(await asyncio.to_thread(galera.ready)) == GALERA
    seen: list[list[Change]] = [[], []]
    wrong: list[BaseException] = []

    def follow(into: list[Change]) -> None:
        into.extend(galera)

    def use() -> None:
        try:
            while True:
                one = galera.pick()
                assert one is not None
                galera.failed(one)
                assert {str(each) for each in galera.excluded} <= set(GALERA)
                galera.worked(one)
        except RuntimeError as error:
            wrong.append(error)

    users = [threading.Thread(target=follow, args=(into,)) for into in seen]
    users += [threading.Thread(target=use) for _ in range(3)]
    for one in users:
        one.start()
    cluster.catalog.set_check("galera3", "critical")
    await soon(lambda: all(each and len(each[-1].backends) == 2 for each in seen))
    await asyncio.to_thread(galera.close)
    for one in users:
        await asyncio.to_thread(one.join, PATIENCE_S)
        assert not one.is_alive()
    assert {str(one) for one in wrong} == {"the set of 'galeradb' is closed"}
    assert texts(seen[0][0].added) == GALERA
    galera.close()


async def test_sets_share_a_thread_and_connections(cluster: DevCluster) -> None:
    here = settings(cluster)
    first = backends("galeradb", settings=here)
    tagged = backends("galeradb", settings=here, tag="ICINGA-galera", passing_only=True)
    other = backends("galeradb", settings=here, tag="no-such-tag")
    for one in (first, tagged):
        assert texts(await one.ready()) == GALERA
    assert await other.ready() == ()
    assert threads() == 1
    asked = [one for each in cluster.agents for one in each.requests if "galeradb" in one]
    assert 1 <= len(asked) <= 4
    await first.close()
    cluster.catalog.set_check("galera1", "warning")
    await soon(lambda: texts(tagged.current) == GALERA[1:])
    await tagged.close()
    await other.close()
    assert threads() == 0
    async with backends("galeradb", settings=here) as again:
        assert texts(await again.ready()) == GALERA


async def test_closing_ends_iterators_in_event_loops(cluster: DevCluster) -> None:
    galera = backends("galeradb", settings=settings(cluster))

    async def follow() -> int:
        return len([change async for change in galera])

    following = asyncio.create_task(follow())
    await galera.ready()
    await asyncio.sleep(0)
    await galera.close()
    assert await asyncio.wait_for(following, PATIENCE_S) <= 1
    with pytest.raises(RuntimeError, match="closed"):
        galera.pick()


async def test_one_that_is_dropped_is_followed_no_more(cluster: DevCluster) -> None:
    galera = backends("galeradb", settings=settings(cluster))
    await galera.ready()
    del galera
    gc.collect()
    await soon(lambda: threads() == 0)


async def test_other_agents_can_be_asked_while_what_is_known_stays(cluster: DevCluster) -> None:
    async with (
        DevCluster(EXAMPLES) as other,
        backends("galeradb", settings=settings(cluster)) as galera,
    ):
        changes = aiter(galera)
        await next_of(changes)
        for agent in cluster.agents:
            await agent.stop()
        galera.use(settings(other))
        assert texts(galera.current) == GALERA
        other.catalog.set_check("galera2", "critical")
        await soon(lambda: len(galera.current) == 2)
        assert HUB._runner is not None
        await soon(lambda: HUB._runner is not None and len(HUB._runner.sources) == 1)


def in_child(galera: SyncBackends, to: Any) -> None:
    """A worker process: the set it was handed down goes on, by connections of its own."""
    before = galera.stale, len(galera.current)
    end = time.monotonic() + PATIENCE_S
    while galera.stale and time.monotonic() < end:
        time.sleep(0.01)
    to.send((before, galera.stale, texts(galera.current), threads()))
    to.recv()
    galera.close()
    to.send(threads())


async def test_a_forked_process_follows_by_itself(cluster: DevCluster) -> None:
    forking = multiprocessing.get_context("fork")
    here, there = forking.Pipe()
    with sync_backends("galeradb", settings=settings(cluster)) as galera:
        await asyncio.to_thread(galera.ready)
        child = forking.Process(target=in_child, args=(galera, there))
        child.start()
        said = await asyncio.to_thread(here.recv)
        assert said == ((FORKED, 3), "", GALERA, 1)
        # The parent's is as it was, while the child lives and after it has ended.
        cluster.catalog.set_check("galera1", "critical")
        await soon(lambda: len(galera.current) == 2)
        here.send(None)
        assert await asyncio.to_thread(here.recv) == 0
        await asyncio.to_thread(child.join, PATIENCE_S)
        assert child.exitcode == 0
        cluster.catalog.set_check("galera1", "passing")
        await soon(lambda: len(galera.current) == 3)
        assert galera.stale == ""


def leads_to(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


async def test_a_forked_process_has_none_of_its_parent_s_connections(cluster: DevCluster) -> None:
    with sync_backends("galeradb", settings=settings(cluster)) as galera:
        await asyncio.to_thread(galera.ready)
        assert HUB._runner is not None
        selector = HUB._runner._selector
        assert isinstance(selector, selectors.EpollSelector)
        held = [selector.fileno(), *(one.fd for one in selector.get_map().values())]
        assert len(held) >= 3
        pid = os.fork()
        if not pid:
            try:
                os._exit(int(set(map(leads_to, held)) != {os.devnull}))
            finally:
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        assert os.devnull not in map(leads_to, held)


async def test_forks_while_threads_are_busy_hang_nobody(cluster: DevCluster) -> None:
    with sync_backends("galeradb", settings=settings(cluster)) as galera:
        await asyncio.to_thread(galera.ready)
        over = threading.Event()

        def use() -> None:
            while not over.is_set():
                if (one := galera.pick()) is not None:
                    galera.failed(one)
                    galera.worked(one)

        users = [threading.Thread(target=use) for _ in range(2)]
        for one in users:
            one.start()
        codes = []
        for _ in range(20):
            pid = os.fork()
            if not pid:
                os._exit(0 if galera._cell.picker.pick(0.0) is not None else 1)
            codes.append(os.waitpid(pid, 0)[1])
        over.set()
        for one in users:
            one.join()
        assert codes == [0] * 20


@pytest.mark.parametrize(
    ("service", "more", "text"),
    [
        ("", {}, "empty"),
        ("a\nb", {}, "cannot be asked for"),
        ("web", {"datacenter": "a b"}, "not the name of a datacenter"),
        ("web", {"rate": 0.0}, "not a number above 0"),
        ("web", {"rate": float("nan")}, "not a number above 0"),
    ],
)
def test_what_cannot_be_asked_for(service: str, more: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        backends(service, settings=Settings(), **more)
    assert threads() == 0
