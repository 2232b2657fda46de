"""Agents that are behind: what is given out of answers that still have who left."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from consulfwd.core.departures import BEHIND
from consulfwd.core.interest import REST
from consulfwd.core.proofs import LIFE
from consulfwd.core.settling import Instance
from consulfwd.dns.names import from_text
from consulfwd.net.relays import KEEP_AGAIN
from tests.net.test_reuse import LEFT, NAME, SETTLE, SUBJECT, Hand, _name, by_hand, covered
from tests.net.world import GALERA


def instance(address: str) -> Instance:
    packed = ip_address(address).packed
    name = from_text(f"{packed.hex()}.addr.dc1")[:-1]
    return Instance(name, name, packed, packed, b"", 3306, frozenset(), 1, True, False)


def shown(
    hand: Hand, addresses: list[str], *, leader: bool, changed: bool = True, critical: int = 0
) -> None:
    """Let the watch see these instances, as the leader tells them or an agent."""
    watch = hand.freshness.watches[SUBJECT]
    told = frozenset(map(instance, addresses))
    note = hand.freshness.changed if changed else hand.freshness.armed
    keys = note(
        SUBJECT, watch.carrier, hand.here.engine.clock.now(), size=len(told) + critical,
        healthy=len(told),
        instances=told if leader else None, shown=told,
    )  # fmt: skip
    hand.reuse.drop(keys, changed=changed)


def one_left(hand: Hand, *, leader: bool) -> None:
    """Let the watch see the first instance leave."""
    shown(hand, GALERA, leader=leader, changed=False)
    shown(hand, LEFT, leader=leader)


async def test_who_left_is_given_out_on_nobodys_word() -> None:
    """The leader told, and each agent is behind by more than a change takes to settle."""
    async with by_hand() as (here, hand):
        await hand.cover()
        one_left(hand, leader=True)
        hand.skip(2 * SETTLE)
        for _ in range(3):
            assert (await here.ask(NAME)).data == LEFT
            assert covered(here)
        assert len((await here.ask(NAME, "SRV")).data) == len(LEFT)


async def test_replies_that_are_known_by_their_bytes_are_looked_at_too() -> None:
    """Where they are not reused each is passed on, and recognised."""
    async with by_hand() as (here, hand):
        await hand.cover()
        shown(hand, GALERA, leader=True, changed=False)
        hand.reuse.lost(hand.freshness.watches[SUBJECT].carrier)
        for _ in range(4):
            assert (await here.ask(NAME)).data == GALERA
        one_left(hand, leader=True)
        hand.skip(max(2 * SETTLE, KEEP_AGAIN))
        for _ in range(4):
            assert (await here.ask(NAME)).data == LEFT
            hand.skip(0.01)


async def test_what_an_agent_told_is_passed_on_and_not_reused() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        one_left(hand, leader=False)
        hand.skip(2 * SETTLE)
        for _ in range(3):
            assert (await here.ask(NAME)).data == GALERA
            assert not covered(here)
        here.cluster.catalog.set_check("galera1", "critical")
        assert (await here.ask(NAME)).data == LEFT
        assert covered(here)


@pytest.mark.parametrize("leader", [True, False])
async def test_after_a_while_agents_are_believed_again(*, leader: bool) -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        one_left(hand, leader=leader)
        for _ in range(int(BEHIND)):
            hand.skip(1)
        assert (await here.ask(NAME)).data == GALERA
        assert covered(here)


async def test_who_is_back_is_not_hidden_by_a_watch_that_did_not_see_it_return() -> None:
    """The watch ended, for want of agents, and another begins."""
    async with by_hand() as (here, hand):
        await hand.cover()
        one_left(hand, leader=True)
        hand.skip(2 * SETTLE)
        for agent in here.cluster.agents:
            hand.reuse.lost(_name(agent))
        assert not hand.freshness.watches
        hand.freshness.carriers.proofs.barred.clear()
        hand.skip(REST)
        await hand.cover()
        shown(hand, GALERA, leader=True, changed=False)
        assert (await here.ask(NAME)).data == GALERA


async def test_a_watch_that_sees_nothing_denies_nobody_for_long() -> None:
    """Its token may have lost the right to see: of Consul 1.8 nobody hears of that."""
    async with by_hand() as (here, hand):
        await hand.cover()
        shown(hand, GALERA, leader=True, changed=False)
        shown(hand, [], leader=True)
        hand.skip(2 * SETTLE)
        assert (await here.ask(NAME)).data == GALERA
        assert not covered(here)
        # That all are critical it does see.
        shown(hand, GALERA, leader=True)
        shown(hand, [], leader=True, critical=3)
        hand.skip(2 * SETTLE)
        assert (await here.ask(NAME)).rcode == "NXDOMAIN"


async def test_an_agent_without_the_right_to_see_to_which_the_watch_moves_denies_nobody() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        shown(hand, GALERA, leader=True, changed=False)
        hand.reuse.lost(hand.freshness.watches[SUBJECT].carrier)
        hand.prove()
        shown(hand, [], leader=True, changed=False)
        hand.skip(1)
        assert (await here.ask(NAME)).data == GALERA


async def test_while_a_watch_moves_for_long_who_left_may_be_back() -> None:
    async with by_hand() as (here, hand):
        await hand.cover()
        one_left(hand, leader=True)
        hand.reuse.lost(hand.freshness.watches[SUBJECT].carrier)
        hand.skip(2 * SETTLE)
        assert (await here.ask(NAME)).data == LEFT
        hand.skip(LIFE)
        assert (await here.ask(NAME)).data == GALERA
