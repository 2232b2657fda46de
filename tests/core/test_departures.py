"""Who left is remembered for a while, and held against answers of agents that are behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.core.carriers import WatchLimits
from consulfwd.core.departures import BEHIND, MOST, MOST_MARKS, Departures
from consulfwd.core.freshness import Freshness
from consulfwd.core.proofs import LIFE
from consulfwd.core.settling import Instance, Sure, corrected, has_gone
from consulfwd.core.subjects import Subject, form_of
from consulfwd.core.watches import REUSE
from consulfwd.dns import const
from consulfwd.dns.message import Message
from consulfwd.dns.names import from_text
from tests.core.test_settling import DOMAINS, WEB, after, reply, shown, those
from tests.dns.packets import question

SUBJECT = Subject("service", "web")
A, B, C = "n1 10.0.0.1\n", "n2 10.0.0.2\n", "n3 10.0.0.3\n"
ASKED = f"{WEB} A"
NOW = 1000.0


def departures(*states: str, every: float = 1.0) -> Departures:
    """What is remembered after a service was each of these, one after the other."""
    found = Departures()
    for number in range(1, len(states)):
        before, now = those(states[number - 1]), those(states[number])
        found.note(SUBJECT, before, now, NOW + number * every, corrects=True)
    return found


def gone(found: Departures, at: float) -> frozenset[Instance]:
    """Who is remembered at a time."""
    departed = found.of(SUBJECT, NOW + at)
    return frozenset() if departed is None else departed.change.gone


def test_who_left_is_remembered_until_nobody_is_so_far_behind() -> None:
    found = departures(A + B, B, B + C, C)
    assert gone(found, 3) == those(A + B)
    assert gone(found, 3 + BEHIND - 0.001) == those(A + B)
    assert gone(found, 3 + BEHIND) == frozenset()
    assert not found


def test_who_came_back_has_not_left() -> None:
    assert gone(departures(A + B, B, A + B), 2) == frozenset()
    assert not departures(A + B, B, A + B)
    assert gone(departures(A + B, B, A), 2) == those(B)


def test_who_left_long_ago_is_forgotten_though_others_go() -> None:
    found = departures(A + B + C, B + C, C, every=BEHIND)
    assert gone(found, 2 * BEHIND) == those(B)


def test_there_is_a_bound_on_who_is_remembered() -> None:
    every = [f"n{n} 10.0.{n >> 8}.{n & 255}\n" for n in range(MOST + 10)]
    states = ["".join(every[number:]) for number in range(len(every) + 1)]
    found = departures(*states, every=0.001)
    assert gone(found, 1) == those("".join(every[10:]))


def test_what_is_over_is_tidied_away() -> None:
    found = departures(A, "")
    found.tidy(NOW + BEHIND)
    assert found
    found.tidy(NOW + 1 + BEHIND)
    assert not found


# -- what an answer shows -------------------------------------------------------------------------


def shows(found: Departures, asked: str, message: Message) -> bool:
    """Whether an answer has one that left."""
    departed = found.of(SUBJECT, NOW + 5)
    assert departed is not None
    name, rtype = asked.lower().split()
    form = form_of(from_text(name), DOMAINS, srv=rtype == "srv")
    assert form is not None
    old = has_gone(departed.change, form, question(asked).lower(), message)
    asked_for = int.from_bytes(question(asked)[-4:-2], "big")
    for _ in range(2):
        # Where that says no, nobody looks further.
        assert departed.may_be_in(message.body, asked_for, form.tag) or not old
    return old


@pytest.mark.parametrize(
    ("asked", "records", "old"),
    [
        (ASKED, ["an 10.0.0.1", "an 10.0.0.2"], True),
        (ASKED, ["an 10.0.0.2", "an 10.0.0.3"], False),
        (ASKED, ["an 10.0.0.9"], False),
        (ASKED, [], False),
        (f"{WEB} AAAA", ["an fd00::1"], False),
        (f"{WEB} SRV", ["an 1 1 80 n1.node.dc1.consul."], True),
        (f"{WEB} SRV", ["an 1 1 80 N1.Node.DC1.Consul."], True),
        (f"{WEB} SRV", ["an 1 1 81 n1.node.dc1.consul."], False),
        (f"{WEB} TXT", ['an "10.0.0.1"'], False),
        ("n1.node.consul A", ["an 10.0.0.1"], False),
    ],
)
def test_an_answer_that_has_who_left_is_an_old_one(
    asked: str, records: list[str], *, old: bool
) -> None:
    found = departures(A + B, B, B + C)
    assert shows(found, asked, reply(asked, *records)) is old


def test_the_address_of_a_target_that_has_another_one_is_old() -> None:
    """The node has moved: the records of SRV are the same, what is beside them is not."""
    srv, target = f"{WEB} SRV", "n1.node.dc1.consul."
    found = departures(A + B, "n1 10.0.0.9\n" + B)
    old = f"an 1 1 80 {target}", f"ad {target} 0 IN A 10.0.0.1"
    new = f"an 1 1 80 {target}", f"ad {target} 0 IN A 10.0.0.9"
    other = f"an 1 1 80 {target}", "ad n7.node.dc1.consul. 0 IN A 10.0.0.1"
    assert shows(found, srv, reply(srv, *old))
    assert not shows(found, srv, reply(srv, *new))
    assert not shows(found, srv, reply(srv, *other))
    for sure in Sure:
        given = remade(found, srv, *old, sure=sure)
        assert given == [f"1 1 80 {target}", f"ad {target} A 10.0.0.9"]


def test_an_answer_without_who_left_is_hardly_looked_at() -> None:
    departed = departures("n1 10.0.0.1 #v1\nn2 10.0.0.2 w1\n", "n2 10.0.0.2 w5\n").of(
        SUBJECT, NOW + 5
    )
    assert departed is not None
    one, two = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
    assert departed.may_be_in(b"..." + one, const.A, "")
    assert departed.may_be_in(b"..." + one, const.A, "v1")
    assert not departed.may_be_in(b"..." + one, const.A, "v2")
    assert not departed.may_be_in(b"..." + one, const.AAAA, "")
    assert not departed.may_be_in(b"..." + one, const.TXT, "")
    assert not departed.may_be_in(b"..." + two, const.A, "")
    assert departed.may_be_in(b"\2N1\4node\xc0\x0c", const.SRV, "")
    assert not departed.may_be_in(b"\2n2\4node\xc0\x0c", const.SRV, "")
    for number in range(2 * MOST_MARKS):
        departed.may_be_in(one, const.A, f"made-up-{number}")
    assert len(departed.marks) == MOST_MARKS


def test_an_address_that_another_has_is_no_sign() -> None:
    found = departures("n1 10.0.0.1\nn2 10.0.0.1\n", "n2 10.0.0.1\n")
    assert not shows(found, ASKED, reply(ASKED, "an 10.0.0.1"))


def test_one_that_lost_its_tag_has_left_that_name_alone() -> None:
    found = departures("n1 10.0.0.1 #v1\nn2 10.0.0.2 #v1", "n1 10.0.0.1\nn2 10.0.0.2 #v1")
    both = "an 10.0.0.1", "an 10.0.0.2"
    tagged = f"v1.{WEB} A"
    assert shows(found, tagged, reply(tagged, *both))
    assert not shows(found, ASKED, reply(ASKED, *both))


def test_an_old_answer_is_made_of_those_that_are_there() -> None:
    departed = departures(A + B, B + C).of(SUBJECT, NOW + 5)
    assert departed is not None
    correct = departed.change
    assert after(correct, ASKED, reply(ASKED, "an 10.0.0.1", "an 10.0.0.2")) == ["10.0.0.2"]
    # As many as it showed, where none of them is left.
    assert after(correct, ASKED, reply(ASKED, "an 10.0.0.1")) == ["10.0.0.2"]
    departed = departures(A, "").of(SUBJECT, NOW + 5)
    assert departed is not None
    assert after(departed.change, ASKED, reply(ASKED, "an 10.0.0.1")) == ["NXDOMAIN"]


def remade(found: Departures, asked: str, *records: str, sure: Sure) -> list[str]:
    """An answer without who left, as it is shown."""
    departed = found.of(SUBJECT, NOW + 5)
    name, rtype = asked.lower().split()
    form = form_of(from_text(name), DOMAINS, srv=rtype == "srv")
    assert departed is not None
    assert form is not None
    message = reply(asked, *records)
    return shown(
        asked, corrected(departed.change, form, question(asked).lower(), message, sure)
    )


@pytest.mark.parametrize(
    ("asked", "records", "given"),
    [
        (ASKED, ["10.0.0.1", "10.0.0.2"], {Sure.GONE: ["10.0.0.2"]}),
        (ASKED, ["10.0.0.1"], {Sure.GONE: ["10.0.0.1"], Sure.LEFT: ["10.0.0.2"]}),
        (f"v1.{WEB} A", ["10.0.0.1"], {Sure.GONE: ["10.0.0.1"], Sure.ALL: ["NXDOMAIN"]}),
    ],
)
def test_the_less_is_known_of_who_is_there_the_less_is_changed(
    asked: str, records: list[str], given: dict[Sure, list[str]]
) -> None:
    found = departures("n1 10.0.0.1 #v1\nn2 10.0.0.2\n", B)
    wanted: list[str] = []
    for sure in Sure:
        wanted = given.get(sure, wanted)
        assert remade(found, asked, *(f"an {one}" for one in records), sure=sure) == wanted


def test_one_with_a_warning_that_is_behind_an_agent_is_no_reason_to_deny() -> None:
    """It may have come after what the agent knows: whether it shows such ones is not seen."""
    found = departures(A, "n2 10.0.0.2 warning\n")
    assert remade(found, ASKED, "an 10.0.0.1", sure=Sure.ALL) == ["10.0.0.1"]
    found = departures(A, "n2 fd00::2\n")
    assert remade(found, ASKED, "an 10.0.0.1", sure=Sure.ALL) == []


# -- what follows ---------------------------------------------------------------------------------


class Play:
    """A watched service; its agents are A, which watches, and B."""

    def __init__(self, *, corrects: bool = True) -> None:
        self.freshness = Freshness(WatchLimits(settle=0.5))
        self.corrects = corrects
        for _ in range(2):
            self.freshness.asked(SUBJECT, ["A", "B"], NOW, positive=True)
        self.prove("A", NOW)
        self.tell("armed", A + B, NOW)

    def prove(self, agent: str, now: float) -> None:
        self.freshness.carriers.proofs.want(agent, now + 100, now)
        self.freshness.proved(agent, now, now)

    def tell(
        self, what: str, healthy: str, now: float, carrier: str = "A", *, critical: int = 0,
        many: bool = False,
    ) -> None:  # fmt: skip
        one = those(healthy)
        note = self.freshness.armed if what == "armed" else self.freshness.changed
        shown = None if many else one
        note(
            SUBJECT, carrier, now, size=len(one) + critical, healthy=len(one),
            instances=shown if self.corrects else None, shown=shown,
        )  # fmt: skip

    def gone(self, now: float) -> frozenset[Instance]:
        """Who has left as far as is known then."""
        departed = self.freshness.departed(SUBJECT, now)
        return frozenset() if departed is None else departed.change.gone

    def sure(self, now: float) -> Sure | None:
        """What is known then of who is there instead."""
        departed = self.freshness.departed(SUBJECT, now)
        return None if departed is None else self.freshness.sure(departed, now)

    def stored(self, now: float, *, outdated: bool) -> float | None:
        """For how long an answer of the agent that watches may be reused."""
        return self.freshness.stored(
            SUBJECT, b"key", positive=True, sent_at=now, now=now, source="A", qtype=1, records=9,
            outdated=outdated,
        )  # fmt: skip


@pytest.mark.parametrize("corrects", [True, False])
def test_an_answer_that_has_who_left_is_not_reused(*, corrects: bool) -> None:
    """Whoever proves that it hears of changes: taking them over is another thing."""
    play = Play(corrects=corrects)
    play.tell("changed", B, NOW + 1)
    play.prove("A", NOW + 2)
    departed = play.freshness.departed(SUBJECT, NOW + 2)
    assert departed is not None
    assert departed.corrects is corrects
    assert play.stored(NOW + 2, outdated=True) == 0.0
    assert play.stored(NOW + 2, outdated=False) == REUSE


def test_while_the_watch_moves_nobody_is_denied_by_what_it_knew() -> None:
    play = Play()
    play.tell("changed", B, NOW + 1)
    assert play.sure(NOW + 1) is Sure.ALL
    play.freshness.lost("A", NOW + 2)
    # Who left is not handed out in place of others. Who is left is not known for long.
    assert play.gone(NOW + 2) == those(A)
    assert play.sure(NOW + 2) is Sure.LEFT
    assert play.sure(NOW + 2 + LIFE - 0.001) is Sure.LEFT
    assert play.sure(NOW + 2 + LIFE) is None
    # Elsewhere it is seen to be back, or to have gone meanwhile.
    play.prove("B", NOW + 5)
    assert play.sure(NOW + 5) is None
    play.tell("armed", A, NOW + 5, "B")
    assert play.gone(NOW + 5) == those(B)
    assert play.sure(NOW + 5) is Sure.ALL


def test_who_sees_no_instance_at_all_may_have_lost_the_right_to() -> None:
    """Critical ones are seen, to be so."""
    play = Play()
    play.tell("changed", "", NOW + 1)
    assert play.sure(NOW + 1) is Sure.LEFT
    play = Play()
    play.tell("changed", "", NOW + 1, critical=2)
    assert play.sure(NOW + 1) is Sure.ALL


def test_in_doubt_nobody_has_left() -> None:
    """For a while nobody looks who comes back, where all have gone."""
    play = Play()
    play.tell("changed", B, NOW + 1)
    play.freshness.doubted(SUBJECT, "A", NOW + 2)
    assert play.gone(NOW + 2) == frozenset()
    play.tell("changed", A, NOW + 3)
    assert play.gone(NOW + 3) == those(B)


def test_so_old_a_proof_says_nothing_of_who_is_there() -> None:
    play = Play()
    play.tell("changed", B, NOW)
    play.prove("A", NOW + 1)
    assert play.sure(NOW + 1 + LIFE - 0.001) is Sure.ALL
    assert play.sure(NOW + 1 + LIFE) is Sure.GONE


def test_who_may_have_come_back_unseen_has_not_left() -> None:
    """Where there are many instances, nobody looks who they are."""
    play = Play()
    play.tell("changed", B, NOW + 1)
    play.tell("changed", A + B, NOW + 1.2, many=True)
    assert play.gone(NOW + 1.2) == frozenset()
    assert play.freshness.settles(SUBJECT, NOW + 1.2) is None
    play.tell("changed", A + B, NOW + 3)
    assert play.gone(NOW + 3) == frozenset()


def test_who_left_another_watch_of_the_same_has_not_left_this_one() -> None:
    play = Play()
    play.tell("changed", B, NOW + 1)
    for agent in ("A", "B"):
        play.freshness.lost(agent, NOW + 1)
    assert SUBJECT not in play.freshness.watches
    play.prove("A", NOW + 7)
    for _ in range(2):
        play.freshness.asked(SUBJECT, ["A"], NOW + 7, positive=True)
    assert play.gone(NOW + 7) == frozenset()
    play.tell("armed", A + B, NOW + 7)
    assert play.gone(NOW + 7) == frozenset()


def test_those_of_another_datacenter_are_not_in_place_of_these() -> None:
    """As of an agent elsewhere, to which the watch has moved."""
    elsewhere = frozenset(
        one._replace(node=one.node.replace(b"\x03dc1", b"\x03dc2")) for one in those(C)
    )
    found = departures(A + B, B)
    found.note(SUBJECT, those(B), elsewhere, NOW + 2, corrects=True)
    assert not found


def test_who_is_not_watched_any_more_is_not_remembered_either() -> None:
    play = Play()
    play.tell("changed", B, NOW + 1)
    play.freshness.clear()
    assert play.freshness.departed(SUBJECT, NOW + 1) is None
    play = Play()
    play.tell("changed", B, NOW + 1)
    play.freshness.age(LIFE)
    assert play.freshness.departed(SUBJECT, NOW + 1) is None
    play = Play()
    play.tell("changed", B, NOW + 1)
    play.freshness.idle(NOW + 1 + BEHIND)
    assert not play.freshness.departures


@given(st.lists(st.sets(st.sampled_from([A, B, C])), min_size=2, max_size=6), st.data())
def test_nobody_who_is_there_is_ever_gone(states: list[set[str]], data: st.DataObject) -> None:
    every = data.draw(st.sampled_from([0.1, BEHIND / 2, BEHIND]))
    found = departures(*("".join(one) for one in states), every=every)
    last = those("".join(states[-1]))
    assert not gone(found, every * (len(states) - 1)) & last
