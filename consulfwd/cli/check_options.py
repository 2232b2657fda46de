"""What the plug-ins of `consulfwd check` have in common: their options, and being in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click
from click.shell_completion import CompletionItem

from consulfwd import __version__
from consulfwd.checks import running
from consulfwd.checks.deadline import Deadline, age
from consulfwd.checks.outcome import Outcome, Status
from consulfwd.checks.ranges import TIMES, Range, RangeError, parse
from consulfwd.checks.thresholds import Thresholds
from consulfwd.cli.check import Ended
from consulfwd.errors import UsageError

if TYPE_CHECKING:
    # Which newer versions of click know as generic, and older ones do not.
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

TIMEOUT = "10"
LONGEST = 3600.0


class _Range(_Type):
    """A threshold."""

    name = "RANGE"

    def __init__(self, *, time: bool = False, percent: bool = False) -> None:
        self._units = TIMES if time else None
        self._percent = percent

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Range:
        """Read it."""
        if isinstance(value, Range):
            return value
        try:
            return parse(str(value), self._units, percent=self._percent)
        except RangeError as error:
            self.fail(str(error), param, ctx)


class _Minimum(_Type):
    """The least that is well, as a number or a part of all."""

    name = "N|N%"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Range:
        """Read it."""
        if isinstance(value, Range):
            return value
        try:
            if ":" in str(value) or "@" in str(value):
                raise RangeError(f"{str(value)[:40]!r} is a range: a minimum is 2, or 50%")
            found = parse(f"{value}:", percent=True)
        except RangeError as error:
            self.fail(str(error), param, ctx)
        if found.low < 0 or (found.percent and found.low > 100):
            self.fail(f"{value} is no minimum", param, ctx)
        return found


class _State(_Type):
    """A state by name or number."""

    name = "STATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Status:
        """Read it."""
        if isinstance(value, Status):
            return value
        found = state(str(value))
        if found is None:
            self.fail(f"{value!r} is none of ok, warning, critical, unknown", param, ctx)
        return found

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so."""
        names = [one.name.lower() for one in Status]
        return [CompletionItem(one) for one in names if one.startswith(incomplete)]


class _Timeout(_Type):
    """Seconds, and what it is worth that they pass."""

    name = "S[:STATE]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, Status | None]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        text, colon, after = str(value).partition(":")
        try:
            seconds = parse(text, TIMES).high
        except RangeError as error:
            self.fail(str(error), param, ctx)
        if text.startswith("@") or not 0 < seconds <= LONGEST:
            self.fail(f"{value!r} is not more than 0 and at most {LONGEST:g} s", param, ctx)
        found = state(after) if colon else None
        if colon and found is None:
            self.fail(f"{after!r} is none of ok, warning, critical, unknown", param, ctx)
        return seconds, found


def state(text: str) -> Status | None:
    """Return the state of a name or number, None if there is none."""
    if text.isascii() and text.isdecimal() and len(text) == 1:
        return Status(int(text)) if int(text) <= 3 else None
    return Status.__members__.get(text.upper())


COUNT, SHARE, SECONDS = _Range(), _Range(percent=True), _Range(time=True)
MINIMUM, STATE = _Minimum(), _State()


def plugin_options(command: Decorated) -> Decorated:
    """Add what every plug-in takes: how long it may take, how much it tells, whose settings."""
    command = click.version_option(
        __version__, "-V", "--version", prog_name="consulfwd check", help="Show the version."
    )(command)
    command = click.option(
        "-v", "--verbose", count=True, help="Tell more, below the first line."
    )(command)
    command = click.option(
        "-t",
        "--timeout",
        type=_Timeout(),
        default=TIMEOUT,
        show_default=True,
        help="Seconds until it ends, from the start of the process; with a state, what that is.",
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Configuration file (CONSULFWD_CONFIG; /etc/consulfwd/consulfwd.yml if there is one).",
    )(command)


def thresholds(
    *names: str, of: _Type, what: str, default: str = ""
) -> Callable[[Decorated], Decorated]:
    """Add the two ranges of a value: -w and -c where no name is given, or --NAME-warning."""
    (name,) = names or ("",)

    def add(command: Decorated) -> Decorated:
        for level in ("critical", "warning"):
            words = [f"--{name}-{level}"] if name else [f"-{level[0]}", f"--{level}"]
            text = f"{level.upper()} where {what} is not in this range{default}."
            command = click.option(*words, type=of, help=text)(command)
        return command

    return add


def bounds(params: Mapping[str, Any], name: str = "") -> Thresholds:
    """Return the two ranges that `thresholds` added."""
    prefix = f"{name}_" if name else ""
    return Thresholds(params[f"{prefix}warning"], params[f"{prefix}critical"])


def perform(
    label: str,
    params: Mapping[str, Any],
    check: Callable[[Deadline], Outcome],
    late: Status = Status.UNKNOWN,
    what: str = "",
) -> NoReturn:
    """Run a check in time, and end with what came of it.

    It is `late` where whatever is checked took too long, and UNKNOWN where anything else did.
    """
    seconds, given = params["timeout"]
    verbose = int(params["verbose"])
    deadline = Deadline(seconds, age())
    subject = f"{what}: " if what else ""
    try:
        outcome = running.run(lambda: check(deadline), deadline)
    except running.Late:
        doing = f", {deadline.doing}" if deadline.doing else ", while it began"
        usual = late if deadline.judged else Status.UNKNOWN
        state = usual if given is None else given
        outcome = Outcome(state, f"{subject}no result within {seconds:g} s{doing}")
    raise Ended(label, outcome, verbose)


def in_time(params: Mapping[str, Any], usual: Status) -> Status:
    """Return what it is worth that somebody asked does not answer in time."""
    given: Status | None = params["timeout"][1]
    return usual if given is None else given


def settings(params: Mapping[str, Any], *, over_http: bool) -> Any:
    """Return the settings. Raises ConfigError."""
    from consulfwd.cli.options import load_from_options

    return load_from_options({"config": params["config"]}, over_http=over_http).settings


def server(text: str, port: int) -> tuple[str, int]:
    """Return host and port of HOST, HOST:PORT or [HOST]:PORT. Raises UsageError."""
    from consulfwd.config import forms

    try:
        host, written = forms.host_port(text)
        number = port if written is None else forms.port_number(written)
    except forms.BadValue as error:
        raise UsageError(f"{text}: {error}") from None
    if not host or len(host) > 255 or not host.isprintable() or " " in host:
        raise UsageError(f"{text!r} is not HOST or HOST:PORT")
    return host, number
