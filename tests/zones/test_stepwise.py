"""A change whose lock is lost: at which step, and what it comes to then."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from types import TracebackType

import pytest

from consulfwd.apply.change import Command, Run
from consulfwd.apply.steps import apply
from consulfwd.errors import ApplyError
from consulfwd.zones.stepwise import Stepwise

STEPS = ("due", "enter", "plan", "check", "put", "verify")


class Noted:
    """A change that notes its steps; `lost` is set when the step named `at` has begun."""

    where = "the zone"
    target: Hashable = "the zone"

    def __init__(self, at: str = "", wrong: str = "") -> None:
        self.steps: list[str] = []
        self.lost = at == "before"
        self._at = at
        self._wrong = wrong

    def why(self) -> str:
        return "the lock is lost" if self.lost else ""

    def _note(self, step: str) -> None:
        self.steps.append(step)
        self.lost = self.lost or step == self._at

    def due(self) -> bool:
        self._note("due")
        return True

    def __enter__(self) -> Noted:
        self._note("enter")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._note("exit")

    def plan(self) -> bool:
        self._note("plan")
        return True

    def check(self, command: Command, run: Run) -> None:
        self._note("check")

    def put(self) -> None:
        self._note("put")
        if self._wrong == "put":
            raise ApplyError(self.where, "refused")

    def verify(self) -> str:
        self._note("verify")
        return "another serial" if self._wrong == "verify" else ""

    def put_back(self) -> None:
        self._note("put back")

    def settle(self) -> str | None:
        self._note("settle")
        return None

    def leave(self) -> None:
        self._note("leave")


class Work:
    """The work of one change."""

    check: Command = ()
    whole: Command = ()
    reload: tuple[Command, ...] = ()

    def __init__(self, change: Stepwise) -> None:
        self._change = change

    @property
    def verify(self) -> Callable[[], str]:
        return lambda: ""

    def changes(self) -> Sequence[Stepwise]:
        return [self._change]


def push(noted: Noted) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    apply(Work(Stepwise(noted, noted.why)), sleep=sleep, clock=lambda: now[0])


def test_while_the_lock_is_held_nothing_is_another_way() -> None:
    noted = Noted()
    push(noted)
    assert noted.steps == [*STEPS, "settle", "exit"]
    noted = Noted(wrong="put")
    with pytest.raises(ApplyError, match="refused"):
        push(noted)
    assert noted.steps[-3:] == ["put", "put back", "exit"]


@pytest.mark.parametrize("at", ["before", *STEPS[:4]])
def test_no_step_begins_after_it_was_lost(at: str) -> None:
    noted = Noted(at)
    with pytest.raises(ApplyError, match="not published: the lock is lost; nothing was done"):
        push(noted)
    begun = STEPS[: STEPS.index(at) + 1] if at != "before" else ()
    assert tuple(one for one in noted.steps if one in STEPS) == begun
    assert "put back" not in noted.steps


@pytest.mark.parametrize(("at", "wrong"), [("put", "put"), ("put", "verify"), ("verify", "verify")])
def test_nothing_is_taken_back_after_it_was_lost(at: str, wrong: str) -> None:
    noted = Noted(at, wrong)
    with pytest.raises(ApplyError):
        push(noted)
    assert noted.steps[-2:] == ["leave", "exit"]
    assert "put back" not in noted.steps


def test_what_was_put_before_it_was_lost_is_in_force() -> None:
    noted = Noted("put")
    push(noted)
    assert noted.steps == [*STEPS, "settle", "exit"]
