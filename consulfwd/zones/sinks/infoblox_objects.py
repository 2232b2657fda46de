"""Objects of Infoblox's WAPI as records of ours, and back.

What belongs here: which fields an object of each kind has, what they mean, and whose an object is.
Must not know: how objects are asked for or written, what they are together. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

from consulfwd.dns import const, names
from consulfwd.zones.model import Key
from consulfwd.zones.sinks.infoblox_names import plain, wire
from consulfwd.zones.sinks.infoblox_text import strings_of, text_of

Fields = Mapping[str, Any]

# Stands for a type that the WAPI does not tell (of those for private use, RFC 6895 section 3.1).
UNTOLD = 65280
_LONGEST_TTL = (1 << 31) - 1
_LONGEST_REF = 4096


class Marking(NamedTuple):
    """In which view objects are, and the extensible attribute by which they are ours."""

    view: str
    attribute: str
    owner: str


class Held(NamedTuple):
    """One object: a record of one value. `ttl` is None where it has that of its zone."""

    ref: str
    key: Key
    data: bytes
    ttl: int | None
    ours: bool


@dataclass(frozen=True)
class Kind:
    """A kind of object: its type of record, the fields that have the data, and both ways."""

    type: int
    name: str
    fields: tuple[str, ...]
    read: Callable[[Fields], bytes]
    write: Callable[[bytes], dict[str, Any]]


def _a(found: Fields) -> bytes:
    return IPv4Address(_text(found, "ipv4addr")).packed


def _aaaa(found: Fields) -> bytes:
    return IPv6Address(_text(found, "ipv6addr")).packed


def _srv(found: Fields) -> bytes:
    numbers = [_number(found, one, 0xFFFF) for one in ("priority", "weight", "port")]
    return struct.pack("!HHH", *numbers) + _name(found, "target")


def _of_srv(data: bytes) -> dict[str, Any]:
    priority, weight, port = struct.unpack("!HHH", data[:6])
    numbers = {"priority": priority, "weight": weight, "port": port}
    return {**numbers, "target": plain(data[6:])}


KINDS = {
    one.type: one
    for one in (
        Kind(const.A, "record:a", ("ipv4addr",), _a,
             lambda data: {"ipv4addr": str(IPv4Address(data))}),
        Kind(const.AAAA, "record:aaaa", ("ipv6addr",), _aaaa,
             lambda data: {"ipv6addr": str(IPv6Address(data))}),
        Kind(const.SRV, "record:srv", ("priority", "weight", "port", "target"), _srv, _of_srv),
        Kind(const.CNAME, "record:cname", ("canonical",), lambda found: _name(found, "canonical"),
             lambda data: {"canonical": plain(data)}),
        Kind(const.TXT, "record:txt", ("text",), lambda found: strings_of(_text(found, "text")),
             lambda data: {"text": text_of(data)}),
        Kind(const.PTR, "record:ptr", ("ptrdname",), lambda found: _name(found, "ptrdname"),
             lambda data: {"ptrdname": plain(data)}),
    )
}  # fmt: skip
_OF_NAME = {one.name: one for one in KINDS.values()}
# What is in a zone as others' records without being called that: addresses of hosts; names that DNS
# Traffic Control answers for, whatever records are there; aliases, whose type is not told.
_STAND_FOR = {
    "host_ipv4addr": (const.A,),
    "host_ipv6addr": (const.AAAA,),
    "dtclbdn": (const.A, const.AAAA, const.CNAME),
    "alias": (const.A, const.AAAA),
}


def asked(kind: Kind) -> str:
    """Return the fields that must be asked for besides those that are always there."""
    # A PTR object tells its name only if it is asked to.
    return ",".join(("name", "dns_name", "ttl", "use_ttl", "extattrs", *kind.fields))


def created(key: Key, data: bytes, ttl: int, marking: Marking) -> dict[str, Any]:
    """Return an object of ours as it is created."""
    kind = KINDS[key.type]
    address = names.reverse_address(key.name) if key.type == const.PTR else None
    if address is None:
        name = {"name": plain(key.name)}
    else:
        name = {f"ipv{address.version}addr": str(address)}
    return {
        **name,
        **kind.write(data),
        "view": marking.view,
        **with_ttl(ttl),
        "extattrs": {marking.attribute: {"value": marking.owner}},
    }


def with_ttl(ttl: int) -> dict[str, Any]:
    """Return the fields that give an object a TTL of its own: by `ttl` alone it has none."""
    return {"ttl": ttl, "use_ttl": True}


def held(kind: Kind, found: Fields, marking: Marking) -> Held | None:
    """Return what an object is, None for one of others' that cannot be in the way of ours.

    Raises ValueError for one of ours that cannot be read: what was written could not be told from
    what was not.
    """
    ours = _is_ours(found, marking)
    try:
        ref = _text(found, "_ref")
        # Whatever is deleted by it is a record of that kind.
        parts = ref.split("/")
        if parts[0] != kind.name or len(ref) > _LONGEST_REF or {"", ".", ".."} & set(parts[1:2]):
            raise ValueError(f"{ref[:60]!r} is not the reference of a {kind.name}")
        name = _name(found, "dns_name" if found.get("dns_name") else "name")
    except ValueError:
        if ours:
            raise
        return None
    ttl = _number(found, "ttl", _LONGEST_TTL) if found.get("use_ttl") is True else None
    try:
        data = kind.read(found)
    except ValueError:
        if ours:
            raise
        data = b""
    return Held(ref, Key(name, kind.type), data, ttl, ours)


def others(found: Fields, origin: bytes) -> list[Key]:
    """Return where an entry of `allrecords` has a record, if it is of none of the kinds above."""
    told = found.get("type")
    if told in _OF_NAME:
        return []
    kind = told.rpartition(":")[2] if isinstance(told, str) else ""
    types = _STAND_FOR.get(kind) or (const.type_number(kind) or UNTOLD,)
    if types == (const.SOA,):
        return []
    found_names = []
    name = found.get("name")
    if isinstance(name, str):
        zone = plain(origin)
        relative = name.lower().removesuffix(".")
        found_names.append(f"{relative}.{zone}" if relative else zone)
        # It is relative to the zone; if it were not, it would be taken all the same.
        if f".{relative}".endswith(f".{zone}"):
            found_names.append(relative)
    keys = []
    for one in found_names:
        try:
            keys += [Key(wire(one), rtype) for rtype in types]
        except ValueError:
            continue
    return keys


def _is_ours(found: Fields, marking: Marking) -> bool:
    attributes = found.get("extattrs")
    attribute = attributes.get(marking.attribute) if isinstance(attributes, dict) else None
    value = attribute.get("value") if isinstance(attribute, dict) else None
    return value in (marking.owner, [marking.owner])


def _text(found: Fields, field: str) -> str:
    value = found.get(field)
    if not isinstance(value, str) or len(value) > 65_535:
        raise ValueError(f"its {field} is no text")
    return value


def _number(found: Fields, field: str, most: int) -> int:
    value = found.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise ValueError(f"its {field} is no number up to {most}")
    return value


def _name(found: Fields, field: str) -> bytes:
    return wire(_text(found, field))
