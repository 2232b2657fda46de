"""What is remembered over a restart is used, and what is no memory is refused with its place."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from consulfwd.config.failover import CheckerSettings
from consulfwd.errors import ApplyError
from consulfwd.failover import remembered
from tests.failover.site import DAY, NAME, ONE, OTHER, Site, settings


def again(site: Site, after: float = 5.0, **values: object) -> Site:
    """The same after a restart."""
    made = Site(settings(**values), now=site.now + after)
    made.book.restore(remembered.load(remembered.write(site.book.memory()), "x"))
    return made


def test_the_state_before_is_answered_at_once() -> None:
    site = Site(settings(fall=1))
    site.check(a1="ok", a2="ok")
    site.check(a1="fail")
    for _ in range(20):
        site = again(site, fall=1)
        assert site.ips() == [OTHER]
        site.check(a1="fail", a2="ok")
        assert site.ips() == [OTHER]


def test_who_was_down_rises_as_ever() -> None:
    site = Site(settings(fall=1))
    site.check(a1="ok", a2="ok")
    site.check(a1="fail")
    site = again(site, rise=3)
    for _ in range(2):
        site.check(a1="ok")
        assert site.ips() == [OTHER]
    site.check(a1="ok")
    assert site.ips() == [ONE]


def test_what_is_old_waits_for_a_round() -> None:
    site = Site(settings(fall=1))
    site.check(a1="ok", a2="ok")
    for after, known in ((3_600, [ONE]), (3_601, None), (-1_000, None)):
        made = again(site, after)
        assert made.ips() == known
    made.check(a1="fail", a2="ok")
    assert made.ips() == [OTHER]


def test_what_is_old_is_better_than_nothing_where_nothing_can_be_checked() -> None:
    site = Site(settings(fall=1))
    site.check(a1="ok", a2="ok")
    site.check(a1="fail")
    made = again(site, 100_000)
    made.check(a1="error", a2="error")
    assert made.ips() == [OTHER]


def test_who_waits_for_an_order_goes_on_waiting() -> None:
    site = Site(settings(fall=1, failback="manual"))
    site.check(a1="ok", a2="ok")
    site.check(a1="fail")
    made = again(site, rise=1, failback="manual")
    made.check(a1="ok", a2="ok")
    assert made.ips() == [OTHER]
    assert made.book.back("*") == (NAME,)


def test_forces_last_as_long_as_they_were_said() -> None:
    site = Site()
    site.check(a1="ok", a2="ok")
    site.book.force(f"*/{ONE}", "down", DAY + site.now + 60, "why", "eve")
    assert again(site).ips() == [OTHER]
    assert again(site, 61).ips() == [ONE]


def test_falls_are_remembered() -> None:
    site = Site(settings(fall=1, rise=1))
    for result in ("ok", "fail", "ok", "fail"):
        site.check(a1=result, a2="ok")
    assert site.book.view(NAME).addresses[0].needed == 2
    assert again(site, fall=1, rise=1).book.view(NAME).addresses[0].needed == 2
    assert again(site, 600, fall=1, rise=1).book.view(NAME).addresses[0].needed == 1


def test_nothing_is_remembered_of_what_is_not_known() -> None:
    site = Site()
    site.check(a1="ok")
    assert site.book.memory().records == {}


def test_a_quorum_that_is_silent_leaves_what_is_remembered() -> None:
    site = Site()
    site.check(a1="ok", a2="ok")
    for _ in range(3):
        site.check(a1="fail")
    checker = CheckerSettings(checkers=("a", "b"), max_age=40.0)
    for after, at_once in ((5, [OTHER]), (100_000, None)):
        made = Site(checker=checker, now=site.now + after)
        made.book.restore(site.book.memory())
        assert made.ips() == at_once
        made.now += 40
        assert made.book.turn() is None
        assert made.ips() == [OTHER]
        assert made.book.held


def broken() -> list[tuple[str, str]]:
    whole = '{"format":1,"saved":1,"records":{"a":%s},"forces":%s}'
    record = '{"pool":"","since":1,"addresses":{"192.0.2.1":[true,1,"",[]]}}'
    return [
        ("[]", "all of it"),
        ("{", "it is not JSON"),
        ('{"format":2}', "another version"),
        (whole % ("1", "[]"), "records.a"),
        (whole % (record.replace("192.0.2.1", "x"), "[]"), "'x' is not an address"),
        (whole % (record.replace("true", "1"), "[]"), "true or false"),
        (whole % (record.replace('"",[]', r'"\u001b[1m",[]'), "[]"), "cannot be shown"),
        (whole % (record, '[["*","sideways",null,"","",1]]'), "up or down"),
        (whole % (record, "[[]]"), "it must have 6 parts"),
        (whole.replace('"saved":1', '"saved":1e999') % (record, "[]"), "saved"),
    ]


@pytest.mark.parametrize(("text", "said"), broken())
def test_what_is_no_memory_is_refused(text: str, said: str) -> None:
    with pytest.raises(ApplyError) as caught:
        remembered.load(text.encode(), "state")
    assert said in str(caught.value)
    assert str(caught.value).startswith("state: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@how(max_examples=60, deadline=None)
@given(records=JSON, forces=JSON)
def test_only_that_error_comes_of_anything(records: object, forces: object) -> None:
    text = json.dumps({"format": 1, "saved": 5, "records": records, "forces": forces})
    with suppress(ApplyError):
        remembered.load(text.encode(), "state")
