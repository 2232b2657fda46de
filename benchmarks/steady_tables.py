"""The tables of `steady` as aligned text: one for each rate.

What belongs here: columns, who is least, the notes under a table. What does not: measuring.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.peers import KEEPS
from benchmarks.report import figure, noise, notes, ratio, table
from benchmarks.samples import Result
from benchmarks.steady import Paced

# Of what was asked for: when fewer are answered, what is said is of another load than that.
KEPT_UP = 0.97


def steady(paced: Paced, *, misses: bool) -> str:
    """The table of one rate; `misses` tells of TTL 0, and what the agents paid."""
    results = paced.results
    named = {result.name: result for result in results}
    ours, floor = named.get("consulfwd"), named.get("floor")
    head = ["server", "version", *(["fresh"] if misses else []), "CPU us/answer", "min..max"]
    head += ["x floor", "ours/its"]
    if misses:
        head += ["agents' us", "with agents'", "its/ours, with agents'", "asked/answer"]
    head += ["hot", "wakes/answer", "calls/answer", "answers/s", "mean ms", "slowest ms"]
    head += ["lost", "errors", "quiet"]
    rows = []
    for result in results:
        cpu = result.of("cpu_us")
        row = [result.name, result.version, *([_fresh(result)] if misses else [])]
        row += [figure(result.middle("cpu_us"), 1), f"{min(cpu):.1f}..{max(cpu):.1f}"]
        row += [ratio(result, floor), ratio(ours, result)]
        if misses:
            row += [figure(result.middle(one), 1) for one in ("upstream_cpu_us", "whole_us")]
            row += [ratio(result, ours, "whole_us"), figure(result.middle("upstream_queries"), 3)]
        hot = result.middle("hot_share")
        row += ["-" if hot is None else f"{hot:.1%}", figure(result.middle("wakes"), 2)]
        row += [_calls(result, paced.rate), _rate(result, paced.rate)]
        row += [figure(result.middle("latency_ms"), 2), f"{max(result.of('slowest_ms')):.1f}"]
        row += [str(sum(sample.lost for sample in result.samples))]
        row += [str(sum(sample.errors for sample in result.samples))]
        rows.append([*row, f"{len(result.quiet)}/{len(result.samples)}"])
    lines = [f"{paced.rate} queries/s", "", table(head, rows)]
    lines.append(_least(results, paced.rate, misses=misses))
    if paced.rest_share is not None:
        share = f"{paced.rest_share:.1%} of a core"
        lines.append(f"  left out: what the agents used when nobody asked, {share}")
    if any("*" in cell for row in rows for cell in row):
        lines.append("  * fewer answers than the rate: a figure of another load")
    lines += [_counted(result) for result in results if result.calls is not None]
    if not any(result.calls for result in results):
        lines.append("  NO SYSTEM CALLS COUNTED: neither perf nor strace may count here")
    return "\n".join(lines) + noise(results) + (notes(results) if misses else "")


def serves_fresh(result: Result) -> bool:
    """Whether it asks for what has a TTL of 0, or is told: not the floor, nor who keeps it."""
    return result.name != "floor" and result.note != KEEPS


def least(
    results: Sequence[Result], column: str, rate: int, *, misses: bool = True
) -> Result | None:
    """Who pays least but for the floor, with `misses` of those that serve fresh answers.

    Who could not answer at that rate had another load, in batches. None of none.
    """
    candidates = [
        result
        for result in results
        if serves_fresh(result) or (not misses and result.name != "floor")
    ]
    kept = [result for result in candidates if _kept_up(result.middle("rate"), rate)]
    candidates = kept or candidates
    return min(candidates, key=lambda one: one.middle(column) or 0.0, default=None)


def _least(results: Sequence[Result], rate: int, *, misses: bool) -> str:
    told = []
    for column, words in (("cpu_us", ""), ("whole_us", " with the agents'")):
        first = least(results, column, rate, misses=misses)
        if first is None or (column == "whole_us" and not misses):
            continue
        others = [one for one in results if one is not first]
        second = least(others, column, rate, misses=misses)
        text = f"{first.name} {figure(first.middle(column), 1)} us{words}"
        if second is not None:
            text += f" (next: {second.name}, {median(second.ratios(first, column)):.2f} times that)"
        told.append(text)
    whom = "of those that serve fresh answers" if misses else "but for the floor"
    return f"  least {whom}: {'; '.join(told)}" if told else ""


def _fresh(result: Result) -> str:
    return "-" if result.name == "floor" else "yes" if serves_fresh(result) else "NO"


def _calls(result: Result, rate: int) -> str:
    if result.calls is None:
        return "-"
    return f"{result.calls.total:.2f}{'' if _kept_up(result.calls.rate, rate) else '*'}"


def _rate(result: Result, rate: int) -> str:
    answered = result.middle("rate") or 0.0
    return f"{answered:.0f}{'' if _kept_up(answered, rate) else '*'}"


def _kept_up(answered: float | None, rate: int) -> bool:
    return (answered or 0.0) >= KEPT_UP * rate


def _counted(result: Result) -> str:
    assert result.calls is not None
    return f"  {result.name}, by {result.calls.by}: {result.calls.most()}"
