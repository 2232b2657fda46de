"""Time without a core is counted for a busy program alone, its children with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import coreless, stalled
from tests.coreless import HeldUp, OurTime, Waits, go_by_our_time, our_time
from tests.stalled import Stalls


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


class Slow:
    """A disk: how long a write takes, until it is let go."""

    def __init__(self) -> None:
        self.began, self.moves = threading.Event(), threading.Event()
        self.moves.set()
        self.writes = 0

    def fsync(self, file: int) -> None:
        if not self.moves.is_set():
            self.began.set()
            # At once: who wakes up again and again waits for a core each time.
            self.moves.wait()
        self.writes += 1


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    monkeypatch.setattr(os, "fsync", found.fsync)
    monkeypatch.setattr(stalled, "EVERY_S", 0.001)
    return found


def test_a_disk_that_stalls_is_counted_where_the_way_leads_through_it(
    slow: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody waits for a core, or is away.
    monkeypatch.setattr(coreless, "PROC", tmp_path)
    monkeypatch.setattr(coreless, "stolen_s", lambda: 0.0)
    slow.moves.clear()
    held, other = HeldUp(disk=True), HeldUp()
    assert slow.began.wait(10.0)
    time.sleep(0.3)
    # What waits now is in it.
    assert (during := held.seconds()) > 0.2
    slow.moves.set()
    until(lambda: slow.writes > 2)
    assert held.seconds() > during - 0.1
    assert other.seconds() < 0.1


def test_time_in_which_a_disk_stalls_does_not_count(slow: Slow) -> None:
    begun, stalls = time.monotonic(), Stalls()
    until(lambda: slow.writes > 2)
    # It ends now, or so much later as there was a stall: a core may be long in coming.
    assert stalls.after(begun, 0.01) - begun - 0.01 <= stalls.seconds() + 0.1
    slow.moves.clear()
    assert slow.began.wait(10.0)
    time.sleep(0.3)
    during = stalls.after(begun, 60.0)
    slow.moves.set()
    written = slow.writes
    until(lambda: slow.writes > written + 2)
    assert begun + 60.2 < during < stalls.after(begun, 60.0) + 0.1
    # What was before, or came after, is no matter.
    later = time.monotonic()
    assert stalls.after(later, 1.0) == later + 1.0
    assert stalls.after(begun - 2.0, 1.0) == begun - 1.0


def test_that_a_machine_stood_still_is_counted_too(
    slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    still, goes_on = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if still.is_set():
            goes_on.wait()

    monkeypatch.setattr(stalled, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
    stalls = Stalls()
    until(lambda: slow.writes > 2)
    before = stalls.seconds()
    still.set()
    time.sleep(0.3)
    # Who asks may be on before who writes.
    assert (during := stalls.seconds()) > before + 0.2
    still.clear()
    goes_on.set()
    written = slow.writes
    until(lambda: slow.writes > written + 2)
    assert stalls.seconds() > during - 0.1


def test_a_disk_that_keeps_up_is_not_counted_and_left_alone_afterwards(slow: Slow) -> None:
    stalls = Stalls()
    until(lambda: slow.writes > 20)
    assert stalls.seconds() < 0.1
    thread = stalls.thread
    del stalls
    until(lambda: not Path(f"/proc/self/task/{thread}").exists())


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_on_a_way_through_several_the_longest_wait_of_each_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thread(pid: int, number: int, seconds: float) -> None:
        task = tmp_path / str(pid) / "task" / str(number)
        task.mkdir(parents=True, exist_ok=True)
        (task / "schedstat").write_text(f"1 {seconds * 1e9:.0f} 1\n")

    monkeypatch.setattr(coreless, "PROC", tmp_path)
    for pid, number in ((7, 7), (7, 8), (9, 9)):
        thread(pid, number, 1.0)
    waits = Waits(7, 9)
    until(lambda: waits._seen)
    begin = time.monotonic()
    thread(7, 7, 1.25)
    thread(7, 8, 1.5)
    thread(9, 9, 1.125)
    thread(9, 10, 0.0625)
    waits.end()
    assert waits.seconds(begin, time.monotonic()) == pytest.approx(0.625)
    assert waits.seconds(begin - 10.0, begin - 9.0) == 0.0


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
