"""Addresses that a host does not have at the start, in network namespaces (needs root)."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from consulfwd.config import Endpoint
from consulfwd.dev.child import Guard
from consulfwd.server import Server
from tests.integration.namespaces import Host, network
from tests.integration.served import serve
from tests.net.messages import parse, question
from tests.net.world import ask, nothing_left_behind, settings, until
from tests.test_kept import Manager
from tests.test_kept import manager as manager

OFF = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
BOTH = {"listen": ["127.0.0.1:53", "[::1]:53"], "recursors": ["127.0.0.1:9"]}


@pytest.fixture
def host() -> Iterator[Host]:
    """A host of our own without IPv6, in which the test runs."""
    host = Host("us")
    with host.inside():
        OFF.write_text("1")
        yield host
    host.close()


def answers(address: str, *, tcp: bool) -> bool:
    query = dns.message.make_query("localhost", "A")
    way = dns.query.tcp if tcp else dns.query.udp
    try:
        return bool(way(query, address, timeout=10).answer)
    except OSError:
        return False


@pytest.mark.parametrize("again", ["the address comes", "a reload"])
def test_ipv6_that_is_off(
    again: str, host: Host, tmp_path: Path, guard: Guard, manager: Manager
) -> None:
    environ = {"NOTIFY_SOCKET": str(manager.path)}
    with serve(BOTH, tmp_path, guard, environ=environ) as served:
        missing = r"WARNING cannot listen on \[::1\]:53: cannot assign requested address; no "
        assert len(re.findall(missing, served.said())) == 1
        assert [answers("127.0.0.1", tcp=tcp) for tcp in (False, True)] == [True, True]
        assert not answers("::1", tcp=True)
        OFF.write_text("0")
        if again == "a reload":
            os.kill(served.pid, signal.SIGHUP)
        served.wait_until(lambda: answers("::1", tcp=True), "listening on ::1")
        assert answers("::1", tcp=False)
        assert len(re.findall(r"\[::1\]:53: ", served.said())) == 1
    kept = [lines[1] for lines, _ in iter_until(manager, "STOPPING=1") if lines[0] == "FDSTORE=1"]
    assert kept == ["FDNAME=dns-127.0.0.1-53", "FDNAME=dns-..1-53"]


def iter_until(manager: Manager, last: str) -> Iterator[tuple[list[str], list[int]]]:
    """What the manager heard; descriptors that came with it are closed."""
    while True:
        lines, numbers = manager.heard()
        for number in numbers:
            os.close(number)
        if lines[0] == last:
            return
        yield lines, numbers


async def test_those_on_a_network_that_comes_later_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consulfwd.net.ticks.EPOCH", 0.01)
    monkeypatch.setattr("consulfwd.net.listening.SOON", 0.05)
    with network({"us": {}, "guest": {"lan": "10.26.0.2/24"}}) as made:
        us, guest = made.hosts["us"], made.hosts["guest"]
        with us.inside():
            async with nothing_left_behind():
                server = Server(settings(None, listen=["127.0.0.1:53", "10.26.0.1:53"]))
                await server.start()
                try:
                    (at,) = server.endpoints
                    assert (await ask(at, "localhost")).data == ["127.0.0.1"]
                    made.join(us, "lan", "10.26.0.1/24")
                    late = Endpoint(host="10.26.0.1", port=53)
                    await until(lambda: server.endpoints == [at, late])
                    with guest.inside():
                        client = socket.socket(type=socket.SOCK_DGRAM)
                    with client:
                        client.setblocking(False)
                        client.connect(("10.26.0.1", 53))
                        client.send(question("localhost"))
                        reply = await asyncio.wait_for(
                            asyncio.get_running_loop().sock_recv(client, 4096), 5
                        )
                    assert (parse(reply).rcode, parse(reply).data) == ("NOERROR", ["127.0.0.1"])
                finally:
                    await server.stop()
