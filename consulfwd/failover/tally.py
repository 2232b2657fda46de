"""What the checks of one address come to: up, down, or not known yet.

What belongs here: counting, and how an address that comes and goes has to be well for longer. Must
not know: other addresses, other checkers, what is answered. Pure: `now` is passed in.

| known | check | becomes |
|---|---|---|
| nothing yet, or nothing proved since the start | OK, FAIL | up, down: the first one counts |
| up | `fall` times FAIL in a row | down |
| down | `rise` times OK in a row; after each further fall within `window`, twice as many | up |
| anything | ERROR | the same, and what was counted stays: nothing was learnt |
"""

from __future__ import annotations

from typing import NamedTuple

from consulfwd.failover.model import Outcome, Result

# Falls that are remembered: twice as often for each is more than any `rise_max`.
_MOST_FALLS = 12


class Rules(NamedTuple):
    """By what is counted; `interval` and `window` are in seconds."""

    interval: float
    fall: int
    rise: int
    window: float
    rise_max: int


class Tally(NamedTuple):
    """What is known of an address by checks of one's own.

    `up` is None while nothing is known. `proved` says whether that is by a check since the start,
    or by a memory that is young enough to stand for one. `in_a_row` counts the checks that said the
    other thing. `since` is a time of day. `last` and `started` (of the book's clock) are of the
    last check. `why` is what made it what it is. `falls` are moments.
    """

    up: bool | None = None
    proved: bool = False
    in_a_row: int = 0
    since: float = 0.0
    last: Outcome | None = None
    started: float = 0.0
    why: str = ""
    falls: tuple[float, ...] = ()

    @property
    def abstains(self) -> bool:
        """Whether nothing can be said of the address at present."""
        return not self.proved or self.last is None or self.last.result is Result.ERROR


def after(before: Tally, outcome: Outcome, now: float, wall: float, rules: Rules) -> Tally:
    """Return what is known once a check has ended, `now`, at the time of day `wall`."""
    looked = before._replace(last=outcome, started=now - max(outcome.took, 0.0))
    if outcome.result is Result.ERROR:
        return looked
    well = outcome.result is Result.OK
    if looked.up is well:
        return looked._replace(in_a_row=0, proved=True)
    seen = looked.in_a_row + 1
    if seen < needed(before, now, rules):
        return looked._replace(in_a_row=seen)
    # Of one that was never up it is no fall.
    falls = looked.falls if well or looked.up is None else (*looked.falls, now)[-_MOST_FALLS:]
    return looked._replace(
        up=well, proved=True, in_a_row=0, since=wall, why=outcome.reason, falls=falls
    )


def needed(tally: Tally, now: float, rules: Rules) -> int:
    """Return how many checks in a row it takes until an address is the other thing."""
    if not tally.proved or tally.up is None:
        return 1
    if tally.up:
        return rules.fall
    falls = sum(1 for at in tally.falls if now - at < rules.window)
    grown = rules.rise << max(0, falls - 1)
    return max(rules.rise, min(grown, rules.rise_max))


def settled_until(tally: Tally, now: float, rules: Rules) -> float:
    """Return until when an address stays what it is, whatever the next checks find.

    A check starts an interval after the one before it at the latest; one that may start sooner
    makes this too late by as much as the change would be early, which costs nobody anything.
    """
    left = max(needed(tally, now, rules) - tally.in_a_row, 0)
    return tally.started + left * rules.interval
