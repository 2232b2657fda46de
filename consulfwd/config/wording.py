"""How a message shows what somebody wrote: quoted, described, with nothing that would not show.

Pure: nothing here knows what a value is for.
"""

from __future__ import annotations

_LONGEST_QUOTE = 60


def quoted(text: str) -> str:
    """Return `text` as it is shown in a message: quoted, escaped, and not endless."""
    if len(text) > _LONGEST_QUOTE:
        text = text[:_LONGEST_QUOTE] + "..."
    return ascii(text)


def printable(text: str) -> str:
    """Return `text` with everything escaped that would not show, or not encode."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def described(value: object) -> str:
    """Return what a message calls a value of a wrong type."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    return "a mapping" if isinstance(value, dict) else "a list"
