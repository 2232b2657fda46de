"""A plan as messages to a server: what must be there, what goes, what comes (RFC 2136).

What belongs here: which acts go into which message, in which order, and what each requires. Must
not know connections, keys or serials. Pure.

All that is done at one name is in one message: no name is without records between two. What comes
is before what goes, and what leads to a name is after it where both come, before it where both go.

Each message requires what it changes to be as it was read, besides the SOA record that whoever
sends it adds: a server that takes several updates at once (Knot) may raise its serial once for all
of them, so that the SOA record alone would let the second one through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from itertools import islice
from typing import NamedTuple

from consulfwd.dns import const
from consulfwd.zones.model import Act, Key, Records, RRset

# Octets of one message: 64 KiB less the SOA record that is required, a signature, and some.
ROOM = 62_000
# Octets of a record beside its name and data.
_FIXED = 10
_LEADING = frozenset({const.SRV, const.CNAME, const.PTR})


class Requires(NamedTuple):
    """What must be so: the set has just these data; None for none of the type (ANY: no name).

    Without data, some set of that type must be there.
    """

    name: bytes
    type: int
    data: frozenset[bytes] | None

    @property
    def size(self) -> int:
        return sum(_FIXED + len(self.name) + len(one) for one in self.data or (b"",))


class Order(NamedTuple):
    """One record that is to be there (with a TTL), or not to be there (None).

    Without data, and TTL, no record of the type is to be there.
    """

    name: bytes
    type: int
    data: bytes
    ttl: int | None

    @property
    def size(self) -> int:
        return _FIXED + len(self.name) + len(self.data)


class Batch(NamedTuple):
    """One message; `acts` is what it comes to, `parts` what it is made of, if of several."""

    requires: tuple[Requires, ...]
    orders: tuple[Order, ...]
    acts: tuple[Act, ...]
    parts: tuple[Batch, ...] = ()

    @property
    def size(self) -> int:
        required = sum(one.size for one in self.requires)
        return required + sum(one.size for one in self.orders)

    def with_more(self, other: Batch) -> Batch:
        """Return one message for both."""
        return Batch(
            self.requires + other.requires,
            self.orders + other.orders,
            self.acts + other.acts,
            (*(self.parts or (self,)), other),
        )

    def halves(self) -> tuple[Batch, Batch] | None:
        """Return two messages for the one, in order; None where it is for one name."""
        if not self.parts:
            return None
        middle = len(self.parts) // 2
        first, second = self.parts[:middle], self.parts[middle:]
        return reduce(Batch.with_more, first), reduce(Batch.with_more, second)


class TooLarge(Exception):
    """What is done at a name at once is more than a message holds."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        super().__init__(name)


# Acts that are carried out at once: those at a name, and at what marks it.
Group = Sequence[Act]


def batches(groups: Iterable[Group], occupied: Callable[[bytes], bool]) -> list[Batch]:
    """Return the messages for groups of acts, in order; raises TooLarge.

    `occupied` says whether a name has records of any kind before.
    """
    found: list[Batch] = []
    room = 0  # in the last one
    for group in sorted(groups, key=_turn):
        whole = _batch(group, occupied)
        if whole.size <= room:
            found[-1] = found[-1].with_more(whole)
            room -= whole.size
        elif whole.size <= ROOM:
            found.append(whole)
            room = ROOM - whole.size
        else:
            # Each bit requires what the one before has made: it needs a message of its own.
            found += _bits(group, occupied)
            room = 0
    return found


def inverse(acts: Iterable[Act]) -> list[Act]:
    """Return what undoes acts."""
    return [Act(act.key, act.after, act.before) for act in acts]


def _turn(group: Group) -> tuple[int, bool, tuple[list[bytes], int]]:
    """Return what sorts groups: those that only bring, those that change, those that only take."""
    leads = any(act.key.type in _LEADING for act in group)
    only_takes = all(act.after is None for act in group)
    kind = 2 if only_takes else 1 if any(act.withdrawn for act in group) else 0
    return kind, leads != only_takes, group[0].key.order()


def _bits(group: Group, occupied: Callable[[bytes], bool]) -> Iterator[Batch]:
    """Yield messages for what is too much for one: sets that come, change bit by bit, that go."""
    name = group[0].key.name
    large = {act.key for act in group if _batch([act], occupied).size > ROOM // 2}
    if any(act.key.type == const.CNAME for act in group):
        raise TooLarge(name)
    small = [act for act in group if act.key not in large]
    comes = [act for act in small if act.after is not None]
    goes = [act for act in small if act.after is None]
    steps = [
        # What marks a name is the last of its acts: it must be there before the others are.
        *_fitting(comes[::-1], occupied),
        *(step for act in group if act.key in large for step in _steps(act)),
        *_fitting(goes, occupied),
    ]
    for number, step in enumerate(steps):
        bit = _batch(step, occupied if number == 0 else lambda _: True)
        if bit.size > ROOM:
            raise TooLarge(name)
        yield bit


def _fitting(acts: list[Act], occupied: Callable[[bytes], bool]) -> list[list[Act]]:
    if not acts or _batch(acts, occupied).size <= ROOM:
        return [acts] if acts else []
    return [[act] for act in acts]


def _steps(act: Act) -> Iterator[list[Act]]:
    """Yield one large set's change bit by bit: first what comes, then what goes."""
    before = frozenset() if act.before is None else act.before.data
    after = frozenset() if act.after is None else act.after.data
    either = act.after or act.before
    assert either is not None
    if act.before is not None and act.after is not None and act.before.ttl != act.after.ttl:
        yield [act]
        return
    largest = max(len(one) for one in before | after)
    most = ROOM // 2 // (_FIXED + len(act.key.name) + largest)
    now, last = before, act.before
    for comes, data in ((True, after - before), (False, before - after)):
        left = iter(sorted(data))
        while some := frozenset(islice(left, most)):
            now = now | some if comes else now - some
            following = RRset(either.ttl, now) if now else None
            yield [Act(act.key, last, following)]
            last = following


def _batch(acts: Sequence[Act], occupied: Callable[[bytes], bool]) -> Batch:
    requires: list[Requires] = []
    orders: list[Order] = []
    names = dict.fromkeys(act.key.name for act in acts)
    for name in names:
        here = [act for act in acts if act.key.name == name]
        requires += _requires(name, here, occupied)
        orders += _orders(here)
    return Batch(tuple(requires), tuple(orders), tuple(acts))


def _requires(
    name: bytes, acts: Sequence[Act], occupied: Callable[[bytes], bool]
) -> Iterator[Requires]:
    if not occupied(name):
        yield Requires(name, const.ANY, None)
        return
    types = {act.key.type for act in acts}
    for act in acts:
        found = Requires(name, act.key.type, None if act.before is None else act.before.data)
        if found.size > ROOM // 3:
            found = found._replace(data=frozenset())
        yield found
    if const.CNAME not in types and any(act.after is not None for act in acts):
        # Where one is, a server would leave out in silence what is to come.
        yield Requires(name, const.CNAME, None)


def _orders(acts: Sequence[Act]) -> list[Order]:
    going: list[Order] = []
    coming: list[Order] = []
    goes_first = any(act.key.type == const.CNAME for act in acts)
    for key, before, after in acts:
        old = frozenset() if before is None else before.data
        new = frozenset() if after is None else after.data
        if before is not None and after is not None and before.ttl != after.ttl:
            # Servers do not agree on what another TTL for one record of a set does to the others.
            goes_first = True
            going.append(Order(*key, b"", None))
            coming += (Order(*key, one, after.ttl) for one in sorted(new))
            continue
        going += (Order(*key, one, None) for one in sorted(old - new))
        if after is not None:
            coming += (Order(*key, one, after.ttl) for one in sorted(new - old))
    # Beside a CNAME record that is still there, nothing would come.
    return going + coming if goes_first else coming + going


def collapsed(acts: Iterable[Act]) -> list[Act]:
    """Return what acts, one after the other, come to for each set."""
    found: dict[Key, Act] = {}
    for act in acts:
        before = found[act.key].before if act.key in found else act.before
        found[act.key] = Act(act.key, before, act.after)
    return list(found.values())


def undone(acts: Iterable[Act], records: Records) -> list[Key]:
    """Return what of acts, one after the other, is not in force in what a zone holds."""
    return [act.key for act in collapsed(acts) if records.get(act.key) != act.after]
