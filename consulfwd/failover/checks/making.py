"""From the settings of a check to what carries it out.

What belongs here: which kind is which, and nothing of what they do.
"""

from __future__ import annotations

from consulfwd.config.failover_checks import CheckSettings
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
