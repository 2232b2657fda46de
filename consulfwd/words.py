"""How any text for people says a time, shows what somebody else wrote, and makes a table of it.

Imports next to nothing, so that a command which only asks starts at once. Knows no clock: times
are passed in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence


def printable(text: str) -> str:
    """Return `text` with everything escaped that would not show, or not encode."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def duration(seconds: float) -> str:
    """Return a time as people say it: 340 ms, 5.2 s, 42 s, 12 min, 3 h 12 min, 4 d 3 h."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at: float) -> str:
    """Return a time of the day with its date, in this host's zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as aligned lines; the last column may be of any width."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
