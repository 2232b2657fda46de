"""What templates see of a site: its zones and who answers for them.

Made of the settings, and of the agents the catalog names if asked to. Must not know any server's
grammar, nor read anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from consulfwd.config import Agent, Recursor, Settings
from consulfwd.config.settings import LOOPBACK, PRIVATE
from consulfwd.dns.names import reverse_zones, to_text
from consulfwd.errors import UsageError
from consulfwd.servers.names import EMPTY_ZONES, within
from consulfwd.servers.target import To, Version

CONSUL, DATACENTER, REVERSE, FORWARD = "consul", "datacenter", "reverse", "forward"
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

    def written(self, between: str = ":") -> str:
        """Return address and port, the port only if it is not 53: `10.0.0.1`, `[::1]:8600`.

        Behind a colon and a port comes the interface: `[fe80::1]:8600%eth0`.
        """
        if self.port == DNS_PORT:
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
    kind: str = CONSUL

    @property
    def outside(self) -> bool:
        """Whether the public DNS knows nothing of it, so that no DNSSEC chain leads there.

        So it is with Consul's zones, and with those that only servers of the site's own have.
        """
        return self.kind != FORWARD or all(
            ip_address(one.address).is_private for one in self.servers
        )


@dataclass(frozen=True)
class Site:
    """What every template is given.

    `zones` are all that are not the recursors', those of `domain` first; `version` is that of the
    server the file is for, (9, 18) for example; `to` says whom its zones go to; `listen` is where
    consulfwd itself answers; `serves` is where the server the file is for is to listen (0.0.0.0
    and :: are any address); `networks` may ask; `include` is where the server finds the zones.
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
    def outside(self) -> tuple[str, ...]:
        """The names of the zones that are `outside`, but for those below another one of them."""
        names = [zone.name for zone in self.zones if zone.outside]
        return tuple(
            name
            for name in names
            if not any(within(name, other) for other in names if other != name)
        )

    @property
    def empty_zones(self) -> tuple[str, ...]:
        """The zones resolvers answer by themselves, with nothing, that hold a zone of ours or lie
        in one (RFC 6303)."""
        ours = [zone.name for zone in self.zones]
        return tuple(
            empty
            for empty in EMPTY_ZONES
            if any(within(empty, name) or within(name, empty) for name in ours)
        )


def build(
    settings: Settings,
    version: Version,
    *,
    to: To = "agents",
    found: Mapping[str, Sequence[NameServer]] | None = None,
    whole: bool = False,
    include: str = "",
) -> Site:
    """Return the site of these settings.

    `found` has the agents to name instead of the configured ones, by datacenter ("" is the local
    one). `recursors` are told only for a `whole` configuration. Raises UsageError where there is
    nobody to name, or what cannot be written.
    """
    consul = settings.consul
    own = listening(settings)
    if (to == "consulfwd" or whole) and any(one.port == 0 for one in own):
        raise UsageError("listen: port 0 is any free one; give the port that is to be asked")
    found = found or {}

    def answering(datacenter: str, agents: Iterable[Agent]) -> tuple[NameServer, ...]:
        if to == "consulfwd":
            return own
        listed = [NameServer(one.address, one.dns_port) for one in agents]
        servers = tuple(dict.fromkeys(found.get(datacenter, listed)))
        if not servers:
            what = f"datacenter {datacenter}" if datacenter else "the Consul domain"
            mend = "name some in consul.agents"
            if datacenter in found:
                mend = (
                    "Consul's catalog lists no node where the service, consul or that of --service,"
                    " passes its checks"
                )
            raise UsageError(
                f"no agents for {what}: an empty list would turn forwarding off ({mend})"
            )
        return servers

    local = answering("", consul.agents)
    zones = [Zone(one, local) for one in (consul.domain, *consul.alt_domains)]
    for name, datacenter in consul.datacenters.items():
        there = answering(name, datacenter.agents)
        for domain in (consul.domain, *consul.alt_domains):
            zones += [Zone(f"{name}{dc}.{domain}", there, DATACENTER) for dc in ("", ".dc")]
    reverse = dict.fromkeys(
        to_text(zone).removesuffix(".")
        for network in consul.reverse
        for zone in reverse_zones(network)
    )
    zones += [Zone(name, local, REVERSE) for name in reverse]
    for name, servers in settings.forward.items():
        there = own if to == "consulfwd" else _plain(servers, f"forward.{name}")
        zones.append(Zone(name, there, FORWARD))
    return Site(
        domain=consul.domain,
        zones=tuple(zones),
        recursors=_plain(settings.recursors or (), "recursors") if whole else (),
        listen=own,
        networks=tuple(map(str, _networks(settings))),
        version=version,
        to=to,
        include=include,
        serves=_serves(settings, to, whole),
    )


def _serves(settings: Settings, to: To, whole: bool) -> tuple[NameServer, ...]:
    """Where the server listens: in consulfwd's place, or before it on port 53 of this host."""
    if to == "agents":
        return tuple(NameServer(one.host, one.port) for one in settings.listen)
    before = (NameServer("127.0.0.1"), NameServer("::1"))
    for one in settings.listen:
        if whole and one.port == DNS_PORT and one.host in {"127.0.0.1", "::1", "0.0.0.0", "::"}:
            raise UsageError(
                f"listen: {one} is where the server is to listen that asks consulfwd"
                " (give consulfwd another port, such as 127.0.0.1:5300)"
            )
    return before


def listening(settings: Settings) -> tuple[NameServer, ...]:
    """Where this host reaches consulfwd, if it runs with these settings."""
    own = []
    for one in settings.listen:
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(one.host, one.host)
        own.append(NameServer(address, one.port))
    return tuple(dict.fromkeys(own))


def _plain(recursors: Iterable[Recursor], where: str) -> tuple[NameServer, ...]:
    """Return recursors that speak plain DNS. Raises UsageError for others: no downgrade."""
    for one in recursors:
        if one.transport != "udp":
            raise UsageError(
                f"{where}: {one.name} is asked over TLS, which this file cannot say"
                " (leave it to consulfwd with --to consulfwd, or take it out)"
            )
    return tuple(NameServer(one.address, one.port) for one in recursors)


def _networks(settings: Settings) -> Sequence[IPv4Network | IPv6Network]:
    """Who may ask: as in the settings, else this host and private networks."""
    return settings.access.allow or (*LOOPBACK, *PRIVATE)
