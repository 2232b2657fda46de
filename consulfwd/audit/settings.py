"""What of consulfwd's own settings the rules look at. Pure but for resolv.conf."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from consulfwd.audit.site import AskedAgent, Resolver, Target, Zone
from consulfwd.config import Settings
from consulfwd.config.zones import TargetSettings, ZoneSettings
from consulfwd.net.host import ResolvConf


def resolver(settings: Settings) -> Resolver:
    """Return the part of the settings that matters; agents are not asked yet."""
    consul = settings.consul
    catalogs = {name for name, one in consul.datacenters.items() if one.from_catalog}
    if consul.from_catalog:
        catalogs.add("")
    agents = [AskedAgent(one.name, one.address) for one in consul.agents]
    for name in sorted(consul.datacenters):
        listed = consul.datacenters[name].agents
        agents += [AskedAgent(one.name, one.address, name) for one in listed]
    return Resolver(
        agents=tuple(agents),
        catalogs=frozenset(catalogs),
        recursors=_recursors(settings),
        stale_for=settings.cache.stale_for,
        min_ttl=settings.cache.min_ttl,
        zones=tuple(_zone(one) for one in settings.zones),
    )


def _recursors(settings: Settings) -> tuple[str, ...]:
    found = settings.recursors
    if found is None:
        followed = ResolvConf(settings.resolv_conf, settings.listen)
        followed.changed()
        found = tuple(followed.recursors)
    return tuple(one.address for one in found)


def _zone(zone: ZoneSettings) -> Zone:
    name = zone.origin if zone.view is None else f"{zone.origin} ({zone.view})"
    targets = tuple(target for one in zone.targets for target in _targets(one))
    return Zone(name, max([zone.ttl, *zone.ttls.values()]), zone.lock.enabled, targets)


def _targets(target: TargetSettings) -> Iterator[Target]:
    """Yield what a zone goes to; 0 servers are not known how many."""
    if target.rfc2136 is not None:
        servers = {one.host for one in target.rfc2136.servers}
        yield Target(f"rfc2136 {min(servers)}", len(servers))
    if target.infoblox is not None:
        hosts = {urlsplit(one).hostname or one for one in target.infoblox.urls}
        yield Target(f"infoblox {min(hosts)}", len(hosts))
    if target.primary is not None:
        hosts = {one.host for one in target.primary.notify}
        yield Target(f"primary {min(hosts, default='')}".strip(), len(hosts))
    if target.file is not None:
        yield Target(f"file {target.file.path}", 0)
