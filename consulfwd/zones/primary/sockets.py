"""The sockets by which zones are given to secondaries.

What belongs here: addresses become sockets, all or none; which of them a secondary knows. Must not
know what is answered.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from consulfwd.config import Endpoint
from consulfwd.errors import StartError

# What sockets of every address say of where a datagram came to (ip(7); not in Python's own).
IP_PKTINFO = 8
_TRIES = 20
_SEND_BUFFER = 1 << 18


class Sockets:
    """A UDP and a TCP socket of the same address and port."""

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            self.udp, self.tcp = _bound(endpoint)
        except OSError as error:
            mend = ""
            if error.errno in (errno.EACCES, errno.EPERM):
                mend = " (ports under 1024 need CAP_NET_BIND_SERVICE)"
            what = f"cannot listen on {endpoint}: {error.strerror or error}{mend}"
            raise StartError(what, no_right=bool(mend)) from error
        self.any = ip_address(endpoint.host.partition("%")[0]).is_unspecified

    @property
    def port(self) -> int:
        """The port that was had."""
        return int(self.udp.getsockname()[1])

    def close(self) -> None:
        """Close both."""
        self.udp.close()
        self.tcp.close()


def bind(endpoints: Iterable[Endpoint]) -> dict[Endpoint, Sockets]:
    """Return sockets for these addresses. Raises StartError; then nothing is bound."""
    bound: dict[Endpoint, Sockets] = {}
    try:
        for endpoint in endpoints:
            if endpoint not in bound:
                bound[endpoint] = Sockets(endpoint)
    except StartError:
        for one in bound.values():
            one.close()
        raise
    return bound


def family_of(host: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def source_of(secondary: Endpoint, sources: Sequence[Endpoint]) -> str | None:
    """Return the address to ask or tell it from: it may know us by no other one."""
    for one in sources:
        plain = ip_address(one.host.partition("%")[0])
        if not plain.is_unspecified and family_of(one.host) == family_of(secondary.host):
            # What is on this host alone cannot reach others.
            there = ip_address(secondary.host.partition("%")[0])
            if plain.is_loopback == there.is_loopback or not plain.is_loopback:
                return one.host
    return None


def _bound(endpoint: Endpoint) -> tuple[socket.socket, socket.socket]:
    family = family_of(endpoint.host)
    flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
    for last in range(_TRIES, 0, -1):
        tcp, udp = (socket.socket(family, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # What a client does not read stays a small part of the zone.
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            if family == socket.AF_INET6:
                for sock in (tcp, udp):
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            else:
                udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            where = socket.getaddrinfo(endpoint.host, endpoint.port, family, flags=flags)[0][4]
            tcp.bind(where)
            udp.bind((where[0], tcp.getsockname()[1], *where[2:]))
            for sock in (tcp, udp):
                sock.setblocking(False)
        except OSError as error:
            tcp.close()
            udp.close()
            # Any free port of TCP's may be taken for UDP.
            if endpoint.port or error.errno != errno.EADDRINUSE or last == 1:
                raise
        else:
            return udp, tcp
    raise AssertionError("the last try returns or raises")
