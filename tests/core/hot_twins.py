"""The twins of what is hot: made in Python, and compiled."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from consulfwd.core.cache import Entry
from consulfwd.core.hot import HotTable
from consulfwd.core.ready import Ready
from consulfwd.dns.message import Message
from consulfwd.dns.wire import Query
from consulfwd.net import _fast

BOTH = pytest.mark.parametrize("twin", ["python", "compiled"])


def table_of(twin: str) -> HotTable:
    """Return an empty table of a twin."""
    return HotTable(_fast.Ready if twin == "compiled" else None)


def make(
    twin: str, asked: Query, message: Message, limit: int, seed: int = 1, body: bytes | None = None
) -> Ready:
    """Return an answer made ready."""
    body = message.body if body is None else body
    return table_of(twin).make(asked, message, limit, body, random.Random(seed))


def given(ready: Ready, count: int) -> list[bytes]:
    """Return the next answers of what is ready, from its beginning on if it was not asked yet."""
    give = ready.given()
    return list(islice(iter(give, None), count))


def entry(message: Message, now: float = 1000.0, ttl: float = 300.0) -> Entry:
    """Return a message as the cache keeps it."""
    return Entry(message, now, now + ttl, now + ttl, "A")
