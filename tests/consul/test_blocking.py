"""Blocking queries as transcripts: what was asked, what came, what follows."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul import content
from consulfwd.consul.blocking import (
    BURST,
    HOLD,
    LONGEST_PAUSE,
    MARGIN,
    PAUSE,
    RATE,
    RULES,
    WAIT,
    BlockingQuery,
    BlockingRules,
    Decision,
    ReplyEvent,
    Verdict,
)
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from tests.consul.replies import AGENT, reply, servers

ONE, TWO, NONE = servers("10.0.0.1"), servers("10.0.0.1", "10.0.0.2"), servers()


class Least(random.Random):
    """The shortest pause there may be."""

    def random(self) -> float:
        return 0.0


class Watch:
    """BlockingRules with a clock; each question takes no time unless `after` says so."""

    def __init__(self) -> None:
        self.rules = BlockingRules(content.service, Least())
        self.now = 1000.0

    def ask(self) -> str:
        """The next question as `+seconds until then, index, mode`."""
        ask = self.rules.next(self.now)
        late = ask.at - self.now
        self.now = ask.at
        return f"+{late:g} {ask.index}{' consistent' if ask.consistent else ''}"

    def hear(self, parsed: object, *, after: float = 0.0, **how: object) -> Decision:
        self.now += after
        return self.rules.reply(reply(parsed, **how), self.now)  # type: ignore[arg-type]

    def fail(self, status: int, after: float = 0.0) -> Decision:
        self.now += after
        return self.rules.failed(ConsulError(AGENT, status, "reason"), self.now)

    def turn(self, parsed: object, *, after: float = 60.0, **how: object) -> tuple[str, str]:
        """A question and its reply: (what was asked, verdict)."""
        asked = self.ask()
        return asked, self.hear(parsed, after=after, **how).verdict.value


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_every_event_has_its_rule() -> None:
    assert set(RULES) == set(ReplyEvent)
    assert {rule.verdict for rule in RULES.values()} == set(Verdict)


def test_the_index_is_followed_and_content_compared(watch: Watch) -> None:
    assert watch.turn(ONE, index=7) == ("+0 0", "changed")
    # A return does not mean a change.
    assert watch.turn(ONE, index=7) == ("+0 7", "unchanged")
    assert watch.turn(ONE, index=9) == ("+0 7", "unchanged")
    assert watch.turn(TWO, index=12) == ("+0 9", "changed")
    assert watch.turn(TWO, index=12) == ("+0 12", "unchanged")


def test_what_a_question_looks_like(watch: Watch) -> None:
    first = watch.rules.next(watch.now)
    assert first == BlockingQuery(watch.now, 0, 0, False, MARGIN)
    assert first.params() == {"stale": ""}
    watch.hear(ONE, index=7)
    second = watch.rules.next(watch.now)
    assert second.params() == {"stale": "", "index": "7", "wait": "60000ms"}
    assert second.timeout >= WAIT * 17 / 16 + 1


def test_a_lower_index_starts_anew(watch: Watch) -> None:
    watch.turn(ONE, index=50)
    assert watch.turn(ONE, index=49) == ("+0 50", "unchanged")
    assert watch.turn(TWO, index=49) == ("+0 0", "changed")
    assert watch.turn(TWO, index=49) == ("+0 49", "unchanged")
    # With other content it is a change all the same.
    assert watch.turn(ONE, index=1) == ("+0 49", "changed")
    assert watch.turn(ONE, index=1)[0] == "+0 0"


def test_an_index_of_0_is_not_asked_with(watch: Watch) -> None:
    watch.turn(ONE, index=0)
    assert watch.turn(ONE, index=0) == ("+0 1", "unchanged")
    assert watch.ask() == "+0 1"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"index": None}, "the reply has no X-Consul-Index"),
        ({"body": b"<html>"}, "the reply is not JSON"),
        ({"body": b'{"a": 1}'}, "the instances: not of the form Consul's have"),
    ],
)
def test_what_is_not_consul_s_is_a_failure(
    watch: Watch, how: dict[str, Any], why: str
) -> None:
    watch.turn(ONE, index=7)
    watch.ask()
    assert watch.hear(ONE, **how) == Decision(Verdict.FAILED, True, why)
    # What was known stays known.
    assert watch.turn(ONE, index=8) == (f"+{PAUSE / 2:g} 0", "unchanged")


def test_a_flapping_service_does_not_make_us_spin(watch: Watch) -> None:
    begin = watch.now
    asked = [watch.turn(TWO if n % 2 else ONE, index=n + 1, after=0)[0] for n in range(50)]
    assert [one.split()[0] for one in asked[:BURST]] == ["+0"] * BURST
    assert watch.now - begin == pytest.approx((50 - BURST) / RATE)
    # A quiet while, and the burst is there again, no more than that.
    watch.now += 60
    begin = watch.now
    for n in range(10):
        watch.turn(ONE, index=100 + n, after=0)
    assert watch.now - begin == pytest.approx((10 - BURST) / RATE)


@given(st.lists(st.floats(0, 2), max_size=60))
def test_never_more_than_the_rate_and_the_burst(gaps: list[float]) -> None:
    rules = BlockingRules(content.service, Least())
    now, asked = 1000.0, []
    for gap in gaps:
        ask = rules.next(now)
        assert ask.at >= now
        asked.append(ask.at)
        now = ask.at + gap
        rules.reply(reply(ONE, index=7), now)
    for begin in range(len(asked)):
        for end in range(begin, len(asked)):
            lasted = asked[end] - asked[begin]
            assert end - begin + 1 <= BURST + lasted * RATE + 1e-6


def test_errors_are_followed_by_longer_and_longer_pauses(watch: Watch) -> None:
    watch.turn(ONE, index=7)
    pauses = []
    for _ in range(10):
        pauses.append(watch.ask())
        assert watch.fail(0).verdict is Verdict.FAILED
    shortest = [PAUSE * 2**n / 2 for n in range(7)]
    assert pauses == ["+0 7", *(f"+{one:g} 0" for one in shortest), "+15 0", "+15 0"]
    # One good reply, and the pauses are short again.
    assert watch.turn(ONE, index=7) == ("+15 0", "unchanged")
    watch.ask()
    watch.fail(500)
    assert watch.ask() == f"+{PAUSE / 2:g} 0"


# What comes of chance is chosen for the pauses that grow; after them are many, of any chance.
@given(
    st.one_of(
        st.tuples(st.integers(1, 40), st.randoms()),
        st.tuples(st.integers(1, 2000), st.randoms(use_true_random=True)),
    )
)
def test_pauses_have_bounds_and_jitter(given: tuple[int, random.Random]) -> None:
    failures, rng = given
    rules, now = BlockingRules(content.service, rng), 1000.0
    for _ in range(failures):
        now = rules.next(now).at
        rules.failed(ConsulError(AGENT, 0, "x"), now)
    longest = min(PAUSE * 2 ** min(failures - 1, 30), LONGEST_PAUSE)
    assert longest / 2 <= rules.next(now).at - now <= longest


@pytest.mark.parametrize(
    ("status", "elsewhere"),
    [(0, True), (429, True), (503, True), (500, True), (502, True), (504, True),
     (403, False), (400, False), (404, False), (301, False)],
)  # fmt: skip
def test_which_errors_another_agent_may_not_give(
    watch: Watch, status: int, elsewhere: bool
) -> None:
    watch.ask()
    assert watch.fail(status) == Decision(Verdict.FAILED, elsewhere, "reason", status)


def test_after_an_error_the_index_is_of_no_use(watch: Watch) -> None:
    """A cluster restored meanwhile counts anew: who waits for the old count is not woken."""
    watch.turn(ONE, index=5000)
    watch.ask()
    watch.fail(0)
    assert watch.turn(TWO, index=20) == (f"+{PAUSE / 2:g} 0", "changed")
    assert watch.ask() == "+0 20"


def test_an_empty_reply_is_confirmed_by_the_leader_after_a_while(watch: Watch) -> None:
    watch.turn(TWO, index=7)
    assert watch.turn(NONE, index=9) == ("+0 7", "doubted")
    assert watch.rules.content == content.service(TWO)
    assert watch.turn(NONE, index=9, after=0) == (f"+{HOLD:g} 0 consistent", "changed")
    assert watch.rules.content == content.service(NONE)
    assert watch.turn(NONE, index=9) == ("+0 9", "unchanged")


def test_the_hold_is_not_over_a_moment_before(watch: Watch) -> None:
    watch.turn(TWO, index=7)
    watch.turn(NONE, index=9)
    ask = watch.rules.next(watch.now)
    assert ask.consistent
    early = watch.rules.reply(reply(NONE, index=9), watch.now + HOLD - 0.001)
    assert early.verdict is Verdict.DOUBTED
    watch.now += HOLD
    assert watch.turn(NONE, index=9, after=0)[1] == "changed"


def test_an_empty_reply_of_an_agent_just_started_changes_nothing(watch: Watch) -> None:
    watch.turn(TWO, index=20)
    assert watch.turn(NONE, index=1, after=1) == ("+0 20", "doubted")
    assert watch.turn(TWO, index=20) == (f"+{HOLD:g} 0 consistent", "unchanged")
    assert watch.turn(TWO, index=20) == ("+0 20", "unchanged")
    # The next one that is empty is doubted anew, with the whole hold.
    assert watch.turn(NONE, index=1, after=1)[1] == "doubted"
    assert watch.ask() == f"+{HOLD:g} 0 consistent"


def test_doubt_outlasts_errors_and_agents(watch: Watch) -> None:
    watch.turn(TWO, index=20)
    watch.turn(NONE, index=1)
    assert watch.ask() == f"+{HOLD:g} 0 consistent"
    watch.fail(500)
    watch.rules.moved()
    assert watch.turn(NONE, index=21) == (f"+{PAUSE / 2:g} 0 consistent", "changed")


def test_nothing_at_first_is_believed(watch: Watch) -> None:
    assert watch.turn(NONE, index=1) == ("+0 0", "changed")
    assert watch.turn(NONE, index=1) == ("+0 1", "unchanged")
    assert watch.turn(ONE, index=4) == ("+0 1", "changed")


def test_results_filtered_by_acls_are_not_the_content(watch: Watch) -> None:
    watch.turn(TWO, index=7)
    assert watch.turn(ONE, index=8, filtered=True) == ("+0 7", "partial")
    assert watch.turn(NONE, index=9, filtered=True) == ("+0 8", "partial")
    assert watch.rules.content == content.service(TWO)
    assert watch.turn(TWO, index=10) == ("+0 9", "unchanged")


def test_streaming_replies_are_as_good_as_others(watch: Watch) -> None:
    watch.turn(ONE, index=7)
    how = {"streaming": True, "leader": False, "contact_ms": 0}
    assert watch.turn(ONE, index=7, **how) == ("+0 7", "unchanged")
    assert watch.turn(TWO, index=8, **how) == ("+0 7", "changed")


def test_another_agent_is_asked_without_an_index(watch: Watch) -> None:
    watch.turn(ONE, index=7)
    watch.ask()
    watch.rules.moved()
    assert watch.turn(ONE, index=3) == ("+0 0", "unchanged")
    assert watch.ask() == "+0 3"


def test_out_of_turn(watch: Watch) -> None:
    def ends() -> None:
        with pytest.raises(RuntimeError, match="nothing was asked"):
            watch.rules.reply(reply(ONE), watch.now)
        with pytest.raises(RuntimeError, match="nothing was asked"):
            watch.rules.failed(ConsulError(AGENT, 0, "x"), watch.now)

    ends()
    assert watch.ask() == "+0 0"
    with pytest.raises(RuntimeError, match="has not ended"):
        watch.rules.next(watch.now)
    watch.hear(ONE, index=7)
    ends()
    assert watch.ask() == "+0 7"
    watch.rules.moved()
    ends()


EVENTS = st.one_of(
    st.builds(
        reply,
        st.sampled_from([ONE, TWO, NONE, "nonsense"]),
        index=st.sampled_from([None, 0, 1, 7, 8]),
        filtered=st.booleans(),
    ),
    st.sampled_from([0, 403, 429, 500, 503]).map(lambda status: ConsulError(AGENT, status, "x")),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0, 3)), max_size=40), st.randoms())
def test_whatever_comes_the_invariants_hold(
    events: list[tuple[Reply | ConsulError, float]], rng: random.Random
) -> None:
    rules, now = BlockingRules(content.service, rng), 1000.0
    known: content.Content | None = None
    for event, after in events:
        ask = rules.next(now)
        assert ask.at >= now
        assert ask.index >= 0
        assert (ask.wait > 0) == (ask.index > 0)
        now = ask.at + after
        take: Any = rules.reply if isinstance(event, Reply) else rules.failed
        decision: Decision = take(event, now)
        # What is known changes when it is said to, and never to nothing in one step.
        assert (rules.content != known) == (decision.verdict is Verdict.CHANGED)
        if known is not None and known.size and rules.content != known:
            assert rules.content is not None
            assert rules.content.size or ask.consistent
        known = rules.content


def test_the_same_bytes_once_more_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    watch.turn(ONE, index=7)
    monkeypatch.setattr(Reply, "json", None)
    assert watch.turn(ONE, index=8)[1] == "unchanged"
    monkeypatch.undo()
    assert watch.turn(TWO, index=9)[1] == "changed"
    assert watch.turn(ONE, index=10)[1] == "changed"
