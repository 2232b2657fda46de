"""A Consul of three nodes in this process, which can die, or have who asks it die, at any step."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from consulfwd.config import Agent, Settings
from consulfwd.consul import reply
from consulfwd.errors import ConsulError
from consulfwd.locking.command import Ended
from consulfwd.maintain.asked import Records
from consulfwd.maintain.requests import Requests
from consulfwd.maintain.running import Running
from consulfwd.maintain.wanted import Event, Times, Wanted
from consulfwd.zones.disk import Document

START = 1_770_000_000.0


class Killed(BaseException):
    """The run is dead: nothing that it does has any effect any more."""


class World:
    """What Consul knows, what DNS says `lag` seconds later, and who works on what."""

    def __init__(self, nodes: int = 3, services: Sequence[str] = ("web",), ttl: int = 0) -> None:
        self.addresses = {f"n{n}": f"127.9.0.{n}" for n in range(1, nodes + 1)}
        self.services = list(services)
        self.ttl = ttl
        self.lag = 0.0
        self.status = {(node, one): "passing" for node in self.addresses for one in services}
        self.output: dict[tuple[str, str], str] = {}
        self.every = "2s"
        # Node and ID ("": all of it) -> reason, and since when it is so.
        self.out: dict[tuple[str, str], str] = {}
        self.changed: dict[tuple[str, str], float] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.sessions: set[str] = set()
        self.queries: list[Any] = []
        self.denied: tuple[str, ...] = ()
        self.unreachable: set[str] = set()
        self.without_agent: set[str] = set()
        # By node: fields of its instances that somebody registered otherwise.
        self.registered: dict[str, dict[str, str]] = {}
        self.asked: set[str] = set()
        self.now = 0.0
        self.steps: list[str] = []
        self.kill_at: int | None = None
        self.dead = False
        self.index = 1
        self.begun: list[str] = []
        self.codes: dict[str, int] = {}
        self.takes = 1.0
        self.events: list[Event] = []
        self.meanwhile: dict[str, Any] = {}
        self.task: asyncio.Task[None] | None = None

    def step(self, name: str) -> None:
        """Die here if that was said; each thing with an effect has a step before and one after."""
        if self.dead:
            raise Killed
        self.steps.append(name)
        if self.kill_at is not None and len(self.steps) > self.kill_at:
            self.dead = True
            raise Killed

    async def sleep(self, seconds: float) -> None:
        if self.dead:
            raise Killed
        self.now += seconds
        await asyncio.sleep(0)

    def named(self, node: str, service: str) -> bool:
        """Whether DNS gives it out now: what changed a moment ago it does not know yet."""
        for key in ((node, service), (node, "")):
            fresh = self.now - self.changed.get(key, -1e9) < self.lag
            if (key in self.out) != fresh:
                return False
        return self.status[node, service] != "critical"

    async def dns(self, address: str, port: int, name: str) -> Records:
        service = name.partition(".")[0]
        found = [
            (80, f"{node}.node.dc1.consul.") for node in self.addresses if self.named(node, service)
        ]
        return Records(tuple(found), self.ttl if found else 0)

    def connect(self, agent: Agent) -> Client:
        self.asked.add(agent.address)
        return Client(self, agent)

    def running(self, folder: Path, agents: int = 1, **wanted: Any) -> Running:
        self.dead, self.kill_at = False, None
        addresses = list(self.addresses.values())[:agents]
        settings = Settings(
            consul=Settings().consul.replace(agents=tuple(Agent(address=a) for a in addresses))
        )
        wanted.setdefault("command", () if wanted.get("back") else ("update",))
        wanted.setdefault("wait", 0.0)
        return Running(
            Wanted(**{"name": "web", **wanted}),
            settings,
            folder,
            {},
            self.events.append,
            requests=Requests(settings.consul.agents, connect=self.connect),
            dns=self.dns,
            times=Times(lambda: START + self.now, lambda: self.now, self.sleep),
            commands=lambda words, kill_after: Work(self),
        )

    def run(self, folder: Path, **wanted: Any) -> None:
        """One whole run."""
        running = self.running(folder, **wanted)
        asyncio.run(running.run())

    def killed(self, folder: Path, at: int, **wanted: Any) -> bool:
        """One that dies before its step number `at`; return whether it has that many."""
        running = self.running(folder, **wanted)
        self.kill_at, self.steps = at, []
        try:
            asyncio.run(running.run())
        except Killed:
            return True
        return False

    @property
    def told(self) -> list[str]:
        return [one.name for one in self.events]


class Work:
    """The command: it notes whose turn it is, and that nobody is led there."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ended: Ended | None = None

    async def start(self, environ: Mapping[str, str], until: float) -> int:
        world = self._world
        world.step("start")
        node = environ["MAINTAIN_NODE"]
        services = [environ.get("MAINTAIN_SERVICE")] if "MAINTAIN_ID" in environ else world.services
        for one in services:
            assert one is not None
            assert not world.named(node, one)
        world.begun.append(node)
        self._node, self._until = node, until
        world.step("started")
        return 1

    async def wait(self) -> Ended:
        world = self._world
        if (what := world.meanwhile.pop(self._node, None)) is not None:
            what()
        for _ in range(10):
            await world.sleep(world.takes / 10)
        await asyncio.sleep(0)
        if world.now > self._until:
            return Ended(-signal.SIGTERM, "time")
        world.step("worked")
        return Ended(world.codes.pop(self._node, 0), "itself")

    async def end(self, number: int = signal.SIGTERM) -> Ended:
        self._world.begun.append(f"ended by {number}")
        return Ended(-number, "asked")


class Client:
    """One agent."""

    def __init__(self, world: World, agent: Agent) -> None:
        self._world = world
        self._agent = agent

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int = 0,
        absent: bool = False,
    ) -> reply.Reply:
        return await self._ask("GET", path, dict(params or {}), b"")

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> reply.Reply:
        world = self._world
        world.step(f"PUT {path}")
        found = await self._ask("PUT", path, dict(params or {}), body)
        world.step(f"PUT {path} done")
        return found

    async def delete(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float
    ) -> reply.Reply:
        raise AssertionError(path)

    async def close(self) -> None:
        pass

    async def _ask(
        self, method: str, path: str, params: dict[str, str], body: bytes
    ) -> reply.Reply:
        world = self._world
        if world.dead:
            raise Killed
        await asyncio.sleep(0)
        if "index" in params:
            # Nobody else changes anything.
            await asyncio.Event().wait()
        name = self._agent.name
        if self._agent.address in world.unreachable:
            raise ConsulError(name, 0, "connection refused")
        if any(one in f"{method} {path}" for one in world.denied):
            raise ConsulError(name, 403, "Permission denied")
        found = self._found(method, path, params, body)
        headers = {"X-Consul-Index": str(world.index)}
        return reply.read(name, 200, headers, json.dumps(found).encode(), 0.0)

    def _found(self, method: str, path: str, params: dict[str, str], body: bytes) -> object:
        world = self._world
        here = next(
            (one for one, at in world.addresses.items() if at == self._agent.address), "none"
        )
        if path.startswith("/v1/health/service/"):
            return self._health(path.rpartition("/")[2])
        if path.startswith("/v1/catalog/node/"):
            node = path.rpartition("/")[2]
            if node not in world.addresses:
                return None
            services = {one: {"ID": one, "Service": one} for one in world.services}
            at = {"Node": node, "Address": world.addresses[node]}
            return {"Node": at, "Services": services}
        if path == "/v1/agent/self":
            return {"Config": {"NodeName": here}}
        if path == "/v1/query":
            return world.queries
        if path == "/v1/agent/checks":
            found = {}
            for (node, id), notes in world.out.items():
                if node == here:
                    check = f"_service_maintenance:{id}" if id else "_node_maintenance"
                    found[check] = {"Notes": notes}
            return found
        if path.startswith("/v1/agent/service/maintenance/") or path == "/v1/agent/maintenance":
            id = "" if path == "/v1/agent/maintenance" else unquote(path.rpartition("/")[2])
            key = (here, id)
            if params["enable"] == "true":
                if key not in world.out:
                    world.out[key], world.changed[key] = params["reason"], world.now
            elif world.out.pop(key, None) is not None:
                world.changed[key] = world.now
            return None
        if path == "/v1/session/create":
            id = str(uuid.uuid4())
            world.sessions.add(id)
            return {"ID": id}
        if path.startswith("/v1/session/"):
            id = path.rpartition("/")[2]
            if "destroy" in path:
                world.sessions.discard(id)
                for entry in world.keys.values():
                    # Consul keeps the lock from all for a while: for this test, for ever.
                    if entry["Session"] == id:
                        entry["Session"] = "nobody, for a while"
            return True
        assert path.startswith("/v1/kv/"), path
        return self._key(method, unquote(path.removeprefix("/v1/kv/")), params, body)

    def _key(self, method: str, key: str, params: dict[str, str], body: bytes) -> object:
        world = self._world
        entry = world.keys.get(key)
        if method == "GET":
            return None if entry is None else [{"Key": key, **entry}]
        world.index += 1
        if entry is None:
            entry = world.keys[key] = {
                "Value": "", "Flags": int(params.get("flags", 0)), "Session": "",
                "ModifyIndex": world.index, "LockIndex": 0,
            }  # fmt: skip
        if session := params.get("acquire"):
            if session not in world.sessions or entry["Session"] not in ("", session):
                return False
            entry["LockIndex"] += entry["Session"] != session
            entry["Session"] = session
        elif session := params.get("release"):
            if entry["Session"] != session:
                return False
            entry["Session"] = ""
        entry["Value"], entry["ModifyIndex"] = base64.b64encode(body).decode(), world.index
        return True

    def _health(self, service: str) -> list[dict[str, Any]]:
        world = self._world
        if service not in world.services:
            return []
        found = []
        for node, address in world.addresses.items():
            serf = {"CheckID": "serfHealth", "Name": "Serf", "Status": "passing"}
            checks = [
                *([serf] if node not in self._world.without_agent else []),
                {
                    "CheckID": f"service:{service}", "Name": "http", "Interval": world.every,
                    "Status": world.status[node, service],
                    "Output": world.output.get((node, service), ""),
                },
            ]  # fmt: skip
            taken = ((service, f"_service_maintenance:{service}"), ("", "_node_maintenance"))
            for id, check in taken:
                if (notes := world.out.get((node, id))) is not None:
                    checks.append({"CheckID": check, "Status": "critical", "Notes": notes})
            instance = {"ID": service, "Service": service, "Address": "", "Port": 80}
            instance |= world.registered.get(node, {})
            at = {"Node": node, "Address": address}
            found.append({"Node": at, "Service": instance, "Checks": checks})
        return found


def watched(world: World, monkeypatch: Any) -> None:
    """Have what is written to disk be a step, too."""
    save, remove = Document.save, Document.remove

    def saved(document: Document, data: bytes) -> None:
        world.step("save")
        save(document, data)
        world.step("saved")

    def removed(document: Document) -> None:
        world.step("remove")
        remove(document)
        world.step("removed")

    monkeypatch.setattr(Document, "save", saved)
    monkeypatch.setattr(Document, "remove", removed)
    monkeypatch.setattr("consulfwd.zones.disk.os.fsync", lambda _: None)
