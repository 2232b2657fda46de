"""What is told again and again while it lasts: at once, then at growing intervals.

What belongs here: when. Must not know: what is told, or to whom. Pure: `now` is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable

# The second time is so long (seconds) after the first; then after twice as long, up to the longest.
AGAIN, LONGEST = 60.0, 300.0
# So many things are remembered: strangers may word what stands for them.
REMEMBERED = 1000


class Alarms:
    """Things that are wrong, whatever stands for each, and `how`, where there are several ways.

    Each way is told by itself; the thing is well when none is left. One that was well in between is
    told no sooner than if it had not been: what comes and goes must not fill the disk.
    """

    def __init__(self) -> None:
        self._due: dict[tuple[Hashable, Hashable], tuple[float, float]] = {}
        self._since: dict[Hashable, float] = {}
        self._told: set[Hashable] = set()

    def wrong(self, thing: Hashable, now: float, how: Hashable = "") -> bool:
        """Note that a thing is wrong (still); return whether that is told now."""
        due, pause = self._due.get((thing, how), (now, AGAIN))
        if now >= due and len(self._due) >= REMEMBERED:
            self.keep(())
        self._since.setdefault(thing, now)
        if now < due:
            return False
        if thing not in self._told and now >= due + LONGEST:
            pause = AGAIN
        self._due[thing, how] = now + pause, min(2 * pause, LONGEST)
        self._told.add(thing)
        return True

    def since(self, thing: Hashable) -> float | None:
        """Return when a thing that is wrong was first found to be, None for one that is well."""
        return self._since.get(thing)

    def well(self, thing: Hashable) -> bool:
        """Note that a thing is well; return whether it was told that it was not."""
        self._since.pop(thing, None)
        told = thing in self._told
        self._told.discard(thing)
        return told

    def keep(self, things: Collection[Hashable]) -> None:
        """Forget all but these: there are no others any more."""
        self._due = {key: due for key, due in self._due.items() if key[0] in things}
        self._since = {one: since for one, since in self._since.items() if one in things}
        self._told.intersection_update(things)
