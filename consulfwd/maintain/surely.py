"""What is begun and must end, however often the task that waits for it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def surely(
    work: Coroutine[Any, Any, Result],
    begun: Callable[[asyncio.Task[Result]], None] = lambda _: None,
) -> Result:
    """Return what work comes to. Who was told to stop meanwhile stops after it (CancelledError).

    It ends sooner only if the task is cancelled that `begun` is told of.
    """
    task = asyncio.ensure_future(work)
    begun(task)
    stopped = False
    while not task.done():
        # Waiting for it is no await of it: what it raises is raised once, below.
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            stopped = True
    result = task.result()
    if stopped:
        raise asyncio.CancelledError
    return result
