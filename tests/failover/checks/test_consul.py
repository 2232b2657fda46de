"""Consul's word on a service, as it is put to an address."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from consulfwd.config import Agent
from consulfwd.config.failover import FailoverSettings
from consulfwd.config.failover_checks import CheckSettings
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from consulfwd.failover.checks.making import Making
from consulfwd.failover.model import Address, Result
from tests.failover.checks.targets import checked, told

OK, FAIL, ERROR = Result.OK, Result.FAIL, Result.ERROR
FIRST = Address(ip_address("10.0.0.1"), 0)


def instance(own: str, status: str, node: str = "10.9.9.9") -> dict[str, Any]:
    return {
        "Node": {"Node": "n", "Address": node},
        "Service": {"Service": "web", "Address": own},
        "Checks": [{"Status": "passing"}, {"Status": status}],
    }


class Agents:
    """Agents that say one thing."""

    def __init__(self, body: object, **more: Any) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.closed = False
        self._body = body
        self._more = {"known_leader": True, "filtered_by_acls": False} | more

    async def get(self, path: str, params: Mapping[str, str], *, timeout: float) -> Reply:
        self.asked.append((path, params))
        if isinstance(self._body, ConsulError):
            raise self._body
        return Reply(
            "10.0.0.11:8600", 200, 1, last_contact=0.0, streaming=False,
            body=json.dumps(self._body).encode(), took=0.0, **self._more,
        )  # fmt: skip

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("found", "given", "result", "reason"),
    [
        ([instance("10.0.0.1", "passing")], {}, OK, "1 of 1 instances of web at 10.0.0.1 healthy"),
        ([instance("10.0.0.1", "warning")], {}, OK, "1 of 1 instances of web at 10.0.0.1 healthy"),
        (
            [instance("10.0.0.1", "warning")], {"warning": "fail"},
            FAIL, "0 of 1 instances of web at 10.0.0.1 healthy",
        ),
        (
            [instance("10.0.0.1", "critical"), instance("10.0.0.2", "passing")], {},
            FAIL, "0 of 1 instances of web at 10.0.0.1 healthy",
        ),
        (
            [instance("", "passing", "10.0.0.1"), instance("web.example", "passing")], {},
            OK, "1 of 1 instances of web at 10.0.0.1 healthy",
        ),
        ([instance("10.0.0.2", "passing")], {}, FAIL, "no instance of web at 10.0.0.1 in Consul"),
        ([], {"about": "service"}, FAIL, "no instance of web in Consul"),
        (
            [instance("10.0.0.2", "passing"), instance("", "critical")],
            {"about": "service"}, OK, "1 of 2 instances of web healthy",
        ),
        (
            [instance("10.0.0.2", "passing"), instance("", "critical")],
            {"about": "service", "least": 2}, FAIL, "1 of 2 instances of web healthy",
        ),
    ],
)  # fmt: skip
async def test_what_consul_says(
    found: object, given: dict[str, Any], result: Result, reason: str
) -> None:
    agents = Agents(found)
    outcome = await checked("consul", agents=agents, at=FIRST, service="web", **given)
    assert told(outcome) == (result, reason)
    assert agents.asked == [("/v1/health/service/web", {})]


@pytest.mark.parametrize(
    ("agents", "reason"),
    [
        (
            Agents(ConsulError("10.0.0.11:8600", 0, "connection refused")),
            "Consul could not be asked: 10.0.0.11:8600: connection refused",
        ),
        (
            Agents(ConsulError("10.0.0.11:8600", 403, "Permission denied")),
            "Consul could not be asked: 10.0.0.11:8600: HTTP 403: Permission denied",
        ),
        (Agents({}), "Consul's answer cannot be read: "),
        (Agents([], known_leader=False), "10.0.0.11:8600 knows no leader"),
        (Agents([], filtered_by_acls=True), "Consul does not show all of the service"),
    ],
)
async def test_whatever_consul_cannot_say_is_no_word_on_the_service(
    agents: Agents, reason: str
) -> None:
    outcome = await checked("consul", agents=agents, at=FIRST, service="web")
    assert outcome.result is ERROR
    assert outcome.reason.startswith(reason)


async def test_an_agent_that_is_late_is_no_word_on_the_service() -> None:
    class Late(Agents):
        async def get(self, path: str, params: Mapping[str, str], *, timeout: float) -> Reply:
            await asyncio.sleep(60)
            raise AssertionError

    outcome = await checked("consul", agents=Late([]), at=FIRST, timeout=0.02, service="web")
    assert told(outcome) == (ERROR, "no answer within 20 ms (waiting for Consul)")


async def test_the_question_is_put_as_the_settings_say() -> None:
    agents = Agents([])
    given: dict[str, Any] = {"service": "a b/c", "tag": "primary", "datacenter": "dc2"}
    await checked("consul", agents=agents, at=FIRST, **given)
    assert agents.asked == [("/v1/health/service/a%20b%2Fc", {"dc": "dc2", "tag": "primary"})]


async def test_a_check_goes_on_with_other_agents() -> None:
    made: list[tuple[Sequence[Agent], Agents]] = []

    def connect(agents: Sequence[Agent]) -> Agents:
        made.append((agents, Agents([instance("10.0.0.1", "passing")])))
        return made[-1][1]

    making = Making([], connect)
    check: dict[str, Any] = {"consul": {"service": "web"}}
    pools: Any = [{"addresses": ["10.0.0.1"]}]
    look = making("www.example.com", FailoverSettings(pools=pools, check=CheckSettings(**check)))
    none = "Consul could not be asked: consulfwd: there are no agents in the settings"
    assert told(await look(FIRST)) == (ERROR, none)
    for address in ("10.0.0.11", "10.0.0.12"):
        await making.use([Agent(address=address)])
        assert (await look(FIRST)).result is OK
        assert (await look(FIRST)).result is OK
    (first, one), (second, other) = made
    assert [first[0].address, second[0].address] == ["10.0.0.11", "10.0.0.12"]
    assert (one.closed, other.closed) == (True, False)
    await making.close()
    assert other.closed
