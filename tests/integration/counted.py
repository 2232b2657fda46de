"""`consulfwd serve -c FILE` that writes down, ten times a second, what it has done so far.

Into the file `counters` beside FILE: a JSON object per line, with the time by the monotonic clock
(`at`), the engine's counters, the health of each upstream (`states`), how many watches would tell
of a change (`watches`), how many seconds the machine was stopped by its host (`stolen`), and how
many the server was ready to go on and had no core (`coreless`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from consulfwd import daemon
from consulfwd.cli import logs
from consulfwd.config import Loaded, load
from consulfwd.server import Server
from tests.coreless import around, coreless_s
from tests.stolen import stolen_s

EVERY_S = 0.1
# So many lines are a second.
LINES = round(1 / EVERY_S)


def not_ours(lines: Sequence[Mapping[str, float]]) -> float:
    """For how many seconds, at the very most of any second, a server could not go on.

    Because the host stopped the machine, or other programs were on all cores.
    """
    lost = [one["stolen"] + one["coreless"] for one in lines]
    return max((b - a for a, b in zip(lost, lost[LINES:], strict=False)), default=0.0)


def lost_between(lines: Sequence[Mapping[str, float]], begin: float, end: float) -> float:
    """For how many seconds a server could not go on between two times, at the very most."""
    return grown([(one["at"], one["stolen"] + one["coreless"]) for one in lines], begin, end)


def grown(told: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """By how much a figure told with its time grew between two times, at the very most."""
    before, after = around(told, begin, end)
    return after - before


def written(file: Path) -> list[dict[str, Any]]:
    """What a server with the settings in `file` has written down so far, a line each."""
    lines = file.with_name("counters").read_text().split("\n")
    # What is behind the last line break is not a whole line yet.
    return [json.loads(line) for line in lines[:-1]]


async def _main(file: Path, out: TextIO) -> None:
    servers: list[Server] = []

    def again() -> Loaded:
        return load(file, os.environ, {})

    def write() -> None:
        if servers:
            engine = servers[0].engine
            reuse = engine.reuse
            watches = reuse.freshness.watches.values() if reuse is not None else ()
            line = {
                "at": time.monotonic(),
                **dataclasses.asdict(engine.counters),
                "states": {one.name: one.state.value for one in engine.upstreams()},
                "watches": sum(watch.armed for watch in watches),
                "stolen": stolen_s(),
                "coreless": coreless_s(),
            }
            out.write(f"{json.dumps(line)}\n")

    async def keep_writing() -> None:
        while True:
            write()
            await asyncio.sleep(EVERY_S)

    writing = asyncio.create_task(keep_writing())
    await daemon.serve(again(), again, servers.append)
    writing.cancel()
    write()


if __name__ == "__main__":
    _file = Path(sys.argv[1])
    logs.set_up("info", "text")
    with _file.with_name("counters").open("w", buffering=1) as _out:
        asyncio.run(_main(_file, _out))
