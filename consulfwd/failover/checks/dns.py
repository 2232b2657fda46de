"""A question put to a DNS server at an address, and whether its answer is right.

What belongs here: one query of our own (RFC 1035), sent again while nothing comes, over TCP where
its answer is cut. What of a datagram counts `dns.message` says: a reply with another ID or question
is waited past, as anybody may send one.
"""

from __future__ import annotations

import asyncio
import secrets

from consulfwd.config.failover_checks import DnsCheck
from consulfwd.dns import const, names, replies, text
from consulfwd.dns.framing import StreamReader, frame
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.records import rdata_of, type_of
from consulfwd.errors import WireError
from consulfwd.failover.checks.connecting import connected
from consulfwd.failover.checks.looking import Progress, Wrong
from consulfwd.failover.model import Address

# Datagrams may be lost: after so long (seconds) one is sent again.
AGAIN = 0.5
# Of datagrams that wait to be looked at, more are no replies of a server that is well.
_WAITING = 64


class DnsLook:
    """Asks, over UDP unless it is told otherwise."""

    def __init__(self, settings: DnsCheck) -> None:
        self._settings = settings
        rtype = const.type_number(settings.type)
        assert rtype is not None, "the settings take no other"
        self._rtype = rtype
        wire = names.from_text(settings.name)
        self._question = wire + rtype.to_bytes(2, "big") + const.IN.to_bytes(2, "big")
        self._asked = wire.lower() + self._question[-4:]
        self._values = {_comparable(one) for one in settings.values}

    async def look(self, address: Address, progress: Progress) -> str:
        """Return what the answer was."""
        ip, port = str(address.ip), self._settings.port
        if self._settings.transport == "udp":
            message = await self._over_udp(ip, port, progress)
            if not message.truncated:
                return self._judged(message)
        return self._judged(await self._over_tcp(ip, port, progress))

    def _judged(self, message: Message) -> str:
        rcode = const.rcode_text(message.rcode)
        if rcode != self._settings.rcode:
            raise Wrong(f"{rcode} instead of {self._settings.rcode}")
        if rcode != "NOERROR":
            return rcode
        answers, _, _ = message.sections(self._asked)
        data = [
            text.rdata_text(self._rtype, rdata_of(one))
            for one in answers
            if type_of(one) == self._rtype
        ]
        if not data:
            raise Wrong(f"no {self._settings.type} record in its answer")
        if self._values and not self._values & {_comparable(one) for one in data}:
            raise Wrong(f"none of the values in its answer: {data[0]}")
        return f"{rcode}, {data[0]}"

    def _query(self) -> bytes:
        return secrets.token_bytes(2) + replies.build_query(
            self._question, const.RD, replies.OWN_SIZE
        )

    def _read(self, data: bytes, query: bytes) -> Message | None:
        if data[:2] != query[:2]:
            return None
        try:
            return read_reply(data, self._asked)
        except WireError:
            return None

    async def _over_udp(self, ip: str, port: int, progress: Progress) -> Message:
        query = self._query()
        came = _Datagrams()
        progress.at("waiting for its reply")
        # Connected: nobody else's datagram is taken, and a port that is closed is heard of.
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: came, remote_addr=(ip, port)
        )
        try:
            while True:
                transport.sendto(query)
                again = loop.call_later(AGAIN, came.it_is_time)
                try:
                    while (data := await came.next()) is not None:
                        if (message := self._read(data, query)) is not None:
                            return message
                        progress.at("waiting for its reply; what came is none")
                finally:
                    again.cancel()
        finally:
            transport.abort()

    async def _over_tcp(self, ip: str, port: int, progress: Progress) -> Message:
        query = self._query()
        async with connected(ip, port, progress) as stream:
            progress.at("waiting for its reply over TCP")
            await stream.send(frame(query))
            reader = StreamReader()
            while octets := await stream.receive():
                for data in reader.feed(octets):
                    if (message := self._read(data, query)) is not None:
                        return message
                    raise Wrong("what came over TCP is no reply to the query")
        raise Wrong("the connection was closed without an answer")


class _Datagrams(asyncio.DatagramProtocol):
    """What comes on a socket: datagrams, errors, and that it is time to ask again."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._came.qsize() < _WAITING:
            self._came.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        if self._came.qsize() < _WAITING:
            self._came.put_nowait(exc)

    def it_is_time(self) -> None:
        """Have `next` return None."""
        self._came.put_nowait(None)

    async def next(self) -> bytes | None:
        """Return the next datagram, None once it is time to ask again. Raises OSError."""
        came = await self._came.get()
        if isinstance(came, Exception):
            raise came
        return came


def _comparable(value: str) -> str:
    """Return record data as it is compared: names in any case, with or without the final dot."""
    return value.lower().removesuffix(".")
