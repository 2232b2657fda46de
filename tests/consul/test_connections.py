"""A whole server must not use up the connections Consul allows its host."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consulfwd.core.carriers import CONNECTIONS, MOST_CARRIED
from consulfwd.net.relays import KEEP_AGAIN
from tests.consul.gate import Gate
from tests.net.world import World, ask, settings, until, world

COUNT = 80


@pytest.fixture(autouse=True)
def _often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine many names take a while to be asked for, each of them twice."""
    monkeypatch.setattr("consulfwd.core.interest.ADMIT_WITHIN", 60.0)


@asynccontextmanager
async def gated(gate: Gate, **watch: Any) -> AsyncIterator[World]:
    """A server that watches one agent through a gate, and looks at it as often as it may."""
    async with world(agents=1, http=True) as here, gate.before(here.agents[0].http_port):
        for number in range(COUNT):
            here.cluster.catalog.register(
                f"s{number}", id=f"s{number}", node=f"n{number}", node_address="10.0.0.9"
            )
        agent = here.server.settings.consul.agents[0].replace(http_port=gate.port)
        consul = {
            "agents": [agent],
            "quality": {"every": 0.5},
            "watch": {"enabled": True, "max": 1000, **watch},
        }
        await here.server.reload(settings(here.cluster, consul=consul))
        yield here


def watches(here: World) -> list[Any]:
    assert here.engine.reuse is not None
    return list(here.engine.reuse.freshness.watches.values())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "consulfwd.watch"]


async def want(here: World, numbers: range) -> None:
    """Ask for so many names twice, and wait until what can be watched is."""
    for _ in range(2):
        for number in numbers:
            reply = await ask(here.at, f"s{number}.service.consul")
            assert reply.data == ["10.0.0.9"]
        # Of what is asked for again at once no more notice is taken.
        await asyncio.sleep(KEEP_AGAIN)
    await until(lambda: all(one.armed for one in watches(here)))


async def test_a_third_of_the_connections_is_enough() -> None:
    gate = Gate()
    async with gated(gate) as here:
        await want(here, range(COUNT))
        assert len(watches(here)) == MOST_CARRIED
        assert MOST_CARRIED < gate.peak <= CONNECTIONS == 66
        assert gate.refused == 0
        # Nobody went without an answer for it.
        assert here.counters.failed == 0


async def test_who_is_told_less_uses_less() -> None:
    gate = Gate()
    async with gated(gate, max_connections=20) as here:
        await want(here, range(40))
        assert len(watches(here)) == 14
        assert gate.peak <= 20


async def test_where_there_is_no_room_half_is_given_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consulfwd.watch")
    gate = Gate()
    async with gated(gate) as here:
        await want(here, range(30))
        assert (len(watches(here)), gate.refused) == (30, 0)
        held = gate.open
        # Other programs take all that is left.
        gate.others = gate.most - gate.open
        await want(here, range(30, 50))
        await until(lambda: gate.refused > 0 and gate.open <= held // 2 + 2)
        assert len(watches(here)) == 15
        name = here.server.settings.consul.agents[0].name
        assert told(caplog) == [
            f"agent {name} takes no more connections from this host (HTTP 429): at most 15 watches"
            " there for now (raise its limits.http_max_conns_per_client, or see who has them)"
        ]
        # It stays at that, however much is asked for, and what is left goes on.
        await want(here, range(50, 70))
        assert len(watches(here)) == 15
        assert gate.open <= held // 2 + 2
        assert len(told(caplog)) == 1
        (watch, *_) = watches(here)
        here.cluster.catalog.set_check(watch.subject.name, "critical")
        await until(lambda: watch.changes)
        assert here.counters.failed == 0


async def test_a_proof_that_finds_no_room_gives_back_half_too() -> None:
    gate = Gate()
    gate.others = gate.most
    async with gated(gate) as here:
        freshness = here.engine.reuse.freshness if here.engine.reuse is not None else None
        assert freshness is not None
        await want(here, range(1))
        await until(lambda: gate.refused >= 2)
        # Nothing can be proved there, so nothing is reused; DNS is none the worse for it.
        assert not freshness.proofs
        assert (await ask(here.at, "s0.service.consul")).data == ["10.0.0.9"]
