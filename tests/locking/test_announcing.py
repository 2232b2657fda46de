"""The holder as a service: registered, kept passing, registered again, taken out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from consulfwd.locking import announcing
from consulfwd.locking.announcing import Announcing, Service
from tests.consul.keyed import calm
from tests.consul.replies import reply

REGISTER = "/v1/agent/service/register"


class Term:
    """A lock that is held, until it is not."""

    key = "service/app/.lock"
    number = 7
    lost = ""

    def why(self) -> str:
        return self.lost


class Agent:
    """An agent that takes what it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.fails: ConsulError | None = None

    async def get(self, path: str, *_: Any, **more: Any) -> Reply:
        raise AssertionError(path)

    async def put(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        body: bytes = b"",
        timeout: float,
    ) -> Reply:
        assert timeout <= announcing.TIMEOUT
        self.asked.append(path)
        if body:
            self.bodies.append(body)
        if self.fails is not None:
            raise self.fails
        return reply(None)

    async def delete(self, path: str, *_: Any, **more: Any) -> Reply:
        raise AssertionError(path)

    def since(self) -> list[str]:
        found, self.asked = self.asked, []
        return found


@asynccontextmanager
async def announced(service: Service) -> AsyncIterator[tuple[Agent, Announcing, Term]]:
    agent, term = Agent(), Term()
    made = Announcing(agent, service, 15.0)
    task = asyncio.ensure_future(made.keep(term))  # type: ignore[arg-type]
    await calm()
    try:
        yield agent, made, term
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_it_is_registered_and_then_kept_passing() -> None:
    async with announced(Service("app", 8080, "10.0.0.1", ["rw"])) as (agent, made, _):
        assert agent.since() == [REGISTER]
        (body,) = agent.bodies
        assert json.loads(body) == {
            "ID": made.id,
            "Name": "app",
            "Tags": ["rw"],
            "Meta": {"lock": "service/app/.lock", "lock-number": "7"},
            "Port": 8080,
            "Address": "10.0.0.1",
            "Check": {
                "Name": "holds service/app/.lock",
                "TTL": "15s",
                "Status": "passing",
                "DeregisterCriticalServiceAfter": "1m",
            },
        }
        # Nothing is said of it but by renewals.
        await calm()
        assert agent.since() == []
        made.renewed()
        await calm()
        assert agent.since() == [f"/v1/agent/check/pass/service%3A{made.id}"]
        await made.end()
        assert agent.since() == [f"/v1/agent/service/deregister/{made.id}"]


async def test_without_a_port_or_address_they_are_the_node_s() -> None:
    async with announced(Service("app")) as (agent, _, _):
        assert not {"Port", "Address"} & json.loads(agent.bodies[0]).keys()


async def test_an_agent_that_was_begun_anew_is_told_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcing, "AGAIN", 0.0)
    async with announced(Service("app")) as (agent, made, _):
        agent.since()
        agent.fails = ConsulError("a", 404, "Unknown check ID")
        made.renewed()
        await calm()
        assert "not registered as a service: a: HTTP 404" in caplog.text
        agent.fails = None
        await calm()
        assert agent.since()[-1] == REGISTER
        # Told once, and when it is over.
        assert caplog.text.count("not registered as a service") == 1


async def test_whoever_lost_the_lock_passes_nothing_more() -> None:
    async with announced(Service("app")) as (agent, made, term):
        agent.since()
        term.lost = "the lock is lost"
        made.renewed()
        await calm()
        assert agent.since() == []


async def test_an_end_that_fails_is_no_error() -> None:
    async with announced(Service("app")) as (agent, made, _):
        agent.fails = ConsulError("a", 0, "connection refused")
        await made.end()
