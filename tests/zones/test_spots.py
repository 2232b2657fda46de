"""Where an instance is, by what it and its node offer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.dns import const, names
from consulfwd.zones.seen import Offer
from consulfwd.zones.spots import Spot, host_name, is_label, quoted, spot_of

NODE = "10.0.0.1"
TAGGED = {
    "lan_ipv4": "10.1.0.1", "wan_ipv6": "2001:db8::1", "bad_ipv4": "2001:db8::2", "lan": "x y",
}  # fmt: skip


def read(own: str, whose: str = "service", tagged: tuple[str, ...] = (), node: str = NODE) -> str:
    spot = spot_of(Offer(own, node, 80, tagged=TAGGED), whose, tagged)
    if isinstance(spot, str):
        return spot
    if spot.type == const.CNAME:
        return names.to_text(spot.data)
    return f"{const.type_text(spot.type)} {spot.data.hex()}"


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ("10.0.0.2", "A 0a000002"),
        ("", "A 0a000001"),
        ("2001:DB8::1", "AAAA 20010db8000000000000000000000001"),
        ("::ffff:10.0.0.2", "A 0a000002"),
        ("DB.example.com.", "db.example.com."),
        ("db", "db."),
        ("1.0.0.0", "A 01000000"),
        ("0.255.255.255", "its address is '0.255.255.255': nobody has it"),
        ("0.0.0.0", "its address is '0.0.0.0': nobody has it"),
        ("::", "its address is '::': nobody has it"),
        ("223.255.255.255", "A dfffffff"),
        ("224.0.0.1", "its address is '224.0.0.1': it is of many hosts (multicast)"),
        ("239.255.255.255", "its address is '239.255.255.255': it is of many hosts (multicast)"),
        ("ff02::1", "its address is 'ff02::1': it is of many hosts (multicast)"),
        ("240.0.0.0", "its address is '240.0.0.0': no host may have it"),
        ("255.255.255.255", "its address is '255.255.255.255': no host may have it"),
        ("169.254.0.1", "its address is '169.254.0.1': it holds on one link only"),
        ("fe80::1", "its address is 'fe80::1': it holds on one link only"),
        ("2001:db8::1%eth0", "its address is '2001:db8::1%eth0': it holds on one link only"),
        ("127.0.0.1", "its address is '127.0.0.1': a client would ask itself (loopback)"),
        ("::1", "its address is '::1': a client would ask itself (loopback)"),
        ("10.0.0.256", "its address is '10.0.0.256': neither an address nor a host name"),
        ("10.0.0.08", "its address is '10.0.0.08': neither an address nor a host name"),
        ("my_host", "its address is 'my_host': neither an address nor a host name"),
        ("*.example.com", "its address is '*.example.com': neither an address nor a host name"),
        ("a..b", "its address is 'a..b': neither an address nor a host name"),
        (".", "its address is '.': neither an address nor a host name"),
        ("b\u00fccher.example", r"its address is 'b\xfccher.example': neither an address nor"
         " a host name"),
        ("a\nb", r"its address is 'a\nb': neither an address nor a host name"),
        ("-a", "its address is '-a': neither an address nor a host name"),
    ],
)  # fmt: skip
def test_of_the_service(own: str, found: str) -> None:
    assert read(own) == found


def test_of_the_node() -> None:
    assert read("10.0.0.2", "node") == "A 0a000001"
    assert read("", node="") == "its node's address is missing"


@pytest.mark.parametrize(
    ("tagged", "found"),
    [
        (("lan_ipv4",), "A 0a010001"),
        (("none", "wan_ipv6", "lan_ipv4"), "AAAA 20010db8000000000000000000000001"),
        (("none",), "A 0a000002"),
        (("bad_ipv4", "lan_ipv4"), "its address 'bad_ipv4' is '2001:db8::2': not of that family"),
        (("lan",), "its address 'lan' is 'x y': neither an address nor a host name"),
    ],
)
def test_the_first_tagged_one_there_is(tagged: tuple[str, ...], found: str) -> None:
    assert read("10.0.0.2", "service", tagged) == found
    assert read("10.0.0.2", "node", ("lan_ipv4",)) == "A 0a010001"


@pytest.mark.parametrize("node", ["127.0.0.1", "127.255.0.1", "::1"])
def test_loopback_where_the_node_is_there_too(node: str) -> None:
    assert read("127.0.0.2", node=node) == "A 7f000002"


@pytest.mark.parametrize("node", ["", "localhost", "128.0.0.1"])
def test_loopback_where_the_node_is_elsewhere(node: str) -> None:
    assert "loopback" in read("127.0.0.2", node=node)


def test_labels() -> None:
    assert is_label(b"a" * 63)
    assert not is_label(b"a" * 64)
    assert not is_label(b"")
    assert is_label(b"1-2")
    assert not any(map(is_label, (b"-a", b"a-", b"A", b"a_b", b"a.b", b"a b", b"*", b"\xe4")))


def test_names_of_hosts() -> None:
    label = "a" * 63
    assert host_name(f"{label}.{label}.{label}.{'a' * 61}")
    assert not host_name(f"{label}.{label}.{label}.{'a' * 62}")
    assert not host_name("1.2")
    assert host_name("1.a")
    # It becomes a k in lower case.
    assert not host_name("\u212aube")


def test_what_strangers_write_fits_a_line() -> None:
    assert quoted("a\n\u2028'\"") == "'a\\n\\u2028\\'\"'"
    assert quoted("a" * 58) == f"'{'a' * 58}'"
    assert quoted("a" * 59) == f"'{'a' * 59}...'"


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    spot = spot_of(Offer(text, text, 1), "service", ())
    if isinstance(spot, Spot):
        sizes = {const.A: 4, const.AAAA: 16}
        assert len(spot.data) == sizes.get(spot.type, len(spot.data))
    else:
        assert spot.isascii()
        assert spot.isprintable()
