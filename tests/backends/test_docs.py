"""docs/programs.md is true: its examples run, its tables have what there is."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from consulfwd.api import Backend, Backends, Change, SyncBackends, backends, sync_backends
from consulfwd.backends.watching import PREFIX, variables
from consulfwd.cli.watch import watch
from consulfwd.dev import DevCluster
from tests.net.world import EXAMPLES, place_of, settings

PAGE = (Path(__file__).parents[2] / "docs" / "programs.md").read_text()
SCRIPTS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GALERA = [f"10.0.10.{n}:3306" for n in (11, 12, 13)]
# What each prints; the first goes on until it is ended.
PRINTED = [
    [f"may connect to {at} on galera{n}" for n, at in enumerate(GALERA, 1)],
    [r"first of 3 is 10\.0\.10\.1[123]:3306"],
    [r"asked 10\.0\.10\.1[123] port 3306"],
]


def table(heading: str) -> list[tuple[str, ...]]:
    """The cells of the first table below a heading."""
    below = PAGE.partition(f"{heading}\n")[2]
    rows = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert rows is not None
    return [tuple(map(str.strip, row.strip("|").split("|"))) for row in rows[0].splitlines()[2:]]


def names(cells: list[tuple[str, ...]]) -> set[str]:
    return {name for row in cells for name in re.findall(r"`([\w-]+)", row[0])}


@pytest.mark.parametrize(("script", "printed"), [*zip(SCRIPTS, PRINTED, strict=True)])
async def test_examples_run(script: str, printed: list[str], tmp_path: Path) -> None:
    config = tmp_path / "consulfwd.yml"
    async with DevCluster(EXAMPLES) as cluster:
        agents = [place_of(one) for one in cluster.agents]
        config.write_text(json.dumps({"consul": {"agents": agents}}))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-W", "error", "-c", script,
            env={**os.environ, "CONSULFWD_CONFIG": str(config)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        lines = [
            (await asyncio.wait_for(process.stdout.readline(), 20)).decode().rstrip("\n")
            for _ in printed
        ]
        for line, expected in zip(lines, printed, strict=True):
            assert re.fullmatch(expected, line), (lines, (await process.communicate())[1])
        if "async for" in script:
            process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 20)
        assert errors == b""


def test_arguments_are_all_there() -> None:
    told = {row[0].strip("`"): row[1] for row in table("## Arguments")}
    for function in (backends, sync_backends):
        parameters = inspect.signature(function).parameters
        assert list(told) == list(parameters)
        for name, one in parameters.items():
            if name not in ("service", "settings"):
                assert told[name].strip('"') == str(one.default)


def test_members_are_all_there() -> None:
    fields = {one.name for one in dataclasses.fields(Change)}
    assert names(table("## In an event loop")) == fields | {"bool"}
    shown = names(table("## In threads")) | set(re.findall(r"`(known|stale|worked)", PAGE))
    for kind in (Backends, SyncBackends):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert public - {"service", "datacenter"} == shown
    prose = PAGE.partition("is\na `Backend`:")[2].partition("| Of a change")[0]
    members = {one.name for one in dataclasses.fields(Backend)} | {"host"}
    assert members <= set(re.findall(r"`(\w+)`", prose))


def test_options_are_all_there() -> None:
    found = {one for each in watch.params for one in each.opts if isinstance(each, click.Option)}
    # Shared by all commands.
    own = found - {"-c", "--config", "--listen", "--agent", "--recursor", "--domain"}
    rows = table("## A command told")
    shown = {name for row in rows for name in re.findall(r"`(--[\w-]+)`", row[0])}
    assert own - {"--log-level"} == shown


async def test_what_a_command_is_told_is_what_is_shown() -> None:
    shown = re.search(r"^```json\n(.*)\n```$", PAGE, re.MULTILINE)
    assert shown is not None
    example = json.loads(shown[1])
    async with (
        DevCluster(EXAMPLES) as cluster,
        backends("galeradb", settings=settings(cluster)) as galera,
    ):
        await galera.ready()
        change = await anext(aiter(galera))
        told = set(variables(galera, change))
    assert list(example) == ["service", "datacenter", *change.as_json()]
    assert list(example["removed"][0]) == list(change.added[0].as_json())
    assert told == {f"{PREFIX}{one}" for one in re.findall(rf"`{PREFIX}(\w+)`", PAGE)}
