"""Texts of TXT objects: what is quoted, and what a grid makes of that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.zones.sinks.infoblox_text import strings_of, text_of


def data(*strings: bytes) -> bytes:
    return b"".join(bytes((len(one),)) + one for one in strings)


@pytest.mark.parametrize(
    ("strings", "text"),
    [
        ([b"version=1"], '"version=1"'),
        ([b"a b", b"c"], '"a b" "c"'),
        ([b""], '""'),
        ([b'say "hi"'], r'"say \"hi\""'),
        ([b"back\\slash"], r'"back\\slash"'),
        ([b"$INCLUDE /etc/passwd\n"], r'"$INCLUDE /etc/passwd\010"'),
        (["ä".encode()], r'"\195\164"'),
    ],
)
def test_each_string_is_in_quotes(strings: list[bytes], text: str) -> None:
    assert text_of(data(*strings)) == text
    assert strings_of(text) == data(*strings)


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("version=1", [b"version=1"]),
        ('"a b" c', [b"a b", b"c"]),
        ("a b", [b"a", b"b"]),
        ("  a\tb ", [b"a", b"b"]),
        ("", [b""]),
        ("ä", ["ä".encode()]),
        (r"a\032b", [b"a b"]),
        (r"a\"b", [b'a"b']),
        ('a"b', [b'a"b']),
    ],
)
def test_quotes_that_a_grid_takes_off_make_no_difference(text: str, strings: list[bytes]) -> None:
    assert strings_of(text) == data(*strings)


@pytest.mark.parametrize("text", ['"open', "end\\", r"\256", "x" * 256, '"' + "x" * 256 + '"'])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        strings_of(text)


@given(st.lists(st.binary(max_size=255), min_size=1, max_size=5))
def test_any_data_comes_back(strings: list[bytes]) -> None:
    text = text_of(data(*strings))
    assert text.isascii()
    assert text.isprintable()
    assert strings_of(text) == data(*strings)


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = strings_of(text)
    except ValueError:
        return
    assert strings_of(text_of(found)) == found
