"""What a watch saw change, against what agents still say for a moment: their answers corrected.

An agent learns of a change up to a tenth of a second after the leader. A watch that asks the
leader knows which instances left and which came; for as long as that settles, those that left are
taken out of what agents answer, and those that came are put in. Everything else stays as it was
said. Pure. Must not know how Consul's HTTP API tells of instances.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from consulfwd.core.subjects import SERVICE, Form
from consulfwd.dns import const
from consulfwd.dns.message import Message, assemble_message
from consulfwd.dns.names import MAX_NAME, suffixes
from consulfwd.dns.records import build_record, owner_of, rdata_of, read_records, type_of
from consulfwd.dns.wire import HEADER, HEADER_SIZE
from consulfwd.errors import WireError

_ADDRESS_TYPES = (const.A, const.AAAA)
# Octets of records that fit into any message, with room for question and OPT.
_ROOM = 65000
# What stands before the target: priority, weight, port (RFC 2782).
_NUMBERS = struct.Struct("!HHH")


class Instance(NamedTuple):
    """A healthy instance of a service, as far as DNS shows it.

    `node` and `target` are the names of its node and of what SRV points to, in wire form, but
    without the domain at their end; `host` is the target's address. `ipv4` and `ipv6` are what A
    and AAAA show. Addresses are packed; b"" is none, for `target` that it is not known. `weight`
    is what SRV shows; `passing` says that no check warns either; `odd` that A and AAAA do not show
    it by an address, or by one that is not known.
    """

    node: bytes
    target: bytes
    host: bytes
    ipv4: bytes
    ipv6: bytes
    port: int
    tags: frozenset[str]
    weight: int
    passing: bool
    odd: bool


class Sure(Enum):
    """What is known of a service, of which an agent's answer has who left."""

    GONE = "who left: they are taken out where others stay"
    LEFT = "who is left, too: they are put in where nobody else stays"
    ALL = "that nobody else has come: then there is none where none is left"


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


def corrected(
    change: Settling,
    form: Form,
    question: bytes,
    message: Message,
    sure: Sure | None = None,
) -> Message:
    """Return what an agent answered to `question` (folded) with the change taken into account.

    Where it has settled the agent is further behind: `sure` is what is known all the same.
    """
    qtype = int.from_bytes(question[-4:-2], "big")
    if not _shows_instances(form, qtype, message) or message.rcode not in (0, const.NXDOMAIN):
        return message
    if message.rcode == const.NXDOMAIN and _newer(question[:-4], form):
        return message
    healthy = _with_tag(change.healthy, form.tag)
    if qtype != const.SRV and any(one.odd for one in healthy):
        # Consul may answer with an alias instead.
        return message
    held = _held_against(change, form, qtype, question, message)
    if held is None:
        return message
    compared, (answers, authority, additional) = held
    kept = [
        compared.weighed(one, data)
        for one, data in zip(answers, compared.shown, strict=True)
        if data not in compared.left
    ]
    if not kept and sure is Sure.GONE:
        return message
    ttl = message.ttl or 0
    added = compared.missing(none_kept=not kept)
    kept += [build_record(question[:-4], qtype, ttl, compared.rdata(one)) for one in added]
    flags, rcode = message.flags & ~const.RCODE_MASK, const.NOERROR
    if kept:
        beside = compared.additional(kept, additional, ttl) if qtype == const.SRV else additional
        if kept == answers and sorted(beside) == sorted(additional):
            return message
        if sum(map(len, kept)) + sum(map(len, beside)) > _ROOM:
            beside = []
        sections = (kept, authority if answers else [], beside)
    else:
        if sure is Sure.LEFT:
            return message
        denial = compared.denial(message.rcode, behind=sure is not None)
        if denial is None or (not answers and denial == message.rcode):
            return message
        # As Consul says it when there is none of this type, or none at all.
        sections = ([], authority, [])
        flags, rcode = flags & ~const.TC, denial
    made = assemble_message(question, sections, flags=flags, rcode=rcode)
    made.edns, made.size = message.edns, message.size
    return made


def has_gone(change: Settling, form: Form, question: bytes, message: Message) -> bool:
    """Return whether an answer to `question` (folded) still has an instance that is `gone`."""
    qtype = int.from_bytes(question[-4:-2], "big")
    if not _shows_instances(form, qtype, message) or not message.answers:
        return False
    held = _held_against(change, form, qtype, question, message)
    if held is None:
        return False
    compared, (_, _, additional) = held
    if not compared.left.isdisjoint(compared.shown):
        return True
    return qtype == const.SRV and compared.has_old(additional)


def _shows_instances(form: Form, qtype: int, message: Message) -> bool:
    """Return whether answers to such a question are a service's instances, and this one is."""
    known = qtype in _ADDRESS_TYPES or qtype == const.SRV
    return form.subject.kind == SERVICE and known and not message.aliased


def _held_against(
    change: Settling, form: Form, qtype: int, question: bytes, message: Message
) -> tuple[_Compared, tuple[list[bytes], list[bytes], list[bytes]]] | None:
    """Return a change held against an answer, with the sections of that; None if unreadable."""
    try:
        sections = _sections(question, message)
    except WireError:
        return None
    answers, authority, _ = sections
    healthy = _with_tag(change.healthy, form.tag)
    gone, come = _with_tag(change.gone, form.tag), _with_tag(change.come, form.tag)
    zone = form.zone
    if qtype == const.SRV:
        known = {one.target.lower() for one in (*healthy, *gone) if one.target}
        zone = _zone(answers, authority, known) or zone
    shown = [_seen(one, qtype) for one in answers]
    return _Compared(qtype, zone, healthy, gone, come, shown), sections


class _Compared:
    """The instances a name asks for, as records of one type, held against an agent's answer.

    The data of an instance is what tells its record from others: an address, or port and target
    of SRV; b"" where the type does not show it. `shown` is that of each record of the answer,
    `left` the data no instance has any more.
    """

    def __init__(
        self,
        qtype: int,
        zone: bytes,
        healthy: list[Instance],
        gone: list[Instance],
        come: list[Instance],
        shown: list[bytes],
    ) -> None:
        self._qtype = qtype
        self._zone = zone
        self._healthy = [(self._data(one), one) for one in healthy]
        self._gone = [(self._data(one), one) for one in gone]
        self._come = set(come)
        self.shown = shown
        self._shown = frozenset(shown)
        self._room = len(shown)
        self.left = {data for data, _ in self._gone} - {data for data, _ in self._healthy} - {b""}
        everyone = [*self._healthy, *self._gone]
        passing = {data for data, one in everyone if one.passing}
        warned = {data for data, one in everyone if not one.passing} - passing
        # Whether the agent is seen to show instances that do not pass every check, or to hide
        # them: that is a setting of its own.
        self._lax = not self._shown.isdisjoint(warned - {b""})
        self._strict = any(
            not one.passing and data not in self._shown and one not in self._come
            for data, one in self._healthy
        )
        came = {self._data(one) for one in come} - {b""}
        self._weights: dict[bytes, set[int]] = {}
        for data, one in self._healthy:
            if data in came:
                self._weights.setdefault(data, set()).add(one.weight)

    def _data(self, one: Instance) -> bytes:
        if self._qtype != const.SRV:
            return one.ipv4 if self._qtype == const.A else one.ipv6
        target = self._name(one.target)
        return target and one.port.to_bytes(2, "big") + target.lower()

    def _name(self, name: bytes) -> bytes:
        """Return one of an instance's names under the domain, b"" if there is no such name."""
        return name + self._zone if name and len(name) + len(self._zone) <= MAX_NAME else b""

    def rdata(self, one: Instance) -> bytes:
        """Return the data of an instance's record."""
        if self._qtype != const.SRV:
            return self._data(one)
        return _NUMBERS.pack(1, one.weight, one.port) + self._name(one.target)

    def missing(self, *, none_kept: bool) -> list[Instance]:
        """Return the instances to be added to the answer.

        Where it lacks some that are there all the time, it was cut, agents show but a part, or
        this one knows more than the watch: then there are only as many as were taken out, and
        only instead of none. Where it shows one the watch has not seen, it is of another moment,
        and what came by the watch's is none of it.
        """
        seen = {data for data, _ in (*self._healthy, *self._gone)}
        if not self._shown <= seen | {b""}:
            return []
        fit = {data: one for data, one in self._healthy if one.passing or self._lax}
        steady = {data for data, one in fit.items() if one not in self._come}
        found = [data for data in sorted(fit) if data and data not in self._shown]
        if not steady - {b""} <= self._shown:
            found = found[: self._room] if none_kept else []
        elif none_kept and not found and self._room and not self._strict:
            fit = dict(self._healthy)
            found = [data for data in sorted(fit) if data]
        return [fit[data] for data in found]

    def weighed(self, record: bytes, shown: bytes) -> bytes:
        """Return an SRV record, known by what it shows, with the weight its instance has now."""
        weights = self._weights.get(shown)
        if self._qtype != const.SRV or not weights:
            return record
        data = rdata_of(record)
        priority, weight, port = _NUMBERS.unpack_from(data)
        if weight in weights:
            return record
        changed = _NUMBERS.pack(priority, min(weights), port) + data[_NUMBERS.size :]
        return record[: len(record) - len(data)] + changed

    def additional(self, answers: list[bytes], records: list[bytes], ttl: int) -> list[bytes]:
        """Return the Additional records that belong to these answers.

        Those of instances that did not change stay; beside addresses, Consul gives the
        metadata of nodes.
        """
        gone = [one for _, one in self._gone]
        healthy = [one for _, one in self._healthy]
        targets = {rdata_of(one)[_NUMBERS.size :].lower() for one in answers}
        changed = {self._name(one.target).lower() for one in (*gone, *self._come)}
        left = {self._name(one.node).lower() for one in gone}
        left -= {self._name(one.node).lower() for one in healthy}
        told = changed & targets
        wanted = {}
        for one in healthy:
            name = self._name(one.target)
            if name and one.host and name.lower() in told:
                rtype = const.A if len(one.host) == 4 else const.AAAA
                wanted[name.lower(), rtype] = build_record(name, rtype, ttl, one.host)
        kept = []
        for record in records:
            owner, rtype = owner_of(record).lower(), type_of(record)
            if rtype in _ADDRESS_TYPES and owner in changed:
                right = wanted.get((owner, rtype))
                if right is None or rdata_of(right) != rdata_of(record):
                    continue
                del wanted[owner, rtype]
            elif owner in left:
                continue
            kept.append(record)
        return kept + [wanted[key] for key in sorted(wanted)]

    def has_old(self, records: list[bytes]) -> bool:
        """Return whether Additional records have an address that a target has no more."""
        old = {(self._name(one.target).lower(), one.host) for _, one in self._gone}
        old -= {(self._name(one.target).lower(), one.host) for _, one in self._healthy}
        return any(
            type_of(one) in _ADDRESS_TYPES and (owner_of(one).lower(), rdata_of(one)) in old
            for one in records
        )

    def denial(self, said: int, *, behind: bool) -> int | None:
        """Return the rcode of an answer with nothing in it, None if there should be something.

        `said` is the agent's: where nothing was taken out it is doubted only for what changed. One
        that is `behind` by who knows how much may lack an instance because it came since.
        """
        strict = self._strict and not behind
        there = [(data, one) for data, one in self._healthy if one.passing or not strict]
        if any(data or self._qtype == const.SRV for data, _ in there):
            return None
        if self._room:
            return const.NOERROR if there else const.NXDOMAIN
        if there and all(one.passing and one in self._come for _, one in there):
            return const.NOERROR
        return const.NXDOMAIN if self._gone and not there else said


def _zone(answers: list[bytes], authority: list[bytes], known: set[bytes]) -> bytes:
    """Return the domain Consul gives names under here, b"" if that does not show.

    Before 1.11 it was its own domain whatever domain was asked for.
    """
    for record in answers:
        target = rdata_of(record)[_NUMBERS.size :]
        if type_of(record) == const.SRV:
            for zone in suffixes(target):
                if target[: len(target) - len(zone)].lower() in known:
                    return zone
    return next((owner_of(one) for one in authority if type_of(one) == const.SOA), b"")


def _newer(name: bytes, form: Form) -> bool:
    """Return whether the datacenter is written `.<name>.dc`: Consul 1.8 denies such names."""
    datacenter = form.subject.datacenter.encode()
    tail = bytes((len(datacenter),)) + datacenter + b"\x02dc" + form.zone
    return bool(datacenter) and name.endswith(tail)


def _with_tag(instances: Iterable[Instance], tag: str) -> list[Instance]:
    return [one for one in instances if not tag or tag in one.tags]


def _sections(question: bytes, message: Message) -> tuple[list[bytes], list[bytes], list[bytes]]:
    counts = (message.answers, message.authorities)
    third = len(message.ends) - sum(counts)
    head = HEADER.pack(message.flags, 1, *counts, third)
    return read_records(b"\0\0" + head + question + message.body, HEADER_SIZE + len(question))


def _seen(record: bytes, qtype: int) -> bytes:
    """Return the data of a record that was answered, b"" for one of another type."""
    if type_of(record) != qtype:
        return b""
    data = rdata_of(record)
    return data if qtype != const.SRV else data[4:6] + data[6:].lower()
