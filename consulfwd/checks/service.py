"""How many instances of a service are healthy, which are not and why: what Consul said is judged.

Pure. A service that is not there is CRITICAL; one that the token may not see is UNKNOWN, as is
whatever is bad only by what ACLs may hide.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from consulfwd.checks.outcome import Outcome, Status, worst
from consulfwd.checks.perfdata import Figure
from consulfwd.checks.ranges import Range, at_least
from consulfwd.checks.thresholds import NONE, Thresholds
from consulfwd.consul.health import Entry

PASSING, WARNING, CRITICAL = "passing", "warning", "critical"
# Characters of what a check printed.
_OUTPUT = 160


@dataclass(frozen=True)
class Wanted:
    """What is asked about: instances that have all `tags`.

    Thresholds of `count` are of the number of healthy instances, or with percent of their part of
    all; so are `minimum` (critical below) and `minimum_warning`. Healthy is what Consul's DNS gives
    out: without a critical check; with `only_passing`, with none but passing ones.
    """

    name: str
    tags: tuple[str, ...] = ()
    datacenter: str = ""
    only_passing: bool = False
    count: Thresholds = NONE
    minimum: Range | None = None
    minimum_warning: Range | None = None

    def thresholds(self, *, percent: bool) -> list[Thresholds]:
        """Return what holds of the number, or of the part of a hundred."""
        found = [self.count, Thresholds(self.minimum_warning, self.minimum)]
        if self.count.critical is None and self.minimum is None:
            found.append(Thresholds(critical=at_least(1)))
        return [
            one
            for each in found
            if (
                one := Thresholds(
                    *(
                        of if of is not None and of.percent is percent else None
                        for of in (each.warning, each.critical)
                    )
                )
            )
        ]

    @property
    def what(self) -> str:
        """The service, for people."""
        tags = f" with {', '.join(self.tags)}" if self.tags else ""
        return f"{self.name}{tags}{f' in {self.datacenter}' if self.datacenter else ''}"


@dataclass(frozen=True)
class Told:
    """What Consul said. `hidden`: ACLs hide some of it; `forbidden`: the service altogether."""

    entries: Sequence[Entry]
    agent: str = ""
    hidden: bool = False
    forbidden: bool = False
    took: float = 0.0


def judge(wanted: Wanted, told: Told) -> Outcome:
    """Return what it comes to."""
    if not told.entries:
        return _none(wanted, told)
    tagged = [one for one in told.entries if _tags(one).issuperset(wanted.tags)]
    good = [one for one in tagged if _state(one) in _healthy(wanted)]
    bad = [one for one in tagged if _state(one) not in _healthy(wanted)]
    share = 100.0 * len(good) / len(tagged) if tagged else 0.0
    found = [one.told("", len(good)) for one in wanted.thresholds(percent=False)]
    found += [one.told("", share) for one in wanted.thresholds(percent=True)]
    status = worst(one for one, _ in found)
    broken = next((text.strip() for one, text in found if one is status and one), "")
    counted = f"{len(good)} of {len(tagged)} instances healthy"
    summary = f"{wanted.what}: {counted}{f' {broken}' if broken else ''}"
    if not tagged:
        summary = f"{wanted.what}: none of the {len(told.entries)} instances of it has these tags"
    if status is not Status.OK and told.hidden:
        status = Status.UNKNOWN
        summary = f"{wanted.what}: ACLs hide instances from this token; of those it sees: {counted}"
    if status is Status.OK and bad:
        summary += f"; {len(bad)} not"
    lines = [f"{_state(one)}: {_called(one)}{_why(one)}" for one in bad]
    if told.hidden and status is not Status.UNKNOWN:
        lines.append("ACLs hide more instances from this token")
    more = [f"{_state(one)}: {_called(one)}" for one in good]
    more.append(f"asked: {told.agent}")
    figures = _figures(wanted, len(good), len(tagged), share, told.took)
    return Outcome(status, summary, lines, figures, more)


def unasked(wanted: Wanted, why: str, lines: Sequence[str] = ()) -> Outcome:
    """Return what it comes to that nobody could be asked."""
    return Outcome(Status.UNKNOWN, f"{wanted.what}: {why}", lines)


def _none(wanted: Wanted, told: Told) -> Outcome:
    if told.forbidden or told.hidden:
        why = "this token may not read it (ACLs hide what a token may not read)"
        mend = "a token with service:read of it and node:read: --token-file FILE"
        return Outcome(Status.UNKNOWN, f"{wanted.what}: {why}", [mend])
    return Outcome(
        Status.CRITICAL,
        f"{wanted.what}: no such service in Consul",
        [f"asked: {told.agent}"],
        _figures(wanted, 0, 0, 0.0, told.took),
    )


def _healthy(wanted: Wanted) -> Collection[str]:
    return (PASSING,) if wanted.only_passing else (PASSING, WARNING)


def _tags(entry: Entry) -> frozenset[str]:
    tags = entry.service.get("Tags")
    return frozenset(map(str, tags)) if isinstance(tags, list) else frozenset()


def _state(entry: Entry) -> str:
    """The worst of its checks; what is none of the three counts as critical, as for Consul."""
    states = {str(one) for one in entry.statuses}
    if states <= {PASSING}:
        return PASSING
    return WARNING if states <= {PASSING, WARNING} else CRITICAL


def _called(entry: Entry) -> str:
    node, service = entry.node, entry.service
    address = str(entry.own_address or node.get("Address") or "")
    if (port := service.get("Port")) and isinstance(port, int):
        address = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{service.get('ID') or service.get('Service')} on {node.get('Node')} ({address})"


def _why(entry: Entry) -> str:
    bad = [one for one in entry.checks if one.get("Status") != PASSING]
    texts = []
    for one in bad:
        output = " ".join(str(one.get("Output") or one.get("Notes") or "").split())
        cut = output[:_OUTPUT] + ("..." if len(output) > _OUTPUT else "")
        name = one.get("Name") or one.get("CheckID")
        texts.append(f"{name}: {cut}" if cut else f"{name}")
    return f": {'; '.join(texts)}" if texts else ""


def _figures(
    wanted: Wanted, good: int, every: int, share: float, took: float
) -> Sequence[Figure]:
    def bounds(percent: bool) -> tuple[Range | None, Range | None]:
        both = wanted.thresholds(percent=percent)
        return (
            next((one.warning for one in both if one.warning is not None), None),
            next((one.critical for one in both if one.critical is not None), None),
        )

    return (
        Figure("healthy", good, "", *bounds(False), 0, every),
        Figure("instances", every, "", least=0),
        Figure("healthy_percent", round(share, 1), "%", *bounds(True), 0, 100),
        Figure("time", took, "s", least=0),
    )
