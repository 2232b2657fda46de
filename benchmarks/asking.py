"""Servers asked: dnsperf for load, and the first answer after a start.

What belongs here: dnsperf's commands and its report, and asking until somebody answers. What does
not: servers, and what is measured of them (`measure`).
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.peers import ADDRESS
from benchmarks.process import Process
from benchmarks.tools import path_of
from benchmarks.upstream import INSTANCES
from consulfwd.errors import StartError

READY_S = 10.0


@dataclass(frozen=True)
class Load:
    """What dnsperf does in one slice; `rate` is queries per second, None for no limit.

    Each name is asked in so many `spellings`, as by clients that vary its case to be safe from
    forgery, from `first_spelling` on; 0 is how it is. `passes` over all queries come before a
    slice, unmeasured.
    """

    names: Sequence[str]
    seconds: int
    clients: int
    outstanding: int
    rate: int | None
    edns: bool
    core: int
    tcp: bool = False
    spellings: int = 1
    first_spelling: int = 0
    passes: int = 20

    def write(self, datafile: Path) -> Path:
        """Write what dnsperf is to ask, in turn; returns `datafile`."""
        last = self.first_spelling + self.spellings
        with datafile.open("w") as lines:
            for number in range(self.first_spelling, last):
                lines.writelines(f"{spelled(name, number)} A\n" for name in self.names)
        return datafile

    def command(self, datafile: Path, port: int, *limit: str) -> list[str]:
        """The dnsperf command; `limit` replaces the time limit of the slice."""
        command = ["taskset", "-c", str(self.core), path_of("dnsperf"), "-s", ADDRESS]
        command += ["-p", str(port), "-d", str(datafile), "-c", str(self.clients), "-T", "1"]
        command += ["-q", str(self.outstanding), *(limit or ("-l", str(self.seconds)))]
        if self.rate is not None:
            command += ["-Q", str(self.rate)]
        if self.tcp:
            command += ["-m", "tcp"]
        return [*command, "-e"] if self.edns else command


def spelled(name: str, number: int) -> str:
    """A name in one of its spellings: its letters are large where `number` has a bit."""
    labels = []
    for label in name.split("."):
        letters = sum(map(str.isalpha, label))
        labels.append(_large(label, number % (1 << letters)))
        number >>= letters
    return ".".join(labels)


@cache
def _large(label: str, bits: int) -> str:
    made = ""
    for one in label:
        made += one.upper() if one.isalpha() and bits & 1 else one
        bits >>= one.isalpha()
    return made


@dataclass(frozen=True)
class Report:
    """What dnsperf said: answers of any rcode, those with NOERROR among them, queries lost."""

    answers: int
    good: int
    lost: int
    rate: float
    latency_ms: float
    slowest_ms: float
    reply_bytes: int


def dnsperf(command: Sequence[str]) -> Report:
    """Run dnsperf and read its report; StartError when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return read_report(command, done.returncode, done.stdout, done.stderr)


def read_report(command: Sequence[str], code: int, text: str, errors: str) -> Report:
    """Read what a dnsperf printed that ended with `code`; StartError when it failed."""

    def number(pattern: str) -> float:
        match = re.search(pattern, text)
        return float(match.group(1)) if match else 0.0

    if code != 0 or "Queries completed" not in text:
        raise StartError(f"{' '.join(command)} failed:\n{text}{errors}")
    return Report(
        answers=int(number(r"Queries completed:\s+(\d+)")),
        good=int(number(r"NOERROR (\d+)")),
        lost=int(number(r"Queries lost:\s+(\d+)")),
        rate=number(r"Queries per second:\s+([\d.]+)"),
        latency_ms=number(r"Average Latency \(s\):\s+([\d.]+)") * 1e3,
        slowest_ms=number(r"Average Latency \(s\):.*max ([\d.]+)") * 1e3,
        reply_bytes=int(number(r"response (\d+)")),
    )


def first_answer(process: Process, port: int, name: str) -> float:
    """Ask every 2 ms until `name` has its addresses; seconds from the start of the process.

    Raises StartError when the process ends or has not answered after ten seconds.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((ADDRESS, port))
        client.setblocking(False)
        for query_id in _until(process.started + READY_S):
            # Nobody listens yet: the refusal of an earlier query comes back here.
            with contextlib.suppress(ConnectionRefusedError):
                query = struct.pack(">6H", query_id, 0x0100, 1, 0, 0, 0) + labels
                client.send(query + b"\0\0\1\0\1")
            if select.select([client], [], [], 0.002)[0]:
                with contextlib.suppress(ConnectionRefusedError):
                    if _is_answer(client.recv(2048)):
                        return time.monotonic() - process.started
            process.check()
    raise StartError(
        f"{' '.join(process.command)} does not answer {name} after {READY_S:g} s:\n"
        + process.tail()
    )


def _until(end: float) -> Iterator[int]:
    query_id = 0
    while time.monotonic() < end:
        query_id = (query_id + 1) % 65536
        yield query_id


def _is_answer(reply: bytes) -> bool:
    if len(reply) < 12:
        return False
    flags, _, answers = struct.unpack_from(">3H", reply, 2)
    return bool(flags & 0x8000) and flags & 0x000F == 0 and answers == INSTANCES
