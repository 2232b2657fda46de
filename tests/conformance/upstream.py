"""A server that says what a test wants said: raw replies by name, over UDP and TCP on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from consulfwd.dev.accepting import accept_no_more
from tests.conformance.octets import (
    CD,
    NXDOMAIN,
    QR,
    RA,
    RD,
    SOA,
    message,
    opt,
    record,
    wire,
)  # fmt: skip
from tests.loopback import OWN

SOA_DATA = "ns.test. hostmaster.test. 1 3600 600 86400 60"


@dataclass(frozen=True)
class Asked:
    """One query as it arrived; `send` is for replies that come later than at once."""

    data: bytes
    transport: str
    send: Callable[[bytes], None]

    @property
    def ident(self) -> int:
        return int.from_bytes(self.data[:2], "big")

    @property
    def flags(self) -> int:
        return int.from_bytes(self.data[2:4], "big")

    @property
    def name(self) -> bytes:
        """The name asked for, as it was spelled."""
        at = 12
        while self.data[at]:
            at += self.data[at] + 1
        return self.data[12 : at + 1]

    @property
    def question(self) -> bytes:
        return self.data[12 : 16 + len(self.name)]

    @property
    def qtype(self) -> int:
        return int.from_bytes(self.question[-4:-2], "big")

    @property
    def opt(self) -> bytes:
        """What follows the question: the OPT record, if any."""
        return self.data[12 + len(self.question) :]

    def reply(
        self,
        *answers: bytes,
        rcode: int = 0,
        bits: int = 0,
        authority: Sequence[bytes] = (),
        additional: Sequence[bytes] = (),
        question: bytes | None = None,
        edns: bytes | None = None,
    ) -> bytes:
        """Return a reply as a recursor would make it; `edns` is its OPT record (b"": none)."""
        flags = QR | RA | bits | self.flags & (RD | CD) | rcode
        if edns is None and self.opt:
            edns = opt(1232)
        extra = [*additional, *([edns] if edns else [])]
        asked = self.question if question is None else question
        return message(self.ident, flags, asked, answers, authority, extra)

    def nothing(self, rcode: int = 0, ttl: int = 60, minimum: int = 60) -> bytes:
        """Return NODATA or, with its rcode, NXDOMAIN."""
        numbers = f"ns.test. hostmaster.test. 1 3600 600 86400 {minimum}"
        return self.reply(rcode=rcode, authority=[record("test", SOA, numbers, ttl)])


Script = Callable[[Asked], bytes | Sequence[bytes]]


class Upstream(asyncio.DatagramProtocol):
    """An async context manager. A name without a script does not exist."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[Asked] = []
        self._scripts: dict[bytes, Script] = {}
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def place(self) -> str:
        """Where it is, as settings name a server."""
        return f"{OWN}:{self.port}"

    def on(self, name: str | bytes, script: Script) -> None:
        """Answer queries for a name so."""
        self._scripts[(wire(name) if isinstance(name, str) else name).lower()] = script

    def answers(self, name: str, *answers: bytes) -> None:
        """Answer queries for a name with these records, whatever the type."""
        self.on(name, lambda asked: asked.reply(*answers))

    def heard(self, name: str) -> list[Asked]:
        """The queries for a name, in order."""
        return [one for one in self.asked if one.name.lower() == wire(name).lower()]

    async def __aenter__(self) -> Upstream:
        loop = asyncio.get_running_loop()
        while True:
            self._server = await asyncio.start_server(self._serve, OWN, self.port)
            port = self._server.sockets[0].getsockname()[1]
            try:
                self._udp, _ = await loop.create_datagram_endpoint(
                    lambda: self, local_addr=(OWN, port)
                )
            except OSError:
                self._server.close()
                continue
            self.port = port
            return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse whatever comes."""
        self._udp.close()
        await accept_no_more(self._server.sockets)
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        def send(packet: bytes) -> None:
            self._udp.sendto(packet, addr)

        self._take(data, "udp", send)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(packet: bytes) -> None:
            writer.write(len(packet).to_bytes(2, "big") + packet)

        self._writers.add(writer)
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                self._take(await reader.readexactly(length), "tcp", send)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, data: bytes, transport: str, send: Callable[[bytes], None]) -> None:
        asked = Asked(data, transport, send)
        self.asked.append(asked)
        script = self._scripts.get(asked.name.lower())
        said = asked.nothing(NXDOMAIN) if script is None else script(asked)
        for packet in [said] if isinstance(said, bytes) else said:
            send(packet)
