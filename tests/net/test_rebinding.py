"""Outside names with private addresses: what clients get, what is kept, and what is told of it."""

from __future__ import annotations

import logging

import pytest

from consulfwd.core.routes import Kind
from consulfwd.net.lookup import Resolver
from consulfwd.ops.explaining import explain
from tests.loopback import OWN
from tests.net.messages import Reply, question
from tests.net.recursor import Recursor
from tests.net.world import World, settings, world

ON = {"protect": True, "allow": ["corp.test"], "allow_networks": ["10.9.0.0/16"]}
RECORDS = {
    ("evil.test", "A"): ["A 10.0.0.1"],
    ("evil.test", "AAAA"): ["AAAA ::1"],
    ("mixed.test", "A"): ["A 192.0.2.1", "A 192.168.0.1"],
    ("good.test", "A"): ["A 192.0.2.7"],
    ("vpn.test", "A"): ["A 10.9.0.1"],
    ("www.corp.test", "A"): ["A 10.0.0.2"],
    ("into.test", "A"): ["CNAME galeradb.service.consul."],
    ("into.corp.test", "A"): ["CNAME galeradb.service.consul."],
    ("far.zone.test", "A"): ["A 10.0.0.3"],
}
WHY = "has the private address {} (rebinding.protect)"


def seen(reply: Reply) -> tuple[str, list[str], list[tuple[int, str]]]:
    return reply.rcode, reply.data, reply.ede


@pytest.mark.parametrize("tcp", [False, True])
async def test_private_addresses_are_taken_out_each_time(tcp: bool) -> None:
    async with Recursor(RECORDS) as recursor, world(recursor, rebinding=ON) as here:
        for _ in range(4):
            told = seen(await here.ask("evil.test", tcp=tcp))
            assert told == ("NOERROR", [], [(15, WHY.format("10.0.0.1"))])
        told = seen(await here.ask("evil.test", "AAAA", tcp=tcp))
        assert told == ("NOERROR", [], [(15, WHY.format("::1"))])
        told = seen(await here.ask("mixed.test", tcp=tcp))
        assert told == ("NOERROR", ["192.0.2.1"], [(15, WHY.format("192.168.0.1"))])
        assert here.counters.rebinding == 6
        assert not any(b"evil" in key or b"mixed" in key for key in here.engine.cache.entries)


async def test_all_else_is_given_as_it_is() -> None:
    async with Recursor(RECORDS) as recursor, world(recursor, rebinding=ON) as here:
        for name, data in (
            ("good.test", "192.0.2.7"), ("vpn.test", "10.9.0.1"), ("www.corp.test", "10.0.0.2"),
        ):  # fmt: skip
            for _ in range(3):
                assert seen(await here.ask(name)) == ("NOERROR", [data], [])
        assert len((await here.ask("galeradb.service.consul")).data) == 3
        assert (await here.ask("localhost")).data == ["127.0.0.1"]
        assert here.counters.rebinding == 0


async def test_zones_that_the_site_forwards_are_its_own() -> None:
    async with Recursor(RECORDS) as recursor:
        forward = {"zone.test": [f"{OWN}:{recursor.port}"]}
        async with world(recursor, rebinding=ON, forward=forward) as here:
            assert seen(await here.ask("far.zone.test")) == ("NOERROR", ["10.0.0.3"], [])
            assert seen(await here.ask("evil.test"))[1] == []


async def test_an_outside_alias_into_consul_needs_to_be_let_through() -> None:
    async with Recursor(RECORDS) as recursor, world(recursor, rebinding=ON) as here:
        rcode, data, ede = seen(await here.ask("into.test"))
        assert (rcode, data, [code for code, _ in ede]) == ("NOERROR", [], [15])
        assert len((await here.ask("into.corp.test")).data) == 4


async def test_by_itself_nothing_is_looked_at() -> None:
    async with Recursor(RECORDS) as recursor, world(recursor) as here:
        assert seen(await here.ask("evil.test")) == ("NOERROR", ["10.0.0.1"], [])


async def test_a_reload_brings_it_into_force_at_once_and_leaves_what_consul_said() -> None:
    async with Recursor(RECORDS) as recursor, world(recursor) as here:
        here.cluster.dns.service_ttl = 60
        for _ in range(3):
            assert (await here.ask("evil.test")).data == ["10.0.0.1"]
            await here.ask("galeradb.service.consul")
        await here.server.reload(settings(here.cluster, recursor, rebinding=ON))
        assert (await here.ask("evil.test")).data == []
        find = here.engine.table.routes.find
        kinds = {find(key[: key.index(0) + 1]).kind for key in here.engine.cache.entries}
        assert kinds == {Kind.CONSUL}
        entries = dict(here.engine.cache.entries)
        await here.server.reload(settings(here.cluster, recursor, rebinding=ON))
        assert dict(here.engine.cache.entries) == entries
        await here.server.reload(settings(here.cluster, recursor))
        assert (await here.ask("evil.test")).data == ["10.0.0.1"]


async def test_it_is_told_in_the_log_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "consulfwd.rebinding")
    async with Recursor(RECORDS) as recursor, world(recursor, rebinding=ON) as here:
        for _ in range(3):
            await here.ask("evil.test")
        where = f"{OWN}:{recursor.port}"
        line = "evil.test. has the private address {}, says {}: it was taken out (rebinding.allow"
        lines = [one.message for one in caplog.records if one.name == "consulfwd.rebinding"]
        assert [one.startswith(line.format("10.0.0.1", where)) for one in lines] == [True]
        here.skip(60)
        await here.ask("evil.test")
        lines = [one.message for one in caplog.records if one.name == "consulfwd.rebinding"]
        assert len(lines) == 2
        assert lines[1].endswith(", and 2 more since the last such line")


def explained(here: World, name: str) -> str:
    ask = here.engine.front.questions.prepare(question(name))
    return str(explain(here.engine, ask)["now"])


async def test_it_is_explained() -> None:
    end = "; private addresses would be taken out (rebinding.protect)"
    async with Recursor(RECORDS) as recursor, world(recursor, rebinding=ON) as here:
        assert explained(here, "evil.test").endswith(end)
        assert not explained(here, "www.corp.test").endswith(end)
        assert not explained(here, "galeradb.service.consul").endswith(end)
    async with Recursor(RECORDS) as recursor:
        async with Resolver(settings(None, recursor, rebinding=ON)) as resolver:
            answer = await resolver.resolve("evil.test", "A")
        assert (answer.rcode, answer.records) == ("NOERROR", ())
        assert answer.ede == (15, WHY.format("10.0.0.1"))
