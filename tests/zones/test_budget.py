"""How much may be withdrawn in an hour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.config.zones import BudgetSettings
from consulfwd.zones.budget import ITEM, Allowance, Budget, Verdict, Wish, address_item
from consulfwd.zones.sliding import Peak

NOTHING = Wish()


def wish(*addresses: str, names: Iterable[str] = ()) -> Wish:
    """Return a wish: "web 1" is an address of web."""
    parts = (one.split() for one in addresses)
    return Wish(
        frozenset(one.encode() for one in names),
        frozenset((name.encode(), address.encode()) for name, address in parts),
    )


def many(count: int, first: int = 0) -> Wish:
    return wish(*(f"n{at} 1" for at in range(first, first + count)),
                names=(f"n{at}" for at in range(first, first + count)))  # fmt: skip


def addresses(count: int, name: str = "web") -> Wish:
    return wish(*(f"{name} {at}" for at in range(count)))


def budget(now: float = 0, **values: Any) -> Budget:
    return Budget(BudgetSettings(**values), now)


@pytest.mark.parametrize(
    ("total", "fit"), [(9, 9), (10, 3), (13, 3), (14, 4), (100, 30), (1_000, 300)]
)
def test_so_many_may_go(total: int, fit: int) -> None:
    for what, there in ((addresses, (1, total)), (many, (total, total))):
        if fit < total:
            verdict = budget().judge({"a": what(1), "web": what(fit + 1)}, there, 0)
            assert verdict.of == {"web"}
            assert verdict.why == "more than 30 % of the names or addresses within 3600 s"
        assert budget().judge({"web": what(fit)}, there, 0) == Verdict()


def test_names_and_addresses_each_have_their_own() -> None:
    assert budget().judge({"web": many(3)}, (10, 9), 0).of == frozenset()
    assert budget().judge({"web": many(4)}, (10, 9), 0).of == {"web"}
    assert budget().judge({"web": many(4)}, (9, 10), 0).of == {"web"}
    assert budget().judge({"web": addresses(3)}, (10, 10), 0).of == frozenset()


def test_none_and_all() -> None:
    assert budget(percent=0).judge({"web": addresses(1)}, (10, 10), 0).of == {"web"}
    assert budget(percent=100).judge({"web": addresses(10)}, (10, 10), 0).of == frozenset()
    assert budget(least=0).judge({"web": addresses(1)}, (1, 3), 0).of == {"web"}


def test_a_sliding_hour() -> None:
    one = budget()
    one.judge({"a": addresses(30, "a")}, (1, 100), 100)
    one.done(addresses(30, "a"), NOTHING, 100)
    later = {"b": addresses(1, "b")}
    assert one.judge(later, (1, 70), 200).of == {"b"}
    assert one.due() == 3_700
    assert one.judge(later, (1, 70), 3_699.999).of == {"b"}
    assert one.judge(later, (1, 70), 3_700).of == frozenset()
    assert one.due() is None


def test_the_share_is_that_of_the_most_there_was_in_the_hour() -> None:
    one = budget()
    one.judge({}, (1, 100), 0)
    assert one.judge({"b": addresses(30, "b")}, (1, 50), 100).of == frozenset()
    assert one.judge({"b": addresses(30, "b")}, (1, 50), 3_699.999).of == frozenset()
    assert one.judge({"b": addresses(30, "b")}, (1, 50), 3_700).of == {"b"}


def test_rounds_get_no_further_than_one() -> None:
    """29 % a minute for ten minutes stops at 30 % in all."""
    one, there = budget(), 1_000
    for minute in range(10):
        going = min(290, there)
        found = one.judge({"web": addresses(going, f"m{minute}")}, (1, there), 60.0 * minute)
        if not found.of:
            one.done(addresses(going, f"m{minute}"), NOTHING, 60.0 * minute)
            there -= going
    assert there == 710
    single = {f"s{at:03}": addresses(1, f"s{at:03}") for at in range(100)}
    assert one.judge(single, (1, there), 601).of == {f"s{at:03}" for at in range(10, 100)}


def test_what_came_back_counts_no_more() -> None:
    one = budget()
    one.judge({}, (1, 10), 0)
    for now in range(100):
        gone = addresses(3)
        assert one.judge({"web": gone}, (1, 10), now).of == frozenset()
        one.done(gone, NOTHING, now)
        assert one.judge({"app": addresses(1, "app")}, (1, 7), now).of == {"app"}
        one.done(NOTHING, gone, now)


def test_what_went_already_costs_nothing_again() -> None:
    one = budget()
    one.judge({}, (1, 10), 0)
    one.done(addresses(3), NOTHING, 0)
    assert one.judge({"web": addresses(3)}, (1, 10), 1).of == frozenset()
    # It counts from when it went last.
    one.done(addresses(3), NOTHING, 100)
    assert one.judge({"b": addresses(1, "b")}, (1, 10), 3_699).of == {"b"}


def test_the_oldest_wish_comes_first_and_what_does_not_fit_leaves_room() -> None:
    one = budget()
    big = addresses(3, "big")
    one.judge({}, (1, 10), 0)
    one.done(addresses(1, "x"), NOTHING, 0)
    assert one.judge({"big": big}, (1, 9), 0).of == {"big"}
    small = {name: addresses(2, name) for name in ("b", "a")}
    assert one.judge({"big": big, "b": small["b"]}, (1, 9), 1).of == {"big"}
    found = one.judge({"big": big, **small}, (1, 9), 2)
    assert found.of == {"big", "a"}
    assert found.number == 5
    fresh = budget()
    assert fresh.judge(small, (1, 10), 0).of == {"b"}
    # A wish that is given up is a new one when it comes again.
    assert fresh.judge({"b": small["b"]}, (1, 10), 1).of == frozenset()
    assert fresh.judge(small, (1, 10), 2).of == {"a"}


def test_all_of_a_service_waits_where_it_fits_another_hour() -> None:
    one = budget()
    one.judge({}, (1, 10), 0)
    one.done(addresses(1, "x"), NOTHING, 0)
    found = one.judge({"web": addresses(3)}, (1, 9), 1)
    assert found.over == {"web"}
    assert found.parts == frozenset()
    assert found.number == 3


def test_what_fits_no_hour_goes_name_by_name() -> None:
    """SRV records first, as what they lead to cannot go before them."""
    names = ("h1", "h2", "srv", "web")
    whole = wish("h1 1", "h2 2", "web 1", "web 2", names=names)
    one = budget()
    found = one.judge({"web": whole}, (10, 10), 0)
    assert found.over == frozenset()
    assert found.parts == {b"web"}
    assert found.of == {"web"}
    assert found.number == 3
    assert one.judge({"web": wish("web 1", "web 2", names=["web"])}, (7, 8), 0).of == frozenset()


def test_a_name_that_fits_no_hour_goes_address_by_address() -> None:
    one = budget()
    found = one.judge({"web": addresses(5)}, (1, 10), 0)
    assert found.kept == {(b"web", b"3"), (b"web", b"4")}
    assert not found.over
    assert not found.parts
    assert found.of == {"web"}
    assert found.number == 2
    assert one.judge({"web": addresses(5)}, (1, 10), 0, Allowance(2, 1)).spends
    assert not one.judge({"web": addresses(5)}, (1, 10), 0, Allowance(1, 1)).spends
    one.done(addresses(3), NOTHING, 0)
    assert one.judge({"web": wish("web 3", "web 4")}, (1, 7), 1).over == {"web"}
    assert one.judge({"web": wish("web 3", "web 4")}, (1, 7), 3_600).of == frozenset()
    # That it would vanish is one more.
    whole = wish(*(f"web {at}" for at in range(5)), names=["web"])
    assert budget().judge({"web": whole}, (10, 10), 0).number == 3


def test_wishes_for_nothing_always_fit() -> None:
    one = budget(percent=0)
    assert one.judge({"web": NOTHING, "app": addresses(1)}, (10, 10), 0).of == {"app"}


def test_an_allowance_is_for_so_much() -> None:
    one = budget()
    over = {"web": addresses(5), "app": addresses(5, "app")}
    for number, spends in ((6, False), (7, True), (8, True)):
        found = one.judge(over, (1, 10), 0, Allowance(number, 100))
        assert found.spends is spends
        assert (found.of == frozenset()) is spends
        assert found.number == (0 if spends else 7)
    assert one.judge(over, (1, 10), 99.9, Allowance(10, 100)).spends
    assert not one.judge(over, (1, 10), 100, Allowance(10, 100)).spends


def test_an_allowance_is_for_whom_it_was_given() -> None:
    one = budget()
    over = {"web": addresses(5)}
    assert one.judge(over, (1, 10), 0, Allowance(9, 1, frozenset({"web", "app"}))).spends
    assert not one.judge(over, (1, 10), 0, Allowance(9, 1, frozenset({"app"}))).spends


def test_an_allowance_that_is_not_needed_is_not_spent() -> None:
    assert not budget().judge({"web": addresses(1)}, (1, 10), 0, Allowance(9, 9)).spends


def test_it_is_remembered() -> None:
    one = budget()
    one.judge({}, (20, 100), 0)
    one.done(addresses(30), NOTHING, 10)
    one.done(many(2), NOTHING, 20)
    spent = one.spent(100)
    assert spent.addresses[0] == (90, address_item(b"web", b"0")) or len(spent.addresses) == 32
    assert {age for age, _ in spent.addresses} == {90, 80}
    assert all(len(item) == ITEM for _, item in spent.names + spent.addresses)
    assert spent.most_names == [(100, 20)]
    again = Budget(BudgetSettings(), 1_000, spent)
    assert again.judge({"x": addresses(1, "x")}, (18, 68), 1_000).of == {"x"}
    assert again.judge({"x": addresses(1, "x")}, (18, 68), 1_000 - 90 + 3_599.9).of == {"x"}
    assert again.judge({"x": addresses(1, "x")}, (18, 68), 1_000 - 90 + 3_600).of == frozenset()


def test_what_is_out_of_time_is_not_remembered() -> None:
    one = budget()
    one.judge({}, (1, 10), 0)
    one.done(addresses(3), NOTHING, 0)
    assert len(one.spent(3_599.9).addresses) == 3
    assert one.spent(3_600).addresses == []


def test_nothing_is_due_where_time_does_not_help() -> None:
    one = budget(percent=0)
    assert one.due() is None
    one.judge({"web": addresses(1)}, (1, 10), 0)
    assert one.due() is None


def test_the_greatest_number() -> None:
    peak = Peak(10)
    assert peak.value() == 0
    for now, number, value in (
        (0, 5, 5), (1, 3, 5), (5, 4, 5), (10.9, 4, 5), (11, 2, 4), (20.9, 2, 4), (21, 1, 2),
        (22, 9, 9),
    ):  # fmt: skip
        peak.note(number, now)
        assert peak.value() == value, now
    assert peak.noted() == [(11, 9)]


@given(
    st.lists(
        st.tuples(st.floats(0, 900), st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29))),
        max_size=30,
    )
)
def test_no_more_than_that_is_ever_missing(
    rounds: list[tuple[float, set[int], set[int]]],
) -> None:
    """Of 30 names 9 at most are missing that went within an hour, whatever is wished."""
    one, there, now = budget(), set(range(30)), 0.0
    went: dict[int, float] = {}
    one.judge({}, (30, 30), 0)
    for passed, go, come in rounds:
        now += passed
        wishes = {f"n{at}": many(1, at) for at in go & there}
        over = one.judge(wishes, (len(there), len(there)), now).of
        gone = {at for at in go & there if f"n{at}" not in over}
        came = come - there
        join = [many(1, at) for at in gone], [many(1, at) for at in came]
        lost, back = (
            Wish(frozenset().union(*(one.names for one in each)),
                 frozenset().union(*(one.addresses for one in each)))
            for each in join
        )  # fmt: skip
        one.done(lost, back, now)
        there = there - gone | came
        went = {at: when for at, when in went.items() if at not in came}
        went |= dict.fromkeys(gone, now)
        assert sum(now - when < 3_600 for when in went.values()) <= 9
