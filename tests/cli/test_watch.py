"""`consulfwd watch` as a process, at development agents: what it prints, runs, and ends with."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consulfwd.cli.main import cli
from consulfwd.dev import DevCluster
from consulfwd.errors import UsageError
from tests.net.world import EXAMPLES, place_of

PATIENCE_S = 20.0
GALERA = ["10.0.10.11", "10.0.10.12", "10.0.10.13"]
# Notes what it is told, a line for each run.
NOTES = "sh -c 'cat >> {0}; echo $CONSULFWD_SERVICE $CONSULFWD_ADDED $CONSULFWD_REMOVED >> {0}.env'"


class Run:
    """One `consulfwd watch`."""

    def __init__(self, folder: Path, cluster: DevCluster, *words: str) -> None:
        agents = [place_of(one) for one in cluster.agents]
        config = folder / "consulfwd.yml"
        config.write_text(json.dumps({"consul": {"agents": agents}}))
        command = [sys.executable, "-m", "consulfwd", "watch", "-c", str(config), *words]
        self.config, self._out, self._err = config, folder / "out", folder / "err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env={**os.environ}
            )

    async def ends(self) -> tuple[int, str, str]:
        """Its exit code, and what it printed."""
        code = await asyncio.wait_for(asyncio.to_thread(self.process.wait), PATIENCE_S)
        assert "Traceback" not in self.said
        return code, self._out.read_text(), self.said

    async def ended_by(self, number: int) -> tuple[int, str, str]:
        self.process.send_signal(number)
        return await self.ends()

    @property
    def lines(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def said(self) -> str:
        return self._err.read_text()


@asynccontextmanager
async def watching(folder: Path, cluster: DevCluster, *words: str) -> AsyncIterator[Run]:
    run = Run(folder, cluster, *words)
    try:
        yield run
    finally:
        run.process.kill()
        await asyncio.to_thread(run.process.wait)


@pytest.fixture
async def cluster() -> AsyncIterator[DevCluster]:
    async with DevCluster(EXAMPLES) as one:
        yield one


async def soon(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


def told(file: Path) -> list[dict[str, Any]]:
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def addresses(backends: list[dict[str, Any]]) -> list[str]:
    return sorted(one["address"] for one in backends)


async def test_a_command_is_told_at_the_start_and_of_changes(
    cluster: DevCluster, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    words = "--exec", NOTES.format(notes), "--quiescence", "0.05:1"
    async with watching(tmp_path, cluster, "galeradb", *words) as run:
        await soon(lambda: len(told(notes)) == 1)
        cluster.catalog.set_check("galera1", "critical")
        await soon(lambda: len(told(notes)) == 2)
        first, second = told(notes)
        assert (first["service"], first["datacenter"], first["stale"]) == ("galeradb", "", "")
        assert addresses(first["added"]) == addresses(first["backends"]) == GALERA
        assert (addresses(second["removed"]), second["added"]) == (GALERA[:1], [])
        assert addresses(second["backends"]) == GALERA[1:]
        # Agents that go and come are no reason to run anything.
        for agent in cluster.agents:
            await agent.stop()
        await soon(lambda: "what is known of it stays" in run.said)

        def tells() -> bool:
            run.process.send_signal(signal.SIGUSR1)
            return "galeradb: 2 healthy; " in run.said

        # The log has it a moment before the set does.
        await soon(tells)
        code, _, said = await run.ended_by(signal.SIGTERM)
        assert code == 0
        assert "galeradb: 2 healthy, 0 added, 1 removed, 0 updated; told in" in said
        assert len(told(notes)) == 2
    assert (tmp_path / "notes.env").read_text() == "galeradb 3 0\ngaleradb 0 1\n"


async def test_changes_while_it_runs_are_told_as_one(cluster: DevCluster, tmp_path: Path) -> None:
    notes, go = tmp_path / "notes", tmp_path / "go"
    wait = f"sh -c 'cat >> {notes}; while [ ! -e {go} ]; do sleep 0.02; done'"
    async with watching(tmp_path, cluster, "galeradb", "--exec", wait, "--quiescence=0") as run:
        await soon(lambda: len(told(notes)) == 1)
        for name in ("galera1", "galera2"):
            cluster.catalog.set_check(name, "critical")
            await asyncio.sleep(0.1)
        go.touch()
        await soon(lambda: len(told(notes)) == 2)
        assert addresses(told(notes)[1]["removed"]) == GALERA[:2]
        assert (await run.ended_by(signal.SIGINT))[0] == 130
        assert len(told(notes)) == 2


async def test_settings_are_read_again(cluster: DevCluster, tmp_path: Path) -> None:
    async with DevCluster(EXAMPLES, 1) as other, watching(tmp_path, cluster, "galeradb") as run:
        await soon(lambda: len(run.lines) == 3)
        good = run.config.read_text()
        run.config.write_text("consul: {agents: nobody}")
        run.process.send_signal(signal.SIGHUP)
        await soon(lambda: "not reloaded, the old settings stay in force" in run.said)
        run.config.write_text(
            good.replace(str(cluster.agents[0].http_port), str(other.agents[0].http_port))
        )
        other.catalog.set_check("galera2", "critical")
        run.process.send_signal(signal.SIGHUP)
        await soon(lambda: len(run.lines) == 4)
        code, out, _ = await run.ended_by(signal.SIGTERM)
    assert code == 0
    assert out.splitlines()[3] == "- 10.0.10.12:3306  galera2  passing icinga-galera"


async def test_it_prints_what_there_is_once(cluster: DevCluster, tmp_path: Path) -> None:
    async with watching(tmp_path, cluster, "galeradb", "--once", "--json", "--passing") as run:
        code, out, _ = await run.ends()
    assert code == 0
    (only,) = map(json.loads, out.splitlines())
    assert addresses(only["backends"]) == GALERA
    assert only["backends"][0] == {
        "id": "galera1",
        "node": "galera1",
        "address": "10.0.10.11",
        "port": 3306,
        "datacenter": "dc1",
        "tags": ["icinga-galera"],
        "weight": 1,
        "status": "passing",
        "meta": {"cluster": "icinga", "node": "galera1"},
    }
    async with watching(tmp_path, cluster, "galeradb", "--once", "--exec", "false") as run:
        code, _, said = await run.ends()
    assert code == 1
    assert "`false` failed with exit code 1\n" in said
    for agent in cluster.agents:
        await agent.stop()
    async with watching(tmp_path, cluster, "galeradb", "--once", "--wait", "0.5") as run:
        code, out, said = await run.ends()
    assert (code, out) == (3, "")
    assert "consulfwd: service galeradb: " in said


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--exec", "true", "--json"], "--exec and --json: one of them"),
        (["--exec", "no-such-program x"], "no-such-program: it is not installed"),
        (["--exec", "a 'b"], "no closing quotation"),
        (["--exec", ""], "there is no command"),
        (["--quiescence", "x"], "is not MIN\\[:MAX\\]"),
        (["--dc", "a b"], "not the name of a datacenter"),
    ],
)
def test_wrong_use(words: list[str], text: str, tmp_path: Path) -> None:
    config = tmp_path / "consulfwd.yml"
    config.write_text("{}")
    with pytest.raises(UsageError, match=text):
        CliRunner().invoke(
            cli, ["watch", "web", "-c", str(config), *words], catch_exceptions=False
        )
