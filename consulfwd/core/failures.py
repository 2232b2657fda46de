"""Questions that failed moments ago, so that they are not asked again at once (RFC 9520).

What belongs here is for how long. What a client is told meanwhile is the shell's. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

# RFC 9520 section 3.2: at least a second, at most five minutes, longer from time to time. An agent
# may have its leader back the next moment; a zone that fails at a recursor takes its time.
FIRST, LONGEST = 1.0, 10.0
# RFC 8767 section 5, the failure recheck timer: for so long a stale answer is given at once.
RECHECK = 30.0
# How often (seconds) it is asked meanwhile, behind the answers.
REFRESH = 1.0
# Failures of made-up names are cheap: the oldest give way.
MAX_FAILURES = 4096


class Failure:
    """One question's failure: it counts until `until`; why is `ede` and `reason`.

    Where a stale answer was at hand and is gone, it counts until `alone_until`. `retry_at` is when
    it is to be asked again for the sake of a stale answer. `risen` is how often upstreams had come
    back by then: the next one to do so may have the answer.
    """

    __slots__ = ("alone_until", "ede", "lasts", "reason", "retry_at", "risen", "until")

    def __init__(self, ede: int, reason: str, risen: int, lasts: float, now: float) -> None:
        self.ede = ede
        self.reason = reason
        self.risen = risen
        self.lasts = lasts
        self.until = now + lasts
        self.alone_until = now + (FIRST if lasts == RECHECK else lasts)
        self.retry_at = now + REFRESH


class Failures:
    """What failed, `by_key` of the question; false while there is nothing."""

    def __init__(self) -> None:
        self.by_key: dict[bytes, Failure] = {}

    def __len__(self) -> int:
        return len(self.by_key)

    def note(
        self,
        key: bytes,
        ede: int,
        reason: str,
        now: float,
        *,
        risen: int,
        has_stale: bool,
        grows: bool,
    ) -> None:
        """Note a failure; `grows` lets it count longer each time it follows another one."""
        old = self.by_key.pop(key, None)
        lasts = FIRST
        if has_stale:
            lasts = RECHECK
        elif grows and old is not None and old.risen == risen and now < old.until + LONGEST:
            lasts = min(2 * old.lasts, LONGEST)
        self.by_key[key] = Failure(ede, reason, risen, lasts, now)
        if len(self.by_key) > MAX_FAILURES:
            del self.by_key[next(iter(self.by_key))]

    def holds(self, key: bytes, now: float, risen: int) -> Failure | None:
        """Return the failure of a question that still counts."""
        failure = self.by_key.get(key)
        if failure is None or now >= failure.until or failure.risen != risen:
            return None
        return failure

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.by_key)

    def clear(self) -> None:
        """Others may be asked now."""
        self.by_key.clear()

    def forget(self, key: bytes) -> None:
        """The question has an answer."""
        self.by_key.pop(key, None)
