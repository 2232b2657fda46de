"""A snapshot as metrics, in Prometheus' text form.

Must not know what metrics there are (`metric_table` does), nor who asks for them. What reads the
operating system's counts and writes the form is imported when it is first needed: it takes as long
as the rest of a start.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from consulfwd.ops.metric_forms import Metric, Part, Subject
from consulfwd.ops.metric_table import OF_SNAPSHOT, OF_SYSTEM
from consulfwd.ops.snapshot import Snapshot, TimesSeen
from consulfwd.ops.zone_metrics import OF_ZONES, ZoneReport, reports

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

# Every version of Prometheus reads this one.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(snapshot: Snapshot) -> bytes:
    """Return all there is to tell of a process."""
    zones = _of(OF_ZONES, reports(snapshot))
    return _written([*_of(OF_SNAPSHOT, snapshot), *_of_system(snapshot.pid), *zones])


def zones_exposition(found: Iterable[ZoneReport]) -> bytes:
    """Return what there is to tell of zones alone."""
    return _written(_of(OF_ZONES, list(found)))


def _of(parts: Iterable[Part], found: object) -> Iterator[Family]:
    for part in parts:
        subjects = list(part.of(found))
        for metric in part.metrics:
            family = _family(metric, part.labels, subjects)
            if family.samples:
                yield family


def _family(metric: Metric, labels: tuple[str, ...], subjects: Iterable[Subject]) -> Family:
    from prometheus_client.metrics_core import HistogramMetricFamily
    from prometheus_client.metrics_core import Metric as Family

    family: Family
    if metric.type == "histogram":
        family = histogram = HistogramMetricFamily(metric.name, metric.help, labels=labels)
    else:
        family = Family(metric.name.removesuffix("_total"), metric.help, metric.type)
    seen = set()
    for values, subject in subjects:
        value = metric.value(subject)
        if value is None or values in seen:
            continue
        # The same twice would make all of the scrape void.
        seen.add(values)
        texts = [_text(one) for one in values]
        if isinstance(value, TimesSeen):
            histogram.add_metric(texts, _buckets(value), value.seconds)
        else:
            family.add_sample(metric.name, dict(zip(labels, texts, strict=True)), float(value))
    return family


def _buckets(times: TimesSeen) -> list[tuple[str, float]]:
    """Return how many took at most so long, for each bound."""
    found, so_far = [], 0
    for bound, count in zip((*map(str, times.bounds), "+Inf"), times.counts, strict=True):
        so_far += count
        found.append((bound, float(so_far)))
    return found


def _of_system(pid: int) -> Iterator[Family]:
    """Return what the operating system counts of a process; nothing where it does not tell."""
    from prometheus_client import ProcessCollector
    from prometheus_client.metrics_core import Metric as Family

    told = ProcessCollector(namespace="consulfwd", pid=lambda: pid, registry=None).collect()
    found = {sample.name: sample.value for family in told for sample in family.samples}
    for name, kind, what in OF_SYSTEM:
        if name in found:
            family = Family(name.removesuffix("_total"), what, kind)
            family.add_sample(name, {}, found[name])
            yield family


def _written(families: Iterable[Family]) -> bytes:
    from prometheus_client import generate_latest

    return generate_latest(_Collected(families))


class _Collected:
    """What was collected, as it is asked for by what writes it."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _text(value: str) -> str:
    """Return it without what UTF-8 does not have (octets of a file's name that are no text)."""
    return value.encode("utf-8", "replace").decode()
