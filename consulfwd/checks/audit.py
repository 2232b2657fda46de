"""How many weak spots an audit found, and which: its findings are judged.

Pure. What an audit looks for is its own business; here are how grave they are, and how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consulfwd.checks.outcome import Outcome, Status, worst
from consulfwd.checks.perfdata import Figure
from consulfwd.checks.ranges import Range
from consulfwd.checks.thresholds import Thresholds

CRITICAL, WARNING = "critical", "warning"
SEVERITIES = (CRITICAL, WARNING, "note")
NONE_AT_ALL = Range(0, 0)


class Finding(Protocol):
    """A weak spot, as the audit has it."""

    @property
    def severity(self) -> str:
        """How grave it is."""

    @property
    def what(self) -> str:
        """What falls, in a sentence."""

    @property
    def mend(self) -> str:
        """How it is mended, in a sentence."""

    @property
    def key(self) -> str:
        """By what it is known again."""


@dataclass(frozen=True)
class Wanted:
    """How many findings of a severity are worth a warning, or critical; and what `unseen` is."""

    warnings: Range = NONE_AT_ALL
    criticals: Range = NONE_AT_ALL
    unseen: Status = Status.UNKNOWN


@dataclass(frozen=True)
class Found:
    """What an audit found; `known` are those of its baseline, `unseen` what it could not see."""

    new: Sequence[Finding]
    known: int = 0
    unseen: Sequence[str] = ()


def judge(wanted: Wanted, found: Found) -> Outcome:
    """Return what it comes to."""
    counts = {one: sum(each.severity == one for each in found.new) for one in SEVERITIES}
    bounds = {
        CRITICAL: Thresholds(critical=wanted.criticals),
        WARNING: Thresholds(warning=wanted.warnings),
    }
    states = [bounds[one].status(counts[one]) for one in bounds]
    if found.unseen:
        states.append(wanted.unseen)
    told = [f"{number} {one}" for one, number in counts.items() if number]
    number = sum(counts.values())
    new = " new" if found.known else ""
    summary = f"{number or 'no'}{new} weak spot{'' if number == 1 else 's'}"
    if told:
        summary += f" ({', '.join(told)})"
    if found.known:
        summary += f", {found.known} known"
    if found.unseen:
        summary += f"; {len(found.unseen)} could not be looked at"
    if found.new:
        summary += f"; {found.new[0].what}"
    grave = [one for one in found.new if one.severity in bounds]
    lines = [f"{one.severity}: {one.key}: {one.what}" for one in grave]
    lines += [f"not looked at: {one}" for one in found.unseen]
    more = [f"{one.severity}: {one.key}: {one.what}" for one in found.new if one not in grave]
    more += [f"{one.key}: {one.mend}" for one in grave]
    figures = [
        Figure(
            one,
            counts[one],
            "",
            bounds[one].warning if one in bounds else None,
            bounds[one].critical if one in bounds else None,
            0,
        )
        for one in SEVERITIES
    ]
    figures += [Figure("known", found.known, least=0), Figure("unseen", len(found.unseen), least=0)]
    return Outcome(worst(states), summary, lines, figures, more)


def unasked(why: str) -> Outcome:
    """Return what it comes to that nobody could be asked."""
    return Outcome(Status.UNKNOWN, f"Consul could not be asked: {why}")
