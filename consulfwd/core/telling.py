"""What is told of an upstream's changes: which have a log line of their own, and what it says.

An agent that comes and goes must not fill the disk; a line of its own says how long it was well,
and who takes over. Must not know of logging or clocks: `now` is passed in, the caller writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from consulfwd.core.order import RANK, Group
from consulfwd.core.states import State
from consulfwd.core.upstreams import Upstream
from consulfwd.words import duration

# Lines of their own in a window (seconds); a fall and the way back are up to four.
LINES = 12
WINDOW = 60.0


class Telling:
    """One upstream's changes. Those beyond LINES in a window are held back until it ends.

    While they go on like that, the next windows have no lines of their own, only the count.
    """

    __slots__ = ("_held", "_left", "ends_at")

    def __init__(self) -> None:
        self._left = LINES
        self._held = 0
        self.ends_at = 0.0

    def tell(self, now: float) -> bool:
        """Return whether this change is told now; if not, ask `held` at `ends_at`."""
        if now >= self.ends_at and not self._held:
            self.ends_at = now + WINDOW
            self._left = LINES
        if self._left:
            self._left -= 1
            return True
        self._held += 1
        return False

    @property
    def waits(self) -> bool:
        """Return whether this is the first change held back in the window."""
        return self._held == 1

    def held(self, now: float) -> int:
        """End the window, and return how many changes were held back in it."""
        held, self._held = self._held, 0
        self.ends_at = now + WINDOW
        # Whoever had a quieter window may have lines again in the one after it.
        self._left = 0 if held > LINES else LINES
        return held


class History:
    """What was so before: since when each upstream is in its state, who came first in each group.

    Knows the upstreams of the groups it is to `use`; times are those of the caller's clock.
    """

    def __init__(self) -> None:
        self._groups: dict[Upstream, list[Group]] = {}
        self._since: dict[Upstream, float] = {}
        self._left: dict[Upstream, float] = {}
        self._places: dict[Upstream, float] = {}

    def use(self, groups: Iterable[Group], now: float) -> None:
        """Take other groups; what is known of upstreams that stay is kept."""
        # A group may be there once for each spelling of a domain.
        distinct = {(one.label, one.members): one for one in groups}.values()
        members = self._groups = {}
        for group in distinct:
            for one in dict.fromkeys(group.members):
                members.setdefault(one, []).append(group)
        self._since = {one: self._since.get(one, now) for one in members}
        self._left = {one: self._left.get(one, now) for one in members}
        self._places = {one: _place(one, one.state) for one in members}

    def since(self, upstream: Upstream, now: float) -> float:
        """Return since when it has been in its state."""
        return self._since.get(upstream, now)

    def was(self, upstream: Upstream, old: State, new: State, now: float) -> str:
        """Return the state it was in until now, for how long, or how long it was not up."""
        since = self._since.get(upstream, now)
        self._since[upstream] = now
        if old is State.UP:
            self._left[upstream] = now
        if new is State.UP:
            return f"{old.value} (away for {duration(now - self._left.get(upstream, since))})"
        return f"{old.value} for {duration(now - since)}"

    def succession(self, upstream: Upstream, state: State) -> str:
        """Return who takes over now that it is in `state`, or that it is first again, or ""."""
        groups = self._groups.get(upstream, [])
        old, new = self._places.get(upstream, 0.0), _place(upstream, state)
        before = [self._first(group) for group in groups]
        self._places[upstream] = new
        after = [self._first(group) for group in groups]
        # Those that take turns have no first one, nor has one that is alone.
        ordered = [group.policy != "round_robin" and len(group.members) > 1 for group in groups]
        if new < old:
            first = zip(ordered, before, after, strict=True)
            # While nobody was up it may have come first already.
            again = (one and b is upstream and (a is not b or old >= 1) for one, a, b in first)
            return "first again" if not new and any(again) else ""
        if new == old or old >= 1:
            return ""
        heirs: dict[str, list[str]] = {}
        for group, one, was, heir in zip(groups, ordered, before, after, strict=True):
            if heir is None or self._places[heir] >= 1:
                heirs.setdefault("no other is up", []).append(group.label)
            elif one and was is upstream and heir is not upstream:
                heirs.setdefault(f"{heir.name} takes over", []).append(group.label)
        if len(heirs) == 1:
            return next(iter(heirs))
        return ", ".join(f"{what} ({', '.join(labels)})" for what, labels in heirs.items())

    def _first(self, group: Group) -> Upstream | None:
        """Return whom the group asks first, by what was told so far; of those in turn, any."""
        known = [one for one in group.preferred() if self._places[one] < inf]
        return min(known, key=self._places.__getitem__, default=None)


def _place(upstream: Upstream, state: State) -> float:
    if upstream.looped:
        return inf
    return RANK[state] + (0.75 if upstream.drained else 0.5 if upstream.behind else 0)


def kind(upstream: Upstream) -> str:
    """Return what an upstream is called before its name."""
    return "agent" if upstream.is_agent else "recursor"


def standing(upstream: Upstream) -> str:
    """Return how it stands where it is told who is asked in which order."""
    return upstream.state.value + (", taken out for work" if upstream.drained else "")
