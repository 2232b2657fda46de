"""A site made of the settings, and of the agents the catalog names if asked to.

Must not know any server's grammar, nor read anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network

from consulfwd.config import Agent, Recursor, Settings
from consulfwd.config.settings import LOOPBACK, PRIVATE
from consulfwd.dns.names import reverse_zones, to_text
from consulfwd.errors import UsageError
from consulfwd.generate.model import DNS_PORT, NameServer, Site, Zone
from consulfwd.servers.target import (
    CONSUL,
    DATACENTER,
    EVERY_KIND,
    FORWARD,
    REVERSE,
    To,
    Version,
    ZoneKind,
)

# Where the zones of a kind stand.
_SETTINGS = {
    CONSUL: "consul.alt_domains",
    DATACENTER: "consul.datacenters",
    REVERSE: "consul.reverse",
    FORWARD: "forward",
}
# What interfaces are called; anything else might be read as something else in some file.
_INTERFACE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def build(
    settings: Settings,
    version: Version,
    *,
    to: To = "agents",
    found: Mapping[str, Sequence[NameServer]] | None = None,
    whole: bool = False,
    include: str = "",
    kinds: Collection[ZoneKind] = EVERY_KIND,
) -> Site:
    """Return the site of these settings, with the `kinds` of zones its server can have.

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
    domains = (consul.domain, *consul.alt_domains)
    zones = [Zone(one, local) for one in domains]
    for name, datacenter in consul.datacenters.items():
        there = answering(name, datacenter.agents)
        for domain in domains:
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
    covered = _covered(zones)
    site = Site(
        domain=consul.domain,
        zones=_each_once(one for one in zones if one.kind in kinds and one not in covered),
        recursors=_plain(settings.recursors or (), "recursors") if whole else (),
        listen=own,
        networks=tuple(map(str, _networks(settings))),
        version=version,
        to=to,
        include=include,
        serves=_serves(settings, to, whole),
        covered=tuple(covered),
        passed_on=tuple(
            one
            for one in zones
            if one.kind == DATACENTER and one.kind not in kinds and one not in covered
        ),
    )
    _look_at_interfaces(site)
    return site


def _each_once(zones: Iterable[Zone]) -> tuple[Zone, ...]:
    """Return the zones by name. Raises UsageError where one has two lists of servers."""
    found: dict[str, Zone] = {}
    for zone in zones:
        first = found.setdefault(zone.name, zone)
        if first.servers != zone.servers:
            settings = f"{_SETTINGS[first.kind]} and {_SETTINGS[zone.kind]}"
            raise UsageError(
                f"{zone.name}: {settings} name different servers for it, and a file can have one"
                " list (take it out of one of them, or have consulfwd answer, with --to consulfwd)"
            )
    return tuple(found.values())


def _covered(zones: Sequence[Zone]) -> dict[Zone, None]:
    """Return those that need no file to name them: the next zone above has the same servers.

    To name them would only cut that one, and Consul's denials are of the whole.
    """
    named = {zone.name: zone for zone in zones}
    found: dict[Zone, None] = {}
    for zone in zones:
        name = zone.name
        while "." in name:
            name = name.partition(".")[2]
            if above := named.get(name):
                if above.kind in (zone.kind, CONSUL) and above.servers == zone.servers:
                    found[zone] = None
                break
    return found


def _look_at_interfaces(site: Site) -> None:
    """Raise UsageError for an interface that might end an address, or a line, in a file."""
    servers = [one for zone in site.zones for one in zone.servers]
    for one in (*servers, *site.recursors, *site.listen, *site.serves):
        if not _INTERFACE.issuperset(one.interface):
            raise UsageError(
                f"{one.address}: the name of the interface has characters that files of servers"
                " have a meaning for (write its number instead: ip link shows it)"
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
