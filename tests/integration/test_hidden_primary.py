"""A hidden primary and real secondaries: BIND, NSD, Knot DNS and PowerDNS pull and follow."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from consulfwd.apply import steps
from consulfwd.apply.change import Command
from consulfwd.config import Endpoint
from consulfwd.config.zones import PrimaryTarget
from consulfwd.dev.child import PATIENCE_S, Child, Guard
from consulfwd.dev.real import RealCluster, Registration
from consulfwd.zones.model import difference
from consulfwd.zones.primary import journal, transfers, versions
from consulfwd.zones.primary.running import Primaries, path_of
from consulfwd.zones.primary.target import Change, Primary
from consulfwd.zones.serials import newer
from consulfwd.zones.target import Push
from tests.integration.conftest import NEWEST
from tests.integration.places import addresses
from tests.integration.recursors import tool
from tests.integration.secondaries import ALL, KEY_NAME, ORIGIN, SECRET, Secondary
from tests.loopback import free_port
from tests.stalled import Stalls
from tests.zones.made import settings
from tests.zones.primary.pulled import Contents, altered, shown, some_records, wanted

# BIND listens on none but an interface's own addresses: of loopback that is the first.
HOSTS = dict(zip(ALL, ("127.0.0.1", *addresses(71, 2, 3, 4)), strict=True))
HERE, THERE = addresses(71, 9, 10)
CONSUL = addresses(71, 21)
# Seconds in which a secondary follows a push; PowerDNS looks once a second at what it was told.
SOON = 2.0
TAKEOVERS = int(os.environ.get("TAKEOVERS", "6"))
# Seconds until all have what is there after a primary went away while it was being asked.
LATER = 10.0
QUICK = [one for one in ALL if one != "PowerDNS"]


class Publisher:
    """A primary on `port`, its loop in a thread of its own, and pushes from this one."""

    def __init__(self, folder: Path, port: int, secondaries: dict[str, int]) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "key").write_text(SECRET)
        self._target = PrimaryTarget(
            listen=(Endpoint(host=HERE, port=port),),
            notify=tuple(Endpoint(host=HOSTS[one], port=at) for one, at in secondaries.items()),
            key_name=KEY_NAME,
            key_file=folder / "key",
        )
        self.settings = settings(origin=ORIGIN, lock={"enabled": False})
        self.primaries = Primaries(folder)
        self.primary: Primary = self.primaries.add(self.settings, self._target)
        self.primaries.bind()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._run(self.primaries.start)

    def _run(self, what: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(what(), self._loop).result(20)  # type: ignore[arg-type]

    def push(self, after: Contents) -> int:
        """Publish these records; return the serial."""
        base = self.primary.read()
        change = self.primary.change(Push(base, difference(base.ours, after)))
        steps.apply(Work(change))
        serial = self.primary.read().serial
        assert serial is not None
        return serial

    @property
    def records(self) -> Contents:
        return dict(self.primary.read().ours)

    def close(self) -> None:
        self._run(self.primaries.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextmanager
def publishing(folder: Path, port: int) -> Iterator[Publisher]:
    """A publisher without secondaries."""
    found = Publisher(folder, port, {})
    yield found
    found.close()


class Work:
    """A push to the primary alone."""

    check: Command = ()
    whole: Command = ()
    reload: tuple[Command, ...] = ()

    def __init__(self, change: Change) -> None:
        self._change = change

    def verify(self) -> str:
        return ""

    def changes(self) -> tuple[Change]:
        return (self._change,)


class Site:
    """Secondaries, and a publisher in this process, which the tests have one after the other."""

    def __init__(self, folder: Path, guard: Guard) -> None:
        self.folder = folder
        self.port = free_port(HERE)
        self.secondaries: dict[str, Secondary] = {}
        self.publisher: Publisher | None = None
        try:
            for kind, start in ALL.items():
                own = folder / kind
                own.mkdir()
                self.secondaries[kind] = start(own, guard, HOSTS[kind], (THERE, HERE), self.port)
        except BaseException:
            self.close()
            raise

    def publish(self, name: str, *, told: bool = True) -> Publisher:
        """A publisher of this name in place of the last one; secondaries may not be told."""
        if self.publisher is not None:
            self.publisher.close()
        ports = {kind: one.port for kind, one in self.secondaries.items() if told}
        self.publisher = Publisher(self.folder / name, self.port, ports)
        return self.publisher

    def begun(self) -> Publisher:
        """A publisher whose zone every secondary has."""
        publisher = self.publish("one")
        publisher.push(some_records(random.Random(1), 40))
        # Who asked while there was no zone or no primary looks again when he is told; PowerDNS once
        # it has waited for its answer, up to 3 s.
        self.follow(within=PATIENCE_S)
        return publisher

    def follow(self, kinds: Iterable[str] = ALL, within: float = SOON) -> dict[str, float]:
        """Wait until these secondaries have all of it; return how long that took."""
        assert self.publisher is not None
        serial = self.publisher.primary.read().serial
        took = self.wait(kinds, lambda one: one.serial(), serial, within)
        expected = wanted(self.publisher.primary.store.versions)
        for kind in kinds:
            assert shown(self.secondaries[kind].zone()) == expected, kind
        return took

    def wait(
        self,
        kinds: Iterable[str],
        asked: Callable[[Secondary], object],
        wanted: object,
        most: float,
    ) -> dict[str, float]:
        """Wait until these secondaries answer so; return how long that took each.

        For what a disk stalled they are waited for besides: they have a zone once it is on theirs.
        """
        began, stalls = time.monotonic(), Stalls()
        took: dict[str, float] = {}
        while left := [kind for kind in kinds if kind not in took]:
            for kind in left:
                one = self.secondaries[kind]
                found, waited = asked(one), time.monotonic() - began
                if found == wanted:
                    took[kind] = waited
                else:
                    text = f"{kind} has {found}, not {wanted}\n{one.tail()}"
                    assert waited < most + stalls.seconds(), text
            time.sleep(0.01)
        return took

    def close(self) -> None:
        for one in self.secondaries.values():
            one.kill()
        if self.publisher is not None:
            self.publisher.close()


@pytest.fixture(scope="module")
def living(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("secondaries"), guard)
    yield found
    found.close()


@pytest.fixture
def site(living: Site) -> Iterator[Site]:
    living.begun()
    yield living
    if living.publisher is not None:
        living.publisher.close()
        living.publisher = None


class Given:
    """How many transfers were whole zones, and how many differences."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.whole = self.asked = 0
        all_of, since = transfers.all_of, transfers.since

        def counted_all(*args: object) -> object:
            self.whole += 1
            return all_of(*args)  # type: ignore[arg-type]

        def counted_since(*args: object) -> object:
            self.asked += 1
            return since(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(transfers, "all_of", counted_all)
        monkeypatch.setattr(transfers, "since", counted_since)

    def clear(self) -> None:
        self.whole = self.asked = 0


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Given:
    return Given(monkeypatch)


@pytest.mark.timeout(200)
def test_each_change_by_a_difference(site: Site, given: Given) -> None:
    rng = random.Random(1995)
    longest = dict.fromkeys(ALL, 0.0)
    given.clear()
    publisher = site.publish("one")
    for turn in range(20):
        publisher.push(altered(rng, publisher.records))
        # One of them gets several changes as one, and may have asked while there was no primary.
        kinds, late = ALL if turn % 5 == 4 else QUICK, turn in (9, 14)
        for kind, took in site.follow(kinds, within=LATER if late else SOON).items():
            longest[kind] = max(longest[kind], took)
        if turn in (6, 13):
            # A restart is no new version, and forgets none.
            serial = publisher.primary.read().serial
            publisher = site.publish("one")
            assert publisher.primary.read().serial == serial
    assert given.whole == 0
    assert given.asked >= 20 * len(QUICK) + 4
    print(", ".join(f"{kind}: {took:.2f} s at most" for kind, took in longest.items()))


def test_takeovers(site: Site) -> None:
    """Two publishers in turn, each with a journal of its own, told the serial given out last."""
    rng = random.Random(50)
    publisher = site.publish("one")
    for turn in range(8):
        last = publisher.primary.read()
        assert last.serial is not None
        publisher = site.publish(("other", "one")[turn % 2])
        publisher.primary.given(last.serial)
        # What secondaries have is what it begins with.
        assert publisher.primary.read().ours == last.ours
        same = turn % 4 == 2
        serial = publisher.push(dict(last.ours) if same else altered(rng, dict(last.ours)))
        assert serial == last.serial if same else newer(serial, last.serial)
        site.follow(ALL if turn % 4 == 3 else QUICK, within=LATER)


def test_one_that_lags_behind_the_journal(
    site: Site, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "MOST_DELTAS", 5)
    rng = random.Random(5)
    for changes, all_of_it in ((4, False), (9, True)):
        # Nobody is told for a while.
        publisher = site.publish("one", told=False)
        for _ in range(changes):
            publisher.push(altered(rng, publisher.records))
        given.clear()
        site.publish("one")
        site.follow(within=LATER)
        # One that asked for changes and got all of it may ask for all of it once more.
        assert given.whole >= len(ALL) if all_of_it else given.whole == 0


def test_a_journal_that_lost_what_was_served(site: Site) -> None:
    """Cut anywhere: nothing old is served, and the next version is later than the last."""
    rng = random.Random(6)
    publisher = site.publish("one")
    for turn in range(4):
        for _ in range(2):
            publisher.push(altered(rng, publisher.records))
        site.follow(QUICK, within=LATER)
        last, records = publisher.primary.read().serial, publisher.records
        publisher.close()
        site.publisher = None
        path = path_of(publisher.folder, publisher.settings)
        octets = path.read_bytes()
        told = turn % 2
        # Of one that has nothing left somebody has to say that it had.
        least = 0 if told else journal.read(octets, publisher.primary.origin).first
        path.write_bytes(octets[: rng.randrange(least, len(octets))])
        publisher = site.publish("one")
        assert last is not None
        if told:
            publisher.primary.given(last)
        base = publisher.primary.read()
        assert (base.ours, base.serial) == (records, last)
        assert newer(publisher.push(altered(rng, records)), last)
        site.follow(ALL if turn == 3 else QUICK, within=LATER)


class Watched:
    """The serials of all secondaries, looked at all the time: they only go up."""

    def __init__(self, secondaries: dict[str, Secondary]) -> None:
        self.fallen: list[str] = []
        self.seen = {kind: one.serial() for kind, one in secondaries.items()}
        self._secondaries = secondaries
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for kind, one in self._secondaries.items():
                serial, last = one.serial(), self.seen[kind]
                if serial is None or serial == last:
                    continue
                if last is not None and not newer(serial, last):
                    self.fallen.append(f"{kind}: {serial} after {last}")
                self.seen[kind] = serial

    def close(self) -> None:
        self._over.set()
        self._thread.join()


class Serving:
    """`consulfwd zone serve` as a process, on an address of its own."""

    def __init__(self, site: Site, cluster: RealCluster, guard: Guard, host: str) -> None:
        self.host, self.port = host, site.port
        folder = site.folder / f"serving-{host}"
        folder.mkdir()
        self._status = folder / f"zone-{ORIGIN}.status.json"
        (folder / "key").write_text(SECRET)
        (folder / "key").chmod(0o600)
        (agent,) = cluster.servers
        told = ", ".join(f'"{one.address}:{one.port}"' for one in site.secondaries.values())
        file = folder / "settings.yml"
        file.write_text(
            f"""
consul:
  agents: [{{address: {agent.address}, dns_port: {agent.dns_port}, http_port: {agent.http_port}}}]
zones_state: {folder}
zones:
  - origin: {ORIGIN}
    ns: [ns1.example.com]
    services: [web, app]
    srv: false
    quiescence: 0.1
    interval: 0
    budget: {{least: 1000}}
    lock: {{ttl: 30, lock_delay: 0, retry: 1}}
    targets:
      - primary:
          listen: ["{host}:{site.port}"]
          notify: [{told}]
          key_name: {KEY_NAME}
          key_file: {folder}/key
"""
        )
        command = [sys.executable, "-m", "consulfwd.cli.main", "zone", "serve", "-c", str(file)]
        self.child = Child(f"zone serve at {host}", command, folder / "log", guard)

    def state(self) -> str:
        """Whether it is active or a backup, as it has written down."""
        try:
            return str(json.loads(self._status.read_text())["state"])
        except FileNotFoundError:
            return ""

    def begin(self) -> None:
        """Start it, from whatever is there, unless it runs."""
        if not self.child.running:
            self._status.unlink(missing_ok=True)
            self.child.start()

    def waits(self, state: str) -> None:
        """Return when it is so."""
        self.child.wait_until(lambda: self.state() == state, state)

    def rests(self) -> bool:
        """Whether it leaves it to the other to answer."""
        query = dns.message.make_query(ORIGIN, "SOA")
        found = dns.query.udp(query, self.host, 5, self.port).rcode()
        return found == dns.rcode.SERVFAIL


@pytest.fixture(scope="module")
def one_consul(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    folder = tmp_path_factory.mktemp("consul")
    with RealCluster(consul_binary, CONSUL, workdir=folder) as cluster:
        yield cluster


# What an operator would look into at night; not that a primary is away, or leaves it to the other.
ALARMING = re.compile(r"\b(error|critical|fatal|crit|alert)\b(?!s)", re.IGNORECASE)
HARMLESS = re.compile(r"SERVFAIL|SERVER FAIL|connection refused|connection reset|timed? ?out", re.I)


@NEWEST
@pytest.mark.timeout(600)
def test_takeovers_of_processes(site: Site, one_consul: RealCluster, guard: Guard) -> None:
    """Real Consul, two processes, orderly or by kill -9: serials only go up, no log is alarming."""
    assert site.publisher is not None
    site.publisher.close()
    site.publisher = None
    logs = {kind: len(one.said()) for kind, one in site.secondaries.items()}
    watched = Watched(site.secondaries)
    two = [Serving(site, one_consul, guard, host) for host in (HERE, THERE)]
    number = itertools.count(1)
    longest = dict.fromkeys(ALL, 0.0)

    def changed(kinds: Iterable[str] = ALL) -> None:
        address = f"10.9.{next(number)}.1"
        one_consul.register("node1", "web", address=address, port=80, service_id="web-1")
        took = site.wait(kinds, lambda one: one.addresses("web"), {address}, LATER)
        for kind, seconds in took.items():
            longest[kind] = max(longest[kind], seconds)

    # Enough that differences are smaller than the zone.
    one_consul.register_all(
        [
            Registration(f"app-{one}", "app", address=f"10.8.0.{one}")
            for one in range(20)
        ]
    )
    try:
        two[0].begin()
        two[0].waits("active")
        changed()
        for turn in range(TAKEOVERS):
            active, backup = two
            backup.begin()
            backup.waits("backup")
            changed(ALL if turn % 4 == 3 else QUICK)
            assert not active.rests()
            assert backup.rests()
            follow = QUICK
            if turn % 3 == 2:
                active.child.kill()
                _session_ends(one_consul)
            elif turn % 3 == 1:
                active.child.freeze()
                _session_ends(one_consul)
                # BIND waits for it, half a minute in all.
                follow = ["NSD", "Knot"]
            else:
                active.child.terminate()
            backup.waits("active")
            changed(follow)
            if active.child.frozen:
                # It learns what has become of it, and answers no more.
                active.child.thaw()
                active.child.wait_until(active.rests, "resting")
            two.reverse()
        changed()
        # By differences of either, each has come to the same.
        zones = [shown(one.zone()) for one in site.secondaries.values()]
        assert all(one == zones[0] for one in zones)
        assert len(zones[0]["app", "A"][1]) == 20
    finally:
        for one in two:
            one.child.kill()
        watched.close()
    assert watched.fallen == []
    print(", ".join(f"{kind}: {took:.2f} s at most" for kind, took in longest.items()))
    for kind, start in logs.items():
        said = site.secondaries[kind].said()[start:].splitlines()
        alarming = [one for one in said if ALARMING.search(one) and not HARMLESS.search(one)]
        assert alarming == [], kind


def _session_ends(cluster: RealCluster) -> None:
    """What Consul does by itself to the session of one that is gone, some time later."""
    (entry,) = cluster.http("GET", f"/v1/kv/consulfwd/zones/{ORIGIN}/.lock")
    cluster.http("PUT", f"/v1/session/destroy/{entry['Session']}")


def dig(port: int, *words: str, secret: str = SECRET) -> str:
    ran = subprocess.run(
        [tool("dig"), f"@{HERE}", "-p", str(port), "-y", f"hmac-sha256:{KEY_NAME}:{secret}", ORIGIN,
         *words],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    return ran.stdout + ran.stderr


def test_dig(tmp_path: Path) -> None:
    rng = random.Random(7)
    port = free_port(HERE)
    with publishing(tmp_path, port) as publisher:
        first = publisher.push(some_records(rng, 2000))
        before = publisher.records
        number = sum(len(one.data) for one in before.values())
        text = dig(port, "AXFR", "+multi")
        assert f"XFR size: {number + 3} records" in text
        sizes = re.search(r"messages (\d+), bytes (\d+)", text)
        assert sizes is not None
        # Each is as full as may be.
        messages, octets = map(int, sizes.groups())
        assert messages == octets // transfers.FULL + 1
        assert "WARNING" not in text
        after = dict(before)
        gone = [after.pop(key) for key in sorted(after)[:2]]
        second = publisher.push(after)
        text = dig(port, f"IXFR={first}", "+multi")
        assert f"XFR size: {sum(len(one.data) for one in gone) + 4} records" in text
        text = dig(port, f"IXFR={second}", "+multi")
        assert "XFR size: 1 records" in text
        # What is refused is told so.
        wrong = base64.b64encode(b"another").decode()
        assert "BADSIG" in dig(port, "SOA", secret=wrong)
        assert "Transfer failed" in dig(port, "AXFR", secret=wrong)
