"""Names chosen by patterns, some of which take out.

What belongs here: one list of patterns. Pure.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable


def _joined(patterns: Iterable[str]) -> re.Pattern[str]:
    found = "|".join(fnmatch.translate(one.lower()) for one in patterns)
    return re.compile(found or r"(?!)")


class Globs:
    """Whether a name is among those meant: one pattern takes it in, none that begins with ! out.

    Where all take out, everything else is meant. Case is no matter, as it is none in the DNS.
    """

    __slots__ = ("_in", "_out")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = list(patterns)
        takes_in = [one for one in listed if not one.startswith("!")]
        self._in = _joined(takes_in or ["*"] if listed else [])
        self._out = _joined(one[1:] for one in listed if one.startswith("!"))

    def __contains__(self, name: str) -> bool:
        folded = name.lower()
        return bool(self._in.match(folded)) and not self._out.match(folded)
