"""One picture of several workers: what is added up, and what is the worst of all."""

from __future__ import annotations

from dataclasses import replace

from consulfwd.ops.snapshot import ChangeSeen, ResolverSeen
from consulfwd.workers.merging import Past, added, merged
from consulfwd.workers.telling import AGAIN, MOST, Once
from tests.ops.metered import resolver


def worker(state: str = "up", **more: int) -> ResolverSeen:
    seen = resolver(agents=1, asked=10)
    agent = replace(seen.upstreams[0], state=state)
    return replace(seen, upstreams=(agent, *seen.upstreams[1:]), **more)  # type: ignore[arg-type]


def test_what_counts_is_added_up() -> None:
    one, two = worker(in_flight=3), worker(in_flight=4)
    seen = merged(worker(), [one, two], Past())
    assert seen.counters["queries"] == 2 * one.counters["queries"]
    assert seen.in_flight == 7
    assert seen.cache.entries == 2 * one.cache.entries
    assert seen.upstreams[0].sent == 20
    assert seen.round_trips[0].counts == tuple(2 * n for n in one.round_trips[0].counts)


def test_of_a_server_the_worst_is_shown() -> None:
    assert merged(worker(), [worker(), worker("suspect")], Past()).upstreams[0].state == "suspect"
    assert merged(worker(), [worker("down"), worker()], Past()).upstreams[0].state == "down"


def test_no_counter_goes_back_when_a_worker_ends() -> None:
    one, two, past = worker(), worker(), Past()
    before = merged(worker(), [one, two], past)
    past.add(two.counters, {"querylog_written": 4, "querylog_tails": 1}, two)
    after = merged(worker(), [one, replace(two, counters={})], past)
    assert after.counters == before.counters
    alone = merged(worker(), [one], past)
    assert alone.upstreams[0].sent == before.upstreams[0].sent
    assert alone.round_trips == before.round_trips
    # Who looks on does so no more at one that is gone.
    assert past.admin == {"querylog_written": 4}


def test_without_any_worker_the_picture_is_the_heads() -> None:
    head = worker("down")
    assert merged(head, [], Past()).upstreams[0].state == "down"
    assert merged(head, [], Past()).counters == head.counters


def test_a_change_that_several_saw_is_one() -> None:
    def changes(*at: float) -> ResolverSeen:
        found = tuple(ChangeSeen(one, "a", "agent", "up", "down", "why") for one in at)
        return replace(worker(), changes=found)

    seen = merged(worker(), [changes(1.0, 50.0), changes(1.2, 50.1)], Past())
    assert [one.at for one in seen.changes] == [1.0, 50.0]


def test_what_each_has_for_the_same_reader_is_not_added() -> None:
    assert added([{"querylog_tails": 1, "a": 1}, {"querylog_tails": 1, "a": 2}]) == {
        "querylog_tails": 1, "a": 3,
    }  # fmt: skip


def test_what_several_say_is_told_once_and_what_one_repeats_each_time() -> None:
    once = Once()
    line = ("consulfwd", 30, "agent a is down, was up for 12 ms: why")
    assert once.is_news(0, *line, 1.0)
    assert not once.is_news(1, *line[:2], line[2].replace("12", "3.5"), 1.1)
    assert once.is_news(1, *line, 2.0)
    assert not once.is_news(0, *line, 2.0)
    assert once.is_news(2, *line, 2.0 + AGAIN)
    for number in range(MOST + 50):
        once.is_news(0, "a", 1, "x" * number, 3.0)
    assert len(once._said) == MOST
