"""Sockets for the addresses to listen on: all of them, or none and why.

Reading and writing them is the listeners' (`udp`, `tcp`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from consulfwd.config import Endpoint
from consulfwd.errors import StartError
from consulfwd.net import host

Pair = tuple[socket.socket, socket.socket]


def bind_all(endpoints: Iterable[Endpoint]) -> dict[Endpoint, Pair]:
    """Return {endpoint: (UDP, TCP socket)}, all bound. Raises StartError with every fault."""
    bound: dict[Endpoint, Pair] = {}
    faults: list[str] = []
    for endpoint in endpoints:
        try:
            bound[endpoint] = _bind_both(endpoint)
        except OSError as error:
            faults.append(_explain(endpoint, error))
    if faults:
        for pair in bound.values():
            for sock in pair:
                sock.close()
        raise StartError("\n".join(faults))
    return bound


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
    mend = ""
    if isinstance(error, PermissionError):
        mend = "; ports under 1024 need CAP_NET_BIND_SERVICE, or choose another with --listen"
    elif "in use" in str(error):
        mend = f"; see who listens there: ss -lntup 'sport = :{endpoint.port}'"
    elif "assign requested" in str(error):
        mend = "; no interface of this host has that address"
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"cannot listen on {endpoint}: {reason}{mend}"
