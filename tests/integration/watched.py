"""`render --watch` and `generate --watch` as processes, each with a token, at agents of all kinds.

What belongs here: the processes, tokens whose rights change, and agents in front of real ones: one
that refuses all, one that passes on and counts. What is promised of them is in the tests.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.coreless import HeldUp
from tests.integration.own_words import own_words

HOST = "127.0.0.1"
POLL_S = 0.02
# What is written is written so long after a change, in seconds.
QUIESCENCE = "0.1:0.5"
AS_EVER = ("-m", "consulfwd.cli.main")
# A second is a minute by the clock that says when to ask and to tell; not for connections.
FAST = 60
HURRIED = (
    "-c",
    f"""\
import asyncio
import time
from consulfwd.cli.main import main
from consulfwd.consul.following import Following
usual = Following.__init__.__kwdefaults__
usual["clock"] = lambda: {FAST} * time.monotonic()
usual["sleep"] = lambda seconds: asyncio.sleep(seconds / {FAST})
main()
""",
)
# What nothing wakes shows after 5 to 10 s, not after one or two minutes.
BRISK = (
    "-c",
    """\
from consulfwd.cli.main import main
from consulfwd.consul import belief
belief.WAIT = 5.0
main()
""",
)
# Pauses after a refusal are from the first on what they are after an hour of refusals.
WEARY = (
    "-c",
    """\
from consulfwd.cli.main import main
from consulfwd.consul import blocking, turns
blocking.PAUSE = blocking.LONGEST_PAUSE
turns.PASSED_OVER = turns.LONGEST
main()
""",
)
TEMPLATE = "{{% for one in service('{service}') %}}{{{{ one.address }}}} {{% endfor %}}\n"
# Notes who was ever named in a file, a line each time it is written.
NOTE = "(grep -Eo '10[.]9[.][0-9.]+' {file} | sort -u | tr '\\n' ' '; echo) >> {file}.ever"
_ADDRESSES = re.compile(r"10\.9\.\d+\.\d+")


class Token:
    """An ACL token whose one policy can be changed; its secret is in `file`, as is usual."""

    def __init__(self, cluster: RealCluster, rules: str, file: Path) -> None:
        self._cluster = cluster
        self._policy = {"Name": f"watched-{uuid.uuid4()}", "Rules": rules}
        made = cluster.http("PUT", "/v1/acl/policy", self._policy)
        self._policy["ID"] = made["ID"]
        self.file = file
        self._made = self._make()
        self._write()

    def may(self, rules: str) -> None:
        """Change what it may do."""
        self._policy["Rules"] = rules
        self._cluster.http("PUT", f"/v1/acl/policy/{self._policy['ID']}", self._policy)

    def revoke(self) -> None:
        """Take it away from Consul; the file keeps the secret."""
        self._cluster.http("DELETE", f"/v1/acl/token/{self._made['AccessorID']}")

    def rotate(self) -> None:
        """Put another one into the file, which is replaced as a whole, and revoke this one."""
        old, self._made = self._made, self._make()
        self._write()
        self._cluster.http("DELETE", f"/v1/acl/token/{old['AccessorID']}")

    def renew(self) -> None:
        """Put another one into the file; this one was revoked already."""
        self._made = self._make()
        self._write()

    def _make(self) -> dict[str, str]:
        body = {"Policies": [{"Name": self._policy["Name"]}]}
        made: dict[str, str] = self._cluster.http("PUT", "/v1/acl/token", body)
        return made

    def _write(self) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(self._made["SecretID"] + "\n")
        beside.replace(self.file)


class At(NamedTuple):
    """Where an agent is asked over HTTP; `dns_port` is part of what it is called."""

    address: str
    http_port: int
    dns_port: int

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.address}:{self.dns_port}"


def at(agent: RealAgent) -> At:
    return At(agent.address, agent.http_port, agent.dns_port)


def backend(agent: At, token: str) -> str | None:
    """What an agent says a blocking query was answered by."""
    there = http.client.HTTPConnection(agent.address, agent.http_port, timeout=10)
    with contextlib.closing(there):
        path = "/v1/health/service/consul?index=1&wait=1s"
        there.request("GET", path, headers={"X-Consul-Token": token})
        return there.getresponse().getheader("X-Consul-Query-Backend")


class Watch(Child):
    """A `--watch` that keeps `files` (by service), started with its settings in `folder`."""

    def __init__(
        self,
        folder: Path,
        guard: Guard,
        agents: Sequence[At],
        token: Token,
        words: Sequence[str | Path],
        files: Mapping[str, Path],
        python: Sequence[str],
    ) -> None:
        settings = folder / "consulfwd.yml"
        asked = [{**one._asdict(), "token_file": str(token.file)} for one in agents]
        settings.write_text(json.dumps({"consul": {"agents": asked}}))
        command = [sys.executable, "-X", "dev", "-W", "error", *python, *words, "-c", settings]
        command += ["--watch", "--quiescence", QUIESCENCE]
        super().__init__(folder.name, command, folder / "log", guard)
        self.files = files

    def named(self, service: str) -> set[str] | None:
        """Who is named in the file of a service, None where there is no file."""
        file = self.files[service]
        return set(_ADDRESSES.findall(file.read_text())) if file.exists() else None

    def names(self, service: str, who: set[str]) -> bool:
        """Whether these are named in the file of a service, and nobody else."""
        return self.named(service) == who

    def lines(self, *texts: str) -> list[str]:
        """The lines of its log that say all of this."""
        said = self.log.read_text().splitlines()
        return [line for line in said if all(text in line for text in texts)]

    def ever(self, service: str) -> list[set[str]]:
        """Who was named each time that the file of a service was written."""
        noted = Path(f"{self.files[service]}.ever").read_text()
        return [set(line.split()) for line in noted.splitlines()]

    def end(self) -> None:
        """End it; it must have been alive and end in order."""
        try:
            assert self.running, self.tail()
            self.terminate()
            log = own_words(self.log.read_text())
            assert log.endswith("stopped\n"), log
            assert "Traceback" not in log, log
        finally:
            self.kill()


def render(
    folder: Path,
    guard: Guard,
    agents: Sequence[At],
    token: Token,
    *services: str,
    python: Sequence[str] = AS_EVER,
) -> Watch:
    """`render --watch` with a file for each of the services."""
    folder.mkdir()
    files = {service: folder / f"{service}.txt" for service in services}
    words: list[str | Path] = ["render"]
    for service, file in files.items():
        template = folder / f"{service}.tpl"
        template.write_text(TEMPLATE.format(service=service))
        words.append(f"{template}:{file}:{NOTE.format(file=file)}")
    return Watch(folder, guard, agents, token, words, files, python)


def generate(
    folder: Path,
    guard: Guard,
    agents: Sequence[At],
    token: Token,
    service: str,
    python: Sequence[str] = AS_EVER,
) -> Watch:
    """`generate --watch --from-catalog`, with a file that names the nodes of a service."""
    folder.mkdir()
    file = folder / "consul.conf"
    words: list[str | Path] = ["generate", "dnsmasq", "--server-version", "2.90", "--from-catalog"]
    words += ["--service", service, "--dest", file]
    words += ["--no-check", "--verify", "none", "--reload", NOTE.format(file=file)]
    return Watch(folder, guard, agents, token, words, {service: file}, python)


class Asked(NamedTuple):
    """One request: when it came, and whether it waits for a change."""

    at: float
    blocking: bool


class Front:
    """An agent of the tests' own: refuses everything with `status`, or passes it on to `target`."""

    def __init__(self, dns_port: int, status: int = 0, target: At | None = None) -> None:
        self.asked: list[Asked] = []
        self.backends: set[str | None] = set()
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                blocking = "index=" in self.path
                front.asked.append(Asked(time.monotonic(), blocking))
                if target is None:
                    self.answer(status, {}, b"Permission denied")
                    return
                there = http.client.HTTPConnection(target.address, target.http_port, timeout=30)
                try:
                    there.request("GET", self.path, headers=dict(self.headers))
                    reply = there.getresponse()
                    headers = {k: v for k, v in reply.getheaders() if k.startswith("X-Consul")}
                    if blocking:
                        front.backends.add(reply.getheader("X-Consul-Query-Backend"))
                    self.answer(reply.status, headers, reply.read())
                except (OSError, http.client.HTTPException):
                    self.close_connection = True  # either end is gone
                finally:
                    there.close()

            def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        # One that waits for a change ends with what it asks.
        self._server.block_on_close = False
        self.at = At(HOST, self._server.server_address[1], dns_port)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def within(self, begin: float, seconds: float) -> list[Asked]:
        """What comes in this time, after which this returns."""
        wait(lambda: time.monotonic() >= begin + seconds, seconds)
        return [one for one in self.asked if begin <= one.at < begin + seconds]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def wait(condition: Callable[[], object], seconds: float, *programs: Child) -> bool:
    """Wait for a condition, so long at most; whether it holds.

    What the machine held up this process and those programs is allowed besides, and what its disk
    held up Consul.
    """
    held, end = HeldUp(*(one.pid for one in programs), disk=True), time.monotonic() + seconds
    while not condition():
        if (now := time.monotonic()) >= end and now >= end + held.seconds():
            return False
        time.sleep(POLL_S)
    return True
