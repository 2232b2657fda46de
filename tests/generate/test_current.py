"""Files kept current: what is told beside them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.generate.current import keep_current
from consulfwd.generate.requests import Request
from consulfwd.keep.quiescence import Quiescence
from consulfwd.notify import Notifier
from consulfwd.servers.targets import TARGETS
from consulfwd.upkeep import Upkeep

FAR = {"dc2": {"agents": ["10.2.0.1"]}}


def test_what_should_be_known_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "consul.conf"
    asked: list[str] = []

    def request() -> Request:
        asked.append(f"10.0.0.{len(asked) + 1}")
        given: dict[str, Any] = {"consul": {"agents": asked[-1:], "datacenters": FAR}}
        return Request(TARGETS["bind"], Settings(**given), (9, 18), dest=file, reload=False)

    async def until(true: Callable[[], bool]) -> None:
        while not true():
            await asyncio.sleep(0.01)

    def names(address: str) -> bool:
        return file.exists() and address in file.read_text()

    async def play() -> None:
        keeping = asyncio.create_task(
            keep_current(
                request,
                [],
                Quiescence(0.0, None),
                service=None,
                checks=False,
                upkeep=Upkeep(Notifier(), "a test's file"),
            )
        )
        await asyncio.wait_for(until(lambda: names("10.0.0.1")), 20)
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(until(lambda: not names("10.0.0.1")), 20)
        keeping.cancel()
        await asyncio.wait([keeping])

    asyncio.run(play())
    told = [one.message for one in caplog.records if "consul.datacenters" in one.message]
    assert len(told) == 1
    assert "bind" in told[0].lower()
