"""What harm those who look on can do to queries: `python -m benchmarks.harm`.

Servers are asked at a fixed rate, a second each in turn, while something beside them stands still,
is full, is missing, or is asked too much: a collector of dnstap, the file of the query log, readers
of the admin socket. `off` has none of it.

What belongs here: these troubles, and the table. What does not: servers and load (`querylog`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.asking import first_answer
from benchmarks.choice import CACHED_TTL
from benchmarks.measure import Bench
from benchmarks.peers import ADDRESS, Site
from benchmarks.process import Process
from benchmarks.querylog import (
    COLLECTOR,
    Settings,
    capture,
    on_a_core,
    peer,
    stopped,
    tapped,
)
from benchmarks.tools import require
from consulfwd.dns.names import from_text
from tests.integration.load import Load as Steady

# Queries a second, and how many of each server.
RATE, QUERIES = 2_500, 100_000
SCRAPES, PAGES, TAILS, HALVES = 50, 16, 8, 64


class Trouble(NamedTuple):
    """Something that goes on while a server is asked.

    `settings` are the server's. It may have a collector, to which `turned` is done once it runs;
    `meanwhile` goes on in each of the server's seconds, at its admin socket.
    """

    settings: Callable[[Site], Settings]
    collector: bool = False
    turned: Callable[[subprocess.Popen[bytes]], None] = lambda collector: None
    meanwhile: Callable[[Path], AbstractContextManager[None]] = (
        lambda path: contextlib.nullcontext()
    )


@dataclass(frozen=True)
class Harmed:
    """One server: queries, those without a reply, latencies (ms) of the median second."""

    name: str
    queries: int
    lost: int
    middle_ms: float
    p99_ms: float
    slowest_ms: float


def _admin(site: Site) -> Settings:
    return {"admin": {"socket": str(_door(site))}}


def _door(site: Site) -> Path:
    return site.directory / "admin.sock"


def _off(site: Site) -> Settings:
    return {"admin": {"socket": False}}


def _tapped(site: Site) -> Settings:
    return {**_off(site), **tapped(site, 1.0)}


def _full(site: Site) -> Settings:
    # A device that is always full.
    log = {"log": {"queries": True}, "querylog": {"file": "/dev/full"}}
    return {**_off(site), **log}


@contextlib.contextmanager
def _unread(path: Path, count: int, target: str) -> Iterator[None]:
    """Have so many ask, who never read a thing."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            _asked(stack, path, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield


@contextlib.contextmanager
def _half(path: Path) -> Iterator[None]:
    """Have as many as may come begin a request, and go no further."""
    with contextlib.ExitStack() as stack:
        for _ in range(HALVES):
            _asked(stack, path, "GET / HTTP/1.1\r\nHost: ")
        yield


@contextlib.contextmanager
def _scraped(path: Path) -> Iterator[None]:
    """Have so many ask for metrics at once."""

    def read() -> None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            door = _asked(stack, path, "GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            door.settimeout(5)
            while door.recv(65_536):
                pass

    readers = [threading.Thread(target=read) for _ in range(SCRAPES)]
    for one in readers:
        one.start()
    yield
    for one in readers:
        one.join()


def _asked(stack: contextlib.ExitStack, path: Path, said: str) -> socket.socket:
    door = stack.enter_context(socket.socket(socket.AF_UNIX))
    door.connect(str(path))
    door.sendall(said.encode())
    return door


TROUBLES = {
    "off": Trouble(_off),
    "collector well": Trouble(_tapped, collector=True),
    "collector stands still": Trouble(
        _tapped, collector=True, turned=lambda one: os.kill(one.pid, signal.SIGSTOP)
    ),
    "collector killed": Trouble(_tapped, collector=True, turned=lambda one: one.kill()),
    "collector missing": Trouble(_tapped),
    "disk full": Trouble(_full),
    "nobody looks": Trouble(_admin),
    "50 scrapes at once": Trouble(_admin, meanwhile=_scraped),
    "16 pages unread": Trouble(_admin, meanwhile=lambda path: _unread(path, PAGES, "/events")),
    "8 tails unread": Trouble(_admin, meanwhile=lambda path: _unread(path, TAILS, "/querylog")),
    "64 half requests": Trouble(_admin, meanwhile=_half),
}


@contextlib.contextmanager
def _collector(trouble: Trouble, folder: Path) -> Iterator[subprocess.Popen[bytes] | None]:
    folder.mkdir(parents=True, exist_ok=True)
    if not trouble.collector:
        yield None
        return
    found = capture(folder)
    try:
        yield found
    finally:
        stopped(found)


class _Running(NamedTuple):
    name: str
    trouble: Trouble
    site: Site
    process: Process


def harm(on: Bench, queries: int, names: Sequence[str]) -> str:
    """Return a table of what became of queries, by trouble."""
    tails = [_query(name) for name in on.upstream.services]
    with contextlib.ExitStack() as stack:
        running: list[_Running] = []
        collectors: list[tuple[Trouble, subprocess.Popen[bytes]]] = []
        for name in names:
            trouble, folder = TROUBLES[name], name.replace(" ", "-")
            collector = stack.enter_context(_collector(trouble, on.directory / folder))
            one = peer(folder, trouble.settings)
            site = on.site(one)
            process = on.start(one, site)
            stack.callback(process.stop)
            first_answer(process, site.port, on.upstream.services[0])
            running.append(_Running(name, trouble, site, process))
            if collector is not None:
                collectors.append((trouble, collector))
        time.sleep(1)
        for trouble, collector in collectors:
            trouble.turned(collector)
        took: dict[str, list[list[float | None]]] = {name: [] for name in names}
        slices = max(queries // RATE, 1)
        for number in range(slices):
            on.say(f"round {number + 1} of {slices}")
            # In turn, a second each, so that what else the machine does meets all alike.
            for one_of in running:
                with one_of.trouble.meanwhile(_door(one_of.site)):
                    took[one_of.name].append(_second(one_of.site, tails))
                one_of.process.check()
    return _table([_judged(name, took[name]) for name in names])


def _query(name: str) -> bytes:
    return b"\1\0\0\1\0\0\0\0\0\0" + from_text(name) + b"\0\1\0\1"


def _second(site: Site, tails: Sequence[bytes]) -> list[float | None]:
    steady = Steady((ADDRESS, site.port), RATE, tails, held=True)
    steady.go()
    time.sleep(1)
    return [one.took_s for one in steady.stop()]


def _judged(name: str, slices: Sequence[Sequence[float | None]]) -> Harmed:
    replies = [sorted(one for one in took if one is not None) for took in slices]
    answered = [took for took in replies if took]
    asked, replied = sum(map(len, slices)), sum(map(len, answered))
    # Of each second by itself: what disturbs the machine now and then is no server's.
    return Harmed(
        name,
        asked,
        asked - replied,
        median(took[len(took) // 2] for took in answered) * 1e3,
        median(took[len(took) * 99 // 100] for took in answered) * 1e3,
        max(took[-1] for took in answered) * 1e3,
    )


def _table(all_of: Sequence[Harmed]) -> str:
    rows = ["| beside | queries | lost | median ms | p99 ms | slowest ms | p99, x off |"]
    rows.append("|---|---|---|---|---|---|---|")
    for one in all_of:
        times = one.p99_ms / all_of[0].p99_ms
        rows.append(
            f"| {one.name} | {one.queries:,} | {one.lost} | {one.middle_ms:.3f} |"
            f" {one.p99_ms:.3f} | {one.slowest_ms:.1f} | {times:.2f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.harm")
    options.add_argument("--queries", type=int, default=QUERIES, help="of each server (100000)")
    options.add_argument("--only", nargs="*", default=list(TROUBLES), choices=list(TROUBLES))
    options.add_argument("--ttl", type=int, default=CACHED_TTL, help="0 has all asked for anew")
    options.add_argument("--dir", type=Path, help="keep configurations and logs here")
    given = options.parse_args()
    require(["taskset", "cc", COLLECTOR])
    with on_a_core(given.dir, given.ttl) as (on, _):
        print(harm(on, given.queries, list(dict.fromkeys(["off", *given.only]))))


if __name__ == "__main__":
    main()
