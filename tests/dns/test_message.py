"""Replies as they come from others: what is taken, what is understood of it, what ages."""

from __future__ import annotations

import struct
from itertools import product

import dnslib
import pytest

from consulfwd.dns import const
from consulfwd.dns.edns import Edns
from consulfwd.dns.message import MANY, MAX_TTL, Message, read_reply
from consulfwd.dns.replies import STREAM_LIMIT, respond
from consulfwd.dns.wire import Query
from consulfwd.errors import WireError
from tests.dns.packets import ID, lines, packet, question, wire, wire_name

WEB = "web.consul A"
QUESTION = question(WEB)
A1 = "an web.consul. 30 IN A 10.0.0.1"
A2 = "an web.consul. 20 IN A 10.0.0.2"
SOA = "au consul. 60 IN SOA ns.consul. root.consul. 7 3600 600 86400 15"
ALIAS = "an web.consul. 50 IN CNAME www.example.com."
OPT = ". 0029 04d0 00 00 0000 0000"
# The header and question of a good reply; A1 compressed.
HEAD = "1234 8180 0001 0001 0000"
ASKED = "'web' 'consul' . 0001 0001"
ANSWER = "@12 0001 0001 0000001e 0004 0a000001"


def relayed(message: Message, asked: str = WEB, body: bytes | None = None) -> list[str]:
    """The message as a client with EDNS would see it."""
    edns = Edns(65535, 0, False, 0, b"")
    query = Query(const.RD, question(asked), question(asked)[:-4].lower(), 1, 1, edns)
    return lines(respond(query, ID, message, STREAM_LIMIT, body=body))


UNDERSTOOD = [
    # records, rcode, question -> what a Message says when it says more than nothing
    ((A1, A2), 0, WEB, {"ttl": 20, "matched": True, "positive": True}),
    ((A1,), 0, "WEB.consul ANY", {"ttl": 30, "matched": True, "positive": True}),
    ((ALIAS,), 0, WEB, {"ttl": 50, "aliased": True, "positive": True}),
    ((ALIAS,), 0, "web.consul CNAME", {"ttl": 50, "matched": True, "positive": True}),
    (
        (ALIAS, "an www.example.com. 5 IN A 192.0.2.1"),
        0,
        WEB,
        {"ttl": 5, "matched": True, "aliased": True, "positive": True},
    ),
    ((SOA,), 0, WEB, {"negative_ttl": 15, "negative": True}),
    ((SOA,), 3, WEB, {"negative_ttl": 15, "negative": True}),
    ((), 0, WEB, {"negative": True}),
    ((), 2, WEB, {}),
    ((A1,), 2, WEB, {"ttl": 30, "matched": True}),
    # an alias that leads to nothing: the shorter of both counts
    ((ALIAS, SOA), 0, WEB, {"ttl": 15, "negative_ttl": 15, "aliased": True, "positive": True}),
    ((ALIAS, SOA), 3, WEB, {"ttl": 15, "negative_ttl": 15, "aliased": True, "negative": True}),
    (
        (ALIAS.replace(" 50 ", " 0 "), SOA),
        3,
        WEB,
        {"ttl": 0, "negative_ttl": 0, "aliased": True, "negative": True},
    ),
    (
        (ALIAS, SOA),
        0,
        "web.consul CNAME",
        {"ttl": 50, "negative_ttl": 15, "matched": True, "positive": True},
    ),
    # a SOA that was asked for, or only came along, denies nothing
    ((SOA.replace("au", "an"),), 0, "consul SOA", {"ttl": 60, "matched": True, "positive": True}),
    ((SOA.replace("au", "ad"),), 0, WEB, {"negative": True}),
    # Consul answers TXT with addresses: relayed, not matched
    ((A1,), 0, "web.consul TXT", {"ttl": 30, "positive": True}),
]


@pytest.mark.parametrize(("records", "rcode", "asked", "said"), UNDERSTOOD)
@pytest.mark.parametrize("edns", [None, 1232])
def test_what_a_reply_says(
    records: tuple[str, ...], rcode: int, asked: str, said: dict[str, object], edns: int | None
) -> None:
    data = packet(asked, *records, rcode=rcode, edns=edns)
    message = read_reply(data, question(asked.lower()))
    silent = {
        "ttl": None, "negative_ttl": None, "matched": False, "aliased": False,
        "positive": False, "negative": False, "truncated": False,
    }  # fmt: skip
    assert {name: getattr(message, name) for name in silent} == silent | said
    assert (message.rcode, message.size) == (rcode, len(data))
    assert (message.edns is not None) is (edns is not None)
    head, *rest = lines(packet(asked, *records, rcode=rcode))
    assert relayed(message, asked)[1:] == rest
    assert relayed(message, asked)[0] == head.replace("RD", "RD RA") + " edns=1232"


def test_truncation_and_extended_rcode() -> None:
    data = packet(WEB, A1, flags="QR TC", rcode=0x123, edns=4096, do=True)
    message = read_reply(data, QUESTION)
    assert message.truncated
    assert message.rcode == 0x123
    assert message.edns == (4096, 0, True, 0x12, b"")
    assert not message.positive
    assert not message.negative


def test_marked_as_cut_in_a_copy() -> None:
    message = read_reply(packet(WEB, A1, A2, edns=1232), QUESTION)
    marked = message.marked_cut()
    assert (marked.truncated, message.truncated) == (True, False)
    assert relayed(marked)[0] == "QR AA TC RD RA NOERROR edns=1232"
    assert relayed(marked)[1:] == relayed(message)[1:]


def test_replies_of_dnslib() -> None:
    record = dnslib.DNSRecord(
        dnslib.DNSHeader(id=1, qr=1, aa=1), q=dnslib.DNSQuestion("web.consul", dnslib.QTYPE.SRV)
    )
    for index in range(3):
        record.add_answer(
            *dnslib.RR.fromZone(f"web.consul. 9 IN SRV 1 2 3306 n{index}.node.dc1.consul.")
        )
        record.add_ar(*dnslib.RR.fromZone(f"n{index}.node.dc1.consul. 8 IN A 10.0.0.{index}"))
    message = read_reply(record.pack(), question("web.consul SRV"))
    assert (message.answers, message.ttl, len(message.ends)) == (3, 9, 6)
    assert relayed(message, "web.consul SRV")[2:] == [
        *(f"an web.consul. 9 IN SRV 1 2 3306 n{n}.node.dc1.consul." for n in range(3)),
        *(f"ad n{n}.node.dc1.consul. 8 IN A 10.0.0.{n}" for n in range(3)),
    ]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("web.consul AAAA", "another question"),
        ("webb.consul A", "another question"),
        ("wec.consul A", "another question"),
        ("consul A", "another question"),
        ("web.consul.example A", "another question"),
    ],
)
def test_other_questions(asked: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        read_reply(packet(asked), QUESTION)


def test_other_class_and_other_spelling() -> None:
    with pytest.raises(WireError, match="another question"):
        read_reply(packet(WEB).replace(wire("0001 0001"), wire("0001 0003")), QUESTION)
    assert read_reply(packet("wEb.CONSUL A", A1), QUESTION).answers == 1


@pytest.mark.parametrize("rcode", range(16))
def test_without_a_question(rcode: int) -> None:
    """Some servers say FORMERR or REFUSED so; an answer to nothing is no answer."""
    data = wire(f"1234 {0x8000 | rcode:04x} 0000 0000 0000 0000")
    if not rcode:
        with pytest.raises(WireError, match="exactly one question"):
            read_reply(data, QUESTION)
        return
    message = read_reply(data, QUESTION)
    assert (message.rcode, message.answers, message.body, message.size) == (rcode, 0, b"", 12)
    assert not message.positive
    assert message.edns is None
    for more in ("0000 0001 0000 0000", "0000 0000 0001 0000", "0000 0000 0000 0001"):
        with pytest.raises(WireError, match="exactly one question"):
            read_reply(data[:4] + wire(more), QUESTION)
    with pytest.raises(WireError, match="exactly one question"):
        read_reply(data + b"\0", QUESTION)


BROKEN = [
    ("", "shorter"),
    ("1234 8180 0001 0000 0000 00", "shorter"),
    (f"1234 0100 0001 0000 0000 0000 {ASKED}", "not a response"),
    (f"1234 a980 0001 0000 0000 0000 {ASKED}", "not a response"),
    (f"1234 8180 0002 0000 0000 0000 {ASKED} {ASKED}", "exactly one"),
    (f"{HEAD} 0001 {ASKED} {ANSWER}", "cut short"),
    (f"{HEAD} 0000 {ASKED} @12 0001 0001 0000001e 0005 0a000001", "past the end"),
    (f"{HEAD} 0000 {ASKED} @12 0001 0001 0000001e 0003 0a0000", "wrong size"),
    (f"{HEAD} 0000 {ASKED} @12 0001 0003 0000001e 0004 0a000001", "another class"),
    (f"{HEAD} 0000 {ASKED} @12 0001 00ff 0000001e 0004 0a000001", "another class"),
    (f"1234 8180 0001 0000 0001 0000 {ASKED} @12 0010 0003 00000000 0001 00", "another class"),
    (f"{HEAD} 0000 {ASKED} @12 001c 0001 0000001e 0004 0a000001", "wrong size"),
    # pointers: to itself, ahead, into the header, at each other, to a reserved label
    (f"{HEAD} 0000 {ASKED} @28 0001 0001 0000001e 0004 0a000001", "backwards"),
    (f"{HEAD} 0000 {ASKED} @30 0001 0001 0000001e 0004 0a000001", "backwards"),
    (f"{HEAD} 0000 {ASKED} @11 0001 0001 0000001e 0004 0a000001", "backwards"),
    (f"{HEAD} 0000 {ASKED} 'a' @28 0001 0001 0000001e 0004 0a000001", "backwards"),
    (f"{HEAD} 0000 {ASKED} @13 0001 0001 0000001e 0004 0a000001", "reserved"),
    (f"{HEAD} 0000 {ASKED} 60 0001 0001 0000001e 0004 0a000001", "reserved"),
    (f"{HEAD} 0000 {ASKED} @12 0005 0001 0000001e 0002 @40", "backwards"),
    (f"{HEAD} 0000 {ASKED} @12 0005 0001 0000001e 0002 @50", "backwards"),
    (f"{HEAD} 0000 {ASKED} @12 0005 0001 0000001e 0002 @14", "reserved"),
    # names that end before or behind their record
    (f"{HEAD} 0000 {ASKED} @12 0005 0001 0000001e 0003 @12 00", "does not end"),
    (f"{HEAD} 0001 {ASKED} @12 0005 0001 0000001e 0001 @12 {OPT}", "does not end"),
    (f"{HEAD} 0000 {ASKED} @12 0006 0001 0000001e 0003 . @12", "does not end"),
    # the OPT: twice, in another section, not at the root, its options cut short
    (f"1234 8180 0001 0000 0000 0002 {ASKED} {OPT} {OPT}", "OPT"),
    (f"{HEAD} 0000 {ASKED} {OPT}", "OPT"),
    (f"1234 8180 0001 0000 0001 0000 {ASKED} {OPT}", "OPT"),
    (f"1234 8180 0001 0000 0000 0001 {ASKED} @23 0029 04d0 00 00 0000 0000", "OPT"),
    (f"1234 8180 0001 0000 0000 0001 {ASKED} 'a' {OPT}", "OPT"),
    (f"1234 8180 0001 0000 0000 0001 {ASKED} . 0029 04d0 00 00 0000 0002 000a", "option"),
]


@pytest.mark.parametrize(("data", "why"), BROKEN)
def test_broken_replies(data: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        read_reply(wire(data), QUESTION)


def test_good_beside_the_broken_ones() -> None:
    assert relayed(read_reply(wire(f"{HEAD} 0001 {ASKED} {ANSWER} {OPT}"), QUESTION)) == [
        "QR RD RA NOERROR edns=1232", "web.consul. A", A1,
    ]  # fmt: skip


@pytest.mark.parametrize("more", ["00", "ff" * 9, OPT, ANSWER])
@pytest.mark.parametrize("opt", ["", OPT])
def test_what_follows_the_message_is_ignored(more: str, opt: str) -> None:
    whole = wire(f"{HEAD} {'0001' if opt else '0000'} {ASKED} {ANSWER} {opt}")
    plain, message = read_reply(whole, QUESTION), read_reply(whole + wire(more), QUESTION)
    assert relayed(message) == relayed(plain)
    assert (message.body, message.ends) == (plain.body, plain.ends)
    assert (plain.behind, message.behind) == (0, len(wire(more)))


def test_cut_anywhere() -> None:
    data = packet(WEB, ALIAS, "an www.example.com. 5 IN A 192.0.2.1", SOA, edns=1232)
    for size in range(len(data)):
        with pytest.raises(WireError):
            read_reply(data[:size], QUESTION)
    assert read_reply(data, QUESTION).answers == 2


def test_names_over_255_octets_only_by_compression() -> None:
    label = "3f" + "61" * 63
    data = f"1234 8180 0001 0003 0000 0000 {ASKED}"
    first = f"{label} {label} {label} 3c {'62' * 60} . 0001 0001 00000005 0004 0a000001"
    for front, good in (("", True), ("'x'", False)):
        reply = wire(data, first, f"{front} @28 0001 0001 00000005 0004 0a000002", ANSWER)
        if good:
            assert len(relayed(read_reply(reply, QUESTION))) == 5
            continue
        with pytest.raises(WireError, match="longer than 255"):
            read_reply(reply, QUESTION)


# -- the OPT between other records ----------------------------------------------------------


@pytest.mark.parametrize(("count", "taken"), [(400, True), (600, False)])
def test_names_spelled_out_do_not_make_it_many_times_larger(count: int, taken: bool) -> None:
    asked = "web.consul A"
    long = "".join(f"'{letter * 62}' " for letter in "abc") + "."
    owner = f"{long} 0001 0001 0000001e 0004 0a000001"
    opt = ". 0029 04d0 00 00 0000 0000"
    rp = "@28 0011 0001 0000001e 0004 @28 @28"
    data = wire(
        f"1234 8180 0001 0000 0000 {count + 2:04x} 'web' 'consul' . 0001 0001",
        owner, opt, *[rp] * count,
    )  # fmt: skip
    if taken:
        assert len(read_reply(data, question(asked)).ends) == count + 1
    else:
        with pytest.raises(WireError, match="spelled out"):
            read_reply(data, question(asked))


def test_an_opt_between_other_records() -> None:
    asked = "web.consul SRV"
    srv = "@12 0021 0001 0000001e 000d 0001 0001 0cea 'node' @16"
    opt = ". 0029 04d0 00 00 8000 0006 fde9 0002 abcd"
    glue = "@46 0001 0001 0000001e 0004 0a000001"
    other = "'other' @46 001c 0001 00000009 0010" + "00" * 15 + "01"
    asked_wire = "'web' 'consul' . 0021 0001"
    expected = [
        "an web.consul. 30 IN SRV 1 1 3306 node.consul.",
        "ad node.consul. 30 IN A 10.0.0.1",
        "ad other.node.consul. 9 IN AAAA ::1",
    ]
    for records in ((srv, opt, glue, other), (srv, glue, opt, other), (srv, glue, other, opt)):
        data = wire("1234 8580 0001 0001 0000 0003", asked_wire, *records)
        assert lines(data)[2:] == expected, "the transcript itself"
        message = read_reply(data, question(asked))
        assert relayed(message, asked) == [
            "QR AA RD RA NOERROR edns=1232", "web.consul. SRV", *expected,
        ]  # fmt: skip
        assert message.edns == (1232, 0, True, 0, wire("fde90002abcd"))
        assert (message.ttl, message.matched, message.size) == (30, True, len(data))
        assert message.flags & const.AA
        aged = message.body_with_ttls(10)
        assert [line.split()[2] for line in relayed(message, asked, aged)[2:]] == ["20", "20", "0"]


# -- time -----------------------------------------------------------------------------------

AGED = [
    # TTL, age, floor, ceiling, what is told
    (30, 0, 0, MAX_TTL, 30),
    (30, 1, 0, MAX_TTL, 29),
    (30, 29, 0, MAX_TTL, 1),
    (30, 30, 0, MAX_TTL, 0),
    (30, 31, 0, MAX_TTL, 0),
    (0, 1, 0, MAX_TTL, 0),
    (30, 0, 60, MAX_TTL, 60),
    (30, 59, 60, MAX_TTL, 1),
    (30, 60, 60, MAX_TTL, 0),
    (30, 0, 0, 10, 10),
    (30, 9, 0, 10, 1),
    (30, 0, 60, 10, 10),
    (9, 0, 0, 10, 9),
    (MAX_TTL, 0, 0, MAX_TTL, MAX_TTL),
    (MAX_TTL, 1, 0, MAX_TTL, MAX_TTL - 1),
    # RFC 2181 section 8: the highest bit set means 0
    (MAX_TTL + 1, 1, 0, MAX_TTL, 0),
    (0xFFFFFFFF, 0, 0, 86400, 0),
    (0xFFFFFFFF, 0, 5, 86400, 5),
]


@pytest.mark.parametrize(("ttl", "age", "floor", "ceiling", "told"), AGED)
def test_ttls_age(ttl: int, age: int, floor: int, ceiling: int, told: int) -> None:
    data = wire(f"{HEAD} 0001 {ASKED} @12 0001 0001 {ttl:08x} 0004 0a000001 {OPT}")
    message = read_reply(data, QUESTION)
    body = message.body_with_ttls(age, floor, ceiling)
    assert relayed(message, body=body)[2:] == [f"an web.consul. {told} IN A 10.0.0.1"]
    assert message.ttl == (ttl if ttl <= MAX_TTL else 0)


def test_every_record_ages_and_nothing_else() -> None:
    data = packet(WEB, A1, A2, SOA, "ad web.consul. 10 IN TXT x", edns=1232, do=True)
    message = read_reply(data, QUESTION)
    before = message.body
    assert relayed(message, body=message.body_with_ttls(15))[2:] == [
        "an web.consul. 15 IN A 10.0.0.1",
        "an web.consul. 5 IN A 10.0.0.2",
        "au consul. 45 IN SOA ns.consul. root.consul. 7 3600 600 86400 15",
        'ad web.consul. 0 IN TXT "x"',
    ]
    assert message.body == before
    assert read_reply(packet(WEB), QUESTION).body_with_ttls(15) == b""


@pytest.mark.parametrize(
    ("ttl", "minimum", "kept"),
    [
        (60, 15, 15), (15, 60, 15), (0, 60, 0), (60, 0, 0), (0x80000000, 60, 0),
        (MAX_TTL, 0xFFFFFFFF, MAX_TTL),
    ],
)  # fmt: skip
def test_negative_ttl_is_the_smaller_of_ttl_and_minimum(ttl: int, minimum: int, kept: int) -> None:
    soa = (
        struct.pack("!HHIH", 6, 1, ttl, 24)
        + wire("@16 @16")
        + struct.pack("!5I", 1, 2, 3, 4, minimum)
    )
    data = wire("1234 8183 0001 0000 0001 0000", ASKED, "@16", soa)
    assert read_reply(data, QUESTION).negative_ttl == kept


def rows(ttls: list[int], size: int = 4) -> Message:
    """Addresses of the name asked with these TTLs; with another size the last record is a TXT."""
    asked = wire_name("web.consul") + b"\0\1\0\1"
    parts = []
    for number, ttl in enumerate(ttls):
        rtype, data = 1, bytes((10, 0, number >> 8, number & 255))
        if size != 4 and number == len(ttls) - 1:
            rtype, data = 16, bytes((size - 1,)) + b"x" * (size - 1)
        head = struct.pack("!HHHIH", 0xC00C, rtype, 1, ttl, len(data))
        parts.append(head + data)
    head = struct.pack("!HHHHHH", 1, 0x8180, 1, len(ttls), 0, 0)
    return read_reply(head + asked + b"".join(parts), asked)


@pytest.mark.parametrize(
    ("age", "floor", "ceiling"), [(0, 5, 90), (1, 0, 90), (70, 0, 300), (3, 0, 2)]
)
@pytest.mark.parametrize("ttl", [0, 60, 0x01020304, MAX_TTL, MAX_TTL + 1])
def test_many_ttls_are_aged_as_one_by_one(age: int, floor: int, ceiling: int, ttl: int) -> None:
    for count, size, odd in product((MANY, MANY + 1, 300), (4, 3, 9), (None, 0, 3, -1)):
        ttls = [ttl] * count
        if odd is not None:
            ttls[odd] = 33
        aged_as_one_by_one(rows(ttls, size), ttls, age, floor, ceiling)


def aged_as_one_by_one(
    message: Message, ttls: list[int], age: int, floor: int, ceiling: int
) -> None:
    body = message.body_with_ttls(age, floor, ceiling)
    known = [0 if one > MAX_TTL else one for one in ttls]
    right = [max(min(max(one, floor), ceiling) - age, 0) for one in known]
    assert [int.from_bytes(body[at : at + 4], "big") for at in message.ttls] == right
    # Nothing else has changed.
    back = bytearray(body)
    for at, before in zip(message.ttls, ttls, strict=True):
        back[at : at + 4] = before.to_bytes(4, "big")
    assert back == message.body
