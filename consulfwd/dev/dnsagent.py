"""The DNS port of a development agent: UDP and TCP on one port, with faults applied.

What belongs here: sockets, framing, connection limits, and the faults of those. Must not know: how
answers are chosen (`answers`) or spoiled (`misanswers`), what a catalog is, HTTP.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

from . import misanswers, wire
from .accepting import accept_no_more
from .answers import Answerer
from .faults import Faults

Transport = Literal["udp", "tcp"]
Send = Callable[[bytes], None]

_PORT_ATTEMPTS = 50


class Received(NamedTuple):
    """One question as an agent got it: the name as spelled, no trailing dot."""

    transport: Transport
    name: str
    type: int
    edns_size: int | None


@dataclass
class DnsLimits:
    """What Consul's DNS library allows on one TCP connection."""

    queries: int = 128
    idle_s: float = 8.0


class DnsAgent:
    """Serves one address. `port` is 0 until the first start and stays the same after it."""

    def __init__(self, address: str, answerer: Answerer, faults: Faults) -> None:
        self.address = address
        self.port = 0
        self.answerer = answerer
        self.faults = faults
        self.limits = DnsLimits()
        self.queries: deque[Received] = deque(maxlen=10_000)
        self.counts: Counter[Transport] = Counter()
        self._udp: _Datagrams | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._timers: set[asyncio.TimerHandle] = set()

    async def start(self, udp: bool = True, tcp: bool = True) -> None:
        """Binds what is asked for and not yet bound. OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        sockets = self._bind(udp and self._udp is None, tcp and self._server is None)
        try:
            if sockets[0] is not None:
                endpoint = loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sockets[0])
                _, self._udp = await endpoint
            if sockets[1] is not None:
                self._server = await loop.create_server(
                    lambda: _Connection(self), sock=sockets[1], backlog=512
                )
        except BaseException:
            for each in sockets:
                if each is not None:
                    each.close()
            raise

    async def stop(self, udp: bool = True, tcp: bool = True) -> None:
        """Closes what is open; replies still on their way are lost. Returns when all is closed."""
        closing: list[asyncio.Future[None]] = []
        if udp and self._udp is not None:
            closing.append(self._udp.close())
            self._udp = None
        if tcp and self._server is not None:
            server, self._server = self._server, None
            await accept_no_more(server.sockets)
            server.close()
            closing += [connection.abort() for connection in list(self._connections)]
            await server.wait_closed()
        if self._udp is None and self._server is None:
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
        if closing:
            await asyncio.wait(closing)

    def receive(self, packet: bytes, transport: Transport, send: Send) -> None:
        """One message that came in; `send` is called with each message that goes out."""
        self.faults.when_running(lambda: self._handle(packet, transport, send))

    def later(self, seconds: float, go: Callable[[], None]) -> None:
        """Calls `go` after `seconds`, and not before the agent runs, unless it stops first."""

        def fire() -> None:
            self._timers.discard(timer)
            self.faults.when_running(go)

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self._timers.add(timer)

    def _handle(self, packet: bytes, transport: Transport, send: Send) -> None:
        udp = transport == "udp"
        try:
            query = wire.read_query(packet)
        except wire.BadQuery as bad:
            if bad.rcode is not None:
                send(wire.refusal(packet, bad.rcode))
            return
        self.counts[transport] += 1
        self.queries.append(Received(transport, query.text, query.type, query.edns_size))
        messages = misanswers.messages(query, self.answerer, self.faults, udp=udp)
        seconds = self.faults.strikes("delay", udp=udp) if messages else None
        if seconds is None:
            _send_all(messages, send)
        else:
            self.later(seconds, lambda: _send_all(messages, send))

    def _bind(self, udp: bool, tcp: bool) -> tuple[socket.socket | None, socket.socket | None]:
        """Sockets on the known port or, the first time, on one that is free for both."""
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        attempts = 1 if self.port else _PORT_ATTEMPTS
        while True:
            attempts -= 1
            stream = socket.socket(family, socket.SOCK_STREAM) if tcp else None
            datagrams = socket.socket(family, socket.SOCK_DGRAM) if udp else None
            port = self.port
            try:
                if stream is not None:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    stream.bind((self.address, port))
                    port = stream.getsockname()[1]
                if datagrams is not None:
                    datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                    datagrams.bind((self.address, port))
                    port = datagrams.getsockname()[1]
            except OSError:
                for each in (stream, datagrams):
                    if each is not None:
                        each.close()
                if attempts:
                    continue
                raise
            self.port = port or self.port
            for each in (stream, datagrams):
                if each is not None:
                    each.setblocking(False)
            return datagrams, stream


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, agent: DnsAgent) -> None:
        self._agent = agent
        self._closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own class is none of its DatagramTransport before Python 3.12
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._agent.receive(data, "udp", lambda reply: self._send(reply, addr))

    def error_received(self, exc: Exception) -> None:
        """A client that went away (ICMP) is of no interest to a server."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set_result(None)

    def close(self) -> asyncio.Future[None]:
        self._transport.abort()
        return self._closed

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(reply, addr)


class _Connection(asyncio.Protocol):
    """One TCP client: messages with a two-byte length (RFC 1035, 4.2.2)."""

    def __init__(self, agent: DnsAgent) -> None:
        self._agent = agent
        self._closed = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._dripping = bytearray()
        self._served = 0
        self._ended = False
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._agent._connections.add(self)
        if self._agent.faults.tcp.refuse.strikes():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._rest()

    def data_received(self, data: bytes) -> None:
        self._rest()
        self._buffer += data
        while len(self._buffer) >= 2 and not self._transport.is_closing():
            length = int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < 2 + length:
                return
            packet = bytes(self._buffer[2 : 2 + length])
            del self._buffer[: 2 + length]
            self._served += 1
            self._agent.receive(packet, "tcp", self._send)
            if self._served >= self._agent.limits.queries:
                self._agent.faults.when_running(self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._agent._connections.discard(self)
        self._closed.set_result(None)

    def abort(self) -> asyncio.Future[None]:
        self._transport.abort()
        return self._closed

    def _rest(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        loop, faults = asyncio.get_running_loop(), self._agent.faults
        close = self._transport.close
        self._idle = loop.call_later(self._agent.limits.idle_s, faults.when_running, close)

    def _send(self, reply: bytes) -> None:
        if self._transport.is_closing() or self._ended:
            return
        framed = len(reply).to_bytes(2, "big") + reply
        faults = self._agent.faults.tcp
        if faults.half_close.strikes():
            self._transport.write(framed[: len(framed) // 2])
            self._transport.write_eof()
            self._ended = True
        elif faults.stall.strikes():
            self._transport.write(framed[: len(framed) // 2])
        elif self._dripping or faults.slow.strikes():
            begin = not self._dripping
            self._dripping += framed
            if begin:
                self._drip()
        else:
            self._transport.write(framed)

    def _drip(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(bytes(self._dripping[:1]))
        del self._dripping[:1]
        if self._dripping:
            self._agent.later(self._agent.faults.tcp.slow.amount, self._drip)


def _send_all(messages: list[bytes], send: Send) -> None:
    for message in messages:
        send(message)
