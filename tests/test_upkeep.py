"""What the service manager hears of rounds: one process on a real notify socket, and each line."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consulfwd.errors import StartError
from consulfwd.notify import Notifier
from consulfwd.ops.snapshot import RoundsSeen, TargetSeen, ZoneSeen
from consulfwd.ops.watched import OrderError
from consulfwd.upkeep import Upkeep
from tests.test_notify import Listener

# A process that keeps something current: each line of its input is what becomes of a round. It
# reads its settings again on SIGHUP, and ends on SIGTERM.
PROGRAM = """
import asyncio, os, signal, sys, time
from pathlib import Path
from consulfwd.errors import UsageError
from consulfwd.upkeep import Upkeep

async def main():
    upkeep = Upkeep.take(os.environ, os.getpid(), "following two templates")
    assert "NOTIFY_SOCKET" not in os.environ
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def again():
        with upkeep.reload():
            if "nonsense" in Path(sys.argv[1]).read_text():
                raise UsageError("nonsense is no setting")

    def heard():
        for line in os.read(0, 4096).decode().splitlines():
            what, _, rest = line.partition(" ")
            if what == "hang":
                time.sleep(float(rest))
            elif what == "wrote":
                upkeep.round(wrote=True)
            else:
                upkeep.round([] if what == "well" else rest.split(", "))

    loop.add_signal_handler(signal.SIGHUP, again)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(0, heard)
    upkeep.begin()
    await ended.wait()
    upkeep.stopping()
    upkeep.close()

asyncio.run(main())
"""
WHEN = "2026-11-29 12:00:0"


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    here = Listener(str(tmp_path / "notify"))
    yield here
    here.socket.close()


class Running:
    """The process, and what is typed there."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def round(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@contextmanager
def running(listener: Listener, settings: Path, watchdog: str = "") -> Iterator[Running]:
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "NOTIFY_SOCKET": listener.address,
        "WATCHDOG_USEC": watchdog,
    }
    command = [sys.executable, "-c", PROGRAM, str(settings)]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, text=True) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "settings.yml"
    file.write_text("")
    return file


def status(message: list[str]) -> str:
    (line,) = (one for one in message if one.startswith("STATUS="))
    return line.removeprefix("STATUS=")


def test_the_life_of_a_process(listener: Listener, settings: Path) -> None:
    with running(listener, settings) as here:
        first = listener.next()
        assert len(first) == 1
        assert status(first).startswith("following two templates since ")
        assert status(first).endswith("; not yet known to be in force")
        # A round that fails makes nobody ready, nor does a reload before the first good one.
        here.round("fails no agent answers, a.tpl:3: 'x' is undefined")
        second = listener.next()
        assert len(second) == 1
        assert status(second).endswith(" no agent answers (and 1 more, see the log)")
        settings.write_text("nonsense")
        here.process.send_signal(signal.SIGHUP)
        third = listener.next()
        assert len(third) == 1
        assert status(third).startswith("the last reload was refused, see the log; following ")
        settings.write_text("")
        here.process.send_signal(signal.SIGHUP)
        assert listener.next() == second
        here.round("wrote")
        ready, line = listener.next()
        assert ready == "READY=1"
        assert "; all in force, written last 20" in line
        # The same again is not told.
        here.round("well")
        here.round("fails again")
        (line,) = listener.next()
        assert line.endswith(" again")
        here.round("well")
        (line,) = listener.next()
        assert "; all in force, written last 20" in line
        here.process.send_signal(signal.SIGHUP)
        assert listener.next()[0] == "RELOADING=1"
        assert listener.next() == ["READY=1"]
        settings.write_text("nonsense")
        here.process.send_signal(signal.SIGHUP)
        assert listener.next()[0] == "RELOADING=1"
        ready, line = listener.next()
        assert ready == "READY=1"
        assert line.startswith("STATUS=the last reload was refused, see the log; following two")
        here.process.terminate()
        assert listener.next() == ["STOPPING=1", "STATUS=stopping"]
        assert here.process.wait(10) == 0
    assert listener.silent()


def test_a_loop_that_hangs_is_silent(listener: Listener, settings: Path) -> None:
    with running(listener, settings, watchdog="400000") as here:
        assert listener.next()[0] == "WATCHDOG=1"
        # Before the first round is through, too.
        assert listener.next() == ["WATCHDOG=1"]
        here.round("hang 1")
        heard = [time.monotonic()]
        while heard[-1] - heard[0] < 2:
            assert listener.next() == ["WATCHDOG=1"]
            heard.append(time.monotonic())
        gaps = [after - before for before, after in itertools.pairwise(heard)]
        assert max(gaps) > 0.8
        assert min(gaps) < 0.4


def test_without_a_manager_nothing_is_missed() -> None:
    upkeep = Upkeep(Notifier(), "following")
    upkeep.begin()
    upkeep.round()
    with upkeep.reload():
        raise StartError("no")
    upkeep.stopping()
    upkeep.close()


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def test_its_picture() -> None:
    now = [1795953600.0]
    upkeep = Upkeep(Notifier(), "following a.tpl", lambda: now[0], verb="generate")
    seen = upkeep.snapshot()
    assert (seen.verb, seen.phase, seen.ready) == ("generate", "starting", False)
    assert (seen.started, seen.taken, seen.resolver, seen.zones) == (now[0], now[0], None, ())
    upkeep.wrong = lambda: ["Consul refuses the token"]
    now[0] += 1
    upkeep.round(["one\nmore of it"], wrote=True)
    seen = upkeep.snapshot()
    assert (seen.phase, seen.ready) == ("running", False)
    assert seen.faults == ("one", "Consul refuses the token")
    assert seen.rounds == RoundsSeen("following a.tpl", False, now[0], now[0])
    now[0] += 1
    upkeep.round()
    seen = upkeep.snapshot()
    assert seen.ready
    assert seen.rounds == RoundsSeen("following a.tpl", True, now[0] - 1)
    assert seen.line == upkeep.status()
    with pytest.raises(OrderError, match="generate takes no orders") as error:
        upkeep.order("drain", {"server": "a"})
    assert error.value.status == 404
    upkeep.stopping()
    seen = upkeep.snapshot()
    assert (seen.phase, seen.line, seen.ready) == ("stopping", "stopping", False)


@pytest.mark.usefixtures("utc")
def test_what_the_log_is_told_on_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    now = [1795953600.0]
    upkeep = Upkeep(Notifier(), "publishing svc.example.com", lambda: now[0], verb="zone")
    pushed = TargetSeen("zone file /a", 7, now[0], "2 names", names=3, addresses=4,
                        withheld_in_all=1)  # fmt: skip
    failing = TargetSeen("updates at 10.0.0.1:53", fault="refused", failing_since=now[0] + 1)
    zone = ZoneSeen("svc.example.com", "", "active", "web1", targets=(pushed, failing))
    upkeep.zones = lambda: (zone,)
    upkeep.wrong = lambda: ["Consul refuses the token"]
    upkeep.round(wrote=True)
    upkeep.report()
    assert caplog.messages == [
        upkeep.status(),
        f"zone svc.example.com at zone file /a: serial 7; pushed last {WHEN}0, 2 names;"
        " names 3, addresses 4, withheld 1",
        "zone svc.example.com at updates at 10.0.0.1:53: never pushed to;"
        f" names 0, addresses 0, withheld 0; since {WHEN}1 refused",
        "wrong now: Consul refuses the token",
    ]


@pytest.mark.usefixtures("utc")
def test_its_line() -> None:
    now = [1795953600.0]
    upkeep = Upkeep(Notifier(), "following a.tpl", lambda: now[0])
    what = f"following a.tpl since {WHEN}0; "
    assert upkeep.status() == f"{what}not yet known to be in force"
    now[0] += 1
    upkeep.round(["one\nmore of it", "two", "three"])
    failing = f"{what}since {WHEN}1 one (and 2 more, see the log)"
    assert upkeep.status() == failing
    now[0] += 1
    # It has failed since then, whatever does now.
    upkeep.round(["four"])
    assert upkeep.status() == f"{what}since {WHEN}1 four"
    upkeep.round(["x" * 401, ""])
    assert upkeep.status() == f"{what}since {WHEN}1 {'x' * 396} ... (and 1 more, see the log)"
    upkeep.round([""])
    assert upkeep.status() == f"{what}since {WHEN}1 failed"
    upkeep.round()
    assert upkeep.status() == f"{what}all in force"
    now[0] += 1
    upkeep.round(wrote=True)
    now[0] += 1
    upkeep.round()
    assert upkeep.status() == f"{what}all in force, written last {WHEN}3"
    upkeep.round(["x" * 400], wrote=True)
    assert upkeep.status() == f"{what}since {WHEN}4 {'x' * 400}"
    upkeep.round()
    assert upkeep.status() == f"{what}all in force, written last {WHEN}4"
    upkeep.what = "following b.tpl"
    assert upkeep.status().startswith("following b.tpl since ")
