"""`consulfwd serve --dev`: the resolver in front of three agents that come with it."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import consulfwd
from consulfwd import daemon
from consulfwd.cli import logs
from consulfwd.cli.options import load_from_options
from consulfwd.config import Agent, Loaded
from consulfwd.errors import StartError

if TYPE_CHECKING:
    from consulfwd.dev import DevCluster
    from consulfwd.server import Server

EXAMPLE = "galeradb.service.consul"
PLACES = tuple((f"127.0.0.{number}", 8600, 8500) for number in (1, 2, 3))


def run(kind: str, definitions: Path | None, params: dict[str, Any]) -> None:
    """Run the resolver on development agents: `kind` is embedded or consul (real ones)."""
    loaded = load_from_options(params)
    logs.use(loaded)
    definitions = definitions or example_definitions()
    main = _embedded if kind == "embedded" else _real
    daemon.run(main(loaded, definitions, params))


def example_definitions() -> Path:
    """Return the folder of the example's service definitions. Raises StartError."""
    folder = Path(consulfwd.__file__).parent / "examples" / "consul.d"
    if not folder.is_dir():
        raise StartError("the example definitions are not installed: name some with --definitions")
    return folder


async def _embedded(loaded: Loaded, definitions: Path, params: dict[str, Any]) -> None:
    async with await _started(loaded, definitions) as cluster:
        agents = [
            Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
            for agent in cluster.agents
        ]
        await _serve(loaded, agents, params, "embedded development agents")


async def _started(loaded: Loaded, definitions: Path) -> DevCluster:
    """Return running agents: where Consul's own would be, if nobody is there, or anywhere.

    There, `consulfwd resolve` without options finds the first of them.
    """
    from consulfwd.dev import DevCluster

    consul = loaded.settings.consul
    for places in (PLACES, ()):
        cluster = DevCluster(
            definitions,
            domain=consul.domain,
            datacenter=consul.datacenter or "dc1",
            places=places,
        )
        try:
            await cluster.start()
        except OSError as error:
            daemon.log.info("the usual ports of Consul are not free (%s): using others", error)
        else:
            return cluster
    raise StartError("no free ports for the development agents")


async def _real(loaded: Loaded, definitions: Path, params: dict[str, Any]) -> None:
    from consulfwd.dev.real import dev_cluster

    with tempfile.TemporaryDirectory(prefix="consulfwd-dev-") as folder:
        click.echo("starting three Consul servers ...")
        cluster = dev_cluster(Path(folder), definitions)
        try:
            await asyncio.to_thread(cluster.start)
            agents = [
                Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
                for agent in cluster.agents
            ]
            await _serve(loaded, agents, params, "real Consul servers")
        finally:
            await asyncio.to_thread(cluster.stop)


async def _serve(loaded: Loaded, agents: list[Agent], params: dict[str, Any], what: str) -> None:
    def with_agents(again: Loaded) -> Loaded:
        consul = again.settings.consul.replace(agents=tuple(agents))
        settings = again.settings.replace(consul=consul)
        return Loaded(
            settings=settings, path=again.path, origins=again.origins, warnings=again.warnings
        )

    def hints(server: Server) -> None:
        click.echo(_hints(server, agents, what))

    await daemon.serve(
        with_agents(loaded),
        lambda: with_agents(load_from_options(params)),
        ready=hints,
        taken=logs.use,
    )


def _hints(server: Server, agents: list[Agent], what: str) -> str:
    at = server.endpoints[0]
    dig = f"dig @{at.host} -p {at.port}"
    options = "".join(f"--agent {agent.name} " for agent in agents)
    if agents[0].name == "127.0.0.1:8600":
        options = ""  # the default
    command = _command()
    return f"""
consulfwd runs on {at} with three {what}. From another shell:

  {dig} {EXAMPLE}
  {dig} {EXAMPLE} SRV
  {dig} +tcp {EXAMPLE}
  {command} resolve --server {at} {EXAMPLE}
  {command} resolve --trace {options}{EXAMPLE}

Ctrl-C ends it.
"""


def _command() -> str:
    """Return what to type to run this very program: its name alone only if PATH leads to it."""
    here = shutil.which(sys.argv[0]) or ""
    named = shutil.which("consulfwd") or ""
    if not here.endswith("consulfwd") or (named and Path(named).samefile(here)):
        return "consulfwd"
    return sys.argv[0]
