"""`consulfwd lock` on real Consul: beside `consul lock`, killed, held up; the holder as a name.

What is run notes each of its lives: from when to when it wrote, by which number.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.coreless import HeldUp
from tests.integration.conftest import CONSUL, NEWEST
from tests.integration.elections import after_s
from tests.integration.namespaces import Host, Network, network
from tests.integration.places import addresses
from tests.stalled import Stalls

NETWORK = 74
# The least that Consul takes; from the last renewal it takes up to twice as long. Who is not to
# lose a session has one that lasts; whose name is looked at, one that is over before that is.
TTL, DELAY, KILL_AFTER, LASTING, NAMED_TTL = 10.0, 1.0, 2.0, 30.0, 15.0
LEFT_S = 2 * TTL + DELAY + 5.0
ELECTION_S = 15.0
PATIENCE_S = 60.0
NAMED = ("app-killed", "app-named")
PLAN = {name: {"lan": f"10.82.0.{n}/24"} for n, name in enumerate(("one", "other", "third"), 1)}

# Writes the time as fast as it can be told apart; a stubborn one does not hear SIGTERM.
APPLICATION = """\
import os, signal, sys, time
name, record, stubborn = sys.argv[1:]
if stubborn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(record, "a") as file:
    while True:
        number = os.environ["CONSUL_LOCK_NUMBER"]
        file.write(f"{os.getpid()} {name} {number} {time.monotonic()}\\n")
        file.flush()
        time.sleep(0.01)
"""

pytestmark = pytest.mark.timeout(240)


class Life(NamedTuple):
    """One life of the application: whose, the lock's number, its first and its last write."""

    name: str
    number: int
    first: float
    last: float


@pytest.fixture(scope="module")
def lockable(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealCluster]:
    """Three servers and a client agent."""
    with RealCluster(
        consul_binary,
        addresses(NETWORK, 11, 12, 13),
        client_address=addresses(NETWORK, 14)[0],
        workdir=tmp_path_factory.mktemp("locked"),
    ) as cluster:
        yield cluster


class Site:
    """Who campaigns for one lock, and the lives of what they ran."""

    def __init__(self, folder: Path, guard: Guard, name: str) -> None:
        self.folder = folder / name.replace("/", "-")
        self.folder.mkdir()
        self.name = name
        self._guard = guard
        self._children: list[Child] = []
        self._application = self.folder / "app.py"
        self._application.write_text(APPLICATION)
        self.record = self.folder / "writes"
        self.record.touch()

    def candidate(
        self,
        who: str,
        *agents: RealAgent,
        ttl: float = LASTING,
        options: tuple[str, ...] = (),
        stubborn: bool = False,
        host: Host | None = None,
    ) -> Child:
        config = self.folder / f"{who}.yml"
        places = [
            {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
            for one in agents
        ]
        config.write_text(json.dumps({"consul": {"agents": places}}))
        words = [sys.executable, "-m", "consulfwd", "lock", "-c", config, f"--ttl={ttl:g}"]
        words += [f"--lock-delay={DELAY:g}", f"--kill-after={KILL_AFTER:g}", *options, self.name]
        words += ["--", sys.executable, self._application, who, self.record]
        words.append("stubborn" if stubborn else "")
        child = Child(who, list(map(str, words)), self.folder / f"{who}.log", self._guard)
        with host.inside() if host is not None else contextlib.nullcontext():
            child.start()
        self._children.append(child)
        return child

    def lives(self) -> list[Life]:
        """Every life so far, by its begin."""
        rows = [line.split() for line in self.record.read_text().splitlines()]
        whole = sorted((row for row in rows if len(row) == 4), key=lambda row: row[0])
        found = []
        for _, group in itertools.groupby(whole, lambda row: row[0]):
            writes = list(group)
            times = [float(row[3]) for row in writes]
            found.append(Life(writes[0][1], int(writes[0][2]), min(times), max(times)))
        return sorted(found, key=lambda one: one.first)

    def never_two(self) -> list[Life]:
        lives = self.lives()
        for before, after in itertools.pairwise(lives):
            assert before.last < after.first, lives
            assert before.number < after.number, lives
        return lives

    def wait(self, condition: Callable[[], object], what: str, within: float = PATIENCE_S) -> float:
        """Wait until that holds; return how long it took.

        What the machine or its disk held up Consul and us is allowed besides.
        """
        running = [one.pid for one in self._children if one.running]
        held, begin = HeldUp(*running, disk=True), time.monotonic()
        while not condition():
            waited = time.monotonic() - begin
            if waited >= within and waited >= within + held.seconds():
                logs = "\n".join(one.tail() for one in self._children)
                pytest.fail(f"not within {within:.1f} s: {what}\n{logs}\n{self.lives()}")
            time.sleep(0.02)
        return time.monotonic() - begin

    def runs(self, who: str) -> bool:
        lives = self.lives()
        return bool(lives) and lives[-1].name == who and time.monotonic() - lives[-1].last < 0.5

    def waits(self, child: Child) -> bool:
        return "backup: consulfwd at " in child.log.read_text()

    def close(self) -> None:
        for child in self._children:
            if child.running:
                if child.frozen:
                    child.thaw()
                child.terminate()
            child.kill()
            assert "Traceback" not in child.log.read_text(), child.tail()


@pytest.fixture
def sites(tmp_path: Path, guard: Guard) -> Iterator[Callable[[str], Site]]:
    made: list[Site] = []

    def site(name: str) -> Site:
        made.append(Site(tmp_path, guard, name))
        return made[-1]

    yield site
    for one in made:
        one.close()


class Cut(NamedTuple):
    """Who was cut off from all others, and when; the stalls of the disk since then."""

    site: Site
    one: Child
    at: float
    stalls: Stalls
    network: Network


@pytest.fixture(scope="module")
def cut(
    consul_binary: Path, tmp_path_factory: pytest.TempPathFactory, guard: Guard
) -> Iterator[Cut]:
    """Each on a host of its own; what becomes of them takes its time."""
    folder = tmp_path_factory.mktemp("cut")
    with network(PLAN) as made:
        by_address = {host.addresses["lan"]: host for host in made.hosts.values()}
        cluster = RealCluster(
            consul_binary,
            list(by_address),
            workdir=folder / "consul",
            extra={"client_addr": "0.0.0.0"},
            within=lambda address: by_address[address].inside(),
        )
        with cluster:
            site = Site(folder, guard, "app/cut")
            one_at, other_at, _ = cluster.servers
            try:
                one = site.candidate(
                    "one", one_at, other_at, ttl=TTL, host=made.hosts["one"], stubborn=True
                )
                site.wait(lambda: site.runs("one"), "the first one runs")
                other = site.candidate("other", other_at, one_at, host=made.hosts["other"])
                site.wait(lambda: site.waits(other), "the other one waits")
                made.cut(made.hosts["one"])
                yield Cut(site, one, time.monotonic(), Stalls(), made)
            finally:
                site.close()


class Played(NamedTuple):
    """Pairs of which the first one was caught, when that was, and who had which name meanwhile.

    So long the disk was `stalled`, or the machine stood still.
    """

    sites: dict[str, Site]
    children: dict[str, tuple[Child, Child]]
    at: float
    stalled: float
    names: dict[str, list[tuple[float, str]]]


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest,
    lockable: RealCluster,
    tmp_path_factory: pytest.TempPathFactory,
    guard: Guard,
) -> Iterator[Played]:
    """Side by side, as Consul takes its time: killed, held up, stubborn; one holds it meanwhile."""
    if lockable.binary == [*CONSUL.values()][-1]:
        request.getfixturevalue("cut")
    folder = tmp_path_factory.mktemp("played")
    sites = {
        name: Site(folder, guard, f"app/{name}") for name in ("killed", "held", "stubborn", "named")
    }
    try:
        children = _pairs(sites, lockable)
        sites["named"].wait(lambda: all(_holders(lockable, one) for one in NAMED), "names")
        stalls, at = Stalls(), time.monotonic()
        children["killed"][0].kill()
        children["held"][0].freeze()
        children["stubborn"][0].freeze()
        names: dict[str, list[tuple[float, str]]] = {name: [] for name in NAMED}
        caught = [sites[name] for name in ("killed", "held", "stubborn")]
        while not all(site.runs("other") for site in caught):
            late = time.monotonic() - at - LEFT_S
            assert late < 0 or late < _longer(stalls), [site.lives() for site in caught]
            for name in NAMED:
                names[name].append((time.monotonic(), _holders(lockable, name)))
            time.sleep(0.2)
        yield Played(sites, children, at, stalls.seconds(), names)
    finally:
        for site in sites.values():
            site.close()


def _longer(stalls: Stalls) -> float:
    """How much longer the end of a session may take than on a machine that goes on."""
    return after_s(stalls.seconds(), TTL)


def _pairs(sites: dict[str, Site], cluster: RealCluster) -> dict[str, tuple[Child, Child]]:
    """Of each site one that runs the application, and one that waits."""
    found: dict[str, tuple[Child, Child]] = {}
    at = {"one": cluster.servers[:2], "other": cluster.servers[1:]}
    firsts = {}
    options = {name: (f"--service=app-{name}:8080",) for name in ("killed", "named")}
    for name, site in sites.items():
        firsts[name] = site.candidate(
            "one", *at["one"], ttl=NAMED_TTL if name == "named" else TTL,
            stubborn=name == "stubborn", options=options.get(name, ()),
        )  # fmt: skip
    for name, site in sites.items():
        site.wait(lambda site=site: site.runs("one"), "the first one runs")  # type: ignore[misc]
        found[name] = (
            firsts[name], site.candidate("other", *at["other"], options=options.get(name, ())),
        )  # fmt: skip
    for name, site in sites.items():
        site.wait(lambda site=site, it=found[name][1]: site.waits(it), "the other one waits")  # type: ignore[misc]
    return found


def _holders(cluster: RealCluster, service: str) -> str:
    """Who has a service's name, each with the number of the lock: "server-1 1"."""
    found = cluster.http("GET", f"/v1/health/service/{service}?passing")
    return ", ".join(
        f"{one['Node']['Node']} {one['Service']['Meta']['lock-number']}" for one in found
    )


def test_stopped_killed_and_held_up(played: Played) -> None:
    sites, children = played.sites, played.children
    for name, most in (("killed", 0.5), ("held", TTL - KILL_AFTER), ("stubborn", TTL)):
        first, second = sites[name].never_two()
        print(f"{name}: {first.last - played.at:.1f} s, {most} at most; the next one after"
              f" {second.first - played.at:.1f} s")  # fmt: skip
        # Who is killed takes the application along; who is held up has it ended in time.
        assert first.last - played.at < most + played.stalled
        assert second.first - played.at > TTL / 2 + DELAY
    for name in ("held", "stubborn"):
        child, site = children[name][0], sites[name]
        child.thaw()
        site.wait(lambda child=child: "backup: consulfwd at " in child.log.read_text(), "it waits")  # type: ignore[misc]
    for name in ("held", "stubborn"):
        site = sites[name]
        held = HeldUp(*(one.pid for one in children[name]), disk=True)
        begin = time.monotonic()
        children[name][1].terminate()
        site.wait(lambda site=site: site.runs("one"), "the first one runs again")  # type: ignore[misc]
        lives = site.never_two()
        assert len(lives) == 3
        assert lives[2].first - begin < 2.0 + held.seconds()


def test_the_holder_has_a_name(played: Played, lockable: RealCluster) -> None:
    here, there = lockable.servers[0].name, lockable.servers[1].name
    # For longer than its check lasts that is not renewed.
    seen = played.names["app-named"]
    assert seen[-1][0] - seen[0][0] > NAMED_TTL
    assert {name for _, name in seen} == {f"{here} 1"}
    # The name of who is killed is nobody's before it is another one's.
    names = [name for name, _ in itertools.groupby(name for _, name in played.names["app-killed"])]
    assert names[:2] == [f"{here} 1", ""]
    site, (one, _) = played.sites["named"], played.children["named"]
    held = HeldUp(*(child.pid for child in played.children["named"]), disk=True)
    begin = time.monotonic()
    os.kill(one.pid, signal.SIGTERM)
    site.wait(lambda: _holders(lockable, "app-named") == f"{there} 2", "the other one has it")
    assert time.monotonic() - begin < 3.0 + held.seconds()


@NEWEST
def test_cut_off(played: Played, cut: Cut) -> None:
    """The last of its pair: what there is to see has happened meanwhile, for the most part."""
    site = cut.site
    try:
        site.wait(lambda: site.runs("other"), "the other one runs", 2 * PATIENCE_S)
    finally:
        cut.network.mend(cut.network.hosts["one"])
    longest = LEFT_S + ELECTION_S + _longer(cut.stalls)
    first, second = site.never_two()
    print(f"cut off: {first.last - cut.at:.1f} s, {TTL} at most; the next one after"
          f" {second.first - cut.at:.1f} s")  # fmt: skip
    assert first.last - cut.at < TTL + cut.stalls.seconds()
    assert second.first - cut.at < longest
    site.wait(lambda: site.waits(cut.one), "it is a backup again")


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_consul_s_own_command_keeps_out_and_is_kept_out(
    first: str, lockable: RealCluster, sites: Callable[[str], Site]
) -> None:
    site = sites(f"app/beside-{first}")
    agent = lockable.servers[0]
    note = site.folder / "note"
    words = [str(lockable.binary), "lock", f"-http-addr={agent.address}:{agent.http_port}"]
    # Its child is a shell's, which takes the signal for it.
    script = f"touch {note}; sleep 3"
    if first == "theirs":
        with subprocess.Popen([*words, site.name, script], stderr=subprocess.DEVNULL) as its:
            site.wait(note.exists, "consul's command holds it")
            ours = site.candidate("one", agent)
            site.wait(lambda: "backup: session " in ours.log.read_text(), "ours waits")
            assert site.lives() == []
            assert its.wait(PATIENCE_S) == 0
        site.wait(lambda: site.runs("one"), "ours runs")
        return
    ours = site.candidate("one", agent)
    site.wait(lambda: site.runs("one"), "ours runs")
    refused = subprocess.run(
        [*words, "-timeout=2s", site.name, script], capture_output=True, timeout=60, check=False
    )
    assert refused.returncode != 0
    assert not note.exists()
    ours.terminate()
    done = subprocess.run([*words, site.name, "true"], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0


@NEWEST
def test_a_check_ends_it_and_lets_it_begin_again(
    lockable: RealCluster, sites: Callable[[str], Site]
) -> None:
    site = sites("app/checked")
    agent = lockable.servers[0]
    agent.http("PUT", "/v1/agent/check/register", {"ID": "disk", "Name": "disk", "TTL": "600s"})
    agent.http("PUT", "/v1/agent/check/pass/disk")
    site.wait(
        lambda: agent.http("GET", f"/v1/health/node/{agent.name}")[-1]["Status"] == "passing"
        or [one for one in agent.http("GET", f"/v1/health/node/{agent.name}")
            if (one["CheckID"], one["Status"]) == ("disk", "passing")],
        "the check passes",
    )  # fmt: skip
    child = site.candidate("one", agent, options=("--check=disk", "--retry=1"))
    site.wait(lambda: site.runs("one"), "it runs")
    agent.http("PUT", "/v1/agent/check/fail/disk")
    site.wait(lambda: not site.runs("one"), "it is ended", 5.0)
    site.wait(lambda: "critical" in child.log.read_text(), "it says why")
    agent.http("PUT", "/v1/agent/check/pass/disk")
    site.wait(lambda: site.runs("one"), "it runs again")
    site.never_two()
