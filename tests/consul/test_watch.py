"""What watches ask development agents for, and what they tell of changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from consulfwd.consul import blocking, proving
from consulfwd.consul import watch as module
from consulfwd.core import freshness
from consulfwd.core.carriers import MOST_CARRIED, MOST_FAR
from consulfwd.core.freshness import IDLE
from consulfwd.core.proofs import LIFE
from consulfwd.core.subjects import Subject
from consulfwd.core.watches import REUSE
from tests.consul.server import Raw, http
from tests.consul.watched import KEY, WEB, asked, cluster, now, until, watching


async def test_a_change_is_told_when_it_happens() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        assert (watch.size, watch.healthy, shell.at()) == (3, 3, "1")
        await until(lambda: shell.ask() == REUSE)
        # What was asked for before it was armed is no business of changes.
        shell.dropped.clear()
        began = now()
        consul.catalog.set_check("web1", "critical")
        await until(lambda: shell.dropped)
        assert now() - began < 0.1
        assert shell.dropped == [(KEY, True)]
        assert (watch.size, watch.healthy, watch.changes) == (3, 2, 1)
        consul.catalog.deregister("web1")
        await until(lambda: watch.size == 2)
        consul.catalog.register("web", id="web9", node="n9", node_address="10.0.0.9")
        await until(lambda: watch.size == 3)
        assert watch.changes == 3


async def test_what_no_answer_shows_is_no_change() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        await until(lambda: shell.ask() == REUSE)
        shell.dropped.clear()
        requests = len(asked(consul.agents[0]))
        consul.catalog.set_check("web1", "passing", output="took 3 ms")
        await until(lambda: len(asked(consul.agents[0])) > requests)
        await until(lambda: consul.catalog.waiting == 1)
        assert (watch.changes, watch.armed, shell.dropped) == (0, True, [])


async def test_a_wait_that_returns_with_nothing_new_is_no_change() -> None:
    """Of what never was Consul says that it changed whenever anything does."""
    async with cluster() as (consul, agents), watching(agents) as shell:
        ghost = Subject("service", "ghost")
        watch = await shell.armed(ghost)
        assert watch.size == 0
        await until(lambda: shell.ask(ghost, positive=False) is not None)
        shell.dropped.clear()
        requests = len(asked(consul.agents[0], "/ghost"))
        consul.catalog.set_check("web1", "critical")
        await until(lambda: len(asked(consul.agents[0], "/ghost")) > requests)
        assert (watch.changes, watch.armed, shell.dropped) == (0, True, [])
        consul.catalog.register("ghost", id="g", node="g", node_address="10.0.0.9")
        await until(lambda: watch.size == 1)
        assert (watch.changes, shell.dropped) == (1, [(KEY, True)])


async def test_the_last_instance_goes_after_it_was_confirmed() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        for name in ("web1", "web2", "web3"):
            consul.catalog.deregister(name)
        began = now()
        await until(lambda: not watch.armed)
        assert watch.size > 0, "an empty list alone proves nothing"
        await until(lambda: watch.armed)
        assert (watch.size, watch.healthy) == (0, 0)
        assert now() - began < 2
        assert any("consistent" in one for one in asked(consul.agents[0]))


async def test_what_agents_said_during_a_doubt_does_not_outlive_it() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        for name in ("web1", "web2", "web3"):
            consul.catalog.deregister(name)
        await until(lambda: not watch.armed)
        shell.dropped.clear()
        assert shell.ask() is None
        await until(lambda: watch.armed)
        assert shell.dropped == [(KEY, True)]


async def test_all_critical_needs_no_confirmation() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        began = now()
        for name in ("web1", "web2", "web3"):
            consul.catalog.set_check(name, "critical")
        await until(lambda: not watch.healthy)
        assert (watch.size, watch.armed) == (3, True)
        # The first of three changes is told at once, the rest as often as agents are asked.
        assert now() - began < 0.5


async def test_a_node_is_watched() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        node = Subject("node", "dev1")
        watch = await shell.armed(node)
        assert (watch.size, watch.healthy) == (1, 1)
        consul.catalog.register_node("dev1", "10.0.0.99")
        await until(lambda: watch.changes == 1)


async def test_what_is_asked_for() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        await until(lambda: len(asked(consul.agents[0])) == 2)
        first, second = asked(consul.agents[0])
        assert first == {"stale": ""}
        assert second.keys() == {"stale", "index", "wait"}
        proof = asked(consul.agents[0], "/consulfwd-proof")[0]
        # Of nodes nobody can register, so that the list is short whatever is in the catalog.
        assert proof.keys() == {"stale", "node-meta"}
        assert len(proof["node-meta"]) > 30
        assert not consul.agents[1].requests


@pytest.mark.parametrize("far", [False, True])
async def test_questions_wait_long_and_not_in_step(
    far: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consulfwd.consul.watch.off_host", lambda agent: far)
    least = module.WAIT if far else module.WAIT_HERE
    async with cluster() as (consul, agents), watching(agents) as shell:
        names = [f"s{number}" for number in range(MOST_FAR)]
        for name in names:
            await shell.armed(Subject("service", name))
        found = [one for name in names for one in asked(consul.agents[0], f"/{name}")]
        waits = [float(one["wait"][:-2]) / 1000 for one in found if "wait" in one]
        assert len(waits) >= len(names) - 1
        assert all(least <= wait <= 2 * least <= 600 for wait in waits)
        assert len(set(waits)) > len(waits) / 2


async def test_the_leader_is_asked() -> None:
    async with cluster() as (consul, agents), watching(agents, leader=True) as shell:
        watch = await shell.armed()
        await until(lambda: len(asked(consul.agents[0])) == 2)
        first, second = asked(consul.agents[0])
        assert first == {"near": "_agent"}
        assert second.keys() == {"near", "index", "wait"}
        # How far behind the server is says that one, and the leader that it tells of changes.
        proofs = [sorted(one) for one in asked(consul.agents[0], "/consulfwd-proof")]
        assert proofs[:2] == [["node-meta", "stale"], ["near", "node-meta"]]
        assert watch.instances is not None
        assert len(watch.instances) == 3


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        (WEB, "GET /v1/health/service/web?stale= HTTP/1.1"),
        (Subject("connect", "web"), "GET /v1/health/connect/web?stale= HTTP/1.1"),
        (Subject("node", "n1.example"), "GET /v1/catalog/node/n1.example?stale= HTTP/1.1"),
        (Subject("service", "web", "dc2"), "GET /v1/health/service/web?stale=&dc=dc2 HTTP/1.1"),
    ],
)
async def test_where_subjects_are(raw: Raw, subject: Subject, line: str) -> None:
    async with watching({"A": raw.agent}) as shell:
        shell.ask(subject)
        await until(lambda: line in [one[0] for one in raw.requests])


async def test_an_index_that_goes_back_is_no_change() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        first = consul.agents[0]
        await until(lambda: shell.ask() == REUSE)
        shell.dropped.clear()
        first.faults.http.index_reset.on()
        consul.catalog.set_check("web1", "passing", output="wakes who waits")
        requests = len(asked(first))
        await until(lambda: len(asked(first)) >= requests + 3)
        assert (watch.changes, watch.armed, shell.dropped) == (0, True, [])
        # It is asked again and again, but within bounds: nobody waits for a count that is over.
        began, before = now(), len(asked(first))
        await asyncio.sleep(0.5)
        assert len(asked(first)) - before <= 2 + (now() - began) * 20
        consul.catalog.set_check("web1", "critical")
        await until(lambda: watch.changes == 1)
        first.faults.http.index_reset.off()
        await until(lambda: consul.catalog.waiting == 1)
        consul.catalog.set_check("web1", "passing")
        await until(lambda: watch.changes == 2)


@pytest.mark.parametrize(("settle", "rate"), [(0.1, 20.0), (0.5, 5.0), (10.0, 5.0)])
async def test_nobody_waits_for_less_time_than_changes_settle(
    settle: float, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two questions a change may come and go unseen: an answer of then must not be kept."""
    rates: list[float] = []

    class Rules(blocking.BlockingRules):
        def __init__(self, *args: Any, rate: float, **more: Any) -> None:
            rates.append(rate)
            super().__init__(*args, rate=rate, **more)

    monkeypatch.setattr(module, "BlockingRules", Rules)
    async with cluster() as (_, agents), watching(agents, settle=settle) as shell:
        await shell.armed()
    assert rates == [rate]
    assert 1 / rate < settle


async def test_streaming_headers_disturb_nothing() -> None:
    """KnownLeader is false there while all is well."""
    async with cluster() as (consul, agents), watching(agents) as shell:
        for agent in consul.agents:
            agent.streaming = True
        watch = await shell.armed()
        await until(lambda: consul.catalog.waiting == 1)
        consul.catalog.set_check("web1", "critical")
        await until(lambda: watch.changes == 1)
        assert (shell.at(), shell.freshness.barred) == ("1", set())
        assert shell.ask() == 0


async def test_who_waits_for_nothing_is_let_go() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        await until(lambda: consul.catalog.waiting == 1)
        shell.drop(shell.freshness.idle(now() + IDLE), changed=False)
        shell.wake()
        assert shell.at() == ""


async def test_proofs_end_with_the_watches_and_begin_with_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.02)
    monkeypatch.setattr(freshness, "PROVE_FOR", 1.0)
    async with cluster() as (consul, agents), watching(agents) as shell:
        first = consul.agents[0]
        await shell.armed()
        proofs = "/consulfwd-proof"
        await until(lambda: len(asked(first, proofs)) >= 3)
        shell.drop(shell.freshness.idle(now() + IDLE), changed=False)
        shell.wake()
        await asyncio.sleep(1.2)
        before = len(asked(first, proofs))
        await asyncio.sleep(0.1)
        assert len(asked(first, proofs)) == before
        # That its last proof is old by now is not held against it.
        assert shell.freshness.expired(now() + LIFE) == []
        await shell.armed()
        assert shell.at() == "1"
        assert len(asked(first, proofs)) > before


async def test_an_idle_host_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watch waits on, but nobody needs to know whether it would hear of a change."""
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.02)
    monkeypatch.setattr(freshness, "PROVE_FOR", 1.0)
    async with cluster() as (consul, agents), watching(agents) as shell:
        first, second = consul.agents
        watch = await shell.armed()
        await until(lambda: shell.ask() == REUSE)
        await until(lambda: len(asked(first)) == 2)
        await asyncio.sleep(1.2)
        before = len(first.requests), len(second.requests)
        await asyncio.sleep(0.3)
        assert (len(first.requests), len(second.requests)) == before
        assert watch.armed
        # A change is heard of all the same.
        consul.catalog.set_check("web1", "critical")
        await until(lambda: watch.changes == 1)
        await asyncio.sleep(0.1)
        # The first answer is not reused, but those that follow it at once.
        assert shell.ask() is None
        await until(lambda: shell.ask() == REUSE)
        assert shell.freshness.watches[WEB] is watch


async def test_an_agent_that_failed_is_left_alone_while_nobody_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.02)
    monkeypatch.setattr(proving, "PROVE_RARELY", 0.04)
    monkeypatch.setattr(freshness, "PROVE_FOR", 1.0)
    async with cluster() as (consul, agents), watching(agents) as shell:
        first = consul.agents[0]
        await shell.armed()
        first.faults.http.status.on(500)
        await until(lambda: shell.at() == "2")
        await asyncio.sleep(1.2)
        before = len(first.requests)
        await asyncio.sleep(0.2)
        assert len(first.requests) == before
        first.faults.clear()
        assert shell.freshness.barred
        shell.ask()
        await until(lambda: not shell.freshness.barred)


async def test_a_proof_is_as_old_as_the_server_says() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        consul.agents[0].faults.http.last_contact.on(1.0)
        await shell.armed()
        (proof,) = shell.freshness.proofs.values()
        assert 1.0 <= now() - proof < LIFE


async def test_a_proof_is_as_old_as_the_question() -> None:
    """What an agent that takes its time has not heard of meanwhile, nobody knows."""
    async with cluster(1) as (consul, agents), watching(agents) as shell:
        ages: list[float] = []
        shell.proved = lambda carrier, at: ages.append(now() - at)  # type: ignore[method-assign]
        consul.agents[0].faults.http.delay.on(0.2)
        shell.ask()
        await until(lambda: ages)
        assert 0.2 <= ages[0] < LIFE


async def test_many_watches_at_one_agent() -> None:
    async with cluster(1) as (consul, agents), watching(agents) as shell:
        subjects = [Subject("service", f"s{number}") for number in range(128)]
        for subject in subjects:
            shell.ask(subject)
        for subject in subjects[:5]:
            consul.catalog.register(subject.name, node="n", node_address="10.0.0.9")
        # Those beyond are left to other agents, were there any.
        assert len(shell.freshness.watches) == MOST_CARRIED
        await until(lambda: all(one.armed for one in shell.freshness.watches.values()))
        await until(lambda: all(shell.watch(one).size for one in subjects[:5]))
        (agent,) = consul.agents
        assert len(asked(agent, "/s0")) >= 2


async def test_a_closed_watcher_asks_no_more(raw: Raw) -> None:
    raw.replies = [http(b"[]", "X-Consul-Index: 5")]
    async with watching({"A": raw.agent}) as shell:
        await shell.armed()
    before = len(raw.requests)
    await asyncio.sleep(0.3)
    assert len(raw.requests) == before


async def test_watches_do_not_all_begin_at_once(raw: Raw) -> None:
    """Queries must not wait when a hundred of them move from a lost agent to another."""
    raw.silent = True
    async with watching({"1": raw.agent}) as shell:
        for number in range(3 * module.AT_ONCE):
            for _ in range(2):
                shell.freshness.asked(Subject("service", f"s{number}"), ["1"], now(), positive=True)
        shell.wake()
        shell.wake()
        assert len(shell.freshness.commands) == 2 * module.AT_ONCE
        await until(lambda: not shell.freshness.commands)
