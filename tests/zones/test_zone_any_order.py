"""A zone in any order of events: what must never be, looked at after each of them."""

from __future__ import annotations

import random

import pytest

from consulfwd.config.zones import BudgetSettings, DampingSettings
from consulfwd.dns import const, names
from consulfwd.zones import memory as memory_module
from consulfwd.zones import plan_file
from consulfwd.zones.guards import Kind
from consulfwd.zones.model import Act, Key, RRset, applied, counted, difference, owners
from consulfwd.zones.plan import Plan
from consulfwd.zones.seen import Service
from consulfwd.zones.target import Base
from consulfwd.zones.zone import Zone
from tests.zones.made import catalog, records, service, settings

NODES = "abcdef"
NAMES = ("web", "app", "db", "v1.web", "www")
HOUR = 600.0
SETTINGS = settings(
    removal_delay=3, srv=True, tags=["v1", "v2"], aliases={"www": "web"},
    budget=BudgetSettings(percent=30, hour=HOUR),
    damping=DampingSettings(enabled=True, half_life=60, longest=300),
)  # fmt: skip
FOREIGN = records({"mail A": "10.9.9.9", "db TXT": ['"theirs"']})
LIVES, STEPS, PARTS = 10_000, 7, 20


class World:
    """Consul, a publisher with its memory, and a target that others write to as well."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.services: dict[str, Service] = {}
        self.doubt = ""
        self.ours: dict[Key, RRset] = {}
        self.foreign = dict(FOREIGN)
        self.serial = 1
        self.zone = Zone(SETTINGS, 0)
        self.saved = b""

    def step(self) -> None:
        what = self.rng.choices(
            (self.health, self.registered, self.doubted, self.pass_time, self.push, self.cut,
             self.raced, self.others, self.restart),
            (30, 12, 8, 20, 40, 4, 4, 4, 3),
        )[0]  # fmt: skip
        what()

    def health(self) -> None:
        name = self.rng.choice(NAMES)
        nodes = self.rng.sample(NODES, self.rng.randint(1, 4))
        each = [
            f"{self.rng.choice(['', '', '', '!', '!', '-', '~'])}{node} "
            f"10.0.0.{1 + NODES.index(node)}:80 {self.rng.choice(['v1', 'v2', 'x_'])}"
            for node in sorted(nodes)
        ]
        self.services[name] = service(name, *each)
        self.zone.changed([self.services[name]], self.now)

    def registered(self) -> None:
        name = self.rng.choice(NAMES)
        self.services.pop(name, None)
        self.zone.see(catalog(*self.services.values(), doubt=self.doubt), self.now)

    def doubted(self) -> None:
        """Consul's answer is cut short, of one service or of all: partial and in doubt, or over."""
        self.doubt = self.rng.choice(["", "", "cut short"])
        given = []
        for name, one in self.services.items():
            if self.rng.random() < 0.3:
                one = one._replace(instances=one.instances[: self.rng.randint(0, 2)], doubt="stale")
            else:
                one = one._replace(doubt="")
            self.services[name] = one
            given.append(one)
        self.zone.see(catalog(*given, doubt=self.doubt), self.now)

    def pass_time(self) -> None:
        self.now += self.rng.choice((0.5, 1, 3, 10, 60, 400))
        self.zone.wake(self.now)

    def base(self) -> Base:
        return Base(str(self.serial), dict(self.ours), dict(self.foreign))

    def plan(self) -> Plan:
        base = self.base()
        plan = self.zone.plan(base, self.now, "here")
        self.judge(plan, base)
        return plan

    def push(self) -> None:
        plan = self.plan()
        if plan.acts:
            self.write(plan)
            self.serial += 1
            self.zone.pushed(plan, self.now, str(self.serial))

    def cut(self) -> None:
        """Killed after the write and before anything was noted: the next one must see."""
        plan = self.plan()
        if plan.acts:
            self.write(plan)
            self.serial += 1
        self.restart()

    def raced(self) -> None:
        """Somebody writes between plan and push: the push is refused, by the base's mark."""
        plan = self.plan()
        self.others()
        assert plan.differs(self.base(), self.zone.catalog, plan.zone, plan.view, "here")

    def others(self) -> None:
        key = self.rng.choice([*self.foreign, Key(names.from_text("x.svc.example.com"), 16)])
        self.foreign[key] = RRset(self.rng.randint(1, 99), frozenset((b"\1x",)))
        self.serial += 1

    def restart(self) -> None:
        """Another process, with what was saved last: sometimes that is nothing."""
        if self.rng.random() < 0.7:
            self.saved = memory_module.write(self.zone.memory(self.now), self.now, self.now)
        known = memory_module.load(self.saved, "m", self.now, self.now) if self.saved else None
        self.zone = Zone(SETTINGS, self.now, known)
        self.zone.see(catalog(*self.services.values(), doubt=self.doubt), self.now)

    def write(self, plan: Plan) -> None:
        assert plan_file.load(plan_file.write(plan), "f").acts == plan.acts
        before = dict(self.ours)
        self.ours = applied(self.ours, plan.acts)
        for act in plan.acts:
            assert before.get(act.key) == act.before
        self.whole(before)

    def judge(self, plan: Plan, base: Base) -> None:
        """What holds for each plan, whether it is done or not."""
        after = applied(base.ours, plan.acts)
        assert plan.before == (len(owners(base.ours)), len(list(counted(base.ours))))
        assert plan.after == (len(owners(after)), len(list(counted(after))))
        assert plan.vanish == owners(base.ours) - owners(after)
        assert plan.appear == owners(after) - owners(base.ours)
        # What it does and what it withholds is all there is to do.
        missing = difference(after, self.zone.wanted)
        names_withheld = {one.act.key for one in plan.withheld}
        assert {act.key for act in missing} <= names_withheld
        assert len({act.key for act in plan.acts}) == len(plan.acts)
        assert list(plan.acts) == sorted(plan.acts, key=lambda act: act.key.order())
        doubtful = {name for name, one in self.services.items() if one.doubt}
        for act in plan.acts:
            self.no_doubt(act, doubtful)
            assert act.key not in base.foreign
        # Budget: what went within the hour is no more than its share, or few are there.
        if any(one.kind is Kind.BUDGET for one in plan.withheld):
            assert plan.over > 0
            assert plan.command

    def no_doubt(self, act: Act, doubtful: set[str]) -> None:
        if not act.withdrawn:
            return
        labels = [one.decode() for one in names.labels_of(act.key.name)][:-3]
        own = ".".join(labels)
        assert own not in doubtful or own == "www", (own, act)

    def whole(self, before: dict[Key, RRset]) -> None:
        """What is in the zone is right by itself."""
        for key, rrset in self.ours.items():
            assert rrset.data
            if key.type == const.CNAME:
                assert not [one for one in self.ours if one.name == key.name and one != key]
            if key.type == const.SRV:
                for data in rrset.data:
                    assert Key(data[6:], const.A) in self.ours
        # No name of a service that is there loses its last address.
        for name, one in self.services.items():
            if not one.instances or name == "www":
                continue
            key = Key(names.from_text(f"{name}.svc.example.com"), const.A)
            assert key not in before or key in self.ours, name


@pytest.mark.parametrize("part", range(PARTS))
def test_10_000_interleavings(part: int) -> None:
    """Lives of a few steps, each by another order of what may happen; some go on for long."""
    for seed in range(part, LIVES, PARTS):
        world = World(seed)
        long = seed // PARTS % 25 == 0
        for _ in range(8 * STEPS if long else STEPS):
            world.step()
        if long:
            at_rest(world)


def at_rest(world: World) -> None:
    """Left alone with a Consul that is well, all ends as it should be."""
    world.doubt = ""
    world.services = {name: one._replace(doubt="") for name, one in world.services.items()}
    world.zone.see(catalog(*world.services.values()), world.now)
    for _ in range(60):
        world.now += HOUR / 2
        world.zone.wake(world.now)
        world.push()
    plan = world.plan()
    assert not plan.acts
    left = {key for key, one in world.ours.items() if world.zone.wanted.get(key) != one}
    assert left <= {one.act.key for one in plan.withheld}
    # Names of services that are all unhealthy; nothing else is held for ever.
    assert {one.kind for one in plan.withheld} <= {Kind.LAST, Kind.BESIDE}
    assert FOREIGN.keys() <= world.foreign.keys()
