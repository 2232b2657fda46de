"""What a way to an upstream promises whoever sends by it, and is told in turn.

Replies are matched to attempts by ID there; whether they answer the question is checked by the
owner. Must not decide anything about failover.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from consulfwd.core.attempts import Attempt
from consulfwd.net.clock import Clock
from consulfwd.net.waiter import Waiter

FALSE_REPLY = "a false reply (another question, or garbage)"
OTHER_ID = "a reply with another ID"
TOO_MANY, BUFFER_FULL = "too many queries outstanding", "the socket's send buffer is full"
# Why a query cannot be sent that says nothing about its upstream.
OUR_SHORTAGE = {TOO_MANY, BUFFER_FULL} | {
    os.strerror(code).lower() for code in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
}


class Owner(Protocol):
    """Who is told what became of an attempt.

    `batching` is set while many replies are told of in a row; `flush` is called after them. What
    goes wrong with an attempt by a fault of ours the owner handles by itself. `passing` passes
    relays on and back without Python where it was compiled.
    """

    batching: bool
    passing: object | None

    def on_reply(self, attempt: Attempt, data: bytes) -> bool:
        """Take a message with the attempt's ID; False, and nothing done, if it is a false one."""

    def on_failure(
        self, attempt: Attempt, reason: str, *, refused: bool, sign: bool = True
    ) -> None:
        """Take the end of an attempt without a reply; is it a `sign` of its upstream's health?"""

    def on_stray(self, attempt: Attempt, reason: str) -> None:
        """Take note of a reply that is not the attempt's; the true one may still come.

        Where the attempt has a result afterwards it does not wait for that any more.
        """

    def on_unasked(self, count: int) -> None:
        """Take note of so many replies with IDs nobody waits for."""

    def on_gave_way(self, attempt: Attempt) -> None:
        """Take the end of an attempt whose socket was needed for newer ones."""

    def on_relayed(self, relay: Waiter, data: bytes, now: float) -> bool:
        """Take a datagram with the relay's ID; return whether it was passed on as it is."""

    def on_broken(self, item: Attempt | Waiter, error: Exception) -> None:
        """Take an error of ours that came between an attempt or a relay and its reply."""

    def on_relay_due(self, relay: Waiter) -> None:
        """Take over a relay that has had no reply in its upstream's usual time."""

    def on_relay_failed(self, relay: Waiter, reason: str, *, refused: bool) -> None:
        """Take over a relay whose upstream is not there."""

    def on_relay_stray(self, relay: Waiter, reason: str) -> None:
        """Take over a relay in whose place something came that is not its reply."""

    def on_relay_gave_way(self, relay: Waiter) -> None:
        """Take over a relay whose socket was needed for newer queries, and end it."""

    def on_drained(self, sample: Waiter, relayed: int, now: float) -> None:
        """Take note that so many relays were answered at once, `sample` being one of them."""

    @property
    def clock(self) -> Clock:
        """Return what tells the time."""

    def flush(self) -> None:
        """Send the replies collected meanwhile."""


class Channel(Protocol):
    """A way to one upstream."""

    def send(self, attempt: Attempt, tail: bytes) -> str | None:
        """Send a query given without its ID; return why it could not be sent, or None."""

    def sweep(self, now: float) -> bool:
        """Forget attempts that will not be answered any more; return whether others are left."""

    def close(self) -> None:
        """Let go of every socket."""


def overdue(
    items: Iterable[Attempt | Waiter | None], late: float
) -> tuple[list[Waiter], float | None]:
    """Return the relays among `items`, the oldest first, that were sent at `late` or before.

    And in how many seconds the next one is due, None where no other waits.
    """
    due: list[Waiter] = []
    for item in items:
        if not isinstance(item, Waiter):
            continue
        if item.sent_at > late:
            return due, max(item.sent_at - late, 0.001)
        due.append(item)
    return due, None


def tell_due(owner: Owner, due: Iterable[Waiter], waits: Callable[[Waiter], bool]) -> None:
    """Tell an owner of relays that are due, but for those that no longer wait by then."""
    for relay in due:
        if not waits(relay):
            continue  # what became of one before it has taken this one over, too
        try:
            owner.on_relay_due(relay)
        except Exception as error:
            owner.on_broken(relay, error)
    owner.flush()


def random_ids() -> Iterator[bytes]:
    """Yield message IDs from the system's random source."""
    while True:
        block = os.urandom(2048)
        yield from [block[position : position + 2] for position in range(0, 2048, 2)]
