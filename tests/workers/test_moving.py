"""Names that move, as workers answer them: what the head tells, and what holds if it does not."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

from consulfwd.config.failover import CheckerSettings
from consulfwd.dns import const
from consulfwd.failover.answering import lines
from consulfwd.failover.book import Book
from consulfwd.failover.model import Given
from consulfwd.failover.told import SILENT, TELL_EVERY, Records
from consulfwd.workers.moving import GATHER, Telling
from tests.failover.site import DAY, NAME, ONE, OTHER, TWO, Site, settings

FAST = {"interval": 10.0, "fall": 3, "rise": 2, "ttl": 60, "ttl_min": 5}


class Hosts(Site):
    """A site's head, and two workers; `told` messages reach the first ones only if `heard`."""

    def __init__(self, *pools: Any, **values: Any) -> None:
        super().__init__(settings(*pools, **{**FAST, **values}))
        self.loop = Loop()
        self.messages: list[Any] = []
        self.heard = True
        self.workers = [Records(lambda: self.now) for _ in range(2)]
        self.telling = Telling(self._send, self.loop, lambda: self.now)  # type: ignore[arg-type]
        self.telling.use(self.book)

    def _send(self, message: Any) -> None:
        self.messages.append(message)
        if self.heard:
            for one in self.workers:
                self.deliver(message, one)

    def deliver(self, message: Any, worker: Records) -> None:
        # As between processes.
        _, at, told, whole = pickle.loads(pickle.dumps(message))
        worker.take(at, told, whole=whole)

    def wait(self, seconds: float) -> None:
        """Let time pass, turn by turn."""
        ends = self.now + seconds
        while self.now < ends:
            self.now += GATHER
            self.loop.turn()

    def given(self, rtype: int = const.A) -> list[Given | None]:
        """What the head would give, and what each worker does: the same."""
        sources: list[Book | Records] = [self.book, *self.workers]
        return [one.answer(NAME, rtype, random.Random(1)) for one in sources]

    def ips(self, rtype: int = const.A, seed: int = 1) -> list[str] | None:
        found = [one.answer(NAME, rtype, random.Random(seed)) for one in self.workers]
        assert found[0] == found[1]
        given = found[0]
        return None if given is None else [str(one.ip) for one in given.addresses]

    def ttl(self) -> int:
        given = self.workers[0].answer(NAME, const.A, random.Random(1))
        assert given is not None
        return given.ttl

    def lines(self) -> list[str]:
        """What a worker says of the name in TXT records."""
        return list(lines(self.workers[0].view(NAME), DAY + self.now))

    def told_of(self, address: str) -> str:
        return next(one.partition("): ")[2] for one in self.lines() if one.startswith(address))


class Loop:
    """Calls what is due when it is told to."""

    def __init__(self) -> None:
        self.due: list[Any] = []

    def call_later(self, seconds: float, call: Any) -> Any:
        self.due.append(call)
        return self

    def cancel(self) -> None:
        self.due.clear()

    def turn(self) -> None:
        due, self.due = self.due, []
        for one in due:
            one()


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def test_another_answer_is_told_at_once(hosts: Hosts) -> None:
    assert hosts.ips() is None
    assert "told nothing" in Records(lambda: 0.0).view(NAME).why
    hosts.check(a1="ok", a2="ok")
    assert hosts.ips() == [ONE]
    for _ in range(3):
        hosts.check(a1="fail")
    assert hosts.ips() == [OTHER]
    assert hosts.ips(const.AAAA) == []
    hosts.book.force("*", "up", None, "it is well", "anna")
    assert hosts.ips() == [ONE]
    assert hosts.book.unforce("*")
    assert hosts.ips() == [OTHER]


def test_the_rest_is_gathered_and_ttls_are_the_heads(hosts: Hosts) -> None:
    hosts.check(a1="ok", a2="ok")
    hosts.wait(GATHER)
    before = len(hosts.messages)
    for _ in range(5):
        hosts.check(a1="ok", a2="ok")
    assert len(hosts.messages) == before
    hosts.wait(GATHER)
    assert len(hosts.messages) == before + 1
    for _ in range(8):
        hosts.wait(4.0)
        head, *workers = hosts.given()
        assert workers == [head, head]
        hosts.check(a1="fail" if hosts.now > 1_020 else "ok", a2="ok")
    hosts.wait(GATHER)
    assert hosts.told_of(ONE).startswith("down for ")
    assert "checked 250 ms ago: fail, it was fail" in hosts.told_of(ONE)


def test_who_hears_no_more_gives_what_was_told_last_with_the_least_ttl(hosts: Hosts) -> None:
    hosts.check(a1="ok", a2="ok")
    hosts.wait(TELL_EVERY)
    assert hosts.ttl() > 5
    hosts.heard = False
    ttls = []
    for _ in range(4):
        hosts.wait(1.0)
        ttls.append(hosts.ttl())
    assert ttls == sorted(ttls, reverse=True)
    assert ttls[-1] == 5
    assert hosts.ips() == [ONE]
    hosts.wait(3_600.0)
    assert hosts.ips() == [ONE]
    assert hosts.ttl() == 5
    held = hosts.lines()[1]
    assert "states are held: the process that checks has said nothing for 1 h" in held
    # It comes back, and all is as it is there.
    hosts.heard = True
    for _ in range(3):
        hosts.check(a1="fail", a2="ok")
    hosts.wait(TELL_EVERY)
    assert hosts.ips() == [OTHER]
    assert not any("held" in one for one in hosts.lines())


def test_what_lasts_for_ever_by_order_does_not_outlive_the_head(hosts: Hosts) -> None:
    hosts.check(a1="ok", a2="ok")
    hosts.book.force("*", "up", None, "", "anna")
    hosts.wait(TELL_EVERY)
    assert hosts.ttl() == 60
    hosts.wait(60.0)
    # Nothing was checked in that minute, but the head is heard.
    assert hosts.ttl() == 60
    hosts.heard = False
    hosts.wait(SILENT + GATHER)
    assert hosts.ttl() == 5


def test_a_worker_that_begins_knows_all_and_nothing_older(hosts: Hosts) -> None:
    hosts.check(a1="ok", a2="ok")
    begins_with = hosts.telling.all()
    worker = Records(lambda: hosts.now)
    hosts.now += 1.0
    for _ in range(3):
        hosts.check(a1="fail", a2="ok")
    # A line and a desk are two sockets: what is newer may come first.
    hosts.deliver(hosts.messages[-1], worker)
    worker.take(0.0, begins_with)
    given = worker.answer(NAME, const.A, random.Random(1))
    assert given is not None
    assert [str(one.ip) for one in given.addresses] == [OTHER]


def test_other_settings(hosts: Hosts) -> None:
    hosts.check(a1="ok", a2="ok")
    more = {"www.example.org": settings([TWO], [OTHER], **FAST)}
    checker = CheckerSettings()
    book = Book(more, checker, clock=lambda: hosts.now, wall=lambda: DAY + hosts.now)
    book.take_over(hosts.book)
    hosts.telling.use(book)
    worker = hosts.workers[0]
    # The other name is answered until its settings are gone, too.
    assert worker.answer(NAME, const.A, random.Random(1)) is not None
    hosts.deliver(hosts.telling.whole(), worker)
    assert worker.answer(NAME, const.A, random.Random(1)) is None
    before = len(hosts.messages)
    hosts.check(a1="fail")
    assert len(hosts.messages) == before, "the book before is not told of"


def test_weights_and_one_address() -> None:
    pool = {"addresses": [{"address": ONE, "weight": 3}, {"address": TWO, "weight": 1}]}
    hosts = Hosts(pool, [OTHER], answer="one")
    hosts.check(a1="ok", a2="ok", a3="ok")
    found = [hosts.ips(seed=seed) for seed in range(200)]
    assert all(len(one or ()) == 1 for one in found)
    assert 0.65 < found.count([ONE]) / 200 < 0.85


def test_what_is_held_is_told(hosts: Hosts) -> None:
    hosts.check(a1="ok", a2="ok")
    hosts.wait(GATHER)
    for _ in range(3):
        hosts.now += 10.0
        hosts.check(a1="error", a2="error")
    hosts.wait(GATHER)
    assert hosts.ips() == [ONE]
    assert "held" in hosts.lines()[1]
