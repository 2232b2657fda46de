"""`consulfwd serve -c FILE`, which on SIGRTMIN writes what it holds into FILE.seen, as JSON.

What a process has open the kernel tells; its tasks and objects only the process itself does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from consulfwd.cli.main import cli


def told(tasks: set[asyncio.Task[object]]) -> dict[str, int]:
    """How many tasks there are, by what they run."""
    return dict(Counter(getattr(one.get_coro(), "__qualname__", "?") for one in tasks))


def tell(signum: int, frame: FrameType | None) -> None:
    """Write it, whatever the process is at."""
    # First: what is counted next is not to hold what is garbage.
    gc.collect()
    seen = {"tasks": told(asyncio.all_tasks()), "objects": len(gc.get_objects())}
    file = Path(f"{sys.argv[1]}.seen")
    new = file.with_suffix(".new")
    new.write_text(json.dumps(seen))
    new.replace(file)


if __name__ == "__main__":
    signal.signal(signal.SIGRTMIN, tell)
    cli(["serve", "-c", sys.argv[1]])
