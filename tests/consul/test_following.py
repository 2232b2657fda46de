"""Following facts at agents that do as they are told, without a network and without waiting."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.consul import renewal
from consulfwd.consul.asking import LOOK_EVERY
from consulfwd.consul.belief import ANEW, BURST, SECOND_LOOK, WAIT
from consulfwd.consul.facts import PEERS_POLL, POLL, Fact, FactKind
from consulfwd.consul.followed import LEFT_OUT_TOLD
from consulfwd.consul.following import BEGIN_AGAIN, Following
from consulfwd.consul.post import LEADERLESS, PROVE_EVERY
from consulfwd.consul.reply import Reply
from consulfwd.consul.seats import CONNECTIONS, LOOKING
from consulfwd.consul.seats import FAR as FAR_ROOM
from consulfwd.consul.seats import NEAR as NEAR_ROOM
from consulfwd.core.alarms import AGAIN, LONGEST
from consulfwd.core.carriers import CONNECTIONS as OF_WATCHES
from consulfwd.errors import ConsulError
from tests.consul.replies import reply
from tests.consul.scripted import FAR, A, B, C, World, calm, following, ready, until

SERVICES, NODE, KEY = Fact(FactKind.SERVICES), Fact(FactKind.NODE, "n1"), Fact(FactKind.KEY, "a")
WEB = Fact(FactKind.SERVICE, "web")


def services(*names: str, index: int = 7, **more: Any) -> Reply:
    return reply({name: [] for name in names}, index=index, **more)


def names(one: Following) -> list[str]:
    return [each.name for each in one.known[SERVICES]]


def web(*nodes: str, index: int = 7, tags: tuple[str, ...] = (), **more: Any) -> Reply:
    """A reply with an instance of `web` on each node."""
    instances = [
        {
            "Node": {"Node": node, "Address": "10.1.0.1", "Datacenter": "dc1"},
            "Service": {"ID": "web", "Service": "web", "Port": 80, "Tags": list(tags)},
            "Checks": [],
        }
        for node in nodes
    ]
    return reply(instances, index=index, **more)


def on(one: Following) -> list[str]:
    """The nodes that instances of `web` are known on."""
    return [each.node for each in one.known[WEB]]


async def test_what_is_wanted_is_known_and_followed() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a"))
        await ready(world, one, SERVICES)
        assert (names(one), world.changes) == (["a"], 0)
        world.say(SERVICES.path, services("a", "b", index=8))
        await calm()
        assert (names(one), world.changes) == (["a", "b"], 1)
        # Another reply that says the same changes nothing.
        asked = len(world.asked)
        world.say(SERVICES.path, services("b", "a", index=9))
        await world.passes(1)
        assert len(world.asked) == asked + 1
        assert (world.changes, world.told) == (1, [])


async def test_what_nobody_wants_any_more_is_forgotten() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a"))
        world.say(KEY.path, reply(None))
        await ready(world, one, SERVICES, KEY)
        assert one.known[KEY] is None
        await ready(world, one, KEY)
        assert (list(one.known), one.about(SERVICES)) == ([KEY], None)
        asked = len(world.to(A, SERVICES.path))
        world.say(SERVICES.path, services("b", index=8))
        await world.passes(1)
        assert (world.changes, len(world.to(A, SERVICES.path))) == (0, asked)


async def test_it_is_known_since_when_until_when_and_from_whom() -> None:
    async with following() as (world, one):
        world.say(WEB.path, web("n1"))
        begin = world.now
        await ready(world, one, WEB)
        known = one.about(WEB)
        assert known is not None
        assert (known.value, known.agent, known.partial) == (one.known[WEB], f"{A}:8600", False)
        assert known.as_of == pytest.approx(begin, abs=0.1)
        assert known.since == begin
        # While the question waits, each proof of the agent says that nothing has changed.
        await world.passes(4 * PROVE_EVERY)
        later = one.about(WEB)
        assert later is not None
        assert (later.as_of, later.since) == (known.as_of, begin)
        assert world.now - 2 * PROVE_EVERY <= later.proved_until <= world.now
        # The leader was heard of last a while ago, and so was each change.
        world.proofs[A] = reply(contact_ms=4000)
        await world.passes(2 * PROVE_EVERY)
        behind = one.about(WEB)
        assert behind is not None
        assert behind.proved_until <= world.now - 4


async def test_of_another_datacenter_an_agent_proves_nothing() -> None:
    there = Fact(FactKind.SERVICE, "web", "dc2")
    async with following() as (world, one):
        world.say(there.path, web("n1"))
        await ready(world, one, there)
        await world.passes(4 * PROVE_EVERY)
        known = one.about(there)
        assert known is not None
        assert known.proved_until == known.as_of


async def test_the_next_agent_answers_when_one_does_not() -> None:
    async with following(A, B, C) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("connection refused", A)
        world.say(SERVICES.path, services("old", leader=False), B)
        await ready(world, one, SERVICES)
        assert (names(one), [asked.agent for asked in world.asked[:3]]) == (["a"], [A, B, C])
        # What is learned of agents holds for all facts.
        world.say(KEY.path, reply(None))
        del world.asked[:]
        await ready(world, one, SERVICES, KEY)
        assert {asked.agent for asked in world.asked} == {C}
        refused = f"{A}:8600: services: connection refused over HTTP, port 8500"
        leaderless = f"{B}:8600: HTTP 503: services: knows no leader"
        assert world.told == [
            f"{refused}; another agent is asked",
            f"{leaderless}; another agent is asked",
        ]


async def test_nobody_answers_and_what_is_known_stays() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.say(NODE.path, reply(None))
        await ready(world, one, SERVICES, NODE)
        world.fail("connection refused")
        await world.passes(2)
        assert set(one.faults) == {SERVICES, NODE}
        assert (names(one), world.changes) == (["a"], 0)
        assert len(world.told) == 1
        assert "connection refused over HTTP, port 8500; what is known of it stays" in world.told[0]
        # An agent that was restarted knows nothing at first.
        asked = len(world.to(A, SERVICES.path) + world.to(B, SERVICES.path))
        world.say(SERVICES.path, services(index=2))
        world.say(NODE.path, reply(None))
        while asked == len(world.to(A, SERVICES.path) + world.to(B, SERVICES.path)):
            await world.passes(0.05)
        assert names(one) == ["a"]
        world.say(SERVICES.path, services("a", "b", index=9))
        await world.passes(40)
        assert (names(one), one.faults, world.changes) == (["a", "b"], {}, 1)
        assert "can be asked for" in world.told[-1]


async def test_what_no_agent_can_be_asked_for_is_a_fault_and_may_be_known_later() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("Permission denied", status=403)
        await ready(world, one, SERVICES)
        assert SERVICES not in one.known
        error = one.faults[SERVICES]
        reason = f"services: Permission denied; {B}:8600: HTTP 403: Permission denied"
        assert (error.agent, error.status, error.reason) == (f"{A}:8600", 403, reason)
        assert world.told == [f"Consul cannot be asked: {error}; it is not known yet"]
        world.say(SERVICES.path, services("a"))
        await world.passes(60)
        assert (names(one), one.faults, world.changes) == (["a"], {}, 1)


async def test_each_agents_reason_is_told() -> None:
    async with following(A, B, C) as (world, one):
        world.say(SERVICES.path, reply([1]), A)
        world.say(SERVICES.path, ConsulError(f"{B}:8600", 0, "connection refused"), B)
        world.say(SERVICES.path, ConsulError(f"{C}:8600", 403, "Permission denied"), C)
        await ready(world, one, SERVICES)
    assert len(world.told) == 1
    assert "services: the list of services is not of the form Consul's have; " in world.told[0]
    assert f"; {B}:8600: connection refused over HTTP, port 8500; " in world.told[0]
    assert f"; {C}:8600: HTTP 403: Permission denied; it is not known yet" in world.told[0]


async def test_what_strangers_write_anew_every_second_does_not_fill_the_log() -> None:
    async with following() as (world, one):
        world.say(WEB.path, web("n1"))
        await ready(world, one, WEB)
        for number in range(300):
            odd = web("n1", tags=(f"\n{number}",), index=8 + number)
            world.say(WEB.path, odd)
            await world.passes(1)
        assert LEFT_OUT_TOLD < len(world.told) <= 5 * (LEFT_OUT_TOLD + 1)
        assert "a tag of instance of 'web' on 'n1' holds control characters: " in world.told[0]
        # Rights that come and go, neither.
        del world.told[:]
        for number in range(300):
            world.say(WEB.path, web("n2", index=400 + number, filtered=number % 2 == 0))
            await world.passes(1)
        assert 1 <= len(world.told) <= 4


async def test_that_nobody_can_be_asked_is_told_again_and_again() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a"))
        world.say(NODE.path, reply(None))
        await ready(world, one, SERVICES, NODE)
        world.fail("Permission denied", status=403)
        begin = world.now
        await world.passes(3600)
        assert world.told[0].startswith("Consul cannot be asked: ")
        # At once, then ever more seldom, up to an interval; for both facts together.
        gaps = [later - sooner for sooner, later in pairwise([begin, *world.told_at])]
        assert gaps[0] <= 2 * WAIT
        assert AGAIN <= gaps[1] <= AGAIN + 30
        assert all(LONGEST <= gap <= LONGEST + 30 for gap in gaps[4:])
        assert len(gaps) >= 3600 / LONGEST
        assert all("(1 more cannot be asked for)" in text for text in world.told[1:])


@pytest.mark.parametrize("status", [401, 403, 404, 500])
async def test_an_agent_that_refuses_at_once_costs_little(status: int) -> None:
    """The next one is asked to wait for changes all the same."""
    async with following(A, B) as (world, one):
        world.say(WEB.path, ConsulError(f"{A}:8600", status, "no"), A)
        world.say(WEB.path, web("n1"), B)
        await ready(world, one, WEB)
        for minute in range(60):
            begin = world.now
            for step in range(6):
                await world.passes(10)
                # Many a change gives as many occasions to ask.
                world.say(WEB.path, web("n1", "n2", index=100 * minute + 10 * step + 8), B)
                await world.passes(0)
            asked = [each for each in world.asked if each.at >= begin]
            assert sum(each.agent == A for each in asked) < 10
            assert sum(each.agent == B and not each.waits for each in asked) < 10
        assert on(one) == ["n1", "n2"]
        assert world.told[0] == f"{A}:8600: HTTP {status}: service web: no; another agent is asked"
        assert 4 <= len(world.told) <= 4 + 3600 / LONGEST
        # It is well again: it is found, and told.
        world.say(WEB.path, web("n1", index=10_000))
        await world.passes(LONGEST + 2 * WAIT)
        assert (on(one), world.asked[-1].agent) == (["n1"], A)
        assert world.told[-1] == f"{A}:8600: it can be asked for service web again"


@pytest.mark.parametrize("failing", [[WEB, NODE, KEY], [KEY, NODE, WEB]])
async def test_what_is_wrong_reads_the_same_whatever_failed_first(failing: list[Fact]) -> None:
    """Who is asked for what when is chance; people look for the one they know of."""
    async with following() as (world, one):
        world.say(WEB.path, web("n1"))
        world.say(NODE.path, reply(None))
        world.say(KEY.path, reply(None))
        await ready(world, one, WEB, NODE, KEY)
        for fact in failing:
            status = 500 if fact is NODE else 403
            world.say(fact.path, ConsulError(f"{A}:8600", status, "no"), A)
            await world.passes(1)
        assert list(one.faults) == failing
        assert one.wrong() == [
            "Consul cannot be asked for service web and 1 more: HTTP 403: no",
            "Consul cannot be asked for node n1: HTTP 500: no",
        ]


async def test_an_agent_that_refuses_one_thing_is_asked_for_others() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.say(SERVICES.path, ConsulError(f"{A}:8600", 500, "No path to datacenter"), A)
        await ready(world, one, SERVICES)
        world.say(NODE.path, reply(None))
        await ready(world, one, SERVICES, NODE)
        assert world.to(A, NODE.path)
        assert not world.to(B, NODE.path)


async def test_the_first_agent_is_asked_again_after_a_while() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        world.fail("connection refused", A)
        await ready(world, one, SERVICES)
        world.say(SERVICES.path, services("a", "b", index=8), A)
        del world.proofs[A]
        await world.passes(2 * WAIT)
        world.say(SERVICES.path, services("a", "b", index=8), B)
        await world.passes(1)
        assert (world.asked[-1].agent, names(one)) == (A, ["a", "b"])


class Shown:
    """A token file that agents of the world are shown from, whatever they make of it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_text("old")

    def at(self, *agents: str) -> list[Agent]:
        return [Agent(address=one, token_file=self._file) for one in agents]

    async def read(self) -> None:
        """Have it read, as whoever asks over HTTP does first."""
        for one in list(renewal.here()._found.values()):
            await one.look()
            assert not one.faults()

    async def rotated(self) -> None:
        """Another one is there, and was seen to be."""
        self._file.write_text("another")
        await self.read()


async def test_a_rotated_token_is_used_at_once_after_an_hour_of_refusals(tmp_path: Path) -> None:
    shown = Shown(tmp_path / "token")
    async with following(*shown.at(A, B)) as (world, one):
        await shown.read()
        world.say(WEB.path, web("n1"))
        await ready(world, one, WEB)
        world.fail("ACL not found", status=403)
        await world.passes(3600)
        assert one.faults[WEB].status == 403
        assert one.wrong() == [
            "Consul cannot be asked for service web: HTTP 403: ACL not found;"
            f" {B}:8600: HTTP 403: ACL not found"
        ]
        # Agents take it; nobody asks them soon.
        world.say(WEB.path, web("n1", "n2", index=8))
        world.proofs.clear()
        await shown.rotated()
        asked = len(world.asked)
        await world.passes(0)
        assert (on(one), one.wrong()) == (["n1", "n2"], [])
        # The first of them is the first again.
        assert [each.agent for each in world.asked[asked:]][:1] == [A]
        await world.passes(1)
        assert world.asked[-1].waits


async def test_what_one_agent_refused_is_asked_of_it_again_with_another_token(
    tmp_path: Path,
) -> None:
    shown = Shown(tmp_path / "token")
    async with following(*shown.at(A), Agent(address=B)) as (world, one):
        await shown.read()
        world.say(SERVICES.path, services("a"))
        world.say(SERVICES.path, ConsulError(f"{A}:8600", 403, "ACL not found"), A)
        facts = keys(3)
        for fact in facts:
            world.say(fact.path, ConsulError(f"{A}:8600", 0, "certificate refused"), A)
            world.say(fact.path, holds(fact, "eA==", 5), B)
        await ready(world, one, SERVICES, *facts)
        await world.passes(3600)
        world.say(SERVICES.path, services("a"), A)
        for fact in facts:
            world.say(fact.path, holds(fact, "eA==", 5), A)
        await shown.rotated()
        del world.asked[:]
        await world.passes(2 * WAIT + 5)
        assert {each.path for each in world.asked if each.agent == A and each.waits} == {
            SERVICES.path, *(fact.path for fact in facts)
        }  # fmt: skip


async def test_it_may_be_closed_twice(tmp_path: Path) -> None:
    """Whoever is cancelled while it closes closes it again."""
    shown = Shown(tmp_path / "token")
    world = World()
    async with following(*shown.at(A), world=world) as (_, one):
        world.say(WEB.path, web("n1"))
        await ready(world, one, WEB)
        await one.close()
        world.closed.clear()


async def test_what_waits_looks_anew_with_another_token(tmp_path: Path) -> None:
    """It may show more, and nobody is woken for that."""
    shown = Shown(tmp_path / "token")
    async with following(*shown.at(A)) as (world, one):
        await shown.read()
        world.say(WEB.path, web("n1", filtered=True))
        await ready(world, one, WEB)
        await world.passes(5)
        assert world.asked[-1].waits
        world.answers[A, WEB.path] = web("n1", "n2")
        await world.passes(5)
        assert on(one) == ["n1"]
        await shown.rotated()
        await world.passes(1)
        known = one.about(WEB)
        assert known is not None
        assert (on(one), known.partial, world.asked[-1].waits) == (["n1", "n2"], False, True)


async def test_what_is_asked_now_and_then_is_asked_anew_on_request() -> None:
    peers = Fact(FactKind.PEERS)
    async with following(A, B) as (world, one):
        world.say(peers.path, reply(["10.0.0.1:8300"], index=None))
        await ready(world, one, peers)
        assert one.known[peers] == ("10.0.0.1",)
        del world.asked[:]
        await world.passes(PEERS_POLL * 10)
        assert 7 <= len(world.asked) <= 14
        world.say(peers.path, reply(["10.0.0.1:8300", "10.0.0.2:8300"], index=None))
        begin = world.now
        await until(world, lambda: one.again([peers]), 5)
        assert (one.known[peers], world.now - begin) == (("10.0.0.1", "10.0.0.2"), 0)
        # Where nobody can be asked, too.
        world.fail("no", status=500)
        await until(world, lambda: one.again([peers]), 60)
        assert peers in one.faults


NO_NODE, NO_SERVICE = "/v1/coordinate/node/", "/v1/config/service-defaults/"
DENIED = ConsulError(f"{A}:8600", 403, "Permission denied")


async def test_a_revoked_token_is_shown_rarely_however_many_facts_there_are() -> None:
    facts = keys(200)
    async with following() as (world, one):
        for fact in facts:
            world.say(fact.path, holds(fact, "eA==", 5))
        await ready(world, one, *facts)
        world.fail("ACL not found", status=403)
        await world.passes(120)
        del world.asked[:]
        await world.passes(120)
        assert len(one.faults) == len(facts)
        assert len(world.asked) <= 120 * (1 + LOOKING)
        # Of what may not be read this says nothing.
        world.proofs.clear()
        for fact in facts:
            world.say(fact.path, holds(fact, "eQ==", 6))
        world.say(facts[0].path, ConsulError(f"{A}:8600", 403, "Permission denied"))
        await world.passes(120)
        assert list(one.faults) == [facts[0]]


async def test_where_nothing_is_said_of_acls_who_is_gone_is_asked_about() -> None:
    async with following() as (world, one):
        for path in (f"{NO_NODE}n2", f"{NO_SERVICE}web"):
            world.say(path, reply(None, index=None, mute=True))
        world.say(WEB.path, web("n1", "n2", mute=True))
        await ready(world, one, WEB)
        await world.passes(10)
        del world.asked[:]
        world.say(WEB.path, web("n1", index=8, mute=True))
        await world.passes(0)
        assert (on(one), world.told) == (["n1"], [])
        assert [each.path for each in world.asked][:3] == [
            f"{NO_SERVICE}web", f"{NO_NODE}n2", WEB.path
        ]  # fmt: skip
        assert {each.params["stale"] for each in world.asked} == {""}
        # A node that comes back is no matter of rights.
        world.say(WEB.path, web("n1", "n2", index=9, mute=True))
        await world.passes(5)
        assert on(one) == ["n1", "n2"]


@pytest.mark.parametrize(
    ("denied", "nodes"), [(f"{NO_NODE}n2", ["n1"]), (f"{NO_SERVICE}web", []), (f"{NO_NODE}n1", [])]
)
async def test_where_nothing_is_said_of_acls_what_is_hidden_stays(
    denied: str, nodes: list[str]
) -> None:
    async with following() as (world, one):
        for path in (f"{NO_NODE}n1", f"{NO_NODE}n2", f"{NO_SERVICE}web"):
            world.say(path, DENIED if path == denied else reply(None, index=None, mute=True))
        world.say(WEB.path, web("n1", "n2", mute=True))
        await ready(world, one, WEB)
        await world.passes(10)
        world.say(WEB.path, web(*nodes, index=8, mute=True))
        del world.asked[:]
        await world.passes(3600)
        known = one.about(WEB)
        assert known is not None
        assert (on(one), known.partial, world.changes) == (["n1", "n2"], True, 0)
        what = "all" if nodes else "any"
        why = f"HTTP 403: service web: the token may not read {what} of it; what is known of it"
        assert all(why in text for text in world.told)
        assert 3600 / LONGEST <= len(world.told) <= 4 + 3600 / LONGEST
        # Refused again and again, it is asked ever more seldom.
        assert len(world.asked) <= 4 * 3600 / 15
        world.say(denied, reply(None, index=None, mute=True))
        world.say(WEB.path, web("n1", "n2", index=9, mute=True))
        await world.passes(60)
        known = one.about(WEB)
        assert known is not None
        assert (on(one), known.partial) == (["n1", "n2"], False)
        assert world.told[-1] == "Consul can be asked for service web again"


async def test_what_cannot_be_found_out_leaves_all_as_it_is() -> None:
    async with following(A, B) as (world, one):
        world.say(WEB.path, web("n1", "n2", mute=True))
        for path in (f"{NO_NODE}n2", f"{NO_SERVICE}web"):
            world.say(path, ConsulError(f"{A}:8600", 500, "No cluster leader"))
        await ready(world, one, WEB)
        await world.passes(10)
        world.say(WEB.path, web("n1", index=8, mute=True))
        await world.passes(60)
        assert (on(one), one.faults[WEB].status) == (["n1", "n2"], 500)
        for path in (f"{NO_NODE}n2", f"{NO_SERVICE}web"):
            world.say(path, reply(None, index=None, mute=True), B)
        await world.passes(LONGEST + 60)
        assert on(one) == ["n1"]


async def test_questions_wait_long_and_not_in_step() -> None:
    async with following() as (world, one):
        facts = [Fact(FactKind.KEY, f"k{number}") for number in range(10)]
        for fact in facts:
            world.say(fact.path, reply(None))
        await ready(world, one, *facts)
        await world.passes(3600)
        waits = [float(each.params["wait"][:-2]) / 1000 for each in world.asked if each.waits]
        assert all(WAIT <= wait <= 2 * WAIT for wait in waits)
        assert len(set(waits)) > len(waits) / 2
        assert len(world.asked) <= 10 * 3600 / WAIT


async def test_what_changes_all_the_time_is_looked_at_once_a_second() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a"))
        await ready(world, one, SERVICES)
        begin = len(world.asked)
        for number in range(600):
            world.say(SERVICES.path, services(f"s{number}", index=8 + number))
            await world.passes(0.1)
        assert len(world.asked) - begin <= 60 + BURST
        # The last state is reached.
        await world.passes(1)
        assert names(one) == ["s599"]


async def test_a_leader_that_changes_is_not_asked_for_everything() -> None:
    async with following(A, B) as (world, one):
        facts = [Fact(FactKind.KEY, f"k{number}") for number in range(30)]
        for fact in facts:
            world.say(fact.path, reply(None, index=7))
        await ready(world, one, *facts)
        first = [each for each in world.asked if "stale" not in each.params]
        # Where there is nothing, the leader says so twice.
        assert len(first) == 2 * len(facts)
        del world.asked[:]
        world.fail("No cluster leader", status=500)
        await world.passes(20)
        for fact in facts:
            world.say(fact.path, reply([{"Key": fact.name, "Value": "eA=="}], index=9))
        world.proofs.clear()
        await world.passes(60)
        assert all(one.known[fact].data == b"x" for fact in facts)
        assert [each for each in world.asked if "stale" not in each.params] == []


async def test_an_agent_that_hangs_is_left_within_16_s() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        await ready(world, one, SERVICES)
        world.hung.add(A)
        world.say(SERVICES.path, services("a", "b", index=8), B)
        await world.passes(16)
        assert (names(one), world.asked[-1].agent) == (["a", "b"], B)
        assert world.told == [
            f"{A}:8600: services: no reply within 4 s over HTTP, port 8500; another agent is asked"
        ]


async def test_an_election_moves_nobody_but_an_agent_without_a_leader_is_left() -> None:
    async with following(A, B) as (world, one):
        world.say(SERVICES.path, services("a"))
        await ready(world, one, SERVICES)
        world.proofs[A] = reply(leader=False)
        await world.passes(PROVE_EVERY + 2)
        assert {each.agent for each in world.asked} == {A}
        await world.passes(2 * LEADERLESS)
        assert world.asked[-1].agent == B
        assert "it knows no leader" in world.told[0]


async def test_a_part_by_the_tokens_rights_is_told_once_and_known_to_be_one() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a", filtered=True))
        await ready(world, one, SERVICES)
        world.say(f"{NO_SERVICE}a", reply(None, index=None))
        world.say(SERVICES.path, services("b", index=8, filtered=True))
        await world.passes(1)
        assert names(one) == ["b"]
        known = one.about(SERVICES)
        assert known is not None
        assert known.partial
        assert world.told == ["the token may not read all of services: it is used without the rest"]


async def test_rights_that_shrink_further_take_nothing_out_of_a_part() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services("a", "b", filtered=True))
        await ready(world, one, SERVICES)
        world.say(f"{NO_SERVICE}a", DENIED)
        world.say(SERVICES.path, services("b", index=8, filtered=True))
        await world.passes(30)
        assert names(one) == ["a", "b"]
        assert "HTTP 403: services: the token may not read all of it" in world.told[-1]
        world.say(f"{NO_SERVICE}a", reply(None, index=None))
        await world.passes(60)
        assert names(one) == ["b"]


async def test_rights_that_shrink_behind_a_stream_shrink_no_list() -> None:
    async with following() as (world, one):
        world.say(WEB.path, web("n1", "n2"))
        await ready(world, one, WEB)
        # Replies by streaming have no header that tells; a plain look has.
        world.say(WEB.path, web("n1", index=9, filtered=True))
        world.stream(WEB.path, web("n1", index=9, streaming=True))
        await world.passes(5)
        known = one.about(WEB)
        assert known is not None
        assert (on(one), known.partial, world.changes) == (["n1", "n2"], True, 0)
        assert world.told == [
            f"Consul cannot be asked: {A}:8600: HTTP 403: service web: the token may not read all"
            " of it; what is known of it stays"
        ]
        # It has its rights again, and then one really goes.
        world.say(WEB.path, web("n1", "n2", index=9))
        world.stream(WEB.path, web("n1", "n2", index=9, streaming=True))
        await world.passes(40)
        assert not one.faults
        world.say(WEB.path, web("n2", index=12))
        world.stream(WEB.path, web("n2", index=12, streaming=True))
        await world.passes(2)
        assert (on(one), world.changes) == (["n2"], 1)


async def test_rights_that_another_token_does_not_have_shrink_no_list() -> None:
    """Tokens are read again where settings are."""
    async with following() as (world, first):
        world.say(WEB.path, web("n1", "n2"))
        await ready(world, first, WEB)
        before = first.beliefs
    world.say(WEB.path, web("n1", filtered=True))
    async with following(world=world, before=before) as (_, one):
        await ready(world, one, WEB)
        # What was known is there at once, and stays.
        assert on(one) == ["n1", "n2"]
        await world.passes(60)
        assert (on(one), world.changes) == (["n1", "n2"], 0)
        assert "the token may not read all of it; what is known of it stays" in world.told[0]
        # It is news that what it is to be is another thing.
        world.say(WEB.path, web("n1", "n2", "n3", index=9))
        await world.passes(60)
        assert (on(one), world.changes) == (["n1", "n2", "n3"], 1)


async def test_what_a_stranger_wrote_costs_his_instance_and_is_told_once() -> None:
    other = Fact(FactKind.SERVICE, "other")
    async with following() as (world, one):
        both = [*web("n1", tags=("a\n",)).json(), *web("n2").json()]
        world.say(WEB.path, reply(both, index=7))
        world.say(other.path, reply(both, index=7))
        await ready(world, one, WEB, other)
        await world.passes(600)
        assert on(one) == ["n2"]
        assert world.told == [
            "service web: a tag of instance of 'web' on 'n1' holds control characters: 'a\\n':"
            " that instance is left out"
        ]
        world.say(WEB.path, web("n1", "n2", index=8))
        await world.passes(2)
        assert on(one) == ["n1", "n2"]


async def test_a_cluster_begun_anew_is_told_and_waited_for() -> None:
    async with following() as (world, one):
        world.say(WEB.path, web("n1", "n2", index=100))
        world.say(SERVICES.path, services("web", "db", index=100))
        await ready(world, one, WEB, SERVICES)
        world.fail("connection refused")
        await world.passes(5)
        world.told.clear()
        world.proofs.clear()
        world.say(WEB.path, web(index=9))
        world.say(SERVICES.path, services("consul", index=9))
        await world.passes(50)
        assert (on(one), names(one)) == (["n1", "n2"], ["db", "web"])
        (told,) = [line for line in world.told if "counts anew" in line]
        assert told.endswith("what is known of it stays for 60 s, and so does all like it")
        # Some of it comes back, the rest does not.
        world.say(SERVICES.path, services("consul", "web", index=20))
        world.say(WEB.path, web("n1", "n2", "n3", index=20))
        await world.passes(10)
        assert on(one) == ["n1", "n2", "n3"]
        await world.passes(ANEW)
        assert names(one) == ["consul", "web"]


async def test_however_much_strangers_write_the_log_tells_no_more_than_some_of_it() -> None:
    async with following() as (world, one):
        odd = [web(f"n{number}", tags=(f"{number}\n",)).json()[0] for number in range(500)]
        world.say(WEB.path, reply(odd + web("well").json(), index=7))
        await ready(world, one, WEB)
        assert on(one) == ["well"]
        *some, more = world.told
        assert len(some) == LEFT_OUT_TOLD
        assert more == "service web: 490 more are left out for such reasons"


async def test_what_cannot_be_waited_for_is_asked_for_now_and_then() -> None:
    datacenters = Fact(FactKind.DATACENTERS)
    async with following() as (world, one):
        world.say(datacenters.path, reply(["dc1"], index=None))
        await ready(world, one, datacenters)
        world.say(datacenters.path, reply(["dc1", "dc2"], index=None))
        await world.passes(2 * POLL)
        assert one.known[datacenters] == ("dc1", "dc2")
        await world.passes(60 * POLL)
        assert len(world.asked) <= 80


async def test_a_fault_of_ours_hangs_nobody_is_told_and_begun_again() -> None:
    seen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
    async with following() as (world, one):
        world.say(SERVICES.path, KeyError("unforeseen"))
        await ready(world, one, SERVICES)
        assert "KeyError" in one.faults[SERVICES].reason
        assert len(seen) == 1
        assert "an error of consulfwd's own (KeyError('unforeseen')), begun again" in world.told[0]
        world.say(SERVICES.path, services("a"))
        await world.passes(BEGIN_AGAIN)
        assert (names(one), one.faults, world.changes) == (["a"], {}, 1)
        # Once more, while it is known: it stays, and is followed again.
        world.say(SERVICES.path, KeyError("unforeseen"))
        await world.passes(1)
        assert (names(one), len(seen)) == (["a"], 2)
        world.say(SERVICES.path, services("a", "b", index=9))
        await world.passes(4 * BEGIN_AGAIN)
        assert (names(one), one.faults) == (["a", "b"], {})


async def test_nothing_at_first_can_be_confirmed() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services())
        world.say(KEY.path, reply([{"Key": "a", "Value": "eA=="}]))
        await ready(world, one, SERVICES, KEY)
        assert one.unconfirmed([SERVICES, KEY]) == {SERVICES}
        begin = world.now
        await until(world, lambda: one.confirm([SERVICES, KEY]), 60)
        assert world.now - begin == pytest.approx(SECOND_LOOK, abs=0.5)
        assert one.unconfirmed([SERVICES]) == set()
        assert "consistent" in [each for each in world.asked if not each.waits][-1].params


async def test_nothing_at_first_that_is_something_later_or_cannot_be_asked_again() -> None:
    async with following() as (world, one):
        world.say(SERVICES.path, services())
        world.say(NODE.path, reply(None))
        await ready(world, one, SERVICES, NODE)
        world.say(SERVICES.path, services("a"))
        world.say(NODE.path, ConsulError(f"{A}:8600", 500, "no"))
        await until(world, lambda: one.confirm([SERVICES, NODE]), 60)
        assert (names(one), one.unconfirmed([SERVICES, NODE])) == (["a"], {NODE})


def keys(many: int) -> list[Fact]:
    return [Fact(FactKind.KEY, f"k{number}") for number in range(many)]


def holds(fact: Fact, value: str, index: int) -> Reply:
    return reply([{"Key": fact.name, "Value": value}], index=index)


@pytest.mark.parametrize(("agent", "room"), [(A, NEAR_ROOM), (FAR, FAR_ROOM)])
async def test_connections_are_left_to_others(agent: str, room: Any) -> None:
    """Beyond so many questions that wait at an agent, it is asked in turn instead."""
    facts = keys(room.waiting + 5)
    async with following(agent) as (world, one):
        for fact in facts:
            world.say(fact.path, holds(fact, "eA==", 5))
        await ready(world, one, *facts)
        await world.passes(4 * LOOK_EVERY)
        assert world.most_waiting == room.waiting
        assert world.most_looking <= LOOKING

        def waits(fact: Fact) -> bool:
            return any(each.waits for each in world.to(agent, fact.path))

        # What changes where nobody waits is seen in turn, and from then on at once.
        fact = next(each for each in facts if not waits(each))
        world.say(fact.path, holds(fact, "eQ==", 6))
        await world.passes(2 * LOOK_EVERY)
        assert one.known[fact].data == b"y"
        world.say(fact.path, holds(fact, "eg==", 7))
        await world.passes(0)
        assert one.known[fact].data == b"z"
        assert world.most_waiting == room.waiting


def test_serve_and_render_on_one_host_leave_half_of_consuls_connections() -> None:
    # What looks after an agent, and proofs of watches, are among those of watches.
    assert OF_WATCHES + CONNECTIONS < 100


async def test_a_whole_catalog_is_followed_by_few_connections() -> None:
    facts = [Fact(FactKind.SERVICE, f"s{number}") for number in range(2000)]
    async with following() as (world, one):
        for fact in facts:
            world.say(fact.path, web("n1", "n2", "n3", "n4", "n5"))
        await ready(world, one, *facts)
        assert len(one.known) == 2000
        del world.asked[:]
        # Though all became known at once, no part of a turn has many more of them than another.
        for _ in range(12):
            begin = len(world.asked)
            await world.passes(WAIT / 6)
            assert len(world.asked) - begin <= 1.4 * NEAR_ROOM.looks * WAIT / 6
        assert (world.most_waiting, world.most_looking) == (NEAR_ROOM.waiting, LOOKING)
        assert len(world.asked) / (2 * WAIT) <= 1.1 * NEAR_ROOM.looks
        # Nobody is left out, and what changes is seen in one turn of all.
        assert {each.path for each in world.asked} == {each.path for each in facts}
        last = facts[-1]
        world.say(last.path, web("n1", index=8))
        await world.passes(1.3 * 2000 / NEAR_ROOM.looks)
        assert len(one.known[last]) == 1


async def test_agents_that_hang_hold_up_many_facts_no_longer_than_one() -> None:
    facts = keys(500)
    async with following(A, B) as (world, one):
        world.hung.add(A)
        for fact in facts:
            world.say(fact.path, holds(fact, "eA==", 5))
        await ready(world, one, *facts, within=15.0)
        assert len(one.known) == 500
        assert len({each.path for each in world.asked if each.agent == A}) <= 2 * LOOKING
