"""Several zones that are published at once, with what Consul says scripted: files in a folder."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config.zones import FileTarget, TargetSettings, ZoneLockSettings, ZoneSettings
from consulfwd.errors import ApplyError
from consulfwd.ops.snapshot import to_json
from consulfwd.upkeep import Upkeep
from consulfwd.zones.publish import making, running, site, status
from consulfwd.zones.publish.folder import Folder
from consulfwd.zones.publish.running import Running, Wanted
from consulfwd.zones.seen import Seen, Service
from consulfwd.zones.sinks import written
from consulfwd.zones.target import Base
from tests.net.world import until
from tests.zones.made import service
from tests.zones.publish.world import Consul, Target


class Sources:
    """What Consul says of all zones (see `feeding.Sources`)."""

    said: Sequence[Service] = ()
    every: Sequence[Consul] = ()

    def __init__(self, agents: object, zones: Iterable[ZoneSettings]) -> None:
        self.feed = self
        Sources.every = []

    def of(self, zone: ZoneSettings) -> Consul:
        found = Consul(*Sources.said)
        Sources.every = [*Sources.every, found]
        return found

    @classmethod
    def say(cls, *services: Service) -> None:
        """From now on Consul says this."""
        cls.said = services
        for one in cls.every:
            one.says(*services)

    async def ready(self, timeout: float) -> bool:
        return True

    async def use(self, agents: object) -> None:
        pass

    def faults(self) -> list[str]:
        return []

    async def close(self) -> None:
        pass


class Published:
    """Zones that are published, each to a file named like it."""

    def __init__(self, folder: Path, *zones: ZoneSettings) -> None:
        self.folder = folder
        self.zones = zones
        self.fault: Exception | None = None
        self.read: list[None] = []

    def wanted(self) -> Wanted:
        self.read.append(None)
        if self.fault is not None:
            raise self.fault
        return Wanted((), self.zones, Folder(self.folder))

    def holds(self, name: str) -> dict[str, str]:
        """The addresses in a file, by name below the origin; none where there is no file."""
        try:
            text = written.read((self.folder / name).read_bytes())
        except FileNotFoundError:
            return {}
        return {
            key.name.split(b"\3svc")[0][1:].decode(): " ".join(
                sorted(".".join(map(str, one)) for one in found.data)
            )
            for key, found in text.records.items()
        }

    def state(self, zone: ZoneSettings) -> str:
        """What is written down of a zone."""
        document = Folder(self.folder).status(zone)
        data = document.load()
        return "" if data is None else status.load(data, "status").state

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Running]:
        upkeep = self.upkeep = Upkeep.take({}, os.getpid(), "publishing", "zone")
        made = Running(self.wanted, upkeep)
        task = asyncio.ensure_future(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    Sources.said, Sources.every = (), ()
    monkeypatch.setattr(site, "Sources", Sources)
    for module in (running, site):
        monkeypatch.setattr(module, "quieten_collector", lambda: None)


def zone(folder: Path, file: str, **values: Any) -> ZoneSettings:
    target = TargetSettings(file=FileTarget(path=folder / file, check=()))
    given: dict[str, Any] = {
        "origin": "svc.example.com",
        "srv": False,
        "quiescence": 0.02,
        "interval": 0,
        "removal_delay": 0,
        "lock": ZoneLockSettings(enabled=False),
        "targets": (target,),
        **values,
    }
    return ZoneSettings(**given)


def tagged(found: Service, *tags: str) -> Service:
    """The same with an address of another kind for each instance."""

    def one(seen: Seen, address: str) -> Seen:
        return seen._replace(offer=dataclasses.replace(seen.offer, tagged={"wan_ipv4": address}))

    pairs = zip(found.instances, tags, strict=True)
    return found._replace(instances=tuple(one(*pair) for pair in pairs))


WEB = service("web", "n1 10.0.0.1")
BOTH = service("web", "n1 10.0.0.1", "n2 10.0.0.2")


async def test_each_view_of_a_zone_has_addresses_of_its_own(tmp_path: Path) -> None:
    inside = zone(tmp_path, "inside", view="inside")
    outside = zone(tmp_path, "outside", view="outside", tagged=("wan_ipv4",))
    there = Published(tmp_path, inside, outside)
    Sources.say(tagged(BOTH, "203.0.113.1", "203.0.113.2"))
    async with there.run():
        await until(lambda: there.holds("inside") and there.holds("outside"))
        assert there.holds("inside") == {"web": "10.0.0.1 10.0.0.2"}
        assert there.holds("outside") == {"web": "203.0.113.1 203.0.113.2"}
        # Each has a memory and a state of its own, too.
        await until(lambda: there.state(inside) == there.state(outside) == "active")
        await until(lambda: there.upkeep.snapshot().ready)
        seen = there.upkeep.snapshot()
        assert (seen.verb, seen.phase, seen.faults) == ("zone", "running", ())
        assert [(one.view, one.state) for one in seen.zones] == [
            ("inside", "active"), ("outside", "active"),
        ]  # fmt: skip
        (target,) = seen.zones[0].targets
        assert (target.names, target.addresses, target.fault) == (1, 2, "")
        assert abs(target.pushed - time.time()) < 60
        assert json.loads(json.dumps(to_json(seen)))["zones"][0]["zone"] == "svc.example.com"
        assert seen.line == there.upkeep.status()
        Sources.say(tagged(WEB, "203.0.113.1"))
        await until(lambda: there.holds("outside") == {"web": "203.0.113.1"})
    assert {one.name for one in tmp_path.glob("*.status.json")} == {
        "zone-svc.example.com@inside.status.json",
        "zone-svc.example.com@outside.status.json",
    }


async def test_instances_of_several_datacenters_are_in_one_zone(tmp_path: Path) -> None:
    both = zone(tmp_path, "both", datacenters=("east", "west"), datacenter_names=True)
    there = Published(tmp_path, both)
    east = service("web", "n1 10.0.0.1", datacenter="east")
    west = service("web", "n1 10.1.0.1", "n2 10.1.0.2", datacenter="west")
    Sources.say(east, west)
    async with there.run():
        await until(lambda: there.holds("both"))
        assert there.holds("both") == {
            "web": "10.0.0.1 10.1.0.1 10.1.0.2",
            "web\x04east": "10.0.0.1",
            "web\x04west": "10.1.0.1 10.1.0.2",
        }
        # A datacenter that cannot be asked loses nothing, and the other one does.
        doubted = west._replace(instances=(), doubt="it cannot be asked")
        Sources.say(service("web", "n9 10.0.0.9", datacenter="east"), doubted)
        await until(lambda: "10.0.0.9" in there.holds("both")["web"])
        assert there.holds("both")["web\x04west"] == "10.1.0.1 10.1.0.2"


async def _reloaded(done: Callable[[], object]) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    await until(done)


async def test_sighup_with_zones_that_came_went_and_changed(tmp_path: Path) -> None:
    one, two, three = (zone(tmp_path, name) for name in ("one", "two", "three"))
    one, two = (each.replace(view=name) for each, name in ((one, "one"), (two, "two")))
    there = Published(tmp_path, one, two)
    Sources.say(WEB)
    async with there.run():
        await until(lambda: there.holds("one") and there.holds("two"))
        # One is taken out, one comes, and one is of other services.
        there.zones = (three, one.replace(services=("db",)))
        Sources.said = (WEB, service("db", "n9 10.0.0.9"))
        await _reloaded(lambda: there.holds("three") and "db" in there.holds("one"))
        assert there.holds("three") == {"db": "10.0.0.9", "web": "10.0.0.1"}
        # What was published stays where nobody publishes any more.
        Sources.say(BOTH, service("db", "n9 10.0.0.9"))
        await until(lambda: there.holds("three")["web"] == "10.0.0.1 10.0.0.2")
        assert there.holds("two") == {"web": "10.0.0.1"}
        assert there.state(two) == "stopped"
        # Another origin in a file that was of this one: refused by that target, by itself.
        there.zones = (three, one.replace(origin="other.example.com"))
        await _reloaded(lambda: "other" in str(there_status(there, there.zones[1])))
        assert there.holds("one")["db"] == "10.0.0.9"
        Sources.say(WEB, service("db", "n9 10.0.0.9"))
        await until(lambda: there.holds("three")["web"] == "10.0.0.1")


def there_status(there: Published, which: ZoneSettings) -> list[str]:
    data = Folder(there.folder).status(which).load()
    return [] if data is None else list(status.load(data, "status").faults)


async def test_settings_that_cannot_be_used_leave_the_old_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = Published(tmp_path, zone(tmp_path, "one"))
    Sources.say(WEB)
    async with there.run():
        await until(lambda: there.holds("one"))
        there.fault = ApplyError("zones", "it must be a list")
        await _reloaded(lambda: "it must be a list" in caplog.text)
        seen = there.upkeep.snapshot()
        assert seen.faults == ("the last reload was refused, see the log",)
        Sources.say(BOTH)
        await until(lambda: there.holds("one") == {"web": "10.0.0.1 10.0.0.2"})
        # Those that can be read, and not begun with: the state folder is a file.
        there.fault = None
        (tmp_path / "file").write_text("")
        old, there.folder = there.folder, tmp_path / "file"
        await _reloaded(lambda: "cannot be made" in caplog.text)
        there.folder = old
        Sources.say(WEB)
        await until(lambda: there.holds("one") == {"web": "10.0.0.1"})
    caplog.clear()


class Hanging(Target):
    """A target that answers once it may."""

    def __init__(self) -> None:
        super().__init__("hanging")
        self.on = threading.Event()
        self.asked = threading.Event()

    def read(self) -> Base:
        self.asked.set()
        assert self.on.wait(60)
        raise ApplyError("hanging", "it took too long")


async def test_a_target_that_hangs_holds_up_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = zone(tmp_path, "bad", view="bad"), zone(tmp_path, "good", view="good")
    hanging, made = Hanging(), making.Making._target

    def target(self: Any, kind: str, which: ZoneSettings, *more: Any) -> Any:
        return hanging if which.view == "bad" else made(self, kind, which, *more)

    monkeypatch.setattr(making.Making, "_target", target)
    there = Published(tmp_path, bad, good)
    Sources.say(WEB)
    async with there.run():
        try:
            await until(lambda: hanging.asked.is_set() and there.holds("good"))
            Sources.say(BOTH)
            began = time.monotonic()
            await until(lambda: there.holds("good") == {"web": "10.0.0.1 10.0.0.2"})
            assert time.monotonic() - began < 5
            await until(lambda: there.state(bad) == there.state(good) == "active")
        finally:
            threading.Timer(0.3, hanging.on.set).start()
    # The end has waited for it: it might have written yet.
    assert hanging.on.is_set()


async def test_settings_that_are_read_again_while_it_begins_are_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Published(tmp_path, zone(tmp_path, "one"))
    prepare, on = Folder.prepare, threading.Event()

    def waits(self: Folder) -> None:
        assert on.wait(60)
        prepare(self)

    monkeypatch.setattr(Folder, "prepare", waits)
    Sources.say(WEB)
    async with there.run():
        await asyncio.sleep(0)
        there.zones = (zone(tmp_path, "two"),)
        asked = len(there.read)
        await _reloaded(lambda: len(there.read) > asked)
        on.set()
        await until(lambda: there.holds("two"))


async def test_two_targets_that_are_one_are_refused(tmp_path: Path) -> None:
    given = zone(tmp_path, "one")
    there = Published(tmp_path, given.replace(targets=(*given.targets, *given.targets)))
    with pytest.raises(ApplyError, match="two of its targets are the same: file "):
        await Running(there.wanted, Upkeep.take({}, os.getpid(), "publishing")).run()


async def test_the_collector_is_quiet_once_all_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[set[str]] = []
    there = Published(tmp_path, zone(tmp_path, "one"))

    def quiet() -> None:
        calls.append(set(there.holds("one")))

    monkeypatch.setattr(running, "quieten_collector", quiet)
    Sources.say(WEB)
    async with there.run():
        await until(lambda: calls)
        Sources.say(BOTH)
        await until(lambda: "10.0.0.2" in there.holds("one")["web"])
        there.zones = (zone(tmp_path, "one", services=("web", "db")),)
        Sources.said = (WEB, service("db", "n9 10.0.0.9"))
        await _reloaded(lambda: "db" in there.holds("one"))
        await until(lambda: len(calls) == 2)
    assert calls == [{"web"}, {"web", "db"}]
