"""Watches at agents that fail, lie, hang, or may not see all; what is told, and what is not."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.consul import proving
from consulfwd.consul import watch as module
from consulfwd.core.watches import REUSE, REUSE_UNSURE
from tests.consul.replies import servers
from tests.consul.server import Raw, http
from tests.consul.watched import WEB, asked, cluster, now, until, watching

INDEX = "X-Consul-Index: 5"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents are asked to prove themselves often, and are soon found silent."""
    monkeypatch.setattr(proving, "PROVE_EVERY", 0.05)
    monkeypatch.setattr(proving, "PROVE_RARELY", 0.1)
    monkeypatch.setattr(proving, "LIFE", 0.8)


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
async def test_an_agent_that_refuses(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "consulfwd.watch")
    async with cluster() as (consul, agents), watching(agents) as shell:
        first = consul.agents[0]
        watch = await shell.armed()
        assert shell.at() == "1"
        await until(lambda: shell.ask() == REUSE)
        first.faults.http.status.on(status)
        await until(lambda: shell.at() == "2" and shell.watch().armed)
        assert watch is shell.watch()
        name = next(iter(agents))
        lost = f"agent {name}: no watches there: HTTP {status}: injected fault: status {status}"
        await until(lambda: lost in caplog.messages)
        # However often that is found, it is told once.
        before = len(asked(first, "/consulfwd-proof"))
        await until(lambda: len(asked(first, "/consulfwd-proof")) >= before + 3)
        assert caplog.messages == [lost]
        first.faults.clear()
        found = f"agent {name}: watches are possible there again"
        await until(lambda: caplog.messages == [lost, found])
        # What moved stays where it is well.
        assert (shell.at(), shell.freshness.barred) == ("2", set())


async def test_a_fault_of_our_own_ends_no_watch_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: told.append(context["message"])
    )
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        with monkeypatch.context() as patch:
            patch.setattr(module.Watcher, "_shown", None)
            consul.catalog.set_check("web1", "critical")
            await until(lambda: shell.at() != "1")
        assert "a watch failed" in told


async def test_all_agents_refuse_and_come_back() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        for agent in consul.agents:
            agent.faults.http.status.on(500)
        await until(lambda: shell.at() == "")
        assert shell.ask() is None
        requests = [len(asked(agent)) for agent in consul.agents]
        await asyncio.sleep(0.3)
        # Nobody is asked in circles.
        assert [len(asked(agent)) for agent in consul.agents] == requests
        for agent in consul.agents:
            agent.faults.clear()
        await until(lambda: not shell.freshness.barred)


async def test_a_datacenter_nobody_knows_the_way_to() -> None:
    async with cluster(3) as (consul, agents), watching(agents) as shell:
        far = WEB._replace(datacenter="dc9")
        shell.ask(far)
        await until(lambda: shell.at(far) == "")
        assert shell.ask(far) is None
        await asyncio.sleep(0.1)
        assert [asked(agent) for agent in consul.agents] == [[{"stale": "", "dc": "dc9"}]] * 3
        assert shell.freshness.barred == set()


@pytest.mark.parametrize("fault", ["refuse", "hang"])
async def test_an_agent_that_is_gone_or_silent(fault: str) -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        first = consul.agents[0]
        await shell.armed()
        await until(lambda: consul.catalog.waiting == 1)
        getattr(first.faults.http, fault).on()
        began = now()
        await until(lambda: shell.at() == "2")
        assert now() - began < 2
        await until(lambda: shell.freshness.barred == {next(iter(agents))})
        await until(lambda: shell.watch().armed)
        first.faults.clear()
        await until(lambda: not shell.freshness.barred)


async def test_a_closed_port() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        await until(lambda: consul.catalog.waiting == 1)
        await consul.agents[0].stop("http")
        await until(lambda: shell.at() == "2" and shell.watch().armed)
        await consul.agents[0].start("http")
        await until(lambda: not shell.freshness.barred)


async def test_a_frozen_agent() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        await until(lambda: consul.catalog.waiting == 1)
        consul.agents[0].faults.frozen = True
        await until(lambda: shell.at() == "2" and shell.watch().armed)
        consul.agents[0].faults.frozen = False
        await until(lambda: not shell.freshness.barred)


async def test_an_empty_list_is_distrusted() -> None:
    """As after a restart, a change of the leader, or with a token that was revoked."""
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        await until(lambda: shell.ask() == REUSE)
        shell.dropped.clear()
        first = consul.agents[0]
        first.faults.http.empty.on()
        consul.catalog.set_check("web1", "passing", output="wakes who waits")
        await until(lambda: not watch.armed)
        # Nothing is reused now, and nothing is believed either.
        assert shell.dropped == [(b"web", True)]
        assert (watch.size, shell.ask()) == (3, None)
        assert not shell.freshness.denies(WEB, now())
        first.faults.clear()
        await until(lambda: watch.armed)
        assert (watch.size, watch.changes) == (3, 0)
        assert any("consistent" in one for one in asked(first))
        await until(lambda: shell.ask() == REUSE)


async def test_an_agent_without_a_leader() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        await shell.armed()
        await until(lambda: consul.catalog.waiting == 1)
        consul.agents[0].faults.http.no_leader.on()
        await until(lambda: shell.at() == "2")
        consul.agents[0].faults.clear()
        await until(lambda: not shell.freshness.barred)


@pytest.mark.parametrize(("expected", "level"), [(False, "INFO"), (True, "WARNING")])
async def test_an_agent_with_old_data(
    expected: bool, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with cluster() as (consul, agents), watching(agents, expected=expected) as shell:
        await shell.armed()
        consul.agents[0].faults.http.last_contact.on(7.5)
        await until(lambda: shell.at() == "2")
        # As old as it says, and as the question took.
        assert re.search(r"no watches there: what it knows is \d+\.\d s old", caplog.text)
        assert [one.levelname for one in caplog.records] == [level]


async def test_a_token_that_may_not_read_all(caplog: pytest.LogCaptureFixture) -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        for agent in consul.agents:
            agent.faults.http.filtered.on()
        shell.ask()
        name = next(iter(agents))
        told = (
            f"agent {name}: the token may not read all of service web:"
            " such names are asked for each time"
        )
        await until(lambda: told in caplog.messages)
        await until(lambda: consul.catalog.waiting == 1)
        assert not shell.watch().armed
        assert shell.ask() is None
        # It is told once, however many names there are.
        galera = WEB._replace(name="galeradb")
        shell.ask(galera)
        await until(lambda: consul.catalog.waiting == 2)
        assert caplog.messages == [told]
        for agent in consul.agents:
            agent.faults.clear()
        consul.catalog.set_check("web1", "critical")
        await until(lambda: shell.watch().armed)
        assert (shell.watch().size, shell.watch().healthy) == (3, 2)


async def test_a_token_that_loses_its_right() -> None:
    async with cluster() as (consul, agents), watching(agents) as shell:
        watch = await shell.armed()
        await until(lambda: shell.ask() == REUSE)
        shell.dropped.clear()
        consul.agents[0].faults.http.filtered.on()
        consul.catalog.set_check("web1", "passing", output="wakes who waits")
        await until(lambda: not watch.armed)
        assert shell.dropped == [(b"web", True)]
        assert shell.ask() is None


@pytest.mark.parametrize("where", ["token_file", "token_variable"])
@pytest.mark.parametrize(("leader", "seconds"), [(False, REUSE_UNSURE), (True, REUSE)])
async def test_with_a_token_that_may_lose_its_right_unseen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, leader: bool, seconds: float
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret")
    monkeypatch.setenv("A_TOKEN", "secret")
    token: dict[str, Any] = {where: token_file if where == "token_file" else "A_TOKEN"}
    async with cluster() as (_, agents):
        with_token = {
            name: Agent(address=agent.address, http_port=agent.http_port, **token)
            for name, agent in agents.items()
        }
        async with watching(with_token, leader=leader) as shell:
            await shell.armed()
            await until(lambda: shell.ask() is not None and shell.ask() != 0)
            assert shell.ask() == seconds


def odd(**fields: object) -> bytes:
    """The reply of a service with one instance, some of it replaced."""
    (entry,) = servers("10.0.0.1")
    return json.dumps([{**entry, **fields}]).encode()


HOSTILE = [
    http(b"", INDEX),
    http(b"{", INDEX),
    http(b"nonsense", INDEX),
    http(b'"text"', INDEX),
    http(b"7", INDEX),
    http(b"[1, 2]", INDEX),
    http(b"[null]", INDEX),
    http(b'{"a": 1}', INDEX),
    http(b"[" * 100_000, INDEX),
    http(b"\xff\xfe", INDEX),
    http(odd(Service=None), INDEX),
    http(odd(Node="x"), INDEX),
    http(odd(Checks={"a": 1}), INDEX),
    http(odd(Checks=[3]), INDEX),
    http(b"[]"),
    http(b"[]", "X-Consul-Index: many"),
    http(b"[]", "X-Consul-Index: -1"),
    http(b"[]", INDEX, status="204 No Content"),
    http(b"[]", INDEX, "Location: http://127.0.0.1:1/", status="301 Moved Permanently"),
    b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n" + INDEX.encode() + b"\r\n\r\n[]",
    b"\x16\x03\x01\x00\x02\x02\x28",
    b"SSH-2.0-OpenSSH_9.6\r\n",
]


@pytest.mark.parametrize("leader", [False, True])
@pytest.mark.parametrize("number", range(len(HOSTILE)))
async def test_what_is_no_reply_of_consuls(raw: Raw, number: int, leader: bool) -> None:
    """It breaks the watch, which then rests: nothing is reused, nobody is asked in circles."""
    raw.replies = [HOSTILE[number]]
    async with watching({"A": raw.agent}, leader=leader) as shell:
        shell.ask()
        await until(lambda: shell.at() == "")
        assert shell.ask() is None
        watches = [one[0] for one in raw.requests if "/web" in one[0]]
        assert len(watches) <= 2


@pytest.mark.parametrize("leader", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        odd(Service={"Weights": "heavy", "Tags": "all", "Port": [], "Address": 5}),
        odd(Service={"Weights": {"Passing": -1}, "Port": 99999, "Tags": [None, {}, "a" * 9999]}),
        odd(Service={"Port": True, "Address": "\0\ud800"}),
        odd(Service={}, Node={"Node": None, "Address": {"a": []}, "Datacenter": 1.5e300}),
        odd(Checks=None, More={"a": [1, {"b": None}]}),
        odd(Checks=[{"Status": 7}, {"Status": "odd"}]),
    ],
)
async def test_what_is_odd_is_compared_all_the_same(raw: Raw, body: bytes, leader: bool) -> None:
    raw.replies = [http(body, INDEX), http(body, INDEX)]
    async with watching({"A": raw.agent}, leader=leader) as shell:
        watch = await shell.armed()
        assert watch.size == 1
        requests = len(raw.requests)
        await until(lambda: len(raw.requests) > requests + 2)
        assert (watch.changes, watch.armed) == (0, True)
        raw.replies = [http(json.dumps(servers("10.0.0.1", "10.0.0.2")).encode(), INDEX)]
        await until(lambda: watch.size == 2)
        raw.replies = [http(body, INDEX)]
        await until(lambda: watch.size == 1)
        assert watch.changes == 2


async def test_what_turns_hostile_ends_what_is_reused(raw: Raw) -> None:
    raw.replies = [http(json.dumps(servers("10.0.0.1")).encode(), INDEX)]
    async with watching({"A": raw.agent}) as shell:
        await shell.armed()
        await until(lambda: shell.ask() == REUSE)
        shell.dropped.clear()
        raw.replies = [http(b"[[]]", INDEX)]
        await until(lambda: shell.dropped)
        # Not known to have changed: by its TTL.
        assert (shell.dropped, shell.at()) == ([(b"web", False)], "")
