"""What Consul says of services, nodes, keys and sessions, read from its replies.

What belongs here: the forms of values, and strict readers. Must not know: how anything is asked
for. Pure. Whoever may register a service or write a key chooses the bytes that arrive here:
whatever is not of Consul's form, or could end a line of a configuration, is an error that says so
(ValueError), never a guess.

https://developer.hashicorp.com/consul/api-docs (health, catalog, kv, session)
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ADDRESS = re.compile(r"[A-Za-z0-9._:-]{1,255}")
SESSION_ID = re.compile(r"[0-9A-Fa-f-]{1,64}")
# Control characters, lone surrogates, and what else ends a line.
_ENDS_LINES = frozenset({"Cc", "Cs", "Zl", "Zp"})
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


def instances(parsed: object) -> tuple[ServiceInstance, ...]:
    """Return the instances in /v1/health/service/NAME, of every health, by node and ID."""
    found = [_instance(_object(one, "an instance")) for one in _list(parsed, "the instances")]
    return tuple(sorted(found, key=lambda one: (one.node, one.id, one.address, one.port)))


def _instance(fields: Mapping[str, Any]) -> ServiceInstance:
    node = _node(_object(fields.get("Node"), "Node"))
    service = _object(fields.get("Service"), "Service")
    name = _word(service.get("Service"), "Service")
    what = f"instance of {name[:60]!r} on {node.name[:60]!r}"
    port = service.get("Port", 0)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
        raise ValueError(f"{what}: the port is {port!r}"[:200])
    checks = [_object(one, "a check") for one in _list(fields.get("Checks"), "Checks")]
    statuses = {one.get("Status") for one in checks if isinstance(one.get("Status"), str)}
    # What is not known to be well is not: "maintenance" is critical in Consul's own checks.
    known = [_STATUSES.index(one) if one in _STATUSES else 2 for one in statuses]
    status = _STATUSES[max(known, default=0)]
    weights = _object(service.get("Weights") or {}, "Weights")
    weight = weights.get("Warning" if status == "warning" else "Passing", 1)
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= 65535:
        raise ValueError(f"{what}: the weight is {weight!r}"[:200])
    own = service.get("Address") or ""
    return ServiceInstance(
        name=name,
        id=_word(service.get("ID"), "ID"),
        address=_address(own, what) if own else node.address,
        port=port,
        tags=_tags(service.get("Tags"), what),
        meta=_meta(service.get("Meta"), what),
        node=node.name,
        node_address=node.address,
        datacenter=node.datacenter,
        weight=weight,
        status=status,
    )


def services(parsed: object) -> tuple[Listed, ...]:
    """Return the services in /v1/catalog/services, by name."""
    found = _object(parsed or {}, "the list of services")
    return tuple(
        Listed(
            _word(name, "a service's name"),
            tuple(sorted(_tags(found[name], f"service {name[:60]!r}"))),
        )
        for name in sorted(found)
    )


def nodes(parsed: object) -> tuple[CatalogNode, ...]:
    """Return the nodes in /v1/catalog/nodes, by name."""
    found = [_node(_object(one, "a node")) for one in _list(parsed, "the nodes")]
    return tuple(sorted(found, key=lambda one: (one.name, one.address)))


def one_node(parsed: object) -> CatalogNode | None:
    """Return the node in /v1/catalog/node/NAME, None if there is none."""
    return None if parsed is None else _node(_object(_object(parsed, "").get("Node"), "Node"))


def _node(fields: Mapping[str, Any]) -> CatalogNode:
    name = _word(fields.get("Node"), "a node's name")
    return CatalogNode(
        name=name,
        address=_address(fields.get("Address"), f"node {name[:60]!r}"),
        meta=_meta(fields.get("Meta"), f"node {name[:60]!r}"),
        datacenter=_word(fields.get("Datacenter") or "", "Datacenter"),
    )


def entries(parsed: object) -> dict[str, KeyValue]:
    """Return the entries in /v1/kv/PREFIX?recurse, by key."""
    found = [_entry(_object(one, "an entry")) for one in _list(parsed, "the entries")]
    return {one.key: one for one in sorted(found, key=lambda one: one.key)}


def one_entry(parsed: object) -> KeyValue | None:
    """Return the entry in /v1/kv/KEY, None if there is none."""
    found = list(entries(parsed).values())
    if len(found) > 1:
        raise ValueError("more than one entry for one key")
    return found[0] if found else None


def _entry(fields: Mapping[str, Any]) -> KeyValue:
    key, value = _word(fields.get("Key"), "a key"), fields.get("Value")
    holder = fields.get("Session") or ""
    if not isinstance(holder, str) or (holder and not SESSION_ID.fullmatch(holder)):
        raise ValueError(f"key {key!r}: the session's ID is none")
    try:
        data = base64.b64decode("" if value is None else value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError(f"key {key!r}: the value is not in base64") from None
    return KeyValue(key, data, holder)


def session(parsed: object) -> Session | None:
    """Return the session in /v1/session/info/ID, None if it has ended."""
    found = _list(parsed, "the session")
    if not found:
        return None
    fields = _object(found[0], "the session")
    return Session(_word(fields.get("ID"), "ID"), _word(fields.get("Node"), "Node"))


def datacenters(parsed: object) -> tuple[str, ...]:
    """Return the names in /v1/catalog/datacenters, sorted."""
    found = _list(parsed, "the datacenters")
    return tuple(sorted(_word(one, "a datacenter's name") for one in found))


def _object(thing: object, what: str) -> Mapping[str, Any]:
    if not isinstance(thing, dict):
        raise ValueError(f"{what or 'the reply'} is not of the form Consul's have")
    return thing


def _list(thing: object, what: str) -> list[Any]:
    # Go writes an empty list as null at times.
    if thing is None:
        return []
    if not isinstance(thing, list):
        raise ValueError(f"{what}: not of the form Consul's have")
    return thing


def _word(thing: object, what: str) -> str:
    if not isinstance(thing, str):
        raise ValueError(f"{what} is not a text")
    if not fits_a_line(thing):
        raise ValueError(f"{what} holds control characters: {thing[:60]!r}")
    return thing


def fits_a_line(text: str) -> bool:
    """Return whether a text can stand in a line without ending it, or harming what shows it."""
    return not any(unicodedata.category(one) in _ENDS_LINES for one in text)


def _address(thing: object, what: str) -> str:
    if not isinstance(thing, str) or not _ADDRESS.fullmatch(thing):
        raise ValueError(f"{what}: {str(thing)[:60]!r} is neither an IP address nor a host name")
    return thing


# Whoever is to mend a tag or pair must be told `whose` it is.


def _tags(thing: object, whose: str) -> tuple[str, ...]:
    return tuple(_word(tag, f"a tag of {whose}") for tag in _list(thing, f"Tags of {whose}"))


def _meta(thing: object, whose: str) -> dict[str, str]:
    what = f"Meta of {whose}"
    fields = _object(thing or {}, what)
    return {_word(name, what): _word(fields[name], what) for name in sorted(fields)}
