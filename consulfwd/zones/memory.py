"""What a zone must remember over a restart, and where another publisher takes over.

What belongs here: its form as JSON, which is small enough for a key of Consul's, and reading that
back. Must not know: where it is kept. Pure: the time of the zone's clock and the time of day are
both passed in, as the one means nothing in another process and the other may be set.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from consulfwd.zones.budget import ALLOWED_FOR, ITEM, Allowance, Spent
from consulfwd.zones.claims import Group
from consulfwd.zones.seen import Whose
from consulfwd.zones.steady import Penalised
from consulfwd.zones.strict import Node, read

FORMAT = 1
# A value of Consul's KV store has 512 KiB at most.
LARGEST = 480_000
MOST_PENALISED = 500
MOST_KEPT = 500
# Of those that went, both of names and of addresses: these take up 8 octets each.
MOST_ITEMS = 12_000
MOST_PEAKS = 60
MOST_TARGETS = 100
# Of those that went without a name so many are believed, of all targets: each takes up room.
MOST_UNNAMED = 1_000_000


class Served(NamedTuple):
    """The serial that was published last at a target, what tells its content, by which lock."""

    serial: int
    digest: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered. Times are those of the zone's clock.

    `spent`, `served` and `allowances` are by target. `serial` is the last that was published
    anywhere, None if there was none. `number` is the lock's that wrote this. `paused` is why
    nothing is to be published, "" if it is.
    """

    penalised: tuple[Penalised, ...] = ()
    kept: Mapping[Group, frozenset[Whose]] = field(default_factory=dict)
    spent: Mapping[str, Spent] = field(default_factory=dict)
    serial: int | None = None
    number: int = 0
    paused: str = ""
    allowances: Mapping[str, Allowance] = field(default_factory=dict)
    served: Mapping[str, Served] = field(default_factory=dict)

    def replace(self, **values: Any) -> Memory:
        """Return the same with other values for some."""
        return replace(self, **values)


def write(memory: Memory, now: float, wall: float) -> bytes:
    """Return a memory as JSON, LARGEST octets at most.

    What does not fit is what costs least where it is missing: the smallest penalties, and names
    kept as they were last, which are seen in the zone. Of what was withdrawn nothing is left out:
    that which has no room is counted as the youngest of them, of which one knows no name.
    """
    kept = sorted(memory.kept.items())[:MOST_KEPT]
    share = MOST_ITEMS // max(1, len(memory.spent))
    found = {
        "format": FORMAT,
        "saved": wall,
        "number": memory.number,
        "serial": memory.serial,
        "served": {where: list(one) for where, one in sorted(memory.served.items())[:MOST_TARGETS]},
        "paused": memory.paused,
        "allowances": {
            where: _allowance(one, now)
            for where, one in sorted(memory.allowances.items())[:MOST_TARGETS]
            if one.until > now
        },
        "penalised": [
            [*whose, round(penalty, 3), suppressed]
            for whose, penalty, suppressed in memory.penalised[:MOST_PENALISED]
        ],
        "kept": [[*group, sorted(map(list, whose))] for group, whose in kept],
        "spent": {where: _spent(one, share) for where, one in sorted(memory.spent.items())},
    }
    without: tuple[dict[str, Any], ...] = ({}, {"penalised": [], "kept": []}, {"allowances": {}})
    for least in without:
        found |= least
        text = json.dumps(found, separators=(",", ":")).encode()
        if len(text) <= LARGEST:
            break
    return text


def load(text: bytes, document: str, now: float, wall: float) -> Memory:
    """Return what was remembered, `document` being where that is from.

    Raises ApplyError, which says what is wrong with it. Keys that are not known are left alone: a
    newer version may have written them.
    """
    root = read(text, document, 2 * LARGEST)
    if root["format"].integer(0, 1_000_000) != FORMAT:
        root["format"].wrong("another version of this program has written it")
    # Where the time of day was set back, nothing is younger than it was.
    passed = max(0.0, wall - root["saved"].number(0, 1e12))
    serial = root["serial"]
    targets = root["spent"].keys(MOST_TARGETS)
    unnamed = MOST_UNNAMED // max(1, 2 * len(targets))
    return Memory(
        penalised=tuple(_read_penalised(root["penalised"])),
        kept=dict(_read_kept(root["kept"])),
        spent={where: _read_spent(root["spent"][where], passed, unnamed) for where in targets},
        serial=None if serial.is_null else serial.integer(0, 2**32 - 1),
        number=root["number"].integer(0, 2**63),
        paused=root["paused"].line(),
        allowances=dict(_read_allowances(root["allowances"], now, passed)),
        served=dict(_read_served(root["served"])),
    )


def _allowance(allowance: Allowance, now: float) -> dict[str, Any]:
    units = None if allowance.units is None else sorted(allowance.units)
    return {"number": allowance.number, "left": allowance.until - now, "units": units}


def _spent(spent: Spent, most: int) -> dict[str, Any]:
    most_of = {"most_names": spent.most_names, "most_addresses": spent.most_addresses}
    return {
        "names": _items(spent.names, most // 2),
        "addresses": _items(spent.addresses, most // 2),
        **{key: _peaks(found) for key, found in most_of.items()},
    }


def _items(found: list[tuple[float, bytes]], most: int) -> list[list[Any]]:
    """Return items by age in whole seconds: younger than they are, and never older."""
    known = [one for one in found if len(one[1]) == ITEM]
    named = known[len(known) - min(most, len(known)) :]
    by_age: dict[int, list[bytes]] = {}
    for age, item in named:
        by_age.setdefault(int(age), []).append(item)
    result: list[list[Any]] = [
        [age, base64.b64encode(b"".join(items)).decode()] for age, items in by_age.items()
    ]
    if len(named) < len(found):
        youngest = min(age for age, _ in set(found) - set(named))
        result.append([int(youngest), len(found) - len(named)])
    return result


def _peaks(found: list[tuple[float, int]]) -> list[list[Any]]:
    return [[round(age, 3), number] for age, number in found[:MOST_PEAKS]]


def _read_served(node: Node) -> Iterator[tuple[str, Served]]:
    for where in node.keys(MOST_TARGETS):
        serial, digest, number = _parts(node[where], 3)
        yield where, Served(serial.integer(0, 2**32 - 1), digest.line(), number.integer(0, 2**63))


def _read_penalised(node: Node) -> Iterator[Penalised]:
    for one in node.items(MOST_PENALISED):
        *whose, penalty, suppressed = _parts(one, 6)
        value = penalty.number(0, 1e30)
        yield Penalised(Whose(*(each.text() for each in whose)), value, suppressed.flag())


def _read_kept(node: Node) -> Iterator[tuple[Group, frozenset[Whose]]]:
    for one in node.items(MOST_KEPT):
        *group, instances = _parts(one, 4)
        found = (_parts(each, 4) for each in instances.items(10_000))
        kept = frozenset(Whose(*(each.text() for each in parts)) for parts in found)
        yield Group(*(each.text() for each in group)), kept


def _read_spent(node: Node, passed: float, unnamed: int) -> Spent:
    kinds = "names", "addresses"
    names, addresses = (_read_items(node[one], passed, unnamed) for one in kinds)
    peaks = [_read_peaks(node[one], passed) for one in ("most_names", "most_addresses")]
    return Spent(names, addresses, *peaks)


def _read_items(node: Node, passed: float, unnamed: int) -> list[tuple[float, bytes]]:
    found: list[tuple[float, bytes]] = []
    for one in node.items(100_000):
        first, second = _parts(one, 2)
        age = first.number(0, 1e9) + passed
        if second.is_text:
            data = _octets(second)
            found += [(age, data[at : at + ITEM]) for at in range(0, len(data), ITEM)]
        else:
            # Nobody's: they stand for as many that come back under no name.
            number = min(second.integer(0, 2**40), unnamed)
            unnamed -= number
            found += [(age, b"?" + at.to_bytes(ITEM, "big")) for at in range(number)]
    return sorted(found, key=lambda one: -one[0])


def _read_peaks(node: Node, passed: float) -> list[tuple[float, int]]:
    parts = [_parts(one, 2) for one in node.items(MOST_PEAKS)]
    found = [(age.number(0, 1e9) + passed, most.integer(0, 2**40)) for age, most in parts]
    return sorted(found, reverse=True)


def _read_allowances(node: Node, now: float, passed: float) -> Iterator[tuple[str, Allowance]]:
    for where in node.keys(MOST_TARGETS):
        one = node[where]
        left = min(one["left"].number(0, 1e9), ALLOWED_FOR) - passed
        units = one["units"]
        known = None if units.is_null else frozenset(each.text() for each in units.items(100_000))
        if left > 0:
            yield where, Allowance(one["number"].integer(0, 2**40), now + left, known)


def _parts(node: Node, number: int) -> list[Node]:
    found = node.items(number)
    if len(found) != number:
        node.wrong(f"it must have {number} parts")
    return found


def _octets(node: Node) -> bytes:
    try:
        data = base64.b64decode(node.text(2 * LARGEST), validate=True)
    except (binascii.Error, ValueError):
        node.wrong("it is not base64")
    if len(data) % ITEM:
        node.wrong(f"it is not made of {ITEM} octets each")
    return data
