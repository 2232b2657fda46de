"""`consulfwd zone watch` between real Consul and real BIND: what leaves, comes back, and stays.

The zone is one that BIND takes updates of (RFC 2136). What it holds is read by a client of its own;
how often it was looked at and written to is counted in BIND's own logs. Consul has ACLs on: the
publisher has the rights that are documented, and no others.

Nothing is waited for that is to stay away: a later change is in the zone, and the other is not.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import PATIENCE_S, Child, Guard
from consulfwd.dev.real import RealCluster, Registration
from tests.integration.conftest import NEWEST, generation
from tests.integration.places import addresses
from tests.integration.primaries import KEY_NAME, ORIGIN, SECRET, Primary, start_bind
from tests.stalled import Stalls

NETWORK = 74
HOST = "127.0.0.1"
# The publisher's own rights, as documented.
RULES = """
node_prefix "" { policy = "read" }
service_prefix "" { policy = "read" }
session_prefix "" { policy = "write" }
key_prefix "consulfwd/zones/" { policy = "write" }
"""
INSTANCES = [
    Registration("node1", "dashboard", address="10.1.0.1", port=3000, service_id="dashboard-1"),
    Registration("node2", "dashboard", address="10.1.0.2", port=3000, service_id="dashboard-2"),
    Registration("node3", "crowd", address="10.1.0.3", port=8095, service_id="crowd-1"),
    Registration("node4", "crowd", address="10.1.0.4", port=8095, service_id="crowd-2"),
]
WHOLE = {
    "dashboard A": {"10.1.0.1", "10.1.0.2"},
    "crowd A": {"10.1.0.3", "10.1.0.4"},
}
# How long a session lasts (seconds) that nobody is to lose.
LASTING = 30
# From when Consul knows of a change (seconds): the quiescence is 1 s of it.
SOON = 2.0
LOGS = """
    channel queries {{ file "{folder}/queries.log"; }};
    category queries {{ queries; }};
    category update {{"""
MOVING = """
    failover: [www.{origin}]
failover:
  www.{origin}:
    pools: [{{addresses: [127.0.0.11]}}, {{addresses: [127.0.0.12]}}]
    check: {{tcp: {{port: {port}}}}}
    interval: 0.5
    fall: 2
    rise: 2
    ttl: 60
"""
pytestmark = pytest.mark.timeout(150)


class Site:
    """A cluster, a BIND, and publishers that are processes of their own."""

    def __init__(self, folder: Path, cluster: RealCluster, bind: Primary, guard: Guard) -> None:
        self.folder = folder
        self.cluster = cluster
        self.bind = bind
        self._guard = guard
        (folder / "key").write_text(SECRET)
        self.new_token()
        self._numbers = itertools.count(1)
        self.quiescence, self.ttl = 0.2, LASTING
        # Of the port where addresses of a name that moves are checked, if there is one.
        self.checked = 0

    def new_token(self) -> str:
        """Let the publisher have a token, which is returned."""
        token = self.cluster.create_token(RULES)
        (self.folder / "token").write_text(token)
        return token

    def settings(self, name: str, services: str = "[dashboard, crowd, 'x-*']") -> Path:
        """The file of a publisher's settings, with a state folder of its own."""
        agents = ", ".join(
            f"{{address: {one.address}, dns_port: {one.dns_port},"
            f" http_port: {one.http_port}, token_file: {self.folder}/token}}"
            for one in self.cluster.servers
        )
        state = self.folder / name
        state.mkdir(exist_ok=True)
        file = self.folder / f"{name}.yml"
        file.write_text(
            f"""
consul: {{agents: [{agents}]}}
zones_state: {state}
zones:
  - origin: {ORIGIN}
    services: {services}
    srv: false
    interval: 0.1
    quiescence: {self.quiescence}
    removal_delay: 0
    max_age: 20
    lock: {{ttl: {self.ttl}, lock_delay: 0, retry: 1}}
    targets:
      - rfc2136:
          servers: ["{self.bind.address}:{self.bind.port}"]
          key_name: {KEY_NAME}
          key_file: {self.folder}/key
"""
            + (MOVING.format(origin=ORIGIN, port=self.checked) if self.checked else "")
        )
        return file

    @contextmanager
    def publishing(self, name: str = "one", *words: str) -> Iterator[Child]:
        """A publisher that runs meanwhile."""
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "consulfwd.cli.main"]
        more = ["zone", "watch", "-c", str(self.settings(name)), *words]
        log = self.folder / f"{name}.{next(self._numbers)}.log"
        child = Child(f"zone watch ({name})", [*command, *more], log, self._guard)
        child.start()
        try:
            yield child
            child.terminate()
            assert "Traceback" not in log.read_text()
        finally:
            child.kill()

    def run(self, *words: str, name: str = "one") -> subprocess.CompletedProcess[str]:
        """One of the other commands, typed as it is told: settings are where they usually are."""
        command = [sys.executable, "-m", "consulfwd.cli.main", *words]
        environ = {**os.environ, "CONSULFWD_CONFIG": str(self.settings(name))}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environ)

    def run_all(self, *verbs: str) -> list[subprocess.CompletedProcess[str]]:
        """Several of them, at once."""
        with ThreadPoolExecutor(len(verbs)) as pool:
            return list(pool.map(partial(self.run, "zone"), verbs))

    def status(self, name: str = "one") -> dict[str, Any]:
        """What a publisher has written down."""
        try:
            text = (self.folder / name / f"zone-{ORIGIN}.status.json").read_text()
        except FileNotFoundError:
            return {}
        found: dict[str, Any] = json.loads(text)
        return found

    def is_(self, state: str, name: str) -> bool:
        """Whether a publisher is active, a backup, or stopped."""
        return self.status(name).get("state") == state

    def holds(self) -> dict[str, set[str]]:
        """The addresses of services in BIND's zone."""
        try:
            return self.bind.records()
        except Exception:
            return {}

    def log(self, name: str) -> str:
        try:
            return (self.folder / f"{name}.log").read_text()
        except FileNotFoundError:
            return ""

    def updates(self) -> int:
        """How often BIND has written to the zone."""
        return self.log("updates").count("updating zone")

    def looks(self) -> int:
        """How often BIND was asked for the SOA record with the publisher's key."""
        return self.log("queries").count(f"query: {ORIGIN} IN SOA -ST")

    def wait(self, child: Child, true: Callable[[], object], what: str) -> float:
        """Wait until something is so; return how long that took (seconds)."""
        began = time.monotonic()
        child.wait_until(true, what)
        return time.monotonic() - began

    def becomes(self, child: Child, wanted: dict[str, set[str]]) -> float:
        """Wait until the zone holds this; return how long that took (seconds)."""
        return self.wait(child, lambda: self.holds() == wanted, f"{wanted}")

    def ill(self, node: str, id_: str, health: str = "critical") -> None:
        """Have an instance be of that health; return once Consul's servers know it."""
        self.cluster.set_health(node, id_, health)

    def wait_for_command(self, child: Child, number: int) -> str:
        """Wait until the budget has a command for so many withdrawals; return it."""

        def told() -> bool:
            return any(
                one["command"].endswith(f"--allow {number}") for one in self.status()["targets"]
            )

        self.wait(child, told, "more than the budget has")
        command: str = self.status()["targets"][0]["command"]
        return command

    def crowd_goes_and_comes(self, child: Child) -> None:
        """Have something be published that is of no matter otherwise: all before it is through."""
        without = {**self.holds(), "crowd A": {"10.1.0.4"}}
        self.ill("node3", "crowd-1")
        self.becomes(child, without)
        self.ill("node3", "crowd-1", "passing")
        self.becomes(child, {**without, "crowd A": WHOLE["crowd A"]})


@pytest.fixture(scope="module")
def all_of_it(
    consul_binary: Path, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Consul (of the older generation one server alone) and BIND; one zone for all tests."""
    folder = tmp_path_factory.mktemp("published")
    modern = generation(consul_binary.parent.name) == "modern"
    with ExitStack() as stack:
        cluster = RealCluster(
            consul_binary,
            addresses(NETWORK, 11, 12, 13)[: 3 if modern else 1],
            acl=True,
            workdir=folder / "consul",
            # What becomes of a token is to be known soon.
            extra={"acl": {"token_ttl": "1s", "policy_ttl": "1s"}},
        )
        stack.enter_context(cluster)
        bind = start_bind(folder, guard, HOST)
        stack.callback(bind.kill)
        bind.terminate()
        settings = folder / "named.conf"
        text = settings.read_text().replace("\n    category update {", LOGS.format(folder=folder))
        settings.write_text(text)
        bind.start()
        yield Site(folder, cluster, bind, guard)


@pytest.fixture
def site(all_of_it: Site) -> Iterator[Site]:
    """The same, with what is usually there, and nobody who publishes."""
    cluster = all_of_it.cluster
    cluster.register_all(INSTANCES)
    yield all_of_it
    cluster.heal()
    all_of_it.quiescence, all_of_it.ttl, all_of_it.checked = 0.2, LASTING, 0
    # Whoever comes next knows nothing of what went.
    cluster.http("DELETE", "/v1/kv/consulfwd?recurse")
    for state in ("one", "two"):
        shutil.rmtree(all_of_it.folder / state, ignore_errors=True)
    message = all_of_it.bind.update()
    for name in {one.split()[0] for one in all_of_it.bind.records()}:
        message.delete(name)
    assert all_of_it.bind.send(message) == "NOERROR"


def test_an_instance_that_stops_leaves_the_zone_and_comes_back(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    site.quiescence = 1.0
    with site.publishing() as child:
        site.becomes(child, WHOLE)
        times = []
        for service, node, id_, address in (
            ("dashboard", "node1", "dashboard-1", "10.1.0.1"),
            ("crowd", "node4", "crowd-2", "10.1.0.4"),
        ):
            without = {**WHOLE, f"{service} A": WHOLE[f"{service} A"] - {address}}
            for health, wanted in (("critical", without), ("passing", WHOLE)):
                site.ill(node, id_, health)
                stalls = Stalls()
                took = site.becomes(child, wanted)
                # Consul, BIND and the publisher have a disk take what they write.
                times.append(took - stalls.seconds())
        told = ", ".join(f"{one:.2f}" for one in times)
        print(f"leaves and comes back after {told} s ({SOON:g} s are to be kept)")
        record_property("leaves and comes back", told)
        assert statistics.median(times) < SOON
        site.cluster.maintenance("node2", "dashboard-2", "a new version")
        site.becomes(child, {**WHOLE, "dashboard A": {"10.1.0.1"}})
        # The last one stays, as it is only unhealthy.
        site.ill("node1", "dashboard-1")
        site.crowd_goes_and_comes(child)
        assert site.holds()["dashboard A"] == {"10.1.0.1"}
        site.cluster.maintenance("node2", "dashboard-2", None)
        site.becomes(child, {**WHOLE, "dashboard A": {"10.1.0.2"}})
        site.ill("node1", "dashboard-1", "passing")
        site.becomes(child, WHOLE)
        # Deregistered: for certain, even the last one.
        for node in ("node3", "node4"):
            site.cluster.deregister(node)
        site.becomes(child, {"dashboard A": WHOLE["dashboard A"]})
    audit = (site.folder / "one" / "audit.jsonl").read_text()
    lines = [json.loads(one) for one in audit.splitlines()]
    assert {one["result"] for one in lines} == {"done"}
    assert all(one["lock"] >= 1 and one["holder"] and one["why"] for one in lines)
    assert any("Consul: crowd" in one["why"] for one in lines)


@NEWEST
def test_a_name_that_moves_is_in_the_zone_at_once_and_after_a_restart(
    site: Site, record_property: Callable[[str, object], None]
) -> None:
    """What Consul says waits for 30 s meanwhile; the first server is down at the restart."""
    one, two = ({**WHOLE, "www A": {f"127.0.0.1{at}"}} for at in (1, 2))
    with ExitStack() as stack:
        first, second = (stack.enter_context(socket.socket()) for _ in range(2))
        first.bind(("127.0.0.11", 0))
        site.checked, site.quiescence = first.getsockname()[1], 30
        second.bind(("127.0.0.12", site.checked))
        first.listen()
        second.listen()
        with site.publishing() as child:
            site.becomes(child, one)
            stalls = Stalls()
            first.close()
            took = site.becomes(child, two)
            record_property("a name moved after", f"{took:.2f}")
            assert took < 2 * 0.5 + 0.25 + SOON + stalls.seconds()
            site.wait(child, lambda: "secondary is well" in str(site.status()["moving"]), "told")
        pushes = site.updates()
        with site.publishing() as child:
            site.wait(child, lambda: site.is_("active", "one"), "active")
            again = stack.enter_context(socket.socket())
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            site.wait(child, lambda: bool(site.status()["moving"]), "looked at")
            assert site.holds() == two
            again.bind(("127.0.0.11", site.checked))
            again.listen()
            # It does not go where nobody listened, before somebody does.
            assert site.updates() == pushes
            site.becomes(child, one)


def _snapshot(site: Site, data: bytes | None = None) -> bytes:
    agent = site.cluster.leader()
    connection = http.client.HTTPConnection(agent.address, agent.http_port, timeout=PATIENCE_S)
    method, headers = "GET" if data is None else "PUT", {"X-Consul-Token": site.cluster.token}
    try:
        connection.request(method, "/v1/snapshot", data, headers)
        reply = connection.getresponse()
        assert reply.status == 200
        return reply.read()
    finally:
        connection.close()


def test_what_consul_forgets_or_refuses_takes_nothing_out(site: Site) -> None:
    """Restored from an empty snapshot; then a token that is revoked, and another one."""
    for one in INSTANCES:
        site.cluster.http("PUT", "/v1/catalog/deregister", {"Node": one.node})
    token = site.new_token()
    site.cluster.settle()
    empty = _snapshot(site)
    site.cluster.register_all(INSTANCES)
    with site.publishing() as child:
        site.becomes(child, WHOLE)
        _snapshot(site, empty)
        # The lock is another one by that, and the zone looked at anew.
        site.wait(child, lambda: "Consul took it away" in child.log.read_text(), "without the lock")
        looks = site.looks()
        site.wait(child, lambda: site.looks() > looks, "looking")
        assert site.holds() == WHOLE
        site.cluster.register_all(INSTANCES)
        site.ill("node1", "dashboard-1")
        site.becomes(child, {**WHOLE, "dashboard A": {"10.1.0.2"}})
        site.ill("node1", "dashboard-1", "passing")
        site.becomes(child, WHOLE)

        accessor = site.cluster.http("GET", "/v1/acl/token/self", token=token)["AccessorID"]
        site.cluster.http("DELETE", f"/v1/acl/token/{accessor}")
        site.wait(child, lambda: "403" in child.log.read_text(), "refused")
        site.ill("node1", "dashboard-1")
        assert site.holds() == WHOLE
        site.new_token()
        os.kill(child.pid, signal.SIGHUP)
        site.becomes(child, {**WHOLE, "dashboard A": {"10.1.0.2"}})


@NEWEST
def test_without_a_change_nothing_is_written_whatever_begins_anew(site: Site) -> None:
    with (
        site.publishing("one", "--interval", "0.1") as one,
        site.publishing("two", "--interval", "0.1") as two,
    ):
        site.becomes(one, WHOLE)
        updates, serial, looks = site.updates(), site.bind.serial(), site.looks()
        assert updates >= 1
        # Whoever is stopped is a backup once it is begun anew: each time the other takes over.
        takeovers = []
        for child, name, other, after in (
            (one, "one", two, "two"), (two, "two", one, "one"), (one, "one", two, "two"),
        ):  # fmt: skip
            if not site.is_("active", name):
                child, name, other, after = other, after, child, name
            site.wait(other, partial(site.is_, "backup", after), "a backup")
            child.terminate()
            stalls = Stalls()
            took = site.wait(other, partial(site.is_, "active", after), "active")
            takeovers.append(took - stalls.seconds())
            child.start()
        print("takeovers after", ", ".join(f"{took:.2f}" for took in takeovers), "s")
        assert max(takeovers) < 5
        # Each of them has looked by then, and most of all the one that is active.
        site.wait(one, lambda: site.looks() > looks + 100, "looking a hundred times")
        assert (site.updates(), site.bind.serial()) == (updates, serial)
        # It does go on.
        site.ill("node1", "dashboard-1")
        site.becomes(one, {**WHOLE, "dashboard A": {"10.1.0.2"}})


@NEWEST
def test_people_hold_it_up_plan_and_allow_what_is_too_much(site: Site) -> None:
    more = [
        Registration(f"more{n}", f"x-{n}", address=f"10.2.0.{n}", service_id=f"x-{n}")
        for n in range(1, 17)
    ]
    site.cluster.register_all(more)
    whole = {**WHOLE, **{f"{one.service} A": {one.address} for one in more}}
    with site.publishing() as child:
        site.becomes(child, whole)
        assert site.run("zone", "pause", "--reason", "the grid is updated").returncode == 0
        site.wait(child, lambda: site.status().get("paused"), "paused")
        site.ill("node1", "dashboard-1")
        plan, status, refused = site.run_all("plan", "status", "apply")
        assert plan.returncode == 1
        assert "10.1.0.1" in plan.stdout
        assert status.returncode == 1
        assert "the grid is updated" in status.stdout
        # Somebody else is active.
        assert refused.returncode == 1
        assert "publishes it" in refused.stderr
        assert site.holds() == whole
        assert site.run("zone", "resume").returncode == 0
        whole["dashboard A"] = {"10.1.0.2"}
        site.becomes(child, whole)
        # Of 18 names and 20 addresses more than 30 % go: some of them, and the others wait.
        for one in more[:10]:
            site.cluster.http("PUT", "/v1/catalog/deregister", {"Node": one.node})
        told = site.wait_for_command(child, 10)
        left = site.holds()
        assert len(left) == 18 - 5
        # More than was approved is withheld again, and told anew; what is approved is done.
        site.cluster.http("PUT", "/v1/catalog/deregister", {"Node": more[10].node})
        worse = site.wait_for_command(child, 12)
        assert site.run(*shlex.split(told)[1:]).returncode == 0
        site.wait(child, lambda: "allows 10 withdrawals more" in child.log.read_text(), "told")
        site.ill("node1", "dashboard-1", "passing")
        site.becomes(child, {**left, "dashboard A": WHOLE["dashboard A"]})
        assert site.run(*shlex.split(worse)[1:]).returncode == 0
        for one in more[:11]:
            del whole[f"{one.service} A"]
        whole["dashboard A"] = WHOLE["dashboard A"]
        site.becomes(child, whole)
    # Nobody is active any more.
    site.cluster.register("node5", "crowd", address="10.1.0.5", service_id="crowd-3")
    file = site.folder / "plan.json"
    assert site.run("zone", "plan", "-o", str(file)).returncode == 1
    for change in ("add", "delete"):
        message = site.bind.update()
        getattr(message, change)("theirs", *([60] if change == "add" else []), "A", "192.0.2.1")
        assert site.bind.send(message) == "NOERROR"
    refused = site.run("zone", "apply", str(file))
    assert refused.returncode == 1
    assert "the zone was changed meanwhile" in refused.stderr
    assert site.run("zone", "plan", "-o", str(file)).returncode == 1
    applied = site.run("zone", "apply", str(file))
    assert applied.returncode == 0, applied.stderr
    assert site.holds()["crowd A"] == {*WHOLE["crowd A"], "10.1.0.5"}
    for node in ("node5", *(one.node for one in more[11:])):
        site.cluster.http("PUT", "/v1/catalog/deregister", {"Node": node})


@NEWEST
def test_servers_that_are_away_come_back_and_nothing_went(site: Site) -> None:
    """BIND away, then without its zone; an agent begun anew; Consul without a leader."""
    site.ttl = 10
    with site.publishing() as child:
        site.becomes(child, WHOLE)
        updates = site.updates()
        site.cluster.servers[0].restart()
        site.cluster.wait_ready()
        assert site.holds() == WHOLE
        assert site.updates() == updates
        site.bind.terminate()
        site.ill("node1", "dashboard-1")
        site.wait(child, lambda: "cannot be reached" in str(site.status()["faults"]), "failing")
        zone, journal = site.folder / "zone", site.folder / "zone.jnl"
        kept, rest = zone.read_bytes(), journal.read_bytes() if journal.exists() else None
        zone.write_text("this is no zone\n")
        journal.unlink(missing_ok=True)
        Child.start(site.bind)
        os.kill(child.pid, signal.SIGHUP)
        site.wait(child, lambda: "SERVFAIL" in str(site.status()["faults"]), "failing otherwise")
        site.bind.terminate()
        zone.write_bytes(kept)
        if rest is not None:
            journal.write_bytes(rest)
        site.bind.start()
        os.kill(child.pid, signal.SIGHUP)
        one = {**WHOLE, "dashboard A": {"10.1.0.2"}}
        site.becomes(child, one)
        site.wait(child, lambda: not site.status()["faults"], "well")

        leader = site.cluster.leader()
        other = next(each for each in site.cluster.servers if each is not leader)
        leader.kill()
        other.kill()
        site.wait(child, lambda: "no longer active" in child.log.read_text(), "without the lock")
        assert site.holds() == one
        site.cluster.heal()
        site.ill("node1", "dashboard-1", "passing")
        site.becomes(child, WHOLE)


@NEWEST
def test_sighup_has_other_settings_in_force_or_none(site: Site) -> None:
    with site.publishing() as child:
        site.becomes(child, WHOLE)
        file = site.settings("one", services="[dashboard, crowd")
        os.kill(child.pid, signal.SIGHUP)
        site.wait(child, lambda: "not reloaded" in child.log.read_text(), "refusing")
        assert file == site.settings("one", services="[dashboard]")
        os.kill(child.pid, signal.SIGHUP)
        site.becomes(child, {"dashboard A": WHOLE["dashboard A"]})
