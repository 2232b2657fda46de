"""Targets of checks, in the test's own event loop: what they say is what the test has them say."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from consulfwd.config.failover_checks import CheckSettings
from consulfwd.dev.accepting import accept_no_more
from consulfwd.failover.checks.making import check
from consulfwd.failover.model import Address, Outcome, Result
from tests.loopback import OWN

HERE = Address(ip_address(OWN), 0)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port at which each connection is talked to."""
    tasks: set[asyncio.Task[Any]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(served, OWN, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await accept_no_more(server.sockets)
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def replying(*replies: bytes, heard: list[bytes] | None = None) -> Talk:
    """Talk that says the next of these replies (the last again and again) to each request."""
    left = list(replies)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(asked)
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    return talk


class Nobody:
    """No agents."""

    async def get(self, path: str, params: Any, *, timeout: float) -> Any:
        raise AssertionError(path)


async def checked(
    kind: str, timeout: float = 5.0, agents: Any = None, at: Address = HERE, **given: Any
) -> Outcome:
    """Return what a check of this kind and settings finds."""
    kinds: dict[str, Any] = {kind: given}
    settings = CheckSettings(**kinds)
    return await check(settings, "www.example.com", timeout, agents or Nobody())(at)


def told(outcome: Outcome) -> tuple[Result, str]:
    """Return what an outcome says."""
    return outcome.result, outcome.reason
