"""Why something is in a zone or not, as text for people and as JSON.

What belongs here: words and lines, and the form of the JSON. Must not know where they go. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from consulfwd.dns import const, names
from consulfwd.zones.claims import told
from consulfwd.zones.model import Key, Records
from consulfwd.zones.publish.explained import AtTarget, Explained
from consulfwd.zones.publish.showing import Line, act_lines, as_json, texts
from consulfwd.zones.publish.status import told as told_act
from consulfwd.zones.reasons import Instance
from consulfwd.zones.spots import quoted

# Names of an instance that are told each by itself.
MOST_NAMES = 5


def lines(found: Explained) -> Iterator[Line]:
    """Yield what is known, what is wanted, and how far that is published."""
    for name in found.meant.names:
        yield "plain", f"  {names.to_text(name)}: {_data(found.wanted, name)}"
    yield from _instances(found)
    for said in found.meant.said:
        yield "wait", f"  {said}"
    for one in found.targets:
        yield from _target(one, found)
    if found.waits:
        yield "wait", f"  nothing is published just now: {found.waits}"
    for fault in found.faults:
        yield "take", f"  {fault}"


def _data(records: Records, name: bytes) -> str:
    parts = [
        f"{const.type_text(key.type)} {', '.join(texts(key, records[key]))}"
        for key in sorted(records, key=Key.order)
        if key.name == name
    ]
    return "; ".join(parts) or "no records"


def _instances(found: Explained) -> Iterator[Line]:
    rows = [
        ("in" if one.at else "out", _service(one), told(one.whose), _spot(one), one.health.value)
        for one in found.meant.instances
    ]
    widths = [max((len(row[at]) for row in rows), default=0) for at in range(4)]
    several = len(found.meant.names) != 1
    for one, row in zip(found.meant.instances, rows, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "add" if one.at else "take", f"  {'  '.join([*cells, row[4]])}"
        if several and one.at:
            shown = [names.to_text(each) for each in one.at[:MOST_NAMES]]
            more = f" and {len(one.at) - MOST_NAMES} more" if len(one.at) > MOST_NAMES else ""
            yield "plain", f"      at {', '.join(shown)}{more}"
        for why in one.why:
            yield "wait", f"      {why}"
        for check in found.checks.get((one.whose.node, one.whose.id), ()):
            yield "plain", f"      check {check}"


def _service(one: Instance) -> str:
    service = one.whose.service
    return service if service.isprintable() and service.isascii() else quoted(service)


def _spot(one: Instance) -> str:
    address = f"[{one.address}]" if ":" in one.address and one.port else one.address
    return f"{address or '-'}:{one.port}" if one.port else address or "-"


def _target(one: AtTarget, found: Explained) -> Iterator[Line]:
    if one.fault:
        yield "take", f"  {one.fault}"
        return
    if not (one.acts or one.withheld or one.foreign):
        so = "as it is to be" if found.meant.names else "holds nothing of it"
        yield "plain", f"  {one.where}: {so}"
        return
    yield "head", f"  {one.where}:"
    for act in one.acts:
        for mood, text in act_lines(act):
            yield mood, f"  {text}"
    for each in one.withheld:
        yield "wait", f"    withheld: {told_act(each.act)}: {each.why}"
    for key in sorted(one.foreign, key=Key.order):
        data = ", ".join(texts(key, one.foreign[key]))
        where = f"{names.to_text(key.name)} {const.type_text(key.type)}"
        yield "wait", f"    {where} {data} is somebody else's"
    if one.command and any(each.kind.value == "budget" for each in one.withheld):
        yield "wait", f"    allowed, with all else that waits so, by: {one.command}"


def to_json(found: Explained) -> dict[str, Any]:
    """Return it as JSON has it."""
    return {
        "zone": found.zone.origin,
        "view": found.zone.view or "",
        "asked": found.word,
        "well": found.well,
        "names": _names(found.meant.names),
        "records": as_json(found.wanted),
        "instances": [
            {
                "id": one.whose.id,
                "service": one.whose.service,
                "node": one.whose.node,
                "datacenter": one.whose.datacenter,
                "address": one.address,
                "port": one.port,
                "tags": [*one.tags],
                "health": one.health.value,
                "names": _names(one.at),
                "why": [*one.why],
                "checks": [*found.checks.get((one.whose.node, one.whose.id), ())],
            }
            for one in found.meant.instances
        ],
        "reasons": [*found.meant.said],
        "targets": [
            {
                "where": one.where,
                "holds": as_json(one.ours),
                "foreign": as_json(one.foreign),
                "due": [told_act(act) for act in one.acts],
                "withheld": [
                    {"what": told_act(each.act), "kind": each.kind.value, "why": each.why}
                    for each in one.withheld
                ],
                "command": one.command,
                "fault": one.fault,
            }
            for one in found.targets
        ],
        "waits": found.waits,
        "faults": [*found.faults],
    }


def _names(several: Iterable[bytes]) -> list[str]:
    return [names.to_text(one) for one in several]
