"""What is believed of a fact: transcripts of questions and replies."""

from __future__ import annotations

import random

import pytest

from consulfwd.consul.belief import WAIT, Belief
from consulfwd.consul.blocking import HOLD, BlockingQuery
from consulfwd.consul.facts import Fact, FactKind
from consulfwd.consul.reply import Reply
from consulfwd.errors import ConsulError
from tests.consul.replies import reply

FACT = Fact(FactKind.SERVICES)
BLOCKING = {"stale": "", "index": "7", "wait": f"{WAIT * 1000:.0f}ms"}
SURE = {"consistent": ""}
LEADER: dict[str, str] = {}


class Talk:
    """Asks and takes replies; `t` is the time."""

    def __init__(self, fact: Fact = FACT) -> None:
        self.belief = Belief(fact, random.Random(1))
        self.t = 0.0

    def ask(self, agent: int = 0) -> BlockingQuery:
        ask = self.belief.next(agent, self.t)
        self.t = ask.at
        self.params = self.belief.params(ask)
        return ask

    def said(self, answer: Reply, agent: int = 0) -> bool:
        """Ask, and take this for the reply."""
        return self.belief.take(answer, self.ask(agent), self.t)

    @property
    def names(self) -> list[str]:
        assert self.belief.known
        return [one.name for one in self.belief.value]


def services(*names: str, index: int = 7, filtered: bool = False) -> Reply:
    return reply({name: [] for name in names}, index=index, filtered=filtered)


def test_the_leader_is_asked_first_then_the_agent_tells_of_changes() -> None:
    talk = Talk()
    assert talk.said(services("a"))
    assert (talk.params, talk.names) == (LEADER, ["a"])
    assert not talk.said(services("a"))
    assert talk.params == BLOCKING
    assert talk.said(services("a", "b", index=8))
    assert talk.names == ["a", "b"]


def test_after_an_error_and_at_another_agent_the_leader_is_asked() -> None:
    talk = Talk()
    talk.said(services("a"))
    talk.ask()
    talk.belief.failed(ConsulError("x", 0, "gone"), talk.t)
    assert talk.names == ["a"]
    assert not talk.said(services("a"))
    assert talk.params == LEADER
    assert not talk.said(services("a"), agent=1)
    assert talk.params == LEADER
    talk.ask(1)
    assert talk.params == BLOCKING


def test_what_is_older_than_known_is_not_believed() -> None:
    talk = Talk()
    talk.said(services("a", "b"))
    assert not talk.said(services("a", index=6))
    assert talk.names == ["a", "b"]
    # The cluster may have been restored: the leader knows.
    assert talk.said(services("a", index=6))
    assert (talk.params, talk.names) == (LEADER, ["a"])


def test_nothing_at_first_must_be_the_leaders_consistent_word() -> None:
    talk = Talk()
    assert not talk.said(services())
    assert (talk.belief.known, talk.belief.doubtful) == (False, True)
    assert talk.said(services())
    assert (talk.params, talk.names, talk.belief.doubtful) == (SURE, [], False)
    assert not talk.said(services())
    assert talk.params == BLOCKING


def test_nothing_at_first_that_is_not_confirmed() -> None:
    talk = Talk()
    assert not talk.said(services())
    talk.ask()
    talk.belief.failed(ConsulError("x", 0, "gone"), talk.t)
    assert not talk.belief.known
    assert talk.said(services("a"))
    assert (talk.params, talk.names) == (SURE, ["a"])


def test_what_was_there_is_gone_once_that_lasted() -> None:
    talk = Talk()
    talk.said(services("a"))
    assert not talk.said(services(index=8))
    begin = talk.t
    assert (talk.names, talk.belief.doubtful) == (["a"], True)
    assert talk.said(services(index=8))
    assert (talk.params, talk.names) == (SURE, [])
    assert talk.t - begin == pytest.approx(HOLD)


def test_emptied_by_an_agent_that_restarts_and_back() -> None:
    talk = Talk()
    talk.said(services("a"))
    talk.ask()
    talk.belief.failed(ConsulError("x", 0, "gone"), talk.t)
    assert not talk.said(services(index=2))
    assert talk.names == ["a"]
    assert not talk.said(services("a"))
    assert (talk.params, talk.names) == (SURE, ["a"])


def test_a_token_that_may_see_a_part() -> None:
    talk = Talk()
    assert talk.said(services("a", filtered=True))
    assert (talk.names, talk.belief.hidden) == (["a"], True)
    assert talk.said(services("a", "b", filtered=True, index=8))
    assert talk.names == ["a", "b"]
    with pytest.raises(ConsulError, match="may not read any of it") as caught:
        talk.said(services(filtered=True, index=9))
    assert caught.value.status == 403
    assert talk.names == ["a", "b"]
    assert talk.said(services("a", "b", "c", index=9))
    assert not talk.belief.hidden


def test_a_token_that_loses_its_rights_makes_no_list_shorter() -> None:
    talk = Talk()
    talk.said(services("a", "b"))
    with pytest.raises(ConsulError, match="services: the token may not read all of it"):
        talk.said(services("a", filtered=True, index=8))
    assert talk.names == ["a", "b"]
    before = talk.t
    talk.ask()
    assert talk.t > before  # with a pause


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
    with pytest.raises(ConsulError, match=f"services: .*{said}"):
        talk.said(answer)
    assert talk.names == ["a"]
    talk.ask()
    assert talk.params == LEADER


def test_what_cannot_be_waited_for_is_asked_for_again() -> None:
    talk = Talk(Fact(FactKind.DATACENTERS))
    for names in (["dc1"], ["dc1", "dc2"]):
        assert talk.said(reply(names, index=None))
        assert (talk.params, talk.belief.value) == (LEADER, tuple(names))
    assert not talk.said(reply([], index=None))
    assert talk.belief.value == ("dc1", "dc2")
