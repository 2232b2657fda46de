"""What the commands have in common that ask a running process: whom, and how it is printed.

Nothing that came from a process reaches a terminal but through `echo` and `told`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from consulfwd.errors import ConsulfwdError, UsageError
from consulfwd.words import printable

if TYPE_CHECKING:
    from consulfwd.ops.reading import Read
    from consulfwd.ops.text.lines import Line

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

JSON = click.option("--json", "as_json", is_flag=True, help="The same as JSON, for machines.")
_COLOURS = {"good": "green", "bad": "red", "warn": "yellow"}
# How long (seconds) a process may take to reply, and with an order: it says itself what it took.
PATIENCE, ORDER_PATIENCE = 5.0, 8.0
# How long (seconds) a shell may be kept from completing a word.
_IMPATIENT = 0.5
# What HTTP statuses of orders are as exit codes: wrong use, or nobody who may be asked.
_CODES = {400: 2, 404: 2, 403: 3, 401: 3}


class Refused(ConsulfwdError):
    """An order that was not carried out: the `status` as HTTP has it, and the process's words."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        self.exit_code = _CODES.get(status, 1 if status < 500 else 3)
        super().__init__(message)


def socket_option(command: Decorated) -> Decorated:
    """Add --socket to a command: whom to ask, as a Path or None."""
    return click.option(
        "--socket",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Ask the process with this admin socket, instead of looking for it.",
    )(command)


def sockets(named: Path | None) -> list[Path]:
    """Return the sockets of running processes: the one named, or all there are."""
    from consulfwd.ops.client import AdminError, find

    try:
        return find(named)
    except AdminError as error:
        raise AdminError(error.path, printable(str(error))) from None


def resolver(named: Path | None) -> Path:
    """Return the socket of the resolver that is meant. Raises UsageError where there are several.

    One that is named is taken for it.
    """
    from consulfwd.ops.places import of_resolvers

    found = sockets(named)
    if named is not None:
        return found[0]
    serving = of_resolvers(found)
    if len(serving) == 1:
        return serving[0]
    paths = printable(", ".join(str(one) for one in serving or found))
    if not serving:
        raise UsageError(f"no resolver runs here, only others ({paths}): name one with --socket")
    raise UsageError(f"several resolvers run here: say which with --socket ({paths})")


def picture(path: Path, timeout: float | None = None) -> tuple[dict[str, Any], Read]:
    """Return what a process says of itself, as it came and as it is read."""
    from consulfwd.ops.client import AdminError
    from consulfwd.ops.reading import NoPicture, from_json

    found = _asked(path, "GET", "/status.json", None, timeout or PATIENCE)
    try:
        return found, from_json(found)
    except NoPicture as error:
        raise AdminError(path, f"{path}: {error}") from None


class Look(NamedTuple):
    """One process: its socket, what it said, or why it did not."""

    path: Path
    raw: dict[str, Any] | None
    read: Read | None
    fault: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it: what came as it came."""
        there: dict[str, Any] = {"socket": str(self.path)}
        return {**there, "status": self.raw} if self.raw is not None else {
            **there, "error": self.fault}  # fmt: skip


def look(path: Path, patience: float | None = None) -> Look:
    """Ask one process, for so many seconds at most."""
    try:
        raw, read = picture(path, patience)
    except Refused as error:
        return Look(path, None, None, f"{path}: {error}")
    except ConsulfwdError as error:
        return Look(path, None, None, str(error))
    return Look(path, raw, read)


def order(path: Path, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Have a process carry out an order; return what came of it. Raises Refused."""
    return _asked(path, "POST", f"/orders/{name}", values, ORDER_PATIENCE)


def _asked(
    path: Path, method: str, target: str, body: Mapping[str, Any] | None, timeout: float
) -> dict[str, Any]:
    from consulfwd.ops.client import AdminError, ask

    try:
        status, found = ask(path, method, target, body, timeout)
    except AdminError as error:
        raise AdminError(error.path, printable(str(error))) from None
    if status == 200:
        return found
    said = found.get("error") or found.get("text") or f"HTTP {status}"
    raise Refused(status, printable(str(said).strip()))


def stream(path: Path, target: str) -> Iterator[str]:
    """Yield the lines of what a process tells as it goes, until it ends."""
    from consulfwd.ops.client import AdminError, lines

    try:
        yield from lines(path, target)
    except AdminError as error:
        raise AdminError(error.path, printable(str(error))) from None


def echo(lines: Iterable[Line]) -> None:
    """Print lines, in colours where that is a terminal."""
    click.echo("\n".join(shown(lines)))


def shown(lines: Iterable[Line]) -> list[str]:
    """Return lines as they are printed, with nothing in them that a terminal would obey."""
    return [_styled(mood, fit(text)) for mood, text in lines]


def _styled(mood: str, text: str) -> str:
    if mood == "head":
        return click.style(text, bold=True)
    if mood == "dim":
        return click.style(text, dim=True)
    colour = _COLOURS.get(mood)
    return click.style(text, fg=colour) if colour else text


def fit(text: str) -> str:
    """Return a text in which everything shows, with only what stdout's encoding has."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def echo_json(value: object) -> None:
    """Print a value for machines; what is not ASCII is escaped, control characters among it."""
    # Imported late: start-up time counts.
    import json

    try:
        told = json.dumps(value, indent=1)
    except RecursionError:
        raise ConsulfwdError("what came is nested too deeply: is that consulfwd?") from None
    click.echo(told)


def agents(context: click.Context, param: click.Parameter, begun: str) -> list[str]:
    """Return the names of agents and recursors that begin so: for the shell, which completes them.

    Nothing where nobody answers at once.
    """
    try:
        named = context.params.get("socket")
        path = resolver(named if isinstance(named, Path) else None)
        _, read = picture(path, _IMPATIENT)
    except ConsulfwdError:
        return []
    seen = read.snapshot.resolver
    names = [one.name for one in seen.upstreams] if seen is not None else []
    return [name for name in names if name.startswith(begun)]
