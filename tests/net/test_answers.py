"""Every form of question over UDP and TCP, on IPv4 and IPv6: what the client gets back."""

from __future__ import annotations

import dns.edns
import pytest

from consulfwd.config import Endpoint
from tests.loopback import OWN
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, ask, world

SOA = "consul. 0 SOA ns.consul. hostmaster.consul. # 3600 600 86400 0"
OWN_SOA = "consul. 0 SOA consul. nobody.invalid. # 3600 1200 604800 60"
SRV = [
    *(f"SRV 1 1 3306 0a000a0{digit}.addr.dc1.consul." for digit in "bcd"),
    *(f"0a000a0{digit}.addr.dc1.consul. 0 A {ip}" for digit, ip in zip("bcd", GALERA, strict=True)),
]


def srv(name: str) -> list[str]:
    return [f"an {name}. 0 {line}" for line in SRV[:3]] + [f"ar {line}" for line in SRV[3:]]


def a(name: str, *addresses: str) -> list[str]:
    return [f"an {name}. 0 A {address}" for address in addresses]


OK = "NOERROR aa rd ra"
NO = "NXDOMAIN aa rd ra"
FORMS: dict[tuple[str, str], list[str]] = {
    ("galeradb.service.consul", "A"): [OK, *a("galeradb.service.consul", *GALERA)],
    ("galeradb.service.dc1.consul", "A"): [OK, *a("galeradb.service.dc1.consul", *GALERA)],
    ("icinga-galera.galeradb.service.consul", "A"): [
        OK, *a("icinga-galera.galeradb.service.consul", *GALERA),
    ],
    ("galeradb.service.consul", "SRV"): [OK, *srv("galeradb.service.consul")],
    ("_galeradb._tcp.service.consul", "SRV"): [OK, *srv("_galeradb._tcp.service.consul")],
    ("_galeradb._icinga-galera.service.consul", "SRV"): [
        OK, *srv("_galeradb._icinga-galera.service.consul"),
    ],
    ("_galeradb._none.service.consul", "SRV"): [NO, f"ns {SOA}"],
    ("galeradb.query.consul", "A"): [OK, *a("galeradb.query.consul", *GALERA)],
    ("web.service.consul", "A"): [OK, *a("web.service.consul", "10.0.20.11", "10.0.20.12")],
    ("web.service.consul", "AAAA"): [OK, "an web.service.consul. 0 AAAA fd00:20::13"],
    ("web.service.consul", "ANY"): [
        OK, *a("web.service.consul", "10.0.20.11", "10.0.20.12"),
        "an web.service.consul. 0 AAAA fd00:20::13",
    ],
    ("galeradb.service.consul", "AAAA"): [OK, f"ns {SOA}"],
    ("galeradb.service.consul", "TYPE65"): [OK, f"ns {SOA}"],
    ("galeradb.service.consul", "TXT"): [OK, *a("galeradb.service.consul", *GALERA)],
    ("dev1.node.consul", "A"): [OK, *a("dev1.node.consul", OWN)],
    ("dev1.node.consul", "AAAA"): [OK],
    ("0a000a0b.addr.dc1.consul", "A"): [OK, *a("0a000a0b.addr.dc1.consul", "10.0.10.11")],
    ("nope.service.consul", "A"): [NO, f"ns {SOA}"],
    ("consul", "DS"): [OK, f"ns {OWN_SOA}"],
    ("consul", "SOA"): [
        OK, f"an {SOA}", *(f"ns consul. 0 NS dev{n}.node.dc1.consul." for n in (1, 2, 3)),
        *(f"ar dev{n}.node.dc1.consul. 0 A {OWN}" for n in (1, 2, 3)),
    ],
    ("consul", "NS"): [
        OK, *(f"an consul. 0 NS dev{n}.node.dc1.consul." for n in (1, 2, 3)),
        *(f"ar dev{n}.node.dc1.consul. 0 A {OWN}" for n in (1, 2, 3)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
async def test_every_form(family: int, tcp: bool) -> None:
    async with world(listen=["127.0.0.1:0", "[::1]:0"]) as here:
        at = here.server.endpoints[family]
        replies = {form: await ask(at, *form, tcp=tcp) for form in FORMS}
    assert {form: reply.lines for form, reply in replies.items()} == FORMS
    assert {reply.edns for reply in replies.values()} == {1232}


@pytest.mark.parametrize(
    ("listen", "hosts"),
    [("0.0.0.0:0", ["127.0.0.1", "127.0.0.2", "127.1.2.3"]), ("[::]:0", ["::1"])],
)
async def test_a_wildcard_listener_answers_from_the_address_asked(
    listen: str, hosts: list[str]
) -> None:
    async with world(listen=[listen]) as here:
        for host in hosts:
            at = Endpoint(host=host, port=here.at.port)
            for tcp in (False, True, False):
                reply = await ask(at, "galeradb.service.consul", tcp=tcp)
                assert (host, tcp, reply.data) == (host, tcp, GALERA)


SPELLINGS = ("GaleraDB.Service.CONSUL.", "galeradb.service.consul.", "GALERADB.service.Consul.")


async def test_the_client_gets_its_own_spelling_back() -> None:
    async with world() as here:
        here.cluster.dns.service_ttl = 60
        for name in SPELLINGS:
            for tcp in (False, True):
                reply = await here.ask(name, tcp=tcp)
                owners = {record.split()[0] for record in reply.answers}
                assert (reply.name, owners, reply.data) == (name, {name}, GALERA)
        assert here.asked() == ["1 udp"]


@pytest.mark.parametrize("qtype", ["A", "SRV"])
@pytest.mark.parametrize(
    ("listen", "edns", "whole"),
    [
        ("127.0.0.1:0", None, False),
        ("127.0.0.1:0", 512, False),
        ("127.0.0.1:0", 4096, True),
        # Off the host no datagram is larger than 1232 octets, whatever the client would take.
        ("0.0.0.0:0", 4096, False),
    ],
)
async def test_sixty_instances_come_whole_or_marked_as_cut(
    listen: str, edns: int | None, whole: bool, qtype: str
) -> None:
    async with world(listen=[listen]) as here:
        for number in range(60):
            here.cluster.catalog.register(
                "big", id=f"b{number}", node=f"n{number}", node_address=f"10.1.0.{number}", port=80
            )
        at = Endpoint(host="127.0.0.1", port=here.at.port)
        over_tcp = await ask(at, "big.service.consul", qtype, tcp=True)
        over_udp = await ask(at, "big.service.consul", qtype, edns=edns)
        assert (len(over_tcp.answers), "tc" in over_tcp.flags) == (60, False)
        assert (len(over_udp.answers) == 60) is whole or qtype == "A"
        assert ("tc" in over_udp.flags) is (len(over_udp.answers) < 60)
        assert 0 < over_udp.size <= (edns if whole and edns else min(edns or 512, 1232))


async def test_edns() -> None:
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    unknown = dns.edns.GenericOption(dns.edns.OptionType.make(65001), b"?")
    async with world() as here:
        plain = await here.ask("galeradb.service.consul", edns=None)
        assert (plain.edns, plain.data) == (None, GALERA)
        options = await here.ask("galeradb.service.consul", options=[cookie, unknown])
        assert (options.edns, options.data) == (1232, GALERA)
        for tcp in (False, True):
            new = await here.ask("galeradb.service.consul", version=1, tcp=tcp)
            assert (new.rcode, new.answers, new.edns) == ("BADVERS", [], 1232)


async def test_a_client_subnet_reaches_consul_for_prepared_queries_only() -> None:
    ecs = dns.edns.ECSOption("198.51.100.0", 24)
    names = ["near.query.consul", "near.service.consul", "www.example.com"]
    records = {(name, "A"): ["A 192.0.2.1"] for name in names}
    async with Recursor(records) as agent, Recursor(records) as recursor:
        consul = {"agents": [{"address": OWN, "dns_port": agent.port}]}
        async with world(recursor, consul=consul, agents=1) as here:
            for name in names:
                assert (await here.ask(name, options=[ecs])).data == ["192.0.2.1"]
            assert (await here.ask(names[0])).data == ["192.0.2.1"]
    seen = [(one.name, one.options) for one in (*agent.asked, *recursor.asked)]
    assert [one for one in seen if one[0] != "consul.service.consul."] == [
        ("near.query.consul.", (8,)),
        ("near.service.consul.", ()),
        ("near.query.consul.", ()),
        ("www.example.com.", ()),
    ]


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_strangers_are_refused(tcp: bool) -> None:
    async with world(access={"allow": ["192.0.2.0/24"]}) as here:
        refused = await here.ask("galeradb.service.consul", tcp=tcp)
        assert (refused.rcode, refused.answers) == ("REFUSED", [])
        assert refused.ede == [(18, "this client is not in access.allow")]
        plain = await here.ask("galeradb.service.consul", tcp=tcp, edns=None)
        assert (plain.rcode, plain.edns) == ("REFUSED", None)
        assert here.asked() == []


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0"])
async def test_strangers_are_refused_what_is_ready_for_others(listen: str) -> None:
    async with world(listen=[listen], access={"allow": ["127.0.0.2/32"]}) as here:
        here.cluster.dns.service_ttl = 60
        at = Endpoint(host="127.0.0.1", port=here.at.port)
        for name in ("galeradb.service.consul", "localhost"):
            hot = here.counters.hot
            for _ in range(4):
                assert (await ask(at, name, ident=1, source="127.0.0.2")).rcode == "NOERROR"
            assert (here.counters.hot > hot) is (name != "localhost")
            for tcp in (False, True, False):
                refused = await ask(at, name, ident=1, tcp=tcp, source="127.0.0.3")
                assert (refused.rcode, refused.answers) == ("REFUSED", [])
            assert (await ask(at, name, ident=1, source="127.0.0.2")).rcode == "NOERROR"
        assert here.asked() == ["1 udp"]


async def test_strangers_are_not_told_over_tcp_what_is_wrong_with_a_query() -> None:
    async with world(access={"allow": ["192.0.2.0/24"]}) as here, here.tcp() as client:
        broken = question("galeradb.service.consul", ident=1)[:12]
        client.send(broken, question("galeradb.service.consul", ident=2))
        reply = parse(await client.receive())
        assert (reply.id, reply.rcode) == (2, "REFUSED")


@pytest.mark.parametrize("allowed", ["127.0.0.0/8", "::1/128"])
async def test_who_may_ask_is_told_apart_by_family(allowed: str) -> None:
    access = {"allow": [allowed]}
    async with world(listen=["127.0.0.1:0", "[::1]:0"], access=access) as here:
        here.cluster.dns.service_ttl = 60
        told = []
        # A loop: Python 3.10 has no asynchronous comprehensions within others.
        for at in here.server.endpoints * 2:
            asked = [await ask(at, "galeradb.service.consul", ident=1) for _ in range(6)]
            told.append([reply.rcode for reply in asked])
        wanted = ["REFUSED", "NOERROR"] if ":" in allowed else ["NOERROR", "REFUSED"]
        assert told == [[rcode] * 6 for rcode in wanted * 2]


async def test_zone_transfers_and_other_classes_are_refused() -> None:
    chaos = question("version.bind", "TXT")[:-15] + b"\0\x10\0\3" + question("x", "A")[-11:]
    async with world() as here:
        for qtype in ("AXFR", "IXFR"):
            assert (await here.ask("consul", qtype)).rcode == "REFUSED"
        async with here.udp() as client:
            client.send(chaos)
            assert (await client.receive())[3] & 15 == 5
        assert here.asked() == []
