"""What is to be seen of a zone that is published: by whom, how far, what is withheld and why.

What belongs here: the form, as JSON, and reading it within bounds. Must not know where it is kept.
Pure: times are of the day, and passed in.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from consulfwd.dns import const, names
from consulfwd.zones.model import Act
from consulfwd.zones.plan import Plan
from consulfwd.zones.strict import read

FORMAT = 1
# What of lists is told each by itself.
MOST = 100
LARGEST = 1_000_000
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class OfTarget:
    """One target: since when (time of day) what is wrong, and what was last pushed."""

    where: str
    serial: int | None = None
    mark: str = ""
    pushed: float = 0.0
    what: str = ""
    fault: str = ""
    failing_since: float = 0.0
    names: int = 0
    addresses: int = 0
    withheld: tuple[str, ...] = ()
    withheld_in_all: int = 0
    command: str = ""

    @property
    def why(self) -> str:
        """Return what fails, without whose that is: most faults say it themselves."""
        return self.fault.removeprefix(f"{self.where}: ")


@dataclass(frozen=True, slots=True)
class Status:
    """A zone as its publisher on this host sees it.

    `state` is "active", "backup", "stopped", or "gone" for one that ended without a word; `holder`
    who writes, as far as is known.
    """

    zone: str
    view: str
    state: str
    holder: str
    number: int = 0
    since: float = 0.0
    paused: str = ""
    doubt: str = ""
    faults: tuple[str, ...] = ()
    targets: tuple[OfTarget, ...] = ()
    objections: tuple[str, ...] = ()
    objections_in_all: int = 0
    held: tuple[str, ...] = ()
    # Failover records in it, where each is.
    moving: tuple[str, ...] = ()
    written: float = field(default=0.0, compare=False)


def of_plan(
    where: str, plan: Plan | None, serial: int | None, **values: Any
) -> OfTarget:
    """Return what there is to see of a target, by the last plan for it."""
    if plan is None:
        return OfTarget(where, serial, **values)
    return OfTarget(
        where,
        serial,
        names=plan.after.names,
        addresses=plan.after.addresses,
        withheld=tuple(f"{told(one.act)}: {one.why}" for one in plan.withheld[:MOST]),
        withheld_in_all=len(plan.withheld),
        command=plan.command,
        **values,
    )


def told(act: Act) -> str:
    """Return what an act is about, in one line."""
    return f"{names.to_text(act.key.name)} {const.type_text(act.key.type)}"


def at(status: Status, wall: float) -> Status:
    """Return the same as it is written down at a time of day."""
    return replace(status, written=round(wall, 3))


def write(status: Status) -> bytes:
    """Return it as JSON."""
    found = to_json(status)
    return (json.dumps({"format": FORMAT, **found}, indent=1) + "\n").encode()


def to_json(status: Status) -> dict[str, Any]:
    """Return it as JSON has it."""
    return {
        "zone": status.zone,
        "view": status.view,
        "state": status.state,
        "holder": status.holder,
        "lock": status.number,
        "since": status.since,
        "paused": status.paused,
        "doubt": status.doubt,
        "faults": [*status.faults],
        "targets": [
            {
                "where": one.where,
                "serial": one.serial,
                "mark": one.mark,
                "pushed": one.pushed,
                "what": one.what,
                "fault": one.fault,
                "failing_since": one.failing_since,
                "names": one.names,
                "addresses": one.addresses,
                "withheld": [*one.withheld],
                "withheld_in_all": one.withheld_in_all,
                "command": one.command,
            }
            for one in status.targets
        ],
        "objections": [*status.objections],
        "objections_in_all": status.objections_in_all,
        "held": [*status.held],
        "moving": [*status.moving],
        "written": status.written,
    }


def load(data: bytes, document: str) -> Status:
    """Return what was written. Raises ApplyError, which names `document`."""
    root = read(data, document, LARGEST)
    if root["format"].integer(0, 1_000_000) != FORMAT:
        root["format"].wrong("another version of this program has written it")
    targets = []
    for one in root["targets"].items(100):
        serial = one["serial"]
        targets.append(
            OfTarget(
                where=one["where"].text(_LONGEST),
                serial=None if serial.is_null else serial.integer(0, 2**32 - 1),
                mark=one["mark"].text(_LONGEST),
                pushed=one["pushed"].number(0, 1e12),
                what=one["what"].text(_LONGEST),
                fault=one["fault"].text(100_000),
                failing_since=one["failing_since"].number(0, 1e12),
                names=one["names"].integer(0, 2**40),
                addresses=one["addresses"].integer(0, 2**40),
                withheld=tuple(each.text(_LONGEST) for each in one["withheld"].items(MOST)),
                withheld_in_all=one["withheld_in_all"].integer(0, 2**40),
                command=one["command"].text(_LONGEST),
            )
        )
    return Status(
        zone=root["zone"].text(_LONGEST),
        view=root["view"].text(_LONGEST),
        state=root["state"].text(_LONGEST),
        holder=root["holder"].text(_LONGEST),
        number=root["lock"].integer(0, 2**63),
        since=root["since"].number(0, 1e12),
        paused=root["paused"].text(100_000),
        doubt=root["doubt"].text(_LONGEST),
        faults=tuple(one.text(100_000) for one in root["faults"].items(MOST)),
        targets=tuple(targets),
        objections=tuple(one.text(_LONGEST) for one in root["objections"].items(MOST)),
        objections_in_all=root["objections_in_all"].integer(0, 2**40),
        held=tuple(one.text(_LONGEST) for one in root["held"].items(MOST)),
        # Written by none before 0.3.
        moving=tuple(
            one.text(_LONGEST) for one in (root["moving"].items(MOST) if "moving" in root else ())
        ),
        written=root["written"].number(0, 1e12),
    )
