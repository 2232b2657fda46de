"""A plan as JSON and back, to exactly the same acts.

What belongs here: the form of plan files. A file may be anybody's: reading it is bounded, and only
ApplyError leaves. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from consulfwd.dns import const, names
from consulfwd.errors import WireError
from consulfwd.zones import rdata
from consulfwd.zones.claims import Objection
from consulfwd.zones.guards import Kind, Withheld
from consulfwd.zones.model import Act, Key, RRset
from consulfwd.zones.plan import Plan, Totals
from consulfwd.zones.strict import Node, read

FORMAT = 1
LARGEST = 128 * 1024 * 1024
MOST = 1_000_000
_MOST_DATA = 10_000
_MOST_TTL = 2**31 - 1
_LONGEST_DATA = 300_000
_LONGEST_NAME = 1_100
_FIELDS = (
    "format", "zone", "view", "target", "mark", "catalog", "acts", "withheld", "objections",
    "held", "before", "after", "vanish", "appear", "over", "over_of", "spends", "command",
)  # fmt: skip


def to_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as JSON has it: the same plan gives the same text."""
    return {
        "format": FORMAT,
        "zone": plan.zone,
        "view": plan.view,
        "target": plan.target,
        "mark": plan.mark,
        "catalog": plan.catalog,
        "before": plan.before._asdict(),
        "after": plan.after._asdict(),
        "acts": [act_json(act) for act in plan.acts],
        "withheld": [
            {**act_json(one.act), "kind": one.kind.value, "why": one.why} for one in plan.withheld
        ],
        "objections": [one._asdict() for one in plan.objections],
        "held": [one._asdict() for one in plan.held],
        "vanish": sorted(map(names.to_text, plan.vanish)),
        "appear": sorted(map(names.to_text, plan.appear)),
        "over": plan.over,
        "over_of": list(plan.over_of),
        "spends": plan.spends,
        "command": plan.command,
    }


def write(plan: Plan) -> bytes:
    """Return a plan file."""
    return (json.dumps(to_json(plan), indent=1) + "\n").encode()


def load(text: bytes, document: str) -> Plan:
    """Return the plan of a file called `document`.

    Raises ApplyError, which says where in it something is wrong.
    """
    root = read(text, document, LARGEST)
    if root["format"].integer(0, 1_000_000) != FORMAT:
        root["format"].wrong("a plan of another version of this program: plan again")
    root.only(*_FIELDS)
    zone = root["zone"].line(_LONGEST_NAME)
    origin = _name(root["zone"], dotted=False)
    acts = tuple(_read_acts(root["acts"], origin))
    touched = {act.key.name for act in acts}
    return Plan(
        zone=zone,
        view=root["view"].line(),
        target=root["target"].line(),
        mark=root["mark"].line(),
        catalog=root["catalog"].line(),
        acts=acts,
        withheld=tuple(_withheld(root["withheld"], origin)),
        objections=tuple(map(_objection, root["objections"].items(MOST))),
        held=tuple(map(_objection, root["held"].items(MOST))),
        before=_totals(root["before"]),
        after=_totals(root["after"]),
        vanish=_names(root["vanish"], touched),
        appear=_names(root["appear"], touched),
        over=root["over"].integer(0, MOST * _MOST_DATA),
        over_of=tuple(one.text() for one in root["over_of"].items(MOST)),
        spends=root["spends"].flag(),
    )


def act_json(act: Act) -> dict[str, Any]:
    """Return one act as JSON has it."""
    return {
        "name": names.to_text(act.key.name),
        "type": const.type_text(act.key.type),
        "before": _rrset(act.key.type, act.before),
        "after": _rrset(act.key.type, act.after),
    }


def _rrset(rtype: int, rrset: RRset | None) -> dict[str, Any] | None:
    if rrset is None:
        return None
    # By their octets, as RFC 4034 section 6.3 sorts them.
    return {"ttl": rrset.ttl, "data": [rdata.to_text(rtype, one) for one in sorted(rrset.data)]}


def _read_acts(node: Node, origin: bytes) -> Iterable[Act]:
    seen: set[Key] = set()
    for one in node.items(MOST):
        one.only("name", "type", "before", "after")
        act = _read_act(one, origin)
        if act.key in seen:
            one.wrong("its name and type were there before")
        seen.add(act.key)
        yield act


def _read_act(node: Node, origin: bytes) -> Act:
    name = _name(node["name"])
    if not names.is_under(name, origin):
        node["name"].wrong("it is not in the zone")
    rtype = const.type_number(node["type"].line(20))
    if rtype is None:
        node["type"].wrong("no such type is known")
    if rtype == const.SOA or (rtype == const.NS and name == origin):
        node["type"].wrong("what a zone says of itself is not in plans")
    before, after = (_read_rrset(node[one], rtype) for one in ("before", "after"))
    if before == after:
        node.wrong("it changes nothing")
    return Act(Key(name, rtype), before, after)


def _read_rrset(node: Node, rtype: int) -> RRset | None:
    if node.is_null:
        return None
    node.only("ttl", "data")
    data = set()
    for one in node["data"].items(_MOST_DATA):
        try:
            data.add(rdata.from_text(rtype, one.text(_LONGEST_DATA)))
        except WireError as error:
            one.wrong(str(error))
    if not data:
        node["data"].wrong("no data: such a set is null")
    if rtype == const.CNAME and len(data) > 1:
        node["data"].wrong("a CNAME record must be alone")
    return RRset(node["ttl"].integer(0, _MOST_TTL), frozenset(data))


def _withheld(node: Node, origin: bytes) -> Iterable[Withheld]:
    for one in node.items(MOST):
        one.only("name", "type", "before", "after", "kind", "why")
        kind = one["kind"].line()
        found = next((each for each in Kind if each.value == kind), None)
        if found is None:
            one["kind"].wrong("no such reason is known")
        yield Withheld(_read_act(one, origin), found, one["why"].line())


def _objection(node: Node) -> Objection:
    node.only("subject", "why")
    return Objection(node["subject"].line(), node["why"].line())


def _totals(node: Node) -> Totals:
    node.only("names", "addresses")
    most = MOST * _MOST_DATA
    return Totals(node["names"].integer(0, most), node["addresses"].integer(0, most))


def _names(node: Node, among: set[bytes]) -> frozenset[bytes]:
    found = set()
    for one in node.items(MOST):
        name = _name(one)
        if name not in among:
            one.wrong("no act is about it")
        found.add(name)
    return frozenset(found)


def _name(node: Node, *, dotted: bool = True) -> bytes:
    text = node.line(_LONGEST_NAME)
    if text != text.lower() or text.endswith(".") != dotted:
        node.wrong("it is not a whole name in lower case")
    try:
        return names.from_text(text)
    except WireError as error:
        node.wrong(str(error))
