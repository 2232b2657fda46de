"""Acts that go together: those at a name, with what marks it; and the messages for them.

What belongs here: what stands between a plan, and `updates`, which makes messages of groups. Must
not know connections. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consulfwd.dns import const, names
from consulfwd.zones.model import Act, Key
from consulfwd.zones.sinks.ownership import TYPES, Ownership, Parted
from consulfwd.zones.sinks.transfers import Contents
from consulfwd.zones.sinks.updates import Batch, Group, TooLarge, batches


def marked(ownership: Ownership, acts: Sequence[Act], parted: Parted) -> list[list[Act]]:
    """Return the groups of a plan: each name's acts, and what they make of its mark."""
    groups = by_name(ownership, acts)
    for group in groups:
        group += ownership.marking(group[0].key.name, group, parted)
    return groups


def by_name(ownership: Ownership, acts: Sequence[Act]) -> list[list[Act]]:
    """Return the groups of acts, among which those at marks are already."""
    marks = {ownership.mark_of(act.key.name): act.key.name for act in acts}
    groups: dict[bytes, list[Act]] = {}
    for act in acts:
        groups.setdefault(marks.get(act.key, act.key.name), []).append(act)
    return list(groups.values())


def in_messages(
    groups: Iterable[Group], contents: Contents, parted: Parted
) -> tuple[list[Batch], list[Act]]:
    """Return the messages that bring groups into force, and what no message can."""
    others = {key.name for key, rrset in parted.foreign.items() if rrset.data}

    def occupied(name: bytes) -> bool:
        return name in others or any(Key(name, kind) in contents.records for kind in TYPES)

    fit = list(groups)
    large: list[Act] = []
    while True:
        try:
            return batches(fit, occupied), large
        except TooLarge as error:
            large += [act for group in fit if group[0].key.name == error.name for act in group]
            fit = [group for group in fit if group[0].key.name != error.name]


def too_large(acts: Sequence[Act]) -> str:
    """Return what is told of acts that no message can hold."""
    return f"{named([acts[0].key])}: its name needs more than a message holds"


def named(keys: Sequence[Key]) -> str:
    """Return some of the names and types, for a message."""
    shown = [f"{names.to_text(one.name)} {const.type_text(one.type)}" for one in keys[:5]]
    return ", ".join(shown) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
