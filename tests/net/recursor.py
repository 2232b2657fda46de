"""A small recursor on loopback: answers from a table, and keeps what it was asked.

UDP and TCP on one port, DNS over TLS on another when given a context. It can lie on purpose.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from consulfwd.dev.accepting import accept_no_more
from tests.loopback import OWN
from tests.net.messages import folded

KEEPALIVE = 11


class Asked(NamedTuple):
    """One question: over what, what, from which port, under which ID, with which options."""

    transport: str
    name: str
    type: str
    port: int
    id: int
    options: tuple[int, ...]


class Recursor(asyncio.DatagramProtocol):
    """An async context manager; `port` (and `tls_port`) are free ones, the same after `stop`.

    records    (name, type) -> lines `TYPE data`; other names are NXDOMAIN, other types NODATA
    rcodes     name -> the rcode to answer with instead
    forge      given a query, the datagrams to send before the real reply
    no_edns    the rcode it answers with, and nothing else, to a query with an OPT (None: it knows)
    drops_edns whether it leaves queries with an OPT unanswered
    lame       what it answers with instead of anything it knows: "nothing" or "referral"
    authentic  whether it vouches for its answers (AD)
    deaf_stream whether it leaves what comes by streams unanswered
    because    the extended error beside an rcode of `rcodes`, to who speaks EDNS
    bare       whether its denials have no SOA
    closes_after  how many queries of a stream are answered; it is closed then (None: all)
    keepalive  how long it says it keeps idle streams, in tenths of a second, to who asks it that
    resumed    of each connection over TLS whether it went on with a session
    """

    def __init__(
        self,
        records: dict[tuple[str, str], list[str]] | None = None,
        *,
        host: str = OWN,
        tls: ssl.SSLContext | None = None,
        ttl: int = 300,
    ) -> None:
        self.host = host
        self.port = self.tls_port = 0
        self.ttl = ttl
        self.records = {
            (folded(name), kind): data for (name, kind), data in (records or {}).items()
        }
        self.rcodes: dict[str, dns.rcode.Rcode] = {}
        self.forge: Callable[[dns.message.Message], list[bytes]] = lambda query: []
        self.truncate = False
        self.no_edns: dns.rcode.Rcode | None = None
        self.drops_edns = False
        self.lame = ""
        self.because: dns.edns.EDEOption | None = None
        self.authentic = self.bare = self.deaf_stream = False
        self.silent = False
        # Queries with one of these labels are dropped unread; those with one of the others are
        # answered so many seconds late.
        self.dead_labels: tuple[str, ...] = ()
        self.slow_labels: dict[str, float] = {}
        # So many queries are taken on a stream before it is closed, in the midst of others.
        self.closes_after: int | None = None
        self.keepalive: int | None = None
        self.resumed: list[bool] = []
        self.asked: list[Asked] = []
        self._tls = tls
        self._udp: asyncio.DatagramTransport | None = None
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def names(self) -> list[str]:
        """The names asked for, in order."""
        return [asked.name for asked in self.asked]

    async def __aenter__(self) -> Recursor:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for last in [False] * 19 + [True]:
            server = await asyncio.start_server(self._stream("tcp"), self.host, self.port)
            port = server.sockets[0].getsockname()[1]
            try:
                transport, _ = await loop.create_datagram_endpoint(
                    lambda: self, local_addr=(self.host, port)
                )
            except OSError:
                server.close()
                if last or self.port:
                    raise
                continue
            break
        self._udp = transport
        self._servers = [server]
        self.port = port
        if self._tls is not None:
            server = await asyncio.start_server(
                self._stream("tls"), self.host, self.tls_port, ssl=self._tls
            )
            self._servers.append(server)
            self.tls_port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
            self._udp = None
        await accept_no_more(sock for server in self._servers for sock in server.sockets)
        for server in self._servers:
            server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        self._servers.clear()
        await asyncio.sleep(0)

    def nobody_asks(self) -> None:
        """Let go of what is under way for who asked: it has stopped."""

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        asked = data.lower()
        if any(_wire(label) in asked for label in self.dead_labels):
            return
        query, reply = self._answer(data, "udp", addr[1])
        if self.silent or self._udp is None or (self.drops_edns and query.edns >= 0):
            return
        if self.truncate:
            reply.flags |= dns.flags.TC
            reply.answer.clear()
        late = max((at for one, at in self.slow_labels.items() if _wire(one) in asked), default=0.0)
        for packet in [*self.forge(query), reply.to_wire(max_size=65535)]:
            if late:
                asyncio.get_running_loop().call_later(late, self._send, packet, addr)
            else:
                self._send(packet, addr)

    def _send(self, packet: bytes, addr: tuple[str, int]) -> None:
        if self._udp is not None:
            self._udp.sendto(packet, addr)

    def _stream(
        self, transport: str
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], asyncio.Task[None]]:
        # A task of our own making: one cut off is no error to be logged.
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> asyncio.Task[None]:
            return asyncio.get_running_loop().create_task(self._serve(transport, reader, writer))

        return serve

    async def _serve(
        self, transport: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._writers.add(writer)
        if transport == "tls":
            self.resumed.append(writer.get_extra_info("ssl_object").session_reused)
        try:
            count = 0
            while self.closes_after is None or count < self.closes_after:
                count += 1
                length = int.from_bytes(await reader.readexactly(2), "big")
                data = await reader.readexactly(length)
                _, reply = self._answer(data, transport, writer.get_extra_info("peername")[1])
                packet = reply.to_wire(max_size=65535)
                if not self.silent and not self.deaf_stream:
                    writer.write(len(packet).to_bytes(2, "big") + packet)
            if transport == "tcp":
                # Closed with queries unread it would be reset, and by that replies be lost that
                # were sent before: how many depends on when who asks writes next.
                writer.write_eof()
                while await reader.read(65536):
                    pass
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(
        self, data: bytes, transport: str, port: int
    ) -> tuple[dns.message.Message, dns.message.Message]:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        name, kind = folded(str(asked.name)), dns.rdatatype.to_text(asked.rdtype)
        options = tuple(int(option.otype) for option in query.options)
        self.asked.append(Asked(transport, name, kind, port, query.id, options))
        reply = dns.message.make_response(query, recursion_available=True)
        if self.authentic:
            reply.flags |= dns.flags.AD
        if self.keepalive is not None and KEEPALIVE in options:
            told = dns.edns.GenericOption(
                dns.edns.OptionType(KEEPALIVE), self.keepalive.to_bytes(2, "big")
            )
            reply.use_edns(payload=1232, options=[told])
        if self.no_edns is not None and query.edns >= 0:
            reply.use_edns(False)
            reply.question.clear()
            reply.set_rcode(self.no_edns)
            return query, reply
        if self.lame and name != ".":
            reply.flags &= ~dns.flags.RA
            if self.lame == "referral":
                reply.authority.append(dns.rrset.from_text(".", 60, "IN", "NS", "a.root.test."))
            return query, reply
        owner = name
        for _ in range(4):
            found = self.records.get((owner, kind)) or self.records.get((owner, "CNAME"), [])
            for line in found:
                rtype, _, rdata = line.partition(" ")
                rrset = dns.rrset.from_text(owner, self.ttl, "IN", rtype, rdata)
                reply.answer.append(rrset)
            if not found or not found[0].startswith("CNAME") or kind == "CNAME":
                break
            owner = folded(found[0].split()[1])
        rcode = self.rcodes.get(name)
        if rcode is not None:
            reply.set_rcode(rcode)
            if self.because is not None and query.edns >= 0:
                reply.use_edns(payload=1232, options=[self.because])
        elif not reply.answer:
            soa = "ns.test. hostmaster.test. 1 3600 600 86400 60"
            if not self.bare:
                reply.authority.append(dns.rrset.from_text(".", 60, "IN", "SOA", soa))
            if not any(owner == name for owner, _ in self.records):
                reply.set_rcode(dns.rcode.NXDOMAIN)
        return query, reply


def _wire(label: str) -> bytes:
    return bytes((len(label),)) + label.encode()
