"""YAML as statements: keys with what they have, wherever the lines end.

What belongs here: the form alone. A value is behind its key, a list of values too; mappings are
within their key, those of a list each within a statement `-`. Aliases are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from consulfwd.errors import LintError
from consulfwd.servers.syntax import MAX_DEPTH, SyntaxNode

ITEM = "-"
MAX_VALUES = 300_000


class _Open(NamedTuple):
    """A mapping or list being read: its line, the words before it, what it holds so far."""

    line: int
    words: list[str]
    body: list[SyntaxNode]
    mapping: bool


def parse(text: str, file: str) -> list[SyntaxNode]:
    """Return the statements of all documents of a file. Raises LintError for what is no YAML."""
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    root = _Open(1, [], [], mapping=False)
    around = [root]
    key: list[tuple[int, str] | None] = [None]  # of each that is open, the key at hand
    try:
        for number, event in enumerate(yaml.parse(text, Loader=loader)):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if number > MAX_VALUES:
                what = f"has more than {MAX_VALUES} values"
                raise LintError(file, line, what, "lint parts of it")
            if isinstance(event, yaml.CollectionEndEvent):
                closed = around.pop()
                key.pop()
                node = SyntaxNode(file, closed.line, tuple(closed.words), tuple(closed.body))
                if around[-1] is root and not closed.words:
                    root.body.extend(closed.body)
                else:
                    around[-1].body.append(node)
                key[-1] = None
            elif isinstance(event, yaml.CollectionStartEvent):
                if len(around) > MAX_DEPTH:
                    raise LintError(file, line, f"is nested more than {MAX_DEPTH} deep", "part it")
                mapping = isinstance(event, yaml.MappingStartEvent)
                at, words = line, [ITEM] if around[-1] is not root else []
                if (named := key[-1]) is not None:
                    at, words = named[0], [named[1]]
                around.append(_Open(at, words, [], mapping))
                key.append(None)
            elif isinstance(event, yaml.ScalarEvent):
                _scalar(around[-1], key, event.value, line, file)
            elif isinstance(event, yaml.AliasEvent):
                key[-1] = None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "cannot be read"
        # What is missing at the end is missed on the line after it.
        line = min(place.line, text.count("\n")) + 1 if place is not None else 0
        raise LintError(file, line, f"is not valid YAML: {what}", "correct it") from None
    return root.body


def _scalar(
    open_one: _Open, key: list[tuple[int, str] | None], value: str, line: int, file: str
) -> None:
    """Put a scalar where it belongs: a key, the value of one, or one more of a list."""
    if not open_one.mapping:
        open_one.words.append(value)
    elif (named := key[-1]) is None:
        key[-1] = (line, value)
    else:
        open_one.body.append(SyntaxNode(file, named[0], (named[1], value)))
        key[-1] = None
