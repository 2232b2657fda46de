"""What is answered to a query for a zone that is kept here: its SOA, its records, transfers.

What belongs here: from octets to octets, and who may have what. Must not know sockets, files.
Pure: the time of day comes from a clock that is passed in. Whatever the octets, nothing is raised.

| asked for | over | answer |
|---|---|---|
| records | both | the answer, or a denial with the SOA; AA; TC if it does not fit |
| AXFR (RFC 5936) | TCP | the zone |
| IXFR (RFC 1995) | both | the SOA if there is nothing newer; what changed; or else the zone, |
| | | over UDP the SOA where it does not fit |
| anything, of a zone that another publisher serves now | both | SERVFAIL |
| another zone, another class | both | REFUSED |
| an opcode other than QUERY | both | NOTIMP |
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.dns.edns import build_opt
from consulfwd.dns.wire import HEADER, HEADER_SIZE, RECORD, Query, read_query, skip_name
from consulfwd.errors import WireError
from consulfwd.zones.primary import finding, transfers, tsig
from consulfwd.zones.primary.packing import NOTHING, Piece
from consulfwd.zones.primary.versions import Versions

Clock = Callable[[], float]
Network = IPv4Network | IPv6Network
EVERYWHERE = IPv4Network("0.0.0.0/0")
NOTAUTH = 9
# Off the host a datagram of this size arrives in one piece.
DATAGRAM = 1232
PLAIN = 512
STREAM = 65_535
_OPT = build_opt(DATAGRAM)


@dataclass(frozen=True)
class Served:
    """A zone, and who may have it. `lock` is held while its versions are looked at."""

    versions: Versions
    lock: AbstractContextManager[object]
    key: tsig.Key | None
    unsigned: bool
    allow: tuple[Network, ...]
    # Whether it is another publisher's to answer now: what is here may be an old version.
    resting: Callable[[], bool] = lambda: False

    def lets_in(self, client: IPv4Address | IPv6Address) -> bool:
        """Return whether this client may ask at all."""
        if client.version == 6 and client.ipv4_mapped:
            client = client.ipv4_mapped
        return any(client in one for one in self.allow)


class Asked(NamedTuple):
    """A message as it came, from whom, and whether over a stream.

    `busy` says that no more transfers are begun for now.
    """

    data: bytes
    client: IPv4Address | IPv6Address
    stream: bool
    busy: bool = False


class Answer(NamedTuple):
    """The messages to send, in order; `origin` is the zone's if this is a transfer over TCP.

    `refused` is why a secondary does not get what it asks for of the zone `of`, "" if it does.
    """

    messages: Iterable[bytes]
    origin: bytes | None = None
    refused: str = ""
    of: bytes = b""


SILENCE = Answer(())


def answer(zones: Mapping[bytes, Served], asked: Asked, clock: Clock) -> Answer:
    """Return what is answered."""
    data = asked.data
    if len(data) < HEADER_SIZE or data[2] & 0x80:
        return SILENCE
    try:
        found = tsig.find(data)
        query = read_query(data)
    except WireError as error:
        return SILENCE if error.rcode is None else Answer((_bare(data, error.rcode),))
    served = _served(zones, query)
    key = None
    if found is not None:
        key = _key(zones, served, found)
        try:
            wrong = tsig.wrong(key, data, found, clock())
        except WireError:
            return Answer((_bare(data, const.FORMERR),))
        if wrong:
            # Section 5.2.2 ff. of RFC 8945: NOTAUTH whatever it is.
            reply = _bare(data, NOTAUTH, query)
            signed = tsig.refused(reply, found, wrong, key, clock())
            return _of_zone(served, Answer((signed,), refused=tsig.told(wrong, found)))
    signer = tsig.Signer(key, found.mac) if key is not None and found is not None else None
    replying = Replying(data[:2], query, asked, signer, clock)
    return _of_zone(served, _answer(served, replying, signed=key))


class Replying:
    """How the messages of one answer are made: header, question, OPT and TSIG of each."""

    def __init__(
        self, ident: bytes, query: Query, asked: Asked, signer: tsig.Signer | None, clock: Clock
    ) -> None:
        self.ident = ident
        self.query = query
        self.asked = asked
        self._signer = signer
        self._clock = clock
        self._opt = _OPT if query.edns is not None else b""
        limit = STREAM
        if not asked.stream:
            size = PLAIN if query.edns is None else max(query.edns.size, PLAIN)
            limit = min(size, DATAGRAM)
        signed = 0 if signer is None else signer.room
        self.room = limit - HEADER_SIZE - len(query.question) - len(self._opt) - signed

    def message(
        self, answers: Piece, authority: Piece = NOTHING, rcode: int = 0, flags: int = const.AA
    ) -> bytes:
        """Return a message with these records, signed in turn."""
        flags |= const.QR | self.query.flags & const.RD | rcode & const.RCODE_MASK
        opt = self._opt
        if opt and rcode > const.RCODE_MASK:
            opt = build_opt(DATAGRAM, extended_rcode=rcode >> 4)
        head = HEADER.pack(flags, 1, answers.number, authority.number, 1 if opt else 0)
        octets = self.ident + head + self.query.question + answers.octets + authority.octets + opt
        return octets if self._signer is None else self._signer.sign(octets, self._clock())

    def cut(self) -> bytes:
        """Return a message that says there is more than fits."""
        return self.message(NOTHING, flags=const.AA | const.TC)

    def error(self, rcode: int, why: str = "") -> Answer:
        """Return a refusal."""
        return Answer((self.message(NOTHING, rcode=rcode, flags=0),), refused=why)


def _answer(served: Served | None, replying: Replying, signed: tsig.Key | None) -> Answer:
    query, asked = replying.query, replying.asked
    if query.edns is not None and query.edns.version:
        return replying.error(const.BADVERS)
    if served is None or query.qclass != const.IN:
        return replying.error(const.REFUSED)
    if not served.lets_in(asked.client):
        return replying.error(const.REFUSED, "its address is not in `allow`")
    with served.lock:
        versions = served.versions
        if versions.now is None or versions.behind or served.resting():
            # Whoever has a later one answers; secondaries go on with what they have.
            return replying.error(const.SERVFAIL)
        if query.qtype not in (const.AXFR, const.IXFR):
            return Answer((_lookup(versions, replying),))
        if query.name != versions.origin:
            return replying.error(NOTAUTH)
        if not served.unsigned and (signed is None or signed != served.key):
            how = "unsigned" if signed is None else "signed with another zone's key"
            return replying.error(const.REFUSED, f"its query for a transfer is {how}")
        if asked.busy:
            return replying.error(const.SERVFAIL)
        return _transfer(versions, replying)


def _of_zone(served: Served | None, found: Answer) -> Answer:
    """Return an answer that says which zone is refused; nobody is told of none of ours."""
    if not found.refused:
        return found
    if served is None:
        return found._replace(refused="")
    return found._replace(of=served.versions.origin)


def _transfer(versions: Versions, replying: Replying) -> Answer:
    query, asked = replying.query, replying.asked
    # Names in messages end as the question is spelled; in another spelling nothing points there.
    same = query.question.startswith(versions.origin)
    end = None if same else versions.origin
    if query.qtype == const.AXFR:
        if not asked.stream:
            return replying.error(const.FORMERR)
        pieces: Iterator[Piece] | list[Piece] = transfers.all_of(versions, end)
    else:
        serial = _serial(asked.data)
        if serial is None:
            return replying.error(const.FORMERR)
        pieces = transfers.since(versions, serial, end)
    if not asked.stream:
        return Answer((_datagram(versions, replying, pieces, end),))
    room = min(replying.room, transfers.FULL)
    return Answer(map(replying.message, transfers.filled(pieces, room)), versions.origin)


def _datagram(
    versions: Versions, replying: Replying, pieces: Iterable[Piece], end: bytes | None
) -> bytes:
    """Return a transfer in one message, or the SOA alone (RFC 1995 section 2)."""
    room = replying.room
    parts, count = [], 0
    for octets, number in pieces:
        room -= len(octets)
        if room < 0:
            return replying.message(transfers.soa_of(versions, end))
        parts.append(octets)
        count += number
    return replying.message(Piece(b"".join(parts), count))


def _lookup(versions: Versions, replying: Replying) -> bytes:
    query = replying.query
    rcode, answers, authority = finding.look_up(versions, query.name, query.qtype)
    if len(answers.octets) + len(authority.octets) > replying.room:
        return replying.cut()
    return replying.message(answers, authority, rcode)


def _serial(data: bytes) -> int | None:
    """Return the serial in the Authority section of a query for IXFR, None if there is none."""
    try:
        if data[8:10] != b"\0\1":
            return None
        position = skip_name(data, skip_name(data, HEADER_SIZE) + 4)
        rtype, _, _, length = RECORD.unpack_from(data, position)
        position += RECORD.size
        # Its names may be compressed: the times are its end.
        if rtype != const.SOA or length < 22 or position + length > len(data):
            return None
        return int.from_bytes(data[position + length - 20 : position + length - 16], "big")
    except (WireError, IndexError, struct.error):
        return None


def _served(zones: Mapping[bytes, Served], query: Query) -> Served | None:
    for suffix in names.suffixes(query.name):
        if suffix in zones:
            return zones[suffix]
    return None


def _key(
    zones: Mapping[bytes, Served], served: Served | None, found: tsig.Tsig
) -> tsig.Key | None:
    """Return the key of this name: the zone's, or that of another one."""
    candidates = ([] if served is None else [served]) + list(zones.values())
    keys = (one.key for one in candidates)
    return next((key for key in keys if key is not None and key.name == found.name), None)


def _bare(data: bytes, rcode: int, query: Query | None = None) -> bytes:
    """Return a refusal of what could not be read, or of a signature."""
    flags = int.from_bytes(data[2:4], "big") & (const.OPCODE_MASK | const.RD)
    question = b"" if query is None else query.question
    head = HEADER.pack(flags | const.QR | rcode, 1 if question else 0, 0, 0, 0)
    return data[:2] + head + question
