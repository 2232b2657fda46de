"""Where the servers of the tests listen: an address of the loopback network of each process's own.

At 127.0.0.1 the port of an agent that a test has stopped may be given to a server of a test that
runs beside, which then answers in place of nobody; and a port that was free when it was chosen may
be taken before it is bound. Nobody else binds at `OWN`: neither another process of tests, nor a
client, whose own address is 127.0.0.1 even if it asks here.
"""

from __future__ import annotations

import os
import sys

from consulfwd.dev import real_config

# The address that all have.
SHARED = "127.0.0.1"


def own(process: int, platform: str = sys.platform) -> str:
    """127.1aa.1bb.1cc, of the last six digits of a process's number: as long in every run.

    Where only 127.0.0.1 is on the loopback interface (other systems than Linux), that one.
    """
    if platform != "linux":
        return SHARED
    high, middle, low = process // 10_000 % 100, process // 100 % 100, process % 100
    return f"127.{100 + high}.{100 + middle}.{100 + low}"


OWN = own(os.getpid())

_given: set[int] = set()


def free_port(*hosts: str) -> int:
    """A port for UDP and TCP that nobody has now, at any of the addresses (without any, at `OWN`).

    For what must be told one beforehand. Each is given out once: at addresses that are this
    process's own nobody takes it meanwhile, as the kernel gives nobody one of these by itself.
    """
    port = real_config.free_port(*(hosts or (OWN,)), without=_given)
    _given.add(port)
    return port
