"""How much may be withdrawn in an hour, however often one tries.

What belongs here: choosing what still may go. How much that is, is counted in `sliding`. Must not
know: why something goes. Pure; `now` is passed in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from consulfwd.config.zones import BudgetSettings
from consulfwd.zones.sliding import Count

ITEM = 6
# So long (seconds) an allowance is good for, whoever ordered it.
ALLOWED_FOR = 3_600.0


class Wish(NamedTuple):
    """What one service would lose: names that vanish, and addresses with their names."""

    names: frozenset[bytes] = frozenset()
    addresses: frozenset[tuple[bytes, bytes]] = frozenset()


class Allowance(NamedTuple):
    """That more may be withdrawn, once: so much, of these services (None: of any), until then.

    Whatever is worse than that is withheld again, all of it.
    """

    number: int
    until: float
    units: frozenset[str] | None = None

    def covers(self, over: int, units: Iterable[str], now: float) -> bool:
        """Return whether no more is over the budget than was approved."""
        fits = now < self.until and over <= self.number
        return fits and (self.units is None or self.units.issuperset(units))


class Verdict(NamedTuple):
    """What must wait, how many withdrawals that is, and whether the allowance was needed.

    `over` are the services of which nothing may go, `parts` names of those of which some may, and
    `kept` the addresses that stay of a name that alone is too large.
    """

    over: frozenset[str] = frozenset()
    parts: frozenset[bytes] = frozenset()
    kept: frozenset[tuple[bytes, bytes]] = frozenset()
    of: frozenset[str] = frozenset()
    number: int = 0
    spends: bool = False
    why: str = ""


@dataclass(slots=True)
class Spent:
    """What must be remembered, as of a time: ages in seconds, the oldest first.

    `names` and `addresses` are those that went, each as ITEM octets; `most_...` are the greatest
    numbers there were, from when on.
    """

    names: list[tuple[float, bytes]] = field(default_factory=list)
    addresses: list[tuple[float, bytes]] = field(default_factory=list)
    most_names: list[tuple[float, int]] = field(default_factory=list)
    most_addresses: list[tuple[float, int]] = field(default_factory=list)


def name_item(name: bytes) -> bytes:
    """Return what stands for a name."""
    return blake2b(name, digest_size=ITEM).digest()


def address_item(name: bytes, address: bytes) -> bytes:
    """Return what stands for an address of a name."""
    return blake2b(name + address, digest_size=ITEM).digest()


class _Left:
    """What is left of both, while it is given away."""

    __slots__ = ("_left",)

    def __init__(self, *left: float) -> None:
        self._left = left

    def takes(self, wants: tuple[int, int]) -> bool:
        """Give that away if there is as much; what wants nothing gets it, even of less."""
        fits = _fits(wants, self._left)
        if fits:
            self._left = tuple(there - want for want, there in zip(wants, self._left, strict=True))
        return fits


def _fits(wants: tuple[int, int], there: tuple[float, ...]) -> bool:
    return all(not want or want <= room for want, room in zip(wants, there, strict=True))


def _by_name(wish: Wish) -> list[tuple[bytes, Wish]]:
    """Return what would be lost at each name.

    Those without addresses come first: SRV records, without which what they lead to may go.
    """
    found: dict[bytes, set[tuple[bytes, bytes]]] = {name: set() for name in wish.names}
    for name, address in wish.addresses:
        found.setdefault(name, set()).add((name, address))
    return [
        (name, Wish(frozenset((name,)) & wish.names, frozenset(addresses)))
        for name, addresses in sorted(found.items(), key=lambda one: (len(one[1]), one[0]))
    ]


class Budget:
    """What one target may lose."""

    def __init__(self, settings: BudgetSettings, now: float, spent: Spent | None = None) -> None:
        self._settings = settings
        known = spent or Spent()
        self._names = Count(settings, now, known.names, known.most_names)
        self._addresses = Count(settings, now, known.addresses, known.most_addresses)
        # By service: since when it would lose something.
        self._wishes: dict[str, float] = {}
        self._waits = False

    def judge(
        self,
        wishes: Mapping[str, Wish],
        totals: tuple[int, int],
        now: float,
        allowance: Allowance | None = None,
    ) -> Verdict:
        """Return what must wait, where so many names and addresses are there (`totals`).

        Services lose all they would or nothing, the oldest wish first; one that does not fit
        leaves what there is to those that do. One that is too large for any hour goes name by name,
        and such a name address by address.
        """
        for one, total in zip((self._names, self._addresses), totals, strict=True):
            one.peak.note(total, now)
            one.expire(now)
        self._wishes = since = {unit: self._wishes.get(unit, now) for unit in wishes}
        left = _Left(self._names.left(), self._addresses.left())
        most = self._names.limit(), self._addresses.limit()
        over, of, number = set(), set(), 0
        parts: set[bytes] = set()
        kept: set[tuple[bytes, bytes]] = set()
        for unit in sorted(wishes, key=lambda one: (since[one], one)):
            wants = self._wants(wishes[unit])
            if left.takes(wants):
                continue
            of.add(unit)
            if _fits(wants, most):
                over.add(unit)
                number += sum(wants)
                continue
            for name, part in _by_name(wishes[unit]):
                wants = self._wants(part)
                if left.takes(wants):
                    continue
                number += sum(wants)
                if wants[1] <= most[1]:
                    parts.add(name)
                    continue
                for each in sorted(part.addresses):
                    new = self._addresses.new((address_item(*each),))
                    if left.takes((0, new)):
                        number -= new
                    else:
                        kept.add(each)
        spends = bool(of) and allowance is not None and allowance.covers(number, of, now)
        self._waits = bool(of) and not spends
        if not self._waits:
            return Verdict(spends=spends)
        return Verdict(
            frozenset(over), frozenset(parts), frozenset(kept), frozenset(of), number, False,
            self._why(),
        )  # fmt: skip

    def done(self, lost: Wish, came: Wish, now: float) -> None:
        """Note what was withdrawn, and what is there (again)."""
        self._names.note(map(name_item, lost.names), map(name_item, came.names), now)
        self._addresses.note(
            (address_item(*one) for one in lost.addresses),
            (address_item(*one) for one in came.addresses),
            now,
        )

    def there(self, names: Iterable[bytes], addresses: Iterable[tuple[bytes, bytes]]) -> None:
        """Note all that is there: none of that has gone, or it came back."""
        self._names.back(map(name_item, names))
        self._addresses.back(address_item(*one) for one in addresses)

    def spent(self, now: float) -> Spent:
        """Return what must be remembered."""
        found = Spent()
        for one, gone, most in (
            (self._names, found.names, found.most_names),
            (self._addresses, found.addresses, found.most_addresses),
        ):
            one.expire(now)
            gone += [(now - at, item) for item, at in one.gone.items()]
            most += [(now - at, number) for at, number in one.peak.noted()]
        return found

    def due(self) -> float | None:
        """Return when what waits may fit, None if nothing waits, or for more than time."""
        if not self._waits:
            return None
        went = [at for one in (self._names, self._addresses) for at in list(one.gone.values())[:1]]
        return min(went) + self._settings.hour if went else None

    def _wants(self, wish: Wish) -> tuple[int, int]:
        addresses = (address_item(*one) for one in wish.addresses)
        return self._names.new(map(name_item, wish.names)), self._addresses.new(addresses)

    def _why(self) -> str:
        """Return what the budget is: the same text as long as that is so."""
        shown = f"{self._settings.percent:g} %"
        return f"more than {shown} of the names or addresses within {self._settings.hour:g} s"
