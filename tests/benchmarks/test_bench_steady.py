"""`steady`: how slices are cut, what is left out, and the tables."""

from __future__ import annotations

import pytest

from benchmarks.calls import Calls
from benchmarks.peers import KEEPS
from benchmarks.samples import Result
from benchmarks.steady import (
    BREATH_S,
    PERIOD_S,
    REST_S,
    Paced,
    Rest,
    lead_passes,
    rounds_of,
    slice_s,
)
from benchmarks.steady_tables import least, serves_fresh, steady
from consulfwd.core.freshness import PROVE_FOR
from tests.benchmarks.figures import sample, server


def test_slices_are_longer_where_there_are_few_answers() -> None:
    assert [slice_s(rate, None, watched=False) for rate in (100, 499, 500, 5000)] == [3, 3, 1, 1]
    assert slice_s(100, 7, watched=False) == 7


def test_who_watches_is_seen_for_a_whole_period() -> None:
    assert slice_s(5000, None, watched=True) == PERIOD_S
    assert slice_s(5000, 2, watched=True) == PERIOD_S
    assert slice_s(5000, 2 * PERIOD_S, watched=True) == 2 * PERIOD_S


def test_rounds_are_fewer_where_slices_are_long() -> None:
    assert rounds_of(100, None, misses=False) == rounds_of(5000, None, misses=True) == 3
    assert rounds_of(1000, None, misses=False) == 4
    assert rounds_of(1000, 9, misses=True) == 9


def test_the_lead_in_has_each_name_once_and_lasts_half_a_second() -> None:
    assert lead_passes(100, 100) == 1
    assert lead_passes(500, 100) == 3
    assert lead_passes(5000, 100) == 25
    assert lead_passes(10, 1000) == 1


def test_what_agents_use_at_rest_is_the_median_of_all_looks() -> None:
    now, used = 0.0, 0.0
    shares = iter([0.1] * (REST_S - 1) + [5.0] + [0.3] * (BREATH_S * 2))

    def pause(seconds: float) -> None:
        nonlocal now, used
        now += seconds
        used += next(shares) * seconds

    rest = Rest(lambda: int(used * 1e9), pause, lambda: now)
    assert rest.share() == pytest.approx(0.1)
    assert now == REST_S
    assert rest.share() == pytest.approx(0.1)
    assert now == REST_S + BREATH_S
    assert rest.share() == pytest.approx(0.3)
    assert rest.median == pytest.approx(0.3)


def test_agents_are_at_rest_when_proofs_have_ended() -> None:
    now, pauses = 0.0, []

    def pause(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    rest = Rest(lambda: 0, pause, lambda: now)
    rest.disturbed()
    now += 6.0
    rest.share()
    assert pauses == [PROVE_FOR + 1.0 - 6.0, *[1.0] * REST_S]
    pauses.clear()
    rest.share()
    assert pauses == [1.0] * BREATH_S


def servers() -> list[Result]:
    found = [
        server("floor", sample(cpu_us=5.0, upstream_cpu_us=1.0)),
        server("consulfwd", sample(cpu_us=20.0, upstream_cpu_us=4.0, hot_share=0.5, wakes=0.75)),
        server("dnsdist", sample(cpu_us=10.0, upstream_cpu_us=50.0)),
        server("knot", sample(cpu_us=7.0, upstream_cpu_us=0.0), note=KEEPS),
    ]
    found[1].calls = Calls("perf", 100, 500.0, 3.0, {"recvmmsg": 1.0, "epoll_wait": 2.0})
    found[2].calls = Calls("strace", 100, 300.0, 4.0, {})
    return found


def test_who_is_least_serves_fresh_answers() -> None:
    found = servers()
    assert [serves_fresh(one) for one in found] == [False, True, True, False]
    first, whole = least(found, "cpu_us", 1000), least(found, "whole_us", 1000)
    assert first is not None
    assert first.name == "dnsdist"
    assert whole is not None
    assert whole.name == "consulfwd"
    assert least([found[0], found[3]], "cpu_us", 1000) is None


def test_who_is_least_had_the_load_of_the_rate() -> None:
    found = servers()
    found[2].samples = [sample(cpu_us=10.0, rate=800.0)]
    first = least(found, "cpu_us", 1000)
    assert first is not None
    assert first.name == "consulfwd"
    # Where nobody had it, all are alike.
    found[1].samples = [sample(cpu_us=20.0, rate=900.0)]
    first = least(found, "cpu_us", 1000)
    assert first is not None
    assert first.name == "dnsdist"


def cells(text: str, name: str) -> dict[str, str]:
    """One line of a table by its columns, which are two spaces apart at least."""
    lines = text.splitlines()
    head = next(line for line in lines if line.startswith("server"))
    row = next(line for line in lines if line.startswith(name))
    columns = [part.strip() for part in head.split("  ") if part.strip()]
    values = [part.strip() for part in row.split("  ") if part.strip()]
    return dict(zip(columns, values, strict=True))


def test_the_table_of_ttl_0_tells_who_is_fresh_and_what_the_agents_paid() -> None:
    text = steady(Paced(500, servers(), 0.024), misses=True)
    ours = cells(text, "consulfwd")
    assert (ours["fresh"], ours["CPU us/answer"], ours["x floor"]) == ("yes", "20.0", "4.00")
    assert (ours["agents' us"], ours["with agents'"]) == ("4.0", "24.0")
    assert (ours["hot"], ours["wakes/answer"], ours["calls/answer"]) == ("50.0%", "0.75", "3.00")
    assert cells(text, "dnsdist")["its/ours, with agents'"] == "2.50"
    assert [cells(text, name)["fresh"] for name in ("floor", "knot")] == ["-", "NO"]
    assert "least of those that serve fresh answers: dnsdist 10.0 us (next: consulfwd, 2.00" in text
    assert "consulfwd 24.0 us with the agents' (next: dnsdist, 2.50 times that)" in text
    assert "what the agents used when nobody asked, 2.4% of a core" in text
    assert "consulfwd, by perf: epoll_wait 2.00, recvmmsg 1.00" in text


def test_figures_of_less_load_than_was_asked_for_are_marked() -> None:
    found = servers()
    text = steady(Paced(500, found, None), misses=True)
    assert cells(text, "dnsdist")["calls/answer"] == "4.00*"
    assert cells(text, "consulfwd")["calls/answer"] == "3.00"
    found[2].calls = None
    assert "*" not in steady(Paced(500, found, None), misses=True)
    found[2].samples = [sample(rate=480.0)]
    text = steady(Paced(500, found, None), misses=True)
    assert cells(text, "dnsdist")["answers/s"] == "480*"
    assert "* fewer answers than the rate" in text


def test_json_tells_who_keeps_answers_of_ttl_0() -> None:
    told = Paced(500, servers(), 0.024).as_json()
    assert (told["rate"], told["rest_share"]) == (500, 0.024)
    assert isinstance(told["servers"], list)
    assert [one["name"] for one in told["servers"] if one["keeps_ttl_0"]] == ["knot"]


def test_the_table_of_cached_answers_has_no_agents() -> None:
    text = steady(Paced(500, servers(), None), misses=False)
    assert "fresh" not in cells(text, "consulfwd")
    assert "agents" not in text
    # All are fresh then, as long as the TTL says.
    assert "least but for the floor: knot 7.0 us (next: dnsdist" in text


def test_it_is_said_when_no_calls_were_counted() -> None:
    found = servers()
    assert "NO SYSTEM CALLS" not in steady(Paced(500, found, None), misses=True)
    for one in found:
        one.calls = None
    assert "NO SYSTEM CALLS COUNTED" in steady(Paced(500, found, None), misses=True)
