"""Failover records that a publisher checks itself: when they are pushed, and what is remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config.failover import CheckerSettings, FailoverSettings
from consulfwd.failover.model import Address, Outcome, Result
from consulfwd.zones.publish.moves import Moves, ttl_of
from consulfwd.zones.zone import Zone
from tests.zones.made import ORIGIN, service, settings, shown
from tests.zones.publish.world import WALL, Consul, Published, Target, now, play, until

WWW = f"www.{ORIGIN}"
ONE, TWO = {"www A": "192.0.2.1"}, {"www A": "192.0.2.2"}


def record(**values: Any) -> FailoverSettings:
    given: dict[str, Any] = {
        "pools": [{"addresses": ["192.0.2.1"]}, {"addresses": ["192.0.2.2"]}],
        "check": {"tcp": {"port": 80}},
        "interval": 10,
        **values,
    }
    return FailoverSettings(**given)


class Servers:
    """Those that are checked: `down` fail, and `unasked` cannot be asked."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.unasked: set[str] = set()

    async def check(self, address: Address) -> Outcome:
        ip = str(address.ip)
        if ip in self.unasked:
            return Outcome(Result.ERROR, "no route", 0.0)
        return Outcome(Result.FAIL if ip in self.down else Result.OK, "so it is", 0.0)


async def _at_once(work: Callable[[], Any]) -> Any:
    return work()


def moves(folder: Path, servers: Servers, **options: Any) -> Moves:
    return Moves(
        {WWW: record()},
        CheckerSettings(),
        (),
        folder,
        make_check=lambda name, settings: servers.check,
        clock=now,
        wall=lambda: WALL + now(),
        in_thread=_at_once,
        routed=lambda: True,
        **options,
    )


def placed(found: Moves) -> dict[str, str]:
    zone = Zone(settings(failover=[WWW]), now())
    found.tell(zone)
    return shown(zone.wanted)


def test_a_move_is_pushed_at_once_and_others_keep_their_pace(tmp_path: Path) -> None:
    async def main() -> None:
        servers, target = Servers(), Target()
        consul = Consul(service("web", "a 10.0.0.1"))
        found = moves(tmp_path, servers)
        await found.start()
        slow = settings(failover=[WWW], quiescence=20, interval=300)
        async with Published(slow, consul, target, moves=found) as published:
            await until(lambda: target.pushes)
            web = {"web A": "10.0.0.1"}
            # The first push has it: no push without what a round finds out.
            assert target.holds == {**web, **ONE}
            servers.down.add("192.0.2.1")
            # Three checks, and nothing on top of that.
            assert await until(lambda: target.holds == {**web, **TWO}) < 31
            assert '"a failover record moved"' in published.lines[-1]
            consul.says()
            servers.down.clear()
            assert await until(lambda: target.holds["www A"] == "192.0.2.1") < 21
            assert await until(lambda: "web A" not in target.holds, 1000) > 200
        await found.close()

    play(main)


def test_what_cannot_be_asked_is_not_guessed_and_holds_up_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        servers, target = Servers(), Target()
        servers.unasked |= {"192.0.2.1", "192.0.2.2"}
        found = moves(tmp_path, servers)
        await found.start()
        zone = settings(failover=[WWW])
        consul = Consul(service("web", "a 10.0.0.1"))
        async with Published(zone, consul, target, moves=found):
            assert await until(lambda: target.pushes) < 9
            assert target.holds == {"web A": "10.0.0.1"}
            assert not await found.known()
        await found.close()

    play(main)


@pytest.mark.parametrize("looking", [False, True])
def test_what_is_known_is_remembered_but_by_who_only_looks(tmp_path: Path, looking: bool) -> None:
    async def main() -> None:
        servers = Servers()
        servers.down.add("192.0.2.1")
        found = moves(tmp_path, servers, looking=looking)
        await found.start()
        assert await found.known()
        assert placed(found) == TWO
        await found.close()
        assert [one.name for one in tmp_path.iterdir()] == ([] if looking else ["failover.json"])
        servers.unasked |= {"192.0.2.1", "192.0.2.2"}
        again = moves(tmp_path, servers)
        await again.start()
        assert placed(again) == ({} if looking else TWO)
        await again.close()

    play(main)


def test_where_several_check_it_has_no_word() -> None:
    async def main() -> None:
        checker = CheckerSettings(checkers=("a", "b", "c"), name="a")
        found = Moves({WWW: record()}, checker, (), Path("/nowhere"), looking=True)
        await found.start()
        await asyncio.sleep(0)
        running = found._running
        assert running is not None
        assert (running.me, running.checks_here) == ("", False)
        await found.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("values", "ttl"),
    [
        ({"interval": 10, "fall": 3, "ttl": 60}, 30),
        ({"interval": 10, "fall": 3, "ttl": 20}, 20),
        ({"interval": 0.2, "fall": 2, "ttl": 60, "ttl_min": 5}, 5),
        ({"interval": 0.2, "fall": 2, "ttl_min": 0}, 0),
    ],
)
def test_the_ttl_is_no_longer_than_it_takes_to_move(values: dict[str, Any], ttl: int) -> None:
    assert ttl_of(record(**values)) == ttl
