"""The readers of values: texts, numbers, choices, lists, mappings, sections.

A reader takes a value as a file spells it, or ready-made, and returns what the settings hold.
Whatever does not fit is added to the objections; what is returned then is of no use. Which forms a
text may have stands in `forms`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from consulfwd.config.forms import BadValue, text_of
from consulfwd.config.keys import (
    REQUIRED,
    Objections,
    Reader,
    Section,
    Shape,
    keys_of,
    read_section,
    suggestion,
)
from consulfwd.config.objections import KeyPath
from consulfwd.config.wording import described, quoted


def text(parse: Callable[[str], object], example: str = "", made: Any = ()) -> Reader:
    """Read text by `parse`, and pass on what is `made` already (a type or several)."""

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        try:
            return value if isinstance(value, made) else parse(text_of(value, example))
        except BadValue as fault:
            objections.add(path, fault.what, fault.mend)
            return None

    return Reader(read)


def number(
    made: type[int] | type[float], least: float, most: float, *, off: bool = False
) -> Reader:
    """Read a number within limits, or 0 where that turns it `off`; of an int, a whole one."""
    wanted = "a whole number" if made is int else "a number"

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if isinstance(value, bool) or not isinstance(value, int | made):
            _not(wanted, value, path, objections, "write it in digits, without quotes")
        elif not value >= least and not (off and value == 0):
            mend = f"{least} is the least" + (", 0 turns it off" if off else "")
            objections.add(path, f"{value} is too little", mend)
        elif value > most:
            objections.add(path, f"{value} is too much", f"{most} is the most")
        else:
            return made(value)
        return None

    kind = "integer" if made is int else "number"
    shape: Shape = {"type": kind, "minimum": least, "maximum": most}
    if off:
        shape = {"anyOf": [{"const": 0}, shape]}
    return Reader(read, "typed", f"{'0, ' if off else ''}{least} to {most}", shape=shape)


def switch() -> Reader:
    """Read true or false."""

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if not isinstance(value, bool):
            _not("true or false", value, path, objections, "without quotes")
        return value

    return Reader(read, "typed", shape={"type": "boolean"})


def auto_or_switch() -> Reader:
    """Read true, false, or auto."""

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if not isinstance(value, bool) and value != "auto":
            _not("auto, true or false", value, path, objections, "without quotes")
        return value

    return Reader(read, "typed", "auto, true, false", shape={"enum": ["auto", True, False]})


def auto_or_number(least: int, most: int) -> Reader:
    """Read a whole number within limits, or auto."""
    whole = number(int, least, most)

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        return value if value == "auto" else whole.read(value, path, objections)

    shape: Shape = {"anyOf": [{"const": "auto"}, whole.shape]}
    return Reader(read, "typed", f"auto, {least} to {most}", shape=shape)


def choice(*choices: str) -> Reader:
    """Read one of several words."""
    named = ", ".join(choices)

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if value not in choices:
            said, close = described(value), ""
            if isinstance(value, str):
                said, close = quoted(value), suggestion(value, choices)
            objections.add(path, f"{said} is not one of {named}", close or f"such as {choices[0]}")
        return value

    return Reader(read, "text", named, shape={"enum": [*choices]})


def optional(reader: Reader) -> Reader:
    """Read nothing as None, anything else by `reader`."""

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        return None if value is None else reader.read(value, path, objections)

    return reader._replace(read=read, shape={"anyOf": [reader.shape, {"type": "null"}]})


def listing(item: Reader, most: int, least: int = 0, *, needed: bool = False) -> Reader:
    """Read a list as a tuple; `needed` where its key must not be taken out."""
    fill = "name one at least" + ("" if needed else ", or take the key out")

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if not isinstance(value, list | tuple):
            return _not("a list", value, path, objections, "put it in brackets: [...]")
        if len(value) < least:
            objections.add(path, "must not be empty", fill)
        if len(value) > most:
            objections.add(path, "is too long", f"{most} at most")
        return tuple(item.read(one, (*path, n), objections) for n, one in enumerate(value))

    shape = {"type": "array", "items": item.shape, "minItems": least, "maxItems": most}
    return Reader(read, "list", f"at most {most}", shape=shape)


def mapping(name: Reader, item: Reader, most: int) -> Reader:
    """Read a mapping whose keys are names."""

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return _not("a mapping", value, path, objections, "write name: value")
        if len(value) > most:
            objections.add(path, "is too long", f"{most} at most")
        return {
            name.read(one, (*path, one), objections): item.read(held, (*path, one), objections)
            for one, held in value.items()
        }

    shape = {"type": ["object", "null"], "additionalProperties": item.shape, "maxProperties": most}
    return Reader(read, "mapping", f"at most {most}", shape=shape)


def section(made: type[Section]) -> Reader:
    """Read a mapping of keys; nothing is one without any, as when all are commented out."""

    def read(value: object, path: KeyPath, objections: Objections) -> object:
        if isinstance(value, made):
            return value
        if value is not None and not isinstance(value, dict):
            return _not("a mapping", value, path, objections, "write key: value below it")
        return read_section(made, value or {}, path, objections)

    shape: Shape = {"$ref": made}
    if all(one.default is not REQUIRED for one in keys_of(made).values()):
        shape = {"anyOf": [shape, {"type": "null"}]}
    return Reader(read, "mapping", section=made, shape=shape)


def _not(wanted: str, value: object, path: KeyPath, objections: Objections, mend: str) -> object:
    objections.add(path, f"must be {wanted}, not {described(value)}", mend)
    return None
