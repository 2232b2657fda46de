"""`consulfwd check`: plug-ins for Icinga, Nagios and whatever else runs such.

What belongs here: that whatever happens one of four exit codes comes of it, and text on stdout:
monitoring knows no others, and takes Python's own 1 for a warning.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import click

from consulfwd.checks.outcome import Outcome, Status, text
from consulfwd.checks.running import leave
from consulfwd.cli.streams import Unwritten
from consulfwd.cli.verbs import Verbs
from consulfwd.errors import ConsulfwdError

VERBS = {
    "resolve": (
        "consulfwd.cli.check_resolve",
        "resolve",
        "Whether a server answers, in time, and as it is to.",
    ),
    "service": (
        "consulfwd.cli.check_service",
        "service",
        "How many instances of a service are healthy in Consul.",
    ),
    "agents": (
        "consulfwd.cli.check_agents",
        "agents",
        "How the running resolver sees its agents and recursors.",
    ),
    "zone": ("consulfwd.cli.check_zone", "zone", "Whether zones are published, and arrive."),
    "failover": (
        "consulfwd.cli.check_failover",
        "failover",
        "How names that move with health are answered.",
    ),
    "audit": ("consulfwd.cli.check_audit", "audit", "Single points of failure and weak spots."),
}


class Ended(Exception):
    """A check has come to an end: what it is called, what came of it, how much is to be told."""

    def __init__(self, label: str, outcome: Outcome, verbose: int = 0) -> None:
        self.label = label
        self.outcome = outcome
        self.verbose = verbose
        super().__init__(outcome.summary)


class Checks(Verbs):
    """The plug-ins. What they are, and how they fail, ends the process here.

    The overview (`consulfwd check --help`) is none of them, and ends as those of other verbs do.
    """

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the words."""
        with _ends("CHECK", whole=False):
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the plug-in."""
        _say_nothing_else()
        with _ends(_label(ctx), whole=True):
            super().invoke(ctx)


def _label(ctx: click.Context) -> str:
    """Return what the plug-in is called that is meant."""
    # Where click keeps the verb differs between its versions.
    kept = vars(ctx)
    words = [*(kept.get("_protected_args") or kept.get("protected_args") or ()), *ctx.args]
    return words[0].upper() if words and words[0] in VERBS else "CHECK"


@contextlib.contextmanager
def _ends(label: str, *, whole: bool) -> Iterator[None]:
    """End the process with what comes of what is done; `whole` says that nothing comes after."""
    ended: Ended
    try:
        yield
        if not whole:
            return
        ended = _unknown(label, "nothing came of it")
    except Ended as done:
        ended = done
    except click.exceptions.Exit as stop:
        if not whole:
            raise
        # --help of a plug-in: what it printed is no state of anything.
        _leave("", stop.exit_code or Status.UNKNOWN)
    except click.ClickException as error:
        ended = _unknown(label, f"wrong use: {error.format_message()}", _help(error))
    except ConsulfwdError as error:
        first, *rest = str(error).splitlines() or [""]
        ended = _unknown(label, first, *rest)
    except (KeyboardInterrupt, click.Abort):
        ended = _unknown(label, "interrupted")
    except Unwritten:
        _leave("", Status.UNKNOWN)
    except Exception as error:
        ended = _unknown(label, f"an error of consulfwd's: {_told(error)}")
    _leave(text(ended.label, ended.outcome, ended.verbose), ended.outcome.status)


def _leave(said: str, code: int) -> None:
    """End the process; tests have it do something else."""
    leave(said, code, Status.UNKNOWN)


def _unknown(label: str, why: str, *lines: str) -> Ended:
    return Ended(label, Outcome(Status.UNKNOWN, why, lines))


def _help(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'consulfwd check'} --help says how"


def _told(error: Exception) -> str:
    """Return an error with where it happened, in one line: a traceback is for nobody there."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        where = f" ({code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
        trace = trace.tb_next
    return f"{type(error).__name__}: {error}{where}"


def _say_nothing_else() -> None:
    """Keep everything else off stderr: Icinga takes that for a part of what is said."""
    logging.getLogger().handlers[:] = [logging.NullHandler()]
    warnings.simplefilter("ignore")
    if sys.stderr is None:
        return
    sys.unraisablehook = lambda _: None


@click.group(cls=Checks, verbs=VERBS, no_args_is_help=False)
def check() -> None:
    """Check something once, as plug-ins for Icinga and Nagios do: one line, figures, an exit code.

    Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: wrong use, what cannot be asked, errors of
    the check itself, and --help of a check.
    """
