"""What we answer is what the agent itself answers over TCP: no more, no less, nothing else.

Asked through the servers, through a client agent, and with ACLs on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dns.message
import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import SIZES, At, ask, cut, data, facts, missing, rcode, table
from tests.integration.served import at, consul, serve
from tests.integration.services import BIG, QUERY, TEXT_NODE


@dataclass(frozen=True)
class Layout:
    """The agent our server asks, and our server."""

    agent: RealAgent
    ours: At

    def theirs(self, name: str, rtype: str) -> dns.message.Message:
        """What the agent says over TCP."""
        return ask(at(self.agent), name, rtype, tcp=True)


@pytest.fixture(scope="session")
def layouts(
    cluster: RealCluster,
    client_cluster: RealCluster,
    acl_cluster: RealCluster,
    guard: Guard,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Layout]]:
    """Each cluster with a server of ours in front; Consul is asked about its reverse names."""
    made = {}
    with contextlib.ExitStack() as stack:
        for via, one in (("servers", cluster), ("client", client_cluster), ("acl", acl_cluster)):
            agent = one.client or one.servers[0]
            settings = {"consul": consul(agent, reverse=["10.0.0.0/8", "fd00::/8"])}
            served = stack.enter_context(serve(settings, tmp_path_factory.mktemp(via), guard))
            made[via] = Layout(agent, served.at)
        yield made


@pytest.fixture(params=["servers", "client", "acl"])
def layout(request: pytest.FixtureRequest, layouts: dict[str, Layout]) -> Layout:
    """One of `layouts` at a time."""
    return layouts[request.param]


QUESTIONS = table(f"""
    galeradb.service.consul              A
    galeradb.service.consul              AAAA
    galeradb.service.consul              SRV
    galeradb.service.consul              TXT
    galeradb.service.consul              ANY
    galeradb.service.consul              SOA
    galeradb.service.consul              NS
    galeradb.service.consul              MX
    galeradb.service.consul              TYPE65
    galeradb.service.consul.             A
    galeradb.service.dc1.consul          A
    galeradb.service.dc1.consul          SRV
    galeradb.service.dc9.consul          A
    GaleraDB.SERVICE.cOnSuL              A
    GaleraDB.SERVICE.cOnSuL              SRV
    gaLERAdb.sErViCe.DC1.conSUL          A
    icinga-galera.galeradb.service.consul A
    ICINGA-galera.galeradb.service.consul SRV
    no-such-tag.galeradb.service.consul  A
    primary.web.service.consul           A
    v2.web.service.consul                AAAA
    v2.web.service.consul                A
    _galeradb._icinga-galera.service.consul SRV
    _galeradb._tcp.service.consul        SRV
    _galeradb._tcp.consul                SRV
    _web._v1.service.dc1.consul          SRV
    _web._v1.service.consul              A
    web.service.consul                   A
    web.service.consul                   AAAA
    web.service.consul                   SRV
    web.service.consul                   ANY
    mixed.service.consul                 SRV
    v6only.service.consul                AAAA
    v6only.service.consul                SRV
    failed.service.consul                A
    hidden.service.consul                A
    hidden.service.consul                SRV
    secret.node.consul                   A
    external.service.consul              CNAME
    external.service.consul              SRV
    external-db.node.consul              CNAME
    nothing.service.consul               A
    nothing.service.consul               SRV
    nothing.at.all.consul                A
    consul                               A
    consul                               SOA
    consul                               NS
    consul                               ANY
    consul                               TXT
    CONSUL                               NS
    service.consul                       A
    consul.service.consul                A
    consul.service.consul                SRV
    server-1.node.consul                 A
    server-1.node.dc1.consul             AAAA
    {TEXT_NODE}.node.consul              TXT
    {TEXT_NODE}.node.consul              A
    {TEXT_NODE}.node.consul              ANY
    Big7.NODE.consul                     A
    nothing.node.consul                  A
    0a000a0b.addr.dc1.consul             A
    0A000A0B.addr.consul                 A
    0a000a0b.addr.dc1.consul             AAAA
    fd000020000000000000000000000013.addr.dc1.consul AAAA
    nonsense.addr.consul                 A
    {QUERY}.query.consul                 A
    {QUERY}.query.consul                 SRV
    {QUERY}.query.dc1.consul             A
    nothing.query.consul                 A
    galeradb.connect.consul              A
    galeradb.ingress.consul              A
    11.10.0.10.in-addr.arpa              PTR
    1.40.0.10.in-addr.arpa               PTR
    1.40.0.10.IN-ADDR.arpa               PTR
    99.99.0.10.in-addr.arpa              PTR
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.0.d.f.ip6.arpa PTR
    9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.0.0.0.d.f.ip6.arpa PTR
""")


@pytest.mark.parametrize(("name", "rtype"), QUESTIONS, ids=[" ".join(q) for q in QUESTIONS])
def test_as_the_agent_says(layout: Layout, name: str, rtype: str) -> None:
    whole = facts(layout.theirs(name, rtype))
    assert facts(ask(layout.ours, name, rtype, tcp=True)) == whole
    for size in SIZES:
        reply = ask(layout.ours, name, rtype, edns=size)
        said = facts(reply)
        assert said == whole or (cut(reply) and not missing(said, whole)), f"UDP at {size}"


@pytest.mark.parametrize("rtype", ["A", "SRV"])
def test_all_instances_or_a_word_that_some_are_missing(layout: Layout, rtype: str) -> None:
    def addresses(reply: dns.message.Message) -> set[str]:
        return data(reply) if rtype == "A" else data(reply, "A", section="ar")

    over_tcp = ask(layout.ours, "big.service.consul", rtype, tcp=True)
    assert addresses(over_tcp) == BIG
    assert len(data(over_tcp)) == 60
    assert not cut(over_tcp)
    whole = set()
    for size in SIZES:
        reply = ask(layout.ours, "big.service.consul", rtype, edns=size)
        assert rcode(reply) == "NOERROR"
        assert addresses(reply) <= BIG
        # Of what is only beside the answer some may be missing without a word (RFC 2181 section 9).
        assert cut(reply) == (len(data(reply)) < 60)
        if not cut(reply):
            assert rtype == "SRV" or addresses(reply) == BIG
            whole.add(size)
    # 60 addresses take 1 KB, 60 SRV with what belongs to them 5.8 KB.
    assert whole >= ({1232, 4096} if rtype == "A" else set())


def test_what_acls_hide_does_not_exist(
    acl_cluster: RealCluster, guard: Guard, tmp_path: Path
) -> None:
    assert len(acl_cluster.http("GET", "/v1/health/service/hidden")) == 1
    with serve({"consul": consul(*acl_cluster.servers)}, tmp_path, guard) as served:
        for rtype in ("A", "SRV", "ANY"):
            reply = ask(served.at, "hidden.service.consul", rtype)
            assert (rcode(reply), reply.answer) == ("NXDOMAIN", [])
        assert rcode(ask(served.at, "galeradb.service.consul")) == "NOERROR"
