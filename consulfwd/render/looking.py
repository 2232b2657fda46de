"""Whether files have changed, found out by looking: what stands there, and when it was written.

What belongs here: the looking. What follows from a change is `follow`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

# Seconds between two looks.
LOOK = 1.0


async def look_at(files: Sequence[Path], changes: asyncio.Event) -> None:
    """Set `changes` whenever one of the files is another one, or was written to; until cancelled.

    What is in a folder is looked at too, two levels deep.
    """
    before = _states(files)
    while True:
        await asyncio.sleep(LOOK)
        if (now := _states(files)) != before:
            before = now
            changes.set()


def _states(files: Sequence[Path]) -> dict[Path, tuple[int, int, int]]:
    found: dict[Path, tuple[int, int, int]] = {}
    for file in files:
        for one in (file, *(file.glob("*/*") if file.is_dir() else ())):
            with contextlib.suppress(OSError):
                state = one.stat()
                found[one] = state.st_ino, state.st_mtime_ns, state.st_size
    return found
