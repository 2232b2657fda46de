"""What a watch saw change, against what agents still say for a moment: their answers corrected.

An agent learns of a change up to a tenth of a second after the leader. A watch that asks the
leader knows which instances left and which came; for as long as that settles, those that left are
taken out of what agents answer, and those that came are put in. Everything else stays as it was
said. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from consulfwd.core.subjects import SERVICE, Form
from consulfwd.dns import const
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import from_text
from consulfwd.dns.records import build_record, owner_of, rdata_of, read_records, type_of
from consulfwd.dns.wire import HEADER, HEADER_SIZE
from consulfwd.errors import WireError

_ADDRESS_TYPES = {const.A: 4, const.AAAA: 6}


class Instance(NamedTuple):
    """A healthy instance of a service, as far as DNS shows it. `address` is its own or its node's.

    `own` says that it is its own: SRV then points to a name made of the address. `weight` is what
    SRV shows; `passing` that no check warns either.
    """

    node: str
    address: str
    own: bool
    port: int
    tags: frozenset[str]
    weight: int
    passing: bool
    datacenter: str


class Settling(NamedTuple):
    """What has changed of a service and may not be known everywhere `until` (by the clock)."""

    until: float
    gone: frozenset[Instance]
    come: frozenset[Instance]
    healthy: frozenset[Instance]


def settling(
    old: Settling | None, before: frozenset[Instance], after: frozenset[Instance], until: float
) -> Settling:
    """Return what settles after a change, together with what `old` still does."""
    gone = before - after
    come = after - before
    if old is not None:
        gone |= old.gone - after
        come |= old.come & after
    return Settling(until, gone, come, after)


def corrected(change: Settling, form: Form, question: bytes, message: Message) -> Message:
    """Return what an agent answered to `question` (folded) with the change taken into account."""
    qtype = int.from_bytes(question[-4:-2], "big")
    if form.subject.kind != SERVICE or message.aliased or message.rcode not in (0, const.NXDOMAIN):
        return message
    if qtype not in _ADDRESS_TYPES and qtype != const.SRV:
        return message
    here = {_data(one, qtype, form) for one in _named(change.healthy, form)}
    gone = {_data(one, qtype, form) for one in _named(change.gone, form)} - here - {None}
    come = [one for one in _named(change.come, form) if one.passing]
    try:
        answers, authority, additional = _sections(question, message)
    except WireError:
        return message
    owner = question[:-4]
    kept = [one for one in answers if _seen(one, qtype) not in gone]
    shown = {_seen(one, qtype) for one in kept}
    ttl = message.ttl or 0
    for one in come:
        data = _data(one, qtype, form)
        if data is None or data in shown:
            continue
        shown.add(data)
        kept.append(build_record(owner, qtype, ttl, _rdata(one, qtype, form)))
        if qtype == const.SRV:
            additional = additional + _address_records(one, form, ttl)
    if kept == answers:
        return message
    if not kept:
        # As Consul says it when there is none of this type, or none at all.
        rcode = const.NOERROR if _named(change.healthy, form) else const.NXDOMAIN
        return assemble_message(question, ([], authority, []), flags=message.flags, rcode=rcode)
    if qtype == const.SRV:
        targets = {rdata_of(one)[6:].lower() for one in kept}
        additional = [one for one in additional if owner_of(one).lower() in targets]
    flags = message.flags & ~const.RCODE_MASK
    return assemble_message(question, (kept, [], additional), flags=flags)


def _sections(question: bytes, message: Message) -> tuple[list[bytes], list[bytes], list[bytes]]:
    counts = (message.answers, message.authorities)
    third = len(message.ends) - sum(counts)
    head = HEADER.pack(message.flags, 1, *counts, third)
    return read_records(b"\0\0" + head + question + message.body, HEADER_SIZE + len(question))


def _named(instances: Iterable[Instance], form: Form) -> list[Instance]:
    """Return the instances the name asks for: those with its tag, if it has one."""
    return [one for one in instances if not form.tag or form.tag in one.tags]


def _packed(one: Instance, qtype: int) -> bytes | None:
    try:
        address = ip_address(one.address)
    except ValueError:
        return None
    return address.packed if address.version == _ADDRESS_TYPES[qtype] else None


def _data(one: Instance, qtype: int, form: Form) -> bytes | None:
    """Return what tells an instance's record from others: its data, for SRV without the weight."""
    if qtype != const.SRV:
        return _packed(one, qtype)
    target = _target(one, form)
    return None if target is None else one.port.to_bytes(2, "big") + target.lower()


def _seen(record: bytes, qtype: int) -> bytes | None:
    """Return the same of a record as it was answered; None for one of another type."""
    if type_of(record) != qtype:
        return None
    data = rdata_of(record)
    return data if qtype != const.SRV else data[4:].lower()


def _rdata(one: Instance, qtype: int, form: Form) -> bytes:
    if qtype != const.SRV:
        return _packed(one, qtype) or b""
    target = _target(one, form) or b"\0"
    return b"\0\1" + one.weight.to_bytes(2, "big") + one.port.to_bytes(2, "big") + target


def _target(one: Instance, form: Form) -> bytes | None:
    """Return the name SRV points to: of the node, or of the service's own address in hex."""
    try:
        own = f"{ip_address(one.address).packed.hex()}.addr" if one.own else f"{one.node}.node"
        return from_text(f"{own}.{one.datacenter}")[:-1] + form.zone
    except (ValueError, WireError):
        return None


def _address_records(one: Instance, form: Form, ttl: int) -> list[bytes]:
    target = _target(one, form)
    for rtype in _ADDRESS_TYPES:
        packed = _packed(one, rtype)
        if packed is not None and target is not None:
            return [build_record(target, rtype, ttl, packed)]
    return []
