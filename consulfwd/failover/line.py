"""Whether what fails is our own line rather than all targets at once.

What belongs here: the last result of every target, and what they come to together. Must not know:
records, votes, what is answered. Pure: `now` is passed in, and so is whether this host has a route.

A target that cannot be checked for want of a route is an ERROR by itself. Where a router further on
is gone, some checks end so and others wait in vain, which looks like a FAIL. So where no target is
well, those of several networks ceased to be at the same moment, and one of these could not even be
checked, or there is no route to anywhere, it is the line: what looks like a FAIL is an ERROR as
well, and all states are held. Targets that were bad long before say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from ipaddress import IPv4Address, ip_network
from typing import NamedTuple

from consulfwd.failover.model import IP, Outcome, Result

_V4, _V6 = 24, 48


class _Seen(NamedTuple):
    network: object
    result: Result
    reason: str
    # Since when it has had that result, and since when it has not been well.
    since: float
    bad_since: float


def network_of(ip: IP) -> object:
    """Return the network an address is likely to share its fate with."""
    length = _V4 if isinstance(ip, IPv4Address) else _V6
    return ip_network((ip, length), strict=False)


class Line:
    """The last results of all targets."""

    def __init__(self, routed: Callable[[], bool] = lambda: True) -> None:
        self._routed = routed
        self._seen: dict[Hashable, _Seen] = {}
        self._targets: Collection[Hashable] = ()
        self._moment = 0.0
        self._well: set[Hashable] = set()
        # In the order in which they could not be checked any more.
        self._errors: dict[Hashable, None] = {}
        # What `_together` returned last, as long as that holds.
        self._known: tuple[bool, bool] | None = None

    def expect(self, targets: Collection[Hashable], moment: float) -> None:
        """Have these be all targets there are; what happens to them within `moment` seconds happens
        at once, as far as checks can tell.
        """
        self._targets, self._moment = targets, moment
        self._know(self._seen)

    def take_over(self, before: Line) -> None:
        """Know of targets there are what another one does."""
        self._know(before._seen)

    def judged(self, target: Hashable, ip: IP, outcome: Outcome, now: float) -> Outcome:
        """Return what a check came to in the light of all others."""
        before = self._seen.get(target)
        same = before is not None and before.result is outcome.result
        since = before.since if same and before is not None else now
        was_bad = before is not None and before.result is not Result.OK
        bad_since = before.bad_since if was_bad and before is not None else now
        seen = _Seen(network_of(ip), outcome.result, outcome.reason, since, bad_since)
        self._seen[target] = seen
        if not same:
            self._sort(target, outcome.result)
        if outcome.result is Result.FAIL and self._is_cut():
            reason = f"the line of this host is cut, it seems ({outcome.reason})"
            self._seen[target] = seen._replace(reason=reason)
            return Outcome(Result.ERROR, reason, outcome.took)
        return outcome

    @property
    def cut(self) -> str:
        """Why nothing can be said of any target, "" where something can."""
        if self._well or len(self._seen) < len(self._targets) or not self._seen:
            return ""
        if len(self._errors) < len(self._seen) and not self._is_cut():
            return ""
        for first in self._errors:
            return self._seen[first].reason
        return "there is no route, and no target answers"

    def blind(self, target: Hashable) -> tuple[float, str] | None:
        """Return since when a target cannot be checked, and why; None where it can."""
        one = self._seen.get(target)
        if one is None or one.result is not Result.ERROR:
            return None
        return one.since, one.reason

    def _know(self, seen: Mapping[Hashable, _Seen]) -> None:
        self._seen = {key: one for key, one in seen.items() if key in self._targets}
        self._well.clear()
        self._errors.clear()
        for key, one in self._seen.items():
            self._sort(key, one.result)

    def _sort(self, target: Hashable, result: Result) -> None:
        self._known = None
        (self._well.add if result is Result.OK else self._well.discard)(target)
        if result is Result.ERROR:
            self._errors.setdefault(target)
        else:
            self._errors.pop(target, None)

    def _is_cut(self) -> bool:
        if self._well or len(self._seen) < len(self._targets):
            return False
        if self._known is None:
            self._known = self._together()
        several, errors = self._known
        return several and (errors or not self._routed())

    def _together(self) -> tuple[bool, bool]:
        """Return whether targets of several networks fell at once, and could not be checked."""
        latest = max(one.bad_since for one in self._seen.values())
        found = [one for one in self._seen.values() if latest - one.bad_since <= self._moment]
        several = len({one.network for one in found}) > 1
        return several, any(one.result is Result.ERROR for one in found)
