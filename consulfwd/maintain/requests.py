"""What maintenance asks Consul for and has it do; refusals of ACLs in plain words.

What belongs here: one request each, and of which agent. Must not know: in which order.

Maintenance is an agent's own: it is switched at the agent of the node and nowhere else, and kept
by that agent when it is begun anew.

https://developer.hashicorp.com/consul/api-docs/agent/service#enable-maintenance-mode
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from math import ceil
from urllib.parse import quote

from consulfwd.config import Agent
from consulfwd.consul import health
from consulfwd.consul.client import LIMIT, Client
from consulfwd.consul.reply import Reply
from consulfwd.consul.several import Asked, Several
from consulfwd.errors import ConsulError, UsageError
from consulfwd.maintain.instances import NODE_CHECK, SERVICE_CHECK, Instance, instances_of, seconds
from consulfwd.maintain.journal import Out
from consulfwd.words import printable

TIMEOUT = 5.0
_REFUSED = (401, 403)
Connect = Callable[[Agent], Asked]


class Denied(ConsulError):
    """The token may not do it; `needs` is the rule that lets it."""

    def __init__(self, error: ConsulError, what: str, needs: str) -> None:
        super().__init__(error.agent, error.status, error.reason)
        said = printable(error.reason)
        told = f"the token may not {what}: it needs {needs} (token_file of consul.agents)"
        self.args = (f"{error.agent}: {told}; Consul says: HTTP {error.status}: {said}",)


def denied(error: ConsulError, what: str, needs: str) -> ConsulError:
    """Return an error with what the token lacks, where that is it; else the error itself."""
    return Denied(error, what, needs) if error.status in _REFUSED else error


class Requests:
    """Agents of the settings as one, and the agent of each node."""

    def __init__(self, agents: Sequence[Agent], *, connect: Connect = Client) -> None:
        self.agents = agents
        self.several = Several(agents, connect=connect)
        self._connect = connect
        self._each = {one: connect(one) for one in agents}
        self._of_node: dict[str, Asked] = {}

    async def close(self) -> None:
        """Close every connection."""
        for one in (*self._each.values(), *self._of_node.values(), self.several):
            await one.close()

    def views(self, patience: float) -> list[tuple[Agent, Callable[[str], Awaitable[Reply]]]]:
        """Return each agent with how it is asked what it knows of a service itself."""

        def getter(client: Asked) -> Callable[[str], Awaitable[Reply]]:
            async def get(service: str) -> Reply:
                path, params = _health(service), {"stale": ""}
                return await client.get(
                    path, params, timeout=patience, limit=LIMIT, absent=False
                )

            return get

        return [(agent, getter(client)) for agent, client in self._each.items()]

    async def instances(self, service: str) -> tuple[Instance, ...]:
        """Return a service's instances as the leader knows them; none where there are none."""
        try:
            reply = await self._get(self.several, _health(service))
        except ConsulError as error:
            rule = f'service "{service}" {{ policy = "read" }} and node_prefix "" read'
            raise denied(error, f"read the service {service}", rule) from None
        try:
            return instances_of(service, health.entries(reply.json()))
        except ValueError as error:
            raise ConsulError(reply.agent, 0, f"the reply is not Consul's: {error}") from None

    async def services_on(self, node: str) -> tuple[str, tuple[str, ...]] | None:
        """Return a node's address and the services on it, None where there is no such node."""
        try:
            reply = await self._get(self.several, f"/v1/catalog/node/{quote(node, safe='')}")
        except ConsulError as error:
            rule = f'node "{node}" {{ policy = "read" }}'
            raise denied(error, f"read the node {node}", rule) from None
        found = reply.json()
        if found is None:
            return None
        at = found.get("Node") if isinstance(found, dict) else None
        address = at.get("Address") if isinstance(at, dict) else None
        services = found.get("Services") if isinstance(found, dict) else None
        if not isinstance(address, str) or not isinstance(services, dict):
            raise ConsulError(reply.agent, 0, "the reply is not a node")
        named = [one.get("Service") for one in services.values() if isinstance(one, dict)]
        return address, tuple(sorted({one for one in named if isinstance(one, str)}))

    async def query_ttl(self, services: Collection[str]) -> int:
        """Return for how long (seconds) answers of prepared queries for these services may hold.

        Those that this token may not see count for nothing.
        """
        try:
            reply = await self._get(self.several, "/v1/query")
            found = reply.json()
        except ConsulError:
            return 0
        longest = 0.0
        for one in found if isinstance(found, list) else ():
            if not isinstance(one, dict):
                continue
            parts = [one.get(name) for name in ("Service", "DNS", "Template")]
            service, dns, template = (each if isinstance(each, dict) else {} for each in parts)
            # What a template asks for hangs on the name that is looked up.
            if service.get("Service") in services or template.get("Type"):
                longest = max(longest, seconds(dns.get("TTL")) or 0.0)
        return ceil(min(longest, 86_400.0))

    async def here(self) -> str:
        """Return the name of the first agent's node, which must be one of this host."""
        first = self.agents[0]
        if not first.http_stays_here and not _is_here(first.address):
            raise UsageError(
                f"the first of consul.agents ({first.address}) is not this host's:"
                " say which instance by --node, or --rolling"
            )
        return await self._node_of(self._each[first])

    async def reason(self, out: Out) -> str | None:
        """Return by which reason one is in maintenance, as its own agent has it; None where not."""
        client = await self._agent(out)
        try:
            reply = await self._get(client, "/v1/agent/checks")
        except ConsulError as error:
            raise denied(error, f"read the checks of {out.node}", _reading(out)) from None
        checks = reply.json()
        if not isinstance(checks, dict):
            raise ConsulError(reply.agent, 0, "the reply is not a list of checks")
        found = checks.get(SERVICE_CHECK + out.id if out.id else NODE_CHECK)
        if not isinstance(found, dict):
            return None
        return notes if isinstance(notes := found.get("Notes"), str) else ""

    async def switch(self, out: Out, reason: str | None) -> None:
        """Put one into maintenance by a reason, None ends it. The agent leaves one that is there.

        No error where one that is to be ended is not registered any more.
        """
        client = await self._agent(out)
        id = quote(out.id, safe="")
        path = f"/v1/agent/service/maintenance/{id}" if out.id else "/v1/agent/maintenance"
        params = {"enable": "true" if reason is not None else "false"}
        if reason:
            params["reason"] = reason
        try:
            await client.put(path, params, timeout=TIMEOUT)
        except ConsulError as error:
            if reason is None and out.id and error.status == 404:
                return
            what = f"put {out.id or out.node} into maintenance, or end that"
            raise denied(error, what, _writing(out)) from None

    async def _agent(self, out: Out) -> Asked:
        """Return the agent of a node: of those in the settings, or at the node's address."""
        if out.node in self._of_node:
            return self._of_node[out.node]
        for one in self._each.values():
            try:
                if await self._node_of(one) == out.node:
                    self._of_node[out.node] = one
                    return one
            except ConsulError:
                continue
        first = self.agents[0]
        try:
            agent = first.replace(address=out.address, http_socket=None)
        except ValueError:
            raise ConsulError(out.node, 0, f"its address {out.address!r} is none") from None
        client = self._connect(agent)
        try:
            found = await self._node_of(client)
        except ConsulError as error:
            await client.close()
            if isinstance(error, Denied):
                raise
            raise ConsulError(
                agent.name,
                0,
                f"the agent of node {out.node} cannot be asked from here ({error.reason}), and only"
                " it can take out what is on its node: run consulfwd maintain there (the lock has"
                " one do so at a time), or have its HTTP listen at that address",
            ) from None
        if found != out.node:
            await client.close()
            raise ConsulError(agent.name, 0, f"there is node {found}, and not {out.node}")
        self._of_node[out.node] = client
        return client

    async def _node_of(self, client: Asked) -> str:
        try:
            reply = await self._get(client, "/v1/agent/self")
        except ConsulError as error:
            rule = 'agent_prefix "" { policy = "read" }'
            raise denied(error, "ask an agent which node it is", rule) from None
        found = reply.json()
        config = found.get("Config") if isinstance(found, dict) else None
        name = config.get("NodeName") if isinstance(config, dict) else None
        if not isinstance(name, str) or not name:
            raise ConsulError(reply.agent, 0, "the agent does not say which node it is")
        return name

    async def _get(self, client: Asked | Several, path: str) -> Reply:
        return await client.get(path, timeout=TIMEOUT, limit=LIMIT, absent=False)


def _health(service: str) -> str:
    return f"/v1/health/service/{quote(service, safe='')}"


def _reading(out: Out) -> str:
    return f'node "{out.node}" {{ policy = "read" }} and read of its services'


def _writing(out: Out) -> str:
    if not out.id:
        return f'node "{out.node}" {{ policy = "write" }}'
    return f'service "NAME" {{ policy = "write" }} of what {out.id} is an instance of'


def _is_here(address: str) -> bool:
    """Return whether an address is one of this host's: one can be bound."""
    import socket

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address.partition("%")[0], 0))
        except OSError:
            return False
    return True
