"""What an agent says of a question with its faults switched on.

What belongs here: which fault decides a reply, and what each does to the message. Must not know:
sockets, framing, time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from . import wire
from .answers import Answerer
from .faults import Faults
from .wire import DevQuery, DevReply, Name

FORGED = "192.0.2.66"
_WRONG_NAME = (b"wrong-question", b"invalid")
# How much of a huge answer a record takes: a pointer, what is fixed, an address.
_RECORD, _REST = 16, 300
_CH = 3
# Asks whether a fault strikes: its amount (1 without one), else None.
Hit = Callable[[str], float | None]


def messages(query: DevQuery, answerer: Answerer, faults: Faults, *, udp: bool) -> list[bytes]:
    """Every message that is sent for a query, in order."""

    def hit(name: str) -> float | None:
        return faults.strikes(name, udp=udp)

    if hit("drop"):
        return []
    if hit("garbage"):
        noise = faults.rng.randbytes(40)
        return [struct.pack("!HH", query.id, wire.QR | wire.AA) + noise]
    reply = _refusal(query, hit)
    if reply is None and query.edns_size is not None:
        if hit("edns_drop"):
            return []
        reply = _without_edns(query, hit)
    if reply is None:
        reply = _elsewhere(query, hit) or _answer(query, answerer, faults, udp)
    packet = _spoiled(_distorted(reply, hit).pack(), hit)
    forged = _forged(query, int(hit("spoofed") or 0))
    return [*forged, packet, packet] if hit("twice") else [*forged, packet]


def _refusal(query: DevQuery, hit: Hit) -> DevReply | None:
    for name, rcode in (
        ("servfail", wire.SERVFAIL),
        ("refused", wire.REFUSED),
        ("formerr", wire.FORMERR),
    ):
        if hit(name):
            return DevReply(query, rcode, authoritative=False, edns=False)
    return None


def _without_edns(query: DevQuery, hit: Hit) -> DevReply | None:
    if hit("edns_notimp"):
        return DevReply(query, wire.NOTIMP, authoritative=False, edns=False)
    if hit("edns_badvers"):
        return DevReply(query, wire.BADVERS, authoritative=False)
    return None


def _elsewhere(query: DevQuery, hit: Hit) -> DevReply | None:
    """What is no answer, and looks like one: that of a server without the zone."""
    nothing = DevReply(query, authoritative=False)
    if hit("hollow"):
        return nothing
    for name, zone in (("referral", query.name[1:]), ("upward", ())):
        if hit(name):
            servers = [(one, b"ns", b"invalid") for one in (b"a", b"b")]
            rows = [wire.pointing(zone, wire.NS, 3600, server) for server in servers]
            return replace(nothing, authority=rows)
    return None


def _answer(query: DevQuery, answerer: Answerer, faults: Faults, udp: bool) -> DevReply:
    def hit(name: str) -> float | None:
        return faults.strikes(name, udp=udp)

    reply = answerer.answer(query, udp=udp)
    known = reply.rcode != wire.REFUSED and query.type not in (wire.SOA, wire.NS)
    if known and (faults.forgetful or hit("nxdomain")):
        return answerer.negative(query)
    if hit("alias_loop"):
        other = (b"loop", *query.name)
        links = (query.name, other), (other, query.name)
        return DevReply(query, answers=[wire.pointing(a, wire.CNAME, 60, b) for a, b in links])
    if hit("alias_alone"):
        alias = wire.pointing(query.name, wire.CNAME, 60, (b"alias-target", b"invalid"))
        return DevReply(query, answers=[alias])
    octets = hit("huge")
    if octets is not None:
        many = range((int(octets) - _REST) // _RECORD)
        rows = [wire.address(query.name, 60, f"10.9.{at >> 8}.{at & 255}") for at in many]
        return DevReply(query, answers=rows)
    if hit("truncate"):
        return replace(reply, truncated=True, answers=(), authority=(), additional=())
    keep = hit("silent_cut")
    return reply if keep is None else replace(reply, answers=reply.answers[: int(keep)])


def _distorted(reply: DevReply, hit: Hit) -> DevReply:
    """The reply with what is wrong about it as a message."""
    query = reply.query
    if hit("no_edns"):
        reply = replace(reply, edns=False)
    if hit("opt_twice"):
        reply = replace(reply, opts=2)
    if hit("wrong_question"):
        reply = replace(reply, question=_WRONG_NAME)
    if hit("wrong_case"):
        reply = replace(reply, question=_other_case(query.name))
    if hit("wrong_class"):
        reply = replace(reply, class_=_CH)
    if hit("wrong_id"):
        reply = replace(reply, id=query.id ^ 0x5A5A)
    bits = hit("bits")
    if bits is not None:
        reply = replace(reply, bits=int(bits))
    ttl = hit("ttl")
    if ttl is not None:
        answers, authority, additional = (
            [record._replace(ttl=int(ttl)) for record in section]
            for section in (reply.answers, reply.authority, reply.additional)
        )
        reply = replace(reply, answers=answers, authority=authority, additional=additional)
    return reply


def _spoiled(packet: bytes, hit: Hit) -> bytes:
    """The octets of a reply with what is wrong about those."""
    if hit("query_again"):
        packet = packet[:2] + bytes((packet[2] & 0x7F,)) + packet[3:]
    packet += bytes(int(hit("behind") or 0))
    return packet[: len(packet) // 2] if hit("half") else packet


def _other_case(name: Name) -> Name:
    return tuple(label.swapcase() for label in name)


def _forged(query: DevQuery, count: int) -> list[bytes]:
    """Replies such as an attacker would send: a poisoned address, never ID and name right."""
    poison = [wire.address(query.name, 3600, FORGED)]
    forged = DevReply(query, answers=poison)
    return [
        replace(forged, id=(query.id + 1 + n) & 0xFFFF).pack()
        if n % 2 == 0
        else replace(forged, question=_WRONG_NAME).pack()
        for n in range(count)
    ]
