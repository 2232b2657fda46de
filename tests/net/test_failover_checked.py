"""A name that moves between two real web servers: all of it at once, in short intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.web import NAME, DevWeb
from tests.net.world import World, until, world


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


def record(web: DevWeb) -> dict[str, Any]:
    pools = [{"addresses": [host]} for host in web.hosts]
    check = {"http": {"url": f"http://{NAME}:{web.port}/"}}
    return {"pools": pools, "check": check, "interval": 0.1, "fall": 2, "rise": 2}


def given(here: World) -> str:
    assert here.server.book is not None
    found = here.server.book.given(NAME)
    return "" if found is None or not found.addresses else str(found.addresses[0].ip)


async def test_it_moves_and_comes_back() -> None:
    async with DevWeb(ports=(0,)) as web:
        first, second = web.hosts
        async with world(agents=1, failover={NAME: record(web)}) as here:
            await until(lambda: given(here) == first)
            assert (await here.ask(NAME)).data == [first]
            web.ill.add(first)
            await until(lambda: given(here) == second)
            assert (await here.ask(NAME)).data == [second]
            settings = here.server.settings
            await here.server.reload(settings.replace(log={"level": "debug"}))
            assert (await here.ask(NAME)).data == [second]
            # Checks go on by the settings of after the reload.
            web.ill.clear()
            await until(lambda: given(here) == first)
        web.ill.add(first)
        # It was well when it was left: one round may be needed to know better, none to answer.
        async with world(agents=1, failover={NAME: record(web)}) as here:
            await until(lambda: given(here) == second)


async def test_checks_end_with_the_record() -> None:
    async with DevWeb(ports=(0,)) as web:
        first, _ = web.hosts
        async with world(agents=1) as here:
            settings = here.server.settings
            await here.server.reload(settings.replace(failover={NAME: record(web)}))
            await until(lambda: given(here) == first)
            await here.server.reload(settings)
            assert here.server.book is None
            # No task is left behind: `world` looks.
