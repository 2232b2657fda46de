"""What a running resolver would do with a question now, by its own state: nobody is asked.

What belongs here: `net.table.Table.submit` in words. What decides stays there; what is told here is
held to it by tests.
"""

from __future__ import annotations

from typing import Any

from consulfwd.core.ask import Ask
from consulfwd.core.cache import Entry
from consulfwd.core.routes import describe
from consulfwd.core.upstreams import Upstream, all_down
from consulfwd.dns import const
from consulfwd.dns.names import to_text
from consulfwd.net.flight import Flight
from consulfwd.net.resolver import Engine
from consulfwd.ops import cached
from consulfwd.ops.resolver import how


def explain(engine: Engine, ask: Ask) -> dict[str, Any]:
    """Return which rule matches, what is known, who would be asked, and what a client would get.

    | key | |
    |---|---|
    | `name`, `type`, `rule`, `kind`, `then` | the question; the rule, what it falls back to |
    | `cache` | the entry there is (see `cached.tell`), fresh or not, or None |
    | `alias` | what an alias is known to lead to, or None |
    | `watch` | the watch that covers it, or None |
    | `failed` | a failure that counts still: `reason`, `ede`, `seconds` left; or None |
    | `in_flight` | who is being asked for it now: `seconds`, `waiting`, `asked`; or None |
    | `order` | `server`, `state`, `why`, `wait`: for how long (s) until the next is asked too |
    | `deadline` | after how long (s) a client is told that there is no answer |
    | `now` | what a client would get |
    | `moves` | of a name that moves with health: why that is the answer, in lines |
    """
    now = engine.clock.now()
    table = engine.table
    route = ask.route
    told: dict[str, Any] = {
        "name": to_text(ask.name),
        "type": const.type_text(ask.qtype),
        "rule": describe(route),
        "kind": route.kind.value,
        "then": None if route.then is None else describe(route.then),
        "cache": None,
        "alias": None,
        "watch": None,
        "failed": None,
        "in_flight": None,
        "order": [],
        "deadline": 0.0,
        "moves": [],
    }
    here = ask.here()
    if here is not None:
        told["now"] = f"{cached.what(here.message, ask.question)}: answered here"
        if ask.moves is not None:
            told["moves"] = ask.moves.reasons()
        return told
    entry = engine.cache.get(ask.key)
    stale = engine.cache.stale(ask.key, now, ask.sibling)
    plan = () if route.local else _plan(route.next_plan())
    told["cache"] = None if entry is None else cached.tell(ask.key, entry, now)
    told["alias"] = _alias(engine, ask, now)
    told["watch"] = _watch(engine, ask, now)
    told["failed"] = failed = _failed(engine, ask, now, stale)
    told["in_flight"] = flying = _in_flight(engine, ask, now)
    told["order"] = [
        {"server": one.name, "state": one.state.value, "why": why, "wait": one.hedge_after()}
        for one, why in plan
    ]
    told["deadline"] = table.patience([one for one, _ in plan], route, stale)
    told["now"] = _now(ask, entry, stale, told, now, flying, failed, [one for one, _ in plan])
    guard = table.answers.guarding.guard
    if guard is not None and guard.covers(ask):
        told["now"] += "; private addresses would be taken out (rebinding.protect)"
    return told


def _plan(order: tuple[Upstream, ...]) -> list[tuple[Upstream, str]]:
    """Return who would be asked, in order, each with why it comes where it comes."""
    others_up = any(one.up and not one.drained for one in order)
    asked = [one for one in order if not (one.drained and others_up)]
    told = [(one, f"{'first' if one is asked[0] else 'then'}: it {how(one)}") for one in asked]
    held = "taken out for work: asked only when none of the others is up any more"
    return told + [(one, held) for one in order if one not in asked]


def _alias(engine: Engine, ask: Ask, now: float) -> str | None:
    for one in engine.asks.values():
        if one.key == ask.key and one.led is not None and now < one.led.until:
            return cached.what(one.led.message, ask.question)
    return None


def _watch(engine: Engine, ask: Ask, now: float) -> dict[str, Any] | None:
    reuse = engine.reuse
    form = None if reuse is None else reuse.form(ask)
    if reuse is None or form is None:
        return None
    watch = reuse.freshness.watches.get(form.subject)
    if watch is None:
        return None
    departed = reuse.departed(ask, now)
    return {
        "subject": str(watch.subject),
        "carrier": watch.carrier,
        "armed": watch.armed,
        "seconds": round(now - watch.placed_at, 3),
        "instances": watch.size,
        "healthy": watch.healthy,
        "covers": ask.key in watch.keys or ask.key in watch.denied,
        "settles": reuse.freshness.settles(form.subject, now) is not None,
        "left": 0 if departed is None else len(departed.left_at),
    }


def _failed(engine: Engine, ask: Ask, now: float, stale: Entry | None) -> dict[str, Any] | None:
    table = engine.table
    failure = table.answers.failures.holds(ask.key, now, table.health.risen)
    if failure is None or (stale is None and now >= failure.alone_until):
        return None
    until = failure.until if stale is not None else failure.alone_until
    return {"reason": failure.reason, "ede": failure.ede, "seconds": round(until - now, 3)}


def _in_flight(engine: Engine, ask: Ask, now: float) -> dict[str, Any] | None:
    flight = engine.flights.get(ask.key)
    if flight is None:
        return None
    if isinstance(flight, Flight):
        began = flight.started_at
        asked = [one.upstream.name for one in flight.attempts]
    else:
        began, asked = flight.sent_at, [flight.upstream.name]
    return {"seconds": round(now - began, 3), "waiting": flight.waiting(), "asked": asked}


def _now(
    ask: Ask,
    entry: Entry | None,
    stale: Entry | None,
    told: dict[str, Any],
    now: float,
    flying: dict[str, Any] | None,
    failed: dict[str, Any] | None,
    plan: list[Upstream],
) -> str:
    """Return what a client would get, in the order in which it is looked for."""
    if entry is not None and entry.expires_at > now:
        why = "a watch says that it holds" if told["cache"]["state"] == "watched" else "it is fresh"
        return f"{told['cache']['what']}: from the cache, {why}"
    behind = None if stale is None else cached.what(stale.message, ask.question)
    if flying is not None:
        if not flying["waiting"] and behind is not None:
            return f"{behind}: stale, while {', '.join(flying['asked'])} is asked again"
        return f"the answer that {', '.join(flying['asked'])} is being asked for"
    if failed is not None:
        if behind is not None:
            return f"{behind}: stale, as it failed moments ago: {failed['reason']}"
        return f"SERVFAIL: it failed moments ago: {failed['reason']}"
    if not plan:
        return f"SERVFAIL: {ask.route.nobody()}"
    if behind is not None and all_down(plan):
        return f"{behind}: stale, as nobody who could be asked is up"
    first = plan[0]
    if len(plan) < 2 or (plan[1].drained and not first.drained):
        return f"what {first.name} says"
    wait = first.hedge_after() * 1000
    return f"what {first.name} says; after {wait:.0f} ms {plan[1].name} is asked too"
