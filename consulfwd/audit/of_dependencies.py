"""The rules about who needs whom: what is there twice and stands on what is there once."""

from __future__ import annotations

from collections.abc import Iterator

from consulfwd.audit import graph
from consulfwd.audit.finding import Context, Rule, Spot, names

_WHERE = {
    "node": "which falls with {0}",
    "rack": "which falls with the rack {0}",
    "none": "which is down",
}


def _hidden(context: Context) -> Iterator[Spot]:
    found = graph.hidden(context.site, context.edges, context.limits, context.work)
    for one in found:
        way = " -> ".join(one.path[1:])
        source, root = one.path[0], one.path[-1]
        by = "" if len(one.path) == 2 else f" ({source} -> {way})"
        where = _WHERE[one.kind].format(one.place)
        what = f"{source}, though on several nodes, falls with {root}, {where}{by}"
        mend = f"run a second {root} elsewhere, or have {source} do without it for a while"
        yield Spot(f"{source} -> {root}", what, mend)


def _unknown(context: Context) -> Iterator[Spot]:
    found: dict[str, set[str]] = {}
    for one in context.site.needs:
        if one.target not in context.site.services and one.source in context.site.selected:
            found.setdefault(one.target, set()).add(one.source)
    for target in sorted(found):
        sources = names(sorted(found[target]))
        what = f"{sources} may fall with {target}, of which Consul knows nothing"
        yield Spot(target, what, "register it (with a check), or mend the name")


def _circle(context: Context) -> Iterator[Spot]:
    for group in graph.circles(context.edges):
        if context.site.selected.isdisjoint(group):
            continue
        what = f"{names(group)} need each other: after an outage of all none can start first"
        yield Spot(" <-> ".join(group[:3]), what, "have one of them start without the others")


RULES = (
    Rule(
        "hidden-dependency", "critical", "A service on several nodes that needs one that is not",
        "It looks redundant and is not: a dashboard on two nodes that needs one Crowd to log in"
        " falls with that Crowd's host. Followed to the end, through any number of services.",
        "A second instance of what is needed, or a program that does without it for a while.",
        _hidden,
    ),
    Rule(
        "unknown-dependency", "warning", "A dependency that Consul knows nothing of",
        "What is not in the catalog nobody watches, and nobody can say where it would fall.",
        "Register it, as an external service with a check; or mend the name.", _unknown,
    ),
    Rule(
        "circle", "note", "Services that need each other",
        "While they run nothing is wrong. After a power cut each waits for the other.",
        "One of them has to start without.", _circle,
    ),
)  # fmt: skip
