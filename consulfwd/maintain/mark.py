"""The reason by which our maintenance is known in Consul: whose it is, and until when at most.

What belongs here: that text, written and read. Pure. Anybody may write a reason: what is not of
our form, letter by letter, is somebody else's maintenance, and left alone.
"""

from __future__ import annotations

import re
import time
from typing import NamedTuple

# Clocks of hosts differ: so long (seconds) after its time is up a run of another host is over.
SLACK = 30.0
_FORM = "%Y-%m-%dT%H:%M:%SZ"
_READ = re.compile(
    r"consulfwd maintain by ([\x21-\x7e]{1,255}) until"
    r" (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) \(run ([0-9a-f]{16})\)(?:: .*)?",
    re.ASCII,
)


class Mark(NamedTuple):
    """One run on a host, which is over at `until` (seconds, time of day) at the latest."""

    run: str
    host: str
    until: float

    def reason(self, why: str = "") -> str:
        """Return it as Consul shows it to people, with their own words behind it."""
        until = time.strftime(_FORM, time.gmtime(self.until))
        text = f"consulfwd maintain by {self.host} until {until} (run {self.run})"
        return f"{text}: {why}" if why else text

    def over(self, now: float) -> bool:
        """Return whether its time is surely up, wherever it runs."""
        return now > self.until + SLACK


def read(text: object) -> Mark | None:
    """Return the mark that a reason is, None where it is somebody else's."""
    found = _READ.fullmatch(text) if isinstance(text, str) and len(text) < 2000 else None
    if found is None:
        return None
    host, until, run = found.groups()
    try:
        # Of UTC: `timegm` without importing a calendar.
        parsed = time.strptime(until, _FORM)
    except ValueError:
        return None
    return Mark(run, host, _utc(parsed))


def _utc(parsed: time.struct_time) -> float:
    from calendar import timegm

    return float(timegm(parsed))
