"""Messages to a DNS server and back, over TCP: queries, updates, transfers.

What belongs here: connections, time, size, and whether a reply is one to what was sent. Must not
know what is asked for. All of it raises Fault. A connection is for one message: there are few.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
from dns.message import UnknownTSIGKey

from consulfwd.config.addresses import Endpoint
from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones.sinks import faults
from consulfwd.zones.sinks.faults import KEY_MEND, Doing, Fault
from consulfwd.zones.sinks.transfers import Record, Take, serial_of
from consulfwd.zones.sinks.unpacking import Unpacker

# A whole transfer may take so long (seconds), and hold so many octets and records.
TRANSFER_TIME, TRANSFER_OCTETS, TRANSFER_RECORDS = 120.0, 512 * 1024 * 1024, 2_000_000
# So many messages of a transfer may be without a signature between two that have one
# (RFC 8945 section 5.3.1).
_UNSIGNED = 99
# What is done by a reply with these codes must not be done by anybody's word.
_BELIEVED = (const.NOERROR, *faults.CONFLICTS)
_BADTRUNC = "sign with the whole of the key's algorithm, not a part"
_STRANGER = "see what answers there"
_LARGE = "the zone is larger than this can be used for"


class Exchange:
    """Asks servers, each message within `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout = timeout_s

    def ask(self, server: Endpoint, message: dns.message.Message) -> dns.message.Message:
        """Return the reply to a message; its code may be any."""
        key = _key_name(message)
        end = time.monotonic() + self._timeout
        with self._connected(server) as connection:
            connection.setblocking(False)
            left = max(0.0, end - time.monotonic())
            try:
                reply = dns.query.tcp(message, server.host, left, server.port, sock=connection)
            except dns.exception.Timeout:
                raise faults.silent(self._timeout, sent=True) from None
            except EOFError:
                raise faults.cut_off() from None
            except OSError as error:
                raise faults.unreachable(error, sent=True) from error
            except (dns.exception.DNSException, ValueError) as error:
                raise _misunderstood(error, key) from error
        if reply.flags & dns.flags.TC:
            raise _truncated()
        if message.keyring is not None and not reply.had_tsig and reply.rcode() in _BELIEVED:
            raise faults.unsigned()
        return reply

    def transfer(self, server: Endpoint, query: dns.message.Message, take: Take) -> None:
        """Hand the records of a transfer on until they are complete."""
        end = time.monotonic() + TRANSFER_TIME
        with self._connected(server) as connection:
            try:
                self._transfer(connection, query, take, end)
            except TimeoutError:
                raise faults.silent(self._timeout, sent=True) from None
            except OSError as error:
                raise faults.unreachable(error, sent=True) from error
            except (dns.exception.DNSException, WireError, ValueError) as error:
                raise _misunderstood(error, _key_name(query)) from error

    def _transfer(
        self, connection: socket.socket, query: dns.message.Message, take: Take, end: float
    ) -> None:
        wire = query.to_wire()
        connection.sendall(struct.pack("!H", len(wire)) + wire)
        zone = wire_of(query.question[0].name)
        unpacker = Unpacker(query)
        octets = records = unsigned = 0
        first, done = True, False
        while not done:
            data = self._frame(connection, end)
            reply = unpacker.take(data)
            if not reply.answers:
                raise Fault("sent a reply to something else", _STRANGER)
            if reply.truncated:
                raise _truncated()
            if reply.rcode != const.NOERROR:
                raise faults.refused(reply.rcode, Doing.TRANSFER, zone)
            if reply.foreign:
                raise Fault("sent records of another class", _STRANGER)
            octets, records = octets + len(data), records + len(reply.records)
            if octets > TRANSFER_OCTETS or records > TRANSFER_RECORDS:
                raise Fault(f"sent more than {records} records or {octets} octets", _LARGE)
            done = take(reply.records)
            unsigned = 0 if unpacker.signed else unsigned + 1
            must = first or done or unsigned > _UNSIGNED
            if query.keyring is not None and must and not unpacker.signed:
                raise faults.unsigned()
            first = False

    def _frame(self, connection: socket.socket, end: float) -> bytes:
        until = min(end, time.monotonic() + self._timeout)
        (length,) = struct.unpack("!H", _exactly(connection, 2, until))
        return _exactly(connection, length, until)

    def _connected(self, server: Endpoint) -> socket.socket:
        try:
            connection = socket.create_connection((server.host, server.port), self._timeout)
        except TimeoutError:
            raise faults.silent(self._timeout, sent=False) from None
        except OSError as error:
            raise faults.unreachable(error, sent=False) from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _truncated() -> Fault:
    return Fault("sent a truncated reply by TCP", _STRANGER, unsure=True)


def _exactly(connection: socket.socket, length: int, until: float) -> bytes:
    parts = []
    while length:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        data = connection.recv(min(length, 65_536))
        if not data:
            raise faults.cut_off()
        parts.append(data)
        length -= len(data)
    return b"".join(parts)


def records_of(section: Iterable[dns.rrset.RRset]) -> list[Record]:
    """Return the records of a section, in order; of class IN alone."""
    found = []
    for rrset in section:
        if rrset.rdclass != dns.rdataclass.IN:
            continue
        name = wire_of(rrset.name)
        for rdata in rrset:
            soa = rrset.rdtype == dns.rdatatype.SOA
            raw = rdata.to_wire()
            assert raw is not None
            data = raw if soa else rdata.to_digestable()
            raw = b"" if data == raw else raw
            found.append(Record(name, int(rrset.rdtype), rrset.ttl, data, raw))
    return found


def wire_of(name: dns.name.Name) -> bytes:
    """Return a name's wire form, folded."""
    found = name.canonicalize().to_wire()
    assert found is not None
    return found


def ask_soa(
    exchange: Exchange, server: Endpoint, name: bytes, key: dns.tsig.Key | None = None
) -> Record:
    """Return the SOA record of the zone that a name is in, from who is authoritative for it."""
    query = dns.message.make_query(dns.name.from_wire(name, 0)[0], dns.rdatatype.SOA)
    query.flags &= ~dns.flags.RD
    if key is not None:
        query.use_tsig(key)
    reply = exchange.ask(server, query)
    if reply.rcode() not in (const.NOERROR, const.NXDOMAIN):
        raise faults.refused(reply.rcode(), Doing.QUERY, name)
    for one in records_of([*reply.answer, *reply.authority]):
        if one.type == const.SOA and names.is_under(name, one.name):
            if reply.flags & dns.flags.AA:
                return one
            break
    of = names.to_text(name)
    raise Fault(f"does not serve the zone of {of}", "name its primary, or add the zone there")


def served_serial(exchange: Exchange, server: Endpoint, origin: bytes) -> int:
    """Return the serial of a zone that a server is authoritative for."""
    found = ask_soa(exchange, server, origin)
    if found.name != origin:
        what = f"does not serve the zone {names.to_text(origin)}"
        raise Fault(what, "see whether it is in its configuration")
    return serial_of(found.data)


def _misunderstood(error: Exception, key: str) -> Fault:
    """Return what an error of dnspython's means, met where a reply was read."""
    for kind, what, mend in (
        (dns.tsig.PeerBadKey, f"does not know the key {key} (BADKEY)", KEY_MEND),
        (dns.tsig.PeerBadSignature, f"has another secret for the key {key} (BADSIG)", KEY_MEND),
        (dns.tsig.PeerBadTime, "has a clock that differs by minutes (BADTIME)", "set both clocks"),
        (dns.tsig.PeerBadTruncation, "wants longer signatures (BADTRUNC)", _BADTRUNC),
        (dns.tsig.BadTime, "signed with a clock that differs by minutes", "set both clocks"),
        (dns.tsig.BadSignature, f"signed wrongly with the key {key}", KEY_MEND),
        (dns.tsig.BadAlgorithm, f"signed by another algorithm than {key} is for", KEY_MEND),
        ((dns.tsig.BadKey, UnknownTSIGKey), "signed by another key", KEY_MEND),
    ):
        if isinstance(error, kind):
            # A reply that cannot be believed says nothing of what was done.
            return Fault(what, mend, unsure=not isinstance(error, dns.tsig.PeerError))
    if "TSIG" in str(error):
        return faults.unsigned()
    said = str(error) or type(error).__name__
    return Fault(f"sent what is no usable reply ({said})", _STRANGER, unsure=True)


def _key_name(message: dns.message.Message) -> str:
    return "" if message.keyring is None else str(message.keyring.name)
