"""Where an instance is: the one address, or host name, that records lead to.

What belongs here: which of those that are offered is taken, and which no client could use. Must not
know: records, zones. Pure.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones.seen import Offer

_LETTERS = frozenset((string.ascii_lowercase + string.digits + "-").encode())
_QUOTED = 60
Address = IPv4Address | IPv6Address


class Spot(NamedTuple):
    """`type` A or AAAA and the address in octets; or CNAME and a host name in wire form."""

    type: int
    data: bytes


def quoted(text: str) -> str:
    """Return what a stranger wrote, fit for one line: escaped, and cut where it is long."""
    shown = ascii(text)
    return shown if len(shown) <= _QUOTED else f"{shown[:_QUOTED]}...'"


def is_label(label: bytes) -> bool:
    """Return whether it may be in a host name, in lower case (RFC 952, RFC 1123 section 2.1)."""
    fit = 0 < len(label) <= names.MAX_LABEL and _LETTERS.issuperset(label)
    return fit and label[0] != 0x2D and label[-1] != 0x2D


def spot_of(offer: Offer, whose: str, tagged: Sequence[str]) -> Spot | str:
    """Return where an instance is, or why that cannot be said.

    `whose` is "service" or "node"; of `tagged` the first tag there is comes before both.
    """
    tag = next((one for one in tagged if one in offer.tagged), None)
    if tag is not None:
        found, said = offer.tagged[tag], f"its address {quoted(tag)}"
    elif offer.own and whose == "service":
        found, said = offer.own, "its address"
    else:
        found, said = offer.of_node, "its node's address"
    if not found:
        return f"{said} is missing"
    spot = _read(found, offer)
    if isinstance(spot, str):
        return f"{said} {spot}"
    wanted = {"_ipv4": const.A, "_ipv6": const.AAAA}.get((tag or "")[-5:], spot.type)
    if spot.type != wanted:
        return f"{said} is {quoted(found)}: not of that family"
    return spot


def _read(text: str, offer: Offer) -> Spot | str:
    address = _address(text)
    if address is None:
        host = host_name(text)
        return f"is {quoted(text)}: neither an address nor a host name" if not host else Spot(
            const.CNAME, host
        )
    why = _unfit(address, offer)
    if why:
        return f"is {quoted(text)}: {why}"
    return Spot(const.A if address.version == 4 else const.AAAA, address.packed)


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _unfit(address: Address, offer: Offer) -> str:
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return "it holds on one link only"
    if address.is_link_local:
        return "it holds on one link only"
    if address.is_unspecified or (address.version == 4 and address.packed[0] == 0):
        return "nobody has it"
    if address.is_multicast:
        return "it is of many hosts (multicast)"
    if address.version == 4 and address.packed[0] >= 240:
        return "no host may have it"
    if address.is_loopback:
        # All that a node which is itself on loopback has: that of a development agent.
        node = _address(offer.of_node)
        if node is None or not node.is_loopback:
            return "a client would ask itself (loopback)"
    return ""


def host_name(text: str) -> bytes:
    """Return the wire form of a host name, folded; b"" if it is none (RFC 1123 section 2.1)."""
    plain = text.lower().removesuffix(".")
    # Some letters outside ASCII become such of it where they are folded.
    labels = plain.encode().split(b".") if text.isascii() else [b""]
    # Not an address that is written wrong.
    if not all(map(is_label, labels)) or labels[-1].isdigit():
        return b""
    try:
        return names.from_text(plain)
    except WireError:
        return b""
