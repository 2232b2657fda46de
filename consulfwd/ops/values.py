"""What orders come with, read strictly: JSON of anybody's making becomes values, or one error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from consulfwd.core.ask import Ask, prepare
from consulfwd.core.routes import Routes
from consulfwd.dns.names import from_text
from consulfwd.errors import UsageError, WireError
from consulfwd.net.lookup import make_query
from consulfwd.ops.watched import OrderError

# The longest text of a name: four characters for each of 255 octets.
LONGEST = 1020
_SHOWN = 60


def known(order: str, values: Mapping[str, Any], keys: Collection[str]) -> None:
    """Raise OrderError for values that an order does not have."""
    if not isinstance(values, Mapping):
        raise OrderError(400, f"{order}: its values are an object")
    for key in values:
        if key not in keys:
            there = f"there are {', '.join(keys)}"
            raise OrderError(400, f"{order}: there is no value {short(key)}; {there}")


def text(values: Mapping[str, Any], key: str) -> str:
    """Return a text. Raises OrderError where there is none."""
    found = values.get(key)
    if not isinstance(found, str) or not found:
        raise OrderError(400, f"{key}: is needed, as a text")
    if len(found) > LONGEST:
        raise OrderError(400, f"{key}: is longer than {LONGEST} characters")
    return found


def flag(values: Mapping[str, Any], key: str) -> bool:
    """Return a true or false, which is false where it is not said. Raises OrderError."""
    found = values.get(key, False)
    if not isinstance(found, bool):
        raise OrderError(400, f"{key}: is true or false, not {short(found)}")
    return found


def number(values: Mapping[str, Any], key: str, default: int, most: int) -> int:
    """Return a whole number from 1 to `most`. Raises OrderError."""
    found = values.get(key)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= most:
        raise OrderError(400, f"{key}: is a whole number from 1 to {most}, not {short(found)}")
    return found


def name(values: Mapping[str, Any], key: str = "name") -> bytes:
    """Return a name, as a folded wire name. Raises OrderError."""
    try:
        return from_text(text(values, key)).lower()
    except WireError as error:
        raise OrderError(400, f"{key}: {error}") from None


def question(values: Mapping[str, Any], routes: Routes) -> Ask:
    """Return the question of a `name` and a `type` (A where none is said). Raises OrderError."""
    asked = text(values, "name")
    kind = text(values, "type") if values.get("type") is not None else "A"
    try:
        return prepare(make_query(asked, kind), routes)
    except UsageError as error:
        raise OrderError(400, str(error)) from None


def short(found: object) -> str:
    """Return something of anybody's making as it may be told in a line."""
    if isinstance(found, (list, dict)):
        return "a list" if isinstance(found, list) else "an object"
    if isinstance(found, int) and found.bit_length() > 64:
        return "a number of so many digits"
    told = repr(found[: _SHOWN + 1]) if isinstance(found, str) else repr(found)
    return told if len(told) <= _SHOWN else f"{told[:_SHOWN]}..."
