"""Runs `consulfwd serve` in the network namespace it is started in, but listening in another one.

usage: python -m tests.integration.listening NAMESPACE ADDRESS... -- FILE

So a host of a test's own asks at port 53, while the agents and recursors that are asked stay where
they are. The sockets, bound as the server itself binds them, are handed over as a service manager
hands over those it kept.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Sequence

from consulfwd.config import Endpoint
from consulfwd.net.binding import bind_all
from tests.integration.namespaces import within

PORT = 53
_FIRST = 3


def words(namespace: str, addresses: Sequence[str]) -> list[str]:
    """What the interpreter is to run, but for the file: see `served.Served`."""
    return ["-m", __name__, namespace, *addresses, "--"]


def _serve(namespace: str, addresses: Sequence[str], file: str) -> None:
    with within(namespace):
        bound = bind_all([Endpoint(host=one, port=PORT) for one in addresses])
    sockets = [sock for pair in bound.pairs.values() for sock in pair]
    # Out of the way first: where one is to be, another may be.
    away = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, _FIRST + len(sockets)) for sock in sockets]
    for number, one in enumerate(away, _FIRST):
        os.dup2(one, number)
    environ = {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(away))}
    serve = ["-X", "dev", "-W", "error", "-m", "consulfwd.cli.main", "serve", "-c", file]
    os.execve(sys.executable, [sys.executable, *serve], environ)


if __name__ == "__main__":
    _, where, *at, _, settings = sys.argv
    _serve(where, at, settings)
