"""Limits that a user sets on what may replace a file: texts that lost too much are not written.

What belongs here: the limits, and whether a text keeps them. Must not know how a text is made, nor
how it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consulfwd.apply.places import installed
from consulfwd.errors import ApplyError

_MEND = "to have it so all the same, render once without --max-shrink"


@dataclass(frozen=True)
class Guards:
    """No list of instances has fewer than `min_instances`.

    No file, nor any such list, becomes smaller by more than `max_shrink` percent at a time; None
    is no limit.
    """

    min_instances: int = 0
    max_shrink: float | None = None

    def refusal(
        self, path: Path, data: bytes, lists: Mapping[str, int], before: Mapping[str, int]
    ) -> str:
        """Return why this must not stand at `path`, "" if it may.

        `lists` has how many instances each list of the text has, `before` the same of the text
        that was last accepted, where there was one.
        """
        for what, many in lists.items():
            if many < self.min_instances:
                least_of_all = f"at least {self.min_instances}: --min-instances"
                return f"{what} has {many} instances ({least_of_all})"
        if self.max_shrink is None:
            return ""
        try:
            there = installed(path)
        except ApplyError:
            return ""  # told as what it is by whoever writes it
        if not there or there == data:
            return ""
        most, least = f"at most {self.max_shrink:g} %: --max-shrink", 1 - self.max_shrink / 100
        if len(data) < least * len(there):
            smaller = 100 * (1 - len(data) / len(there))
            return f"it would be {smaller:.0f} % smaller than before ({most}; {_MEND})"
        for what, many in lists.items():
            if many < least * before.get(what, 0):
                return f"{what} went from {before[what]} instances to {many} ({most}; {_MEND})"
        return ""
