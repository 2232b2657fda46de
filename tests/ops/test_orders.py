"""What is ordered of a running resolver, at one that runs: flush, cache, explain, the query log."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import dns.rcode
import pytest

from consulfwd.ops.taking import WatchedServer
from consulfwd.ops.watched import OrderError, Tailed
from consulfwd.server import Server
from tests.loopback import OWN
from tests.net.messages import parse, question
from tests.net.recursor import Recursor
from tests.net.test_reuse import Hand
from tests.net.world import GALERA, World, settings, until, world

NAME = "galeradb.service.consul"
ZONE = {
    ("a.test", "A"): ["A 192.0.2.1"],
    ("b.a.test", "A"): ["A 192.0.2.2"],
    ("ba.test", "A"): ["A 192.0.2.3"],
}


async def hot(here: World, name: str) -> None:
    """Ask until the answer comes from the hot table."""
    async with here.udp() as client:
        packet = question(name)
        before = here.counters.hot
        while here.counters.hot == before:
            client.send(packet)
            assert parse(await client.receive()).rcode == "NOERROR"


def cache(here: World, values: dict[str, Any]) -> dict[str, Any]:
    """What is told of the cache, told at once."""
    found = here.watched.order("cache", values)
    return {**found, "entries": found["entries"]()}


async def test_flushed_names_are_asked_for_again() -> None:
    async with Recursor(ZONE) as recursor, world(recursor) as here:
        for name in ("a.test", "b.a.test", "ba.test"):
            await here.ask(name)
        await here.ask("A.test", "AAAA")
        await hot(here, "a.test")
        recursor.records["a.test.", "A"] = ["A 192.0.2.9"]
        assert (await here.ask("a.test")).data == ["192.0.2.1"]
        # Spelled as one likes; only that name, in all its types.
        assert here.watched.order("flush", {"name": "A.TeSt"}) == {"dropped": 2}
        assert (await here.ask("a.test")).data == ["192.0.2.9"]
        recursor.asked.clear()
        await here.ask("b.a.test")
        assert recursor.asked == []
        # Whole labels: one that ends alike is another name.
        assert here.watched.order("flush", {"name": "a.test.", "subtree": True}) == {"dropped": 2}
        await here.ask("b.a.test")
        await here.ask("ba.test")
        assert recursor.names == ["b.a.test."]
        assert here.watched.order("flush", {"name": ".", "subtree": True}) == {"dropped": 2}
        assert here.watched.order("flush", {"name": "."}) == {"dropped": 0}
        assert cache(here, {}) == {"entries": [], "in_all": 0}


async def test_what_failed_is_flushed_too() -> None:
    async with Recursor(ZONE) as recursor, world(recursor) as here:
        recursor.rcodes["a.test."] = dns.rcode.SERVFAIL
        assert (await here.ask("a.test")).rcode == "SERVFAIL"
        recursor.rcodes.clear()
        told = here.watched.order("explain", {"name": "a.test"})
        assert told["failed"]["seconds"] > 0
        assert told["now"].startswith("SERVFAIL: it failed moments ago: ")
        assert (await here.ask("a.test")).rcode == "SERVFAIL"
        here.watched.order("flush", {"name": "test", "subtree": True})
        assert here.watched.order("explain", {"name": "a.test"})["failed"] is None
        assert (await here.ask("a.test")).data == ["192.0.2.1"]


async def test_an_alias_that_is_known_is_flushed_too() -> None:
    into = ["CNAME galeradb.service.consul."]
    async with Recursor({("into.test", "A"): into}, ttl=60) as recursor, world(recursor) as here:
        for _ in range(2):
            assert set(GALERA) < set((await here.ask("into.test")).data)
        assert recursor.names == ["into.test."]
        told = here.watched.order("explain", {"name": "into.test"})
        assert told["alias"] == "CNAME galeradb.service.consul."
        here.watched.order("flush", {"name": "into.test"})
        assert here.watched.order("explain", {"name": "into.test"})["alias"] is None
        await here.ask("into.test")
        assert recursor.names == ["into.test."] * 2


async def test_what_is_on_its_way_when_it_is_flushed_is_given_and_not_kept() -> None:
    async with Recursor(ZONE) as recursor, world(recursor) as here:
        recursor.slow_labels["a"] = 0.2
        asked = asyncio.ensure_future(here.ask("a.test"))
        await until(lambda: recursor.asked)
        here.watched.order("flush", {"name": "a.test"})
        assert (await asked).data == ["192.0.2.1"]
        assert cache(here, {"name": "a.test"})["in_all"] == 0


async def test_what_is_in_the_cache() -> None:
    async with Recursor(ZONE, ttl=100) as recursor, world(recursor) as here:
        await here.ask("a.test")
        await here.ask("nothing.test")
        await here.ask("a.test", "MX")
        await here.ask("b.a.test")
        await here.ask("a.test")
        told = cache(here, {"limit": 3})
        assert told["in_all"] == 4
        first, second, third = told["entries"]
        # What was used last comes first.
        assert (first["name"], first["type"], first["what"]) == ("a.test.", "A", "192.0.2.1")
        assert (first["state"], first["flags"]) == ("fresh", [])
        assert first["from"] == f"{OWN}:{recursor.port}"
        assert 95 < first["ttl"] <= 100 < first["stale_ttl"]
        assert first["size"] > 0
        assert second["name"] == "b.a.test."
        assert (third["type"], third["what"]) == ("MX", "no such data")
        denied = cache(here, {"name": "Nothing.test"})["entries"]
        assert [(one["what"], one["state"]) for one in denied] == [("NXDOMAIN", "fresh")]
        under = cache(here, {"name": "a.test", "subtree": True})
        assert under["in_all"] == 3
        here.skip(101)
        (again,) = cache(here, {"name": "b.a.test"})["entries"]
        assert (again["state"], again["ttl"]) == ("stale", 0)
        json.dumps(told)


async def test_many_records_are_counted_and_watched_ones_marked() -> None:
    async with world() as here:
        hand = Hand(here)
        for _ in range(3):
            await here.ask(NAME)
        (entry,) = cache(here, {})["entries"]
        assert sorted(entry["what"].split(", ")) == GALERA
        assert entry["state"] == "stale"
        here.cluster.catalog.register("many", id="a", node="a", node_address="10.1.0.1")
        for number in range(2, 9):
            address = f"10.1.0.{number}"
            here.cluster.catalog.register("many", id=address, node=address, node_address=address)
        await here.ask("many.service.consul")
        (many,) = cache(here, {"name": "many.service.consul"})["entries"]
        assert many["what"].endswith(" and 5 more")
        hand.reuse.close()


async def test_what_it_would_do_is_told_without_asking_anybody() -> None:
    async with Recursor(ZONE) as recursor, world(recursor, patience=0.2) as here:
        first, second, third, outside = here.engine.upstreams()
        told = here.watched.order("explain", {"name": NAME, "type": "A"})
        assert told["rule"].startswith("consul. -> Consul agents")
        assert [one["server"] for one in told["order"]] == [first.name, second.name, third.name]
        assert told["order"][0]["why"] == "first: it is up"
        assert told["now"].startswith(f"what {first.name} says; after 200 ms {second.name} is ")
        assert told["deadline"] == here.server.settings.query.deadline
        assert (told["cache"], told["failed"], told["in_flight"], told["watch"]) == (None,) * 4
        here.engine.health.refused(first, here.engine.clock.now(), "connection refused")
        told = here.watched.order("explain", {"name": NAME})
        assert [(one["server"], one["state"]) for one in told["order"]] == [
            (second.name, "up"), (third.name, "up"), (first.name, "down"),
        ]  # fmt: skip
        assert told["order"][2]["why"] == "then: it is down"
        told = here.watched.order("explain", {"name": "www.example.test"})
        assert [one["server"] for one in told["order"]] == [outside.name]
        assert told["deadline"] == here.server.settings.query.for_recursors
        assert told["now"] == f"what {outside.name} says"
        told = here.watched.order("explain", {"name": "localhost"})
        assert (told["now"], told["order"]) == ("127.0.0.1: answered here", [])
        assert here.asked() == []
        assert recursor.asked == []
        assert len(here.engine.cache) == 0
        await here.ask("a.test")
        told = here.watched.order("explain", {"name": "a.test"})
        assert told["cache"]["what"] == "192.0.2.1"
        assert told["now"] == "192.0.2.1: from the cache, it is fresh"
        json.dumps(told)


@pytest.mark.parametrize("policy", ["ordered", "round_robin", "fastest"])
async def test_who_it_says_is_asked_is_asked(policy: str) -> None:
    async with world(consul={"policy": policy}) as here:
        for _ in range(5):
            for agent in here.agents:
                agent.queries.clear()
            told = here.watched.order("explain", {"name": NAME})
            assert (await here.ask(NAME)).data == GALERA
            (asked,) = here.asked()
            agent = here.agents[int(asked.split()[0]) - 1]
            assert told["order"][0]["server"] == f"{agent.address}:{agent.dns_port}"


async def test_what_is_in_flight_and_what_is_stale_is_told() -> None:
    async with Recursor(ZONE, ttl=5) as recursor, world(
        recursor, agents=1, query={"deadline": 0.5}
    ) as here:
        await here.ask("a.test")
        here.skip(10)
        recursor.silent = True
        asked = asyncio.ensure_future(here.ask("a.test"))
        await until(lambda: here.engine.flights)
        told = here.watched.order("explain", {"name": "a.test"})
        server = f"{OWN}:{recursor.port}"
        assert told["in_flight"]["asked"][0] == server
        assert told["in_flight"]["waiting"] == 1
        assert told["cache"]["state"] == "stale"
        assert told["now"].startswith(f"the answer that {server}")
        assert (await asked).data == ["192.0.2.1"]
        (outside,) = (one for one in here.engine.upstreams() if not one.is_agent)
        here.engine.table.answers.failures.clear()
        here.engine.health.refused(outside, here.engine.clock.now(), "connection refused")
        told = here.watched.order("explain", {"name": "a.test"})
        assert told["now"] == "192.0.2.1: stale, as nobody who could be asked is up"


async def test_the_query_log_is_told() -> None:
    async with world(agents=1) as here:
        assert here.watched.snapshot().admin == {}
        told = here.watched.order("querylog", {"state": "on", "sample": 0.01})
        assert told == {"querylog": "1% of the queries, to the log"}
        seen = here.watched.snapshot()
        assert seen.resolver is not None
        assert seen.resolver.querylog == "1% of the queries, to the log"
        assert seen.admin["querylog_written"] == 0
        assert here.watched.order("querylog", {"state": "off"}) == {"querylog": ""}


async def test_queries_can_be_looked_on_at() -> None:
    async with world(agents=1) as here:
        assert isinstance(here.watched, Tailed)
        lines: list[bytes] = []
        end = here.watched.tail(lines.append, 1.0)
        await here.ask("galeradb.service.consul")
        await until(lambda: len(lines) == 1)
        assert json.loads(lines[0])["name"] == "galeradb.service.consul."
        end()


HOSTILE: list[tuple[str, Any, int, str]] = [
    ("nothing", {}, 404, "there is no order 'nothing'; there are drain, undrain, flush, cache"),
    ("x" * 1_000_000, {}, 404, "there is no order 'xxx"),
    ("flush", {}, 400, "name: is needed, as a text"),
    ("flush", {"name": 5}, 400, "name: is needed, as a text"),
    ("flush", {"name": {"a": "b"}}, 400, "name: is needed"),
    ("flush", {"name": "a" * 1_000_000}, 400, "name: is longer than 1020 characters"),
    ("flush", {"name": "a" * 64}, 400, "name: "),
    ("flush", {"name": "a..b"}, 400, "name: "),
    ("flush", {"name": "ä.test"}, 400, "name: "),
    ("flush", {"name": "a\\"}, 400, "name: "),
    ("flush", {"name": "a.test", "subtree": "true"}, 400, "subtree: is true or false, not 'true'"),
    ("flush", {"name": "a.test", "subtree": 1}, 400, "subtree: is true or false, not 1"),
    ("flush", {"name": "a.test", "all": True}, 400, "there is no value 'all'; there are name, su"),
    ("flush", None, 400, "its values are an object"),
    ("cache", {"limit": 0}, 400, "limit: is a whole number from 1 to 1000, not 0"),
    ("cache", {"limit": 1001}, 400, "limit: "),
    ("cache", {"limit": True}, 400, "limit: "),
    ("cache", {"limit": 1.5}, 400, "limit: "),
    ("cache", {"limit": [1]}, 400, "limit: is a whole number from 1 to 1000, not a list"),
    ("cache", {"limit": 10**5000}, 400, "limit: "),
    ("explain", {"name": "a.test", "type": "NOPE"}, 400, "there is no record type 'NOPE'"),
    ("explain", {"name": "a.test", "type": 1}, 400, "type: is needed, as a text"),
    ("explain", {"type": "A"}, 400, "name: is needed"),
]


async def test_what_is_no_order_is_one_clear_error() -> None:
    async with world(agents=1) as here:
        for name, values, status, told in HOSTILE:
            with pytest.raises(OrderError) as error:
                here.watched.order(name, values)
            said = str(error.value)
            assert error.value.status == status, (name[:20], said)
            assert told in said
            assert len(said) < 300
            assert "\n" not in said


async def test_a_server_that_does_not_run_takes_no_orders() -> None:
    watched = WatchedServer(Server(settings(None)))
    with pytest.raises(OrderError, match="this process is starting") as error:
        watched.order("flush", {"name": "a"})
    assert error.value.status == 409
