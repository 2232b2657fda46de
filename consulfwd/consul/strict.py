"""Strict readers of what strangers wrote into Consul: texts, addresses, lists and mappings.

What belongs here: what may pass, and what it costs where it does not. Must not know which thing is
read. Pure. What is not of Consul's form raises ValueError; a text that could end a line of a
configuration, and whatever else a stranger can write, OddText, which may cost less than the whole
reply.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

# None begins with a dash: commands would take that for an option.
_ADDRESS = re.compile(r"[A-Za-z0-9._:][A-Za-z0-9._:-]{0,254}")
# Control characters, lone surrogates, and what else ends a line.
_ENDS_LINES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Is told what is left out of a value, and why.
LeftOut = Callable[[str], object]


def ignore(what: str) -> None:
    """Take no note of what is left out."""


class OddText(ValueError):
    """What strangers write (a name, an address, a tag) is what must not stand in a file.

    It could end a line, or hide in one, or is none of the things it should be.
    """


def mapping(thing: object, what: str) -> Mapping[str, Any]:
    """Return an object of JSON."""
    if not isinstance(thing, dict):
        raise ValueError(f"{what or 'the reply'} is not of the form Consul's have")
    return thing


def listed(thing: object, what: str) -> list[Any]:
    """Return a list of JSON."""
    # Go writes an empty list as null at times.
    if thing is None:
        return []
    if not isinstance(thing, list):
        raise ValueError(f"{what}: not of the form Consul's have")
    return thing


def word(thing: object, what: str) -> str:
    """Return a text that stays on its line. Raises OddText for another."""
    if why := _odd(thing, what):
        raise OddText(why)
    return str(thing)


def number(thing: object, what: str) -> int:
    """Return a whole number of 16 bits. Raises OddText for another number."""
    if not isinstance(thing, int) or isinstance(thing, bool):
        raise ValueError(f"{what} is {thing!r}"[:200])
    if not 0 <= thing <= 65535:
        raise OddText(f"{what} is {thing!r}"[:200])
    return thing


def fits_a_line(text: str) -> bool:
    """Return whether a text can stand in a line without ending it, or harming what shows it."""
    if text.isascii() and text.isprintable():
        # Most are: a list of 10,000 services is to be read for each that comes.
        return True
    return not any(unicodedata.category(one) in _ENDS_LINES for one in text)


def address(thing: object, what: str) -> str:
    """Return what may be an IP address or the name of a host. Raises OddText for another text."""
    if not isinstance(thing, str):
        raise ValueError(f"{what}: {str(thing)[:60]!r} is neither an IP address nor a host name")
    if not _ADDRESS.fullmatch(thing):
        raise OddText(f"{what}: {thing[:60]!r} is neither an IP address nor a host name")
    return thing


# Whoever is to mend a tag or pair must be told `whose` it is. Where `left_out` is given it costs
# no more than itself; else it is an OddText, and whoever reads a list goes on with the next one.


def tags(thing: object, whose: str, left_out: LeftOut | None = None) -> tuple[str, ...]:
    """Return the tags of something."""
    found: list[str] = []
    for tag in listed(thing, f"Tags of {whose}"):
        if why := _odd(tag, f"a tag of {whose}"):
            if left_out is None:
                raise OddText(why)
            left_out(f"{why}: it is left out")
        else:
            found.append(tag)
    return tuple(found)


def pairs(thing: object, whose: str, left_out: LeftOut | None = None) -> dict[str, str]:
    """Return the metadata of something, by name."""
    what = f"Meta of {whose}"
    fields = mapping(thing or {}, what)
    found: dict[str, str] = {}
    for name in sorted(fields):
        if why := _odd(name, what) or _odd(fields[name], what):
            if left_out is None:
                raise OddText(why)
            left_out(f"{why}: it is left out")
        else:
            found[name] = fields[name]
    return found


def _odd(thing: object, what: str) -> str:
    """Return what is wrong with a text that a stranger wrote, "" for nothing.

    Raises ValueError for what is no text: Consul's have no such form.
    """
    if not isinstance(thing, str):
        raise ValueError(f"{what} is not a text")
    return "" if fits_a_line(thing) else f"{what} holds control characters: {thing[:60]!r}"
