"""Campaigns at a development agent, over real HTTP: who leads, and what ends that."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.consul.campaign import Campaign, Form
from consulfwd.consul.client import Client
from consulfwd.consul.holder import Holder, holder_of
from consulfwd.consul.kv import Entry
from consulfwd.consul.lock import FLAGS
from consulfwd.consul.stages import Outcome, State
from consulfwd.consul.term import Term
from consulfwd.dev import DevAgent, DevCluster
from consulfwd.errors import ApplyError, ConsulError
from tests.coreless import our_time
from tests.net.world import nothing_left_behind, until

PREFIX, KEY = "zones/svc", "zones/svc/.lock"


class Candidate:
    """One who campaigns, and all the times that it led: begin, end."""

    def __init__(self, client: Client, name: str, more: dict[str, Any]) -> None:
        self.client = client
        wanted = {"ttl": 5.0, "lock_delay": 0.0, "retry": 20.0, **more}
        form = Form(PREFIX, who=name, **wanted)
        self.states: list[State] = []
        self.campaign = Campaign(
            client,
            form,
            changed=lambda: self.states.append(self.campaign.state),
            sleep=short,
            rng=random.Random(1),
        )
        self.terms: list[Term] = []
        self.ended_at: list[float] = []
        self.lingers = 0.0
        self.fails: Exception | None = None
        self.task: asyncio.Task[Outcome] | None = None

    async def lead(self, term: Term) -> None:
        self.terms.append(term)
        try:
            if self.fails is not None:
                raise self.fails
            await asyncio.get_running_loop().create_future()
        finally:
            if self.lingers:
                await asyncio.sleep(self.lingers)
            self.ended_at.append(time.monotonic())

    def begin(self, **more: Any) -> None:
        self.task = asyncio.ensure_future(self.campaign.run(self.lead, **more))

    @property
    def active(self) -> bool:
        return self.campaign.state is State.ACTIVE and bool(self.terms)

    async def outcome(self) -> Outcome:
        assert self.task is not None
        return await asyncio.wait_for(self.task, 10.0)


class Site:
    """An agent, and those who campaign there."""

    def __init__(self, agent: DevAgent, cluster: DevCluster) -> None:
        self.agent = agent
        self.store = cluster.catalog.kv
        self.candidates: list[Candidate] = []

    def candidate(self, name: str, **more: Any) -> Candidate:
        agent = Agent(
            address=self.agent.address,
            dns_port=self.agent.dns_port,
            http_port=self.agent.http_port,
        )
        found = Candidate(Client(agent), name, more)
        self.candidates.append(found)
        return found

    async def close(self) -> None:
        for one in self.candidates:
            one.campaign.stop()
            if one.task is not None:
                await asyncio.gather(one.task, return_exceptions=True)
            await one.client.close()


async def short(seconds: float) -> None:
    """Seconds become hundredths: an agent's are as long as they are."""
    await asyncio.sleep(seconds / 100)


@asynccontextmanager
async def site(*, errors: bool = False) -> AsyncIterator[Site]:
    """With `errors` some are to be told in the log."""
    watching = contextlib.nullcontext() if errors else nothing_left_behind()
    async with watching, DevCluster(agents=1) as cluster:
        found = Site(cluster.agents[0], cluster)
        try:
            yield found
        finally:
            await found.close()


async def test_one_is_active_and_the_other_follows_when_it_stops() -> None:
    async with site() as here:
        one, other = here.candidate("one"), here.candidate("other")
        one.begin()
        await until(lambda: one.active)
        other.begin()
        await until(lambda: other.campaign.holder is not None)
        assert other.campaign.status().startswith("backup: one since 20")
        assert other.campaign.status().endswith(f" holds {PREFIX}")
        assert one.campaign.status().startswith("active: one since 20")
        found = json.loads(here.store.entries[KEY].value)
        assert (found["holder"], abs(found["since"] - time.time()) < 60) == ("one", True)
        begin = our_time()
        one.campaign.stop()
        assert await one.outcome() is Outcome.STOPPED
        await until(lambda: other.active)
        assert our_time() - begin < 2.0
        assert (one.terms[0].number, other.terms[0].number) == (1, 2)
        assert one.states[-4:] == [State.ACTIVE, State.STOPPING, State.BACKUP, State.ENDED]
        assert here.store.sessions.keys() == {other.terms[0].session}


async def test_what_was_led_has_ended_before_another_begins() -> None:
    async with site() as here:
        one, other = here.candidate("one"), here.candidate("other")
        one.lingers = 0.3
        one.begin()
        await until(lambda: one.active)
        other.begin()
        one.campaign.stop()
        await asyncio.sleep(0.1)
        assert (one.campaign.state, other.terms) == (State.STOPPING, [])
        assert one.terms[0].why() == "this program is to stop"
        await until(lambda: other.active)
        assert one.ended_at


@pytest.mark.parametrize("once", [False, True])
async def test_after_a_loss_there_is_another_session(once: bool) -> None:
    async with site() as here:
        one = here.candidate("one")
        one.begin(once=once)
        await until(lambda: one.active)
        first = one.terms[0]
        here.store.destroy(first.session)
        await until(lambda: bool(one.ended_at))
        assert first.why() == "the lock is lost: Consul took it away"
        if once:
            assert await one.outcome() is Outcome.LOST
            return
        await until(lambda: len(one.terms) == 2 and one.active)
        second = one.terms[1]
        assert second.session != first.session
        assert (second.number, second.why(), first.why() != "") == (2, "", True)


async def test_what_ends_by_itself_ends_the_campaign() -> None:
    async with site() as here:
        one = here.candidate("one")

        async def lead(term: Term) -> None:
            assert term.why() == ""

        assert await one.campaign.run(lead) is Outcome.LED
        assert one.campaign.state is State.ENDED
        assert here.store.entries[KEY].session == ""


async def test_an_error_that_is_foreseen_lets_others_have_it() -> None:
    async with site(errors=True) as here:
        one, other = here.candidate("one"), here.candidate("other")
        one.fails = ApplyError("memory", "it is not JSON")
        one.begin()
        await until(lambda: bool(one.terms))
        other.begin()
        await until(lambda: other.active)
        assert one.campaign.fault == "memory: it is not JSON"
        one.fails = None
        other.campaign.stop()
        await until(lambda: one.active)
        assert one.campaign.fault == ""


async def test_an_error_of_ours_ends_it() -> None:
    async with site(errors=True) as here:
        one = here.candidate("one")
        one.fails = RuntimeError("a mistake")
        with pytest.raises(RuntimeError, match="a mistake"):
            await one.campaign.run(one.lead)
        assert here.store.entries[KEY].session == ""
        # Whoever begins it anew has it go on.
        one.fails = None
        one.begin()
        await until(lambda: one.active and len(one.terms) == 2)
        one.campaign.stop()
        assert await one.outcome() is Outcome.STOPPED


async def test_waiting_has_an_end() -> None:
    async with site(errors=True) as here:
        one, other = here.candidate("one"), here.candidate("other")
        one.begin()
        await until(lambda: one.active)
        for wait in (0.0, 0.1):
            assert await here.candidate("third").campaign.run(other.lead, wait=wait) is Outcome.LATE
        here.agent.faults.http.status.on(500)
        with pytest.raises(ConsulError, match="HTTP 500"):
            await other.campaign.run(other.lead, wait=0.1)
        here.agent.faults.clear()
        assert other.terms == []


async def test_where_consul_is_away_it_is_tried_again() -> None:
    async with site(errors=True) as here:
        one = here.candidate("one")
        here.agent.faults.http.status.on(500)
        one.begin()
        await until(lambda: bool(one.campaign.fault))
        assert "HTTP 500" in one.campaign.status()
        assert not one.campaign.heard
        here.agent.faults.clear()
        await until(lambda: one.active)
        assert one.campaign.heard
        assert one.campaign.fault == ""


async def test_a_stop_is_heard_at_any_time() -> None:
    async with site(errors=True) as here:
        holder = here.candidate("holder")
        holder.begin()
        await until(lambda: holder.active)
        waiting = here.candidate("waiting")
        waiting.begin()
        await until(lambda: waiting.campaign.heard)
        refused = here.candidate("refused", retry=500.0)
        here.agent.faults.http.status.on(403)
        refused.begin()
        await until(lambda: bool(refused.campaign.fault))
        here.agent.faults.clear()
        for one in (waiting, refused):
            one.campaign.stop()
            assert await one.outcome() is Outcome.STOPPED


async def test_who_is_cancelled_gives_the_lock_back() -> None:
    async with site() as here:
        one = here.candidate("one")
        one.begin()
        await until(lambda: one.active)
        assert one.task is not None
        one.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one.task
        assert one.ended_at
        assert here.store.entries[KEY].session == ""


async def in_thread(ask: Callable[[], str]) -> str:
    return await asyncio.to_thread(ask)


async def test_right_before_something_is_written_consul_is_asked() -> None:
    async with site() as here:
        one = here.candidate("one")
        one.begin()
        await until(lambda: one.active)
        term = one.terms[0]
        # Watching the key, whoever holds it asks by itself; from then on it waits for a change.
        await until(lambda: any("index=" in asked for asked in here.agent.requests))
        asked = len(here.agent.requests)
        assert await in_thread(term.may) == ""
        assert [one.partition("?")[0] for one in list(here.agent.requests)[asked:]] == [
            f"/v1/kv/{KEY}"
        ]
        here.agent.faults.http.status.on(500)
        said = await in_thread(term.may)
        assert said.startswith("Consul cannot be asked whether it is held: ")
        assert term.why() == ""
        here.agent.faults.clear()
        # Taken away unseen: whoever asks learns of it, whether or not anybody has told it yet.
        entry = here.store.entries[KEY]
        entry.session = "another one's"
        assert await in_thread(term.may) == "the lock is lost: another one holds it"
        assert term.why() == "the lock is lost: another one holds it"


async def test_the_same_session_may_have_had_it_twice() -> None:
    async with site() as here:
        one = here.candidate("one")
        one.begin()
        await until(lambda: one.active)
        here.store.entries[KEY].locked += 1
        assert await in_thread(one.terms[0].may) == "the lock is lost: another one holds it"


async def test_nobody_is_asked_once_the_program_ends() -> None:
    async with site() as here:
        one = here.candidate("one")
        one.begin()
        await until(lambda: one.active)
        term = one.terms[0]
        term._loop = asyncio.new_event_loop()
        term._loop.close()
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(term.may()))
        thread.start()
        thread.join()
        assert found == ["this program is ending"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Holder("db1", 1_700_000_000.0).value(), "db1 since 2023-11-1"),
        (b'{"holder": "db1"}', "db1"),
        (b'{"holder": "db1", "since": "yesterday"}', "db1"),
        (b'{"holder": "db1", "since": 1e400}', "db1"),
        (b'{"holder": "a\\nb"}', "session s?1"),
        (b'{"holder": 7}', "session s?1"),
        (b"db1", "session s?1"),
        (b"", "session s?1"),
        (b"[" * 100_000, "session s?1"),
        (b"\xff", "session s?1"),
    ],
)
def test_who_holds_it_is_what_the_key_says(value: bytes, shown: str) -> None:
    assert str(holder_of(Entry(value, FLAGS, "s\n1", 7, 1))).startswith(shown)
    assert holder_of(Entry(value, FLAGS, "", 7, 1)) is None
    assert holder_of(None) is None
