"""One zone, from what Consul says to what is done: played through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from consulfwd.config.zones import BudgetSettings, DampingSettings
from consulfwd.dns import names
from consulfwd.zones import zone as zone_module
from consulfwd.zones.budget import Allowance
from consulfwd.zones.memory import Memory
from consulfwd.zones.model import Key, Records, RRset, applied
from consulfwd.zones.plan import Plan
from consulfwd.zones.seen import Catalog, Service
from consulfwd.zones.steady import UNDECIDED
from consulfwd.zones.target import Base
from consulfwd.zones.zone import Zone
from tests.zones.made import ORIGIN, catalog, key_text, records, service, set_text, settings, shown


class Play:
    """A zone and one target, which does what it is told."""

    def __init__(
        self,
        held: Mapping[str, str | list[str]] | None = None,
        memory: Memory | None = None,
        now: float = 0,
        foreign: Records | None = None,
        **values: Any,
    ) -> None:
        self.zone = Zone(settings(**values), now, memory)
        self.ours: dict[Key, RRset] = records(held or {})
        self.foreign = foreign or {}
        self.serial = 1
        self.allowance: Allowance | None = None
        self.pushes = 0

    def base(self) -> Base:
        return Base(str(self.serial), dict(self.ours), self.foreign)

    def see(self, now: float, *services: Service, doubt: str = "") -> Plan:
        self.zone.see(catalog(*services, doubt=doubt), now)
        return self.push(now)

    def plan(self, now: float) -> Plan:
        return self.zone.plan(self.base(), now, "here", self.allowance)

    def push(self, now: float) -> Plan:
        """Plan, and do that: what is the same from another point of view is made sure of."""
        plan = self.plan(now)
        if plan.acts:
            self.pushes += 1
            self.ours = applied(self.ours, plan.acts)
            self.serial += 1
            self.zone.pushed(plan, now, str(self.serial))
        return plan

    def names(self) -> dict[str, str]:
        return shown(self.ours)


def held(plan: Plan) -> dict[str, str]:
    """Return what is withheld and why, in short."""
    return {key_text(one.act.key): one.kind.value for one in plan.withheld}


def done(plan: Plan) -> dict[str, str]:
    return {key_text(act.key): set_text(act.key, act.after) for act in plan.acts}


def test_a_first_push_and_then_nothing() -> None:
    play = Play(srv=True)
    web = service("web", "a 10.0.0.1:80", "!b 10.0.0.2:80")
    plan = play.see(0, web)
    assert play.names() == {
        "_web._tcp SRV": f"1 1 80 0a000001.addr.{ORIGIN}.",
        "0a000001.addr A": "10.0.0.1",
        "web A": "10.0.0.1",
    }
    assert plan.before == (0, 0)
    assert plan.after == (3, 2)
    assert plan.appear == {key.name for key in play.ours}
    for now in range(1, 100):
        assert not play.zone.see(catalog(web), now)
        assert not play.zone.wake(now)
        assert not play.push(now).acts
    assert play.pushes == 1


def test_the_briefs_case() -> None:
    """Dashboard on two nodes, Crowd on two: one instance stops, and starts."""
    play = Play(removal_delay=5)
    crowd = service("crowd", "c 10.0.1.1", "d 10.0.1.2")
    both = service("dashboard", "a 10.0.0.1", "b 10.0.0.2")
    play.see(0, crowd, both)
    one = service("dashboard", "!a 10.0.0.1", "b 10.0.0.2")
    assert not play.see(10, crowd, one).acts
    assert play.zone.due() == 15
    assert not play.zone.wake(14.999)
    assert play.zone.wake(15)
    assert done(play.push(15)) == {"dashboard A": "10.0.0.2"}
    assert done(play.see(20, crowd, both)) == {"dashboard A": "10.0.0.1 10.0.0.2"}
    assert play.names()["crowd A"] == "10.0.1.1 10.0.1.2"


def test_deregistered_and_gone_services() -> None:
    play = Play()
    play.see(0, service("web", "a 10.0.0.1"), service("app", "b 10.0.0.2"))
    assert done(play.see(1, service("web", "a 10.0.0.1"))) == {"app A": ""}
    assert done(play.see(2, service("web"))) == {"web A": ""}


def test_a_service_in_doubt_loses_nothing_and_others_do() -> None:
    play = Play()
    play.see(0, service("web", "a 10.0.0.1", "b 10.0.0.2"), service("app", "c 10.0.0.3"))
    plan = play.see(1, service("web", "a 10.0.0.1", "c 10.0.0.3", doubt="stale"))
    assert done(plan) == {"app A": "", "web A": "10.0.0.1 10.0.0.2 10.0.0.3"}
    assert not play.see(2, service("web", doubt="stale")).acts
    assert done(play.see(3, service("web", "a 10.0.0.1"))) == {"web A": "10.0.0.1"}


def test_a_service_in_doubt_after_a_restart() -> None:
    play = Play({"web A": "10.0.0.1 10.0.0.2", "v1.web A": "10.0.0.1"}, tags=["*"])
    plan = play.see(0, service("web", "a 10.0.0.1", doubt="stale"))
    assert held(plan) == {"v1.web A": "doubt", "web A": "doubt"}
    assert {one.why for one in plan.withheld} == {"'web': stale"}
    assert not plan.acts
    web = service("web", "a 10.0.0.1")
    assert play.zone.see(catalog(web), 1)
    assert done(play.push(1)) == {"v1.web A": "", "web A": "10.0.0.1"}


def test_nothing_is_known_yet() -> None:
    play = Play({"web A": "10.0.0.1"})
    plan = play.push(0)
    assert held(plan) == {"web A": "doubt"}
    assert plan.withheld[0].why == "Consul was not heard yet"


def test_a_catalog_in_doubt() -> None:
    play = Play({"old A": "10.0.0.9"})
    web, app = service("web", "a 10.0.0.1"), service("app", "b 10.0.0.2")
    play.see(0, web, app, doubt="partial")
    assert play.names() == {"old A": "10.0.0.9", "web A": "10.0.0.1", "app A": "10.0.0.2"}
    plan = play.see(1, web, doubt="partial")
    # app is still there as far as we know; nobody knows old.
    assert held(plan) == {"old A": "doubt"}
    assert not plan.acts
    # A service of which it is known that it is gone may go.
    assert done(play.see(2, web, service("app"), doubt="partial")) == {"app A": ""}
    assert play.zone.doubt == "partial"
    assert play.zone.see(catalog(web), 3)
    assert done(play.push(3)) == {"old A": ""}


def test_hosts_go_in_spite_of_others_in_doubt_where_they_were_ours() -> None:
    play = Play({"0a000009.addr A": "10.0.0.9"}, srv=True)
    app = service("app", "b 10.0.0.2:80", doubt="stale")
    plan = play.see(0, service("web", "a 10.0.0.1:80"), app)
    assert held(plan) == {"0a000009.addr A": "doubt"}
    assert plan.withheld[0].why == "it may be of 'app': stale"
    assert done(play.see(1, service("web"), app)) == {
        "_web._tcp SRV": "", "0a000001.addr A": "", "web A": ""
    }  # fmt: skip


def test_one_that_comes_back_in_doubt_is_not_certain_to_be_gone() -> None:
    play = Play()
    play.see(0, service("web", "a 10.0.0.1"))
    play.zone.see(catalog(service("web")), 1)
    play.zone.see(catalog(service("web", "!a 10.0.0.1", doubt="stale")), 2)
    assert held(play.plan(2)) == {"web A": "doubt"}


def test_the_last_one_stays_and_that_is_told() -> None:
    play = Play()
    play.see(0, service("web", "a 10.0.0.1", "b 10.0.0.2"))
    play.see(1, service("web", "!a 10.0.0.1", "b 10.0.0.2"))
    plan = play.see(2, service("web", "!a 10.0.0.1", "!b 10.0.0.2"))
    assert play.names() == {"web A": "10.0.0.2"}
    assert [str(one) for one in plan.held] == [
        "web-b on b: unhealthy, and kept as the last there is"
    ]
    assert play.see(3, service("web", "!a 10.0.0.1", "b 10.0.0.2")).held == ()


def test_the_last_one_after_a_restart_without_memory() -> None:
    web = service("web", "!a 10.0.0.1:80 v1")
    first = {"web A": "10.0.0.1", "v1.web A": "10.0.0.1", "old.web A": "10.0.0.1"}
    srv: dict[str, str | list[str]] = {
        "_web._tcp SRV": [f"1 1 80 0a000001.addr.{ORIGIN}."], "0a000001.addr A": "10.0.0.1",
        "_web._old SRV": [f"1 1 80 0a000001.addr.{ORIGIN}."],
    }  # fmt: skip
    play = Play({**first, **srv}, tags=["*"], srv=True)
    plan = play.see(0, web)
    assert held(plan) == {
        "_web._tcp SRV": "last", "0a000001.addr A": "beside", "v1.web A": "last", "web A": "last"
    }  # fmt: skip
    assert done(plan) == {"_web._old SRV": "", "old.web A": ""}
    assert plan.withheld[-1].why == (
        "nothing else is at that name, and 'web' is not gone (last: keep)"
    )
    assert len(play.see(1).acts) == 4
    assert play.names() == {}
    other = Play({**first, **srv}, tags=["*"], srv=True, last="remove")
    assert not other.see(0, web).withheld
    without = Play({**first, **srv}, tags=["*"], srv=False)
    assert "_web._tcp SRV" in done(without.see(0, web))


def test_the_last_one_after_a_restart_with_memory() -> None:
    first = Play()
    first.see(0, service("web", "a 10.0.0.1", "b 10.0.0.2"))
    first.see(1, service("web", "!a 10.0.0.1", "b 10.0.0.2"))
    both = service("web", "!a 10.0.0.1", "!b 10.0.0.2")
    first.see(2, both)
    second = Play({"web A": "10.0.0.2"}, first.zone.memory(2))
    plan = second.see(3, both)
    assert not plan.acts
    assert not plan.withheld
    assert len(plan.held) == 1


def test_an_address_in_the_place_of_the_last_one_comes_and_it_goes() -> None:
    play = Play({"web A": "10.0.0.1"})
    assert done(play.see(0, service("web", "!a 10.0.0.1", "b 10.0.0.2"))) == {"web A": "10.0.0.2"}
    other = Play({"web A": "10.0.0.1"})
    done_ = done(other.see(0, service("web", "!a 10.0.0.1", "b x.example.com")))
    assert done_ == {"web A": "", "web CNAME": "x.example.com."}


def test_unhealthy_when_first_seen() -> None:
    play = Play({"web A": "10.0.0.1 10.0.0.2"}, removal_delay=5)
    plan = play.see(0, service("web", "!a 10.0.0.1", "b 10.0.0.2"))
    assert [one.why for one in plan.withheld] == [f"'web': {UNDECIDED}"]
    assert play.zone.due() == 5
    assert play.zone.wake(5)
    assert done(play.push(5)) == {"web A": "10.0.0.2"}


def test_names_nobody_explains_go() -> None:
    play = Play({"old A": "10.0.0.9", "web TXT": ['"x"'], "a.b.c A": "10.0.0.9"})
    assert done(play.see(0, service("web", "a 10.0.0.1"))) == {
        "a.b.c A": "", "old A": "", "web A": "10.0.0.1", "web TXT": ""
    }  # fmt: skip


def test_others_records_cost_their_name() -> None:
    play = Play(foreign=records({"web CNAME": "x."}))
    plan = play.see(0, service("web", "a 10.0.0.1"), service("app", "a 10.0.0.1"))
    assert held(plan) == {"web A": "foreign"}
    assert play.names() == {"app A": "10.0.0.1"}
    assert not play.push(1).acts
    play.foreign = {}
    play.serial += 1
    assert done(play.push(2)) == {"web A": "10.0.0.1"}


def test_what_others_changed_is_put_right() -> None:
    play = Play()
    play.see(0, service("web", "a 10.0.0.1"), service("app", "a 10.0.0.1"))
    play.ours = records({"web A": "10.0.0.1 10.6.6.6", "evil A": "10.6.6.6"})
    # As long as it has the mark that we left, it is not looked at.
    assert not play.plan(1).acts
    play.serial += 1
    assert done(play.push(2)) == {"app A": "10.0.0.1", "evil A": "", "web A": "10.0.0.1"}


def test_a_target_without_a_mark_is_always_looked_at() -> None:
    zone = Zone(settings(), 0)
    zone.see(catalog(service("web", "a 10.0.0.1")), 0)
    assert len(zone.plan(Base("", {}), 0).acts) == 1
    assert len(zone.plan(Base("", zone.wanted), 0).acts) == 0
    assert len(zone.plan(Base("", {}), 0).acts) == 1


TEN = tuple(service(f"s{at}", f"a 10.0.0.{at}") for at in range(10))


def test_the_budget() -> None:
    play = Play()
    play.see(0, *TEN)
    plan = play.see(1, *TEN[5:], service("new", "a 10.0.1.1"))
    assert done(plan) == {"new A": "10.0.1.1", "s0 A": "", "s1 A": "", "s2 A": ""}
    assert held(plan) == {"s3 A": "budget", "s4 A": "budget"}
    assert plan.over == 4
    assert plan.over_of == ("s3", "s4")
    assert plan.command == f"consulfwd zone apply {ORIGIN} --allow 4"
    assert plan.after == (8, 8)
    assert play.zone.due() == 3_601
    assert not play.push(3_600.9).acts
    assert play.zone.wake(3_601) is True
    assert done(play.push(3_601)) == {"s3 A": "", "s4 A": ""}
    assert play.zone.due() is None


def test_all_of_a_service_waits() -> None:
    given = [
        service(f"s{at}", f"a 10.0.0.{2 * at}:80 v1", f"b 10.0.0.{2 * at + 1}:80 v1")
        for at in range(5)
    ]
    play = Play(srv=True, tags=["*"])
    play.see(0, *given)
    plan = play.see(1, *given[3:])
    assert {one.kind.value for one in plan.withheld} == {"budget"}
    assert plan.over_of == ("s1", "s2")
    assert plan.before == (30, 30)
    assert plan.after == (24, 24)
    assert plan.over == 24
    for key, data in play.names().items():
        assert "s0" not in key
        if "SRV" in key:
            hosts = [one.removesuffix(f".{ORIGIN}.") for one in data.split()[3::4]]
            assert all(f"{host} A" in play.names() for host in hosts)
    assert len(play.see(3_601, *given[3:]).acts) == 6


def test_a_host_of_several_services_stays_with_the_last() -> None:
    given = [service(f"s{at}", "a 10.0.0.1:80") for at in range(5)]
    play = Play(srv=True, budget=BudgetSettings(percent=20))
    play.see(0, *given)
    plan = play.see(1)
    # 11 names: two may go. The first service is charged with the host, and is too large by that.
    assert {key.split()[0] for key in done(plan)} == {"s0", "_s0._tcp"}
    assert held(plan)["0a000001.addr A"] == "budget"


def test_a_name_too_large_for_any_hour_goes_in_parts() -> None:
    play = Play()
    old = [f"n{at} 10.0.0.{at}" for at in range(10)]
    play.see(0, service("web", *old))
    plan = play.see(1, service("web", "x 10.0.1.1", "y 10.0.1.2"))
    assert done(plan) == {
        "web A": " ".join(f"10.0.0.{at}" for at in range(3, 10)) + " 10.0.1.1 10.0.1.2"
    }
    assert held(plan) == {"web A": "budget"}
    assert plan.over == 7
    for hour in range(1, 4):
        play.push(1 + 3_600 * hour)
    assert play.names() == {"web A": "10.0.1.1 10.0.1.2"}
    gone = Play()
    gone.see(0, service("web", *old))
    for hour in range(4):
        gone.see(1 + 3_600 * hour)
    assert gone.names() == {}


def test_an_allowance_lets_that_much_go_once() -> None:
    play = Play()
    play.see(0, *TEN)
    plan = play.see(1, *TEN[5:])
    play.allowance = Allowance(plan.over - 1, 100)
    assert not play.push(2).acts
    play.allowance = Allowance(plan.over, 100, frozenset(plan.over_of))
    allowed = play.push(3)
    assert done(allowed) == {"s3 A": "", "s4 A": ""}
    assert allowed.spends
    assert allowed.over == 0
    worse = Play()
    worse.see(0, *TEN)
    plan = worse.see(1, *TEN[5:])
    worse.allowance = Allowance(plan.over, 100, frozenset(plan.over_of))
    found = worse.see(2, *TEN[6:])
    assert not found.acts
    assert found.over == 6


def test_the_budget_is_remembered() -> None:
    play = Play()
    play.see(0, *TEN)
    play.see(1, *TEN[3:])
    again = Play(None, play.zone.memory(10), now=10)
    again.ours = play.ours
    assert held(again.see(11, *TEN[4:])) == {"s3 A": "budget"}
    forgetful = Play()
    forgetful.ours = play.ours
    # Seven are few: all of them may go.
    assert not forgetful.see(11, *TEN[4:]).withheld
    # What no target was planned for is remembered as long as it matters, and grows old.
    idle = Zone(settings(), 10, play.zone.memory(10))
    assert {age for age, _ in idle.memory(20).spent["here"].names} == {19}
    assert idle.memory(3_600.9).spent.keys() == {"here"}
    assert idle.memory(3_601).spent.keys() == set()


@pytest.mark.parametrize("size", [100, 1_000])
def test_29_percent_a_minute_for_ten_minutes(size: int) -> None:
    services = [service(f"s{at:04}", f"a 10.0.{at // 250}.{at % 250}") for at in range(size)]
    play = Play()
    play.see(0, *services)
    for minute in range(1, 11):
        for step in range(60):
            play.zone.wake(60.0 * minute + step)
        services = services[size * 29 // 100 :] if len(services) > size * 29 // 100 else []
        play.see(60.0 * minute, *services)
        assert len(play.ours) >= size * 70 // 100
    assert len(play.ours) == size * 70 // 100
    plan = play.push(601)
    assert len(plan.withheld) == size * 70 // 100
    assert plan.over == 2 * size * 70 // 100
    # Additions go on.
    assert done(play.see(602, service("new", "a 10.9.9.9"))) == {"new A": "10.9.9.9"}


def flapping(play: Play, down: float, period: float) -> None:
    others = service("app", "c 10.0.1.1", "d 10.0.1.2")
    up = service("web", "a 10.0.0.1", "b 10.0.0.2")
    off = service("web", "!a 10.0.0.1", "b 10.0.0.2")
    changes = [(at * period, off) for at in range(int(1_800 / period))]
    changes += [(at + down, up) for at, _ in changes]
    play.see(-1, others, up)
    play.pushes = 0
    for now, said in sorted(changes, key=lambda one: one[0]):
        while (due := play.zone.due()) is not None and due <= now:
            play.zone.wake(due)
            play.push(due)
        play.see(now, others, said)
        assert play.names()["app A"] == "10.0.1.1 10.0.1.2"
        assert "10.0.0.2" in play.names()["web A"]


def test_an_instance_that_flaps_for_half_an_hour() -> None:
    for down, delay, damped, pushes in (
        (4.9, 5, False, 0),
        (5, 5, False, 360),
        (5, 5.1, False, 0),
        (6, 5, False, 360),
        (5, 4, False, 360),
        (6, 5, True, 13),
        (5, 4, True, 13),
        (9.9, 0, True, 13),
    ):
        play = Play(removal_delay=delay, damping=DampingSettings(enabled=damped), now=-1)
        flapping(play, down, 10)
        assert play.pushes == pushes, (down, delay, damped)
        if damped:
            assert play.names()["web A"] == "10.0.0.2"
            due = play.zone.due()
            while due is not None and not play.zone.wake(due):
                due = play.zone.due()
            # An hour after the last flap it is offered again.
            assert due is not None
            assert 1_790 + 3_600 <= due <= 1_800 + 3_600
            assert play.push(due).acts


def test_one_that_is_held_back_is_told() -> None:
    play = Play(damping=DampingSettings(enabled=True, suppress=1))
    play.see(0, service("web", "a 10.0.0.1", "b 10.0.0.2"))
    play.see(1, service("web", "!a 10.0.0.1", "b 10.0.0.2"))
    plan = play.see(2, service("web", "a 10.0.0.1", "b 10.0.0.2"))
    assert not plan.acts
    why = "it comes and goes: held back by damping"
    assert [str(one) for one in plan.held] == [f"web-a on a: {why}"]
    # Where there is nobody else, it is offered all the same.
    play.see(3, service("web", "a 10.0.0.1"))
    assert play.names() == {"web A": "10.0.0.1"}


def test_a_name_that_keeps_another_type_does_not_vanish() -> None:
    play = Play({"web TXT": ['"old"'], "web A": "10.0.0.1"})
    plan = play.see(0, service("web", "a 10.0.0.1"))
    assert done(plan) == {"web TXT": ""}
    assert plan.vanish == frozenset()
    assert plan.before == plan.after == (1, 1)


def test_the_budget_counts_one_that_flaps_once() -> None:
    play = Play()
    services = [service(f"s{at}", f"a 10.0.0.{at}", f"b 10.0.1.{at}") for at in range(10)]
    play.see(0, *services)
    off = service("s0", "!a 10.0.0.0", "b 10.0.1.0")
    for now in range(1, 200, 2):
        play.see(now, off, *services[1:])
        play.see(now + 1, *services)
    gone = [service(f"s{at}", f"b 10.0.1.{at}") for at in range(6)]
    assert not play.see(300, *gone, *services[6:]).withheld


def test_several_datacenters_are_one_service() -> None:
    play = Play(datacenters=["dc1", "dc2"], datacenter_names=True)
    one = service("web", "a 10.0.0.1", datacenter="dc1")
    two = service("web", "b 10.0.0.2", datacenter="dc2")
    three = service("web", "c 10.0.0.3", datacenter="dc3")
    play.see(0, one, two, three)
    assert play.names() == {
        "web A": "10.0.0.1 10.0.0.2", "web.dc1 A": "10.0.0.1", "web.dc2 A": "10.0.0.2"
    }  # fmt: skip
    doubtful = Service("dc2", "web", (), "cut off")
    assert not play.see(1, one, doubtful).acts
    assert done(play.see(2, one)) == {"web A": "10.0.0.1", "web.dc2 A": ""}


def test_a_datacenter_in_doubt_after_a_restart() -> None:
    play = Play({"web A": "10.0.0.1 10.0.0.2"}, datacenters=["dc1", "dc2"])
    one = service("web", "a 10.0.0.1", datacenter="dc1")
    plan = play.see(0, one, Service("dc2", "web", (), "cut off"))
    assert [each.why for each in plan.withheld] == ["'web': cut off"]
    assert done(play.see(1, one, Service("dc2", "web", ()))) == {"web A": "10.0.0.1"}


def test_a_name_given_up_while_another_datacenter_is_in_doubt() -> None:
    play = Play(datacenters=["dc1", "dc2"], tags=["*"])
    two = Service("dc2", "web", (), "cut off")
    play.see(0, service("web", "a 10.0.0.1 v1", datacenter="dc1"), two)
    plan = play.see(1, service("web", "a 10.0.0.1", datacenter="dc1"), two)
    assert held(plan) == {"v1.web A": "doubt"}


def test_a_service_that_is_known_loses_addresses_whatever_the_catalog_is_in() -> None:
    play = Play()
    play.see(0, service("web", "a 10.0.0.1", "b 10.0.0.2"), doubt="partial")
    assert done(play.see(1, service("web", "a 10.0.0.1"), doubt="partial")) == {"web A": "10.0.0.1"}


def test_srv_records_go_where_those_who_are_offered_have_no_port() -> None:
    play = Play(srv=True)
    play.see(0, service("web", "a 10.0.0.1:80"))
    assert done(play.see(1, service("web", "a 10.0.0.1"))) == {
        "_web._tcp SRV": "", "0a000001.addr A": ""
    }  # fmt: skip


def test_services_that_are_not_taken_are_not_there() -> None:
    play = Play(services=["web"])
    assert done(play.see(0, service("web", "a 10.0.0.1"), service("app", "a 10.0.0.1"))) == {
        "web A": "10.0.0.1"
    }
    assert not play.zone.changed([service("app", "b 10.0.0.2")], 1)


def test_only_what_changed() -> None:
    play = Play()
    web, app = service("web", "a 10.0.0.1"), service("app", "b 10.0.0.2")
    play.see(0, web, app)
    assert play.zone.changed([service("web", "a 10.0.0.1", "c 10.0.0.3")], 1)
    assert done(play.push(1)) == {"web A": "10.0.0.1 10.0.0.3"}
    assert not play.zone.changed([app], 2)


def test_the_catalog_may_come_out_of_doubt_by_itself() -> None:
    play = Play({"old A": "10.0.0.9"})
    web = service("web", "a 10.0.0.1")
    play.see(0, web, doubt="partial")
    assert not play.zone.doubted("partial")
    assert play.zone.doubted("")
    assert done(play.push(1)) == {"old A": ""}
    assert not play.zone.doubted("")


def test_what_is_the_very_same_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Play()
    web, app = service("web", "a 10.0.0.1"), service("app", "b 10.0.0.2")
    play.see(0, web, app)
    looked = []
    see = play.zone._steady.see

    def counted(one: Service, now: float) -> bool:
        looked.append(one.name)
        return see(one, now)

    monkeypatch.setattr(play.zone._steady, "see", counted)
    assert not play.zone.see(catalog(web, app), 1)
    assert looked == []
    play.see(2, web, service("app", "b 10.0.0.2", "c 10.0.0.3"))
    assert looked == ["app"]
    play.see(3, web)
    play.see(4, web, app)
    assert looked == ["app", "app", "app"]


def test_what_waits_is_no_reason_to_plan_again_and_again() -> None:
    play = Play()
    play.see(0, *TEN)
    play.see(1, *TEN[5:])
    assert not play.zone.wake(2)
    assert not play.zone.see(catalog(*TEN[5:]), 2)


def test_only_so_many_names_are_remembered_as_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zone_module, "MOST_CERTAIN", 4)
    play = Play()
    play.see(0, *TEN)
    play.see(1, *TEN[5:])
    assert not play.zone._certain
    play.see(2, *TEN[6:])
    assert len(play.zone._certain) == 1


def test_a_digest_of_what_consul_said() -> None:
    one, two = Zone(settings(), 0), Zone(settings(), 0)
    web, app = service("web", "a 10.0.0.1"), service("app", "b 10.0.0.2")
    one.see(catalog(web, app), 0)
    two.see(catalog(app), 5)
    assert one.catalog != two.catalog
    two.changed([service("web", "a 10.0.0.9")], 6)
    assert one.catalog != two.catalog
    two.changed([service("web", "a 10.0.0.1", doubt="stale")], 6)
    assert one.catalog == two.catalog
    one.see(Catalog({}), 1)
    assert one.catalog == "0" * 64
    one.changed([service("web", "!a 10.0.0.1")], 2)
    before = one.catalog
    one.changed([service("web", "-a 10.0.0.1")], 2)
    assert one.catalog != before


def test_two_targets_each_get_what_they_lack() -> None:
    zone = Zone(settings(), 0)
    zone.see(catalog(service("web", "a 10.0.0.1")), 0)
    first = zone.plan(Base("1", {}), 0, "x")
    zone.pushed(first, 0, "2")
    zone.changed([service("app", "a 10.0.0.1")], 1)
    assert len(zone.plan(Base("2", zone.wanted), 2, "x").acts) == 0
    second = zone.plan(Base("7", {}), 2, "y")
    assert len(second.acts) == 2
    held_ = applied({}, first.acts)
    assert len(zone.plan(Base("9", held_), 3, "x").acts) == 1
    assert zone.memory(3).spent.keys() == {"x", "y"}


def test_a_change_between_plan_and_push_is_not_lost() -> None:
    play = Play()
    play.zone.see(catalog(service("web", "a 10.0.0.1")), 0)
    plan = play.plan(0)
    play.zone.changed([service("web", "b 10.0.0.2")], 1)
    play.ours = applied({}, plan.acts)
    play.serial += 1
    play.zone.pushed(plan, 2, str(play.serial))
    assert done(play.push(3)) == {"web A": "10.0.0.2"}


def test_a_push_by_a_plan_of_another_state_has_all_compared() -> None:
    play = Play()
    play.zone.see(catalog(service("web", "a 10.0.0.1")), 0)
    plan = play.plan(0)
    play.serial += 1
    play.plan(1)
    play.ours = records({"evil A": "10.6.6.6"})
    play.zone.pushed(plan, 2, str(play.serial))
    assert done(play.push(3)) == {"evil A": "", "web A": "10.0.0.1"}


def test_aliases_and_what_is_in_their_place() -> None:
    play = Play(aliases={"www": "web", "app": "web"})
    plan = play.see(0, service("web", "a 10.0.0.1"), service("app", "a 10.0.0.2"))
    assert play.names() == {
        "app CNAME": f"web.{ORIGIN}.", "web A": "10.0.0.1", "www CNAME": f"web.{ORIGIN}."
    }  # fmt: skip
    assert [str(one) for one in plan.objections] == [
        f"'app': the name app.{ORIGIN}. is that of an alias"
    ]
    assert not done(play.see(1, service("web", "a 10.0.0.1")))
    gone = Play({"www CNAME": f"web.{ORIGIN}."})
    assert done(gone.see(0)) == {"www CNAME": ""}


def test_a_reverse_zone() -> None:
    given: dict[str, Any] = {"origin": "10.in-addr.arpa", "names_in": ORIGIN}
    where = "1.0.0.10.in-addr.arpa. PTR"
    play = Play({where: f"old.{ORIGIN}. web.{ORIGIN}."}, **given)
    web = service("web", "a 10.0.0.1")
    plan = play.see(0, web, Service("", "old", (), "stale"))
    assert held(plan) == {where: "doubt"}
    plan = play.see(1, web, doubt="partial")
    assert held(plan) == {where: "doubt"}
    assert done(play.see(2, web)) == {where: f"web.{ORIGIN}."}
    assert done(play.see(3)) == {where: ""}


def test_a_view_is_in_the_plan_and_its_command() -> None:
    play = Play(view="in side", budget=BudgetSettings(percent=0))
    play.see(0, *TEN)
    plan = play.see(1, *TEN[1:])
    assert plan.view == "in side"
    assert plan.command == f"consulfwd zone apply {ORIGIN} --allow 2 --view 'in side'"


def test_services_that_are_gone_count_alike_for_whoever_did_not_see_them_go() -> None:
    # One that saw them go, and one that begins anew and has what the target holds.
    there = [service(f"s{n}", f"n{n} 10.0.1.{n + 1}:80 v{n}") for n in range(12)]
    values: dict[str, Any] = {"srv": True, "tags": ["*"]}
    saw = Play(**values)
    saw.see(0, *there)
    saw.zone.see(catalog(*there[:2]), 1)
    new = Play(**values)
    new.ours = dict(saw.ours)
    new.zone.see(catalog(*there[:2]), 1)
    plans = saw.plan(1), new.plan(1)
    assert plans[0].over == plans[1].over > 0
    assert plans[0].over_of == plans[1].over_of
    assert [one.key for one in plans[0].acts] == [one.key for one in plans[1].acts]
    # Each goes as a whole.
    first, *_ = plans[1].over_of
    withheld = {names.to_text(one.act.key.name) for one in plans[1].withheld}
    number = first.removeprefix("s")
    for name in ("", f"v{number}.", f"_{first}._tcp.", f"_{first}._v{number}."):
        owner = f"{name}{ORIGIN}." if name.startswith("_") else f"{name}{first}.{ORIGIN}."
        assert owner in withheld
