"""The overseer with clients that say what a test wants: who is asked, who is told what.

Its turns take a hundredth of a second; the shortest that settings allow would make tests long.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent, Seeds, Settings
from consulfwd.consul import overseer as module
from consulfwd.consul import quality, renewal
from consulfwd.consul.client import Client
from consulfwd.consul.learning import PEERS
from consulfwd.consul.overseer import LIMIT, PATH, TIMEOUT, Overseer
from consulfwd.consul.reply import Reply
from consulfwd.consul.servers import addresses as listing
from consulfwd.core.upstreams import Upstream
from consulfwd.errors import ConsulError
from tests.consul.replies import reply, servers
from tests.net.world import nothing_left_behind, until

A, B, C, D = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"
EVERY = 0.01
Said = Reply | ConsulError | Exception


def _said(said: Said) -> Reply:
    if isinstance(said, Exception):
        raise said
    return said


class Scripted(Client):
    """A client that asks nobody: `world.says` has what each address replies.

    `world.peers` is what any says of Raft's peers; None that they are who is in the catalog.
    """

    def __init__(self, agent: Agent, world: World) -> None:
        super().__init__(agent)
        self._world = world

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout: float,
        limit: int = 0,
        absent: bool = False,
        anonymous: bool = False,
        also: Collection[int] = (),
    ) -> Reply:
        await asyncio.sleep(0)
        if path == PEERS:
            assert (params, anonymous) == (None, True)
            self._world.asked_for_peers.append(self.agent.address)
            said = self._world.first_peers.pop(0) if self._world.first_peers else self._world.peers
            return self._world.named() if said is None else _said(said)
        assert (path, params, timeout, limit) == (PATH, {"stale": ""}, TIMEOUT, LIMIT)
        assert not absent
        assert not anonymous
        self._world.asked.append(self.agent.address)
        said = self._world.says.get(self.agent.address, reply())
        return _said(said)

    async def close(self) -> None:
        self._world.closed.append(self.agent.address)


def peers(*addresses: str) -> Reply:
    """What /v1/status/peers says."""
    return reply([f"[{one}]:8300" if ":" in one else f"{one}:8300" for one in addresses])


def _listed(said: Reply) -> list[str]:
    try:
        return listing(said.json())
    except (ConsulError, ValueError):
        return []


class World:
    """An overseer, and what came of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed: list[str] = []
        self.says: dict[str, Said] = {}
        self.peers: Said | None = None
        self.first_peers: list[Said] = []
        self.asked_for_peers: list[str] = []
        self.changes = 0
        self.upstreams: dict[tuple[str, str, int], Upstream] = {}
        self.overseer = Overseer(
            self._rank,
            self._changed,
            host="host1",
            rng=random.Random(1),
            connect=lambda agent: Scripted(agent, self),
        )

    def use(self, settings: Settings) -> None:
        self.settings = settings
        self.overseer.use(settings)
        self._know()

    def named(self) -> Reply:
        """Raft's peers, as they are while there are no strangers."""
        replies = [one for one in self.says.values() if isinstance(one, Reply)]
        found = {one for said in replies for one in _listed(said)}
        return peers(*sorted(found))

    def in_force(self) -> list[str]:
        return [one.address for one in self.overseer.in_force(self.settings).consul.agents]

    def poor(self) -> dict[str, str]:
        return {one.address: one.poor for one in self.upstreams.values()}

    def touch(self, address: str) -> None:
        """Something was asked there."""
        self.upstreams["udp", address, 8600].last_reply += 1

    def _know(self) -> None:
        consul = self.overseer.in_force(self.settings).consul
        far = (agent for one in consul.datacenters.values() for agent in one.agents)
        for agent in (*consul.agents, *far):
            made = Upstream(agent.name, agent.address, agent.dns_port, is_agent=True)
            self.upstreams.setdefault(made.key, made)
        self.overseer.know(self.upstreams)

    def _rank(self, upstream: Upstream, reason: str) -> None:
        upstream.poor = reason

    def _changed(self) -> None:
        self.changes += 1
        self._know()


@asynccontextmanager
async def looking(settings: Settings) -> AsyncIterator[World]:
    async with nothing_left_behind():
        world = World()
        world.use(settings)
        try:
            yield world
        finally:
            await world.overseer.close()


def settings(*addresses: str, catalog: bool = False, **more: Any) -> Settings:
    agents = tuple(Agent(address=one) for one in addresses)
    consul: Any = {"agents": Seeds(agents) if catalog else agents, **more}
    return Settings(consul=consul)


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns as short as no settings allow."""

    class Short(quality.Sight):
        def __init__(self, every: float, max_last_contact: float) -> None:
            super().__init__(EVERY, max_last_contact)
            self.configured = every

    monkeypatch.setattr(module, "Sight", Short)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records]


async def turns(world: World, more: int) -> None:
    """Wait until so many more looks were made."""
    wanted = len(world.asked) + more
    await until(lambda: len(world.asked) >= wanted)


async def test_an_agent_in_use_is_looked_at_each_turn_others_rarely() -> None:
    async with looking(settings(A, B)) as world:
        await until(lambda: {A, B} <= set(world.asked))
        world.asked.clear()
        for _ in range(12):
            world.touch(A)
            await turns(world, 1)
        assert world.asked.count(A) > 3 * world.asked.count(B)
        # Even nobody in use: each sixth turn.
        await until(lambda: world.asked.count(B) >= 2)


async def test_an_agent_that_rests_is_looked_at_soon_once_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The turn that is nobody's choice would be in a minute.
    monkeypatch.setattr(quality, "IDLE_TURNS", 6_000)
    async with looking(settings(A, B)) as world:
        watched = world.overseer._watched
        await until(lambda: len(watched) == 2 and all(one.rests for one in watched.values()))
        world.asked.clear()
        world.overseer.look()
        assert all(one.rests and not one.rests.done() for one in watched.values())
        world.touch(A)
        world.overseer.look()
        world.overseer.look()
        await until(lambda: world.asked == [A])
        # And it rests again.
        await until(lambda: all(one.rests for one in watched.values()))
        assert world.asked == [A]


async def test_poor_and_good_again() -> None:
    async with looking(settings(A, B)) as world:
        world.says[A] = reply(leader=False)
        world.says[B] = reply(contact_ms=8_000)
        behind = "its data is 8 s behind the leader's"
        await until(lambda: world.poor() == {A: "knows no leader", B: behind})
        world.says = {A: reply(), B: reply(streaming=True, leader=False)}
        await until(lambda: world.poor() == {A: "", B: ""})


async def test_one_that_cannot_be_asked_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with looking(settings(A, B)) as world:
        world.says[A] = ConsulError("a", 0, "connection refused")
        world.says[B] = ConsulError("b", 403, "Permission denied")
        await until(lambda: len(caplog.records) == 2)
        await turns(world, 4)
        assert world.poor() == {A: "", B: ""}
        text = (
            "agent {}:8600 cannot be asked over HTTP, port 8500: {}; whether its data is old goes"
            " unseen (mend http_port or token_file, or set consul.quality.every: 0)"
        )
        assert sorted(logged(caplog)) == [
            text.format(A, "connection refused"), text.format(B, "HTTP 403: Permission denied")
        ]  # fmt: skip
        assert {one.levelname for one in caplog.records} == {"WARNING"}
        known = [
            f"agent {A}:8600 cannot be asked over HTTP: connection refused",
            f"agent {B}:8600 cannot be asked over HTTP: HTTP 403: Permission denied",
        ]
        assert world.overseer.faults() == known
        # A reload is no news of them.
        world.overseer.use(settings(A, B))
        assert world.overseer.faults() == known
        caplog.clear()
        world.says.clear()
        await until(lambda: len(caplog.records) == 2)
        await turns(world, 4)
        assert world.overseer.faults() == []
        assert sorted(logged(caplog)) == [
            f"agent {one}:8600 can be asked over HTTP again" for one in (A, B)
        ]


async def test_nothing_is_told_of_one_whose_dns_is_down(caplog: pytest.LogCaptureFixture) -> None:
    async with looking(settings(A)) as world:
        world.upstreams["udp", A, 8600].up = False
        world.says[A] = ConsulError("a", 0, "connection refused")
        await turns(world, 3)
        assert logged(caplog) == []


async def test_off_is_off() -> None:
    async with looking(settings(A, quality={"every": 0})) as world:
        await asyncio.sleep(3 * EVERY)
        assert world.asked == []
        assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_turning_it_off_forgets_who_was_poor() -> None:
    async with looking(settings(A)) as world:
        world.says[A] = reply(leader=False)
        await until(lambda: world.poor()[A] != "")
        world.use(settings(A, quality={"every": 0}))
        assert world.poor() == {A: ""}


async def test_other_settings_keep_what_is_known_and_connect_anew() -> None:
    async with looking(settings(A, B)) as world:
        world.says[A] = reply(leader=False)
        await until(lambda: world.poor()[A] != "")
        world.use(settings(A))
        # It is poor still when nothing more can be heard of it: that holds for a while.
        world.says[A] = ConsulError("a", 0, "no reply within 3 s")
        await turns(world, 3)
        assert sorted(world.closed) == [A, B]
        assert world.poor()[A] == "knows no leader"
        world.asked.clear()
        await turns(world, 3)
        assert set(world.asked) == {A}


async def test_servers_of_the_catalog_come_and_go(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with looking(settings(A, catalog=True)) as world:
        world.says[A] = reply(servers(A, B, C))
        await until(lambda: world.changes)
        assert sorted(world.in_force()) == [A, B, C]
        assert world.in_force()[0] == A
        # The new ones are looked after too, and what they say counts as well.
        world.says |= {B: reply(servers(A, B, C)), C: reply(servers(A, B, C))}
        await until(lambda: {A, B, C} <= set(world.asked))
        for one in (A, B, C):
            world.says[one] = reply(servers(A, B))
        await until(lambda: world.changes == 2)
        assert world.in_force() == [A, B]
        assert world.closed == [] or world.closed == [C]
        await until(lambda: world.closed == [C])
        assert logged(caplog) == [
            "agents changed: 10.0.0.2:8600 came, 10.0.0.3:8600 came (from the catalog)",
            "agents changed: 10.0.0.3:8600 went (from the catalog)",
        ]


async def test_a_server_may_learn_that_it_is_gone_itself() -> None:
    async with looking(settings(A, catalog=True)) as world:
        world.says |= {A: ConsulError("a", 403, "no"), B: reply(servers(A, B))}
        world.overseer.directory.use(world.settings)
        roster = dict(world.overseer.directory)[""]
        roster.named(frozenset((A, B)), 0.0)
        roster.heard([A, B])
        world.use(world.settings)
        await until(lambda: B in world.asked)
        world.says[B] = reply(servers(A, C))
        await until(lambda: world.in_force() == [A, C])
        await until(lambda: B in world.closed)


@pytest.mark.parametrize(
    "said",
    [
        reply(servers(A), leader=False),
        reply(servers(A), contact_ms=9_000),
        reply(servers(A), filtered=True),
        reply([]),
        reply(body=b"<html>"),
        reply({"a": 1}),
        ConsulError("a", 500, "no"),
    ],
    ids=["leaderless", "old", "filtered", "empty", "no JSON", "other JSON", "error"],
)
async def test_what_is_not_to_be_relied_on_takes_nobody_away(said: Said) -> None:
    async with looking(settings(A, catalog=True)) as world:
        world.says |= dict.fromkeys((A, B), reply(servers(A, B)))
        await until(lambda: world.changes == 1)
        world.says = {A: said, B: said}
        await turns(world, 6)
        assert (world.changes, world.in_force()) == (1, [A, B])


@pytest.mark.parametrize("said", [reply([]), reply(servers(A, B), filtered=True)])
async def test_a_catalog_without_servers_is_told_once(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    far = {"far": {"agents": Seeds([Agent(address=C)])}}
    async with looking(settings(A, catalog=True, datacenters=far)) as world:
        world.says |= {A: said, C: said}
        await turns(world, 8)
        hint = "lists no servers: only the seeds are asked"
        rest = "(may the token of token_file read nodes and the service consul?)"
        assert sorted(logged(caplog)) == [
            f"the catalog {hint} {rest}", f"the catalog of far {hint} {rest}"
        ]  # fmt: skip


async def test_each_datacenter_has_its_own_list(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    far = {"far": {"agents": Seeds([Agent(address=B)])}}
    async with looking(settings(A, datacenters=far)) as world:
        world.says |= {A: reply(servers(A, "10.9.9.9")), B: reply(servers(B, C))}
        await until(lambda: world.changes == 1)
        consul = world.overseer.in_force(world.settings).consul
        assert [one.address for one in consul.agents] == [A]
        assert [one.address for one in consul.datacenters["far"].agents] == [B, C]
        assert logged(caplog) == ["agents of far changed: 10.0.0.3:8600 came (from the catalog)"]


async def test_the_list_is_followed_where_quality_is_not_looked_at() -> None:
    found = settings(A, catalog=True, quality={"every": 0})
    async with looking(found) as world:
        world.says[A] = reply(servers(A, B))
        await until(lambda: world.changes == 1)
        assert world.in_force() == [A, B]
        sights: list[Any] = [one.sight for one in world.overseer._watched.values()]
        assert {one.configured for one in sights} == {module.CATALOG_EVERY}
        world.says[A] = reply(leader=False)
        await turns(world, 3)
        assert world.poor()[A] == ""


async def test_a_reload_keeps_the_servers() -> None:
    async with looking(settings(A, catalog=True)) as world:
        world.says[A] = reply(servers(A, B))
        await until(lambda: world.changes == 1)
        world.says = dict.fromkeys((A, B), ConsulError("x", 0, "gone"))
        world.use(settings(A, catalog=True, policy="fastest"))
        assert world.in_force() == [A, B]
        world.asked.clear()
        await until(lambda: set(world.asked) == {A, B})


async def test_a_fault_of_ours_is_not_hidden() -> None:
    told: list[dict[str, Any]] = []
    world = World()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    world.says[A] = RuntimeError("a mistake")
    world.use(settings(A))
    await until(lambda: told)
    await world.overseer.close()
    assert told[0]["message"] == "looking after an agent failed"
    assert str(told[0]["exception"]) == "a mistake"


async def test_first_looks_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts that start together do not ask together, nor before they answer."""
    monkeypatch.setattr(module, "Sight", quality.Sight)
    pauses: list[float] = []
    asleep: Callable[[float], Any] = asyncio.sleep

    async def sleep(pause: float) -> None:
        if pause:
            pauses.append(pause)
            await asleep(3600)
        await asleep(0)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    many = [f"10.0.1.{n}" for n in range(1, 80)]
    world = World()
    world.use(settings(*many))
    await asleep(0)
    await world.overseer.close()
    assert 0.5 <= min(pauses) < 2
    assert 8 < max(pauses) < 11.3
    pauses.clear()
    world.use(settings(*many, catalog=True))
    await asleep(0)
    await world.overseer.close()
    assert min(pauses) >= 0.5
    assert max(pauses) < 3.4


async def test_who_leaves_one_list_and_is_in_another_gets_the_other_token(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("ours")
    theirs.write_text("theirs")
    seeds = Seeds([Agent(address=A, token_file=ours)])
    far = {"agents": [Agent(address=B, token_file=theirs)]}
    consul: Any = {"agents": seeds, "datacenters": {"dc2": far}}
    async with looking(Settings(consul=consul)) as world:
        world.says[A] = reply(servers(A, B))
        await until(lambda: world.in_force() == [A, B])
        (told,) = [one.agent for one in world.overseer._watched.values() if one.agent.address == B]
        assert told.token_file == ours
        world.says[A] = world.says[B] = reply(servers(A))
        await until(lambda: world.in_force() == [A])
        (told,) = [one.agent for one in world.overseer._watched.values() if one.agent.address == B]
        assert told.token_file == theirs


async def test_a_stranger_in_the_catalog_is_neither_asked_nor_shown_a_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with looking(settings(A, catalog=True)) as world:
        world.says |= dict.fromkeys((A, B), reply(servers(A, B, C, D)))
        world.peers = peers(A, B)
        await until(lambda: world.changes)
        await turns(world, 8)
        assert world.in_force() == [A, B]
        assert set(world.asked) == {A, B}
        assert ("udp", C, 8600) not in world.upstreams
        assert logged(caplog) == [
            "agents changed: 10.0.0.2:8600 came (from the catalog)",
            "the catalog lists 10.0.0.3, 10.0.0.4 among Consul's servers, and /v1/status/peers does"
            " not: not asked, and shown no token (name agents that are meant among the seeds)",
        ]
        # Once one of them is a server, it is taken.
        world.peers = peers(A, B, C)
        await until(lambda: sorted(world.in_force()) == [A, B, C])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (ConsulError("a", 404, "no such page"), "HTTP 404: no such page"),
        (ConsulError("a", 0, "no reply within 3 s"), "no reply within 3 s"),
        (reply({"a": 1}), "the reply is not a list of peers"),
        (reply(body=b"<html>"), "the reply is not JSON"),
    ],
    ids=["error", "silence", "other JSON", "no JSON"],
)
async def test_nobody_is_taken_while_it_cannot_be_asked_who_is_a_server(
    said: Said, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with looking(settings(A, catalog=True)) as world:
        world.says |= dict.fromkeys((A, B, C), reply(servers(A, B)))
        await until(lambda: world.changes)
        world.peers = said
        world.says |= dict.fromkeys((A, B, C), reply(servers(A, B, C)))
        await turns(world, 8)
        # Who was taken stays.
        assert world.in_force() == [A, B]
        assert logged(caplog) == [
            "the catalog lists 10.0.0.3 among Consul's servers, and /v1/status/peers cannot be"
            f" asked ({why}): not asked, and shown no token (name agents that are meant among the"
            " seeds)"
        ]


async def test_a_server_that_just_joins_is_no_stranger(caplog: pytest.LogCaptureFixture) -> None:
    """The catalog of one agent may have it before another knows that it is a peer."""
    async with looking(settings(A, catalog=True)) as world:
        world.says |= dict.fromkeys((A, B), reply(servers(A, B)))
        world.first_peers = [peers(A)]
        await until(lambda: world.changes)
        assert (len(world.asked_for_peers), logged(caplog)) == (2, [])


async def test_peers_are_not_asked_for_each_time() -> None:
    async with looking(settings(A, catalog=True)) as world:
        world.says |= dict.fromkeys((A, B), reply(servers(A, B)))
        await until(lambda: world.changes)
        await turns(world, 8)
        assert len(world.asked_for_peers) == 1


async def test_strangers_without_number_are_a_line(caplog: pytest.LogCaptureFixture) -> None:
    many = [f"10.0.{n // 250}.{n % 250 + 1}" for n in range(250, 2250)]
    async with looking(settings(A, catalog=True)) as world:
        world.says[A] = reply(servers(A, *many))
        world.peers = peers(A)
        await turns(world, 6)
        (line,) = logged(caplog)
        assert "10.0.1.1, 10.0.1.2, 10.0.1.3, 10.0.1.4, 10.0.1.5 and 1995 more among" in line


async def test_a_refused_token_is_another_s_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with looking(settings(A)) as world:
        world.says[A] = ConsulError("a", 403, "rpc error making call: ACL not found")
        await turns(world, 5)
        world.says.clear()
        await turns(world, 2)
        assert logged(caplog) == []


async def test_who_was_refused_is_looked_at_once_there_is_something_else_to_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Patient(quality.Sight):
        def __init__(self, every: float, max_last_contact: float) -> None:
            super().__init__(EVERY, max_last_contact)

        def failed(self, now: float, telling: bool) -> quality.Look:
            return super().failed(now, telling)._replace(pause=3600.0)

    monkeypatch.setattr(module, "Sight", Patient)
    async with looking(settings(A)) as world:
        world.says[A] = ConsulError("a", 403, "ACL not found")
        await until(lambda: world.asked)
        await until(lambda: renewal.here()._sleeping)
        renewal.here()._wake()
        await until(lambda: len(world.asked) == 2)
