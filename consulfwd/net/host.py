"""What this host says about itself: its addresses, and the recursors in resolv.conf."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from pathlib import Path

from consulfwd.config import Endpoint, Recursor

_SIOCGIFADDR, _SIOCGIFNETMASK = 0x8915, 0x891B
_IF_INET6 = Path("/proc/net/if_inet6")


def interfaces() -> list[IPv4Interface | IPv6Interface]:
    """Return the addresses of this host with their networks; what cannot be read is left out."""
    found: list[IPv4Interface | IPv6Interface] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            request = struct.pack("16s240x", name.encode()[:15])
            with contextlib.suppress(OSError):
                address = fcntl.ioctl(sock, _SIOCGIFADDR, request)[20:24]
                mask = fcntl.ioctl(sock, _SIOCGIFNETMASK, request)[20:24]
                text = f"{socket.inet_ntoa(address)}/{socket.inet_ntoa(mask)}"
                found.append(IPv4Interface(text))
    with contextlib.suppress(OSError):
        for line in _IF_INET6.read_text().splitlines():
            digits, _, prefix, *_ = line.split()
            found.append(IPv6Interface((int(digits, 16), int(prefix, 16))))
    return found


def recursors_from(text: str, listening: Iterable[Endpoint], own: Iterable[str]) -> list[Recursor]:
    """Return the nameservers of a resolv.conf that are not ourselves, each once, in order.

    `own` are this host's addresses: a nameserver on one of them at port 53 is ourselves when we
    listen there, or on every address of its family.
    """
    ours = set(own) | {"127.0.0.1", "::1"}
    listening = [one for one in listening if one.port == 53]
    everywhere = {":" in one.host for one in listening if one.host in ("0.0.0.0", "::")}
    exact = {one.host for one in listening}
    found: dict[str, Recursor] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        try:
            address = ip_address(words[1])
        except ValueError:
            continue
        if address.is_unspecified:
            # Whoever sends there reaches this host's loopback.
            address = ip_address("127.0.0.1" if address.version == 4 else "::1")
        host = str(address)
        on_this_host = host in ours or address.is_loopback
        if host in exact or (on_this_host and (":" in host) in everywhere):
            continue
        found.setdefault(host, Recursor(address=host, port=53, transport="udp", tls_name=None))
    return list(found.values())


class ResolvConf:
    """Follows a resolv.conf: tells its recursors, and whether they have changed."""

    def __init__(self, path: Path, listening: Iterable[Endpoint]) -> None:
        self._path = path
        self._listening = tuple(listening)
        self._seen: tuple[int, int, int] | None = None
        self.recursors: list[Recursor] = []

    def changed(self) -> bool:
        """Read the file again if it is not the one seen last; return whether recursors differ.

        A file that is missing or unreadable for a moment (it is being replaced) changes nothing.
        """
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen == self._seen:
                return False
            text = self._path.read_text(errors="replace")
        except OSError:
            return False
        self._seen = seen
        own = [str(interface.ip) for interface in interfaces()]
        recursors = recursors_from(text, self._listening, own)
        if recursors == self.recursors:
            return False
        self.recursors = recursors
        return True


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a bound socket, SOCK_DGRAM or (not yet listening) SOCK_STREAM. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # With the number of the interface that the address may name.
        found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_NUMERICHOST)
        sock.bind(found[0][4])
    except OSError:
        sock.close()
        raise
    return sock
