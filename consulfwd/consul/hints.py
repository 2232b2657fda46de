"""What tells which service to look at: whose checks are bad, how many instances each service has.

What belongs here: such replies read, and what differs from one to the next. Must not know: how they
are asked for, who looks. Pure. Nothing is believed because of them, so nothing is refused for what
strangers wrote: a hint too many costs one look, and one that is missing is made up for by looking
at all services in turn.

https://developer.hashicorp.com/consul/api-docs/health#list-checks-in-state
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from consulfwd.consul import strict
from consulfwd.consul.strict import LeftOut, ignore

# Those in which an instance counts as something else than passing.
STATES = ("critical", "warning")
# Of how many instances each service has; it does block, but wakes for whatever there is.
COUNTS = "/v1/internal/ui/services"
# What such a reply says of a service that changes with its instances. `Nodes` is there before 1.9.
_COUNTED = ("InstanceCount", "ChecksPassing", "ChecksWarning", "ChecksCritical", "Nodes")


class Checked(NamedTuple):
    """Whose a check is; `service` is "" for one of the node, and so of all that is on it."""

    node: str
    service: str
    check: str


def checks(parsed: object, left_out: LeftOut = ignore) -> tuple[Checked, ...]:
    """Return whose checks are in /v1/health/state/STATE, sorted. Raises ValueError for no list."""
    return tuple(sorted({one for one in map(_checked, strict.listed(parsed, "checks")) if one}))


def counts(parsed: object) -> dict[str, int]:
    """Return a digest of what COUNTS says of each service, by name.

    Raises ValueError where it is not of that form.
    """
    found: dict[str, int] = {}
    for one in strict.listed(parsed, "the services"):
        fields = strict.mapping(one, "a service")
        name = fields.get("Name")
        if isinstance(name, str):
            said = tuple(str(fields.get(each)) for each in _COUNTED)
            # There may be several of one name, such as other clusters' beside our own.
            found[name] = found.get(name, 0) ^ hash((name, said))
    return found


def differing(before: Mapping[str, int], now: Mapping[str, int]) -> Iterator[str]:
    """Yield the names of the services of which something else is said."""
    if before != now:
        for name in before.keys() | now.keys():
            if before.get(name) != now.get(name):
                yield name


def _checked(thing: object) -> Checked | None:
    if not isinstance(thing, dict):
        return None
    node, service, check = thing.get("Node"), thing.get("ServiceName") or "", thing.get("CheckID")
    if not (isinstance(node, str) and isinstance(service, str) and isinstance(check, str)):
        return None
    return Checked(node, service, check)
