"""Who may ask, and which clients are one."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from consulfwd.core import access
from consulfwd.core.access import Access, client_of


@pytest.mark.parametrize(
    ("host", "may"),
    [
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", True),
        ("fe81::1", False),
    ],
)
def test_who_may_ask(host: str, may: bool) -> None:
    who = Access([ip_network("10.1.0.0/16"), ip_network("fe80::/16")])
    assert [who.allows(host) for _ in range(2)] == [may] * 2
    assert (host in who.seen) is may


def test_no_more_are_remembered_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "MAX_SEEN", 3)
    who = Access([ip_network("10.0.0.0/8")])
    for last in range(10):
        assert who.allows(f"10.0.0.{last}")
        assert 1 <= len(who.seen) <= 3


@pytest.mark.parametrize(
    ("host", "at", "client"),
    [
        # The programs of this host
        ("127.0.0.1", "127.0.0.1", None),
        ("127.9.9.9", "0.0.0.0", None),
        ("::1", "::1", None),
        ("10.0.0.5", "10.0.0.5", None),
        ("2001:db8::5", "2001:db8::5", None),
        ("fe80::5%eth0", "fe80::5", None),
        # Others
        ("10.0.0.6", "10.0.0.5", "10.0.0.6"),
        ("2001:db8:0:1::6", "2001:db8:0:1::5", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff::", "2001:db8::5", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::6", "2001:db8::5", "2001:db8:0:2::/64"),
        # On a link each neighbour has an address of its own in the same network.
        ("fe80::6%eth0", "fe80::5%eth0", "fe80::6%eth0"),
        ("fe80::6%eth1", "fe80::5%eth1", "fe80::6%eth1"),
        ("::ffff:10.0.0.6", "::", "10.0.0.6"),
        ("::ffff:127.0.0.1", "::", None),
    ],
)
def test_who_is_one_client(host: str, at: str, client: str | None) -> None:
    assert client_of(host, at) == client
