"""Sockets for the addresses to listen on: those that can be had, and why the others cannot.

Reading and writing them is the listeners' (`udp`, `tcp`).

An address that this host does not have now may come: IPv6 or an interface is set up later, or an
address is still being tested for duplicates. IP_FREEBIND would bind one that is not there, but none
of an interface or a family that is missing, and hide that it is missing; so it is tried again
(`listening`). Somebody else's address, or one without the right to it, stays a fault: clients would
be answered by another server, or not at all, and only an operator can mend it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import NamedTuple

from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.net import host
from consulfwd.net.scopes import reason

Pair = tuple[socket.socket, socket.socket]

_NO_RIGHT = "ports under 1024 need CAP_NET_BIND_SERVICE, or choose another with --listen"
_MENDS = {
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EADDRNOTAVAIL: "no interface of this host has that address",
    errno.EAFNOSUPPORT: "this host has no IPv6",
}
# What a host may come to have.
_LATER = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENODEV}


class Bound(NamedTuple):
    """The UDP and TCP sockets of each address, and of each that is not there now the reason."""

    pairs: dict[Endpoint, Pair]
    missing: dict[Endpoint, str]

    def close(self) -> None:
        """Close every socket."""
        for pair in self.pairs.values():
            for sock in pair:
                sock.close()


def bind_all(endpoints: Iterable[Endpoint]) -> Bound:
    """Return the sockets of the addresses that this host has.

    Raises StartError with every reason there is if one is not for want of the address; then nothing
    is bound.
    """
    bound = Bound({}, {})
    reasons: list[str] = []
    fault = no_right = False
    for endpoint in endpoints:
        try:
            bound.pairs[endpoint] = _bind_both(endpoint)
        except OSError as error:
            reasons.append(_explain(endpoint, error))
            if error.errno in _LATER:
                bound.missing[endpoint] = reasons[-1]
            else:
                fault = True
                no_right |= _MENDS.get(error.errno or 0) is _NO_RIGHT
    if fault:
        bound.close()
        raise StartError("\n".join(reasons), no_right=no_right)
    return bound


def bind_beside(pair: Pair) -> Pair:
    """Return both sockets of an address once more: the kernel shares out what comes among them.

    The first pair is bound without SO_REUSEPORT, so that another server's address stays a fault;
    it is set after that, which is soon enough for those that follow. Raises OSError.
    """
    beside: list[socket.socket] = []
    try:
        for sock in pair:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            beside.append(host.bind_to(sock.getsockname(), sock.family, sock.type, shared=True))
    except OSError:
        for sock in beside:
            sock.close()
        raise
    udp, tcp = beside
    return udp, tcp


def absent(address: str) -> str:
    """Return why an address cannot be listened on for want of it on this host, or ""."""
    try:
        host.bind(address, 0, socket.SOCK_DGRAM).close()
    except OSError as error:
        return _MENDS.get(error.errno or 0, reason(error)) if error.errno in _LATER else ""
    return ""


def _bind_both(endpoint: Endpoint) -> Pair:
    # Port 0 asks for any port, which must then be free for both.
    for attempt in range(20):
        udp = host.bind(endpoint.host, endpoint.port, socket.SOCK_DGRAM)
        try:
            return udp, host.bind(endpoint.host, udp.getsockname()[1], socket.SOCK_STREAM)
        except OSError:
            udp.close()
            if endpoint.port or attempt == 19:
                raise
    raise AssertionError("the loop returns or raises")


def _explain(endpoint: Endpoint, error: OSError) -> str:
    code = error.errno or 0
    mend = _MENDS.get(code, "")
    if code == errno.EADDRINUSE:
        mend = f"see who listens there: ss -lntup 'sport = :{endpoint.port}'"
    why = reason(error) if code else str(error)
    return f"cannot listen on {endpoint}: {why}{mend and '; '}{mend}"
