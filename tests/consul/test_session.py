"""Sessions, second by second: when they are renewed, and how long one goes by them."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from consulfwd.consul.session import AGAIN, EARLIEST, LATEST, Lease, Session
from consulfwd.errors import ConsulError, UnknownOutcome
from tests.consul.keyed import ID, Played, Said, Time, calm, created
from tests.consul.replies import reply

TTL = 20.0
CREATE, RENEW, DESTROY = (
    "PUT /v1/session/create", f"PUT /v1/session/renew/{ID}", f"PUT /v1/session/destroy/{ID}"
)  # fmt: skip
AWAY = ConsulError("a", 0, "connection refused")


@asynccontextmanager
async def begun(**more: Any) -> AsyncIterator[tuple[Time, Played, Session]]:
    """A session that is there, of an agent that does as it is told."""
    before = asyncio.all_tasks()
    time = Time()
    agent = Played(time)
    agent.says = {CREATE: created(), RENEW: reply([{"ID": ID}]), DESTROY: reply(True)}
    session = Session(
        agent, ttl=TTL, clock=time, sleep=time.sleep, rng=random.Random(1), **more
    )
    await session.begin()
    try:
        yield time, agent, session
    finally:
        agent.says.setdefault(DESTROY, reply(True))
        await session.end()
    assert asyncio.all_tasks() == before


def test_a_lease_counts_from_when_the_renewal_was_sent() -> None:
    lease = Lease(TTL, random.Random(1))
    assert lease.left(0.0) < 0
    lease.renewed(100.0)
    assert lease.left(100.0 + TTL - 0.001) > 0
    assert lease.left(100.0 + TTL) == 0
    # A reply that was overtaken takes nothing back.
    lease.renewed(110.0)
    lease.renewed(105.0)
    assert lease.until == 110.0 + TTL


def test_when_a_lease_is_renewed() -> None:
    for seed in range(100):
        lease = Lease(TTL, random.Random(seed))
        lease.renewed(100.0)
        assert 100 + TTL * EARLIEST <= lease.renew_at <= 100 + TTL * LATEST
        lease.failed(200.0)
        assert 200 + TTL * AGAIN / 2 <= lease.renew_at <= 200 + TTL * AGAIN


@pytest.mark.parametrize("checks", [(), ("serfHealth", "disk")])
async def test_what_is_asked_for(checks: tuple[str, ...]) -> None:
    async with begun(checks=checks, behavior="delete", lock_delay=2.5, name="me") as here:
        _, agent, session = here
        assert (session.id, session.there, session.why) == (ID, True, "")
        assert json.loads(agent.bodies[0]) == {
            "Name": "me", "TTL": "20000ms", "LockDelay": "2500ms", "Behavior": "delete",
            "Checks": list(checks), "NodeChecks": list(checks),
        }  # fmt: skip


async def test_it_is_renewed_before_half_its_time_is_over() -> None:
    async with begun() as (time, agent, session):
        await time.pass_(10 * TTL)
        assert session.there
        times = [1000.0, *agent.times(RENEW)]
        pauses = [later - one for one, later in itertools.pairwise(times)]
        assert len(pauses) >= 20
        assert all(TTL * EARLIEST <= pause <= TTL * LATEST for pause in pauses)
        assert len({round(pause, 3) for pause in pauses}) > 10
    assert agent.asked[-1][1] == DESTROY
    assert (session.there, session.why) == (False, "it was ended")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AWAY, "a: connection refused"),
        (ConsulError("a", 500, "No cluster leader"), "a: HTTP 500: No cluster leader"),
        (UnknownOutcome("a", 0, "gone"), "a: gone (whether it took effect is not known)"),
        (None, ""),
    ],
    ids=["away", "no leader", "lost reply", "silence"],
)
async def test_it_is_given_up_when_it_was_not_renewed_in_time(
    error: ConsulError | None, why: str
) -> None:
    async with begun() as (time, agent, session):
        await time.pass_(TTL / 2)
        (last,) = agent.times(RENEW)
        if error is None:
            del agent.says[RENEW]
        else:
            agent.says[RENEW] = error
        await time.pass_(last + TTL - time() - 0.001)
        assert session.there
        assert not session.lost.is_set()
        await time.pass_(0.001)
        assert not session.there
        assert session.lost.is_set()
        assert session.why == "it was not renewed for 20 s" + (f": {why}" if why else "")
        # It was tried again soon, and is not any more.
        tries = len(agent.times(RENEW))
        assert tries == 2 if error is None else tries > 8
        await time.pass_(TTL)
        assert len(agent.times(RENEW)) == tries


async def test_a_failure_in_between_is_no_loss() -> None:
    async with begun() as (time, agent, session):
        agent.says[RENEW] = AWAY
        await time.pass_(TTL - 1)
        agent.says[RENEW] = reply([{"ID": ID}])
        await time.pass_(TTL)
        assert session.there
        assert not session.lost.is_set()


async def test_one_that_consul_ended_is_lost_at_once() -> None:
    async with begun() as (time, agent, session):
        agent.says[RENEW] = ConsulError("a", 404, f"Session id '{ID}' not found")
        await time.pass_(TTL / 2)
        assert (session.there, session.why) == (False, "Consul has ended it")


async def test_one_that_comes_after_its_time_is_none() -> None:
    time = Time()
    agent = Played(time)
    session = Session(agent, ttl=TTL, clock=time, sleep=time.sleep)

    async def late() -> Said:
        await time.sleep(TTL)
        return created()

    agent.says = {CREATE: late, DESTROY: reply(True)}
    asked = asyncio.ensure_future(session.begin())
    await time.pass_(TTL)
    with pytest.raises(ConsulError, match="the session came after its 20 s"):
        await asked
    assert (session.there, session.why) == (False, "the session came after its 20 s")
    assert session.lost.is_set()
    await session.end()
    assert agent.asked[-1][1] == DESTROY


async def test_after_the_host_slept_it_is_not_gone_by() -> None:
    """Before any task has run, and so before anything is told."""
    async with begun() as (time, _, session):
        time.skip(TTL)
        assert not session.there
        assert not session.lost.is_set()
        assert session.why == "it was not renewed for 20 s"
        await time.pass_(1.0)
        assert session.lost.is_set()


async def test_a_reply_that_comes_late_counts_from_when_it_was_asked_for() -> None:
    async with begun() as (time, agent, session):
        late = asyncio.Event()

        async def renewed() -> Any:
            await late.wait()
            return reply([{"ID": ID}])

        agent.says[RENEW] = renewed
        await time.pass_(TTL - 1)
        (sent,) = agent.times(RENEW)
        # Nothing more is heard of the agent than that.
        del agent.says[RENEW]
        late.set()
        await calm()
        assert session.there
        await time.pass_(sent + TTL - time() - 0.001)
        assert session.there
        await time.pass_(0.001)
        assert not session.there


async def test_who_wants_to_know_is_told_of_each_renewal() -> None:
    told: list[float] = []
    async with begun(renewed=lambda: told.append(0.0)) as (time, agent, session):
        assert (len(told), session.until) == (1, 1000.0 + TTL)
        await time.pass_(TTL / 2)
        (sent,) = agent.times(RENEW)
        assert (len(told), session.until) == (2, sent + TTL)
        agent.says[RENEW] = AWAY
        await time.pass_(TTL / 2)
        assert (len(told), session.until) == (2, sent + TTL)


@pytest.mark.parametrize(
    "said", [AWAY, reply({}), reply({"ID": ""}), reply([]), reply(body=b"no JSON")]
)
async def test_one_that_cannot_be_made_is_none(said: Any) -> None:
    time = Time()
    agent = Played(time)
    agent.says = {CREATE: said}
    session = Session(agent, clock=time, sleep=time.sleep)
    with pytest.raises(ConsulError):
        await session.begin()
    assert not session.there
    await session.end()
    assert len(agent.asked) == 1


async def test_an_end_that_fails_is_no_error() -> None:
    async with begun() as (_, agent, _):
        agent.says[DESTROY] = AWAY


async def test_a_fault_of_ours_loses_it() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with begun() as (time, agent, session):

        async def broken() -> Any:
            raise RuntimeError("a mistake")

        agent.says[RENEW] = broken
        await time.pass_(TTL / 2)
        assert (session.there, session.why) == (False, "an error of consulfwd's own")
    assert [str(one["exception"]) for one in told] == ["a mistake"]
