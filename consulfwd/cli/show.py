"""Answers as text for people and JSON for machines. Pure: strings come back, nothing is asked."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from consulfwd.api import Answer, AttemptReport, Record
from consulfwd.cli.failover import failover
from consulfwd.words import table


def short_text(answer: Answer) -> str:
    """Return the data of the records of the type asked, one a line (aliases left out)."""
    wanted = [record.data for record in answer.records if record.type == answer.type]
    return "\n".join(wanted or [record.data for record in answer.records])


def long_text(answer: Answer) -> str:
    """Return the answer as a person reads it: what, from whom, how fresh, then the records."""
    head = click.style(f"{answer.name} {answer.type}", bold=True)
    lines = [f"{head}: {_verdict(answer)}"]
    lines += [f"  {line}" for line in table([_row(record) for record in answer.records])]
    if answer.additional:
        lines.append("  with")
        lines += [f"  {line}" for line in table([_row(record) for record in answer.additional])]
    if answer.stale:
        lines.append(
            click.style("  stale: no upstream answers now, this was true once", fg="yellow")
        )
    if answer.truncated:
        lines.append(click.style("  cut: the whole answer could not be had over TCP", fg="yellow"))
    if answer.ede is not None and answer.ede[1] and not answer.stale:
        lines.append(f"  {answer.ede[1]}")
    return "\n".join(lines)


def _verdict(answer: Answer) -> str:
    time = f"{answer.elapsed * 1000:.1f} ms"
    if not answer.resolved:
        return click.style(f"{answer.rcode}, could not be resolved", fg="red") + f" ({time})"
    origin = f"from {answer.source} in {time}"
    if answer.rcode == "NXDOMAIN":
        return click.style("no such name", fg="yellow") + f", {origin}"
    if not answer.records:
        return click.style(f"the name has no {answer.type}", fg="yellow") + f", {origin}"
    count = len(answer.records)
    return f"{count} record{'s' if count > 1 else ''}, TTL {answer.ttl} s, {origin}"


def _row(record: Record) -> list[str]:
    return [record.name, str(record.ttl), record.type, record.data]


def trace_text(answer: Answer) -> str:
    """Return how the answer came about: the rule, the order, each attempt, what was decided."""
    lines = ["", click.style("How", bold=True), f"  rule   {answer.rule}"]
    if answer.order:
        order = ", ".join(f"{name} ({state})" for name, state in answer.order)
        lines.append(f"  order  {order}")
    lines += [f"  alias  to {name}: {rule}" for name, rule in answer.aliases]
    if not answer.attempts:
        lines.append(f"  asked  nobody: answered from {answer.source}")
        return "\n".join(lines)
    header = ["", "at ms", "asked", "over", "took ms", "octets", "result", "then"]
    rows = [header, *(_attempt(number, one) for number, one in enumerate(answer.attempts, 1))]
    lines += [f"  {line}" for line in table(rows)]
    lines += [
        f"  {number}. asked because: {_why_asked(one, answer)}"
        for number, one in enumerate(answer.attempts, 1)
    ]
    line = failover(answer)
    if line is not None:
        lines.append(f"  failover: {line}")
    return "\n".join(lines)


def _why_asked(one: AttemptReport, answer: Answer) -> str:
    led = one.about in {name for name, _ in answer.aliases}
    return f"{one.why}, for {one.about}" if led else one.why


def _attempt(number: int, one: AttemptReport) -> list[str]:
    took = f"{one.took * 1000:.1f}" if one.took is not None else "-"
    return [
        f"{number}.", f"{one.at * 1000:.1f}", one.upstream, one.transport, took,
        str(one.size or "-"), one.result, one.decided,
    ]  # fmt: skip


def compare_text(answers: dict[str, Answer]) -> str:
    """Return every agent's answer side by side: what all have, and what only some have."""
    sets = {name: {record.data for record in answer.records} for name, answer in answers.items()}
    union = sorted(set().union(*sets.values()))
    rows = [["", *answers]]
    rows.append(["result", *(_verdict_short(answer) for answer in answers.values())])
    rows.append(["ms", *(f"{answer.elapsed * 1000:.1f}" for answer in answers.values())])
    for data in union:
        rows.append([data, *(_has(answer, data in sets[name]) for name, answer in answers.items())])
    first = next(iter(answers.values()))
    count = f"{len(answers)} agent{'s' if len(answers) > 1 else ''}"
    lines = [
        f"{first.name} {first.type} at {count}",
        *table(rows),
        "",
        *_silent(answers),
        _agreement(answers),
    ]
    return "\n".join(lines)


def _has(answer: Answer, present: bool) -> str:
    if not answer.resolved:
        return "-"
    return "yes" if present else "NO"


def differ(answers: dict[str, Answer]) -> bool:
    """Return whether those that answer say different things."""
    told = [one for one in answers.values() if one.resolved]
    return len({(one.rcode, frozenset(record.data for record in one.records)) for one in told}) > 1


def _agreement(answers: dict[str, Answer]) -> str:
    told = [answer for answer in answers.values() if answer.resolved]
    silent = [name for name, answer in answers.items() if not answer.resolved]
    if not told:
        return click.style("None of them answers.", fg="red")
    if differ(answers):
        return click.style("They differ.", fg="red")
    if silent:
        return click.style(f"Not to be had from {', '.join(silent)}.", fg="red")
    return "They agree." if len(told) > 1 else "There is no other agent to compare with."


def _silent(answers: dict[str, Answer]) -> list[str]:
    return [f"{name}: {_why(one)}" for name, one in answers.items() if not one.resolved]


def _why(answer: Answer) -> str:
    """Return what became of the attempts to ask, each kind once."""
    results = dict.fromkeys(one.result for one in answer.attempts)
    return ", ".join(results) or (answer.ede[1] if answer.ede else answer.rcode)


def _verdict_short(answer: Answer) -> str:
    return f"{answer.rcode}, {len(answer.records)}" if answer.resolved else answer.rcode


def to_json(value: Answer | dict[str, Answer]) -> str:
    """Return an answer, or answers by agent, as JSON; times in seconds."""
    # Imported late: start-up time counts, and only --json needs it.
    import json

    plain: dict[str, Any]
    if isinstance(value, dict):
        sets = {(a.rcode, frozenset(r.data for r in a.records)) for a in value.values()}
        plain = {"agree": len(sets) == 1, "agents": {k: _plain(a) for k, a in value.items()}}
    else:
        plain = _plain(value)
    return json.dumps(plain, indent=2)


def _plain(answer: Answer) -> dict[str, Any]:
    plain = asdict(answer)
    for section in ("records", "authority", "additional"):
        plain[section] = [record._asdict() for record in getattr(answer, section)]
    plain["order"] = [{"upstream": name, "state": state} for name, state in answer.order]
    plain["aliases"] = [{"name": name, "rule": rule} for name, rule in answer.aliases]
    plain["failover"] = failover(answer)
    plain["ede"] = {"code": answer.ede[0], "text": answer.ede[1]} if answer.ede else None
    return plain
