"""Servers that misbehave, over real sockets: a script for each connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import pytest

from consulfwd.config.addresses import Endpoint
from consulfwd.config.zones import UpdateTarget
from consulfwd.dns import names
from consulfwd.errors import ApplyError
from consulfwd.zones.model import Act
from consulfwd.zones.sinks.exchange import Exchange
from consulfwd.zones.sinks.rfc2136 import UpdatedZone
from consulfwd.zones.sinks.updating import UpdateChange
from consulfwd.zones.target import Push
from tests.loopback import OWN
from tests.zones.made import ORIGIN, records

SECRET = "c2VjcmV0IG9mIHNpeHRlZW4="
KEY = dns.tsig.Key("publisher", SECRET, "hmac-sha256")
APEX = ["SOA ns.example.com. hostmaster.example.com. 5 300 60 604800 30", "NS ns.example.com."]
WEB = "web.svc.example.com. A 10.0.0.1"
# What a server does with one connection: it is given a message, and a way to send.
Answer = Callable[[dns.message.Message, Callable[[bytes], None]], None]


class Server:
    """A server on TCP; `answers` has what is done for a SOA query, a transfer, an update.

    What is sent goes through `wrapped`, which makes the octets of a connection of a message's.
    """

    def __init__(self, key: dns.tsig.Key | None) -> None:
        self.key = key
        self.answers: dict[str, Answer] = {"SOA": reply(APEX[0])}
        self.wrapped: Callable[[str, bytes, Callable[[bytes], None]], None] = whole
        self._socket = socket.create_server((OWN, 0))
        self.place = Endpoint(host=OWN, port=self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._one(connection)

    def _one(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        (length,) = struct.unpack("!H", connection.recv(2))
        data = connection.recv(length, socket.MSG_WAITALL)
        message = dns.message.from_wire(data, keyring=self.key or False)
        kind = dns.rdatatype.to_text(message.question[0].rdtype)
        what = "UPDATE" if message.opcode() == 5 else kind

        def send(wire: bytes) -> None:
            self.wrapped(what, struct.pack("!H", len(wire)) + wire, connection.sendall)

        self.answers[what](message, send)

    def close(self) -> None:
        """End it; what is under way ends by itself."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def whole(what: str, data: bytes, send: Callable[[bytes], None]) -> None:
    """Send all of it."""
    send(data)


def reply(*lines: str) -> Answer:
    """Answer with one message of these records."""

    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        send(made(message, *lines).to_wire())

    return answer


def made(message: dns.message.Message, *lines: str) -> dns.message.Message:
    """A reply with these records: "NAME. TYPE DATA", or "TYPE DATA" at the origin."""
    response = dns.message.make_response(message)
    response.flags |= dns.flags.AA
    for line in lines:
        at_name = line if line.split(" ")[0].endswith(".") else f"{ORIGIN}. {line}"
        name, kind, data = at_name.split(" ", 2)
        response.answer.append(dns.rrset.from_text(name, 30, "IN", kind, data))
    return response


def code(rcode: dns.rcode.Rcode, tsig_error: int = 0) -> Answer:
    """Answer with an error."""

    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        response = dns.message.make_response(message, tsig_error=tsig_error)
        response.set_rcode(rcode)
        send(response.to_wire())

    return answer


def altered(
    change: Callable[[dns.message.Message], None], *lines: str, signed: bool = True
) -> Answer:
    """Answer with these records, and something changed before it is signed; or not signed."""

    def answer(message: dns.message.Message, send: Callable[[bytes], None]) -> None:
        response = made(message, *lines)
        change(response)
        if not signed:
            response.tsig = None
        send(response.to_wire())

    return answer


# Seconds. Who is heard is waited for however busy the machine is, who is not is soon given up.
PATIENT, HASTY = 10.0, 0.5


def target(
    server: Server, folder: Path, timeout: float = PATIENT, more: Sequence[Endpoint] = ()
) -> UpdatedZone:
    """The zone at a server, and at more of them; `folder` is for its key."""
    given: dict[str, Any] = {}
    if server.key is not None:
        (folder / "key").write_text(SECRET)
        given = {"key_name": "publisher", "key_file": folder / "key"}
    settings = UpdateTarget(servers=(server.place, *more), **given)
    return UpdatedZone(settings, names.from_text(ORIGIN), exchange=Exchange(timeout))


def read_fault(server: Server, folder: Path, timeout: float = PATIENT) -> str:
    """What is told of the server when the zone cannot be read."""
    with pytest.raises(ApplyError) as caught:
        target(server, folder, timeout).read()
    assert caught.value.what.startswith("could not be read, and is not changed: ")
    assert caught.value.mend
    return caught.value.what.partition(f"{server.place} ")[2]


def adding(zone: UpdatedZone) -> UpdateChange:
    """A change that is planned: one address more, "db"."""
    base = zone.read()
    ((key, rrset),) = records({"db A": "10.0.0.2"}).items()
    change = zone.change(Push(base, [Act(key, None, rrset)]))
    assert change.plan()
    return change
