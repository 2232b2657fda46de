"""A question on its way to upstreams with those who wait for it, and the count of all of them."""

from __future__ import annotations

from dataclasses import dataclass

from consulfwd.core.ask import Ask
from consulfwd.core.attempts import Attempt
from consulfwd.core.cache import Entry
from consulfwd.core.query import Lookup
from consulfwd.core.routes import Route
from consulfwd.dns import const
from consulfwd.net.waiter import Waiter


@dataclass
class Counters:
    """What the engine has done since it started.

    extra            hedges, and what a false reply made ask
    reused           answers from the cache past their TTL, for a watch (those in hot tables beside)
    second_opinions  replies not believed before another agent had spoken; `overruled` of them were
                     not taken, `opinion_seconds` is what clients waited for them in all
    false_replies    with the ID asked with, to another question or malformed
    stray_replies    with an ID nobody waits for: late, or sent by somebody else
    evaded           attempts given up for too many of both
    trailing         replies with octets behind them, each content of a reply once
    rebinding        answers about outside names that lost private addresses
    limited          queries over their clients' limits; `slipped` of them were told to come by TCP
    shielded         questions about unknown names not asked, as too many were in flight
    cookies          queries with a cookie; in `right_cookies` the server's part was ours, in
                     `wrong_cookies` not, the others have none yet
    """

    queries: int = 0
    hot: int = 0
    cached: int = 0
    reused: int = 0
    joined: int = 0
    forwarded: int = 0
    upstream: int = 0
    extra: int = 0
    second_opinions: int = 0
    overruled: int = 0
    opinion_seconds: float = 0.0
    stale: int = 0
    failed: int = 0
    false_replies: int = 0
    stray_replies: int = 0
    evaded: int = 0
    trailing: int = 0
    limited: int = 0
    slipped: int = 0
    shielded: int = 0
    cookies: int = 0
    right_cookies: int = 0
    wrong_cookies: int = 0
    rebinding: int = 0


class Flight(Lookup):
    """A lookup with those who wait for it; nobody does where it `refreshes` a stale answer.

    While an alias in its answer is followed, `follows` is the key of the target's question, which
    is `target`; `onward` is what became of that, where it was asked for.
    """

    __slots__ = (
        "armed", "ask", "depth", "follows", "onward", "refreshes", "route", "stale",
        "target", "waiters",
    )  # fmt: skip

    ask: Ask
    route: Route
    waiters: list[Waiter]
    stale: Entry | None
    armed: float
    depth: int
    follows: bytes | None
    target: Ask | None
    onward: Flight | None
    refreshes: bool

    def start(self, now: float) -> list[Attempt]:
        """Return the first attempt to send, if there is anyone to ask."""
        return super().start(now) if self.plan else self.abandon()

    def abandon(self) -> list[Attempt]:
        """End without an answer, for want of anyone to ask."""
        return self._fail(const.EDE_NO_AUTHORITY, self.route.nobody())

    def fail(self, reason: str) -> list[Attempt]:
        """End without an answer, for a reason of ours."""
        return self._fail(const.EDE_OTHER, reason)

    def all(self) -> list[Waiter]:
        """Return all who wait."""
        return self.waiters

    def waiting(self) -> int:
        """Return how many wait for the answer."""
        return len(self.waiters)

    def join(self, waiter: Waiter) -> None:
        """Let one more client wait for the same answer."""
        self.waiters.append(waiter)
