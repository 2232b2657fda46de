"""Hosts of their own, as network namespaces, with links between them that can be cut.

Needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and `ip`; without, `network` fails the test. Nothing of
this host's own network is seen or touched: every link, the bridges too, is in a namespace without a
name that lives as long as somebody holds it, so that nothing can be left behind: it ends with this
process, however that ends, and with what runs inside. It must not know what runs there.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_HERE = "/proc/thread-self/ns/net"
_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17
_ETH_P_ALL = 3
_TURN_S = 0.1
# The addresses of the two ends of a `cable`.
NEAR, FAR = "fe80::2", "fe80::53"


class Host:
    """A namespace with its loopback up, and an interface for each network it is on.

    `addresses` tells its address on each network, by the network's name; the interface there has
    that name too.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.addresses: dict[str, str] = {}
        before = os.open(_HERE, os.O_RDONLY)
        try:
            _call("unshare", _CLONE_NEWNET)
            self._at = os.open(_HERE, os.O_RDONLY)
            _enter(before)
        except PermissionError:
            pytest.fail("network namespaces need root: run these tests as root", pytrace=False)
        finally:
            os.close(before)
        self.ip("link set lo up")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread, and what it starts meanwhile, is in the namespace; so is every socket made.

        Other threads stay where they are.
        """
        with within(self.path):
            yield

    @property
    def path(self) -> str:
        """What `ip` takes for the namespace, as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._at}"

    def ip(self, *commands: str) -> str:
        """Run commands of `ip` in the namespace; what they print."""
        with self.inside():
            done = subprocess.run(
                ["ip", "-stats", "-json", "-batch", "-"],
                input="\n".join(commands),
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, f"{self.name}: {commands}: {done.stderr}"
        return done.stdout

    @contextlib.contextmanager
    def without_fragments(self) -> Iterator[None]:
        """Datagrams that arrive in fragments are lost, as behind many a firewall."""
        with self.inside():
            high, low = (Path(f"/proc/sys/net/ipv4/ipfrag_{end}_thresh") for end in ("high", "low"))
            before = high.read_text(), low.read_text()
            try:
                low.write_text("0")
                high.write_text("0")
                yield
            finally:
                high.write_text(before[0])
                low.write_text(before[1])

    def close(self) -> None:
        """Let go of it."""
        os.close(self._at)


class Network:
    """Hosts on bridges, one bridge per network; the bridges are in a namespace of their own."""

    def __init__(self, hosts: Sequence[Host], hub: Host) -> None:
        self.hosts = {host.name: host for host in hosts}
        self._hub = hub

    def join(self, host: Host, network: str, address: str) -> None:
        """Give a host an interface on a network, with an address such as 10.0.0.1/24."""
        port = _port(host, network)
        self._hub.ip(
            f"link add {port} type veth peer name {network} netns {host.path}",
            f"link set {port} master {network} up",
        )
        host.ip(f"addr add {address} dev {network}", f"link set {network} up")
        with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            # Checksums are made before the wire, as on a real one: a `_Wire` sees the frames.
            off = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_STXCSUM, 0))
            request = struct.pack("16sP16x", network.encode(), ctypes.addressof(off))
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        host.addresses[network] = address.partition("/")[0]

    def cut(self, host: Host, *networks: str) -> None:
        """Unplug a host from these networks (or all): packets vanish, and nobody else is told."""
        self._plug(host, networks, "down")

    def mend(self, host: Host, *networks: str) -> None:
        """Plug it in again."""
        self._plug(host, networks, "up")

    @contextlib.contextmanager
    def limping(self, host: Host, network: str, loss: float, delay_s: float) -> Iterator[None]:
        """Each frame from and to a host is lost with a chance of `loss`, or late by `delay_s`.

        What netem does, where the kernel has it.
        """
        port = _port(host, network)
        self._hub.ip(
            "link add limp-in type veth peer name limp-out",
            f"link set limp-out master {network} up",
            "link set limp-in up",
            f"link set {port} nomaster",
        )
        with self._hub.inside():
            wire = _Wire((port, "limp-in"), loss, delay_s)
        try:
            yield
        finally:
            wire.end()
            self._hub.ip("link del limp-in", f"link set {port} master {network}")

    def received(self, host: Host, network: str) -> int:
        """How many packets the host was sent on a network so far."""
        (link,) = json.loads(self._hub.ip(f"link show {_port(host, network)}"))
        sent: int = link["stats64"]["tx"]["packets"]
        return sent

    def _plug(self, host: Host, networks: Sequence[str], state: str) -> None:
        ports = [_port(host, network) for network in networks or host.addresses]
        self._hub.ip(*(f"link set {port} {state}" for port in ports))


@contextlib.contextmanager
def network(plan: Mapping[str, Mapping[str, str]]) -> Iterator[Network]:
    """Hosts by name, each with its addresses by the network's name, for as long as the block."""
    with contextlib.ExitStack() as stack:

        def host(name: str) -> Host:
            made = Host(name)
            stack.callback(made.close)
            return made

        hub = host("hub")
        for name in {name for addresses in plan.values() for name in addresses}:
            hub.ip(f"link add {name} type bridge", f"link set {name} up")
        made = Network([host(name) for name in plan], hub)
        for name, addresses in plan.items():
            for where, address in addresses.items():
                made.join(made.hosts[name], where, address)
        yield made


def cable(host: Host, near: str = "lan", far: str = "far") -> None:
    """Lay a cable between two new interfaces of one host: NEAR and FAR, link-local, are on it."""
    host.ip(
        f"link add {near} type veth peer name {far}",
        f"link set {near} addrgenmode none",
        f"link set {far} addrgenmode none",
        f"link set {near} up",
        f"link set {far} up",
        f"addr add {NEAR}/64 dev {near} nodad",
        f"addr add {FAR}/64 dev {far} nodad",
    )


class _Wire:
    """Passes frames between two interfaces of this namespace, some late, some never."""

    def __init__(self, ends: tuple[str, str], loss: float, delay_s: float) -> None:
        self._loss = loss
        self._delay_s = delay_s
        self._sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in ends]
        for sock, end in zip(self._sockets, ends, strict=True):
            sock.bind((end, _ETH_P_ALL))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, name="wire")
        self._thread.start()

    def _pass_on(self) -> None:
        first, second = self._sockets
        other = {first: second, second: first}
        rng = random.Random(1)
        late: list[tuple[float, int, socket.socket, bytes]] = []
        number = 0
        while not self._ending.is_set():
            pause = max(late[0][0] - time.monotonic(), 0.0) if late else _TURN_S
            ready: list[socket.socket] = select.select([*other], [], [], min(pause, _TURN_S))[0]
            now = time.monotonic()
            for sock in ready:
                frame, (_, _, kind, *_) = sock.recvfrom(65535)
                if kind != socket.PACKET_OUTGOING and rng.random() >= self._loss:
                    number += 1
                    heapq.heappush(late, (now + self._delay_s, number, other[sock], frame))
            while late and late[0][0] <= now:
                _, _, sock, frame = heapq.heappop(late)
                sock.send(frame)

    def end(self) -> None:
        """Stop; frames on their way are lost."""
        self._ending.set()
        self._thread.join()
        for sock in self._sockets:
            sock.close()


def _port(host: Host, network: str) -> str:
    return f"{host.name}-{network}"[:15]


@contextlib.contextmanager
def within(path: str) -> Iterator[None]:
    """This thread is in the namespace of a path (`Host.path`), also that of another process."""
    before = os.open(_HERE, os.O_RDONLY)
    try:
        there = os.open(path, os.O_RDONLY)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


_libc = ctypes.CDLL(None, use_errno=True)


def _enter(namespace: int) -> None:
    _call("setns", namespace, _CLONE_NEWNET)


def _call(function: str, *arguments: int) -> None:
    if getattr(_libc, function)(*arguments):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), function)
