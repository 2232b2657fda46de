"""From settings to routes and upstreams, keeping the health of servers already known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address

from consulfwd.config import Agent, Recursor, Settings
from consulfwd.core.cache import Limits
from consulfwd.core.health import Health
from consulfwd.core.limits import Rules
from consulfwd.core.order import Group
from consulfwd.core.public_resolvers import is_public
from consulfwd.core.rebinding import Guard
from consulfwd.core.routes import Kind, Moved, Route, Routes, longest
from consulfwd.core.special import private_routes, special_routes
from consulfwd.core.upstreams import Upstream
from consulfwd.dns import const, replies
from consulfwd.dns.names import ROOT, from_text, reverse_zones

Network = IPv4Network | IPv6Network
UpstreamKey = tuple[str, str, int]


def build_routes(
    settings: Settings,
    recursors: Sequence[Recursor],
    health: Health,
    known: Mapping[UpstreamKey, Upstream] | None = None,
    before: Routes | None = None,
    alone: Iterable[Route] | None = None,
) -> Routes:
    """Return the routes the settings ask for.

    `recursors` are those in force (from the settings or from resolv.conf); upstreams in `known`
    keep their state and measurements. What routes `before` gave stays good where the new ones say
    the same. Those of `alone` are for single names; None is that nobody here knows how names that
    move with health are.
    """
    pool: dict[UpstreamKey, Upstream] = dict(known or {})
    consul = settings.consul
    local = Group("agents", _agents(consul.agents, pool), consul.policy, health)
    recursor_group = Group("recursors", _recursors(recursors, pool), "ordered", health)
    far = {
        name: Group(
            f"agents of {name}",
            _agents(datacenter.agents, pool),
            datacenter.policy or consul.policy,
            health,
        )
        for name, datacenter in consul.datacenters.items()
    }
    routes: list[Route] = []
    for domain in (consul.domain, *consul.alt_domains):
        apex = from_text(domain).lower()
        routes.append(Route(apex, Kind.CONSUL, (local,), "the Consul domain"))
        for name, group in far.items():
            for form in (f"{name}.{domain}", f"{name}.dc.{domain}"):
                why = f"datacenter {name}: its own agents first, then the local ones"
                zone = from_text(form).lower()
                routes.append(Route(zone, Kind.CONSUL, (group, local), why))
    routes += _forwarded(settings.forward, pool, health)
    routes += special_routes()
    if recursor_group.members:
        routes.append(Route(ROOT, Kind.RECURSE, (recursor_group,), "no other rule matches"))
    usual: dict[bytes, Route] = {}
    for route in routes:
        usual.setdefault(route.zone, route)
    listed = settings.public_resolvers
    private = {
        route.zone: route
        for route in private_routes(
            usual, lambda one: not is_public(one.address, listed.also, listed.never)
        )
    }
    reverse = _reverse(consul.reverse, local, usual, private)
    for upstream in pool.values() if health.drained else ():
        # Who comes back, to the catalog for one, is still taken out for work.
        upstream.drained = upstream.key in health.drained
    if alone is None:
        alone = [
            Route(from_text(name).lower(), Kind.MOVES, why="a failover record", moves=Unknown())
            for name in settings.failover
        ]
    return Routes([*reverse.values(), *usual.values(), *private.values()], before, alone)


class Unknown:
    """A name that moves with health where nothing is checked (see `core.routes.Moves`).

    Whoever would be asked without it knows another answer, or none.
    """

    why = "it moves with health: the running resolver knows, ask that (--server)"

    def answer(self, question: bytes) -> Moved:
        """Return that it is not known here."""
        return Moved(replies.empty(question, const.SERVFAIL), (const.EDE_NOT_READY, self.why))

    def reasons(self) -> list[str]:
        """Return the same in words."""
        return [self.why]


def _reverse(
    networks: Iterable[Network],
    agents: Group,
    usual: Mapping[bytes, Route],
    private: Mapping[bytes, Route],
) -> dict[bytes, Route]:
    """Return the routes of the reverse zones given to Consul, by zone.

    Each falls back to whoever would have been asked without it, and so does each private zone
    below one.
    """
    without = {**private, **usual}
    reverse: dict[bytes, Route] = {}
    for network in networks:
        why = f"reverse lookups in {network}"
        for zone in reverse_zones(network):
            then = longest(without, zone)
            reverse.setdefault(zone, Route(zone, Kind.CONSUL, (agents,), why, then=then))
    if not reverse:
        return reverse
    given = {**usual, **reverse}
    below = {zone: longest(given, zone) for zone in private.keys() - reverse.keys()}
    for zone, above in below.items():
        if above is not None and above.zone in reverse:
            reverse[zone] = replace(above, zone=zone, then=private[zone])
    return reverse


def _forwarded(
    zones: Mapping[str, Sequence[Recursor]], pool: dict[UpstreamKey, Upstream], health: Health
) -> list[Route]:
    """Return the conditional zones' routes; those with the same servers have one group."""
    asked: dict[tuple[Upstream, ...], list[str]] = {}
    for zone, servers in zones.items():
        asked.setdefault(tuple(_recursors(servers, pool)), []).append(zone)
    routes = {}
    for members, names in asked.items():
        label = f"forwarders of {names[0]}"
        if len(names) > 1:
            label += f" and {len(names) - 1} more"
        group = Group(label, members, "ordered", health)
        for zone in names:
            apex = from_text(zone).lower()
            routes[zone] = Route(apex, Kind.FORWARD, (group,), "a conditional zone")
    return [routes[zone] for zone in zones]


def cache_limits(settings: Settings) -> Limits:
    """Return what the cache may do."""
    cache = settings.cache
    return Limits(cache.size, cache.min_ttl, cache.max_ttl, cache.max_negative_ttl, cache.stale_for)


def client_rules(settings: Settings) -> Rules:
    """Return what clients may ask."""
    limits = settings.limits
    return Rules(
        limits.per_client, limits.per_network, limits.burst, limits.slip, limits.exempt,
        limits.own_host,
    )  # fmt: skip


def guard_of(settings: Settings) -> Guard | None:
    """Return what holds private addresses of outside names back, None where they are given."""
    rebinding = settings.rebinding
    if not rebinding.protect:
        return None
    allow = [from_text(one).lower() for one in rebinding.allow]
    return Guard(allow, rebinding.allow_networks)


def probe_question(settings: Settings) -> bytes:
    """Return the question an agent's health is judged by: Consul's own service, type A."""
    return from_text(f"consul.service.{settings.consul.domain}").lower() + b"\0\1\0\1"


def _agents(agents: Iterable[Agent], pool: dict[UpstreamKey, Upstream]) -> list[Upstream]:
    return [
        _pooled(
            pool,
            Upstream(
                agent.name,
                agent.address,
                agent.dns_port,
                is_agent=True,
                on_host=ip_address(agent.address).is_loopback,
            ),
        )
        for agent in agents
    ]


def _recursors(recursors: Iterable[Recursor], pool: dict[UpstreamKey, Upstream]) -> list[Upstream]:
    return [
        _pooled(
            pool,
            Upstream(
                recursor.name,
                recursor.address,
                recursor.port,
                is_agent=False,
                transport=recursor.transport,
                tls_name=recursor.tls_name,
                on_host=ip_address(recursor.address).is_loopback,
            ),
        )
        for recursor in recursors
    ]


def _pooled(pool: dict[UpstreamKey, Upstream], upstream: Upstream) -> Upstream:
    kept = pool.get(upstream.key)
    if (
        kept is not None
        and kept.is_agent == upstream.is_agent
        and kept.tls_name == upstream.tls_name
    ):
        return kept
    pool[upstream.key] = upstream
    return upstream
