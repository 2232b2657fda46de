"""How a message shows what somebody wrote: quoted, described, with nothing that would not show.

Pure: nothing here knows what a value is for.
"""

from __future__ import annotations

from consulfwd.words import printable as printable

_LONGEST_QUOTE = 60


def quoted(text: str) -> str:
    """Return `text` as it is shown in a message: quoted, escaped, and not endless.

    The user and password of a URL are left out.
    """
    scheme, is_url, rest = text.partition("://")
    _, has_user, host = rest.rpartition("@")
    if is_url and has_user:
        text = f"{scheme}://...@{host}"
    if len(text) > _LONGEST_QUOTE:
        text = text[:_LONGEST_QUOTE] + "..."
    return ascii(text)


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
