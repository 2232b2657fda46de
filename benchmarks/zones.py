"""What the decisions about a zone cost: the first plan, and then one change at a time.

`python -m benchmarks.zones` plans zones of 100, 1,000 and 10,000 services of three instances each.

What belongs here: the pure part, from what Consul says to a plan. What does not: how long Consul
and a target take.
"""

from __future__ import annotations

import gc
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from consulfwd.config.zones import ZoneSettings
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.plan import Plan
from consulfwd.zones.seen import Catalog, Health, Offer, Seen, Service, Whose
from consulfwd.zones.target import Base
from consulfwd.zones.zone import Zone

SIZES = (100, 1_000, 10_000)
INSTANCES = 3
CHANGES = 600


@dataclass(frozen=True)
class Cost:
    """One size: CPU of the first plan in seconds, and of one change in us; memory in MB."""

    services: int
    records: int
    laid_out_s: float
    planned_s: float
    change_us: float
    resident_mb: float


def made(number: int, down: bool = False) -> Service:
    """Return a service; one of its instances may be down."""
    name = f"service-{number}"
    instances = []
    for one in range(INSTANCES):
        at = INSTANCES * number + one
        address = f"10.{at >> 16 & 255}.{at >> 8 & 255}.{at & 255}"
        offer = Offer("", address, 8_000 + one, ("primary" if one == 0 else "replica",))
        health = Health.CRITICAL if down and one == 0 else Health.PASSING
        instances.append(Seen(Whose("dc1", name, f"node-{at}", f"{name}-{one}"), offer, health))
    return Service("dc1", name, tuple(instances))


class Held:
    """A target that does at once what it is told."""

    def __init__(self) -> None:
        self._records: dict[Key, RRset] = {}
        self._serial = 1

    @property
    def base(self) -> Base:
        return Base(str(self._serial), self._records)

    def push(self, zone: Zone, plan: Plan, now: float) -> None:
        for key, _, after in plan.acts:
            if after is None:
                del self._records[key]
            else:
                self._records[key] = after
        self._serial += 1
        zone.pushed(plan, now, str(self._serial))


def changes(services: int) -> Iterator[Service]:
    """Yield one change after the other: each service in turn goes half down, and comes back."""
    step = max(1, services // (CHANGES // 2))
    while True:
        for number in range(0, services, step):
            yield made(number, down=True)
            yield made(number)


def cost(services: int) -> Cost:
    """Return what a zone of so many services costs."""
    given = ZoneSettings(origin="svc.example.com", tags=("primary",), removal_delay=0)
    catalog = Catalog({("dc1", one.name): one for one in map(made, range(services))})
    zone, target, now = Zone(given, 0), Held(), 0.0
    began = time.process_time()
    zone.see(catalog, now)
    laid_out = time.process_time()
    plan = zone.plan(target.base, now)
    planned = time.process_time()
    target.push(zone, plan, now)
    # As the publisher does once it runs.
    gc.collect()
    gc.freeze()
    stream = changes(services)
    given_changes = [next(stream) for _ in range(CHANGES)]
    before = time.process_time()
    for service in given_changes:
        now += 60
        zone.changed([service], now)
        found = zone.plan(target.base, now)
        if not found.acts or found.withheld:
            raise AssertionError(f"{service.name}: {found.withheld}")
        target.push(zone, found, now)
    change = (time.process_time() - before) / CHANGES
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(
        services, len(plan.acts), laid_out - began, planned - laid_out, change * 1e6, resident
    )


def measured(services: int) -> Cost:
    """Return the same of a process of its own."""
    command = [sys.executable, "-m", "benchmarks.zones", "--one", str(services)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return Cost(**json.loads(told.stdout))


def main(arguments: Sequence[str]) -> None:
    """Print the costs, or as JSON those of one size."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(asdict(cost(int(arguments[1])))))
        return
    print("| services | RRsets | laid out | first plan | one change | memory |")
    print("|---|---|---|---|---|---|")
    for one in map(measured, SIZES):
        print(
            f"| {one.services:,} | {one.records:,} | {one.laid_out_s:.2f} s | {one.planned_s:.2f} s"
            f" | {one.change_us:.0f} us | {one.resident_mb:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
