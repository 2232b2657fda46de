"""`consulfwd generate`: Consul's zones in the configuration of a site's own DNS server."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consulfwd.cli import applying
from consulfwd.cli.options import load_from_options, log_option, settings_options, tell_warnings
from consulfwd.errors import ApplyError, UsageError
from consulfwd.servers.target import known_version
from consulfwd.servers.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consulfwd.config import Settings
    from consulfwd.generate.model import NameServer
    from consulfwd.generate.requests import Found, Request
    from consulfwd.servers.target import Version

_MODES = ("diff", "check", "write", "watch")


@click.command()
@click.argument("server", type=click.Choice(list(TARGETS)), metavar="SERVER")
@settings_options
@log_option
@click.option("--named-conf", is_flag=True, help="BIND: named.conf too, which includes the zones.")
@click.option(
    "--server-version",
    "--bind-version",
    default="auto",
    show_default=True,
    metavar="X.Y",
    help="Write for this version; auto asks the installed server.",
)
@click.option(
    "--to",
    type=click.Choice(["agents", "consulfwd"]),
    help="Whom the zones go to: Consul's agents, or consulfwd where it listens.",
)
@click.option("--from-catalog", is_flag=True, help="Name the healthy servers Consul's catalog has.")
@click.option("--service", metavar="NAME", help="With --from-catalog: the nodes of this service.")
@click.option(
    "--templates",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Templates of your own, DIR/SERVER/FILE.j2, come first.",
)
@click.option(
    "--dest",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the (first) file goes, instead of its usual place.",
)
@click.option("--diff", is_flag=True, help="Show what would change.")
@click.option("--check", is_flag=True, help="Exit with 1 if something would change.")
@click.option("--write", is_flag=True, help="Check, install, reload, verify; all or nothing.")
@click.option("--watch", is_flag=True, help="--write, and again whenever something changes.")
@applying.LINKS
@applying.QUIESCENCE
@click.option("--no-check", is_flag=True, help="Do not run the server's own checker.")
@click.option(
    "--reload",
    metavar="COMMAND",
    help="What has the server use what was written (sh), instead of its usual commands.",
)
@click.option("--no-reload", is_flag=True, help="Do not have the server use what was written.")
@click.option(
    "--verify",
    metavar="ADDR[:PORT]",
    help="Where the server is asked about each zone afterwards; none: nowhere.",
)
@click.option("--json", "as_json", is_flag=True, help="What was done, or the files, as JSON.")
def generate(server: str, **params: object) -> None:
    """Write the configuration of a DNS server that is to resolve Consul's names.

    SERVER is one of: bind, dnsmasq, unbound, resolved (systemd), coredns, dnsdist, kresd (Knot
    Resolver), pdns-recursor, resolver (macOS), nftables, resolv.conf. Without --write the text is
    printed.

    Exit codes: 0 done, or nothing to do, 1 it could not be done (or --check found a difference),
    2 wrong use, 3 Consul could not be asked. --watch ends with 0 after SIGTERM, 130 after Ctrl-C.
    """
    from consulfwd.generate import requests as generating
    from consulfwd.generate.cautions import cautions

    mode = applying.chosen(params, _MODES, "show")
    if params["reload"] and params["no_reload"]:
        raise UsageError("--reload and --no-reload: choose one of them")
    if params["service"] and not params["from_catalog"]:
        raise UsageError("--service is for --from-catalog")
    if mode in ("write", "watch"):
        _mind_the_host(server, params["dest"])
    version = _version(server, str(params["server_version"]))
    loaded = load_from_options(
        params, over_http=mode == "watch" or bool(params["from_catalog"])
    )
    if mode == "watch":
        sys.exit(_watch(server, version, loaded.places, params))
    tell_warnings(loaded)
    request = _request(server, version, loaded.settings, params)
    made = generating.jobs(request, _found(request, params))
    for caution in cautions(request, made):
        click.echo(f"warning: {caution}", err=True)
    applying.carry_out(
        mode,
        made,
        as_json=bool(params["as_json"]),
        writes="write",
        checks=not params["no_check"],
    )


def _mind_the_host(server: str, dest: object) -> None:
    """Leave what this host's programs resolve names by to who can take it back."""
    own = Path("/etc/resolv.conf")
    place = dest if isinstance(dest, Path) else own
    if server != "resolv.conf":
        return
    same = place.exists() and own.exists() and place.samefile(own)
    if same or place.parent.resolve() / place.name == own:
        raise ApplyError(
            str(place),
            "this host's own is left to host-dns, which sees before and after that names are"
            " answered, keeps what stood there, and takes it back",
            "packaging/host-dns resolv.conf, and with --undo; --dest FILE writes it elsewhere",
        )


def _version(server: str, said: str) -> Version:
    """Return the version to write for: what was said, what is installed, or else the newest."""
    from consulfwd.servers.installed import installed_version

    target = TARGETS[server]
    if said != "auto":
        return known_version(target, said)
    version = installed_version(target)
    if version is None and target.ask_version:
        newest = ".".join(map(str, target.newest))
        click.echo(
            f"{target.title} is not installed here: written for {newest}"
            " (--server-version says for which)",
            err=True,
        )
    return version or target.newest


def _request(
    server: str, version: Version, settings: Settings, params: dict[str, object]
) -> Request:
    from consulfwd.generate.requests import Request

    dest, templates = params["dest"], params["templates"]
    target = TARGETS[server]
    request = Request(
        target=target,
        settings=settings,
        version=version,
        to="consulfwd" if (params["to"] or target.to) == "consulfwd" else "agents",
        options=frozenset({"named_conf"} if params["named_conf"] else ()),
        templates=(templates,) if isinstance(templates, Path) else (),
        dest=dest if isinstance(dest, Path) else None,
        links=applying.links(params),
        reload=not params["no_reload"],
        reload_by=str(params["reload"] or ""),
    )
    return dataclasses.replace(request, asked_at=_asked_at(request, str(params["verify"] or "")))


def _asked_at(request: Request, said: str) -> NameServer | None:
    """Return where the server is asked whether it works, None for nowhere."""
    from consulfwd.config.forms import BadValue, endpoint
    from consulfwd.generate.building import listening
    from consulfwd.generate.model import NameServer

    if said == "none":
        return None
    if said:
        try:
            at = endpoint(said)
        except BadValue as error:
            raise UsageError(f"--verify: {error}") from None
        return NameServer(str(at["host"]), int(str(at["port"])))
    if request.listens_as_set:
        return listening(request.settings)[0]
    address = request.target.asked_at
    return None if address is None else NameServer(address)


def _found(request: Request, params: dict[str, object]) -> Found | None:
    """Return the agents the catalog names, None if they are those of the settings."""
    if not params["from_catalog"]:
        return None
    import asyncio

    from consulfwd.generate.current import look_up

    told: list[str] = []
    found = asyncio.run(look_up(request.followed, _service(params), told.append))
    for line in told:
        click.echo(f"warning: {line}", err=True)
    return found


def _service(params: dict[str, object]) -> str:
    return str(params["service"] or "consul")


def _watch(
    server: str, version: Version, places: Sequence[Path], params: dict[str, object]
) -> int:
    from consulfwd.cli.logs import use
    from consulfwd.cli.looked_at import LookedAt
    from consulfwd.generate.current import keep_current
    from consulfwd.keep.follow import run
    from consulfwd.upkeep import Upkeep

    def request() -> Request:
        loaded = load_from_options(params)
        use(loaded)
        admin.use(loaded.settings)
        return _request(server, version, loaded.settings, params)

    what = f"keeping {TARGETS[server].title}'s files current"
    upkeep = Upkeep.take(os.environ, os.getpid(), what, "generate")
    admin = LookedAt(upkeep, "generate", server)
    return run(
        keep_current(
            request,
            [one for one in (*places, params["templates"]) if isinstance(one, Path)],
            applying.pace(str(params["quiescence"])),
            service=_service(params) if params["from_catalog"] else None,
            checks=not params["no_check"],
            upkeep=upkeep,
        ),
        upkeep,
        admin,
    )
