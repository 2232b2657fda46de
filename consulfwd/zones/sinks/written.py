"""A zone as the text of a zone file (RFC 1035 section 5), and back from exactly such a text.

What belongs here: what a file of ours looks like. Must not know where it is. Pure.

Each record is a line of its own with a whole name, TTL, class and type, in an order that depends on
nothing else: equal zones are equal texts. There are no directives. A text is read back only if
writing what was read gives the very same octets, so that nothing which somebody else put there is
taken for ours, or lost.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones import rdata
from consulfwd.zones.model import Apex, Key, Records, RRset

# Octets of the largest file that is read.
LARGEST = 256 * 1024 * 1024
_SECONDS = 2**31 - 1
_HEAD = """\
; Zone {origin} made of services in Consul by consulfwd. Do not edit it:
; it is replaced as a whole, and not at all once somebody else has changed it.
; consulfwd-zone 1 lock={number} sha256={digest}
"""
_MARK = re.compile(rb"; consulfwd-zone 1 lock=(0|[1-9][0-9]{0,18}) sha256=([0-9a-f]{64})\n")
_SOA = re.compile(r"(\S+) ([0-9]+) IN SOA (\S+) (\S+)" + r" ([0-9]+)" * 5)
_LINE = re.compile(r"(\S+) ([0-9]+) IN ([A-Z0-9]+) (.+)")


class Text(NamedTuple):
    """What a file holds. `number` is that of the lock by which it was written, 0 for none."""

    origin: bytes
    serial: int
    apex: Apex
    records: Records
    number: int


class Standing(NamedTuple):
    """What a file holds, as octets and as what they mean."""

    data: bytes
    text: Text

    @property
    def mark(self) -> str:
        """Its serial, and some of a checksum of all there is."""
        return f"{self.text.serial}/{sha256(self.data).hexdigest()[:16]}"


class NotOurs(Exception):
    """A text that is not exactly as we write it; the message says what about it."""


def write(text: Text) -> bytes:
    """Return the octets of a file."""
    body = _body(text).encode("ascii")
    return head(text, body) + body


def head(text: Text, body: bytes) -> bytes:
    """Return the comment above a body: what people should know, and what it is told apart by."""
    origin, digest = names.to_text(text.origin), sha256(body).hexdigest()
    return _HEAD.format(origin=origin, number=text.number, digest=digest).encode("ascii")


def _body(text: Text) -> str:
    apex, origin = text.apex, names.to_text(text.origin)
    times = apex.refresh, apex.retry, apex.expire, apex.minimum
    lines = [
        f"{origin} {apex.ttl} IN SOA {names.to_text(apex.primary)} {names.to_text(apex.mail)}"
        f" {text.serial} {' '.join(map(str, times))}",
        *(f"{origin} {apex.ttl} IN NS {names.to_text(server)}" for server in apex.servers),
    ]
    for key in sorted(text.records, key=Key.order):
        rrset = text.records[key]
        start = f"{names.to_text(key.name)} {rrset.ttl} IN {const.type_text(key.type)} "
        lines += [start + rdata.to_text(key.type, one) for one in sorted(rrset.data)]
    return "\n".join([*lines, ""])


def read(data: bytes) -> Text:
    """Return what a file of ours holds. Raises NotOurs for anything else."""
    found = _MARK.search(data)
    if found is None or data.count(b"\n", 0, found.start()) != 2:
        raise NotOurs("it does not begin as a file of consulfwd's does")
    body = data[found.end() :]
    if sha256(body).hexdigest().encode() != found[2]:
        raise NotOurs("it was changed since consulfwd wrote it: its checksum is another one")
    try:
        text = _read(body.decode("ascii"))._replace(number=int(found[1]))
    except (WireError, ValueError) as error:
        raise NotOurs(f"it is not as consulfwd writes it: {error}") from None
    if write(text) != data:
        raise NotOurs("it is not as this version of consulfwd writes it")
    return text


def _read(body: str) -> Text:
    first, *lines = body.removesuffix("\n").split("\n")
    soa = _SOA.fullmatch(first)
    if soa is None:
        raise ValueError("the first record is no SOA record")
    origin = names.from_text(soa[1])
    ttl, serial, refresh, retry, expire, minimum = (
        _number(soa[at], 2**32 - 1) for at in (2, 5, 6, 7, 8, 9)
    )
    servers = []
    records: dict[Key, tuple[int, set[bytes]]] = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"{line[:60]!r} is no record")
        name, rtype = names.from_text(found[1]), const.type_number(found[3])
        if rtype is None:
            raise ValueError(f"{found[3]} is no type")
        data = rdata.from_text(rtype, found[4])
        if rtype == const.NS and name == origin:
            servers.append(data)
            continue
        if not names.is_under(name, origin):
            raise ValueError(f"{found[1][:60]} is not below {soa[1]}")
        of_set = records.setdefault(Key(name, rtype), (_number(found[2], _SECONDS), set()))
        of_set[1].add(data)
    apex = Apex(
        names.from_text(soa[3]), names.from_text(soa[4]), refresh, retry, expire, minimum, ttl,
        tuple(servers),
    )  # fmt: skip
    sets = {key: RRset(each, frozenset(data)) for key, (each, data) in records.items()}
    return Text(origin, serial, apex, sets, 0)


def _number(text: str, most: int) -> int:
    found = int(text) if len(text) <= 10 else most + 1
    if found > most:
        raise ValueError(f"{text[:20]} is too large")
    return found
