"""Zones of the example's services, without Consul: `consulfwd zone show --dev`, `serve --dev`."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli import logs, zone_options
from consulfwd.cli.dev import admin_shown, example_definitions, own_command, socket_option
from consulfwd.cli.options import load_from_options
from consulfwd.config import Agent, Loaded

if TYPE_CHECKING:
    from consulfwd.ops.admin.server import Admin
    from consulfwd.zones.publish.running import Wanted
    from consulfwd.zones.publish.site import Site

ORIGIN = "svc.example.com"
LISTEN = "127.0.0.1:5301"


@contextlib.asynccontextmanager
async def developed(loaded: Loaded, params: dict[str, Any]) -> AsyncIterator[Wanted]:
    """The zones of the settings, or one to look at, of an agent in this process."""
    from consulfwd.config.zones import ZoneSettings
    from consulfwd.dev import DevCluster
    from consulfwd.zones.publish.folder import Folder
    from consulfwd.zones.publish.running import Wanted

    if loaded.settings.zones:
        names = [str(one) for one in params.get("zones") or ()]
        zones = zone_options.picked(loaded.settings, names, params.get("view"))
    else:
        values: dict[str, Any] = {
            "origin": ORIGIN,
            "ns": ["ns.example.com"],
            "tags": ["*"],
            "targets": [{"primary": {"listen": [LISTEN], "unsigned": True}}],
            "lock": {"enabled": False},
        }
        zones = [ZoneSettings(**values)]
    domain = loaded.settings.consul.domain
    async with DevCluster(example_definitions(), domain=domain) as cluster:
        agents = [
            Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
            for agent in cluster.agents
        ]
        with tempfile.TemporaryDirectory(prefix="consulfwd-zones-") as folder:
            settings = loaded.settings
            records, checker = settings.failover, settings.failover_checker
            yield Wanted(agents, zones, Folder(Path(folder)), records, checker)


@contextlib.asynccontextmanager
async def looking(dev: bool, params: dict[str, Any]) -> AsyncIterator[Wanted]:
    """The zones that are meant, or, with `dev`, those of the example's services."""
    if not dev:
        yield zone_options.load(params)
        return
    zone_options.told_briefly()
    async with developed(load_from_options(params), params) as wanted:
        yield wanted


def run(params: dict[str, Any], *, as_json: bool) -> int:
    """Serve them until a signal; return the exit code."""
    from consulfwd.cli.looked_at import LookedAt
    from consulfwd.keep import follow
    from consulfwd.notify import Notifier
    from consulfwd.upkeep import Upkeep
    from consulfwd.zones.publish.running import Running

    loaded = load_from_options(params)
    logs.use(loaded, "json" if as_json else None)
    upkeep = Upkeep(Notifier(), "publishing the example's services", verb="zone")
    looked_at = LookedAt(upkeep, "zone")

    async def main() -> None:
        async with developed(loaded, params) as wanted:
            served = zone_options.with_targets(wanted, ("primary",))
            running = Running(lambda: served, upkeep, kinds=("primary",), begun=begun)
            await running.run()

    def begun(site: Site) -> None:
        _hint(site, looked_at.admin)

    with admin_shown("zone") as shown:
        settings = loaded.settings
        looked_at.use(settings.replace(admin=shown(settings.admin)))
        return follow.run(main(), upkeep, looked_at)


def _hint(site: Site, admin: Admin) -> None:
    primaries = site.making.primaries
    assert primaries is not None
    lines = []
    for zone in site.zones:
        for target in zone.targets:
            if target.primary is not None:
                at = target.primary.listen[0]
                port = primaries.port(at)
                lines.append(f"  dig @{at.host} -p {port} {zone.origin} AXFR")
    if admin.sockets:
        lines.append(f"  {own_command()} status{socket_option(admin)}")
    click.echo("The zone is served. From another shell:\n\n" + "\n".join(lines) + "\n")
    click.echo("Ctrl-C ends it.\n")
