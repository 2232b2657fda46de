"""Instances that left a moment ago, by subject: whose answer still has one is behind.

What belongs here: who left, as far as a watch told, and for how long that is held against answers.
What an answer shows is compared in `settling`. Pure: `now` is passed in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from consulfwd.core.settling import Instance, Settling
from consulfwd.core.subjects import Subject
from consulfwd.dns import const

# So long (seconds) after an instance left, an answer that has it is taken for an old one. Who is
# further behind has lost the leader, or lags so that it shows.
BEHIND = 10.0
# At most so many are remembered of one subject: of more, those that left last.
MOST = 256
# By so many types and tags it is remembered how they show: who asks may make up any.
MOST_MARKS = 64


class Departed(NamedTuple):
    """Who has left a subject lately.

    `change` has them as `gone`, and nobody who came; it is over at its `until`. `left_at` is when
    each left. `corrects` says that agents' answers are corrected by it, else they
    are only not reused. `by` is the agent whose proofs say that nobody has come since, "" for none;
    without them who is left counts as known until `known_until`.
    """

    change: Settling
    left_at: dict[Instance, float]
    corrects: bool
    marks: dict[tuple[int, str], tuple[bytes, ...]]
    by: str = ""
    known_until: float = 0.0

    def may_be_in(self, body: bytes, qtype: int, tag: str) -> bool:
        """Return whether records in wire form may show one that left; mostly they do not.

        That is to cost next to nothing: each reply of a busy name is looked at.
        """
        marks = self.marks.get((qtype, tag))
        if marks is None:
            left = _shown(self.change.gone, qtype, tag) - _shown(self.change.healthy, qtype, tag)
            marks = tuple({mark for _, mark in left if mark})
            if len(self.marks) < MOST_MARKS:
                self.marks[qtype, tag] = marks
        if marks and qtype == const.SRV:
            body = body.lower()
        return any(one in body for one in marks)


class Departures:
    """Who has left, by subject, for as long as agents may be behind."""

    def __init__(self) -> None:
        self.all: dict[Subject, Departed] = {}

    def __bool__(self) -> bool:
        return bool(self.all)

    def note(
        self,
        subject: Subject,
        before: frozenset[Instance],
        after: frozenset[Instance],
        now: float,
        *,
        corrects: bool,
    ) -> None:
        """Note that the healthy instances of a subject changed.

        Those of two datacenters are none of each other's: a watch may move to an agent elsewhere.
        """
        if before and after and not _datacenters(before) & _datacenters(after):
            self.forget(subject)
            return
        last = self.of(subject, now)
        left_at = dict.fromkeys(before - after, now)
        if last is not None:
            for one, at in last.left_at.items():
                if len(left_at) >= MOST:
                    break
                if one not in after and now - at < BEHIND:
                    left_at.setdefault(one, at)
        if not left_at:
            self.forget(subject)
            return
        until = max(left_at.values()) + BEHIND
        change = Settling(until, frozenset(left_at), frozenset(), after)
        self.all[subject] = Departed(change, left_at, corrects, {})

    def forget(self, subject: Subject) -> None:
        """Forget who has left: they may have come back unseen."""
        self.all.pop(subject, None)

    def of(self, subject: Subject, now: float) -> Departed | None:
        """Return who has left a subject lately, None where nobody has."""
        found = self.all.get(subject)
        if found is not None and now >= found.change.until:
            del self.all[subject]
            return None
        return found

    def tidy(self, now: float) -> None:
        """Forget what is over."""
        for subject in list(self.all):
            self.of(subject, now)


def _datacenters(instances: frozenset[Instance]) -> set[bytes]:
    """Return what is behind `.node` in the names of their nodes, in wire form."""
    return {one.node.rpartition(b"\x04node")[2] for one in instances}


def _shown(instances: frozenset[Instance], qtype: int, tag: str) -> set[tuple[Any, bytes]]:
    """Return what answers to a type and tag show of instances, each with octets it is known by.

    Of a target's name the first label is in any message whole; names may be in any letters.
    """
    found: set[tuple[Any, bytes]] = set()
    for one in instances:
        if tag and tag not in one.tags:
            continue
        if qtype == const.A:
            found.add((one.ipv4, one.ipv4))
        elif qtype == const.AAAA:
            found.add((one.ipv6, one.ipv6))
        elif qtype == const.SRV and one.target:
            target = one.target.lower()
            found.add(((target, one.port), target[: 1 + target[0]]))
            found.add(((target, one.host), one.host.lower()))
    return found
