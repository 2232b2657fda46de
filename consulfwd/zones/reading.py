"""A service's instances as zones see them: what a reply of /v1/health/service comes to.

What belongs here: addresses by their tags, health with maintenance. What may pass at all is in
`consul.values`, as it is for files: what a stranger wrote into one registration costs that one.
Must not know: how anything is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from consulfwd.consul import health, strict, values
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.health import Entry
from consulfwd.consul.strict import LeftOut, ignore
from consulfwd.zones.seen import Health, Offer, Seen, Whose

# How Consul calls the checks by which people put a node, or an instance, into maintenance.
_MAINTENANCE = "_node_maintenance", "_service_maintenance:"
_HEALTH = {one.value: one for one in Health}
# So long (seconds) there must have been nothing of a service, where there was something, by the
# leader's consistent word both times. That it is gone the list of services must say, too, and what
# that costs a zone is bounded.
HOLD = 0.25
# Most have none, and there may be very many.
_NONE: dict[str, str] = {}


class Instances(Fact):
    """The instances of a service, of every health: a tuple of `Seen`, sorted by whose they are."""

    @staticmethod
    def of(name: str, datacenter: str) -> Instances:
        """Return that fact. Raises ValueError for a name that Consul cannot be asked for."""
        return Instances(FactKind.SERVICE, name, datacenter)

    @property
    def hold(self) -> float:
        """How long (seconds) there must have been nothing, where there was something."""
        return HOLD

    def read(self, parsed: object, left_out: LeftOut = ignore) -> tuple[Seen, ...]:
        """Return the instances in a decoded reply (see `Fact.read`)."""
        found = values.usable(health.entries(parsed), self.seen, "instance", left_out)
        return tuple(sorted(found, key=lambda one: one.whose))

    def members(self, value: Any) -> frozenset[object]:
        """Return nodes and IDs of the instances."""
        return frozenset((one.whose.node, one.whose.id) for one in value)

    def seen(self, entry: Entry) -> Seen:
        """Return one instance. Raises OddText for what a stranger must not write, or ValueError."""
        one = values.instance(entry)
        whose = Whose(
            sys.intern(self.datacenter or one.datacenter),
            sys.intern(self.name),
            sys.intern(one.node),
            sys.intern(one.id),
        )
        offer = Offer(
            own=one.address if entry.own_address else "",
            of_node=sys.intern(one.node_address),
            port=one.port,
            tags=tuple(map(sys.intern, one.tags)),
            meta=one.meta or _NONE,
            tagged=_tagged(entry, f"instance of {one.name[:60]!r} on {one.node[:60]!r}") or _NONE,
            weight=one.weight,
        )
        return Seen(whose, offer, _health(one, entry.checks))


def _health(one: values.ServiceInstance, checks: Sequence[Mapping[str, Any]]) -> Health:
    for check in checks:
        name = check.get("CheckID")
        # Whoever runs a service may give any check such a name: only one that is bad is that.
        if check.get("Status") != "critical" or not isinstance(name, str):
            continue
        if name == _MAINTENANCE[0] or name.startswith(_MAINTENANCE[1]):
            return Health.MAINTENANCE
    return _HEALTH[one.status]


def _tagged(entry: Entry, what: str) -> dict[str, str]:
    """Return the addresses that have tags, the instance's before those of its node."""
    of_node = strict.pairs(entry.node.get("TaggedAddresses"), f"the node of the {what}")
    own = strict.mapping(entry.service.get("TaggedAddresses") or {}, f"the addresses of the {what}")
    found = {tag: address for tag, address in of_node.items() if address}
    for tag, fields in own.items():
        address = strict.mapping(fields, f"an address of the {what}").get("Address")
        if address:
            found[strict.word(tag, f"the tag of an address of the {what}")] = address
    return {
        sys.intern(tag): strict.address(found[tag], f"{what}, its address {tag[:60]!r}")
        for tag in sorted(found)
    }
