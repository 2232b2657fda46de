"""Messages of transfers, octet by octet: the same as dnspython reads, and nothing but WireError."""

from __future__ import annotations

import contextlib

import dns.exception
import dns.message
import dns.rdata
import dns.rrset
import dns.tsig
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.errors import WireError
from consulfwd.zones.sinks.exchange import records_of
from consulfwd.zones.sinks.unpacking import Unpacker
from tests.zones.made import ORIGIN
from tests.zones.sinks.peers import KEY, made

RECORDS = [
    "SOA Ns.example.com. HostMaster.example.com. 5 300 60 604800 30",
    "NS NS1.svc.example.com.",
    "Web.svc.example.com. A 10.0.0.1",
    "web.svc.example.com. AAAA 2001:db8::1",
    "www.svc.example.com. CNAME WEB.svc.example.com.",
    "_web._tcp.svc.example.com. SRV 1 2 80 Web.svc.example.com.",
    "mail.svc.example.com. MX 10 MX.example.net.",
    "1.svc.example.com. PTR A.example.com.",
    'txt.svc.example.com. TXT "Case Kept" "\\000\\255"',
    "dn.svc.example.com. DNAME Example.net.",
    "odd.svc.example.com. TYPE65534 \\# 3 414243",
    'sub.svc.example.com. CAA 0 issue "CA.example"',
]


def query(*, signed: bool = False) -> dns.message.QueryMessage:
    found = dns.message.make_query(ORIGIN, "AXFR")
    if signed:
        found.use_tsig(KEY)
        found.to_wire()
    return found


def answer(asked: dns.message.Message, *lines: str) -> bytes:
    """A reply of these records, as a server would send it."""
    if asked.keyring is not None:
        asked = dns.message.from_wire(asked.to_wire(), keyring=KEY)
    return made(asked, *lines).to_wire()


def test_what_is_read_is_what_dnspython_reads() -> None:
    asked = query()
    data = answer(asked, *RECORDS)
    read = dns.message.from_wire(data, one_rr_per_rrset=True, xfr=True)
    found = Unpacker(asked).take(data)
    assert found.records == records_of(read.answer)
    assert (found.answers, found.truncated, found.rcode, found.foreign) == (True, False, 0, False)
    assert len(found.records) == len(RECORDS)
    # The one that is known by another spelling is told by both.
    assert sum(bool(one.raw) for one in found.records) == 6


@given(data=st.binary(max_size=200), at=st.integers(0, 400), signed=st.booleans())
def test_whatever_comes_is_read_or_refused(data: bytes, at: int, signed: bool) -> None:
    asked = query(signed=signed)
    whole = answer(asked, *RECORDS)
    at %= len(whole)
    for one in (data, whole[:at], whole[:at] + data + whole[at + len(data) :]):
        with contextlib.suppress(WireError, dns.exception.DNSException, ValueError):
            Unpacker(asked).take(one)


def test_a_message_cut_at_any_octet_is_refused() -> None:
    asked = query()
    whole = answer(asked, *RECORDS)
    for end in range(len(whole)):
        with pytest.raises(WireError):
            Unpacker(asked).take(whole[:end])


def test_octets_changed_anywhere_are_not_signed_for() -> None:
    asked = query(signed=True)
    whole = answer(asked, *RECORDS[:3])
    assert Unpacker(asked).take(whole).records
    for at in range(len(whole)):
        altered = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        unpacker = Unpacker(asked)
        try:
            found = unpacker.take(altered)
        except (WireError, dns.exception.DNSException, ValueError):
            continue
        assert not (found.answers and unpacker.signed), at


def test_names_that_lead_to_each_other_are_refused() -> None:
    asked = query()
    head = answer(asked)[:6] + b"\0\1\0\0\0\0"
    loop = head + answer(asked)[12:] + bytes((0xC0, len(answer(asked)))) + b"\0\1\0\1" + bytes(10)
    with pytest.raises(WireError):
        Unpacker(asked).take(loop)
