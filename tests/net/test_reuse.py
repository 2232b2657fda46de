"""Answers reused past their TTL: for how long, what ends it, what never is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from consulfwd.consul import proving
from consulfwd.consul import watch as watch_module
from consulfwd.consul.proving import PROVE_EVERY, Prover
from consulfwd.core import freshness as freshness_module
from consulfwd.core.carriers import WatchLimits
from consulfwd.core.leaps import LEAP
from consulfwd.core.proofs import LIFE
from consulfwd.core.settling import Instance
from consulfwd.core.subjects import Subject
from consulfwd.core.watches import REUSE, REUSE_NEGATIVE
from consulfwd.core.worth import Worth
from consulfwd.dev import DevAgent
from consulfwd.dns.names import from_text
from consulfwd.net.clock import Clock
from consulfwd.net.relays import KEEP_AGAIN
from consulfwd.net.reuse import Reuse
from tests.coreless import our_time
from tests.loopback import OWN
from tests.net.messages import Reply, parse, question
from tests.net.recursor import Recursor
from tests.net.world import GALERA, World, ask, open_sockets, settings, until, world

NAME, GHOST = "galeradb.service.consul", "ghost.service.consul"
SUBJECT = Subject("service", "galeradb")
SETTLE = 0.1
LEFT = GALERA[1:]


class Hand:
    """Says by hand what watches would, so that no test has to wait for them."""

    def __init__(self, here: World) -> None:
        self.here = here
        of = here.engine
        rules, domains = WatchLimits(settle=SETTLE), [from_text("consul")]
        self.reuse = Reuse(of.cache, of.clock, of.warmth, of.loop, rules, domains)
        of.reuse_by(self.reuse)

    @property
    def freshness(self) -> Any:
        return self.reuse.freshness

    def prove(self) -> None:
        """Say that all who are asked for it, and are well, have heard of everything up to now."""
        for agent in self.here.cluster.agents:
            if _name(agent) not in self.freshness.barred:
                self.reuse.proved(_name(agent), self.here.engine.clock.now())

    def _told(self, subject: Subject) -> tuple[str, float]:
        return self.freshness.watches[subject].carrier, self.here.engine.clock.now()

    def arm(self, subject: Subject, size: int) -> None:
        keys = self.freshness.armed(subject, *self._told(subject), size=size, healthy=size)
        self.reuse.drop(keys, changed=False)

    def change(self, subject: Subject, size: int, healthy: int) -> None:
        keys = self.freshness.changed(subject, *self._told(subject), size=size, healthy=healthy)
        self.reuse.drop(keys, changed=True)

    def skip(self, seconds: float) -> None:
        """Let time pass in which agents go on proving that they hear."""
        self.here.skip(seconds)
        self.prove()

    async def cover(self, name: str = NAME, qtype: str = "A", *, size: int = 3) -> Reply:
        """Have a name watched; return the first answer that is reused."""
        here = self.here
        # What has a TTL is asked for again when that is over.
        pause = max(here.cluster.dns.service_ttl, 1)
        for _ in range(2):
            await here.ask(name, qtype)
            self.skip(pause)
        (subject,) = self.freshness.watches
        assert subject.name == name.split(".")[0]
        self.freshness.commands.clear()
        self.arm(subject, size)
        self.skip(pause)
        reply = await here.ask(name, qtype)
        assert covered(here, name, qtype)
        return reply


def covered(here: World, name: str = NAME, qtype: str = "A") -> bool:
    """Return whether a name's answer would be given from here now."""
    key = here.engine.front.questions.prepare(question(name, qtype)).key
    return here.engine.cache.fresh(key, here.engine.clock.now()) is not None


@asynccontextmanager
async def by_hand(*recursors: Recursor, **how: Any) -> AsyncIterator[tuple[World, Hand]]:
    async with world(*recursors, **how) as here:
        hand = Hand(here)
        try:
            yield here, hand
        finally:
            hand.reuse.close()


@asynccontextmanager
async def watched(*recursors: Recursor, **how: Any) -> AsyncIterator[World]:
    """A server that watches development agents."""
    consul = {"watch": {"enabled": True, "settle": SETTLE}, **how.pop("consul", {})}
    async with world(*recursors, http=True, consul=consul, **how) as here:
        yield here


async def reused(here: World, name: str = NAME, qtype: str = "A", **how: Any) -> Reply:
    """Ask until an answer comes from here, and return it."""
    found: list[Reply] = []

    async def settled() -> None:
        while True:
            before = len(here.asked())
            reply = await here.ask(name, qtype, **how)
            if len(here.asked()) == before:
                found.append(reply)
                return
            await asyncio.sleep(0.01)

    await asyncio.wait_for(settled(), 10)
    return found[0]


async def noticed(here: World, subject: Subject = SUBJECT, changes: int = 1) -> None:
    """Wait until the watch has told of so many changes. Nothing is asked meanwhile."""
    reuse = here.engine.reuse
    assert reuse is not None
    await until(lambda: reuse.freshness.watches[subject].changes == changes)


def watches(here: World) -> dict[str, str]:
    """What is watched, and at which agent."""
    assert here.engine.reuse is not None
    return {str(one): at.carrier for one, at in here.engine.reuse.freshness.watches.items()}


# -- with development agents ------------------------------------------------------------------


async def test_agents_are_asked_no_more_until_something_changes() -> None:
    async with watched() as here:
        reply = await reused(here)
        assert (reply.data, reply.ttls) == (GALERA, {0})
        before = len(here.asked())
        for number in range(20):
            reply = await here.ask(NAME, tcp=number % 2 == 0)
            assert (reply.data, reply.ttls) == (GALERA, {0})
        assert len(here.asked()) == before
        assert list(watches(here)) == ["service galeradb"]
        here.cluster.catalog.set_check("galera1", "critical")
        await noticed(here)
        assert (await here.ask(NAME)).data == LEFT
        assert len(here.asked()) == before + 1
        # And so again.
        assert (await reused(here)).data == LEFT
        here.cluster.catalog.set_check("galera1", "passing")
        await noticed(here, changes=2)
        assert (await here.ask(NAME)).data == GALERA


@pytest.mark.usefixtures("twin")
async def test_a_change_reaches_the_hot_tables_of_every_listener() -> None:
    async with watched(listen=[f"{OWN}:0", "127.0.0.2:0", "0.0.0.0:0"]) as here:
        await reused(here)
        packets = [question(NAME, edns=size, ident=7) for size in (None, 1232, 4096)]
        places = here.server.endpoints

        async def everywhere() -> list[list[str]]:
            said = []
            for at in places:
                for packet in packets:
                    for tcp in (False, True):
                        edns = {0: None, 1: 1232, 2: 4096}[packets.index(packet)]
                        said.append((await ask(at, NAME, edns=edns, tcp=tcp, ident=7)).data)
            return said

        async def hot() -> bool:
            before = here.counters.hot
            assert await everywhere() == [GALERA] * 18
            return here.counters.hot == before + 9

        async def until_hot() -> None:
            while not await hot():
                await asyncio.sleep(0)

        await asyncio.wait_for(until_hot(), 10)
        here.cluster.catalog.set_check("galera1", "critical")
        await noticed(here)
        assert await everywhere() == [LEFT] * 18


@pytest.mark.usefixtures("twin")
async def test_what_is_always_hot_stays_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells of those who get what is hot: that the name is in use shows as it is asked for
    again, at the end of each answer."""
    monkeypatch.setattr("consulfwd.core.freshness.IDLE", 30.0)
    async with by_hand(agents=1) as (here, hand):
        await hand.cover()
        asked, hot = len(here.asked()), here.counters.hot
        for _ in range(60):
            hand.skip(1)
            for _ in range(3):
                assert (await here.ask(NAME, ident=7)).data == GALERA
        assert len(hand.freshness.watches) == 1
        assert 5 <= len(here.asked()) - asked <= 7
        assert here.counters.hot - hot > 120


@pytest.mark.usefixtures("twin")
async def test_what_was_pushed_out_of_the_cache_is_in_no_hot_table() -> None:
    """What changes then is found nowhere, so that nothing could take it out."""
    async with by_hand(cache={"size": 2}) as (here, hand):
        await hand.cover()
        hot = here.counters.hot
        for _ in range(4):
            assert (await here.ask(NAME, ident=7)).data == GALERA
        assert here.counters.hot > hot
        for qtype in ("A", "SRV"):
            await here.ask("web.service.consul", qtype)
        here.cluster.catalog.set_check("galera1", "critical")
        hand.change(SUBJECT, 3, 2)
        assert (await here.ask(NAME, ident=7)).data == LEFT


@pytest.mark.usefixtures("twin")
async def test_where_an_answer_was_hot_is_forgotten_with_the_hot_tables() -> None:
    """Clients whose every datagram is another one must not fill the memory."""
    async with by_hand() as (here, hand):
        await hand.cover()
        entry = here.engine.cache.entries[here.engine.front.questions.prepare(question(NAME)).key]
        for second in range(3):
            here.engine.warmth.epoch += 1
            here.engine.warmth.clear()
            for _ in range(3):
                await here.ask(NAME, edns=1232 + second)
            assert len(entry.hot or ()) == 1


async def test_a_name_that_appears_is_served_at_once() -> None:
    async with watched() as here:
        reply = await reused(here, GHOST)
        assert reply.rcode == "NXDOMAIN"
        here.cluster.catalog.register("ghost", address="10.9.9.9", port=1)
        await noticed(here, Subject("service", "ghost"))
        reply = await here.ask(GHOST)
        assert (reply.rcode, reply.data) == ("NOERROR", ["10.9.9.9"])


async def test_the_last_instance_goes_without_a_second_opinion() -> None:
    async with watched() as here:
        await reused(here)
        before = here.counters.second_opinions
        for number in (1, 2, 3):
            here.cluster.catalog.set_check(f"galera{number}", "critical")
        reuse = here.engine.reuse
        assert reuse is not None
        await until(lambda: not reuse.freshness.watches[SUBJECT].healthy)
        asked = len(here.asked())
        reply = await here.ask(NAME)
        assert (reply.rcode, len(here.asked())) == ("NXDOMAIN", asked + 1)
        assert here.counters.second_opinions == before


@pytest.mark.parametrize(
    ("name", "qtype", "subject"),
    [
        (NAME, "AAAA", "service galeradb"),
        (NAME, "SRV", "service galeradb"),
        (NAME, "ANY", "service galeradb"),
        ("primary.web.service.consul", "A", "service web"),
        ("_web._v1.service.consul", "SRV", "service web"),
        ("_web._tcp.consul", "SRV", "service web"),
        ("web.service.dc1.consul", "A", "service web in dc1"),
        ("Web.Service.DC1.dc.CONSUL", "A", "service web in dc1"),
        ("dev1.node.consul", "A", "node dev1"),
        ("dev1.node.consul", "TXT", "node dev1"),
        ("nosuch.node.consul", "A", "node nosuch"),
    ],
)
async def test_what_is_covered(name: str, qtype: str, subject: str) -> None:
    async with watched() as here:
        first = await here.ask(name, qtype)
        reply = await reused(here, name, qtype)
        assert (reply.rcode, reply.data) == (first.rcode, first.data)
        assert list(watches(here)) == [subject]


async def test_a_reload_that_changes_nothing_of_consul_keeps_the_watches() -> None:
    async with watched() as here:
        await reused(here)
        assert here.engine.reuse is not None
        (watch,) = here.engine.reuse.freshness.watches.values()
        old = here.server.settings
        await here.server.reload(old.replace(cache=old.cache.replace(size=500)))
        assert list(here.engine.reuse.freshness.watches.values()) == [watch]
        assert watch.armed
        assert (await reused(here)).data == GALERA
        here.cluster.catalog.set_check("galera1", "critical")
        await until(lambda: watch.changes)
        assert (await here.ask(NAME)).data == LEFT


async def test_a_reload_that_changes_how_is_watched_begins_anew() -> None:
    async with watched() as here:
        await reused(here)
        consul = {"watch": {"enabled": True, "settle": SETTLE, "max": 9}}
        await here.server.reload(settings(here.cluster, consul=consul))
        here.cluster.catalog.set_check("galera1", "critical")
        assert (await here.ask(NAME)).data == LEFT
        assert watches(here) == {}
        assert (await reused(here)).data == LEFT


async def test_a_reload_that_may_have_another_token_begins_anew(tmp_path: Path) -> None:
    """What is in files may have changed with nothing to be seen of it in the settings."""
    file = tmp_path / "token"
    file.write_text("one")
    async with watched() as here:
        agents = [one.replace(token_file=file) for one in here.server.settings.consul.agents]
        consul = {"agents": agents, "watch": {"enabled": True, "settle": SETTLE}}
        await here.server.reload(settings(here.cluster, consul=consul))
        await reused(here)
        assert watches(here) != {}
        file.write_text("another")
        await here.server.reload(here.server.settings)
        assert watches(here) == {}
        assert (await reused(here)).data == GALERA


async def test_watches_are_turned_off_and_on() -> None:
    async with watched() as here:
        await here.ask(NAME)
        quiet = open_sockets()
        await reused(here)
        assert open_sockets() > quiet
        await here.server.reload(settings(here.cluster, consul={"watch": {"enabled": False}}))
        assert here.engine.reuse is None
        await until(lambda: open_sockets() <= quiet)
        before = len(here.asked())
        for _ in range(3):
            assert (await here.ask(NAME)).data == GALERA
        assert len(here.asked()) == before + 3
        await here.server.reload(settings(here.cluster, consul={"watch": {"enabled": True}}))
        assert (await reused(here)).data == GALERA


async def test_no_watches_where_none_are_wanted() -> None:
    async with watched(consul={"watch": {"enabled": True, "max": 0}}) as here:
        assert here.engine.reuse is None


# -- by hand ----------------------------------------------------------------------------------


async def test_made_up_types_hang_on_no_watch() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        keys = dict(hand.freshness.watches[SUBJECT].keys)
        packet = question(NAME, edns=None)
        ask = here.engine.front.questions.prepare(packet[:-4] + b"\x12\x34\0\1")
        assert hand.reuse.form(ask) is None
        other = here.engine.front.questions.prepare(question(NAME, "AAAA"))
        assert hand.reuse.form(other) is not None
        assert hand.freshness.watches[SUBJECT].keys == keys


async def test_what_is_not_covered() -> None:
    records = {("host.example", "A"): ["A 192.0.2.1"]}
    async with Recursor(records) as recursor, by_hand(
        recursor, consul={"reverse": ["10.0.0.0/8"]}
    ) as (here, hand):  # fmt: skip
        here.cluster.catalog.register("outside", node="out", node_address="host.example", port=1)
        for name, qtype in (
            ("outside.service.consul", "A"),
            ("out.node.consul", "A"),
            ("galeradb.query.consul", "A"),
            ("galeradb.virtual.consul", "A"),
            ("0a000a0b.addr.dc1.consul", "A"),
            ("11.10.0.10.in-addr.arpa", "PTR"),
            ("consul", "SOA"),
            ("host.example", "A"),
        ):
            first = await here.ask(name, qtype)
            assert (first.rcode, hand.freshness.watches) == ("NOERROR", {}), name
            for _ in range(3):
                here.skip(1)
                assert (await here.ask(name, qtype)).data == first.data
            assert hand.freshness.watches == {}
        # What is no alias of a service that has one is watched like any other; one query a second
        # was too few to have anything proved.
        assert not hand.freshness.worth.it_is
        hand.freshness.worth = Worth()
        await hand.cover("web.service.consul", size=2)


async def test_an_answer_is_asked_for_again_after_a_while() -> None:
    """Watch or not: what a watch cannot see does not last longer."""
    async with by_hand() as (here, hand):
        await hand.cover()
        before = len(here.asked())
        for pause, asked in ((REUSE - 0.5, 0), (0.5, 1), (1, 1)):
            hand.skip(pause)
            assert (await here.ask(NAME)).data == GALERA
            assert len(here.asked()) == before + asked


async def test_what_does_not_exist_is_asked_for_again_sooner() -> None:
    async with by_hand() as (here, hand):
        await hand.cover(GHOST, size=0)
        before = len(here.asked())
        for pause, asked in ((REUSE_NEGATIVE - 0.5, 0), (0.5, 1)):
            hand.skip(pause)
            assert (await here.ask(GHOST)).rcode == "NXDOMAIN"
            assert len(here.asked()) == before + asked


async def test_ttls_count_down_to_0_while_the_answer_is_reused() -> None:
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = 5
        assert (await hand.cover()).ttls == {5}
        seen = []
        before = len(here.asked())
        for pause in (1, 3, 1, 4, 1):
            hand.skip(pause)
            told = {ttl for _ in range(4) for ttl in (await here.ask(NAME)).ttls}
            seen.append((told, len(here.asked()) - before))
        assert here.counters.hot > 0
        assert seen == [({4}, 0), ({1}, 0), ({0}, 0), ({0}, 0), ({5}, 1)]


async def test_an_answer_under_way_when_something_changes_is_not_kept() -> None:
    async with by_hand(patience=1.0) as (here, hand), here.udp() as client:
        await hand.cover()
        hand.skip(REUSE)
        here.agents[0].faults.any.delay.on(0.1, count=1)
        client.send(question(NAME))
        before = len(here.asked())
        await until(lambda: len(here.asked()) == before + 1)
        here.cluster.catalog.set_check("galera1", "critical")
        hand.change(SUBJECT, 3, 2)
        # Whoever asked before the change may be told what was true then.
        assert parse(await client.receive()).data == GALERA
        assert not covered(here)
        assert (await here.ask(NAME)).data == LEFT
        assert not covered(here)
        hand.skip(SETTLE + 0.2)
        assert (await here.ask(NAME)).data == LEFT
        assert covered(here)


@pytest.mark.parametrize("way", ["passed on", "looked up"])
async def test_an_answer_from_before_a_change_that_comes_long_after_it_is_not_kept(
    way: str,
) -> None:
    async with by_hand(patience=2.0) as (here, hand), here.udp() as client:
        await hand.cover()
        hand.skip(REUSE)
        faults = here.agents[0].faults
        if way == "looked up":
            faults.udp.truncate.on()
        last = "1 udp" if way == "passed on" else "1 tcp"
        (faults.udp if way == "passed on" else faults.tcp).delay.on(0.1, count=1)
        before = here.asked().count(last)
        client.send(question(NAME))
        await until(lambda: here.asked().count(last) == before + 1)
        here.cluster.catalog.set_check("galera1", "critical")
        hand.change(SUBJECT, 3, 2)
        hand.skip(SETTLE + 0.2)
        assert parse(await client.receive()).data == GALERA
        assert not covered(here)
        assert (await here.ask(NAME)).data == LEFT


@pytest.mark.parametrize("ttl", [0, 5])
async def test_answers_are_not_reused_while_a_change_settles(ttl: int) -> None:
    """An agent that does not know yet must not be believed for ten seconds, nor for a TTL."""
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = ttl
        await hand.cover()
        hand.change(SUBJECT, 3, 2)
        assert (await here.ask(NAME)).data == GALERA
        here.cluster.catalog.set_check("galera1", "critical")
        assert (await here.ask(NAME)).data == LEFT


async def test_what_an_agent_said_that_hears_of_nothing_is_not_reused() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        first = hand.freshness.watches[SUBJECT].carrier
        hand.reuse.lost(first)
        assert hand.freshness.watches[SUBJECT].carrier != first
        hand.arm(SUBJECT, 3)
        hand.skip(1)
        # It is asked first all the same, but what the other one watches says nothing of it.
        await here.ask(NAME)
        assert not covered(here)
        hand.reuse.proved(first, here.engine.clock.now())
        hand.skip(1)
        await here.ask(NAME)
        assert covered(here)
        hand.reuse.lost(first)
        assert not covered(here)


async def test_answers_with_a_ttl_survive_the_loss_of_their_watch_until_it_is_over() -> None:
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = 5
        await hand.cover()
        hand.skip(2)
        hand.reuse.lost(hand.freshness.watches[SUBJECT].carrier)
        here.cluster.catalog.set_check("galera1", "critical")
        before = len(here.asked())
        reply = await here.ask(NAME)
        assert (reply.data, reply.ttls, len(here.asked())) == (GALERA, {3}, before)
        here.skip(3)
        assert (await here.ask(NAME)).data == LEFT


async def test_answers_with_a_ttl_that_is_over_end_with_their_watch() -> None:
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = 5
        await hand.cover()
        hand.skip(6)
        assert covered(here)
        hand.reuse.lost(hand.freshness.watches[SUBJECT].carrier)
        assert not covered(here)


async def test_answers_with_a_ttl_end_with_a_change() -> None:
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = 5
        await hand.cover()
        here.cluster.catalog.set_check("galera1", "critical")
        hand.change(SUBJECT, 3, 2)
        assert (await here.ask(NAME)).data == LEFT


async def test_what_is_asked_for_less_often_than_it_is_reused_needs_no_watch() -> None:
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = 60
        for _ in range(3):
            await here.ask(NAME)
            here.skip(60)
        assert hand.freshness.watches == {}


@pytest.mark.usefixtures("twin")
async def test_the_loss_of_a_watch_ends_what_is_hot() -> None:
    async with by_hand() as (here, hand), here.udp() as client:
        await hand.cover()
        packet = question(NAME, ident=7)
        for _ in range(4):
            client.send(packet)
            await client.receive()
        assert here.counters.hot > 0
        here.cluster.catalog.set_check("galera1", "critical")
        hand.reuse.lost(hand.freshness.watches[SUBJECT].carrier)
        client.send(packet)
        assert parse(await client.receive()).data == LEFT


@pytest.mark.parametrize("how", ["hot", "cached", "tcp", "another listener", "every address"])
async def test_a_process_that_slept_reuses_nothing(how: str) -> None:
    """It may have been stopped, or its host suspended, with the change unheard of."""
    async with by_hand(listen=[f"{OWN}:0", "127.0.0.2:0", "0.0.0.0:0"]) as (here, hand):
        await hand.cover()
        for at in here.server.endpoints:
            for _ in range(4):
                await ask(at, NAME, ident=7)
        assert here.counters.hot > 0
        here.cluster.catalog.set_check("galera1", "critical")
        # Nothing that was due in the meantime has been done: only the clock knows.
        here._clock.offset += LIFE
        at = here.server.endpoints[{"another listener": 1, "every address": 2}.get(how, 0)]
        edns = 512 if how == "cached" else 1232
        reply = await ask(at, NAME, ident=7, edns=edns, tcp=how == "tcp")
        assert reply.data == LEFT


async def test_after_a_pause_that_only_the_time_of_day_tells_of_nothing_is_reused() -> None:
    """The proofs are from before, and so is what the watch has seen."""
    async with by_hand() as (here, hand):
        await hand.cover()
        assert (await here.ask(NAME)).data == GALERA
        here.cluster.catalog.set_check("galera1", "critical")
        here.leap(LEAP + 0.1)
        here.tick()
        assert (await here.ask(NAME)).data == LEFT
        assert hand.freshness.proofs == {}


async def test_a_short_sleep_does_no_harm() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        before = len(here.asked())
        here._clock.offset += LIFE - 0.5
        assert (await here.ask(NAME)).data == GALERA
        assert len(here.asked()) == before


async def test_a_denial_against_healthy_instances_needs_a_second_opinion() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        hand.skip(REUSE)
        here.agents[0].faults.any.nxdomain.on()
        assert (await here.ask(NAME)).data == GALERA
        assert here.counters.second_opinions == 1


async def test_a_denial_after_the_watch_said_so_needs_none() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        for number in (1, 2, 3):
            here.cluster.catalog.set_check(f"galera{number}", "critical")
        hand.change(SUBJECT, 3, 0)
        before = len(here.asked())
        assert (await here.ask(NAME)).rcode == "NXDOMAIN"
        assert (len(here.asked()), here.counters.second_opinions) == (before + 1, 0)


async def test_a_denial_while_a_change_settles_that_leaves_instances_needs_one() -> None:
    """An agent that came back without its catalog knows no more for it."""
    async with by_hand() as (here, hand):
        await hand.cover()
        everyone = [_instance(address) for address in GALERA]
        hand.freshness.watches[SUBJECT].instances = frozenset(everyone)
        here.cluster.catalog.set_check("galera1", "critical")
        keys = hand.freshness.changed(
            SUBJECT, *hand._told(SUBJECT), size=3, healthy=2, instances=frozenset(everyone[1:])
        )
        hand.reuse.drop(keys, changed=True)
        here.agents[0].faults.any.nxdomain.on()
        assert (await here.ask(NAME)).data == LEFT
        assert here.counters.second_opinions == 1


def _instance(address: str) -> Instance:
    packed = ip_address(address).packed
    name = from_text(f"{packed.hex()}.addr.dc1")[:-1]
    return Instance(name, name, packed, packed, b"", 3306, frozenset(), 1, True, False)


async def test_a_denial_the_watch_contradicts_is_not_reused() -> None:
    """Nothing was known of the name: the agent that came back without its catalog is believed."""
    async with by_hand() as (here, hand):
        await hand.cover("galeradb.service.consul", "SRV")
        for agent in here.agents:
            agent.faults.any.nxdomain.on()
        assert (await here.ask(NAME)).rcode == "NXDOMAIN"
        for agent in here.agents:
            agent.faults.clear()
        assert (await here.ask(NAME)).data == GALERA


async def test_a_cache_of_no_entries_reuses_nothing() -> None:
    async with by_hand(cache={"size": 0}) as (here, hand):
        for _ in range(3):
            assert (await here.ask(NAME)).data == GALERA
            hand.skip(1)
        hand.arm(SUBJECT, 3)
        hand.skip(1)
        before = len(here.asked())
        for _ in range(3):
            assert (await here.ask(NAME)).data == GALERA
        assert len(here.asked()) == before + 3
        hand.change(SUBJECT, 3, 3)


async def test_agents_prove_more_often_than_they_must() -> None:
    """One proof may come late without anything being dropped."""
    assert LIFE - PROVE_EVERY >= LIFE / 2


@pytest.mark.parametrize("fault", ["hang", "no_leader"])
async def test_a_half_dead_agent(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its HTTP tells of nothing, its DNS is well: no answer is older than a proof may be."""
    monkeypatch.setattr(proving, "PROVE_RARELY", 0.2)
    async with watched(agents=2) as here:
        first, second = here.agents
        assert first._http is not None
        # What its HTTP sees, and waits for, is the state of now.
        first._http._catalogs = {"dc1": here.cluster.catalog.copy()}
        await reused(here)
        getattr(first.faults.http, fault).on()
        here.cluster.catalog.set_check("galera1", "critical")
        began = our_time()
        while (await here.ask(NAME)).data != LEFT:
            assert our_time() - began < LIFE + 1
            await asyncio.sleep(0.02)
        # The watch has moved. What the first agent says is passed on, and not reused: it may be
        # cut off from the others.
        await until(lambda: list(watches(here).values()) == [_name(second)])
        here.cluster.catalog.set_check("galera1", "passing")
        assert (await here.ask(NAME)).data == GALERA
        assert not covered(here)
        # Back to full speed by itself.
        first.faults.clear()
        first._http._catalogs = here.cluster.catalogs
        assert (await reused(here)).data == GALERA
        here.cluster.catalog.set_check("galera1", "critical")
        await until(lambda: not covered(here))
        assert (await here.ask(NAME)).data == LEFT


async def test_a_name_in_use_is_watched_whatever_else_was_asked_for_first() -> None:
    """A scan asked for two others, which exist, and still asks for them."""
    consul = {"watch": {"enabled": True, "settle": SETTLE, "max": 2}}
    async with watched(consul=consul) as here:
        scanned = ["web.service.consul", "consul.service.consul"]
        for _ in range(2):
            for name in scanned:
                await here.ask(name)
            await asyncio.sleep(KEEP_AGAIN)
        assert list(watches(here)) == ["service web", "service consul"]
        for number in range(20):
            await here.ask(NAME)
            if number % 10 == 0:
                for name in scanned:
                    await here.ask(name)
            await asyncio.sleep(KEEP_AGAIN)
        assert str(SUBJECT) in watches(here)
        assert len(watches(here)) == 2
        assert (await reused(here)).data == GALERA


async def test_an_idle_host_asks_for_no_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.05)
    monkeypatch.setattr(freshness_module, "PROVE_FOR", 0.3)
    async with watched() as here:
        await reused(here)
        await asyncio.sleep(0.5)
        before = [len(agent.requests) for agent in here.agents]
        await asyncio.sleep(0.5)
        assert [len(agent.requests) for agent in here.agents] == before
        # Who is asked again is soon as quick as before, and hears of changes all the while.
        here.cluster.catalog.set_check("galera1", "critical")
        await noticed(here)
        assert (await reused(here)).data == LEFT


async def test_an_answer_of_an_agent_that_does_not_know_of_the_change_yet_is_not_reused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is cut off from the leader, and carries no watch by which that would have shown."""
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.05)
    consul = {"watch": {"enabled": True, "settle": SETTLE, "max_remote": 0}}
    async with world(agents=2, http=True, consul={"watch": {"enabled": False}}) as here:
        first, second = here.agents
        monkeypatch.setattr(watch_module, "off_host", lambda one: one.dns_port == first.dns_port)
        await here.server.reload(settings(here.cluster, consul=consul))
        await reused(here)
        assert watches(here) == {"service galeradb": _name(second)}
        old = {"dc1": here.cluster.catalog.copy()}
        assert first._http is not None
        first._http._catalogs = old
        dns, first.catalogs["dc1"] = first.catalogs["dc1"], old["dc1"]
        first.faults.http.last_contact.on(60)
        here.cluster.catalog.set_check("galera1", "critical")
        await noticed(here)
        ends = our_time() + 5 * SETTLE
        while our_time() < ends:
            # What it says is passed on: nobody knows it to be wrong.
            assert (await here.ask(NAME)).data == GALERA
            assert not covered(here)
        first._http._catalogs = here.cluster.catalogs
        first.catalogs["dc1"] = dns
        first.faults.clear()
        assert (await reused(here)).data == LEFT


async def test_a_change_is_over_soon_for_answers_of_other_agents_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That they know of it they prove when it is needed, not only when it is their turn."""
    monkeypatch.setattr(proving, "PROVE_EVERY", 1.7)
    consul = {"watch": {"enabled": True, "settle": SETTLE, "max_remote": 0}}
    async with world(agents=2, http=True, consul={"watch": {"enabled": False}}) as here:
        first, second = here.agents
        monkeypatch.setattr(watch_module, "off_host", lambda one: one.dns_port == first.dns_port)
        await here.server.reload(settings(here.cluster, consul=consul))
        await reused(here)
        reuse = here.engine.reuse
        assert reuse is not None
        assert watches(here) == {"service galeradb": _name(second)}
        # It has had its turn just now.
        proofs = reuse.freshness.proofs
        before = dict(proofs)
        await until(lambda: proofs.get(_name(first)) != before.get(_name(first)))
        here.cluster.catalog.set_check("galera1", "critical")
        await noticed(here)
        began = our_time()
        assert (await reused(here)).data == LEFT
        assert our_time() - began < 1.0


def _name(agent: DevAgent) -> str:
    return f"{agent.address}:{agent.dns_port}"


async def test_a_change_reaches_what_an_agent_gave_that_proves_nothing_any_more() -> None:
    """Its answer counts by its TTL from then on, unless a watch elsewhere tells of a change."""
    async with by_hand() as (here, hand):
        here.cluster.dns.service_ttl = 5
        await hand.cover()
        (watch,) = hand.freshness.watches.values()
        other = next(_name(one) for one in here.cluster.agents if _name(one) != watch.carrier)
        key = here.engine.front.questions.prepare(question(NAME)).key
        here.engine.cache.entries[key].source = other
        hand.reuse.lost(other)
        assert covered(here)
        hand.change(SUBJECT, 3, 2)
        assert not covered(here)


async def test_asking_for_proofs_begins_anew_after_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with watched() as here:
        assert here.engine.reuse is not None
        proofs = here.engine.reuse.freshness.carriers.proofs

        async def until_proved() -> None:
            ends = our_time() + 10
            while not proofs.at:
                assert our_time() < ends, "nobody proves anything"
                await here.ask(NAME)
                await asyncio.sleep(0.05)

        await until_proved()
        told: list[Any] = []
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(lambda _, context: told.append(context))
        with monkeypatch.context() as patch:

            async def fails(*_: Any) -> tuple[str, int]:
                raise RuntimeError("can't start new thread")

            patch.setattr(Prover, "_proof", fails)
            await until(lambda: bool(told))
        await until(lambda: not proofs.at)
        await until_proved()
        loop.set_exception_handler(before)


def test_the_clock_goes_on_while_the_host_sleeps() -> None:
    assert abs(Clock().now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5


@pytest.mark.parametrize(("limits", "lasts"), [({"max_ttl": 4}, 4), ({"max_ttl": 20}, 10)])
async def test_nothing_is_reused_for_longer_than_the_cache_may_keep_it(
    limits: dict[str, int], lasts: int
) -> None:
    async with by_hand(cache=limits) as (here, hand):
        await hand.cover()
        entry = here.engine.cache.entries[here.engine.front.questions.prepare(question(NAME)).key]
        assert entry.expires_at - here.engine.clock.now() == pytest.approx(lasts, abs=0.5)


async def test_without_a_cache_nothing_is_watched() -> None:
    async with watched(cache={"size": 0}) as here:
        assert here.engine.reuse is None
