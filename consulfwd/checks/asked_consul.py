"""A service's health, asked of Consul's agents in their order by whichever answers.

What belongs here: requests, and what tells a service that is not there from one that is hidden.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from consulfwd.checks.asked_dns import places
from consulfwd.checks.deadline import Deadline
from consulfwd.checks.service import Told, Wanted
from consulfwd.config import Agent
from consulfwd.consul import health, rights
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.several import Several
from consulfwd.errors import ConsulError


def addresses(host: str, deadline: Deadline) -> list[str]:
    """Return the addresses of a host, in the system's order. Raises AskError."""
    deadline.doing = f"looking up the address of {host}"
    return list(dict.fromkeys(str(address[0]) for _, address in places(host, 0)))


def fact_of(wanted: Wanted) -> Fact:
    """Return what is asked for. Raises ValueError for what Consul cannot be asked for."""
    return Fact(FactKind.SERVICE, wanted.name, wanted.datacenter)


def ask(wanted: Wanted, agents: Sequence[Agent], deadline: Deadline) -> Told:
    """Return what is said. Raises ConsulError where nobody says anything of use."""
    where = ", ".join(f"{one.address} {one.http_place}" for one in agents[:3])
    deadline.doing = f"waiting for the HTTP API of {where}"
    return asyncio.run(_ask(wanted, agents, deadline))


async def _ask(wanted: Wanted, agents: Sequence[Agent], deadline: Deadline) -> Told:
    several = Several(agents)
    try:
        return await asyncio.wait_for(_told(several, wanted, deadline), deadline.patience)
    except (asyncio.TimeoutError, TimeoutError):
        raise ConsulError(
            agents[0].name, 0, f"no agent answered within {deadline.timeout:g} s"
        ) from None
    finally:
        # What does not end is left: the process ends without it.
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(several.close(), min(deadline.patience, 0.2))


async def _told(several: Several, wanted: Wanted, deadline: Deadline) -> Told:
    fact = fact_of(wanted)
    reply = await several.get(fact.path, fact.params, timeout=deadline.patience)
    try:
        entries = health.entries(reply.json())
    except ValueError as error:
        raise ConsulError(reply.agent, 0, f"the reply is not Consul's: {error}") from None
    forbidden = not entries and await _forbidden(several, fact, deadline)
    return Told(entries, reply.agent, reply.filtered_by_acls, forbidden, reply.took)


async def _forbidden(several: Several, fact: Fact, deadline: Deadline) -> bool:
    """Return whether nothing is told because the token may not read it: both are an empty list."""
    for path in rights.paths(fact, ()):
        try:
            await several.get(path, fact.params, timeout=deadline.patience, absent=True)
        except ConsulError as error:
            with contextlib.suppress(ConsulError):
                return rights.refused(error)
    return False
