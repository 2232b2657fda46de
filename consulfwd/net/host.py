"""What this host says about itself: its addresses, and the recursors in resolv.conf."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import socket
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from pathlib import Path

from consulfwd.config import Endpoint, Recursor
from consulfwd.config.forms import BadValue, upstream_address
from consulfwd.net.scopes import SocketAddress, by_name, family, socket_address

log = logging.getLogger("consulfwd")

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
            digits, _, prefix, *_, name = line.split()
            own = IPv6Address(int(digits, 16))
            scope = f"%{name}" if own.is_link_local else ""
            found.append(IPv6Interface(f"{own}{scope}/{int(prefix, 16)}"))
    return found


def own_addresses() -> list[str]:
    """Return the addresses of this host, link-local ones with their interface."""
    # `ip` of an interface is without it.
    return [str(one).partition("/")[0] for one in interfaces()]


def recursors_from(text: str, listening: Iterable[Endpoint], own: Iterable[str]) -> list[Recursor]:
    """Return the nameservers of a resolv.conf that are not ourselves, each once, in order.

    `own` are this host's addresses: a nameserver on one of them at port 53 is ourselves when we
    listen there, or on every address of its family. A link-local one without its interface cannot
    be asked (see `lacking_interface`).
    """
    ours = set(own) | {"127.0.0.1", "::1"}
    listening = [one for one in listening if one.port == 53]
    everywhere = {":" in one.host for one in listening if one.host in ("0.0.0.0", "::")}
    exact = {by_name(one.host) for one in listening}
    found: dict[str, Recursor] = {}
    for address in _nameservers(text):
        if address.is_unspecified:
            # Whoever sends there reaches this host's loopback.
            address = ip_address("127.0.0.1" if address.version == 4 else "::1")
        try:
            host = upstream_address(str(address))
        except BadValue:
            # None of one host, or one that lacks its interface.
            continue
        named = by_name(host)
        on_this_host = named in ours or address.is_loopback
        if named in exact or (on_this_host and (":" in host) in everywhere):
            continue
        found.setdefault(named, Recursor(address=host, port=53, transport="udp", tls_name=None))
    return list(found.values())


def lacking_interface(text: str) -> list[str]:
    """Return the nameservers of a resolv.conf that nobody can ask: which link are they on?"""
    return [str(one) for one in dict.fromkeys(_nameservers(text)) if _lacks_interface(one)]


def _lacks_interface(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv6Address) and address.is_link_local and not address.scope_id


def _nameservers(text: str) -> Iterator[IPv4Address | IPv6Address]:
    """Yield the addresses behind `nameserver`; what is none is passed over."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0] != "nameserver":
            continue
        plain, scoped, _ = words[1].partition("%")
        with contextlib.suppress(ValueError):
            address = ip_address(plain)
            if scoped and address.version == 4:
                continue
            # What is not link-local is taken without its interface, as the C library does.
            yield ip_address(words[1]) if scoped and address.is_link_local else address


class ResolvConf:
    """Follows a resolv.conf: tells its recursors, and whether they have changed."""

    def __init__(self, path: Path, listening: Iterable[Endpoint]) -> None:
        self._path = path
        self._listening = tuple(listening)
        self._seen: tuple[int, int, int] | None = None
        self.recursors: list[Recursor] = []
        self._lacking: list[str] = []

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
        self._tell_lacking(text)
        recursors = recursors_from(text, self._listening, own_addresses())
        self._seen = seen
        if recursors == self.recursors:
            return False
        self.recursors = recursors
        return True

    def _tell_lacking(self, text: str) -> None:
        lacking = lacking_interface(text)
        for address in lacking:
            if address not in self._lacking:
                where = self._path, address
                log.warning("%s: %s is link-local and lacks its interface: not asked", *where)
        self._lacking = lacking


def bind(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a bound socket, SOCK_DGRAM or (not yet listening) SOCK_STREAM. Raises OSError."""
    return bind_to(socket_address(host, port), family(host), kind)


def bind_to(
    address: SocketAddress,
    of: socket.AddressFamily | int,
    kind: socket.SocketKind | int,
    *,
    shared: bool = False,
) -> socket.socket:
    """Return a socket bound to an address as the kernel has it. Raises OSError.

    `shared` is with others at that address (SO_REUSEPORT).
    """
    sock = socket.socket(of, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock
