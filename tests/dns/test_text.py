"""Records as people read them: what we write, dnspython reads back to the same bytes."""

from __future__ import annotations

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from consulfwd.dns import const
from consulfwd.dns.records import build_record
from consulfwd.dns.text import Record, rdata_text, to_record
from consulfwd.errors import WireError
from tests.dns.packets import wire, wire_name

TEXTS = [
    ("A", "10.0.0.1"),
    ("AAAA", "2001:db8::1"),
    ("NS", "ns1.consul."),
    ("CNAME", "Www.Example.COM."),
    ("PTR", "."),
    ("DNAME", "new.consul."),
    ("SRV", "1 2 3306 n1.node.dc1.consul."),
    ("MX", "10 mail.example.com."),
    ("TXT", '"v=1" "" "two words"'),
    ("TXT", r'"quo\"te" "back\\slash" "\000\127\255" "semi;colon"'),
    ("SOA", "ns.consul. root.consul. 7 3600 600 86400 15"),
    ("CNAME", r"a\.b.\000\255.consul."),
    ("HINFO", '"RFC8482" ""'),
    ("NAPTR", '1 2 "u" "s" "" n1.consul.'),
    ("CAA", '0 issue "ca.example"'),
    ("DS", "1 8 2 " + "ab" * 32),
    ("HTTPS", '1 . alpn="h2,h3"'),
    ("TYPE65280", "\\# 3 c00cff"),
    ("TYPE65280", "\\# 0"),
]


@pytest.mark.parametrize(("rtype", "text"), TEXTS)
def test_text_and_back(rtype: str, text: str) -> None:
    kind = dns.rdatatype.from_text(rtype)
    rdata = dns.rdata.from_text(dns.rdataclass.IN, kind, text).to_wire()
    assert rdata is not None
    found = rdata_text(int(kind), rdata)
    assert dns.rdata.from_text(dns.rdataclass.IN, kind, found).to_wire() == rdata
    assert found == text
    record = build_record(wire_name("Web.consul"), int(kind), 30, rdata)
    assert to_record(record) == Record("Web.consul.", rtype, 30, text)


BROKEN = [
    # too short, too long, ends in the middle, names that cannot be
    ("A", "0a0000"),
    ("A", "0a00000100"),
    ("AAAA", "00" * 15),
    ("NS", ""),
    ("NS", "'a'"),
    ("CNAME", "40"),
    ("CNAME", "@0"),
    ("PTR", "05 61"),
    ("SRV", "0001 0002"),
    ("SRV", "0001 0002 0cea 'a'"),
    ("MX", "00"),
    ("TXT", "05 61"),
    ("SOA", ". ."),
    ("SOA", ". . 00000001"),
    ("HINFO", "05 61"),
    ("DS", "00"),
    ("CAA", "00"),
]


@pytest.mark.parametrize(("rtype", "data"), BROKEN)
def test_broken_data_is_shown_as_it_is(rtype: str, data: str) -> None:
    rdata = wire(data)
    text = f"\\# {len(rdata)} {rdata.hex()}"
    assert rdata_text(int(dns.rdatatype.from_text(rtype)), rdata) == text.strip()


@pytest.mark.parametrize(
    "record", ["", "'a'", "'a' .", "'a' . 0001 0001 0000", "@0", "40", "'a' @12"]
)
def test_bytes_that_are_no_record(record: str) -> None:
    with pytest.raises(WireError):
        to_record(wire(record))


def test_mnemonics() -> None:
    for number, text in const.TYPES.items():
        assert dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number)) == text
        assert const.type_text(number) == text
        assert const.type_number(text) == const.type_number(text.lower()) == number
    assert const.type_text(65280) == "TYPE65280"
    assert [const.type_number(text) for text in ("TYPE1", "type65535", "TYPE0")] == [1, 65535, 0]
    unknown = ("", "AAAAA", "TYPE", "TYPE65536", "TYPE-1", "TYPE1x", "TYPE\u0661", "1")
    assert [const.type_number(text) for text in unknown] == [None] * len(unknown)
    assert [const.rcode_text(number) for number in (0, 3, 16, 11)] == [
        "NOERROR", "NXDOMAIN", "BADVERS", "RCODE11",
    ]  # fmt: skip
