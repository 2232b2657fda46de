"""Whose records are whose, in a zone that others may write to as well.

What belongs here: what is ours, by the settings; and the TXT records that say so where it is told
by name. Must not know how a zone is read or changed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from hashlib import sha256
from typing import NamedTuple

from consulfwd.config.zones import Ownership as Kind
from consulfwd.dns import const, names
from consulfwd.dns.wire import read_name
from consulfwd.zones.guards import clear_of
from consulfwd.zones.model import Act, Key, Records, RRset
from consulfwd.zones.sinks.transfers import Contents

# All that a zone of services may hold; of others nothing is ever ours.
TYPES = frozenset({const.A, const.AAAA, const.CNAME, const.PTR, const.SRV, const.TXT})
MARK = b"_consulfwd"
MARK_TTL = 300
_OWNER, _NAME = b"consulfwd-owner=", b"consulfwd-name="
_HASHED = 32
_FRONT = bytes((len(MARK),)) + MARK
_CUTTING = (const.NS, const.DNAME)
# Stands for a type that has no records, and must not get any.
_NONE = RRset(0, frozenset())


class Parted(NamedTuple):
    """What a zone holds at and below an origin; `marks` are those by which names are ours.

    `servers` are the names of the zone's own servers, `cuts` those from which on others' zones are,
    `redirects` those below which there is nothing (RFC 6672).
    """

    ours: dict[Key, RRset]
    foreign: dict[Key, RRset]
    marks: Mapping[bytes, RRset]
    servers: Set[bytes]
    cuts: Set[bytes]
    redirects: Set[bytes]


class Ownership:
    """What is ours below `origin`: all, all below `subtree`, or what is marked with `owner`."""

    def __init__(self, kind: Kind, origin: bytes, subtree: bytes | None, owner: str) -> None:
        self.kind = kind
        self.origin = origin
        self._subtree = origin if subtree is None else subtree
        # One character-string holds it (RFC 1035 section 3.3).
        self._owner = owner.encode()[: 255 - len(_OWNER)]

    def part(self, contents: Contents) -> Parted:
        """Tell ours from others' records. The SOA and NS records of the zone are neither."""
        marks = self._marks(contents.records) if self.kind == "registry" else {}
        hidden = {self.mark_of(name) for name in marks}
        parted = Parted({}, {}, marks, *_apart(contents))
        for key, rrset in contents.records.items():
            if key not in hidden:
                self._put(key, rrset, parted, contents.zone)
        for name in self._taken(parted):
            for kind in TYPES:
                parted.foreign.setdefault(Key(name, kind), _NONE)
        return parted

    def _taken(self, parted: Parted) -> set[bytes]:
        """Return names at which nothing can be ours, whatever is there.

        A mark is for a name: where others have records, or a mark, no record of ours can come.
        """
        taken = {name for name in parted.servers if self.may_be(name)}
        if self.kind == "registry":
            others = {key.name for key in parted.foreign}
            taken |= others - parted.marks.keys()
            taken |= {name[len(_FRONT) :] for name in others if name.startswith(_FRONT)}
        return taken

    def again(self, before: Parted, contents: Contents, changed: Iterable[Key]) -> Parted:
        """Return the same as `part`, where these sets alone changed since.

        Work is in proportion to them, but where names are marked.
        """
        changed = list(changed)
        same = _primary(contents) in before.servers and self.kind != "registry"
        if not same or any(
            key.type in _CUTTING or key.name in before.servers for key in changed
        ):
            return self.part(contents)
        parted = before._replace(ours=dict(before.ours), foreign=dict(before.foreign))
        for key in changed:
            parted.ours.pop(key, None)
            parted.foreign.pop(key, None)
            if (rrset := contents.records.get(key)) is not None:
                self._put(key, rrset, parted, contents.zone)
        return parted

    def _put(self, key: Key, rrset: RRset, parted: Parted, zone: bytes) -> None:
        if not names.is_under(key.name, self.origin) or (key.name, key.type) == (zone, const.NS):
            return
        ours = key.type in TYPES and self.may_be(key.name) and key.name not in parted.servers
        if ours and (parted.cuts or parted.redirects):
            first, *above = names.suffixes(key.name)
            ours = parted.cuts.isdisjoint((first, *above)) and parted.redirects.isdisjoint(above)
        if ours and self.kind == "registry":
            ours = key.name in parted.marks
        (parted.ours if ours else parted.foreign)[key] = rrset

    def may_be(self, name: bytes) -> bool:
        """Return whether a name can be ours at all: the origin itself cannot."""
        below = name != self.origin and names.is_under(name, self.origin)
        return below and (self.kind != "subtree" or names.is_under(name, self._subtree))

    def marking(self, name: bytes, acts: Iterable[Act], parted: Parted) -> list[Act]:
        """Return what marks a name, or takes its mark away, along with what is done to it."""
        if self.kind != "registry":
            return []
        left = {kind for kind in TYPES if Key(name, kind) in parted.ours}
        for act in acts:
            (left.discard if act.after is None else left.add)(act.key.type)
        mark = parted.marks.get(name)
        if left and mark is None:
            mark = RRset(MARK_TTL, frozenset({self._mark_text(name)}))
            return [Act(self.mark_of(name), None, mark)]
        return [] if left or mark is None else [Act(self.mark_of(name), mark, None)]

    def mark_of(self, name: bytes) -> Key:
        """Return where the mark of a name is: below it, so that a CNAME record can be there.

        A name to which that cannot be put in front has it under a digest of the name instead.
        """
        if not _is_long(name):
            return Key(_FRONT + name, const.TXT)
        label = sha256(name).hexdigest()[:_HASHED].encode()
        return Key(names.join([label, MARK])[:-1] + self.origin, const.TXT)

    def _mark_text(self, name: bytes) -> bytes:
        parts = [_OWNER + self._owner]
        if _is_long(name):
            # That it is the digest of, for people: the name itself may be too long.
            parts.append(_NAME + names.to_text(name).encode()[: 255 - len(_NAME)])
        return b"".join(bytes((len(one),)) + one for one in parts)

    def _marks(self, records: Records) -> dict[bytes, RRset]:
        """Return our mark of each name that has one."""
        long = {self.mark_of(key.name): key.name for key in records if _is_long(key.name)}
        found = {}
        for key, rrset in records.items():
            if key.type != const.TXT or len(rrset.data) != 1:
                continue
            (data,) = rrset.data
            if data[1 : 1 + data[0]] != _OWNER + self._owner:
                continue
            if key.name.startswith(_FRONT):
                found[key.name[len(_FRONT) :]] = rrset
            elif key in long:
                found[long[key]] = rrset
        return found


def _is_long(name: bytes) -> bool:
    return len(_FRONT) + len(name) > names.MAX_NAME


def _primary(contents: Contents) -> bytes:
    return read_name(contents.soa.lower(), 0)


def _apart(contents: Contents) -> tuple[set[bytes], set[bytes], set[bytes]]:
    """Return names that the zone's own servers have, and where it ends (see `Parted`)."""
    servers = {_primary(contents)}
    cuts: set[bytes] = set()
    redirects: set[bytes] = set()
    for key, rrset in contents.records.items():
        if key.type == const.NS:
            servers |= rrset.data
            if key.name != contents.zone:
                cuts.add(key.name)
        elif key.type == const.DNAME:
            redirects.add(key.name)
    return servers, cuts, redirects


def unfit(ownership: Ownership, acts: Iterable[Act], foreign: Mapping[Key, RRset]) -> list[Key]:
    """Return what acts would do to what is not ours, or beside it where that cannot be."""
    fit = [act for act in acts if act.key.type in TYPES and ownership.may_be(act.key.name)]
    clear = {act.key for act in clear_of(foreign, ownership.origin, fit).acts}
    return [act.key for act in acts if act.key not in clear]
