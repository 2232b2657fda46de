"""TCP clients of other hosts and of this one: who counts for whom, on real networks."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.query
import pytest

from consulfwd.dev.child import Guard
from tests.integration.namespaces import Host, network
from tests.integration.served import serve

PORT = 5353
US, BAD, GOOD = "10.99.0.1", "10.99.0.2", "10.99.0.3"
PREFIX, OTHER = "fd00:99:0:1:", "fd00:99:0:2:"
WIRE = dns.message.make_query("localhost", "A").to_wire()
PACKET = len(WIRE).to_bytes(2, "big") + WIRE


@contextlib.contextmanager
def connected(host: Host, at: str, count: int, *sources: str) -> Iterator[list[socket.socket]]:
    """So many connections from a host, from each of these addresses in turn."""
    with contextlib.ExitStack() as stack, host.inside():
        socks = []
        for number in range(count):
            source = (sources[number % len(sources)], 0) if sources else None
            sock = socket.create_connection((at, PORT), 10, source)
            socks.append(stack.enter_context(sock))
        yield socks


def is_answered(sock: socket.socket) -> bool:
    try:
        sock.sendall(PACKET)
        return len(sock.recv(2)) == 2
    except ConnectionError:
        return False


def are_open(socks: list[socket.socket]) -> int:
    """How many of them the server has not closed."""
    ready, _, _ = select.select(socks, [], [], 0)
    return len(socks) - len(ready)


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    plan = {
        "us": {"lan": f"{US}/24"}, "bad": {"lan": f"{BAD}/24"}, "good": {"lan": f"{GOOD}/24"},
    }  # fmt: skip
    with network(plan) as lan:
        for number, host in enumerate(lan.hosts.values(), 1):
            for prefix in (PREFIX, OTHER):
                for last in (0, 10, 20):
                    address = f"{prefix}:{number + last:x}/63"
                    host.ip(f"addr add {address} dev lan nodad")
        yield lan.hosts


def settings(*listen: str) -> dict[str, object]:
    return {
        "listen": [f"{one}:{PORT}" for one in listen],
        "access": {"allow": ["127.0.0.0/8", "::1", "10.99.0.0/24", "fd00:99::/32"]},
        "consul": {"watch": {"enabled": False}, "quality": {"every": 0}},
        "tcp": {"max_connections": 80, "max_per_client": 20},
    }


def test_a_host_that_holds_connections_keeps_nobody_out(
    hosts: dict[str, Host], tmp_path: Path, guard: Guard
) -> None:
    us, bad, good = (hosts[name] for name in ("us", "bad", "good"))
    with us.inside(), serve(settings(US, "127.0.0.1"), tmp_path, guard) as served:
        with connected(bad, US, 100) as held, connected(good, US, 10) as others:
            assert [is_answered(sock) for sock in others] == [True] * 10
            assert are_open(held) == 20
            for sock in held:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(b"\0")
            assert [is_answered(sock) for sock in others] == [True] * 10
            # The programs of the host itself, wherever they ask, are not one client.
            for at in (US, "127.0.0.1"):
                with connected(us, at, 70) as own:
                    assert [is_answered(sock) for sock in own] == [True] * 70
            # They needed the places of those who had been idle longer.
            assert are_open(held) == 0
            with good.inside():
                query = dns.message.make_query("localhost", "A")
                assert dns.query.tcp(query, US, timeout=5, port=PORT).answer
        assert "TCP connections" not in served.said()


def test_a_host_has_all_addresses_of_its_network(
    hosts: dict[str, Host], tmp_path: Path, guard: Guard
) -> None:
    us, bad = hosts["us"], hosts["bad"]
    at = f"{PREFIX}:1"
    mine = [f"{PREFIX}:{last:x}" for last in (2, 12, 22)]
    with (
        us.inside(),
        serve(settings(f"[{at}]", "127.0.0.1"), tmp_path, guard),
        connected(bad, at, 30, *mine) as one,
        connected(bad, at, 15, f"{OTHER}:2") as other,
    ):
        # Who came last first: then all have been taken in.
        assert [is_answered(sock) for sock in reversed([*one, *other])] == (
            [True] * 15 + [True] * 20 + [False] * 10
        )
