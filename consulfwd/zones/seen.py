"""What Consul says of services, as zones need it: instances, their health, how well it is proved.

What belongs here: the forms. Must not know: how anything is asked for, what becomes of it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple


class Health(Enum):
    """What the worst check of an instance says; the value is how it is told."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"
    MAINTENANCE = "in maintenance"


class Whose(NamedTuple):
    """By what an instance is the same one from one look to the next."""

    datacenter: str
    service: str
    node: str
    id: str

    def __str__(self) -> str:
        return f"{self.id} on {self.node}" + (f" in {self.datacenter}" if self.datacenter else "")


@dataclass(frozen=True, slots=True)
class Offer:
    """What an instance offers its clients: what records are made of.

    `own` is its own address, "" if it has none; `of_node` its node's; `tagged` those by Consul's
    tags (`lan_ipv4`, `wan_ipv6`, ...), the instance's before its node's. Any may be a host name.
    """

    own: str
    of_node: str
    port: int
    tags: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)
    tagged: Mapping[str, str] = field(default_factory=dict, hash=False)
    weight: int = 1


class Seen(NamedTuple):
    """An instance as it is now."""

    whose: Whose
    offer: Offer
    health: Health


class Service(NamedTuple):
    """A service in one datacenter: its instances, of every health, in a stable order.

    `doubt` is why nothing may be withdrawn by this ("" if it may): it is partial, not proved, too
    old, empty for the first time.
    """

    datacenter: str
    name: str
    instances: tuple[Seen, ...]
    doubt: str = ""


class Catalog(NamedTuple):
    """All services that are followed, by datacenter and name.

    `doubt` is why a service that is not in it may not be taken for gone ("" if it may).
    """

    services: Mapping[tuple[str, str], Service]
    doubt: str = ""
