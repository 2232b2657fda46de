"""Sites for the rules, in a few words; and replies of Consul's, as it would send them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from consulfwd.audit.report import Report, audit
from consulfwd.audit.site import (
    AskedAgent,
    Instance,
    Limits,
    Need,
    Node,
    Resolver,
    Server,
    Service,
    Site,
)


def node(name: str, address: str = "", rack: str = "") -> Node:
    number = sum(map(ord, name)) % 250
    return Node(name, address or f"10.{number}.0.1", {"rack": rack} if rack else {})


def instance(on: Node, *, healthy: bool = True, checks: int = 1, **more: Any) -> Instance:
    more = {"id": "one", "address": on.address, "port": 80, **more}
    return Instance(node=on, healthy=healthy, checks=checks, **more)


def service(name: str, *on: Node | Instance, proxy: bool = False) -> Service:
    found = [one if isinstance(one, Instance) else instance(one) for one in on]
    return Service(name, tuple(found), proxy)


def site(*services: Service, needs: Iterable[tuple[str, str]] = (), **more: Any) -> Site:
    """Return a site with these services, all of them looked at; sound in all else."""
    more.setdefault("resolver", SOUND)
    more.setdefault("servers", tuple(server(n) for n in (1, 2, 3)))
    more.setdefault("leader", "10.1.0.1:8300")
    found = {one.name: one for one in services}
    nodes = {one.node.name: one.node for each in services for one in each.instances}
    more.setdefault("nodes", tuple(nodes.values()))
    more.setdefault("selected", frozenset(found))
    return Site(
        datacenter="dc1",
        services=found,
        needs=tuple(Need(a, b, "meta") for a, b in needs),
        **more,
    )


def server(number: int, **more: Any) -> Server:
    more.setdefault("address", f"10.{number}.0.1")
    well: dict[str, Any] = {"alive": True, "healthy": True}
    well |= {"last_contact": 0.01, "last_index": 1000}
    return Server(f"server-{number}", **{**well, **more})


SOUND = Resolver(
    agents=tuple(AskedAgent(f"10.{n}.0.1:8600", f"10.{n}.0.1", "", f"s{n}") for n in (1, 2, 3)),
    recursors=("192.0.2.53", "198.51.100.53"),
    stale_for=86_400,
)


def report(found: Site, limits: Limits = Limits()) -> Report:  # noqa: B008
    return audit(found, limits)


def keys(found: Site, limits: Limits = Limits()) -> list[str]:  # noqa: B008
    return [one.key for one in report(found, limits).findings]


def entry(
    name: str, on: str, address: str, *, status: str = "passing", meta: Any = None, **more: Any
) -> dict[str, Any]:
    """Return an entry of /v1/health/service."""
    return {
        "Node": {"Node": on, "Address": address, "Datacenter": "dc1", "Meta": {}},
        "Service": {"ID": name, "Service": name, "Port": 80, "Meta": meta or {}, **more},
        "Checks": [
            {"CheckID": "serfHealth", "Status": "passing", "ServiceID": ""},
            {"CheckID": f"service:{name}", "Status": status, "ServiceID": name, "Interval": "10s"},
        ],
    }
