"""The OPT record and its options, against dnspython's and dnslib's."""

from __future__ import annotations

import dns.edns
import dns.message
import dns.rcode
import dnslib
import pytest

from consulfwd.dns import const, edns
from consulfwd.dns.wire import read_query
from consulfwd.errors import WireError
from tests.dns.packets import packet, parse, wire

OPTIONS = {
    "none": (),
    "ecs": (dns.edns.ECSOption("10.1.2.0", 24),),
    "cookie and ecs": (
        dns.edns.CookieOption(b"12345678", b""), dns.edns.ECSOption("2001:db8::", 56),
    ),
    "unknown, twice": (
        dns.edns.GenericOption("65001", b"first"), dns.edns.GenericOption("65001", b"second"),
    ),
    "empty data": (dns.edns.GenericOption("NSID", b""),),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_options_as_sent_by_dnspython(name: str) -> None:
    sent = OPTIONS[name]
    query = read_query(packet("a.consul A", flags="RD", edns=1400, do=True, options=sent))
    assert query.edns is not None
    assert query.edns[:4] == (1400, 0, True, 0)
    assert query.do
    assert edns.read_options(query.edns.options) == [
        (int(option.otype), option.to_wire()) for option in sent
    ]
    for option in sent:
        first = next(other for other in sent if other.otype == option.otype)
        assert query.edns.option(int(option.otype)) == first.to_wire()
    assert query.edns.option(9999) is None


def test_options_as_sent_by_dnslib() -> None:
    record = dnslib.DNSRecord.question("a.consul")
    subnet = wire("0001 1800 0a0102")
    record.add_ar(dnslib.EDNS0(udp_len=4096, flags="do", opts=[dnslib.EDNSOption(8, subnet)]))
    query = read_query(record.pack())
    assert query.edns == (4096, 0, True, 0, wire("0008 0007", subnet))
    assert query.edns is not None
    assert query.edns.option(const.ECS) == subnet


def test_class_and_ttl_hold_size_rcode_version_and_flags() -> None:
    assert edns.read_opt(512, 0xAB018000, b"") == (512, 1, True, 0xAB, b"")
    assert edns.read_opt(65535, 0x00007FFF, b"") == (65535, 0, False, 0, b"")


@pytest.mark.parametrize(
    "rdata", ["00", "0008", "000800", "0008 0001", "0008 0004 010203", "0008 0001 aa 0009"]
)
def test_options_cut_short(rdata: str) -> None:
    with pytest.raises(WireError, match="option is cut short") as caught:
        edns.read_opt(1232, 0, wire(rdata))
    assert caught.value.rcode == const.FORMERR


@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("rcode", [0, 16, 23, 4095])
def test_opt_built_here(do: bool, rcode: int) -> None:
    options = edns.build_option(65001, b"x") + edns.build_ede(22, "nobody answers")
    opt = edns.build_opt(1232, do=do, extended_rcode=rcode >> 4, options=options)
    head = wire(f"1234 {0x8000 | rcode & 15:04x} 0000 0000 0000 0001")
    message = parse(head + opt)
    assert (message.payload, bool(message.ednsflags & edns.DO), message.edns) == (1232, do, 0)
    assert int(message.rcode()) == rcode
    assert [option.to_text() for option in message.options] == [
        "Generic 65001", "EDE 22 (No Reachable Authority): nobody answers",
    ]  # fmt: skip
    assert edns.read_opt(1232, int.from_bytes(opt[5:9], "big"), opt[11:]) == (
        1232, 0, do, rcode >> 4, options,
    )  # fmt: skip


def opt_with(*options: bytes) -> edns.Edns:
    return edns.Edns(1232, 0, False, 0, b"".join(options))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (None, None),
        (opt_with(), None),
        (opt_with(edns.build_option(const.EDE, b"\0")), None),
        (opt_with(edns.build_option(const.EDE, b"\0\3")), (3, "")),
        (opt_with(edns.build_ede(23, "10.0.0.1: no reply")), (23, "10.0.0.1: no reply")),
        (opt_with(edns.build_option(const.EDE, b"\0\x16a\xffb")), (22, "a\ufffdb")),
        (opt_with(edns.build_ede(22, "\x1b[2J\na\u202eb")), (22, "\ufffd[2J\ufffda\ufffdb")),
        (opt_with(edns.build_option(8, b"xx"), edns.build_ede(3), edns.build_ede(4)), (3, "")),
    ],
)
def test_extended_errors_are_read(
    found: edns.Edns | None, expected: tuple[int, str] | None
) -> None:
    assert edns.read_ede(found) == expected


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 120),
        # two octets each: the limit falls within the last
        ("x" + "\u00e9" * 70, "x" + "\u00e9" * 59),
        ("x" * 118 + "\u20ac", "x" * 118),
        ("bad \udcff octet", "bad ? octet"),
    ],
)
def test_extended_error_text_is_whole_utf8_of_bounded_length(text: str, sent: str) -> None:
    (option,) = parse(
        wire("1234 8002 0000 0000 0000 0001")
        + edns.build_opt(1232, options=edns.build_ede(0, text))
    ).options
    assert isinstance(option, dns.edns.EDEOption)
    assert option.text == sent


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        *((b"\0\0", 0.0), (b"\0\1", 0.1), (b"\2\x58", 60.0), (b"\xff\xff", 6553.5)),
        *((b"", None), (b"\1", None), (b"\0\0\1", None)),
    ],
)
def test_how_long_a_connection_is_kept(data: bytes, seconds: float | None) -> None:
    option = edns.build_option(const.KEEPALIVE, data)
    assert edns.read_keepalive(edns.read_opt(1232, 0, option)) == seconds


def test_a_connection_of_which_nothing_is_said() -> None:
    assert edns.read_keepalive(None) is None
    assert edns.read_keepalive(edns.read_opt(1232, 0, b"")) is None


@pytest.mark.parametrize(
    ("found", "asks"),
    [
        (None, False),
        (edns.read_opt(1232, 0, b""), False),
        (edns.read_opt(1232, 0, edns.build_ede(3)), False),
        (edns.read_opt(1232, 0, edns.ASK_KEEPALIVE), True),
        (edns.read_opt(1232, 0, edns.build_ede(3) + edns.ASK_KEEPALIVE), True),
        # Of another version nothing is known
        (edns.read_opt(1232, 1 << 16, edns.ASK_KEEPALIVE), False),
    ],
)
def test_who_asks_how_long_a_connection_is_kept(found: edns.Edns | None, asks: bool) -> None:
    assert edns.asks_keepalive(found) is asks


@pytest.mark.parametrize("data", [b"\0", b"\0\0", b"\0\x64", b"\0\0\0"])
def test_a_client_does_not_say_it(data: bytes) -> None:
    option = edns.build_option(const.KEEPALIVE, data)
    with pytest.raises(WireError) as raised:
        edns.asks_keepalive(edns.read_opt(1232, 0, option))
    assert raised.value.rcode == const.FORMERR


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.0, 0.0), (0.04, 0.0), (0.1, 0.1), (10.0, 10.0), (9999.0, 6553.5)]
)
def test_what_is_told_of_it(seconds: float, told: float) -> None:
    option = edns.build_keepalive(seconds)
    assert edns.read_keepalive(edns.read_opt(1232, 0, option)) == told
