"""The second's tick, and the longer one of a server that nobody asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulfwd.core.leaps import LEAP
from consulfwd.net.clock import Clock
from consulfwd.net.ticks import CALM, REST, Ticks
from consulfwd.net.warmth import EPOCH
from tests.net.world import World, world

NAME = "galeradb.service.consul"


class Handle:
    """A timer that goes off when the test says so."""

    def __init__(self, seconds: float, callback: Callable[[], None]) -> None:
        self.seconds = seconds
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """What of an event loop ticks need, without time."""

    def __init__(self) -> None:
        self.timers: list[Handle] = []
        self.told: list[dict[str, Any]] = []

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        self.timers.append(Handle(seconds, callback))
        return self.timers[-1]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context)


class Course:
    """Ticks whose time passes from timer to timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.quiet = True
        self.broken = False
        self.made: list[float] = []
        self.late: list[float] = []
        self.rests = 0
        clock = Clock()
        clock.now = lambda: self.now
        self.loop = Loop()
        self.ticks = Ticks(self.loop, clock, self.tick, self.rest)  # type: ignore[arg-type]

    def tick(self, late: float) -> bool:
        self.made.append(self.now - 1000.0)
        self.late.append(late)
        if self.broken:
            raise ValueError("broken")
        return self.quiet

    def rest(self) -> None:
        self.rests += 1

    @property
    def timer(self) -> Handle:
        """The one timer there is."""
        (one,) = [one for one in self.loop.timers if not one.cancelled]
        return one

    def on(self, times: int = 1, late: float = 0.0) -> None:
        """Let the timer go off so many times, each so much later than it should."""
        for _ in range(times):
            timer = self.timer
            self.now += timer.seconds + late
            timer.cancelled = True
            timer.callback()


def test_each_second_while_somebody_asks_and_rarely_after_some_quiet_ones() -> None:
    course = Course()
    course.quiet = False
    course.ticks.go()
    course.on(3)
    assert course.made == [0, 1, 2, 3]
    course.quiet = True
    course.on(CALM + 1)
    assert course.made[4:] == [4, 5, 6, 6 + REST]
    assert course.ticks.resting
    assert course.rests == 2
    # One that is not quiet in between, and it begins anew.
    course.quiet = False
    course.on()
    course.quiet = True
    course.on(CALM)
    assert course.made[8:] == [6 + 2 * REST + n for n in range(CALM + 1)]


def test_who_comes_in_a_rest_has_the_missing_tick_made_first() -> None:
    course = Course()
    course.ticks.go()
    course.on(CALM - 1)
    assert course.timer.seconds == REST * EPOCH
    course.now += 2.5
    course.ticks.wake()
    assert course.made[-1] == CALM - 1 + 2.5
    assert (course.timer.seconds, course.ticks.resting) == (EPOCH, False)
    course.ticks.wake()
    assert len(course.made) == CALM + 1


def test_a_tick_in_a_rest_is_late_only_when_the_rest_was_to_be_over() -> None:
    course = Course()
    course.ticks.go()
    course.on(CALM - 1)
    course.now += REST * EPOCH
    assert course.ticks.late(course.now) == 0
    course.on(late=LEAP)
    assert course.late == [0, 0, 0, pytest.approx(LEAP + REST * EPOCH)]


def test_a_fault_in_a_tick_costs_neither_the_next_one_nor_a_query() -> None:
    course = Course()
    course.ticks.go()
    course.on(CALM - 1)
    course.broken = True
    course.ticks.wake()
    assert [str(one["exception"]) for one in course.loop.told] == ["broken"]
    assert course.timer.seconds == EPOCH
    with pytest.raises(ValueError, match="broken"):
        course.on()
    assert course.timer.seconds == EPOCH


def test_cancelled_ones_come_no_more_nor_wake() -> None:
    course = Course()
    course.ticks.go()
    course.on(CALM - 1)
    course.ticks.cancel()
    course.ticks.wake()
    assert len(course.made) == CALM
    assert all(one.cancelled for one in course.loop.timers)


def rest(here: World) -> None:
    """Let seconds pass in which nobody asks."""
    for _ in range(CALM + 1):
        here.skip(1.0)
    assert here.engine.ticks.resting


async def test_whoever_asks_in_a_rest_is_answered_as_ever() -> None:
    async with world() as here:
        await here.ask(NAME)
        here.tick()
        assert not here.engine.ticks.resting
        rest(here)
        before = here.engine.warmth.epoch
        await here.ask(NAME)
        assert here.engine.warmth.epoch == before + 1
        assert not here.engine.ticks.resting
        rest(here)
        before = here.engine.warmth.epoch
        await here.ask(NAME, tcp=True)
        assert here.engine.warmth.epoch == before + 1


async def test_a_rest_is_no_pause_of_this_host() -> None:
    async with world() as here:
        rest(here)
        leapt_at = here.engine.table.answers.leapt_at
        here._clock.offset += REST * EPOCH - 0.1
        await here.ask(NAME)
        assert here.engine.table.answers.leapt_at == leapt_at
        rest(here)
        here._clock.offset += REST * EPOCH + LEAP + 0.1
        await here.ask(NAME)
        assert here.engine.table.answers.leapt_at > leapt_at


async def test_the_first_who_asks_after_a_rest_is_answered_by_the_recursors_of_now(
    tmp_path: Path,
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    async with world(resolv_conf=str(file)) as here:
        rest(here)
        file.write_text("nameserver 192.0.2.2\n")
        await here.ask(NAME)
        recursors = [one.name for one in here.engine.upstreams() if not one.is_agent]
        assert recursors == ["192.0.2.2:53"]


async def test_while_somebody_looks_it_does_not_rest() -> None:
    async with world() as here:
        for _ in range(2 * CALM):
            here.engine.prober.looked_at()
            here.skip(1.0)
        assert not here.engine.ticks.resting
        rest(here)


async def test_who_looks_in_a_rest_has_servers_asked_how_they_are_at_once() -> None:
    async with world() as here:
        rest(here)
        before = [one.sent for one in here.engine.upstreams()]
        here.engine.looked_at()
        assert [one.sent for one in here.engine.upstreams()] == [sent + 1 for sent in before]
        assert not here.engine.ticks.resting
