"""Thresholds as plugins have them: ranges of numbers, inside or outside of which an alert is due.

Pure. The grammar is `[@]begin:end` of the Monitoring Plugins guidelines: `10` is `0:10`, `10:` has
no end, `~` is minus infinity, both ends belong to the range, and with `@` the alert is for what is
within.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

FORMS = "ranges are 10, 10:, ~:10, 10:20, @10:20"
# Seconds in each unit that a time may be given in.
TIMES: Mapping[str, float] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_NUMBER = re.compile(r"([+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15}))([a-z]{0,2}|%)")
_SHOWN = 40


class RangeError(ValueError):
    """A text that is no range; says what is wrong with it, and what ranges look like."""


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both within it; an alert is due outside, or `inside`.

    `percent` says that both are parts of a hundred.
    """

    low: float
    high: float
    inside: bool = False
    percent: bool = False

    def alerts(self, value: float) -> bool:
        """Return whether an alert is due at this value."""
        return (self.low <= value <= self.high) is self.inside

    def __str__(self) -> str:
        """The same as plugins write it, in its shortest form, without units."""
        high = "" if self.high == math.inf else shown(self.high)
        low = "~:" if self.low == -math.inf else f"{shown(self.low)}:"
        if high and not self.low:
            low = ""
        return f"{'@' if self.inside else ''}{low}{high}"

    @property
    def words(self) -> str:
        """The same for people."""
        unit = "%" if self.percent else ""
        low, high = f"{shown(self.low)}{unit}", f"{shown(self.high)}{unit}"
        if self.low == -math.inf and self.high == math.inf:
            return "anything" if self.inside else "nothing"
        if self.low == -math.inf:
            span = f"{high} or less" if self.inside else f"more than {high}"
        elif self.high == math.inf:
            span = f"{low} or more" if self.inside else f"less than {low}"
        elif not self.low and not self.inside:
            span = f"more than {high}"
        else:
            span = f"{'' if self.inside else 'not '}from {low} to {high}"
        return span


def shown(number: float) -> str:
    """Return a number without an exponent and without zeros nobody needs."""
    text = f"{number:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def at_least(number: float, *, percent: bool = False) -> Range:
    """Return the range that alerts below a number."""
    return Range(number, math.inf, percent=percent)


def parse(text: str, units: Mapping[str, float] | None = None, *, percent: bool = False) -> Range:
    """Return the range in a text; numbers may have one of the `units`, or `%` where `percent`.

    Raises RangeError.
    """
    written = text.strip()
    inside = written.startswith("@")
    body = written[1:] if inside else written
    if not body or body == ":":
        raise RangeError(f"{_quoted(text)} is empty: {FORMS}")
    begin, colon, end = body.partition(":")
    if ":" in end:
        raise RangeError(f"{_quoted(text)} has more than two ends: {FORMS}")
    if not colon:
        begin, end = "", begin
    low_percent = high_percent = False
    low, high = 0.0, math.inf
    if begin == "~":
        low = -math.inf
    elif begin:
        low, low_percent = _number(text, begin, units, percent)
    if end:
        high, high_percent = _number(text, end, units, percent)
    # An end that is no number has no unit either: nor has a 0 that nobody wrote.
    both = begin not in ("", "~") and bool(end)
    if both and low_percent is not high_percent:
        raise RangeError(f"{_quoted(text)}: % belongs to both ends or to none")
    if low > high:
        raise RangeError(f"{_quoted(text)}: {shown(low)} is more than {shown(high)}")
    return Range(low, high, inside, low_percent or high_percent)


def _number(
    text: str, part: str, units: Mapping[str, float] | None, percent: bool
) -> tuple[float, bool]:
    """Return a number, and whether it is a part of a hundred."""
    found = _NUMBER.fullmatch(part)
    if found is None:
        raise RangeError(f"{_quoted(text)}: {_quoted(part)} is not a number; {FORMS}")
    number, unit = float(found[1]), found[2]
    if not unit:
        return number, False
    if unit == "%" and percent:
        return number, True
    if units is not None and unit in units:
        return number * units[unit], False
    allowed = [*(units or ()), *(["%"] if percent else ())]
    what = f"units are {', '.join(allowed)}" if allowed else "no unit belongs there"
    raise RangeError(f"{_quoted(text)}: {_quoted(unit)} is no unit; {what}")


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
