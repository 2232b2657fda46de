"""What the service manager hears: the protocol on a real socket, and a whole server's life."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consulfwd import notify
from consulfwd.errors import StartError
from consulfwd.notify import Manager, Notifier
from tests.loopback import OWN, free_port


class Listener:
    """A service manager's socket: what comes to it, one datagram at a time."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address[0] == "@" else address)
        self.socket.settimeout(10)

    def next(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def until(self, wanted: str) -> list[str]:
        """The next message that has this line."""
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            if wanted in (message := self.next()):
                return message
        raise AssertionError(f"no {wanted}")

    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.next()
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(10)
        return False


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@consulfwd-{os.getpid()}"
    here = Listener(address)
    yield here
    here.socket.close()


@pytest.fixture
def notifier(listener: Listener) -> Iterator[Notifier]:
    made = Notifier(listener.address)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "\u0663"}, None),
    ],
)
def test_what_is_asked_for_is_taken_out_of_the_environment(
    environ: dict[str, str], watchdog: float | None
) -> None:
    given = {"NOTIFY_SOCKET": "/nonexistent", "OTHER": "stays", **environ}
    taken = Notifier.take(given, 7)
    assert (taken.listening, taken.watchdog, given) == (True, watchdog, {"OTHER": "stays"})
    # A watchdog nobody listens for is none.
    assert Notifier.take(dict(environ), 7).watchdog is None


def test_a_message_is_one_datagram(listener: Listener, notifier: Notifier) -> None:
    notifier.send("READY=1", "STATUS=one\nSTOPPING=1")
    assert listener.next() == ["READY=1", "STATUS=one STOPPING=1"]
    notifier.close()
    notifier.send("READY=1")
    assert listener.silent()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative"])
def test_without_a_manager_nothing_is_sent(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*_: object) -> None:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", opened)
    notifier = Notifier(address)
    notifier.send("READY=1")
    assert not notifier.listening
    notifier.close()


@pytest.mark.parametrize("name", ["nobody", "x" * 200])
def test_errors_are_told_at_debug_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level("DEBUG")
    notifier = Notifier(str(tmp_path / name))
    notifier.send("READY=1")
    notifier.close()
    (record,) = caplog.records
    assert record.levelname == "DEBUG"
    assert record.getMessage().startswith("the service manager cannot be told: ")


def test_a_busy_manager_is_told_later(listener: Listener, notifier: Notifier) -> None:
    sent = 0
    while not notifier._waiting:
        sent += 1
        notifier.send(f"STATUS={sent}")
        assert sent < 10_000
    notifier.send("READY=1")
    heard = [listener.next() for _ in range(sent - 1)]
    assert heard == [[f"STATUS={one}"] for one in range(1, sent)]
    assert listener.silent()
    notifier.send("WATCHDOG=1")
    assert [listener.next() for _ in range(3)] == [[f"STATUS={sent}"], ["READY=1"], ["WATCHDOG=1"]]


def test_what_waits_does_not_grow(listener: Listener, notifier: Notifier) -> None:
    for number in range(10_000):
        notifier.send(f"STATUS={number}")
    assert len(notifier._waiting) == notify.MAX_WAITING


async def test_the_life_of_a_process(listener: Listener, notifier: Notifier) -> None:
    status = ["one"]
    manager = Manager(notifier, lambda: status[0])
    manager.ready()
    assert listener.next() == ["READY=1", "STATUS=one"]
    before = time.monotonic_ns() // 1000
    with manager.reload():
        reloading, since = listener.next()
        assert reloading == "RELOADING=1"
        assert before <= int(since.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
        status[0] = "two"
        raise StartError("no such address")
    assert listener.next() == ["READY=1", "STATUS=the last reload was refused, see the log; two"]
    with manager.reload():
        listener.next()
    assert listener.next() == ["READY=1", "STATUS=two"]
    manager.stopping()
    assert listener.next() == ["STOPPING=1", "STATUS=stopping"]
    manager.close()
    manager.stopping()
    assert listener.silent()


async def test_of_two_reloads_at_once_the_last_ends_it(
    listener: Listener, notifier: Notifier
) -> None:
    status = ["well"]
    manager = Manager(notifier, lambda: status[0])
    manager.ready()
    listener.next()
    with manager.reload():
        with manager.reload():
            assert [listener.next()[0] for _ in range(2)] == ["RELOADING=1"] * 2
        assert listener.silent()
        status[0] = "better"
    assert listener.next() == ["READY=1", "STATUS=better"]
    manager.close()


async def test_who_is_not_ready_is_not_made_so_by_a_reload(
    listener: Listener, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Manager(notifier, lambda: "waiting")
    manager.begin()
    assert listener.next() == ["STATUS=waiting"]
    with manager.reload():
        raise StartError("no such address")
    assert listener.next() == ["STATUS=the last reload was refused, see the log; waiting"]
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "ERROR", "not reloaded, the old settings stay in force:\nno such address"
    )  # fmt: skip
    with manager.reload():
        pass
    assert listener.next() == ["STATUS=waiting"]
    manager.ready()
    assert listener.next() == ["READY=1"]
    manager.close()


async def test_an_error_of_our_own_does_not_end_what_goes_on(
    listener: Listener, notifier: Notifier, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Manager(notifier, lambda: "well")
    manager.ready()
    listener.next()
    with manager.reload():
        listener.next()
        raise ValueError("ours")
    ready, status = listener.next()
    assert (ready, status[:32]) == ("READY=1", "STATUS=the last reload was refus")
    assert "not reloaded" in caplog.text
    assert "ValueError: ours" in caplog.text
    manager.close()


async def test_what_has_changed_is_told_at_once_if_that_is_asked_for(
    listener: Listener, notifier: Notifier
) -> None:
    status = ["one"]
    manager = Manager(notifier, lambda: status[0])
    manager.begin()
    assert listener.next() == ["STATUS=one"]
    manager.tell()
    status[0] = "two"
    manager.tell()
    assert listener.next() == ["STATUS=two"]
    assert listener.silent()
    manager.close()


async def test_the_loop_says_that_it_turns_before_there_is_work_done(listener: Listener) -> None:
    manager = Manager(Notifier(listener.address, watchdog=0.1), lambda: "starting")
    manager.begin()
    manager.begin()
    assert listener.next() == ["WATCHDOG=1", "STATUS=starting"]
    assert await asyncio.to_thread(listener.next) == ["WATCHDOG=1"]
    manager.ready()
    assert await asyncio.to_thread(listener.until, "READY=1")
    manager.close()


async def test_the_loop_says_that_it_turns(listener: Listener) -> None:
    notifier = Notifier(listener.address, watchdog=0.1)
    status = ["one"]
    manager = Manager(notifier, lambda: status[0])
    manager.ready()
    assert listener.next() == ["READY=1", "WATCHDOG=1", "STATUS=one"]
    assert await asyncio.to_thread(listener.next) == ["WATCHDOG=1"]
    status[0] = "two"
    assert await asyncio.to_thread(listener.until, "STATUS=two") == ["WATCHDOG=1", "STATUS=two"]
    manager.close()


async def test_a_changed_status_is_told_without_a_watchdog(
    listener: Listener, notifier: Notifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "FIRST_TELLING", 0.01)
    status = ["one"]
    manager = Manager(notifier, lambda: status[0])
    manager.ready()
    status[0] = "two"
    assert await asyncio.to_thread(listener.until, "STATUS=two") == ["STATUS=two"]
    manager.close()


@pytest.mark.parametrize(
    ("watchdog", "every"), [(None, 10.0), (600.0, 10.0), (20.0, 10.0), (3.0, 1.5)]
)
def test_at_half_the_time_the_manager_allows(watchdog: float | None, every: float) -> None:
    assert Manager(Notifier("@nobody", watchdog), lambda: "")._every == every


def test_a_server_tells_its_manager(listener: Listener, tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "consulfwd.yml"
    settings.write_text(f"listen: ['{OWN}:{port}']\nresolv_conf: /nonexistent\n")
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "NOTIFY_SOCKET": listener.address,
        "WATCHDOG_USEC": "400000",
    }
    command = [sys.executable, "-m", "consulfwd.cli.main", "serve", "-c", str(settings)]
    with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as server:
        try:
            *states, status = listener.until("READY=1")
            assert states == ["READY=1", "WATCHDOG=1"]
            said = rf"listening on {re.escape(OWN)}:{port}; [01] of 1 agents up"
            assert re.fullmatch(f"STATUS={said}", status)
            # It answers from here on.
            socket.create_connection((OWN, port), timeout=5).close()
            listener.until("WATCHDOG=1")
            server.send_signal(signal.SIGHUP)
            assert listener.until("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
            assert "refused" not in "".join(listener.until("READY=1"))
            settings.write_text("listen: nonsense\n")
            server.send_signal(signal.SIGHUP)
            listener.until("RELOADING=1")
            _, status = listener.until("READY=1")
            assert re.fullmatch(f"STATUS=the last reload was refused, see the log; {said}", status)
            server.terminate()
            assert listener.until("STOPPING=1") == ["STOPPING=1", "STATUS=stopping"]
            assert server.wait(10) == 0
        finally:
            server.kill()
