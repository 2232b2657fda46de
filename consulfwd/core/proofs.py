"""What agents have proved: until when each heard of every change, and whom to ask for proofs.

What belongs here: whose proof counts, for what, and for how long it is of use to anybody. Must
not know: how an agent proves anything, nor what is watched. Pure: `now` is passed in.
"""

from __future__ import annotations

from collections.abc import Container

# How old (seconds) the last proof may be that an agent hears of changes.
LIFE = 2.0


class Proofs:
    """Proofs of agents by name; only those that are wanted count.

    `at` is until when each heard of every change; `barred` are those that failed to prove it;
    `begin` those who are to be asked from now on, or at once, which the shell empties. Who is asked
    is so for as long as it is `wanted`: while nothing is reused, nobody needs proofs.
    """

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.barred: set[str] = set()
        self.begin: list[str] = []
        self._heard: dict[str, float] = {}
        self._until: dict[str, float] = {}
        self._there: Container[str] | None = None

    def use(self, there: Container[str]) -> None:
        """Take note of the agents there are: nothing counts that any other said."""
        self._there = there
        for name in [one for one in {*self._until, *self.barred} if one not in there]:
            self._forget(name)
            self._until.pop(name, None)
            self.barred.discard(name)

    def is_there(self, name: str) -> bool:
        """Return whether an agent has not left."""
        return self._there is None or name in self._there

    def want(self, name: str, until: float, now: float) -> None:
        """Note that proofs of an agent are of use until then."""
        if not self.is_there(name):
            return
        if not self.wanted(name, now):
            # What it proved when it was last asked is over: its age says nothing about the agent.
            self._forget(name)
            self.begin.append(name)
        self._until[name] = max(until, self._until.get(name, until))

    def want_barred(self, until: float, now: float) -> None:
        """The same of those that failed: they may be well again."""
        for name in self.barred:
            self.want(name, until, now)

    def broke(self, name: str) -> None:
        """Note that nobody asks an agent any more: whoever wants it next begins anew."""
        self._until.pop(name, None)

    def hurry(self, name: str) -> None:
        """Note that a proof is of use sooner than in its turn."""
        if name not in self.begin:
            self.begin.append(name)

    def wanted(self, name: str, now: float) -> bool:
        """Return whether proofs of an agent are of use now."""
        return self._until.get(name, now) > now

    def proved(self, name: str, at: float, now: float) -> None:
        """Note, at `now`, that an agent heard of every change up to `at`."""
        if not self.is_there(name):
            return
        self.barred.discard(name)
        if self.wanted(name, now) and at >= self.at.get(name, at):
            self.at[name] = at
            self._heard[name] = now

    def bar(self, name: str) -> None:
        """Note that an agent proves nothing for now."""
        if self.is_there(name):
            self.barred.add(name)
        self._forget(name)

    def live(self, name: str, now: float) -> bool:
        """Return whether an agent has proved lately that it hears of changes."""
        return now - self.at.get(name, float("-inf")) < LIFE

    def past(self, name: str, changed_at: float, sent_at: float, now: float) -> bool:
        """Return whether an agent was asked at `sent_at` with that change known to it.

        It had proved so before it was asked: an agent does not forget.
        """
        at, heard = self.at.get(name, float("-inf")), self._heard.get(name, float("inf"))
        return self.live(name, now) and at >= changed_at and heard <= sent_at

    def expired(self, now: float) -> list[str]:
        """Return those wanted whose last proof has become too old; forget who is not wanted."""
        old = [one for one, at in self.at.items() if now - at >= LIFE]
        for name in old:
            if not self.wanted(name, now):
                self._forget(name)
        return [one for one in old if one in self.at]

    def ends_at(self) -> float:
        """Return when the next proof becomes too old, infinity without any."""
        return min(self.at.values(), default=float("inf")) + LIFE

    def age(self, seconds: float) -> None:
        """Take every proof for so much older than it was."""
        for name in self.at:
            self.at[name] -= seconds

    def clear(self) -> None:
        """Want nothing any more."""
        self.at.clear()
        self._heard.clear()
        self._until.clear()
        self.begin.clear()

    def _forget(self, name: str) -> None:
        self.at.pop(name, None)
        self._heard.pop(name, None)
