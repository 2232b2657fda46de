"""What a rule is, and what it finds.

What belongs here: the forms, and what the rules of all files are given. Must not know any rule.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Literal, NamedTuple, get_args

from consulfwd.audit import graph
from consulfwd.audit.site import Limits, Server, Site

Severity = Literal["critical", "warning", "note"]
# The gravest first.
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
# What concerns no single service, node or setting.
SITE = "site"
# So many names stand in one sentence.
NAMED = 5


class Finding(NamedTuple):
    """One weak spot: what falls, and how to mend it, in a sentence each."""

    id: str
    severity: Severity
    subject: str
    what: str
    mend: str

    @property
    def key(self) -> str:
        """By what it is known again: ID:SUBJECT."""
        return f"{self.id}:{self.subject}"


class Spot(NamedTuple):
    """What a rule found: about whom, what falls, how to mend it."""

    subject: str
    what: str
    mend: str


class Context:
    """What rules look at: the site, the limits, and what is reckoned of both once."""

    def __init__(self, site: Site, limits: Limits) -> None:
        self.site = site
        self.limits = limits
        self.work = graph.Work()

    @cached_property
    def edges(self) -> graph.Graph:
        """Who needs whom."""
        return graph.graph(self.site.needs)

    @cached_property
    def falls(self) -> list[graph.Fall]:
        """What falls with which place."""
        return graph.falls(self.site, self.edges, self.limits, self.work)

    @cached_property
    def voters(self) -> list[Server]:
        """The servers that vote, by name."""
        return sorted(
            (one for one in self.site.servers or () if one.voter), key=lambda one: one.name
        )


class Rule(NamedTuple):
    """One rule: what it means, why that bites, how it is mended; `find` looks for it."""

    id: str
    severity: Severity
    title: str
    why: str
    mend: str
    find: Callable[[Context], Iterable[Spot]]


def run(rules: Sequence[Rule], context: Context) -> list[Finding]:
    """Return what the rules find, the gravest first; the order is the same each time."""
    found = [
        Finding(rule.id, rule.severity, spot.subject, spot.what, spot.mend)
        for rule in rules
        for spot in rule.find(context)
    ]
    place = {rule.id: number for number, rule in enumerate(rules)}
    return sorted(
        found, key=lambda one: (SEVERITIES.index(one.severity), place[one.id], one.subject)
    )


def names(listed: Iterable[str]) -> str:
    """Return names as they stand in a sentence: not too many."""
    found = list(listed)
    shown = ", ".join(found[:NAMED])
    return f"{shown} and {len(found) - NAMED} more" if len(found) > NAMED else shown


def counted(number: int, what: str, several: str = "") -> str:
    """Return a number of things in words."""
    return f"{number} {what if number == 1 else several or what + 's'}"
