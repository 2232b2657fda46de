"""Who is asked about which name, as seen by those who are asked; nothing of Consul gets out."""

from __future__ import annotations

import asyncio
import random

import pytest

from consulfwd.core.states import State
from consulfwd.dev import DevCluster
from tests.coreless import our_time
from tests.loopback import OWN
from tests.net.messages import folded, parse, question
from tests.net.recursor import Recursor
from tests.net.world import EXAMPLES, GALERA, World, until, world

TYPES = ["A", "AAAA", "SRV", "ANY", "TXT", "SOA", "NS", "DS", "CNAME", "PTR", "TYPE65", "AXFR"]


def any_case(rng: random.Random, name: str) -> str:
    return "".join(rng.choice((char.lower(), char.upper())) for char in name)


def consul_names(rng: random.Random, count: int) -> list[str]:
    """Return names at and under the Consul domains: real ones, nonsense, odd octets, any case."""
    labels = ["galeradb", "web", "service", "node", "query", "dc1", "dc2", "addr", "com", "arpa"]
    labels += ["_tcp", "x" * 63, "a\\.b", "\\000", "\\255", "localhost", "onion", "in-addr", "*"]
    domains = ["consul", "dc2.consul", "service.consul", "intern.example.org", "two.test"]
    names = []
    for _ in range(count):
        chosen = [rng.choice(labels) for _ in range(rng.randrange(3))]
        names.append(any_case(rng, ".".join([*chosen, rng.choice(domains)])))
    return names


@pytest.mark.parametrize("agents", ["answer", "deny", "fail", "are dead"])
async def test_no_name_of_consul_ever_reaches_a_recursor(agents: str) -> None:
    rng = random.Random(22)
    # A domain may be written in any case in the settings, too.
    consul = {"alt_domains": ["intern.example.org", "Two.Test"], "reverse": ["10.0.0.0/8"]}
    async with Recursor() as recursor, Recursor() as forwarder:
        async with (
            world(
                recursor,
                consul=consul,
                query={"deadline": 0.2},
                forward={"example.org": [f"{OWN}:{forwarder.port}"]},
            ) as here,
            here.udp() as client,
        ):
            here.cluster.catalog.register("ext", node="ext", node_address="alias.consul")
            for agent in here.agents:
                agent.faults.any.nxdomain.on() if agents == "deny" else None
                agent.faults.any.servfail.on() if agents == "fail" else None
                await agent.stop() if agents == "are dead" else None
            names = [*consul_names(rng, 250), "ext.service.consul", "consul", "CONSUL"]
            for ident, name in enumerate(names):
                client.send(question(name, rng.choice(TYPES), ident=ident))
            replies = [parse(await client.receive()) for _ in names]
            assert sorted(reply.id for reply in replies) == list(range(len(names)))
            assert (recursor.names, forwarder.names) == ([], [])
            # What only looks like it is nobody's secret.
            for name in ("consul.test", "notconsul", "example.org", "xintern.example.org"):
                await here.ask(name)
        assert recursor.names == ["consul.test.", "notconsul."]
        assert forwarder.names == ["example.org.", "xintern.example.org."]


WWW = {
    ("www.test", "A"): ["A 192.0.2.1"],
    ("www.test", "AAAA"): ["AAAA 2001:db8::1"],
    ("alias.test", "CNAME"): ["CNAME www.test."],
    ("4.3.2.1.in-addr.arpa", "PTR"): ["PTR outside.test."],
    ("9.9.9.10.in-addr.arpa", "PTR"): ["PTR ten.test."],
}


def external(here: World, name: str, target: str) -> None:
    here.cluster.catalog.register(name, node=name, node_address=target)


async def test_an_alias_out_of_consul_is_followed_for_the_type_asked() -> None:
    async with Recursor(WWW) as recursor, world(recursor) as here:
        external(here, "ext", "www.test")
        external(here, "far", "alias.test")
        external(here, "gone", "gone.test")
        told = {
            (name, qtype): (await here.ask(f"{name}.service.consul", qtype)).lines
            for name in ("ext", "far", "gone")
            for qtype in ("A", "AAAA")
        }
        cname = {name: f"an {name}.service.consul. 0 CNAME" for name in ("ext", "far", "gone")}
        chain = "an alias.test. 300 CNAME www.test."
        four, six = "an www.test. 300 A 192.0.2.1", "an www.test. 300 AAAA 2001:db8::1"
        soa = "ns . 60 SOA ns.test. hostmaster.test. # 3600 600 86400 60"
        assert told == {
            ("ext", "A"): ["NOERROR rd ra", f"{cname['ext']} www.test.", four],
            ("ext", "AAAA"): ["NOERROR rd ra", f"{cname['ext']} www.test.", six],
            ("far", "A"): ["NOERROR rd ra", chain, f"{cname['far']} alias.test.", four],
            ("far", "AAAA"): ["NOERROR rd ra", chain, f"{cname['far']} alias.test.", six],
            ("gone", "A"): ["NXDOMAIN rd ra", f"{cname['gone']} gone.test.", soa],
            ("gone", "AAAA"): ["NXDOMAIN rd ra", f"{cname['gone']} gone.test.", soa],
        }
        # The alias itself is nobody else's business.
        assert {folded(name) for name in recursor.names} == {
            "www.test.", "alias.test.", "gone.test.",
        }  # fmt: skip


async def test_the_target_of_an_alias_is_kept_by_itself() -> None:
    async with Recursor(WWW) as recursor, world(recursor) as here:
        external(here, "ext", "www.test")
        external(here, "too", "WWW.Test")
        for name in ("ext.service.consul", "too.service.consul", "www.test", "ext.service.consul"):
            assert "192.0.2.1" in (await here.ask(name)).data
        assert recursor.names == ["www.test."]


async def test_equal_questions_for_an_alias_are_one_question() -> None:
    """Also while its target is under way: however many ask, each upstream is asked a handful."""
    async with Recursor(WWW) as recursor, world(recursor) as here, here.udp() as client:
        external(here, "ext", "www.test")
        recursor.silent = True
        for ident in range(100):
            client.send(question("ext.service.consul", ident=ident))
        await until(lambda: recursor.names)
        for ident in range(100, 200):
            client.send(question("ext.service.consul", ident=ident))
        client.send(question("www.test", ident=200))
        await asyncio.sleep(0.05)
        recursor.silent = False
        replies = [parse(await client.receive()) for _ in range(201)]
        assert sorted(one.id for one in replies) == list(range(201))
        assert {one.data[0] for one in replies} == {"192.0.2.1"}
        assert len(here.asked()) <= 3
        assert len(recursor.asked) <= 4
        assert here.engine.flights == {}


async def test_who_follows_an_alias_waits_no_longer_than_he_may() -> None:
    """Somebody else asked for the target later, and has more time."""
    deadline = 0.5
    async with (
        Recursor(WWW) as recursor,
        world(recursor, query={"deadline": deadline}) as here,
        here.udp() as client,
    ):
        external(here, "ext", "www.test")
        recursor.silent = True
        here.agents[0].faults.any.delay.on(0.3, count=1)
        here.agents[1].faults.any.delay.on(0.3, count=1)
        began = our_time()
        client.send(question("ext.service.consul", ident=1))
        await asyncio.sleep(0.25)
        client.send(question("www.test", ident=2))
        reply = parse(await client.receive())
        assert (reply.id, reply.rcode) == (1, "SERVFAIL")
        assert our_time() - began < deadline + 0.15
        assert parse(await client.receive()).id == 2
        assert here.engine.flights == {}


@pytest.mark.parametrize("tcp", [False, True])
async def test_an_alias_whose_target_is_stale(tcp: bool) -> None:
    async with Recursor(WWW) as recursor, world(recursor, query={"deadline": 0.4}) as here:
        here.cluster.dns.service_ttl = 60
        external(here, "ext", "www.test")
        assert (await here.ask("ext.service.consul", tcp=tcp)).ede == []
        here.skip(400.0)
        recursor.silent = True
        for _ in range(2):
            reply = await here.ask("ext.service.consul", tcp=tcp)
            assert (reply.rcode, [code for code, _ in reply.ede]) == ("NOERROR", [3])
            assert reply.data == ["192.0.2.1", "www.test."]
            assert max(reply.ttls) <= 30
        recursor.silent = False
        here.skip(60.0)
        reply = await here.ask("ext.service.consul", tcp=tcp)
        assert reply.ede == []


async def test_an_alias_of_an_agent_that_is_not_well_is_as_long_as_it_was() -> None:
    """What it leads to was never the agent's to lose."""
    async with Recursor(WWW) as recursor, world(recursor, agents=1) as here:
        external(here, "ext", "www.test")
        whole = (await here.ask("ext.service.consul")).data
        upstream = here.engine.upstreams()[0]
        for _ in range(3):
            here.engine.table.health.bad(upstream, here.engine.clock.now(), "it was slow")
        assert upstream.state is State.SUSPECT
        reply = await here.ask("ext.service.consul")
        assert (reply.data, reply.ede) == (whole, [])


async def test_an_alias_whose_target_has_no_address_of_that_family_is_stale_too() -> None:
    records = {("four.test", "A"): ["A 192.0.2.4"]}
    async with Recursor(records, ttl=60) as recursor, world(recursor) as here:
        external(here, "ext", "four.test")
        for qtype in ("A", "AAAA"):
            assert (await here.ask("ext.service.consul", qtype)).ede == []
        here.skip(400.0)
        await recursor.stop()
        for qtype, data in (("A", ["192.0.2.4", "four.test."]), ("AAAA", ["four.test."])):
            reply = await here.ask("ext.service.consul", qtype)
            assert (reply.rcode, reply.data) == ("NOERROR", data)
            assert [code for code, _ in reply.ede] == [3]


async def test_an_alias_whose_target_cannot_be_resolved() -> None:
    async with Recursor(WWW) as recursor, world(recursor, query={"deadline": 0.3}) as here:
        external(here, "ext", "www.test")
        await recursor.stop()
        reply = await here.ask("ext.service.consul")
        why = f"the alias leads to www.test.: {OWN}:{recursor.port}: connection refused"
        assert (reply.rcode, reply.ede) == ("SERVFAIL", [(23, why)])
        await recursor.start()
        here.skip(1.1)
        assert "192.0.2.1" in (await here.ask("ext.service.consul")).data


async def test_aliases_that_lead_nowhere_end() -> None:
    async with Recursor(WWW) as recursor, world(recursor, query={"deadline": 0.5}) as here:
        external(here, "self", "self.service.consul")
        external(here, "a", "b.service.consul")
        external(here, "b", "a.service.consul")
        for number in range(12):
            external(here, f"n{number}", f"n{number + 1}.service.consul")
        external(here, "here", "galeradb.service.consul")
        for name in ("self", "a", "b", "n0"):
            reply = await here.ask(f"{name}.service.consul")
            assert reply.rcode in ("NOERROR", "SERVFAIL")
            assert not [line for line in reply.answers if " CNAME " not in line]
        assert set(GALERA) < set((await here.ask("here.service.consul")).data)
        assert recursor.names == []


@pytest.mark.parametrize("agents", ["deny", "fail", "are dead"])
async def test_reverse_lookups_fall_through_for_consuls_networks_only(agents: str) -> None:
    async with Recursor(WWW) as recursor:
        consul = {"reverse": ["10.0.0.0/8", "fd00::/8"]}
        async with world(recursor, consul=consul, query={"deadline": 0.4}) as here:
            assert (await here.ask("11.10.0.10.in-addr.arpa", "PTR")).data == [
                "galera1.node.dc1.consul."
            ]
            assert recursor.names == []
            for agent in here.agents:
                agent.faults.any.servfail.on() if agents == "fail" else None
                await agent.stop() if agents == "are dead" else None
            assert (await here.ask("9.9.9.10.in-addr.arpa", "PTR")).data == ["ten.test."]
            # That the recursors deny a name says nothing about Consul, where nobody could be asked.
            unknown = await here.ask("8.9.9.10.in-addr.arpa", "PTR")
            assert unknown.rcode == ("SERVFAIL" if agents == "are dead" else "NXDOMAIN")
            before = here.asked()
            assert (await here.ask("4.3.2.1.in-addr.arpa", "PTR")).data == ["outside.test."]
            assert here.asked() == before
        assert recursor.names == [f"{n}.in-addr.arpa." for n in ("9.9.9.10", "8.9.9.10", "4.3.2.1")]


async def test_conditional_zones() -> None:
    async with Recursor(WWW) as recursor, Recursor() as corp, Recursor() as lab:
        forward = {
            "corp.example": [f"{OWN}:{corp.port}"],
            "lab.corp.example": [f"{OWN}:{lab.port}"],
        }
        async with world(recursor, forward=forward) as here:
            names = ["corp.example.", "a.CORP.example.", "x.lab.corp.example.", "xcorp.example."]
            for name in names:
                assert (await here.ask(name)).rcode == "NXDOMAIN"
            # A zone whose own servers fail is not looked up elsewhere.
            await corp.stop()
            assert (await here.ask("b.corp.example")).rcode == "SERVFAIL"
    assert corp.names == ["corp.example.", "a.corp.example."]
    assert (lab.names, recursor.names) == (["x.lab.corp.example."], ["xcorp.example."])


async def test_another_datacenters_own_agents_are_asked_first() -> None:
    async with DevCluster(EXAMPLES, 1, datacenter="dc2", http=False) as far:
        (agent,) = far.agents
        own = {"agents": [{"address": agent.address, "dns_port": agent.dns_port}]}
        async with world(consul={"datacenters": {"dc2": own}}) as here:
            second = here.cluster.add_datacenter("dc2")
            second.register("galeradb", node="far", node_address="10.2.0.1")
            assert (await here.ask("galeradb.service.dc2.consul")).data == GALERA
            assert (await here.ask("galeradb.service.dc2.dc.consul")).data == GALERA
            assert (await here.ask("galeradb.service.consul")).data == GALERA
            assert here.asked() == ["1 udp"]
            await agent.stop()
            assert (await here.ask("web.service.dc2.consul")).rcode == "NXDOMAIN"
            assert (await here.ask("galeradb.service.DC2.consul")).data == ["10.2.0.1"]
            assert here.asked() == ["1 udp"] * 3


LOCAL = "127.0.0.1"
NO: tuple[str, list[str]] = ("NXDOMAIN", [])
# What is answered here (RFC 6761, RFC 6303, RFC 7686, RFC 8482), and what is not.
SPECIAL: dict[tuple[str, str], tuple[str, list[str]]] = {
    ("localhost", "A"): ("NOERROR", ["127.0.0.1"]),
    ("a.LOCALHOST", "AAAA"): ("NOERROR", ["::1"]),
    ("localhost", "TXT"): ("NOERROR", []),
    ("1.0.0.127.in-addr.arpa", "PTR"): ("NOERROR", ["localhost."]),
    ("1" + ".0" * 31 + ".ip6.arpa", "PTR"): ("NOERROR", ["localhost."]),
    ("x.invalid", "A"): NO,
    ("abc.onion", "A"): NO,
    ("www.test", "ANY"): ("NOERROR", ['"RFC8482" ""']),
    ("consul", "DS"): ("NOERROR", []),
    ("Dc2.consul", "DS"): ("NOERROR", []),
}


async def test_special_names_are_answered_here() -> None:
    dc2 = {"dc2": {"agents": ["127.0.0.9"]}}
    async with Recursor(WWW) as recursor, world(recursor, consul={"datacenters": dc2}) as here:
        told = {}
        for form in SPECIAL:
            reply = await here.ask(*form)
            told[form] = (reply.rcode, reply.data)
        assert (told, here.asked(), recursor.asked) == (SPECIAL, [], [])
        assert (await here.ask("www.test", "DS")).rcode == "NOERROR"
        assert (await here.ask("1.1.168.192.in-addr.arpa", "PTR")).rcode == "NXDOMAIN"
        # A recursor of the site's own may know the private networks.
        assert recursor.names == ["www.test.", "1.1.168.192.in-addr.arpa."]
