"""The records at one serial, and how they were at earlier ones."""

from __future__ import annotations

import gc
import random

from consulfwd.zones.model import difference
from consulfwd.zones.primary.content import Content, Snapshot
from tests.zones.primary.pulled import WIRE, Contents, some_records


def test_snapshots_stay_as_they_were() -> None:
    rng = random.Random(1)
    content = Content(WIRE, some_records(rng, 20))
    kept: list[tuple[Snapshot, Contents]] = []
    for _ in range(30):
        kept.append((content.snapshot(), dict(content.records)))
        if rng.random() < 0.3:
            kept.pop(rng.randrange(len(kept)))
        after = dict(content.records)
        after.update(some_records(rng, 3))
        for key in rng.sample(sorted(after), 3):
            del after[key]
        content.apply(difference(content.records, after))
        for snapshot, then in kept:
            assert dict(snapshot) == then
            assert len(snapshot) == len(then)
            assert all(snapshot.get(key) == then.get(key) for key in content.records)
    # Of those that nobody has any more, nothing is kept.
    del kept, snapshot
    gc.collect()
    content.apply([])
    assert vars(content)["_snapshots"] == []


def test_a_snapshot_costs_what_is_changed() -> None:
    rng = random.Random(2)
    content = Content(WIRE, some_records(rng, 200))
    snapshot = content.snapshot()
    after = dict(content.records)
    key = sorted(after)[0]
    del after[key]
    content.apply(difference(content.records, after))
    assert list(vars(snapshot)["_was"]) == [key]
