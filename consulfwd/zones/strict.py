"""JSON of others, read within bounds: every error says where it is.

What belongs here: values and their places. Must not know what they mean. Pure.
"""

from __future__ import annotations

import json
from typing import NoReturn

from consulfwd.errors import ApplyError

# So much of a key is told.
_SHOWN = 200


class Node:
    """One value of a document, and where it is."""

    __slots__ = ("_document", "_path", "_value")

    def __init__(self, document: str, value: object, path: str = "") -> None:
        self._document = document
        self._value = value
        self._path = path

    def wrong(self, what: str) -> NoReturn:
        """Raise ApplyError: that this value is wrong."""
        raise ApplyError(f"{self._document}: {self._path or 'all of it'}", what)

    @property
    def is_null(self) -> bool:
        """Whether it is null."""
        return self._value is None

    @property
    def is_text(self) -> bool:
        """Whether it is a string."""
        return isinstance(self._value, str)

    def only(self, *keys: str) -> None:
        """Make sure that an object has no other keys."""
        for key in self._object():
            if key not in keys:
                self.wrong(f"{key[:60]!r} is not known here")

    def __getitem__(self, key: str) -> Node:
        """Return a value of an object, which must be there."""
        found = self._object()
        # Errors tell where they are, and may end up on a terminal.
        shown = key if key.isprintable() and len(key) <= _SHOWN else ascii(key[:_SHOWN])
        path = f"{self._path}.{shown}" if self._path else shown
        if key not in found:
            Node(self._document, None, path).wrong("it is missing")
        return Node(self._document, found[key], path)

    def __contains__(self, key: str) -> bool:
        return key in self._object()

    def keys(self, most: int) -> list[str]:
        """Return the keys of an object."""
        found = list(self._object())
        if len(found) > most:
            self.wrong(f"{len(found)} are more than {most}")
        return found

    def items(self, most: int) -> list[Node]:
        """Return the values of a list."""
        if not isinstance(self._value, list):
            self.wrong("it must be a list")
        if len(self._value) > most:
            self.wrong(f"{len(self._value)} are more than {most}")
        every = enumerate(self._value)
        return [Node(self._document, one, f"{self._path}[{at}]") for at, one in every]

    def text(self, longest: int = 1_000) -> str:
        """Return a string."""
        if not isinstance(self._value, str):
            self.wrong("it must be a text")
        if len(self._value) > longest:
            self.wrong(f"it is longer than {longest} letters")
        try:
            self._value.encode()
        except UnicodeEncodeError:
            self.wrong("it has half a letter in it")
        return self._value

    def line(self, longest: int = 1_000) -> str:
        """Return a string that can be shown in one line."""
        found = self.text(longest)
        if not found.isprintable():
            self.wrong("it has letters in it that cannot be shown")
        return found

    def integer(self, least: int, most: int) -> int:
        """Return a whole number."""
        if not isinstance(self._value, int) or isinstance(self._value, bool):
            self.wrong("it must be a whole number")
        if not least <= self._value <= most:
            self.wrong(f"it must be {least} to {most}")
        return self._value

    def number(self, least: float, most: float) -> float:
        """Return a number."""
        found = self._value
        if not isinstance(found, (int, float)) or isinstance(found, bool):
            self.wrong("it must be a number")
        if not least <= found <= most:
            self.wrong(f"it must be {least:g} to {most:g}")
        return float(found)

    def flag(self) -> bool:
        """Return true or false."""
        if not isinstance(self._value, bool):
            self.wrong("it must be true or false")
        return self._value

    def _object(self) -> dict[str, object]:
        if not isinstance(self._value, dict):
            self.wrong("it must be an object")
        return self._value


def read(text: bytes, document: str, largest: int) -> Node:
    """Return what a document holds. Raises ApplyError if that is no JSON, or too much."""
    whole = Node(document, None)
    if len(text) > largest:
        whole.wrong(f"it is larger than {largest} octets")
    try:
        return Node(document, json.loads(text))
    except RecursionError:
        whole.wrong("it is nested too deeply")
    except ValueError as error:
        whole.wrong(f"it is not JSON ({str(error)[:100]})")
