"""Waiting for news, at most so long. Knows nothing of what the news is."""

from __future__ import annotations

import asyncio


async def came(news: asyncio.Event, seconds: float) -> bool:
    """Return whether there is news within so many seconds.

    Not by `asyncio.wait_for`: before Python 3.12 that may lose that its caller was cancelled, if
    the news comes at that moment, and whoever waits for its end waits for ever.
    """
    waiting = asyncio.ensure_future(news.wait())
    try:
        done, _ = await asyncio.wait({waiting}, timeout=seconds)
        return bool(done)
    finally:
        waiting.cancel()
