"""Consul asked how a service is, or its instances at an address.

What belongs here: the question, and which instances count. An agent that cannot be asked, knows no
leader or hides something is an ERROR: it says nothing of the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import quote

from consulfwd.config.failover_checks import ConsulCheck
from consulfwd.consul.health import Entry, entries
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from consulfwd.failover.checks.looking import Progress, Unasked, Wrong
from consulfwd.failover.model import IP, Address


class Agents(Protocol):
    """What of `consul.several.Several` is needed."""

    async def get(self, path: str, params: Mapping[str, str], *, timeout: float) -> Reply:
        """Return the reply to GET. Raises ConsulError."""


class ConsulLook:
    """Asks the `agents`, which take `timeout_s` at most."""

    def __init__(self, settings: ConsulCheck, agents: Agents, timeout_s: float) -> None:
        self._settings = settings
        self._agents = agents
        # So that what failed there is told, and not only that it took too long.
        self._timeout_s = timeout_s * 0.95
        self._bad = {"critical"} if settings.warning == "ok" else {"critical", "warning"}

    async def look(self, address: Address, progress: Progress) -> str:
        """Return how many instances are healthy."""
        progress.at("waiting for Consul", ours=True)
        settings = self._settings
        params = {"dc": settings.datacenter} if settings.datacenter else {}
        if settings.tag:
            params["tag"] = settings.tag
        path = f"/v1/health/service/{quote(settings.service, safe='')}"
        try:
            reply = await self._agents.get(path, params, timeout=self._timeout_s)
            found = entries(reply.json())
        except ConsulError as error:
            raise Unasked(f"Consul could not be asked: {error}") from None
        except ValueError as error:
            raise Unasked(f"Consul's answer cannot be read: {error}") from None
        if reply.known_leader is False:
            raise Unasked(f"{reply.agent} knows no leader")
        if reply.filtered_by_acls:
            raise Unasked("Consul does not show all of the service: ACLs hide some")
        there = found
        where = ""
        if settings.about == "address":
            there = [one for one in found if _is_at(one, address.ip)]
            where = f" at {address.ip}"
        healthy = sum(1 for one in there if not self._bad.intersection(map(str, one.statuses)))
        said = f"{healthy} of {len(there)} instances of {settings.service}{where} healthy"
        if healthy >= settings.least:
            return said
        raise Wrong(said if there else f"no instance of {settings.service}{where} in Consul")


def _is_at(entry: Entry, ip: IP) -> bool:
    own = entry.own_address or entry.node.get("Address")
    try:
        return isinstance(own, str) and ip_address(own) == ip
    except ValueError:
        return False
