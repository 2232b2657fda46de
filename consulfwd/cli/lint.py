"""`consulfwd lint`: what will bite with Consul in another server's configuration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from consulfwd.cli.options import load_from_options, settings_options, tell_passed_over
from consulfwd.errors import LintError

if TYPE_CHECKING:
    from consulfwd.config import Loaded
    from consulfwd.lint import Report
    from consulfwd.lint.check import Read
    from consulfwd.servers.findings import Place

TYPES = (
    "bind", "unbound", "dnsmasq", "resolved", "coredns", "pdns-recursor", "kresd", "dnsdist",
)  # fmt: skip
MAX_ALSO = 5


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--type", "server", type=click.Choice(TYPES), help="Whose files they are.")
@click.option(
    "--server-version",
    metavar="VERSION",
    help="The server's version, such as 9.18. Else that of the installed one, else the newest.",
)
@click.option("--offline", is_flag=True, help="Do not ask the agents.")
@click.option(
    "--check", "checker", is_flag=True, help="Ask the server's own checker (named-checkconf), too."
)
@click.option("--ignore", metavar="CODE", multiple=True, help="Do not tell of this. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="As JSON: a list of reports.")
@settings_options
def lint(
    files: tuple[Path, ...],
    server: str | None,
    server_version: str | None,
    offline: bool,
    checker: bool,
    ignore: tuple[str, ...],
    as_json: bool,
    **params: object,
) -> None:
    """Say what will bite with Consul in a server's own configuration.

    FILE is a named.conf or a file it includes, an unbound.conf, a dnsmasq.conf, a drop-in of
    systemd-resolved, a Corefile or the ConfigMap that holds it, a recursor.conf or recursor.yml, a
    kresd.conf, a dnsdist.conf, or a folder of such files. What it includes is read too. Several
    FILEs of one server are taken to be parts of one configuration. The exit code is 1 when there is
    anything to say, 2 when a file cannot be read or checked.
    """
    from consulfwd.lint import Wanted, ask_all, checked_by, installed_version, judged, read

    loaded = load_from_options(params, over_http=False)
    tell_passed_over(loaded)
    consul = loaded.settings.consul
    wanted = Wanted(
        domains=(consul.domain, *consul.alt_domains),
        server=server,
        version=server_version,
        own=_own(loaded),
        ignored=frozenset(ignore),
        checker=checked_by if checker else None,
    )
    ask = (lambda _: {}) if offline else ask_all
    found: list[Read] = []
    reports, faults = [], []
    for path in files:
        # Of a folder whose files are one configuration, all were read with the first.
        if any(path in one.reader.paths and path != one.path for one in found if one.server.beside):
            continue
        try:
            found.append(read(path, wanted, installed_version))
        except LintError as error:
            faults.append(error)
    for one in found:
        report = judged(one, wanted, ask, found)
        reports.append(report)
        if report.fault is not None:
            faults.append(report.fault)
    if as_json:
        click.echo(_as_json(reports))
    else:
        for report in reports:
            _show(report)
    for note in dict.fromkeys(note for report in reports for note in report.notes):
        click.echo(f"note: {note}", err=True)
    # What could be read has been told; the exit code is that of the worst.
    for fault in faults[:-1]:
        click.echo(f"consulfwd: {fault}", err=True)
    if faults:
        raise faults[-1]
    sys.exit(1 if any(report.findings for report in reports) else 0)


def _own(loaded: Loaded) -> frozenset[tuple[str, int]]:
    """Return where consulfwd listens, if that was said; a default says nothing of this host."""
    listen = [where for key, where in loaded.origins.items() if key.startswith("listen")]
    if all(where == "default" for where in listen):
        return frozenset()
    return frozenset((one.host, one.port) for one in loaded.settings.listen)


def _show(report: Report) -> None:
    from consulfwd.config.wording import printable

    colours = {"error": "red", "warning": "yellow"}
    for one in report.findings:
        place = click.style(f"{one.file}:{one.line}", bold=True)
        severity = click.style(one.severity, fg=colours[one.severity])
        click.echo(f"{place}: {severity}: {one.code}: {printable(one.what)}")
        click.echo(f"    why:  {one.why}")
        first, *more = one.mend.split("\n")
        click.echo(f"    mend: {printable(first)}")
        for line in more:
            click.echo(f"          {printable(line)}")
        if one.also:
            click.echo(f"    also: {_places(one.also)}")
    count = len(report.findings)
    found = f"{count} finding{'' if count == 1 else 's'}" if count else "no findings"
    click.echo(f"{report.file}: {report.server.title} {_version(report)}: {found}")


def _places(also: tuple[Place, ...]) -> str:
    shown = ", ".join(f"{one.file}:{one.line}" for one in also[:MAX_ALSO])
    left = len(also) - MAX_ALSO
    return f"{shown}, and {left} more" if left > 0 else shown


def _version(report: Report) -> str:
    return f"{'.'.join(map(str, report.version))} ({report.origin})"


def _as_json(reports: list[Report]) -> str:
    import json

    def plain(report: Report) -> dict[str, object]:
        return {
            "file": report.file,
            "server": report.server.title,
            "version": ".".join(map(str, report.version)),
            "version_from": report.origin,
            "findings": [
                {**one._asdict(), "also": [place._asdict() for place in one.also]}
                for one in report.findings
            ],
            "notes": list(report.notes),
        }

    return json.dumps([plain(report) for report in reports], indent=2)
