"""Queries that are noted: what was asked, and what became of it.

What belongs here: the form in which a listener hands one over, and who it is handed to. While
there is no observer nothing here runs. Must not know what becomes of notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from consulfwd.core.ask import Ask
from consulfwd.core.routes import Route
from consulfwd.net.flight import Flight
from consulfwd.net.jar import Opened
from consulfwd.net.waiter import Result

Kind = Literal["hot", "cache", "stale", "agent", "recursor", "here", "nobody"]


class Noted:
    """One query, noted: from `client` (address and port) to `at`, as the octets it came in.

    `asked_at` is the time of day, `since` when that was by the clock of the process. Of the answer:
    where it is from (`kind`, `server`: who said so at first), its `reply` as it went out, how many
    seconds it `took`, and why it is what it is (`ede`, RFC 8914), whether the client hears or not.
    """

    __slots__ = (
        "asked_at", "at", "client", "data", "ede", "kind", "reply", "server", "since", "took",
        "transport",
    )  # fmt: skip

    def __init__(
        self,
        data: bytes,
        client: tuple[str, int],
        at: tuple[str, int],
        transport: Literal["udp", "tcp"],
        asked_at: float,
        since: float,
    ) -> None:
        self.data = data
        self.client = client
        self.at = at
        self.transport = transport
        self.asked_at = asked_at
        self.since = since
        # What is refused, or goes wrong here, is answered here.
        self.kind: Kind = "here"
        self.server = ""
        self.ede: tuple[int, str] | None = None
        self.reply = b""
        self.took = 0.0

    def delivered(self, ask: Ask, result: Result) -> None:
        """Note where a result is from."""
        self.ede = result.ede
        entry, flight = result.entry, result.flight
        if result.stale:
            self.kind = "stale"
            self.server = entry.source if entry is not None else result.source
        elif entry is not None:
            self.kind, self.server = "cache", entry.source
        elif isinstance(flight, Flight) and flight.outcome is not None:
            asked = flight.outcome.upstream
            if asked is not None:
                self.kind = "agent" if asked.is_agent else "recursor"
                self.server = asked.name
            else:
                self.kind = "nobody"
        elif result.source == "nobody":
            self.kind = "nobody"
        elif ask.local is None:
            self.relayed(ask, result.source)

    def relayed(self, ask: Ask, source: str) -> None:
        """Note that it is the reply of the upstream of that name."""
        self.kind = "agent" if _is_agent(ask.route, source) else "recursor"
        self.server = source


def _is_agent(route: Route, name: str) -> bool:
    members = (one for group in route.groups for one in group.members)
    return next((one.is_agent for one in members if one.name == name), False)


class Observer(Protocol):
    """Who is told of queries. All of it is called on the event loop, and is not to keep it busy."""

    def take(self, count: int) -> Sequence[int]:
        """Return which of the next `count` queries are to be noted, by their numbers from 0 on."""

    def note(self, noted: Noted) -> None:
        """Take note of a query that was answered."""


class _Mark:
    """What is known of one query beside what it asks: a note of it, the cookie it came with."""

    noted: Noted | None = None
    opened: Opened | None = None


class _Name(_Mark, bytes):
    """An address as the kernel gives it, of a query that is noted or has a cookie."""


class _Pair(_Mark, tuple[Any, Any]):
    """Where a reply leaves from and goes to, of a query that is noted or has a cookie."""


class MarkedId(_Mark, bytes):
    """The ID of a query over TCP that is noted or has a cookie."""


def marked(peer: Any, noted: Noted) -> Any:
    """Return where a query came from in the same form, with what is noted of it.

    Whoever answers hands that back with the reply, on whatever way it was found.
    """
    mark = _Name(peer) if isinstance(peer, bytes) else _Pair(peer)
    mark.noted = noted
    return mark


def with_cookie(peer: Any, opened: Opened) -> Any:
    """Return the same with the cookie of a query, so that its reply has one."""
    mark = peer
    if not isinstance(peer, _Mark):
        mark = _Name(peer) if isinstance(peer, bytes) else _Pair(peer)
    mark.opened = opened
    return mark


def opened_of(mark: Any) -> Opened | None:
    """Return what the cookie of a query came to, None for one without."""
    return getattr(mark, "opened", None)


def noted_of(mark: Any) -> Noted | None:
    """Return what is noted of a query, None for one that is not."""
    return getattr(mark, "noted", None)
