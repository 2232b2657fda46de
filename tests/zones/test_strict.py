"""JSON of others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consulfwd.errors import ApplyError
from consulfwd.zones.strict import Node, read


def wrong(value: object, what: Callable[[Node], object], why: str) -> None:
    with pytest.raises(ApplyError, match=f"^{re.escape(why)}$"):
        what(Node("f", value))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is not JSON"),
        (b"{", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is"),
        (b"1" * 5_000, "it is not JSON"),
        (b" " * 10_001, "it is larger than 10000 octets"),
    ],
)
def test_no_document(text: bytes, why: str) -> None:
    largest = 10_000 if text[:1] == b" " else 1_000_000
    with pytest.raises(ApplyError, match=f"^f: all of it: {why}"):
        read(text, "f", largest)


def test_just_large_enough() -> None:
    assert read(b'"a"', "f", 3).text() == "a"


def test_places() -> None:
    root = read(json.dumps({"a": [{"b": "x"}]}).encode(), "f", 100)
    assert root["a"].items(1)[0]["b"].text(1) == "x"
    assert "a" in root
    assert "b" not in root
    assert root.keys(1) == ["a"]
    for what, why in (
        (lambda: root["a"].items(0), "f: a: 1 are more than 0"),
        (lambda: root["a"].items(1)[0]["b"].text(0), "f: a[0].b: it is longer than 0 letters"),
        (lambda: root["a"].items(1)[0]["c"], "f: a[0].c: it is missing"),
        (lambda: root["a"].items(1)[0].only("c"), "f: a[0]: 'b' is not known here"),
        (lambda: root.keys(0), "f: all of it: 1 are more than 0"),
    ):
        with pytest.raises(ApplyError, match=re.escape(why)):
            what()


def test_keys_of_strangers_are_told_in_a_line() -> None:
    root = read(json.dumps({"a\x1b[2J\n": {}, "b" * 300: {}}).encode(), "f", 1_000)
    for key, shown in (("a\x1b[2J\n", r"'a\x1b[2J\n'"), ("b" * 300, f"'{'b' * 200}'")):
        with pytest.raises(ApplyError, match=f"^{re.escape(f'f: {shown}.c: it is missing')}$"):
            root[key]["c"]


def test_kinds() -> None:
    every: tuple[object, ...] = (None, 1, 1.5, True, "a", [], {})
    cases: tuple[tuple[tuple[object, ...], Callable[[Node], object]], ...] = (
        ((1,), lambda one: one.integer(0, 9)),
        ((1, 1.5), lambda one: one.number(0, 9)),
        ((True,), lambda one: one.flag()),
        (("a",), lambda one: one.text()),
        (([],), lambda one: one.items(9)),
        (({},), lambda one: one.keys(9)),
    )
    for fits, what in cases:
        for value in every:
            if any(value == one and type(value) is type(one) for one in fits):
                what(Node("f", value))
            else:
                with pytest.raises(ApplyError, match="it must be"):
                    what(Node("f", value))
    assert Node("f", None).is_null
    assert not Node("f", 0).is_null
    assert Node("f", "").is_text
    assert not Node("f", 0).is_text


def test_bounds() -> None:
    for value, fits in ((-1, False), (0, True), (9, True), (10, False)):
        kinds: tuple[Callable[[Node], float], ...] = (
            lambda one: one.integer(0, 9), lambda one: one.number(0, 9)
        )  # fmt: skip
        for what in kinds:
            if fits:
                assert what(Node("f", value)) == value
            else:
                wrong(value, what, "f: all of it: it must be 0 to 9")
    for odd in (float("nan"), float("inf"), 10**400):
        wrong(odd, lambda one: one.number(0, 9), "f: all of it: it must be 0 to 9")


def test_texts() -> None:
    wrong("\ud800", lambda one: one.text(), "f: all of it: it has half a letter in it")
    why = "f: all of it: it has letters in it that cannot be shown"
    wrong("a\nb", lambda one: one.line(), why)
    assert Node("f", "a\nb").text() == "a\nb"
    assert Node("f", "\u00e4").line() == "\u00e4"


@given(st.binary(max_size=100))
def test_any_octets(data: bytes) -> None:
    try:
        read(data, "f", 100)
    except ApplyError as error:
        assert error.where == "f: all of it"  # noqa: PT017
