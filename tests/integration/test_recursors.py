"""Names outside Consul, by real recursors: the same as asking them, and nothing of Consul leaks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.reversename
import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealCluster
from tests.integration.asking import SIZES, ask, cut, data, facts, missing, rcode, table
from tests.integration.recursors import BROKEN_ZONE, TLS_NAME, Recursor
from tests.integration.served import HOST, Served, consul, serve
from tests.integration.services import EXTERNAL_TARGET
from tests.loopback import free_port

QUESTIONS = table(f"""
    www.example.test           A
    www.example.test           AAAA
    WWW.Example.TEST           A
    www.example.test           TXT
    v4.example.test            AAAA
    multi.example.test         A
    mail.example.test          MX
    text.example.test          TXT
    big.example.test           TXT
    _sip._tcp.example.test     SRV
    alias.example.test         A
    alias.example.test         CNAME
    chain.example.test         A
    chain.example.test         AAAA
    chain.example.test         MX
    example.test               NS
    example.test               SOA
    example.test               A
    nothing.example.test       A
    nothing.else.example.test  AAAA
    nothing-at-all             A
    www.{BROKEN_ZONE}          A
    10.2.0.192.in-addr.arpa    PTR
    11.2.0.192.in-addr.arpa    PTR
""")


@pytest.fixture(scope="session", params=["unbound", "bind"])
def recursor(request: pytest.FixtureRequest) -> Recursor:
    """Each recursor in turn."""
    found: Recursor = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def served(
    recursor: Recursor, guard: Guard, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of ours that has the recursor, and no agent."""
    settings = {"recursors": [plain(recursor)], "consul": nobody()}
    with serve(settings, tmp_path_factory.mktemp("served"), guard) as server:
        yield server


def plain(recursor: Recursor) -> str:
    return f"{recursor.address}:{recursor.port}"


def nobody() -> dict[str, object]:
    """A `consul` section whose agents nobody runs."""
    return {"agents": [f"{HOST}:{free_port(HOST)}", f"{HOST}:{free_port(HOST)}"]}


@pytest.mark.parametrize(("name", "rtype"), QUESTIONS, ids=[" ".join(q) for q in QUESTIONS])
def test_as_the_recursor_says(served: Served, recursor: Recursor, name: str, rtype: str) -> None:
    at = (recursor.address, recursor.port)
    # Recursors count TTLs down, and say as they like whose zone it was.
    sections = ["an"] if data(ask(at, name, rtype, tcp=True)) else ["an", "ns"]

    def said(server: tuple[str, int], **how: object) -> list[str]:
        return facts(ask(server, name, rtype, tcp=True), ttls=False, sections=sections)

    whole = said(at)
    assert said(served.at) == whole
    for size in SIZES:
        reply = ask(served.at, name, rtype, edns=size)
        part = facts(reply, ttls=False, sections=sections)
        assert part == whole or (cut(reply) and not missing(part, whole)), f"UDP at {size}"


def test_a_cut_answer_is_asked_again_over_tcp(served: Served) -> None:
    assert cut(ask(served.at, "big.example.test", "TXT", edns=1232))
    assert len(data(ask(served.at, "big.example.test", "TXT", tcp=True))) == 20


@pytest.mark.parametrize("name", [TLS_NAME, "somebody.else.test"])
def test_over_tls_the_name_is_verified(
    unbound: Recursor, guard: Guard, tmp_path: Path, name: str
) -> None:
    # Only where there is no answer the time is to be over soon.
    settings = {
        "recursors": [f"tls://{unbound.address}:{unbound.tls_port}#{name}"],
        "consul": nobody(),
        "query": {} if name == TLS_NAME else {"deadline": 0.5},
    }
    trust = {"SSL_CERT_FILE": str(unbound.ca_file)}
    before = len(unbound.queries())
    with serve(settings, tmp_path, guard, environ=trust) as served:
        reply = ask(served.at, "multi.example.test")
        big = ask(served.at, "big.example.test", "TXT", tcp=True)
    if name == TLS_NAME:
        assert data(reply) == {"192.0.2.21", "192.0.2.22", "192.0.2.23"}
        assert len(data(big)) == 20
    else:
        assert (rcode(reply), rcode(big)) == ("SERVFAIL", "SERVFAIL")
        assert len(unbound.queries()) == before


LEAKS = table("""
    consul                          A
    consul                          DS
    consul                          DNSKEY
    CONSUL                          NS
    galeradb.service.consul         A
    galeradb.service.consul         DS
    nothing.service.consul          AAAA
    GaleraDB.Service.CONSUL         SRV
    a.b.c.d.e.consul                TXT
    consul                          ANY
    service.dc9.consul              A
    other-consul                    DS
    galeradb.service.other-consul   A
    x.OTHER-Consul                  ANY
    11.10.0.10.in-addr.arpa         PTR
""")


@pytest.mark.parametrize("agents", ["alive", "dead"])
@pytest.mark.parametrize("which", ["unbound", "bind"])
def test_names_of_consul_never_reach_a_recursor(
    request: pytest.FixtureRequest,
    cluster: RealCluster,
    guard: Guard,
    tmp_path: Path,
    agents: str,
    which: str,
) -> None:
    recursor: Recursor = request.getfixturevalue(which)
    section = consul(*cluster.servers) if agents == "alive" else nobody()
    settings = {
        "consul": {**section, "alt_domains": ["other-consul"], "reverse": ["10.0.0.0/8"]},
        "recursors": [plain(recursor)],
        # Names of Consul are soon given up; recursors have all the time they need.
        "query": {"deadline": 0.5, "recursor_deadline": 4.0},
    }
    before = len(recursor.queries())
    with serve(settings, tmp_path, guard) as served, ThreadPoolExecutor(10) as threads:
        asks = [
            threads.submit(ask, served.at, name, rtype, tcp=tcp)
            for name, rtype in LEAKS
            for tcp in (False, True)
        ]
        assert all(rcode(one.result()) in ("NOERROR", "NXDOMAIN", "SERVFAIL") for one in asks)
        # Proof that the log would show it, and that what was asked before is in it by now.
        assert data(ask(served.at, "short.example.test")) == {"192.0.2.30"}
        outside = ask(served.at, "1.99.0.10.in-addr.arpa", "PTR")
        assert data(outside) == {"outside.example.test."}
    asked = set(recursor.queries()[before:])
    known = {("11.10.0.10.in-addr.arpa", "PTR")} if agents == "dead" else set()
    assert asked - known == {("short.example.test", "A"), ("1.99.0.10.in-addr.arpa", "PTR")}


@pytest.mark.parametrize(("rtype", "address"), [("A", "192.0.2.20"), ("AAAA", "2001:db8::20")])
def test_the_alias_of_an_external_service_is_followed(
    cluster: RealCluster, unbound: Recursor, guard: Guard, tmp_path: Path, rtype: str, address: str
) -> None:
    settings = {"consul": consul(*cluster.servers), "recursors": [plain(unbound)]}
    before = len(unbound.queries())
    with serve(settings, tmp_path, guard) as served:
        for tcp in (False, True):
            reply = ask(served.at, "external.service.consul", rtype, tcp=tcp)
            assert facts(reply, ttls=False, sections=["an"]) == [
                "NOERROR",
                f"an {EXTERNAL_TARGET}. {rtype} {address}",
                f"an external.service.consul. CNAME {EXTERNAL_TARGET}.",
            ]
    assert set(unbound.queries()[before:]) == {(EXTERNAL_TARGET, rtype)}


def test_what_only_this_host_knows_about_addresses_consul_does_not_know(
    cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    reverse = ["127.0.0.0/8", "10.0.0.0/8"]
    # A public recursor, which is never asked about private networks.
    settings = {"consul": consul(*cluster.servers, reverse=reverse), "recursors": ["9.9.9.9"]}
    with serve(settings, tmp_path, guard) as served:
        server = dns.reversename.from_address(cluster.servers[0].address).to_text()
        assert data(ask(served.at, server, "PTR")) == {"server-1.node.dc1.consul."}
        assert data(ask(served.at, "1.0.0.127.in-addr.arpa", "PTR")) == {"localhost."}
        assert rcode(ask(served.at, "99.99.0.10.in-addr.arpa", "PTR")) == "NXDOMAIN"
        assert "suspect" not in served.said()
