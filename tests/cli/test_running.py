"""The commands that ask a running process, at `consulfwd serve` on development agents.

One server for all of it, in the order of this file: each test leaves it well, but for the last.
What docs/status.md shows is what they print here.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.background import Background
from tests.cli.conftest import Ended, Run
from tests.loopback import OWN, free_port
from tests.net.messages import parse, question
from tests.net.world import GALERA

PROGRAM = [sys.executable, "-m", "consulfwd.cli.main"]
NAME = "galeradb.service.consul"
PAGE = Path(__file__).parents[2] / "docs" / "status.md"


class Site:
    """A running server, and the agents it asks."""

    def __init__(self, folder: Path, consul: Background) -> None:
        self.consul = consul
        self.socket = folder / "serve.sock"
        self.log = folder / "log"
        self.port = free_port()
        agents = [
            {"address": one.address, "dns_port": one.dns_port, "http_port": one.http_port}
            for one in consul.agents
        ]
        settings = {
            "listen": [f"{OWN}:{self.port}"],
            "resolv_conf": "/nonexistent",
            "consul": {"agents": agents},
            "admin": {"socket": str(self.socket)},
        }
        file = folder / "consulfwd.yml"
        file.write_text(json.dumps(settings))
        with self.log.open("w") as log:
            command = [*PROGRAM, "serve", "-c", str(file)]
            self.process = subprocess.Popen(command, stderr=log)

    def ask(self, name: str = NAME) -> list[str]:
        """The answer for a name; an error is none."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((OWN, self.port))
            sock.send(question(name))
            reply = parse(sock.recv(4096))
        assert reply.rcode in ("NOERROR", "NXDOMAIN")
        return sorted(reply.data)

    def asked(self, number: int, name: str = NAME) -> int:
        """How often an agent was asked for a name."""
        return sum(one.name.rstrip(".") == name for one in self.consul.agents[number].queries)


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Background(http=True) as consul:
        found = Site(tmp_path_factory.mktemp("site"), consul)
        try:
            until(lambda: "no recursors" in found.log.read_text())
            until(found.socket.exists)
            yield found
        finally:
            found.process.terminate()
            code = found.process.wait(10)
        assert code == 0
        assert "Traceback" not in found.log.read_text()


@pytest.fixture
def at(run: Run, site: Site) -> Callable[..., Ended]:
    """Run a command that asks the server."""

    def consulfwd(*words: str) -> Ended:
        return run(*words, "--socket", str(site.socket))

    return consulfwd


# What differs from run to run: times, numbers, the order of addresses, which agent limps.
BLOTTED = (
    (r"\b\d+(\.\d+)? (ms|s|min|h|d)\b( \d+ (min|h)\b)?|\d\d:\d\d:\d\d", "#"),
    (r"10\.0\.(10|0)\.1\d", r"10.0.\1.1x"),
    (r"\b[\d,]+\b(?![.:])", "#"),
    (r"asked behind the others: .*", ""),
    (r"(first|then): it is behind the others \(.*?\)", r"\1: it is up"),
    (r"(first in order that is up: \S+ is down); .*", r"\1"),
    (r"(asked of upstreams #).*", r"\1"),
    (r" +", " "),
)


def alike(text: str, site: Site | None = None) -> list[str]:
    """Lines without what differs from run to run; names are those that the page has."""
    if site is not None:
        for number, name in enumerate(site.consul.names, 11):
            text = text.replace(name, f"10.0.0.{number}:8600")
        text = text.replace(f"{OWN}:{site.port}", "127.0.0.1:53")
        text = text.replace(socket.gethostname(), "db1")
    for pattern, instead in BLOTTED:
        text = re.sub(pattern, instead, text)
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if "ranked anew" not in line and "before those" not in line]


def shown(command: str) -> str:
    """What the page says that a command prints."""
    output = rf"^\$ {re.escape(command)}\n(.*?)(?=^```|^\$ )"
    found = re.search(output, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, command
    return found[1]


def test_all_is_well(at: Run, site: Site) -> None:
    done = at("status")
    assert (done.code, done.err) == (0, "")
    assert "all is well" in done.out.splitlines()[0]
    assert done.out.count(" up ") >= 3
    (raw,) = json.loads(at("status", "--json").out)
    assert raw["status"]["verb"] == "serve"
    assert raw["status"]["pid"] == site.process.pid


def test_what_is_flushed_is_asked_for_again(at: Run, site: Site) -> None:
    def kept() -> bool:
        before = site.asked(0)
        assert site.ask() == GALERA
        return site.asked(0) == before

    # Once its watch is in force an answer is kept.
    until(kept)
    done = at("cache", "show", NAME)
    assert done.code == 0
    assert alike(done.out, site) == alike(shown(f"consulfwd cache show {NAME}"))
    done = at("explain", NAME)
    assert done.code == 0
    assert alike(done.out, site) == alike(shown(f"consulfwd explain {NAME}"))
    before = site.asked(0)
    assert at("cache", "flush", "--subtree", "service.consul").out.startswith("dropped ")
    done = at("cache", "show", NAME)
    assert (done.code, done.out) == (1, f"nothing is kept of {NAME}\n")
    assert site.ask() == GALERA
    assert site.asked(0) == before + 1


def test_queries_are_shown_as_they_are_answered(site: Site) -> None:
    words = ["querylog", "tail", "--socket", str(site.socket)]
    with subprocess.Popen([*PROGRAM, *words], stdout=subprocess.PIPE, text=True) as tail:
        over = threading.Event()

        def load() -> None:
            while not over.wait(0.05):
                site.ask()

        asking = threading.Thread(target=load)
        asking.start()
        try:
            assert tail.stdout is not None
            assert f" {NAME}. A from 127.0.0.1 over udp: NOERROR, " in tail.stdout.readline()
        finally:
            over.set()
            asking.join()
            tail.kill()


def test_queries_are_logged_on_request(at: Run, site: Site) -> None:
    assert at("querylog", "on").out == "queries: all queries, to the log\n"
    site.ask()
    until(lambda: f"{NAME}. A from 127.0.0.1" in site.log.read_text())
    assert "query log: all queries, to the log" in at("status").out
    assert at("querylog", "off").out == "queries: not logged\n"


def test_an_agent_goes_for_work_and_nobody_notices(at: Run, site: Site) -> None:
    over = threading.Event()
    errors: list[BaseException] = []
    count = 0

    def load() -> None:
        nonlocal count
        try:
            while not over.is_set():
                # Each is another question: an agent is asked.
                site.ask(f"x{count}.{NAME}")
                count += 1
        except BaseException as error:
            errors.append(error)

    def more() -> None:
        before = count
        until(lambda: errors or count > before + 50)

    first = site.consul.agents[0]
    name = site.consul.names[0]
    loading = threading.Thread(target=load)
    loading.start()
    try:
        more()
        done = at("drain", name)
        assert (done.code, done.err) == (0, "")
        assert alike(done.out, site) == alike(shown("consulfwd drain 10.0.0.11:8600"))
        first.queries.clear()
        more()
        assert {one.name for one in first.queries if one.name.startswith("x")} == set()
        site.consul.do(first.stop())
        more()
        site.consul.do(first.start())
        assert " drained " in at("status").plain
        done = at("undrain", name)
        assert (done.code, done.out) == (0, f"{name} is asked again\n")
    finally:
        over.set()
        loading.join()
    assert errors == []
    until(lambda: json.loads(at("status", "--json").out)[0]["status"]["faults"] == [])


def test_a_killed_agent(at: Run, site: Site) -> None:
    until(lambda: at("status").code == 0)
    site.consul.do(site.consul.agents[0].stop())

    def down() -> bool:
        site.ask(f"y{time.monotonic_ns()}.{NAME}")
        seen = json.loads(at("status", "--json").out)[0]["status"]["resolver"]["upstreams"]
        return [one["state"] for one in seen] == ["down", "up", "up"]

    until(down)
    done = at("status")
    assert done.code == 1
    assert alike(done.out, site) == alike(shown("consulfwd status"))
    explained = at("explain", f"z.{NAME}").plain
    first, *others = site.consul.names
    assert any(f"now what {one} says" in explained for one in others)
    assert f"{first} down then: it is down" in explained
