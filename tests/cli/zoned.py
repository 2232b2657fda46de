"""A zone of development agents' services that goes to a file: what `consulfwd zone` is tried on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consulfwd.dev.catalog import Status
from tests.cli.background import Background

ORIGIN = "svc.example.com"


class Site:
    """Settings with one zone, and the file it goes to."""

    def __init__(self, folder: Path, consul: Background) -> None:
        self.folder = folder
        self.file = folder / "svc.zone"
        self.settings = folder / "consulfwd.yml"
        self._consul = consul
        self.write()

    def write(
        self, *, lock: bool = False, more: Sequence[dict[str, Any]] = (), **values: Any
    ) -> None:
        """Write the settings anew."""
        agents = [
            {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
            for one in self._consul.agents
        ]
        zone: dict[str, Any] = {
            "origin": ORIGIN,
            "ns": ["ns.example.com"],
            "removal_delay": 0,
            "quiescence": 0.1,
            "interval": 0,
            "lock": {"enabled": lock},
            "targets": [{"file": {"path": str(self.file), "check": []}}],
            **values,
        }
        data = {
            "consul": {"agents": agents},
            "zones": [zone, *more],
            "zones_state": str(self.folder / "state"),
        }
        self.settings.write_text(json.dumps(data))

    @property
    def options(self) -> list[str]:
        """What a command needs to know of it."""
        return ["-c", str(self.settings)]

    def records(self) -> set[str]:
        """What the file holds, but for the SOA record and comments."""
        lines = self.file.read_text().splitlines()
        return {one for one in lines if one[:1] != ";" and " SOA " not in one}

    def serial(self) -> int:
        """That of the file."""
        found = re.search(r" SOA \S+ \S+ (\d+) ", self.file.read_text())
        assert found is not None
        return int(found[1])


def register(consul: Background, name: str, address: str, service: str = "") -> None:
    """Have an instance on a node of its own, which all are named for."""

    async def registered() -> None:
        catalog = consul.cluster.catalog
        catalog.register(service or name, id=name, node=name, node_address=address, port=80)

    consul.do(registered())


def deregister(consul: Background, name: str) -> None:
    """Take it out again."""

    async def deregistered() -> None:
        consul.cluster.catalog.deregister(name)

    consul.do(deregistered())


def checked(consul: Background, name: str, status: Status, output: str = "") -> None:
    """Have the check of an instance say so."""

    async def said() -> None:
        consul.cluster.catalog.set_check(name, status, output=output)

    consul.do(said())
