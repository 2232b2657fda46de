"""The process of a worker: `PYTHON .../consulfwd/workers/__main__.py LINE DESK`.

Run as a file, so that `ps` says what it is, and never from where the head happens to stand.
"""

from __future__ import annotations

import sys

if not __package__:
    # Not this folder, but the one that the package is in, as for the head.
    sys.path[0] = __file__.rpartition("/consulfwd/")[0]

import signal
import socket

for _name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
    # The service manager and terminals send them to all: they are the head's.
    signal.signal(getattr(signal, _name), signal.SIG_IGN)


def main(arguments: list[str]) -> int:
    """Be the worker that the head asked for; with `--try` only see whether one could be."""
    from consulfwd.net import loop
    from consulfwd.workers import worker

    if arguments == ["--try"]:
        return 0
    line, desk = (socket.socket(fileno=int(one)) for one in arguments)
    return loop.run(worker.serve(line, desk))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
