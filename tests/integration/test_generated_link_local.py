"""Servers started with generated files ask agents whose addresses count on one interface only."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rrset
import pytest

from consulfwd.config import Agent, Settings
from consulfwd.config.sections import ConsulSettings
from consulfwd.dev.child import Child, Guard
from consulfwd.generate.model import build
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.asking import data
from tests.integration.generating import MAINS, Case, run
from tests.integration.namespaces import FAR, Host, cable
from tests.integration.recursors import HOST
from tests.integration.test_generated import write_files

NAME, ADDRESS = "galeradb.service.consul", "10.0.0.7"
PORT, ELSEWHERE = 5399, 5398


class LinkLocalAgent:
    """For every name it has the same address; asked at FAR over UDP, until it is closed."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self._sock.bind((FAR, 8600, 0, socket.if_nametoindex("far")))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            wire, peer = self._sock.recvfrom(4096)
            if not wire:
                return
            query = dns.message.from_wire(wire)
            reply = dns.message.make_response(query, recursion_available=True)
            name = query.question[0].name
            reply.answer.append(dns.rrset.from_text(name, 0, "IN", "A", ADDRESS))
            self._sock.sendto(reply.to_wire(), peer)

    def close(self) -> None:
        self._sock.sendto(b"", self._sock.getsockname())
        self._thread.join()
        self._sock.close()


@pytest.fixture
def host() -> Iterator[Host]:
    """A host with a cable, in which the test runs."""
    made = Host("us")
    with made.inside():
        cable(made)
        yield made
    made.close()


@pytest.mark.parametrize("server", [one for one in MAINS if one != "named.conf"])
def test_they_are_asked(server: str, host: Host, guard: Guard, tmp_path: Path) -> None:
    target = TARGETS[server]
    version = parse_version(target, run([*target.ask_version]))
    agents = (Agent(address=f"{FAR}%lan"),)
    site = build(Settings(consul=ConsulSettings(agents=agents)), version)
    generated = tmp_path / "generated"
    generated.mkdir()
    files = write_files(site, target, set(), generated)
    command = MAINS[server](Case(tmp_path, files, PORT, ELSEWHERE))
    for main in tmp_path.glob("main.conf"):
        # Elsewhere there is nobody to be asked over IPv6.
        main.write_text(main.read_text().replace("net.ipv6 = false", "net.ipv6 = true"))
    agent = LinkLocalAgent()
    child = Child(server, command, tmp_path / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: found() == {ADDRESS}, "asking the agent", 30.0)
    finally:
        child.kill()
        agent.close()


def found() -> set[str]:
    """What the server answers."""
    try:
        return data(dns.query.udp(dns.message.make_query(NAME, "A"), HOST, 1.0, PORT), "A")
    except (OSError, dns.exception.Timeout):
        return set()
