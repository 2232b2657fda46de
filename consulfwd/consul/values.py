"""What Consul says of services, nodes, keys and sessions, read from its replies.

What belongs here: the forms of values, and how they are read. What may pass at all is in `strict`.
Must not know: how anything is asked for. Pure. Whoever may register a service or write a key
chooses the bytes that arrive here: whatever is not of Consul's form is an error that says so
(ValueError), never a guess. What a stranger can write into one registration, or one key, costs no
more than that: where it could end a line of a configuration, it is left out, and told.

https://developer.hashicorp.com/consul/api-docs (health, catalog, kv, session)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from consulfwd.consul import health, strict
from consulfwd.consul.health import Entry
from consulfwd.consul.strict import LeftOut, OddText, ignore

Read = TypeVar("Read")

SESSION_ID = re.compile(r"[0-9A-Fa-f-]{1,64}")
_STATUSES = ("passing", "warning", "critical")


class Located:
    """What has an `address`."""

    __slots__ = ()
    address: str

    @property
    def host(self) -> str:
        """The address as it stands before a colon and a port: IPv6 in brackets."""
        return f"[{self.address}]" if ":" in self.address else self.address


@dataclass(frozen=True)
class ServiceInstance(Located):
    """One instance of a service. `address` is its own, or else its node's (`node_address`).

    `status` is the worst of its checks: passing, warning, critical. `weight` is that for passing,
    or for warning while it is that. Tags in the order they were registered in.
    """

    name: str
    id: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: Mapping[str, str]
    node: str
    node_address: str
    datacenter: str
    weight: int
    status: str


@dataclass(frozen=True)
class Listed:
    """A service in the list of all, with the tags that any of its instances has, sorted."""

    name: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class CatalogNode(Located):
    """A node of the catalog."""

    name: str
    address: str
    meta: Mapping[str, str]
    datacenter: str


@dataclass(frozen=True)
class KeyValue:
    """What a key holds, and the session that holds the key ("" is nobody)."""

    key: str
    data: bytes
    session: str = ""

    def text(self) -> str:
        """Return the value as text. Raises ValueError if it is not UTF-8."""
        try:
            return self.data.decode()
        except UnicodeDecodeError:
            raise ValueError(f"the value of the key {self.key!r} is not UTF-8 text") from None


@dataclass(frozen=True)
class Session:
    """A session, and the node it belongs to."""

    id: str
    node: str


def usable(
    listed: Iterable[Any], read: Callable[[Any], Read], what: str, left_out: LeftOut
) -> list[Read]:
    """Return what is read of each; of one that strangers wrote oddly only `left_out` hears."""
    found: list[Read] = []
    for one in listed:
        try:
            found.append(read(one))
        except OddText as error:
            left_out(f"{error}: that {what} is left out")
    return found


def instances(parsed: object, left_out: LeftOut = ignore) -> tuple[ServiceInstance, ...]:
    """Return the instances in /v1/health/service/NAME, of every health, by node and ID."""
    found = usable(health.entries(parsed), instance, "instance", left_out)
    return tuple(sorted(found, key=lambda one: (one.node, one.id, one.address, one.port)))


def instance(entry: Entry) -> ServiceInstance:
    """Return one instance. Raises OddText for what a stranger must not write, or ValueError."""
    node, service = _node(entry.node), entry.service
    name = strict.word(service.get("Service"), "Service")
    what = f"instance of {name[:60]!r} on {node.name[:60]!r}"
    port = strict.number(service.get("Port", 0), f"{what}: the port")
    statuses = {one for one in entry.statuses if isinstance(one, str)}
    # What is not known to be well is not: "maintenance" is critical in Consul's own checks.
    known = [_STATUSES.index(one) if one in _STATUSES else 2 for one in statuses]
    status = _STATUSES[max(known, default=0)]
    weights = strict.mapping(service.get("Weights") or {}, "Weights")
    known_weight = weights.get("Warning" if status == "warning" else "Passing", 1)
    weight = strict.number(known_weight, f"{what}: the weight")
    own = entry.own_address
    return ServiceInstance(
        name=name,
        id=strict.word(service.get("ID"), f"the ID of {what}"),
        address=strict.address(own, what) if own else node.address,
        port=port,
        tags=strict.tags(service.get("Tags"), what),
        meta=strict.pairs(service.get("Meta"), what),
        node=node.name,
        node_address=node.address,
        datacenter=node.datacenter,
        weight=weight,
        status=status,
    )


def services(parsed: object, left_out: LeftOut = ignore) -> tuple[Listed, ...]:
    """Return the services in /v1/catalog/services, by name."""
    listed = strict.mapping(parsed or {}, "the list of services")

    def read(name: str) -> Listed:
        strict.word(name, "a service's name")
        # A tag may be one instance's alone: the others need not suffer for it.
        tags = strict.tags(listed[name], f"service {name[:60]!r}", left_out)
        return Listed(name, tuple(sorted(tags)))

    return tuple(usable(sorted(listed), read, "service", left_out))


def nodes(parsed: object, left_out: LeftOut = ignore) -> tuple[CatalogNode, ...]:
    """Return the nodes in /v1/catalog/nodes, by name."""

    def read(one: object) -> CatalogNode:
        return _node(strict.mapping(one, "a node"))

    found = usable(strict.listed(parsed, "the nodes"), read, "node", left_out)
    return tuple(sorted(found, key=lambda one: (one.name, one.address)))


def one_node(parsed: object, left_out: LeftOut = ignore) -> CatalogNode | None:
    """Return the node in /v1/catalog/node/NAME, None if there is none."""
    if parsed is None:
        return None
    return _node(strict.mapping(strict.mapping(parsed, "").get("Node"), "Node"), left_out)


def _node(fields: Mapping[str, Any], left_out: LeftOut | None = None) -> CatalogNode:
    name = strict.word(fields.get("Node"), "a node's name")
    return CatalogNode(
        name=name,
        address=strict.address(fields.get("Address"), f"node {name[:60]!r}"),
        meta=strict.pairs(fields.get("Meta"), f"node {name[:60]!r}", left_out),
        datacenter=strict.word(fields.get("Datacenter") or "", "Datacenter"),
    )


def entries(parsed: object, left_out: LeftOut = ignore) -> dict[str, KeyValue]:
    """Return the entries in /v1/kv/PREFIX?recurse, by key."""

    def read(one: object) -> KeyValue:
        return _entry(strict.mapping(one, "an entry"))

    found = usable(strict.listed(parsed, "the entries"), read, "key", left_out)
    return {one.key: one for one in sorted(found, key=lambda one: one.key)}


def one_entry(parsed: object, left_out: LeftOut = ignore) -> KeyValue | None:
    """Return the entry in /v1/kv/KEY, None if there is none."""
    found = strict.listed(parsed, "the entries")
    if len(found) > 1:
        raise ValueError("more than one entry for one key")
    return _entry(strict.mapping(found[0], "an entry")) if found else None


def _entry(fields: Mapping[str, Any]) -> KeyValue:
    key, value = strict.word(fields.get("Key"), "a key"), fields.get("Value")
    holder = fields.get("Session") or ""
    if not isinstance(holder, str) or (holder and not SESSION_ID.fullmatch(holder)):
        raise ValueError(f"key {key!r}: the session's ID is none")
    try:
        data = base64.b64decode("" if value is None else value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError(f"key {key!r}: the value is not in base64") from None
    return KeyValue(key, data, holder)


def session(parsed: object, left_out: LeftOut = ignore) -> Session | None:
    """Return the session in /v1/session/info/ID, None if it has ended."""
    found = strict.listed(parsed, "the session")
    if not found:
        return None
    fields = strict.mapping(found[0], "the session")
    return Session(strict.word(fields.get("ID"), "ID"), strict.word(fields.get("Node"), "Node"))


def datacenters(parsed: object, left_out: LeftOut = ignore) -> tuple[str, ...]:
    """Return the names in /v1/catalog/datacenters, sorted."""
    found = strict.listed(parsed, "the datacenters")
    return tuple(sorted(strict.word(one, "a datacenter's name") for one in found))
