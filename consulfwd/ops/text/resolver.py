"""A resolver as text for people: who is asked and how they are, the cache, watches, counters.

Pure; nothing here decides what is well.
"""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.ops.snapshot import ChangeSeen, ResolverSeen, Snapshot, UpstreamSeen
from consulfwd.ops.text.lines import (
    Line,
    Mood,
    ago,
    clock,
    count,
    milliseconds,
    rate,
    rows,
    several,
)

# Of changes the newest are shown, but for who wants all.
LAST = 6
# The counters that have a column of their own; others are told where there is something to tell.
COLUMNS = ("queries", "hot", "cached", "reused", "joined", "forwarded", "stale", "failed")
# Further ones in words, by their names.
WORDS = {
    "extra": "hedges",
    "second_opinions": "second opinions",
    "overruled": "overruled by them",
    "false_replies": "false replies",
    "stray_replies": "replies nobody waited for",
    "evaded": "attempts given up for those",
    "trailing": "octets behind a reply",
    "limited": "over the limits of their clients",
    "slipped": "told to come by TCP",
    "shielded": "about unknown names, not asked",
    "cookies": "queries with a cookie",
    "right_cookies": "cookies of ours",
    "wrong_cookies": "wrong cookies",
    "rebinding": "answers that lost private addresses",
    "upstream": "asked of upstreams",
}
# Seconds in all; of no use beside counts.
LEFT_OUT = {"opinion_seconds"}


def resolver_lines(now: Snapshot, before: Snapshot | None, whole: bool) -> Iterator[Line]:
    """Yield the lines of a resolver; rates since a picture `before`, all there is if `whole`."""
    seen = now.resolver
    if seen is None:
        return
    # Where it listens is in its line.
    yield from _upstreams(seen, "agent", now.taken)
    yield from _upstreams(seen, "recursor", now.taken)
    if (left := seen.upstreams_in_all - len(seen.upstreams)) > 0:
        yield "dim", f"  (and {several(left, 'more server')} of zones)"
    yield from _groups(seen)
    yield from _counters(now, before)
    yield from _kept(seen)
    yield from _workers(now)
    if whole:
        yield from _watches(seen, now.taken)
    yield from _changes(seen, now.taken, None if whole else LAST)


def _upstreams(seen: ResolverSeen, kind: str, now: float) -> Iterator[Line]:
    found = [one for one in seen.upstreams if one.kind == kind]
    header = (f"{kind}s", "state", "since", "rtt", "asked", "")
    yield from rows(header, ((mood_of(one), _cells(one, now)) for one in found))


def state_of(one: UpstreamSeen) -> str:
    """Return how a server is, in a word or two."""
    if one.loops:
        return "leads back here"
    return f"{one.state}, drained" if one.drained else one.state


def mood_of(one: UpstreamSeen) -> Mood:
    """Return how that is to be shown."""
    if one.loops or one.state == "down":
        return "bad"
    return "plain" if one.state == "up" and not one.behind and not one.drained else "warn"


def _cells(one: UpstreamSeen, now: float) -> tuple[str, ...]:
    over = "" if one.transport in ("udp", "") else f"over {one.transport.upper()}"
    behind = f"asked behind the others: {one.behind}" if one.behind else ""
    barred = "no watches there" if one.barred else ""
    said = "; ".join(each for each in (over, behind, barred) if each)
    return (one.name, state_of(one), ago(one.since, now), milliseconds(one.rtt), count(one.sent),
            said)  # fmt: skip


def _groups(seen: ResolverSeen) -> Iterator[Line]:
    header = ("who is asked", "policy", "first", "")
    found = ((_mood(one.first), (one.label, one.policy, one.first or "nobody", one.why))
             for one in seen.groups)  # fmt: skip
    yield from rows(header, found)


def _mood(first: str) -> Mood:
    return "plain" if first else "bad"


def _counters(now: Snapshot, before: Snapshot | None) -> Iterator[Line]:
    seen = now.resolver
    assert seen is not None
    there = [name for name in COLUMNS if name in seen.counters]
    if not there:
        return
    lines: list[tuple[Mood, tuple[str, ...]]] = [
        ("plain", ("since its start", *(count(seen.counters[name]) for name in there)))
    ]
    rates = rates_of(now, before)
    if rates is not None:
        lines.append(("plain", ("in a second", *(rate(rates.get(name, 0)) for name in there))))
    yield from rows(("counters", *there), lines)
    more = {name: number for name, number in seen.counters.items()
            if number and name not in COLUMNS and name not in LEFT_OUT}  # fmt: skip
    if more:
        told = (f"{WORDS.get(name, name.replace('_', ' '))} {count(number)}"
                for name, number in more.items())  # fmt: skip
        yield "plain", f"  {', '.join(told)}"


def rates_of(now: Snapshot, before: Snapshot | None) -> dict[str, float] | None:
    """Return what was counted in a second since a picture of the same process, if there is one."""
    if before is None or before.resolver is None or now.resolver is None:
        return None
    apart = now.taken - before.taken
    if (before.pid, before.started) != (now.pid, now.started) or apart <= 0:
        return None
    old = before.resolver.counters
    return {name: max(number - old.get(name, 0), 0) / apart
            for name, number in now.resolver.counters.items()}  # fmt: skip


def _kept(seen: ResolverSeen) -> Iterator[Line]:
    if seen.querylog:
        yield "plain", f"  query log: {seen.querylog}"
    full = f"{several(seen.cache.entries, 'answer')} of {count(seen.cache.size)} at most"
    denials = f", {count(seen.cache.denials)} of them denials" if seen.cache.denials else ""
    flying = f"; {several(seen.in_flight, 'question')} in flight"
    yield "plain", f"  cache: {full}{denials}{flying}"
    if not seen.watches_most:
        yield "plain", "  watches: none, changes in Consul are seen when answers expire"
        return
    armed = sum(one.armed for one in seen.watches)
    # Those that are not armed are new, or their agent is gone.
    behind = len(seen.watches) - armed
    late = f", {count(behind)} not in force yet" if behind else ""
    dropped = f"; answers dropped for a change: {count(seen.invalidations)}"
    yield "plain", f"  watches: {count(armed)} of {count(seen.watches_most)} at most{late}{dropped}"


def _workers(now: Snapshot) -> Iterator[Line]:
    header = ("workers", "pid", "for", "queries", "")
    found: Iterator[tuple[Mood, tuple[str, ...]]] = (
        (
            "plain" if one.answers else "warn",
            (str(one.number), str(one.pid), ago(one.since, now.taken), count(one.queries),
             "" if one.answers else "does not answer yet"),
        )
        for one in now.workers
    )  # fmt: skip
    yield from rows(header, found)
    if now.workers_replaced:
        yield "plain", f"  workers replaced since the start: {now.workers_replaced}"


def _watches(seen: ResolverSeen, now: float) -> Iterator[Line]:
    header = ("watched", "at", "for", "changes", "healthy", "questions", "")
    found: Iterator[tuple[Mood, tuple[str, ...]]] = (
        (
            "plain" if one.armed else "warn",
            (one.subject, one.carrier, ago(one.since, now), count(one.changes),
             f"{count(one.healthy)} of {count(one.instances)}", count(one.questions),
             "" if one.armed else "not yet"),
        )
        for one in seen.watches
    )  # fmt: skip
    yield from rows(header, found)


def _changes(seen: ResolverSeen, now: float, most: int | None) -> Iterator[Line]:
    newest = sorted(seen.changes, key=lambda one: one.at, reverse=True)
    header = ("changes", "ago", "", "", "")
    yield from rows(header, (("plain", _change(one, now)) for one in newest[:most]))
    left = len(newest) - len(newest[:most])
    if left:
        yield "dim", f"  (and {left} before those: --all)"


def _change(one: ChangeSeen, now: float) -> tuple[str, ...]:
    return clock(one.at, now), ago(one.at, now), f"{one.kind} {one.server}", change_of(one), one.why


def change_of(one: ChangeSeen) -> str:
    """Return what became of a server: its states, or its place among the others."""
    if one.before == one.after:
        return "ranked anew"
    return f"{one.before} -> {one.after}"
