"""Commands are run without a shell, and ended in time with all they started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consulfwd.apply.commands import KEPT, Ran, find, run, shell, shown


def sh(text: str, timeout_s: float = 60) -> Ran:
    return run(shell(text), timeout_s=timeout_s)


@pytest.fixture
def ends() -> Callable[[Path], None]:
    """Wait until the process whose number is in a file is no more."""

    def wait(path: Path) -> None:
        number = int(path.read_text())
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            state = Path(f"/proc/{number}/stat")
            # Whoever inherits it may leave it as a zombie.
            if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
                return
        os.kill(number, signal.SIGKILL)
        pytest.fail(f"process {number} was left running")

    return wait


def test_a_command_that_succeeds() -> None:
    ran = run(["printf", "%s|", "a b", "$HOME", ";"], timeout_s=60)
    assert ran == (("printf", "%s|", "a b", "$HOME", ";"), "", "a b|$HOME|;|", 0)
    assert str(ran) == "`printf '%s|' 'a b' '$HOME' ';'` succeeded"


def test_what_it_prints_is_kept_in_order_without_input() -> None:
    ran = sh("echo one; echo two >&2; cat; echo three; exit 3")
    assert ran.output == "one\ntwo\nthree"
    assert str(ran) == ("`echo one; echo two >&2; cat; echo three; exit 3` failed with exit code 3")


def test_it_runs_where_it_is_told(tmp_path: Path) -> None:
    assert run(["pwd"], timeout_s=60, folder=tmp_path).output == str(tmp_path)


def test_one_that_is_missing_is_told_apart(tmp_path: Path) -> None:
    assert find("no-such-program") is None
    assert run(["no-such-program"], timeout_s=60).wrong == "failed: it is not installed"
    assert run([str(tmp_path / "no")], timeout_s=60).wrong == "failed: it is not installed"


def test_servers_own_tools_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found = find("ldconfig")
    assert found is not None
    assert found.endswith("/sbin/ldconfig")


def test_a_program_named_by_its_place_is_found_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "check"
    program.write_text("#!/bin/sh\necho here\n")
    program.chmod(0o755)
    assert run(["./check"], timeout_s=60, folder=Path("/")).output == "here"


def test_one_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    program = tmp_path / "check"
    program.write_text("#!/nowhere/interpreter\n")
    program.chmod(0o755)
    assert run([str(program)], timeout_s=60).wrong.startswith("cannot be run: No such file")


@pytest.mark.parametrize(("name", "told"), [("KILL", "SIGKILL"), ("TERM", "SIGTERM")])
def test_one_that_is_killed_is_told(name: str, told: str) -> None:
    assert sh(f"kill -{name} $$").wrong == f"was ended by {told}"


def test_long_output_keeps_its_start_and_end() -> None:
    ran = sh(
        "echo first; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo last"
    )
    assert ran.output.startswith("first\nline 0\n")
    assert ran.output.endswith("line 19999\nlast")
    assert "\n[...]\n" in ran.output
    assert len(ran.output) <= 2 * KEPT + 10


@pytest.mark.parametrize("size", [2 * KEPT, 2 * KEPT + 1])
def test_nothing_is_left_out_that_fits(size: int) -> None:
    ran = sh(f"head -c {size} /dev/zero | tr '\\0' x")
    assert ("[...]" in ran.output) == (size > 2 * KEPT)


def test_output_cannot_play_with_a_terminal() -> None:
    assert sh(r"printf 'a\033[2Jb\tc\377'").output == "a?[2Jb\tc�"


@pytest.mark.parametrize("trap", ["", "trap '' TERM;"], ids=["plain", "stubborn"])
def test_one_that_hangs_is_ended_with_all_it_started(
    tmp_path: Path, trap: str, ends: Callable[[Path], None]
) -> None:
    number = tmp_path / "number"
    ran = sh(f"{trap} echo waiting; sleep 600 & echo $! > {number}; wait; sleep 600", 1)
    assert ran.wrong == "did not end within 1 s"
    assert ran.output == "waiting"
    ends(number)


def test_one_that_closes_its_output_and_hangs_is_ended() -> None:
    assert sh("exec >&- 2>&-; sleep 600", 0.5).wrong == "did not end within 0.5 s"


def test_what_prints_without_end_is_ended() -> None:
    assert sh("yes", 0.5).wrong == "did not end within 0.5 s"


def test_what_it_leaves_in_the_background_is_not_waited_for_nor_ended(tmp_path: Path) -> None:
    number = tmp_path / "number"
    ran = sh(f"echo done; sleep 600 & echo $! > {number}")
    left = int(number.read_text())
    try:
        assert ran == (ran.command, "", "done", 0)
        assert Path(f"/proc/{left}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    finally:
        os.kill(left, signal.SIGKILL)


def test_an_interruption_ends_it(tmp_path: Path, ends: Callable[[Path], None]) -> None:
    number = tmp_path / "number"

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    @contextlib.contextmanager
    def waiting() -> Iterator[None]:
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    text = f"echo $$ > {number}; sleep 600"
    with pytest.raises(Interrupted):
        run(shell(text), timeout_s=60, waiting=waiting)
    ends(number)


def test_no_open_files_are_left() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for text in ("true", "false", "no-such-program-in-a-shell"):
        sh(text)
    sh("sleep 600", 0.1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_command_is_shown_as_it_would_be_typed() -> None:
    assert shown(["rndc", "flushtree", "a b"]) == "rndc flushtree 'a b'"
    assert shown(shell("nginx -t && nginx -s reload")) == "nginx -t && nginx -s reload"
