"""Queries at a fixed rate from a process of their own, and what became of each.

Run as a program it knows nothing of the package: `load.py ADDRESS PORT RATE QUERY...`, queries in
hex without their ID, asked in turn until standard input is closed. Each is sent when the schedule
says, whether those before are answered or not. `load.py --held ...` says "ready" and waits for a
line on standard input before it begins.

A reply came when the kernel had it, not when this program read it: what holds up the load is not
taken for slowness of the server.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

LINGER_S = 4.0
# Linux, asm-generic/socket.h: the time of arrival comes with each datagram, as a `timespec`.
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
LARGEST = 65535


@dataclass(frozen=True)
class Result:
    """One query: which (its number in the list), when by the monotonic clock, and the reply.

    `late_s` is how much later than scheduled it was sent. `took_s` is None and `reply` empty when
    none came. The reply is without its ID.
    """

    query: int
    sent_at: float
    late_s: float
    took_s: float | None
    reply: bytes


class Load:
    """The program as a child process: it runs from making it, or `go` when held, until `stop`."""

    def __init__(
        self,
        at: tuple[str, int],
        rate: int,
        queries: Sequence[bytes],
        *,
        held: bool = False,
    ) -> None:
        # Not above: as a program this file knows nothing of the others.
        from tests import load_lock

        assert load_lock.is_held(), "one load at a time: `with only_load():` around it"
        command = [sys.executable, __file__, *(["--held"] if held else [])]
        command += [at[0], str(at[1]), str(rate)]
        self._process = subprocess.Popen(
            [*command, *(query[2:].hex() for query in queries)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        if held:
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == b"ready\n"

    def go(self) -> None:
        """Let it begin, at once."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it, whatever it does, if it is not over; harmless when called again."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.communicate()

    def stop(self) -> list[Result]:
        """Send no more, wait for what is under way, and return everything in order of sending."""
        output, _ = self._process.communicate(timeout=LINGER_S + 20)
        assert self._process.returncode == 0
        said = json.loads(output)
        replies = [bytes.fromhex(one) for one in said["replies"]]
        return [
            Result(query, sent_at, late_s, took_s, b"" if took_s is None else replies[reply])
            for query, sent_at, late_s, took_s, reply in said["results"]
        ]


class _Client:
    """One socket; `results` in order of sending, each a list of the members of `Result`."""

    def __init__(self, address: str, port: int) -> None:
        self.results: list[list[Any]] = []
        self.replies: dict[bytes, int] = {}
        self.waiting: dict[bytes, list[Any]] = {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # When this process gets no CPU for a while, the replies must not be lost for it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setblocking(False)
        self.socket.connect((address, port))
        # The kernel's times are the wall clock's.
        self._ahead_s = time.time() - time.monotonic()

    def send(self, query: int, tail: bytes, scheduled: float) -> None:
        ident = (len(self.results) & 0xFFFF).to_bytes(2, "big")
        now = time.monotonic()
        self.waiting[ident] = result = [query, now, now - scheduled, None, 0]
        self.results.append(result)
        try:
            self.socket.send(ident + tail)
        except ConnectionRefusedError:
            # That was said of an earlier one; this one has not been sent.
            self.socket.send(ident + tail)

    def receive(self) -> None:
        """Take all there is."""
        while True:
            try:
                data, told, _, _ = self.socket.recvmsg(LARGEST, socket.CMSG_SPACE(TIMESPEC.size))
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            ((_, _, stamp),) = told
            seconds, nanoseconds = TIMESPEC.unpack(stamp)
            result = self.waiting.pop(data[:2], None)
            if result is None:
                sys.exit(f"a second reply to a query, or to none: {data[:12].hex()}")
            came = seconds + nanoseconds / 1e9 - self._ahead_s
            result[3] = max(0.0, came - result[1])
            result[4] = self.replies.setdefault(data[2:], len(self.replies))


def _run(address: str, port: int, rate: int, tails: list[bytes], held: bool) -> None:
    client = _Client(address, port)
    gc.disable()
    if held:
        print("ready", flush=True)
        while os.read(0, 1) != b"\n":
            pass
    start = time.monotonic()
    number = 0
    while True:
        scheduled = start + number / rate
        wait_s = max(0.0, scheduled - time.monotonic())
        readable, _, _ = select.select([client.socket.fileno(), 0], [], [], wait_s)
        if 0 in readable:
            break
        if readable:
            client.receive()
        if time.monotonic() >= scheduled:
            client.send(number % len(tails), tails[number % len(tails)], scheduled)
            number += 1
    end = time.monotonic() + LINGER_S
    while client.waiting and (left := end - time.monotonic()) > 0:
        select.select([client.socket], [], [], left)
        client.receive()
    print(json.dumps({"results": client.results, "replies": [r.hex() for r in client.replies]}))


if __name__ == "__main__":
    _held = sys.argv[1] == "--held"
    _address, _port, _rate, *_queries = sys.argv[2 if _held else 1 :]
    _tails = [bytes.fromhex(one) for one in _queries]
    _run(_address, int(_port), int(_rate), _tails, _held)
