"""What is told while a push goes on."""

from __future__ import annotations

import logging

import pytest

from consulfwd.zones.publish.pushing import LONG_PUSH
from tests.zones.made import service, settings
from tests.zones.publish.world import Consul, Published, Target, after, play, until

ZONE = settings(quiescence=1, interval=5)


@pytest.mark.parametrize("names", [LONG_PUSH - 1, LONG_PUSH])
def test_of_a_push_that_takes_long_it_is_told_how_far_it_is(
    names: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        every = [service(f"s{n}", f"n{n} 10.0.{n // 250}.{n % 250}") for n in range(names)]
        target = Target()
        async with Published(ZONE, Consul(*every), target, in_thread=after(25)):
            await until(lambda: target.pushes)

    caplog.set_level(logging.INFO)
    play(main)
    said = [one for one in caplog.messages if "take its time" in one or "at it" in one]
    told = [f"there: {names} changes are pushed, which may take its time",
            "there: at it for 10 s", "there: at it for 20 s"]  # fmt: skip
    assert said == (told if names >= LONG_PUSH else [])
