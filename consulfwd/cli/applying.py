"""What `generate` and `render` do with the files they made, and how they are told which.

Must not know where the files come from.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from consulfwd.errors import ApplyError, UsageError

if TYPE_CHECKING:
    from consulfwd.apply.jobs import Job
    from consulfwd.keep.quiescence import Quiescence


QUIESCENCE = click.option(
    "--quiescence",
    default="1:4",
    show_default=True,
    metavar="MIN[:MAX]",
    help="With --watch: seconds without a further change, and at most, until files are replaced.",
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


def carry_out(
    mode: str, jobs: Sequence[Job], *, as_json: bool, writes: str, checks: bool = True
) -> None:
    """Do what `mode` says: diff, check, what `writes` is called, or else print the texts."""
    if mode == "diff":
        _diff(jobs, as_json)
    elif mode == "check":
        _check(jobs, as_json, f"--{writes}")
    elif mode == writes:
        _write(jobs, as_json, checks)
    else:
        _show(jobs, as_json)


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


def _check(jobs: Sequence[Job], as_json: bool, mend: str) -> None:
    """Print which files differ, and what would `mend` that; end with 1 if any does."""
    from consulfwd.apply.jobs import changed

    differ = [str(file.path) for job in jobs for file in changed(job)]
    if as_json:
        click.echo(json.dumps({"differ": differ}))
    else:
        for path in differ:
            click.echo(f"{path} differs: --diff shows how, {mend} mends it")
    sys.exit(1 if differ else 0)


def _write(jobs: Sequence[Job], as_json: bool, checks: bool) -> None:
    """Bring the files into force, and print what was done. Raises the last ApplyError."""
    from consulfwd.apply.steps import apply_all

    results = [result for _, result in apply_all(jobs, checks=checks)]
    reports = [one for one in results if not isinstance(one, ApplyError)]
    written = [str(path) for report in reports for path in report.files]
    backups = [str(path) for report in reports for path in report.backups]
    reloaded = any(report.reloaded for report in reports)
    # Those that share a command share its fault.
    faults = list(dict.fromkeys(one for one in results if isinstance(one, ApplyError)))
    if as_json:
        done = {"written": written, "backups": backups, "reloaded": reloaded}
        click.echo(json.dumps({**done, "failed": [str(one) for one in faults]}))
    else:
        if not written and not faults:
            click.echo("nothing to do: all is as it should be")
        for path in written:
            click.echo(f"{path} written{', in force' if reloaded else ''}")
        for path in backups:
            click.echo(f"{path} is what stood there before")
    if faults:
        for one in faults[:-1]:
            click.echo(f"consulfwd: {one}", err=True)
        raise faults[-1]
