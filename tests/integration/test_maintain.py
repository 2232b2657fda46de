"""`consulfwd maintain` on real Consul: under load by name, two at once, killed at every step."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster
from tests.integration.conftest import NEWEST, OLDEST, generation
from tests.integration.places import addresses
from tests.loopback import free_port

NETWORK = 83
PATIENCE_S = 60.0
# For a reply to whom none is to be lost, on a machine that may stand still for some seconds.
REPLY_S = 10.0
# Where it is killed: at these steps, as it tells them.
STEPS = ("locked", "out", "unnamed", "started", "well", "back")
# What it ends with when Consul does not answer, and how often it is begun again for that.
UNANSWERED, TRIES = 3, 3
CLIENTS, PAUSE_S = 3, 0.01
WORK_S, TTL_S = 0.4, 1

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def kept(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with RealCluster(
        consul_binary,
        addresses(NETWORK, 11, 12, 13),
        workdir=tmp_path_factory.mktemp("kept"),
        extra={"dns_config": {"service_ttl": {"web": f"{TTL_S}s"}}},
    ) as cluster:
        yield cluster


def config(cluster: RealCluster, folder: Path, **more: Any) -> Path:
    path = folder / "consulfwd.yml"
    agents = [
        {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
        for one in cluster.servers
    ]
    path.write_text(json.dumps({"consul": {"agents": agents}, **more}))
    return path


def words(path: Path, state: Path, *options: str) -> list[str]:
    """The command line of a run, with what it does as JSON."""
    base = [sys.executable, "-m", "consulfwd", "maintain", "-c", str(path), "--state", str(state)]
    return [*base, "--json", *options]


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Web:
    """One instance: it answers, unless it is being worked on; who came, and when, is noted."""

    def __init__(self, address: str, port: int, down: Path) -> None:
        self.came: list[float] = []
        self.wrong: list[float] = []
        self._down = down
        self._listener = socket.create_server((address, port), backlog=200)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(OSError):
                    client.settimeout(REPLY_S)
                    asked = client.recv(1000)
                    at = time.monotonic()
                    down = self._down.exists()
                    status = b"503 down" if down else b"200 OK"
                    client.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
                    if b"/health" not in asked:
                        self.came.append(at)
                        if down:
                            self.wrong.append(at)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Client:
    """Looks the name up each time that its answer has expired, and asks one of the addresses."""

    def __init__(self, resolver: tuple[str, int], port: int, over: threading.Event) -> None:
        self.asked = 0
        self.failed: list[str] = []
        self._resolver, self._port, self._over = resolver, port, over
        self._rng = random.Random(id(self))
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        name = b"".join(bytes([len(one)]) + one.encode() for one in ("web", "service", "consul"))
        question = name + b"\0\0\1\0\1"
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(REPLY_S)
        sock.connect(self._resolver)
        found: list[str] = []
        until = 0.0
        while not self._over.is_set():
            self.asked += 1
            try:
                if time.monotonic() >= until:
                    sock.send(os.urandom(2) + b"\1\0\0\1" + bytes(6) + question)
                    reply = sock.recv(4096)
                    count, at = reply[7], 12 + len(question)
                    records = [reply[at + 16 * n : at + 16 * n + 16] for n in range(count)]
                    found = [socket.inet_ntoa(one[12:]) for one in records]
                    until = time.monotonic() + int.from_bytes(records[0][6:10], "big")
                place = self._rng.choice(found), self._port
                with socket.create_connection(place, REPLY_S) as web:
                    web.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                    if not web.recv(1000).startswith(b"HTTP/1.1 200"):
                        self.failed.append(f"{found}: not 200")
            except (OSError, IndexError) as error:
                self.failed.append(repr(error))
            time.sleep(PAUSE_S)
        sock.close()


def register(cluster: RealCluster, port: int) -> None:
    for agent in cluster.servers:
        check = {"HTTP": f"http://{agent.address}:{port}/health", "Interval": "1s"}
        # Who is worked on says so at once; who is well may be long in coming, on a busy machine.
        check |= {"Timeout": f"{REPLY_S:g}s", "Status": "passing"}
        body = {"Name": "web", "ID": "web", "Port": port, "Check": check}
        agent.http("PUT", "/v1/agent/service/register", body)
    wait(lambda: len(cluster.http("GET", "/v1/health/service/web?passing")) == 3)


def wait(condition: Any) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_rolled_over_under_load_by_name(kept: RealCluster, tmp_path: Path, guard: Guard) -> None:
    port = free_port(*[one.address for one in kept.servers])
    webs = {
        one.name: Web(one.address, port, tmp_path / f"down-{one.name}") for one in kept.servers
    }
    at = (kept.servers[0].address, free_port(kept.servers[0].address))
    path = config(kept, tmp_path, listen=[f"{at[0]}:{at[1]}"])
    server = Child(
        "serve", [sys.executable, "-m", "consulfwd", "serve", "-c", str(path)],
        tmp_path / "serve.log", guard,
    )  # fmt: skip
    over = threading.Event()
    clients: list[Client] = []
    server.start()
    try:
        register(kept, port)
        wait(lambda: "ready" in server.log.read_text() or server.log.read_text().count("\n") > 2)
        time.sleep(0.5)
        clients = [Client(at, port, over) for _ in range(CLIENTS)]
        # How often it looks Consul tells from 1.10 on.
        recheck = [] if generation(kept.version) == "modern" else ["--recheck", "0.5"]
        work = f"touch {tmp_path}/down-$MAINTAIN_NODE; sleep {WORK_S};"
        work += f" rm {tmp_path}/down-$MAINTAIN_NODE"
        options = ["--rolling", "--settle=0.3", *recheck]
        command = words(path, tmp_path, "web", *options, "--", "sh", "-c", work)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        over.set()
        for one in clients:
            one.thread.join(5.0)
        told = events(done.stderr)
        assert done.returncode == 0, done.stderr
        assert [one["node"] for one in told if one["event"] == "started"] == sorted(webs)
        assert [one for client in clients for one in client.failed] == []
        assert {name: web.wrong for name, web in webs.items() if web.wrong} == {}
        asked = sum(one.asked for one in clients)
        print(f"{asked} requests, {[len(one.came) for one in webs.values()]} each, none failed")
        assert asked > 100
        # Two of three are ill: the last one is not taken out.
        for name in list(webs)[1:]:
            (tmp_path / f"down-{name}").touch()
        wait(lambda: len(kept.http("GET", "/v1/health/service/web?passing")) == 1)
        last = words(path, tmp_path, "web", "--", "true")
        refused = answered(last)
        assert refused.returncode == 1
        assert "0 healthy of 2 other instances of web would be left" in refused.stderr
        assert "http" in refused.stderr.lower()
        assert out(kept) == {}
    finally:
        over.set()
        server.kill()
        for web in webs.values():
            web.close()
        for agent in kept.servers:
            agent.http("PUT", "/v1/agent/service/deregister/web")


def out(cluster: RealCluster) -> dict[str, str]:
    """Who is in maintenance, and by which reason."""
    found = cluster.http("GET", "/v1/health/state/critical?consistent")
    return {one["ServiceID"]: one["Notes"] for one in found if "maintenance" in one["CheckID"]}


def held(cluster: RealCluster) -> list[str]:
    """Which locks are held."""
    found = cluster.http("GET", "/v1/kv/consulfwd/maintain/?recurse") or []
    return [one["Key"] for one in found if one.get("Session")]


def services(cluster: RealCluster, names: list[str]) -> None:
    for name in names:
        body = {"Name": name, "ID": name, "Port": 1}
        cluster.servers[0].http("PUT", "/v1/agent/service/register", body)


def until(process: subprocess.Popen[str], step: str) -> str:
    """Wait for a step of a run; "" when it came to that, else what it said and ended with."""
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        if line.startswith("{") and json.loads(line)["event"] == step:
            return ""
        said += line
    return f"{said}it ended with {process.wait()}"


def unanswered(code: int, said: str) -> bool:
    """Whether Consul did not answer a run, as in an election: whoever comes again may."""
    return code == UNANSWERED and "no reply within" in said


def answered(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, which is not that Consul did not answer."""
    for _ in range(TRIES):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not unanswered(done.returncode, done.stderr):
            break
    return done


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@NEWEST
def test_killed_at_every_step_then_again(kept: RealCluster, tmp_path: Path) -> None:
    path = config(kept, tmp_path)
    names = [f"step-{one}" for one in STEPS]
    services(kept, names)
    common = ("--keep", "0", "--settle", "0.1", "--recheck", "0.3")

    def kill(name: str) -> str:
        state = tmp_path / name
        command = words(path, state, name, *common, "--", "sleep", "0.2")
        for _ in range(TRIES):
            with started(command) as process:
                said = until(process, name.removeprefix("step-"))
                if not said or not unanswered(process.wait(), said):
                    break
        return said

    def again(name: str) -> tuple[int, str]:
        state = tmp_path / name
        last = ["--back"] if len(name) % 2 else [*common, "--", "sleep", "0.2"]
        done = answered(words(path, state, name, *last))
        return done.returncode, done.stderr

    with ThreadPoolExecutor(4) as pool:
        came = dict(zip(names, pool.map(kill, names), strict=True))
        assert came == dict.fromkeys(names, "")
        # Some of them are out now, by a mark that says whose it is.
        wait(lambda: {"step-out", "step-unnamed", "step-started"} <= set(out(kept)))
        assert all(one.startswith("consulfwd maintain by ") for one in out(kept).values())
        ended = dict(zip(names, pool.map(again, names), strict=True))
    assert {name: one for name, one in ended.items() if one[0]} == {}
    assert out(kept) == {}
    assert held(kept) == []
    assert list(tmp_path.glob("*/*.json")) == []


RIGHTS = re.compile(r"With ACLs the token .*?```\n(.*?)```", re.DOTALL)


@NEWEST
def test_with_the_rights_of_the_document_and_with_one_less(
    consul_binary: Path, tmp_path: Path, project: Path
) -> None:
    found = RIGHTS.search((project / "docs" / "maintenance.md").read_text())
    assert found is not None
    rules = found[1].splitlines()
    agents = addresses(NETWORK, 21, 22, 23)
    with RealCluster(consul_binary, agents, workdir=tmp_path / "acl", acl=True) as cluster:
        services(cluster, ["web"])
        token = tmp_path / "token"
        path = config(cluster, tmp_path)
        settings = json.loads(path.read_text())
        for one in settings["consul"]["agents"]:
            one["token_file"] = str(token)
        path.write_text(json.dumps(settings))
        command = words(path, tmp_path, "web", "--keep=0", "--settle=0", "--recheck=0")
        command += ["--", "true"]

        def run(rights: list[str]) -> tuple[int, str]:
            token.write_text(cluster.create_token("\n".join(rights)))
            done = answered(command)
            return done.returncode, done.stderr

        assert run(rules)[0] == 0
        for missing in ("agent_prefix", "key_prefix"):
            rights = [one for one in rules if not one.startswith(missing)]
            code, said = run(rights)
            assert code == 3
            assert f"it needs {missing} " in said
        code, said = run([rules[0].replace("write", "read"), *rules[1:]])
        assert code == 3
        assert 'it needs service "NAME" { policy = "write" }' in said
        assert out(cluster) == {}


@OLDEST
def test_two_at_once_and_one_that_is_ended(kept: RealCluster, tmp_path: Path) -> None:
    """Each with a state of its own, as if they were on two hosts."""
    path = config(kept, tmp_path)
    services(kept, ["shared"])
    record = tmp_path / "record"
    work = f"echo begin >> {record}; sleep 0.4; echo end >> {record}"
    common = ("shared", "--keep", "0", "--settle", "0.1", "--recheck", "0", "--", "sh", "-c")

    def run(state: str) -> int:
        command = words(path, tmp_path / state, *common, work)
        return answered(command).returncode

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, ["one", "other"])) == [0, 0]
    assert record.read_text().split() == ["begin", "end", "begin", "end"]
    command = words(path, tmp_path / "one", *common, "sleep 30")
    with started(command) as process:
        assert until(process, "started") == ""
        assert list(out(kept)) == ["shared"]
        process.send_signal(signal.SIGTERM)
        assert until(process, "back") == ""
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert out(kept) == {}
    assert held(kept) == []
    # What somebody else has in maintenance is left alone.
    switch = "/v1/agent/service/maintenance/shared"
    kept.servers[0].http("PUT", f"{switch}?enable=true&reason=theirs")
    wait(lambda: out(kept) == {"shared": "theirs"})
    assert run("one") == 1
    assert out(kept) == {"shared": "theirs"}
    kept.servers[0].http("PUT", f"{switch}?enable=false")
