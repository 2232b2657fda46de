"""Waiting for news: nobody who waits is deaf to being cancelled."""

from __future__ import annotations

import asyncio

import pytest

from consulfwd.failover.waiting import came


async def test_news_come_or_do_not() -> None:
    news = asyncio.Event()
    assert not await came(news, 0.001)
    news.set()
    assert await came(news, 5)


async def test_who_is_cancelled_as_the_news_comes_ends() -> None:
    news = asyncio.Event()
    waiting = asyncio.ensure_future(came(news, 60))
    for _ in range(3):
        await asyncio.sleep(0)
    news.set()
    # Now what waits inside is done, and nobody has been told.
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
