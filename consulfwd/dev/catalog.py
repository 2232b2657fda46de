"""The catalog of one development datacenter: nodes, service instances, checks and their index.

What belongs here: the state that Consul's servers would hold, the changes to it, and waiting for
a change. Must not know: DNS, HTTP, files, sockets.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .kvstore import KvStore

Status = Literal["passing", "warning", "critical"]

MAINTENANCE = "_service_maintenance:"
NODE_CHECK = "serfHealth"


@dataclass
class Check:
    """One health check of an instance or a node."""

    id: str
    name: str
    status: Status
    notes: str = ""
    output: str = ""
    kind: str = ""
    index: int = 0


@dataclass
class DevNode:
    """A member of the datacenter; `address` is an IP literal or, for an external one, a name."""

    name: str
    address: str
    meta: dict[str, str] = field(default_factory=dict)
    health: Check = field(
        default_factory=lambda: Check(
            NODE_CHECK, "Serf Health Status", "passing", output="Agent alive and reachable"
        )
    )
    created: int = 0
    index: int = 0


@dataclass
class DevInstance:
    """One instance of a service; `address` is empty where the node's address counts."""

    id: str
    service: str
    node: DevNode
    address: str = ""
    port: int = 0
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    weights: tuple[int, int] = (1, 1)
    checks: dict[str, Check] = field(default_factory=dict)
    created: int = 0
    index: int = 0

    @property
    def status(self) -> Status:
        """The worst state of the instance's and its node's checks."""
        states = {check.status for check in self.checks.values()} | {self.node.health.status}
        for status in ("critical", "warning"):
            if status in states:
                return status
        return "passing"

    def has_tag(self, tag: str) -> bool:
        return tag.lower() in (mine.lower() for mine in self.tags)


class Catalog:
    """What one datacenter knows. Every change raises `index` and wakes those who wait.

    `clock` gives seconds; blocking queries count their wait by it. With a clock that a test sets
    by hand, `tick()` makes them look at it again.
    """

    def __init__(self, datacenter: str, clock: Callable[[], float]) -> None:
        self.datacenter = datacenter
        self.clock = clock
        self.index = 1
        self.nodes: dict[str, DevNode] = {}
        self.instances: dict[str, DevInstance] = {}
        self.kv = KvStore(clock)
        self._service_index: dict[str, int] = {}
        self._node_index: dict[str, int] = {}
        self._services_index = 1
        self._waiters: set[asyncio.Future[None]] = set()

    # Changes

    def register_node(
        self, name: str, address: str, meta: Mapping[str, str] | None = None
    ) -> DevNode:
        """Adds the node or changes its address and metadata."""
        node = self.nodes.get(name.lower())
        if node is None:
            node = self.nodes[name.lower()] = DevNode(name, address)
            node.created = self.index + 1
        node.address = address
        if meta is not None:
            node.meta = dict(meta)
        self._changed(*self._on(node), node=node)
        return node

    def register(
        self,
        service: str,
        *,
        id: str | None = None,
        node: str | None = None,
        node_address: str | None = None,
        node_meta: Mapping[str, str] | None = None,
        address: str = "",
        port: int = 0,
        tags: Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
        weights: tuple[int, int] = (1, 1),
        checks: Iterable[Check] | None = None,
        status: Status = "passing",
    ) -> DevInstance:
        """Adds an instance, or replaces the one with the same `id` (default: the service's name).

        `node` defaults to the id; a node not seen before needs `node_address` or `address`.
        Without `checks` the instance gets one, in state `status`.
        """
        id = id or service
        where = self.nodes.get((node or id).lower())
        if where is None or node_address is not None or node_meta is not None:
            known = node_address or (where.address if where is not None else address)
            if not known:
                raise ValueError(f"service {id}: its node {node or id} needs an address")
            where = self.register_node(node or id, known, node_meta)
        if checks is None:
            checks = [Check(f"service:{id}", f"Service '{service}' check", status)]
        old = self.instances.get(id)
        instance = DevInstance(
            id,
            service,
            where,
            address,
            port,
            tuple(tags),
            dict(meta or {}),
            weights,
            {check.id: check for check in checks},
            created=old.created if old else self.index + 1,
        )
        self.instances[id] = instance
        touched = [instance] if old is None else [instance, old]
        self._changed(*touched, node=where, checks=instance.checks.values(), listed=True)
        return instance

    def deregister(self, service_id: str) -> None:
        """Removes an instance. KeyError when there is none of that id."""
        instance = self.instances.pop(service_id)
        self._changed(instance, node=instance.node, listed=True)

    def deregister_node(self, name: str) -> None:
        """Removes a node with everything on it. KeyError when there is none of that name."""
        node = self.nodes[name.lower()]
        gone = self._on(node)
        for instance in gone:
            del self.instances[instance.id]
        del self.nodes[name.lower()]
        self._changed(*gone, node=node, listed=True)

    def set_check(self, service_id: str, status: Status, *, output: str = "") -> None:
        """Puts every check of an instance (not its maintenance mode) into `status`."""
        instance = self.instances[service_id]
        own = [c for c in instance.checks.values() if not c.id.startswith(MAINTENANCE)]
        if not own:
            own = [Check(f"service:{service_id}", f"Service '{instance.service}' check", status)]
            instance.checks[own[0].id] = own[0]
        for check in own:
            check.status, check.output = status, output
        self._changed(instance, checks=own)

    def set_node_check(self, node: str, status: Status) -> None:
        """Puts a node's own health check, and with it all on the node, into `status`."""
        found = self.nodes[node.lower()]
        found.health.status = status
        self._changed(*self._on(found), checks=[found.health])

    def maintenance(self, service_id: str, enable: bool = True, reason: str = "") -> None:
        """Maintenance mode of one instance: critical while it is on. KeyError as above."""
        instance = self.instances[service_id]
        key = MAINTENANCE + service_id
        if enable:
            check = Check(key, "Service Maintenance Mode", "critical", reason, kind="maintenance")
            instance.checks[key] = check
            self._changed(instance, checks=[check])
        elif instance.checks.pop(key, None) is not None:
            self._changed(instance)

    def copy(self) -> Catalog:
        """A catalog of its own with the same content, for an agent that is to differ."""
        twin = Catalog(self.datacenter, self.clock)
        memo: dict[int, object] = {}
        twin.index = self.index
        twin.nodes = copy.deepcopy(self.nodes, memo)
        twin.instances = copy.deepcopy(self.instances, memo)
        twin._service_index = dict(self._service_index)
        twin._node_index = dict(self._node_index)
        twin._services_index = self._services_index
        return twin

    # Reading

    def service(self, name: str) -> list[DevInstance]:
        """The instances of a service, healthy or not, in the order of registration."""
        wanted = name.lower()
        return [each for each in self.instances.values() if each.service.lower() == wanted]

    def services(self) -> dict[str, list[str]]:
        """Every service's name with all tags of its instances."""
        found: dict[str, dict[str, None]] = {}
        for each in self.instances.values():
            found.setdefault(each.service, {}).update(dict.fromkeys(each.tags))
        return {name: list(found[name]) for name in sorted(found)}

    def on_node(self, name: str) -> list[DevInstance]:
        node = self.nodes.get(name.lower())
        return [] if node is None else self._on(node)

    def service_index(self, name: str) -> int:
        """When this service last changed; for one never seen, when anything did, as Consul says."""
        return self._service_index.get(name.lower(), self.index)

    def services_index(self) -> int:
        """When an instance was last registered or removed."""
        return self._services_index

    def node_index(self, name: str) -> int:
        return self._node_index.get(name.lower(), self.index)

    # Waiting

    async def wait(self, read: Callable[[], int], index: int, wait_s: float) -> None:
        """Returns when `read()` has risen above `index`, or after `wait_s` by the clock."""
        deadline = self.clock() + wait_s
        while read() <= index and (left := deadline - self.clock()) > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait({waiter}, timeout=left)
            finally:
                self._waiters.discard(waiter)

    @property
    def waiting(self) -> int:
        """How many blocking queries wait now."""
        return len(self._waiters)

    def tick(self) -> None:
        """Makes every waiting query look at the clock again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _on(self, node: DevNode) -> list[DevInstance]:
        return [each for each in self.instances.values() if each.node is node]

    def _changed(
        self,
        *instances: DevInstance,
        node: DevNode | None = None,
        checks: Iterable[Check] = (),
        listed: bool = False,
    ) -> None:
        self.index += 1
        for check in checks:
            check.index = self.index
        for instance in instances:
            instance.index = self.index
            self._service_index[instance.service.lower()] = self.index
            self._node_index[instance.node.name.lower()] = self.index
        if node is not None:
            node.index = self.index
            self._node_index[node.name.lower()] = self.index
        if listed:
            self._services_index = self.index
        self.tick()
