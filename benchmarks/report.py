"""Figures as aligned text.

What belongs here: columns, ratios, the notes under a table. What does not: measuring.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from statistics import median, quantiles

from benchmarks.failover import COLD_S, DARK_S, DISTURBED, GONE_S, LIGHT_S, Endured
from benchmarks.fresh import CACHED
from benchmarks.idle import WATCHES, Idle
from benchmarks.judging import LOST_S, SLOW_S, Figures, counting, worst
from benchmarks.memory import Held
from benchmarks.samples import Result
from benchmarks.staleness import Staleness
from benchmarks.startup import Weight

Row = Sequence[str]
# What the load made of a server, in every table of CPU per answer.
LOADED = ["core", "answers/s", "mean ms", "slowest ms", "lost", "errors", "bytes", "quiet"]


def table(head: Row, rows: Iterable[Row]) -> str:
    """Columns aligned: the first to the left, the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def loaded(results: Sequence[Result], *, misses: bool) -> str:
    """The table of `cached` and `miss`; `misses` adds what the agents were asked and paid."""
    named = {result.name: result for result in results}
    head = ["server", "version", "CPU us/answer", "min..max"]
    head += ["ours/its", "with agents'", "asked/answer"] if misses else ["x floor", "ours/its"]
    head += LOADED
    rows = []
    for result in results:
        cpu = result.of("cpu_us")
        row = [result.name, result.version, figure(result.middle("cpu_us"), 2)]
        row += [f"{min(cpu):.2f}..{max(cpu):.2f}"]
        if not misses:
            row += [ratio(result, named.get("floor"))]
        row += [ratio(named.get("consulfwd"), result)]
        if misses:
            row += [_both(result), figure(result.middle("upstream_queries"), 3)]
        row += _load(result)
        rows.append(row)
    return table(head, rows) + noise(results) + (notes(results) if misses else "")


def _load(result: Result) -> list[str]:
    """The cells under LOADED."""
    row = [f"{result.middle('core_share') or 0:.0%}"]
    row += [figure(result.middle("rate"), 0), figure(result.middle("latency_ms"), 2)]
    row += [f"{max(result.of('slowest_ms')):.1f}"]
    row += [str(sum(sample.lost for sample in result.samples))]
    row += [str(sum(sample.errors for sample in result.samples))]
    row += [figure(result.middle("reply_bytes"), 0)]
    return [*row, f"{len(result.quiet)}/{len(result.samples)}"]


def noise(results: Sequence[Result]) -> str:
    """A line when others used the machine meanwhile, else nothing."""
    if all(result.used() == result.quiet for result in results):
        return ""
    others = max(sample.other_load for result in results for sample in result.samples)
    return f"\n  NOISE: others used up to {others:.2f} cores; repeat when the machine is quiet"


def fresh(results: Sequence[Result]) -> str:
    """The table of `fresh`: what an answer costs the server, and with Consul's part."""
    named = {result.name: result for result in results}
    head = ["server", "version", "CPU us/answer", "min..max", "its/cached", "with agents'"]
    head += ["its/ours, with agents'", "asked/answer", "hot", *LOADED]
    rows = []
    for result in results:
        cpu = result.of("cpu_us")
        row = [result.name, result.version, figure(result.middle("cpu_us"), 2)]
        row += [f"{min(cpu):.2f}..{max(cpu):.2f}", ratio(result, named.get(CACHED)), _both(result)]
        whole = "-" if result.name == CACHED else ratio(result, named.get("consulfwd"), "whole_us")
        row += [whole, figure(result.middle("upstream_queries"), 3)]
        hot = result.of("hot_share")
        row += [f"{median(hot):.2%}" if hot else "-"]
        rows.append([*row, *_load(result)])
    return table(head, rows) + noise(results) + notes(results)


def idle(results: Sequence[Idle]) -> str:
    """The table of `idle`."""
    head = ["consulfwd", "watches", "% of a core", "busiest 10 s", "wakes/s", "MB", "kB/watch"]
    head += ["Consul's leader %", "others %", "Consul's MB", "others"]
    rows = [
        [
            one.name,
            str(one.watches),
            f"{one.share:.2%}",
            f"{one.busiest:.2%}",
            f"{one.wakes:.1f}",
            f"{one.mb:.1f}",
            figure(one.per_watch_kb, 0),
            f"{one.leader_share:.2%}",
            f"{one.others_share:.2%}",
            f"{one.consul_mb:.0f}",
            f"{one.other_load:.2f}",
        ]
        for one in results
    ]
    return f"{WATCHES} names, asked until they are watched, then never\n\n{table(head, rows)}"


def staleness(results: Sequence[Staleness]) -> str:
    """The table of `staleness`: a line per server, median and worst of its changes."""
    head = ["server", "version", "ms after change", "worst", "after 1st agent", "worst"]
    head += ["after all agents", "worst", "agents ms", "oldest ms", "old answers", "queries"]
    head += ["lost", "odd", "asked before", "late ms", "others"]
    rows = []
    for result in results:
        changes = result.changes
        row = [result.name, result.version]
        for column in ("until", "after_first", "after_all"):
            values = [getattr(one, column) for one in changes]
            row += [f"{median(values):.1f}", f"{max(values):.1f}"]
        asked = [one.asked for one in changes if one.asked is not None]
        row += [f"{median(one.agents for one in changes):.1f}"]
        row += [f"{max(one.oldest for one in changes):.1f}", str(sum(one.old for one in changes))]
        row += [str(result.queries), str(result.lost), str(result.odd)]
        row += [f"{max(asked):.1%}" if asked else "-", f"{result.late_ms:.1f}"]
        rows.append([*row, f"{result.other_load:.2f}"])
    return table(head, rows) + notes(results)


def _both(result: Result) -> str:
    return f"{median(sample.whole_us for sample in result.used()):.2f}"


def weighed(weights: Sequence[Weight]) -> str:
    """The table of `startup`."""
    head = ["server", "version", "first answer ms", "min..max", "CPU ms until then"]
    head += ["MB at first", "MB after load", "threads"]
    rows = [
        [
            weight.name,
            weight.version,
            f"{median(weight.first_answer_ms):.0f}",
            f"{min(weight.first_answer_ms):.0f}..{max(weight.first_answer_ms):.0f}",
            f"{median(weight.start_cpu_ms):.0f}",
            f"{weight.idle_mb:.0f}",
            f"{weight.resident_mb:.0f}",
            str(weight.threads),
        ]
        for weight in weights
    ]
    return table(head, rows)


ENDURED = {
    "freeze": f"each agent in turn stopped for {GONE_S:g} s",
    "kill": f"each agent in turn killed, and started again after {GONE_S:g} s",
    "cold": f"the first agent a black hole, the server just started, {COLD_S:g} s of load",
    "dark": f"all agents stopped for {DARK_S:g} s, then {LIGHT_S:g} s to come back",
}
# What only one case has: the name of the figure and its column.
MORE = {"first_ms": "first ms", "fresh_ms": "fresh again ms", "all_fresh_ms": "all fresh ms"}


def endured(case: str, results: Sequence[Endured]) -> str:
    """The table of one case of `failover`: a line per round, and the worst of several."""
    more = [name for name in MORE if name in results[0].rounds[0].more]
    head = ["server", "version", "round", "queries", "lost", "failed", "false", "stale"]
    head += ["median ms", "99.9 % ms", "slowest ms", f">{SLOW_S * 1e3:.0f} ms"]
    head += [*(MORE[name] for name in more), "extra", "late ms", "others"]
    head += ["stolen ms"]
    rows = []
    for result in results:
        lines = [
            (f"{number}{'*' * one.disturbed}", one) for number, one in enumerate(result.rounds, 1)
        ]
        if len(lines) > 1:
            lines.append(("worst", worst(counting(result.rounds))))
        for label, one in lines:
            rows.append([result.name, result.version, label, *_counted(one, more)])
    title = f"{case}: {ENDURED[case]}; lost: no reply within {LOST_S:g} s"
    noise = ""
    if any(one.disturbed for result in results for one in result.rounds):
        noise = (
            f"\n  * disturbed: the machine's host took more than {DISTURBED:.0%} of its time away;"
            " `worst` is of the other rounds, if there are any"
        )
    return f"{title}\n\n{table(head, rows)}{noise}{notes(results)}"


def _counted(one: Figures, more: Sequence[str]) -> list[str]:
    counts = (one.queries, one.lost, one.failed, one.false, one.stale)
    row = [str(count) for count in counts]
    # Nothing may have been answered at all.
    times = (one.median_ms, one.p999_ms, one.slowest_ms)
    row += [*(f"{value:.1f}" if value else "-" for value in times), str(one.slow)]
    row += [figure(one.more[name], 0) for name in more]
    row += ["-" if one.extra is None else str(one.extra)]
    return [*row, f"{one.late_ms:.1f}", f"{one.other_load:.2f}", f"{one.stolen_ms:.0f}"]


def notes(results: Sequence[Result] | Sequence[Endured] | Sequence[Staleness]) -> str:
    lines = [f"  {result.name}: {result.note}" for result in results if result.note]
    return "".join(f"\n{line}" for line in lines)


def commands(
    results: Sequence[Result] | Sequence[Weight] | Sequence[Idle] | Sequence[Held],
) -> str:
    """The raw command lines, for a reader who wants to repeat one by hand."""
    lines = []
    for result in results:
        lines.append(f"  {result.name}: {shlex.join(result.command)}")
        if not isinstance(result, Idle):
            lines.append(f"    {shlex.join(result.load_command)}")
    return "commands:\n" + "\n".join(lines)


def started(results: Iterable[Endured] | Iterable[Staleness]) -> str:
    """How each server was started last, for a reader who wants to repeat one by hand."""
    lines = [f"  {result.name}: {shlex.join(result.command)}" for result in results]
    return "commands:\n" + "\n".join(lines) + "\n"


def figure(value: float | None, digits: int) -> str:
    """A number, "-" for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(result: Result | None, base: Result | None, column: str = "cpu_us") -> str:
    """Median and quartiles; "whole_us" counts the agents' CPU too."""
    if result is None or base is None:
        return "-"
    if result is base:
        return "1"
    ratios = result.ratios(base, column)
    middle = f"{median(ratios):.2f}"
    if len(ratios) < 2:
        return middle
    low, _, high = quantiles(ratios, method="inclusive")
    return f"{middle} ({low:.2f}-{high:.2f})"
