"""Pictures of made-up processes, for the status page: one of each kind, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from consulfwd.ops import wrong
from consulfwd.ops.snapshot import (
    AddressSeen,
    CacheSeen,
    ChangeSeen,
    GroupSeen,
    RecordSeen,
    ResolverSeen,
    RoundsSeen,
    Snapshot,
    TargetSeen,
    UpstreamSeen,
    WatchSeen,
    ZoneSeen,
)

# 2026-11-30, 14:32:10 in Berlin.
TAKEN = 1_796_045_530.0
MIN, HOUR, DAY = 60.0, 3600.0, 86400.0
STARTED = TAKEN - 9 * DAY - 5 * HOUR


def wave(base: float, seed: int, silent: tuple[int, ...] = ()) -> tuple[float | None, ...]:
    """Return round-trip times that look like real ones, with gaps at some places."""
    values: list[float | None] = []
    for at in range(48):
        swing = math.sin(at * 0.7 + seed) + 0.6 * math.sin(at * 1.9 + 2 * seed)
        jump = 1.5 if (at * 7 + seed * 5) % 23 == 0 else 0.0
        values.append(None if at in silent else base * (1 + 0.16 * swing + jump))
    return tuple(values)


def upstream(
    name: str, seed: int = 0, kind: str = "agent", state: str = "up", **more: object
) -> UpstreamSeen:
    """Return a server that is asked."""
    values = {
        "name": name, "kind": kind, "address": name, "port": 8600 if kind == "agent" else 53,
        "transport": "udp", "state": state, "since": STARTED + 2, "rtt": 0.0006,
        "rtts": wave(0.0006, seed), "sent": 0,
    }  # fmt: skip
    return UpstreamSeen(**(values | more))  # type: ignore[arg-type]


COUNTERS = {
    "queries": 48_210_934.0, "hot": 39_802_211.0, "cached": 4_377_120.0, "reused": 2_911_804.0,
    "joined": 61_222.0, "forwarded": 3_928_311.0, "upstream": 3_991_870.0, "extra": 41_007.0,
    "second_opinions": 402.0, "overruled": 31.0, "opinion_seconds": 3.1, "stale": 212.0,
    "failed": 18.0, "false_replies": 0.0, "stray_replies": 1204.0, "evaded": 0.0, "trailing": 0.0,
    "cookies": 0.0, "right_cookies": 0.0, "wrong_cookies": 0.0, "rebinding": 0.0,
}  # fmt: skip


def resolver() -> ResolverSeen:
    """Return a resolver of three agents, the first of which is down, and two recursors."""
    down = TAKEN - 11 * MIN - 22
    agents = (
        upstream("10.0.0.11", 1, state="down", since=down, sent=2_204_118, rtt=0.00061,
                 rtts=wave(0.00061, 1, tuple(range(36, 48)))),
        upstream("10.0.0.12", 2, sent=1_400_316, rtt=0.00058),
        upstream("10.0.0.13", 3, sent=86_115, rtts=wave(0.0009, 3, (30,)), rtt=0.00094,
                 since=TAKEN - 38 * MIN),
    )  # fmt: skip
    recursors = (
        upstream("10.0.0.53", 4, "recursor", sent=298_003, rtt=0.0112, rtts=wave(0.0112, 4)),
        upstream("9.9.9.9", 5, "recursor", sent=3_318, rtt=0.0241, rtts=wave(0.0241, 5),
                 port=853, transport="tls"),
    )  # fmt: skip
    changes = tuple(
        ChangeSeen(TAKEN - ago, server, kind, before, after, why)
        for ago, server, kind, before, after, why in (
            (52 * MIN, "9.9.9.9", "recursor", "up", "suspect", "no reply within 2 s"),
            (51 * MIN, "9.9.9.9", "recursor", "suspect", "up", "2 good replies in a row"),
            (44 * MIN, "10.0.0.13", "agent", "up", "suspect", "no reply within 150 ms"),
            (43.7 * MIN, "10.0.0.13", "agent", "suspect", "down", "3 queries without a reply"),
            (38.4 * MIN, "10.0.0.13", "agent", "down", "probing", "answers again"),
            (38 * MIN, "10.0.0.13", "agent", "probing", "up", "3 good replies in a row"),
            (TAKEN - down, "10.0.0.11", "agent", "up", "down",
             "connection refused; 10.0.0.12 takes over"),
        )
    )  # fmt: skip
    names = tuple(one.name for one in agents)
    groups = (
        GroupSeen("agents", "ordered", names, "10.0.0.12",
                  "the first in order that is up: 10.0.0.11 is down"),
        GroupSeen("recursors", "ordered", ("10.0.0.53", "9.9.9.9"), "10.0.0.53",
                  "the first in order, and up"),
    )  # fmt: skip
    watches = tuple(
        WatchSeen(subject, "10.0.0.12", True, TAKEN - ago, changes, instances, healthy, questions)
        for subject, ago, changes, instances, healthy, questions in (
            ("galeradb", 3 * HOUR, 4, 3, 2, 6), ("crowd", 2 * DAY, 0, 2, 2, 3),
            ("icinga-web", 5 * HOUR, 1, 2, 2, 4), ("grafana", 47 * MIN, 0, 1, 1, 2),
            ("web3", 6 * DAY, 31, 24, 24, 9),
        )
    )  # fmt: skip
    return ResolverSeen(
        listening=("127.0.0.1:53", "[::1]:53"), missing=(), domain="consul", groups=groups,
        upstreams=agents + recursors, changes=changes, counters=dict(COUNTERS), in_flight=3,
        cache=CacheSeen(7_312, 401, 20_000), watches=watches, watches_most=500, invalidations=644,
    )  # fmt: skip


def serve(seen: ResolverSeen | None = None, **more: object) -> Snapshot:
    """Return a resolver's process."""
    values = {
        "verb": "serve", "version": "0.3.0", "pid": 4711, "host": "app7.dc1.example.com",
        "started": STARTED, "taken": TAKEN, "phase": "running", "line": "", "ready": True,
        "resolver": seen or resolver(),
    } | more  # fmt: skip
    shown = values["resolver"]
    if isinstance(shown, ResolverSeen):
        values.setdefault("faults", tuple(wrong.with_resolver(shown)))
    return Snapshot(**values)  # type: ignore[arg-type]


def well() -> Snapshot:
    """Return a resolver to which nothing has happened."""
    seen = resolver()
    upstreams = tuple(replace(one, state="up", since=STARTED + 2) for one in seen.upstreams)
    why = "the first in order, and up"
    groups = tuple(replace(one, first=one.members[0], why=why) for one in seen.groups)
    watches = tuple(replace(one, healthy=one.instances) for one in seen.watches)
    return serve(replace(seen, upstreams=upstreams, groups=groups, changes=(), watches=watches))


def minutes(last: Snapshot, seconds: int = 300) -> Iterator[Snapshot]:
    """Yield what was seen each second before it, as clients asked more and less."""
    assert last.resolver is not None
    counters = dict(last.resolver.counters)
    behind = [last]
    for at in range(seconds):
        burst = 55 if 140 < at < 163 else 0
        asked = 61 + 22 * math.sin(at / 23) + 13 * math.sin(at / 5.3) + burst
        queries = round(asked + (at * 37 % 11))
        forwarded = round(queries * (0.09 + 0.05 * math.sin(at / 31) + (0.2 if at > 285 else 0)))
        for name, part in (
            ("queries", queries), ("forwarded", forwarded), ("cached", queries // 9),
            ("joined", queries // 40), ("hot", queries - forwarded - queries // 9 - queries // 40),
        ):  # fmt: skip
            counters[name] -= part
        before = behind[-1]
        assert before.resolver is not None
        behind.append(
            replace(before, taken=before.taken - 1,
                    resolver=replace(before.resolver, counters=dict(counters)))
        )  # fmt: skip
    yield from reversed(behind)


def zones() -> Snapshot:
    """Return a publisher of two zones, one target of which fails."""
    withheld = tuple(f"web{at}.svc.example.com A 10.0.4.{at}" for at in range(21, 33))
    first = ZoneSeen(
        "svc.example.com", "", "active", "dns1.dc1.example.com", TAKEN - 3 * DAY,
        targets=(
            TargetSeen("ns1.example.com", 2026113014, TAKEN - 41, "2 names added, 1 withdrawn",
                       names=118, addresses=263),
            TargetSeen("ns2.example.com", 2026113011, TAKEN - 23 * MIN, "3 names added",
                       "REFUSED: the key svc-update is not allowed to",
                       TAKEN - 22 * MIN,
                       116, 260, withheld, 14),
        ),
        faults=("svc.example.com: REFUSED: the key svc-update is not allowed to",),
        objections_in_all=2, held=1,
    )  # fmt: skip
    second = ZoneSeen(
        "svc.example.com", "dmz", "backup", "dns2.dc1.example.com", TAKEN - 3 * DAY,
        doubt="the last reply of dc1 was not proved",
        targets=(TargetSeen("/etc/bind/db.svc", 118, TAKEN - 2 * HOUR, names=12, addresses=20),),
    )  # fmt: skip
    faults = (*wrong.with_zone(first), *wrong.with_zone(second))
    return Snapshot("zone", "0.3.0", 812, "dns1.dc1.example.com", STARTED, TAKEN, "running", "",
                    True, faults, zones=(first, second),
                    rounds=RoundsSeen("zones", False, TAKEN - 41, TAKEN - 22 * MIN))  # fmt: skip


def records() -> tuple[RecordSeen, ...]:
    """Return names that move: one that has moved, one that is well, one that is not known yet."""
    down = AddressSeen(
        "192.0.2.11", "dc1", 1, False, TAKEN - 4 * MIN, TAKEN - 2, "fail", "HTTP 503", 0.011, 0, 2,
        votes=("site-a: down", "site-b: up"),
    )  # fmt: skip
    up = AddressSeen(
        "198.51.100.11", "dc2", 1, True, TAKEN - DAY, TAKEN - 3, "ok", "HTTP 200", 0.02, 1, 3,
        given=True,
    )  # fmt: skip
    moved = RecordSeen(
        "www.example.com", True, "dc2", 1, ("198.51.100.11",), 12, TAKEN - 4 * MIN,
        "dc2 is well, 1 of 1 up; dc1: HTTP 503", "dc1", TAKEN + 90, "",
        ("www.*/dc1 is down by order of anna: a drill",), (down, up), well=False,
    )  # fmt: skip
    well = replace(moved, name="b.example.com", pool="dc1", place=0, preferred="", back_at=0.0,
                   forces=(), addresses=(up,), well=True)  # fmt: skip
    none = RecordSeen("c.example.com", held="this host's own line is cut", well=False)
    return moved, well, none


def files(failing: bool = False) -> Snapshot:
    """Return a process that keeps files current."""
    rounds = RoundsSeen("/etc/nginx/conf.d/galera.conf", not failing, TAKEN - 3 * HOUR,
                        TAKEN - 4 * MIN if failing else 0.0)  # fmt: skip
    faults = (f"{rounds.what}: the template asks for what Consul does not have",)
    return Snapshot("render", "0.3.0", 913, "web1.dc1.example.com", STARTED, TAKEN, "running", "",
                    not failing, faults if failing else (), rounds=rounds)  # fmt: skip


def clock(at: float) -> str:
    """Return the time of day in Berlin, in winter."""
    passed = int(at + HOUR) % 86_400
    return f"{passed // 3600:02}:{passed // 60 % 60:02}:{passed % 60:02}"
