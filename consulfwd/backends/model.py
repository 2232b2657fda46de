"""What a program sees of a service: its instances, what changed, how well that is known.

What belongs here: the forms, which instances count, what differs between two sets. Must not know:
how Consul is asked, threads, clocks, which instance is picked. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from consulfwd.consul.values import ServiceInstance

Key = tuple[str, str]


@dataclass(frozen=True)
class Backend:
    """One healthy instance of a service. `address` is its own, or else its node's.

    `status` is the worst of its checks: passing, or warning. `weight` is Consul's for that status.
    `meta` does not count for the hash, but does for being equal.
    """

    service: str
    id: str
    node: str
    address: str
    port: int
    datacenter: str
    tags: tuple[str, ...]
    weight: int
    status: str
    meta: Mapping[str, str] = field(hash=False)

    @property
    def host(self) -> str:
        """The address as it stands before a colon and a port: IPv6 in brackets."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def key(self) -> Key:
        """What no other instance of the service has: its node, and its ID there."""
        return self.node, self.id

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {
            "id": self.id,
            "node": self.node,
            "address": self.address,
            "port": self.port,
            "datacenter": self.datacenter,
            "tags": list(self.tags),
            "weight": self.weight,
            "status": self.status,
            "meta": dict(self.meta),
        }


@dataclass(frozen=True)
class Change:
    """What changed since the change before: the first one adds all there are.

    added     instances that are there now, or are at another address or port
    removed   those that are gone, or not healthy any more, as they were
    updated   those of which something else changed (tags, weight, status, metadata), as they are
    backends  all there are now
    stale     why no agent can be asked whether this is so still; "" while one can
    """

    added: tuple[Backend, ...]
    removed: tuple[Backend, ...]
    updated: tuple[Backend, ...]
    backends: tuple[Backend, ...]
    stale: str = ""

    def __bool__(self) -> bool:
        """Whether the set is another one, rather than only known otherwise."""
        return bool(self.added or self.removed or self.updated)

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {
            "added": [one.as_json() for one in self.added],
            "removed": [one.as_json() for one in self.removed],
            "updated": [one.as_json() for one in self.updated],
            "backends": [one.as_json() for one in self.backends],
            "stale": self.stale,
        }


@dataclass(frozen=True)
class State:
    """A set at one moment: whether it is `known` yet, and why it may be old by now (`stale`).

    What is known stays when agents are away: only what Consul says makes a set smaller.
    """

    backends: tuple[Backend, ...] = ()
    known: bool = False
    stale: str = ""


class Wanted(NamedTuple):
    """Which instances count: with this `tag` ("": any); those that warn unless `passing_only`.

    By default these are the ones that Consul's DNS answers with.
    """

    tag: str = ""
    passing_only: bool = False


def healthy(instances: Iterable[ServiceInstance], wanted: Wanted) -> tuple[Backend, ...]:
    """Return the instances that count, in the order they came in; Consul's tags have no case."""
    good = ("passing",) if wanted.passing_only else ("passing", "warning")
    tag = wanted.tag.lower()
    return tuple(
        Backend(
            service=one.name,
            id=one.id,
            node=one.node,
            address=one.address,
            port=one.port,
            datacenter=one.datacenter,
            tags=one.tags,
            weight=one.weight,
            status=one.status,
            meta=dict(one.meta),
        )
        for one in instances
        if one.status in good and (not tag or tag in map(str.lower, one.tags))
    )


def difference(before: Iterable[Backend], after: Iterable[Backend], stale: str = "") -> Change:
    """Return what leads from one set to another."""
    old, now = {one.key: one for one in before}, {one.key: one for one in after}
    kept = [key for key in now if key in old and _place(old[key]) == _place(now[key])]
    same = set(kept)
    return Change(
        added=tuple(one for key, one in now.items() if key not in same),
        removed=tuple(one for key, one in old.items() if key not in same),
        updated=tuple(now[key] for key in kept if now[key] != old[key]),
        backends=tuple(now.values()),
        stale=stale,
    )


def _place(one: Backend) -> tuple[str, int]:
    return one.address, one.port
