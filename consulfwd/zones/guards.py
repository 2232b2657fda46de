"""What may not be done to a zone, and why: in doubt, nothing is withdrawn.

What belongs here: the reasons but for the budget, and what follows of what is not done. Must not
know: settings, time, how much is withdrawn in all. Pure. Work is in proportion to the acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from consulfwd.dns import const, names
from consulfwd.zones.model import ADDRESSES, Act, Key, Records, owners

# What clients are led on by: the last of them at a name is what the name is there for.
LEADING = (const.A, const.AAAA, const.CNAME)


class Kind(Enum):
    """Why something is withheld; the value is how it is told."""

    FOREIGN = "foreign"
    DOUBT = "doubt"
    LAST = "last"
    BUDGET = "budget"
    MEMORY = "memory"
    BESIDE = "beside"


class Withheld(NamedTuple):
    """What would be done but may not; the rest of the same RRset's change is done."""

    act: Act
    kind: Kind
    why: str


class Judged(NamedTuple):
    """What may be done, and what may not."""

    acts: list[Act]
    withheld: list[Withheld]


Reason = tuple[Kind, str]


def without_withdrawal(act: Act, kept: frozenset[bytes] | None = None) -> Act | None:
    """Return what of an act withdraws nothing, or none of `kept`; None where nothing is left."""
    staying = act.withdrawn if kept is None else act.withdrawn & kept
    if not staying:
        return act
    if act.before is None or act.key.type == const.CNAME:
        return None
    after = act.before._replace(data=frozenset()) if act.after is None else act.after
    after = after._replace(data=after.data | staying)
    return None if after == act.before else Act(act.key, act.before, after)


def withhold(
    acts: Iterable[Act],
    reason: Callable[[Act], Reason | None],
    kept: Callable[[Act], frozenset[bytes] | None] = lambda act: None,
) -> Judged:
    """Return the acts without what may not be withdrawn, each such asked for its reason.

    `kept` says which data of an act must stay, None for all that it withdraws.
    """
    judged = Judged([], [])
    for act in acts:
        why = reason(act) if act.withdrawn else None
        left = act if why is None else without_withdrawal(act, kept(act))
        if left is not None:
            judged.acts.append(left)
        if why is not None:
            judged.withheld.append(Withheld(act, *why))
    return judged


def clear_of(foreign: Records, origin: bytes, acts: Iterable[Act]) -> Judged:
    """Return the acts but for those at names where others' records are in the way."""
    judged = Judged([], [])
    taken = owners(foreign) if foreign else set()
    for act in acts:
        why = _in_the_way(foreign, taken, origin, act)
        if why:
            judged.withheld.append(Withheld(act, Kind.FOREIGN, why))
        else:
            judged.acts.append(act)
    return judged


def _in_the_way(foreign: Records, taken: set[bytes], origin: bytes, act: Act) -> str:
    if not foreign:
        return ""
    name = act.key.name
    if act.key in foreign:
        return f"its {const.type_text(act.key.type)} records are not ours"
    if act.after is None:
        return ""
    if Key(name, const.CNAME) in foreign:
        return "a CNAME record is there that is not ours"
    if act.key.type == const.CNAME and name in taken:
        return "records are there that are not ours, and a CNAME record must be alone"
    for above in names.suffixes(name):
        if above == origin or not names.is_under(above, origin):
            break
        if Key(above, const.NS) in foreign:
            return f"{names.to_text(above)} is delegated to other servers"
        if above != name and Key(above, const.DNAME) in foreign:
            return f"a DNAME record is at {names.to_text(above)}"
    return ""


def consistent(judged: Judged, before: Records) -> Judged:
    """Return the same without what cannot be beside what is withheld.

    Names that SRV records lead to stay as long as those do; a CNAME record is alone at its name
    (RFC 1034 section 3.6.2); and what leads clients on stays where its successor may not come.
    """
    kept = {
        data[6:]
        for each in judged.withheld
        if each.act.key.type == const.SRV and each.kind is not Kind.FOREIGN
        for data in each.act.withdrawn
    }
    result = withhold(
        judged.acts, lambda act: _led_to(act) if act.key.name in kept else None
    )
    result.withheld[:0] = judged.withheld
    staying = {each.act.key.name for each in result.withheld if each.act.before is not None}
    acts = []
    for act in result.acts:
        beside = act.key.name in staying and act.after is not None
        if beside and _clashes(act, before, result.acts):
            why = "what it would stand beside is withheld"
            result.withheld.append(Withheld(act, Kind.BESIDE, why))
        else:
            acts.append(act)
    waiting = {
        each.act.key.name
        for each in result.withheld
        if each.act.after is not None and each.act.key.type in LEADING
    }
    last = withhold(acts, lambda act: _succeeded(act) if act.key.name in waiting else None)
    return Judged(last.acts, result.withheld + last.withheld)


def _succeeded(act: Act) -> Reason | None:
    if act.after is not None or act.key.type not in LEADING:
        return None
    return Kind.BESIDE, "what would take its place is withheld"



def _led_to(act: Act) -> Reason | None:
    if act.key.type not in ADDRESSES:
        return None
    return Kind.BESIDE, "SRV records that are withheld lead to it"


def _clashes(act: Act, before: Records, acts: Sequence[Act]) -> bool:
    name = act.key.name
    going = {each.key.type for each in acts if each.key.name == name and each.after is None}
    others = [const.CNAME] if act.key.type != const.CNAME else [
        one for one in const.TYPES if one != const.CNAME
    ]
    return any(Key(name, one) in before and one not in going for one in others)
