"""The files of examples/primary-backup on real Consul, nginx and `consulfwd render`.

Two hosts of an application and a web host, as network namespaces (which needs root: see
`namespaces`), each with a Consul server. What runs there are the commands of the example's units;
only paths and times are others. CASE_NUMBERS=60:15:20:5:10:5 runs the case with its own times.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.conftest import NEWEST as ON_NEWEST
from tests.integration.conftest import OLDEST as ON_OLDEST
from tests.integration.conftest import VERSIONS, on
from tests.integration.elections import after_s
from tests.integration.faulted import Tell
from tests.integration.namespaces import Host, Network, network
from tests.integration.recursors import tool
from tests.stalled import Stalls

EXAMPLE = Path(__file__).parents[2] / "examples" / "primary-backup"
LOCK = "/v1/kv/service/app/leader"
NOBODY = "nobody holds service/app/leader"
NAMES = ("app1", "app2", "web")
PLAN = {name: {"lan": f"10.79.0.{n}/24"} for n, name in enumerate(NAMES, 1)}
SLACK_S = 10.0
PATIENCE_S = 60.0
ELECTION_S = 10.0
RECONNECT_S = 30.0


@dataclasses.dataclass(frozen=True)
class Numbers:
    """The times of the campaign (seconds): those of the unit's variables."""

    ttl: float
    lock_delay: float
    retry: float
    renew: float
    margin: float
    grace: float

    @property
    def longest_s(self) -> float:
        """How long it may take after the holder's last renewal until there is another one.

        A leader that is new counts each session's time anew.
        """
        return ELECTION_S + 2 * self.ttl + self.lock_delay + self.retry + SLACK_S


# The least that Consul takes for a TTL. Of a margin that is no more than what its grace needs, the
# lock outlasts a machine that stands still for some seconds. Who is not to lose it has it longer.
GIVEN = os.environ.get("CASE_NUMBERS", "")
NUMBERS = Numbers(*map(float, (GIVEN or "10:1:1:1:2:1").split(":")))
LASTING = dataclasses.replace(NUMBERS, ttl=max(NUMBERS.ttl, 30.0))
pytestmark = pytest.mark.timeout(120 + NUMBERS.longest_s)


# Consul waits for the TTL twice, which takes its time: on one version, unless asked for.
OLDEST, NEWEST = (on(VERSIONS), on(VERSIONS)) if GIVEN else (ON_OLDEST, ON_NEWEST)

# Writes the time as fast as it can be told apart, and answers with its name; a stubborn one takes
# its time for a reply, so that one is under way at whatever time something happens.
APPLICATION = """\
import http.server, os, signal, sys, threading, time
name, record, stubborn = sys.argv[1:]
if stubborn == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if stubborn == "stubborn":
            time.sleep(0.2)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(name.encode())
    def log_message(self, format, *args):
        pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
index = os.environ["CAMPAIGN_LOCK_INDEX"]
with open(record, "a") as file:
    while True:
        file.write(f"{os.getpid()} {name} {index} {time.monotonic()}\\n")
        file.flush()
        time.sleep(0.005)
"""

NGINX = """\
user root;
daemon off;
worker_processes 1;
worker_shutdown_timeout 10s;
pid {folder}/nginx.pid;
error_log {folder}/error.log notice;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/app-upstream.conf;
    include {example}/app.conf;
}}
"""


class Active(NamedTuple):
    """One life of the application: where, the lock's index, its first and its last write."""

    name: str
    lock_index: int
    first: float
    last: float


class Reply(NamedTuple):
    """What a client got: when it was asked and answered, the status, and the text."""

    asked: float
    answered: float
    status: int
    text: str
    retry_after: str | None


def setting(unit: str, name: str) -> str:
    """The value of a unit's only line with this setting."""
    lines = (EXAMPLE / unit).read_text().splitlines()
    (value,) = [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]
    return value


def command(unit: str, replaced: dict[str, str]) -> list[str]:
    """What a unit runs, with parts of it replaced; each of them must be there."""
    text = setting(unit, "ExecStart")
    for old, new in replaced.items():
        assert old in text, f"{unit}: {old} is not there any more"
        text = text.replace(old, new)
    assert "$" not in text
    assert "%" not in text
    return shlex.split(text)


class Site:
    """The three hosts and the agent on each."""

    def __init__(self, made: Network, cluster: RealCluster) -> None:
        self.network = made
        self.cluster = cluster

    def host(self, number: int) -> Host:
        return self.network.hosts[NAMES[number]]

    def agent(self, number: int) -> RealAgent:
        return self.cluster.servers[number]


@pytest.fixture(scope="module")
def built(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with network(PLAN) as made:
        by_address = {host.addresses["lan"]: host for host in made.hosts.values()}
        cluster = RealCluster(
            consul_binary,
            list(by_address),
            workdir=tmp_path_factory.mktemp("case"),
            extra={"client_addr": "0.0.0.0"},
            within=lambda address: by_address[address].inside(),
        )
        with cluster:
            for host in [made.hosts[name] for name in NAMES[:2]]:
                with host.inside():
                    register: list[str | Path] = [
                        consul_binary,
                        "services",
                        "register",
                        EXAMPLE / "app.json",
                    ]
                    subprocess.run(register, check=True, capture_output=True, timeout=30)
            cluster.settle()
            yield Site(made, cluster)


@pytest.fixture
def site(built: Site) -> Site:
    """The hosts, all well, and nobody holds the lock."""
    for name in NAMES:
        built.network.mend(built.network.hosts[name])
    # A server that was cut off is called again every 30 s only.
    for agent in built.cluster.servers:
        agent.wait_serving(len(NAMES), 2 * RECONNECT_S)
    for one in built.cluster.http("GET", "/v1/session/list"):
        built.cluster.http("PUT", f"/v1/session/destroy/{one['ID']}")
    built.cluster.http("DELETE", LOCK)
    built.cluster.settle()
    return built


class Case:
    """Everything that runs on the hosts, and a record of what happened; a context manager."""

    def __init__(self, site: Site, guard: Guard, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.dest = folder / "app-upstream.conf"
        self.replies: list[Reply] = []
        self.named: list[tuple[float, str]] = []
        self.freed: list[float] = []
        self._record = folder / "writes"
        self._record.touch()
        self._guard = guard
        self._application = folder / "app.py"
        self._application.write_text(APPLICATION)
        # What the first host's campaign tells systemd, and when.
        self.notified: list[tuple[float, str]] = []
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._manager.settimeout(0.1)
        self._stop = threading.Event()
        looks = (self._ask, self._look_at_the_file, self._look_at_the_lock, self._be_told)
        self._threads = [threading.Thread(target=self._watch, args=(look,)) for look in looks]
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, example=EXAMPLE))
        # That nothing of this host's own settings is read.
        (folder / "consulfwd.yml").write_text("{}")
        nginx = f"{tool('nginx')} -e {folder}/error.log -c {folder}/nginx.conf"
        program = f"{sys.executable} -X dev -W error -m consulfwd.cli.main render"
        replaced = {
            "/opt/consulfwd/bin/consulfwd render": f"{program} -c {folder}/consulfwd.yml",
            "/etc/consulfwd/": f"{EXAMPLE}/",
            "/etc/nginx/conf.d/": f"{folder}/",
            "nginx -t -q && nginx -s": f"{nginx} -t -q && {nginx} -s",
        }
        watch = command("app-upstream.service", replaced)
        # Once, without the command, before nginx runs.
        template, dest, _ = watch[-1].split(":", 2)
        self._once = [*shlex.split(program), "-c", f"{folder}/consulfwd.yml", f"{template}:{dest}"]
        self._nginx = Child("nginx", shlex.split(nginx), folder / "nginx.log", guard)
        self._render = Child("render", watch, folder / "render.log", guard)

    def __enter__(self) -> Case:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        self._manager.close()
        for child in (self._render, self._nginx):
            if child.running:
                child.terminate()
            child.kill()

    def _start(self) -> None:
        with self.site.host(2).inside():
            subprocess.run(self._once, check=True, capture_output=True, timeout=60)
            self._nginx.start()
            self._render.start()
        for thread in self._threads:
            thread.start()
        self.wait(lambda: self.replies and self.replies[-1].status == 503, "a page for nobody")

    @contextlib.contextmanager
    def campaign(self, number: int, of: Numbers = NUMBERS, kind: str = "") -> Iterator[Child]:
        """What app-campaign.service runs, on the host of this number."""
        name = self.site.agent(number).name
        app = [sys.executable, self._application, name, self._record, kind or "meek"]
        replaced = {
            f"${{{field.upper()}}}": f"{value:g}" for field, value in dataclasses.asdict(of).items()
        } | {
            "%H": name,
            "/usr/local/bin/campaign.py": f"{sys.executable} -X dev {EXAMPLE}/campaign.py",
            "/usr/local/bin/app": shlex.join(map(str, app)),
        }
        words = command("app-campaign.service", replaced)
        if number == 0:
            words = ["env", f"NOTIFY_SOCKET={self.folder}/notify", *words]
        child = Child(f"campaign {name}", words, self.folder / f"{name}.log", self._guard)
        with self.site.host(number).inside():
            child.start()
        try:
            yield child
        finally:
            if child.running:
                child.terminate(of.grace + 2 * SLACK_S)
            child.kill()
            assert "Traceback" not in child.log.read_text(), child.tail()

    def lives(self) -> list[Active]:
        """Every life of the application so far, by its begin."""
        lines = self._record.read_text().splitlines()
        rows = [line.split() for line in lines if line.count(" ") == 3]
        found = []
        for _, group in itertools.groupby(sorted(rows, key=lambda row: row[0]), lambda row: row[0]):
            writes = list(group)
            times = [float(row[3]) for row in writes]
            found.append(Active(writes[0][1], int(writes[0][2]), min(times), max(times)))
        return sorted(found, key=lambda one: one.first)

    def wait(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE_S) -> None:
        """Wait until that holds; what the disk held up Consul is allowed besides."""
        stalls, end = Stalls(), time.monotonic() + seconds
        while not condition():
            late = time.monotonic() - end
            left = after_s(stalls.seconds(), NUMBERS.ttl)
            assert late < 0 or late < left, f"not seen: {what}\n{self._logs()}"
            time.sleep(0.05)

    def _logs(self) -> str:
        return "\n".join(log.read_text()[-2000:] for log in self.folder.glob("*.log"))

    def serving(self, number: int) -> bool:
        """Do clients get replies of this host?"""
        return bool(self.replies) and self.replies[-1].text == self.site.agent(number).name

    def wait_until_serving(self, number: int, seconds: float = PATIENCE_S) -> None:
        self.wait(lambda: self.serving(number), f"{NAMES[number]} serves", seconds)

    def stands_by(self, child: Child) -> None:
        self.wait(lambda: "standing by: " in child.log.read_text(), f"{child.name} stands by")

    def check(self, cut: float | None = None) -> None:
        """What must hold however the holder changed.

        A request that is under way when its host is cut off, at `cut`, gets no reply: there is
        nobody to say that it is lost, nor that it was not carried out. The client asks one by one.
        """
        lives = self.lives()
        for one, other in itertools.pairwise(lives):
            assert one.last < other.first, f"two were active: {lives}"
            assert one.lock_index < other.lock_index
        lost = [reply for reply in self.replies if reply.status not in (200, 503)]
        if cut is not None:
            assert len(lost) <= 1
            lost = [reply for reply in lost if reply.asked > cut]
        assert not lost
        replies = [reply for reply in self.replies if reply.status]
        for reply in replies:
            assert (reply.status == 503) == (reply.retry_after == "20"), reply
            assert reply.status == 200 or "try again" in reply.text
        assert max(reply.answered - reply.asked for reply in replies) < SLACK_S
        # Whoever is named is another one than before, and nginx was told once each time.
        names = [name for _, name in self.named]
        assert all(one != other for one, other in itertools.pairwise(names))
        # The next one may be named at this moment.
        self.wait(lambda: self.reloads() == len(self.named) - 1, f"reloads for each of {names}")

    def reloads(self) -> int:
        """How often nginx has read its files again."""
        return (self.folder / "error.log").read_text().count(", reconfiguring")

    def tell(self, what: str, begin: float, record_property: Tell) -> None:
        """Tell what happened after `begin`, in seconds since then."""
        one, other = [life for life in self.lives() if life.last > begin - 1.0][:2]
        taken = next(at for at, name in self.named if at > begin and other.name in name)
        served = next(it for it in self.replies if it.asked > begin and it.text == other.name)
        free = [at for at in self.freed if begin < at < other.first]
        pages = [it for it in self.replies if it.status == 503]
        down = [it for it in pages if begin < it.answered < served.answered]
        slowest = max(it.answered - it.asked for it in down) if down else 0.0
        steps = {
            "last write of the old holder": one.last,
            "session over": min(free) if free else None,
            "first write of the new one": other.first,
            "named for nginx": taken,
            "first reply of the new one": served.answered,
        }
        told = ", ".join(f"{step} {at - begin:.2f}" for step, at in steps.items() if at is not None)
        record_property(
            "failover",
            f"{self.site.cluster.version} {what}: {told} s; {len(down)} pages of 503, slowest"
            f" {slowest:.2f} s; {self.reloads()} reloads",
        )

    def _watch(self, look: Callable[[], None]) -> None:
        with self.site.host(2).inside():
            while not self._stop.wait(0.02):
                look()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=SLACK_S)
        asked = time.monotonic()
        try:
            connection.request("GET", "/", headers={"Host": "app.example.com"})
            reply = connection.getresponse()
            text, after = reply.read().decode(), reply.getheader("Retry-After")
            self.replies.append(Reply(asked, time.monotonic(), reply.status, text, after))
        except OSError as error:
            # Nothing listens before nginx is up.
            if self.replies:
                self.replies.append(Reply(asked, time.monotonic(), 0, repr(error), None))
        finally:
            connection.close()

    def _be_told(self) -> None:
        with contextlib.suppress(TimeoutError):
            text = self._manager.recv(100).decode()
            self.notified.append((time.monotonic(), text))

    def _look_at_the_file(self) -> None:
        match = re.match("# active: (.*)", self.dest.read_text())
        assert match is not None
        if not self.named or self.named[-1][1] != match[1]:
            self.named.append((time.monotonic(), match[1]))

    def _look_at_the_lock(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", 8500, timeout=SLACK_S)
        try:
            connection.request("GET", LOCK)
            text = connection.getresponse().read()
            if not text or "Session" not in json.loads(text)[0]:
                self.freed.append(time.monotonic())
        except (OSError, ValueError):
            pass
        finally:
            connection.close()


def test_the_holder_is_stopped_in_order(
    site: Site, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    of = dataclasses.replace(LASTING, lock_delay=60.0, retry=60.0)
    with Case(site, guard, tmp_path) as case, case.campaign(0, of) as first:
        case.wait_until_serving(0)
        with case.campaign(1, of) as second:
            case.stands_by(second)
            (entry,) = site.cluster.http("GET", LOCK)
            (session,) = site.cluster.http("GET", f"/v1/session/info/{entry['Session']}")
            stalls, begin = Stalls(), time.monotonic()
            first.terminate()
            case.wait_until_serving(1)
            case.check()
        case.tell("stopped in order", begin, record_property)
        assert [one.name for one in case.lives()] == ["server-1", "server-2"]
        assert [text for _, text in case.notified][:3] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        assert (session["TTL"], session["LockDelay"]) == (f"{of.ttl:g}s", of.lock_delay * 1e9)
        # The check of its node's health would end it before its TTL.
        assert not session.get("NodeChecks")
        assert not session.get("Checks")
        # The lock was released: neither lock delay nor retry were waited for.
        assert case.lives()[1].first - begin < 2 * SLACK_S + stalls.seconds()


def test_the_lock_delay_holds_unless_the_lock_is_released(
    site: Site, record_property: Tell
) -> None:
    def session() -> str:
        agent = site.agent(0)
        body = {"TTL": "60s", "LockDelay": "2s", "NodeChecks": [], "Checks": []}
        made: str = agent.http("PUT", "/v1/session/create", body)["ID"]
        return made

    def acquire(holder: str) -> Any:
        return site.agent(0).http("PUT", f"{LOCK}?acquire={holder}", "x")

    one, other = session(), session()
    assert acquire(one) is True
    assert site.agent(0).http("PUT", f"{LOCK}?release={one}") is True
    assert acquire(other) is True
    site.agent(0).http("PUT", f"/v1/session/destroy/{other}")
    stalls, begin = Stalls(), time.monotonic()
    assert acquire(one) is False
    site.agent(0).wait_until(lambda: acquire(one), "to be had again")
    took = time.monotonic() - begin
    record_property("failover", f"{site.cluster.version} destroyed, LockDelay 2 s: {took:.2f} s")
    assert 1.5 < took < SLACK_S + stalls.seconds()


@NEWEST
def test_the_session_is_ended_by_somebody_else(
    site: Site, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    """By an operator, or because its node left: the lock delay is the holder's time to go."""
    of = dataclasses.replace(LASTING, lock_delay=NUMBERS.renew + NUMBERS.grace + 9.0)
    with Case(site, guard, tmp_path) as case, case.campaign(0, of, kind="stubborn") as first:
        case.wait_until_serving(0)
        with case.campaign(1, of) as second:
            case.stands_by(second)
            begin = time.monotonic()
            (entry,) = site.cluster.http("GET", LOCK)
            site.cluster.http("PUT", f"/v1/session/destroy/{entry['Session']}")
            case.wait(lambda: len(case.lives()) == 2, "the next life")
            case.check()
            assert "Consul has ended the session" in first.log.read_text()
        assert case.lives()[1].first - begin >= of.lock_delay - 0.5
        record_property(
            "failover",
            f"{site.cluster.version} session destroyed, lock delay {of.lock_delay:g} s: last write"
            f" {case.lives()[0].last - begin:.2f}, next {case.lives()[1].first - begin:.2f} s",
        )


@OLDEST
def test_the_holder_is_killed(
    site: Site, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    with Case(site, guard, tmp_path) as case, case.campaign(0) as first:
        case.wait_until_serving(0)
        with case.campaign(1, LASTING) as second:
            case.stands_by(second)
            begin = time.monotonic()
            first.kill()
            case.wait_until_serving(1, NUMBERS.longest_s)
            case.check()
            case.tell("killed", begin, record_property)
        one, other = case.lives()
        # The application went with it, and Consul waited for one TTL at least.
        assert one.last < begin + SLACK_S / 2
        assert other.first - begin > NUMBERS.ttl - NUMBERS.renew - SLACK_S / 2
        assert [name for _, name in case.named] == [NOBODY, "server-1", NOBODY, "server-2"]


@NEWEST
def test_the_holder_is_cut_off(
    site: Site, guard: Guard, tmp_path: Path, record_property: Tell
) -> None:
    """Its application even ignores SIGTERM, and works on as far as it can."""
    with Case(site, guard, tmp_path) as case, case.campaign(0, kind="stubborn") as first:
        case.wait_until_serving(0)
        with case.campaign(1, LASTING) as second:
            case.stands_by(second)
            stalls, begin = Stalls(), time.monotonic()
            site.network.cut(site.host(0))
            cut = time.monotonic()
            case.wait_until_serving(1, NUMBERS.longest_s)
            assert "stepping down" in first.log.read_text()
            assert "the application is killed" in first.log.read_text()
            case.check(cut)
            case.tell("cut off", begin, record_property)
            one, other = case.lives()
            stalled = stalls.seconds()
            # It wrote on for as long as the lock was its own, and no longer.
            lease = NUMBERS.ttl - NUMBERS.margin + NUMBERS.grace
            wrote = one.last - begin
            assert lease - NUMBERS.renew - 3.0 - stalled < wrote < NUMBERS.ttl + stalled
            assert one.last < min(at for at in case.freed if at > begin) < other.first
            # The watchdog would have been the last to end it.
            assert not [at for at, _ in case.notified if begin + 2.0 + stalled < at < one.last]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ttl", "9"], "10 to 86400"),
        (["--lock-delay", "61"], "0 to 60"),
        (["--retry", "0"], "more than 0"),
        (["--margin", "5"], "less than --margin"),
        (["--renew", "26"], "at least two renewals"),
    ],
)
def test_impossible_numbers_are_refused(options: list[str], said: str) -> None:
    words: list[str | Path] = [
        sys.executable,
        EXAMPLE / "campaign.py",
        "--key",
        "x",
        *options,
        "--",
        "true",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_units_are_valid_and_their_numbers_fit(tmp_path: Path) -> None:
    stub = "[Service]\nExecStart=/bin/true\n"
    for name in ("consul", "nginx"):
        (tmp_path / f"{name}.service").write_text(stub)
    units = []
    for unit in sorted(EXAMPLE.glob("*.service")):
        text = unit.read_text()
        program = setting(unit.name, "ExecStart").split()[0]
        units.append(tmp_path / unit.name)
        units[-1].write_text(text.replace(program, "/bin/true", 1))
    assert len(units) == 2
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "systemd-analyze is not installed: scripts/install-test-tools"
    environ = os.environ | {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    words: list[str | Path] = [analyze, "verify", "--man=no", *units]
    done = subprocess.run(
        words, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    numbers = dict(one.split("=") for one in setting("app-campaign.service", "Environment").split())
    of = Numbers(**{name.lower(): float(value) for name, value in numbers.items()})
    assert of == Numbers(60, 15, 20, 5, 10, 5)
    watchdog = float(setting("app-campaign.service", "WatchdogSec"))
    assert of.ttl - of.margin + of.grace < watchdog < of.ttl
    assert of.renew + of.grace < of.lock_delay
