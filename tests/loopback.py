"""Where the servers of the tests listen: an address of the loopback network of each process's own.

At 127.0.0.1 the port of an agent that a test has stopped may be given to a server of a test that
runs beside, which then answers in place of nobody; and a port that was free when it was chosen may
be taken before it is bound. Nobody else binds at `OWN`: neither another process of tests, nor a
client, whose own address is 127.0.0.1 even if it asks here.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys


def own(process: int, platform: str = sys.platform) -> str:
    """127.1aa.1bb.1cc, of the last six digits of a process's number: as long in every run.

    Where only 127.0.0.1 is on the loopback interface (other systems than Linux), that one.
    """
    if platform != "linux":
        return "127.0.0.1"
    high, middle, low = process // 10_000 % 100, process // 100 % 100, process % 100
    return f"127.{100 + high}.{100 + middle}.{100 + low}"


OWN = own(os.getpid())

# Below those the kernel gives to whoever asks for any. Each process begins elsewhere, for addresses
# that are not its own.
_PORTS = range(20_000, 32_000)
_next = itertools.count(os.getpid() * 131)


def free_port(*hosts: str) -> int:
    """A port for UDP and TCP that nobody has now, at any of the addresses (without any, at `OWN`).

    For what must be told one beforehand. Each is given out once: at addresses that are this
    process's own nobody takes it meanwhile, as the kernel gives nobody one of these by itself.
    """
    for _ in _PORTS:
        port = _PORTS[next(_next) % len(_PORTS)]
        if all(_is_free(host, port) for host in hosts or (OWN,)):
            return port
    raise AssertionError(f"every port is taken at {hosts or OWN}")


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.socket(family, socket.SOCK_STREAM) as stream,
        socket.socket(family, socket.SOCK_DGRAM) as datagrams,
    ):
        try:
            # As servers do: connections in TIME_WAIT are no obstacle, listeners are.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind((host, port))
            stream.listen()
            datagrams.bind((host, port))
        except OSError:
            return False
    return True
