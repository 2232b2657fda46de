"""What `generate` and `render` do with the files they made, and how they are told which.

Must not know where the files come from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from consulfwd.errors import ApplyError, ConsulfwdError, UsageError

if TYPE_CHECKING:
    from consulfwd.apply.change import Applied
    from consulfwd.apply.jobs import Job
    from consulfwd.apply.places import Links
    from consulfwd.keep.quiescence import Quiescence


QUIESCENCE = click.option(
    "--quiescence",
    default="1:4",
    show_default=True,
    metavar="MIN[:MAX]",
    help="With --watch: seconds without a further change, and at most, until files are replaced.",
)

LINKS = click.option(
    "--links",
    type=click.Choice(["follow", "replace"]),
    help="Where a file's place is a link into another directory: write the file it leads to, or"
    " have a file instead of the link. [default: refuse]",
)


def chosen(params: Mapping[str, object], modes: Sequence[str], usual: str) -> str:
    """Return which of `modes` was asked for, `usual` if none was. Raises UsageError for several."""
    asked = [one for one in modes if params[one]]
    if len(asked) > 1:
        said = " and ".join("--" + one.replace("_", "-") for one in asked)
        raise UsageError(f"{said}: choose one of them")
    mode = asked[0] if asked else usual
    if params["as_json"] and mode == "watch":
        raise UsageError("--watch writes a log, not --json (log.format: json makes its lines JSON)")
    return mode


def pace(said: str) -> Quiescence:
    """Return what `--quiescence` asks for. Raises UsageError."""
    from consulfwd.keep.quiescence import Quiescence

    least, _, most = said.partition(":")
    try:
        return Quiescence(float(least), float(most) if most else None)
    except ValueError:
        mend = "is not MIN[:MAX] in seconds, such as 2 or 2:10"
        raise UsageError(f"--quiescence: {said!r} {mend}") from None


def links(params: Mapping[str, object]) -> Links:
    """Return what `--links` asks for."""
    said = params["links"]
    return "follow" if said == "follow" else "replace" if said == "replace" else "refuse"


def carry_out(
    mode: str,
    jobs: Sequence[Job],
    *,
    as_json: bool,
    writes: str,
    checks: bool = True,
    faults: Sequence[ConsulfwdError] = (),
) -> None:
    """Do what `mode` says: diff, check, what `writes` is called, or else print the texts.

    `faults` are why others have no text: they hold up none of the jobs. Raises one of them, or of
    what the jobs met with, when all is done and the others are told.
    """
    differ = False
    found: list[ConsulfwdError] = list(faults)
    if mode == writes:
        found += _write(jobs, as_json, checks, faults)
    elif faults and not jobs:
        pass
    elif mode == "diff":
        _diff(jobs, as_json)
    elif mode == "check":
        differ = _check(jobs, as_json, f"--{writes}")
    else:
        _show(jobs, as_json)
    _raise_last(found)
    if mode == "check":
        sys.exit(1 if differ else 0)


def _raise_last(faults: Sequence[ConsulfwdError]) -> None:
    """Tell all, each once, and raise the last. That Consul could not be asked comes before."""
    told = list({str(one): one for one in faults}.values())
    told.sort(key=lambda one: one.exit_code, reverse=True)
    for one in told[:-1]:
        for line in str(one).splitlines():
            click.echo(f"consulfwd: {line}", err=True)
    if told:
        raise told[-1]


def _show(jobs: Sequence[Job], as_json: bool) -> None:
    """Print the texts, each below its path if there are several."""
    files = [file for job in jobs for file in job.files]
    if as_json:
        found = [{"path": str(one.path), "text": one.text} for one in files]
        click.echo(json.dumps({"files": found}, indent=2))
        return
    for number, one in enumerate(files):
        if len(files) > 1:
            click.echo(f"{chr(10) if number else ''}# ---- {one.path} ----")
        click.echo(one.text, nl=False)


def _diff(jobs: Sequence[Job], as_json: bool) -> None:
    """Print how what is installed differs."""
    from consulfwd.apply.jobs import difference

    found = {str(job.files[0].path): difference(job) for job in jobs}
    click.echo(json.dumps(found, indent=2) if as_json else "".join(found.values()), nl=as_json)


def _check(jobs: Sequence[Job], as_json: bool, mend: str) -> bool:
    """Print what differs or may not be in force, and what would `mend` that; return whether any."""
    from consulfwd.apply.jobs import changed, untold

    differ = [str(file.path) for job in jobs for file in changed(job)]
    waiting = [str(file.path) for job in jobs for file in untold(job)]
    if as_json:
        found = {"differ": differ}
        if waiting:
            found["not_in_force"] = waiting
        click.echo(json.dumps(found))
        return bool(differ or waiting)
    for path in differ:
        click.echo(f"{path} differs: --diff shows how, {mend} mends it")
    for path in waiting:
        click.echo(f"{path} may not be in force, nobody was told of it yet: {mend} tells again")
    return bool(differ or waiting)


def _write(
    jobs: Sequence[Job], as_json: bool, checks: bool, unrendered: Sequence[ConsulfwdError]
) -> list[ApplyError]:
    """Bring the files into force, and print what was done. Return what went wrong."""
    from consulfwd.apply.steps import apply_all

    results = [result for _, result in apply_all(jobs, checks=checks)]
    reports = [one for one in results if not isinstance(one, ApplyError)]
    written = [path for report in reports for path in report.places]
    backups = [path for report in reports for path in report.backups]
    # Those that share a command share its fault.
    faults = list(dict.fromkeys(one for one in results if isinstance(one, ApplyError)))
    if as_json:
        done: dict[str, object] = {"written": written, "backups": backups}
        done["reloaded"] = any(report.reloaded for report in reports)
        done["failed"] = [str(one) for one in (*unrendered, *faults)]
        if idle := dict.fromkeys(command for report in reports for command in report.idle):
            done["not_running"] = list(idle)
        click.echo(json.dumps(done))
        return faults
    if not (written or faults or unrendered):
        click.echo("nothing to do: all is as it should be")
    for report in reports:
        for path in report.places:
            click.echo(f"{path} written{_in_force(report)}")
    for path in backups:
        click.echo(f"{path} is what stood there before")
    return faults


def _in_force(report: Applied) -> str:
    """Return what is said of a file that stands in its place."""
    if report.idle:
        found = ", ".join(f"`{command}`" for command in report.idle)
        return f", in force once its server starts ({found} found nobody running)"
    return ", in force" if report.reloaded else ""
