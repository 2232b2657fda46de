"""How long what is ready as bytes may be given: hot tables, a second older each second, and emptied
at changes.
"""

from __future__ import annotations

from collections.abc import Callable

from consulfwd.net.clock import Clock

# How long (seconds) an epoch is: hot answers are aged that often.
EPOCH = 1.0
# How much later than that is too late for answers in the hot tables.
LATE = 0.5
FOREVER = float("inf")
Age = Callable[[float, float], None]


class Warmth:
    """Epochs, counted, and until when answers in hot tables, and those watched, may be used.

    `on_overdue` is called when this process has slept through what was to happen on time.
    """

    def __init__(self, clock: Clock) -> None:
        self.epoch = 0
        self.epoch_ends = 0.0
        self.good_until = FOREVER
        self.on_overdue: Callable[[float], None] = lambda now: None
        self._clock = clock
        self._watched_until = FOREVER
        self._tables: dict[Callable[[], None], Age | None] = {}

    def on_clear(self, clear: Callable[[], None], age: Age | None = None) -> None:
        """Register a hot table to be emptied at every change, and what makes it older each second.

        Without that it is emptied then, too. `age` takes the time, and until when it is good.
        """
        self._tables[clear] = age

    def forget(self, clear: Callable[[], None]) -> None:
        """Take back what was registered with `on_clear`."""
        self._tables.pop(clear, None)

    def clear(self) -> None:
        """Empty every hot table."""
        for clear in self._tables:
            clear()

    def next_epoch(self, now: float) -> None:
        """Begin another epoch."""
        self.epoch += 1
        self.epoch_ends = now + EPOCH
        self.keep_good(self._watched_until)
        for clear, age in self._tables.items():
            if age is None:
                clear()
            else:
                age(now, self.epoch_ends)

    def rest(self) -> None:
        """Keep nothing ready: whoever asks next finds it overdue, so that what was left is done."""
        self.clear()
        self.good_until = 0.0

    def keep_good(self, watched_until: float) -> None:
        """Note until when answers that are watched may be used."""
        self._watched_until = watched_until
        self.good_until = min(self.epoch_ends + LATE, watched_until)

    def overdue(self) -> None:
        """Catch up, when it is later than `good_until`."""
        now = self._clock.now()
        self.on_overdue(now)
        if now >= self.epoch_ends + LATE:
            self.clear()
            self.epoch_ends = now
            self.keep_good(self._watched_until)
