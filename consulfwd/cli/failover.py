"""A failover in one line: who was asked first and what of it, who answered, when.

Pure: reads what `--trace` shows, asks nothing.
"""

from __future__ import annotations

from consulfwd.api import Answer, AttemptReport

AttemptReports = list[AttemptReport]
# Times made by subtraction are this inexact.
_EPSILON = 1e-6


def failover(answer: Answer) -> str | None:
    """Return the line, or None if nobody else was asked than whoever came first.

    Where one question led to another (aliases, reverse lookups), it is about the last one for
    which more than one upstream was asked.
    """
    questions: list[AttemptReports] = []
    for one in answer.attempts:
        if one.why == "first in order" or not questions:
            questions.append([])
        questions[-1].append(one)
    several = [asked for asked in questions if len({one.upstream for one in asked}) > 1]
    if not several:
        return None
    asked = several[-1]
    last = asked is questions[-1]
    decisive = _decisive(asked, answer.source if last else "")
    if decisive is not None:
        return _answered(asked, decisive)
    ends = [answer.elapsed] if last else [one.at + (one.took or 0) for one in asked]
    results = {one.upstream: one.result for one in asked}
    told = ", ".join(f"{name} {result}" for name, result in results.items())
    return f"nobody answered in {_ms(max(ends) - asked[0].at)}: {told}"


def _decisive(asked: AttemptReports, source: str) -> AttemptReport | None:
    """Return the attempt whose reply became the answer."""
    replied = [one for one in reversed(asked) if one.took is not None and one.size]
    for one in replied:
        if "taken" in one.decided:
            return one
    # What was cut and could not be had whole is given for want of anything better.
    return next((one for one in replied if one.upstream == source), None)


def _answered(asked: AttemptReports, decisive: AttemptReport) -> str:
    done = decisive.at + (decisive.took or 0)
    others = [one for one in asked if one.upstream != decisive.upstream and one.at <= done]
    if decisive is asked[0]:
        names = ", ".join(dict.fromkeys(one.upstream for one in others))
        first = f"{decisive.upstream} {_said(decisive.result)} after {_ms(decisive.took or 0)}"
        if "opinion in time" in decisive.decided:
            return f"{first}; {names} gave no opinion"
        if decisive.decided in ("taken", "") or "after all" in decisive.decided:
            return f"{first}, before {names} did"
        return f"{first}; {names} had no more"
    told: dict[str, str] = {}
    for number, one in enumerate(asked):
        if one in others:
            then = asked[number + 1].at if number + 1 < len(asked) else done
            told[one.upstream] = _fell_short(one, min(then, done) - one.at)
    said = "agreed" if "agrees" in decisive.decided else _said(decisive.result)
    whole = _ms(done - asked[0].at)
    last = f"{decisive.upstream} {said} {_ms(decisive.took or 0)} later ({whole} in all)"
    return ", ".join([*(f"{name} {what}" for name, what in told.items()), last])


def _fell_short(one: AttemptReport, waited: float) -> str:
    """Return why an attempt did not give the answer."""
    if one.took is None or one.took > waited + _EPSILON:
        return f"did not answer in {_ms(waited)}"
    took = _ms(one.took)
    if one.decided.startswith("denies"):
        return f"denied it after {took}"
    if one.decided.startswith("has "):
        return f"had {one.decided[4:].partition(' what')[0]} after {took}"
    if one.decided.startswith("cut"):
        return f"gave a part after {took}"
    if one.size:
        return f"said {one.result} after {took}"
    return f"failed after {took} ({one.result})"


def _said(rcode: str) -> str:
    return "answered" if rcode == "NOERROR" else f"said {rcode}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
