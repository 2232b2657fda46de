"""Servers off the host: ports, IDs and letters as they are seen on the wire, and who guesses them.

Needs root, for network namespaces: see `namespaces`. A real server is on one host, somebody who
sends in its name on another.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import pytest

from consulfwd.core.attempts import MOST_STRAYS
from consulfwd.core.spelling import ENOUGH
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster
from consulfwd.net.lookup import Resolver, _Future, make_query
from consulfwd.net.pool import PortPool
from consulfwd.net.ports import PORTS, USES
from tests.integration.asking import ask
from tests.integration.namespaces import Host, Network, network
from tests.integration.recursors import own_copy
from tests.net.world import settings

US, SERVER, OTHER = "10.93.1.1", "10.93.1.53", "10.93.1.66"
MANY = 300
# <asm-generic/socket.h>: as root, whatever the system's bound is
SO_RCVBUFFORCE = 33
POISON = "192.0.2.66"
UNBOUND = """\
server:
    directory: "{folder}"
    chroot: ""
    username: ""
    pidfile: ""
    interface: {address}
    access-control: 0.0.0.0/0 allow
    num-threads: 1
    use-syslog: no
    module-config: "iterator"
    local-zone: "example.test." static
"""


class Sent:
    """A query as it was on the wire."""

    def __init__(self, frame: bytes) -> None:
        start = 14 + (frame[14] & 15) * 4
        self.port: int = struct.unpack_from("!H", frame, start)[0]
        data = frame[start + 8 :]
        self.ident = data[:2]
        self.name = dns.message.from_wire(data).question[0].name.to_text(omit_final_dot=True)


class Seen(threading.Thread):
    """Notes each query that arrives at a host."""

    def __init__(self, host: Host, address: str) -> None:
        super().__init__(name="seen")
        self.queries: list[Sent] = []
        self._to = socket.inet_aton(address)
        self._over = threading.Event()
        with host.inside():
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        # All of them fit, whenever this thread has its turn.
        self._sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        self._sock.settimeout(0.05)
        self.start()

    def run(self) -> None:
        while True:
            try:
                frame = self._sock.recv(2048)
            except TimeoutError:
                # Not before all is read that had arrived when it was over.
                if self._over.is_set():
                    return
                continue
            if frame[23] == 17 and frame[30:34] == self._to:
                self.queries.append(Sent(frame))

    def end(self) -> None:
        self._over.set()
        self.join()
        self._sock.close()


@pytest.fixture(scope="module")
def lan() -> Iterator[Network]:
    plan = {
        "us": {"lan": f"{US}/24"},
        "server": {"lan": f"{SERVER}/24"},
        "other": {"lan": f"{OTHER}/24"},
    }
    with network(plan) as made:
        yield made


@pytest.fixture(scope="module")
def unbound(lan: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("off-host")
    records = "".join(
        f'    local-data: "name{number}.example.test. 300 A 10.1.{number // 250}.{number % 250}"\n'
        for number in range(MANY)
    )
    (folder / "unbound.conf").write_text(UNBOUND.format(folder=folder, address=SERVER) + records)
    guard = Guard()
    command: list[str | Path] = [own_copy("unbound", folder), "-d", "-c", folder / "unbound.conf"]
    server = Child("unbound", command, folder / "log", guard)
    host = lan.hosts["server"]
    try:
        with host.inside():
            server.start()
            server.wait_until(answers, "to answer")
        yield
    finally:
        server.kill()
        guard.close()


def answers() -> bool:
    try:
        return bool(ask((SERVER, 53), "name0.example.test").answer)
    except OSError:
        return False


def address_of(number: int) -> str:
    return f"10.1.{number // 250}.{number % 250}"


class Asking:
    """A resolver of this process, whose only recursor is the server."""

    def __init__(self, resolver: Resolver) -> None:
        engine = resolver._engine
        assert engine is not None
        self.engine = engine
        self.loop = asyncio.get_running_loop()

    async def ask(self, number: int) -> list[str]:
        """The addresses of a name, by the way that queries of clients go: relays among them."""
        query = make_query(f"name{number}.example.test", "A")
        question = self.engine.prepare_query(query)
        waiter = _Future(question, self.loop)
        self.engine.submit(question, waiter)
        message = (await waiter.future).message
        assert message.rcode == 0
        return [socket.inet_ntoa(message.body[end - 4 : end]) for end in message.ends]

    @property
    def pool(self) -> PortPool:
        (upstream,) = (one for one in self.engine.upstreams() if not one.is_agent)
        found = self.engine.channels.direct(upstream)
        assert isinstance(found, PortPool)
        return found


def asking(host: Host, do: Callable[[Asking], Coroutine[Any, Any, None]]) -> None:
    """Have something asked from a host."""

    async def run() -> None:
        found = settings(None, recursors=[f"{SERVER}:53"])
        async with Resolver(found) as resolver:
            await do(Asking(resolver))

    with host.inside():
        asyncio.run(run())


@contextmanager
def seen(lan: Network) -> Iterator[list[Sent]]:
    noted = Seen(lan.hosts["server"], SERVER)
    try:
        yield noted.queries
    finally:
        noted.end()


@pytest.mark.usefixtures("unbound")
def test_queries_as_they_are_on_the_wire(lan: Network) -> None:
    async def do(here: Asking) -> None:
        for number in range(MANY):
            assert await here.ask(number) == [address_of(number)]
        assert here.pool.speller.known

    with seen(lan) as queries:
        asking(lan.hosts["us"], do)
    assert len(queries) == MANY
    by_port = Counter(one.port for one in queries)
    assert PORTS <= len(by_port) < 3 * PORTS
    assert max(by_port.values()) <= USES
    assert len({one.ident for one in queries}) > MANY - 10
    assert len({(one.port, one.ident) for one in queries}) == MANY
    assert [one.name.lower() for one in queries] == [f"name{n}.example.test" for n in range(MANY)]
    small = [one.name for one in queries if one.name == one.name.lower()]
    assert len(small) <= 1 + ENOUGH
    # Of a letter neither case is likelier.
    capitals = sum(one.name[0] == "N" for one in queries)
    assert MANY * 0.35 < capitals < MANY * 0.65


class Mallory(threading.Thread):
    """Who sends replies in the server's name to every port that is open, with IDs by chance.

    It is told the ports, which is more than an attacker elsewhere can know, and the name.
    """

    def __init__(self, us: Host, other: Host) -> None:
        super().__init__(name="mallory")
        self.name_asked = ""
        self.sent = 0
        self._over = threading.Event()
        self._rng = random.Random(1)
        with us.inside():
            # /proc/thread-self/net is that of the namespace the thread is in when it is opened.
            self._ports = os.open("/proc/thread-self/net/udp", os.O_RDONLY)
        with other.inside():
            self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def ports(self) -> list[int]:
        """The ports that are connected to the server."""
        server = f"{int.from_bytes(socket.inet_aton(SERVER), 'little'):08X}:0035"
        os.lseek(self._ports, 0, os.SEEK_SET)
        text = "".join(part.decode() for part in iter(lambda: os.read(self._ports, 1 << 16), b""))
        lines = (line.split() for line in text.splitlines()[1:])
        return [int(words[1].split(":")[1], 16) for words in lines if words[2] == server]

    def run(self) -> None:
        while not self._over.is_set():
            if not self.name_asked:
                self._over.wait(0.001)
                continue
            for port in self.ports():
                for _ in range(8):
                    self.spoof(self.poison(self.name_asked, self._rng.randrange(65536)), port)

    def poison(self, name: str, ident: int) -> bytes:
        query = dns.message.make_query(name, "A", id=ident)
        reply = dns.message.make_response(query)
        reply.answer = [dns.rrset.from_text(f"{name}.", 3600, "IN", "A", POISON)]
        return reply.to_wire()

    def spoof(self, data: bytes, port: int) -> None:
        """Send a datagram that says it is the server's."""
        self.sent += 1
        udp = struct.pack("!4H", 53, port, 8 + len(data), 0) + data
        addresses = socket.inet_aton(SERVER) + socket.inet_aton(US)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 17, 0) + addresses
        self._raw.sendto(head + udp, (US, 0))

    def end(self) -> None:
        self._over.set()
        if self.is_alive():
            self.join()
        self._raw.close()
        os.close(self._ports)


@pytest.fixture
def mallory(lan: Network) -> Iterator[Mallory]:
    made = Mallory(lan.hosts["us"], lan.hosts["other"])
    yield made
    made.end()


@pytest.mark.usefixtures("unbound")
def test_who_knows_the_ports_has_few_guesses(lan: Network, mallory: Mallory) -> None:
    async def do(here: Asking) -> None:
        for number in range(40):
            await here.ask(number)
        assert len(mallory.ports()) == PORTS
        mallory.start()
        with lan.limping(lan.hosts["server"], "lan", 0.0, 0.03):
            for number in range(100, 110):
                mallory.name_asked = f"name{number}.example.test"
                assert await here.ask(number) == [address_of(number)]
                mallory.name_asked = ""
        counters = here.engine.counters
        # Most were asked over TCP in the end; so few guesses were looked at for each of them, and
        # one at each port at hand: many of those sent found no port any more.
        assert counters.failed == 0
        assert counters.evaded >= 5
        assert counters.stray_replies <= 10 * MOST_STRAYS + PORTS + 10
        assert mallory.sent > counters.stray_replies
        # Ports that were found are closed: the next query leaves from others.
        before = set(mallory.ports())
        assert len(before) < PORTS

    asking(lan.hosts["us"], do)


@pytest.mark.usefixtures("unbound")
def test_a_port_that_is_found_is_closed(lan: Network, mallory: Mallory) -> None:
    async def do(here: Asking) -> None:
        for number in range(40):
            await here.ask(number)
        ports = mallory.ports()
        for port in ports[:5]:
            mallory.spoof(mallory.poison("name1.example.test", 7), port)
        await asyncio.sleep(0.05)
        assert set(mallory.ports()) == set(ports[5:])
        assert here.engine.counters.stray_replies == 5
        # It says nothing about the server.
        assert all(one.state.value == "up" for one in here.engine.upstreams())

    asking(lan.hosts["us"], do)


@pytest.mark.usefixtures("unbound")
def test_who_knows_port_and_id_has_to_guess_the_letters(lan: Network, mallory: Mallory) -> None:
    async def do(here: Asking) -> None:
        for number in range(ENOUGH):
            await here.ask(number)
        with lan.limping(lan.hosts["server"], "lan", 0.0, 0.03):
            asked = asyncio.ensure_future(here.ask(200))
            await asyncio.sleep(0.01)
            ((ident, port),) = here.pool._lent.items()
            at = port.sock.getsockname()[1]
            name = "name200.example.test"
            mallory.spoof(mallory.poison(name, int.from_bytes(ident, "big")), at)
            assert await asked == [address_of(200)]
        assert here.engine.counters.evaded == 1
        # That he knew so much does not spare him the letters from now on.
        assert here.pool.speller.known

    asking(lan.hosts["us"], do)


def test_consul_repeats_names_as_they_are_spelled(cluster: RealCluster) -> None:
    agent = cluster.servers[0]
    rng = random.Random(1)
    for name, rtype in (
        ("web.service.consul", "A"), ("web.service.consul", "SRV"), ("none.service.consul", "A"),
        ("consul.service.consul", "A"),
    ):  # fmt: skip
        small = ask((agent.address, agent.dns_port), name, rtype)
        for _ in range(5):
            mixed = "".join(rng.choice((one, one.upper())) for one in name)
            reply = ask((agent.address, agent.dns_port), mixed, rtype)
            assert reply.question[0].name.to_text(omit_final_dot=True) == mixed
            assert reply.rcode() == small.rcode()
            assert len(reply.answer) == len(small.answer)
