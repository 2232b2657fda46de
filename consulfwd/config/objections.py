"""What is said against a value of the configuration, and by which path its key is named.

Pure, and knows nothing of the settings: everything else in here may say something against a value.
"""

from __future__ import annotations

from typing import NamedTuple

# From the root of the settings: names of keys, and places in lists from 0.
KeyPath = tuple[str | int, ...]


class Objection(NamedTuple):
    """What is wrong at `path` and how to mend it.

    `also` are other keys that take part in it; if the key `unless` is given, it is meant so.
    """

    path: KeyPath
    what: str
    mend: str
    also: tuple[KeyPath, ...] = ()
    unless: KeyPath | None = None


def dotted(path: KeyPath) -> str:
    """Return a path as messages show it: `consul.agents[1].ca_file`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text
