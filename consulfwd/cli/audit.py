"""`consulfwd audit`: where a site would still fall."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.options import load_from_options, settings_options, tell_passed_over
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    from consulfwd.audit import Options, Report

FILE = click.Path(path_type=Path)
_COLOURS = {"critical": "red", "warning": "yellow", "note": "cyan"}


@click.command()
@click.option(
    "--service", "globs", metavar="GLOB", multiple=True,
    help="Look at these services, and whatever they need. Repeatable.",
)
@click.option(
    "--dependencies", metavar="FILE", type=FILE,
    help="YAML that says who needs whom: NAME: [NAME].",
)
@click.option("--rack-key", metavar="KEY", default="rack", help="Nodes' metadata with their rack.")
@click.option(
    "--subnet", metavar="BITS", type=click.IntRange(8, 32), default=24, show_default=True,
    help="What is one network of IPv4.",
)
@click.option(
    "--subnet6", metavar="BITS", type=click.IntRange(16, 128), default=64, show_default=True,
    help="What is one network of IPv6.",
)
@click.option(
    "--timeout", metavar="SECONDS", type=click.FloatRange(0.5, 3600), default=60.0,
    show_default=True, help="Ask no longer than this; what is left is told.",
)
@click.option(
    "--fail-on", type=click.Choice(["critical", "warning", "note", "never"]), default="warning",
    show_default=True, help="From which findings on the exit code is 1.",
)
@click.option("--ignore", metavar="ID:SUBJECT", multiple=True, help="Leave this out. Repeatable.")
@click.option(
    "--ignore-file", metavar="FILE", type=FILE,
    help="YAML with what is left out, and why: ID:SUBJECT: REASON.",
)
@click.option(
    "--baseline", metavar="FILE", type=FILE,
    help="Say what is new against this, and count that alone.",
)
@click.option("--write-baseline", is_flag=True, help="Write what is found to --baseline.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print it as Markdown.")
@click.option("--html", metavar="FILE", type=FILE, help="Write a page with a picture, too.")
@settings_options
def audit(
    fail_on: str,
    baseline: Path | None,
    write_baseline: bool,
    as_json: bool,
    as_markdown: bool,
    html: Path | None,
    **params: Any,
) -> None:
    """List single points of failure and weak spots of a Consul site.

    What is there once, on one host, in one rack or network; what needs it, followed to the end;
    Consul's own servers; what this host's settings stand on. What Consul may not be asked for is
    listed as not looked at.

    Exit codes: 0 nothing found (or less grave than --fail-on), 1 found (with --baseline: new), 2
    wrong use, 3 Consul could not be asked.
    """
    from consulfwd import audit as audits
    from consulfwd.audit import files

    if as_json and as_markdown:
        raise UsageError("--json and --markdown: one of them")
    if write_baseline and baseline is None:
        raise UsageError("--write-baseline needs --baseline FILE")
    known = None if baseline is None or write_baseline else files.baseline(baseline)
    ignored = files.ignored(params["ignore_file"]) if params["ignore_file"] else {}
    ignored.update((files.ignored_key(one), "by --ignore") for one in params["ignore"])
    options = _options(params)
    loaded = load_from_options(params)
    tell_passed_over(loaded)
    report = audits.without(audits.run(loaded.settings, options), ignored)
    if known is not None:
        report = audits.against(report, known)
    if html is not None:
        files.write(html, _page(report))
    if write_baseline:
        assert baseline is not None
        files.write_baseline(baseline, report)
    _print(report, as_json, as_markdown)
    if fail_on != "never" and not write_baseline:
        sys.exit(1 if any(report.fails(one) for one in audits.SEVERITIES if one == fail_on) else 0)


def _options(params: dict[str, Any]) -> Options:
    from consulfwd.audit import Limits, Options, files

    path = params["dependencies"]
    return Options(
        services=params["globs"] or ("*",),
        limits=Limits(params["rack_key"], params["subnet"], params["subnet6"]),
        needs=() if path is None else files.needs(path),
        timeout=params["timeout"],
    )


def _page(report: Report) -> str:
    from datetime import datetime

    from consulfwd.audit.page import page

    return page(report, datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"))


def _print(report: Report, as_json: bool, as_markdown: bool) -> None:
    if as_json:
        import json

        from consulfwd.audit.shown import data

        click.echo(json.dumps(data(report), indent=2))
    elif as_markdown:
        from consulfwd.audit.markdown import markdown

        click.echo(markdown(report))
    else:
        from consulfwd.audit.shown import table

        _echo(table(report))


def _echo(lines: Iterable[tuple[str, str]]) -> None:
    for mood, line in lines:
        if mood in _COLOURS:
            click.echo(click.style(line, fg=_COLOURS[mood], bold=True))
        else:
            click.echo(click.style(line, bold=mood == "head", dim=mood == "dim") if mood else line)
