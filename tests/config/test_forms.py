"""Texts in, values or the words of a BadValue out."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest

from consulfwd.config import forms
from consulfwd.config.forms import BadValue
from consulfwd.config.wording import described

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (forms.endpoint, "127.0.0.1", {"host": "127.0.0.1", "port": 53}),
    (forms.endpoint, "127.0.0.1:0", {"host": "127.0.0.1", "port": 0}),
    (forms.endpoint, "127.0.0.1:65535", {"host": "127.0.0.1", "port": 65535}),
    (forms.endpoint, "localhost:5300", {"host": "127.0.0.1", "port": 5300}),
    (forms.endpoint, "LocalHost", {"host": "127.0.0.1", "port": 53}),
    (forms.endpoint, "[::1]:53", {"host": "::1", "port": 53}),
    (forms.endpoint, "[::1]", {"host": "::1", "port": 53}),
    (forms.endpoint, "::", {"host": "::", "port": 53}),
    (forms.endpoint, "0.0.0.0", {"host": "0.0.0.0", "port": 53}),
    (forms.endpoint, "2001:DB8:0::5", {"host": "2001:db8::5", "port": 53}),
    (forms.endpoint, "[fe80::1%eth0]:53", {"host": "fe80::1%eth0", "port": 53}),
    (forms.agent, "fe80::1%2", {"address": "fe80::1%2"}),
    (forms.agent, f"FE80::1%{'b' * 15}", {"address": f"fe80::1%{'b' * 15}"}),
    (forms.agent, "10.0.0.11", {"address": "10.0.0.11"}),
    (forms.agent, "10.0.0.11:8601", {"address": "10.0.0.11", "dns_port": 8601}),
    (forms.agent, "[2001:db8::11]:8601", {"address": "2001:db8::11", "dns_port": 8601}),
    (forms.agent, "localhost", {"address": "127.0.0.1"}),
    (forms.agent_address, "2001:db8::11", "2001:db8::11"),
    (forms.recursor, "9.9.9.9", {"address": "9.9.9.9", "port": 53, "transport": "udp"}),
    (forms.recursor, "9.9.9.9:5353", {"address": "9.9.9.9", "port": 5353, "transport": "udp"}),
    (
        forms.recursor,
        "[2620:fe::fe]:53",
        {"address": "2620:fe::fe", "port": 53, "transport": "udp"},
    ),
    (forms.recursor, "2620:fe::fe", {"address": "2620:fe::fe", "port": 53, "transport": "udp"}),
    (
        forms.recursor,
        "tls://1.1.1.1#Cloudflare-DNS.com.",
        {
            "address": "1.1.1.1",
            "port": 853,
            "transport": "tls",
            "tls_name": "cloudflare-dns.com",
        },
    ),
    (
        forms.recursor,
        "TLS://[2620:fe::fe]:8853#dns.example",
        {"address": "2620:fe::fe", "port": 8853, "transport": "tls", "tls_name": "dns.example"},
    ),
    (forms.network, "10.0.0.0/8", ip_network("10.0.0.0/8")),
    (forms.network, "10.1.2.3", ip_network("10.1.2.3/32")),
    (forms.network, "::1", ip_network("::1/128")),
    (forms.network, "fd00::/8", ip_network("fd00::/8")),
    (forms.network, "0.0.0.0/0", ip_network("0.0.0.0/0")),
    (forms.network, "localhost", ip_network("127.0.0.1/32")),
    (forms.domain_name, "Consul.", "consul"),
    (forms.domain_name, "_x.a-b.Corp.Example", "_x.a-b.corp.example"),
    (forms.domain_name, "10.in-addr.arpa", "10.in-addr.arpa"),
    (forms.domain_name, "a" * 63, "a" * 63),
    (
        forms.domain_name,
        ".".join(["a" * 63] * 3 + ["b" * 61]),
        ".".join(["a" * 63] * 3 + ["b" * 61]),
    ),
    (forms.datacenter_name, "DC1", "dc1"),
    (forms.datacenter_name, "us-east_1", "us-east_1"),
    (forms.user_name, "consulfwd", "consulfwd"),
    (forms.user_name, "1000", "1000"),
    (forms.absolute_path, "/etc/x", "/etc/x"),
]


@pytest.mark.parametrize(("read", "text", "value"), GOOD)
def test_a_text_is_read(read: Callable[[str], Any], text: str, value: object) -> None:
    assert read(text) == value


LOOK_UP = "a resolver cannot look up names it needs itself: write the address, such as 10.0.0.11"
SUCH_ADDRESS = "such as 10.0.0.11 or 2001:db8::11"
LETTERS = "letters, digits, _ and inner hyphens are allowed"
BAD: list[tuple[Callable[[str], Any], str, str, str]] = [
    (forms.endpoint, "", "an address is missing", "write an IP address, such as 10.0.0.11"),
    (forms.endpoint, ":53", "an address is missing", "write an IP address, such as 10.0.0.11"),
    (forms.endpoint, "eth0", "'eth0' is not an IP address", LOOK_UP),
    (forms.endpoint, "10.0.0.256", "'10.0.0.256' is not an IP address", SUCH_ADDRESS),
    (forms.endpoint, "010.0.0.1", "'010.0.0.1' is not an IP address", SUCH_ADDRESS),
    (forms.endpoint, "1:2:3", "'1:2:3' is not an IP address", SUCH_ADDRESS),
    (
        forms.endpoint,
        "10.0.0.1/8",
        "'10.0.0.1/8' is not an IP address",
        "a single address, without a prefix",
    ),
    (
        forms.endpoint,
        "10.0.0.1@53",
        "'10.0.0.1@53' is not an IP address",
        "the port is written 10.0.0.1:53",
    ),
    (forms.agent, "::1#53", "'::1#53' is not an IP address", "the port is written [::1]:53"),
    (
        forms.endpoint,
        "http://10.0.0.1",
        "'http://10.0.0.1' cannot be used as an address",
        "write an IP address, or tls://ADDRESS#NAME for a recursor",
    ),
    (
        forms.agent,
        "[tls://10.0.0.1]",
        "'tls://10.0.0.1' cannot be used as an address",
        "write an IP address, or tls://ADDRESS#NAME for a recursor",
    ),
    (forms.endpoint, "10.0.0.1:65536", "'65536' is not a port", "a number from 0 to 65535"),
    (forms.endpoint, "10.0.0.1:", "'' is not a port", "a number from 0 to 65535"),
    (forms.endpoint, "10.0.0.1:-1", "'-1' is not a port", "a number from 0 to 65535"),
    (forms.endpoint, "10.0.0.1:٣", r"'\u0663' is not a port", "a number from 0 to 65535"),
    (forms.endpoint, "[::1", "'[::1' is not an address", "such as [2001:db8::11]:53"),
    (forms.endpoint, "[::1]53", "'[::1]53' is not an address", "such as [2001:db8::11]:53"),
    (
        forms.endpoint,
        "224.0.0.1",
        "'224.0.0.1' is a multicast address",
        "listen on an address of this host",
    ),
    (
        forms.endpoint,
        "fe80::1",
        "the link-local address 'fe80::1' lacks its interface",
        "such as fe80::1%eth0",
    ),
    (
        forms.endpoint,
        "2001:db8::1%eth0",
        "'2001:db8::1%eth0' names an interface, which only IPv6 link-local addresses do",
        "write 2001:db8::1",
    ),
    *(
        (form, text, f"'{text}' names an interface, which only IPv6 link-local addresses do", mend)
        for form, text, mend in (
            (forms.agent, "10.0.0.1%eth0", "write 10.0.0.1"),
            (forms.recursor, "169.254.1.1%eth0", "write 169.254.1.1"),
            (forms.recursor, "::1%lo", "write ::1"),
        )
    ),
    *(
        (
            forms.endpoint,
            f"fe80::1%{name}",
            f"'fe80::1%{name}' does not name an interface behind the %",
            "such as fe80::1%eth0, or its number",
        )
        for name in ("", "a b", "a/b", "a:b", "a%b", "0", "..", "b" * 16)
    ),
    (forms.agent, "consul.example", "'consul.example' is not an IP address", LOOK_UP),
    (forms.agent, "10.0.0.1:0", "'0' is not a port", "a number from 1 to 65535"),
    (forms.agent, "0.0.0.0", "'0.0.0.0' is not the address of one host", "such as 10.0.0.11"),
    (forms.agent, "ff02::1", "'ff02::1' is not the address of one host", "such as 10.0.0.11"),
    (
        forms.agent,
        "255.255.255.255",
        "'255.255.255.255' is not the address of one host",
        "such as 10.0.0.11",
    ),
    (
        forms.agent_address,
        "10.0.0.1:8600",
        "'10.0.0.1:8600' holds a port",
        "write address: 10.0.0.1 and dns_port: 8600",
    ),
    (
        forms.recursor,
        "https://1.1.1.1/dns-query",
        "'https://' is not a transport consulfwd knows",
        "write a bare address for UDP and TCP, or tls://ADDRESS#NAME",
    ),
    (
        forms.recursor,
        "tls://1.1.1.1#",
        "'tls://1.1.1.1#' does not say which name its certificate must carry",
        "add it after a #, such as tls://1.1.1.1#dns.example",
    ),
    (forms.recursor, "tls://dns.example", "'dns.example' is not an IP address", LOOK_UP),
    (
        forms.recursor,
        "tls://1.1.1.1#a..b",
        "'a..b' has an empty label",
        "two dots follow each other",
    ),
    (
        forms.network,
        "10.1.2.3/8",
        "'10.1.2.3/8' has bits set behind its prefix",
        "write 10.0.0.0/8",
    ),
    (
        forms.network,
        "fd00::1/64",
        "'fd00::1/64' has bits set behind its prefix",
        "write fd00::/64",
    ),
    *(
        (forms.network, text, f"'{text}' is not a network", "such as 10.0.0.0/8 or fd00::/8")
        for text in ("10.0.0.0/33", "10.0.0.0/255.0.0.0", "10/8", "fe80::%eth0/64", "x", "1.2.3.4/")
    ),
    (forms.domain_name, "", "'' is not a domain name", "it needs one label at least"),
    (forms.domain_name, ".", "'.' is not a domain name", "it needs one label at least"),
    (forms.domain_name, "a..", "'a..' has an empty label", "two dots follow each other"),
    (forms.domain_name, "-a.b", "'-a.b' has the label '-a'", LETTERS),
    (forms.domain_name, "a.b-", "'a.b-' has the label 'b-'", LETTERS),
    (
        forms.domain_name,
        "ü.de",
        r"'\xfc.de' has letters outside ASCII",
        "write it in its xn-- form (IDNA)",
    ),
    (forms.domain_name, "a" * 64, f"'{'a' * 60}...' has a label of 64 letters", "63 at most"),
    (
        forms.domain_name,
        ".".join(["a" * 63] * 3 + ["b" * 62]),
        f"'{'a' * 60}...' is 254 letters long",
        "253 at most",
    ),
    (
        forms.datacenter_name,
        "d.c",
        "'d.c' is not the name of a datacenter",
        "letters, digits, _ and -",
    ),
    (forms.user_name, "a b", "'a b' is not the name of a user", "such as consulfwd"),
    (forms.user_name, "-x", "'-x' is not the name of a user", "such as consulfwd"),
    (
        forms.absolute_path,
        "a/b",
        "'a/b' is not an absolute path",
        "a service has no folder of its own: start it with /",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("read", "text", "what", "mend"), BAD)
def test_a_text_is_refused_in_so_many_words(
    read: Callable[[str], Any], text: str, what: str, mend: str
) -> None:
    with pytest.raises(BadValue) as caught:
        read(text)
    assert (caught.value.what, caught.value.mend) == (what, mend)
    assert str(caught.value) == f"{what} ({mend})"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (5, "the number 5"),
        (0.5, "the number 0.5"),
        ("x", "the text 'x'"),
        ({}, "a mapping"),
        ([], "a list"),
    ],
)
def test_values_of_a_wrong_type_are_described(value: object, words: str) -> None:
    assert described(value) == words


def test_a_fault_without_a_mending_is_just_what_is_wrong() -> None:
    assert str(BadValue("is odd")) == "is odd"


def test_text_is_passed_on_and_anything_else_refused() -> None:
    assert forms.text_of("x", "y") == "x"
    with pytest.raises(BadValue, match=r"must be text, not the number 5 \(such as y\)"):
        forms.text_of(5, "y")
