"""Asking over an admin socket: what is found, what comes back, and what is said if nobody is."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consulfwd.ops import client, places
from consulfwd.ops.client import AdminError


def whole(connection: socket.socket) -> bytes:
    request = b""
    while b"\r\n\r\n" not in request or (b"POST" in request and not request.endswith(b"}")):
        part = connection.recv(65536)
        if not part:
            break
        request += part
    return request


@contextlib.contextmanager
def server(path: Path, said: Callable[[socket.socket], None]) -> Iterator[list[bytes]]:
    """A process at a path that reads one request of a connection and says something."""
    heard: list[bytes] = []
    listening = socket.socket(socket.AF_UNIX)
    with places.address_of(path) as address:
        listening.bind(address)
    listening.listen(8)

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                if request := whole(connection):
                    heard.append(request)
                    said(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def reply(status: str, kind: str, body: bytes) -> Callable[[socket.socket], None]:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return lambda connection: connection.sendall(head.encode() + body)


def stream(*parts: bytes) -> Callable[[socket.socket], None]:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

    def said(connection: socket.socket) -> None:
        for part in (head, *parts):
            connection.sendall(part)

    return said


def test_a_question_and_its_reply(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    said = reply("409 Conflict", "application/json; charset=utf-8", b'{"error": "the last one"}')
    with server(path, said) as heard:
        assert client.ask(path, "POST", "/orders/drain", {"server": "a"}) == (
            409, {"error": "the last one"},
        )  # fmt: skip
    (request,) = heard
    assert request.startswith(b"POST /orders/drain HTTP/1.1\r\nHost: localhost\r\n")
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith(b'\r\n\r\n{"server": "a"}')


def test_what_is_no_json_comes_as_text(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    with server(path, reply("503 Unavailable", "text/plain", b"no agent is up\n")):
        assert client.ask(path, "GET", "/readyz") == (503, {"text": "no agent is up\n"})


def test_a_reply_may_end_with_its_connection(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    for more in (b"Connection: close\r\nContent-Length: 8\r\n", b"Connection: close\r\n", b""):
        said = head + more + b'\r\n{"a": 1}'
        with server(path, lambda one, said=said: one.sendall(said)):  # type: ignore[misc]
            assert client.ask(path, "GET", "/status.json") == (200, {"a": 1})
        path.unlink()


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000])
def test_broken_json_is_said(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "serve.sock"
    with server(path, reply("200 OK", "application/json", body)), pytest.raises(AdminError) as told:
        client.ask(path, "GET", "/status.json")
    assert "is that consulfwd?" in str(told.value)
    assert told.value.exit_code == 3


def test_what_does_not_speak_http_is_said(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    with server(path, lambda one: one.sendall(b"SSH-2.0\r\n")), pytest.raises(AdminError) as told:
        client.ask(path, "GET", "/status.json")
    assert "is that consulfwd?" in str(told.value)


def test_nobody_is_there(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    for _ in range(2):
        for asked in (lambda: client.ask(path, "GET", "/"), lambda: client.find(path)):
            with pytest.raises(AdminError) as told:
                asked()
            assert f"nobody answers at {path}: is consulfwd running" in str(told.value)
        if not path.exists():
            # One who is gone.
            with socket.socket(socket.AF_UNIX) as gone:
                gone.bind(str(path))


def test_the_time_is_kept_by_who_says_nothing_and_by_who_trickles(tmp_path: Path) -> None:
    def trickles(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.02)

    def says_nothing(connection: socket.socket) -> None:
        connection.recv(1)

    for number, said in enumerate((trickles, says_nothing)):
        path = tmp_path / f"{number}.sock"
        # Said by what the client ends.
        began = time.monotonic()
        with server(path, said), pytest.raises(AdminError) as told:
            client.ask(path, "GET", "/", timeout=0.1)
        assert time.monotonic() - began < 1.5
        assert "no reply within 0.1 s" in str(told.value)
        assert "may yet" not in str(told.value)

    path = tmp_path / "order.sock"
    with server(path, says_nothing), pytest.raises(AdminError, match="may yet do"):
        client.ask(path, "POST", "/orders/drain", {"server": "x"}, timeout=0.1)


def test_the_lines_of_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    sent = (b'event: status\nda', b'ta: {"a": 1}\n\n: still here\n', b'data: {"a": 2}\n\ncut')
    with server(path, stream(*sent)):
        assert list(client.lines(path, "/events")) == [
            "event: status", 'data: {"a": 1}', ": still here", 'data: {"a": 2}',
        ]  # fmt: skip


def test_a_stream_that_is_refused_says_why(tmp_path: Path) -> None:
    path = tmp_path / "serve.sock"
    said = reply("403 Forbidden", "application/json", b'{"error": "not for you"}')
    with server(path, said), pytest.raises(AdminError) as told:
        next(client.lines(path, "/querylog"))
    assert str(told.value) == f"{path}: not for you"


def test_sockets_of_the_living_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, home = tmp_path / "run", tmp_path / "user"
    monkeypatch.setattr(places, "RUN", run)
    monkeypatch.setattr(places.sockets, "__defaults__", (run,))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    with pytest.raises(AdminError, match="nobody answers in"):
        client.find()
    (run / "zone").mkdir(parents=True)
    (home / "consulfwd").mkdir(parents=True)
    living = [run / "serve.sock", run / "zone" / "zone.sock", home / "consulfwd" / "serve.sock"]
    for dead in (run / "old.sock", run / "zone" / "file.sock"):
        dead.touch()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(run / "gone.sock"))
    with contextlib.ExitStack() as stack:
        for path in living:
            stack.enter_context(server(path, lambda one: None))
        assert client.find() == living
        assert client.find(living[1]) == [living[1]]
        # Its own folder comes first, and is looked at once.
        monkeypatch.setenv("RUNTIME_DIRECTORY", f"{run / 'zone'}:/elsewhere")
        assert client.find() == [living[1], living[0], living[2]]


def test_a_path_longer_than_an_address(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    path = folder / "serve.sock"
    with server(path, reply("200 OK", "application/json", b"{}")):
        assert client.find(path) == [path]
        assert client.ask(path, "GET", "/status.json") == (200, {})
    assert len(os.fsencode(path)) > places.LONGEST


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_a_reply_that_comes_drop_by_drop_is_not_waited_for(
    tmp_path: Path, first: bytes, again: bytes
) -> None:
    path = tmp_path / "serve.sock"
    done = threading.Event()

    def drops(connection: socket.socket) -> None:
        connection.sendall(first)
        # After three seconds it is over in any case.
        for _ in range(150):
            if done.wait(0.02):
                return
            connection.sendall(again)

    began = time.monotonic()
    with server(path, drops), pytest.raises(AdminError, match=r"no reply within 0\.2 s"):
        client.ask(path, "GET", "/status.json", timeout=0.2)
    done.set()
    assert time.monotonic() - began < 2


def test_who_is_refused_before_it_asked_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "serve.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def refused(connection: client._Connection) -> None:
            usual(connection)
            there, _ = listening.accept()
            with there:
                reply("503 Busy", "application/json", b'{"error": "too many"}')(there)

        usual = client._Connection.connect
        monkeypatch.setattr(client._Connection, "connect", refused)
        assert client.ask(path, "POST", "/orders/flush", {}) == (503, {"error": "too many"})
