"""Names that move with health at a running resolver: answered, seen, ordered, reloaded.

Checks are made by hand here: what was found is noted in the book.
"""

from __future__ import annotations

import asyncio
import logging
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from consulfwd.failover.checks.making import Making
from consulfwd.failover.model import Address, Check, Outcome, Result
from consulfwd.failover.serving import Serving
from consulfwd.net import mishaps
from consulfwd.ops.text.ordered import explanation
from consulfwd.ops.watched import OrderError
from tests.net.recursor import Recursor
from tests.net.world import World, world

NAME = "www.example.test"
FIRST, SECOND = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def unchecked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing checked, and states remembered in a folder of the test's."""

    async def never(address: Address) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    def made(making: Making, name: str, record: object) -> Check:
        return never

    monkeypatch.setattr(Making, "__call__", made)
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))


def record(**values: Any) -> dict[str, Any]:
    pools = [{"addresses": [FIRST]}, {"addresses": [SECOND]}]
    return {"pools": pools, "check": {"tcp": {"port": 80}}, "fall": 2, "rise": 2, **values}


def note(here: World, address: str, *results: Result) -> None:
    """Have checks of an address come to these results."""
    book = here.server.book
    assert book is not None
    for result in results:
        for name, one in [*book.targets()]:
            if one.ip == ip_address(address):
                book.noted(name, one, Outcome(result, f"said {result.value}", 0.01))


async def test_a_name_moves_with_health(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consulfwd.failover")
    async with Recursor() as recursor, world(recursor, failover={NAME: record()}) as here:
        reply = await here.ask(NAME)
        assert reply.rcode == "SERVFAIL"
        assert reply.ede[0][0] == 14
        assert f"{NAME} is not answered yet" in here.watched.snapshot().faults[0]
        note(here, FIRST, Result.OK)
        note(here, SECOND, Result.OK)
        assert (await here.ask(NAME)).data == [FIRST]
        assert here.watched.snapshot().faults == ()
        note(here, FIRST, Result.FAIL)
        reply = await here.ask(NAME)
        assert reply.data == [FIRST]
        # Checks that fail may make it another in a moment.
        assert max(reply.ttls) < 30
        note(here, FIRST, Result.FAIL)
        assert (await here.ask(NAME, tcp=True)).data == [SECOND]
        assert (await here.ask(NAME, "AAAA")).rcode == "NOERROR"
        assert recursor.asked == []
        said = (await here.ask(f"_failover.{NAME}", "TXT", tcp=True)).data
        assert any(f"{FIRST} (primary): down for" in one and "said fail" in one for one in said)
        assert any("is answered with 192.0.2.2" in one for one in caplog.messages)
        (seen,) = here.watched.snapshot().failover
        assert (seen.name, seen.pool, seen.answer) == (NAME, "secondary", (SECOND,))
        assert any("is answered by secondary" in one for one in here.watched.snapshot().faults)
        assert "is answered by secondary" in here.watched.line()
        told = here.watched.order("explain", {"name": NAME})
        assert told["kind"] == "answered here by health"
        assert told["now"] == f"{SECOND}: answered here"
        assert any(f"{FIRST} (primary): down" in one for one in told["moves"])
        lines = [text for _, text in explanation(told)]
        assert lines[3].startswith("  moves   secondary, 192.0.2.2 for")
        assert lines[4].startswith("          192.0.2.1 (primary): down for")


async def test_what_is_known_outlives_a_reload() -> None:
    async with world(failover={NAME: record()}) as here:
        note(here, FIRST, Result.FAIL, Result.FAIL)
        note(here, SECOND, Result.OK)
        assert (await here.ask(NAME)).data == [SECOND]
        settings = here.server.settings
        other = settings.replace(failover={NAME: record(ttl=7), "b.example.test": record()})
        await here.server.reload(other)
        reply = await here.ask(NAME)
        assert (reply.data, reply.ttls) == ([SECOND], {7})
        assert (await here.ask("b.example.test")).rcode == "SERVFAIL"
        await here.server.reload(settings.replace(failover={}))
        assert here.server.book is None
        assert here.watched.snapshot().failover == ()
        # It is anybody's again: of recursors there are none here.
        assert (await here.ask(NAME)).ede[0][0] != 14
        with pytest.raises(OrderError, match="no names that move"):
            here.watched.order("unforce", {"glob": "*"})


async def test_orders() -> None:
    async with world(failover={NAME: record(failback="manual")}) as here:
        note(here, FIRST, Result.OK)
        note(here, SECOND, Result.OK)
        values = {"glob": f"{NAME}/{FIRST}", "to": "down", "seconds": 60, "reason": "work"}
        told = here.watched.order("force", {**values, "by": "anna"})
        assert told["records"] == [NAME]
        assert (await here.ask(NAME)).data == [SECOND]
        snapshot = here.watched.snapshot()
        # Done on purpose: no fault.
        assert snapshot.faults == ()
        assert "is down by order of anna" in snapshot.failover[0].forces[0]
        told = here.watched.order("unforce", {"glob": "*"})
        assert [one["glob"] for one in told["forces"]] == [f"{NAME}/{FIRST}"]
        assert (await here.ask(NAME)).data == [SECOND]
        assert "waits for an order" in here.watched.snapshot().faults[0]
        assert here.watched.order("failback", {"glob": "*"}) == {"records": [NAME]}
        assert (await here.ask(NAME)).data == [FIRST]


@pytest.mark.parametrize(
    ("order", "values", "status"),
    [
        ("force", {"glob": NAME, "to": "sideways"}, 400),
        ("force", {"glob": "nobody", "to": "up"}, 400),
        ("force", {"glob": NAME, "to": "up", "seconds": 0}, 400),
        ("force", {"glob": NAME, "to": "up", "seconds": 10**9}, 400),
        ("force", {"glob": NAME, "to": "up", "reason": "a\nb"}, 400),
        ("force", {"glob": NAME, "to": "up", "by": "x" * 61}, 400),
        ("force", {"glob": NAME, "to": "up", "more": 1}, 400),
        ("unforce", {"glob": NAME}, 409),
        ("failback", {"glob": "nobody"}, 400),
        ("failback", {}, 400),
    ],
)
async def test_orders_that_are_not_carried_out(
    order: str, values: dict[str, Any], status: int
) -> None:
    async with world(agents=1, failover={NAME: record()}) as here:
        with pytest.raises(OrderError) as error:
            here.watched.order(order, values)
        assert error.value.status == status
        assert here.server.book is not None
        assert here.server.book.forces == ()


async def test_an_alias_may_lead_to_a_name_that_moves() -> None:
    zone = {("alias.test", "A"): [f"CNAME {NAME}."]}
    async with Recursor(zone) as recursor, world(recursor, failover={NAME: record(ttl=5)}) as here:
        note(here, FIRST, Result.OK)
        note(here, SECOND, Result.OK)
        reply = await here.ask("alias.test")
        assert [one.split()[-1] for one in reply.answers] == [f"{NAME}.", FIRST]
        assert min(reply.ttls) <= 5


async def test_what_is_remembered_is_answered_at_once() -> None:
    for start in range(3):
        async with world(agents=1, failover={NAME: record()}) as here:
            if not start:
                note(here, FIRST, Result.FAIL, Result.FAIL)
                note(here, SECOND, Result.OK)
            # The primary is down: nobody guesses that it is back.
            assert (await here.ask(NAME)).data == [SECOND]


async def test_an_error_of_checks_costs_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a test")

    told: list[str] = []
    monkeypatch.setattr(Serving, "start", fails)
    monkeypatch.setattr(mishaps, "note", lambda loop, what, error: told.append(what))
    async with world(agents=1, failover={NAME: record()}) as here:
        assert (await here.ask("galeradb.service.consul")).rcode == "NOERROR"
        assert (await here.ask(NAME)).rcode == "SERVFAIL"
        assert told == ["names that move are not looked after"]
