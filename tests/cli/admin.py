"""Something that answers on an admin socket, well or badly: whatever a test has it say."""

from __future__ import annotations

import functools
import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from consulfwd.ops import places, wrong
from consulfwd.ops.snapshot import (
    CacheSeen,
    ChangeSeen,
    GroupSeen,
    ResolverSeen,
    Snapshot,
    UpstreamSeen,
    WatchSeen,
    to_json,
)

# What is said to a request: octets as they are, or who says it over the connection.
Say = bytes | Callable[[socket.socket], None]
NOW = 1_790_000_000.0
AGENTS = ("10.0.0.11:8600", "10.0.0.12:8600")


def reply(value: object, status: int = 200) -> bytes:
    """An HTTP response with a value as JSON."""
    content = json.dumps(value).encode()
    head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def upstream(name: str, **values: Any) -> UpstreamSeen:
    address, _, port = name.rpartition(":")
    known: dict[str, Any] = {
        "kind": "agent", "transport": "udp", "state": "up", "since": NOW - 400, "rtt": 0.0004,
        "sent": 1234, **values,
    }  # fmt: skip
    return UpstreamSeen(name=name, address=address, port=int(port), **known)


def resolver(**values: Any) -> ResolverSeen:
    """A resolver with two agents and a recursor, all well."""
    counters = {
        "queries": 12345, "hot": 10000, "cached": 2000, "reused": 100, "joined": 45,
        "forwarded": 300, "stale": 0, "failed": 0, "upstream": 310, "extra": 10,
        "opinion_seconds": 0.5,
    }  # fmt: skip
    known: dict[str, Any] = {
        "listening": ("127.0.0.1:53",),
        "missing": (),
        "domain": "consul",
        "groups": (
            GroupSeen("consul", "ordered", AGENTS, AGENTS[0], "the first in order, and up"),
            GroupSeen("everything else", "ordered", ("10.0.0.53:53",), "10.0.0.53:53",
                      "the only one, and up"),
        ),
        "upstreams": (
            *(upstream(name) for name in AGENTS), upstream("10.0.0.53:53", kind="recursor"),
        ),
        "changes": (ChangeSeen(NOW - 60, AGENTS[1], "agent", "suspect", "up", "it is back"),),
        "counters": counters,
        "in_flight": 2,
        "cache": CacheSeen(42, 3, 10000),
        "watches": (WatchSeen("service web", AGENTS[0], True, NOW - 50, 7, 3, 2, 4),),
        "watches_most": 100,
        **values,
    }  # fmt: skip
    return ResolverSeen(**known)


def running(seen: ResolverSeen | None = None, **values: Any) -> Snapshot:
    """A running process; a resolver unless something else is said."""
    known: dict[str, Any] = {
        "verb": "serve", "version": "0.3.0", "pid": 4711, "host": "db1", "started": NOW - 3600,
        "taken": NOW, "phase": "running", "line": "listening on 127.0.0.1:53; 2 of 2 agents up",
        "ready": True, "resolver": seen or resolver(), **values,
    }  # fmt: skip
    if "faults" not in values:
        said = () if known["resolver"] is None else wrong.with_resolver(known["resolver"])
        of_zones = (fault for zone in known.get("zones", ()) for fault in wrong.with_zone(zone))
        known["faults"] = (*said, *of_zones)
    return Snapshot(**known)


def looked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes looked for in a folder, and nowhere else on this host."""
    monkeypatch.setattr(places, "sockets", functools.partial(places.sockets, run=folder))
    for variable in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)


class Admin:
    """A socket of a process that says what it is told to say; a context manager.

    `says` has what is said by method and path; `asked` are the requests that came, with bodies.
    """

    def __init__(self, path: Path, says: Mapping[str, Say] | Snapshot | None = None) -> None:
        self.path = path
        shown = {"GET /status.json": reply(to_json(says))} if isinstance(says, Snapshot) else says
        self.says: dict[str, Say] = dict(shown or {})
        self.asked: list[tuple[str, Any]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Admin:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.path.unlink()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    self._answer(connection)
                except OSError:
                    continue  # whoever asked has gone

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection.makefile("rb") as file:
            line = file.readline().decode()
            if not line:
                return  # only looked who is there
            length = 0
            while (header := file.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            body = json.loads(file.read(length)) if length else None
        what = line.rpartition(" ")[0]
        self.asked.append((what, body))
        say = self.says.get(what, reply({"error": f"there is no {what}"}, 404))
        if isinstance(say, bytes):
            connection.sendall(say)
        else:
            say(connection)
