"""What one slice of load yields, and what all slices of a server come to.

What belongs here: figures, and which of them are to be trusted. What does not: measuring
(`measure`), printing (`report`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import TypeVar

from benchmarks.calls import Calls

# Cores that others may use during a slice before it counts as disturbed.
QUIET = 0.1
# A figure from fewer undisturbed slices than this is luck: seen off by a third from one.
FEWEST = 4
T = TypeVar("T")


def enough(quiet: Sequence[T], everything: Sequence[T]) -> Sequence[T]:
    """`quiet` when that is all there is or at least FEWEST, else `everything`."""
    return quiet if len(quiet) >= min(FEWEST, len(everything)) else everything


@dataclass(frozen=True)
class Sample:
    """One slice. CPU in us per answer, latencies in ms, `reply_bytes` the mean DNS message.

    `core_share` is how busy the server kept its core; `other_load` is what took part in no
    measurement, in cores (1.0 = one). `errors` are answers other than NOERROR. `hot_share` is the
    share of the queries answered from the hot tables, where the server tells. `wakes` is how often
    per answer it slept and was woken, `armed` how many watches it had in the end.
    """

    answers: int
    cpu_us: float
    rate: float
    latency_ms: float
    slowest_ms: float
    lost: int
    errors: int
    reply_bytes: int
    core_share: float
    other_load: float
    upstream_cpu_us: float | None = None
    upstream_queries: float | None = None
    hot_share: float | None = None
    wakes: float | None = None
    armed: int | None = None

    @property
    def whole_us(self) -> float:
        """CPU per answer with the agents', in us."""
        return self.cpu_us + (self.upstream_cpu_us or 0.0)

    @property
    def quiet(self) -> bool:
        """Whether others left the machine alone meanwhile."""
        return self.other_load <= QUIET


@dataclass
class Result:
    """All slices of one server, with what repeats it."""

    name: str
    version: str
    command: Sequence[str]
    load_command: Sequence[str]
    note: str = ""
    samples: list[Sample] = field(default_factory=list)
    calls: Calls | None = None

    @property
    def quiet(self) -> list[Sample]:
        """The slices that nothing else on the machine disturbed."""
        return [sample for sample in self.samples if sample.quiet]

    def ratios(self, other: Result, column: str = "cpu_us") -> list[float]:
        """Our CPU per answer divided by the other's, round by round.

        Slices of one round lie seconds apart, so this moves less than the figures themselves.
        `column` "whole_us" counts the agents' CPU too.
        """
        pairs = list(zip(self.samples, other.samples, strict=True))
        quiet = [(ours, its) for ours, its in pairs if ours.quiet and its.quiet]
        used = enough(quiet, pairs)
        return [getattr(ours, column) / getattr(its, column) for ours, its in used]

    def used(self) -> Sequence[Sample]:
        """The slices that make the figures: the quiet ones, or all when those are too few."""
        return enough(self.quiet, self.samples)

    def of(self, column: str) -> list[float]:
        """The values of one field in the slices used, where it was counted."""
        values = [getattr(sample, column) for sample in self.used()]
        return [value for value in values if value is not None]

    def middle(self, column: str) -> float | None:
        """Median of `of`, None when it was not counted."""
        values = self.of(column)
        return median(values) if values else None

    def as_json(self) -> dict[str, object]:
        """Everything, with the medians beside the samples."""
        columns = [one for one in (*Sample.__dataclass_fields__, "whole_us") if self.of(one)]
        medians = {column: self.middle(column) for column in columns}
        return {**asdict(self), "quiet": len(self.quiet), "median": medians}
