"""The table of servers: files by version, and versions as the servers print them."""

from __future__ import annotations

import pytest

from consulfwd.errors import UsageError
from consulfwd.servers.target import Output, Version, parse_version, read_version
from consulfwd.servers.targets import TARGETS

ON_TARGETS = pytest.mark.parametrize("name", TARGETS)


def test_every_server_asked_for_is_there() -> None:
    assert list(TARGETS) == [
        "bind", "dnsmasq", "unbound", "resolved", "coredns", "dnsdist", "kresd", "pdns-recursor",
        "resolver", "nftables", "resolv.conf",
    ]  # fmt: skip
    assert [target.name for target in TARGETS.values()] == list(TARGETS)


@ON_TARGETS
def test_the_newest_version_has_files(name: str) -> None:
    target = TARGETS[name]
    assert target.files(target.newest)
    for output in target.outputs:
        assert output.template.startswith(f"{name}/")
        assert all(place.startswith("/") for place in output.places)


@ON_TARGETS
def test_checks_name_the_file_and_its_package(name: str) -> None:
    target = TARGETS[name]
    assert sum(word.count("{file}") for word in target.check) == bool(target.check)
    assert bool(target.package) or not (target.check or target.whole)
    words = [word for command in (target.check, target.whole, *target.reload) for word in command]
    known = [word.replace("{file}", "").replace("{domain}", "") for word in words]
    assert not any("{" in word or "}" in word for word in known)


@pytest.mark.parametrize(
    ("name", "printed", "version"),
    [
        ("bind", "BIND 9.18.49-1~deb12u1-Debian (Extended Support Version) <id:>", (9, 18, 49)),
        ("bind", "BIND 9.11.36-RedHat-9.11.36-11.el8 (Extended Support Version)", (9, 11, 36)),
        ("dnsmasq", "Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley", (2, 90)),
        ("unbound", "Version 1.17.1\n\nConfigure line: --build=x86_64", (1, 17, 1)),
        ("resolved", "systemd 252 (252.39-1~deb12u1)\n+PAM +AUDIT", (252,)),
        ("resolved", "systemd 258.2-1-arch\n+PAM", (258,)),
        ("coredns", "CoreDNS-1.12.0\nlinux/amd64, go1.23.3, 51e11f1", (1, 12, 0)),
        ("dnsdist", "dnsdist 1.7.3 (Lua 5.1.4 [LuaJIT 2.1.0-beta3])", (1, 7, 3)),
        ("kresd", "Knot Resolver, version 5.6.0", (5, 6, 0)),
        ("pdns-recursor", "Nov 21 16:26:14 PowerDNS Recursor 4.8.8 (C) 2001", (4, 8, 8)),
        ("resolver", "15.1\n", (15, 1)),
        ("nftables", "nftables v1.0.6 (Lester Gooch #5)", (1, 0, 6)),
    ],
)
def test_versions_as_they_are_printed(name: str, printed: str, version: Version) -> None:
    assert parse_version(TARGETS[name], printed) == version


@pytest.mark.parametrize("printed", ["", "named: unknown option\nusage: named", "BIND"])
def test_no_version(printed: str) -> None:
    with pytest.raises(UsageError, match="no version of BIND in what named -v says"):
        parse_version(TARGETS["bind"], printed)


def test_versions_as_users_write_them() -> None:
    assert read_version("9.18") == (9, 18)
    assert read_version("258") == (258,)
    for wrong in ("", "9.", ".9", "9.x", "v9", "9 18", "9.18\n", "99999", "1.2.3.4.5", "٩"):
        with pytest.raises(UsageError, match="is no version"):
            read_version(wrong)


@pytest.mark.parametrize(
    ("version", "suits"),
    [
        ((245, 9), False),
        ((246,), True),
        ((257,), True),
        ((257, 9), True),
        ((258,), False),
        ((258, 0), False),
    ],
)
def test_versions_a_file_is_for(version: Version, suits: bool) -> None:
    output = Output("x/y.j2", ("/x",), min_version=(246,), max_version=(257,))
    assert output.suits(version) is suits


def templates(name: str, version: Version, *options: str) -> list[str]:
    return [one.template for one in TARGETS[name].files(version, options)]


def test_files_by_version_and_option() -> None:
    assert templates("bind", (9, 18)) == ["bind/consul.conf.j2"]
    assert templates("bind", (9, 18), "named_conf") == ["bind/consul.conf.j2", "bind/named.conf.j2"]
    assert templates("resolved", (252,)) == ["resolved/consul.conf.j2"]
    assert templates("resolved", (258,)) == ["resolved/consul.dns-delegate.j2"]
    assert templates("pdns-recursor", (4, 9, 9)) == [
        "pdns-recursor/consul.zones.j2",
        "pdns-recursor/consul.conf.j2",
    ]
    assert templates("pdns-recursor", (5, 0)) == ["pdns-recursor/consul.yml.j2"]


def test_domains_are_in_every_file_and_what_others_match_is_wanted() -> None:
    for target in TARGETS.values():
        assert "consul" in target.kinds
        for output in target.outputs:
            if output.beside:
                assert all(place.startswith("/etc/") for place in output.beside.places[:1])
                assert output.beside.why[-1].isalpha()
    # No zone of a server that minds is cut below the one whose SOA Consul's denials have.
    assert [name for name, one in TARGETS.items() if "datacenter" not in one.kinds] == [
        "bind", "resolved", "resolver", "nftables",
    ]  # fmt: skip
