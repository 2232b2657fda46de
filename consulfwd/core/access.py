"""Who may ask: clients by network (no open resolver by accident), and who is one client. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from consulfwd.core.limits import Limiter

MAX_SEEN = 4096
# Whoever has an IPv6 address has its /64 (RFC 4291 section 2.5.1), and can ask from all of it.
ONE_HOST = 64


class Access:
    """Allows clients in `networks`. `seen` holds addresses found allowed, for the hot path.

    Who may ask may do so as often as `limiter` says, or oftener where `proves` says of an address
    (as octets) and a whole query that the client has shown to be at that address (DNS cookies).
    """

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self.networks = tuple(networks)
        self.seen: set[str] = set()
        self.limiter = Limiter()
        self.proves: Callable[[bytes, bytes], bool] = lambda address, query: False

    def allows(self, host: str) -> bool:
        """Return whether the client at this address (text, a zone index allowed) may ask."""
        if host in self.seen:
            return True
        address = address_of(host.partition("%")[0])
        if not any(address in network for network in self.networks):
            return False
        if len(self.seen) >= MAX_SEEN:
            self.seen.clear()
        self.seen.add(host)
        return True


def address_of(text: str) -> IPv4Address | IPv6Address:
    """Return an address; the IPv4 one of a mapped one (RFC 4291 section 2.5.5.2)."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


@lru_cache(MAX_SEEN)
def packed(host: str) -> bytes:
    """Return the octets of an address (text, a zone index allowed)."""
    return ip_address(host.partition("%")[0]).packed


@lru_cache(MAX_SEEN)
def client_of(host: str, at: str) -> str | None:
    """Return whom to count what comes from `host` to our address `at` for.

    None is this host, which is as many clients as it runs programs: from loopback, or from the
    address asked.
    """
    text, _, zone = host.partition("%")
    address = address_of(text)
    if address.is_loopback or str(address) == at.partition("%")[0]:
        return None
    if address.version == 4 or address.is_link_local:
        # On a link each neighbour has one of these.
        return f"{address}%{zone}" if zone else str(address)
    network = IPv6Network((address, ONE_HOST), strict=False)
    return f"{network}%{zone}" if zone else str(network)
