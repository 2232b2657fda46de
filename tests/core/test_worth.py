"""How many must ask for proofs to be worth it."""

from __future__ import annotations

from consulfwd.core.freshness import PROVE_FOR
from consulfwd.core.proofs import LIFE
from consulfwd.core.watches import REUSE
from consulfwd.core.worth import LEAST, MANY, OVER, SOON, Worth
from tests.core.watched import EPOCH, Play, subject_for


def counted(worth: Worth, rate: float, seconds: int, begin: float = 0.0, every: int = 1) -> float:
    """Have so many queries a second counted for so long; return when that is over."""
    for second in range(0, seconds + 1, every):
        worth.count(int(rate * second), begin + second)
    return begin + seconds


def test_worth_it_until_hardly_anybody_has_asked_for_long() -> None:
    for rate, length, worth_it in (
        (0, int(OVER) - 1, True),
        (0, int(OVER), False),
        (LEAST, 5 * int(OVER), True),
        (LEAST - 0.1, 5 * int(OVER), False),
    ):
        worth = Worth()
        counted(worth, rate, length)
        assert worth.it_is is worth_it, (rate, length)
    worth = Worth()
    # And where it is counted every few seconds only.
    counted(worth, 0, 20, every=5)
    assert not worth.it_is


def test_what_was_long_ago_does_not_count() -> None:
    worth = Worth()
    end = counted(worth, 1000, 60)
    for second in range(1, int(OVER) + 1):
        worth.count(60_000, end + second)
        assert worth.it_is is (second < OVER)


def test_worth_it_again_once_many_ask() -> None:
    def idle() -> Worth:
        worth = Worth()
        counted(worth, 0, int(OVER))
        return worth

    worth = idle()
    for number in range(MANY):
        assert not worth.it_is
        worth.asked(100.0 + number * SOON / (MANY - 1))
    assert worth.it_is
    # From then on it is counted anew.
    worth.count(0, 105.0)
    worth.count(0, 105.0 + OVER - 0.1)
    assert worth.it_is
    worth = idle()
    for number in range(3 * MANY):
        worth.asked(100.0 + number * (SOON + 0.1) / (MANY - 1))
    assert not worth.it_is


def test_where_it_is_not_each_is_asked_and_nothing_proved() -> None:
    play = Play()
    freshness, web = play.freshness, subject_for("web")
    proofs = freshness.carriers.proofs
    for _ in range(2):
        freshness.asked(web, ("A",), EPOCH, positive=True)
    freshness.armed(web, "A", EPOCH, size=3, healthy=3)
    freshness.proved("A", EPOCH, EPOCH)
    assert freshness.worth.it_is

    def stored(now: float, source: str = "") -> float | None:
        freshness.asked(web, ("A",), now, positive=True)
        return freshness.stored(
            web, b"web", positive=True, sent_at=now - 0.001, now=now, source=source, records=3
        )

    assert stored(EPOCH + 1) == REUSE
    counted(freshness.worth, 1, int(OVER), EPOCH)
    proofs.begin.clear()
    # What is proved still counts; nobody is asked to go on.
    later = EPOCH + 1 + PROVE_FOR
    assert not proofs.wanted("A", later)
    for number in range(MANY - 1):
        at = later + number * SOON / MANY
        assert stored(at, source="B") is None
        assert not proofs.wanted("A", at)
        assert proofs.begin == []
    # Watched it is as ever, and many ask: it goes on at once.
    last = later + SOON
    assert stored(last) is None
    assert proofs.wanted("A", last)
    assert "A" in proofs.begin
    freshness.proved("A", last, last)
    assert freshness.watches[web].armed
    assert stored(last + LIFE / 2) == REUSE
