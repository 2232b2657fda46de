"""What must be written so that what is in the grid becomes what a plan wants, in which order.

What belongs here: from acts, and the objects that are there now, to requests. Must not know: how
they are sent. Pure.

Requests are made of what is there when they are about to be sent, not of what was there when the
plan was made: so a push goes on where another one ended, and what was sent without a reply is
looked for before it is sent again. What nobody planned to find is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Literal, NamedTuple

from consulfwd.dns import const
from consulfwd.zones import rdata
from consulfwd.zones.model import Act, Key
from consulfwd.zones.sinks.infoblox_objects import KINDS, Held, Marking, created, with_ttl

Method = Literal["POST", "PUT", "DELETE"]
# What leads to other names: it comes after those, and goes before them.
_LEADING = (const.SRV, const.CNAME)


class Request(NamedTuple):
    """One thing to be written; `path` is a kind of object, or a reference."""

    method: Method
    path: str
    body: Mapping[str, Any] | None = None


class Phase(Enum):
    """What is done in one go through the acts."""

    ADD = "add"
    SWITCH = "switch"
    REMOVE = "remove"


class InTheWay(Exception):
    """Something is there that the plan did not know: why nothing is done."""


Group = tuple[Act, ...]


def phases(acts: Iterable[Act]) -> list[tuple[Phase, list[Group]]]:
    """Return in which order acts are carried out, so that no name is ever without records.

    What comes goes before what goes; names come before what leads to them, and go after it. A name
    that becomes an alias, or is none any more, is a group of its own: it cannot be both for a
    moment (RFC 1034 section 3.6.2).
    """
    by_name: dict[bytes, list[Act]] = {}
    for act in acts:
        by_name.setdefault(act.key.name, []).append(act)
    switches: list[Group] = []
    names: list[Group] = []
    leading: list[Group] = []
    for here in by_name.values():
        if len(here) > 1 and any(act.key.type == const.CNAME for act in here):
            switches.append(tuple(here))
            continue
        for act in here:
            (leading if act.key.type in _LEADING else names).append((act,))
    order = [
        (Phase.ADD, [one for one in names if _adds(one[0])]),
        (Phase.ADD, [one for one in leading if _adds(one[0])]),
        (Phase.SWITCH, switches),
        (Phase.REMOVE, [one for one in leading if one[0].withdrawn]),
        (Phase.REMOVE, [one for one in names if one[0].withdrawn]),
    ]
    return [(phase, groups) for phase, groups in order if groups]


def leads_to(act: Act, *, after: bool) -> frozenset[bytes]:
    """Return the names that records lead to: those that come by an act, or those there before."""
    if act.key.type not in _LEADING:
        return frozenset()
    data = _data(act, after=True) - _data(act, after=False) if after else _data(act, after=False)
    return frozenset(one[6:] if act.key.type == const.SRV else one for one in data)


def _adds(act: Act) -> bool:
    if act.after is None or act.before is None:
        return act.after is not None
    return act.after.ttl != act.before.ttl or bool(act.after.data - act.before.data)


def requests(
    phase: Phase, group: Group, there: Mapping[Key, Sequence[Held]], marking: Marking
) -> list[Request]:
    """Return what is still to be written for acts, in order. Raises InTheWay."""
    for act in group:
        _as_planned(act, there.get(act.key, ()))
    if phase is Phase.REMOVE:
        for act in group:
            if _data(act, after=True) - {one.data for one in there.get(act.key, ())}:
                raise InTheWay("what was added is not there, so nothing is removed")
        return [one for act in group for one in _removals(act, there.get(act.key, ()))]
    coming = [one for act in group for one in _additions(act, there.get(act.key, ()), marking)]
    if phase is Phase.ADD:
        return coming
    going = [act for act in group if act.after is None]
    return [one for act in going for one in _removals(act, there.get(act.key, ()))] + coming


def _as_planned(act: Act, there: Sequence[Held]) -> None:
    planned = _data(act, after=False) | _data(act, after=True)
    for one in there:
        if not one.ours:
            raise InTheWay(f"{_told(one)} is there, which is not ours")
        if one.data not in planned:
            raise InTheWay(f"{_told(one)} is there, which was not when this was planned")


def _additions(act: Act, there: Sequence[Held], marking: Marking) -> list[Request]:
    if act.after is None:
        return []
    found = []
    have = {one.data: one for one in there}
    ttl = act.after.ttl
    for one in there:
        if one.data in act.after.data and one.ttl != ttl:
            found.append(Request("PUT", one.ref, with_ttl(ttl)))
    coming = sorted(act.after.data - have.keys())
    going = [have[data] for data in sorted(have.keys() - act.after.data)]
    kind = KINDS[act.key.type]
    for data, one in zip(coming, going):  # noqa: B905 (as many as there are of both)
        found.append(Request("PUT", one.ref, {**kind.write(data), **with_ttl(ttl)}))
    for data in coming[len(going) :]:
        found.append(Request("POST", kind.name, created(act.key, data, ttl, marking)))
    return found


def _removals(act: Act, there: Sequence[Held]) -> list[Request]:
    stay = _data(act, after=True)
    return [Request("DELETE", one.ref) for one in there if one.data not in stay]


def _data(act: Act, *, after: bool) -> frozenset[bytes]:
    found = act.after if after else act.before
    return frozenset() if found is None else found.data


def _told(one: Held) -> str:
    data = rdata.to_text(one.key.type, one.data) if one.data else "a record"
    return f"{const.type_text(one.key.type)} {data}"
