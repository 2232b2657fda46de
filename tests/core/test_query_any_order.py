"""Lookups must end, and hold what they promise, whatever comes in in whatever order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.core.attempts import MAX_ATTEMPTS
from consulfwd.core.health import Health
from consulfwd.core.order import Budget
from consulfwd.core.query import Lookup
from consulfwd.core.states import State
from tests.core.play import EPOCH, Play, upstream

KINDS = [*Play.REPLIES, "gone", "lost", "stray"]
AGENTS = st.integers(1, 20).map(lambda count: [f"A{number}" for number in range(count)])
RECURSORS = st.integers(1, 4).map(lambda count: [f"R{number}" for number in range(count)])
# Pauses in milliseconds; whether the timer is late too; which of the open attempts; what happens.
STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 30), st.floats(0, 700)),
        st.booleans(),
        st.integers(0, 99),
        st.sampled_from(KINDS),
    ),
    max_size=60,
)


@st.composite
def plays(draw: st.DrawFn, *, plain: bool = False) -> Play:
    """Lookups of every kind, in every state of health; `plain`: two seconds, agents, no cache."""
    names = draw(AGENTS if plain else AGENTS | RECURSORS)
    states = {name: draw(st.sampled_from(State)) for name in names}
    return Play(
        " ".join(names),
        budget=draw(st.sampled_from([0, 1, 100])),
        deadline=2.0 if plain else draw(st.sampled_from([0.1, 2.0, 30.0])),
        known=not plain and draw(st.booleans()),
        has_stale=not plain and draw(st.booleans()),
        **states,
    )


def pass_until(play: Play, at: float, *, late: bool) -> None:
    """Let the timer go off as often as it is due until then, or only once, late."""
    lookup = play.lookup
    fired = 0
    while lookup.outcome is None and play.due <= at:
        fired += 1
        assert fired < 100, "the timer goes off in circles"
        now = EPOCH + at / 1000 if late else lookup.wake_at
        sent = lookup.on_timer(now)
        assert len(sent) <= 1, "hedges come one by one"
        play.check()
        assert lookup.outcome is not None or lookup.wake_at > now


@settings(max_examples=200, deadline=None)
@given(plays(), STEPS)
def test_every_lookup_ends_in_time(play: Play, steps: list[tuple[float, bool, int, str]]) -> None:
    lookup = play.lookup
    play.do(0, "start")
    at = 0.0
    for pause, late, which, what in steps:
        at += pause
        pass_until(play, at, late=late)
        waiting = [one for one in lookup.attempts if not one.result]
        if waiting:
            one = waiting[which % len(waiting)]
            play.happen(one, "no" if one.stream and what == "cut" else what, at)
    pass_until(play, 1000 * (lookup.deadline - EPOCH), late=False)
    assert lookup.outcome is not None
    outcome = lookup.outcome
    if outcome.message is None:
        assert outcome.reason
    for one in lookup.attempts:
        if not one.result:
            play.happen(one, "yes", 1000 * (lookup.deadline - EPOCH) + 1)
    assert lookup.outcome is outcome, "late replies change nothing"


@settings(max_examples=150, deadline=None)
@given(plays(plain=True), st.integers(0, MAX_ATTEMPTS - 1), st.floats(0.1, 3))
def test_whoever_answers_always_answers_in_time(play: Play, which: int, rtt: float) -> None:
    """One agent of many is well: no lookup ends without its answer."""
    lookup = play.lookup
    well = play.plan[which % len(play.plan)]
    pending = list(lookup.start(EPOCH))
    while lookup.outcome is None:
        for attempt in [one for one in pending if one.upstream is well]:
            at = attempt.sent_at + rtt / 1000
            if at < lookup.wake_at:
                play.happen(attempt, "yes", 1000 * (at - EPOCH))
                break
        else:
            pending += lookup.on_timer(lookup.wake_at)
    assert lookup.outcome.upstream is well
    assert lookup.outcome.message is not None


@given(st.integers(0, 40), st.integers(0, 300))
def test_hedges_stay_within_the_budget(reserve: int, queries: int) -> None:
    """Everyone is three times slower than usual: few are asked twice."""
    budget = Budget(0.1, reserve)
    asked = 0
    for _ in range(queries):
        lookup = Lookup(
            [upstream("A"), upstream("B")], Health(), budget, now=EPOCH, deadline=EPOCH + 2
        )
        sent = lookup.start(EPOCH)
        while lookup.wake_at < EPOCH + 0.035:
            sent += lookup.on_timer(lookup.wake_at)
        asked += len(sent)
    # Three attempts (0, 10, 20 ms) where hedges are to be had, else one for long.
    assert queries <= asked <= queries + reserve + queries // 10
    assert asked > queries or reserve == 0 or queries == 0
