"""What is kept and for how long; queries that share an answer; what is said when nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import dns.rcode
import pytest

from consulfwd.core.upstreams import CATCHING_UP
from tests.coreless import our_time
from tests.net.messages import Reply, parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, World, settings, until, world

NAME = "galeradb.service.consul"
STALE, NO_AUTHORITY, NETWORK = 3, 22, 23
# For a deadline of 0.25 s on a machine that may stall; the default deadline is 2 s.
IN_TIME_S = 1.5


@pytest.mark.parametrize("way", ["passed on", "looked up"])
async def test_a_hundred_equal_queries_are_asked_once(way: str) -> None:
    async with world(patience=1.0) as here, here.udp() as client, here.tcp() as stream:
        if way == "looked up":
            # Without an open way nothing is passed on.
            here.engine.channels.retain(set())
        here.agents[0].faults.any.delay.on(0.1)
        for ident in range(80):
            name = NAME if ident % 2 else NAME.upper()
            client.send(question(name, edns=None if ident % 3 else 1232, ident=ident))
        stream.send(*(question(NAME, ident=ident) for ident in range(80, 100)))
        over_udp = [parse(await client.receive()) for _ in range(80)]
        over_tcp = [parse(await stream.receive()) for _ in range(20)]
        assert [reply.id for reply in over_udp + over_tcp] == list(range(100))
        assert {tuple(reply.data) for reply in over_udp + over_tcp} == {tuple(GALERA)}
        for reply in over_udp:
            assert reply.name == (f"{NAME}." if reply.id % 2 else f"{NAME.upper()}.")
            assert reply.edns == (None if reply.id % 3 else 1232)
        assert (here.asked(), here.counters.joined) == (["1 udp"], 99)


async def test_different_questions_are_not_taken_for_equal() -> None:
    async with world() as here, here.udp() as client:
        client.send(question(NAME, ident=1))
        client.send(question(NAME, "AAAA", ident=2))
        client.send(question("web.service.consul", ident=3))
        replies = sorted(
            (one.id, len(one.data)) for one in [parse(await client.receive()) for _ in range(3)]
        )
        assert (replies, here.asked()) == ([(1, 3), (2, 0), (3, 2)], ["1 udp"] * 3)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, [(30, 1), (29, 1), (1, 1), (30, 2)]),
        ({"max_ttl": 10}, [(10, 1), (9, 1), (10, 2), (9, 2)]),
        ({"min_ttl": 60}, [(60, 1), (59, 1), (31, 1), (30, 1)]),
        ({"max_ttl": 0}, [(0, 1), (0, 2), (0, 3), (0, 4)]),
        ({"size": 0}, [(30, 1), (30, 2), (30, 3), (30, 4)]),
    ],
)
async def test_ttls_count_down(limits: dict[str, int], told: list[tuple[int, int]]) -> None:
    seen = []
    async with world(cache=limits) as here:
        here.cluster.dns.service_ttl = 30
        for pause in (0, 1, 28, 1):
            here.skip(pause)
            (ttl,) = (await here.ask(NAME)).ttls
            seen.append((ttl, len(here.asked())))
    assert seen == told


async def test_negative_answers_are_kept_as_their_soa_says() -> None:
    records = {("www.test", "A"): ["A 192.0.2.1"]}
    cache = {"max_negative_ttl": 30}
    async with Recursor(records) as recursor, world(recursor, cache=cache) as here:
        for name, qtype, rcode in (("no.test", "A", "NXDOMAIN"), ("www.test", "TXT", "NOERROR")):
            for pause, ttl in ((0, 30), (29, 1), (1, 30)):
                here.skip(pause)
                reply = await here.ask(name, qtype)
                assert (reply.rcode, reply.authority[0].split()[1]) == (rcode, str(ttl))
    assert recursor.names == ["no.test."] * 2 + ["www.test."] * 2


async def all_down(here: World) -> None:
    for agent in here.agents:
        await agent.stop()


async def all_frozen(here: World) -> None:
    for agent in here.agents:
        agent.faults.frozen = True


async def ask_until_all_are_down(here: World) -> None:
    for number in range(20):
        if here.states() == ["down"] * 3:
            return
        # Others each time: what failed is not asked again at once.
        await here.ask(f"n{number}.service.consul" if number else NAME)
    raise AssertionError("still not down")


@pytest.mark.parametrize("end", [all_down, all_frozen])
async def test_a_stale_answer_when_nobody_answers(end: Callable[[World], Awaitable[None]]) -> None:
    async with world(query={"deadline": 0.25}) as here:
        assert (await here.ask(NAME)).data == GALERA
        here.skip(3600)
        await end(here)
        for tcp in (False, True):
            began = our_time()
            reply = await here.ask(NAME, tcp=tcp)
            assert (reply.rcode, reply.data, reply.ttls) == ("NOERROR", GALERA, {0})
            assert [code for code, _ in reply.ede] == [STALE]
            assert our_time() - began < IN_TIME_S
        assert (await here.ask(NAME, edns=None)).data == GALERA
        assert here.counters.stale == 3


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
async def test_stale_answers_have_a_short_ttl_and_an_end(tcp: bool) -> None:
    cache = {"stale_for": 600}
    async with world(cache=cache, query={"deadline": 0.2}) as here:
        here.cluster.dns.service_ttl = 300
        assert (await here.ask(NAME)).ttls == {300}
        await all_down(here)
        here.skip(299)
        assert (await here.ask(NAME)).ede == []
        here.skip(1)
        for pause in (0, 598):
            here.skip(pause)
            reply = await here.ask(NAME, tcp=tcp)
            assert ([code for code, _ in reply.ede], reply.ttls) == ([STALE], {30})
        here.skip(2)
        assert (await here.ask(NAME, tcp=tcp)).rcode == "SERVFAIL"


async def test_nobody_waits_once_all_agents_are_known_to_be_down() -> None:
    async with world(patience=0.02, query={"deadline": 0.25}) as here:
        assert (await here.ask(NAME)).data == GALERA
        await all_frozen(here)
        await ask_until_all_are_down(here)
        began = our_time()
        for _ in range(40):
            assert [code for code, _ in (await here.ask(NAME)).ede] == [STALE]
        # Each at its deadline, they would take 10 s.
        assert our_time() - began < 3


@pytest.mark.parametrize("end", [all_down, all_frozen])
async def test_everything_recovers_by_itself(end: Callable[[World], Awaitable[None]]) -> None:
    async with world(patience=0.02, query={"deadline": 0.25}) as here:
        assert (await here.ask(NAME)).data == GALERA
        await end(here)
        await ask_until_all_are_down(here)
        here.cluster.catalog.set_check("galera1", "critical")
        await all_back(here)
        # For a moment each of them may know less than there is.
        here.skip(CATCHING_UP)
        reply = await here.ask(NAME)
        assert (reply.data, reply.ede) == (GALERA[1:], [])


@pytest.mark.parametrize("left", [1, 2])
async def test_agents_that_all_come_back_with_a_part_of_the_list(left: int) -> None:
    async with world(patience=0.02, query={"deadline": 0.25}) as here:
        assert (await here.ask(NAME)).data == GALERA
        await all_down(here)
        await ask_until_all_are_down(here)
        missing = [f"galera{number}" for number in range(1, 4 - left)]
        for one in missing:
            here.cluster.catalog.set_check(one, "critical")
        await all_back(here)
        for _ in range(3):
            reply = await here.ask(NAME)
            assert (reply.data, [code for code, _ in reply.ede]) == (GALERA, [STALE])
        for one in missing:
            here.cluster.catalog.set_check(one, "passing")
        reply = await fresh(here)
        assert reply.data == GALERA


async def test_a_part_of_the_list_that_comes_late_is_not_kept() -> None:
    async with world(patience=0.02, query={"deadline": 0.25}) as here:
        assert (await here.ask(NAME)).data == GALERA
        await all_down(here)
        await ask_until_all_are_down(here)
        here.cluster.catalog.set_check("galera1", "critical")
        await all_back(here)
        for agent in here.agents:
            agent.faults.any.delay.on(0.7)
        assert [code for code, _ in (await here.ask(NAME)).ede] == [STALE]
        strays = here.engine.counters.stray_replies
        await asyncio.sleep(0.75)
        assert here.engine.counters.stray_replies == strays
        for agent in here.agents:
            agent.faults.clear()
        reply = await here.ask(NAME)
        assert (reply.data, [code for code, _ in reply.ede]) == (GALERA, [STALE])


async def all_back(here: World) -> None:
    for agent in here.agents:
        agent.faults.clear()
        await agent.start()
    await here.until("up", "up", "up")


async def fresh(here: World) -> Reply:
    """Ask until what is known to have failed is asked for anew."""
    while (reply := await here.ask(NAME)).ede:
        await asyncio.sleep(0.01)
    return reply


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("end", ["dead", "frozen", "servfail"])
async def test_servfail_within_the_deadline(end: str, tcp: bool) -> None:
    async with world(query={"deadline": 0.25}) as here:
        if end == "dead":
            await all_down(here)
        elif end == "frozen":
            await all_frozen(here)
        else:
            for agent in here.agents:
                agent.faults.any.servfail.on()
        began = our_time()
        reply = await here.ask(NAME, tcp=tcp)
        assert our_time() - began < IN_TIME_S
        assert (reply.rcode, reply.answers) == ("SERVFAIL", [])
        ((code, text),) = reply.ede
        assert code == (NO_AUTHORITY if end == "servfail" else NETWORK)
        assert str(here.agents[0].dns_port) in text
        assert (await here.ask(NAME, tcp=tcp, edns=None)).rcode == "SERVFAIL"


async def test_a_stale_answer_for_a_recursors_name() -> None:
    records = {("www.test", "A"): ["A 192.0.2.1"]}
    async with Recursor(records, ttl=60) as recursor, world(recursor) as here:
        assert (await here.ask("www.test")).ttls == {60}
        recursor.rcodes["www.test."] = dns.rcode.SERVFAIL
        here.skip(61)
        reply = await here.ask("www.test")
        assert (reply.data, reply.ttls, reply.ede[0][0]) == (["192.0.2.1"], {30}, STALE)


@pytest.mark.parametrize("end", [all_down, all_frozen])
@pytest.mark.parametrize("family", [4, 6])
async def test_both_families_are_stale_though_one_has_no_address(
    family: int, end: Callable[[World], Awaitable[None]]
) -> None:
    """A program that connects asks for both, and waits for both."""
    # Whatever has to wait here waits for longer than the client does.
    deadline = 0.25 if end is all_frozen else 30.0
    async with world(patience=0.02, query={"deadline": deadline}) as here, here.udp() as client:
        address = "10.9.9.9" if family == 4 else "2001:db8::9"
        here.cluster.catalog.register("one", address=address, port=1)
        pair = {1: ("one.service.consul", "A"), 2: ("one.service.consul", "AAAA")}
        for name, qtype in [*pair.values(), (NAME, "A")]:
            assert (await here.ask(name, qtype)).rcode == "NOERROR"
        here.skip(3600)
        await end(here)
        if end is all_frozen:
            await ask_until_all_are_down(here)
            here.engine.table.deadline = 30.0
        for _ in range(2):
            for ident, (name, qtype) in pair.items():
                client.send(question(name, qtype, ident=ident))
            replies = {one.id: one for one in [parse(await client.receive()) for _ in pair]}
            has, has_none = (1, 2) if family == 4 else (2, 1)
            assert replies[has].data == [address]
            assert replies[has_none].lines == [
                "NOERROR rd ra",
                "ns consul. 0 SOA ns.consul. hostmaster.consul. # 3600 600 86400 0",
                "EDE 3",
            ]
            assert [code for code, _ in replies[has].ede] == [STALE]


async def test_a_name_without_addresses_is_not_stale_nor_one_that_is_denied() -> None:
    async with world(query={"deadline": 0.25}) as here:
        await here.ask(NAME, "SRV")
        await here.ask(NAME, "AAAA")
        for qtype in ("A", "AAAA"):
            await here.ask("made-up.service.consul", qtype)
        await all_down(here)
        assert (await here.ask(NAME, "SRV")).rcode == "NOERROR"
        assert (await here.ask(NAME, "AAAA")).rcode == "SERVFAIL"
        assert (await here.ask("made-up.service.consul", "AAAA")).rcode == "SERVFAIL"


async def test_made_up_names_push_out_none_that_is_needed_when_nobody_answers() -> None:
    cache = {"size": 40}
    async with world(cache=cache, patience=1.0) as here, here.udp() as client:
        assert (await here.ask(NAME)).data == GALERA
        for number in range(200):
            client.send(question(f"made-up-{number}.service.consul", ident=number))
            assert parse(await client.receive()).rcode == "NXDOMAIN"
        await all_down(here)
        reply = await here.ask(NAME)
        assert (reply.data, [code for code, _ in reply.ede]) == (GALERA, [STALE])
        assert len(here.engine.cache) == 11


async def test_what_made_up_names_get_pushes_out_neither_family_of_one_that_exists() -> None:
    """No such name, no data, an alias to nothing, an error; of Consul's and of others."""
    kinds = {
        **{(f"n{number}.test", "TXT"): ["TXT here"] for number in range(0, 400, 4)},
        **{(f"n{number}.test", "CNAME"): ["CNAME no.test."] for number in range(1, 400, 4)},
    }
    known = [(name, qtype) for name in (NAME, "web.service.consul") for qtype in ("A", "AAAA")]
    async with (
        Recursor(kinds, ttl=86_400) as recursor,
        world(recursor, cache={"size": 40}, patience=1.0) as here,
        here.udp() as client,
    ):
        for number in range(2, 400, 4):
            recursor.rcodes[f"n{number}.test."] = dns.rcode.SERVFAIL
        for name, qtype in known:
            assert (await here.ask(name, qtype)).rcode == "NOERROR"
        rcodes = set()
        for number in range(400):
            client.send(question(f"n{number}.test", ident=number))
            rcodes.add(parse(await client.receive()).rcode)
            client.send(question(f"n{number}.service.consul", "AAAA", ident=number))
            assert parse(await client.receive()).rcode == "NXDOMAIN"
        assert rcodes == {"NOERROR", "NXDOMAIN", "SERVFAIL"}
        assert len(here.engine.cache) <= len(known) + 10
        here.skip(3600)
        await all_down(here)
        for name, qtype in known:
            reply = await here.ask(name, qtype)
            assert (reply.rcode, [code for code, _ in reply.ede]) == ("NOERROR", [STALE])


async def test_a_reload_while_nobody_answers_keeps_the_stale_answers() -> None:
    async with world(query={"deadline": 0.25}) as here:
        same = {"listen": [str(here.server.settings.listen[0])], "query": {"deadline": 0.25}}
        assert (await here.ask(NAME)).data == GALERA
        await all_down(here)
        await here.server.reload(settings(here.cluster, **same))
        reply = await here.ask(NAME)
        assert (reply.data, [code for code, _ in reply.ede]) == (GALERA, [STALE])
        await here.server.reload(settings(here.cluster, consul={"agents": ["127.0.0.1:1"]}, **same))
        assert (await here.ask(NAME)).rcode == "SERVFAIL"


async def test_a_reload_to_a_smaller_cache_keeps_no_more_than_fits() -> None:
    async with world() as here:
        for name in (NAME, "web.service.consul"):
            for qtype in ("A", "SRV"):
                await here.ask(name, qtype)
        assert len(here.engine.cache) == 4
        await here.server.reload(settings(here.cluster, cache={"size": 3}))
        assert len(here.engine.cache) == 3


async def test_a_reload_leaves_what_is_cached_and_answers_what_is_in_flight() -> None:
    async with world(patience=1.0) as here, here.udp() as client:
        here.cluster.dns.service_ttl = 60
        await here.ask("web.service.consul")
        here.agents[0].faults.any.delay.on(0.1, count=1)
        client.send(question(NAME))
        await until(lambda: here.engine.flights)
        await here.server.reload(
            settings(here.cluster, listen=[str(here.server.settings.listen[0])])
        )
        assert parse(await client.receive()).data == GALERA
        await here.ask("web.service.consul")
        assert here.asked().count("1 udp") == 2
