"""What plugins measure, as the guidelines want it written: 'label'=value[unit];warn;crit;min;max.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from consulfwd.checks.ranges import Range, shown

Unit = Literal["", "s", "%", "B", "c"]
# Octets of all figures together: Nagios takes 8 KiB of everything.
MOST = 2_500
_LONGEST_LABEL = 80


@dataclass(frozen=True)
class Figure:
    """One value with its thresholds; None is not known, or not there.

    What is not known is left out: the guidelines would have it as "U", which Icinga does not take.
    """

    label: str
    value: float | None
    unit: Unit = ""
    warning: Range | None = None
    critical: Range | None = None
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        """The figure as it follows the `|`, "" for one that is not known."""
        if self.value is None or not math.isfinite(self.value):
            return ""
        fields = [
            f"{shown(self.value)}{self.unit}",
            *("" if one is None else str(one) for one in (self.warning, self.critical)),
            *("" if one is None else shown(one) for one in (self.least, self.most)),
        ]
        return f"{_label(self.label)}={';'.join(fields).rstrip(';')}"


def _label(text: str) -> str:
    """Return a label in quotes; `=` may not be in it, and a quote is written twice."""
    kept = "".join(one if one.isascii() and one.isprintable() else "_" for one in text)
    kept = kept.translate({ord("="): "_", ord("|"): "_"})[:_LONGEST_LABEL]
    return "'" + kept.replace("'", "''") + "'"


def line(figures: Iterable[Figure]) -> str:
    """Return all figures, of too many the first: none is cut."""
    found: list[str] = []
    left = MOST
    for one in filter(None, map(str, figures)):
        left -= len(one) + 1
        if left < 0:
            break
        found.append(one)
    return " ".join(found)
