"""Which differences there are between replies to one query, and what each is called.

A difference is where one server is unlike every other one that can be compared with it, or unlike
what most of the others agree in. Where the rcode or TC differs, nothing else is compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.integration.differ.facts import SECTIONS, Facts
from tests.integration.differ.questions import Query

SILENT = ("no reply", "malformed")
EDE = 15


@dataclass(frozen=True)
class Difference:
    """`server` against the others, at one query; `alone` says that it is unlike each of them."""

    kind: str
    server: str
    query: Query
    alone: bool


@dataclass(frozen=True)
class Aspect:
    """What is compared, and how a difference in it is called.

    Only with `others` that are comparable in it; `stops` says that nothing else is worth it then.
    """

    value: Callable[[Facts], Hashable]
    called: Callable[[Any, Any], str]
    alike: Callable[[Facts], Hashable] = lambda facts: None
    stops: bool = False


def _answered(facts: Facts) -> Hashable:
    return facts.rcode, facts.cut


def _whole(facts: Facts) -> Hashable:
    # One that is cut is compared in nothing that stands in it.
    return facts.rcode if not facts.cut else object()


def _flag(name: str) -> Aspect:
    return Aspect(
        lambda facts: name in facts.flags,
        lambda own, usual: f"{name} set" if own else f"{name} not set",
        _answered,
    )


def _records(section: str) -> Aspect:
    def called(own: frozenset[object], usual: frozenset[object]) -> str:
        if not own or not usual:
            return f"{section}: only here" if own else f"{section}: left out"
        what = "more" if own > usual else "fewer" if own < usual else "other"
        return f"{section}: {what} records"

    return Aspect(lambda facts: facts.sections[section], called, _whole)


def _options(own: frozenset[int], usual: frozenset[int]) -> str:
    more = ", ".join(str(code) for code in sorted(own - usual))
    fewer = ", ".join(str(code) for code in sorted(usual - own))
    return f"EDNS option {more}" if more else f"no EDNS option {fewer}"


def _ede(own: frozenset[int], usual: frozenset[int]) -> str:
    if own and usual:
        return "another extended error"
    return "extended error" if own else "no extended error"


def _edns(own: tuple[int, bool] | None, usual: tuple[int, bool] | None) -> str:
    if own is None or usual is None:
        return "no EDNS" if own is None else "EDNS"
    if own[0] != usual[0]:
        return f"EDNS version {own[0]}"
    return "DO set" if own[1] else "DO not set"


ASPECTS = (
    Aspect(lambda facts: facts.rcode, lambda own, usual: f"{own} instead of {usual}", stops=True),
    Aspect(
        lambda facts: facts.cut,
        lambda own, usual: "TC set" if own else "TC not set",
        lambda facts: facts.rcode,
        stops=True,
    ),
    *(_flag(name) for name in ("AA", "RD", "RA", "AD", "CD")),
    Aspect(lambda facts: facts.edns, _edns),
    Aspect(
        lambda facts: facts.payload,
        lambda own, usual: f"EDNS size {own}",
        lambda facts: facts.edns is None,
    ),
    Aspect(lambda facts: facts.options - {EDE}, _options),
    Aspect(lambda facts: facts.ede, _ede),
    Aspect(lambda facts: facts.spelled, lambda own, usual: "question spelled otherwise"),
    Aspect(
        lambda facts: facts.owned,
        lambda own, usual: "owners spelled as asked" if own else "owners spelled otherwise",
        _whole,
    ),
    *(_records(section) for section in SECTIONS),
    Aspect(
        lambda facts: facts.doubled,
        lambda own, usual: "a record twice" if own else "no record twice",
        _whole,
    ),
    Aspect(
        lambda facts: facts.in_order,
        lambda own, usual: "aliases in order" if own else "aliases out of order",
        _whole,
    ),
)


def differences(server: str, replies: Mapping[str, Facts], query: Query) -> Iterator[Difference]:
    """What is different about one server's reply, each kind once."""
    own = replies[server]
    others = [facts for name, facts in replies.items() if name != server]
    if own.rcode in SILENT:
        if any(other.rcode not in SILENT for other in others):
            alone = all(other.rcode not in SILENT for other in others)
            yield Difference(own.rcode, server, query, alone)
        return
    if own.size > query.limit:
        yield Difference("larger than may be", server, query, True)
    heard = [other for other in others if other.rcode not in SILENT]
    for aspect in ASPECTS:
        alike = [other for other in heard if aspect.alike(other) == aspect.alike(own)]
        found = _unlike(aspect.value(own), [aspect.value(other) for other in alike])
        if found is not None:
            usual, alone = found
            yield Difference(aspect.called(aspect.value(own), usual), server, query, alone)
            if aspect.stops:
                return
    if not own.cut:
        for kind, alone in _ttls(own, [one for one in heard if _answered(one) == _answered(own)]):
            yield Difference(kind, server, query, alone)


def _unlike(own: Hashable, others: Sequence[Hashable]) -> tuple[Any, bool] | None:
    """What most others have, and whether nobody has what `own` is; None without a difference.

    Where it can be compared with one other only, nobody is the odd one.
    """
    if len(others) < 2:
        return None
    usual, count = Counter(others).most_common(1)[0]
    if own not in others:
        return usual, True
    return (usual, False) if usual != own and 2 * count > len(others) else None


def _ttls(own: Facts, others: list[Facts]) -> Iterator[tuple[str, bool]]:
    found: dict[str, bool] = {}
    for key, classes in own.ttls.items():
        unlike = _unlike(classes, [other.ttls[key] for other in others if key in other.ttls])
        if unlike is not None:
            usual, alone = unlike
            kind = f"TTL {'lower' if max(classes) < max(usual) else 'higher'} in the {key[0]}"
            if max(classes) == max(usual):
                kind = f"TTLs of one set apart in the {key[0]}"
            found[kind] = found.get(kind, False) or alone
    yield from found.items()
