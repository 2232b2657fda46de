"""Whether files have changed, found out by looking: what stands there, and when it was written.

What belongs here: the looking. What follows from a change is `follow`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from consulfwd.hangups import HangUps

# Seconds between two looks.
LOOK = 1.0


@contextlib.asynccontextmanager
async def changes_of(
    files: Sequence[Path],
    hung_up: Callable[[], None] = lambda: None,
    changed: Callable[[], None] = lambda: None,
) -> AsyncIterator[asyncio.Event]:
    """An event that is set when one of the files changes, and on SIGHUP; others may set it too.

    Before that, `changed` is called, or `hung_up`.
    """
    changes = asyncio.Event()

    def after(first: Callable[[], None]) -> None:
        first()
        changes.set()

    hang_ups = HangUps(functools.partial(after, hung_up))
    looking = asyncio.create_task(look_at(files, functools.partial(after, changed)))
    try:
        yield changes
    finally:
        hang_ups.close()
        looking.cancel()


async def look_at(files: Sequence[Path], noticed: Callable[[], None]) -> None:
    """Call `noticed` whenever one of the files is another one, or was written to; until cancelled.

    What is in a folder is looked at too, two levels deep.
    """
    before = _states(files)
    while True:
        await asyncio.sleep(LOOK)
        if (now := _states(files)) != before:
            before = now
            noticed()


def _states(files: Sequence[Path]) -> dict[Path, tuple[int, int, int]]:
    found: dict[Path, tuple[int, int, int]] = {}
    for file in files:
        inside = (*file.glob("*"), *file.glob("*/*")) if file.is_dir() else ()
        for one in (file, *inside):
            with contextlib.suppress(OSError):
                state = one.stat()
                found[one] = state.st_ino, state.st_mtime_ns, state.st_size
    return found
