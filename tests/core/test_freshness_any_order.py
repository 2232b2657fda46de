"""Whatever happens, in whatever order: what must always hold (see `watched.Play.check`)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from consulfwd.core.proofs import LIFE
from consulfwd.core.watches import REUSE
from tests.core.watched import EPOCH, Play, subject_for

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])
AGENTS = st.sampled_from(["A", "B", "C", "D"])
SIZES = st.integers(0, 3)
ANSWERS = st.builds(
    "{} {}{}{}{}".format,
    st.sampled_from(["yes", "no", "nodata"]),
    st.sampled_from(["", "", "v1."]),
    NAMES,
    st.sampled_from(["", "/SRV"]),
    st.sampled_from(["", " by A", " by B"]),
)
REPORTS = st.builds("{} {} {}".format, st.sampled_from(["armed", "changed"]), NAMES, SIZES)
# From an agent that carries it no more, or never did.
STRAY = st.builds("{} {} at {} 1".format, st.sampled_from(["armed", "changed"]), NAMES, AGENTS)
BREAKS = st.builds("{} {}".format, st.sampled_from(["doubted", "failed"]), NAMES)
OF_AGENTS = st.builds(
    "{} {}".format, st.sampled_from(["lost", "proved", "proved", "crowded"]), AGENTS
)
EVENTS = st.one_of(
    ANSWERS,
    ANSWERS,
    REPORTS,
    STRAY,
    BREAKS,
    OF_AGENTS,
    st.sampled_from(["idle", "clear", "there A B C D", "there A B*", "there B* C*", "there D"]),
)
# Seconds between events; and whether the process slept through all that was due meanwhile.
PAUSES = st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, LIFE - 0.1, LIFE, 5.0, REUSE, 15.0, 300.0])
STEPS = st.lists(st.tuples(PAUSES, st.booleans(), EVENTS), max_size=80)


@settings(max_examples=300, deadline=None)
@given(
    STEPS,
    st.sampled_from(["", "A", "A B", "A B C D"]),
    st.sampled_from([0, 1, 2, 5, 128]),
    st.sampled_from([0.0, 0.5]),
)
def test_any_order(
    steps: list[tuple[float, bool, str]], agents: str, most: int, settle: float
) -> None:
    play = Play(agents, most=most, settle=settle)
    at = 0.0
    for pause, asleep, event in steps:
        until = at + pause
        if not asleep:
            wake(play, until)
        at = until
        # The engine looks for what is overdue before it reuses anything.
        play.do(at, "overdue")
        no_proof_no_reuse(play, at)
        play.do(at, event)
        no_proof_no_reuse(play, at)
    play.do(at, "clear")
    assert play.placed == {}
    assert all(one <= EPOCH + at for one in play.reused.values())


def wake(play: Play, until: float) -> None:
    """Let the timer go off that looks after old proofs, whenever it is due."""
    while play.freshness.ends_at() <= EPOCH + until:
        due = play.freshness.ends_at() - EPOCH
        play.do(due + 1e-6, "overdue")


def no_proof_no_reuse(play: Play, at: float) -> None:
    """Whoever is reused now has an agent that proved less than LIFE ago that it hears."""
    now = EPOCH + at
    for question, until in play.reused.items():
        if until > now:
            watch = play.freshness.watches[subject_for(question)]
            assert now - play.freshness.proofs[watch.carrier] < LIFE


@settings(max_examples=100, deadline=None)
@given(st.lists(NAMES, max_size=60), st.integers(1, 5))
def test_agents_that_refuse_everything_are_asked_in_bounds(names: list[str], most: int) -> None:
    """Each agent is asked once about a subject, then all of it rests for a while."""
    play = Play("A B C", most=most)
    asked: list[tuple[str, str]] = []
    for name in names:
        play.do(0, f"no {name}")
        while play.placed:
            subject, carrier = next(iter(play.placed.items()))
            asked.append((subject.name, carrier))
            play.do(0, f"failed {subject.name}")
    assert len(asked) == len(set(asked))
