"""A picture read from JSON, as a process of whatever version wrote it.

What this version does not know is left out; what it misses is what a picture has where nothing is
known, and is told. Texts come with everything escaped that would not show: a name of somebody's in
them is not to move anyone's cursor. Pure.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from consulfwd.errors import ConsulfwdError
from consulfwd.ops.snapshot import Snapshot
from consulfwd.words import printable

# What stands in each picture since there are pictures: without these it is something else.
LEAST = ("verb", "version", "pid")


class NoPicture(ConsulfwdError):
    """What came is no picture of a running process."""

    exit_code = 3


class Read(NamedTuple):
    """A picture, and the paths of what its writer did not tell or told in another form."""

    snapshot: Snapshot
    missing: tuple[str, ...]


def from_json(found: object) -> Read:
    """Return a picture as `snapshot.to_json` wrote it. Raises NoPicture."""
    if not isinstance(found, Mapping) or any(one not in found for one in LEAST):
        raise NoPicture("what came is no status of a running consulfwd")
    missing: dict[str, None] = {}
    snapshot = _made(Snapshot, found, "", missing)
    assert isinstance(snapshot, Snapshot)
    return Read(snapshot, tuple(missing))


_hints_of: dict[type[Any], dict[str, Any]] = {}


def _hints(form: type[Any]) -> dict[str, Any]:
    """Return what the fields of a class hold, found out once."""
    if form not in _hints_of:
        _hints_of[form] = get_type_hints(form)
    return _hints_of[form]


def _made(form: type[Any], found: Mapping[str, Any], path: str, missing: dict[str, None]) -> Any:
    """Return an object of one of the picture's classes."""
    hints = _hints(form)
    values = {}
    for one in fields(form):
        where = f"{path}.{one.name}" if path else one.name
        try:
            values[one.name] = _value(hints[one.name], found[one.name], where, missing)
        except (KeyError, TypeError, ValueError, OverflowError):
            missing[where] = None
            values[one.name] = _unknown(one, hints[one.name])
    return form(**values)


def _value(form: Any, found: Any, path: str, missing: dict[str, None]) -> Any:
    """Return a value of a form. Raises TypeError, ValueError and OverflowError if it is none."""
    origin = get_origin(form)
    if origin in (Union, types.UnionType):
        if found is None:
            return None
        (form,) = (one for one in get_args(form) if one is not type(None))
        return _value(form, found, path, missing)
    if origin is tuple:
        if not isinstance(found, list):
            raise TypeError
        inner = get_args(form)[0]
        return tuple(_value(inner, one, path, missing) for one in found)
    if is_dataclass(form):
        if not isinstance(found, Mapping):
            raise TypeError
        assert isinstance(form, type)
        return _made(form, found, path, missing)
    if _by_name(origin):
        if not isinstance(found, Mapping):
            raise TypeError
        return {printable(str(name)): _number(one) for name, one in found.items()}
    if form is str or origin is Literal:
        if not isinstance(found, str):
            raise TypeError
        return printable(found)
    if form is bool:
        if not isinstance(found, bool):
            raise TypeError
        return found
    number = _number(found)
    return int(number) if form is int else number


def _by_name(origin: object) -> bool:
    """Return whether a form is that of values by name."""
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _number(found: object) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError
    if not math.isfinite(found):
        raise ValueError
    return found


def _unknown(one: Field[Any], form: Any) -> Any:
    """Return what a field holds where nothing is known."""
    if one.default is not MISSING:
        return one.default
    if one.default_factory is not MISSING:
        return one.default_factory()
    if get_origin(form) is tuple:
        return ()
    if get_origin(form) in (Union, types.UnionType):
        return None
    if is_dataclass(form):
        assert isinstance(form, type)
        return _made(form, {}, "", {})
    if _by_name(get_origin(form)):
        return {}
    return {bool: False, int: 0, float: 0.0}.get(form, "")
