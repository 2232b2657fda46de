"""What SIGUSR1 brings into the log: the counters, and how each upstream is."""

from __future__ import annotations

import re

import pytest

from tests.net.recursor import Recursor
from tests.net.world import GALERA, world


async def test_counters_and_upstreams(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with Recursor() as recursor, world(recursor) as here:
        for _ in range(3):
            assert (await here.ask("galeradb.service.consul")).data == GALERA
        assert (await here.ask("nothing.example.test")).rcode == "NXDOMAIN"
        assert (await here.ask("nothing.example.test")).rcode == "NXDOMAIN"
        await here.agents[2].stop()
        here.engine.prober.probe(here.engine.upstreams()[2])
        await here.until("up", "up", "down")
        first, second, third, outside = here.engine.upstreams()
        here.engine.health.rank(second, "knows no leader")
        outside.looped = True
        here.engine.prober.look(here.engine.clock.now())
        caplog.clear()
        sent = third.sent
        here.watched.report()
    told = [
        re.sub(r"(for|in) [\d.]+ (m?s)\b", r"\1 # \2", one.getMessage())
        for one in caplog.records[:7]
    ]
    assert told[0] == (
        "queries 5: hot 0, cached 1, joined 0, forwarded 4; stale answers 0, failed 0"
    )
    assert told[1].startswith("asked upstreams ")
    assert told[2] == "answers in the cache 2, queries in flight 0"
    assert [re.sub(r"# m?s", "#", one) for one in told[3:]] == [
        f"agent {first.name}: up for #, replies in #, asked 4 times",
        f"agent {second.name}: up for #, replies in #, asked 1 times; "
        "ranked behind the others: knows no leader",
        f"agent {third.name}: down for #, replies in #, asked {sent} times",
        f"recursor {outside.name}: up for #, replies in #, asked 1 times; "
        "leads back to this server",
    ]
