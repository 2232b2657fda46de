"""Finds the files a pattern or a folder names, within bounds.

Only folders are looked into here; no file is opened, and none is read.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from pathlib import Path

MAX_LOOKED_AT = 50_000  # files and folders, for one configuration with all it includes
MAX_PATTERN = 4096  # characters, as many as a path may have
_WILD = frozenset("*?[")


class TooMuch(Exception):
    """More would have to be looked at than a configuration can mean."""


class Looker:
    """Looks into folders, and counts what was looked at: TooMuch is raised above the bound."""

    def __init__(self) -> None:
        self._seen = 0

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder, in order. Raises OSError for what is none."""
        found = []
        with os.scandir(folder) as entries:
            for entry in entries:
                self._count()
                found.append(entry.name)
        return sorted(found)

    def matches(self, pattern: Path) -> list[Path]:
        """Return what is there that matches, in order; `*`, `?` and `[` hold in each part."""
        if len(str(pattern)) > MAX_PATTERN:
            return []
        found = [Path(pattern.anchor)]
        for part in pattern.relative_to(pattern.anchor).parts:
            if _WILD.isdisjoint(part):
                found = [one / part for one in found]
                continue
            found = [one / name for one in found for name in self._matching(one, part)]
        return [one for one in found if one.exists()]

    def _matching(self, folder: Path, part: str) -> list[str]:
        self._count()
        try:
            names = self.names(folder)
        except OSError:
            return []
        if not part.startswith("."):
            names = [one for one in names if not one.startswith(".")]
        return [one for one in names if fnmatchcase(one, part)]

    def _count(self) -> None:
        self._seen += 1
        if self._seen > MAX_LOOKED_AT:
            raise TooMuch
