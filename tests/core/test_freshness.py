"""What may be reused past its TTL, and for how long: transcripts with time passed in."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import pytest

from consulfwd.core.carriers import (
    CROWDED_AGAIN,
    MOST_CARRIED,
    MOST_FAR,
    ROOM_AGAIN,
    Carriers,
    WatchLimits,
)
from consulfwd.core.freshness import IDLE, LOOK_AGAIN, PROVE_FOR, Freshness
from consulfwd.core.interest import ADMIT_WITHIN, MAX_SEEN, REST
from consulfwd.core.proofs import LIFE
from consulfwd.core.settling import Instance
from consulfwd.core.subjects import NODE, SERVICE, Subject
from consulfwd.core.watches import (
    MAX_DENIED,
    MAX_KEYS,
    REUSE,
    REUSE_NODE,
    REUSE_UNSURE,
)
from consulfwd.dns import const
from tests.core.watched import EPOCH, Play, played, script, subject_for

WEB = Subject(SERVICE, "web")


def plays(transcript: str, play: Play | None = None) -> Play:
    """Play a transcript and hold what came out against what is written there."""
    play = play or Play()
    assert played(transcript, play) == script(transcript)
    return play


def test_from_the_first_question_to_reuse_and_change() -> None:
    plays("""
        0     yes web           | ...
        1     yes web           | web at A; ttl     # not armed yet
        1.1   proved A          | ...
        1.2   yes web           | ttl
        1.3   armed web 3       | drop web          # asked for before it was armed
        1.4   yes web           | 0 s               # all that is known may not be known to all
        1.799 yes web           | 0 s
        1.801 yes web           | 10 s
        1.9   yes web/SRV       | 10 s
        2     changed web 2     | drop web, web/SRV
        2.1   yes web           | 0 s
        2.9   yes web sent 2.49 | 0 s               # asked for while it settled
        2.9   yes web sent 2.51 | 10 s
        3.05  overdue           | ...
        3.15  overdue           | web at B; drop web
        3.2   yes web           | ttl
    """)


def test_the_bounds_of_settling() -> None:
    play = plays("""
        0 yes web     | ...
        0 yes web     | web at A; ttl
        0 proved A    | ...
        0 armed web 1 | drop web
    """)
    settle = play.freshness.rules.settle
    assert play.do(settle - 0.001, "yes web") == "0 s"
    assert play.do(settle, "yes web") == "10 s"
    plays("0 yes web|...\n0 yes web|web at A; ttl\n0 proved A|...\n0 armed web 1|drop web\n"
          "0 yes web|10 s", Play(settle=0))  # fmt: skip


def test_the_bounds_of_a_proof() -> None:
    play = plays("""
        0 yes web      | ...
        0 yes web      | web at A; ttl
        0 armed web 1  | drop web
        1 yes web      | ttl            # nothing is proven yet
        1 proved A 0.5 | ...            # what it says is half a second old
    """)
    assert play.do(0.5 + LIFE - 0.001, "yes web") == "10 s"
    assert play.freshness.ends_at() == EPOCH + 0.5 + LIFE
    assert play.freshness.expired(EPOCH + 0.5 + LIFE - 0.001) == []
    assert play.freshness.expired(EPOCH + 0.5 + LIFE) == ["A"]
    assert play.do(0.5 + LIFE, "yes web") == "ttl"
    # One that comes late, and is older than what is known, changes nothing.
    play.do(3, "proved A 3")
    play.do(3, "proved A 2")
    assert play.do(4.9, "yes web") == "10 s"


def test_a_nodes_own_names_are_asked_for_more_often() -> None:
    node = Subject(NODE, "db1")
    freshness = Freshness(WatchLimits())
    for _ in range(2):
        freshness.asked(node, ("A",), EPOCH, positive=True)
    freshness.armed(node, "A", EPOCH, size=1, healthy=1)
    freshness.proved("A", EPOCH, EPOCH)
    later = EPOCH + freshness.rules.settle
    assert freshness.stored(
        node, b"db1", positive=True, sent_at=later, now=later, records=1
    ) == REUSE_NODE


def test_what_may_become_blind_unseen_is_relied_on_for_less_long() -> None:
    web = Subject(SERVICE, "web")
    freshness = Freshness(WatchLimits())
    for _ in range(2):
        freshness.asked(web, ("A",), EPOCH, positive=True)
    later = EPOCH + freshness.rules.settle
    freshness.proved("A", EPOCH, EPOCH)
    for note, sure, seconds in [
        (freshness.armed, False, REUSE_UNSURE),
        (freshness.changed, True, REUSE),
        (freshness.changed, False, REUSE_UNSURE),
    ]:
        note(web, "A", EPOCH, size=1, healthy=1, sure=sure)
        assert freshness.stored(
            web, b"web", positive=True, sent_at=later, now=later, records=9
        ) == seconds


def test_without_proofs_nothing_ends() -> None:
    assert Play().freshness.ends_at() == float("inf")
    assert Play().freshness.expired(EPOCH) == []


def test_the_bounds_of_being_asked_again() -> None:
    for pause, expected in ((ADMIT_WITHIN, "web at A; ttl"), (ADMIT_WITHIN + 0.001, "...")):
        play = Play()
        assert play.do(0, "yes web") == "..."
        assert play.do(pause, "yes web") == expected


def test_asked_again_too_late_counts_as_the_first_time() -> None:
    plays("""
        0  yes web | ...
        11 yes web | ...
        20 yes web | web at A; ttl
    """)


def test_the_bounds_of_idleness() -> None:
    play = plays("""
        0 yes web     | ...
        0 yes web     | web at A; ttl
        0 proved A    | ...
        0 armed web 1 | drop web
        1 yes web     | 10 s
    """)
    play.do(2, "proved A")
    assert play.do(1 + IDLE - 0.001, "idle") == "..."
    assert play.do(1 + IDLE, "idle") == "web ends; drop web"
    assert play.do(1 + IDLE, "yes web") == "..."


def test_the_bounds_of_making_room() -> None:
    """It takes twice as many questions as the watch would answer that is to go."""
    def play(more: int) -> str:
        play = plays("""
            0    yes one | ...
            0    yes one | one at A; ttl
            5    yes one | ttl
            10   yes one | ttl                  # once in five seconds, for all that is known
        """, Play(most=1))  # fmt: skip
        said = [play.do(10 + number, "yes two") for number in range(more)]
        assert set(said[:-1]) == {"..."}
        return said[-1]

    assert play(4) == "..."
    assert play(5) == "one ends; two at A; ttl; drop one"


def test_who_is_asked_for_no_more_makes_room_sooner() -> None:
    play = plays("""
        0    yes one     | ...
        0    yes one     | one at A; ttl
        0    proved A    | ...
        0    armed one 1 | drop one
    """, Play(most=1))  # fmt: skip
    for at in range(1, 121):
        if at % 2:
            play.do(at, "proved A")
        if play.reused.get("one", 0.0) <= EPOCH + at:
            play.do(at, "yes one")
    # Ten seconds later it is reused no more, and before that nobody can know.
    play.do(130, "yes two")
    assert play.do(131, "yes two") == "..."
    play.do(190, "yes two")
    assert play.do(191, "yes two") == "one ends; two at A; ttl; drop one"


def test_what_makes_room_is_reused_no_more() -> None:
    play = plays("""
        0    yes one     | ...
        9    yes one     | one at A; ttl
        9    proved A    | ...
        9    armed one 1 | drop one
        10   yes one     | 10 s
    """, Play(most=1))  # fmt: skip
    for at in range(8):
        play.do(10.1 + at / 10, "yes two")
    assert play.do(11, "yes two") == "ttl"
    assert play.reused == {}


def test_looking_for_who_makes_room_costs_little() -> None:
    """However many names are asked for: one look looks at every watch."""
    play = Play(most=1)
    play.do(0, "yes one")
    play.do(0, "yes one")
    for _ in range(10):
        play.do(50, "yes two")
        play.do(50, "yes three")
    # The first look found it, the others were no looks.
    assert play.placed == {subject_for("two"): "A"}
    play.do(50 + LOOK_AGAIN - 0.001, "yes three")
    assert play.placed == {subject_for("two"): "A"}


def test_names_asked_for_often_find_room_whatever_else_is_asked_for() -> None:
    """A scan asks for each of many existing names twice, then every few seconds for ever."""
    play = Play(most=8)
    clients = Clients(play)
    for number in range(40):
        clients.every(3.0, f"scan{number}", begin=number / 20)
        clients.every(3.0, f"scan{number}", begin=number / 20 + 0.3)
    clients.run(30)
    assert len(play.placed) == 8
    for number in range(6):
        clients.every(0.2 + number / 20, f"useful{number}", begin=30 + number / 30)
    clients.run(60)
    useful = {subject_for(f"useful{number}") for number in range(6)}
    assert useful <= set(play.placed)
    # They stay there, though from now on they are asked for at Consul but every ten seconds.
    for _ in range(6):
        clients.run(20)
        assert useful <= set(play.placed)


def test_a_scan_does_not_drive_out_what_is_used() -> None:
    play = Play(most=8)
    clients = Clients(play)
    for number in range(8):
        clients.every(2.0 + number / 4, f"useful{number}", begin=number / 10)
    clients.run(60)
    useful = set(play.placed)
    assert len(useful) == 8
    for number in range(400):
        clients.once(60 + number / 10, f"scan{number}")
        clients.once(60.4 + number / 10, f"scan{number}")
    clients.run(50)
    assert set(play.placed) == useful


class Clients:
    """They ask for names, and what they are told from here reaches Consul no more."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.at = 0.0
        self._due: list[tuple[float, str, float]] = []

    def every(self, seconds: float, name: str, *, begin: float) -> None:
        heappush(self._due, (begin, name, seconds))

    def once(self, at: float, name: str) -> None:
        heappush(self._due, (at, name, 0.0))

    def run(self, seconds: float) -> None:
        """Let time pass; watches are armed at once, and agents prove themselves each second."""
        self.at += seconds
        self.every(1.0, "", begin=self.at - seconds)
        while self._due[0][0] < self.at:
            at, name, again = heappop(self._due)
            if again:
                heappush(self._due, (at + again, name, again))
            if not name:
                for agent in self.play.agents:
                    self.play.do(at, f"proved {agent}")
            elif self.play.reused.get(name, 0.0) <= EPOCH + at:
                self.play.do(at, f"yes {name}")
                for watch in list(self.play.freshness.watches.values()):
                    if not watch.armed:
                        self.play.do(at, f"armed {watch.subject.name} 1")
        self._due = [one for one in self._due if one[1]]
        heapify(self._due)


def test_no_room_at_all() -> None:
    play = Play(most=0)
    for at in range(5):
        assert play.do(at, "yes web") == "..."


# -- what does not exist ----------------------------------------------------------------------


def test_a_name_that_does_not_exist_is_watched_too() -> None:
    plays("""
        0   no ghost        | ...
        1   no ghost        | ghost at A; ttl
        1   proved A        | ...
        1   armed ghost 0   | drop ghost
        2   no ghost        | 2 s
        2.1 changed ghost 1 | drop ghost       # it appears
        2.2 no ghost        | 0 s
        2.9 yes ghost       | 10 s
    """)


def test_the_last_instance_goes() -> None:
    plays("""
        0   yes web      | ...
        0   yes web      | web at A; ttl
        0   proved A     | ...
        0   armed web 1  | drop web
        1   yes web      | 10 s
        1.1 doubted web  | drop web
        1.2 no web       | ttl
        1.5 proved A     | ...
        2.2 armed web 0  | drop web
        2.3 no web       | 0 s
        2.8 no web       | 2 s
    """)


def test_all_instances_are_critical() -> None:
    plays("""
        0   yes web         | ...
        0   yes web         | web at A; ttl
        0   proved A        | ...
        0   armed web 3 2   | drop web
        1   yes web         | 10 s
        1.1 changed web 3 0 | drop web
        1.7 no web          | 2 s
        1.8 yes web         | ttl              # somebody sees what the watch does not
    """)


def test_denials_that_the_watch_contradicts_are_not_reused() -> None:
    plays("""
        0   yes web       | ...
        0   yes web       | web at A; ttl
        0   proved A      | ...
        0   armed web 3   | drop web
        1   no web        | ttl
        1   nodata web/28 | 10 s               # no address of that family
        1   no v9.web     | 2 s                # none has this tag
        1   yes v1.web    | 10 s
    """)


def test_a_denial_is_no_news_only_while_the_watch_lives() -> None:
    play = plays("""
        0   yes web      | ...
        0   yes web      | web at A; ttl
    """)
    web, freshness = subject_for("web"), play.freshness

    def denies(at: float) -> bool:
        return freshness.denies(web, EPOCH + at)

    assert not freshness.denies(subject_for("other"), EPOCH)
    play.do(0, "proved A")
    assert not denies(0.0)
    play.do(0.1, "armed web 3")
    assert not denies(0.1)
    play.do(0.2, "changed web 3 0")
    assert [denies(0.2), denies(LIFE - 0.001), denies(LIFE)] == [True, True, False]
    play.do(2.5, "proved A")
    play.do(2.5, "doubted web")
    assert not denies(2.5)


def test_made_up_names_cannot_take_the_place_of_real_ones() -> None:
    play = Play(most=8)
    for number in range(6):
        play.do(0, f"yes real{number}")
        play.do(0, f"yes real{number}")
    for number in range(10):
        play.do(0, f"no made{number}")
        play.do(0, f"no made{number}")
    assert [one.name for one in play.placed] == [*(f"real{n}" for n in range(6)), "made0", "made1"]
    # However long the real ones have not been needed: the made-up ones make room for their like.
    for number in range(10, 20):
        play.do(200 + number, f"no made{number}")
        play.do(200 + number, f"no made{number}")
    assert [one.name for one in play.placed][:6] == [f"real{n}" for n in range(6)]
    assert len(play.placed) == 8
    # Real ones take the place of made-up ones.
    play.do(300, "yes real7")
    assert play.do(300, "yes real7") == "real0 ends; real7 at A; ttl; drop real0"


def test_made_up_names_find_no_place_where_real_ones_have_them_all() -> None:
    play = Play(most=4)
    for number in range(4):
        play.do(0, f"yes real{number}")
        play.do(0, f"yes real{number}")
    for at in (1, 2, 100, 101):
        assert play.do(at, "no made") == "..."


def test_a_name_that_turns_out_to_be_real_is_not_among_the_made_up_ones() -> None:
    for event in ("yes ghost", "armed ghost 1", "changed ghost 1"):
        play = plays("""
            0 no ghost      | ...
            0 no ghost      | ghost at A; ttl
            0 no other      | ...
            0 no other      | ...
        """, Play(most=4))  # fmt: skip
        play.do(1, event)
        assert play.do(1, "no other") == "other at A; ttl"


def test_even_few_watches_leave_one_for_what_does_not_exist() -> None:
    plays("""
        0 no one | ...
        0 no one | one at A; ttl
        0 no two | ...
        0 no two | ...
    """, Play(most=2))  # fmt: skip


def test_names_seen_once_are_bounded() -> None:
    for others, expected in ((MAX_SEEN - 1, "web at A; ttl"), (MAX_SEEN, "...")):
        play = Play()
        play.do(0, "yes web")
        for number in range(others):
            play.freshness.asked(subject_for(f"m{number}"), ["A"], EPOCH, positive=False)
        assert len(play.freshness._seen.interests) == MAX_SEEN
        assert play.do(1, "yes web") == expected


# -- questions that hang on a watch -----------------------------------------------------------


def watched(play: Play) -> Play:
    return plays("""
        0 yes web     | ...
        0 yes web     | web at A; ttl
        0 proved A    | ...
        0 armed web 9 | drop web
    """, play)  # fmt: skip


def test_questions_of_one_watch_are_bounded() -> None:
    play = watched(Play())
    for number in range(MAX_KEYS):
        assert play.do(1, f"yes t{number}.web") == "10 s"
    assert play.do(1, "yes web") == "ttl"
    assert play.do(1, "yes t0.web") == "10 s"
    play.do(2, "proved A")
    play.do(4, "proved A")
    play.do(10, "proved A")
    # What is not reused any more makes room.
    assert play.do(1 + REUSE - 0.001, "yes web") == "ttl"
    assert play.do(1 + REUSE, "yes web") == "10 s"


def test_made_up_tags_leave_room_for_real_ones() -> None:
    play = watched(Play())
    for number in range(MAX_DENIED):
        assert play.do(1, f"no t{number}.web") == "2 s"
    assert play.do(1, "no more.web") == "ttl"
    assert play.do(1, "no t0.web") == "2 s"
    for number in range(MAX_KEYS):
        assert play.do(1, f"yes r{number}.web") == "10 s"
    # One that exists now is counted among those that do.
    play.do(1.1, "changed web 9")
    assert play.do(1.7, "yes t0.web") == "10 s"
    watch = play.freshness.watches[subject_for("web")]
    assert (len(watch.keys), len(watch.denied)) == (1, 0)


def test_what_was_dropped_is_counted() -> None:
    play = watched(Play())
    for question in ("web", "web/AAAA", "v1.web"):
        play.do(1, f"yes {question}")
    play.do(1.5, "no v9.web")
    before = play.freshness.invalidations
    assert play.do(1.6, "changed web 8") == "drop v1.web, v9.web, web, web/AAAA"
    assert play.freshness.invalidations == before + 4
    assert play.freshness.watches[subject_for("web")].changes == 1
    # What is dropped because a watch ends is no change.
    play.freshness.clear()
    assert play.freshness.invalidations == before + 4


# -- agents -----------------------------------------------------------------------------------


def test_the_load_is_spread_over_the_agents() -> None:
    play = Play("A B C", most=8)
    for number in range(8):
        play.do(0, f"yes s{number}")
        play.do(0, f"yes s{number}")
    # The best agent first, and no agent carries more than its share.
    assert list(play.placed.values()) == list("AAABBBCC")


def test_no_agent_carries_more_than_consul_lets_one_host_ask() -> None:
    play = Play("A", most=1000)
    for number in range(MOST_CARRIED + 1):
        play.do(0, f"yes s{number}")
        expected = f"s{number} at A; ttl" if number < MOST_CARRIED else "..."
        assert play.do(0, f"yes s{number}") == expected


def test_an_agent_that_takes_no_more_connections_gets_half_of_them_back() -> None:
    play = plays("""
        0   yes one     | ...
        0   yes one     | one at A; ttl
        0   yes two     | ...
        0   yes two     | two at A; ttl
        0   yes three   | ...
        0   yes three   | three at A; ttl
        0   yes four    | ...
        0   yes four    | four at A; ttl
        0   yes five    | ...
        0   yes five    | five at A; ttl
        0   proved A    | ...
        0   armed one 1 | drop one
        0   armed two 1 | drop two
        0   armed three 1 | drop three
        0   armed four 1 | drop four
        1   yes one     | 10 s
        1   failed five | five ends; drop five  # refused: four are held, two are given back
        1   crowded A   | two ends; three ends
        1.1 crowded A   | ...                   # the same refusal, told once more
        1.5 yes six     | ...
        1.5 yes six     | ...
        1.5 proved A    | ...
        2   yes one     | 10 s
    """, Play("A"))  # fmt: skip
    assert play.do(1 + CROWDED_AGAIN, "crowded A") == "four ends"
    assert play.do(1 + 2 * CROWDED_AGAIN, "crowded A") == "..."
    assert play.freshness.carriers.most("A") == 1


def test_where_another_agent_has_room_watches_move_to_it() -> None:
    plays("""
        0   yes one     | ...
        0   yes one     | one at A; ttl
        0   yes two     | ...
        0   yes two     | two at A; ttl
        0   armed one 1 | drop one
        0   armed two 1 | drop two
        1   crowded A   | one at B
        2   yes new     | ...
        2   yes new     | new at B; ttl
    """)


def test_an_agent_that_was_crowded_carries_more_again_after_minutes() -> None:
    play = Play("A")
    for number in range(8):
        play.do(0, f"yes s{number}")
        play.do(0, f"yes s{number}")
        play.do(0, f"armed s{number} 1")
    play.do(0, "crowded A")
    carriers = play.freshness.carriers
    seen = []
    for after in range(6):
        play.do(after * ROOM_AGAIN - 1, "idle")
        seen.append(carriers.most("A"))
        play.do(after * ROOM_AGAIN, "idle")
    assert seen == [4, 4, 8, 16, 32, MOST_CARRIED]
    assert carriers.crowded == {}


def test_agents_off_this_host_carry_few() -> None:
    play = Play("A B C")
    play.do(0, "there A B* C*")
    names = [f"s{number}" for number in range(MOST_CARRIED + 2 * MOST_FAR + 1)]
    for name in names:
        play.do(0, f"yes {name}")
        play.do(0, f"yes {name}")
    # On this host first, as long as there is room.
    told = "".join(play.placed.values())
    assert told == "A" * MOST_CARRIED + "B" * MOST_FAR + "C" * MOST_FAR
    # None of them has room for those of one that is lost.
    play.do(1, "lost A")
    assert "".join(play.placed.values()) == "B" * MOST_FAR + "C" * MOST_FAR


def test_watches_move_apart_to_agents_off_this_host() -> None:
    plays("""
        0   there A B* C* | ...
        0   yes web       | ...
        0   yes web       | web at A; ttl
        1   lost A        | web at B apart; drop web
        3   lost B        | web at C apart
        4   proved A      | ...
        8   failed web    | web at A
        9   yes db        | ...
        9   yes db        | db at A; ttl
    """, Play("A B C"))  # fmt: skip


def test_a_watch_that_waits_to_begin_is_not_long_there() -> None:
    """Otherwise agents that all refuse it would be asked in circles."""
    play = plays("""
        0   there A B*    | ...
        0   yes web       | ...
        0   yes web       | web at A; ttl
        1   failed web    | web at B apart; drop web
    """)
    play.freshness.began(subject_for("web"), "B", EPOCH + 10)
    assert play.do(10.1, "failed web") == "web ends"


def test_where_each_has_its_share_who_carries_least_takes_more() -> None:
    play = Play("A B C", most=6)
    for number in range(6):
        play.do(0, f"yes s{number}")
        play.do(0, f"yes s{number}")
    assert list(play.placed.values()) == list("AABBCC")
    play.do(1, "lost A")
    assert sorted(play.placed.values()) == list("BBBCCC")
    play.do(2, "lost B")
    assert sorted(play.placed.values()) == list("CCCCCC")
    play.do(3, "proved A")
    play.do(3, "yes s9")
    assert play.do(30, "yes s9") == "..."
    assert play.do(31, "yes s9") == "s0 ends; s9 at A; ttl"


def test_nobody_to_ask() -> None:
    play = Play("")
    for at in range(3):
        assert play.do(at, "yes web") == "..."


def test_watches_of_an_agent_that_is_lost_move() -> None:
    plays("""
        0   yes web     | ...
        0   yes web     | web at A; ttl
        0   yes db      | ...
        0   yes db      | db at A; ttl
        0   proved A    | ...
        0   armed web 1 | drop web
        1   yes web     | 10 s
        1   lost A      | web at B; db at B; drop db, web   # the most asked for first
        1.1 armed web at A 1 | ...              # what A still says does not count
        1.1 doubted web at A | ...
        1.1 failed web at A  | ...
        1.2 armed web 1 | ...
        2   yes web     | ttl                   # B has proved nothing yet
        2   proved B    | ...
        2   yes web     | 10 s
        3   yes new     | ...
        3   yes new     | new at B; ttl         # A is barred
        3   proved A    | ...
        3   yes more    | ...
        3   yes more    | more at A; ttl
    """)


def test_nothing_is_watched_at_agents_that_have_left() -> None:
    plays("""
        0   yes web      | ...
        0   yes web      | web at A; ttl
        0   yes db       | ...
        0   yes db       | db at A; ttl
        0   proved A     | ...
        0   armed web 1  | drop web
        1   yes web      | 10 s
        1   there B C    | web at B; db at B; drop db, web
        1   proved A     | ...                  # it was on its way
        1   proved B     | ...
        1   armed web 1  | ...
        2   yes web by A | ttl                  # asked before it left
        2   yes web by B | 10 s
        2   there C      | web at C; db at C; drop web
        2   failed web   | web ends             # A and B are its other candidates
        2   there A B C  | ...
        2   yes new      | ...
        2   yes new      | new at A; ttl
    """, Play("A B C"))  # fmt: skip


def test_agents_that_stay_keep_their_watches() -> None:
    plays("""
        0   yes web     | ...
        0   yes web     | web at A; ttl
        0   proved A    | ...
        0   armed web 1 | drop web
        1   yes web     | 10 s
        1   there A C   | ...
        1.5 changed web 2 | drop web
    """)


def test_what_an_agent_says_that_is_lost_is_not_reused() -> None:
    """Cut off from the others it may not know what a watch elsewhere has seen before it began."""
    plays("""
        0   yes web      | ...
        0   yes web      | web at A; ttl
        0   lost A       | web at B; drop web
        0   proved B     | ...
        0.1 armed web 1  | ...
        1   yes web by A | ttl
        1   yes web by B | 10 s
        1.1 yes web by A | ttl
        1.2 changed web 2 | drop web              # it hangs on the watch all the same
        1.3 proved A     | ...
        1.8 yes web by A | 10 s
    """)


def test_a_watch_that_breaks_moves_alone() -> None:
    plays("""
        0 yes web    | ...
        0 yes web    | web at A; ttl
        0 yes db     | ...
        0 yes db     | db at A; ttl
        0 failed web | web at B; drop web
        0 yes new    | ...
        0 yes new    | new at A; ttl            # nobody said that A is ill
    """)


def test_after_a_move_all_settles_again() -> None:
    plays("""
        0   yes web     | ...
        0   yes web     | web at A; ttl
        0   proved A    | ...
        0   armed web 1 | drop web
        1   yes web     | 10 s
        2   failed web  | web at B; drop web
        2   proved B    | ...
        2.1 yes web     | ttl
        2.2 armed web 1 | drop web
        2.6 yes web     | 0 s
        2.8 yes web     | 10 s
    """)


def test_nowhere_to_move() -> None:
    play = plays("""
        0   yes web      | ...
        0   yes web      | web at A; ttl
        1   lost A       | web ends; drop web
        1   armed web 1  | ...
        1   failed web   | ...
        1   changed web 1 | ...
        1   doubted web  | ...
        1   proved A     | ...
        2   yes web      | ...
        3   yes web      | ...                  # it is left alone for a while
    """, Play("A"))  # fmt: skip
    assert play.do(1 + REST - 0.001, "yes web") == "..."
    # How often it was asked for before is not forgotten.
    assert play.do(1 + REST, "yes web") == "web at A; ttl"


def test_agents_that_all_refuse_a_watch_are_not_asked_in_circles() -> None:
    """As with a datacenter nobody knows the way to: all are well, and each refuses at once."""
    plays("""
        0   no web     | ...
        0   no web     | web at A; ttl
        0.1 failed web | web at B; drop web
        0.2 failed web | web at C
        0.3 failed web | web ends
        5.2 no web     | ...
        5.3 no web     | web at A; ttl
    """, Play("A B C"))  # fmt: skip


def test_agents_that_break_off_soon_are_not_asked_in_circles_either() -> None:
    plays("""
        0   yes web     | ...
        0   yes web     | web at A; ttl
        0.1 armed web 1 | drop web
        1   failed web  | web at B
        1.1 armed web 1 | ...
        2   failed web  | web ends
    """)


def test_a_watch_may_come_back_to_where_it_failed_long_ago() -> None:
    plays("""
        0    yes web     | ...
        0    yes web     | web at A; ttl
        0    armed web 1 | drop web
        1    failed web  | web at B
        5.9  armed web 1 | ...
        6    failed web  | web at A
        10.9 failed web  | web ends             # at B it failed less than 5 s before that
    """)


def test_an_answer_of_another_agent_is_reused_once_that_knew_of_the_last_change() -> None:
    """Which it proves by what it heard of, before it was asked."""
    plays("""
        0    yes web          | ...
        0    yes web          | web at A; ttl
        0    proved A         | ...
        0    armed web 1      | drop web
        1    yes web by A     | 10 s               # the carrier itself
        1    yes web by B     | ttl                # from now on it is asked for proofs
        1.5  proved B 1.4     | ...
        1.4  yes web by B sent 1.4 | ttl           # it was asked before it proved it
        1.6  yes web by B     | 10 s
        1.8  proved A         | ...
        2    changed web 2    | drop web
        2.1  proved B 1.99    | ...                # it heard of what was before the change
        2.6  yes web by B     | ttl
        2.6  yes web by A     | 10 s
        2.7  proved B 2       | ...
        2.7  yes web by B     | 10 s
        2.9  yes web by C     | ttl
        3    proved A         | ...
        3.9  proved C         | ...
        3.99 yes web by B     | 10 s
        4    yes web by B     | ttl                # its proof is too old
        4.8  yes web by C     | 10 s
    """, Play("A B C"))  # fmt: skip


def test_a_proof_that_is_older_than_the_change_is_asked_for_sooner() -> None:
    play = plays("""
        0    yes web          | ...
        0    yes web          | web at A; ttl
        0    proved A         | ...
        0    armed web 1      | drop web
        1    yes web by B     | ttl
        1.1  proved B         | ...
        1.2  yes web by B     | 10 s
        1.5  changed web 2    | drop web
        1.7  yes web by B     | 0 s
        1.8  proved A         | ...
    """)
    assert play.begun == ["A", "B"]
    play.do(2.1, "yes web by B")
    assert play.begun == ["A", "B", "B"]
    play.do(2.2, "proved B")
    assert play.do(2.21, "yes web by B") == "10 s"
    assert play.begun == ["A", "B", "B"]


def test_who_answers_and_proves_nothing_any_more_is_lost() -> None:
    play = plays("""
        0    yes web          | ...
        0    yes web          | web at A; ttl
        0    proved A         | ...
        0    armed web 1      | drop web
        1    yes web by B     | ttl
        1    proved B         | ...
        1.5  yes web by B     | 10 s
        2.5  proved A         | ...
    """)
    assert play.freshness.expired(EPOCH + 3) == ["B"]
    assert play.do(3, "overdue") == "..."
    assert play.freshness.barred == {"B"}


def test_proofs_are_wanted_for_as_long_as_something_is_reused() -> None:
    play = plays("""
        0    yes web          | ...
        0    yes web          | web at A; ttl
        0    proved A         | ...
        0    armed web 1      | drop web
        1    yes web          | 10 s
    """)
    proofs = play.freshness.carriers.proofs
    assert play.begun == ["A"]
    assert proofs.wanted("A", EPOCH + 1 + PROVE_FOR - 0.001)
    assert not proofs.wanted("A", EPOCH + 1 + PROVE_FOR)
    play.do(PROVE_FOR, "proved A")
    # Nobody waits for another one: that it does not come says nothing about the agent.
    assert play.do(1 + PROVE_FOR + LIFE, "overdue") == "..."
    assert (play.freshness.ends_at(), play.freshness.barred) == (float("inf"), set())
    # Whoever asks again has it asked again.
    assert play.do(60, "yes web") == "ttl"
    assert play.begun == ["A", "A"]
    play.do(60.1, "proved A")
    assert play.do(60.2, "yes web") == "10 s"


def test_all_that_is_reused_is_proved_for_as_long() -> None:
    assert PROVE_FOR > REUSE


def test_agents_that_failed_are_asked_again_when_something_is() -> None:
    play = plays("""
        0    yes web          | ...
        0    yes web          | web at A; ttl
        1    lost A           | web at B; drop web
    """)
    assert play.begun == ["A", "B"]
    play.do(60, "idle")
    play.do(60, "yes web")
    assert play.begun == ["A", "B", "A", "B"]


def test_an_agent_without_watches_is_neither_proven_nor_lost() -> None:
    """Nobody asks it for proofs: that its last one is old says nothing."""
    play = plays("""
        0     yes web     | ...
        0     yes web     | web at A; ttl
        0     proved A    | ...
        0     armed web 1 | drop web
        300   idle        | web ends
        300.5 proved A    | ...                 # was on its way
        303   overdue     | ...
        310   yes web     | ...
        310   yes web     | web at A; ttl
        310   armed web 1 | drop web
        311   yes web     | ttl                 # what was proven once is not believed
    """)
    assert play.freshness.barred == set()


def test_subjects_at_rest_are_bounded() -> None:
    play = Play("A")
    for number in range(MAX_SEEN + 50):
        play.freshness._seen.rest(subject_for(f"s{number}"), EPOCH)
    assert len(play.freshness._seen.resting) == MAX_SEEN
    assert subject_for("s0") not in play.freshness._seen.resting


def test_the_end_of_everything() -> None:
    play = watched(Play())
    play.do(1, "yes web")
    play.do(1, "yes db")
    play.do(1, "yes db")
    assert play.do(1, "clear") == "web ends; db ends; drop db, web"
    assert play.freshness.ends_at() == float("inf")


def test_a_watch_that_is_unknown_says_nothing() -> None:
    play = Play()
    for event in ("armed web 1", "changed web 1", "doubted web", "failed web", "lost A"):
        assert play.do(0, event) == "..."


@pytest.mark.parametrize("event", ["idle", "overdue", "clear"])
def test_nothing_to_end(event: str) -> None:
    assert Play().do(0, event) == "..."


def test_where_no_connection_is_to_be_had_none_is_tried_again_and_again() -> None:
    carriers = Carriers(WatchLimits())
    assert carriers.place(["A"]) == "A"
    assert carriers.crowd("A", 0, 10.0) == 0
    assert carriers.place(["A"]) is None
    carriers.relax(10.0 + ROOM_AGAIN)
    assert carriers.place(["A"]) == "A"


def test_whoever_wants_proofs_of_one_that_nobody_asks_any_more_begins_anew() -> None:
    proofs = Carriers(WatchLimits()).proofs
    proofs.want("A", 15.0, 0.0)
    proofs.begin.clear()
    proofs.want("A", 16.0, 1.0)
    assert proofs.begin == []
    proofs.broke("A")
    proofs.want("A", 17.0, 2.0)
    assert proofs.begin == ["A"]


def shown(*tags: str, ipv4: int, ipv6: int = 0, port: int = 80, passing: bool = True) -> Instance:
    host = bytes((10, 0, 0, ipv4))
    return Instance(
        node=b"\x01n", target=b"\x02n%d" % (ipv4 % 10), host=host, ipv4=host if ipv4 else b"",
        ipv6=bytes(15) + bytes((ipv6,)) if ipv6 else b"", port=port, tags=frozenset(tags), weight=1,
        passing=passing, odd=False,
    )  # fmt: skip


THREE = frozenset((
    shown("a", ipv4=1, ipv6=1), shown("a", "b", ipv4=2), shown(ipv4=3, passing=False),
    shown("b", ipv4=1, ipv6=1, port=81),
))  # fmt: skip


@pytest.mark.parametrize(
    ("qtype", "tag", "least"),
    [
        (const.A, "", 2), (const.A, "a", 2), (const.A, "b", 2), (const.A, "c", 0),
        (const.AAAA, "", 1), (const.AAAA, "b", 1), (const.SRV, "", 3), (const.SRV, "b", 2),
        (const.TXT, "", 0),
    ],
)  # fmt: skip
def test_an_answer_that_is_meant_to_differ_is_not_reused(qtype: int, tag: str, least: int) -> None:
    """Fewer records than there are instances that pass, counted as DNS shows them."""
    freshness = Freshness(WatchLimits())
    for at in (0.0, 1.0):
        freshness.asked(WEB, ("A",), at, positive=True)
    freshness.proved("A", 1.0, 1.0)
    freshness.armed(WEB, "A", 1.0, size=4, healthy=4, shown=THREE)
    for records in range(1, 6):
        seconds = freshness.stored(
            WEB, b"x", positive=True, sent_at=2.0, now=2.0, source="A", tag=tag, qtype=qtype,
            records=records,
        )  # fmt: skip
        assert (seconds is not None) is (records >= least)


def test_without_a_list_of_instances_their_number_counts() -> None:
    freshness = Freshness(WatchLimits())
    for at in (0.0, 1.0):
        freshness.asked(WEB, ("A",), at, positive=True)
    freshness.proved("A", 1.0, 1.0)
    freshness.armed(WEB, "A", 1.0, size=3, healthy=3)
    how = {"positive": True, "sent_at": 2.0, "now": 2.0, "source": "A", "qtype": const.A}
    assert freshness.stored(WEB, b"x", records=2, **how) is None  # type: ignore[arg-type]
    assert freshness.stored(WEB, b"x", records=3, **how) == 10  # type: ignore[arg-type]
    assert freshness.stored(WEB, b"y", records=1, tag="t", **how) == 10  # type: ignore[arg-type]
