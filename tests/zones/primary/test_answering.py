"""Queries and what is answered, as transcripts; dnspython reads it."""

from __future__ import annotations

import random
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rrset
import dns.tsig
import pytest

from consulfwd.dns import const
from consulfwd.zones.primary import answering, notices, tsig
from consulfwd.zones.primary.answering import Asked, answer
from consulfwd.zones.primary.versions import Versions, Whole
from tests.fuzz.corpus import spoiled
from tests.zones.made import ORIGIN
from tests.zones.primary.pulled import (
    APEX,
    KEY,
    KEYRING,
    THEIR_KEY,
    WIRE,
    Site,
    become,
    version,
    versions,
)

SOA = "@ 30 SOA ns1.example.com. hostmaster 7 300 60 604800 30"
RECORDS: dict[str, str | list[str]] = {
    "web A": "10.0.0.1 10.0.0.2",
    "web AAAA": "2001:db8::1",
    "_web._tcp SRV": [f"1 1 80 web.{ORIGIN}."],
    "www CNAME": f"web.{ORIGIN}.",
    "loop CNAME": f"loop.{ORIGIN}.",
    "out CNAME": "www.example.net.",
    "lost CNAME": f"nobody.{ORIGIN}.",
    "a.b.deep A": "10.0.0.3",
    f"{ORIGIN}. A": "10.0.0.4",
    "big A": [f"10.1.{one // 250}.{one % 250}" for one in range(300)],
}


@pytest.fixture
def site() -> Site:
    return Site(versions(RECORDS, 7))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("web A", "NOERROR AA : web 30 A 10.0.0.1 10.0.0.2"),
        ("WEB AAAA", "NOERROR AA : web 30 AAAA 2001:db8::1"),
        ("_web._tcp SRV", "NOERROR AA : _web._tcp 30 SRV 1 1 80 web"),
        ("www CNAME", "NOERROR AA : www 30 CNAME web"),
        ("www A", "NOERROR AA : www 30 CNAME web : web 30 A 10.0.0.1 10.0.0.2"),
        ("www TXT", f"NOERROR AA : www 30 CNAME web | {SOA}"),
        ("loop A", "NOERROR AA : loop 30 CNAME loop"),
        ("out A", "NOERROR AA : out 30 CNAME www.example.net."),
        ("lost A", f"NXDOMAIN AA : lost 30 CNAME nobody | {SOA}"),
        ("web TXT", f"NOERROR AA | {SOA}"),
        ("nobody A", f"NXDOMAIN AA | {SOA}"),
        ("x.web A", f"NXDOMAIN AA | {SOA}"),
        # A name that has others below it exists (RFC 8020).
        ("b.deep A", f"NOERROR AA | {SOA}"),
        ("deep A", f"NOERROR AA | {SOA}"),
        ("eep A", f"NXDOMAIN AA | {SOA}"),
        (f"{ORIGIN}. SOA", f"NOERROR AA : {SOA}"),
        (f"{ORIGIN}. NS", "NOERROR AA : @ 30 NS ns1.example.com. ns2"),
        (f"{ORIGIN}. A", "NOERROR AA : @ 30 A 10.0.0.4"),
        (f"{ORIGIN}. MX", f"NOERROR AA | {SOA}"),
        ("web ANY", "NOERROR AA : web 30 A 10.0.0.1 10.0.0.2 : web 30 AAAA 2001:db8::1"),
        ("example.com. SOA", "REFUSED"),
        (f"x{ORIGIN}. A", "REFUSED"),
        (". NS", "REFUSED"),
        ("big A", "NOERROR AA TC"),
    ],
)
def test_records_and_denials(site: Site, asked: str, told: str) -> None:
    name, rtype = asked.split()
    name = name if name.endswith(".") else f"{name}.{ORIGIN}"
    assert site.ask(name, rtype).replace("ns2.", "ns2") == told.replace("ns2.", "ns2")


def test_over_tcp_all_of_it_fits(site: Site) -> None:
    assert len(site.ask(f"big.{ORIGIN}", stream=True).split()) == 6 + 300


def test_the_ttl_of_a_denial_is_the_least_of_both() -> None:
    held = Versions(WIRE)
    for ttl, minimum, told in ((30, 5, 5), (5, 30, 5)):
        apex = APEX._replace(ttl=ttl, minimum=minimum)
        held.begin(Whole(version(1, apex), {}))
        assert f"| @ {told} SOA" in Site(held).ask(f"web.{ORIGIN}")


def test_edns(site: Site) -> None:
    query = dns.message.make_query(f"big.{ORIGIN}", "A", use_edns=0, payload=4096)
    (reply,) = site.send(query.to_wire(), stream=False)
    found = dns.message.from_wire(reply)
    assert found.edns == 0
    assert found.payload == 1232
    assert found.flags & dns.flags.TC
    small = dns.message.make_query(f"web.{ORIGIN}", "A", use_edns=0, payload=20)
    (reply,) = site.send(small.to_wire(), stream=False)
    assert not dns.message.from_wire(reply).flags & dns.flags.TC
    query = dns.message.make_query(f"web.{ORIGIN}", "A", use_edns=1)
    (reply,) = site.send(query.to_wire(), stream=False)
    found = dns.message.from_wire(reply)
    assert found.rcode() == dns.rcode.BADVERS
    assert not found.answer


def test_signed_queries_get_signed_answers(site: Site) -> None:
    query = dns.message.make_query(f"web.{ORIGIN}", "A", use_edns=0)
    query.use_tsig(KEYRING, THEIR_KEY.name)
    wire = query.to_wire()
    found = tsig.find(wire)
    assert found is not None
    site.clock = lambda: float(found.time)
    (reply,) = site.send(wire, stream=False)
    read = dns.message.from_wire(reply, keyring=KEYRING, request_mac=query.mac)
    assert read.had_tsig
    assert read.edns == 0


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
@pytest.mark.parametrize(
    ("key", "unsigned", "keyed", "client", "then"),
    [
        (True, False, True, "127.0.0.1", "AA"),
        (True, False, False, "127.0.0.1", "REFUSED"),
        (True, True, False, "127.0.0.1", "AA"),
        (True, True, True, "127.0.0.1", "AA"),
        (True, False, True, "192.0.2.1", "REFUSED"),
        (False, True, False, "127.0.0.1", "AA"),
        (False, True, False, "192.0.2.1", "REFUSED"),
        (False, False, False, "127.0.0.1", "REFUSED"),
        (True, False, True, "::ffff:127.0.0.1", "AA"),
    ],
)
def test_who_gets_the_zone(
    rtype: str, key: bool, unsigned: bool, keyed: bool, client: str, then: str
) -> None:
    site = Site(versions({"web A": "10.0.0.1"}), KEY if key else None, unsigned=unsigned)
    query = transfer(rtype, keyed=keyed)
    wire = query.to_wire()
    if keyed:
        found = tsig.find(wire)
        assert found is not None
        site.clock = lambda: float(found.time)
    reply = site.send(wire, client=client)[0]
    code = dns.rcode.to_text(dns.rcode.Rcode(reply[3] & 0xF))
    assert (code, bool(reply[2] & 4)) == (("NOERROR", True) if then == "AA" else (then, False))
    # What is signed is answered so, refusals too.
    assert (tsig.find(reply) is not None) == keyed


def transfer(rtype: str, *, keyed: bool = False, serial: int = 1) -> dns.message.QueryMessage:
    query = dns.message.make_query(ORIGIN, rtype)
    query.flags = 0
    if rtype == "IXFR":
        soa = dns.rrset.from_text(f"{ORIGIN}.", 0, "IN", "SOA", f". . {serial} 0 0 0 0")
        query.authority.append(soa)
    if keyed:
        query.use_tsig(KEYRING, THEIR_KEY.name)
    return query


def test_who_is_not_let_in_gets_nothing_at_all(site: Site) -> None:
    assert site.ask(f"web.{ORIGIN}", client="192.0.2.1") == "REFUSED"
    assert site.ask(f"web.{ORIGIN}", client="::1") == "REFUSED"


def test_other_ways_to_ask_for_a_transfer(site: Site) -> None:
    site.served = Site(site.versions, unsigned=True).served
    axfr = transfer("AXFR").to_wire()
    assert code(site.send(axfr, stream=False)) == "FORMERR"
    below = dns.message.make_query(f"web.{ORIGIN}", "AXFR").to_wire()
    assert code(site.send(below)) == "NOTAUTH"
    assert code(site.send(dns.message.make_query("example.com", "AXFR").to_wire())) == "REFUSED"
    assert code(site.send(dns.message.make_query(ORIGIN, "AXFR", "CH").to_wire())) == "REFUSED"
    without = dns.message.make_query(ORIGIN, "IXFR").to_wire()
    assert code(site.send(without)) == "FORMERR"
    busy = Asked(axfr, ip_address("127.0.0.1"), True, True)
    zones = {WIRE: site.served}
    assert code(list(answer(zones, busy, site.clock).messages)) == "SERVFAIL"


def code(replies: list[bytes]) -> str:
    (reply,) = replies
    return dns.rcode.to_text(dns.message.from_wire(reply).rcode())


def test_what_is_no_query(site: Site) -> None:
    query = dns.message.make_query(ORIGIN, "SOA")
    response = dns.message.make_response(query).to_wire()
    for silent in (b"", b"\0" * 11, response):
        assert site.send(silent) == []
    for opcode in (dns.opcode.NOTIFY, dns.opcode.UPDATE, dns.opcode.STATUS):
        query = dns.message.make_query(ORIGIN, "SOA")
        query.set_opcode(opcode)
        (reply,) = site.send(query.to_wire())
        assert (reply[2] >> 3 & 15, reply[3] & 15) == (opcode, const.NOTIMP)
    (reply,) = site.send(query.to_wire()[:13])
    assert reply[3] & 15 in (const.FORMERR, const.NOTIMP)


def test_nothing_is_answered_where_others_have_more(site: Site) -> None:
    site.versions.given(8)
    assert site.ask(f"web.{ORIGIN}") == "SERVFAIL"
    assert Site(Versions(WIRE)).ask(ORIGIN, "SOA") == "SERVFAIL"


def test_what_follows_a_name_that_looks_like_the_zones(site: Site) -> None:
    # Its label has the octets of the zone's name in it.
    label = WIRE[:-1]
    query = dns.message.make_query(ORIGIN, "A").to_wire()
    name = bytes((len(label) + 1,)) + b"x" + label + b"\0"
    wire = query[:12] + name + b"\0\1\0\1"
    (reply,) = site.send(wire)
    assert reply[3] & 15 == const.REFUSED


def test_spoiled_queries() -> None:
    rng = random.Random(1995)
    held = versions(RECORDS, 7)
    become(held, {"web A": "10.0.0.9"})
    site = Site(held, unsigned=True)
    queries = [
        transfer("AXFR").to_wire(),
        transfer("IXFR", serial=7).to_wire(),
        transfer("IXFR", serial=7, keyed=True).to_wire(),
        dns.message.make_query(f"web.{ORIGIN}", "A", use_edns=0).to_wire(),
    ]
    answered = 0
    for _ in range(6_000):
        data = spoiled(rng, queries)
        stream = rng.random() < 0.5
        replies = site.send(data, stream=stream)
        for reply in replies:
            answered += 1
            assert reply[:2] == data[:2]
            assert reply[2] & 0x80
            assert len(reply) <= (answering.STREAM if stream else answering.DATAGRAM)
            if reply[2] >> 3 & 15 == dns.opcode.QUERY:
                dns.message.from_wire(reply, keyring=False, xfr=True)
    assert answered > 1500


def test_spoiled_notices_and_their_replies() -> None:
    rng = random.Random(1996)
    notice = notices.build(WIRE, version(5), b"ab", KEY, 1_000)
    query = dns.message.make_query(ORIGIN, "SOA", id=0x6162)
    query.set_opcode(dns.opcode.NOTIFY)
    good = dns.message.make_response(query).to_wire()
    for _ in range(2_000):
        found = notices.reply(spoiled(rng, [good, notice.octets]), notice, KEY, 1_000)
        # It is not signed: it never counts.
        assert found != ""


@pytest.mark.parametrize("questions", [0, 2])
def test_any_other_number_of_questions(site: Site, questions: int) -> None:
    query = dns.message.make_query(ORIGIN, "SOA").to_wire()
    wire = query[:4] + questions.to_bytes(2, "big") + query[6:12] + query[12:] * questions
    (reply,) = site.send(wire)
    assert reply[3] & 15 == const.FORMERR
    assert reply[4:12] == bytes(8)


def test_one_that_was_forwarded(site: Site) -> None:
    """Under another ID: what was signed is the original one (RFC 8945 section 5.5)."""
    query = transfer("AXFR", keyed=True)
    wire = query.to_wire()
    found = tsig.find(wire)
    assert found is not None
    site.clock = lambda: float(found.time)
    other = bytes((wire[0] ^ 255, wire[1]))
    (reply,) = site.send(other + wire[2:])
    assert (reply[:2], reply[3] & 15) == (other, const.NOERROR)
    # It comes to no more than what was answered before, if it is sent again.
    (again,) = site.send(other + wire[2:])
    assert again == reply


@pytest.mark.parametrize(
    ("key", "rtype", "client", "why"),
    [
        (None, "AXFR", "127.0.0.1", "its query for a transfer is unsigned"),
        (None, "SOA", "127.0.0.1", ""),
        (None, "SOA", "192.0.2.1", "its address is not in `allow`"),
        ("transfer", "AXFR", "127.0.0.1", ""),
        ("other", "SOA", "127.0.0.1",
         "BADKEY: it signs with the key other. (hmac-sha256.), which is not ours"),
    ],
)  # fmt: skip
def test_what_is_told_of_who_is_refused(
    site: Site, key: str | None, rtype: str, client: str, why: str
) -> None:
    query = dns.message.make_query(ORIGIN, rtype)
    if key is not None:
        theirs = dns.tsig.Key(key, THEIR_KEY.secret, "hmac-sha256")
        query.use_tsig({theirs.name: theirs}, theirs.name)
    asked = Asked(query.to_wire(), ip_address(client), True)
    found = answer({WIRE: site.served}, asked, site.clock)
    assert (found.refused, found.of) == (why, WIRE if why else b"")
    # Nobody is told of those that ask for what is not here.
    assert answer({}, asked, site.clock).refused == ""


def test_each_octet_spoiled() -> None:
    """Of a signed query: nothing but refusals, and all of them in form."""
    site = Site(versions(RECORDS, 7))
    wire = transfer("AXFR", keyed=True).to_wire()
    for at in range(2, len(wire)):
        for value in (0, 0xFF, wire[at] ^ 0x80):
            if value == wire[at]:
                continue
            for reply in site.send(wire[:at] + bytes((value,)) + wire[at + 1 :]):
                # The case of names is of no matter, and RD, AD, CD are no flags of ours.
                rcode = reply[3] & 15
                assert rcode != const.NOERROR or not int.from_bytes(reply[6:8], "big"), at
