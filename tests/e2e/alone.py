"""A host by itself: consulfwd as a service of systemd, an agent of Consul, and a name server.

What belongs here is how that host is made, and what a test asks its programs and its systemd. It
must not know what is tested. Queries are sent by the test's own process, out of the host's network
namespace.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode

from tests.e2e.machines import Machine, machines
from tests.e2e.site import Layer, serve_outside, wait

ADDRESS = "192.168.56.41"
LISTEN = "127.0.0.1"
CONSUL_NAME = "consul.service.consul"
UNIT = "consulfwd.service"
DROPINS = f"/run/systemd/system/{UNIT}.d"
SETTINGS = "/etc/consulfwd/consulfwd.yml"
PACKAGING = "/vagrant/packaging"
READY_S, ANSWERED_S = 60.0, 30.0


def settings(
    listen: str = f'["{LISTEN}:53"]',
    consul: str = f"agents: [{LISTEN}]",
    rest: str = f'recursors: ["{ADDRESS}"]',
) -> str:
    """A file of settings for this host; `rest` are lines of their own."""
    return f"listen: {listen}\nconsul: {{{consul}}}\n{rest}\n"


@contextlib.contextmanager
def alone(
    folder: Path, layer: Layer, shared: Mapping[Path, Path] | None = None
) -> Iterator[Machine]:
    """The host, with the service installed and not started, and those it asks at work."""
    shared = {**layer.shared, **(shared or {})}
    with machines({"alone": ADDRESS}, folder, shared, base=layer.folder) as (_, made):
        host = made["alone"]
        # Any name under `load` is there, so that each query can be for another one.
        serve_outside(host, "*.load A 198.51.100.81")
        host.write(SETTINGS, settings())
        host.sh(
            f"cp {PACKAGING}/consulfwd.service /etc/systemd/system/; systemctl daemon-reload;"
            " systemd-run --quiet --unit=consul /consul/consul agent -dev"
        )
        wait(lambda: found(answer(host, CONSUL_NAME, port=8600)), "an answer of Consul's", READY_S)
        yield host


# -- systemd ------------------------------------------------------------------------------------


def shown(host: Machine, name: str) -> str:
    """What systemd has as this property of the service."""
    return host.run("systemctl", "show", f"--property={name}", "--value", UNIT).strip()


def dropin(host: Machine, text: str) -> None:
    """Have the unit differ in this until the next `restore`."""
    host.write(f"{DROPINS}/test.conf", text)
    host.sh("systemctl daemon-reload")


def restore(host: Machine) -> None:
    """Stop the service, and have its files as `alone` made them."""
    host.sh(
        f"systemctl stop {UNIT}; rm -rf {DROPINS} /etc/systemd/system/{UNIT}.d;"
        f" systemctl daemon-reload; systemctl reset-failed {UNIT} 2>/dev/null || true"
    )
    host.write(SETTINGS, settings())


def journal(host: Machine, since: str = "") -> str:
    """What the journal has of the service and about it, after this cursor."""
    after = [f"--after-cursor={since}"] if since else []
    # What was written before is there, or on its way.
    host.run("journalctl", "--sync")
    return host.run("journalctl", "--quiet", "--output=cat", f"--unit={UNIT}", *after)


def cursor(host: Machine) -> str:
    """Where the journal ends now."""
    host.run("journalctl", "--sync")
    text = host.run("journalctl", "--quiet", "--lines=1", "--show-cursor", "--output=cat")
    return text.rpartition("-- cursor: ")[2].strip()


# -- queries ------------------------------------------------------------------------------------


def answer(
    host: Machine,
    name: str,
    *,
    tcp: bool = False,
    address: str = LISTEN,
    port: int = 53,
    within: float = ANSWERED_S,
) -> dns.message.Message | None:
    """The reply to one query, sent once, or None if the port is closed. Raises if none comes."""
    query = dns.message.make_query(name, "A")
    kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
    with host.host.inside():
        sock = socket.socket(socket.AF_INET, kind)
    with sock:
        sock.settimeout(within)
        try:
            sock.connect((address, port))
            if tcp:
                sock.setblocking(False)
                dns.query.send_tcp(sock, query, time.time() + within)
                return dns.query.receive_tcp(sock, time.time() + within)[0]
            sock.send(query.to_wire())
            return dns.message.from_wire(sock.recv(65535))
        except ConnectionRefusedError:
            return None


def found(reply: dns.message.Message | None) -> list[str]:
    """The addresses in a reply; [] for a denial, an error and a closed port."""
    if reply is None:
        return []
    return [str(record) for rrset in reply.answer for record in rrset]


class Load:
    """Queries to the service, one each `every_s` seconds, each for a name of its own.

    Each is sent once. `stop` waits for what is still to come, and returns how many were sent, how
    many of them got no answer, and the faults that were met.
    """

    def __init__(self, host: Machine, *, every_s: float = 0.02) -> None:
        self._every_s = every_s
        with host.host.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect((LISTEN, 53))
        self._ending = threading.Event()
        self._sent = 0
        self._waiting: set[int] = set()
        self._faults: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def sent(self) -> int:
        """How many were sent so far."""
        return self._sent

    @property
    def unanswered(self) -> list[int]:
        """Which got no answer, by their number, from 1 on."""
        return sorted(self._waiting)

    def stop(self) -> tuple[int, int, list[str]]:
        self._ending.set()
        self._thread.join()
        self._socket.close()
        return self._sent, len(self._waiting), self._faults

    def _run(self) -> None:
        due = time.monotonic()
        end = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while not end or (self._waiting and time.monotonic() < end):
                if not end and self._ending.is_set():
                    end = time.monotonic() + ANSWERED_S
                try:
                    if not end and time.monotonic() >= due:
                        due += self._every_s
                        self._send()
                    if selector.select(self._every_s):
                        self._take(self._socket.recv(65535))
                except OSError as error:
                    self._faults.append(repr(error))

    def _send(self) -> None:
        self._sent += 1
        query = dns.message.make_query(f"n{self._sent}.load.outside.test", "A", id=self._sent)
        self._waiting.add(self._sent)
        self._socket.send(query.to_wire())

    def _take(self, wire: bytes) -> None:
        reply = dns.message.from_wire(wire)
        self._waiting.discard(reply.id)
        if found(reply) != ["198.51.100.81"]:
            self._faults.append(f"{reply.question[0].name}: {dns.rcode.to_text(reply.rcode())}")
