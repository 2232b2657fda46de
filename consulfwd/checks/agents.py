"""How a running resolver sees the servers it asks, judged.

Pure. What is seen is `ops.snapshot`'s, as JSON has it: of a process that may be of another version,
so what is not there is not known, and no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consulfwd.checks.outcome import Outcome, Status, listed, worst
from consulfwd.checks.perfdata import Figure
from consulfwd.checks.ranges import at_least
from consulfwd.checks.thresholds import NONE, Thresholds
from consulfwd.errors import ConsulfwdError
from consulfwd.ops.wrong import UP, not_up

KINDS = ("agent", "recursor")


class NotUnderstood(ConsulfwdError):
    """What a process said of itself has not the form it should have."""

    exit_code = 3


@dataclass(frozen=True)
class Upstream:
    """A server that is asked: `state` as the resolver has it, `why` where it says so."""

    name: str
    kind: str
    state: str
    behind: str = ""
    drained: bool = False
    rtt: float | None = None

    @property
    def counts(self) -> bool:
        """Whether it is asked while others are there: up, and not taken out."""
        return self.state == UP and not self.drained


@dataclass(frozen=True)
class Seen:
    """The servers, whether the resolver does what it is for, and what it says is wrong."""

    upstreams: Sequence[Upstream]
    ready: bool = True
    faults: Sequence[str] = ()
    asked: str = ""


@dataclass(frozen=True)
class Wanted:
    """Thresholds of how many are up; what one ranked behind, or drained, is worth.

    Without thresholds one that is not up is a warning. None up is critical unless a range says
    otherwise.
    """

    agents: Thresholds = NONE
    recursors: Thresholds = NONE
    behind: Status = Status.WARNING
    drained: Status = Status.OK


def read(said: Mapping[str, Any], asked: str) -> Seen:
    """Return what a snapshot's JSON says. Raises NotUnderstood."""
    resolver = said.get("resolver")
    if not isinstance(resolver, Mapping):
        verb = said.get("verb")
        raise NotUnderstood(f"{asked} is no resolver's{f' but of {verb}' if verb else ''}")
    upstreams = resolver.get("upstreams")
    if not isinstance(upstreams, list) or not all(isinstance(one, Mapping) for one in upstreams):
        raise NotUnderstood(f"{asked}: what it says of its servers cannot be read")
    faults = said.get("faults")
    return Seen(
        [_upstream(one) for one in upstreams],
        said.get("ready") is not False,
        [str(one) for one in faults] if isinstance(faults, list) else [],
        asked,
    )


def _upstream(said: Mapping[str, Any]) -> Upstream:
    rtt = said.get("rtt")
    return Upstream(
        str(said.get("name", "?")),
        str(said.get("kind", "agent")),
        str(said.get("state", "unknown")),
        str(said.get("behind") or ""),
        said.get("drained") is True,
        float(rtt) if isinstance(rtt, (int, float)) else None,
    )


def judge(wanted: Wanted, seen: Seen) -> Outcome:
    """Return what it comes to."""
    found: list[tuple[Status, str]] = []
    figures: list[Figure] = []
    texts = []
    for kind, asked_for in zip(KINDS, (wanted.agents, wanted.recursors), strict=True):
        those = [one for one in seen.upstreams if one.kind == kind]
        if not those and not (asked_for or kind == "agent"):
            continue
        up = sum(one.counts for one in those)
        # Taken out on purpose, it is not missed.
        due = sum(not one.drained for one in those)
        bounds = Thresholds(
            asked_for.warning if asked_for else at_least(due) if due else None,
            asked_for.critical or at_least(1),
        )
        status, text = bounds.told(f"{up} of {len(those)} {kind}s up", up)
        # Without bounds of the user's there is nothing to be read in ours.
        texts.append(text if asked_for else f"{up} of {len(those)} {kind}s up")
        found.append((status, ""))
        figures.append(
            Figure(f"{kind}s_up", up, "", bounds.warning, bounds.critical, 0, len(those))
        )
    behind = [one for one in seen.upstreams if one.behind and one.counts]
    drained = [one for one in seen.upstreams if one.drained]
    figures += [
        Figure("behind", len(behind), least=0, most=len(seen.upstreams)),
        Figure("drained", len(drained), least=0, most=len(seen.upstreams)),
        *(Figure(f"rtt {one.name}", one.rtt, "s", least=0) for one in seen.upstreams),
    ]
    away = [one for one in seen.upstreams if not one.counts and not one.drained]
    for those, word in ((away, ""), (behind, "ranked behind"), (drained, "drained")):
        if those:
            names = listed([one.name for one in those])
            texts.append(f"{word or 'not up'}: {names}")
    if behind:
        found.append((wanted.behind, ""))
    if drained:
        found.append((wanted.drained, ""))
    # What a server is worth that is not up, thresholds say.
    told = {not_up(one.kind, one.name, one.state) for one in seen.upstreams}
    beside = [one for one in seen.faults if one not in told]
    if not seen.ready:
        found.append((Status.CRITICAL, ""))
        texts.append("the resolver is not ready")
    elif beside:
        found.append((Status.WARNING, ""))
        texts.append(beside[0])
    lines = [*_lines(away), *_lines(behind), *_lines(drained), *beside]
    well = [one for one in seen.upstreams if one.counts and not one.behind]
    more = [*_lines(well), *([f"asked: {seen.asked}"] if seen.asked else [])]
    return Outcome(worst(one for one, _ in found), "; ".join(texts), lines, figures, more)


def _lines(those: Iterable[Upstream]) -> list[str]:
    found = []
    for one in those:
        state = "drained" if one.drained else one.state
        state += f", ranked behind: {one.behind}" if one.behind else ""
        rtt = "" if one.rtt is None else f" ({one.rtt * 1000:.1f} ms)"
        found.append(f"{one.kind} {one.name}: {state}{rtt}")
    return found
