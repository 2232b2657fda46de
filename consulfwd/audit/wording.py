"""How names of strangers stand in a report: of a sane length, and with nothing that does not show.

Pure.
"""

from __future__ import annotations

from consulfwd.audit.finding import SEVERITIES
from consulfwd.audit.report import Report
from consulfwd.config.wording import printable

# So many findings of one severity a report for people has; JSON has all.
MOST_TOLD = 100
LONGEST = 120
PLURAL = {"critical": "critical", "warning": "warnings", "note": "notes"}
ONE = {"critical": "critical", "warning": "warning", "note": "note"}


def cut(text: str, longest: int = LONGEST) -> str:
    """Return a text of so many characters at most, its middle left out."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[: longest - 1 - half]}…{text[len(text) - half :]}"


def plain(text: str, longest: int = 4 * LONGEST) -> str:
    """Return a text for a line of its own."""
    return cut(printable(text), longest)


def counted(number: int, severity: str) -> str:
    """Return how many findings of a severity there are, in words."""
    return f"{number} {(ONE if number == 1 else PLURAL)[severity]}"


def summary(report: Report) -> str:
    """Return what was found, in a line."""
    found = [(report.count(one), one) for one in SEVERITIES]
    said = ", ".join(counted(number, severity) for number, severity in found if number)
    said = said or "nothing found"
    if report.changes is not None:
        said += f"; {len(report.changes.new)} new, {len(report.changes.gone)} gone"
    if report.ignored:
        said += f"; {len(report.ignored)} ignored"
    return said
