"""Record data as text and back, exactly (RFC 1035 section 5.1, RFC 3597 section 5).

What belongs here: the types a zone of ours holds; others are written in the generic form. Pure.
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address

from consulfwd.dns import const, names
from consulfwd.dns.text import rdata_text
from consulfwd.errors import WireError

_KNOWN = frozenset((const.A, const.AAAA, const.CNAME, const.PTR, const.NS, const.SRV, const.TXT))
_GENERIC = re.compile(r"\\# ([0-9]{1,5})(?: ([0-9a-f]+))?")
_SRV = re.compile(r"([0-9]{1,5}) ([0-9]{1,5}) ([0-9]{1,5}) (\S+)")
# A character-string between its quotes: what is printable, \" and \\, and octets by \DDD.
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]|\\[0-9]{3})*)"(?: |$)')
_ESCAPED = re.compile(r'\\(?:(["\\])|([0-9]{3}))')


def to_text(rtype: int, data: bytes) -> str:
    """Return data in presentation form; in the generic one where that could not be read back."""
    if rtype in _KNOWN:
        text = rdata_text(rtype, data)
        try:
            if from_text(rtype, text) == data:
                return text
        except WireError:
            pass
    return f"\\# {len(data)} {data.hex()}".rstrip()


def from_text(rtype: int, text: str) -> bytes:
    """Return the data that a text is the presentation form of; WireError if it is of none."""
    generic = _GENERIC.fullmatch(text)
    if generic:
        data = _hex(generic[2] or "")
        if len(data) != int(generic[1]):
            raise WireError(f"{generic[1]} octets are not what follows")
        return data
    try:
        return _read(rtype, text)
    except (ValueError, struct.error):
        raise WireError(f"{text[:60]!r} is no {const.type_text(rtype)} data") from None


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise WireError("half an octet is missing") from None


def _read(rtype: int, text: str) -> bytes:
    if rtype == const.A:
        return IPv4Address(text).packed
    if rtype == const.AAAA:
        return IPv6Address(text).packed
    if rtype in (const.CNAME, const.PTR, const.NS):
        return _name(text)
    if rtype == const.SRV and (found := _SRV.fullmatch(text)):
        return struct.pack("!HHH", *map(int, found.groups()[:3])) + _name(found[4])
    if rtype == const.TXT:
        return _strings(text)
    raise ValueError(text)


def _name(text: str) -> bytes:
    if not text.endswith(".") or text.lower() != text:
        raise WireError(f"{text[:60]!r} is not a whole name in lower case")
    return names.from_text(text)


def _strings(text: str) -> bytes:
    parts = []
    position = 0
    while position < len(text):
        found = _STRING.match(text, position)
        if found is None:
            raise ValueError(text)
        octets = _ESCAPED.sub(_octet, found[1]).encode("latin-1")
        if len(octets) > 255:
            raise ValueError(text)
        parts.append(bytes((len(octets),)) + octets)
        position = found.end()
    if not parts:
        raise ValueError(text)
    return b"".join(parts)


def _octet(found: re.Match[str]) -> str:
    number = int(found[2] or "0")
    if number > 255:
        raise ValueError(found[0])
    return found[1] or chr(number)
