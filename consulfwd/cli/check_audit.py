"""`consulfwd check audit`: where the site would still fall, as a plug-in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consulfwd.cli.check_options import COUNT, STATE, perform, plugin_options, settings

if TYPE_CHECKING:
    from consulfwd.checks.deadline import Deadline
    from consulfwd.checks.outcome import Outcome

_FILE = click.Path(path_type=Path)


@click.command()
@click.option(
    "--service", "globs", metavar="GLOB", multiple=True,
    help="Look at these services, and whatever they need. Repeatable.",
)  # fmt: skip
@click.option(
    "--dependencies", metavar="FILE", type=_FILE,
    help="YAML that says who needs whom: NAME: [NAME].",
)  # fmt: skip
@click.option(
    "--baseline", metavar="FILE", type=_FILE,
    help="Count only what is new against this (consulfwd audit --write-baseline).",
)  # fmt: skip
@click.option(
    "--ignore-file", metavar="FILE", type=_FILE,
    help="YAML with what is left out, and why: ID:SUBJECT: REASON.",
)  # fmt: skip
@click.option(
    "-w", "--warning", type=COUNT, default="0", show_default=True,
    help="WARNING where the number of findings that are warnings is not in this range.",
)  # fmt: skip
@click.option(
    "-c", "--critical", type=COUNT, default="0", show_default=True,
    help="CRITICAL where the number of critical findings is not in this range.",
)  # fmt: skip
@click.option(
    "--unseen", type=STATE, default="unknown", show_default=True,
    help="What it is worth that something could not be looked at.",
)  # fmt: skip
@plugin_options
def audit(**params: Any) -> None:
    """Say how many single points of failure and weak spots the site has, and which.

    They are those of `consulfwd audit`, which explains each. It asks for much: let it run once an
    hour, and give it time (--timeout).

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, Consul could not be asked,
    errors of the check itself.
    """

    def check(deadline: Deadline) -> Outcome:
        from consulfwd import audit as audits
        from consulfwd.audit import files
        from consulfwd.checks import audit
        from consulfwd.errors import ConsulError

        known = None if params["baseline"] is None else files.baseline(params["baseline"])
        ignored = files.ignored(params["ignore_file"]) if params["ignore_file"] else {}
        options = audits.Options(
            services=params["globs"] or ("*",),
            needs=() if params["dependencies"] is None else files.needs(params["dependencies"]),
            # The rest is for what follows from it.
            timeout=0.9 * deadline.patience,
        )
        site = settings(params, over_http=True)
        deadline.doing = "waiting for Consul's HTTP API"
        try:
            report = audits.without(audits.run(site, options), ignored)
        except ConsulError as error:
            return audit.unasked(str(error))
        if known is not None:
            report = audits.against(report, known)
        found = audit.Found(
            report.news,
            len(report.findings) - len(report.news) + len(report.ignored),
            [f"{one.what}: {one.why}" for one in report.unseen],
        )
        return audit.judge(
            audit.Wanted(params["warning"], params["critical"], params["unseen"]), found
        )

    perform("AUDIT", params, check)
