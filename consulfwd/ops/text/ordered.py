"""What came of orders as text for people, whichever version carried them out. Pure.

The forms are those of `ops.cached` and `ops.explaining`; what is missing or has another form is
shown as nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from consulfwd.ops.text.lines import NOTHING, Line, Mood, count, milliseconds, rows, several
from consulfwd.words import duration, printable

Told = Mapping[str, Any]


def cache_lines(found: Told, what: str) -> Iterator[Line]:
    """Yield the answers that are kept of something, "" for all there are."""
    entries = _parts(found, "entries")
    in_all = max(int(_number(found, "in_all") or 0), len(entries))
    if not entries:
        yield "warn", f"nothing is kept of {what}" if what else "nothing is kept"
        return
    header = ("name", "type", "state", "left", "age", "from", "says")
    yield from ((mood, text[2:]) for mood, text in rows(header, map(_entry, entries)))
    if in_all > len(entries):
        yield "dim", f"(and {count(in_all - len(entries))} more: --limit)"


def _entry(one: Told) -> tuple[Mood, tuple[str, ...]]:
    state = _text(one, "state")
    flags = one.get("flags")
    beside = f" +{'+'.join(map(printable, map(str, flags)))}" if isinstance(flags, list) else ""
    left = _seconds(one, "stale_ttl" if state == "stale" else "ttl")
    return (
        "warn" if state == "stale" else "plain",
        (_text(one, "name"), _text(one, "type") + beside.rstrip("+ "), state, left,
         _seconds(one, "age"), _text(one, "from") or NOTHING, _text(one, "what")),
    )  # fmt: skip


def flush_line(found: Told, what: str) -> Line:
    """Return what was dropped of something, "" for all there was."""
    dropped = _number(found, "dropped") or 0
    if not dropped:
        return "plain", f"nothing was kept of {what}" if what else "nothing was kept"
    told = several(dropped, "answer")
    return "good", f"dropped {told} of {what}" if what else f"dropped {told}, all there were"


def explanation(found: Told) -> Iterator[Line]:
    """Yield what a resolver would do with a question, and why."""
    mood: Mood = "bad" if is_failure(found) else "good"
    yield "head", f"{_text(found, 'name')} {_text(found, 'type')}"
    yield mood, f"  now     {_text(found, 'now')}"
    then = _text(found, "then")
    yield "plain", f"  rule    {_text(found, 'rule')}" + (f"; else {then}" if then else "")
    moves = _texts(found, "moves")
    yield from (("plain", f"  {'' if at else 'moves':8}{one}") for at, one in enumerate(moves))
    if (entry := _part(found, "cache")) is not None:
        yield "plain", f"  cache   {_kept(entry)}"
    elif not moves:
        yield "plain", "  cache   nothing is kept"
    if alias := _text(found, "alias"):
        yield "plain", f"  alias   {alias}"
    if (watch := _part(found, "watch")) is not None:
        yield from _watch(watch)
    if (failed := _part(found, "failed")) is not None:
        ede = _number(failed, "ede")
        code = f" (EDE {ede:.0f})" if ede else ""
        text = f"{_text(failed, 'reason')}{code}, which counts for {_seconds(failed, 'seconds')}"
        yield "warn", f"  failed  {text}"
    if (flight := _part(found, "in_flight")) is not None:
        waiting = several(_number(flight, "waiting") or 0, "client waits", "clients wait")
        asked = ", ".join(_texts(flight, "asked"))
        for_long = _seconds(flight, "seconds")
        yield "plain", f"  asked   now, for {for_long}: {asked}; {waiting}"
    header = ("would ask", "state", "", "next after")
    yield from rows(header, map(_server, _parts(found, "order")))
    if _parts(found, "order"):
        yield "plain", f"  given up after {_seconds(found, 'deadline')}"


def is_failure(found: Told) -> bool:
    """Return whether a client would get no answer."""
    return _text(found, "now").startswith("SERVFAIL")


def _kept(entry: Told) -> str:
    state = _text(entry, "state")
    left = f"{state} for {_seconds(entry, 'ttl')}"
    if state == "stale":
        left = f"stale, given for {_seconds(entry, 'stale_ttl')} where nobody answers"
    elif state == "watched":
        left = "good while its watch says so"
    by = _text(entry, "from")
    source = f"; from {by} {_seconds(entry, 'age')} ago" if by else ""
    return f"{_text(entry, 'what')}: {left}{source}"


def _watch(watch: Told) -> Iterator[Line]:
    armed = watch.get("armed") is True
    state = f"for {_seconds(watch, 'seconds')}" if armed else "not in force yet"
    healthy, all_of = _number(watch, "healthy") or 0, _number(watch, "instances") or 0
    more = "" if watch.get("covers") is True else "; the answer does not hang on it"
    if watch.get("settles") is True:
        more += "; it has just changed"
    elif left := _number(watch, "left"):
        more += f"; {count(left)} left a moment ago, which agents may not know yet"
    text = f"{_text(watch, 'subject')} at {_text(watch, 'carrier')}, {state}"
    mood: Mood = "plain" if armed else "warn"
    yield mood, f"  watch   {text}: {count(healthy)} of {count(all_of)} healthy{more}"


def _server(one: Told) -> tuple[Mood, tuple[str, ...]]:
    state = _text(one, "state")
    mood: Mood = "plain" if state == "up" else "bad" if state == "down" else "warn"
    wait = milliseconds(_number(one, "wait"))
    return mood, (_text(one, "server"), state, _text(one, "why"), wait)


# -- what is in them ------------------------------------------------------------------------------


def _text(found: Told, key: str) -> str:
    there = found.get(key)
    return printable(there) if isinstance(there, str) else ""


def _texts(found: Told, key: str) -> list[str]:
    there = found.get(key)
    return [printable(one) for one in there if isinstance(one, str)] if isinstance(
        there, list) else []  # fmt: skip


def _number(found: Told, key: str) -> float | None:
    there = found.get(key)
    if isinstance(there, bool) or not isinstance(there, int | float):
        return None
    return there if abs(there) < 1e15 and math.isfinite(there) else None


def _seconds(found: Told, key: str) -> str:
    there = _number(found, key)
    return NOTHING if there is None else duration(there)


def _part(found: Told, key: str) -> Told | None:
    there = found.get(key)
    return there if isinstance(there, Mapping) else None


def _parts(found: Told, key: str) -> list[Told]:
    there = found.get(key)
    return [one for one in there if isinstance(one, Mapping)] if isinstance(there, list) else []
