"""A running server that is looked at by whoever means it no good: DNS goes on, nothing grows.

The load asks for a name that is answered here: what is lost or late is so because of those who
look.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.ops import client, places
from tests.integration.load import Load, Result
from tests.integration.served import HOST, Served
from tests.load_lock import only_load
from tests.loopback import free_port
from tests.net.messages import question

RATE = 500
# A machine that has other things to do: what is told is the figure.
LATE_S = 0.4
# What may be held for connections and what was answered (MB).
GROWN = 40.0
GET = b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serve.sock"


@pytest.fixture
def started(
    tmp_path: Path, path: Path, guard: Guard
) -> Iterator[Callable[[str], Served]]:
    """Servers that are looked at by one path, and at a port each."""
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Served:
            admin: dict[str, Any] = {"socket": str(path), "listen": f"{HOST}:{free_port(HOST)}"}
            settings = {
                "consul": {"agents": [{"address": HOST, "dns_port": 1, "http_port": 1}]},
                "recursors": [f"{HOST}:2"],
                "admin": admin,
            }
            served = Served(settings, tmp_path / name, guard)
            stack.callback(served.kill)
            served.start()
            return served

        yield start


def told(child: Child, line: str) -> bool:
    return line in child.log.read_text()


def gone(path: Path) -> bool:
    return not path.exists()


def page(served: Served) -> tuple[str, int]:
    served.wait_until(lambda: "http://" in served.said(), "its page")
    _, _, rest = served.said().partition(f"http://{HOST}:")
    return HOST, int(rest.partition("/")[0])


def memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (told,) = [one for one in lines if one.startswith("VmRSS:")]
    return int(told.split()[1]) / 1024


def said(at: tuple[str, int] | Path, request: bytes, wait: float = 15.0) -> bytes:
    """The first of what comes back; nothing where the connection ends before."""
    with socket.socket(socket.AF_UNIX if isinstance(at, Path) else socket.AF_INET) as sock:
        sock.settimeout(wait)
        try:
            sock.connect(str(at) if isinstance(at, Path) else at)
            sock.sendall(request)
        except OSError:
            pass
        with contextlib.suppress(OSError):
            return sock.recv(65536)
    return b""


def flood(at: tuple[str, int], number: int) -> None:
    """So many connections at once that say half of something, and go."""
    with contextlib.ExitStack() as stack:
        for _ in range(number):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(at)
        time.sleep(0.5)


def scrape(path: Path) -> tuple[int, str, bytes]:
    return client.fetch(path, "GET", "/metrics", None, 15)


def attacked(at: tuple[str, int], path: Path) -> None:
    """All of it at once, for a few seconds."""
    host = f"Host: {at[0]}:{at[1]}\r\n".encode()
    with contextlib.ExitStack() as stack:
        # Readers who never read, of replies and of events; and one who says a letter now and then.
        for target in (b"/status.json", b"/events") * 4:
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(path))
            sock.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % target)
        slow = [stack.enter_context(socket.create_connection(at)) for _ in range(20)]
        for sock in slow:
            sock.sendall(b"G")
        with ThreadPoolExecutor(50) as pool:
            scraped = list(pool.map(lambda _: scrape(path), range(50)))
        assert {status for status, _, _ in scraped} == {200}
        assert len({body for _, _, body in scraped}) <= 3
        for request, status in (
            (b"GET / HTTP/1.1\r\n" + host + b"Origin: http://evil.example\r\n\r\n", b" 403 "),
            (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b" 421 "),
            (b"POST /orders/flush HTTP/1.1\r\n" + host + b"Content-Length: 2\r\n\r\n{}", b" 403 "),
            (b"GET / HTTP/1.1\r\n" + host + b"X: " + b"x" * 1_000_000, b" 431 "),
            (b"\x16\x03\x01\x02\x00" * 99, b" 400 "),
        ):
            assert status in said(at, request)[:20], request[:80]
        for _ in range(2):
            flood(at, 1_000)


def test_dns_goes_on_whoever_looks(started: Callable[[str], Served], path: Path) -> None:
    # What a dead process left.
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    with only_load():
        first = started("first")
        at = page(first)
        assert client.ask(path, "GET", "/healthz") == (200, {"text": "ok\n"})
        scrape(path)
        said(at, b"GET / HTTP/1.1\r\nHost: %s:%d\r\n\r\n" % (at[0].encode(), at[1]))
        before = memory(first.pid)
        load = Load(first.at, RATE, [question("localhost", "A")[2:]])
        try:
            attacked(at, path)
            time.sleep(1)
        finally:
            results = load.stop()
        lost, slowest = judged(results)
        grown = memory(first.pid) - before
        slowest_ms = slowest * 1000
        print(f"{len(results)} queries, {lost} lost, slowest {slowest_ms:.0f} ms, {grown:.1f} MB")
        assert lost == 0
        assert slowest < LATE_S
        assert grown < GROWN
        assert client.ask(path, "GET", "/healthz", timeout=10)[0] == 200
        # Another process waits, says so once, and takes over from one that was killed.
        second = started("second")
        waits = "another process answers there"
        second.wait_until(lambda: waits in second.said(), "word of the first")
        assert client.ask(path, "GET", "/status.json")[1]["pid"] == first.pid
        os.kill(first.pid, signal.SIGKILL)
        assert first.ended() == -signal.SIGKILL
        second.wait_until(lambda: f"{path} is taken over" in second.said(), "the socket")
        assert client.ask(path, "GET", "/readyz")[0] == 503
        assert places.lives(path)
        assert second.said().count(waits) == 1
        assert (second.end(), second.complaints()) == (0, [])
        assert not path.exists()


def judged(results: list[Result]) -> tuple[int, float]:
    times = [one.took_s for one in results]
    answered = [one for one in times if one is not None]
    assert len(answered) > RATE
    return len(times) - len(answered), max(answered)


def says_what_is_seen(child: Child, path: Path) -> bool:
    """Ask it for a word in the log; whether that is what was to be seen before or now.

    What is seen changes once more after the start.
    """
    seen = client.ask(path, "GET", "/status.json")[1]
    os.kill(child.pid, signal.SIGUSR1)
    time.sleep(0.1)
    return told(child, f" {seen['line']}\n")


def test_whatever_goes_on_is_looked_at(tmp_path: Path, guard: Guard) -> None:
    # Nobody need answer for that: they wait, and say so.
    nobody = {"consul": {"agents": [{"address": HOST, "dns_port": 1, "http_port": 1}]}}
    zone = {
        "origin": "svc.example.com",
        "ns": ["ns.example.com"],
        "targets": [{"primary": {"listen": [f"{HOST}:{free_port(HOST)}"], "unsigned": True}}],
    }
    (tmp_path / "template").write_text("{{ 1 + 1 }}\n")
    written, generated = tmp_path / "text", tmp_path / "generated"
    verbs = {
        "zone": ["zone", "watch"],
        "render": ["render", "--watch", f"{tmp_path / 'template'}:{written}"],
        "generate": [
            "generate", "unbound", "--watch", "--dest", str(generated), "--no-check", "--no-reload",
            "--server-version", "1.17", "--verify", "none",
        ],
    }  # fmt: skip
    children = {}
    for verb, words in verbs.items():
        config = tmp_path / f"{verb}.yml"
        config.write_text(json.dumps({**nobody, "zones": [zone] if verb == "zone" else []}))
        folder = tmp_path / verb
        folder.mkdir()
        command: list[str | Path] = [
            "env", f"RUNTIME_DIRECTORY={folder}", f"CONSULFWD_ZONES_STATE={tmp_path}",
            sys.executable, "-m", "consulfwd.cli.main", *words, "-c", config,
        ]  # fmt: skip
        children[verb] = Child(verb, command, tmp_path / f"{verb}.log", guard)
    names = {"zone": "zone", "render": "render-text", "generate": "generate-unbound"}
    try:
        for child in children.values():
            child.start()
        for verb, child in children.items():
            path = tmp_path / verb / f"{names[verb]}.sock"
            child.wait_until(functools.partial(places.lives, path), "its socket")
            seen = client.ask(path, "GET", "/status.json")[1]
            assert (seen["verb"], seen["pid"]) == (verb, child.pid)
            assert client.ask(path, "POST", "/orders/flush", {})[0] == 404
            assert client.fetch(path, "GET", "/metrics")[0] == 200
            # What the log is told on request is a view of the same.
            say = functools.partial(says_what_is_seen, child, path)
            child.wait_until(say, "word in the log")
        for verb, child in children.items():
            os.kill(child.pid, signal.SIGTERM)
            path = tmp_path / verb / f"{names[verb]}.sock"
            child.wait_until(functools.partial(gone, path), "its end")
    finally:
        for child in children.values():
            child.kill()
