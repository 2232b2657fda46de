"""What names are answered with, as checks come in: rounds, falls, returns, last resorts, orders."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from consulfwd.config.failover import CheckerSettings
from consulfwd.dns import const
from consulfwd.failover.model import RecordState
from tests.failover.site import DAY, NAME, ONE, OTHER, TWO, Site, settings


def view(site: Site) -> RecordState:
    return site.book.view(NAME)


def run(site: Site, script: str, step: float = 10.0) -> list[str]:
    """Rounds of results, of both by their first letters; return what was answered after each."""
    words = {"o": "ok", "f": "fail", "e": "error"}
    found = []
    for both in script.split():
        site.now += step
        site.check(a1=words[both[0]], a2=words[both[1]])
        found.append("-" if site.ips() is None else "+".join(site.ips() or ["none"])[-1:])
    return found


def test_nothing_is_answered_before_a_full_round() -> None:
    site = Site()
    assert site.ips() is None
    assert view(site).why == "not every address was checked yet"
    site.check(a1="ok")
    assert site.ips() is None
    site.check(a2="ok")
    assert site.ips() == [ONE]


def test_who_waits_for_checkers_says_for_whom() -> None:
    site = Site(checker=CheckerSettings(checkers=("a", "b", "c")))
    assert view(site).why == "0 of the checkers a, b, c are heard, and 2 must agree"
    for who in "ab":
        site.book.heard(who, {})
    assert view(site).why == "not enough checkers said yet how each address is"


def test_the_first_round_counts_at_once() -> None:
    site = Site()
    site.check(a1="fail", a2="ok")
    assert site.ips() == [OTHER]
    assert "down" in site.said("down")[0]


@pytest.mark.parametrize("both", [("error", "error"), ("fail", "error"), ("error", "fail")])
def test_what_nobody_knows_is_not_guessed(both: tuple[str, str]) -> None:
    site = Site()
    site.check(a1=both[0], a2=both[1])
    assert site.ips() is None


def test_another_that_is_up_is_no_guess() -> None:
    site = Site()
    site.check(a1="error", a2="ok")
    assert site.ips() == [OTHER]


def test_fall_and_rise() -> None:
    # The last digits of .2.1 and .100.1 are the same: read pools.
    site = Site(settings([ONE], ["198.51.100.9"], fall=3, rise=2))
    assert run(site, "oo fo fo fo oo oo") == ["1", "1", "1", "9", "9", "1"]


def test_one_that_is_well_between_begins_anew() -> None:
    site = Site(settings([ONE], ["198.51.100.9"], fall=3))
    assert run(site, "oo fo fo oo fo fo oo") == ["1"] * 7


def test_an_error_neither_counts_nor_forgives() -> None:
    site = Site(settings([ONE], ["198.51.100.9"], fall=2))
    assert run(site, "oo fo eo eo eo eo") == ["1"] * 6
    assert run(site, "fo") == ["9"]
    assert run(site, "oo eo oo") == ["9", "9", "1"]


def test_who_comes_and_goes_has_to_be_well_for_longer() -> None:
    record = settings([ONE], ["198.51.100.9"], fall=1, rise=1, flapping={"rise_max": 4})
    site = Site(record)
    assert run(site, "oo fo oo") == ["1", "9", "1"]
    assert run(site, "fo oo oo") == ["9", "9", "1"]
    assert run(site, "fo oo oo oo oo") == ["9", "9", "9", "9", "1"]
    # No more than rise_max.
    assert run(site, "fo oo oo oo oo") == ["9", "9", "9", "9", "1"]
    # And no longer than the window.
    site.now += 600
    assert run(site, "fo oo") == ["9", "1"]


def test_failback_after_a_while() -> None:
    site = Site(settings([ONE], ["198.51.100.9"], fall=1, rise=1, failback={"after": 25}))
    assert run(site, "oo fo oo oo oo") == ["1", "9", "9", "9", "9"]
    state = view(site)
    assert (state.preferred, state.back_at) == (0, DAY + 1_030 + 25)
    assert site.book.turn() == pytest.approx(5)
    site.now += 4.9
    site.book.turn()
    assert site.ips() == ["198.51.100.9"]
    site.now += 0.1
    site.book.turn()
    assert site.ips() == [ONE]
    assert view(site).preferred is None


def test_failback_waits_anew_after_each_fall() -> None:
    site = Site(settings([ONE], ["198.51.100.9"], fall=1, rise=1, failback={"after": 25}))
    assert run(site, "oo fo oo oo fo oo oo oo oo oo")[-4:] == ["9", "9", "9", "1"]


def test_failback_by_order() -> None:
    site = Site(settings([ONE], ["198.51.100.9"], fall=1, rise=1, failback="manual"))
    assert run(site, "oo fo oo oo oo oo") == ["1", *"99999"]
    assert site.book.turn() is None
    assert "waits" in view(site).why
    with pytest.raises(ValueError, match="no record"):
        site.book.back("ftp.*")
    assert site.book.back("www.*") == (NAME,)
    assert site.ips() == [ONE]
    assert site.book.back("www.*") == ()


def test_a_secondary_that_falls_needs_no_order() -> None:
    site = Site(settings([ONE], ["198.51.100.9"], fall=1, rise=1, failback="manual"))
    assert run(site, "oo fo oo of") == ["1", "9", "9", "1"]


@pytest.mark.parametrize(
    ("all_down", "given"),
    [
        ("primary", [ONE]),
        ("all", [ONE, OTHER]),
        ("none", []),
        ("203.0.113.9", ["203.0.113.9"]),
    ],
)
def test_the_last_resort_holds_until_a_rise(all_down: str, given: list[str]) -> None:
    site = Site(settings(all_down=all_down, fall=1, rise=2))
    site.check(a1="ok", a2="ok")
    site.check(a1="fail", a2="fail")
    for _ in range(5):
        assert sorted(site.ips() or []) == given
        site.check(a1="ok")
        site.check(a1="fail", a2="ok")
        site.check(a2="fail")
    site.check(a2="ok")
    site.check(a2="ok")
    assert site.ips() == [OTHER]
    assert view(site).given is not None


def test_families() -> None:
    site = Site(settings([ONE, "2001:db8::1"], [OTHER]))
    site.check(a1="ok", a2="ok", a3="ok")
    assert (site.ips(const.A), site.ips(const.AAAA)) == ([ONE], ["2001:db8::1"])
    assert site.ips(const.TXT) == []
    for _ in range(3):
        site.check(a1="fail")
    # One of the pool is up: it is well.
    assert (site.ips(const.A), site.ips(const.AAAA)) == ([], ["2001:db8::1"])


def firsts(site: Site) -> Counter[str]:
    rng = random.Random(7)
    found: Counter[str] = Counter()
    for _ in range(2_000):
        given = site.book.answer(NAME, const.A, rng)
        assert given is not None
        found[str(given.addresses[0].ip)] += 1
    return found


def test_weights() -> None:
    site = Site(settings([ONE, {"address": TWO, "weight": 3}]))
    site.check(a1="ok", a2="ok")
    assert sorted(site.ips() or []) == [ONE, TWO]
    assert 400 < firsts(site)[ONE] < 600


def test_one_by_weight() -> None:
    site = Site(settings([ONE, TWO], answer="one"))
    site.check(a1="ok", a2="ok")
    assert len(site.ips() or []) == 1
    assert 850 < firsts(site)[ONE] < 1_150


def test_ttl_is_what_is_left_until_a_fall() -> None:
    site = Site(settings(ttl=60, interval=10.0, fall=3, ttl_min=2))
    given = site.check(a1="ok", a2="ok")
    assert given is not None
    assert given.ttl == 30
    site.now += 10
    given = site.check(a1="fail", took=2.0)
    # Two more checks after the one that began two seconds ago.
    assert given is not None
    assert given.ttl == 18
    site.now += 9
    given = site.check(a1="fail")
    assert given is not None
    assert given.ttl == 10
    site.now += 9.5
    assert site.book.view(NAME).given == given._replace(ttl=2)
    site.now += 100
    assert site.book.view(NAME).given == given._replace(ttl=2)


def test_ttl_of_the_last_resort_is_what_is_left_until_a_rise() -> None:
    site = Site(settings(ttl=60, interval=10.0, fall=1, rise=3))
    site.check(a1="ok", a2="ok")
    given = site.check(a1="fail", a2="fail")
    assert given is not None
    assert given.ttl == 30
    given = site.check(a2="ok")
    assert given is not None
    assert given.ttl == 20


def test_ttl_has_its_upper_bound() -> None:
    site = Site(settings(ttl=5))
    given = site.check(a1="ok", a2="ok")
    assert given is not None
    assert given.ttl == 5


def test_force() -> None:
    site = Site()
    site.check(a1="ok", a2="ok")
    until = DAY + site.now + 60
    assert site.book.force(f"{NAME}/primary", "down", until, "new disks", "eve") == (NAME,)
    assert site.ips() == [OTHER]
    state = view(site)
    assert (state.addresses[0].forced, state.addresses[0].why) == (
        "down",
        "forced down by eve: new disks",
    )
    assert [one.glob for one in state.forces] == [f"{NAME}/primary"]
    # What was forced last counts.
    site.book.force(f"*/{ONE}", "up", None, "", "bob")
    assert site.ips() == [ONE]
    assert [one.glob for one in site.book.unforce(f"*/{ONE}")] == [f"*/{ONE}"]
    assert site.ips() == [OTHER]
    site.now += 59.9
    assert site.book.turn() == pytest.approx(0.1)
    assert site.ips() == [OTHER]
    site.now += 0.1
    site.book.turn()
    assert site.ips() == [ONE]
    assert site.book.forces == ()
    assert site.kinds()[-3:] == ["up", "answer", "unforced"]


def test_a_force_takes_what_checks_say_meanwhile_as_it_ends() -> None:
    site = Site(settings(fall=1))
    site.check(a1="ok", a2="ok")
    site.book.force("*", "up", DAY + site.now + 60, "", "eve")
    site.check(a1="fail")
    assert site.ips() == [ONE]
    site.now += 60
    site.book.turn()
    assert site.ips() == [OTHER]


@pytest.mark.parametrize(
    ("glob", "to", "until", "said"),
    [
        ("ftp.*", "up", None, "is no record"),
        ("*", "sideways", None, "neither up nor down"),
        ("*", "up", DAY, "is over"),
    ],
)
def test_a_force_that_cannot_be(glob: str, to: str, until: float | None, said: str) -> None:
    site = Site()
    with pytest.raises(ValueError, match=said):
        site.book.force(glob, to, until, "", "eve")
    assert site.told == []


def test_forces_are_bounded() -> None:
    site = Site()
    for number in range(100):
        site.book.force("*" * (number + 1), "up", None, "", "eve")
    with pytest.raises(ValueError, match="100 are in force"):
        site.book.force("www*", "up", None, "", "eve")


def test_what_is_told() -> None:
    site = Site(settings({"name": "dc1", "addresses": [ONE]}, [OTHER], fall=2))
    for both in ("ok ok", "fail ok", "fail ok", "fail ok"):
        a1, a2 = both.split()
        site.check(a1=a1, a2=a2)
    assert site.said() == [
        f"{NAME}: {ONE} (dc1) is up: it was ok",
        f"{NAME}: {OTHER} (secondary) is up: it was ok",
        f"{NAME} is answered with {ONE}: dc1 is well, 1 of 1 up",
        f"{NAME}: {ONE} (dc1) is down: it was fail",
        f"{NAME} is answered with {OTHER}: secondary is well, 1 of 1 up; dc1: it was fail",
    ]


def test_other_settings_keep_what_is_known() -> None:
    before = Site(settings(fall=1))
    before.check(a1="ok", a2="ok")
    before.check(a1="fail")
    before.book.force(f"*/{OTHER}", "up", None, "", "eve")
    site = Site(settings([ONE], [OTHER, TWO], fall=5, ttl=7), now=before.now)
    site.book.take_over(before.book)
    # The new address is not known yet, and nobody waits for it.
    assert site.ips() == [OTHER]
    assert site.told == []
    assert [one.glob for one in site.book.forces] == [f"*/{OTHER}"]
    site.check(a3="ok")
    assert sorted(site.ips() or []) == [TWO, OTHER]
    # The primary is down still, by what was known.
    site.check(a1="ok")
    assert view(site).addresses[0].up is False


def test_what_is_no_target_any_more_is_passed_over() -> None:
    site = Site()
    ((_, address), _) = site.book.targets()
    site.of(address, "fail", name="gone.example.com")
    site.of(address._replace(ip=settings([TWO]).pools[0].addresses[0].address), "fail")
    assert site.told == []
