"""What templates see of a site: its zones and who answers for them.

Made in `building`. Must not know any server's grammar, nor settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from consulfwd.servers.names import EMPTY_ZONES, around, within
from consulfwd.servers.target import (
    CONSUL,
    DATACENTER,
    FORWARD,
    REVERSE,
    To,
    Version,
    ZoneKind,
)

DNS_PORT = 53


@dataclass(frozen=True, order=True)
class NameServer:
    """Where DNS is answered, over UDP and TCP."""

    address: str
    port: int = DNS_PORT

    @property
    def host(self) -> str:
        """The address as it stands before a colon and a port: IPv6 in brackets."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def loopback(self) -> bool:
        """Whether it is this host."""
        return ip_address(self.address).is_loopback

    @property
    def interface(self) -> str:
        """What a link-local address counts on: `eth0` of fe80::1%eth0; else ""."""
        return self.address.partition("%")[2]

    def written(self, between: str = ":", always: bool = False) -> str:
        """Return address and port, 53 only if `always`: `10.0.0.1`, `[::1]:8600`.

        Behind a colon and a port comes the interface: `[fe80::1]:8600%eth0`.
        """
        if self.port == DNS_PORT and not always:
            return self.address
        if self.interface and between == ":":
            return f"[{self.address.partition('%')[0]}]:{self.port}%{self.interface}"
        return f"{self.host if between == ':' else self.address}{between}{self.port}"


@dataclass(frozen=True)
class Zone:
    """Names (all under `name`, without the final dot) that `servers` are asked about.

    `kind` is consul, datacenter, reverse, or forward for a zone of the settings' `forward`.
    """

    name: str
    servers: tuple[NameServer, ...]
    kind: ZoneKind = CONSUL

    @property
    def outside(self) -> bool:
        """Whether the public DNS knows nothing of it, so that no DNSSEC chain leads there.

        So it is with Consul's zones, and with those that only servers of the site's own have.
        """
        return self.kind != FORWARD or all(
            ip_address(one.address).is_private for one in self.servers
        )

    @property
    def denied_above(self) -> bool:
        """Whether denials in it have the SOA of a zone it lies outside of or below.

        Consul's have that of its domain, whatever was asked. Resolvers drop such a SOA, and with it
        how long the denial may be kept (RFC 2308 section 5), or refuse the reply.
        """
        return self.kind in (DATACENTER, REVERSE)


@dataclass(frozen=True)
class Site:
    """What every template is given.

    `zones` are all that are not the recursors', those of `domain` first; `version` is that of the
    server the file is for, (9, 18) for example; `to` says whom its zones go to; `listen` is where
    consulfwd itself answers; `serves` is where the server the file is for is to listen (0.0.0.0
    and :: are any address); `networks` may ask; `include` is where the server finds the zones.
    Not among `zones` are those that lie in one whose servers are asked anyhow: `covered`, with the
    same servers, and `passed_on`, of datacenters, with others, which its servers ask on.
    """

    domain: str
    zones: tuple[Zone, ...]
    recursors: tuple[NameServer, ...]
    listen: tuple[NameServer, ...]
    networks: tuple[str, ...]
    version: Version
    to: To = "agents"
    include: str = ""
    serves: tuple[NameServer, ...] = ()
    covered: tuple[Zone, ...] = ()
    passed_on: tuple[Zone, ...] = ()

    @property
    def servers(self) -> tuple[NameServer, ...]:
        """Who is asked about `domain`."""
        return self.zones[0].servers

    @property
    def reverse(self) -> tuple[Zone, ...]:
        """The reverse zones among `zones`."""
        return tuple(zone for zone in self.zones if zone.kind == REVERSE)

    @property
    def deepest(self) -> tuple[Zone, ...]:
        """`zones`, those below others before them."""
        return tuple(sorted(self.zones, key=lambda zone: -zone.name.count(".")))

    @property
    def steps(self) -> tuple[tuple[Zone, ...], ...]:
        """`zones` put together by their servers, for who takes the first that matches.

        Names below others come before them, unless the same servers are asked about both.
        """
        made: list[list[Zone]] = []
        for zone in self.deepest:
            for number, group in enumerate(made):
                between = (one for later in made[number + 1 :] for one in later)
                if group[0].servers == zone.servers and not any(
                    within(one.name, zone.name) for one in between
                ):
                    group.append(zone)
                    break
            else:
                made.append([zone])
        return tuple(map(tuple, made))

    @property
    def asked(self) -> tuple[str, ...]:
        """The addresses of all who are asked about the zones, each once, without an interface."""
        servers = [one for zone in self.zones for one in zone.servers]
        return tuple(dict.fromkeys(one.address.partition("%")[0] for one in servers))

    @property
    def outside(self) -> tuple[str, ...]:
        """The names of the zones that are `outside`, but for those below another one of them."""
        return _outermost([zone.name for zone in self.zones if zone.outside])

    @property
    def outermost(self) -> tuple[str, ...]:
        """The names of the zones, but for those below another one."""
        return _outermost([zone.name for zone in self.zones])

    @property
    def empty_zones(self) -> tuple[str, ...]:
        """The zones resolvers answer by themselves, with nothing, that hold a zone of ours or lie
        in one (RFC 6303)."""
        ours = {zone.name for zone in self.zones}
        holding = {above for name in ours for above in (name, *_above(name))}
        return tuple(
            one for one in EMPTY_ZONES if one in holding or ours.intersection(_above(one))
        )


def _outermost(names: Sequence[str]) -> tuple[str, ...]:
    known = set(names)
    return tuple(name for name in names if known.isdisjoint(_above(name)))


def _above(name: str) -> list[str]:
    """Return the zones a name lies in, without itself and the root."""
    return [one for one in around(name) if one][1:]
