"""The settings as a JSON Schema (draft 2020-12), for editors and whatever else makes such files.

It is made of the keys and readers themselves. What it cannot say (what a text may look like, what
must hold between keys) `load` does; it refuses nothing that the readers take.
"""

from __future__ import annotations

from typing import Any

from consulfwd.config.keys import REQUIRED, Key, Section, keys_of
from consulfwd.config.settings import Settings

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """Return the schema of a settings file, as JSON has it."""
    definitions: dict[str, Any] = {}
    head = {"$schema": DRAFT, "title": "Settings of consulfwd"}
    return {**head, **_section(Settings, definitions), "$defs": definitions}


def _section(made: type[Section], definitions: dict[str, Any]) -> dict[str, Any]:
    keys = keys_of(made)
    shown: dict[str, Any] = {
        "description": (made.__doc__ or "").partition("\n")[0],
        "type": "object",
        "properties": {name: _key(one, definitions) for name, one in keys.items()},
        "additionalProperties": False,
    }
    if required := [name for name, one in keys.items() if one.default is REQUIRED]:
        shown["required"] = required
    return shown


def _key(one: Key, definitions: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": one.help} if one.help else {}
    shown |= _plain(one.reader.shape, definitions)
    # A section's defaults are those of its keys.
    if one.default is not REQUIRED and one.reader.section is None:
        shown["default"] = [*one.default] if isinstance(one.default, tuple) else one.default
    return shown


def _plain(shape: Any, definitions: dict[str, Any]) -> Any:
    """Return a shape without classes: each section is defined once, and named where it is meant."""
    if isinstance(shape, list):
        return [_plain(one, definitions) for one in shape]
    if not isinstance(shape, dict):
        return shape
    shown = {word: _plain(one, definitions) for word, one in shape.items() if word != "$ref"}
    if "$ref" in shape:
        made = shape["$ref"]
        if made.__name__ not in definitions:
            definitions[made.__name__] = {}
            definitions[made.__name__] = _section(made, definitions)
        shown["$ref"] = f"#/$defs/{made.__name__}"
    return shown
