"""What a program said by itself, without what Python's development mode says of it besides."""

from __future__ import annotations

import re

# On a busy machine a step of the event loop takes long: asyncio tells of that when it debugs.
_SLOW = re.compile(r".*Executing <.*> took [\d.]+ seconds\n")


def own_words(text: str) -> str:
    """Return a log or standard error without asyncio's lines about slow steps."""
    return _SLOW.sub("", text)
