"""Validating servers with the generated files, behind a signed root that denies Consul's domains.

Whoever has seen the proofs may say by himself that there is no such name (RFC 8198).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dns.exception
import dns.flags
import dns.message
import dns.query
import pytest

from consulfwd.config import Settings
from consulfwd.dev.child import Child, Guard
from consulfwd.dev.real import RealCluster
from consulfwd.generate.building import build
from consulfwd.generate.model import NameServer
from consulfwd.generate.verifying import works
from consulfwd.servers.target import parse_version
from consulfwd.servers.targets import TARGETS
from tests.integration.asking import data, rcode
from tests.integration.conftest import NEWEST
from tests.integration.differ.configurations import ZONES_CONF
from tests.integration.differ.zones import sign
from tests.integration.generating import ANCHOR, MAINS, Case, run
from tests.integration.places import addresses
from tests.integration.recursors import HOST, own_copy
from tests.integration.test_generated import included, write_files
from tests.loopback import free_port

# Below a signed zone, so that its denials have proofs too.
ALTERNATIVE = "sd.example.test"
# What lies beside Consul's names, and is proved not to be there together with them.
BESIDE = ("consul0", "conroe", "consul0.consulz", "sd0.example.test", "sc.example.test")


class Root(NamedTuple):
    """A server of signed zones, and what they are verified with."""

    port: int
    anchor: str


@pytest.fixture(scope="module")
def root(guard: Guard, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    folder = tmp_path_factory.mktemp("root")
    signed = sign(folder / "zones")
    port = free_port(HOST)
    config = ZONES_CONF.format(folder=folder, host=HOST, port=port)
    for name, file in signed.files.items():
        config += f'zone "{name or "."}" {{ type primary; file "{file}"; }};\n'
    (folder / "named.conf").write_text(config)
    named = own_copy("named", folder)
    command: list[str | Path] = [named, "-g", "-n", "1", "-c", folder / "named.conf"]
    child = Child("the root", command, folder / "log", guard)
    child.start()
    try:
        child.wait_until(lambda: verified(port, flag=dns.flags.AA), "answering")
        yield Root(port, signed.anchor)
    finally:
        child.kill()


@pytest.fixture(scope="module")
def agent(consul_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    made = RealCluster(
        consul_binary,
        addresses(66, 11),
        workdir=tmp_path_factory.mktemp("consul"),
        extra={"alt_domain": ALTERNATIVE},
    )
    with made:
        made.register("there", "web", address="10.1.2.3")
        yield made


def asked(port: int, name: str, rtype: str = "A", *, dnssec: bool = True) -> dns.message.Message:
    query = dns.message.make_query(name, rtype, want_dnssec=dnssec)
    return dns.query.udp(query, HOST, 5.0, port)


def verified(port: int, flag: dns.flags.Flag = dns.flags.AD) -> bool:
    """Whether a signed name is answered, and said to be verified."""
    try:
        reply = asked(port, "www.example.test")
    except (OSError, dns.exception.DNSException):
        return False
    return data(reply, "A") == {"192.0.2.10"} and bool(reply.flags & flag)


def trusting(folder: Path, anchor: str) -> None:
    """Verify with this root's key, in the words of the server whose files these are."""
    key, _, digest = anchor.rpartition(" ")
    for name, changes in (
        (
            "main.conf",
            (
                (ANCHOR, f". IN DS {anchor}"),
                ("num-threads: 1\n", "num-threads: 1\n    aggressive-nsec: yes\n"),
                ("dnssec-validation auto;", "dnssec-validation yes;"),
                ("controls { };", f'trust-anchors {{ "." static-ds {key} "{digest}"; }};'),
                ("policy.all(policy.STUB(", "policy.all(policy.FORWARD("),
                # The signed zones' own servers are on this host.
                (
                    "modules.load('rebinding < iterate')",
                    f"trust_anchors.remove('.')\ntrust_anchors.add('. IN DS {anchor}')",
                ),
                ("no-resolv\n", f"no-resolv\ndnssec\ntrust-anchor=.,{anchor.replace(' ', ',')}\n"),
            ),
        ),
        ("main.lua", (("addNTA", f'clearDS(".")\naddDS(".", "{anchor}")\naddNTA'),)),
    ):
        path = folder / name
        text = path.read_text() if path.exists() else ""
        for before, after in changes:
            text = text.replace(before, after, 1)
        path.write_text(text)


@NEWEST
@pytest.mark.parametrize("server", ["bind", "dnsmasq", "unbound", "kresd", "pdns-recursor"])
def test_proofs_that_there_is_no_such_domain_change_nothing(
    server: str, root: Root, agent: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    target = TARGETS[server]
    version = parse_version(target, run([*target.ask_version]))
    (own,) = agent.servers
    given: dict[str, Any] = {
        "consul": {
            "agents": [f"{own.address}:{own.dns_port}"],
            "alt_domains": [ALTERNATIVE],
            "reverse": ["10.0.0.0/15"],
        }
    }
    generated = tmp_path / "generated"
    generated.mkdir()
    site = build(
        Settings(**given), version, include=included(target, generated), kinds=target.kinds
    )
    port = free_port(HOST)
    files = write_files(site, target, set(), generated)
    command = MAINS[server](Case(tmp_path, files, port, root.port))
    trusting(tmp_path, root.anchor)
    child = Child(server, command, tmp_path / "server.log", guard)
    child.start()
    try:
        child.wait_until(lambda: verified(port), "verifying")
        for name in BESIDE:
            assert rcode(asked(port, name)) == "NXDOMAIN"
        for dnssec in (True, False):
            for domain in ("consul", ALTERNATIVE):
                reply = asked(port, f"web.service.{domain}", dnssec=dnssec)
                assert data(reply, "A") == {"10.1.2.3"}
                # Of a service's TXT, Consul says its addresses, which BIND takes for false.
                for rtype in ("AAAA", "MX"):
                    reply = asked(port, f"web.service.{domain}", rtype, dnssec=dnssec)
                    assert rcode(reply) == "NOERROR"
                reply = asked(port, f"nobody.service.{domain}", dnssec=dnssec)
                assert rcode(reply) == "NXDOMAIN"
            for rtype in ("SOA", "NS"):
                assert data(asked(port, "consul", rtype, dnssec=dnssec), rtype)
            assert data(asked(port, "3.2.1.10.in-addr.arpa", "PTR", dnssec=dnssec))
        told: list[str] = []
        assert works(NameServer(HOST, port), site, tell=told.append) == ""
        assert told == []
    finally:
        child.kill()
