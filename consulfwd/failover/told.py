"""Names that move in a process that checks nothing, but is told of them by one that does.

What belongs here: what is told of a record, and what it is answered with by that. Whoever hears no
more has the last answer with the least TTL: that a checker hangs takes no name away, nor is it told
for long what may be over. Must not know: how it is told. Pure: moments are those of a clock that
all processes of this host have in common.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from consulfwd.dns import const
from consulfwd.failover.model import Given, RecordState
from consulfwd.failover.record import Record, lasting, spread
from consulfwd.words import duration

if TYPE_CHECKING:
    from random import Random

# Something is told this often (seconds) at least; who hears nothing for so long goes by it.
TELL_EVERY, SILENT = 1.0, 3.0
_VERSIONS = {const.A: 4, const.AAAA: 6}
_WAITS = "the process that checks has told nothing of it yet"


class Told(NamedTuple):
    """A record as it was `at` a moment: `given` surely stays `until` then.

    Its TTL has these limits; `one` of its addresses is in an answer, or all. `packed` is its state
    for people: few look, and whoever is told of it has queries to answer.
    """

    at: float
    given: Given | None
    until: float
    ttl: int
    ttl_min: int
    one: bool
    packed: bytes

    def state(self) -> RecordState:
        """Return what people see."""
        found = pickle.loads(self.packed)
        assert isinstance(found, RecordState)
        return found


def told(record: Record, state: RecordState, now: float) -> Told:
    """Return what others are told of a record."""
    settings = record.settings
    return Told(
        now,
        record.given,
        record.until,
        settings.ttl,
        settings.ttl_min,
        settings.answer == "one",
        pickle.dumps(state, pickle.HIGHEST_PROTOCOL),
    )


class Records:
    """What was told of all names; it says what they are answered with (`answering.Says`)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, Told] = {}
        self._heard_at = clock()

    def take(self, at: float, told: Mapping[str, Told], *, whole: bool = False) -> None:
        """Take what was told at a moment: of some names, or that these are all there are.

        What is older than what is known changes nothing.
        """
        self._heard_at = max(self._heard_at, at)
        if whole:
            for name in [name for name, one in self._told.items() if one.at <= at]:
                if name not in told:
                    del self._told[name]
        for name, one in told.items():
            known = self._told.get(name)
            if known is None or known.at <= one.at:
                self._told[name] = one

    def answer(self, name: str, qtype: int, rng: Random) -> Given | None:
        """Return what a name is answered with, in the order of the answer; None: not known yet."""
        known = self._told.get(name)
        if known is None or known.given is None:
            return None
        given, version = known.given, _VERSIONS.get(qtype)
        found = tuple(one for one in given.addresses if one.ip.version == version)
        return Given(
            spread(found, rng, one=known.one), self._ttl(known), given.pool, given.why
        )

    def view(self, name: str) -> RecordState:
        """Return what is known of a name, for people."""
        known = self._told.get(name)
        if known is None:
            return RecordState(name, None, 0.0, (), (), _WAITS)
        state = known.state()
        if state.given is not None:
            state = replace(state, given=state.given._replace(ttl=self._ttl(known)))
        silent = self._silent()
        if silent > SILENT:
            held = f"the process that checks has said nothing for {duration(silent)}"
            state = replace(state, held=held)
        return state

    def _ttl(self, known: Told) -> int:
        if self._silent() > SILENT:
            return known.ttl_min
        return lasting(known.until - self._clock(), known.ttl, known.ttl_min)

    def _silent(self) -> float:
        return self._clock() - self._heard_at
