"""All instances of a datacenter at once: what one reply says of very many services.

What belongs here: how it is asked for, and read. Must not know: what is followed, zones. There is
one request that says it all, though by node (what Consul's own pages are made of); each service is
read from it as its own reply would be, and is looked at by that in its turn. Where it cannot be had
each is asked for by itself, which takes ten times as long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from consulfwd.consul import strict, values
from consulfwd.consul.facts import Fact, Reading
from consulfwd.consul.health import Entry
from consulfwd.consul.reply import Reply
from consulfwd.zones.reading import Instances
from consulfwd.zones.seen import Seen

# Of fewer services each is asked for by itself.
FEW = 100
PATH = "/v1/internal/ui/nodes"
# So many octets at most: 100,000 instances. It takes Consul a second.
LIMIT, TIMEOUT = 64 << 20, 30.0
# Of so many services the first one that has instances says how the datacenter is called.
ASKED = 5


Sleep = Callable[[float], Awaitable[None]]


class Ask(Protocol):
    """What asks the agents; raises ConsulError."""

    def __call__(
        self, path: str, params: Mapping[str, str], *, timeout: float, limit: int
    ) -> Awaitable[Reply]:
        """Return the reply to GET `path`."""


async def label(ask: Ask, wanted: Collection[Instances]) -> str:
    """Return how the datacenter of these services is called, "" where none says so.

    Raises ConsulError or ValueError.
    """
    for fact in list(wanted)[:ASKED]:
        if fact.datacenter:
            return fact.datacenter
        reply = await ask(fact.path, fact.params, timeout=TIMEOUT, limit=LIMIT)
        for one in fact.read(reply.json()):
            return one.whose.datacenter
    return ""


async def everything(ask: Ask, datacenter: str, *, stale: bool = False) -> Reply:
    """Return the reply that says it all: the leader's, or any server's. Raises ConsulError."""
    params = {"dc": datacenter} if datacenter else {}
    params |= {"stale": ""} if stale else {}
    return await ask(PATH, params, timeout=TIMEOUT, limit=LIMIT)


class Whole(NamedTuple):
    """What it says of each service that has instances; and a digest of when they were written."""

    readings: dict[Fact, Reading]
    written: dict[str, int]


def read(reply: Reply, wanted: Collection[Instances], label: str) -> Whole:
    """Return what it says of these services. Raises ValueError where it is not of Consul's form."""
    # Consul's own reply for a service has those of all whose names differ in case alone.
    facts: dict[str, list[Instances]] = {}
    for fact in wanted:
        facts.setdefault(fact.name.lower(), []).append(fact)
    seen: dict[str, list[Seen]] = {}
    left_out: dict[str, list[str]] = {}
    digests: dict[str, int] = {}
    for node in _nodes(reply):
        checks = [strict.mapping(one, "a check") for one in strict.listed(node.get("Checks"), "")]
        of_node = [one for one in checks if not one.get("ServiceID")]
        by_id: dict[object, list[Mapping[str, Any]]] = {}
        for one in checks:
            if one.get("ServiceID"):
                by_id.setdefault(one["ServiceID"], []).append(one)
        here = {**node, "Datacenter": label}
        for name, service in _services(node):
            alike = facts.get(name.lower(), ())
            if alike:
                _note(digests, node, name, service)
            for fact in alike:
                entry = Entry({}, here, service, [*of_node, *by_id.get(service.get("ID"), ())])
                found = values.usable(
                    [entry], fact.seen, "instance", left_out.setdefault(fact.name, []).append
                )
                seen.setdefault(fact.name, []).extend(found)
    found_of: dict[Fact, Reading] = {
        fact: fact.reading_of(
            tuple(sorted(seen[fact.name], key=lambda one: one.whose)), left_out[fact.name]
        )
        for several in facts.values()
        for fact in several
        if seen.get(fact.name)
    }
    return Whole(found_of, digests)


def written(reply: Reply) -> dict[str, int]:
    """Return, by service, a digest of when its instances were written.

    Raises ValueError where it is not of Consul's form.
    """
    found: dict[str, int] = {}
    for node in _nodes(reply):
        for name, service in _services(node):
            _note(found, node, name, service)
    return found


def _note(
    found: dict[str, int], node: Mapping[str, Any], name: str, service: Mapping[str, Any]
) -> None:
    which = str(node.get("Node")), str(node.get("Address")), str(service.get("ID"))
    found[name] = found.get(name, 0) ^ hash((which, str(service.get("ModifyIndex"))))


def _nodes(reply: Reply) -> Iterator[Mapping[str, Any]]:
    for element in reply.elements():
        node = strict.mapping(element, "a node")
        # Those of another cluster are asked for as such.
        if not node.get("PeerName"):
            yield node


def _services(node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for thing in strict.listed(node.get("Services"), "the services of a node"):
        service = strict.mapping(thing, "a service")
        name = service.get("Service")
        if isinstance(name, str) and not service.get("PeerName"):
            yield name, service
