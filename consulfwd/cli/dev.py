"""`consulfwd serve --dev`: the resolver in front of three agents that come with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import consulfwd
from consulfwd import daemon
from consulfwd.cli import logs
from consulfwd.cli.options import load_from_options
from consulfwd.config import Agent, Loaded
from consulfwd.errors import StartError
from consulfwd.ops import places
from consulfwd.ops.admin import where
from consulfwd.ops.admin.server import Admin

if TYPE_CHECKING:
    from consulfwd.config import Settings
    from consulfwd.config.sections import AdminSettings
    from consulfwd.dev import DevCluster
    from consulfwd.dev.web import DevWeb
    from consulfwd.server import Server

PAGE = "127.0.0.1:5380"
EXAMPLE = "galeradb.service.consul"
PLACES = tuple((f"127.0.0.{number}", 8600, 8500) for number in (1, 2, 3))


def run(kind: str, definitions: Path | None, params: dict[str, Any]) -> int:
    """Run the resolver on development agents: `kind` is embedded or consul (real ones).

    Returns the exit code.
    """
    loaded = load_from_options(params)
    logs.use(loaded)
    definitions = definitions or example_definitions()
    main = _embedded if kind == "embedded" else _real
    return daemon.run(main(loaded, definitions, params))


def example_definitions() -> Path:
    """Return the folder of the example's service definitions. Raises StartError."""
    folder = Path(consulfwd.__file__).parent / "examples" / "consul.d"
    if not folder.is_dir():
        raise StartError("the example definitions are not installed: name some with --definitions")
    return folder


async def _embedded(loaded: Loaded, definitions: Path, params: dict[str, Any]) -> int:
    async with await _started(loaded, definitions) as cluster:
        agents = [
            Agent(address=agent.address, dns_port=agent.dns_port, http_port=agent.http_port)
            for agent in cluster.agents
        ]
        async with _web() as web:
            return await _serve(loaded, agents, params, "embedded development agents", web)


@contextlib.asynccontextmanager
async def _web() -> AsyncIterator[DevWeb | None]:
    """Yield the web servers of the name that moves, None where there is no port for them."""
    from consulfwd.dev.web import DevWeb

    async with contextlib.AsyncExitStack() as stack:
        try:
            web: DevWeb | None = await stack.enter_async_context(DevWeb())
        except OSError as error:
            daemon.log.info("no web servers for a name that moves: %s", error)
            web = None
        yield web


@contextlib.contextmanager
def _moving(web: DevWeb | None) -> Iterator[Callable[[Settings], Settings]]:
    """Yield what adds a name that moves between web servers, where the settings have none."""
    if web is None:
        yield lambda settings: settings
        return
    from consulfwd.dev.web import NAME

    record = {
        "pools": [{"addresses": [host]} for host in web.hosts],
        "check": {"http": {"url": f"http://{NAME}:{web.port}/"}},
        "interval": 1,
        "fall": 2,
        "ttl": 5,
    }
    # What is remembered of it is of no use to anybody later.
    with tempfile.TemporaryDirectory(prefix="consulfwd-", ignore_cleanup_errors=True) as folder:

        def moved(settings: Settings) -> Settings:
            if settings.failover:
                return settings
            checker = settings.failover_checker.replace(state=folder)
            return settings.replace(failover={NAME: record}, failover_checker=checker)

        yield moved


async def _started(loaded: Loaded, definitions: Path) -> DevCluster:
    """Return running agents: where Consul's own would be, if nobody is there, or anywhere.

    There, `consulfwd resolve` without options finds the first of them.
    """
    from consulfwd.dev import DevCluster

    consul = loaded.settings.consul
    for wanted in (PLACES, ()):
        cluster = DevCluster(
            definitions,
            domain=consul.domain,
            datacenter=consul.datacenter or "dc1",
            places=wanted,
        )
        try:
            await cluster.start()
        except OSError as error:
            daemon.log.info("the usual ports of Consul are not free (%s): using others", error)
        else:
            return cluster
    raise StartError("no free ports for the development agents")


async def _real(loaded: Loaded, definitions: Path, params: dict[str, Any]) -> int:
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
            return await _serve(loaded, agents, params, "real Consul servers")
        finally:
            await asyncio.to_thread(cluster.stop)


@contextlib.contextmanager
def admin_shown(verb: str) -> Iterator[Callable[[AdminSettings], AdminSettings]]:
    """Yield what has commands find their way in: a folder of our own where nothing else will do."""
    with contextlib.ExitStack() as stack:
        spare: Path | None = None
        if not where.has_room(verb, os.environ):
            # Whoever it belongs to by then: the process may have become another user.
            made = tempfile.TemporaryDirectory(prefix="consulfwd-", ignore_cleanup_errors=True)
            spare = Path(stack.enter_context(made), verb + places.SUFFIX)

        def shown(settings: AdminSettings) -> AdminSettings:
            if spare is None or settings.socket != "auto":
                return settings
            return settings.replace(socket=spare)

        yield shown


def socket_option(admin: Admin) -> str:
    """Return the option by which a command finds this process, "" where it does without."""
    for path in admin.sockets:
        if path not in places.sockets(os.environ):
            return f" --socket {shlex.quote(str(path))}"
    return ""


async def _serve(
    loaded: Loaded,
    agents: list[Agent],
    params: dict[str, Any],
    what: str,
    web: DevWeb | None = None,
) -> int:
    with admin_shown("serve") as shown, _moving(web) as moved:
        return await _served(loaded, agents, params, what, shown, moved)


async def _served(
    loaded: Loaded,
    agents: list[Agent],
    params: dict[str, Any],
    what: str,
    shown_by: Callable[[AdminSettings], AdminSettings],
    moved: Callable[[Settings], Settings],
) -> int:
    def with_agents(again: Loaded) -> Loaded:
        settings = again.settings
        consul = settings.consul.replace(agents=tuple(agents))
        shown = shown_by(settings.admin)
        if shown.listen is None:
            shown = shown.replace(listen=PAGE)
        # The agents are in this process, too.
        with_them = settings.replace(consul=consul, admin=shown, workers=1)
        return again._replace(settings=moved(with_them))

    # Another one than 5380 where that is not free.
    admin = Admin("serve", any_port=True)

    def hints(server: Server) -> None:
        click.echo(_hints(server, agents, what, admin))

    return await daemon.serve(
        with_agents(loaded),
        lambda: with_agents(load_from_options(params)),
        ready=hints,
        taken=logs.use,
        admin=admin,
    )


def _hints(server: Server, agents: list[Agent], what: str, admin: Admin) -> str:
    at = server.endpoints[0]
    dig = f"dig @{at.host} -p {at.port}"
    options = "".join(f"--agent {agent.name} " for agent in agents)
    if agents[0].name == "127.0.0.1:8600":
        options = ""  # the default
    command = own_command()
    socket = socket_option(admin)
    asked = f"  {command} status{socket}\n" if admin.sockets else ""
    seen = _of_moving(server, dig, f"{command} failover show{socket}" if admin.sockets else "")
    seen += "".join(f"\nIn a browser: {one}\n" for one in admin.pages)
    return f"""
consulfwd runs on {at} with three {what}. From another shell:

  {dig} {EXAMPLE}
  {dig} {EXAMPLE} SRV
  {dig} +tcp {EXAMPLE}
  {command} resolve --server {at} {EXAMPLE}
  {command} resolve --trace {options}{EXAMPLE}
{asked}{seen}
Ctrl-C ends it.
"""


def _of_moving(server: Server, dig: str, show: str) -> str:
    """Return how a name that moves is seen to do so, "" if there is none of ours."""
    from consulfwd.dev.web import NAME

    record = server.settings.failover.get(NAME)
    if record is None or record.check.http is None:
        return ""
    first = f"{record.pools[0].addresses[0].address}:{record.check.http.url.split(':')[-1]}"
    asked = f"  {show}\n" if show else ""
    return f"""
A name that moves with the health of two web servers; have the first be ill, and well again:

  {dig} {NAME}
  {dig} _failover.{NAME} TXT
  curl -s -X POST http://{first}ill
  curl -s -X POST http://{first}well
{asked}"""


def own_command() -> str:
    """Return what to type to run this very program: its name alone only if PATH leads to it."""
    here = shutil.which(sys.argv[0]) or ""
    named = shutil.which("consulfwd") or ""
    if not here.endswith("consulfwd") or (named and Path(named).samefile(here)):
        return "consulfwd"
    return sys.argv[0]
