"""A watch: what is known of one subject, and the questions that hang on it.

What belongs here: one watch's own state, and room for its questions. Must not know: other watches,
agents (see `freshness`). Pure: `now` is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consulfwd.core.interest import Interest
from consulfwd.core.settling import Instance
from consulfwd.core.subjects import Subject
from consulfwd.dns import const

# How long (seconds) an answer is reused at most before it is asked for again, watch or not: what
# a watch cannot see (a token that lost its rights, a fault of an agent) does not last longer.
REUSE, REUSE_NEGATIVE = 10.0, 2.0
# The same where the token may lose the right to see without a word: streaming agents let who waits
# for a service wait on, while they hide from it what changes.
REUSE_UNSURE = 2.0
# The same for a node's own names: Consul 1.8 does not wake who waits for a node that goes away.
REUSE_NODE = 1.0
# Questions that may hang on one watch, and those of names that do not exist.
MAX_KEYS, MAX_DENIED = 256, 64


class Command(NamedTuple):
    """What the shell is to do: watch a subject at the agent `carrier`, or stop (None).

    With `apart` not at once, but a while of its own later: a thousand hosts move just now.
    """

    subject: Subject
    carrier: str | None
    apart: bool = False


class Watch:
    """One subject that is watched.

    `candidates` are the agents that could carry it, the best first; `interest` is how often it is
    asked for; `armed` is set once the first state is known; `changed_at` is when it was armed or
    last changed, by the clock; `size` is how many instances Consul has of it, `healthy` how many of
    them it would name; `negative` whether nobody ever saw one; `keys` are the questions whose
    answers hang on it, `denied` those of names that do not exist (such as an unknown tag), each
    with when its answer came and until when that is reused; `asked_at` is when an answer was last
    asked for, `free_at` when none is reused any more. `instances` are the healthy ones, where the
    watch tells them and agents' answers are corrected by them, `shown` where it tells them at all.
    `sure` is False where the watch may become blind unseen. `tried` are the
    agents where it failed lately; it is at `carrier` since `placed_at`.
    """

    __slots__ = (
        "_counts", "armed", "asked_at", "candidates", "carrier", "changed_at", "changes", "denied",
        "free_at", "healthy", "instances", "interest", "keys", "negative", "placed_at", "shown",
        "size", "subject", "sure", "tried",
    )  # fmt: skip

    def __init__(
        self,
        subject: Subject,
        carrier: str,
        candidates: Sequence[str],
        interest: Interest,
        now: float,
        negative: bool,
    ) -> None:
        self.subject = subject
        self.carrier = carrier
        self.candidates = tuple(candidates)
        self.interest = interest
        self.armed = False
        self.placed_at = self.changed_at = self.asked_at = self.free_at = now
        self.tried: set[str] = set()
        self.changes = 0
        self.size = self.healthy = 0
        self.instances: frozenset[Instance] | None = None
        self.shown: frozenset[Instance] | None = None
        self._counts: dict[tuple[int, str], int] = {}
        self.negative = negative
        self.sure = True
        self.keys: dict[bytes, tuple[float, float]] = {}
        self.denied: dict[bytes, tuple[float, float]] = {}

    def shows(self, shown: frozenset[Instance] | None) -> None:
        """Note the healthy instances there are now."""
        self.shown = shown
        self._counts.clear()

    def least(self, qtype: int, tag: str) -> int:
        """Return how many records of a type an answer with all instances has at least.

        Whether those with a warning are shown is a setting of the agent's.
        """
        count = self._counts.get((qtype, tag))
        if count is None:
            fit = [one for one in self.shown or () if one.passing and (not tag or tag in one.tags)]
            if self.shown is None:
                count = 0 if tag else self.healthy
            elif qtype == const.A:
                count = len({one.ipv4 for one in fit} - {b""})
            elif qtype == const.AAAA:
                count = len({one.ipv6 for one in fit} - {b""})
            elif qtype == const.SRV:
                count = len({(one.target, one.port) for one in fit if one.target})
            else:
                count = 0
            if len(self._counts) < MAX_KEYS:
                self._counts[qtype, tag] = count
        return count

    def holds(self, key: bytes, now: float, *, denied: bool) -> bool:
        """Let a question hang on this watch if there is room; return whether it does."""
        mine, other, most = self.keys, self.denied, MAX_KEYS
        if denied:
            mine, other, most = self.denied, self.keys, MAX_DENIED
        came, until = mine.get(key) or other.get(key) or (now, now)
        if came < until <= now:
            self.interest.spared(until - came, now - until)
        if key not in mine and len(mine) >= most:
            for old in [one for one, (came, _) in mine.items() if now - came >= REUSE]:
                del mine[old]
            if len(mine) >= most:
                return False
        other.pop(key, None)
        mine[key] = now, now
        return True

    def reused(self, key: bytes, now: float, seconds: float) -> float:
        """Note for how long the answer to a question that hangs here is reused; return that."""
        mine = self.keys if key in self.keys else self.denied
        mine[key] = now, now + seconds
        self.free_at = max(self.free_at, now + seconds)
        return seconds

    def drop(self) -> list[bytes]:
        """Return the questions that hang on it, which from now on do no more."""
        dropped = [*self.keys, *self.denied]
        self.keys.clear()
        self.denied.clear()
        return dropped

    def rate(self, now: float) -> float:
        """Return about how often it is asked for, in questions a second."""
        return self.interest.rate(now, now - max(self.free_at, self.asked_at))
