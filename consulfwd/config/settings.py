"""The settings as a whole: what is above all sections, and what they come to together.

What holds between keys is in `conflicts`, and in `cautions` what is allowed but worth a warning;
where values come from, and what a user is told, is in `load`. Nothing here reads a file, the
environment or the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from typing import Literal

from consulfwd.config import conflicts, forms
from consulfwd.config.addresses import (
    DOMAIN,
    ENDPOINT,
    FILE,
    RECURSORS,
    RECURSORS_OR_AUTO,
    Agent,
    Endpoint,
    Recursor,
)
from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.config.keys import Section, key
from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.readers import (
    auto_or_number,
    listing,
    mapping,
    optional,
    section,
    text,
)
from consulfwd.config.sections import (
    AccessSettings,
    AdminSettings,
    CacheSettings,
    ConsulSettings,
    CookiesSettings,
    DnstapSettings,
    LimitsSettings,
    LogSettings,
    Network,
    PublicResolvers,
    QueryLogSettings,
    QuerySettings,
    RebindingSettings,
    TcpSettings,
)
from consulfwd.config.zones import ZoneSettings

# More would not be fed by one that watches for all.
MAX_WORKERS = 64

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
PRIVATE: tuple[Network, ...] = tuple(
    ip_network(one)
    for one in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10"),
    )
)


class Settings(Section):
    """Everything consulfwd can be told. `Settings()` is the defaults."""

    listen: tuple[Endpoint, ...] = key(
        listing(ENDPOINT, 100, least=1),
        "addresses to listen on, UDP and TCP on each; port 0 is any free one",
        default=("127.0.0.1",),
    )
    consul: ConsulSettings = key(section(ConsulSettings), default=None)
    recursors: tuple[Recursor, ...] | None = key(
        RECURSORS_OR_AUTO,
        "servers for all other names; `auto` takes those of `resolv_conf`",
        default="auto",
    )
    resolv_conf: Path = key(
        FILE, "where `recursors: auto` finds them, followed", default="/etc/resolv.conf"
    )
    forward: dict[str, tuple[Recursor, ...]] = key(
        mapping(DOMAIN, RECURSORS, 10_000), "servers for single domains, by domain", default=None
    )
    public_resolvers: PublicResolvers = key(section(PublicResolvers), default=None)
    cache: CacheSettings = key(section(CacheSettings), default=None)
    query: QuerySettings = key(section(QuerySettings), default=None)
    access: AccessSettings = key(section(AccessSettings), default=None)
    tcp: TcpSettings = key(section(TcpSettings), default=None)
    limits: LimitsSettings = key(section(LimitsSettings), default=None)
    cookies: CookiesSettings = key(section(CookiesSettings), default=None)
    rebinding: RebindingSettings = key(section(RebindingSettings), default=None)
    admin: AdminSettings = key(section(AdminSettings), default=None)
    log: LogSettings = key(section(LogSettings), default=None)
    querylog: QueryLogSettings = key(section(QueryLogSettings), default=None)
    dnstap: DnstapSettings = key(section(DnstapSettings), default=None)
    zones: tuple[ZoneSettings, ...] = key(
        # Too much for a variable.
        listing(section(ZoneSettings), 100)._replace(kind="mapping"),
        "zones of healthy services, published by `consulfwd zone watch`",
        default=(),
    )
    zones_state: Path | None = key(
        optional(FILE),
        "folder for what is remembered of zones; unset: STATE_DIRECTORY, which systemd sets, or"
        " /var/lib/consulfwd",
        default=None,
    )
    workers: int | Literal["auto"] = key(
        auto_or_number(1, MAX_WORKERS),
        "processes that answer queries, beside one that looks after them where it is more than 1;"
        " auto: as many as there are processors",
        default=1,
    )
    failover: dict[str, FailoverSettings] = key(
        mapping(DOMAIN, section(FailoverSettings), 1_000),
        "names that are answered from health, by name",
        default=None,
    )
    failover_checker: CheckerSettings = key(section(CheckerSettings), default=None)
    user: str | None = key(
        optional(text(forms.user_name)),
        "user to become once the addresses are bound, when started as root",
        default=None,
    )

    def agent_lists(self) -> Iterator[tuple[KeyPath, tuple[Agent, ...]]]:
        """Yield every list of agents with its path."""
        yield ("consul", "agents"), self.consul.agents
        for name, datacenter in self.consul.datacenters.items():
            yield ("consul", "datacenters", name, "agents"), datacenter.agents

    def recursor_lists(self) -> Iterator[tuple[KeyPath, tuple[Recursor, ...]]]:
        """Yield every list of recursors with its path."""
        yield ("recursors",), self.recursors or ()
        for zone, recursors in self.forward.items():
            yield ("forward", zone), recursors

    def contradictions(self) -> Iterator[Objection]:
        """Yield what makes the settings unusable as a whole."""
        agents, recursors = [*self.agent_lists()], [*self.recursor_lists()]
        yield from conflicts.repeated_endpoints(self.listen)
        yield from conflicts.repeated_names([*agents, *recursors])
        yield from conflicts.repeated_networks(self.consul, self.access, self.public_resolvers)
        yield from conflicts.limited_by_more(self.limits)
        yield from conflicts.repeated_exceptions(self.rebinding)
        yield from conflicts.excepted_networks(self.public_resolvers)
        yield from conflicts.shared_domains(self.consul, self.forward)
        yield from conflicts.itself_asked(self.listen, agents, recursors)
        yield from conflicts.crossed_limits(self.cache)
        yield from conflicts.ways_over_http(agents)
        yield from conflicts.open_to_others(self.admin, self.listen)
        if self.zones:
            # Imported late: few hosts publish zones.
            from consulfwd.config import zone_conflicts, zone_failover

            yield from zone_conflicts.conflicts(self.zones)
            yield from zone_failover.conflicts(self.zones, self.failover)
        if self.failover:
            # As few have such names.
            from consulfwd.config import failover_conflicts, failover_rules

            yield from failover_rules.conflicts(self.failover, self.failover_checker)
            yield from failover_conflicts.conflicts(
                self.failover, self.consul, self.forward, self.zones
            )

    def allowed_networks(self, interfaces: Iterable[Interface] = ()) -> tuple[Network, ...]:
        """Return the networks whose clients are answered.

        That is `access.allow` if given. Else loopback, and for each private address listened on
        (RFC 1918, RFC 4193, link-local) the address itself and the network of the interface
        that has it; 0.0.0.0 and :: stand for the addresses of all `interfaces` of their family.
        """
        if self.access.allow is not None:
            return self.access.allow
        allowed = dict.fromkeys(LOOPBACK)
        known = list(interfaces)
        for endpoint in self.listen:
            address = _unscoped(endpoint.host)
            if _is_private(address):
                allowed[ip_network(address)] = None
            for interface in known:
                here = _unscoped(str(interface.ip))
                same_family = here.version == address.version
                if (here == address or (address.is_unspecified and same_family)) and _is_private(
                    here
                ):
                    length = interface.network.prefixlen
                    allowed[ip_network(f"{here}/{length}", strict=False)] = None
        return tuple(allowed)


def _unscoped(text: str) -> Address:
    return ip_address(text.partition("%")[0])


def _is_private(address: Address) -> bool:
    return any(address in network for network in PRIVATE)
