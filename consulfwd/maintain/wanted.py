"""What is asked of a run, what it tells on its way, and what it ends with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from consulfwd.consul.session import boot_time
from consulfwd.errors import ConsulfwdError, UsageError

SERVICE, NODE = "service", "node"
# Exit codes: not to be had now (EX_TEMPFAIL of sysexits.h); out of time, as timeout(1) has it.
BUSY, LATE = 75, 124


class Stopped(ConsulfwdError):
    """A run that did not do all that was asked for, with its exit code."""

    def __init__(self, why: str, code: int = 1) -> None:
        self.exit_code = code
        super().__init__(why)


@dataclass(frozen=True)
class Wanted:
    """What is to be taken out, why, and within which limits. Times in seconds.

    `kind` is what the name is of, "" where Consul is to say. Of a service it is the instance on
    `node` ("": on this host), with this `id` where there are several; all of them if `rolling`.
    Without a `command` all that was left out is put `back`.

    An instance is out for `limit` at most; `settle` is waited after the last TTL; `recheck` is how
    old a check must be (None: as Consul says); a command that is to end has `kill_after`; for the
    lock it is waited `wait`. `prefix` is where the locks are. With `leave_out` a command that
    fails leaves it out, with `anew` nothing is taken up that an earlier run had done.
    """

    name: str
    command: tuple[str, ...] = ()
    kind: str = ""
    node: str = ""
    id: str = ""
    rolling: bool = False
    back: bool = False
    limit: float = 600.0
    keep: int = 1
    force: bool = False
    settle: float = 1.0
    recheck: float | None = None
    kill_after: float = 10.0
    wait: float = float("inf")
    prefix: str = "consulfwd/maintain"
    reason: str = ""
    leave_out: bool = False
    anew: bool = False


class Event(NamedTuple):
    """A step on the way: what happened, for people, and the same as fields; `bad` is a warning."""

    name: str
    text: str
    fields: Mapping[str, object] = {}
    bad: bool = False


Tell = Callable[[Event], None]


class Times(NamedTuple):
    """The clocks, and how to wait: the time of day, and one that goes on while the host sleeps."""

    wall: Callable[[], float] = time.time
    boot: Callable[[], float] = boot_time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def check(wanted: Wanted, *, dry: bool = False) -> None:
    """Raise UsageError for what does not go together; nothing need be run in a `dry` run."""
    if wanted.rolling and (wanted.node or wanted.id):
        raise UsageError("--rolling is all instances: without --node, --id")
    if wanted.back and wanted.command:
        raise UsageError("--back runs nothing: without a command")
    if not wanted.back and not wanted.command and not dry:
        raise UsageError("what is to be run? (-- COMMAND, or --back)")


