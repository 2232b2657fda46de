"""The same on every kind of address: IPv4 and IPv6, one address and all of them."""

from __future__ import annotations

import pytest

from consulfwd.config import Endpoint
from tests.conformance.conftest import LAST, Served, answered, serving
from tests.conformance.octets import (
    FORMERR,
    NOERROR,
    NOTIMP,
    TC,
    A,
    message,
    opt,
    option,
    query,
    question,
    record,
)
from tests.conformance.test_edns_compliance import COMPLIANCE
from tests.conformance.upstream import Asked
from tests.net.world import TcpClient, UdpClient

OPAQUE = 65280
LISTENING = {"127.0.0.1": "127.0.0.1", "::1": "::1", "0.0.0.0": "127.0.0.2", "::": "::1"}
LONG = [record(b"\xc0\x0c", OPAQUE, bytes((250,)) + b"x" * 250, 30) for _ in range(249)]


def long(asked: Asked) -> bytes:
    return asked.reply(bits=TC) if asked.transport == "udp" else asked.reply(*LONG)


async def check(served: Served, at: Endpoint) -> None:
    served.upstream.on("zone.test", lambda asked: asked.reply(record("zone.test", A, "192.0.2.1")))
    served.upstream.on("long.test", long)
    async with UdpClient(at) as client, TcpClient(at) as stream:
        for packet, rcode, flags in COMPLIANCE.values():
            for _ in range(3):
                client.send(packet)
                reply = answered(packet, await client.receive())
                assert (reply.rcode, reply.opt is None) == (rcode, flags is None)
            stream.send(packet)
            assert answered(packet, await stream.receive()).rcode == rcode
        for size in (512, 1232, 65507, 65535):
            packet = query("long.test", OPAQUE, edns=opt(size))
            client.send(packet)
            reply = answered(packet, await client.receive())
            assert (reply.rcode, len(reply.data) <= size) == (NOERROR, True)
        bare = len(query("zone.test", edns=opt())) + 4
        for size in (512, 1232, 4096):
            packet = query("zone.test", edns=opt(options=option(12, bytes(size - bare))))
            assert len(packet) == size
            client.send(packet)
            assert answered(packet, await client.receive()).rcode == NOERROR
        # Far more than was announced is not read to its end, and answered all the same.
        for size in (4097, 9000, 65507):
            packet = query("zone.test", edns=opt(options=option(12, bytes(size - bare))))
            client.send(packet)
            assert answered(packet, await client.receive()).rcode == FORMERR
        client.send(b"\0" * 5)
        client.send(message(9, 1 << 11, question("zone.test")))
        assert (await client.receive())[3] & 15 == NOTIMP
        client.send(b"\xff\xff" + LAST)
        assert (await client.receive())[:2] == b"\xff\xff"
        assert client.waiting == 0


@pytest.mark.parametrize("address", LISTENING)
async def test_on_every_address(address: str) -> None:
    """RFC 1035 section 4.2, RFC 6891 sections 6.1.1 and 6.2.5, RFC 5452 section 9.1: from the
    address that was asked, no longer than a datagram can be."""
    shown = f"[{address}]" if ":" in address else address
    async with serving(listen=[f"{shown}:0"]) as served:
        at = Endpoint(host=LISTENING[address], port=served.here.at.port)
        await check(served, at)
