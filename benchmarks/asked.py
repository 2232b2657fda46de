"""What Consul's servers were asked: how much, by their metrics; what for, by their log.

What belongs here: reading both, and telling requests apart by path and parameters. Must not know
who asks, but by the names that are asked for: `web` and a number is a name that is watched, `job`
and a number a service of a template.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from benchmarks.process import cpu_ns
from consulfwd.dev.real import ApiError, RealAgent

# Consul sums up what it served over so many seconds.
INTERVAL_S = 10.0
# With this the log names each request once it has ended.
LOGGING: dict[str, Any] = {"log_level": "debug"}
_LINE = re.compile(r"^ *(\S+) \[DEBUG\] +\S+ Request finished: method=(\S+) url=(\S+) from=")
_METRICS = re.compile(r"v1[._]agent[._]metrics")


class Request(NamedTuple):
    """One request over HTTP: when it ended (seconds of the time of day), at which server."""

    at: float
    server: str
    method: str
    path: str
    params: Mapping[str, str]

    @property
    def mode(self) -> str:
        """The consistency it is read with; "default" and "consistent" are the leader's to serve."""
        if self.path.startswith("/v1/status/"):
            return "stale"  # Each server tells what it knows itself.
        return next((mode for mode in ("stale", "consistent") if mode in self.params), "default")

    @property
    def kind(self) -> str:
        """What it is for."""
        waits = "index" in self.params
        for kind, path, waiting in KINDS:
            if path.fullmatch(self.path) and waiting in (None, waits):
                return kind
        return OTHER


# What a request is for, by its path, and whether it waits for a change (None: either way).
KINDS: Sequence[tuple[str, re.Pattern[str], bool | None]] = (
    ("waits for a change of a name (serve)", re.compile(r"/v1/health/service/web\d+"), True),
    ("looks at a name (serve)", re.compile(r"/v1/health/service/web\d+"), False),
    ("looks at agents (serve; generate)", re.compile(r"/v1/health/service/consul"), False),
    ("who Raft's peers are (serve; generate)", re.compile(r"/v1/status/peers"), None),
    ("proofs (serve, render, generate)", re.compile(r"/v1/health/service/consulfwd-proof"), None),
    ("waits for a change of a fact (render)", re.compile(r"/v1/health/service/job\d+"), True),
    ("looks at a fact (render)", re.compile(r"/v1/health/service/job\d+"), False),
    ("waits for other servers (generate)", re.compile(r"/v1/health/service/consul"), True),
)
OTHER = "others"
# How they are read; all but the first are the leader's to answer.
MODES = ("stale", "default", "consistent")


@dataclass(frozen=True)
class Counted:
    """Requests a second as Consul counts them, over so many seconds; and shares of a core."""

    seconds: float
    http: float
    dns: float
    rpc: float
    core: float

    @property
    def rate(self) -> float:
        """Requests a second in all."""
        return self.http + self.dns + self.rpc


class Meter:
    """Reads what servers say they have served."""

    def __init__(self, servers: Sequence[RealAgent]) -> None:
        self._servers = servers
        self._read = {server.name: 0 for server in servers}

    def intervals(self) -> dict[tuple[str, str], tuple[int, int, int]]:
        """Return HTTP, DNS and RPC requests of each server's last interval (its name, the time)."""
        found = {}
        for server in self._servers:
            said = server.http("GET", "/v1/agent/metrics")
            samples, counters = said["Samples"], said["Counters"]
            # Until 1.8 the path was part of the name.
            http = _sum(samples, lambda name: name.endswith(".api.http") or ".http.GET." in name)
            dns = _sum(samples, lambda name: name.endswith((".domain_query", ".ptr_query")))
            # What came from another agent, not what a request over HTTP comes to here.
            rpc = _sum(counters, lambda name: name.endswith(".rpc.request"))
            found[server.name, said["Timestamp"]] = http, dns, rpc
        return found

    def ready(self) -> bool:
        """Return whether all servers that run have metrics by now, which takes them a moment."""
        with contextlib.suppress(ApiError):
            return bool(self.intervals())
        return False

    def cpu_s(self) -> float:
        """Return the CPU time of all servers so far."""
        return sum(cpu_ns(server.pid) for server in self._servers) / 1e9

    def counted(
        self,
        before: Mapping[tuple[str, str], tuple[int, int, int]],
        intervals: Mapping[tuple[str, str], tuple[int, int, int]],
        core: float,
    ) -> Counted:
        """Return the rates over those intervals that were not there before."""
        new = [counts for at, counts in intervals.items() if at not in before]
        span = len(new) / len(self._servers) * INTERVAL_S
        http, dns, rpc = (sum(column) / span for column in zip(*new, strict=True))
        return Counted(span, http, dns, rpc, core)

    def requests(self) -> list[Request]:
        """Return what the logs tell since the last call, in order of time."""
        found: list[Request] = []
        for server in self._servers:
            with server.log.open(encoding="utf-8", errors="replace") as log:
                log.seek(self._read[server.name])
                found += _requests(server.name, log.read().splitlines())
                self._read[server.name] = log.tell()
        return sorted(found, key=lambda one: one.at)


def by(requests: Sequence[Request], seconds: float) -> dict[str, dict[str, float]]:
    """Return requests a second by kind and by mode, most first."""
    counts = Counter((one.kind, one.mode) for one in requests)
    kinds: dict[str, dict[str, float]] = {}
    for (kind, mode), count in sorted(counts.items(), key=lambda item: -item[1]):
        kinds.setdefault(kind, {})[mode] = count / seconds
    return kinds


def peak(requests: Sequence[Request]) -> tuple[float, Counter[tuple[str, str]]]:
    """Return the second (of the time of day) with most requests, and these by kind and mode."""
    seconds: dict[int, Counter[tuple[str, str]]] = {}
    for one in requests:
        seconds.setdefault(int(one.at), Counter())[one.kind, one.mode] += 1
    most = max(seconds, key=lambda at: seconds[at].total(), default=0)
    return most, seconds.get(most, Counter())


def _sum(samples: Sequence[Mapping[str, Any]], wanted: Callable[[str], bool]) -> int:
    return sum(
        one["Count"]
        for one in samples
        if wanted(one["Name"])
        and not _METRICS.search(one["Name"] + (one.get("Labels") or {}).get("path", ""))
    )


def _requests(server: str, lines: Sequence[str]) -> Iterator[Request]:
    for line in lines:
        found = _LINE.match(line)
        if found is None or _METRICS.search(found[3].replace("/", ".")):
            continue
        at = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
        parts = urlsplit(found[3].strip('"'))
        params = dict(parse_qsl(parts.query, keep_blank_values=True))
        yield Request(at, server, found[2], unquote(parts.path), params)
