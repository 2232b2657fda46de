"""Why something is in a zone or not: what Consul, the decisions and the targets say of it.

What belongs here: what is asked for that, of whom. Must not know words for people, nor options;
what is decided, and why, is in `zones.reasons`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from consulfwd.config.zones import ZoneSettings
from consulfwd.consul import health
from consulfwd.consul.reply import LARGE
from consulfwd.consul.several import Several
from consulfwd.errors import ConsulError, ConsulfwdError
from consulfwd.zones.guards import Withheld
from consulfwd.zones.looking_up import at
from consulfwd.zones.memory import Memory
from consulfwd.zones.model import Act, Key, Records
from consulfwd.zones.publish.asked import Asked, Compared, looked_at
from consulfwd.zones.publish.running import Wanted
from consulfwd.zones.reasons import Instance, Meant, Reasons
from consulfwd.zones.seen import Health

# Of so many services bad checks are asked for; a reply of a service may be so large; in seconds.
MOST_SERVICES, LIMIT, TIMEOUT = 10, 4 * LARGE, 5.0
# What is told of an instance's checks, and of what one printed.
MOST_CHECKS, LONGEST = 5, 160
# Names that targets alone know.
MOST_NAMES = 100
Which = tuple[str, str]


class AtTarget(NamedTuple):
    """What a target holds at the names meant, and what becomes of that."""

    where: str
    ours: Records
    foreign: Records
    acts: tuple[Act, ...]
    withheld: tuple[Withheld, ...]
    command: str = ""
    fault: str = ""


class Explained(NamedTuple):
    """All there is to say. `checks` are the bad ones of each instance, by its node and ID.

    `waits` is why nothing is published just now, "" if it is; `faults` what could not be asked.
    """

    zone: ZoneSettings
    word: str
    meant: Meant
    wanted: Records
    targets: tuple[AtTarget, ...]
    checks: Mapping[Which, tuple[str, ...]]
    waits: str
    faults: tuple[str, ...]

    @property
    def known(self) -> bool:
        """Whether there is anything of it, here or there."""
        there = any(one.ours or one.foreign for one in self.targets)
        return bool(self.meant.instances or self.wanted or there)

    @property
    def well(self) -> bool:
        """Whether all of it is in the zone, at each target."""
        there = not any(one.acts or one.withheld or one.fault for one in self.targets)
        return self.known and there and all(one.at for one in self.meant.instances)


async def explain(wanted: Wanted, zone: ZoneSettings, word: str) -> Explained:
    """Return why a name, service, node, instance or address is in a zone or not.

    Raises ConsulError where nothing can be known.
    """
    asked = Asked(wanted, zone)
    faults: list[str] = []
    memory = Memory()
    try:
        memory = await asked.remembered()
    except ConsulfwdError as error:
        faults.append(f"what publishers remember is not known: {error}")
    moves = wanted.moves(zone, looking=True)
    async with looked_at(wanted.agents, zone, memory, moves=moves) as looked:
        reasons = Reasons(looked, memory)
        meant = reasons.of(word)
        compared: Sequence[Compared] = ()
        try:
            compared = await asked.compared(looked, memory)
        except ConsulfwdError as error:
            faults.append(str(error))
        meant = meant._replace(names=_with_left(reasons, word, meant, compared))
        holds = {key: found for name in meant.names for key, found in reasons.at(name).items()}
    targets = tuple(_at_target(one, meant.names) for one in compared)
    checks = await _checks(wanted, meant.instances, faults)
    waits = await _waits(asked, zone, faults)
    return Explained(zone, word, meant, holds, targets, checks, waits, tuple(faults))


def _with_left(
    reasons: Reasons, word: str, meant: Meant, compared: Sequence[Compared]
) -> tuple[bytes, ...]:
    """Return the names meant, and those that only targets know by now."""
    found = dict.fromkeys(meant.names)
    for one in compared:
        if one.base is not None:
            held = {**one.base.foreign, **one.base.ours}
            found.update(dict.fromkeys(sorted(reasons.left(word, held))[:MOST_NAMES]))
    return tuple(found)


def _at_target(one: Compared, wanted: Sequence[bytes]) -> AtTarget:
    if one.base is None or one.plan is None:
        return AtTarget(one.where, {}, {}, (), (), fault=one.fault)
    among = frozenset(wanted)
    return AtTarget(
        one.where,
        _there(one.base.ours, wanted),
        _there(one.base.foreign, wanted),
        tuple(act for act in one.plan.acts if act.key.name in among),
        tuple(each for each in one.plan.withheld if each.act.key.name in among),
        one.plan.command,
    )


def _there(records: Records, wanted: Sequence[bytes]) -> Records:
    found: dict[Key, Any] = {}
    for name in wanted:
        found.update(at(records, name))
    return found


async def _waits(asked: Asked, zone: ZoneSettings, faults: list[str]) -> str:
    """Return why nothing is published just now."""
    if not zone.targets:
        return "the zone has no `targets`: it is only shown"
    try:
        publishers = await asked.publishers()
        if publishers is None:
            here = asked.here()
            if here is not None and here.paused:
                return here.paused
            return "" if here is not None and here.state == "active" else "no publisher runs here"
    except ConsulfwdError as error:
        faults.append(str(error))
        return ""
    if publishers.orders.paused:
        return publishers.orders.paused
    return "" if publishers.holder is not None else "no publisher is active"


async def _checks(
    wanted: Wanted, instances: Sequence[Instance], faults: list[str]
) -> dict[Which, tuple[str, ...]]:
    """Return the bad checks of those instances that have any, as Consul says now."""
    bad = [one.whose for one in instances if one.health is not Health.PASSING]
    services = dict.fromkeys((one.service, one.datacenter) for one in bad)
    if not services:
        return {}
    found: dict[Which, tuple[str, ...]] = {}
    connection = Several(wanted.agents)
    try:
        for service, datacenter in list(services)[:MOST_SERVICES]:
            path = f"/v1/health/service/{quote(service, safe='')}"
            params = {"dc": datacenter} if datacenter else {}
            try:
                reply = await connection.get(path, params, timeout=TIMEOUT, limit=LIMIT)
                found.update(_bad(health.entries(reply.json())))
            except (ConsulError, ValueError) as error:
                faults.append(f"which checks are bad is not known: {error}")
                break
    finally:
        await connection.close()
    return found


def _bad(entries: Sequence[health.Entry]) -> dict[Which, tuple[str, ...]]:
    found = {}
    for entry in entries:
        which = str(entry.node.get("Node")), str(entry.service.get("ID"))
        told = [_told(one) for one in entry.checks if one.get("Status") != "passing"]
        found[which] = tuple(told[:MOST_CHECKS])
    return found


def _told(check: Mapping[str, Any]) -> str:
    name = check.get("Name") or check.get("CheckID")
    printed = " ".join(str(check.get("Output") or check.get("Notes") or "").split())
    text = f"{name}: {check.get('Status')}" + (f": {printed}" if printed else "")
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return shown if shown.isprintable() else ascii(shown)[1:-1]
