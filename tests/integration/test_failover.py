"""An agent dies, or hangs, under load: no query is lost, none is answered wrongly, none waits.

All three agents in turn, so that the first in order and the leader are among them.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.message
import pytest

from consulfwd.dev.child import Guard
from consulfwd.dev.real import RealAgent, RealCluster
from tests.integration.asking import ask, facts, question
from tests.integration.load import Load, Result
from tests.integration.served import Served, at, consul, serve
from tests.integration.services import QUERY, TEXT_NODE

RATE = 500
DEADLINE_S = 2.0
CALM_S, GONE_S, BACK_S = 1.0, 5.0, 3.0
NOTEWORTHY_S = 0.050

QUESTIONS = [
    ("galeradb.service.consul", "A"),
    ("galeradb.service.consul", "SRV"),
    ("GaleraDB.service.consul", "A"),
    ("icinga-galera.galeradb.service.consul", "A"),
    ("web.service.consul", "A"),
    ("web.service.consul", "AAAA"),
    ("nothing.service.consul", "A"),
    ("failed.service.consul", "SRV"),
    ("big.service.consul", "A"),
    ("big7.node.consul", "A"),
    (f"{TEXT_NODE}.node.consul", "TXT"),
    (f"{QUERY}.query.consul", "A"),
    ("1.40.0.10.in-addr.arpa", "PTR"),
]


def kill(cluster: RealCluster, agent: RealAgent) -> None:
    agent.kill()
    time.sleep(GONE_S)
    agent.start()
    cluster.wait_ready()


def freeze(cluster: RealCluster, agent: RealAgent) -> None:
    agent.freeze()
    time.sleep(GONE_S)
    agent.thaw()
    cluster.wait_ready()


@contextmanager
def under_load(served: Served) -> Iterator[list[Result]]:
    """Yields a list that holds every query's result when the block is over."""
    results: list[Result] = []
    queries = [question(name, rtype).to_wire() for name, rtype in QUESTIONS]
    load = Load(served.at, RATE, queries)
    try:
        yield results
    finally:
        results += load.stop()


def judged(results: list[Result], expected: list[list[str]]) -> tuple[list[Result], list[Result]]:
    """Those with another answer than expected, and those with an old one, marked so."""
    verdicts: dict[tuple[int, bytes], tuple[bool, bool]] = {}

    def verdict(result: Result) -> tuple[bool, bool]:
        key = result.query, result.reply
        if key not in verdicts:
            reply = dns.message.from_wire(b"\0\0" + result.reply)
            stale = any(
                option.code == dns.edns.EDECode.STALE_ANSWER
                for option in reply.options
                if isinstance(option, dns.edns.EDEOption)
            )
            verdicts[key] = facts(reply) != expected[result.query], stale
        return verdicts[key]

    answered = [one for one in results if one.took_s is not None]
    return [one for one in answered if verdict(one)[0]], [o for o in answered if verdict(o)[1]]


def described(result: Result, marks: list[tuple[str, float]]) -> str:
    """What was asked, and when since what."""
    label, begin = max((mark for mark in marks if mark[1] <= result.sent_at), key=lambda m: m[1])
    return f"{' '.join(QUESTIONS[result.query])} {result.sent_at - begin:.3f} s into {label}"


@pytest.mark.parametrize("harm", [kill, freeze])
@pytest.mark.timeout(180)
def test_no_query_suffers(
    cluster: RealCluster,
    guard: Guard,
    tmp_path: Path,
    harm: Callable[[RealCluster, RealAgent], None],
    record_property: Callable[[str, object], None],
) -> None:
    first = cluster.servers[0]
    expected = [facts(ask(at(first), *one, tcp=True)) for one in QUESTIONS]
    settings = {
        "consul": consul(*cluster.servers, reverse=["10.0.0.0/8"]),
        "query": {"deadline": DEADLINE_S},
    }
    program = [Path(__file__).with_name("counted.py")]
    marks: list[tuple[str, float]] = []
    with (
        serve(settings, tmp_path, guard, python=program) as served,
        under_load(served) as results,
    ):
        marks.append(("start", time.monotonic()))
        for agent in cluster.servers:
            leads = ", leader" if agent is cluster.leader() else ""
            marks.append((f"{harm.__name__} {agent.name}{leads}", time.monotonic()))
            time.sleep(CALM_S)
            harm(cluster, agent)
            time.sleep(BACK_S)
        marks.append(("end", time.monotonic()))
    (said,) = re.findall(r"^counters (.*)$", served.said(), re.MULTILINE)
    counters = json.loads(said)
    lost = [one for one in results if one.took_s is None]
    wrong, stale = judged(results, expected)
    times = sorted(one.took_s for one in results if one.took_s is not None)
    record_property(
        "failover",
        f"Consul {cluster.version} {harm.__name__:6} {len(results):6} queries, {len(lost)} lost,"
        f" {len(wrong)} wrong, {len(stale)} stale; ms: median {times[len(times) // 2] * 1000:.1f},"
        f" 99.9 % {times[len(times) * 999 // 1000] * 1000:.1f}, slowest {times[-1] * 1000:.1f};"
        f" upstream queries: {counters['upstream'] - counters['forwarded']} more than without,"
        f" {counters['second_opinions']} second opinions",
    )
    for (label, begin), (_, end) in itertools.pairwise(marks[1:]):
        within = [one for one in results if begin <= one.sent_at < end and one.took_s]
        slow = sum((one.took_s or 0) > NOTEWORTHY_S for one in within)
        record_property(
            "failover",
            f"  {label}: {len(within)} answers in {end - begin:.1f} s,"
            f" slowest {max(one.took_s or 0 for one in within) * 1000:.1f} ms,"
            f" {slow} over {NOTEWORTHY_S * 1000:.0f} ms;"
            f" queries sent at most {max(one.late_s for one in within) * 1000:.1f} ms late",
        )
    assert len(results) > 0.95 * RATE * (marks[-1][1] - marks[0][1])
    assert [described(one, marks) for one in lost] == []
    assert [described(one, marks) for one in wrong] == []
    assert times[-1] < DEADLINE_S
