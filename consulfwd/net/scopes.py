"""Socket addresses, with the interface that a link-local one counts on (RFC 4007).

It is written behind a %, by its name or its number. Its number is looked up each time: an interface
that comes back has another one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct

from consulfwd.core.upstreams import NO_INTERFACE

# Requests of netdevice(7), and what they take and give: a name, a number, room for the rest.
_INDEX_OF, _NAME_OF = 0x8933, 0x8910
_REQUEST = struct.Struct("16si20x")
_LONGEST_NAME = 15
# What the calls of a socket take for an address of its family.
SocketAddress = tuple[str, int] | tuple[str, int, int, int]


def family(address: str) -> socket.AddressFamily:
    """Return the family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def socket_address(address: str, port: int) -> SocketAddress:
    """Return what a socket takes for an address. Raises OSError (ENODEV) without its interface."""
    if ":" not in address:
        return address, port
    plain, scoped, scope = address.partition("%")
    return plain, port, 0, interface(scope) if scoped else 0


def interface(scope: str) -> int:
    """Return the number of an interface, given by name or number.

    Raises OSError: ENODEV without it, another where that could not be found out.
    """
    try:
        # A name may be all digits: as everywhere else it comes first.
        return _asked(_INDEX_OF, name=scope)[1]
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    # Longer ones are nobody's number.
    number = int(scope) if scope.isascii() and scope.isdigit() and len(scope) < 10 else 0
    _asked(_NAME_OF, number=number)
    return number


def _asked(what: int, *, name: str = "", number: int = 0) -> tuple[str, int]:
    """Return the name and the number of an interface. Raises OSError.

    Not by the library's own calls: they do not tell a missing interface from a want of descriptors.
    """
    if len(name.encode()) > _LONGEST_NAME:
        raise OSError(errno.ENODEV, f"no interface {name}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            found = fcntl.ioctl(sock, what, _REQUEST.pack(name.encode(), number))
        except OSError as error:
            raise OSError(error.errno, f"no interface {name or number}") from None
    told, index = _REQUEST.unpack(found)
    return told.partition(b"\0")[0].decode(errors="replace"), index


def by_name(address: str) -> str:
    """Return an address with its interface by name, if that is there."""
    plain, scoped, scope = address.partition("%")
    if scoped:
        try:
            return f"{plain}%{_asked(_NAME_OF, number=interface(scope))[0]}"
        except OSError:
            pass
    return address


def reason(error: OSError) -> str:
    """Return what went wrong with a socket, as the log says it."""
    if error.errno == errno.ENODEV:
        return NO_INTERFACE
    return os.strerror(error.errno or 0).lower()
