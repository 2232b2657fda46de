"""Commands that check: what their ends are worth, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from consulfwd.failover.model import Result
from tests.failover.checks.targets import checked, told
from tests.loopback import OWN

OK, FAIL, ERROR = Result.OK, Result.FAIL, Result.ERROR


@pytest.mark.parametrize(
    ("script", "given", "result", "reason"),
    [
        ("exit 0", {}, OK, "exit code 0"),
        ("echo; echo '  PING OK'; echo more", {}, OK, "PING OK"),
        ("echo bad >&2; exit 1", {}, FAIL, "exit code 1: bad"),
        ("exit 2", {}, FAIL, "exit code 2"),
        ("echo 'cannot look'; exit 3", {}, ERROR, "exit code 3: cannot look"),
        ("exit 1", {"ok": [0, 1], "fail": [2]}, OK, "exit code 1"),
        ("kill -9 $$", {}, ERROR, "the command was ended by SIGKILL"),
        ("printf '\\033[31mred\\n'", {}, OK, "\\x1b[31mred"),
    ],
)
async def test_an_end(
    script: str, given: dict[str, Any], result: Result, reason: str
) -> None:
    outcome = await checked("command", argv=["/bin/sh", "-c", script], **given)
    assert told(outcome) == (result, reason)


async def test_a_command_that_is_not_there_is_our_own_fault(tmp_path: Path) -> None:
    outcome = await checked("command", argv=[str(tmp_path / "none")])
    assert told(outcome) == (ERROR, "the command cannot be run: no such file or directory")


async def test_words_are_filled_in_and_no_shell_reads_them() -> None:
    argv = ["/bin/echo", "{address}", "{name}", "$HOME; `id`"]
    outcome = await checked("command", argv=argv)
    assert told(outcome) == (OK, f"{OWN} www.example.com $HOME; `id`")


async def test_it_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "secret")
    script = "env | sort | cut -d= -f1 | grep -v PWD | tr '\\n' ' '; echo $CONSULFWD_ADDRESS"
    outcome = await checked("command", argv=["/bin/sh", "-c", script])
    names = outcome.reason.split()
    assert {"CONSULFWD_ADDRESS", "CONSULFWD_NAME", "CONSULFWD_POOL", "PATH"} <= {*names}
    assert "CONSUL_HTTP_TOKEN" not in names
    assert names[-1] == OWN


async def test_however_much_it_prints_it_does_not_wait_for_us() -> None:
    argv = ["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"]
    outcome = await checked("command", argv=argv)
    assert outcome.result is OK
    assert len(outcome.reason) == 200


async def test_one_that_prints_without_end_is_ended() -> None:
    outcome = await checked("command", argv=["yes"], timeout=30)
    assert told(outcome) == (ERROR, "the command prints without end: more than 16 MB")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("last", ["wait", "exit 0"])
async def test_all_that_it_started_is_ended(last: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"trap '' TERM HUP; sleep 60 & echo $! > {file}.new; mv {file}.new {file}; {last}"
    outcome = await checked("command", argv=["/bin/sh", "-c", script], timeout=0.3)
    late = "no answer within 300 ms (waiting for the command to end)"
    assert told(outcome) == ((FAIL, late) if last == "wait" else (OK, "exit code 0"))
    assert outcome.took < 1
    pid = int(file.read_text())
    ends = time.monotonic() + 2
    while _alive(pid) and time.monotonic() < ends:
        await asyncio.sleep(0.01)
    assert not _alive(pid)


async def test_it_is_ended_where_its_check_is_given_up(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    script = f"echo $$ > {file}.new; mv {file}.new {file}; exec sleep 60"
    check = checked("command", argv=["/bin/sh", "-c", script], timeout=60)
    task = asyncio.ensure_future(check)
    while not file.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _alive(int(file.read_text()))


async def test_a_kernel_without_descriptors_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(pid: int) -> int:
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", refused)
    outcome = await checked("command", argv=["/bin/sh", "-c", "sleep 0.05; echo done; exit 2"])
    assert told(outcome) == (FAIL, "exit code 2: done")
