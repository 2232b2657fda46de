"""A zone kept here, and a secondary made of dnspython that asks for it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from ipaddress import ip_address, ip_network

import dns.message
import dns.name
import dns.query
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.SOA
import dns.tsig
import dns.xfr
import dns.zone

from consulfwd.dns import const, names
from consulfwd.zones import rdata
from consulfwd.zones.model import Act, Apex, Key, Records, RRset, difference
from consulfwd.zones.naming import apex_of
from consulfwd.zones.primary import tsig
from consulfwd.zones.primary.answering import Asked, Served, answer
from consulfwd.zones.primary.content import servers
from consulfwd.zones.primary.versions import Version, Versions, Whole, Writer
from tests.zones.made import ORIGIN, records, settings

NOW = 1_800_000_000.0
WIRE = names.from_text(ORIGIN)
ZONE = dns.name.from_text(ORIGIN)
SECRET = b"a secret of thirty-two octets..."
KEY = tsig.Key(names.from_text("transfer"), "hmac-sha256", SECRET)
THEIR_KEY = dns.tsig.Key("transfer", SECRET, "hmac-sha256")
KEYRING = {THEIR_KEY.name: THEIR_KEY}
APEX = apex_of(settings(ns=("ns1.example.com", f"ns2.{ORIGIN}")))
CLIENT = ip_address("127.0.0.1")

Contents = dict[Key, RRset]
# {("web", "A"): (30, {"10.0.0.1"})}
Shown = dict[tuple[str, str], tuple[int, frozenset[str]]]


def version(serial: int = 1, apex: Apex = APEX) -> Version:
    """A version of the zone."""
    return Version(serial, apex)


def versions(given: Mapping[str, str | Iterable[str]] | Records, serial: int = 1) -> Versions:
    """A zone with these records ("web A": "10.0.0.1")."""
    found = Versions(WIRE)
    made: dict[Key, RRset] = {}
    texts: dict[str, str | Iterable[str]] = {}
    for key, value in given.items():
        if isinstance(key, Key):
            assert isinstance(value, RRset)
            made[key] = value
        else:
            assert not isinstance(value, RRset)
            texts[key] = value
    found.begin(Whole(version(serial), made or records(texts)))
    return found


def change(held: Versions, acts: Iterable[Act], wall: float = 0, apex: Apex = APEX) -> None:
    """Bring a zone to its next version."""
    delta = held.delta(list(acts), apex, wall, Writer())
    assert delta is not None
    held.take(delta)


def become(held: Versions, given: Mapping[str, str | Iterable[str]], wall: float = 0) -> None:
    """Let a zone hold these records."""
    change(held, difference(held.content.records, records(given)), wall)


class Site:
    """A zone, who may have it, and what a client gets."""

    def __init__(
        self,
        held: Versions,
        key: tsig.Key | None = KEY,
        *,
        unsigned: bool = False,
        allow: str = "127.0.0.0/8",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.versions = held
        self.served = Served(held, nullcontext(), key, unsigned, (ip_network(allow),))
        self.clock = clock

    def send(self, data: bytes, *, stream: bool = True, client: str = "127.0.0.1") -> list[bytes]:
        """The messages that come back."""
        asked = Asked(data, ip_address(client), stream)
        return list(answer({self.versions.origin: self.served}, asked, self.clock).messages)

    def ask(
        self,
        name: str,
        rtype: str = "A",
        *,
        stream: bool = False,
        client: str = "127.0.0.1",
        keyed: bool = False,
        use_edns: bool = False,
    ) -> str:
        """One reply as a line: its code, flags, and what is in the answer and in Authority."""
        query = dns.message.make_query(name, rtype, use_edns=use_edns)
        query.flags = 0
        if keyed:
            query.use_tsig(KEYRING, THEIR_KEY.name)
        wire = query.to_wire()
        replies = self.send(wire, stream=stream, client=client)
        if not replies:
            return "nothing"
        (reply,) = replies
        return told(dns.message.from_wire(reply, keyring=KEYRING, request_mac=query.mac))

    def pull(
        self,
        zone: dns.zone.Zone,
        *,
        ixfr: bool = False,
        stream: bool = True,
        keyed: bool = True,
        name: str = ORIGIN,
    ) -> list[bytes]:
        """Bring a secondary's zone up to date as dnspython does; return the messages."""
        serial = serial_of(zone) if ixfr else None
        kind = dns.rdatatype.IXFR if ixfr else dns.rdatatype.AXFR
        query = dns.message.make_query(name, kind)
        query.flags = 0
        if serial is not None:
            authority = query.find_rrset(
                query.authority, ZONE, dns.rdataclass.IN, dns.rdatatype.SOA, create=True
            )
            soa = dns.rdata.from_text("IN", "SOA", f". . {serial} 0 0 0 0")
            authority.add(soa, 0)
        if keyed:
            query.use_tsig(KEYRING, THEIR_KEY.name)
        wire = query.to_wire()
        messages = self.send(wire, stream=stream)
        take(zone, query, messages, serial, stream=stream)
        return messages


def take(
    zone: dns.zone.Zone,
    query: dns.message.QueryMessage,
    messages: Iterable[bytes],
    serial: int | None,
    *,
    stream: bool = True,
) -> None:
    """Do with a zone what the messages of a transfer say."""
    kind = dns.rdatatype.AXFR if serial is None else dns.rdatatype.IXFR
    context = None
    done = False
    with dns.xfr.Inbound(zone, kind, serial, not stream) as inbound:
        for each in messages:
            assert not done
            found = dns.message.from_wire(
                each, keyring=query.keyring, request_mac=query.mac, xfr=True, origin=ZONE,
                tsig_ctx=context, multi=stream, one_rr_per_rrset=serial is not None,
            )  # fmt: skip
            assert query.keyring is None or found.had_tsig
            done = inbound.process_message(found)
            context = found.tsig_ctx
    assert done


def secondary() -> dns.zone.Zone:
    """A zone that has nothing yet."""
    return dns.zone.Zone(ZONE)


def serial_of(zone: dns.zone.Zone) -> int:
    """The serial a secondary has."""
    return int(zone.find_rdataset("@", "SOA")[0].serial)


def shown(zone: dns.zone.Zone) -> Shown:
    """What a secondary has, but for the SOA."""
    return {
        (str(name), dns.rdatatype.to_text(found.rdtype)): (
            found.ttl,
            frozenset(one.to_text(origin=ZONE, relativize=False) for one in found),
        )
        for name, found in zone.iterate_rdatasets()
        if found.rdtype != dns.rdatatype.SOA
    }


def wanted(held: Versions) -> Shown:
    """What a secondary should have."""
    assert held.now is not None
    every = {**held.content.records, Key(WIRE, const.NS): servers(held.now.apex)}
    return {
        (_relative(key.name), const.type_text(key.type)): (
            rrset.ttl,
            frozenset(rdata.to_text(key.type, one) for one in rrset.data),
        )
        for key, rrset in every.items()
    }


def altered(rng: random.Random, records: Contents, most: int = 4) -> Contents:
    """The same with something more, something less and something else."""
    after = dict(records)
    after.update(some_records(rng, rng.randint(0, most), 300))
    for key in rng.sample(sorted(after), min(rng.randint(1, most), len(after))):
        del after[key]
    return after


def _relative(name: bytes) -> str:
    text = names.to_text(name)
    return "@" if name == WIRE else text.removesuffix(f".{ORIGIN}.")


def told(message: dns.message.Message) -> str:
    """A message as a line."""
    flags = [name for name in ("AA", "TC", "RA") if getattr(dns.flags, name) & message.flags]
    parts = [dns.rcode.to_text(message.rcode()), *flags]
    for section, mark in ((message.answer, ":"), (message.authority, "|")):
        for rrset in section:
            name = str(rrset.name.relativize(ZONE))
            rtype = dns.rdatatype.to_text(rrset.rdtype)
            data = " ".join(sorted(str(one).replace(f".{ORIGIN}.", "") for one in rrset))
            parts.append(f"{mark} {name} {rrset.ttl} {rtype} {data}")
    return " ".join(parts)


def some_records(rng: random.Random, number: int, among: int = 0) -> Contents:
    """Records of so many services of those there may be, some of them stranger, deeper, larger."""
    found: Contents = {}
    for index in rng.sample(range(among or 3 * number), number):
        owner = names.from_text(f"web-{index}.{ORIGIN}")
        addresses = frozenset(rng.randbytes(4) for _ in range(rng.randint(1, 4)))
        found[Key(owner, const.A)] = RRset(rng.choice((30, 60)), addresses)
        if rng.random() < 0.3:
            srv = rdata.from_text(const.SRV, f"1 1 {index % 65_536} web-{index}.{ORIGIN}.")
            found[Key(names.from_text(f"_web-{index}._tcp.{ORIGIN}"), const.SRV)] = RRset(
                30, frozenset((srv,))
            )
        if rng.random() < 0.1:
            alias = names.from_text(f"a{index}.deep.{ORIGIN}")
            found[Key(alias, const.CNAME)] = RRset(30, frozenset((owner,)))
        if rng.random() < 0.1:
            text = bytes((200,)) + rng.randbytes(200)
            found[Key(owner, const.TXT)] = RRset(30, frozenset((text,)))
    return found
