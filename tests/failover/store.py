"""Consul's KV store as several checkers see it, in a loop whose time jumps."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any

from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from tests.consul.replies import reply


class Store:
    """The keys, with their indexes; whoever waits is told of each write."""

    def __init__(self) -> None:
        self.index = 10
        self.keys: dict[str, tuple[bytes, int]] = {}
        self.changed = asyncio.Event()

    def put(self, key: str, value: bytes) -> None:
        self.index += 1
        self.keys[key] = value, self.index
        self.changed.set()
        self.changed = asyncio.Event()

    def drop(self, key: str) -> None:
        self.index += 1
        del self.keys[key]
        self.changed.set()
        self.changed = asyncio.Event()


def entries(
    keys: Mapping[str, tuple[bytes, int]], key: str, *, below: bool
) -> list[dict[str, Any]] | None:
    found = [
        {
            "Key": one,
            "Value": base64.b64encode(value).decode(),
            **{"Flags": 0, "ModifyIndex": index, "LockIndex": 0},
        }
        for one, (value, index) in sorted(keys.items())
        if (one.startswith(key) if below else one == key)
    ]
    return found or None


class Agent:
    """One host's agent: `cut` from the servers it fails."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.cut = False
        # What a server says that is behind, by keys and index; every other read is its.
        self.behind: tuple[dict[str, tuple[bytes, int]], int] | None = None
        self.writes = self.reads = 0

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout: float, **_: object
    ) -> Reply:
        params = params or {}
        if "index" in params and int(params["index"]) >= self.store.index and not self.cut:
            try:
                changed = self.store.changed.wait()
                await asyncio.wait_for(changed, float(params["wait"][:-2]) / 1000)
            except (asyncio.TimeoutError, TimeoutError):
                pass
        self.reads += 1
        self._fail()
        key, below = path.removeprefix("/v1/kv/"), "recurse" in params
        if self.behind is not None and self.reads % 2 and "stale" in params:
            keys, index = self.behind
            return reply(entries(keys, key, below=below), index=index)
        return reply(entries(self.store.keys, key, below=below), index=self.store.index)

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> Reply:
        self.writes += 1
        self._fail()
        key, cas = path.removeprefix("/v1/kv/"), (params or {}).get("cas")
        if cas is not None and int(cas) != self.store.keys.get(key, (b"", 0))[1]:
            return reply(False)
        self.store.put(key, body)
        return reply(True)

    async def delete(self, *_: object, **__: object) -> Reply:
        raise AssertionError("nothing is deleted")

    async def close(self) -> None:
        pass

    def _fail(self) -> None:
        if self.cut:
            raise ConsulError("agent", 500, "no leader")
