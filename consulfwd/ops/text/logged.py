"""A picture as lines for people: one for the service manager, many for the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consulfwd.ops.snapshot import (
    ResolverSeen,
    RoundsSeen,
    Snapshot,
    TargetSeen,
    UpstreamSeen,
    ZoneSeen,
)
from consulfwd.ops.wrong import with_servers
from consulfwd.words import duration, moment

# Of what is wrong the service manager's line has so much.
FAULTS = 3


def status(seen: ResolverSeen, beside: Sequence[str]) -> str:
    """Return one line: where it listens, how many agents are up, what is wrong besides."""
    agents = [one for one in seen.upstreams if one.kind == "agent"]
    up = sum(one.state == "up" for one in agents)
    where = ", ".join(seen.listening)
    if seen.missing:
        where += f", not on {', '.join(seen.missing)}"
    drained = ", ".join(one.name for one in seen.upstreams if one.drained)
    drained = f"; taken out for work: {drained}" if drained else ""
    # That none is up is said by how many are.
    servers = [*(with_servers(seen, "agent") if up else ()), *with_servers(seen, "recursor")]
    faults = "".join(f"; {fault}" for fault in (*servers, *beside)[:FAULTS])
    return f"listening on {where}; {up} of {len(agents)} agents up{drained}{faults}"


def report(snapshot: Snapshot) -> Iterator[str]:
    """Yield what was done since the start, each upstream or target, and what is wrong."""
    seen = snapshot.resolver
    if seen is None:
        yield snapshot.line
        for one in snapshot.zones:
            for target in one.targets:
                yield f"zone {one.zone} at {_target(target)}"
    else:
        yield from _counters(seen)
        if seen.watches_most:
            yield from _watches(seen, snapshot.taken)
        for upstream in seen.upstreams:
            yield _upstream(upstream, snapshot.taken)
    for fault in snapshot.faults:
        yield f"wrong now: {fault}"


def _counters(seen: ResolverSeen) -> Iterator[str]:
    count = {name: int(value) for name, value in seen.counters.items()}
    opinions = duration(seen.counters["opinion_seconds"])
    yield (
        f"queries {count['queries']}: hot {count['hot']}, cached {count['cached']},"
        f" joined {count['joined']}, forwarded {count['forwarded']};"
        f" stale answers {count['stale']}, failed {count['failed']}"
    )
    yield (
        f"asked upstreams {count['upstream']} times: hedges {count['extra']},"
        f" second opinions {count['second_opinions']} (overruled {count['overruled']},"
        f" waited for {opinions}), false replies {count['false_replies']},"
        f" replies nobody waited for {count['stray_replies']}"
        f" (attempts given up for these {count['evaded']}),"
        f" octets behind a reply {count['trailing']} times"
    )
    if count.get("limited") or count.get("shielded"):
        yield (
            f"over the limits of their clients {count['limited']} queries (told to come by TCP"
            f" {count['slipped']}), not asked about unknown names {count['shielded']}"
        )
    yield f"answers in the cache {seen.cache.entries}, queries in flight {seen.in_flight}"


def _upstream(seen: UpstreamSeen, taken: float) -> str:
    usual = "never replied" if seen.rtt is None else f"replies in {seen.rtt * 1000:.1f} ms"
    more = f"{seen.sent} times"
    more += f"; ranked behind the others: {seen.behind}" if seen.behind else ""
    more += "; taken out for work" if seen.drained else ""
    more += "; no watches there" if seen.barred else ""
    more += "; leads back to this server" if seen.loops else ""
    lasted = duration(taken - seen.since)
    return f"{seen.kind} {seen.name}: {seen.state} for {lasted}, {usual}, asked {more}"


def _watches(seen: ResolverSeen, taken: float) -> Iterator[str]:
    yield (
        f"watches {len(seen.watches)} of {seen.watches_most} at most; answers reused past their"
        f" TTL {int(seen.counters['reused'])}, dropped for a change {seen.invalidations}"
    )
    for watch in seen.watches:
        armed = "armed" if watch.armed else "not armed"
        yield (
            f"watch of {watch.subject} at {watch.carrier}: {armed} for"
            f" {duration(taken - watch.since)}; changes {watch.changes}, instances"
            f" {watch.instances} (healthy {watch.healthy}), questions {watch.questions}"
        )


def _target(seen: TargetSeen) -> str:
    pushed = f", {seen.what}" if seen.what else ""
    words = [f"serial {seen.serial}"] if seen.serial is not None else []
    words += [f"pushed last {moment(seen.pushed)}{pushed}"] if seen.pushed else ["never pushed to"]
    words += [f"names {seen.names}, addresses {seen.addresses}, withheld {seen.withheld_in_all}"]
    words += [f"since {moment(seen.failing_since)} {seen.fault}"] if seen.fault else []
    return f"{seen.where}: {'; '.join(words)}"


def rounds(
    began: float, seen: RoundsSeen, faults: Sequence[str], beside: Sequence[str]
) -> str:
    """Return one line: what is kept current, since when, what fails, what is wrong beside."""
    line = f"{seen.what} since {moment(began)}; "
    if faults:
        first, *others = faults
        more = f" (and {len(others)} more, see the log)" if others else ""
        line += f"since {moment(seen.failing_since)} {first}{more}"
    elif not seen.in_force:
        line += "not yet known to be in force"
    else:
        line += "all in force"
        line += f", written last {moment(seen.wrote)}" if seen.wrote else ""
    return line + "".join(f"; {one}" for one in beside)


def zone(name: str, seen: ZoneSeen) -> str:
    """Return in a few words how it goes with a zone."""
    serials = [one.serial for one in seen.targets if one.serial is not None]
    withheld = sum(one.withheld_in_all for one in seen.targets)
    words = [seen.state]
    words += [f"serial {serials[0]}"] if serials and seen.state == "active" else []
    words += [f"{withheld} withheld"] if withheld else []
    words += [seen.paused] if seen.paused else []
    return f"{name} ({', '.join(words)})"
