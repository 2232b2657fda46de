"""The tables of `sizes` and `memory` as aligned text.

What belongs here: columns. What does not: measuring (`sizes`, `memory`).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.memory import Held
from benchmarks.report import figure, noise, table
from benchmarks.samples import Result
from benchmarks.sizes import Sized


def sizes(found: Sequence[Sized]) -> str:
    """One table for each way: CPU per answer by size, and the largest beside the smallest."""
    ways = dict.fromkeys(one.way for one in found)
    every = [result for one in found for result in one.results]
    texts = [_way(way, [one for one in found if one.way == way]) for way in ways]
    return "\n\n".join(texts) + noise(every)


def _way(way: str, found: Sequence[Sized]) -> str:
    smallest, largest = found[0], found[-1]
    several = largest is not smallest
    head = ["server", "version", *(f"{one.records} records us" for one in found)]
    head += [f"{largest.records}/{smallest.records}"] if several else ["min..max", "ours/its"]
    head += ["asked/answer", "hot", "bytes", "lost", "errors", "quiet"]
    named = [{result.name: result for result in one.results} for one in found]
    rows = []
    for name, result in named[-1].items():
        mine = [results[name] for results in named]
        row = [name, result.version, *(figure(one.middle("cpu_us"), 1) for one in mine)]
        row += _compared(mine, named[-1].get("consulfwd"))
        samples = [sample for one in mine for sample in one.samples]
        hot = [sample.hot_share for sample in samples if sample.hot_share is not None]
        asked = [sample.upstream_queries or 0.0 for sample in samples]
        row += [f"{median(asked):.3f}", f"{max(hot):.1%}" if hot else "-"]
        row += ["/".join(figure(one.middle("reply_bytes"), 0) for one in mine)]
        row += [str(sum(sample.lost for sample in samples))]
        row += [str(sum(sample.errors for sample in samples))]
        rows.append([*row, f"{sum(len(one.quiet) for one in mine)}/{len(samples)}"])
    return f"{way}\n\n{table(head, rows)}"


def _compared(mine: Sequence[Result], ours: Result | None) -> list[str]:
    """The largest beside the smallest; where there is one size only, how it varies and ours."""
    first, last = mine[0], mine[-1]
    if first is not last:
        return [f"{median(last.ratios(first)):.2f}"]
    cpu = last.of("cpu_us")
    ratio = "-" if ours is None else f"{median(ours.ratios(last)):.2f}"
    return [f"{min(cpu):.1f}..{max(cpu):.1f}", ratio]


def memory(found: Sequence[Held]) -> str:
    """The table of `memory`."""
    head = ["server", "version", "MB at first", "MB after load", "MB at most", "threads"]
    head += ["watches", "answers", "lost"]
    rows = [
        [
            one.name,
            one.version,
            f"{one.first_mb:.1f}",
            f"{one.loaded_mb:.1f}",
            f"{one.peak_mb:.1f}",
            str(one.threads),
            "-" if one.watches is None else str(one.watches),
            str(one.answers),
            str(one.lost),
        ]
        for one in found
    ]
    return table(head, rows) + "".join(f"\n  {one.name}: {one.note}" for one in found if one.note)
