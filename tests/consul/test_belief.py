"""What is believed of a fact: transcripts of questions and replies."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.consul.belief import (
    ANEW,
    ANEW_EVERY,
    APART,
    BURST,
    LOOKS,
    SECOND_LOOK,
    SHRUNK_AFTER,
    WAIT,
    Belief,
    Doubt,
)
from consulfwd.consul.blocking import HOLD, BlockingQuery, Verdict
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from tests.consul.replies import reply

FACT, WEB = Fact(FactKind.SERVICES), Fact(FactKind.SERVICE, "web")
# How a question may be put: by the server behind the agent, the leader, the leader made sure.
PLAIN = {"stale": ""}
SURE = {"consistent": ""}
LEADER: dict[str, str] = {}
CHANGED, UNCHANGED = Verdict.CHANGED, Verdict.UNCHANGED
DOUBTED, FAILED = Verdict.DOUBTED, Verdict.FAILED
GONE = ConsulError("x", 0, "gone")


class Talk:
    """Asks and takes replies; `t` is the time."""

    def __init__(self, fact: Fact = FACT) -> None:
        self.belief = Belief(fact, random.Random(1))
        self.t = 0.0

    def ask(self, agent: int = 0) -> BlockingQuery:
        self.belief.at(agent)
        ask = self.belief.next(self.t)
        self.late = ask.at - self.t
        self.t = ask.at
        self.params = ask.params()
        return ask

    def said(self, answer: Reply | ConsulError, agent: int = 0) -> Verdict:
        """Ask, and take this for the reply, which comes some time later where it waited."""
        ask = self.ask(agent)
        self.t += min(ask.wait, 5.0)
        take: Any = self.belief.reply if isinstance(answer, Reply) else self.belief.failed
        self.decision = take(answer, self.t)
        verdict: Verdict = self.decision.verdict
        return verdict

    @property
    def waited(self) -> str:
        """For newer than which index it was asked to wait, "" for no index."""
        return self.params.get("index", "")

    @property
    def names(self) -> list[str]:
        assert self.belief.known
        return [getattr(one, "node", one.name) for one in self.belief.value]


def services(*names: str, index: int = 7, filtered: bool = False) -> Reply:
    return reply({name: [] for name in names}, index=index, filtered=filtered)


def web(*nodes: str, index: int = 7, **more: Any) -> Reply:
    instances = [
        {
            "Node": {"Node": node, "Address": "10.0.0.1", "Datacenter": "dc1"},
            "Service": {"ID": "web", "Service": "web"},
        }
        for node in nodes
    ]
    return reply(instances, index=index, **more)


def streamed(*nodes: str, index: int = 8) -> Reply:
    return web(*nodes, index=index, streaming=True)


def test_the_leader_is_asked_first_then_the_agent_tells_of_changes() -> None:
    talk = Talk()
    assert talk.said(services("a")) is CHANGED
    assert (talk.params, talk.names) == (LEADER, ["a"])
    assert talk.said(services("a")) is UNCHANGED
    assert (talk.waited, "stale" in talk.params) == ("7", True)
    assert WAIT * 1000 <= float(talk.params["wait"][:-2]) <= 2 * WAIT * 1000
    assert talk.said(services("a", "b", index=8)) is CHANGED
    assert talk.names == ["a", "b"]


def test_after_an_error_and_at_another_agent_the_index_tells_what_is_old() -> None:
    """Nobody asks the leader for everything because it has become one."""
    talk = Talk()
    talk.said(services("a"))
    assert talk.said(GONE) is FAILED
    assert talk.names == ["a"]
    assert talk.said(services("a")) is UNCHANGED
    assert talk.params == PLAIN
    assert talk.said(services("a"), agent=1) is UNCHANGED
    assert talk.params == PLAIN
    assert talk.said(services("a", "b", index=8), agent=0) is CHANGED
    assert talk.params == PLAIN
    talk.ask()
    assert talk.waited == "8"


def test_what_is_older_than_known_is_the_leaders_to_confirm() -> None:
    talk = Talk()
    talk.said(services("a", "b"))
    talk.said(GONE)
    before = talk.t
    assert talk.said(services("a", index=6)) is DOUBTED
    assert (talk.names, talk.belief.doubt) == (["a", "b"], Doubt.OLDER)
    # Not all hosts at once.
    assert talk.said(services("a", "b", index=7)) is UNCHANGED
    assert talk.params == LEADER
    assert 0 < talk.t - before <= 1 + APART
    # The same said again is not doubted.
    assert talk.said(services("a", "b", index=6)) is UNCHANGED
    assert talk.belief.doubt is Doubt.NONE
    # The cluster may have been restored: the leader knows, and counts anew from then on.
    assert talk.said(services("a", "b", "c", index=5)) is DOUBTED
    assert talk.said(services("a", "b", "c", index=5)) is CHANGED
    assert (talk.params, talk.names) == (LEADER, ["a", "b", "c"])
    assert talk.said(services("b", index=6)) is CHANGED


def test_nothing_at_first_must_be_the_leaders_consistent_word() -> None:
    talk = Talk()
    assert talk.said(services()) is DOUBTED
    assert (talk.belief.known, talk.belief.doubt) == (False, Doubt.NOTHING)
    assert talk.said(services()) is CHANGED
    assert (talk.params, talk.names, talk.belief.doubt) == (SURE, [], Doubt.NONE)
    assert talk.said(services()) is UNCHANGED
    assert talk.waited == "7"


def test_nothing_at_first_that_is_not_confirmed() -> None:
    talk = Talk()
    talk.said(services())
    talk.said(GONE)
    assert not talk.belief.known
    assert talk.said(services("a")) is CHANGED
    assert (talk.params, talk.names) == (SURE, ["a"])


def test_nothing_at_first_is_confirmed_some_seconds_later() -> None:
    talk = Talk()
    talk.said(services())
    talk.said(services())
    since = talk.t
    assert talk.belief.unconfirmed
    talk.belief.confirm()
    assert talk.said(services()) is UNCHANGED
    assert (talk.params, talk.t, talk.belief.unconfirmed) == (SURE, since + SECOND_LOOK, False)
    # What once was something, and is seen to go, has been confirmed as such.
    talk.said(services("a", index=8))
    talk.said(services(index=9))
    talk.said(services(index=9))
    assert (talk.names, talk.belief.unconfirmed) == ([], False)


def test_the_moment_before_is_too_soon_to_confirm_anything() -> None:
    talk = Talk()
    talk.said(services())
    talk.said(services())
    since = talk.t
    talk.belief.confirm()
    talk.ask()
    talk.belief.reply(services(), since + SECOND_LOOK - 0.001)
    assert talk.belief.unconfirmed


def test_what_was_there_is_gone_once_that_lasted() -> None:
    talk = Talk()
    talk.said(services("a"))
    assert talk.said(services(index=8)) is DOUBTED
    begin = talk.t
    assert talk.names == ["a"]
    assert talk.said(services(index=8)) is CHANGED
    assert (talk.params, talk.names) == (SURE, [])
    assert talk.t - begin == pytest.approx(HOLD)


def test_emptied_by_an_agent_that_restarts_and_back() -> None:
    talk = Talk()
    talk.said(services("a"))
    talk.said(GONE)
    assert talk.said(services(index=2)) is DOUBTED
    assert talk.names == ["a"]
    assert talk.said(services("a")) is UNCHANGED
    assert (talk.params, talk.names) == (LEADER, ["a"])


def test_a_token_that_may_see_a_part() -> None:
    talk = Talk()
    assert talk.said(services("a", filtered=True)) is CHANGED
    assert (talk.names, talk.belief.partial) == (["a"], True)
    assert talk.said(services("a", "b", filtered=True, index=8)) is CHANGED
    # That a part is hidden says nothing of one that was seen.
    assert talk.said(services("b", filtered=True, index=9)) is DOUBTED
    assert (talk.names, talk.belief.in_question) == (["a", "b"], frozenset[object]({"a"}))
    talk.belief.may_read(frozenset({"a"}))
    assert talk.said(services("b", filtered=True, index=9)) is CHANGED
    assert (talk.names, talk.belief.partial) == (["b"], True)
    assert talk.said(services(filtered=True, index=10)) is FAILED
    assert (talk.decision.status, talk.decision.why) == (403, "the token may not read any of it")
    assert talk.names == ["b"]
    assert talk.said(services("a", "b", "c", index=10)) is CHANGED
    assert not talk.belief.partial


def test_nothing_unfiltered_after_a_part_is_doubted_as_ever() -> None:
    talk = Talk()
    talk.said(services("a", filtered=True))
    assert talk.said(services(index=8)) is DOUBTED
    assert talk.names == ["a"]
    assert talk.said(services("a", index=9, filtered=True)) is UNCHANGED
    assert talk.params == SURE
    begin = talk.t
    talk.said(services(index=10))
    assert talk.said(services(index=10)) is CHANGED
    assert (talk.params, talk.names) == (SURE, [])
    assert talk.t - begin >= HOLD


def test_a_token_that_loses_its_rights_makes_no_list_shorter() -> None:
    talk = Talk()
    talk.said(services("a", "b"))
    assert talk.said(services("a", filtered=True, index=8)) is FAILED
    assert (talk.decision.status, talk.decision.why) == (403, "the token may not read all of it")
    assert (talk.names, talk.belief.partial, talk.belief.held) == (["a", "b"], True, True)
    # With a pause, and however often: nothing of that reply is taken for what was known.
    for index in (8, 9):
        assert talk.said(services("a", filtered=True, index=index)) is FAILED
        assert (talk.params, talk.late > 0, talk.names) == (PLAIN, True, ["a", "b"])
    assert talk.said(services("a", "b", index=7)) is UNCHANGED
    assert (talk.names, talk.belief.partial) == (["a", "b"], False)
    # A part in which nothing is missing that was known is told, and used.
    assert talk.said(services("a", "b", filtered=True, index=10)) is UNCHANGED
    assert (talk.names, talk.belief.partial, talk.belief.held) == (["a", "b"], True, False)


def muted(*nodes: str, index: int = 8) -> Reply:
    return web(*nodes, index=index, mute=True)


def test_fewer_where_nothing_is_said_of_acls_is_believed_once_it_may_be_read() -> None:
    talk = Talk(WEB)
    talk.said(muted("a", "b", "c"))
    # What comes needs no second word.
    assert talk.said(muted("a", "b", "c", "d")) is CHANGED
    assert talk.said(muted("a", "b")) is DOUBTED
    gone: frozenset[object] = frozenset({("c", "web"), ("d", "web")})
    assert (talk.belief.doubt, talk.belief.in_question) == (Doubt.MUTE, gone)
    talk.belief.may_read(gone)
    assert talk.said(muted("a", "b")) is CHANGED
    assert (talk.names, talk.belief.in_question) == (["a", "b"], frozenset())
    assert not talk.belief.partial
    assert talk.said(muted("a", "b", "c", "d")) is CHANGED
    assert talk.said(muted("a", "b")) is DOUBTED
    talk.belief.may_read(gone)
    assert talk.said(muted("a", "b")) is CHANGED
    # That was about these; the next one is another question.
    assert talk.said(muted("a")) is DOUBTED
    # So it is when more are gone meanwhile, or it failed.
    talk.belief.may_read(frozenset({("b", "web")}))
    assert talk.said(muted()) is DOUBTED
    talk.belief.may_read(frozenset({("a", "web"), ("b", "web")}))
    assert talk.said(GONE) is FAILED
    assert talk.said(muted("a")) is DOUBTED
    assert talk.names == ["a", "b"]


def test_nothing_where_nothing_is_said_of_acls() -> None:
    talk = Talk(WEB)
    talk.said(muted("a"))
    assert talk.said(muted()) is DOUBTED
    talk.belief.may_read(frozenset({("a", "web")}))
    assert talk.said(muted()) is DOUBTED
    assert talk.names == ["a"]
    assert talk.said(muted()) is CHANGED
    assert (talk.params, talk.names) == (SURE, [])


def test_what_turns_out_to_be_hidden_where_nothing_is_said_of_acls_stays() -> None:
    talk = Talk(WEB)
    talk.said(muted("a", "b"))
    talk.said(muted("a"))
    assert talk.belief.hidden() == "the token may not read all of it"
    assert talk.said(ConsulError("x", 403, "the token may not read all of it")) is FAILED
    assert (talk.names, talk.belief.partial) == (["a", "b"], True)
    # It is asked again, first of all.
    assert talk.belief.in_question == {("b", "web")}
    talk.belief.may_read(frozenset({("b", "web")}))
    assert talk.said(muted("a", "b")) is UNCHANGED
    assert not talk.belief.partial


def test_all_of_it_is_hidden() -> None:
    talk = Talk(WEB)
    talk.said(muted("a", "b"))
    talk.said(muted())
    assert talk.belief.hidden() == "the token may not read any of it"


def test_a_key_that_is_gone_is_gone() -> None:
    """One that may not be read is refused, wherever it is asked for."""
    talk = Talk(Fact(FactKind.KEY, "a"))
    talk.said(reply([{"Key": "a", "Value": "eA=="}], mute=True))
    talk.said(reply(None, index=8, mute=True))
    assert talk.belief.in_question == set()


def test_fewer_by_streaming_is_believed_after_a_plain_look() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    assert talk.said(streamed("a")) is DOUBTED
    assert (talk.names, talk.belief.doubt) == (["a", "b"], Doubt.SHRUNK)
    assert talk.said(web("a", index=8)) is CHANGED
    assert (talk.params, talk.names) == (PLAIN, ["a"])
    assert SHRUNK_AFTER <= talk.late <= 2 * SHRUNK_AFTER
    # What came, or came instead of nothing, needs no second word.
    assert talk.said(streamed("a", "c", index=9)) is CHANGED
    assert talk.names == ["a", "c"]


def test_fewer_by_streaming_because_rights_shrank_is_held() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    talk.said(streamed("a"))
    assert talk.said(web("a", filtered=True)) is FAILED
    assert (talk.names, talk.belief.held, talk.belief.partial) == (["a", "b"], True, True)


def test_a_server_that_lags_shows_still_what_is_gone() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    talk.said(streamed("a"))
    for _ in range(LOOKS):
        assert talk.said(web("a", "b")) is DOUBTED
        assert talk.params == PLAIN
    # In the end it is the leader's to say: it may have come back.
    assert talk.said(web("a", "b", "c", index=9)) is CHANGED
    assert (talk.params, talk.names, talk.belief.doubt) == (LEADER, ["a", "b", "c"], Doubt.NONE)


def test_a_server_that_lags_and_a_token_that_lost_its_rights() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    talk.said(streamed("a"))
    assert talk.said(web("a", "b")) is DOUBTED
    assert talk.said(web("a", filtered=True)) is FAILED
    assert talk.names == ["a", "b"]


def test_what_is_gone_by_streaming_stays_in_doubt_at_another_agent() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    talk.said(streamed("a"))
    talk.said(GONE)
    assert talk.said(web("a", filtered=True), agent=1) is FAILED
    assert talk.names == ["a", "b"]


def test_all_gone_by_streaming_is_confirmed_by_the_leader() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    assert talk.said(streamed()) is DOUBTED
    assert talk.said(web(filtered=True)) is FAILED
    assert (talk.params, talk.names) == (SURE, ["a", "b"])


def test_a_part_stays_one_by_streaming_until_a_plain_look_says_otherwise() -> None:
    talk = Talk(WEB)
    talk.said(web("a", filtered=True))
    assert talk.said(streamed("a")) is UNCHANGED
    assert talk.belief.partial
    assert talk.said(streamed("a", "b", index=9)) is DOUBTED
    assert talk.said(web("a", "b", index=9)) is CHANGED
    assert (talk.names, talk.belief.partial) == (["a", "b"], False)


NODES = st.sampled_from("abcd")
STEPS = st.lists(
    st.tuples(st.sampled_from(["register", "deregister", "hide", "show", "ask", "fail"]), NODES),
    max_size=60,
)


@given(STEPS)
def test_rights_alone_take_nothing_away_from_what_is_taken_for_the_whole(
    steps: list[tuple[str, str]],
) -> None:
    talk, index = Talk(WEB), 7
    there, hidden = {"a", "b"}, set[str]()
    for step, node in steps:
        before = set(talk.names) if talk.belief.known else set()
        if step == "register":
            there, index = there | {node}, index + 1
        elif step == "deregister":
            there, index = there - {node}, index + 1
        elif step == "hide":
            hidden.add(node)
        elif step == "show":
            hidden.discard(node)
        elif step == "fail":
            talk.said(GONE)
        else:
            ask = talk.ask()
            talk.t += min(ask.wait, 5.0)
            seen, streaming = there - hidden, ask.index > 0
            part = not streaming and seen != there
            answer = web(*sorted(seen), index=index, streaming=streaming, filtered=part)
            gone = talk.belief.in_question
            if gone & {(one, "web") for one in hidden}:
                why = talk.belief.hidden()
                talk.belief.failed(ConsulError("x", 403, why), talk.t)
            else:
                talk.belief.may_read(gone)
                talk.belief.reply(answer, talk.t)
        after = set(talk.names) if talk.belief.known else set()
        assert not (before - after) & there


@pytest.mark.parametrize("left", [(), ("c",)])
@pytest.mark.parametrize("count", [10, 99])
def test_a_cluster_begun_anew_takes_nothing_away_until_its_hosts_had_time(
    left: tuple[str, ...], count: int
) -> None:
    """Or restored from a snapshot, where it counts on from little less."""
    talk = Talk()
    talk.said(services("a", "b", index=100))
    talk.said(GONE)
    assert talk.said(services(*left, index=count)) is DOUBTED
    begin = talk.t
    while talk.t < begin + ANEW:
        assert talk.said(services(*left, index=count)) is DOUBTED
        assert (talk.params, talk.names, talk.belief.doubt) == (LEADER, ["a", "b"], Doubt.ANEW)
        assert talk.late <= 2 * ANEW_EVERY
    verdict = talk.said(services(*left, index=count))
    if not left:
        # That there is nothing is doubted as ever.
        assert (verdict, talk.names) == (DOUBTED, ["a", "b"])
        verdict = talk.said(services(index=count))
    assert (verdict, talk.names) == (CHANGED, list(left))
    # From here on it is its count that counts.
    talk.said(services("a", "d", index=count + 1))
    assert talk.said(services("d", index=count + 2)) is CHANGED


def test_what_comes_back_in_a_cluster_begun_anew_is_taken_at_once() -> None:
    talk = Talk()
    talk.said(services("a", "b", index=100))
    for _ in range(3):
        talk.said(services(index=10))
    assert talk.belief.doubt is Doubt.ANEW
    assert talk.said(services("a", "b", "c", index=20)) is CHANGED
    assert (talk.names, talk.belief.doubt) == (["a", "b", "c"], Doubt.NONE)
    # The next time it has as long again.
    talk.t += ANEW
    for _ in range(3):
        talk.said(services(index=1))
        assert talk.belief.doubt in (Doubt.OLDER, Doubt.ANEW)
        assert talk.names == ["a", "b", "c"]


def test_how_old_it_is_and_since_when() -> None:
    talk = Talk(WEB)
    talk.said(web("a", contact_ms=3000))
    assert talk.belief.as_of == pytest.approx(-3.01)
    assert talk.belief.since == 0.0
    talk.said(streamed("a"))
    assert (talk.belief.as_of, talk.belief.since) == (talk.t, 0.0)
    talk.said(web("a", "b", index=9))
    assert talk.belief.since == talk.t > 0


def test_one_look_a_second_after_a_few() -> None:
    talk = Talk()
    for number in range(60):
        talk.said(services(f"s{number}", index=7 + number))
        talk.t -= 5.0 if talk.waited else 0.0  # it changed at once
    assert talk.t >= 60 - BURST - 0.01


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (reply(body=b"{", index=8), "not JSON"),
        (reply([1], index=8), "not of the form"),
        (reply({"a": []}, index=None), "no X-Consul-Index"),
        (reply([1], index=8, filtered=True), "not of the form"),
    ],
)
def test_replies_that_are_none(answer: Reply, said: str) -> None:
    talk = Talk()
    talk.said(services("a"))
    assert talk.said(answer) is FAILED
    assert said in talk.decision.why
    assert talk.names == ["a"]
    talk.ask()
    assert talk.params == PLAIN


def test_a_question_given_up_is_asked_anew() -> None:
    talk = Talk()
    talk.said(services("a"))
    talk.ask()
    talk.belief.given_up()
    talk.ask()
    assert talk.waited == "7"
    assert talk.belief.waits
    talk.belief.look()
    assert not talk.belief.waits
    talk.ask()
    assert talk.params == PLAIN


def test_a_stream_that_has_not_begun_costs_the_leader_nothing() -> None:
    talk = Talk(WEB)
    talk.said(web("a", "b"))
    assert talk.said(streamed(index=1)) is DOUBTED
    assert talk.said(web("a", "b")) is UNCHANGED
    assert (talk.params, talk.names, talk.belief.doubt) == (PLAIN, ["a", "b"], Doubt.NONE)


def test_what_cannot_be_waited_for_is_asked_for_again() -> None:
    talk = Talk(Fact(FactKind.DATACENTERS))
    for names in (["dc1"], ["dc1", "dc2"]):
        assert talk.said(reply(names, index=None)) is CHANGED
        assert (talk.params, talk.belief.value) == (LEADER, tuple(names))
    assert talk.said(reply([], index=None)) is DOUBTED
    assert talk.belief.value == ("dc1", "dc2")
