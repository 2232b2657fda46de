"""Ready answers: replies to one datagram, without their ID, that take turns and grow older.

What belongs here is their form and the one made in Python; its twin is compiled
(`net/fast/ready.c`). Must not know what is asked, nor where they are kept (`core.hot`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Protocol

Variant = Callable[[], bytes]


class Ready(Protocol):
    """Answers to one datagram; `hits` counts those given, `octets` is what they take."""

    hits: int

    @property
    def octets(self) -> int:
        """Return what they take."""

    def given(self) -> Variant:
        """Return what gives the next one."""

    def age(self, seconds: int) -> bool:
        """Count their TTLs down; False where that takes longer than to make them anew."""


class Timed(Ready, Protocol):
    """Those of which the compiled lane looks whether they are good: `until` then."""

    until: float


class Compiled(Protocol):
    """Makes ready answers of replies that take turns, or of one and its plain RRset's records.

    These stand at `begin`, each of `size` octets; there may be more than fit into the reply.
    """

    def __call__(
        self,
        replies: Sequence[bytes],
        begin: int = 0,
        size: int = 0,
        records: bytes = b"",
        seed: int = 1,
    ) -> Timed:
        """Return them. Raises ValueError for what is no message."""


class PureReady:
    """Answers that are made while they are asked for, `most` at most, then given again in turn.

    Those that `fade` have TTLs that count down; of a `part` not every record comes first.
    """

    __slots__ = ("_fades", "_made", "_most", "hits", "octets", "part", "replies", "whole")

    def __init__(
        self, made: Iterator[bytes], most: int, octets: int, *, fades: bool, part: bool
    ) -> None:
        self.hits = 0
        self.octets = octets
        self.replies: list[bytes] = []
        # Whether they are all made.
        self.whole = False
        self._made = made
        self._most = most
        self._fades = fades
        self.part = part

    def given(self) -> Variant:
        return self._turns().__next__

    def _turns(self) -> Iterator[bytes]:
        replies = self.replies
        for reply in islice(self._made, self._most):
            if replies and reply is replies[0]:
                # The same again is what has no order to vary.
                break
            replies.append(reply)
            self.hits += 1
            yield reply
        self.whole = True
        for reply in cycle(replies):
            self.hits += 1
            yield reply

    def age(self, seconds: int) -> bool:
        return not self.part and not (seconds and self._fades)
