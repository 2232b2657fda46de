"""What real Consul leaves out of a datagram without a word, and whether that is noticed.

Consul of every generation, services that grow by an instance at a time, the size that agents off
the host are asked with. How many answers there are is told over TCP.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import dns.message
import pytest

from consulfwd.core.ask import SIZE_ELSEWHERE, Ask
from consulfwd.core.routes import Kind, Route
from consulfwd.core.upstreams import Upstream
from consulfwd.dev.real import RealCluster
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.names import from_text
from consulfwd.dns.wire import read_query
from tests.integration.asking import PATIENCE_S, ask, question
from tests.integration.places import addresses

AGENT = Upstream("agent", "10.0.0.1", 8600, is_agent=True, on_host=False)
CONSUL = Route(from_text("consul"), Kind.CONSUL)
# Each kind of service: its types, and how many instances are whole where nothing is to be doubted.
KINDS = {
    "four": ("A", 71),
    "six": ("AAAA", 40),
    # With metadata, and an address of its own or not; and without.
    "node": ("SRV", 13),
    "own": ("SRV", 12),
    "bare": ("SRV", 0),
}


@pytest.fixture(scope="module")
def alone(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    """One server, with nothing else on it."""
    folder = tmp_path_factory.mktemp("cut")
    with RealCluster(consul_binary, addresses(51, 11), workdir=folder) as cluster:
        yield cluster


def grow(cluster: RealCluster, kind: str, number: int) -> None:
    """Register one more instance."""
    node, ip = f"{kind}{number:02}", f"fd00::{number}" if kind == "six" else f"10.0.9.{number}"
    if kind == "bare":
        service = {"Service": kind, "Port": 80}
        body = {"Node": node, "Address": ip, "Service": service}
        cluster.http("PUT", "/v1/catalog/register", body)
    else:
        own = ip if kind == "own" else ""
        cluster.register(node, kind, address=ip, port=80, service_address=own)


def over_udp(cluster: RealCluster, query: dns.message.Message) -> tuple[Ask, Message]:
    """The question, and the reply as it is read here."""
    wire = query.to_wire()
    asked = Ask(read_query(wire), CONSUL)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.connect((cluster.servers[0].address, cluster.servers[0].dns_port))
        sock.send(wire)
        return asked, read_reply(sock.recv(65535), asked.question)


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_goes_unnoticed(alone: RealCluster, kind: str) -> None:
    rtype, sure = KINDS[kind]
    name = f"{kind}.service.consul"
    at = (alone.servers[0].address, alone.servers[0].dns_port)
    silent = 0
    trusted = []
    for number in range(1, max(sure, 20) + 12):
        grow(alone, kind, number)
        if number < sure - 12:
            continue
        whole = sum(map(len, ask(at, name, rtype, tcp=True).answer))
        assert whole == number
        # Which instances come first is chance.
        for _ in range(3):
            asked, reply = over_udp(alone, question(name, rtype, SIZE_ELSEWHERE))
            cut = asked.cut(AGENT, reply)
            if reply.answers < number:
                silent += not reply.truncated
                assert cut, f"{reply.answers} of {number} in {reply.size} octets"
            elif not cut:
                trusted.append(number)
    assert silent
    assert max(trusted, default=0) == sure
