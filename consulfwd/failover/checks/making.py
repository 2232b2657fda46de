"""From the settings of records to what carries their checks out.

What belongs here: which kind is which, and the agents that those of Consul ask; nothing of what
checks do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from consulfwd.config import Agent
from consulfwd.config.failover import FailoverSettings
from consulfwd.config.failover_checks import CheckSettings
from consulfwd.consul.reply import Reply
from consulfwd.consul.several import Several
from consulfwd.errors import ConsulError
from consulfwd.failover.checks.command import CommandLook
from consulfwd.failover.checks.consul import Agents, ConsulLook
from consulfwd.failover.checks.dns import DnsLook
from consulfwd.failover.checks.http import HttpLook
from consulfwd.failover.checks.looking import Look, TimedCheck
from consulfwd.failover.checks.tcp import TcpLook
from consulfwd.failover.model import Check


def check(settings: CheckSettings, name: str, timeout_s: float, agents: Agents) -> Check:
    """Return the check of the addresses of a record, `name`; `agents` are asked by that of Consul.

    It may be used for all of them at a time. The settings must be without `conflicts`.
    """
    return TimedCheck(_look(settings, name, timeout_s, agents), timeout_s)


def _look(settings: CheckSettings, name: str, timeout_s: float, agents: Agents) -> Look:
    if settings.http is not None:
        return HttpLook(settings.http)
    if settings.tcp is not None:
        return TcpLook(settings.tcp)
    if settings.dns is not None:
        return DnsLook(settings.dns)
    if settings.command is not None:
        return CommandLook(settings.command, name)
    assert settings.consul is not None, "the settings have one kind"
    return ConsulLook(settings.consul, agents, timeout_s)


class _Connection(Agents, Protocol):
    async def close(self) -> None:
        """Close every connection."""


class Making:
    """Makes checks, and has those of Consul ask the agents there are now.

    A check that was made before stays of use when agents change.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        connect: Callable[[Sequence[Agent]], _Connection] = Several,
    ) -> None:
        self._agents = tuple(agents)
        self._connect = connect
        self._connection: _Connection | None = None

    def __call__(self, name: str, record: FailoverSettings) -> Check:
        """Return the check of a record's addresses."""
        return check(record.check, name, record.check_timeout, self)

    async def get(self, path: str, params: Mapping[str, str], *, timeout: float) -> Reply:
        """Return what the agents say. Raises ConsulError."""
        if not self._agents:
            raise ConsulError("consulfwd", 0, "there are no agents in the settings")
        # Made by the first that asks: few checks are of Consul.
        if self._connection is None:
            self._connection = self._connect(self._agents)
        return await self._connection.get(path, params, timeout=timeout)

    async def use(self, agents: Sequence[Agent]) -> None:
        """Have these be asked from now on."""
        if tuple(agents) != self._agents:
            self._agents = tuple(agents)
            await self.close()

    async def close(self) -> None:
        """Close every connection; checks of Consul that are under way end with an ERROR."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
