"""A process that is looked at: its loop is the test's, its admin server a real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consulfwd.config import Endpoint
from consulfwd.config.sections import AdminSettings
from consulfwd.ops.admin.server import Admin
from consulfwd.ops.snapshot import Snapshot
from consulfwd.ops.watched import OrderError
from tests.loopback import OWN

TOKEN = "the-token-of-this-test"


class Process:
    """A stand-in for what is looked at (`watched.Watched`, `watched.Tailed`)."""

    def __init__(self) -> None:
        self.line = "all is well"
        self.ready = True
        self.faults: tuple[str, ...] = ()
        self.pictures = 0
        self.orders: list[tuple[str, Mapping[str, Any]]] = []
        self.put: Callable[[bytes], None] | None = None
        self.sample = 0.0

    def snapshot(self) -> Snapshot:
        assert threading.current_thread() is threading.main_thread()
        if self.line == "boom":
            raise RuntimeError(self.line)
        self.pictures += 1
        return Snapshot(
            verb="serve", version="1", pid=1, host="h", started=1.0, taken=float(self.pictures),
            phase="running", line=self.line, ready=self.ready, faults=self.faults,
        )  # fmt: skip

    def order(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        assert threading.current_thread() is threading.main_thread()
        self.orders.append((name, values))
        if name == "boom":
            raise RuntimeError(name)
        if name != "flush":
            raise OrderError(404, f"there is no order {name}")
        if values.get("name") == "last":
            raise OrderError(409, "that is the last one")
        return {"dropped": 3}

    def tail(self, put: Callable[[bytes], None], sample: float) -> Callable[[], None]:
        assert threading.current_thread() is threading.main_thread()
        if self.put is not None:
            raise OrderError(409, "somebody looks on already")
        self.put, self.sample = put, sample

        def end() -> None:
            self.put = None

        return end


class World:
    """A process with its admin server at `path`, and at `port` of loopback."""

    def __init__(self, folder: Path, process: object | None = None) -> None:
        self.process = Process()
        self.path = folder / "serve.sock"
        self.token = folder / "token"
        self.token.write_text(TOKEN + "\n")
        self.settings = AdminSettings(
            socket=self.path, listen=Endpoint(host=OWN, port=0), token_file=self.token
        )
        self.admin = Admin("serve", environ={})
        self.watched: Any = self.process if process is None else process

    async def __aenter__(self) -> World:
        self.admin.bind(self.settings)
        self.admin.begin(self.watched)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.admin.end()

    @property
    def port(self) -> int:
        (page,) = self.admin.pages
        return int(page.removesuffix("/").rpartition(":")[2])

    def connected(self, *, tcp: bool = False) -> socket.socket:
        sock = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect((OWN, self.port) if tcp else str(self.path))
        return sock

    async def say(self, request: bytes, *, tcp: bool = False) -> bytes:
        """All that comes back until the end."""
        return await asyncio.to_thread(self.said, request, tcp)

    def said(self, request: bytes, tcp: bool = False) -> bytes:
        """The same, for a thread."""
        with self.connected(tcp=tcp) as sock:
            # Who is refused is so before it has said anything.
            with contextlib.suppress(BrokenPipeError):
                sock.sendall(request)
            return everything(sock)

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        tcp: bool = False,
        fields: Mapping[str, str] | None = None,
        **more: str,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, fields and body of a reply; names of fields as in Python."""
        request = self.request(method, target, body, tcp=tcp, fields=fields, **more)
        return taken_apart(await self.say(request, tcp=tcp))

    def request(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        tcp: bool = False,
        fields: Mapping[str, str] | None = None,
        **more: str,
    ) -> bytes:
        """The octets of a request."""
        fields = {**(fields or {}), **more}
        fields.setdefault("host", f"{OWN}:{self.port}" if tcp else "localhost")
        fields["connection"] = "close"
        if body:
            fields.setdefault("content_type", "application/json")
            fields["content_length"] = str(len(body))
        lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()]
        return f"{method} {target} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


def everything(sock: socket.socket) -> bytes:
    told = b""
    while part := sock.recv(65536):
        told += part
    return told


def taken_apart(reply: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = reply.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    version, status, _ = first.split(" ", 2)
    assert version == "HTTP/1.1"
    fields = dict(line.split(": ", 1) for line in lines)
    assert len(fields) == len(lines)
    return int(status), {name.lower(): value for name, value in fields.items()}, body


def error(body: bytes) -> str:
    said = json.loads(body)
    assert list(said) == ["error"]
    return str(said["error"])
