"""Queries as transcripts: bytes in, what was asked or what to answer out; names in messages."""

from __future__ import annotations

from collections.abc import Callable

import dnslib
import pytest

from consulfwd.dns import const, wire
from consulfwd.dns.edns import Edns
from consulfwd.errors import WireError
from tests.dns.packets import packet, question, wire_name
from tests.dns.packets import wire as octets

FORMERR, NOTIMP = const.FORMERR, const.NOTIMP
ASKED = "'web' 'Consul' . 0001 0001"
OPT = ". 0029 04d0 00 00 0000 0000"


def refused(data: bytes) -> int | None:
    with pytest.raises(WireError) as caught:
        wire.read_query(data)
    return caught.value.rcode


HEADERS = [
    # flags, counts, what to answer
    ("8000", "0001 0000 0000 0000", None),
    ("8180", "0001 0001 0000 0000", None),
    ("a800", "0001 0000 0000 0000", None),
    *((f"{opcode << 11:04x}", "0001 0000 0000 0000", NOTIMP) for opcode in range(1, 16)),
    ("2800", "0000 0000 0000 0000", NOTIMP),
    ("0100", "0000 0000 0000 0000", FORMERR),
    ("0100", "0002 0000 0000 0000", FORMERR),
    ("0100", "ffff 0000 0000 0000", FORMERR),
    ("0100", "0001 0001 0000 0000", FORMERR),
    ("0100", "0001 0000 0001 0000", FORMERR),
    ("0100", "0001 0000 0002 0000", FORMERR),
    ("0100", "0001 0000 0000 0003", FORMERR),
    ("0100", "0001 0000 0000 ffff", FORMERR),
]


@pytest.mark.parametrize(("flags", "counts", "rcode"), HEADERS)
def test_refused_by_header_alone(flags: str, counts: str, rcode: int | None) -> None:
    head = octets("1234", flags, counts)
    assert refused(head) == rcode
    assert refused(head + octets(ASKED)) == rcode
    assert refused(head + b"\xff" * 40) == rcode


@pytest.mark.parametrize(
    ("asked", "flags"),
    [("web.Consul A", "RD"), (". NS", ""), ("a.b SRV", "RD CD"), ("x TYPE65280", "RD AD TC")],
)
def test_question_is_kept_as_spelled_and_folded(asked: str, flags: str) -> None:
    data = packet(asked, flags=flags)
    query = wire.read_query(data)
    assert not query.do
    assert query == (
        int.from_bytes(data[2:4], "big"), question(asked), wire_name(asked.split()[0]).lower(),
        const.type_number(asked.split()[1]), 1, None,
    )  # fmt: skip


def test_queries_of_dnslib() -> None:
    sent = dnslib.DNSRecord.question("_web._tcp.Service.consul", "SRV", "CH").pack()
    query = wire.read_query(sent)
    assert query.question == wire_name("_web._tcp.Service.consul") + octets("0021 0003")
    assert (query.name, query.qtype, query.qclass, query.flags) == (
        wire_name("_web._tcp.service.consul"), const.SRV, 3, const.RD,
    )  # fmt: skip


QUESTIONS = [
    ("@12 0001 0001", FORMERR),
    ("'web' @12 0001 0001", FORMERR),
    ("'web' @16 0001 0001", FORMERR),
    ("'web' @0 0001 0001", FORMERR),
    ("'web' c0", FORMERR),
    ("40 'web' . 0001 0001", FORMERR),
    ("80 'web' . 0001 0001", FORMERR),
    ("bf 'web' . 0001 0001", FORMERR),
    ("'web'", FORMERR),
    ("", FORMERR),
    (ASKED + " 00", FORMERR),
    (ASKED + " 'more' . 0001 0001", FORMERR),
]


@pytest.mark.parametrize(("body", "rcode"), QUESTIONS)
def test_broken_questions(body: str, rcode: int) -> None:
    assert refused(octets("1234 0100 0001 0000 0000 0000", body)) == rcode


def long_name(length: int) -> bytes:
    """A name of so many octets."""
    labels = b""
    while length - 1 - len(labels) > 64:
        labels += b"\x3f" + b"a" * 63
    rest = length - 1 - len(labels)
    return labels + bytes((rest - 1,)) + b"b" * (rest - 1) + b"\0"


def test_names_up_to_255_octets() -> None:
    head = octets("1234 0100 0001 0000 0000 0000")
    assert len(long_name(255)) == 255
    assert wire.read_query(head + long_name(255) + octets("0001 0001")).name == long_name(255)
    assert refused(head + long_name(256) + octets("0001 0001")) == FORMERR
    one = b"\1a" * 127 + b"\0"
    assert wire.read_query(head + one + octets("0001 0001")).name == one
    assert refused(head + b"\1a" + one + octets("0001 0001")) == FORMERR


@pytest.mark.parametrize("edns", [None, 1232])
def test_cut_anywhere(edns: int | None) -> None:
    data = packet("web.Consul A", flags="RD", edns=edns)
    assert wire.read_query(data).name == wire_name("web.consul")
    assert [refused(data[:size]) for size in range(len(data))] == [
        None if size < 12 else FORMERR for size in range(len(data))
    ]


PLAIN = Edns(1232, 0, False, 0, b"")
TSIG = "'key' . 00fa 00ff 00000000 0003 010203"
ADDITIONALS = [
    (1, OPT, PLAIN),
    (1, ". 0029 0000 00 00 8000 0000", Edns(0, 0, True, 0, b"")),
    (1, ". 0029 ffff 01 02 0000 0000", Edns(65535, 2, False, 1, b"")),
    (
        1,
        ". 0029 04d0 00 00 0000 0006 000a 0002 abcd",
        PLAIN._replace(options=octets("000a0002abcd")),
    ),
    (1, TSIG, None),
    (2, f"{OPT} {TSIG}", PLAIN),
    (2, f"{TSIG} {OPT}", PLAIN),
    (2, "@12 0001 0001 00000000 0000 " + OPT, PLAIN),
]


@pytest.mark.parametrize(("count", "additional", "edns"), ADDITIONALS)
def test_additional_records(count: int, additional: str, edns: Edns | None) -> None:
    data = octets(f"1234 0100 0001 0000 0000 {count:04x}", ASKED, additional)
    query = wire.read_query(data)
    assert query.edns == edns
    assert query.question == octets(ASKED)


@pytest.mark.parametrize(
    ("count", "additional"),
    [
        (2, OPT + " " + OPT),
        (1, "'a' " + OPT),
        # the root, but by a pointer: RFC 6891 section 6.1.2 wants the octet 0
        (1, "@23 0029 04d0 00 00 0000 0000"),
        (1, ". 0029 04d0 00 00 0000 0001"),
        (1, ". 0029 04d0 00 00 0000 0003 000a00"),
        (1, ". 0029 04d0 00 00 0000 0005 000a 0002 ab"),
        (1, ". 0029 04d0 00 00 0000 0000 00"),
        (1, ""),
        (1, "@29 0001 0001 00000000 0000"),
        (1, "@60 0001 0001 00000000 0000"),
        (1, "40 0001 0001 00000000 0000"),
        (2, OPT),
        (3, f"{OPT} {TSIG} {TSIG}"),
        (0, OPT),
    ],
)
def test_broken_additional_records(count: int, additional: str) -> None:
    head = octets(f"1234 0100 0001 0000 0000 {count:04x}")
    assert refused(head + octets(ASKED, additional)) == FORMERR


@pytest.mark.parametrize(
    ("data", "echo"),
    [
        ("1234 0100 0001 0000 0000 0003 " + ASKED + " ffff", ASKED),
        ("1234 2800 0001 0001 0000 0000 " + ASKED, ASKED),
        ("1234 0100 0000 0000 0000 0000", ""),
        (f"1234 0100 0002 0000 0000 0000 {ASKED} {ASKED}", ""),
        ("1234 0100 0001 0000 0000 0000 'web' . 0001 00", ""),
        ("1234 0100 0001 0000 0000 0000 'web'", ""),
        ("1234 0100 0001 0000 0000 0000 'web' @12 0001 0001", ""),
        ("1234 0100 0001", ""),
    ],
)
def test_question_of_a_broken_query(data: str, echo: str) -> None:
    assert wire.question_echo(octets(data)) == octets(echo)


IXFR = "'zone' . 00fb 0001"
HAS = "@12 0006 0001 00000000 0016 . . 00000007 00000000 00000000 00000000 00000000"


@pytest.mark.parametrize(
    ("body", "edns"),
    [
        (f"0001 0000 0001 0000 {IXFR} {HAS}", None),
        (f"0001 0000 0001 0001 {IXFR} {HAS} {OPT}", PLAIN),
    ],
)
def test_a_query_for_changes_says_what_it_has(body: str, edns: Edns | None) -> None:
    query = wire.read_query(octets("1234 0000 " + body))
    assert (query.qtype, query.edns) == (const.IXFR, edns)


@pytest.mark.parametrize(
    "body",
    [
        f"0001 0000 0001 0000 {ASKED} {HAS}",
        f"0001 0000 0002 0000 {IXFR} {HAS} {HAS}",
        f"0001 0001 0000 0000 {IXFR} {HAS}",
        f"0001 0000 0001 0000 {IXFR} {OPT}",
        f"0001 0000 0001 0000 {IXFR} {HAS[:-9]}",
        f"0001 0000 0001 0000 {IXFR} {HAS} 00",
    ],
)
def test_no_other_query_has_anything_in_authority(body: str) -> None:
    assert refused(octets("1234 0000 " + body)) == FORMERR


@pytest.mark.parametrize(
    ("data", "edns"),
    [
        (f"1234 2800 0001 0000 0000 0001 {ASKED} {OPT}", PLAIN),
        (f"1234 0000 0000 0000 0000 0001 {OPT}", PLAIN),
        (f"1234 0000 0002 0000 0000 0001 {ASKED} {ASKED} {OPT}", PLAIN),
        (f"1234 2800 0001 0001 0001 0002 {ASKED} {HAS} {HAS} {HAS} {OPT}", PLAIN),
        (f"1234 0000 0001 0000 0000 0002 {ASKED} {OPT} {OPT}", PLAIN),
        (f"1234 0000 0001 0000 0000 0001 {ASKED} {OPT} 00", PLAIN),
        (f"1234 0000 0001 0000 0000 0001 {ASKED} . 0029 0200 00 07 8000 0000",
         Edns(512, 7, True, 0, b"")),
        # Where none may stand, not to be read, or too far behind.
        (f"1234 0000 0001 0001 0000 0000 {ASKED} {OPT}", None),
        (f"1234 0000 0001 0000 0001 0000 {ASKED} {OPT}", None),
        (f"1234 0000 0001 0000 0000 0001 {ASKED} 'a' {OPT}", None),
        (f"1234 0000 0001 0000 0000 0001 {ASKED} . 0029 04d0 00 00 0000 0004", None),
        (f"1234 0000 0001 0000 0000 0001 {ASKED} . 0029 04d0 00 00 0000 0001 00", None),
        (f"1234 0000 0001 0000 0000 0001 {ASKED}", None),
        (f"1234 0000 0001 0000 0000 0000 {ASKED} {OPT}", None),
        (f"1234 0000 0001 0000 0000 0001 40 {OPT}", None),
        (f"1234 0000 003f 0000 0000 0001 {'. 0001 0001 ' * 63} {OPT}", PLAIN),
        (f"1234 0000 0040 0000 0000 0001 {'. 0001 0001 ' * 64} {OPT}", None),
        ("1234 0000 0001", None),
    ],
)  # fmt: skip
def test_edns_of_a_broken_query(data: str, edns: Edns | None) -> None:
    assert wire.edns_echo(octets(data)) == edns


# Names in a message: twelve octets of header, then these.
#        12    16       23 24     29  31 32   36  38  40  42
NAMES = "'web' 'consul' .  'node' @16 .  'WEB' @16 @32 @38"
GOOD = [
    (12, "web.consul.", 24),
    (16, "consul.", 24),
    (23, ".", 24),
    (24, "node.consul.", 31),
    (31, ".", 32),
    (32, "WEB.consul.", 38),
    (38, "WEB.consul.", 40),
    (40, "WEB.consul.", 42),
]
CHECKED: list[dict[int, int]] = [{}, {12: 12}, {16: 8, 32: 12}]


@pytest.mark.parametrize(("position", "text", "end"), GOOD)
def test_names_with_pointers(position: int, text: str, end: int) -> None:
    data = bytes(12) + octets(NAMES)
    assert wire.read_name(data, position) == wire_name(text)
    assert wire.skip_name(data, position) == end
    assert [wire.check_name(data, position, dict(known)) for known in CHECKED] == [end] * 3


def readers(data: bytes, position: int) -> list[Callable[[], object]]:
    return [
        lambda: wire.read_name(data, position),
        lambda: wire.check_name(data, position, {}),
    ]


@pytest.mark.parametrize(
    ("names", "position", "why"),
    [
        ("@12", 12, "backwards"),
        ("@13", 12, "backwards"),
        ("@20", 12, "backwards"),
        ("'a' . @11", 15, "backwards"),
        ("'a' . @0", 15, "backwards"),
        ("'a' @12", 12, "backwards"),
        ("@14 @12", 12, "backwards"),
        ("@14 @12", 14, "backwards"),
        # back, and on into the pointer that led there
        ("'ab' @12", 15, "backwards"),
        ("40 . @12", 14, "reserved"),
        ("80 . @12", 14, "reserved"),
        ("41", 12, "reserved"),
        ("bf", 12, "reserved"),
    ],
)
def test_names_that_lead_astray(names: str, position: int, why: str) -> None:
    for read in readers(bytes(12) + octets(names), position):
        with pytest.raises(WireError, match=why):
            read()


@pytest.mark.parametrize(
    ("names", "position"),
    [("", 12), ("05 6162", 12), ("'ab'", 12), ("c0", 12), ("'a' . c0", 15), ("01 @12", 13)],
)
def test_names_cut_short(names: str, position: int) -> None:
    data = bytes(12) + octets(names)
    with pytest.raises(WireError, match="cut short"):
        wire.read_name(data, position)
    with pytest.raises(IndexError):
        wire.check_name(data, position, {})


def test_length_is_that_of_the_whole_name() -> None:
    for base, good in ((253, True), (254, False)):
        data = bytes(12) + long_name(base) + octets("'x' @12")
        at = 12 + base
        for known in ({}, {12: base}):
            if good:
                assert wire.check_name(data, at, known) == at + 4
                assert len(wire.read_name(data, at)) == 255
            else:
                with pytest.raises(WireError, match="longer than 255"):
                    wire.check_name(data, at, known)
                with pytest.raises(WireError, match="longer than 255"):
                    wire.read_name(data, at)
    for read in readers(bytes(12) + long_name(256), 12):
        with pytest.raises(WireError, match="longer than 255"):
            read()


def test_a_name_has_at_most_128_pointers() -> None:
    data = bytes(12) + b"\0" + octets(*(f"@{at}" for at in (12, *range(13, 13 + 2 * 130, 2))))
    nth = [13 + 2 * n for n in range(130)]
    assert wire.read_name(data, nth[127]) == b"\0"
    assert wire.check_name(data, nth[127], {}) == nth[128]
    for read in readers(data, nth[128]):
        with pytest.raises(WireError, match="too many"):
            read()
