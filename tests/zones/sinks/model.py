"""Servers that take updates, in memory: what RFC 2136 says of them, and nothing else.

Messages go through their wire form, and the zone is changed only by what they say. `Net` stands
where the target's connections are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.update

from consulfwd.config.addresses import Endpoint
from consulfwd.dns import const, names
from consulfwd.zones.model import Key, RRset
from consulfwd.zones.sinks.exchange import Exchange, records_of, wire_of
from consulfwd.zones.sinks.transfers import Record, Take

NXRRSET, YXRRSET = 8, 7
HERE = Endpoint(host="192.0.2.53", port=53)
THERE = Endpoint(host="192.0.2.54", port=53)


def soa_of(serial: int, zone: str = "svc.example.com") -> bytes:
    """An SOA record's data."""
    start = names.from_text("ns.example.com") + names.from_text(f"hostmaster.{zone}")
    return start + struct.pack("!5I", serial, 300, 60, 604_800, 30)


@dataclass
class Model:
    """One server's zone.

    `pending` is what there was before a change that has no serial yet: Knot takes several updates
    at once, and raises its serial once for all of them. `stays` says that it never does: in
    PowerDNS a serial may be the time in seconds, or left to whoever writes to the database.
    `most` is BIND's (max-records-per-type): it fails at a message by which a set has more records.
    `signs` is Knot's: signatures of what goes by a message are in a CNAME record's way until then.
    """

    records: dict[Key, RRset] = field(default_factory=dict)
    zone: str = "svc.example.com"
    serial: int = 1
    pending: dict[Key, RRset] | None = None
    increments: bool = True
    stays: bool = False
    signs: bool = False
    most: int = 1_000
    accepted: int = 0
    asked: list[str] = field(default_factory=list)
    # What changed by which serial: (from, to, gone, come).
    history: list[tuple[int, int, list[Record], list[Record]]] = field(default_factory=list)

    @property
    def apex(self) -> bytes:
        return names.from_text(self.zone)

    @property
    def soa(self) -> bytes:
        return soa_of(self.serial, self.zone)

    def all(self) -> dict[Key, RRset]:
        """The records with those of the apex."""
        ns = RRset(300, frozenset({names.from_text("ns.example.com")}))
        soa = RRset(300, frozenset({self.soa}))
        return {Key(self.apex, const.SOA): soa, Key(self.apex, const.NS): ns, **self.records}

    def query(self, message: dns.message.Message) -> dns.message.Message:
        """Answer with the SOA record."""
        reply = dns.message.make_response(message)
        reply.flags |= dns.flags.AA
        asked = wire_of(message.question[0].name)
        kind = dns.rdatatype.SOA
        soa = dns.rdata.from_wire(dns.rdataclass.IN, kind, self.soa, 0, len(self.soa))
        rrset = dns.rrset.from_rdata(dns.name.from_wire(self.apex, 0)[0], 300, soa)
        if asked == self.apex:
            reply.answer.append(rrset)
        elif names.is_under(asked, self.apex):
            reply.authority.append(rrset)
            reply.set_rcode(dns.rcode.NXDOMAIN)
        else:
            reply.set_rcode(dns.rcode.REFUSED)
        return reply

    def transfer(self, query: dns.message.Message, take: Take) -> None:
        """Give the zone, or what changed, a record in each message."""
        soa = Record(self.apex, const.SOA, 300, self.soa)
        found = [soa, *self._changes(query), soa]
        if found == [soa, soa]:
            found = [soa]
        for one in found[:-1]:
            if take([one]):
                raise AssertionError("more was to come")
        assert take(found[-1:])

    def _changes(self, query: dns.message.Message) -> list[Record]:
        if query.question[0].rdtype == dns.rdatatype.IXFR:
            since = int(str(query.authority[0][0]).split()[2])
            steps = [one for one in self.history if since <= one[0]]
            if since == self.serial:
                return []
            if self.increments and steps and steps[0][0] == since:
                return [
                    record
                    for before, after, gone, come in steps
                    for record in (
                        Record(self.apex, const.SOA, 300, soa_of(before, self.zone)), *gone,
                        Record(self.apex, const.SOA, 300, soa_of(after, self.zone)), *come,
                    )
                ]  # fmt: skip
        return [
            Record(key.name, key.type, rrset.ttl, one)
            for key, rrset in self.all().items()
            if key.type != const.SOA
            for one in sorted(rrset.data)
        ]

    def update(self, message: dns.update.UpdateMessage) -> int:
        """Do what a message says, or nothing (RFC 2136 section 3)."""
        rcode = self._unmet(message)
        before = dict(self.records)
        if self.pending is None:
            self.pending = before
        if not rcode:
            for rrset in message.update:
                if not self._in_the_way(rrset, before):
                    self._order(rrset)
            if any(len(rrset.data) > self.most for rrset in self.records.values()):
                self.records, rcode = before, const.SERVFAIL
            self.accepted += self.records != before
        self.flush()
        return rcode

    def flush(self) -> None:
        """Have a serial for what has none yet."""
        pending, self.pending = self.pending, None
        if pending is not None and pending != self.records:
            self.publish(pending)

    def publish(self, before: dict[Key, RRset]) -> None:
        """Have a serial of its own for what changed since."""
        if self.stays:
            return
        gone, come = not_in(before, self.records), not_in(self.records, before)
        self.history.append((self.serial, self.serial + 1, gone, come))
        self.serial += 1

    def _unmet(self, message: dns.update.UpdateMessage) -> int:
        there = self.all()
        wanted: dict[Key, set[bytes]] = {}
        for rrset in message.prerequisite:
            key = Key(wire_of(rrset.name), int(rrset.rdtype))
            named = any(one.name == key.name for one in there)
            if rrset.deleting == dns.rdataclass.NONE:
                if key.type == const.ANY and named:
                    return const.YXDOMAIN
                if key in there:
                    return YXRRSET
            elif rrset.deleting == dns.rdataclass.ANY:
                if key.type == const.ANY and not named:
                    return const.NXDOMAIN
                if key.type != const.ANY and key not in there:
                    return NXRRSET
            else:
                wanted.setdefault(key, set()).update(data_of(rrset))
        for key, data in wanted.items():
            if key not in there or there[key].data != data:
                return NXRRSET
        return 0

    def _in_the_way(self, rrset: dns.rrset.RRset, before: dict[Key, RRset]) -> bool:
        """Whether a CNAME record is left out as there were others."""
        comes = rrset.deleting is None and rrset.rdtype == dns.rdatatype.CNAME
        name = wire_of(rrset.name)
        others = (key for key in before if key.name == name and key.type != const.CNAME)
        return self.signs and comes and any(others)

    def _order(self, rrset: dns.rrset.RRset) -> None:
        key = Key(wire_of(rrset.name), int(rrset.rdtype))
        assert key.name != self.apex
        now = self.records.get(key, RRset(0, frozenset()))
        if rrset.deleting == dns.rdataclass.NONE:
            left = now.data - data_of(rrset)
            self._set(key, now.ttl, left)
        elif rrset.deleting == dns.rdataclass.ANY:
            self._set(key, 0, frozenset())
        else:
            others = [one.type for one in self.records if one.name == key.name]
            if (key.type == const.CNAME) != (const.CNAME in others) and others:
                return  # silently, as section 3.4.2.2 has it
            data = data_of(rrset)
            self._set(key, rrset.ttl, data if key.type == const.CNAME else now.data | data)

    def _set(self, key: Key, ttl: int, data: frozenset[bytes]) -> None:
        if data:
            self.records[key] = RRset(ttl, data)
        else:
            self.records.pop(key, None)


class Forwarding(Model):
    """A secondary that forwards updates to its primary (RFC 2136 section 6), and pulls later."""

    def __init__(self, primary: Model) -> None:
        super().__init__(dict(primary.records), serial=primary.serial)
        self.primary = primary

    def update(self, message: dns.update.UpdateMessage) -> int:
        """Have the primary say what becomes of it."""
        return self.primary.update(message)

    def pull(self) -> None:
        """Have what the primary has."""
        self.records, self.serial = dict(self.primary.records), self.primary.serial
        self.history = list(self.primary.history)


def data_of(rrset: dns.rrset.RRset) -> frozenset[bytes]:
    """The data of a set, in wire form."""
    return frozenset(record.data for record in records_of([rrset]))


def not_in(one: dict[Key, RRset], other: dict[Key, RRset]) -> list[Record]:
    """The records of one state that are not in another, or have another TTL there."""
    none = RRset(-1, frozenset())
    return [
        Record(key.name, key.type, rrset.ttl, data)
        for key, rrset in one.items()
        for data in sorted(rrset.data)
        if other.get(key, none).ttl != rrset.ttl or data not in other.get(key, none).data
    ]


class Net(Exchange):
    """All servers there are. `before` and `after` are called around each message.

    They are told the server and what is sent (SOA, AXFR, IXFR, UPDATE), and may raise Fault.
    """

    def __init__(self, **models: Model) -> None:
        super().__init__(1.0)
        places = {"here": HERE, "there": THERE}
        self.models = {places[name]: model for name, model in models.items()}
        self.before: Callable[[Endpoint, str], None] = lambda server, what: None
        self.after: Callable[[Endpoint, str], None] = lambda server, what: None
        self.sent: list[dns.message.Message] = []

    def ask(self, server: Endpoint, message: dns.message.Message) -> dns.message.Message:
        self.sent.append(message)
        update = isinstance(message, dns.update.UpdateMessage)
        what = "UPDATE" if update else "SOA"
        self.before(server, what)
        model = self.models[server]
        model.asked.append(what)
        if update:
            wire = message.to_wire()
            assert len(wire) <= 65_535
            read = dns.message.from_wire(wire)
            assert isinstance(read, dns.update.UpdateMessage)
            reply = dns.message.make_response(read)
            reply.set_rcode(dns.rcode.Rcode(model.update(read)))
        else:
            reply = model.query(message)
        self.after(server, what)
        return reply

    def transfer(self, server: Endpoint, query: dns.message.Message, take: Take) -> None:
        what = dns.rdatatype.to_text(query.question[0].rdtype)
        self.before(server, what)
        self.models[server].asked.append(what)
        self.models[server].transfer(query, take)
        self.after(server, what)
