"""Records taken out of messages and put into others; alias chains; what is an RRset."""

from __future__ import annotations

import dns.rdatatype
import pytest

from consulfwd.dns import const, records
from consulfwd.dns.message import assemble_message, read_reply
from consulfwd.dns.records import size_of_addresses
from consulfwd.dns.replies import STREAM_LIMIT, respond
from consulfwd.dns.wire import read_query
from consulfwd.errors import WireError
from tests.dns.packets import ID, lines, packet, question, wire, wire_name

Sections = tuple[list[bytes], list[bytes], list[bytes]]
SRV = "web.consul SRV"
START = 12 + len(question(SRV))

# Names within data: of the question, of other records, and in other spelling.
RECORDS = [
    "an web.consul. 0 IN SRV 1 2 3306 n1.node.web.consul.",
    "an web.consul. 0 IN SRV 1 2 3306 n2.node.web.consul.",
    "an WEB.consul. 5 IN CNAME www.Example.com.",
    "an www.example.com. 7 IN MX 10 mail.example.com.",
    "an www.example.com. 7 IN TXT \"a\" \"b c\"",
    "an . 7 IN NS a.root-servers.net.",
    "an 1.0.0.10.in-addr.arpa. 9 IN PTR n1.node.web.consul.",
    "an old.consul. 9 IN DNAME new.consul.",
    "an www.example.com. 9 IN RP admin.example.com. text.example.com.",
    "an www.example.com. 9 IN AFSDB 1 afs.example.com.",
    "an www.example.com. 9 IN RT 1 relay.example.com.",
    "an www.example.com. 9 IN PX 1 a.example.com. b.example.com.",
    "an www.example.com. 9 IN KX 1 kx.example.com.",
    "an www.example.com. 9 IN NAPTR 1 2 \"u\" \"s\" \"\" n1.node.web.consul.",
    "an www.example.com. 9 IN TYPE65280 \\# 3 c00cff",
    "au consul. 4294967295 IN SOA ns.web.consul. root.consul. 7 3600 600 86400 15",
    "ad n1.node.web.consul. 0 IN A 10.0.0.1",
    "ad n2.node.web.consul. 0 IN AAAA fd00::2",
]  # fmt: skip


def as_line(section: str, record: bytes) -> str:
    """A position-independent record, read by dnspython alone in a message of its own."""
    (_, line) = lines(wire("0000 8000 0000 0001 0000 0000") + record)
    return section + line[2:]


def test_records_stand_alone_once_read() -> None:
    data = packet(SRV, *RECORDS, edns=1232)
    sections = records.read_records(data, START)
    found = [
        as_line(name, record)
        for name, section in zip(("an", "au", "ad"), sections, strict=True)
        for record in section
    ]
    # dnspython too takes a TTL with the highest bit for 0
    expected = lines(data)[2:]
    assert found == expected
    assert len(found) == len(RECORDS)
    first = sections[0][0]
    assert records.owner_of(first) == wire_name("web.consul")
    assert records.type_of(first) == const.SRV
    assert records.rdata_of(first) == wire("0001 0002 0cea", wire_name("n1.node.web.consul"))
    assert records.record_at(first) == len(wire_name("web.consul"))


@pytest.mark.parametrize("asked", [SRV, "other.example SRV", ". SRV", "Node.WEB.consul SRV"])
def test_records_put_under_any_question(asked: str) -> None:
    sections = records.read_records(packet(SRV, *RECORDS), START)
    message = assemble_message(question(asked), sections, flags=const.AA, rcode=3)
    assert (message.answers, message.authorities, len(message.ends)) == (15, 1, 18)
    query = read_query(packet(asked, flags="RD", edns=1232))
    sent = respond(query, ID, message, STREAM_LIMIT)
    head, asked_line, *rest = lines(sent)
    assert head == "QR AA RD RA NXDOMAIN edns=1232"
    assert asked_line == f"{asked.split()[0].rstrip('.')}. SRV"
    expected = lines(packet(SRV, *RECORDS))[2:]
    assert [line.lower() for line in rest] == [line.lower() for line in expected]


def test_owners_equal_to_the_question_become_pointers() -> None:
    sections = records.read_records(packet(SRV, *RECORDS[:3], RECORDS[-1]), START)
    body = records.assemble(wire_name("web.consul"), sections)
    assert body.count(wire("@12")) == 3
    upper = records.build_record(wire_name("WEB.consul"), const.A, 0, bytes(4))
    assert records.assemble(wire_name("Web.consul"), ([upper],)).startswith(wire("@12"))
    # the root is shorter than a pointer to it
    assert wire("@12") not in records.assemble(b"\0", sections)


def test_owners_equal_to_a_target_become_pointers() -> None:
    web, node = wire_name("web.consul"), wire_name("n1.node.consul")
    srv = records.build_record(web, const.SRV, 0, wire("0001 0002 0cea", node))
    root = records.build_record(web, const.SRV, 0, wire("0001 0002 0cea", b"\0"))
    address = records.build_record(node, const.A, 0, bytes(4))
    other = records.build_record(wire_name("n2.node.consul"), const.A, 0, bytes(4))
    apex = records.build_record(b"\0", const.A, 0, bytes(4))
    sections: Sections = [srv, root], [], [address, other, apex, address]
    body = records.assemble(web, sections)
    # Behind header, question, owner, the fixed fields, priority, weight and port.
    at = (12 + len(web) + 4 + 2 + 10 + 6).to_bytes(2, "big")
    pointer = bytes((at[0] | 0xC0, at[1]))
    assert body.count(pointer) == 2
    assert body.count(node) == 1
    # The root is shorter than a pointer to it,.
    whole = sum(len(record) for section in sections for record in section)
    assert len(body) == whole - 2 * (len(web) - 2) - 2 * (len(node) - 2)
    head = wire("0000 8000 0001 0002 0000 0004")
    again = records.read_records(head + web + bytes(4) + body, 12 + len(web) + 4)
    assert again == sections


def test_a_target_beyond_reach_has_no_pointer() -> None:
    web, node = wire_name("web.consul"), wire_name("n1.node.consul")
    filler = records.build_record(web, const.TXT, 0, bytes(200))
    srv = records.build_record(web, const.SRV, 0, wire("0001 0002 0cea", node))
    address = records.build_record(node, const.A, 0, bytes(4))
    for fillers in range(70, 90):
        sections: Sections = [*[filler] * fillers, srv], [], [address]
        body = records.assemble(web, sections)
        reached = 12 + len(web) + 4 + body.index(node) <= 0x3FFF
        assert body.count(node) == (1 if reached else 2)
        head = wire("0000 8000 0001") + (fillers + 1).to_bytes(2, "big") + wire("0000 0001")
        again = records.read_records(head + web + bytes(4) + body, 12 + len(web) + 4)
        assert again == sections


# RFC 1035 section 3.3 and RFC 3597 section 4: octets, names, octets. The octets before are 1, so
# the last six of NAPTR are three character-strings of one octet.
COMPRESSED = {
    "NS": (0, 1, 0), "MD": (0, 1, 0), "MF": (0, 1, 0), "CNAME": (0, 1, 0), "SOA": (0, 2, 20),
    "MB": (0, 1, 0), "MG": (0, 1, 0), "MR": (0, 1, 0), "PTR": (0, 1, 0), "MINFO": (0, 2, 0),
    "MX": (2, 1, 0), "RP": (0, 2, 0), "AFSDB": (2, 1, 0), "RT": (2, 1, 0), "PX": (2, 2, 0),
    "SRV": (6, 1, 0), "NAPTR": (10, 1, 0), "KX": (2, 1, 0), "DNAME": (0, 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("rtype", COMPRESSED)
def test_names_in_data_are_spelled_out(rtype: str) -> None:
    before, names, behind = COMPRESSED[rtype]
    number = int(dns.rdatatype.from_text(rtype))

    def message(name: bytes) -> bytes:
        rdata = b"\x01" * before + name * names + b"\x02" * behind
        return wire(
            "1234 8000 0001 0001 0000 0001", question(SRV),
            f"@12 {number:04x} 0001 00000005 {len(rdata):04x}", rdata, ". 0029 04d0 00000000 0000",
        )  # fmt: skip

    spelled_out = message(wire("'x'", wire_name("web.consul")))
    for data in (message(wire("'x' @12")), spelled_out):
        ((record,), _, _) = records.read_records(data, START)
        assert record == wire_name("web.consul") + spelled_out[START + 2 : -11]
        # and a reply with it is relayed as it came
        reply = read_reply(data, question(SRV))
        assert reply.body == data[START:-11]


@pytest.mark.parametrize(
    ("data", "start", "why"),
    [
        ("", 12, "cut short"),
        ("0000 8000 0000 0001 0000", 12, "cut short"),
        ("0000 8000 0000 0001 0000 0000", 12, "cut short"),
        ("0000 8000 0000 0001 0000 0000 'a'", 12, "cut short"),
        ("0000 8000 0000 0001 0000 0000 . 0001 0001 00000000 0004 0a0000", 12, "past the end"),
        ("0000 8000 0000 0001 0000 0000 @12 0001 0001 00000000 0000", 12, "backwards"),
        ("0000 8000 0000 0001 0000 0000 . 0005 0001 00000000 0002 . 00", 12, "does not end"),
        ("0000 8000 0000 0001 0000 0000 . 0005 0001 00000000 0001 'a' .", 12, "does not end"),
        ("0000 8000 0000 0001 0000 0000 . 0006 0001 00000000 0002 . .", 12, "does not end"),
        ("0000 8000 0000 0001 0000 0000 . 0005 0001 00000000 0001 40", 12, "reserved"),
        ("0000 8000 0000 0001 0000 0000 . 0023 0001 00000000 0007 00010002 00 00 05", 12, "short"),
        ("0000 8000 0000 0001 0000 0000 . 0023 0001 00000000 0007 00010002 00 00 00 .", 12, "end"),
        ("0000 8000 0000 0001 0000 0000 . 0001 0001 00000000 0000", 99, "cut short"),
    ],
)
def test_broken_messages_have_no_records(data: str, start: int, why: str) -> None:
    with pytest.raises(WireError, match=why):
        records.read_records(wire(data), start)


# -- aliases --------------------------------------------------------------------------------


def alias(owner: str, target: str) -> bytes:
    return records.build_record(wire_name(owner), const.CNAME, 5, wire_name(target))


ADDRESS = records.build_record(wire_name("end.example"), const.A, 5, bytes(4))


@pytest.mark.parametrize(
    ("answers", "target"),
    [
        ([], "web.consul"),
        ([ADDRESS], "web.consul"),
        ([alias("web.consul", "end.example")], "end.example"),
        ([alias("WEB.consul", "END.example"), ADDRESS], "end.example"),
        ([alias("web.consul", "b.example"), alias("b.example", "end.example")], "end.example"),
        ([alias("b.example", "end.example"), alias("web.consul", "B.example")], "end.example"),
        ([alias("other.consul", "end.example")], "web.consul"),
        ([alias("web.consul", ".")], "."),
        # a loop beside the chain is nobody's
        ([alias("web.consul", "end.example"), alias("x.y", "x.y")], "end.example"),
    ],
)
def test_where_a_chain_of_aliases_ends(answers: list[bytes], target: str) -> None:
    assert records.alias_chain(answers, wire_name("web.consul"))[-1] == wire_name(target)


@pytest.mark.parametrize(
    "answers",
    [
        [alias("web.consul", "web.consul")],
        [alias("web.consul", "WEB.consul")],
        [alias("web.consul", "b.example"), alias("b.example", "web.consul")],
        [alias("web.consul", "a.b"), alias("a.b", "c.d"), alias("c.d", "e.f"), alias("e.f", "a.b")],
    ],
)
def test_chains_that_loop(answers: list[bytes]) -> None:
    with pytest.raises(WireError, match="loops"):
        records.alias_chain(answers, wire_name("web.consul"))


# -- RRsets ---------------------------------------------------------------------------------


def addresses(count: int, owner: str = "web.consul") -> list[bytes]:
    return [
        records.build_record(wire_name(owner), const.A, 0, bytes((10, 0, 0, n)))
        for n in range(count)
    ]


@pytest.mark.parametrize(
    "answers",
    [
        [],
        addresses(1),
        [alias("web.consul", "a.b"), *addresses(2, "a.b")],
        [*addresses(2), *addresses(2, "other.consul")],
        [*addresses(2), records.build_record(wire_name("web.consul"), 46, 0, b"signature")],
    ],
)
def test_anything_but_one_rrset_has_no_order_to_vary(answers: list[bytes]) -> None:
    assert not records.is_rrset(answers)


def test_other_spelling_is_the_same_rrset() -> None:
    answers = [*addresses(1), *addresses(2, "WEB.Consul")[1:]]
    assert records.is_rrset(answers)


ROW = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4"
ROW6 = b"\xc0\x0c\0\x1c\0\1\0\0\0\x3c\0\x10"
ROWS = [ROW + bytes((10, 0, 0, last)) for last in range(3)]
ROWS6 = [ROW6 + bytes((last,) * 16) for last in range(3)]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], ROWS6])
def test_addresses_of_the_name_asked_may_stand_anywhere(rows: list[bytes]) -> None:
    assert size_of_addresses(b"".join(rows), len(rows)) == len(rows[0])


@pytest.mark.parametrize(
    "other",
    [
        b"\xc0\x0d" + ROWS[1][2:],  # another owner
        b"\3www\0" + ROWS[1][2:],
        ROWS[1][:2] + b"\0\x10" + ROWS[1][4:],  # another type
        ROWS[1][:11] + b"\3" + ROWS[1][12:],  # another length
        ROW + b"\0",
    ],
)
def test_others_may_not(other: bytes) -> None:
    for rows in ([ROWS[0], other, ROWS[2]], [*ROWS, other], [other, *ROWS], [other]):
        assert size_of_addresses(b"".join(rows), len(rows)) == 0


@pytest.mark.parametrize("count", [0, 1, 2, 4, 6, 48])
def test_records_of_another_number_are_of_another_size(count: int) -> None:
    assert size_of_addresses(b"".join(ROWS), count) == 0
    assert size_of_addresses(b"", count) == 0
