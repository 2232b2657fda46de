"""A day in some seconds: no query is lost, and nothing of it stays behind (see `day`).

The whole one, of two million queries, is `python -m benchmarks.day`.
"""

from __future__ import annotations

from pathlib import Path

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration import day, inside
from tests.integration.conftest import NEWEST
from tests.integration.served import serve
from tests.load_lock import only_load

# Slow enough for a busy machine to keep up: it lasts as long on any.
QUERIES, RATE = 30_000, 4_000
# What there may be more of at the end: tables that are full are bounded, and heaps have holes. A
# leak of one object in each query would be 30,000.
MEMORY_MB, OBJECTS = 20.0, 3_000


@NEWEST
def test_nothing_is_lost_and_nothing_stays(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    agents = cluster.servers
    inside_it = (Path(inside.__file__),)
    with only_load(), serve(day.variants(agents)[0], tmp_path, guard, python=inside_it) as served:
        alive = day.Day(served, agents)
        alive.warm(3_000, 1)
        before = alive.look(idle_s=1.0)
        lived = alive.live(QUERIES, every_s=1.5, rate=RATE, like=before)
    for asked in (lived.udp, lived.tcp):
        assert (asked.lost, asked.wrong) == (0, {})
        assert sum(asked.rcodes.values()) == asked.sent
    assert lived.udp.sent >= QUERIES
    assert lived.udp.rcodes[3] > 0
    assert lived.tcp.sent >= 100
    # Each waits for the last one, which takes its time on a busy machine.
    assert lived.reloads >= 2
    assert lived.restarts >= 1
    after = lived.held
    assert after.tasks == before.tasks
    assert after.files <= before.files
    assert after.objects - before.objects < OBJECTS
    assert after.memory_mb - before.memory_mb < MEMORY_MB
