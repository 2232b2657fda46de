"""What is to be seen of a running resolver. Must not know who looks, nor HTTP.

It runs between two queries: it looks at what is there and asks nobody, nor does it change anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from consulfwd.core.durations import BOUNDS
from consulfwd.core.health import Health
from consulfwd.core.order import Group
from consulfwd.core.routes import MOST_SHOWN, Routes
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.net.fastlane import fast
from consulfwd.net.flight import Flight
from consulfwd.net.resolver import Engine
from consulfwd.ops.snapshot import (
    CacheSeen,
    ChangeSeen,
    GroupSeen,
    ResolverSeen,
    TimesSeen,
    UpstreamSeen,
    WatchSeen,
)
from consulfwd.server import Server


def see(server: Server, ahead: float, querylog: str = "") -> ResolverSeen:
    """Return what there is; by `ahead` the time of day is ahead of the engine's clock."""
    engine = server.engine
    routes, table, reuse = engine.table.routes, engine.table, engine.reuse
    now = engine.clock.now()
    barred = reuse.freshness.barred if reuse is not None else set()
    upstreams = shown(routes)
    owed = _owed(engine) if engine.health.drained else {}
    # A group may be there once for each spelling of a domain.
    groups = {
        (one.label, one.members): one
        for one in routes.groups
        if not upstreams.keys().isdisjoint(one.members[:1])
    }.values()
    return ResolverSeen(
        compiled=fast is not None,
        listening=tuple(map(str, server.endpoints)),
        missing=tuple(map(str, server.missing)),
        domain=server.settings.consul.domain,
        groups=tuple(map(_group, groups)),
        upstreams=tuple(_upstream(engine, one, barred, owed, now, ahead) for one in upstreams),
        changes=tuple(ChangeSeen(*one) for one in engine.prober.timeline),
        counters=dict(vars(engine.counters)),
        in_flight=len(table.flights),
        cache=CacheSeen(len(engine.cache), engine.cache.denials, engine.cache.limits.size),
        watches=_watches(engine, ahead),
        watches_most=0 if reuse is None else reuse.freshness.rules.max,
        invalidations=0 if reuse is None else reuse.freshness.invalidations,
        querylog=querylog,
        upstreams_in_all=len(routes.upstreams),
        round_trips=_round_trips(engine.health),
    )


def see_usual(server: Server, ahead: float) -> ResolverSeen:
    """Return as much of it as the one line shows that is asked for all the time."""
    engine = server.engine
    now = engine.clock.now()
    routes = engine.table.routes
    # There may be thousands of others: they are looked through only where one is drained.
    drained = [one for one in routes.upstreams if one.drained] if engine.health.drained else []
    return ResolverSeen(
        compiled=fast is not None,
        listening=tuple(map(str, server.endpoints)),
        missing=tuple(map(str, server.missing)),
        domain=server.settings.consul.domain,
        groups=(),
        upstreams=tuple(
            _upstream(engine, one, set(), {}, now, ahead)
            for one in dict.fromkeys((*routes.usual, *drained))
        ),
        changes=(),
        counters={},
        in_flight=len(engine.table.flights),
        cache=CacheSeen(len(engine.cache), engine.cache.denials, engine.cache.limits.size),
        upstreams_in_all=len(routes.upstreams),
    )


def shown(routes: Routes) -> dict[Upstream, None]:
    """Return the servers that are shown: of thousands a few hundred, and who is not well."""
    found = dict.fromkeys(routes.shown)
    if len(found) < len(routes.upstreams):
        ill = (one for one in routes.upstreams if one.drained or not one.up or one.looped)
        found.update(dict.fromkeys(islice(ill, MOST_SHOWN)))
    return found


def _upstream(
    engine: Engine,
    upstream: Upstream,
    barred: set[str],
    owed: Mapping[Upstream, int],
    now: float,
    ahead: float,
) -> UpstreamSeen:
    prober = engine.prober
    return UpstreamSeen(
        name=upstream.name,
        kind="agent" if upstream.is_agent else "recursor",
        address=upstream.address,
        port=upstream.port,
        transport=upstream.transport,
        state=upstream.state.value,
        since=prober.history.since(upstream, now) + ahead,
        behind=upstream.behind,
        drained=upstream.drained,
        loops=upstream.looped,
        rtt=upstream.srtt or None,
        rtts=engine.pulse.of(upstream),
        sent=upstream.sent,
        changes=upstream.changes,
        barred=upstream.is_agent and upstream.name in barred,
        waiting=owed.get(upstream, 0),
    )


def _round_trips(health: Health) -> tuple[TimesSeen, ...]:
    recursors, agents = health.took
    return (
        TimesSeen("agent", BOUNDS, tuple(agents.counts), agents.seconds),
        TimesSeen("recursor", BOUNDS, tuple(recursors.counts), recursors.seconds),
    )


def _owed(engine: Engine) -> Mapping[Upstream, int]:
    """Return how many questions each drained server still owes a reply."""
    owed: Counter[Upstream] = Counter()
    for flight in engine.flights.values():
        asked = (
            {one.upstream for one in flight.open_attempts()}
            if isinstance(flight, Flight)
            else {flight.upstream}
        )
        owed.update(one for one in asked if one.drained)
    return owed


def _group(group: Group) -> GroupSeen:
    order, turns = group.standing()
    members = tuple(one.name for one in group.members)
    first = order[0].name if order else ""
    return GroupSeen(group.label, group.policy, members, first, _why(group, order, turns))


def _why(group: Group, order: tuple[Upstream, ...], turns: int) -> str:
    """Return why the first in order is asked first."""
    if not order:
        return "all lead back to this server" if group.members else "nobody is configured"
    first = order[0]
    if turns > 1:
        return f"they take turns: {', '.join(one.name for one in order[:turns])}"
    if first.state is not State.UP:
        return f"none is up: this one is {first.state.value}, and asked all the same"
    if first.drained:
        return "taken out for work, but no other is up"
    before = group.preferred()
    passed = [f"{one.name} {how(one)}" for one in before[: before.index(first)]]
    what = "the fastest" if group.policy == "fastest" else "the first in order"
    if len(group.members) == 1:
        what = "the only one"
    return f"{what} that is up: {'; '.join(passed)}" if passed else f"{what}, and up"


def how(upstream: Upstream) -> str:
    """Return how a server is, and what speaks against asking it, for people."""
    if upstream.looped:
        return "leads back to this server"
    if upstream.state is not State.UP:
        return f"is {upstream.state.value}"
    if upstream.drained:
        return "is taken out for work"
    return f"is behind the others ({upstream.behind})" if upstream.behind else "is up"


def _watches(engine: Engine, ahead: float) -> tuple[WatchSeen, ...]:
    if engine.reuse is None:
        return ()
    return tuple(
        WatchSeen(
            subject=str(one.subject),
            carrier=one.carrier,
            armed=one.armed,
            since=one.placed_at + ahead,
            changes=one.changes,
            instances=one.size,
            healthy=one.healthy,
            questions=len(one.keys) + len(one.denied),
        )
        for one in engine.reuse.freshness.watches.values()
    )
