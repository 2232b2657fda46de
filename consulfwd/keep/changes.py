"""Whether files have changed, found out by looking: what stands there, and when it was written.

What belongs here: the looking. What follows from a change is `follow`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

# Seconds between two looks.
LOOK = 1.0


@contextlib.asynccontextmanager
async def changes_of(files: Sequence[Path]) -> AsyncIterator[asyncio.Event]:
    """An event that is set when one of the files changes, and on SIGHUP; others may set it too."""
    changes = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, changes.set)
    looking = asyncio.create_task(look_at(files, changes))
    try:
        yield changes
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        looking.cancel()


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
