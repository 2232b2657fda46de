"""A flood from many addresses of loopback, and what a server is like under it.

Run as a program it knows nothing of the package: `flooding.py ADDRESS PORT SOURCES RATE`. So many
addresses of 127.0.1.0/24 send so many datagrams a second together until standard input is closed:
random subdomains, questions for all there is with a large buffer, rubbish. Replies are not read.
"""

from __future__ import annotations

import json
import os
import random
import select
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# What is sent in turn: how many of these are made-up names; then ANY of a known one, and rubbish.
MADE_UP, TURNS = 14, 16
KNOWN = b"\x08galeradb\x07service\x06consul\0"
OPT = b"\0\0\x29\xff\xff\0\0\0\0\0\0"
TICK_S = 0.002


@dataclass(frozen=True)
class Seen:
    """What a process came to: resident memory (MB) at its most, sockets open at most."""

    rss_mb: float
    sockets: int


class Flood:
    """The program as a child process, from making it until `stop`."""

    def __init__(self, at: tuple[str, int], sources: int, rate: int) -> None:
        command = [sys.executable, __file__, at[0], str(at[1]), str(sources), str(rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> int:
        """Return how many datagrams were sent."""
        output, _ = self._process.communicate(timeout=20)
        assert self._process.returncode == 0
        return int(json.loads(output)["sent"])

    def kill(self) -> None:
        """End it, if it is not over; harmless when called again."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()


def look(pid: int, before: Seen | None = None) -> Seen:
    """Return what a process is like now, or was `before` if that was more."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    sockets = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            sockets += str(link.readlink()).startswith("socket:")
    before = before or Seen(0.0, 0)
    return Seen(max(peak, before.rss_mb), max(sockets, before.sockets))


def _run(address: str, port: int, sources: int, rate: int) -> None:
    sockets = []
    for number in range(sources):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        one.setblocking(False)
        one.bind((f"127.0.1.{number + 1}", 0))
        one.connect((address, port))
        sockets.append(one)
    rng = random.Random(os.getpid())
    rubbish = [rng.randbytes(rng.randrange(200)) for _ in range(64)]
    query, tail = b"\1\0\0\1\0\0\0\0\0\1", b"\x07service\x06consul\0\0\1\0\1" + OPT
    sent = number = 0
    due = time.monotonic()
    while not select.select([0], [], [], max(due - time.monotonic(), 0.0))[0]:
        # What could not be sent in time is not sent at all.
        due = max(due, time.monotonic() - 10 * TICK_S) + TICK_S
        for _ in range(int(rate * TICK_S)):
            number += 1
            turn = number % TURNS
            if turn < MADE_UP:
                packet = number.to_bytes(8, "big")[-2:] + query
                packet += b"\x0a%010x" % rng.getrandbits(40) + tail
            elif turn == MADE_UP:
                packet = number.to_bytes(8, "big")[-2:] + query + KNOWN + b"\0\xff\0\1" + OPT
            else:
                packet = rubbish[number // TURNS % len(rubbish)]
            try:
                sockets[number % sources].send(packet)
                sent += 1
            except OSError:
                # The kernel has no room, or says something of an earlier one.
                continue
    print(json.dumps({"sent": sent}))


if __name__ == "__main__":
    _address, _port, _sources, _rate = sys.argv[1:]
    _run(_address, int(_port), int(_sources), int(_rate))
