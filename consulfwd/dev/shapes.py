"""What Consul's HTTP API says of nodes, instances and checks: the JSON of development agents.

What belongs here: shapes, as seen on Consul 1.19.2. Must not know: requests, how a catalog keeps
its state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .catalog import Catalog, Check, DevInstance, DevNode

Json = Any


def indices(thing: DevNode | DevInstance) -> Json:
    return {"CreateIndex": thing.created, "ModifyIndex": thing.index}


def node(catalog: Catalog, node: DevNode) -> Json:
    return {
        "ID": "",
        "Node": node.name,
        "Address": node.address,
        "Datacenter": catalog.datacenter,
        "TaggedAddresses": None,
        "Meta": node.meta or None,
        **indices(node),
    }


def weights(each: DevInstance) -> Json:
    return {"Passing": each.weights[0], "Warning": each.weights[1]}


def service(each: DevInstance) -> Json:
    return {
        "ID": each.id,
        "Service": each.service,
        "Tags": list(each.tags),
        "Address": each.address,
        "Meta": each.meta or None,
        "Port": each.port,
        "Weights": weights(each),
        "EnableTagOverride": False,
        "Proxy": {},
        "Connect": {},
        "PeerName": "",
        **indices(each),
    }


def catalog_entry(catalog: Catalog, each: DevInstance) -> Json:
    return {
        "ID": "",
        "Node": each.node.name,
        "Address": each.node.address,
        "Datacenter": catalog.datacenter,
        "TaggedAddresses": None,
        "NodeMeta": each.node.meta or None,
        "ServiceKind": "",
        "ServiceID": each.id,
        "ServiceName": each.service,
        "ServiceTags": list(each.tags),
        "ServiceAddress": each.address,
        "ServiceWeights": weights(each),
        "ServiceMeta": each.meta,
        "ServicePort": each.port,
        "ServiceEnableTagOverride": False,
        **indices(each),
    }


def check(node: DevNode, check: Check, each: DevInstance | None = None) -> Json:
    return {
        "Node": node.name,
        "CheckID": check.id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": each.id if each else "",
        "ServiceName": each.service if each else "",
        "ServiceTags": list(each.tags) if each else [],
        "Type": check.kind,
        "Definition": {},
        "ModifyIndex": check.index,
    }


def checks_in(catalog: Catalog, state: str) -> Iterator[Json]:
    """Yield all checks of nodes and instances that are in a state."""
    for name in sorted(catalog.nodes):
        node = catalog.nodes[name]
        if node.health.status == state:
            yield check(node, node.health)
        for each in catalog.on_node(name):
            for one in each.checks.values():
                if one.status == state:
                    yield check(node, one, each)


def counted(catalog: Catalog) -> Iterator[Json]:
    """Yield how many instances each service has, and how they are."""
    for name in sorted(catalog.services()):
        found = catalog.service(name)
        states = [check.status for each in found for check in each.checks.values()]
        yield {
            "Name": name,
            "Nodes": [each.node.name for each in found],
            "InstanceCount": len(found),
            "ChecksPassing": states.count("passing"),
            "ChecksWarning": states.count("warning"),
            "ChecksCritical": states.count("critical"),
        }
