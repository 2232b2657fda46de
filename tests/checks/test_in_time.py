"""`--timeout` is kept to 0.2 s whatever hangs, and a plug-in ends with a code of its own.

Processes of their own, measured from outside, from before they are started.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.checks.said import Said, well_formed

TIMEOUT, KEPT = 0.8, 0.2
# What is tried one after the other on a machine that is busy.
PATIENT = (TIMEOUT, 2 * TIMEOUT, 4 * TIMEOUT, 8 * TIMEOUT)
# What a plug-in finds in its place when it starts: Python imports it before all else.
SLEEPS = "import time\n{}time.sleep({})\n"


class Stalls:
    """For how long nobody here was let run in time: that much a plug-in may be late, too."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._seconds = 0.0
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        step, last = 0.01, time.monotonic()
        while not self._over.wait(step):
            now = time.monotonic()
            self._seconds += max(0.0, now - last - 1.5 * step)
            last = now

    def __enter__(self) -> Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def seconds(self) -> float:
        return self._seconds


class Timed(NamedTuple):
    """What was said, after how long."""

    said: Said
    took: float
    allowed: float
    timeout: float


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(project: Path, tmp_path: Path) -> Start:
    """Start `consulfwd check`, with a piece of Python that runs before it."""

    def begin(*words: str, first: str = "", **more: object) -> subprocess.Popen[bytes]:
        (tmp_path / "sitecustomize.py").write_text(first)
        (tmp_path / "nothing.yml").write_text("resolv_conf: /nonexistent\n")
        environ = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{tmp_path}:{project}",
            "CONSULFWD_CONFIG": str(tmp_path / "nothing.yml"),
        }
        command = [sys.executable, "-m", "consulfwd", "check", *words]
        pipes: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(command, cwd=tmp_path, env=environ, **{**pipes, **more})  # type: ignore[call-overload, no-any-return]

    return begin


@pytest.fixture
def timed(start: Start) -> Callable[..., Timed]:
    """Run one to its end, and measure."""

    def once(*words: str, timeout: float, first: str) -> Timed:
        with Stalls() as stalls:
            begun = time.monotonic()
            process = start(*words, "-t", str(timeout), first=first)
            out, _ = process.communicate(timeout=60)
            took = time.monotonic() - begun
        text = out.decode()
        assert "Traceback" not in text
        allowed = timeout + KEPT + stalls.seconds
        return Timed(Said(process.returncode, text), took, allowed, timeout)

    def measure(*words: str, first: str = "") -> Timed:
        # A machine that is so busy that nothing was asked in that time is given more of it; and who
        # is late each time is late, who is so once was not let run.
        for timeout in PATIENT:
            found = once(*words, timeout=timeout, first=first)
            if found.took <= found.allowed and "while it began" not in found.said.text:
                break
        return found

    return measure


class Server:
    """Listens on a free port, by UDP too, and does something with each connection."""

    def __init__(self, serve: Callable[[socket.socket], None], *, path: str = "") -> None:
        if path:
            self.tcp = socket.socket(socket.AF_UNIX)
            self.tcp.bind(path)
        else:
            self.tcp = socket.create_server(("127.0.0.1", 0))
        self.tcp.listen()
        self._held: list[socket.socket] = []
        self._serve = serve
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> str:
        return str(self.tcp.getsockname()[1])

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.tcp.accept()
                self._held.append(peer)
                threading.Thread(target=self._one, args=(peer,), daemon=True).start()

    def _one(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve(peer)

    def close(self) -> None:
        # What waits in `accept` goes on waiting where a socket is only closed.
        with contextlib.suppress(OSError):
            self.tcp.shutdown(socket.SHUT_RDWR)
        for one in (self.tcp, *self._held):
            one.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start a server."""
    made: list[Server] = []

    def begin(*args: object, **more: str) -> Server:
        made.append(Server(*args, **more))  # type: ignore[arg-type]
        return made[-1]

    yield begin
    for one in made:
        one.close()


def silence(peer: socket.socket) -> None:
    """Take the connection, and say nothing."""


def trickle(
    head: bytes, each: bytes = b"x", pause: float = 0.03
) -> Callable[[socket.socket], None]:
    """Say something, and then a little again and again."""

    def serve(peer: socket.socket) -> None:
        peer.sendall(head)
        while True:
            peer.sendall(each)
            time.sleep(pause)

    return serve


HTTP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n["


def in_time(timed: Timed, code: int, *texts: str) -> None:
    """Fail where it was late, or said something else."""
    assert timed.took <= timed.allowed, timed
    # Not before it had to give up either.
    assert timed.took >= timed.timeout - 0.2, timed
    well_formed(timed.said)
    assert timed.said.code == code
    for text in texts:
        assert text.format(timed.timeout) in timed.said.first


def test_a_silent_dns_server(timed: Callable[..., Timed]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{sock.getsockname()[1]}"
        in_time(timed("resolve", "a", "-H", where), 2, where, "within {:g} s")


@pytest.mark.parametrize("kind", ["silent", "trickling"])
def test_a_hung_dns_server_over_tcp(
    timed: Callable[..., Timed], serve: Callable[..., Server], kind: str
) -> None:
    server = serve(silence if kind == "silent" else trickle(b"\xff\xff"))
    words = ["resolve", "a", "-H", "127.0.0.1", "-p", server.port, "--tcp"]
    in_time(timed(*words), 2, f"127.0.0.1:{server.port}")


@pytest.mark.parametrize(
    "how",
    [silence, trickle(HTTP), trickle(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")],
    ids=["silent", "body", "headers"],
)
def test_a_hung_agent(
    timed: Callable[..., Timed], serve: Callable[..., Server], how: Callable[[socket.socket], None]
) -> None:
    server = serve(how)
    in_time(timed("service", "web", "-H", f"127.0.0.1:{server.port}"), 3, "web: ")


def test_a_hung_agent_of_an_audit(
    timed: Callable[..., Timed], serve: Callable[..., Server], tmp_path: Path
) -> None:
    settings = tmp_path / "audit.yml"
    agent = {"address": "127.0.0.1", "http_port": int(serve(trickle(HTTP)).port)}
    settings.write_text(json.dumps({"consul": {"agents": [agent]}}))
    in_time(timed("audit", "--config", str(settings)), 3, "AUDIT UNKNOWN: ")


def test_hung_agents_of_a_zone(
    timed: Callable[..., Timed], serve: Callable[..., Server], tmp_path: Path
) -> None:
    agents = [
        {"address": "127.0.0.1", "dns_port": n, "http_port": int(serve(silence).port)}
        for n in (8600, 8601)
    ]
    settings = tmp_path / "zones.yml"
    zone = {"origin": "svc.test", "ns": ["ns.test"], "targets": [{"file": {"path": "/x/y"}}]}
    state = str(tmp_path / "state")
    settings.write_text(
        json.dumps({"consul": {"agents": agents}, "zones": [zone], "zones_state": state})
    )
    in_time(timed("zone", "--config", str(settings)), 3, "ZONE UNKNOWN: ")


def test_a_hung_resolver(
    timed: Callable[..., Timed], serve: Callable[..., Server], tmp_path: Path
) -> None:
    path = str(tmp_path / "serve.sock")
    serve(trickle(HTTP), path=path)
    in_time(timed("agents", "--socket", path), 3, "AGENTS UNKNOWN: ")


@pytest.mark.parametrize("verb", ["resolve", "service"])
def test_a_look_up_of_a_name_that_takes_for_ever(timed: Callable[..., Timed], verb: str) -> None:
    slow = SLEEPS.format("import socket\nsocket.getaddrinfo = lambda *a, **b: ", "99")
    found = timed(verb, "web", "-H", "consul.example", first=slow)
    in_time(found, 3, "no result within {:g} s, ")


def test_a_check_that_never_rests(timed: Callable[..., Timed]) -> None:
    busy = "import socket\ndef loop(*a, **b):\n    while True: pass\nsocket.getaddrinfo = loop\n"
    in_time(timed("resolve", "a", "-H", "b.example", first=busy), 3, "no result within {:g} s")


def test_what_the_start_takes_counts(timed: Callable[..., Timed]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{sock.getsockname()[1]}"
        in_time(timed("resolve", "a", "-H", where, first=SLEEPS.format("", 0.4)), 2, where)


# -- how it ends ------------------------------------------------------------------------------


def test_nobody_reads(start: Start) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writer, b"x" * 4096)
    for timeout in PATIENT:
        with Stalls() as stalls:
            begun = time.monotonic()
            words = ("resolve", "a", "-H", "127.0.0.1:1", "-t", str(timeout))
            assert start(*words, stdout=writer).wait(20) == 3
            late = time.monotonic() - begun - timeout - stalls.seconds
        if late <= KEPT:
            break
    assert late <= KEPT
    os.close(reader)
    os.close(writer)


def test_the_output_is_closed_full_or_gone(project: Path, start: Start) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("resolve", "a", "-H", "127.0.0.1:1", stdout=full)
        assert process.wait(20) == 3
    reader, writer = os.pipe()
    os.close(reader)
    process = start("resolve", "a", "-H", "127.0.0.1:1", stdout=writer)
    os.close(writer)
    assert process.wait(20) == 3
    shell = 'exec "$0" -m consulfwd check resolve a -H 127.0.0.1:1 >&-'
    environ: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(project)}
    done = subprocess.run(["sh", "-c", shell, sys.executable], env=environ, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (3, b"")


def test_ctrl_c(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        process = start("resolve", "a", "-H", f"127.0.0.1:{sock.getsockname()[1]}", "-t", "30")
        assert select.select([sock], [], [], 20)[0]
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (3, b"RESOLVE UNKNOWN: interrupted\n")
