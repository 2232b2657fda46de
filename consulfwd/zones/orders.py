"""What people tell whoever publishes a zone: to pause, and what more may be withdrawn.

What belongs here: the forms, as JSON, read within bounds. Must not know: where they are kept. Pure.
Times are of the day, as who orders and who obeys are on different hosts.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from consulfwd.zones.strict import read

LARGEST = 100_000
MOST_UNITS = 10_000


class Pause(NamedTuple):
    """That nothing is to be published: why, who says so, since when."""

    why: str
    by: str
    at: float

    def __str__(self) -> str:
        return f"paused by {self.by}: {self.why}" if self.why else f"paused by {self.by}"


class Allow(NamedTuple):
    """That more may be withdrawn, once, until then: so much, of these services (None: of any)."""

    number: int
    until: float
    by: str
    at: float
    units: frozenset[str] | None = None


class Orders(NamedTuple):
    """What people ordered; `wrong` says what of it cannot be read, which counts as a pause.

    `allow_index` is the key's `modify_index`: what is taken away must be what was seen.
    """

    pause: Pause | None = None
    allow: Allow | None = None
    allow_index: int = 0
    wrong: tuple[str, ...] = ()

    @property
    def paused(self) -> str:
        """Why nothing is to be published, "" if it is."""
        if self.pause is not None:
            return str(self.pause)
        return self.wrong[0] if self.wrong else ""


def write_pause(pause: Pause) -> bytes:
    """Return it as JSON."""
    return json.dumps(pause._asdict()).encode()


def read_pause(text: bytes, document: str) -> Pause:
    """Return what was written. Raises ApplyError, which names `document`."""
    root = read(text, document, LARGEST)
    return Pause(root["why"].line(), root["by"].line(), root["at"].number(0, 1e12))


def write_allow(allow: Allow) -> bytes:
    """Return it as JSON."""
    units = None if allow.units is None else sorted(allow.units)
    return json.dumps({**allow._asdict(), "units": units}).encode()


def read_allow(text: bytes, document: str) -> Allow:
    """Return what was written. Raises ApplyError, which names `document`."""
    root = read(text, document, LARGEST)
    units = root["units"]
    return Allow(
        root["number"].integer(0, 2**40),
        root["until"].number(0, 1e12),
        root["by"].line(),
        root["at"].number(0, 1e12),
        None if units.is_null else frozenset(one.text() for one in units.items(MOST_UNITS)),
    )
