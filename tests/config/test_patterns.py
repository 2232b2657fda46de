"""Which patterns there are, and what is said of others."""

from __future__ import annotations

import pytest

from consulfwd.config.forms import BadValue
from consulfwd.config.patterns import LONGEST, pattern


@pytest.mark.parametrize(
    "text",
    ["ok", "status: *(ok|green)", "^<html", "</html>\\s*$", "[^a-z]{2,5}?", "(?i)a\\x41[]-]", "é+"],
)
def test_a_pattern_is_taken(text: str) -> None:
    assert pattern(text) == text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "a pattern of 0 letters"),
        ("a" * (LONGEST + 1), "a pattern of 513 letters"),
        ("(a", "has a ( without its ), at letter 3"),
        ("a)", "has a ) without its (, at letter 2"),
        ("[a", "has a [ without its ], at letter 1"),
        ("*a", "has nothing to repeat before *, at letter 1"),
        ("a**", "repeats what is repeated already, at letter 3"),
        ("a{3,2}", "repeats what is not a number of times, at letter 3"),
        ("^*", "repeats a place, which is not text, at letter 2"),
        ("(?=a)", "looks around, or has options in it, at letter 2"),
        ("(?P<n>a)", "looks around, or has options in it, at letter 2"),
        (r"(a)\1", r"has \1, which is not known here, at letter 4"),
        (r"\bok", r"has \b, which is not known here, at letter 1"),
        ("[z-a]", "has a range that is none, at letter 5"),
        ("[é]", "has a letter outside ASCII in a set, at letter 3"),
        ("(" * 21 + "a" + ")" * 21, "has groups nested too deep, at letter 22"),
        ("(a{20}){20}", "comes to 400 octets, its repetitions written out"),
        ("((){300}){300}", "comes to 90000 octets, its repetitions written out"),
    ],
)
def test_what_is_none_is_told(text: str, what: str) -> None:
    with pytest.raises(BadValue) as refused:
        pattern(text)
    assert what in refused.value.what
