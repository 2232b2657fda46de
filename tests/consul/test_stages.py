"""The states of a campaign: what the table says is what its description says, and no more."""

from __future__ import annotations

import re

import pytest

from consulfwd.consul import stages
from consulfwd.consul.stages import TABLE, Event, State


def described() -> dict[tuple[State, Event], State]:
    """The table in the module's description."""
    assert stages.__doc__ is not None
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in stages.__doc__.splitlines()
        if re.fullmatch(r"\|.*\|", line) and "---" not in line
    ]
    head, *rest = rows
    events = [Event(cell) for cell in head[1:]]
    return {
        (State(row[0]), event): State(cell)
        for row in rest
        for event, cell in zip(events, row[1:], strict=True)
        if cell
    }


def test_it_is_as_it_is_described() -> None:
    assert described() == TABLE


@pytest.mark.parametrize("state", State)
def test_whoever_has_ended_stays_so_and_nobody_leads_without_the_lock(state: State) -> None:
    assert (State.ENDED, Event.HELD) not in TABLE
    # Active is nobody but by the lock, and backup again is nobody before all has ended.
    led_to = {pair: to for pair, to in TABLE.items() if pair[0] is state}
    assert all(event is Event.HELD for (_, event), to in led_to.items() if to is State.ACTIVE)
    assert all(event is Event.CALM for (_, event), to in led_to.items() if to is State.BACKUP)
