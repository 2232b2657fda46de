"""Names and addresses as configurations spell them: what lies under what, private zones.

Pure. Names are compared in lower case, without the dot at the end; the root is the empty name.
"""

from __future__ import annotations

from ipaddress import ip_address

REVERSE = ("in-addr.arpa", "ip6.arpa")

# The zones of RFC 6303 and 7793 that BIND answers as empty and unbound as static, by default.
PRIVATE = frozenset(
    [
        *(f"{first}.in-addr.arpa" for first in ("0", "10", "127", "254.169", "168.192")),
        *(f"{second}.172.in-addr.arpa" for second in range(16, 32)),
        *(f"{second}.100.in-addr.arpa" for second in range(64, 128)),
        *(f"{net}.in-addr.arpa" for net in ("2.0.192", "100.51.198", "113.0.203")),
        *(f"{net}.ip6.arpa" for net in ("d.f", "8.e.f", "9.e.f", "a.e.f", "b.e.f")),
        "8.b.d.0.1.0.0.2.ip6.arpa",
    ]
)


def normal(name: str) -> str:
    """Return a name as it is compared."""
    return name.strip().rstrip(".").lower()


def under(name: str, zone: str) -> bool:
    """Is the name the zone's own, or below it? Both as `normal` returns them."""
    return not zone or name == zone or name.endswith(f".{zone}")


def is_reverse(name: str) -> bool:
    """Is it a zone of reverse names?"""
    return any(under(name, zone) for zone in REVERSE)


def private_zone(name: str) -> str | None:
    """Return the zone answered by default that a reverse name lies in."""
    return next((zone for zone in PRIVATE if under(name, zone)), None)


def is_address(text: str) -> bool:
    """Is it an IPv4 or IPv6 address, with or without a scope?"""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_public(text: str) -> bool:
    """Is it an address anybody on the Internet could have?"""
    return is_address(text) and ip_address(text).is_global


def consul_question(zone: str, domain: str) -> str:
    """Return the name of Consul's own service that a server of this zone must know."""
    inner = zone.removesuffix(domain).rstrip(".")
    if not inner or inner.split(".")[-1] in {"service", "node", "query", "addr", "virtual"}:
        return f"consul.service.{domain}"
    # The label next to the domain is a datacenter.
    return f"consul.service.{inner.split('.')[-1]}.{domain}"
