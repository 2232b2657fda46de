"""Listening sockets that are to be closed: who was accepted a moment before is known first.

asyncio makes a connection in two more turns of the loop. Where its server is closed meanwhile, it
is left half made (CPython, gh-109564), or made once nobody ends it any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

_TURNS = 3


class Listening(Protocol):
    """A socket that connections are accepted from."""

    def fileno(self) -> int:
        """Return its number."""


async def accept_no_more(sockets: Iterable[Listening]) -> None:
    """Have nobody else accepted; returns once all who were have been told to their protocols."""
    loop = asyncio.get_running_loop()
    for sock in sockets:
        loop.remove_reader(sock.fileno())
    for _ in range(_TURNS):
        await asyncio.sleep(0)
