"""Messages signed with a shared secret (TSIG, RFC 8945), on bytes.

What belongs here: finding, checking and adding the record. Must not know sockets, zones, or where
secrets are. Pure: the time of day is passed in.
"""

from __future__ import annotations

import hmac
import struct
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.dns.wire import HEADER, HEADER_SIZE, RECORD, read_name, skip_name
from consulfwd.errors import WireError

BADSIG, BADKEY, BADTIME, BADTRUNC = 16, 17, 18, 22
# Seconds clocks may differ.
FUDGE = 300
SIZES = {
    "hmac-sha1": 20, "hmac-sha224": 28, "hmac-sha256": 32, "hmac-sha384": 48, "hmac-sha512": 64,
}  # fmt: skip
_WIRE = {names.from_text(name): name for name in SIZES}
_TEXT = {name: wire for wire, name in _WIRE.items()}
_TAIL = struct.Struct("!HHH")


class Key(NamedTuple):
    """A secret, its name (wire form, folded) and its algorithm (of SIZES)."""

    name: bytes
    algorithm: str
    secret: bytes


class Tsig(NamedTuple):
    """What the TSIG record of a message says, and where that begins."""

    name: bytes
    algorithm: bytes
    time: int
    fudge: int
    mac: bytes
    original_id: int
    error: int
    other: bytes
    start: int


def find(data: bytes) -> Tsig | None:
    """Return the TSIG of a message, None if it has none. Raises WireError (FORMERR)."""
    try:
        _, questions, *counts = HEADER.unpack_from(data, 2)
        position = HEADER_SIZE
        for _ in range(questions):
            position = skip_name(data, position) + 4
        total = sum(counts)
        for index in range(total):
            start = position
            position = skip_name(data, start)
            rtype, rclass, ttl, length = RECORD.unpack_from(data, position)
            position += RECORD.size
            if rtype == const.TSIG:
                last = index == total - 1 and counts[2] and position + length == len(data)
                if not last or rclass != const.CLASS_ANY or ttl:
                    raise WireError("a TSIG where none may stand", const.FORMERR)
                return _read(data, start, position)
            position += length
    except (IndexError, struct.error):
        raise WireError("the message is cut short", const.FORMERR) from None
    except WireError as error:
        raise WireError(str(error), const.FORMERR) from None
    return None


def _read(data: bytes, start: int, position: int) -> Tsig:
    name = read_name(data, start).lower()
    algorithm = read_name(data, position).lower()
    position = skip_name(data, position, pointers=False)
    high, low, fudge, size = struct.unpack_from("!HIHH", data, position)
    position += 10
    mac = data[position : position + size]
    original_id, error, length = _TAIL.unpack_from(data, position + size)
    position += size + _TAIL.size
    if position + length != len(data):
        raise WireError("a TSIG of another length than it says")
    other = data[position:]
    return Tsig(name, algorithm, high << 32 | low, fudge, mac, original_id, error, other, start)


def wrong(key: Key | None, data: bytes, found: Tsig, now: float, request: bytes = b"") -> int:
    """Return the error there is with a message's TSIG, 0 for none (RFC 8945 section 5.2).

    `request` is the MAC of the request, if the message is a reply. Raises WireError (FORMERR) for
    a MAC of a length that cannot be.
    """
    if key is None or found.name != key.name or _WIRE.get(found.algorithm) != key.algorithm:
        return BADKEY
    size = SIZES[key.algorithm]
    # Section 5.2.2.1: those that are shorter than half, or longer than whole.
    if not max(10, size // 2) <= len(found.mac) <= size:
        raise WireError("a MAC of no possible length", const.FORMERR)
    count = int.from_bytes(data[10:12], "big") - 1
    bare = found.original_id.to_bytes(2, "big") + data[2:10] + count.to_bytes(2, "big")
    bare += data[HEADER_SIZE : found.start]
    timers = _timers(found.time, found.fudge)
    mac = _mac(key, request, bare, _variables(key, timers, found.error, found.other))
    if not hmac.compare_digest(mac[: len(found.mac)], found.mac):
        return BADSIG
    # In this order (section 5.2).
    if abs(found.time - int(now)) > found.fudge:
        return BADTIME
    return BADTRUNC if len(found.mac) != size else 0


def told(error: int, found: Tsig) -> str:
    """Return for people what is wrong with a message that has this TSIG."""
    if error == BADKEY:
        key = f"{names.to_text(found.name)} ({names.to_text(found.algorithm)})"
        return f"BADKEY: it signs with the key {key}, which is not ours"
    return {
        BADSIG: "BADSIG: its secret is another one",
        BADTIME: "BADTIME: its clock differs by more than it allows for",
        BADTRUNC: "BADTRUNC: its signature is cut short",
    }[error]


class Signer:
    """Signs the messages of one reply, or one request, each in a chain with the one before."""

    def __init__(self, key: Key, request: bytes = b"") -> None:
        self._key = key
        self.mac = request
        self._first = True
        self.room = len(key.name) + len(_TEXT[key.algorithm]) + SIZES[key.algorithm] + 26

    def sign(self, message: bytes, now: float) -> bytes:
        """Return a message with its TSIG behind it."""
        timers = _timers(int(now), FUDGE)
        tail = _variables(self._key, timers, 0, b"") if self._first else timers
        self.mac = _mac(self._key, self.mac, message, tail)
        self._first = False
        return _with(message, self._key.name, _TEXT[self._key.algorithm], timers, self.mac, 0, b"")


def refused(message: bytes, found: Tsig, error: int, key: Key | None, now: float) -> bytes:
    """Return a reply with what is wrong with the request's TSIG (RFC 8945 section 5.3.2).

    Only one that is late, or whose MAC is cut, is signed: the others prove no common secret.
    """
    other = _time(int(now)) if error == BADTIME else b""
    if key is None or error not in (BADTIME, BADTRUNC):
        timers = _timers(int(now), FUDGE)
        return _with(message, found.name, found.algorithm, timers, b"", error, other)
    # The client could not check a time that is not its own.
    timers = _timers(found.time if error == BADTIME else int(now), FUDGE)
    mac = _mac(key, found.mac, message, _variables(key, timers, error, other))
    return _with(message, key.name, _TEXT[key.algorithm], timers, mac, error, other)


def _mac(key: Key, before: bytes, message: bytes, tail: bytes) -> bytes:
    digest = hmac.new(key.secret, digestmod=key.algorithm.partition("-")[2])
    if before:
        digest.update(len(before).to_bytes(2, "big") + before)
    digest.update(message)
    digest.update(tail)
    return digest.digest()


def _variables(key: Key, timers: bytes, error: int, other: bytes) -> bytes:
    head = key.name + struct.pack("!HI", const.CLASS_ANY, 0) + _TEXT[key.algorithm]
    return head + timers + struct.pack("!HH", error, len(other)) + other


def _time(seconds: int) -> bytes:
    return seconds.to_bytes(6, "big")


def _timers(seconds: int, fudge: int) -> bytes:
    return _time(seconds) + fudge.to_bytes(2, "big")


def _with(
    message: bytes,
    name: bytes,
    algorithm: bytes,
    timers: bytes,
    mac: bytes,
    error: int,
    other: bytes,
) -> bytes:
    data = algorithm + timers + len(mac).to_bytes(2, "big") + mac
    data += message[:2] + struct.pack("!HH", error, len(other)) + other
    count = (int.from_bytes(message[10:12], "big") + 1).to_bytes(2, "big")
    record = RECORD.pack(const.TSIG, const.CLASS_ANY, 0, len(data))
    return message[:10] + count + message[12:] + name + record + data
