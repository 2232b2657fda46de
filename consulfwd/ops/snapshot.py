"""One immutable picture of a running process: what every view of it is made of.

Log lines, the service manager's status line, metrics, the admin socket, the page and the commands
show what is here and nothing else. What belongs here: the form, and the form as JSON. How a picture
is taken is not known here, nor who looks at it. Pure: times are of the day, in seconds; 0 is never.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FORMAT = 1

Verb = Literal["serve", "zone", "render", "generate"]
Phase = Literal["starting", "running", "stopping"]


@dataclass(frozen=True, slots=True)
class UpstreamSeen:
    """A server that queries are passed to.

    `state` is one of `core.states.State`'s values, since `since`; `behind` says why it is asked
    behind the others that are up, "" if it is not; `drained` whether it was taken out for work;
    `barred` that an agent can carry no watches for now; `waiting` counts questions that it still
    owes a reply, where it is drained.
    `rtt` is the usual round-trip time in seconds, None before the first; `rtts` what it was every
    few seconds, the newest last, None where there was no reply. `sent` counts what it was asked,
    `changes` how often its state changed.
    """

    name: str
    kind: Literal["agent", "recursor"]
    address: str
    port: int
    transport: str
    state: str
    since: float
    behind: str = ""
    drained: bool = False
    loops: bool = False
    rtt: float | None = None
    rtts: tuple[float | None, ...] = ()
    sent: int = 0
    barred: bool = False
    waiting: int = 0
    changes: int = 0


@dataclass(frozen=True, slots=True)
class TimesSeen:
    """How long servers of one kind took to reply, since the start.

    `counts` has one number more than `bounds` (seconds, ascending): of the times up to each, and
    above the one before; the last is of those above all. `seconds` is their sum.
    """

    kind: Literal["agent", "recursor"]
    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class GroupSeen:
    """Servers that names of one kind go to: `label` says which, `members` by name, as configured.

    `first` is who is asked now ("" if nobody is to be), `why` says why that one.
    """

    label: str
    policy: str
    members: tuple[str, ...]
    first: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ChangeSeen:
    """A change of a server's health: `before` and `after` are its states, equal for its place."""

    at: float
    server: str
    kind: str
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class WatchSeen:
    """A watch on Consul that keeps answers good past their TTL."""

    subject: str
    carrier: str
    armed: bool
    since: float
    changes: int
    instances: int
    healthy: int
    questions: int


@dataclass(frozen=True, slots=True)
class CacheSeen:
    """How full the cache is: entries, those of them that deny, and its limit."""

    entries: int
    denials: int
    size: int


@dataclass(frozen=True, slots=True)
class ResolverSeen:
    """A resolver. `counters` are since its start, by the names of `net.flight.Counters`.

    `in_flight` counts questions that are being asked; `watches` those in force, at most
    `watches_most`; `watches_most` 0 is that nothing is watched. `listening` and `missing` are
    addresses. `querylog` says what becomes of queries' log lines ("" when they are not logged).
    Of hundreds of `upstreams` agents are shown, recursors for all names, and who is not well;
    there are `upstreams_in_all`. `compiled` says that the compiled fast lane is used.
    """

    listening: tuple[str, ...]
    missing: tuple[str, ...]
    domain: str
    groups: tuple[GroupSeen, ...]
    upstreams: tuple[UpstreamSeen, ...]
    changes: tuple[ChangeSeen, ...]
    counters: Mapping[str, float]
    in_flight: int
    cache: CacheSeen
    watches: tuple[WatchSeen, ...] = ()
    watches_most: int = 0
    invalidations: int = 0
    querylog: str = ""
    upstreams_in_all: int = 0
    round_trips: tuple[TimesSeen, ...] = ()
    compiled: bool = False


@dataclass(frozen=True, slots=True)
class TargetSeen:
    """One target of a zone: when and what was pushed last, what fails since when, what waits."""

    where: str
    serial: int | None = None
    pushed: float = 0.0
    what: str = ""
    fault: str = ""
    failing_since: float = 0.0
    names: int = 0
    addresses: int = 0
    withheld: tuple[str, ...] = ()
    withheld_in_all: int = 0


@dataclass(frozen=True, slots=True)
class ZoneSeen:
    """A zone that is published: `state` is "active", "backup" or "stopped"; `holder` who writes."""

    zone: str
    view: str
    state: str
    holder: str
    since: float = 0.0
    paused: str = ""
    doubt: str = ""
    faults: tuple[str, ...] = ()
    targets: tuple[TargetSeen, ...] = ()
    objections_in_all: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class RoundsSeen:
    """Files that are kept current: what they are, since when all is in force, when one was written.

    `failing_since` is 0 where nothing fails.
    """

    what: str
    in_force: bool
    wrote: float = 0.0
    failing_since: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A process that answers for a resolver: whether it does by now, what it was asked so far."""

    number: int
    pid: int
    since: float
    answers: bool
    queries: float = 0


@dataclass(frozen=True, slots=True)
class AddressSeen:
    """An address of a name that moves with health.

    `up` is None while nothing is known, `since` since when it is so; `result` ("ok", "fail",
    "error"), `reason` and `took` (seconds) are of the last check, which ended at `checked`.
    `in_a_row` of `needed` checks say otherwise. `forced` is "up" or "down" by order; `votes` are
    other checkers' words, `why` says what made it what it is. `given` is whether it is in answers.
    """

    address: str
    pool: str
    weight: int = 1
    up: bool | None = None
    since: float = 0.0
    checked: float = 0.0
    result: str = ""
    reason: str = ""
    took: float = 0.0
    in_a_row: int = 0
    needed: int = 0
    forced: str = ""
    votes: tuple[str, ...] = ()
    why: str = ""
    given: bool = False


@dataclass(frozen=True, slots=True)
class RecordSeen:
    """A name that moves with health: `known` whether it is answered yet, since when as it is.

    `pool` is the one that answers, "" where none does; `place` is its place, 0 for the first, -1
    for none. `preferred` is a better one that waits, until `back_at`, or 0 for an order. `held`
    says why states are held, `forces` what people ordered. `well` is that all is as it should be.
    """

    name: str
    known: bool = False
    pool: str = ""
    place: int = -1
    answer: tuple[str, ...] = ()
    ttl: int = 0
    since: float = 0.0
    why: str = ""
    preferred: str = ""
    back_at: float = 0.0
    held: str = ""
    forces: tuple[str, ...] = ()
    addresses: tuple[AddressSeen, ...] = ()
    well: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A running process at the time `taken`.

    `line` is one line for people; `ready` whether it does what it is for, `faults` all that is
    wrong now, for people, as `ops.wrong` has it: servers and zones that are not well among it.
    `workers` are those of a resolver that has any; there are to be
    `workers_wanted`, and `workers_replaced` were since the start.
    Of the four parts before these each verb has its own. Of hundreds of names that move
    (`failover`) those are shown first that are not well; there are `failover_in_all`.
    """

    verb: Verb
    version: str
    pid: int
    host: str
    started: float
    taken: float
    phase: Phase
    line: str
    ready: bool
    faults: tuple[str, ...] = ()
    resolver: ResolverSeen | None = None
    zones: tuple[ZoneSeen, ...] = ()
    rounds: RoundsSeen | None = None
    admin: Mapping[str, float] = field(default_factory=dict)
    workers: tuple[WorkerSeen, ...] = ()
    workers_replaced: int = 0
    workers_wanted: int = 0
    failover: tuple[RecordSeen, ...] = ()
    failover_in_all: int = 0


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return it as JSON has it: the fields by their names, `format` beside."""
    return {"format": FORMAT, **asdict(snapshot)}
