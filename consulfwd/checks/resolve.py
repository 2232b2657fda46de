"""Whether a server answers as it is to: what it said is judged here.

Pure. A server that does not answer is what the check is there to find, hence CRITICAL; that it
cannot be asked at all is UNKNOWN, and not said here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from consulfwd.checks.outcome import Outcome, Status, listed, worst
from consulfwd.checks.perfdata import Figure
from consulfwd.checks.ranges import at_least
from consulfwd.checks.thresholds import NONE, Thresholds
from consulfwd.dns import const, names
from consulfwd.errors import UsageError, WireError

STALE = frozenset((const.EDE_STALE, const.EDE_STALE_NXDOMAIN))


@dataclass(frozen=True)
class Answer:
    """What a server said: data of the records of the type asked, as text.

    `took` is in seconds, from the first query sent; `ede` the extended error (RFC 8914).
    """

    server: str
    rcode: int
    data: tuple[str, ...]
    took: float
    ede: tuple[int, str] | None = None
    over_tcp: bool = False


@dataclass(frozen=True)
class Wanted:
    """What an answer is to be; thresholds of `time` in seconds, of `records` in their number."""

    name: str
    type: str
    rcode: int = const.NOERROR
    expected: tuple[str, ...] = ()
    exact: bool = False
    time: Thresholds = NONE
    records: Thresholds = NONE
    stale: Status = Status.WARNING

    @property
    def number(self) -> int:
        """The number of the type."""
        number = const.type_number(self.type)
        assert number is not None
        return number

    @property
    def what(self) -> str:
        """What is asked, for people."""
        return f"{self.name} {self.type}"


def type_of(name: str, text: str) -> str:
    """Return a type as it is written, for a name to be asked. Raises UsageError for either."""
    number = const.type_number(text)
    if number is None:
        raise UsageError(f"there is no record type {text!r} (A, AAAA, SRV, TXT, ... or TYPE65)")
    try:
        names.from_text(name)
    except WireError as error:
        raise UsageError(str(error)) from None
    return const.type_text(number)


def rcode_of(text: str) -> int:
    """Return the number of a response code. Raises UsageError."""
    for number, one in const.RCODES.items():
        if one == text.upper():
            return number
    raise UsageError(f"{text!r} is no response code: {', '.join(const.RCODES.values())}")


def judge(wanted: Wanted, answer: Answer, timeout: float) -> Outcome:
    """Return what an answer comes to."""
    found: list[tuple[Status, str]] = []
    records = wanted.records
    if records.critical is None and wanted.rcode == const.NOERROR:
        records = Thresholds(records.warning, at_least(1))
    if answer.rcode != wanted.rcode:
        found.append((Status.CRITICAL, _refused(wanted, answer)))
    else:
        found += _expected(wanted, answer)
        number = len(answer.data)
        what = f"{number or 'no'} record{'' if number == 1 else 's'}"
        found.append(records.told(what, number))
    if answer.ede is not None and answer.ede[0] in STALE:
        found.append((wanted.stale, "a stale answer: nobody who knows better could be asked"))
    found.append(wanted.time.told(f"took {answer.took:.3f} s", answer.took, "s"))
    status = worst(one for one, _ in found)
    said = "; ".join(text for one, text in found if one)
    data = listed(answer.data) or const.rcode_text(answer.rcode)
    way = f"{answer.server}{' over TCP' if answer.over_tcp else ''}, {answer.took * 1000:.1f} ms"
    summary = f"{wanted.what}: {said} ({way})" if said else f"{wanted.what}: {data} ({way})"
    lines = [_extended(answer.ede)] if answer.ede else []
    return Outcome(
        status,
        summary,
        lines,
        _figures(answer, wanted.time, records, timeout),
        more=[f"{wanted.name} {wanted.type} {one}" for one in answer.data],
    )


def silent(wanted: Wanted, why: str, timeout: float, state: Status = Status.CRITICAL) -> Outcome:
    """Return what it comes to that nothing of use was said."""
    time = Figure("time", None, "s", wanted.time.warning, wanted.time.critical, 0, timeout)
    return Outcome(state, f"{wanted.what}: {why}", figures=[time])


def _refused(wanted: Wanted, answer: Answer) -> str:
    said = const.rcode_text(answer.rcode)
    if answer.rcode == const.NXDOMAIN:
        said = "the name does not exist (NXDOMAIN)"
    elif answer.rcode == const.NOERROR:
        there = f"with {listed(answer.data)}" if answer.data else "without records of that type"
        said = f"the name is there, {there}"
    if wanted.rcode != const.NOERROR:
        said += f", expected {const.rcode_text(wanted.rcode)}"
    return f"{said}: {_extended(answer.ede)}" if answer.ede else said


def _extended(ede: tuple[int, str]) -> str:
    code, text = ede
    meaning = const.EDE_TEXT.get(code, "extended error")
    return f"{meaning} (EDE {code}){f': {text}' if text else ''}"


def _expected(wanted: Wanted, answer: Answer) -> list[tuple[Status, str]]:
    there = {same(one) for one in answer.data}
    expected = {same(one) for one in wanted.expected}
    found = []
    if missing := [one for one in wanted.expected if same(one) not in there]:
        found.append((Status.CRITICAL, f"{listed(missing)} missing"))
    if wanted.exact and (more := [one for one in answer.data if same(one) not in expected]):
        found.append((Status.CRITICAL, f"{listed(more)} not expected"))
    return found


def same(data: str) -> str:
    """Return record data in the one form in which two of them are compared."""
    try:
        return str(ipaddress.ip_address(data))
    except ValueError:
        return " ".join(data.lower().split()).removesuffix(".")


def _figures(
    answer: Answer, time: Thresholds, records: Thresholds, timeout: float
) -> Sequence[Figure]:
    return (
        Figure("time", answer.took, "s", time.warning, time.critical, 0, timeout),
        Figure("records", len(answer.data), "", records.warning, records.critical, 0),
    )
