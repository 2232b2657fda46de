"""Servers started with generated files ask agents whose addresses count on one interface only."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import pytest

from consulfwd.config import Agent, Settings
from consulfwd.config.sections import ConsulSettings
from consulfwd.dev.child import Child, Guard
from consulfwd.generate.building import build
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.answering import ADDRESS, AnsweringAgent
from tests.integration.asking import data
from tests.integration.generating import MAINS, Case, run
from tests.integration.namespaces import FAR, Host, cable
from tests.integration.recursors import HOST
from tests.integration.test_generated import included, write_files

NAME = "galeradb.service.consul"
PORT, ELSEWHERE = 5399, 5398


class LinkLocalAgent(AnsweringAgent):
    """Asked at FAR."""

    def __init__(self) -> None:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind((FAR, 8600, 0, socket.if_nametoindex("far")))
        super().__init__(sock)


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
    generated = tmp_path / "generated"
    generated.mkdir()
    settings = Settings(consul=ConsulSettings(agents=agents))
    site = build(settings, version, include=included(target, generated), kinds=target.kinds)
    files = write_files(site, target, set(), generated)
    command = MAINS[server](Case(tmp_path, files, PORT, ELSEWHERE))
    for main in tmp_path.glob("main.conf"):
        # Elsewhere there is nobody to be asked over IPv6.
        main.write_text(main.read_text().replace("net.ipv6 = false", "net.ipv6 = true"))
    agent = LinkLocalAgent()
    child = Child(server, command, tmp_path / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: found() == {ADDRESS}, "asking the agent")
    finally:
        child.kill()
        agent.close()


def found() -> set[str]:
    """What the server answers."""
    try:
        return data(dns.query.udp(dns.message.make_query(NAME, "A"), HOST, 1.0, PORT), "A")
    except (OSError, dns.exception.Timeout):
        return set()
