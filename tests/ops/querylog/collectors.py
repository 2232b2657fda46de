"""A collector in a thread of the test: it keeps what it is sent, or does what it should not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from consulfwd.ops.querylog import frames
from consulfwd.ops.querylog.dnstap import CONTENT_TYPE

Serve = Callable[[socket.socket], None]


class Collecting:
    """Listens at `path`, and serves one connection after the other by `serve`."""

    def __init__(self, path: Path, serve: Serve | None = None) -> None:
        self.kinds: list[int] = []
        self.frames: list[bytes] = []
        self.errors: list[BaseException] = []
        self._serve = serve or self.collect
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Collecting:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        assert not self._thread.is_alive()
        assert self.errors == []

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                sock.settimeout(5)
                try:
                    self._serve(sock)
                except BaseException as error:
                    self.errors.append(error)

    def collect(self, sock: socket.socket) -> None:
        """Do what a collector does, until it has all or the other side is gone."""
        while octets := _read(sock, 4):
            length = int.from_bytes(octets, "big")
            if length:
                self.frames.append(_read(sock, length))
                continue
            size = _read(sock, 4)
            body = _read(sock, int.from_bytes(size, "big"))
            made = frames.read_control(octets + size + body)
            assert made is not None, (octets, size, body)
            said = made[0]
            self.kinds.append(said.kind)
            if said.kind == frames.READY:
                assert said.content_types == (CONTENT_TYPE,)
                sock.sendall(frames.control(frames.ACCEPT, CONTENT_TYPE))
            elif said.kind == frames.STOP:
                sock.sendall(frames.control(frames.FINISH))
                return


def _read(sock: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count and (more := sock.recv(count - len(read))):
        read += more
    return read if len(read) == count else b""
