"""The checker of recorded histories: was an answer too old, from the future, or a mix?

A linearizability check for registers with a single writer each, where a read may see a value for
`bound` seconds after it was replaced. Pure: times come from the record, nothing is asked here.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

LOST, MIX, UNKNOWN, FUTURE, OLD = "lost", "a mix", "unknown", "from the future", "too old"


class Change(NamedTuple):
    """A service became `version`, its own count, at some moment between `begin` and `end`."""

    service: int
    version: int
    begin: float
    end: float


class Read(NamedTuple):
    """What one reader saw: which versions the instances in the answer were of.

    One version is as it should be; several are a mix, none is an answer without instances. `end`
    is infinite and `seen` None when no answer came.
    """

    service: int
    begin: float
    end: float
    seen: frozenset[int] | None


class Fault(NamedTuple):
    """A read that no order of changes explains: how, and by how many seconds."""

    read: Read
    kind: str
    by: float = 0.0


class Verdict(NamedTuple):
    """What became of all reads.

    `oldest` is how long (seconds) before a read began what it saw had been replaced, at most;
    `backwards` how many reads saw something older than another one that ended before they began.
    """

    faults: list[Fault]
    oldest: float
    backwards: int


def check(
    first: Mapping[int, float], changes: Iterable[Change], reads: Sequence[Read], bound: float
) -> Verdict:
    """Hold every read against every change; a value may be seen `bound` seconds too long.

    `first` says for each service when it had its version 0 for good. Raises ValueError when the
    changes are no history of one writer per service: versions 1, 2, ... one after the other.
    """
    history = {service: [Change(service, 0, since, since)] for service, since in first.items()}
    for change in sorted(changes, key=lambda one: (one.service, one.version)):
        before = history[change.service][-1]
        if change.version != before.version + 1 or not before.end <= change.begin <= change.end:
            raise ValueError(f"{change} cannot follow {before}")
        history[change.service].append(change)
    faults = []
    oldest = 0.0
    for read in reads:
        found = _judge(history[read.service], read)
        if not isinstance(found, Fault):
            oldest = max(oldest, found)
            if found <= bound:
                continue
            found = Fault(read, OLD, found)
        faults.append(found)
    return Verdict(faults, oldest, _backwards(reads))


def _judge(versions: Sequence[Change], read: Read) -> Fault | float:
    """For how long what the read saw had been replaced when it began, or the fault."""
    if read.seen is None:
        return Fault(read, LOST)
    if len(read.seen) != 1:
        return Fault(read, MIX)
    (version,) = read.seen
    if not 0 <= version < len(versions):
        return Fault(read, UNKNOWN)
    if versions[version].begin > read.end:
        return Fault(read, FUTURE, versions[version].begin - read.end)
    if version + 1 == len(versions):
        return 0.0
    return max(read.begin - versions[version + 1].end, 0.0)


def _backwards(reads: Sequence[Read]) -> int:
    """Count the reads that saw less than one that had ended before they began."""
    count = 0
    ended: dict[int, tuple[list[float], list[int]]] = {}
    whole = [one for one in reads if one.seen is not None and len(one.seen) == 1]
    for read in sorted(whole, key=lambda one: one.end):
        (version,) = read.seen or (0,)
        ends, newest = ended.setdefault(read.service, ([], []))
        place = bisect.bisect_left(ends, read.begin)
        count += place > 0 and newest[place - 1] > version
        ends.append(read.end)
        newest.append(max(version, newest[-1]) if newest else version)
    return count
