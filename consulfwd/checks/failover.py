"""Names that move with health, as a running resolver tells of them, judged.

Pure. What is told is `ops.snapshot`'s, as JSON has it: of a process that may be of another version,
so what is not there is not known, and no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from consulfwd.checks.agents import NotUnderstood
from consulfwd.checks.outcome import Outcome, Status, listed, worst
from consulfwd.checks.perfdata import Figure

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Wanted:
    """Which records (by patterns; none: all), and what is worth what.

    One that has no answer, or no pool that is well, is critical whatever is said here.
    """

    names: Sequence[str] = ()
    moved: Status = Status.WARNING
    down: Status = Status.WARNING
    held: Status = Status.WARNING
    forced: Status = Status.OK


def read(said: Told, asked: str) -> list[Told]:
    """Return the records that a snapshot's JSON has. Raises NotUnderstood."""
    found = said.get("failover")
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise NotUnderstood(f"{asked}: it says nothing of names that move that can be read")
    return found


def judge(wanted: Wanted, records: Sequence[Told], asked: str = "") -> Outcome:
    """Return what it comes to."""
    those = [one for one in records if _is_wanted(wanted.names, _text(one, "name"))]
    missing = [
        name for name in wanted.names if not any(_is_wanted((name,), _text(one, "name"))
                                                 for one in records)
    ]  # fmt: skip
    if missing or not those:
        what = f"no record {listed(missing)}" if missing else "there are no names that move"
        return Outcome(Status.UNKNOWN, f"{what}{f' ({asked})' if asked else ''}")
    found: list[tuple[Status, str, str]] = []
    for one in those:
        found += _of(wanted, one)
    well = len(those) - len({name for status, name, _ in found if status})
    texts = [f"{well} of {len(those)} records well"]
    bad = [f"{name} {what}" for status, name, what in found if status]
    # What is gravest first: more than a few do not go into the line.
    order = sorted(range(len(bad)), key=lambda at: -_grave(found, at))
    texts += [bad[at] for at in order[:3]]
    addresses = [one for record in those for one in _addresses(record)]
    figures = [
        Figure("records", len(those), least=0),
        Figure("moved", sum(_place(one) > 0 for one in those), least=0, most=len(those)),
        Figure("unanswered", sum(_unanswered(one) for one in those), least=0, most=len(those)),
        Figure("held", sum(bool(_text(one, "held")) for one in those), least=0, most=len(those)),
        Figure("addresses_up", sum(one.get("up") is True for one in addresses), least=0,
               most=len(addresses)),
    ]  # fmt: skip
    lines = [f"{name}: {what}" for _, name, what in found]
    more = [f"{_text(one, 'name')}: {_answer(one)}" for one in those]
    more += [f"asked: {asked}"] if asked else []
    status = worst(status for status, *_ in found)
    return Outcome(status, "; ".join(texts), lines, figures, more)


def _of(wanted: Wanted, one: Told) -> list[tuple[Status, str, str]]:
    """Return what there is to be told of a record, each with what it is worth."""
    name, why = _text(one, "name"), _text(one, "why")
    found: list[tuple[Status, str, str]] = []
    if one.get("known") is not True:
        found.append((Status.CRITICAL, name, f"is not answered yet: {why}"))
    elif not _text(one, "pool"):
        found.append((Status.CRITICAL, name, "has no pool that is well"))
    elif _place(one) > 0:
        worth = wanted.forced if _put_aside(one) else wanted.moved
        found.append((worth, name, f"is answered by {_text(one, 'pool')}: {why}"))
    if _text(one, "held"):
        found.append((wanted.held, name, f"is held: {_text(one, 'held')}"))
    for each in _addresses(one):
        if each.get("up") is False and not _text(each, "forced"):
            where = f"{_text(each, 'address')} ({_text(each, 'pool')})"
            found.append((wanted.down, name, f"{where} is down: {_text(each, 'reason')}"))
    forces = one.get("forces")
    for force in forces if isinstance(forces, list) else ():
        found.append((wanted.forced, name, str(force)))
    return found


def _put_aside(one: Told) -> bool:
    """Return whether people put its first pool aside."""
    addresses = _addresses(one)
    first = [each for each in addresses if _text(each, "pool") == _text(addresses[0], "pool")]
    return bool(first) and all(_text(each, "forced") == "down" for each in first)


def _grave(found: Sequence[tuple[Status, str, str]], at: int) -> int:
    bad = [status for status, *_ in found if status]
    return {Status.CRITICAL: 2, Status.WARNING: 1}.get(bad[at], 0)


def _unanswered(one: Told) -> bool:
    return one.get("known") is not True or not _text(one, "pool")


def _answer(one: Told) -> str:
    answer = one.get("answer")
    listed_ = [str(each) for each in answer] if isinstance(answer, list) else []
    return f"{_text(one, 'pool') or 'no pool'}, {listed(listed_) or 'no address'}"


def _is_wanted(names: Sequence[str], name: str) -> bool:
    return not names or any(fnmatchcase(name, one.lower().removesuffix(".")) for one in names)


def _addresses(one: Told) -> list[Told]:
    found = one.get("addresses")
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _place(one: Told) -> int:
    place = one.get("place")
    return place if isinstance(place, int) and not isinstance(place, bool) else 0


def _text(one: Told, key: str) -> str:
    found = one.get(key)
    return found if isinstance(found, str) else ""
