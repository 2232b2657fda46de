"""Names that move with health, in a zone: what they may do, and what nobody may do to them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.config.zones import BudgetSettings
from consulfwd.dns import names
from consulfwd.errors import ConfigError
from consulfwd.zones.memory import Memory
from consulfwd.zones.moving import UNKNOWN, Placed
from consulfwd.zones.reasons import Reasons
from consulfwd.zones.zone import Zone
from tests.zones.made import ORIGIN, catalog, records, service, settings
from tests.zones.test_zone import Play, done, held

WWW = f"www.{ORIGIN}"


def at(*addresses: str, ttl: int = 20) -> Placed:
    return Placed(frozenset(ip_address(one).packed for one in addresses), ttl, "as it is")


def moving(there: dict[str, Any] | None = None, **values: Any) -> Play:
    play = Play(there, **{"failover": [WWW], **values})
    play.see(0)
    return play


def test_a_name_moves_with_the_records_ttl() -> None:
    play = moving()
    assert play.zone.moved({WWW: at("192.0.2.1", "2001:db8::1")})
    assert done(play.push(1)) == {"www A": "192.0.2.1", "www AAAA": "2001:db8::1"}
    assert {one.ttl for one in play.ours.values()} == {20}
    assert not play.zone.moved({WWW: at("192.0.2.1", "2001:db8::1")})
    assert play.zone.moved({WWW: at("192.0.2.2")})
    assert done(play.push(2)) == {"www A": "192.0.2.2", "www AAAA": ""}


def test_while_it_is_not_known_what_is_there_stays_and_no_service_gets_the_name() -> None:
    play = moving({"www A": "192.0.2.1"})
    plan = play.see(1, service("www", "a 10.0.0.1"))
    assert not plan.acts
    assert [one.why for one in plan.withheld] == [UNKNOWN]
    told = [str(one) for one in plan.objections]
    assert told == [
        f"the failover record {WWW}: {UNKNOWN}",
        f"'www': the name {WWW}. is that of a failover record",
    ]
    assert play.zone.moved({WWW: at("192.0.2.2")})
    assert done(play.push(2)) == {"www A": "192.0.2.2"}
    # What was known stays known.
    assert not play.zone.moved({WWW: None})
    assert not play.push(3).acts


def test_no_doubt_about_services_holds_a_move() -> None:
    play = Play({"www A": "192.0.2.1", "app A": "10.0.0.1"}, failover=[WWW])
    play.see(1, service("www", "a 10.0.0.9", doubt="stale"), doubt="partial")
    play.zone.moved({WWW: at("192.0.2.2")})
    plan = play.push(2)
    assert done(plan) == {"www A": "192.0.2.2"}
    assert held(plan) == {"app A": "doubt"}


def test_a_move_neither_waits_for_the_budget_nor_uses_it_up() -> None:
    many = [f"w{one}.{ORIGIN}" for one in range(20)]
    budget = BudgetSettings(percent=10, least=1)
    web, one_less = service("web", "a 10.0.0.1", "b 10.0.0.2"), service("web", "a 10.0.0.1")
    play = Play(failover=many, budget=budget)
    play.zone.moved(dict.fromkeys(many, at("192.0.2.1")))
    play.see(0, web)
    for now in range(1, 5):
        play.zone.moved(dict.fromkeys(many, at(f"192.0.2.{now + 1}")))
        plan = play.plan(now)
        assert not plan.withheld
        assert not play.zone.begun(plan, now)
        assert len(play.push(now).acts) == 20
    assert done(play.see(10, one_less)) == {"web A": "10.0.0.1"}


def test_names_that_end_are_counted() -> None:
    many = [f"w{one}.{ORIGIN}" for one in range(20)]
    play = Play(failover=many, budget=BudgetSettings(percent=10, least=1))
    play.zone.moved(dict.fromkeys(many, at("192.0.2.1")))
    play.see(0)
    play.zone.moved(dict.fromkeys(many, at()))
    plan = play.push(1)
    assert (len(plan.acts), len(plan.withheld)) == (2, 18)
    assert {one.kind.value for one in plan.withheld} == {"budget"}


def test_it_moves_also_where_memory_cannot_be_written() -> None:
    play = Play({"www A": "192.0.2.1", "app A": "10.0.0.1"}, failover=[WWW])
    play.zone.moved({WWW: at("192.0.2.2")})
    plan = play.zone.plan(play.base(), 1, "here", hold="no memory")
    assert done(plan) == {"www A": "192.0.2.2"}
    assert held(plan) == {"app A": "memory"}


def test_others_records_are_not_touched_and_what_is_taken_out_goes() -> None:
    play = Play(foreign=records({"www A": "192.0.2.9"}), failover=[WWW])
    play.zone.moved({WWW: at("192.0.2.1")})
    assert held(play.see(0)) == {"www A": "foreign"}
    assert done(Play({"www A": "192.0.2.1"}).see(0)) == {"www A": ""}


def test_what_is_said() -> None:
    play = moving()
    name = names.from_text(WWW)
    assert play.zone.moving.said(name) == f"{WWW} is a failover record: {UNKNOWN}"
    play.zone.moved({WWW: at()})
    assert play.zone.moving.told() == (f"{WWW} is a failover record: as it is",)
    assert [str(one) for one in play.plan(1).objections] == [
        f"the failover record {WWW}: it has no address: as it is"
    ]
    assert play.zone.moving.said(names.from_text("a.example")) == ""


def test_a_person_who_asks_is_told() -> None:
    zone = Zone(settings(failover=[WWW]), 0)
    zone.see(catalog(service("web", "a 10.0.0.1")), 0)
    meant = Reasons(zone, Memory()).of("www")
    assert meant.names == (names.from_text(WWW),)
    assert meant.said[0] == f"{WWW} is a failover record: {UNKNOWN}"
    zone.moved({WWW: at("192.0.2.1")})
    assert Reasons(zone, Memory()).of(WWW).said == (f"{WWW} is a failover record: as it is",)
    assert not any("failover" in one for one in Reasons(zone, Memory()).of("web").said)


RECORD: Any = {"pools": [{"addresses": ["192.0.2.1"]}], "check": {"tcp": {"port": 80}}}


def test_all_that_is_wrong_in_the_settings_is_said_at_once() -> None:
    zones: Any = [
        {
            "origin": ORIGIN,
            "aliases": {"www": "web"},
            "failover": [WWW, WWW, f"no.{ORIGIN}", f"a.addr.{ORIGIN}", "a.example", f"m.{ORIGIN}"],
        },
        {"origin": "2.0.192.in-addr.arpa", "names_in": ORIGIN, "failover": [WWW]},
    ]
    named = {
        **dict.fromkeys((WWW, f"a.addr.{ORIGIN}", "a.example"), RECORD),
        f"m.{ORIGIN}": {**RECORD, "failback": "manual"},
    }
    with pytest.raises(ConfigError) as error:
        Settings(zones=zones, failover=named)
    assert [(one.where, one.what) for one in error.value.problems] == [
        ("zones[0].failover[0]", f"{WWW} is an alias, too"),
        ("zones[0].failover[1]", f"{WWW} is in the list already"),
        ("zones[0].failover[2]", f"no.{ORIGIN} is no name of failover"),
        (
            "zones[0].failover[3]",
            f"a.addr.{ORIGIN} is among the names of addresses, below addr.{ORIGIN}",
        ),
        ("zones[0].failover[4]", "a.example is not in the zone"),
        (
            "zones[0].failover[5]",
            f"m.{ORIGIN} goes back by order, and a publisher is given none",
        ),
        (
            "zones[1].failover[0]",
            "2.0.192.in-addr.arpa is a reverse zone, where no name has addresses",
        ),
    ]
