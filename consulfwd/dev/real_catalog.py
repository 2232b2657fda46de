"""What is registered in a real cluster's catalog, as operations of Consul's transaction API.

What belongs here: building the operations and reading service definition files; pure but for
the reading. It must not know of processes or of HTTP (`consul_agent`, `real`).

Services are put on external nodes, straight into the catalog: an agent that is killed then
takes no service with it, which is what one wants to show about a resolver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consulfwd.errors import StartError

# Consul 1.8 refuses transactions of more than 64 operations.
TXN_LIMIT = 64

Operation = dict[str, Any]


@dataclass(frozen=True)
class Registration:
    """One service instance, or with `service` "" a node alone.

    `address` "" leaves the node as it is; `service_address` "" means the node's. `status` is
    Consul's: passing, warning, critical.
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
            }
            found.append({"Service": {"Verb": "set", "Node": self.node, "Service": service}})
            found.append(health(self.node, self.service_id or self.service, self.status))
        return found


def health(node: str, service_id: str, status: str) -> Operation:
    """Sets the one check `register` gives to an instance."""
    return _check(node, f"service:{service_id}", service_id, status, "status set by hand")


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


def read_definitions(folder: Path) -> list[Registration]:
    """The instances of Consul's service definition files (*.json) in `folder`.

    Each instance gets a node of its own, named by the service's meta key `node`, else by its
    id. Raises StartError with the file's name when one cannot be used.
    https://developer.hashicorp.com/consul/docs/reference/service
    """
    found: list[Registration] = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
            services = content["services"] if "services" in content else [content["service"]]
            found += [_definition(service) for service in services]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StartError(f"{path}: not a Consul service definition: {error!r}") from error
    return found


def _definition(service: Mapping[str, Any]) -> Registration:
    name = service["name"]
    service_id = service.get("id", name)
    meta = service.get("meta", {})
    checks = service.get("checks", [service["check"]] if "check" in service else [])
    # As Consul does: a check is critical until it passed, the worst check counts.
    states = {check.get("status", "critical") for check in checks} or {"passing"}
    worst = next(state for state in ("critical", "warning", "passing") if state in states)
    return Registration(
        node=meta.get("node", service_id),
        service=name,
        address=service.get("address") or "127.0.0.1",
        port=service.get("port", 0),
        tags=tuple(service.get("tags", ())),
        service_id=service_id,
        service_address=service.get("address", ""),
        meta=meta,
        status=worst,
    )
