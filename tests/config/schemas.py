"""A validator for as much of JSON Schema (draft 2020-12) as the settings' schema uses.

Strict: a word it does not know is a fault of the schema, and raises.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NOTES = {"$schema", "$defs", "title", "description", "default"}


def faults(schema: dict[str, Any], data: object) -> list[str]:
    """What of `data` the schema refuses, each with the path of its key."""
    return list(_faults(schema, data, "", schema))


def same(one: object, other: object) -> bool:
    """Whether two values are one in JSON, where true is not 1 but 1.0 is."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def is_type(name: str, data: object) -> bool:
    """Whether a value is of a JSON type."""
    if isinstance(data, bool):
        return name == "boolean"
    kinds: dict[str, tuple[type, ...]] = {
        "null": (type(None),),
        "boolean": (),
        "string": (str,),
        "number": (int, float),
        "integer": (int,),
        "array": (list, tuple),
        "object": (dict,),
    }
    whole = name == "integer" and isinstance(data, float) and data.is_integer()
    return isinstance(data, kinds[name]) or whole


def _faults(shape: dict[str, Any], data: Any, path: str, root: dict[str, Any]) -> Iterator[str]:
    for word, value in shape.items():
        if word not in NOTES:
            yield from RULES[word](value, data, path, root, shape)


def _reference(value: str, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    start, _, name = value.rpartition("/")
    assert start == "#/$defs", value
    yield from _faults(root["$defs"][name], data, path, root)


def _any(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    found = [list(_faults(one, data, path, root)) for one in value]
    if all(found):
        yield f"{path}: fits none: {' or '.join(one[0] for one in found)}"


def _type(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if not any(is_type(one, data) for one in ([value] if isinstance(value, str) else value)):
        yield f"{path}: is not of type {value}"


def _enum(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if not any(same(one, data) for one in value):
        yield f"{path}: is none of {value}"


def _const(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if not same(value, data):
        yield f"{path}: is not {value}"


def _minimum(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if is_type("number", data) and not data >= value:
        yield f"{path}: is less than {value}"


def _maximum(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if is_type("number", data) and not data <= value:
        yield f"{path}: is more than {value}"


def _items(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    for number, one in enumerate(data if is_type("array", data) else ()):
        yield from _faults(value, one, f"{path}[{number}]", root)


def _least(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if is_type("array", data) and len(data) < value:
        yield f"{path}: is shorter than {value}"


def _most(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if is_type("array", data) and len(data) > value:
        yield f"{path}: is longer than {value}"


def _largest(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    if is_type("object", data) and len(data) > value:
        yield f"{path}: has more than {value} keys"


def _properties(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    for key in value.keys() & data.keys() if is_type("object", data) else ():
        yield from _faults(value[key], data[key], f"{path}.{key}".lstrip("."), root)


def _others(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    known = shape.get("properties", {})
    for key in data.keys() - known.keys() if is_type("object", data) else ():
        where = f"{path}.{key}".lstrip(".")
        if value is False:
            yield f"{where}: is not known"
        else:
            yield from _faults(value, data[key], where, root)


def _required(value: Any, data: Any, path: str, root: Any, shape: Any) -> Iterator[str]:
    for key in value if is_type("object", data) else ():
        if key not in data:
            yield f"{path}: {key} is missing"


RULES = {
    "$ref": _reference,
    "anyOf": _any,
    "type": _type,
    "enum": _enum,
    "const": _const,
    "minimum": _minimum,
    "maximum": _maximum,
    "items": _items,
    "minItems": _least,
    "maxItems": _most,
    "maxProperties": _largest,
    "properties": _properties,
    "additionalProperties": _others,
    "required": _required,
}
