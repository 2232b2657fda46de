"""Aliases lead where the routes say: into Consul, into conditional zones, and out of them.

Out of Consul is in test_routes. Nobody is asked for a name that is somebody else's.
"""

from __future__ import annotations

import dns.rcode
import pytest

from consulfwd.net.lookup import Resolver
from tests.loopback import OWN
from tests.net.recursor import Recursor
from tests.net.world import GALERA, World, settings, world

DB = "galeradb.service.consul."
CORP = {
    ("into.test", "CNAME"): [f"CNAME {DB}"],
    ("two.test", "CNAME"): ["CNAME into.test."],
    ("lab.test", "CNAME"): ["CNAME db.lab.example."],
    ("own.test", "CNAME"): ["CNAME www.test."],
    ("here.test", "CNAME"): ["CNAME localhost."],
    ("loop.test", "CNAME"): ["CNAME back.lab.example."],
    ("www.test", "A"): ["A 192.0.2.1"],
    # What is out there under the same name is another.
    ("db.lab.example", "A"): ["A 203.0.113.99"],
}
LAB = {
    ("db.lab.example", "A"): ["A 192.0.2.5"],
    ("db.lab.example", "AAAA"): ["AAAA 2001:db8::5"],
    ("db.lab.example", "TXT"): ['TXT "the lab"'],
    ("out.lab.example", "CNAME"): ["CNAME www.test."],
    ("into.lab.example", "CNAME"): [f"CNAME {DB}"],
    ("back.lab.example", "CNAME"): ["CNAME loop.test."],
}


def lab_at(server: Recursor) -> dict[str, list[str]]:
    return {"lab.example": [f"{OWN}:{server.port}"]}


def asked_agents(here: World) -> set[str]:
    return {one.name for agent in here.agents for one in agent.queries} - {"consul.service.consul"}


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("said", ["NXDOMAIN", "NOERROR"])
async def test_a_recursor_that_leads_into_consul(said: str, tcp: bool) -> None:
    """It asks the root for what is Consul's, and is told that there is no such name."""
    async with Recursor(CORP) as recursor:
        if said == "NXDOMAIN":
            recursor.rcodes = {f"{name}.test.": dns.rcode.NXDOMAIN for name in ("into", "two")}
        async with world(recursor) as here:
            for name in ("into.test", "two.test"):
                reply = await here.ask(name, tcp=tcp)
                assert reply.rcode == "NOERROR"
                aliases = [DB] if name == "into.test" else [DB, "into.test."]
                assert reply.data == sorted([*GALERA, *aliases])
                many = await here.ask(name, "AAAA", tcp=tcp)
                assert (many.rcode, many.data) == ("NOERROR", sorted(aliases))
                # The SOA is Consul's, not that of whoever denied a name it does not know.
                assert [line.split()[0] for line in many.authority] == ["consul."]
            assert set(recursor.names) == {"into.test.", "two.test."}


async def test_the_kinds_of_data_behind_an_alias() -> None:
    async with (
        Recursor(CORP) as recursor,
        Recursor(LAB) as lab,
        world(recursor, forward=lab_at(lab)) as here,
    ):
        for qtype, data in (
            ("A", "192.0.2.5"), ("AAAA", "2001:db8::5"), ("TXT", '"the lab"'), ("MX", None),
        ):  # fmt: skip
            reply = await here.ask("lab.test", qtype)
            assert reply.data == sorted(filter(None, ["db.lab.example.", data]))
        srv = await here.ask("into.test", "SRV")
        assert len([line for line in srv.answers if " SRV " in line]) == len(GALERA)
        # Who asks for the alias itself gets that, and no more.
        assert (await here.ask("lab.test", "CNAME")).data == ["db.lab.example."]
        assert "db.lab.example." not in recursor.names


async def test_what_else_an_alias_may_lead_to() -> None:
    async with (
        Recursor(CORP) as recursor,
        Recursor(LAB) as lab,
        world(recursor, forward=lab_at(lab)) as here,
    ):
        # The server of a conditional zone knows no more than the alias.
        assert (await here.ask("out.lab.example")).data == ["192.0.2.1", "www.test."]
        assert (await here.ask("into.lab.example")).data == sorted([*GALERA, DB])
        assert (await here.ask("here.test")).data == ["127.0.0.1", "localhost."]
        # What a recursor answers in full is not asked for again.
        before = len(recursor.asked)
        assert (await here.ask("own.test")).data == ["192.0.2.1", "www.test."]
        assert recursor.names[before:] == ["own.test."]
        # In a circle they end, with what there is.
        reply = await here.ask("loop.test")
        assert reply.rcode in ("NOERROR", "SERVFAIL")
        assert here.engine.flights == {}


async def test_the_alias_is_kept_while_what_it_leads_to_is_asked_for_each_time() -> None:
    async with Recursor(CORP, ttl=60) as recursor, world(recursor) as here:
        for seconds in (0, 10, 45):
            here.skip(seconds)
            before = len(here.asked())
            reply = await here.ask("into.test")
            assert reply.data == sorted([*GALERA, DB])
            assert len(here.asked()) > before
            assert reply.answers[0].split()[1] == str({0: 60, 10: 50, 45: 5}[seconds])
        assert recursor.names == ["into.test."]
        # It is there while its own server is not, and for its time only.
        await recursor.stop()
        assert (await here.ask("into.test")).data == sorted([*GALERA, DB])
        await recursor.start()
        here.skip(10)
        await here.ask("into.test")
        assert recursor.names == ["into.test.", "into.test."]


async def test_a_change_of_the_service_is_seen_behind_an_alias() -> None:
    async with Recursor(CORP) as recursor, world(recursor) as here:
        assert len((await here.ask("into.test")).answers) == 1 + len(GALERA)
        here.cluster.catalog.register("galeradb", node="more", node_address="10.0.10.14")
        assert "10.0.10.14" in (await here.ask("into.test")).data


async def test_stale_where_the_target_cannot_be_had() -> None:
    async with (
        Recursor(CORP, ttl=5) as recursor,
        world(recursor, query={"deadline": 0.4}) as here,
    ):
        assert (await here.ask("into.test")).ede == []
        for agent in here.agents:
            await agent.stop()
        here.skip(60)
        reply = await here.ask("into.test")
        assert (reply.rcode, [code for code, _ in reply.ede]) == ("NOERROR", [3])
        assert reply.data == sorted([*GALERA, DB])
        assert max(reply.ttls) <= 30


async def test_a_client_that_wants_signatures_gets_those_of_the_alias() -> None:
    sig = "RRSIG CNAME 8 2 300 20300101000000 20200101000000 1 test. c2ln"
    other = sig.replace("CNAME", "A")
    records = {**CORP, ("into.test", "CNAME"): [f"CNAME {DB}", sig, other]}
    async with Recursor(records) as recursor, world(recursor) as here:
        lines = (await here.ask("into.test")).answers
        assert sorted(line.split()[2] for line in lines) == ["A", "A", "A", "CNAME", "RRSIG"]


async def test_the_command_line_says_where_it_led() -> None:
    async with (
        Recursor(CORP) as recursor,
        Recursor(LAB) as lab,
        world(recursor, forward=lab_at(lab)) as here,
    ):
        places = settings(here.cluster, recursor, forward=lab_at(lab))
        async with Resolver(places) as resolver:
            answer = await resolver.resolve("two.test")
            assert answer.rcode == "NOERROR"
            assert sorted(one.data for one in answer.records if one.type == "A") == GALERA
            (alias,) = answer.aliases
            assert alias[0] == DB
            assert "the Consul domain" in alias[1]
            first = f"{here.agents[0].address}:{here.agents[0].dns_port}"
            told = [(one.upstream, one.about) for one in answer.attempts]
            assert told[0] == (f"{OWN}:{recursor.port}", "two.test.")
            assert told[1] == (first, DB)
            again = await resolver.resolve("lab.test", "TXT")
            assert [name for name, _ in again.aliases] == ["db.lab.example."]
