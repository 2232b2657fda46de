"""Why something may not be withdrawn, whose it is, and what a zone loses and gains by acts.

What belongs here: the judgement of one act, by what is known of services. Must not know: time, the
budget. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from consulfwd.dns import const, names
from consulfwd.zones.assembly import TYPES, Assembly
from consulfwd.zones.budget import Wish
from consulfwd.zones.claims import Group
from consulfwd.zones.explaining import Explaining, Origin
from consulfwd.zones.guards import LEADING, Kind, Reason
from consulfwd.zones.model import ADDRESSES, Act, Key, Records
from consulfwd.zones.moving import UNKNOWN, Moving
from consulfwd.zones.spots import quoted


@dataclass(frozen=True, slots=True)
class Deciding:
    """The judgement of acts as things are now.

    `doubt` is that of the catalog, `doubt_of` that of a service, `doubtful` a service in doubt (""
    for none), `there` whether anybody in the catalog goes by a name, `offered` whether anybody is
    offered under it. `certain` are names that no service has any more, each with the one that had
    it, which was in no doubt. What becomes of names that move (`moving`) no service decides.
    """

    doubt: str
    doubtful: str
    doubt_of: Callable[[str], str]
    there: Callable[[Group], bool]
    offered: Callable[[Group], bool]
    certain: Mapping[bytes, str]
    keeps_last: bool
    srv: bool
    explaining: Explaining
    assembly: Assembly
    moving: Moving

    def reason(self, act: Act) -> Reason | None:
        """Return why what an act withdraws must stay, None if it may go."""
        if act.key.name in self.moving:
            return None if self.moving.is_known(act.key.name) else (Kind.DOUBT, UNKNOWN)
        origin = self.explaining.origin(act)
        return self._doubted(act, origin) or self._last(act, origin)

    def units(self, acts: Iterable[Act]) -> Callable[[Act], str]:
        """Return what tells whose an act of these is.

        Names that SRV records lead to are of whom those are, as they go with them.
        """
        every = list(acts)
        # Whom nobody in the catalog explains any more SRV records tell of.
        gone: dict[bytes, str] = {}
        for act in every:
            if act.key.type == const.SRV and act.withdrawn and self._unit(act) == _plain(act):
                service, theirs = self.explaining.told_by(act.key.name)
                gone.update(dict.fromkeys(theirs, service))

        def own(act: Act) -> str:
            if act.key.name in self.moving:
                return _plain(act)
            found = self._unit(act)
            return gone.get(act.key.name, found) if found == _plain(act) else found

        led: dict[bytes, str] = {}
        for act in every:
            if act.key.type == const.SRV and act.withdrawn:
                unit = own(act)
                for one in act.withdrawn:
                    led[one[6:]] = min(unit, led.get(one[6:], unit))
        return lambda act: led.get(act.key.name) or own(act)

    def _unit(self, act: Act) -> str:
        """Return whose an act is: a service, or the name where that cannot be said."""
        name = act.key.name
        origin = self.explaining.origin(act)
        if not origin.host and act.key.type != const.PTR:
            claimed = min(filter(None, self.assembly.services_at(name)), default="")
            explained = min((one.service for one in origin.groups), default="")
            found = claimed or self.certain.get(name, "") or explained
            if found:
                return found
        return _plain(act)

    def _doubted(self, act: Act, origin: Origin) -> Reason | None:
        name = act.key.name
        claimed = [] if act.key.type == const.PTR else list(self.assembly.services_at(name))
        if name in self.certain and not claimed:
            return None
        for service in sorted({one.service for one in origin.groups} | set(claimed) - {""}):
            why = self.doubt_of(service)
            if why:
                return Kind.DOUBT, f"{quoted(service)}: {why}"
        if origin.host and not claimed and self.doubtful:
            why = self.doubt_of(self.doubtful)
            return Kind.DOUBT, f"it may be of {quoted(self.doubtful)}: {why}"
        if self.doubt and not claimed:
            return Kind.DOUBT, self.doubt
        return None

    def _last(self, act: Act, origin: Origin) -> Reason | None:
        name, type_ = act.key
        if not self.keeps_last or act.after is not None:
            return None
        if type_ in LEADING:
            if any(Key(name, one) in self.assembly.wanted for one in LEADING):
                return None
            found = [one for one in origin.groups if self.there(one)]
        elif type_ == const.SRV and self.srv:
            there = (one for one in origin.groups if self.there(one))
            found = [one for one in there if not self.offered(one)]
        else:
            return None
        if not found:
            return None
        service = quoted(found[0].service)
        return Kind.LAST, f"nothing else is at that name, and {service} is not gone (last: keep)"


def _plain(act: Act) -> str:
    return names.to_text(act.key.name)


def balance(acts: Iterable[Act], before: Records) -> tuple[Wish, Wish]:
    """Return what is lost by acts, and what comes: names that vanish and appear, and addresses."""
    every = list(acts)
    by_name: dict[bytes, list[Act]] = {}
    for act in every:
        by_name.setdefault(act.key.name, []).append(act)
    vanish, appear = set(), set()
    for name, here in by_name.items():
        changed = {act.key.type for act in here}
        there = any(act.before is not None for act in here)
        left = any(act.after is not None for act in here)
        if there and left:
            continue
        if any(Key(name, one) in before for one in TYPES if one not in changed):
            there = left = True
        if there and not left:
            vanish.add(name)
        elif left and not there:
            appear.add(name)
    went, came = (addresses_of(every, went=one) for one in (True, False))
    return Wish(frozenset(vanish), went), Wish(frozenset(appear), came)


def addresses_of(acts: Iterable[Act], *, went: bool) -> frozenset[tuple[bytes, bytes]]:
    """Return the addresses that go by acts, or those that come, each with its name."""
    found = set()
    for key, before, after in acts:
        if key.type in ADDRESSES:
            was = frozenset() if before is None else before.data
            now = frozenset() if after is None else after.data
            found |= {(key.name, one) for one in (was - now if went else now - was)}
    return frozenset(found)


def wishes(
    acts: Iterable[Act], before: Records, unit: Callable[[Act], str]
) -> dict[str, Wish]:
    """Return what each service would lose: those that would lose nothing are left out."""
    every = list(acts)
    withdrawing = [act for act in every if act.withdrawn]
    if not withdrawing:
        return {}
    lost, _ = balance(every, before)
    found: dict[str, tuple[set[bytes], set[tuple[bytes, bytes]]]] = {}
    for act in withdrawing:
        vanishing, going = found.setdefault(unit(act), (set(), set()))
        name = act.key.name
        if name in lost.names:
            vanishing.add(name)
        if act.key.type in ADDRESSES:
            going.update((name, one) for one in act.withdrawn)
    return {
        one: Wish(frozenset(vanishing), frozenset(going))
        for one, (vanishing, going) in found.items()
        if vanishing or going
    }
