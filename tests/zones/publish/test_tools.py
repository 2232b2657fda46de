"""What publishers need of the world: work that blocks, who waits, what can be stopped."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from math import inf

import pytest

from consulfwd.zones.publish.tools import in_thread, wait


async def test_many_that_hang_keep_nobody_from_anything() -> None:
    on = threading.Event()
    hanging = [asyncio.ensure_future(in_thread(lambda: on.wait(60))) for _ in range(60)]
    try:
        # The loop's own threads, and one more target.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), 10) == 1
        assert await asyncio.wait_for(in_thread(lambda: 2), 10) == 2
    finally:
        on.set()
        assert all(await asyncio.gather(*hanging))


async def test_whoever_gives_up_waits_for_the_end() -> None:
    on, done = threading.Event(), threading.Event()

    def work() -> None:
        on.wait(60)
        done.set()

    waiting = asyncio.ensure_future(in_thread(work))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    assert not waiting.done()
    on.set()
    with suppress(asyncio.CancelledError):
        await waiting
    assert waiting.cancelled()
    assert done.is_set()


async def test_what_goes_wrong_is_raised_where_it_is_waited_for() -> None:
    def work() -> None:
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        await in_thread(work)


@pytest.mark.parametrize("turns", range(5))
@pytest.mark.parametrize("seconds", [5.0, inf])
async def test_a_stop_that_comes_with_news_is_no_less_a_stop(turns: int, seconds: float) -> None:
    """Between the event and whoever hears of it are some turns of the loop."""
    event = asyncio.Event()
    heard = 0

    async def follow() -> None:
        nonlocal heard
        while True:
            await wait(event, seconds)
            event.clear()
            heard += 1
            if heard > 1:
                return

    task = asyncio.ensure_future(follow())
    for _ in range(3):
        await asyncio.sleep(0)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1.0)
    assert done, "it goes on"
    assert task.cancelled()


async def test_it_ends_with_the_event_or_the_time() -> None:
    event = asyncio.Event()
    await wait(event, 0.01)
    await wait(event, -1.0)
    asyncio.get_running_loop().call_later(0.01, event.set)
    await asyncio.wait_for(wait(event, inf), 5.0)
