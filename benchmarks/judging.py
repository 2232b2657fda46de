"""What is asked while agents fail, what a reply is worth, and the figures of one run.

What belongs here: the questions, the verdict on each reply, counting. What does not: starting or
harming anything (`failover`), printing (`report`).
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from benchmarks.upstream import INSTANCES, Agent
from tests.integration.load import Result

EDNS_SIZE = 1232
# A stub resolver asks the next server after 5 s, or less; nobody waits for what comes later.
LOST_S = 3.0
SLOW_S = 0.050
# Queries that are told one by one, per run.
TOLD = 20

RIGHT, STALE, FAILED, FALSE, LOST = "right", "stale", "failed", "false", "lost"

Question = tuple[str, str]
# rcode, then owner, type and data of the Answer's records, in lower case and any order.
Said = tuple[int, frozenset[tuple[str, str, str]]]


def questions(services: Sequence[str]) -> list[Question]:
    """A for each service; for every tenth also SRV, a node and a name that does not exist."""
    asked = []
    for number, name in enumerate(services):
        asked.append((name, "A"))
        if number % 10 == 9:
            asked.append((name, "SRV"))
            asked.append((f"host-{number // 10 % INSTANCES}.node.consul", "A"))
            missing = ("service", "node")[number // 10 % 2]
            asked.append((f"nobody{number // 10}.{missing}.consul", "A"))
    return asked


def wire(question: Question) -> bytes:
    """The query, with EDNS: without it no server could say that an answer is stale."""
    query = dns.message.make_query(*question)
    query.use_edns(0, payload=EDNS_SIZE)
    return query.to_wire()


def said_by(agent: Agent, asked: Sequence[Question]) -> list[Said]:
    """What an agent that is well says to each question."""
    replies = []
    for question in asked:
        query = dns.message.from_wire(wire(question))
        replies.append(_said(dns.query.tcp(query, agent.address, 5.0, agent.port)))
    return replies


def _said(reply: dns.message.Message) -> Said:
    found = {
        (str(rrset.name).lower(), dns.rdatatype.to_text(rrset.rdtype), str(record).lower())
        for rrset in reply.answer
        for record in rrset
    }
    return reply.rcode(), frozenset(found)


class Judge:
    """Says what replies are worth; the same bytes are read once.

    With `expected` None every reply is right: the floor's.
    """

    def __init__(self, asked: Sequence[Question], expected: Sequence[Said] | None) -> None:
        self.asked = asked
        self._expected = expected
        self._known: dict[tuple[int, bytes], tuple[str, str]] = {}

    def verdict(self, result: Result) -> str:
        """RIGHT, or right but marked STALE; FAILED (SERVFAIL, REFUSED); FALSE; LOST."""
        return self._judge(result)[0]

    def _judge(self, result: Result) -> tuple[str, str]:
        if result.took_s is None or result.took_s > LOST_S:
            return LOST, ""
        key = result.query, result.reply
        if key not in self._known:
            self._known[key] = self._read(result)
        return self._known[key]

    def _read(self, result: Result) -> tuple[str, str]:
        if self._expected is None:
            return RIGHT, "the floor"
        reply = dns.message.from_wire(b"\0\0" + result.reply)
        code = dns.rcode.to_text(reply.rcode())
        reasons = [one for one in reply.options if isinstance(one, dns.edns.EDEOption)]
        text = " ".join([code, f"{sum(map(len, reply.answer))} records", *map(str, reasons)])
        if reply.rcode() in (dns.rcode.SERVFAIL, dns.rcode.REFUSED):
            return FAILED, text
        if _said(reply) != self._expected[result.query] or reply.flags & dns.flags.TC:
            return FALSE, text
        stale = any(int(one.code) in (3, 19) for one in reasons)
        return (STALE if stale else RIGHT), text

    def told(
        self, result: Result, phases: Sequence[tuple[float, str]], results: Sequence[Result]
    ) -> str:
        """What was asked, when since what, what came of it and after how long.

        Also how late the load was meanwhile: much of it, and the whole machine stood still.
        """
        place = bisect.bisect([begin for begin, _ in phases], result.sent_at) - 1
        begin, label = phases[max(place, 0)]
        what, text = self._judge(result)
        took = "" if result.took_s is None else f" after {result.took_s * 1e3:.1f} ms"
        end = result.sent_at + (result.took_s or LOST_S)
        late = max(one.late_s for one in results if result.sent_at <= one.sent_at <= end + 0.01)
        asked = " ".join(self.asked[result.query])
        return (
            f"{asked}, {result.sent_at - begin:.3f} s into {label}: {what}{took}, {text};"
            f" the load up to {late * 1e3:.1f} ms late meanwhile"
        )


@dataclass(frozen=True)
class Figures:
    """One run of one server; times in ms.

    `lost` had no reply within LOST_S, `failed` SERVFAIL or REFUSED, `false` another rcode or other
    records than before the harm; `stale` were right and marked stale. `late_ms` is the load's own
    greatest lateness. `extra` are queries to agents beyond one per query passed on, where told.
    `more` holds what only one case has. `told` describes what was not as it should be, the
    worst first. `other_load` is what took part in nothing, in cores (1.0 = one), and `stolen_ms`
    the part of it that a virtual machine never got, all cores together; too much of it, and the
    round was `disturbed`.
    """

    queries: int
    lost: int
    failed: int
    false: int
    stale: int
    median_ms: float
    p999_ms: float
    slowest_ms: float
    slow: int
    late_ms: float
    extra: int | None
    more: Mapping[str, float | None]
    told: Sequence[str]
    other_load: float = 0.0
    stolen_ms: float = 0.0
    disturbed: bool = False


def figures(
    judge: Judge,
    results: Sequence[Result],
    phases: Sequence[tuple[float, str]],
    *,
    extra: int | None = None,
    more: Mapping[str, float | None] | None = None,
) -> Figures:
    """Count the results; `phases` is when what began, in order."""
    verdicts = [judge.verdict(one) for one in results]
    times = sorted(one.took_s * 1e3 for one in results if one.took_s is not None) or [0.0]
    worst_first = sorted(
        (verdict in (RIGHT, STALE), -(one.took_s or 0), number)
        for number, (one, verdict) in enumerate(zip(results, verdicts, strict=True))
        if verdict in (FAILED, FALSE, LOST) or (one.took_s or 0) > SLOW_S
    )
    return Figures(
        queries=len(results),
        lost=verdicts.count(LOST),
        failed=verdicts.count(FAILED),
        false=verdicts.count(FALSE),
        stale=verdicts.count(STALE),
        median_ms=median(times),
        p999_ms=times[len(times) * 999 // 1000],
        slowest_ms=times[-1],
        slow=sum(one > SLOW_S * 1e3 for one in times),
        late_ms=max((one.late_s * 1e3 for one in results), default=0.0),
        extra=extra,
        more=more or {},
        told=[judge.told(results[number], phases, results) for _, _, number in worst_first[:TOLD]],
    )


def counting(rounds: Sequence[Figures]) -> Sequence[Figures]:
    """The rounds that were not disturbed; all of them if there are no such."""
    return [one for one in rounds if not one.disturbed] or rounds


def worst(rounds: Sequence[Figures]) -> Figures:
    """The worst of every column; of `queries` all of them."""
    extras = [one.extra for one in rounds if one.extra is not None]
    names = rounds[0].more
    return Figures(
        queries=sum(one.queries for one in rounds),
        lost=max(one.lost for one in rounds),
        failed=max(one.failed for one in rounds),
        false=max(one.false for one in rounds),
        stale=max(one.stale for one in rounds),
        median_ms=max(one.median_ms for one in rounds),
        p999_ms=max(one.p999_ms for one in rounds),
        slowest_ms=max(one.slowest_ms for one in rounds),
        slow=max(one.slow for one in rounds),
        late_ms=max(one.late_ms for one in rounds),
        extra=max(extras) if extras else None,
        more={name: _longest([one.more[name] for one in rounds]) for name in names},
        told=[],
        other_load=max(one.other_load for one in rounds),
        stolen_ms=max(one.stolen_ms for one in rounds),
    )


def _longest(values: Sequence[float | None]) -> float | None:
    """None is never, which is longer than anything."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None
