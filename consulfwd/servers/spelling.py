"""Names that are nearly those a server knows: spelt wrong, though it shows what is meant.

Pure. A name that is near to none may be one of a later version, and is left alone.
"""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

NEAR = 0.85
MAX_NAMES = 50  # other than these are not looked at
MAX_LENGTH = 40


class Speller:
    """What is meant by names that are not known, for as many as one file has by mistake."""

    def __init__(self, known: Collection[str]) -> None:
        self._known = known
        self._meant: dict[str, str | None] = {}

    def meant(self, name: str) -> str | None:
        """Return the known name that is near, or None where it is known itself, or near to none."""
        if name in self._known or not 3 < len(name) <= MAX_LENGTH:
            return None
        if name not in self._meant:
            if len(self._meant) >= MAX_NAMES:
                return None
            found = get_close_matches(name, self._known, 1, NEAR)
            self._meant[name] = found[0] if found else None
        return self._meant[name]
