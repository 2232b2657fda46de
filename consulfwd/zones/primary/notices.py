"""Telling secondaries that there is a new version (NOTIFY, RFC 1996): messages, and when again.

What belongs here: octets and times. Must not know sockets, clocks. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from consulfwd.dns import const
from consulfwd.dns.wire import HEADER, HEADER_SIZE, skip_name
from consulfwd.errors import WireError
from consulfwd.zones.primary import packing, tsig
from consulfwd.zones.primary.versions import Version

NOTIFY = 4 << 11
# Seconds a reply is waited for, the first time and at most; each time it is twice as long.
FIRST, LONGEST = 1.0, 60.0
# So many in vain are told of, once.
TELL_AFTER = 5


class Notice(NamedTuple):
    """A message, and the MAC of its signature ("" if it has none)."""

    octets: bytes
    mac: bytes


def build(
    origin: bytes, version: Version, ident: bytes, key: tsig.Key | None, now: float
) -> Notice:
    """Return a message that tells of this version."""
    soa = packing.soa(version.apex, version.serial, origin)
    question = origin + const.SOA.to_bytes(2, "big") + const.IN.to_bytes(2, "big")
    octets = ident + HEADER.pack(NOTIFY | const.AA, 1, 1, 0, 0) + question + soa.octets
    if key is None:
        return Notice(octets, b"")
    signer = tsig.Signer(key)
    octets = signer.sign(octets, now)
    return Notice(octets, signer.mac)


def reply(data: bytes, notice: Notice, key: tsig.Key | None, now: float) -> str | None:
    """Return what a reply says: "" for yes, else why not; None if it is no reply to this.

    A reply that should be signed and is not counts only as a refusal: it proves no receipt.
    """
    if len(data) < HEADER_SIZE or data[:2] != notice.octets[:2]:
        return None
    flags, questions = HEADER.unpack_from(data, 2)[:2]
    if not flags & const.QR or flags & const.OPCODE_MASK != NOTIFY:
        return None
    try:
        if questions:
            end = skip_name(data, HEADER_SIZE, pointers=False) + 4
            ours = notice.octets[HEADER_SIZE : skip_name(notice.octets, HEADER_SIZE) + 4]
            if data[HEADER_SIZE:end].lower() != ours.lower():
                return None
        found = tsig.find(data)
        rcode = flags & const.RCODE_MASK
        if key is not None and found is not None and found.error:
            return f"it does not take our signature ({_ERRORS.get(found.error, found.error)})"
        if key is not None:
            signed = found is not None and not tsig.wrong(key, data, found, now, notice.mac)
            if not signed:
                return None if rcode == const.NOERROR else f"it says {const.rcode_text(rcode)}"
    except (WireError, IndexError):
        return None
    # One that does not know these messages looks by itself: more of them are of no use.
    if rcode in (const.NOERROR, const.NOTIMP):
        return ""
    return f"it says {const.rcode_text(rcode)}"


_ERRORS = {
    tsig.BADSIG: "BADSIG: another secret", tsig.BADKEY: "BADKEY: no such key there",
    tsig.BADTIME: "BADTIME: clocks differ", tsig.BADTRUNC: "BADTRUNC",
}  # fmt: skip


def pause(attempts: int) -> float:
    """Return how long to wait for a reply to the attempt after so many."""
    return float(min(FIRST * 2 ** min(attempts, 16), LONGEST))


class Telling:
    """What the log says of a secondary: that it does not answer, once, and that it does again."""

    def __init__(self) -> None:
        self._in_vain = 0
        self._told = False

    def failed(self, why: str) -> str:
        """Return what to say now that an attempt was in vain, "" for nothing."""
        self._in_vain += 1
        if self._told or self._in_vain < TELL_AFTER:
            return ""
        self._told = True
        return f"is not told of new versions: {why}; tried again"

    def worked(self) -> str:
        """Return what to say now that one has arrived, "" for nothing."""
        told, self._told, self._in_vain = self._told, False, 0
        return "is told of new versions again" if told else ""
