"""Names as Infoblox's WAPI has them, and back.

What belongs here: how a name is spelled there. Pure.
"""

from __future__ import annotations

from consulfwd.dns import names
from consulfwd.errors import WireError


def plain(name: bytes) -> str:
    """Return a name as the WAPI has it: without the final dot."""
    return names.to_text(name).removesuffix(".")


def spellings(name: bytes) -> list[str]:
    """Return how a name may be spelled there: an internationalised one as people read it, too.

    Each stays as it was written, and only that can be asked for.
    """
    text = plain(name)
    try:
        shown = text.encode().decode("idna") if "xn--" in text else text
    except UnicodeError:
        shown = text
    return [text] if shown == text else [text, shown]


def wire(text: str) -> bytes:
    """Return a name that is spelled in either way. Raises ValueError for what is none."""
    try:
        ascii_text = text if text.isascii() else text.encode("idna").decode()
        return names.from_text(ascii_text.lower())
    except WireError as error:
        raise ValueError(str(error)) from None
