"""What metrics come to, as Prometheus' own parser reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from consulfwd.ops.metrics import exposition
from consulfwd.ops.snapshot import Snapshot

Series = dict[tuple[str, ...], float]


def series(text: bytes) -> Series:
    """Each sample by its name and its labels' values, these in the order of labels' names."""
    found: Series = {}
    for family in text_string_to_metric_families(text.decode()):
        for one in family.samples:
            key = (one.name, *(one.labels[label] for label in sorted(one.labels)))
            assert key not in found
            found[key] = one.value
    return found


def told(seen: Snapshot) -> Series:
    """All that is told of a process."""
    return series(exposition(seen))
