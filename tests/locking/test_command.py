"""Commands and who keeps them: how they end, whatever becomes of who asked for them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from consulfwd.consul.session import boot_time
from consulfwd.errors import StartError
from consulfwd.locking import keeper
from consulfwd.locking.command import Command, Ended

# A slow machine's time; what is measured has bounds of its own.
LONG_S = 20.0
STUBBORN = "trap '' TERM INT; echo ready; while :; do sleep 0.05; done"


def alive(pid: int) -> bool:
    """Whether a process runs: one that nobody waits for is gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


async def soon(condition: Callable[[], object], within: float = LONG_S) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    *words: str, kill_after: float = 5.0, until: float = 3600.0
) -> AsyncIterator[tuple[Command, int]]:
    """A command that runs, and its number. At the end it is gone."""
    command = Command(words, kill_after)
    pid = await command.start(os.environ, boot_time() + until)
    try:
        yield command, pid
    finally:
        await asyncio.wait_for(command.end(signal.SIGKILL), LONG_S)
        await soon(lambda: not alive(pid))


async def ended(command: Command) -> Ended:
    return await asyncio.wait_for(command.wait(), LONG_S)


@pytest.mark.parametrize("code", [0, 3, 255])
async def test_a_command_s_own_end(code: int) -> None:
    async with running("sh", "-c", f"exit {code}") as (command, _):
        assert await ended(command) == Ended(code, "itself")


async def test_a_command_that_a_signal_ended() -> None:
    async with running("sh", "-c", "kill -ABRT $$") as (command, _):
        assert await ended(command) == Ended(-signal.SIGABRT, "itself")


async def test_what_cannot_be_run_is_said() -> None:
    command = Command(["/does/not/exist"], 5.0)
    with pytest.raises(StartError, match="/does/not/exist cannot be run: No such file"):
        await command.start(os.environ, boot_time() + 5)


async def test_it_is_asked_to_end_and_then_made_to(tmp_path: Path) -> None:
    async with running("sleep", "600") as (command, _):
        assert await command.end() == Ended(-signal.SIGTERM, "asked")
    async with running("sh", "-c", STUBBORN, kill_after=0.3) as (command, _):
        await asyncio.sleep(0.2)
        begin = time.monotonic()
        assert await command.end(signal.SIGINT) == Ended(-signal.SIGKILL, "asked")
        assert time.monotonic() - begin >= 0.3


async def test_all_of_its_group_goes_with_it(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; exec sleep 0.2"
    async with running("sh", "-c", script) as (command, _):
        assert await ended(command) == Ended(0, "itself")
        left = int(note.read_text())
        await soon(lambda: not alive(left))


async def test_one_that_stands_still_is_ended_too() -> None:
    async with running("sleep", "600") as (command, pid):
        os.kill(pid, signal.SIGSTOP)
        assert await command.end() == Ended(-signal.SIGTERM, "asked")


async def test_it_is_ended_when_its_time_is_over() -> None:
    begin = boot_time()
    async with running("sleep", "600", until=0.5) as (command, _):
        assert await ended(command) == Ended(-signal.SIGTERM, "time")
        assert 0.4 < boot_time() - begin < 5.0


async def test_it_goes_on_as_long_as_it_is_told_that_it_may() -> None:
    async with running("sleep", "600", until=0.4) as (command, pid):
        for _ in range(10):
            await asyncio.sleep(0.1)
            command.until(boot_time() + 2.0)
        assert alive(pid)
        command.until(boot_time())
        assert (await ended(command)).by == "time"


async def test_a_stubborn_one_is_gone_in_time() -> None:
    begin = boot_time()
    async with running("sh", "-c", STUBBORN, kill_after=0.5, until=0.5) as (command, _):
        assert await ended(command) == Ended(-signal.SIGKILL, "time")
        assert 1.0 <= boot_time() - begin < 6.0


async def test_signals_are_passed_on(tmp_path: Path) -> None:
    note = tmp_path / "note"
    script = f"trap 'echo hup >> {note}' HUP; echo ready > {note}; while :; do sleep 0.02; done"
    async with running("sh", "-c", script) as (command, _):
        await soon(lambda: note.exists() and "ready" in note.read_text())
        command.pass_on(signal.SIGHUP)
        await soon(lambda: "hup" in note.read_text())


async def test_it_hears_no_signal_that_its_keeper_gets(tmp_path: Path) -> None:
    async with running("sleep", "600") as (command, pid):
        keeps = command._process
        assert keeps is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            keeps.send_signal(number)
        await asyncio.sleep(0.2)
        assert alive(pid)
        assert keeps.poll() is None


async def test_a_keeper_that_is_killed_keeps_nothing(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"sleep 600 & echo $! > {note}; wait"
    async with running("sh", "-c", script) as (command, pid):
        await soon(lambda: note.exists() and note.read_text())
        assert command._process is not None
        command._process.kill()
        assert await ended(command) == Ended(-signal.SIGKILL, "nobody")
        await soon(lambda: not alive(pid) and not alive(int(note.read_text())))


async def test_a_keeper_that_stands_still_is_no_excuse() -> None:
    async with running("sh", "-c", STUBBORN, kill_after=0.2) as (command, pid):
        assert command._process is not None
        command._process.send_signal(signal.SIGSTOP)
        await asyncio.wait_for(command.end(), LONG_S)
        await soon(lambda: not alive(pid))


ASKS = """
import asyncio, os, sys
from consulfwd.consul.session import boot_time
from consulfwd.locking.command import Command
async def main():
    command = Command(["sleep", "600"], 0.3)
    pid = await command.start(os.environ, boot_time() + float(sys.argv[1]))
    print(pid, flush=True)
    await command.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize(("number", "until"), [(signal.SIGKILL, 3600), (signal.SIGSTOP, 1)])
def test_whatever_becomes_of_who_asked(number: signal.Signals, until: int) -> None:
    """Killed, it ends at once; held up, when its time is over."""
    with subprocess.Popen(
        [sys.executable, "-c", ASKS, str(until)], stdout=subprocess.PIPE, text=True
    ) as asks:
        try:
            assert asks.stdout is not None
            pid = int(asks.stdout.readline())
            assert alive(pid)
            asks.send_signal(number)
            asyncio.run(soon(lambda: not alive(pid)))
        finally:
            asks.kill()


def test_nothing_of_ours_reaches_the_command() -> None:
    """Neither what the two say to each other, nor signals that are passed over."""
    shown = "import os, signal; print(sorted(os.listdir('/proc/self/fd')), " \
        "[signal.getsignal(one) == signal.SIG_DFL for one in (1, 10, 12, 13, 15)])"
    code = (
        "import asyncio, os, sys\n"
        "from consulfwd.consul.session import boot_time\n"
        "from consulfwd.locking.command import Command\n"
        "async def main():\n"
        "    command = Command([sys.executable, '-I', '-c', sys.argv[1]], 1)\n"
        "    await command.start(os.environ, boot_time() + 60)\n"
        "    print((await command.wait()).code)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, shown], capture_output=True, text=True, timeout=60, check=True
    )
    plain = subprocess.run(
        [sys.executable, "-I", "-c", shown], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == plain.stdout + "0\n"


def test_the_clock_is_that_of_sessions() -> None:
    assert abs(keeper.now() - boot_time()) < 1.0
