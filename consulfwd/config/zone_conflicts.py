"""What must hold between the keys of zones.

Each objection names the key at fault by its path from the root of the settings. Pure: no file is
looked at.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from os.path import normpath

from consulfwd.config.objections import KeyPath, Objection
from consulfwd.config.zones import (
    PrimaryTarget,
    TargetSettings,
    UpdateTarget,
    ZoneSettings,
)

KINDS = ("file", "rfc2136", "infoblox", "primary")
_REVERSE = (".in-addr.arpa", ".ip6.arpa")


def conflicts(zones: Sequence[ZoneSettings]) -> Iterator[Objection]:
    """Yield what makes zones unusable."""
    names: dict[Hashable, KeyPath] = {}
    places: dict[Hashable, KeyPath] = {}
    prefixes: dict[Hashable, KeyPath] = {}
    for number, zone in enumerate(zones):
        path: KeyPath = ("zones", number)
        what = f"{_called(zone)} is in the list already"
        mend = "take one out, or give each a view of its own"
        yield from _once(names, (zone.origin, zone.view), (*path, "origin"), what, mend)
        if zone.lock.prefix is not None and zone.lock.enabled:
            what = f"{zone.lock.prefix} is another zone's already"
            mend = "a lock is for one zone: name another prefix"
            yield from _once(prefixes, zone.lock.prefix, (*path, "lock", "prefix"), what, mend)
        yield from _of_zone(path, zone)
        for at, target in enumerate(zone.targets):
            here = (*path, "targets", at)
            yield from _of_target(here, zone, target)
            for key, place, said in _places(zone, target):
                what = f"{said} is a target already"
                yield from _once(places, place, (*here, *key), what, "take one of them out")


def _of_zone(path: KeyPath, zone: ZoneSettings) -> Iterator[Objection]:
    reverse = f".{zone.origin}".endswith(_REVERSE)
    if reverse and zone.names_in is None:
        yield Objection(
            (*path, "origin"),
            f"{zone.origin} is a reverse zone, and names_in does not say whose names are in it",
            "add names_in: the origin of the zone with the names",
        )
    if zone.names_in is not None and not reverse:
        yield Objection(
            (*path, "names_in"),
            f"{zone.origin} is no reverse zone",
            "take names_in out, or name a zone below in-addr.arpa or ip6.arpa",
            ((*path, "origin"),),
        )
    damping = zone.damping
    if damping.reuse >= damping.suppress:
        yield Objection(
            (*path, "damping", "reuse"),
            f"{damping.reuse} is not less than suppress, {damping.suppress}",
            "lower reuse or raise suppress",
            ((*path, "damping", "suppress"),),
        )
    for name in zone.aliases:
        if _leads_back(zone.aliases, name):
            yield Objection(
                (*path, "aliases", name),
                f"{name} leads to itself",
                "have it stand for the name of a service",
            )
    for at, name in enumerate(zone.ns):
        if name == zone.origin:
            yield Objection(
                (*path, "ns", at),
                f"{name} is the zone itself, which has no address",
                "name the servers of the zone by names that have addresses",
            )


def _of_target(path: KeyPath, zone: ZoneSettings, target: TargetSettings) -> Iterator[Objection]:
    kinds = [one for one in KINDS if getattr(target, one) is not None]
    if not kinds:
        yield Objection(path, "does not say what kind it is", f"one of {', '.join(KINDS)}")
        return
    for kind in kinds[1:]:
        yield Objection(
            (*path, kind),
            f"the target is of another kind already, {kinds[0]}",
            "make it an entry of its own in targets",
            ((*path, kinds[0]),),
        )
    for kind in kinds:
        if kind in ("file", "primary") and not zone.ns:
            yield Objection(
                (*path, kind),
                "the zone needs to say which its servers are, and ns is not given",
                f"add ns to the zone {zone.origin}: names that have addresses elsewhere",
                ((*path[:2], "ns"),),
            )
    if target.rfc2136 is not None:
        yield from _key((*path, "rfc2136"), target.rfc2136)
        yield from _ownership((*path, "rfc2136"), zone, target.rfc2136)
    if target.primary is not None:
        yield from _key((*path, "primary"), target.primary)
        if target.primary.key_file is None and not target.primary.unsigned:
            yield Objection(
                (*path, "primary"),
                "whoever asks for the zone has to sign, and there is no key",
                "add key_file, or unsigned: true",
            )


def _key(path: KeyPath, target: UpdateTarget | PrimaryTarget) -> Iterator[Objection]:
    # A file may hold the name, too.
    if target.key_name is not None and target.key_file is None:
        mend = "add key_file, or take key_name out"
        yield Objection((*path, "key_name"), "there is no key of that name", mend)


def _ownership(path: KeyPath, zone: ZoneSettings, target: UpdateTarget) -> Iterator[Objection]:
    if target.subtree is None:
        return
    if target.ownership != "subtree":
        yield Objection(
            (*path, "subtree"),
            f"ownership is {target.ownership}: a subtree is of no use",
            "add ownership: subtree, or take it out",
        )
    elif target.subtree != zone.origin and not is_below(target.subtree, zone.origin):
        mend = f"name {zone.origin} or one below it"
        yield Objection((*path, "subtree"), f"{target.subtree} is not in the zone", mend)


def _places(
    zone: ZoneSettings, target: TargetSettings
) -> Iterator[tuple[KeyPath, Hashable, str]]:
    """Yield what a target writes to, each by the key that says so."""
    if target.file is not None:
        written = normpath(target.file.path)
        yield ("file", "path"), ("file", written), str(target.file.path)
    if target.rfc2136 is not None:
        one = target.rfc2136
        part = {"zone": None, "subtree": one.subtree, "registry": one.owner}[one.ownership]
        for at, server in enumerate(one.servers):
            said = f"{zone.origin} at {server}"
            yield ("rfc2136", "servers", at), ("rfc2136", zone.origin, server, part), said
    if target.infoblox is not None:
        grid = target.infoblox
        for at, url in enumerate(grid.urls):
            place = "infoblox", zone.origin, grid.view, grid.attribute, grid.owner, url
            yield ("infoblox", "urls", at), place, f"{zone.origin} at {url}"
    if target.primary is not None:
        for at, endpoint in enumerate(target.primary.listen):
            # Any free port is a new one each time.
            if endpoint.port:
                said = f"{zone.origin} at {endpoint}"
                yield ("primary", "listen", at), ("primary", zone.origin, endpoint), said


def _once(
    seen: dict[Hashable, KeyPath], one: Hashable, path: KeyPath, what: str, mend: str
) -> Iterator[Objection]:
    if one in seen:
        yield Objection(path, what, mend, (seen[one],))
    else:
        seen[one] = path


def _called(zone: ZoneSettings) -> str:
    return zone.origin if zone.view is None else f"{zone.origin} in the view {zone.view}"


def _leads_back(aliases: Mapping[str, str], name: str) -> bool:
    at, seen = aliases.get(name), {name}
    while at is not None and at not in seen:
        seen.add(at)
        at = aliases.get(at)
    return at == name


def is_below(name: str, origin: str) -> bool:
    """Return whether a name is inside of a zone, and not its origin."""
    return name.endswith(f".{origin}")
