"""The process's limits: what clients may take of the open files leaves enough for upstreams."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.cli.background import Background
from tests.net.world import GALERA, free_port

NAME = "galeradb.service.consul"
FILES = 256

PROGRAM = """
import resource, sys
from consulfwd.process import make_room

soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(make_room(connections), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "then"),
    [
        # Raised as far as the settings want, and it is allowed.
        (256, 20_000, 1000, 1000, 16_384),
        (256, 20_000, 10_000, 10_000, 19_216),
        (256, 16_384, 10_000, 7168, 16_384),
        (18_000, 20_000, 1000, 1000, 18_000),
        # Where there are few, most of them are for upstreams.
        (256, 1024, 1000, 256, 1024),
        (64, 64, 1000, 16, 64),
        (64, 64, 10, 10, 64),
    ],
)
def test_room_for_connections(soft: int, hard: int, wanted: int, room: int, then: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(room), str(then), str(hard)]


def test_idle_clients_leave_sockets_for_upstreams(tmp_path: Path) -> None:
    port = free_port()
    settings = tmp_path / "settings.yml"
    settings.write_text("resolv_conf: /nonexistent\nconsul: {watch: {enabled: false}}\n")
    serve = [sys.executable, "-m", "consulfwd", "serve", "-c", str(settings)]
    log = tmp_path / "stderr"
    with Background() as running, ExitStack() as stack:
        for agent in running.agents:
            # Each answer has to be fetched over TCP: a socket more.
            agent.faults.udp.truncate.on()
        agents = [word for name in running.names for word in ("--agent", name)]
        process = subprocess.Popen(
            [*serve, "--listen", f"127.0.0.1:{port}", *agents],
            stderr=stack.enter_context(log.open("w")),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
        )
        try:
            ends = time.monotonic() + 20
            while "listening on" not in log.read_text():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < ends
                time.sleep(0.02)
            clients = []
            for _ in range(FILES + 50):
                clients.append(stack.enter_context(socket.create_connection(("127.0.0.1", port))))
                clients[-1].settimeout(10)
            query = dns.message.make_query(NAME, "A")
            for ask in (dns.query.udp, dns.query.tcp):
                reply = ask(query, "127.0.0.1", timeout=10, port=port)
                assert sorted(str(one) for rrset in reply.answer for one in rrset) == GALERA
            # The others are still there for their next query.
            clients[-1].sendall(len(query.to_wire()).to_bytes(2, "big") + query.to_wire())
            assert clients[-1].recv(2)
            assert clients[0].recv(2) == b""
        finally:
            process.terminate()
            process.wait(10)
    said = log.read_text()
    assert "no more than 64 TCP connections to an address, not 256 (tcp.max_connections)" in said
    assert "Traceback" not in said
    assert "out of system resource" not in said
