"""Files kept current: when is tried, when again, what the log says, how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from consulfwd.apply.change import Applied
from consulfwd.apply.jobs import File, Job
from consulfwd.apply.steps import apply_all
from consulfwd.errors import ApplyError, ConsulError
from consulfwd.keep.follow import (
    RETRY,
    RETRY_MAX,
    Results,
    follow,
    pause,
)
from consulfwd.keep.quiescence import Quiescence
from consulfwd.notify import Notifier
from consulfwd.upkeep import Upkeep

JOB = Job((File(Path("/etc/a.conf"), "a"),))
OTHER = Job((File(Path("/etc/b.conf"), "b"),))
WROTE = Applied(("/etc/a.conf",), (), True, 0.4)


class Stop(BaseException):
    """Ends a test's `follow`, which nothing else does."""


class Heard(Upkeep):
    """Keeps what it is told of rounds."""

    def __init__(self) -> None:
        super().__init__(Notifier(), "something")
        self.rounds: list[tuple[list[str], bool]] = []

    def round(self, faults: Sequence[str] = (), *, wrote: bool = False) -> None:
        self.rounds.append((list(faults), wrote))


class World:
    """A clock that moves when `follow` waits, what happens at which time, and what was tried."""

    def __init__(self, until: float) -> None:
        self.now = 0.0
        self.until = until
        self.event = asyncio.Event()
        self.changes: list[float] = []
        self.made: list[float] = []
        self.jobs: Sequence[Job] = [JOB]
        self.fault: Exception | None = None
        self.results: Callable[[Sequence[Job]], Results] = lambda jobs: [
            (job, Applied()) for job in jobs
        ]
        self.upkeep = Heard()

    def clock(self) -> float:
        return self.now

    def make(self) -> Sequence[Job]:
        self.made.append(self.now)
        if self.fault is not None:
            raise self.fault
        return self.jobs

    async def pause(self, wake: asyncio.Event, timeout: float | None) -> None:
        target = self.until if timeout is None else min(self.until, self.now + timeout)
        if self.changes and self.changes[0] <= target:
            self.now = self.changes.pop(0)
            self.event.set()
            await asyncio.wait_for(wake.wait(), 10)
            return
        if self.now >= self.until:
            raise Stop
        self.now = target

    async def run(self, least: float = 2, most: float = 5) -> None:
        with pytest.raises(Stop):
            await follow(
                self.event,
                self.make,
                Quiescence(least, most),
                apply=lambda jobs: self.results(jobs),
                clock=self.clock,
                pause=self.pause,
                upkeep=self.upkeep,
            )


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "consulfwd.keep")
    return lambda: [f"{each.levelname} {each.getMessage()}" for each in caplog.records]


async def test_it_applies_at_the_start_and_when_changes_pause() -> None:
    world = World(100)
    world.changes = [10, 11, 12, 50, 51.5, 53, 54.5, 54.6]
    await world.run()
    assert world.made == [0, 14, 55]


async def test_nothing_is_tried_while_nothing_changes(lines: Callable[[], list[str]]) -> None:
    world = World(1e6)
    await world.run()
    assert world.made == [0]
    assert lines() == []


async def test_of_each_round_it_is_told_what_failed_and_whether_anything_was_written() -> None:
    world = World(70)
    world.changes = [10, 20, 30, 40, 50, 60]
    fault = ApplyError("/etc/a.conf", "is wrong", output="line 3\nline 4")
    world.jobs = [JOB, OTHER]
    turns: list[tuple[Exception | None, Applied | ApplyError]] = [
        (ConsulError("10.0.0.1:8500", 500, "No cluster leader"), Applied()),
        (None, Applied()),
        (None, WROTE),
        (None, fault),
        (None, Applied()),
    ]

    def results(jobs: Sequence[Job]) -> Results:
        return [(JOB, turns[0][1]), (OTHER, Applied())]

    def make() -> Sequence[Job]:
        if len(world.made) and len(turns) > 1:
            turns.pop(0)
        world.fault = turns[0][0]
        return World.make(world)

    world.results = results
    world.make = make  # type: ignore[method-assign]
    await world.run(least=1)
    told = world.upkeep.rounds
    not_made = "not rendered: 10.0.0.1:8500: HTTP 500: No cluster leader"
    assert told[:5] == [
        ([not_made], False),
        ([], False),
        ([], True),
        (["not brought into force: /etc/a.conf: is wrong: line 3\nline 4"], False),
        ([], False),
    ]


async def test_each_success_has_a_line(lines: Callable[[], list[str]]) -> None:
    world = World(10)
    world.jobs = [JOB, OTHER]
    world.results = lambda jobs: [
        (jobs[0], WROTE),
        (jobs[1], Applied(("/etc/b.conf", "/etc/c.conf"), (), False, 75)),
    ]
    await world.run()
    assert lines() == [
        "INFO wrote /etc/a.conf in 400 ms (reloaded)",
        "INFO wrote /etc/b.conf, /etc/c.conf in 1 min (nothing to reload)",
    ]


async def test_what_fails_is_tried_again_after_growing_pauses() -> None:
    world = World(2000)
    world.fault = ConsulError("10.0.0.1:8500", 500, "No cluster leader")
    await world.run()
    gaps = [after - before for before, after in zip(world.made, world.made[1:], strict=False)]
    assert gaps[:6] == [RETRY * 2**number for number in range(6)]
    assert set(gaps[6:]) == {RETRY_MAX}


async def test_a_change_is_tried_without_waiting_for_the_next_try() -> None:
    world = World(34)
    world.fault = ConsulError("10.0.0.1:8500", 500, "No cluster leader")
    world.changes = [16]
    await world.run()
    # 0 + 5 + 10; the change at 16 pauses 2 s; then 20 s more are too many.
    assert world.made == [0, 5, 15, 18]


async def test_a_try_waits_for_changes_to_pause() -> None:
    world = World(12)
    world.fault = ConsulError("10.0.0.1:8500", 500, "No cluster leader")
    world.changes = [4, 5.5, 6.9]
    await world.run()
    assert world.made == [0, 8.9]


async def test_the_same_failure_is_told_ever_more_seldom_and_when_it_is_over(
    lines: Callable[[], list[str]],
) -> None:
    world = World(915)

    def results(jobs: Sequence[Job]) -> Results:
        if world.now >= 915:
            return [(jobs[0], WROTE)]
        printed = f"as of {world.now:g}"
        return [(jobs[0], ApplyError("/etc/a.conf", "`check` failed", output=printed))]

    world.results = results
    await world.run()
    # Tries at 0, 5, 15, 35, 75, 155, 315, 615 and 915 s; told after 60, 120, 240, 300 s at least.
    told = "ERROR not brought into force; next try in {}: /etc/a.conf: `check` failed\nas of {}"
    said = {0: "5.0 s", 75: "1 min", 315: "5 min", 615: "5 min"}
    assert lines() == [
        *(told.format(then, now) for now, then in said.items()),
        "INFO wrote /etc/a.conf in 400 ms (reloaded)",
        "INFO mended after 15 min: /etc/a.conf",
    ]


async def test_what_comes_and_goes_is_told_no_more_often(lines: Callable[[], list[str]]) -> None:
    world = World(100)
    world.changes = [10, 20, 30, 40, 50]
    fault = ApplyError("/etc/a.conf", "is wrong")
    world.results = lambda jobs: [
        (jobs[0], Applied() if int(world.now) % 20 == 12 else fault)
    ]
    await world.run()
    told = [line.partition(":")[0] for line in lines()]
    assert told == [
        "ERROR not brought into force; next try in 5.0 s",
        "INFO mended after 12 s",
    ]


async def test_a_server_that_does_not_run_is_told_of_once_and_tried_again(
    lines: Callable[[], list[str]],
) -> None:
    world = World(100)
    waits = Applied(("/etc/a.conf",), (), False, 0.4, ("rndc reconfig",))
    world.jobs = [JOB, OTHER]
    world.results = lambda jobs: [
        (jobs[0], waits if world.now < 30 else WROTE if world.now < 40 else Applied()),
        (jobs[1], Applied()),
    ]
    await world.run()
    # It may have started with the old file while the new one came: until it is told, nobody knows.
    assert world.made == [0, 5, 15, 35]
    assert lines() == [
        "WARNING wrote /etc/a.conf, in force once its server starts (rndc reconfig found nobody"
        " running); next try in 5.0 s",
        "INFO wrote /etc/a.conf in 400 ms (reloaded)",
        "INFO mended after 35 s: /etc/a.conf",
    ]


async def test_jobs_that_fail_together_have_one_line(lines: Callable[[], list[str]]) -> None:
    world = World(4)
    world.jobs = [JOB, OTHER]
    error = ApplyError("/etc/a.conf, /etc/b.conf", "`reload` failed", "look")
    world.results = lambda jobs: [(job, error) for job in jobs]
    await world.run()
    assert lines() == [
        "ERROR not brought into force; next try in 5.0 s: "
        "/etc/a.conf, /etc/b.conf: `reload` failed (look)"
    ]


async def test_a_job_that_is_no_more_is_forgotten(lines: Callable[[], list[str]]) -> None:
    world = World(40)
    world.changes = [1, 20]
    world.results = lambda jobs: [
        (job, ApplyError("/etc/b.conf", "is full") if job is OTHER else Applied()) for job in jobs
    ]

    def make() -> Sequence[Job]:
        return [JOB] if 1 < world.now < 20 else [JOB, OTHER]

    with pytest.raises(Stop):
        await follow(
            world.event,
            make,
            Quiescence(2),
            apply=world.results,
            clock=world.clock,
            pause=world.pause,
        )
    line = "ERROR not brought into force; next try in 5.0 s: /etc/b.conf: is full"
    assert lines() == [line, line]


async def test_rendering_that_fails_is_told_and_mended(lines: Callable[[], list[str]]) -> None:
    world = World(40)
    world.fault = ConsulError("10.0.0.1:8500", 0, "connection refused")
    world.changes = [30]

    def make() -> Sequence[Job]:
        if world.now > 30:
            world.fault = None
        return world.make()

    with pytest.raises(Stop):
        await follow(
            world.event,
            make,
            Quiescence(2),
            apply=world.results,
            clock=world.clock,
            pause=world.pause,
        )
    assert lines() == [
        "ERROR not rendered, the files stay as they are; next try in 5.0 s: "
        "10.0.0.1:8500: connection refused",
        "INFO mended after 32 s: rendering",
    ]


@pytest.mark.parametrize("where", ["make", "apply"])
async def test_a_fault_of_ours_does_not_end_it(
    where: str, lines: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    world = World(6)
    if where == "make":
        world.fault = ZeroDivisionError("ours")
    else:
        world.results = lambda jobs: [(jobs[0], Applied()) for _ in range(1 // 0)]
    await world.run()
    assert len(world.made) == 2
    (line,) = lines()
    assert "ZeroDivisionError" in line
    assert caplog.records[0].exc_info is not None


async def test_changes_come_from_an_iterator_and_jobs_from_a_coroutine() -> None:
    seen = asyncio.Event()
    made = []

    async def changes() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def make() -> Sequence[Job]:
        made.append(1)
        if len(made) == 2:
            seen.set()
        return []

    task = asyncio.create_task(follow(changes(), make, Quiescence(0.01)))
    await asyncio.wait_for(seen.wait(), 30)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_broken_source_of_changes_is_not_hidden() -> None:
    async def changes() -> AsyncIterator[int]:
        yield 1
        raise ConsulError("10.0.0.1:8500", 403, "ACL not found")

    with pytest.raises(ConsulError, match="ACL not found"):
        await asyncio.wait_for(follow(changes(), list, Quiescence(60)), 30)


async def test_changes_while_it_applies_are_not_lost() -> None:
    world = World(100)

    def results(jobs: Sequence[Job]) -> Results:
        if len(world.made) == 1:
            world.changes = [0.0]
        return []

    world.results = results
    await world.run()
    assert world.made == [0, 2]


async def test_pause_ends_by_time_or_when_woken() -> None:
    wake = asyncio.Event()
    await asyncio.wait_for(pause(wake, 0.001), 30)
    wake.set()
    await asyncio.wait_for(pause(wake, None), 30)


async def test_a_cancelled_apply_ends_first(lines: Callable[[], list[str]]) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(jobs: Sequence[Job]) -> Results:
        begun.set()
        assert go_on.wait(30)
        return [(JOB, WROTE)]

    task = asyncio.create_task(follow(asyncio.Event(), lambda: [JOB], Quiescence(1), apply=slowly))
    assert await asyncio.to_thread(begun.wait, 30)
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 30)
    assert lines() == ["INFO wrote /etc/a.conf in 400 ms (reloaded)"]


async def test_real_files_are_kept_current_with_one_reload_for_all(tmp_path: Path) -> None:
    reload = tmp_path / "reload"
    reload.write_text(f"#!/bin/sh\necho reloaded >> {tmp_path}/told\n")
    reload.chmod(0o755)
    text = ["first"]
    applied: asyncio.Queue[Results] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def make() -> Sequence[Job]:
        return [
            Job((File(tmp_path / name, text[0]),), reload=((str(reload),),)) for name in ("a", "b")
        ]

    def telling(jobs: Sequence[Job]) -> Results:
        results = apply_all(jobs)
        loop.call_soon_threadsafe(applied.put_nowait, results)
        return results

    event = asyncio.Event()
    task = asyncio.create_task(follow(event, make, Quiescence(0.01), apply=telling))
    for content in ("first", "second"):
        if content != "first":
            text[0] = content
            event.set()
        results = await asyncio.wait_for(applied.get(), 60)
        assert [type(result) for _, result in results] == [Applied, Applied]
        assert (tmp_path / "a").read_text() == (tmp_path / "b").read_text() == content
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (tmp_path / "told").read_text() == "reloaded\nreloaded\n"


def test_sigterm_lets_an_apply_end(tmp_path: Path, project: Path) -> None:
    reload = tmp_path / "reload"
    reload.write_text(
        f"#!/bin/sh\ntouch {tmp_path}/begun\n"
        f"while ! test -e {tmp_path}/go-on; do sleep 0.05; done\n"
    )
    reload.chmod(0o755)
    program = f"""
import asyncio, logging
from pathlib import Path
from consulfwd.apply.jobs import File, Job
from consulfwd.keep.follow import follow, run
from consulfwd.keep.quiescence import Quiescence
logging.basicConfig(level=logging.INFO, format="%(message)s")
job = Job((File(Path({str(tmp_path / "new")!r}), "text"),), reload=(({str(reload)!r},),))
async def main():
    await follow(asyncio.Event(), lambda: [job], Quiescence(1))
run(main())
"""
    child = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, cwd=project)
    try:
        while not (tmp_path / "begun").exists():
            assert child.poll() is None
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        (tmp_path / "go-on").touch()
        _, said = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    assert said.decode().splitlines()[0].startswith(f"wrote {tmp_path}/new in ")
    assert said.decode().splitlines()[1:] == ["stopped"]
    assert (tmp_path / "new").read_text() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["begun", "go-on", "new", "reload"]


@pytest.mark.parametrize("turns", range(5))
async def test_a_stop_that_comes_with_news_is_no_less_a_stop(turns: int) -> None:
    wake, heard = asyncio.Event(), 0

    async def rounds() -> None:
        nonlocal heard
        while heard < 2:
            await pause(wake, 5.0)
            wake.clear()
            heard += 1

    task = asyncio.ensure_future(rounds())
    for _ in range(3):
        await asyncio.sleep(0)
    wake.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1.0)
    assert done, "it goes on"
    assert task.cancelled()
