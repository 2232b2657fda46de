"""Asking a running process over its admin socket, from a command.

What belongs here: one question and its reply, or a stream of lines; what is wrong in words that
say where and what to do. It is synchronous and of the standard library alone: commands start fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from consulfwd.errors import ConsulfwdError
from consulfwd.ops import places

# What a reply may come to (octets), and a line of a stream.
LARGEST, LONGEST_LINE = 64 << 20, 8 << 20
# A stream says something every ten seconds; whoever is silent for so long (seconds) is gone.
SILENT_S = 30.0


class AdminError(ConsulfwdError):
    """A running process could not be asked: `path` is that of its socket, and why."""

    exit_code = 3

    def __init__(self, path: Path | None, message: str) -> None:
        self.path = path
        super().__init__(message)


def find(socket: Path | None = None) -> list[Path]:
    """Return the sockets of processes that live: the one that is named, or those in the folders.

    Raises AdminError if there is none. A socket that this user may not ask is among them, as it
    cannot be told who is there: asking it says so.
    """
    if socket is not None:
        if not places.lives(socket):
            raise AdminError(socket, _nobody(socket))
        return [socket]
    found = [one for one in places.sockets(os.environ) if places.lives(one)]
    if not found:
        raise AdminError(
            None,
            f"nobody answers in {places.RUN}: is consulfwd running here, with an admin socket"
            " (setting admin.socket)? Name one that is elsewhere with --socket",
        )
    return found


def ask(
    path: Path,
    method: str,
    target: str,
    body: Mapping[str, Any] | None = None,
    timeout: float = 5.0,
) -> tuple[int, dict[str, Any]]:
    """Ask one thing; return the status and the JSON object of the reply.

    All of it takes `timeout` seconds at most. A reply that is not JSON comes as `{"text": ...}`.
    Raises AdminError where there is no reply.
    """
    status, kind, content = fetch(path, method, target, body, timeout)
    if kind.partition(";")[0].strip() != "application/json":
        return status, {"text": content.decode(errors="replace")}
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise AdminError(path, _unreadable(path))
    return status, said


def fetch(
    path: Path,
    method: str,
    target: str,
    body: Mapping[str, Any] | None = None,
    timeout: float = 5.0,
) -> tuple[int, str, bytes]:
    """Ask one thing; return the status, the type and the octets of the reply."""
    with _asked(path, method, target, body, timeout) as (_, response):
        content = bytearray()
        while True:
            part = response.read1(1 << 16)
            if not part:
                return response.status, response.getheader("Content-Type", ""), bytes(content)
            content += part
            if len(content) > LARGEST:
                raise AdminError(path, f"{path}: the reply is longer than {LARGEST >> 20} MB")


def lines(path: Path, target: str) -> Iterator[str]:
    """Yield the lines of a stream, without the empty ones that keep it alive, until it ends.

    Raises AdminError where there is none, or it falls silent.
    """
    with _asked(path, "GET", target, None, SILENT_S) as (connection, response):
        if response.status != 200:
            raise AdminError(path, f"{path}: {_told(response)}")
        connection.kept.goes_on(SILENT_S)
        while line := response.readline(LONGEST_LINE):
            if not line.endswith(b"\n"):
                return
            if text := line.decode(errors="replace").rstrip("\r\n"):
                yield text


@contextlib.contextmanager
def _asked(
    path: Path, method: str, target: str, body: Mapping[str, Any] | None, timeout: float
) -> Iterator[tuple[_Connection, HTTPResponse]]:
    connection = _Connection(path, timeout)
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} if body is not None else {}
    try:
        # Whoever is refused before the request was read finds the reply all the same.
        with contextlib.suppress(BrokenPipeError):
            connection.request(method, target, content, headers)
        yield connection, connection.getresponse()
    except TimeoutError:
        late = "" if body is None else " It may yet do what it was told to."
        raise AdminError(
            path, f"{path}: no reply within {round(timeout, 1):g} s: does it hang?{late}"
        ) from None
    except PermissionError:
        raise AdminError(
            path,
            f"{path}: permission denied: ask as root, or as a member of the socket's group"
            " (setting admin.group)",
        ) from None
    except HTTPException:
        raise AdminError(path, _unreadable(path)) from None
    except OSError as error:
        if isinstance(error, (ConnectionRefusedError, FileNotFoundError, NotADirectoryError)):
            raise AdminError(path, _nobody(path)) from None
        raise AdminError(path, f"{path}: {error.strerror or error}") from None
    finally:
        connection.close()


class _Socket(socket.socket):
    """A socket whose whole reply is there by `ends`, however little comes at a time."""

    ends: float | None = None

    def recv_into(self, *args: Any) -> int:
        if self.ends is not None:
            left = self.ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self.settimeout(left)
        return super().recv_into(*args)

    def goes_on(self, silent: float) -> None:
        """Have what comes have no end, but be silent for so long (seconds) at most."""
        self.ends = None
        self.settimeout(silent)


class _Connection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = _Socket(socket.AF_UNIX)
        try:
            sock.settimeout(self.timeout)
            if self.timeout is not None:
                sock.ends = time.monotonic() + self.timeout
            with places.address_of(self._path) as address:
                sock.connect(address)
        except BaseException:
            sock.close()
            raise
        # A reply that ends with the connection takes `sock` away before it is read.
        self.sock = self.kept = sock


def _unreadable(path: Path) -> str:
    return f"{path}: the reply cannot be read: is that consulfwd?"


def _nobody(path: Path) -> str:
    return f"nobody answers at {path}: is consulfwd running, and may you read it?"


def _told(response: HTTPResponse) -> str:
    content = response.read(1 << 16)
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = content.decode(errors="replace").strip()
        return f"HTTP {response.status}" + (f": {text}" if text else "")
