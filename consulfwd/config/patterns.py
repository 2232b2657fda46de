"""Patterns that are looked for in what strangers send: the safe part of regular expressions.

What belongs here: which patterns there are, and what each consists of. Must not know: what they are
looked for in; `failover.checks.automaton` does that, in time linear in the text. Hence there is
nothing here that needs to go back over it: no back references, no looking around, no word borders.
Pure. A pattern is of octets: what is not ASCII stands for its octets in UTF-8.
"""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from consulfwd.config.forms import BadValue
from consulfwd.config.wording import quoted

# Letters of a pattern, and sets of octets it comes to once its repetitions are written out.
LONGEST, MOST = 512, 300
# How deep groups may be nested.
_DEEPEST = 20
_PLAIN = "a \\ before it stands for the letter itself"

Octets = frozenset[int]


class One(NamedTuple):
    """One octet of these."""

    octets: Octets


class Start(NamedTuple):
    """The start of the text."""


class End(NamedTuple):
    """The end of the text."""


class Row(NamedTuple):
    """One part after the other."""

    parts: tuple[Part, ...]


class Either(NamedTuple):
    """One of several."""

    parts: tuple[Part, ...]


class Repeat(NamedTuple):
    """A part so many times; `most` None is without a limit."""

    part: Part
    least: int
    most: int | None


Part = One | Start | End | Row | Either | Repeat

_DIGIT = frozenset(b"0123456789")
_WORD = _DIGIT | frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = frozenset(b" \t\n\r\f\v")
_ALL = frozenset(range(256))
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CLASSES |= {name.upper(): _ALL - octets for name, octets in _CLASSES.items()}
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_TIMES = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def pattern(text: str) -> str:
    """Return `text` if it is a pattern that can be looked for."""
    parse(text)
    return text


def parse(text: str) -> Part:
    """Return what a pattern consists of. Raises BadValue."""
    if not text or len(text) > LONGEST:
        raise BadValue(f"a pattern of {len(text)} letters", f"1 to {LONGEST}")
    parsed = _Parser(text).whole()
    if (size := _size(parsed)) > MOST:
        raise BadValue(
            f"{quoted(text)} comes to {size} octets, its repetitions written out",
            f"{MOST} at most: repeat less",
        )
    return parsed


def _size(part: Part) -> int:
    if isinstance(part, Row | Either):
        # One that is empty costs as well, so many times.
        return max(1, sum(map(_size, part.parts)))
    if isinstance(part, Repeat):
        return _size(part.part) * max(part.least + (part.most is None), part.most or 0)
    return 1


class _Parser:
    """Reads one pattern from its start to its end."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._any_case = text.startswith("(?i)")
        self._at = 4 if self._any_case else 0

    def whole(self) -> Part:
        """Return all of it. Raises BadValue."""
        found = self._either(0)
        if self._at < len(self._text):
            self._fail("has a ) without its (")
        return found

    def _fail(self, what: str, mend: str = _PLAIN) -> NoReturn:
        raise BadValue(f"{quoted(self._text)} {what}, at letter {self._at + 1}", mend)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        found = self._next()
        self._at += 1
        return found

    def _either(self, depth: int) -> Part:
        parts = [self._row(depth)]
        while self._next() == "|":
            self._at += 1
            parts.append(self._row(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _row(self, depth: int) -> Part:
        parts: list[Part] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._one(depth)))
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def _one(self, depth: int) -> Part:
        letter = self._next()
        if letter in ("*", "+", "?", "{"):
            self._fail(f"has nothing to repeat before {letter}")
        self._at += 1
        if letter == "(":
            return self._group(depth)
        if letter == "[":
            return One(self._cased(self._set()))
        if letter == "\\":
            return One(self._cased(self._escaped()))
        if letter == ".":
            return One(_ALL - {10})
        if letter in "^$":
            return Start() if letter == "^" else End()
        octets = letter.encode()
        if len(octets) == 1:
            return One(self._cased(frozenset(octets)))
        return Row(tuple(One(frozenset([octet])) for octet in octets))

    def _group(self, depth: int) -> Part:
        if depth == _DEEPEST:
            self._fail("has groups nested too deep", f"{_DEEPEST} at most")
        if self._text.startswith("?:", self._at):
            self._at += 2
        elif self._next() == "?":
            self._fail(
                "looks around, or has options in it",
                "(?:...) groups, and (?i) at the very start is for any case; there is nothing else",
            )
        found = self._either(depth + 1)
        if self._take() != ")":
            self._at -= 1
            self._fail("has a ( without its )")
        return found

    def _repeated(self, part: Part) -> Part:
        letter = self._next()
        if letter not in _TIMES and letter != "{":
            return part
        if isinstance(part, Start | End):
            self._fail("repeats a place, which is not text")
        self._at += 1
        least, most = _TIMES[letter] if letter in _TIMES else self._times()
        # Whether it takes more or less makes no difference to whether it is there.
        if self._next() == "?":
            self._at += 1
        if self._next() and self._next() in "*+?{":
            self._fail("repeats what is repeated already", "put it in a group: (?:...)")
        return Repeat(part, least, most)

    def _times(self) -> tuple[int, int | None]:
        inner, closed, _ = self._text[self._at :].partition("}")
        first, comma, last = inner.partition(",")
        fit = closed and _number(first) and (not last or _number(last))
        least = int(first) if fit else 0
        most = (int(last) if last else None) if comma else least
        if not fit or max(least, most or 0) > MOST or (most is not None and most < least):
            self._fail("repeats what is not a number of times", f"{{2}}, {{2,}} or {{2,5}}; {MOST}")
        self._at += len(inner) + 1
        return least, most

    def _escaped(self) -> Octets:
        letter = self._take()
        if letter in _CLASSES:
            return _CLASSES[letter]
        if letter in _CONTROLS:
            return frozenset([_CONTROLS[letter]])
        if letter == "x":
            digits = self._text[self._at : self._at + 2]
            if len(digits) == 2 and set(digits) <= set("0123456789abcdefABCDEF"):
                self._at += 2
                return frozenset([int(digits, 16)])
        if not letter or not letter.isascii() or letter.isalnum():
            self._at -= 2
            known = "\\d \\w \\s \\n \\r \\t \\xHH are"
            self._fail(f"has \\{letter}, which is not known here", known)
        return frozenset(letter.encode())

    def _set(self) -> Octets:
        begun = self._at
        without = self._next() == "^"
        self._at += without
        found: Octets = frozenset()
        first = True
        while first or self._next() != "]":
            low = self._member(begun)
            first = False
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._member(begun)
                if len(low) != 1 or len(high) != 1 or min(low) > min(high):
                    self._fail("has a range that is none", "such as [a-z]")
                low = frozenset(range(min(low), min(high) + 1))
            found |= low
        self._at += 1
        return _ALL - self._cased(found) if without else found

    def _member(self, begun: int) -> Octets:
        letter = self._take()
        if letter == "\\":
            return self._escaped()
        if not letter:
            self._at = begun - 1
            self._fail("has a [ without its ]")
        if not letter.isascii():
            self._fail("has a letter outside ASCII in a set", "write (?:A|B) instead of [AB]")
        return frozenset(letter.encode())

    def _cased(self, octets: Octets) -> Octets:
        if not self._any_case:
            return octets
        letters = bytes(octets)
        return frozenset(letters.lower()) | frozenset(letters.upper())


def _number(text: str) -> bool:
    return 0 < len(text) <= 4 and text.isascii() and text.isdigit()
