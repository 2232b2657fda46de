"""What is wrong with a running process: decided here, once, for the picture's `faults`.

Every view has it from there: `status`, the page, `/readyz`, metrics, the log, the service
manager's line, plugins. What belongs here: which states are faults, and their words. What somebody
does with a server on purpose is none; a zone that is paused is, as nothing is published. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from consulfwd.core.states import State
from consulfwd.ops.snapshot import AddressSeen, RecordSeen, ResolverSeen, UpstreamSeen, ZoneSeen

UP = State.UP.value
# Of names that move so many faults are told one by one.
MOST_OF_RECORDS = 20


def not_up(kind: str, name: str, state: str) -> str:
    """Return what is wrong with a server in a state, "" if it is up."""
    return "" if state == UP else f"{kind} {name} is {state}"


def with_server(seen: UpstreamSeen) -> str:
    """Return what is wrong with a server, "" if nothing is or it was taken out for work."""
    if seen.loops:
        return f"{seen.kind} {seen.name} leads back here"
    return "" if seen.drained else not_up(seen.kind, seen.name, seen.state)


def with_servers(seen: ResolverSeen, kind: str) -> list[str]:
    """Return what is wrong with servers of a kind: in one word where none of them is up."""
    those = [one for one in seen.upstreams if one.kind == kind]
    if those and not any(one.state == UP for one in those):
        loops = [with_server(one) for one in those if one.loops]
        return [f"no {kind} is up", *loops]
    return [fault for one in those if (fault := with_server(one))]


def with_resolver(seen: ResolverSeen) -> list[str]:
    """Return what is wrong with a resolver."""
    missing = [f"not listening on {one}" for one in seen.missing]
    return [*missing, *with_servers(seen, "agent"), *with_servers(seen, "recursor")]


def is_ready(seen: ResolverSeen) -> bool:
    """Return whether names of Consul are answered: by an agent, that is, and to somebody."""
    agents = (one for one in seen.upstreams if one.kind == "agent")
    return bool(seen.listening) and any(one.state == UP for one in agents)


def with_zone(seen: ZoneSeen) -> list[str]:
    """Return what is wrong with a zone: whether anybody publishes it, and what hinders that."""
    unpublished = ""
    if seen.state not in ("active", "backup"):
        unpublished = f"the publisher on this host is {seen.state}"
    elif seen.state == "backup" and not seen.holder:
        unpublished = "nobody publishes it"
    return [*([f"{_name(seen)}: {unpublished}"] if unpublished else []), *hinders(seen)]


def hinders(seen: ZoneSeen) -> list[str]:
    """Return what keeps a zone that is published from being as it should."""
    more = [seen.paused] if seen.paused else []
    more += [f"nothing is withdrawn: {seen.doubt}"] if seen.doubt else []
    # Its faults come with its name.
    return [*seen.faults, *(f"{_name(seen)}: {one}" for one in more)]


def with_records(found: Iterable[RecordSeen]) -> list[str]:
    """Return what is wrong with names that move with health."""
    held: dict[str, None] = {}
    faults: list[str] = []
    for one in found:
        if one.held:
            held[f"failover: states are held: {one.held}"] = None
        faults += with_record(one)
    if len(faults) > MOST_OF_RECORDS:
        left = len(faults) - MOST_OF_RECORDS + 1
        faults = [*faults[: MOST_OF_RECORDS - 1], f"failover: {left} more things are wrong"]
    return [*held, *faults]


def with_record(seen: RecordSeen) -> list[str]:
    """Return what is wrong with a name that moves: that it has moved, and who is down."""
    faults = []
    if not seen.known:
        faults.append(f"{seen.name} is not answered yet: {seen.why}")
    elif not seen.pool:
        answer = ", ".join(seen.answer) or "no address"
        faults.append(f"{seen.name} has no pool that is well, and is answered with {answer}")
    elif seen.preferred and not seen.back_at:
        faults.append(
            f"{seen.name} is answered by {seen.pool}: {seen.preferred} is well and waits for an"
            " order"
        )
    elif seen.place > 0 and not seen.preferred and not _put_aside(seen):
        faults.append(f"{seen.name} is answered by {seen.pool}: {seen.why}")
    faults += [
        f"{one.address} ({one.pool} of {seen.name}) is down: {one.reason or one.why}"
        for one in seen.addresses
        if one.up is False and not one.forced
    ]
    return faults


def _put_aside(seen: RecordSeen) -> bool:
    """Return whether people put aside all that would be better than what answers."""
    first = seen.addresses[0].pool if seen.addresses else ""
    those: list[AddressSeen] = [one for one in seen.addresses if one.pool == first]
    return bool(those) and all(one.forced == "down" for one in those)


def _name(seen: ZoneSeen) -> str:
    return f"{seen.zone} (view {seen.view})" if seen.view else seen.zone
