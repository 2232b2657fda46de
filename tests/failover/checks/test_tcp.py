"""Connections to ports: made, refused, and what is said on them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import sys
from typing import Any

import pytest

from consulfwd.failover.model import Result
from tests.failover.checks.targets import checked, serving, told
from tests.loopback import OWN

FOUND = "connected, and what is sought is there"
OK, FAIL, ERROR = Result.OK, Result.FAIL, Result.ERROR


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"+" + (await reader.readline()).replace(b"I", b"O"))
    await writer.drain()


@pytest.mark.parametrize(
    ("given", "result", "reason"),
    [
        ({}, OK, "connected"),
        (
            {"send": "PING\r\n", "contains": "+PONG\r\n"},
            OK, FOUND,
        ),
        ({"send": "PING\n", "matches": "^\\+P.NG\\n$"}, OK, FOUND),
        (
            {"send": "QUIT\r\n", "contains": "+PONG"},
            FAIL, "connected, but without the text in what came",
        ),
        ({"contains": "x"}, FAIL, "no answer within 100 ms (waiting for what is sought)"),
    ],
)  # fmt: skip
async def test_a_connection(given: dict[str, Any], result: Result, reason: str) -> None:
    async with serving(echo) as port:
        outcome = await checked("tcp", timeout=0.1, port=port, **given)
    assert told(outcome) == (result, reason)


async def test_no_more_than_64_kb_are_looked_at() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with serving(talk) as port:
        outcome = await checked("tcp", port=port, contains="y")
    said = "connected, but without the text in the first 64 KB that came"
    assert told(outcome) == (FAIL, said)


async def test_a_port_that_is_closed_is_the_targets_fault() -> None:
    with socket.socket() as free:
        free.bind((OWN, 0))
        outcome = await checked("tcp", port=free.getsockname()[1])
    assert told(outcome) == (FAIL, "connection refused")


async def test_files_that_are_used_up_are_our_own() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(echo) as port:
        await checked("tcp", port=port)
        highest = max(int(one) for one in os.listdir("/proc/self/fd"))  # noqa: PTH208
        held = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            outcome = await checked("tcp", port=port)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for one in held:
                os.close(one)
    assert told(outcome) == (ERROR, "could not ask: too many open files")


async def test_whoever_gives_a_check_up_waits_for_nothing() -> None:
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()
        closed.set()

    async with serving(talk) as port:
        task = asyncio.ensure_future(checked("tcp", port=port, contains="never", timeout=60))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(closed.wait(), 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the files of a process are counted in /proc")
async def test_checks_leave_no_files_open() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(talk) as port:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(3):
            await checked("tcp", port=port)
            await checked("tcp", port=port, contains="x", timeout=0.02)
            await checked("dns", name="a.example", port=port, timeout=0.02)
            await checked("command", argv=["/bin/sleep", "5"], timeout=0.02)
        await asyncio.sleep(0.05)
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
