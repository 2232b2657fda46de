"""Publishers of one zone, at a development agent: who writes, and what they know of others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneLockSettings, ZoneSettings
from consulfwd.consul.campaign import Form
from consulfwd.consul.client import Client
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.errors import ApplyError, ConsulError
from consulfwd.zones.alone import Alone, is_taken
from consulfwd.zones.disk import Document
from consulfwd.zones.memory import LARGEST, Memory
from consulfwd.zones.orders import Allow, Pause, write_allow, write_pause
from consulfwd.zones.shared import Shared, Superseded, prefix_of, stamp
from consulfwd.zones.store import Times, later
from consulfwd.zones.writer import Writer, form_of
from consulfwd.zones.writing import Files, Writing, files_of
from tests.net.world import nothing_left_behind, until

PREFIX = "consulfwd/zones/svc.example.com"
MEMORY, PAUSE, ALLOW = f"{PREFIX}/memory", f"{PREFIX}/orders/pause", f"{PREFIX}/orders/allow"
TIMES: dict[str, Any] = {"ttl": 10.0, "lock_delay": 0.0, "retry": 20.0}


def files(folder: Path) -> Files:
    folder.mkdir(exist_ok=True)
    return Files(*(Document(folder / name, 2 * LARGEST) for name in ("m", "p", "a")))


class Publisher:
    """One publisher, and each time that it may write."""

    def __init__(self, client: Client, folder: Path, name: str) -> None:
        self.client = client
        self.files = files(folder)
        self.times = Times(time.monotonic, time.time)
        self.writer = Writer(
            client, Form(PREFIX, name, **TIMES), self.files, times=self.times, sleep=short
        )
        self.writings: list[Writing] = []
        self.task: asyncio.Task[None] | None = None
        # What is to be remembered as the last of all.
        self.last: Memory | None = None

    async def work(self, writing: Writing) -> None:
        self.writings.append(writing)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self.last is not None:
                await writing.save(self.last)

    async def begin(self) -> Writing:
        number = len(self.writings)
        self.task = asyncio.ensure_future(self.writer.run(self.work))
        await until(lambda: len(self.writings) > number)
        return self.writings[-1]

    async def end(self) -> None:
        self.writer.stop()
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)
        await self.client.close()


class Site:
    """An agent, and publishers there, each with a disk of its own."""

    def __init__(self, agent: DevAgent, cluster: DevCluster, folder: Path) -> None:
        self.agent = agent
        self.store = cluster.catalog.kv
        self.folder = folder
        self.publishers: list[Publisher] = []
        self.shared = Shared(self.client(), PREFIX)

    def client(self) -> Client:
        agent = self.agent
        return Client(
            Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
        )

    def publisher(self, name: str) -> Publisher:
        found = Publisher(self.client(), self.folder / name, name)
        self.publishers.append(found)
        return found

    def memory(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.store.entries[MEMORY].value)
        return found

    async def close(self) -> None:
        for one in self.publishers:
            await one.end()
        connection = self.shared._connection
        assert isinstance(connection, Client)
        await connection.close()


async def short(seconds: float) -> None:
    """Seconds become hundredths: an agent's are as long as they are."""
    await asyncio.sleep(seconds / 100)


@asynccontextmanager
async def site(folder: Path, *, errors: bool = False) -> AsyncIterator[Site]:
    """With `errors` some are to be told in the log."""
    watching = contextlib.nullcontext() if errors else nothing_left_behind()
    async with watching, DevCluster(agents=1) as cluster:
        found = Site(cluster.agents[0], cluster, folder)
        try:
            yield found
        finally:
            await found.close()


async def test_the_next_one_knows_what_the_last_one_did(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        one, other = here.publisher("one"), here.publisher("other")
        first = await one.begin()
        assert (first.number, first.holder, first.memory) == (1, "one", Memory())
        # Before anything else the memory is its own.
        assert here.memory()["number"] == 1
        await first.save(Memory(serial=7))
        assert (here.memory()["serial"], here.memory()["number"]) == (7, 1)
        await one.end()
        assert first.why() == "this program is to stop"
        second = await other.begin()
        assert (second.number, second.memory.serial, second.memory.number) == (2, 7, 1)
        assert (here.memory()["number"], here.memory()["serial"]) == (2, 7)
        on_disk = other.files.memory.load()
        assert on_disk == here.store.entries[MEMORY].value
        with pytest.raises(ApplyError, match="is not written: the lock is lost"):
            await first.save(Memory(serial=8))


async def test_who_is_told_to_stop_may_say_what_was_done_by_then(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        one, other = here.publisher("one"), here.publisher("other")
        await one.begin()
        one.last = Memory(serial=9)
        await one.end()
        assert (await other.begin()).memory.serial == 9


async def test_numbers_go_on_where_the_lock_s_key_was_deleted(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        for number in (1, 2, 3):
            one = here.publisher(f"p{number}")
            assert (await one.begin()).number == number
            await one.end()
        del here.store.entries[f"{PREFIX}/.lock"]
        one = here.publisher("p4")
        assert (await one.begin()).number == 4
        await one.end()
        # The memory gone as well, this host's disk still knows.
        here.store.entries.clear()
        again = Publisher(here.client(), here.folder / "p4", "p4")
        here.publishers.append(again)
        assert (await again.begin()).number == 5
        assert here.memory()["number"] == 5


async def test_who_was_held_up_writes_nothing_over(tmp_path: Path) -> None:
    """The lock was lost unseen: a compare-and-set fails, as the next one has written before all."""
    async with site(tmp_path) as here:
        one = here.publisher("one")
        first = await one.begin()
        held = here.store.entries[MEMORY]
        lock = here.store.entries[f"{PREFIX}/.lock"]
        assert lock.session
        later_one = json.loads(held.value) | {"number": 2, "serial": 9}
        here.store.put(MEMORY, json.dumps(later_one).encode(), 0)
        with pytest.raises(Superseded, match="another publisher has written it since"):
            await first.save(Memory(serial=8))
        assert here.memory()["serial"] == 9
        assert "another publisher has written it" in first.why()
        # It does not sit on the lock: the next time, here or elsewhere, has a higher number.
        await until(lambda: len(one.writings) == 2)
        assert (one.writings[1].number, one.writings[1].memory.serial) == (3, 9)
        await one.writings[1].save(Memory(serial=10))


async def test_what_people_changed_is_written_over(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        first = await here.publisher("one").begin()
        edited = here.memory() | {"serial": 1000}
        here.store.put(MEMORY, json.dumps(edited).encode(), 0)
        await first.save(Memory(serial=8))
        assert here.memory()["serial"] == 8
        here.store.delete(MEMORY)
        await first.save(Memory(serial=9))
        assert here.memory()["serial"] == 9


@pytest.mark.parametrize("where", ["consul", "disk"])
async def test_a_memory_that_cannot_be_read_is_not_taken_for_none(
    where: str, tmp_path: Path
) -> None:
    async with site(tmp_path, errors=True) as here:
        one = here.publisher("one")
        if where == "consul":
            here.store.put(MEMORY, b"not JSON", 0)
            mend = f"`consul kv delete {MEMORY}` begins anew"
        else:
            one.files.memory.save(b"not JSON")
            mend = "it is not JSON"
        one.task = asyncio.ensure_future(one.writer.run(one.work))
        await until(lambda: mend in one.writer.status())
        assert one.writings == []
        # Others may have the lock meanwhile.
        await until(lambda: here.store.entries[f"{PREFIX}/.lock"].session == "")
        if where == "consul":
            here.store.delete(MEMORY)
        else:
            one.files.memory.remove()
        await until(lambda: bool(one.writings))


async def test_a_bad_disk_is_no_matter_where_consul_knows(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        one = here.publisher("one")
        first = await one.begin()
        await first.save(Memory(serial=7))
        await one.end()
        other = here.publisher("other")
        other.files.memory.save(b"not JSON")
        assert (await other.begin()).memory.serial == 7
        # Nor is one that takes nothing.
        other.files.memory.path.unlink()
        other.files.memory.path.mkdir()
        await other.writings[0].save(Memory(serial=8))
        assert here.memory()["serial"] == 8


async def test_orders_reach_whoever_is_active(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.shared.pause(Pause("racks", "ada", 1.0))
        writing = await here.publisher("one").begin()
        assert writing.orders.paused == "paused by ada: racks"
        assert await here.shared.resume()
        await until(writing.changed.is_set)
        assert writing.orders.paused == ""
        assert not await here.shared.resume()
        writing.changed.clear()
        allow = Allow(5, time.time() + 60, "ada", 1.0)
        await here.shared.allow(allow)
        await until(writing.changed.is_set)
        assert writing.orders.allow == allow
        # Once: it is gone with that.
        assert await writing.take() == allow
        assert ALLOW not in here.store.entries
        assert await writing.take() is None


async def test_an_order_that_was_changed_is_not_taken_for_the_one_seen(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        writing = await here.publisher("one").begin()
        await here.shared.allow(Allow(5, time.time() + 60, "ada", 1.0))
        await until(lambda: writing.orders.allow is not None)
        seen = writing.orders
        here.store.put(ALLOW, write_allow(Allow(1, time.time() + 60, "bob", 2.0)), 0)
        writing.orders = seen
        assert await writing.take() is None
        assert ALLOW in here.store.entries
        # One whose time is over allows nothing.
        here.store.put(ALLOW, write_allow(Allow(1, time.time() - 1, "bob", 2.0)), 0)
        await until(lambda: writing.orders != seen and writing.orders.allow is not None)
        await until(lambda: writing.orders.allow_index == here.store.entries[ALLOW].index)
        assert await writing.take() is None
        assert ALLOW not in here.store.entries


async def test_orders_that_cannot_be_read_are_a_pause(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.store.put(PAUSE, b"please", 0)
        here.store.put(ALLOW, b"all of it", 0)
        here.store.put(f"{PREFIX}/orders/else", b"is not ours", 0)
        writing = await here.publisher("one").begin()
        assert writing.orders.paused.startswith(f"{PAUSE}: all of it: it is not JSON")
        assert len(writing.orders.wrong) == 2


async def test_what_others_see(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        status = await here.shared.status()
        assert (status.holder, status.number, status.serial, status.fault) == (None, 0, None, "")
        one = here.publisher("one")
        writing = await one.begin()
        await writing.save(Memory(serial=7))
        status = await here.shared.status()
        assert status.holder is not None
        assert (status.holder.who, status.number, status.serial) == ("one", 1, 7)
        assert time.time() - status.saved < 60
        assert one.writer.active
        await one.end()
        assert (await here.shared.status()).holder is None
        here.store.put(MEMORY, b"?", 0)
        assert "it is not JSON" in (await here.shared.status()).fault


async def test_a_memory_as_large_as_may_be_is_kept(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        writing = await here.publisher("one").begin()
        large = Memory(paused="x" * 400_000)
        await writing.save(large)
        assert len(here.store.entries[MEMORY].value) > 400_000
        await writing.save(large)


async def test_a_reply_that_is_lost_is_no_memory_lost(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        writing = await here.publisher("one").begin()
        await writing.save(Memory(serial=7))
        here.agent.faults.http.status.on(500)
        with pytest.raises(ConsulError):
            await writing.save(Memory(serial=8))
        here.agent.faults.clear()
        await writing.save(Memory(serial=9))
        assert here.memory()["serial"] == 9


async def test_without_a_lock_all_is_on_disk(tmp_path: Path) -> None:
    kept = files(tmp_path)
    kept.pause.save(write_pause(Pause("", "ada", 1.0)))
    seen: list[Memory] = []

    async def work(writing: Writing) -> None:
        seen.append(writing.memory)
        assert (writing.number, writing.may(), writing.why()) == (0, "", "")
        assert writing.orders.paused == "paused by ada"
        kept.pause.remove()
        kept.allow.save(write_allow(Allow(3, time.time() + 60, "ada", 1.0)))
        await writing.changed.wait()
        assert writing.orders.paused == ""
        taken = await writing.take()
        assert taken is not None
        assert (taken.number, await writing.take()) == (3, None)
        await writing.save(Memory(serial=len(seen)))

    for number in (1, 2):
        kept.pause.save(write_pause(Pause("", "ada", 1.0)))
        alone = Alone(kept, sleep=short)
        await alone.run(work)
        data = kept.memory.load()
        assert data is not None
        assert stamp(data, "x").serial == number
    assert [one.serial for one in seen] == [None, 1]


async def test_without_a_lock_a_stop_is_heard(tmp_path: Path) -> None:
    alone = Alone(files(tmp_path))
    ended: list[str] = []

    async def work(writing: Writing) -> None:
        alone.stop()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(writing.why())

    await alone.run(work)
    assert ended == ["this program is to stop"]


async def test_without_a_lock_there_is_one_on_this_host(tmp_path: Path) -> None:
    kept = files(tmp_path)

    async def work(writing: Writing) -> None:
        assert is_taken(kept)
        with pytest.raises(ApplyError, match="another consulfwd publishes this zone from here"):
            await Alone(kept).run(work)

    assert not is_taken(files_of(tmp_path / "none", ZoneSettings(origin="svc.example.com")))
    for _ in range(2):
        # Whoever was killed leaves the file, and keeps nobody off.
        assert not is_taken(kept)
        await Alone(kept).run(work)


async def test_without_a_lock_two_targets_may_be_through_at_once(tmp_path: Path) -> None:
    kept = files(tmp_path)

    async def work(writing: Writing) -> None:
        await asyncio.gather(*(writing.save(Memory(serial=at)) for at in range(20)))

    await Alone(kept).run(work)
    data = kept.memory.load()
    assert data is not None
    assert stamp(data, "x").serial == 19


def test_where_a_zone_keeps_what() -> None:
    zone = ZoneSettings(origin="svc.example.com")
    inside = ZoneSettings(origin="svc.example.com", view="a/b")
    given = ZoneSettings(origin="svc.example.com", lock=ZoneLockSettings(prefix="dns/svc"))
    assert [prefix_of(one) for one in (zone, inside, given)] == [
        "consulfwd/zones/svc.example.com",
        "consulfwd/zones/svc.example.com@a/b",
        "dns/svc",
    ]
    form = form_of(given, "me")
    assert (form.prefix, form.who, form.ttl, form.lock_delay, form.retry) == (
        "dns/svc", "me", 15.0, 15.0, 20.0
    )  # fmt: skip
    assert [one.path.name for one in files_of(Path("/x"), inside)] == [
        "zone-svc.example.com@a%2Fb.json",
        "zone-svc.example.com@a%2Fb.pause.json",
        "zone-svc.example.com@a%2Fb.allow.json",
    ]


def of(number: int, serial: int | None) -> Memory:
    return Memory(number=number, serial=serial)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (None, None, None),
        (of(1, 7), None, of(1, 7)),
        (None, of(1, 7), of(1, 7)),
        (of(2, 7), of(1, 6), of(2, 7)),
        (of(1, 6), of(2, 7), of(2, 7)),
        # What was published once is never gone behind, whoever's memory counts.
        (of(2, 6), of(1, 7), of(2, 7)),
        (of(1, 2**32 - 1), of(1, 3), of(1, 3)),
        (of(1, 3), of(1, 2**32 - 1), of(1, 3)),
        (of(3, None), of(1, 7), of(3, 7)),
        (of(1, 7), of(1, 7), of(1, 7)),
    ],
)
def test_which_memory_counts(
    one: Memory | None, other: Memory | None, found: Memory | None
) -> None:
    assert later(one, other) == found


def test_of_equals_consul_s_counts() -> None:
    in_consul, on_disk = (Memory(serial=7, paused=one) for one in ("consul", "disk"))
    known: Sequence[Memory | None] = [later(in_consul, on_disk)]
    assert known == [in_consul]
