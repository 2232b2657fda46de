"""Whoever waits for an answer; while nothing needs deciding, also the query on its way.

A query passed to the first upstream in order, to which a plain reply comes in time, is the usual
case: it makes no other object than this one. Knows no sockets.
"""

from __future__ import annotations

from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempts
from consulfwd.core.cache import Entry
from consulfwd.core.known import Known
from consulfwd.core.upstreams import Upstream
from consulfwd.dns.edns import build_ede
from consulfwd.dns.message import Message


class Result:
    """One answer on its way to whoever waits: the message and what to do to it for the wire.

    `entry` is set when it comes fresh from the cache; `flight` when upstreams were asked.
    """

    __slots__ = ("ede", "entry", "flight", "message", "source", "stale")

    def __init__(
        self,
        message: Message,
        source: str,
        *,
        entry: Entry | None = None,
        flight: Attempts | None = None,
        stale: bool = False,
        ede: tuple[int, str] | None = None,
    ) -> None:
        self.message = message
        self.source = source
        self.entry = entry
        self.flight = flight
        self.stale = stale
        self.ede = ede

    def options(self) -> bytes:
        """Return the EDNS options that explain this answer (RFC 8914)."""
        return build_ede(*self.ede) if self.ede is not None else b""


class Waiter:
    """One client's question. It is told the answer once, by `deliver` or `relayed`.

    The other fields are set when its query is sent: to `upstream`, at `sent_at`, with the ID
    `ident`; `others` ask the same meanwhile.
    """

    __slots__ = ("ask", "ident", "others", "sent_at", "upstream")

    # How many aliases were followed to get here.
    depth = 0
    # Whether it is told of every attempt.
    traced = False
    # Where it asked; None for those inside.
    listener: object = None
    ask: Ask
    upstream: Upstream
    sent_at: float
    ident: bytes
    others: list[Waiter] | None

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def whose(self) -> bytes | str:
        """Return what stands for the client that asks; "" for those inside."""
        return ""

    def deliver(self, result: Result) -> None:
        """Take the result."""
        raise NotImplementedError

    def relayed(self, ask: Ask, known: Known, data: bytes) -> None:
        """Take an upstream's reply to `ask` that needs no more than to be passed on.

        It is one that is `known`, as it came in `data`.
        """
        self.deliver(Result(known.as_came(data), known.source))

    def join(self, waiter: Waiter) -> None:
        """Let one more client wait for the same answer."""
        if self.others is None:
            self.others = [waiter]
        else:
            self.others.append(waiter)

    def waiting(self) -> int:
        """Return how many wait for the answer."""
        return 1 + len(self.others) if self.others else 1

    def all(self) -> list[Waiter]:
        """Return all who wait."""
        return [self, *self.others] if self.others else [self]
