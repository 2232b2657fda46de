"""What a service claims of a zone: names, what is at them, and what cannot be had.

What belongs here: the forms that layout and assembly hand on. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from consulfwd.zones.model import RRset
from consulfwd.zones.seen import Offer, Whose
from consulfwd.zones.spots import quoted


class Group(NamedTuple):
    """One of a service's names: its own, that of a tag, or that of a datacenter."""

    service: str
    tag: str = ""
    datacenter: str = ""


class Member(NamedTuple):
    """An instance that is offered under a name."""

    whose: Whose
    offer: Offer


class Objection(NamedTuple):
    """What is not in the zone though Consul or the settings say so, and why."""

    subject: str
    why: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.why}"


class Rank(IntEnum):
    """Whose a name is where several claim it: the lowest. Those of HOST are the same for all.

    What the settings say (MOVING: failover records, ALIAS) comes before what strangers may
    register; a datacenter's name before a tag, which may be any.
    """

    HOST = 0
    MOVING = 1
    ALIAS = 2
    SERVICE = 3
    DATACENTER = 4
    PART = 5


class Claim(NamedTuple):
    """All that one service has at one name, by type."""

    rank: Rank
    sets: Mapping[int, RRset]


class Contribution(NamedTuple):
    """What one service has in the zone, by name; "" are the settings' own names."""

    service: str
    claims: Mapping[bytes, Claim]
    objections: tuple[Objection, ...] = ()


def told(whose: Whose) -> str:
    """Return an instance's name fit for one line: nodes and instances are named by strangers."""
    found = str(whose)
    return found if found.isprintable() and found.isascii() and len(found) < 200 else quoted(found)
