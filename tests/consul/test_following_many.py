"""Following more facts than can be waited for: which one is looked at when."""

from __future__ import annotations

import random
from typing import cast

import pytest

from consulfwd.config import Agent
from consulfwd.consul.asking import LOOK_AGAIN, LOOK_EVERY, MOST_LOOKS
from consulfwd.consul.belief import APART
from consulfwd.consul.client import Client
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.following import Following
from consulfwd.consul.post import PROVE_EVERY
from consulfwd.consul.seats import NEAR
from tests.consul.replies import reply
from tests.consul.scripted import A, Fake, World, calm, following, until

MANY = 100
KEYS = [Fact(FactKind.KEY, f"k{number}") for number in range(MANY)]


def say(world: World, fact: Fact, text: str = "", index: int = 7) -> None:
    world.say(fact.path, reply([{"Key": fact.name, "Value": text}], index=index))


async def known(world: World, one: Following, *first: Fact) -> None:
    for fact in KEYS:
        say(world, fact)
    one.want(KEYS, first=first)
    await until(world, one.ready, 60)
    await world.passes(3 * LOOK_EVERY)


def looks(world: World, fact: Fact) -> int:
    return len([one for one in world.to(A, fact.path) if not one.waits])


def looked_at(one: Following) -> Fact:
    return next(fact for fact in KEYS if not one.waits(fact))


async def test_what_is_told_to_have_changed_is_looked_at_now() -> None:
    async with following() as (world, one):
        await known(world, one)
        fact = looked_at(one)
        before = looks(world, fact)
        say(world, fact, "YQ==", 8)
        one.look([fact])
        await calm()
        assert one.known[fact].data == b"a"
        assert looks(world, fact) == before + 1
        # It showed what was told: no other look is needed.
        await world.passes(2 * LOOK_AGAIN)
        assert looks(world, fact) == before + 1


async def test_what_shows_no_change_is_looked_at_once_more() -> None:
    async with following() as (world, one):
        await known(world, one)
        fact = looked_at(one)
        before = looks(world, fact)
        one.look([fact])
        await calm()
        assert looks(world, fact) == before + 1
        await world.passes(LOOK_AGAIN)
        assert looks(world, fact) == before + 2
        await world.passes(2 * LOOK_AGAIN)
        assert looks(world, fact) <= before + 3


@pytest.mark.parametrize("count", [10, MANY])
async def test_an_agent_that_counts_anew_is_waited_at_by_nobody_for_the_old_count(
    count: int,
) -> None:
    async with following() as (world, one):
        facts = KEYS[:count]
        world.proofs[A] = reply(index=700)
        for fact in facts:
            say(world, fact, index=700)
        one.want(facts)
        await until(world, one.ready, 60)
        await world.passes(3 * LOOK_EVERY)
        # It was restored: whoever waits for more than 700 is not woken by anything.
        world.proofs[A] = reply(index=8)
        for fact in facts:
            say(world, fact, index=9)
        await world.passes(1.5 * PROVE_EVERY)
        proved = world.now
        if count == MANY:
            # There is room for some who have rested since before.
            gone = [fact for fact in facts if one.waits(fact)][:5]
            one.without(gone)
            facts = [fact for fact in facts if fact not in gone]
        await world.passes(APART)
        for fact in facts:
            say(world, fact, "YQ==", index=10)
        await world.passes(2 * LOOK_EVERY if count == MANY else APART + 1)
        assert all(one.known[fact].data == b"a" for fact in facts)
        # And nobody begins to, who has rested meanwhile.
        late = {asked.params.get("index") for asked in world.asked if asked.at > proved}
        assert "700" not in late


async def test_who_waits_is_not_asked_beside() -> None:
    async with following() as (world, one):
        await known(world, one)
        fact = next(fact for fact in KEYS if one.waits(fact))
        asked = len(world.to(A, fact.path))
        one.look([fact, Fact(FactKind.KEY, "unknown")])
        await world.passes(2 * LOOK_AGAIN)
        assert len(world.to(A, fact.path)) == asked


async def test_facts_come_and_go_one_by_one() -> None:
    async with following() as (world, one):
        await known(world, one)
        new = Fact(FactKind.KEY, "new")
        say(world, new)
        asked = len(world.asked)
        one.also([new, *KEYS])
        await calm()
        assert new in one.known
        assert len(world.asked) - asked <= 2
        one.without([new, KEYS[0]])
        await calm()
        assert one.about(new) is None
        assert KEYS[0] not in one.known
        assert len(one.known) == MANY - 1


async def test_whoever_is_named_first_waits_whatever_changes() -> None:
    async with following() as (world, one):
        hub = KEYS[-1]
        await known(world, one, hub)
        for number in range(3 * NEAR.waiting):
            fact = looked_at(one)
            say(world, fact, "YQ==", 8 + number)
            one.look([fact])
            await world.passes(2)
        assert one.waits(hub)
        assert world.waiting == NEAR.waiting


async def test_it_is_told_which_fact_was_heard_of() -> None:
    world, heard = World(), list[Fact]()
    made = Following(
        [Agent(address=A)],
        heard=heard.append,
        connect=lambda agent: cast(Client, Fake(world, agent)),
        clock=lambda: world.now,
        sleep=world.sleep,
        rng=random.Random(1),
    )
    try:
        say(world, KEYS[0])
        made.want([KEYS[0]])
        await until(world, made.ready, 5)
        assert heard == [KEYS[0]]
        world.fail("no", A, status=500)
        await world.passes(1)
        assert len(heard) > 1
        assert KEYS[0] in made.faults
    finally:
        await made.close()


@pytest.mark.parametrize(("turn", "every"), [(float("inf"), 25.0), (12.0, 12.0), (1.0, 10.0)])
async def test_each_has_its_turn_in_time(turn: float, every: float) -> None:
    world = World()
    made = Following(
        [Agent(address=A)],
        turn=turn,
        connect=lambda agent: cast(Client, Fake(world, agent)),
        clock=lambda: world.now,
        sleep=world.sleep,
        rng=random.Random(1),
    )
    facts = [Fact(FactKind.KEY, f"k{number}") for number in range(1020)]
    try:
        for fact in facts:
            say(world, fact)
        made.want(facts)
        await until(world, made.ready, 60)
        await world.passes(3 * every)
        begin = len(world.asked)
        await world.passes(2 * every)
        of_each = [0] * len(facts)
        for one in world.asked[begin:]:
            if not one.waits:
                of_each[int(one.path.rpartition("k")[2])] += 1
        looked = [number for number in of_each if number]
        assert len(looked) >= 1000
        assert sum(looked) / len(looked) == pytest.approx(2, abs=0.15)
        assert sum(looked) / (2 * every) <= MOST_LOOKS * 1.05
    finally:
        await made.close()
