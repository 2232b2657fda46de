"""When the garbage collector looks, and at how much."""

from __future__ import annotations

import gc

import pytest

from consulfwd.net import collecting
from consulfwd.net.collecting import MOST_LASTING, OLD, YOUNG
from consulfwd.net.ticks import CALM, REST
from tests.net.world import world

ALL, NOT_OLD = 2, 1


@pytest.mark.parametrize(
    ("young", "old", "lasting", "waiting", "resting", "made"),
    [
        (YOUNG - 1, OLD - 1, MOST_LASTING - 1, False, False, []),
        (YOUNG, OLD - 1, MOST_LASTING - 1, False, False, [NOT_OLD]),
        (YOUNG, OLD, 0, False, False, [ALL]),
        (0, 0, MOST_LASTING, False, False, [ALL]),
        # Whoever waits is not to wait for that, but for so long.
        (20, 50, 2 * MOST_LASTING - 1, True, False, []),
        (0, 0, 2 * MOST_LASTING, True, False, [ALL]),
        # Where there is time all is looked at, if there is anything new.
        (0, 0, 0, False, True, []),
        (1, 0, 0, False, True, [ALL]),
        (0, 1, 0, False, True, [ALL]),
        (1, 1, 0, True, True, []),
    ],
)
def test_what_is_collected_when(
    young: int,
    old: int,
    lasting: int,
    waiting: bool,
    resting: bool,
    made: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[int] = []
    monkeypatch.setattr(gc, "get_count", lambda: (1999, young, old))
    monkeypatch.setattr(gc, "collect", lambda which=ALL: found.append(which))
    looked = collecting.look(waiting=waiting, lasting=lasting, resting=resting)
    assert (found, looked) == (made, made == [ALL])


async def test_nobody_who_asks_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    async with world() as here:
        await here.ask("galeradb.service.consul")
        monkeypatch.setattr(gc, "get_count", lambda: (0, YOUNG, 0))
        monkeypatch.setattr(gc, "collect", lambda which=ALL: found.append(which))
        here.skip(1.0)
        assert found == [NOT_OLD]
        for _ in range(CALM):
            here.skip(1.0)
        assert here.engine.ticks.resting
        assert found == [*[NOT_OLD] * (CALM + 1), ALL]
        # The tick that was left out is made for who comes now, but for that.
        here._clock.offset += REST - 1
        await here.ask("galeradb.service.consul")
        assert not here.engine.ticks.resting
        assert found[CALM + 2 :] == []
        here.skip(1.0)
        assert found[CALM + 2 :] == [NOT_OLD]
