"""`consulfwd serve -c FILE` that tells its counters on standard output when it stops."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path

from consulfwd import daemon
from consulfwd.cli import logs
from consulfwd.config import Loaded, load

if __name__ == "__main__":
    servers: list[daemon.Server] = []

    def again() -> Loaded:
        return load(Path(sys.argv[1]), os.environ, {})

    logs.set_up("info", "text")
    asyncio.run(daemon.serve(again(), again, servers.append))
    print(f"counters {json.dumps(dataclasses.asdict(servers[0].engine.counters))}")
