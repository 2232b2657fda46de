"""What is registered in a real cluster's catalog, as operations of Consul's transaction API.

What belongs here: building the operations; pure. It must not know of processes or of HTTP
(`real_agent`, `real`).

Services are put on external nodes, straight into the catalog: an agent that is killed then
takes no service with it, which is what one wants to show about a resolver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .definitions import Definition

# Consul 1.8 refuses transactions of more than 64 operations.
TXN_LIMIT = 64

Operation = dict[str, Any]


@dataclass(frozen=True)
class Registration:
    """One service instance, or with `service` "" a node alone.

    `address` "" leaves the node as it is; `service_address` "" means the node's.
    `weights` are for a passing and a warning instance; `status` is passing, warning, critical.
    """

    node: str
    service: str = ""
    address: str = ""
    port: int = 0
    tags: Sequence[str] = ()
    service_id: str = ""
    service_address: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)
    node_meta: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[int, int] = (1, 1)
    status: str = "passing"

    def operations(self) -> list[Operation]:
        """https://developer.hashicorp.com/consul/api-docs/txn"""
        found: list[Operation] = []
        if self.address:
            meta = {"external-node": "true", **self.node_meta}
            node = {"Node": self.node, "Address": self.address, "Meta": meta}
            found.append({"Node": {"Verb": "set", "Node": node}})
        if self.service:
            service = {
                "ID": self.service_id or self.service,
                "Service": self.service,
                "Tags": list(self.tags),
                "Address": self.service_address,
                "Port": self.port,
                "Meta": dict(self.meta),
                "Weights": {"Passing": self.weights[0], "Warning": self.weights[1]},
            }
            found.append({"Service": {"Verb": "set", "Node": self.node, "Service": service}})
            found.append(health(self.node, self.service_id or self.service, self.status))
        return found


def health(node: str, service_id: str, status: str) -> Operation:
    """Sets the one check `register` gives to an instance."""
    return _check(node, f"service:{service_id}", service_id, status, "status set by hand")


def unless_changed(operation: Operation, index: int) -> Operation:
    """The same, done only where what it sets is as it was at that index (ModifyIndex).

    For what is sent again: a request that was not answered may still reach a leader, at any time.
    """
    ((kind, change),) = operation.items()
    return {kind: {"Verb": "cas", kind: {**change[kind], "ModifyIndex": index}}}


def maintenance(node: str, service_id: str, reason: str | None) -> Operation:
    """The check an agent sets for service maintenance; `reason` None takes it away."""
    check_id = f"_service_maintenance:{service_id}"
    if reason is None:
        return {"Check": {"Verb": "delete", "Check": {"Node": node, "CheckID": check_id}}}
    return _check(node, check_id, service_id, "critical", reason)


def _check(node: str, check_id: str, service_id: str, status: str, notes: str) -> Operation:
    check = {
        "Node": node,
        "CheckID": check_id,
        "Name": check_id,
        "ServiceID": service_id,
        "Status": status,
        "Notes": notes,
    }
    return {"Check": {"Verb": "set", "Check": check}}


def batches(registrations: Sequence[Registration]) -> Iterator[list[Operation]]:
    """The operations of all registrations in transactions as large as Consul takes them."""
    batch: list[Operation] = []
    for registration in registrations:
        operations = registration.operations()
        if len(batch) + len(operations) > TXN_LIMIT:
            yield batch
            batch = []
        batch += operations
    if batch:
        yield batch


def from_definitions(definitions: Sequence[Definition], address: str) -> list[Registration]:
    """The instances of service definition files; one without an address is at `address`."""
    found = []
    for each in definitions:
        states = {check.status for check in each.checks}
        worst = next((s for s in ("critical", "warning") if s in states), "passing")
        found.append(
            Registration(
                node=each.node or each.id,
                service=each.name,
                address=each.address or address,
                port=each.port,
                tags=each.tags,
                service_id=each.id,
                service_address=each.address,
                meta=each.meta,
                weights=each.weights,
                status=worst,
            )
        )
    return found
