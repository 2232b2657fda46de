"""What DNS can show of a reply of the catalog: the rest may change without any answer changing.

What belongs here: which fields count, and a digest of them; the entries of a reply (`health`) as
DNS sees them. Must not know: how a reply was got, what is done when it changed. Pure. A field is
left out only when no DNS answer depends on it; a change seen where there is none costs one
question, one overlooked would be a wrong answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Any

from consulfwd.consul import strict
from consulfwd.consul.health import Entry, entries
from consulfwd.core.settling import Instance
from consulfwd.dns.names import from_text
from consulfwd.errors import WireError

# When a thing was written, by Raft's count.
_WRITTEN = frozenset({"CreateIndex", "ModifyIndex"})
# What a check says for people changes with each run.
_FOR_PEOPLE = frozenset({"Notes", "Output"})
# Made once: that takes as long as it does to write down a check.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Content:
    """How many instances (or nodes) there are, and a digest of what DNS shows of them.

    `healthy` is how many of them DNS may name: those without a critical check.
    """

    size: int
    digest: bytes
    healthy: int


def service(parsed: object) -> Content:
    """Return the content of /v1/health/service/<name>, whatever order it is in.

    Raises ValueError when it is not of that form.
    """
    return of(entries(parsed))


def of(listed: Sequence[Entry]) -> Content:
    """Return the content of such entries. Raises ValueError where one is nested too deep."""
    healthy = sum(map(_healthy, listed))
    return _content([_counting(one) for one in listed], healthy)


class Reader:
    """Reads what a watch of a service hears, and keeps the entries of the last reply for a while.

    Where something has changed, who is healthy is wanted next: reading all of it again for that
    would take as long again.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] | None = None

    def content(self, parsed: object) -> Content:
        """Return the content of a reply. Raises ValueError when it is not of Consul's form."""
        self._entries = entries(parsed)
        return of(self._entries)

    def take(self) -> list[Entry] | None:
        """Return the entries that were read last, once; None where nothing was read since."""
        found, self._entries = self._entries, None
        return found


def node(parsed: object) -> Content:
    """Return the content of /v1/catalog/node/<name>, null when there is none.

    A node's services are left out: its names show its address and its metadata. Raises
    ValueError when it is not of that form.
    """
    if parsed is None:
        return _content([], 0)
    found = strict.mapping(strict.mapping(parsed, "a node").get("Node"), "Node")
    return _content([_without(found, _WRITTEN)], 1)


def _counting(one: Entry) -> Mapping[str, object]:
    """Return what counts of an entry: all but what is known never to show."""
    checks = [_canonical(_without(check, _WRITTEN | _FOR_PEOPLE)) for check in one.checks]
    return {
        **one.fields,
        "Node": _without(one.node, _WRITTEN),
        "Service": _without(one.service, _WRITTEN),
        "Checks": sorted(checks),
    }


def _healthy(one: Entry) -> bool:
    return "critical" not in one.statuses


def _without(thing: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, object]:
    return {name: value for name, value in thing.items() if name not in names}


def _canonical(thing: object) -> str:
    try:
        return _ENCODER.encode(thing)
    except RecursionError:
        raise ValueError("the reply is nested too deep") from None


def _content(parts: Iterable[Mapping[str, object]], healthy: int) -> Content:
    lines = sorted(map(_canonical, parts))
    digest = hashlib.blake2b(digest_size=16)
    for line in lines:
        # Text of JSON has no line breaks.
        digest.update(line.encode() + b"\n")
    return Content(len(lines), digest.digest(), healthy)


def instances(parsed: object) -> frozenset[Instance]:
    """Return the healthy instances in /v1/health/service/<name>, as DNS shows them.

    Raises ValueError when it is not of that form.
    """
    return shown(entries(parsed))


def shown(listed: Iterable[Entry]) -> frozenset[Instance]:
    """Return the healthy instances among such entries. Raises ValueError, too."""
    return frozenset(_shown(one) for one in listed if _healthy(one))


def _shown(entry: Entry) -> Instance:
    """Return an instance as Consul's DNS shows it, tagged addresses and all."""
    node, service = entry.node, entry.service
    own, of_node = _Addresses(service), _Addresses(node)
    name = _labels(f"{node.get('Node')}.node.{node.get('Datacenter')}")
    any_own, any_node = own.best("lan_ipv6", "lan_ipv4"), of_node.best("lan_ipv6", "lan_ipv4")
    host = _packed(any_own or any_node)
    by_address = bool(any_own) or any_node != of_node.plain
    ipv4 = _packed(own.best("lan_ipv4") or of_node.best("lan_ipv4"))
    ipv6 = _packed(own.best("lan_ipv6") or of_node.best("lan_ipv6"))
    # An address that is none is a name, which Consul answers with in ways of its own.
    odd = not (host and ipv4 and ipv6) or own.translated or of_node.translated
    by_host = _labels(f"{host.hex()}.addr.{node.get('Datacenter')}")
    statuses = set(map(str, entry.statuses))
    port = service.get("Port")
    return Instance(
        node=name,
        target=b"" if odd else by_host if by_address else name,
        host=host,
        ipv4=b"" if odd or len(ipv4) != 4 else ipv4,
        ipv6=b"" if odd or len(ipv6) != 16 else ipv6,
        # As Consul makes one of any number.
        port=port & 0xFFFF if isinstance(port, int) else 0,
        tags=frozenset(str(tag).lower() for tag in strict.listed(service.get("Tags"), "Tags")),
        weight=_weight(service, statuses),
        passing=statuses <= {"passing"},
        odd=odd,
    )


def _weight(service: Mapping[str, Any], statuses: set[str]) -> int:
    if not statuses <= {"passing", "warning"}:
        return 1
    name = "Warning" if "warning" in statuses else "Passing"
    weight = strict.mapping(service.get("Weights") or {}, "Weights").get(name)
    return weight if isinstance(weight, int) and 0 <= weight < 65536 else 1


class _Addresses:
    """The addresses of a node or a service: `plain`, and those by tag.

    `translated` says that the plain one may be another datacenter's, put there for the WAN
    (`translate_wan_addrs`): DNS then takes other tags than HTTP lets see.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.plain = str(fields.get("Address") or "")
        tagged = strict.mapping(fields.get("TaggedAddresses") or {}, "TaggedAddresses")
        self._tagged = {tag: _address(one) for tag, one in tagged.items()}
        wan = {one for tag, one in self._tagged.items() if tag.startswith("wan")}
        lan = {one for tag, one in self._tagged.items() if tag.startswith("lan")}
        self.translated = self.plain in wan and wan != lan

    def best(self, *tags: str) -> str:
        """Return the address of the first of these tags there is, else the plain one."""
        return next((self._tagged[tag] for tag in tags if self._tagged.get(tag)), self.plain)


def _address(tagged: object) -> str:
    """A node's tagged addresses are texts, those of a service have a port beside them."""
    return str(tagged.get("Address") or "") if isinstance(tagged, dict) else str(tagged)


def _packed(text: str) -> bytes:
    """Return an address as Go reads it: IPv4 in IPv6 is IPv4; b"" for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        return b""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return b""
        address = address.ipv4_mapped or address
    return address.packed


def _labels(text: str) -> bytes:
    """Return the wire form of a name without its end, b"" if it is none."""
    try:
        return from_text(text)[:-1]
    except WireError:
        return b""
