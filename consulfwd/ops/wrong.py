"""What is wrong with a running process: decided here, once, for the picture's `faults`.

Every view has it from there: `status`, the page, `/readyz`, metrics, the log, the service
manager's line, plugins. What belongs here: which states are faults, and their words. What somebody
does with a server on purpose is none; a zone that is paused is, as nothing is published. Pure.
"""

from __future__ import annotations

from consulfwd.core.states import State
from consulfwd.ops.snapshot import ResolverSeen, UpstreamSeen, ZoneSeen

UP = State.UP.value


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


def _name(seen: ZoneSeen) -> str:
    return f"{seen.zone} (view {seen.view})" if seen.view else seen.zone
