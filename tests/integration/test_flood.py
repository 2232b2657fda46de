"""Floods from 200 addresses beside one honest client, on real Consul: it loses nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.flood import flooded
from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration.conftest import NEWEST
from tests.integration.served import SERVE, consul, serve
from tests.load_lock import only_load

# So long by default; `FLOOD_SECONDS=60` for all of it.
SECONDS = float(os.environ.get("FLOOD_SECONDS", "8"))
RATE = 10_000


@NEWEST
def test_an_honest_client_loses_nothing_beside_a_flood(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    limits = {"own_host": True, "per_client": 200, "per_network": 1000, "burst": 1}
    settings = {"consul": consul(*cluster.servers), "limits": limits}
    with only_load(), serve(settings, tmp_path, guard, python=SERVE) as served:
        began = time.monotonic()
        came = flooded(served.at, served.pid, SECONDS, RATE)
        assert time.monotonic() - began >= SECONDS
    assert came.lost == [], came
    assert came.asked > 90 * SECONDS
    # Or it was no flood.
    assert came.flood > 2000 * SECONDS
    assert came.seen.rss_mb < 150
    # Of each agent one for all that is asked of it on this host, and connections over HTTP.
    assert came.seen.sockets < 100
