"""Who holds a lock, as the value of its key says to people and to others that wait for it.

Must not know: how a lock is had. Whatever is in a key may be of a stranger's making.
"""

from __future__ import annotations

import json
import socket
from typing import NamedTuple

from consulfwd.consul.kv import Entry
from consulfwd.words import moment

_LONGEST = 200


class Holder(NamedTuple):
    """Who holds a lock, as the value of its key says, and since when (time of day, 0: not said)."""

    who: str
    since: float = 0.0

    def value(self) -> bytes:
        """Return what the key says."""
        return json.dumps({"holder": self.who, "since": round(self.since, 3)}).encode()

    def __str__(self) -> str:
        if not self.since:
            return self.who
        return f"{self.who} since {moment(self.since)}"


def here(program: str = "consulfwd") -> str:
    """Return what this host's program is called by others."""
    return f"{program} at {socket.gethostname()}"


def holder_of(entry: Entry | None) -> Holder | None:
    """Return who holds a lock, None where nobody does; others write other things, or nothing."""
    if entry is None or not entry.session:
        return None
    try:
        parsed = json.loads(entry.value)
    except (ValueError, RecursionError):
        parsed = None
    found = parsed if isinstance(parsed, dict) else {}
    who, since = found.get("holder"), found.get("since")
    if not isinstance(who, str) or not who or not who.isprintable():
        return Holder(f"session {_plain(entry.session)}")
    if not isinstance(since, (int, float)) or not 0 < since < 1e11:
        since = 0.0
    return Holder(who[:_LONGEST], float(since))


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text[:_LONGEST])
