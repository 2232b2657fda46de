"""Names that must not be answered from health, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from consulfwd.config import Settings
from consulfwd.errors import ConfigError

RECORD: Any = {"pools": [{"addresses": ["192.0.2.1"]}], "check": {"tcp": {"port": 80}}}
SITE: dict[str, Any] = {
    "consul": {"alt_domains": ["example.net"]},
    "forward": {"example.com": ["192.0.2.53"]},
    "zones": [
        {
            "origin": "prod.example.org",
            "ns": ["ns.example.org"],
            "targets": [{"file": {"path": "/var/lib/zone"}}],
        }
    ],
}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("consul", "consul belongs to the Consul domain consul"),
        ("web.service.consul", "web.service.consul belongs to the Consul domain consul"),
        ("www.example.net", "www.example.net belongs to the Consul domain example.net"),
        ("localhost", "localhost is this host (RFC 6761)"),
        ("www.invalid", "invalid never exists (RFC 6761)"),
        ("abc.onion", "onion is not in the DNS (RFC 7686)"),
        ("1.2.0.192.in-addr.arpa", "in-addr.arpa has the names of addresses, and no addresses"),
        ("_failover.www.example", "_failover.www.example is for texts about www.example"),
        ("example.com", "example.com is a conditional zone, which has more than addresses"),
        (
            "prod.example.org",
            "prod.example.org is the origin of a zone, which has more than addresses",
        ),
    ],
)  # fmt: skip
def test_a_name_that_is_answered_otherwise_is_refused(name: str, what: str) -> None:
    with pytest.raises(ConfigError) as error:
        Settings(**SITE, failover={name: RECORD})
    assert [(one.where, one.what) for one in error.value.problems] == [(f"failover.{name}", what)]


def test_all_is_said_at_once() -> None:
    names = ["consul", "localhost", "example.com"]
    with pytest.raises(ConfigError) as error:
        Settings(**SITE, failover=dict.fromkeys(names, RECORD))
    assert len(error.value.problems) == 3


@pytest.mark.parametrize(
    "name", ["www.example.com", "www.prod.example.org", "notconsul", "example", "failover.example"]
)
def test_others_are_not(name: str) -> None:
    assert list(Settings(**SITE, failover={name: RECORD}).failover) == [name]
