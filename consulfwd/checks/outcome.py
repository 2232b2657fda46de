"""What a check comes to, and the text a monitoring system is told.

Pure. One short line, figures behind a `|`, and below it what people want to know next: all of it
bounded, whoever wrote what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from consulfwd.checks import perfdata
from consulfwd.checks.perfdata import Figure
from consulfwd.words import printable

# Characters of the first line, and of each below it; lines, with -v too; octets of all of it.
FIRST, LINE = 240, 400
LINES, LINES_WITH_MORE = 12, 60
TEXT = 7_800


class Status(IntEnum):
    """The four states; the value is the exit code."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


_GRAVITY = (Status.OK, Status.UNKNOWN, Status.WARNING, Status.CRITICAL)


def worst(found: Iterable[Status]) -> Status:
    """Return the gravest state: what is surely bad counts more than what is not known."""
    return max(found, key=_GRAVITY.index, default=Status.OK)


@dataclass(frozen=True)
class Outcome:
    """A state and why; `lines` are told below, `more` only to who asks for more (-v)."""

    status: Status
    summary: str
    lines: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    more: Sequence[str] = field(default=())

    def beside(self, *lines: str) -> Outcome:
        """Return the same with some lines more."""
        return replace(self, lines=(*self.lines, *lines))


def text(label: str, outcome: Outcome, verbose: int = 0) -> str:
    """Return what is printed: `LABEL STATE: summary | figures`, and lines below."""
    first = f"{label} {outcome.status.name}: {_shown(outcome.summary, FIRST)}"
    measured = perfdata.line(outcome.figures)
    lines = [f"{first} | {measured}" if measured else first]
    below = [*outcome.lines, *(outcome.more if verbose else ())]
    most = LINES_WITH_MORE if verbose else LINES
    lines += [_shown(one, LINE) for one in below[:most]]
    if len(below) > most:
        hint = "" if verbose else " (-v shows more)"
        lines.append(f"and {len(below) - most} more{hint}")
    whole = "\n".join(lines)
    if len(whole.encode("utf-8", "backslashreplace")) > TEXT:
        kept, left = [lines[0]], TEXT - len(lines[0].encode("utf-8", "backslashreplace"))
        for one in lines[1:]:
            left -= len(one.encode("utf-8", "backslashreplace")) + 1
            if left < 0:
                break
            kept.append(one)
        whole = "\n".join(kept)
    return whole + "\n"


def _shown(said: str, most: int) -> str:
    """Return a text as one line that neither begins figures nor steers a terminal."""
    line = printable(" ".join(said[: 4 * most].split()))
    line = line.replace("|", "\\x7c")
    return line if len(line) <= most else line[: most - 3] + "..."


def listed(texts: Sequence[str], most: int = 4) -> str:
    """Return some texts as a list for people, of too many the first."""
    rest = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {rest} more" if rest > 0 else "")
