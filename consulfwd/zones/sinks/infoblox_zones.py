"""Names of zones as Infoblox has them: reverse ones are networks there.

What belongs here: these names. Pure.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_network

from consulfwd.dns import names
from consulfwd.zones.sinks.infoblox_names import wire

_IPV4, _IPV6 = ".in-addr.arpa", ".ip6.arpa"
_OCTET = re.compile(r"[0-9]{1,3}")
_NIBBLE = re.compile(r"[0-9a-f]")


def zone_text(zone: bytes) -> str:
    """Return what a zone is called in the grid: 192.0.2.0/24 for 2.0.192.in-addr.arpa."""
    text = names.to_text(zone).removesuffix(".")
    network = _network(text)
    return text if network is None else str(network)


def zone_wires(text: str) -> list[bytes]:
    """Return the zones that one of the grid's names stands for, none for what is no name.

    It is one, but for a network that does not end where labels do (RFC 2317).
    """
    try:
        if "/" in text:
            return names.reverse_zones(ip_network(text))
        return [wire(text)]
    except ValueError:
        return []


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        if text.endswith(_IPV4):
            labels = text.removesuffix(_IPV4).split(".")[::-1]
            if len(labels) <= 4 and all(map(_OCTET.fullmatch, labels)):
                return IPv4Network(f"{'.'.join([*labels, *['0'] * (4 - len(labels))])}/"
                                   f"{8 * len(labels)}")  # fmt: skip
        elif text.endswith(_IPV6):
            labels = text.removesuffix(_IPV6).split(".")[::-1]
            if len(labels) <= 32 and all(map(_NIBBLE.fullmatch, labels)):
                number = int("".join(labels).ljust(32, "0"), 16)
                return IPv6Network((number, 4 * len(labels)))
    except ValueError:
        pass
    return None
