"""What the texts of a picture are made of: lines with their mood, numbers, times. Pure.

Must not know where lines go, nor colours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from consulfwd.words import duration, table

# How a line is to be shown: a heading, what is well, wrong, to be known, beside the point.
Mood = Literal["head", "good", "bad", "warn", "dim", "plain"]
Line = tuple[Mood, str]
NOTHING = "-"


def rows(header: Sequence[str], cells: Iterable[tuple[Mood, Sequence[str]]]) -> Iterator[Line]:
    """Yield a table with its header; nothing where there are no rows."""
    found = list(cells)
    if not found:
        return
    head, *rest = table([header, *(row for _, row in found)])
    yield "head", f"  {head}"
    for (mood, _), line in zip(found, rest, strict=True):
        yield mood, f"  {line}"


def count(number: float) -> str:
    """Return a number with its thousands set apart."""
    return f"{number:,.0f}"


def rate(number: float) -> str:
    """Return how many in a second, with as many places as say something."""
    return f"{number:,.0f}" if number >= 10 or not number else f"{number:.1f}"


def several(number: float, what: str, more: str = "") -> str:
    """Return how many there are of something: 1 query, 2 queries (`more`)."""
    return f"{count(number)} {what if number == 1 else more or what + 's'}"


def ago(then: float, now: float) -> str:
    """Return how long ago a time of the day was."""
    return duration(max(now - then, 0)) if then else NOTHING


def clock(moment: float, now: float) -> str:
    """Return a time, in this host's zone: of today the time of the day alone."""
    try:
        there = time.localtime(moment)
        shown = "%H:%M:%S" if there[:3] == time.localtime(now)[:3] else "%Y-%m-%d %H:%M:%S"
        return time.strftime(shown, there) if moment else "never"
    except (OverflowError, ValueError, OSError):
        return "?"


def milliseconds(seconds: float | None) -> str:
    """Return a round-trip time."""
    return NOTHING if seconds is None else f"{seconds * 1000:.1f} ms"
