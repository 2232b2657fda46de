"""When a server is asked in mixed letters: tried at first, then always, until that fails."""

from __future__ import annotations

from consulfwd.core.spelling import (
    AGAIN,
    CHANGED,
    ENOUGH,
    LONGEST,
    MADE_UP,
    TRIAL,
    UNHEARD,
    Spelling,
)  # fmt: skip

NOW = 100.0


def known() -> Spelling:
    one = Spelling()
    for _ in range(ENOUGH):
        assert one.mixes(NOW)
        one.repeated()
    assert one.known
    return one


def test_one_query_at_a_time_is_a_trial() -> None:
    one = Spelling()
    assert [one.mixes(NOW) for _ in range(3)] == [True, False, False]
    one.repeated()
    assert [one.mixes(NOW) for _ in range(3)] == [True, False, False]
    assert not one.known


def test_who_repeats_them_is_asked_so_always() -> None:
    one = known()
    assert all(one.mixes(NOW + at) for at in (0, 0.1, 1e6))


def test_a_trial_without_a_reply_is_followed_by_another_ever_later() -> None:
    one, now, pauses = Spelling(), NOW, []
    assert one.mixes(now)
    for _ in range(30):
        pause = TRIAL
        while not one.mixes(now + pause):
            assert not one.mixes(now + pause - 0.001)
            pause *= 2
            if pause > LONGEST:
                pause = LONGEST
        pauses.append(pause)
        now += pause
    assert pauses[:4] == [TRIAL, 2 * TRIAL, 4 * TRIAL, 8 * TRIAL]
    assert pauses[-1] == LONGEST
    # One that is answered makes up for it.
    one.repeated()
    assert one.mixes(now)
    assert not one.mixes(now + TRIAL - 0.001)


def test_a_reply_in_other_letters_is_as_good_while_nothing_is_known() -> None:
    one = Spelling()
    assert one.mixes(NOW)
    assert one.changed(NOW)
    assert not one.mixes(NOW + AGAIN - 0.001)
    assert one.mixes(NOW + AGAIN)


def test_a_reply_in_other_letters_is_none_of_who_repeats_them() -> None:
    one = known()
    for _ in range(CHANGED):
        assert one.mixes(NOW)
        assert not one.changed(NOW)
    # What else was under way then is asked in vain, and taken as it comes.
    assert one.changed(NOW)
    assert not one.mixes(NOW + AGAIN - 0.001)
    assert one.mixes(NOW + AGAIN)
    assert not one.known


def test_who_guesses_all_but_the_letters_now_and_then_does_not_turn_them_off() -> None:
    one = known()
    for _ in range(100):
        for _ in range(CHANGED - 1):
            assert not one.changed(NOW)
        for _ in range(MADE_UP * (CHANGED - 1)):
            assert one.known
            one.repeated()
    assert one.doubts == 0


def test_where_some_of_several_behind_an_address_do_not_repeat_them_it_is_given_up() -> None:
    one, asked = known(), 0
    while one.known:
        asked += 1
        if asked % 8:
            one.repeated()
        else:
            one.changed(NOW)
    assert asked < 8 * 5


def test_questions_answered_in_small_letters_only() -> None:
    one = known()
    for _ in range(UNHEARD - 1):
        one.unheard(NOW)
    assert one.mixes(NOW)
    one.repeated()  # it was slow
    for _ in range(UNHEARD):
        assert one.mixes(NOW)
        one.unheard(NOW)
    assert not one.mixes(NOW + AGAIN - 0.001)
