"""Ranges as the Monitoring Plugins guidelines have them, at the bound and beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.checks.ranges import TIMES, Range, RangeError, at_least, parse, shown

# Written, as it is written shortest, values that alert, values that do not.
TABLE = [
    ("10", "10", (-0.1, 10.1), (0, 5, 10)),
    ("0", "0", (-1, 1), (0,)),
    ("10:", "10:", (9.9, -5), (10, 1e9)),
    ("~:10", "~:10", (10.1,), (10, -1e9)),
    ("10:20", "10:20", (9.9, 20.1), (10, 15, 20)),
    ("@10:20", "@10:20", (10, 15, 20), (9.9, 20.1)),
    (":10", "10", (-1, 11), (0, 10)),
    ("0:10", "10", (-1, 11), (0, 10)),
    ("0:", "0:", (-0.1,), (0, 5)),
    ("~:", "~:", (), (-1e9, 0, 1e9)),
    ("@~:", "@~:", (-1e9, 0, 1e9), ()),
    ("@10", "@10", (0, 10), (-1, 11)),
    ("@~:0", "@~:0", (0, -1), (1,)),
    ("-10:-5", "-10:-5", (-11, -4), (-10, -5)),
    ("-10:10", "-10:10", (-11, 11), (0,)),
    ("~:-1", "~:-1", (0,), (-1, -2)),
    ("+5:", "5:", (4,), (5,)),
    ("1.5:2.5", "1.5:2.5", (1.4, 2.6), (1.5, 2.5)),
    (".5", "0.5", (0.6,), (0.5,)),
    ("5.", "5", (6,), (5,)),
    (" 10 ", "10", (11,), (10,)),
    ("5:5", "5:5", (4, 6), (5,)),
]


@pytest.mark.parametrize(("text", "canonical", "bad", "good"), TABLE, ids=[one[0] for one in TABLE])
def test_range(text: str, canonical: str, bad: list[float], good: list[float]) -> None:
    found = parse(text)
    assert str(found) == canonical
    assert parse(canonical) == found
    assert [one for one in bad if not found.alerts(one)] == []
    assert [one for one in good if found.alerts(one)] == []


NOT_ONE = [
    ("", "is empty"),
    (" ", "is empty"),
    (":", "is empty"),
    ("@", "is empty"),
    ("@:", "is empty"),
    ("~", "'~' is not a number"),
    ("10:~", "'~' is not a number"),
    ("20:10", "20 is more than 10"),
    ("@-1:-2", "-1 is more than -2"),
    ("1:2:3", "more than two ends"),
    ("a", "'a' is not a number"),
    ("10:a", "'a' is not a number"),
    ("1e3", "not a number"),
    ("nan", "not a number"),
    ("inf", "not a number"),
    ("~:inf", "not a number"),
    ("0x10", "not a number"),
    ("1,5", "not a number"),
    ("1 0", "not a number"),
    ("\u0661", "not a number"),
    ("--1", "not a number"),
    ("@@1", "not a number"),
    ("9" * 400, "not a number"),
    ("5s", "'s' is no unit; no unit belongs there"),
    ("5%", "'%' is no unit; no unit belongs there"),
]


@pytest.mark.parametrize(("text", "why"), NOT_ONE, ids=[one[0][:9] or "-" for one in NOT_ONE])
def test_what_is_none_says_so(text: str, why: str) -> None:
    with pytest.raises(RangeError) as raised:
        parse(text)
    assert why in str(raised.value)
    assert len(str(raised.value)) < 200


def test_times_have_units() -> None:
    assert parse("500ms", TIMES) == Range(0, 0.5)
    assert parse("2m:1h", TIMES) == Range(120, 3600)
    assert parse("~:1d", TIMES).high == 86_400
    with pytest.raises(RangeError, match="'w' is no unit; units are ms, s, m, h, d"):
        parse("1w", TIMES)
    with pytest.raises(RangeError, match="3600 is more than 60"):
        parse("1h:1m", TIMES)


def test_parts_of_a_hundred() -> None:
    assert parse("50%:", percent=True) == Range(50, float("inf"), percent=True)
    assert parse("~:80%", percent=True).percent
    assert parse("50%:80%", percent=True).percent
    assert not parse("2:", percent=True).percent
    for text in ("50%:80", "50:80%"):
        with pytest.raises(RangeError, match="% belongs to both ends or to none"):
            parse(text, percent=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2:", "less than 2"), ("10", "more than 10"), ("~:10", "more than 10"),
        ("10:20", "not from 10 to 20"), ("@10:20", "from 10 to 20"), ("@~:3", "3 or less"),
        ("@3:", "3 or more"), ("50%:", "less than 50%"), ("@10", "from 0 to 10"),
        ("~:", "nothing"), ("@~:", "anything"),
    ],
)  # fmt: skip
def test_in_words(text: str, words: str) -> None:
    assert parse(text, percent=True).words == words


@given(st.text(max_size=12))
def test_any_text_is_a_range_or_a_clear_error(text: str) -> None:
    try:
        found = parse(text, TIMES, percent=True)
    except RangeError:
        return
    assert found.low <= found.high
    assert str(parse(str(found))) == str(found)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.booleans())
def test_what_is_written_is_read_again(low: int, width: int, inside: bool) -> None:
    one = Range(low / 100, (low + width) / 100, inside)
    assert parse(str(one)) == one


def test_numbers_are_plain() -> None:
    assert [shown(one) for one in (0.0, -0.0, 1e-7, 0.25, 1e15, -3.0)] == [
        "0", "0", "0", "0.25", "1000000000000000", "-3",
    ]  # fmt: skip
    assert str(at_least(2)) == "2:"
