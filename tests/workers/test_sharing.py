"""What the head's watches tell workers: what is granted, dropped, and outlives the head."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import pytest

from consulfwd.core.ask import Ask, prepare
from consulfwd.core.cache import Cache, Entry, Limits
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.departures import BEHIND
from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.proofs import LIFE
from consulfwd.core.routes import Kind, Route, Routes
from consulfwd.core.settling import Instance
from consulfwd.core.subjects import Subject
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.message import read_reply
from consulfwd.dns.names import from_text
from consulfwd.net.clock import Clock
from consulfwd.net.lookup import make_query
from consulfwd.net.resolver import Engine
from consulfwd.net.warmth import Warmth
from consulfwd.workers.frames import Frames, frame
from consulfwd.workers.sharing import Mirror, Shared

RULES, SUBJECT = WatchLimits(settle=0.5), Subject("service", "web")
AGENT = "127.0.0.1:8600"


class Parts:
    """What an engine has that reuse needs; its clock stands still."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.clock = Clock()
        self.time = 100.0
        self.clock.now = lambda: self.time
        self.cache = Cache(Limits(100, 0, 3600, 60, 600))
        self.warmth = Warmth(self.clock)
        self.loop = loop


class Hosts:
    """A head and two workers; messages wait until they are delivered, in their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        upstream = Upstream(AGENT, "127.0.0.1", 8600, is_agent=True, on_host=True)
        group = Group("agents", [upstream], "ordered", Health())
        apex = Route(from_text("consul"), Kind.CONSUL, (group,), "")
        self.routes = Routes([apex])
        self.all = [Parts(loop) for _ in range(3)]
        domains = [from_text("consul")]
        self.to_workers: list[list[Any]] = [[], []]
        self.to_head: list[tuple[int, Any]] = []
        engines = [cast("Engine", one) for one in self.all]
        self.shared = Shared(self._to_all, RULES, engines[0], domains)
        self.workers = [
            Mirror(partial(self._from_worker, at), RULES, one, domains)
            for at, one in enumerate(engines[1:])
        ]
        self.shared.use({AGENT: False})
        self.deliver()

    def _from_worker(self, at: int, message: Any) -> None:
        self.to_head.append((at, message))

    def _to_all(self, message: Any) -> None:
        for one in self.to_workers:
            one.append(message)

    def deliver(self, *, head: bool = True) -> None:
        while self.to_head and head:
            at, (what, fetched) = self.to_head.pop(0)
            assert what == "fetched"
            self.shared.fetched_elsewhere(fetched, self.to_workers[at].append)
        for one, messages in zip(self.workers, self.to_workers, strict=True):
            while messages:
                # As octets, in two parts: that is how they come.
                data, frames = frame(messages.pop(0)), Frames()
                assert [*frames.feed(data[:5])] == []
                one.heard(*frames.feed(data[5:]))

    def past(self, seconds: float) -> None:
        for one in self.all:
            one.time += seconds

    def ask(self, worker: int, ttl: int = 0) -> tuple[Ask, Entry]:
        """An answer of an agent that a worker keeps."""
        ask = prepare(make_query("web.service.consul", "A"), self.routes)
        parts = self.all[1 + worker]
        reply = struct.pack("!HHHHHH", 0, 0x8180, 1, 1, 0, 0) + ask.question
        reply += b"\xc0\x0c\0\1\0\1" + struct.pack("!IH4s", ttl, 4, bytes((10, 0, 0, 1)))
        entry = parts.cache.put(ask.key, read_reply(reply, ask.question), parts.time, AGENT)
        self.workers[worker].fetched(ask, entry, parts.time, parts.time)
        return ask, entry

    def watch(self) -> None:
        """Have the name watched, by what the head is told, and proofs be there."""
        for worker in (0, 1, 0):
            self.ask(worker)
            self.deliver()
        now = self.all[0].time
        self.shared.drop(self.shared.freshness.armed(SUBJECT, AGENT, now, size=1, healthy=1),
                         changed=False)  # fmt: skip
        self.prove()
        self.past(1.0)
        self.prove()

    def prove(self) -> None:
        self.shared.proved(AGENT, self.all[0].time)
        self.deliver()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    loop = asyncio.new_event_loop()
    yield Hosts(loop)
    loop.close()


def fresh(hosts: Hosts, worker: int, ask: Ask) -> bool:
    parts = hosts.all[1 + worker]
    entry = parts.cache.entries.get(ask.key)
    return entry is not None and entry.expires_at > parts.time


def test_an_answer_is_not_reused_before_it_was_judged(hosts: Hosts) -> None:
    hosts.watch()
    ask, _ = hosts.ask(0)
    assert not fresh(hosts, 0, ask)
    hosts.deliver()
    assert fresh(hosts, 0, ask)
    assert not fresh(hosts, 1, ask)


def test_one_watch_serves_all_and_a_change_reaches_all(hosts: Hosts) -> None:
    hosts.watch()
    for worker in (0, 1):
        ask, _ = hosts.ask(worker)
    hosts.deliver()
    assert [fresh(hosts, worker, ask) for worker in (0, 1)] == [True, True]
    assert len(hosts.shared.freshness.watches) == 1
    keys = hosts.shared.freshness.changed(SUBJECT, AGENT, hosts.all[0].time, size=2, healthy=2)
    hosts.shared.drop(keys, changed=True)
    hosts.deliver()
    assert [fresh(hosts, worker, ask) for worker in (0, 1)] == [False, False]


def test_what_was_granted_before_a_change_is_dropped_by_it(hosts: Hosts) -> None:
    hosts.watch()
    ask, _ = hosts.ask(0)
    # The head judges, then sees the change; both are still on their way.
    at, (_, fetched) = hosts.to_head.pop()
    hosts.shared.fetched_elsewhere(fetched, hosts.to_workers[at].append)
    keys = hosts.shared.freshness.changed(SUBJECT, AGENT, hosts.all[0].time, size=2, healthy=2)
    hosts.shared.drop(keys, changed=True)
    hosts.deliver()
    assert not fresh(hosts, 0, ask)


def test_what_was_asked_for_before_a_change_is_not_granted_after_it(hosts: Hosts) -> None:
    hosts.watch()
    ask, entry = hosts.ask(0, ttl=30)
    keys = hosts.shared.freshness.changed(SUBJECT, AGENT, hosts.all[0].time, size=2, healthy=2)
    hosts.shared.drop(keys, changed=True)
    hosts.deliver()
    assert not fresh(hosts, 0, ask)
    assert entry.hot is None


@pytest.mark.parametrize(("after", "reused"), [(LIFE - 0.1, True), (LIFE + 0.1, False)])
def test_without_the_head_nothing_outlives_its_proofs(
    hosts: Hosts, after: float, reused: bool
) -> None:
    hosts.watch()
    ask, _ = hosts.ask(1)
    hosts.deliver()
    hosts.past(after)
    hosts.workers[1].overdue(hosts.all[2].time)
    assert fresh(hosts, 1, ask) is reused


def test_a_grant_that_comes_after_the_proof_has_become_old_is_none(hosts: Hosts) -> None:
    hosts.watch()
    ask, _ = hosts.ask(0)
    at, (_, fetched) = hosts.to_head.pop()
    hosts.shared.fetched_elsewhere(fetched, hosts.to_workers[at].append)
    hosts.past(LIFE + 0.1)
    hosts.deliver()
    assert not fresh(hosts, 0, ask)


def test_one_that_begins_later_is_told_what_holds(hosts: Hosts) -> None:
    hosts.watch()
    engine = cast("Engine", hosts.all[1])
    late = Mirror(lambda message: hosts.to_head.append((0, message)), RULES, engine,
                  [from_text("consul")])  # fmt: skip
    hosts.workers[0] = late
    for message in hosts.shared.known():
        late.heard(message)
    ask, _ = hosts.ask(0)
    hosts.deliver()
    assert fresh(hosts, 0, ask)


def test_who_left_is_known_to_every_worker(hosts: Hosts) -> None:
    """One that is behind is not believed by any, also by one that begins later."""
    hosts.watch()
    after = _replaced(hosts)
    hosts.deliver()
    hosts.past(1.0)
    domains, engine = [from_text("consul")], cast("Engine", hosts.all[1])
    late = Mirror(lambda _: None, RULES, engine, domains)
    for message in hosts.shared.known():
        late.heard(message)
    ask, entry = hosts.ask(0)
    for worker in (*hosts.workers, late):
        found = worker.corrected(ask, entry.message, hosts.all[1].time)
        assert found.body.endswith(after.ipv4)
    hosts.past(BEHIND)
    for worker in (*hosts.workers, late):
        assert worker.corrected(ask, entry.message, hosts.all[1].time) is entry.message


def test_who_is_left_is_known_until_the_watch_is_elsewhere(hosts: Hosts) -> None:
    """The head says first that an agent is lost, and then what becomes of each watch."""
    hosts.watch()
    after = _replaced(hosts)
    hosts.prove()
    ask, entry = hosts.ask(0)
    for _ in range(3):
        hosts.past(1.0)
        hosts.prove()
    hosts.workers[0].heard(("lost", AGENT))
    found = hosts.workers[0].corrected(ask, entry.message, hosts.all[1].time)
    assert found.body.endswith(after.ipv4)
    hosts.past(LIFE)
    found = hosts.workers[0].corrected(ask, entry.message, hosts.all[1].time)
    assert found is entry.message


def test_without_the_head_a_worker_denies_nobody(hosts: Hosts) -> None:
    """That none is healthy it takes from the head for as long as proofs say so."""
    hosts.watch()
    one = frozenset([_instance(1)])
    for told in (one, frozenset[Instance]()):
        now = hosts.all[0].time
        hosts.shared.freshness.changed(
            SUBJECT, AGENT, now, size=1, healthy=len(told), instances=told, shown=told
        )
    hosts.prove()
    ask, entry = hosts.ask(0)
    message = entry.message
    hosts.past(LIFE - 0.001)
    assert not hosts.workers[0].corrected(ask, message, hosts.all[1].time).answers
    hosts.past(0.002)
    assert hosts.workers[0].corrected(ask, message, hosts.all[1].time) is message


def test_what_has_who_left_is_granted_to_nobody(hosts: Hosts) -> None:
    hosts.watch()
    for one in (_instance(1), _instance(2)):
        now, told = hosts.all[0].time, frozenset([one])
        hosts.shared.freshness.changed(
            SUBJECT, AGENT, now, size=1, healthy=1, instances=None, shown=told
        )
    hosts.past(1.0)
    hosts.prove()
    ask, _ = hosts.ask(0)
    hosts.deliver()
    assert not fresh(hosts, 0, ask)


def test_what_has_who_left_no_worker_keeps_until_it_is_judged(hosts: Hosts) -> None:
    """The head may be busy, or gone; a TTL may be long."""
    hosts.watch()
    ask, _ = hosts.ask(0, ttl=30)
    assert fresh(hosts, 0, ask)
    for one in (_instance(1), _instance(2)):
        now, told = hosts.all[0].time, frozenset([one])
        hosts.shared.freshness.changed(
            SUBJECT, AGENT, now, size=1, healthy=1, instances=None, shown=told
        )
    hosts.deliver()
    hosts.past(1.0)
    ask, _ = hosts.ask(0, ttl=30)
    assert not fresh(hosts, 0, ask)


def _replaced(hosts: Hosts) -> Instance:
    """Let the head see another instance in place of the first one; return it."""
    for number in (1, 2):
        now, told = hosts.all[0].time, frozenset([_instance(number)])
        hosts.shared.freshness.changed(
            SUBJECT, AGENT, now, size=1, healthy=1, instances=told, shown=told
        )
    return _instance(2)


def _instance(number: int) -> Instance:
    name, packed = from_text(f"n{number}.node.dc1")[:-1], bytes((10, 0, 0, number))
    return Instance(name, name, packed, packed, b"", 80, frozenset(), 1, True, False)


def test_an_agent_that_is_lost_is_lost_for_all(hosts: Hosts) -> None:
    hosts.watch()
    ask, _ = hosts.ask(0)
    hosts.deliver()
    hosts.shared.lost(AGENT)
    hosts.deliver()
    assert not fresh(hosts, 0, ask)
    assert hosts.workers[0].freshness.barred == {AGENT}
