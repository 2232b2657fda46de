"""Places for questions about unknown names: so many, then in turns."""

from __future__ import annotations

from consulfwd.core.shield import LOOK_EVERY, Shield

ZONE, OTHER = b"\6consul\0", b"\4corp\0"


class Play:
    """A shield, and what is in flight."""

    def __init__(self, most: int) -> None:
        self.shield = Shield(most)
        self.flying: set[bytes] = set()
        self.now = 0.0

    def ask(
        self, client: str, name: int | str, zone: bytes = ZONE, *, alone: bool = False
    ) -> bool:
        key = f"{client} {name}".encode()
        admitted = self.shield.admits(zone, key, client, self.flying, self.now, alone=alone)
        if admitted:
            self.flying.add(key)
        return admitted

    def flood(self, client: str, count: int, zone: bytes = ZONE, *, alone: bool = False) -> int:
        return sum(self.ask(client, number, zone, alone=alone) for number in range(count))

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


def test_one_client_has_so_many_places_at_servers_of_consul() -> None:
    play = Play(10)
    assert play.flood("a", 30) == 10
    assert len(play.shield) == 10


def test_each_has_a_part_of_as_many_again_once_these_are_taken() -> None:
    play = Play(10)
    assert play.flood("a", 30) == 10
    assert play.flood("honest", 30) == 5
    assert play.flood("c", 30) == 3
    assert not play.ask("a", "more")


def test_a_thousand_clients_have_twice_as_many_at_most() -> None:
    play = Play(10)
    assert sum(play.ask(f"c{number}", 0) for number in range(1000)) == 20
    assert len(play.shield) == 20


def test_answers_make_room() -> None:
    play = Play(10)
    play.flood("a", 10)
    play.flying.discard(b"a 3")
    # Just begun to count: it is looked for at once.
    assert play.ask("a", "x")
    play.flying.discard(b"a 4")
    # Not again at once, since each look takes its time.
    assert not play.ask("a", "y")
    play.pass_by(LOOK_EVERY - 0.001)
    assert not play.ask("a", "y")
    play.pass_by(0.002)
    assert play.ask("a", "y")
    assert not play.ask("a", "z")


def test_zones_have_places_of_their_own() -> None:
    play = Play(10)
    assert play.flood("a", 30) == 10
    assert play.flood("b", 30, OTHER) == 10


def test_a_client_alone_is_left_to_others_where_others_see_to_the_room() -> None:
    play = Play(10)
    assert play.flood("a", 30, alone=True) == 30
    assert len(play.shield) == 10
    assert play.flood("b", 30, alone=True) == 5
    assert not play.ask("a", "more", alone=True)


def test_a_question_asked_again_is_counted_once() -> None:
    play = Play(10)
    for _ in range(30):
        assert play.ask("a", 1)
    assert play.flood("a", 30) == 10


def test_nothing_is_left_of_what_was_answered() -> None:
    play = Play(10)
    play.flood("a", 10)
    play.flood("b", 10, OTHER)
    play.flying = {key for key in play.flying if key.startswith(b"b")}
    play.pass_by(1)
    play.shield.second(play.flying, play.now)
    assert (len(play.shield), list(play.shield._zones)) == (10, [OTHER])
    play.flying.clear()
    play.pass_by(1)
    play.shield.second(play.flying, play.now)
    assert (len(play.shield), play.shield._zones) == (0, {})


def test_when_it_pays_to_count() -> None:
    assert (Shield(500).begins, Shield(0).begins) == (250, float("inf"))
