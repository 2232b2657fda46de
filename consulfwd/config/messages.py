"""What a user is told when a value does not fit the settings: pydantic's errors in plain words.

What belongs here: the words, and which key a mistyped one may have meant. Where a value stands
is put together in `load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from consulfwd.config.environment import suggestion
from consulfwd.config.settings import Settings, is_model, leaves
from consulfwd.config.values import Fault, described, quoted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WANTED = {
    "int_type": ("a whole number", "write it in digits, without quotes"),
    "float_type": ("a number", "write it in digits, without quotes"),
    "bool_type": ("true or false", "without quotes"),
    "string_type": ("text", "put it in quotes"),
    "tuple_type": ("a list", "put it in brackets: [...]"),
    "dict_type": ("a mapping", "write name: value"),
    "model_type": ("a mapping", "write key: value below it"),
}


def told(error: ErrorDetails) -> Fault:
    """Return what is wrong and how to mend it, for one of pydantic's errors."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Fault):
        return cause
    if kind in _WANTED:
        wanted, mend = _WANTED[kind]
        return Fault(f"must be {wanted}, not {described(value)}", mend)
    if kind == "extra_forbidden":
        return _unknown_key(error["loc"])
    if kind == "missing":
        return Fault(f"{error['loc'][-1]} is missing", "add it")
    if kind == "too_short":
        return Fault("must not be empty", "name one at least, or take the key out")
    if kind == "too_long":
        return Fault("is too long", f"{context['max_length']} at most")
    if kind == "greater_than_equal":
        return Fault(f"{value} is too little", f"{_number(context, 'ge')} is the least")
    if kind == "less_than_equal":
        return Fault(f"{value} is too much", f"{_number(context, 'le')} is the most")
    if kind == "literal_error":
        return _no_choice(str(context["expected"]), value)
    return Fault(f"cannot be used: {error['msg']}")


def inner_path(error: ErrorDetails) -> tuple[str | int, ...]:
    """Return the way from the value pydantic names to the part of it that is at fault."""
    cause = error.get("ctx", {}).get("error")
    return cause.at if isinstance(cause, Fault) else ()


def _number(context: Mapping[str, Any], key: str) -> str:
    return f"{context[key]:g}" if isinstance(context[key], float) else str(context[key])


def _no_choice(expected: str, value: object) -> Fault:
    choices = expected.replace("'", "").replace(" or ", ", ").split(", ")
    said = quoted(value) if isinstance(value, str) else described(value)
    close = suggestion(value, choices) if isinstance(value, str) else ""
    return Fault(f"{said} is not one of {', '.join(choices)}", close or f"such as {choices[0]}")


def _unknown_key(loc: tuple[int | str, ...]) -> Fault:
    key = str(loc[-1])
    siblings = list(_model_at(loc[:-1]).model_fields)
    mend = suggestion(key.lower().replace("-", "_"), siblings)
    if not mend:
        elsewhere = {path[-1]: ".".join(path) for path, _ in leaves()}
        mend = f"did you mean {elsewhere[key]}?" if key in elsewhere else ""
    return Fault("unknown key", mend or f"known here: {', '.join(siblings)}")


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = Settings
    for part in loc:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _model_in(field.annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if is_model(annotation):
        return annotation
    for part in get_args(annotation):
        if found := _model_in(part):
            return found
    return None
