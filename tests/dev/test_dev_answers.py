"""Every kind of question a Consul agent understands, as in and out."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from consulfwd.dev import DevAgent, DevCluster
from tests.loopback import OWN

SOA = "ns consul. 0 SOA ns.consul. hostmaster.consul. # 3600 600 86400 0"
NXDOMAIN = ["NXDOMAIN aa", SOA]
NODATA = ["NOERROR aa", SOA]
GALERA = ("10.0.10.11", "10.0.10.12", "10.0.10.13")


def galera(owner: str) -> list[str]:
    return ["NOERROR aa", *(f"an {owner}. 0 A {address}" for address in GALERA)]


def galera_srv(owner: str, domain: str = "consul") -> list[str]:
    targets = [f"0a000a0{last}.addr.dc1.{domain}." for last in "bcd"]
    return [
        "NOERROR aa",
        *(f"an {owner}. 0 SRV 1 1 3306 {target}" for target in targets),
        *(f"ar {target} 0 A {address}" for target, address in zip(targets, GALERA, strict=True)),
    ]


@pytest.fixture
def furnished(cluster: DevCluster) -> DevAgent:
    """An agent that also knows the less usual kinds of service."""
    catalog = cluster.catalog
    catalog.register(
        "pg", id="pg1", node="db1", node_address="10.9.0.46", port=5432, tags=("master",),
        node_meta={"rack": "a1", "rfc1035-motd": "hello"},
    )
    catalog.register("pg", id="pg2", node="db2", node_address="10.9.0.47", status="critical")
    catalog.register("ext", id="ext", node="ext1", node_address="db.example.com", port=80)
    catalog.register(
        "extb", node="ext2", node_address="10.9.0.48", address="www.example.com", port=80,
        weights=(7, 3),
    )
    catalog.register("six", node="six", node_address="fd00::46", port=80)
    return cluster.agents[0]


@pytest.mark.parametrize(
    ("name", "qtype", "reply"),
    [
        ("galeradb.service.consul", "A", galera("galeradb.service.consul")),
        ("GaleraDB.Service.CONSUL", "A", galera("GaleraDB.Service.CONSUL")),
        ("galeradb.service.consul", "AAAA", NODATA),
        ("galeradb.service.consul", "MX", NODATA),
        ("galeradb.service.consul", "ANY", galera("galeradb.service.consul")),
        ("galeradb.service.consul", "TXT", galera("galeradb.service.consul")),
        ("galeradb.service.consul", "SRV", galera_srv("galeradb.service.consul")),
        ("galeradb.service.CoNSUL", "SRV", galera_srv("galeradb.service.CoNSUL", "CoNSUL")),
        ("galeradb.service.dc1.consul", "A", galera("galeradb.service.dc1.consul")),
        ("galeradb.service.DC1.consul", "SRV", galera_srv("galeradb.service.DC1.consul")),
        ("galeradb.service.dc1.dc.consul", "A", galera("galeradb.service.dc1.dc.consul")),
        ("galeradb.service.dc9.consul", "A", NXDOMAIN),
        ("galeradb.service.dc1.foo.consul", "A", NXDOMAIN),
        ("icinga-galera.galeradb.service.consul", "A",
         galera("icinga-galera.galeradb.service.consul")),
        ("no.such.tag.galeradb.service.consul", "A", NXDOMAIN),
        ("_galeradb._tcp.service.consul", "SRV", galera_srv("_galeradb._tcp.service.consul")),
        ("_galeradb._tcp.consul", "SRV", galera_srv("_galeradb._tcp.consul")),
        ("_galeradb._tcp.dc1.consul", "SRV", galera_srv("_galeradb._tcp.dc1.consul")),
        ("_galeradb._icinga-galera.service.consul", "SRV",
         galera_srv("_galeradb._icinga-galera.service.consul")),
        ("_GaleraDB._TCP.service.consul", "A", galera("_GaleraDB._TCP.service.consul")),
        ("_galeradb._other.service.consul", "SRV", NXDOMAIN),
        ("galeradb.query.consul", "A", galera("galeradb.query.consul")),
        ("_galeradb._tcp.query.consul", "SRV", galera_srv("_galeradb._tcp.query.consul")),
        ("nosuch.query.consul", "A", NXDOMAIN),
        ("nosuch.service.consul", "A", NXDOMAIN),
        ("service.consul", "A", NXDOMAIN),
        ("galeradb.consul", "A", NXDOMAIN),
        ("galeradb.connect.consul", "A", NXDOMAIN),
        ("galeradb.virtual.consul", "A", ["NOERROR aa"]),
        ("consul", "A", NXDOMAIN),
        ("example.com", "A", ["REFUSED"]),
    ],
)
async def test_services(
    agent: DevAgent, dns_tools: Any, name: str, qtype: str, reply: list[str]
) -> None:
    assert await dns_tools.ask_tcp(agent, name, qtype) == reply


@pytest.mark.parametrize(
    ("name", "qtype", "reply"),
    [
        ("web.service.consul", "A",
         ["an web.service.consul. 0 A 10.0.20.11", "an web.service.consul. 0 A 10.0.20.12"]),
        ("web.service.consul", "AAAA", ["an web.service.consul. 0 AAAA fd00:20::13"]),
        ("canary.web.service.consul", "A", [SOA]),
        ("PRIMARY.web.service.consul", "ANY", ["an PRIMARY.web.service.consul. 0 A 10.0.20.11"]),
        ("pg.service.consul", "A", ["an pg.service.consul. 0 A 10.9.0.46"]),
        ("pg.service.consul", "SRV",
         ["an pg.service.consul. 0 SRV 1 1 5432 db1.node.dc1.consul.",
          "ar db1.node.dc1.consul. 0 A 10.9.0.46",
          'ar db1.node.dc1.consul. 0 TXT "hello"',
          'ar db1.node.dc1.consul. 0 TXT "rack=a1"']),
        ("db1.node.consul", "A",
         ["an db1.node.consul. 0 A 10.9.0.46",
          'ar db1.node.consul. 0 TXT "hello"', 'ar db1.node.consul. 0 TXT "rack=a1"']),
        ("DB1.node.dc1.consul", "TXT",
         ['an DB1.node.dc1.consul. 0 TXT "hello"', 'an DB1.node.dc1.consul. 0 TXT "rack=a1"']),
        ("db1.node.consul", "ANY",
         ["an db1.node.consul. 0 A 10.9.0.46",
          'an db1.node.consul. 0 TXT "hello"', 'an db1.node.consul. 0 TXT "rack=a1"']),
        ("db1.node.consul", "SRV", []),
        ("six.node.consul", "A", []),
        ("six.node.consul", "AAAA", ["an six.node.consul. 0 AAAA fd00::46"]),
        ("ext.service.consul", "A", ["an ext.service.consul. 0 CNAME db.example.com."]),
        ("ext.service.consul", "AAAA", ["an ext.service.consul. 0 CNAME db.example.com."]),
        ("ext.service.consul", "SRV", ["an ext.service.consul. 0 SRV 1 1 80 db.example.com."]),
        ("extb.service.consul", "CNAME", ["an extb.service.consul. 0 CNAME www.example.com."]),
        ("extb.service.consul", "SRV", ["an extb.service.consul. 0 SRV 1 7 80 www.example.com."]),
        ("ext1.node.consul", "A", ["an ext1.node.consul. 0 CNAME db.example.com."]),
        ("0a09002e.addr.consul", "A", ["an 0a09002e.addr.consul. 0 A 10.9.0.46"]),
        ("0a09002e.addr.dc1.consul", "AAAA", ["ar 0a09002e.addr.dc1.consul. 0 A 10.9.0.46"]),
        ("fd000020000000000000000000000013.addr.consul", "AAAA",
         ["an fd000020000000000000000000000013.addr.consul. 0 AAAA fd00:20::13"]),
        ("46.0.9.10.in-addr.arpa", "PTR",
         ["an 46.0.9.10.in-addr.arpa. 0 PTR db1.node.dc1.consul."]),
        ("11.10.0.10.IN-ADDR.ARPA", "PTR",
         ["an 11.10.0.10.IN-ADDR.ARPA. 0 PTR galera1.node.dc1.consul."]),
        ("consul", "NS",
         [*(f"an consul. 0 NS dev{n}.node.dc1.consul." for n in (1, 2, 3)),
          *(f"ar dev{n}.node.dc1.consul. 0 A {OWN}" for n in (1, 2, 3))]),
        ("consul", "SOA",
         [SOA.replace("ns ", "an ", 1),
          *(f"ns consul. 0 NS dev{n}.node.dc1.consul." for n in (1, 2, 3)),
          *(f"ar dev{n}.node.dc1.consul. 0 A {OWN}" for n in (1, 2, 3))]),
    ],
)
async def test_records(
    furnished: DevAgent, dns_tools: Any, name: str, qtype: str, reply: list[str]
) -> None:
    assert await dns_tools.ask_tcp(furnished, name, qtype) == ["NOERROR aa", *reply]


@pytest.mark.parametrize(
    "name",
    ["nosuch.node.consul", "x.db1.node.consul", "zz09002e.addr.consul", "0a0900.addr.consul",
     "a.0a09002e.addr.consul", "9.9.9.9.in-addr.arpa", "10.in-addr.arpa", "x.in-addr.arpa"],
)
async def test_unknown_names(furnished: DevAgent, dns_tools: Any, name: str) -> None:
    assert await dns_tools.ask(furnished, name, "PTR") == NXDOMAIN


async def test_reverse_of_ipv6_and_of_a_service_address(
    cluster: DevCluster, dns_tools: Any
) -> None:
    cluster.catalog.register("vip", node="galera1", address="10.7.7.7")
    ask, agent = dns_tools.ask, cluster.agents[1]
    name = ipaddress.ip_address("fd00:20::13").reverse_pointer
    assert await ask(agent, name, "PTR") == [
        "NOERROR aa", f"an {name}. 0 PTR web3.node.dc1.consul."
    ]
    assert await ask(agent, "7.7.7.10.in-addr.arpa", "PTR") == [
        "NOERROR aa", "an 7.7.7.10.in-addr.arpa. 0 PTR vip.service.dc1.consul."
    ]


async def test_health_decides_who_is_named(cluster: DevCluster, dns_tools: Any) -> None:
    catalog, agent = cluster.catalog, cluster.agents[2]

    async def named() -> list[str]:
        lines = await dns_tools.ask(agent, "galeradb.service.consul", "A")
        return [line.rsplit(".", 1)[1] for line in lines[1:] if " A " in line]

    catalog.set_check("galera1", "critical")
    assert await named() == ["12", "13"]
    catalog.set_check("galera1", "warning")
    assert await named() == ["11", "12", "13"]
    cluster.dns.only_passing = True
    assert await named() == ["12", "13"]
    cluster.dns.only_passing = False
    catalog.maintenance("galera2")
    assert await named() == ["11", "13"]
    catalog.set_node_check("galera3", "critical")
    assert await named() == ["11"]
    catalog.deregister("galera1")
    assert await dns_tools.ask(agent, "galeradb.service.consul", "A") == NXDOMAIN
    catalog.maintenance("galera2", False)
    catalog.set_node_check("galera3", "passing")
    assert await named() == ["12", "13"]


async def test_ttls(cluster: DevCluster, dns_tools: Any) -> None:
    cluster.dns.service_ttl, cluster.dns.node_ttl = 30, 60
    agent = cluster.agents[0]
    lines = await dns_tools.ask(agent, "PRIMARY.web.service.consul", "A")
    assert lines[1:] == ["an PRIMARY.web.service.consul. 30 A 10.0.20.11"]
    lines = await dns_tools.ask(agent, "web1.node.consul", "A")
    assert lines[1:] == ["an web1.node.consul. 60 A 10.0.20.11"]


async def test_second_datacenter(cluster: DevCluster, dns_tools: Any) -> None:
    far = cluster.add_datacenter("dc2")
    far.register("galeradb", id="far1", address="10.2.0.1", port=3306)
    agent = cluster.agents[1]
    assert await dns_tools.ask(agent, "galeradb.service.dc2.consul", "SRV") == [
        "NOERROR aa",
        "an galeradb.service.dc2.consul. 0 SRV 1 1 3306 0a020001.addr.dc2.consul.",
        "ar 0a020001.addr.dc2.consul. 0 A 10.2.0.1",
    ]
    name = "galeradb.service.consul"
    assert await dns_tools.ask(agent, name, "A") == galera(name)


async def test_other_and_alternative_domains(dns_tools: Any) -> None:
    async with DevCluster(dns_tools.examples, 1, domain="Corp.Example.", http=False) as cluster:
        cluster.dns.alt_domains = ("alt",)
        (agent,) = cluster.agents
        name = "galeradb.service.corp.example"
        assert await dns_tools.ask(agent, name, "SRV") == galera_srv(name, "corp.example")
        name = "galeradb.service.alt"
        assert await dns_tools.ask(agent, name, "SRV") == galera_srv(name, "alt")
        assert await dns_tools.ask(agent, "galeradb.service.consul", "A") == ["REFUSED"]


async def test_answers_are_shuffled_the_same_way_in_every_run(dns_tools: Any) -> None:
    async def orders() -> list[list[str]]:
        async with DevCluster(dns_tools.examples, 1, http=False) as cluster:
            query = dns_tools.question("galeradb.service.consul", "A")
            replies = [await dns_tools.over_udp(cluster.agents[0], query) for _ in range(20)]
            return [[row.data for row in reply.answers] for reply in replies]

    first = await orders()
    assert len({tuple(order) for order in first}) > 3
    assert await orders() == first


@pytest.fixture
def crowded(cluster: DevCluster) -> DevCluster:
    for n in range(60):
        cluster.catalog.register("hub", id=f"hub{n}", address=f"10.31.0.{n + 1}", port=1000 + n)
    return cluster


@pytest.mark.parametrize(
    ("qtype", "edns", "answers", "octets"),
    [
        # Counts and sizes as real Consul 1.19.2 gave for the same 60 instances, the sizes with the
        # 11 octets of OPT that it drops from what it cuts.
        ("A", None, 3, 84),
        ("A", 512, 3, 95),
        ("A", 1232, 60, 1007),
        ("SRV", None, 3, 216),
        ("SRV", 512, 3, 227),
        ("SRV", 1232, 19, 1187),
        ("SRV", 4096, 60, 3647),
    ],
)
async def test_udp_is_cut_without_a_sign(
    crowded: DevCluster, dns_tools: Any, qtype: str, edns: int | None, answers: int, octets: int
) -> None:
    query = dns_tools.question("hub.service.consul", qtype, edns=edns)
    reply = await dns_tools.over_udp(crowded.agents[0], query)
    assert (len(reply.answers), reply.flags, reply.opt) == (answers, ("aa",), edns)
    targets = {row.data.split()[-1] for row in reply.answers if qtype == "SRV"}
    assert {row.name for row in reply.additional} == targets
    async with dns_tools.client(crowded.agents[0]) as client:
        client.send(query)
        assert len(await client.receive()) == octets


async def test_tcp_is_whole_and_enable_truncate_sets_tc(
    crowded: DevCluster, dns_tools: Any
) -> None:
    query = dns_tools.question("hub.service.consul", "SRV")
    assert len((await dns_tools.over_tcp(crowded.agents[0], query)).answers) == 60
    crowded.dns.enable_truncate = True
    cut = await dns_tools.over_udp(crowded.agents[0], query)
    assert (len(cut.answers), cut.flags) == (3, ("aa", "tc"))
    whole = await dns_tools.over_tcp(crowded.agents[0], query)
    assert (len(whole.answers), whole.flags) == (60, ("aa",))


async def test_the_newer_generation_drops_opt_from_what_it_cuts(
    crowded: DevCluster, dns_tools: Any
) -> None:
    crowded.dns.opt_when_cut = False
    query = dns_tools.question("hub.service.consul", "SRV", edns=1232)
    cut = await dns_tools.over_udp(crowded.agents[0], query)
    assert (len(cut.answers), cut.opt) == (19, None)
    query = dns_tools.question("hub.service.consul", "SRV", edns=4096)
    whole = await dns_tools.over_udp(crowded.agents[0], query)
    assert (len(whole.answers), whole.opt) == (60, 4096)


async def test_a_service_too_large_even_for_tcp_is_cut_to_64_kb(
    cluster: DevCluster, dns_tools: Any
) -> None:
    for n in range(1500):
        address = f"10.40.{n // 250}.{n % 250 + 1}"
        cluster.catalog.register("huge", id=f"h{n}", node="web1", address=address, port=n)
    reply = await dns_tools.over_tcp(
        cluster.agents[0], dns_tools.question("huge.service.consul", "SRV")
    )
    assert 900 < len(reply.answers) < 1500
    targets = {row.data.split()[-1] for row in reply.answers}
    assert {row.name for row in reply.answers} == {"huge.service.consul."}
    assert {row.name for row in reply.additional} == targets


async def test_edns_and_client_subnet_are_given_back(agent: DevAgent, dns_tools: Any) -> None:
    subnet = bytes([0, 1, 16, 0, 10, 1])
    for name, scope in (("galeradb.service.consul", 0), ("galeradb.query.consul", 16)):
        query = dns_tools.question(name, "A", edns=4000, ecs=subnet)
        reply = await dns_tools.over_udp(agent, query)
        assert (reply.opt, reply.ecs) == (4000, subnet[:3] + bytes([scope]) + subnet[4:])
    refused = await dns_tools.over_udp(agent, dns_tools.question("a.example", "A", edns=1232))
    assert (refused.rcode, refused.opt) == ("REFUSED", None)


@pytest.mark.parametrize(
    ("packet", "answer"),
    [
        ("1234 0100 0000 0000 0000 0000", "1234 8101 0000 0000 0000 0000"),  # no question
        ("1234 0100 0002 0000 0000 0000", "1234 8101 0000 0000 0000 0000"),  # two
        ("1234 0100 0001 0000 0000 0003 00 0001 0001", "1234 8101 0000 0000 0000 0000"),
        ("1234 0100 0001 0000 0000 0000 05 6161", "1234 8101 0000 0000 0000 0000"),
        ("1234 0100 0001 0000 0000 0000 c00c 0001 0001", "1234 8101 0000 0000 0000 0000"),
        ("1234 0100 0001 0000 0000 0000 80 0001 0001", "1234 8101 0000 0000 0000 0000"),
        ("1234 0100 0001 0000 0000 0001 00 0001 0001 00 0029 0400 00000000 0009",
         "1234 8101 0000 0000 0000 0000"),
        ("1234 2900 0001 0000 0000 0000 00 0006 0001", "1234 a904 0000 0000 0000 0000"),  # update
    ],
)
async def test_bad_queries(agent: DevAgent, dns_tools: Any, packet: str, answer: str) -> None:
    async with dns_tools.client(agent) as client:
        client.send(bytes.fromhex(packet))
        assert await client.receive() == bytes.fromhex(answer)
    assert list(agent.queries) == []


async def test_replies_and_fragments_are_ignored(agent: DevAgent, dns_tools: Any) -> None:
    query = dns_tools.question("galeradb.service.consul", "A", id=1)
    a_reply = bytearray(dns_tools.question("galeradb.service.consul", "A", id=2))
    a_reply[2] |= 0x80
    async with dns_tools.client(agent) as client:
        for packet in (b"", b"\x00" * 11, bytes(a_reply), query):
            client.send(packet)
        assert (await client.receive())[:2] == b"\x00\x01"
        assert client.waiting == 0
