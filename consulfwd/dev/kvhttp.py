"""The HTTP endpoints of keys and sessions of a development agent, as the project uses them.

What belongs here: routes, JSON shapes. Must not know: how keys keep their state.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .kvstore import DevEntry, InvalidSession, KvStore

Duration = Callable[[str], "float | None"]


def routes(store: KvStore, duration: Duration) -> list[web.RouteDef]:
    """What an application is to serve; `duration` reads `30s` and the like."""
    found = _Handlers(store, duration)
    return [
        web.get("/v1/kv/{key:.+}", found.get),
        web.put("/v1/kv/{key:.+}", found.put),
        web.delete("/v1/kv/{key:.+}", found.delete),
        web.put("/v1/session/create", found.create),
        web.put("/v1/session/renew/{id}", found.renew),
        web.put("/v1/session/destroy/{id}", found.destroy),
    ]


class _Handlers:
    def __init__(self, store: KvStore, duration: Duration) -> None:
        self._store = store
        self._duration = duration

    async def get(self, request: web.Request) -> web.Response:
        key, store = request.match_info["key"], self._store
        index = int(request.query.get("index", "0"))
        below = "recurse" in request.query
        # Of what is below a prefix any change may be one.
        watched = "" if below else key
        if index:
            wait = self._duration(request.query.get("wait", "5m")) or 0.0
            await store.wait(watched, index, wait)
        found = {key: store.get(key)} if not below else store.below(key)
        headers = {"X-Consul-Index": str(store.index_of(watched)), "X-Consul-KnownLeader": "true"}
        there = [_shown(key, entry) for key, entry in found.items() if entry is not None]
        if not there:
            return web.Response(status=404, headers=headers)
        return web.json_response(there, headers=headers)

    async def put(self, request: web.Request) -> web.Response:
        key, value, query = request.match_info["key"], await request.read(), request.query
        flags = int(query.get("flags", "0"))
        try:
            if "acquire" in query:
                done = self._store.acquire(key, value, flags, query["acquire"])
            elif "release" in query:
                done = self._store.release(key, value, flags, query["release"])
            else:
                cas = int(query["cas"]) if "cas" in query else None
                done = self._store.put(key, value, flags, cas)
        except InvalidSession:
            text = f'rpc error making call: invalid session "{query["acquire"]}"'
            return web.Response(status=500, text=text)
        return web.json_response(done)

    async def delete(self, request: web.Request) -> web.Response:
        cas = int(request.query["cas"]) if "cas" in request.query else None
        return web.json_response(self._store.delete(request.match_info["key"], cas))

    async def create(self, request: web.Request) -> web.Response:
        asked: dict[str, Any] = await request.json() if request.can_read_body else {}
        ttl, delay = (self._duration(asked.get(name, "0s")) for name in ("TTL", "LockDelay"))
        if ttl is None or delay is None:
            return web.Response(status=400, text="Request decode failed")
        behavior = asked.get("Behavior", "release")
        return web.json_response({"ID": self._store.create(ttl, delay, behavior)})

    async def renew(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        if not self._store.renew(id):
            return web.Response(status=404, text=f"Session id '{id}' not found")
        return web.json_response([{"ID": id}])

    async def destroy(self, request: web.Request) -> web.Response:
        self._store.destroy(request.match_info["id"])
        return web.json_response(True)


def _shown(key: str, entry: DevEntry) -> dict[str, Any]:
    return {
        "LockIndex": entry.locked,
        "Key": key,
        "Flags": entry.flags,
        "Value": base64.b64encode(entry.value).decode() or None,
        "CreateIndex": entry.created,
        "ModifyIndex": entry.index,
        **({"Session": entry.session} if entry.session else {}),
    }
