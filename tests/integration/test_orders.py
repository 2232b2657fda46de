"""Commands at a running server on real Consul, under load: no query notices what is ordered."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration.conftest import NEWEST
from tests.integration.faulted import QUESTIONS, RIGHT, all_facts, consul, run
from tests.integration.served import at

RATE = 100
NAME = "galeradb.service.consul"


@NEWEST
def test_what_is_ordered_costs_no_query(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    path = tmp_path / "serve.sock"

    def command(*words: str, codes: tuple[int, ...] = (0,)) -> str:
        asked = [sys.executable, "-m", "consulfwd", *words, "--socket", str(path)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30)
        assert (done.returncode in codes, done.stderr) == (True, ""), done
        return done.stdout

    expected = all_facts(at(cluster.servers[0]), QUESTIONS)
    settings = {
        "consul": consul(*cluster.servers, reverse=["10.0.0.0/8"]),
        "admin": {"socket": str(path)},
    }
    first, *others = cluster.servers
    name = f"{first.address}:{first.dns_port}"
    with run(settings, tmp_path, guard, QUESTIONS, expected, rate=RATE) as under:
        under.mark("before")
        time.sleep(0.5)
        # On a busy machine one may be down for a moment.
        assert command("status", codes=(0, 1)).startswith("serve on ")
        under.mark("drained")
        told = command("drain", name)
        assert "nothing is unanswered there\n" in told
        assert all(f"{one.address}:{one.dns_port}" in told for one in others)
        assert f"what {name} says" not in command("explain", f"x.{NAME}")
        under.mark("back")
        command("undrain", name)
        assert command("cache", "flush", "--all").startswith("dropped ")
        assert f"{NAME}. A\n" in command("explain", NAME)
        time.sleep(0.5)
    assert under.other(RIGHT) == []
    assert under.late() == []
    assert under.verdicts("drained")[RIGHT] > 0
