"""A feed of a scripted world: a catalog that is written to, and what each question gets."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from consulfwd.config import Agent
from consulfwd.config.zones import ZoneSettings
from consulfwd.consul.client import Client
from consulfwd.consul.hints import COUNTS
from consulfwd.zones.feed import Feed
from consulfwd.zones.seen import Service
from consulfwd.zones.whole import PATH as WHOLE
from tests.consul.replies import reply
from tests.consul.scripted import A, Fake, World, calm, until
from tests.zones.made import settings

LIST, STATE, HEALTH = "/v1/catalog/services", "/v1/health/state/{}", "/v1/health/service/{}"
DC = "dc1"


class Written:
    """What all agents of a world say of one datacenter: its instances, by service and node."""

    def __init__(self, world: World, datacenter: str = DC, *, asked: str = "") -> None:
        self.world = world
        self.datacenter = datacenter
        self.index = 10
        self.services: dict[str, dict[str, dict[str, Any]]] = {}
        self.more: dict[str, Any] = {}
        self._suffix = f"@{asked}" if asked else ""
        self._registered()

    def put(self, service: str, node: str = "n1", status: str = "passing", **fields: Any) -> None:
        """Register an instance on a node, or change it."""
        instances = self.services.setdefault(service, {})
        known = instances.get(node)
        number = len(node) + int("".join(filter(str.isdigit, node)) or 0)
        address = fields.pop("node_address", f"10.0.0.{number}")
        made = {
            "Node": {"Node": node, "Address": address, "Datacenter": self.datacenter},
            "Service": {"ID": f"{service}-{node}", "Service": service, "Port": 80, **fields},
            "Checks": [
                {"Node": node, "CheckID": "serfHealth", "Status": "passing"},
                {
                    "Node": node,
                    "CheckID": f"{service}-{node}",
                    "ServiceName": service,
                    "Status": status,
                },
            ],
        }
        instances[node] = made
        self.index += 1
        self._say(service)
        self._checked()
        if known is None or known["Service"] != made["Service"]:
            self._registered()

    def take(self, service: str, node: str = "n1") -> None:
        """Deregister an instance."""
        del self.services[service][node]
        self.index += 1
        self._say(service)
        if not self.services[service]:
            del self.services[service]
        self._checked()
        self._registered()

    def node_is(self, node: str, status: str) -> None:
        """Have a node be of such a health, and so all that is on it."""
        self.index += 1
        for service, instances in self.services.items():
            if node in instances:
                instances[node]["Checks"][0]["Status"] = status
                self._say(service)
        self._checked()

    def say_whole(self, *more: dict[str, Any], **fields: Any) -> None:
        """Say all of it in one reply, by node, with these nodes beside."""
        found: dict[str, dict[str, Any]] = {}
        for instances in self.services.values():
            for node, made in instances.items():
                there = found.setdefault(
                    node, {**made["Node"], "Services": [], "Checks": [made["Checks"][0]]}
                )
                there.pop("Datacenter", None)
                id_ = made["Service"]["ID"]
                there["Services"].append(made["Service"])
                there["Checks"] += [{**one, "ServiceID": id_} for one in made["Checks"][1:]]
        answer = reply([*found.values(), *more], index=self.index, **(self.more | fields))
        self.world.say(WHOLE + self._suffix, answer)

    def say_all(self) -> None:
        """Say all of it anew, as it is; `more` is about the replies."""
        self.index += 1
        for service in self.services:
            self._say(service)
        self._checked()
        self._registered()

    def _say(self, service: str) -> None:
        found = list(self.services[service].values())
        self._answer(HEALTH.format(service), found)

    def _checked(self) -> None:
        every = [one for each in self.services.values() for one in each.values()]
        for status in ("critical", "warning"):
            bad = {
                (check["Node"], check["CheckID"]): check
                for one in every
                for check in one["Checks"]
                if check["Status"] == status
            }
            self._answer(STATE.format(status), list(bad.values()))

    def _registered(self) -> None:
        tags = {
            name: sorted({tag for one in each.values() for tag in one["Service"].get("Tags", [])})
            for name, each in self.services.items()
        }
        self._answer(LIST, tags)
        counts = [{"Name": n, "InstanceCount": len(each)} for n, each in self.services.items()]
        self._answer(COUNTS, counts)

    def _answer(self, path: str, parsed: object) -> None:
        self.world.say(path + self._suffix, reply(parsed, index=self.index, **self.more))


@asynccontextmanager
async def feed_of(
    world: World, zones: Sequence[ZoneSettings], *agents: str
) -> AsyncIterator[Feed]:
    """A feed of these agents (one, if none is named). At its end nothing is left."""
    tasks = asyncio.all_tasks()
    made = Feed(
        [Agent(address=one) for one in agents or (A,)],
        zones,
        world.changed,
        world.tell,
        connect=lambda agent: cast(Client, Fake(world, agent)),
        clock=lambda: world.now,
        sleep=world.sleep,
        rng=random.Random(1),
    )
    try:
        yield made
    finally:
        await made.close()
        await calm()
    assert asyncio.all_tasks() == tasks


@asynccontextmanager
async def feeding(
    *services: str, more: int = 0, **zone: Any
) -> AsyncIterator[tuple[Written, Feed, ZoneSettings]]:
    """A feed that is ready, of a zone and a catalog: these services, and so many more."""
    world, one = World(), settings(**zone)
    written = Written(world)
    for name in (*services, *(f"other-{number}" for number in range(more))):
        written.put(name)
    written.say_whole()
    async with feed_of(world, [one]) as made:
        await ready(world, made)
        made.catalog(one)
        yield written, made, one


async def ready(world: World, feed: Feed, within: float = 60.0) -> None:
    """Return once the first round is over."""

    async def over() -> None:
        assert await feed.ready(within)

    await until(world, over, within + 1)


async def soon(world: World, feed: Feed, zone: ZoneSettings, within: float) -> list[Service]:
    """Return what is taken for a zone, once there is something."""
    found: list[Service] = []

    async def taken() -> None:
        while not found:
            found.extend(feed.take(zone).services)
            await world.sleep(0.05)

    await until(world, functools.partial(taken), within)
    return found


def nodes(service: Service) -> list[str]:
    """Where the instances of a service are; ! before one that is critical, - in maintenance."""
    signs = {"critical": "!", "warning": "~", "in maintenance": "-"}
    return [signs.get(one.health.value, "") + one.whose.node for one in service.instances]
