"""Made-up snapshots, in which nothing is missing."""

from __future__ import annotations

import os
from dataclasses import fields

from consulfwd.core.durations import BOUNDS
from consulfwd.net.flight import Counters
from consulfwd.ops.snapshot import (
    AddressSeen,
    CacheSeen,
    GroupSeen,
    RecordSeen,
    ResolverSeen,
    RoundsSeen,
    Snapshot,
    TargetSeen,
    TimesSeen,
    UpstreamSeen,
    Verb,
    WatchSeen,
    WorkerSeen,
    ZoneSeen,
)

NOW = 1_796_000_000.25
ADMIN = (
    "requests", "errors", "refused", "dropped", "connections", "streams",
    "querylog_written", "querylog_dropped", "querylog_tails", "querylog_tails_dropped",
    "dnstap_written", "dnstap_dropped", "dnstap_connected",
)  # fmt: skip


def snapshot(
    verb: Verb = "serve",
    *,
    resolver: ResolverSeen | None = None,
    zones: tuple[ZoneSeen, ...] = (),
    rounds: RoundsSeen | None = None,
    faults: tuple[str, ...] = (),
    failover: tuple[RecordSeen, ...] = (),
) -> Snapshot:
    return Snapshot(
        verb, "1.2.3", os.getpid(), "web1", NOW - 60, NOW, "running", "all is well", True, faults,
        resolver, zones, rounds, {name: number for number, name in enumerate(ADMIN, 1)},
        () if resolver is None else (WorkerSeen(1, 7, NOW - 9, True, 50),), 3,
        0 if resolver is None else 2, failover, len(failover),
    )  # fmt: skip


def resolver(agents: int = 2, services: int = 1, *, asked: int = 0) -> ResolverSeen:
    """A resolver that was `asked` so many names, each another one."""
    names = tuple(f"10.0.0.{number}:8600" for number in range(agents))
    upstreams = [
        UpstreamSeen(one, "agent", one.partition(":")[0], 8600, "udp", "up", NOW - 50,
                     rtt=0.001, sent=asked, changes=3, barred=True)
        for one in names
    ]  # fmt: skip
    upstreams.append(
        UpstreamSeen("192.0.2.53:53", "recursor", "192.0.2.53", 53, "udp", "down", NOW - 5,
                     behind="lame", drained=True, loops=True)
    )  # fmt: skip
    counters = {one.name: asked + number for number, one in enumerate(fields(Counters))}
    return ResolverSeen(
        ("127.0.0.1:53",), ("192.0.2.7:53",), "consul",
        (GroupSeen("consul", "failover", names), GroupSeen("recursors", "failover",
                                                           ("192.0.2.53:53",))),
        tuple(upstreams), (), counters, min(asked, 20_000),
        CacheSeen(min(asked, 10_000), 5, 10_000),
        tuple(WatchSeen(f"service s{one}.{asked}", names[0], one % 2 == 0, NOW, 7, 3, 2, 4)
              for one in range(services)),
        1_000, 11, "all", len(upstreams),
        round_trips=(TimesSeen("agent", BOUNDS, (1,) * (len(BOUNDS) + 1), 12.5),),
    )  # fmt: skip


def zone(number: int = 0, *, targets: int = 1) -> ZoneSeen:
    return ZoneSeen(
        f"svc{number}.example.com", "inside", "active", "web1", NOW - 9, "", "no leader", (),
        tuple(
            TargetSeen(f"updates at 10.0.0.{one}:53", 7, NOW - 3, "2 names", "no answer", NOW - 2,
                       7, 9, ("a A: budget",), 3)
            for one in range(targets)
        ),
        2, 1,
    )  # fmt: skip


def record(number: int = 0) -> RecordSeen:
    address = AddressSeen(
        "192.0.2.1", "secondary", 1, True, NOW - 60, NOW - 2, "ok", "200 OK", 0.01, 0, 3, given=True
    )
    return RecordSeen(
        f"www{number}.example.com", True, "secondary", 1, ("192.0.2.1",), 30, NOW - 60, "well",
        addresses=(address,),
    )  # fmt: skip


ROUNDS = RoundsSeen("unbound's files", True, NOW - 100, 0.0)
EACH = (
    snapshot("serve", resolver=resolver(), failover=(record(),)),
    snapshot("zone", zones=(zone(),)),
    snapshot("render", rounds=ROUNDS),
)
