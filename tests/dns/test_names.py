"""Names: text to wire and back as dnspython has it, suffixes, reverse names and zones."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import dns.name
import dns.reversename
import pytest

from consulfwd.dns import names
from consulfwd.errors import WireError
from tests.dns.packets import wire, wire_name

LONGEST = ".".join(("a" * 63, "b" * 63, "c" * 63, "d" * 61))

TEXTS = {
    "": ".",
    ".": ".",
    "consul": "'consul' .",
    "consul.": "'consul' .",
    "Web.Service.CONSUL.": "'Web' 'Service' 'CONSUL' .",
    "_web._tcp.service.consul": "'_web' '_tcp' 'service' 'consul' .",
    r"a\.b.consul": "03 612e62 'consul' .",
    r"\000\255x.consul": "03 00ff78 'consul' .",
    r"two\032words": "09 74776f20776f726473 .",
    r"\"quoted\\": "08 2271756f7465645c .",
    "10": "'10' .",
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_text_and_wire(text: str, expected: str) -> None:
    name = names.from_text(text)
    assert name == wire(expected) == wire_name(text)
    assert wire_name(names.to_text(name)) == name
    assert names.from_text(names.to_text(name)) == name


def test_longest_name_and_label() -> None:
    name = names.from_text(LONGEST)
    assert len(name) == 255
    assert name == wire_name(LONGEST)
    assert names.to_text(name) == LONGEST + "."


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a..b", "empty label"),
        (".a", "empty label"),
        ("..", "empty label"),
        ("a" * 64, "longer than 63"),
        (LONGEST + "d", "longer than 255"),
        (r"a\25", "bad escape"),
        (r"a\256", "bad escape"),
        ("a\\", "bad escape"),
        ("\\\u0663\u0663\u0663", "bad escape"),
        ("b\u00fccher", "outside ASCII"),
        ("\\\u00fc", "outside ASCII"),
    ],
)
def test_text_that_is_no_name(text: str, why: str) -> None:
    with pytest.raises(WireError, match=why):
        names.from_text(text)


def test_every_octet_survives_as_text() -> None:
    for octet in range(256):
        name = bytes((2, octet, 0x61, 0))
        text = names.to_text(name)
        assert names.from_text(text) == name == wire_name(text)
        assert text.isascii()
        assert text.isprintable()


def test_labels_and_suffixes() -> None:
    name = names.from_text("web.service.consul")
    assert names.labels_of(name) == [b"web", b"service", b"consul"]
    assert names.labels_of(names.ROOT) == []
    assert [names.to_text(suffix) for suffix in names.suffixes(name)] == [
        "web.service.consul.", "service.consul.", "consul.", ".",
    ]  # fmt: skip
    assert list(names.suffixes(names.ROOT)) == [names.ROOT]


@pytest.mark.parametrize(
    ("name", "zone", "under"),
    [
        ("web.consul", "consul", True),
        ("consul", "consul", True),
        ("consul", ".", True),
        (".", ".", True),
        (".", "consul", False),
        ("xconsul", "consul", False),
        ("consul.example", "consul", False),
        # the octets of the zone, but inside a label
        (r"a\006consul", "consul", False),
    ],
)
def test_under_is_by_labels(name: str, zone: str, under: bool) -> None:
    assert names.is_under(wire_name(name), wire_name(zone)) is under


@pytest.mark.parametrize(
    "text", ["10.0.0.11", "0.0.0.0", "255.255.255.255", "::1", "2001:db8::abcd", "::ffff:1.2.3.4"]
)
def test_reverse_names(text: str) -> None:
    address = ip_address(text)
    # dnspython puts mapped addresses under in-addr.arpa, RFC 3596 does not.
    expected = (
        names.from_text(address.reverse_pointer)
        if text.startswith("::ffff")
        else dns.reversename.from_address(text).to_wire()
    )
    assert names.reverse_name(address) == expected
    assert names.reverse_address(names.reverse_name(address)) == address


NIBBLES = "1." + "0." * 31


@pytest.mark.parametrize(
    "text",
    [
        "in-addr.arpa", "10.in-addr.arpa", "0.0.10.in-addr.arpa", "1.2.3.4.5.in-addr.arpa",
        "256.0.0.10.in-addr.arpa", "01.0.0.10.in-addr.arpa", "x.0.0.10.in-addr.arpa",
        r"1\.2.0.0.10.in-addr.arpa", r"4.3.2.\058\058ffff\0581.in-addr.arpa",
        "1.0.0.127.in-addr.arpa.consul", "1.0.0.127", ".",
        "0.0.ip6.arpa", "0." + NIBBLES + "ip6.arpa", "00." + NIBBLES[2:] + "ip6.arpa",
        "g." + NIBBLES[2:] + "ip6.arpa", "0." * 31 + "-.ip6.arpa", "0." * 30 + "_.1.ip6.arpa",
        r"0\032." + "0." * 30 + r"\032.ip6.arpa", r"\178." + NIBBLES[2:] + "ip6.arpa",
    ],
)  # fmt: skip
def test_names_that_stand_for_no_address(text: str) -> None:
    assert names.reverse_address(wire_name(text)) is None


ZONES = [
    ("0.0.0.0/0", 1, "in-addr.arpa.", "in-addr.arpa."),
    ("10.0.0.0/8", 1, "10.in-addr.arpa.", "10.in-addr.arpa."),
    ("172.16.0.0/12", 16, "16.172.in-addr.arpa.", "31.172.in-addr.arpa."),
    ("192.168.0.0/16", 1, "168.192.in-addr.arpa.", "168.192.in-addr.arpa."),
    ("10.1.16.0/20", 16, "16.1.10.in-addr.arpa.", "31.1.10.in-addr.arpa."),
    ("10.1.2.3/32", 1, "3.2.1.10.in-addr.arpa.", "3.2.1.10.in-addr.arpa."),
    ("10.1.2.128/25", 128, "128.2.1.10.in-addr.arpa.", "255.2.1.10.in-addr.arpa."),
    ("2001:db8::/32", 1, "8.b.d.0.1.0.0.2.ip6.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."),
    ("2001:db8:8000::/33", 8, "8.8.b.d.0.1.0.0.2.ip6.arpa.", "f.8.b.d.0.1.0.0.2.ip6.arpa."),
    ("fd00:1:2::/48", 1, "2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.", "2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa."),
    ("::1/128", 1, NIBBLES + "ip6.arpa.", NIBBLES + "ip6.arpa."),
]


@pytest.mark.parametrize(("network", "count", "first", "last"), ZONES)
def test_reverse_zones(network: str, count: int, first: str, last: str) -> None:
    net = ip_network(network)
    zones = names.reverse_zones(net)
    assert [names.to_text(zones[0]), names.to_text(zones[-1])] == [first, last]
    assert len(set(zones)) == len(zones) == count

    def covering(number: int) -> int:
        address = (IPv4Address if net.version == 4 else IPv6Address)(number)
        name = dns.reversename.from_address(str(address)).to_wire()
        assert name is not None
        return sum(names.is_under(name, zone) for zone in zones)

    low, high = int(net.network_address), int(net.broadcast_address)
    assert [covering(number) for number in (low, (low + high) // 2, high)] == [1, 1, 1]
    outside = [number for number in (low - 1, high + 1) if 0 <= number < 2**net.max_prefixlen]
    assert [covering(number) for number in outside] == [0] * len(outside)
