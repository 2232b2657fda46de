"""Zones given to secondaries by sockets.

What belongs here: reading, writing, limits: on connections, idle ones, transfers, their time. What
is answered is `answering`'s. Nothing here runs for long: a transfer is made message by message, the
next one when the last has found room, and others have their turn between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from consulfwd.dns import names
from consulfwd.dns.framing import frame
from consulfwd.zones.primary import answering
from consulfwd.zones.primary.answering import Answer, Asked, Served
from consulfwd.zones.primary.refusing import Refusals
from consulfwd.zones.primary.sockets import IP_PKTINFO, Sockets

log = logging.getLogger("consulfwd.zones.primary")

# Datagrams read at a time, before others have their turn.
_AT_A_TIME = 32
_BACKLOG = 128
# Turns of the loop until a connection that was accepted is spoken on.
_ACCEPTED = 4
_HIGH_WATER = 1 << 16
_PKTINFO_SIZE = 32
Address = IPv4Address | IPv6Address
Zones = Mapping[bytes, Served]


@dataclass(frozen=True)
class Limits:
    """Connections and transfers at a time, in all and of one client; times in seconds.

    `strangers` are connections of those who may have no zone: they leave room for the others.
    """

    connections: int = 150
    connections_of_one: int = 20
    strangers: int = 10
    transfers: int = 40
    transfers_of_one: int = 8
    idle: float = 30.0
    stalled: float = 60.0
    transfer: float = 900.0


class Server:
    """Answers on one address. `zones` are looked up anew for each message."""

    def __init__(
        self,
        sockets: Sockets,
        zones: Zones,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.sockets = sockets
        self._zones = zones
        self._limits = limits or Limits()
        self._clock = clock
        self._refusals = Refusals()
        self._strangers = 0
        self._connections: Counter[Address] = Counter()
        self._transfers: Counter[Address] = Counter()
        self._tasks: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}
        self._tcp: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Begin to answer."""
        asyncio.get_running_loop().add_reader(self.sockets.udp, self._datagrams)
        self._tcp = await asyncio.start_server(
            self._connection, sock=self.sockets.tcp, backlog=_BACKLOG, limit=_HIGH_WATER
        )

    async def close(self) -> None:
        """Stop, transfers too: secondaries ask again."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.sockets.udp)
        if self._tcp is not None:
            loop.remove_reader(self.sockets.tcp)
            # Who was accepted a moment before is to be among those that are ended: asyncio has to
            # make the connection first, and leaves it half made if its server is closed meanwhile.
            for _ in range(_ACCEPTED):
                await asyncio.sleep(0)
            self._tcp.close()
        for task, writer in self._tasks.items():
            # Before Python 3.12, wait_for may forget that it is cancelled: this it cannot overlook.
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.sockets.close()

    def _datagrams(self) -> None:
        udp = self.sockets.udp
        for _ in range(_AT_A_TIME):
            try:
                data, extra, _, sender = udp.recvmsg(0x10000, _PKTINFO_SIZE * 2)
            except BlockingIOError:
                return
            except OSError:
                continue  # such as a refusal of an earlier reply
            client = ip_address(sender[0].partition("%")[0])
            answer = self._answered(Asked(data, client, False))
            for message in answer.messages:
                # A full buffer is as good as a lost datagram.
                with contextlib.suppress(OSError):
                    udp.sendmsg([message], _whence(extra) if self.sockets.any else (), 0, sender)

    async def _connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = writer.get_extra_info("peername")
        client = ip_address(peer[0].partition("%")[0]) if peer else None
        if client is None or self._full(client):
            writer.transport.abort()
            return
        limits, stranger = self._limits, self._stranger(client)
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        self._connections[client] += 1
        self._strangers += stranger
        writer.transport.set_write_buffer_limits(_HIGH_WATER)
        try:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                with contextlib.suppress(EOFError):
                    while True:
                        data = await asyncio.wait_for(_read(reader), limits.idle)
                        await self._answer(data, client, writer)
                        if stranger:
                            break
                # It has nothing more to ask, and may still read.
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), limits.stalled)
        except asyncio.CancelledError:
            pass  # by `close`: a stream's own callback would tell of it as of a fault
        finally:
            writer.transport.abort()
            del self._tasks[task]
            self._strangers -= stranger
            _down(self._connections, client)

    def _full(self, client: Address) -> bool:
        limits, found = self._limits, self._connections
        if found.total() >= limits.connections or found[client] >= limits.connections_of_one:
            return True
        return self._strangers >= limits.strangers and self._stranger(client)

    def _stranger(self, client: Address) -> bool:
        return not any(one.lets_in(client) for one in self._zones.values())

    def _answered(self, asked: Asked) -> Answer:
        answer = answering.answer(self._zones, asked, self._clock)
        if answer.refused:
            zone = names.to_text(answer.of)
            said = self._refusals.tell(zone, asked.client, answer.refused, self._clock())
            if said:
                log.warning("%s", said)
        return answer

    async def _answer(self, data: bytes, client: Address, writer: asyncio.StreamWriter) -> None:
        limits, running = self._limits, self._transfers
        busy = running.total() >= limits.transfers or running[client] >= limits.transfers_of_one
        answer = self._answered(Asked(data, client, True, busy))
        if answer.origin is None:
            await asyncio.wait_for(self._send(answer, writer), limits.stalled)
            return
        running[client] += 1
        try:
            await asyncio.wait_for(self._send(answer, writer), limits.transfer)
        finally:
            _down(running, client)

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        for message in answer.messages:
            writer.write(frame(message))
            await asyncio.wait_for(writer.drain(), self._limits.stalled)
            # There is often room at once; others wait.
            await asyncio.sleep(0)


async def _read(reader: asyncio.StreamReader) -> bytes:
    size = await reader.readexactly(2)
    return await reader.readexactly(int.from_bytes(size, "big"))


def _down(counter: Counter[Address], client: Address) -> None:
    counter[client] -= 1
    if not counter[client]:
        del counter[client]


def _whence(extra: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return what makes a reply leave from the address its query came to, by any interface."""
    found = []
    for level, kind, data in extra:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            found.append((level, kind, bytes(4) + data[4:8] + bytes(4)))
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            # A link-local address means something on its own interface only.
            link = data[:2] == b"\xfe\x80"
            found.append((level, kind, data if link else data[:16] + bytes(4)))
    return found
