"""A day in a minute: a server is asked all the time while its settings and agents change.

What belongs here: the load, what is done meanwhile, and what is left of that in the end. How long a
day is, and what is demanded, is said by who has one (`test_day`, `benchmarks.day`).
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dns.edns
import dns.message

from consulfwd.dev.real import RealAgent
from tests.integration.served import Served, consul

# Queries in flight, and when one counts as lost (seconds): longer than any deadline here.
WINDOW, LOST_S = 256, 6.0
# So many are sent before replies are looked for.
BURST = 32
# How long (seconds) a killed agent stays away.
AWAY_S = 0.5
# Connections that nobody uses are kept for 5 s. How long (seconds) it may take in all until a
# process has nothing that it has no use for.
REST_S, IDLE_S, LETS_GO_S = 0.5, 6.0, 15.0
NAMES = [
    *(f"{name}.service.consul" for name in ("web", "galeradb", "big", "consul", "mixed")),
    *(f"big{number}.node.consul" for number in range(1, 41)),
]
GOOD = frozenset((0, 3))


def settings(agents: Sequence[RealAgent], **more: Any) -> dict[str, Any]:
    """What is the same in all settings of a day; tables small, so that they are full soon."""
    section = consul(*agents, **{"watch": {"enabled": True}, **more.pop("consul", {})})
    return {"consul": section, "cache": {"size": 500}, "recursors": ["127.0.0.1:9"], **more}


def variants(agents: Sequence[RealAgent]) -> list[dict[str, Any]]:
    """The settings that are in force in turn."""
    return [
        settings(agents, cookies={"enabled": True}, rebinding={"protect": True}),
        settings(agents, consul={"watch": {"enabled": True, "max": 40}}, limits={"unknown": 50}),
        settings(
            agents[::-1],
            cookies={"enabled": False},
            tcp={"max_connections": 20},
            forward={"corp.example": ["127.0.0.1:9"]},
            limits={"per_client": 0, "per_network": 0},
        ),
    ]


def bare(agents: Sequence[RealAgent]) -> dict[str, Any]:
    """Settings with which nothing goes on by itself but what must."""
    idle = {"watch": {"enabled": False}, "quality": {"every": 0}}
    return settings(agents, consul=idle)


@dataclass
class Asked:
    """What became of queries: how many, rcodes of the replies, what had none, the slowest reply."""

    sent: int = 0
    rcodes: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    slowest_s: float = 0.0

    @property
    def wrong(self) -> dict[int, int]:
        """Replies with an rcode that no question here has."""
        return {rcode: count for rcode, count in self.rcodes.items() if rcode not in GOOD}


class Queries:
    """Queries without end: most for few names, some for what nobody has, some with cookies."""

    def __init__(self) -> None:
        cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, bytes(8))
        self._usual: list[bytes] = []
        for number, name in enumerate(NAMES):
            for rtype in ("A", "AAAA", "SRV")[: 1 + number % 3]:
                query = dns.message.make_query(name, rtype, id=0, use_edns=0, payload=1232)
                self._usual.append(query.to_wire()[2:])
                query.use_edns(0, payload=1232, options=[cookie])
                self._usual.append(query.to_wire()[2:])
        self._rng = random.Random(4)

    def next(self, number: int) -> bytes:
        """The next one, without its ID."""
        if number % 50:
            return self._usual[number * 7 % len(self._usual)]
        name = f"x{self._rng.getrandbits(40):x}.service.consul"
        return dns.message.make_query(name, "A", id=0).to_wire()[2:]


def ask(at: tuple[str, int], count: int, rate: float | None, asked: Asked) -> None:
    """Ask so many queries over UDP, so many a second at most (None: as they are answered)."""
    queries, waiting = Queries(), dict[bytes, float]()
    poll = select.poll()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.setblocking(False)
        sock.connect(at)
        poll.register(sock, select.POLLIN)
        began = swept = time.monotonic()
        first = asked.sent
        while asked.sent - first < count or waiting:
            now = time.monotonic()
            room = min(count - asked.sent + first, WINDOW - len(waiting), BURST)
            if rate is not None:
                room = min(room, int((now - began) * rate) - asked.sent + first)
            for _ in range(room):
                ident = (asked.sent & 0xFFFF).to_bytes(2, "big")
                sock.send(ident + queries.next(asked.sent))
                waiting[ident] = now
                asked.sent += 1
            poll.poll(2)
            take(sock, waiting, asked)
            if now - swept > 0.5:
                swept = now
                for ident in [one for one, at_ in waiting.items() if now - at_ > LOST_S]:
                    del waiting[ident]
                    asked.lost += 1


def take(sock: socket.socket, waiting: dict[bytes, float], asked: Asked) -> None:
    """Take the replies there are."""
    try:
        while True:
            reply = sock.recv(4096)
            sent_at = waiting.pop(reply[:2], None)
            if sent_at is None:
                continue
            asked.rcodes[reply[3] & 15] += 1
            asked.slowest_s = max(asked.slowest_s, time.monotonic() - sent_at)
    except BlockingIOError:
        pass


def ask_over_tcp(at: tuple[str, int], over: threading.Event, asked: Asked) -> None:
    """Ask over one connection after the other until it is over."""
    queries = Queries()
    while not over.wait(0.05):
        with socket.create_connection(at, LOST_S) as sock, sock.makefile("rb") as file:
            for _ in range(10):
                query = asked.sent.to_bytes(4, "big")[2:] + queries.next(asked.sent)
                asked.sent += 1
                sock.sendall(len(query).to_bytes(2, "big") + query)
                head = file.read(2)
                reply = file.read(int.from_bytes(head, "big"))
                if reply[:2] != query[:2]:
                    asked.lost += 1
                    break
                asked.rcodes[reply[3] & 15] += 1


@dataclass(frozen=True)
class Held:
    """What a process has at rest: tasks by name, open files, threads, objects, memory (MB)."""

    tasks: dict[str, int]
    files: int
    threads: int
    objects: int
    memory_mb: float


@dataclass(frozen=True)
class Lived:
    """Some time that is over: what became of queries, what was done, what is held at the end."""

    udp: Asked
    tcp: Asked
    reloads: int
    restarts: int
    held: Held
    seconds: float


class Day:
    """A server, its agents, and what was done to them so far."""

    def __init__(self, served: Served, agents: Sequence[RealAgent]) -> None:
        self.reloads = self.restarts = 0
        self._served = served
        self._agents = agents
        self._variants = variants(agents)

    def reload(self, new: dict[str, Any] | None = None) -> None:
        """Have the next settings taken, or those given, and wait until they are."""
        served = self._served
        served.configure(new or self._variants[self.reloads % len(self._variants)])
        before = served.said().count("settings reloaded")
        os.kill(served.pid, signal.SIGHUP)
        served.wait_until(
            lambda: served.said().count("settings reloaded") > before, "settings taken"
        )
        self.reloads += 1

    def restart(self) -> None:
        """Kill the next agent, and start it again: wait until it is in step with the others."""
        agent = self._agents[self.restarts % len(self._agents)]
        agent.kill()
        time.sleep(AWAY_S)
        agent.start()
        agent.wait_ready()
        self.restarts += 1

    def warm(self, count: int, restarts: int) -> None:
        """Have each of the settings taken, some agents restarted, and so many queries asked.

        After that all there is to be loaded and filled is; from there on nothing may grow.
        """
        for number, _ in enumerate(self._variants):
            ask(self._served.at, count // len(self._variants), None, Asked())
            self.reload()
            if number < restarts:
                self.restart()

    def live(
        self, count: int, *, every_s: float, rate: float | None = None, like: Held | None = None
    ) -> Lived:
        """Have `count` queries asked while all goes on, and look what is held then (`look`)."""
        udp, tcp = Asked(), Asked()
        over, failed = threading.Event(), list[Exception]()
        reloads, restarts = self.reloads, self.restarts
        beside = [
            threading.Thread(target=self.go_on, args=(over, every_s, failed)),
            threading.Thread(target=ask_over_tcp, args=(self._served.at, over, tcp)),
        ]
        began = time.monotonic()
        for one in beside:
            one.start()
        try:
            ask(self._served.at, count, rate, udp)
            seconds = time.monotonic() - began
        finally:
            over.set()
            for one in beside:
                one.join()
        if failed:
            raise failed[0]
        done = self.reloads - reloads, self.restarts - restarts
        return Lived(udp, tcp, *done, self.look(like), seconds)

    def go_on(self, over: threading.Event, every_s: float, failed: list[Exception]) -> None:
        """Change settings and restart agents, each so many seconds, until it is over."""

        def keep(act: Callable[[], None], pause_s: float) -> None:
            try:
                while not over.wait(pause_s):
                    act()
            except Exception as error:
                failed.append(error)

        threads = [
            threading.Thread(target=keep, args=(self.reload, every_s)),
            threading.Thread(target=keep, args=(self.restart, every_s / 2)),
        ]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

    def look(self, like: Held | None = None, idle_s: float = IDLE_S) -> Held:
        """What the process holds at rest: as soon as that is `like` before, or at last.

        At first it is what is left after so many seconds, when what nobody uses is closed.
        """
        self.reload(bare(self._agents))
        ends = time.monotonic() + (idle_s if like is None else LETS_GO_S)
        while True:
            time.sleep(REST_S)
            held = self._held()
            alike = like is not None and held.tasks == like.tasks and held.files <= like.files
            if alike or time.monotonic() > ends:
                return held

    def _held(self) -> Held:
        pid, file = self._served.pid, self._served.file.with_name(self._served.file.name + ".seen")
        file.unlink(missing_ok=True)
        os.kill(pid, signal.SIGRTMIN)
        self._served.wait_until(file.exists, "told what it holds")
        said = json.loads(file.read_text())
        kernel = Path(f"/proc/{pid}")
        lines = (kernel / "status").read_text().splitlines()
        status = dict(line.split(":", 1) for line in lines)
        return Held(
            said["tasks"],
            len(list((kernel / "fd").iterdir())),
            int(status["Threads"]),
            said["objects"],
            int(status["VmRSS"].split()[0]) / 1024,
        )
