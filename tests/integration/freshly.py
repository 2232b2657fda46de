"""How soon a change in Consul's catalog is in our answers, held against the agents' own DNS.

What a change is belongs into the tests. Here is what they share: a server of ours under load of
one name while Consul changes, the agents' DNS asked beside it, and what came of it all.
"""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import dns.exception
import dns.message

from consulfwd.dev.child import PATIENCE_S, Guard
from consulfwd.dev.real import RealAgent
from tests.integration.asking import ask, data, question, rcode
from tests.integration.counted import EVERY_S, grown, written
from tests.integration.load import Load, Result
from tests.integration.served import Served, at, serve
from tests.load_lock import only_load
from tests.stalled import Stalls
from tests.stolen import stolen_s

RATE = 500
# What the figures told are without: a busy machine may be so much later than a quiet one, and take
# so much longer until all is calm again.
NOISE_S, BUSY_S = 0.1, 5.0
POLL_S = 0.001
# Answers come from what is watched when over so many seconds no more than this share was asked of
# agents.
WINDOW_S, SHARE = 0.3, 0.1
# How long (seconds) it takes at most until they do, all being well: after the start, in which an
# HTTP client is loaded, and after a change.
WARM_S, CALM_S = 8.0, 1.5
PROGRAM = (Path(__file__).with_name("counted.py"),)
# The data of an answer, in any order; the rcode of one without any.
Answer = frozenset[str]
NXDOMAIN: Answer = frozenset({"NXDOMAIN"})
Tell = Callable[[str, object], None]
# What is written down and is no counter of what the server did.
UNCOUNTED = ("at", "states", "stolen", "coreless")


def said(reply: dns.message.Message) -> Answer:
    """What an answer comes to."""
    return frozenset(data(reply) or {rcode(reply)})


@functools.cache
def _said(packet: bytes) -> Answer:
    return said(dns.message.from_wire(b"\0\0" + packet))


def arrived(result: Result) -> float:
    """When a query had its answer; infinity when it had none."""
    return float("inf") if result.took_s is None else result.sent_at + result.took_s


class Change(NamedTuple):
    """A change that was made, and what is answered from then on.

    By the monotonic clock: when it began, when Consul had taken it, and when the last of the
    agents it was awaited at was first asked that gave the new answer.
    """

    label: str
    answer: Answer
    begin: float
    taken: float
    known_at: float


class Course:
    """A server asked for one name, and the changes meanwhile.

    What came of them is there when the block of `course` is over.
    """

    def __init__(self, served: Served, name: str) -> None:
        self.served = served
        self.changes: list[Change] = []
        self.results: list[Result] = []
        self._name = name
        self._counters: list[dict[str, Any]] = []
        self._stalls = Stalls()
        # For how long a disk had stalled at what time, whenever it was looked.
        self._stalled: list[tuple[float, float]] = []
        self._lost()

    def begin(self, agent: RealAgent) -> None:
        """Take what an agent says for the answer before the first change, and wait for calm."""
        now = time.monotonic()
        answer = said(ask(at(agent), self._name))
        self.changes.append(Change("start", answer, 0.0, now, now))
        self.wait_watched(WARM_S)

    def change(
        self,
        label: str,
        do: Callable[[], object],
        answer: Answer,
        *agents: RealAgent,
        patience: float = PATIENCE_S,
        watched_within: float = CALM_S,
    ) -> Change:
        """Make a change; return when all `agents` answer as they should, and answers are watched.

        The latter must be so `watched_within` seconds after the former; 0 does not wait for it.
        """
        taken: list[float] = []

        def work() -> None:
            do()
            taken.append(time.monotonic())

        thread = threading.Thread(target=work)
        self._lost()
        begin = time.monotonic()
        thread.start()
        try:
            known_at = max(self._await(agent, answer, begin + patience) for agent in agents)
        finally:
            thread.join()
        made = Change(label, answer, begin, taken[0], known_at)
        self.changes.append(made)
        if watched_within:
            self.wait_watched(watched_within, made.known_at)
        return made

    def wait_watched(self, within: float, since: float | None = None) -> float:
        """Return when answers come from what is watched, and how long (seconds) that took.

        It is counted `since` a time, else from now.
        """
        now, lost = time.monotonic(), self._lost()
        begin = now if since is None else since
        while now < begin + within + BUSY_S + WINDOW_S + self._lost() - lost:
            self._counters = written(self.served.file)
            took = self.watched_again(begin)
            if took < float("inf"):
                return took
            time.sleep(0.05)
            now = time.monotonic()
        label = self.changes[-1].label
        text = f"{within} s after {label!r} agents are still asked for more than {SHARE:.0%}"
        raise AssertionError(f"{text}\n{self.served.said()}")

    def _lost(self) -> float:
        """For how many seconds so far; what a disk stalled is noted with the time."""
        stalled = self._stalls.seconds()
        self._stalled.append((time.monotonic(), stalled))
        return stolen_s() + stalled

    def _await(self, agent: RealAgent, answer: Answer, until: float) -> float:
        found: Answer = frozenset()
        while (sent_at := time.monotonic()) < until:
            self._lost()
            try:
                found = said(ask(at(agent), self._name))
            except (OSError, dns.exception.DNSException):
                continue
            if found == answer:
                return sent_at
            time.sleep(POLL_S)
        raise AssertionError(f"{agent} says {set(found)}, not {set(answer)}")

    def complete(self, results: list[Result]) -> None:
        """Take everything there is to know."""
        self.results = results
        self._counters = written(self.served.file)
        self._lost()

    # -- what came of it ----------------------------------------------------------------------

    def wrong(self) -> list[str]:
        """The queries whose answer was neither what was to be answered nor what was before.

        None of them is best; those without an answer are among them.
        """
        found = []
        for one in self.results:
            made = [each for each in self.changes if each.begin <= arrived(one)]
            known = {each.answer for each in made[-2:]}
            if one.took_s is None or _said(one.reply) not in known:
                label, since = (made[-1].label, one.sent_at - made[-1].begin) if made else ("", 0.0)
                what = "lost" if one.took_s is None else sorted(_said(one.reply))
                found.append(f"{since:.3f} s after {label}: {what}")
        return found

    def old_until(self, change: Change) -> float:
        """When the last answer from before this change arrived; the change's begin if none did."""
        place = self.changes.index(change)
        before = self.changes[place - 1].answer
        end = [each.begin for each in self.changes[place + 1 : place + 2]] or [float("inf")]
        old = [
            arrived(one)
            for one in self.results
            if change.begin < arrived(one) < end[0] and _said(one.reply) == before
        ]
        return max(old, default=change.begin)

    def lag(self, change: Change) -> float:
        """For how long (seconds) the old answer was given after the agents gave the new one."""
        return self.old_until(change) - change.known_at

    def share(self, begin: float, end: float) -> float:
        """Which share of the queries between two times was passed on to agents."""
        inside = [one for one in self._counters if begin <= one["at"] <= end]
        asked = inside[-1]["queries"] - inside[0]["queries"] if inside else 0
        return float((inside[-1]["upstream"] - inside[0]["upstream"]) / asked) if asked else 1.0

    def stolen(self, begin: float, end: float) -> float:
        """For how many seconds the machine was not ours, or its disk, between two times, nearly.

        What one server of Consul knows already another one may still wait to have on its disk.
        """
        stolen = [(one["at"], one["stolen"]) for one in self._counters]
        return sum(grown(one, begin, end) for one in (stolen, self._stalled))

    def stolen_meanwhile(self, change: Change) -> float:
        """The same, from the beginning of a change until the last old answer."""
        return self.stolen(change.begin, self.old_until(change))

    def timeline(self, begin: float) -> str:
        """What was counted, a tenth of a second each line, since `begin`."""
        lines = []
        for before, one in itertools.pairwise(self._counters):
            grown = {
                name: one[name] - value
                for name, value in before.items()
                if name not in UNCOUNTED and one[name] != value
            }
            lines.append(f"{one['at'] - begin:7.2f} {grown} {[*one['states'].values()]}")
        return "\n".join(lines)

    def watched_again(self, after: float) -> float:
        """After how many seconds answers came from what is watched; infinity if they did not."""
        for one in self._counters:
            begin = float(one["at"])
            end = begin + WINDOW_S + EVERY_S
            known = begin >= after and end <= self._counters[-1]["at"]
            if known and self.share(begin, end) < SHARE:
                return begin - after
        return float("inf")


@contextmanager
def course(
    settings: Mapping[str, Any],
    folder: Path,
    guard: Guard,
    name: str,
    first: RealAgent,
    rate: int = RATE,
) -> Iterator[Course]:
    """A server with these settings under load of `name`, warm already; it must end in order.

    What the DNS of `first` says at the beginning is the answer before the first change.
    """
    # What is asked is less than a hundredth of what one processor answers.
    with only_load(light=True), serve(settings, folder, guard, python=PROGRAM) as served:
        load = Load(served.at, rate, [question(name).to_wire()], held=True)
        load.go()
        made = Course(served, name)
        results: list[Result] = []
        try:
            made.begin(first)
            yield made
        finally:
            results = load.stop()
    made.complete(results)
