"""A server whose replies no zone file can make: TTLs out of range, no SOA, records in disorder.

All servers compared ask it themselves for names below `odd.test`, so that what each makes of such
a reply is its own. It lives in the event loop of whoever asks.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from threading import Thread
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

ZONE = "odd.test"
SOA = f"ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 2000"
Records = list[tuple[str, int, str, str]]

# First label: rcode, then the answer and the authority section.
REPLIES: dict[str, tuple[str, Records, Records]] = {
    "ttl31": ("NOERROR", [("@", 1 << 31, "A", "192.0.2.1")], []),
    "ttl32": ("NOERROR", [("@", (1 << 32) - 1, "A", "192.0.2.1")], []),
    "ttlmax": ("NOERROR", [("@", (1 << 31) - 1, "A", "192.0.2.1")], []),
    "ttls": (
        "NOERROR",
        [("@", 3000, "A", "192.0.2.1"), ("@", 0, "A", "192.0.2.2")],
        [],
    ),
    "nosoa": ("NOERROR", [], []),
    "nxnosoa": ("NXDOMAIN", [], []),
    "nx": ("NXDOMAIN", [], [(f"{ZONE}.", 3000, "SOA", SOA)]),
    "nodata": ("NOERROR", [], [(f"{ZONE}.", 3000, "SOA", SOA)]),
    "twice": (
        "NOERROR",
        [("@", 3000, "A", "192.0.2.1"), ("@", 3000, "A", "192.0.2.1")],
        [],
    ),
    "backwards": (
        "NOERROR",
        [(f"to.{ZONE}.", 3000, "A", "192.0.2.1"), ("@", 3000, "CNAME", f"to.{ZONE}.")],
        [],
    ),
    "beside": (
        "NOERROR",
        [("@", 3000, "A", "192.0.2.1"), (f"other.{ZONE}.", 3000, "A", "192.0.2.9")],
        [],
    ),
    "outside": (
        "NOERROR",
        [("@", 3000, "CNAME", "www.example.test."), ("www.example.test.", 3000, "A", "192.0.2.66")],
        [],
    ),
    "servers": (
        "NOERROR",
        [("@", 3000, "A", "192.0.2.1")],
        [(f"{ZONE}.", 3000, "NS", f"ns.{ZONE}.")],
    ),
    "servfail": ("SERVFAIL", [], []),
    "refused": ("REFUSED", [], []),
    "yxdomain": ("YXDOMAIN", [], []),
}


def answer(wire: bytes) -> bytes | None:
    """The reply to a query; None where there is none."""
    try:
        query = dns.message.from_wire(wire)
    except dns.exception.DNSException:
        return None
    asked = query.question[0]
    label = asked.name.to_text().partition(".")[0].lower()
    rcode, answers, authority = REPLIES.get(label, REPLIES["nx"])
    if asked.rdtype != dns.rdatatype.A and label not in ("nosoa", "nx", "servfail", "refused"):
        rcode, answers, authority = REPLIES["nodata"]
    reply = dns.message.make_response(query)
    reply.flags |= dns.flags.AA
    reply.set_rcode(dns.rcode.from_text(rcode))
    made = bytearray(reply.to_wire(max_size=65535))
    name = _wire(asked.name)
    opt = bytes(made[12 + len(name) + 4 :]) if query.edns >= 0 else b""
    body = b"".join(_record(name, one) for one in (*answers, *authority))
    head = made[: len(made) - len(opt)]
    struct.pack_into("!HHH", head, 6, len(answers), len(authority), 1 if opt else 0)
    return bytes(head) + body + opt


def _record(asked: bytes, record: tuple[str, int, str, str]) -> bytes:
    owner, ttl, rtype, data = record
    rrset = dns.rrset.from_text(".", 0, "IN", rtype, data)
    rdata: bytes = rrset[0].to_wire()
    name = asked if owner == "@" else _wire(dns.name.from_text(owner))
    return name + struct.pack("!HHIH", int(rrset.rdtype), 1, ttl, len(rdata)) + rdata


def _wire(name: dns.name.Name) -> bytes:
    wire = name.to_wire()
    assert wire is not None
    return wire


class _Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data)
        if reply is not None:
            self._transport.sendto(reply, addr)


async def _serve_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = answer(await reader.readexactly(size))
            if reply is not None:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


@contextmanager
def serving(address: str, port: int) -> Iterator[None]:
    """Answer on UDP and TCP while the block lasts, in a thread of its own."""
    started: Queue[asyncio.AbstractEventLoop] = Queue()
    ended = asyncio.Event()

    async def live() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(_Datagrams, local_addr=(address, port))
        server = await asyncio.start_server(_serve_stream, address, port)
        started.put(loop)
        await ended.wait()
        transport.close()
        server.close()

    thread = Thread(target=lambda: asyncio.run(live()), daemon=True)
    thread.start()
    loop = started.get(timeout=10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
