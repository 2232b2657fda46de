"""Socket addresses, with the interface that a link-local one counts on (RFC 4007).

It is written behind a %, by its name or its number. Its number is looked up each time: an interface
that comes back has another one.
"""

from __future__ import annotations

import errno
import os
import socket

from consulfwd.core.upstreams import NO_INTERFACE

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
    """Return the number of an interface, given by name or number. Raises OSError (ENODEV)."""
    try:
        # A name may be all digits: as everywhere else it comes first.
        return socket.if_nametoindex(scope)
    except OSError:
        pass
    # Longer ones are nobody's number, and Python would cut them.
    number = int(scope) if scope.isascii() and scope.isdigit() and len(scope) < 10 else 0
    try:
        socket.if_indextoname(number)
    except OSError:
        raise OSError(errno.ENODEV, f"no interface {scope}") from None
    return number


def by_name(address: str) -> str:
    """Return an address with its interface by name, if that is there."""
    plain, scoped, scope = address.partition("%")
    if scoped:
        try:
            return f"{plain}%{socket.if_indextoname(interface(scope))}"
        except OSError:
            pass
    return address


def reason(error: OSError) -> str:
    """Return what went wrong with a socket, as the log says it."""
    if error.errno == errno.ENODEV:
        return NO_INTERFACE
    return os.strerror(error.errno or 0).lower()
