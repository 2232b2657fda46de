"""Where agents of the tests live: addresses of the loopback network, other ones in each process.

Tests run beside each other in several processes, each with clusters of its own.
"""

from __future__ import annotations

import os

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def addresses(network: int, *hosts: int) -> list[str]:
    """127.{1 + worker}.{network}.{host} for each host; a network belongs to one fixture or file."""
    return [f"127.{1 + WORKER}.{network}.{host}" for host in hosts]
