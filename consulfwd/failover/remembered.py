"""What is remembered of records over a restart: the values, their form as JSON, strict reading.

Must not know: where it is kept. Pure: the time of day is passed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

from consulfwd.failover.forces import DOWN, MOST, UP
from consulfwd.failover.model import IP, LONGEST_REASON, Force
from consulfwd.zones.strict import Node, read

FORMAT = 1
LARGEST = 4_000_000
# So many records, and addresses of one, can be in the settings.
MOST_RECORDS, MOST_ADDRESSES = 1_000, 1_024
# A memory this old (seconds) does not stand for a check any more.
YOUNG = 3_600.0
_WALL = 1e12


class AddressMemory(NamedTuple):
    """What an address was, since when (time of day), why, and how long ago it fell (seconds)."""

    up: bool
    since: float
    why: str
    falls: tuple[float, ...] = ()


class RecordMemory(NamedTuple):
    """The pool that was given ("" is none), since when (time of day), and the addresses."""

    pool: str
    since: float
    addresses: Mapping[IP, AddressMemory]


class Memory(NamedTuple):
    """All that is remembered, `saved` at that time of day."""

    saved: float
    records: Mapping[str, RecordMemory]
    forces: tuple[Force, ...] = ()

    def is_young(self, wall: float) -> bool:
        """Whether what it says can be used before anything was checked.

        One from the future is not: a clock was wrong, and nobody knows how much.
        """
        return 0 <= wall - self.saved <= YOUNG


def write(memory: Memory) -> bytes:
    """Return a memory as JSON."""
    found = {
        "format": FORMAT,
        "saved": memory.saved,
        "records": {name: _record(one) for name, one in sorted(memory.records.items())},
        "forces": write_forces(memory.forces),
    }
    return json.dumps(found, separators=(",", ":")).encode()


def load(text: bytes, document: str) -> Memory:
    """Return what was remembered, `document` being where that is from.

    Raises ApplyError, which says what is wrong with it. Keys that are not known are left alone: a
    newer version may have written them.
    """
    root = read(text, document, LARGEST)
    if root["format"].integer(0, 1_000_000) != FORMAT:
        root["format"].wrong("another version of this program has written it")
    records = root["records"]
    return Memory(
        root["saved"].number(0, _WALL),
        {name: _read_record(records[name]) for name in records.keys(MOST_RECORDS)},
        read_forces(root["forces"]),
    )


def write_forces(forces: tuple[Force, ...]) -> list[list[Any]]:
    """Return forces as JSON has them."""
    return [[one.glob, one.to, one.until, one.reason, one.by, one.at] for one in forces]


def read_forces(node: Node) -> tuple[Force, ...]:
    """Return forces from JSON. Raises ApplyError."""
    return tuple(_read_force(one) for one in node.items(MOST))


def _record(memory: RecordMemory) -> dict[str, Any]:
    addresses = {
        str(ip): [one.up, one.since, one.why, [round(age, 1) for age in one.falls]]
        for ip, one in memory.addresses.items()
    }
    return {"pool": memory.pool, "since": memory.since, "addresses": addresses}


def _read_record(node: Node) -> RecordMemory:
    addresses = node["addresses"]
    found = {}
    for written in addresses.keys(MOST_ADDRESSES):
        try:
            ip = ip_address(written)
        except ValueError:
            addresses.wrong(f"{written[:60]!a} is not an address")
        found[ip] = _read_address(addresses[written])
    return RecordMemory(node["pool"].line(), node["since"].number(0, _WALL), found)


def _read_address(node: Node) -> AddressMemory:
    up, since, why, falls = _parts(node, 4)
    ages = tuple(one.number(0, _WALL) for one in falls.items(100))
    return AddressMemory(up.flag(), since.number(0, _WALL), why.line(LONGEST_REASON), ages)


def _read_force(node: Node) -> Force:
    glob, to, until, reason, by, at = _parts(node, 6)
    if to.line() not in (UP, DOWN):
        to.wrong(f"it must be {UP} or {DOWN}")
    ends = None if until.is_null else until.number(0, _WALL)
    return Force(glob.line(), to.line(), ends, reason.line(), by.line(), at.number(0, _WALL))


def _parts(node: Node, number: int) -> list[Node]:
    found = node.items(number)
    if len(found) != number:
        node.wrong(f"it must have {number} parts")
    return found
