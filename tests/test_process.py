"""The process's limits: what clients may take of the open files leaves enough for upstreams."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.cli.background import Background
from tests.loopback import OWN, free_port
from tests.net.world import GALERA

NAME = "galeradb.service.consul"
FILES = 256
# Nobody is looked at either: what that needs is imported late, and takes files.
NO_WATCH = "consul: {watch: {enabled: false}, quality: {every: 0}}\n"

PROGRAM = """
import resource, sys
from consulfwd.process import make_room

soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(*make_room(connections), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "room", "then"),
    [
        # Raised as far as the settings want, and it is allowed.
        (256, 20_000, 1000, (1000, 9216), 16_384),
        (256, 20_000, 10_000, (9760, 9216), 20_000),
        (256, 16_384, 10_000, (6144, 9216), 16_384),
        (18_000, 20_000, 1000, (1000, 9216), 18_000),
        # Where there are few, most of them are for upstreams.
        (256, 1024, 1000, (256, 512), 1024),
        (64, 64, 1000, (16, 32), 64),
        (64, 64, 10, (10, 38), 64),
    ],
)
def test_room_for_connections(
    soft: int, hard: int, wanted: int, room: tuple[int, int], then: int
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(soft), str(hard), str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*map(str, room), str(then), str(hard)]


# A server for which recursors on loopback are elsewhere: with a socket for each query.
ELSEWHERE = """
import sys
from consulfwd.cli.main import main
from consulfwd.net import routing

class Elsewhere(str):
    @property
    def is_loopback(self):
        return False

routing.ip_address = Elsewhere
sys.exit(main())
"""


@contextmanager
def serving(
    tmp_path: Path, settings: str, *arguments: str, program: tuple[str, ...] = ("-m", "consulfwd")
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A server that may have FILES files open: its process, its port, its log."""
    port = free_port()
    path, log = tmp_path / "settings.yml", tmp_path / "stderr"
    path.write_text("resolv_conf: /nonexistent\n" + settings)
    serve = [sys.executable, *program, "serve", "-c", str(path), "--listen", f"{OWN}:{port}"]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*serve, *arguments],
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
        )
        try:
            wait_for(lambda: process.poll() is not None or "listening on" in log.read_text())
            assert process.poll() is None, log.read_text()
            yield process, port, log
        finally:
            process.terminate()
            process.wait(10)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def addresses(reply: dns.message.Message) -> list[str]:
    return sorted(str(one) for rrset in reply.answer for one in rrset)


def test_idle_clients_leave_sockets_for_upstreams(tmp_path: Path) -> None:
    with Background() as running, ExitStack() as stack:
        for agent in running.agents:
            # Each answer has to be fetched over TCP: a socket more.
            agent.faults.udp.truncate.on()
        agents = [word for name in running.names for word in ("--agent", name)]
        _, port, log = stack.enter_context(serving(tmp_path, NO_WATCH, *agents))
        clients = []
        for _ in range(FILES + 50):
            clients.append(stack.enter_context(socket.create_connection((OWN, port))))
            clients[-1].settimeout(10)
        query = dns.message.make_query(NAME, "A")
        for ask in (dns.query.udp, dns.query.tcp):
            assert addresses(ask(query, OWN, timeout=10, port=port)) == GALERA
        # The others are still there for their next query.
        clients[-1].sendall(len(query.to_wire()).to_bytes(2, "big") + query.to_wire())
        assert clients[-1].recv(2)
        assert clients[0].recv(2) == b""
    said = log.read_text()
    assert "no more than 64 TCP connections to an address, not 256 (tcp.max_connections)" in said
    assert "Traceback" not in said
    assert "out of system resource" not in said


@pytest.mark.parametrize("over", ["udp", "tls"])
def test_upstreams_that_do_not_answer_leave_files_for_all_else(tmp_path: Path, over: str) -> None:
    with Background() as running, ExitStack() as stack:
        for agent in running.agents:
            agent.faults.udp.truncate.on()
        zones = 1 if over == "udp" else 300
        silent = [stack.enter_context(bound(over)) for _ in range(zones)]
        # As long as all of it takes: the server waits for them when it is stopped.
        settings = [NO_WATCH, "query: {deadline: 10, recursor_deadline: 3}", "forward:"]
        for number, sock in enumerate(silent):
            server = f"{OWN}:{sock.getsockname()[1]}"
            if over == "tls":
                server = f"tls://{server}#dns.example.test"
            settings.append(f"  z{number}.test: ['{server}']")
        agents = [word for name in running.names for word in ("--agent", name)]
        process, port, log = stack.enter_context(
            serving(tmp_path, "\n".join(settings), *agents, program=("-c", ELSEWHERE))
        )
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.settimeout(10)
        client.connect((OWN, port))
        for number in range(300):
            name = f"n{number}.z{number % zones}.test"
            client.send(dns.message.make_query(name, "A", id=number).to_wire())
        # So many at once have none: they are told at once.
        told = dns.message.from_wire(client.recv(4096))
        assert told.rcode() == dns.rcode.SERVFAIL
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        assert files < FILES * 3 // 4
        query = dns.message.make_query(NAME, "A")
        for ask in (dns.query.udp, dns.query.tcp):
            assert addresses(ask(query, OWN, timeout=10, port=port)) == GALERA
    said = log.read_text()
    assert "too many open files" not in said.lower()
    assert "Traceback" not in said


def bound(over: str) -> socket.socket:
    """Return the socket of a server that takes what is sent to it, and says nothing."""
    if over == "tls":
        return socket.create_server((OWN, 0))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((OWN, 0))
    return sock


def test_connections_wait_for_files_and_are_taken_then(tmp_path: Path) -> None:
    with ExitStack() as stack:
        process, port, log = stack.enter_context(serving(tmp_path, NO_WATCH))
        query = dns.message.make_query("localhost", "A")
        assert addresses(dns.query.udp(query, OWN, 10, port)) == ["127.0.0.1"]
        # Whatever takes them: no more than there are now.
        files = {int(one.name) for one in Path(f"/proc/{process.pid}/fd").iterdir()}
        few = (max(files) + 1, FILES)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, few)
        waiting = [
            stack.enter_context(socket.create_connection((OWN, port))) for _ in range(40)
        ]
        wait_for(lambda: f"TCP connections to {OWN} wait" in log.read_text())
        # Over UDP all goes on.
        for _ in range(4):
            assert addresses(dns.query.udp(query, OWN, 10, port)) == ["127.0.0.1"]
            time.sleep(0.3)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
        for sock in waiting:
            sock.settimeout(10)
            sock.sendall(len(query.to_wire()).to_bytes(2, "big") + query.to_wire())
            assert sock.recv(2)
    said = [line for line in log.read_text().splitlines() if " wait: " in line]
    (line,) = said
    assert line.endswith(
        f"TCP connections to {OWN} wait: too many open files (LimitNOFILE);"
        " they are accepted as soon as others end"
    )
    assert "Traceback" not in log.read_text()


_KEEPS = """
import resource, sys
from consulfwd.process import give_memory_back

def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

if sys.argv[1:]:
    give_memory_back()
before = resident()
first = b"x" * (20 << 20)
del first
second, above = b"x" * (20 << 20), b"x" * 100_000
del second
print(resident() - before)
"""


@pytest.mark.parametrize(("given", "kept"), [([], range(15, 30)), (["give"], range(5))])
def test_large_blocks_are_returned_to_the_system(given: list[str], kept: range) -> None:
    """And without that they are kept: else it would not be needed."""
    command = [sys.executable, "-c", _KEEPS, *given]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert int(told.stdout) in kept
