"""A server of ours under load while something goes wrong, and what became of each query.

What a fault is belongs into the tests. Here is what they share: the run, with its verdict on every
reply and what the server did meanwhile; development agents to be broken from outside their loop;
and addresses where nobody answers.
"""

from __future__ import annotations

import asyncio
import bisect
import inspect
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import dns.edns
import dns.message
import dns.rcode

from consulfwd.dev import DevAgent, DevCluster
from consulfwd.dev.child import Guard
from tests.integration.asking import At, ask, facts, question, unordered
from tests.integration.counted import not_ours, written
from tests.integration.load import Load, Result
from tests.integration.served import HOST, Served, serve
from tests.integration.services import DEFINITIONS, QUERY, TEXT_NODE
from tests.load_lock import only_load
from tests.loopback import OWN, free_port

DEADLINE_S = 2.0
# Beyond the deadline, for a machine that has other things to do.
STALL_S = 0.5
# What is late, on such a machine: a fifth of the deadline. The figures told are far below that.
LATE_S = 0.4
# What hedges may cost: a share of the queries, and a reserve.
HEDGED, RESERVE = 0.10, 100
RIGHT, STALE, FAILED, WRONG = "right", "stale", "SERVFAIL", "wrong"
Tell = Callable[[str, object], None]

QUESTIONS = [
    ("galeradb.service.consul", "A"),
    ("galeradb.service.consul", "SRV"),
    ("GaleraDB.service.consul", "A"),
    ("icinga-galera.galeradb.service.consul", "A"),
    ("web.service.consul", "A"),
    ("web.service.consul", "AAAA"),
    ("nothing.service.consul", "A"),
    ("failed.service.consul", "SRV"),
    ("big.service.consul", "A"),
    ("big7.node.consul", "A"),
    (f"{TEXT_NODE}.node.consul", "TXT"),
    (f"{QUERY}.query.consul", "A"),
    ("1.40.0.10.in-addr.arpa", "PTR"),
]
DEV_QUESTIONS = [
    ("galeradb.service.consul", "A"),
    ("galeradb.service.consul", "SRV"),
    ("icinga-galera.galeradb.service.consul", "A"),
    ("web.service.consul", "A"),
    ("web.service.consul", "AAAA"),
    ("nothing.service.consul", "A"),
    ("big.service.consul", "A"),
]


class Agent(Protocol):
    """What the settings say of an agent."""

    @property
    def address(self) -> str: ...
    @property
    def dns_port(self) -> int: ...
    @property
    def http_port(self) -> int: ...


def verdict(packet: bytes, expected: list[str]) -> str:
    """What a reply (without its ID) is: RIGHT, STALE and marked so, FAILED with EDE 22 or 23."""
    reply = dns.message.from_wire(b"\0\0" + packet)
    reasons = {int(one.code) for one in reply.options if isinstance(one, dns.edns.EDEOption)}
    if facts(reply) == expected and not reasons:
        return RIGHT
    if reasons == {3} and untimed(facts(reply)) == untimed(expected):
        return STALE
    if reply.rcode() == dns.rcode.SERVFAIL and reasons and reasons <= {22, 23}:
        return FAILED
    return WRONG


def untimed(said: list[str]) -> list[str]:
    """Facts without their TTLs."""
    return [" ".join(word for n, word in enumerate(line.split(" ")) if n != 2) for line in said]


class Run:
    """Queries to `served`; what is told of them is complete when the block of `run` is over.

    `mark` begins a phase of that name; phases may share one.
    """

    def __init__(
        self, served: Served, questions: Sequence[tuple[str, str]], expected: list[list[str]]
    ) -> None:
        self.served = served
        self.results: list[Result] = []
        self._questions = questions
        self._expected = expected
        self._marks: list[tuple[float, str]] = []
        self._verdicts: dict[tuple[int, bytes], str] = {}
        self._unordered: dict[tuple[int, tuple[bytes, ...]], str] = {}
        self._counters: list[dict[str, Any]] = []

    def mark(self, label: str) -> float:
        """Begin a phase; when that was, by the monotonic clock."""
        now = time.monotonic()
        self._marks.append((now, label))
        return now

    def within(self, label: str) -> list[Result]:
        """The queries sent in the phases of that name."""
        return [one for one in self.results if self._phase(one.sent_at) == label]

    def begun(self, label: str) -> float:
        """When the first phase of that name began."""
        return next(at for at, name in self._marks if name == label)

    def stall(self) -> float:
        """For how many seconds, at most, the machine did not let the server go on."""
        return not_ours(self._counters)

    def verdict(self, result: Result) -> str:
        """What a reply was; "lost" when there was none."""
        if result.took_s is None:
            return "lost"
        key = result.query, result.reply
        if key not in self._verdicts:
            # Many addresses come in another order each time.
            same = result.query, unordered(result.reply)
            if same not in self._unordered:
                self._unordered[same] = verdict(result.reply, self._expected[result.query])
            self._verdicts[key] = self._unordered[same]
        return self._verdicts[key]

    def verdicts(self, label: str | None = None) -> Counter[str]:
        """How often which verdict was given, in one phase or in all."""
        asked = self.results if label is None else self.within(label)
        return Counter(self.verdict(one) for one in asked)

    def slowest(self, label: str | None = None) -> float:
        """The longest any answer took, in seconds."""
        asked = self.results if label is None else self.within(label)
        return max(one.took_s or 0.0 for one in asked)

    def late(self) -> list[str]:
        """The answers that took too long, beyond what the machine itself stalled; none is best."""
        limit = LATE_S + self.stall()
        return [self.described(one) for one in self.results if (one.took_s or 0.0) > limit]

    def other(self, *fine: str) -> list[str]:
        """The queries whose verdict is not among `fine`, described; none is best."""
        return [
            f"{self.verdict(one)}: {self.described(one)}"
            for one in self.results
            if self.verdict(one) not in fine
        ]

    def given_up(self) -> list[str]:
        """SERVFAIL where an answer had been given before that could have been given again."""
        known: dict[int, float] = {}
        for one in self.results:
            if self.verdict(one) == RIGHT and any(
                fact.startswith("an ") for fact in self._expected[one.query]
            ):
                known.setdefault(one.query, answered_at(one))
        return [
            self.described(one)
            for one in self.results
            if self.verdict(one) == FAILED and one.sent_at > known.get(one.query, one.sent_at)
        ]

    def described(self, result: Result) -> str:
        """What was asked, when since what, and what came of it."""
        begin, label = max(mark for mark in self._marks if mark[0] <= result.sent_at)
        asked = " ".join(self._questions[result.query])
        said = ""
        if result.took_s is not None:
            reply = dns.message.from_wire(b"\0\0" + result.reply)
            reasons = [one.to_text() for one in reply.options]
            found, expected = facts(reply), self._expected[result.query]
            missing = sorted(set(untimed(expected)) - set(untimed(found)))
            beside = sorted(set(untimed(found)) - set(untimed(expected)))
            said = f", {result.took_s:.3f} s: {len(found)} facts {found[:3]} {reasons}"
            said += f", {len(missing)} missing {missing[:3]}, beside {beside[:3]}"
        return f"{asked} {result.sent_at - begin:.3f} s into {label}{said}"

    def counted(self, name: str, begin: float = 0.0, end: float = float("inf")) -> int:
        """By how much a counter grew between two times, to a tenth of a second."""
        before = [one[name] for one in self._counters if one["at"] <= begin]
        after = [one[name] for one in self._counters if one["at"] <= end]
        return int(after[-1]) - (int(before[-1]) if before else 0)

    def hedges_are_few(self) -> bool:
        """Hedges: at most a tenth of the queries that were passed on, beyond the reserve."""
        return self.counted("extra") <= HEDGED * self.counted("forwarded") + RESERVE

    def steady_hedges(self, label: str) -> float:
        """Hedges per query a second after a phase began, until it ended."""
        begin = self.begun(label) + 1.0
        end = min(at for at, _ in self._marks if at > begin)
        queries = self.counted("forwarded", begin, end)
        return self.counted("extra", begin, end) / queries

    def tell(self, tell: Tell, title: str) -> None:
        """One line for the terminal summary."""
        times = sorted(one.took_s for one in self.results if one.took_s is not None)
        found = self.verdicts()
        tell(
            "failover",
            f"{title:30} {len(self.results):5} queries, {found['lost']} lost,"
            f" {found[WRONG]} wrong, {found[STALE]} stale, {found[FAILED]} SERVFAIL;"
            f" ms: median {times[len(times) // 2] * 1000:.1f},"
            f" 99 % {times[len(times) * 99 // 100] * 1000:.1f},"
            f" slowest {times[-1] * 1000:.1f}; upstream queries:"
            f" {self.counted('upstream') - self.counted('forwarded')} more than without,"
            f" {self.counted('extra')} hedges, {self.counted('second_opinions')} second opinions",
        )

    def _phase(self, at: float) -> str:
        place = bisect.bisect([begin for begin, _ in self._marks], at)
        return self._marks[place - 1][1] if place else ""

    def complete(self, results: list[Result]) -> None:
        """Take everything there is to know."""
        self.results += results
        self._counters += written(self.served.file)


@contextmanager
def run(
    settings: Mapping[str, Any],
    folder: Path,
    guard: Guard,
    questions: Sequence[tuple[str, str]],
    expected: list[list[str]],
    *,
    rate: int = 200,
    light: bool = False,
) -> Iterator[Run]:
    """A server with these settings, asked the questions in turn for as long as the block lasts.

    The first one is asked as soon as it listens. It must end in order, with a clean log. `light` is
    what `only_load` says.
    """
    port = free_port(HOST)
    everything = {"query": {"deadline": DEADLINE_S}, **settings, "listen": [f"{HOST}:{port}"]}
    program = [Path(__file__).with_name("counted.py")]
    packets = [question(name, rtype).to_wire() for name, rtype in questions]
    results: list[Result] = []
    with ExitStack() as stack:
        stack.enter_context(only_load(light=light))
        load = Load((HOST, port), rate, packets, held=True)
        stack.callback(load.kill)
        served = stack.enter_context(serve(everything, folder, guard, python=program))
        made = Run(served, questions, expected)
        made.mark("start")
        load.go()
        try:
            yield made
        finally:
            made.mark("end")
            results = load.stop()
    made.complete(results)


def consul(*agents: Agent, **more: Any) -> dict[str, Any]:
    """The `consul` section for these agents, with no watches: every query is to go to an agent."""
    found = [
        {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port or 1}
        for one in agents
    ]
    return {"agents": found, "watch": {"enabled": False}, **more}


def all_facts(at: At, questions: Sequence[tuple[str, str]]) -> list[list[str]]:
    """What the server `at` says to each question over TCP, where nothing is cut."""
    return [facts(ask(at, name, rtype, tcp=True)) for name, rtype in questions]


def answered_at(result: Result) -> float:
    """When the reply came, by the monotonic clock."""
    assert result.took_s is not None
    return result.sent_at + result.took_s


class Injector:
    """Development agents in a thread of their own, to be broken by `do`; a context manager."""

    def __init__(self, agents: int = 3) -> None:
        self.cluster = DevCluster(DEFINITIONS, agents)
        for number in range(1, 41):
            address = f"10.0.30.{number}"
            self.cluster.catalog.register(
                "big", id=f"big{number}", node=f"big{number}", node_address=address
            )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="development agents")

    def __enter__(self) -> Injector:
        self._thread.start()
        self.do(self.cluster.start)
        return self

    def __exit__(self, *error: object) -> None:
        self.do(self.cluster.stop)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def agents(self) -> list[DevAgent]:
        return self.cluster.agents

    def do(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, or await what it returns, where the agents live; its result."""

        async def call() -> Any:
            result = what(*arguments)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def expected(self, questions: Sequence[tuple[str, str]] = DEV_QUESTIONS) -> list[list[str]]:
        """What the last agent says to each question."""
        last = self.agents[-1]
        return all_facts((last.address, last.dns_port), questions)


class Place:
    """An address with a port for DNS where no agent is."""

    def __init__(self, address: str, dns_port: int) -> None:
        self.address = address
        self.dns_port = dns_port
        self.http_port = 1


@contextmanager
def black_hole(address: str = OWN) -> Iterator[Place]:
    """A port that is bound, for UDP and TCP, and where nothing is ever read."""
    with (
        socket.create_server((address, 0)) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = stream.getsockname()[1]
        datagrams.bind((address, port))
        yield Place(address, port)


@contextmanager
def nobody(address: str = OWN) -> Iterator[Place]:
    """A port where nothing listens."""
    yield Place(address, free_port(address))
