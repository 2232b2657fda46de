"""What a name on the command line is of: a service's instance, all of them, or a node.

What belongs here: asking Consul for that, and for everything that stands beside it. Must not know:
what is done with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from consulfwd.errors import UsageError
from consulfwd.maintain.instances import Instance, Unit
from consulfwd.maintain.requests import Requests
from consulfwd.maintain.wanted import NODE, SERVICE, Stopped, Wanted
from consulfwd.words import printable


@dataclass(frozen=True)
class Selected:
    """What is meant: units that may be taken out, and every instance of the services concerned.

    `names` are what is locked: the services, or a node without any.
    """

    kind: str
    name: str
    node: str
    units: tuple[Unit, ...]
    services: Mapping[str, tuple[Instance, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """What is locked; a node is no service, so it has a name that no service has."""
        return tuple(self.services) or (f"node/{self.name}",)


async def select(
    wanted: Wanted, requests: Requests, known: Selected | None = None
) -> Selected:
    """Return what is meant, as it is now; what is `known` of it is not asked for again.

    Raises UsageError where nothing is, or more than one; ConsulError.
    """
    kind = known.kind if known is not None else wanted.kind
    found: tuple[Instance, ...] = ()
    if kind != NODE:
        found = await requests.instances(wanted.name)
    if not kind:
        on = await requests.services_on(wanted.name)
        if found and on is not None:
            raise UsageError(f"{wanted.name} is both a service and a node: say --kind")
        kind = NODE if on is not None else SERVICE
    if kind == NODE:
        return await _node(wanted, requests)
    if not found and wanted.back and kind:
        # Its journal may be left, of what is not registered any more.
        return Selected(SERVICE, wanted.name, "", (), {wanted.name: ()})
    if not found:
        raise Stopped(f"{printable(wanted.name)}: Consul knows no such service or node"
                      " (or ACLs hide it from this token)")  # fmt: skip
    node = known.node if known is not None else wanted.node
    if not node and not wanted.rolling and not wanted.back:
        node = await requests.here()
    mine = [one for one in found if not node or one.node == node]
    if wanted.id:
        mine = [one for one in mine if one.id == wanted.id]
    if not mine:
        _nobody(wanted, node, found)
    if len(mine) > 1 and not wanted.rolling and not wanted.back:
        ids = ", ".join(printable(one.id) for one in mine)
        raise UsageError(f"{wanted.name}: there are several on {node}: say --id ({ids})")
    units = tuple(Unit(one.node, one.node_address, (one,)) for one in mine)
    return Selected(SERVICE, wanted.name, node, units, {wanted.name: found})


def _nobody(wanted: Wanted, node: str, found: tuple[Instance, ...]) -> None:
    there = "; ".join(str(one) for one in found)
    what = f" with the ID {wanted.id}" if wanted.id else ""
    raise Stopped(f"{printable(wanted.name)}: no instance{printable(what)} on {printable(node)};"
                  f" there is: {there} (--node, or --rolling)")  # fmt: skip


async def _node(wanted: Wanted, requests: Requests) -> Selected:
    if wanted.rolling or wanted.node or wanted.id:
        raise UsageError(f"{wanted.name} is a node: without --rolling, --node, --id")
    on = await requests.services_on(wanted.name)
    if on is None and wanted.back:
        return Selected(NODE, wanted.name, wanted.name, (), {})
    if on is None:
        raise Stopped(f"{printable(wanted.name)}: Consul knows no such node")
    address, names = on
    services = {one: await requests.instances(one) for one in names}
    mine = tuple(
        one for found in services.values() for one in found if one.node == wanted.name
    )
    return Selected(
        NODE, wanted.name, wanted.name, (Unit(wanted.name, address, mine, whole=True),), services
    )
