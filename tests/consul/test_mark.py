"""What may be waited for."""

from __future__ import annotations

import asyncio

from consulfwd.consul.mark import Mark
from tests.consul.scripted import calm


async def test_who_waits_goes_on_once_it_is_set() -> None:
    mark, done = Mark(), list[str]()

    async def wait(name: str) -> None:
        await mark.wait()
        done.append(name)

    tasks = [asyncio.ensure_future(wait(name)) for name in "abc"]
    await calm()
    assert (done, mark.is_set()) == ([], False)
    tasks[1].cancel()
    mark.set()
    mark.clear()
    # Who waited before is let go, whatever follows.
    await calm()
    assert (done, mark.is_set()) == (["a", "c"], False)
    later = asyncio.ensure_future(wait("d"))
    await calm()
    mark.set()
    await asyncio.gather(later, *tasks, return_exceptions=True)
    await mark.wait()
    assert (done, mark.is_set()) == (["a", "c", "d"], True)
