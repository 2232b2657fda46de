"""The tasks of failover records, in a loop whose time jumps: turns, several checkers, memory."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent as AgentSettings
from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.dns import const
from consulfwd.failover import reports
from consulfwd.failover.book import Book
from consulfwd.failover.model import Address, Change, Check, Outcome, Result
from consulfwd.failover.running import Running, checker_name
from consulfwd.failover.verdict import Vote
from tests.failover.site import DAY, NAME, ONE, OTHER, RESULTS, ip, settings
from tests.failover.store import Agent, Store
from tests.zones.publish.world import now, play

NAMED = "a", "b", "c"
CHECKERS = CheckerSettings(checkers=NAMED, max_age=40.0, every=10.0)
FAST = {"interval": 1.0, "fall": 2, "rise": 2}


async def at_once(what: Callable[[], Any]) -> Any:
    return what()


class Host:
    """One host that runs: `results` are what checks of an address come to, by its text."""

    def __init__(
        self,
        folder: Path,
        record: FailoverSettings | None = None,
        checker: CheckerSettings | None = None,
        agent: Agent | None = None,
        name: str = "host",
    ) -> None:
        self.results: dict[str, str] = {}
        self.checked: list[tuple[float, str]] = []
        self.under_way = self.most = 0
        self.takes = 0.01
        self.told: list[Change] = []
        self.agent = agent
        self.record = record or settings(**FAST)
        checker = checker or CheckerSettings(state=folder)
        self.running = Running(
            self.book(checker.replace(state=folder / name)),
            self.make,
            [] if agent is None else [AgentSettings(address="127.0.0.1")],
            environ={},
            host=name,
            rng=random.Random(3),
            connect=lambda agents: self.agent or Agent(Store()),
            in_thread=at_once,
        )

    def book(self, checker: CheckerSettings, record: FailoverSettings | None = None) -> Book:
        return Book(
            {NAME: record or self.record},
            checker,
            clock=now,
            wall=lambda: DAY + now(),
            changed=self.told.append,
        )

    def make(self, name: str, record: FailoverSettings) -> Check:
        async def check(address: Address) -> Outcome:
            self.checked.append((now(), str(address.ip)))
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(self.takes)
            self.under_way -= 1
            result = self.results.get(str(address.ip), "ok")
            if result == "raises":
                raise RuntimeError("on purpose")
            return Outcome(RESULTS[result], f"it was {result}", self.takes)

        return check

    def ips(self) -> list[str] | None:
        given = self.running.book.answer(NAME, const.A, random.Random(1))
        return None if given is None else [str(one.ip) for one in given.addresses]

    async def use(self, checker: CheckerSettings, record: FailoverSettings | None = None) -> None:
        """Other settings, as a reload brings them."""
        book = self.book(checker, record)
        book.take_over(self.running.book)
        await self.running.use(book, self.make, [AgentSettings(address="127.0.0.1")])


def run(main: Coroutine[Any, Any, None]) -> None:
    play(lambda: main)


def test_the_secondary_answers_in_time_and_the_primary_again(tmp_path: Path) -> None:
    async def main() -> None:
        host = Host(tmp_path)
        await host.running.start()
        assert host.ips() is None
        await asyncio.sleep(0.1)
        assert host.ips() == [ONE]
        await asyncio.sleep(5)
        died = now()
        host.results[ONE] = "fail"
        while host.ips() == [ONE]:
            await asyncio.sleep(0.05)
        assert now() - died <= 2 * 1.0 + 0.1
        back = now()
        host.results[ONE] = "ok"
        while host.ips() != [ONE]:
            await asyncio.sleep(0.05)
        assert now() - back <= 2 * 1.0 + 0.1
        await host.running.stop()
        assert host.under_way == 0

    run(main())


def test_checks_begin_an_interval_apart_at_most_and_not_in_step(tmp_path: Path) -> None:
    async def main() -> None:
        host = Host(tmp_path)
        await host.running.start()
        await asyncio.sleep(60)
        await host.running.stop()
        times = [at for at, ip in host.checked if ip == ONE]
        gaps = [after - before for before, after in pairwise(times)]
        assert 0.899 < min(gaps) < 0.92
        assert 0.98 < max(gaps) < 1.001

    run(main())


def test_no_more_checks_at_a_time_than_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        many = settings([f"192.0.2.{one}" for one in range(1, 41)], **FAST)
        host = Host(tmp_path, many, CheckerSettings(parallel=8))
        host.takes = 0.15
        await host.running.start()
        await asyncio.sleep(5)
        assert host.most == 8
        assert len(host.ips() or []) == 40
        await host.running.stop()

    run(main())


def test_an_error_of_ours_is_no_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        host = Host(tmp_path)
        await host.running.start()
        await asyncio.sleep(0.1)
        host.results[ONE] = "raises"
        await asyncio.sleep(10)
        assert host.ips() == [ONE]
        last = host.running.book.view(NAME).addresses[0].last
        assert last is not None
        assert last.result is Result.ERROR
        await host.running.stop()

    run(main())
    assert "error of ours" in caplog.text


def test_twenty_restarts_with_the_primary_down(tmp_path: Path) -> None:
    async def main() -> None:
        for number in range(20):
            host = Host(tmp_path)
            host.results[ONE] = "fail"
            await host.running.start()
            for _ in range(30):
                # None at the very first start alone.
                assert host.ips() == [OTHER] or (number == 0 and host.ips() is None)
                await asyncio.sleep(0.01)
            if number % 2:
                await host.running.stop()
            else:
                # Killed; what changed was written down by then.
                await asyncio.sleep(1.5)
                keeping, host.running._keeping = host.running._keeping, None
                await host.running.stop()
                assert keeping is not None

    run(main())


def test_a_memory_that_is_of_no_use_is_told_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "host" / "failover.json"
    file.parent.mkdir()
    file.write_text('{"format": 1')

    async def main() -> None:
        host = Host(tmp_path)
        await host.running.start()
        assert file.read_text() == '{"format": 1'
        await asyncio.sleep(2)
        assert host.ips() == [ONE]
        assert '"records"' in file.read_text()
        await host.running.stop()

    run(main())
    assert "what is remembered is of no use" in caplog.text


def test_that_nothing_can_be_remembered_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "host").write_text("a file where the folder should be")

    async def main() -> None:
        host = Host(tmp_path)
        await host.running.start()
        for result in ("ok", "fail") * 3:
            host.results[ONE] = result
            await asyncio.sleep(5)
        await host.running.stop()

    with caplog.at_level(logging.WARNING):
        run(main())
    assert caplog.text.count("is not remembered") == 1


def test_other_settings_do_not_cost_a_turn(tmp_path: Path) -> None:
    async def main() -> None:
        host = Host(tmp_path, settings(interval=10.0))
        await host.running.start()
        checker = host.running.book.checker
        for _ in range(20):
            await asyncio.sleep(5)
            await host.use(checker)
        assert host.ips() == [ONE]
        times = [at for at, ip in host.checked if ip == ONE]
        assert 10 <= len(times) <= 12
        # Other rules for a check: it begins at once, and what is known stays.
        await host.use(checker, settings(interval=20.0))
        await asyncio.sleep(0.1)
        assert len([at for at, ip in host.checked if ip == ONE]) == len(times) + 1
        assert host.ips() == [ONE]
        await host.running.stop()
        before = len(host.checked)
        await asyncio.sleep(100)
        assert len(host.checked) == before
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_failback_and_forces_end_in_time(tmp_path: Path) -> None:
    async def main() -> None:
        host = Host(tmp_path, settings(**FAST, failback={"after": 30}))
        await host.running.start()
        await asyncio.sleep(1)
        host.running.book.force(f"*/{ONE}", "down", DAY + now() + 7.5, "", "eve")
        assert host.ips() == [OTHER]
        await asyncio.sleep(7.6)
        assert host.running.book.view(NAME).preferred == 0
        await asyncio.sleep(29.8)
        assert host.ips() == [OTHER]
        await asyncio.sleep(0.3)
        assert host.ips() == [ONE]
        await host.running.stop()

    run(main())


@pytest.mark.parametrize(
    ("values", "host", "me"),
    [
        ({"checkers": NAMED}, "a", "a"),
        ({"checkers": NAMED}, "b.example.com", "b"),
        ({"checkers": NAMED}, "web-17", ""),
        ({"checkers": NAMED, "checks": False}, "a", ""),
        ({"checkers": NAMED, "name": "c"}, "web-17", "c"),
        ({}, "a", ""),
    ],
)
def test_who_checks(values: dict[str, Any], host: str, me: str) -> None:
    assert checker_name(CheckerSettings(**values), host) == me


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("a", "this host checks as a, one of 3; 2 must agree"),
        ("web-17", "this host (web-17) does not check: it follows a, b, c; 2 must agree"),
    ],
)
def test_the_log_says_once_who_checks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, host: str, said: str
) -> None:
    async def main() -> None:
        made = Host(tmp_path, settings(**FAST), CHECKERS, Agent(Store()), host)
        await made.running.start()
        await made.use(CHECKERS)
        await made.running.stop()

    with caplog.at_level(logging.INFO):
        run(main())
    assert caplog.text.count(said) == 1


class Fleet:
    """Three checkers and a host that follows them."""

    def __init__(self, folder: Path) -> None:
        self.store = Store()
        record = settings(**FAST, ttl=600)
        self.hosts = {
            name: Host(folder, record, CHECKERS, Agent(self.store), name) for name in (*NAMED, "x")
        }

    async def start(self) -> None:
        for host in self.hosts.values():
            await host.running.start()
        await asyncio.sleep(3)

    async def stop(self) -> None:
        for host in self.hosts.values():
            await host.running.stop()
        assert len(asyncio.all_tasks()) == 1

    def given(self) -> list[list[str] | None]:
        return [host.ips() for host in self.hosts.values()]


def fleet(folder: Path, main: Callable[[Fleet], Coroutine[Any, Any, None]]) -> None:
    async def run_it() -> None:
        made = Fleet(folder)
        try:
            await made.start()
            assert made.given() == [[ONE]] * 4
            await main(made)
        finally:
            await made.stop()

    run(run_it())


def test_a_quorum_moves_all_and_who_follows(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        assert made.hosts["x"].checked == []
        made.hosts["a"].results[ONE] = "fail"
        await asyncio.sleep(30)
        assert made.given() == [[ONE]] * 4
        died = now()
        made.hosts["b"].results[ONE] = "fail"
        while made.given() != [[OTHER]] * 4:
            await asyncio.sleep(0.1)
        # One more second for those who only follow.
        assert now() - died <= 2 * 1.0 + 1.5

    fleet(tmp_path, main)


def test_one_that_is_cut_off_holds_and_is_told_once(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        cut = made.hosts["c"]
        assert cut.agent is not None
        cut.agent.cut = True
        cut.results |= {ONE: "fail", OTHER: "fail"}
        await asyncio.sleep(200)
        assert made.given() == [[ONE]] * 4
        assert [one.said for one in cut.told if one.kind == "held"] == [
            "all states are held: of 3 checkers only nobody is heard, 2 must agree"
        ]
        assert made.hosts["x"].running.book.held == ""
        reads = cut.agent.reads
        await asyncio.sleep(100)
        assert cut.agent.reads - reads < 30
        cut.agent.cut = False
        cut.results.clear()
        await asyncio.sleep(15)
        assert cut.running.book.held == ""
        votes = cut.running.book.view(NAME).addresses[0].votes
        assert votes == ("a: up", "b: up", "c: up")

    fleet(tmp_path, main)


def test_with_the_servers_gone_nobody_moves(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        for host in made.hosts.values():
            assert host.agent is not None
            host.agent.cut = True
            host.results[ONE] = "fail"
        await asyncio.sleep(300)
        assert made.given() == [[ONE]] * 4
        assert all(host.running.book.held for host in made.hosts.values())

    fleet(tmp_path, main)


def test_what_does_not_change_costs_little(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        agents = [host.agent for host in made.hosts.values() if host.agent is not None]
        before = [(one.writes, one.reads) for one in agents]
        await asyncio.sleep(100)
        writes = [one.writes - before[at][0] for at, one in enumerate(agents)]
        reads = [one.reads - before[at][1] for at, one in enumerate(agents)]
        assert writes[3] == 0
        assert all(10 <= one <= 13 for one in writes[:3])
        # Three keys change in some ten seconds.
        assert all(one <= 50 for one in reads)

    fleet(tmp_path, main)


def test_what_is_forced_is_forced_everywhere(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        # Whoever is told so; also one that only follows.
        made.hosts["x"].running.book.force("*/primary", "down", DAY + now() + 60, "disks", "eve")
        await asyncio.sleep(3)
        assert made.given() == [[OTHER]] * 4
        assert made.hosts["a"].told[-1].said.endswith("by eve: disks")
        made.hosts["b"].running.book.unforce("*")
        await asyncio.sleep(3)
        assert made.given() == [[ONE]] * 4
        made.hosts["a"].running.book.force(f"*/{ONE}", "down", DAY + now() + 20, "", "eve")
        await asyncio.sleep(3)
        # People may take the key away, too.
        made.store.drop(f"{CHECKERS.prefix}/forced")
        await asyncio.sleep(3)
        assert made.given() == [[ONE]] * 4

    fleet(tmp_path, main)


def test_a_server_that_is_behind_changes_nothing(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        host = made.hosts["x"]
        assert host.agent is not None
        host.agent.behind = dict(made.store.keys), made.store.index
        made.hosts["a"].running.book.force("*/primary", "down", None, "", "eve")
        await asyncio.sleep(5)
        assert host.ips() == [OTHER]
        told = len(host.told)
        await asyncio.sleep(50)
        assert host.told[told:] == []
        # Nor does it renew a word.
        for name in ("b", "c"):
            await made.hosts[name].running.stop()
        await asyncio.sleep(60)
        assert host.running.book.view(NAME).addresses[0].votes == ("a: up",)
        # One that lasts is another state, as of a snapshot that was restored.
        made.store.keys, made.store.index = host.agent.behind
        await asyncio.sleep(100)
        assert host.ips() == [ONE]

    fleet(tmp_path, main)


def test_what_was_taken_back_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        made.hosts["a"].running.book.force("*/primary", "down", None, "", "eve")
        await asyncio.sleep(3)
        await made.hosts["b"].running.stop()
        made.hosts["a"].running.book.unforce("*")
        await asyncio.sleep(3)
        again = Host(tmp_path, made.hosts["b"].record, CHECKERS, Agent(made.store), "b")
        made.hosts["b"] = again
        await again.running.start()
        assert again.ips() == [OTHER]
        await asyncio.sleep(3)
        assert made.given() == [[ONE]] * 4

    fleet(tmp_path, main)


def test_an_order_waits_for_consul(tmp_path: Path) -> None:
    async def main(made: Fleet) -> None:
        host = made.hosts["x"]
        assert host.agent is not None
        host.agent.cut = True
        host.running.book.force("*/primary", "down", None, "", "eve")
        await asyncio.sleep(10)
        assert made.given() == [*[[ONE]] * 3, [OTHER]]
        host.agent.cut = False
        await asyncio.sleep(15)
        assert made.given() == [[OTHER]] * 4

    fleet(tmp_path, main)


def test_what_strangers_write_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(made: Fleet) -> None:
        prefix = f"{CHECKERS.prefix}/checkers"
        made.store.put(f"{prefix}/stranger", b"{")
        made.store.put(f"{CHECKERS.prefix}/forced", b'{"format": 1, "forces": 5}')
        for _ in range(5):
            made.store.put(f"{prefix}/a", b"\xff" * 10)
            await asyncio.sleep(3)
        assert made.given() == [[ONE]] * 4
        await asyncio.sleep(15)
        assert len(made.hosts["x"].running.book.view(NAME).addresses[0].votes) == 3

    fleet(tmp_path, main)
    assert "what is forced cannot be read" in caplog.text
    assert "what a checker says cannot be read" in caplog.text


def test_two_of_one_name_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(made: Fleet) -> None:
        other = Host(tmp_path, made.hosts["a"].record, CHECKERS, Agent(made.store), "a")
        await other.running.start()
        await asyncio.sleep(30)
        await other.running.stop()

    fleet(tmp_path, main)
    assert "another process says it is the checker a" in caplog.text


def test_an_old_word_does_not_count_after_a_restart(tmp_path: Path) -> None:
    async def main() -> None:
        made = Fleet(tmp_path)
        await made.start()
        for name in NAMED:
            await made.hosts[name].running.stop()
        await asyncio.sleep(100)
        late = Host(tmp_path, made.hosts["x"].record, CHECKERS, Agent(made.store), "y")
        await late.running.start()
        await asyncio.sleep(60)
        # A word that is older than max_age is none, and nothing was known before.
        assert late.ips() is None
        assert made.hosts["x"].ips() == [ONE]
        await late.running.stop()
        await made.hosts["x"].running.stop()

    run(main())


def test_long_words_are_read_beside_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        threads: list[bool] = []

        async def beside(work: Callable[[], Any]) -> Any:
            threads.append(True)
            return await at_once(work)

        made = Fleet(tmp_path)
        late = Host(tmp_path, made.hosts["x"].record, CHECKERS, Agent(made.store), "y")
        late.running._in_thread = beside
        others = {f"r{n}.test": {ip("192.0.2.1"): Vote(True)} for n in range(200)}
        votes = {NAME: {ip(ONE): Vote(False), ip(OTHER): Vote(True)}}
        for name in NAMED:
            words = reports.Words("p", late.running.book.wall(), {**others, **votes})
            made.store.put(f"consulfwd/failover/checkers/{name}", reports.write(words))
        await late.running.start()
        before = len(threads)
        await asyncio.sleep(5)
        assert late.ips() == [OTHER]
        assert len(threads) >= before + len(NAMED)
        await late.running.stop()

    run(main())


def test_words_are_no_larger_than_a_key(tmp_path: Path) -> None:
    ips = [f"10.0.{one // 250}.{one % 250 + 1}" for one in range(2_000)]
    report = {NAME: {settings([ip]).pools[0].addresses[0].address: None for ip in ips}}
    votes = {
        name: dict.fromkeys(found, Vote(True, 3, "x" * 200))
        for name, found in report.items()
    }
    words = reports.Words("p", 5.0, votes)
    assert len(reports.write(words)) <= reports.LARGEST
    small = reports.Words("p", 5.0, {NAME: dict(list(votes[NAME].items())[:50])})
    assert reports.load(reports.write(small), "x") == small
