"""One command: what it is told, how it ends, whom it takes along."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

import pytest

from consulfwd.backends.command import run

ENVIRON = {"PATH": os.environ["PATH"], "CONSULFWD_SERVICE": "web"}


async def test_it_is_told_on_its_input_and_by_its_environment(tmp_path: Path) -> None:
    to = tmp_path / "told"
    said = b"x" * 300_000 + b"\n"
    words = ["sh", "-c", f"echo $CONSULFWD_SERVICE > {to}; cat >> {to}"]
    assert await run(words, said, ENVIRON, timeout=9) == ""
    assert to.read_bytes() == b"web\n" + said


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["true"], ""),
        (["sh", "-c", "exit 3"], "failed with exit code 3"),
        (["sh", "-c", "kill -USR1 $$"], "was ended by SIGUSR1"),
        (["sh", "-c", "kill -40 $$"], "was ended by signal 40"),
        (["/nowhere/at/all"], "cannot be run: no such file or directory"),
        # No shell looks at them.
        (["test", "$HOME;", "=", "$HOME;"], ""),
    ],
)
async def test_what_becomes_of_it(words: list[str], wrong: str) -> None:
    # More than a pipe holds, of which it reads nothing.
    assert await run(words, b"x" * 300_000, ENVIRON, timeout=9) == wrong


def gone(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


async def test_it_is_ended_in_time_with_all_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    # Neither heeds SIGTERM.
    words = ["sh", "-c", f"trap '' TERM; sleep 60 & echo $! > {file}; wait; sleep 60"]
    begun = time.monotonic()
    assert await run(words, b"", ENVIRON, timeout=0.3, grace=0.2) == "did not end within 0.3 s"
    assert time.monotonic() < begun + 5
    pid = int(file.read_text())
    while not gone(pid):
        assert time.monotonic() < begun + 5
        await asyncio.sleep(0.01)


async def test_it_is_ended_when_it_is_not_wanted_any_more(tmp_path: Path) -> None:
    file = tmp_path / "ended"
    words = ["sh", "-c", f"trap 'echo > {file}; exit' TERM; echo > {file}.on; sleep 60 & wait"]
    task = asyncio.create_task(run(words, b"", ENVIRON, timeout=60))
    while not Path(f"{file}.on").exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert file.exists()
