"""Who may ask: clients by network (no open resolver by accident). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

MAX_SEEN = 4096


class Access:
    """Allows clients in `networks`. `seen` holds addresses found allowed, for the hot path."""

    def __init__(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        self.networks = tuple(networks)
        self.seen: set[str] = set()

    def allows(self, host: str) -> bool:
        """Return whether the client at this address (text, a zone index allowed) may ask."""
        if host in self.seen:
            return True
        address = ip_address(host.partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(address in network for network in self.networks):
            return False
        if len(self.seen) >= MAX_SEEN:
            self.seen.clear()
        self.seen.add(host)
        return True
