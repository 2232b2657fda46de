"""Time without a core is counted for a busy program alone, its children with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import coreless
from tests.coreless import HeldUp, OurTime, go_by_our_time, our_time


def test_two_on_one_core_wait_for_each_other_and_one_that_sleeps_for_nobody() -> None:
    core = min(os.sched_getaffinity(0))
    busy = f"import os; os.sched_setaffinity(0, [{core}]); print(flush=True)\nwhile True: pass"
    programs = [busy, busy, "import time; print(flush=True); time.sleep(60)"]
    with contextlib.ExitStack() as stack:
        children = []
        for program in programs:
            command = [sys.executable, "-c", program]
            child = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(child.kill)
            children.append(child)
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == b"\n"
        held = [HeldUp(child.pid) for child in children]
        time.sleep(0.4)
        waited = [one.seconds() for one in held]
    # Even where others are on that core as well.
    assert waited[0] + waited[1] > 0.2
    # This process is among them each time, and only sleeps.
    assert waited[2] < 0.1


def test_what_threads_and_children_waited_is_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coreless, "PROC", tmp_path)
    monkeypatch.setattr(coreless, "stolen_s", lambda: 1.0)

    def says(pid: int, thread: int, waited_s: float, children: str = "") -> None:
        task = tmp_path / str(pid) / "task" / str(thread)
        task.mkdir(parents=True, exist_ok=True)
        (task / "schedstat").write_text(f"5000 {round(waited_s * 1e9)} 7\n")
        (task / "children").write_text(children)

    says(7, 7, 1.0, "9 ")
    says(7, 8, 2.0)
    says(9, 9, 4.0)
    says(11, 11, 100.0)
    # Of this one itself, whatever else it runs.
    says(os.getpid(), 5, 1.0, "11 ")
    held = HeldUp(7, 12)
    assert held.seconds() == 0
    says(7, 7, 1.5, "9 10 ")
    says(9, 9, 4.25)
    says(10, 10, 8.0)
    says(11, 11, 200.0)
    says(os.getpid(), 5, 1.125, "11 ")
    assert held.seconds() == pytest.approx(0.5 + 0.25 + 8.0 + 0.125)
    # What the machine's host took comes on top.
    monkeypatch.setattr(coreless, "stolen_s", lambda: 1.25)
    assert held.seconds() == pytest.approx(9.125)


def test_this_process_has_waited_no_longer_than_it_lives() -> None:
    assert 0 <= coreless.coreless_s() == pytest.approx(coreless.coreless_s(os.getpid()), abs=1.0)


def test_our_time_stands_still_while_the_first_thread_has_no_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, clock = tmp_path / "schedstat", [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    counted.write_text("5000 2000000000 7\n")
    ours = OurTime(counted)
    assert ours() == 98.0
    clock[0] += 1.0
    assert ours() == 99.0
    clock[0] += 3.0
    counted.write_text("5000 5000000000 8\n")
    assert ours() == 99.0
    # By more than passed since: what was waited before was not known.
    clock[0] += coreless.READ_EACH_S
    counted.write_text("5000 5000900000 8\n")
    assert ours() == 99.0
    counted.write_text("no longer\n")
    assert ours() == 99.0
    with ThreadPoolExecutor() as another:
        assert another.submit(ours).result() == clock[0]
    assert OurTime(tmp_path / "nobody counts")() == clock[0]


def test_in_a_child_its_own_waiting_counts() -> None:
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writes, os.fsencode(Path(f"/proc/self/fd/{our_time._file}").readlink()))
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reads, 100) == f"/proc/{pid}/schedstat".encode()
    os.close(reads)
    os.close(writes)


async def test_an_event_loop_may_go_by_our_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, ours = asyncio.get_running_loop(), [0.0]
    before = loop.time()
    monkeypatch.setattr(coreless, "our_time", lambda: ours[0])
    for _ in range(2):
        go_by_our_time(loop)
    since = loop.time()
    assert before <= since < before + 60.0
    timer = loop.call_later(3.0, ours.append, 1.0)
    await asyncio.sleep(0)
    assert (loop.time(), timer.when()) == (since, since + 3.0)
    ours[0] = 3.0
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ours == [3.0, 1.0]
