"""How soon a change in Consul is in each server's answers, under a steady load of that name.

What belongs here: the changes, the agents' own DNS asked beside them, what came of each. What
does not: printing (`report`). One server runs at a time, all on the same cluster.
"""

from __future__ import annotations

import contextlib
import functools
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import dns.message
import dns.rcode

from benchmarks.asking import first_answer
from benchmarks.judging import wire
from benchmarks.measure import Bench, children_cpu_s
from benchmarks.peers import ADDRESS, OURS, Peer, ours
from benchmarks.process import Process, cpu_ns, machine_cpu_s
from benchmarks.telling import told
from benchmarks.upstream import Agent
from consulfwd.dev.real import ApiError, RealAgent, RealCluster
from consulfwd.dev.real_catalog import maintenance
from consulfwd.errors import StartError
from tests.integration.load import Load, Result

RATE = 500
# Between a change that everybody shows and the next one: what was dropped is in use again, and
# changes are in step with nobody's clock. Before the first one a server may warm up.
CALM_S, WARM_S = (1.2, 2.2), 4.0
# How long a server may take to show a change, and how long it must have shown it to be believed.
PATIENCE_S, STEADY_S = 15.0, 0.3
POLL_S, LOOK_S = 0.001, 0.010
# Over so long it is counted before a change how many queries agents were asked.
WINDOW_S = 0.3
HARMED = "host-0"

Answer = frozenset[str]


@dataclass(frozen=True)
class Shown:
    """One change; times in ms.

    `until` is when the last answer from before it arrived, counted from when the request for the
    change had returned (0: none did); `after_first` and `after_all` count from when the DNS of the
    first agent in the configuration, and that of every agent, gave the new answer, and can be
    negative; `agents` is when every agent's DNS did. `oldest` is how long after the request's
    return a query was sent that got the old answer, `old` how many arrived after it. `asked` is
    how many queries went to agents, per query, right before.
    """

    until: float
    after_first: float
    after_all: float
    agents: float
    oldest: float
    old: int
    asked: float | None


@dataclass
class Staleness:
    """One server: `odd` answers were neither the new nor the old one, `lost` never came."""

    name: str
    version: str
    note: str = ""
    command: Sequence[str] = ()
    changes: list[Shown] = field(default_factory=list)
    queries: int = 0
    lost: int = 0
    odd: int = 0
    late_ms: float = 0.0
    other_load: float = 0.0

    def as_json(self) -> dict[str, object]:
        """Everything there is."""
        return asdict(self)


@dataclass(frozen=True)
class _Change:
    """By the monotonic clock: begun, taken by Consul, shown by the first and by every agent."""

    begin: float
    taken: float
    first: float
    every: float
    answer: Answer
    asked: float | None


def run(bench: Bench, cluster: RealCluster, changes: int) -> list[Staleness]:
    """Each server under load while an instance goes into maintenance and comes back."""
    # The first agent asked is a follower: it learns of a change later than the leader.
    leader = cluster.leader()
    agents = sorted(bench.upstream.agents, key=lambda one: one.address == leader.address)
    bench = replace(bench, upstream=replace(bench.upstream, agents=agents))
    found = []
    for peer in bench.peers:
        for one in _rows(peer):
            bench.say(one.name)
            row = Staleness(one.name, bench.versions[peer.name], one.note)
            _Run(bench, cluster, one, row).go(changes)
            found.append(row)
    return found


def _rows(peer: Peer) -> list[Peer]:
    if peer is not OURS:
        return [peer]
    return [ours(f"{peer.name}-{source}", source=source) for source in ("agent", "leader")]


class _Run:
    """One server, from its start to the verdict."""

    def __init__(self, bench: Bench, cluster: RealCluster, peer: Peer, row: Staleness) -> None:
        self._bench = bench
        self._cluster = cluster
        self._peer = peer
        self._row = row
        self._name = bench.upstream.services[0]
        self._wire = wire((self._name, "A"))
        self._rng = random.Random(7)
        self._whole = _ask(bench.upstream.agents[0], self._wire)

    def go(self, changes: int) -> None:
        """Start the server, make the changes, fill the row."""
        site = self._bench.site(self._peer)
        process = self._bench.start(self._peer, site)
        server = Agent(ADDRESS, site.port, 0)
        self._row.command = process.command
        made: list[_Change] = []
        results: list[Result] = []
        try:
            first_answer(process, site.port, self._name)
            began, machine, ours_cpu = self._busy(process)
            load = Load((ADDRESS, site.port), RATE, [self._wire])
            try:
                time.sleep(WARM_S)
                for number in range(changes):
                    time.sleep(self._rng.uniform(*CALM_S))
                    asked = self._asked(process, site.directory / "log")
                    made.append(self._change(number, asked))
                    self._await(server, made[-1].answer)
                time.sleep(STEADY_S)
            finally:
                results = load.stop()
            process.check()
            ended, machine_now, ours_now = self._busy(process)
            others = (machine_now - machine) - (ours_now - ours_cpu)
            self._row.other_load = max(0.0, others / (ended - began))
        finally:
            process.stop()
            self._end_maintenance(len(made))
        self._judge(made, results)

    def _asked(self, process: Process, log: Path) -> float | None:
        """Queries to agents per query, just now; None when the server does not tell."""
        if not self._peer.name.startswith(OURS.name):
            return None
        before = told(process, log)
        time.sleep(WINDOW_S)
        return told(process, log).asked_share(before)

    def _change(self, number: int, asked: float | None) -> _Change:
        """Begin or end maintenance at one server after the other; wait for all agents' DNS."""
        begins = number % 2 == 0
        answer = self._whole - {self._address()} if begins else self._whole
        at = self._cluster.servers[number // 2 % len(self._cluster.servers)]
        service = self._name.partition(".")[0]
        operation = maintenance(HARMED, service, "a benchmark" if begins else None)
        shown = [float("inf")] * len(self._bench.upstream.agents)

        def look(place: int, agent: Agent) -> None:
            end = time.monotonic() + PATIENCE_S
            with _client(agent) as client:
                while (sent := time.monotonic()) < end:
                    if _said(client, self._wire) == answer:
                        shown[place] = sent
                        return
                    time.sleep(POLL_S)

        looking = [
            threading.Thread(target=look, args=each)
            for each in enumerate(self._bench.upstream.agents)
        ]
        for thread in looking:
            thread.start()
        begin, taken = self._write(at, operation)
        for thread in looking:
            thread.join()
        if max(shown) == float("inf"):
            raise StartError(f"an agent's DNS did not show a change within {PATIENCE_S:g} s")
        return _Change(begin, taken, shown[0], max(shown), answer, asked)

    def _write(self, at: RealAgent, operation: object) -> tuple[float, float]:
        """Have Consul take a change; when that began and when it had. An election is waited for."""
        until = time.monotonic() + PATIENCE_S
        while True:
            begin = time.monotonic()
            try:
                at.http("PUT", "/v1/txn", [operation])
                return begin, time.monotonic()
            except ApiError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def _address(self) -> str:
        """Of the instance that goes into maintenance: the lowest, as they were registered."""
        return min(self._whole)

    def _end_maintenance(self, made: int) -> None:
        if made % 2:
            self._cluster.maintenance(HARMED, self._name.partition(".")[0], None)
        self._cluster.settle()

    def _await(self, server: Agent, answer: Answer) -> None:
        """Return when the server has given this answer, and nothing else, for STEADY_S."""
        end = time.monotonic() + PATIENCE_S
        since = float("inf")
        with _client(server) as client:
            while (now := time.monotonic()) < end and now - since < STEADY_S:
                since = min(since, now) if _said(client, self._wire) == answer else float("inf")
                time.sleep(LOOK_S)

    def _judge(self, made: Sequence[_Change], results: Sequence[Result]) -> None:
        row = self._row
        ends = [*(each.begin for each in made[1:]), float("inf")]
        row.queries = len(results)
        row.lost = sum(one.took_s is None for one in results)
        row.late_ms = max((one.late_s for one in results), default=0.0) * 1e3
        arrived = [
            (one.sent_at + one.took_s, one.sent_at, _read(b"\0\0" + one.reply))
            for one in results
            if one.took_s is not None
        ]
        before = self._whole
        for change, end in zip(made, ends, strict=True):
            during = [one for one in arrived if change.begin < one[0] <= end]
            row.odd += sum(said not in (before, change.answer) for _, _, said in during)
            old = [(at, sent) for at, sent, said in during if said == before]
            last = max([at for at, _ in old], default=change.begin)
            late = [sent for at, sent in old if at > change.taken]
            row.changes.append(
                Shown(
                    until=max(0.0, last - change.taken) * 1e3,
                    after_first=(last - change.first) * 1e3,
                    after_all=(last - change.every) * 1e3,
                    agents=(change.every - change.taken) * 1e3,
                    oldest=max([0.0, *(sent - change.taken for sent in late)]) * 1e3,
                    old=len(late),
                    asked=change.asked,
                )
            )
            before = change.answer

    def _busy(self, process: Process) -> tuple[float, float, float]:
        """The time now; CPU spent by the whole machine, and by what takes part, in s so far."""
        taking_part = [process.pid, *(one.pid for one in self._cluster.servers)]
        used = sum(map(cpu_ns, taking_part)) / 1e9
        return time.monotonic(), machine_cpu_s(), used + children_cpu_s() + time.process_time()


@contextlib.contextmanager
def _client(agent: Agent) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.settimeout(1.0)
        opened.connect((agent.address, agent.port))
        yield opened


def _said(client: socket.socket, query: bytes) -> Answer | None:
    """The answer to a query, None when none came."""
    try:
        client.send(query)
        return _read(client.recv(4096))
    except OSError:
        return None


def _ask(agent: Agent, query: bytes) -> Answer:
    with _client(agent) as client:
        return _said(client, query) or frozenset()


@functools.lru_cache(1 << 12)
def _read(reply: bytes) -> Answer:
    """The data of the Answer's records, or the rcode where there are none."""
    message = dns.message.from_wire(reply)
    found = {str(record) for rrset in message.answer for record in rrset}
    return frozenset(found or {dns.rcode.to_text(message.rcode())})
