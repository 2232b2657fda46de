"""What is taken out of answers about outside names, and of whose."""

from __future__ import annotations

from ipaddress import ip_network

import dns.flags
import dns.message
import dns.rrset
import pytest

from consulfwd.core.ask import Ask
from consulfwd.core.rebinding import Guard
from consulfwd.core.routes import Kind, Route
from consulfwd.dns.message import Message, read_reply
from consulfwd.dns.names import ROOT, from_text
from consulfwd.dns.wire import read_query
from tests.net.messages import question

OUTSIDE = Route(ROOT, Kind.RECURSE)


def ask(name: str = "www.test", qtype: str = "A", route: Route = OUTSIDE) -> Ask:
    return Ask(read_query(question(name, qtype)), route)


def answer(one: Ask, qtype: str, *records: str, section: str = "answer") -> Message:
    """A reply; records are lines `name type data`, those behind a `+` are additional."""
    name = dns.name.from_wire(one.question, 0)[0]
    reply = dns.message.make_response(dns.message.make_query(name, qtype))
    reply.flags |= dns.flags.AD
    for record in records:
        owner, rtype, data = record.lstrip("+").split(" ", 2)
        where = reply.additional if record[0] == "+" else reply.answer
        where.append(dns.rrset.from_text(f"{owner}.", 60, "IN", rtype, data))
    return read_reply(reply.to_wire(), one.question)


def left(guard: Guard, one: Ask, qtype: str, *records: str) -> list[str] | None:
    """What is left of an answer, None when it is given as it is."""
    held = guard.hold_back(one, answer(one, qtype, *records))
    if held is None:
        return None
    flags = dns.flags.QR.to_bytes(2, "big")
    counts = (held.message.answers, held.message.authorities)
    more = len(held.message.ends) - sum(counts)
    head = b"\0\0" + flags + b"\0\1" + b"".join(n.to_bytes(2, "big") for n in (*counts, more))
    read = dns.message.from_wire(head + one.question + held.message.body)
    return [
        f"{rrset.name.to_text(True)} {dns.rdatatype.to_text(rrset.rdtype)} {data}"
        for rrset in (*read.answer, *read.additional)
        for data in rrset
    ]


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "127.0.0.1", "127.255.255.254",
     "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.1.1", "255.255.255.255",
     "::", "::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "fec0::1",
     "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "2002:a00:1::1"],
)  # fmt: skip
def test_addresses_within_are_taken_out(address: str) -> None:
    qtype = "AAAA" if ":" in address else "A"
    assert left(Guard(), ask(qtype=qtype), qtype, f"www.test {qtype} {address}") == []


@pytest.mark.parametrize(
    "address",
    ["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
     "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255",
     "192.169.0.0", "255.255.255.254", "2001:db8::1", "fbff::1", "ff02::1", "::ffff:192.0.2.1",
     "64:ff9b::192.0.2.1", "2002:c000:201::1"],
)  # fmt: skip
def test_addresses_beside_them_are_not(address: str) -> None:
    qtype = "AAAA" if ":" in address else "A"
    assert left(Guard(), ask(qtype=qtype), qtype, f"www.test {qtype} {address}") is None


def test_what_else_there_is_stays() -> None:
    records = ["www.test A 192.0.2.1", "www.test A 10.0.0.1", "www.test A 192.0.2.2"]
    assert left(Guard(), ask(), "A", *records) == ["www.test A 192.0.2.1", "www.test A 192.0.2.2"]


def test_an_alias_that_leads_to_nothing_more_is_no_data() -> None:
    records = ["www.test CNAME a.corp.test.", "a.corp.test A 10.0.0.1"]
    assert left(Guard(), ask(), "A", *records) == []
    # The name that was asked for counts, not where it leads.
    assert left(Guard([from_text("corp.test")]), ask(), "A", *records) == []
    assert left(Guard([from_text("www.test")]), ask(), "A", *records) is None


def test_no_data_has_a_soa_and_a_short_time() -> None:
    held = Guard().hold_back(ask(), answer(ask(), "A", "www.test A 10.0.0.1"))
    assert held is not None
    assert (held.message.rcode, held.message.answers, held.message.negative_ttl) == (0, 0, 60)
    assert str(held.address) == "10.0.0.1"


def test_signatures_of_what_lost_a_record_go_and_nothing_is_authentic() -> None:
    sign = "A 8 2 60 20300101000000 20200101000000 1 test. AAAA"
    records = ["www.test A 192.0.2.1", "www.test A 10.0.0.1", f"www.test RRSIG {sign}"]
    assert left(Guard(), ask(), "A", *records) == ["www.test A 192.0.2.1"]
    held = Guard().hold_back(ask(), answer(ask(), "A", *records))
    assert held is not None
    assert not held.message.flags & dns.flags.AD


def test_a_hint_behind_a_compressed_name_counts() -> None:
    one = ask(qtype="HTTPS")
    hint = b"\0\4\0\4\x0a\0\0\1"
    for target in (b"\xc0\x0c", b"\1a\xc0\x0c"):
        data = b"\0\1" + target + hint
        record = b"\xc0\x0c\0\x41\0\1\0\0\0\x3c\0" + bytes([len(data)]) + data
        head = b"\0\0\x81\x80\0\1\0\1\0\0\0\0"
        reply = read_reply(head + one.question + record, one.question)
        assert Guard().found(one, reply) is not None
        held = Guard().hold_back(one, reply)
        assert held is not None
        assert held.message.answers == 0


def test_hints_beside_a_service_count() -> None:
    for hint in ("ipv4hint=192.0.2.1,10.0.0.1", 'alpn="h2" ipv6hint=fd00::1'):
        one = ask(qtype="HTTPS")
        assert left(Guard(), one, "HTTPS", f"www.test HTTPS 1 . {hint}") == []
        kept = "www.test HTTPS 2 . ipv4hint=192.0.2.1"
        text = left(Guard(), one, "HTTPS", f"www.test HTTPS 1 . {hint}", kept)
        assert text is not None
        assert len(text) == 1
    assert left(Guard(), ask(qtype="HTTPS"), "HTTPS", 'www.test HTTPS 1 . alpn="h2"') is None


def test_what_is_beside_an_answer_goes_and_the_answer_stays() -> None:
    records = ["www.test MX 1 a.test.", "+a.test A 10.0.0.1", "+a.test A 192.0.2.1"]
    got = left(Guard(), ask(qtype="MX"), "MX", *records)
    assert got == ["www.test MX 1 a.test.", "a.test A 192.0.2.1"]


def test_only_outside_names_are_looked_at() -> None:
    for kind in Kind:
        one = ask(route=Route(ROOT, kind))
        held = Guard().hold_back(one, answer(one, "A", "www.test A 10.0.0.1"))
        assert (held is not None) is (kind is Kind.RECURSE)


@pytest.mark.parametrize(
    ("name", "free"),
    [("corp.test", True), ("a.b.corp.test", True), ("CORP.test", True), ("xcorp.test", False),
     ("corp.test.evil.example", False), ("test", False)],
)  # fmt: skip
def test_domains_are_let_through_whole(name: str, free: bool) -> None:
    guard = Guard([from_text("corp.test")])
    assert (left(guard, ask(name), "A", f"{name} A 10.0.0.1") is None) is free


def test_networks_are_let_through() -> None:
    guard = Guard((), [ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    assert left(guard, ask(), "A", "www.test A 10.1.2.3") is None
    assert left(guard, ask(), "A", "www.test A 10.2.2.3") == []
    assert left(guard, ask(qtype="AAAA"), "AAAA", "www.test AAAA fd00::1") is None
    assert left(guard, ask(qtype="AAAA"), "AAAA", "www.test AAAA ::ffff:10.1.0.1") is None
